//! `gatehouse backup` and `gatehouse restore`.
//!
//! Where a running server has the database, the backup comes from it over the socket of the commands, piece by piece; the file is
//! written by the command in either case, so it belongs to whoever ran it. It has another name (`….part`) until it is whole, on the disk
//! and read again.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::State, routing::post};
use bytes::{Buf as _, Bytes, BytesMut};
use fs2::FileExt as _;
use futures::{StreamExt as _, stream, stream::BoxStream};
use gatehouse_platform::KeyRing;
use gatehouse_store::{
    BackupError, BackupFile, BackupPart, BackupSummary, OpenError, RestoreStep, Store, backup as backup_of,
    restore as restore_from,
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use crate::{admin, config::Settings, serve::end_signal};

/// Where the socket gives a backup.
const PATH: &str = "/backup";

/// What travels over the socket: a letter, a length (four bytes, big-endian), and so many bytes.
mod letter {
    /// Bytes of the file.
    pub const BYTES: u8 = b'B';
    /// So many records are through (eight bytes, big-endian).
    pub const PROGRESS: u8 = b'P';
    /// The end: what is in it, in JSON.
    pub const DONE: u8 = b'D';
    /// The end: why there is none.
    pub const FAILED: u8 = b'F';
}

/// A backup as it comes, from wherever.
type Parts = BoxStream<'static, Result<BackupPart, String>>;

/// What a running server answers on its socket.
pub fn routes(store: Store) -> Router {
    Router::new().route(PATH, post(send)).with_state(store)
}

async fn send(State(store): State<Store>) -> Body {
    tracing::info!("a backup is taken over the command socket");
    let parts = stream::unfold(store.backup(), |mut parts| async move {
        let frame = match parts.recv().await? {
            Ok(BackupPart::Bytes(bytes)) => frame(letter::BYTES, &bytes),
            Ok(BackupPart::Progress(records)) => frame(letter::PROGRESS, &records.to_be_bytes()),
            Ok(BackupPart::Done(summary)) => frame(letter::DONE, &serde_json::to_vec(&summary).unwrap_or_default()),
            Err(error) => {
                tracing::warn!(%error, "the backup over the command socket failed");
                frame(letter::FAILED, error.to_string().as_bytes())
            }
        };
        Some((Ok::<_, io::Error>(frame), parts))
    });
    Body::from_stream(parts)
}

fn frame(letter: u8, content: &[u8]) -> Bytes {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [&[letter][..], &length.to_be_bytes(), content].concat().into()
}

/// Asks a running server for a backup.
async fn from_server(socket: &Path) -> Result<Parts, String> {
    let mut sender = admin::connect(socket).await?;
    let request = http::Request::post(PATH).header(http::header::HOST, "localhost").body(Full::new(Bytes::new()));
    let request = request.map_err(|e| e.to_string())?;
    let answer = sender.send_request(request).await.map_err(|e| format!("the running server does not answer: {e}"))?;
    if !answer.status().is_success() {
        return Err(format!(
            "the server that runs is another Gatehouse than this program and gives no backup ({}). Use the program that is running, or stop it first",
            answer.status()
        ));
    }
    Ok(stream::unfold((answer.into_body(), BytesMut::new()), |(mut body, mut buffer)| async move {
        Some((next_part(&mut body, &mut buffer).await?, (body, buffer)))
    })
    .boxed())
}

/// Reads what comes next; `None` when it just ends.
async fn next_part(body: &mut Incoming, buffer: &mut BytesMut) -> Option<Result<BackupPart, String>> {
    loop {
        if let Some((&[letter, a, b, c, d], rest)) = buffer.split_first_chunk::<5>() {
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            if rest.len() >= length {
                buffer.advance(5);
                let content = buffer.split_to(length).freeze();
                let unknown = || Err("the running server said something that this program does not know".to_string());
                return Some(match letter {
                    letter::BYTES => Ok(BackupPart::Bytes(content.to_vec())),
                    letter::PROGRESS => {
                        content.as_ref().try_into().map(u64::from_be_bytes).map(BackupPart::Progress).or_else(|_| unknown())
                    }
                    letter::DONE => serde_json::from_slice(&content).map(BackupPart::Done).or_else(|_| unknown()),
                    letter::FAILED => Err(String::from_utf8_lossy(&content).into_owned()),
                    _ => unknown(),
                });
            }
        }
        match body.frame().await? {
            Ok(frame) => buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
            Err(error) => return Some(Err(format!("the running server broke off: {error}"))),
        }
    }
}

/// The file while it is made, and gone with the value unless it was finished.
struct Part {
    file: File,
    part: PathBuf,
    path: PathBuf,
    force: bool,
}

impl Part {
    fn create(path: &Path, force: bool) -> Result<Self, String> {
        if path.is_dir() {
            return Err(format!("{} is a folder. Give the name of the file that is to be made", path.display()));
        }
        if !force && path.symlink_metadata().is_ok() {
            return Err(format!("{} is there already. Give another name, or say --force to replace it", path.display()));
        }
        let Some(name) = path.file_name() else { return Err(format!("{} does not name a file", path.display())) };
        let mut part = name.to_os_string();
        part.push(".part");
        let part = path.with_file_name(part);
        let problem = |error: io::Error| format!("{}: {error}", part.display());
        // One that a killed command left, unless that command still lives.
        if let Ok(left) = part.symlink_metadata() {
            if left.is_file() && File::open(&part).map_err(problem)?.try_lock_exclusive().is_err() {
                return Err(format!("another backup to {} is being made", path.display()));
            }
            fs::remove_file(&part).map_err(problem)?;
        }
        let file = OpenOptions::new().write(true).read(true).create_new(true).mode(0o600).open(&part).map_err(problem)?;
        file.try_lock_exclusive().map_err(problem)?;
        Ok(Self { file, part, path: path.into(), force })
    }

    /// Gives it its name, when it is whole and on the disk.
    fn finish(self) -> Result<u64, String> {
        let problem = |error: io::Error| format!("{}: {error}", self.path.display());
        self.file.sync_all().map_err(problem)?;
        let length = self.file.metadata().map_err(problem)?.len();
        let again = self.file.try_clone().map_err(problem)?;
        BackupFile::open(again).map_err(|error| format!("{}: read again, {error}", self.path.display()))?;
        let named = if self.force {
            fs::rename(&self.part, &self.path)
        } else {
            // Fails where somebody has made one meanwhile. Not every file system has it.
            match fs::hard_link(&self.part, &self.path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists && self.path.symlink_metadata().is_err() => {
                    fs::rename(&self.part, &self.path)
                }
                other => other,
            }
        };
        named.map_err(problem)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(problem)?;
        Ok(length)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After it got its name there is nothing here, or a second name of it.
        let _ = fs::remove_file(&self.part);
    }
}

/// Tells on standard error how far it is, when it takes longer than a second.
struct Progress {
    begin: Instant,
    told: Mutex<Option<Instant>>,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { begin: Instant::now(), told: Mutex::new(None), terminal: io::stderr().is_terminal() }
    }

    fn tell(&self, words: impl FnOnce() -> String) {
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        let Ok(mut told) = self.told.lock() else { return };
        if self.begin.elapsed() < Duration::from_secs(1) || told.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        *told = Some(Instant::now());
        if self.terminal {
            eprint!("\r\x1b[K{}", words());
        } else {
            eprintln!("{}", words());
        }
    }

    /// Makes room for what is said last.
    fn end(&self) {
        if self.terminal && self.told.lock().is_ok_and(|told| told.is_some()) {
            eprint!("\r\x1b[K");
        }
    }
}

fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "told to one decimal")]
    let bytes = bytes as f64;
    format!("{:.1} MB", bytes / 1e6)
}

/// `gatehouse backup FILE`.
///
/// # Errors
/// In words for the operator; there is nothing at `file` then that was not there before.
pub async fn backup(settings: Settings, file: &Path, force: bool) -> Result<(), String> {
    if file.as_os_str() == "-" {
        if io::stdout().is_terminal() {
            return Err("a backup is not for a terminal: redirect standard output to a file or a program".into());
        }
        let summary = interruptible(receive(&settings, &mut io::stdout().lock())).await?;
        io::stdout().flush().map_err(|error| format!("standard output: {error}"))?;
        eprintln!("{}", said(&settings, &summary, "standard output", None));
        return Ok(());
    }
    let part = Part::create(file, force)?;
    let mut out = &part.file;
    let summary = interruptible(receive(&settings, &mut out)).await?;
    let length = tokio::task::spawn_blocking(move || part.finish()).await.map_err(|e| e.to_string())??;
    println!("{}", said(&settings, &summary, &file.display().to_string(), Some(length)));
    Ok(())
}

/// Runs it until it is through, or somebody wants it to end.
async fn interruptible<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::select! {
        result = work => result,
        () = end_signal() => Err("it was interrupted; there is no backup. Run it again".into()),
    }
}

fn said(settings: &Settings, summary: &BackupSummary, place: &str, length: Option<u64>) -> String {
    let length = length.map(|length| format!(", {}", megabytes(length))).unwrap_or_default();
    let key = match &summary.key {
        Some(key) => format!(
            " The key is not in it: what is sealed opens with {} (key {key}) alone. Keep a copy of that file, in another place than the backup.",
            settings.secret_key_file.display()
        ),
        None => String::new(),
    };
    format!("Backed up {} records to {place} (migration {}{length}).{key}", summary.records, summary.migration)
}

