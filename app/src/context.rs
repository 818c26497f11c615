//! What the server gives each request that renders a page or runs a server function.

use gatehouse_domain::{AppError, Secret};
use gatehouse_platform::{Actor, Origin, Platform};
use leptos::prelude::use_context;

use crate::{error::ApiError, outcome::FormOutcome};

/// Provided with `provide_context` by the server, before anything of the app runs. Not there while routes are listed at start.
#[derive(Clone)]
pub struct RequestContext {
    /// The use cases.
    pub platform: Platform,
    /// Who is signed in.
    pub actor: Option<Actor>,
    /// The session's secret, to end it.
    pub session: Option<Secret>,
    /// Where the request comes from, for throttling.
    pub address: String,
    /// The same for the audit log.
    pub origin: Origin,
    /// `light`, `dark` or empty for the system's, from the cookie `theme`.
    pub theme: String,
    /// The address that people use, such as `https://gatehouse.example.com`: links are made with it.
    pub url: String,
    /// Whether nobody has set that address (`PUBLIC_URL`): it is the one that this browser has come by, which others may not have.
    pub url_is_guessed: bool,
    /// What a posted form led to, when this request is one.
    pub outcome: Option<FormOutcome>,
}

/// The context of this request.
///
/// # Errors
/// Outside of a request.
pub fn request() -> Result<RequestContext, ApiError> {
    use_context().ok_or_else(|| AppError::Unavailable.into())
}

/// The context and who is signed in.
///
/// # Errors
/// [`AppError::Unauthorized`].
pub fn signed_in() -> Result<(Platform, Actor), ApiError> {
    let context = request()?;
    let actor = context.actor.ok_or_else(|| ApiError::from(AppError::Unauthorized))?;
    Ok((context.platform, actor))
}
