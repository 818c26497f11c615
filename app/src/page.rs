//! What every page knows without asking: who is signed in, the theme, what a posted form led to, its own address.

use gatehouse_domain::{AppError, Operation, Role, SessionView};
use leptos::prelude::*;
use leptos_axum::ResponseOptions;

use crate::{context::RequestContext, outcome::FormOutcome};

fn context<T>(read: impl FnOnce(RequestContext) -> T) -> Option<T> {
    use_context::<RequestContext>().map(read)
}

/// Who is signed in.
#[must_use]
pub fn use_session() -> Option<SessionView> {
    context(|context| context.actor.map(|actor| actor.view)).flatten()
}

/// Whether who is signed in may do that.
#[must_use]
pub fn may(operation: Operation) -> bool {
    use_session().is_some_and(|session| operation.is_for(session.role))
}

/// Whether who is signed in may change what their company has: its settings, integrations and checks are for the same roles.
#[must_use]
pub fn may_change() -> bool {
    use_session().is_none_or(|session| matches!(session.role, Role::Owner | Role::Administrator))
}

/// The theme: `light`, `dark` or empty for the system's.
#[must_use]
pub fn use_theme() -> String {
    context(|context| context.theme).unwrap_or_default()
}

/// What the form that was posted to this page led to; the default when this page was not posted to.
#[must_use]
pub fn use_outcome() -> FormOutcome {
    context(|context| context.outcome).flatten().unwrap_or_default()
}

/// This page's path and query string (without `?`).
#[must_use]
pub fn use_path() -> (String, String) {
    let uri = use_context::<http::request::Parts>().map(|parts| parts.uri).unwrap_or_default();
    (uri.path().to_string(), uri.query().unwrap_or_default().to_string())
}

/// The answer's status, when the page can only say what went wrong.
pub fn answer_with_status(error: &AppError) {
    if let Some(response) = use_context::<ResponseOptions>()
        && let Ok(status) = http::StatusCode::from_u16(error.status())
    {
        response.set_status(status);
    }
}
