//! Health checks: how often everything is tested by itself, who is told of changes, and what changed.

use gatehouse_domain::{ChecksView, HealthChange, WebhookMessage, checks::INTERVALS};
use leptos::prelude::*;
use leptos_meta::Title;

use crate::{
    components::{
        Age, Badge, Banner, Breadcrumbs, Button, ButtonKind, Cell, DataTable, EmptyState, ErrorState, HeaderCell, HealthBadge,
        IconName, Kind, PageHeader, Row, SelectInput, TextInput, field_error, initial_value,
    },
    context::signed_in,
    error::ApiError,
    outcome::FormOutcome,
    page::{answer_with_status, may_change, use_outcome},
    pages::incident_responder::integrations::{proxy_label, proxy_options},
};

const PAGE: &str = "/company/settings/checks";

/// `/company/settings/checks`.
#[component]
pub fn ChecksPage() -> impl IntoView {
    let (outcome, may_change) = (use_outcome(), may_change());
    let content = async move {
        match load().await {
            Ok(found) => view! { <Found found outcome may_change/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! { <ErrorState error=error.0/> }.into_any()
            }
        }
    };
    view! {
        <Title text="Health Checks"/>
        <Breadcrumbs items=vec![("Company".into(), None), ("Company Settings".into(), None), ("Health Checks".into(), None)]/>
        <PageHeader
            title="Health Checks"
            subtitle="Active integrations and all proxy settings are tested by themselves. A change of health is written down, and a webhook can be told."
        />
        {Suspend::new(content)}
    }
    .into_any()
}

/// What the page shows.
struct Shown {
    checks: ChecksView,
    changes: Vec<HealthChange>,
    /// Value and text of each way that the webhook can be told.
    ways: Vec<(String, String)>,
}

async fn load() -> Result<Shown, ApiError> {
    let (platform, actor) = signed_in()?;
    let checks = platform.checks(&actor).await?;
    let mut ways = proxy_options(&platform, &actor).await?;
    let chosen = checks.webhook_proxy.to_field();
    // Else the browser would show, and send, another one.
    if ways.iter().all(|(value, _)| value != chosen) {
        ways.push((chosen.to_string(), proxy_label(&checks.webhook_proxy, None)));
    }
    Ok(Shown { checks, ways, changes: platform.health_changes(&actor).await? })
}

#[component]
fn Found(found: Shown, outcome: FormOutcome, may_change: bool) -> impl IntoView {
    let Shown { checks, ways, changes } = found;
    let failure = outcome.error.as_ref().filter(|error| error.fields().is_empty());
    let failure = failure.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let error = |name: &str| Signal::stored(field_error(outcome.error.as_ref(), name));
    let signal = |name: &str, stored: String| RwSignal::new(initial_value(&outcome, name, &stored));
    let intervals = INTERVALS.iter().map(|minutes| (minutes.to_string(), interval(*minutes))).collect();
    let next = checks.next_at.map(|at| view! { <p class="subtle text-sm">"Next round: " <Age at/></p> });
    let message = checks.last_message.clone().map(|message| view! { <LastMessage message/> });
    let chosen = checks.webhook_proxy.to_field().to_string();
    view! {
        <form class="panel grid max-w-3xl gap-4" method="post" action=PAGE novalidate data-enhance="" data-guard="">
            <div class="grid gap-4" id="checks-form" data-region="" data-posted="">
                {failure}
                <fieldset class="contents" disabled=!may_change>
                    <SelectInput
                        name="every_minutes"
                        label="Test everything"
                        value=signal("every_minutes", checks.every_minutes.to_string())
                        options=intervals
                        error=error("every_minutes")
                        hint="Each test asks the service once, with its key, through the chosen proxy. The first round is at once."
                    />
                    <TextInput
                        name="webhook_url"
                        label="Webhook"
                        value=signal("webhook_url", checks.webhook_url.clone().unwrap_or_default())
                        error=error("webhook_url")
                        hint="Gets a POST of JSON for each change of health: {\"event\": \"health_changed\", \"text\": …, \"change\": …}. Empty: nobody is told."
                        verbatim=true
                    />
                    <SelectInput
                        name="webhook_proxy"
                        label="Proxy for the webhook"
                        value=signal("webhook_proxy", chosen)
                        options=ways
                        error=error("webhook_proxy")
                    />
                </fieldset>
            </div>
            <div class="grid gap-4 empty:hidden" id="checks-state" data-region="">
                {next}
                {message}
            </div>
            {may_change
                .then(|| {
                    view! {
                        <div>
                            <Button kind=ButtonKind::Primary>"Save"</Button>
                        </div>
                    }
                })}
        </form>
        <section aria-labelledby="changes-heading">
            <h2 id="changes-heading" class="mt-6 mb-3">"Changes of health"</h2>
            <div id="health-changes" data-region="" data-refresh="5000">
                <Changes changes/>
            </div>
        </section>
    }
    .into_any()
}

