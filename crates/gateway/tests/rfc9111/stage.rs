//! The gateway with its cache, an origin that says what it is told, and a client that takes answers as they are, broken ones too.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gatehouse_gateway::Gateway;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::bed;

/// How long anything is waited for: hundreds of cases share two cores.
pub const SOON: Duration = Duration::from_secs(20);

/// A gateway that caches and lets everything through.
pub async fn gateway() -> Gateway {
    gateway_with("").await
}

/// The same with more lines in the table of the cache.
pub async fn gateway_with(more: &str) -> Gateway {
    bed::gateway(&format!("[cache]\nenabled = true\n{more}\n{}", bed::OPEN)).await
}

/// How long after the first half of a body the second one comes.
const LATER: Duration = Duration::from_millis(600);

/// A request, as the origin got it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub head: String,
}

impl Request {
    pub fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }
}

/// How an answer is put on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wire {
    Length,
    Chunked,
    /// Ends with the connection, as HTTP/1.1 allows.
    UntilEnd,
    /// The same from an HTTP/1.0 server.
    Old,
    /// Half of the body that its length promises.
    HalfLength,
    /// Half of the chunks, without the last.
    HalfChunked,
    /// The second half comes [`LATER`].
    LateLength,
    /// The same in chunks.
    LateChunked,
    /// The connection ends [`LATER`], after half of what was promised.
    LateHalf,
    /// The connection ends without an answer.
    Nothing,
}

/// What the origin says.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Lines of `Name: value`; see [`expand`] for what may stand in braces.
    pub fields: String,
    pub body: Option<String>,
    pub wire: Wire,
    pub delay: Duration,
    /// Whether there is a `Date` without being asked for.
    pub dated: bool,
    /// Says 304 without a body instead, where the request's `If-None-Match` has this.
    pub knows: Option<String>,
    /// Says 103 first.
    pub hints: bool,
}

impl Answer {
    pub fn new(status: u16, fields: &str) -> Self {
        Self {
            status,
            fields: fields.into(),
            body: None,
            wire: Wire::Length,
            delay: Duration::ZERO,
            dated: true,
            knows: None,
            hints: false,
        }
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = Some(body.into());
        self
    }

    pub fn wire(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    pub fn after(mut self, milliseconds: u64) -> Self {
        self.delay = Duration::from_millis(milliseconds);
        self
    }

    pub fn undated(mut self) -> Self {
        self.dated = false;
        self
    }

    pub fn knows(mut self, etag: &str) -> Self {
        self.knows = Some(etag.into());
        self
    }

    pub fn with_hints(mut self) -> Self {
        self.hints = true;
        self
    }
}

/// An origin.
pub struct Origin {
    pub address: SocketAddr,
}

impl Origin {
    pub async fn start(says: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let says: Arc<dyn Fn(&Request) -> Answer + Send + Sync> = Arc::new(says);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, says.clone()));
            }
        });
        Self { address }
    }
}

