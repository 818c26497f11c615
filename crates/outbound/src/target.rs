//! The target: one GET, the status of its answer, and the address it saw.

use std::net::IpAddr;

use gatehouse_domain::TestTarget;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    head::{Head, HeadError, read_head},
    problem::Problem,
    wire::Wire,
};

/// Who asks.
pub(crate) const USER_AGENT: &str = concat!("Gatehouse/", env!("CARGO_PKG_VERSION"));

/// The most of a body that is read.
const MAX_BODY: usize = 64 * 1024;

/// A request head without its last, empty line. `request_target` is the path, or the whole URL for an HTTP proxy.
pub(crate) fn request(target: &TestTarget, request_target: &str) -> String {
    format!(
        "GET {request_target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nConnection: close\r\n",
        target.host_field()
    )
}

/// What the target answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `None` when it was too large to be taken: the status proves the path all the same.
    head: Option<Head>,
}

impl From<Head> for Answer {
    fn from(head: Head) -> Self {
        Self { status: head.status, head: Some(head) }
    }
}

/// Asks the target and reads the head of its answer; interim answers (RFC 9110, section 15.2) are passed over.
pub(crate) async fn ask(wire: &mut Wire, target: &TestTarget) -> Result<Answer, Problem> {
    let request = request(target, &target.path) + "\r\n";
    // A target that refuses early may close before it has read everything; its answer is there all the same.
    let _ = async {
        wire.write_all(request.as_bytes()).await?;
        wire.flush().await
    }
    .await;
    loop {
        match read_head(wire).await {
            Ok(head) if matches!(head.status, 100 | 102..=199) => {}
            Ok(head) => return Ok(head.into()),
            Err(HeadError::TooLarge { status: Some(status) }) => return Ok(Answer { status, head: None }),
            Err(HeadError::Closed { .. }) => return Err(Problem::TargetClosed),
            Err(HeadError::NotHttp(_) | HeadError::TooLarge { status: None }) => return Err(Problem::TargetNotHttp),
        }
    }
}

/// The address that the target saw, if its answer tells. Nothing that is wrong with the body is a failure.
pub(crate) async fn egress(wire: &mut Wire, answer: &Answer) -> Option<IpAddr> {
    let head = answer.head.as_ref().filter(|head| matches!(head.status, 200 | 203))?;
    let body = read_body(wire, head).await?;
    address_in(&body)
}

/// A whole body (RFC 9112, section 6.3), or what fits into [`MAX_BODY`] of it.
async fn read_body(wire: &mut Wire, head: &Head) -> Option<Vec<u8>> {
    if head.text("transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked")) {
        return read_chunks(wire).await;
    }
    let length = match head.text("content-length") {
        Some(length) => Some(length.parse::<usize>().ok()?.min(MAX_BODY)),
        None => None,
    };
    let mut body = Vec::new();
    while body.len() < length.unwrap_or(MAX_BODY) {
        let before = body.len();
        let mut chunk = [0; 4096];
        let room = chunk.len().min(length.unwrap_or(MAX_BODY) - before);
        match wire.read(&mut chunk[..room]).await {
            Ok(0) | Err(_) => break,
            Ok(read) => body.extend_from_slice(&chunk[..read]),
        }
    }
    // Half an address is another address.
    length.is_none_or(|length| body.len() == length).then_some(body)
}

/// A body in chunks (RFC 9112, section 7.1); trailers are not waited for.
async fn read_chunks(wire: &mut Wire) -> Option<Vec<u8>> {
    let (mut raw, mut at, mut body) = (Vec::new(), 0, Vec::new());
    loop {
        match httparse::parse_chunk_size(&raw[at..]).ok()? {
            httparse::Status::Complete((_, 0)) => return Some(body),
            httparse::Status::Complete((head, size)) => {
                let size = usize::try_from(size).ok().filter(|size| *size <= MAX_BODY)?;
                let data = at + head;
                if let Some(chunk) = raw.get(data..data + size).filter(|_| raw.len() >= data + size + 2) {
                    body.extend_from_slice(chunk);
                    at = data + size + 2;
                    continue;
                }
            }
            httparse::Status::Partial => {}
        }
        let mut chunk = [0; 4096];
        match wire.read(&mut chunk).await {
            Ok(read) if read > 0 && raw.len() < 2 * MAX_BODY => raw.extend_from_slice(&chunk[..read]),
            _ => return None,
        }
    }
}

