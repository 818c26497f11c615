//! The page. What it shows stands in its URL.

use gatehouse_domain::{AuditQuery, AuditView, Operation, Page, PersonView, Timestamp};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    changes::{self, Change},
    urls,
};
use crate::{
    components::{
        Age, Badge, Breadcrumbs, Button, ButtonKind, Cell, DataTable, EmptyState, ErrorState, Field, HeaderCell, Icon, IconName,
        Kind, LinkButton, PageHeader, Row, SelectInput, TextInput,
    },
    context::signed_in,
    error::ApiError,
    page::{answer_with_status, use_path},
    pages::incident_responder::analyses::{NotUnderstood, Paging},
};

/// `/company/settings/audit`.
#[component]
pub fn AuditPage() -> impl IntoView {
    let (query, errors) = urls::read(&use_path().1);
    let export = urls::export(&query);
    let content = async move {
        match load(&query).await {
            Ok((page, people)) => view! { <Content query page people/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! {
                    <div id="audit-rows" data-region="">
                        <ErrorState error=error.0/>
                    </div>
                }
                .into_any()
            }
        }
    };
    view! {
        <Title text="Audit Log"/>
        <Breadcrumbs items=vec![("Company".into(), None), ("Company Settings".into(), None), ("Audit Log".into(), None)]/>
        <PageHeader
            title="Audit Log"
            subtitle="Every change and every sign-in: who, what, from where, and what it was before and after. Secrets are never in it, and nothing can be taken out of it."
        >
            <div id="audit-actions" data-region="" class="actions">
                <a class="btn" href=export download="audit.jsonl">
                    "Export JSON lines"
                </a>
            </div>
        </PageHeader>
        <div id="audit-notes" data-region="" class="mb-5 empty:hidden">
            <NotUnderstood errors/>
        </div>
        {Suspend::new(content)}
    }
    .into_any()
}

async fn load(query: &AuditQuery) -> Result<(Page<AuditView>, Vec<PersonView>), ApiError> {
    let (platform, actor) = signed_in()?;
    let page = platform.audit(&actor, query).await?;
    Ok((page, platform.people(&actor).await?))
}

#[component]
fn Content(query: AuditQuery, page: Page<AuditView>, people: Vec<PersonView>) -> impl IntoView {
    view! {
        <section aria-label="Entries">
            <Filters query=query.clone() people/>
            <div id="audit-rows" data-region="">
                <OneTarget query=query.clone() page=page.clone()/>
                <Answer query page/>
            </div>
        </section>
    }
    .into_any()
}

/// Search and filters: a GET form, asked by itself in the browser.
#[component]
fn Filters(query: AuditQuery, people: Vec<PersonView>) -> impl IntoView {
    let text = |value: Option<String>| RwSignal::new(value.unwrap_or_default());
    let clear = query.is_filtered().then(|| urls::unfiltered(&query));
    let mut kept = urls::kept(&query);
    kept.extend(query.target.clone().map(|id| ("target", id)));
    let kept = kept.into_iter().map(|(name, value)| view! { <input type="hidden" name=name value=value/> }).collect_view();
    view! {
        <form
            data-auto=""
            method="get"
            action=urls::PAGE
            role="search"
            aria-label="Audit log"
            novalidate
            class="mb-4 grid grid-cols-2 items-end gap-3 lg:grid-cols-[minmax(9rem,1fr)_repeat(2,minmax(7rem,12rem))_repeat(2,auto)]"
        >
            <div class="col-span-2 lg:col-span-1">
                <TextInput
                    name="q"
                    label="Search"
                    value=text(Some(query.q.clone()))
                    input_type="search"
                    placeholder="Name, e-mail, address, what"
                    verbatim=true
                />
            </div>
            <SelectInput name="who" label="Person" value=text(query.who.clone()) options=persons(&query, people)/>
            <SelectInput name="operation" label="What" value=text(query.operation.clone()) options=operations()/>
            <Moment name="from" label="From (UTC)" at=query.from/>
            <Moment name="to" label="To (UTC)" at=query.to/>
            // What the form has no field for. It follows the address with the rows.
            <span id="audit-kept" data-region="" class="hidden">
                {kept}
            </span>
            <div class="col-span-2 flex items-center gap-1 lg:col-span-full">
                <Button>
                    <Icon name=IconName::Search/>
                    "Search"
                </Button>
                <span id="audit-clear" data-region="">
                    {clear.map(|href| view! { <LinkButton href kind=ButtonKind::Ghost>"Clear filters"</LinkButton> })}
                </span>
            </div>
        </form>
    }
    .into_any()
}

