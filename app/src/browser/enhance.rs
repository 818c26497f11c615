//! What attributes ask for, on any page: forms that are posted without loading the page anew, lists that search while
//! somebody types, parts that stay up to date. Without a script all of it is plain HTML.
//!
//! | Attribute | On | What it does |
//! |---|---|---|
//! | `data-enhance` | a POST form | posts it; a redirect elsewhere is followed, everything else brings the regions up to date |
//! | `data-progress` | an element in it, `hidden` | shown meanwhile; with a value, only for the button with this value |
//! | `data-focus` | an element of the answer | takes the focus |
//! | `data-posted` | a region | only a posted form brings it up to date: it holds what was typed |
//! | `data-auto` | a GET form | asks by itself: each choice at once, text when the typing pauses |
//! | `data-guard` | a form | asks before what was typed is lost |
//! | `data-refresh` | any element | while it is there, brings the regions up to date every so many milliseconds |
//! | `data-drop` | an element around a file input | takes files that are dropped on it |
//! | `data-copy` | a button | copies what is in the field with this id, and says `data-done` |
//! | `data-print` | a button | prints the page |

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use gatehouse_domain::AppError;
use leptos::{
    ev::{BeforeUnloadEvent, DragEvent, KeyboardEvent, SubmitEvent},
    leptos_dom::helpers::TimeoutHandle,
    prelude::*,
    task::spawn_local,
    wasm_bindgen::{JsCast as _, JsValue},
};
use web_sys::{Element, Event, FormData, HtmlButtonElement, HtmlElement, HtmlFormElement, HtmlInputElement, UrlSearchParams};

use super::{
    closest, on, path_and_search,
    regions::{self, Fields, History},
};
use crate::components::{toast_error, toast_success};

/// How long the typing has to pause before a list is asked for.
const PAUSE: Duration = Duration::from_millis(250);

