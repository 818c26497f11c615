//! The browser's files, as the build step left them: named by their content, compressed beforehand.

use std::path::PathBuf;

use axum::Router;
use http::{HeaderName, HeaderValue, header};
use leptos::config::LeptosOptions;
use tower_http::{services::ServeDir, set_header::SetResponseHeaderLayer};

/// Where the files are and what they are called: `LEPTOS_SITE_ROOT`, else `site` beside the program.
#[must_use]
pub fn leptos_options() -> LeptosOptions {
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from)).unwrap_or_default();
    let root = std::env::var("LEPTOS_SITE_ROOT").ok().filter(|r| !r.is_empty()).unwrap_or_else(|| {
        let site = beside.join("site");
        // In the target folder the site stands one level up, beside the profile's folder.
        if site.exists() { site } else { beside.parent().map(|p| p.join("site")).unwrap_or(site) }.to_string_lossy().into_owned()
    });
    // cargo-leptos writes plain names and says so.
    let hashed = std::env::var("LEPTOS_HASH_FILES").map_or_else(|_| beside.join("hash.txt").exists(), |v| v == "true");
    LeptosOptions::builder().output_name("gatehouse").site_root(root).site_pkg_dir("pkg").hash_files(hashed).build()
}

/// Says so where there are none.
pub fn warn_if_missing(options: &LeptosOptions) {
    if !std::path::Path::new(options.site_root.as_ref()).join("pkg").exists() {
        tracing::warn!(folder = %options.site_root, "the browser's files are missing: pages work, but without JavaScript and style. Build them with 'make build'");
    }
}

/// `/pkg/…` for good when the name holds the content's hash, and the files of `public/`.
pub fn router<S: Clone + Send + Sync + 'static>(options: &LeptosOptions) -> Router<S> {
    let root = PathBuf::from(options.site_root.as_ref());
    let files = |folder: PathBuf| ServeDir::new(folder).precompressed_br().precompressed_gzip();
    let kept = if options.hash_files { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut router =
        Router::new().nest_service("/pkg", tower::ServiceBuilder::new().layer(cache(kept)).service(files(root.join("pkg"))));
    for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_copy = name.ends_with(".br") || name.ends_with(".gz");
        if is_copy || !entry.file_type().is_ok_and(|t| t.is_file()) {
            continue;
        }
        let service = tower::ServiceBuilder::new().layer(cache("public, max-age=3600")).service(files(root.clone()));
        router = router.route_service(&format!("/{name}"), service);
    }
    router
}

fn cache(value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    let name: HeaderName = header::CACHE_CONTROL;
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}
