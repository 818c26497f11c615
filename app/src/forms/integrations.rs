//! The forms of integrations, posted without JavaScript.
//!
//! | Posted to | Intents |
//! |---|---|
//! | the list | `test-saved`, `activate`, `deactivate`, `duplicate`, with `id` |
//! | `/new` | `save`, `test` |
//! | `/{id}` | `save`, `overwrite`, `test`, `test-saved` |
//! | `/{id}/delete` | |

use std::collections::BTreeMap;

use gatehouse_domain::{AppError, IntegrationForm, IntegrationReport, IntegrationStatus, SecretInput};
use gatehouse_platform::{Actor, Platform};

use super::{Fields, FormResult};
use crate::{
    context::RequestContext,
    outcome::FormOutcome,
    pages::incident_responder::integrations::{urls, values},
};

/// Handles a form of these pages.
pub async fn handle(path: &str, fields: &Fields, context: &RequestContext) -> FormResult {
    let Some(actor) = &context.actor else { return FormResult::error(AppError::Unauthorized, BTreeMap::new()) };
    let post = Post { platform: &context.platform, actor, fields };
    let Some(rest) = path.strip_prefix(urls::LIST) else { return FormResult::NotFound };
    let segments: Vec<_> = rest.split('/').filter(|s| !s.is_empty()).collect();
    match segments.as_slice() {
        [] => post.list().await,
        ["new"] => post.edit(None).await,
        [id] => post.edit(Some(id)).await,
        [id, "delete"] => post.delete(id).await,
        _ => FormResult::NotFound,
    }
}

struct Post<'a> {
    platform: &'a Platform,
    actor: &'a Actor,
    fields: &'a Fields,
}

impl Post<'_> {
    /// A row's button; afterwards the list is as it was.
    async fn list(&self) -> FormResult {
        let (query, _) = urls::query(self.fields.get("list"));
        let id = self.fields.get("id");
        let status = |status| self.platform.set_integration_status(self.actor, id, status);
        let (result, flash) = match self.fields.get("intent") {
            "test-saved" => {
                return match self.platform.test_integration(self.actor, id).await {
                    Ok(report) => tested(report, self.fields.keep(&["id"])),
                    Err(error) => FormResult::error(error, BTreeMap::new()),
                };
            }
            "activate" => (status(IntegrationStatus::Active).await, "activated"),
            "deactivate" => (status(IntegrationStatus::Inactive).await, "deactivated"),
            "duplicate" => (self.platform.duplicate_integration(self.actor, id).await, "integration-duplicated"),
            _ => return FormResult::NotFound,
        };
        match result {
            Ok(_) => FormResult::to(urls::list_with_flash(&query, flash)),
            Err(error) => FormResult::error(error, BTreeMap::new()),
        }
    }

    async fn edit(&self, id: Option<&str>) -> FormResult {
        let form = values::of_fields(self.fields.0.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let intent = self.fields.get("intent");
        let result = match (intent, id) {
            ("test", _) => match self.test(id, &form).await {
                Ok(report) => return tested(report, self.again(&form)),
                Err(error) => Err(error),
            },
            ("test-saved", Some(id)) => {
                return match self.platform.test_integration(self.actor, id).await {
                    // No values: the page shows what is stored.
                    Ok(report) => tested(report, BTreeMap::new()),
                    Err(error) => FormResult::error(error, BTreeMap::new()),
                };
            }
            ("save" | "overwrite", Some(id)) => self.replace(id, intent, &form).await,
            ("save" | "", None) => self.platform.create_integration(self.actor, &form).await.map(|_| ()),
            _ => return FormResult::NotFound,
        };
        match result {
            Ok(()) => {
                FormResult::to(format!("{}?flash={}", urls::LIST, if id.is_some() { "saved" } else { "integration-created" }))
            }
            Err(error) => FormResult::error(error, self.again(&form)),
        }
    }

    /// What is saved and unchanged is tested as such, so that the list shows the result.
    async fn test(&self, id: Option<&str>, form: &IntegrationForm) -> Result<IntegrationReport, AppError> {
        if let Some(id) = id
            && values::same(&self.platform.integration(self.actor, id).await?.to_form(), form)
        {
            return self.platform.test_integration(self.actor, id).await;
        }
        self.platform.test_integration_draft(self.actor, id, form).await
    }

    /// With the version that the person saw. "Save over it" names the one that the page told them about.
    async fn replace(&self, id: &str, intent: &str, form: &IntegrationForm) -> Result<(), AppError> {
        let version = self.fields.get(if intent == "overwrite" { "current_version" } else { "version" });
        let version =
            version.parse().map_err(|_| AppError::Malformed("The form has lost its version. Load the page again.".into()))?;
        self.platform.replace_integration(self.actor, id, Some(version), form).await.map(|_| ())
    }

    async fn delete(&self, id: &str) -> FormResult {
        let version = self.fields.get("version").parse().ok();
        match self.platform.delete_integration(self.actor, id, version).await {
            Ok(()) => FormResult::to(format!("{}?flash=integration-deleted", urls::LIST)),
            Err(error) => FormResult::error(error, BTreeMap::new()),
        }
    }

    /// What the page shows again: the typed values, which secrets were typed (not what), and what the form carries along.
    fn again(&self, form: &IntegrationForm) -> BTreeMap<String, String> {
        let mut values = values::to_fields(form);
        values.extend(self.fields.keep(&["version"]));
        for (name, secret) in [("typed_api_key", &form.api_key), ("typed_api_password", &form.api_password)] {
            if matches!(secret, SecretInput::Set(_)) {
                values.insert(name.to_string(), "true".to_string());
            }
        }
        values
    }
}

/// The page again, with the report.
fn tested(report: IntegrationReport, values: BTreeMap<String, String>) -> FormResult {
    let outcome = FormOutcome { values, integration_report: Some(report), ..FormOutcome::default() };
    FormResult::Page { status: 200, outcome: Box::new(outcome) }
}
