//! The parts of a mail, in one pass over its bytes.

use std::borrow::Cow;

use gatehouse_domain::analysis::{Indicator, IndicatorKind};

use crate::{
    Collector, MAX_LEVELS, MAX_PARTS, MAX_TEXT,
    codecs::Encoding,
    headers::{self, Headers, Parameters, is_invisible, to_text},
    received,
};

/// A longer boundary is none (RFC 2046 allows 70 characters).
const MAX_BOUNDARY: usize = 250;

/// Something that holds parts and is not over yet.
enum Frame {
    Multipart { boundary: Vec<u8>, is_digest: bool, is_signed: bool },
    Mail,
}

/// A line that ends a part.
struct Delimiter {
    /// Of which frame.
    frame: usize,
    /// It has no more parts.
    closes: bool,
    /// Where the line ends.
    after: usize,
}

/// Reads a mail that is attached `level` deep.
pub(crate) fn walk(raw: &[u8], level: usize, found: &mut Collector) {
    let mut stack: Vec<Frame> = Vec::new();
    let mut at = 0;
    let mut is_mail = true;
    loop {
        found.parts += 1;
        if found.parts > MAX_PARTS {
            found.note(format!("The mail has more than {MAX_PARTS} parts: the rest was not looked at."));
            return;
        }
        let mails = stack.iter().filter(|frame| matches!(frame, Frame::Mail)).count();
        let level = level + mails;
        let (fields, body) = headers::read(raw, at, |line| matching(&stack, line).is_some());
        if is_mail {
            mail(&fields, level, found);
        }
        let part = Part::read(&fields, &stack, is_mail && !fields.any);
        let depth = stack.iter().rev().take_while(|frame| matches!(frame, Frame::Multipart { .. })).count();
        is_mail = false;

        let mut delimiter = None;
        let mut is_container = false;
        if let Some(boundary) = part.boundary() {
            if depth >= MAX_LEVELS {
                found.note(format!("Parts nested more than {MAX_LEVELS} deep were not looked at."));
            } else {
                stack.push(Frame::Multipart {
                    boundary: boundary.to_vec(),
                    is_digest: part.kind == "multipart/digest",
                    is_signed: part.kind == "multipart/signed",
                });
                let (_, next) = seek(raw, body, &stack);
                is_container = next.as_ref().is_some_and(|next| next.frame + 1 == stack.len());
                if is_container {
                    delimiter = next;
                } else {
                    stack.pop();
                }
            }
        } else if part.kind == "message/rfc822" && part.is_plain() && level < MAX_LEVELS {
            stack.push(Frame::Mail);
            at = skip_blank_lines(raw, body);
            is_mail = true;
            continue;
        }
        if !is_container {
            let (end, next) = seek(raw, body, &stack);
            delimiter = next;
            let in_signed = matches!(stack.last(), Some(Frame::Multipart { is_signed: true, .. }));
            if part.boundary().is_none() || depth < MAX_LEVELS {
                leaf(&part, &raw[body..end], level, in_signed, found);
            }
        }
        // On to the next part that begins.
        loop {
            let Some(Delimiter { frame, closes, after }) = delimiter else {
                if stack.iter().any(|frame| matches!(frame, Frame::Multipart { .. })) {
                    found.note("The mail ends in the middle of a part: it was cut off.");
                }
                return;
            };
            stack.truncate(frame + usize::from(!closes));
            if !closes {
                at = after;
                break;
            }
            if stack.is_empty() {
                return;
            }
            delimiter = seek(raw, after, &stack).1;
            // Nothing is waited for any more: what follows belongs to no part.
            if delimiter.is_none() && stack.iter().all(|frame| matches!(frame, Frame::Mail)) {
                return;
            }
        }
    }
}

