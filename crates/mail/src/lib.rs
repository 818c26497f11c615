//! Reported e-mails, taken apart into indicators. No I/O.
//!
//! What comes in was written by somebody who means harm, so everything is bounded: the work is linear in the size of the mail
//! whatever it claims about itself, nothing recurses deeper than [`MAX_LEVELS`], and what was cut off is said in the summary's
//! notes. The structure of a mail is found by `parts`, in one pass: mail-parser 0.11 ends the process on a 6 MB mail of nested
//! mails (a destructor as deep as the nesting) and takes minutes for one of 20,000 multiparts without their boundaries. Its
//! decoders do the transfer encodings and character sets.

mod codecs;
mod headers;
mod html;
mod indicator;
mod links;
mod parts;
mod received;

use std::collections::HashSet;

use gatehouse_domain::analysis::{Indicator, IndicatorKind, LyingLink, MailSummary};
use sha2::{Digest as _, Sha256};

use indicator::Unfit;
pub use indicator::{hash, indicator, ip, url};

/// A larger mail is refused.
pub const MAX_MAIL: usize = 64 << 20;
/// URLs listed of one mail.
pub const MAX_URLS: usize = 200;
/// Files listed of one mail.
pub const MAX_FILES: usize = 50;
/// The bytes of a larger file are not kept.
pub const MAX_FILE: usize = 20 << 20;
/// How deep mails may be attached to each other, and multiparts nested in one mail.
pub const MAX_LEVELS: usize = 8;
/// What is searched for links in one part.
const MAX_TEXT: usize = 4 << 20;
/// What is searched for links in all parts.
const MAX_ALL_TEXT: usize = 8 << 20;
/// Parts looked at in one mail.
const MAX_PARTS: usize = 2000;
/// Links that lie, listed of one mail.
const MAX_LIES: usize = 100;
/// Notes in one summary.
const MAX_NOTES: usize = 30;
/// The note for links that are left out.
const TOO_LONG: &str = "A link is too long to be looked at.";

/// A reported e-mail, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// What the mail says about itself.
    pub summary: MailSummary,
    /// What engines can be asked about: the sender, then URLs in the order of the mail, then files.
    pub indicators: Vec<Indicator>,
    /// The attachments, each once; each has an indicator with the same SHA-256 for each of its extensions.
    pub files: Vec<ReportedFile>,
}

/// An attachment of a reported e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedFile {
    /// Its name, without folders and control characters; made up where it has none.
    pub name: String,
    /// SHA-256 of the whole file, in lower-case hexadecimal.
    pub sha256: String,
    /// What is in it; empty when it is larger than [`MAX_FILE`], because half a file would get another verdict.
    pub bytes: Vec<u8>,
}

/// Takes a mail apart.
///
/// A broken mail gives what there is, with a note for what could not be read.
///
/// # Errors
/// Why this is no mail at all, for a person.
pub fn take_apart(raw: &[u8]) -> Result<Reported, String> {
    if raw.len() > MAX_MAIL {
        return Err(format!(
            "The mail has {} MiB; at most {} MiB can be looked at. Analyse its attachments one by one.",
            raw.len().div_ceil(1 << 20),
            MAX_MAIL >> 20
        ));
    }
    let raw = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw);
    if raw.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err("This is an Outlook message (.msg). Save the mail as .eml and report that file.".into());
    }
    let start = raw.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(raw.len());
    let raw = &raw[start..];
    if raw.trim_ascii().is_empty() {
        return Err("The mail is empty.".into());
    }
    let mut found = Collector::default();
    if !headers::read(raw, 0, |_| false).0.any && !is_text(raw) {
        return Err("This is not an e-mail: it has neither headers nor text. Report the mail as an .eml file, or paste its \
                    source with all headers."
            .into());
    }
    parts::walk(raw, 0, &mut found);
    Ok(found.finish())
}

/// Whether the beginning reads as text in some character set.
fn is_text(raw: &[u8]) -> bool {
    let start = &raw[..raw.len().min(4096)];
    let odd = start.iter().filter(|b| b.is_ascii_control() && !matches!(b, b'\t' | b'\r' | b'\n' | b'\x0c' | b'\x1b')).count();
    odd * 20 <= start.len() && !start.contains(&0)
}

/// What has been found so far.
#[derive(Debug, Default)]
struct Collector {
    summary: MailSummary,
    senders: Vec<Indicator>,
    urls: Vec<Indicator>,
    seen: HashSet<String>,
    files: Vec<Candidate>,
    cids: HashSet<String>,
    lies: HashSet<(String, String)>,
    nameless: usize,
    /// What may still be searched for links.
    text_left: Option<usize>,
    parts: usize,
}

/// A file, or an image that turns out to be a part of the text.
#[derive(Debug)]
struct Candidate {
    name: Option<String>,
    ending: &'static str,
    /// The Content-ID of an image without a name.
    cid: Option<String>,
    sha256: String,
    size: usize,
    bytes: Vec<u8>,
}

