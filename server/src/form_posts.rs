//! Forms posted to a page's own path: what works without JavaScript.

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request, State, multipart::MultipartError},
    response::{IntoResponse, Response},
};
use gatehouse_app::forms::{self, CookieChange, FormResult, PostedFile};
use gatehouse_domain::{AppError, Operation};
use http::{HeaderValue, Method, StatusCode, header};

use crate::{
    http_errors::HttpError,
    pages, security,
    security::{BODY_LIMIT, FILE_LIMIT, Visitor},
    state::AppState,
};

/// Handles the post and answers with a redirect or with the page again.
pub async fn post(State(state): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (fields, files) = if content_type.starts_with("application/x-www-form-urlencoded") {
        let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
            return HttpError(AppError::TooLarge(BODY_LIMIT as u64)).into_response();
        };
        (parse_form(&body), Vec::new())
    } else if content_type.starts_with("multipart/form-data") && takes_files(parts.uri.path()) {
        // Only for those who may: nobody else's files are read.
        let may = match parts.extensions.get::<Visitor>() {
            Some(Visitor { actor: Ok(actor), .. }) => actor.may(Operation::StartAnalysis),
            _ => Err(AppError::Unauthorized),
        };
        let mut posted = Request::from_parts(parts.clone(), body);
        DefaultBodyLimit::max(FILE_LIMIT).apply(&mut posted);
        match may.map(|()| posted) {
            Err(AppError::Unauthorized) => {
                return (StatusCode::SEE_OTHER, [(header::LOCATION, "/sign-in")]).into_response();
            }
            Err(error) => return HttpError(error).into_response(),
            Ok(posted) => match parse_multipart(posted).await {
                Ok(posted) => posted,
                Err(error) => return HttpError(error).into_response(),
            },
        }
    } else {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Post this as application/x-www-form-urlencoded.").into_response();
    };
    // What is rendered, if anything, is the page at this path.
    let mut request = Request::from_parts(parts, Body::empty());
    *request.method_mut() = Method::GET;
    request.headers_mut().remove(header::CONTENT_TYPE);
    request.headers_mut().remove(header::CONTENT_LENGTH);
    let context = pages::context(&state, &request, None);
    match forms::handle(request.uri().path(), fields, files, &context).await {
        FormResult::SeeOther { location, session, theme } => {
            let mut response = StatusCode::SEE_OTHER.into_response();
            let headers = response.headers_mut();
            headers.insert(header::LOCATION, HeaderValue::from_str(&location).unwrap_or_else(|_| HeaderValue::from_static("/")));
            match session {
                CookieChange::Keep => {}
                CookieChange::Set(secret) => {
                    headers.append(header::SET_COOKIE, security::session_cookie(&secret, state.is_https()));
                }
                CookieChange::Clear => {
                    headers.append(header::SET_COOKIE, security::no_session_cookie(state.is_https()));
                }
            }
            if let Some(theme) = theme {
                headers.append(header::SET_COOKIE, security::theme_cookie(&theme, state.is_https()));
            }
            response
        }
        FormResult::Page { status, outcome } => {
            let mut response = pages::render(&state, request, Some(*outcome)).await;
            // A redirect that the page itself asked for (nobody is signed in any more) stands.
            if response.status() == StatusCode::OK {
                *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            }
            response
        }
        FormResult::NotFound => {
            let mut response = pages::render(&state, request, None).await;
            if response.status() == StatusCode::OK {
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            }
            response
        }
    }
}

/// Where files are taken: nowhere else may a body be large.
fn takes_files(path: &str) -> bool {
    path == "/incident-responder/analyses"
}

/// `multipart/form-data` (RFC 7578): fields, and files that have a name.
async fn parse_multipart(request: Request) -> Result<(Vec<(String, String)>, Vec<PostedFile>), AppError> {
    let broken = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => AppError::TooLarge(FILE_LIMIT as u64),
        _ => AppError::Malformed("The form did not arrive whole. Try again.".into()),
    };
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|_| AppError::Malformed("The form did not arrive whole. Try again.".into()))?;
    let (mut fields, mut files) = (Vec::new(), Vec::new());
    while let Some(part) = form.next_field().await.map_err(broken)? {
        let field = part.name().unwrap_or_default().to_string();
        match part.file_name().map(ToString::to_string) {
            // A file field in which nothing was chosen.
            Some(name) if name.is_empty() => {}
            Some(name) => {
                let kind = part.content_type().unwrap_or_default().to_string();
                files.push(PostedFile { field, name, kind, bytes: part.bytes().await.map_err(broken)?.to_vec() });
            }
            None => fields.push((field, part.text().await.map_err(broken)?.replace("\r\n", "\n"))),
        }
    }
    Ok((fields, files))
}

/// `application/x-www-form-urlencoded` (URL standard, 5.1); line ends as browsers send them become one.
pub fn parse_form(body: &[u8]) -> Vec<(String, String)> {
    let decode = |part: &[u8]| {
        let mut bytes = Vec::with_capacity(part.len());
        let mut at = 0;
        while at < part.len() {
            let hex = |offset: usize| part.get(at + offset).and_then(|b| char::from(*b).to_digit(16));
            match (part[at], hex(1), hex(2)) {
                (b'+', ..) => bytes.push(b' '),
                (b'%', Some(high), Some(low)) => {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                    at += 2;
                }
                (byte, ..) => bytes.push(byte),
            }
            at += 1;
        }
        String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
    };
    body.split(|b| *b == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut parts = pair.splitn(2, |b| *b == b'=');
            (decode(parts.next().unwrap_or_default()), decode(parts.next().unwrap_or_default()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let pairs = parse_form(b"name=Corp+EU&bypass=a%0D%0Ab&x=%zz&empty=&p=%26%3D%2B&u=%C3%BC");
        let expected = [("name", "Corp EU"), ("bypass", "a\nb"), ("x", "%zz"), ("empty", ""), ("p", "&=+"), ("u", "ü")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_string(), v.to_string())));
    }
}
