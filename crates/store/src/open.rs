//! Opening a database, and every way in which that can fail, in words for the operator.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gatehouse_domain::Secret;
use surrealdb::{
    Error, Surreal,
    engine::any::{self, Any},
    opt::auth::{Credentials, Database, Namespace, Root, Signin},
};

use crate::{Store, connection::Connection, folder, migrations, runtime::runtime, sessions::Sessions, upgrade};

pub(crate) const NAMESPACE: &str = "gatehouse";
pub(crate) const DATABASE: &str = "gatehouse";

/// How long a server may take to take a connection and a sign-in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the database is.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `surrealkv://<folder>` (embedded; relative to the working folder), `mem://` (gone with the process), or
    /// `ws(s)://host:port` (a SurrealDB server).
    pub database: String,
    /// For a server: a user of the root, the namespace or the database.
    pub user: Option<String>,
    /// For a server.
    pub password: Option<Secret>,
}

impl StoreConfig {
    /// A database without user and password.
    #[must_use]
    pub fn new(database: impl Into<String>) -> Self {
        Self { database: database.into(), user: None, password: None }
    }

    /// The folder of an embedded database, as it was written; `None` for the other kinds.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.database.strip_prefix("surrealkv://").map(Path::new)
    }
}

/// Why a database was not opened. The message is for the operator; unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not an address of a database.
    #[error(
        "'{0}' does not name a database: use surrealkv://FOLDER, mem://, or ws://HOST:PORT or wss://HOST:PORT (with a user and a password)"
    )]
    Address(String),
    /// Another process has it: the command line then goes through the running server.
    #[error("the database in {} is in use by another process, most likely a running Gatehouse server", .0.display())]
    Locked(PathBuf),
    /// What is there is something else.
    #[error("{} is not a Gatehouse database: {what}. Choose another folder, or one that does not exist yet. Nothing was changed", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// It was a database once.
    #[error("the database in {} is damaged: {what}. Nothing was overwritten. Keep a copy of the folder and restore a backup (gatehouse restore)", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The system refuses.
    #[error("{}: {what}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        what: String,
    },
    /// It belongs to a newer program.
    #[error(
        "This database was made by a newer Gatehouse (migration {found}; this program knows {known}). Start the newer program, or \
         restore a backup from before the update. Nothing was changed"
    )]
    Newer {
        /// The last migration of the database.
        found: u32,
        /// The last one of this program.
        known: u32,
    },
    /// It belongs to an older program, and was only to be looked at.
    #[error(
        "This database was made by an older Gatehouse (migration {found}; this program has {known}). The next start upgrades it"
    )]
    Older {
        /// The last migration of the database.
        found: u32,
        /// The last one of this program.
        known: u32,
    },
    /// A migration that was applied is not the one that this program has.
    #[error(
        "Migration {number} ({name}) of this database is not the one that this program has: one of the two was changed after it \
         was applied. Use the program that the database belongs to. Nothing was changed"
    )]
    MigrationChanged {
        /// Which.
        number: u32,
        /// Its name in this program.
        name: String,
    },
    /// A migration does not go through. It was taken back as a whole.
    #[error("Migration {number} ({name}) failed and was taken back: {why}")]
    MigrationFailed {
        /// Which.
        number: u32,
        /// Its name.
        name: String,
        /// What the database said.
        why: String,
    },
    /// An older database is upgraded only when it could be copied before.
    #[error(
        "the database in {} is of an older Gatehouse and has to be upgraded. Before that a copy of it is kept, and there is none: \
         {}: {what}. Nothing was changed. The copy needs {} MB", path.display(), copy.display(), bytes.div_ceil(1_000_000)
    )]
    NoCopy {
        /// The database.
        path: PathBuf,
        /// Where the copy was to be.
        copy: PathBuf,
        /// What the system said.
        what: String,
        /// How large the database is.
        bytes: u64,
    },
    /// There is no database, but the beginning of one.
    #[error(
        "a restore into {} was cut off. Run it again (gatehouse restore FILE); or remove {} to begin without that backup. Nothing \
         was changed", path.display(), left.display()
    )]
    RestoreCutOff {
        /// Where the database is to be.
        path: PathBuf,
        /// What is there of it.
        left: PathBuf,
    },
    /// The same, in a server's database.
    #[error(
        "a restore into this database was cut off, and not all of it is there. Run it again (gatehouse restore FILE). Nothing was changed"
    )]
    RestoreUnfinished,
    /// No server answers.
    #[error("the database server at {address} can't be reached: {why}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        why: String,
    },
    /// The server does not let us in.
    #[error("the database server at {address} refuses the user and password (DATABASE_USER, DATABASE_PASSWORD): {why}")]
    WrongCredentials {
        /// Where.
        address: String,
        /// What the server said.
        why: String,
    },
    /// Anything else that the database said.
    #[error("the database can't be used: {0}")]
    Database(String),
}

