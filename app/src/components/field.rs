//! Form fields: a label, the control, a hint, an error, wired together for screen readers.
//!
//! They are ordinary HTML fields, so forms can be posted without JavaScript. `id` is the name (with `-` for `.` and `[`), so names must be
//! unique on a page, and an error is found under `<name>-error`.

use gatehouse_domain::AppError;
use leptos::{html, prelude::*};

use super::icon::{Icon, IconName};
use crate::{browser::use_hydrated, outcome::FormOutcome};

/// What a field starts with: what was posted, else `fallback`.
#[must_use]
pub fn initial_value(outcome: &FormOutcome, name: &str, fallback: &str) -> String {
    outcome.values.get(name).cloned().unwrap_or_else(|| fallback.to_string())
}

/// The message of one field in what went wrong.
#[must_use]
pub fn field_error(error: Option<&AppError>, name: &str) -> Option<String> {
    error.and_then(|error| error.fields().get(name).map(ToString::to_string))
}

/// Puts the focus on the first field with an error inside the element with this id. Call it after the errors are set; it waits for
/// them to be shown.
pub fn focus_first_invalid(form_id: &'static str) {
    focus_soon(form_id, 10);
}

fn focus_soon(form_id: &'static str, frames: u8) {
    request_animation_frame(move || {
        use leptos::wasm_bindgen::JsCast as _;
        let found =
            document().get_element_by_id(form_id).and_then(|form| form.query_selector("[aria-invalid=true]").ok().flatten());
        if let Some(field) = found.and_then(|field| field.dyn_into::<web_sys::HtmlElement>().ok()) {
            drop(field.focus());
        } else if frames > 0 {
            focus_soon(form_id, frames - 1);
        }
    });
}

/// What the person did to a field between the page's arrival and the moment the browser took over (typing, a password
/// manager, the browser restoring a form): read before hydration overwrites it, put into the signal after.
fn keep_early_input<T: Clone + PartialEq + Send + Sync + 'static>(signal: RwSignal<T>, read: impl FnOnce() -> Option<T>) {
    #[cfg(feature = "hydrate")]
    if let Some(early) = read().filter(|early| signal.with_untracked(|now| now != early)) {
        let early = StoredValue::new(Some(early));
        Effect::new(move |_| {
            if let Some(early) = early.try_update_value(Option::take).flatten() {
                signal.set(early);
            }
        });
    }
    #[cfg(not(feature = "hydrate"))]
    let _ = (signal, read);
}

#[cfg(feature = "hydrate")]
fn early<E: leptos::wasm_bindgen::JsCast>(id: &str) -> Option<E> {
    use leptos::wasm_bindgen::JsCast as _;
    document().get_element_by_id(id)?.dyn_into::<E>().ok()
}

fn id_of(name: &str) -> String {
    name.replace(['.', '[', ']'], "-")
}

/// The ids that describe a field.
fn described_by(
    id: &str, has_hint: bool, error: Signal<Option<String>>,
) -> impl Fn() -> Option<String> + Clone + Send + Sync + use<> {
    let (hint, error_id) = (format!("{id}-hint"), format!("{id}-error"));
    move || match (has_hint, error.with(Option::is_some)) {
        (true, true) => Some(format!("{error_id} {hint}")),
        (true, false) => Some(hint.clone()),
        (false, true) => Some(error_id.clone()),
        (false, false) => None,
    }
}

/// Label, hint and error around any control. The control must have the id `name` (dots as dashes), `aria-describedby` and `aria-invalid`;
/// [`TextInput`] and the others do all that.
#[component]
pub fn Field(
    /// What to call it.
    #[prop(into)]
    label: String, /// The control's name and id.
    name: &'static str,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// What to enter, in a sentence.
    #[prop(default = None)]
    hint: Option<String>,
    /// Says that it may stay empty.
    #[prop(optional)]
    optional: bool, /// The control.
    children: Children,
) -> impl IntoView {
    let id = id_of(name);
    view! {
        <div class="field">
            <label class="field-label" for=id.clone()>
                {label}
                {optional.then(|| view! { <span class="field-optional">" (optional)"</span> })}
            </label>
            {children()}
            <FieldNotes id hint error/>
        </div>
    }
    .into_any()
}

#[component]
fn FieldNotes(id: String, hint: Option<String>, error: Signal<Option<String>>) -> impl IntoView {
    let error_id = format!("{id}-error");
    view! {
        {move || {
            let id = error_id.clone();
            error
                .get()
                .map(|text| {
                    view! {
                        <p class="field-error" id=id>
                            <Icon name=IconName::Warning/>
                            <span>{text}</span>
                        </p>
                    }
                })
        }}
        {hint.map(|text| view! { <p class="field-hint" id=format!("{id}-hint")>{text}</p> })}
    }
    .into_any()
}

