//! Signing in: checked before it is sent.

// The macro makes structs of the props, whose documentation it does not take over.
#![allow(missing_docs)]

use gatehouse_domain::Email;
use leptos::{ev::SubmitEvent, prelude::*};

use crate::components::{Button, ButtonKind, PasswordInput, TextInput, focus_first_invalid};

const FORM: &str = "sign-in-form";

/// The form of `/sign-in`.
#[island]
pub fn SignInForm(
    /// Where to go afterwards; empty for the first page.
    next: String, /// The address of the last attempt.
    email: String,
) -> impl IntoView {
    let email = RwSignal::new(email);
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
    view! {
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
    }
    .into_any()
}
