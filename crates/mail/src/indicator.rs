//! What a pasted text is.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use gatehouse_domain::analysis::{Indicator, IndicatorKind};
use url::{Host, Url};

/// Longer ones are nothing that a person pastes or an engine takes.
pub(crate) const MAX_URL: usize = 8192;

/// Why an address is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It is none that is fetched over HTTP.
    NoLink,
    /// It is one, of more than [`MAX_URL`] characters.
    TooLong,
}

/// What a pasted text is: a URL, an IP address or the hash of a file, normalised.
///
/// A host name alone is the URL of its front page. Defanged spellings (`hxxp://`, `example[.]com`) are understood.
///
/// # Errors
/// What would be right, for a person.
pub fn indicator(text: &str) -> Result<Indicator, String> {
    let text = tidy(text)?;
    if let Ok(found) = ip_of(&text).or_else(|_| hash_of(&text)) {
        return Ok(found);
    }
    if text.bytes().all(|b| b.is_ascii_hexdigit()) && text.len() >= 16 {
        return hash_of(&text);
    }
    if text.contains("://") || text.contains('.') {
        return url_of(&text);
    }
    Err("Enter a URL that begins with http:// or https://, an IP address, or a file hash: 32 (MD5), 40 (SHA-1) or 64 (SHA-256) \
         hexadecimal digits."
        .into())
}

/// Reads a URL; `http://` is added to a host name.
///
/// # Errors
/// What would be right, for a person.
pub fn url(text: &str) -> Result<Indicator, String> {
    url_of(&tidy(text)?)
}

/// Reads an IP address, version 4 or 6.
///
/// # Errors
/// What would be right, for a person.
pub fn ip(text: &str) -> Result<Indicator, String> {
    ip_of(&tidy(text)?)
}

/// Reads the hash of a file: MD5, SHA-1 or SHA-256 in hexadecimal.
///
/// # Errors
/// What would be right, for a person.
pub fn hash(text: &str) -> Result<Indicator, String> {
    hash_of(&tidy(text)?)
}

fn tidy(text: &str) -> Result<String, String> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}'));
    if text.is_empty() {
        return Err("Enter a URL, an IP address or a file hash.".into());
    }
    if text.len() > MAX_URL {
        return Err(format!("This is too long: at most {MAX_URL} characters."));
    }
    if text.chars().any(char::is_whitespace) {
        return Err("Enter one URL, IP address or file hash, without spaces.".into());
    }
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    // Until nothing changes: what is left has no defanged spelling in it, so reading it once more gives the same.
    let mut text = inner.to_string();
    while let Cow::Owned(plainer) = refang(&text) {
        text = plainer;
    }
    Ok(text)
}

fn ip_of(text: &str) -> Result<Indicator, String> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address: IpAddr = inner.parse().map_err(|_| {
        if inner.contains('%') {
            "Enter the address without its zone (the part from % on).".to_string()
        } else {
            "This is not an IP address; right ones look like 198.51.100.7 or 2001:db8::7, without a port.".to_string()
        }
    })?;
    Ok(Indicator { kind: IndicatorKind::Ip, value: address.to_canonical().to_string(), note: None })
}

fn hash_of(text: &str) -> Result<Indicator, String> {
    let digits = match text.split_once(':') {
        Some((name, digits)) if matches!(name.to_ascii_lowercase().as_str(), "md5" | "sha1" | "sha-1" | "sha256" | "sha-256") => {
            digits
        }
        _ => text,
    };
    let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
    match digits.len() {
        32 | 40 | 64 if hexadecimal => {
            Ok(Indicator { kind: IndicatorKind::Hash, value: digits.to_ascii_lowercase(), note: None })
        }
        128 if hexadecimal => Err("This looks like a SHA-512 hash: use the file's SHA-256 (64 hexadecimal digits).".into()),
        length if hexadecimal => Err(format!(
            "A file hash has 32 (MD5), 40 (SHA-1) or 64 (SHA-256) hexadecimal digits; this one has {length}: was it cut off?"
        )),
        _ => Err("A file hash is 32 (MD5), 40 (SHA-1) or 64 (SHA-256) digits from 0 to 9 and a to f.".into()),
    }
}

