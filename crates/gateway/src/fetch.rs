//! Lists of categories that others publish: asked for every now and then, looked at, and kept in a folder.
//!
//! A list is only replaced by one that is a list, and not by a page that says why there is none: until then the last good one stays.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    task::JoinSet,
    time::timeout,
};

use crate::{
    gateway::{Shared, Snapshot},
    http::{
        body::{Decoder, Found},
        head::{self, Framing, Known, Response},
    },
    io::Wire,
    policy::{
        lists::{self, Counts},
        value::ListUrl,
    },
    tls,
};

/// How often it is looked which lists are due.
const LOOK: Duration = Duration::from_secs(2);
/// When one that could not be fetched is asked for again, at first and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1800));
/// How long one list may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How many are fetched at a time: each may be large.
const AT_ONCE: usize = 2;
/// How long a list stays that no policy names, and how often it is looked for such.
const UNNAMED: Duration = Duration::from_secs(7 * 86_400);
const TIDY: Duration = Duration::from_secs(3600);
/// What a publisher calls a list by is at most so long, in bytes.
const LONGEST_MARK: usize = 512;
/// The largest list, as it comes and as it is when it was decoded, in bytes.
const MOST: usize = 64 * 1024 * 1024;
/// How often another address may be named.
const MOST_REDIRECTS: usize = 5;
/// A list that shrinks to less than this share of its entries at once is held to be broken, where it had some.
const SHRINKS: (usize, usize) = (3, 100);

/// What a publisher has said of the list that is kept, word for word: with it, it is asked whether there is another one. A publisher's clock
/// is its own, and what it calls the same is for it to say.
#[derive(Debug, Default, PartialEq, Eq)]
struct About {
    tag: Option<String>,
    modified: Option<String>,
}

impl About {
    /// Beside the list.
    fn place(list: &Path) -> PathBuf {
        list.with_extension("about")
    }

    /// Of the list that is kept there; nothing where there is none.
    fn of(list: &Path) -> Self {
        let text = if list.exists() { std::fs::read_to_string(Self::place(list)).unwrap_or_default() } else { String::new() };
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_string);
        Self { tag: line("ETag: "), modified: line("Last-Modified: ") }
    }

    fn keep(&self, list: &Path) -> io::Result<()> {
        let line = |name: &str, value: &Option<String>| value.as_ref().map(|v| format!("{name}: {v}\n")).unwrap_or_default();
        std::fs::write(Self::place(list), line("ETag", &self.tag) + &line("Last-Modified", &self.modified))
    }

    /// Fields of a request (RFC 9110, section 13.1).
    fn conditions(&self) -> String {
        let line = |name: &str, value: &Option<String>| value.as_ref().map(|v| format!("{name}: {v}\r\n")).unwrap_or_default();
        line("If-None-Match", &self.tag) + &line("If-Modified-Since", &self.modified)
    }
}

/// Fetches lists that are due, for as long as the gateway runs.
pub(crate) async fn keep_fetching(shared: Arc<Shared>) {
    let mut stop = shared.watch();
    let mut failed: HashMap<String, (Instant, Duration)> = HashMap::new();
    let mut running = JoinSet::new();
    let mut asked: HashMap<tokio::task::Id, ListUrl> = HashMap::new();
    let mut tidied: Option<Instant> = None;
    loop {
        let snapshot = shared.snapshot();
        let lists = &snapshot.policy.settings().lists;
        for (url, path) in &lists.all {
            // One that takes its time holds up no other.
            if running.len() >= AT_ONCE || shared.is_draining() {
                break;
            }
            let is_early = failed.get(&url.text).is_some_and(|(again, _)| *again > Instant::now());
            if is_early || asked.values().any(|known| known.text == url.text) || !is_due(path, lists.every) {
                continue;
            }
            let (shared, snapshot, from, path) = (shared.clone(), snapshot.clone(), url.clone(), path.clone());
            let task = running.spawn(async move {
                let renewed = timeout(LIMIT, renew(&shared, &snapshot, &from, &path)).await;
                renewed.unwrap_or_else(|_| Err("it took too long".into()))
            });
            asked.insert(task.id(), url.clone());
        }
        if let Some(folder) = lists.folder.clone().filter(|_| tidied.is_none_or(|at| at.elapsed() >= TIDY)) {
            tidied = Some(Instant::now());
            let named = lists.all.iter().map(|(_, path)| path.clone()).collect();
            drop(tokio::task::spawn_blocking(move || tidy(&folder, &named)));
        }
        drop(snapshot);
        let (id, fetched) = tokio::select! {
            Some(done) = running.join_next_with_id() => match done {
                Ok(done) => done,
                Err(error) => (error.id(), Err(error.to_string())),
            },
            () = tokio::time::sleep(LOOK) => continue,
            () = stop.draining() => return,
        };
        let Some(url) = asked.remove(&id) else { continue };
        match fetched {
            Ok(is_other) => {
                failed.remove(&url.text);
                if is_other {
                    shared.lists_changed.notify_one();
                }
            }
            Err(why) => {
                tracing::warn!(url = url.shown(), "a list was not fetched, and the last one stays: {why}");
                let pause = failed.get(&url.text).map_or(AGAIN.0, |(_, pause)| (*pause * 2).min(AGAIN.1));
                failed.insert(url.text, (Instant::now() + pause, pause));
            }
        }
    }
}

