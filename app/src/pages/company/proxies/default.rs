//! The page that asks before another setting becomes the default: whose traffic moves by that.

use gatehouse_domain::{ProxyQuery, ProxyView, UsedBy};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{crumbs, use_id};
use crate::{
    components::{Banner, Breadcrumbs, Button, ButtonKind, ErrorState, Kind, LinkButton, PageHeader},
    context::signed_in,
    error::ApiError,
    islands::proxies::{Users, urls},
    page::{answer_with_status, may_change, use_outcome},
};

/// `/company/settings/proxies/{id}/default`.
#[component]
pub fn ProxyDefaultPage() -> impl IntoView {
    let id = use_id();
    let may_change = may_change();
    let page = async move {
        match load(&id).await {
            Ok(found) => view! { <Question found may_change/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! {
                    <PageHeader title="Make a proxy setting the default"/>
                    <ErrorState error=error.0/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Make a proxy setting the default"/>
        <Breadcrumbs items=crumbs(Some("Make default"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

struct Found {
    view: ProxyView,
    /// The default now.
    now: Option<String>,
    moving: Vec<UsedBy>,
}

async fn load(id: &str) -> Result<Found, ApiError> {
    let (platform, actor) = signed_in()?;
    let view = platform.proxy(&actor, id).await?;
    let only = ProxyQuery { is_default: Some(true), limit: 1, ..ProxyQuery::default() };
    let now = platform.list_proxies(&actor, &only).await?.items.pop().map(|proxy| proxy.name);
    Ok(Found { view, now, moving: platform.uses_of_default(&actor).await? })
}

#[component]
fn Question(found: Found, may_change: bool) -> impl IntoView {
    let Found { view, now, moving } = found;
    let title = format!("Make “{}” the default?", view.name);
    let error = use_outcome().error.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let from = now.map_or_else(|| "They go directly now.".to_string(), |now| format!("They go through “{now}” now."));
    let text = if moving.is_empty() {
        view! { <p>"Nobody uses the default proxy yet, so nothing moves."</p> }.into_any()
    } else {
        view! {
            <p>"The requests of these go through “" {view.name.clone()} "” from the next one on. " {from}</p>
            <Users users=moving/>
        }
        .into_any()
    };
    view! {
        <PageHeader title/>
        {error}
        <form method="post" action=urls::LIST class="panel grid grid-cols-[minmax(0,1fr)] gap-4">
            <input type="hidden" name="id" value=view.id/>
            <div class="grid min-w-0 gap-2 wrap-anywhere">{text}</div>
            <div class="flex flex-wrap gap-2">
                <LinkButton href=urls::LIST>"Cancel"</LinkButton>
                {may_change
                    .then(|| {
                        view! {
                            <Button kind=ButtonKind::Primary name="intent" value="default">
                                "Make it the default"
                            </Button>
                        }
                    })}
            </div>
        </form>
    }
    .into_any()
}
