//! What the gateway answers by itself: why something was refused or failed, for a person and for a program.
//!
//! Each such answer has a status, a `Proxy-Status` field (RFC 9209), and a page in words. Nothing of the request stands in it
//! that was not escaped.

use std::borrow::Cow;

/// Why there is no answer of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// The proxy error type (RFC 9209, section 2.3); also the cause in the log.
    pub error: &'static str,
    /// What happened, in a sentence.
    pub message: Cow<'static, str>,
    /// What to do about it.
    pub hint: Option<Cow<'static, str>>,
    /// The rule that decided.
    pub rule: Option<Box<str>>,
    /// When to try again, in seconds.
    pub retry_after: Option<u32>,
    /// Ask for a user name and password.
    pub asks_who: bool,
    /// What the log is told and the client is not.
    pub log: Option<Box<str>>,
}

impl Refusal {
    /// A refusal or failure.
    #[must_use]
    pub fn new(status: u16, error: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, error, message: message.into(), hint: None, rule: None, retry_after: None, asks_who: false, log: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The standard's words for a status.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        508 => "Loop Detected",
        _ => "Error",
    }
}

/// Text as HTML shows it, and nothing more.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text as a string of structured fields (RFC 8941, section 3.3.3): what does not fit is left out.
fn quoted(text: &str) -> String {
    text.chars()
        .filter(|c| matches!(c, ' '..='~'))
        .map(|c| if matches!(c, '"' | '\\') { format!("\\{c}") } else { c.to_string() })
        .collect()
}

/// The whole answer. `host` is what was asked for; `with_body` is false for HEAD.
#[must_use]
pub fn answer(refusal: &Refusal, host: &str, via: &str, with_body: bool, closes: bool) -> Vec<u8> {
    let Refusal { status, error, rule, retry_after, asks_who, .. } = refusal;
    let body = body(refusal, host);
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(*status));
    head.push_str(&format!("Proxy-Status: {via}; error={error}"));
    if let Some(rule) = rule {
        head.push_str(&format!("; details=\"rule: {}\"", quoted(rule)));
    }
    head.push_str("\r\n");
    if *asks_who {
        head.push_str("Proxy-Authenticate: Basic realm=\"Gatehouse\", charset=\"UTF-8\"\r\n");
    }
    if let Some(seconds) = retry_after {
        head.push_str(&format!("Retry-After: {seconds}\r\n"));
    }
    head.push_str(&format!(
        "Via: 1.1 {via}\r\nCache-Control: no-store\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\nX-Content-Type-Options: nosniff\r\n",
        body.len()
    ));
    if closes {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    let mut answer = head.into_bytes();
    if with_body {
        answer.extend_from_slice(body.as_bytes());
    }
    answer
}

fn body(refusal: &Refusal, host: &str) -> String {
    let title = match refusal.status {
        407 => "Say who you are",
        403 => "This is not allowed",
        400..=499 => "This request is not taken",
        503 => "Too busy right now",
        _ => "The site could not be reached",
    };
    let line = |text: &str| format!("<p>{}</p>", escape(text));
    let hint = refusal.hint.as_deref().map(line).unwrap_or_default();
    let rule = refusal.rule.as_deref().map(|rule| format!("<dt>Rule</dt><dd>{}</dd>", escape(rule))).unwrap_or_default();
    let asked = if host.is_empty() { String::new() } else { format!("<dt>Asked for</dt><dd>{}</dd>", escape(host)) };
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:10vh auto;\
         padding:0 1rem}}h1{{font-size:1.5rem}}dl{{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem}}dd{{margin:0;\
         overflow-wrap:anywhere}}</style></head><body><main><h1>{title}</h1>{}{hint}<dl>{asked}{rule}<dt>Cause</dt><dd>{}</dd></dl>\
         <p><small>This page comes from your organisation's gateway, not from the site.</small></p></main></body></html>",
        line(&refusal.message),
        refusal.error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_request_becomes_markup_or_a_field() {
        let mut refusal = Refusal::new(403, "http_request_denied", "<script>alert(1)</script>").hint("a & b");
        refusal.rule = Some("no \"ads\"\r\nX-Evil: 1".into());
        let text = String::from_utf8(answer(&refusal, "\"><img src=x>", "gw", true, true)).expect("text");
        assert!(!text.contains("<script>") && !text.contains("<img"), "{text}");
        assert!(text.contains("&lt;script&gt;") && text.contains("a &amp; b"));
        assert!(text.starts_with(
            "HTTP/1.1 403 Forbidden\r\nProxy-Status: gw; error=http_request_denied; details=\"rule: no \\\"ads\\\"X-Evil: 1\"\r\n"
        ));
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let bare = answer(&refusal, "x", "gw", false, false);
        assert!(bare.ends_with(b"\r\n\r\n"));
    }
}
