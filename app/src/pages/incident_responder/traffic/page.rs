//! The traffic page: plots, failures, and one row for each request. What it shows stands in its URL.

use gatehouse_domain::{Cause, CauseFilter, Page, ProxyView, Timestamp, TrafficQuery, TrafficSum, TrafficView};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    plot::{Numbers, Plots},
    sums::{Span, bars, bytes, failures, takes},
    urls::{self, Shown},
};
use crate::{
    components::{
        Badge, Banner, Breadcrumbs, Button, ButtonKind, Cell, DataTable, EmptyState, ErrorState, Field, HeaderCell, Icon,
        IconName, Kind, LinkButton, PageHeader, Row, SelectInput, TextInput,
    },
    context::signed_in,
    error::ApiError,
    page::{answer_with_status, use_path},
    pages::{
        company::proxies,
        incident_responder::analyses::{NotUnderstood, Paging, duration},
    },
};

/// `/incident-responder/traffic`.
#[component]
pub fn TrafficPage() -> impl IntoView {
    let (shown, errors) = urls::read(&use_path().1);
    let content = async move {
        // Rendered on the server alone, so there is one clock.
        let now = Timestamp::from(std::time::SystemTime::now());
        let loaded = load(&shown, now).await;
        let actions = view! { <Actions shown=shown.clone()/> };
        view! {
            <PageHeader
                title="Traffic"
                subtitle="Every request that Gatehouse made to the internet: for whom, where to, and which way it went."
            >
                <div id="traffic-actions" data-region="" class="actions">
                    {actions}
                </div>
            </PageHeader>
            <div id="traffic-notes" data-region="" class="mb-5 empty:hidden">
                <NotUnderstood errors/>
            </div>
            {match loaded {
                Ok(loaded) => view! { <Content shown loaded now/> }.into_any(),
                Err(error) => {
                    answer_with_status(&error.0);
                    view! {
                        <div id="traffic-rows" data-region="">
                            <ErrorState error=error.0/>
                        </div>
                    }
                        .into_any()
                }
            }}
        }
        .into_any()
    };
    view! {
        <Title text="Traffic"/>
        <Breadcrumbs items=vec![("Incident Responder".into(), None), ("Traffic".into(), None)]/>
        {Suspend::new(content)}
    }
    .into_any()
}

/// What the page is made of.
struct Loaded {
    /// A cursor may have outlived its list.
    page: Result<Page<TrafficView>, ApiError>,
    sums: Vec<TrafficSum>,
    proxies: Vec<ProxyView>,
}

async fn load(shown: &Shown, now: Timestamp) -> Result<Loaded, ApiError> {
    let (platform, actor) = signed_in()?;
    let page = match platform.traffic(&actor, &shown.query).await {
        Err(error) if error.fields().get("cursor").is_none() => return Err(error.into()),
        page => page.map_err(ApiError),
    };
    let (from, to) = shown.span.range(now);
    let sums = platform.traffic_sums(&actor, from, to).await?;
    let proxies = proxies::all(&platform, &actor).await?;
    Ok(Loaded { page, sums, proxies })
}

/// Follow, and export.
#[component]
fn Actions(shown: Shown) -> impl IntoView {
    let (text, icon) = if shown.live { ("Stop following", IconName::Close) } else { ("Follow live", IconName::Play) };
    let href = shown.with_live(!shown.live);
    view! {
        <LinkButton href>
            <Icon name=icon/>
            {text}
        </LinkButton>
        <a class="btn" href=shown.export() download="">
            "Export CSV"
        </a>
    }
    .into_any()
}

