//! What others wrote of the program that ships: a bill of materials for machines, a list for people, and the licences' texts.
//!
//! Counted is what is really in it: the crates that `cargo tree` finds behind the server on this machine's target and behind
//! the browser side on wasm32 (never those of tests, build scripts or macros, whose code stays behind), Rust's own library, and
//! the npm packages whose text ends up in the style sheet.

use crate::workspace::{Workspace, cargo, files_below, metadata, output};
use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What runs where: our crate, its target (`None`: this machine's), and what its part is called.
const PROGRAMS: &[(&str, Option<&str>, &str)] =
    &[("gatehouse-server", None, "program"), ("frontend", Some("wasm32-unknown-unknown"), "browser")];

/// npm packages that leave text of theirs in the style sheet. The other tools only work on ours.
const NPM: &[&str] = &["tailwindcss", "daisyui"];

/// The names under which people put licences beside their code.
const TEXTS: &[&str] = &["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// One of the things in it.
#[derive(Debug, Default, Clone, PartialEq)]
struct Part {
    name: String,
    version: String,
    /// An SPDX expression.
    licence: String,
    /// `cargo`, `npm`, `generic`; `None` for our own, which nobody can fetch anywhere.
    registry: Option<&'static str>,
    /// Algorithm and sum of what was fetched.
    hash: Option<(&'static str, String)>,
    /// Where its licence's text may be found.
    folder: Option<PathBuf>,
    /// Of `program` and `browser`.
    within: BTreeSet<&'static str>,
    /// Keys of what it needs.
    needs: BTreeSet<String>,
}

impl Part {
    /// What the bill of materials knows it by.
    fn reference(&self) -> String {
        match self.registry {
            // A purl, as other programs look for it. None of ours or of the npm packages has a scope to encode.
            Some(registry) => format!("pkg:{registry}/{}@{}", self.name, self.version.replace('+', "%2B")),
            None => format!("{}@{}", self.name, self.version),
        }
    }
}

/// `name version` → part.
type Parts = BTreeMap<String, Part>;

/// `cargo xtask parts <folder> [time]`: writes `sbom.cdx.json`, `THIRD-PARTY.md` and `THIRD-PARTY-LICENCES.txt`.
pub fn write(folder: &Path, time: Option<&str>) -> Result<()> {
    let workspace = Workspace::find()?;
    let host = host()?;
    let mut parts = Parts::new();
    for (package, target, within) in PROGRAMS {
        let mut command = cargo();
        command.current_dir(&workspace.root).args(["tree", "--locked", "-p", package, "-e", "normal,no-proc-macro"]);
        command.args(["--target", target.unwrap_or(&host), "--prefix", "depth", "--format", "{p}"]);
        let text = output(&mut command)?;
        add_tree(&mut parts, &String::from_utf8_lossy(&text), within)?;
    }
    let platforms: Vec<&str> =
        PROGRAMS.iter().flat_map(|(_, target, _)| ["--filter-platform", target.unwrap_or(&host)]).collect();
    let lock = toml::from_str(&fs::read_to_string(workspace.root.join("Cargo.lock")).context("cannot read Cargo.lock")?)?;
    let deny = toml::from_str(&fs::read_to_string(workspace.root.join("deny.toml")).context("cannot read deny.toml")?)?;
    describe(&mut parts, &metadata(&[&["--locked"], &platforms[..]].concat())?, &lock, &deny)?;
    let npm_lock = fs::read_to_string(workspace.root.join("package-lock.json")).context("cannot read package-lock.json")?;
    add_npm(&mut parts, &serde_json::from_str(&npm_lock)?, &workspace.root)?;
    add_rust(&mut parts)?;

    let bill = bill(&parts, time)?;
    let texts = texts(&parts)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let files = [
        ("sbom.cdx.json", serde_json::to_string_pretty(&bill)? + "\n"),
        ("THIRD-PARTY.md", list(&parts, &texts)?),
        ("THIRD-PARTY-LICENCES.txt", all_texts(&texts)?),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).with_context(|| format!("cannot write {}", folder.join(name).display()))?;
    }
    let ours = parts.values().filter(|part| part.registry.is_none()).count();
    println!("parts: {} of others and {ours} of ours, {} texts of licences", parts.len() - ours, texts.len());
    Ok(())
}

fn rustc(arguments: &[&str]) -> Result<String> {
    let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(String::from_utf8_lossy(&output(Command::new(program).args(arguments))?).into_owned())
}

/// This machine's target.
fn host() -> Result<String> {
    let text = rustc(&["-vV"])?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
    Ok(host.to_owned())
}

/// Adds what `cargo tree --prefix depth` lists. What is listed a second time comes without what is below it, so every arrow
/// is seen once.
fn add_tree(parts: &mut Parts, tree: &str, within: &'static str) -> Result<()> {
    let mut above: Vec<String> = Vec::new();
    for line in tree.lines().filter(|line| !line.trim().is_empty()) {
        let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (depth, rest) = line.split_at(digits);
        let depth: usize = depth.parse().with_context(|| format!("`cargo tree` says no depth: {line}"))?;
        let mut words = rest.split_whitespace();
        let (name, version) = words.next().zip(words.next()).with_context(|| format!("`cargo tree` says: {line}"))?;
        let version = version.strip_prefix('v').unwrap_or(version);
        let key = format!("{name} {version}");
        let part = parts.entry(key.clone()).or_default();
        part.name = name.to_owned();
        part.version = version.to_owned();
        part.within.insert(within);
        above.truncate(depth);
        if let Some(parent) = above.last().and_then(|parent| parts.get_mut(parent)) {
            parent.needs.insert(key.clone());
        }
        above.push(key);
    }
    Ok(())
}

/// Adds licences (what deny.toml has found out counts more than what a crate says), sums and folders.
fn describe(parts: &mut Parts, metadata: &Value, lock: &toml::Table, deny: &toml::Table) -> Result<()> {
    let text = |value: &toml::Value, key: &str| value.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let clarified: BTreeMap<String, String> = deny
        .get("licenses")
        .and_then(|licenses| licenses.get("clarify")?.as_array())
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((text(entry, "crate")?, text(entry, "expression")?)))
        .collect();
    let sums: BTreeMap<String, String> = lock
        .get("package")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((format!("{} {}", text(entry, "name")?, text(entry, "version")?), text(entry, "checksum")?)))
        .collect();
    for package in metadata["packages"].as_array().context("`cargo metadata` lists no packages")? {
        let key = format!("{} {}", package["name"].as_str().unwrap_or_default(), package["version"].as_str().unwrap_or_default());
        let Some(part) = parts.get_mut(&key) else { continue };
        let said = package["license"].as_str().map(spdx);
        part.licence = clarified.get(&part.name).cloned().or(said).with_context(|| {
            format!("{key} names no licence: look at what it brings, and write it down under [[licenses.clarify]] in deny.toml")
        })?;
        part.registry = package["source"].is_string().then_some("cargo");
        part.hash = sums.get(&key).map(|sum| ("SHA-256", sum.clone()));
        part.folder = package["manifest_path"].as_str().and_then(|path| Some(Path::new(path).parent()?.to_path_buf()));
    }
    match parts.iter().find(|(_, part)| part.folder.is_none()) {
        Some((key, _)) => bail!("`cargo tree` lists {key}, `cargo metadata` does not"),
        None => Ok(()),
    }
}

