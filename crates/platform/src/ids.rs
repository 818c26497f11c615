//! Identifiers: UUID version 7, so that they sort by the time they were made.

use std::fmt;

use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new one.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Parses the form of the API. What is not a UUID names nothing, so there is no error to tell.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }
    };
}

id!(
    /// A company.
    CompanyId
);
id!(
    /// Somebody who signs in.
    PersonId
);
id!(
    /// A proxy setting.
    ProxyId
);
id!(
    /// An API token.
    TokenId
);
id!(
    /// An invitation.
    InvitationId
);
id!(
    /// An integration.
    IntegrationId
);
id!(
    /// An analysis.
    AnalysisId
);
id!(
    /// Somebody who signs in at a gateway.
    GatewayPersonId
);
