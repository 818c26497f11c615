//! The form of a proxy setting: a new one or one that is there.
//!
//! What is typed lives in one signal a field; [`ProxyForm`] is made of them to be checked, tested and sent. The same checks
//! run here and on the server, whose answer has the last word.

use gatehouse_domain::{AppError, Authentication, FieldErrors, ProxyForm, Scheme, Secret, SecretInput, TestTarget};
use leptos::{
    ev::{MouseEvent, SubmitEvent},
    prelude::*,
    task::spawn_local,
};

use super::{
    guard::LeaveGuard,
    test::{Subject, TestPanel, TestRun},
    urls,
    users::Users,
    values::{self, Stored},
};
use crate::{
    api::proxies::{create_proxy, get_proxy, replace_proxy},
    browser::{focus, go, regions, use_hydrated},
    components::{
        Banner, Button, ButtonKind, Checkbox, Icon, IconName, Kind, LinkButton, PasswordInput, RadioGroup, SelectInput, TextArea,
        TextInput, focus_first_invalid,
    },
    islands::{AFTER_BLUR, Packed},
    outcome::FormOutcome,
};

/// The form's id.
const FORM: &str = "proxy-form";
/// The error summary's id.
const SUMMARY: &str = "error-summary";
/// The id of what tells about somebody else's change.
const CONFLICT: &str = "conflict";

/// What the server says too when a stored password would go elsewhere.
const PASSWORD_AGAIN: &str =
    "Enter the password again: the stored one was entered for another host, port or scheme and is not sent elsewhere.";

/// One signal for each field.
#[derive(Clone, Copy)]
struct Fields {
    name: RwSignal<String>,
    host: RwSignal<String>,
    port: RwSignal<String>,
    scheme: RwSignal<String>,
    authentication: RwSignal<String>,
    username: RwSignal<String>,
    password: RwSignal<String>,
    is_default: RwSignal<bool>,
    bypass: RwSignal<String>,
    ca_pem: RwSignal<String>,
    timeout_s: RwSignal<String>,
    fallback: RwSignal<String>,
}

impl Fields {
    fn new(form: &ProxyForm) -> Self {
        let text = |text: &str| RwSignal::new(text.to_string());
        Self {
            name: text(&form.name),
            host: text(&form.host),
            port: text(&form.port),
            scheme: text(&form.scheme),
            authentication: text(&form.authentication),
            username: text(&form.username),
            password: RwSignal::new(String::new()),
            is_default: RwSignal::new(form.is_default),
            bypass: text(&form.bypass),
            ca_pem: text(&form.ca_pem),
            timeout_s: text(&form.timeout_s),
            fallback: text(&form.fallback),
        }
    }

    /// What is typed now. An empty password means `untouched`.
    fn form(self, untouched: &SecretInput) -> ProxyForm {
        let password = self.password.get();
        ProxyForm {
            name: self.name.get(),
            host: self.host.get(),
            port: self.port.get(),
            scheme: self.scheme.get(),
            authentication: self.authentication.get(),
            username: self.username.get(),
            password: if password.is_empty() { untouched.clone() } else { SecretInput::Set(Secret::new(password)) },
            is_default: self.is_default.get(),
            bypass: self.bypass.get(),
            ca_pem: self.ca_pem.get(),
            timeout_s: self.timeout_s.get(),
            fallback: self.fallback.get(),
        }
    }

    fn fill(self, form: &ProxyForm) {
        self.name.set(form.name.clone());
        self.host.set(form.host.clone());
        self.port.set(form.port.clone());
        self.scheme.set(form.scheme.clone());
        self.authentication.set(form.authentication.clone());
        self.username.set(form.username.clone());
        self.password.set(match &form.password {
            SecretInput::Set(password) => password.expose().to_string(),
            SecretInput::Keep | SecretInput::Clear => String::new(),
        });
        self.is_default.set(form.is_default);
        self.bypass.set(form.bypass.clone());
        self.ca_pem.set(form.ca_pem.clone());
        self.timeout_s.set(form.timeout_s.clone());
        self.fallback.set(form.fallback.clone());
    }
}

