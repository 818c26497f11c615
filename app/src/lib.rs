//! The web console: shell, routes, pages, components, and the server functions behind them.
//!
//! Two builds come from this crate and never meet in one: `ssr` (in the server; sees `gatehouse_platform`) and `hydrate`
//! (in the browser; sees `gatehouse_domain` only).
#![recursion_limit = "512"]

pub mod api;
pub mod components;
pub mod error;
pub mod outcome;
pub mod page;
pub mod pages;

#[cfg(feature = "ssr")]
pub mod context;
#[cfg(feature = "ssr")]
pub mod forms;

mod app;

pub use app::{App, shell};
