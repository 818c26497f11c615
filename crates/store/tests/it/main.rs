//! The store, against each kind of database: in memory, in a folder, and a real SurrealDB server.

mod access;
mod analyses;
mod audit;
mod backup;
mod checks;
mod crash;
mod gateway;
mod integrations;
mod keys;
mod opening;
mod permissions;
mod proxies;
mod speed;
mod support;
mod traffic;
mod turns;
mod upgrade;
