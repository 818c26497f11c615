//! Lists of categories that others publish: asked for every now and then, looked at, and kept in a folder.
//!
//! A list is only replaced by one that is a list, and not by a page that says why there is none: until then the last good one stays.

use std::{
    collections::HashMap,
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
/// The largest list, as it comes and as it is when it was decoded, in bytes.
const MOST: usize = 64 * 1024 * 1024;
/// How often another address may be named.
const MOST_REDIRECTS: usize = 5;
/// A list that shrinks to less than this share of its entries at once is held to be broken, where it had some.
const SHRINKS: (usize, usize) = (3, 100);

/// Fetches lists that are due, for as long as the gateway runs.
pub(crate) async fn keep_fetching(shared: Arc<Shared>) {
    let mut stop = shared.watch();
    let mut failed: HashMap<String, (Instant, Duration)> = HashMap::new();
    loop {
        let snapshot = shared.snapshot();
        let lists = &snapshot.policy.settings().lists;
        for (url, path) in &lists.all {
            let is_early = failed.get(&url.text).is_some_and(|(again, _)| *again > Instant::now());
            if is_early || !is_due(path, lists.every) || shared.is_draining() {
                continue;
            }
            let fetched = tokio::select! {
                fetched = timeout(LIMIT, renew(&shared, &snapshot, url, path)) => fetched.unwrap_or_else(|_| Err("it took too long".into())),
                () = stop.draining() => return,
            };
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
                    failed.insert(url.text.clone(), (Instant::now() + pause, pause));
                }
            }
        }
        drop(snapshot);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.draining() => return,
        }
    }
}

fn is_due(path: &Path, every: Duration) -> bool {
    // One from the future is of a clock that was wrong.
    let age = std::fs::metadata(path).and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_none_or(|age| age >= every)
}

/// Asks for a list. Whether it is another one than before.
async fn renew(shared: &Arc<Shared>, snapshot: &Arc<Snapshot>, url: &ListUrl, path: &Path) -> Result<bool, String> {
    let since = std::fs::metadata(path).and_then(|about| about.modified()).ok();
    let Some(bytes) = fetch(shared, snapshot, url, since).await? else {
        touch(path)?;
        return Ok(false);
    };
    let path: PathBuf = path.to_path_buf();
    // Large ones take a second.
    let kept = tokio::task::spawn_blocking(move || keep(&path, &bytes)).await;
    kept.map_err(|error| error.to_string())?
}

/// It still holds.
fn touch(path: &Path) -> Result<(), String> {
    let touched = std::fs::File::options().write(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
    touched.map_err(|error| format!("{} can't be written: {error}", path.display()))
}

fn counts(bytes: &[u8]) -> Counts {
    lists::parse(&String::from_utf8_lossy(bytes), |_| {})
}

/// Looks at a list, and keeps it.
fn keep(path: &Path, bytes: &[u8]) -> Result<bool, String> {
    let before = std::fs::read(path).ok();
    if before.as_deref() == Some(bytes) {
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
        std::fs::rename(new, path)
    };
    write().map_err(|error| format!("{} can't be written: {error}", path.display()))?;
    Ok(true)
}

/// `None`: it has not changed since.
async fn fetch(
    shared: &Arc<Shared>, snapshot: &Arc<Snapshot>, url: &ListUrl, since: Option<SystemTime>,
) -> Result<Option<Vec<u8>>, String> {
    let mut url = url.clone();
    for _ in 0..=MOST_REDIRECTS {
        let answer = ask(shared, snapshot, &url, since).await?;
        match answer.status {
            200 => return answer.content().map(Some),
            304 if since.is_some() => return Ok(None),
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

async fn ask(shared: &Arc<Shared>, snapshot: &Arc<Snapshot>, url: &ListUrl, since: Option<SystemTime>) -> Result<Answer, String> {
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
    let since = since.map(|at| format!("If-Modified-Since: {}\r\n", httpdate::fmt_http_date(at))).unwrap_or_default();
    let request = |target: &str, more: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: Gatehouse\r\nAccept: text/plain, */*;q=0.1\r\nAccept-Encoding: gzip\r\n\
             {since}{more}Connection: close\r\n\r\n"
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
    Ok(Answer { status: response.status, location, is_gzip, body })
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
