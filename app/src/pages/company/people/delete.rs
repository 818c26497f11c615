//! The page that asks before somebody is removed.

use gatehouse_domain::AppError;
use leptos::prelude::*;
use leptos_meta::Title;

use super::{Found, PEOPLE, crumbs, delete_path, load, use_id};
use crate::{
    components::{Banner, Breadcrumbs, Button, ButtonKind, ErrorState, Kind, LinkButton, PageHeader},
    page::{answer_with_status, use_outcome},
};

/// `/company/settings/people/{id}/delete`.
#[component]
pub fn PersonDeletePage() -> impl IntoView {
    let (id, outcome) = (use_id(), use_outcome());
    let page = async move {
        match load(&id).await {
            Ok(found) if !found.roles.is_empty() => view! { <Question found error=outcome.error/> }.into_any(),
            other => {
                let error = other.map_or_else(|error| error.0, |_| AppError::Forbidden);
                answer_with_status(&error);
                view! {
                    <PageHeader title="Remove a person"/>
                    <ErrorState error/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Remove a person"/>
        <Breadcrumbs items=crumbs(Some("Remove"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

#[component]
fn Question(found: Found, error: Option<AppError>) -> impl IntoView {
    let Found { person, is_you, .. } = found;
    let error = error.map(|error| match error {
        AppError::Changed(_) => {
            "Somebody else changed this person meanwhile. Look at them again before you remove them.".to_string()
        }
        // There is no field here that it could stand beside.
        error => error.fields().get("role").map_or_else(|| error.to_string(), ToString::to_string),
    });
    let title = if is_you { "Remove yourself?".to_string() } else { format!("Remove “{}”?", person.name) };
    view! {
        <PageHeader title/>
        {error.map(|title| view! { <Banner kind=Kind::Error title/> })}
        <form method="post" action=delete_path(&person.id) class="panel grid grid-cols-[minmax(0,1fr)] gap-4">
            <div class="grid min-w-0 gap-2 wrap-anywhere">
                <p>
                    <strong>{person.email}</strong>
                    " can no longer sign in: all their sessions end and their API tokens stop working, at once. What they made stays."
                </p>
                <p>"To let them in again, invite them."</p>
                {is_you.then(|| view! { <p><strong>"This is you: you will be signed out."</strong></p> })}
            </div>
            <input type="hidden" name="version" value=person.version.to_string()/>
            <div class="flex flex-wrap gap-2">
                <LinkButton href=PEOPLE>"Cancel"</LinkButton>
                <Button kind=ButtonKind::Danger>"Remove"</Button>
            </div>
        </form>
    }
    .into_any()
}
