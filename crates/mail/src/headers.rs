//! Header fields: found, decoded, made fit to show.

use std::io::BufRead as _;

use mail_parser::decoders::{base64::base64_decode, charsets::map::charset_decoder};

/// What is read of one field: a thousand shown characters fit in it however they are encoded.
const MAX_FIELD: usize = 16 * 1024;
/// What is shown of one field (RFC 5322's limit for a line).
const MAX_SHOWN: usize = 998;
/// Fields looked at in one header section.
const MAX_FIELDS: usize = 1000;
/// Parameters read of one field.
const MAX_PARAMETERS: usize = 100;

/// The fields of one header section that mean something here, in their order.
#[derive(Debug, Default)]
pub(crate) struct Headers<'a> {
    fields: Vec<(&'a [u8], &'a [u8])>,
    /// Whether there was any field at all.
    pub any: bool,
}

/// Reads a header section from `at`; returns it with where its body begins. `ends` knows the lines that end the part itself.
pub(crate) fn read<'a>(raw: &'a [u8], mut at: usize, ends: impl Fn(&[u8]) -> bool) -> (Headers<'a>, usize) {
    const KNOWN: [&str; 11] = [
        "subject",
        "from",
        "to",
        "date",
        "message-id",
        "received",
        "x-originating-ip",
        "content-type",
        "content-disposition",
        "content-transfer-encoding",
        "content-id",
    ];
    let mut headers = Headers::default();
    // The field that a folded line goes on, where it is one to keep: its name and where its value begins.
    let mut open: Option<(&[u8], usize)> = None;
    let mut before = at;
    while at < raw.len() {
        let current = line(raw, at);
        let next = at + current.len();
        let content = current.trim_ascii_end();
        if content.is_empty() || (content.starts_with(b"--") && ends(content)) {
            let body = if content.is_empty() { next } else { at };
            close(&mut headers, raw, open, before);
            return (headers, body);
        }
        let folded = matches!(current[0], b' ' | b'\t');
        if !folded {
            let Some(name) = field_name(content) else {
                // A mailbox file's separator; anything else is the body of a mail that forgot the empty line.
                if !headers.any && (content.starts_with(b"From ") || content.starts_with(b">From ")) {
                    at = next;
                    before = next;
                    continue;
                }
                // A stray line between two fields: relays and people leave such.
                if headers.any && next < raw.len() && field_name(line(raw, next)).is_some() {
                    close(&mut headers, raw, open.take(), before);
                    at = next;
                    before = next;
                    continue;
                }
                close(&mut headers, raw, open, before);
                return (headers, at);
            };
            close(&mut headers, raw, open, before);
            headers.any = true;
            let value = at + content.iter().position(|b| *b == b':').unwrap_or(0) + 1;
            let known = KNOWN.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
            open = (known && headers.fields.len() < MAX_FIELDS).then_some((name, value));
        } else if !headers.any {
            return (headers, at);
        }
        at = next;
        before = next;
    }
    close(&mut headers, raw, open, before);
    (headers, at)
}

fn close<'a>(headers: &mut Headers<'a>, raw: &'a [u8], open: Option<(&'a [u8], usize)>, end: usize) {
    if let Some((name, from)) = open {
        headers.fields.push((name, &raw[from..end.max(from).min(from + MAX_FIELD)]));
    }
}

/// A line with its end. (The standard library's search, which is fast in unoptimised builds too.)
pub(crate) fn line(raw: &[u8], at: usize) -> &[u8] {
    let mut rest = &raw[at..];
    let length = rest.skip_until(b'\n').unwrap_or_default();
    &raw[at..at + length]
}

fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().take(100).position(|b| *b == b':')?;
    let name = line[..colon].trim_ascii_end();
    (!name.is_empty() && name.iter().all(|b| b.is_ascii_graphic())).then_some(name)
}

impl<'a> Headers<'a> {
    /// The values of all fields of this name, folded lines joined.
    pub fn all(&self, name: &str) -> impl Iterator<Item = Vec<u8>> {
        self.fields.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| {
            let joined: Vec<u8> = value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
            joined.trim_ascii().to_vec()
        })
    }

    pub fn first(&self, name: &str) -> Option<Vec<u8>> {
        self.all(name).next()
    }

    /// A field as a person reads it.
    pub fn shown(&self, name: &str) -> Option<String> {
        let shown = shown(&encoded_words(&to_text(&self.first(name)?, None).0), MAX_SHOWN);
        (!shown.is_empty()).then_some(shown)
    }

    pub fn parameters(&self, name: &str) -> Parameters {
        Parameters::read(&self.first(name).unwrap_or_default())
    }
}

