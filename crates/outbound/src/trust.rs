//! Trusted certificates, read beside the first stages and kept for a minute.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gatehouse_domain::CaPem;
use tokio::{task::JoinHandle, time::Instant};

use crate::tls::{TlsProblem, Trust};

/// How long what was read counts: a certificate that was added to the system is trusted after this long at the latest.
const KEEP: Duration = Duration::from_secs(60);
/// With this many different sets all are read anew.
const MOST: usize = 256;

/// Reads the trusted authorities on a thread for files, beside the first stages.
pub(crate) struct TrustLoader {
    running: Option<JoinHandle<Result<Arc<Trust>, String>>>,
    loaded: Option<Arc<Trust>>,
}

impl TrustLoader {
    /// For a way without TLS.
    pub(crate) fn not_needed() -> Self {
        Self { running: None, loaded: None }
    }

    pub(crate) fn begin(pems: Vec<CaPem>) -> Self {
        Self { running: Some(tokio::task::spawn_blocking(move || Trust::load(&pems).map(Arc::new))), loaded: None }
    }

    pub(crate) async fn get(&mut self) -> Result<Arc<Trust>, TlsProblem> {
        if let Some(running) = self.running.take() {
            // The task neither panics nor is cancelled, but while the runtime shuts down.
            let loaded = running.await.unwrap_or_else(|_| Err("Gatehouse is shutting down.".into()));
            self.loaded = Some(loaded.map_err(TlsProblem::UnusableCa)?);
        }
        self.loaded.clone().ok_or(TlsProblem::Closed)
    }
}

/// When it was read, and what.
type Kept = HashMap<Vec<String>, (Instant, Arc<Trust>)>;

/// What was read lately, by the certificates that were added to the system's.
#[derive(Clone, Default)]
pub(crate) struct TrustCache {
    kept: Arc<Mutex<Kept>>,
}

impl TrustCache {
    /// A loader for the system's authorities and these.
    pub(crate) fn loader<'a>(&self, pems: impl IntoIterator<Item = Option<&'a CaPem>>) -> TrustLoader {
        let mut pems: Vec<CaPem> = pems.into_iter().flatten().cloned().collect();
        pems.dedup();
        let key: Vec<String> = pems.iter().map(|pem| pem.as_str().to_string()).collect();
        let known = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((read, trust)) = known
            && read.elapsed() < KEEP
        {
            return TrustLoader { running: None, loaded: Some(trust) };
        }
        let kept = self.kept.clone();
        let running = tokio::task::spawn_blocking(move || {
            let read = Instant::now();
            let trust = Arc::new(Trust::load(&pems)?);
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, (read, _)| read.elapsed() < KEEP);
            if kept.len() >= MOST {
                kept.clear();
            }
            kept.insert(key, (read, trust.clone()));
            Ok(trust)
        });
        TrustLoader { running: Some(running), loaded: None }
    }
}
