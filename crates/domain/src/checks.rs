//! Scheduled checks: how often a company's integrations and proxy settings are tested, what changed by it, and who is told.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{FieldErrors, Health, ProxyChoice, Timestamp, report::Cause, target::TestTarget};

/// How often tests can run by themselves, in minutes; 0: never.
pub const INTERVALS: [u16; 8] = [0, 5, 10, 15, 30, 60, 360, 1440];

/// What a form holds and what a request says about scheduled checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChecksForm {
    /// Minutes; empty or 0: never.
    pub every_minutes: String,
    /// Who is told when something changes; empty: nobody.
    pub webhook_url: String,
    /// Which way that goes.
    pub webhook_proxy: ProxyChoice,
}

/// Scheduled checks as the API and the screens show them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChecksView {
    /// How often everything active is tested, in minutes; 0: never.
    pub every_minutes: u16,
    /// Told of each change of health, by a POST of JSON; null: nobody is.
    pub webhook_url: Option<String>,
    /// Which way that goes.
    pub webhook_proxy: ProxyChoice,
    /// When the next round is; null while there is none.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub next_at: Option<Timestamp>,
    /// What became of the last message to the webhook.
    pub last_message: Option<WebhookMessage>,
}

/// What became of a message to the webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WebhookMessage {
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// It was taken: a status from 200 to 299.
    pub ok: bool,
    /// The status, when there was an answer.
    pub status: Option<u16>,
    /// Why there was none.
    pub cause: Option<Cause>,
    /// For a person.
    pub message: String,
}

/// Something changed its health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HealthChange {
    /// Identifier (UUID), in the order of time.
    pub id: String,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// `integration` or `proxy`.
    pub kind: String,
    /// Its identifier.
    pub of: String,
    /// Its name then.
    pub name: String,
    /// What it was; null: it had not been tested.
    pub from: Option<Health>,
    /// What it is since.
    pub to: Health,
    /// Why, when it is not healthy.
    pub cause: Option<Cause>,
    /// What happened, for a person.
    pub message: String,
}

impl ChecksForm {
    /// The fields of the API that are only read.
    pub const READ_ONLY: &'static [&'static str] = &["next_at", "last_message"];

    /// Reads an API body.
    ///
    /// # Errors
    /// Each wrong or unknown field with what would be right.
    pub fn from_json(body: &Value) -> Result<Self, FieldErrors> {
        let Value::Object(fields) = body else { return Err(FieldErrors::of("body", "Send a JSON object.")) };
        let mut form = Self::default();
        let mut errors = FieldErrors::new();
        for (field, value) in fields {
            match (field.as_str(), value) {
                ("every_minutes", Value::Number(minutes)) => form.every_minutes = minutes.to_string(),
                ("every_minutes", _) => errors.add(field, "This must be a number."),
                ("webhook_url", Value::String(url)) => form.webhook_url.clone_from(url),
                ("webhook_url", Value::Null) => {}
                ("webhook_url", _) => errors.add(field, "This must be a text or null."),
                ("webhook_proxy", value) => {
                    form.webhook_proxy = errors.check(field, ProxyChoice::from_json(value)).unwrap_or_default();
                }
                (known, _) if Self::READ_ONLY.contains(&known) => {}
                _ => errors.add(field, "There is no such field."),
            }
        }
        if errors.is_empty() { Ok(form) } else { Err(errors) }
    }

    /// Minutes and the webhook's address.
    ///
    /// # Errors
    /// Each wrong field.
    pub fn parse(&self) -> Result<(u16, Option<TestTarget>), FieldErrors> {
        let mut errors = FieldErrors::new();
        let minutes = match self.every_minutes.trim() {
            "" => Some(0),
            text => match text.parse::<u16>() {
                Ok(minutes) if INTERVALS.contains(&minutes) => Some(minutes),
                _ => {
                    let all: Vec<_> = INTERVALS.iter().map(u16::to_string).collect();
                    errors.add("every_minutes", format!("Use one of {} minutes; 0 is never.", all.join(", ")));
                    None
                }
            },
        };
        let url = match self.webhook_url.trim() {
            "" => None,
            text if !text.contains("://") => {
                errors.add("webhook_url", "Use an address that starts with https:// or http://.");
                None
            }
            text => errors.check(
                "webhook_url",
                TestTarget::parse(text).and_then(|url| match url.to_string().len() {
                    // What is not ASCII grows when it is encoded.
                    ..=2048 => Ok(url),
                    _ => Err("Use at most 2048 characters.".to_string()),
                }),
            ),
        };
        match minutes {
            Some(minutes) if errors.is_empty() => Ok((minutes, url)),
            _ => Err(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let form = ChecksForm::from_json(&json!({"every_minutes": 5, "webhook_url": "https://hooks.example/x?y", "webhook_proxy": {"choice": "none"}, "next_at": null})).expect("right");
        let (minutes, url) = form.parse().expect("right");
        assert_eq!((minutes, url.map(|url| url.to_string())), (5, Some("https://hooks.example/x?y".into())));
        let form = ChecksForm { every_minutes: "7".into(), webhook_url: "hooks".into(), ..ChecksForm::default() };
        assert_eq!(form.parse().expect_err("wrong").0.len(), 2);
        assert_eq!(
            ChecksForm::from_json(&json!({"every_minutes": "5", "webhook_proxy": "none", "x": 1})).expect_err("wrong").0.len(),
            3
        );
        assert_eq!(ChecksForm::default().parse(), Ok((0, None)));
    }
}
