//! Shell and routes.

use gatehouse_domain::{AppError, Role};
use leptos::prelude::*;
use leptos_meta::{HashedStylesheet, MetaTags, Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{Outlet, ParentRoute, Route, Router, Routes},
    path,
};

use crate::{
    components::{ErrorState, Frame, IconSprite, PageHeader, refused_page},
    page::{answer_with_status, use_path, use_session, use_theme},
    pages::{
        company::audit::AuditPage,
        company::checks::ChecksPage,
        company::people::{PeoplePage, PersonDeletePage, PersonEditPage, WithdrawPage},
        company::proxies::{ProxyDefaultPage, ProxyDeletePage, ProxyEditPage, ProxyListPage, ProxyNewPage},
        incident_responder::{
            analyses::{AnalysisListPage, AnalysisPage},
            integrations::{IntegrationDeletePage, IntegrationEditPage, IntegrationListPage, IntegrationNewPage},
            traffic::TrafficPage,
        },
        invitation::InvitationPage,
        not_found::NotFoundPage,
        profile::{security::SecurityPage, tokens::TokensPage},
        provider::{CompanyDeletePage, CompanyListPage, CompanyPage},
        setup::SetUpPage,
        sign_in::SignInPage,
    },
    scripts::IslandScripts,
};

/// Where `/` leads: the first page of the console.
const HOME: &str = "/company/settings/proxies";

/// The first page of somebody's console.
pub(crate) fn home_of(role: Role) -> &'static str {
    match role {
        Role::Provider => crate::pages::provider::COMPANIES,
        Role::Owner | Role::Administrator | Role::Auditor => HOME,
    }
}

/// The HTML document around the app. `options` names the files of the browser bundle.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    set_security_policy();
    // Rendered with the page: no flash of another theme. None follows the system.
    let theme = Some(use_theme()).filter(|theme| !theme.is_empty());
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="description" content="Gatehouse governs how an organisation reaches the internet."/>
                // Every page is behind a sign-in or part of one.
                <meta name="robots" content="noindex"/>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <HashedStylesheet options=options.clone() id="style"/>
                <IslandScripts options/>
                <MetaTags/>
            </head>
            <body>
                <IconSprite/>
                <App/>
            </body>
        </html>
    }
}

/// What the page may load and run: our own files, and the inline scripts that bear this answer's nonce.
fn set_security_policy() {
    if let (Some(response), Some(nonce)) = (use_context::<leptos_axum::ResponseOptions>(), leptos::nonce::use_nonce()) {
        let policy = format!(
            "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; \
             object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        );
        if let Ok(policy) = http::HeaderValue::from_str(&policy) {
            response.insert_header(http::header::CONTENT_SECURITY_POLICY, policy);
        }
    }
}

/// The console.
#[component]
fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Title formatter=|text: String| if text.is_empty() { "Gatehouse".to_string() } else { format!("{text} · Gatehouse") }/>
        <Router>
            <Routes fallback=|| view! { <NotFoundPage/> }>
                <Route path=path!("/") view=HomePage ssr=SsrMode::Async/>
                <Route path=path!("/sign-in") view=SignInPage ssr=SsrMode::Async/>
                <Route path=path!("/setup/:link") view=SetUpPage ssr=SsrMode::Async/>
                <Route path=path!("/invitation/:secret") view=InvitationPage ssr=SsrMode::Async/>
                <Route path=path!("/styleguide") view=StyleGuide ssr=SsrMode::Async/>
                <ParentRoute path=path!("") view=Console ssr=SsrMode::Async>
                    <Route path=path!("/company/settings/proxies") view=ProxyListPage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/proxies/new") view=ProxyNewPage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/proxies/:id") view=ProxyEditPage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/proxies/:id/default") view=ProxyDefaultPage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/proxies/:id/delete") view=ProxyDeletePage ssr=SsrMode::Async/>
                    <Route path=path!("/incident-responder/integrations") view=IntegrationListPage ssr=SsrMode::Async/>
                    <Route path=path!("/incident-responder/integrations/new") view=IntegrationNewPage ssr=SsrMode::Async/>
                    <Route path=path!("/incident-responder/integrations/:id") view=IntegrationEditPage ssr=SsrMode::Async/>
                    <Route path=path!("/incident-responder/integrations/:id/delete") view=IntegrationDeletePage ssr=SsrMode::Async/>
                    <Route path=path!("/incident-responder/analyses") view=AnalysisListPage ssr=SsrMode::Async/>
                    <Route path=path!("/incident-responder/analyses/:id") view=AnalysisPage ssr=SsrMode::Async/>
                    <Route path=path!("/incident-responder/traffic") view=TrafficPage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/checks") view=ChecksPage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/people") view=PeoplePage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/people/:id") view=PersonEditPage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/people/:id/delete") view=PersonDeletePage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/people/invitations/:id/withdraw") view=WithdrawPage ssr=SsrMode::Async/>
                    <Route path=path!("/provider/companies") view=CompanyListPage ssr=SsrMode::Async/>
                    <Route path=path!("/provider/companies/:id") view=CompanyPage ssr=SsrMode::Async/>
                    <Route path=path!("/provider/companies/:id/delete") view=CompanyDeletePage ssr=SsrMode::Async/>
                    <Route path=path!("/company/settings/audit") view=AuditPage ssr=SsrMode::Async/>
                    <Route path=path!("/profile/security") view=SecurityPage ssr=SsrMode::Async/>
                    <Route path=path!("/profile/tokens") view=TokensPage ssr=SsrMode::Async/>
                </ParentRoute>
            </Routes>
        </Router>
    }
}

