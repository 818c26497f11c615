//! The forms of *Sign-in and security*.

use gatehouse_domain::AppError;

use super::{CookieChange, Fields, FormResult};
use crate::{
    context::RequestContext,
    outcome::{FormOutcome, ShownOnce},
};

const PAGE: &str = "/profile/security";

/// Handles a form of *Sign-in and security*; `intent` says which.
pub async fn handle(fields: &Fields, context: &RequestContext) -> FormResult {
    let Some(actor) = &context.actor else { return FormResult::error(AppError::Unauthorized, Default::default()) };
    let (platform, address) = (&context.platform, context.address.as_str());
    let password = fields.secret("password");
    let done = match fields.get("intent") {
        "end-session" => {
            let id = fields.get("id");
            let is_own = platform.own_sessions(actor, context.session.as_ref()).await;
            let is_own = is_own.is_ok_and(|sessions| sessions.iter().any(|session| session.id == id && session.is_current));
            match platform.end_session(actor, id).await {
                // One that has ended meanwhile is what was wanted.
                Ok(()) | Err(AppError::NotFound) if !is_own => Ok("session-ended"),
                Ok(()) => {
                    let location = "/sign-in?flash=signed-out".into();
                    return FormResult::SeeOther { location, session: CookieChange::Clear, theme: None };
                }
                Err(error) => Err(error),
            }
        }
        "end-other-sessions" => {
            platform.end_other_sessions(actor, context.session.as_ref()).await.map(|()| "other-sessions-ended")
        }
        "change-password" => {
            let (current, new) = (fields.secret("current_password"), fields.secret("new_password"));
            let change = platform.change_password(actor, &current, &new, context.session.as_ref(), address);
            change.await.map(|()| "password-changed")
        }
        "begin-second-factor" => match platform.begin_second_factor(actor, &password, address).await {
            // Not a redirect: it is shown in this one answer and nowhere else.
            Ok(new) => return shown(ShownOnce::SecondFactor { secret: new.secret, uri: new.uri }),
            Err(error) => Err(error),
        },
        "confirm-second-factor" => match platform.confirm_second_factor(actor, fields.get("code")).await {
            Ok(codes) => return shown(ShownOnce::RecoveryCodes(codes)),
            Err(error) => Err(error),
        },
        "remove-second-factor" => {
            platform.remove_second_factor(actor, &password, address).await.map(|()| "second-factor-removed")
        }
        _ => return FormResult::NotFound,
    };
    match done {
        Ok(flash) => FormResult::to(format!("{PAGE}?flash={flash}")),
        Err(error) => FormResult::error(error, fields.keep(&["intent"])),
    }
}

fn shown(once: ShownOnce) -> FormResult {
    FormResult::Page { status: 200, outcome: Box::new(FormOutcome { shown_once: Some(once), ..FormOutcome::default() }) }
}
