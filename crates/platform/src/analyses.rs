//! Analyses: beginning them, asking the engines, following them, finding them again.
//!
//! What an analysis is to do is written before it begins: one result for each integration and indicator, `queued`. Whoever
//! works on it holds a lease, writes results as they come, and renews the lease by that. If the process dies, the lease runs
//! out, and [`Platform::tend`], here or in another process, goes on with what is not done. So nothing is lost, and nothing
//! hangs: asking an engine twice does no harm.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::TimeDelta;
use gatehouse_domain::{
    AnalysisQuery, AnalysisResult, AnalysisStatus, AnalysisView, AppError, Bypass, Cause, Evidence, HostName, Indicator,
    IndicatorKind, IntegrationRef, IntegrationStatus, IntegrationValues, MailSummary, Operation, Page, Port, ResultStatus,
    Subject, SubjectKind, TestTarget, Verdict, overall,
};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

use crate::{
    Actor, AnalysisId, Choice, CompanyId, EngineFailure, FileContent, IntegrationId, Platform,
    audit::facts,
    background,
    engine::{CurrentChoice, Place},
    platform::{now, store_error},
    ports::{AnalysisRecord, AnalysisState, IntegrationRecord, KeptFinding, Lease},
};

/// How long nobody else works on an analysis after its worker was last heard of.
const LEASE: TimeDelta = TimeDelta::seconds(15);
/// How often a worker is heard of while no results come.
const RENEW: Duration = Duration::from_secs(5);
/// Results that come within this time are written together.
const GATHER: Duration = Duration::from_millis(60);
/// How long an integration's settings are taken for current while an analysis runs.
const CURRENT: Duration = Duration::from_secs(1);
/// The largest file that is kept for engines that want it uploaded, in bytes.
pub const MAX_FILE: usize = 20 * 1024 * 1024;
/// The largest file or mail that is taken, in bytes.
pub const MAX_INPUT: usize = 64 * 1024 * 1024;

