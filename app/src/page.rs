//! What every page knows without asking: who is signed in, the theme, what a posted form led to.
//!
//! The server knows these before it renders, so they travel in the page itself, once: no request, nothing to wait for.

use gatehouse_domain::SessionView;
use leptos::prelude::*;
use leptos_router::hooks::use_location;
use serde::{Deserialize, Serialize};

use crate::outcome::FormOutcome;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct FirstPage {
    session: Option<SessionView>,
    theme: String,
    outcome: Option<FormOutcome>,
}

/// Context of the whole app.
#[derive(Clone, Copy)]
struct PageContext {
    first: StoredValue<FirstPage>,
    /// The theme in use now.
    theme: RwSignal<String>,
    hydrated: RwSignal<bool>,
    /// The outcome belongs to the page that the server rendered, and is gone once another one was visited.
    moved: StoredValue<bool>,
}

/// Sets it up; called once by the app.
pub(crate) fn provide_page_context() {
    let first = SharedValue::new(first_page).into_inner();
    let hydrated = RwSignal::new(false);
    Effect::new(move |_| hydrated.set(true));
    let theme = RwSignal::new(first.theme.clone());
    provide_context(PageContext { first: StoredValue::new(first), theme, hydrated, moved: StoredValue::new(false) });
}

#[cfg(feature = "ssr")]
fn first_page() -> FirstPage {
    // Not there while routes are listed at start.
    use_context::<crate::context::RequestContext>().map_or_else(FirstPage::default, |context| FirstPage {
        session: context.actor.map(|actor| actor.view),
        theme: context.theme,
        outcome: context.outcome,
    })
}

#[cfg(not(feature = "ssr"))]
fn first_page() -> FirstPage {
    FirstPage::default()
}

fn context() -> Option<PageContext> {
    use_context::<PageContext>()
}

/// Forgets the outcome of the first page when another one is visited. Called once, inside the router.
pub(crate) fn forget_outcome_on_navigation() {
    let path = use_location().pathname;
    Effect::new(move |first: Option<String>| {
        let now = path.get();
        if let (Some(first), Some(context)) = (&first, context())
            && *first != now
        {
            context.moved.set_value(true);
        }
        first.unwrap_or(now)
    });
}

/// Who is signed in.
#[must_use]
pub fn use_session() -> Option<SessionView> {
    context().and_then(|context| context.first.with_value(|first| first.session.clone()))
}

/// The theme: `light`, `dark` or empty for the system's.
#[must_use]
pub fn use_theme() -> RwSignal<String> {
    context().map_or_else(|| RwSignal::new(String::new()), |context| context.theme)
}

/// Whether the browser has taken over: false on the server and until the page is hydrated, so what hangs on it may
/// differ between the two.
#[must_use]
pub fn use_hydrated() -> Signal<bool> {
    context().map_or_else(|| Signal::stored(false), |context| context.hydrated.into())
}

/// What the form that was posted to this page led to; the default when this page was not posted to.
#[must_use]
pub fn use_outcome() -> FormOutcome {
    let Some(context) = context() else { return FormOutcome::default() };
    if context.moved.get_value() {
        return FormOutcome::default();
    }
    context.first.with_value(|first| first.outcome.clone()).unwrap_or_default()
}
