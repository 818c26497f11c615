//! Holds the example of `gatehouse.toml` to the settings that there are.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::{collections::BTreeSet, fs};

const CODE: &str = "server/src/config.rs";
const EXAMPLE: &str = "deploy/gatehouse.toml.example";

/// `cargo xtask settings`.
pub fn check() -> Result<()> {
    let root = Workspace::find()?.root;
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"));
    let (real, shown) = (fields(&read(CODE)?)?, shown(&read(EXAMPLE)?)?);
    let list = |names: BTreeSet<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let (missing, unknown) = (list(real.difference(&shown).collect()), list(shown.difference(&real).collect()));
    if !missing.is_empty() {
        bail!("{EXAMPLE} does not show: {missing}. Add each with its default, commented out");
    }
    if !unknown.is_empty() {
        bail!("{EXAMPLE} shows what {CODE} does not know, and would refuse: {unknown}");
    }
    println!("settings: {EXAMPLE} shows all {}", real.len());
    Ok(())
}

/// The fields of `SettingsFile`.
fn fields(code: &str) -> Result<BTreeSet<String>> {
    let (_, rest) = code.split_once("struct SettingsFile {").with_context(|| format!("{CODE} has no `struct SettingsFile`"))?;
    let (fields, _) = rest.split_once("\n}").with_context(|| format!("{CODE}: `struct SettingsFile` has no end"))?;
    let lines = fields.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.starts_with('#'));
    Ok(lines.filter_map(|line| Some(line.split_once(':')?.0.trim_start_matches("pub ").to_owned())).collect())
}

/// The keys of the example, all of which are commented out as `#key = …` (a remark has a blank after its `#`). Read as TOML,
/// so that a line that somebody takes the `#` from works.
fn shown(example: &str) -> Result<BTreeSet<String>> {
    let commented = |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    if let Some(line) = example.lines().find(|line| !line.is_empty() && !line.starts_with('#')) {
        bail!("{EXAMPLE} sets something instead of showing it: {line}");
    }
    let text: String = example.lines().filter(|line| commented(line)).map(|line| format!("{}\n", &line[1..])).collect();
    let table: toml::Table = toml::from_str(&text).with_context(|| format!("{EXAMPLE}, without the #"))?;
    Ok(table.keys().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_keys_are_found() {
        let code = "/// x\nstruct SettingsFile {\n    listen: Option<String>,\n    // why\n    #[serde(default)]\n    log: Option<u32>,\n}\nstruct Other { no: u8 }";
        let expected = BTreeSet::from(["listen".to_owned(), "log".to_owned()]);
        assert_eq!(fields(code).unwrap(), expected);
        assert_eq!(shown("# A remark.\n\n#listen = \"a\"\n#log = 1\n").unwrap(), expected);
        assert!(shown("listen = 1\n").is_err(), "it would count");
        assert!(shown("#listen = \n").is_err(), "without the # it can't be read");
    }
}
