//! Nothing typed is lost by leaving: closing the tab, following a link or going back asks first.

use leptos::{
    ev::{BeforeUnloadEvent, MouseEvent},
    html,
    prelude::*,
    wasm_bindgen::JsValue,
};

use crate::{
    browser::{followed_link, go, on, path_and_search},
    components::{Button, ButtonKind},
};

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
/// A page can't refuse the back button, so there is an entry of our own in the history while something would be lost: going
/// back leads from it to this same page, and the question.
#[component]
pub(super) fn LeaveGuard(
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
        if wanted.get_untracked() == Some(Way::Back) {
            add_entry(entry);
        }
        wanted.set(None);
    };
    let discard = Callback::new(move |_: MouseEvent| {
        let Some(way) = wanted.get_untracked() else { return };
        leaving.set(true);
        wanted.set(None);
        match way {
            // In the place of our own entry.
            Way::Link(to) => go(&to, entry.with_value(Option::is_some)),
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
        let added = history.push_state_with_url(&JsValue::NULL, "", Some(&here)).is_ok();
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
    on(&window(), "beforeunload", move |event: BeforeUnloadEvent| {
        if dirty.get_untracked() {
            event.prevent_default();
        }
    });
    on(&window(), "popstate", move |_: web_sys::Event| {
        if entry.get_value() != Some(path_and_search()) {
            return;
        }
        entry.set_value(None);
        if dirty.get_untracked() {
            wanted.set(Some(Way::Back));
        } else {
            // What was changed is as it was: nobody wants to come to the same page.
            go_back();
        }
    });
    on(&document(), "click", move |event: MouseEvent| {
        if dirty.get_untracked()
            && let Some(link) = followed_link(&event)
        {
            let to = format!("{}{}", link.pathname(), link.search());
            if to != path_and_search() {
                event.prevent_default();
                wanted.set(Some(Way::Link(to)));
            }
        }
    });
}
