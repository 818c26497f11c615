//! The list's controls: its rows, its search and its links are plain HTML, which this listens to.

use std::{cell::Cell, rc::Rc, time::Duration};

use leptos::{
    ev::{KeyboardEvent, MouseEvent, SubmitEvent},
    leptos_dom::helpers::TimeoutHandle,
    prelude::*,
    wasm_bindgen::JsCast as _,
};
use web_sys::{Element, Event, FormData, HtmlButtonElement, HtmlElement, HtmlFormElement};

use super::{
    actions::{Actions, DeleteDialog, Row, TestDrawer},
    urls,
};
use crate::browser::{
    closest, followed_link, on, path_and_search,
    regions::{self, Fields, History},
};

/// The id of what holds the search and the rows.
pub const LIST: &str = "proxy-list";
/// The id of the form that searches and filters.
pub const FILTERS: &str = "proxy-filters";

/// How long the typing has to pause before the list is asked for.
const PAUSE: Duration = Duration::from_millis(250);

/// Takes over the list around it.
#[island]
pub fn ProxyListControls() -> impl IntoView {
    let actions = Actions::new();
    // Effects run in the browser only.
    Effect::new(move |_| {
        if let Some(list) = document().get_element_by_id(LIST) {
            rows(&list, actions);
            search(&list);
            links(&list);
            regions::follow_history();
            focus_search_on_slash();
        }
    });
    view! {
        <DeleteDialog actions/>
        <TestDrawer actions/>
    }
    .into_any()
}

fn row_of(element: &Element) -> Option<Row> {
    let row = element.closest("tr[data-id]").ok()??;
    Some(Row { id: row.get_attribute("data-id")?, name: row.get_attribute("data-name")? })
}

/// The forms and the links with a `data-intent` in the rows.
fn rows(list: &Element, actions: Actions) {
    on(list, "submit", move |event: SubmitEvent| {
        let button = event.submitter().and_then(|button| button.dyn_into::<HtmlButtonElement>().ok());
        if let Some(button) = button
            && let Some(row) = row_of(&button)
        {
            event.prevent_default();
            actions.run(&button.value(), row, button.into());
        }
    });
    on(list, "click", move |event: MouseEvent| {
        if let Some(link) = followed_link(&event)
            && let (Some(intent), Some(row)) = (link.get_attribute("data-intent"), row_of(&link))
        {
            event.prevent_default();
            actions.run(&intent, row, link.into());
        }
    });
}

/// Links within the list lead to the same page with another query.
fn links(list: &Element) {
    on(list, "click", move |event: MouseEvent| {
        if let Some(link) = followed_link(&event)
            && link.pathname() == urls::LIST
        {
            event.prevent_default();
            regions::show(&format!("{}{}", link.pathname(), link.search()), History::Push, Fields::Follow);
        }
    });
}

/// The form asks by itself: each filter at once, the text when the typing pauses.
fn search(list: &Element) {
    let waiting = Rc::new(Cell::new(None::<TimeoutHandle>));
    let stop = {
        let waiting = waiting.clone();
        move || {
            if let Some(handle) = waiting.take() {
                handle.clear();
            }
        }
    };
    let form = |event: &Event| closest::<HtmlFormElement>(event, &format!("#{FILTERS}"));
    {
        let stop = stop.clone();
        on(list, "submit", move |event: SubmitEvent| {
            if let Some(form) = form(&event) {
                event.prevent_default();
                stop();
                ask(&form, History::Push);
            }
        });
    }
    {
        let stop = stop.clone();
        on(list, "change", move |event: Event| {
            if let Some(form) = form(&event)
                && closest::<web_sys::HtmlSelectElement>(&event, "select").is_some()
            {
                stop();
                ask(&form, History::Push);
            }
        });
    }
    on(list, "input", move |event: Event| {
        if let Some(form) = form(&event)
            && closest::<web_sys::HtmlInputElement>(&event, "input").is_some()
        {
            stop();
            // Each word is not a page of its own to go back to; each filter is.
            waiting.set(set_timeout_with_handle(move || ask(&form, History::Replace), PAUSE).ok());
        }
    });
}

/// Shows the list as the form asks for it, if that is not how it is shown.
fn ask(form: &HtmlFormElement, history: History) {
    let Ok(data) = FormData::new_with_form(form) else { return };
    let given = |name: &&str| data.get(name).as_string().map(|text| text.trim().to_string()).filter(|text| !text.is_empty());
    let fields = ["q", "authentication", "scheme", "is_default", "sort", "limit"];
    let to = urls::with_params(urls::LIST, fields.iter().filter_map(|name| Some((*name, given(name)?))).collect());
    if to != path_and_search() {
        regions::show(&to, history, Fields::Stay);
    }
}

/// `/` puts the focus into the search, unless something is being typed.
fn focus_search_on_slash() {
    on(&window(), "keydown", |event: KeyboardEvent| {
        if event.key() != "/" || event.ctrl_key() || event.meta_key() || event.alt_key() {
            return;
        }
        let typing = document().active_element().is_some_and(|element| {
            matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
                || element.closest("dialog").is_ok_and(|d| d.is_some())
        });
        let search = document().get_element_by_id("q").and_then(|element| element.dyn_into::<HtmlElement>().ok());
        if let (false, Some(search)) = (typing, search) {
            event.prevent_default();
            drop(search.focus());
        }
    });
}
