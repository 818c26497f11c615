//! Forms posted without JavaScript: each page's form is posted to the page's own path.
//!
//! The server hands every such post to [`handle`] after it has checked the request's origin.

use gatehouse_domain::Secret;

use crate::{context::RequestContext, outcome::FormOutcome};

/// What to answer.
#[derive(Debug)]
pub enum FormResult {
    /// 303: go there (a path on this server).
    SeeOther {
        /// Where.
        location: String,
        /// What becomes of the session cookie.
        session: CookieChange,
        /// A new theme for the cookie: `light`, `dark`, or empty for the system's.
        theme: Option<String>,
    },
    /// The page again, with what is to be said about it.
    Page {
        /// The HTTP status.
        status: u16,
        /// What the page shows.
        outcome: Box<FormOutcome>,
    },
    /// There is no form there.
    NotFound,
}

/// What becomes of the session cookie.
#[derive(Debug, Default)]
pub enum CookieChange {
    /// Nothing.
    #[default]
    Keep,
    /// A new session.
    Set(Secret),
    /// Signed out.
    Clear,
}

/// Handles a form posted to `path` with these fields, in order.
pub async fn handle(path: &str, fields: Vec<(String, String)>, context: &RequestContext) -> FormResult {
    let _ = (path, fields, context);
    FormResult::NotFound
}
