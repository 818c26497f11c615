//! The first visit: makes the company and its first administrator.

use gatehouse_domain::{AppError, CompanyName, Email, NewPassword, PersonName, Secret};
use leptos::{ev::SubmitEvent, prelude::*};
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use crate::{
    api::access::check_setup_link,
    components::{
        Banner, Button, ButtonKind, CardPage, Kind, LinkButton, PasswordInput, TextInput, field_error, focus_first_invalid,
        initial_value,
    },
    outcome::FormOutcome,
    page::use_outcome,
};

const FORM: &str = "setup-form";

/// `/setup/:link`.
#[component]
pub fn SetUpPage() -> impl IntoView {
    let link = use_params_map().with_untracked(|params| params.get("link")).unwrap_or_default();
    let outcome = StoredValue::new(use_outcome());
    let valid = Resource::new_blocking(move || link.clone(), check_setup_link);
    view! {
        <Title text="Set up Gatehouse"/>
        <Suspense>
            {move || Suspend::new(async move {
                match valid.await {
                    Ok(()) => view! { <SetUpForm outcome=outcome.get_value()/> }.into_any(),
                    Err(error) => view! { <LinkRefused error=error.0/> }.into_any(),
                }
            })}
        </Suspense>
    }
    .into_any()
}

#[component]
fn LinkRefused(error: AppError) -> impl IntoView {
    let expired = error == AppError::LinkExpired;
    #[cfg(feature = "ssr")]
    if let (Some(response), Ok(status)) =
        (use_context::<leptos_axum::ResponseOptions>(), http::StatusCode::from_u16(error.status()))
    {
        response.set_status(status);
    }
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

/// See where it is used.
const AFTER_BLUR: std::time::Duration = std::time::Duration::from_millis(200);

#[component]
fn SetUpForm(outcome: FormOutcome) -> impl IntoView {
    let value = |name| RwSignal::new(initial_value(&outcome, name, ""));
    let problem = |name| RwSignal::new(field_error(outcome.error.as_ref(), name));
    let (company, company_error) = (value("company"), problem("company"));
    let (name, name_error) = (value("name"), problem("name"));
    let (email, email_error) = (value("email"), problem("email"));
    let (password, password_error) = (RwSignal::new(String::new()), problem("password"));
    let busy = RwSignal::new(false);

    let check_company = move || company_error.set(company.with_untracked(|text| CompanyName::parse(text).err()));
    let check_name = move || name_error.set(name.with_untracked(|text| PersonName::parse(text).err()));
    let check_email = move || email_error.set(email.with_untracked(|text| Email::parse(text).err()));
    let check_password =
        move || password_error.set(password.with_untracked(|text| NewPassword::parse(&Secret::new(text.as_str())).err()));

    let submit = move |event: SubmitEvent| {
        check_company();
        check_name();
        check_email();
        check_password();
        if [company_error, name_error, email_error, password_error].iter().any(|error| error.with_untracked(Option::is_some)) {
            event.prevent_default();
            focus_first_invalid(FORM);
        } else {
            busy.set(true);
        }
    };
    // A field that was left empty is not wrong until the form is sent; one that was wrong and is being put right is. It is
    // judged a moment after it was left: an error that appears at once moves the button that is being clicked.
    let left = move |text: RwSignal<String>, check: fn(&str) -> Option<String>, error: RwSignal<Option<String>>| {
        Callback::new(move |()| {
            let judge = move || {
                if text.try_with_untracked(|text| !text.is_empty()) == Some(true) {
                    error.set(text.with_untracked(|text| check(text)));
                }
            };
            set_timeout(judge, AFTER_BLUR);
        })
    };
    let refused = outcome.error.as_ref().map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    view! {
        <CardPage title="Set up Gatehouse" subtitle="Make your company and your account, its first administrator.">
            {refused}
            <form id=FORM class="stack" method="post" novalidate on:submit=submit>
                <TextInput
                    name="company"
                    label="Company name"
                    value=company
                    error=company_error
                    autocomplete="organization"
                    required=true
                    autofocus=true
                    on_input=Callback::new(move |_| company_error.set(None))
                />
                <TextInput
                    name="name"
                    label="Your name"
                    value=name
                    error=name_error
                    autocomplete="name"
                    required=true
                    on_input=Callback::new(move |_| name_error.set(None))
                />
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
                    on_input=Callback::new(move |_| email_error.set(None))
                    on_blur=left(email, |text| Email::parse(text).err(), email_error)
                />
                <PasswordInput
                    name="password"
                    label="Password"
                    hint=format!("At least {} characters. A few words in a row are easy to remember and hard to guess.", NewPassword::MIN)
                    value=password
                    error=password_error
                    autocomplete="new-password"
                    required=true
                    on_input=Callback::new(move |_| password_error.set(None))
                    on_blur=left(password, |text| NewPassword::parse(&Secret::new(text)).err(), password_error)
                />
                <Button kind=ButtonKind::Primary class="w-full" busy>
                    "Set up and sign in"
                </Button>
            </form>
        </CardPage>
    }
    .into_any()
}