/// The form and all that is going on with it.
#[derive(Clone, Copy)]
struct State {
    id: StoredValue<Option<String>>,
    /// As it is stored; the empty form for a new one.
    saved: RwSignal<ProxyForm>,
    /// The version that the person has seen.
    version: RwSignal<u64>,
    has_password: RwSignal<bool>,
    fields: Fields,
    target: RwSignal<String>,
    errors: RwSignal<FieldErrors>,
    /// The errors of the last attempt to save, listed above the form.
    summary: RwSignal<FieldErrors>,
    /// What went wrong with the whole.
    failure: RwSignal<Option<AppError>>,
    /// As somebody else has stored it meanwhile.
    conflict: RwSignal<Option<Stored>>,
    /// What pasting has filled.
    note: RwSignal<Option<String>>,
    /// Whether "More" is open.
    more: RwSignal<bool>,
    saving: RwSignal<bool>,
    leaving: RwSignal<bool>,
    run: TestRun,
    /// Value and text of each choice of a second setting.
    others: StoredValue<Vec<(String, String)>>,
}

impl State {
    fn new(stored: Option<&Stored>, outcome: FormOutcome, others: &str) -> Self {
        let saved = stored.map_or_else(ProxyForm::default, |stored| stored.form.clone());
        let FormOutcome { values: posted, error, report, .. } = outcome;
        let typed = if posted.is_empty() {
            saved.clone()
        } else {
            values::of_fields(posted.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        };
        let errors = error.as_ref().map(AppError::fields).unwrap_or_default();
        let conflict = matches!(error, Some(AppError::Changed(_))).then(|| stored.cloned()).flatten();
        let more = values::has_more(&typed) || has_more_errors(&errors);
        let version = stored.map(|stored| stored.version).unwrap_or_default();
        Self {
            id: StoredValue::new(stored.map(|stored| stored.id.clone())),
            saved: RwSignal::new(saved),
            version: RwSignal::new(posted.get("version").and_then(|version| version.parse().ok()).unwrap_or(version)),
            has_password: RwSignal::new(stored.is_some_and(|stored| stored.has_password)),
            fields: Fields::new(&typed),
            target: RwSignal::new(posted.get("target").cloned().unwrap_or_default()),
            summary: RwSignal::new(errors.clone()),
            errors: RwSignal::new(errors),
            failure: RwSignal::new(error.filter(|error| !matches!(error, AppError::Changed(_)) && error.fields().is_empty())),
            conflict: RwSignal::new(conflict),
            note: RwSignal::new(None),
            more: RwSignal::new(more),
            saving: RwSignal::new(false),
            leaving: RwSignal::new(false),
            run: TestRun::new(report),
            others: StoredValue::new(pairs(others)),
        }
    }

    fn form(self) -> ProxyForm {
        self.fields.form(&self.saved.with(|saved| saved.password.clone()))
    }

    /// As [`State::form`], for handlers.
    fn form_now(self) -> ProxyForm {
        untrack(|| self.form())
    }

    fn error(self, field: &'static str) -> Signal<Option<String>> {
        Signal::derive(move || self.errors.with(|errors| errors.get(field).map(ToString::to_string)))
    }

    /// The stored password may not go where the form leads.
    fn must_enter_password_again(self, form: &ProxyForm) -> bool {
        self.has_password.get()
            && form.authentication == Authentication::Basic.as_str()
            && form.password == SecretInput::Keep
            && self.saved.with(|saved| saved.authentication == form.authentication && values::leads_elsewhere(saved, form))
    }

    /// What is wrong with the form: what the server would say, said earlier.
    fn check(self, form: &ProxyForm, draft: bool) -> FieldErrors {
        untrack(|| {
            let has_stored = self.has_password.get();
            let mut errors = if draft { form.parse_draft(has_stored) } else { form.parse(has_stored) }.err().unwrap_or_default();
            if self.must_enter_password_again(form) {
                errors.add("password", PASSWORD_AGAIN);
            }
            errors
        })
    }

    /// Checks one field after it was left. An empty one is not complained about before somebody wants to save.
    fn left(self, field: &'static str) {
        set_timeout(
            move || {
                if field == "host" {
                    self.take_url();
                }
                self.check_field(field, true);
            },
            AFTER_BLUR,
        );
    }

    /// While typing takes an error away as soon as it no longer holds; afterwards (`complain`) adds one.
    fn check_field(self, field: &'static str, complain: bool) {
        let form = self.form_now();
        let empty = match field {
            "name" => form.name.is_empty(),
            "host" => form.host.is_empty(),
            "port" => form.port.is_empty(),
            "username" => form.username.is_empty(),
            "password" => self.fields.password.with_untracked(String::is_empty),
            "target" => self.target.with_untracked(String::is_empty),
            _ => false,
        };
        let had = self.errors.with_untracked(|errors| errors.get(field).is_some());
        let mut found = self.check(&form, false);
        if let Some(why) = self.target_error() {
            found.add("target", why);
        }
        match found.0.remove(field) {
            Some(why) if had || (complain && !empty) => self.errors.update(|errors| {
                errors.0.insert(field.to_string(), why);
            }),
            // What only the server knows (a name that is taken) holds until something else is typed.
            None if had && !complain => self.errors.update(|errors| {
                errors.0.remove(field);
            }),
            _ => {}
        }
    }

    fn target_error(self) -> Option<String> {
        self.target.with_untracked(|target| (!target.trim().is_empty()).then(|| TestTarget::parse(target).err()).flatten())
    }

    /// A whole URL in the address field, typed or pasted without a paste event, is taken apart.
    fn take_url(self) {
        let host = self.fields.host.get_untracked();
        if host.contains("://") {
            self.paste(&host);
        }
    }

    /// Fills the fields that a pasted URL names. Answers whether it was one.
    fn paste(self, text: &str) -> bool {
        let before = self.form_now();
        let mut after = before.clone();
        if !after.take_pasted(text) {
            return false;
        }
        self.fields.fill(&after);
        if values::has_more(&after) {
            self.more.set(true);
        }
        let filled = values::filled(&ProxyForm { host: String::new(), ..before }, &after);
        self.note.set(Some(format!("Filled in from what you entered: {}.", filled.join(", "))));
        for field in ["host", "port", "scheme", "authentication", "username", "password"] {
            self.check_field(field, false);
        }
        true
    }

    fn show(self, errors: FieldErrors) {
        if has_more_errors(&errors) {
            self.more.set(true);
        }
        self.errors.set(errors);
    }

    /// Saves, if all is right. `version` is the one that may be written over.
    fn save(self, version: u64, done: Callback<&'static str>) {
        if self.saving.get_untracked() {
            return;
        }
        self.take_url();
        self.failure.set(None);
        let form = self.form_now();
        let errors = self.check(&form, false);
        self.summary.set(errors.clone());
        if !errors.is_empty() {
            self.show(errors);
            focus(SUMMARY);
            return;
        }
        self.errors.set(errors);
        self.saving.set(true);
        let id = self.id.get_value();
        spawn_local(async move {
            let saved = match &id {
                Some(id) => replace_proxy(id.clone(), version, form).await,
                None => create_proxy(form).await,
            };
            self.saving.set(false);
            match saved {
                Ok(_) => {
                    self.leaving.set(true);
                    done.run(if id.is_some() { "saved" } else { "created" });
                }
                Err(error) => self.refused(error.0).await,
            }
        });
    }

    async fn refused(self, error: AppError) {
        if let (AppError::Changed(_), Some(id)) = (&error, self.id.get_value()) {
            match get_proxy(id).await {
                Ok(theirs) => {
                    self.conflict.set(Some(theirs));
                    focus(CONFLICT);
                }
                Err(error) => {
                    self.failure.set(Some(error.0));
                }
            }
            return;
        }
        let fields = error.fields();
        if fields.is_empty() {
            self.failure.set(Some(error));
        } else {
            self.summary.set(fields.clone());
            self.show(fields);
        }
        focus(SUMMARY);
    }

    /// Tests what is typed; what is saved and unchanged is tested as such, so that the list shows the result.
    fn test(self) {
        if untrack(|| self.run.is_running()) {
            return;
        }
        self.take_url();
        let form = self.form_now();
        let mut errors = self.check(&form, true);
        if let Some(why) = self.target_error() {
            errors.add("target", why);
        }
        if !errors.is_empty() {
            self.show(errors);
            focus_first_invalid(FORM);
            return;
        }
        self.errors.set(errors);
        let subject = match self.id.get_value() {
            Some(id) if self.saved.with_untracked(|saved| values::same(saved, &form)) => Subject::Saved(id),
            id => Subject::Draft(id, Box::new(form)),
        };
        let is_saved = matches!(subject, Subject::Saved(_));
        let done = Callback::new(move |ended: Result<(), AppError>| {
            // What is told about the setting beside the form holds its last test.
            if is_saved {
                regions::refresh();
            }
            if let Err(error) = ended {
                let fields = error.fields();
                if !fields.is_empty() {
                    self.show(fields);
                    focus_first_invalid(FORM);
                }
            }
        });
        self.run.start(subject, self.target.get_untracked(), done);
    }

    /// Back to what is stored.
    fn discard(self) {
        self.fields.fill(&self.saved.get_untracked());
        self.errors.set(FieldErrors::new());
        self.summary.set(FieldErrors::new());
        self.failure.set(None);
        self.note.set(None);
    }

    /// What somebody else stored is what this form starts from now.
    fn take_theirs(self) {
        let Some(theirs) = self.conflict.get_untracked() else { return };
        self.version.set(theirs.version);
        self.has_password.set(theirs.has_password);
        self.saved.set(theirs.form);
        self.conflict.set(None);
        self.discard();
        focus("name");
    }
}

fn pairs(lines: &str) -> Vec<(String, String)> {
    lines.lines().filter_map(|line| line.split_once('\t')).map(|(value, text)| (value.to_string(), text.to_string())).collect()
}

fn has_more_errors(errors: &FieldErrors) -> bool {
    values::MORE.iter().any(|field| errors.get(field).is_some())
}

/// The form.
#[island]
pub fn Editor(
    /// The setting; none for a new one.
    stored: Packed<Option<Stored>>,
    /// What the form that was posted to this page led to.
    outcome: Packed<FormOutcome>,
    /// Value and text of each choice of a second setting: a line each, with a tab between them. (Reading a list of pairs would be
    /// several hundred bytes more.)
    others: Packed<String>,
    /// Whether this person may change and test it.
    may_change: bool,
    /// What is known about the setting besides its values.
    children: Children,
) -> impl IntoView {
    let (Packed(stored), Packed(outcome)) = (stored, outcome);
    let state = State::new(stored.as_ref(), outcome, &others.0);
    let dirty = Memo::new(move |_| !state.leaving.get() && state.saved.with(|saved| !values::same(saved, &state.form())));
    let done = Callback::new(move |flash: &'static str| {
        // The guard has put this page into the history twice: the list takes the place of the second.
        go(&format!("{}?flash={flash}", urls::LIST), true);
    });
    let submit = move |event: SubmitEvent| {
        use leptos::wasm_bindgen::JsCast as _;
        event.prevent_default();
        let button = event.submitter().and_then(|button| button.dyn_into::<web_sys::HtmlButtonElement>().ok());
        match button.map(|button| button.value()).as_deref() {
            Some("test") => state.test(),
            Some("overwrite") => {
                state.save(state.conflict.with_untracked(|c| c.as_ref().map(|v| v.version)).unwrap_or_default(), done)
            }
            _ => state.save(state.version.get_untracked(), done),
        }
    };
    let action = stored.as_ref().map_or_else(|| urls::NEW.to_string(), |stored| urls::edit(&stored.id));
    view! {
        <form id=FORM method="post" action=action novalidate class="pb-4 [&_:is(a,button,input,select,summary,textarea)]:scroll-mb-24" on:submit=submit>
            // What Enter presses: the first button of the form.
            <button type="submit" name="intent" value="save" class="sr-only" tabindex="-1" aria-hidden="true" disabled=!may_change>
                "Save"
            </button>
            <input type="hidden" name="version" autocomplete="off" value=move || state.version.get().to_string()/>
            {(!may_change)
                .then(|| view! { <Banner kind=Kind::Info title="Your role allows looking at settings, not changing or testing them."/> })}
            <Conflict state/>
            <Summary state/>
            <fieldset class="contents" disabled=!may_change>
                <div class="grid items-start gap-4 xl:grid-cols-[minmax(0,1fr)_minmax(20rem,26rem)]">
                    <div class="grid gap-4">
                        <Main state/>
                        <More state/>
                    </div>
                    <div class="grid gap-4">
                        <TestCard state may_change/>
                        {children()}
                    </div>
                </div>
            </fieldset>
            {may_change.then(|| view! { <SaveBar state dirty/> })}
        </form>
        <LeaveGuard dirty leaving=state.leaving/>
    }
    .into_any()
}

