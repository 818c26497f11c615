//! Integrations: analysis engines as a company has configured them.
//!
//! What an engine is and can do stands in its [`EngineSpec`], which the engine's module declares; nothing here knows an
//! engine by name. So an engine more touches its module, its registration and its test.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    FieldErrors, HostName, Secret, SecretInput, Timestamp,
    account::name_type,
    bypass::BypassRule,
    proxy::{CaPem, wire_enum},
    report::{Cause, StageResult},
    route::{ProxyChoice, Route},
    target::TestTarget,
    text,
};

name_type!(
    /// An integration's name: 1 to 100 characters, unique in its company without regard to case.
    IntegrationName, "a name, such as the service's and what it is for", 100
);

wire_enum!(
    /// Whether an integration takes part in analyses.
    IntegrationStatus, "Use active or inactive." {
        /// It does.
        Active = "active", "Active";
        /// It never runs.
        Inactive = "inactive", "Inactive";
    }
);

/// What an integration looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Capabilities {
    /// URLs.
    pub url: bool,
    /// Addresses of senders, and other IP addresses.
    pub sender_ip: bool,
    /// Attachments and files: by their hash, or uploaded where the engine says so.
    pub attachment: bool,
}

impl Capabilities {
    /// Whether there is any.
    #[must_use]
    pub fn any(self) -> bool {
        self.url || self.sender_ip || self.attachment
    }
}

/// Whether an engine asks for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyNeed {
    /// It does nothing without one.
    Required,
    /// It does more with one.
    Optional,
    /// There is none.
    None,
}

/// A setting that only one engine has; stored by name, as text.
#[derive(Debug, Clone, Copy)]
pub struct EngineOption {
    /// As in the API, in `options`.
    pub name: &'static str,
    /// What a person reads.
    pub label: &'static str,
    /// What it is for, with an example.
    pub help: &'static str,
    /// Where it is not given.
    pub default: &'static str,
    /// Checks a value, empty ones too; the error says what would be right.
    pub check: fn(&str) -> Result<(), String>,
}

/// How many detections, or how high a score, make `malicious`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// Where it is not given.
    pub default: u16,
    /// The highest that makes sense.
    pub max: u16,
    /// What it counts.
    pub help: &'static str,
}

/// What an engine is and can do.
#[derive(Debug, Clone, Copy)]
pub struct EngineSpec {
    /// As in the API: `virustotal`.
    pub kind: &'static str,
    /// What a person reads: `VirusTotal`.
    pub label: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The service's own address; empty where everybody has another.
    pub api_url: &'static str,
    /// An example of an address, where `api_url` is empty.
    pub api_url_example: &'static str,
    /// What it can look at.
    pub can: Capabilities,
    /// What a new integration looks at.
    pub starts_with: Capabilities,
    /// The API key.
    pub key: KeyNeed,
    /// What the service calls its key.
    pub key_label: &'static str,
    /// What the service calls a second secret; none where there is none.
    pub password_label: Option<&'static str>,
    /// Where one makes sense.
    pub threshold: Option<Threshold>,
    /// Attachments themselves are sent, not only their hashes.
    pub uploads: bool,
    /// It is asked over DNS, which no proxy carries.
    pub dns: bool,
    /// What an administrator must know before choosing it.
    pub notes: &'static [&'static str],
    /// Settings of its own.
    pub options: &'static [EngineOption],
    /// Seconds that one look-up may take in all, waiting for a sandbox included, where it is not given.
    pub timeout_s: u16,
}

/// Scheme, host and port that a stored secret belongs to.
#[must_use]
pub fn origin(url: &TestTarget) -> String {
    format!("{}://{}", if url.tls { "https" } else { "http" }, url.authority())
}

/// What is never sent to an engine. Each entry as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Exclusions {
    /// Hosts, `*.suffix`, or the beginning of a URL (`https://intranet.example/hr/`).
    pub urls: Vec<String>,
    /// Addresses and networks.
    pub ips: Vec<String>,
    /// File extensions, without the dot, in lower case.
    pub extensions: Vec<String>,
}

impl Exclusions {
    /// How many entries each list may have.
    pub const MAX: usize = 500;