/// Finds the address in what such services answer: the address alone; a line `ip=…`; a JSON object with `ip`, `origin`,
/// `query` or `address`. Only what parses as an address counts, so nothing else of the body can reach a report.
fn address_in(body: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let parse = |text: &str| text.trim().parse::<IpAddr>().ok().map(|address| address.to_canonical());
    if let Some(address) = parse(text) {
        return Some(address);
    }
    if text.starts_with('{') {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        return ["ip", "origin", "query", "address"].into_iter().find_map(|key| {
            // With several in a row (X-Forwarded-For), the last is the one that reached the target.
            value.get(key)?.as_str()?.rsplit(',').next().and_then(parse)
        });
    }
    text.lines().find_map(|line| line.strip_prefix("ip=").and_then(parse))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_address_is_found_in_what_services_answer() {
        for (body, expected) in [
            ("203.0.113.7\n", Some("203.0.113.7")),
            ("2001:db8::7", Some("2001:db8::7")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("fl=1\nh=x\nip=203.0.113.7\nts=1", Some("203.0.113.7")),
            ("{\"ip\":\"203.0.113.7\"}", Some("203.0.113.7")),
            ("{\"origin\": \"10.0.0.1, 203.0.113.7\"}", Some("203.0.113.7")),
            ("{\"status\":\"success\",\"query\":\"203.0.113.7\"}", Some("203.0.113.7")),
            ("{\"address\":\"2001:db8::7\",\"ip\":7}", Some("2001:db8::7")),
            ("{\"ip\":\"secret\"}", None),
            ("{\"ip\":", None),
            ("ip=secret", None),
            ("your ip is 203.0.113.7", None),
            ("<html>203.0.113.7</html>", None),
            ("", None),
        ] {
            assert_eq!(address_in(body.as_bytes()), expected.map(|e| e.parse().unwrap()), "{body}");
        }
    }

    async fn answer(bytes: &[u8]) -> Result<(u16, Option<IpAddr>), Problem> {
        let (mut far, near) = tokio::io::duplex(1024 * 1024);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        let mut wire = Wire::new(near);
        let answer = ask(&mut wire, &TestTarget::parse("http://example.com/").unwrap()).await?;
        Ok((answer.status, egress(&mut wire, &answer).await))
    }

    #[tokio::test]
    async fn answers_are_read_as_far_as_they_are_needed() {
        let seen = Some(IpAddr::from([203, 0, 113, 7]));
        for (bytes, expected) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n203.0.113.7"[..], Ok((200, seen))),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n203.0.113.7 more", Ok((200, seen))),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n203.\r\n7;x=y\r\n0.113.7\r\n0\r\n\r\n", Ok((200, seen))),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n203.\r\nzz\r\n", Ok((200, None))),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff0\r\n", Ok((200, None))),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n203.0.113.7", Ok((200, None))),
            (b"HTTP/1.1 404 Not Found\r\n\r\n203.0.113.7", Ok((404, None))),
            (b"HTTP/1.1 999 x\r\n\r\n", Ok((999, None))),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Ok((101, None))),
            (b"garbage", Err(Problem::TargetNotHttp)),
            (b"", Err(Problem::TargetClosed)),
            (b"HTTP/1.1 100 Continue\r\n\r\n", Err(Problem::TargetClosed)),
        ] {
            assert_eq!(answer(bytes).await, expected, "{}", String::from_utf8_lossy(bytes));
        }
        let huge_head = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(crate::head::MAX_BYTES));
        assert_eq!(answer(huge_head.as_bytes()).await, Ok((200, None)));
        let huge_body = format!("HTTP/1.1 200 OK\r\n\r\nip=203.0.113.7\n{}", "x\n".repeat(MAX_BODY));
        assert_eq!(answer(huge_body.as_bytes()).await, Ok((200, seen)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, chunked: bool) {
            let _ = address_in(&bytes);
            let field = if chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
            let bytes = [format!("HTTP/1.1 200 OK\r\n{field}\r\n").as_bytes(), &bytes].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert!(runtime.block_on(answer(&bytes)).is_ok());
        }
    }
}
