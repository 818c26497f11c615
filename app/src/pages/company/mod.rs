//! Company: its settings.

pub mod checks;
pub mod proxies;
