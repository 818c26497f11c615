//! The platform's own traffic: its records, and sums of them.
//!
//! The records have no index: what is written with every request is one key. The engine reads a range of keys as a whole
//! and from its beginning, so "the newest 50" would read all there are; instead it is asked for spans of time that grow
//! until one holds enough.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use gatehouse_domain::{Cause, Page, ProxyRef, Route, Timestamp, TrafficQuery, TrafficSum, TrafficView};
use gatehouse_platform::{
    CompanyId,
    ports::{StoreError, StoreResult},
};
use surrealdb::types::{Object, RecordId, SurrealValue as _, Value};
use uuid::Uuid;

use super::{after_all, below, compound_record, json, of_json, range, uuid_part};
use crate::{
    Store,
    connection::vars,
    cursor::Cursor,
    row::{Row, decode, key_parts},
};

/// How many records are looked at between two looks at whether there are enough.
const STEP: usize = 1000;

/// How many records are looked at in vain before the caller is asked whether to go on.
const PATIENCE: usize = 20_000;

/// How long a sum is, in seconds.
const SPAN: i64 = 300;

/// How far the moment in a record and the moment in its identifier may be apart.
const SLACK: TimeDelta = TimeDelta::seconds(60);

/// How many records go in one transaction: so few that nobody who writes has to wait.
const BATCH: usize = 200;

/// How many are found at once: finding the first few costs as much as finding many.
const FOUND: usize = 20_000;

/// What the cursor belongs to.
const SORT: &str = "-at";

const RECORD: &str = "{
    INSERT INTO traffic $records RETURN NONE;
    INSERT INTO traffic_sum $sums ON DUPLICATE KEY UPDATE
        proxy_name = $input.proxy_name, requests += $input.requests, bytes += $input.bytes RETURN NONE;
    RETURN NONE;
}";

/// Counting a range reads no record, and so costs little beside reading it.
const NEWEST: &str = "{
    FOR $range IN $ranges {
        IF ((SELECT count() FROM $range GROUP ALL)[0].count ?? 0) >= $limit {
            RETURN (SELECT VALUE data FROM $range ORDER BY id DESC LIMIT $limit);
        };
    };
    RETURN (SELECT VALUE data FROM $whole ORDER BY id DESC LIMIT $limit);
}";

const SUMS: &str = "SELECT * FROM $range ORDER BY id";

const COMPANIES: &str = "SELECT VALUE id FROM company";

const OLD: &str = "SELECT VALUE id FROM $range ORDER BY id LIMIT $limit";

const BEYOND: &str = "{
    LET $count = (SELECT count() FROM $range GROUP ALL)[0].count ?? 0;
    IF $count <= $keep { RETURN [] };
    RETURN (SELECT VALUE id FROM $range ORDER BY id LIMIT math::min([$count - $keep, $limit]));
}";

const DELETE: &str = "DELETE $ids RETURN NONE";

