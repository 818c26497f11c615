//! The form that starts an analysis, and the list of past ones. What the list shows stands in its URL.

use gatehouse_domain::{
    AnalysisQuery, AnalysisStatus, AnalysisView, AppError, IntegrationQuery, IntegrationStatus, Page, SubjectKind, Verdict,
};
use gatehouse_platform::analyses::MAX_INPUT;
use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    crumbs,
    parts::{NotUnderstood, Overall, Paging},
    urls,
};
use crate::{
    components::{
        Age, Badge, Banner, Breadcrumbs, Button, ButtonKind, Cell, DataTable, EmptyState, ErrorState, Field, HeaderCell, Icon,
        IconName, Kind, LinkButton, PageHeader, Row, SelectInput, SortHeader, Sorted, TextInput, field_error, initial_value,
    },
    context::signed_in,
    error::ApiError,
    outcome::FormOutcome,
    page::{answer_with_status, may_change, use_outcome, use_path},
};

/// Where the integrations are.
const INTEGRATIONS: &str = "/incident-responder/integrations";

/// What the platform calls a wrong text in the field `indicator`, depending on what it was taken for.
const TEXT_FIELDS: [&str; 4] = ["indicator", "url", "ip", "sha256"];
/// The same for `file`.
const FILE_FIELDS: [&str; 2] = ["file", "email"];

/// `/incident-responder/analyses`.
#[component]
pub fn AnalysisListPage() -> impl IntoView {
    let (query, errors) = urls::query(&use_path().1);
    let (outcome, may_change) = (use_outcome(), may_change());
    let content = async move {
        let active = has_active_integration().await;
        let answer = load(&query).await;
        view! {
            <PageHeader
                title="Analyses"
                subtitle="What do your integrations know about a URL, an IP address, a file or a reported e-mail? All that can look at it are asked at once."
            />
            <div id="analysis-notes" data-region="" class="mb-5 grid gap-3 empty:hidden">
                {(!active).then(|| view! { <NoIntegration/> })}
                <NotUnderstood errors/>
            </div>
            {may_change.then(|| view! { <Ask outcome/> })}
            <section aria-labelledby="past-heading" class="group/list">
                <h2 id="past-heading" class="mt-6 mb-3">"Past analyses"</h2>
                <Filters query=query.clone()/>
                <div id="analysis-rows" data-region="">
                    <Answer answer query may_change/>
                </div>
            </section>
        }
        .into_any()
    };
    view! {
        <Title text="Analyses"/>
        <Breadcrumbs items=crumbs(None)/>
        {Suspend::new(content)}
    }
    .into_any()
}

async fn load(query: &AnalysisQuery) -> Result<Page<AnalysisView>, ApiError> {
    let (platform, actor) = signed_in()?;
    Ok(platform.list_analyses(&actor, query).await?)
}

/// Whether anybody could be asked. When that can't be found out, the list says why.
async fn has_active_integration() -> bool {
    let Ok((platform, actor)) = signed_in() else { return true };
    let active = IntegrationQuery { status: Some(IntegrationStatus::Active), limit: 1, ..IntegrationQuery::default() };
    platform.list_integrations(&actor, &active).await.map_or(true, |page| !page.items.is_empty())
}

#[component]
fn NoIntegration() -> impl IntoView {
    view! {
        <Banner kind=Kind::Warning title="No integration is active, so nobody can be asked">
            <p>
                "An analysis without integrations ends without a verdict. "
                <a href=INTEGRATIONS>"Connect or activate one in Integrations"</a> "."
            </p>
        </Banner>
    }
    .into_any()
}

/// The message of the first of these fields that is wrong.
fn first_error(error: Option<&AppError>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| field_error(error, name))
}

