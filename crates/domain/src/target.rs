//! What Test Connection asks for.

use std::fmt;

use crate::host::{HostName, Port};

/// An `http` or `https` URL without user, password or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestTarget {
    /// Whether it is `https`.
    pub tls: bool,
    /// The host.
    pub host: HostName,
    /// The port, given or the scheme's own.
    pub port: Port,
    /// Path and query, starting with `/`; printable ASCII.
    pub path: String,
}

/// How long a target may be, in bytes.
const MAX_LENGTH: usize = 2048;

impl TestTarget {
    /// Parses what a person typed. Without a scheme, `https` is meant.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("Enter the address of a web page, like https://example.com/.".into());
        }
        if text.len() > MAX_LENGTH {
            return Err(format!("Use at most {MAX_LENGTH} characters."));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("Use an address that starts with https:// or http://.".into()),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if authority.contains('@') {
            return Err("Leave out the user name and password: the target is asked without them.".into());
        }
        let (host, port) = match authority.rfind(':') {
            Some(at) if !authority[at..].contains(']') => (&authority[..at], Some(&authority[at + 1..])),
            _ => (authority, None),
        };
        let host = HostName::parse(host)?;
        let default = if tls { 443 } else { 80 };
        let port = match port {
            Some(port) => Port::parse(port)?,
            None => Port::try_from(default)?,
        };
        let mut encoded = String::with_capacity(path.len() + 1);
        if !path.starts_with('/') {
            encoded.push('/');
        }
        for byte in path.bytes() {
            // Anything that is not printable ASCII is percent-encoded: it can then neither end the request line nor start another.
            if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        Ok(Self { tls, host, port, path: encoded })
    }

    /// Host and port as they stand in a `Host` field: the port only when it is not the scheme's own.
    #[must_use]
    pub fn host_field(&self) -> String {
        if self.port.get() == if self.tls { 443 } else { 80 } { self.host.for_authority() } else { self.authority() }
    }

    /// Host and port, always both: the target of CONNECT.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host.for_authority(), self.port)
    }
}

impl fmt::Display for TestTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.host_field(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets_are_parsed_as_typed() {
        for (typed, expected) in [
            ("https://example.com", "https://example.com/"),
            ("example.com/a?b=c#d", "https://example.com/a?b=c"),
            ("HTTP://Example.com:80/", "http://example.com/"),
            ("http://example.com:8080?x", "http://example.com:8080/?x"),
            ("https://[::1]:8443/ip", "https://[::1]:8443/ip"),
            ("https://[::1]/", "https://[::1]/"),
            ("https://bücher.example/ü x", "https://xn--bcher-kva.example/%C3%BC%20x"),
        ] {
            assert_eq!(TestTarget::parse(typed).map(|t| t.to_string()), Ok(expected.into()), "{typed}");
        }
        for bad in
            ["", "ftp://example.com", "https://", "https://u:p@example.com", "https://example.com:0", "https://exa mple.com"]
        {
            assert!(TestTarget::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_target_never_breaks_a_request_line(text in any::<String>()) {
            if let Ok(target) = TestTarget::parse(&text) {
                prop_assert!(target.path.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(target.authority().bytes().all(|b| b.is_ascii_graphic()));
                prop_assert_eq!(TestTarget::parse(&target.to_string()), Ok(target));
            }
        }
    }
}
