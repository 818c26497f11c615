//! Companies, the people who administer them, and what they sign in with.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Secret, Timestamp, host::HostName, text};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The longest, in characters.
            pub const MAX: usize = $max;

            /// Trims, collapses white space, brings to NFC.
            ///
            /// # Errors
            /// What is wrong and what would be right.
            pub fn parse(text: &str) -> Result<Self, String> {
                $crate::text::one_line(text, $what, Self::MAX).map(Self)
            }

            /// As typed, tidied.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// What makes two of them the same: Unicode case folding. Only stores need it.
            #[cfg(not(target_family = "wasm"))]
            #[must_use]
            pub fn key(&self) -> String {
                $crate::text::fold(&self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}
pub(crate) use name_type;

name_type!(
    /// A company's name: 1 to 100 characters, unique in an installation without regard to case.
    CompanyName, "the company's name", 100
);
name_type!(
    /// A person's name as it is shown: 1 to 100 characters.
    PersonName, "a name", 100
);
name_type!(
    /// What an API token is for: 1 to 100 characters.
    TokenName, "a name for the token, such as what it is for", 100
);

/// An e-mail address to sign in with. Kept as typed; compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

impl Email {
    /// The longest, in bytes (RFC 5321, 4.5.3.1.3 less the brackets).
    pub const MAX: usize = 254;

    /// Checks the shape only: whether mail arrives there shows when mail is sent.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "Enter an e-mail address, like name@example.com.";
        let text = text::tidy(text);
        if text.is_empty() || text.chars().any(|c| c.is_whitespace() || text::is_forbidden(c)) {
            return Err(EXPECTED.into());
        }
        if text.len() > Self::MAX {
            return Err(format!("Use at most {} characters.", Self::MAX));
        }
        let Some((local, domain)) = text.rsplit_once('@') else { return Err(EXPECTED.into()) };
        if local.is_empty()
            || local.len() > 64
            || local.contains(['@', '<', '>', ',', ';', '"', '\\'])
            || HostName::parse(domain).is_err()
        {
            return Err(EXPECTED.into());
        }
        Ok(Self(text))
    }

    /// As typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What makes two of them the same. Only stores need it.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn key(&self) -> String {
        text::fold(&self.0)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Email {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

/// A password that a person chooses to sign in with: 8 to 200 characters (NIST SP 800-63B: length, no composition rules).
#[derive(Debug, Clone)]
pub struct NewPassword(Secret);

impl NewPassword {
    /// The shortest, in characters.
    pub const MIN: usize = 8;
    /// The longest, in characters: hashing is not free.
    pub const MAX: usize = 200;

    /// Checks the length; any character counts.
    ///
    /// # Errors
    /// What is wrong and what would be right.
    pub fn parse(password: &Secret) -> Result<Self, String> {
        let length = password.expose().chars().count();
        if length < Self::MIN {
            return Err(format!("Use at least {} characters.", Self::MIN));
        }
        if length > Self::MAX {
            return Err(format!("Use at most {} characters.", Self::MAX));
        }
        if password.expose().trim().is_empty() {
            return Err("Use more than spaces.".into());
        }
        Ok(Self(password.clone()))
    }

    /// The password.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

/// What a person may do in their company.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but the company itself and its owners.
    Administrator,
    /// Sees all but secrets, changes nothing.
    Auditor,
    /// Runs the installation for other companies: makes, suspends and deletes them, and sees nothing of what is theirs.
    Provider,
}

impl Role {
    /// As in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
            Self::Provider => "provider",
        }
    }

    /// What a person reads.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Administrator => "Administrator",
            Self::Auditor => "Auditor",
            Self::Provider => "Provider",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "owner" => Ok(Self::Owner),
            "administrator" => Ok(Self::Administrator),
            "auditor" => Ok(Self::Auditor),
            "provider" => Ok(Self::Provider),
            _ => Err("Use owner, administrator, auditor or provider.".into()),
        }
    }
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionView {
    /// The person's name.
    pub name: String,
    /// The person's e-mail address.
    pub email: String,
    /// The company's name.
    pub company: String,
    /// What the person may do.
    pub role: Role,
    /// When the session ends unless it is used; null for an API token.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub expires_at: Option<Timestamp>,
}

/// An API token as a list shows it: never the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenView {
    /// Identifier.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// The last four characters, to tell one from another.
    pub ends_with: String,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was last used, to about a minute.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_used_at: Option<Timestamp>,
}

/// Somebody of the company.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PersonView {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// E-mail address to sign in with.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Whether a one-time password is asked for when they sign in.
    pub has_second_factor: bool,
    /// Grows by one with every change of name or role.
    pub version: u64,
    /// When they came.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
}

/// What can be changed of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonForm {
    /// Name, as typed.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// Somebody who is invited and has not come yet. Never the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InvitationView {
    /// Identifier.
    pub id: String,
    /// The e-mail address they will sign in with.
    pub email: String,
    /// What they will be allowed to do.
    pub role: Role,
    /// Who invited them, by name.
    pub invited_by: String,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// How long the link works.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
}

/// An invitation, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationForm {
    /// E-mail address.
    pub email: String,
    /// What they will be allowed to do.
    pub role: Role,
}

/// One of one's own sessions. Never its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnSessionView {
    /// Identifier.
    pub id: String,
    /// Whether it is the one that asks.
    pub is_current: bool,
    /// The address it was begun from; empty where that is not known.
    pub address: String,
    /// What the browser said it is; empty where it said nothing.
    pub agent: String,
    /// When it was begun.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was last used, to about a minute.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub last_used_at: Timestamp,
    /// When it ends unless it is used.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
}

/// Whether one-time passwords are asked for when one signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecondFactorView {
    /// Whether they are.
    pub is_on: bool,
    /// How many recovery codes are left.
    pub recovery_codes_left: u32,
}

/// A company, as the provider sees it: nothing of what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CompanyView {
    /// Identifier.
    pub id: String,
    /// Name.
    pub name: String,
    /// Whether its people can sign in.
    pub status: CompanyStatus,
    /// How many people it has.
    pub people: u64,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When all of it is deleted, if it is to be.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub delete_after: Option<Timestamp>,
}

/// Whether a company's people can sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CompanyStatus {
    /// They can.
    Active,
    /// They can't, and nothing of the company's runs.
    Suspended,
    /// Suspended, and deleted when the waiting time is over.
    Deleting,
}

impl CompanyStatus {
    /// As in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn emails() {
        for good in ["a@b", "jo.doe+x@example.com", "ü@bücher.example", " a@b.example "] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b@c", "a@b c", "a\u{0}@b", "<a@b>"] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Email::parse("A@B.example").map(|e| e.key()), Email::parse("a@b.EXAMPLE").map(|e| e.key()));
    }

    #[test]
    fn passwords_have_a_length_and_nothing_else() {
        assert!(NewPassword::parse(&Secret::new("1234567")).is_err());
        assert!(NewPassword::parse(&Secret::new("пароль12")).is_ok());
        assert!(NewPassword::parse(&Secret::new(" ".repeat(12))).is_err());
        assert!(NewPassword::parse(&Secret::new("x".repeat(201))).is_err());
    }

    proptest! {
        #[test]
        fn names_are_stable(text in any::<String>()) {
            if let Ok(name) = CompanyName::parse(&text) {
                prop_assert_eq!(CompanyName::parse(name.as_str()), Ok(name.clone()));
                prop_assert!(name.as_str().chars().count() <= CompanyName::MAX);
            }
        }
    }
}
