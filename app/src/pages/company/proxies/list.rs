//! The list of proxy settings. What it shows stands in its URL.

use std::time::Duration;

use gatehouse_domain::{Authentication, Page, ProxyQuery, ProxySort, ProxyView, Role, Scheme, SortField};
use leptos::{
    ev::{KeyboardEvent, MouseEvent},
    leptos_dom::helpers::TimeoutHandle,
    prelude::*,
};
use leptos_meta::Title;
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate},
};

use super::{
    actions::{Actions, DeleteDialog, TestDrawer},
    answer_with_status, crumbs,
    parts::{Day, LastTestNote, Users, count},
    urls,
};
use crate::{
    api::proxies::list_proxies,
    components::{
        Badge, Banner, Breadcrumbs, Button, ButtonKind, Cell, DataTable, EmptyState, ErrorState, HeaderCell, Icon, IconLink,
        IconName, Kind, LinkButton, PageHeader, SelectInput, Skeleton, SortHeader, Sorted, Spinner, TextInput,
    },
    error::ApiError,
    page::{use_outcome, use_session},
};

/// How long the typing has to pause before the list is asked for.
const PAUSE: Duration = Duration::from_millis(250);

/// `/company/settings/proxies`.
#[component]
pub fn ProxyListPage() -> impl IntoView {
    let search = use_location().search;
    let read = Memo::new(move |_| search.with(|search| urls::query(search)));
    let query = Memo::new(move |_| read.with(|(query, _)| query.clone()));
    let reload = RwSignal::new(0u32);
    let actions = Actions::new(reload);
    let proxies = Resource::new(move || (query.get(), reload.get()), |(query, _)| list_proxies(query));
    let may_change = use_session().is_none_or(|session| session.role != Role::Auditor);
    let posted = use_outcome().error.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let not_understood = move || {
        let errors = read.with(|(_, errors)| errors.clone());
        (!errors.is_empty()).then(|| {
            let texts = errors.0.into_iter().map(|(key, text)| view! { <li>{format!("{key}: {text}")}</li> }).collect_view();
            view! {
                <Banner kind=Kind::Warning title="A part of this address was not understood and is left out">
                    <ul class="m-0 list-disc pl-5">{texts}</ul>
                </Banner>
            }
        })
    };
    let new_button = move || {
        Suspend::new(async move {
            // While there is nothing yet, the page itself says what to do.
            let first_time = may_change && proxies.await.is_ok_and(|page| nothing_yet(&page, &query.get_untracked()));
            (may_change && !first_time).then(|| view! { <NewButton/> })
        })
    };
    view! {
        <Title text="Proxy Settings"/>
        <Breadcrumbs items=crumbs(None)/>
        <PageHeader title="Proxy Settings" subtitle="The outgoing proxies of your company. Each integration uses one of them, the default, or none.">
            <Transition>{new_button}</Transition>
        </PageHeader>
        {posted}
        {not_understood}
        // Where there is nothing yet there is nothing to search either.
        <div class="group/list sm:[&_td]:px-2 sm:[&_th]:px-2 sm:[&_thead_th]:leading-tight sm:[&_thead_th]:whitespace-normal">
        <Filters query/>
        <Transition fallback=|| view! { <Skeleton lines=6 label="Loading the proxy settings…"/> }>
            {move || Suspend::new(async move {
                let answer = proxies.await;
                view! { <Answer answer query=query.get_untracked() actions may_change retry=move || proxies.refetch()/> }
            })}
        </Transition>
        </div>
        <DeleteDialog actions/>
        <TestDrawer actions/>
    }
    .into_any()
}

/// The first page of an unfiltered list is empty: there are no settings at all.
fn nothing_yet(page: &Page<ProxyView>, query: &ProxyQuery) -> bool {
    page.items.is_empty() && !query.is_filtered() && query.cursor.is_none()
}