/// The form that starts an analysis. A region, so that its errors appear without the page being loaded anew; what is typed and
/// chosen in it stays while the list is brought up to date.
#[component]
fn Ask(outcome: FormOutcome) -> impl IntoView {
    let error = outcome.error.as_ref();
    let (text_error, file_error) = (first_error(error, &TEXT_FIELDS), first_error(error, &FILE_FIELDS));
    let other = error.filter(|_| text_error.is_none() && file_error.is_none()).map(ToString::to_string);
    let described = if file_error.is_some() { "file-error file-hint" } else { "file-hint" };
    let invalid = file_error.is_some().then_some("true");
    let hint = format!(
        "A mail saved as .eml is taken apart: its links, sender and attachments are looked at. At most {} MB.",
        MAX_INPUT >> 20
    );
    let indicator = RwSignal::new(initial_value(&outcome, "indicator", ""));
    view! {
        <section class="panel" aria-labelledby="analyse-heading" data-drop="">
            <div class="mb-3 flex flex-wrap items-baseline gap-x-3">
                <h2 id="analyse-heading">"Analyse"</h2>
                <p class="js-only subtle text-sm">"You can drop a file or a mail here."</p>
            </div>
            <div id="analysis-form" data-region="" data-posted="">
                {other.map(|title| view! { <div class="mb-4"><Banner kind=Kind::Error title/></div> })}
                <form
                    method="post"
                    action=urls::LIST
                    enctype="multipart/form-data"
                    data-enhance=""
                    class="grid grid-cols-[minmax(0,1fr)] items-start gap-4 lg:grid-cols-[minmax(0,1fr)_minmax(0,1fr)_auto]"
                >
                    <TextInput
                        name="indicator"
                        label="URL, IP address or file hash"
                        value=indicator
                        error=text_error
                        hint="https://…, 192.0.2.1 or 2001:db8::1, an MD5, SHA-1 or SHA-256"
                        verbatim=true
                    />
                    <Field
                        name="file"
                        label="Or a file or a reported e-mail"
                        error=file_error
                        hint=Some(hint)
                    >
                        <input
                            class="input h-auto cursor-pointer px-2 py-1.5 file:mr-3 file:cursor-pointer file:rounded file:border-0 file:bg-base-300 file:px-3 file:py-1 file:text-base-content"
                            type="file"
                            id="file"
                            name="file"
                            aria-describedby=described
                            aria-invalid=invalid
                        />
                    </Field>
                    <Button kind=ButtonKind::Primary class="justify-self-start lg:mt-[1.875rem]">
                        <Icon name=IconName::Search/>
                        "Analyse"
                    </Button>
                    // A large file takes its time.
                    <p data-progress="" hidden role="status" class="subtle text-sm lg:col-span-3">
                        "Sending…"
                    </p>
                </form>
            </div>
        </section>
    }
    .into_any()
}

/// The rows, or why there are none.
#[component]
fn Answer(answer: Result<Page<AnalysisView>, ApiError>, query: AnalysisQuery, may_change: bool) -> impl IntoView {
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
    if page.items.is_empty() && !query.is_filtered() && query.cursor.is_none() {
        let text = if may_change {
            "Enter something above, or choose a file. Each active integration that can look at it is asked, through the proxy that was \
             chosen for it, and what each of them says is kept here."
        } else {
            "When somebody of your company analyses something, what the integrations said is kept here."
        };
        return view! {
            // Others may be quicker.
            <span data-refresh="5000" hidden></span>
            <div class="nothing-yet">
                <EmptyState icon=IconName::Search title="No analyses yet" text/>
            </div>
        }
        .into_any();
    }
    if page.items.is_empty() {
        return view! {
            <span data-refresh="5000" hidden></span>
            <EmptyState icon=IconName::Search title="No matches" text="No analysis fits this search and these filters.">
                <LinkButton href=urls::unfiltered(&query)>"Clear filters"</LinkButton>
            </EmptyState>
        }
        .into_any();
    }
    let running = page.items.iter().any(|item| item.status == AnalysisStatus::Running);
    let rows = page.items.into_iter().map(|item| view! { <AnalysisRow item/> }).collect_view();
    let first = query.cursor.is_some().then(|| urls::first(&query));
    let next = page.next.map(|cursor| urls::next(&query, &cursor));
    view! {
        // What others begin appears, too; sooner where something is on its way.
        <span data-refresh=if running { "3000" } else { "5000" } hidden></span>
        <DataTable caption="Past analyses" head=heads(&query).into()>
            {rows}
        </DataTable>
        <Paging first next/>
    }
    .into_any()
}

/// The header cells.
fn heads(query: &AnalysisQuery) -> impl FnOnce() -> AnyView + Send + 'static + use<> {
    let href = urls::turned_round(query);
    let sorted = if query.ascending { Sorted::Ascending } else { Sorted::Descending };
    move || {
        view! {
            <HeaderCell label="Analysed"/>
            <HeaderCell label="Verdict"/>
            <HeaderCell label="Progress"/>
            <HeaderCell label="By"/>
            <SortHeader label="Started" href sorted/>
        }
        .into_any()
    }
}

