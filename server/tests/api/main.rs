//! The program as a script sees it: the real binary, on a real socket, with a real embedded database.

mod access;
mod account;
mod analyses;
mod audit;
mod backup;
mod checks;
mod cli;
mod cluster;
mod doctor;
mod gateway;
mod gateway_database;
mod harness;
mod integrations;
mod isolation;
mod lambda;
mod lambda_runtime;
mod parts;
mod people;
mod proxies;
mod secrets;
mod stored_policy;
mod survival;
mod tls;
mod upgrade;
mod vetting;
