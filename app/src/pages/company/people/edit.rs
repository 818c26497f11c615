//! One of the company's people: what they are called and may do.

use gatehouse_domain::{AppError, Operation, PersonView};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    Found, PEOPLE, crumbs, delete_path, edit_path, load,
    parts::{RoleBadge, SecondFactor},
    role_options, use_id,
};
use crate::{
    components::{
        Banner, Breadcrumbs, Button, ButtonKind, Day, ErrorState, Icon, IconName, Kind, LinkButton, PageHeader, SelectInput,
        TextInput, field_error, initial_value,
    },
    outcome::FormOutcome,
    page::{answer_with_status, may, use_outcome},
};

/// `/company/settings/people/{id}`.
#[component]
pub fn PersonEditPage() -> impl IntoView {
    let (id, outcome, may_change) = (use_id(), use_outcome(), may(Operation::ReplacePerson));
    let page = async move {
        match load(&id).await {
            Ok(found) => view! { <Person found outcome may_change/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! {
                    <PageHeader title="Edit a person"/>
                    <ErrorState error=error.0/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Edit a person"/>
        <Breadcrumbs items=crumbs(Some("Edit"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

#[component]
fn Person(found: Found, outcome: FormOutcome, may_change: bool) -> impl IntoView {
    let Found { person, is_you, roles } = found;
    let why = if roles.is_empty() {
        Some(if may_change {
            "Only an owner can change an owner."
        } else {
            "Your role allows looking at people, not changing them."
        })
    } else {
        None
    };
    let title = if is_you { format!("{} (you)", person.name) } else { person.name.clone() };
    let form = why.is_none().then(|| view! { <EditForm person=person.clone() roles=role_options(&roles) outcome/> });
    let remove = why.is_none().then(|| delete_path(&person.id));
    view! {
        <PageHeader title subtitle=person.email.clone()/>
        {why.map(|title| view! { <Banner kind=Kind::Info title/> })}
        {form}
        <About person remove/>
    }
    .into_any()
}

#[component]
fn EditForm(person: PersonView, roles: Vec<(String, String)>, outcome: FormOutcome) -> impl IntoView {
    let changed = matches!(outcome.error, Some(AppError::Changed(_)));
    let failure = outcome.error.as_ref().filter(|error| error.fields().is_empty()).map(|error| {
        let title = if changed {
            format!(
                "Somebody else changed this person meanwhile: now they are “{}”, {}. Save again to write over it.",
                person.name,
                person.role.label()
            )
        } else {
            error.to_string()
        };
        view! { <Banner kind=Kind::Error title/> }
    });
    let now = person.version.to_string();
    // Who was told what it is now may write over it.
    let version = if changed { now } else { initial_value(&outcome, "version", &now) };
    let error = |name: &str| Signal::stored(field_error(outcome.error.as_ref(), name));
    let value = |name: &str, stored: &str| RwSignal::new(initial_value(&outcome, name, stored));
    view! {
        <form class="panel grid max-w-3xl gap-4" method="post" action=edit_path(&person.id) novalidate data-enhance="" data-guard="">
            <div class="grid gap-4" id="person-form" data-region="">
                {failure}
                <input type="hidden" name="version" value=version/>
                <TextInput name="name" label="Name" value=value("name", &person.name) error=error("name") required=true/>
                <SelectInput
                    name="role"
                    label="Role"
                    hint="It holds from their next request on; they stay signed in."
                    value=value("role", person.role.as_str())
                    options=roles
                    error=error("role")
                />
            </div>
            <div class="flex flex-wrap gap-2">
                <Button kind=ButtonKind::Primary>"Save"</Button>
                <LinkButton href=PEOPLE kind=ButtonKind::Ghost>
                    "Cancel"
                </LinkButton>
            </div>
        </form>
    }
    .into_any()
}

/// What is known about them besides, and the way to remove them.
#[component]
fn About(person: PersonView, remove: Option<String>) -> impl IntoView {
    let PersonView { email, role, has_second_factor: on, created_at: at, .. } = person;
    let remove = remove.map(|href| {
        view! {
            <div>
                <LinkButton href kind=ButtonKind::Ghost>
                    <Icon name=IconName::Trash/>
                    "Remove…"
                </LinkButton>
            </div>
        }
    });
    view! {
        <section class="panel mt-4 grid max-w-3xl gap-3" aria-labelledby="about-heading">
            <h2 id="about-heading">"About this person"</h2>
            <dl class="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-2 text-sm">
                <dt class="subtle">"E-mail"</dt>
                <dd class="m-0 wrap-anywhere">{email}</dd>
                <dt class="subtle">"Role"</dt>
                <dd class="m-0">
                    <RoleBadge role/>
                </dd>
                <dt class="subtle">"One-time password"</dt>
                <dd class="m-0">
                    <SecondFactor on/>
                </dd>
                <dt class="subtle">"Since"</dt>
                <dd class="m-0">
                    <Day at/>
                </dd>
            </dl>
            {remove}
        </section>
    }
    .into_any()
}