/// What is to be analysed.
#[derive(Debug, Clone)]
pub enum AnalysisInput {
    /// A URL, an address or a hash: whichever it is.
    Text(String),
    /// A URL.
    Url(String),
    /// An IP address.
    Ip(String),
    /// MD5, SHA-1 or SHA-256 in hexadecimal.
    Hash(String),
    /// A reported e-mail (RFC 5322).
    Email(Vec<u8>),
    /// A file.
    File {
        /// Its name.
        name: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// What is to be looked up, and what it came from.
struct Taken {
    subject: Subject,
    indicators: Vec<Indicator>,
    files: Vec<(String, FileContent)>,
    email: Option<MailSummary>,
}

impl AnalysisInput {
    /// Takes it apart. Runs for as long as a large mail takes: not for the threads that serve connections.
    fn take(self) -> Result<Taken, AppError> {
        if let Self::Email(bytes) | Self::File { bytes, .. } = &self
            && bytes.len() > MAX_INPUT
        {
            return Err(AppError::TooLarge(MAX_INPUT as u64));
        }
        let one = |field: &str, kind: SubjectKind, indicator: Result<Indicator, String>| {
            let indicator = indicator.map_err(|why| AppError::invalid(field, why))?;
            let subject = Subject { kind, value: indicator.value.clone() };
            Ok(Taken { subject, indicators: vec![indicator], files: Vec::new(), email: None })
        };
        match self {
            Self::Text(text) => {
                let indicator = gatehouse_mail::indicator(&text);
                let kind = match indicator.as_ref().map(|indicator| indicator.kind) {
                    Ok(IndicatorKind::Ip) => SubjectKind::Ip,
                    Ok(IndicatorKind::Hash | IndicatorKind::File) => SubjectKind::Hash,
                    _ => SubjectKind::Url,
                };
                one("indicator", kind, indicator)
            }
            Self::Url(text) => one("url", SubjectKind::Url, gatehouse_mail::url(&text)),
            Self::Ip(text) => one("ip", SubjectKind::Ip, gatehouse_mail::ip(&text)),
            Self::Hash(text) => one("sha256", SubjectKind::Hash, gatehouse_mail::hash(&text)),
            Self::File { name, bytes } => {
                if bytes.is_empty() {
                    return Err(AppError::invalid("file", "This file is empty."));
                }
                let sha256 = hex(&Sha256::digest(&bytes));
                let indicator = Indicator { kind: IndicatorKind::File, value: sha256.clone(), note: Some(name.clone()) };
                let subject = Subject { kind: SubjectKind::File, value: name.clone() };
                Ok(Taken { subject, indicators: vec![indicator], files: vec![(sha256, content(name, bytes))], email: None })
            }
            Self::Email(raw) => {
                let reported = gatehouse_mail::take_apart(&raw).map_err(|why| AppError::invalid("email", why))?;
                let value = reported.summary.subject.clone().unwrap_or_else(|| "(no subject)".into());
                Ok(Taken {
                    subject: Subject { kind: SubjectKind::Email, value },
                    indicators: reported.indicators,
                    files: reported.files.into_iter().map(|file| (file.sha256, content(file.name, file.bytes))).collect(),
                    email: Some(reported.summary),
                })
            }
        }
    }
}

fn content(name: String, bytes: Vec<u8>) -> FileContent {
    FileContent { name, bytes: Arc::new(bytes) }
}

impl Platform {
    /// Begins an analysis with all active integrations that can look at it, and waits up to `wait` for its end. It goes on
    /// whether somebody waits or not.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for what can't be analysed.
    pub async fn start_analysis(&self, actor: &Actor, input: AnalysisInput, wait: Duration) -> Result<AnalysisView, AppError> {
        actor.may(Operation::StartAnalysis)?;
        let taken = tokio::task::spawn_blocking(move || input.take())
            .await
            .map_err(|error| crate::platform::internal(format!("taking apart what is to be analysed failed: {error}")))??;
        let integrations = self.integrations.integrations(actor.company).await.map_err(store_error)?;
        let mut results = Vec::new();
        let mut uploads = false;
        for record in integrations.iter().filter(|record| record.values.status == IntegrationStatus::Active) {
            let Some(spec) = self.engine_spec(&record.values.kind) else { continue };
            for indicator in taken.indicators.iter().filter(|indicator| can(&record.values, indicator.kind)) {
                uploads |= spec.uploads && indicator.kind == IndicatorKind::File;
                results.push(planned(record, indicator));
            }
        }
        let lease = self.new_lease();
        let files: Vec<_> = taken
            .files
            .into_iter()
            .filter(|(_, file)| uploads && !file.bytes.is_empty() && file.bytes.len() <= MAX_FILE)
            .collect();
        let record = AnalysisRecord {
            id: AnalysisId::new(),
            subject: taken.subject,
            by: actor.view.name.clone(),
            created_at: now(),
            email: taken.email,
            total: u32::try_from(results.len()).unwrap_or(u32::MAX),
            state: state_of(&results),
        };
        let is_running = record.state.status == AnalysisStatus::Running;
        // By itself, and before: the results of many look-ups are much to write again for the sake of a place in the log.
        let subject = facts(&serde_json::json!({ "kind": record.subject.kind, "look_ups": record.total }), &[]);
        self.note(actor.did(Operation::StartAnalysis).to("analysis", record.id, &record.subject.value).after(subject)).await?;
        self.analyses
            .create_analysis(actor.company, &record, &results, &files, is_running.then_some(&lease))
            .await
            .map_err(store_error)?;
        let id = record.id;
        if is_running {
            // They are in the store: nobody knows how long the engines take.
            drop(files);
            let run = Run::new(self.clone(), actor.company, id, lease, results);
            let task = background::spawn(run.work());
            if !wait.is_zero() {
                // Whether it came to its end or not is read below.
                let _ = timeout(wait, task).await;
            }
        }
        let (record, results) = self.analyses.analysis(actor.company, id).await.map_err(store_error)?;
        Ok(view(record, results))
    }

    /// One analysis with its results.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn analysis(&self, actor: &Actor, id: &str) -> Result<AnalysisView, AppError> {
        actor.may(Operation::GetAnalysis)?;
        let id = AnalysisId::parse(id).ok_or(AppError::NotFound)?;
        let (record, results) = self.analyses.analysis(actor.company, id).await.map_err(store_error)?;
        Ok(view(record, results))
    }

    /// One page of the company's analyses, without their results.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for a wrong cursor.
    pub async fn list_analyses(&self, actor: &Actor, query: &AnalysisQuery) -> Result<Page<AnalysisView>, AppError> {
        actor.may(Operation::ListAnalyses)?;
        let page = self.analyses.list_analyses(actor.company, query).await.map_err(store_error)?;
        Ok(Page { items: page.items.into_iter().map(|record| view(record, Vec::new())).collect(), next: page.next })
    }

    /// Goes on with analyses that nobody works on any more: of a process that died, or of this one before it was started
    /// again. Answers how many.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn resume_analyses(&self) -> Result<usize, AppError> {
        let runs = self.unattended().await?;
        let count = runs.len();
        for run in runs {
            tokio::spawn(run.work());
        }
        Ok(count)
    }

