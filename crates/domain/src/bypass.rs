//! The bypass list: what does not go through the proxy.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use crate::host::{HostName, Port};

/// How many entries a list may have.
pub const MAX_RULES: usize = 500;

/// One entry, kept as typed: a host, `*.suffix`, an address or a network in CIDR form, each with an optional `:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BypassRule {
    typed: String,
    pattern: Pattern,
    port: Option<Port>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Any,
    Host(HostName),
    /// A-labels, without the `*.`.
    Suffix(String),
    Net(IpNet),
}

impl BypassRule {
    /// Parses one entry.
    ///
    /// # Errors
    /// What is wrong with it, naming the entry.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let problem = |why: &str| format!("'{}': {why}", text.chars().take(80).collect::<String>());
        let (host, port) = split_port(text).map_err(|why| problem(&why))?;
        let port = port.map(Port::parse).transpose().map_err(|why| problem(&why))?;
        let pattern = if host == "*" {
            if port.is_none() {
                return Err(problem(
                    "this would send everything past the proxy; add a port (*:8080), or choose No Proxy instead.",
                ));
            }
            Pattern::Any
        } else if let Some(suffix) = host.strip_prefix("*.").or_else(|| host.strip_prefix('.')) {
            let suffix = HostName::parse(suffix).map_err(|why| problem(&why))?;
            if suffix.address().is_some() {
                return Err(problem("write a range of addresses as a network, like 192.0.2.0/24."));
            }
            Pattern::Suffix(suffix.ascii().to_string())
        } else if host.contains('/') && !host.contains("://") {
            let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            let net = bare
                .parse::<IpNet>()
                .map_err(|_| problem("this is not a network; a right one looks like 10.0.0.0/8 or 2001:db8::/32."))?;
            Pattern::Net(net.trunc())
        } else if host.contains('*') {
            return Err(problem("a star may stand only at the beginning, as in *.example.com."));
        } else {
            Pattern::Host(HostName::parse(host).map_err(|why| problem(&why))?)
        };
        Ok(Self { typed: text.to_string(), pattern, port })
    }

    /// Whether a request to this host and port is meant. Names are not resolved: an entry for an address matches an address.
    #[must_use]
    pub fn matches(&self, host: &HostName, port: Port) -> bool {
        if self.port.is_some_and(|p| p != port) {
            return false;
        }
        match &self.pattern {
            Pattern::Any => true,
            Pattern::Host(rule) => match (rule.address(), host.address()) {
                (Some(a), Some(b)) => canonical(a) == canonical(b),
                _ => rule == host,
            },
            Pattern::Suffix(suffix) => {
                host.address().is_none()
                    && host.ascii().strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            Pattern::Net(net) => host.address().is_some_and(|a| net.contains(&a) || net.contains(&canonical(a))),
        }
    }

    /// As typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.typed
    }
}

/// `::ffff:10.0.0.1` is 10.0.0.1.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Splits `host:port`, `[v6]:port`, and leaves bare IPv6 alone.
fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if text.is_empty() {
        return Err("the entry is empty.".into());
    }
    if let Some(end) = text.strip_prefix('[').and_then(|_| text.find(']')) {
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("nothing but a port may follow the closing bracket.".into()),
        };
    }
    if text.contains("://") || text.bytes().filter(|b| *b == b':').count() != 1 {
        return Ok((text, None));
    }
    Ok(text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

impl fmt::Display for BypassRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

/// The whole list, in the order it was typed, without repetitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bypass(Vec<BypassRule>);

impl Bypass {
    /// Parses entries; empty ones are passed over.
    ///
    /// # Errors
    /// The first wrong entry, named.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut rules: Vec<BypassRule> = Vec::new();
        for entry in entries {
            if entry.trim().is_empty() {
                continue;
            }
            let rule = BypassRule::parse(entry)?;
            if !rules.iter().any(|r| r.typed.eq_ignore_ascii_case(&rule.typed)) {
                rules.push(rule);
            }
            if rules.len() > MAX_RULES {
                return Err(format!(
                    "Use at most {MAX_RULES} entries: a suffix (*.example.com) or a network (10.0.0.0/8) covers many."
                ));
            }
        }
        Ok(Self(rules))
    }

    /// Parses what stands in a text field: one entry a line, or separated by commas or spaces.
    ///
    /// # Errors
    /// The first wrong entry, named.
    pub fn parse_text(text: &str) -> Result<Self, String> {
        Self::parse(text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')))
    }

    /// The entry that sends this request past the proxy, if there is one.
    #[must_use]
    pub fn matching(&self, host: &HostName, port: Port) -> Option<&BypassRule> {
        self.0.iter().find(|rule| rule.matches(host, port))
    }

    /// The entries as typed.
    #[must_use]
    pub fn to_strings(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(rule: &str, host: &str, port: u16) -> bool {
        let rule = BypassRule::parse(rule).expect(rule);
        rule.matches(&HostName::parse(host).expect(host), Port::try_from(port).expect("port"))
    }

    #[test]
    fn what_each_kind_of_entry_covers() {
        for (rule, host, port, expected) in [
            ("intranet", "Intranet", 80, true),
            ("intranet", "intranet.example", 80, false),
            ("intranet:8080", "intranet", 8080, true),
            ("intranet:8080", "intranet", 80, false),
            ("*.example.com", "a.example.com", 443, true),
            ("*.example.com", "a.b.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", "badexample.com", 443, false),
            (".example.com", "a.example.com", 443, true),
            ("*.example.com:8443", "a.example.com", 443, false),
            ("*.bücher.example", "a.xn--bcher-kva.example", 443, true),
            ("10.0.0.0/8", "10.1.2.3", 443, true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", 443, true),
            ("10.0.0.0/8", "11.1.2.3", 443, false),
            ("10.1.2.3/8", "10.200.0.1", 443, true),
            ("10.0.0.0/8:8080", "10.1.2.3", 443, false),
            ("192.0.2.1", "::ffff:192.0.2.1", 1, true),
            ("2001:db8::/32", "2001:db8::1", 1, true),
            ("[2001:db8::1]:443", "2001:db8::1", 443, true),
            ("[2001:db8::/32]:443", "2001:db8::1", 80, false),
            ("::1", "::1", 9, true),
            ("*:8080", "anything.example", 8080, true),
        ] {
            assert_eq!(matches(rule, host, port), expected, "{rule} on {host}:{port}");
        }
    }

    #[test]
    fn wrong_entries_are_named() {
        for bad in
            ["*", "a*b.example", "*.10.0.0.0", "10.0.0.0/33", "host:0", "host:65536", "http://x", "[::1", "*.*.example", "a b/"]
        {
            let error = BypassRule::parse(bad).expect_err(bad);
            assert!(error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_text_field_is_split_and_repetitions_dropped() {
        let list = Bypass::parse_text("localhost, *.corp.example\n10.0.0.0/8  LOCALHOST\n").expect("right");
        assert_eq!(list.to_strings(), ["localhost", "*.corp.example", "10.0.0.0/8"]);
        assert!(Bypass::parse_text(&(0..600).map(|n| format!("h{n} ")).collect::<String>()).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in "\\PC{0,60}") {
            if let Ok(rule) = BypassRule::parse(&text) {
                prop_assert_eq!(BypassRule::parse(rule.as_str()), Ok(rule));
            }
        }

        #[test]
        fn a_network_covers_its_own_addresses(a: std::net::Ipv4Addr, bits in 0u8..=32, port in 1u16..) {
            let net = format!("{a}/{bits}");
            prop_assert!(matches(&net, &a.to_string(), port));
        }
    }
}
