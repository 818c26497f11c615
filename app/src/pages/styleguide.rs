//! All components in all states.

use leptos::prelude::*;

/// `/styleguide`.
#[component]
pub fn StyleGuidePage() -> impl IntoView {}
