//! What the browser does to a page besides its islands: small things that need no component, bound to the document once.

mod ages;
mod enhance;
pub mod regions;
mod theme;

use leptos::{
    ev::MouseEvent,
    prelude::*,
    wasm_bindgen::{JsCast, closure::Closure},
};
use web_sys::{Element, Event, EventTarget};

/// Called once per page, before the islands come to life.
pub fn start() {
    theme::listen();
    ages::start();
    enhance::start();
}

/// Says that the page does what is asked of it, for style sheets and tests. Called by the last island of a page.
pub(crate) fn ready() {
    if let Some(root) = document().document_element() {
        drop(root.set_attribute("data-ready", ""));
    }
}

/// Whether the browser has taken over: false on the server and until the island is hydrated, so what hangs on it may differ
/// between the two.
#[must_use]
pub fn use_hydrated() -> Signal<bool> {
    let hydrated = RwSignal::new(false);
    Effect::new(move |_| hydrated.set(true));
    hydrated.into()
}

/// Listens for as long as the page is there.
pub(crate) fn on<E: JsCast>(target: &EventTarget, event: &str, mut listener: impl FnMut(E) + 'static) {
    let listener = Closure::<dyn FnMut(Event)>::new(move |event: Event| {
        if let Ok(event) = event.dyn_into::<E>() {
            listener(event);
        }
    });
    drop(target.add_event_listener_with_callback(event, listener.as_ref().unchecked_ref()));
    listener.forget();
}

/// The nearest element around where an event happened that fits this selector.
pub(crate) fn closest<E: JsCast>(event: &Event, selector: &str) -> Option<E> {
    event.target()?.dyn_into::<Element>().ok()?.closest(selector).ok()??.dyn_into().ok()
}

/// The link that a click follows in this tab, when it leads to this site.
pub(crate) fn followed_link(event: &MouseEvent) -> Option<web_sys::HtmlAnchorElement> {
    let modified = event.ctrl_key() || event.meta_key() || event.shift_key() || event.alt_key();
    if event.default_prevented() || event.button() != 0 || modified {
        return None;
    }
    let link = closest::<web_sys::HtmlAnchorElement>(event, "a[href]")?;
    let same_site = window().location().origin().is_ok_and(|origin| origin == link.origin());
    (same_site && link.target().is_empty() && !link.has_attribute("download")).then_some(link)
}

/// Where this page is: its path and query.
pub(crate) fn path_and_search() -> String {
    let location = window().location();
    location.pathname().unwrap_or_default() + &location.search().unwrap_or_default()
}

/// Goes to another page; in this one's place in the history with `replace`.
pub(crate) fn go(to: &str, replace: bool) {
    let location = window().location();
    drop(if replace { location.replace(to) } else { location.assign(to) });
}

/// Puts the focus on an element, after what was set is shown.
pub(crate) fn focus(id: &'static str) {
    request_animation_frame(move || {
        if let Some(element) =
            document().get_element_by_id(id).and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok())
        {
            drop(element.focus());
        }
    });
}
