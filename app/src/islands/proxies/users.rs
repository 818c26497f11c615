//! Who uses a setting.

use gatehouse_domain::{UsedBy, Via};
use leptos::prelude::*;

/// Who uses a setting: each with a link to where it can be given another one.
#[component]
pub fn Users(
    /// Who.
    users: Vec<UsedBy>,
) -> impl IntoView {
    let items = users
        .into_iter()
        .map(|user| {
            let how = match user.via {
                Via::Setting if user.kind == "proxy" => " (falls back to it)",
                Via::Setting if user.kind == "gateway" => " (the gateway's policy)",
                Via::Setting => "",
                Via::Default => " (uses the default proxy)",
            };
            let name = match home(&user) {
                Some(href) => view! { <a class="link" href=href>{user.name}</a> }.into_any(),
                None => view! { <span>{user.name}</span> }.into_any(),
            };
            view! { <li>{name} {how}</li> }
        })
        .collect_view();
    view! { <ul class="m-0 list-disc pl-5">{items}</ul> }.into_any()
}

/// The page of a consumer, where there is one.
fn home(user: &UsedBy) -> Option<String> {
    match user.kind.as_str() {
        "integration" => Some(format!("/incident-responder/integrations/{}", user.id)),
        "proxy" => Some(super::urls::edit(&user.id)),
        "webhook" => Some("/company/settings/checks".to_string()),
        _ => None,
    }
}
