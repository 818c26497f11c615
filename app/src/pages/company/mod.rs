//! Company: its settings.

pub mod checks;
pub mod people;
pub mod proxies;
