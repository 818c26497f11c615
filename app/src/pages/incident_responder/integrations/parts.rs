//! Small parts that several of these pages show.

use gatehouse_domain::{Health, IntegrationStatus, IntegrationTest, IntegrationView, ProxyChoice};
use leptos::prelude::*;

use crate::components::{Age, Badge, HealthBadge, IconName, Kind};

/// What a proxy choice means now, in words.
pub(crate) fn proxy_label(choice: &ProxyChoice, name: Option<&str>) -> String {
    match (choice, name) {
        (ProxyChoice::Default, Some(name)) => format!("Default Proxy ({name})"),
        (ProxyChoice::Default, None) => "Default Proxy (none set: direct)".to_string(),
        (ProxyChoice::None, _) => "No Proxy".to_string(),
        (ProxyChoice::Setting { .. }, Some(name)) => name.to_string(),
        (ProxyChoice::Setting { .. }, None) => "a proxy setting that is gone".to_string(),
    }
}

/// Whether it takes part, and how it is.
#[component]
pub(super) fn StatusNote(
    /// Whose.
    item: IntegrationView,
) -> impl IntoView {
    let (kind, icon) = match item.status {
        IntegrationStatus::Active => (Kind::Info, IconName::Check),
        IntegrationStatus::Inactive => (Kind::Neutral, IconName::Minus),
    };
    let health = item.health.filter(|health| *health != Health::Inactive).map(|health| view! { <HealthBadge health/> });
    view! {
        <span class="flex flex-wrap gap-1">
            <Badge kind icon>
                {item.status.label()}
            </Badge>
            {health}
        </span>
    }
    .into_any()
}

/// How the last test of a saved integration ended: a word, its age, the cause when it failed, and which way it went.
#[component]
pub(super) fn LastResult(
    /// None when it was never tested.
    last: Option<IntegrationTest>,
) -> impl IntoView {
    let Some(last) = last else { return view! { <span class="subtle">"never tested"</span> }.into_any() };
    let (kind, icon, word) =
        if last.ok { (Kind::Success, IconName::CheckCircle, "ok") } else { (Kind::Error, IconName::XCircle, "failed") };
    let cause = last.cause.map(|cause| view! { <span title=last.message.clone()>{cause.label()}</span> });
    let route = last.route.map(|route| view! { <span class="subtle wrap-anywhere">{route.label()}</span> });
    view! {
        <div class="grid justify-items-start gap-0.5 text-left text-sm">
            <span class="flex flex-wrap items-center gap-x-2">
                <Badge kind icon>
                    {word}
                </Badge>
                <span class="subtle">
                    <Age at=last.at/>
                </span>
            </span>
            {cause}
            {route}
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_says_what_it_means_now() {
        let setting = ProxyChoice::Setting { id: "1".into() };
        for (choice, name, expected) in [
            (&ProxyChoice::Default, Some("Corp-EU"), "Default Proxy (Corp-EU)"),
            (&ProxyChoice::Default, None, "Default Proxy (none set: direct)"),
            (&ProxyChoice::None, None, "No Proxy"),
            (&setting, Some("Corp-EU"), "Corp-EU"),
        ] {
            assert_eq!(proxy_label(choice, name), expected);
        }
    }
}
