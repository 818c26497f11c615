//! How a server ends: first it says so (`/readyz`), and serves on until balancers have noticed; then it takes nothing new and lets what is on
//! its way come to its end.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderValue, Version, header};
use tokio::{
    signal::unix::{Signal, SignalKind},
    sync::watch,
};

use crate::{state::AppState, systemd};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// Balancers are told to leave; whoever comes is served all the same.
    Leaving,
    /// Nothing new is taken.
    Closing,
}

/// Tells how far the end is.
#[derive(Debug, Clone)]
pub struct Ending(watch::Receiver<Phase>);

impl Ending {
    /// Begins to end when the system says so (Ctrl-C, SIGTERM): `delay` after that nothing new is taken; at once where it says so twice.
    pub fn on_signal(delay: Duration) -> Self {
        let (phase, receiver) = watch::channel(Phase::Serving);
        tokio::spawn(async move {
            let mut signals = Signals::new();
            signals.next().await;
            systemd::stopping();
            let _ = phase.send(Phase::Leaving);
            if !delay.is_zero() {
                tracing::info!(
                    seconds = delay.as_secs_f32(),
                    "ending: /readyz says so, and what comes is served until balancers have noticed"
                );
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = signals.next() => {}
                }
            }
            tracing::info!("ending: no new connections are taken");
            let _ = phase.send(Phase::Closing);
            // Whoever asks hears it for as long as the process lives.
            std::future::pending::<()>().await;
        });
        Self(receiver)
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() >= Phase::Leaving
    }

    /// Waits until nothing new is to be taken.
    pub async fn closing(mut self) {
        let _ = self.0.wait_for(|phase| *phase == Phase::Closing).await;
    }

    /// Waits until the end begins.
    pub async fn begun(mut self) {
        let _ = self.0.wait_for(|phase| *phase >= Phase::Leaving).await;
    }
}

struct Signals(Option<(Signal, Signal)>);

impl Signals {
    fn new() -> Self {
        let listen = |kind| tokio::signal::unix::signal(kind).ok();
        Self(listen(SignalKind::terminate()).zip(listen(SignalKind::interrupt())))
    }

    async fn next(&mut self) {
        match &mut self.0 {
            Some((terminate, interrupt)) => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            },
            None => std::future::pending().await,
        }
    }
}

/// While the end comes near, whoever holds a connection open is told with each answer to use another one. In HTTP/2 the connection itself
/// says so when it is closed (GOAWAY).
pub async fn lead_away(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let is_http1 = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if is_http1 && state.ending.has_begun() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