/// A field for a moment, to the second.
#[component]
fn Moment(name: &'static str, label: &'static str, at: Option<Timestamp>) -> impl IntoView {
    let value = at.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string());
    view! {
        <div class="max-sm:col-span-2">
            <Field name label>
                <input class="input" type="datetime-local" step="1" id=name name=name value=value autocomplete="off"/>
            </Field>
        </div>
    }
    .into_any()
}

/// Everybody who can be chosen; also who is asked for and not of the company any more.
fn persons(query: &AuditQuery, people: Vec<PersonView>) -> Vec<(String, String)> {
    let mut options = vec![(String::new(), "Everybody".to_string())];
    let asked = query.who.as_deref().unwrap_or_default();
    for person in people {
        // A link may name somebody by their e-mail address.
        let by_email = !asked.is_empty() && person.email.to_lowercase() == asked.to_lowercase();
        options.push((if by_email { asked.to_string() } else { person.id }, person.name));
    }
    if options.iter().all(|(value, _)| value != asked) {
        let text = if asked.contains('@') { asked.to_string() } else { "Somebody who is not here any more".to_string() };
        options.push((asked.to_string(), text));
    }
    options
}

/// Everything that can stand in the log.
fn operations() -> Vec<(String, String)> {
    let mut changes: Vec<_> = Operation::ALL.iter().filter(|operation| operation.is_change()).collect();
    changes.sort_by_key(|operation| operation.label());
    let all = std::iter::once((String::new(), "Everything".to_string()));
    all.chain(changes.into_iter().map(|operation| (operation.as_str().to_string(), operation.label().to_string()))).collect()
}

/// A filter that came by a link and has no field: what it is, and a way back.
#[component]
fn OneTarget(query: AuditQuery, page: Page<AuditView>) -> impl IntoView {
    let wanted = query.target.clone();
    wanted
        .map(|id| {
            let targets = page.items.iter().filter_map(|item| item.entry.target.as_ref());
            let name =
                targets.filter(|target| target.id == id && !target.name.is_empty()).map(|target| target.name.clone()).next();
            let text = format!("What was done to {}", name.unwrap_or_else(|| "one thing".into()));
            view! {
                <p class="mb-3 flex flex-wrap items-center gap-2">
                    <Badge kind=Kind::Info icon=IconName::Filter>
                        <span class="max-w-60 truncate">{text}</span>
                    </Badge>
                    <a class="link text-sm" href=urls::of_target(&query, None)>
                        "Show everything"
                    </a>
                </p>
            }
        })
        .into_any()
}

/// The rows, or why there are none.
#[component]
fn Answer(query: AuditQuery, page: Page<AuditView>) -> impl IntoView {
    let first = query.cursor.is_some().then(|| urls::page(&query, None));
    let next = page.next.clone().map(|cursor| urls::page(&query, Some(cursor)));
    if page.items.is_empty() {
        return view! { <Nothing query first next/> }.into_any();
    }
    let rows = page.items.into_iter().map(|item| view! { <EntryRow item query=query.clone()/> }).collect_view();
    view! {
        <DataTable
            caption="Entries of the audit log, the newest first"
            head=ViewFnOnce::from(|| {
                view! {
                    <HeaderCell label="What"/>
                    <HeaderCell label="When (UTC)"/>
                    <HeaderCell label="Who"/>
                    <HeaderCell label="To what"/>
                    <HeaderCell label="From where"/>
                }
            })
        >
            {rows}
        </DataTable>
        <Paging first next/>
    }
    .into_any()
}

#[component]
fn Nothing(query: AuditQuery, first: Option<String>, next: Option<String>) -> impl IntoView {
    if let Some(older) = next {
        // A search that finds nothing for long is asked whether to go on.
        return view! {
            <EmptyState
                icon=IconName::Search
                title="Nothing found yet"
                text="The entries that were looked at hold no match. Older ones have not been looked at."
            >
                <LinkButton href=older>"Search older entries"</LinkButton>
                {first.map(|href| view! { <LinkButton href>"First page"</LinkButton> })}
            </EmptyState>
        }
        .into_any();
    }
    if query.is_filtered() || query.cursor.is_some() {
        return view! {
            <EmptyState icon=IconName::Search title="No matches" text="No entry fits this search and these filters.">
                <LinkButton href=urls::unfiltered(&query)>"Clear filters"</LinkButton>
            </EmptyState>
        }
        .into_any();
    }
    view! {
        <EmptyState
            icon=IconName::Clock
            title="Nothing yet"
            text="Every change of settings, people and policy and every sign-in leaves an entry here: who, what, from where, and what it was before."
        />
    }
    .into_any()
}

