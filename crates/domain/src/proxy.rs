//! Proxy settings: the outgoing proxies of a company.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    FieldErrors, Secret, Timestamp,
    account::name_type,
    bypass::Bypass,
    host::{HostName, Port},
    report::LastTest,
    text,
};

name_type!(
    /// A proxy setting's name: 1 to 100 characters, unique in its company without regard to case.
    ProxyName, "a name, such as the place or the purpose of the proxy", 100
);

// `$wire` is a token, not a `literal`: as a fragment of a macro utoipa does not see the text in `#[serde(rename)]`, and the OpenAPI
// document names the variants as Rust does.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident, $expected:literal { $($(#[$vdoc:meta])* $variant:ident = $wire:tt, $label:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $wire)] $variant,)+ }

        impl $name {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As in the API.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire,)+ }
            }

            /// What a person reads.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text { $($wire => Ok(Self::$variant),)+ _ => Err($expected.into()) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use wire_enum;

wire_enum!(
    /// How to speak to the proxy.
    Scheme, "Use http, https, socks5 or socks5h." {
        /// HTTP, unencrypted up to the proxy.
        Http = "http", "HTTP";
        /// HTTP inside TLS.
        Https = "https", "HTTPS (encrypted up to the proxy)";
        /// SOCKS version 5 (RFC 1928); names are resolved here.
        Socks5 = "socks5", "SOCKS5";
        /// SOCKS version 5; names are resolved by the proxy.
        Socks5h = "socks5h", "SOCKS5, names resolved by the proxy";
    }
);

wire_enum!(
    /// What the proxy asks of those who use it.
    Authentication, "Use transparent or basic." {
        /// Nothing.
        Transparent = "transparent", "Transparent";
        /// A user name and a password (RFC 7617; for SOCKS, RFC 1929).
        Basic = "basic", "Basic";
    }
);

impl Scheme {
    /// Whether the proxy speaks SOCKS.
    #[must_use]
    pub fn is_socks(self) -> bool {
        matches!(self, Self::Socks5 | Self::Socks5h)
    }
}

/// A user name for the proxy: 1 to 255 bytes, no control characters; not trimmed inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Username(String);

impl Username {
    /// The longest, in bytes (RFC 1929).
    pub const MAX: usize = 255;

    /// Parses what a person typed.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(text: &str, scheme: Scheme) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("Enter the user name that the proxy knows.".into());
        }
        if text.chars().any(text::is_forbidden) {
            return Err("Remove the control characters from the user name.".into());
        }
        if text.len() > Self::MAX {
            return Err(format!("Use at most {} bytes; this has {}.", Self::MAX, text.len()));
        }
        if !scheme.is_socks() && text.contains(':') {
            return Err(
                "A user name for Basic can't contain a colon (RFC 7617): the proxy would take what follows for the password."
                    .into(),
            );
        }
        Ok(Self(text.to_string()))
    }

    /// As typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a request does with a stored secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretInput {
    /// Left out: what is stored stays.
    #[default]
    Keep,
    /// `null`: what is stored is erased.
    Clear,
    /// A new one.
    Set(Secret),
}

/// One or more certificates as PEM, tidied: only the blocks, one line end each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CaPem(String);

impl CaPem {
    /// The longest, in bytes.
    pub const MAX: usize = 256 * 1024;

    /// Checks the frame, the Base64 and that each block can be a certificate. Whether it really is one, the server says.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        const END: &str = "-----END CERTIFICATE-----";
        if text.len() > Self::MAX {
            return Err(format!("Use at most {} KiB.", Self::MAX / 1024));
        }
        if text.contains("PRIVATE KEY-----") {
            return Err("This holds a private key. Paste only the certificate, and treat the key as seen by others.".into());
        }
        let mut tidied = String::new();
        let mut rest = text;
        let mut count = 0;
        while let Some(at) = rest.find(BEGIN) {
            count += 1;
            let body = &rest[at + BEGIN.len()..];
            let Some(end) = body.find(END) else {
                return Err(format!("Certificate {count} has no line {END}: paste the whole of it."));
            };
            let encoded: String = body[..end].chars().filter(|c| !c.is_whitespace()).collect();
            let der = crate::borrowed::decode_base64(&encoded)
                .ok_or_else(|| format!("Certificate {count} is damaged: what stands between its lines is not Base64."))?;
            if !is_one_sequence(&der) {
                return Err(format!("Certificate {count} is damaged: it is not a certificate, or a part of it is missing."));
            }
            tidied.push_str(BEGIN);
            tidied.push('\n');
            for line in encoded.as_bytes().chunks(64) {
                tidied.extend(line.iter().map(|b| char::from(*b)));
                tidied.push('\n');
            }
            tidied.push_str(END);
            tidied.push('\n');
            rest = &body[end + END.len()..];
        }
        if count == 0 {
            return Err(format!("Paste the certificate as PEM: it starts with {BEGIN}."));
        }
        Ok(Self(tidied))
    }

    /// The blocks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many certificates.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.matches("-----BEGIN CERTIFICATE-----").count()
    }
}

