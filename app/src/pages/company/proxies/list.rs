//! The list of proxy settings. What it shows stands in its URL.

use gatehouse_domain::{Authentication, Page, ProxyQuery, ProxySort, ProxyView, Scheme, SortField, Via};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    crumbs,
    parts::{LastTestNote, count},
};
use crate::{
    api::proxies::load_proxies,
    components::{
        Badge, Banner, Breadcrumbs, Button, ButtonKind, Cell, DataTable, Day, EmptyState, ErrorState, HeaderCell, Icon, IconLink,
        IconName, Kind, LinkButton, PageHeader, SelectInput, SortHeader, Sorted, TextInput, push_kept,
    },
    context::signed_in,
    error::ApiError,
    islands::proxies::{LIST, ProxyListControls, Users, urls},
    page::{answer_with_status, may_change, use_outcome, use_path},
};

/// `/company/settings/proxies`.
#[component]
pub fn ProxyListPage() -> impl IntoView {
    let (query, errors) = urls::query(&use_path().1);
    let posted = use_outcome().error.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let not_understood = (!errors.is_empty()).then(|| {
        let texts = errors.0.into_iter().map(|(key, text)| view! { <li>{format!("{key}: {text}")}</li> }).collect_view();
        view! {
            <Banner kind=Kind::Warning title="A part of this address was not understood and is left out">
                <ul class="m-0 list-disc pl-5">{texts}</ul>
            </Banner>
        }
    });
    let may_change = may_change();
    let content = async move {
        let answer = load_proxies(&query).await;
        let asks = match &answer {
            Ok(page) => moves(page).await,
            Err(_) => false,
        };
        // While there is nothing yet, the page itself says what to do.
        let first_time = may_change && answer.as_ref().is_ok_and(|page| nothing_yet(page, &query));
        view! {
            <PageHeader title="Proxy Settings" subtitle="The outgoing proxies of your company. Each integration uses one of them, the default, or none.">
                <div id="proxy-new" data-region="">
                    {(may_change && !first_time).then(|| view! { <NewButton/> })}
                </div>
            </PageHeader>
            <div id="proxy-notes" data-region="">{posted} {not_understood}</div>
            // Where there is nothing yet there is nothing to search either.
            <div id=LIST class="group/list sm:[&_td]:px-2 sm:[&_th]:px-2 sm:[&_thead_th]:leading-tight sm:[&_thead_th]:whitespace-normal">
                <Filters query=query.clone()/>
                // Others change settings, and tests are made by themselves.
                <div id="proxy-rows" data-region="" data-refresh="5000">
                    <Answer answer query may_change asks/>
                </div>
            </div>
            <ProxyListControls/>
        }
        .into_any()
    };
    view! {
        <Title text="Proxy Settings"/>
        <Breadcrumbs items=crumbs(None)/>
        {Suspend::new(content)}
    }
    .into_any()
}

