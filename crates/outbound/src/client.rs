//! HTTP/1.1 over a connection that stands.

use bytes::Bytes;
use gatehouse_domain::{Secret, TestTarget};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response, Uri,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{ACCEPT, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT as USER_AGENT_FIELD},
};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::{connect::Login, head, problem::Problem, target::USER_AGENT, wire::Wire};

/// A request as it is sent, once or several times.
pub(crate) struct Message {
    method: &'static str,
    uri: Uri,
    fields: HeaderMap,
    body: Bytes,
}

impl Message {
    /// `None` when a field can't be sent as it is: a line end in a key, for instance.
    pub(crate) fn new(method: &'static str, target: &TestTarget, fields: &[(&'static str, Secret)], body: Bytes) -> Option<Self> {
        let uri = Uri::builder().path_and_query(target.path.as_str()).build().ok()?;
        let mut all = HeaderMap::new();
        all.insert(HOST, HeaderValue::from_str(&target.host_field()).ok()?);
        all.insert(USER_AGENT_FIELD, HeaderValue::from_static(USER_AGENT));
        all.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if !body.is_empty() || !matches!(method, "GET" | "HEAD") {
            all.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        for (name, value) in fields {
            all.append(HeaderName::from_bytes(name.as_bytes()).ok()?, secret_value(value.expose())?);
        }
        Some(Self { method, uri, fields: all, body })
    }

    /// For an HTTP proxy that takes the whole request (RFC 9112, section 3.2.2).
    pub(crate) fn for_proxy(mut self, target: &TestTarget, login: Option<Login<'_>>) -> Option<Self> {
        self.uri =
            Uri::builder().scheme("http").authority(target.host_field()).path_and_query(target.path.as_str()).build().ok()?;
        if let Some(login) = login {
            let value = Zeroizing::new(format!("Basic {}", login.basic().as_str()));
            self.fields.insert(PROXY_AUTHORIZATION, secret_value(&value)?);
        }
        Some(self)
    }

    fn to_request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.parse().unwrap_or_default();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.fields.clone();
        request
    }
}

fn secret_value(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).or_else(|_| HeaderValue::from_bytes(value.as_bytes())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A connection to a target (or to a proxy that takes whole requests). Dropping it closes it at once.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why there is no head of an answer.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) problem: Problem,
    /// Not a byte of the request has left.
    pub(crate) unsent: bool,
}

impl Connection {
    pub(crate) async fn open(wire: Wire) -> Result<Self, Problem> {
        let (sender, connection) = http1::Builder::new()
            // Forgiving where products are known to err, as in `head`.
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .max_headers(head::MAX_FIELDS)
            .max_header_size(head::MAX_BYTES)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|_| Problem::TargetClosed)?;
        // What ends the connection is told to whoever waits for an answer.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, task })
    }

    /// Whether it may still be used, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends the request and waits for the head of the answer.
    pub(crate) async fn ask(&mut self, message: &Message) -> Result<Response<Incoming>, Unanswered> {
        if self.sender.ready().await.is_err() {
            return Err(Unanswered { problem: Problem::TargetClosed, unsent: true });
        }
        self.sender.try_send_request(message.to_request()).await.map_err(|mut error| {
            let unsent = error.take_message().is_some();
            let error = error.into_error();
            let problem = if error.is_parse() { Problem::TargetNotHttp } else { Problem::TargetClosed };
            Unanswered { problem, unsent }
        })
    }
}

/// Reads a body, at most `limit` bytes of it; `seen` grows with what has come.
pub(crate) async fn read_body(mut body: Incoming, limit: usize, seen: &mut u64) -> Result<Vec<u8>, Problem> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| if error.is_parse() { Problem::TargetNotHttp } else { Problem::TargetClosed })?;
        let Ok(data) = frame.into_data() else { continue };
        *seen += data.len() as u64;
        if whole.len() + data.len() > limit {
            return Err(Problem::TooLarge(limit));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

/// The fields that are text, names in lower case.
pub(crate) fn text_fields(fields: &HeaderMap) -> Vec<(String, String)> {
    fields
        .iter()
        .filter_map(|(name, value)| {
            std::str::from_utf8(value.as_bytes()).ok().map(|value| (name.as_str().to_string(), value.to_string()))
        })
        .collect()
}
