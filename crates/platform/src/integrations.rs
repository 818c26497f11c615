//! Integrations: listing, making, changing, testing them.

use gatehouse_domain::IntegrationValues;

use crate::{CompanyId, IntegrationId};

/// One of an integration's two secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegrationSecret {
    /// The API key.
    ApiKey,
    /// The second secret.
    ApiPassword,
}

/// What a sealed secret of an integration is bound to: the company, the integration and the place it was entered for. It
/// can't be opened for another scheme, host or port, even where a check was forgotten.
#[must_use]
pub fn secret_binding(company: CompanyId, id: IntegrationId, which: IntegrationSecret, values: &IntegrationValues) -> String {
    let field = match which {
        IntegrationSecret::ApiKey => "api_key",
        IntegrationSecret::ApiPassword => "api_password",
    };
    format!("integration/{company}/{id}/{field}@{}", values.place())
}
