//! Parts of a page that are brought up to date without loading it anew.
//!
//! The server renders the whole page again and the browser takes over what stands in its regions: elements with an `id` and
//! `data-region`. So there is one place that knows what a list looks like, and everything else on the page (the focus, what is
//! typed, how far it is scrolled) stays. One with `data-posted` as well changes only when a form was posted. A region holds
//! plain HTML and no islands; what its buttons do is listened for around it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use gatehouse_domain::AppError;
use gloo_net::http::{Request, Response};
use leptos::{
    prelude::{document, window},
    task::spawn_local,
    wasm_bindgen::{JsCast, JsValue},
};
use web_sys::{Document, DomParser, Element, HtmlElement, HtmlInputElement, HtmlSelectElement, Node, SupportedType};

use super::{ages, enhance, go, on, path_and_search};
use crate::components::{toast_error, toast_success};

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

/// Who wants to see what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    BySomebody,
    /// The page, to stay up to date.
    ByItself,
}

/// The regions that are brought up to date without a form being posted.
const LOADED: &str = "[data-region]:not([data-posted])";

thread_local! {
    static LATEST: Cell<u32> = const { Cell::new(0) };
    /// What somebody asked for is not there yet.
    static OPEN: Cell<bool> = const { Cell::new(false) };
    /// What the server said last, by region. (A hash map would be the only one with its hasher.)
    static SAID: RefCell<BTreeMap<String, String>> = RefCell::default();
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

/// As [`refresh`], without a sign of it, and not before what else was asked for is there; whoever asks decides what becomes of
/// an error.
pub(super) async fn refresh_quietly() -> Result<(), AppError> {
    if OPEN.get() {
        return Ok(());
    }
    let turn = next_turn();
    // What nobody asked for does not keep a session from ending.
    let request = Request::get(&path_and_search()).header("Accept", "text/html").header("X-Gatehouse-Refresh", "1");
    show_answer(turn, request.send().await, Fields::Stay, Asked::ByItself).await
}

/// Posts a form and shows what the answer's page says in its regions. An answer that leads to another page is followed,
/// after `leave`; not one that leads to the sign-in: what was typed stays.
pub(super) async fn post(url: &str, body: JsValue, leave: impl FnOnce()) -> Result<(), AppError> {
    overtake();
    let request = Request::post(url).header("Accept", "text/html").body(body).map_err(|_| AppError::Unreachable)?;
    let answer = request.send().await.map_err(|_| AppError::Unreachable)?;
    let to = answer.url();
    let location = window().location();
    let origin = location.origin().unwrap_or_default();
    let path = to.split(['?', '#']).next().and_then(|to| to.strip_prefix(&origin));
    if answer.redirected() && path != location.pathname().ok().as_deref() {
        if path == Some("/sign-in") {
            return Err(AppError::Unauthorized);
        }
        leave();
        go(&to, false);
        return Ok(());
    }
    let redirected = answer.redirected();
    let page = parse(answer).await?;
    // What was asked for before knows nothing of this.
    overtake();
    put(&page, Fields::Stay, "[data-region]", Asked::BySomebody);
    if redirected {
        leave();
    }
    if let Some(told) = first(&page, ".toast-card p") {
        toast_success(&told.text_content().unwrap_or_default());
    }
    let focus = first(&document(), "[data-focus]").or_else(|| first(&document(), "[data-region] [aria-invalid=true]"));
    if let Some(element) = focus.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        drop(element.focus());
    }
    Ok(())
}

fn first(page: &Document, selector: &str) -> Option<Element> {
    page.query_selector(selector).ok().flatten()
}

fn next_turn() -> u32 {
    let turn = LATEST.get().wrapping_add(1);
    LATEST.set(turn);
    turn
}

/// What was asked for before is not waited for any more.
fn overtake() {
    next_turn();
    busy(false);
}

async fn load(url: &str, history: History, fields: Fields) -> Result<(), AppError> {
    let turn = next_turn();
    // The address is the new one from the start: what is typed meanwhile adds to it.
    let kept = match history {
        History::Push => window().history().and_then(|h| h.push_state_with_url(&JsValue::NULL, "", Some(url))),
        History::Replace => window().history().and_then(|h| h.replace_state_with_url(&JsValue::NULL, "", Some(url))),
        History::Keep => Ok(()),
    };
    drop(kept);
    busy(true);
    let answer = Request::get(url).header("Accept", "text/html").send().await;
    show_answer(turn, answer, fields, Asked::BySomebody).await
}

async fn show_answer(turn: u32, answer: Result<Response, gloo_net::Error>, fields: Fields, asked: Asked) -> Result<(), AppError> {
    let page = match answer {
        // Signed out, for one.
        Ok(answer) if answer.redirected() => {
            if LATEST.get() == turn {
                busy(false);
                go(&answer.url(), false);
            }
            return Ok(());
        }
        Ok(answer) => parse(answer).await,
        Err(_) => Err(AppError::Unreachable),
    };
    if LATEST.get() != turn {
        return Ok(());
    }
    busy(false);
    put(&page?, fields, LOADED, asked);
    Ok(())
}

