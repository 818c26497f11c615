//! The policy's documentation says what the code says: its tables are made of the doc comments in `src/policy/file.rs`, its
//! examples and `examples/policy.toml` are right.
//!
//! `UPDATE_DOCS=1 cargo test -p gatehouse-gateway --test docs` writes the tables anew.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use gatehouse_gateway::policy::Policy;

const BEGIN: &str = "<!-- made of crates/gateway/src/policy/file.rs -->\n";
const END: &str = "<!-- end -->";

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> PathBuf {
    folder().join("../../docs/operator/gateway-policy.md")
}

/// A table for each `section!` of the file.
fn tables(source: &str) -> String {
    let mut text = String::new();
    for section in source.split("\nsection! {\n").skip(1) {
        let section = section.split("\n}\n").next().unwrap();
        let mut comment = String::new();
        let mut head = false;
        for line in section.lines().map(str::trim) {
            if let Some(piece) = line.strip_prefix("///") {
                comment = format!("{comment}{piece}");
            } else if line.starts_with("pub struct") {
                let (name, meaning) = comment.trim().split_once(": ").unwrap();
                write!(text, "### {name}\n\n{}\n\n| Key | Meaning |\n|---|---|\n", capital(meaning)).unwrap();
                (comment, head) = (String::new(), true);
            } else if let Some(field) = line.strip_prefix("pub ").filter(|_| head) {
                let key = field.split(':').next().unwrap();
                let needed = if field.contains('=') { "" } else { " **Needed.**" };
                // Also within code, a table's bar ends the cell.
                writeln!(text, "| `{key}` | {}{needed} |", comment.trim().replace('|', "\\|")).unwrap();
                comment = String::new();
            }
        }
        text.push('\n');
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

#[test]
fn the_tables_are_those_of_the_code() {
    let tables = tables(include_str!("../src/policy/file.rs"));
    let text = std::fs::read_to_string(page()).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (here, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page(), format!("{before}{BEGIN}\n{tables}{END}{after}")).unwrap();
        return;
    }
    assert!(here.trim() == tables.trim(), "docs/operator/gateway-policy.md is behind the code: UPDATE_DOCS=1 writes it anew");
}

/// A folder with everything that the examples name.
fn files() -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    std::fs::create_dir(files.path().join("lists")).unwrap();
    for list in ["malware.txt", "ads.txt", "gambling.txt", "streaming.txt"] {
        std::fs::write(files.path().join("lists").join(list), "listed.example\n").unwrap();
    }
    std::fs::write(files.path().join("upstream.password"), "secret\n").unwrap();
    files
}

fn check(name: &str, text: &str) {
    if let Err(problems) = Policy::parse(text, files().path()) {
        panic!("{name}\n{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn the_examples_of_the_page_are_right() {
    let text = std::fs::read_to_string(page()).unwrap();
    let examples: Vec<&str> = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 3);
    for example in examples {
        check("docs/operator/gateway-policy.md", example);
    }
}

#[test]
fn the_example_file_is_right_and_names_everything() {
    let text = include_str!("../examples/policy.toml");
    check("examples/policy.toml", text);
    // With what is commented out as well.
    let all: String = text.lines().map(|line| format!("{}\n", line.strip_prefix("#:").unwrap_or(line))).collect();
    check("examples/policy.toml, with everything in it", &all);
    for line in tables(include_str!("../src/policy/file.rs")).lines() {
        if let Some(key) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) {
            assert!(all.contains(&format!("{key} = ")), "examples/policy.toml has no {key}");
        }
    }
}

/// The policy of the comparison with other proxies, once its places are filled in as `bench/run` does.
#[test]
fn the_policy_of_the_comparison_is_right() {
    let text = include_str!("../../../benches/policy.toml");
    let filled = [("{origin_http}", "8081"), ("{origin_https}", "8443"), ("{workdir}", "/tmp/work")];
    check("benches/policy.toml", &filled.iter().fold(text.to_string(), |text, (place, value)| text.replace(place, value)));
}