/// One line of text.
#[component]
pub fn TextInput(
    /// The field's name and id.
    name: &'static str, /// What to call it.
    #[prop(into)]
    label: String,
    /// What is in it.
    value: RwSignal<String>,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// What to enter, in a sentence.
    #[prop(optional, into)]
    hint: Option<String>,
    /// `text`, `email`, `search`, …
    #[prop(default = "text")]
    input_type: &'static str,
    /// What browsers and password managers may fill in.
    #[prop(default = "off")]
    autocomplete: &'static str,
    /// `numeric`, …: which keyboard a phone shows.
    #[prop(optional)]
    inputmode: Option<&'static str>,
    /// Has to be filled in. Said to screen readers; checked by our own messages, which are better than the browser's.
    #[prop(optional)]
    required: bool,
    /// Says that it may stay empty.
    #[prop(optional)]
    optional: bool,
    /// An example.
    #[prop(optional)]
    placeholder: Option<&'static str>,
    /// Turns spelling marks off, as for host names.
    #[prop(optional)]
    verbatim: bool,
    /// Has the focus when the page opens.
    #[prop(optional)]
    autofocus: bool,
    /// More classes for the control.
    #[prop(optional)]
    class: &'static str,
    /// When something is typed, after `value` is set.
    #[prop(optional, into)]
    on_input: Option<Callback<String>>,
    /// When the field is left.
    #[prop(optional, into)]
    on_blur: Option<Callback<()>>,
    /// When something is pasted: answers whether it was taken care of.
    #[prop(optional, into)]
    on_paste: Option<Callback<String, bool>>,
) -> impl IntoView {
    let id = id_of(name);
    #[cfg(feature = "hydrate")]
    let read = {
        let id = id.clone();
        move || early::<web_sys::HtmlInputElement>(&id).map(|input| input.value())
    };
    #[cfg(not(feature = "hydrate"))]
    let read = || None;
    keep_early_input(value, read);
    let described = described_by(&id, hint.is_some(), error);
    view! {
        <Field label name error hint optional>
            <input
                class=format!("input {class}")
                id=id
                name=name
                type=input_type
                value=value.get_untracked()
                prop:value=move || value.get()
                autocomplete=autocomplete
                inputmode=inputmode
                placeholder=placeholder
                spellcheck=verbatim.then_some("false")
                autocapitalize=verbatim.then_some("none")
                autofocus=autofocus
                aria-required=required.then_some("true")
                aria-invalid=move || error.with(Option::is_some).then_some("true")
                aria-describedby=described
                on:input=move |event| {
                    let text = event_target_value(&event);
                    value.set(text.clone());
                    if let Some(on_input) = on_input {
                        on_input.run(text);
                    }
                }
                on:blur=move |_| {
                    if let Some(on_blur) = on_blur {
                        on_blur.run(());
                    }
                }
                on:paste=move |event| {
                    let text = event.clipboard_data().and_then(|data| data.get_data("text").ok());
                    if let (Some(on_paste), Some(text)) = (on_paste, text) && on_paste.run(text) {
                        event.prevent_default();
                    }
                }
            />
        </Field>
    }
    .into_any()
}

/// A password, with a button that shows it.
#[component]
pub fn PasswordInput(
    /// The field's name and id.
    name: &'static str, /// What to call it.
    #[prop(into)]
    label: String,
    /// What is in it.
    value: RwSignal<String>,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// What to enter, in a sentence.
    #[prop(optional, into)]
    hint: Option<String>,
    /// `current-password`, `new-password` or `off`.
    #[prop(default = "off")]
    autocomplete: &'static str,
    /// Has to be filled in.
    #[prop(optional)]
    required: bool,
    /// Says that it may stay empty.
    #[prop(optional)]
    optional: bool,
    /// What stands in it while it is empty.
    #[prop(optional, into)]
    placeholder: MaybeProp<String>,
    /// Has the focus when the page opens.
    #[prop(optional)]
    autofocus: bool,
    /// When something is typed, after `value` is set.
    #[prop(optional, into)]
    on_input: Option<Callback<String>>,
    /// When the field is left.
    #[prop(optional, into)]
    on_blur: Option<Callback<()>>,
) -> impl IntoView {
    let id = id_of(name);
    #[cfg(feature = "hydrate")]
    let read = {
        let id = id.clone();
        move || early::<web_sys::HtmlInputElement>(&id).map(|input| input.value())
    };
    #[cfg(not(feature = "hydrate"))]
    let read = || None;
    keep_early_input(value, read);
    let described = described_by(&id, hint.is_some(), error);
    let shown = RwSignal::new(false);
    let hydrated = use_hydrated();
    view! {
        <Field label name error hint optional>
            <div class="with-button">
                <input
                    class="input"
                    id=id.clone()
                    name=name
                    type=move || if shown.get() { "text" } else { "password" }
                    prop:value=move || value.get()
                    autocomplete=autocomplete
                    autocapitalize="none"
                    spellcheck="false"
                    autofocus=autofocus
                    placeholder=move || placeholder.get()
                    aria-required=required.then_some("true")
                    aria-invalid=move || error.with(Option::is_some).then_some("true")
                    aria-describedby=described
                    on:input=move |event| {
                        let text = event_target_value(&event);
                        value.set(text.clone());
                        if let Some(on_input) = on_input {
                            on_input.run(text);
                        }
                    }
                    on:blur=move |_| {
                        if let Some(on_blur) = on_blur {
                            on_blur.run(());
                        }
                    }
                />
                // Without JavaScript it could do nothing, so it is not there.
                <button
                    type="button"
                    class="btn-icon"
                    class:invisible=move || !hydrated.get()
                    aria-controls=id
                    aria-pressed=move || if shown.get() { "true" } else { "false" }
                    aria-label="Show password"
                    title="Show password"
                    on:click=move |_| shown.update(|shown| *shown = !*shown)
                >
                    {move || {
                        let name = if shown.get() { IconName::EyeOff } else { IconName::Eye };
                        view! { <Icon name/> }
                    }}
                </button>
            </div>
        </Field>
    }
    .into_any()
}