#[component]
fn AnalysisRow(item: AnalysisView) -> impl IntoView {
    let running = item.status == AnalysisStatus::Running;
    let kind = if running { Kind::Info } else { Kind::Neutral };
    let icon = if running { IconName::Clock } else { IconName::Check };
    let (status, counts) = (item.status.label(), format!("{} of {} look-ups", item.done, item.total));
    let href = urls::page(&item.id);
    let (value, what) = (item.subject.value.clone(), item.subject.kind.label());
    let title = value.clone();
    // A mail may have no subject line: a link without a word leads nowhere.
    let value = if value.trim().is_empty() { "(no subject)".to_string() } else { value };
    let (by, at) = (item.by.clone(), item.created_at);
    view! {
        <Row>
            <Cell label="Analysed" title=true>
                <div class="min-w-0">
                    <a class="link line-clamp-2 break-all" href=href title=title>
                        {value}
                    </a>
                    <span class="subtle block text-sm font-normal">{what}</span>
                </div>
            </Cell>
            <Cell label="Verdict">
                <Overall view=item reason=true/>
            </Cell>
            <Cell label="Progress">
                <span class="flex flex-wrap items-center gap-x-2">
                    <Badge kind icon>
                        {status}
                    </Badge>
                    <span class="subtle text-sm">{counts}</span>
                </span>
            </Cell>
            <Cell label="By">
                <span class="break-words">{by}</span>
            </Cell>
            <Cell label="Started">
                <Age at/>
            </Cell>
        </Row>
    }
    .into_any()
}

/// Search and filters: a GET form, asked by itself in the browser.
#[component]
fn Filters(query: AnalysisQuery) -> impl IntoView {
    let text = |value: Option<String>| RwSignal::new(value.unwrap_or_default());
    let all = || std::iter::once((String::new(), "All".to_string()));
    let verdicts: Vec<_> = all().chain(Verdict::ALL.iter().rev().map(|v| (v.to_string(), v.label().to_string()))).collect();
    let kinds: Vec<_> = all().chain(SubjectKind::ALL.iter().map(|k| (k.to_string(), k.label().to_string()))).collect();
    let statuses: Vec<_> = all().chain(AnalysisStatus::ALL.iter().map(|s| (s.to_string(), s.label().to_string()))).collect();
    let limit = Some(query.limit).filter(|limit| *limit != AnalysisQuery::default().limit);
    let sort = query.ascending.then_some("created_at");
    let clear = query.is_filtered().then(|| urls::unfiltered(&query));
    view! {
        <form
            data-auto=""
            data-follow=""
            method="get"
            action=urls::LIST
            role="search"
            aria-label="Past analyses"
            class="mb-4 grid group-has-[.nothing-yet]/list:hidden grid-cols-2 items-end gap-3 lg:grid-cols-[minmax(9rem,1fr)_repeat(3,minmax(7rem,10rem))_auto]"
        >
            <div class="col-span-2 lg:col-span-1">
                <TextInput
                    name="q"
                    label="Search"
                    value=text(Some(query.q.clone()))
                    input_type="search"
                    placeholder="URL, address, hash, file name, subject"
                    verbatim=true
                />
            </div>
            <SelectInput name="verdict" label="Verdict" value=text(query.verdict.map(|v| v.to_string())) options=verdicts/>
            <SelectInput name="kind" label="Kind" value=text(query.kind.map(|k| k.to_string())) options=kinds/>
            <SelectInput name="status" label="Progress" value=text(query.status.map(|s| s.to_string())) options=statuses/>
            // What the form has no field for. It follows the address with the rows.
            <span id="analysis-kept" data-region="" class="hidden">
                {sort.map(|sort| view! { <input type="hidden" name="sort" value=sort/> })}
                {limit.map(|limit| view! { <input type="hidden" name="limit" value=limit.to_string()/> })}
            </span>
            <div class="col-span-2 flex items-center gap-1 lg:col-span-1">
                <Button>
                    <Icon name=IconName::Search/>
                    "Search"
                </Button>
                <span id="analysis-clear" data-region="">
                    {clear.map(|href| view! { <LinkButton href kind=ButtonKind::Ghost>"Clear filters"</LinkButton> })}
                </span>
            </div>
        </form>
    }
    .into_any()
}