/// Whether these bytes are exactly one DER SEQUENCE.
fn is_one_sequence(der: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = der else { return false };
    if *first < 0x80 {
        return usize::from(*first) == rest.len();
    }
    let width = usize::from(first & 0x7f);
    if !(1..=4).contains(&width) || rest.len() < width {
        return false;
    }
    let length = rest[..width].iter().fold(0usize, |sum, b| (sum << 8) | usize::from(*b));
    rest.len() - width == length
}

/// How long to wait for the proxy and for the first byte of an answer, in seconds: 1 to 120.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeout(u16);

impl Default for Timeout {
    fn default() -> Self {
        Self(Self::DEFAULT)
    }
}

impl Timeout {
    /// Ten seconds.
    pub const DEFAULT: u16 = 10;
    /// The longest.
    pub const MAX: u16 = 120;

    /// Parses what a person typed; nothing means the default.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        match text.parse::<u16>() {
            Ok(seconds) if (1..=Self::MAX).contains(&seconds) => Ok(Self(seconds)),
            _ => Err(format!("Enter whole seconds from 1 to {}.", Self::MAX)),
        }
    }

    /// In seconds.
    #[must_use]
    pub fn seconds(self) -> u16 {
        self.0
    }
}

/// The raw input of a proxy setting: what a form holds and what a request says, before it is parsed.
///
/// The browser keeps one of these; [`ProxyForm::from_json`] makes one of an API body. `Debug` does not show the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyForm {
    /// Proxy setting name.
    pub name: String,
    /// Host name or IP address of the proxy.
    pub host: String,
    /// Port.
    pub port: String,
    /// `http`, `https`, `socks5`, `socks5h`.
    pub scheme: String,
    /// `transparent` or `basic`.
    pub authentication: String,
    /// For Basic.
    pub username: String,
    /// For Basic.
    pub password: SecretInput,
    /// Whether this is to be the company's default.
    pub is_default: bool,
    /// Bypass list, one entry a line.
    pub bypass: String,
    /// Certificates as PEM.
    pub ca_pem: String,
    /// Seconds; empty for the default.
    pub timeout_s: String,
    /// Identifier of the setting that is tried when this one can't be reached; empty for none.
    #[serde(default)]
    pub fallback: String,
}

impl Default for ProxyForm {
    fn default() -> Self {
        Self {
            name: String::new(),
            host: String::new(),
            port: String::new(),
            scheme: Scheme::Http.to_string(),
            authentication: Authentication::Transparent.to_string(),
            username: String::new(),
            password: SecretInput::Keep,
            is_default: false,
            bypass: String::new(),
            ca_pem: String::new(),
            timeout_s: Timeout::DEFAULT.to_string(),
            fallback: String::new(),
        }
    }
}

/// User and password for the proxy; stored apart from its address, never part of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: Username,
    /// The password; may be empty when that is what was said.
    pub password: Secret,
}

/// A proxy setting that is right. The secret travels beside it, never in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyValues {
    /// The name.
    pub name: ProxyName,
    /// The proxy's host.
    pub host: HostName,
    /// The proxy's port.
    pub port: Port,
    /// How to speak to it.
    pub scheme: Scheme,
    /// What it asks for.
    pub authentication: Authentication,
    /// `Some` exactly when `authentication` is Basic.
    pub username: Option<Username>,
    /// What does not go through it.
    pub bypass: Bypass,
    /// Trusted besides the system's certificates, for the proxy and for targets reached through it.
    pub ca_pem: Option<CaPem>,
    /// How long to wait.
    pub timeout: Timeout,
    /// Identifier of the setting that is tried when this one can't be reached.
    pub fallback: Option<String>,
}

impl ProxyValues {
    /// Where a stored password belongs: `scheme://host:port`. When it changes, the password must be given again.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host.for_authority(), self.port)
    }
}