/// Control characters, and those that turn the direction of writing, show a text as something it is not.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Without invisible characters, white space collapsed, at most `most` characters.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut length = 0;
    let mut space = false;
    for c in text.chars() {
        if c.is_whitespace() {
            space = !shown.is_empty();
        } else if !is_invisible(c) {
            if length + usize::from(space) >= most {
                break;
            }
            if space {
                shown.push(' ');
                length += 1;
                space = false;
            }
            shown.push(c);
            length += 1;
        }
    }
    shown
}

/// Decodes text; false where the character set is not known. Without one: UTF-8, else what Western mail programs mean.
pub(crate) fn to_text(bytes: &[u8], charset: Option<&str>) -> (String, bool) {
    let charset = charset.map(|name| name.trim().trim_matches(['"', '\'']).to_ascii_lowercase()).filter(|name| !name.is_empty());
    let decoder = charset.as_deref().filter(|name| name.len() <= 45).and_then(|name| charset_decoder(name.as_bytes()));
    let unsaid = matches!(charset.as_deref(), None | Some("us-ascii" | "ascii" | "utf-8" | "utf8"));
    if (unsaid || decoder.is_none())
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return (text.to_string(), charset.is_none() || unsaid);
    }
    match decoder {
        Some(decode) => (decode(bytes), true),
        None => (charset_decoder(b"windows-1252").map_or_else(String::new, |decode| decode(bytes)), unsaid),
    }
}

/// Decodes RFC 2047 encoded words. Neighbours in one character set are decoded together: many programs cut characters in two.
pub(crate) fn encoded_words(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut pending: Option<(&str, Vec<u8>)> = None;
    let mut rest = text;
    while let Some(start) = rest.find("=?") {
        let Some((charset, bytes, after)) = encoded_word(&rest[start + 2..]) else {
            flush(&mut decoded, &mut pending);
            decoded.push_str(&rest[..start + 2]);
            rest = &rest[start + 2..];
            continue;
        };
        let between = &rest[..start];
        if pending.is_none() || !between.trim().is_empty() {
            flush(&mut decoded, &mut pending);
            decoded.push_str(between);
        }
        match &mut pending {
            Some((before, all)) if before.eq_ignore_ascii_case(charset) => all.extend(bytes),
            _ => {
                flush(&mut decoded, &mut pending);
                pending = Some((charset, bytes));
            }
        }
        rest = after;
    }
    flush(&mut decoded, &mut pending);
    decoded.push_str(rest);
    decoded
}

fn flush(decoded: &mut String, pending: &mut Option<(&str, Vec<u8>)>) {
    if let Some((charset, bytes)) = pending.take() {
        decoded.push_str(&to_text(&bytes, Some(charset)).0);
    }
}

/// What follows `=?`: character set, bytes, and the text after the word.
fn encoded_word(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    // A word has at most 75 characters (RFC 2047); long ones exist. The bound keeps this linear.
    let mut end = text.len().min(2048);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut pieces = text[..end].splitn(3, '?');
    let (charset, encoding, body) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let body = &body[..body.find("?=")?];
    let length = charset.len() + encoding.len() + body.len() + 4;
    if charset.is_empty() || charset.len() > 60 || charset.contains(char::is_whitespace) {
        return None;
    }
    let bytes = match encoding {
        "b" | "B" => base64_decode(body.as_bytes()).or_else(|| Some(crate::codecs::base64_leniently(body.as_bytes())))?,
        "q" | "Q" => crate::codecs::quoted_words(body.as_bytes()),
        _ => return None,
    };
    // RFC 2231 allows a language after an asterisk.
    Some((charset.split('*').next().unwrap_or(charset), bytes, &text[length..]))
}

/// A field's first word and its parameters (RFC 2045, RFC 2231).
///
/// Of our own: mail-parser 0.11 forgets the character set of a name that is continued, and cuts its characters.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    /// Lower case: `text/html`, `attachment`.
    pub value: String,
    list: Vec<(String, Vec<u8>)>,
}

impl Parameters {
    fn read(field: &[u8]) -> Self {
        let end = field.iter().position(|b| *b == b';').unwrap_or(field.len());
        let value = String::from_utf8_lossy(&field[..end]);
        let value = value.split('(').next().unwrap_or_default().to_ascii_lowercase().replace(char::is_whitespace, "");
        let mut list = Vec::new();
        let mut at = end + 1;
        while at < field.len() && list.len() < MAX_PARAMETERS {
            let Some(stop) = field[at..].iter().position(|b| matches!(b, b'=' | b';')) else { break };
            let name = String::from_utf8_lossy(field[at..at + stop].trim_ascii()).to_ascii_lowercase();
            let is_named = field[at + stop] == b'=';
            at += stop + 1;
            if !is_named {
                continue;
            }
            while field.get(at).is_some_and(|b| b.is_ascii_whitespace()) {
                at += 1;
            }
            let mut value = Vec::new();
            if field.get(at) == Some(&b'"') {
                at += 1;
                while let Some(&b) = field.get(at) {
                    at += 1;
                    match (b, field.get(at)) {
                        // Only before these: `"C:\temp\a.exe"` is written as it is by many.
                        (b'\\', Some(next @ (b'"' | b'\\'))) => {
                            value.push(*next);
                            at += 1;
                        }
                        (b'"', _) => break,
                        _ => value.push(b),
                    }
                }
                at += field[at.min(field.len())..].iter().position(|b| *b == b';').map_or(field.len(), |stop| stop + 1);
            } else {
                let stop = field[at.min(field.len())..].iter().position(|b| *b == b';').unwrap_or(field.len().saturating_sub(at));
                value.extend_from_slice(field.get(at..at + stop).unwrap_or_default().trim_ascii());
                at += stop + 1;
            }
            list.push((name, value));
        }
        Self { value, list }
    }