fn skip_blank_lines(raw: &[u8], mut at: usize) -> usize {
    while matches!(raw.get(at), Some(b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// The next delimiter of any open multipart, and where what stands before it ends.
fn seek(raw: &[u8], from: usize, stack: &[Frame]) -> (usize, Option<Delimiter>) {
    let mut at = from;
    while at < raw.len() {
        let line = headers::line(raw, at);
        if line.starts_with(b"--")
            && let Some((frame, closes)) = matching(stack, line.trim_ascii_end())
        {
            // The line break before it is the delimiter's.
            let before = &raw[from..at];
            let before = before.strip_suffix(b"\n").unwrap_or(before);
            let before = before.strip_suffix(b"\r").unwrap_or(before);
            return (from + before.len(), Some(Delimiter { frame, closes, after: at + line.len() }));
        }
        at += line.len();
    }
    (raw.len(), None)
}

/// Which open multipart this line is a delimiter of, the innermost first, and whether it is the last one.
fn matching(stack: &[Frame], line: &[u8]) -> Option<(usize, bool)> {
    let line = line.strip_prefix(b"--").filter(|line| line.len() <= MAX_BOUNDARY + 2)?;
    stack.iter().enumerate().rev().find_map(|(at, frame)| match frame {
        Frame::Multipart { boundary, .. } => match line.strip_prefix(boundary.as_slice()) {
            Some(b"") => Some((at, false)),
            Some(b"--") => Some((at, true)),
            _ => None,
        },
        Frame::Mail => None,
    })
}

/// What a mail says about itself; the outermost fills the summary.
fn mail(fields: &Headers<'_>, level: usize, found: &mut Collector) {
    if !fields.any {
        found.note(if level == 0 {
            "This has no mail headers: it was read as text. Report the whole mail to learn who sent it."
        } else {
            "An attached mail has no headers."
        });
        return;
    }
    let subject = fields.shown("subject");
    let sender = received::sender(fields.all("received").take(100), fields.first("x-originating-ip")).map(|ip| ip.to_string());
    if let Some(value) = &sender
        && !found.senders.iter().any(|other| other.value == *value)
    {
        let note = if level == 0 { "sender" } else { "attached mail" };
        found.senders.push(Indicator { kind: IndicatorKind::Ip, value: value.clone(), note: Some(note.into()) });
    }
    if let Some(subject) = &subject {
        found.text(subject, if level == 0 { "subject" } else { "attached mail" });
    }
    if level == 0 {
        found.summary.subject = subject;
        found.summary.from = fields.shown("from");
        found.summary.to = fields.shown("to");
        found.summary.date = fields.shown("date");
        found.summary.message_id = fields.shown("message-id");
        found.summary.sender_ip = sender;
    }
}

/// What the headers of a part say.
struct Part {
    /// `text/html`
    kind: String,
    content_type: Parameters,
    is_attachment: bool,
    name: Option<String>,
    encoding: Encoding,
    cid: Option<String>,
    /// There is nothing but a text: no headers say what it is.
    is_bare: bool,
}

impl Part {
    fn read(fields: &Headers<'_>, stack: &[Frame], is_bare: bool) -> Self {
        let content_type = fields.parameters("content-type");
        let disposition = fields.parameters("content-disposition");
        let in_digest = matches!(stack.last(), Some(Frame::Multipart { is_digest: true, .. }));
        let kind = match content_type.value.as_str() {
            "" | "text" if in_digest => "message/rfc822",
            "" | "text" => "text/plain",
            "message/global" => "message/rfc822",
            "application/xhtml+xml" => "text/html",
            kind => kind,
        };
        let name = disposition.text("filename").and_then(|name| file_name(&name));
        Self {
            kind: kind.to_string(),
            is_attachment: disposition.value == "attachment",
            name: name.or_else(|| content_type.text("name").and_then(|name| file_name(&name))),
            encoding: Encoding::read(fields.first("content-transfer-encoding").as_deref()),
            cid: fields
                .first("content-id")
                .map(|id| String::from_utf8_lossy(&id).trim().trim_start_matches('<').trim_end_matches('>').to_string()),
            content_type,
            is_bare,
        }
    }

    fn boundary(&self) -> Option<&[u8]> {
        if !self.kind.starts_with("multipart/") {
            return None;
        }
        let boundary = self.content_type.plain("boundary")?.trim_ascii_end();
        (!boundary.is_empty() && boundary.len() <= MAX_BOUNDARY).then_some(boundary)
    }

    fn is_plain(&self) -> bool {
        matches!(self.encoding, Encoding::Identity | Encoding::Unknown)
    }
}

/// A part that holds no others.
fn leaf(part: &Part, body: &[u8], level: usize, in_signed: bool, found: &mut Collector) {
    if part.encoding == Encoding::Unknown {
        found.note("A part has a transfer encoding that is not known: it was read as it is.");
    }
    match part.kind.as_str() {
        "message/rfc822" => {
            let bytes = decode(part, body, found);
            if level < MAX_LEVELS {
                walk(&bytes[skip_blank_lines(&bytes, 0)..], level + 1, found);
            } else {
                found.note(format!("Mails attached more than {MAX_LEVELS} deep are listed as files."));
                found.file(part.name.clone(), &part.kind, None, bytes);
            }
        }
        // What mail servers say about deliveries; no person would look at what is in them. What is offered as a file is one.
        "message/delivery-status" | "message/disposition-notification" | "message/feedback-report" | "text/rfc822-headers"
            if part.name.is_none() && !part.is_attachment => {}
        kind if kind.starts_with("multipart/") => {
            found.note("A multipart section has no parts that could be told apart: it was read as text.");
            text(part, body, level, found);
        }
        kind if kind.starts_with("text/") => {
            let is_shown = !part.is_attachment && (part.name.is_none() || matches!(kind, "text/plain" | "text/html"));
            // Invitations are shown as such, attached or not.
            if is_shown || kind == "text/calendar" {
                text(part, body, level, found);
            }
            if part.is_attachment || part.name.is_some() {
                let bytes = decode(part, body, found);
                found.file(part.name.clone(), kind, None, bytes);
            }
        }
        kind => {
            let bytes = decode(part, body, found);
            if in_signed && part.name.as_deref().is_none_or(names_signature) && is_signature(&bytes) {
                return;
            }
            // Some programs attach mails as files of no kind.
            let is_mail = part.name.as_deref().is_some_and(|name| name.to_ascii_lowercase().ends_with(".eml"));
            if is_mail && level < MAX_LEVELS && headers::read(&bytes, 0, |_| false).0.any {
                walk(&bytes, level + 1, found);
            }
            let is_picture = part.name.is_none() && !part.is_attachment && kind.starts_with("image/");
            found.file(part.name.clone(), kind, part.cid.clone().filter(|_| is_picture), bytes);
        }
    }
}

fn decode<'a>(part: &Part, body: &'a [u8], found: &mut Collector) -> Cow<'a, [u8]> {
    let (bytes, is_whole) = part.encoding.decode(body);
    if !is_whole {
        found.note(match &part.name {
            Some(name) => format!("“{name}” has damaged base64: what is left of it was taken."),
            None => "A part has damaged base64: what is left of it was taken.".into(),
        });
    }
    bytes
}

/// Searches a shown text for links.
fn text(part: &Part, body: &[u8], level: usize, found: &mut Collector) {
    // Encoded text is longer than what it stands for, at most three times.
    let (bytes, is_whole) = part.encoding.decode(&body[..body.len().min(MAX_TEXT * 3)]);
    if !is_whole {
        found.note("A text has damaged base64: what is left of it was read.");
    }
    let granted = found.searchable(bytes.len());
    let bytes = &bytes[..granted];
    let is_html = part.kind == "text/html" || ((part.is_bare || part.kind.starts_with("multipart/")) && looks_like_html(bytes));
    let said = part.content_type.text("charset").or_else(|| if is_html { meta_charset(bytes) } else { None });
    let (mut text, is_known) = to_text(bytes, said.as_deref());
    if !is_known {
        let name: String = said.unwrap_or_default().chars().filter(|c| !is_invisible(*c)).take(40).collect();
        found.note(format!("The character set “{name}” is not known: the text was read as well as possible."));
    }
    if part.kind == "text/calendar" {
        // Long lines are folded (RFC 5545), and line breaks and commas are written with a backslash.
        text = text.replace("\r\n ", "").replace("\n ", "").replace("\r\n\t", "").replace("\n\t", "");
        text = text.replace("\\n", "\n").replace("\\N", "\n").replace("\\,", ",").replace("\\;", ";");
    }
    let place = match (level, is_html) {
        (0, false) => "text",
        (0, true) => "HTML",
        _ => "attached mail",
    };
    if is_html { found.html(&text, place) } else { found.text(&text, place) }
}

fn looks_like_html(bytes: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(2048)]).to_ascii_lowercase();
    ["<html", "<!doctype html", "<body", "<a href", "<table", "<div"].iter().any(|tag| start.contains(tag))
}

