//! Mails made to break what reads them.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use gatehouse_domain::analysis::IndicatorKind;
use gatehouse_mail::{MAX_FILE, MAX_FILES, MAX_MAIL, MAX_URLS, Reported, take_apart};
use proptest::prelude::*;

/// Far from what an unoptimised build needs, near enough to tell linear work from quadratic.
const SOON: Duration = Duration::from_secs(30);

fn soon(raw: &[u8]) -> Reported {
    let start = Instant::now();
    let found = take_apart(raw).expect("a mail");
    let taken = start.elapsed();
    assert!(taken < SOON, "{taken:?} for {} bytes", raw.len());
    assert!(found.indicators.len() <= MAX_URLS + MAX_FILES + 16 && found.summary.notes.len() <= 30);
    found
}

fn urls(found: &Reported) -> Vec<&str> {
    found.indicators.iter().filter(|i| i.kind == IndicatorKind::Url).map(|i| i.value.as_str()).collect()
}

fn noted(found: &Reported, words: &str) -> bool {
    found.summary.notes.iter().any(|note| note.contains(words))
}

#[test]
fn attached_mails_without_end() {
    let mut raw = "Content-Type: message/rfc822\n\n".repeat(200_000);
    raw.push_str("Subject: x\n\nhttp://example.com/deep");
    soon(raw.as_bytes());
    // As deep as is allowed, everything is found.
    let mut raw = "Content-Type: message/rfc822\n\n".repeat(8);
    raw.push_str("Subject: http://example.com/subject\n\nhttp://example.com/deep");
    assert_eq!(urls(&soon(raw.as_bytes())), ["http://example.com/subject", "http://example.com/deep"]);
    // A level deeper, the mail is a file.
    let deeper = format!("Content-Type: message/rfc822\n\n{raw}");
    let found = soon(deeper.as_bytes());
    assert_eq!(found.files.len(), 1);
    assert_eq!(found.files[0].name, "attachment-1.eml");
    assert!(noted(&found, "8 deep"));
}

#[test]
fn multiparts_without_end() {
    let mut raw = String::new();
    for i in 0..100_000 {
        write!(raw, "Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n").unwrap();
    }
    raw.push_str("Subject: x\n\nhi");
    assert!(noted(&soon(raw.as_bytes()), "nested more than 8"));
}

