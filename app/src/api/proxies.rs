//! Server functions of proxy settings: each a few lines over the use cases, with explicit endpoints under `/fn/proxies/`.
//!
//! No answer holds a password: the form of a [`Stored`] setting says only that there is one.

use gatehouse_domain::{AppError, ProxyForm, Stage, StageResult, TestEvent, TestReport};
#[cfg(feature = "ssr")]
use gatehouse_domain::{Page, ProxyQuery, ProxyView};
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use server_fn::codec::{ByteStream, Json, Streaming};

#[cfg(feature = "ssr")]
use crate::context::signed_in;
use crate::{error::ApiError, islands::proxies::values::Stored};

/// One page of the company's proxy settings, for the page that shows it.
///
/// # Errors
/// Nobody is signed in, the query is wrong, the store does not answer.
#[cfg(feature = "ssr")]
pub async fn load_proxies(query: &ProxyQuery) -> Result<Page<ProxyView>, ApiError> {
    let (platform, actor) = signed_in()?;
    Ok(platform.list_proxies(&actor, query).await?)
}

/// One proxy setting, for the page that shows it.
///
/// # Errors
/// As [`load_proxies`], and when it is not there.
#[cfg(feature = "ssr")]
pub async fn load_proxy(id: &str) -> Result<ProxyView, ApiError> {
    let (platform, actor) = signed_in()?;
    Ok(platform.proxy(&actor, id).await?)
}

/// One proxy setting.
#[server(prefix = "/fn", endpoint = "proxies/get", input = Json)]
pub async fn get_proxy(
    /// Which.
    id: String,
) -> Result<Stored, ApiError> {
    let (platform, actor) = signed_in()?;
    Ok(platform.proxy(&actor, &id).await?.into())
}

/// Makes a proxy setting.
#[server(prefix = "/fn", endpoint = "proxies/create", input = Json)]
pub async fn create_proxy(
    /// As it stands in the form.
    form: ProxyForm,
) -> Result<(), ApiError> {
    let (platform, actor) = signed_in()?;
    platform.create_proxy(&actor, &form).await?;
    Ok(())
}

/// Replaces a proxy setting if it still has this version.
#[server(prefix = "/fn", endpoint = "proxies/replace", input = Json)]
pub async fn replace_proxy(
    /// Which.
    id: String, /// The version that the person has seen.
    version: u64,
    /// As it stands in the form.
    form: ProxyForm,
) -> Result<(), ApiError> {
    let (platform, actor) = signed_in()?;
    platform.replace_proxy(&actor, &id, Some(version), &form).await?;
    Ok(())
}

/// Deletes a proxy setting if it still has this version.
#[server(prefix = "/fn", endpoint = "proxies/delete", input = Json)]
pub async fn delete_proxy(
    /// Which.
    id: String, /// The version that the person has seen.
    version: u64,
) -> Result<(), ApiError> {
    let (platform, actor) = signed_in()?;
    Ok(platform.delete_proxy(&actor, &id, Some(version)).await?)
}

/// Makes this one the company's default.
#[server(prefix = "/fn", endpoint = "proxies/make-default", input = Json)]
pub async fn make_default_proxy(
    /// Which.
    id: String,
) -> Result<(), ApiError> {
    let (platform, actor) = signed_in()?;
    platform.make_default_proxy(&actor, &id).await?;
    Ok(())
}

/// Makes a copy under a new name, which is the answer.
#[server(prefix = "/fn", endpoint = "proxies/duplicate", input = Json)]
pub async fn duplicate_proxy(
    /// Which.
    id: String,
) -> Result<String, ApiError> {
    let (platform, actor) = signed_in()?;
    Ok(platform.duplicate_proxy(&actor, &id).await?.name)
}

/// One line of a running test: the events, then either the report or what kept it from coming.
///
/// The same documents as [`TestEvent`], and `{"error": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestLine {
    /// A stage has begun.
    Started(Stage),
    /// A stage has ended, or was skipped.
    Finished(StageResult),
    /// The test is over.
    Report(TestReport),
    /// There is no report.
    Error(AppError),
}

impl From<TestEvent> for TestLine {
    fn from(event: TestEvent) -> Self {
        match event {
            TestEvent::Started(stage) => Self::Started(stage),
            TestEvent::Finished(result) => Self::Finished(result),
            TestEvent::Report(report) => Self::Report(report),
        }
    }
}

/// Tests a saved setting; one [`TestLine`] a line. An empty target means the installation's own.
///
/// Bytes and not text: the pieces that arrive end anywhere, also inside a character.
#[server(prefix = "/fn", endpoint = "proxies/test-saved", input = Json, output = Streaming)]
pub async fn test_saved(
    /// Which.
    id: String, /// What to ask for through the proxy; empty for the installation's own.
    target: String,
) -> Result<ByteStream<ApiError>, ApiError> {
    let (platform, actor) = signed_in()?;
    running::stream(|events| async move { platform.test_proxy(&actor, &id, Some(&target), events).await }).await
}

/// Tests values that are not saved; with the identifier of a saved setting, a password left out is the stored one.
#[server(prefix = "/fn", endpoint = "proxies/test-draft", input = Json, output = Streaming)]
pub async fn test_draft(
    /// The setting these values are meant for, if it is there already.
    id: Option<String>,
    /// As it stands in the form.
    form: ProxyForm,
    /// What to ask for through the proxy; empty for the installation's own.
    target: String,
) -> Result<ByteStream<ApiError>, ApiError> {
    let (platform, actor) = signed_in()?;
    running::stream(|events| async move { platform.test_draft(&actor, id.as_deref(), &form, Some(&target), events).await }).await
}

