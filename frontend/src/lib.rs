//! The browser's entry point: brings the islands of the page to life that the server has rendered.

/// Called by the page's script.
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    gatehouse_app::browser::start();
    leptos::mount::hydrate_islands();
}
