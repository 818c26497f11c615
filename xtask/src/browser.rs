//! Builds the browser side: Rust → WASM → wasm-bindgen → wasm-opt, the glue through esbuild, the style sheet through
//! Tailwind, everything compressed, under names made from the content.
//!
//! Each part is kept in `<target>/browser` under a hash of all that goes into it, so a second build, or the build of
//! another checkout that shares the target folder, does only what is new.

use crate::{
    precompress::Forms,
    site::{NAME, Site, content_hash, write_if_changed},
    workspace::{Workspace, cargo, files_below, output, run},
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime},
};
use walrus::{FunctionBuilder, FunctionKind, Module};
use wasm_bindgen_cli_support::Bindgen;

/// Functions whose (mangled) name ends so, before its hash, do nothing but say so (a trap) if they are ever called.
///
/// `hydrate_async` is for pages whose code is loaded in pieces. Ours are islands, which are hydrated at once; but every
/// `AnyView` holds a pointer to it (tachys 0.2, view/any_view.rs), so that no linker can tell that it is never called. It is a
/// tenth of the code. Helpers inside it are left alone: the optimiser shares those with others.
const NEVER_CALLED: &[&str] = &["hydrate_async", "hydrate_async28_$u7b$$u7b$closure$u7d$$u7d$"];

/// Counted up when what is made of the same input changes.
const RECIPE: &str = "3";

const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "wasm-release";

/// What rustc lets LLVM use on wasm32 by default, and so what wasm-opt must not refuse.
const WASM_OPT: &[&str] = &[
    // Twice, and with the control flow made anew in between: 2.5 kB less.
    "-Oz",
    "--flatten",
    "--rereloop",
    "-Oz",
    "-Oz",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--strip-debug",
    "--strip-producers",
];

/// `--bundle` takes the snippets of other crates into the one file: a first visit makes one request less for each.
const ESBUILD: &[&str] =
    &["--bundle", "--minify", "--format=esm", "--target=es2022", "--legal-comments=none", "--log-level=warning"];

/// Parts that nobody used for so long are thrown away.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// `cargo xtask browser`.
pub fn build() -> Result<()> {
    let workspace = Workspace::find()?;
    let parts = Parts::open(&workspace)?;
    let mut site = Site::default();

    let style = workspace.root.join("style/main.css");
    if style.exists() {
        site.add_hashed("css", parts.get("css", &style_key(&workspace)?, || tailwind(&workspace, &parts, &style))?);
    } else {
        say("no style/main.css: the site goes without a style sheet");
    }

    let wasm = compile(&workspace)?;
    let bytes = fs::read(&wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let recipe = [WASM_OPT, ESBUILD, NEVER_CALLED].concat().join(" ") + RECIPE;
    let key = content_hash(&[&bytes, recipe.as_bytes(), &npm_lock(&workspace)?]);
    // Both come out of one run of wasm-bindgen; whichever is missing makes it run.
    let bound = || bind(&parts, &wasm);
    site.add_hashed("js", parts.get("js", &key, || minify(&workspace, &bound()?))?);
    site.add_hashed("wasm", parts.get("wasm", &key, || optimise(&workspace, &bound()?))?);

    let public = workspace.root.join("public");
    for file in files_below(&public)? {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let key = content_hash(&[&content]);
        site.add(file.strip_prefix(&public)?, parts.get("public", &key, || Ok(content))?);
    }

    // Leptos looks beside the executable, and which profile the server is built with is not ours to know.
    let executables = ["debug", "release"].map(|profile| workspace.target.join(profile));
    site.write(&workspace.site(), &executables, &parts.work)?;
    parts.tidy()
}

fn say(what: &str) {
    eprintln!("   Browser: {what}");
}

/// Says what a step did, how long it took and what it made of the size.
fn timed<T>(what: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let done = step()?;
    say(&format!("{what} ({:.1} s)", began.elapsed().as_secs_f64()));
    Ok(done)
}

/// Compiles `frontend` and answers where its WASM is. Cargo shows its own progress.
fn compile(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo();
    command
        .current_dir(&workspace.root)
        .args(["build", "-p", "frontend", "--target", TARGET, "--profile", PROFILE])
        .args(["--message-format", "json-render-diagnostics"])
        // The server reads it at compile time; here too, or the crates that ask for it would build twice.
        .env("LEPTOS_OUTPUT_NAME", NAME);
    // Where the sources lie is nobody's business, and long: every place that can panic names its file.
    command.env(format!("CARGO_TARGET_{}_RUSTFLAGS", TARGET.to_uppercase().replace('-', "_")), shorter_paths()?);
    let messages = output(&mut command)?;
    wasm_file(&String::from_utf8_lossy(&messages))
        .context("cargo built `frontend`, but names no .wasm file: is it still a cdylib?")
}

/// The compiler's flag that cuts off the folder that all crates' sources share.
fn shorter_paths() -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let sources = home.context("there is no home folder")?.join("registry/src");
    Ok(format!("--remap-path-prefix={}/=/", sources.display()))
}

