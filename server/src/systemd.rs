//! What systemd is told (`sd_notify(3)`): that we are ready, that we end, and that we are alive. Where nobody listens, nothing is said.

use std::time::Duration;

use gatehouse_platform::Platform;
use sd_notify::NotifyState;

/// How long an embedded database may take to answer before we count as hanging.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says that everything is listening, and from now on that we are alive, as often as the unit's `WatchdogSec` asks for it. With an
/// embedded database that means that it answers: a process whose database hangs is better started anew. One that has lost its
/// database server is not.
pub fn ready(embedded: Option<Platform>) {
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    tokio::spawn(async move {
        loop {
            let alive = match &embedded {
                Some(platform) => {
                    tokio::time::timeout(PATIENCE.min(every / 3), platform.ready()).await.is_ok_and(|ready| ready.is_ok())
                }
                None => true,
            };
            if alive {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            } else {
                tracing::error!("the database does not answer: systemd starts this process anew if it goes on like this");
            }
            tokio::time::sleep(every / 3).await;
        }
    });
}

/// Says that we end, and that it takes as long as it takes.
pub fn stopping() {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
}
