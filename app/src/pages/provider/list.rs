//! All companies of the installation.

use gatehouse_domain::CompanyView;
use leptos::prelude::*;
use leptos_meta::Title;

use super::{COMPANIES, StatusNote, company_path, crumbs};
use crate::{
    components::{
        Banner, Breadcrumbs, Button, ButtonKind, Cell, DataTable, Day, EmptyState, ErrorState, HeaderCell, Icon, IconName, Kind,
        LinkButton, PageHeader, Row, TextInput, field_error, initial_value,
    },
    context::signed_in,
    error::ApiError,
    islands::proxies::urls::pairs,
    outcome::FormOutcome,
    page::{answer_with_status, use_outcome, use_path},
};

/// More than these are found by searching.
const MOST: usize = 200;

/// `/provider/companies?q=<text>`.
#[component]
pub fn CompanyListPage() -> impl IntoView {
    let q = pairs(&use_path().1).into_iter().find(|(name, _)| name == "q").map(|(_, q)| q).unwrap_or_default();
    let outcome = use_outcome();
    let content = async move {
        match load(&q).await {
            Ok(shown) => view! { <Found shown q outcome/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! { <ErrorState error=error.0/> }.into_any()
            }
        }
    };
    view! {
        <Title text="Companies"/>
        <Breadcrumbs items=crumbs(&[])/>
        <PageHeader
            title="Companies"
            subtitle="Everybody who uses this installation. What a company has, its settings and its people's work, is its own: you see that it is there, and nothing of it."
        />
        {Suspend::new(content)}
    }
    .into_any()
}

/// What the page shows.
struct Shown {
    companies: Vec<CompanyView>,
    /// How many fit the search, of how many.
    found: usize,
    all: usize,
    /// Whether there may be several.
    cloud: bool,
}

async fn load(q: &str) -> Result<Shown, ApiError> {
    let (platform, actor) = signed_in()?;
    let mut companies = platform.list_companies(&actor).await?;
    let all = companies.len();
    let wanted = q.trim().to_lowercase();
    companies.retain(|company| company.name.to_lowercase().contains(&wanted));
    let found = companies.len();
    companies.truncate(MOST);
    Ok(Shown { companies, found, all, cloud: platform.config().cloud })
}

#[component]
fn Found(shown: Shown, q: String, outcome: FormOutcome) -> impl IntoView {
    let Shown { companies, found, all, cloud } = shown;
    let error = outcome.error.as_ref();
    let failure = error.filter(|error| error.fields().is_empty());
    let failure = failure.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let create = if cloud {
        view! {
            <section class="panel" aria-labelledby="new-company-heading">
                <h2 id="new-company-heading">"New company"</h2>
                <CreateForm value=initial_value(&outcome, "name", "") problem=field_error(error, "name")/>
            </section>
        }
        .into_any()
    } else {
        view! { <Banner kind=Kind::Info title="This is the on-premise edition, which has one company."/> }.into_any()
    };
    let count = match (found, all) {
        (found, all) if found == all && all <= MOST => format!("{all} in all"),
        (found, all) if found <= MOST => format!("{found} of {all}"),
        (found, all) => format!("{MOST} of the {found} that fit, of {all}: search for more of the name"),
    };
    view! {
        {failure}
        {create}
        <form data-auto="" data-follow="" method="get" action=COMPANIES role="search" aria-label="Companies" class="inline-form mb-4">
            <TextInput name="q" label="Search" value=RwSignal::new(q) input_type="search" placeholder="Name" verbatim=true/>
            <Button>
                <Icon name=IconName::Search/>
                "Search"
            </Button>
        </form>
        <div id="company-rows" data-region="">
            <p class="subtle mb-3 text-sm" role="status">{count}</p>
            <Companies companies/>
        </div>
    }
    .into_any()
}

#[component]
fn CreateForm(value: String, problem: Option<String>) -> impl IntoView {
    view! {
        <form class="inline-form" method="post" action=COMPANIES novalidate>
            <TextInput
                name="name"
                label="Name"
                hint="Its first administrator is invited on its page."
                value=RwSignal::new(value)
                autofocus=problem.is_some()
                error=Signal::stored(problem)
                required=true
            />
            <Button kind=ButtonKind::Primary>
                <Icon name=IconName::Plus/>
                "Create company"
            </Button>
        </form>
    }
    .into_any()
}

#[component]
fn Companies(companies: Vec<CompanyView>) -> impl IntoView {
    if companies.is_empty() {
        return view! {
            <EmptyState icon=IconName::Search title="No matches" text="No company's name fits this search.">
                <LinkButton href=COMPANIES>"Show all"</LinkButton>
            </EmptyState>
        }
        .into_any();
    }
    let head = || {
        view! {
            <HeaderCell label="Name"/>
            <HeaderCell label="Status"/>
            <HeaderCell label="People" number=true/>
            <HeaderCell label="Since"/>
        }
        .into_any()
    };
    let rows = companies.into_iter().map(|company| view! { <CompanyRow company/> }).collect_view();
    view! {
        <DataTable caption="Companies" head=head.into()>
            {rows}
        </DataTable>
    }
    .into_any()
}

#[component]
fn CompanyRow(company: CompanyView) -> impl IntoView {
    let (href, name) = (company_path(&company.id), company.name.clone());
    let (people, at) = (company.people, company.created_at);
    view! {
        <Row>
            <Cell label="Name" title=true>
                <a class="link break-words" href=href>
                    {name}
                </a>
            </Cell>
            <Cell label="Status">
                <StatusNote company/>
            </Cell>
            <Cell label="People" number=true>
                {people}
            </Cell>
            <Cell label="Since">
                <Day at/>
            </Cell>
        </Row>
    }
    .into_any()
}