/// What [`StoreConfig::database`] names.
#[derive(Clone)]
pub(crate) enum Endpoint {
    /// Absolute.
    Folder(PathBuf),
    Memory,
    Remote {
        url: String,
        user: Option<String>,
        password: Secret,
    },
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "surrealkv://{}", path.display()),
            Self::Memory => f.write_str("mem://"),
            Self::Remote { url, .. } => f.write_str(url),
        }
    }
}

impl Endpoint {
    /// Reads where the database is.
    ///
    /// # Errors
    /// [`OpenError::Address`].
    pub(crate) fn parse(config: &StoreConfig) -> Result<Self, OpenError> {
        let text = config.database.trim();
        let wrong = || OpenError::Address(text.into());
        match text.split_once("://") {
            Some(("mem", "")) => Ok(Self::Memory),
            Some(("surrealkv", folder)) if !folder.is_empty() => {
                // The engine cuts the address at the first question mark, and takes a tilde for the home folder.
                if folder.contains('?') || folder.starts_with('~') {
                    return Err(wrong());
                }
                let path = std::path::absolute(folder)
                    .map_err(|error| OpenError::Io { path: folder.into(), what: error.to_string() })?;
                Ok(Self::Folder(path))
            }
            // A password in an address ends up in process lists and logs.
            Some(("ws" | "wss", host)) if !host.is_empty() && !host.contains(['@', '?', '#']) => Ok(Self::Remote {
                url: text.trim_end_matches('/').to_string(),
                user: config.user.clone().filter(|user| !user.is_empty()),
                password: config.password.clone().unwrap_or_default(),
            }),
            _ => Err(wrong()),
        }
    }

    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote { .. })
    }

    /// Connects again, to the same database as before: one that lost its tables is another.
    pub(crate) async fn reconnect(self) -> Result<Sessions, OpenError> {
        let again = async move {
            let (db, other) = self.connect_with_another().await?;
            // Whoever asks meanwhile waits for this.
            let ready = async {
                migrations::verify(&db).await?;
                Sessions::begin(db, other).await
            };
            let slow = |_| OpenError::Database(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()));
            tokio::time::timeout(CONNECT_TIMEOUT, ready).await.map_err(slow)?
        };
        on_our_threads(again).await?.unwrap_or_else(|panic| Err(OpenError::Database(panic.to_string())))
    }

    /// Connects, signs in, and selects the database.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) async fn connect(&self) -> Result<Surreal<Any>, OpenError> {
        self.connect_with_another().await.map(|(db, _)| db)
    }

    /// As [`Endpoint::connect`]; of a server, with another session on the same connection, which nobody has signed in. (A clone of one that
    /// is signed in signs in again: the server takes the time for the password.)
    async fn connect_with_another(&self) -> Result<(Surreal<Any>, Option<Surreal<Any>>), OpenError> {
        match self {
            Self::Folder(path) => {
                // `sync=every`: a commit is answered when it is on the disk (surrealdb-kvs-surrealkv, `cnf.rs`). It is the default,
                // and what acknowledging a write means here does not hang on a default.
                let db = any::connect(format!("surrealkv://{}?sync=every", path.display()))
                    .await
                    .map_err(|error| folder_error(path, &error))?;
                select(&db).await.map_err(|error| folder_error(path, &error))?;
                Ok((db, None))
            }
            Self::Memory => {
                let db = any::connect("mem://").await.map_err(|error| OpenError::Database(error.to_string()))?;
                select(&db).await.map_err(|error| OpenError::Database(error.to_string()))?;
                Ok((db, None))
            }
            Self::Remote { url, user, password } => {
                let unreachable = |why: String| OpenError::Unreachable { address: url.clone(), why };
                let connect = async {
                    let db = any::connect(url.as_str()).await.map_err(|error| unreachable(error.to_string()))?;
                    let other = db.clone();
                    if let Some(user) = user {
                        sign_in(&db, user, password.expose()).await.map_err(|error| match error.is_connection() {
                            true => unreachable(error.to_string()),
                            false => OpenError::WrongCredentials { address: url.clone(), why: error.to_string() },
                        })?;
                    }
                    select(&db).await.map_err(|error| match error.is_not_allowed() {
                        true => OpenError::WrongCredentials { address: url.clone(), why: error.to_string() },
                        false => OpenError::Database(error.to_string()),
                    })?;
                    Ok((db, Some(other)))
                };
                match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
                    Ok(result) => result,
                    Err(_) => Err(unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
                }
            }
        }
    }
}

/// Runs something of the engine on its own threads; the inner error is a panic.
pub(crate) async fn on_our_threads<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> Result<Result<T, tokio::task::JoinError>, OpenError> {
    let runtime = runtime().map_err(|error| OpenError::Database(error.to_string()))?;
    Ok(runtime.spawn(task).await)
}