/// Old crates write `MIT/Apache-2.0`.
fn spdx(licence: &str) -> String {
    licence.split('/').map(str::trim).collect::<Vec<_>>().join(" OR ")
}

fn add_npm(parts: &mut Parts, lock: &Value, root: &Path) -> Result<()> {
    for name in NPM {
        let entry = &lock["packages"][format!("node_modules/{name}")];
        let field = |key: &str| entry[key].as_str().with_context(|| format!("package-lock.json says no {key} of {name}"));
        let sum = field("integrity")?.strip_prefix("sha512-").context("package-lock.json has another sum than sha512")?;
        let hex = STANDARD.decode(sum)?.iter().map(|byte| format!("{byte:02x}")).collect();
        let part = Part {
            name: (*name).to_owned(),
            version: field("version")?.to_owned(),
            licence: field("license")?.to_owned(),
            registry: Some("npm"),
            hash: Some(("SHA-512", hex)),
            folder: Some(root.join("node_modules").join(name)),
            within: BTreeSet::from(["browser"]),
            needs: BTreeSet::new(),
        };
        parts.insert(format!("{name} {}", part.version), part);
    }
    Ok(())
}

/// Rust's own library is compiled into both.
fn add_rust(parts: &mut Parts) -> Result<()> {
    let text = rustc(&["--version"])?;
    let version = text.split_whitespace().nth(1).context("`rustc --version` names no version")?.to_owned();
    let part = Part {
        name: "rust-std".to_owned(),
        licence: "MIT OR Apache-2.0".to_owned(),
        registry: Some("generic"),
        within: PROGRAMS.iter().map(|(_, _, within)| *within).collect(),
        version,
        ..Part::default()
    };
    parts.insert(format!("rust-std {}", part.version), part);
    Ok(())
}

