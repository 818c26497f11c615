//! The gateway: a proxy server between people and products on one side and the internet on the other.
//!
//! What a client asks for is normalised ([`names`]), judged by the policy ([`policy`]), and what it resolves to is vetted
//! ([`guard`]) before that very address is dialled. [`session`] is the way of a request, from top to bottom; [`Gateway`] is what is
//! started and stopped.

mod auth;
mod cache;
mod compress;
mod dial;
mod egress;
mod fetch;
mod gateway;
pub mod guard;
pub mod http;
mod io;
mod limits;
pub mod log;
mod metrics;
pub mod names;
mod pac;
mod page;
pub mod policy;
mod relay;
mod resolve;
mod session;
mod sink;
mod tls;
mod tunnel;

/// What `fuzz/` reads arbitrary bytes with, and nobody else: a fuzzer is a crate of its own, and sees no more than others do.
#[doc(hidden)]
pub mod fuzzed {
    pub use crate::cache::{control, rules};
}

pub use gateway::{Gateway, StartError};
pub use sink::Sink;