    /// Analyses that were cut off and are ours now.
    pub(crate) async fn unattended(&self) -> Result<Vec<Run>, AppError> {
        let lease = self.new_lease();
        let found = self.analyses.take_unattended(now(), &lease, 20).await.map_err(store_error)?;
        let mut runs = Vec::with_capacity(found.len());
        for (company, id) in found {
            match self.analyses.analysis(company, id).await {
                Ok((record, results)) => {
                    tracing::info!(analysis = %record.id, "going on with an analysis that was cut off");
                    runs.push(Run::new(self.clone(), company, id, lease.clone(), results));
                }
                // One that can't be read must not keep the others from going on.
                Err(error) => tracing::error!(analysis = %id, %error, "an analysis that was cut off can't be read"),
            }
        }
        Ok(runs)
    }

    fn new_lease(&self) -> Lease {
        Lease { holder: uuid::Uuid::now_v7().to_string(), until: now() + LEASE }
    }
}

/// An analysis that somebody works on.
pub(crate) struct Run {
    platform: Platform,
    company: CompanyId,
    id: AnalysisId,
    lease: Lease,
    results: Vec<AnalysisResult>,
    settings: Arc<Settings>,
}

impl Run {
    fn new(platform: Platform, company: CompanyId, id: AnalysisId, lease: Lease, results: Vec<AnalysisResult>) -> Self {
        let settings = Arc::new(Settings { platform: platform.clone(), company, read: tokio::sync::Mutex::new(None) });
        Self { platform, company, id, lease, results, settings }
    }