#[component]
fn NewButton() -> impl IntoView {
    view! {
        <LinkButton href=urls::NEW kind=ButtonKind::Primary>
            "+ NEW"
            <span class="sr-only">" proxy setting"</span>
        </LinkButton>
    }
    .into_any()
}

/// The rows, or why there are none.
#[component]
fn Answer(
    answer: Result<Page<ProxyView>, ApiError>, query: ProxyQuery, actions: Actions, may_change: bool,
    #[prop(into)] retry: Callback<()>,
) -> impl IntoView {
    let page = match answer {
        Ok(page) => page,
        Err(error) => {
            // A link to a page of the list outlives the list it was made from.
            if error.0.fields().get("cursor").is_some() {
                return view! {
                    <Banner kind=Kind::Warning title="This page of the list is not there any more.">
                        <LinkButton href=urls::first(&query)>"Show the first page"</LinkButton>
                    </Banner>
                }
                .into_any();
            }
            answer_with_status(&error.0);
            return view! { <ErrorState error=error.0 retry/> }.into_any();
        }
    };
    if nothing_yet(&page, &query) {
        return view! {
            <div class="nothing-yet">
            <EmptyState
                icon=IconName::Proxy
                title="No proxy settings yet"
                text="A proxy is the server that your network lets out to the internet: programs ask it instead of going there themselves. If yours \
                has one, describe it here once, prove with Test Connection that it works, and let your integrations use it. Without any, they \
                connect directly."
            >
                {may_change.then(|| view! { <NewButton/> })}
            </EmptyState>
            </div>
        }
        .into_any();
    }
    if page.items.is_empty() {
        return view! {
            <EmptyState icon=IconName::Search title="No matches" text="No proxy setting fits this search and these filters.">
                <LinkButton href=urls::unfiltered(&query)>"Clear filters"</LinkButton>
            </EmptyState>
        }
        .into_any();
    }
    let rows =
        page.items.into_iter().map(|item| view! { <ProxyRow item query=query.clone() actions may_change/> }).collect_view();
    view! {
        <DataTable caption="Proxy settings" head=heads(&query).into()>
            {rows}
        </DataTable>
        <Paging query next=page.next/>
    }
    .into_any()
}

/// The header cells.
fn heads(query: &ProxyQuery) -> impl FnOnce() -> AnyView + Send + 'static + use<> {
    let query = query.clone();
    move || {
        let sort = |field: SortField, label: &'static str| {
            let sorted = match (query.sort.field == field, query.sort.descending) {
                (false, _) => Sorted::No,
                (true, false) => Sorted::Ascending,
                (true, true) => Sorted::Descending,
            };
            view! { <SortHeader label href=urls::sorted(&query, field) sorted=Signal::stored(sorted)/> }.into_any()
        };
        view! {
            {sort(SortField::Name, "Proxy Setting Name")}
            {sort(SortField::Host, "Proxy Address or IP")}
            {sort(SortField::Port, "Port")}
            {sort(SortField::Authentication, "Authentication Method")}
            {sort(SortField::IsDefault, "Is Default?")}
            {sort(SortField::CreatedAt, "Date Created")}
            <HeaderCell label="Last test"/>
            <HeaderCell label="Actions"/>
        }
        .into_any()
    }
}

