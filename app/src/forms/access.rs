//! Coming in and going out, the theme, API tokens.

use gatehouse_domain::{AppError, Secret};
use gatehouse_platform::{FirstFactor, SetUp, SignIn};

use super::{CookieChange, Fields, FormResult, local_path};
use crate::{
    context::RequestContext,
    outcome::{FormOutcome, ShownOnce},
};

const TOKENS: &str = "/profile/tokens";

pub(super) async fn handle(path: &str, fields: &Fields, context: &RequestContext) -> FormResult {
    match path {
        "/sign-in" => sign_in(fields, context).await,
        "/sign-out" => sign_out(context).await,
        "/theme" => theme(fields),
        TOKENS => create_token(fields, context).await,
        _ => {
            if let Some(link) = path.strip_prefix("/setup/").filter(|link| !link.contains('/')) {
                return set_up(link, fields, context).await;
            }
            let token =
                path.strip_prefix(TOKENS).and_then(|rest| rest.strip_prefix('/')).and_then(|rest| rest.strip_suffix("/revoke"));
            match token {
                Some(id) if !id.contains('/') => revoke_token(id, context).await,
                _ => FormResult::NotFound,
            }
        }
    }
}

async fn sign_in(fields: &Fields, context: &RequestContext) -> FormResult {
    let (email, password, continuation) = (fields.get("email"), fields.secret("password"), fields.secret("continuation"));
    // The second step has no field for the password.
    let second = !continuation.is_empty();
    let first = if second { FirstFactor::Continuation(&continuation) } else { FirstFactor::Password(&password) };
    // A field of its own, because a telephone's keyboard of digits has no letters.
    let recovery = fields.find("recovery_code");
    let field = if recovery.is_some() { "recovery_code" } else { "code" };
    let code = recovery.or_else(|| fields.find("code"));
    let mut values = fields.keep(&["email", "next"]);
    let again = |error: Option<AppError>, values, continuation| FormResult::Page {
        status: error.as_ref().map_or(200, AppError::status),
        outcome: Box::new(FormOutcome {
            values,
            error,
            shown_once: Some(ShownOnce::Continuation(continuation)),
            ..FormOutcome::default()
        }),
    };
    match context.platform.begin_sign_in(email, &first, code, &context.address, &context.origin).await {
        Ok(SignIn::Done(session)) => FormResult::SeeOther {
            location: local_path(fields.get("next")).unwrap_or("/").to_string(),
            session: CookieChange::Set(session.secret),
            theme: None,
        },
        Ok(SignIn::CodeNeeded(continuation)) => {
            let missing = if recovery.is_some() { "Enter a recovery code." } else { "Enter the one-time password." };
            let error = second.then(|| AppError::invalid(field, missing));
            again(error, values, continuation)
        }
        Err(error @ AppError::SecondFactorWrong) => {
            let wrong = match recovery {
                Some(_) => "This is none of your recovery codes, or it was used before.".to_string(),
                None => error.to_string(),
            };
            let error = AppError::invalid(field, wrong);
            again(Some(error), values, continuation)
        }
        Err(AppError::WrongCredentials) if second => {
            values.insert("expired".into(), "true".into());
            FormResult::error(AppError::WrongCredentials, values)
        }
        Err(error) => FormResult::error(error, values),
    }
}

async fn sign_out(context: &RequestContext) -> FormResult {
    if let Some(session) = &context.session
        && let Err(error) = context.platform.sign_out(session, &context.origin).await
    {
        // The cookie goes all the same: whoever leaves wants to be gone from this browser.
        tracing::error!(%error, "the session was not ended");
    }
    FormResult::SeeOther { location: "/sign-in?flash=signed-out".into(), session: CookieChange::Clear, theme: None }
}

async fn set_up(link: &str, fields: &Fields, context: &RequestContext) -> FormResult {
    let input = SetUp {
        company: fields.get("company").into(),
        name: fields.get("name").into(),
        email: fields.get("email").into(),
        password: fields.secret("password"),
    };
    match context.platform.set_up(&Secret::new(link), &input, &context.origin).await {
        Ok(session) => FormResult::SeeOther {
            location: "/company/settings/proxies?flash=welcome".into(),
            session: CookieChange::Set(session.secret),
            theme: None,
        },
        Err(error) => FormResult::error(error, fields.keep(&["company", "name", "email"])),
    }
}

fn theme(fields: &Fields) -> FormResult {
    let theme = match fields.get("theme") {
        theme @ ("light" | "dark") => theme,
        _ => "",
    };
    FormResult::SeeOther {
        location: local_path(fields.get("back")).unwrap_or("/").to_string(),
        session: CookieChange::Keep,
        theme: Some(theme.to_string()),
    }
}

async fn create_token(fields: &Fields, context: &RequestContext) -> FormResult {
    let Some(actor) = &context.actor else { return FormResult::error(AppError::Unauthorized, Default::default()) };
    match context.platform.create_token(actor, fields.get("name")).await {
        // Not a redirect: the token is shown in this one answer and nowhere else.
        Ok(token) => FormResult::Page {
            status: 201,
            outcome: Box::new(FormOutcome { new_token: Some(token.secret.expose().to_string()), ..FormOutcome::default() }),
        },
        Err(error) => FormResult::error(error, fields.keep(&["name"])),
    }
}

async fn revoke_token(id: &str, context: &RequestContext) -> FormResult {
    let Some(actor) = &context.actor else { return FormResult::error(AppError::Unauthorized, Default::default()) };
    match context.platform.delete_token(actor, id).await {
        Ok(()) => FormResult::to(format!("{TOKENS}?flash=token-revoked")),
        Err(error) => FormResult::error(error, Default::default()),
    }
}
