//! Nothing typed is lost by leaving: closing the tab, following a link or going back asks first.

use leptos::{
    ev::{BeforeUnloadEvent, MouseEvent},
    html,
    prelude::*,
    wasm_bindgen::{JsCast as _, closure::Closure},
};
use leptos_router::{NavigateOptions, hooks::use_navigate};

use crate::components::{Button, ButtonKind};

/// How the person wants to leave.
#[derive(Debug, Clone, PartialEq)]
enum Way {
    /// By a link to here.
    Link(String),
    /// With the back button.
    Back,
}

/// Asks before this page is left while `dirty`. `leaving` is set once the person has decided to.
///
/// The router hears of the back button before anybody else can, so there is an entry of our own in the history while something
/// would be lost: going back leads from it to this same page, and the question.
#[component]
pub fn LeaveGuard(
    /// Something would be lost.
    #[prop(into)]
    dirty: Signal<bool>,
    /// Whoever sets this may go.
    leaving: RwSignal<bool>,
) -> impl IntoView {
    let wanted = RwSignal::new(None::<Way>);
    // Where our own entry in the history leads, while there is one.
    let entry = StoredValue::new(None::<String>);
    let dialog = NodeRef::<html::Dialog>::new();
    let navigate = StoredValue::new(use_navigate());
    // Effects run in the browser only.
    Effect::new(move |_| listen(dirty, wanted, entry));
    Effect::new(move |_| {
        if dirty.get() {
            add_entry(entry);
        }
    });
    Effect::new(move |_| {
        let Some(dialog) = dialog.get() else { return };
        match (wanted.with(Option::is_some), dialog.open()) {
            // Refused only when it is not in the document: then there is nobody to ask.
            (true, false) => drop(dialog.show_modal()),
            (false, true) => dialog.close(),
            _ => {}
        }
    });
    // Also what Esc does.
    let stay = move || {
        if wanted.try_get_untracked().flatten() == Some(Way::Back) {
            add_entry(entry);
        }
        wanted.try_set(None);
    };
    let discard = Callback::new(move |_: MouseEvent| {
        let Some(way) = wanted.get_untracked() else { return };
        leaving.set(true);
        wanted.set(None);
        match way {
            // In the place of our own entry.
            Way::Link(to) => {
                let options =
                    NavigateOptions { resolve: false, replace: entry.with_value(Option::is_some), ..NavigateOptions::default() };
                navigate.with_value(|navigate| navigate(&to, options));
            }
            Way::Back => go_back(),
        }
    });
    view! {
        <dialog
            node_ref=dialog
            id="leave"
            class="confirm"
            role="alertdialog"
            aria-labelledby="leave-title"
            aria-describedby="leave-text"
            on:close=move |_| stay()
        >
            <h2 id="leave-title">"Discard your changes?"</h2>
            <div id="leave-text" class="confirm-text">
                <p>"What you changed on this page is not saved yet."</p>
            </div>
            <div class="confirm-actions">
                <button class="btn" type="button" autofocus on:click=move |_| stay()>
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

/// Puts this page into the history once more.
fn add_entry(entry: StoredValue<Option<String>>) {
    if entry.with_value(Option::is_some) {
        return;
    }
    if let Ok(history) = window().history() {
        let here = path_and_search();
        let state = leptos::wasm_bindgen::JsValue::NULL;
        let added = history.push_state_with_url(&state, "", Some(&here)).is_ok();
        entry.set_value(added.then_some(here));
    }
}

fn go_back() {
    if let Ok(history) = window().history() {
        drop(history.back());
    }
}

/// Hears of everything that would leave the page.
fn listen(dirty: Signal<bool>, wanted: RwSignal<Option<Way>>, entry: StoredValue<Option<String>>) {
    let is_dirty = move || dirty.try_get_untracked().unwrap_or_default();
    let unload = window_event_listener(leptos::ev::beforeunload, move |event: BeforeUnloadEvent| {
        if is_dirty() {
            event.prevent_default();
        }
    });
    // The page's own address is read when the entry is made: when this begins to listen, the router may still be at the last page.
    let back = window_event_listener(leptos::ev::popstate, move |_| {
        if entry.try_get_value().flatten() != Some(path_and_search()) {
            return;
        }
        entry.set_value(None);
        if is_dirty() {
            wanted.set(Some(Way::Back));
        } else {
            // What was changed is as it was: nobody wants to come to the same page.
            go_back();
        }
    });
    // The router listens at the window: what the document's listener takes care of does not reach it as a navigation.
    let click = Closure::<dyn FnMut(MouseEvent)>::new(move |event: MouseEvent| {
        if is_dirty()
            && let Some(to) = destination(&event)
        {
            event.prevent_default();
            wanted.set(Some(Way::Link(to)));
        }
    });
    drop(document().add_event_listener_with_callback("click", click.as_ref().unchecked_ref()));
    let click = StoredValue::new_local(click);
    on_cleanup(move || {
        unload.remove();
        back.remove();
        click.try_with_value(|click| {
            drop(document().remove_event_listener_with_callback("click", click.as_ref().unchecked_ref()));
        });
    });
}

/// Where a click leads, when it leads to another page of this site in this tab. Other sites are the browser's to ask about.
fn destination(event: &MouseEvent) -> Option<String> {
    if event.default_prevented()
        || event.button() != 0
        || event.ctrl_key()
        || event.meta_key()
        || event.shift_key()
        || event.alt_key()
    {
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