#[component]
fn Content(shown: Shown, loaded: Loaded, now: Timestamp) -> impl IntoView {
    let Loaded { page, sums, proxies } = loaded;
    // The first page without a filter is empty: nothing was ever asked for.
    let nothing_yet = page
        .as_ref()
        .is_ok_and(|page| page.items.is_empty() && !shown.query.is_filtered() && shown.query.cursor.is_none() && sums.is_empty());
    let (from, _) = shown.span.range(now);
    let counts = failures(&shown.query, &sums);
    let drawn: Vec<_> = sums.into_iter().filter(|sum| takes(&shown.query, sum)).collect();
    let bars = bars(shown.span, now, &drawn);
    let names = Names::of(&shown.query, page.as_ref().ok(), &proxies);
    let (span, empty) = (shown.span, bars.series.is_empty());
    view! {
        <div class="group/list">
            <section class="panel mb-5 group-has-[.nothing-yet]/list:hidden" aria-labelledby="plot-heading">
                <div id="traffic-plot" data-region="">
                    <PlotHead shown=shown.clone()/>
                    {if empty {
                        view! { <p class="subtle">"No requests in this time."</p> }.into_any()
                    } else {
                        view! { <Plots bars=bars.clone() shown=shown.clone()/> }.into_any()
                    }}
                </div>
                // Around its region, so that it stays open while new requests come in.
                <details class="mt-3">
                    <summary class="cursor-pointer py-1 font-medium">"Show the numbers"</summary>
                    <div id="traffic-numbers" data-region="" class="mt-2">
                        {if empty {
                            view! { <p class="subtle">"No requests in this time."</p> }.into_any()
                        } else {
                            view! { <Numbers bars span/> }.into_any()
                        }}
                    </div>
                </details>
                <div id="traffic-failures" data-region="" class="mt-5">
                    <Failures counts from shown=shown.clone()/>
                </div>
            </section>
            <section aria-labelledby="requests-heading">
                <h2 id="requests-heading" class="mb-3 group-has-[.nothing-yet]/list:hidden">"Requests"</h2>
                <Filters shown=shown.clone() names=names.clone()/>
                <div id="traffic-rows" data-region="">
                    <Chips shown=shown.clone() names/>
                    <Answer page shown nothing_yet/>
                </div>
            </section>
        </div>
    }
    .into_any()
}

/// What identifiers in the filters are called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    /// Value and text of each way that can be chosen.
    ways: Vec<(String, String)>,
    /// The consumer that is asked for.
    consumer: String,
}

impl Names {
    fn of(query: &TrafficQuery, page: Option<&Page<TrafficView>>, proxies: &[ProxyView]) -> Self {
        let mut ways = vec![(String::new(), "All".to_string()), ("direct".to_string(), "Direct".to_string())];
        ways.extend(proxies.iter().map(|proxy| (proxy.id.clone(), format!("Through {}", proxy.name))));
        // A deleted setting has requests too.
        if let Some(id) = &query.proxy
            && ways.iter().all(|(value, _)| value != id)
        {
            let name = match id.strip_prefix("egress:") {
                Some(egress) => format!("Through {egress} (of the gateway)"),
                None => "A proxy that is not there any more".to_string(),
            };
            ways.push((id.clone(), name));
        }
        let first = page.and_then(|page| page.items.first());
        let consumer =
            first.filter(|item| query.consumer.as_ref() == Some(&item.consumer.id)).map(|item| item.consumer.name.clone());
        Self { ways, consumer: consumer.filter(|name| !name.is_empty()).unwrap_or_else(|| "one consumer".to_string()) }
    }
}

/// What the plots are, and how far back they go.
#[component]
fn PlotHead(shown: Shown) -> impl IntoView {
    let spans = Span::ALL
        .into_iter()
        .map(|span| {
            let (href, current) = (shown.over(span), (span == shown.span).then_some("true"));
            let class = if current.is_some() { "btn btn-sm btn-primary" } else { "btn btn-sm btn-ghost" };
            view! {
                <li>
                    <a class=class href=href aria-current=current>
                        {span.label()}
                    </a>
                </li>
            }
        })
        .collect_view();
    let TrafficQuery { q, consumer, host, from, to, .. } = &shown.query;
    let wider = !q.is_empty() || consumer.is_some() || host.is_some() || from.is_some() || to.is_some();
    view! {
        <div class="mb-3 flex flex-wrap items-center justify-between gap-x-4 gap-y-2">
            <h2 id="plot-heading">"Over time" <span class="subtle text-sm font-normal">" (UTC)"</span></h2>
            <nav aria-label="Time of the plots">
                <ul class="flex flex-wrap gap-1">{spans}</ul>
            </nav>
        </div>
        {wider
            .then(|| {
                view! {
                    <p class="subtle mb-3 text-sm">
                        "Of the filters only way and outcome narrow the plots; search, consumer, host, from and to narrow the list."
                    </p>
                }
            })}
    }
    .into_any()
}

