//! Which addresses a user may give.
//!
//! A cloud installation stands in a network that is not its users'. Every address that one of them gives (the host of a proxy setting, a
//! test's target, an integration's `api_url`, the webhook) passes [`Platform::vetted`] before it is stored or used; the policy of a
//! company's gateways is vetted by its own compiler ([`PolicyJudge`](crate::PolicyJudge)). What a *name* leads to is known when it is used: the door and
//! Test Connection vet the very addresses that they dial.

use gatehouse_domain::{AppError, HostName};

use crate::Platform;

/// The same for every address: it tells nothing about what is there.
const NOT_PUBLIC: &str = "This installation does not connect to private addresses. Use a public one.";

impl Platform {
    /// Refuses a host that can't be a public one, in the cloud edition. On-premise private addresses are what proxies have.
    pub(crate) fn vetted(&self, field: &str, host: &HostName) -> Result<(), AppError> {
        if self.config.cloud && host.is_private() { Err(AppError::invalid(field, NOT_PUBLIC)) } else { Ok(()) }
    }
}