/// A running test as a stream of lines.
#[cfg(feature = "ssr")]
mod running {
    use std::{collections::VecDeque, future::Future, pin::Pin};

    use futures::{Stream, StreamExt, stream};
    use gatehouse_domain::{AppError, TestEvent, TestReport};
    use server_fn::codec::ByteStream;
    use tokio::sync::mpsc;

    use super::TestLine;
    use crate::error::ApiError;

    /// The test runs while somebody reads: when the browser goes away the stream is dropped, and the test with it.
    ///
    /// Nothing is answered before the first line: what goes wrong until then (a field, too many tests) still has its status.
    pub async fn stream<F>(start: impl FnOnce(mpsc::Sender<TestEvent>) -> F) -> Result<ByteStream<ApiError>, ApiError>
    where
        F: Future<Output = Result<TestReport, AppError>> + Send + 'static,
    {
        let (sender, events) = mpsc::channel(16);
        let mut lines = Box::pin(lines(start(sender), events));
        match lines.next().await {
            None => Err(ApiError(AppError::Unavailable)),
            Some(TestLine::Error(error)) => Err(ApiError(error)),
            Some(first) => Ok(ByteStream::new(stream::iter([first]).chain(lines).map(|line| {
                let mut line = serde_json::to_vec(&line).unwrap_or_default();
                line.push(b'\n');
                Ok(line)
            }))),
        }
    }

    struct Running<F> {
        test: Option<Pin<Box<F>>>,
        events: mpsc::Receiver<TestEvent>,
        ready: VecDeque<TestLine>,
    }

    impl<F> Running<F> {
        /// The report comes from the use case, after it was stored: a list that is loaded then shows it.
        fn note(&mut self, event: TestEvent) {
            if !matches!(event, TestEvent::Report(_)) {
                self.ready.push_back(event.into());
            }
        }
    }

    pub(super) fn lines<F>(test: F, events: mpsc::Receiver<TestEvent>) -> impl Stream<Item = TestLine>
    where
        F: Future<Output = Result<TestReport, AppError>> + Send + 'static,
    {
        let running = Running { test: Some(Box::pin(test)), events, ready: VecDeque::new() };
        stream::unfold(running, |mut running| async move {
            loop {
                if let Some(line) = running.ready.pop_front() {
                    return Some((line, running));
                }
                let test = running.test.as_mut()?;
                let result = tokio::select! {
                    biased;
                    Some(event) = running.events.recv() => {
                        running.note(event);
                        continue;
                    }
                    result = test => result,
                };
                running.test = None;
                // What it sent in its last step still stands in the channel.
                while let Ok(event) = running.events.try_recv() {
                    running.note(event);
                }
                running.ready.push_back(result.map_or_else(TestLine::Error, TestLine::Report));
            }
        })
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use futures::StreamExt;
    use gatehouse_domain::StageStatus;
    use tokio::sync::mpsc;

    use super::*;

    fn report() -> TestReport {
        TestReport {
            ok: true,
            cause: None,
            message: "It works.".into(),
            hint: None,
            target: "https://example.com/".into(),
            stages: Vec::new(),
            status_code: Some(200),
            egress_ip: None,
        }
    }

    fn passed(stage: Stage) -> StageResult {
        StageResult { stage, status: StageStatus::Passed, ms: Some(1), detail: None }
    }

    #[tokio::test]
    async fn events_come_in_order_and_the_report_last() {
        let stream = running::stream(|events| async move {
            for event in
                [TestEvent::Started(Stage::Resolve), TestEvent::Finished(passed(Stage::Resolve)), TestEvent::Report(report())]
            {
                events.send(event).await.ok();
            }
            Ok(report())
        });
        let bytes: Vec<_> = stream.await.expect("starts").into_inner().map(|piece| piece.expect("bytes")).collect().await;
        let text = String::from_utf8(bytes.concat()).expect("text");
        let lines: Vec<TestLine> = text.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
        assert_eq!(
            lines,
            [TestLine::Started(Stage::Resolve), TestLine::Finished(passed(Stage::Resolve)), TestLine::Report(report())]
        );
        // The same documents as in the API.
        assert!(text.starts_with(&serde_json::to_string(&TestEvent::Started(Stage::Resolve)).expect("json")), "{text}");
    }

    #[tokio::test]
    async fn an_error_before_the_first_event_is_the_answer_and_a_later_one_the_last_line() {
        let early = running::stream(|_| async { Err(AppError::TooManyTests(1)) }).await;
        assert_eq!(early.err(), Some(ApiError(AppError::TooManyTests(1))));
        let (sender, events) = mpsc::channel(1);
        let late = running::lines(
            async move {
                sender.send(TestEvent::Started(Stage::Resolve)).await.ok();
                Err(AppError::Unavailable)
            },
            events,
        );
        assert_eq!(late.collect::<Vec<_>>().await, [TestLine::Started(Stage::Resolve), TestLine::Error(AppError::Unavailable)]);
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_ends_the_test() {
        struct Gone(Arc<AtomicBool>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let dropped = Arc::new(AtomicBool::new(false));
        let gone = Gone(dropped.clone());
        let stream = running::stream(|events| async move {
            let _gone = gone;
            events.send(TestEvent::Started(Stage::Resolve)).await.ok();
            futures::future::pending().await
        })
        .await
        .expect("starts");
        let mut lines = Box::pin(stream.into_inner());
        assert!(lines.next().await.is_some());
        assert!(!dropped.load(Ordering::SeqCst));
        drop(lines);
        assert!(dropped.load(Ordering::SeqCst));
    }
}
