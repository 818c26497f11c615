//! What can go wrong, as it travels to the browser or a script.
//!
//! Use cases return one enum. Handlers turn it into an RFC 9457 problem document, pages into a message. What only the
//! log may know stays in the log, found by the reference that [`AppError::Internal`] carries.

use serde::{Deserialize, Serialize};

use crate::{FieldErrors, proxy::UsedBy};

/// Everything a use case can answer instead of a result. Holds no secret.
///
/// No variant has named fields: what the browser needs to read one that has is more than a kilobyte for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum AppError {
    /// The request can't be read at all: not JSON, not UTF-8.
    #[error("{0}")]
    Malformed(String),
    /// Fields are wrong.
    #[error("Some fields need another look.")]
    Invalid(FieldErrors),
    /// Another one has this name.
    #[error("The name '{0}' is taken: names are unique in a company, upper and lower case being the same.")]
    NameTaken(String),
    /// It can't be deleted while somebody uses it.
    #[error("This is in use and can't be deleted. Give its users another proxy first.")]
    InUse(Vec<UsedBy>),
    /// Somebody else changed it meanwhile; the version it has now.
    #[error("Somebody else changed this meanwhile.")]
    Changed(u64),
    /// It does not exist, or belongs to another company.
    #[error("There is no such thing here. It may have been deleted.")]
    NotFound,
    /// Nobody is signed in.
    #[error("Sign in first.")]
    Unauthorized,
    /// E-mail and password do not belong together.
    #[error("The e-mail address or the password is not right.")]
    WrongCredentials,
    /// E-mail and password are right, and a one-time password is asked for.
    #[error("Enter the one-time password that your authenticator app shows.")]
    SecondFactorRequired,
    /// The one-time password is wrong, too old, or was used before.
    #[error("The one-time password is not right, or was used before. Wait for the next one.")]
    SecondFactorWrong,
    /// The company may not be used.
    #[error("Your company is suspended. Ask whoever runs this installation.")]
    Suspended,
    /// The person's role does not allow it.
    #[error("Your role does not allow this. Ask an owner or administrator of your company.")]
    Forbidden,
    /// The request comes from another site.
    #[error("This request came from another site and was refused.")]
    ForeignOrigin,
    /// The set-up or another one-time link was used or has expired.
    #[error("This link has been used or has expired. Ask for a new one.")]
    LinkExpired,
    /// Too many failed sign-ins; when to come back, in seconds.
    #[error("Too many failed sign-ins. Try again in {0} seconds.")]
    TooManySignIns(u64),
    /// Too many tests at a time; when to come back, in seconds.
    #[error("Ten tests of your company are running. Wait for one of them to end.")]
    TooManyTests(u64),
    /// The body is too large; the limit in bytes.
    #[error("The request is too large: at most {0} bytes are taken.")]
    TooLarge(u64),
    /// The database does not answer.
    #[error("The database does not answer. Nothing was changed; try again in a moment.")]
    Unavailable,
    /// A defect. The log says more under this reference.
    #[error("Something went wrong on our side. The log says more under the reference {0}.")]
    Internal(String),
    /// The browser could not reach the server.
    #[error("The server can't be reached. Check your connection and try again.")]
    Unreachable,
}

impl AppError {
    /// The stable name, for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Invalid(_) => "invalid",
            Self::NameTaken(_) => "name_taken",
            Self::InUse(_) => "in_use",
            Self::Changed(_) => "changed",
            Self::NotFound => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::WrongCredentials => "wrong_credentials",
            Self::SecondFactorRequired => "second_factor_required",
            Self::SecondFactorWrong => "second_factor_wrong",
            Self::Suspended => "suspended",
            Self::Forbidden => "forbidden",
            Self::ForeignOrigin => "foreign_origin",
            Self::LinkExpired => "link_expired",
            Self::TooManySignIns(_) => "too_many_sign_ins",
            Self::TooManyTests(_) => "too_many_tests",
            Self::TooLarge(_) => "too_large",
            Self::Unavailable => "unavailable",
            Self::Internal(_) => "internal",
            Self::Unreachable => "unreachable",
        }
    }

    /// The HTTP status (RFC 9110, 15).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Unauthorized | Self::WrongCredentials | Self::SecondFactorRequired | Self::SecondFactorWrong => 401,
            Self::Suspended | Self::Forbidden | Self::ForeignOrigin => 403,
            Self::NotFound => 404,
            Self::NameTaken(_) | Self::InUse(_) | Self::Changed(_) => 409,
            Self::LinkExpired => 410,
            Self::TooLarge(_) => 413,
            Self::Invalid(_) => 422,
            Self::TooManySignIns(_) | Self::TooManyTests(_) => 429,
            Self::Internal(_) => 500,
            Self::Unavailable | Self::Unreachable => 503,
        }
    }

    /// What is wrong with which field, where that is the matter.
    #[must_use]
    pub fn fields(&self) -> FieldErrors {
        match self {
            Self::Invalid(fields) => fields.clone(),
            Self::NameTaken(_) => FieldErrors::of("name", self.to_string()),
            _ => FieldErrors::new(),
        }
    }

    /// One wrong field.
    #[must_use]
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors::of(field, message))
    }
}

impl From<FieldErrors> for AppError {
    fn from(fields: FieldErrors) -> Self {
        Self::Invalid(fields)
    }
}
