//! Accepting an invitation.

use gatehouse_domain::{AppError, NewPassword, Secret};
use gatehouse_platform::people::InvitationFor;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use crate::{
    components::{Banner, Button, ButtonKind, CardPage, Field, Kind, LinkButton, TextInput, field_error, initial_value},
    context::request,
    error::ApiError,
    outcome::FormOutcome,
    page::{answer_with_status, use_outcome, use_session},
};

/// `/invitation/:secret`.
#[component]
pub fn InvitationPage() -> impl IntoView {
    let link = use_params_map().with_untracked(|params| params.get("secret")).unwrap_or_default();
    let outcome = use_outcome();
    let page = async move {
        match load(link).await {
            Ok(invitation) => view! { <Accept invitation outcome/> }.into_any(),
            Err(error) => view! { <LinkRefused error=error.0/> }.into_any(),
        }
    };
    view! {
        <Title text="Your invitation"/>
        {Suspend::new(page)}
    }
    .into_any()
}

async fn load(link: String) -> Result<InvitationFor, ApiError> {
    Ok(request()?.platform.invitation(&Secret::new(link)).await?)
}

/// As on the set-up page, what is wrong is told by the server alone.
#[component]
fn Accept(invitation: InvitationFor, outcome: FormOutcome) -> impl IntoView {
    let InvitationFor { company, email, invited_by, role } = invitation;
    let error = outcome.error.as_ref();
    // Of the address nothing can be changed here, so what is wrong with it stands above.
    let failure = match (error, field_error(error, "email")) {
        (_, Some(message)) => Some(message),
        (Some(error), None) if error.fields().is_empty() => Some(error.to_string()),
        _ => None,
    };
    let failure = failure.map(|title| view! { <Banner kind=Kind::Error title/> });
    let other = use_session().filter(|session| session.email != email).map(|session| {
        let title = format!("In this browser {} is signed in. Accepting signs you in instead.", session.email);
        view! { <Banner kind=Kind::Info title/> }
    });
    let password = password(field_error(error, "password"));
    let (name, name_error) = (RwSignal::new(initial_value(&outcome, "name", "")), field_error(error, "name"));
    view! {
        <CardPage title=format!("Join {company}") subtitle=format!("{invited_by} invites you, as {}.", role.label().to_lowercase())>
            {other}
            <form class="stack" method="post" novalidate data-enhance="">
                <div id="invitation-parts" data-region="" class="stack">
                    {failure}
                    <Field label="E-mail address" name="email" hint=Some("You sign in with it.".to_string())>
                        <input
                            class="input"
                            id="email"
                            type="email"
                            autocomplete="username"
                            readonly
                            aria-describedby="email-hint"
                            value=email
                        />
                    </Field>
                    <TextInput
                        name="name"
                        label="Your name"
                        value=name
                        error=Signal::stored(name_error)
                        autocomplete="name"
                        required=true
                        autofocus=true
                    />
                    {password}
                </div>
                <Button kind=ButtonKind::Primary class="w-full">
                    "Accept and sign in"
                </Button>
            </form>
        </CardPage>
    }
    .into_any()
}

/// A new password, which is never shown again.
pub(super) fn password(error: Option<String>) -> AnyView {
    let hint = format!("At least {} characters. A few words in a row are easy to remember and hard to guess.", NewPassword::MIN);
    let (invalid, described) = match error {
        Some(_) => (Some("true"), "password-error password-hint"),
        None => (None, "password-hint"),
    };
    view! {
        <Field label="Password" name="password" error=Signal::stored(error) hint=Some(hint)>
            <input
                class="input"
                id="password"
                name="password"
                type="password"
                autocomplete="new-password"
                autocapitalize="none"
                spellcheck="false"
                aria-required="true"
                aria-invalid=invalid
                aria-describedby=described
            />
        </Field>
    }
    .into_any()
}

#[component]
fn LinkRefused(error: AppError) -> impl IntoView {
    let expired = error == AppError::LinkExpired;
    answer_with_status(&error);
    view! {
        <CardPage title=if expired { "This invitation does not work any more" } else { "This did not work" }>
            <div class="prose">
                <p>{error.to_string()}</p>
                {expired
                    .then(|| {
                        view! {
                            <p>
                                "An invitation's link works once, for a week, and not when it was withdrawn. If you have used it already, sign in; else ask whoever invited you for a new one."
                            </p>
                        }
                    })}
            </div>
            <LinkButton href="/sign-in" kind=ButtonKind::Primary>
                "Go to sign-in"
            </LinkButton>
        </CardPage>
    }
    .into_any()
}
