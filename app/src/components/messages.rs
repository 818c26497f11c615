//! Messages: toasts for a result, banners for what persists, flash messages for what happened before a redirect.

use std::time::Duration;

use leptos::prelude::*;
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
};

use super::icon::{Icon, IconName};

/// What a message or badge is about. Always shown with an icon or a word too, never by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Nothing in particular.
    #[default]
    Neutral,
    /// Good to know.
    Info,
    /// It worked.
    Success,
    /// Look out.
    Warning,
    /// It did not work.
    Error,
}

impl Kind {
    /// Its icon.
    #[must_use]
    pub fn icon(self) -> IconName {
        match self {
            Self::Neutral | Self::Info => IconName::Info,
            Self::Success => IconName::CheckCircle,
            Self::Warning => IconName::Warning,
            Self::Error => IconName::XCircle,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Neutral => "notice",
            Self::Info => "notice notice-info",
            Self::Success => "notice notice-success",
            Self::Warning => "notice notice-warning",
            Self::Error => "notice notice-error",
        }
    }
}

/// Stays on the page until what it is about is over. Errors are read out at once.
#[component]
pub fn Banner(
    /// What it is about.
    kind: Kind, /// The message in a few words.
    #[prop(into)]
    title: String,
    /// More, and what to do.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    let role = match kind {
        Kind::Error => "alert",
        Kind::Warning | Kind::Success => "status",
        Kind::Info | Kind::Neutral => "note",
    };
    view! {
        <div class=kind.class() role=role>
            <Icon name=kind.icon()/>
            <div class="notice-body">
                <p class="notice-title">{title}</p>
                {children.map(|children| children())}
            </div>
        </div>
    }
    .into_any()
}

/// What a `?flash=` in the URL says: after a redirect, with and without JavaScript. Codes, not texts, so that a link from
/// elsewhere can't put words in our mouth.
#[must_use]
pub fn flash_message(code: &str) -> Option<&'static str> {
    Some(match code {
        "welcome" => "Everything is set up. Welcome to Gatehouse.",
        "signed-in" => "You are signed in.",
        "signed-out" => "You are signed out.",
        "token-revoked" => "The API token is revoked. It no longer works.",
        "created" => "The proxy setting was created.",
        "saved" => "Your changes are saved.",
        "deleted" => "The proxy setting was deleted.",
        "duplicated" => "The proxy setting was duplicated. The copy is not the default.",
        "default" => "The default proxy was changed.",
        _ => return None,
    })
}

#[derive(Debug, Clone, PartialEq)]
struct Toast {
    id: u32,
    kind: Kind,
    text: String,
}

/// Says what came of something. Get it with [`use_toasts`].
#[derive(Debug, Clone, Copy)]
pub struct Toasts {
    list: RwSignal<Vec<Toast>>,
    next: StoredValue<u32>,
    /// The pointer or the focus is on a toast: nothing disappears meanwhile.
    held: RwSignal<bool>,
}

impl Toasts {
    fn push(self, kind: Kind, text: String) {
        let id = self.next.get_value();
        self.next.set_value(id + 1);
        self.list.update(|list| {
            // The same again would only pile up.
            list.retain(|toast| toast.text != text);
            list.push(Toast { id, kind, text });
        });
        self.expire(id, kind);
    }

    /// Success goes by itself, not before it can be read; an error stays until it is dismissed.
    fn expire(self, id: u32, kind: Kind) {
        if kind != Kind::Error {
            self.expire_after(id, Duration::from_secs(8));
        }
    }

    fn expire_after(self, id: u32, time: Duration) {
        set_timeout(
            move || {
                if self.held.try_get_untracked() == Some(true) {
                    self.expire_after(id, Duration::from_secs(2));
                } else {
                    self.dismiss(id);
                }
            },
            time,
        );
    }

    fn dismiss(self, id: u32) {
        self.list.try_update(|list| list.retain(|toast| toast.id != id));
    }

    /// It worked.
    pub fn success(self, text: impl Into<String>) {
        self.push(Kind::Success, text.into());
    }

    /// It did not work.
    pub fn error(self, text: impl Into<String>) {
        self.push(Kind::Error, text.into());
    }
}

/// Provided by the app around all pages.
///
/// # Panics
/// Outside of the app.
#[must_use]
pub fn use_toasts() -> Toasts {
    expect_context()
}

/// Sets toasts up, with the flash message of the URL as the first: called once by the app, inside the router.
pub(crate) fn provide_toasts() {
    let flash = use_query_map().with_untracked(|query| query.get("flash")).and_then(|code| flash_message(&code));
    let first = flash.map(|text| Toast { id: 0, kind: Kind::Success, text: text.to_string() });
    let toasts =
        Toasts { list: RwSignal::new(first.into_iter().collect()), next: StoredValue::new(1), held: RwSignal::new(false) };
    provide_context(toasts);

    // Once it is shown it leaves the URL, or it would come back with every reload.
    let location = use_location();
    let navigate = use_navigate();
    let query = use_query_map();
    Effect::new(move |shown: Option<bool>| {
        let Some(code) = query.with(|query| query.get("flash")) else { return true };
        if shown.is_none() && flash_message(&code).is_some() {
            toasts.expire(0, Kind::Success);
        } else if let Some(text) = flash_message(&code) {
            toasts.success(text);
        }
        let search = location.search.get_untracked();
        let rest: Vec<_> =
            search.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("flash=")).collect();
        let mut to = location.pathname.get_untracked();
        if !rest.is_empty() {
            to = format!("{to}?{}", rest.join("&"));
        }
        navigate(&to, NavigateOptions { replace: true, scroll: false, resolve: false, ..NavigateOptions::default() });
        true
    });
}

/// Where toasts appear.
#[component]
pub fn ToastRegion() -> impl IntoView {
    let toasts = use_toasts();
    view! {
        <div
            class="toasts"
            role="status"
            aria-live="polite"
            on:pointerenter=move |_| toasts.held.set(true)
            on:pointerleave=move |_| toasts.held.set(false)
            on:focusin=move |_| toasts.held.set(true)
            on:focusout=move |_| toasts.held.set(false)
        >
            <For each=move || toasts.list.get() key=|toast| toast.id let:toast>
                <div class=format!("toast-card {}", toast.kind.class())>
                    <Icon name=toast.kind.icon()/>
                    <p class="notice-body">{toast.text.clone()}</p>
                    <button
                        type="button"
                        class="btn-icon js-only"
                        aria-label="Dismiss this message"
                        title="Dismiss"
                        on:click=move |_| {
                            toasts.held.set(false);
                            toasts.dismiss(toast.id);
                        }
                    >
                        <Icon name=IconName::Close/>
                    </button>
                </div>
            </For>
        </div>
    }
    .into_any()
}
