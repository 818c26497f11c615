//! What goes on after its answer was given: analyses, messages, giving a place back. Where a process is stopped as soon as it has
//! answered, whoever answers waits for it ([`crate::Platform::finish`]); elsewhere nobody has to.

use std::sync::LazyLock;

use tokio::{runtime::Handle, sync::watch, task::JoinHandle};

use crate::Platform;

/// How many tasks there are.
static UNDER_WAY: LazyLock<watch::Sender<usize>> = LazyLock::new(watch::Sender::default);

/// Counted for as long as it is there, however its task ends.
struct Counted;

impl Counted {
    fn new() -> Self {
        UNDER_WAY.send_modify(|count| *count += 1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        UNDER_WAY.send_modify(|count| *count -= 1);
    }
}

/// Goes on by itself, and is waited for by [`Platform::finish`].
pub(crate) fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    spawn_on(&Handle::current(), task)
}

/// The same on a runtime that is known already.
pub(crate) fn spawn_on<T: Send + 'static>(runtime: &Handle, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let counted = Counted::new();
    runtime.spawn(async move {
        let _counted = counted;
        task.await
    })
}

impl Platform {
    /// Returns when nothing goes on in the background any more, and the traffic of it is written down.
    pub async fn finish(&self) {
        // The sender is never dropped.
        let _ = UNDER_WAY.subscribe().wait_for(|count| *count == 0).await;
        self.door.settle().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_goes_on_is_counted_until_its_end_also_when_it_panics() {
        let count = || *UNDER_WAY.borrow();
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let task = spawn(wait);
        let failing = spawn(async { panic!("a defect") });
        assert!(failing.await.is_err());
        assert_eq!(count(), 1);
        go.send(()).expect("it waits");
        let _ = task.await;
        assert_eq!(count(), 0);
    }
}
