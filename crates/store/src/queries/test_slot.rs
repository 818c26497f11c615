//! Places among the running tests of a company.

use std::time::Duration;

use chrono::TimeDelta;
use gatehouse_domain::Timestamp;
use gatehouse_platform::{
    CompanyId,
    ports::{StoreResult, TestSlot},
};
use surrealdb::types::{RecordId, SurrealValue as _};
use uuid::Uuid;

use super::{compound_record, uuid_part};
use crate::{Store, connection::vars, row::Row};

/// Takes a free place at random: those who come at the same time seldom choose the same, and where they do, one of them
/// starts again.
const TAKE: &str = "{
    LET $held = (SELECT number, until FROM $places WHERE until > $now);
    LET $free = array::complement(array::range(0, $limit), $held.number);
    LET $count = array::len($free);
    IF $count = 0 { RETURN { until: $held.until } };
    LET $number = $free[rand::int(0, $count - 1)];
    LET $place = $places[$number];
    UPSERT $place SET number = $number, holder = $holder, until = $until RETURN NONE;
    RETURN { number: $number };
}";

const RELEASE: &str = "DELETE $place WHERE holder = $holder RETURN NONE";

impl Store {
    pub(crate) async fn take_test_slot(
        &self, company: CompanyId, limit: u8, lease: Duration, now: Timestamp,
    ) -> StoreResult<Result<TestSlot, Duration>> {
        let holder = Uuid::now_v7().to_string();
        let until = now + TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
        let places: Vec<_> = (0..limit).map(|number| place(company, number)).collect();
        let vars = vars! { places: places, limit: i64::from(limit), now: now, until: until, holder: holder.clone() };
        let mut answer = Row::new(self.connection.of(company).write(TAKE, vars).await?)?;
        if let Some(number) = answer.take::<Option<u8>>("number")? {
            return Ok(Ok(TestSlot { company, number, holder }));
        }
        let held: Vec<Timestamp> = answer.take("until")?;
        let first = held.into_iter().min().unwrap_or(until);
        Ok(Err((first - now).to_std().unwrap_or_default()))
    }

    pub(crate) async fn release_test_slot(&self, slot: &TestSlot) -> StoreResult<()> {
        let vars = vars! { place: place(slot.company, slot.number), holder: slot.holder.clone() };
        self.connection.of(slot.company).write(RELEASE, vars).await.map(drop)
    }
}

fn place(company: CompanyId, number: u8) -> RecordId {
    compound_record("test_slot", vec![uuid_part(company.0), i64::from(number).into_value()])
}
