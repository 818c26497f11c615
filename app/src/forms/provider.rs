//! The forms of the provider's companies.
//!
//! | Posted to | What it does |
//! |---|---|
//! | the list | creates a company |
//! | `/{id}` | `invite` (the answer shows the link), `suspend`, `resume` |
//! | `/{id}/delete` | deletes it, if its name was typed |

use std::collections::BTreeMap;

use gatehouse_domain::{AppError, CompanyName};
use gatehouse_platform::Actor;

use super::{Fields, FormResult, people::shown};
use crate::{context::RequestContext, pages::provider::COMPANIES};

/// Handles a form of these pages.
pub async fn handle(path: &str, fields: &Fields, context: &RequestContext) -> FormResult {
    let Some(actor) = &context.actor else { return FormResult::error(AppError::Unauthorized, BTreeMap::new()) };
    let rest = path.strip_prefix(COMPANIES).unwrap_or_default();
    let segments: Vec<_> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    let platform = &context.platform;
    let (result, id, flash) = match (segments.as_slice(), fields.get("intent")) {
        ([], _) => match platform.create_company(actor, fields.get("name")).await {
            Ok(company) => return FormResult::to(format!("{COMPANIES}/{}?flash=company-created", company.id)),
            Err(error) => return FormResult::error(error, fields.keep(&["name"])),
        },
        ([id], "invite") => match platform.invite_first_administrator(actor, id, fields.get("email")).await {
            Ok(invitation) => return shown(invitation, context),
            Err(error) => return FormResult::error(error, fields.keep(&["email"])),
        },
        ([id], "suspend") => (platform.suspend_company(actor, id).await.map(drop), *id, "company-suspended"),
        ([id], "resume") => (platform.resume_company(actor, id).await.map(drop), *id, "company-resumed"),
        ([id, "delete"], _) => (delete(id, fields, actor, context).await, *id, "company-deleted"),
        _ => return FormResult::NotFound,
    };
    match result {
        Ok(()) => FormResult::to(format!("{COMPANIES}/{id}?flash={flash}")),
        Err(error) => FormResult::error(error, fields.keep(&["confirm"])),
    }
}

async fn delete(id: &str, fields: &Fields, actor: &Actor, context: &RequestContext) -> Result<(), AppError> {
    let company = context.platform.company(actor, id).await?;
    let same = |name: &str| CompanyName::parse(name).map(|name| name.key()).ok();
    if same(fields.get("confirm")) != same(&company.name) {
        return Err(AppError::invalid("confirm", format!("Type “{}”, to be sure that it is the right one.", company.name)));
    }
    context.platform.delete_company(actor, id).await.map(drop)
}
