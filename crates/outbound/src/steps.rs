//! The stages of a way, one after the other: each is timed, held to a deadline, and told of.

use std::future::Future;

use gatehouse_domain::{Cause, Stage, StageResult, StageStatus, TestEvent};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    problem::Problem,
    texts::{self, Explained},
};

/// Who puts into words what went wrong, and gives it its cause.
pub(crate) trait Voice: Send + Sync {
    fn explain(&self, problem: &Problem) -> Explained;

    fn cause(&self, problem: &Problem) -> Cause {
        problem.cause()
    }
}

/// The walk is over: the failure as a report or an error tells it.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) problem: Problem,
    pub(crate) cause: Cause,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Times the stages, holds them to the deadline, and tells of each.
pub(crate) struct Steps<'a> {
    voice: &'a dyn Voice,
    /// May be moved between two stages.
    pub(crate) deadline: Instant,
    results: Vec<StageResult>,
    events: Option<mpsc::Sender<TestEvent>>,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(voice: &'a dyn Voice, deadline: Instant, events: Option<mpsc::Sender<TestEvent>>) -> Self {
        Self { voice, deadline, results: Vec::new(), events }
    }

    /// Runs a stage until it is done or the deadline has come.
    pub(crate) async fn run<T>(
        &mut self, stage: Stage, late: Problem, work: impl Future<Output = Result<(T, String), Problem>>,
    ) -> Result<T, Over> {
        self.send(TestEvent::Started(stage));
        let begun = Instant::now();
        let outcome = timeout_at(self.deadline, work).await.unwrap_or(Err(late));
        let ms = Some(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        match outcome {
            Ok((value, detail)) => {
                self.finish(StageResult { stage, status: StageStatus::Passed, ms, detail: Some(detail) });
                Ok(value)
            }
            Err(problem) => {
                let explained = self.voice.explain(&problem);
                let cause = self.voice.cause(&problem);
                tracing::debug!(?stage, ?cause, "the way ends here");
                self.finish(StageResult { stage, status: StageStatus::Failed, ms, detail: Some(explained.detail) });
                Err(Over { problem, cause, message: explained.message, hint: explained.hint })
            }
        }
    }

    pub(crate) fn skip(&mut self, stage: Stage, why: &str) {
        self.finish(StageResult { stage, status: StageStatus::Skipped, ms: None, detail: Some(why.into()) });
    }

    /// All six: those that were not reached are skipped.
    pub(crate) fn complete(&mut self) -> Vec<StageResult> {
        for stage in Stage::ALL.into_iter().skip(self.results.len()) {
            self.skip(stage, texts::NOT_REACHED);
        }
        std::mem::take(&mut self.results)
    }

    fn finish(&mut self, result: StageResult) {
        self.send(TestEvent::Finished(result.clone()));
        self.results.push(result);
    }

    /// Tells whoever listens; one that is gone or slow does not hold up the walk.
    pub(crate) fn send(&self, event: TestEvent) {
        if let Some(events) = &self.events {
            let _ = events.try_send(event);
        }
    }
}
