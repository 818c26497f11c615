//! The form of health checks.

use gatehouse_domain::{AppError, ChecksForm, ProxyChoice};

use super::{Fields, FormResult};
use crate::context::RequestContext;

/// Handles the form of *Health Checks*.
pub async fn handle(fields: &Fields, context: &RequestContext) -> FormResult {
    let Some(actor) = &context.actor else { return FormResult::error(AppError::Unauthorized, Default::default()) };
    let form = ChecksForm {
        every_minutes: fields.get("every_minutes").into(),
        webhook_url: fields.get("webhook_url").into(),
        webhook_proxy: ProxyChoice::of_field(fields.get("webhook_proxy")),
    };
    match context.platform.set_checks(actor, &form).await {
        Ok(_) => FormResult::to("/company/settings/checks?flash=checks-saved"),
        Err(error) => FormResult::error(error, fields.keep(&["every_minutes", "webhook_url", "webhook_proxy"])),
    }
}
