//! What Lambda calls us with, as what it is: an HTTP request, or the time that something is due.
//!
//! An address reaches the router as it came, byte by byte but for what an address can't hold: a path is nowhere decoded, resolved or
//! made absolute.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use axum::{body::Body, extract::ConnectInfo};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use serde::Deserialize;

/// An event that we know.
pub enum Event {
    /// Of a function URL, or of API Gateway's HTTP API.
    Http(Box<Call>),
    /// EventBridge says that it is time.
    Scheduled,
}

/// A request, and how its answer has to be told.
pub struct Call {
    /// The request, as a listener would have got it; whose address it is, is known.
    pub request: Request<Body>,
    /// Whether the answer may be told as it is made. API Gateway wants it whole.
    pub streams: bool,
}

/// Why an event is none of ours.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EventError {
    /// Something else called.
    #[error(
        "this is neither a request of a function URL (or of API Gateway's HTTP API, payload 2.0) nor a scheduled event of EventBridge: {0}"
    )]
    Unknown(String),
    /// It says what it is, and does not hold to it.
    #[error("the request of the event can't be read: {0}")]
    Malformed(&'static str),
}

/// Enough to tell events apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    version: Option<serde_json::Value>,
    request_context: Option<serde::de::IgnoredAny>,
    source: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
}

/// Payload 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    raw_path: String,
    raw_query_string: Option<String>,
    cookies: Option<Vec<String>>,
    headers: Option<BTreeMap<String, String>>,
    request_context: Context,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    domain_name: Option<String>,
    http: Http,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http {
    method: String,
    source_ip: String,
}

impl Event {
    /// Reads one.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EventError> {
        let unknown = |error: serde_json::Error| EventError::Unknown(error.to_string());
        let kind: Kind = serde_json::from_slice(bytes).map_err(unknown)?;
        // A rule of EventBridge, or its Scheduler.
        let is_clock = matches!(kind.source.as_deref(), Some("aws.events" | "aws.scheduler"));
        if is_clock && kind.detail_type.as_deref() == Some("Scheduled Event") {
            return Ok(Self::Scheduled);
        }
        if kind.request_context.is_none() || kind.version.as_ref().and_then(serde_json::Value::as_str) != Some("2.0") {
            return Err(EventError::Unknown("it has other fields".into()));
        }
        let payload: Payload = serde_json::from_slice(bytes).map_err(unknown)?;
        payload.into_call().map(|call| Self::Http(Box::new(call)))
    }
}

impl Payload {
    fn into_call(self) -> Result<Call, EventError> {
        let Context { domain_name, http } = self.request_context;
        let mut address = in_address(&self.raw_path, b"?#");
        if !address.starts_with('/') {
            address.insert(0, '/');
        }
        if let Some(query) = self.raw_query_string.filter(|query| !query.is_empty()) {
            address.push('?');
            address.push_str(&in_address(&query, b"#"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers.unwrap_or_default() {
            let name = HeaderName::try_from(name).map_err(|_| EventError::Malformed("a header's name"))?;
            let value = HeaderValue::try_from(value).map_err(|_| EventError::Malformed("a header's value"))?;
            headers.insert(name, value);
        }
        if let Some(cookies) = self.cookies.filter(|cookies| !cookies.is_empty()) {
            let value = HeaderValue::try_from(cookies.join("; ")).map_err(|_| EventError::Malformed("a cookie"))?;
            headers.insert(header::COOKIE, value);
        }
        if let Some(domain) = domain_name.as_deref().filter(|_| !headers.contains_key(header::HOST)) {
            headers.insert(header::HOST, HeaderValue::try_from(domain).map_err(|_| EventError::Malformed("the domain"))?);
        }
        let body = match self.body {
            None => Vec::new(),
            Some(text) if self.is_base64_encoded => {
                STANDARD.decode(text).map_err(|_| EventError::Malformed("its body is not base64"))?
            }
            Some(text) => text.into_bytes(),
        };
        // Not what a header says: whom AWS got it from.
        let client: IpAddr = http.source_ip.parse().map_err(|_| EventError::Malformed("the client's address"))?;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::try_from(http.method.as_str()).map_err(|_| EventError::Malformed("its method"))?;
        *request.uri_mut() = address.parse().map_err(|_| EventError::Malformed("its address"))?;
        *request.headers_mut() = headers;
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, 0)));
        // abcdefg.lambda-url.eu-central-1.on.aws
        let streams = domain_name.is_some_and(|name| name.split('.').nth(1) == Some("lambda-url"));
        Ok(Call { request, streams })
    }
}

