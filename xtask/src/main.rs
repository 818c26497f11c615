//! Gatehouse's own build steps and checks, run as `cargo xtask <what>`.
//!
//! The browser side is built here and not by cargo-leptos because a cold build must stay short: cargo-leptos itself takes
//! nine minutes to install on two cores, the library crate it would call takes under one. `cargo leptos watch` works all
//! the same for those who have it (see the end of the workspace's `Cargo.toml`).

mod arrows;
mod browser;
mod parts;
mod precompress;
mod rebuilds;
mod settings;
mod site;
mod sizes;
mod workspace;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <what>

  browser   build the browser side into <target>/site: WASM, JavaScript glue, style sheet, public files,
            each also compressed; does nothing when nothing changed
  sizes     hold what `browser` built to the budgets in xtask/budgets.toml
  arrows    hold the crates to the arrows of ARCHITECTURE.md (who may depend on whom)
  rebuilds  make sure that the tests do not build SurrealDB a second time
  settings  hold deploy/gatehouse.toml.example to the settings that there are
  parts     write what others wrote of the program into a folder: bill of materials (CycloneDX), list,
            licences' texts: cargo xtask parts FOLDER [TIME]
  help      this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["browser"] => browser::build(),
        ["sizes"] => sizes::check(),
        ["arrows"] => arrows::check(),
        ["rebuilds"] => rebuilds::check(),
        ["settings"] => settings::check(),
        ["parts", folder] => parts::write(folder.as_ref(), None),
        ["parts", folder, time] => parts::write(folder.as_ref(), Some(time)),
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("no such step: {}\n\n{HELP}", words.join(" ")),
    }
}
