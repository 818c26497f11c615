//! The forms of proxy settings, posted without JavaScript.
//!
//! | Posted to | Intents |
//! |---|---|
//! | the list | `default`, `duplicate`, with `id` |
//! | `/new` | `save`, `test` |
//! | `/{id}` | `save`, `overwrite`, `test`; `test-saved` from the list |
//! | `/{id}/delete` | |

use std::collections::BTreeMap;

use gatehouse_domain::{AppError, ProxyForm, SecretInput, TestEvent, TestReport};
use gatehouse_platform::{Actor, Platform};
use tokio::sync::mpsc;

use super::{CookieChange, FormResult};
use crate::{
    context::RequestContext,
    islands::proxies::{urls, values},
    outcome::FormOutcome,
};

/// Handles a form of these pages. `path` may end in a query string.
pub async fn handle(path: &str, fields: &[(String, String)], context: &RequestContext) -> FormResult {
    let Some(actor) = &context.actor else { return refused(AppError::Unauthorized, fields) };
    let post = Post { platform: &context.platform, actor, fields };
    let (path, search) = path.split_once('?').unwrap_or((path, ""));
    let Some(rest) = path.strip_prefix(urls::LIST) else { return FormResult::NotFound };
    let segments: Vec<_> = rest.split('/').filter(|s| !s.is_empty()).collect();
    match segments.as_slice() {
        [] => post.list(search).await,
        ["new"] => post.edit(None).await,
        [id] => post.edit(Some(id)).await,
        [id, "delete"] => post.delete(id).await,
        _ => FormResult::NotFound,
    }
}

struct Post<'a> {
    platform: &'a Platform,
    actor: &'a Actor,
    fields: &'a [(String, String)],
}

impl Post<'_> {
    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// A row's button; afterwards the list is as it was.
    async fn list(&self, search: &str) -> FormResult {
        // The list's own parameters travel in a field: a form that is posted says so in its URL only in some servers.
        let kept = Some(self.field("list")).filter(|list| !list.is_empty()).unwrap_or(search);
        let (query, _) = urls::query(kept);
        let id = self.field("id");
        let (result, flash) = match self.field("intent") {
            "default" => (self.platform.make_default_proxy(self.actor, id).await, "default"),
            "duplicate" => (self.platform.duplicate_proxy(self.actor, id).await, "duplicated"),
            _ => return FormResult::NotFound,
        };
        match result {
            Ok(_) => see_other(urls::list_with_flash(&query, flash)),
            Err(error) => refused(error, self.fields),
        }
    }

    async fn edit(&self, id: Option<&str>) -> FormResult {
        let mut form = values::of_fields(self.fields.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        // Somebody pasted a whole URL into the address. A password typed beside it is the newer word.
        if form.host.contains("://") {
            let (host, typed) = (form.host.clone(), form.password.clone());
            if form.take_pasted(&host) && typed != SecretInput::Keep {
                form.password = typed;
            }
        }
        if let (Some(id), SecretInput::Keep, "basic") = (id, &form.password, form.authentication.as_str())
            && self.without_password(id).await
        {
            form.password = SecretInput::Clear;
        }
        let target = Some(self.field("target"));
        let intent = self.field("intent");
        let result = match (intent, id) {
            ("test", _) => test(|events| self.platform.test_draft(self.actor, id, &form, target, events)).await.map(Some),
            ("test-saved", Some(id)) => {
                return match test(|events| self.platform.test_proxy(self.actor, id, target, events)).await {
                    // No values: the page shows what is stored.
                    Ok(report) => page(200, FormOutcome { report: Some(report), ..FormOutcome::default() }),
                    Err(error) => page(error.status(), FormOutcome { error: Some(error), ..FormOutcome::default() }),
                };
            }
            ("save" | "overwrite", Some(id)) => self.replace(id, intent, &form).await.map(|()| None),
            ("save" | "", None) => self.platform.create_proxy(self.actor, &form).await.map(|_| None),
            _ => return FormResult::NotFound,
        };
        match result {
            Ok(None) => see_other(format!("{}?flash={}", urls::LIST, if id.is_some() { "saved" } else { "created" })),
            Ok(Some(report)) => {
                page(200, FormOutcome { values: self.again(&form), report: Some(report), ..FormOutcome::default() })
            }
            Err(error) => {
                page(error.status(), FormOutcome { values: self.again(&form), error: Some(error), ..FormOutcome::default() })
            }
        }
    }

    /// A Basic setting that was made without a password stays without one; elsewhere an empty field keeps what is stored.
    async fn without_password(&self, id: &str) -> bool {
        self.platform.proxy(self.actor, id).await.is_ok_and(|saved| values::of_view(&saved).password == SecretInput::Clear)
    }

    /// With the version that the person saw. "Save over it" names the one that the page told them about.
    async fn replace(&self, id: &str, intent: &str, form: &ProxyForm) -> Result<(), AppError> {
        let version = self.field(if intent == "overwrite" { "current_version" } else { "version" });
        let version =
            version.parse().map_err(|_| AppError::Malformed("The form has lost its version. Load the page again.".into()))?;
        self.platform.replace_proxy(self.actor, id, Some(version), form).await.map(|_| ())
    }

    async fn delete(&self, id: &str) -> FormResult {
        let version = self.field("version").parse().ok();
        match self.platform.delete_proxy(self.actor, id, version).await {
            Ok(()) => see_other(format!("{}?flash=deleted", urls::LIST)),
            Err(error) => refused(error, self.fields),
        }
    }

    /// What the page shows again: the typed values, and what the form carries along.
    fn again(&self, form: &ProxyForm) -> BTreeMap<String, String> {
        let mut values = values::to_fields(form);
        for name in ["version", "target", "intent"] {
            values.insert(name.to_string(), self.field(name).to_string());
        }
        values
    }
}

/// Runs a test to its end: nobody watches it happen.
async fn test<F>(start: impl FnOnce(mpsc::Sender<TestEvent>) -> F) -> Result<TestReport, AppError>
where
    F: Future<Output = Result<TestReport, AppError>>,
{
    // The receiver is dropped at once: a test goes on without one.
    let (events, _) = mpsc::channel(1);
    start(events).await
}

fn see_other(location: String) -> FormResult {
    FormResult::SeeOther { location, session: CookieChange::Keep, theme: None }
}

fn page(status: u16, outcome: FormOutcome) -> FormResult {
    FormResult::Page { status, outcome: Box::new(outcome) }
}

/// The page again with what went wrong. Passwords are left out.
fn refused(error: AppError, fields: &[(String, String)]) -> FormResult {
    let values = fields.iter().filter(|(name, _)| name != "password").cloned().collect();
    page(error.status(), FormOutcome { values, error: Some(error), ..FormOutcome::default() })
}