    /// Asks all that have not answered, at once, and writes what they say as it comes.
    pub(crate) async fn work(mut self) {
        let (news, mut incoming) = mpsc::channel::<(u32, AnalysisResult)>(256);
        let mut tasks = JoinSet::new();
        let mut turns: HashMap<String, Arc<Semaphore>> = HashMap::new();
        for (at, result) in self.results.iter().enumerate().filter(|(_, result)| result.status != ResultStatus::Done) {
            let turn = turns
                .entry(result.integration.id.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(self.platform.config.look_ups_per_integration)))
                .clone();
            let look_up = LookUp {
                platform: self.platform.clone(),
                company: self.company,
                analysis: self.id,
                at: u32::try_from(at).unwrap_or(u32::MAX),
                result: result.clone(),
                settings: self.settings.clone(),
                news: news.clone(),
            };
            tasks.spawn(look_up.in_turn(turn));
        }
        drop(news);
        let mut renew = tokio::time::interval(RENEW);
        renew.tick().await;
        loop {
            let first = tokio::select! {
                next = incoming.recv() => next,
                _ = renew.tick() => {
                    if !self.write(&[]).await {
                        // Somebody else works on it by now, or will when the lease is over.
                        return;
                    }
                    continue;
                }
            };
            let Some(first) = first else { break };
            let mut changes: HashMap<u32, AnalysisResult> = HashMap::from([first]);
            // What comes at nearly the same time is one write.
            let gather = tokio::time::sleep(GATHER);
            tokio::pin!(gather);
            loop {
                tokio::select! {
                    next = incoming.recv() => match next {
                        Some((at, result)) => { changes.insert(at, result); }
                        None => break,
                    },
                    () = &mut gather => break,
                }
                if changes.len() >= 200 {
                    break;
                }
            }
            let mut changes: Vec<_> = changes.into_iter().collect();
            changes.sort_by_key(|(at, _)| *at);
            for (at, result) in &changes {
                if let Some(place) = usize::try_from(*at).ok().and_then(|at| self.results.get_mut(at)) {
                    place.clone_from(result);
                }
            }
            if !self.write(&changes).await {
                // Somebody else works on it by now.
                return;
            }
        }
        // A look-up that ended without a word is a defect; it must not leave the analysis hanging.
        let mut left = Vec::new();
        for (at, result) in self.results.iter_mut().enumerate().filter(|(_, result)| result.status != ResultStatus::Done) {
            let reference = uuid::Uuid::new_v4().simple().to_string()[..8].to_string();
            tracing::error!(%reference, integration = %result.integration.kind, "a look-up ended without an answer");
            fail(
                result,
                Cause::EngineError,
                format!("Something went wrong on our side. The log says more under the reference {reference}."),
            );
            left.push((u32::try_from(at).unwrap_or(u32::MAX), result.clone()));
        }
        if !left.is_empty() {
            self.write(&left).await;
        }
    }

    /// Writes what is new, and that somebody works on it. False when somebody else does by now.
    async fn write(&mut self, changes: &[(u32, AnalysisResult)]) -> bool {
        // A result that can be seen has its requests in the traffic log.
        if !changes.is_empty() {
            self.platform.door.settle().await;
        }
        let state = state_of(&self.results);
        for attempt in 0u32.. {
            self.lease.until = now() + LEASE;
            match self.platform.analyses.write_results(self.company, self.id, &self.lease, changes, &state).await {
                Ok(written) => return written,
                // The database may be back in a moment; what was found out is worth the wait.
                Err(error) if attempt < 20 => {
                    tracing::warn!(%error, analysis = %self.id, "results could not be written; trying again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => {
                    tracing::error!(%error, analysis = %self.id, "results could not be written");
                    return false;
                }
            }
        }
        false
    }
}

/// The company's integrations as they are now, read at most once a second.
struct Settings {
    platform: Platform,
    company: CompanyId,
    read: tokio::sync::Mutex<Option<(Instant, Arc<Vec<IntegrationRecord>>)>>,
}

impl Settings {
    async fn of(&self, id: &str) -> Result<Option<IntegrationRecord>, AppError> {
        let mut read = self.read.lock().await;
        let current = match &*read {
            Some((at, records)) if at.elapsed() < CURRENT => records.clone(),
            _ => {
                let records = self.platform.integrations.integrations(self.company).await.map_err(store_error)?;
                let records = Arc::new(records);
                *read = Some((Instant::now(), records.clone()));
                records
            }
        };
        let id = IntegrationId::parse(id);
        Ok(current.iter().find(|record| Some(record.id) == id).cloned())
    }
}

/// One integration asked about one indicator.
struct LookUp {
    platform: Platform,
    company: CompanyId,
    analysis: AnalysisId,
    at: u32,
    result: AnalysisResult,
    settings: Arc<Settings>,
    news: mpsc::Sender<(u32, AnalysisResult)>,
}

