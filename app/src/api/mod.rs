//! Server functions, one module per area: a few lines each, on top of `gatehouse_platform`.

// The macro makes structs of the arguments, whose fields can't be documented.
#![allow(missing_docs)]

#[cfg(feature = "ssr")]
pub mod access;
pub mod proxies;

/// Which operation each server function is: one that does not stand here must not be (the server does not start with it).
#[cfg(feature = "ssr")]
pub const OPERATIONS: &[(&str, gatehouse_domain::Operation)] = {
    use gatehouse_domain::Operation;
    &[
        ("/fn/proxies/get", Operation::GetProxy),
        ("/fn/proxies/create", Operation::CreateProxy),
        ("/fn/proxies/replace", Operation::ReplaceProxy),
        ("/fn/proxies/delete", Operation::DeleteProxy),
        ("/fn/proxies/make-default", Operation::MakeDefaultProxy),
        ("/fn/proxies/duplicate", Operation::DuplicateProxy),
        ("/fn/proxies/test-saved", Operation::TestProxy),
        ("/fn/proxies/test-draft", Operation::TestProxyDraft),
    ]
};
