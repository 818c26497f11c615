//! The console's pages and server functions, rendered by `gatehouse_app`.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use gatehouse_app::{context::RequestContext, error::ServerFunction, outcome::FormOutcome, shell};
use gatehouse_platform::Origin;
use http::{HeaderValue, header};
use leptos::prelude::provide_context;

use crate::{
    kept_pages::{self, Key},
    security::{self, Visitor},
    state::AppState,
};

/// A page. The app answers paths it does not know with 404.
pub async fn page(State(state): State<AppState>, request: Request) -> Response {
    let visitor = request.extensions().get::<Visitor>();
    let key = visitor.and_then(|visitor| Key::of(request.uri(), &visitor.theme, visitor.actor.as_ref().ok()?));
    // Before it is rendered: what changes meanwhile makes it count as old.
    let (Some(key), Some(generation)) = (key, state.platform.proxies_generation()) else {
        return render(&state, request, None).await;
    };
    if let Some(page) = kept_pages::find(&key, generation) {
        return page;
    }
    kept_pages::keep(key, generation, render(&state, request, None).await).await
}

/// A page that says what a posted form led to, when there is an outcome.
pub async fn render(state: &AppState, mut request: Request, outcome: Option<FormOutcome>) -> Response {
    // leptos redirects only those who ask for HTML; whoever asks for a page gets HTML here, whatever they say.
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/html"));
    let context = context(state, &request, outcome);
    let options = state.leptos.clone();
    // Every page is rendered whole: it has to work without JavaScript, which is what places streamed fragments.
    let handler =
        leptos_axum::render_app_async_with_context(move || provide_context(context.clone()), move || shell(options.clone()));
    handler(request).await.into_response()
}

/// A server function.
pub async fn server_function(State(state): State<AppState>, request: Request) -> Response {
    let context = context(&state, &request, None);
    let provide = move || {
        provide_context(context.clone());
        provide_context(ServerFunction);
    };
    leptos_axum::handle_server_fns_with_context(provide, request).await.into_response()
}

/// What the app knows of this request.
pub fn context(state: &AppState, request: &Request, outcome: Option<FormOutcome>) -> RequestContext {
    let visitor = request.extensions().get::<Visitor>();
    RequestContext {
        platform: state.platform.clone(),
        actor: visitor.and_then(|v| v.actor.clone().ok()),
        session: visitor.and_then(|v| v.session.clone()),
        address: visitor.map(|v| v.address.clone()).unwrap_or_default(),
        origin: visitor.map_or_else(|| Origin::nobody("", ""), |v| v.origin.clone()),
        theme: visitor.map(|v| v.theme.clone()).unwrap_or_default(),
        url: security::url(state, request.headers(), request.uri()),
        url_is_guessed: state.public_url.is_none(),
        outcome,
    }
}