/// Whether somebody's traffic moves when another setting becomes the default. The default's row knows; where it is not on this
/// page, it has to be asked for.
async fn moves(page: &Page<ProxyView>) -> bool {
    if let Some(default) = page.items.iter().find(|item| item.is_default) {
        return default.used_by.iter().any(|user| user.via == Via::Default);
    }
    if page.items.is_empty() {
        return false;
    }
    let Ok((platform, actor)) = signed_in() else { return false };
    platform.uses_of_default(&actor).await.is_ok_and(|users| !users.is_empty())
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
fn Answer(answer: Result<Page<ProxyView>, ApiError>, query: ProxyQuery, may_change: bool, asks: bool) -> impl IntoView {
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
            return view! { <ErrorState error=error.0/> }.into_any();
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
    let kept = urls::list(&query).split_once('?').map(|(_, search)| search.to_string()).unwrap_or_default();
    // A row takes some 2.6 kB.
    let mut rows = String::with_capacity(page.items.len() * 3000);
    // Everything that a row is made of besides its values.
    let mut key = format!("proxy {may_change} {asks} {kept} ");
    let common = key.len();
    for item in page.items {
        key.truncate(common);
        key.push_str(&item.id);
        push_kept(&mut rows, &key, &item, || {
            view! { <ProxyRow item=item.clone() kept=StoredValue::new(kept.clone()) may_change asks/> }
        });
    }
    view! {
        <DataTable caption="Proxy settings" head=heads(&query).into() html=rows/>
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
            view! { <SortHeader label href=urls::sorted(&query, field) sorted/> }.into_any()
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
fn ProxyRow(item: ProxyView, kept: StoredValue<String>, may_change: bool, asks: bool) -> impl IntoView {
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
    let (last, health) = (item.last_test.clone(), item.health);
    let row_actions = view! { <RowActions item=item.clone() kept may_change asks/> };
    let (id, name) = (item.id.clone(), item.name.clone());
    view! {
        <tr role="row" data-testid="proxy-row" data-id=id data-name=name>
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
                <LastTestNote last health/>
            </Cell>
            <Cell actions=true>
                {row_actions}
            </Cell>
        </tr>
    }
    .into_any()
}

/// The row's buttons: a form whose buttons say what to do, and two links.
#[component]
fn RowActions(item: ProxyView, kept: StoredValue<String>, may_change: bool, asks: bool) -> impl IntoView {
    let name = &item.name;
    let edit = view! { <IconLink href=urls::edit(&item.id) label=format!("{} {name}", if may_change { "Edit" } else { "Look at" }) icon=IconName::Pencil/> };
    if !may_change {
        return edit.into_any();
    }
    let button = |intent: &'static str, label: String, icon: IconName, disabled: bool, formaction: Option<String>| {
        view! {
            <button
                class="btn-icon"
                type="submit"
                name="intent"
                value=intent
                formaction=formaction
                disabled=disabled
                aria-label=label.clone()
                title=label
            >
                <Icon name=icon/>
            </button>
        }
        .into_any()
    };
    let default = if item.is_default { format!("{name} is the default") } else { format!("Make {name} the default") };
    let delete = format!("Delete {name}");
    // Where somebody's traffic moves by it, a page says whose, and asks.
    let make_default = if asks && !item.is_default {
        view! { <IconLink href=urls::make_default(&item.id) label=default icon=IconName::Star/> }.into_any()
    } else {
        button("default", default, IconName::Star, item.is_default, None)
    };
    view! {
        <form method="post" action=urls::LIST class="flex justify-end max-sm:gap-1">
            <input type="hidden" name="id" value=item.id.clone()/>
            <input type="hidden" name="list" value=kept.get_value()/>
            {button("test-saved", format!("Test {name}"), IconName::Play, false, Some(urls::edit(&item.id)))}
            {edit}
            {button("duplicate", format!("Duplicate {name}"), IconName::Copy, false, None)}
            {make_default}
            <a class="btn-icon btn-icon-danger" href=urls::delete(&item.id) data-intent="delete" aria-label=delete.clone() title=delete>
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
fn Filters(query: ProxyQuery) -> impl IntoView {
    let text = |value: Option<String>| RwSignal::new(value.unwrap_or_default());
    let sort = Some(query.sort).filter(|sort| *sort != ProxySort::default()).map(|sort| sort.to_string());
    let limit = Some(query.limit).filter(|limit| *limit != ProxyQuery::DEFAULT_LIMIT);
    let all = |text: &str| (String::new(), text.to_string());
    let authentications: Vec<_> =
        std::iter::once(all("All")).chain(Authentication::ALL.iter().map(|a| (a.to_string(), a.label().to_string()))).collect();
    let schemes: Vec<_> =
        std::iter::once(all("All")).chain(Scheme::ALL.iter().map(|s| (s.to_string(), s.label().to_string()))).collect();
    let defaults = vec![all("All"), ("true".into(), "Only the default".into()), ("false".into(), "All others".into())];
    let clear = query.is_filtered().then(|| urls::unfiltered(&query));
    view! {
        <form
            id="proxy-filters"
            data-auto=""
            data-follow=""
            method="get"
            action=urls::LIST
            role="search"
            aria-label="Proxy settings"
            class="mb-4 grid group-has-[.nothing-yet]/list:hidden grid-cols-2 items-end gap-3 lg:grid-cols-[minmax(9rem,1fr)_repeat(3,minmax(7rem,10rem))_auto]"
        >
            <div class="col-span-2 lg:col-span-1">
                <TextInput
                    name="q"
                    label="Search"
                    value=text(Some(query.q.clone()))
                    input_type="search"
                    placeholder="Name, address or user"
                    verbatim=true
                />
            </div>
            <SelectInput
                name="authentication"
                label="Authentication"
                value=text(query.authentication.map(|a| a.to_string()))
                options=authentications
            />
            <SelectInput name="scheme" label="Proxy protocol" value=text(query.scheme.map(|s| s.to_string())) options=schemes/>
            <SelectInput name="is_default" label="Default" value=text(query.is_default.map(|d| d.to_string())) options=defaults/>
            // Cards have no column headers to sort by.
            <div class="sm:hidden">
                <SelectInput name="sort" label="Sort by" value=text(sort) options=orders()/>
            </div>
            {limit.map(|limit| view! { <input type="hidden" name="limit" value=limit.to_string()/> })}
            <div class="col-span-2 flex items-center gap-1 lg:col-span-1">
                <Button>
                    <Icon name=IconName::Search/>
                    "Search"
                </Button>
                <span id="proxy-clear" data-region="">
                    {clear.map(|href| view! { <LinkButton href kind=ButtonKind::Ghost>"Clear filters"</LinkButton> })}
                </span>
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
    // The usual order needs no word in the address.
    let value = |sort: ProxySort| if sort == ProxySort::default() { String::new() } else { sort.to_string() };
    let order = |field, descending, text: &str| (value(ProxySort { field, descending }), text.to_string());
    SortField::ALL
        .into_iter()
        .flat_map(|field| {
            let (up, down) = label(field);
            [order(field, false, up), order(field, true, down)]
        })
        .collect()
}
