//! Scheduled work: whoever is alive looks what is due, and the database says whose turn it is.
//!
//! | Work | A turn | Whose |
//! |---|---|---|
//! | going on with analyses that were cut off | what is found every [`LOOK`] | each analysis has a lease of its own ([`crate::analyses`]) |
//! | checks of health and telling of changes | a company's, as often as it has set | [`Work::CHECKS`] of that company |
//! | deleting what is kept no longer | all of it, every [`RETENTION_EVERY`] | [`Work::RETENTION`] |
//!
//! A turn is had by one process at a time, which renews its lease while it works and ends the turn when it is done. If the process
//! dies, another one takes the turn over when the lease is over, and leaves out what was done already where that can be told. Nobody
//! elects anybody, and no process needs to know of another.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use gatehouse_domain::AppError;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::{
    Platform, background,
    platform::{now, store_error},
    ports::{Turn, Work},
};

/// How often a process looks what is due.
pub const LOOK: Duration = Duration::from_secs(5);
/// How long nobody else does what somebody has begun and was not heard of since.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often whoever does it is heard of.
const RENEW: Duration = Duration::from_secs(5);
/// How often what is kept no longer is deleted.
const RETENTION_EVERY: Duration = Duration::from_secs(300);
/// Rounds of checks at a time in one process. It takes no more than it has places for: others may have some.
pub(crate) const ROUNDS: usize = 10;

