//! The data folder, before the engine sees it.
//!
//! The engine (surrealkv 0.21) creates what is missing and repairs what it can't read: it starts a new database in a folder
//! full of other things, throws away tables that no manifest names, and cuts its log at the first record that is damaged.
//! So what it would destroy is refused here, and what it needs repaired is repaired here ([`crate::wal`]).
//!
//! The folder holds nothing but the engine's own: no socket, no key, no backup.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    open::OpenError,
    wal::{self, Log},
};

const MANIFEST: &str = "manifest/00000000000000000000.manifest";

/// What the engine makes in its folder. `lost+found` is there when the folder is a mounted file system.
const FOLDERS: &[&str] = &["wal", "sstables", "manifest", "vlog", "versioned_index", "lost+found"];
pub(crate) const LOCK: &str = "LOCK";

/// Whether a process has the database open.
pub(crate) fn is_locked(path: &Path) -> bool {
    matches!(lock(path), Ok(Lock::Taken))
}

/// Who has a database.
pub(crate) enum Lock {
    /// There is no lock file: nobody has it.
    None,
    /// Ours until it is dropped.
    Held(#[expect(dead_code, reason = "held, not read")] File),
    /// Another process.
    Taken,
}

/// A path beside another: the same name with something behind it.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}

/// Waits until nobody has a database open: the engine lets go of it in the background.
pub(crate) async fn wait_until_closed(path: &Path) {
    let begin = Instant::now();
    while is_locked(path) && begin.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether there is a folder with something in it.
///
/// # Errors
/// Those of the system.
pub(crate) fn holds_something(path: &Path) -> io::Result<bool> {
    match fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a database's folder that is not needed any more: one that holds nothing but what the engine makes.
///
/// # Errors
/// Those of the system, and when there is something else in it.
pub(crate) fn remove_ours(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(io::Error::other("it is in the way, and not a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != LOCK && !FOLDERS.contains(&name.as_str()) {
            return Err(io::Error::other(format!("it is in the way, and holds something else than a database ({name})")));
        }
    }
    fs::remove_dir_all(path)
}

/// Makes the name of a file or folder last.
///
/// # Errors
/// Those of the system.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Takes the lock without creating or changing its file, in which the engine notes its process.
///
/// # Errors
/// Those of the system.
pub(crate) fn lock(path: &Path) -> io::Result<Lock> {
    let file = match File::open(path.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::None),
        Err(error) => return Err(error),
    };
    match fs2::FileExt::try_lock_exclusive(&file) {
        Ok(()) => Ok(Lock::Held(file)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Lock::Taken),
        Err(error) => Err(error),
    }
}

/// Makes sure that the engine can have this folder: it is new, empty, or a sound database that nobody has open.
///
/// # Errors
/// [`OpenError::Foreign`], [`OpenError::Damaged`], [`OpenError::Locked`], [`OpenError::Io`].
pub(crate) fn prepare(path: &Path) -> Result<(), OpenError> {
    let io = |error: io::Error| OpenError::Io { path: path.into(), what: error.to_string() };
    let foreign = |what: String| OpenError::Foreign { path: path.into(), what };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(foreign("it is a file, not a folder".into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Killed before it gave the restored database its name, a restore leaves nothing here. An empty database would look as
            // if all were well.
            let restoring = beside(path, ".restoring");
            if restoring.exists() {
                return Err(OpenError::RestoreCutOff { path: path.into(), left: restoring });
            }
            return create(path).map_err(io);
        }
        Err(error) => return Err(io(error)),
    }
    let mut others = Vec::new();
    for entry in fs::read_dir(path).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.file_type().map_err(io)?.is_dir();
        if !(is_folder && FOLDERS.contains(&name.as_str()) || !is_folder && name == LOCK) {
            others.push(name);
        }
    }
    if !others.is_empty() {
        others.sort();
        let more = if others.len() > 3 { format!(" and {} more", others.len() - 3) } else { String::new() };
        others.truncate(3);
        return Err(foreign(format!("the folder holds other things ({}{more})", others.join(", "))));
    }
    match lock(path).map_err(io)? {
        Lock::Taken => Err(OpenError::Locked(path.into())),
        // Held while the log is looked at and its torn end is cut off.
        Lock::None | Lock::Held(_) => examine(path),
    }
}

/// Makes a folder, and those above it, for this user alone: it will hold people's password hashes. The engine keeps what
/// happens inside on the disk, not the folder's own name.
///
/// # Errors
/// Those of the system.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    while let Some(folder) = missing.pop() {
        if let Some(parent) = folder.parent() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

fn examine(path: &Path) -> Result<(), OpenError> {
    let io = |error: io::Error| OpenError::Io { path: path.into(), what: error.to_string() };
    let damaged = |what: String| OpenError::Damaged { path: path.into(), what };
    let segments = numbered(&path.join("wal"), "wal").map_err(|error| names_error(path, "wal", error))?;
    let tables = numbered(&path.join("sstables"), "sst").map_err(|error| names_error(path, "sstables", error))?;
    let first_needed = match File::open(path.join(MANIFEST)) {
        Ok(file) => log_number(file).map_err(|why| damaged(format!("{MANIFEST} {why}")))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Without its list of tables the engine would start anew and delete them all. Only its empty folders are there
            // when the very first start was cut off.
            let written = segments.iter().any(|number| fs::metadata(segment(path, *number)).is_ok_and(|file| file.len() > 0));
            if written || !tables.is_empty() {
                return Err(damaged(format!("{MANIFEST} is missing")));
            }
            return Ok(());
        }
        Err(error) => return Err(io(error)),
    };
    let needed: Vec<u64> = segments.into_iter().filter(|number| *number >= first_needed).collect();
    for pair in needed.windows(2) {
        if pair[1] != pair[0] + 1 {
            return Err(damaged(format!("wal/{:020}.wal is missing", pair[0] + 1)));
        }
    }
    for (position, number) in needed.iter().enumerate() {
        let file = segment(path, *number);
        let name = format!("wal/{number:020}.wal");
        match wal::examine(File::open(&file).map_err(io)?).map_err(io)? {
            Log::Sound => {}
            // What was being written when the process died. Nobody was told that it was stored.
            Log::Torn { keep } if position + 1 == needed.len() => {
                tracing::warn!(file = name, keep, "the log ends within a record that was never acknowledged; cutting it off");
                let file = fs::OpenOptions::new().write(true).open(&file).map_err(io)?;
                file.set_len(keep).and_then(|()| file.sync_all()).map_err(io)?;
            }
            Log::Torn { keep } => {
                return Err(damaged(format!("{name} ends within the record at byte {keep}")));
            }
            Log::Broken { at, why } => {
                return Err(damaged(format!("{name} can't be read from byte {at} on: {why}")));
            }
        }
    }
    Ok(())
}

