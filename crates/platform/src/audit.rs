//! The audit log: written with what it tells of, in the same transaction; read, filtered, and its chain verified.
//!
//! A use case says what was done with [`Actor::did`], and hands that and the store's method to [`audited`]. The store finds it there
//! ([`current`]) and writes it in the transaction of the change. That it was is not taken on trust: a statement without a place for it
//! is refused before it is sent, and a method that came to a good end without writing it is an error, which the first test that gets
//! there sees.
//!
//! Each company has a chain of its own. An entry's hash is SHA-256 over the company, the entry's number, the hash before it and the
//! entry, one a line: who changes or removes one has to change all that follow. What is last can't be checked by what follows, so
//! the head of the chain says how many there are; who wants to be sure of the head, too, keeps what `gatehouse audit verify` prints.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gatehouse_domain::{
    AppError, AuditActor, AuditEntry, AuditQuery, AuditTarget, AuditVia, AuditView, Operation, Page, audit::difference,
};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    Actor, CompanyId, Platform,
    export::Pieces,
    platform::{internal, now, store_error},
    ports::{StoreError, StoreResult},
};

/// Entries that are read at a time.
const STEP: u64 = 500;
/// Entries in a piece of an export.
const PIECE: u16 = 200;
/// Entries that are looked at in vain before the caller is asked whether to go on.
const PATIENCE: u64 = 20_000;
/// Longer names are cut, in characters.
const NAME: usize = 300;
/// Longer texts are told by their hash.
const LONGEST: usize = 8 * 1024;

/// The chain of what belongs to no company: what the command line does to the installation.
pub const INSTALLATION: CompanyId = CompanyId(Uuid::nil());

/// Where somebody comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// How they came in.
    pub via: AuditVia,
    /// Their address; empty for the command line.
    pub address: String,
    /// What their program says it is; empty where it says nothing.
    pub agent: String,
}

impl Origin {
    /// On the machine itself.
    #[must_use]
    pub fn command_line() -> Self {
        Self { via: AuditVia::CommandLine, address: String::new(), agent: String::new() }
    }

    /// The program by itself.
    #[must_use]
    pub fn program() -> Self {
        Self { via: AuditVia::Program, address: String::new(), agent: String::new() }
    }

    /// Nobody who is signed in, from this address.
    #[must_use]
    pub fn nobody(address: impl Into<String>, agent: impl Into<String>) -> Self {
        Self { via: AuditVia::Nobody, address: address.into(), agent: agent.into() }
    }
}

/// What is written with a change: into which company's log, and what.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Mostly one; what a provider does to a company stands in both logs.
    pub entries: Vec<(CompanyId, AuditEntry)>,
}

impl Audit {
    /// One entry.
    #[must_use]
    pub fn new(company: CompanyId, who: AuditActor, origin: &Origin, operation: Operation) -> Self {
        let entry = AuditEntry {
            at: now(),
            who,
            via: origin.via,
            address: origin.address.clone(),
            operation: operation.as_str().into(),
            target: None,
            before: None,
            after: None,
        };
        Self { entries: vec![(company, entry)] }
    }

    /// What it was done to.
    #[must_use]
    pub fn to(mut self, kind: &str, id: impl ToString, name: impl ToString) -> Self {
        let name = name.to_string().chars().take(NAME).collect();
        let target = AuditTarget { kind: kind.into(), id: id.to_string(), name };
        self.entries.iter_mut().for_each(|(_, entry)| entry.target = Some(target.clone()));
        self
    }

    /// What it was before.
    #[must_use]
    pub fn before(mut self, facts: Map<String, Value>) -> Self {
        self.entries.iter_mut().for_each(|(_, entry)| entry.before = Some(facts.clone()));
        self
    }

    /// What it is now.
    #[must_use]
    pub fn after(mut self, facts: Map<String, Value>) -> Self {
        self.entries.iter_mut().for_each(|(_, entry)| entry.after = Some(facts.clone()));
        self
    }

    /// Of both, what is different.
    #[must_use]
    pub fn changed(self, before: &Map<String, Value>, after: &Map<String, Value>) -> Self {
        let (before, after) = difference(before, after);
        self.before(before).after(after)
    }

    /// The same in another company's log, too.
    #[must_use]
    pub fn also_in(mut self, company: CompanyId) -> Self {
        if let Some((first, entry)) = self.entries.first()
            && *first != company
        {
            let entry = entry.clone();
            self.entries.push((company, entry));
        }
        self
    }
}

impl Actor {
    /// The beginning of an entry: this actor did that.
    #[must_use]
    pub fn did(&self, operation: Operation) -> Audit {
        let who = AuditActor {
            id: Some(self.person.to_string()),
            name: self.view.name.clone(),
            email: self.view.email.clone(),
            role: Some(self.role),
        };
        Audit::new(self.company, who, &self.origin, operation)
    }
}

/// The command line, as one who did something.
#[must_use]
pub fn command_line() -> AuditActor {
    AuditActor { id: None, name: "Command line".into(), email: String::new(), role: None }
}

/// The program, as one who did something.
#[must_use]
pub fn program() -> AuditActor {
    AuditActor { id: None, name: "Gatehouse".into(), email: String::new(), role: None }
}

