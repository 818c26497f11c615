//! `/proxy.pac` and `/wpad.dat`: how browsers find the gateway inside this server.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, Request, State},
    response::{IntoResponse, Response},
};
use gatehouse_gateway::names::Host;
use http::{StatusCode, header};

use crate::state::AppState;

/// The script, for the clients that the gateway serves. Nobody has to sign in: browsers ask before anybody could.
pub async fn show(State(state): State<AppState>, request: Request) -> Response {
    let none =
        || (StatusCode::NOT_FOUND, "There is no gateway in this server, or it does not serve your address.\n").into_response();
    let Some(client) = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip()) else { return none() };
    // The name that the client found this server by is one that it finds the gateway by, too.
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let named = named.or(request.uri().authority().map(http::uri::Authority::as_str));
    let Some((host, _)) = named.and_then(|text| Host::parse_authority(text, Some(80)).ok()) else {
        return (StatusCode::BAD_REQUEST, "The request names no host.\n").into_response();
    };
    let script = state.gateway.as_ref().and_then(|gateway| gateway.pac(&host.for_authority(), client));
    let Some(script) = script else { return none() };
    let fields = [(header::CONTENT_TYPE, "application/x-ns-proxy-autoconfig"), (header::CACHE_CONTROL, "max-age=300")];
    (fields, script).into_response()
}
