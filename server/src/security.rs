//! Who asks and from where: cookies, tokens, origins, and the headers that keep browsers careful.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use gatehouse_domain::{AppError, Secret};
use gatehouse_platform::{Actor, Caller, Origin};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri::Authority};
use ipnet::IpNet;

use crate::{http_errors::HttpError, state::AppState};

/// The session cookie's name.
const SESSION_COOKIE: &str = "gatehouse_session";
/// The theme cookie's name.
const THEME_COOKIE: &str = "theme";
/// The largest body that is taken, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;
/// The same where files and mails are taken: 64 MiB of content, and what JSON or a form adds to it.
pub const FILE_LIMIT: usize = 72 * 1024 * 1024;

/// Who asks, as far as the cookie or the token tells. In the extensions of every request.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Whoever is signed in; the error is kept for those who need somebody.
    pub actor: Result<Actor, AppError>,
    /// The session's secret, to end it.
    pub session: Option<Secret>,
    /// The address that is throttled.
    pub address: String,
    /// Where they come from, for the audit log.
    pub origin: Origin,
    /// From the cookie.
    pub theme: String,
}

/// Finds the address behind balancers that the operator has named. What others say about themselves is not believed: it would be a way
/// around the throttle, and into what is for one's own network.
pub async fn client(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    if !state.trusted_proxies.is_empty()
        && let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied()
    {
        let client = behind(&state.trusted_proxies, peer.ip(), request.headers());
        // Whose port it is, nobody says.
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, if client == peer.ip() { peer.port() } else { 0 })));
    }
    next.run(request).await
}

/// The last address of `X-Forwarded-For` that is not a balancer's: each of them adds, at the end, whom it got the request from.
fn behind(trusted: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address.to_canonical()));
    let mut client = peer;
    let fields = headers.get_all("x-forwarded-for").iter().rev();
    let named = fields.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
    for name in named {
        if !is_trusted(client) {
            break;
        }
        let name = name.trim();
        // Some add a port.
        let address = name.parse::<IpAddr>().or_else(|_| name.parse::<SocketAddr>().map(|address| address.ip()));
        // What is none was not written by a balancer; the last that is known counts.
        let Ok(address) = address else { break };
        client = address;
    }
    client
}

/// What pages send with what they ask for by themselves, to stay up to date.
const REFRESH: &str = "x-gatehouse-refresh";

/// Finds out who asks.
pub async fn identify(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let session = cookie(headers, SESSION_COOKIE).map(Secret::new);
    let theme = cookie(headers, THEME_COOKIE).filter(|t| matches!(*t, "light" | "dark")).unwrap_or_default().to_string();
    let caller = match headers.get(header::AUTHORIZATION) {
        // A wrong token is not made up for by a right cookie.
        Some(value) => Some(bearer(value).map(|token| Caller::Token(Secret::new(token)))),
        None => session.clone().map(|session| Some(Caller::Session(session))),
    };
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let origin = Origin::nobody(peer.map(|peer| peer.to_string()).unwrap_or_default(), agent);
    let actor = match caller {
        Some(Some(caller)) if headers.contains_key(REFRESH) => state.platform.authenticate_unused(&caller, origin.clone()).await,
        Some(Some(caller)) => state.platform.authenticate(&caller, origin.clone()).await,
        Some(None) | None => Err(AppError::Unauthorized),
    };
    let address = peer.map_or_else(|| "local".to_string(), throttled_address);
    request.extensions_mut().insert(Visitor { actor, session, address, origin, theme });
    next.run(request).await
}

/// IPv6 is given out in networks of 64 bits: whoever has one has all of its addresses.
fn throttled_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let s = v6.segments();
            format!("{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
        }
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
}

/// The cookie of a new session. It lasts as long as the browser keeps it; the server decides when it ends.
#[must_use]
pub fn session_cookie(secret: &Secret, https: bool) -> HeaderValue {
    cookie_header(
        &format!("{SESSION_COOKIE}={}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax{}", secret.expose(), secure(https)),
        true,
    )
}

