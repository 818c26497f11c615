//! The shared cache against RFC 9111, over real connections: a table of cases by section, what happens when many ask at once, and the
//! public suite of Mark Nottingham.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test may panic: that is how it fails")]

#[path = "../it/bed.rs"]
#[allow(dead_code, reason = "of the bed only the gateway is needed here")]
mod bed;

mod answering;
mod at_once;
mod directives;
mod freshness;
mod invalidation;
mod keys;
mod ranges;
mod stage;
mod stale;
mod storing;
mod suite;
mod table;
mod validation;
mod vary;
