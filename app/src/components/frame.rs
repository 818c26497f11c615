//! The frame around every page of the console: navigation, the person's menu, the theme.
//!
//! Menus are native popovers: they open, close with Esc or a click elsewhere and give the focus back without any script.

use gatehouse_domain::{Operation, Role, SessionView};
use leptos::prelude::*;

use super::{
    icon::{Icon, IconName},
    messages::ToastArea,
};
use crate::page::{use_path, use_session, use_theme};

/// A page of the navigation, and what whoever opens it must be allowed.
struct NavPage {
    href: &'static str,
    label: &'static str,
    icon: IconName,
    operation: Operation,
}

/// Pages under one heading.
struct NavSection {
    heading: &'static str,
    icon: IconName,
    subheading: Option<&'static str>,
    pages: &'static [NavPage],
}

const fn nav(href: &'static str, label: &'static str, icon: IconName, operation: Operation) -> NavPage {
    NavPage { href, label, icon, operation }
}

const PEOPLE: NavPage = nav("/company/settings/people", "People", IconName::User, Operation::ListPeople);
const AUDIT: NavPage = nav("/company/settings/audit", "Audit Log", IconName::Clock, Operation::ListAudit);

/// The console of a company.
const COMPANY: &[NavSection] = &[
    NavSection {
        heading: "Company",
        icon: IconName::Building,
        subheading: Some("Company Settings"),
        pages: &[
            nav("/company/settings/proxies", "Proxy Settings", IconName::Proxy, Operation::ListProxies),
            nav("/company/settings/checks", "Health Checks", IconName::CheckCircle, Operation::GetChecks),
            PEOPLE,
            AUDIT,
        ],
    },
    NavSection {
        heading: "Incident Responder",
        icon: IconName::Shield,
        subheading: None,
        pages: &[
            nav("/incident-responder/integrations", "Integrations", IconName::Plug, Operation::ListIntegrations),
            nav("/incident-responder/analyses", "Analyses", IconName::Scan, Operation::ListAnalyses),
            nav("/incident-responder/traffic", "Traffic", IconName::Activity, Operation::ListTraffic),
        ],
    },
];

/// The console of whoever runs the installation for others.
const PROVIDER: &[NavSection] = &[NavSection {
    heading: "Provider",
    icon: IconName::Building,
    subheading: None,
    pages: &[nav("/provider/companies", "Companies", IconName::Building, Operation::ListCompanies), PEOPLE, AUDIT],
}];

/// What the page at `path` is called, when it is not for this role.
pub(crate) fn refused_page(path: &str, role: Role) -> Option<&'static str> {
    let pages = COMPANY.iter().chain(PROVIDER).flat_map(|section| section.pages);
    let page = pages
        .into_iter()
        .find(|page| path.strip_prefix(page.href).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))?;
    (!page.operation.is_for(role)).then_some(page.label)
}

/// The layout of signed-in pages. Set up once in the app, around all of them: pages hold their content alone.
#[component]
pub fn Frame(
    /// The page.
    children: Children,
) -> impl IntoView {
    let session = use_session();
    let company = session.as_ref().map(|session| session.company.clone());
    let sections = session.as_ref().map(|session| navigation(session.role));
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
                {sections}
            </nav>
            <main class="content" id="content" tabindex="-1">
                {children()}
            </main>
        </div>
        <ToastArea/>
    }
    .into_any()
}

/// What somebody of this role may see.
fn navigation(role: Role) -> Vec<AnyView> {
    let sections = if role == Role::Provider { PROVIDER } else { COMPANY };
    let section = |(index, section): (usize, &'static NavSection)| {
        let pages = section.pages.iter().filter(|page| page.operation.is_for(role));
        let items: Vec<_> =
            pages.map(|page| view! { <NavItem href=page.href label=page.label icon=page.icon/> }.into_any()).collect();
        view! {
            <p class=if index == 0 { "nav-heading" } else { "nav-heading mt-4" }>
                <Icon name=section.icon/>
                {section.heading}
            </p>
            {section.subheading.map(|text| view! { <p class="nav-subheading">{text}</p> })}
            <ul>{items}</ul>
        }
        .into_any()
    };
    sections.iter().enumerate().map(section).collect()
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
                    <a class="menu-item" href="/profile/security">
                        <Icon name=IconName::Lock/>
                        "Sign-in and security"
                    </a>
                </li>
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
    use gatehouse_domain::Role;

    use super::{initials, refused_page};

    #[test]
    fn pages_are_for_roles() {
        for (path, role, expected) in [
            ("/provider/companies", Role::Owner, Some("Companies")),
            ("/provider/companies/1/delete", Role::Auditor, Some("Companies")),
            ("/provider/companies", Role::Provider, None),
            ("/company/settings/proxies/new", Role::Provider, Some("Proxy Settings")),
            ("/incident-responder/traffic", Role::Provider, Some("Traffic")),
            ("/company/settings/people", Role::Provider, None),
            ("/company/settings/people/1", Role::Auditor, None),
            ("/company/settings/proxies-of-mine", Role::Provider, None),
        ] {
            assert_eq!(refused_page(path, role), expected, "{path} {role:?}");
        }
    }

    #[test]
    fn initials_of_all_kinds_of_names() {
        for (name, expected) in
            [("Ada Lovelace", "AL"), ("ada", "A"), ("Jean Paul van Damme", "JD"), ("", ""), ("ärzte ßen", "ÄSS")]
        {
            assert_eq!(initials(name), expected);
        }
    }
}