async fn serve(mut stream: TcpStream, says: Arc<dyn Fn(&Request) -> Answer + Send + Sync>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Ok(Some(head)) = read_head(&mut stream, &mut buffer).await {
        if read_body(&mut stream, &mut buffer, &head, false).await.1.is_some() {
            return;
        }
        let mut words = head.split(' ').map(str::to_string);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let request = Request { method, target, head };
        let mut answer = says(&request);
        if !answer.delay.is_zero() {
            tokio::time::sleep(answer.delay).await;
        }
        if let Some(etag) = &answer.knows
            && request.field("if-none-match").is_some_and(|list| list.contains(etag))
        {
            (answer.status, answer.body, answer.wire) = (304, None, Wire::Length);
        }
        let closes = !matches!(answer.wire, Wire::Length | Wire::Chunked | Wire::LateLength | Wire::LateChunked);
        let (first, second) = wire(&answer, request.method == "HEAD");
        if stream.write_all(&latin1(&first)).await.is_err() {
            return;
        }
        if matches!(answer.wire, Wire::LateLength | Wire::LateChunked | Wire::LateHalf) {
            tokio::time::sleep(LATER).await;
        }
        if stream.write_all(&latin1(&second)).await.is_err() {
            return;
        }
        if closes {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// The text of an answer: up to the first half of the body, and the rest.
fn wire(answer: &Answer, is_head: bool) -> (String, String) {
    if answer.wire == Wire::Nothing {
        return (String::new(), String::new());
    }
    let mut text = String::new();
    if answer.hints {
        text.push_str("HTTP/1.1 103 Early Hints\r\nLink: </hinted.css>; rel=preload\r\nCache-Control: no-store\r\n\r\n");
    }
    let version = if answer.wire == Wire::Old { "HTTP/1.0" } else { "HTTP/1.1" };
    text.push_str(&format!("{version} {} Scripted\r\n", answer.status));
    let has = |name: &str| answer.fields.lines().any(|line| line.to_ascii_lowercase().starts_with(name));
    if answer.dated && !has("date:") {
        text.push_str(&format!("Date: {}\r\n", date(now(), 0)));
    }
    for line in answer.fields.lines() {
        text.push_str(line);
        text.push_str("\r\n");
    }
    let body = answer.body.as_deref().unwrap_or_default();
    let has_body = answer.status != 204 && answer.status != 304;
    let is_chunked = matches!(answer.wire, Wire::Chunked | Wire::HalfChunked | Wire::LateChunked);
    if is_chunked {
        text.push_str("Transfer-Encoding: chunked\r\n");
    } else if has_body && !matches!(answer.wire, Wire::UntilEnd | Wire::Old) && !has("content-length:") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    if is_head || !has_body {
        return (text, String::new());
    }
    let (first, second) = body.split_at(body.len() / 2);
    // Each half is a chunk, since a reader that takes only the first would pass otherwise.
    let piece = |half: &str| match half {
        "" => String::new(),
        half if is_chunked => format!("{:x}\r\n{half}\r\n", half.len()),
        half => half.to_string(),
    };
    text.push_str(&piece(first));
    let end = match answer.wire {
        Wire::HalfLength | Wire::HalfChunked | Wire::LateHalf => String::new(),
        _ if is_chunked => format!("{}0\r\n\r\n", piece(second)),
        _ => piece(second),
    };
    (text, end)
}

/// What a client got.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// Whether the connection ended, or the time was over, in the middle of it.
    pub broken: Option<&'static str>,
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }
}

/// Asks once, over a connection of its own; the words after `Err` say why there is no answer at all.
pub async fn ask(gateway: SocketAddr, request: &str) -> Result<Reply, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(gateway).await.map_err(|error| format!("cannot connect: {error}"))?;
        let _ = stream.set_nodelay(true);
        let _ = stream.write_all(&latin1(request)).await;
        let mut buffer = Vec::new();
        loop {
            let head = read_head(&mut stream, &mut buffer)
                .await
                .map_err(|error| format!("no answer: {error}"))?
                .ok_or("no answer: the connection ended")?;
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
            if (100..200).contains(&status) {
                continue;
            }
            let (body, broken) = if request.starts_with("HEAD ") || status == 204 || status == 304 {
                (Vec::new(), None)
            } else {
                read_body(&mut stream, &mut buffer, &head, true).await
            };
            return Ok(Reply { status, head, body: text(&body), broken });
        }
    };
    timeout(SOON, exchange).await.unwrap_or_else(|_| Err("no answer in time".into()))
}

/// Reads a head; `None` at the end.
async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<String>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(Some(text(&buffer.drain(..end + 4).collect::<Vec<u8>>())));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// Reads a body in the way that the head says, and whether it broke off.
async fn read_body(stream: &mut TcpStream, buffer: &mut Vec<u8>, head: &str, until_end: bool) -> (Vec<u8>, Option<&'static str>) {
    let mut content = Vec::new();
    if field(head, "transfer-encoding").is_some() {
        loop {
            let Some(line) = until(stream, buffer, |buffer| Some(buffer.windows(2).position(|two| two == b"\r\n")? + 2)).await
            else {
                return (content, Some("broken off between chunks"));
            };
            let line = text(&line);
            let Ok(size) = usize::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16) else {
                return (content, Some("not a chunk"));
            };
            let end = size + 2;
            if size == 0 {
                // Trailers, up to an empty line.
                loop {
                    let line = until(stream, buffer, |buffer| Some(buffer.windows(2).position(|two| two == b"\r\n")? + 2)).await;
                    match line.as_deref() {
                        Some(b"\r\n") => return (content, None),
                        Some(_) => {}
                        None => return (content, Some("broken off in the trailers")),
                    }
                }
            }
            let Some(chunk) = until(stream, buffer, |buffer| (buffer.len() >= end).then_some(end)).await else {
                content.append(buffer);
                return (content, Some("broken off in a chunk"));
            };
            content.extend(&chunk[..size]);
        }
    }
    if let Some(length) = field(head, "content-length") {
        let Ok(length) = length.parse::<usize>() else { return (content, Some("no such length")) };
        return match until(stream, buffer, |buffer| (buffer.len() >= length).then_some(length)).await {
            Some(body) => (body, None),
            None => (std::mem::take(buffer), Some("shorter than its length")),
        };
    }
    if until_end {
        content.append(buffer);
        if stream.read_to_end(&mut content).await.is_err() {
            return (content, Some("reset"));
        }
    }
    (content, None)
}

