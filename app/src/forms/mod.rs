//! Forms posted without JavaScript: each page's form is posted to the page's own path.
//!
//! The server hands every such post to [`handle`] after it has checked the request's origin.

mod access;
mod analyses;
mod checks;
mod integrations;
mod people;
mod provider;
mod proxies;
mod security;

use std::collections::BTreeMap;

use gatehouse_domain::{AppError, Secret};

use crate::{
    context::RequestContext,
    outcome::FormOutcome,
    pages::{company::people::PEOPLE, provider::COMPANIES},
};

/// What to answer.
#[derive(Debug)]
pub enum FormResult {
    /// 303: go there (a path on this server).
    SeeOther {
        /// Where.
        location: String,
        /// What becomes of the session cookie.
        session: CookieChange,
        /// A new theme for the cookie: `light`, `dark`, or empty for the system's.
        theme: Option<String>,
    },
    /// The page again, with what is to be said about it.
    Page {
        /// The HTTP status.
        status: u16,
        /// What the page shows.
        outcome: Box<FormOutcome>,
    },
    /// There is no form there.
    NotFound,
}

impl FormResult {
    /// 303 to a path on this server; nothing else changes.
    #[must_use]
    pub fn to(location: impl Into<String>) -> Self {
        Self::SeeOther { location: location.into(), session: CookieChange::Keep, theme: None }
    }

    /// The page again, with what was typed and what is wrong. Somebody who is not signed in (any more) is sent to sign in.
    #[must_use]
    pub fn error(error: AppError, values: BTreeMap<String, String>) -> Self {
        if error == AppError::Unauthorized {
            return Self::to("/sign-in");
        }
        Self::Page {
            status: error.status(),
            outcome: Box::new(FormOutcome { values, error: Some(error), ..FormOutcome::default() }),
        }
    }
}

/// What becomes of the session cookie.
#[derive(Debug, Default)]
pub enum CookieChange {
    /// Nothing.
    #[default]
    Keep,
    /// A new session.
    Set(Secret),
    /// Signed out.
    Clear,
}

/// The fields of a posted form, in order.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first value of a field; empty when it was not posted.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// The first value of a field, if it was posted.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Whether a field was posted: a checked checkbox, a pressed button.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// All values of a field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// A secret, wiped when it is dropped.
    #[must_use]
    pub fn secret(&self, name: &str) -> Secret {
        Secret::new(self.get(name))
    }

    /// These fields, to be shown again. Never name a password.
    #[must_use]
    pub fn keep(&self, names: &[&str]) -> BTreeMap<String, String> {
        names.iter().filter_map(|name| Some(((*name).to_string(), self.find(name)?.to_string()))).collect()
    }
}

/// A path of this server to go to: starts with one `/`, holds nothing a browser could take for another host.
#[must_use]
pub fn local_path(path: &str) -> Option<&str> {
    crate::app::local_path(path)
}

/// A file that was posted.
#[derive(Debug, Clone)]
pub struct PostedFile {
    /// The field's name.
    pub field: String,
    /// The file's name, as the browser gave it.
    pub name: String,
    /// Its media type, as the browser gave it; empty when it gave none.
    pub kind: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Handles a form posted to `path` with these fields and files, in order.
pub async fn handle(path: &str, fields: Vec<(String, String)>, files: Vec<PostedFile>, context: &RequestContext) -> FormResult {
    let fields = Fields(fields);
    if below(path, INTEGRATIONS) {
        return integrations::handle(path, &fields, context).await;
    }
    if below(path, PEOPLE) {
        return people::handle(path, &fields, context).await;
    }
    if below(path, COMPANIES) {
        return provider::handle(path, &fields, context).await;
    }
    if let Some(link) = path.strip_prefix("/invitation/").filter(|link| !link.contains('/')) {
        return people::accept(link, &fields, context).await;
    }
    if path == SECURITY {
        return security::handle(&fields, context).await;
    }
    if path == CHECKS {
        return checks::handle(&fields, context).await;
    }
    if below(path, ANALYSES) {
        return analyses::handle(path, &fields, files, context).await;
    }
    if let Some(rest) = path.strip_prefix("/company/settings/proxies") {
        if rest.is_empty() || rest.starts_with('/') {
            return proxies::handle(path, &fields.0, context).await;
        }
        return FormResult::NotFound;
    }
    access::handle(path, &fields, context).await
}

/// Whether a path is this one or below it.
fn below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

const INTEGRATIONS: &str = "/incident-responder/integrations";
const SECURITY: &str = "/profile/security";
const CHECKS: &str = "/company/settings/checks";
const ANALYSES: &str = "/incident-responder/analyses";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let fields = Fields(vec![("a".into(), "1".into()), ("b".into(), String::new()), ("a".into(), "2".into())]);
        assert_eq!(fields.get("a"), "1");
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert!(fields.has("b") && !fields.has("c"));
        assert_eq!(fields.keep(&["a", "c"]).into_iter().collect::<Vec<_>>(), [("a".to_string(), "1".to_string())]);
    }
}