impl LookUp {
    async fn in_turn(mut self, turn: Arc<Semaphore>) {
        // It is never closed.
        let Ok(_turn) = turn.acquire().await else { return };
        let place = Arc::new(Place::take(self.platform.look_ups.clone()).await);
        let begun = Instant::now();
        self.result.status = ResultStatus::Running;
        self.result.evidence.clear();
        // Shown when there is time for it: what is quick is done before anybody could look.
        let _ = self.news.try_send((self.at, self.result.clone()));
        let asked = self.ask(place).await;
        if let Err(failure) = asked {
            fail(&mut self.result, failure.cause, failure.message);
        }
        self.result.status = ResultStatus::Done;
        self.result.progress = None;
        self.result.ms = Some(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.tell().await;
    }

    async fn tell(&self) {
        let _ = self.news.send((self.at, self.result.clone())).await;
    }

    async fn ask(&mut self, place: Arc<Place>) -> Result<(), EngineFailure> {
        let ours = |error: AppError| EngineFailure::new(Cause::EngineError, error.to_string());
        let record = self.settings.of(&self.result.integration.id).await.map_err(ours)?;
        let Some(record) = record.filter(|record| record.values.status == IntegrationStatus::Active) else {
            return Err(EngineFailure::new(Cause::Excluded, "The integration was deactivated or deleted before it was asked."));
        };
        if let Some(why) = excluded(&record.values, &self.result.indicator) {
            return Err(EngineFailure::new(Cause::Excluded, why));
        }
        let sent = to_be_sent(&record.values, &self.result.indicator);
        if sent.value != self.result.indicator.value {
            self.result.evidence.push(Evidence { label: "Sent".into(), value: sent.value.clone() });
        }
        let key = kept_key(&record.values, &sent);
        if record.values.cache_hours > 0 {
            let kept = self.platform.analyses.kept_finding(self.company, record.id, &key, now()).await;
            if let Some(kept) = kept.map_err(store_error).map_err(ours)? {
                self.result.verdict = Some(kept.verdict);
                self.result.evidence.extend(kept.evidence);
                self.result.link = kept.link;
                self.result.cached = true;
                return Ok(());
            }
        }
        let Some(engine) = self.platform.engines.get(&record.values.kind) else {
            return Err(EngineFailure::new(Cause::EngineError, "This program has no engine of this type."));
        };
        let spec = engine.spec();
        let file = if spec.uploads && sent.kind == IndicatorKind::File { self.file(&sent).await.map_err(ours)? } else { None };
        let secrets = self.platform.open_secrets(self.company, &record).map_err(ours)?;
        let limit = Duration::from_secs(record.values.timeout_s.into());
        let cx =
            self.platform.engine_context(self.company, Some(record.id), &record.values, secrets, limit, false).map_err(ours)?;
        // What an engine says while it waits is shown as it comes; nobody waits for that.
        let said = Arc::new(Mutex::new(self.result.clone()));
        let (news, at) = (self.news.clone(), self.at);
        let current = Arc::new(Current { settings: self.settings.clone(), id: self.result.integration.id.clone() });
        let cx = cx.following(current).in_place(place).on_progress(move |what| {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.progress = Some(what.to_string());
            let _ = news.try_send((at, said.clone()));
        });
        // An engine that hangs in its own code is an answer too.
        let outcome = timeout(limit + Duration::from_secs(5), engine.look_up(&cx, &sent, file.as_ref())).await;
        self.result.route = cx.seen().route;
        let outcome = outcome.map_err(|_| {
            EngineFailure::new(Cause::EngineTimeout, "There was no result in the time that the integration allows.")
        })?;
        // An engine that wants the file and did not get it has not looked: that is no verdict, and something is missing.
        let unseen = spec.uploads && sent.kind == IndicatorKind::File && file.is_none();
        let finding = match outcome {
            Ok(finding) if unseen && finding.verdict == Verdict::Unknown => return Err(too_large()),
            Err(failure) if unseen && failure.cause == Cause::Excluded => return Err(too_large()),
            outcome => outcome?,
        };
        self.result.verdict = Some(finding.verdict);
        if record.values.cache_hours > 0 {
            let kept = KeptFinding { verdict: finding.verdict, evidence: finding.evidence.clone(), link: finding.link.clone() };
            let until = now() + TimeDelta::hours(record.values.cache_hours.into());
            if let Err(error) = self.platform.analyses.keep_finding(self.company, record.id, &key, &kept, until).await {
                tracing::warn!(%error, "an answer could not be kept for later");
            }
        }
        self.result.evidence.extend(finding.evidence);
        self.result.link = finding.link;
        Ok(())
    }

    async fn file(&self, indicator: &Indicator) -> Result<Option<FileContent>, AppError> {
        self.platform.analyses.analysis_file(self.company, self.analysis, &indicator.value).await.map_err(store_error)
    }
}

fn too_large() -> EngineFailure {
    EngineFailure::new(
        Cause::TooLarge,
        format!(
            "The service does not know this file, and files of more than {} MiB are not given to it: it was not looked at.",
            MAX_FILE >> 20
        ),
    )
}

/// The integration's proxy choice at the time of each request.
struct Current {
    settings: Arc<Settings>,
    id: String,
}

#[async_trait]
impl CurrentChoice for Current {
    async fn choice(&self) -> Result<Choice, EngineFailure> {
        let failure = |error: AppError| EngineFailure::new(Cause::EngineError, error.to_string());
        match self.settings.of(&self.id).await.map_err(failure)? {
            Some(record) if record.values.status == IntegrationStatus::Active => {
                self.settings.platform.choice(&record.values.proxy).map_err(failure)
            }
            _ => Err(EngineFailure::new(Cause::Excluded, "The integration was deactivated or deleted while it was asked.")),
        }
    }
}

fn fail(result: &mut AnalysisResult, cause: Cause, message: String) {
    result.status = ResultStatus::Done;
    result.verdict = None;
    result.cause = Some(cause);
    result.message = Some(message);
    result.progress = None;
}

/// What one integration is to do about one indicator; done already when it is excluded.
fn planned(record: &IntegrationRecord, indicator: &Indicator) -> AnalysisResult {
    let mut result = AnalysisResult {
        integration: IntegrationRef {
            id: record.id.to_string(),
            name: record.values.name.to_string(),
            kind: record.values.kind.clone(),
        },
        indicator: indicator.clone(),
        status: ResultStatus::Queued,
        verdict: None,
        cause: None,
        message: None,
        route: None,
        ms: None,
        evidence: Vec::new(),
        link: None,
        cached: false,
        progress: None,
    };
    if let Some(why) = excluded(&record.values, indicator) {
        fail(&mut result, Cause::Excluded, why);
    }
    result
}

fn state_of(results: &[AnalysisResult]) -> AnalysisState {
    let done = results.iter().filter(|result| result.status == ResultStatus::Done).count();
    let overall = overall(results);
    let is_done = done == results.len();
    AnalysisState {
        status: if is_done { AnalysisStatus::Done } else { AnalysisStatus::Running },
        done: u32::try_from(done).unwrap_or(u32::MAX),
        verdict: overall.verdict,
        incomplete: overall.incomplete,
        cause: overall.cause,
        finished_at: is_done.then(now),
    }
}

fn view(record: AnalysisRecord, results: Vec<AnalysisResult>) -> AnalysisView {
    let AnalysisRecord { id, subject, by, created_at, email, total, state } = record;
    let AnalysisState { status, done, verdict, incomplete, cause, finished_at } = state;
    AnalysisView {
        id: id.to_string(),
        status,
        subject,
        verdict,
        incomplete,
        cause,
        by,
        created_at,
        finished_at,
        total,
        done,
        email,
        results,
    }
}

/// Whether an integration is to look at this kind.
fn can(values: &IntegrationValues, kind: IndicatorKind) -> bool {
    match kind {
        IndicatorKind::Url => values.capabilities.url,
        IndicatorKind::Ip => values.capabilities.sender_ip,
        IndicatorKind::Hash | IndicatorKind::File => values.capabilities.attachment,
    }
}

/// Why an indicator must not be sent, if it must not.
fn excluded(values: &IntegrationValues, indicator: &Indicator) -> Option<String> {
    let exclusions = &values.exclusions;
    match indicator.kind {
        IndicatorKind::Url => {
            let compared = place_of(&indicator.value).and_then(|(host, port, url)| Some((host?, port, url)));
            let Some((host, port, url)) = compared else {
                // What can't be compared must not slip through.
                let any = !exclusions.urls.is_empty() || !exclusions.ips.is_empty();
                return any.then(|| {
                    "The host of this URL can't be compared with the integration's exclusions: nothing was sent.".into()
                });
            };
            exclusions
                .urls
                .iter()
                .find(|entry| excludes_url(entry, &host, port, &url))
                .map(|entry| format!("The integration excludes this URL ({entry}): nothing was sent."))
                .or_else(|| {
                    // A URL to an address that is excluded leads to it all the same.
                    let address = host.address()?;
                    excluding_net(&exclusions.ips, address)
                        .map(|entry| format!("The integration excludes this address ({entry}): nothing was sent."))
                })
        }
        IndicatorKind::Ip => {
            let address = indicator.value.parse().ok()?;
            excluding_net(&exclusions.ips, address)
                .map(|entry| format!("The integration excludes this address ({entry}): nothing was sent."))
        }
        IndicatorKind::File => {
            let name = indicator.note.as_deref()?.to_lowercase();
            // `report.tar.gz` has the extensions gz and tar.gz.
            let entry = exclusions.extensions.iter().find(|extension| name.ends_with(&format!(".{extension}")))?;
            Some(format!("The integration excludes files of the type {entry}: nothing was sent."))
        }
        IndicatorKind::Hash => None,
    }
}

/// Host, port and the whole of a URL. Its host as a [`HostName`] where it is one that could be a rule's.
fn place_of(url: &str) -> Option<(Option<HostName>, Port, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => (&authority[..at], Port::parse(&authority[at + 1..]).ok()),
        _ => (authority, None),
    };
    let own = if scheme.eq_ignore_ascii_case("http") { 80 } else { 443 };
    Some((HostName::parse(host).ok(), port.or_else(|| Port::try_from(own).ok())?, url.to_string()))
}

