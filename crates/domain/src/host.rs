//! Host names, addresses and ports.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{address, borrowed};

/// A host name or an IP address, kept as typed and used as its A-label form (RFC 5891) or parsed address.
///
/// International names are shown as typed; look-ups, TLS and comparisons use [`HostName::ascii`]. IPv6 is taken with and
/// without brackets and kept without. IPv4 is four decimal numbers: octal, hexadecimal and short forms are refused, because
/// programs disagree about what they mean.
#[derive(Debug, Clone)]
pub struct HostName {
    typed: String,
    ascii: String,
    address: Option<IpAddr>,
}

/// Two host names are the same when they lead to the same place, however they are spelled.
impl PartialEq for HostName {
    fn eq(&self, other: &Self) -> bool {
        self.ascii == other.ascii
    }
}

impl Eq for HostName {}

impl HostName {
    /// Parses what a person typed.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("Enter a host name or an IP address.".into());
        }
        if text.len() > 1024 {
            return Err("This is too long: a host name has at most 253 characters.".into());
        }
        if text.contains("://") {
            return Err("Enter only the host name or IP address, without http:// and without a path.".into());
        }
        if let Some(c) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return Err(if c.is_control() {
                "Remove the control characters from the host name.".into()
            } else {
                "A host name has no spaces.".into()
            });
        }
        if text.contains('@') {
            return Err("Enter only the host name or IP address: the user name and password have fields of their own.".into());
        }
        if let Some(c) = text.chars().find(|c| matches!(c, '/' | '\\' | '?' | '#')) {
            return Err(format!("Enter only the host name or IP address, without '{c}' and what follows it."));
        }
        if let Some(inner) = text.strip_prefix('[') {
            let Some((inner, rest)) = inner.split_once(']') else {
                return Err("The closing bracket of the IPv6 address is missing.".into());
            };
            if rest.starts_with(':') {
                return Err("Enter the address alone: the port has a field of its own.".into());
            }
            if !rest.is_empty() {
                return Err("Nothing may follow the closing bracket of the IPv6 address.".into());
            }
            return Self::ipv6(inner);
        }
        match text.bytes().filter(|b| *b == b':').count() {
            0 => {}
            1 => return Err("Enter the host name or IP address alone: the port has a field of its own.".into()),
            _ => return Self::ipv6(text),
        }
        Self::name(text)
    }

    fn ipv6(text: &str) -> Result<Self, String> {
        if text.contains('%') {
            return Err("An IPv6 address with a zone (%…) works on one machine only: use an address without a zone.".into());
        }
        let address = Ipv6Addr::from_str(text)
            .map_err(|_| format!("'{text}' is not an IPv6 address; a right one looks like 2001:db8::1."))?;
        Ok(Self { typed: address.to_string(), ascii: address.to_string(), address: Some(IpAddr::V6(address)) })
    }

    fn name(text: &str) -> Result<Self, String> {
        let ascii = borrowed::domain_to_ascii(text).ok_or(
            "This is not a host name: use letters, digits, hyphens and dots, at most 63 characters between two dots and 253 in all.",
        )?;
        let ascii = ascii.strip_suffix('.').unwrap_or(&ascii).to_string();
        if let Some(c) = ascii.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
            return Err(format!("A host name can't contain '{c}': use letters, digits, hyphens and dots."));
        }
        if ascii.split('.').any(|label| label.starts_with('-') || label.ends_with('-')) {
            return Err("A part of a host name can't start or end with a hyphen.".into());
        }
        // The URL standard's rule: when the last label is a number, the whole is meant as an IPv4 address.
        let last = ascii.rsplit('.').next().unwrap_or_default();
        let numeric = last.bytes().all(|b| b.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        if numeric {
            let address = Ipv4Addr::from_str(&ascii).map_err(|_| {
                format!("'{text}' is not an IPv4 address: four numbers from 0 to 255 without leading zeros, like 192.0.2.1.")
            })?;
            return Ok(Self { typed: address.to_string(), ascii: address.to_string(), address: Some(IpAddr::V4(address)) });
        }
        Ok(Self { typed: text.to_string(), ascii, address: None })
    }

    /// As typed, brackets aside: for showing and storing.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// For look-ups, TLS server names and comparisons: A-labels in lower case, or the address.
    #[must_use]
    pub fn ascii(&self) -> &str {
        &self.ascii
    }

    /// The address, when it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether it can't be reached over the public internet, as far as can be told without asking a name server.
    #[must_use]
    pub fn is_private(&self) -> bool {
        match self.address {
            Some(address) => address::closed(address).is_some(),
            None => address::is_private_name(&self.ascii),
        }
    }

    /// As it stands in a URL or a CONNECT target: IPv6 in brackets.
    #[must_use]
    pub fn for_authority(&self) -> String {
        match self.address {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.ascii.clone(),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

/// A TCP port, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Port(u16);

impl Port {
    /// What to say when it is not one.
    pub const EXPECTED: &'static str = "Enter a port number from 1 to 65535.";

    /// Parses what a person typed.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Self::EXPECTED.into());
        }
        text.parse::<u16>().ok().and_then(|port| Self::try_from(port).ok()).ok_or_else(|| Self::EXPECTED.into())
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Port {
    type Error = String;

    fn try_from(port: u16) -> Result<Self, String> {
        if port == 0 { Err(Self::EXPECTED.into()) } else { Ok(Self(port)) }
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_addresses_are_kept_as_typed_and_used_as_ascii() {
        for (typed, shown, ascii) in [
            ("proxy.example.com", "proxy.example.com", "proxy.example.com"),
            (" Proxy.Example.COM. ", "Proxy.Example.COM.", "proxy.example.com"),
            ("bücher.example", "bücher.example", "xn--bcher-kva.example"),
            ("例え.テスト", "例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("squid_1", "squid_1", "squid_1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("2001:DB8::1", "2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ] {
            let host = HostName::parse(typed).unwrap_or_else(|e| panic!("{typed}: {e}"));
            assert_eq!((host.as_str(), host.ascii()), (shown, ascii), "{typed}");
        }
        assert_eq!(HostName::parse("[::1]").map(|h| h.for_authority()), Ok("[::1]".into()));
    }

    #[test]
    fn what_is_not_a_host_is_refused_in_words() {
        for (typed, word) in [
            ("", "Enter a host name"),
            ("   ", "Enter a host name"),
            ("http://proxy", "without http://"),
            ("proxy:3128", "the port has a field"),
            ("[::1]:3128", "the port has a field"),
            ("user@proxy", "fields of their own"),
            ("proxy/path", "without '/'"),
            ("pro xy", "no spaces"),
            ("pro\u{0}xy", "control characters"),
            ("[::1", "closing bracket"),
            ("fe80::1%eth0", "zone"),
            ("1:2:3", "not an IPv6 address"),
            ("256.1.1.1", "not an IPv4 address"),
            ("127.1", "not an IPv4 address"),
            ("0177.0.0.1", "not an IPv4 address"),
            ("0x7f.0.0.1", "not an IPv4 address"),
            ("2130706433", "not an IPv4 address"),
            ("a..b", "not a host name"),
            (".", "not a host name"),
            ("-a.example", "hyphen"),
            ("exa%6dple", "can't contain"),
        ] {
            let error = HostName::parse(typed).expect_err(typed);
            let refused = error.contains(word) || (word == "can't contain" && error.contains("not a host name"));
            assert!(refused, "{typed:?}: {error}");
        }
        assert!(HostName::parse(&"a".repeat(64)).is_err());
        assert!(HostName::parse(&format!("{}example", "a.".repeat(126))).is_err());
        assert!(HostName::parse(&"a".repeat(100_000)).is_err());
    }

    #[test]
    fn ports_are_1_to_65535() {
        for good in ["1", "3128", " 65535 "] {
            assert!(Port::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "0", "65536", "-1", "+80", "80a", "８０", "3.5", "99999999999999999999"] {
            assert_eq!(Port::parse(bad), Err(Port::EXPECTED.into()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in "\\PC{0,80}") {
            if let Ok(host) = HostName::parse(&text) {
                let again = HostName::parse(host.as_str());
                prop_assert_eq!(again.as_ref().map(HostName::ascii), Ok(host.ascii()));
                prop_assert_eq!(HostName::parse(host.ascii()).map(|h| h.ascii().to_string()), Ok(host.ascii().to_string()));
                prop_assert!(host.ascii().is_ascii());
            }
        }

        #[test]
        fn every_address_is_a_host(address: std::net::IpAddr) {
            let host = HostName::parse(&address.to_string());
            prop_assert_eq!(host.map(|h| h.address()), Ok(Some(address)));
        }

        #[test]
        fn every_port_but_zero(port: u16) {
            prop_assert_eq!(Port::parse(&port.to_string()).is_ok(), port != 0);
        }
    }
}