/// Several lines of text.
#[component]
pub fn TextArea(
    /// The field's name and id.
    name: &'static str, /// What to call it.
    #[prop(into)]
    label: String,
    /// What is in it.
    value: RwSignal<String>,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// What to enter, in a sentence.
    #[prop(optional, into)]
    hint: Option<String>,
    /// Lines shown.
    #[prop(default = 4)]
    rows: u32,
    /// Says that it may stay empty.
    #[prop(optional)]
    optional: bool,
    /// An example.
    #[prop(optional)]
    placeholder: Option<&'static str>,
    /// In a fixed-width font: certificates, lists of hosts.
    #[prop(optional)]
    code: bool,
    /// When something is typed, after `value` is set.
    #[prop(optional, into)]
    on_input: Option<Callback<String>>,
    /// When the field is left.
    #[prop(optional, into)]
    on_blur: Option<Callback<()>>,
) -> impl IntoView {
    let id = id_of(name);
    #[cfg(feature = "hydrate")]
    let read = {
        let id = id.clone();
        move || early::<web_sys::HtmlTextAreaElement>(&id).map(|input| input.value())
    };
    #[cfg(not(feature = "hydrate"))]
    let read = || None;
    keep_early_input(value, read);
    let described = described_by(&id, hint.is_some(), error);
    view! {
        <Field label name error hint optional>
            <textarea
                class=if code { "textarea code" } else { "textarea" }
                id=id
                name=name
                rows=rows.to_string()
                placeholder=placeholder
                spellcheck=code.then_some("false")
                autocapitalize=code.then_some("none")
                autocomplete="off"
                prop:value=move || value.get()
                aria-invalid=move || error.with(Option::is_some).then_some("true")
                aria-describedby=described
                on:input=move |event| {
                    let text = event_target_value(&event);
                    value.set(text.clone());
                    if let Some(on_input) = on_input {
                        on_input.run(text);
                    }
                }
                on:blur=move |_| {
                    if let Some(on_blur) = on_blur {
                        on_blur.run(());
                    }
                }
            >
                {value.get_untracked()}
            </textarea>
        </Field>
    }
    .into_any()
}

/// One of a list.
#[component]
pub fn SelectInput(
    /// The field's name and id.
    name: &'static str, /// What to call it.
    #[prop(into)]
    label: String,
    /// The chosen option's value.
    value: RwSignal<String>,
    /// Value and text of each option.
    options: Vec<(String, String)>,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// What to choose, in a sentence.
    #[prop(optional, into)]
    hint: Option<String>,
    /// When another one is chosen, after `value` is set.
    #[prop(optional, into)]
    on_change: Option<Callback<String>>,
) -> impl IntoView {
    let id = id_of(name);
    #[cfg(feature = "hydrate")]
    let read = {
        let id = id.clone();
        move || early::<web_sys::HtmlSelectElement>(&id).map(|input| input.value())
    };
    #[cfg(not(feature = "hydrate"))]
    let read = || None;
    keep_early_input(value, read);
    let described = described_by(&id, hint.is_some(), error);
    let chosen = value.get_untracked();
    let options = options
        .into_iter()
        .map(|(option, text)| {
            let selected = option == chosen;
            view! {
                <option value=option selected=selected>
                    {text}
                </option>
            }
        })
        .collect_view();
    let select = NodeRef::<html::Select>::new();
    // Not `prop:value`: set before the options are there, it would be lost.
    Effect::new(move |_| {
        let value = value.get();
        if let Some(select) = select.get()
            && select.value() != value
        {
            select.set_value(&value);
        }
    });
    view! {
        <Field label name error hint>
            <select
                class="select"
                node_ref=select
                id=id
                name=name
                autocomplete="off"
                aria-invalid=move || error.with(Option::is_some).then_some("true")
                aria-describedby=described
                on:change=move |event| {
                    let text = event_target_value(&event);
                    value.set(text.clone());
                    if let Some(on_change) = on_change {
                        on_change.run(text);
                    }
                }
            >
                {options}
            </select>
        </Field>
    }
    .into_any()
}

