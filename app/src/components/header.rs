//! The head of a page: where it is, what it is called, what can be done.

use leptos::prelude::*;

use super::icon::{Icon, IconName};

/// Where this page is. The last item is the page itself and needs no link.
#[component]
pub fn Breadcrumbs(
    /// What each step is called and where it leads.
    items: Vec<(String, Option<String>)>,
) -> impl IntoView {
    let last = items.len().saturating_sub(1);
    let items = items
        .into_iter()
        .enumerate()
        .map(|(index, (label, href))| {
            view! {
                <li>
                    {(index > 0).then(|| view! { <Icon name=IconName::ChevronRight/> })}
                    {match href {
                        Some(href) => view! { <a href=href>{label}</a> }.into_any(),
                        None => view! { <span aria-current=(index == last).then_some("page")>{label}</span> }.into_any(),
                    }}
                </li>
            }
        })
        .collect_view();
    view! {
        <nav class="crumbs" aria-label="Breadcrumb">
            <ol>{items}</ol>
        </nav>
    }
    .into_any()
}

/// The page's heading, with the page's actions (children) beside it.
#[component]
pub fn PageHeader(
    /// The page's name: the only `h1`.
    #[prop(into)]
    title: String,
    /// What the page is for, in a sentence.
    #[prop(optional, into)]
    subtitle: Option<String>,
    /// Buttons.
    #[prop(optional)]
    children: Option<Children>,
) -> impl IntoView {
    view! {
        <div class="page-header">
            <div>
                <h1>{title}</h1>
                {subtitle.map(|text| view! { <p class="subtle">{text}</p> })}
            </div>
            {children.map(|children| view! { <div class="actions">{children()}</div> })}
        </div>
    }
    .into_any()
}
