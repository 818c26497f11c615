//! Icons: the few of [Lucide](https://lucide.dev) (ISC licence) that the console uses, as inline SVG.
//!
//! They are decoration: hidden from screen readers, always beside a text or inside something with a label.

use leptos::prelude::*;

/// What there is to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IconName {
    /// Opens the navigation.
    Menu,
    /// Closes or dismisses.
    Close,
    /// The system's theme.
    Monitor,
    /// The light theme.
    Sun,
    /// The dark theme.
    Moon,
    /// Makes something new.
    Plus,
    /// Edits.
    Pencil,
    /// Deletes.
    Trash,
    /// Copies or duplicates.
    Copy,
    /// Tests.
    Play,
    /// Makes the default.
    Star,
    /// Passed, done.
    Check,
    /// Success.
    CheckCircle,
    /// Failure.
    XCircle,
    /// Warning.
    Warning,
    /// Information.
    Info,
    /// Skipped, nothing.
    Minus,
    /// Searches.
    Search,
    /// Next.
    ChevronRight,
    /// Opens.
    ChevronDown,
    /// Sorted upwards.
    ChevronUp,
    /// Can be sorted.
    ChevronsUpDown,
    /// Shows a password.
    Eye,
    /// Hides a password.
    EyeOff,
    /// API tokens.
    Key,
    /// Signs out.
    SignOut,
    /// A person.
    User,
    /// A company.
    Building,
    /// Proxy settings.
    Proxy,
    /// The product.
    Shield,
    /// Time, waiting.
    Clock,
    /// Filters.
    Filter,
    /// Tries again.
    Refresh,
    /// A secret, authentication.
    Lock,
    /// More actions.
    More,
    /// Leads elsewhere.
    ExternalLink,
    /// Integrations.
    Plug,
    /// Analyses.
    Scan,
    /// Traffic.
    Activity,
    /// Stops for a while.
    Pause,
    /// Starts again.
    Power,
}

impl IconName {
    /// All there are.
    pub const ALL: &[Self] = &[
        Self::Menu,
        Self::Close,
        Self::Monitor,
        Self::Sun,
        Self::Moon,
        Self::Plus,
        Self::Pencil,
        Self::Trash,
        Self::Copy,
        Self::Play,
        Self::Star,
        Self::Check,
        Self::CheckCircle,
        Self::XCircle,
        Self::Warning,
        Self::Info,
        Self::Minus,
        Self::Search,
        Self::ChevronRight,
        Self::ChevronDown,
        Self::ChevronUp,
        Self::ChevronsUpDown,
        Self::Eye,
        Self::EyeOff,
        Self::Key,
        Self::SignOut,
        Self::User,
        Self::Building,
        Self::Proxy,
        Self::Shield,
        Self::Clock,
        Self::Filter,
        Self::Refresh,
        Self::Lock,
        Self::More,
        Self::ExternalLink,
        Self::Plug,
        Self::Scan,
        Self::Activity,
        Self::Pause,
        Self::Power,
    ];