#[component]
fn ProxyRow(item: ProxyView, query: ProxyQuery, actions: Actions, may_change: bool) -> impl IntoView {
    let used = item.used_by.clone();
    let uses = (!used.is_empty()).then(|| {
        view! {
            <details class="mt-1 text-sm font-normal">
                <summary class="inline-flex min-h-6 cursor-pointer items-center">
                    <Badge kind=Kind::Info>{format!("In use: {}", count(used.len()))}</Badge>
                </summary>
                <div class="mt-1">
                    <Users users=used/>
                </div>
            </details>
        }
    });
    let scheme = match item.scheme {
        Scheme::Http => None,
        Scheme::Https => Some("HTTPS"),
        Scheme::Socks5 => Some("SOCKS5"),
        Scheme::Socks5h => Some("SOCKS5, names at the proxy"),
    };
    let user = item.username.clone();
    let last = item.last_test.clone();
    let row_actions = view! { <RowActions item=item.clone() query actions may_change/> };
    view! {
        <tr role="row" data-testid="proxy-row">
            <Cell label="Proxy Setting Name" title=true>
                <div class="min-w-0">
                    <a class="link break-words" href=urls::edit(&item.id)>
                        {item.name.clone()}
                    </a>
                    {uses}
                </div>
            </Cell>
            <Cell label="Proxy Address or IP">
                <div class="min-w-0">
                    <span class="break-all">{item.host.clone()}</span>
                    {scheme.map(|text| view! { <span class="subtle block text-sm">{text}</span> })}
                </div>
            </Cell>
            <Cell label="Port">{item.port.to_string()}</Cell>
            <Cell label="Authentication Method">
                <div class="min-w-0">
                    {item.authentication.label()}
                    {user.map(|user| view! { <span class="subtle block text-sm break-all">{user}</span> })}
                </div>
            </Cell>
            <Cell label="Is Default?">
                {if item.is_default {
                    // A card's cell is a grid, which would stretch the badge.
                    view! {
                        <span>
                            <Badge kind=Kind::Success icon=IconName::Star>
                                "Yes"
                            </Badge>
                        </span>
                    }
                        .into_any()
                } else {
                    view! { <span class="subtle">"No"</span> }.into_any()
                }}
            </Cell>
            <Cell label="Date Created">
                <Day at=item.created_at/>
            </Cell>
            <Cell label="Last test">
                <LastTestNote last/>
            </Cell>
            <Cell actions=true>
                {row_actions}
            </Cell>
        </tr>
    }
    .into_any()
}

/// The row's buttons: a form whose buttons say what to do, and two links. Taken over by server functions in the browser.
#[component]
fn RowActions(item: ProxyView, query: ProxyQuery, actions: Actions, may_change: bool) -> impl IntoView {
    let name = item.name.clone();
    let edit = view! { <IconLink href=urls::edit(&item.id) label=format!("{} {name}", if may_change { "Edit" } else { "Look at" }) icon=IconName::Pencil/> };
    if !may_change {
        return edit.into_any();
    }
    let list = urls::list(&query).split_once('?').map(|(_, search)| search.to_string()).unwrap_or_default();
    let action = {
        let id = item.id.clone();
        move |intent: &'static str,
              label: String,
              icon: IconName,
              disabled: bool,
              formaction: Option<String>,
              run: Box<dyn Fn() + Send + Sync>| {
            let run = StoredValue::new(run);
            let busy = {
                let id = id.clone();
                Memo::new(move |_| actions.is_busy(&id, intent))
            };
            view! {
                <button
                    class="btn-icon"
                    type="submit"
                    name="intent"
                    value=intent
                    formaction=formaction
                    disabled=disabled
                    aria-disabled=move || busy.get().then_some("true")
                    aria-label=label.clone()
                    title=label
                    on:click=move |event: MouseEvent| {
                        event.prevent_default();
                        run.with_value(|run| run());
                    }
                >
                    {move || if busy.get() { view! { <Spinner/> }.into_any() } else { view! { <Icon name=icon/> }.into_any() }}
                </button>
            }
            .into_any()
        }
    };
    let pair = || (item.id.clone(), item.name.clone());
    let (id, of) = pair();
    let test = action(
        "test-saved",
        format!("Test {name}"),
        IconName::Play,
        false,
        Some(urls::edit(&item.id)),
        Box::new(move || actions.test(id.clone(), of.clone())),
    );
    let (id, of) = pair();
    let duplicate = action(
        "duplicate",
        format!("Duplicate {name}"),
        IconName::Copy,
        false,
        None,
        Box::new(move || actions.duplicate(id.clone(), of.clone())),
    );
    let (id, of) = pair();
    let default_label = if item.is_default { format!("{name} is the default") } else { format!("Make {name} the default") };
    let default = action(
        "default",
        default_label,
        IconName::Star,
        item.is_default,
        None,
        Box::new(move || actions.make_default(id.clone(), of.clone())),
    );
    let label = format!("Delete {name}");
    let asked = item.clone();
    view! {
        <form method="post" action=urls::LIST class="flex justify-end max-sm:gap-1">
            <input type="hidden" name="id" value=item.id.clone()/>
            <input type="hidden" name="list" value=list/>
            {test}
            {edit}
            {duplicate}
            {default}
            <a
                class="btn-icon btn-icon-danger"
                href=urls::delete(&item.id)
                aria-label=label.clone()
                title=label
                on:click=move |event: MouseEvent| {
                    event.prevent_default();
                    actions.ask_delete(asked.clone());
                }
            >
                <Icon name=IconName::Trash/>
            </a>
        </form>
    }
    .into_any()
}

