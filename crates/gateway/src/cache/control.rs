//! What `Cache-Control` says (RFC 9111, section 5.2; RFC 5861; RFC 8246).

use crate::http::head::{self, Field, Known};

/// The most that is believed of a number of seconds (RFC 9111, section 1.2.2): 2³¹.
const MOST: u64 = 1 << 31;

/// The directives of a message, in all of its `Cache-Control` fields.
///
/// A number that is none counts as 0, and of several numbers the smallest counts: what is not clear is old (section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each is the directive of this name")]
pub struct Control {
    /// There is such a field at all.
    pub is_there: bool,
    pub no_store: bool,
    /// Also where it names fields: these must not be used without asking, and all of them are held to be named.
    pub no_cache: bool,
    /// Also where it names fields, as with `no_cache`.
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub no_transform: bool,
    pub only_if_cached: bool,
    pub max_age: Option<u64>,
    pub s_maxage: Option<u64>,
    pub min_fresh: Option<u64>,
    /// `u64::MAX` where it stands alone: however old.
    pub max_stale: Option<u64>,
    pub stale_if_error: Option<u64>,
    pub stale_while_revalidate: Option<u64>,
}

impl Control {
    /// Reads all of them.
    #[must_use]
    pub fn of(buffer: &[u8], fields: &[Field]) -> Self {
        let mut control = Self::default();
        for value in head::values(buffer, fields, Known::CacheControl) {
            control.is_there = true;
            directives(value, |name, argument| control.take(name, argument));
        }
        control
    }

    fn take(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        let least = |known: Option<u64>| {
            let seconds = seconds(argument.unwrap_or_default());
            Some(known.map_or(seconds, |known| known.min(seconds)))
        };
        match name.len() {
            6 if is(b"public") => self.public = true,
            7 if is(b"private") => self.private = true,
            7 if is(b"max-age") => self.max_age = least(self.max_age),
            8 if is(b"no-store") => self.no_store = true,
            8 if is(b"no-cache") => self.no_cache = true,
            8 if is(b"s-maxage") => self.s_maxage = least(self.s_maxage),
            9 if is(b"min-fresh") => {
                // Of these the largest is the careful one.
                let seconds = seconds(argument.unwrap_or_default());
                self.min_fresh = Some(self.min_fresh.unwrap_or_default().max(seconds));
            }
            9 if is(b"max-stale") => {
                let seconds = argument.map_or(u64::MAX, seconds);
                self.max_stale = Some(self.max_stale.map_or(seconds, |known| known.min(seconds)));
            }
            12 if is(b"no-transform") => self.no_transform = true,
            14 if is(b"only-if-cached") => self.only_if_cached = true,
            14 if is(b"stale-if-error") => self.stale_if_error = least(self.stale_if_error),
            15 if is(b"must-revalidate") => self.must_revalidate = true,
            15 if is(b"must-understand") => self.must_understand = true,
            16 if is(b"proxy-revalidate") => self.proxy_revalidate = true,
            22 if is(b"stale-while-revalidate") => self.stale_while_revalidate = least(self.stale_while_revalidate),
            _ => {}
        }
    }

    /// Whether a stored answer must not be used when it is old, whatever else is said (section 4.2.4).
    #[must_use]
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache || self.s_maxage.is_some()
    }
}

/// A number of seconds. What is none, or below none, is 0; what is too large is [`MOST`].
pub(super) fn seconds(text: &[u8]) -> u64 {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    text.iter().fold(0u64, |number, digit| (number * 10 + u64::from(digit - b'0')).min(MOST))
}

/// Takes a list of directives apart: commas within quotes separate nothing.
fn directives(value: &[u8], mut take: impl FnMut(&[u8], Option<&[u8]>)) {
    let mut rest = value;
    while !rest.is_empty() {
        let (mut quoted, mut escaped, mut end) = (false, false, rest.len());
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        let directive = rest[..end].trim_ascii();
        rest = rest.get(end + 1..).unwrap_or_default();
        let (name, argument) = match memchr::memchr(b'=', directive) {
            None => (directive, None),
            Some(at) => (directive[..at].trim_ascii(), Some(unquoted(directive[at + 1..].trim_ascii()))),
        };
        if !name.is_empty() {
            take(name, argument);
        }
    }
}

/// Without the quotes around it: both forms mean the same (section 5.2). Numbers need no escapes, so these are left.
fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] => inner,
        text => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn control(lines: &[&str]) -> Control {
        let lines: String = lines.iter().map(|line| format!("Cache-Control: {line}\r\n")).collect();
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let head = head::response(text.as_bytes()).expect("right").expect("whole");
        Control::of(text.as_bytes(), &head.fields)
    }

    #[test]
    fn numbers_are_read_in_both_forms_and_what_is_none_is_old() {
        for (text, expected) in [
            ("max-age=10", Some(10)),
            ("MAX-AGE=10", Some(10)),
            ("max-age=\"10\"", Some(10)),
            ("max-age = 10", Some(10)),
            ("max-age", Some(0)),
            ("max-age=", Some(0)),
            ("max-age=-1", Some(0)),
            ("max-age=1.5", Some(0)),
            ("max-age=10s", Some(0)),
            ("max-age=99999999999999999999999", Some(MOST)),
            ("max-age=10, max-age=20", Some(10)),
            ("max-age=20, max-age=10", Some(10)),
            ("x-max-age=10", None),
            ("ext=\"max-age=10, no-store\"", None),
            ("ext=\"a\\\"b, max-age=10\"", None),
            ("ext=\"open, max-age=10", None),
        ] {
            assert_eq!(control(&[text]).max_age, expected, "{text}");
        }
    }

    #[test]
    fn several_fields_and_unknown_directives_are_one_list() {
        let both = control(&["public,, max-age=5 ,", "No-Store, ext, Max-Stale"]);
        assert!(both.public && both.no_store && both.is_there);
        assert_eq!((both.max_age, both.max_stale), (Some(5), Some(u64::MAX)));
        assert!(control(&["private=\"set-cookie\""]).private && control(&["no-cache=\"x, y\", public"]).no_cache);
        assert_eq!(control(&[]), Control::default());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[ -~]{0,80}") {
            control(&[&text]);
        }

        #[test]
        fn what_stands_in_quotes_says_nothing(inner in "[ !#-\\[\\]-~]{0,40}") {
            let found = control(&[&format!("ext=\"{inner}\"")]);
            prop_assert_eq!(found, Control { is_there: true, ..Control::default() });
        }
    }
}
