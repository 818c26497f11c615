//! The form of an integration, with what the last try led to.

use gatehouse_domain::{AppError, IntegrationForm, IntegrationView};
use leptos::prelude::*;

use super::{
    fields::Fields,
    parts::{LastResult, StatusNote},
    report::Report,
    urls, values,
};
use crate::{
    components::{Banner, Button, ButtonKind, Day, Icon, IconName, Kind, LinkButton},
    outcome::FormOutcome,
};

/// The form. `saved` is what is stored: none for a new one.
#[component]
pub(super) fn EditForm(
    /// What stands in it.
    fields: Fields, /// What the form that was posted to this page led to.
    outcome: FormOutcome,
    /// Whether this person may change and test it.
    may_change: bool,
) -> impl IntoView {
    let (action, version) = match &fields.saved {
        Some(saved) => (urls::edit(&saved.id), saved.version.to_string()),
        None => (urls::new_of(fields.spec.kind), String::new()),
    };
    // The version that the typed values were made from, not the one that was found when they were refused.
    let version = outcome.values.get("version").cloned().unwrap_or(version);
    let about = fields.saved.clone().map(|view| view! { <About view may_change/> });
    let report = outcome.integration_report.clone().map(|report| view! { <Report report/> });
    view! {
        <form
            id="integration-form"
            method="post"
            action=action
            novalidate
            data-enhance=""
            data-guard=""
            class="pb-4 [&_:is(a,button,input,select,summary,textarea)]:scroll-mb-24"
        >
            // What Enter presses: the first button of the form.
            <button type="submit" name="intent" value="save" class="sr-only" tabindex="-1" aria-hidden="true" disabled=!may_change>
                "Save"
            </button>
            <div id="integration-parts" data-region="">
                <input type="hidden" name="version" autocomplete="off" value=version/>
                <input type="hidden" name="type" autocomplete="off" value=fields.spec.kind/>
                {(!may_change)
                    .then(|| view! { <Banner kind=Kind::Info title="Your role allows looking at integrations, not changing or testing them."/> })}
                {problem(outcome.error.as_ref(), &fields)}
                {report}
                <fieldset class="contents" disabled=!may_change>
                    <div class="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_minmax(18rem,24rem)]">
                        <div class="grid grid-cols-[minmax(0,1fr)] gap-4">{fields.main()} {fields.looks_at()} {fields.more()}</div>
                        <div class="grid grid-cols-[minmax(0,1fr)] gap-4">{notes(&fields)} {about}</div>
                    </div>
                </fieldset>
            </div>
            {may_change.then(|| view! { <SaveBar/> })}
        </form>
    }
    .into_any()
}

/// Why it was not saved or tested. It takes the focus.
fn problem(error: Option<&AppError>, fields: &Fields) -> Option<AnyView> {
    let error = error?;
    let errors = error.fields();
    let content = match (error, &fields.saved) {
        (AppError::Changed(_), Some(theirs)) => conflict(theirs, fields),
        _ if errors.is_empty() => view! { <Banner kind=Kind::Error title=error.to_string()/> }.into_any(),
        _ => {
            let count = errors.0.len();
            let title =
                if count == 1 { "One field needs another look".to_string() } else { format!("{count} fields need another look") };
            let links = errors
                .0
                .into_iter()
                .map(|(field, text)| {
                    view! {
                        <li>
                            <a href=format!("#{}", Fields::id(&field))>{values::label(&field, fields.spec)}</a>
                            ": "
                            {text}
                        </li>
                    }
                })
                .collect_view();
            view! {
                <Banner kind=Kind::Error title>
                    <ul class="m-0 list-disc pl-5">{links}</ul>
                </Banner>
            }
            .into_any()
        }
    };
    Some(view! { <div class="mb-4" id="problem" tabindex="-1" data-focus="">{content}</div> }.into_any())
}

