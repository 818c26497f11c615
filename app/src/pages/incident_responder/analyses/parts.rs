//! Small parts that several of these pages show.

use gatehouse_domain::{AnalysisStatus, AnalysisView, FieldErrors, Verdict};
use leptos::prelude::*;

use super::words::no_verdict;
use crate::components::{Badge, Banner, Icon, IconName, Kind, LinkButton};

/// A verdict: always its word, beside colour and icon.
#[component]
pub fn VerdictBadge(
    /// Which.
    verdict: Verdict,
) -> impl IntoView {
    let (kind, icon) = match verdict {
        Verdict::Malicious => (Kind::Error, IconName::XCircle),
        Verdict::Suspicious => (Kind::Warning, IconName::Warning),
        Verdict::Clean => (Kind::Success, IconName::CheckCircle),
        Verdict::Unknown => (Kind::Neutral, IconName::Minus),
    };
    view! {
        <Badge kind icon>
            {verdict.label()}
        </Badge>
    }
    .into_any()
}

/// What an analysis has come to: the verdict, whether it is all there is, or why there is none.
#[component]
pub fn Overall(
    /// The analysis; its results are not looked at.
    view: AnalysisView,
    /// Say why there is no verdict.
    #[prop(optional)]
    reason: bool,
) -> impl IntoView {
    let running = view.status == AnalysisStatus::Running;
    let verdict = match (view.verdict, running) {
        (Some(verdict), _) => view! { <VerdictBadge verdict/> }.into_any(),
        (None, true) => view! { <span class="subtle">"No verdict yet"</span> }.into_any(),
        (None, false) => view! {
            <Badge kind=Kind::Warning icon=IconName::Warning>
                "No verdict"
            </Badge>
        }
        .into_any(),
    };
    let why = (reason && view.verdict.is_none() && !running).then(|| no_verdict(view.cause));
    view! {
        <span class="flex flex-wrap items-center gap-x-2 gap-y-1">
            {verdict}
            {(running && view.verdict.is_some()).then(|| view! { <span class="subtle text-sm">"so far"</span> })}
            {(!running && view.incomplete && view.verdict.is_some())
                .then(|| {
                    view! {
                        <Badge kind=Kind::Warning icon=IconName::Warning>
                            "Incomplete"
                        </Badge>
                    }
                })}
            {why.map(|text| view! { <span class="subtle w-full text-sm">{text}</span> })}
        </span>
    }
    .into_any()
}

/// Parts of the page's address that mean nothing, each with what would.
#[component]
pub fn NotUnderstood(
    /// By parameter.
    errors: FieldErrors,
) -> impl IntoView {
    (!errors.is_empty())
        .then(|| {
            let texts = errors.0.into_iter().map(|(key, text)| view! { <li>{format!("{key}: {text}")}</li> }).collect_view();
            view! {
                <Banner kind=Kind::Warning title="A part of this address was not understood and is left out">
                    <ul class="m-0 list-disc pl-5">{texts}</ul>
                </Banner>
            }
        })
        .into_any()
}

/// Links to the first and the next page of a list.
#[component]
pub fn Paging(
    /// Where the first page is, unless this is it.
    first: Option<String>,
    /// Where the next page is, unless this is the last.
    next: Option<String>,
) -> impl IntoView {
    (first.is_some() || next.is_some())
        .then(|| {
            view! {
                <nav class="mt-4 flex flex-wrap gap-2" aria-label="Pages">
                    {first.map(|href| view! { <LinkButton href>"First page"</LinkButton> })}
                    {next.map(|href| view! { <LinkButton href>"Next"<Icon name=IconName::ChevronRight/></LinkButton> })}
                </nav>
            }
        })
        .into_any()
}
