//! `gatehouse tend`: what a running server does by itself now and then, once.

use gatehouse_store::OpenError;

use crate::{
    config::Settings,
    startup::{self, StartError},
};

/// Does what is due, and says what that was.
///
/// # Errors
/// In words for the operator; also when a part of it could not be done.
pub async fn run(settings: Settings) -> Result<(), String> {
    let platform = match startup::open(&settings).await {
        Ok(platform) => platform,
        Err(StartError::Open(OpenError::Locked(_))) => {
            println!("A server has this database open. It does what is due by itself.");
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
    };
    let done = platform.turn_all().await;
    println!("Analyses that were cut off and went on: {}.", done.analyses);
    println!("Companies whose proxy settings and integrations were tested: {} ({} tests).", done.rounds, done.tests);
    println!(
        "{}",
        if done.retention { "What is kept no longer was deleted." } else { "Deleting what is kept no longer was not due." }
    );
    if done.failed.is_empty() { Ok(()) } else { Err(format!("not everything could be done: {}", done.failed.join("; "))) }
}
