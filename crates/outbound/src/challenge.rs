//! What a proxy offers in `Proxy-Authenticate`.

/// An authentication scheme that was offered. Foreign words stay outside: a scheme is one of the known names or [`None`].
pub(crate) type Offer = Option<&'static str>;

/// Known schemes: the IANA registry, and those that products offer without being in it.
const KNOWN: &[&str] = &[
    "Basic",
    "Bearer",
    "Concealed",
    "Digest",
    "DPoP",
    "GNAP",
    "HOBA",
    "Kerberos",
    "Mutual",
    "Negotiate",
    "NTLM",
    "OAuth",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "vapid",
];

/// The schemes in these field values, in order, without repetitions.
///
/// RFC 9110, section 11.6.1: each value is a comma-separated list of challenges, each challenge a scheme and then either
/// one `token68` or a comma-separated list of parameters, whose values may be quoted strings with commas inside. A proxy may
/// also send several fields. What is broken is passed over up to the next comma.
pub(crate) fn offers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<Offer> {
    let mut found = Vec::new();
    for value in values {
        let mut rest = Cursor(value);
        while rest.skip_to_element() {
            let Some(token) = rest.token() else {
                rest.skip_element();
                continue;
            };
            let spaces = rest.skip_spaces();
            if rest.0.first() == Some(&b'=') {
                // A parameter of the challenge before.
                rest.skip_element();
                continue;
            }
            if !spaces && !matches!(rest.0.first(), None | Some(b',')) {
                rest.skip_element();
                continue;
            }
            let offer =
                std::str::from_utf8(token).ok().and_then(|name| KNOWN.iter().copied().find(|k| k.eq_ignore_ascii_case(name)));
            if !found.contains(&offer) {
                found.push(offer);
            }
            // Its token68 or first parameter; further parameters are elements of their own.
            rest.skip_element();
        }
    }
    found
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// Passes over spaces and empty elements; whether there is anything left.
    fn skip_to_element(&mut self) -> bool {
        let skip = self.0.iter().take_while(|b| matches!(b, b' ' | b'\t' | b',')).count();
        self.0 = &self.0[skip..];
        !self.0.is_empty()
    }

    fn skip_spaces(&mut self) -> bool {
        let skip = self.0.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        self.0 = &self.0[skip..];
        skip > 0
    }

    /// A token (RFC 9110, section 5.6.2).
    fn token(&mut self) -> Option<&'a [u8]> {
        let length = self.0.iter().take_while(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)).count();
        let (token, rest) = self.0.split_at(length);
        self.0 = rest;
        (length > 0).then_some(token)
    }

    /// Passes over everything up to the next comma that stands outside a quoted string.
    fn skip_element(&mut self) {
        let (mut quoted, mut escaped) = (false, false);
        let end = self.0.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => return true,
                _ => {}
            }
            false
        });
        self.0 = &self.0[end.unwrap_or(self.0.len())..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Vec<Offer> {
        offers(values.iter().map(|v| v.as_bytes()))
    }

    #[test]
    fn challenges_are_found() {
        let basic = Some("Basic");
        for (values, expected) in [
            (&["Basic realm=\"x\""][..], vec![basic]),
            (&["basic"], vec![basic]),
            (&["BASIC realm=x, charset=\"UTF-8\""], vec![basic]),
            (&["NTLM"], vec![Some("NTLM")]),
            (&["Negotiate", "NTLM"], vec![Some("Negotiate"), Some("NTLM")]),
            (&["Negotiate, NTLM, Basic realm=\"a, b\""], vec![Some("Negotiate"), Some("NTLM"), basic]),
            (&["Negotiate YWJjZA==, Basic realm=\"x\""], vec![Some("Negotiate"), basic]),
            (&["NTLM TlRMTVNTUAAC=="], vec![Some("NTLM")]),
            (
                &["Digest realm=\"a\", qop=\"auth,auth-int\", nonce=\"x\\\"y, Basic realm=z\", algorithm=MD5, Basic realm=\"b\""],
                vec![Some("Digest"), basic],
            ),
            // The word in a quoted string or as a parameter is no offer.
            (&["Digest realm=\"Basic\", Basic=1"], vec![Some("Digest")]),
            (&["Digest realm = \"x\" , basic = \"y\""], vec![Some("Digest")]),
            (&["Bearer realm=\"say \\\"Basic\\\", please\""], vec![Some("Bearer")]),
            (&[", ,, Basic ,,"], vec![basic]),
            (&["SecretScheme x=y"], vec![None]),
            (&["c2VjcmV0, Basic"], vec![None, basic]),
            (&[""], vec![]),
            (&["=, ;Basic, \"Basic\""], vec![]),
            (&["Basic realm=\"never closed, NTLM"], vec![basic]),
        ] {
            assert_eq!(of(values), expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(values: Vec<Vec<u8>>) {
            let found = offers(values.iter().map(Vec::as_slice));
            prop_assert!(found.len() <= KNOWN.len() + 1);
        }

        #[test]
        fn what_is_written_is_read(names in proptest::sample::subsequence(KNOWN, 0..6), realm in "[ -~]{0,12}") {
            let quoted: String = realm.chars().flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
            let value = names.iter().map(|n| format!("{n} realm=\"{quoted}\", charset=UTF-8")).collect::<Vec<_>>().join(", ");
            prop_assert_eq!(of(&[&value]), names.into_iter().map(Some).collect::<Vec<_>>());
        }
    }
}