/// What went wrong how often; each leads to its requests.
#[component]
fn Failures(counts: Vec<(Cause, u64)>, from: Timestamp, shown: Shown) -> impl IntoView {
    let heading = view! { <h3 class="mb-2 font-medium">"Failures"</h3> };
    if counts.is_empty() {
        return view! {
            {heading}
            <p class="subtle">"No request failed in this time."</p>
        }
        .into_any();
    }
    let rows = counts
        .into_iter()
        .map(|(cause, count)| {
            let href = shown.of_cause(cause, from);
            view! {
                <Row>
                    <Cell label="Cause" title=true>
                        <a class="link" href=href>
                            {cause.label()}
                        </a>
                    </Cell>
                    <Cell label="Requests" number=true>
                        {count}
                    </Cell>
                </Row>
            }
        })
        .collect_view();
    view! {
        {heading}
        <div class="max-w-xl">
            <DataTable
                caption="Failures by cause"
                head=ViewFnOnce::from(|| {
                    view! {
                        <HeaderCell label="Cause"/>
                        <HeaderCell label="Requests" number=true/>
                    }
                })
            >
                {rows}
            </DataTable>
        </div>
    }
    .into_any()
}

/// Filters that came by a link and have no field: what they are, and a way back.
#[component]
fn Chips(shown: Shown, names: Names) -> impl IntoView {
    let chip = |text: String, href: String, label: &'static str| {
        view! {
            <span class="flex flex-wrap items-center gap-2">
                <Badge kind=Kind::Info icon=IconName::Filter>
                    <span class="max-w-60 truncate">{text}</span>
                </Badge>
                <a class="link text-sm" href=href>
                    {label}
                </a>
            </span>
        }
        .into_any()
    };
    let consumer = shown
        .query
        .consumer
        .is_some()
        .then(|| chip(format!("Requests of {}", names.consumer), shown.of_consumer(None), "Show those of all consumers"));
    let host =
        shown.query.host.clone().map(|host| chip(format!("Requests to {host}"), shown.of_all_hosts(), "Show those to all hosts"));
    (consumer.is_some() || host.is_some())
        .then(|| view! { <div class="mb-3 flex flex-wrap gap-x-6 gap-y-2">{consumer} {host}</div> })
        .into_any()
}

/// The rows, or why there are none.
#[component]
fn Answer(page: Result<Page<TrafficView>, ApiError>, shown: Shown, nothing_yet: bool) -> impl IntoView {
    let Ok(page) = page else {
        // A link to a page of the list outlives the list it was made from.
        return view! {
            <Banner kind=Kind::Warning title="This page of the list is not there any more.">
                <LinkButton href=shown.first()>"Show the newest requests"</LinkButton>
            </Banner>
        }
        .into_any();
    };
    let live = shown.live.then(|| {
        view! {
            <p class="subtle mb-3 flex flex-wrap items-center gap-2 text-sm" data-refresh="2000">
                <Icon name=IconName::Refresh/>
                "New requests appear here by themselves."
            </p>
            <noscript>
                <p class="mb-3 text-sm">
                    <a class="link" href=shown.url()>"Show what is new"</a>
                </p>
            </noscript>
        }
    });
    if nothing_yet {
        return view! {
            {live}
            <div class="nothing-yet">
                <EmptyState
                    icon=IconName::Proxy
                    title="No requests yet"
                    text="Every request that an integration or a connection test makes leaves a record here: when, for whom, where to, through which \
                    proxy or why not, and what became of it. Credentials, paths and query strings are never kept."
                />
            </div>
        }
        .into_any();
    }
    let next = page.next.map(|cursor| shown.next(&cursor));
    if page.items.is_empty()
        && let Some(older) = next
    {
        // A search that finds nothing for long is asked whether to go on.
        let (first, text) = match shown.query.cursor {
            None => (None, "The newest 20,000 requests hold no match. Older ones have not been looked at."),
            Some(_) => (Some(shown.first()), "The next 20,000 requests hold no match. Older ones have not been looked at."),
        };
        return view! {
            {live}
            <EmptyState icon=IconName::Search title="Nothing found yet" text>
                <LinkButton href=older>"Search older requests"</LinkButton>
                {first.map(|href| view! { <LinkButton href>"First page"</LinkButton> })}
            </EmptyState>
        }
        .into_any();
    }
    if page.items.is_empty() {
        return view! {
            {live}
            <EmptyState icon=IconName::Search title="No matches" text="No request fits this search and these filters.">
                <LinkButton href=shown.unfiltered()>"Clear filters"</LinkButton>
            </EmptyState>
        }
        .into_any();
    }
    let first = shown.query.cursor.is_some().then(|| shown.first());
    let rows = page.items.into_iter().map(|item| view! { <RequestRow item shown=shown.clone()/> }).collect_view();
    view! {
        {live}
        <DataTable
            caption="Requests, the newest first"
            head=ViewFnOnce::from(|| {
                view! {
                    <HeaderCell label="Request"/>
                    <HeaderCell label="Ended (UTC)"/>
                    <HeaderCell label="For"/>
                    <HeaderCell label="Way"/>
                    <HeaderCell label="Outcome"/>
                    <HeaderCell label="In / out" number=true/>
                    <HeaderCell label="Time" number=true/>
                }
            })
        >
            {rows}
        </DataTable>
        <Paging first next/>
    }
    .into_any()
}

