//! The page that asks before an integration is deleted.

use gatehouse_domain::{AppError, IntegrationView};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{crumbs, load, urls, use_id};
use crate::{
    components::{Banner, Breadcrumbs, Button, ButtonKind, ErrorState, Kind, LinkButton, PageHeader},
    page::{answer_with_status, may_change, use_outcome},
};

/// `/incident-responder/integrations/{id}/delete`.
#[component]
pub fn IntegrationDeletePage() -> impl IntoView {
    let (id, outcome, may_change) = (use_id(), use_outcome(), may_change());
    let page = async move {
        match load(&id).await {
            Ok(view) if may_change => view! { <Question view error=outcome.error/> }.into_any(),
            other => {
                let error = other.map_or_else(|error| error.0, |_| AppError::Forbidden);
                answer_with_status(&error);
                view! {
                    <PageHeader title="Delete an integration"/>
                    <ErrorState error/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Delete an integration"/>
        <Breadcrumbs items=crumbs(Some("Delete"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

#[component]
fn Question(view: IntegrationView, error: Option<AppError>) -> impl IntoView {
    let error = error.map(|error| match error {
        AppError::Changed(_) => {
            "Somebody else changed this integration meanwhile. Look at it again before you delete it.".to_string()
        }
        error => error.to_string(),
    });
    view! {
        <PageHeader title=format!("Delete “{}”?", view.name)/>
        {error.map(|title| view! { <Banner kind=Kind::Error title/> })}
        <form method="post" action=urls::delete(&view.id) class="panel grid grid-cols-[minmax(0,1fr)] gap-4">
            <div class="grid min-w-0 gap-2 wrap-anywhere">
                <p>
                    "The integration with " <strong>{view.type_name}</strong> " at " <strong>{view.api_url}</strong>
                    " will be gone for good, with its keys. Analyses no longer ask it; what it has found so far stays with them."
                </p>
                <p>"To stop it for a while, deactivate it instead."</p>
            </div>
            <input type="hidden" name="version" value=view.version.to_string()/>
            <div class="flex flex-wrap gap-2">
                <LinkButton href=urls::LIST>"Cancel"</LinkButton>
                <Button kind=ButtonKind::Danger>"Delete"</Button>
            </div>
        </form>
    }
    .into_any()
}