fn meta_charset(bytes: &[u8]) -> Option<String> {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(2048)]).to_ascii_lowercase();
    let (_, rest) = start.split_once("charset=")?;
    let name: String = rest
        .trim_start_matches(['"', '\'', ' '])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
        .collect();
    // What is read as bytes can't be in one of these, whatever it says; browsers think so too.
    Some(name).filter(|name| !name.is_empty() && !name.starts_with("utf-16"))
}

/// Whether a file of this name opens as a signature, and as nothing else.
fn names_signature(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".asc", ".sig", ".p7s"].iter().any(|ending| name.ends_with(ending))
}

/// The signature of a signed mail is no attachment; what only calls itself one is.
fn is_signature(bytes: &[u8]) -> bool {
    const SIGNED_DATA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
    if bytes.len() > 64 << 10 {
        return false;
    }
    let text = bytes.trim_ascii();
    let is_pgp = text.starts_with(b"-----BEGIN PGP SIGNATURE-----") && text.ends_with(b"-----END PGP SIGNATURE-----");
    let is_smime = bytes.starts_with(&[0x30]) && bytes.windows(SIGNED_DATA.len()).take(16).any(|window| window == SIGNED_DATA);
    is_pgp || is_smime
}

/// A name without folders, control characters, and what turns the direction of writing; none when nothing is left.
fn file_name(name: &str) -> Option<String> {
    let last = name.trim().rsplit(['/', '\\']).next().unwrap_or_default();
    let name: Vec<char> = last.chars().filter(|c| !is_invisible(*c)).collect();
    let name = if name.len() > 200 {
        // The ending says what it is.
        name[..150].iter().chain(&['…']).chain(&name[name.len() - 49..]).collect()
    } else {
        name.into_iter().collect::<String>()
    };
    let name = name.trim();
    (!name.is_empty() && name != "." && name != "..").then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_made_harmless() {
        for (name, harmless) in [
            ("../../etc/passwd", Some("passwd")),
            (r"C:\temp\a.exe", Some("a.exe")),
            ("invoice\u{202e}fdp.exe", Some("invoicefdp.exe")),
            ("a\r\nb\0.txt", Some("ab.txt")),
            ("..", None),
            ("dir/", None),
            ("  ", None),
        ] {
            assert_eq!(file_name(name).as_deref(), harmless, "{name}");
        }
        let long = file_name(&("x".repeat(300) + ".exe")).unwrap();
        assert!(long.chars().count() == 200 && long.ends_with(".exe"));
    }
}
