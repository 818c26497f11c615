//! Where the database engine runs: threads of its own, with room on their stacks.
//!
//! Not optimised, the engine needs up to 1.6 MB of stack for one of our queries, and a thread has 2 MB by default, of which
//! whoever calls us has used some. An overflow ends the process. So nothing of the engine runs on the caller's thread. It
//! also means that a caller who goes away in the middle (a browser that closes its connection) does not take a running
//! transaction with it, and that a panic of the engine ends a query and not the caller.

use std::{io, sync::OnceLock};

use tokio::runtime::{Builder, Runtime};

const STACK: usize = 16 * 1024 * 1024;

/// The one of this process; it ends with the process.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Gives the engine's runtime, and makes it the first time.
///
/// # Errors
/// When the system gives no threads.
pub(crate) fn runtime() -> io::Result<&'static Runtime> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread().thread_name("gatehouse-store").thread_stack_size(STACK).enable_all().build()?;
    if let Err(second) = RUNTIME.set(runtime) {
        // Somebody was faster. A runtime can't be dropped where tasks run.
        second.shutdown_background();
    }
    RUNTIME.get().ok_or_else(|| io::Error::other("no runtime"))
}
