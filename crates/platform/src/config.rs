//! What an operator can set that use cases look at.

use std::time::Duration;

use gatehouse_domain::TestTarget;

/// Settings of the use cases.
#[derive(Debug, Clone)]
pub struct Config {
    /// What Test Connection asks for when nobody says otherwise.
    pub test_target: TestTarget,
    /// Whether this installation has many companies.
    pub cloud: bool,
    /// A session ends this long after it was last used.
    pub session_idle: Duration,
    /// Failed sign-ins within [`Config::sign_in_window`] that an account or an address may have.
    pub sign_in_limit: u16,
    /// See [`Config::sign_in_limit`].
    pub sign_in_window: Duration,
    /// Tests of one company at a time.
    pub test_limit: u8,
}

impl Config {
    /// The defaults of the contract.
    #[must_use]
    pub fn new(test_target: TestTarget) -> Self {
        Self {
            test_target,
            cloud: false,
            session_idle: Duration::from_secs(12 * 3600),
            sign_in_limit: 10,
            sign_in_window: Duration::from_secs(60),
            test_limit: 10,
        }
    }
}
