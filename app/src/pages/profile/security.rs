//! Sign-in and security: one's sessions, password and one-time passwords.

use gatehouse_domain::{OwnSessionView, SecondFactorView, Secret};
use leptos::prelude::*;
use leptos_meta::Title;

use super::{agents, qr::qr_code};
use crate::{
    components::{
        Age, Badge, Banner, Breadcrumbs, Button, ButtonKind, Cell, CopyRow, DataTable, ErrorState, HeaderCell, Icon, IconName,
        Kind, PageHeader, PasswordInput, Row, TextInput, field_error,
    },
    context,
    error::ApiError,
    outcome::{FormOutcome, ShownOnce},
    page::{answer_with_status, use_outcome, use_session},
};

const PAGE: &str = "/profile/security";
const CODES: &str = "recovery-codes";
const SECRET: &str = "totp-secret";

/// `/profile/security`.
#[component]
pub fn SecurityPage() -> impl IntoView {
    let outcome = use_outcome();
    let email = use_session().map(|session| session.email).unwrap_or_default();
    let content = async move {
        match load().await {
            Ok((sessions, second_factor)) => view! { <Content sessions second_factor outcome email/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! { <ErrorState error=error.0/> }.into_any()
            }
        }
    };
    view! {
        <Title text="Sign-in and security"/>
        <Breadcrumbs items=vec![("Your account".into(), None), ("Sign-in and security".into(), None)]/>
        <PageHeader title="Sign-in and security" subtitle="How you sign in, and where you are signed in."/>
        {Suspend::new(content)}
    }
    .into_any()
}

async fn load() -> Result<(Vec<OwnSessionView>, SecondFactorView), ApiError> {
    let (platform, actor) = context::signed_in()?;
    let session = context::request()?.session;
    let sessions = platform.own_sessions(&actor, session.as_ref()).await?;
    Ok((sessions, platform.second_factor(&actor).await?))
}

#[component]
fn Content(sessions: Vec<OwnSessionView>, second_factor: SecondFactorView, outcome: FormOutcome, email: String) -> impl IntoView {
    let failure = outcome.error.as_ref().filter(|error| error.fields().is_empty());
    let failure = failure.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    // What is to be done now stands first.
    let is_in_steps = outcome.shown_once.is_some() || intent(&outcome) == "confirm-second-factor";
    let steps = view! { <SecondFactor second_factor outcome=outcome.clone()/> }.into_any();
    let password = view! { <Password outcome email/> }.into_any();
    let (first, second) = if is_in_steps { (steps, password) } else { (password, steps) };
    view! {
        {failure}
        <div class="grid gap-5">
            {first} {second}
            <Sessions sessions/>
        </div>
    }
    .into_any()
}

/// The form that the outcome is about.
fn intent(outcome: &FormOutcome) -> &str {
    outcome.values.get("intent").map_or("", String::as_str)
}

#[component]
fn Password(outcome: FormOutcome, email: String) -> impl IntoView {
    let error = |name: &str| field_error(outcome.error.as_ref(), name);
    let (current, new) = (error("current_password"), error("new_password"));
    let (at_current, at_new) = (current.is_some(), current.is_none() && new.is_some());
    view! {
        <section class="panel max-w-3xl" aria-labelledby="password-heading">
            <h2 id="password-heading">"Password"</h2>
            <p class="subtle mt-1 mb-3">"When you change it, all your other sessions end. API tokens go on working."</p>
            <form class="grid max-w-md gap-4" method="post" action=PAGE novalidate>
                <input type="hidden" name="intent" value="change-password"/>
                // For password managers: whose password it is.
                <input class="hidden" type="text" name="username" value=email autocomplete="username" readonly tabindex="-1" aria-hidden="true"/>
                <PasswordInput
                    name="current_password"
                    label="Current password"
                    value=RwSignal::new(String::new())
                    error=Signal::stored(current)
                    autocomplete="current-password"
                    required=true
                    autofocus=at_current
                />
                <PasswordInput
                    name="new_password"
                    label="New password"
                    hint="At least 8 characters. Several words are easy to remember and hard to guess."
                    value=RwSignal::new(String::new())
                    error=Signal::stored(new)
                    autocomplete="new-password"
                    required=true
                    autofocus=at_new
                />
                <div>
                    <Button kind=ButtonKind::Primary>"Change password"</Button>
                </div>
            </form>
        </section>
    }
    .into_any()
}

