//! Where records of transactions go besides the log: into a database, say, which this crate knows nothing of.

use crate::log::Record;

/// Takes a record of each transaction.
pub trait Sink: Send + Sync {
    /// Is called when a transaction is over, by the task that served it: must not wait for anything, and drops what it has no room for.
    fn record(&self, record: &Record<'_>);
}
