//! API tokens: the question before one is revoked.

// The macro makes structs of the props, whose documentation it does not take over.
#![allow(missing_docs)]

use leptos::{ev::SubmitEvent, html, prelude::*};

use crate::{
    browser::{closest, on},
    components::ConfirmDialog,
};

const REVOKE_FORM: &str = "revoke-form";

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
