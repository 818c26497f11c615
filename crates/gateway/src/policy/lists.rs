//! Lists of hosts that others publish: hosts files, domains, AdBlock-style rules, mixed as they come.
//!
//! Such lists are large and never quite clean: what can't be read is skipped and counted.

use std::net::IpAddr;

use super::value::Place;

/// What was found in a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that name a host or a network.
    pub entries: usize,
    /// Lines that say something else, or nothing that can be read.
    pub skipped: usize,
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'t> {
    /// A name in A-labels that stands for itself alone.
    Name(&'t str),
    /// A name in A-labels that stands for itself and what is below.
    Domain(&'t str),
    /// What needed more than a look.
    Place(Place),
}

/// Calls `found` with every entry.
///
/// - Hosts files, `0.0.0.0 ads.example other.example # why`: each name alone. `127.0.0.1 localhost` and its like are left out.
/// - AdBlock style, `||ads.example^`: with what is below. Exceptions (`@@`), paths and options that narrow a rule are skipped:
///   a host is judged as a whole.
/// - Else one a line: a domain with what is below; `*.example.com` for what is below alone; addresses, networks.
pub fn parse<'t>(text: &'t str, mut found: impl FnMut(Entry<'t>)) -> Counts {
    let mut counts = Counts::default();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', '!', ';']) || (line.starts_with("[Adblock") && line.ends_with(']')) {
            continue;
        }
        match parse_line(line, &mut found) {
            Some(entries) => counts.entries += entries,
            None => counts.skipped += 1,
        }
    }
    counts
}

/// How many entries it has; nothing when it is skipped.
fn parse_line<'t>(line: &'t str, found: &mut impl FnMut(Entry<'t>)) -> Option<usize> {
    if let Some(rule) = line.strip_prefix("||") {
        let (domain, options) = rule.split_once('^').unwrap_or((rule, ""));
        // Third-party and the like would narrow it to some requests of the host.
        if !matches!(options, "" | "|" | "$all" | "$document" | "$important") {
            return None;
        }
        let domain = domain.strip_prefix("*.").unwrap_or(domain);
        return entry(domain, true).map(|entry| {
            found(entry);
            1
        });
    }
    // A comment needs a space before it.
    let content = line.find(" #").or_else(|| line.find("\t#")).map_or(line, |at| &line[..at]);
    let mut words = content.split_ascii_whitespace();
    let first = words.next()?;
    let Some(second) = words.next() else {
        return entry(first, true).map(|entry| {
            found(entry);
            1
        });
    };
    // A hosts file: an address, then names.
    first.parse::<IpAddr>().ok()?;
    let mut entries = 0;
    for name in std::iter::once(second).chain(words) {
        let own = matches!(name, "localhost" | "local" | "broadcasthost" | "0.0.0.0")
            || name.starts_with("ip6-")
            || !name.contains('.');
        if let Some(entry) = Some(name).filter(|_| !own).and_then(|name| entry(name, false)) {
            found(entry);
            entries += 1;
        }
    }
    (entries > 0).then_some(entries)
}

fn entry(text: &str, below: bool) -> Option<Entry<'_>> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if is_plain(name) {
        return Some(if below { Entry::Domain(name) } else { Entry::Name(name) });
    }
    let place = match Place::parse(text)? {
        Place::Name(name) if below => Place::Domain(name),
        // A whole top-level domain is a slip in a list, not a wish; so is the whole internet.
        Place::Net(net) if net.prefix_len() < 8 => return None,
        place => place,
    };
    Some(Entry::Place(place))
}

/// Lower-case letters, digits, hyphens and dots that are already as names are kept.
fn is_plain(name: &str) -> bool {
    let label = |label: &[u8]| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with(b"xn--")
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
            && label.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    name.len() <= 253
        && name.as_bytes().split(|b| *b == b'.').all(label)
        && name.as_bytes().rsplit(|b| *b == b'.').next().is_some_and(|last| last.first().is_some_and(u8::is_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Vec<String>, Counts) {
        let mut entries = Vec::new();
        let counts = parse(text, |entry| {
            entries.push(match entry {
                Entry::Name(name) => name.to_string(),
                Entry::Domain(name) => format!(".{name}"),
                Entry::Place(Place::Name(name)) => name,
                Entry::Place(Place::Domain(name)) => format!(".{name}"),
                Entry::Place(Place::Below(name)) => format!("*.{name}"),
                Entry::Place(Place::Net(net)) => net.to_string(),
            });
        });
        (entries, counts)
    }

    #[test]
    fn the_usual_forms_are_read() {
        for (line, expected) in [
            ("ads.example", ".ads.example"),
            ("  ads.example  ", ".ads.example"),
            ("ADS.Example.", ".ads.example"),
            ("bücher.example", ".xn--bcher-kva.example"),
            ("xn--bcher-kva.example", ".xn--bcher-kva.example"),
            (".ads.example", ".ads.example"),
            ("*.ads.example", "*.ads.example"),
            ("0.0.0.0 ads.example", "ads.example"),
            ("127.0.0.1\tAds.example # since 2020", "ads.example"),
            ("::1 ads.example", "ads.example"),
            ("||ads.example^", ".ads.example"),
            ("||ads.example", ".ads.example"),
            ("||ads.example^$important", ".ads.example"),
            ("||*.ads.example^", ".ads.example"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("ads.example # why", ".ads.example"),
            ("ads.example\r", ".ads.example"),
        ] {
            assert_eq!(read(line), (vec![expected.to_string()], Counts { entries: 1, skipped: 0 }), "{line:?}");
        }
        assert_eq!(read("0.0.0.0 a.example b.example").0, ["a.example", "b.example"]);
        assert_eq!(read("\u{feff}# one\n! two\n; three\n[Adblock Plus 2.0]\n\n").1, Counts::default());
    }

    #[test]
    fn what_is_no_host_is_counted() {
        for line in [
            "@@||good.example^",
            "||ads.example^$third-party",
            "||ads.example/banner",
            "/banner/*",
            "example.com##.ad",
            "127.0.0.1 localhost",
            "0.0.0.0 0.0.0.0",
            "ff02::1 ip6-allnodes",
            "two words",
            "a..b",
            "0.0.0.0/0",
            "<html>",
        ] {
            assert_eq!(read(line), (Vec::new(), Counts { entries: 0, skipped: 1 }), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(\\PC{0,30}|[a-z.|^*# \t\r\n0-9:/$@!-]{0,30}|\n){0,6}") {
            let (entries, counts) = read(&text);
            prop_assert_eq!(entries.len(), counts.entries);
        }

        #[test]
        fn plain_names_are_as_hosts_are(name in "[a-z0-9._-]{1,30}") {
            if is_plain(&name) {
                prop_assert_eq!(crate::names::Host::parse(&name).map(|host| host.to_string()), Ok(name));
            }
        }
    }
}
