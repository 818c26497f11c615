//! Who handed the mail over.

use std::net::IpAddr;

use crate::indicator::is_public;

/// The address that handed the mail to the receiving organisation: the newest hop that came from a public address.
///
/// `received` are the fields as they stand in the mail, the newest first. Hops below the one found are told by strangers.
pub(crate) fn sender(received: impl Iterator<Item = Vec<u8>>, originating: Option<Vec<u8>>) -> Option<IpAddr> {
    received
        .filter_map(|field| came_from(&String::from_utf8_lossy(&field)))
        .find(|address| is_public(*address))
        .or_else(|| address(String::from_utf8_lossy(&originating?).trim()).filter(|address| is_public(*address)))
}

/// The address in `from NAME (REVERSE-NAME [ADDRESS]) by …`.
///
/// What stands in brackets after the name was seen by the receiving server; the name, and what follows HELO, was said by the
/// sender: it counts only when there is nothing else, as in Exim's `from [198.51.100.7] (helo=name)`.
fn came_from(field: &str) -> Option<IpAddr> {
    let (first, rest) = field.trim_start().split_once(char::is_whitespace)?;
    if !first.eq_ignore_ascii_case("from") {
        return None;
    }
    let mut seen = None;
    let mut said = None;
    let mut depth = 0_usize;
    let mut after_helo = false;
    for word in rest.split_whitespace() {
        if depth == 0 && word.eq_ignore_ascii_case("by") {
            break;
        }
        let in_comment = depth > 0 || word.starts_with('(');
        let bare = word.trim_matches(['(', ')', ',', ';']);
        let lower = bare.to_ascii_lowercase();
        if !(after_helo || lower.starts_with("helo=") || lower.starts_with("ehlo="))
            && let Some(found) = address(bare)
        {
            let place = if in_comment { &mut seen } else { &mut said };
            place.get_or_insert(found);
        }
        after_helo = matches!(lower.as_str(), "helo" | "ehlo");
        // `name([198.51.100.7])` is written without a space by some.
        if let Some((_, inner)) = word.split_once('(').filter(|(name, _)| !name.is_empty())
            && let Some(found) = address(inner.trim_matches(['(', ')', ',', ';']))
        {
            seen.get_or_insert(found);
        }
        depth = (depth + word.matches('(').count()).saturating_sub(word.matches(')').count());
    }
    seen.or(said)
}

/// `198.51.100.7`, `[198.51.100.7]:25`, `[IPv6:2001:db8::7]`, `user@198.51.100.7`.
fn address(word: &str) -> Option<IpAddr> {
    let word = match word.split_once('[') {
        Some((_, rest)) => rest.split(']').next()?,
        None => word,
    };
    let word = word.rsplit('@').next()?;
    let word = match word.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => &word[5..],
        _ => word,
    };
    let word = word.split('%').next()?;
    word.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_a_server_saw_counts() {
        for (field, address) in [
            ("from mail.example (mail.example [198.51.100.7]) by mx (Postfix) with ESMTP id 1; date", Some("198.51.100.7")),
            ("from [10.0.0.5] (unknown [198.51.100.7]) by mx", Some("198.51.100.7")),
            ("from [198.51.100.7] (helo=[192.0.2.1]) by mx with esmtp (Exim 4.96)", Some("198.51.100.7")),
            ("from host.example ([198.51.100.7]:4567 helo=x) by mx", Some("198.51.100.7")),
            ("from unknown (HELO [192.0.2.1]) (user@198.51.100.7) by mx", Some("198.51.100.7")),
            ("from A.PROD.OUTLOOK.COM (2001:db8::a) by B.PROD.OUTLOOK.COM (2001:db8::b) with HTTPS", Some("2001:db8::a")),
            ("from x (x [IPv6:2001:db8::7]) by mx", Some("2001:db8::7")),
            ("from x([198.51.100.7]) by mx", Some("198.51.100.7")),
            ("from 198.51.100.7 by mx", Some("198.51.100.7")),
            ("from 198.51.100.7.dyn.example by mx (198.51.100.8)", None),
            ("by 2002:a05:6a10:1 with SMTP id x", None),
            ("from localhost by mx", None),
            ("from", None),
        ] {
            assert_eq!(came_from(field).map(|a| a.to_string()).as_deref(), address, "{field}");
        }
    }

    #[test]
    fn private_hops_are_passed_over() {
        let chain = [
            "from a (a [10.1.2.3]) by b",
            "from a (a [127.0.0.1]) by b",
            "from a (a [100.64.0.9]) by b",
            "from a (a [169.254.1.1]) by b",
            "from a (a [fd00::1]) by b",
            "from a (a [2002:0a05:0102::1]) by b",
            "from a (a [203.0.113.9]) by b",
            "from liar (liar [198.51.100.1]) by a",
        ];
        let fields = |list: &[&str]| list.iter().map(|f| f.as_bytes().to_vec()).collect::<Vec<_>>().into_iter();
        assert_eq!(sender(fields(&chain), None), Some([203, 0, 113, 9].into()));
        assert_eq!(sender(fields(&chain[..5]), Some(b"[198.51.100.3]".to_vec())), Some([198, 51, 100, 3].into()));
        assert_eq!(sender(fields(&chain[..5]), Some(b"10.0.0.1".to_vec())), None);
    }
}
