//! One analysis: how far it is, what each integration said, and what follows from it.

use gatehouse_domain::{
    AnalysisResult, AnalysisStatus, AnalysisView, Cause, Evidence, Indicator, MailSummary, ResultStatus, SubjectKind, Timestamp,
    overall,
};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use super::{
    crumbs,
    parts::{Overall, VerdictBadge},
    urls,
    words::{RULE, duration, groups, headline, hint, page_of_engine, sentence, subject},
};
use crate::{
    components::{
        Age, Badge, Banner, Breadcrumbs, Button, Cell, DataTable, EmptyState, ErrorState, HeaderCell, Icon, IconName, Kind,
        LinkButton, PageHeader, Row,
    },
    context::signed_in,
    error::ApiError,
    page::{answer_with_status, may_change},
    pages::incident_responder::traffic::urls as traffic_urls,
};

/// `/incident-responder/analyses/{id}`.
#[component]
pub fn AnalysisPage() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("id")).unwrap_or_default();
    let may_change = may_change();
    let page = async move {
        match load(&id).await {
            Ok(view) => view! { <Shown view may_change/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! {
                    <PageHeader title="Analysis"/>
                    <ErrorState error=error.0/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Analysis"/>
        <Breadcrumbs items=crumbs(Some("Analysis"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

async fn load(id: &str) -> Result<AnalysisView, ApiError> {
    let (platform, actor) = signed_in()?;
    Ok(platform.analysis(&actor, id).await?)
}

#[component]
fn Shown(view: AnalysisView, may_change: bool) -> impl IntoView {
    let running = view.status == AnalysisStatus::Running;
    let title = format!("Analysis of {}", subject(view.subject.kind));
    let rule = RULE.map(|text| view! { <li>{text}</li> }).collect_view();
    let (kind, value) = (view.subject.kind.label(), view.subject.value.clone());
    let (status, here, again) = (headline(&view), urls::page(&view.id), view.clone());
    view! {
        <PageHeader title>
            {may_change.then(|| view! { <Again view=again/> })}
        </PageHeader>
        <section class="panel" aria-labelledby="subject-heading">
            <h2 id="subject-heading" class="subtle text-sm font-normal">{kind}</h2>
            // Whatever is analysed may be hostile: a text, never a link.
            <p class="text-lg break-all" data-testid="subject">{value}</p>
        </section>
        // Read out when it changes; everything else changes too often.
        <p id="analysis-status" data-region="" role="status" class="sr-only">{status}</p>
        {running.then(|| view! { <WithoutScript href=here/> })}
        <div id="analysis" data-region="" class="grid grid-cols-[minmax(0,1fr)] gap-5">
            <Changing view/>
        </div>
        <details class="panel mt-5">
            <summary class="cursor-pointer font-medium">"How the verdict comes about"</summary>
            <ul class="mt-3 grid list-disc gap-1 pl-5">{rule}</ul>
        </details>
    }
    .into_any()
}

/// Without a script the page is asked for again, until the analysis is done.
#[component]
fn WithoutScript(href: String) -> impl IntoView {
    view! {
        <noscript>
            <meta http-equiv="refresh" content="3"/>
            <p class="mb-5">
                "This page is brought up to date every three seconds while the analysis is running. "
                <a class="link" href=href>"Bring it up to date now"</a> "."
            </p>
        </noscript>
    }
    .into_any()
}

/// The same once more. A file or a mail is not kept, so it has to be chosen again.
#[component]
fn Again(view: AnalysisView) -> impl IntoView {
    let kind = view.subject.kind;
    let by_value = matches!(kind, SubjectKind::Url | SubjectKind::Ip | SubjectKind::Hash);
    if !by_value {
        return view! { <LinkButton href=urls::LIST>"Analyse something else"</LinkButton> }.into_any();
    }
    view! {
        <form method="post" action=urls::LIST>
            <input type="hidden" name="kind" value=kind.as_str()/>
            <input type="hidden" name="indicator" value=view.subject.value/>
            <Button>
                <Icon name=IconName::Refresh/>
                "Analyse again"
            </Button>
        </form>
    }
    .into_any()
}

/// Everything that changes while it runs.
#[component]
fn Changing(view: AnalysisView) -> impl IntoView {
    let running = view.status == AnalysisStatus::Running;
    let when = When { from: view.created_at, to: view.finished_at };
    let groups = groups(&view.results)
        .into_iter()
        .map(|(indicator, results)| {
            // The page's head has named it already.
            let named = indicator.value == view.subject.value;
            view! { <Group indicator results when named/> }
        })
        .collect_view();
    let nobody = view.results.is_empty() && !running;
    view! {
        // Only while something changes by itself.
        {running.then(|| view! { <span data-refresh="1000" hidden></span> })}
        <Summary view=view.clone()/>
        {view.email.clone().map(|mail| view! { <Mail mail/> })}
        {if nobody {
            view! {
                <EmptyState
                    icon=IconName::Info
                    title="Nobody was asked"
                    text="No active integration can look at this. Activate one that does, then analyse it again."
                >
                    <LinkButton href="/incident-responder/integrations">"Integrations"</LinkButton>
                </EmptyState>
            }
                .into_any()
        } else {
            view! {
                <section class="grid grid-cols-[minmax(0,1fr)] gap-5" aria-labelledby="results-heading">
                    <h2 id="results-heading">"What the integrations say"</h2>
                    {groups}
                </section>
            }
                .into_any()
        }}
    }
    .into_any()
}

/// The overall verdict, how it came about, how far it is, and who asked.
#[component]
fn Summary(view: AnalysisView) -> impl IntoView {
    let running = view.status == AnalysisStatus::Running;
    let text = sentence(&view);
    let (total, done) = (view.total, view.done);
    let took = view.finished_at.and_then(|end| u64::try_from((end - view.created_at).num_milliseconds()).ok()).map(duration);
    let (by, at) = (view.by.clone(), view.created_at);
    view! {
        <section class="panel grid gap-3" aria-labelledby="verdict-heading">
            <div class="flex flex-wrap items-center gap-x-3 gap-y-1">
                <h2 id="verdict-heading">"Verdict"</h2>
                <span data-testid="verdict">
                    <Overall view/>
                </span>
            </div>
            <p class="wrap-anywhere">{text}</p>
            {running
                .then(|| {
                    view! {
                        <div class="grid gap-1">
                            <label for="analysis-progress" class="text-sm">{format!("{done} of {total} look-ups done")}</label>
                            <progress
                                id="analysis-progress"
                                class="progress-bar"
                                max=total.max(1).to_string()
                                value=done.to_string()
                            ></progress>
                        </div>
                    }
                })}
            <p class="subtle text-sm wrap-anywhere">
                "Started by "{by}", "<Age at/>
                {took.map(|took| format!("; took {took}"))}
            </p>
        </section>
    }
    .into_any()
}

/// What a reported e-mail says about itself, and what of that is not true.
#[component]
fn Mail(mail: MailSummary) -> impl IntoView {
    let facts = [
        ("Subject", mail.subject),
        ("From", mail.from),
        ("To", mail.to),
        ("Date", mail.date),
        ("Message-ID", mail.message_id),
        ("Sender's address", mail.sender_ip),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(label, value)| {
            value.map(|value| {
                view! {
                    <dt class="subtle">{label}</dt>
                    <dd class="m-0 break-words wrap-anywhere">{value}</dd>
                }
            })
        })
        .collect_view();
    let lying = (!mail.lying_links.is_empty()).then(|| {
        let links = mail
            .lying_links
            .into_iter()
            .map(|link| {
                view! {
                    <li class="break-all">
                        "shows " <strong class="font-medium">{link.shows}</strong> ", leads to "
                        <strong class="font-medium">{link.leads_to}</strong>
                    </li>
                }
            })
            .collect_view();
        view! {
            <Banner kind=Kind::Warning title="Links that do not lead where they say">
                <ul class="m-0 grid list-disc gap-1 pl-5">{links}</ul>
            </Banner>
        }
    });
    let notes = (!mail.notes.is_empty()).then(|| {
        let notes = mail.notes.into_iter().map(|note| view! { <li class="wrap-anywhere">{note}</li> }).collect_view();
        view! {
            <Banner kind=Kind::Info title="Not everything in this mail could be looked at">
                <ul class="m-0 list-disc pl-5">{notes}</ul>
            </Banner>
        }
    });
    view! {
        <section class="panel grid grid-cols-[minmax(0,1fr)] gap-4" aria-labelledby="mail-heading">
            <h2 id="mail-heading">"What the e-mail says"</h2>
            <dl class="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-1 text-sm">{facts}</dl>
            {lying}
            {notes}
        </section>
    }
    .into_any()
}

/// When the analysis ran: to find its requests in the traffic.
#[derive(Debug, Clone, Copy)]
struct When {
    from: Timestamp,
    to: Option<Timestamp>,
}

/// One indicator and what each integration said about it.
#[component]
fn Group(indicator: Indicator, results: Vec<AnalysisResult>, when: When, named: bool) -> impl IntoView {
    let all = overall(&results);
    let done = results.iter().all(|result| result.status == ResultStatus::Done);
    let caption = format!("{}: {}", indicator.kind.label(), indicator.value);
    let rows = results.into_iter().map(|result| view! { <ResultRow result when/> }).collect_view();
    let verdict = match all.verdict {
        Some(verdict) => view! { <VerdictBadge verdict/> }.into_any(),
        None if done => view! { <Badge kind=Kind::Warning icon=IconName::Warning>"No verdict"</Badge> }.into_any(),
        None => view! { <span class="subtle text-sm">"No verdict yet"</span> }.into_any(),
    };
    let note = indicator.note.clone();
    view! {
        <div class="grid grid-cols-[minmax(0,1fr)] gap-2">
            {(!named)
                .then(|| {
                    view! {
                        <div class="flex flex-wrap items-center gap-x-3 gap-y-1">
                            <h3 class="min-w-0 font-medium break-all">
                                <span class="subtle font-normal">{indicator.kind.label()}" "</span>
                                {indicator.value}
                            </h3>
                            {verdict}
                            {note.map(|note| view! { <span class="subtle w-full text-sm wrap-anywhere">{note}</span> })}
                        </div>
                    }
                })}
            <DataTable
                caption
                head=ViewFnOnce::from(|| {
                    view! {
                        <HeaderCell label="Integration"/>
                        <HeaderCell label="Result"/>
                        <HeaderCell label="Way"/>
                        <HeaderCell label="Time"/>
                    }
                })
            >
                {rows}
            </DataTable>
        </div>
    }
    .into_any()
}

#[component]
fn ResultRow(result: AnalysisResult, when: When) -> impl IntoView {
    let integration = result.integration.clone();
    let way = match &result.route {
        Some(route) => {
            let href = traffic_urls::of_consumer(&integration.id, when.from, when.to);
            let label = format!("Traffic of {}", integration.name);
            view! {
                <span class="block wrap-anywhere">{route.label()}</span>
                <a class="link text-sm" href=href aria-label=label>
                    "Traffic"
                </a>
            }
            .into_any()
        }
        None if result.status == ResultStatus::Done => view! { <span class="subtle">"no request made"</span> }.into_any(),
        None => view! { <span class="subtle">"not yet"</span> }.into_any(),
    };
    let time = match (result.status, result.ms) {
        (ResultStatus::Done, ms) => ms.map(|ms| view! { <span class="whitespace-nowrap">{duration(ms)}</span> }.into_any()),
        _ => Some(view! { <span class="subtle">"not yet"</span> }.into_any()),
    };
    let href = format!("/incident-responder/integrations/{}", integration.id);
    view! {
        <Row>
            <Cell label="Integration" title=true>
                <a class="link inline-block break-words sm:min-w-32" href=href>
                    {integration.name}
                </a>
            </Cell>
            <Cell label="Result">
                <ResultCell result/>
            </Cell>
            <Cell label="Way">
                <div class="min-w-0 sm:min-w-36">{way}</div>
            </Cell>
            <Cell label="Time">
                {time}
            </Cell>
        </Row>
    }
    .into_any()
}

/// The state of one look-up: waiting, running, a verdict with what speaks for it, or why there is none.
#[component]
fn ResultCell(result: AnalysisResult) -> impl IntoView {
    let state = match (result.status, result.verdict, result.cause) {
        (ResultStatus::Queued, ..) => view! { <Badge icon=IconName::Clock>{ResultStatus::Queued.label()}</Badge> }.into_any(),
        (ResultStatus::Running, ..) => view! {
            <Badge kind=Kind::Info icon=IconName::Clock>
                {ResultStatus::Running.label()}
            </Badge>
        }
        .into_any(),
        (ResultStatus::Done, Some(verdict), _) => view! { <VerdictBadge verdict/> }.into_any(),
        (ResultStatus::Done, None, Some(Cause::Excluded)) => view! { <Badge icon=IconName::Minus>"Not asked"</Badge> }.into_any(),
        (ResultStatus::Done, None, _) => view! {
            <Badge kind=Kind::Error icon=IconName::XCircle>
                "No verdict"
            </Badge>
        }
        .into_any(),
    };
    let running = result.status == ResultStatus::Running;
    let progress = result.progress.filter(|_| running);
    // A cause is too long for a badge.
    let cause = result.cause.map(|cause| view! { <span class="font-medium">{cause.label()}</span> });
    let advice = result.cause.map(|cause| view! { <span class="subtle text-sm">{hint(cause)}</span> });
    let message = result.message.map(|text| view! { <span class="text-sm wrap-anywhere">{text}</span> });
    let name = result.integration.name.clone();
    let link = page_of_engine(result.link.as_deref()).map(|href| {
        let href = href.to_string();
        view! {
            <a class="link inline-flex min-h-6 items-center gap-1 text-sm" href=href target="_blank" rel="noopener noreferrer">
                "Report"
                <span class="sr-only">" of "{name}": opens the service's page in a new tab"</span>
                <Icon name=IconName::ExternalLink/>
            </a>
        }
    });
    view! {
        <div class="grid min-w-0 justify-items-start gap-1">
            <span class="flex flex-wrap items-center gap-x-2 gap-y-1">{state} {cause}</span>
            {progress.map(|text| view! { <span class="text-sm wrap-anywhere">{text}</span> })}
            {message}
            {advice}
            <EvidenceList evidence=result.evidence/>
            {result
                .cached
                .then(|| view! { <span class="subtle text-sm">"An earlier answer, used again: no request was made."</span> })}
            {link}
        </div>
    }
    .into_any()
}

/// What speaks for a verdict. Texts of the service: never links.
#[component]
fn EvidenceList(evidence: Vec<Evidence>) -> impl IntoView {
    (!evidence.is_empty())
        .then(|| {
            let items = evidence
                .into_iter()
                .map(|item| {
                    view! {
                        <div class="min-w-0">
                            <dt class="subtle inline">{item.label}": "</dt>
                            <dd class="m-0 inline break-words wrap-anywhere">{item.value}</dd>
                        </div>
                    }
                })
                .collect_view();
            view! { <dl class="grid min-w-0 gap-0.5 text-sm">{items}</dl> }
        })
        .into_any()
}