/// Which sum a record is added to: company, when it begins, proxy, cause.
type SumKey = (CompanyId, Timestamp, String, &'static str);

/// What is added.
#[derive(Default)]
struct Addition {
    proxy_name: String,
    requests: i64,
    bytes: i64,
}

impl Store {
    pub(crate) async fn record_traffic(&self, records: &[(CompanyId, TrafficView)]) -> StoreResult<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(records.len());
        let mut sums: BTreeMap<SumKey, Addition> = BTreeMap::new();
        for (company, view) in records {
            let id = Uuid::try_parse(&view.id)
                .map_err(|_| StoreError::Internal(format!("'{}' is no identifier of a traffic record", view.id)))?;
            let mut row = Object::new();
            row.insert("id", compound_record("traffic", vec![uuid_part(company.0), uuid_part(id)]));
            row.insert("data", json(view)?);
            rows.push(Value::Object(row));
            let proxy = match &view.route {
                Some(Route::Proxy { proxy, .. }) => Some(proxy),
                _ => None,
            };
            let key = (
                *company,
                span(view.at),
                proxy.map(|proxy| proxy.id.clone()).unwrap_or_default(),
                view.cause.map(Cause::as_str).unwrap_or_default(),
            );
            let sum = sums.entry(key).or_default();
            sum.proxy_name = proxy.map(|proxy| proxy.name.clone()).unwrap_or_default();
            sum.requests += 1;
            sum.bytes = sum.bytes.saturating_add_unsigned(view.bytes_in).saturating_add_unsigned(view.bytes_out);
        }
        let sums: Vec<_> = sums.into_iter().map(|(key, sum)| sum_row(key, sum)).collect();
        self.connection.of_all().write(RECORD, vars! { records: rows, sums: sums }).await.map(drop)
    }

    pub(crate) async fn traffic(&self, company: CompanyId, query: &TrafficQuery) -> StoreResult<Page<TrafficView>> {
        let limit = usize::from(query.limit.max(1));
        let mut end = query.to.map(|to| first_of(to.checked_add_signed(SLACK).unwrap_or(to)));
        if let Some(cursor) = &query.cursor {
            let cursor = Cursor::decode(cursor, SORT).ok_or(StoreError::BadCursor)?;
            end = Some(end.map_or(cursor.id, |end| end.min(cursor.id)));
        }
        let from = query.from.map_or(Uuid::nil(), |from| first_of(from.checked_sub_signed(SLACK).unwrap_or(from)));
        let next = |last: Uuid| {
            let key = serde_json::Value::Null;
            Some(Cursor { sort: SORT.into(), key, id: last }.encode())
        };
        let (mut items, mut looked_at) = (Vec::new(), 0);
        loop {
            let count = if query.is_filtered() { STEP } else { (limit + 1 - items.len()).min(STEP) };
            let found = self.newest(company, from, end, count).await?;
            let all = found.len() < count;
            for view in found {
                let id = Uuid::try_parse(&view.id).map_err(|error| StoreError::Internal(error.to_string()))?;
                if query.takes(&view) {
                    if items.len() == limit {
                        // One too many, so there are more: go on after the last one that was looked at before it.
                        return Ok(Page { items, next: end.and_then(next) });
                    }
                    items.push(view);
                }
                end = Some(id);
                looked_at += 1;
            }
            if all {
                return Ok(Page { items, next: None });
            }
            if looked_at >= PATIENCE && query.is_filtered() {
                return Ok(Page { items, next: end.and_then(next) });
            }
        }
    }

    /// The newest records, at most `count`, from `from` up to `end`, the newest first.
    async fn newest(&self, company: CompanyId, from: Uuid, end: Option<Uuid>, count: usize) -> StoreResult<Vec<TrafficView>> {
        let part = |from: Uuid| {
            let end = end.map_or_else(after_all, uuid_part);
            range("traffic", vec![uuid_part(company.0), uuid_part(from)], vec![uuid_part(company.0), end])
        };
        let last = end.map_or_else(|| Timestamp::from(std::time::SystemTime::now()), moment_of);
        // One second, four, sixteen, … eight years.
        let spans = (0..15).map(|power| TimeDelta::seconds(1 << (2 * power)));
        let begins = spans.map(|span| first_of(last - span)).take_while(|begin| *begin > from);
        let vars = vars! {
            ranges: begins.map(part).collect::<Vec<_>>(),
            whole: part(from),
            limit: i64::try_from(count).unwrap_or(i64::MAX),
        };
        let found: Vec<String> = decode(self.connection.of(company).read(NEWEST, vars).await?)?;
        found.iter().map(|data| of_json("a traffic record", data)).collect()
    }

    pub(crate) async fn traffic_sums(&self, company: CompanyId, from: Timestamp, to: Timestamp) -> StoreResult<Vec<TrafficSum>> {
        let key = |at: Timestamp| vec![uuid_part(company.0), at.into_value()];
        let vars = vars! { range: range("traffic_sum", key(from), key(to)) };
        Row::list(self.connection.of(company).read(SUMS, vars).await?)?.into_iter().map(read_sum).collect()
    }

    pub(crate) async fn trim_traffic(&self, before: Timestamp, keep: u64, sums_before: Timestamp) -> StoreResult<()> {
        let companies: Vec<RecordId> = decode(self.connection.of_all().read(COMPANIES, vars! {}).await?)?;
        for id in companies {
            let Some(company) = crate::row::key(&id) else { continue };
            let all = || vec![uuid_part(company)];
            let up_to = |table, end: Value| range(table, all(), vec![uuid_part(company), end]);
            let old = up_to("traffic", uuid_part(first_of(before)));
            self.delete_all(OLD, vars! { range: old }).await?;
            let keep = i64::try_from(keep).unwrap_or(i64::MAX);
            self.delete_all(BEYOND, vars! { range: below("traffic", all()), keep: keep }).await?;
            let old = up_to("traffic_sum", sums_before.into_value());
            self.delete_all(OLD, vars! { range: old }).await?;
            let kept = i64::try_from(super::checks::KEPT).unwrap_or(i64::MAX);
            self.delete_all(BEYOND, vars! { range: below("health_change", all()), keep: kept }).await?;
        }
        Ok(())
    }

    /// Deletes what a query finds, until it finds nothing more.
    pub(crate) async fn delete_all(&self, find: &str, mut vars: surrealdb::types::Variables) -> StoreResult<()> {
        vars.insert("limit", i64::try_from(FOUND).unwrap_or(i64::MAX));
        loop {
            let ids: Vec<RecordId> = decode(self.connection.of_all().read(find, vars.clone()).await?)?;
            for batch in ids.chunks(BATCH) {
                match self.connection.of_all().write(DELETE, vars! { ids: batch.to_vec() }).await {
                    // Two that trim at once.
                    Ok(_) | Err(StoreError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            if ids.len() < FOUND {
                return Ok(());
            }
        }
    }
}

/// When the span begins that a moment is in.
fn span(at: Timestamp) -> Timestamp {
    let seconds = at.timestamp();
    DateTime::from_timestamp(seconds - seconds.rem_euclid(SPAN), 0).unwrap_or(at)
}

/// Comes before every UUID of version 7 of that moment's millisecond, and after those of the one before.
fn first_of(at: Timestamp) -> Uuid {
    let millis = u128::try_from(at.timestamp_millis()).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(millis << 80)
}

/// The moment that a UUID of version 7 tells.
fn moment_of(id: Uuid) -> Timestamp {
    let millis = i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(millis).unwrap_or(Timestamp::MAX_UTC)
}

fn sum_row((company, at, proxy, cause): SumKey, sum: Addition) -> Value {
    let key = vec![uuid_part(company.0), at.into_value(), proxy.into_value(), cause.into_value()];
    let mut row = Object::new();
    row.insert("id", compound_record("traffic_sum", key));
    row.insert("proxy_name", sum.proxy_name);
    row.insert("requests", sum.requests);
    row.insert("bytes", sum.bytes);
    Value::Object(row)
}

fn read_sum(mut row: Row) -> StoreResult<TrafficSum> {
    let id: RecordId = row.take("id")?;
    let mut parts = key_parts(id).unwrap_or_default().into_iter().skip(1);
    let mut part = || parts.next().unwrap_or(Value::None);
    let at = Timestamp::from_value(part()).map_err(|error| row.wrong("id", error))?;
    let mut text = || String::from_value(part()).map_err(|error| row.wrong("id", error));
    let (proxy, cause) = (text()?, text()?);
    let name: String = row.take("proxy_name")?;
    let cause = match cause.as_str() {
        "" => None,
        cause => Some(cause.parse::<Cause>().map_err(|error| row.wrong("id", error))?),
    };
    Ok(TrafficSum {
        at,
        proxy: Some(proxy).filter(|id| !id.is_empty()).map(|id| ProxyRef { id, name }),
        cause,
        requests: row.take("requests")?,
        bytes: row.take("bytes")?,
    })
}
