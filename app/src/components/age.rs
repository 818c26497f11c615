//! A moment, told relative to now.

use gatehouse_domain::Timestamp;
use leptos::prelude::*;

/// The moment in UTC; the browser makes "3 minutes ago" of it (`browser::ages`).
#[component]
pub fn Age(
    /// The moment.
    at: Timestamp,
) -> impl IntoView {
    let absolute = at.format("%Y-%m-%d %H:%M UTC").to_string();
    let machine = at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let title = absolute.clone();
    view! {
        <time data-age="" datetime=machine title=title>
            {absolute}
        </time>
    }
    .into_any()
}

/// A day; the moment as a tooltip. In UTC: the server does not know where the person is.
#[component]
pub fn Day(
    /// The moment.
    at: Timestamp,
) -> impl IntoView {
    view! {
        <time class="whitespace-nowrap" datetime=at.format("%Y-%m-%dT%H:%M:%SZ").to_string() title=at.format("%Y-%m-%d %H:%M UTC").to_string()>
            {at.format("%Y-%m-%d").to_string()}
        </time>
    }
    .into_any()
}