    fn parse_url(entry: &str) -> Result<String, String> {
        let short: String = entry.chars().take(80).collect();
        if entry.contains("://") {
            TestTarget::parse(entry).map_err(|why| format!("'{short}': {why}"))?;
        } else if entry.contains('/') {
            return Err(format!("'{short}': write a host, *.suffix, or a URL from its https:// on."));
        } else {
            BypassRule::parse(entry)?;
        }
        Ok(entry.to_string())
    }

    fn parse_ip(entry: &str) -> Result<String, String> {
        let right = entry.parse::<std::net::IpAddr>().is_ok() || entry.parse::<ipnet::IpNet>().is_ok();
        if right {
            return Ok(entry.to_string());
        }
        let short: String = entry.chars().take(80).collect();
        Err(format!("'{short}': write an address or a network, like 192.0.2.7 or 192.0.2.0/24."))
    }

    fn parse_extension(entry: &str) -> Result<String, String> {
        let bare = entry.trim_start_matches("*.").trim_start_matches('.').to_lowercase();
        if bare.is_empty() || bare.chars().count() > 20 || !bare.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_') {
            let short: String = entry.chars().take(80).collect();
            return Err(format!("'{short}': write a file extension, like pdf."));
        }
        Ok(bare)
    }
}

/// Lines or words of a field, without the empty ones.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', ',', ';']).flat_map(str::split_whitespace)
}

fn list(text: &str, parse: fn(&str) -> Result<String, String>) -> Result<Vec<String>, String> {
    let mut all: Vec<String> = Vec::new();
    for entry in entries(text) {
        let entry = parse(entry)?;
        if !all.contains(&entry) {
            all.push(entry);
        }
        if all.len() > Exclusions::MAX {
            return Err(format!("Use at most {} entries.", Exclusions::MAX));
        }
    }
    Ok(all)
}

/// At most this many tags.
const MAX_TAGS: usize = 20;

fn parse_tags(text: &str) -> Result<Vec<String>, String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in text.split([',', '\n']).map(str::trim).filter(|tag| !tag.is_empty()) {
        let tag = text::one_line(tag, "a tag", 40)?;
        if !tags.iter().any(|other| other.to_lowercase() == tag.to_lowercase()) {
            tags.push(tag);
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(format!("Use at most {MAX_TAGS} tags."));
    }
    Ok(tags)
}

/// The raw input of an integration: what a form holds and what a request says. `Debug` does not show the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationForm {
    /// Name.
    pub name: String,
    /// The engine: [`EngineSpec::kind`].
    pub kind: String,
    /// What it is for.
    pub description: String,
    /// Where the service is; empty for its own address.
    pub api_url: String,
    /// Comma-separated.
    pub tags: String,
    /// Which way its requests take.
    pub proxy: ProxyChoice,
    /// None: what a new one of this type starts with.
    pub capabilities: Option<Capabilities>,
    /// `active` or `inactive`.
    pub status: String,
    /// API key.
    pub api_key: SecretInput,
    /// The second secret.
    pub api_password: SecretInput,
    /// Send only scheme and host of URLs.
    pub hide_url_parameters: bool,
    /// One a line.
    pub exclude_urls: String,
    /// One a line.
    pub exclude_ips: String,
    /// One a line.
    pub exclude_extensions: String,
    /// Empty: the type's default.
    pub detection_threshold: String,
    /// Hours; empty: none.
    pub cache_hours: String,
    /// Seconds; empty: the type's default.
    pub timeout_s: String,
    /// Certificates as PEM, trusted besides the system's.
    pub ca_pem: String,
    /// Settings of the type's own.
    pub options: BTreeMap<String, String>,
}

impl Default for IntegrationForm {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: String::new(),
            description: String::new(),
            api_url: String::new(),
            tags: String::new(),
            proxy: ProxyChoice::Default,
            capabilities: None,
            status: IntegrationStatus::Active.to_string(),
            api_key: SecretInput::Keep,
            api_password: SecretInput::Keep,
            hide_url_parameters: false,
            exclude_urls: String::new(),
            exclude_ips: String::new(),
            exclude_extensions: String::new(),
            detection_threshold: String::new(),
            cache_hours: String::new(),
            timeout_s: String::new(),
            ca_pem: String::new(),
            options: BTreeMap::new(),
        }
    }
}

