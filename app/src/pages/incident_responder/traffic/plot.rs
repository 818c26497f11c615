//! The plots: stacked bars as inline SVG. Each way has a pattern besides its colour, and the numbers stand in a table.

use std::fmt::Write as _;

use gatehouse_domain::Timestamp;
use leptos::prelude::*;

use super::{
    sums::{Bars, Series, Span, Way, bytes},
    urls::Shown,
};
use crate::components::{Cell, DataTable, HeaderCell, Row};

/// The drawing's own size. It is stretched to the room there is.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 140.0;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Requests,
    Bytes,
}

impl Measure {
    fn of(self, series: &Series) -> &[u64] {
        match self {
            Self::Requests => &series.requests,
            Self::Bytes => &series.bytes,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Requests => "Requests",
            Self::Bytes => "Bytes",
        }
    }

    fn text(self, value: u64) -> String {
        match self {
            Self::Requests => value.to_string(),
            Self::Bytes => bytes(value),
        }
    }
}

/// Requests and bytes over time, with what the patterns mean.
#[component]
pub fn Plots(
    /// What to draw.
    bars: Bars, /// What the page shows: the names lead to the requests of one way.
    shown: Shown,
) -> impl IntoView {
    let legend =
        bars.series.iter().map(|series| view! { <LegendItem series=series.clone() shown=shown.clone()/> }).collect_view();
    view! {
        // The patterns, for both drawings and for what explains them.
        <svg class="sprite" aria-hidden="true" inner_html=PATTERNS></svg>
        <div class="grid grid-cols-[minmax(0,1fr)] gap-6 lg:grid-cols-2">
            <Plot bars=bars.clone() span=shown.span measure=Measure::Requests/>
            <Plot bars span=shown.span measure=Measure::Bytes/>
        </div>
        <ul class="mt-3 flex flex-wrap gap-x-5 gap-y-1 text-sm" aria-label="Ways">{legend}</ul>
    }
    .into_any()
}