fn url_of(text: &str) -> Result<Indicator, String> {
    const WRONG: &str = "Enter a URL that begins with http:// or https:// and names a host, like https://example.com/path.";
    let value = match text.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return Err(format!("Only http:// and https:// addresses can be looked at, not {scheme}://."));
            }
            normalise(text).ok()
        }
        _ if text.contains('@') => return Err("An e-mail address can't be looked at. ".to_string() + WRONG),
        _ => normalise(&format!("http://{text}")).ok().filter(|_| looks_like_host(host_part(text))),
    };
    let value = value.ok_or_else(|| WRONG.to_string())?;
    Ok(Indicator { kind: IndicatorKind::Url, value, note: None })
}

/// The host of something written without a scheme: up to the port, path, query or fragment.
pub(crate) fn host_part(text: &str) -> &str {
    text.find([':', '/', '?', '#', '\\']).map_or(text, |end| &text[..end])
}

/// Whether this is written like a host name with at least two labels, or like an IPv4 address.
pub(crate) fn looks_like_host(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let mut labels = text.rsplit('.');
    let last = labels.next().unwrap_or_default();
    let fine = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    let top = last.starts_with("xn--") || last.chars().count() >= 2 && last.chars().all(char::is_alphabetic);
    let mut others = 0;
    labels.all(|label| {
        others += 1;
        fine(label)
    }) && others > 0
        && top
        && fine(last)
}

/// As browsers read it, without the fragment, which no server sees. Only what is fetched over HTTP and names a host.
pub(crate) fn normalise(text: &str) -> Result<String, Unfit> {
    keep(Url::parse(text).map_err(|_| Unfit::NoLink)?)
}

pub(crate) fn keep(mut url: Url) -> Result<String, Unfit> {
    let names_host = match url.host() {
        Some(Host::Domain(name)) => !name.trim_matches('.').is_empty(),
        Some(_) => true,
        None => false,
    };
    if !names_host || !matches!(url.scheme(), "http" | "https") {
        return Err(Unfit::NoLink);
    }
    // It is not sent, so its length must not hide the rest.
    url.set_fragment(None);
    if url.as_str().len() > MAX_URL { Err(Unfit::TooLong) } else { Ok(url.into()) }
}

/// What people and mail gateways make unclickable, made whole again: `hxxp`, `[.]`, `(dot)`, `[:]//`.
///
/// Only between characters that could stand there in an address: `see (.) here` stays.
pub(crate) fn refang(text: &str) -> Cow<'_, str> {
    const MARKS: [(&str, &str); 12] = [
        ("[.]", "."),
        ("(.)", "."),
        ("{.}", "."),
        ("[dot]", "."),
        ("(dot)", "."),
        ("{dot}", "."),
        ("[:]", ":"),
        ("(:)", ":"),
        ("[://]", "://"),
        ("(://)", "://"),
        ("[/]", "/"),
        ("[:/]", ":/"),
    ];
    let bytes = text.as_bytes();
    let mut plain = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let (length, instead): (usize, &str) = match bytes[at] {
            b'[' | b'(' | b'{'
                if at > 0
                    && !bytes[at - 1].is_ascii_whitespace()
                    && matches!(bytes.get(at + 1), Some(b'.' | b':' | b'/' | b'd' | b'D')) =>
            {
                let found = MARKS.iter().find(|(mark, _)| {
                    bytes.get(at..at + mark.len()).is_some_and(|here| here.eq_ignore_ascii_case(mark.as_bytes()))
                        && bytes.get(at + mark.len()).is_some_and(|next| !next.is_ascii_whitespace())
                });
                found.map_or((0, ""), |(mark, instead)| (mark.len(), *instead))
            }
            b'h' | b'H' if at == 0 || !bytes[at - 1].is_ascii_alphanumeric() => match bytes.get(at..at + 4) {
                Some([_, b'x' | b'X' | b'*', b'x' | b'X' | b'*', b'p' | b'P']) => {
                    let rest = &bytes[at + 4..];
                    let rest = rest.strip_prefix(b"s").or_else(|| rest.strip_prefix(b"S")).unwrap_or(rest);
                    let goes_on = [&b":"[..], b"[:", b"(:"].iter().any(|mark| rest.starts_with(mark));
                    if goes_on { (4, "http") } else { (0, "") }
                }
                _ => (0, ""),
            },
            _ => (0, ""),
        };
        if length == 0 {
            at += 1;
            continue;
        }
        plain.push_str(&text[copied..at]);
        plain.push_str(instead);
        at += length;
        copied = at;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    plain.push_str(&text[copied..]);
    Cow::Owned(plain)
}