/// An integration that is right. Its secrets travel beside it, never in it.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegrationValues {
    /// The name.
    pub name: IntegrationName,
    /// The engine.
    pub kind: String,
    /// What it is for.
    pub description: String,
    /// Where the service is.
    pub api_url: TestTarget,
    /// As typed, for showing.
    pub tags: Vec<String>,
    /// Which way its requests take.
    pub proxy: ProxyChoice,
    /// At least one.
    pub capabilities: Capabilities,
    /// Whether it runs.
    pub status: IntegrationStatus,
    /// Send only scheme and host of URLs.
    pub hide_url_parameters: bool,
    /// What never leaves.
    pub exclusions: Exclusions,
    /// How many detections, or what score, make `malicious`; for types that have one.
    pub detection_threshold: Option<u16>,
    /// How long an answer is used again, in hours; 0: not at all.
    pub cache_hours: u16,
    /// How long one look-up may take in all, in seconds.
    pub timeout_s: u16,
    /// Trusted besides the system's certificates, for the service.
    pub ca_pem: Option<CaPem>,
    /// Settings of the type's own: each that the type has.
    pub options: BTreeMap<String, String>,
}

impl IntegrationValues {
    /// Where the stored secrets belong: when it changes, they must be given again.
    #[must_use]
    pub fn place(&self) -> String {
        origin(&self.api_url)
    }
}

