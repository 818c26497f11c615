//! The site folder: what the server serves as static files, under names that change with their content.
//!
//! Names and `hash.txt` are the ones cargo-leptos writes with `hash-files`, which is what leptos reads: each of
//! `<name>.<hash>.js`, `.wasm` and `.css`, and beside the server's executable a `hash.txt` with a line for each.

use crate::precompress::Forms;
use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What leptos knows the bundle by (`LEPTOS_OUTPUT_NAME`).
pub const NAME: &str = "gatehouse";

/// 22 URL-safe characters that say what the content is; as many as cargo-leptos uses.
pub fn content_hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // The length keeps two different splits of the same bytes apart.
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    URL_SAFE_NO_PAD.encode(&hasher.finalize()[..16])
}

/// A site being put together: path below the site folder → content.
#[derive(Default)]
pub struct Site {
    files: BTreeMap<PathBuf, Vec<u8>>,
    hashes: BTreeMap<&'static str, String>,
}

impl Site {
    /// Adds one part of the bundle (`js`, `wasm` or `css`) under a name made from its content.
    pub fn add_hashed(&mut self, extension: &'static str, content: Forms) {
        let hash = content_hash(&[&content.raw]);
        self.add(&Path::new("pkg").join(format!("{NAME}.{hash}.{extension}")), content);
        self.hashes.insert(extension, hash);
    }

    /// Adds a file under its own name.
    pub fn add(&mut self, path: &Path, content: Forms) {
        let beside = |ending: &str| {
            let mut path = path.as_os_str().to_owned();
            path.push(ending);
            PathBuf::from(path)
        };
        for (ending, bytes) in [("", Some(content.raw)), (".br", content.brotli), (".gz", content.gzip)] {
            if let Some(bytes) = bytes {
                self.files.insert(beside(ending), bytes);
            }
        }
    }

    /// The content of `hash.txt`.
    fn hash_file(&self) -> String {
        self.hashes.iter().map(|(extension, hash)| format!("{extension}: {hash}\n")).collect()
    }

    /// Makes `folder` hold exactly these files, and each of `executables` a `hash.txt` that names them.
    ///
    /// In this order, so that a server that runs meanwhile never names a file that is not there: new files, then the
    /// names, then away with the old. `drafts` is a folder on the same disk that nobody else uses.
    pub fn write(&self, folder: &Path, executables: &[PathBuf], drafts: &Path) -> Result<()> {
        for (path, bytes) in &self.files {
            write_if_changed(&folder.join(path), bytes, drafts)?;
        }
        for executables in executables {
            write_if_changed(&executables.join("hash.txt"), self.hash_file().as_bytes(), drafts)?;
        }
        for file in crate::workspace::files_below(folder)? {
            let stale = file.strip_prefix(folder).is_ok_and(|path| !self.files.contains_key(path));
            if stale {
                fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
            }
        }
        Ok(())
    }
}

/// Puts a file in place whole, through a draft: a reader sees the old one or the new one, never half of one.
pub fn write_if_changed(path: &Path, bytes: &[u8], drafts: &Path) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let problem = || format!("cannot write {}", path.display());
    for folder in path.parent().into_iter().chain([drafts]) {
        fs::create_dir_all(folder).with_context(problem)?;
    }
    let draft = drafts.join("draft");
    fs::write(&draft, bytes).with_context(problem)?;
    fs::rename(&draft, path).with_context(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &str) -> Forms {
        Forms::of(text.repeat(100).into_bytes()).unwrap()
    }

    #[test]
    fn a_new_build_leaves_nothing_of_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let [site, bin, drafts] = ["site", "debug", "drafts"].map(|name| folder.path().join(name));
        let mut old = Site::default();
        old.add_hashed("js", forms("old"));
        old.add(Path::new("gone.txt"), forms("gone"));
        old.write(&site, std::slice::from_ref(&bin), &drafts).unwrap();
        let mut new = Site::default();
        new.add_hashed("js", forms("new"));
        new.add_hashed("wasm", forms("code"));
        new.add_hashed("css", forms("style"));
        new.write(&site, std::slice::from_ref(&bin), &drafts).unwrap();

        // What leptos does to find the file: each `kind: hash` line of hash.txt becomes a name, and the file is there.
        let hashes = fs::read_to_string(bin.join("hash.txt")).unwrap();
        let mut expected = Vec::new();
        for line in hashes.lines() {
            let (kind, hash) = line.split_once(": ").unwrap();
            for ending in ["", ".br", ".gz"] {
                expected.push(site.join(format!("pkg/gatehouse.{hash}.{kind}{ending}")));
            }
        }
        expected.sort();
        assert_eq!(hashes.lines().count(), 3);
        assert_eq!(crate::workspace::files_below(&site).unwrap(), expected);
    }

    #[test]
    fn the_hash_tells_parts_apart() {
        assert_eq!(content_hash(&[b"a"]).len(), 22);
        assert_ne!(content_hash(&[b"ab", b"c"]), content_hash(&[b"a", b"bc"]));
    }
}
