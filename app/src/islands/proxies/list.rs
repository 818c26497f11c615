//! The list's controls: its rows and its links are plain HTML, which this listens to (as `browser::enhance` to its search).

use leptos::{
    ev::{MouseEvent, SubmitEvent},
    prelude::*,
    wasm_bindgen::JsCast as _,
};
use web_sys::{Element, HtmlButtonElement};

use super::{
    actions::{Actions, DeleteDialog, Row, TestDrawer},
    urls,
};
use crate::browser::{
    followed_link, on,
    regions::{self, Fields, History},
};

/// The id of what holds the search and the rows.
pub const LIST: &str = "proxy-list";

/// Takes over the list around it.
#[island]
pub fn ProxyListControls() -> impl IntoView {
    let actions = Actions::new();
    // Effects run in the browser only.
    Effect::new(move |_| {
        if let Some(list) = document().get_element_by_id(LIST) {
            rows(&list, actions);
            links(&list);
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
