//! Proxy settings: the list, the form, Test Connection, and the question before one is deleted.
//!
//! Every page is plain HTML first: lists and filters are links and GET forms, changes are POST forms that `forms::proxies`
//! answers. In the browser the same elements call server functions instead, and nothing is loaded anew.

mod actions;
mod delete;
mod editor;
mod guard;
mod lines;
mod list;
mod parts;
mod progress;
mod test;
pub mod urls;
pub mod values;

pub use delete::ProxyDeletePage;
pub use editor::{ProxyEditPage, ProxyNewPage};
pub use list::ProxyListPage;

use gatehouse_domain::AppError;

/// The answer's status, when the page can only say what went wrong.
fn answer_with_status(error: &AppError) {
    #[cfg(feature = "ssr")]
    if let Some(response) = leptos::prelude::use_context::<leptos_axum::ResponseOptions>()
        && let Ok(status) = http::StatusCode::from_u16(error.status())
    {
        response.set_status(status);
    }
    #[cfg(not(feature = "ssr"))]
    let _ = error;
}

/// Where the pages are: *Company > Company Settings > Proxy Settings*, then the page itself.
fn crumbs(page: Option<&str>) -> Vec<(String, Option<String>)> {
    let list = page.map(|_| urls::LIST.to_string());
    let mut crumbs = vec![("Company".into(), None), ("Company Settings".into(), None), ("Proxy Settings".into(), list)];
    crumbs.extend(page.map(|page| (page.to_string(), None)));
    crumbs
}