impl IntegrationForm {
    /// The fields of the API that are only read.
    pub const READ_ONLY: &'static [&'static str] = &[
        "id",
        "has_api_key",
        "has_api_password",
        "created_at",
        "updated_at",
        "version",
        "last_result",
        "last_test",
        "health",
        "warnings",
        "proxy_name",
        "type_name",
    ];

    /// Reads an API body. Types are checked here, values in [`IntegrationForm::parse`].
    ///
    /// # Errors
    /// Each wrong or unknown field with what would be right.
    pub fn from_json(body: &Value) -> Result<Self, FieldErrors> {
        let Value::Object(fields) = body else {
            return Err(FieldErrors::of("body", "Send a JSON object with the fields of the integration."));
        };
        let mut form = Self::default();
        let mut errors = FieldErrors::new();
        for (field, value) in fields {
            let text = |errors: &mut FieldErrors, null: bool| match value {
                Value::String(text) => text.clone(),
                Value::Null if null => String::new(),
                _ => {
                    errors.add(field, if null { "This must be a text or null." } else { "This must be a text." });
                    String::new()
                }
            };
            let number = |errors: &mut FieldErrors| match value {
                Value::Number(number) => number.to_string(),
                Value::Null => String::new(),
                _ => {
                    errors.add(field, "This must be a number.");
                    String::new()
                }
            };
            let secret = |errors: &mut FieldErrors| match value {
                Value::Null => SecretInput::Clear,
                Value::String(secret) if !secret.is_empty() => SecretInput::Set(Secret::new(secret)),
                _ => {
                    errors.add(field, "This must be a text; leave it out to keep what is stored, or send null to erase it.");
                    SecretInput::Keep
                }
            };
            match field.as_str() {
                "name" => form.name = text(&mut errors, false),
                "type" => form.kind = text(&mut errors, false),
                "description" => form.description = text(&mut errors, true),
                "api_url" => form.api_url = text(&mut errors, true),
                "status" => form.status = text(&mut errors, false),
                "ca_pem" => form.ca_pem = text(&mut errors, true),
                "tags" => form.tags = texts(value).map(|t| t.join(",")).unwrap_or_else(|| wrong_list(&mut errors, field)),
                "proxy" => form.proxy = errors.check(field, ProxyChoice::from_json(value)).unwrap_or_default(),
                "capabilities" => form.capabilities = errors.check(field, capabilities(value)).flatten(),
                "api_key" => form.api_key = secret(&mut errors),
                "api_password" => form.api_password = secret(&mut errors),
                "hide_url_parameters" => match value {
                    Value::Bool(hide) => form.hide_url_parameters = *hide,
                    _ => errors.add(field, "This must be true or false."),
                },
                "detection_threshold" => form.detection_threshold = number(&mut errors),
                "cache_hours" => form.cache_hours = number(&mut errors),
                "timeout_s" => form.timeout_s = number(&mut errors),
                "exclusions" => form.take_exclusions(value, &mut errors),
                "options" => match value {
                    Value::Object(options) => {
                        for (name, option) in options {
                            match option {
                                Value::String(text) => drop(form.options.insert(name.clone(), text.clone())),
                                Value::Null => {}
                                _ => errors.add(format!("options.{name}"), "This must be a text."),
                            }
                        }
                    }
                    Value::Null => {}
                    _ => errors.add(field, "This must be an object."),
                },
                known if Self::READ_ONLY.contains(&known) => {}
                _ => errors.add(field, "There is no such field."),
            }
        }
        if errors.is_empty() { Ok(form) } else { Err(errors) }
    }

    fn take_exclusions(&mut self, value: &Value, errors: &mut FieldErrors) {
        let Value::Object(lists) = value else {
            if !value.is_null() {
                errors.add("exclusions", r#"Use {"urls": [], "ips": [], "extensions": []}."#);
            }
            return;
        };
        for (name, entries) in lists {
            let field = format!("exclusions.{name}");
            let Some(entries) = texts(entries) else {
                errors.add(field, "This must be a list of texts.");
                continue;
            };
            // Each entry is one text: white space inside would otherwise make two of it.
            if entries.iter().any(|entry| entry.trim().contains(|c: char| c.is_whitespace() || c == ',' || c == ';')) {
                errors.add(field, "An entry can't hold white space, commas or semicolons.");
                continue;
            }
            let joined = entries.join("\n");
            match name.as_str() {
                "urls" => self.exclude_urls = joined,
                "ips" => self.exclude_ips = joined,
                "extensions" => self.exclude_extensions = joined,
                _ => errors.add(field, "There is no such list."),
            }
        }
    }

    /// Makes a right integration of it, or says everything that is wrong at once.
    ///
    /// # Errors
    /// Each wrong field.
    pub fn parse(&self, spec: &EngineSpec, has_key: bool, has_password: bool) -> Result<IntegrationValues, FieldErrors> {
        let mut errors = FieldErrors::new();
        let name = errors.check("name", IntegrationName::parse(&self.name));
        self.parse_beyond_name(spec, has_key, has_password, name, errors)
    }

    /// As [`IntegrationForm::parse`], for a test: the name may be missing.
    ///
    /// # Errors
    /// Each wrong field.
    pub fn parse_draft(&self, spec: &EngineSpec, has_key: bool, has_password: bool) -> Result<IntegrationValues, FieldErrors> {
        let name = IntegrationName::parse(&self.name).or_else(|_| IntegrationName::parse(spec.label)).ok();
        self.parse_beyond_name(spec, has_key, has_password, name, FieldErrors::new())
    }

    fn parse_beyond_name(
        &self, spec: &EngineSpec, has_key: bool, has_password: bool, name: Option<IntegrationName>, mut errors: FieldErrors,
    ) -> Result<IntegrationValues, FieldErrors> {
        let description = self.description.trim();
        if description.chars().count() > 500 {
            errors.add("description", format!("Use at most 500 characters; this has {}.", description.chars().count()));
        } else if description.chars().any(|c| text::is_forbidden(c) && c != '\n' && c != '\r') {
            errors.add("description", "Remove the control characters.");
        }
        let typed = Some(self.api_url.trim()).filter(|typed| !typed.is_empty()).unwrap_or(spec.api_url);
        let api_url = if typed.is_empty() && spec.api_url.is_empty() {
            errors.add("api_url", format!("Enter the service's address, like {}.", spec.api_url_example));
            None
        } else if !typed.contains("://") {
            errors.add("api_url", "Use an address that starts with https:// or http://.");
            None
        } else {
            errors.check("api_url", TestTarget::parse(typed))
        };
        let tags = errors.check("tags", parse_tags(&self.tags));
        if spec.dns && matches!(self.proxy, ProxyChoice::Setting { .. }) {
            errors.add("proxy", "DNS can't go through a proxy. Choose No Proxy, or the type that asks over HTTP instead.");
        }
        let wanted = self.capabilities.unwrap_or(spec.starts_with);
        let beyond = (wanted.url && !spec.can.url)
            || (wanted.sender_ip && !spec.can.sender_ip)
            || (wanted.attachment && !spec.can.attachment);
        if beyond {
            let can = [(spec.can.url, "URLs"), (spec.can.sender_ip, "sender IPs"), (spec.can.attachment, "attachments")];
            let can: Vec<_> = can.iter().filter(|(can, _)| *can).map(|(_, what)| *what).collect();
            errors.add("capabilities", format!("{} looks at {} only.", spec.label, can.join(" and ")));
        } else if !wanted.any() {
            errors.add("capabilities", "Choose at least one: otherwise the integration has nothing to do.");
        }
        let status = errors.check("status", self.status.parse::<IntegrationStatus>());
        check_secret(&mut errors, "api_key", &self.api_key, spec.key, has_key, spec.key_label);
        let password = if spec.password_label.is_some() { KeyNeed::Required } else { KeyNeed::None };
        check_secret(
            &mut errors,
            "api_password",
            &self.api_password,
            password,
            has_password,
            spec.password_label.unwrap_or_default(),
        );
        let exclusions = Exclusions {
            urls: errors.check("exclusions.urls", list(&self.exclude_urls, Exclusions::parse_url)).unwrap_or_default(),
            ips: errors.check("exclusions.ips", list(&self.exclude_ips, Exclusions::parse_ip)).unwrap_or_default(),
            extensions: errors
                .check("exclusions.extensions", list(&self.exclude_extensions, Exclusions::parse_extension))
                .unwrap_or_default(),
        };
        let detection_threshold = match (spec.threshold, self.detection_threshold.trim()) {
            (Some(threshold), "") => Some(threshold.default),
            (Some(threshold), typed) => errors.check("detection_threshold", number(typed, 1, threshold.max)),
            (None, "" | "0") => None,
            (None, _) => {
                errors.add("detection_threshold", format!("{} has no threshold: leave it out.", spec.label));
                None
            }
        };
        let cache_hours = match self.cache_hours.trim() {
            "" => Some(0),
            typed => errors.check("cache_hours", number(typed, 0, 720)),
        };
        let timeout_s = match self.timeout_s.trim() {
            "" => Some(spec.timeout_s),
            typed => errors.check("timeout_s", number(typed, 1, 1800)),
        };
        let ca_pem = match self.ca_pem.trim() {
            "" => None,
            pem => errors.check("ca_pem", CaPem::parse(pem)),
        };
        let mut options = BTreeMap::new();
        for option in spec.options {
            let value = self.options.get(option.name).map_or("", |value| value.trim());
            let value = if value.is_empty() { option.default } else { value };
            let field = format!("options.{}", option.name);
            if value.chars().count() > 1000 || value.chars().any(text::is_forbidden) {
                errors.add(field, "Use at most 1000 characters, and no control characters.");
            } else if let Err(why) = (option.check)(value) {
                errors.add(field, why);
            } else if !value.is_empty() {
                options.insert(option.name.to_string(), value.to_string());
            }
        }
        for name in self.options.keys().filter(|name| !spec.options.iter().any(|option| option.name == name.as_str())) {
            errors.add(format!("options.{name}"), format!("{} has no such option.", spec.label));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let (Some(name), Some(api_url), Some(tags), Some(status), Some(cache_hours), Some(timeout_s)) =
            (name, api_url, tags, status, cache_hours, timeout_s)
        else {
            return Err(errors);
        };
        Ok(IntegrationValues {
            name,
            kind: spec.kind.to_string(),
            description: description.to_string(),
            api_url,
            tags,
            proxy: self.proxy.clone(),
            capabilities: wanted,
            status,
            hide_url_parameters: self.hide_url_parameters,
            exclusions,
            detection_threshold,
            cache_hours,
            timeout_s,
            ca_pem,
            options,
        })
    }
}

fn check_secret(errors: &mut FieldErrors, field: &str, secret: &SecretInput, need: KeyNeed, stored: bool, label: &str) {
    match (secret, need) {
        (SecretInput::Set(_), KeyNeed::None) => errors.add(field, "This type has none: leave it out."),
        (SecretInput::Set(secret), _) => {
            let secret = secret.expose();
            // It goes into a header field or a URL: what can't stand there would be refused at the first request.
            if secret.len() > 4096 {
                errors.add(field, "Use at most 4096 bytes.");
            } else if !secret.chars().all(|c| c.is_ascii_graphic() || c == ' ') || secret.trim() != secret {
                errors.add(field, "Use printable ASCII characters, without white space at either end.");
            }
        }
        (SecretInput::Keep, KeyNeed::Required) if !stored => errors.add(field, format!("Enter the {label}.")),
        (SecretInput::Clear, KeyNeed::Required) => errors.add(field, format!("This type can't work without the {label}.")),
        _ => {}
    }
}

fn number(text: &str, from: u16, to: u16) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(number) if (from..=to).contains(&number) => Ok(number),
        _ => Err(format!("Enter a whole number from {from} to {to}.")),
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(all) => all.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn wrong_list(errors: &mut FieldErrors, field: &str) -> String {
    errors.add(field, "This must be a list of texts.");
    String::new()
}

fn capabilities(value: &Value) -> Result<Option<Capabilities>, String> {
    const RIGHT: &str = r#"Use {"url": true, "sender_ip": false, "attachment": false}; what is left out is off."#;
    let fields = match value {
        Value::Null => return Ok(None),
        Value::Object(fields) => fields,
        _ => return Err(RIGHT.into()),
    };
    let mut wanted = Capabilities::default();
    for (name, value) in fields {
        let Value::Bool(on) = value else { return Err(RIGHT.into()) };
        match name.as_str() {
            "url" => wanted.url = *on,
            "sender_ip" => wanted.sender_ip = *on,
            "attachment" => wanted.attachment = *on,
            _ => return Err(RIGHT.into()),
        }
    }
    Ok(Some(wanted))
}

wire_enum!(
    /// How an integration or a proxy setting is.
    Health, "Use healthy, degraded, down or inactive." {
        /// The last test passed.
        Healthy = "healthy", "Healthy";
        /// The last test failed, and the one before did not; or the key or quota is the matter, not the way.
        Degraded = "degraded", "Degraded";
        /// The last two tests failed.
        Down = "down", "Down";
        /// It is not active, so nobody looks.
        Inactive = "inactive", "Inactive";
    }
);

/// The last result of Test Connection of an integration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IntegrationTest {
    /// When it ended.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Reached, and the key is right.
    pub ok: bool,
    /// Null when `ok`.
    pub cause: Option<Cause>,
    /// What happened, for a person.
    pub message: String,
    /// How long it took in all, in milliseconds.
    pub ms: u64,
    /// Which way it went.
    pub route: Option<Route>,
}

