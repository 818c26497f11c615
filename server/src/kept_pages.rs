//! Pages that were rendered before for the same person, of the same data.
//!
//! A list of a hundred rows is a quarter of a megabyte that Leptos makes anew each time, and most of the time nothing in it has
//! changed. Of an embedded database this process knows when something did (`Platform::proxies_generation`), so a page that is
//! made of nothing else can be given again. Two things are never given again: the nonce of the content security policy, which is
//! put in anew, and anything that a form has just led to.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use gatehouse_platform::Actor;
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;

/// Pages that are made of proxy settings, who looks, and the address alone. No clock may stand in one: ages are the browser's work.
const MADE_OF_PROXIES: &[&str] = &["/company/settings/proxies"];
/// How many bytes are kept before all are dropped.
const LIMIT: usize = 32 * 1024 * 1024;
/// How long a page is kept at most: see `gatehouse_store`'s `kept`.
const LONGEST: Duration = Duration::from_secs(10);

static PAGES: LazyLock<Mutex<Pages>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Pages {
    bytes: usize,
    pages: HashMap<Key, Page>,
}

/// Everything that such a page is made of, besides the settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    address: String,
    theme: String,
    /// Who looks, in full.
    actor: String,
}

struct Page {
    generation: u64,
    at: Instant,
    nonce: String,
    policy: String,
    body: Bytes,
    /// Where the nonce stands in the body.
    places: Vec<usize>,
}

impl Key {
    /// The key of a page, if it is one that may be kept.
    pub fn of(uri: &http::Uri, theme: &str, actor: &Actor) -> Option<Self> {
        MADE_OF_PROXIES.contains(&uri.path()).then(|| Self {
            address: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            theme: theme.to_string(),
            actor: format!("{actor:?}"),
        })
    }
}

/// The page, if it was kept and nothing has changed since.
pub fn find(key: &Key, generation: u64) -> Option<Response> {
    let (body, policy) = {
        let pages = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
        let page = pages.pages.get(key).filter(|page| page.generation == generation && page.at.elapsed() < LONGEST)?;
        let nonce = leptos::nonce::Nonce::new().to_string();
        (replaced(&page.body, &page.places, page.nonce.len(), nonce.as_bytes()), page.policy.replace(&page.nonce, &nonce))
    };
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy).ok()?);
    Some(response)
}

/// Keeps a page that was just rendered, from settings as they were at this generation at the earliest.
pub async fn keep(key: Key, generation: u64, response: Response) -> Response {
    let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok());
    let nonce = policy.and_then(|policy| policy.split("'nonce-").nth(1)?.split('\'').next());
    let (Some(policy), Some(nonce)) = (policy, nonce) else { return response };
    let is_plain = response.status() == StatusCode::OK && !response.headers().contains_key(header::SET_COOKIE);
    if !is_plain || nonce.len() < 16 {
        return response;
    }
    let (policy, nonce) = (policy.to_string(), nonce.to_string());
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let body = body.to_bytes();
    let mut pages = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    if pages.bytes + body.len() > LIMIT {
        *pages = Pages::default();
    }
    pages.bytes += body.len();
    let places = places(&body, nonce.as_bytes());
    let page = Page { generation, at: Instant::now(), nonce, policy, body: body.clone(), places };
    if let Some(old) = pages.pages.insert(key, page) {
        pages.bytes = pages.bytes.saturating_sub(old.body.len());
    }
    drop(pages);
    Response::from_parts(head, Body::from(body))
}

/// Where `what` stands in a text.
fn places(text: &[u8], what: &[u8]) -> Vec<usize> {
    text.windows(what.len()).enumerate().filter(|(_, window)| *window == what).map(|(at, _)| at).collect()
}

/// A copy with `new` at each of these places, where there were `old` bytes.
fn replaced(text: &[u8], places: &[usize], old: usize, new: &[u8]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(text.len() + places.len() * new.len());
    let mut from = 0;
    for at in places {
        copy.extend_from_slice(&text[from..*at]);
        copy.extend_from_slice(new);
        from = at + old;
    }
    copy.extend_from_slice(&text[from..]);
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_old_one_becomes_a_new_one() {
        for (text, expected) in [("a<x>b<x>", "a<yy>b<yy>"), ("none", "none"), ("", ""), ("<x>", "<yy>")] {
            let places = places(text.as_bytes(), b"<x>");
            assert_eq!(replaced(text.as_bytes(), &places, 3, b"<yy>"), expected.as_bytes());
        }
    }
}