/// Takes as much as `enough` says, reading until there is.
async fn until(stream: &mut TcpStream, buffer: &mut Vec<u8>, enough: impl Fn(&[u8]) -> Option<usize>) -> Option<Vec<u8>> {
    loop {
        if let Some(count) = enough(buffer) {
            return Some(buffer.drain(..count).collect());
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// The values of all fields of this name, as one list; several `Set-Cookie` too.
pub fn field(head: &str, name: &str) -> Option<String> {
    let values: Vec<&str> = head
        .split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .filter_map(|(this, value)| this.eq_ignore_ascii_case(name).then_some(value.trim()))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// Fields may have any byte; as Latin 1 each is one character, there and back.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect()
}

/// Seconds since 1970.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Replaces `{here}` by the path of the case, `{origin}` by the origin's address, and `{-60}`, `{0}`, `{+60}` by the date so many seconds
/// from now; `{850:+60}` and `{asctime:+60}` write it in the two obsolete forms.
pub fn expand(text: &str, now: i64, here: &str, origin: SocketAddr) -> String {
    let mut parts = text.split('{');
    let mut done = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or_else(|| panic!("no end of a brace: {text}"));
        let seconds = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("no such brace: {name}"));
        done.push_str(&match name {
            "here" => here.to_string(),
            "origin" => origin.to_string(),
            _ => match name.split_once(':') {
                Some(("850", offset)) => date_850(now, seconds(offset)),
                Some((_, offset)) => date_asctime(now, seconds(offset)),
                None => date(now, seconds(name)),
            },
        });
        done.push_str(rest);
    }
    done
}

const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Weekday, day, month, year, and the time of the day.
fn civil(now: i64, offset: i64) -> (&'static str, i64, &'static str, i64, String) {
    let seconds = now + offset;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // From days to a date of the Gregorian calendar, by eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12;
    let year = year + era * 400 + i64::from(month < 2);
    let pick = |at: i64| usize::try_from(at).unwrap();
    let time = format!("{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
    (DAYS[pick(days.rem_euclid(7))], day, MONTHS[pick(month)], year, time)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn date(now: i64, offset: i64) -> String {
    let (weekday, day, month, year, time) = civil(now, offset);
    format!("{}, {day:02} {month} {year} {time} GMT", &weekday[..3])
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
pub fn date_850(now: i64, offset: i64) -> String {
    let (weekday, day, month, year, time) = civil(now, offset);
    format!("{weekday}, {day:02}-{month}-{:02} {time} GMT", year % 100)
}

/// `Sun Nov  6 08:49:37 1994`.
pub fn date_asctime(now: i64, offset: i64) -> String {
    let (weekday, day, month, year, time) = civil(now, offset);
    format!("{} {month} {day:2} {time} {year}", &weekday[..3])
}

#[test]
fn the_three_forms_of_a_date_are_those_of_rfc_9110() {
    let example = 784_111_777;
    assert_eq!(date(example, 0), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(date_850(example, 0), "Sunday, 06-Nov-94 08:49:37 GMT");
    assert_eq!(date_asctime(example, 0), "Sun Nov  6 08:49:37 1994");
    assert_eq!(date(0, 0), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(date(951_782_400, 0), "Tue, 29 Feb 2000 00:00:00 GMT");
    assert_eq!(date(951_782_400, 86_400), "Wed, 01 Mar 2000 00:00:00 GMT");
}