/// The pages that need somebody to be signed in, inside the frame.
#[component]
fn Console() -> impl IntoView {
    let (path, search) = use_path();
    let Some(session) = use_session() else {
        let next = if search.is_empty() { path } else { format!("{path}?{search}") };
        leptos_axum::redirect(&if next == HOME { "/sign-in".to_string() } else { format!("/sign-in?next={}", encode(&next)) });
        return ().into_any();
    };
    if let Some(title) = refused_page(&path, session.role) {
        return view! { <Refused title/> }.into_any();
    }
    view! {
        <Frame>
            <ErrorBoundary fallback=|errors| {
                let error = errors.with(|errors| {
                    let first = errors.iter().next().map(|(_, error)| error.clone());
                    first.and_then(|error| error.downcast_ref::<crate::error::ApiError>().map(|error| error.0.clone()))
                });
                let error = error.unwrap_or(gatehouse_domain::AppError::Unavailable);
                view! { <ErrorState error/> }
            }>
                <Outlet/>
            </ErrorBoundary>
        </Frame>
    }
    .into_any()
}

/// A page that is not for this role says so. What it shows is refused by the use cases besides.
#[component]
fn Refused(title: &'static str) -> impl IntoView {
    answer_with_status(&AppError::Forbidden);
    view! {
        <Title text=title/>
        <Frame>
            <PageHeader title/>
            <ErrorState error=AppError::Forbidden/>
        </Frame>
    }
    .into_any()
}

#[component]
fn HomePage() -> impl IntoView {
    leptos_axum::redirect(use_session().map_or(HOME, |session| home_of(session.role)));
}

#[component]
fn StyleGuide() -> impl IntoView {
    // Development builds only.
    #[cfg(debug_assertions)]
    return crate::pages::styleguide::StyleGuidePage().into_any();
    #[cfg(not(debug_assertions))]
    view! { <NotFoundPage/> }.into_any()
}

/// A path of this server to go to: starts with one `/` and holds nothing that a browser could take for another host
/// (`//host`, `/\host`; browsers drop tabs and line breaks).
pub(crate) fn local_path(path: &str) -> Option<&str> {
    let fine = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\') && !path.chars().any(char::is_control);
    fine.then_some(path)
}

/// Percent-encodes a query value.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_followed() {
        for good in ["/", "/a/b?c=d", "/a//b", "/?x=https://y"] {
            assert_eq!(local_path(good), Some(good));
        }
        for bad in ["", "a", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "javascript:x"] {
            assert_eq!(local_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(encode("/a?b=c&d é"), "/a%3Fb%3Dc%26d%20%C3%A9");
    }
}