impl ProxyForm {
    /// The fields of the API that are only read: taken and ignored when somebody sends back what they got.
    pub const READ_ONLY: &'static [&'static str] =
        &["id", "has_password", "created_at", "updated_at", "last_test", "health", "used_by", "version"];

    /// Reads an API body. Types are checked here, values in [`ProxyForm::parse`].
    ///
    /// # Errors
    /// Each wrong or unknown field with what would be right.
    pub fn from_json(body: &Value) -> Result<Self, FieldErrors> {
        let Value::Object(fields) = body else {
            return Err(FieldErrors::of("body", "Send a JSON object with the fields of the proxy setting."));
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
            match field.as_str() {
                "name" => form.name = text(&mut errors, false),
                "host" => form.host = text(&mut errors, false),
                "scheme" => form.scheme = text(&mut errors, false),
                "authentication" => form.authentication = text(&mut errors, false),
                "username" => form.username = text(&mut errors, true),
                "ca_pem" => form.ca_pem = text(&mut errors, true),
                "fallback" => form.fallback = text(&mut errors, true),
                "port" => match value {
                    Value::Number(number) => form.port = number.to_string(),
                    _ => errors.add(field, "This must be a number from 1 to 65535."),
                },
                "timeout_s" => match value {
                    Value::Number(number) => form.timeout_s = number.to_string(),
                    Value::Null => form.timeout_s.clear(),
                    _ => errors.add(field, format!("This must be a number of seconds from 1 to {}.", Timeout::MAX)),
                },
                "password" => match value {
                    Value::Null => form.password = SecretInput::Clear,
                    Value::String(password) if password.is_empty() => {
                        errors.add(field, "Leave the password out to keep the stored one, or send null to erase it.");
                    }
                    Value::String(password) => form.password = SecretInput::Set(Secret::new(password)),
                    _ => errors.add(field, "This must be a text or null."),
                },
                "is_default" => match value {
                    Value::Bool(is_default) => form.is_default = *is_default,
                    _ => errors.add(field, "This must be true or false."),
                },
                "bypass" => match value {
                    Value::Array(entries) if entries.iter().all(Value::is_string) => {
                        // Each entry is one text: white space inside would otherwise make two of it.
                        match Bypass::parse(entries.iter().filter_map(Value::as_str)) {
                            Ok(bypass) => form.bypass = bypass.to_strings().join("\n"),
                            Err(why) => errors.add(field, why),
                        }
                    }
                    Value::Null => {}
                    _ => errors.add(field, "This must be a list of texts."),
                },
                known if Self::READ_ONLY.contains(&known) => {}
                _ => errors.add(field, "There is no such field."),
            }
        }
        if errors.is_empty() { Ok(form) } else { Err(errors) }
    }

    /// Parses every field.
    ///
    /// `has_stored` says whether a password is stored already, so that leaving it out means something.
    ///
    /// # Errors
    /// Each wrong field with what would be right.
    pub fn parse(&self, has_stored: bool) -> Result<ProxyValues, FieldErrors> {
        self.parse_fields(has_stored, true)
    }

    /// Like [`ProxyForm::parse`], for a test: the name may be missing.
    ///
    /// # Errors
    /// Each wrong field with what would be right.
    pub fn parse_draft(&self, has_stored: bool) -> Result<ProxyValues, FieldErrors> {
        self.parse_fields(has_stored, false)
    }

    fn parse_fields(&self, has_stored: bool, name_needed: bool) -> Result<ProxyValues, FieldErrors> {
        let mut errors = FieldErrors::new();
        let name = if name_needed || !text::tidy(&self.name).is_empty() {
            errors.check("name", ProxyName::parse(&self.name))
        } else {
            Some(ProxyName("draft".into()))
        };
        let host = errors.check("host", HostName::parse(&self.host));
        let port = errors.check("port", Port::parse(&self.port));
        let scheme = errors.check("scheme", self.scheme.parse::<Scheme>());
        let authentication = errors.check("authentication", self.authentication.parse::<Authentication>());
        let mut username = None;
        if authentication == Some(Authentication::Basic) {
            username = errors.check("username", Username::parse(&self.username, scheme.unwrap_or(Scheme::Http)));
            match &self.password {
                SecretInput::Keep if !has_stored => errors.add("password", "Enter the password that goes with the user name."),
                SecretInput::Set(password) => {
                    let _ = errors.check("password", check_password(password));
                }
                SecretInput::Keep | SecretInput::Clear => {}
            }
        }
        let bypass = errors.check("bypass", Bypass::parse_text(&self.bypass));
        let ca_pem =
            if self.ca_pem.trim().is_empty() { Some(None) } else { errors.check("ca_pem", CaPem::parse(&self.ca_pem)).map(Some) };
        let timeout = errors.check("timeout_s", Timeout::parse(&self.timeout_s));
        match (name, host, port, scheme, authentication, bypass, ca_pem, timeout) {
            (
                Some(name),
                Some(host),
                Some(port),
                Some(scheme),
                Some(authentication),
                Some(bypass),
                Some(ca_pem),
                Some(timeout),
            ) if errors.is_empty() => {
                let fallback = Some(self.fallback.trim().to_string()).filter(|id| !id.is_empty());
                Ok(ProxyValues { name, host, port, scheme, authentication, username, bypass, ca_pem, timeout, fallback })
            }
            _ => Err(errors),
        }
    }

    /// Takes `scheme://user:pass@host:port` apart, as somebody pastes it into the address field: fills what it names,
    /// leaves the rest, and says whether there was anything to take apart.
    ///
    /// User and password may be percent-encoded (RFC 3986); what is not a right encoding stays as it is.
    pub fn take_pasted(&mut self, pasted: &str) -> bool {
        let pasted = pasted.trim();
        let (scheme, rest) = match pasted.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, pasted),
        };
        let scheme = match scheme.as_deref() {
            None => None,
            Some("http") => Some(Scheme::Http),
            Some("https") => Some(Scheme::Https),
            Some("socks5" | "socks") => Some(Scheme::Socks5),
            Some("socks5h") => Some(Scheme::Socks5h),
            Some(_) => return false,
        };
        // A password may hold what ends an authority elsewhere (/ ? #): people paste it unencoded. The last @ decides.
        let (userinfo, rest) = match rest.rsplit_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.rfind(':') {
            Some(at)
                if !authority[at..].contains(']') && authority.matches(':').count() == 1 || authority[..at].ends_with(']') =>
            {
                (&authority[..at], Some(&authority[at + 1..]))
            }
            _ => (authority, None),
        };
        if scheme.is_none() && userinfo.is_none() && port.is_none() {
            return false;
        }
        if HostName::parse(host).is_err() || port.is_some_and(|p| !p.is_empty() && Port::parse(p).is_err()) {
            return false;
        }
        self.host = host.trim_matches(['[', ']']).to_string();
        if let Some(scheme) = scheme {
            self.scheme = scheme.to_string();
        }
        match (port, scheme) {
            (Some(port), _) if !port.is_empty() => self.port = port.to_string(),
            // RFC 9110: a URL without a port names the scheme's own.
            (_, Some(Scheme::Http)) if self.port.is_empty() => self.port = "80".into(),
            (_, Some(Scheme::Https)) if self.port.is_empty() => self.port = "443".into(),
            (_, Some(Scheme::Socks5 | Scheme::Socks5h)) if self.port.is_empty() => self.port = "1080".into(),
            _ => {}
        }
        if let Some(userinfo) = userinfo {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            self.authentication = Authentication::Basic.to_string();
            self.username = percent_decode(user);
            if !password.is_empty() {
                self.password = SecretInput::Set(Secret::new(percent_decode(password)));
            }
        }
        true
    }
}

