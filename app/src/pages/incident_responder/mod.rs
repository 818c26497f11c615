//! The pages under *Incident Responder*.

pub mod analyses;
pub mod integrations;
pub mod traffic;
