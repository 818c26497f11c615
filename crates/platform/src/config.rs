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
    /// The addresses and networks that the platform's own connections come from, as a firewall's rule is written; empty: nobody said.
    pub outgoing_addresses: Vec<String>,
    /// A session ends this long after it was last used.
    pub session_idle: Duration,
    /// Failed sign-ins within [`Config::sign_in_window`] that an account or an address may have.
    pub sign_in_limit: u16,
    /// See [`Config::sign_in_limit`].
    pub sign_in_window: Duration,
    /// Tests of one company at a time.
    pub test_limit: u8,
    /// Look-ups of analyses at a time in one process.
    pub look_up_limit: usize,
    /// Look-ups at a time of one integration in one analysis.
    pub look_ups_per_integration: usize,
    /// Traffic records are kept for this many days.
    pub traffic_days: u16,
    /// And at most this many of each company.
    pub traffic_records: u64,
    /// How long a company that is to be deleted waits for somebody to change their mind, in days.
    pub delete_company_days: u16,
}

impl Config {
    /// The defaults of the contract.
    #[must_use]
    pub fn new(test_target: TestTarget) -> Self {
        Self {
            test_target,
            cloud: false,
            outgoing_addresses: Vec::new(),
            session_idle: Duration::from_secs(12 * 3600),
            sign_in_limit: 10,
            sign_in_window: Duration::from_secs(60),
            test_limit: 10,
            look_up_limit: 32,
            look_ups_per_integration: 8,
            traffic_days: 30,
            traffic_records: 200_000,
            delete_company_days: crate::companies::WAITING_DAYS,
        }
    }
}
