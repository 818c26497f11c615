//! The frame around every page of the console: navigation, the person's menu, the theme.
//!
//! Menus are native popovers: they open, close with Esc or a click elsewhere and give the focus back without any script.

use gatehouse_domain::SessionView;
use leptos::prelude::*;

use super::{
    icon::{Icon, IconName},
    messages::ToastArea,
};
use crate::page::{use_path, use_session, use_theme};

/// The layout of signed-in pages. Set up once in the app, around all of them: pages hold their content alone.
#[component]
pub fn Frame(
    /// The page.
    children: Children,
) -> impl IntoView {
    let session = use_session();
    let company = session.as_ref().map(|session| session.company.clone());
    view! {
        <a class="skip-link" href="#content">
            "Skip to content"
        </a>
        <header class="top-bar">
            <button type="button" class="btn-icon nav-button" popovertarget="navigation" aria-label="Navigation" title="Navigation">
                <Icon name=IconName::Menu/>
            </button>
            <a class="brand" href="/">
                <Icon name=IconName::Shield/>
                <span>"Gatehouse"</span>
            </a>
            {company.map(|name| view! { <span class="company-name" title="Your company">{name}</span> })}
            <span class="spacer"></span>
            <ThemeSwitch/>
            {session.map(|session| view! { <PersonMenu session/> })}
        </header>
        <div class="frame">
            <nav class="side-nav" id="navigation" aria-label="Main" popover>
                <button
                    type="button"
                    class="btn-icon nav-button nav-close"
                    popovertarget="navigation"
                    popovertargetaction="hide"
                    aria-label="Close the navigation"
                    title="Close"
                >
                    <Icon name=IconName::Close/>
                </button>
                <p class="nav-heading">
                    <Icon name=IconName::Building/>
                    "Company"
                </p>
                <p class="nav-subheading">"Company Settings"</p>
                <ul>
                    <NavItem href="/company/settings/proxies" label="Proxy Settings" icon=IconName::Proxy/>
                    <NavItem href="/company/settings/checks" label="Health Checks" icon=IconName::CheckCircle/>
                </ul>
                <p class="nav-heading mt-4">
                    <Icon name=IconName::Shield/>
                    "Incident Responder"
                </p>
                <ul>
                    <NavItem href="/incident-responder/integrations" label="Integrations" icon=IconName::Plug/>
                    <NavItem href="/incident-responder/analyses" label="Analyses" icon=IconName::Scan/>
                    <NavItem href="/incident-responder/traffic" label="Traffic" icon=IconName::Activity/>
                </ul>
            </nav>
            <main class="content" id="content" tabindex="-1">
                {children()}
            </main>
        </div>
        <ToastArea/>
    }
    .into_any()
}

/// A link of the navigation; marked while the page is there or below.
#[component]
fn NavItem(href: &'static str, label: &'static str, icon: IconName) -> impl IntoView {
    let (path, _) = use_path();
    let current = match path.strip_prefix(href) {
        Some("") => Some("page"),
        Some(rest) if rest.starts_with('/') => Some("true"),
        _ => None,
    };
    view! {
        <li>
            <a class="nav-link" href=href aria-current=current>
                <Icon name=icon/>
                {label}
            </a>
        </li>
    }
    .into_any()
}

#[component]
fn PersonMenu(session: SessionView) -> impl IntoView {
    let initials = initials(&session.name);
    let label = format!("Your account: {}", session.name);
    view! {
        <button type="button" class="avatar" popovertarget="person-menu" aria-label=label title=session.name.clone()>
            <span aria-hidden="true">{initials}</span>
        </button>
        <div class="person-menu" id="person-menu" popover>
            <div class="person">
                <p class="person-name">{session.name}</p>
                <p class="subtle">{session.email}</p>
                <p class="subtle">{session.role.label()}" at "{session.company}</p>
            </div>
            <ul>
                <li>
                    <a class="menu-item" href="/profile/tokens">
                        <Icon name=IconName::Key/>
                        "API tokens"
                    </a>
                </li>
                <li>
                    <form method="post" action="/sign-out">
                        <button class="menu-item" type="submit">
                            <Icon name=IconName::SignOut/>
                            "Sign out"
                        </button>
                    </form>
                </li>
            </ul>
        </div>
    }
    .into_any()
}

/// The first letters of the first and the last word.
fn initials(name: &str) -> String {
    let mut words = name.split_whitespace();
    let first = words.next().and_then(|word| word.chars().next());
    let last = words.next_back().and_then(|word| word.chars().next());
    first.into_iter().chain(last).flat_map(char::to_uppercase).collect()
}

/// Chooses between the system's theme, light and dark. A form that comes back to this page; with JavaScript the theme changes in place
/// (`browser::theme`).
#[component]
pub fn ThemeSwitch() -> impl IntoView {
    let theme = use_theme();
    let (path, search) = use_path();
    let back = if search.is_empty() { path } else { format!("{path}?{search}") };
    let option = |value: &'static str, label: &'static str, icon: IconName| {
        view! {
            <button
                type="submit"
                name="theme"
                value=value
                class="theme-option"
                aria-label=label
                title=label
                aria-pressed=if theme == value { "true" } else { "false" }
            >
                <Icon name=icon/>
            </button>
        }
    };
    view! {
        <form class="theme-form" method="post" action="/theme">
            <input type="hidden" name="back" value=back/>
            <div class="theme-switch" role="group" aria-label="Theme">
                {option("", "Theme of the system", IconName::Monitor)}
                {option("light", "Light theme", IconName::Sun)}
                {option("dark", "Dark theme", IconName::Moon)}
            </div>
        </form>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::initials;

    #[test]
    fn initials_of_all_kinds_of_names() {
        for (name, expected) in
            [("Ada Lovelace", "AL"), ("ada", "A"), ("Jean Paul van Damme", "JD"), ("", ""), ("ärzte ßen", "ÄSS")]
        {
            assert_eq!(initials(name), expected);
        }
    }
}
