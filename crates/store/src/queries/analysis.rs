//! Analyses, their results, and the files they need while they run.

use std::{collections::HashSet, sync::Arc};

use gatehouse_domain::{
    AnalysisQuery, AnalysisResult, AnalysisStatus, Cause, MailSummary, Page, Subject, SubjectKind, Timestamp, Verdict, text,
};
use gatehouse_platform::{
    AnalysisId, CompanyId, FileContent,
    ports::{AnalysisRecord, AnalysisState, Lease, StoreError, StoreResult},
};
use surrealdb::types::{Bytes, Object, RecordId, SurrealValue as _, Value};
use uuid::Uuid;

use super::{below, company_record, compound_record, json, of_json, uuid_part};
use crate::{
    Store,
    connection::vars,
    cursor::Cursor,
    row::{Row, decode, key_parts, outcome},
};

/// How many characters can be searched.
const SEARCHED: usize = 20_000;

const CREATE: &str = "{
    IF !record::exists($company) { RETURN { outcome: 'not_found' } };
    CREATE ONLY $id CONTENT $content RETURN NONE;
    INSERT INTO analysis_file $files RETURN NONE;
    RETURN { outcome: 'done' };
}";

const ONE: &str = "{
    LET $row = (SELECT * OMIT search FROM ONLY $id);
    IF $row = NONE { RETURN { outcome: 'not_found' } };
    RETURN { outcome: 'done', row: $row, results: (SELECT id, data FROM $results) };
}";

const FILE: &str = "SELECT name, bytes FROM ONLY $id";

/// Renewing the lease writes the record that a taker writes, so one of the two starts again and sees the other.
const WRITE: &str = "{
    LET $before = (SELECT VALUE holder FROM ONLY $id FOR UPDATE);
    IF $before = NONE OR $before != $holder { RETURN false };
    INSERT INTO analysis_result $results ON DUPLICATE KEY UPDATE data = $input.data RETURN NONE;
    UPDATE $id MERGE $state RETURN NONE;
    IF $state.status = 'done' { DELETE $files RETURN NONE };
    RETURN true;
}";

/// One without a lease that runs all the same (NONE is before all moments) is taken, too.
const TAKE: &str = "{
    LET $ids = (SELECT VALUE id FROM analysis WHERE status = 'running' AND lease_until <= $now LIMIT $limit);
    UPDATE $ids SET holder = $holder, lease_until = $until RETURN NONE;
    RETURN $ids;
}";

impl Store {
    pub(crate) async fn create_analysis(
        &self, company: CompanyId, record: &AnalysisRecord, results: &[AnalysisResult], files: &[(String, FileContent)],
        lease: Option<&Lease>,
    ) -> StoreResult<()> {
        let AnalysisRecord { id, subject, by, created_at, email, total, state: how_far } = record;
        let mut content = state(how_far, lease);
        content.insert("company", company_record(company));
        content.insert("uuid", uuid_part(id.0));
        content.insert("subject_kind", subject.kind.as_str());
        content.insert("subject", subject.value.as_str());
        content.insert("asked_by", by.as_str());
        content.insert("created_at", *created_at);
        content.insert("email", email.as_ref().map(json).transpose()?);
        content.insert("total", i64::from(*total));
        content.insert("search", searched(subject, results));
        content.insert("plan", json(&results)?);
        // Two attachments may be the same file.
        let mut seen = HashSet::new();
        let files = files.iter().filter(|(sha256, _)| how_far.status == AnalysisStatus::Running && seen.insert(sha256.as_str()));
        let files: Vec<_> = files.map(|(sha256, file)| file_row(company, *id, sha256, file)).collect();
        let vars = vars! {
            company: company_record(company),
            id: analysis_record(company, *id),
            content: Value::Object(content),
            files: files,
        };
        outcome(self.connection.of(company).write(CREATE, vars).await?).map(drop)
    }

