//! The gateway's policy as it is stored, checked and explained.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{FieldErrors, NewPassword, Secret, SecretInput, Timestamp, account::name_type, text::one_line};

/// The longest name of a group, in characters.
const GROUP_MAX: usize = 100;
/// The most groups of one person.
const GROUPS_MAX: usize = 100;

/// The stored policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GatewayPolicyView {
    /// The policy in TOML; empty where there is none yet.
    pub text: String,
    /// 0 where there is none yet; grows by one with every change.
    pub version: u64,
    /// When it was last changed.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub changed_at: Option<Timestamp>,
    /// Who changed it, by name.
    pub changed_by: Option<String>,
}

/// Something wrong in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyProblem {
    /// From 1.
    pub line: u64,
    /// From 1, in characters.
    pub column: u64,
    /// What is wrong and what would be right.
    pub message: String,
}

impl std::fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// What a check of a policy found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyCheckView {
    /// It can be used.
    pub ok: bool,
    /// What it consists of, in words; null when it can't be used.
    pub summary: Option<String>,
    /// What is wrong, in the order of the text.
    pub problems: Vec<PolicyProblem>,
}

/// What is to be explained.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyQuestion {
    /// What is asked for: `http://host/path`, or `https://host` for a tunnel.
    pub url: String,
    /// The address that asks.
    pub client: String,
    /// The person who asks; empty: nobody has signed in.
    pub person: String,
    /// Another policy than the stored one.
    pub text: Option<String>,
}

/// What a policy says about a request, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExplanationView {
    /// It is let through.
    pub allowed: bool,
    /// The rule that decides; null when none does.
    pub rule: Option<String>,
    /// Why, as the person is told.
    pub reason: String,
    /// The safety level of the host: `safe`, `caution`, `unsafe`.
    pub level: String,
    /// The categories of the host.
    pub categories: Vec<String>,
    /// The rules before the one that decides, in order.
    pub passed: Vec<PassedRule>,
    /// All of it as `gatehouse gateway explain` prints it.
    pub text: String,
}

/// A rule that does not apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PassedRule {
    /// Its name.
    pub rule: String,
    /// Why it does not apply.
    pub why: String,
}

name_type!(
    /// What somebody signs in with at the gateway: 1 to 100 characters, unique in a company without regard to case.
    GatewayUserName, "a user name", 100
);

/// Somebody who can sign in at the company's gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GatewayPersonView {
    /// Identifier (UUID).
    pub id: String,
    /// The user name.
    pub name: String,
    /// The groups.
    pub groups: Vec<String>,
    /// Starts at 1 and grows by one with every change.
    pub version: u64,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
}

/// What a request says about somebody who can sign in at the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayPersonForm {
    /// The user name.
    pub name: String,
    /// The password.
    pub password: SecretInput,
    /// The groups.
    pub groups: Vec<String>,
}

/// What was entered, and is right.
#[derive(Debug, Clone)]
pub struct GatewayPersonValues {
    /// The user name.
    pub name: GatewayUserName,
    /// The password; `None`: the one that is stored.
    pub password: Option<NewPassword>,
    /// The groups, each once, in alphabetical order.
    pub groups: Vec<String>,
}

