//! Turns of scheduled work: each is done by one process, whoever is alive.
//!
//! One record for each piece of work, so all who want a turn of it write the same one, and all but one of them start again and
//! see that it is taken. The clock that counts is the database's: those of the processes may differ.

use std::time::Duration;

use gatehouse_domain::Timestamp;
use gatehouse_platform::{
    CompanyId,
    ports::{StoreError, StoreResult, Turn, Work},
};
use surrealdb::types::{RecordId, SurrealValue as _};
use uuid::Uuid;

use super::{compound_record, uuid_part};
use crate::{
    Store,
    connection::vars,
    row::{Row, decode, key_parts},
};

/// A turn whose holder was not heard of for too long is taken over as it is. What is done is done: of work with a schedule of its own
/// whoever moves its next moment begins the next turn, of other work only a later moment is another turn.
const TAKE: &str = "{
    LET $now = time::now();
    LET $before = (SELECT number, at, begun_at, until FROM ONLY $id);
    LET $until = $now + duration::from_millis($lease_ms);
    IF $before.until != NONE {
        IF $before.until > $now { RETURN NONE };
        UPDATE $id SET holder = $holder, until = $until RETURN NONE;
        RETURN { number: $before.number, begun_at: $before.begun_at, again: true };
    };
    IF $next != NONE {
        LET $moved = (UPDATE $schedule SET next_at = $next WHERE next_at = $at RETURN VALUE id);
        IF array::is_empty($moved) { RETURN NONE };
    };
    LET $at = $at ?? time::from_millis(time::millis($now) - time::millis($now) % $every_ms);
    IF $next = NONE AND $before != NONE AND $before.at >= $at { RETURN NONE };
    LET $number = ($before.number ?? 0) + 1;
    UPSERT $id SET number = $number, at = $at, begun_at = $now, holder = $holder, until = $until RETURN NONE;
    RETURN { number: $number, begun_at: $now, again: false };
}";

/// Renewing writes the record that a taker writes, so one of the two starts again and sees the other.
const RENEW: &str = "UPDATE $id SET until = time::now() + duration::from_millis($lease_ms)
    WHERE holder = $holder AND number = $number AND until != NONE RETURN VALUE number";

const END: &str = "UPDATE $id SET until = NONE
    WHERE holder = $holder AND number = $number AND until != NONE RETURN VALUE number";

/// A span whose first turn is in 1970.
const NEVER: Duration = Duration::MAX;

const OVER: &str = "SELECT VALUE id FROM turn WHERE until != NONE AND until <= time::now()";

/// What comes next in a schedule of its own.
pub(crate) struct Next {
    /// The record with the field `next_at`.
    pub(crate) schedule: RecordId,
    /// What stands there now.
    pub(crate) at: Timestamp,
    /// What is to stand there.
    pub(crate) next: Timestamp,
}

impl Store {
    pub(crate) async fn take_turn(&self, work: Work, every: Duration, lease: Duration) -> StoreResult<Option<Turn>> {
        self.turn(work, None, every, None, lease).await
    }

    pub(crate) async fn take_over(&self, work: Work, limit: u32, lease: Duration) -> StoreResult<Vec<Turn>> {
        let over: Vec<RecordId> = decode(self.connection.of_all().read(OVER, vars! {}).await?)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut taken = Vec::new();
        for id in over {
            if taken.len() >= limit {
                break;
            }
            let mut parts = key_parts(id).unwrap_or_default().into_iter();
            let (Some(of), Some(company)) = (parts.next(), parts.next()) else {
                return Err(StoreError::Internal("the key of a turn can't be read".into()));
            };
            // What an older or newer program calls work is that program's.
            if String::from_value(of).is_ok_and(|of| of == work.as_str()) {
                let company = Uuid::from_value(company).ok().map(CompanyId);
                taken.extend(self.turn(work, company, NEVER, None, lease).await?);
            }
        }
        Ok(taken)
    }

    /// One turn. Without what comes next, and with a span that never ends, only one that is to be taken over.
    pub(crate) async fn turn(
        &self, work: Work, company: Option<CompanyId>, every: Duration, next: Option<Next>, lease: Duration,
    ) -> StoreResult<Option<Turn>> {
        let holder = Uuid::now_v7().to_string();
        let (schedule, at, next) = match next {
            None => (None, None, None),
            Some(Next { schedule, at, next }) => (Some(schedule), Some(at), Some(next)),
        };
        let vars = vars! {
            id: turn_record(work, company),
            schedule: schedule,
            at: at,
            next: next,
            every_ms: millis(every).max(1),
            holder: holder.clone(),
            lease_ms: millis(lease),
        };
        let Some(mut row) = Row::optional(self.connection.of_all().write(TAKE, vars).await?)? else { return Ok(None) };
        Ok(Some(Turn {
            work,
            company,
            number: row.take("number")?,
            begun_at: row.time("begun_at")?,
            again: row.take("again")?,
            holder,
        }))
    }

    pub(crate) async fn renew_turn(&self, turn: &Turn, lease: Duration) -> StoreResult<bool> {
        let vars = vars! {
            id: turn_record(turn.work, turn.company),
            holder: turn.holder.clone(),
            number: turn.number,
            lease_ms: millis(lease),
        };
        decode::<Vec<u64>>(self.connection.of_all().write(RENEW, vars).await?).map(|written| !written.is_empty())
    }

    pub(crate) async fn end_turn(&self, turn: &Turn) -> StoreResult<bool> {
        let vars = vars! {
            id: turn_record(turn.work, turn.company),
            holder: turn.holder.clone(),
            number: turn.number,
        };
        decode::<Vec<u64>>(self.connection.of_all().write(END, vars).await?).map(|written| !written.is_empty())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn turn_record(work: Work, company: Option<CompanyId>) -> RecordId {
    let company = company.map_or_else(|| String::new().into_value(), |company| uuid_part(company.0));
    compound_record("turn", vec![work.as_str().into_value(), company])
}
