//! The copy that is kept of an embedded database before it is upgraded.
//!
//! `<folder>.before-NNNN` is the folder as it was before the migration NNNN: to go back, stop the server, put it in place of the
//! folder and start the older program. It is made under another name and renamed when all of it is on the disk, before the first
//! migration runs; whatever cuts that off, the next start finds an older database and begins again. The last [`KEPT`] are kept.
//! A server's database is not copied: whoever runs it backs it up.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use surrealdb::{Surreal, engine::any::Any};

use crate::{
    folder::{self, Lock, beside},
    migrations,
    open::{Endpoint, OpenError},
};

/// How many copies are kept: a step back, and one more for those who notice late.
const KEPT: usize = 2;

/// Keeps others from opening a database that nobody has open.
///
/// # Errors
/// [`OpenError::Locked`], [`OpenError::Io`].
pub(crate) fn hold(path: &Path) -> Result<Lock, OpenError> {
    match folder::lock(path) {
        Ok(Lock::Taken) => Err(OpenError::Locked(path.into())),
        Ok(lock) => Ok(lock),
        Err(error) => Err(OpenError::Io { path: path.into(), what: error.to_string() }),
    }
}

/// Copies an older database before it is upgraded, and gives it back open; one that is up to date, or new, just comes back.
///
/// # Errors
/// [`OpenError::NoCopy`]; nothing was changed.
pub(crate) async fn keep_copy(path: &Path, endpoint: &Endpoint, db: Surreal<Any>) -> Result<Surreal<Any>, OpenError> {
    let Some(next) = migrations::next_of(&db).await? else { return Ok(db) };
    // The engine has files of its own to put in order while it has them open.
    drop(db);
    folder::wait_until_closed(path).await;
    let copy = beside(path, &format!(".before-{next:04}"));
    let (from, to) = (path.to_path_buf(), copy.clone());
    let made = tokio::task::spawn_blocking(move || {
        let _lock = hold(&from)?;
        make(&from, &to).map_err(|(at, error)| OpenError::NoCopy {
            path: from.clone(),
            copy: at,
            what: error.to_string(),
            bytes: size(&from).unwrap_or(0),
        })
    });
    made.await.map_err(|panic| OpenError::Database(panic.to_string()))??;
    tracing::info!(copy = %copy.display(), "this database is of an older Gatehouse: a copy was kept, now it is upgraded");
    endpoint.connect().await
}

/// Removes all but the newest copies. To be called when the upgrade is through.
pub(crate) fn forget_old_copies(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
    let prefix = format!("{}.before-", name.to_string_lossy());
    let Ok(entries) = fs::read_dir(parent) else { return };
    let mut copies: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number =
                name.strip_prefix(&prefix).filter(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()));
            Some((number?.parse().ok()?, entry.path()))
        })
        .collect();
    copies.sort();
    let old = copies.len().saturating_sub(KEPT);
    for (_, copy) in copies.drain(..old) {
        match folder::remove_ours(&copy) {
            Ok(()) => tracing::info!(copy = %copy.display(), "removed the copy from before an older upgrade"),
            Err(error) => {
                tracing::warn!(copy = %copy.display(), %error, "the copy from before an older upgrade can't be removed")
            }
        }
    }
}

/// Makes the copy, whole or not at all; the error says at which path.
fn make(from: &Path, to: &Path) -> Result<(), (PathBuf, io::Error)> {
    let part = beside(to, ".part");
    let at_part = |error| (part.clone(), error);
    folder::remove_ours(&part).map_err(at_part)?;
    if let Err(error) = copy(from, &part) {
        let _ = folder::remove_ours(&part);
        return Err(at_part(error));
    }
    // One of the same name is of an upgrade that did not get further than that, or was undone: this one is newer.
    folder::remove_ours(to)
        .and_then(|()| fs::rename(&part, to))
        .and_then(|()| folder::sync_parent(to))
        .map_err(|error| (to.into(), error))
}

/// Copies a folder and what is in it to the disk. The lock is the process's, not the database's.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    folder::create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() && entry.file_name() != folder::LOCK {
            fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
}

/// How many bytes there are to copy.
fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