/// What testing an integration found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IntegrationReport {
    /// The service was reached through the chosen route, and it accepts the key.
    pub ok: bool,
    /// Null when `ok`.
    pub cause: Option<Cause>,
    /// What happened, for a person.
    pub message: String,
    /// What to do about it, for a person.
    pub hint: Option<String>,
    /// What was asked: scheme, host and port of the service.
    pub target: String,
    /// All six, in order.
    pub stages: Vec<StageResult>,
    /// The service's status, when it answered.
    pub status_code: Option<u16>,
    /// Always null: the service does not tell.
    pub egress_ip: Option<String>,
    /// Which way the test went; null when it did not come to that.
    pub route: Option<Route>,
}

/// An integration as the API and the screens show it. There is no field for its secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IntegrationView {
    /// Identifier (UUID).
    pub id: String,
    /// Name.
    pub name: String,
    /// The engine, like `virustotal`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The engine's name, like `VirusTotal`.
    pub type_name: String,
    /// What it is for.
    pub description: String,
    /// Where the service is.
    pub api_url: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Which way its requests take.
    pub proxy: ProxyChoice,
    /// What that means now: the name of the proxy setting; null when it means a direct connection.
    pub proxy_name: Option<String>,
    /// What it looks at.
    pub capabilities: Capabilities,
    /// Whether it takes part in analyses.
    pub status: IntegrationStatus,
    /// Whether a key is stored.
    pub has_api_key: bool,
    /// Whether a second secret is stored.
    pub has_api_password: bool,
    /// Send only scheme and host of URLs.
    pub hide_url_parameters: bool,
    /// What never leaves.
    pub exclusions: Exclusions,
    /// How many detections, or what score, make `malicious`; null for types without one.
    pub detection_threshold: Option<u16>,
    /// How long an answer is used again, in hours; 0: not at all.
    pub cache_hours: u16,
    /// How long one look-up may take in all, in seconds.
    pub timeout_s: u16,
    /// Trusted besides the system's certificates, for the service.
    pub ca_pem: Option<String>,
    /// Settings of the type's own.
    pub options: BTreeMap<String, String>,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was last saved.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
    /// Grows with every change; the ETag.
    pub version: u64,
    /// The last result of Test Connection.
    pub last_test: Option<IntegrationTest>,
    /// How it is.
    pub health: Option<Health>,
    /// What an administrator should know about these settings.
    pub warnings: Vec<String>,
}

