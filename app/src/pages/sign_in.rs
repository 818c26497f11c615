//! Signing in with e-mail and password.

use gatehouse_domain::{AppError, Email};
use leptos::{ev::SubmitEvent, prelude::*};
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use crate::{
    api::access::needs_setup,
    app::{local_path, redirect},
    components::{Banner, Button, ButtonKind, CardPage, Kind, PasswordInput, TextInput, focus_first_invalid, initial_value},
    page::{use_outcome, use_session},
};

const FORM: &str = "sign-in-form";

/// `/sign-in?next=<path>`.
#[component]
pub fn SignInPage() -> impl IntoView {
    let next = use_query_map().with_untracked(|query| query.get("next")).unwrap_or_default();
    let outcome = use_outcome();
    // After a failed attempt the address has lost its query, the form's own field has not.
    let next = local_path(outcome.values.get("next").unwrap_or(&next)).unwrap_or_default().to_string();
    if use_session().is_some() {
        redirect(if next.is_empty() { "/" } else { &next });
        return ().into_any();
    }
    let empty = Resource::new_blocking(|| (), |()| needs_setup());
    let form = StoredValue::new((next, outcome));
    view! {
        <Title text="Sign in"/>
        <Suspense>
            {move || Suspend::new(async move {
                // Should the database not answer, the form says so when it is used.
                if empty.await.unwrap_or(false) {
                    view! { <SetUpNeeded/> }.into_any()
                } else {
                    let (next, outcome) = form.get_value();
                    view! { <SignInForm next outcome/> }.into_any()
                }
            })}
        </Suspense>
    }
    .into_any()
}

#[component]
fn SetUpNeeded() -> impl IntoView {
    view! {
        <CardPage title="Set up Gatehouse first" subtitle="There is no company here yet, so nobody can sign in.">
            <div class="prose">
                <p>
                    "When the server started, it printed a "<strong>"set-up link"</strong>
                    " in the terminal (or the service's log). Open that link in this browser: it makes your company and your account."
                </p>
                <p>"The link works once and for a day. Start the server again to get a new one."</p>
            </div>
        </CardPage>
    }
    .into_any()
}

#[component]
fn SignInForm(next: String, outcome: crate::outcome::FormOutcome) -> impl IntoView {
    let email = RwSignal::new(initial_value(&outcome, "email", ""));
    let password = RwSignal::new(String::new());
    let email_error = RwSignal::new(None::<String>);
    let password_error = RwSignal::new(None::<String>);
    let busy = RwSignal::new(false);
    // After a wrong attempt the address is there already.
    let has_email = email.with_untracked(|text| !text.is_empty());

    let submit = move |event: SubmitEvent| {
        email_error.set(email.with_untracked(|text| Email::parse(text).err()));
        password_error.set(password.with_untracked(String::is_empty).then(|| "Enter your password.".to_string()));
        if email_error.with_untracked(Option::is_some) || password_error.with_untracked(Option::is_some) {
            event.prevent_default();
            focus_first_invalid(FORM);
        } else {
            busy.set(true);
        }
    };
    let failure = outcome.error.map(|error| {
        let (title, text) = match &error {
            AppError::WrongCredentials => {
                (error.to_string(), Some("Check for upper and lower case, and the e-mail address for typing mistakes."))
            }
            AppError::TooManySignIns { .. } => (error.to_string(), Some("This protects accounts against guessing.")),
            _ => (error.to_string(), None),
        };
        view! {
            <Banner kind=Kind::Error title>
                {text.map(|text| view! { <p>{text}</p> })}
            </Banner>
        }
    });
    view! {
        <CardPage title="Sign in" subtitle="to your company's console">
            {failure}
            <form id=FORM class="stack" method="post" action="/sign-in" novalidate on:submit=submit>
                <input type="hidden" name="next" value=next/>
                <TextInput
                    name="email"
                    label="E-mail address"
                    value=email
                    error=email_error
                    input_type="email"
                    autocomplete="username"
                    required=true
                    verbatim=true
                    autofocus=!has_email
                    on_input=Callback::new(move |_| email_error.set(None))
                />
                <PasswordInput
                    name="password"
                    label="Password"
                    value=password
                    error=password_error
                    autocomplete="current-password"
                    required=true
                    autofocus=has_email
                    on_input=Callback::new(move |_| password_error.set(None))
                />
                <Button kind=ButtonKind::Primary class="w-full" busy>
                    "Sign in"
                </Button>
            </form>
        </CardPage>
    }
    .into_any()
}
