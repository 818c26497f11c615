//! What a row of the list can do, once the browser has taken over: a server function, a message, the list again.

use gatehouse_domain::{AppError, ProxyView};
use leptos::{html, prelude::*, task::spawn_local};

use super::{
    parts::Users,
    test::{Subject, TestPanel, TestRun},
    urls,
};
use crate::{
    api::proxies::{delete_proxy, duplicate_proxy, get_proxy, make_default_proxy},
    components::{Banner, Button, ConfirmDialog, Icon, IconName, Kind, TextInput, Toasts, use_toasts},
};

/// What is under way in the list.
#[derive(Clone, Copy)]
pub struct Actions {
    /// The row and the action that wait for the server.
    busy: RwSignal<Option<(String, &'static str)>>,
    /// The one that shall be deleted.
    deleting: RwSignal<Option<ProxyView>>,
    delete_open: RwSignal<bool>,
    delete_error: RwSignal<Option<AppError>>,
    /// The one that is tested.
    testing: RwSignal<Option<(String, String)>>,
    run: TestRun,
    target: RwSignal<String>,
    reload: RwSignal<u32>,
    toasts: Toasts,
}

impl Actions {
    /// `reload` is counted up when the list is to be loaded again.
    #[must_use]
    pub fn new(reload: RwSignal<u32>) -> Self {
        Self {
            busy: RwSignal::new(None),
            deleting: RwSignal::new(None),
            delete_open: RwSignal::new(false),
            delete_error: RwSignal::new(None),
            testing: RwSignal::new(None),
            run: TestRun::new(None),
            target: RwSignal::new(String::new()),
            reload,
            toasts: use_toasts(),
        }
    }

    /// Whether this row waits for the server to do this.
    pub fn is_busy(self, id: &str, action: &str) -> bool {
        self.busy.with(|busy| busy.as_ref().is_some_and(|(b, a)| b == id && *a == action))
    }

    fn load_again(self) {
        self.reload.try_update(|n| *n += 1);
    }

    /// Makes it the default.
    pub fn make_default(self, id: String, name: String) {
        self.change("default", id.clone(), make_default_proxy(id), move |_| format!("“{name}” is the default proxy now."));
    }

    /// Makes a copy.
    pub fn duplicate(self, id: String, name: String) {
        self.change("duplicate", id.clone(), duplicate_proxy(id), move |copy| {
            format!("“{name}” was duplicated as “{}”. The copy is not the default.", copy.name)
        });
    }

    fn change(
        self, action: &'static str, id: String, call: impl Future<Output = Result<ProxyView, crate::error::ApiError>> + 'static,
        message: impl FnOnce(ProxyView) -> String + 'static,
    ) {
        if self.busy.with_untracked(Option::is_some) {
            return;
        }
        self.busy.set(Some((id, action)));
        spawn_local(async move {
            match call.await {
                Ok(view) => self.toasts.success(message(view)),
                Err(error) => self.toasts.error(error.to_string()),
            }
            self.busy.try_set(None);
            self.load_again();
        });
    }

    /// Asks before deleting.
    pub fn ask_delete(self, view: ProxyView) {
        self.delete_error.set(None);
        self.deleting.set(Some(view));
        self.delete_open.set(true);
    }

    fn delete(self) {
        let Some(view) = self.deleting.get_untracked() else { return };
        self.busy.set(Some((view.id.clone(), "delete")));
        spawn_local(async move {
            match delete_proxy(view.id.clone(), view.version).await {
                Ok(()) => {
                    self.delete_open.try_set(false);
                    self.toasts.success(format!("“{}” was deleted.", view.name));
                }
                Err(error) => {
                    // Somebody changed it or took it into use in between: the question shows it as it is now.
                    if matches!(error.0, AppError::InUse(_) | AppError::Changed { .. })
                        && let Ok(now) = get_proxy(view.id).await
                    {
                        self.deleting.try_set(Some(now));
                    }
                    self.delete_error.try_set(Some(error.0));
                }
            }
            self.busy.try_set(None);
            self.load_again();
        });
    }

    /// Opens the drawer and starts.
    pub fn test(self, id: String, name: String) {
        self.target.set(String::new());
        self.testing.set(Some((id, name)));
        self.start_test();
    }

    fn start_test(self) {
        let Some((id, _)) = self.testing.get_untracked() else { return };
        // The list shows the last result: whatever the end, it may be another now.
        self.run.start(Subject::Saved(id), self.target.get_untracked(), Callback::new(move |_| self.load_again()));
    }

