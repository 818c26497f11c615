//! What testing an integration found out.

use gatehouse_domain::{IntegrationReport, Route, Stage, StageResult, StageStatus};
use leptos::prelude::*;

use crate::components::{Badge, Cell, DataTable, HeaderCell, IconName, Kind, Row};

/// The whole report. It takes the focus when it arrives without the page being loaded anew (`browser::enhance`).
#[component]
pub(super) fn Report(
    /// What was found out.
    report: IntegrationReport,
    /// The integration's name, where the page does not say it.
    #[prop(optional, into)]
    name: Option<String>,
) -> impl IntoView {
    let (kind, icon, word) =
        if report.ok { (Kind::Success, IconName::CheckCircle, "Passed") } else { (Kind::Error, IconName::XCircle, "Failed") };
    let title = name.map_or_else(|| "Test Connection".to_string(), |name| format!("Test Connection: {name}"));
    let route = report.route.as_ref().map(|route| fact("Route", route.label()));
    let cause = report.cause.map(|cause| fact("Cause", cause.label().to_string()));
    let status = report.status_code.map(|status| fact("Answer", format!("HTTP status {status}")));
    let direct = matches!(report.route, Some(Route::Direct { .. }));
    let ok = report.ok.to_string();
    let ms: u64 = report.stages.iter().filter_map(|stage| stage.ms).sum();
    view! {
        <section class="panel mb-4 grid grid-cols-[minmax(0,1fr)] gap-3" id="report" data-testid="test-result" data-ok=ok tabindex="-1" data-focus="" aria-labelledby="report-heading">
            <div class="flex flex-wrap items-center gap-2">
                <h2 id="report-heading">{title}</h2>
                <Badge kind icon>
                    {word}
                </Badge>
            </div>
            <p>
                {report.message} {report.hint.map(|hint| view! { <span class="mt-1 block font-medium">{hint}</span> })}
            </p>
            <dl class="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-1 text-sm wrap-anywhere">
                {cause} {route} {fact("Target", report.target)} {status} {fact("Time", format!("{ms} ms"))}
            </dl>
            <Stages stages=report.stages direct/>
        </section>
    }
    .into_any()
}

fn fact(name: &'static str, text: String) -> AnyView {
    view! {
        <dt class="subtle">{name}</dt>
        <dd class="m-0">{text}</dd>
    }
    .into_any()
}

#[component]
fn Stages(stages: Vec<StageResult>, direct: bool) -> impl IntoView {
    let head = || {
        view! {
            <HeaderCell label="Stage"/>
            <HeaderCell label="Result"/>
            <HeaderCell label="Time" number=true/>
            <HeaderCell label="Details"/>
        }
        .into_any()
    };
    let rows = stages.into_iter().map(|stage| view! { <StageRow stage direct/> }).collect_view();
    view! {
        <DataTable caption="Stages of the test" head=head.into()>
            {rows}
        </DataTable>
    }
    .into_any()
}

/// Without a proxy the first stages are the service's own.
fn label(stage: Stage, direct: bool) -> &'static str {
    match stage {
        Stage::Resolve if direct => "Find the service's address",
        Stage::Connect if direct => "Connect to the service",
        stage => stage.label(),
    }
}

#[component]
fn StageRow(stage: StageResult, direct: bool) -> impl IntoView {
    let (kind, icon, word) = match stage.status {
        StageStatus::Passed => (Kind::Success, IconName::Check, "passed"),
        StageStatus::Failed => (Kind::Error, IconName::XCircle, "failed"),
        StageStatus::Skipped => (Kind::Neutral, IconName::Minus, "skipped"),
    };
    view! {
        <Row>
            <Cell label="Stage" title=true>
                {label(stage.stage, direct)}
            </Cell>
            <Cell label="Result">
                <span>
                    <Badge kind icon>
                        {word}
                    </Badge>
                </span>
            </Cell>
            <Cell label="Time" number=true>
                {stage.ms.map_or_else(|| "–".to_string(), |ms| format!("{ms} ms"))}
            </Cell>
            <Cell label="Details">
                <span class="wrap-anywhere">{stage.detail.unwrap_or_default()}</span>
            </Cell>
        </Row>
    }
    .into_any()
}
