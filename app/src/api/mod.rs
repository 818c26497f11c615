//! Server functions, one module per area: a few lines each, on top of `gatehouse_platform`.

// The macro makes structs of the arguments, whose fields can't be documented.
#![allow(missing_docs)]

#[cfg(feature = "ssr")]
pub mod access;
pub mod proxies;