/// Removes lists that no policy has named for long. Not at once: a policy that is put back finds its lists again, and another gateway may
/// keep its own in this folder. Each says by touching what stands beside a list that it still names it.
fn tidy(folder: &Path, named: &HashSet<PathBuf>) {
    for list in named.iter().filter(|list| list.exists()) {
        let mark = std::fs::File::options().create(true).append(true).open(About::place(list));
        let _ = mark.and_then(|file| file.set_modified(SystemTime::now()));
    }
    let age =
        |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).ok().map(|at| at.elapsed().unwrap_or_default());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_ours = path.file_stem().is_some_and(|stem| stem.len() == 16 && stem.to_string_lossy().bytes().all(is_lower_hex))
            && path.extension().is_some_and(|what| what == "list" || what == "about" || what == "new");
        let list = path.with_extension("list");
        // The younger one of the two counts for both.
        let idle = [&list, &About::place(&list), &path].into_iter().filter_map(|path| age(path)).min();
        if is_ours && !named.contains(&list) && idle.is_some_and(|idle| idle >= UNNAMED) {
            tracing::info!(file = %path.display(), "a list that no policy names is removed");
            let both = [&path, &list, &About::place(&list)];
            both.into_iter().for_each(|path| drop(std::fs::remove_file(path)));
        }
    }
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_due(path: &Path, every: Duration) -> bool {
    // One from the future is of a clock that was wrong.
    let age = std::fs::metadata(path).and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_none_or(|age| age >= every)
}

/// Asks for a list. Whether it is another one than before.
async fn renew(shared: &Arc<Shared>, snapshot: &Arc<Snapshot>, url: &ListUrl, path: &Path) -> Result<bool, String> {
    let Some((bytes, about)) = fetch(shared, snapshot, url, &About::of(path)).await? else {
        touch(path)?;
        return Ok(false);
    };
    let path: PathBuf = path.to_path_buf();
    // Large ones take a second.
    let kept = tokio::task::spawn_blocking(move || keep(&path, &bytes, &about)).await;
    kept.map_err(|error| error.to_string())?
}

/// It still holds.
fn touch(path: &Path) -> Result<(), String> {
    let touched = std::fs::File::options().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    touched.map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!("{} can't be written: {error}", path.display())
}

fn counts(bytes: &[u8]) -> Counts {
    lists::parse(&String::from_utf8_lossy(bytes), |_| {})
}

