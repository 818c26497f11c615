//! Text a person typed: kept as typed, but without what nobody sees.

use crate::borrowed;

/// Trims, collapses inner white space to one space, and brings to NFC.
#[must_use]
pub fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    borrowed::compose(&out)
}

/// The key under which two names are the same: NFC of the Unicode case folding of the tidied text. Only stores need it.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn fold(text: &str) -> String {
    borrowed::compose(&borrowed::fold(&tidy(text)))
}

/// Control characters, line and paragraph separators, and the bidirectional overrides that make text read as another.
#[must_use]
pub fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' | '\u{FFFE}' | '\u{FFFF}')
}

/// A one-line text with a length limit in characters.
///
/// # Errors
/// What is wrong with it, for the person who typed it. `what` is what the field holds ("a name").
pub fn one_line(text: &str, what: &str, max: usize) -> Result<String, String> {
    // A tab or a line end inside is white space to `tidy`; what is left of control characters would be invisible.
    let tidied = tidy(text);
    if tidied.is_empty() {
        return Err(format!("Enter {what}."));
    }
    if tidied.chars().any(is_forbidden) {
        return Err("Remove the control characters: they can't be seen or typed.".into());
    }
    let length = tidied.chars().count();
    if length > max {
        return Err(format!("Use at most {max} characters; this has {length}."));
    }
    Ok(tidied)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folding_ignores_case_width_of_spaces_and_composition() {
        assert_eq!(fold("  Corp \t EU "), fold("corp eu"));
        assert_eq!(fold("STRASSE"), fold("Straße"));
        assert_eq!(fold("Cafe\u{301}"), fold("CAFÉ"));
        assert_ne!(fold("corp-eu"), fold("corp eu"));
    }

    proptest! {
        #[test]
        fn tidying_twice_changes_nothing(text in "\\PC{0,60}") {
            let once = tidy(&text);
            prop_assert_eq!(tidy(&once), once);
        }

        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,60}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }
    }
}
