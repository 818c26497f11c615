//! The page that asks before a setting is deleted: for those without JavaScript, and for whoever follows its link.

use gatehouse_domain::{AppError, ProxyView};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use super::{actions::DeleteText, answer_with_status, crumbs, urls};
use crate::{
    api::proxies::get_proxy,
    components::{Banner, Breadcrumbs, Button, ButtonKind, ErrorState, Kind, LinkButton, PageHeader, Skeleton},
    page::use_outcome,
};

/// `/company/settings/proxies/{id}/delete`.
#[component]
pub fn ProxyDeletePage() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|p| p.get("id").unwrap_or_default()));
    let proxy = Resource::new(move || id.get(), get_proxy);
    view! {
        <Title text="Delete a proxy setting"/>
        <Breadcrumbs items=crumbs(Some("Delete"))/>
        <Suspense fallback=|| view! { <Skeleton/> }>
            {move || Suspend::new(async move {
                match proxy.await {
                    Ok(view) => view! { <Question view/> }.into_any(),
                    Err(error) => {
                        answer_with_status(&error.0);
                        view! {
                            <PageHeader title="Delete a proxy setting"/>
                            <ErrorState error=error.0 retry=Callback::new(move |()| proxy.refetch())/>
                        }
                            .into_any()
                    }
                }
            })}
        </Suspense>
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
                <DeleteText view/>
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

/// Why it was not deleted, in the words of this question.
#[must_use]
pub fn refusal(error: &AppError) -> String {
    match error {
        AppError::Changed { .. } => "Somebody else changed this setting meanwhile. Look at it again before you delete it.".into(),
        AppError::NotFound => "Somebody else has deleted this setting already.".into(),
        error => error.to_string(),
    }
}
