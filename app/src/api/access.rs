//! Who may come in, and with what: read by the pages that show it.

use gatehouse_domain::TokenView;

use crate::{context, error::ApiError};

/// Whether there is no company yet, so that the set-up link is the only way in.
///
/// # Errors
/// When the database does not answer.
pub async fn needs_setup() -> Result<bool, ApiError> {
    Ok(context::request()?.platform.needs_setup().await?)
}

/// Whether a set-up link still works.
///
/// # Errors
/// `LinkExpired` when it does not.
pub async fn check_setup_link(link: String) -> Result<(), ApiError> {
    let link = gatehouse_domain::Secret::new(link);
    Ok(context::request()?.platform.check_setup_link(&link).await?)
}

/// The API tokens of whoever is signed in, newest first.
///
/// # Errors
/// `Unauthorized`.
pub async fn tokens() -> Result<Vec<TokenView>, ApiError> {
    let (platform, actor) = context::signed_in()?;
    Ok(platform.tokens(&actor).await?)
}
