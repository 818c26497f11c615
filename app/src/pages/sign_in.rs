//! Signing in with e-mail and password.

use gatehouse_domain::{AppError, Secret};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use crate::{
    api::access::needs_setup,
    app::{encode, local_path},
    components::{Banner, Button, ButtonKind, CardPage, Kind, TextInput, field_error, initial_value},
    islands::sign_in::SignInForm,
    outcome::{FormOutcome, ShownOnce},
    page::{use_outcome, use_session},
};

/// `/sign-in?next=<path>`.
#[component]
pub fn SignInPage() -> impl IntoView {
    let next = use_query_map().with_untracked(|query| query.get("next")).unwrap_or_default();
    let outcome = use_outcome();
    // After a failed attempt the address has lost its query, the form's own field has not.
    let next = local_path(outcome.values.get("next").unwrap_or(&next)).unwrap_or_default().to_string();
    if use_session().is_some() {
        leptos_axum::redirect(if next.is_empty() { "/" } else { &next });
        return ().into_any();
    }
    let page = async move {
        // Should the database not answer, the form says so when it is used.
        if needs_setup().await.unwrap_or(false) {
            view! { <SetUpNeeded/> }.into_any()
        } else {
            view! { <SignIn next outcome/> }.into_any()
        }
    };
    view! {
        <Title text="Sign in"/>
        {Suspend::new(page)}
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
fn SignIn(next: String, outcome: FormOutcome) -> impl IntoView {
    let email = initial_value(&outcome, "email", "");
    if let Some(ShownOnce::Continuation(continuation)) = outcome.shown_once {
        return view! { <SecondStep next email continuation error=outcome.error/> }.into_any();
    }
    let expired = outcome.values.contains_key("expired");
    let failure = outcome.error.map(|error| {
        let text = match &error {
            AppError::WrongCredentials if expired => None,
            AppError::WrongCredentials => Some("Check for upper and lower case, and the e-mail address for typing mistakes."),
            AppError::TooManySignIns(_) => Some("This protects accounts against guessing."),
            _ => None,
        };
        let title = if expired { "That took too long. Enter your password again.".to_string() } else { error.to_string() };
        view! {
            <Banner kind=Kind::Error title>
                {text.map(|text| view! { <p>{text}</p> })}
            </Banner>
        }
    });
    view! {
        <CardPage title="Sign in" subtitle="to your company's console">
            {failure}
            <SignInForm next email/>
        </CardPage>
    }
    .into_any()
}

/// After the right password, for those who have one-time passwords turned on. Plain HTML: what stands for the password has no business in an
/// island's props.
#[component]
fn SecondStep(next: String, email: String, continuation: Secret, error: Option<AppError>) -> impl IntoView {
    let (code, recovery) = (field_error(error.as_ref(), "code"), field_error(error.as_ref(), "recovery_code"));
    let with_recovery = recovery.is_some();
    let back = if next.is_empty() { "/sign-in".to_string() } else { format!("/sign-in?next={}", encode(&next)) };
    let kept = [("next", next), ("email", email.clone()), ("continuation", continuation.expose().to_string())];
    let kept = move || kept.clone().map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view();
    let (kept_here, kept_there) = (kept(), kept());
    view! {
        <CardPage title="One-time password" subtitle=format!("to sign in as {email}")>
            <form class="stack" method="post" action="/sign-in" novalidate>
                {kept_here}
                <TextInput
                    name="code"
                    label="One-time password"
                    hint="The six digits that your authenticator app shows now."
                    value=RwSignal::new(String::new())
                    error=Signal::stored(code)
                    autocomplete="one-time-code"
                    inputmode="numeric"
                    required=true
                    verbatim=true
                    autofocus=!with_recovery
                />
                <Button kind=ButtonKind::Primary class="w-full">
                    "Sign in"
                </Button>
            </form>
            <details open=with_recovery>
                <summary class="cursor-pointer py-1 font-medium">"Use a recovery code instead"</summary>
                <form class="stack mt-3" method="post" action="/sign-in" novalidate>
                    {kept_there}
                    <TextInput
                        name="recovery_code"
                        label="Recovery code"
                        hint="One of those that were shown when one-time passwords were turned on. Each works once."
                        value=RwSignal::new(String::new())
                        error=Signal::stored(recovery)
                        verbatim=true
                        autofocus=with_recovery
                    />
                    <Button class="w-full">"Sign in with this code"</Button>
                </form>
            </details>
            <p>
                <a class="link" href=back>
                    "Start again"
                </a>
            </p>
        </CardPage>
    }
    .into_any()
}
