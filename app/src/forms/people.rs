//! The forms of people and invitations.
//!
//! | Posted to | What it does |
//! |---|---|
//! | the list | invites somebody; the answer shows the link |
//! | `/{id}` | changes somebody |
//! | `/{id}/delete` | removes somebody |
//! | `/invitations/{id}/withdraw` | withdraws an invitation |
//! | `/invitation/{secret}` | accepts one: nobody has to be signed in |

use std::collections::BTreeMap;

use gatehouse_domain::{AppError, InvitationForm, PersonForm, Role, Secret};
use gatehouse_platform::{Actor, people::NewInvitation};

use super::{CookieChange, Fields, FormResult};
use crate::{
    app::home_of,
    context::RequestContext,
    outcome::{FormOutcome, ShownInvitation},
    pages::company::people::PEOPLE,
};

/// Handles a form of these pages.
pub async fn handle(path: &str, fields: &Fields, context: &RequestContext) -> FormResult {
    let Some(actor) = &context.actor else { return FormResult::error(AppError::Unauthorized, BTreeMap::new()) };
    let rest = path.strip_prefix(PEOPLE).unwrap_or_default();
    let segments: Vec<_> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [] => invite(fields, actor, context).await,
        [id] => edit(id, fields, actor, context).await,
        [id, "delete"] => delete(id, fields, actor, context).await,
        ["invitations", id, "withdraw"] => withdraw(id, actor, context).await,
        _ => FormResult::NotFound,
    }
}

fn role(fields: &Fields) -> Result<Role, AppError> {
    fields.get("role").parse().map_err(|_| AppError::invalid("role", "Choose a role."))
}

/// The page again, with the link: it is shown in this one answer and nowhere else.
pub(super) fn shown(invitation: NewInvitation, context: &RequestContext) -> FormResult {
    let link = Secret::new(format!("{}/invitation/{}", context.url, invitation.secret.expose()));
    let guessed = context.url_is_guessed.then(|| context.url.clone());
    let invitation = Some(ShownInvitation { email: invitation.view.email, link, guessed });
    FormResult::Page { status: 201, outcome: Box::new(FormOutcome { invitation, ..FormOutcome::default() }) }
}

async fn invite(fields: &Fields, actor: &Actor, context: &RequestContext) -> FormResult {
    let invited = async {
        let form = InvitationForm { email: fields.get("email").into(), role: role(fields)? };
        context.platform.invite(actor, &form).await
    };
    match invited.await {
        Ok(invitation) => shown(invitation, context),
        Err(error) => FormResult::error(error, fields.keep(&["email", "role"])),
    }
}

/// With the version that the person saw.
async fn edit(id: &str, fields: &Fields, actor: &Actor, context: &RequestContext) -> FormResult {
    let replaced = async {
        let version = fields.get("version").parse();
        let version = version.map_err(|_| AppError::Malformed("The form has lost its version. Load the page again.".into()))?;
        let form = PersonForm { name: fields.get("name").into(), role: role(fields)? };
        context.platform.replace_person(actor, id, Some(version), &form).await
    };
    match replaced.await {
        Ok(_) => FormResult::to(format!("{PEOPLE}?flash=saved")),
        Err(error) => FormResult::error(error, fields.keep(&["name", "role", "version"])),
    }
}

async fn delete(id: &str, fields: &Fields, actor: &Actor, context: &RequestContext) -> FormResult {
    match context.platform.delete_person(actor, id, fields.get("version").parse().ok()).await {
        // Whoever removes themselves is gone from this browser, too.
        Ok(()) if id == actor.person.to_string() => {
            FormResult::SeeOther { location: "/sign-in?flash=signed-out".into(), session: CookieChange::Clear, theme: None }
        }
        Ok(()) => FormResult::to(format!("{PEOPLE}?flash=person-removed")),
        Err(error) => FormResult::error(error, BTreeMap::new()),
    }
}

async fn withdraw(id: &str, actor: &Actor, context: &RequestContext) -> FormResult {
    match context.platform.withdraw_invitation(actor, id).await {
        Ok(()) => FormResult::to(format!("{PEOPLE}?flash=invitation-withdrawn")),
        Err(error) => FormResult::error(error, BTreeMap::new()),
    }
}

/// Handles the form of an invitation's link.
pub async fn accept(link: &str, fields: &Fields, context: &RequestContext) -> FormResult {
    let (link, password) = (Secret::new(link), fields.secret("password"));
    match context.platform.accept_invitation(&link, fields.get("name"), &password, &context.origin).await {
        Ok(session) => FormResult::SeeOther {
            location: format!("{}?flash=joined", home_of(session.view.role)),
            session: CookieChange::Set(session.secret),
            theme: None,
        },
        Err(error) => FormResult::error(error, fields.keep(&["name"])),
    }
}