/// The `.wasm` file among cargo's messages.
fn wasm_file(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "frontend")
        .filter_map(|message| {
            let files = message["filenames"].as_array()?;
            let file = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm"))?;
            Some(PathBuf::from(file))
        })
        .next_back()
}

/// Runs wasm-bindgen, once per build; answers the folder with `gatehouse.js` and `gatehouse_bg.wasm`.
fn bind(parts: &Parts, wasm: &Path) -> Result<PathBuf> {
    let folder = parts.work.join("bindgen");
    if folder.exists() {
        return Ok(folder);
    }
    let smaller = parts.work.join("without-dead-code.wasm");
    timed("taking out what is never called", || take_out(wasm, &smaller))?;
    timed("wasm-bindgen", || {
        Bindgen::new()
            .input_path(&smaller)
            .web(true)?
            .typescript(false)
            .remove_name_section(true)
            .remove_producers_section(true)
            .out_name(NAME)
            .generate(&folder)
    })
    .context("wasm-bindgen failed")?;
    Ok(folder)
}

/// Empties the functions of [`NEVER_CALLED`]; wasm-opt then takes away what only they have called.
fn take_out(from: &Path, to: &Path) -> Result<()> {
    let mut module = Module::from_file(from).with_context(|| format!("{} is no WASM module", from.display()))?;
    let never = |name: &str| {
        let (path, _hash) = name.rsplit_once("17h").unwrap_or((name, ""));
        NEVER_CALLED.iter().any(|end| path.ends_with(end)) && !name.contains("drop_in_place")
    };
    let named: Vec<_> = module.funcs.iter_local().map(|(id, function)| (id, function.ty())).collect();
    let mut count = 0;
    for (id, ty) in named {
        if !module.funcs.get(id).name.as_deref().is_some_and(never) {
            continue;
        }
        let (params, results) = {
            let ty = module.types.get(ty);
            (ty.params().to_vec(), ty.results().to_vec())
        };
        let args = params.iter().map(|param| module.locals.add(*param)).collect();
        let mut builder = FunctionBuilder::new(&mut module.types, &params, &results);
        builder.func_body().unreachable();
        module.funcs.get_mut(id).kind = FunctionKind::Local(builder.local_func(args));
        count += 1;
    }
    if count == 0 {
        bail!("no function is named {NEVER_CALLED:?}: has the name section gone, or tachys changed?");
    }
    module.emit_wasm_file(to)
}

fn optimise(workspace: &Workspace, bound: &Path) -> Result<Vec<u8>> {
    let (from, to) = (bound.join(format!("{NAME}_bg.wasm")), bound.join("optimised.wasm"));
    let program = workspace.npm_program("wasm-opt")?;
    timed("wasm-opt", || run(Command::new(program).args(WASM_OPT).arg(&from).arg("-o").arg(&to)))?;
    Ok(fs::read(to)?)
}

fn minify(workspace: &Workspace, bound: &Path) -> Result<Vec<u8>> {
    let program = workspace.npm_program("esbuild")?;
    timed("esbuild", || output(Command::new(program).arg(bound.join(format!("{NAME}.js"))).args(ESBUILD)))
}

