//! Shell and routes.

use leptos::prelude::*;
use leptos_meta::{HashedStylesheet, MetaTags, Title, provide_meta_context};
use leptos_router::{
    SsrMode,
    components::{Outlet, ParentRoute, Route, Router, Routes},
    hooks::use_location,
    path,
};

use crate::{
    components::{ErrorState, Frame, provide_toasts},
    page::{forget_outcome_on_navigation, provide_page_context, use_hydrated, use_session},
    pages::{
        company::proxies::{ProxyDeletePage, ProxyEditPage, ProxyListPage, ProxyNewPage},
        not_found::NotFoundPage,
        profile::tokens::TokensPage,
        setup::SetUpPage,
        sign_in::SignInPage,
    },
};

/// Where `/` leads: the first page of the console.
const HOME: &str = "/company/settings/proxies";

/// The HTML document around the app. `options` names the files of the browser bundle.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    set_security_policy();
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=theme()>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="description" content="Gatehouse governs how an organisation reaches the internet."/>
                // Every page is behind a sign-in or part of one.
                <meta name="robots" content="noindex"/>
                <link rel="icon" href="/favicon.svg" type="image/svg+xml"/>
                <HashedStylesheet options=options.clone() id="style"/>
                {is_hydrated().then(|| view! { <HydrationScripts options/> })}
                <MetaTags/>
            </head>
            <body>
                <App/>
            </body>
        </html>
    }
}

/// The theme that the person chose, rendered with the page: no flash of the other one. None follows the system.
fn theme() -> Option<String> {
    #[cfg(feature = "ssr")]
    {
        use_context::<crate::context::RequestContext>().map(|context| context.theme).filter(|theme| !theme.is_empty())
    }
    #[cfg(not(feature = "ssr"))]
    None
}

/// Whether the browser takes the page over. The style guide is in development builds alone, so a browser bundle built for
/// release knows nothing of it: there it stays plain HTML, except under `cargo leptos watch`, which builds both for development.
fn is_hydrated() -> bool {
    #[cfg(feature = "ssr")]
    {
        let path = use_context::<leptos_router::location::RequestUrl>();
        let is_style_guide = path.is_some_and(|url| url.as_ref().contains("/styleguide"));
        !is_style_guide || std::env::var_os("LEPTOS_WATCH").is_some()
    }
    #[cfg(not(feature = "ssr"))]
    true
}

/// What the page may load and run: our own files, and the inline scripts that bear this answer's nonce.
fn set_security_policy() {
    #[cfg(feature = "ssr")]
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
pub fn App() -> impl IntoView {
    provide_meta_context();
    provide_page_context();
    view! {
        <Title formatter=|text: String| if text.is_empty() { "Gatehouse".to_string() } else { format!("{text} · Gatehouse") }/>
        <Router>
            <InRouter/>
        </Router>
    }
}

/// What needs the router's context.
#[component]
fn InRouter() -> impl IntoView {
    provide_toasts();
    forget_outcome_on_navigation();
    move_focus_on_navigation();
    view! {
        <Routes fallback=|| view! { <NotFoundPage/> }>
            <Route path=path!("/") view=HomePage ssr=SsrMode::Async/>
            <Route path=path!("/sign-in") view=SignInPage ssr=SsrMode::Async/>
            <Route path=path!("/setup/:link") view=SetUpPage ssr=SsrMode::Async/>
            <Route path=path!("/styleguide") view=StyleGuide ssr=SsrMode::Async/>
            <ParentRoute path=path!("") view=Console ssr=SsrMode::Async>
                <Route path=path!("/company/settings/proxies") view=ProxyListPage ssr=SsrMode::Async/>
                <Route path=path!("/company/settings/proxies/new") view=ProxyNewPage ssr=SsrMode::Async/>
                <Route path=path!("/company/settings/proxies/:id") view=ProxyEditPage ssr=SsrMode::Async/>
                <Route path=path!("/company/settings/proxies/:id/delete") view=ProxyDeletePage ssr=SsrMode::Async/>
                <Route path=path!("/profile/tokens") view=TokensPage ssr=SsrMode::Async/>
            </ParentRoute>
        </Routes>
    }
    .into_any()
}

/// The pages that need somebody to be signed in, inside the frame.
#[component]
fn Console() -> impl IntoView {
    if use_session().is_none() {
        let location = use_location();
        let (path, search) = (location.pathname.get_untracked(), location.search.get_untracked());
        let next = if search.is_empty() { path } else { format!("{path}?{}", search.trim_start_matches('?')) };
        redirect(&if next == HOME { "/sign-in".to_string() } else { format!("/sign-in?next={}", encode(&next)) });
        return ().into_any();
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

#[component]
fn HomePage() -> impl IntoView {
    redirect(HOME);
}

#[component]
fn StyleGuide() -> impl IntoView {
    // Development builds only.
    #[cfg(debug_assertions)]
    return crate::pages::styleguide::StyleGuidePage().into_any();
    #[cfg(not(debug_assertions))]
    view! { <NotFoundPage/> }.into_any()
}

/// Leads elsewhere: with a status while the server renders, with a navigation in the browser.
pub(crate) fn redirect(to: &str) {
    #[cfg(feature = "ssr")]
    leptos_axum::redirect(to);
    #[cfg(not(feature = "ssr"))]
    {
        let (navigate, to) = (leptos_router::hooks::use_navigate(), to.to_string());
        Effect::new(move |_| navigate(&to, leptos_router::NavigateOptions { replace: true, ..Default::default() }));
    }
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

/// After a navigation the focus goes to the page's heading, as it would with a page that was loaded: a screen reader
/// starts there, and the Tab key goes on from there.
fn move_focus_on_navigation() {
    let path = use_location().pathname;
    let hydrated = use_hydrated();
    Effect::new(move |last: Option<String>| {
        let now = path.get();
        if hydrated.get_untracked() && last.is_some_and(|last| last != now) {
            request_animation_frame(|| focus_heading(60));
        }
        now
    });
}

/// Focuses the page's heading; where it comes with what is still loading, as soon as it is there, unless the person has gone
/// elsewhere meanwhile.
fn focus_heading(tries: u8) {
    use leptos::wasm_bindgen::JsCast as _;
    let heading = document().query_selector("h1[tabindex]").ok().flatten();
    if let Some(heading) = heading.and_then(|heading| heading.dyn_into::<web_sys::HtmlElement>().ok()) {
        drop(heading.focus());
    } else if tries > 0 {
        let again = move || {
            if document().active_element().is_none_or(|element| element.tag_name() == "BODY") {
                focus_heading(tries - 1);
            }
        };
        set_timeout(again, std::time::Duration::from_millis(50));
    }
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