impl Collector {
    fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if self.summary.notes.len() < MAX_NOTES && !self.summary.notes.contains(&note) {
            self.summary.notes.push(note);
        }
    }

    /// False when there are enough.
    fn url(&mut self, value: String, place: &str) -> bool {
        if self.seen.contains(&value) {
            return true;
        }
        if self.urls.len() >= MAX_URLS {
            self.note(format!("The mail has more than {MAX_URLS} different links: only the first {MAX_URLS} are listed."));
            return false;
        }
        self.seen.insert(value.clone());
        self.urls.push(Indicator { kind: IndicatorKind::Url, value, note: Some(place.into()) });
        true
    }

    /// How much of a text may be searched; what is left out is told.
    fn searchable(&mut self, length: usize) -> usize {
        let left = self.text_left.get_or_insert(MAX_ALL_TEXT);
        let granted = length.min(MAX_TEXT).min(*left);
        *left -= granted;
        if granted < length {
            self.note(format!(
                "The mail has very long texts: links were searched for in the first {} MiB of each, {} MiB in all.",
                MAX_TEXT >> 20,
                MAX_ALL_TEXT >> 20
            ));
        }
        granted
    }

    fn text(&mut self, text: &str, place: &str) {
        links::in_text(text, |url| match url {
            Ok(url) => self.url(url, place),
            Err(Unfit::TooLong) => {
                self.note(TOO_LONG);
                true
            }
            Err(Unfit::NoLink) => true,
        });
    }

    fn html(&mut self, html: &str, place: &str) {
        let found = html::read(html);
        for (url, shows) in found.links {
            if let Some(shows) = shows {
                self.lie(shows, &url);
            }
            self.url(url, place);
        }
        if found.cut {
            self.note("An HTML part has more links than could be looked at.");
        }
        if found.too_long {
            self.note(TOO_LONG);
        }
        if self.cids.len() < 10_000 {
            self.cids.extend(found.cids);
        }
        self.text(&found.text, place);
    }

    fn lie(&mut self, shows: String, leads_to: &str) {
        let leads_to = leads_to.to_string();
        if self.lies.len() < MAX_LIES && self.lies.insert((shows.clone(), leads_to.clone())) {
            self.summary.lying_links.push(LyingLink { shows, leads_to });
        }
    }

    /// Takes a file in; `bytes` are dropped again where too many or too large.
    fn file(&mut self, name: Option<String>, kind: &str, cid: Option<String>, bytes: std::borrow::Cow<'_, [u8]>) {
        if self.files.len() >= MAX_FILES {
            self.note(format!("The mail has more than {MAX_FILES} attachments: only the first {MAX_FILES} are listed."));
            return;
        }
        let size = bytes.len();
        if size == 0 {
            if let Some(name) = name {
                self.note(format!("The attachment “{name}” is empty."));
            }
            return;
        }
        let sha256 = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let bytes = if size > MAX_FILE { Vec::new() } else { bytes.into_owned() };
        self.files.push(Candidate { name, ending: ending(kind), cid, sha256, size, bytes });
    }

    fn finish(mut self) -> Reported {
        let mut indicators = std::mem::take(&mut self.senders);
        indicators.append(&mut self.urls);
        let mut files: Vec<ReportedFile> = Vec::new();
        let mut listed = HashSet::new();
        for file in std::mem::take(&mut self.files) {
            let is_shown = file.cid.is_some_and(|cid| self.cids.contains(&cid));
            // What is excluded by one extension must be asked about under another, and the other way round.
            let extension = file.name.as_deref().map_or(file.ending.into(), extension);
            if is_shown || !listed.insert((file.sha256.clone(), extension)) {
                continue;
            }
            let name = file.name.unwrap_or_else(|| {
                self.nameless += 1;
                format!("attachment-{}.{}", self.nameless, file.ending)
            });
            if file.size > MAX_FILE {
                self.note(format!(
                    "“{name}” is larger than {} MiB: engines can be asked about its hash, but not be given the file.",
                    MAX_FILE >> 20
                ));
            }
            indicators.push(Indicator { kind: IndicatorKind::File, value: file.sha256.clone(), note: Some(name.clone()) });
            if files.iter().all(|other| other.sha256 != file.sha256) {
                files.push(ReportedFile { name, sha256: file.sha256, bytes: file.bytes });
            }
        }
        Reported { summary: self.summary, indicators, files }
    }
}

/// What a name ends with as exclusions see it: all of `tar.gz`.
fn extension(name: &str) -> String {
    name.split_once('.').map_or(String::new(), |(_, extension)| extension.to_lowercase())
}

/// For a name that has to be made up.
fn ending(kind: &str) -> &'static str {
    match kind {
        "application/pdf" => "pdf",
        "application/zip" | "application/x-zip-compressed" => "zip",
        "application/pgp-signature" | "application/pgp-encrypted" | "application/pgp-keys" => "asc",
        "application/pkcs7-signature" | "application/x-pkcs7-signature" => "p7s",
        "application/ms-tnef" | "application/vnd.ms-tnef" => "dat",
        "application/msword" => "doc",
        "image/jpeg" | "image/jpg" => "jpg",
        "image/png" => "png",
        "image/gif" => "gif",
        "message/rfc822" => "eml",
        "text/calendar" => "ics",
        "text/html" => "html",
        kind if kind.starts_with("text/") => "txt",
        _ => "bin",
    }
}