/// Writes what comes.
async fn receive(settings: &Settings, out: &mut impl io::Write) -> Result<BackupSummary, String> {
    let progress = Progress::new();
    let mut own = backup_of(&settings.store());
    let mut parts: Parts = match (own.recv().await, settings.socket()) {
        (Some(Err(BackupError::Open(OpenError::Locked(_)))), Some(socket)) => from_server(&socket).await?,
        (first, _) => {
            let first = stream::iter(first);
            let rest = stream::unfold(own, |mut parts| async move { Some((parts.recv().await?, parts)) });
            first.chain(rest).map(|part| part.map_err(|error| error.to_string())).boxed()
        }
    };
    let (mut records, mut bytes) = (0, 0);
    while let Some(part) = parts.next().await {
        match part? {
            BackupPart::Bytes(piece) => {
                out.write_all(&piece).map_err(|error| format!("the backup can't be written: {error}"))?;
                bytes += piece.len() as u64;
            }
            BackupPart::Progress(number) => records = number,
            BackupPart::Done(summary) => {
                progress.end();
                return Ok(summary);
            }
        }
        progress.tell(|| format!("Backing up: {records} records, {}", megabytes(bytes)));
    }
    Err("the backup broke off: the server has ended. Run it again".into())
}

/// `gatehouse restore FILE`.
///
/// # Errors
/// In words for the operator; the database is then what it was before.
pub async fn restore(settings: Settings, file: &Path, replace: bool) -> Result<(), String> {
    let about_file = |error: BackupError| format!("{}: {error}", file.display());
    let opened = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let backup = tokio::task::spawn_blocking(move || BackupFile::open(opened)).await.map_err(|e| e.to_string())?;
    let backup = backup.map_err(about_file)?;
    let (records, made_at, program) = (backup.records(), backup.made_at(), backup.program().to_string());
    let key = about_key(&settings, &backup);
    let progress = Progress::new();
    let place = settings.store();
    let told = restore_from(&place, backup, replace, move |step| match step {
        RestoreStep::Written(done) => progress.tell(|| format!("Restoring: {done} of {records} records")),
        RestoreStep::Compared(done) => progress.tell(|| format!("Comparing: {done} of {records} records")),
        RestoreStep::Upgrading => progress.end(),
    });
    let restored = told.await.map_err(|error| match error {
        BackupError::Open(error @ OpenError::Locked(_)) => format!("{error}. Stop it first. Nothing was changed"),
        error @ BackupError::Open(OpenError::Newer { .. } | OpenError::MigrationChanged { .. }) => {
            format!("{}: {error}", file.display())
        }
        error => error.to_string(),
    })?;
    println!(
        "Restored {records} records into {}, as they were on {} UTC (Gatehouse {program}). People have to sign in again.",
        settings.database,
        made_at.format("%Y-%m-%d %H:%M:%S")
    );
    if restored.from != restored.to {
        println!("The database was brought from migration {} to {}.", restored.from, restored.to);
    }
    if let Some(kept) = restored.kept {
        println!("What was there before is kept in {}.", kept.display());
    }
    match key {
        Ok(Some(words)) => println!("{words}"),
        Ok(None) => {}
        Err(words) => eprintln!("WARNING: {words}"),
    }
    Ok(())
}

/// Says whether the key that the stored secrets need is where the settings say; the error is a warning.
fn about_key(settings: &Settings, backup: &BackupFile) -> Result<Option<String>, String> {
    let path = settings.secret_key_file.as_path();
    let Some(needed) = backup.key() else { return Ok(None) };
    let consequence = "Put it there before the server is started: without it the server does not start, and the stored passwords and API keys can't be read";
    if let Some(given) = &settings.secret_key {
        let is_it = KeyRing::given(given).is_ok_and(|ring| ring.select(needed));
        return match is_it {
            true => Ok(Some("The key that SECRET_KEY gives is the one that it needs.".into())),
            false => Err(format!(
                "the stored secrets need the key of the system that was backed up (key {needed}); SECRET_KEY gives another."
            )),
        };
    }
    let ring = KeyRing::read(path).map_err(|error| {
        format!(
            "the stored secrets need the key file of the system that was backed up (key {needed}), and {error}. {consequence}."
        )
    });
    let ring = match ring {
        Ok(ring) => ring,
        Err(_) if !path.exists() => {
            return Err(format!(
                "the stored secrets need the key file of the system that was backed up (key {needed}), and there is none at {}. {consequence}.",
                path.display()
            ));
        }
        Err(words) => return Err(words),
    };
    let there = ring.key_id();
    if !ring.select(needed) {
        return Err(format!(
            "the stored secrets need the key file of the system that was backed up (key {needed}); the one at {} is another (key {there}). {consequence}.",
            path.display()
        ));
    }
    let others: Vec<&str> = backup.other_keys().filter(|other| !ring.select(other)).collect();
    if !others.is_empty() {
        return Err(format!(
            "the key was being changed when the backup was made: some secrets still need the key before it (key {}), which is not at {}. They have to be entered again.",
            others.join(", "),
            path.display()
        ));
    }
    Ok(Some(format!("The key file {} is the one that it needs.", path.display())))
}
