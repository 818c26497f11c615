//! Keeps the server and its tests on one build of SurrealDB.
//!
//! Cargo merges the features of everything it builds in one go. When a crate that only the tests use asks for one more
//! feature of, say, tokio, the tests get another tokio, and with it another SurrealDB: ten minutes more on a cold machine,
//! and the same again in disk. Nothing fails, so this has to be looked for.

use crate::workspace::{cargo, output};
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// The crate that nobody wants to build twice.
const COSTLY: &str = "surrealdb";

/// Package and version → the sets of features it is built with (more than one, where macros need it too).
type Features = BTreeMap<String, BTreeSet<String>>;

/// `cargo xtask rebuilds`.
pub fn check() -> Result<()> {
    let server = features(&["-p", "gatehouse-server", "-e", "normal,build"])?;
    if !server.keys().any(|package| package.starts_with(&format!("{COSTLY} "))) {
        println!("rebuilds: NOT CHECKED: the server does not use {COSTLY}");
        return Ok(());
    }
    let tests = features(&["--workspace", "--exclude", "frontend", "--exclude", "xtask", "-e", "normal,build,dev"])?;
    let below = features(&["-p", COSTLY, "-e", "normal,build"])?;
    let differing = differing(&below, &server, &tests);
    if !differing.is_empty() {
        bail!(
            "the tests would build {COSTLY} once more, because these have other features there than in the server:\n  {}\n\
             List the features under the crate in [workspace.dependencies] of Cargo.toml, so that both get the same.",
            differing.join("\n  ")
        );
    }
    println!("rebuilds: the server and its tests share one build of {COSTLY}");
    Ok(())
}

fn features(selection: &[&str]) -> Result<Features> {
    let mut command = cargo();
    command.arg("tree").args(selection);
    command.args(["--prefix", "none", "--format", "{p}\t{f}"]);
    Ok(parse(&String::from_utf8_lossy(&output(&mut command)?)))
}

fn parse(tree: &str) -> Features {
    let mut features = Features::new();
    for line in tree.lines() {
        // A package that was listed before is marked (*), after its features.
        let line = line.strip_suffix(" (*)").unwrap_or(line);
        if let Some((package, set)) = line.split_once('\t') {
            features.entry(package.trim().to_owned()).or_default().insert(set.trim().to_owned());
        }
    }
    features
}

/// A line for each package below the costly one that the tests build in a way the server does not.
fn differing(below: &Features, server: &Features, tests: &Features) -> Vec<String> {
    let mut lines = Vec::new();
    for package in below.keys() {
        let (Some(server), Some(tests)) = (server.get(package), tests.get(package)) else {
            continue;
        };
        for set in tests.difference(server) {
            let known: BTreeSet<&str> = server.iter().flat_map(|set| set.split(',')).collect();
            let more: Vec<&str> = set.split(',').filter(|feature| !known.contains(feature)).collect();
            let what = if more.is_empty() { format!("another choice of features: {set}") } else { more.join(", ") };
            lines.push(format!("{package}: {what}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_only_tests_ask_for_is_named() {
        let below = parse("surrealdb v3.3.5\tkv-mem\ntokio v1.50.0\tnet\n");
        let server = parse("tokio v1.50.0\tnet,rt\nserde v1.0.0\tstd\n");
        assert!(differing(&below, &server, &parse("tokio v1.50.0\tnet,rt (*)\n")).is_empty());
        let tests = parse("tokio v1.50.0\tnet,rt,test-util\nserde v1.0.0\tstd,rc\n");
        // serde differs too, but is not below surrealdb in this tree.
        assert_eq!(differing(&below, &server, &tests), ["tokio v1.50.0: test-util"]);
    }
}