/// Somebody else was faster: what differs, and what to do about it. Nothing typed is lost.
fn conflict(theirs: &IntegrationView, fields: &Fields) -> AnyView {
    let differences = values::differences(&fields.typed, &theirs.to_form(), fields.spec);
    let same = differences.is_empty();
    let rows = differences
        .into_iter()
        .map(|difference| {
            view! {
                <tr>
                    <th scope="row" class="py-1 pr-4 text-left align-top font-medium">
                        {difference.label}
                    </th>
                    <td class="py-1 pr-4 align-top wrap-anywhere">{difference.mine}</td>
                    <td class="py-1 align-top wrap-anywhere">{difference.theirs}</td>
                </tr>
            }
        })
        .collect_view();
    let table = (!same).then(|| {
        view! {
            <table class="my-2 w-full text-sm">
                <caption class="sr-only">"What differs"</caption>
                <thead>
                    <tr>
                        <th scope="col" class="py-1 pr-4 text-left">"Field"</th>
                        <th scope="col" class="py-1 pr-4 text-left">"You typed"</th>
                        <th scope="col" class="py-1 text-left">"Stored now"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        }
    });
    let text = if same {
        "Apart from keys, what they stored is what you typed."
    } else {
        "What you typed is still here. This is what differs from what is stored now:"
    };
    let (version, href) = (theirs.version.to_string(), urls::edit(&theirs.id));
    view! {
        <Banner kind=Kind::Warning title="Somebody else changed this integration meanwhile">
            <p>{text}</p>
            {table}
            <input type="hidden" name="current_version" autocomplete="off" value=version/>
            <div class="mt-2 flex flex-wrap gap-2">
                <Button name="intent" value="overwrite">
                    "Save over it"
                </Button>
                <LinkButton href>"Load theirs"</LinkButton>
            </div>
        </Banner>
    }
    .into_any()
}

/// What an administrator must know about the type, and about these settings.
fn notes(fields: &Fields) -> AnyView {
    let list = |texts: Vec<String>| {
        let items = texts.into_iter().map(|text| view! { <li>{text}</li> }).collect_view();
        view! { <ul class="m-0 list-disc pl-5">{items}</ul> }
    };
    let notes: Vec<String> = fields.spec.notes.iter().map(ToString::to_string).collect();
    let notes = (!notes.is_empty()).then(|| {
        view! { <Banner kind=Kind::Info title=format!("Good to know about {}", fields.spec.label)>{list(notes)}</Banner> }
    });
    let warnings = fields.saved.as_ref().map(|saved| saved.warnings.clone()).unwrap_or_default();
    let warnings = (!warnings.is_empty()).then(|| {
        view! { <Banner kind=Kind::Warning title="As it is saved">{list(warnings)}</Banner> }
    });
    (warnings, notes).into_any()
}

/// What is known about a saved integration besides its values.
#[component]
fn About(view: IntegrationView, may_change: bool) -> impl IntoView {
    let delete = urls::delete(&view.id);
    view! {
        <section class="panel grid gap-3" aria-labelledby="about-heading">
            <h2 id="about-heading">"About this integration"</h2>
            <dl class="grid grid-cols-[max-content_minmax(0,1fr)] gap-x-4 gap-y-2 text-sm">
                <dt class="subtle">"Status"</dt>
                <dd class="m-0">
                    <StatusNote item=view.clone()/>
                </dd>
                <dt class="subtle">"Last test"</dt>
                <dd class="m-0">
                    <LastResult last=view.last_test.clone()/>
                </dd>
                <dt class="subtle">"Created"</dt>
                <dd class="m-0">
                    <Day at=view.created_at/>
                </dd>
                <dt class="subtle">"Saved"</dt>
                <dd class="m-0">
                    <Day at=view.updated_at/>
                </dd>
            </dl>
            {may_change
                .then(|| {
                    view! {
                        <div>
                            <LinkButton href=delete kind=ButtonKind::Ghost>
                                <Icon name=IconName::Trash/>
                                "Delete…"
                            </LinkButton>
                        </div>
                    }
                })}
        </section>
    }
    .into_any()
}

/// The form's buttons, always in sight.
#[component]
fn SaveBar() -> impl IntoView {
    view! {
        <div class="sticky bottom-0 z-10 mt-4 flex flex-wrap items-center gap-2 border-t border-base-300 bg-base-200 py-3">
            <Button kind=ButtonKind::Primary name="intent" value="save">
                "Save"
            </Button>
            <Button name="intent" value="test">
                <Icon name=IconName::Play/>
                "Test Connection"
            </Button>
            <LinkButton href=urls::LIST kind=ButtonKind::Ghost>
                "Cancel"
            </LinkButton>
            <p role="status">
                <span data-progress="test" hidden>
                    "Testing… this can take up to 30 seconds."
                </span>
            </p>
        </div>
    }
    .into_any()
}

/// What the form starts with: what was posted, else `otherwise`.
pub(super) fn typed(outcome: &FormOutcome, otherwise: IntegrationForm) -> IntegrationForm {
    if outcome.values.contains_key("type") {
        values::of_fields(outcome.values.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    } else {
        otherwise
    }
}