/// What an answer says of something, for the log: without what is not the thing itself, and without long texts.
///
/// Views hold no secret (invariant 4), so neither does this.
#[must_use]
pub fn facts(view: &impl Serialize, leave_out: &[&str]) -> Map<String, Value> {
    let Ok(Value::Object(mut facts)) = serde_json::to_value(view) else { return Map::new() };
    facts.retain(|field, _| !leave_out.contains(&field.as_str()));
    facts.values_mut().for_each(shorten);
    facts
}

fn shorten(value: &mut Value) {
    if let Value::String(text) = value
        && text.len() > LONGEST
    {
        let hash: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        *text = format!("{} bytes, SHA-256 {hash}", text.len());
    }
}

/// What is to be written, and whether it was.
#[derive(Debug)]
pub struct Pending {
    /// What.
    pub audit: Audit,
    written: AtomicBool,
}

impl Pending {
    /// To be called by the store when a statement that holds it has gone through.
    pub fn is_written(&self) {
        self.written.store(true, Ordering::Relaxed);
    }
}

tokio::task_local! {
    static CURRENT: Option<Arc<Pending>>;
}

/// For stores: what has to be written with the change that is being made.
#[must_use]
pub fn current() -> Option<Arc<Pending>> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// For stores: steps of a change that are not told of by themselves. The statement that ends the change does write the log.
pub async fn on_the_way<T>(steps: impl Future<Output = T>) -> T {
    CURRENT.scope(None, steps).await
}

/// Makes a change that stands in the log: one call of a store's method that changes something.
///
/// # Errors
/// The store's, and [`StoreError::Internal`] for a method that does not write the log, which is a defect; stores answer it before
/// anything is changed.
pub async fn audited<T>(audit: Audit, change: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
    let operation = audit.entries.first().map(|(_, entry)| entry.operation.clone()).unwrap_or_default();
    let pending = Arc::new(Pending { audit, written: AtomicBool::new(false) });
    let done = CURRENT.scope(Some(Arc::clone(&pending)), change).await?;
    if !pending.written.load(Ordering::Relaxed) {
        return Err(StoreError::Internal(format!("{operation} was done and is not in the audit log: this is a defect")));
    }
    Ok(done)
}

/// The hash of an entry.
#[must_use]
pub fn chain_hash(company: CompanyId, number: u64, previous: &str, entry: &str) -> String {
    Sha256::digest(format!("{company}\n{number}\n{previous}\n{entry}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// From 1.
    pub number: u64,
    /// JSON, as it was hashed.
    pub entry: String,
    /// Its hash.
    pub hash: String,
}

/// How far a company's log is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct AuditHead {
    /// The number of the last entry; 0: there is none.
    pub number: u64,
    /// Its hash; empty where there is none.
    pub hash: String,
}

/// What looking through a company's log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How far it is.
    pub head: AuditHead,
    /// What is wrong, the first thing of it; `None`: nothing is.
    pub problem: Option<String>,
}