#[component]
fn RequestRow(item: TrafficView, shown: Shown) -> impl IntoView {
    let at = item.at;
    let machine = at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    // Whole seconds are how other logs tell it, and how the two are compared.
    let (day, time) = (at.format("%Y-%m-%d").to_string(), at.format("%H:%M:%S").to_string());
    let kind = kind_of_consumer(&item.consumer.kind);
    let name = if item.consumer.name.is_empty() { "(not saved)".to_string() } else { item.consumer.name.clone() };
    let consumer = if item.consumer.id.is_empty() {
        view! { <span class="wrap-anywhere">{name}</span> }.into_any()
    } else {
        let href = shown.of_consumer(Some(&item.consumer.id));
        view! { <a class="link wrap-anywhere" href=href>{name}</a> }.into_any()
    };
    let way = match &item.route {
        Some(route) => view! { <span class="wrap-anywhere">{route.label()}</span> }.into_any(),
        None => view! { <span class="subtle">"no route"</span> }.into_any(),
    };
    let sizes = format!("{} / {}", bytes(item.bytes_in), bytes(item.bytes_out));
    let ms = duration(item.ms);
    let (method, host) = (item.method.clone(), item.host.clone());
    view! {
        <Row>
            <Cell label="Request" title=true>
                <div class="min-w-0 sm:min-w-52">
                    <span class="subtle text-sm font-normal sm:block">{method}" "</span>
                    <span class="break-all">{host}</span>
                </div>
            </Cell>
            <Cell label="Ended (UTC)">
                <time datetime=machine.clone() title=machine>
                    <span class="subtle text-sm whitespace-nowrap">{day}" "</span>
                    <span class="whitespace-nowrap">{time}</span>
                </time>
            </Cell>
            <Cell label="For">
                <div class="min-w-0">
                    {consumer}
                    <span class="subtle block text-sm">{kind}</span>
                </div>
            </Cell>
            <Cell label="Way">
                <div class="min-w-0">{way}</div>
            </Cell>
            <Cell label="Outcome">
                <Outcome item/>
            </Cell>
            <Cell label="In / out" number=true>
                <span class="whitespace-nowrap">{sizes}</span>
            </Cell>
            <Cell label="Time" number=true>
                <span class="whitespace-nowrap">{ms}</span>
            </Cell>
        </Row>
    }
    .into_any()
}

/// The target's status, or why there is none.
#[component]
fn Outcome(item: TrafficView) -> impl IntoView {
    let badge = match (item.cause, item.status) {
        (Some(_), _) => view! {
            <Badge kind=Kind::Error icon=IconName::XCircle>
                "Failed"
            </Badge>
        }
        .into_any(),
        // An answer that says no is an answer: the way is proved by it. But nothing to tick off.
        (None, Some(status)) if status >= 400 => view! { <Badge icon=IconName::Minus>{status}</Badge> }.into_any(),
        (None, Some(status)) => view! { <Badge icon=IconName::Check>{status}</Badge> }.into_any(),
        (None, None) => view! { <Badge icon=IconName::Check>"Answered"</Badge> }.into_any(),
    };
    let status = item.status.filter(|_| item.cause.is_some()).map(|status| view! { <span class="text-sm">{status}</span> });
    let cause = item.cause.map(|cause| view! { <span class="block text-sm wrap-anywhere">{cause.label()}</span> });
    view! {
        <div class="grid min-w-0 justify-items-start gap-0.5">
            <span class="flex items-center gap-2">{badge} {status}</span>
            {cause}
        </div>
    }
    .into_any()
}

/// What kind of consumer it is, for a person.
fn kind_of_consumer(kind: &str) -> String {
    match kind {
        "integration" => "Integration".to_string(),
        "integration_test" => "Test of an integration".to_string(),
        "proxy_test" => "Test of a proxy setting".to_string(),
        "webhook" => "Webhook".to_string(),
        "gateway" => "Gateway".to_string(),
        other => other.replace('_', " "),
    }
}

