//! The browser's files on a page: what they are called, and the script that brings the islands to life.
//!
//! In the place of Leptos' `HydrationScripts`, which has a page wait for its WASM as it waits for its style sheet, and its
//! islands for a moment in which the browser has nothing to do.

use std::{fs, sync::OnceLock};

use leptos::{nonce::use_nonce, prelude::*};

/// What walks the page; called with the addresses of the two files.
const WALK: &str = include_str!("islands.js");

/// The addresses of the browser's script and WASM.
struct Files {
    script: String,
    wasm: String,
}

impl Files {
    /// Named by their content when the build has left a list of the names beside the program (`js: …`, `wasm: …`).
    fn of(options: &LeptosOptions) -> Self {
        let list = options.hash_files.then(|| {
            let beside = std::env::current_exe().ok()?.parent()?.join(options.hash_file.as_ref());
            fs::read_to_string(beside).ok()
        });
        let list = list.flatten().unwrap_or_default();
        let address = |kind: &str| {
            let named = list.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == kind);
            let hash = named.map(|(_, hash)| format!(".{}", hash.trim())).unwrap_or_default();
            format!("/{}/{}{hash}.{kind}", options.site_pkg_dir, options.output_name)
        };
        Self { script: address("js"), wasm: address("wasm") }
    }
}

/// For the head of a page. From here on what is rendered is plain HTML, except within islands.
#[component]
pub fn IslandScripts(
    /// What the files are called.
    options: LeptosOptions,
) -> impl IntoView {
    static FILES: OnceLock<Files> = OnceLock::new();
    let files = FILES.get_or_init(|| Files::of(&options));
    if let Some(shared) = Owner::current_shared_context() {
        shared.set_is_hydrating(false);
    }
    let call = format!("({WALK})({:?}, {:?});", files.script, files.wasm);
    view! {
        <link rel="modulepreload" href=files.script.as_str() fetchpriority="low"/>
        <script type="module" nonce=use_nonce() inner_html=call></script>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_list_the_names_are_plain() {
        let options = LeptosOptions::builder().output_name("gatehouse").site_pkg_dir("pkg").build();
        let files = Files::of(&options);
        assert_eq!((files.script.as_str(), files.wasm.as_str()), ("/pkg/gatehouse.js", "/pkg/gatehouse.wasm"));
    }
}
