//! Test Connection on the screen: six stages as they happen, then what came of it.

use std::pin::pin;

use futures::{
    StreamExt,
    future::{AbortHandle, abortable},
};
use gatehouse_domain::{AppError, ProxyForm, Stage, StageStatus, TestReport};
use leptos::{prelude::*, task::spawn_local};

use super::{
    lines::Lines,
    progress::{Phase, Progress, StageState, stage_name},
};
use crate::{
    api::proxies::{TestLine, test_draft, test_saved},
    components::{Button, Icon, IconName, Spinner},
};

/// What is tested.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A saved setting.
    Saved(String),
    /// Values that are not saved; with the identifier of the setting they are meant for.
    Draft(Option<String>, Box<ProxyForm>),
}

/// One place on a page where tests run, one at a time.
#[derive(Debug, Clone, Copy)]
pub struct TestRun {
    progress: RwSignal<Progress>,
    running: StoredValue<Option<AbortHandle>>,
}

impl TestRun {
    /// With the report of a test that was made without JavaScript, if there is one. Leaving the page ends a running test.
    #[must_use]
    pub fn new(report: Option<TestReport>) -> Self {
        let progress = RwSignal::new(report.map_or_else(Progress::default, Progress::of_report));
        let run = Self { progress, running: StoredValue::new(None) };
        on_cleanup(move || run.abort());
        run
    }

    /// Whether a test is under way.
    #[must_use]
    pub fn is_running(self) -> bool {
        self.progress.with(Progress::is_running)
    }

    /// Whether there is anything to show.
    #[must_use]
    pub fn is_idle(self) -> bool {
        self.progress.with(|p| p.phase == Phase::Idle)
    }

    /// Starts a test; one that runs is ended first. `done` is called at its end, unless it was stopped.
    pub fn start(self, subject: Subject, target: String, done: Callback<Result<(), AppError>>) {
        self.abort();
        self.progress.set(Progress::started());
        let (test, handle) = abortable(watch(subject, target, move |line| {
            let ended = match &line {
                TestLine::Report(_) => Some(Ok(())),
                TestLine::Error(error) => Some(Err(error.clone())),
                TestLine::Started(_) | TestLine::Finished(_) => None,
            };
            self.progress.try_update(|progress| progress.apply(line));
            if let Some(ended) = ended {
                done.run(ended);
            }
        }));
        self.running.set_value(Some(handle));
        spawn_local(async move {
            // Aborted is no error: whoever did it knows.
            let _ = test.await;
        });
    }

    /// Ends a running test: the server notices that nobody reads any more.
    pub fn stop(self) {
        self.abort();
        self.progress.try_update(Progress::stop);
    }

    /// Forgets what was shown.
    pub fn clear(self) {
        self.abort();
        self.progress.set(Progress::default());
    }

    fn abort(self) {
        if let Some(handle) = self.running.try_update_value(Option::take).flatten() {
            handle.abort();
        }
    }
}

/// Reads a test line by line. There is always a last one: a report or an error.
async fn watch(subject: Subject, target: String, mut on_line: impl FnMut(TestLine)) {
    let answer = match subject {
        Subject::Saved(id) => test_saved(id, target).await,
        Subject::Draft(id, form) => test_draft(id, *form, target).await,
    };
    let stream = match answer {
        Ok(stream) => stream,
        Err(error) => return on_line(TestLine::Error(error.0)),
    };
    let mut pieces = pin!(stream.into_inner());
    let mut lines = Lines::default();
    let mut whole = false;
    let mut take = |line: String| match serde_json::from_slice(line.as_bytes()) {
        Ok(line) => {
            whole |= matches!(line, TestLine::Report(_) | TestLine::Error(_));
            on_line(line);
        }
        // From a server of another version: what can be understood is shown.
        Err(_) => leptos::logging::warn!("a line of the test was not understood"),
    };
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => lines.push(&piece).into_iter().for_each(&mut take),
            Err(_) => break,
        }
    }
    lines.end().into_iter().for_each(&mut take);
    if !whole {
        on_line(TestLine::Error(AppError::Unreachable));
    }
}

/// The six stages and the result. Empty until a test was asked for.
#[component]
pub fn TestPanel(
    /// What it shows.
    run: TestRun,
    /// Tests again; without it there is no such button.
    #[prop(optional, into)]
    again: Option<Callback<()>>,
) -> impl IntoView {
    let progress = run.progress;
    let stages =
        Stage::ALL.into_iter().enumerate().map(|(at, stage)| view! { <StageLine run at stage/> }.into_any()).collect_view();
    let running = Signal::derive(move || run.is_running());
    let idle = Memo::new(move |_| run.is_idle());
    view! {
        <div class="grid gap-3" class:mt-4=move || !idle.get() aria-busy=move || running.get().then_some("true")>
            <ol class="grid" class:hidden=move || idle.get() aria-label="Stages of the test">
                {stages}
            </ol>
            // Always there: a live region that arrives together with its text is not read out.
            <p class="sr-only" role="status">{move || progress.with(announcement)}</p>
            <div aria-live="polite">{move || progress.with(|p| result(&p.phase))}</div>
            <div class="flex flex-wrap gap-2" class:hidden=move || idle.get() || (again.is_none() && !running.get())>
                {move || {
                    if running.get() {
                        view! {
                            <Button button_type="button" on_click=Callback::new(move |_| run.stop())>
                                <Icon name=IconName::Close/>
                                "Cancel test"
                            </Button>
                        }
                            .into_any()
                    } else if let Some(again) = again {
                        view! {
                            <Button button_type="button" on_click=Callback::new(move |_| again.run(()))>
                                <Icon name=IconName::Refresh/>
                                "Test again"
                            </Button>
                        }
                            .into_any()
                    } else {
                        ().into_any()
                    }
                }}
            </div>
        </div>
    }
    .into_any()
}

