//! What every browser brings along and a program has libraries for: composing and folding text, international host names,
//! Base64. In the browser the libraries, with their Unicode tables, would be a quarter of all that a first visit loads.

#[cfg(target_family = "wasm")]
pub(crate) use browser::{compose, decode_base64, domain_to_ascii};
#[cfg(not(target_family = "wasm"))]
pub(crate) use library::{compose, decode_base64, domain_to_ascii, fold};

#[cfg(not(target_family = "wasm"))]
mod library {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use icu_casemap::CaseMapper;
    use icu_normalizer::ComposingNormalizerBorrowed;
    use idna::{
        AsciiDenyList,
        uts46::{DnsLength, Hyphens, Uts46},
    };

    /// NFC.
    pub(crate) fn compose(text: &str) -> String {
        ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned()
    }

    /// Full case folding.
    pub(crate) fn fold(text: &str) -> String {
        CaseMapper::new().fold_string(text).into_owned()
    }

    /// Base64 with padding (RFC 4648, 4).
    pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
        STANDARD.decode(text).ok()
    }

    /// The A-label form of a host name (UTS 46, as the URL standard uses it), with the lengths that DNS allows.
    pub(crate) fn domain_to_ascii(text: &str) -> Option<String> {
        let ascii =
            Uts46::new().to_ascii(text.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::VerifyAllowRootDot).ok()?;
        Some(ascii.into_owned())
    }
}

#[cfg(target_family = "wasm")]
mod browser {
    /// NFC.
    pub(crate) fn compose(text: &str) -> String {
        if text.is_ascii() { text.to_string() } else { js_sys::JsString::from(text).normalize("NFC").into() }
    }

    /// Base64 with padding.
    pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
        let whole = text.len().is_multiple_of(4);
        // One character for each byte.
        let bytes = web_sys::window().filter(|_| whole)?.atob(text).ok()?;
        bytes.chars().map(|c| u8::try_from(c).ok()).collect()
    }

    /// The A-label form of a host name. What the browser's own URL parser makes of it: it keeps to the same standard, but
    /// reads IPv4 addresses on the way, so plain names are left alone.
    pub(crate) fn domain_to_ascii(text: &str) -> Option<String> {
        let ascii = if text.is_ascii() && !text.to_ascii_lowercase().split('.').any(|label| label.starts_with("xn--")) {
            let denied = |b: u8| b <= b' ' || b == 0x7f || b"#%/:<>?@[\\]^`{|}".contains(&b);
            if text.bytes().any(denied) {
                return None;
            }
            text.to_ascii_lowercase()
        } else {
            web_sys::Url::new(&format!("http://{text}/")).ok()?.hostname()
        };
        let name = ascii.strip_suffix('.').unwrap_or(&ascii);
        let fits = name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()));
        fits.then_some(ascii)
    }
}
