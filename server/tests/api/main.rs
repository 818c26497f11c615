//! The program as a script sees it: the real binary, on a real socket, with a real embedded database.

mod access;
mod cli;
mod harness;
mod proxies;
mod secrets;
mod survival;
