//! There is no such page.

use gatehouse_domain::Role;
use leptos::prelude::*;
use leptos_meta::Title;

use crate::{
    components::{ButtonKind, CardPage, LinkButton},
    page::use_session,
};

/// 404: says so, also in the status.
#[component]
pub fn NotFoundPage() -> impl IntoView {
    #[cfg(feature = "ssr")]
    if let Some(response) = use_context::<leptos_axum::ResponseOptions>() {
        response.set_status(http::StatusCode::NOT_FOUND);
    }
    let (label, href) = match use_session().map(|session| session.role) {
        Some(Role::Provider) => ("Go to Companies", "/"),
        Some(_) => ("Go to Proxy Settings", "/"),
        None => ("Go to sign-in", "/sign-in"),
    };
    view! {
        <Title text="Page not found"/>
        <CardPage title="Page not found" subtitle="There is nothing at this address. It may have been moved or deleted, or the link has a mistake.">
            <LinkButton href kind=ButtonKind::Primary>
                {label}
            </LinkButton>
        </CardPage>
    }
    .into_any()
}