impl Platform {
    /// One page of the company's audit log, the newest first. A page may be short, or empty, and still have a `next`.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub async fn audit(&self, actor: &Actor, query: &AuditQuery) -> Result<Page<AuditView>, AppError> {
        actor.may(Operation::ListAudit)?;
        self.audit_page(actor.company, query).await
    }

    async fn audit_page(&self, company: CompanyId, query: &AuditQuery) -> Result<Page<AuditView>, AppError> {
        let head = self.audit.audit_head(company).await.map_err(store_error)?;
        let limit = usize::from(query.limit.max(1));
        let mut end = query.cursor.map_or(head.number + 1, |cursor| cursor.min(head.number + 1));
        let (mut items, mut looked_at) = (Vec::new(), 0);
        while end > 1 {
            let wanted = if query.is_filtered() { STEP } else { (limit - items.len()) as u64 };
            let begin = end.saturating_sub(wanted).max(1);
            let found = self.audit.audit_entries(company, begin, end).await.map_err(store_error)?;
            for stored in found.into_iter().rev() {
                end = stored.number;
                let view = view(stored)?;
                if query.takes(&view.entry) {
                    items.push(view);
                    if items.len() == limit {
                        return Ok(Page { items, next: (end > 1).then(|| end.to_string()) });
                    }
                } else if query.from.is_some_and(|from| view.entry.at < from - chrono::TimeDelta::minutes(10)) {
                    // Entries are in the order of time, give or take the clocks of several processes.
                    return Ok(Page { items, next: None });
                }
            }
            // What is missing is not waited for: the chain is `verify`'s matter.
            end = end.min(begin);
            looked_at += wanted;
            if looked_at >= PATIENCE {
                break;
            }
        }
        Ok(Page { items, next: (end > 1).then(|| end.to_string()) })
    }

    /// Looks through the logs of all companies, or of the one with this name, and of the installation.
    ///
    /// # Errors
    /// [`AppError::Invalid`] when there is no such company.
    pub async fn verify_audit(&self, company: Option<&str>) -> Result<Vec<(String, Verified)>, AppError> {
        let mut companies: Vec<_> = self.access.companies().await.map_err(store_error)?;
        if let Some(wanted) = company {
            let name = gatehouse_domain::CompanyName::parse(wanted).map_err(|why| AppError::invalid("company", why))?;
            companies.retain(|(_, found)| found.key() == name.key());
            if companies.is_empty() {
                return Err(AppError::invalid("company", "There is no company of this name."));
            }
        }
        let mut all: Vec<_> = companies.into_iter().map(|(id, name)| (id, name.to_string())).collect();
        if company.is_none() {
            all.push((INSTALLATION, "The installation".into()));
        }
        let mut verified = Vec::new();
        for (id, name) in all {
            verified.push((name, self.verify_chain(id).await?));
        }
        Ok(verified)
    }

    /// All of the log of the company with this name, or of the installation's own, piece by piece: one JSON document a line, the newest
    /// first, as the API gives a company its own.
    ///
    /// # Errors
    /// [`AppError::Invalid`] when there is no such company.
    pub async fn export_audit(&self, company: Option<&str>) -> Result<Pieces, AppError> {
        let company = match company {
            None => INSTALLATION,
            Some(name) => {
                let name = gatehouse_domain::CompanyName::parse(name).map_err(|why| AppError::invalid("company", why))?;
                let found = self.access.company_by_name(&name).await.map_err(store_error)?;
                found.ok_or_else(|| AppError::invalid("company", "There is no company of this name."))?
            }
        };
        self.audit_pieces(company, AuditQuery::default()).await
    }

    /// All that these filters take of the company's own log, in the same form.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub async fn export_own_audit(&self, actor: &Actor, query: AuditQuery) -> Result<Pieces, AppError> {
        actor.may(Operation::ExportAudit)?;
        self.audit_pieces(actor.company, query).await
    }

    /// The first piece is had before this answers: what is wrong from the beginning is told as an error.
    async fn audit_pieces(&self, company: CompanyId, query: AuditQuery) -> Result<Pieces, AppError> {
        let mut query = AuditQuery { limit: PIECE, ..query };
        let mut page = Ok(self.audit_page(company, &query).await?);
        // A slow reader slows it down, and nothing piles up.
        let (pieces, received) = mpsc::channel(4);
        let platform = self.clone();
        tokio::spawn(async move {
            loop {
                query.cursor = page.as_ref().ok().and_then(|page| page.next.as_deref()?.parse().ok());
                let piece = page.and_then(|page| page.items.iter().map(line).collect::<Result<String, _>>());
                if let Err(error) = &piece {
                    tracing::warn!(%error, "the export of an audit log broke off");
                }
                // Or nobody reads it any more.
                if pieces.send(piece).await.is_err() || query.cursor.is_none() {
                    return;
                }
                page = platform.audit_page(company, &query).await;
            }
        });
        Ok(received)
    }

    async fn verify_chain(&self, company: CompanyId) -> Result<Verified, AppError> {
        let head = self.audit.audit_head(company).await.map_err(store_error)?;
        let found = |problem: String| Verified { head: head.clone(), problem: Some(problem) };
        let (mut number, mut hash) = (0, String::new());
        loop {
            // Also beyond the head: what stands there was put there by somebody else.
            let entries = self.audit.audit_entries(company, number + 1, number + 1 + STEP).await.map_err(store_error)?;
            let is_last = entries.is_empty();
            for stored in entries {
                number += 1;
                if stored.number != number {
                    return Ok(found(format!("entry {number} is missing")));
                }
                // While we read, more are written.
                if number > head.number && self.audit.audit_head(company).await.map_err(store_error)?.number < number {
                    return Ok(found(format!("entry {number} stands beyond the end of the log, which is entry {}", head.number)));
                }
                if chain_hash(company, number, &hash, &stored.entry) != stored.hash {
                    return Ok(found(format!("entry {number} is not what was written, or the one before it is not")));
                }
                if serde_json::from_str::<AuditEntry>(&stored.entry).is_err() {
                    return Ok(found(format!("entry {number} can't be read")));
                }
                hash = stored.hash;
                if number == head.number && hash != head.hash {
                    return Ok(found(format!("the last entry, {number}, is not the one that the log ends with")));
                }
            }
            if is_last {
                break;
            }
        }
        if number < head.number {
            return Ok(found(format!("the log ends at entry {number}, and should at {}", head.number)));
        }
        Ok(Verified { head, problem: None })
    }

    /// Notes something that changes nothing in the database by itself: a test, an attempt to sign in.
    pub(crate) async fn note(&self, audit: Audit) -> Result<(), AppError> {
        audited(audit, self.audit.append_audit()).await.map_err(store_error)
    }
}

fn line(view: &AuditView) -> Result<String, AppError> {
    serde_json::to_string(view).map(|text| text + "\n").map_err(internal)
}

fn view(stored: StoredEntry) -> Result<AuditView, AppError> {
    let entry = serde_json::from_str(&stored.entry)
        .map_err(|error| internal(format!("entry {} of the audit log can't be read: {error}", stored.number)))?;
    Ok(AuditView { number: stored.number, entry, hash: stored.hash })
}
