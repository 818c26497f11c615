//! What belongs to the person who is signed in.

pub mod tokens;
