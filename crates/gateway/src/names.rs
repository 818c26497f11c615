//! What a client asks for, in the one spelling that is judged, resolved, dialled and logged.
//!
//! Programs disagree about what `0177.0.0.1`, `１２７.1` or `[::ffff:10.0.0.1]` mean. So nothing is judged as spelled: a name
//! becomes its A-labels in lower case, everything that browsers or `inet_aton` read as an address becomes that address, and
//! only what was judged is sent on. What has no agreed meaning (user names, zones, percent-encoding, spaces) is refused.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use gatehouse_domain::{HostName, address};

/// A host as it is judged: a name in A-labels, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    text: String,
    address: Option<IpAddr>,
}

/// Why something isn't a host that a request can be sent to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// Nothing there.
    #[error("The host is missing.")]
    Missing,
    /// More than 1,024 bytes.
    #[error("The host is too long: a name has at most 253 characters.")]
    TooLong,
    /// RFC 9110, 4.2.4.
    #[error("A user name in the address is not accepted: it is used to disguise where a link leads.")]
    UserInfo,
    /// A percent sign in a name.
    #[error("A percent-encoded host is not accepted.")]
    PercentEncoded,
    /// RFC 6874.
    #[error("An IPv6 address with a zone works on one machine only.")]
    Zone,
    /// RFC 3986, 3.2.2.
    #[error("This is not an IPv6 address in brackets, like [2001:db8::1].")]
    Ipv6,
    /// White space, control characters, delimiters of a URL.
    #[error("There is a character in the host that no host has.")]
    Character,
    /// A name that ends in a number but is not an address.
    #[error("This ends in a number but is not an IPv4 address.")]
    Ipv4,
    /// Labels, lengths, hyphens, letters that IDNA refuses.
    #[error("This is not a host name.")]
    Name,
    /// Not 1 to 65535, or missing where there is no default.
    #[error("The port is missing or not a number from 1 to 65535.")]
    Port,
}