impl GatewayPersonForm {
    /// The fields of the API that are only read.
    pub const READ_ONLY: &'static [&'static str] = &["id", "version", "created_at", "updated_at"];

    /// Reads an API body.
    ///
    /// # Errors
    /// Each wrong or unknown field with what would be right.
    pub fn from_json(body: &Value) -> Result<Self, FieldErrors> {
        let mut form = Self::default();
        let mut errors = FieldErrors::new();
        for (field, value) in fields(body)? {
            match (field.as_str(), value) {
                ("name", Value::String(name)) => form.name.clone_from(name),
                ("password", Value::String(password)) => form.password = SecretInput::Set(Secret::new(password.as_str())),
                ("password", Value::Null) => form.password = SecretInput::Clear,
                ("name" | "password", _) => errors.add(field, "This must be a text."),
                ("groups", Value::Null) => {}
                ("groups", Value::Array(groups)) if groups.iter().all(Value::is_string) => {
                    form.groups = groups.iter().filter_map(Value::as_str).map(str::to_string).collect();
                }
                ("groups", _) => errors.add(field, "This must be a list of texts."),
                (known, _) if Self::READ_ONLY.contains(&known) => {}
                _ => errors.add(field, "There is no such field."),
            }
        }
        if errors.is_empty() { Ok(form) } else { Err(errors) }
    }

    /// Checks everything. `has_password`: one is stored already.
    ///
    /// # Errors
    /// Each wrong field with what would be right.
    pub fn parse(&self, has_password: bool) -> Result<GatewayPersonValues, FieldErrors> {
        let mut errors = FieldErrors::new();
        let name = errors.check("name", GatewayUserName::parse(&self.name));
        if name.as_ref().is_some_and(|name| name.as_str().contains(':')) {
            errors.add("name", "A user name has no colon: Basic authentication ends the name with it.");
        }
        let password = match &self.password {
            SecretInput::Set(password) => errors.check("password", NewPassword::parse(password)),
            SecretInput::Keep if has_password => None,
            SecretInput::Keep | SecretInput::Clear => {
                errors.add("password", "Enter a password: without one nobody can sign in.");
                None
            }
        };
        let mut groups = Vec::new();
        for group in &self.groups {
            groups.extend(errors.check("groups", one_line(group, "the name of a group", GROUP_MAX)));
        }
        groups.sort_unstable();
        groups.dedup();
        if groups.len() > GROUPS_MAX {
            errors.add("groups", format!("Use at most {GROUPS_MAX} groups."));
        }
        match name {
            Some(name) if errors.is_empty() => Ok(GatewayPersonValues { name, password, groups }),
            _ => Err(errors),
        }
    }
}

/// What a list of people is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayPeopleQuery {
    /// Searched for in name and groups, without regard to case.
    pub q: String,
    /// Last name first.
    pub descending: bool,
    /// Items on a page, 1 to 200.
    pub limit: u16,
    /// Where to go on; opaque.
    pub cursor: Option<String>,
}

impl GatewayPeopleQuery {
    /// Reads the parameters of a URL. Empty ones count as left out.
    ///
    /// # Errors
    /// Each wrong or unknown parameter with what would be right.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FieldErrors> {
        let mut query = Self { q: String::new(), descending: false, limit: 50, cursor: None };
        let mut errors = FieldErrors::new();
        for (key, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            match key {
                "q" => query.q = value.trim().chars().take(200).collect(),
                "sort" if matches!(value, "name" | "-name") => query.descending = value.starts_with('-'),
                "sort" => errors.add(key, "Sort by name; a minus in front turns the order round."),
                "limit" => match value.parse::<u16>() {
                    Ok(limit) if (1..=200).contains(&limit) => query.limit = limit,
                    _ => errors.add(key, "Use a number from 1 to 200."),
                },
                "cursor" => query.cursor = Some(value.to_string()),
                _ => errors.add(key, "There is no such filter."),
            }
        }
        if errors.is_empty() { Ok(query) } else { Err(errors) }
    }
}

