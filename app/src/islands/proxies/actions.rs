//! What a row of the list can do: a server function, a message, the list again.

use gatehouse_domain::AppError;
use leptos::{html, prelude::*, task::spawn_local};
use web_sys::Element;

use super::{
    test::{Subject, TestPanel, TestRun},
    urls,
    users::Users,
    values::Stored,
};
use crate::{
    api::proxies::{delete_proxy, duplicate_proxy, get_proxy, make_default_proxy},
    browser::regions,
    components::{Banner, Button, ConfirmDialog, Icon, IconName, Kind, TextInput, toast_error, toast_success},
    error::ApiError,
};

/// A row as its HTML tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The setting's identifier.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// What is under way in the list.
#[derive(Clone, Copy)]
pub(super) struct Actions {
    /// Something waits for the server: one thing at a time.
    busy: RwSignal<bool>,
    /// The one that shall be deleted.
    deleting: RwSignal<Option<Stored>>,
    delete_open: RwSignal<bool>,
    delete_error: RwSignal<Option<AppError>>,
    /// The one that is tested.
    testing: RwSignal<Option<Row>>,
    run: TestRun,
    target: RwSignal<String>,
}

impl Actions {
    pub(super) fn new() -> Self {
        Self {
            busy: RwSignal::new(false),
            deleting: RwSignal::new(None),
            delete_open: RwSignal::new(false),
            delete_error: RwSignal::new(None),
            testing: RwSignal::new(None),
            run: TestRun::new(None),
            target: RwSignal::new(String::new()),
        }
    }

    /// Does what the button of this row says.
    pub(super) fn run(self, intent: &str, row: Row, button: Element) {
        match intent {
            "test-saved" => self.test(row),
            "duplicate" => self.call(button, duplicate_proxy(row.id), move |copy| {
                toast_success(&format!("“{}” was duplicated as “{copy}”. The copy is not the default.", row.name));
                regions::refresh();
            }),
            "default" => self.call(button, make_default_proxy(row.id), move |_| {
                toast_success(&format!("“{}” is the default proxy now.", row.name));
                regions::refresh();
            }),
            "delete" => self.call(button, get_proxy(row.id), move |stored| {
                self.delete_error.set(None);
                self.deleting.set(Some(stored));
                self.delete_open.set(true);
            }),
            _ => {}
        }
    }

    /// Asks the server; the button shows that something is under way. What goes wrong is told, and the list loaded again.
    fn call<T: 'static>(
        self, button: Element, call: impl Future<Output = Result<T, ApiError>> + 'static, done: impl FnOnce(T) + 'static,
    ) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        drop(button.set_attribute("aria-busy", "true"));
        spawn_local(async move {
            let answer = call.await;
            self.busy.set(false);
            drop(button.remove_attribute("aria-busy"));
            match answer {
                Ok(answer) => done(answer),
                Err(error) => {
                    toast_error(&error.to_string());
                    regions::refresh();
                }
            }
        });
    }

    fn delete(self) {
        let Some(stored) = self.deleting.get_untracked() else { return };
        self.busy.set(true);
        spawn_local(async move {
            match delete_proxy(stored.id.clone(), stored.version).await {
                Ok(()) => {
                    self.delete_open.set(false);
                    toast_success(&format!("“{}” was deleted.", stored.form.name));
                }
                Err(error) => {
                    // Somebody changed it or took it into use in between: the question shows it as it is now.
                    if matches!(error.0, AppError::InUse(_) | AppError::Changed(_))
                        && let Ok(now) = get_proxy(stored.id).await
                    {
                        self.deleting.set(Some(now));
                    }
                    self.delete_error.set(Some(error.0));
                }
            }
            self.busy.set(false);
            regions::refresh();
        });
    }

    /// Opens the drawer and starts.
    fn test(self, row: Row) {
        self.target.set(String::new());
        self.testing.set(Some(row));
        self.start_test();
    }

    fn start_test(self) {
        let Some(row) = self.testing.get_untracked() else { return };
        // The list shows the last result: whatever the end, it may be another now.
        self.run.start(Subject::Saved(row.id), self.target.get_untracked(), Callback::new(move |_| regions::refresh()));
    }

    fn close_test(self) {
        self.run.clear();
        self.testing.set(None);
    }
}

/// The question before a setting is deleted. While it is in use there is no "Delete", but the list of its users.
#[component]
pub(super) fn DeleteDialog(
    /// Of the list.
    actions: Actions,
) -> impl IntoView {
    let deleting = actions.deleting;
    let used = Memo::new(move |_| deleting.with(|d| d.as_ref().is_some_and(|stored| !stored.used_by.is_empty())));
    let title = Signal::derive(move || {
        deleting.with(|d| {
            let name = d.as_ref().map_or("", |stored| &stored.form.name);
            if used.get() { format!("“{name}” is in use") } else { format!("Delete “{name}”?") }
        })
    });
    view! {
        <ConfirmDialog
            id="delete-proxy"
            open=actions.delete_open
            title
            confirm_label="Delete"
            danger=true
            busy=actions.busy
            disabled=used
            keep_open=true
            on_confirm=Callback::new(move |()| actions.delete())
        >
            {move || deleting.with(|d| d.as_ref().map(|stored| view! { <DeleteText stored=stored.clone()/> }))}
            {move || {
                let error = actions.delete_error.get().filter(|error| !matches!(error, AppError::InUse(_)));
                error.map(|error| view! { <Banner kind=Kind::Error title=refusal(&error)/> })
            }}
        </ConfirmDialog>
    }
    .into_any()
}

/// What deleting this setting would do, or why it can't be done.
#[component]
pub fn DeleteText(
    /// The setting.
    stored: Stored,
) -> impl IntoView {
    if !stored.used_by.is_empty() {
        return view! {
            <p>"It can't be deleted while somebody uses it. Give these another proxy first:"</p>
            <Users users=stored.used_by/>
        }
        .into_any();
    }
    let place = format!("{}:{}", stored.form.host, stored.form.port);
    view! {
        <p>"The proxy setting for " <strong class="wrap-anywhere">{place}</strong> " will be gone for good, with its password. Nobody uses it."</p>
        {stored
            .form
            .is_default
            .then(|| view! { <p>"It is the default proxy: afterwards there is none, until you make another one the default."</p> })}
    }
    .into_any()
}

/// Why it was not deleted, in the words of this question.
#[must_use]
pub fn refusal(error: &AppError) -> String {
    match error {
        AppError::Changed(_) => "Somebody else changed this setting meanwhile. Look at it again before you delete it.".into(),
        AppError::NotFound => "Somebody else has deleted this setting already.".into(),
        error => error.to_string(),
    }
}

/// Tests a saved setting beside the list, live.
#[component]
pub(super) fn TestDrawer(
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
    let name = move || actions.testing.with(|t| t.as_ref().map(|row| row.name.clone()).unwrap_or_default());
    let edit = move || actions.testing.with(|t| t.as_ref().map_or_else(String::new, |row| urls::edit(&row.id)));
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