/// Search and filters: a GET form, asked by itself in the browser.
#[component]
fn Filters(shown: Shown, names: Names) -> impl IntoView {
    let text = |value: Option<String>| RwSignal::new(value.unwrap_or_default());
    let query = &shown.query;
    let clear = query.is_filtered().then(|| shown.unfiltered());
    let mut kept = shown.kept();
    kept.extend(query.consumer.clone().map(|id| ("consumer", id)));
    kept.extend(query.host.clone().map(|host| ("host", host)));
    let kept = kept.into_iter().map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view();
    view! {
        <form
            data-auto=""
            data-follow=""
            method="get"
            action=urls::PAGE
            role="search"
            aria-label="Requests"
            novalidate
            class="mb-4 grid group-has-[.nothing-yet]/list:hidden grid-cols-2 items-end gap-3 lg:grid-cols-[minmax(9rem,1fr)_repeat(2,minmax(7rem,12rem))_repeat(2,auto)]"
        >
            <div class="col-span-2 lg:col-span-1">
                <TextInput
                    name="q"
                    label="Search"
                    value=text(Some(query.q.clone()))
                    input_type="search"
                    placeholder="Host, integration, proxy, cause"
                    verbatim=true
                />
            </div>
            <SelectInput name="proxy" label="Way" value=text(query.proxy.clone()) options=names.ways/>
            <SelectInput name="cause" label="Outcome" value=text(query.cause.map(|c| c.as_str().to_string())) options=causes()/>
            <Moment name="from" label="From (UTC)" at=query.from/>
            <Moment name="to" label="To (UTC)" at=query.to/>
            // What the form has no field for. It follows the address with the rows.
            <span id="traffic-kept" data-region="" class="hidden">{kept}</span>
            <div class="col-span-2 flex items-center gap-1 lg:col-span-full">
                <Button>
                    <Icon name=IconName::Search/>
                    "Search"
                </Button>
                <span id="traffic-clear" data-region="">
                    {clear.map(|href| view! { <LinkButton href kind=ButtonKind::Ghost>"Clear filters"</LinkButton> })}
                </span>
            </div>
        </form>
    }
    .into_any()
}

/// A field for a moment, to the second.
#[component]
fn Moment(name: &'static str, label: &'static str, at: Option<Timestamp>) -> impl IntoView {
    let value = at.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string());
    view! {
        <div class="max-sm:col-span-2">
            <Field name label>
                <input class="input" type="datetime-local" step="1" id=name name=name value=value autocomplete="off"/>
            </Field>
        </div>
    }
    .into_any()
}

/// Every outcome that a request can have.
fn causes() -> Vec<(String, String)> {
    let option = |filter: CauseFilter, text: &str| (filter.as_str().to_string(), text.to_string());
    let mut causes = vec![
        (String::new(), "All".to_string()),
        option(CauseFilter::None, "All that worked"),
        option(CauseFilter::Any, "All that failed"),
    ];
    // These two are said of a whole analysis.
    let of_requests = Cause::ALL.into_iter().filter(|cause| !matches!(cause, Cause::NoEngine | Cause::AllFailed));
    causes.extend(of_requests.map(|cause| option(CauseFilter::One(cause), cause.label())));
    causes
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::Consumer;

    use super::*;

    #[test]
    fn every_outcome_can_be_asked_for() {
        for (value, _) in causes() {
            let (shown, errors) = urls::read(&format!("cause={value}"));
            assert!(errors.is_empty(), "{value}");
            assert_eq!(shown.query.cause.map(CauseFilter::as_str).unwrap_or_default(), value);
        }
    }

    #[test]
    fn what_is_gone_still_has_a_name() {
        let query = TrafficQuery { proxy: Some("p".into()), consumer: Some("i".into()), ..TrafficQuery::default() };
        let item = TrafficView {
            id: "1".into(),
            at: Timestamp::default(),
            consumer: Consumer { kind: "integration".into(), id: "i".into(), name: "VirusTotal".into() },
            method: "GET".into(),
            host: "a.example:443".into(),
            route: None,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            ms: 0,
            cause: None,
        };
        let page = Page { items: vec![item], next: None };
        let names = Names::of(&query, Some(&page), &[]);
        assert_eq!(names.consumer, "VirusTotal");
        assert_eq!(names.ways.last(), Some(&("p".to_string(), "A proxy that is not there any more".to_string())));
        assert_eq!(Names::of(&query, None, &[]).consumer, "one consumer");
    }
}