#[component]
fn LegendItem(series: Series, shown: Shown) -> impl IntoView {
    let requests: u64 = series.requests.iter().sum();
    let count = format!(": {}", if requests == 1 { "1 request".to_string() } else { format!("{requests} requests") });
    let swatch = format!(r#"<rect width="16" height="16" fill="url(#way-{})"></rect>"#, series.look);
    let way = match &series.way {
        Way::Proxy(id) => Some(id.as_str()),
        Way::Direct => Some("direct"),
        Way::Others => None,
    };
    let name = match way {
        Some(way) => view! { <a class="link" href=shown.of_way(way)>{series.name}</a> }.into_any(),
        None => series.name.into_any(),
    };
    view! {
        <li class="flex min-h-6 min-w-0 items-center gap-2">
            <svg class="size-4 shrink-0 rounded-sm" viewBox="0 0 16 16" aria-hidden="true" inner_html=swatch></svg>
            <span class="wrap-anywhere">{name} {count}</span>
        </li>
    }
    .into_any()
}

#[component]
fn Plot(bars: Bars, span: Span, measure: Measure) -> impl IntoView {
    let top = totals(&bars, measure).max().unwrap_or_default();
    let all: u64 = totals(&bars, measure).sum();
    let label = format!(
        "{} over {}, by way: {} in all. The numbers are in the table below.",
        measure.label(),
        span.label(),
        measure.text(all)
    );
    let (id, heading) = match measure {
        Measure::Requests => ("plot-requests", "Requests"),
        Measure::Bytes => ("plot-bytes", "Bytes"),
    };
    let times = [bars.edges.first(), bars.edges.get(bars.edges.len() / 2), bars.edges.last()];
    let times = times.into_iter().flatten().map(|at| view! { <span>{tick(span, *at)}</span> }).collect_view();
    let drawing = drawing(&bars, span, measure, top);
    view! {
        <figure class="m-0 min-w-0" aria-labelledby=id>
            <figcaption class="mb-1 flex items-baseline justify-between gap-3 text-sm">
                <span id=id class="font-medium">{heading}</span>
                <span class="subtle">{format!("highest bar: {}", measure.text(top))}</span>
            </figcaption>
            <svg
                class="plot"
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                preserveAspectRatio="none"
                role="img"
                aria-label=label
                inner_html=drawing
            ></svg>
            <div class="subtle mt-1 flex justify-between text-xs" aria-hidden="true">{times}</div>
        </figure>
    }
    .into_any()
}

/// All ways together, bar by bar.
fn totals(bars: &Bars, measure: Measure) -> impl Iterator<Item = u64> {
    let count = bars.edges.len().saturating_sub(1);
    (0..count).map(move |bar| bars.series.iter().map(|series| measure.of(series)[bar]).sum())
}

/// The bars. Only numbers of ours go into this text.
fn drawing(bars: &Bars, span: Span, measure: Measure, top: u64) -> String {
    let mut svg = String::new();
    let mut put = |text: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _ = svg.write_fmt(text);
    };
    let count = bars.edges.len().saturating_sub(1);
    #[expect(clippy::cast_precision_loss, reason = "pixels")]
    let (step, scale) = (WIDTH / count.max(1) as f64, HEIGHT / top.max(1) as f64);
    for (bar, total) in totals(bars, measure).enumerate() {
        if total == 0 {
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "pixels")]
        let x = bar as f64 * step;
        let when = between(span, bars.edges[bar], bars.edges[bar + 1]);
        put(format_args!("<g><title>{when}: {} {}</title>", measure.text(total), measure.label().to_lowercase()));
        // The whole height tells the number, not only a bar that may be a hair high.
        put(format_args!(
            r#"<rect x="{x:.1}" y="0" width="{step:.1}" height="{HEIGHT}" fill="none" pointer-events="all"></rect>"#
        ));
        let mut y = HEIGHT;
        for series in &bars.series {
            let value = measure.of(series)[bar];
            if value == 0 {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "pixels")]
            let height = (value as f64 * scale).max(1.0);
            y -= height;
            let width = step * 0.84;
            let look = series.look;
            put(format_args!(
                r#"<rect x="{x:.1}" y="{:.1}" width="{width:.1}" height="{height:.1}" fill="url(#way-{look})"></rect>"#,
                y.max(0.0)
            ));
        }
        put(format_args!("</g>"));
    }
    put(format_args!(r#"<path class="plot-line" d="M0 {HEIGHT}H{WIDTH}"></path>"#));
    svg
}

/// A time under the plot.
fn tick(span: Span, at: Timestamp) -> String {
    let format = if span == Span::Week { "%d %b, %H:%M" } else { "%H:%M" };
    at.format(format).to_string()
}

/// What time a bar stands for.
fn between(span: Span, from: Timestamp, to: Timestamp) -> String {
    let day = if span == Span::Hours { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    format!("{} to {}", from.format(day), to.format("%H:%M"))
}

/// A colour and a pattern for each way: solid, stripes, dots, lines, crosses, grey for the others, hollow for no proxy.
const PATTERNS: &str = concat!(
    r#"<defs>"#,
    r#"<pattern id="way-0" width="8" height="8" patternUnits="userSpaceOnUse"><rect class="way-0" width="8" height="8"></rect></pattern>"#,
    r#"<pattern id="way-1" width="8" height="8" patternUnits="userSpaceOnUse"><rect class="way-1" width="8" height="8"></rect><path class="way-ink" d="M-2 2l4 -4M0 8l8 -8M6 10l4 -4"></path></pattern>"#,
    r#"<pattern id="way-2" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="way-2" width="6" height="6"></rect><circle class="way-dot" cx="3" cy="3" r="1.2"></circle></pattern>"#,
    r#"<pattern id="way-3" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="way-3" width="6" height="6"></rect><path class="way-ink" d="M0 3h6"></path></pattern>"#,
    r#"<pattern id="way-4" width="8" height="8" patternUnits="userSpaceOnUse"><rect class="way-4" width="8" height="8"></rect><path class="way-ink" d="M0 0l8 8M8 0l-8 8"></path></pattern>"#,
    r#"<pattern id="way-5" width="8" height="8" patternUnits="userSpaceOnUse"><rect class="way-5" width="8" height="8"></rect></pattern>"#,
    r#"<pattern id="way-6" width="5" height="5" patternUnits="userSpaceOnUse"><rect class="way-hollow" width="5" height="5"></rect><path class="way-6" d="M-1 1l2 -2M0 5l5 -5M4 6l2 -2"></path></pattern>"#,
    r#"</defs>"#,
);

/// What the plots show, in numbers: the newest first, without what is empty.
#[component]
pub fn Numbers(
    /// What was drawn.
    bars: Bars, /// How far back.
    span: Span,
) -> impl IntoView {
    let count = bars.edges.len().saturating_sub(1);
    let rows = (0..count)
        .rev()
        .flat_map(|bar| bars.series.iter().map(move |series| (bar, series)))
        .filter(|(bar, series)| series.requests[*bar] > 0)
        .map(|(bar, series)| {
            let (when, name) = (between(span, bars.edges[bar], bars.edges[bar + 1]), series.name.clone());
            let (requests, sent) = (series.requests[bar], bytes(series.bytes[bar]));
            view! {
                <Row>
                    <Cell label="Time (UTC)" title=true>
                        {when}
                    </Cell>
                    <Cell label="Way">
                        <span class="wrap-anywhere">{name}</span>
                    </Cell>
                    <Cell label="Requests" number=true>
                        {requests}
                    </Cell>
                    <Cell label="Bytes" number=true>
                        {sent}
                    </Cell>
                </Row>
            }
        })
        .collect_view();
    view! {
        <DataTable
            caption="Requests and bytes over time, by way"
            head=ViewFnOnce::from(|| {
                view! {
                    <HeaderCell label="Time (UTC)"/>
                    <HeaderCell label="Way"/>
                    <HeaderCell label="Requests" number=true/>
                    <HeaderCell label="Bytes" number=true/>
                }
            })
        >
            {rows}
        </DataTable>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{ProxyRef, TrafficSum};

    use super::*;
    use crate::pages::incident_responder::traffic::sums;

    #[test]
    fn bars_are_stacked_and_stay_inside() {
        let now = Timestamp::from_timestamp(1_700_000_000, 0).expect("a moment");
        let sum = |proxy: Option<&str>, requests| TrafficSum {
            at: now,
            proxy: proxy.map(|name| ProxyRef { id: name.into(), name: name.into() }),
            cause: None,
            requests,
            bytes: 0,
        };
        let bars = sums::bars(Span::Hours, now, &[sum(Some("<script>"), 30), sum(None, 10)]);
        let svg = drawing(&bars, Span::Hours, Measure::Requests, 40);
        assert!(svg.contains("<title>22:10 to 22:15: 40 requests</title>"), "{svg}");
        assert!(svg.contains(r#"y="35.0" width="11.2" height="105.0" fill="url(#way-0)""#), "{svg}");
        assert!(svg.contains(r#"y="0.0" width="11.2" height="35.0" fill="url(#way-6)""#), "{svg}");
        assert!(!svg.contains("script"), "{svg}");
        assert!(!drawing(&bars, Span::Hours, Measure::Bytes, 0).contains("<rect"), "nothing to draw");
    }
}