/// Yes or no. Posted as `value` (`true` by default) when checked, not at all when not.
#[component]
pub fn Checkbox(
    /// The field's name and id.
    name: &'static str, /// What it turns on.
    #[prop(into)]
    label: String,
    /// Whether it is on.
    checked: RwSignal<bool>,
    /// What that means, in a sentence.
    #[prop(optional, into)]
    hint: Option<String>,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// Can't be changed; is then not posted.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// What is posted.
    #[prop(default = "true")]
    value: &'static str,
) -> impl IntoView {
    let id = id_of(name);
    #[cfg(feature = "hydrate")]
    let read = {
        let id = id.clone();
        move || early::<web_sys::HtmlInputElement>(&id).map(|input| input.checked())
    };
    #[cfg(not(feature = "hydrate"))]
    let read = || None;
    keep_early_input(checked, read);
    let described = described_by(&id, hint.is_some(), error);
    view! {
        <div class="field">
            <label class="check" for=id.clone()>
                <input
                    class="checkbox"
                    type="checkbox"
                    id=id.clone()
                    name=name
                    value=value
                    autocomplete="off"
                    checked=checked.get_untracked()
                    prop:checked=move || checked.get()
                    disabled=move || disabled.get()
                    aria-invalid=move || error.with(Option::is_some).then_some("true")
                    aria-describedby=described
                    on:change=move |event| checked.set(event_target_checked(&event))
                />
                <span>{label}</span>
            </label>
            <FieldNotes id hint error/>
        </div>
    }
    .into_any()
}

/// One of a few, all visible.
#[component]
pub fn RadioGroup(
    /// The field's name; the options' ids are `<name>-<value>`.
    name: &'static str,
    /// What is being chosen.
    #[prop(into)]
    label: String, /// The chosen option's value.
    value: RwSignal<String>,
    /// Value, text and explanation (may be empty) of each option.
    options: Vec<(&'static str, &'static str, &'static str)>,
    /// What is wrong with it.
    #[prop(optional, into)]
    error: Signal<Option<String>>,
    /// What to choose, in a sentence.
    #[prop(optional, into)]
    hint: Option<String>,
    /// When another one is chosen, after `value` is set.
    #[prop(optional, into)]
    on_change: Option<Callback<String>>,
) -> impl IntoView {
    let id = id_of(name);
    let described = described_by(&id, hint.is_some(), error);
    #[cfg(feature = "hydrate")]
    let read = {
        let ids: Vec<_> = options.iter().map(|(option, ..)| (*option, format!("{id}-{option}"))).collect();
        move || {
            let chosen = ids.iter().find(|(_, id)| early::<web_sys::HtmlInputElement>(id).is_some_and(|input| input.checked()));
            chosen.map(|(option, _)| (*option).to_string())
        }
    };
    #[cfg(not(feature = "hydrate"))]
    let read = || None;
    keep_early_input(value, read);
    let options = options
        .into_iter()
        .map(|(option, text, explanation)| {
            let option_id = format!("{id}-{option}");
            let note = (!explanation.is_empty()).then(|| format!("{option_id}-note"));
            view! {
                <label class="check" for=option_id>
                    <input
                        class="radio"
                        type="radio"
                        id=option_id.clone()
                        name=name
                        value=option
                        autocomplete="off"
                        checked=value.get_untracked() == option
                        prop:checked=move || value.with(|value| value == option)
                        aria-describedby=note.clone()
                        on:change=move |_| {
                            value.set(option.to_string());
                            if let Some(on_change) = on_change {
                                on_change.run(option.to_string());
                            }
                        }
                    />
                    <span>
                        {text}
                        {note.map(|id| view! { <span class="check-note" id=id>{explanation}</span> })}
                    </span>
                </label>
            }
        })
        .collect_view();
    view! {
        <fieldset
            class="field radios"
            aria-invalid=move || error.with(Option::is_some).then_some("true")
            aria-describedby=described
        >
            <legend class="field-label">{label}</legend>
            {options}
            <FieldNotes id hint error/>
        </fieldset>
    }
    .into_any()
}