    pub(crate) async fn analysis(
        &self, company: CompanyId, id: AnalysisId,
    ) -> StoreResult<(AnalysisRecord, Vec<AnalysisResult>)> {
        let vars = vars! { id: analysis_record(company, id), results: below("analysis_result", key(company, id)) };
        let mut answer = outcome(self.connection.of(company).read(ONE, vars).await?)?;
        let changed = answer.rows("results")?;
        let mut row = answer.row("row")?.ok_or(StoreError::NotFound)?;
        let what = format!("a result of the analysis {id}");
        let mut results: Vec<AnalysisResult> = of_json(&what, &row.take::<String>("plan")?)?;
        for mut change in changed {
            let place = key_parts(change.take("id")?).and_then(|mut parts| i64::from_value(parts.pop()?).ok());
            let result = of_json(&what, &change.take::<String>("data")?)?;
            match place.and_then(|place| results.get_mut(usize::try_from(place).ok()?)) {
                Some(planned) => *planned = result,
                None => return Err(StoreError::Internal(format!("{what} stands in no place of its plan"))),
            }
        }
        Ok((read(row)?, results))
    }

    pub(crate) async fn analysis_file(
        &self, company: CompanyId, id: AnalysisId, sha256: &str,
    ) -> StoreResult<Option<FileContent>> {
        let answer = self.connection.of(company).read(FILE, vars! { id: file_record(company, id, sha256) }).await?;
        let Some(mut row) = Row::optional(answer)? else {
            return Ok(None);
        };
        let bytes: Bytes = row.take("bytes")?;
        Ok(Some(FileContent { name: row.take("name")?, bytes: Arc::new(bytes.into_inner().into()) }))
    }

    pub(crate) async fn list_analyses(&self, company: CompanyId, query: &AnalysisQuery) -> StoreResult<Page<AnalysisRecord>> {
        let limit = usize::from(query.limit.clamp(1, 200));
        let mut vars = vars! { company: company_record(company), limit: i64::try_from(limit + 1).unwrap_or(1) };
        let (sort, direction, beyond) = if query.ascending { ("created_at", "ASC", ">") } else { ("-created_at", "DESC", "<") };
        let mut conditions = String::new();
        let mut only = |condition: &str| {
            conditions.push_str(" AND ");
            conditions.push_str(condition);
        };
        if let Some(cursor) = &query.cursor {
            let cursor = Cursor::decode(cursor, sort).ok_or(StoreError::BadCursor)?;
            vars.insert("after", uuid_part(cursor.id));
            only(&format!("uuid {beyond} $after"));
        }
        let q = text::fold(&query.q);
        if !q.is_empty() {
            vars.insert("q", q);
            only("string::contains(search, $q)");
        }
        if let Some(verdict) = query.verdict {
            vars.insert("verdict", verdict.as_str());
            only("verdict = $verdict");
        }
        if let Some(status) = query.status {
            vars.insert("status", status.as_str());
            only("status = $status");
        }
        if let Some(kind) = query.kind {
            vars.insert("kind", kind.as_str());
            only("subject_kind = $kind");
        }
        // The index is named: otherwise a search for what runs would read every company's.
        let text = format!(
            "SELECT * OMIT search, plan FROM analysis WITH INDEX analysis_order WHERE company = $company{conditions}
            ORDER BY uuid {direction} LIMIT $limit"
        );
        let mut rows = Row::list(self.connection.of(company).read(&text, vars).await?)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let items = rows.into_iter().map(read).collect::<StoreResult<Vec<_>>>()?;
        let next = items.last().filter(|_| more).map(|last| {
            let key = serde_json::Value::Null;
            Cursor { sort: sort.into(), key, id: last.id.0 }.encode()
        });
        Ok(Page { items, next })
    }

    pub(crate) async fn write_results(
        &self, company: CompanyId, id: AnalysisId, lease: &Lease, results: &[(u32, AnalysisResult)], how_far: &AnalysisState,
    ) -> StoreResult<bool> {
        let results = results.iter().map(|(place, result)| result_row(company, id, *place, result));
        let vars = vars! {
            id: analysis_record(company, id),
            holder: lease.holder.clone(),
            results: results.collect::<StoreResult<Vec<_>>>()?,
            state: Value::Object(state(how_far, Some(lease))),
            files: below("analysis_file", key(company, id)),
        };
        decode(self.connection.of(company).write(WRITE, vars).await?)
    }

