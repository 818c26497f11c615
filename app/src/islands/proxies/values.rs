//! What the form of a proxy setting holds: from and to posted fields, what differs between two people's versions.

use std::collections::BTreeMap;

use gatehouse_domain::{Authentication, ProxyForm, ProxyView, Scheme, Secret, SecretInput, UsedBy};
use serde::{Deserialize, Serialize};

/// The label of each field, in the order of the screen. The error summary and the list of differences use the same words.
pub const LABELS: &[(&str, &str)] = &[
    ("name", "Proxy Setting Name"),
    ("host", "Proxy Address or IP"),
    ("port", "Port"),
    ("authentication", "Authentication Method"),
    ("username", "User name"),
    ("password", "Password"),
    ("is_default", "Make default"),
    ("scheme", "Proxy protocol"),
    ("bypass", "Bypass list"),
    ("ca_pem", "CA certificate (PEM)"),
    ("timeout_s", "Timeout in seconds"),
    ("fallback", "If it can't be reached"),
    ("target", "Test target"),
];

/// The fields under "More".
pub const MORE: &[&str] = &["scheme", "bypass", "ca_pem", "timeout_s", "fallback"];

/// What a person reads for a field.
#[must_use]
pub fn label(field: &str) -> &'static str {
    LABELS.iter().find(|(name, _)| *name == field).map_or("This form", |(_, label)| label)
}

/// A saved setting as the islands need it: in the form's own words, without its times (the browser would need a calendar).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Its identifier.
    pub id: String,
    /// The version that may be written over.
    pub version: u64,
    /// Whether a password is stored.
    pub has_password: bool,
    /// What the form starts with.
    pub form: ProxyForm,
    /// Who uses it.
    pub used_by: Vec<UsedBy>,
}

impl From<ProxyView> for Stored {
    fn from(view: ProxyView) -> Self {
        let form = of_view(&view);
        Self { id: view.id, version: view.version, has_password: view.has_password, form, used_by: view.used_by }
    }
}

/// The values of a saved setting as the form starts with them.
///
/// A Basic setting that was made without a password (the API can say so) stays without one unless somebody types one.
#[must_use]
pub fn of_view(view: &ProxyView) -> ProxyForm {
    let mut form = view.to_form();
    if view.authentication == Authentication::Basic && !view.has_password {
        form.password = SecretInput::Clear;
    }
    form
}

/// The fields of a posted form; an empty password means that none was typed.
#[must_use]
pub fn of_fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> ProxyForm {
    // An unchecked box is not posted, and neither is a radio button that nobody chose.
    let mut form = ProxyForm { is_default: false, ..ProxyForm::default() };
    for (name, value) in fields {
        let value = value.to_string();
        match name {
            "name" => form.name = value,
            "host" => form.host = value,
            "port" => form.port = value,
            "scheme" => form.scheme = value,
            "authentication" => form.authentication = value,
            "username" => form.username = value,
            "password" if !value.is_empty() => form.password = SecretInput::Set(Secret::new(value)),
            "is_default" => form.is_default = true,
            // A browser posts CR LF.
            "bypass" => form.bypass = value.replace("\r\n", "\n"),
            "ca_pem" => form.ca_pem = value.replace("\r\n", "\n"),
            "timeout_s" => form.timeout_s = value,
            "fallback" => form.fallback = value,
            _ => {}
        }
    }
    form
}

/// The fields to show again. The password is left out: it never comes back.
#[must_use]
pub fn to_fields(form: &ProxyForm) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut add = |name: &str, value: &str| {
        fields.insert(name.to_string(), value.to_string());
    };
    add("name", &form.name);
    add("host", &form.host);
    add("port", &form.port);
    add("scheme", &form.scheme);
    add("authentication", &form.authentication);
    add("username", &form.username);
    add("bypass", &form.bypass);
    add("ca_pem", &form.ca_pem);
    add("timeout_s", &form.timeout_s);
    add("fallback", &form.fallback);
    if form.is_default {
        add("is_default", "on");
    }
    fields
}

/// Whether the two say the same, as the server would keep it: spaces around a host are no change.
#[must_use]
pub fn same(a: &ProxyForm, b: &ProxyForm) -> bool {
    shown(a).iter().zip(shown(b)).all(|(a, b)| a.1 == b.1) && typed_password(a).is_none() && typed_password(b).is_none()
}

