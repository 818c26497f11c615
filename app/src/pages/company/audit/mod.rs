//! The audit log: who did what, to what, from where, and what it was before and after.

mod changes;
mod page;
mod urls;

pub use page::AuditPage;
