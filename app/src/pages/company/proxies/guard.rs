//! Nothing typed is lost by leaving: closing the tab, following a link or going back asks first.

use leptos::{
    ev::{BeforeUnloadEvent, MouseEvent},
    html,
    prelude::*,
    wasm_bindgen::{JsCast as _, closure::Closure},
};
use leptos_router::{NavigateOptions, hooks::use_navigate};

use crate::components::{Button, ButtonKind};

/// Asks before this page is left while `dirty`. `leaving` is set once the person has decided to.
#[component]
pub fn LeaveGuard(
    /// Something would be lost.
    #[prop(into)]
    dirty: Signal<bool>, /// Whoever sets this may go.
    leaving: RwSignal<bool>,
) -> impl IntoView {
    // Where the person wants to go.
    let wanted = RwSignal::new(None::<String>);
    let dialog = NodeRef::<html::Dialog>::new();
    let navigate = StoredValue::new_local(use_navigate());
    let here = leptos_router::hooks::use_location().pathname;
    // Once is enough, and only in the browser: effects don't run on the server.
    Effect::new(move |_| listen(dirty, wanted, here.get_untracked()));
    Effect::new(move |_| {
        let Some(dialog) = dialog.get() else { return };
        match (wanted.with(Option::is_some), dialog.open()) {
            // Refused only when it is not in the document: then there is nobody to ask.
            (true, false) => drop(dialog.show_modal()),
            (false, true) => dialog.close(),
            _ => {}
        }
    });
    let discard = Callback::new(move |_: MouseEvent| {
        let Some(to) = wanted.get_untracked() else { return };
        leaving.set(true);
        wanted.set(None);
        navigate.with_value(|navigate| navigate(&to, NavigateOptions { resolve: false, ..NavigateOptions::default() }));
    });
    view! {
        <dialog
            node_ref=dialog
            id="leave"
            class="confirm"
            role="alertdialog"
            aria-labelledby="leave-title"
            aria-describedby="leave-text"
            on:close=move |_| wanted.set(None)
        >
            <h2 id="leave-title">"Discard your changes?"</h2>
            <div id="leave-text" class="confirm-text">
                <p>"What you changed on this page is not saved yet."</p>
            </div>
            <div class="confirm-actions">
                <button class="btn" type="button" autofocus on:click=move |_| wanted.set(None)>
                    "Stay"
                </button>
                <Button kind=ButtonKind::Danger button_type="button" on_click=discard>
                    "Discard"
                </Button>
            </div>
        </dialog>
    }
    .into_any()
}

/// Hears of everything that would leave the page, before the router does.
fn listen(dirty: Signal<bool>, wanted: RwSignal<Option<String>>, here: String) {
    let is_dirty = move || dirty.try_get_untracked().unwrap_or_default();
    let unload = window_event_listener(leptos::ev::beforeunload, move |event: BeforeUnloadEvent| {
        if is_dirty() {
            event.prevent_default();
        }
    });
    // The router listens at the window: what the document's listener takes care of does not reach it as a navigation.
    let click = Closure::<dyn FnMut(MouseEvent)>::new(move |event: MouseEvent| {
        if is_dirty()
            && let Some(to) = destination(&event)
        {
            event.prevent_default();
            wanted.set(Some(to));
        }
    });
    // The address has changed already when this is heard: it is put back until the person has decided.
    let back = Closure::<dyn FnMut(web_sys::Event)>::new(move |event: web_sys::Event| {
        let to = path_and_search();
        if is_dirty()
            && to != here
            && let Ok(history) = window().history()
        {
            event.stop_immediate_propagation();
            drop(history.push_state_with_url(&leptos::wasm_bindgen::JsValue::NULL, "", Some(&here)));
            wanted.set(Some(to));
        }
    });
    let (document, window) = (document(), window());
    drop(document.add_event_listener_with_callback("click", click.as_ref().unchecked_ref()));
    drop(window.add_event_listener_with_callback_and_bool("popstate", back.as_ref().unchecked_ref(), true));
    let listeners = StoredValue::new_local((click, back));
    on_cleanup(move || {
        unload.remove();
        listeners.try_with_value(|(click, back)| {
            let (document, window) = (leptos::prelude::document(), leptos::prelude::window());
            drop(document.remove_event_listener_with_callback("click", click.as_ref().unchecked_ref()));
            drop(window.remove_event_listener_with_callback_and_bool("popstate", back.as_ref().unchecked_ref(), true));
        });
    });
}

/// Where a click leads, when it leads to another page of this site in this tab. Other sites are the browser's to ask about.
fn destination(event: &MouseEvent) -> Option<String> {
    if event.default_prevented() || event.button() != 0 || event.ctrl_key() || event.meta_key() || event.shift_key() || event.alt_key() {
        return None;
    }
    let element = event.target()?.dyn_into::<web_sys::Element>().ok()?;
    let link = element.closest("a[href]").ok().flatten()?.dyn_into::<web_sys::HtmlAnchorElement>().ok()?;
    let same_site = window().location().origin().is_ok_and(|origin| origin == link.origin());
    let to = format!("{}{}", link.pathname(), link.search());
    (same_site && link.target().is_empty() && !link.has_attribute("download") && to != path_and_search()).then_some(to)
}

fn path_and_search() -> String {
    let location = window().location();
    location.pathname().unwrap_or_default() + &location.search().unwrap_or_default()
}
