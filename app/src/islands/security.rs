//! What is shown once: copied and printed.

// The macro makes structs of the props, whose documentation it does not take over.
#![allow(missing_docs)]

use leptos::{prelude::*, wasm_bindgen::JsCast as _};

use crate::{
    browser::use_hydrated,
    components::{Icon, IconName, toast_success},
};

/// A field with what is shown once, which is plain HTML (a secret has no business in an island's props), and buttons that copy and print it.
#[island]
pub fn CopyText(
    /// The field's id.
    of: String, /// What is said when it is copied.
    done: String,
    /// With a button that prints the page.
    print: bool, /// The field.
    children: Children,
) -> impl IntoView {
    let hydrated = use_hydrated();
    let copy = move |_| {
        let Some(field) = document().get_element_by_id(&of) else { return };
        let text = if let Some(input) = field.dyn_ref::<web_sys::HtmlInputElement>() {
            input.select();
            input.value()
        } else if let Some(area) = field.dyn_ref::<web_sys::HtmlTextAreaElement>() {
            area.select();
            area.value()
        } else {
            return;
        };
        // Outside of a secure context there is no clipboard: it is selected, Ctrl+C does the rest.
        if window().is_secure_context() {
            drop(window().navigator().clipboard().write_text(&text));
            toast_success(&done);
        } else {
            toast_success("It is selected: copy it with Ctrl+C.");
        }
    };
    view! {
        <div class="copy-row">
            {children()}
            <button type="button" class="btn js-only" class:invisible=move || !hydrated.get() on:click=copy>
                <Icon name=IconName::Copy/>
                "Copy"
            </button>
            {print
                .then(|| {
                    view! {
                        <button
                            type="button"
                            class="btn js-only"
                            class:invisible=move || !hydrated.get()
                            on:click=move |_| drop(window().print())
                        >
                            "Print"
                        </button>
                    }
                })}
        </div>
    }
    .into_any()
}