/// Off, on, or somewhere between: what there is to do.
#[component]
fn SecondFactor(second_factor: SecondFactorView, outcome: FormOutcome) -> impl IntoView {
    let code = field_error(outcome.error.as_ref(), "code");
    let password = field_error(outcome.error.as_ref(), "password");
    let state = if second_factor.is_on {
        view! {
            <Badge kind=Kind::Success icon=IconName::CheckCircle>
                "On"
            </Badge>
        }
        .into_any()
    } else {
        view! { <Badge icon=IconName::Minus>"Off"</Badge> }.into_any()
    };
    let body = match outcome.shown_once.clone() {
        Some(ShownOnce::SecondFactor { secret, uri }) => view! { <Scan secret uri/> }.into_any(),
        Some(ShownOnce::RecoveryCodes(codes)) => view! { <RecoveryCodes codes/> }.into_any(),
        _ if second_factor.is_on => view! { <TurnOff left=second_factor.recovery_codes_left problem=password/> }.into_any(),
        _ if intent(&outcome) == "confirm-second-factor" => view! { <Confirm problem=code/> <BeginAgain/> }.into_any(),
        _ => view! { <Begin problem=password.or(code)/> }.into_any(),
    };
    view! {
        <section class="panel max-w-3xl" aria-labelledby="second-factor-heading">
            <div class="flex flex-wrap items-center gap-2">
                <h2 id="second-factor-heading">"One-time passwords"</h2>
                {state}
            </div>
            {body}
        </section>
    }
    .into_any()
}

/// Off.
#[component]
fn Begin(problem: Option<String>) -> impl IntoView {
    view! {
        <p class="subtle mt-1 mb-3">
            "Turn them on, and signing in takes your password and six digits that an app on your telephone shows: who gets hold of your password \
            alone can't sign in. Any authenticator app does (RFC 6238)."
        </p>
        <PasswordStep intent="begin-second-factor" button="Set up one-time passwords" problem primary=true/>
    }
    .into_any()
}

/// The second factor's forms that ask for the password: a borrowed session must not lock its owner out.
#[component]
fn PasswordStep(intent: &'static str, button: &'static str, problem: Option<String>, primary: bool) -> impl IntoView {
    view! {
        <form class="grid max-w-md gap-4" method="post" action=PAGE novalidate>
            <input type="hidden" name="intent" value=intent/>
            <PasswordInput
                name="password"
                label="Your password"
                value=RwSignal::new(String::new())
                autofocus=problem.is_some()
                error=Signal::stored(problem)
                autocomplete="current-password"
                required=true
            />
            <div>
                <Button kind=if primary { ButtonKind::Primary } else { ButtonKind::Danger }>{button}</Button>
            </div>
        </form>
    }
    .into_any()
}

/// The secret, once.
#[component]
fn Scan(secret: Secret, uri: Secret) -> impl IntoView {
    let grouped = groups(secret.expose());
    view! {
        <ol class="mt-2 mb-4 grid list-decimal gap-4 pl-5">
            <li>
                <p class="mb-2">"Scan this with the authenticator app on your telephone."</p>
                {qr_code(uri.expose(), "QR code for the authenticator app")}
                <p class="mt-3">"Or type this secret into it (time-based, six digits, 30 seconds):"</p>
                <CopyRow of=SECRET label="Secret for the authenticator app" done="The secret is in the clipboard.">
                    <input class="input code" id=SECRET type="text" readonly autocomplete="off" value=grouped/>
                </CopyRow>
                <p class="subtle mt-2 text-sm">"It is shown this once."</p>
            </li>
            <li>
                <p class="mb-2">"Enter what the app shows. Nothing changes until you do."</p>
                <Confirm problem=None/>
            </li>
        </ol>
        <p>
            <a class="link" href=PAGE>
                "Cancel"
            </a>
        </p>
    }
    .into_any()
}