/// CycloneDX 1.5. The same parts make the same bill, byte for byte; `time` is whatever the caller says.
fn bill(parts: &Parts, time: Option<&str>) -> Result<Value> {
    let version = parts.values().find(|part| part.name == PROGRAMS[0].0).map_or("0", |part| &part.version);
    let components: Vec<Value> = parts
        .values()
        .map(|part| {
            let within = part.within.iter().map(|within| json!({"name": "gatehouse:part", "value": within}));
            let mut component = json!({
                "type": "library",
                "bom-ref": part.reference(),
                "name": part.name,
                "version": part.version,
                "licenses": [{"expression": part.licence}],
                "properties": within.collect::<Vec<_>>(),
            });
            if part.registry.is_some() {
                component["purl"] = part.reference().into();
            }
            if let Some((algorithm, sum)) = &part.hash {
                component["hashes"] = json!([{"alg": algorithm, "content": sum}]);
            }
            component
        })
        .collect();
    let tops = parts.values().filter(|part| {
        PROGRAMS.iter().any(|(package, _, _)| part.name == *package) || matches!(part.registry, Some("npm" | "generic"))
    });
    let mut dependencies = vec![json!({"ref": "gatehouse", "dependsOn": tops.map(Part::reference).collect::<Vec<_>>()})];
    for part in parts.values() {
        let needs: Result<Vec<String>> = part
            .needs
            .iter()
            .map(|key| {
                parts.get(key).map(Part::reference).with_context(|| format!("{} needs {key}, which is nowhere", part.name))
            })
            .collect();
        dependencies.push(json!({"ref": part.reference(), "dependsOn": needs?}));
    }
    let mut bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "gatehouse",
                "name": "gatehouse",
                "version": version,
                "licenses": [{"expression": "AGPL-3.0-or-later"}],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    let references: BTreeSet<&str> =
        bill["components"].as_array().into_iter().flatten().filter_map(|c| c["bom-ref"].as_str()).collect();
    if references.len() != parts.len() {
        bail!("two parts have one reference in the bill of materials");
    }
    // A number of its own for each content: version 8 of RFC 9562, whose bits are ours to choose.
    let mut digest = Sha256::digest(serde_json::to_vec(&bill)?);
    digest[6] = digest[6] & 0x0f | 0x80;
    digest[8] = digest[8] & 0x3f | 0x80;
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    bill["serialNumber"] = format!("urn:uuid:{uuid}").into();
    if let Some(time) = time {
        bill["metadata"]["timestamp"] = time.into();
    }
    Ok(bill)
}

/// Text → whose it is, as `name version: file`. The same text of many stands once.
type Texts = BTreeMap<String, BTreeSet<(String, String)>>;

