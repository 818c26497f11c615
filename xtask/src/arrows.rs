//! Holds the crates to the arrows of the design: who may depend on whom.
//!
//! Direct dependencies are read from `cargo metadata`, what a crate pulls in all told from `cargo tree` (metadata merges
//! the features of the whole workspace, so by it the browser's code would hold the server's). Dependencies of tests alone
//! are free: nothing of them ships.

use crate::workspace::{cargo, metadata, output};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Our crates' names, as `Cargo.toml` spells them.
const APP: &str = "gatehouse-app";
const DOMAIN: &str = "gatehouse-domain";
const ENGINES: &str = "gatehouse-engines";
const GATEWAY: &str = "gatehouse-gateway";
const MAIL: &str = "gatehouse-mail";
const FRONTEND: &str = "frontend";
const OUTBOUND: &str = "gatehouse-outbound";
const PLATFORM: &str = "gatehouse-platform";
const SERVER: &str = "gatehouse-server";
const STORE: &str = "gatehouse-store";
const XTASK: &str = "xtask";

/// Which of our crates each of our crates may name. A crate that is not in this list is an error: whoever adds one says
/// here where its arrows go.
const OURS: &[(&str, &[&str])] = &[
    (DOMAIN, &[]),
    (MAIL, &[DOMAIN]),
    (GATEWAY, &[DOMAIN]),
    (PLATFORM, &[DOMAIN, MAIL]),
    (STORE, &[PLATFORM, DOMAIN]),
    (OUTBOUND, &[PLATFORM, DOMAIN]),
    (ENGINES, &[PLATFORM, DOMAIN]),
    (APP, &[PLATFORM, DOMAIN]),
    (FRONTEND, &[APP]),
    (SERVER, &[APP, STORE, OUTBOUND, ENGINES, GATEWAY, PLATFORM, DOMAIN]),
    (XTASK, &[]),
];

/// Crates that only these of ours may name, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    ("surrealdb", &[STORE], "the database is behind the platform's ports: only the store knows it"),
    ("reqwest", &[OUTBOUND], "one door out: only outbound opens outgoing connections"),
];

/// Crates that must not be anywhere in what one of ours pulls in, and why.
const BANNED: &[Ban] = &[
    Ban {
        within: FRONTEND,
        target: Some("wasm32-unknown-unknown"),
        crates: &[
            "surrealdb",
            "surrealdb-core",
            "tokio",
            "reqwest",
            "argon2",
            "rustls",
            PLATFORM,
            STORE,
            OUTBOUND,
            ENGINES,
            MAIL,
        ],
        why: "the browser gets no server code: a server-only dependency of the app belongs under its `ssr` feature",
    },
    Ban {
        within: DOMAIN,
        target: None,
        crates: &["tokio", "hyper", "axum", "surrealdb", "reqwest", "rustls"],
        why: "the domain does no I/O: it is the same code in the browser and on the server",
    },
    Ban {
        within: PLATFORM,
        target: None,
        crates: &["surrealdb", "axum", "hyper", "leptos"],
        why: "the platform knows no database, no HTTP and no screens: it asks through its ports",
    },
];

struct Ban {
    within: &'static str,
    target: Option<&'static str>,
    crates: &'static [&'static str],
    why: &'static str,
}

/// Direct dependencies of each of our crates, those of tests left out.
type Direct = BTreeMap<String, BTreeSet<String>>;

/// `cargo xtask arrows`.
pub fn check() -> Result<()> {
    let mut broken = direct_rules(&direct(&metadata(&["--no-deps"])?)?);
    for ban in BANNED {
        let tree = tree(ban)?;
        broken.extend(ban_rule(ban, &tree));
    }
    if !broken.is_empty() {
        bail!("broken arrows between crates:\n  {}", broken.join("\n  "));
    }
    println!(
        "arrows: {} crates, {} direct rules and {} dependency trees hold",
        OURS.len(),
        OURS.len() + RESERVED.len(),
        BANNED.len()
    );
    Ok(())
}

/// Reads the direct dependencies out of what `cargo metadata` says.
fn direct(metadata: &Value) -> Result<Direct> {
    let packages = metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    let mut direct = Direct::new();
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        let dependencies = package["dependencies"].as_array().context("a package without dependencies")?;
        let shipped = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        let names = shipped.filter_map(|dependency| dependency["name"].as_str()).map(str::to_owned);
        direct.insert(name.to_owned(), names.collect());
    }
    Ok(direct)
}