/// Takes the session cookie away.
#[must_use]
pub fn no_session_cookie(https: bool) -> HeaderValue {
    cookie_header(&format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{}", secure(https)), false)
}

/// The cookie of a theme; an empty one takes it away.
#[must_use]
pub fn theme_cookie(theme: &str, https: bool) -> HeaderValue {
    let age = if theme.is_empty() { 0 } else { 31_536_000 };
    cookie_header(&format!("{THEME_COOKIE}={theme}; Path=/; Max-Age={age}; SameSite=Lax{}", secure(https)), false)
}

fn secure(https: bool) -> &'static str {
    if https { "; Secure" } else { "" }
}

fn cookie_header(text: &str, sensitive: bool) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(sensitive);
    value
}

/// Refuses what changes something when a browser says that another site has caused it. Programs that are not browsers
/// send neither header and carry no cookie by themselves.
pub async fn same_origin(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
        && !is_same_origin(&state, request.headers(), request.uri().authority().map(Authority::as_str))
    {
        crate::router::discard(request).await;
        return HttpError(AppError::ForeignOrigin).into_response();
    }
    next.run(request).await
}

/// The address that people use, for links: the operator's word, else where the browser says that it is (which was compared with `Host`
/// before anything was changed), else `Host`.
pub fn url(state: &AppState, headers: &HeaderMap, uri: &http::Uri) -> String {
    if let Some(public) = &state.public_url {
        return public.clone();
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(origin) = text(header::ORIGIN).filter(|origin| origin.contains("://")) {
        return origin.to_string();
    }
    let host = text(header::HOST).or(uri.authority().map(Authority::as_str)).unwrap_or("localhost");
    format!("{}://{host}", if state.is_https() { "https" } else { "http" })
}

/// `authority` is what HTTP/2 has in the place of `Host`.
fn is_same_origin(state: &AppState, headers: &HeaderMap, authority: Option<&str>) -> bool {
    if let Some(site) = headers.get("sec-fetch-site")
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    if let Some(public) = &state.public_url
        && origin.eq_ignore_ascii_case(public)
    {
        return true;
    }
    let Some(host) = headers.get(header::HOST).and_then(|h| h.to_str().ok()).or(authority) else { return false };
    let Some((scheme, origin_host)) = origin.split_once("://") else { return false };
    matches!(scheme, "http" | "https") && origin_host.eq_ignore_ascii_case(host)
}

/// Headers of every answer. The content security policy is the pages' own: it holds a nonce.
pub async fn headers(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()");
    // What a person saw is not to be found by the next one on that computer. Static files have said otherwise already.
    set(header::CACHE_CONTROL, "no-store");
    if state.strict {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_and_tokens_are_found() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; gatehouse_session=xyz;theme=dark"));
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("xyz"));
        assert_eq!(cookie(&headers, THEME_COOKIE), Some("dark"));
        assert_eq!(cookie(&headers, "session"), None);
        assert_eq!(bearer(&HeaderValue::from_static("bearer  abc ")), Some("abc"));
        assert_eq!(bearer(&HeaderValue::from_static("Basic abc")), None);
        assert_eq!(bearer(&HeaderValue::from_static("Bearer ")), None);
    }

    #[test]
    fn only_balancers_that_were_named_are_believed() {
        let trusted: Vec<IpNet> = ["10.0.0.0/24", "fd00::/64"].map(|network| network.parse().expect("a network")).to_vec();
        let seen = |peer: &str, fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("x-forwarded-for", HeaderValue::from_str(field).expect("a value"));
            }
            behind(&trusted, peer.parse().expect("an address"), &headers).to_string()
        };
        assert_eq!(seen("10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(seen("::ffff:10.0.0.1", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(seen("198.51.100.1", &["203.0.113.7"]), "198.51.100.1", "anybody can say so");
        // What the client itself had written stands before what the balancers added.
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 203.0.113.7"]), "203.0.113.7");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1", "203.0.113.7, 10.0.0.2"]), "203.0.113.7");
        assert_eq!(seen("fd00::1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["203.0.113.7, unknown"]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_network_is_throttled_as_one() {
        let parse = |a: &str| throttled_address(a.parse().expect("an address"));
        assert_eq!(parse("2001:db8:1:2:3::4"), parse("2001:db8:1:2:ffff::1"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