/// The password that was typed, if one was.
#[must_use]
pub fn typed_password(form: &ProxyForm) -> Option<&Secret> {
    match &form.password {
        SecretInput::Set(secret) if form.authentication == Authentication::Basic.as_str() => Some(secret),
        _ => None,
    }
}

/// Whether a password that is stored for `saved` may not go where `form` leads: host, port or protocol is another.
#[must_use]
pub fn leads_elsewhere(saved: &ProxyForm, form: &ProxyForm) -> bool {
    place(saved) != place(form)
}

fn place(form: &ProxyForm) -> (String, String, &str) {
    let host = gatehouse_domain::HostName::parse(&form.host)
        .map_or_else(|_| form.host.trim().to_ascii_lowercase(), |h| h.ascii().to_string());
    let port = gatehouse_domain::Port::parse(&form.port).map_or_else(|_| form.port.trim().to_string(), |p| p.to_string());
    (host, port, form.scheme.as_str())
}

/// Whether something under "More" is not as a new setting has it.
#[must_use]
pub fn has_more(form: &ProxyForm) -> bool {
    let plain = ProxyForm::default();
    form.scheme != plain.scheme
        || !form.bypass.trim().is_empty()
        || !form.ca_pem.trim().is_empty()
        || form.timeout_s != plain.timeout_s
        || !form.fallback.is_empty()
}

/// What was filled by pasting a whole URL, for the note that says so: labels, in the order of the screen.
#[must_use]
pub fn filled(before: &ProxyForm, after: &ProxyForm) -> Vec<&'static str> {
    let mut labels: Vec<_> =
        shown(before).iter().zip(shown(after)).filter(|(a, b)| a.1 != b.1).map(|(a, _)| label(a.0)).collect();
    if before.password != after.password {
        let at = labels.iter().position(|l| *l == label("username")).map_or(labels.len(), |at| at + 1);
        labels.insert(at, label("password"));
    }
    labels
}

/// One field in which two versions differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field's label.
    pub label: &'static str,
    /// As this person has it.
    pub mine: String,
    /// As it is stored now.
    pub theirs: String,
}

/// Where what somebody typed and what is stored now differ, field by field. Passwords are never told, only that there is one.
#[must_use]
pub fn differences(mine: &ProxyForm, theirs: &Stored) -> Vec<Difference> {
    let mut differences: Vec<_> = shown(mine)
        .into_iter()
        .zip(shown(&theirs.form))
        .filter(|(a, b)| a.1 != b.1)
        .map(|(a, b)| Difference { label: label(a.0), mine: a.1, theirs: b.1 })
        .collect();
    if typed_password(mine).is_some() {
        let theirs = if theirs.has_password { "the stored one" } else { "none" };
        differences.push(Difference { label: label("password"), mine: "a new one (not shown)".into(), theirs: theirs.into() });
    }
    differences
}

