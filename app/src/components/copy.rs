//! What is shown once, with buttons that copy and print it.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

/// A field, and a button that copies what is in it. The buttons wait for `browser::enhance`, which listens to them.
#[component]
pub fn CopyRow(
    /// The field's id.
    of: &'static str, /// What screen readers call it.
    label: &'static str,
    /// What is said when it is copied.
    done: &'static str,
    /// With a button that prints the page.
    #[prop(optional)]
    print: bool, /// The field.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="copy-row">
            <label class="sr-only" for=of>
                {label}
            </label>
            {children()}
            <button type="button" class="btn js-only when-ready" data-copy=of data-done=done>
                <Icon name=IconName::Copy/>
                "Copy"
            </button>
            {print
                .then(|| {
                    view! {
                        <button type="button" class="btn js-only when-ready" data-print>
                            "Print"
                        </button>
                    }
                })}
        </div>
    }
    .into_any()
}