/// One stage: an icon, its name, its state in words, its time, what was seen.
#[component]
fn StageLine(run: TestRun, at: usize, stage: Stage) -> impl IntoView {
    let state = Memo::new(move |_| run.progress.with(|p| p.stages[at].clone()));
    let name = move || state.with(StageState::name);
    let icon = move || match name() {
        "running" => view! { <Spinner/> }.into_any(),
        "passed" => view! { <Icon name=IconName::CheckCircle class="size-5 text-success"/> }.into_any(),
        "failed" => view! { <Icon name=IconName::XCircle class="size-5 text-error"/> }.into_any(),
        "skipped" => view! { <Icon name=IconName::Minus class="size-5 opacity-60"/> }.into_any(),
        _ => view! { <span class="size-2 rounded-full bg-current opacity-40"></span> }.into_any(),
    };
    let time = move || {
        state.with(|state| match state {
            StageState::Done(result) => result.ms.map(|ms| format!("{ms} ms")),
            StageState::Waiting | StageState::Running => None,
        })
    };
    let detail = move || {
        state.with(|state| match state {
            StageState::Done(result) => result.detail.clone(),
            StageState::Waiting | StageState::Running => None,
        })
    };
    view! {
        <li
            class="grid grid-cols-[1.5rem_minmax(0,1fr)_auto] items-start gap-x-2 border-b border-base-300 py-2 last:border-0 data-[status=waiting]:opacity-75"
            data-testid=format!("stage-{}", stage_name(stage))
            data-status=name
        >
            <span class="flex h-6 w-6 items-center justify-center" aria-hidden="true">{icon}</span>
            <span class="min-w-0">
                <span class="font-medium">{stage.label()}</span>
                {move || detail().map(|text| view! { <span class="block text-sm break-words opacity-80">{text}</span> })}
            </span>
            <span class="text-right text-sm">
                <span>{name}</span>
                {move || time().map(|text| view! { <span class="block tabular-nums opacity-80">{text}</span> })}
            </span>
        </li>
    }
    .into_any()
}

/// What is read out while a test runs: the stage that ended last.
fn announcement(progress: &Progress) -> String {
    if !progress.is_running() {
        return String::new();
    }
    let ended = progress.stages.iter().zip(Stage::ALL).rev().find_map(|(state, stage)| match state {
        StageState::Done(result) if result.status != StageStatus::Skipped => {
            Some(format!("{}: {}.", stage.label(), state.name()))
        }
        _ => None,
    });
    ended.unwrap_or_else(|| "The test is running.".into())
}

/// What came of it, in words.
fn result(phase: &Phase) -> AnyView {
    match phase {
        Phase::Idle | Phase::Running => ().into_any(),
        Phase::Stopped => view! { <p class="subtle">"The test was cancelled."</p> }.into_any(),
        Phase::Failed(AppError::Invalid(_)) => {
            view! { <p class="subtle">"The test did not start: some fields need another look."</p> }.into_any()
        }
        Phase::Failed(error) => {
            let text = error.to_string();
            view! {
                <div class="notice notice-error" data-testid="test-result" data-ok="false">
                    <Icon name=IconName::XCircle/>
                    <div class="notice-body">
                        <p class="notice-title">"The test could not be carried out"</p>
                        <p>{text}</p>
                    </div>
                </div>
            }
            .into_any()
        }
        Phase::Done(report) => view! { <ReportNotice report=report.clone()/> }.into_any(),
    }
}

#[component]
fn ReportNotice(report: TestReport) -> impl IntoView {
    let total = report.total_ms();
    let (class, icon, title) = if report.ok {
        ("notice notice-success", IconName::CheckCircle, "The connection works")
    } else {
        ("notice notice-error", IconName::XCircle, "The connection does not work")
    };
    let facts = [
        ("Target", Some(report.target)),
        ("Answer of the target", report.status_code.map(|code| format!("HTTP status {code}"))),
        ("The internet sees", report.egress_ip),
        ("Took", Some(format!("{total} ms"))),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .map(|(name, value)| {
            view! {
                <dt class="opacity-80">{name}</dt>
                <dd class="m-0 min-w-0 break-words font-medium">{value}</dd>
            }
        })
        .collect_view();
    view! {
        <div class=class data-testid="test-result" data-ok=if report.ok { "true" } else { "false" }>
            <Icon name=icon/>
            <div class="notice-body">
                <p class="notice-title">{title}</p>
                <p>{report.message}</p>
                {report.hint.map(|hint| view! { <p class="font-medium">{hint}</p> })}
                <dl class="mt-2 grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-1 text-sm">{facts}</dl>
            </div>
        </div>
    }
    .into_any()
}