/// Links to the next and the first page.
#[component]
fn Paging(query: ProxyQuery, next: Option<String>) -> impl IntoView {
    let first = query.cursor.is_some().then(|| urls::first(&query));
    let next = next.map(|cursor| urls::next(&query, &cursor));
    (first.is_some() || next.is_some())
        .then(|| {
            view! {
                <nav class="mt-4 flex flex-wrap gap-2" aria-label="Pages">
                    {first.map(|href| view! { <LinkButton href>"First page"</LinkButton> })}
                    {next.map(|href| view! { <LinkButton href>"Next"<Icon name=IconName::ChevronRight/></LinkButton> })}
                </nav>
            }
        })
        .into_any()
}

/// Search and filters: a GET form, asked by itself in the browser.
#[component]
fn Filters(query: Memo<ProxyQuery>) -> impl IntoView {
    let now = query.get_untracked();
    let text = |value: Option<String>| RwSignal::new(value.unwrap_or_default());
    let q = RwSignal::new(now.q.clone());
    let authentication = text(now.authentication.map(|a| a.to_string()));
    let scheme = text(now.scheme.map(|s| s.to_string()));
    let is_default = text(now.is_default.map(|d| d.to_string()));
    let sort = RwSignal::new(now.sort.to_string());
    // The back button and links change the URL from outside.
    Effect::new(move |before: Option<ProxyQuery>| {
        let now = query.get();
        if before.is_some() {
            if q.with_untracked(|q| q.trim() != now.q) {
                q.set(now.q.clone());
            }
            authentication.set(now.authentication.map(|a| a.to_string()).unwrap_or_default());
            scheme.set(now.scheme.map(|s| s.to_string()).unwrap_or_default());
            is_default.set(now.is_default.map(|d| d.to_string()).unwrap_or_default());
            sort.set(now.sort.to_string());
        }
        now
    });
    let navigate = StoredValue::new(use_navigate());
    let waiting = StoredValue::new(None::<TimeoutHandle>);
    let stop_waiting = move || {
        if let Some(handle) = waiting.try_update_value(Option::take).flatten() {
            handle.clear();
        }
    };
    on_cleanup(stop_waiting);
    let ask = move |replace: bool| {
        stop_waiting();
        let asked = ProxyQuery {
            q: q.with_untracked(|q| q.trim().to_string()),
            authentication: authentication.with_untracked(|a| a.parse().ok()),
            scheme: scheme.with_untracked(|s| s.parse().ok()),
            is_default: is_default.with_untracked(|d| d.parse().ok()),
            sort: sort.with_untracked(|s| s.parse().ok()).unwrap_or_default(),
            cursor: None,
            ..query.get_untracked()
        };
        if asked != (ProxyQuery { cursor: None, ..query.get_untracked() }) {
            let options = NavigateOptions { replace, scroll: false, resolve: false, ..NavigateOptions::default() };
            navigate.with_value(|navigate| navigate(&urls::list(&asked), options));
        }
    };
    // Each word is not a page of its own to go back to; each filter is.
    let typed = Callback::new(move |_: String| {
        stop_waiting();
        let handle = set_timeout_with_handle(move || ask(true), PAUSE).ok();
        waiting.set_value(handle);
    });
    let chosen = Callback::new(move |_: String| ask(false));
    focus_search_on_slash();
    let all = |text: &str| (String::new(), text.to_string());
    let authentications: Vec<_> =
        std::iter::once(all("All")).chain(Authentication::ALL.iter().map(|a| (a.to_string(), a.label().to_string()))).collect();
    let schemes: Vec<_> =
        std::iter::once(all("All")).chain(Scheme::ALL.iter().map(|s| (s.to_string(), s.label().to_string()))).collect();
    let defaults = vec![all("All"), ("true".into(), "Only the default".into()), ("false".into(), "All others".into())];
    let clear = Memo::new(move |_| query.with(|query| query.is_filtered().then(|| urls::unfiltered(query))));
    view! {
        <form
            method="get"
            action=urls::LIST
            role="search"
            aria-label="Proxy settings"
            class="mb-4 grid group-has-[.nothing-yet]/list:hidden grid-cols-2 items-end gap-3 lg:grid-cols-[minmax(9rem,1fr)_repeat(3,minmax(7rem,10rem))_auto]"
            on:submit=move |event| {
                event.prevent_default();
                ask(false);
            }
        >
            <div class="col-span-2 lg:col-span-1">
                <TextInput
                    name="q"
                    label="Search"
                    value=q
                    input_type="search"
                    placeholder="Name, address or user"
                    on_input=typed
                    verbatim=true
                />
            </div>
            <SelectInput name="authentication" label="Authentication" value=authentication options=authentications on_change=chosen/>
            <SelectInput name="scheme" label="Proxy protocol" value=scheme options=schemes on_change=chosen/>
            <SelectInput name="is_default" label="Default" value=is_default options=defaults on_change=chosen/>
            // Cards have no column headers to sort by.
            <div class="sm:hidden">
                <SelectInput name="sort" label="Sort by" value=sort options=orders() on_change=chosen/>
            </div>
            <div class="col-span-2 flex items-center gap-1 lg:col-span-1">
                <Button>
                    <Icon name=IconName::Search/>
                    "Search"
                </Button>
                {move || clear.get().map(|href| view! { <LinkButton href kind=ButtonKind::Ghost>"Clear filters"</LinkButton> })}
            </div>
        </form>
    }
    .into_any()
}

