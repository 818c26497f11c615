//! Leaves a target alone for a moment when nothing comes of asking it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use gatehouse_domain::Cause;
use gatehouse_platform::CompanyId;
use tokio::time::Instant;

use crate::route::Fingerprint;

/// So many failures in a row open it.
const FAILURES: u32 = 10;
/// So long nothing is sent; then one request tries it out.
const PAUSE: Duration = Duration::from_secs(5);
/// What nobody has asked for this long is forgotten.
const FORGET: Duration = Duration::from_secs(600);
/// Only beyond this many is forgetting worth the search.
const MANY: usize = 1_000;

/// What follows the message of the last failure.
pub(crate) const NOT_TRIED: &str = "Not tried again for a few seconds after 10 failures in a row.";

/// Whose requests, which way, and where to. A changed setting is another way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    pub(crate) company: CompanyId,
    /// Kind and identifier.
    pub(crate) consumer: (String, String),
    pub(crate) way: Fingerprint,
    pub(crate) host: String,
}

/// A failure as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

struct State {
    in_a_row: u32,
    last: Failure,
    /// Nothing is sent before.
    closed_until: Instant,
    touched: Instant,
}

/// Counts failures in a row.
#[derive(Default)]
pub(crate) struct Breaker {
    lines: Mutex<HashMap<Line, State>>,
}

impl Breaker {
    /// Whether a request may be sent; else the last failure.
    pub(crate) fn check(&self, line: &Line) -> Result<(), Failure> {
        self.check_at(line, Instant::now())
    }

    fn check_at(&self, line: &Line, now: Instant) -> Result<(), Failure> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = lines.get_mut(line).filter(|state| state.in_a_row >= FAILURES) else { return Ok(()) };
        if now < state.closed_until {
            return Err(state.last.clone());
        }
        // This one tries it out; the others go on waiting for what comes of it.
        state.closed_until = now + PAUSE;
        Ok(())
    }

    /// Notes how an attempt ended.
    pub(crate) fn note(&self, line: &Line, failure: Option<Failure>) {
        self.note_at(line, failure, Instant::now());
    }

    fn note_at(&self, line: &Line, failure: Option<Failure>, now: Instant) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(failure) = failure else {
            lines.remove(line);
            return;
        };
        if lines.len() >= MANY {
            lines.retain(|_, state| now.duration_since(state.touched) < FORGET);
        }
        let state = lines.entry(line.clone()).or_insert_with(|| State {
            in_a_row: 0,
            last: failure.clone(),
            closed_until: now,
            touched: now,
        });
        state.in_a_row = state.in_a_row.saturating_add(1);
        state.last = failure;
        state.touched = now;
        if state.in_a_row >= FAILURES {
            state.closed_until = now + PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(host: &str) -> Line {
        Line { company: CompanyId::default(), consumer: ("integration".into(), "1".into()), way: [1; 32], host: host.into() }
    }

    fn failure(cause: Cause) -> Option<Failure> {
        Some(Failure { cause, message: "No.".into(), hint: None })
    }

    #[tokio::test]
    async fn ten_in_a_row_open_it_and_one_tries_it_out() {
        let (breaker, here) = (Breaker::default(), line("a:443"));
        let now = Instant::now();
        for _ in 0..9 {
            breaker.note_at(&here, failure(Cause::TargetTimeout), now);
        }
        assert!(breaker.check_at(&here, now).is_ok());
        breaker.note_at(&here, failure(Cause::TargetUnreachable), now);
        assert_eq!(breaker.check_at(&here, now).err().map(|f| f.cause), Some(Cause::TargetUnreachable));
        let others = [Line { way: [2; 32], ..here.clone() }, Line { host: "b:443".into(), ..here.clone() }];
        assert!(others.iter().all(|other| breaker.check_at(other, now).is_ok()));
        let later = now + PAUSE;
        assert!(breaker.check_at(&here, later).is_ok(), "one tries it out");
        assert!(breaker.check_at(&here, later).is_err(), "and no other meanwhile");
        breaker.note_at(&here, failure(Cause::TargetTimeout), later);
        assert!(breaker.check_at(&here, later + PAUSE / 2).is_err());
        breaker.note_at(&here, None, later);
        assert!(breaker.check_at(&here, later).is_ok(), "a success starts anew");
    }

    #[tokio::test]
    async fn a_success_in_between_starts_anew() {
        let (breaker, here) = (Breaker::default(), line("a:443"));
        for _ in 0..3 {
            for _ in 0..9 {
                breaker.note(&here, failure(Cause::TargetTimeout));
            }
            breaker.note(&here, None);
        }
        assert!(breaker.check(&here).is_ok());
    }
}
