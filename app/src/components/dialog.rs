//! Asks before something is destroyed.

use leptos::{html, prelude::*};

use super::button::{Button, ButtonKind};

/// A question over the page. The focus starts on Cancel, so Enter never destroys; Esc closes; the focus goes back to
/// where it was (the browser's `<dialog>` does that). Without JavaScript it never opens: pages that destroy have their own address.
#[component]
pub fn ConfirmDialog(
    /// A name for its parts, unique on the page.
    id: &'static str, /// Whether it is open.
    open: RwSignal<bool>,
    /// The question.
    #[prop(into)]
    title: Signal<String>,
    /// What the confirming button says: the verb, such as "Delete".
    #[prop(into)]
    confirm_label: Signal<String>,
    /// Destroys something.
    #[prop(optional)]
    danger: bool,
    /// Under way: the buttons wait.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// The confirming button can't be pressed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// When it is confirmed. It closes itself unless `keep_open`.
    #[prop(into)]
    on_confirm: Callback<()>,
    /// Whoever uses it closes it, when what was asked for is done.
    #[prop(optional)]
    keep_open: bool,
    /// What will happen, to what.
    children: Children,
) -> impl IntoView {
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        let Some(dialog) = dialog.get() else { return };
        match (open.get(), dialog.open()) {
            // Refused only when it is not in the document: then there is nobody to ask.
            (true, false) => drop(dialog.show_modal()),
            (false, true) => dialog.close(),
            _ => {}
        }
    });
    let title_id = format!("{id}-title");
    let text_id = format!("{id}-text");
    let kind = if danger { ButtonKind::Danger } else { ButtonKind::Primary };
    view! {
        <dialog
            class="confirm"
            node_ref=dialog
            id=id
            role="alertdialog"
            aria-labelledby=title_id
            aria-describedby=text_id
            on:close=move |_| open.set(false)
        >
            <h2 id=title_id.clone()>{move || title.get()}</h2>
            <div id=text_id.clone() class="confirm-text">{children()}</div>
            <div class="confirm-actions">
                <button class="btn" type="button" autofocus on:click=move |_| open.set(false)>
                    "Cancel"
                </button>
                <Button
                    kind
                    button_type="button"
                    busy
                    disabled
                    on_click=Callback::new(move |_| {
                        if !keep_open {
                            open.set(false);
                        }
                        on_confirm.run(());
                    })
                >
                    {move || confirm_label.get()}
                </Button>
            </div>
        </dialog>
    }
    .into_any()
}