fn interval(minutes: u16) -> String {
    match minutes {
        0 => "Never by itself".to_string(),
        60 => "Every hour".to_string(),
        1440 => "Once a day".to_string(),
        minutes if minutes > 60 => format!("Every {} hours", minutes / 60),
        minutes => format!("Every {minutes} minutes"),
    }
}

#[component]
fn LastMessage(message: WebhookMessage) -> impl IntoView {
    let (kind, icon, word) =
        if message.ok { (Kind::Success, IconName::CheckCircle, "taken") } else { (Kind::Error, IconName::XCircle, "not taken") };
    view! {
        <p class="flex flex-wrap items-center gap-2 text-sm">
            "Last message to the webhook:"
            <Badge kind icon>
                {word}
            </Badge>
            <span class="subtle">
                <Age at=message.at/>
            </span>
            {(!message.ok).then(|| view! { <span class="wrap-anywhere">{message.message}</span> })}
        </p>
    }
    .into_any()
}

#[component]
fn Changes(changes: Vec<HealthChange>) -> impl IntoView {
    if changes.is_empty() {
        return view! {
            <EmptyState
                icon=IconName::CheckCircle
                title="No changes yet"
                text="When a test of an integration or a proxy setting ends otherwise than the one before, it stands here."
            />
        }
        .into_any();
    }
    let head = || {
        view! {
            <HeaderCell label="When"/>
            <HeaderCell label="What"/>
            <HeaderCell label="Was"/>
            <HeaderCell label="Is"/>
            <HeaderCell label="Why"/>
        }
        .into_any()
    };
    let rows = changes.into_iter().map(|change| view! { <ChangeRow change/> }).collect_view();
    view! {
        <DataTable caption="Changes of health" head=head.into()>
            {rows}
        </DataTable>
    }
    .into_any()
}

#[component]
fn ChangeRow(change: HealthChange) -> impl IntoView {
    let (href, kind) = match change.kind.as_str() {
        "proxy" => (format!("/company/settings/proxies/{}", change.of), "proxy setting"),
        _ => (format!("/incident-responder/integrations/{}", change.of), "integration"),
    };
    let from = match change.from {
        Some(health) => view! { <HealthBadge health/> }.into_any(),
        None => view! { <span class="subtle">"not tested"</span> }.into_any(),
    };
    let (at, to, name, message) = (change.at, change.to, change.name, change.message);
    view! {
        <Row>
            <Cell label="When">
                <Age at/>
            </Cell>
            <Cell label="What" title=true>
                <span>
                    <a class="link break-words" href=href>
                        {name}
                    </a>
                    <span class="subtle block text-sm font-normal">{kind}</span>
                </span>
            </Cell>
            <Cell label="Was"><span>{from}</span></Cell>
            <Cell label="Is">
                <span>
                    <HealthBadge health=to/>
                </span>
            </Cell>
            <Cell label="Why">
                <span class="wrap-anywhere">{message}</span>
            </Cell>
        </Row>
    }
    .into_any()
}
