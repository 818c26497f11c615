//! Integrations: the list, the form, and the question before one is deleted.
//!
//! All of it is plain HTML that only the server renders; `browser::enhance` posts its forms without loading the page anew.

mod delete;
mod edit;
mod fields;
mod form;
mod list;
mod parts;
mod report;
pub(crate) mod urls;
pub(crate) mod values;

pub use delete::IntegrationDeletePage;
pub use edit::{IntegrationEditPage, IntegrationNewPage};
pub(crate) use fields::proxy_options;
pub use list::IntegrationListPage;
pub(crate) use parts::proxy_label;

use gatehouse_domain::IntegrationView;
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use crate::{context::signed_in, error::ApiError};

/// Where the pages are: *Incident Responder > Integrations*, then the page itself.
fn crumbs(page: Option<&str>) -> Vec<(String, Option<String>)> {
    let list = page.map(|_| urls::LIST.to_string());
    let mut crumbs = vec![("Incident Responder".into(), None), ("Integrations".into(), list)];
    crumbs.extend(page.map(|page| (page.to_string(), None)));
    crumbs
}

/// The integration that the address names.
fn use_id() -> String {
    use_params_map().with_untracked(|params| params.get("id")).unwrap_or_default()
}

async fn load(id: &str) -> Result<IntegrationView, ApiError> {
    let (platform, actor) = signed_in()?;
    Ok(platform.integration(&actor, id).await?)
}