fn texts(parts: &Parts) -> Result<Texts> {
    let mut texts = Texts::new();
    for (key, part) in parts.iter().filter(|(_, part)| part.registry.is_some()) {
        let Some(folder) = &part.folder else { continue };
        // Below, too: what a crate has taken in of others (C code, say) has its licence there.
        for file in files_below(folder)? {
            let path = file.strip_prefix(folder)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            let is_code = [".RS", ".JS", ".PY", ".TOML"].iter().any(|ending| name.ends_with(ending));
            if !TEXTS.iter().any(|start| name.starts_with(start)) || is_code || path.starts_with("node_modules") {
                continue;
            }
            let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            let text = lines.join("\n").trim_matches('\n').to_owned();
            // Some files only name another one.
            if text.lines().count() > 2 {
                texts.entry(text).or_default().insert((key.clone(), path.display().to_string()));
            }
        }
    }
    Ok(texts)
}

fn all_texts(texts: &Texts) -> Result<String> {
    let mut all = String::from(
        "The licences' texts as the parts bring them (THIRD-PARTY.md lists the parts). The same text stands once.\n",
    );
    // Those that many share come first.
    let mut sorted: Vec<_> = texts.iter().collect();
    sorted.sort_by_key(|(text, whose)| (std::cmp::Reverse(whose.len()), whose.first(), *text));
    for (text, whose) in sorted {
        writeln!(all, "\n{}", "=".repeat(100))?;
        for (key, file) in whose {
            writeln!(all, "{key}: {file}")?;
        }
        writeln!(all, "{}\n\n{text}", "-".repeat(100))?;
    }
    Ok(all)
}