fn names_error(path: &Path, folder: &str, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::InvalidData => {
            OpenError::Foreign { path: path.into(), what: format!("the folder {folder} holds {error}") }
        }
        _ => OpenError::Io { path: path.join(folder), what: error.to_string() },
    }
}

fn segment(path: &Path, number: u64) -> PathBuf {
    path.join("wal").join(format!("{number:020}.wal"))
}

/// The numbers of the files `<20 digits>.<extension>` in a folder, ascending. Any other file is an error that names it.
fn numbered(folder: &Path, extension: &str) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_suffix(extension).and_then(|name| name.strip_suffix('.')).filter(|digits| digits.len() == 20);
        match number.and_then(|digits| digits.parse().ok()) {
            Some(number) => numbers.push(number),
            // What the engine had not renamed yet when the process died.
            None if name.contains("tmp") || name.ends_with(".repair") => {}
            None => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a file of another kind ({name})")));
            }
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads from the manifest which segment of the log is the first that is needed (surrealkv 0.21, `levels/mod.rs`: version,
/// next table, log number, last sequence).
fn log_number(mut file: File) -> Result<u64, String> {
    let mut header = [0; 26];
    file.read_exact(&mut header).map_err(|_| "is cut off".to_string())?;
    if header[..2] != [0, 1] {
        return Err("is not a manifest".into());
    }
    let mut number = [0; 8];
    number.copy_from_slice(&header[10..18]);
    Ok(u64::from_be_bytes(number))
}