fn excludes_url(entry: &str, host: &HostName, port: Port, url: &str) -> bool {
    if entry.contains("://") {
        // The beginning of a URL: compared as both are written in full.
        let (Ok(entry), Ok(url)) = (TestTarget::parse(entry), TestTarget::parse(&without_user(url))) else { return true };
        return entry.tls == url.tls
            && entry.host == url.host
            && entry.port == url.port
            && unescaped(&url.path).starts_with(&unescaped(&entry.path));
    }
    Bypass::parse([entry]).is_ok_and(|rules| rules.matching(host, port).is_some())
}

/// A path with the escapes undone that mean nothing (RFC 3986, section 2.3): letters, digits and `-._~` need none.
fn unescaped(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()).map(char::from);
        match code.filter(|c| c.is_ascii_alphanumeric() || "-._~".contains(*c)) {
            Some(c) => {
                plain.push(c);
                rest = &rest[at + 3..];
            }
            None => {
                plain.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// User and password before the host say nothing about where a URL leads.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_string() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    // A long path can't be compared as a target; what it begins with can.
    let path: String = path.chars().take(1500).collect();
    format!("{scheme}://{host}{path}")
}

fn excluding_net(entries: &[String], address: std::net::IpAddr) -> Option<&String> {
    let address = address.to_canonical();
    entries.iter().find(|entry| match entry.parse::<std::net::IpAddr>() {
        Ok(one) => one.to_canonical() == address,
        Err(_) => gatehouse_domain::BypassRule::parse(entry).is_ok_and(|net| {
            HostName::parse(&address.to_string()).is_ok_and(|host| Port::try_from(443).is_ok_and(|port| net.matches(&host, port)))
        }),
    })
}

/// The indicator as the service gets it.
fn to_be_sent(values: &IntegrationValues, indicator: &Indicator) -> Indicator {
    if !values.hide_url_parameters || indicator.kind != IndicatorKind::Url {
        return indicator.clone();
    }
    let bare = without_user(&indicator.value);
    let value = match bare.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            format!("{scheme}://{host}/")
        }
        None => bare,
    };
    Indicator { value, ..indicator.clone() }
}

