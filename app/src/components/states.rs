//! What a page shows when it has nothing, is waiting, or failed; and badges.

use gatehouse_domain::{AppError, Health};
use leptos::prelude::*;

use super::{
    button::{Button, Spinner},
    icon::{Icon, IconName},
    messages::Kind,
};
use crate::{app::encode, page::use_path};

/// A short word about a thing's state. Always a word: never the colour alone.
#[component]
pub fn Badge(
    /// Its colour.
    #[prop(optional)]
    kind: Kind,
    /// An icon before the word.
    #[prop(optional)]
    icon: Option<IconName>, /// The word.
    children: Children,
) -> impl IntoView {
    let class = match kind {
        Kind::Neutral => "tag",
        Kind::Info => "tag tag-info",
        Kind::Success => "tag tag-success",
        Kind::Warning => "tag tag-warning",
        Kind::Error => "tag tag-error",
    };
    view! { <span class=class>{icon.map(|name| view! { <Icon name/> })} {children()}</span> }.into_any()
}

/// How an integration or a proxy setting is.
#[component]
pub fn HealthBadge(
    /// How.
    health: Health,
) -> impl IntoView {
    let (kind, icon) = match health {
        Health::Healthy => (Kind::Success, IconName::CheckCircle),
        Health::Degraded => (Kind::Warning, IconName::Warning),
        Health::Down => (Kind::Error, IconName::XCircle),
        Health::Inactive => (Kind::Neutral, IconName::Minus),
    };
    view! {
        <Badge kind icon>
            {health.label()}
        </Badge>
    }
    .into_any()
}

/// There is nothing here yet, or nothing fits the search: what that means and what to do about it.
#[component]
pub fn EmptyState(
    /// What it shows.
    icon: IconName, /// What is the case.
    #[prop(into)]
    title: String,
    /// What it means and what to do.
    #[prop(into)]
    text: String,
    /// Buttons.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <div class="state">
            <span class="state-icon">
                <Icon name=icon/>
            </span>
            <h2>{title}</h2>
            <p>{text}</p>
            {children.map(|children| view! { <div class="actions">{children()}</div> })}
        </div>
    }
    .into_any()
}

/// Something could not be shown: why, and how to go on.
#[component]
pub fn ErrorState(
    /// Why.
    error: AppError,
) -> impl IntoView {
    let title = match &error {
        AppError::NotFound => "Not found",
        AppError::Unauthorized => "You are signed out",
        AppError::Forbidden => "Not allowed",
        AppError::Unreachable => "No connection",
        AppError::Unavailable => "Not available right now",
        _ => "This did not work",
    };
    let again = matches!(error, AppError::Unavailable | AppError::Unreachable | AppError::Internal(_));
    let action = if error == AppError::Unauthorized {
        // The page that is open still knows somebody as signed in: only a new one asks the server.
        let next = format!("/sign-in?next={}", encode(&use_path().0));
        view! { <a class="btn btn-primary" href=next>"Sign in"</a> }.into_any()
    } else if again {
        // A form that asks for this page again: works without JavaScript too.
        view! {
            <form method="get">
                <Button>
                    <Icon name=IconName::Refresh/>
                    "Try again"
                </Button>
            </form>
        }
        .into_any()
    } else {
        ().into_any()
    };
    view! {
        <div class="state" role="alert">
            <span class="state-icon state-icon-error">
                <Icon name=IconName::Warning/>
            </span>
            <h2>{title}</h2>
            <p>{error.to_string()}</p>
            <div class="actions">{action}</div>
        </div>
    }
    .into_any()
}

/// Stands in for what is loading. Says so to screen readers.
#[component]
pub fn Skeleton(
    /// How many lines.
    #[prop(default = 3)]
    lines: usize,
    /// What is being waited for.
    #[prop(default = "Loading…")]
    label: &'static str,
) -> impl IntoView {
    let bars = (0..lines).map(|_| view! { <div class="bar" aria-hidden="true"></div> }).collect_view();
    view! {
        <div class="loading-state" role="status">
            <p><Spinner/> {label}</p>
            {bars}
        </div>
    }
    .into_any()
}
