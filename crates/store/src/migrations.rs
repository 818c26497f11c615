//! Numbered migrations: applied in order, each once, each in one transaction with the note that it was.

use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use surrealdb::{
    Error, Surreal,
    engine::any::Any,
    method::Transaction,
    types::{AlreadyExistsError, QueryError, Value},
};

use crate::{connection::vars, open::OpenError, row::Row};

struct Migration {
    number: u32,
    name: &'static str,
    text: &'static str,
}

/// All there are. A migration that was released is never changed again: what it forgot is the next one's.
const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "foundation", text: include_str!("../migrations/0001_foundation.surql") },
    Migration { number: 2, name: "integrations", text: include_str!("../migrations/0002_integrations.surql") },
    Migration { number: 3, name: "checks", text: include_str!("../migrations/0003_checks.surql") },
    Migration { number: 4, name: "fallback", text: include_str!("../migrations/0004_fallback.surql") },
    Migration { number: 5, name: "gateway", text: include_str!("../migrations/0005_gateway.surql") },
    Migration { number: 6, name: "gateway people", text: include_str!("../migrations/0006_gateway_people.surql") },
    Migration { number: 7, name: "access", text: include_str!("../migrations/0007_access.surql") },
    Migration { number: 8, name: "turns", text: include_str!("../migrations/0008_turns.surql") },
    Migration { number: 9, name: "permissions", text: include_str!("../migrations/0009_permissions.surql") },
];

/// How long other programs that start at the same time may keep this one from its turn.
const PATIENCE: Duration = Duration::from_secs(60);

/// The table of the notes. The only one that no migration makes.
const TABLE: &str = "
DEFINE TABLE IF NOT EXISTS migration TYPE NORMAL SCHEMAFULL;
DEFINE FIELD IF NOT EXISTS number ON migration TYPE int READONLY ASSERT $value >= 1;
DEFINE FIELD IF NOT EXISTS name ON migration TYPE string READONLY;
DEFINE FIELD IF NOT EXISTS checksum ON migration TYPE string READONLY;
DEFINE FIELD IF NOT EXISTS at ON migration TYPE datetime READONLY DEFAULT time::now();
";

/// Is there while a restore into a server's database is not through (`crate::backup`).
pub(crate) const UNFINISHED: &str = "restore_unfinished";

/// Something that answers questions: a connection, or a snapshot.
pub(crate) trait Ask {
    fn ask(&self, query: &'static str) -> impl Future<Output = Result<Value, Error>> + Send;
}

impl Ask for Surreal<Any> {
    async fn ask(&self, query: &'static str) -> Result<Value, Error> {
        self.query(query).await?.take(0)
    }
}

impl Ask for Transaction<Any> {
    async fn ask(&self, query: &'static str) -> Result<Value, Error> {
        self.query(query).await?.take(0)
    }
}

/// The last migration there is.
pub(crate) fn latest() -> u32 {
    MIGRATIONS.last().map_or(0, |last| last.number)
}

/// The migration that an older database would get next; `None` for one that is up to date, or new.
pub(crate) async fn next_of(db: &Surreal<Any>) -> Result<Option<u32>, OpenError> {
    let applied = applied(db).await?;
    check(&applied)?;
    if applied.is_empty() {
        return Ok(None);
    }
    Ok(MIGRATIONS.iter().map(|migration| migration.number).find(|number| !applied.iter().any(|(done, _)| done == number)))
}

/// Makes the tables of an older database in an empty one, without the notes that they are there: those come last
/// ([`finish_restore`]).
pub(crate) async fn lay_out(db: &Surreal<Any>, up_to: u32) -> Result<(), OpenError> {
    for Migration { number, name, text } in MIGRATIONS.iter().filter(|migration| migration.number <= up_to) {
        let done = db.query(format!("BEGIN;\n{text}\nCOMMIT;")).await.and_then(|answers| answers.check());
        done.map_err(|error| OpenError::MigrationFailed { number: *number, name: (*name).into(), why: error.to_string() })?;
    }
    Ok(())
}

/// Writes the notes of a restored database: with them it is one.
pub(crate) async fn finish_restore(db: &Surreal<Any>, notes: Value) -> Result<(), OpenError> {
    let query =
        format!("BEGIN;\n{TABLE}\nINSERT INTO migration $notes RETURN NONE;\nREMOVE TABLE IF EXISTS {UNFINISHED};\nCOMMIT;");
    let done = db.query(query).bind(vars! { notes: notes }).await.and_then(|answers| answers.check());
    done.map(drop).map_err(|error| OpenError::Database(error.to_string()))
}

/// Brings a database to the last migration of this program, and says whether it was at another one.
pub(crate) async fn run(db: &Surreal<Any>) -> Result<bool, OpenError> {
    let begin = Instant::now();
    let mut changed = false;
    loop {
        let applied = applied(db).await?;
        check(&applied)?;
        let Some(next) = MIGRATIONS.iter().find(|migration| !applied.iter().any(|(number, _)| *number == migration.number))
        else {
            return Ok(changed);
        };
        changed = true;
        match apply(db, next).await {
            Ok(()) => tracing::info!(number = next.number, name = next.name, "migration applied"),
            // Another program applies it at the same time; look again.
            Err(error) if is_race(&error) && begin.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(rand::random_range(10..200))).await;
            }
            Err(error) => {
                return Err(OpenError::MigrationFailed { number: next.number, name: next.name.into(), why: error.to_string() });
            }
        }
    }
}

