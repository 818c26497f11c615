//! The audit log: each entry is written in the transaction of the change that it tells of.
//!
//! A statement that changes something has a line `-- AUDIT` where it is certain that it does. When a use case has said what was
//! done ([`gatehouse_platform::audit::audited`]), [`Audited`] puts the writing of the log in that line's place; else the line is a comment.
//! A statement without that line is not sent then.

use std::sync::Arc;

use gatehouse_platform::{
    CompanyId,
    audit::{AuditHead, Pending, StoredEntry, current},
    ports::{StoreError, StoreResult},
};
use surrealdb::types::{Object, RecordId, SurrealValue as _, Value, Variables};

use super::{json, range, record, uuid_part};
use crate::{
    Store,
    connection::vars,
    row::{Row, key_parts},
};

/// Where the log is written.
const PLACE: &str = "-- AUDIT";

/// Two changes of one company meet at the head of its log: one of them is started again.
const APPEND: &str = "
    FOR $audit IN $audits {
        LET $audit_head = $audit.head;
        LET $audit_last = (SELECT number, hash FROM ONLY $audit_head FOR UPDATE);
        LET $audit_number = ($audit_last.number ?? 0) + 1;
        LET $audit_hash = crypto::sha256(string::concat($audit.company, '\\n', $audit_number, '\\n', $audit_last.hash ?? '', '\\n', $audit.entry));
        CREATE ONLY type::record('audit', [$audit.key, $audit_number]) SET entry = $audit.entry, hash = $audit_hash RETURN NONE;
        UPSERT ONLY $audit_head SET number = $audit_number, hash = $audit_hash RETURN NONE;
    };
";

const NOTHING_ELSE: &str = "{
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const HEAD: &str = "SELECT number, hash FROM ONLY $id";

const ENTRIES: &str = "SELECT * FROM $range ORDER BY id";

/// A statement with the writing of the log in it.
pub(crate) struct Audited {
    pub(crate) query: String,
    pub(crate) pending: Arc<Pending>,
}

impl Audited {
    /// Where something is to be written: the statement with it, and what it needs.
    ///
    /// # Errors
    /// [`StoreError::Internal`] where the statement has no place for it: what was sent could not be taken back.
    pub(crate) fn of(query: &str, mut vars: Variables) -> StoreResult<(Option<Self>, Variables)> {
        let Some(pending) = current() else { return Ok((None, vars)) };
        if !query.contains(PLACE) {
            let begin: String = query.split_whitespace().take(8).collect::<Vec<_>>().join(" ");
            return Err(StoreError::Internal(format!(
                "a change without a place for the audit log: this is a defect (in: {begin} …)"
            )));
        }
        let audits = pending.audit.entries.iter().map(|(company, entry)| {
            let mut audit = Object::new();
            audit.insert("head", head_record(*company));
            audit.insert("key", uuid_part(company.0));
            audit.insert("company", company.to_string());
            audit.insert("entry", json(entry)?);
            Ok(Value::Object(audit))
        });
        vars.insert("audits", audits.collect::<StoreResult<Vec<_>>>()?);
        Ok((Some(Self { query: query.replace(PLACE, APPEND), pending }), vars))
    }
}

impl Store {
    pub(crate) async fn append_audit(&self) -> StoreResult<()> {
        self.connection.of_all().write(NOTHING_ELSE, vars! {}).await.map(drop)
    }

    pub(crate) async fn audit_head(&self, company: CompanyId) -> StoreResult<AuditHead> {
        match Row::optional(self.connection.of(company).read(HEAD, vars! { id: head_record(company) }).await?)? {
            Some(mut row) => Ok(AuditHead { number: row.take("number")?, hash: row.take("hash")? }),
            None => Ok(AuditHead::default()),
        }
    }

    pub(crate) async fn audit_entries(&self, company: CompanyId, begin: u64, end: u64) -> StoreResult<Vec<StoredEntry>> {
        let key = |number: u64| vec![uuid_part(company.0), i64::try_from(number).unwrap_or(i64::MAX).into_value()];
        let rows = self.connection.of(company).read(ENTRIES, vars! { range: range("audit", key(begin), key(end)) }).await?;
        Row::list(rows)?.into_iter().map(read).collect()
    }
}

fn head_record(company: CompanyId) -> RecordId {
    record("audit_head", company.0)
}

fn read(mut row: Row) -> StoreResult<StoredEntry> {
    let id: RecordId = row.take("id")?;
    let number = key_parts(id).and_then(|parts| parts.into_iter().nth(1)).and_then(|part| u64::from_value(part).ok());
    let number = number.ok_or_else(|| StoreError::Internal("an entry of the audit log has no number".into()))?;
    Ok(StoredEntry { number, entry: row.take("entry")?, hash: row.take("hash")? })
}