/// Name, address, port, authentication, default.
#[component]
fn Main(state: State) -> impl IntoView {
    let fields = state.fields;
    let typed = move |field: &'static str| Callback::new(move |_: String| state.check_field(field, false));
    let left = move |field: &'static str| Callback::new(move |()| state.left(field));
    let authentications = Authentication::ALL
        .iter()
        .map(|authentication| {
            let note = match authentication {
                Authentication::Transparent => "The proxy asks for nothing, or knows this server by its address.",
                Authentication::Basic => "The proxy asks for a user name and a password.",
            };
            (authentication.as_str(), authentication.label(), note)
        })
        .collect();
    let again = Memo::new(move |_| state.must_enter_password_again(&state.form()));
    let placeholder = Signal::derive(move || {
        let kept = state.has_password.get() && !again.get();
        if kept { "•••••••• (stored; leave empty to keep)".to_string() } else { String::new() }
    });
    // With another method the errors of these two no longer matter.
    let switched = Callback::new(move |_: String| {
        state.check_field("username", false);
        state.check_field("password", false);
    });
    // A field that moves the place of the stored password: what is said about the password may change.
    let moved = move |field: &'static str| {
        Callback::new(move |_: String| {
            state.check_field(field, false);
            state.check_field("password", false);
        })
    };
    view! {
        <section class="panel group/auth grid gap-4" aria-label="Proxy">
            <TextInput
                name="name"
                label=values::label("name")
                value=fields.name
                error=state.error("name")
                required=true
                hint="How your company calls it, such as the place or the purpose."
                on_input=typed("name")
                on_blur=left("name")
            />
            <div>
                <div class="grid grid-cols-[minmax(0,1fr)_8rem] items-start gap-3">
                    <TextInput
                        name="host"
                        label=values::label("host")
                        value=fields.host
                        error=state.error("host")
                        required=true
                        verbatim=true
                        placeholder="proxy.example.com"
                        on_input=moved("host")
                        on_blur=left("host")
                        on_paste=Callback::new(move |text: String| state.paste(&text))
                    />
                    <TextInput
                        name="port"
                        label=values::label("port")
                        value=fields.port
                        error=state.error("port")
                        required=true
                        inputmode="numeric"
                        verbatim=true
                        placeholder="3128"
                        on_input=moved("port")
                        on_blur=left("port")
                    />
                </div>
                <p class="field-hint mt-1">"You can paste a whole address here, like http://user:password@proxy:3128."</p>
                <p class="text-sm font-medium" role="status">
                    {move || state.note.get()}
                </p>
            </div>
            <RadioGroup
                name="authentication"
                label=values::label("authentication")
                value=fields.authentication
                options=authentications
                error=state.error("authentication")
                on_change=switched
            />
            // Hidden by the style sheet, not by a script: it appears with the choice also without JavaScript, and never jumps.
            <fieldset class="grid gap-4 rounded-box border border-base-300 p-4 group-has-[#authentication-transparent:checked]/auth:hidden">
                <legend class="px-1 text-sm font-medium">"For Basic"</legend>
                <TextInput
                    name="username"
                    label=values::label("username")
                    value=fields.username
                    error=state.error("username")
                    verbatim=true
                    on_input=typed("username")
                    on_blur=left("username")
                />
                <div class="grid gap-2">
                <PasswordInput
                    name="password"
                    label=values::label("password")
                    value=fields.password
                    error=state.error("password")
                    autocomplete="new-password"
                    placeholder
                    hint="Sealed before it is stored; nobody can read it afterwards, not even here."
                    on_input=typed("password")
                    on_blur=left("password")
                />
                <div role="status">
                    {move || {
                        (again.get() && state.errors.with(|errors| errors.get("password").is_none()))
                            .then(|| {
                                view! {
                                    <p class="flex items-start gap-2 text-sm font-medium">
                                        <Icon name=IconName::Warning class="mt-0.5 shrink-0"/>
                                        <span>{PASSWORD_AGAIN}</span>
                                    </p>
                                }
                            })
                    }}
                </div>
                </div>
            </fieldset>
            <Checkbox
                name="is_default"
                label=values::label("is_default")
                checked=fields.is_default
                error=state.error("is_default")
                hint="The one default proxy of your company: whatever chose “Default Proxy” goes through it from then on."
            />
        </section>
    }
    .into_any()
}

