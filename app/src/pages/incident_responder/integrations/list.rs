//! The list of integrations. What it shows stands in its URL.

use std::sync::Arc;

use gatehouse_domain::{AppError, FieldErrors, IntegrationQuery, IntegrationStatus, IntegrationView, Page};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    crumbs,
    fields::proxy_options,
    parts::{LastResult, StatusNote, proxy_label},
    report::Report,
    urls,
};
use crate::{
    components::{
        Banner, Breadcrumbs, Button, ButtonKind, Cell, DataTable, Day, EmptyState, ErrorState, HeaderCell, Icon, IconLink,
        IconName, Kind, LinkButton, PageHeader, SelectInput, SortHeader, Sorted, TextInput,
    },
    context::signed_in,
    error::ApiError,
    outcome::FormOutcome,
    page::{answer_with_status, may_change, use_outcome, use_path},
};

const ABOUT: &str = "The services that your company's reported e-mails, links and files are looked up with. Each uses the proxy that you choose for it.";

/// What the page is made of.
struct Content {
    page: Result<Page<IntegrationView>, AppError>,
    /// Value and text of each option of the filters.
    kinds: Vec<(String, String)>,
    tags: Vec<(String, String)>,
    proxies: Vec<(String, String)>,
}

async fn content(query: &IntegrationQuery) -> Result<Content, ApiError> {
    let (platform, actor) = signed_in()?;
    let both = |text: &str| (text.to_string(), text.to_string());
    Ok(Content {
        page: platform.list_integrations(&actor, query).await,
        kinds: platform.engine_specs().map(|spec| (spec.kind.to_string(), spec.label.to_string())).collect(),
        tags: platform.integration_tags(&actor).await?.iter().map(|tag| both(tag)).collect(),
        proxies: proxy_options(&platform, &actor).await?,
    })
}

