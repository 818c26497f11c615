//! The console of whoever runs an installation for other companies.

mod company;
mod delete;
mod list;

pub use company::CompanyPage;
pub use delete::CompanyDeletePage;
pub use list::CompanyListPage;

use gatehouse_domain::{CompanyStatus, CompanyView};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use crate::{
    components::{Badge, Day, IconName, Kind},
    context::signed_in,
    error::ApiError,
};

/// The list.
pub(crate) const COMPANIES: &str = "/provider/companies";

fn company_path(id: &str) -> String {
    format!("{COMPANIES}/{id}")
}

fn delete_path(id: &str) -> String {
    format!("{COMPANIES}/{id}/delete")
}

/// Where the pages are: *Provider > Companies*, then the page itself.
fn crumbs(pages: &[(&str, Option<String>)]) -> Vec<(String, Option<String>)> {
    let list = (!pages.is_empty()).then(|| COMPANIES.to_string());
    let mut crumbs = vec![("Provider".into(), None), ("Companies".into(), list)];
    crumbs.extend(pages.iter().map(|(label, href)| ((*label).to_string(), href.clone())));
    crumbs
}

/// The company that the address names.
fn use_id() -> String {
    use_params_map().with_untracked(|params| params.get("id")).unwrap_or_default()
}

/// A company, and what its provider has to know about it.
struct Found {
    company: CompanyView,
    /// It is the provider's.
    is_own: bool,
    /// How long one that is deleted waits.
    days: u16,
}

async fn load(id: &str) -> Result<Found, ApiError> {
    let (platform, actor) = signed_in()?;
    let company = platform.company(&actor, id).await?;
    Ok(Found { is_own: company.id == actor.company.to_string(), company, days: platform.config().delete_company_days })
}

/// How long a company that is deleted waits, in words.
fn waiting(days: u16) -> String {
    match days {
        0 => "in a moment".into(),
        1 => "after one day".into(),
        days => format!("after {days} days"),
    }
}

/// How a company is, and when it is deleted.
#[component]
fn StatusNote(
    /// The company.
    company: CompanyView,
) -> impl IntoView {
    let (kind, icon, word) = match company.status {
        CompanyStatus::Active => (Kind::Success, IconName::CheckCircle, "Active"),
        CompanyStatus::Suspended => (Kind::Warning, IconName::Pause, "Suspended"),
        CompanyStatus::Deleting => (Kind::Error, IconName::Trash, "Deleting"),
    };
    let when = company.delete_after.map(|at| view! { <span class="subtle text-sm">" on " <Day at/></span> });
    view! {
        <span>
            <Badge kind icon>
                {word}
            </Badge>
            {when}
        </span>
    }
    .into_any()
}
