//! The gateway over real sockets: clients that write raw bytes on one side, an origin that keeps what it gets on the other.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic: that is how it fails")]

mod bed;
mod cache;
mod clients;
mod closed;
mod compression;
mod folder;
mod forwarding;
mod framing;
mod limits;
mod lists;
mod payloads;
mod people;
mod settings;
mod stopping;
mod tunnels;
mod upstream;
