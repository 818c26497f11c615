//! The first visit: makes the company and its first administrator.

use gatehouse_domain::AppError;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_params_map;

use crate::{
    api::access::check_setup_link,
    components::{Banner, ButtonKind, CardPage, Kind, LinkButton},
    islands::{Packed, setup::SetUpForm},
    page::{answer_with_status, use_outcome},
};

/// `/setup/:link`.
#[component]
pub fn SetUpPage() -> impl IntoView {
    let link = use_params_map().with_untracked(|params| params.get("link")).unwrap_or_default();
    let outcome = use_outcome();
    let page = async move {
        match check_setup_link(link).await {
            Ok(()) => {
                let refused = outcome.error.as_ref().map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
                view! {
                    <CardPage title="Set up Gatehouse" subtitle="Make your company and your account, its first administrator.">
                        {refused}
                        <SetUpForm outcome=Packed(outcome)/>
                    </CardPage>
                }
                .into_any()
            }
            Err(error) => view! { <LinkRefused error=error.0/> }.into_any(),
        }
    };
    view! {
        <Title text="Set up Gatehouse"/>
        {Suspend::new(page)}
    }
    .into_any()
}

#[component]
fn LinkRefused(error: AppError) -> impl IntoView {
    let expired = error == AppError::LinkExpired;
    answer_with_status(&error);
    view! {
        <CardPage title=if expired { "This set-up link does not work" } else { "This did not work" }>
            <div class="prose">
                <p>{error.to_string()}</p>
                {expired.then(|| view! { <p>"If Gatehouse is set up already, sign in."</p> })}
            </div>
            <LinkButton href="/sign-in" kind=ButtonKind::Primary>
                "Go to sign-in"
            </LinkButton>
        </CardPage>
    }
    .into_any()
}
