//! The page that asks before a company is deleted.

use gatehouse_domain::AppError;
use leptos::prelude::*;
use leptos_meta::Title;

use super::{Found, company_path, crumbs, delete_path, load, use_id, waiting};
use crate::{
    components::{
        Banner, Breadcrumbs, Button, ButtonKind, ErrorState, Kind, LinkButton, PageHeader, TextInput, field_error, initial_value,
    },
    outcome::FormOutcome,
    page::{answer_with_status, use_outcome},
};

/// `/provider/companies/{id}/delete`.
#[component]
pub fn CompanyDeletePage() -> impl IntoView {
    let (id, outcome) = (use_id(), use_outcome());
    let page = async move {
        match load(&id).await {
            Ok(found) if !found.is_own => view! { <Question found outcome/> }.into_any(),
            other => {
                let error = other.map_or_else(|error| error.0, |_| AppError::Forbidden);
                answer_with_status(&error);
                view! {
                    <Breadcrumbs items=crumbs(&[("Delete", None)])/>
                    <PageHeader title="Delete a company"/>
                    <ErrorState error/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Delete a company"/>
        {Suspend::new(page)}
    }
    .into_any()
}

#[component]
fn Question(found: Found, outcome: FormOutcome) -> impl IntoView {
    let Found { company, days, .. } = found;
    let failure = outcome.error.as_ref().filter(|error| error.fields().is_empty());
    let failure = failure.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let problem = field_error(outcome.error.as_ref(), "confirm");
    let back = company_path(&company.id);
    view! {
        <Breadcrumbs items=crumbs(&[(company.name.as_str(), Some(back.clone())), ("Delete", None)])/>
        <PageHeader title=format!("Delete “{}”?", company.name)/>
        {failure}
        <form method="post" action=delete_path(&company.id) class="panel grid max-w-3xl gap-4" novalidate>
            <div class="grid min-w-0 gap-2 wrap-anywhere">
                <p>
                    "The company is suspended at once: nobody of it can sign in, and its sessions and API tokens stop working. "
                    <strong>{format!("All of it is deleted for good {}", waiting(days))}</strong>
                    {if days == 0 { "." } else { "; until then it can be resumed, and nothing is lost." }}
                </p>
                <p>
                    "Deleted are its people, their sessions and tokens, its invitations, proxy settings, integrations and their keys, analyses, traffic, health checks, the gateway's policy and people, and its audit log. What stays is in your own audit log, and that there was a company of this name in the installation's. Backups that were taken before still hold all of it."
                </p>
            </div>
            <TextInput
                name="confirm"
                label=format!("Type the company's name to confirm: {}", company.name)
                value=RwSignal::new(initial_value(&outcome, "confirm", ""))
                autofocus=problem.is_some()
                error=Signal::stored(problem)
                verbatim=true
                required=true
            />
            <div class="flex flex-wrap gap-2">
                <LinkButton href=back>"Cancel"</LinkButton>
                <Button kind=ButtonKind::Danger>"Delete the company"</Button>
            </div>
        </form>
    }
    .into_any()
}