    /// The plain value of a parameter.
    pub fn plain(&self, name: &str) -> Option<&[u8]> {
        self.list.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_slice())
    }

    /// A parameter as text: RFC 2231 with continuations, else plain with the encoded words that many programs put there.
    pub fn text(&self, name: &str) -> Option<String> {
        let mut pieces: Vec<(u32, bool, &[u8])> = Vec::new();
        for (found, value) in &self.list {
            let Some(rest) = found.strip_prefix(name).and_then(|rest| rest.strip_prefix('*')) else { continue };
            let (number, is_encoded) = match rest.strip_suffix('*') {
                Some(number) => (number, true),
                None => (rest, rest.is_empty()),
            };
            let number = if number.is_empty() { Some(0) } else { number.parse().ok() };
            let Some(number) = number else { continue };
            if !pieces.iter().any(|(other, ..)| *other == number) {
                pieces.push((number, is_encoded, value));
            }
        }
        pieces.sort_unstable_by_key(|(number, ..)| *number);
        if pieces.is_empty() || pieces[0].0 != 0 {
            return Some(encoded_words(&to_text(self.plain(name)?, None).0));
        }
        let mut charset = None;
        let mut bytes = Vec::new();
        for (at, (number, is_encoded, value)) in pieces.iter().enumerate() {
            if *number as usize != at {
                break;
            }
            let mut value = *value;
            if at == 0 && *is_encoded {
                let mut parts = value.splitn(3, |b| *b == b'\'');
                if let (Some(named), Some(_), Some(rest)) = (parts.next(), parts.next(), parts.next()) {
                    charset = Some(String::from_utf8_lossy(named).into_owned());
                    value = rest;
                }
            }
            if *is_encoded { bytes.extend(crate::codecs::percent(value)) } else { bytes.extend_from_slice(value) }
        }
        Some(to_text(&bytes, charset.as_deref()).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(field: &str) -> Parameters {
        Parameters::read(field.as_bytes())
    }

    #[test]
    fn encoded_words_are_decoded_together() {
        for (text, decoded) in [
            ("=?utf-8?Q?Rechnung_=C3?= =?UTF-8?Q?=A4?=", "Rechnung ä"),
            ("=?utf-8?B?w6Q=?= and =?iso-8859-1?q?=E4?=", "ä and ä"),
            ("=?utf-8?B?4pw=?=\t=?utf-8?B?kw==?=", "✓"),
            ("=?windows-1251?B?zyDw?= x", "П р x"),
            ("=?utf-8*de?Q?=C3=BC?=", "ü"),
            ("=?nonsense", "=?nonsense"),
            ("a =?utf-8?X?a?= b", "a =?utf-8?X?a?= b"),
            ("=?utf-8?Q??=", ""),
        ] {
            assert_eq!(encoded_words(text), decoded, "{text}");
        }
    }

    #[test]
    fn names_are_put_together() {
        for (field, name) in [
            (r#"attachment; filename="a b.pdf""#, "a b.pdf"),
            (r#"attachment; filename=a b.pdf; size=3"#, "a b.pdf"),
            (r#"attachment; filename= "a;\"b.pdf" ; x=y"#, "a;\"b.pdf"),
            ("attachment; filename*=UTF-8''%e2%82%ac%20rates.pdf; filename=x", "€ rates.pdf"),
            ("attachment; filename*1*=%82%AC.pdf; filename*0*=utf-8'en'%E2", "€.pdf"),
            ("attachment; filename*0*=windows-1251''%D1%F7; filename*1*=%E5%F2; filename*2=.zip", "Счет.zip"),
            ("attachment; filename=\"=?utf-8?B?w6QucGRm?=\"", "ä.pdf"),
            ("attachment; FileName*0=a; filename*1=.exe; filename*3=.txt", "a.exe"),
        ] {
            assert_eq!(parameters(field).text("filename").as_deref(), Some(name), "{field}");
        }
        assert_eq!(parameters("Text/HTML (really); charset=x").value, "text/html");
        assert_eq!(parameters("attachment; filename").text("filename"), None);
    }
}
