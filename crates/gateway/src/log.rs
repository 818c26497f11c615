//! One record for each transaction, as JSON or as Squid writes it.
//!
//! Records are put behind each other in memory, and a thread writes them out every now and then. What does not fit is dropped and
//! counted: a full disk slows down nobody's traffic.

use std::{
    fs::File,
    io::{self, Write},
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How many bytes of records wait at most.
const MOST: usize = 16 * 1024 * 1024;
/// How many bytes are waited for before the thread is woken.
const ENOUGH: usize = 64 * 1024;
/// How long a record waits for others at most.
const SOON: Duration = Duration::from_millis(20);
/// The longest line that is looked for at the end of a file.
const LONGEST_LINE: u64 = 256 * 1024;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Squid's native format (`logformat squid`).
    Squid,
}

/// One transaction.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// When it began.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Who asked.
    pub client: IpAddr,
    /// The person, where known.
    pub person: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// `host:port` for CONNECT, else the URL without its query.
    pub target: &'a str,
    /// The status that the client got; 0 when it got none.
    pub status: u16,
    /// Bytes that the client sent.
    pub bytes_in: u64,
    /// Bytes that the client got.
    pub bytes_out: u64,
    /// What the cache had to do with it.
    pub cache: CacheResult,
    /// The rule that decided.
    pub rule: Option<&'a str>,
    /// The way out.
    pub egress: Option<&'a str>,
    /// The address that was connected to.
    pub peer: Option<IpAddr>,
    /// The type of the content.
    pub content_type: Option<&'a str>,
    /// Why it failed (RFC 9209).
    pub cause: Option<&'a str>,
}

/// What the cache had to do with a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheResult {
    /// It was not asked, or is off.
    None,
    /// From memory.
    Hit,
    /// From memory, after the target said that it still holds.
    Revalidated,
    /// From memory although it is old: the target could not be reached.
    Stale,
    /// From the target.
    Miss,
    /// A tunnel.
    Tunnel,
    /// Refused.
    Denied,
}

impl CacheResult {
    fn squid(self) -> &'static str {
        match self {
            Self::None | Self::Miss => "TCP_MISS",
            Self::Hit => "TCP_MEM_HIT",
            Self::Revalidated => "TCP_REFRESH_UNMODIFIED",
            Self::Stale => "TCP_REFRESH_FAIL_OLD",
            Self::Tunnel => "TCP_TUNNEL",
            Self::Denied => "TCP_DENIED",
        }
    }

    /// As it stands in JSON, and in `Cache-Status` (RFC 9211).
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hit => "hit",
            Self::Revalidated => "revalidated",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Tunnel => "tunnel",
            Self::Denied => "denied",
        }
    }
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// The thread is at some that it has taken.
    is_writing: bool,
    done: bool,
}

struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    dropped: AtomicU64,
    records: AtomicU64,
}

/// Where records go. Clones share it; when the last one goes, what waits is written.
#[derive(Clone)]
pub struct Log {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    format: Format,
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("format", &self.inner.as_ref().map(|inner| inner.format)).finish()
    }
}

impl Log {
    /// No log.
    #[must_use]
    pub fn none() -> Self {
        Self { inner: None }
    }

    /// Appends to a file; `-` is standard output.
    ///
    /// # Errors
    /// The file can't be opened.
    pub fn open(path: &Path, format: Format) -> io::Result<Self> {
        let sink: Box<dyn Write + Send> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            let mut file = File::options().create(true).append(true).open(path)?;
            if let Err(error) = mend(path, &mut file, format) {
                tracing::warn!(%error, path = %path.display(), "the end of the log could not be looked at");
            }
            Box::new(file)
        };
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            dropped: AtomicU64::new(0),
            records: AtomicU64::new(0),
        });
        let thread = {
            let shared = shared.clone();
            std::thread::Builder::new().name("gateway-log".into()).spawn(move || write_out(&shared, sink))?
        };
        Ok(Self { inner: Some(Arc::new(Inner { format, shared, thread: Mutex::new(Some(thread)) })) })
    }

    /// Takes a record. Never waits.
    pub fn record(&self, record: &Record<'_>) {
        let Some(inner) = &self.inner else { return };
        let shared = &inner.shared;
        shared.records.fetch_add(1, Ordering::Relaxed);
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.bytes.len() > MOST {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = waiting.bytes.len();
        match inner.format {
            Format::Json => json(&mut waiting.bytes, record),
            Format::Squid => squid(&mut waiting.bytes, record),
        }
        if before == 0 || (before < ENOUGH && waiting.bytes.len() >= ENOUGH) {
            shared.wake.notify_one();
        }
    }

    /// Whether all records so far are written, or dropped.
    pub(crate) fn is_settled(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| {
            let waiting = inner.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.bytes.is_empty() && !waiting.is_writing
        })
    }

    /// Records so far, and those of them that did not fit.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        self.inner
            .as_ref()
            .map_or((0, 0), |inner| (inner.shared.records.load(Ordering::Relaxed), inner.shared.dropped.load(Ordering::Relaxed)))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).done = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// Cuts off half a record at the end, which a program that was killed while it wrote has left: the next one would stand behind it. What
