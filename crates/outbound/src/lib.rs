//! The one door out.
//!
//! Nothing outside this crate (and the gateway's own ways out) opens an outgoing connection. It holds two things that walk
//! the same way:
//!
//! - **The door**, [`OutDoor`]: every request of the platform. The consumer's proxy choice becomes a route, anew for every
//!   request; the request goes that way and no other; the attempt is recorded. Read [`door`] first.
//! - **Test Connection**, [`Tester`]: walks the way through a proxy to a target, stage by stage, and says in words where and
//!   why it ends. Read [`tester`] first.
//!
//! | Stage | Module |
//! |---|---|
//! | the order of the stages, for both | `walk`; timed and told of by `steps` |
//! | `resolve`, `connect` | `dial`, with `names` and the address guard in [`guard`]: only what it has passed can be dialled |
//! | `proxy_tls`, `target_tls` | `tls`; trusted certificates are read by `trust` |
//! | `proxy_handshake` | `connect` (HTTP), `socks` (SOCKS5) |
//! | `target_http` | `target` for the test, `client` for the door |
//!
//! | What only the door has | Module |
//! |---|---|
//! | from a choice to a way | `route` |
//! | idle connections, shared by nobody who differs in anything | `pool` |
//! | what is tried again, and when | `retry` |
//! | ten failures in a row | `breaker` |
//! | the traffic log, committed in groups | `traffic` |
//! | what a person reads | `voice`, on top of `texts` |
//!
//! What can go wrong is one enum, `problem::Problem`, whose table of causes is the contract's. What a person reads about it
//! stands in `texts` and `voice` and nowhere else.
//!
//! **Invariants.** The environment (`HTTP_PROXY` and its kin) is never consulted. Nothing falls back to a direct
//! connection. The target's name is looked up here only where no proxy does it: for direct ways and for SOCKS5 without `h`.
//! What was read about a setting is used again only while the store says that nothing can have changed. Companies never
//! share a connection, nor do two sets of credentials. Every attempt that was begun leaves one record, also when it fails
//! or is cancelled; a record holds no path, no query, no credential. What a proxy or a target says is judged by its numbers
//! and by tokens from fixed lists; its text never reaches a report or an error, since a hostile one could reflect the
//! credentials. The only foreign words shown are the names in certificates, bounded, without control characters, and not
//! shown at all when they hold a secret. (An answer's own fields and body go to whoever asked, as they are.)
//!
//! **Deliberately absent**: redirects, cookies, decompression, HTTP/2 and caches in the door; any state between two tests.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod door;
pub mod guard;
pub mod tester;

mod breaker;
mod challenge;
mod client;
mod connect;
mod dial;
mod head;
mod names;
mod pool;
mod problem;
mod retry;
mod route;
mod socks;
mod steps;
mod target;
mod texts;
mod tls;
mod traffic;
mod trust;
mod voice;
mod walk;
mod wire;

pub use door::OutDoor;
pub use guard::{AddressPolicy, Reach};
pub use names::Names;
pub use tester::Tester;