/// In fours, as people read it off.
fn groups(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// The first one-time password.
#[component]
fn Confirm(problem: Option<String>) -> impl IntoView {
    view! {
        <form class="grid max-w-md gap-4" method="post" action=PAGE novalidate>
            <input type="hidden" name="intent" value="confirm-second-factor"/>
            <TextInput
                name="code"
                label="One-time password"
                value=RwSignal::new(String::new())
                autofocus=true
                error=Signal::stored(problem)
                autocomplete="one-time-code"
                inputmode="numeric"
                required=true
                verbatim=true
            />
            <div>
                <Button kind=ButtonKind::Primary>"Turn on"</Button>
            </div>
        </form>
    }
    .into_any()
}

/// Where the secret is not there any more: it was in one answer only.
#[component]
fn BeginAgain() -> impl IntoView {
    view! {
        <p class="subtle mt-3">
            "The app has not got the secret? "
            <a class="link" href=PAGE>
                "Begin anew"
            </a>
            " to be shown another one."
        </p>
    }
    .into_any()
}

/// What was just turned on, and what to keep.
#[component]
fn RecoveryCodes(codes: Vec<Secret>) -> impl IntoView {
    let rows = codes.len().to_string();
    let text = codes.iter().map(Secret::expose).collect::<Vec<_>>().join("\n");
    view! {
        <div class="mt-3 grid gap-3">
            <Banner kind=Kind::Success title="One-time passwords are on. Keep these recovery codes now">
                <p>
                    "They are shown this once. If you lose your telephone, each of them signs you in once in the place of a one-time password. \
                    Print them, or keep them where your passwords are; not on that telephone."
                </p>
            </Banner>
            <div class="print-alone">
                <h3 class="mb-2 hidden font-semibold print:block">"Recovery codes of Gatehouse"</h3>
                <CopyRow of=CODES label="Recovery codes" done="The recovery codes are in the clipboard." print=true>
                    <textarea class="textarea code" id=CODES readonly autocomplete="off" spellcheck="false" rows=rows>
                        {text}
                    </textarea>
                </CopyRow>
            </div>
            <div>
                <a class="btn btn-primary" href=PAGE>
                    "I have kept them"
                </a>
            </div>
        </div>
    }
    .into_any()
}

/// On.
#[component]
fn TurnOff(left: u32, problem: Option<String>) -> impl IntoView {
    let codes = match left {
        0 => "No recovery code is left.".to_string(),
        1 => "One recovery code is left.".to_string(),
        left => format!("{left} recovery codes are left."),
    };
    let is_open = problem.is_some();
    view! {
        <p class="subtle mt-1">"Signing in takes your password and what your authenticator app shows."</p>
        <p class="mt-2">{codes}</p>
        {(left < 3)
            .then(|| {
                view! {
                    <Banner kind=Kind::Warning title="Get new recovery codes">
                        <p>"Turn one-time passwords off and on again: without codes, a lost telephone locks you out."</p>
                    </Banner>
                }
            })}
        <details class="mt-3" open=is_open>
            <summary class="cursor-pointer py-1 font-medium">"Turn off one-time passwords"</summary>
            <p class="subtle mt-1 mb-3">"Your password alone will sign you in, and the recovery codes stop working."</p>
            <PasswordStep intent="remove-second-factor" button="Turn off" problem primary=false/>
        </details>
    }
    .into_any()
}

#[component]
fn Sessions(sessions: Vec<OwnSessionView>) -> impl IntoView {
    let others = sessions.iter().filter(|session| !session.is_current).count();
    let rows = sessions.into_iter().map(|session| view! { <SessionRow session/> }).collect_view();
    view! {
        <section aria-labelledby="sessions-heading">
            <div class="mb-3 flex flex-wrap items-center justify-between gap-3">
                <div>
                    <h2 id="sessions-heading">"Where you are signed in"</h2>
                    <p class="subtle">"End what you do not know, and change your password then."</p>
                </div>
                {(others > 0)
                    .then(|| {
                        view! {
                            <form method="post" action=PAGE>
                                <Button name="intent" value="end-other-sessions">
                                    <Icon name=IconName::SignOut/>
                                    "End all other sessions"
                                </Button>
                            </form>
                        }
                    })}
            </div>
            <DataTable
                caption="Your sessions, the last used first"
                head=ViewFnOnce::from(|| {
                    view! {
                        <HeaderCell label="Browser"/>
                        <HeaderCell label="Address"/>
                        <HeaderCell label="Begun"/>
                        <HeaderCell label="Last used"/>
                        <HeaderCell label="Actions" hidden=true/>
                    }
                })
            >
                {rows}
            </DataTable>
        </section>
    }
    .into_any()
}

#[component]
fn SessionRow(session: OwnSessionView) -> impl IntoView {
    let program = agents::in_words(&session.agent);
    let address = if session.address.is_empty() { "not known".to_string() } else { session.address.clone() };
    let label = match session.is_current {
        true => "Sign out of this session".to_string(),
        false => format!("End the session of {program} from {address}"),
    };
    let (is_current, created_at, last_used_at) = (session.is_current, session.created_at, session.last_used_at);
    let (id, agent) = (session.id.clone(), session.agent.clone());
    view! {
        <Row>
            <Cell label="Browser" title=true>
                <span class="flex flex-wrap items-center gap-2">
                    <span title=agent>{program}</span>
                    {is_current
                        .then(|| {
                            view! {
                                <Badge kind=Kind::Info icon=IconName::Check>
                                    "This session"
                                </Badge>
                            }
                        })}
                </span>
            </Cell>
            <Cell label="Address">
                <code class="break-all">{address}</code>
            </Cell>
            <Cell label="Begun">
                <Age at=created_at/>
            </Cell>
            <Cell label="Last used">
                <Age at=last_used_at/>
            </Cell>
            <Cell actions=true>
                <form method="post" action=PAGE>
                    <input type="hidden" name="id" value=id/>
                    <button type="submit" class="btn btn-sm" name="intent" value="end-session" aria-label=label>
                        {if is_current { "Sign out" } else { "End" }}
                    </button>
                </form>
            </Cell>
        </Row>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn a_secret_is_read_off_in_fours() {
        assert_eq!(groups("ABCDEFGHIJ"), "ABCD EFGH IJ");
        assert_eq!(groups(""), "");
    }
}