#[test]
fn thousands_of_parts() {
    // Each claims to be a multipart and never has a part.
    let mut raw = String::from("Content-Type: multipart/mixed; boundary=b\n\n");
    for i in 0..20_000 {
        write!(raw, "--b\nContent-Type: multipart/mixed; boundary=no{i}\n\nhttp://example.com/{i}\n").unwrap();
    }
    let found = soon(raw.as_bytes());
    assert_eq!(urls(&found).len(), MAX_URLS);
    assert!(noted(&found, "more than 2000 parts") && noted(&found, "200 different links"));
    // Each is a file.
    let mut raw = String::from("Content-Type: multipart/mixed; boundary=b\n\n");
    for i in 0..10_000 {
        write!(raw, "--b\nContent-Disposition: attachment; filename=f{i}\n\ncontent {i}\n").unwrap();
    }
    raw.push_str("--b--\n");
    let found = soon(raw.as_bytes());
    assert_eq!(found.files.len(), MAX_FILES);
    assert!(noted(&found, "50 attachments"));
    assert!(!noted(&found, "cut off"));
    // Nothing but delimiters.
    soon(format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n".repeat(1_000_000)).as_bytes());
}

#[test]
fn headers_of_a_megabyte() {
    for field in ["Subject", "From", "Content-Type", "Received", "Content-Disposition", "X-Other"] {
        for filling in
            ["a", "=?utf-8?Q?", "=?a?b?YQ==?= ", "; a=\"", "; filename*1=x", "(", "from [", "\n ", "\"\\", "://", "[.]x"]
        {
            let raw = format!("{field}: {}\nSubject: x\n\nhttp://example.com/", filling.repeat((1 << 20) / filling.len()));
            let found = soon(raw.as_bytes());
            let shown = [&found.summary.subject, &found.summary.from];
            assert!(shown.into_iter().flatten().all(|text| text.chars().count() <= 998));
        }
    }
    let many = format!("{}\nhttp://example.com/", "Received: from a (a [10.0.0.1]) by b\n".repeat(30_000));
    assert_eq!(urls(&soon(many.as_bytes())), ["http://example.com/"]);
}

#[test]
fn markup_and_text_made_to_be_slow() {
    for filling in [
        "<a a",
        " a=1",
        "<a href=http://example.com/>",
        "<!--[if ]><",
        "<noscript><a>",
        "<",
        "&amp",
        "<a href='",
        "<b>",
        "</a",
        "<![CDATA[",
    ] {
        let html = format!("<a {}", filling.repeat((1 << 20) / filling.len()));
        soon(format!("Content-Type: text/html\n\n{html}").as_bytes());
    }
    for filling in ["http://", "://[", "a.", "hxxp[:]//", "[.]", "www.", "(", "x[.]y ", "http://a.example/((((", "@", "ä", "--b"]
    {
        soon(format!("Subject: x\n\n{}", filling.repeat((1 << 20) / filling.len())).as_bytes());
    }
    soon(format!("Content-Transfer-Encoding: quoted-printable\n\n{}", "= ".repeat(1 << 19)).as_bytes());
}

#[test]
fn fifty_megabytes() {
    // In many texts.
    let mut raw = String::from("Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n");
    let html = "<p>Some words, and <a href=\"https://example.com/a\">a link</a>.</p>\n".repeat(65_000);
    for _ in 0..12 {
        write!(raw, "--b\nContent-Type: text/html\n\n{html}").unwrap();
    }
    raw.push_str("--b--\n");
    assert!(raw.len() > 50_000_000);
    let found = soon(raw.as_bytes());
    assert_eq!(urls(&found), ["https://example.com/a"]);
    assert!(noted(&found, "8 MiB in all"));
    // In one file: it is hashed, and not kept.
    let line = "QUJD".repeat(19) + "\r\n";
    let head = "Subject: x\r\nContent-Type: application/zip; name=big.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let raw = head.to_string() + &line.repeat(50_000_000 / line.len());
    let found = soon(raw.as_bytes());
    assert_eq!((found.files.len(), found.files[0].bytes.len()), (1, 0));
    assert_eq!(found.files[0].sha256.len(), 64);
    assert!(noted(&found, "“big.zip” is larger than 20 MiB"));
}

#[test]
fn sizes_at_the_limits() {
    let error = take_apart(&vec![b'a'; MAX_MAIL + 1]).unwrap_err();
    assert!(error.contains("at most 64 MiB"), "{error}");
    let of = |size: usize| format!("Content-Type: application/zip; name=a.zip\n\n{}", "x".repeat(size)).into_bytes();
    assert_eq!(soon(&of(MAX_FILE)).files[0].bytes.len(), MAX_FILE);
    assert!(soon(&of(MAX_FILE + 1)).files[0].bytes.is_empty());
}

/// The names of the files that are asked about.
fn names(found: &Reported) -> Vec<&str> {
    found.indicators.iter().filter(|i| i.kind == IndicatorKind::File).filter_map(|i| i.note.as_deref()).collect()
}

#[test]
fn reports_are_skipped_unless_they_are_offered_as_files() {
    for kind in ["message/delivery-status", "message/disposition-notification", "message/feedback-report", "text/rfc822-headers"]
    {
        let of = |headers: &str| {
            let raw = format!(
                "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: {kind}{headers}\n\nX: http://a.example/\n--b--\n"
            );
            soon(raw.as_bytes())
        };
        let found = of("");
        assert!(found.indicators.is_empty(), "{kind}: {found:?}");
        assert_eq!(names(&of("; name=a.exe")), ["a.exe"], "{kind}");
        assert_eq!(names(&of("\nContent-Disposition: inline; filename=a.exe")), ["a.exe"], "{kind}");
        assert_eq!(names(&of("\nContent-Disposition: attachment")).len(), 1, "{kind}");
    }
}

#[test]
fn a_signature_is_hidden_only_by_a_name_of_one() {
    for (name, hidden) in [
        ("", true),
        ("; name=signature.asc", true),
        ("; name=a.SIG", true),
        ("; name=smime.p7s", true),
        ("; name=a.js", false),
        ("; name=a.asc.bat", false),
        ("; name=asc", false),
    ] {
        let raw = format!(
            "Content-Type: multipart/signed; boundary=b\n\n--b\n\nhi\n--b\nContent-Type: application/pgp-signature{name}\n\n\
             -----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n--b--\n"
        );
        assert_eq!(soon(raw.as_bytes()).files.is_empty(), hidden, "{name}");
    }
}

#[test]
fn links_that_are_too_long_leave_a_note() {
    const NOTE: &str = "A link is too long to be looked at.";
    for (length, told) in [(8000, false), (9000, true), (20_000, true)] {
        let link = format!("https://a.example/{}", "x".repeat(length));
        for raw in [
            format!("Content-Type: text/html\n\n<a href=\"{link}\">x</a> https://b.example/"),
            format!("Content-Type: text/html\n\n<p>{link} https://b.example/</p>"),
            format!("Subject: x\n\n{link} https://b.example/"),
        ] {
            let found = soon(raw.as_bytes());
            assert_eq!(noted(&found, NOTE), told, "{length}");
            assert_eq!(urls(&found).len(), if told { 1 } else { 2 }, "what else there is is found");
        }
    }
    let picture = format!("Content-Type: text/html\n\n<img src=\"data:image/png;base64,{}\">", "x".repeat(20_000));
    assert!(!noted(&soon(picture.as_bytes()), NOTE));
}

#[test]
fn equal_files_are_listed_with_each_extension() {
    let mut raw = String::from("Content-Type: multipart/mixed; boundary=b\n\n");
    for name in ["a.pdf", "b.PDF", "c.exe", "d.tar.gz", "e.gz", "f", "g"] {
        write!(raw, "--b\nContent-Disposition: attachment; filename={name}\n\nthe same\n").unwrap();
    }
    raw.push_str("--b\nContent-Disposition: attachment; filename=h.pdf\n\nanother\n--b--\n");
    let found = soon(raw.as_bytes());
    assert_eq!(names(&found), ["a.pdf", "c.exe", "d.tar.gz", "e.gz", "f", "h.pdf"]);
    assert_eq!(found.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["a.pdf", "h.pdf"]);
}

#[test]
fn what_is_no_mail_says_so() {
    for (raw, words) in [
        (&b""[..], "empty"),
        (b" \r\n\t\r\n", "empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not an e-mail"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 ...", ".eml"),
    ] {
        let error = take_apart(raw).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    // Headers alone, and text alone, are something.
    assert_eq!(take_apart(b"Subject: only this").unwrap().summary.subject.as_deref(), Some("only this"));
    assert_eq!(urls(&take_apart(b"<html><a href='http://example.com/'>x</a>").unwrap()), ["http://example.com/"]);
    assert_eq!(
        take_apart(b"From someone Tue Oct 14 08:12:09 2025\nSubject: mbox\n\nx").unwrap().summary.subject.as_deref(),
        Some("mbox")
    );
}

/// Pieces that mails are made of, in any order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("Content-Type: multipart/mixed; boundary=b\r\n".to_string()),
        Just("Content-Type: multipart/alternative; boundary=\"c\"\n".to_string()),
        Just("Content-Type: message/rfc822\n".to_string()),
        Just("Content-Type: text/html; charset=utf-7\n".to_string()),
        Just("Content-Transfer-Encoding: base64\n".to_string()),
        Just("Content-Transfer-Encoding: quoted-printable\n".to_string()),
        Just("Content-Disposition: attachment; filename*0*=utf-8''a%; filename*1=\n".to_string()),
        Just("Received: from x (x [192.0.2.1]) by\n".to_string()),
        Just("Subject: =?utf-8?B?\n".to_string()),
        Just("\n\n".to_string()),
        Just("\r\n--b\r\n".to_string()),
        Just("\n--c\n".to_string()),
        Just("\n--c--\n".to_string()),
        Just("\n--b--\n".to_string()),
        Just("<a href=\"http://example.com/ä\">".to_string()),
        Just("=\n=3D=E4=".to_string()),
        Just("http://a.example/".to_string()),
        "\\PC{0,12}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

fn holds_together(raw: &[u8]) -> Result<(), TestCaseError> {
    let Ok(found) = take_apart(raw) else { return Ok(()) };
    prop_assert_eq!(take_apart(raw), Ok(found.clone()));
    for indicator in &found.indicators {
        match indicator.kind {
            IndicatorKind::Url => {
                prop_assert_eq!(gatehouse_mail::url(&indicator.value).map(|read| read.kind), Ok(IndicatorKind::Url));
            }
            IndicatorKind::Ip => {
                prop_assert_eq!(gatehouse_mail::ip(&indicator.value).map(|read| read.value), Ok(indicator.value.clone()))
            }
            _ => {
                prop_assert!(indicator.note.is_some() && found.files.iter().any(|file| file.sha256 == indicator.value));
                prop_assert_eq!(gatehouse_mail::hash(&indicator.value).map(|read| read.value), Ok(indicator.value.clone()));
            }
        }
    }
    for file in &found.files {
        prop_assert!(!file.name.is_empty() && !file.name.contains(['/', '\\']) && !file.name.chars().any(char::is_control));
    }
    let summary = &found.summary;
    for text in [&summary.subject, &summary.from, &summary.to, &summary.date, &summary.message_id].into_iter().flatten() {
        prop_assert!(text.chars().count() <= 998 && !text.chars().any(char::is_control));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_or_refused(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        holds_together(&raw)?;
    }

    #[test]
    fn any_order_of_pieces_is_read(raw in pieces()) {
        holds_together(&raw)?;
    }

    /// A mail cut anywhere gives what there is.
    #[test]
    fn a_mail_cut_anywhere_is_read(at in 1..2600_usize, flip in 0..2600_usize, to in any::<u8>()) {
        let mut raw = include_bytes!("corpus/01-credential-phish.eml").to_vec();
        let last = raw.len() - 1;
        raw[flip.min(last)] = to;
        raw.truncate(at);
        holds_together(&raw)?;
    }
}