async fn parse(answer: Response) -> Result<Document, AppError> {
    let status = answer.status();
    let html = answer.text().await.map_err(|_| AppError::Unreachable)?;
    let parsed = DomParser::new().and_then(|parser| parser.parse_from_string(&html, SupportedType::TextHtml));
    let page = parsed.map_err(|_| AppError::Unavailable)?;
    match first(&page, "[data-region]") {
        Some(_) => Ok(page),
        None => Err(told_by(status)),
    }
}

/// What a page without regions is about.
fn told_by(status: u16) -> AppError {
    match status {
        401 => AppError::Unauthorized,
        403 => AppError::Forbidden,
        404 => AppError::NotFound,
        410 => AppError::LinkExpired,
        413 => AppError::TooLarge(64 << 20),
        _ => AppError::Unavailable,
    }
}

/// Shows what another page says, where this one stands: in the regions that fit `taken`.
fn put(page: &Document, fields: Fields, taken: &str, asked: Asked) {
    let focus = Focus::now();
    take_over(page, taken, asked);
    if fields == Fields::Follow {
        follow(page);
    }
    document().set_title(&page.title());
    ages::update();
    focus.restore();
    enhance::watch();
}

fn take_over(page: &Document, taken: &str, asked: Asked) {
    // What the server can't know: what is open, and the secrets that were typed, which it never sends back.
    let kept: Vec<_> = each(&document(), "[data-region] details[id][open], [data-region] [type=password]")
        .map(|element| (element.id(), element.dyn_into::<HtmlInputElement>().map(|input| input.value()).ok()))
        .collect();
    for old in each(&document(), taken) {
        let new = page.get_element_by_id(&old.id()).map(|new| new.inner_html()).unwrap_or_default();
        let is_known = SAID.with_borrow_mut(|said| said.insert(old.id(), new.clone()).as_ref() == Some(&new));
        // Where nothing is new, what the browser has made of it since (ages, what is open) stays.
        if is_known && asked == Asked::ByItself {
            continue;
        }
        if old.inner_html() != new {
            old.set_inner_html(&new);
        }
    }
    for (id, secret) in kept {
        let Some(element) = document().get_element_by_id(&id) else { continue };
        match (secret, element.dyn_ref::<HtmlInputElement>()) {
            (Some(secret), Some(input)) => input.set_value(&secret),
            _ => drop(element.set_attribute("open", "")),
        }
    }
}

fn busy(busy: bool) {
    OPEN.set(busy);
    for region in each(&document(), LOADED) {
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

/// The elements within `root` that fit this selector.
pub(super) fn each(root: &Node, selector: &str) -> impl Iterator<Item = Element> + use<> {
    // A document and an element are alike in this; the bindings have it twice.
    let found = root.unchecked_ref::<Element>().query_selector_all(selector).ok();
    let count = found.as_ref().map_or(0, web_sys::NodeList::length);
    (0..count).filter_map(move |at| found.as_ref()?.get(at)?.dyn_into().ok())
}

/// Where the focus was, in words that hold for the new HTML too: of which kind, what it is called, and how many before it are
/// called the same.
struct Focus(Option<(Element, String, String, usize)>);

impl Focus {
    fn now() -> Self {
        let focused = document().active_element().filter(|element| element.closest("[data-region]").is_ok_and(|r| r.is_some()));
        Self(focused.map(|element| {
            let (kind, called) = (format!("[data-region] {}", element.tag_name()), name_of(&element));
            let before = named(&kind, &called).take_while(|other| *other != element).count();
            (element, kind, called, before)
        }))
    }

    fn restore(self) {
        let Some((old, kind, called, before)) = self.0 else { return };
        if old.is_connected() {
            return;
        }
        // The last one, where there are fewer now.
        let same = named(&kind, &called).take(before + 1).last();
        if let Some(element) = same.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
            drop(element.focus());
        }
    }
}

/// The elements that are called this.
fn named(selector: &str, called: &str) -> impl Iterator<Item = Element> {
    each(&document(), selector).filter(move |element| name_of(element) == called)
}

fn name_of(element: &Element) -> String {
    Some(element.id())
        .filter(|id| !id.is_empty())
        // `data-same`: for what is called something else after it was pressed.
        .or_else(|| element.get_attribute("data-same"))
        .or_else(|| element.get_attribute("aria-label"))
        .or_else(|| element.text_content())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_regions_says_what_its_status_says() {
        for error in [AppError::Unauthorized, AppError::Forbidden, AppError::NotFound, AppError::LinkExpired] {
            assert_eq!(told_by(error.status()), error);
        }
        assert_eq!(told_by(413), AppError::TooLarge(67_108_864));
        for status in [200, 500, 502, 503] {
            assert_eq!(told_by(status), AppError::Unavailable, "{status}");
        }
    }
}
