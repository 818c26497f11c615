//! What a form that was posted without JavaScript led to, shown again on the page it came from.
//!
//! A post that fails is answered with the page itself: what was typed stays, errors stand beside their fields. Passwords are
//! never sent back.

use std::collections::BTreeMap;

use gatehouse_domain::{AppError, IntegrationReport, Secret, TestReport};
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FormOutcome {
    /// The fields as they were posted, without passwords.
    pub values: BTreeMap<String, String>,
    /// Why it was refused.
    pub error: Option<AppError>,
    /// The result of a connection test.
    pub report: Option<TestReport>,
    /// A new API token: the only time it is shown. Only pages that are no islands show this and what follows: it never travels
    /// to the browser as a prop.
    #[serde(skip)]
    pub new_token: Option<String>,
    /// A new invitation: the only time its link is shown.
    #[serde(skip)]
    pub invitation: Option<ShownInvitation>,
    /// The result of testing an integration.
    #[serde(skip)]
    pub integration_report: Option<IntegrationReport>,
    /// What stands in this one answer and nowhere else.
    #[serde(skip)]
    pub shown_once: Option<ShownOnce>,
}

/// What the steps of signing in and of turning on one-time passwords hand from one answer to the next.
#[derive(Debug, Clone, PartialEq)]
pub enum ShownOnce {
    /// The password was right: this stands for it until the one-time password is there.
    Continuation(Secret),
    /// For the authenticator app.
    SecondFactor {
        /// To be typed.
        secret: Secret,
        /// To be scanned.
        uri: Secret,
    },
    /// Each is taken once in the place of a one-time password.
    RecoveryCodes(Vec<Secret>),
}

/// An invitation whose link is shown, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownInvitation {
    /// Whom it is for.
    pub email: String,
    /// The whole link. A secret: it makes somebody of whoever has it.
    pub link: gatehouse_domain::Secret,
    /// Where the link leads to when nobody has said what address people use (`PUBLIC_URL`): where this browser is.
    pub guessed: Option<String>,
}
