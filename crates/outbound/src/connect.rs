//! HTTP proxies: CONNECT for `https` targets, the whole request for `http` ones.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatehouse_domain::{Secret, TestTarget};
use tokio::io::AsyncWriteExt as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    challenge,
    head::{Head, HeadError, read_head},
    problem::{Instead, Problem, Why},
    target::{self, USER_AGENT},
    wire::{Looks, Wire},
};

/// User and password for the proxy.
#[derive(Clone, Copy)]
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a Secret,
}

impl Login<'_> {
    /// What follows `Basic `: UTF-8 in Base64 (RFC 7617, section 2.1). Wiped when dropped.
    pub(crate) fn basic(self) -> Zeroizing<String> {
        let pair = Zeroizing::new(format!("{}:{}", self.user, self.password.expose()));
        Zeroizing::new(STANDARD.encode(pair.as_bytes()))
    }
}

/// Asks for a tunnel to the target (RFC 9110, section 9.3.6). What follows the head of the answer belongs to the tunnel,
/// whatever `Content-Length` or `Transfer-Encoding` say.
///
/// The credentials go with the first request: a proxy that asks for them first would only cost a round trip more, and some
/// close the connection with the 407.
pub(crate) async fn tunnel(wire: &mut Wire, target: &TestTarget, login: Option<Login<'_>>) -> Result<u16, Problem> {
    let authority = target.authority();
    let request = with_login(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\n"), login);
    let head = exchange(wire, &request).await?;
    match head.status {
        200..=299 => Ok(head.status),
        407 => Err(asked_to_sign_in(&head, login)),
        // What a server says that does not know CONNECT, or that is not spoken to like this.
        status @ (..=199 | 300..=399 | 400 | 404 | 405 | 501 | 505 | 600..) => {
            Err(Problem::NotAProxy(Instead::WebServer(status)))
        }
        status => Err(Problem::Status { status, why: why(&head), plain_http: false }),
    }
}

/// Hands the proxy the whole request, for an `http` target (RFC 9112, section 3.2.2), and reads the head of the answer.
///
/// 407, 403 and 502 to 504 count as the proxy's own; for any other answer plain HTTP can't say whose it is.
pub(crate) async fn whole_request(wire: &mut Wire, target: &TestTarget, login: Option<Login<'_>>) -> Result<Head, Problem> {
    let mut request = with_login(target::request(target, &target.to_string()), login);
    let head = loop {
        let head = exchange(wire, &request).await?;
        // Interim answers (RFC 9110, section 15.2) precede the real one.
        if !matches!(head.status, 100 | 102..=199) {
            break head;
        }
        request.zeroize();
    };
    match own_answer(&head, login) {
        Some(problem) => Err(problem),
        None => Ok(head),
    }
}

/// What an answer to a whole request means when it counts as the proxy's own: 407, 403 and 502 to 504.
pub(crate) fn own_answer(head: &Head, login: Option<Login<'_>>) -> Option<Problem> {
    match head.status {
        407 => Some(asked_to_sign_in(head, login)),
        status @ (403 | 502..=504) => Some(Problem::Status { status, why: why(head), plain_http: true }),
        _ => None,
    }
}

/// Ends a request head, with `Proxy-Authorization` if there is a login.
fn with_login(head: String, login: Option<Login<'_>>) -> Zeroizing<String> {
    // With room for everything, so that growing leaves no copy of the credentials behind.
    let mut request = Zeroizing::new(String::with_capacity(head.len() + 1024));
    request.push_str(&head);
    if let Some(login) = login {
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&login.basic());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request
}

/// Sends a request and reads the head of the answer.
async fn exchange(wire: &mut Wire, request: &str) -> Result<Head, Problem> {
    if !request.is_empty() {
        // A server that refuses early may close before it has read everything; its answer is there all the same.
        let _ = async {
            wire.write_all(request.as_bytes()).await?;
            wire.flush().await
        }
        .await;
    }
    read_head(wire).await.map_err(|error| match error {
        HeadError::Closed { begun } => Problem::ProxyClosed { begun },
        HeadError::NotHttp(looks) => Problem::NotAProxy(Instead::Speaks(looks)),
        HeadError::TooLarge { .. } => Problem::NotAProxy(Instead::HugeHead),
    })
}

/// What a 407 means (RFC 9110, section 15.5.8).
fn asked_to_sign_in(head: &Head, login: Option<Login<'_>>) -> Problem {
    let offers = challenge::offers(head.values("proxy-authenticate"));
    if !offers.is_empty() && !offers.contains(&Some("Basic")) {
        Problem::AuthUnsupported(offers)
    } else if login.is_some() {
        Problem::AuthRejected
    } else {
        Problem::AuthRequired
    }
}

/// What the proxy says about the why, if it says it in words that we know.
fn why(head: &Head) -> Option<Why> {
    let squid = head.text("x-squid-error").and_then(|value| value.split_whitespace().next()).and_then(|token| match token {
        "ERR_DNS_FAIL" => Some(Why::NameUnknown),
        "ERR_CONNECT_FAIL" => Some(Why::Refused),
        "ERR_ACCESS_DENIED" | "ERR_FORWARDING_DENIED" => Some(Why::Rule),
        "ERR_CANNOT_FORWARD" => Some(Why::NoRoute),
        _ => None,
    });
    // RFC 9209, section 2.1.2. Structured enough for tokens from a fixed list; strings in quotes can't hold `error=`
    // followed by one of them without the sender wanting to be understood that way.
    let status = || {
        head.text("proxy-status")?.split([';', ',']).filter_map(|part| part.trim().strip_prefix("error=")).find_map(|token| {
            match token.trim() {
                "dns_timeout" | "dns_error" | "destination_not_found" => Some(Why::NameUnknown),
                "connection_refused" => Some(Why::Refused),
                "connection_timeout" | "http_response_timeout" => Some(Why::TimedOut),
                "destination_unavailable" | "destination_ip_unroutable" => Some(Why::NoRoute),
                "destination_ip_prohibited" | "http_request_denied" => Some(Why::Rule),
                _ => None,
            }
        })
    };
    squid.or_else(status)
}

/// Whether these first bytes of an answer to an HTTP request come from a kind of proxy that can be chosen instead.
pub(crate) fn better_choice(looks: Looks) -> Option<&'static str> {
    match looks {
        Looks::Tls => Some("HTTPS"),
        Looks::Socks5 => Some("SOCKS5"),
        Looks::Http => Some("HTTP"),
        _ => None,
    }
}