/// is something else stays, and the next record begins a line.
fn mend(path: &Path, log: &mut File, format: Format) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let about = log.metadata()?;
    // Also a pipe or a device may be written to; these have no end.
    if !about.is_file() || about.len() == 0 {
        return Ok(());
    }
    let from = about.len().saturating_sub(LONGEST_LINE);
    let mut end = vec![0; usize::try_from(about.len() - from).unwrap_or_default()];
    File::open(path)?.read_exact_at(&mut end, from)?;
    let begin = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let Some(first) = end.get(begin) else { return Ok(()) };
    let is_ours = match format {
        Format::Json => *first == b'{',
        Format::Squid => first.is_ascii_digit(),
    };
    let is_cut = is_ours && (begin > 0 || from == 0) && log.set_len(from + begin as u64).is_ok();
    if is_cut { Ok(()) } else { log.write_all(b"\n") }
}

fn write_out(shared: &Shared, mut sink: Box<dyn Write + Send>) {
    let mut bytes = Vec::new();
    let mut is_torn = false;
    loop {
        let done = {
            let waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let nothing = |waiting: &mut Waiting| !waiting.done && waiting.bytes.is_empty();
            let waiting = shared.wake.wait_while(waiting, nothing).unwrap_or_else(PoisonError::into_inner);
            let quiet = |waiting: &mut Waiting| !waiting.done && waiting.bytes.len() < ENOUGH;
            let (mut waiting, _) = shared.wake.wait_timeout_while(waiting, SOON, quiet).unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut waiting.bytes, &mut bytes);
            waiting.is_writing = true;
            waiting.done
        };
        // Behind half a line, which a full disk has left, comes a new one.
        let begin: &[u8] = if is_torn { b"\n" } else { b"" };
        let mut write = || sink.write_all(begin).and_then(|()| sink.write_all(&bytes)).and_then(|()| sink.flush());
        let written = if bytes.is_empty() { Ok(()) } else { write() };
        is_torn = if bytes.is_empty() { is_torn } else { written.is_err() };
        if written.is_err() {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            shared.dropped.fetch_add(lines as u64, Ordering::Relaxed);
        }
        bytes.clear();
        shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_writing = false;
        if done {
            return;
        }
    }
}

fn squid(out: &mut Vec<u8>, record: &Record<'_>) {
    let at = record.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    // By hand: formatting is a tenth of what the gateway itself does for a small request.
    push_padded(out, at.as_secs(), 0, b' ');
    out.push(b'.');
    push_padded(out, at.subsec_millis().into(), 3, b'0');
    out.push(b' ');
    push_padded(out, u64::try_from(record.took.as_millis()).unwrap_or(u64::MAX), 6, b' ');
    out.push(b' ');
    push_address(out, record.client);
    out.push(b' ');
    out.extend_from_slice(record.cache.squid().as_bytes());
    out.push(b'/');
    push_padded(out, record.status.into(), 3, b'0');
    out.push(b' ');
    push_padded(out, record.bytes_out, 0, b' ');
    for text in [Some(record.method), Some(record.target), record.person] {
        out.push(b' ');
        match text.filter(|text| !text.is_empty()) {
            Some(text) => push_encoded(out, text),
            None => out.push(b'-'),
        }
    }
    match record.peer {
        Some(peer) => {
            out.extend_from_slice(b" HIER_DIRECT/");
            push_address(out, peer);
        }
        None => out.extend_from_slice(b" HIER_NONE/-"),
    }
    out.push(b' ');
    match record.content_type.and_then(|kind| kind.split([';', ' ']).next()).filter(|kind| !kind.is_empty()) {
        Some(kind) => push_encoded(out, kind),
        None => out.push(b'-'),
    }
    out.push(b'\n');
}