fn list(parts: &Parts, texts: &Texts) -> Result<String> {
    let mut list = String::from(
        "# Third-party parts\n\n\
         What others wrote of this program, under which licence. *In*: the program, the browser's files, or both. The texts are in\n\
         `THIRD-PARTY-LICENCES.txt`, the same list for machines in `sbom.cdx.json`.\n\n\
         | Part | Version | Licence | In |\n|---|---|---|---|\n",
    );
    let others = || parts.iter().filter(|(_, part)| part.registry.is_some());
    for (_, part) in others() {
        let within: Vec<&str> = part.within.iter().copied().collect();
        writeln!(list, "| {} | {} | {} | {} |", part.name, part.version, part.licence, within.join(", "))?;
    }
    let with_text: BTreeSet<&str> = texts.values().flatten().map(|(key, _)| key.as_str()).collect();
    let without: Vec<String> =
        others().filter(|(key, _)| !with_text.contains(key.as_str())).map(|(key, _)| key.clone()).collect();
    if !without.is_empty() {
        writeln!(list, "\nThese name their licence, but bring no text of it: {}.", without.join(", "))?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0gatehouse-server v0.1.0 (/checkout/server)\n1tokio v1.50.0\n2bytes v1.11.0\n1surrealdb v3.3.5\n\
                        2tokio v1.50.0 (*)\n2old v0.1.0+build.1\n";

    fn parts() -> Parts {
        let mut parts = Parts::new();
        add_tree(&mut parts, TREE, "program").unwrap();
        add_tree(&mut parts, "0frontend v0.1.0 (/checkout/frontend)\n1bytes v1.11.0\n", "browser").unwrap();
        let package = |name: &str, version: &str, licence: Value, source: Value| json!({"name": name, "version": version, "license": licence, "source": source, "manifest_path": "/nowhere/Cargo.toml"});
        let metadata = json!({"packages": [
            package("gatehouse-server", "0.1.0", json!("AGPL-3.0-or-later"), Value::Null),
            package("frontend", "0.1.0", json!("AGPL-3.0-or-later"), Value::Null),
            package("tokio", "1.50.0", json!("MIT"), json!("registry")),
            package("bytes", "1.11.0", json!("MIT"), json!("registry")),
            package("old", "0.1.0+build.1", json!("MIT/Apache-2.0"), json!("registry")),
            package("surrealdb", "3.3.5", Value::Null, json!("registry")),
            package("only-for-tests", "1.0.0", Value::Null, json!("registry")),
        ]});
        let lock = toml::from_str("[[package]]\nname = \"tokio\"\nversion = \"1.50.0\"\nchecksum = \"aa\"\n").unwrap();
        let deny = toml::from_str("[[licenses.clarify]]\ncrate = \"surrealdb\"\nexpression = \"BUSL-1.1\"\n").unwrap();
        describe(&mut parts, &metadata, &lock, &deny).unwrap();
        parts
    }

    #[test]
    fn the_bill_names_every_part_once_with_what_it_needs() {
        let bill = bill(&parts(), Some("2026-01-01T00:00:00Z")).unwrap();
        let components = bill["components"].as_array().unwrap();
        assert_eq!(components.len(), 6);
        let find = |name: &str| components.iter().find(|component| component["name"] == name).unwrap();
        assert_eq!(find("tokio")["purl"], "pkg:cargo/tokio@1.50.0");
        assert_eq!(find("tokio")["hashes"], json!([{"alg": "SHA-256", "content": "aa"}]));
        assert_eq!(find("surrealdb")["licenses"], json!([{"expression": "BUSL-1.1"}]));
        assert_eq!(find("old")["licenses"], json!([{"expression": "MIT OR Apache-2.0"}]));
        assert_eq!(find("old")["purl"], "pkg:cargo/old@0.1.0%2Bbuild.1");
        assert_eq!(find("bytes")["properties"].as_array().unwrap().len(), 2, "it is in both");
        assert_eq!(find("frontend")["purl"], Value::Null, "ours is nowhere to be had");
        let dependencies = bill["dependencies"].as_array().unwrap();
        let needs = |reference: &str| dependencies.iter().find(|entry| entry["ref"] == reference).unwrap()["dependsOn"].clone();
        assert_eq!(needs("gatehouse"), json!(["frontend@0.1.0", "gatehouse-server@0.1.0"]));
        assert_eq!(needs("pkg:cargo/tokio@1.50.0"), json!(["pkg:cargo/bytes@1.11.0"]));
        assert_eq!(needs("pkg:cargo/surrealdb@3.3.5"), json!(["pkg:cargo/old@0.1.0%2Bbuild.1", "pkg:cargo/tokio@1.50.0"]));
        let number = bill["serialNumber"].as_str().unwrap();
        assert_eq!((number.len(), &number[..9], &number[23..24]), (45, "urn:uuid:", "8"));
    }

    #[test]
    fn a_part_without_a_licence_is_refused_by_name() {
        let mut parts = Parts::new();
        add_tree(&mut parts, "0strange v1.0.0\n", "program").unwrap();
        let metadata = json!({"packages": [{"name": "strange", "version": "1.0.0", "license": null}]});
        let error = describe(&mut parts, &metadata, &toml::Table::new(), &toml::Table::new()).unwrap_err();
        assert!(error.to_string().starts_with("strange 1.0.0 names no licence"), "{error}");
    }

    #[test]
    fn the_same_text_stands_once_and_who_has_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut parts = parts();
        for (key, name) in [("tokio 1.50.0", "LICENSE"), ("bytes 1.11.0", "c/COPYING.txt"), ("old 0.1.0+build.1", "license.rs")] {
            let at = folder.path().join(key);
            fs::create_dir_all(at.join("c")).unwrap();
            fs::write(at.join(name), "one\ntwo  \r\nthree\n\n").unwrap();
            parts.get_mut(key).unwrap().folder = Some(at);
        }
        let texts = texts(&parts).unwrap();
        assert_eq!(texts.keys().collect::<Vec<_>>(), ["one\ntwo\nthree"]);
        assert!(all_texts(&texts).unwrap().contains("bytes 1.11.0: c/COPYING.txt\ntokio 1.50.0: LICENSE\n"));
        let list = list(&parts, &texts).unwrap();
        assert!(list.contains("| surrealdb | 3.3.5 | BUSL-1.1 | program |"));
        assert!(!list.contains("| gatehouse-server |"));
        assert!(list.ends_with("bring no text of it: old 0.1.0+build.1, surrealdb 3.3.5.\n"), "{list}");
    }
}
