//! Buttons, and links that look like buttons.

use leptos::{ev::MouseEvent, prelude::*};

use super::icon::{Icon, IconName};

/// How much a button asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ButtonKind {
    /// The one thing a page is for.
    Primary,
    /// Everything else.
    #[default]
    Secondary,
    /// Destroys something.
    Danger,
    /// Beside others, without a border.
    Ghost,
}

impl ButtonKind {
    fn class(self) -> &'static str {
        match self {
            Self::Primary => "btn btn-primary",
            Self::Secondary => "btn",
            Self::Danger => "btn btn-error",
            Self::Ghost => "btn btn-ghost",
        }
    }
}

/// Turns while something is under way. Decoration: say in words what is going on.
#[component]
pub fn Spinner() -> impl IntoView {
    view! { <span class="spinner" aria-hidden="true"></span> }.into_any()
}

/// A button. Submits its form unless `button_type` says otherwise.
#[component]
pub fn Button(
    /// How much attention it asks for.
    #[prop(optional)]
    kind: ButtonKind,
    /// `submit` or `button`.
    #[prop(default = "submit")]
    button_type: &'static str,
    /// Name of the form field that says which button was pressed.
    #[prop(optional)]
    name: Option<&'static str>,
    /// Value of that field.
    #[prop(optional, into)]
    value: Option<String>,
    /// Where this button posts the form instead of the form's own address.
    #[prop(optional, into)]
    formaction: Option<String>,
    /// Posts without the browser's own checks.
    #[prop(optional)]
    formnovalidate: bool,
    /// The id of a form elsewhere on the page.
    #[prop(optional, into)]
    form: Option<String>,
    /// Something is under way: shows a spinner and takes no clicks, but keeps the focus (so it is not `disabled`).
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// Can't be pressed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// When it is pressed.
    #[prop(optional, into)]
    on_click: Option<Callback<MouseEvent>>,
    /// More classes.
    #[prop(optional)]
    class: &'static str, /// What it says.
    children: Children,
) -> impl IntoView {
    view! {
        <button
            class=format!("{} {class}", kind.class())
            type=button_type
            name=name
            value=value
            form=form
            formaction=formaction
            formnovalidate=formnovalidate
            disabled=move || disabled.get()
            aria-disabled=move || busy.get().then_some("true")
            on:click=move |event| {
                if busy.get_untracked() {
                    event.prevent_default();
                } else if let Some(on_click) = on_click {
                    on_click.run(event);
                }
            }
        >
            {move || busy.get().then(|| view! { <Spinner/> })}
            {children()}
        </button>
    }
    .into_any()
}

/// A link that looks like a button: for what leads to another page.
#[component]
pub fn LinkButton(
    /// Where to.
    #[prop(into)]
    href: String, /// How much attention it asks for.
    #[prop(optional)]
    kind: ButtonKind,
    /// More classes.
    #[prop(optional)]
    class: &'static str, /// What it says.
    children: Children,
) -> impl IntoView {
    view! {
        <a class=format!("{} {class}", kind.class()) href=href>
            {children()}
        </a>
    }
    .into_any()
}

/// A square button with an icon alone. The label is read out and shown as a tooltip.
#[component]
pub fn IconButton(
    /// What it does, with its object: "Delete Head office".
    #[prop(into)]
    label: Signal<String>,
    /// What it shows.
    icon: IconName, /// `submit` or `button`.
    #[prop(default = "button")]
    button_type: &'static str,
    /// Name of the form field that says which button was pressed.
    #[prop(optional)]
    name: Option<&'static str>,
    /// Value of that field.
    #[prop(optional, into)]
    value: Option<String>,
    /// Something is under way.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// Can't be pressed.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// Shown as dangerous.
    #[prop(optional)]
    danger: bool,
    /// When it is pressed.
    #[prop(optional, into)]
    on_click: Option<Callback<MouseEvent>>,
) -> impl IntoView {
    view! {
        <button
            class=if danger { "btn-icon btn-icon-danger" } else { "btn-icon" }
            type=button_type
            name=name
            value=value
            aria-label=move || label.get()
            title=move || label.get()
            disabled=move || disabled.get()
            aria-disabled=move || busy.get().then_some("true")
            on:click=move |event| {
                if busy.get_untracked() {
                    event.prevent_default();
                } else if let Some(on_click) = on_click {
                    on_click.run(event);
                }
            }
        >
            {move || if busy.get() { view! { <Spinner/> }.into_any() } else { view! { <Icon name=icon/> }.into_any() }}
        </button>
    }
    .into_any()
}

/// A square link with an icon alone.
#[component]
pub fn IconLink(
    /// Where to.
    #[prop(into)]
    href: String,
    /// What is there, with its object: "Edit Head office".
    #[prop(into)]
    label: String,
    /// What it shows.
    icon: IconName, /// Shown as dangerous.
    #[prop(optional)]
    danger: bool,
) -> impl IntoView {
    let title = label.clone();
    view! {
        <a class=if danger { "btn-icon btn-icon-danger" } else { "btn-icon" } href=href aria-label=label title=title>
            <Icon name=icon/>
        </a>
    }
    .into_any()
}
