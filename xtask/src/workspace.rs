//! Where things are, and how to call the tools beside us.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// The folders every step needs.
pub struct Workspace {
    /// The checkout.
    pub root: PathBuf,
    /// Cargo's target folder, often shared by several checkouts.
    pub target: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and `.cargo/config.toml` mean here what they mean to cargo.
    pub fn find() -> Result<Self> {
        let metadata = metadata(&["--no-deps"])?;
        let folder =
            |key: &str| metadata[key].as_str().map(PathBuf::from).with_context(|| format!("`cargo metadata` names no {key}"));
        Ok(Self { root: folder("workspace_root")?, target: folder("target_directory")? })
    }

    /// What the server serves as static files.
    pub fn site(&self) -> PathBuf {
        self.target.join("site")
    }

    /// A program that `npm ci` put beside us. Never one from elsewhere in PATH: Debian's `wasm-opt` is too old.
    pub fn npm_program(&self, name: &str) -> Result<PathBuf> {
        let program = self.root.join("node_modules/.bin").join(name);
        if !program.exists() {
            bail!("{name} is not installed: run `make setup` first");
        }
        Ok(program)
    }
}

/// `cargo metadata` as JSON.
pub fn metadata(arguments: &[&str]) -> Result<Value> {
    let text = output(cargo().args(["metadata", "--format-version", "1"]).args(arguments))?;
    serde_json::from_slice(&text).context("`cargo metadata` answered something that is not JSON")
}

/// The cargo that runs us, in the folder we were called from.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs a command to its end, its output going where ours goes.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(())
}

/// Runs a command and takes what it prints; what it complains of goes where our complaints go.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stderr(std::process::Stdio::inherit()).output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", line(command), output.status);
    }
    Ok(output.stdout)
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", line(command))
}

fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut line = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Every file under `folder`, sorted, so that whatever is made from the list is the same each time. Empty when there is
/// no such folder.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot list {}", folder.display()));
            }
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}