fn push_padded(out: &mut Vec<u8>, mut number: u64, width: usize, fill: u8) {
    let mut digits = [fill; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, part) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                push_padded(out, part.into(), 0, b' ');
            }
        }
        IpAddr::V6(address) => {
            // Writing to memory does not fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// White space and control characters as Squid writes them, so that a line keeps its columns.
fn push_encoded(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        if (0x21..0x7f).contains(&byte) {
            out.push(byte);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn json(out: &mut Vec<u8>, record: &Record<'_>) {
    let text = |out: &mut Vec<u8>, name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _ = write!(out, ",\"{name}\":");
            push_json(out, value);
        }
    };
    out.extend_from_slice(b"{\"at\":\"");
    push_time(out, record.at);
    let _ = write!(out, "\",\"ms\":{},\"client\":\"{}\"", record.took.as_millis(), record.client);
    text(out, "person", record.person);
    text(out, "method", Some(record.method));
    text(out, "target", Some(record.target));
    let _ = write!(
        out,
        ",\"status\":{},\"bytes_in\":{},\"bytes_out\":{},\"cache\":\"{}\"",
        record.status,
        record.bytes_in,
        record.bytes_out,
        record.cache.word()
    );
    text(out, "rule", record.rule);
    text(out, "egress", record.egress);
    if let Some(peer) = record.peer {
        let _ = write!(out, ",\"peer\":\"{peer}\"");
    }
    text(out, "cause", record.cause);
    out.extend_from_slice(b"}\n");
}

/// A JSON string (RFC 8259, section 7).
fn push_json(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0..=0x1f | 0x7f => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Year, month and day of a day since 1970: "chrono-Compatible Low-Level Date Algorithms" (Howard Hinnant).
pub(crate) fn civil(days: u64) -> (u64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let small = |number: u64| u8::try_from(number).unwrap_or_default();
    (year_of_era + era * 400 + u64::from(month <= 2), small(month), small(day))
}

/// `2026-11-22T13:05:59.123Z` (RFC 3339).
fn push_time(out: &mut Vec<u8>, at: SystemTime) {
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (at.as_secs() / 86_400, at.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        at.subsec_millis()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &str) -> Record<'_> {
        Record {
            at: UNIX_EPOCH + Duration::from_millis(1_772_323_199_007),
            took: Duration::from_millis(12),
            client: IpAddr::from([10, 0, 0, 7]),
            person: Some("jo doe"),
            method: "GET",
            target,
            status: 200,
            bytes_in: 100,
            bytes_out: 2000,
            cache: CacheResult::Miss,
            rule: Some("all"),
            egress: Some("direct"),
            peer: Some(IpAddr::from([192, 0, 2, 1])),
            content_type: Some("text/html; charset=utf-8"),
            cause: None,
        }
    }

    #[test]
    fn each_format_keeps_to_one_line_whatever_stands_in_a_record() {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        squid(&mut a, &record("http://a.example/\u{7f} x"));
        assert_eq!(
            String::from_utf8(a).expect("text"),
            "1772323199.007     12 10.0.0.7 TCP_MISS/200 2000 GET http://a.example/%7F%20x jo%20doe HIER_DIRECT/192.0.2.1 text/html\n"
        );
        json(&mut b, &record("http://a.example/\"\\\n"));
        let text = String::from_utf8(b).expect("text");
        assert_eq!(
            text,
            "{\"at\":\"2026-02-28T23:59:59.007Z\",\"ms\":12,\"client\":\"10.0.0.7\",\"person\":\"jo doe\",\"method\":\"GET\",\
             \"target\":\"http://a.example/\\\"\\\\\\u000a\",\"status\":200,\"bytes_in\":100,\"bytes_out\":2000,\"cache\":\"miss\",\
             \"rule\":\"all\",\"egress\":\"direct\",\"peer\":\"192.0.2.1\"}\n"
        );
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800, "2024-02-29T00:00:00.000Z"),
            (4_102_444_799, "2099-12-31T23:59:59.000Z"),
        ] {
            let mut out = Vec::new();
            push_time(&mut out, UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(String::from_utf8(out).expect("text"), expected);
        }
    }

    #[test]
    fn half_a_line_at_the_end_is_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        for (before, kept) in [
            ("a\nb\n177", "a\nb\n"),
            ("177", ""),
            ("a\n", "a\n"),
            ("", ""),
            // Not ours: it stays.
            ("a\nsecret", "a\nsecret\n"),
            ("secret", "secret\n"),
        ] {
            std::fs::write(&path, before).expect("written");
            let log = Log::open(&path, Format::Squid).expect("a log");
            log.record(&record("http://a.example/"));
            drop(log);
            let text = std::fs::read_to_string(&path).expect("a file");
            let rest = text.strip_prefix(kept).unwrap_or_else(|| panic!("{before:?} became {text:?}"));
            assert_eq!(rest.lines().count(), 1, "{text}");
        }
    }

    #[test]
    fn what_was_recorded_is_written_when_the_log_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let log = Log::open(&path, Format::Json).expect("a log");
        for _ in 0..1000 {
            log.record(&record("http://a.example/"));
        }
        assert_eq!(log.counts(), (1000, 0));
        drop(log);
        assert_eq!(std::fs::read_to_string(&path).expect("a file").lines().count(), 1000);
    }
}