/// The names of all crates that one of ours pulls in, macros (which run in the compiler) left out.
fn tree(ban: &Ban) -> Result<BTreeSet<String>> {
    let mut command = cargo();
    command.args(["tree", "-p", ban.within, "-e", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
    if let Some(target) = ban.target {
        command.args(["--target", target]);
    }
    let text = output(&mut command)?;
    Ok(tree_names(&String::from_utf8_lossy(&text)))
}

/// The first word of each line of `cargo tree --prefix none`.
fn tree_names(text: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn ban_rule(ban: &Ban, tree: &BTreeSet<String>) -> Vec<String> {
    let found = ban.crates.iter().filter(|name| tree.contains(**name));
    found
        .map(|name| {
            let target = ban.target.map_or(String::new(), |target| format!(" --target {target}"));
            format!(
                "{} → … → {name}: {}. See how it gets there: cargo tree -p {}{target} -e normal -i {name}",
                ban.within, ban.why, ban.within
            )
        })
        .collect()
}

/// A line for each direct dependency that must not be.
fn direct_rules(direct: &Direct) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, dependencies) in direct {
        let Some((_, allowed)) = OURS.iter().find(|(ours, _)| ours == name) else {
            broken.push(format!("{name}: a new crate; say in xtask/src/arrows.rs which of our crates it may depend on"));
            continue;
        };
        for dependency in dependencies {
            let ours = direct.contains_key(dependency);
            if ours && !allowed.contains(&dependency.as_str()) {
                let allowed = if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") };
                broken.push(format!("{name} → {dependency}: {name} may depend on {allowed}"));
            }
            for (reserved, owners, why) in RESERVED {
                if dependency == reserved && !owners.contains(&name.as_str()) {
                    broken.push(format!("{name} → {dependency}: {why}"));
                }
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Metadata as cargo gives it, of our crates with the arrows they may have, and one more dependency.
    fn metadata_with(from: &str, to: &str, kind: Value) -> Value {
        let packages = OURS.iter().map(|(name, allowed)| {
            let mut dependencies: Vec<Value> = allowed.iter().map(|allowed| json!({"name": allowed, "kind": null})).collect();
            if *name == from {
                dependencies.push(json!({"name": to, "kind": kind}));
            }
            json!({"name": name, "dependencies": dependencies})
        });
        json!({"packages": packages.collect::<Vec<_>>()})
    }

    fn broken(from: &str, to: &str, kind: Value) -> Vec<String> {
        direct_rules(&direct(&metadata_with(from, to, kind)).unwrap())
    }

    #[test]
    fn every_forbidden_arrow_is_refused_by_name() {
        let mut tried = 0;
        for (from, allowed) in OURS {
            for (to, _) in OURS {
                if from == to || allowed.contains(to) {
                    continue;
                }
                let broken = broken(from, to, Value::Null);
                assert_eq!(broken.len(), 1, "{from} → {to}: {broken:?}");
                assert!(broken[0].starts_with(&format!("{from} → {to}: ")), "{broken:?}");
                tried += 1;
            }
        }
        assert!(tried > 30, "{tried}");
    }

    #[test]
    fn reserved_crates_belong_to_their_owners() {
        for (name, owners, why) in RESERVED {
            for (from, _) in OURS {
                let broken = broken(from, name, Value::Null);
                if owners.contains(from) {
                    assert!(broken.is_empty(), "{broken:?}");
                } else {
                    assert_eq!(broken, [format!("{from} → {name}: {why}")]);
                }
            }
        }
    }

    #[test]
    fn a_build_script_counts_and_a_test_does_not() {
        assert_eq!(broken(APP, STORE, json!("build")).len(), 1);
        assert!(broken(APP, STORE, json!("dev")).is_empty());
        assert!(broken(APP, "serde", Value::Null).is_empty());
    }

    #[test]
    fn a_crate_without_arrows_is_refused() {
        let metadata = json!({"packages": [{"name": "gatehouse-new", "dependencies": []}]});
        let broken = direct_rules(&direct(&metadata).unwrap());
        assert!(broken[0].contains("gatehouse-new: a new crate"), "{broken:?}");
    }

    #[test]
    fn banned_crates_are_found_deep_in_a_tree() {
        for ban in BANNED {
            for name in ban.crates {
                let text = format!("{} v0.1.0 (/checkout)\nserde v1.0.0\n{name} v1.2.3 (*)\n", ban.within);
                let broken = ban_rule(ban, &tree_names(&text));
                assert_eq!(broken.len(), 1);
                assert!(broken[0].contains(name) && broken[0].contains(ban.why), "{broken:?}");
            }
            assert!(ban_rule(ban, &tree_names("tokio-util v0.7.0\nleptos_dom v0.8.8\n")).is_empty());
        }
    }
}