#[component]
fn EntryRow(item: AuditView, query: AuditQuery) -> impl IntoView {
    let AuditView { number, entry, .. } = item;
    let label = entry.label().to_string();
    let changes = changes::of(&entry);
    // What is exact, beside what is easily read: other logs are compared with it.
    let exact = entry.at.format("%Y-%m-%d %H:%M:%S").to_string();
    let (at, via) = (entry.at, entry.via.label());
    let name = if entry.who.name.is_empty() { "Somebody".to_string() } else { entry.who.name.clone() };
    let email = entry.who.email.clone();
    let address = entry.address.clone();
    let target = entry.target.map(|target| {
        let kind = target.kind.replace('_', " ");
        // A session has no name.
        let (name, kind) = if target.name.is_empty() { (format!("a {kind}"), None) } else { (target.name, Some(kind)) };
        view! {
            <a class="link wrap-anywhere" href=urls::of_target(&query, Some(&target.id)) title="Show what else was done to it">
                {name}
            </a>
            {kind.map(|kind| view! { <span class="subtle block text-sm">{kind}</span> })}
        }
    });
    view! {
        <Row>
            <Cell label="What" title=true>
                <div class="min-w-0">
                    <span class="block">{label.clone()}</span>
                    <span class="subtle text-sm font-normal">"Entry "{number}</span>
                    <Changes changes label/>
                </div>
            </Cell>
            <Cell label="When (UTC)">
                <div class="min-w-0">
                    <Age at/>
                    <span class="subtle block text-sm">{exact}</span>
                </div>
            </Cell>
            <Cell label="Who">
                <div class="min-w-0">
                    <span class="wrap-anywhere">{name}</span>
                    {(!email.is_empty()).then(|| view! { <span class="subtle block text-sm break-all">{email}</span> })}
                </div>
            </Cell>
            <Cell label="To what">
                <div class="min-w-0">{target.map_or_else(|| view! { <span class="subtle">"–"</span> }.into_any(), IntoAny::into_any)}</div>
            </Cell>
            <Cell label="From where">
                <div class="min-w-0">
                    <span class="block">{via}</span>
                    {(!address.is_empty()).then(|| view! { <span class="subtle text-sm break-all">{address}</span> })}
                </div>
            </Cell>
        </Row>
    }
    .into_any()
}

/// Before and after, field by field.
#[component]
fn Changes(changes: Vec<Change>, label: String) -> impl IntoView {
    if changes.is_empty() {
        return ().into_any();
    }
    let rows = changes
        .into_iter()
        .map(|Change { field, before, after }| {
            let value = |text: String| view! { <span class="wrap-anywhere whitespace-pre-wrap">{text}</span> };
            let told = match (before, after) {
                (Some(before), Some(after)) => view! {
                    <del class="no-underline">{value(before)}</del>
                    <span class="subtle">" → "</span>
                    <ins class="font-medium no-underline">{value(after)}</ins>
                }
                .into_any(),
                (Some(before), None) => view! { <span class="subtle">"was "</span> {value(before)} }.into_any(),
                (None, Some(after)) => value(after).into_any(),
                (None, None) => ().into_any(),
            };
            view! {
                <div>
                    <dt class="subtle inline">{field}": "</dt>
                    <dd class="inline">{told}</dd>
                </div>
            }
        })
        .collect_view();
    view! {
        <details class="mt-1 text-sm font-normal">
            <summary class="cursor-pointer py-1" aria-label=format!("Details of “{label}”")>
                "Details"
            </summary>
            <dl class="mt-1 grid max-w-xl gap-1">{rows}</dl>
        </details>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_stands_in_the_log_can_be_asked_for() {
        for (value, text) in operations() {
            let (query, errors) = urls::read(&format!("operation={value}"));
            assert!(errors.is_empty() && !text.is_empty(), "{value}");
            assert_eq!(query.operation.unwrap_or_default(), value);
        }
    }

    #[test]
    fn who_is_gone_can_still_be_chosen() {
        let query = AuditQuery { who: Some("p9".into()), ..urls::everything() };
        let options = persons(&query, Vec::new());
        assert_eq!(options.last(), Some(&("p9".to_string(), "Somebody who is not here any more".to_string())));
        assert_eq!(persons(&urls::everything(), Vec::new()).len(), 1);
    }
}