/// Signs in as a user of the root, the namespace or the database, whichever it is.
async fn sign_in(db: &Surreal<Any>, user: &str, password: &str) -> Result<(), Error> {
    async fn attempt(db: &Surreal<Any>, credentials: impl Credentials<Signin>) -> Result<(), Error> {
        db.signin(credentials).await.map(drop)
    }
    let (username, password) = (user.to_string(), password.to_string());
    let (namespace, database) = (NAMESPACE.to_string(), DATABASE.to_string());
    let first = match attempt(db, Root { username: username.clone(), password: password.clone() }).await {
        Err(error) if !error.is_connection() => error,
        other => return other,
    };
    let as_namespace = Namespace { namespace: namespace.clone(), username: username.clone(), password: password.clone() };
    if attempt(db, as_namespace).await.is_ok() {
        return Ok(());
    }
    if attempt(db, Database { namespace, database, username, password }).await.is_ok() {
        return Ok(());
    }
    Err(first)
}

/// Selects the namespace and the database, and makes them where they are not there yet: strict, so that a table is there
/// only when a migration made it, and a query against a database that lost its tables fails instead of making others.
async fn select(db: &Surreal<Any>) -> Result<(), Error> {
    // A user of the database alone may not define either; then both are there, or selecting them says so.
    let _ = db.query(format!("DEFINE NAMESPACE IF NOT EXISTS {NAMESPACE}")).await?.check();
    let _ = db.query(format!("USE NS {NAMESPACE}; DEFINE DATABASE IF NOT EXISTS {DATABASE} STRICT")).await?.check();
    db.use_ns(NAMESPACE).use_db(DATABASE).await.map(drop)
}

fn folder_error(path: &Path, error: &Error) -> OpenError {
    let what = error.to_string();
    let path = path.to_path_buf();
    if what.contains("already locked by another process") {
        return OpenError::Locked(path);
    }
    let of_the_system = ["Permission denied", "No space left", "Read-only file system", "Too many open files", "Disk quota"];
    if of_the_system.iter().any(|known| what.contains(known)) {
        return OpenError::Io { path, what };
    }
    OpenError::Damaged { path, what }
}

impl Store {
    /// Opens a database and brings it to this program's migration.
    ///
    /// A folder that holds something else, or a damaged database, is found out before anything is written to it. Of a folder with
    /// an older database a copy is kept before it is upgraded.
    ///
    /// # Errors
    /// [`OpenError`], each for the operator.
    pub async fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        Self::open_with(config, false).await
    }

    /// Opens a database that is there and at this program's migration, and changes nothing where it is not.
    ///
    /// # Errors
    /// [`OpenError`], [`OpenError::Older`] among them.
    pub async fn look(config: &StoreConfig) -> Result<Self, OpenError> {
        Self::open_with(config, true).await
    }

    async fn open_with(config: &StoreConfig, as_it_is: bool) -> Result<Self, OpenError> {
        let endpoint = Endpoint::parse(config)?;
        let task = {
            let endpoint = endpoint.clone();
            async move {
                if let Endpoint::Folder(path) = &endpoint {
                    folder::prepare(path)?;
                }
                let (mut db, other) = endpoint.connect_with_another().await?;
                if as_it_is {
                    migrations::require_latest(&db).await?;
                    return Sessions::begin(db, other).await;
                }
                if let Endpoint::Folder(path) = &endpoint {
                    db = upgrade::keep_copy(path, &endpoint, db).await?;
                }
                let upgraded = migrations::run(&db).await?;
                if let (Endpoint::Folder(path), true) = (&endpoint, upgraded) {
                    upgrade::forget_old_copies(path);
                }
                Sessions::begin(db, other).await
            }
        };
        let sessions = match (on_our_threads(task).await?, &endpoint) {
            (Ok(result), _) => result?,
            // The engine may panic on files it did not expect, and that is an answer too.
            (Err(_), Endpoint::Folder(path)) => {
                return Err(OpenError::Damaged { path: path.clone(), what: "the database engine can't read its files".into() });
            }
            (Err(panic), _) => return Err(OpenError::Database(panic.to_string())),
        };
        Ok(Self { connection: Arc::new(Connection::new(endpoint, sessions)), kept: Arc::new(crate::kept::Kept::new()) })
    }

    /// Closes the database for all clones, and, for a folder, waits until another process can open it. Queries that run
    /// come to their end; later ones answer that the store is unavailable.
    ///
    /// Nothing is lost without it: what was acknowledged is on the disk.
    pub async fn close(&self) {
        self.connection.close().await;
        if let Endpoint::Folder(path) = self.connection.endpoint() {
            folder::wait_until_closed(path).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |text: &str| Endpoint::parse(&StoreConfig::new(text)).map(|endpoint| format!("{endpoint:?}"));
        let here = std::env::current_dir().expect("a folder");
        assert_eq!(parse("surrealkv://data/x.db").expect("right"), format!("surrealkv://{}/data/x.db", here.display()));
        assert_eq!(parse("surrealkv:///data/x.db").expect("right"), "surrealkv:///data/x.db");
        assert_eq!(parse("ws://db:8000/").expect("right"), "ws://db:8000");
        for bad in [
            "",
            "surrealkv://",
            "mem",
            "mem://x",
            "http://db:8000",
            "ws://",
            "ws://u:p@db",
            "surrealkv://a?sync=never",
            "rocksdb://x",
        ] {
            assert!(matches!(parse(bad), Err(OpenError::Address(_))), "{bad}");
        }
    }
}
