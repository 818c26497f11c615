//! The page that asks before an invitation is withdrawn.

use gatehouse_domain::{AppError, InvitationView};
use gatehouse_platform::people::roles_to_give;
use leptos::prelude::*;
use leptos_meta::Title;

use super::{PEOPLE, crumbs, use_id, withdraw_path};
use crate::{
    components::{Banner, Breadcrumbs, Button, ButtonKind, ErrorState, Kind, LinkButton, PageHeader},
    context::signed_in,
    error::ApiError,
    page::{answer_with_status, use_outcome},
};

/// `/company/settings/people/invitations/{id}/withdraw`.
#[component]
pub fn WithdrawPage() -> impl IntoView {
    let (id, outcome) = (use_id(), use_outcome());
    let page = async move {
        match load(&id).await {
            Ok(invitation) => view! { <Question invitation error=outcome.error/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! {
                    <PageHeader title="Withdraw an invitation"/>
                    <ErrorState error=error.0/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Withdraw an invitation"/>
        <Breadcrumbs items=crumbs(Some("Withdraw"))/>
        {Suspend::new(page)}
    }
    .into_any()
}

async fn load(id: &str) -> Result<InvitationView, ApiError> {
    let (platform, actor) = signed_in()?;
    let found = platform.invitations(&actor).await?.into_iter().find(|invitation| invitation.id == id);
    let invitation = found.ok_or(AppError::NotFound)?;
    if !roles_to_give(actor.role).contains(&invitation.role) {
        return Err(AppError::Forbidden.into());
    }
    Ok(invitation)
}

#[component]
fn Question(invitation: InvitationView, error: Option<AppError>) -> impl IntoView {
    let InvitationView { id, email, role, invited_by, .. } = invitation;
    view! {
        <PageHeader title="Withdraw this invitation?"/>
        {error.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> })}
        <form method="post" action=withdraw_path(&id) class="panel grid grid-cols-[minmax(0,1fr)] gap-4">
            <p class="wrap-anywhere">
                {invited_by} " invited " <strong>{email}</strong> ", as " {role.label()} ". The link stops working at once."
            </p>
            <div class="flex flex-wrap gap-2">
                <LinkButton href=PEOPLE>"Cancel"</LinkButton>
                <Button kind=ButtonKind::Danger>"Withdraw"</Button>
            </div>
        </form>
    }
    .into_any()
}
