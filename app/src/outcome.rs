//! What a form that was posted without JavaScript led to, shown again on the page it came from.
//!
//! A post that fails is answered with the page itself: what was typed stays, errors stand beside their fields. Passwords are
//! never sent back.

use std::collections::BTreeMap;

use gatehouse_domain::{AppError, IntegrationReport, TestReport};
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
    /// A new API token: the only time it is shown.
    pub new_token: Option<String>,
    /// A new invitation: the only time its link is shown. Only pages that are no islands show it.
    #[serde(skip)]
    pub invitation: Option<ShownInvitation>,
    /// The result of testing an integration. Its page is no island: this never travels to the browser as a prop.
    #[serde(skip)]
    pub integration_report: Option<IntegrationReport>,
}

/// An invitation whose link is shown, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownInvitation {
    /// Whom it is for.
    pub email: String,
    /// The whole link. A secret: it makes somebody of whoever has it.
    pub link: gatehouse_domain::Secret,
}