/// Each field in words, as the server would keep it; without the password.
fn shown(form: &ProxyForm) -> Vec<(&'static str, String)> {
    let or_none = |text: String| if text.is_empty() { "none".to_string() } else { text };
    let basic = form.authentication == Authentication::Basic.as_str();
    let lines = |text: &str| {
        text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';')).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(", ")
    };
    let certificates = gatehouse_domain::CaPem::parse(&form.ca_pem)
        .map_or_else(|_| form.ca_pem.trim().to_string(), |pem| pem.as_str().to_string());
    let timeout = form.timeout_s.trim();
    vec![
        ("name", gatehouse_domain::text::tidy(&form.name)),
        ("host", form.host.trim().trim_matches(['[', ']']).to_string()),
        ("port", gatehouse_domain::Port::parse(&form.port).map_or_else(|_| form.port.trim().to_string(), |p| p.to_string())),
        (
            "authentication",
            form.authentication.parse::<Authentication>().map_or_else(|_| form.authentication.clone(), |a| a.label().to_string()),
        ),
        ("username", if basic { form.username.trim().to_string() } else { "none".into() }),
        ("is_default", if form.is_default { "yes" } else { "no" }.to_string()),
        ("scheme", form.scheme.parse::<Scheme>().map_or_else(|_| form.scheme.clone(), |s| s.label().to_string())),
        ("bypass", or_none(lines(&form.bypass))),
        ("ca_pem", or_none(certificates)),
        ("timeout_s", if timeout.is_empty() { ProxyForm::default().timeout_s } else { timeout.to_string() }),
        ("fallback", or_none(form.fallback.clone())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> ProxyView {
        serde_json::from_value(serde_json::json!({
            "id": "1", "name": "Corp-EU", "host": "proxy.example", "port": 3128, "scheme": "http", "authentication": "basic",
            "username": "jo", "has_password": true, "is_default": false, "bypass": ["*.corp.example", "10.0.0.0/8"], "ca_pem": null,
            "timeout_s": 10, "created_at": "2026-01-02T03:04:05.000Z", "updated_at": "2026-01-02T03:04:05.000Z", "version": 3,
            "last_test": null, "used_by": [],
        }))
        .expect("a view")
    }

    #[test]
    fn posted_fields_come_back_without_the_password() {
        let form = of_fields([
            ("name", "A"),
            ("host", "h"),
            ("password", "hunter2"),
            ("is_default", "on"),
            ("bypass", "a\r\nb"),
            ("junk", "x"),
        ]);
        assert_eq!(form.password, SecretInput::Set(Secret::new("hunter2")));
        let fields = to_fields(&form);
        assert!(fields.values().all(|v| !v.contains("hunter2")));
        let again = of_fields(fields.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        assert_eq!(again, ProxyForm { password: SecretInput::Keep, ..form });
    }

    #[test]
    fn what_the_server_would_keep_the_same_is_no_change() {
        let form = of_view(&saved());
        let spaced = ProxyForm {
            name: " Corp-EU ".into(),
            host: " proxy.example ".into(),
            bypass: "*.corp.example,10.0.0.0/8".into(),
            ..form.clone()
        };
        assert!(same(&form, &spaced));
        assert!(!same(&form, &ProxyForm { port: "3129".into(), ..form.clone() }));
        assert!(!same(&form, &ProxyForm { password: SecretInput::Set(Secret::new("x")), ..form.clone() }));
    }

    #[test]
    fn a_stored_password_belongs_to_host_port_and_scheme() {
        let form = of_view(&saved());
        for same_place in
            [ProxyForm { host: "PROXY.example.".into(), ..form.clone() }, ProxyForm { name: "B".into(), ..form.clone() }]
        {
            assert!(!leads_elsewhere(&form, &same_place));
        }
        for other in [
            ProxyForm { host: "other.example".into(), ..form.clone() },
            ProxyForm { port: "3129".into(), ..form.clone() },
            ProxyForm { scheme: "https".into(), ..form.clone() },
            ProxyForm { host: "not a host".into(), ..form.clone() },
        ] {
            assert!(leads_elsewhere(&form, &other));
        }
    }

    #[test]
    fn differences_are_told_field_by_field_and_no_password_with_them() {
        let theirs = Stored::from(saved());
        let mut mine = theirs.form.clone();
        assert_eq!(differences(&mine, &theirs), []);
        mine.port = "8080".into();
        mine.bypass = String::new();
        mine.password = SecretInput::Set(Secret::new("hunter2"));
        let told: Vec<_> = differences(&mine, &theirs).into_iter().map(|d| (d.label, d.mine, d.theirs)).collect();
        assert_eq!(
            told,
            [
                ("Port", "8080".to_string(), "3128".to_string()),
                ("Bypass list", "none".to_string(), "*.corp.example, 10.0.0.0/8".to_string()),
                ("Password", "a new one (not shown)".to_string(), "the stored one".to_string()),
            ]
        );
    }

    #[test]
    fn transparent_says_nothing_of_user_and_password() {
        let view = ProxyView { authentication: Authentication::Transparent, username: None, has_password: false, ..saved() };
        let theirs = Stored::from(view);
        let mine =
            ProxyForm { username: "left over".into(), password: SecretInput::Set(Secret::new("x")), ..theirs.form.clone() };
        assert_eq!(differences(&mine, &theirs), []);
        assert!(same(&theirs.form, &mine));
    }

    #[test]
    fn a_pasted_url_says_what_it_filled() {
        let before = ProxyForm::default();
        let mut after = before.clone();
        assert!(after.take_pasted("https://jo:secret@proxy.example:3128"));
        assert_eq!(
            filled(&before, &after),
            ["Proxy Address or IP", "Port", "Authentication Method", "User name", "Password", "Proxy protocol"]
        );
        assert!(has_more(&after) && !has_more(&before));
    }

    #[test]
    fn a_basic_setting_without_a_password_stays_without_one() {
        let view = ProxyView { has_password: false, ..saved() };
        assert!(of_view(&view).parse(false).is_ok());
    }
}