/// Puts in what stands for bytes that can't stand in an address; what is coded already stays as it is.
fn in_address(text: &str, never: &[u8]) -> String {
    let mut address = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) && !never.contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(path: &str, query: &str) -> Value {
        json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
            "headers": {"host": "abc.lambda-url.eu-central-1.on.aws", "x-forwarded-for": "192.0.2.9"},
            "requestContext": {
                "domainName": "abc.lambda-url.eu-central-1.on.aws", "stage": "$default",
                "http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "x"}
            },
            "isBase64Encoded": false
        })
    }

    fn call(event: &Value) -> Call {
        match Event::parse(event.to_string().as_bytes()) {
            Ok(Event::Http(call)) => *call,
            Ok(Event::Scheduled) => panic!("a request"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn an_address_arrives_as_it_was_sent() {
        for (path, query, expected) in [
            ("/", "", "/"),
            ("/a%20b/%2F..%2f", "x=1&x=2&y=&z", "/a%20b/%2F..%2f?x=1&x=2&y=&z"),
            ("/a/../b//c/.", "q=a+b%2Bc", "/a/../b//c/.?q=a+b%2Bc"),
            ("/a b/ü?c", "q=a b#\"", "/a%20b/%C3%BC%3Fc?q=a%20b%23%22"),
            ("", "", "/"),
        ] {
            assert_eq!(call(&event(path, query)).request.uri(), expected, "{path} {query}");
        }
    }

    #[test]
    fn whose_request_it_is_is_what_aws_says() {
        let call = call(&event("/", ""));
        let client = call.request.extensions().get::<ConnectInfo<SocketAddr>>().expect("there");
        assert_eq!(client.0.ip().to_string(), "203.0.113.7");
        assert!(call.streams);
    }

    #[test]
    fn api_gateway_gets_it_whole() {
        let mut event = event("/", "");
        event["requestContext"]["domainName"] = "abc.execute-api.eu-central-1.amazonaws.com".into();
        assert!(!call(&event).streams);
    }

    #[tokio::test]
    async fn cookies_and_bodies() {
        let mut event = event("/", "");
        event["cookies"] = json!(["a=1", "b=2"]);
        event["body"] = "AP9h".into();
        event["isBase64Encoded"] = true.into();
        let request = call(&event).request;
        assert_eq!(request.headers()[header::COOKIE], "a=1; b=2");
        let body = axum::body::to_bytes(request.into_body(), 100).await.expect("a body");
        assert_eq!(body.as_ref(), b"\x00\xffa");
    }

    #[test]
    fn what_is_none_of_ours_is_refused() {
        let refused = |event: &Value| Event::parse(event.to_string().as_bytes()).err().expect("refused");
        assert!(matches!(refused(&json!({"hello": "world"})), EventError::Unknown(_)));
        assert!(matches!(refused(&json!([1])), EventError::Unknown(_)));
        let mut other = event("/", "");
        other["version"] = "1.0".into();
        assert!(matches!(refused(&other), EventError::Unknown(_)));
        let mut broken = event("/", "");
        broken["body"] = "***".into();
        broken["isBase64Encoded"] = true.into();
        assert_eq!(refused(&broken), EventError::Malformed("its body is not base64"));
        let mut nobody = event("/", "");
        nobody["requestContext"]["http"]["sourceIp"] = "somewhere".into();
        assert_eq!(refused(&nobody), EventError::Malformed("the client's address"));
        assert!(matches!(
            Event::parse(json!({"source": "aws.events", "detail-type": "Scheduled Event"}).to_string().as_bytes()),
            Ok(Event::Scheduled)
        ));
        assert!(matches!(refused(&json!({"source": "aws.s3", "detail-type": "Object Created"})), EventError::Unknown(_)));
    }
}