/// Looks at a list, and keeps it.
fn keep(path: &Path, bytes: &[u8], about: &About) -> Result<bool, String> {
    let before = std::fs::read(path).ok();
    if before.as_deref() == Some(bytes) {
        about.keep(path).map_err(|error| unwritable(path, &error))?;
        touch(path)?;
        return Ok(false);
    }
    let now = counts(bytes);
    if now.entries == 0 || now.skipped > now.entries {
        return Err(format!("what came is no list of hosts ({} of {} lines name one)", now.entries, now.entries + now.skipped));
    }
    if let Some(before) = before.as_deref().map(counts)
        && before.entries >= SHRINKS.1
        && now.entries < before.entries / SHRINKS.0
    {
        return Err(format!(
            "what came has {} entries, and there were {}: delete {} to take it all the same",
            now.entries,
            before.entries,
            path.display()
        ));
    }
    let write = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = path.with_extension("new");
        std::fs::write(&new, bytes)?;
        // Never what was said of one list beside another: a program that ends in between asks for all of it again.
        match std::fs::remove_file(About::place(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::rename(new, path)?;
        about.keep(path)
    };
    write().map_err(|error| unwritable(path, &error))?;
    Ok(true)
}

/// `None`: it has not changed since.
async fn fetch(
    shared: &Arc<Shared>, snapshot: &Arc<Snapshot>, url: &ListUrl, known: &About,
) -> Result<Option<(Vec<u8>, About)>, String> {
    let mut url = url.clone();
    for _ in 0..=MOST_REDIRECTS {
        let mut answer = ask(shared, snapshot, &url, known).await?;
        match answer.status {
            200 => {
                let about = std::mem::take(&mut answer.about);
                return answer.content().map(|content| Some((content, about)));
            }
            304 if *known != About::default() => return Ok(None),
            301 | 302 | 303 | 307 | 308 => {
                let to = answer.location.ok_or("it names another address and does not say which")?;
                let next = resolve(&url, &to).ok_or("it names another address that is none")?;
                if url.is_secure && !next.is_secure {
                    return Err("it leads from https to http, where anybody on the way could change it".into());
                }
                url = next;
            }
            status => return Err(format!("the answer is {status}")),
        }
    }
    Err("it leads from one address to the next".into())
}

fn resolve(from: &ListUrl, to: &str) -> Option<ListUrl> {
    if to.contains("://") {
        return ListUrl::parse(to);
    }
    let scheme = if from.is_secure { "https" } else { "http" };
    let authority = format!("{}:{}", from.host.for_authority(), from.port);
    if let Some(rest) = to.strip_prefix("//") {
        return ListUrl::parse(&format!("{scheme}://{rest}"));
    }
    let path = if to.starts_with('/') {
        to.to_string()
    } else {
        let own = from.path.split('?').next().unwrap_or_default();
        format!("{}{to}", &own[..own.rfind('/').map_or(0, |at| at + 1)])
    };
    ListUrl::parse(&format!("{scheme}://{authority}{path}"))
}

struct Answer {
    status: u16,
    location: Option<String>,
    is_gzip: bool,
    about: About,
    body: Vec<u8>,
}

impl Answer {
    fn content(self) -> Result<Vec<u8>, String> {
        if !self.is_gzip {
            return Ok(self.body);
        }
        let mut content = Vec::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(&self.body[..]).take(MOST as u64 + 1);
        decoder.read_to_end(&mut content).map_err(|error| format!("it is not coded as it says: {error}"))?;
        if content.len() > MOST { Err(format!("it is larger than {MOST} bytes")) } else { Ok(content) }
    }
}

async fn ask(shared: &Arc<Shared>, snapshot: &Arc<Snapshot>, url: &ListUrl, known: &About) -> Result<Answer, String> {
    let settings = snapshot.policy.settings();
    let way = settings.way_out(settings.lists.egress);
    let said = |refusal: crate::page::Refusal| refusal.message.into_owned();
    let egress = &shared.egress;
    let addresses = match egress.resolves_here(way.as_ref(), snapshot) {
        true => egress.addresses(snapshot, &url.host, url.port, false).await.map_err(said)?,
        false => Vec::new(),
    };
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let target = egress.target(snapshot, way.as_ref(), &url.host, url.port, addresses, nobody).map_err(said)?;
    let host = url.host.for_authority().into_owned();
    let default = if url.is_secure { 443 } else { 80 };
    let authority = if url.port == default { host.clone() } else { format!("{host}:{}", url.port) };
    let conditions = known.conditions();
    let request = |target: &str, more: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: Gatehouse\r\nAccept: text/plain, */*;q=0.1\r\nAccept-Encoding: gzip\r\n\
             {conditions}{more}Connection: close\r\n\r\n"
        )
    };
    let failed = |failed: crate::egress::Failed| said(failed.refusal(&host));
    if url.is_secure {
        let connected = target.open_tunnel(shared, &settings.timeouts).await.map_err(failed)?;
        let connector = connected.tls(egress).ok_or("there is no TLS here")?;
        let name = tls::server_name(&url.host).ok_or_else(|| format!("{host} can't be asked for over TLS"))?;
        let stream = timeout(settings.timeouts.connect, connector.connect(name, Io(connected.wire)));
        let mut stream =
            stream.await.map_err(|_| format!("{host} did not answer in time"))?.map_err(|error| error.to_string())?;
        return exchange(&mut stream, &request(&url.path, ""), settings.timeouts.idle).await;
    }
    let connected = target.connect(shared, &settings.timeouts, false).await.map_err(failed)?;
    let login = connected.authorization().map(|value| format!("Proxy-Authorization: {value}\r\n")).unwrap_or_default();
    let path = connected.request_target(url.path.as_bytes(), &authority);
    let text = request(&String::from_utf8_lossy(&path), &login);
    exchange(&mut Io(connected.wire), &text, settings.timeouts.idle).await
}

/// Asks, and reads all of the answer.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str, idle: Duration) -> Result<Answer, String> {
    let went = |error: io::Error| format!("the connection broke: {error}");
    stream.write_all(request.as_bytes()).await.map_err(went)?;
    stream.flush().await.map_err(went)?;
    let mut buffer = Vec::new();
    let mut was_cut = false;
    let mut fill = async |buffer: &mut Vec<u8>| -> Result<usize, String> {
        let mut piece = [0; 16 * 1024];
        let read = timeout(idle, stream.read(&mut piece)).await.map_err(|_| "it stopped in the middle".to_string())?;
        // Some servers end TLS without a word; whether the body is whole is seen by what it says of itself.
        let count = match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                was_cut = true;
                0
            }
            other => other.map_err(went)?,
        };
        buffer.extend_from_slice(&piece[..count]);
        Ok(count)
    };
    let response: Response = loop {
        match head::response(&buffer).map_err(|wrong| format!("the answer is not taken: {wrong}"))? {
            Some(response) if response.status < 200 => drop(buffer.drain(..response.end)),
            Some(response) => break response,
            None => {
                if fill(&mut buffer).await? == 0 {
                    return Err("there was no answer".into());
                }
            }
        }
    };
    let text =
        |known| head::values(&buffer, &response.fields, known).next().map(|value| String::from_utf8_lossy(value).into_owned());
    let (location, coding) = (text(Known::Location), text(Known::ContentEncoding));
    // It is kept as a line of a file, and becomes one of a request.
    let said = |known| text(known).filter(|value| value.len() <= LONGEST_MARK && value.bytes().all(|b| matches!(b, b' '..=b'~')));
    let about = About { tag: said(Known::ETag), modified: said(Known::LastModified) };
    let is_gzip = match coding.as_deref() {
        None | Some("identity" | "") => false,
        Some("gzip" | "x-gzip") => true,
        Some(other) => return Err(format!("it is coded as {other}, which was not asked for")),
    };
    let framing = if response.status == 200 { response.framing } else { Framing::None };
    let mut decoder = Decoder::new(framing);
    drop(buffer.drain(..response.end));
    let mut body = Vec::new();
    let mut is_ended = true;
    loop {
        match decoder.next(&buffer).map_err(|wrong| format!("the answer is not taken: {wrong}"))? {
            Found::Skip(count) => drop(buffer.drain(..count)),
            Found::Data(count) => {
                body.extend(buffer.drain(..count));
                if body.len() > MOST {
                    return Err(format!("it is larger than {MOST} bytes"));
                }
            }
            Found::End => break,
            Found::More => {
                if fill(&mut buffer).await? == 0 {
                    is_ended = decoder.may_end();
                    break;
                }
            }
        }
    }
    // Of a body without a length only an end of the connection that was said is one.
    if !is_ended || (was_cut && framing == Framing::UntilClose) {
        return Err("it ends in the middle".into());
    }
    Ok(Answer { status: response.status, location, is_gzip, about, body })
}

/// A connection as TLS wants it.
struct Io(Wire);

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut self.get_mut().0;
        if !wire.inbox.is_empty() {
            let count = wire.inbox.bytes().len().min(buffer.remaining());
            buffer.put_slice(&wire.inbox.bytes()[..count]);
            wire.inbox.consume(count);
            return Poll::Ready(Ok(()));
        }
        let count = ready!(wire.stream.poll_read_into(cx, buffer.initialize_unfilled()))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().0.stream.poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.stream.poll_shutdown(cx)
    }
}
