//! Mails that look like real ones, and what a person would list of each.
//!
//! `UPDATE_GOLDEN=1` writes what is found beside the mails: read it before it is committed.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

#[test]
fn what_is_found_is_what_a_person_would_list() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        seen += 1;
        let raw = fs::read(&path).unwrap();
        let found = described(&raw);
        // Line ends are not what a mail says: those that lost their carriage returns give the same.
        let bare: Vec<u8> = raw.iter().copied().filter(|b| *b != b'\r').collect();
        assert_eq!(found["indicators"], described(&bare)["indicators"], "{} without carriage returns", path.display());
        let golden = path.with_extension("expected.json");
        if update {
            fs::write(&golden, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
        } else {
            let expected: Value = serde_json::from_slice(&fs::read(&golden).unwrap_or_default()).unwrap_or_default();
            if found != expected {
                wrong.push(format!("{}:\n{found:#}\nexpected {expected:#}", path.display()));
            }
        }
    }
    assert!(seen >= 14, "only {seen} mails");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn described(raw: &[u8]) -> Value {
    let found = gatehouse_mail::take_apart(raw).expect("a mail");
    let files: Vec<Value> = found
        .files
        .iter()
        .map(|file| json!({"name": file.name, "size": file.bytes.len(), "text": String::from_utf8_lossy(&file.bytes)}))
        .collect();
    json!({"summary": found.summary, "indicators": found.indicators, "files": files})
}
