//! Backups: one consistent picture of a database that runs, and a database made from one.
//!
//! SurrealDB's own `export` is not used. It needs HTTP towards a server (we have WebSocket), it says of an embedded database that
//! all is well when it broke off for a reason with the word "channel" in it (surrealdb-engine-local 3.3.5, `engine.rs`), and what it
//! writes is text that has to be parsed and run again. Instead [`take`] reads every table, page by page, inside one transaction,
//! which sees a snapshot; and [`restore`](restore()) makes the same schema from the same migrations and writes the same records.
//! Both do the same with a folder and with a server.
//!
//! Not in a backup: what is of this process and this moment ([`PASSING`]), and the key.

mod file;
pub(crate) mod restore;
mod take;

use std::path::PathBuf;

pub use file::BackupFile;
pub use restore::{RestoreStep, Restored, restore};
pub use take::{BackupPart, BackupStream, BackupSummary, backup};

use crate::open::OpenError;

/// Tables that no backup holds. Sessions, tickets and one-time links would let in somebody who was shut out since; attempts to sign in,
/// the places of running tests and whose turn scheduled work is mean nothing elsewhere.
pub(crate) const PASSING: &[&str] = &["session", "ticket", "setup_link", "invitation", "sign_in", "test_slot", "turn"];

/// The notes of what was applied: written last, when all else is there.
const NOTES: &str = "migration";

/// Why there is no backup, or none was restored. The message is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database does not open.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// There is nothing to back up.
    #[error("there is no Gatehouse database at {0}, so there is nothing to back up. DATABASE says which one is meant")]
    NoDatabase(String),
    /// `mem://`.
    #[error("a database in memory (mem://) is gone with its process: it can neither be backed up nor restored")]
    Memory,
    /// Something else.
    #[error("it is not a backup of Gatehouse. Nothing was changed")]
    Foreign,
    /// Not all of it is there.
    #[error("it ends before its end: the backup was cut off, or copied only in part. Nothing was changed. Use another backup")]
    Cut,
    /// Not what was written.
    #[error("it is damaged: it is not what was once written. Nothing was changed. Use another backup")]
    Changed,
    /// A file of a newer program.
    #[error(
        "it was made by a newer Gatehouse (format {found}; this program reads up to {known}). Restore it with that program. \
         Nothing was changed"
    )]
    NewerFormat {
        /// The file's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// It can't be read.
    #[error("it can't be read: {0}. Nothing was changed")]
    Read(String),
    /// There is a database already.
    #[error(
        "there is a database already: {place} ({what}). Nothing was changed. Give another DATABASE, or say --replace: the old \
         database is then kept beside the new one, under another name"
    )]
    Occupied {
        /// Where.
        place: String,
        /// What is in it.
        what: String,
    },
    /// The same, of a server, where nothing can be kept.
    #[error(
        "the database at {place} is not empty ({what}). Nothing was changed. A backup is restored into an empty database of a \
         server: remove the old one first, or use another server"
    )]
    OccupiedServer {
        /// Where.
        place: String,
        /// What is in it.
        what: String,
    },
    /// Two at once.
    #[error("another restore into {} is under way", .0.display())]
    Busy(PathBuf),
    /// The system refuses.
    #[error("{}: {what}. Nothing was changed; it can be run again", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        what: String,
    },
    /// What was restored is not what is in the backup.
    #[error(
        "the table {0} was restored, but what is in the database now is not what is in the backup. This is a defect; the restored \
         database was not put into place"
    )]
    Different(String),
    /// Whoever was to have the bytes does not take them.
    #[error("nobody took the backup for {0} seconds")]
    Stalled(u64),
    /// The database was closed meanwhile.
    #[error("the database was closed")]
    Closed,
    /// Anything else that the database said.
    #[error("the database said: {0}")]
    Database(String),
}

impl BackupError {
    fn database(error: impl std::fmt::Display) -> Self {
        Self::Database(error.to_string())
    }
}
