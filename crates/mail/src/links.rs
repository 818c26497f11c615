//! Links in text.

use linkify::{LinkFinder, LinkKind};

use crate::indicator::{MAX_URL, Unfit, host_part, looks_like_host, normalise, refang};

/// Links to addresses in brackets that are looked at in one text.
const MAX_BRACKETED: usize = 500;

/// Calls `found` with each URL in a text, normalised (or why it is not looked at), until it returns false.
pub(crate) fn in_text(text: &str, mut found: impl FnMut(Result<String, Unfit>) -> bool) {
    let text = spelled_out(text);
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    for link in finder.links(&text) {
        let link = link.as_str();
        // `xhttp://…` and the like: the address begins where its scheme does.
        let Some(start) = link.find("HTTP") else { continue };
        if !found(normalise(&link[start..])) {
            return;
        }
    }
    // linkify knows no addresses in brackets.
    let bracketed = text.match_indices("://[").filter_map(|(at, _)| {
        let scheme = ["HTTP", "HTTPS"].into_iter().find(|scheme| text[..at].ends_with(scheme))?;
        // The longest address has 45 characters.
        text.as_bytes()[at..].iter().take(50).any(|b| *b == b']').then_some((scheme, &text[at..]))
    });
    for (scheme, rest) in bracketed.take(MAX_BRACKETED) {
        let is_end = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | ')' | '|');
        let end = rest.char_indices().take(MAX_URL).find(|(_, c)| is_end(*c)).map(|(end, _)| end);
        // What is cut is a link no more.
        let link = match end.or((rest.len() <= MAX_URL).then_some(rest.len())) {
            Some(end) => normalise(&format!("{scheme}{}", rest[..end].trim_end_matches(['.', ',', ';']))),
            None => Err(Unfit::TooLong),
        };
        if !found(link) {
            return;
        }
    }
}

/// The text as linkify finds most in it: refanged, `http://` before what mail programs make a link of without it, and schemes
/// in capitals, because it takes hosts like `3232235521` only after schemes that it does not know.
fn spelled_out(text: &str) -> String {
    let plain = refang(text);
    let mut spelled = String::with_capacity(plain.len() + plain.len() / 16);
    let mut from = 0;
    for (start, word) in words(&plain) {
        let lower = word.get(..4).map(str::to_ascii_lowercase);
        if lower.as_deref() == Some("www.") && looks_like_host(host_part(word.trim_end_matches(|c: char| !c.is_alphanumeric()))) {
            spelled.push_str(&plain[from..start]);
            spelled.push_str("HTTP://");
            from = start;
        }
    }
    spelled.push_str(&plain[from..]);
    // What was written defanged, without a scheme: `evil[.]example/x`.
    if matches!(plain, std::borrow::Cow::Owned(_)) {
        for (_, word) in words(text) {
            let bare = word.trim_end_matches(|c: char| !(c.is_alphanumeric() || c == '/'));
            if word.contains("[.]")
                && !word.contains("://")
                && !word.contains(['@', '*'])
                && !word.contains("[:")
                && !word.contains("(at)")
            {
                let plain = refang(bare);
                if looks_like_host(host_part(&plain)) {
                    spelled.push_str("\nHTTP://");
                    spelled.push_str(&plain);
                }
            }
        }
    }
    capitals(&spelled)
}

/// Words with where they begin; brackets and quotation marks before them left out.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().map(move |word| {
        let word = word.trim_start_matches(['(', '<', '[', '"', '\'', '„', '“', '«', ':', ',', ';', '|', '>']);
        (word.as_ptr() as usize - text.as_ptr() as usize, word)
    })
}

fn capitals(text: &str) -> String {
    let mut capitals = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in text.match_indices("://") {
        for scheme in ["HTTPS", "HTTP"] {
            let Some(start) = at.checked_sub(scheme.len()).filter(|start| *start >= from) else { continue };
            if text.as_bytes()[start..at].eq_ignore_ascii_case(scheme.as_bytes()) {
                capitals.push_str(&text[from..start]);
                capitals.push_str(scheme);
                from = at;
                break;
            }
        }
    }
    capitals.push_str(&text[from..]);
    capitals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_as_mail_programs_find_them() {
        for (text, links) in [
            ("See https://example.com/a, or (http://example.com/b).", &["https://example.com/a", "http://example.com/b"][..]),
            ("<https://example.com/?a=b&c=d#e>", &["https://example.com/?a=b&c=d"]),
            ("hxxps://evil[.]example/a[.]php", &["https://evil.example/a.php"]),
            (
                "h**p://evil(dot)example/x and evil[.]example.com/login",
                &["http://evil.example/x", "http://evil.example.com/login"],
            ),
            ("www.example.com/a. WWW.example.org", &["http://www.example.com/a", "http://www.example.org/"]),
            ("http://3232235521/x http://0xC0.0xA8.1/", &["http://192.168.0.1/x", "http://192.168.0.1/"]),
            ("http://[2001:db8::1]/x.", &["http://[2001:db8::1]/x"]),
            ("https://bücher.example/ä", &["https://xn--bcher-kva.example/%C3%A4"]),
            ("ftp://example.com mailto:a@example.com a@www.example.com someone(at)example(dot)com setup.exe a.b.c", &[]),
            ("x=[.]; see (.) and www.", &[]),
            ("HTTP://EXAMPLE.com/A", &["http://example.com/A"]),
        ] {
            let mut found = Vec::new();
            in_text(text, |url| {
                found.extend(url);
                true
            });
            assert_eq!(found, links, "{text}");
        }
    }

    #[test]
    fn links_that_are_too_long_are_told_from_none() {
        let filling = "a".repeat(9000);
        for (text, expected) in [
            (format!("http://example.com/{filling}"), Err(Unfit::TooLong)),
            (format!("http://[2001:db8::1]/{filling} x"), Err(Unfit::TooLong)),
            (format!("http://[2001:db8::1]/{}", &filling[..5000]), Ok(format!("http://[2001:db8::1]/{}", &filling[..5000]))),
            (format!("http://example.com/#{filling}"), Ok("http://example.com/".into())),
        ] {
            let mut found = Vec::new();
            in_text(&text, |url| {
                found.push(url);
                true
            });
            found.retain(|url| *url != Err(Unfit::NoLink));
            assert_eq!(found, [expected]);
        }
    }
}