/// Decodes `%41`; a text with anything that is not a right encoding is left as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push(u8::try_from(high * 16 + low).unwrap_or_default()),
            _ => return text.to_string(),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_string())
}

fn check_password(password: &Secret) -> Result<(), String> {
    let password = password.expose();
    if password.chars().any(char::is_control) {
        return Err("Remove the control characters from the password.".into());
    }
    if password.len() > Username::MAX {
        return Err(format!("Use at most {} bytes; this has {}.", Username::MAX, password.len()));
    }
    Ok(())
}

/// How a consumer reaches a proxy setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// It names the setting.
    Setting,
    /// It uses the company's default, which this is.
    Default,
}

/// Who uses a proxy setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsedBy {
    /// What kind of consumer: `integration`.
    pub kind: String,
    /// Its identifier.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it reaches the setting.
    pub via: Via,
}

/// A proxy setting as the API and the screens show it. There is no field for the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProxyView {
    /// Identifier (UUID).
    pub id: String,
    /// Proxy setting name.
    pub name: String,
    /// Host name or IP address of the proxy, as typed.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How to speak to the proxy.
    pub scheme: Scheme,
    /// What the proxy asks for.
    pub authentication: Authentication,
    /// For Basic, else null.
    pub username: Option<String>,
    /// Whether a password is stored.
    pub has_password: bool,
    /// Whether this is the company's default.
    pub is_default: bool,
    /// What does not go through the proxy.
    pub bypass: Vec<String>,
    /// Trusted besides the system's certificates.
    pub ca_pem: Option<String>,
    /// How long to wait, in seconds.
    pub timeout_s: u16,
    /// Identifier of the setting that is tried when this one can't be reached (its name has no address, or nothing accepts the
    /// connection); null: none, the request fails.
    #[serde(default)]
    pub fallback: Option<String>,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was last saved.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
    /// Grows with every change; the ETag.
    pub version: u64,
    /// The last result of Test Connection.
    pub last_test: Option<LastTest>,
    /// How it is, by its last tests; null before the first.
    pub health: Option<crate::integration::Health>,
    /// Who uses it.
    pub used_by: Vec<UsedBy>,
}

