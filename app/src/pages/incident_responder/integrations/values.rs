//! The form's fields: from what was posted to an [`IntegrationForm`] and back, without the secrets.

use std::collections::BTreeMap;

use gatehouse_domain::{Capabilities, EngineSpec, IntegrationForm, IntegrationStatus, ProxyChoice, Secret, SecretInput};

/// Options of the type's own stand in fields whose names begin like this.
const OPTION: &str = "options.";

/// Reads posted fields.
pub fn of_fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> IntegrationForm {
    // Unchecked boxes are not posted.
    let mut capabilities = Capabilities::default();
    let mut form = IntegrationForm { status: IntegrationStatus::Inactive.to_string(), ..IntegrationForm::default() };
    let (mut clear_key, mut clear_password) = (false, false);
    for (name, value) in fields {
        let text = || value.to_string();
        let secret = || if value.is_empty() { SecretInput::Keep } else { SecretInput::Set(Secret::new(value)) };
        match name {
            "name" => form.name = text(),
            "type" => form.kind = text(),
            "description" => form.description = text(),
            "api_url" => form.api_url = text(),
            "tags" => form.tags = text(),
            "proxy" => form.proxy = ProxyChoice::of_field(value),
            "capabilities.url" => capabilities.url = true,
            "capabilities.sender_ip" => capabilities.sender_ip = true,
            "capabilities.attachment" => capabilities.attachment = true,
            "status" => form.status = text(),
            "api_key" => form.api_key = secret(),
            "api_password" => form.api_password = secret(),
            "clear_api_key" => clear_key = true,
            "clear_api_password" => clear_password = true,
            "hide_url_parameters" => form.hide_url_parameters = true,
            "exclusions.urls" => form.exclude_urls = text(),
            "exclusions.ips" => form.exclude_ips = text(),
            "exclusions.extensions" => form.exclude_extensions = text(),
            "detection_threshold" => form.detection_threshold = text(),
            "cache_hours" => form.cache_hours = text(),
            "timeout_s" => form.timeout_s = text(),
            "ca_pem" => form.ca_pem = text(),
            _ => {
                if let Some(option) = name.strip_prefix(OPTION) {
                    form.options.insert(option.to_string(), text());
                }
            }
        }
    }
    form.capabilities = Some(capabilities);
    // What is typed is the newer word.
    if clear_key && form.api_key == SecretInput::Keep {
        form.api_key = SecretInput::Clear;
    }
    if clear_password && form.api_password == SecretInput::Keep {
        form.api_password = SecretInput::Clear;
    }
    form
}

/// The fields as they would be posted. Of the secrets only what says that one is to be erased.
pub fn to_fields(form: &IntegrationForm) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = [
        ("name", form.name.as_str()),
        ("type", &form.kind),
        ("description", &form.description),
        ("api_url", &form.api_url),
        ("tags", &form.tags),
        ("proxy", form.proxy.to_field()),
        ("status", &form.status),
        ("exclusions.urls", &form.exclude_urls),
        ("exclusions.ips", &form.exclude_ips),
        ("exclusions.extensions", &form.exclude_extensions),
        ("detection_threshold", &form.detection_threshold),
        ("cache_hours", &form.cache_hours),
        ("timeout_s", &form.timeout_s),
        ("ca_pem", &form.ca_pem),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value.to_string()))
    .collect();
    let capabilities = form.capabilities.unwrap_or_default();
    for (name, on) in [
        ("capabilities.url", capabilities.url),
        ("capabilities.sender_ip", capabilities.sender_ip),
        ("capabilities.attachment", capabilities.attachment),
        ("hide_url_parameters", form.hide_url_parameters),
        ("clear_api_key", form.api_key == SecretInput::Clear),
        ("clear_api_password", form.api_password == SecretInput::Clear),
    ] {
        if on {
            fields.insert(name.to_string(), "true".to_string());
        }
    }
    fields.extend(form.options.iter().map(|(name, value)| (format!("{OPTION}{name}"), value.clone())));
    fields
}

/// Whether two forms would be saved alike: a test of what is saved and unchanged is kept as the integration's own.
pub fn same(a: &IntegrationForm, b: &IntegrationForm) -> bool {
    let no_secrets = [a, b].iter().all(|f| f.api_key == SecretInput::Keep && f.api_password == SecretInput::Keep);
    no_secrets && tidy(a) == tidy(b)
}

