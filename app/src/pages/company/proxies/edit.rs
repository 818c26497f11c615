//! The pages around the form of a proxy setting.

use gatehouse_domain::ProxyView;
use leptos::prelude::*;
use leptos_meta::Title;

use super::{all, crumbs, parts::LastTestNote, use_id};
use crate::{
    api::proxies::load_proxy,
    components::{Banner, Breadcrumbs, ButtonKind, Day, ErrorState, Icon, IconName, Kind, LinkButton, PageHeader},
    context::signed_in,
    error::ApiError,
    islands::{
        Packed,
        proxies::{Editor, Users, urls},
    },
    page::{answer_with_status, may_change, use_outcome},
};

/// `/company/settings/proxies/new`.
#[component]
pub fn ProxyNewPage() -> impl IntoView {
    let editor = async {
        match others("").await {
            Ok(others) => view! {
                <Editor stored=Packed(None) outcome=Packed(use_outcome()) others=Packed(others) may_change=may_change()>""</Editor>
            }
            .into_any(),
            Err(error) => failed(error),
        }
    };
    view! {
        <Title text="New proxy setting"/>
        <Breadcrumbs items=crumbs(Some("New"))/>
        <PageHeader title="New proxy setting"/>
        <LetIn/>
        {Suspend::new(editor)}
    }
    .into_any()
}

/// What a firewall between this installation and the proxy has to let in, where the operator has said it.
#[component]
fn LetIn() -> impl IntoView {
    let addresses = signed_in().map(|(platform, _)| platform.config().outgoing_addresses.clone()).unwrap_or_default();
    (!addresses.is_empty()).then(|| {
        let addresses = addresses.join(", ");
        view! {
            <Banner kind=Kind::Info title="Allow these addresses to reach your proxy's port">
                <p>{addresses}</p>
            </Banner>
        }
    })
}

/// The choices for when a proxy can't be reached: none, or another setting.
async fn others(id: &str) -> Result<String, ApiError> {
    let (platform, actor) = signed_in()?;
    let all = all(&platform, &actor).await?;
    let others = all.into_iter().filter(|other| other.id != id).map(|other| format!("\n{}\tTry {}", other.id, other.name));
    Ok(std::iter::once("\tThe request fails".to_string()).chain(others).collect())
}

fn failed(error: ApiError) -> AnyView {
    answer_with_status(&error.0);
    view! { <ErrorState error=error.0/> }.into_any()
}

/// `/company/settings/proxies/{id}`.
#[component]
pub fn ProxyEditPage() -> impl IntoView {
    let (id, outcome, may_change) = (use_id(), use_outcome(), may_change());
    let page = async move {
        let loaded = async { Ok((load_proxy(&id).await?, others(&id).await?)) };
        match loaded.await {
            Ok((view, others)) => {
                let title = format!("Edit “{}”", view.name);
                view! {
                    <PageHeader title/>
                    <LetIn/>
                    <Editor stored=Packed(Some(view.clone().into())) outcome=Packed(outcome) others=Packed(others) may_change>
                        <About view=view.clone() may_change/>
                    </Editor>
                }
                .into_any()
            }
            Err(error) => view! {
                <PageHeader title="Edit a proxy setting"/>
                {failed(error)}
            }
            .into_any(),
        }
    };
    view! {
        <Title text="Edit a proxy setting"/>
        <Breadcrumbs items=crumbs(Some("Edit"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

/// What is known about a saved setting besides its values.
#[component]
fn About(view: ProxyView, may_change: bool) -> impl IntoView {
    let used = !view.used_by.is_empty();
    view! {
        <section class="panel grid gap-3" id="proxy-about" data-region="" aria-labelledby="about-heading">
            <h2 id="about-heading">"About this setting"</h2>
            <dl class="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-2 text-sm">
                <dt class="subtle">"Last test"</dt>
                <dd class="m-0">
                    <LastTestNote last=view.last_test.clone() health=view.health/>
                </dd>
                <dt class="subtle">"Created"</dt>
                <dd class="m-0">
                    <Day at=view.created_at/>
                </dd>
                <dt class="subtle">"Saved"</dt>
                <dd class="m-0">
                    <Day at=view.updated_at/>
                </dd>
                <dt class="subtle">"Used by"</dt>
                <dd class="m-0">
                    {if used { view! { <Users users=view.used_by.clone()/> }.into_any() } else { "nobody yet".into_any() }}
                </dd>
            </dl>
            {may_change
                .then(|| {
                    view! {
                        <div>
                            <LinkButton href=urls::delete(&view.id) kind=ButtonKind::Ghost>
                                <Icon name=IconName::Trash/>
                                "Delete…"
                            </LinkButton>
                        </div>
                    }
                })}
        </section>
    }
    .into_any()
}
