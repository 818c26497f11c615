//! The platform's internet traffic: every request it made, which way it went, and what became of it.

mod page;
mod plot;
mod sums;
pub mod urls;

pub use page::TrafficPage;
