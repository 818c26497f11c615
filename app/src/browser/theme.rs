//! The theme changes in place, so that nothing typed is lost; without this the form comes back to the page.

use leptos::{
    ev::SubmitEvent,
    prelude::{document, window},
    wasm_bindgen::JsCast as _,
};

use super::{closest, on};

/// Takes over the form of the theme switch.
pub(super) fn listen() {
    on(&document(), "submit", |event: SubmitEvent| {
        let Some(form) = closest::<web_sys::HtmlFormElement>(&event, "form.theme-form") else { return };
        let Some(chosen) = event.submitter().and_then(|button| button.dyn_into::<web_sys::HtmlButtonElement>().ok()) else {
            return;
        };
        event.prevent_default();
        apply(&chosen.value());
        if let Ok(options) = form.query_selector_all("button") {
            for at in 0..options.length() {
                let Some(option) = options.get(at).and_then(|node| node.dyn_into::<web_sys::HtmlButtonElement>().ok()) else {
                    continue;
                };
                let pressed = if option.value() == chosen.value() { "true" } else { "false" };
                drop(option.set_attribute("aria-pressed", pressed));
            }
        }
    });
}

/// Shows the theme at once and has the server remember it.
fn apply(theme: &str) {
    if let Some(root) = document().document_element() {
        let done = if theme.is_empty() { root.remove_attribute("data-theme") } else { root.set_attribute("data-theme", theme) };
        drop(done);
    }
    let init = web_sys::RequestInit::new();
    init.set_method("POST");
    init.set_redirect(web_sys::RequestRedirect::Manual);
    if let Ok(body) = web_sys::UrlSearchParams::new() {
        body.append("theme", theme);
        body.append("back", "/");
        init.set_body(&body);
        // Should it fail, the theme lasts until the page is left: nothing to trouble anybody with.
        drop(window().fetch_with_str_and_init("/theme", &init));
    }
}
