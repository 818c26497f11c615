//! Analyses: the list with the form that starts one, and the page of one.

mod list;
mod page;
mod parts;
pub mod urls;
mod words;

pub use list::AnalysisListPage;
pub use page::AnalysisPage;

pub(crate) use parts::{NotUnderstood, Paging};
pub(super) use words::duration;

/// Where the pages are: *Incident Responder > Analyses*, then the page itself.
fn crumbs(page: Option<&str>) -> Vec<(String, Option<String>)> {
    let list = page.map(|_| urls::LIST.to_string());
    let mut crumbs = vec![("Incident Responder".into(), None), ("Analyses".into(), list)];
    crumbs.extend(page.map(|page| (page.to_string(), None)));
    crumbs
}
