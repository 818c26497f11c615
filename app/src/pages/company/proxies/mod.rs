//! Proxy settings: the list, the form, and the question before one is deleted. What they do in the browser is in
//! `islands::proxies`.

mod default;
mod delete;
mod edit;
mod list;
mod parts;

pub use default::ProxyDefaultPage;
pub use delete::ProxyDeletePage;
pub use edit::{ProxyEditPage, ProxyNewPage};
pub use list::ProxyListPage;

use gatehouse_domain::{AppError, ProxyQuery, ProxyView};
use gatehouse_platform::{Actor, Platform};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use crate::islands::proxies::urls;

/// Where the pages are: *Company > Company Settings > Proxy Settings*, then the page itself.
fn crumbs(page: Option<&str>) -> Vec<(String, Option<String>)> {
    let list = page.map(|_| urls::LIST.to_string());
    let mut crumbs = vec![("Company".into(), None), ("Company Settings".into(), None), ("Proxy Settings".into(), list)];
    crumbs.extend(page.map(|page| (page.to_string(), None)));
    crumbs
}

/// All settings of the company, by name: for a choice among them.
pub(crate) async fn all(platform: &Platform, actor: &Actor) -> Result<Vec<ProxyView>, AppError> {
    let mut settings = Vec::new();
    let mut query = ProxyQuery { limit: ProxyQuery::MAX_LIMIT, ..ProxyQuery::default() };
    loop {
        let page = platform.list_proxies(actor, &query).await?;
        settings.extend(page.items);
        if page.next.is_none() {
            return Ok(settings);
        }
        query.cursor = page.next;
    }
}

/// The setting that the address names.
fn use_id() -> String {
    use_params_map().with_untracked(|params| params.get("id")).unwrap_or_default()
}
