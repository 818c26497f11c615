//! Signing in with e-mail and password.

use gatehouse_domain::AppError;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

use crate::{
    api::access::needs_setup,
    app::local_path,
    components::{Banner, CardPage, Kind, initial_value},
    islands::sign_in::SignInForm,
    outcome::FormOutcome,
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
    let failure = outcome.error.map(|error| {
        let text = match &error {
            AppError::WrongCredentials => Some("Check for upper and lower case, and the e-mail address for typing mistakes."),
            AppError::TooManySignIns { .. } => Some("This protects accounts against guessing."),
            _ => None,
        };
        view! {
            <Banner kind=Kind::Error title=error.to_string()>
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
