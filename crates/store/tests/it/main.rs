//! The store, against each kind of database: in memory, in a folder, and a real SurrealDB server.

mod access;
mod crash;
mod keys;
mod opening;
mod proxies;
mod speed;
mod support;
