//! Setting up: every field is checked when it was left, and again before the form is sent.

// The macro makes structs of the props, whose documentation it does not take over.
#![allow(missing_docs)]

use gatehouse_domain::{CompanyName, Email, NewPassword, PersonName, Secret};
use leptos::{ev::SubmitEvent, prelude::*};

use super::{AFTER_BLUR, Packed};
use crate::{
    components::{Button, ButtonKind, PasswordInput, TextInput, field_error, focus_first_invalid, initial_value},
    outcome::FormOutcome,
};

const FORM: &str = "setup-form";

/// The form of `/setup/:link`.
#[island]
pub fn SetUpForm(
    /// What the last attempt led to.
    outcome: Packed<FormOutcome>,
) -> impl IntoView {
    let Packed(outcome) = outcome;
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
                if text.with_untracked(|text| !text.is_empty()) {
                    error.set(text.with_untracked(|text| check(text)));
                }
            };
            set_timeout(judge, AFTER_BLUR);
        })
    };
    view! {
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
    }
    .into_any()
}
