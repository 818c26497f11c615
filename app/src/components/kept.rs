//! HTML that was made before of the same values.

use std::{
    any::Any,
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use leptos::prelude::*;

/// Bytes of HTML and keys that are kept before all of them are dropped. A row takes some 3 kB: thousands of them fit.
const LIMIT: usize = 16 * 1024 * 1024;

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Kept {
    bytes: usize,
    pieces: HashMap<String, Piece>,
}

struct Piece {
    /// What it was made of.
    values: Box<dyn Any + Send>,
    html: String,
}

/// Appends to `page` the HTML of a piece of a list that is nothing but a function of `key` and `values`: no clock, no session, no
/// island, no signal that changes. Most rows of a list are, each time it is looked at, what they were the last time.
///
/// The values are compared, all of them, so nobody is ever shown HTML that was made of others.
pub fn push_kept<T: PartialEq + Clone + Send + 'static, V: IntoView>(
    page: &mut String, key: &str, values: &T, render: impl FnOnce() -> V,
) {
    if let Some(piece) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).pieces.get(key)
        && piece.values.downcast_ref::<T>() == Some(values)
    {
        page.push_str(&piece.html);
        return;
    }
    let html = render().into_view().to_html();
    page.push_str(&html);
    // What it was made of is about as large as what became of it.
    let size = key.len() + 2 * html.len();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.bytes + size > LIMIT {
        *kept = Kept::default();
    }
    kept.bytes += size;
    if let Some(old) = kept.pieces.insert(key.to_string(), Piece { values: Box::new(values.clone()), html }) {
        kept.bytes = kept.bytes.saturating_sub(key.len() + 2 * old.html.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(key: &str, values: &str, html: &'static str) -> String {
        let mut page = "before ".to_string();
        push_kept(&mut page, key, &values.to_string(), || view! { <b>{html}</b> });
        page
    }

    #[test]
    fn the_same_values_are_rendered_once() {
        assert_eq!(piece("once", "a", "1"), "before <b>1</b>");
        assert_eq!(piece("once", "a", "2"), "before <b>1</b>", "kept");
        assert_eq!(piece("once", "b", "3"), "before <b>3</b>", "other values");
        assert_eq!(piece("once", "a", "4"), "before <b>4</b>", "the last ones count");
        assert_eq!(piece("twice", "a", "5"), "before <b>5</b>", "another key");
        let mut page = String::new();
        push_kept(&mut page, "twice", &7, || view! { <b>"6"</b> });
        assert_eq!(page, "<b>6</b>", "another kind of values");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        for number in 0..200 {
            piece(&format!("{number}{}", "x".repeat(LIMIT / 100)), "a", "1");
            assert!(KEPT.lock().expect("whole").bytes <= LIMIT);
        }
    }
}