/// What most proxies do not need.
#[component]
fn More(state: State) -> impl IntoView {
    let fields = state.fields;
    let typed = move |field: &'static str| Callback::new(move |_: String| state.check_field(field, false));
    let left = move |field: &'static str| Callback::new(move |()| state.left(field));
    let schemes = Scheme::ALL.iter().map(|scheme| (scheme.to_string(), scheme.label().to_string())).collect();
    let moved = Callback::new(move |_: String| {
        state.check_field("username", false);
        state.check_field("password", false);
    });
    view! {
        <details
            class="panel"
            open=move || state.more.get()
            on:toggle=move |event| {
                use leptos::wasm_bindgen::JsCast as _;
                let details = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
                state.more.set(details.is_some_and(|details| details.has_attribute("open")));
            }
        >
            <summary class="min-h-6 cursor-pointer font-medium">"More"</summary>
            <div class="mt-4 grid gap-4">
                <SelectInput
                    name="scheme"
                    label=values::label("scheme")
                    value=fields.scheme
                    options=schemes
                    error=state.error("scheme")
                    hint="How Gatehouse speaks to the proxy. Almost all proxies speak HTTP, also for https targets."
                    on_change=moved
                />
                <TextArea
                    name="bypass"
                    label=values::label("bypass")
                    value=fields.bypass
                    error=state.error("bypass")
                    optional=true
                    code=true
                    hint="What does not go through the proxy, one a line: intranet.example, *.corp.example, 192.0.2.7, 10.0.0.0/8, build.example:8443."
                    on_input=typed("bypass")
                    on_blur=left("bypass")
                />
                <TextArea
                    name="ca_pem"
                    label=values::label("ca_pem")
                    value=fields.ca_pem
                    error=state.error("ca_pem")
                    optional=true
                    code=true
                    rows=5
                    placeholder="-----BEGIN CERTIFICATE-----"
                    hint="For a proxy that inspects TLS or has a private certificate. Trusted besides the system's, for the proxy and for what is reached through it."
                    on_input=typed("ca_pem")
                    on_blur=left("ca_pem")
                />
                <TextInput
                    name="timeout_s"
                    label=values::label("timeout_s")
                    value=fields.timeout_s
                    error=state.error("timeout_s")
                    inputmode="numeric"
                    verbatim=true
                    class="max-w-28"
                    hint="How long to wait for the proxy and for the first byte of an answer: 1 to 120, usually 10."
                    on_input=typed("timeout_s")
                    on_blur=left("timeout_s")
                />
                <SelectInput
                    name="fallback"
                    label=values::label("fallback")
                    value=fields.fallback
                    options=state.others.get_value()
                    error=state.error("fallback")
                    hint="Only when its name has no address or nothing accepts the connection. This bypass list holds for both."
                />
            </div>
        </details>
    }
    .into_any()
}

