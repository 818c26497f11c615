//! The pages, one module per area of the console.

pub mod company;
pub mod incident_responder;
pub mod invitation;
pub mod not_found;
pub mod profile;
pub mod provider;
pub mod setup;
pub mod sign_in;
#[cfg(debug_assertions)]
pub mod styleguide;
