//! How much memory a large mail takes. Alone in its file: the measure is of the whole process.

#![cfg(target_os = "linux")]

/// The most memory this process ever had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("how much");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("in kB") * 1024
}

#[test]
fn a_large_mail_takes_less_than_four_times_its_size() {
    let line = "QUJD".repeat(19) + "\r\n";
    let base64 = line.repeat(24_000_000 / line.len());
    let html =
        "<p><a href=\"https://example.com/a\">https://example.org</a> and https://example.net/ (x) text</p>\r\n".repeat(20_000);
    let mut raw = String::from("Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
    for name in ["a.zip", "b.zip"] {
        raw += &format!("--b\r\nContent-Type: text/html\r\n\r\n{html}\r\n");
        raw += &format!(
            "--b\r\nContent-Type: application/zip; name={name}\r\nContent-Transfer-Encoding: base64\r\n\r\n{base64}{name}\r\n"
        );
    }
    raw += "--b--\r\n";
    assert!(raw.len() > 50_000_000);
    let before = peak();
    let found = gatehouse_mail::take_apart(raw.as_bytes()).unwrap();
    let taken = peak() - before;
    assert_eq!(found.files.len(), 2);
    assert!(taken < 3 * raw.len(), "{taken} bytes on top of a mail of {}", raw.len());
}