/// Makes sure that a database is at the last migration of this program, in words for whoever only looks.
///
/// # Errors
/// [`OpenError::Older`], and those of [`check`].
pub(crate) async fn require_latest(db: &Surreal<Any>) -> Result<(), OpenError> {
    let applied = applied(db).await?;
    check(&applied)?;
    let (found, known) = (applied.len(), MIGRATIONS.len());
    if found < known {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        return Err(OpenError::Older { found: number(found), known: number(known) });
    }
    Ok(())
}

/// Makes sure that a database is at the last migration of this program.
pub(crate) async fn verify(db: &Surreal<Any>) -> Result<(), OpenError> {
    let applied = applied(db).await?;
    check(&applied)?;
    if applied.len() < MIGRATIONS.len() {
        return Err(OpenError::Database("it is not the one that was opened: its migrations are gone".into()));
    }
    Ok(())
}

/// The tables there are, in the order of their names.
pub(crate) async fn tables(db: &impl Ask) -> Result<Vec<String>, OpenError> {
    let failed = |error: String| OpenError::Database(error);
    let info = db.ask("INFO FOR DB").await.map_err(|error| failed(error.to_string()))?;
    let tables: Value = Row::new(info).and_then(|mut info| info.take("tables")).map_err(|error| failed(error.to_string()))?;
    Ok(match tables {
        Value::Object(tables) => tables.into_inner().into_keys().collect(),
        _ => Vec::new(),
    })
}

/// Number and checksum of what was applied.
pub(crate) async fn applied(db: &impl Ask) -> Result<Vec<(u32, String)>, OpenError> {
    let failed = |error: String| OpenError::Database(error);
    let tables = tables(db).await?;
    if tables.iter().any(|table| table == UNFINISHED) {
        return Err(OpenError::RestoreUnfinished);
    }
    if !tables.iter().any(|table| table == "migration") {
        if let Some(other) = tables.first() {
            return Err(failed(format!("it holds other tables ({other}), but none of Gatehouse's. Nothing was changed")));
        }
        return Ok(Vec::new());
    }
    let rows =
        db.ask("SELECT number, checksum FROM migration ORDER BY number").await.map_err(|error| failed(error.to_string()))?;
    Row::list(rows)
        .and_then(|rows| rows.into_iter().map(|mut row| Ok((row.take("number")?, row.take("checksum")?))).collect())
        .map_err(|error| failed(error.to_string()))
}

/// Makes sure that this program knows all that was applied.
///
/// # Errors
/// [`OpenError::Newer`], [`OpenError::MigrationChanged`].
pub(crate) fn check(applied: &[(u32, String)]) -> Result<(), OpenError> {
    let known = latest();
    if let Some(found) = applied.iter().map(|(number, _)| *number).max().filter(|found| *found > known) {
        return Err(OpenError::Newer { found, known });
    }
    for migration in MIGRATIONS {
        if applied.iter().any(|(number, sum)| *number == migration.number && *sum != checksum(migration.text)) {
            return Err(OpenError::MigrationChanged { number: migration.number, name: migration.name.into() });
        }
    }
    Ok(())
}

async fn apply(db: &Surreal<Any>, migration: &Migration) -> Result<(), Error> {
    let Migration { number, name, text } = migration;
    // CREATE fails where the note is there already: only one of two that try at once gets through.
    let note = format!("CREATE migration:{number} SET number = $number, name = $name, checksum = $checksum");
    let query = format!("BEGIN;\n{TABLE}\n{note};\n{text}\nCOMMIT;");
    let vars = vars! { number: i64::from(*number), name: *name, checksum: checksum(text) };
    let errors = db.query(query).bind(vars).await?.take_errors();
    // Of a transaction that failed, every statement has an error; all but one say no more than that.
    let told = |error: &Error| !matches!(error.query_details(), Some(QueryError::NotExecuted | QueryError::Cancelled));
    let mut errors: Vec<_> = errors.into_iter().collect();
    errors.sort_by_key(|(statement, error)| (!is_race(error), !told(error), *statement));
    errors.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

fn is_race(error: &Error) -> bool {
    matches!(error.query_details(), Some(QueryError::TransactionConflict))
        || matches!(error.already_exists_details(), Some(AlreadyExistsError::Record { .. }))
}

fn checksum(text: &str) -> String {
    // A checkout with other line ends is the same migration.
    Sha256::digest(text.replace("\r\n", "\n").as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
