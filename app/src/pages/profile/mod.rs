//! What belongs to the person who is signed in.

mod agents;
mod qr;
pub mod security;
pub mod tokens;
