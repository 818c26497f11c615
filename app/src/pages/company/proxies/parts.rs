//! Small parts that several of these pages show.

use gatehouse_domain::{Health, LastTest};
use leptos::prelude::*;

use crate::components::{Age, Badge, HealthBadge, IconName, Kind};

/// How the last test of a saved setting ended: a word, its age, and the cause when it failed.
#[component]
pub fn LastTestNote(
    /// None when it was never tested.
    last: Option<LastTest>,
    /// How the setting is by its last tests; said where it adds something to the last one.
    #[prop(optional_no_strip)]
    health: Option<Health>,
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
                {health.filter(|health| *health == Health::Down).map(|health| view! { <HealthBadge health/> })}
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

/// "3 users", in words.
#[must_use]
pub fn count(users: usize) -> String {
    if users == 1 { "1 user".into() } else { format!("{users} users") }
}