/// All problems as one text, a line each: what stands at the field of a form.
#[must_use]
pub fn in_lines(problems: &[PolicyProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The fields of a policy that are only read.
pub const POLICY_READ_ONLY: &[&str] = &["version", "changed_at", "changed_by"];

/// Reads the body of a change or a check: `{text}`. What an answer has besides is accepted and ignored.
///
/// # Errors
/// Each wrong or unknown field with what would be right.
pub fn policy_text(body: &Value) -> Result<String, FieldErrors> {
    let mut errors = FieldErrors::new();
    let mut text = None;
    for (field, value) in fields(body)? {
        match (field.as_str(), value) {
            ("text", Value::String(value)) => text = Some(value.clone()),
            ("text", _) => errors.add(field, "This must be a text: the policy in TOML."),
            (known, _) if POLICY_READ_ONLY.contains(&known) => {}
            _ => errors.add(field, "There is no such field."),
        }
    }
    match text {
        Some(text) if errors.is_empty() => Ok(text),
        None if errors.get("text").is_none() => {
            errors.add("text", "Send the policy in TOML. One without a rule refuses everything.");
            Err(errors)
        }
        _ => Err(errors),
    }
}

impl PolicyQuestion {
    /// Reads an API body.
    ///
    /// # Errors
    /// Each wrong or unknown field with what would be right.
    pub fn from_json(body: &Value) -> Result<Self, FieldErrors> {
        let mut question = Self::default();
        let mut errors = FieldErrors::new();
        for (field, value) in fields(body)? {
            match (field.as_str(), value) {
                ("url", Value::String(text)) => question.url.clone_from(text),
                ("client", Value::String(text)) => question.client.clone_from(text),
                ("person", Value::String(text)) => question.person.clone_from(text),
                ("text", Value::String(text)) => question.text = Some(text.clone()),
                ("person" | "text", Value::Null) => {}
                ("url" | "client" | "person" | "text", _) => errors.add(field, "This must be a text."),
                _ => errors.add(field, "There is no such field."),
            }
        }
        for (field, value, right) in [
            ("url", &question.url, "Send a URL: http://host/path, or https://host for a tunnel."),
            ("client", &question.client, "Send the address that asks, like 10.0.0.7."),
        ] {
            if value.trim().is_empty() && errors.get(field).is_none() {
                errors.add(field, right);
            }
        }
        if errors.is_empty() { Ok(question) } else { Err(errors) }
    }
}

fn fields(body: &Value) -> Result<&serde_json::Map<String, Value>, FieldErrors> {
    body.as_object().ok_or_else(|| FieldErrors::of("body", "Send a JSON object."))
}

/// The text without the hashes of passwords, for those who may only look: with a hash, a password can be guessed at leisure.
#[must_use]
pub fn without_hashes(text: &str) -> String {
    const BEGIN: &str = "$argon2";
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let (before, hash) = rest.split_at(at);
        shown.push_str(before);
        shown.push_str("$argon2id$…");
        let end = hash.find(|c: char| matches!(c, '"' | '\'') || c.is_whitespace()).unwrap_or(hash.len());
        rest = &hash[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_sent_is_read_field_by_field() {
        assert_eq!(policy_text(&json!({"text": "x", "version": 3})), Ok("x".to_string()));
        assert_eq!(policy_text(&json!({"text": ""})), Ok(String::new()));
        assert!(policy_text(&json!({})).expect_err("missing").get("text").is_some());
        assert_eq!(policy_text(&json!({"text": 1, "colour": 2})).expect_err("wrong").0.len(), 2);
        let question = PolicyQuestion::from_json(&json!({"url": "http://a.example/", "client": "10.0.0.7", "person": null}));
        assert_eq!(question.map(|question| (question.person, question.text)), Ok((String::new(), None)));
        assert_eq!(PolicyQuestion::from_json(&json!({"person": 1})).expect_err("wrong").0.len(), 3);
    }

    #[test]
    fn whoever_may_only_look_sees_no_hash() {
        let text = "[[person]]\nname = 'ann'\npassword = \"$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA\"\ngroups = 'x'\n";
        let shown = without_hashes(text);
        assert!(!shown.contains("aGFzaA") && !shown.contains("c2FsdA"), "{shown}");
        assert!(shown.contains("password = \"$argon2id$…\"\ngroups = 'x'"), "{shown}");
        assert_eq!(without_hashes("no hash"), "no hash");
        assert_eq!(without_hashes("# $argon2id$v=19"), "# $argon2id$…");
    }

    #[test]
    fn a_person_needs_a_name_without_a_colon_and_a_password() {
        let form = |body: Value| GatewayPersonForm::from_json(&body).expect("readable");
        let right = form(json!({"name": " Ann  Lee ", "password": "open sesame", "groups": ["b", "a", " b "], "id": "x"}));
        let values = right.parse(false).expect("right");
        assert_eq!((values.name.as_str(), values.groups), ("Ann Lee", vec!["a".to_string(), "b".to_string()]));
        assert!(form(json!({"name": "ann"})).parse(true).expect("one is stored").password.is_none());
        for (body, field) in [
            (json!({"name": "a:b", "password": "open sesame"}), "name"),
            (json!({"password": "open sesame"}), "name"),
            (json!({"name": "ann"}), "password"),
            (json!({"name": "ann", "password": null}), "password"),
            (json!({"name": "ann", "password": "short"}), "password"),
            (json!({"name": "ann", "password": "open sesame", "groups": [""]}), "groups"),
        ] {
            assert!(form(body.clone()).parse(false).expect_err("wrong").get(field).is_some(), "{body}");
        }
        assert_eq!(GatewayPersonForm::from_json(&json!({"name": 1, "groups": "x", "colour": 1})).expect_err("wrong").0.len(), 3);
    }
}