fn tidy(form: &IntegrationForm) -> BTreeMap<String, String> {
    let mut fields = to_fields(form);
    fields.retain(|_, value| !value.trim().is_empty());
    for value in fields.values_mut() {
        *value = value.trim().to_string();
    }
    fields
}

/// What a person reads before a field.
pub fn label(field: &str, spec: &EngineSpec) -> String {
    let fixed = match field {
        "name" => "Name",
        "type" => "Type",
        "description" => "Description",
        "api_url" => "API URL",
        "api_key" => spec.key_label,
        "api_password" => spec.password_label.unwrap_or("Second secret"),
        "tags" => "Tags",
        "proxy" => "Proxy",
        "capabilities" => "What it looks at",
        "capabilities.url" => "URLs",
        "capabilities.sender_ip" => "Sender IP addresses",
        "capabilities.attachment" => "Attachments",
        "status" => "Status",
        "hide_url_parameters" => "Hide URL parameters",
        "exclusions.urls" => "URLs that are never sent",
        "exclusions.ips" => "IP addresses that are never sent",
        "exclusions.extensions" => "File extensions that are never sent",
        "detection_threshold" => "Detection threshold",
        "cache_hours" => "Use an answer again for (hours)",
        "timeout_s" => "Time limit (seconds)",
        "ca_pem" => "CA certificates",
        "clear_api_key" | "clear_api_password" => "Erase the stored secret",
        _ => {
            let option = field.strip_prefix(OPTION);
            let option = option.and_then(|name| spec.options.iter().find(|option| option.name == name));
            return option.map_or_else(|| field.to_string(), |option| option.label.to_string());
        }
    };
    fixed.to_string()
}

/// What stands in one field, here and there.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which field.
    pub label: String,
    /// What was typed.
    pub mine: String,
    /// What is stored.
    pub theirs: String,
}

/// What would change if `mine` were saved over `theirs`.
pub fn differences(mine: &IntegrationForm, theirs: &IntegrationForm, spec: &EngineSpec) -> Vec<Difference> {
    let (mine, theirs) = (tidy(mine), tidy(theirs));
    let mut names: Vec<&String> = mine.keys().chain(theirs.keys()).collect();
    names.sort();
    names.dedup();
    let told = |value: Option<&String>| match value.map(String::as_str) {
        None => "nothing".to_string(),
        Some("true") => "yes".to_string(),
        Some(text) if text.chars().count() > 200 => format!("{}…", text.chars().take(200).collect::<String>()),
        Some(text) => text.to_string(),
    };
    names
        .into_iter()
        .filter(|name| mine.get(*name) != theirs.get(*name))
        .map(|name| Difference { label: label(name, spec), mine: told(mine.get(name)), theirs: told(theirs.get(name)) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> IntegrationForm {
        IntegrationForm {
            name: "VT".into(),
            kind: "virustotal".into(),
            api_url: "https://vt.example/api".into(),
            capabilities: Some(Capabilities { url: true, sender_ip: false, attachment: true }),
            exclude_ips: "10.0.0.0/8\n192.0.2.1".into(),
            hide_url_parameters: true,
            options: BTreeMap::from([("list".to_string(), "zen".to_string())]),
            ..IntegrationForm::default()
        }
    }

    #[test]
    fn fields_are_read_back_without_secrets() {
        let typed = IntegrationForm { api_key: SecretInput::Set(Secret::new("hunter2")), ..form() };
        let fields = to_fields(&typed);
        assert!(!format!("{fields:?}").contains("hunter2"));
        let again = of_fields(fields.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        assert_eq!(again, form());
        assert!(same(&again, &form()) && !same(&typed, &form()));
    }

    #[test]
    fn boxes_that_are_not_checked_are_not_posted() {
        let form = of_fields([("name", "A"), ("api_key", "k"), ("clear_api_key", "true"), ("clear_api_password", "true")]);
        assert_eq!(form.status, "inactive");
        assert_eq!(form.capabilities, Some(Capabilities::default()));
        assert_eq!(form.api_key, SecretInput::Set(Secret::new("k")));
        assert_eq!(form.api_password, SecretInput::Clear);
    }
}
