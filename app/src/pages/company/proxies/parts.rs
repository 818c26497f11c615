//! Small parts that several of these pages show.

use gatehouse_domain::{LastTest, Timestamp};
use leptos::prelude::*;

use crate::components::{Age, Badge, IconName, Kind};

/// How the last test of a saved setting ended: a word, its age, and the cause when it failed.
#[component]
pub fn LastTestNote(
    /// None when it was never tested.
    last: Option<LastTest>,
) -> impl IntoView {
    let Some(last) = last else { return view! { <span class="subtle">"never tested"</span> }.into_any() };
    let (kind, icon, word) =
        if last.ok { (Kind::Success, IconName::CheckCircle, "ok") } else { (Kind::Error, IconName::XCircle, "failed") };
    view! {
        <div class="grid min-w-32 justify-items-start gap-0.5 text-left">
            <span class="flex flex-wrap items-center gap-x-2">
                <Badge kind icon>
                    {word}
                </Badge>
                <span class="subtle text-sm">
                    <Age at=last.at/>
                </span>
            </span>
            {(!last.ok)
                .then(|| {
                    let title = last.message.clone();
                    view! { <span class="line-clamp-3 text-sm" title=title>{last.message}</span> }
                })}
        </div>
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

/// "3 users", in words.
#[must_use]
pub fn count(users: usize) -> String {
    if users == 1 { "1 user".into() } else { format!("{users} users") }
}
