//! The form of a proxy setting, Test Connection, and what the rows of the list can do.
//!
//! Everything works as plain HTML first: lists and filters are links and GET forms, changes are POST forms that
//! `forms::proxies` answers. In the browser the same elements call server functions instead, and nothing is loaded anew.

mod actions;
mod editor;
mod guard;
mod lines;
mod list;
mod progress;
mod test;
pub mod urls;
mod users;
pub mod values;

pub use actions::{DeleteText, refusal};
pub use editor::Editor;
pub use list::{LIST, ProxyListControls};
pub use users::Users;