/// Whether an address can stand on the internet. Those for documentation (RFC 5737) count: examples are made of them.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    !(v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [first, second, third, ..] = v6.segments();
    if let Some(v4) = v6.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    // 6to4 carries an IPv4 address; large senders number their inner networks with private ones.
    if first == 0x2002 {
        return is_public_v4(Ipv4Addr::from((u32::from(second) << 16) | u32::from(third)));
    }
    !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (IndicatorKind, String) {
        let found = indicator(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (found.kind, found.value)
    }

    #[test]
    fn a_pasted_text_is_recognised() {
        use IndicatorKind::{Hash, Ip, Url};
        for (text, kind, value) in [
            (" https://Example.COM/a#b ", Url, "https://example.com/a"),
            ("hxxps://evil[.]example[.]com/x", Url, "https://evil.example.com/x"),
            ("hXXp[://]evil(dot)example/x", Url, "http://evil.example/x"),
            ("example.com", Url, "http://example.com/"),
            ("example.com/login?a=b", Url, "http://example.com/login?a=b"),
            ("http://3232235521/", Url, "http://192.168.0.1/"),
            ("https://bücher.example", Url, "https://xn--bcher-kva.example/"),
            ("<http://example.com/>", Url, "http://example.com/"),
            ("http://[2001:DB8::1]:8080/", Url, "http://[2001:db8::1]:8080/"),
            ("198.51.100.7", Ip, "198.51.100.7"),
            ("198[.]51[.]100[.]7", Ip, "198.51.100.7"),
            ("2001:DB8:0::7", Ip, "2001:db8::7"),
            ("[2001:db8::7]", Ip, "2001:db8::7"),
            ("::ffff:198.51.100.7", Ip, "198.51.100.7"),
            ("D41D8CD98F00B204E9800998ECF8427E", Hash, "d41d8cd98f00b204e9800998ecf8427e"),
            ("sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", Hash, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            (
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                Hash,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
        ] {
            assert_eq!(read(text), (kind, value.to_string()), "{text}");
        }
    }

    #[test]
    fn an_error_says_what_would_be_right() {
        for (text, says) in [
            ("", "Enter a URL"),
            ("hello", "http:// or https://"),
            ("two words.com", "without spaces"),
            ("ftp://example.com/", "not ftp://"),
            ("javascript:alert(1)", "http:// or https://"),
            ("someone@example.com", "e-mail address"),
            ("https://", "names a host"),
            ("d41d8cd98f00b204e9800998ecf8427", "has 31"),
            (&"ab".repeat(64), "SHA-256"),
            (&"a".repeat(9000), "too long"),
        ] {
            let error = indicator(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(ip("198.51.100.7:80").unwrap_err().contains("without a port"));
        assert!(ip("fe80::1%eth0").unwrap_err().contains("zone"));
        assert!(hash("xyz").unwrap_err().contains("SHA-256"));
        assert!(url("198.51.100.7").is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = indicator(&text);
            let _ = ip(&text);
            let _ = hash(&text);
        }

        /// What was read reads as itself: nothing changes when an analysis is made again from a stored value.
        #[test]
        fn what_parses_is_stable(text in "(h(tt|xx)ps?://)?[a-z0-9.@:()\\[\\]{}dot/?#%&=_~ä*\\\\-]{0,40}") {
            if let Ok(found) = url(&text) {
                prop_assert_eq!(url(&found.value), Ok(found));
            }
            if let Ok(found) = indicator(&text) {
                prop_assert_eq!(indicator(&found.value), Ok(found));
            }
        }
    }
}