    /// Of its shape in the sprite.
    fn id(self) -> &'static str {
        match self {
            Self::Menu => "i-menu",
            Self::Close => "i-close",
            Self::Monitor => "i-monitor",
            Self::Sun => "i-sun",
            Self::Moon => "i-moon",
            Self::Plus => "i-plus",
            Self::Pencil => "i-pencil",
            Self::Trash => "i-trash",
            Self::Copy => "i-copy",
            Self::Play => "i-play",
            Self::Star => "i-star",
            Self::Check => "i-check",
            Self::CheckCircle => "i-check-circle",
            Self::XCircle => "i-x-circle",
            Self::Warning => "i-warning",
            Self::Info => "i-info",
            Self::Minus => "i-minus",
            Self::Search => "i-search",
            Self::ChevronRight => "i-chevron-right",
            Self::ChevronDown => "i-chevron-down",
            Self::ChevronUp => "i-chevron-up",
            Self::ChevronsUpDown => "i-chevrons-up-down",
            Self::Eye => "i-eye",
            Self::EyeOff => "i-eye-off",
            Self::Key => "i-key",
            Self::SignOut => "i-sign-out",
            Self::User => "i-user",
            Self::Building => "i-building",
            Self::Proxy => "i-proxy",
            Self::Shield => "i-shield",
            Self::Clock => "i-clock",
            Self::Filter => "i-filter",
            Self::Refresh => "i-refresh",
            Self::Lock => "i-lock",
            Self::More => "i-more",
            Self::ExternalLink => "i-external-link",
            Self::Plug => "i-plug",
            Self::Scan => "i-scan",
            Self::Activity => "i-activity",
            Self::Pause => "i-pause",
            Self::Power => "i-power",
        }
    }

    fn reference(self) -> String {
        format!(r##"<use href="#{}"></use>"##, self.id())
    }

    #[cfg(feature = "ssr")]
    fn paths(self) -> &'static str {
        match self {
            Self::Menu => r#"<path d="M4 12h16"></path><path d="M4 18h16"></path><path d="M4 6h16"></path>"#,
            Self::Close => r#"<path d="M18 6 6 18"></path><path d="m6 6 12 12"></path>"#,
            Self::Monitor => {
                r#"<rect width="20" height="14" x="2" y="3" rx="2"></rect><line x1="8" x2="16" y1="21" y2="21"></line><line x1="12" x2="12" y1="17" y2="21"></line>"#
            }
            Self::Sun => {
                r#"<circle cx="12" cy="12" r="4"></circle><path d="M12 2v2"></path><path d="M12 20v2"></path><path d="m4.93 4.93 1.41 1.41"></path><path d="m17.66 17.66 1.41 1.41"></path><path d="M2 12h2"></path><path d="M20 12h2"></path><path d="m6.34 17.66-1.41 1.41"></path><path d="m19.07 4.93-1.41 1.41"></path>"#
            }
            Self::Moon => r#"<path d="M12 3a6 6 0 0 0 9 9 9 9 0 1 1-9-9Z"></path>"#,
            Self::Plus => r#"<path d="M5 12h14"></path><path d="M12 5v14"></path>"#,
            Self::Pencil => {
                r#"<path d="M21.174 6.812a1 1 0 0 0-3.986-3.987L3.842 16.174a2 2 0 0 0-.5.83l-1.321 4.352a.5.5 0 0 0 .623.622l4.353-1.32a2 2 0 0 0 .83-.497z"></path><path d="m15 5 4 4"></path>"#
            }
            Self::Trash => {
                r#"<path d="M3 6h18"></path><path d="M19 6v14c0 1-1 2-2 2H7c-1 0-2-1-2-2V6"></path><path d="M8 6V4c0-1 1-2 2-2h4c1 0 2 1 2 2v2"></path><line x1="10" x2="10" y1="11" y2="17"></line><line x1="14" x2="14" y1="11" y2="17"></line>"#
            }
            Self::Copy => {
                r#"<rect width="14" height="14" x="8" y="8" rx="2" ry="2"></rect><path d="M4 16c-1.1 0-2-.9-2-2V4c0-1.1.9-2 2-2h10c1.1 0 2 .9 2 2"></path>"#
            }
            Self::Play => r#"<polygon points="6 3 20 12 6 21 6 3"></polygon>"#,
            Self::Star => {
                r#"<path d="M11.525 2.295a.53.53 0 0 1 .95 0l2.31 4.679a2.123 2.123 0 0 0 1.595 1.16l5.166.756a.53.53 0 0 1 .294.904l-3.736 3.638a2.123 2.123 0 0 0-.611 1.878l.882 5.14a.53.53 0 0 1-.771.56l-4.618-2.428a2.122 2.122 0 0 0-1.973 0L6.396 21.01a.53.53 0 0 1-.77-.56l.881-5.139a2.122 2.122 0 0 0-.611-1.879L2.16 9.795a.53.53 0 0 1 .294-.906l5.165-.755a2.122 2.122 0 0 0 1.597-1.16z"></path>"#
            }
            Self::Check => r#"<path d="M20 6 9 17l-5-5"></path>"#,
            Self::CheckCircle => r#"<circle cx="12" cy="12" r="10"></circle><path d="m9 12 2 2 4-4"></path>"#,
            Self::XCircle => r#"<circle cx="12" cy="12" r="10"></circle><path d="m15 9-6 6"></path><path d="m9 9 6 6"></path>"#,
            Self::Warning => {
                r#"<path d="m21.73 18-8-14a2 2 0 0 0-3.48 0l-8 14A2 2 0 0 0 4 21h16a2 2 0 0 0 1.73-3"></path><path d="M12 9v4"></path><path d="M12 17h.01"></path>"#
            }
            Self::Info => r#"<circle cx="12" cy="12" r="10"></circle><path d="M12 16v-4"></path><path d="M12 8h.01"></path>"#,
            Self::Minus => r#"<path d="M5 12h14"></path>"#,
            Self::Search => r#"<path d="m21 21-4.34-4.34"></path><circle cx="11" cy="11" r="8"></circle>"#,
            Self::ChevronRight => r#"<path d="m9 18 6-6-6-6"></path>"#,
            Self::ChevronDown => r#"<path d="m6 9 6 6 6-6"></path>"#,
            Self::ChevronUp => r#"<path d="m18 15-6-6-6 6"></path>"#,
            Self::ChevronsUpDown => r#"<path d="m7 15 5 5 5-5"></path><path d="m7 9 5-5 5 5"></path>"#,
            Self::Eye => {
                r#"<path d="M2.062 12.348a1 1 0 0 1 0-.696 10.75 10.75 0 0 1 19.876 0 1 1 0 0 1 0 .696 10.75 10.75 0 0 1-19.876 0"></path><circle cx="12" cy="12" r="3"></circle>"#
            }
            Self::EyeOff => {
                r#"<path d="M10.733 5.076a10.744 10.744 0 0 1 11.205 6.575 1 1 0 0 1 0 .696 10.747 10.747 0 0 1-1.444 2.49"></path><path d="M14.084 14.158a3 3 0 0 1-4.242-4.242"></path><path d="M17.479 17.499a10.75 10.75 0 0 1-15.417-5.151 1 1 0 0 1 0-.696 10.75 10.75 0 0 1 4.446-5.143"></path><path d="m2 2 20 20"></path>"#
            }
            Self::Key => {
                r#"<path d="M2.586 17.414A2 2 0 0 0 2 18.828V21a1 1 0 0 0 1 1h3a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h1a1 1 0 0 0 1-1v-1a1 1 0 0 1 1-1h.172a2 2 0 0 0 1.414-.586l.814-.814a6.5 6.5 0 1 0-4-4z"></path><circle cx="16.5" cy="7.5" r=".5" fill="currentColor"></circle>"#
            }
            Self::SignOut => {
                r#"<path d="m16 17 5-5-5-5"></path><path d="M21 12H9"></path><path d="M9 21H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2h4"></path>"#
            }
            Self::User => r#"<path d="M19 21v-2a4 4 0 0 0-4-4H9a4 4 0 0 0-4 4v2"></path><circle cx="12" cy="7" r="4"></circle>"#,
            Self::Building => {
                r#"<path d="M6 22V4a2 2 0 0 1 2-2h8a2 2 0 0 1 2 2v18Z"></path><path d="M6 12H4a2 2 0 0 0-2 2v6a2 2 0 0 0 2 2h2"></path><path d="M18 9h2a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-2"></path><path d="M10 6h4"></path><path d="M10 10h4"></path><path d="M10 14h4"></path><path d="M10 18h4"></path>"#
            }
            Self::Proxy => {
                r#"<circle cx="12" cy="4.5" r="2.5"></circle><path d="m10.2 6.3-3.9 3.9"></path><circle cx="4.5" cy="12" r="2.5"></circle><path d="M7 12h10"></path><circle cx="19.5" cy="12" r="2.5"></circle><path d="m13.8 17.7 3.9-3.9"></path><circle cx="12" cy="19.5" r="2.5"></circle>"#
            }
            Self::Shield => {
                r#"<path d="M20 13c0 5-3.5 7.5-7.66 8.95a1 1 0 0 1-.67-.01C7.5 20.5 4 18 4 13V6a1 1 0 0 1 1-1c2 0 4.5-1.2 6.24-2.72a1.17 1.17 0 0 1 1.52 0C14.51 3.81 17 5 19 5a1 1 0 0 1 1 1z"></path><path d="m9 12 2 2 4-4"></path>"#
            }
            Self::Clock => r#"<circle cx="12" cy="12" r="10"></circle><polyline points="12 6 12 12 16 14"></polyline>"#,
            Self::Filter => r#"<path d="M3 6h18"></path><path d="M7 12h10"></path><path d="M10 18h4"></path>"#,
            Self::Refresh => {
                r#"<path d="M3 12a9 9 0 0 1 9-9 9.75 9.75 0 0 1 6.74 2.74L21 8"></path><path d="M21 3v5h-5"></path><path d="M21 12a9 9 0 0 1-9 9 9.75 9.75 0 0 1-6.74-2.74L3 16"></path><path d="M8 16H3v5"></path>"#
            }
            Self::Lock => {
                r#"<rect width="18" height="11" x="3" y="11" rx="2" ry="2"></rect><path d="M7 11V7a5 5 0 0 1 10 0v4"></path>"#
            }
            Self::More => {
                r#"<circle cx="12" cy="12" r="1"></circle><circle cx="19" cy="12" r="1"></circle><circle cx="5" cy="12" r="1"></circle>"#
            }
            Self::ExternalLink => {
                r#"<path d="M15 3h6v6"></path><path d="M10 14 21 3"></path><path d="M18 13v6a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V8a2 2 0 0 1 2-2h6"></path>"#
            }
            Self::Plug => {
                r#"<path d="M12 22v-5"></path><path d="M9 8V2"></path><path d="M15 8V2"></path><path d="M18 8v5a4 4 0 0 1-4 4h-4a4 4 0 0 1-4-4V8Z"></path>"#
            }
            Self::Scan => {
                r#"<path d="M3 7V5a2 2 0 0 1 2-2h2"></path><path d="M17 3h2a2 2 0 0 1 2 2v2"></path><path d="M21 17v2a2 2 0 0 1-2 2h-2"></path><path d="M7 21H5a2 2 0 0 1-2-2v-2"></path><circle cx="12" cy="12" r="3"></circle><path d="m16 16-1.9-1.9"></path>"#
            }
            Self::Activity => {
                r#"<path d="M22 12h-2.48a2 2 0 0 0-1.93 1.46l-2.35 8.36a.25.25 0 0 1-.48 0L9.24 2.18a.25.25 0 0 0-.48 0l-2.35 8.36A2 2 0 0 1 4.49 12H2"></path>"#
            }
            Self::Pause => {
                r#"<rect x="14" y="4" width="4" height="16" rx="1"></rect><rect x="6" y="4" width="4" height="16" rx="1"></rect>"#
            }
            Self::Power => r#"<path d="M12 2v10"></path><path d="M18.4 6.6a9 9 0 1 1-12.77.04"></path>"#,
        }
    }
}

/// An icon as tall as the text around it, or as `class` says. The page holds its shape once ([`IconSprite`]).
#[component]
pub fn Icon(
    /// Which.
    name: IconName, /// More classes, such as a size (`size-5`).
    #[prop(optional)]
    class: &'static str,
) -> impl IntoView {
    let class = if class.is_empty() { "icon".to_string() } else { format!("icon {class}") };
    view! { <svg class=class aria-hidden="true" inner_html=name.reference()></svg> }.into_any()
}

/// The shapes of all icons, once at the start of every page: a list of a hundred rows names six hundred of them.
#[cfg(feature = "ssr")]
#[component]
pub fn IconSprite() -> impl IntoView {
    static SHAPES: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let shape = |icon: &IconName| format!(r#"<symbol id="{}" viewBox="0 0 24 24">{}</symbol>"#, icon.id(), icon.paths());
        IconName::ALL.iter().map(shape).collect()
    });
    view! { <svg class="sprite" aria-hidden="true" inner_html=SHAPES.as_str()></svg> }.into_any()
}