impl IntegrationView {
    /// The form that edits this integration: the stored secrets are kept.
    #[must_use]
    pub fn to_form(&self) -> IntegrationForm {
        IntegrationForm {
            name: self.name.clone(),
            kind: self.kind.clone(),
            description: self.description.clone(),
            api_url: self.api_url.clone(),
            tags: self.tags.join(", "),
            proxy: self.proxy.clone(),
            capabilities: Some(self.capabilities),
            status: self.status.to_string(),
            api_key: SecretInput::Keep,
            api_password: SecretInput::Keep,
            hide_url_parameters: self.hide_url_parameters,
            exclude_urls: self.exclusions.urls.join("\n"),
            exclude_ips: self.exclusions.ips.join("\n"),
            exclude_extensions: self.exclusions.extensions.join("\n"),
            detection_threshold: self.detection_threshold.map(|t| t.to_string()).unwrap_or_default(),
            cache_hours: self.cache_hours.to_string(),
            timeout_s: self.timeout_s.to_string(),
            ca_pem: self.ca_pem.clone().unwrap_or_default(),
            options: self.options.clone(),
        }
    }
}

/// What a list of integrations is asked for. The same names stand in the page's URL and in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationQuery {
    /// Searched for in name, description, type, address and tags, without regard to case.
    pub q: String,
    /// `name`, `type`, `status` or `created_at`; a minus in front turns the order round.
    pub sort: String,
    /// Only this type.
    pub kind: Option<String>,
    /// Only these.
    pub status: Option<IntegrationStatus>,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only those with this proxy choice: `default`, `none` or a setting's identifier.
    pub proxy: Option<ProxyChoice>,
    /// Exactly this name, without regard to case.
    pub name: Option<String>,
    /// Items on a page, 1 to 200.
    pub limit: u16,
    /// Where to go on; opaque.
    pub cursor: Option<String>,
}