/// `/incident-responder/integrations`.
#[component]
pub fn IntegrationListPage() -> impl IntoView {
    let (query, errors) = urls::query(&use_path().1);
    let (outcome, may_change) = (use_outcome(), may_change());
    let page = async move {
        match content(&query).await {
            Ok(content) => view! { <List content query errors outcome may_change/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! {
                    <PageHeader title="Integrations" subtitle=ABOUT/>
                    <ErrorState error=error.0/>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Integrations"/>
        <Breadcrumbs items=crumbs(None)/>
        {Suspend::new(page)}
    }
    .into_any()
}

#[component]
fn List(content: Content, query: IntegrationQuery, errors: FieldErrors, outcome: FormOutcome, may_change: bool) -> impl IntoView {
    let Content { page, kinds, tags, proxies } = content;
    let first_time = page.as_ref().is_ok_and(|page| nothing_yet(page, &query));
    let tested = outcome.values.get("id");
    let name = tested.and_then(|id| page.as_ref().ok()?.items.iter().find(|item| item.id == *id).map(|item| item.name.clone()));
    view! {
        <PageHeader title="Integrations" subtitle=ABOUT>
            <div id="integration-new" data-region="">
                {(may_change && !first_time).then(|| view! { <NewButton/> })}
            </div>
        </PageHeader>
        <div id="integration-notes" data-region="" aria-live="polite" class="[&>.notice]:mb-4">
            <Notes outcome name errors/>
        </div>
        <div class="group/list">
            <Filters query=query.clone() kinds tags proxies/>
            // Others change integrations, and tests are made by themselves.
            <div id="integration-rows" data-region="" data-refresh="5000">
                <Answer page query may_change/>
            </div>
        </div>
    }
    .into_any()
}

/// What the last button led to, and what of the address was not understood.
#[component]
fn Notes(outcome: FormOutcome, name: Option<String>, errors: FieldErrors) -> impl IntoView {
    let not_understood = (!errors.is_empty()).then(|| {
        let texts = errors.0.into_iter().map(|(key, text)| view! { <li>{format!("{key}: {text}")}</li> }).collect_view();
        view! {
            <Banner kind=Kind::Warning title="A part of this address was not understood and is left out">
                <ul class="m-0 list-disc pl-5">{texts}</ul>
            </Banner>
        }
    });
    let error = outcome.error.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let report = outcome.integration_report.map(|report| {
        let name = name.unwrap_or_else(|| "an integration that is not in this list".to_string());
        view! { <Report report name/> }
    });
    view! {
        {error}
        {report}
        {not_understood}
    }
    .into_any()
}

/// The first page of an unfiltered list is empty: there are no integrations at all.
fn nothing_yet(page: &Page<IntegrationView>, query: &IntegrationQuery) -> bool {
    page.items.is_empty() && !query.is_filtered() && query.cursor.is_none()
}

#[component]
fn NewButton() -> impl IntoView {
    view! {
        <LinkButton href=urls::NEW kind=ButtonKind::Primary>
            "+ NEW"
            <span class="sr-only">" integration"</span>
        </LinkButton>
    }
    .into_any()
}

/// The rows, or why there are none.
#[component]
fn Answer(page: Result<Page<IntegrationView>, AppError>, query: IntegrationQuery, may_change: bool) -> impl IntoView {
    let page = match page {
        Ok(page) => page,
        Err(error) => {
            // A link to a page of the list outlives the list it was made from.
            if error.fields().get("cursor").is_some() {
                return view! {
                    <Banner kind=Kind::Warning title="This page of the list is not there any more.">
                        <LinkButton href=urls::first(&query)>"Show the first page"</LinkButton>
                    </Banner>
                }
                .into_any();
            }
            answer_with_status(&error);
            return view! { <ErrorState error/> }.into_any();
        }
    };
    if nothing_yet(&page, &query) {
        return view! { <NothingYet may_change/> }.into_any();
    }
    if page.items.is_empty() {
        return view! {
            <EmptyState icon=IconName::Search title="No matches" text="No integration fits this search and these filters.">
                <LinkButton href=urls::unfiltered(&query)>"Clear filters"</LinkButton>
            </EmptyState>
        }
        .into_any();
    }
    let shared = Arc::new(query.clone());
    let rows = page.items.into_iter().map(|item| view! { <IntegrationRow item query=shared.clone() may_change/> }).collect_view();
    view! {
        <div class="sm:[&_td]:px-2 sm:[&_th]:px-2">
            <DataTable caption="Integrations" head=heads(&query).into()>
                {rows}
            </DataTable>
        </div>
        <Paging query next=page.next/>
    }
    .into_any()
}

#[component]
fn NothingYet(may_change: bool) -> impl IntoView {
    view! {
        <div class="nothing-yet">
            <EmptyState
                icon=IconName::Plug
                title="No integrations yet"
                text="An integration connects Gatehouse with a service that knows about malicious links, addresses and files, such as VirusTotal. When \
                somebody reports an e-mail, all active ones are asked at once, each through the proxy that you choose for it. Most need a key that \
                you get from the service."
            >
                {may_change.then(|| view! { <NewButton/> })}
            </EmptyState>
        </div>
    }
    .into_any()
}

/// The header cells.
fn heads(query: &IntegrationQuery) -> impl FnOnce() -> AnyView + Send + 'static + use<> {
    let query = query.clone();
    move || {
        let sort = |field: &'static str, label: &'static str| {
            let sorted = match query.sort.strip_prefix('-') {
                Some(by) if by == field => Sorted::Descending,
                None if query.sort == field => Sorted::Ascending,
                _ => Sorted::No,
            };
            view! { <SortHeader label href=urls::sorted(&query, field) sorted/> }.into_any()
        };
        view! {
            {sort("name", "Name")}
            {sort("type", "Type")}
            <HeaderCell label="Description"/>
            <HeaderCell label="Proxy"/>
            <HeaderCell label="Tags"/>
            {sort("status", "Status")}
            <HeaderCell label="Last result"/>
            {sort("created_at", "Date Created")}
            <HeaderCell label="Actions"/>
        }
        .into_any()
    }
}

#[component]
fn IntegrationRow(item: IntegrationView, query: Arc<IntegrationQuery>, may_change: bool) -> impl IntoView {
    let proxy = proxy_label(&item.proxy, item.proxy_name.as_deref());
    let full = item.description.clone();
    let description = if full.is_empty() { "–".to_string() } else { full.clone() };
    let (id, href, name, kind) = (item.id.clone(), urls::edit(&item.id), item.name.clone(), item.type_name.clone());
    let (status, last, created_at) = (item.clone(), item.last_test.clone(), item.created_at);
    let tags = item
        .tags
        .iter()
        .map(|tag| {
            let label = format!("Only those with the tag {tag}");
            view! {
                <a class="tag max-w-full" href=urls::tagged(&query, tag) title=label>
                    <span class="truncate">{tag.clone()}</span>
                </a>
            }
        })
        .collect_view();
    let warnings = (!item.warnings.is_empty()).then(|| {
        view! {
            <span class="mt-0.5 flex items-center gap-1 text-sm font-normal" title=item.warnings.join("\n")>
                <Icon name=IconName::Warning/>
                "Look at its warnings"
            </span>
        }
    });
    view! {
        <tr role="row" data-id=id>
            <Cell label="Name" title=true>
                <div class="min-w-0">
                    <a class="link break-words" href=href>
                        {name}
                    </a>
                    {warnings}
                </div>
            </Cell>
            <Cell label="Type">{kind}</Cell>
            <Cell label="Description">
                <span class="line-clamp-2 text-sm" title=full>
                    {description}
                </span>
            </Cell>
            <Cell label="Proxy">
                <span class="wrap-anywhere">{proxy}</span>
            </Cell>
            <Cell label="Tags">
                <span class="flex flex-wrap gap-1">{tags}</span>
            </Cell>
            <Cell label="Status">
                <StatusNote item=status/>
            </Cell>
            <Cell label="Last result">
                <LastResult last/>
            </Cell>
            <Cell label="Date Created">
                <Day at=created_at/>
            </Cell>
            <Cell actions=true>
                <RowActions item query may_change/>
            </Cell>
        </tr>
    }
    .into_any()
}

/// The row's buttons: a form whose buttons say what to do, and two links.
#[component]
fn RowActions(item: IntegrationView, query: Arc<IntegrationQuery>, may_change: bool) -> impl IntoView {
    let name = &item.name;
    let verb = if may_change { "Edit" } else { "Look at" };
    let edit = view! { <IconLink href=urls::edit(&item.id) label=format!("{verb} {name}") icon=IconName::Pencil/> };
    if !may_change {
        return edit.into_any();
    }
    // What the status button says changes when it is pressed: it keeps the focus by this name.
    let button = |intent: &'static str, label: String, icon: IconName| {
        let same = if intent.ends_with("activate") { "status" } else { intent };
        view! {
            <button class="btn-icon" type="submit" name="intent" value=intent data-same=format!("{same} {name}") aria-label=label.clone() title=label>
                <Icon name=icon/>
            </button>
        }
        .into_any()
    };
    let status = match item.status {
        IntegrationStatus::Active => button("deactivate", format!("Deactivate {name}"), IconName::Pause),
        IntegrationStatus::Inactive => button("activate", format!("Activate {name}"), IconName::Power),
    };
    let list = urls::list(&query);
    let kept = list.split_once('?').map(|(_, search)| search.to_string()).unwrap_or_default();
    view! {
        <form method="post" action=list data-enhance="" class="flex flex-wrap gap-y-1 max-sm:gap-1 sm:ml-auto sm:w-28 sm:justify-end">
            <input type="hidden" name="id" value=item.id.clone()/>
            <input type="hidden" name="list" value=kept/>
            {edit}
            {button("test-saved", format!("Test {name}"), IconName::Play)}
            {status}
            {button("duplicate", format!("Duplicate {name}"), IconName::Copy)}
            <IconLink href=urls::delete(&item.id) label=format!("Delete {name}") icon=IconName::Trash danger=true/>
        </form>
    }
    .into_any()
}

/// Links to the next and the first page.
#[component]
fn Paging(query: IntegrationQuery, next: Option<String>) -> impl IntoView {
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
fn Filters(
    query: IntegrationQuery, kinds: Vec<(String, String)>, tags: Vec<(String, String)>, proxies: Vec<(String, String)>,
) -> impl IntoView {
    let text = |value: Option<String>| RwSignal::new(value.unwrap_or_default());
    let all = |options: Vec<(String, String)>, chosen: &Option<String>| {
        let mut all = vec![(String::new(), "All".to_string())];
        all.extend(options);
        // A filter from an address may name what is not there (any more): it still says what is filtered by.
        if let Some(chosen) = chosen.as_ref().filter(|chosen| all.iter().all(|(value, _)| value != *chosen)) {
            all.push((chosen.clone(), chosen.clone()));
        }
        all
    };
    let (kind, tag) = (query.kind.clone(), query.tag.clone());
    let status = query.status.map(|status| status.to_string());
    let proxy = query.proxy.as_ref().map(|proxy| proxy.to_field().to_string());
    let statuses = [IntegrationStatus::Active, IntegrationStatus::Inactive].map(|s| (s.to_string(), s.label().to_string()));
    let statuses = all(statuses.to_vec(), &status);
    let (kinds, tags, proxies) = (all(kinds, &kind), all(tags, &tag), all(proxies, &proxy));
    let sort = Some(query.sort.clone()).filter(|sort| sort != "name");
    let limit = Some(query.limit).filter(|limit| *limit != IntegrationQuery::default().limit);
    let clear = query.is_filtered().then(|| urls::unfiltered(&query));
    view! {
        <form
            data-auto=""
            data-follow=""
            method="get"
            action=urls::LIST
            role="search"
            aria-label="Integrations"
            class="mb-4 grid grid-cols-2 items-end gap-3 group-has-[.nothing-yet]/list:hidden lg:grid-cols-[minmax(9rem,1fr)_repeat(4,minmax(6rem,9rem))_auto]"
        >
            <div class="col-span-2 lg:col-span-1">
                <TextInput
                    name="q"
                    label="Search"
                    value=text(Some(query.q.clone()))
                    input_type="search"
                    placeholder="Name, description, address or tag"
                    verbatim=true
                />
            </div>
            <SelectInput name="type" label="Type" value=text(kind) options=kinds/>
            <SelectInput name="status" label="Status" value=text(status) options=statuses/>
            <SelectInput name="tag" label="Tag" value=text(tag) options=tags/>
            <SelectInput name="proxy" label="Proxy" value=text(proxy) options=proxies/>
            // Cards have no column headers to sort by.
            <div class="col-span-2 sm:hidden">
                <SelectInput name="sort" label="Sort by" value=text(sort) options=orders()/>
            </div>
            {limit.map(|limit| view! { <input type="hidden" name="limit" value=limit.to_string()/> })}
            <div class="col-span-2 flex items-center gap-1 lg:col-span-1">
                <Button>
                    <Icon name=IconName::Search/>
                    "Search"
                </Button>
                <span id="integration-clear" data-region="">
                    {clear.map(|href| view! { <LinkButton href kind=ButtonKind::Ghost>"Clear filters"</LinkButton> })}
                </span>
            </div>
        </form>
    }
    .into_any()
}

/// Every order, for the screens without column headers. The usual one needs no word in the address.
fn orders() -> Vec<(String, String)> {
    [
        ("", "Name, A first"),
        ("-name", "Name, Z first"),
        ("type", "Type, A first"),
        ("-type", "Type, Z first"),
        ("status", "Status, active first"),
        ("-status", "Status, inactive first"),
        ("-created_at", "Newest first"),
        ("created_at", "Oldest first"),
    ]
    .map(|(value, text)| (value.to_string(), text.to_string()))
    .to_vec()
}
