//! `/api/v1/installation`: what everybody in it may know of it.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::SignedIn;
use crate::{http_errors::Problem, state::AppState};

/// What everybody may know of an installation.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstallationView {
    /// `on-premise`, or `cloud`: several companies, and no private addresses.
    edition: &'static str,
    /// Addresses and networks that the platform's own connections come from, for a firewall that has to let them in; empty where the
    /// operator has not said.
    outgoing_addresses: Vec<String>,
}

/// Which edition this is, and where its connections come from.
#[utoipa::path(
    get, path = "/api/v1/installation", operation_id = "getInstallation", tag = "installation",
    responses(
        (status = 200, body = InstallationView),
        (status = 401, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn get(State(state): State<AppState>, SignedIn(_): SignedIn) -> Json<InstallationView> {
    let config = state.platform.config();
    Json(InstallationView {
        edition: if config.cloud { "cloud" } else { "on-premise" },
        outgoing_addresses: config.outgoing_addresses.clone(),
    })
}
