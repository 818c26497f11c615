//! The layout of pages outside the console: one card in the middle.

use leptos::prelude::*;

use super::{
    frame::ThemeSwitch,
    icon::{Icon, IconName},
    messages::ToastArea,
};

/// A page with one thing to do: signing in, setting up.
#[component]
pub fn CardPage(
    /// The page's heading.
    #[prop(into)]
    title: String,
    /// What it is for.
    #[prop(optional, into)]
    subtitle: Option<String>, /// The form.
    children: Children,
) -> impl IntoView {
    view! {
        <div class="card-page">
            <header class="card-page-top">
                <span class="brand">
                    <Icon name=IconName::Shield/>
                    "Gatehouse"
                </span>
                <ThemeSwitch/>
            </header>
            <main id="content" class="card-page-main" tabindex="-1">
                <div class="card-page-card">
                    <h1 tabindex="-1">{title}</h1>
                    {subtitle.map(|text| view! { <p class="subtle">{text}</p> })}
                    {children()}
                </div>
            </main>
            <ToastArea/>
        </div>
    }
    .into_any()
}