/// Test Connection with what is typed.
#[component]
fn TestCard(state: State, may_change: bool) -> impl IntoView {
    let hydrated = use_hydrated();
    let running = Signal::derive(move || state.run.is_running());
    view! {
        <section class="panel grid gap-4" aria-labelledby="test-heading">
            <div>
                <h2 id="test-heading">"Test Connection"</h2>
                <p class="subtle">"Goes the real way, with what stands in the form now, saved or not."</p>
            </div>
            <TextInput
                name="target"
                label=values::label("target")
                value=state.target
                error=state.error("target")
                inputmode="url"
                optional=true
                verbatim=true
                placeholder="https://example.com/"
                hint="The web address to ask for through the proxy. Empty: the one your operator has set."
                on_input=Callback::new(move |_: String| state.check_field("target", false))
                on_blur=Callback::new(move |()| state.left("target"))
            />
            <div>
                {may_change
                    .then(|| {
                        view! {
                            <Button name="intent" value="test" busy=running>
                                {move || (!running.get()).then(|| view! { <Icon name=IconName::Play/> })}
                                "Test Connection"
                            </Button>
                        }
                    })}
                <TestPanel run=state.run/>
            </div>
            // A report that came with the page says what was typed then.
            <p class="subtle text-sm" class:hidden=move || hydrated.get() || state.run.is_idle()>
                "A password is never sent back: enter a new one again before you save."
            </p>
        </section>
    }
    .into_any()
}

