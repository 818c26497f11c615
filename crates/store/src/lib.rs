//! SurrealDB behind the platform's ports.
//!
//! [`Store::open`] opens a database (embedded, in memory, or a SurrealDB server over WebSocket), brings it to this program's
//! migration, and gives a [`Store`], which implements the stores among the [platform's ports](gatehouse_platform::ports).
//!
//! # How it keeps its promises
//!
//! Every operation is **one statement**: a block that reads, decides and writes, and so one transaction. Transactions see
//! a snapshot and are checked when they commit: two that wrote the same record, or one that wrote what the other read
//! with `FOR UPDATE`, can't both commit. What was only searched for (a `WHERE` over a table) is not checked. So wherever a
//! decision rests on something *not* being there, both sides write or lock one record that they share:
//!
//! | What must not happen | Where the two meet |
//! |---|---|
//! | two defaults in a company | `proxy_default:<company>`, one record |
//! | a default that is deleted meanwhile | the setting: making it the default writes its version |
//! | a use of a setting that is deleted meanwhile | the setting's `uses` |
//! | a use of the default that is taken away meanwhile | the `uses` of `proxy_default` |
//! | two first companies | `installation:main`, `companies` |
//! | a secret sealed under a key that is replaced meanwhile | `installation:main`, `key_id`, read with `FOR UPDATE` |
//! | more integrations than a company may have | the company's `integrations` |
//! | two entries of an audit log with one number | the company's `audit_head` |
//! | a company without an owner; more invitations than it may have | the company's `people` |
//! | a one-time password, or a recovery code, that is taken twice | the person, of whom what was read is compared |
//! | two who work on one analysis | the analysis: taking it and writing results both write its lease |
//! | two who do one turn of scheduled work | the `turn` of that work (and company): taking, renewing and ending it all write it |
//! | two settings, integrations, people (also of the gateway) or companies of one name | the unique index's entry |
//! | a policy of the gateway, or people, that were judged beside something that has changed | the company's `gateway`, `revision` |
//! | more running tests than places | one record per place |
//! | more sign-in attempts than the limit | one record per account and one per address |
//!
//! The loser of a conflict starts again from a new snapshot ([`connection`]); a use case never sees it.
//!
//! What is about one company reaches no other, also where a statement forgets to say which: the tables' permissions see to it ([`sessions`]).
//!
//! What is asked for with every page is kept while nothing it came from is written ([`kept`]); only of an embedded database,
//! whose one writer is this process.
//!
//! **Deliberately absent**: any decision about who may do what, and any state that a second process would miss.

mod backup;
mod connection;
mod cursor;
mod folder;
mod kept;
mod migrations;
mod open;
mod ports;
mod queries;
mod row;
mod runtime;
mod sessions;
mod upgrade;
mod wal;

pub use backup::{BackupError, BackupFile, BackupPart, BackupStream, BackupSummary, RestoreStep, Restored, backup, restore};
pub use open::{OpenError, StoreConfig};
pub use queries::company::tables_of_a_company;

use std::sync::Arc;

use connection::Connection;
use kept::Kept;

/// An open database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    connection: Arc<Connection>,
    kept: Arc<Kept>,
}

/// For tests that look behind the ports, or break something on purpose.
#[doc(hidden)]
impl Store {
    /// Runs any statement; gives its answer as SurrealQL.
    ///
    /// # Errors
    /// What the database says.
    pub async fn raw(&self, query: &str) -> gatehouse_platform::ports::StoreResult<String> {
        use surrealdb::types::ToSql as _;
        self.connection.of_all().write(query, surrealdb::types::Variables::new()).await.map(|value| value.to_sql())
    }

    /// Runs any statement as those about one company are run; gives its answer as SurrealQL.
    ///
    /// # Errors
    /// What the database says.
    pub async fn raw_of(
        &self, company: gatehouse_platform::CompanyId, query: &str,
    ) -> gatehouse_platform::ports::StoreResult<String> {
        use surrealdb::types::ToSql as _;
        self.connection.of(company).write(query, surrealdb::types::Variables::new()).await.map(|value| value.to_sql())
    }

    /// The tables there are.
    ///
    /// # Errors
    /// What the database says.
    pub async fn tables(&self) -> Result<Vec<String>, OpenError> {
        let db = self.connection.live().await.map_err(OpenError::Database)?;
        migrations::tables(&db.all).await
    }
}
