//! The web console: shell, routes, pages, islands, components, and the server functions behind them.
//!
//! Two builds come from this crate and never meet in one: `ssr` (in the server; sees `gatehouse_platform`) and `hydrate`
//! (in the browser; sees `gatehouse_domain` only). Pages are rendered on the server alone; what the browser brings to life in
//! them are the [`islands`], and a few things it does to every page ([`browser`]).
#![recursion_limit = "512"]

pub mod api;
pub mod browser;
pub mod components;
pub mod error;
pub mod islands;
pub mod outcome;

#[cfg(feature = "ssr")]
pub mod context;
#[cfg(feature = "ssr")]
pub mod forms;
#[cfg(feature = "ssr")]
pub mod page;
#[cfg(feature = "ssr")]
pub mod pages;
#[cfg(feature = "ssr")]
mod scripts;

#[cfg(feature = "ssr")]
mod app;

#[cfg(feature = "ssr")]
pub use app::shell;
