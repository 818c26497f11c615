//! Scheduled work where no process lives long: somebody calls every now and then, and all that is due is done to its end.

use futures::{StreamExt as _, stream};
use gatehouse_domain::AppError;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    Platform,
    platform::{now, store_error},
};

/// Rounds of checks at a time.
const ROUNDS: usize = 10;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tended {
    /// Analyses that had been cut off and went on.
    pub analyses: usize,
    /// Companies whose integrations and proxy settings were tested.
    pub rounds: usize,
    /// Whether it was the turn to delete what is kept no longer.
    pub retention: bool,
    /// What could not be done, in words. It stays due.
    pub failed: Vec<String>,
}

impl Platform {
    /// Does everything that is due, to its end, and tells what that was.
    pub async fn turn_all(&self) -> Tended {
        let mut tended = Tended::default();
        let mut running = JoinSet::new();
        match self.unattended().await {
            Ok(runs) => {
                tended.analyses = runs.len();
                for run in runs {
                    running.spawn(run.work());
                }
            }
            Err(error) => tended.failed.push(format!("looking for analyses that were cut off: {error}")),
        }
        match self.checks.take_due_checks(now(), 100).await.map_err(store_error) {
            Ok(companies) => {
                let rounds = stream::iter(companies).map(|company| async move { self.run_checks(company).await });
                for round in rounds.buffer_unordered(ROUNDS).collect::<Vec<_>>().await {
                    match round {
                        Ok(()) => tended.rounds += 1,
                        Err(error) => tended.failed.push(format!("a round of checks: {error}")),
                    }
                }
            }
            Err(error) => tended.failed.push(format!("looking for checks that are due: {error}")),
        }
        // A defect in one of them is logged where it happens; its lease runs out.
        while running.join_next().await.is_some() {}
        match self.retain().await {
            Ok(()) => tended.retention = true,
            Err(error) => tended.failed.push(format!("deleting what is kept no longer: {error}")),
        }
        tended
    }

    /// Deletes what is kept no longer.
    pub(crate) async fn retain(&self) -> Result<(), AppError> {
        self.analyses.sweep_findings(now()).await.map_err(store_error)?;
        self.trim_traffic().await
    }
}
