//! Parts of a page that are brought up to date without loading it anew.
//!
//! The server renders the whole page again and the browser takes over what stands in its regions: elements with an `id` and
//! `data-region`. So there is one place that knows what a list looks like, and everything else on the page (the focus, what is
//! typed, how far it is scrolled) stays. A region holds plain HTML and no islands; what its buttons do is listened for around it.

use std::cell::Cell;

use gatehouse_domain::AppError;
use gloo_net::http::Request;
use leptos::{
    prelude::{document, window},
    task::spawn_local,
    wasm_bindgen::{JsCast, JsValue},
};
use web_sys::{Document, DomParser, Element, HtmlElement, HtmlInputElement, HtmlSelectElement, SupportedType};

use super::{ages, go, on, path_and_search};
use crate::components::toast_error;

/// What becomes of the browser's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// A page to come back to.
    Push,
    /// In the place of this one.
    Replace,
    /// As it is.
    Keep,
}

/// Whose word counts about what stands in the fields of a form with `data-follow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    /// The person's, who is typing.
    Stay,
    /// The address's.
    Follow,
}

thread_local! {
    static LATEST: Cell<u32> = const { Cell::new(0) };
}

/// Loads `url` and puts its regions in the place of this page's. An answer that a later call has overtaken is dropped; what
/// goes wrong is told in a message.
pub fn show(url: &str, history: History, fields: Fields) {
    let url = url.to_string();
    spawn_local(async move {
        if let Err(error) = load(&url, history, fields).await {
            toast_error(&error.to_string());
        }
    });
}

/// Brings the regions of this page up to date.
pub fn refresh() {
    show(&path_and_search(), History::Keep, Fields::Stay);
}

/// From now on the back button shows the regions of the page it leads to.
pub fn follow_history() {
    on(&window(), "popstate", |_: web_sys::Event| show(&path_and_search(), History::Keep, Fields::Follow));
}

async fn load(url: &str, history: History, fields: Fields) -> Result<(), AppError> {
    let turn = LATEST.get().wrapping_add(1);
    LATEST.set(turn);
    // The address is the new one from the start: what is typed meanwhile adds to it.
    let kept = match history {
        History::Push => window().history().and_then(|h| h.push_state_with_url(&JsValue::NULL, "", Some(url))),
        History::Replace => window().history().and_then(|h| h.replace_state_with_url(&JsValue::NULL, "", Some(url))),
        History::Keep => Ok(()),
    };
    drop(kept);
    busy(true);
    let page = fetch(url).await;
    if LATEST.get() != turn {
        return Ok(());
    }
    busy(false);
    if let Some(page) = page? {
        let focus = Focus::now();
        take_over(&page);
        if fields == Fields::Follow {
            follow(&page);
        }
        document().set_title(&page.title());
        ages::update();
        focus.restore();
    }
    Ok(())
}

/// None when the browser was sent to another page instead.
async fn fetch(url: &str) -> Result<Option<Document>, AppError> {
    let answer = Request::get(url).header("Accept", "text/html").send().await.map_err(|_| AppError::Unreachable)?;
    if answer.redirected() {
        // Signed out, for one.
        go(&answer.url(), false);
        return Ok(None);
    }
    let html = answer.text().await.map_err(|_| AppError::Unreachable)?;
    let parsed = DomParser::new().and_then(|parser| parser.parse_from_string(&html, SupportedType::TextHtml));
    let page = parsed.map_err(|_| AppError::Unavailable)?;
    if each(&page, "[data-region]").next().is_none() {
        return Err(AppError::Unavailable);
    }
    Ok(Some(page))
}

fn take_over(page: &Document) {
    for old in each(&document(), "[data-region]") {
        let new = page.get_element_by_id(&old.id()).map(|new| new.inner_html()).unwrap_or_default();
        if old.inner_html() != new {
            old.set_inner_html(&new);
        }
    }
}

fn busy(busy: bool) {
    for region in each(&document(), "[data-region]") {
        let done = if busy { region.set_attribute("aria-busy", "true") } else { region.remove_attribute("aria-busy") };
        drop(done);
    }
}

/// The fields say what the address says.
fn follow(page: &Document) {
    for field in each(&document(), "form[data-follow] [name]") {
        let Some(new) = page.get_element_by_id(&field.id()) else { continue };
        if let (Some(field), Some(new)) = (field.dyn_ref::<HtmlInputElement>(), new.dyn_ref::<HtmlInputElement>()) {
            field.set_value(&new.value());
        } else if let (Some(field), Some(new)) = (field.dyn_ref::<HtmlSelectElement>(), new.dyn_ref::<HtmlSelectElement>()) {
            field.set_value(&new.value());
        }
    }
}

fn each(page: &Document, selector: &str) -> impl Iterator<Item = Element> {
    let found = page.query_selector_all(selector).ok();
    let count = found.as_ref().map_or(0, web_sys::NodeList::length);
    (0..count).filter_map(move |at| found.as_ref()?.get(at)?.dyn_into().ok())
}

/// Where the focus was, in words that hold for the new HTML too.
struct Focus(Option<(HtmlElement, String, String)>);

impl Focus {
    fn now() -> Self {
        let focused = document().active_element().filter(|element| element.closest("[data-region]").is_ok_and(|r| r.is_some()));
        Self(focused.and_then(|element| {
            let called = name_of(&element);
            Some((element.clone().dyn_into().ok()?, element.tag_name(), called))
        }))
    }

    fn restore(self) {
        let Some((old, tag, called)) = self.0 else { return };
        if old.is_connected() {
            return;
        }
        let same = each(&document(), &format!("[data-region] {tag}")).find(|element| name_of(element) == called);
        if let Some(element) = same.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
            drop(element.focus());
        }
    }
}

fn name_of(element: &Element) -> String {
    element.get_attribute("aria-label").or_else(|| element.text_content()).unwrap_or_default()
}
