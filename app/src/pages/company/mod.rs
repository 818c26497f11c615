//! Company: its settings.

pub mod proxies;
