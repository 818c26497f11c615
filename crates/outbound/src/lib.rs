//! The one door out.
//!
//! Nothing outside this crate (and the gateway's own ways out) opens an outgoing connection. Today it holds **Test
//! Connection**: [`Tester`] walks the real way through a proxy to a target, stage by stage, and says in words where and why
//! it ends. Read [`tester`] first: it is the walk; each stage has a module of its own.
//!
//! | Stage | Module |
//! |---|---|
//! | `resolve`, `connect` | `dial`, with the address guard in [`guard`] |
//! | `proxy_tls`, `target_tls` | `tls` |
//! | `proxy_handshake` | `connect` (HTTP), `socks` (SOCKS5) |
//! | `target_http` | `target` |
//!
//! What can go wrong is one enum, `problem::Problem`, whose table of causes is the contract's. What a person reads about it
//! stands in `texts` and nowhere else.
//!
//! **Invariants.** The environment (`HTTP_PROXY` and its kin) is never consulted. Nothing falls back to a direct
//! connection. What a proxy or a target says is judged by its numbers and by tokens from fixed lists; its text never
//! reaches a report, since a hostile one could reflect the credentials. The only foreign words shown are the names in
//! certificates, bounded, without control characters, and not shown at all when they hold the password.
//!
//! **Deliberately absent**: HTTP clients with a mind of their own (redirects, environment, connection pools), and any state
//! between two tests.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod guard;
pub mod tester;

mod challenge;
mod connect;
mod dial;
mod head;
mod problem;
mod socks;
mod target;
mod texts;
mod tls;
mod wire;

pub use guard::AddressPolicy;
pub use tester::Tester;
