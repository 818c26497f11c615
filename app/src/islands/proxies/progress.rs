//! How far a running test is: its lines, one by one, become what the screen shows.

use gatehouse_domain::{AppError, Stage, StageResult, StageStatus, TestReport};

use crate::api::proxies::TestLine;

/// Where one stage stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageState {
    /// Not begun.
    Waiting,
    /// Under way.
    Running,
    /// Ended, or skipped.
    Done(StageResult),
}

impl StageState {
    /// The state's name for style sheets and tests.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done(result) => match result.status {
                StageStatus::Passed => "passed",
                StageStatus::Failed => "failed",
                StageStatus::Skipped => "skipped",
            },
        }
    }
}

/// Where the test stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has asked for one.
    #[default]
    Idle,
    /// Under way.
    Running,
    /// It ended with a report.
    Done(TestReport),
    /// It could not be carried out.
    Failed(AppError),
    /// The person stopped it.
    Stopped,
}

/// The six stages and the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// In the order of [`Stage::ALL`].
    pub stages: [StageState; 6],
    /// The whole.
    pub phase: Phase,
}

impl Default for Progress {
    fn default() -> Self {
        Self { stages: [const { StageState::Waiting }; 6], phase: Phase::Idle }
    }
}

impl Progress {
    /// A test that has just been asked for.
    #[must_use]
    pub fn started() -> Self {
        Self { phase: Phase::Running, ..Self::default() }
    }

    /// A test that is over.
    #[must_use]
    pub fn of_report(report: TestReport) -> Self {
        let mut progress = Self::default();
        progress.finish(report);
        progress
    }

    /// Whether it is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Takes the next line. What comes after the end is passed over.
    pub fn apply(&mut self, line: TestLine) {
        if !self.is_running() {
            return;
        }
        match line {
            TestLine::Started(stage) => *self.stage(stage) = StageState::Running,
            TestLine::Finished(result) => {
                let stage = result.stage;
                *self.stage(stage) = StageState::Done(result);
            }
            TestLine::Report(report) => self.finish(report),
            TestLine::Error(error) => self.end(Phase::Failed(error)),
        }
    }

    /// The person has had enough.
    pub fn stop(&mut self) {
        if self.is_running() {
            self.end(Phase::Stopped);
        }
    }

    fn finish(&mut self, report: TestReport) {
        // The report is the last word about each stage.
        for result in &report.stages {
            *self.stage(result.stage) = StageState::Done(result.clone());
        }
        self.phase = Phase::Done(report);
    }

    fn end(&mut self, phase: Phase) {
        for stage in &mut self.stages {
            if *stage == StageState::Running {
                *stage = StageState::Waiting;
            }
        }
        self.phase = phase;
    }

    fn stage(&mut self, stage: Stage) -> &mut StageState {
        let at = Stage::ALL.iter().position(|s| *s == stage).unwrap_or_default();
        &mut self.stages[at]
    }
}

/// The stage's name on the wire, for tests to find it by.
#[must_use]
pub fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolve => "resolve",
        Stage::Connect => "connect",
        Stage::ProxyTls => "proxy_tls",
        Stage::ProxyHandshake => "proxy_handshake",
        Stage::TargetTls => "target_tls",
        Stage::TargetHttp => "target_http",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(stage: Stage, status: StageStatus) -> StageResult {
        StageResult { stage, status, ms: Some(3), detail: None }
    }

    fn names(progress: &Progress) -> Vec<&'static str> {
        progress.stages.iter().map(StageState::name).collect()
    }

    #[test]
    fn lines_move_the_stages_and_the_report_has_the_last_word() {
        let mut progress = Progress::started();
        progress.apply(TestLine::Started(Stage::Resolve));
        assert_eq!(names(&progress)[..2], ["running", "waiting"]);
        progress.apply(TestLine::Finished(result(Stage::Resolve, StageStatus::Passed)));
        progress.apply(TestLine::Started(Stage::Connect));
        assert_eq!(names(&progress)[..2], ["passed", "running"]);
        let status = |stage| match stage {
            Stage::Resolve => StageStatus::Passed,
            Stage::Connect => StageStatus::Failed,
            _ => StageStatus::Skipped,
        };
        progress.apply(TestLine::Report(TestReport {
            ok: false,
            cause: None,
            message: "Nothing listens there.".into(),
            hint: None,
            target: "https://example.com/".into(),
            stages: Stage::ALL.into_iter().map(|s| result(s, status(s))).collect(),
            status_code: None,
            egress_ip: None,
        }));
        assert_eq!(names(&progress), ["passed", "failed", "skipped", "skipped", "skipped", "skipped"]);
        assert!(matches!(&progress.phase, Phase::Done(report) if !report.ok));
        progress.apply(TestLine::Error(AppError::Unavailable));
        assert!(matches!(progress.phase, Phase::Done(_)), "nothing comes after the end");
    }

    #[test]
    fn a_test_that_ends_early_leaves_no_stage_running() {
        for end in [|p: &mut Progress| p.stop(), |p: &mut Progress| p.apply(TestLine::Error(AppError::Unreachable))] {
            let mut progress = Progress::started();
            progress.apply(TestLine::Started(Stage::Resolve));
            end(&mut progress);
            assert!(!progress.is_running());
            assert_eq!(names(&progress), ["waiting"; 6]);
        }
    }

    #[test]
    fn stages_are_named_as_on_the_wire() {
        for stage in Stage::ALL {
            assert_eq!(serde_json::to_string(&stage).ok(), Some(format!("\"{}\"", stage_name(stage))));
        }
    }
}
