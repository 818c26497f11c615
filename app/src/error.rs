//! [`AppError`] on its way between server functions and the browser.

use gatehouse_domain::AppError;
use leptos::server_fn::{
    codec::JsonEncoding,
    error::{FromServerFnError, ServerFnErrorErr},
};
use serde::{Deserialize, Serialize};

/// The one error of all server functions: a newtype, because trait and type live in other crates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiError(pub AppError);

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for ApiError {}

impl From<AppError> for ApiError {
    fn from(error: AppError) -> Self {
        // A server function's answer carries the error's own status: leptos would say 500 to everything.
        #[cfg(feature = "ssr")]
        if let (Some(response), Ok(status)) = (
            leptos::prelude::use_context::<ServerFunction>().and(leptos::prelude::use_context::<leptos_axum::ResponseOptions>()),
            http::StatusCode::from_u16(error.status()),
        ) {
            response.set_status(status);
        }
        Self(error)
    }
}

/// Provided while a server function runs for a request of its own, and not while a page is rendered: a page decides for
/// itself what an error in one of its parts means.
#[cfg(feature = "ssr")]
#[derive(Debug, Clone, Copy)]
pub struct ServerFunction;

impl FromServerFnError for ApiError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Request(_) => Self(AppError::Unreachable),
            ServerFnErrorErr::Args(why) | ServerFnErrorErr::MissingArg(why) => Self(AppError::Malformed(why)),
            other => {
                #[cfg(feature = "ssr")]
                tracing::error!(error = %other, "server function");
                let _ = other;
                Self(AppError::Unavailable)
            }
        }
    }
}
