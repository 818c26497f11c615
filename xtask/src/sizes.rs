//! Holds what the browser must load to the budgets.

use crate::workspace::{Workspace, files_below};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

/// The budgets, compiled in from the one place where they are written.
const BUDGETS: &str = include_str!("../budgets.toml");

/// Bytes, in each form a browser may get.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sizes<T> {
    raw: T,
    gzip: T,
    brotli: T,
}

type Budgets = BTreeMap<String, Sizes<Option<u64>>>;

/// The kinds that have a budget here; the file's other tables are for other checks.
fn budgets() -> Result<Budgets> {
    let mut tables: toml::Table = toml::from_str(BUDGETS).context("xtask/budgets.toml")?;
    let kinds = ["wasm", "js", "css", "first-load"];
    let budget = |kind: &str| {
        let table = tables.remove(kind).with_context(|| format!("xtask/budgets.toml has no [{kind}]"))?;
        let sizes = table.try_into().with_context(|| format!("xtask/budgets.toml, [{kind}]"))?;
        Ok((kind.to_owned(), sizes))
    };
    kinds.into_iter().map(budget).collect()
}

/// `cargo xtask sizes`.
pub fn check() -> Result<()> {
    let workspace = Workspace::find()?;
    let budgets = budgets()?;
    let sizes = measure(&workspace.site())?;
    let (table, over) = compare(&budgets, &sizes)?;
    print!("{table}");
    if !over.is_empty() {
        bail!("over budget:\n  {}\nMake it smaller, or say in xtask/budgets.toml why it must be bigger.", over.join("\n  "));
    }
    println!("sizes: everything within xtask/budgets.toml");
    Ok(())
}

/// Sizes by kind of file, and of everything together as `first-load`.
fn measure(site: &Path) -> Result<BTreeMap<String, Sizes<u64>>> {
    let mut sizes: BTreeMap<String, Sizes<u64>> = BTreeMap::new();
    let length = |path: &Path| fs::metadata(path).map(|metadata| metadata.len());
    for file in files_below(site)? {
        let name = file.to_string_lossy();
        if name.ends_with(".br") || name.ends_with(".gz") {
            continue;
        }
        let raw = length(&file).with_context(|| format!("cannot read {}", file.display()))?;
        // What has no compressed form travels as it is.
        let gzip = length(Path::new(&format!("{name}.gz"))).unwrap_or(raw);
        let brotli = length(Path::new(&format!("{name}.br"))).unwrap_or(raw);
        let kind = if file.starts_with(site.join("pkg")) {
            file.extension().unwrap_or_default().to_string_lossy().into_owned()
        } else {
            "public".to_owned()
        };
        for kind in [kind, "first-load".to_owned()] {
            let sum = sizes.entry(kind).or_default();
            *sum = Sizes { raw: sum.raw + raw, gzip: sum.gzip + gzip, brotli: sum.brotli + brotli };
        }
    }
    Ok(sizes)
}

/// The table to show, and a line for each budget that does not hold.
fn compare(budgets: &Budgets, sizes: &BTreeMap<String, Sizes<u64>>) -> Result<(String, Vec<String>)> {
    let mut over = Vec::new();
    let mut table = format!("{:12}{:>22}{:>22}{:>22}\n", "bytes", "raw", "gzip", "brotli");
    for (kind, budget) in budgets {
        let Some(size) = sizes.get(kind) else {
            bail!("there is no {kind} file to measure: run `cargo xtask browser` first");
        };
        write!(table, "{kind:12}")?;
        for (form, size, budget) in
            [("raw", size.raw, budget.raw), ("gzip", size.gzip, budget.gzip), ("brotli", size.brotli, budget.brotli)]
        {
            let cell = budget.map_or(format!("{size}"), |budget| format!("{size} of {budget}"));
            write!(table, "{cell:>22}")?;
            if budget.is_some_and(|budget| size > budget) {
                let budget = budget.unwrap_or_default();
                over.push(format!("{kind}, {form}: {size} bytes, {} more than the {budget} allowed", size - budget));
            }
        }
        table.push('\n');
    }
    Ok((table, over))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(raw: u64, gzip: u64, brotli: u64) -> Sizes<u64> {
        Sizes { raw, gzip, brotli }
    }

    #[test]
    fn the_budgets_can_be_read() {
        let budgets = budgets().unwrap();
        assert!(budgets.values().all(|budget| budget.brotli.is_some()));
    }

    #[test]
    fn only_what_is_over_is_named() {
        let budgets: Budgets = toml::from_str("[wasm]\nraw = 10\nbrotli = 5\n").unwrap();
        let measured = |size| BTreeMap::from([("wasm".to_owned(), size)]);
        let (table, over) = compare(&budgets, &measured(sizes(10, 999, 5))).unwrap();
        assert!(over.is_empty(), "{over:?}");
        assert!(table.contains("10 of 10") && table.contains("999"));
        let (_, over) = compare(&budgets, &measured(sizes(10, 0, 6))).unwrap();
        assert_eq!(over, ["wasm, brotli: 6 bytes, 1 more than the 5 allowed"]);
        assert!(compare(&budgets, &BTreeMap::new()).is_err(), "nothing built is not within budget");
    }

    #[test]
    fn every_file_counts_once_in_its_smallest_form() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path();
        fs::create_dir(site.join("pkg")).unwrap();
        for (name, length) in [("pkg/a.js", 10), ("pkg/a.js.br", 4), ("pkg/a.js.gz", 5), ("icon.png", 7)] {
            fs::write(site.join(name), vec![0; length]).unwrap();
        }
        let measured = measure(site).unwrap();
        assert_eq!(measured["js"], sizes(10, 5, 4));
        assert_eq!(measured["public"], sizes(7, 7, 7));
        assert_eq!(measured["first-load"], sizes(17, 12, 11));
    }
}
