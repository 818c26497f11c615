//! The page that asks before a setting is deleted: for those without JavaScript, and for whoever follows its link.

use gatehouse_domain::{AppError, ProxyView};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{crumbs, use_id};
use crate::{
    api::proxies::load_proxy,
    components::{Banner, Breadcrumbs, Button, ButtonKind, ErrorState, Kind, LinkButton, PageHeader},
    islands::proxies::{DeleteText, refusal, urls},
    page::{answer_with_status, use_outcome},
};

/// `/company/settings/proxies/{id}/delete`.
#[component]
pub fn ProxyDeletePage() -> impl IntoView {
    let id = use_id();
    let page = async move {
        match load_proxy(&id).await {
            Ok(view) => view! { <Question view/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! {
                    <PageHeader title="Delete a proxy setting"/>
                    <ErrorState error=error.0/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Delete a proxy setting"/>
        <Breadcrumbs items=crumbs(Some("Delete"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

#[component]
fn Question(view: ProxyView) -> impl IntoView {
    let used = !view.used_by.is_empty();
    let name = view.name.clone();
    let title = if used { format!("“{name}” is in use") } else { format!("Delete “{name}”?") };
    let version = view.version.to_string();
    let action = urls::delete(&view.id);
    // What is in use shows its users below.
    let error = use_outcome().error.filter(|error| !matches!(error, AppError::InUse(_)));
    view! {
        <PageHeader title/>
        {error.map(|error| view! { <Banner kind=Kind::Error title=refusal(&error)/> })}
        <form method="post" action=action class="panel grid grid-cols-[minmax(0,1fr)] gap-4">
            <div class="grid min-w-0 gap-2 wrap-anywhere">
                <DeleteText stored=view.into()/>
            </div>
            <input type="hidden" name="version" value=version/>
            <div class="flex flex-wrap gap-2">
                <LinkButton href=urls::LIST>"Cancel"</LinkButton>
                {(!used).then(|| view! { <Button kind=ButtonKind::Danger>"Delete"</Button> })}
            </div>
        </form>
    }
    .into_any()
}
