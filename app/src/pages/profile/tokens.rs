//! API tokens: made, shown once, revoked.

use gatehouse_domain::{TokenName, TokenView};
use leptos::{ev::SubmitEvent, html, prelude::*};
use leptos_meta::Title;

use crate::{
    api::access::tokens,
    components::{
        Age, Banner, Breadcrumbs, Button, ButtonKind, Cell, ConfirmDialog, DataTable, EmptyState, ErrorState, HeaderCell, Icon,
        IconName, Kind, PageHeader, Row, TextInput, field_error, focus_first_invalid, initial_value, use_toasts,
    },
    page::{use_hydrated, use_outcome},
};

const FORM: &str = "token-form";
const REVOKE_FORM: &str = "revoke-form";

/// `/profile/tokens`.
#[component]
pub fn TokensPage() -> impl IntoView {
    let outcome = use_outcome();
    let list = Resource::new_blocking(|| (), |()| tokens());
    // What is to be revoked, while the question is open.
    let asked = RwSignal::new(None::<TokenView>);
    let new_token = outcome.new_token.clone().map(|token| view! { <NewToken token/> });
    // Without a field to stand beside: a token that is gone already.
    let failure = outcome.error.as_ref().filter(|error| error.fields().is_empty());
    let failure = failure.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
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
        <Suspense>
            {move || Suspend::new(async move {
                match list.await {
                    Ok(items) => view! { <TokenList items asked/> }.into_any(),
                    Err(error) => view! { <ErrorState error=error.0/> }.into_any(),
                }
            })}
        </Suspense>
        <RevokeDialog asked/>
    }
    .into_any()
}

/// The one time a token is shown.
#[component]
fn NewToken(token: String) -> impl IntoView {
    let field = NodeRef::<html::Input>::new();
    let hydrated = use_hydrated();
    let toasts = use_toasts();
    let copy = move |_| {
        let Some(field) = field.get_untracked() else { return };
        field.select();
        // Outside of a secure context there is no clipboard: it is selected, Ctrl+C does the rest.
        if window().is_secure_context() {
            drop(window().navigator().clipboard().write_text(&field.value()));
            toasts.success("The token is in the clipboard.");
        } else {
            toasts.success("The token is selected: copy it with Ctrl+C.");
        }
    };
    view! {
        <Banner kind=Kind::Success title="Your new token: copy it now">
            <p>"It is shown this once. Gatehouse keeps only a fingerprint of it; if it gets lost, revoke it and make another."</p>
            <div class="copy-row">
                <label class="sr-only" for="new-token">"New API token"</label>
                <input class="input code" id="new-token" type="text" readonly autocomplete="off" value=token node_ref=field/>
                <button type="button" class="btn js-only" class:invisible=move || !hydrated.get() on:click=copy>
                    <Icon name=IconName::Copy/>
                    "Copy"
                </button>
            </div>
        </Banner>
    }
    .into_any()
}

#[component]
fn CreateForm(value: String, problem: Option<String>) -> impl IntoView {
    let name = RwSignal::new(value);
    let error = RwSignal::new(problem);
    let busy = RwSignal::new(false);
    let submit = move |event: SubmitEvent| {
        error.set(name.with_untracked(|text| TokenName::parse(text).err()));
        if error.with_untracked(Option::is_some) {
            event.prevent_default();
            focus_first_invalid(FORM);
        } else {
            busy.set(true);
        }
    };
    view! {
        <form id=FORM class="inline-form" method="post" action="/profile/tokens" novalidate on:submit=submit>
            <TextInput
                name="name"
                label="Name"
                hint="What it is for, such as “nightly report”."
                value=name
                error
                required=true
                on_input=Callback::new(move |_| error.set(None))
            />
            <Button kind=ButtonKind::Primary busy>
                <Icon name=IconName::Plus/>
                "Create token"
            </Button>
        </form>
    }
    .into_any()
}

#[component]
fn TokenList(items: Vec<TokenView>, asked: RwSignal<Option<TokenView>>) -> impl IntoView {
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
    let rows = items.into_iter().map(|token| view! { <TokenRow token asked/> }).collect_view();
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
fn TokenRow(token: TokenView, asked: RwSignal<Option<TokenView>>) -> impl IntoView {
    let action = format!("/profile/tokens/{}/revoke", token.id);
    let label = format!("Revoke {}", token.name);
    let last_used = match token.last_used_at {
        Some(at) => view! { <Age at/> }.into_any(),
        None => view! { <span class="subtle">"never"</span> }.into_any(),
    };
    let (name, ends_with, created_at) = (token.name.clone(), token.ends_with.clone(), token.created_at);
    // With JavaScript a question comes first; without, a token is revoked at once, and says so.
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        asked.set(Some(token.clone()));
    };
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
                <form method="post" action=action on:submit=submit>
                    <button type="submit" class="btn btn-sm" aria-label=label>
                        "Revoke"
                    </button>
                </form>
            </Cell>
        </Row>
    }
    .into_any()
}

#[component]
fn RevokeDialog(asked: RwSignal<Option<TokenView>>) -> impl IntoView {
    let open = RwSignal::new(false);
    let busy = RwSignal::new(false);
    Effect::new(move |_| {
        if asked.with(Option::is_some) {
            open.set(true);
        }
    });
    Effect::new(move |_| {
        if !open.get() {
            asked.set(None);
        }
    });
    let form = NodeRef::<html::Form>::new();
    let action = move || asked.with(|token| token.as_ref().map(|token| format!("/profile/tokens/{}/revoke", token.id)));
    let name = move || asked.with(|token| token.as_ref().map(|token| token.name.clone()).unwrap_or_default());
    let ends_with = move || asked.with(|token| token.as_ref().map(|token| token.ends_with.clone()).unwrap_or_default());
    view! {
        <form id=REVOKE_FORM method="post" action=action node_ref=form hidden></form>
        <ConfirmDialog
            id="revoke"
            open
            title="Revoke this token?"
            confirm_label="Revoke token"
            danger=true
            busy
            keep_open=true
            on_confirm=Callback::new(move |()| {
                if let Some(form) = form.get_untracked() {
                    busy.set(true);
                    drop(form.submit());
                }
            })
        >
            <p>
                <strong>{name}</strong>" (ends with "<code>"…"{ends_with}</code>
                ") stops working at once. Programs that use it can no longer sign in. This can't be undone."
            </p>
        </ConfirmDialog>
    }
    .into_any()
}
