//! The platform's own internet traffic, for those who ask which way it went.

use chrono::TimeDelta;
use gatehouse_domain::{AppError, Operation, Page, Timestamp, TrafficQuery, TrafficSum, TrafficView};

use crate::{
    Actor, Platform,
    platform::{now, store_error},
};

/// The longest span that sums are given for: what is kept of them.
pub const SUMS_DAYS: i64 = 31;

impl Platform {
    /// One page of the company's traffic, newest first.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for a wrong cursor.
    pub async fn traffic(&self, actor: &Actor, query: &TrafficQuery) -> Result<Page<TrafficView>, AppError> {
        actor.may(Operation::ListTraffic)?;
        self.traffic.traffic(actor.company, query).await.map_err(store_error)
    }

    /// Sums of five minutes each by proxy and cause, at most [`SUMS_DAYS`] days of them.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn traffic_sums(&self, actor: &Actor, from: Timestamp, to: Timestamp) -> Result<Vec<TrafficSum>, AppError> {
        actor.may(Operation::ListTraffic)?;
        let from = from.max(to - TimeDelta::days(SUMS_DAYS));
        self.traffic.traffic_sums(actor.company, from, to).await.map_err(store_error)
    }

    /// Deletes what is older or more than is kept.
    pub(crate) async fn trim_traffic(&self) -> Result<(), AppError> {
        let now = now();
        let before = now - TimeDelta::days(self.config.traffic_days.into());
        let sums_before = now - TimeDelta::days(SUMS_DAYS);
        self.traffic.trim_traffic(before, self.config.traffic_records, sums_before).await.map_err(store_error)
    }
}
