//! HTML that was made before of the same values.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use leptos::prelude::*;
use serde::Serialize;

/// Bytes of HTML and keys that are kept before all of them are dropped. A row takes some 3 kB: thousands of them fit.
const LIMIT: usize = 16 * 1024 * 1024;

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Kept {
    bytes: usize,
    html: HashMap<String, String>,
}

/// Appends to `page` the HTML of a piece of a list that is nothing but a function of `values`: no clock, no session, no island, no
/// signal that changes. Most rows of a list are, each time it is looked at, what they were the last time.
///
/// `kind` tells apart pieces that are made of the same values. The key holds **all** the values, so nobody is ever shown
/// HTML that was made of somebody else's.
pub fn push_kept<V: IntoView>(page: &mut String, kind: &str, values: &impl Serialize, render: impl FnOnce() -> V) {
    let key = serde_json::to_string(&(kind, values)).ok();
    if let Some(key) = &key
        && let Some(html) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).html.get(key)
    {
        page.push_str(html);
        return;
    }
    let html = render().into_view().to_html();
    page.push_str(&html);
    let Some(key) = key else { return };
    let size = key.len() + html.len();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.bytes + size > LIMIT {
        *kept = Kept::default();
    }
    if kept.html.insert(key, html).is_none() {
        kept.bytes += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(kind: &str, values: &[&str], html: &'static str) -> String {
        let mut page = "before ".to_string();
        push_kept(&mut page, kind, &values, || view! { <b>{html}</b> });
        page
    }

    #[test]
    fn the_same_values_are_rendered_once() {
        assert_eq!(piece("once", &["a"], "1"), "before <b>1</b>");
        assert_eq!(piece("once", &["a"], "2"), "before <b>1</b>", "kept");
        assert_eq!(piece("once", &["b"], "3"), "before <b>3</b>", "other values");
        assert_eq!(piece("twice", &["a"], "4"), "before <b>4</b>", "another kind");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        for number in 0..200 {
            let long = "x".repeat(LIMIT / 100);
            piece("much", &[&long, &number.to_string()], "1");
            assert!(KEPT.lock().expect("whole").bytes <= LIMIT);
        }
    }
}