fn tailwind(workspace: &Workspace, parts: &Parts, input: &Path) -> Result<Vec<u8>> {
    let made = parts.work.join("tailwind.css");
    let program = workspace.npm_program("tailwindcss")?;
    timed("Tailwind", || {
        run(Command::new(program)
            .current_dir(&workspace.root)
            .arg("--minify")
            .arg("--input")
            .arg(input)
            .arg("--output")
            .arg(&made))
    })?;
    Ok(fs::read(made)?)
}

/// All that decides what Tailwind makes: the style sources, the code it looks for class names in, its own version.
fn style_key(workspace: &Workspace) -> Result<String> {
    let mut parts = vec![npm_lock(workspace)?];
    for folder in ["style", "app/src"] {
        for file in files_below(&workspace.root.join(folder))? {
            parts.push(file.strip_prefix(&workspace.root)?.to_string_lossy().into_owned().into_bytes());
            parts.push(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
        }
    }
    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(content_hash(&slices))
}

fn npm_lock(workspace: &Workspace) -> Result<Vec<u8>> {
    fs::read(workspace.root.join("package-lock.json")).context("cannot read package-lock.json")
}

/// Finished parts of earlier builds, compressed, each under the hash of what it was made from.
struct Parts {
    folder: PathBuf,
    /// For files that are being made. Of this process alone: two builds may run at once (two checkouts, or a person and
    /// a test), and then both do the work, but neither trips the other.
    work: PathBuf,
}

impl Drop for Parts {
    fn drop(&mut self) {
        // Nothing to do about a folder that won't go; it is in the target folder, and `cargo clean` takes it.
        let _ = fs::remove_dir_all(&self.work);
    }
}

impl Parts {
    fn open(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("browser");
        let work = folder.join(format!("work-{}", std::process::id()));
        fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
        Ok(Self { folder, work })
    }

    /// The part if it was made before, else makes, compresses and keeps it.
    fn get(&self, kind: &str, key: &str, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Forms> {
        let folder = self.folder.join(format!("{kind}-{key}"));
        if folder.join("raw").exists() {
            // Touched, so that `tidy` sees it is in use.
            let now = format!("{:?}", SystemTime::now());
            write_if_changed(&folder.join("used"), now.as_bytes(), &self.work)?;
            return Ok(Forms {
                raw: fs::read(folder.join("raw"))?,
                brotli: fs::read(folder.join("br")).ok(),
                gzip: fs::read(folder.join("gz")).ok(),
            });
        }
        let raw = make()?;
        if raw.is_empty() {
            bail!("the {kind} part came out empty");
        }
        let forms = if raw.len() < 100_000 {
            Forms::of(raw)?
        } else {
            timed(&format!("compressing the {kind} part"), || Forms::of(raw))?
        };
        for (name, bytes) in [("br", &forms.brotli), ("gz", &forms.gzip)] {
            if let Some(bytes) = bytes {
                write_if_changed(&folder.join(name), bytes, &self.work)?;
            }
        }
        // Last: its presence says that the part is whole.
        write_if_changed(&folder.join("raw"), &forms.raw, &self.work)?;
        Ok(forms)
    }

    fn tidy(&self) -> Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > KEEP) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wasm_file_is_found_among_cargos_messages() {
        let messages = r#"
{"reason":"compiler-artifact","target":{"name":"leptos"},"filenames":["/t/libleptos.rlib"]}
not json
{"reason":"compiler-artifact","target":{"name":"frontend"},"filenames":["/t/frontend.d","/t/frontend.wasm"]}
{"reason":"build-finished","success":true}"#;
        assert_eq!(wasm_file(messages), Some(PathBuf::from("/t/frontend.wasm")));
        assert_eq!(wasm_file("{}"), None);
    }

    #[test]
    fn a_part_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace { root: folder.path().into(), target: folder.path().into() };
        let parts = Parts::open(&workspace).unwrap();
        let first = parts.get("css", "k", || Ok(b"body{}".repeat(99))).unwrap();
        let second = parts.get("css", "k", || bail!("made twice")).unwrap();
        assert_eq!((first.raw, first.brotli), (second.raw, second.brotli));
        assert!(parts.get("css", "other", || bail!("made")).is_err());
        assert!(parts.get("css", "empty", || Ok(Vec::new())).is_err());
    }
}
