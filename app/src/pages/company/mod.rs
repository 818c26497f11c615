//! Company: its settings.

pub mod audit;
pub mod checks;
pub mod people;
pub mod proxies;
