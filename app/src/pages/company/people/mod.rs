//! The people of the company: who belongs to it, who is invited, what each may do.

mod delete;
mod edit;
mod list;
mod parts;
mod withdraw;

pub use delete::PersonDeletePage;
pub use edit::PersonEditPage;
pub use list::PeoplePage;
pub(crate) use parts::NewLink;
pub use withdraw::WithdrawPage;

use gatehouse_domain::{PersonView, Role};
use gatehouse_platform::{Actor, people::roles_to_give};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use crate::{context::signed_in, error::ApiError, page::use_session};

/// The list.
pub(crate) const PEOPLE: &str = "/company/settings/people";

fn edit_path(id: &str) -> String {
    format!("{PEOPLE}/{id}")
}

fn delete_path(id: &str) -> String {
    format!("{PEOPLE}/{id}/delete")
}

fn withdraw_path(id: &str) -> String {
    format!("{PEOPLE}/invitations/{id}/withdraw")
}

/// Where the pages are. A provider has them in another place of the navigation.
fn crumbs(page: Option<&str>) -> Vec<(String, Option<String>)> {
    let mut crumbs: Vec<(String, Option<String>)> = match use_session().map(|session| session.role) {
        Some(Role::Provider) => vec![("Provider".into(), None)],
        _ => vec![("Company".into(), None), ("Company Settings".into(), None)],
    };
    crumbs.push(("People".into(), page.map(|_| PEOPLE.to_string())));
    crumbs.extend(page.map(|page| (page.to_string(), None)));
    crumbs
}

/// Who or what the address names.
fn use_id() -> String {
    use_params_map().with_untracked(|params| params.get("id")).unwrap_or_default()
}

/// Somebody, and who looks at them.
struct Found {
    person: PersonView,
    is_you: bool,
    /// What whoever looks may make of them; empty where they may change nothing of them.
    roles: Vec<Role>,
}

async fn load(id: &str) -> Result<Found, ApiError> {
    let (platform, actor) = signed_in()?;
    let person = platform.person(&actor, id).await?;
    Ok(Found { is_you: is_you(&person, &actor), roles: roles_for(&person, actor.role), person })
}

fn is_you(person: &PersonView, actor: &Actor) -> bool {
    person.id == actor.person.to_string()
}

/// Who may not give the role that somebody has may not take it from them either.
fn roles_for(person: &PersonView, giver: Role) -> Vec<Role> {
    let roles = roles_to_give(giver);
    if roles.contains(&person.role) { roles } else { Vec::new() }
}

/// What a role means, for those who choose one.
const fn meaning(role: Role) -> &'static str {
    match role {
        Role::Owner => "everything, and says who the owners are",
        Role::Administrator => "everything but owners",
        Role::Auditor => "sees all but secrets, changes nothing",
        Role::Provider => "makes, suspends and deletes companies, sees nothing of theirs",
    }
}

/// Value and text of each option.
fn role_options(roles: &[Role]) -> Vec<(String, String)> {
    roles.iter().map(|role| (role.as_str().to_string(), format!("{}: {}", role.label(), meaning(*role)))).collect()
}