/// Every order, for the screens without column headers.
fn orders() -> Vec<(String, String)> {
    let label = |field| match field {
        SortField::Name => ("Name, A first", "Name, Z first"),
        SortField::Host => ("Address, A first", "Address, Z first"),
        SortField::Port => ("Port, lowest first", "Port, highest first"),
        SortField::Authentication => ("Authentication, Transparent first", "Authentication, Basic first"),
        SortField::IsDefault => ("Default last", "Default first"),
        SortField::CreatedAt => ("Oldest first", "Newest first"),
    };
    let order = |field, descending, text: &str| (ProxySort { field, descending }.to_string(), text.to_string());
    SortField::ALL
        .into_iter()
        .flat_map(|field| {
            let (up, down) = label(field);
            [order(field, false, up), order(field, true, down)]
        })
        .collect()
}

/// `/` puts the focus into the search, unless something is being typed.
fn focus_search_on_slash() {
    let listener = window_event_listener(leptos::ev::keydown, |event: KeyboardEvent| {
        use leptos::wasm_bindgen::JsCast as _;
        if event.key() != "/" || event.ctrl_key() || event.meta_key() || event.alt_key() {
            return;
        }
        let focused = document().active_element();
        let typing = focused.is_some_and(|element| {
            matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
                || element.closest("dialog").is_ok_and(|d| d.is_some())
        });
        let search = document().get_element_by_id("q").and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok());
        if let (false, Some(search)) = (typing, search) {
            event.prevent_default();
            drop(search.focus());
        }
    });
    on_cleanup(move || listener.remove());
}
