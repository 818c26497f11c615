//! API tokens: the button that copies a new one (or another secret that is shown once), the question before one is revoked.

// The macro makes structs of the props, whose documentation it does not take over.
#![allow(missing_docs)]

use leptos::{ev::SubmitEvent, html, prelude::*, wasm_bindgen::JsCast as _};

use crate::{
    browser::{closest, on, use_hydrated},
    components::{ConfirmDialog, Icon, IconName, toast_success},
};

const REVOKE_FORM: &str = "revoke-form";

/// The field with a new token or link, which is plain HTML (a secret has no business in an island's props), and a button that
/// copies it.
#[island]
pub fn CopyField(
    /// The id of the input.
    field: String, /// What screen readers call it.
    label: String,
    /// What is copied, in a word, for the message.
    what: String, /// The input.
    children: Children,
) -> impl IntoView {
    let hydrated = use_hydrated();
    let id = field.clone();
    let copy = move |_| {
        let field = document().get_element_by_id(&id).and_then(|field| field.dyn_into::<web_sys::HtmlInputElement>().ok());
        let Some(field) = field else { return };
        field.select();
        // Outside of a secure context there is no clipboard: it is selected, Ctrl+C does the rest.
        if window().is_secure_context() {
            drop(window().navigator().clipboard().write_text(&field.value()));
            toast_success(&["The ", &what, " is in the clipboard."].concat());
        } else {
            toast_success(&["The ", &what, " is selected: copy it with Ctrl+C."].concat());
        }
    };
    view! {
        <div class="copy-row">
            <label class="sr-only" for=field>{label}</label>
            {children()}
            <button type="button" class="btn js-only" class:invisible=move || !hydrated.get() on:click=copy>
                <Icon name=IconName::Copy/>
                "Copy"
            </button>
        </div>
    }
    .into_any()
}

/// The question before a token is revoked: asked when a form with `data-revoke` is posted.
#[island]
pub fn RevokeDialog() -> impl IntoView {
    let open = RwSignal::new(false);
    let busy = RwSignal::new(false);
    let (action, name, ends_with) = (RwSignal::new(String::new()), RwSignal::new(String::new()), RwSignal::new(String::new()));
    // Effects run in the browser only.
    Effect::new(move |_| {
        on(&document(), "submit", move |event: SubmitEvent| {
            let Some(form) = closest::<web_sys::HtmlFormElement>(&event, "form[data-revoke]") else { return };
            event.prevent_default();
            action.set(form.action());
            name.set(form.get_attribute("data-revoke").unwrap_or_default());
            ends_with.set(form.get_attribute("data-ends-with").unwrap_or_default());
            open.set(true);
        });
    });
    let form = NodeRef::<html::Form>::new();
    view! {
        <form id=REVOKE_FORM method="post" action=move || action.get() node_ref=form hidden></form>
        <ConfirmDialog
            id="revoke"
            open
            title="Revoke this token?"
            confirm_label="Revoke token"
            danger=true
            busy
            keep_open=true
            on_confirm=Callback::new(move |()| {
                if let Some(form) = form.get_untracked() {
                    busy.set(true);
                    drop(form.submit());
                }
            })
        >
            <p>
                <strong>{move || name.get()}</strong>" (ends with "<code>"…"{move || ends_with.get()}</code>
                ") stops working at once. Programs that use it can no longer sign in. This can't be undone."
            </p>
        </ConfirmDialog>
    }
    .into_any()
}
