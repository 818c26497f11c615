//! How an answer is told to Lambda: as it is made (a prelude with status, headers and cookies, eight zeroes, then the body), or whole.

use std::{collections::BTreeMap, panic::AssertUnwindSafe};

use axum::response::Response;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use lambda_runtime_api_client::body::Body;
use serde::Serialize;

/// What becomes of a stream that broke off: without these, half an answer would pass for a whole one.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("lambda-runtime-function-error-type");
/// The same, in words, in base64.
pub const ERROR_BODY: HeaderName = HeaderName::from_static("lambda-runtime-function-error-body");

/// Status, headers and cookies.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    status_code: u16,
    headers: BTreeMap<String, String>,
    cookies: Vec<String>,
}

/// An answer that is told whole.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    #[serde(flatten)]
    head: Head,
    body: String,
    is_base64_encoded: bool,
}

/// An error, as Lambda shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure<'a> {
    /// The stable name.
    pub error_type: &'a str,
    /// In words for the operator.
    pub error_message: &'a str,
    /// Nobody needs ours.
    pub stack_trace: [&'a str; 0],
}

impl<'a> Failure<'a> {
    /// As it is sent.
    pub fn json(error_type: &'a str, error_message: &'a str) -> Vec<u8> {
        serde_json::to_vec(&Self { error_type, error_message, stack_trace: [] }).unwrap_or_default()
    }
}

fn head(status: StatusCode, headers: &HeaderMap) -> Head {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| *name != header::SET_COOKIE) {
        // One text for each name is what a prelude takes.
        told.entry(name.to_string())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(&text(value));
            })
            .or_insert_with(|| text(value));
    }
    let cookies = headers.get_all(header::SET_COOKIE).iter().map(text).collect();
    Head { status_code: status.as_u16(), headers: told, cookies }
}

/// The body of a streamed answer.
pub fn streamed(response: Response) -> Body {
    let (parts, body) = response.into_parts();
    let mut prelude = serde_json::to_vec(&head(parts.status, &parts.headers)).unwrap_or_default();
    prelude.extend([0; 8]);
    // A panic in what makes the body is no reason to take the next call's connection with it, nor to pass for the end.
    let body = AssertUnwindSafe(body.into_data_stream()).catch_unwind().map(|chunk| match chunk {
        Ok(Ok(chunk)) => Ok(Frame::data(chunk)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("a defect".to_string()),
    });
    // Ends with the first failure, which is told in the trailers.
    let body = body.scan(false, |failed, frame| {
        let frame = match frame {
            _ if *failed => None,
            Ok(frame) => Some(frame),
            Err(error) => {
                *failed = true;
                tracing::error!(%error, "an answer broke off");
                Some(Frame::trailers(broke_off()))
            }
        };
        async move { frame.map(Ok::<_, std::convert::Infallible>) }
    });
    let all = stream::once(async move { Ok(Frame::data(Bytes::from(prelude))) }).chain(body);
    Body::new(StreamBody::new(all))
}

fn broke_off() -> HeaderMap {
    let words = Failure::json("Gatehouse.BrokeOff", "The answer broke off; the log says why.");
    let mut trailers = HeaderMap::new();
    trailers.insert(ERROR_TYPE, HeaderValue::from_static("Gatehouse.BrokeOff"));
    trailers.insert(ERROR_BODY, HeaderValue::try_from(STANDARD.encode(words)).unwrap_or(HeaderValue::from_static("")));
    trailers
}

/// An answer that is told whole.
///
/// # Errors
/// It broke off.
pub async fn whole(response: Response) -> Result<Vec<u8>, String> {
    let (parts, body) = response.into_parts();
    let body = match AssertUnwindSafe(body.collect()).catch_unwind().await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => return Err(format!("the answer broke off: {error}")),
        Err(_) => return Err("the answer broke off: a defect".into()),
    };
    let whole = Whole { head: head(parts.status, &parts.headers), body: STANDARD.encode(body), is_base64_encoded: true };
    serde_json::to_vec(&whole).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(body: axum::body::Body) -> (String, Option<HeaderMap>) {
        let mut response = Response::new(body);
        for value in ["a=1; Path=/", "b=2"] {
            response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_static(value));
        }
        for value in ["origin", "accept"] {
            response.headers_mut().append(header::VARY, HeaderValue::from_static(value));
        }
        let all = streamed(response).collect().await.expect("it ends");
        let trailers = all.trailers().cloned();
        (String::from_utf8_lossy(&all.to_bytes()).into_owned(), trailers)
    }

    #[tokio::test]
    async fn a_prelude_then_the_body() {
        let (text, trailers) = told(axum::body::Body::from("hello")).await;
        let (prelude, body) = text.split_once("\0\0\0\0\0\0\0\0").expect("eight zeroes");
        assert_eq!(prelude, r#"{"statusCode":200,"headers":{"vary":"origin, accept"},"cookies":["a=1; Path=/","b=2"]}"#);
        assert_eq!(body, "hello");
        assert_eq!(trailers, None);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_says_so_behind_it_and_not_in_it() {
        let chunks = stream::iter([Ok("one"), Err(std::io::Error::other("gone")), Ok("three")]);
        let (text, trailers) = told(axum::body::Body::from_stream(chunks)).await;
        assert!(text.ends_with("\0one"), "{text}");
        assert_eq!(trailers.expect("trailers")[ERROR_TYPE], "Gatehouse.BrokeOff");
        let chunks = stream::iter(["one", "two"]).map(|chunk| match chunk {
            "one" => Ok::<_, std::io::Error>(chunk),
            _ => panic!("a defect"),
        });
        let (text, trailers) = told(axum::body::Body::from_stream(chunks)).await;
        assert!(text.ends_with("\0one"), "{text}");
        assert!(trailers.is_some());
    }
}