impl Default for IntegrationQuery {
    fn default() -> Self {
        Self {
            q: String::new(),
            sort: "name".into(),
            kind: None,
            status: None,
            tag: None,
            proxy: None,
            name: None,
            limit: 50,
            cursor: None,
        }
    }
}

impl IntegrationQuery {
    /// What a list can be sorted by.
    pub const SORTS: [&str; 4] = ["name", "type", "status", "created_at"];

    /// Reads the parameters of a URL. Empty ones count as left out.
    ///
    /// # Errors
    /// Each wrong or unknown parameter with what would be right.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FieldErrors> {
        let mut query = Self::default();
        let mut errors = FieldErrors::new();
        for (key, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            match key {
                "q" => query.q = value.trim().chars().take(200).collect(),
                "sort" if Self::SORTS.contains(&value.strip_prefix('-').unwrap_or(value)) => query.sort = value.to_string(),
                "sort" => {
                    errors.add(key, format!("Sort by one of {}; a minus in front turns the order round.", Self::SORTS.join(", ")))
                }
                "type" => query.kind = Some(value.to_string()),
                "status" => query.status = errors.check(key, value.parse()),
                "tag" => query.tag = Some(value.to_string()),
                "proxy" => query.proxy = Some(ProxyChoice::of_field(value)),
                "name" => query.name = Some(value.to_string()),
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

    /// Whether anything narrows the list.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        let Self { q, kind, status, tag, proxy, name, .. } = self;
        !q.is_empty() || kind.is_some() || status.is_some() || tag.is_some() || proxy.is_some() || name.is_some()
    }
}

/// Whether a host is this machine, by its name or its address: such targets are reached directly, on-premise.
#[must_use]
pub fn is_loopback(host: &HostName) -> bool {
    match host.address() {
        Some(address) => address.to_canonical().is_loopback(),
        None => host.ascii() == "localhost" || host.ascii().ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SPEC: EngineSpec = EngineSpec {
        kind: "example",
        label: "Example",
        summary: "",
        api_url: "https://api.example/v1",
        api_url_example: "",
        can: Capabilities { url: true, sender_ip: true, attachment: false },
        starts_with: Capabilities { url: true, sender_ip: false, attachment: false },
        key: KeyNeed::Required,
        key_label: "API key",
        password_label: None,
        threshold: Some(Threshold { default: 3, max: 90, help: "" }),
        uploads: false,
        dns: false,
        notes: &[],
        options: &[],
        timeout_s: 30,
    };

    #[test]
    fn what_is_left_out_takes_its_default() {
        let form = IntegrationForm::from_json(&json!({"name": " A ", "type": "example", "api_key": "k", "id": "ignored"}))
            .expect("right");
        let values = form.parse(&SPEC, false, false).expect("right");
        assert_eq!(
            (values.api_url.to_string().as_str(), values.timeout_s, values.cache_hours),
            ("https://api.example/v1", 30, 0)
        );
        assert_eq!(
            (values.proxy, values.capabilities, values.detection_threshold),
            (ProxyChoice::Default, SPEC.starts_with, Some(3))
        );
        assert_eq!(values.status, IntegrationStatus::Active);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let body = json!({
            "name": "", "type": "example", "api_url": "ftp://x", "status": "on", "tags": ["a\u{7}"],
            "capabilities": {"attachment": true}, "exclusions": {"urls": ["a/b"], "ips": ["10.0.0.256"], "extensions": ["?"]},
            "detection_threshold": 1000, "cache_hours": -1, "timeout_s": 0, "ca_pem": "x", "options": {"colour": "red"},
        });
        let errors = IntegrationForm::from_json(&body).expect("typed").parse(&SPEC, false, false).expect_err("wrong");
        let fields: Vec<_> = errors.0.keys().map(String::as_str).collect();
        assert_eq!(
            fields,
            [
                "api_key",
                "api_url",
                "ca_pem",
                "cache_hours",
                "capabilities",
                "detection_threshold",
                "exclusions.extensions",
                "exclusions.ips",
                "exclusions.urls",
                "name",
                "options.colour",
                "status",
                "tags",
                "timeout_s"
            ]
        );
        let body =
            json!({"name": 1, "proxy": {"choice": "x"}, "capabilities": {"url": "yes"}, "tags": "a", "api_key": "", "colour": 1});
        let errors = IntegrationForm::from_json(&body).expect_err("wrong");
        let fields: Vec<_> = errors.0.keys().map(String::as_str).collect();
        assert_eq!(fields, ["api_key", "capabilities", "colour", "name", "proxy", "tags"]);
    }

    #[test]
    fn no_capability_is_refused() {
        let body = json!({"name": "A", "type": "example", "api_key": "k", "capabilities": {"url": false}});
        let errors = IntegrationForm::from_json(&body).expect("typed").parse(&SPEC, false, false).expect_err("none");
        assert!(errors.get("capabilities").is_some_and(|why| why.contains("at least one")), "{errors:?}");
    }

    #[test]
    fn loopback_is_told_by_name_and_by_address() {
        for (host, expected) in [
            ("localhost", true),
            ("a.localhost", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("localhost.example", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&HostName::parse(host).expect(host)), expected, "{host}");
        }
    }
}