/// Save, and what becomes of unsaved changes. Stays in sight.
#[component]
fn SaveBar(state: State, dirty: Memo<bool>) -> impl IntoView {
    let hydrated = use_hydrated();
    let changed = Memo::new(move |_| hydrated.get() && dirty.get());
    view! {
        <div class="sticky bottom-0 z-10 mt-4 flex flex-wrap items-center gap-2 rounded-box border border-base-300 bg-base-100 p-3 shadow-sm">
            <Button kind=ButtonKind::Primary name="intent" value="save" busy=state.saving>
                "Save"
            </Button>
            {move || {
                if changed.get() {
                    view! {
                        <Button button_type="button" on_click=Callback::new(move |_| state.discard())>
                            "Discard"
                        </Button>
                        <span class="subtle ml-auto text-sm">"Unsaved changes"</span>
                    }
                        .into_any()
                } else {
                    view! { <LinkButton href=urls::LIST>"Cancel"</LinkButton> }.into_any()
                }
            }}
        </div>
    }
    .into_any()
}

/// All that has to be corrected, with links to the fields; or what went wrong with the whole.
#[component]
fn Summary(state: State) -> impl IntoView {
    let lines = move || {
        // What is corrected leaves the list.
        let mut errors = state.summary.get();
        state.errors.with(|now| errors.0.retain(|field, _| now.get(field).is_some()));
        let known =
            values::LABELS.iter().filter_map(|(field, label)| errors.get(field).map(|text| (*field, *label, text.to_string())));
        let known: Vec<_> = known.collect();
        let other = errors.0.iter().filter(|(field, _)| values::LABELS.iter().all(|(known, _)| known != field));
        let other: Vec<_> = other.map(|(field, text)| format!("{field}: {text}")).collect();
        (known, other)
    };
    view! {
        <div id=SUMMARY tabindex="-1" class="mb-4 empty:hidden focus:outline-none">
            {move || {
                state
                    .failure
                    .get()
                    .map(|error| {
                        let users = match &error {
                            AppError::InUse(users) => Some(users.clone()),
                            _ => None,
                        };
                        let sign_in = error == AppError::Unauthorized;
                        view! {
                            <Banner kind=Kind::Error title=error.to_string()>
                                {users.map(|users| view! { <Users users/> })}
                                {sign_in
                                    .then(|| {
                                        view! {
                                            <a class="link" href="/sign-in" target="_blank">
                                                "Sign in in a new tab, then save again. Nothing typed here is lost."
                                            </a>
                                        }
                                    })}
                            </Banner>
                        }
                    })
            }}
            {move || {
                let (known, other) = lines();
                let count = known.len() + other.len();
                (count > 0)
                    .then(|| {
                        let title = if count == 1 { "One field needs another look".to_string() } else { format!("{count} fields need another look") };
                        let links = known.into_iter().map(|(field, label, text)| view! { <SummaryLine field label text/> }).collect_view();
                        let other = other.into_iter().map(|text| view! { <li>{text}</li> }).collect_view();
                        view! {
                            <Banner kind=Kind::Error title>
                                <ul class="m-0 list-disc pl-5">{links} {other}</ul>
                            </Banner>
                        }
                    })
            }}
        </div>
    }
    .into_any()
}

