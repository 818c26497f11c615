//! One company, as its provider sees it.

use gatehouse_domain::{CompanyStatus, CompanyView};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{Found, StatusNote, company_path, crumbs, delete_path, load, use_id, waiting};
use crate::{
    components::{
        Banner, Breadcrumbs, Button, ButtonKind, Day, ErrorState, Icon, IconName, Kind, LinkButton, PageHeader, TextInput,
        field_error, initial_value,
    },
    outcome::FormOutcome,
    page::{answer_with_status, use_outcome},
    pages::company::people::NewLink,
};

/// `/provider/companies/{id}`.
#[component]
pub fn CompanyPage() -> impl IntoView {
    let (id, outcome) = (use_id(), use_outcome());
    let page = async move {
        match load(&id).await {
            Ok(found) => view! { <Company found outcome/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! {
                    <Breadcrumbs items=crumbs(&[("Company", None)])/>
                    <PageHeader title="A company"/>
                    <ErrorState error=error.0/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="A company"/>
        {Suspend::new(page)}
    }
    .into_any()
}

#[component]
fn Company(found: Found, outcome: FormOutcome) -> impl IntoView {
    let Found { company, is_own, days } = found;
    let error = outcome.error.as_ref();
    let may_invite = company.people == 0 && company.status == CompanyStatus::Active;
    // What is wrong with the address stands beside it, where there is a field for it.
    let failure = error.and_then(|error| match (error.fields().get("email"), error.fields().get("id")) {
        (Some(_), _) if may_invite => None,
        (Some(message), _) | (None, Some(message)) => Some(message.to_string()),
        (None, None) => Some(error.to_string()),
    });
    let failure = failure.map(|title| view! { <Banner kind=Kind::Error title/> });
    let new_link = outcome.invitation.clone().map(|invitation| view! { <NewLink invitation/> });
    let invite = may_invite.then(|| {
        let problem = field_error(error, "email");
        view! { <InviteForm id=company.id.clone() value=initial_value(&outcome, "email", "") problem/> }
    });
    let export = format!("/api/v1/companies/{}/export", company.id);
    let state = if is_own {
        view! { <p class="subtle">"This is your own company: it can't be suspended or deleted from here."</p> }.into_any()
    } else {
        view! { <State company=company.clone() days/> }.into_any()
    };
    let (people, at) = (company.people, company.created_at);
    view! {
        <Breadcrumbs items=crumbs(&[(company.name.as_str(), None)])/>
        <PageHeader title=company.name.clone()/>
        {failure}
        {new_link}
        {invite}
        <section class="panel grid max-w-3xl gap-4" aria-labelledby="about-heading">
            <h2 id="about-heading">"About this company"</h2>
            <dl class="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-2 text-sm">
                <dt class="subtle">"Status"</dt>
                <dd class="m-0">
                    <StatusNote company/>
                </dd>
                <dt class="subtle">"People"</dt>
                <dd class="m-0">{people}</dd>
                <dt class="subtle">"Since"</dt>
                <dd class="m-0">
                    <Day at/>
                </dd>
            </dl>
            {state}
            <div>
                <LinkButton href=export>
                    "Export"
                </LinkButton>
                <p class="subtle mt-1 text-sm">
                    "Everything of the company but its secrets and the files of its analyses, as JSON. That you took it stands in its audit log."
                </p>
            </div>
        </section>
    }
    .into_any()
}

/// The answer to it holds the link, with an island beside it: so the page is loaded anew.
#[component]
fn InviteForm(id: String, value: String, problem: Option<String>) -> impl IntoView {
    view! {
        <section class="panel mb-4 max-w-3xl" aria-labelledby="invite-heading">
            <h2 id="invite-heading">"Invite its first administrator"</h2>
            <form class="inline-form" method="post" action=company_path(&id) novalidate>
                <TextInput
                    name="email"
                    label="E-mail address"
                    hint="They become the company's owner, and invite all others themselves. An earlier link for the same address stops working."
                    value=RwSignal::new(value)
                    input_type="email"
                    autofocus=problem.is_some()
                    error=Signal::stored(problem)
                    verbatim=true
                    required=true
                />
                <Button kind=ButtonKind::Primary name="intent" value="invite">
                    "Make an invitation link"
                </Button>
            </form>
        </section>
    }
    .into_any()
}

/// Suspended, resumed, deleted: what each means, and its button.
#[component]
fn State(company: CompanyView, days: u16) -> impl IntoView {
    let (intent, label, text) = match company.status {
        CompanyStatus::Active => (
            "suspend",
            "Suspend",
            "Suspended, nobody of it can sign in: sessions and API tokens stop working at once, and nothing of it runs by itself. It can be resumed at any time.",
        ),
        CompanyStatus::Suspended => ("resume", "Resume", "Nobody of it can sign in, and nothing of it runs by itself."),
        CompanyStatus::Deleting => (
            "resume",
            "Keep and resume",
            "Nobody of it can sign in. When its time is over, all of it is deleted for good, unless it is resumed before.",
        ),
    };
    let delete = (company.status != CompanyStatus::Deleting).then(|| {
        view! {
            <div>
                <LinkButton href=delete_path(&company.id) kind=ButtonKind::Ghost>
                    <Icon name=IconName::Trash/>
                    "Delete…"
                </LinkButton>
                <p class="subtle mt-1 text-sm">{format!("It is suspended, and deleted {}. It asks first.", waiting(days))}</p>
            </div>
        }
    });
    view! {
        <form method="post" action=company_path(&company.id)>
            <Button name="intent" value=intent>
                {label}
            </Button>
            <p class="subtle mt-1 text-sm">{text}</p>
        </form>
        {delete}
    }
    .into_any()
}
