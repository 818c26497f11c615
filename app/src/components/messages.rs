//! Messages: toasts for a result, banners for what persists, flash messages for what happened before a redirect.

use std::{cell::Cell, time::Duration};

use leptos::{prelude::*, wasm_bindgen::JsValue};

use super::icon::{Icon, IconName};
use crate::browser;

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
        "session-ended" => "The session is ended. Whoever used it is signed out.",
        "other-sessions-ended" => "All your other sessions are ended.",
        "password-changed" => "Your password is changed, and your other sessions are ended.",
        "second-factor-removed" => "One-time passwords are off.",
        "created" => "The proxy setting was created.",
        "saved" => "Your changes are saved.",
        "deleted" => "The proxy setting was deleted.",
        "duplicated" => "The proxy setting was duplicated. The copy is not the default.",
        "default" => "The default proxy was changed.",
        "joined" => "Welcome to Gatehouse.",
        "person-removed" => "The person was removed: they are signed out, and their API tokens no longer work.",
        "invitation-withdrawn" => "The invitation is withdrawn. Its link no longer works.",
        "company-created" => "The company was created. Invite its first administrator.",
        "company-suspended" => "The company is suspended: nobody of it can sign in.",
        "company-resumed" => "The company can be used again.",
        "company-deleted" => "The company is suspended, and is deleted when the waiting time is over.",
        "checks-saved" => "The health checks are saved.",
        "integration-created" => "The integration was created.",
        "integration-deleted" => "The integration was deleted. Its results stay with their analyses.",
        "integration-duplicated" => "The integration was duplicated. The copy is inactive.",
        "activated" => "The integration is active: it takes part in analyses.",
        "deactivated" => "The integration is inactive: it is not asked any more.",
        _ => return None,
    })
}

#[derive(Debug, Clone, PartialEq)]
struct Toast {
    id: u32,
    kind: Kind,
    text: String,
}

/// The page's toasts.
#[derive(Debug, Clone, Copy)]
struct Toasts {
    list: RwSignal<Vec<Toast>>,
    next: StoredValue<u32>,
    /// The pointer or the focus is on a toast: nothing disappears meanwhile.
    held: RwSignal<bool>,
}

thread_local! {
    /// A page has one region, and every island may have something to say.
    static TOASTS: Cell<Option<Toasts>> = const { Cell::new(None) };
}

/// It worked.
pub fn toast_success(text: &str) {
    toast(Kind::Success, text);
}

/// It did not work.
pub fn toast_error(text: &str) {
    toast(Kind::Error, text);
}

fn toast(kind: Kind, text: &str) {
    if let Some(toasts) = TOASTS.get() {
        toasts.push(kind, text.to_string());
    }
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
                if self.held.get_untracked() {
                    self.expire_after(id, Duration::from_secs(2));
                } else {
                    self.dismiss(id);
                }
            },
            time,
        );
    }

    fn dismiss(self, id: u32) {
        self.list.update(|list| list.retain(|toast| toast.id != id));
    }
}

/// Where toasts appear, with the flash message of the URL as the first. Every page ends with it.
#[cfg(feature = "ssr")]
#[component]
pub fn ToastArea() -> impl IntoView {
    let (_, search) = crate::page::use_path();
    let code = search.split('&').find_map(|pair| pair.strip_prefix("flash="));
    let flash = code.and_then(flash_message).unwrap_or_default().to_string();
    view! { <ToastRegion flash/> }.into_any()
}

/// See [`ToastArea`]. The last island of a page: when it is there, all are.
#[island]
pub fn ToastRegion(
    /// The first message; empty when there is none.
    flash: String,
) -> impl IntoView {
    let first = (!flash.is_empty()).then_some(Toast { id: 0, kind: Kind::Success, text: flash });
    let has_first = first.is_some();
    let toasts =
        Toasts { list: RwSignal::new(first.into_iter().collect()), next: StoredValue::new(1), held: RwSignal::new(false) };
    // Effects run in the browser only.
    Effect::new(move |_| {
        TOASTS.set(Some(toasts));
        if has_first {
            toasts.expire(0, Kind::Success);
            take_flash_out_of_the_address();
        }
        browser::ready();
    });
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
            {move || toasts.list.get().into_iter().map(|toast| view! { <ToastCard toasts toast/> }.into_any()).collect_view()}
        </div>
    }
    .into_any()
}

#[component]
fn ToastCard(toasts: Toasts, toast: Toast) -> impl IntoView {
    view! {
        <div class=format!("toast-card {}", toast.kind.class())>
            <Icon name=toast.kind.icon()/>
            <p class="notice-body">{toast.text}</p>
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
    }
    .into_any()
}

/// Or the message would come back with every reload.
fn take_flash_out_of_the_address() {
    let here = browser::path_and_search();
    let Some((path, search)) = here.split_once('?') else { return };
    let rest: Vec<_> = search.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("flash=")).collect();
    let to = if rest.is_empty() { path.to_string() } else { format!("{path}?{}", rest.join("&")) };
    if let Ok(history) = window().history() {
        drop(history.replace_state_with_url(&JsValue::NULL, "", Some(&to)));
    }
}