#[component]
fn SummaryLine(field: &'static str, label: &'static str, text: String) -> impl IntoView {
    let id = if field == "authentication" { "authentication-transparent" } else { field };
    view! {
        <li>
            <a
                class="link"
                href=format!("#{id}")
                on:click=move |event: MouseEvent| {
                    event.prevent_default();
                    focus(id);
                }
            >
                {label}
            </a>
            ": "
            {text}
        </li>
    }
    .into_any()
}

/// Somebody else was faster: what differs, and what to do about it. Nothing typed is lost.
#[component]
fn Conflict(state: State) -> impl IntoView {
    view! {
        <div id=CONFLICT tabindex="-1" class="mb-4 empty:hidden focus:outline-none">
            {move || {
                state
                    .conflict
                    .get()
                    .map(|theirs| {
                        let differences = values::differences(&state.form(), &theirs);
                        // What is chosen by name is told by name.
                        let named = |text: String| {
                            state.others.with_value(|others| {
                                others.iter().find(|(id, _)| *id == text).map(|(_, name)| name.clone()).unwrap_or(text)
                            })
                        };
                        let rows = differences
                            .into_iter()
                            .map(|difference| {
                                view! {
                                    <tr>
                                        <th scope="row" class="py-1 pr-4 text-left align-top font-medium">
                                            {difference.label}
                                        </th>
                                        <td class="max-h-40 py-1 pr-4 align-top break-words">{named(difference.mine)}</td>
                                        <td class="max-h-40 py-1 align-top break-words">{named(difference.theirs)}</td>
                                    </tr>
                                }
                            })
                            .collect::<Vec<_>>();
                        let same = rows.is_empty();
                        let table = (!same)
                            .then(|| {
                                view! {
                                    <div class="my-2 overflow-x-auto">
                                        <table class="w-full text-sm">
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
                                    </div>
                                }
                            });
                        let version = theirs.version.to_string();
                        view! {
                            <Banner kind=Kind::Warning title="Somebody else changed this setting meanwhile">
                                <p>
                                    {if same {
                                        "What they stored is what you typed: take theirs."
                                    } else {
                                        "What you typed is still here. This is what differs from what is stored now:"
                                    }}
                                </p>
                                {table}
                                <input type="hidden" name="current_version" autocomplete="off" value=version/>
                                <div class="mt-2 flex flex-wrap gap-2">
                                    {(!same)
                                        .then(|| {
                                            view! {
                                                <Button name="intent" value="overwrite" busy=state.saving>
                                                    "Save over it"
                                                </Button>
                                            }
                                        })}
                                    <a
                                        class="btn"
                                        href=urls::edit(&theirs.id)
                                        on:click=move |event: MouseEvent| {
                                            event.prevent_default();
                                            state.take_theirs();
                                        }
                                    >
                                        "Take theirs"
                                    </a>
                                </div>
                            </Banner>
                        }
                    })
            }}
        </div>
    }
    .into_any()
}