    pub(crate) async fn take_unattended(
        &self, now: Timestamp, lease: &Lease, limit: u32,
    ) -> StoreResult<Vec<(CompanyId, AnalysisId)>> {
        let vars = vars! { now: now, holder: lease.holder.clone(), until: lease.until, limit: i64::from(limit) };
        let ids: Vec<RecordId> = decode(self.connection.of_all().write(TAKE, vars).await?)?;
        let parse = |id: RecordId| {
            let parts = key_parts(id).unwrap_or_default();
            let mut parts = parts.into_iter().map(|part| Uuid::from_value(part).ok());
            match (parts.next().flatten(), parts.next().flatten()) {
                (Some(company), Some(id)) => Ok((CompanyId(company), AnalysisId(id))),
                _ => Err(StoreError::Internal("the key of an analysis can't be read".into())),
            }
        };
        ids.into_iter().map(parse).collect()
    }
}

fn key(company: CompanyId, id: AnalysisId) -> Vec<Value> {
    vec![uuid_part(company.0), uuid_part(id.0)]
}

fn analysis_record(company: CompanyId, id: AnalysisId) -> RecordId {
    compound_record("analysis", key(company, id))
}

fn file_record(company: CompanyId, id: AnalysisId, sha256: &str) -> RecordId {
    compound_record("analysis_file", [key(company, id), vec![sha256.into_value()]].concat())
}

fn file_row(company: CompanyId, id: AnalysisId, sha256: &str, file: &FileContent) -> Value {
    let mut row = Object::new();
    row.insert("id", file_record(company, id, sha256));
    row.insert("name", file.name.as_str());
    row.insert("bytes", Bytes::from(file.bytes.as_slice().to_vec()));
    Value::Object(row)
}

fn result_row(company: CompanyId, id: AnalysisId, place: u32, result: &AnalysisResult) -> StoreResult<Value> {
    let mut row = Object::new();
    row.insert("id", compound_record("analysis_result", [key(company, id), vec![i64::from(place).into_value()]].concat()));
    row.insert("data", json(result)?);
    Ok(Value::Object(row))
}

/// How far it is and who works on it: what every write writes. One that is done has nobody.
fn state(state: &AnalysisState, lease: Option<&Lease>) -> Object {
    let AnalysisState { status, done, verdict, incomplete, cause, finished_at } = state;
    let lease = lease.filter(|_| *status == AnalysisStatus::Running);
    let mut object = Object::new();
    object.insert("status", status.as_str());
    object.insert("done", i64::from(*done));
    object.insert("verdict", verdict.map(Verdict::as_str));
    object.insert("incomplete", *incomplete);
    object.insert("cause", cause.map(Cause::as_str));
    object.insert("finished_at", *finished_at);
    object.insert("holder", lease.map(|lease| lease.holder.clone()));
    object.insert("lease_until", lease.map(|lease| lease.until));
    object
}

/// What `q` looks into: each thing once, however many engines are asked about it.
fn searched(subject: &Subject, results: &[AnalysisResult]) -> String {
    let of_results = results.iter().flat_map(|result| {
        let indicator = &result.indicator;
        [Some(indicator.value.as_str()), indicator.note.as_deref()].into_iter().flatten()
    });
    let mut seen = HashSet::new();
    let mut search = String::new();
    let mut left = SEARCHED;
    for part in std::iter::once(subject.value.as_str()).chain(of_results).filter(|part| seen.insert(*part)) {
        let folded = text::fold(part);
        if !search.is_empty() {
            search.push('\n');
            left = left.saturating_sub(1);
        }
        search.extend(folded.chars().take(left));
        left = left.saturating_sub(folded.chars().count());
        if left == 0 {
            break;
        }
    }
    search
}

fn read(mut row: Row) -> StoreResult<AnalysisRecord> {
    Ok(AnalysisRecord {
        id: AnalysisId(row.take("uuid")?),
        subject: Subject { kind: row.parse("subject_kind", str::parse::<SubjectKind>)?, value: row.take("subject")? },
        by: row.take("asked_by")?,
        created_at: row.time("created_at")?,
        email: row.parse_optional("email", |text| serde_json::from_str::<MailSummary>(text))?,
        total: row.take("total")?,
        state: AnalysisState {
            status: row.parse("status", str::parse::<AnalysisStatus>)?,
            done: row.take("done")?,
            verdict: row.parse_optional("verdict", str::parse::<Verdict>)?,
            incomplete: row.take("incomplete")?,
            cause: row.parse_optional("cause", str::parse::<Cause>)?,
            finished_at: row.take("finished_at")?,
        },
    })
}
