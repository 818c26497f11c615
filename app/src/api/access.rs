//! Who may come in, and with what.

use gatehouse_domain::TokenView;
use leptos::prelude::*;

use crate::error::ApiError;

/// Whether there is no company yet, so that the set-up link is the only way in.
///
/// # Errors
/// When the database does not answer.
#[server(prefix = "/fn", endpoint = "needs-setup")]
pub async fn needs_setup() -> Result<bool, ApiError> {
    Ok(crate::context::request()?.platform.needs_setup().await?)
}

/// Whether a set-up link still works.
///
/// # Errors
/// `LinkExpired` when it does not.
#[server(prefix = "/fn", endpoint = "check-setup-link")]
pub async fn check_setup_link(link: String) -> Result<(), ApiError> {
    let link = gatehouse_domain::Secret::new(link);
    Ok(crate::context::request()?.platform.check_setup_link(&link).await?)
}

/// The API tokens of whoever is signed in, newest first.
///
/// # Errors
/// `Unauthorized`.
#[server(prefix = "/fn", endpoint = "tokens")]
pub async fn tokens() -> Result<Vec<TokenView>, ApiError> {
    let (platform, actor) = crate::context::signed_in()?;
    Ok(platform.tokens(&actor).await?)
}
