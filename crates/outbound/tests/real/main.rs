//! Test Connection and the door against real parts: Squid, tinyproxy, Dante, microsocks, nginx, and hand-made listeners for what no
//! decent program does.
//!
//! Each test has its own ports and folder. Programs are killed when their handle is dropped. Nothing leaves the machine. A
//! missing program fails its tests with the name of the Debian package: `scripts/test-deps.sh` installs them all.

#![allow(clippy::unwrap_used, reason = "a test may panic: that is how it fails")]

mod ask;
mod broken;
mod certificates;
mod door;
mod door_failures;
mod door_fallback;
mod door_routes;
mod door_sharing;
mod door_traffic;
mod environment;
mod guard;
mod hostile;
mod listener;
mod mismatch;
mod parts;
mod plain_http;
mod socks;
mod squid;
mod tinyproxy;
mod tls;