impl ProxyView {
    /// The form that edits this setting: the stored password is kept.
    #[must_use]
    pub fn to_form(&self) -> ProxyForm {
        ProxyForm {
            name: self.name.clone(),
            host: self.host.clone(),
            port: self.port.to_string(),
            scheme: self.scheme.to_string(),
            authentication: self.authentication.to_string(),
            username: self.username.clone().unwrap_or_default(),
            password: SecretInput::Keep,
            is_default: self.is_default,
            bypass: self.bypass.join("\n"),
            ca_pem: self.ca_pem.clone().unwrap_or_default(),
            timeout_s: self.timeout_s.to_string(),
            fallback: self.fallback.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";

    fn right() -> ProxyForm {
        ProxyForm { name: "Corp-EU".into(), host: "proxy.example".into(), port: "3128".into(), ..ProxyForm::default() }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let form = ProxyForm {
            name: " ".into(),
            host: "http://x".into(),
            port: "65536".into(),
            scheme: "ftp".into(),
            authentication: "ntlm".into(),
            bypass: "*".into(),
            ca_pem: "x".into(),
            timeout_s: "0".into(),
            ..ProxyForm::default()
        };
        let errors = form.parse(false).expect_err("wrong");
        let fields: Vec<_> = errors.0.keys().map(String::as_str).collect();
        assert_eq!(fields, ["authentication", "bypass", "ca_pem", "host", "name", "port", "scheme", "timeout_s"]);
    }

    #[test]
    fn basic_needs_a_user_and_a_password_unless_one_is_stored() {
        let mut form = ProxyForm { authentication: "basic".into(), ..right() };
        let errors = form.parse(false).expect_err("no user");
        assert!(errors.get("username").is_some() && errors.get("password").is_some());
        form.username = "jo".into();
        assert!(form.parse(true).is_ok());
        form.password = SecretInput::Clear;
        assert!(form.parse(false).is_ok(), "null says that there is none");
        form.username = "jo:e".into();
        assert!(form.parse(true).is_err(), "a colon cannot be sent with Basic");
        form.scheme = "socks5".into();
        assert!(form.parse(true).is_ok(), "with SOCKS it can");
    }

    #[test]
    fn a_password_may_hold_every_printable_character() {
        let all: String = (0x20u8..0x7f).map(char::from).collect();
        let form = ProxyForm {
            authentication: "basic".into(),
            username: "jo".into(),
            password: SecretInput::Set(Secret::new(all)),
            ..right()
        };
        assert!(form.parse(false).is_ok());
        let form = ProxyForm { password: SecretInput::Set(Secret::new("a\nb")), ..form };
        assert!(form.parse(false).is_err());
    }

    #[test]
    fn an_api_body_is_read_field_by_field() {
        let form = ProxyForm::from_json(&json!({
            "id": "ignored", "used_by": [], "has_password": true,
            "name": "A", "host": "h", "port": 3128, "bypass": ["*.corp.example"], "password": null, "is_default": true,
        }))
        .expect("right");
        assert_eq!((form.port.as_str(), form.password.clone(), form.is_default), ("3128", SecretInput::Clear, true));

        let errors = ProxyForm::from_json(&json!({
            "name": 5, "host": null, "port": "3128", "bypass": "x", "password": "", "is_default": "yes", "pasword": "typo", "timeout_s": "1"
        }))
        .expect_err("wrong");
        let fields: Vec<_> = errors.0.keys().map(String::as_str).collect();
        assert_eq!(fields, ["bypass", "host", "is_default", "name", "password", "pasword", "port", "timeout_s"]);
        assert!(ProxyForm::from_json(&json!([])).is_err());
        let fraction = ProxyForm::from_json(&json!({"name": "A", "host": "h", "port": 3.5})).expect("typed");
        assert!(fraction.parse(false).expect_err("not a port").get("port").is_some());
    }

    #[test]
    fn a_pasted_url_fills_the_fields() {
        for (pasted, host, port, scheme, user, password) in [
            ("http://jo:p%40ss@proxy:3128", "proxy", "3128", "http", "jo", Some("p@ss")),
            ("http://jo:p@ss/w#rd?@proxy:3128/", "proxy", "3128", "http", "jo", Some("p@ss/w#rd?")),
            ("https://proxy.example", "proxy.example", "443", "https", "", None),
            ("socks5h://[2001:db8::1]:1080", "2001:db8::1", "1080", "socks5h", "", None),
            ("proxy:8080", "proxy", "8080", "http", "", None),
            ("http://jo:100%@proxy:1", "proxy", "1", "http", "jo", Some("100%")),
        ] {
            let mut form = ProxyForm::default();
            assert!(form.take_pasted(pasted), "{pasted}");
            assert_eq!((form.host.as_str(), form.port.as_str(), form.scheme.as_str()), (host, port, scheme), "{pasted}");
            assert_eq!(form.username, user, "{pasted}");
            let expected = password.map_or(SecretInput::Keep, |p| SecretInput::Set(Secret::new(p)));
            assert_eq!(form.password, expected, "{pasted}");
        }
        for plain in ["proxy", "10.0.0.1", "2001:db8::1", "ftp://x:1", "", "http://", "::1"] {
            let mut form = ProxyForm::default();
            assert!(!form.take_pasted(plain), "{plain}");
            assert_eq!(form, ProxyForm::default(), "{plain}: nothing is changed");
        }
    }

    #[test]
    fn certificates_are_framed_base64_of_one_sequence() {
        assert_eq!(CaPem::parse(&format!("some text\r\n{PEM}{PEM}")).map(|p| p.count()), Ok(2));
        for (bad, word) in [
            ("", "Paste the certificate"),
            ("-----BEGIN CERTIFICATE-----\nMAMCAQE=", "has no line"),
            ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----", "not Base64"),
            ("-----BEGIN CERTIFICATE-----\nMAMCAQ==\n-----END CERTIFICATE-----", "missing"),
            ("-----BEGIN PRIVATE KEY-----\nMAMCAQE=\n-----END PRIVATE KEY-----", "private key"),
        ] {
            let error = CaPem::parse(bad).expect_err(bad);
            assert!(error.contains(word), "{error}");
        }
    }

    proptest! {
        #[test]
        fn pasting_never_panics(text in any::<String>()) {
            let _ = ProxyForm::default().take_pasted(&text);
        }

        #[test]
        fn pasting_gives_back_what_was_encoded(user in "[a-zA-Z0-9]{1,10}", password in "[ -~]{1,20}") {
            let encoded: String = password.bytes().map(|b| format!("%{b:02X}")).collect();
            let mut form = ProxyForm::default();
            let pasted = format!("http://{user}:{encoded}@proxy.example:3128");
            prop_assert!(form.take_pasted(&pasted));
            prop_assert_eq!(form.password, SecretInput::Set(Secret::new(password)));
            prop_assert_eq!(form.username, user);
        }

        #[test]
        fn a_certificate_field_never_panics(text in any::<String>(), inside in "\\PC{0,40}") {
            let _ = CaPem::parse(&text);
            let _ = CaPem::parse(&format!("-----BEGIN CERTIFICATE-----{inside}-----END CERTIFICATE-----"));
        }

        #[test]
        fn a_form_that_parses_is_stable(name in "\\PC{1,40}", host in "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}", port in 1u16..) {
            let form = ProxyForm { name, host, port: port.to_string(), ..ProxyForm::default() };
            if let Ok(values) = form.parse(false) {
                let again = ProxyForm { name: values.name.to_string(), host: values.host.to_string(), ..form };
                prop_assert_eq!(again.parse(false), Ok(values));
            }
        }
    }
}
