//! API tokens: made, shown once, revoked.

use gatehouse_domain::TokenView;
use leptos::prelude::*;
use leptos_meta::Title;

use crate::{
    api::access::tokens,
    components::{
        Age, Banner, Breadcrumbs, Button, ButtonKind, Cell, CopyRow, DataTable, EmptyState, ErrorState, HeaderCell, Icon,
        IconName, Kind, PageHeader, Row, TextInput, field_error, initial_value,
    },
    islands::tokens::RevokeDialog,
    page::use_outcome,
};

/// `/profile/tokens`.
#[component]
pub fn TokensPage() -> impl IntoView {
    let outcome = use_outcome();
    let new_token = outcome.new_token.clone().map(|token| {
        view! {
            <Banner kind=Kind::Success title="Your new token: copy it now">
                <p>"It is shown this once. Gatehouse keeps only a fingerprint of it; if it gets lost, revoke it and make another."</p>
                <CopyRow of="new-token" label="New API token" done="The token is in the clipboard.">
                    <input class="input code" id="new-token" type="text" readonly autocomplete="off" value=token/>
                </CopyRow>
            </Banner>
        }
    });
    // Without a field to stand beside: a token that is gone already.
    let failure = outcome.error.as_ref().filter(|error| error.fields().is_empty());
    let failure = failure.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let list = async {
        match tokens().await {
            Ok(items) => view! { <TokenList items/> }.into_any(),
            Err(error) => view! { <ErrorState error=error.0/> }.into_any(),
        }
    };
    view! {
        <Title text="API tokens"/>
        <Breadcrumbs items=vec![("Your account".into(), None), ("API tokens".into(), None)]/>
        <PageHeader
            title="API tokens"
            subtitle="For scripts and other programs: a token signs them in as you, with everything you may do. Send it as “Authorization: Bearer …”."
        />
        {failure}
        {new_token}
        <section class="panel" aria-labelledby="new-token-heading">
            <h2 id="new-token-heading">"New token"</h2>
            <CreateForm
                value=initial_value(&outcome, "name", "")
                problem=field_error(outcome.error.as_ref(), "name")
            />
        </section>
        {Suspend::new(list)}
        <RevokeDialog/>
    }
    .into_any()
}

/// The answer to it holds the new token, with an island beside it: so the page is loaded anew.
#[component]
fn CreateForm(value: String, problem: Option<String>) -> impl IntoView {
    view! {
        <form class="inline-form" method="post" action="/profile/tokens" novalidate>
            <TextInput
                name="name"
                label="Name"
                hint="What it is for, such as “nightly report”."
                value=RwSignal::new(value)
                autofocus=problem.is_some()
                error=Signal::stored(problem)
                required=true
            />
            <Button kind=ButtonKind::Primary>
                <Icon name=IconName::Plus/>
                "Create token"
            </Button>
        </form>
    }
    .into_any()
}

#[component]
fn TokenList(items: Vec<TokenView>) -> impl IntoView {
    if items.is_empty() {
        return view! {
            <EmptyState
                icon=IconName::Key
                title="No tokens yet"
                text="Make one above when a script or another program shall use the API."
            />
        }
        .into_any();
    }
    let rows = items.into_iter().map(|token| view! { <TokenRow token/> }).collect_view();
    view! {
        <DataTable
            caption="Your API tokens"
            head=ViewFnOnce::from(|| {
                view! {
                    <HeaderCell label="Name"/>
                    <HeaderCell label="Ends with"/>
                    <HeaderCell label="Created"/>
                    <HeaderCell label="Last used"/>
                    <HeaderCell label="Actions" hidden=true/>
                }
            })
        >
            {rows}
        </DataTable>
    }
    .into_any()
}

#[component]
fn TokenRow(token: TokenView) -> impl IntoView {
    let action = format!("/profile/tokens/{}/revoke", token.id);
    let label = format!("Revoke {}", token.name);
    let last_used = match token.last_used_at {
        Some(at) => view! { <Age at/> }.into_any(),
        None => view! { <span class="subtle">"never"</span> }.into_any(),
    };
    let (name, ends_with, created_at) = (token.name.clone(), token.ends_with.clone(), token.created_at);
    let (called, ends) = (name.clone(), ends_with.clone());
    view! {
        <Row>
            <Cell label="Name" title=true>
                {name}
            </Cell>
            <Cell label="Ends with">
                <code>"…"{ends_with}</code>
            </Cell>
            <Cell label="Created">
                <Age at=created_at/>
            </Cell>
            <Cell label="Last used">{last_used}</Cell>
            <Cell actions=true>
                // With JavaScript a question comes first; without, a token is revoked at once, and says so.
                <form method="post" action=action data-revoke=called data-ends-with=ends>
                    <button type="submit" class="btn btn-sm" aria-label=label>
                        "Revoke"
                    </button>
                </form>
            </Cell>
        </Row>
    }
    .into_any()
}
