//! The first visit: makes the company and its first administrator.

use gatehouse_domain::AppError;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use crate::{
    api::access::check_setup_link,
    components::{Banner, Button, ButtonKind, CardPage, Kind, LinkButton, TextInput, field_error, initial_value},
    outcome::FormOutcome,
    page::{answer_with_status, use_outcome},
    pages::invitation::password,
};

/// `/setup/:link`.
#[component]
pub fn SetUpPage() -> impl IntoView {
    let link = use_params_map().with_untracked(|params| params.get("link")).unwrap_or_default();
    let outcome = use_outcome();
    let page = async move {
        match check_setup_link(link).await {
            Ok(()) => view! {
                <CardPage title="Set up Gatehouse" subtitle="Make your company and your account, its first administrator.">
                    <SetUpForm outcome/>
                </CardPage>
            }
            .into_any(),
            Err(error) => view! { <LinkRefused error=error.0/> }.into_any(),
        }
    };
    view! {
        <Title text="Set up Gatehouse"/>
        {Suspend::new(page)}
    }
    .into_any()
}

/// What is wrong is told by the server alone: nobody sets up twice, so this needs no island.
#[component]
fn SetUpForm(outcome: FormOutcome) -> impl IntoView {
    let value = |name| RwSignal::new(initial_value(&outcome, name, ""));
    let problem = |name| Signal::stored(field_error(outcome.error.as_ref(), name));
    let refused = outcome.error.as_ref().map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let (company, name, email) = (value("company"), value("name"), value("email"));
    let (company_error, name_error, email_error) = (problem("company"), problem("name"), problem("email"));
    view! {
        <form class="stack" method="post" novalidate data-enhance="">
            <div id="setup-parts" data-region="" class="stack">
                {refused}
                <TextInput
                    name="company"
                    label="Company name"
                    value=company
                    error=company_error
                    autocomplete="organization"
                    required=true
                    autofocus=true
                />
                <TextInput name="name" label="Your name" value=name error=name_error autocomplete="name" required=true/>
                <TextInput
                    name="email"
                    label="Your e-mail address"
                    hint="You sign in with it."
                    value=email
                    error=email_error
                    input_type="email"
                    autocomplete="username"
                    required=true
                    verbatim=true
                />
                {password(field_error(outcome.error.as_ref(), "password"))}
            </div>
            <Button kind=ButtonKind::Primary class="w-full">
                "Set up and sign in"
            </Button>
        </form>
    }
    .into_any()
}

#[component]
fn LinkRefused(error: AppError) -> impl IntoView {
    let expired = error == AppError::LinkExpired;
    answer_with_status(&error);
    view! {
        <CardPage title=if expired { "This set-up link does not work" } else { "This did not work" }>
            <div class="prose">
                <p>{error.to_string()}</p>
                {expired.then(|| view! { <p>"If Gatehouse is set up already, sign in."</p> })}
            </div>
            <LinkButton href="/sign-in" kind=ButtonKind::Primary>
                "Go to sign-in"
            </LinkButton>
        </CardPage>
    }
    .into_any()
}
