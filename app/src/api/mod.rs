//! Server functions, one module per area: a few lines each, on top of `gatehouse_platform`.

pub mod access;
pub mod proxies;