thread_local! {
    static TYPING: RefCell<Option<TimeoutHandle>> = const { RefCell::new(None) };
    static WATCHING: Cell<bool> = const { Cell::new(false) };
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

/// Listens for as long as the page is there.
pub(super) fn start() {
    let page = document();
    on(&page, "submit", submitted);
    on(&page, "input", typed);
    on(&page, "change", changed);
    on(&page, "dragover", |event: DragEvent| {
        if closest::<Element>(&event, "[data-drop]").is_some() {
            event.prevent_default();
        }
    });
    on(&page, "drop", dropped);
    on(&page, "click", clicked);
    on(&page, "keydown", focus_search_on_slash);
    on(&window(), "beforeunload", |event: BeforeUnloadEvent| {
        if find("[data-guard=dirty]").is_some() {
            event.prevent_default();
        }
    });
    if find("form[data-auto]").is_some() {
        regions::follow_history();
    }
    watch();
}

fn find(selector: &str) -> Option<Element> {
    document().query_selector(selector).ok().flatten()
}

fn submitted(event: SubmitEvent) {
    if event.default_prevented() {
        return;
    }
    if let Some(form) = closest::<HtmlFormElement>(&event, "form[data-auto]") {
        event.prevent_default();
        ask(&form, History::Push);
    } else if let Some(form) = closest::<HtmlFormElement>(&event, "form[data-enhance]") {
        event.prevent_default();
        let button = event.submitter().and_then(|button| button.dyn_into::<HtmlButtonElement>().ok());
        // One thing at a time.
        if !form.has_attribute("aria-busy") {
            spawn_local(post(form, button));
        }
    } else if let Some(form) = closest::<Element>(&event, "[data-guard]") {
        clean(&form);
    }
}

/// Nothing would be lost any more.
fn clean(form: &Element) {
    if form.has_attribute("data-guard") {
        drop(form.set_attribute("data-guard", ""));
    }
}

async fn post(form: HtmlFormElement, button: Option<HtmlButtonElement>) {
    let Ok(data) = FormData::new_with_form(&form) else { return };
    let mut pressed = String::new();
    let mut to = form.get_attribute("action");
    if let Some(button) = &button {
        pressed = button.value();
        drop(data.append_with_str(&button.name(), &pressed));
        to = button.get_attribute("formaction").or(to);
    }
    let body = if form.enctype().starts_with("multipart") {
        JsValue::from(data)
    } else {
        UrlSearchParams::new_with_str_sequence_sequence(&data).map(JsValue::from).unwrap_or_default()
    };
    let mark = |element: &Element, name: &str, on: bool| {
        drop(if on { element.set_attribute(name, "true") } else { element.remove_attribute(name) });
    };
    let waiting = |busy: bool| {
        mark(&form, "aria-busy", busy);
        if let Some(button) = &button {
            mark(button, "aria-busy", busy);
            // Not `disabled`: that would lose the focus.
            mark(button, "aria-disabled", busy);
        }
        for note in regions::each(&form, "[data-progress]") {
            let of = note.get_attribute("data-progress").unwrap_or_default();
            let shown = busy && (of.is_empty() || of == pressed);
            drop(if shown { note.remove_attribute("hidden") } else { note.set_attribute("hidden", "") });
        }
    };
    waiting(true);
    let answer = regions::post(&to.unwrap_or_else(path_and_search), body, || clean(&form)).await;
    waiting(false);
    if let Err(error) = answer {
        toast_error(&match error {
            AppError::Unauthorized => "You are signed out. Sign in in another tab, then send this again.".to_string(),
            error => error.to_string(),
        });
    }
}

fn typed(event: Event) {
    if let Some(form) = closest::<Element>(&event, "[data-guard]") {
        drop(form.set_attribute("data-guard", "dirty"));
    }
    if let Some(form) = closest::<HtmlFormElement>(&event, "form[data-auto]")
        && closest::<HtmlInputElement>(&event, "input").is_some()
    {
        stop();
        // Each word is not a page of its own to go back to; each filter is.
        TYPING.set(set_timeout_with_handle(move || ask(&form, History::Replace), PAUSE).ok());
    }
}

fn changed(event: Event) {
    if let Some(form) = closest::<HtmlFormElement>(&event, "form[data-auto]")
        && closest::<Element>(&event, "select").is_some()
    {
        ask(&form, History::Push);
    }
}

fn stop() {
    if let Some(handle) = TYPING.take() {
        handle.clear();
    }
}

/// Shows the page as the form asks for it, if that is not how it is shown.
fn ask(form: &HtmlFormElement, history: History) {
    stop();
    let data = FormData::new_with_form(form);
    let Some(params) = data.ok().and_then(|data| UrlSearchParams::new_with_str_sequence_sequence(&data).ok()) else { return };
    for field in regions::each(form, "[name]") {
        let name = field.get_attribute("name").unwrap_or_default();
        match params.get(&name).unwrap_or_default().trim() {
            "" => params.delete(&name),
            value => params.set(&name, value),
        }
    }
    let mut to = form.get_attribute("action").unwrap_or_default();
    let search = String::from(params.to_string());
    if !search.is_empty() {
        to = to + "?" + &search;
    }
    if to != path_and_search() {
        regions::show(&to, history, Fields::Stay);
    }
}

/// `/` puts the focus into the search, unless something is being typed.
fn focus_search_on_slash(event: KeyboardEvent) {
    if event.key() != "/" || event.ctrl_key() || event.meta_key() || event.alt_key() {
        return;
    }
    if closest::<Element>(&event, "input, textarea, select, dialog").is_none()
        && let Some(search) = find("form[role=search] [name=q]").and_then(|search| search.dyn_into::<HtmlElement>().ok())
    {
        event.prevent_default();
        drop(search.focus());
    }
}

fn dropped(event: DragEvent) {
    let Some(area) = closest::<Element>(&event, "[data-drop]") else { return };
    event.prevent_default();
    let input =
        area.query_selector("input[type=file]").ok().flatten().and_then(|input| input.dyn_into::<HtmlInputElement>().ok());
    if let (Some(input), Some(files)) = (input, event.data_transfer().and_then(|data| data.files())) {
        input.set_files(Some(&files));
    }
}

fn clicked(event: Event) {
    if let Some(button) = closest::<Element>(&event, "[data-copy]") {
        copy(&button);
    } else if closest::<Element>(&event, "[data-print]").is_some() {
        drop(window().print());
    }
}

fn copy(button: &Element) {
    let told = |name| button.get_attribute(name).unwrap_or_default();
    let Some(field) = document().get_element_by_id(&told("data-copy")) else { return };
    // An input and a text area are alike in this; the bindings have it twice.
    let field = field.unchecked_ref::<HtmlInputElement>();
    field.select();
    // Outside of a secure context there is no clipboard: it is selected, Ctrl+C does the rest.
    if window().is_secure_context() {
        drop(window().navigator().clipboard().write_text(&field.value()));
        toast_success(&told("data-done"));
    } else {
        toast_success("It is selected: copy it with Ctrl+C.");
    }
}

/// Keeps the regions up to date while something asks for it. Also called when new regions are there.
pub(super) fn watch() {
    let Some(every) = find("[data-refresh]").and_then(|element| element.get_attribute("data-refresh")?.parse().ok()) else {
        return;
    };
    if WATCHING.replace(true) {
        return;
    }
    let look = async || {
        if !document().hidden() {
            match regions::refresh_quietly().await {
                Ok(()) => FAILED.set(false),
                // Once is enough.
                Err(error) if !FAILED.replace(true) => toast_error(&error.to_string()),
                Err(_) => {}
            }
        }
        WATCHING.set(false);
        watch();
    };
    set_timeout(move || spawn_local(look()), Duration::from_millis(every));
}