    fn close_test(self) {
        self.run.clear();
        self.testing.set(None);
    }
}

/// The question before a setting is deleted. While it is in use there is no "Delete", but the list of its users.
#[component]
pub fn DeleteDialog(
    /// Of the list.
    actions: Actions,
) -> impl IntoView {
    let deleting = actions.deleting;
    let used = Memo::new(move |_| deleting.with(|d| d.as_ref().is_some_and(|view| !view.used_by.is_empty())));
    let title = Signal::derive(move || {
        deleting.with(|d| {
            let name = d.as_ref().map_or("", |view| &view.name);
            if used.get() { format!("“{name}” is in use") } else { format!("Delete “{name}”?") }
        })
    });
    let busy = Signal::derive(move || actions.busy.with(|busy| matches!(busy, Some((_, "delete")))));
    view! {
        <ConfirmDialog
            id="delete-proxy"
            open=actions.delete_open
            title
            confirm_label="Delete"
            danger=true
            busy
            disabled=used
            keep_open=true
            on_confirm=Callback::new(move |()| actions.delete())
        >
            {move || deleting.with(|d| d.as_ref().map(|view| view! { <DeleteText view=view.clone()/> }))}
            {move || {
                let error = actions.delete_error.get().filter(|error| !matches!(error, AppError::InUse(_)));
                error.map(|error| view! { <Banner kind=Kind::Error title=super::delete::refusal(&error)/> })
            }}
        </ConfirmDialog>
    }
    .into_any()
}

/// What deleting this setting would do, or why it can't be done.
#[component]
pub fn DeleteText(
    /// The setting.
    view: ProxyView,
) -> impl IntoView {
    if !view.used_by.is_empty() {
        return view! {
            <p>"It can't be deleted while somebody uses it. Give these another proxy first:"</p>
            <Users users=view.used_by/>
        }
        .into_any();
    }
    let place = format!("{}:{}", view.host, view.port);
    view! {
        <p>"The proxy setting for " <strong class="wrap-anywhere">{place}</strong> " will be gone for good, with its password. Nobody uses it."</p>
        {view
            .is_default
            .then(|| view! { <p>"It is the default proxy: afterwards there is none, until you make another one the default."</p> })}
    }
    .into_any()
}

/// Tests a saved setting beside the list, live.
#[component]
pub fn TestDrawer(
    /// Of the list.
    actions: Actions,
) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        let Some(dialog) = dialog.get() else { return };
        match (actions.testing.with(Option::is_some), dialog.open()) {
            // Refused only when it is not in the document: then there is nobody to show it to.
            (true, false) => drop(dialog.show_modal()),
            (false, true) => dialog.close(),
            _ => {}
        }
    });
    let name = move || actions.testing.with(|t| t.as_ref().map(|(_, name)| name.clone()).unwrap_or_default());
    let edit = move || actions.testing.with(|t| t.as_ref().map_or_else(String::new, |(id, _)| urls::edit(id)));
    view! {
        <dialog
            node_ref=dialog
            class="m-0 ml-auto h-dvh max-h-none w-full max-w-lg overflow-y-auto border-l border-base-300 bg-base-100 p-5 text-base-content shadow-xl backdrop:bg-black/50"
            aria-labelledby="test-drawer-title"
            on:close=move |_| actions.close_test()
        >
            <div class="mb-4 flex items-start justify-between gap-3">
                <div class="min-w-0">
                    <h2 id="test-drawer-title" class="text-lg font-semibold">
                        "Test Connection"
                    </h2>
                    <p class="subtle break-words">{name}</p>
                </div>
                <button type="button" class="btn-icon" aria-label="Close the test" title="Close" on:click=move |_| actions.testing.set(None)>
                    <Icon name=IconName::Close/>
                </button>
            </div>
            <TestPanel run=actions.run/>
            <form
                class="mt-4 grid gap-3 border-t border-base-300 pt-4"
                on:submit=move |event| {
                    event.prevent_default();
                    actions.start_test();
                }
            >
                <TextInput
                    name="drawer-target"
                    label="Test target"
                    value=actions.target
                    input_type="text"
                    inputmode="url"
                    optional=true
                    verbatim=true
                    placeholder="https://example.com/"
                    hint="The web address that is asked for through the proxy. Empty: the one your operator has set."
                />
                <div class="flex flex-wrap gap-2">
                    <Button busy=Signal::derive(move || actions.run.is_running())>"Test again"</Button>
                    <a class="btn btn-ghost" href=edit>
                        "Edit this setting"
                    </a>
                </div>
            </form>
        </dialog>
    }
    .into_any()
}
