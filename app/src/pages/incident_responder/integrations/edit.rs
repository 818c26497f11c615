//! The pages around the form of an integration.

use gatehouse_domain::{AppError, EngineSpec, IntegrationForm, IntegrationView};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    crumbs,
    fields::{Fields, fresh, proxy_options},
    form::{EditForm, typed},
    load, urls, use_id,
};
use crate::{
    components::{Banner, Breadcrumbs, ErrorState, Kind, LinkButton, PageHeader},
    context::signed_in,
    error::ApiError,
    islands::proxies::urls::pairs,
    outcome::FormOutcome,
    page::{answer_with_status, may_change, use_outcome, use_path},
};

/// `/incident-responder/integrations/new`: first the type, then the form for it.
#[component]
pub fn IntegrationNewPage() -> impl IntoView {
    let outcome = use_outcome();
    let asked = pairs(&use_path().1).into_iter().find(|(name, _)| name == "type").map(|(_, kind)| kind);
    let kind = outcome.values.get("type").cloned().or(asked).filter(|kind| !kind.is_empty());
    let page = async move {
        match new_page(kind, outcome).await {
            Ok(page) => page,
            Err(error) => failed("New integration", error.0),
        }
    };
    view! {
        <Title text="New integration"/>
        <Breadcrumbs items=crumbs(Some("New"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

async fn new_page(kind: Option<String>, outcome: FormOutcome) -> Result<AnyView, ApiError> {
    if !may_change() {
        return Err(AppError::Forbidden.into());
    }
    let (platform, _) = signed_in()?;
    match kind.as_deref().map(|kind| platform.engine_spec(kind)) {
        Some(Some(spec)) => {
            let fields = fields(spec, None, fresh(spec), &outcome).await?;
            Ok(view! {
                <PageHeader title=format!("New integration: {}", spec.label)>
                    <LinkButton href=urls::NEW>"Another type"</LinkButton>
                </PageHeader>
                <EditForm fields outcome may_change=true/>
            }
            .into_any())
        }
        wrong => {
            let specs: Vec<_> = platform.engine_specs().collect();
            Ok(view! { <Types specs unknown=wrong.is_some()/> }.into_any())
        }
    }
}

/// What there is to choose from.
#[component]
fn Types(specs: Vec<&'static EngineSpec>, unknown: bool) -> impl IntoView {
    let cards = specs
        .into_iter()
        .map(|spec| {
            let can = [(spec.can.url, "URLs"), (spec.can.sender_ip, "sender IPs"), (spec.can.attachment, "attachments")];
            let can: Vec<_> = can.iter().filter(|(can, _)| *can).map(|(_, what)| *what).collect();
            view! {
                <li class="grid">
                    <a class="panel grid content-start gap-1 hover:border-primary" href=urls::new_of(spec.kind)>
                        <span class="font-semibold">{spec.label}</span>
                        <span class="text-sm">{spec.summary}</span>
                        <span class="subtle text-sm">"Looks at "{can.join(", ")}</span>
                    </a>
                </li>
            }
        })
        .collect_view();
    view! {
        <PageHeader title="New integration" subtitle="Which service shall be asked?"/>
        {unknown.then(|| view! { <Banner kind=Kind::Warning title="There is no such type. Choose one of these."/> })}
        <ul class="grid gap-3 sm:grid-cols-2 xl:grid-cols-3">{cards}</ul>
    }
    .into_any()
}

/// `/incident-responder/integrations/{id}`.
#[component]
pub fn IntegrationEditPage() -> impl IntoView {
    let (id, outcome) = (use_id(), use_outcome());
    let page = async move {
        match edit_page(&id, outcome).await {
            Ok(page) => page,
            Err(error) => failed("Edit an integration", error.0),
        }
    };
    view! {
        <Title text="Edit an integration"/>
        <Breadcrumbs items=crumbs(Some("Edit"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

async fn edit_page(id: &str, outcome: FormOutcome) -> Result<AnyView, ApiError> {
    let may_change = may_change();
    let view = load(id).await?;
    let (platform, _) = signed_in()?;
    let title = format!("Edit “{}”", view.name);
    let Some(spec) = platform.engine_spec(&view.kind) else {
        // Saved by a program that knew the type.
        return Ok(view! {
            <PageHeader title/>
            <Banner kind=Kind::Error title=format!("This program has no engine of the type {}: the integration can't be changed, only deleted.", view.kind)>
                <LinkButton href=urls::delete(&view.id)>"Delete…"</LinkButton>
            </Banner>
        }
        .into_any());
    };
    let stored = view.to_form();
    let fields = fields(spec, Some(view), stored, &outcome).await?;
    Ok(view! {
        <PageHeader title/>
        <EditForm fields outcome may_change/>
    }
    .into_any())
}

/// What stands in the form: what was posted, else `otherwise`.
async fn fields(
    spec: &'static EngineSpec, saved: Option<IntegrationView>, otherwise: IntegrationForm, outcome: &FormOutcome,
) -> Result<Fields, ApiError> {
    let (platform, actor) = signed_in()?;
    let lost = |name: &str| outcome.values.contains_key(name);
    Ok(Fields {
        spec,
        typed: typed(outcome, otherwise),
        saved,
        errors: outcome.error.as_ref().map(AppError::fields).unwrap_or_default(),
        lost: (lost("typed_api_key"), lost("typed_api_password")),
        proxies: proxy_options(&platform, &actor).await?,
    })
}

fn failed(title: &'static str, error: AppError) -> AnyView {
    answer_with_status(&error);
    view! {
        <PageHeader title/>
        <ErrorState error/>
    }
    .into_any()
}