impl Host {
    /// Parses the host of a request target or of a `Host` field, without its port. IPv6 in brackets.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        if let Some(host) = Self::plain(text) {
            return Ok(host);
        }
        // Four decimal numbers without zeros before them: read in one way only.
        if let Ok(v4) = text.parse::<Ipv4Addr>() {
            return Ok(Self::from(IpAddr::V4(v4)));
        }
        if text.is_empty() {
            return Err(BadHost::Missing);
        }
        if text.len() > 1024 {
            return Err(BadHost::TooLong);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(BadHost::Ipv6)?;
            if inner.contains('%') {
                return Err(BadHost::Zone);
            }
            return inner.parse::<Ipv6Addr>().map(|v6| Self::from(IpAddr::V6(v6))).map_err(|_| BadHost::Ipv6);
        }
        if text.contains('@') {
            return Err(BadHost::UserInfo);
        }
        if text.contains('%') {
            return Err(BadHost::PercentEncoded);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | '?' | '#' | ':' | '[' | ']')) {
            return Err(BadHost::Character);
        }
        if let Ok(name) = HostName::parse(text) {
            return Ok(name.address().map_or_else(|| Self { text: name.ascii().into(), address: None }, Self::from));
        }
        if let Some(v4) = address::loose_v4(text) {
            return Ok(Self::from(IpAddr::V4(v4)));
        }
        let last = text.strip_suffix('.').unwrap_or(text).rsplit('.').next().unwrap_or_default();
        Err(if last.starts_with(|c: char| c.is_numeric()) { BadHost::Ipv4 } else { BadHost::Name })
    }

    /// What nearly every request has: letters, digits, hyphens and dots that say a name. No table is needed for it.
    fn plain(text: &str) -> Option<Self> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() || name.len() > 253 {
            return None;
        }
        for label in name.as_bytes().split(|b| *b == b'.') {
            let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            let a_label = label.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"));
            if label.is_empty() || label.len() > 63 || a_label || !label.iter().all(plain) {
                return None;
            }
            if label.first() == Some(&b'-') || label.last() == Some(&b'-') {
                return None;
            }
        }
        let last = name.rsplit('.').next()?;
        // Numbers begin with a digit, also hexadecimal ones.
        (!last.starts_with(|c: char| c.is_ascii_digit())).then(|| Self { text: name.to_ascii_lowercase(), address: None })
    }

    /// Parses `host:port` as in a CONNECT target, the authority of an absolute-form target, or a `Host` field (RFC 9112, 3.2).
    /// An absent or empty port is `default_port`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_authority(text: &str, default_port: Option<u16>) -> Result<(Self, u16), BadHost> {
        // Before the port is cut off: user:80@host has more than one colon.
        if text.contains('@') {
            return Err(BadHost::UserInfo);
        }
        let colon = match text.rfind(']') {
            Some(end) => text[end..].find(':').map(|at| at + end),
            None => text.find(':'),
        };
        let (host, port) = match colon {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text, ""),
        };
        let port = if port.is_empty() { default_port } else { parse_port(port) };
        Ok((Self::parse(host)?, port.ok_or(BadHost::Port)?))
    }

    /// A-labels in lower case without the dot at the end; or the address, IPv6 without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, when it is one. `::ffff:10.0.0.1` is 10.0.0.1.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The IPv4 address that an IPv6 address leads to (NAT64, 6to4, Teredo and others): both are judged.
    #[must_use]
    pub fn inner(&self) -> Option<Ipv4Addr> {
        match self.address {
            Some(IpAddr::V6(v6)) => address::embedded_v4(v6),
            _ => None,
        }
    }

    /// As it stands in a URL, a `Host` field or a CONNECT target: IPv6 in brackets.
    #[must_use]
    pub fn for_authority(&self) -> Cow<'_, str> {
        match self.address {
            Some(IpAddr::V6(_)) => format!("[{}]", self.text).into(),
            _ => self.text.as_str().into(),
        }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?.filter(|port| *port != 0)
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { text: address.to_string(), address: Some(address) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_spelling_for_each_place() {
        for (asked, judged) in [
            ("example.com", "example.com"),
            ("Example.COM.", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("ｅｘａｍｐｌｅ．ｃｏｍ", "example.com"),
            ("example。com", "example.com"),
            ("ex\u{ad}ample.com", "example.com"),
            ("under_score.example", "under_score.example"),
            ("1.2.3.4.example", "1.2.3.4.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("１２７．１", "127.0.0.1"),
            ("[::1]", "::1"),
            ("[0:0:0:0:0:0:0:1]", "::1"),
            ("[::ffff:7f00:1]", "127.0.0.1"),
            ("[64:ff9b::7f00:1]", "64:ff9b::7f00:1"),
            ("[2001:DB8::1]", "2001:db8::1"),
        ] {
            assert_eq!(Host::parse(asked).map(|host| host.to_string()), Ok(judged.into()), "{asked}");
        }
        assert_eq!(Host::parse("[64:ff9b::7f00:1]").map(|h| h.inner()), Ok(Some(Ipv4Addr::LOCALHOST)));
        assert_eq!(Host::parse("[2001:db8::1]").map(|h| h.for_authority().to_string()), Ok("[2001:db8::1]".into()));
        assert_eq!(Host::parse("a.example").map(|h| h.for_authority().to_string()), Ok("a.example".into()));
    }

    #[test]
    fn what_has_no_agreed_meaning_is_refused() {
        for (asked, why) in [
            ("", BadHost::Missing),
            (" ", BadHost::Character),
            (" example.com", BadHost::Character),
            ("example.com\t", BadHost::Character),
            ("exa\u{0}mple.com", BadHost::Character),
            ("exa\u{a0}mple.com", BadHost::Character),
            ("user@example.com", BadHost::UserInfo),
            ("example%2ecom", BadHost::PercentEncoded),
            ("%31%32%37.1", BadHost::PercentEncoded),
            ("[fe80::1%25eth0]", BadHost::Zone),
            ("[fe80::1%eth0]", BadHost::Zone),
            ("[::1", BadHost::Ipv6),
            ("[v1.x]", BadHost::Ipv6),
            ("[127.0.0.1]", BadHost::Ipv6),
            ("[]", BadHost::Ipv6),
            ("::1", BadHost::Character),
            ("a/b", BadHost::Character),
            ("a\\b", BadHost::Character),
            ("a..example", BadHost::Name),
            (".example", BadHost::Name),
            (".", BadHost::Name),
            ("example.com..", BadHost::Name),
            ("-a.example", BadHost::Name),
            ("256.0.0.1", BadHost::Ipv4),
            ("1.2.3.4.5", BadHost::Ipv4),
            ("09.1.1.1", BadHost::Ipv4),
            ("example.1", BadHost::Ipv4),
            ("4294967296", BadHost::Ipv4),
            ("0x7f.0.0.0x1g", BadHost::Name),
        ] {
            let found = Host::parse(asked);
            // A last label like 0x1g is no number: browsers take the whole for a name.
            if asked == "0x7f.0.0.0x1g" {
                assert_eq!(found.map(|host| host.address()), Ok(None));
            } else {
                assert_eq!(found, Err(why), "{asked:?}");
            }
        }
        assert_eq!(Host::parse(&"a".repeat(2000)), Err(BadHost::TooLong));
        assert!(Host::parse(&"a.".repeat(127)).is_ok());
        assert!(Host::parse(&"a.".repeat(128)).is_err());
    }

    #[test]
    fn authorities_have_a_port() {
        let parse = |text, default| Host::parse_authority(text, default).map(|(host, port)| (host.to_string(), port));
        for (text, default, expected) in [
            ("example.com:443", None, Ok(("example.com", 443))),
            ("example.com", Some(80), Ok(("example.com", 80))),
            ("example.com:", Some(80), Ok(("example.com", 80))),
            ("[::1]:8443", None, Ok(("::1", 8443))),
            ("[::1]", Some(80), Ok(("::1", 80))),
            ("127.1:80", None, Ok(("127.0.0.1", 80))),
            ("example.com", None, Err(BadHost::Port)),
            ("example.com:0", None, Err(BadHost::Port)),
            ("example.com:65536", None, Err(BadHost::Port)),
            ("example.com:+80", None, Err(BadHost::Port)),
            ("example.com:80:80", None, Err(BadHost::Port)),
            ("example.com: 80", None, Err(BadHost::Port)),
            ("example.com:８０", None, Err(BadHost::Port)),
            ("[::1]x:80", None, Err(BadHost::Ipv6)),
            ("user:pw@example.com:80", None, Err(BadHost::UserInfo)),
            ("example.com:80@evil.example:80", None, Err(BadHost::UserInfo)),
        ] {
            assert_eq!(parse(text, default), expected.map(|(host, port): (&str, u16)| (host.to_string(), port)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in "\\PC{0,60}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert!(host.as_str().is_ascii());
                let again = Host::parse(&host.for_authority());
                prop_assert_eq!(again, Ok(host));
            }
            let _ = Host::parse_authority(&text, None);
        }

        /// The short way says what the long way says.
        #[test]
        fn plain_names_are_host_names(text in "[a-zA-Z0-9._-]{1,40}") {
            if let Some(host) = Host::plain(&text) {
                let name = HostName::parse(&text);
                prop_assert_eq!(name.map(|name| (name.ascii().to_string(), name.address())), Ok((host.text, None)));
            }
        }

        #[test]
        fn case_and_the_last_dot_change_nothing(text in "[a-zA-Zà-ÿ0-9-]{1,10}(\\.[a-zA-Z0-9-]{1,10}){0,4}") {
            let host = Host::parse(&text);
            prop_assert_eq!(&Host::parse(&format!("{text}.")), &host);
            prop_assert_eq!(&Host::parse(&text.to_ascii_uppercase()), &host);
        }
    }
}