/// A digest of everything that decides an answer.
fn kept_key(values: &IntegrationValues, sent: &Indicator) -> String {
    let mut digest = Sha256::new();
    let threshold = values.detection_threshold.unwrap_or_default().to_string();
    for part in [values.kind.as_str(), &values.api_url.to_string(), &threshold, sent.kind.as_str(), &sent.value] {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    }
    for (name, value) in &values.options {
        digest.update(format!("{name}={value}\n"));
    }
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gatehouse_domain::{Capabilities, Exclusions, IntegrationName, ProxyChoice};

    use super::*;

    fn values(exclusions: Exclusions) -> IntegrationValues {
        IntegrationValues {
            name: IntegrationName::parse("A").expect("a name"),
            kind: "x".into(),
            description: String::new(),
            api_url: TestTarget::parse("https://api.example/").expect("a URL"),
            tags: Vec::new(),
            proxy: ProxyChoice::Default,
            capabilities: Capabilities { url: true, sender_ip: true, attachment: true },
            status: IntegrationStatus::Active,
            hide_url_parameters: true,
            exclusions,
            detection_threshold: None,
            cache_hours: 0,
            timeout_s: 30,
            ca_pem: None,
            options: BTreeMap::new(),
        }
    }

    fn indicator(kind: IndicatorKind, value: &str, note: Option<&str>) -> Indicator {
        Indicator { kind, value: value.into(), note: note.map(Into::into) }
    }

    #[test]
    fn what_is_excluded_is_found_in_every_form() {
        let list = |all: &[&str]| all.iter().map(|one| (*one).to_string()).collect::<Vec<_>>();
        let values = values(Exclusions {
            urls: list(&["intra.example", "*.corp.example", "https://portal.example/hr/"]),
            ips: list(&["192.0.2.7", "10.0.0.0/8"]),
            extensions: list(&["pdf", "tar.gz"]),
        });
        for (kind, value, note, expected) in [
            (IndicatorKind::Url, "https://intra.example/a?b", None, true),
            (IndicatorKind::Url, "http://user:pw@INTRA.example:8080/", None, true),
            (IndicatorKind::Url, "https://a.corp.example/", None, true),
            (IndicatorKind::Url, "https://corp.example.evil.example/", None, false),
            (IndicatorKind::Url, "https://portal.example/hr/x?y", None, true),
            (IndicatorKind::Url, "https://portal.example/h", None, false),
            (IndicatorKind::Url, "https://portal.example/%68r/x", None, true),
            (IndicatorKind::Url, "https://x-.corp.example/secret", None, true),
            (IndicatorKind::Url, "https://-!.other.example/", None, true),
            (IndicatorKind::Url, "http://10.1.2.3/x", None, true),
            (IndicatorKind::Url, "http://[::ffff:10.1.2.3]/x", None, true),
            (IndicatorKind::Ip, "192.0.2.7", None, true),
            (IndicatorKind::Ip, "::ffff:192.0.2.7", None, true),
            (IndicatorKind::Ip, "192.0.2.8", None, false),
            (IndicatorKind::File, "00", Some("Invoice.PDF"), true),
            (IndicatorKind::File, "00", Some("a.tar.gz"), true),
            (IndicatorKind::File, "00", Some("pdf"), false),
            (IndicatorKind::File, "00", Some("a.gz"), false),
            (IndicatorKind::Hash, "00", None, false),
        ] {
            let found = excluded(&values, &indicator(kind, value, note));
            assert_eq!(found.is_some(), expected, "{value} {note:?}: {found:?}");
        }
    }

    #[test]
    fn hidden_parameters_leave_scheme_and_host() {
        for (url, sent) in
            [("https://a.example/x/y?z=1#f", "https://a.example/"), ("http://u:p@a.example:8080?x", "http://a.example:8080/")]
        {
            assert_eq!(to_be_sent(&values(Exclusions::default()), &indicator(IndicatorKind::Url, url, None)).value, sent);
        }
    }
}