tokio::task_local! {
    /// Messages to webhooks that what is done in a turn led to: the turn ends when they were sent.
    static MESSAGES: Mutex<JoinSet<()>>;
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tended {
    /// Analyses that had been cut off and went on.
    pub analyses: usize,
    /// Companies whose integrations and proxy settings were tested.
    pub rounds: usize,
    /// How many tests that were.
    pub tests: usize,
    /// Companies that were deleted because their waiting time was over.
    pub companies: usize,
    /// Whether it was the turn to delete what is kept no longer.
    pub retention: bool,
    /// What could not be done, in words. It stays due.
    pub failed: Vec<String>,
}

impl Platform {
    /// What has to be done now and then, by whichever process has the turn: see [`crate::turns`]. Never returns.
    pub async fn tend(&self) {
        loop {
            self.begin_due().await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Does everything that is due, to its end, and tells what that was: for where no process lives long and somebody calls every
    /// now and then.
    pub async fn turn_all(&self) -> Tended {
        let mut tended = Tended::default();
        match self.unattended().await {
            Ok(runs) => {
                tended.analyses = runs.len();
                let mut running = JoinSet::new();
                for run in runs {
                    running.spawn(run.work());
                }
                self.turn_rounds(&mut tended).await;
                // A defect in one of them is logged where it happens; its lease runs out.
                while running.join_next().await.is_some() {}
            }
            Err(error) => {
                tended.failed.push(format!("looking for analyses that were cut off: {error}"));
                self.turn_rounds(&mut tended).await;
            }
        }
        match self.purge_companies().await {
            Ok(count) => tended.companies = count,
            Err(error) => tended.failed.push(format!("deleting companies whose time is over: {error}")),
        }
        match self.retain().await {
            Ok(done) => tended.retention = done,
            Err(error) => tended.failed.push(format!("deleting what is kept no longer: {error}")),
        }
        tended
    }

    async fn turn_rounds(&self, tended: &mut Tended) {
        loop {
            let turns = match self.due_rounds(ROUNDS).await {
                Ok(turns) if turns.is_empty() => return,
                Ok(turns) => turns,
                Err(error) => return tended.failed.push(format!("looking for checks that are due: {error}")),
            };
            let rounds: Vec<_> =
                stream::iter(turns).map(|turn| async move { self.round(&turn).await }).buffer_unordered(ROUNDS).collect().await;
            for round in rounds {
                match round {
                    Ok(tests) => {
                        tended.rounds += 1;
                        tended.tests += tests;
                    }
                    Err(error) => tended.failed.push(format!("a round of checks: {error}")),
                }
            }
        }
    }

    /// Begins what is due and does not wait for its end.
    async fn begin_due(&self) {
        if let Err(error) = self.resume_analyses().await {
            tracing::warn!(%error, "could not look for analyses that were cut off");
        }
        let mut places: Vec<_> = std::iter::from_fn(|| self.rounds.clone().try_acquire_owned().ok()).collect();
        match self.due_rounds(places.len()).await {
            Ok(turns) => {
                for turn in turns {
                    let (platform, place) = (self.clone(), places.pop());
                    tokio::spawn(async move {
                        let _place = place;
                        if let Err(error) = platform.round(&turn).await {
                            tracing::warn!(company = ?turn.company, %error, "a round of checks could not be made");
                        }
                    });
                }
            }
            Err(error) => tracing::warn!(%error, "could not look for checks that are due"),
        }
        let platform = self.clone();
        tokio::spawn(async move {
            platform.tend_companies().await;
            if let Err(error) = platform.retain().await {
                tracing::warn!(%error, "could not delete what is kept no longer");
            }
        });
    }

    /// Rounds of checks that are ours now: first those that somebody else began and left.
    async fn due_rounds(&self, limit: usize) -> Result<Vec<Turn>, AppError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut turns = self.turns.take_over(Work::CHECKS, limit, LEASE).await.map_err(store_error)?;
        let left = limit.saturating_sub(u32::try_from(turns.len()).unwrap_or(u32::MAX));
        if left > 0 {
            turns.extend(self.checks.take_due_checks(now(), left, LEASE).await.map_err(store_error)?);
        }
        Ok(turns)
    }

    /// A company's round of checks; how many tests it were.
    async fn round(&self, turn: &Turn) -> Result<usize, AppError> {
        let Some(company) = turn.company else { return Ok(0) };
        if turn.again {
            tracing::info!(%company, turn = turn.number, "going on with a round of checks that was cut off");
        }
        // What was tested since the turn was begun was tested by whoever had it before.
        let since = turn.again.then_some(turn.begun_at);
        self.hold(turn, self.run_checks(company, since)).await.unwrap_or(Ok(0))
    }

    /// Deletes what is kept no longer, if it is our turn.
    async fn retain(&self) -> Result<bool, AppError> {
        let Some(turn) = self.turns.take_turn(Work::RETENTION, RETENTION_EVERY, LEASE).await.map_err(store_error)? else {
            return Ok(false);
        };
        let work = async {
            self.access.sweep(now()).await.map_err(store_error)?;
            self.analyses.sweep_findings(now()).await.map_err(store_error)?;
            self.trim_traffic().await
        };
        self.hold(&turn, work).await.unwrap_or(Ok(())).map(|()| true)
    }

    /// Does the work of a turn, renews its lease meanwhile, and ends it, also when the work failed: the next one is at its time. `None`
    /// when somebody else has the turn by now, or may have it: then the work is dropped where it is.
    async fn hold<T>(&self, turn: &Turn, work: impl Future<Output = T>) -> Option<T> {
        let work = MESSAGES.scope(Mutex::default(), async {
            let done = work.await;
            let messages =
                MESSAGES.with(|messages| std::mem::take(&mut *messages.lock().unwrap_or_else(PoisonError::into_inner)));
            let mut messages = messages;
            // A defect in one of them is logged where it happens.
            while messages.join_next().await.is_some() {}
            done
        });
        let held = async {
            let mut until = Instant::now() + LEASE;
            loop {
                tokio::time::sleep(RENEW).await;
                let asked = Instant::now();
                let left = until.saturating_duration_since(asked);
                match tokio::time::timeout(left, self.turns.renew_turn(turn, LEASE)).await {
                    Ok(Ok(true)) => until = asked + LEASE,
                    Ok(Ok(false)) => return,
                    // The database may be back before the lease is over.
                    Ok(Err(error)) if until > Instant::now() => {
                        tracing::warn!(%error, "a turn could not be renewed; trying again")
                    }
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        };
        let done = tokio::select! {
            done = work => done,
            () = held => {
                tracing::warn!(work = turn.work.as_str(), turn = turn.number, "somebody else has this turn by now, or will have it");
                return None;
            }
        };
        match self.turns.end_turn(turn).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(work = turn.work.as_str(), turn = turn.number, "somebody else has this turn by now"),
            // Somebody does it once more when the lease is over.
            Err(error) => tracing::warn!(%error, work = turn.work.as_str(), turn = turn.number, "a turn could not be ended"),
        }
        Some(done)
    }
}

/// Sends a message: as a part of the turn that it comes of, else by itself.
pub(crate) fn send_message(message: impl Future<Output = ()> + Send + 'static) {
    let mut message = Some(message);
    let ours = MESSAGES.try_with(|messages| {
        if let Some(message) = message.take() {
            messages.lock().unwrap_or_else(PoisonError::into_inner).spawn(message);
        }
    });
    if let (Err(_), Some(message)) = (ours, message) {
        drop(background::spawn(message));
    }
}
