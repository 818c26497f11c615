//! The fields of an integration's form.

use gatehouse_domain::{
    AppError, Capabilities, EngineOption, EngineSpec, FieldErrors, IntegrationForm, IntegrationStatus, IntegrationView, KeyNeed,
    ProxyChoice, SecretInput, TestTarget, integration::origin,
};
use gatehouse_platform::{Actor, Platform};
use leptos::prelude::*;

use super::{parts::proxy_label, values};
use crate::{
    components::{Checkbox, Field, Icon, IconName, SelectInput, TextArea, TextInput},
    pages::company::proxies,
};

/// What stands under "More".
const MORE: &[&str] =
    &["hide_url_parameters", "exclusions.urls", "exclusions.ips", "exclusions.extensions", "cache_hours", "timeout_s", "ca_pem"];

/// The proxy choices with what each means now: value and text.
pub(crate) async fn proxy_options(platform: &Platform, actor: &Actor) -> Result<Vec<(String, String)>, AppError> {
    let settings = proxies::all(platform, actor).await?;
    let default = settings.iter().find(|setting| setting.is_default).map(|setting| setting.name.as_str());
    let mut options: Vec<_> = [ProxyChoice::Default, ProxyChoice::None]
        .iter()
        .map(|choice| (choice.to_field().to_string(), proxy_label(choice, default)))
        .collect();
    options.extend(settings.into_iter().map(|setting| (setting.id, setting.name)));
    Ok(options)
}

/// What stands in the form, what is wrong with it, and what it is about.
pub(super) struct Fields {
    pub(super) spec: &'static EngineSpec,
    /// As typed, or as stored.
    pub(super) typed: IntegrationForm,
    pub(super) saved: Option<IntegrationView>,
    pub(super) errors: FieldErrors,
    /// The secrets that were typed and did not come back.
    pub(super) lost: (bool, bool),
    pub(super) proxies: Vec<(String, String)>,
}

/// What a new integration of this type starts with.
pub(super) fn fresh(spec: &EngineSpec) -> IntegrationForm {
    IntegrationForm {
        name: spec.label.to_string(),
        kind: spec.kind.to_string(),
        api_url: spec.api_url.to_string(),
        capabilities: Some(spec.starts_with),
        detection_threshold: spec.threshold.map(|threshold| threshold.default.to_string()).unwrap_or_default(),
        cache_hours: "0".to_string(),
        timeout_s: spec.timeout_s.to_string(),
        options: spec.options.iter().map(|option| (option.name.to_string(), option.default.to_string())).collect(),
        ..IntegrationForm::default()
    }
}

fn signal(text: &str) -> RwSignal<String> {
    RwSignal::new(text.to_string())
}

fn error_note(id: String, text: String) -> AnyView {
    view! {
        <p class="field-error" id=id>
            <Icon name=IconName::Warning/>
            <span>{text}</span>
        </p>
    }
    .into_any()
}

impl Fields {
    fn label(&self, field: &str) -> String {
        values::label(field, self.spec)
    }

    fn error(&self, field: &str) -> Signal<Option<String>> {
        Signal::stored(self.errors.get(field).map(ToString::to_string))
    }

    /// Where the error summary leads for this field.
    pub(super) fn id(field: &str) -> String {
        field.replace(['.', '[', ']'], "-")
    }

    /// Name, address, secrets, proxy, tags.
    pub(super) fn main(&self) -> AnyView {
        let options: Vec<_> = self.spec.options.iter().map(|option| self.option(option)).collect();
        let active = RwSignal::new(self.typed.status == IntegrationStatus::Active.as_str());
        view! {
            <section class="panel grid gap-4" aria-label="Service">
                <TextInput name="name" label=self.label("name") value=signal(&self.typed.name) error=self.error("name") required=true/>
                <div class="field">
                    <p class="field-label">"Type"</p>
                    <p>{self.spec.label} <span class="subtle block text-sm">{self.spec.summary}</span></p>
                </div>
                <TextArea
                    name="description"
                    label=self.label("description")
                    value=signal(&self.typed.description)
                    error=self.error("description")
                    rows=2
                    optional=true
                />
                {self.api_url()}
                {self.secrets()}
                {options}
                {self.proxy()}
                <TextInput
                    name="tags"
                    label=self.label("tags")
                    value=signal(&self.typed.tags)
                    error=self.error("tags")
                    optional=true
                    hint="Words to find it by, separated by commas."
                />
                <Checkbox
                    name="status"
                    label="Active"
                    value=IntegrationStatus::Active.as_str()
                    checked=active
                    error=self.error("status")
                    hint="Only active integrations are asked when something is analysed."
                />
            </section>
        }
        .into_any()
    }

    /// The style sheet compares what is typed with the type's own address (`pattern`), so the warning comes and goes as
    /// somebody types, also without JavaScript.
    fn api_url(&self) -> AnyView {
        let error = self.errors.get("api_url").is_some();
        let described = if error { "api_url-error api_url-hint" } else { "api_url-hint" };
        let own = TestTarget::parse(self.spec.api_url).ok().filter(|_| !self.spec.api_url.is_empty()).map(|url| origin(&url));
        let pattern = match &own {
            Some(own) => {
                let own = own.trim_end_matches(":443");
                format!("\\s*{}(:443)?([\\/?].*)?", escaped(own))
            }
            None => "\\s*https:\\/\\/.*".to_string(),
        };
        let (hint, warning) = match own {
            Some(_) => (
                format!("{}'s own address is {}.", self.spec.label, self.spec.api_url),
                format!(
                    "This is not {}'s own address. The key and everything that is asked go where it says; with http:// they travel unencrypted.",
                    self.spec.label
                ),
            ),
            None => (
                format!("Where the service is, like {}.", self.spec.api_url_example),
                "With http:// the key and everything that is asked travel unencrypted.".to_string(),
            ),
        };
        let value = self.typed.api_url.clone();
        view! {
            <Field label=self.label("api_url") name="api_url" error=self.error("api_url") hint=Some(hint)>
                <input
                    class="input peer"
                    id="api_url"
                    name="api_url"
                    type="text"
                    inputmode="url"
                    value=value
                    pattern=pattern
                    autocomplete="off"
                    autocapitalize="none"
                    spellcheck="false"
                    aria-invalid=if error { "true" } else { "false" }
                    aria-describedby=described
                />
                <div role="status" class="hidden peer-invalid:block">
                    <p class="flex items-start gap-2 text-sm font-medium">
                        <Icon name=IconName::Warning class="mt-0.5 shrink-0"/>
                        <span>{warning}</span>
                    </p>
                </div>
            </Field>
        }
        .into_any()
    }

    fn secrets(&self) -> AnyView {
        let has_key = self.saved.as_ref().is_some_and(|saved| saved.has_api_key);
        let has_password = self.saved.as_ref().is_some_and(|saved| saved.has_api_password);
        let (key, password) = (&self.typed.api_key, &self.typed.api_password);
        let key = (self.spec.key != KeyNeed::None)
            .then(|| self.secret("api_key", self.spec.key, has_key, self.lost.0, *key == SecretInput::Clear));
        let password =
            self.spec.password_label.is_some().then(|| {
                self.secret("api_password", KeyNeed::Required, has_password, self.lost.1, *password == SecretInput::Clear)
            });
        (key, password).into_any()
    }

    fn secret(&self, name: &'static str, need: KeyNeed, stored: bool, lost: bool, clear: bool) -> AnyView {
        let label = self.label(name);
        let hint = if stored {
            "A key is stored. Leave this empty to keep it. For another server above it must be entered again."
        } else {
            "Sealed before it is stored; nobody can read it afterwards, not even here."
        };
        let error = self.errors.get(name).is_some();
        let described = if error { format!("{name}-error {name}-hint") } else { format!("{name}-hint") };
        // In the browser what was typed is still there.
        let lost = lost.then(|| {
            view! { <p class="text-sm font-medium [:root[data-ready]_&]:hidden">"What was typed here is never sent back: type it again."</p> }
        });
        let clear_name = if name == "api_key" { "clear_api_key" } else { "clear_api_password" };
        let clear = (stored && need == KeyNeed::Optional).then(|| {
            view! { <Checkbox name=clear_name label=format!("Erase the stored {label}") checked=RwSignal::new(clear)/> }
        });
        view! {
            <div class="grid gap-2">
                <Field label name error=self.error(name) hint=Some(hint.to_string()) optional=need == KeyNeed::Optional>
                    <input
                        class="input"
                        id=name
                        name=name
                        type="password"
                        autocomplete="new-password"
                        autocapitalize="none"
                        spellcheck="false"
                        placeholder=stored.then_some("•••••••• (stored)")
                        aria-required=(need == KeyNeed::Required && !stored).then_some("true")
                        aria-invalid=error.then_some("true")
                        aria-describedby=described
                    />
                </Field>
                {lost}
                {clear}
            </div>
        }
        .into_any()
    }

    /// A setting of the type's own.
    fn option(&self, option: &'static EngineOption) -> AnyView {
        let name = format!("options.{}", option.name);
        let id = Self::id(&name);
        let value = self.typed.options.get(option.name).cloned().unwrap_or_else(|| option.default.to_string());
        let error = self.errors.get(&name).map(|text| error_note(format!("{id}-error"), text.to_string()));
        let described = if error.is_some() { format!("{id}-error {id}-hint") } else { format!("{id}-hint") };
        view! {
            <div class="field">
                <label class="field-label" for=id.clone()>
                    {option.label}
                </label>
                <input
                    class="input"
                    id=id.clone()
                    name=name
                    type="text"
                    value=value
                    autocomplete="off"
                    autocapitalize="none"
                    spellcheck="false"
                    aria-invalid=error.is_some().then_some("true")
                    aria-describedby=described
                />
                {error}
                <p class="field-hint" id=format!("{id}-hint")>
                    {option.help}
                </p>
            </div>
        }
        .into_any()
    }

    fn proxy(&self) -> AnyView {
        let mut options = self.proxies.clone();
        let chosen = self.typed.proxy.to_field().to_string();
        let hint = if self.spec.dns {
            // No setting would be taken, except to show the one that is chosen wrongly.
            options.retain(|(value, _)| *value == chosen || matches!(value.as_str(), "default" | "none"));
            "The proxy is not used: this type asks name servers, and DNS can't go through a proxy. Where traffic must take one, use the type that asks over HTTP."
        } else {
            "“Default Proxy” follows your company's default, whichever it is when a request is made. If the chosen proxy fails, the request fails: \
             it never goes out directly instead."
        };
        if !options.iter().any(|(value, _)| *value == chosen) {
            options.push((chosen.clone(), proxy_label(&self.typed.proxy, None)));
        }
        view! { <SelectInput name="proxy" label=self.label("proxy") value=signal(&chosen) options error=self.error("proxy") hint=hint/> }.into_any()
    }

    /// What it looks at, and when it calls something malicious.
    pub(super) fn looks_at(&self) -> AnyView {
        let Capabilities { url, sender_ip, attachment } = self.typed.capabilities.unwrap_or(self.spec.starts_with);
        let can = self.spec.can;
        let by = if self.spec.uploads {
            "The file itself is sent to the service."
        } else {
            "By the file's hash: the file itself is not sent."
        };
        let error = self.errors.get("capabilities").map(|text| error_note("capabilities-error".into(), text.to_string()));
        let described = error.is_some().then_some("capabilities-error");
        let threshold = self.spec.threshold.map(|threshold| {
            view! {
                <TextInput
                    name="detection_threshold"
                    label=self.label("detection_threshold")
                    value=signal(&self.typed.detection_threshold)
                    error=self.error("detection_threshold")
                    inputmode="numeric"
                    hint=format!("{} From 1 to {}; usual is {}.", threshold.help, threshold.max, threshold.default)
                />
            }
        });
        view! {
            <section class="panel grid gap-4" aria-label="What it looks at">
                <fieldset id="capabilities" class="field" tabindex="-1" aria-describedby=described>
                    <legend class="field-label mb-1">{self.label("capabilities")}</legend>
                    {can
                        .url
                        .then(|| view! { <Checkbox name="capabilities.url" label=self.label("capabilities.url") checked=RwSignal::new(url)/> })}
                    {can
                        .sender_ip
                        .then(|| {
                            view! {
                                <Checkbox name="capabilities.sender_ip" label=self.label("capabilities.sender_ip") checked=RwSignal::new(sender_ip)/>
                            }
                        })}
                    {can
                        .attachment
                        .then(|| {
                            view! {
                                <Checkbox
                                    name="capabilities.attachment"
                                    label=self.label("capabilities.attachment")
                                    checked=RwSignal::new(attachment)
                                    hint=by
                                />
                            }
                        })}
                    {error}
                </fieldset>
                {threshold}
            </section>
        }
        .into_any()
    }

    /// What most integrations do not need. Open where something in it needs a look or is not as usual.
    pub(super) fn more(&self) -> AnyView {
        let form = &self.typed;
        let unusual = form.hide_url_parameters
            || [&form.exclude_urls, &form.exclude_ips, &form.exclude_extensions, &form.ca_pem]
                .iter()
                .any(|text| !text.trim().is_empty())
            || !matches!(form.cache_hours.trim(), "" | "0")
            || !(form.timeout_s.trim().is_empty() || form.timeout_s.trim() == self.spec.timeout_s.to_string());
        let open = unusual || MORE.iter().any(|field| self.errors.get(field).is_some());
        view! {
            <details class="panel" id="more" open=open>
                <summary class="cursor-pointer font-semibold">"More"</summary>
                <div class="mt-4 grid gap-4">{self.privacy()} {self.limits()}</div>
            </details>
        }
        .into_any()
    }

    fn privacy(&self) -> AnyView {
        let form = &self.typed;
        view! {
            <Checkbox
                name="hide_url_parameters"
                label=self.label("hide_url_parameters")
                checked=RwSignal::new(form.hide_url_parameters)
                hint="Only scheme and host of a URL are sent: what follows can hold names or keys. The service then knows less."
            />
            <TextArea
                name="exclusions.urls"
                label=self.label("exclusions.urls")
                value=signal(&form.exclude_urls)
                error=self.error("exclusions.urls")
                rows=3
                optional=true
                code=true
                hint="One a line: a host, *.suffix, or the beginning of a URL, like https://intranet.example/hr/."
            />
            <TextArea
                name="exclusions.ips"
                label=self.label("exclusions.ips")
                value=signal(&form.exclude_ips)
                error=self.error("exclusions.ips")
                rows=3
                optional=true
                code=true
                hint="One a line: an address or a network, like 192.0.2.0/24."
            />
            <TextArea
                name="exclusions.extensions"
                label=self.label("exclusions.extensions")
                value=signal(&form.exclude_extensions)
                error=self.error("exclusions.extensions")
                rows=2
                optional=true
                code=true
                hint="One a line, like docx."
            />
        }
        .into_any()
    }

    fn limits(&self) -> AnyView {
        let form = &self.typed;
        view! {
            <div class="grid gap-4 sm:grid-cols-2">
                <TextInput
                    name="cache_hours"
                    label=self.label("cache_hours")
                    value=signal(&form.cache_hours)
                    error=self.error("cache_hours")
                    inputmode="numeric"
                    hint="0 asks anew each time; at most 720."
                />
                <TextInput
                    name="timeout_s"
                    label=self.label("timeout_s")
                    value=signal(&form.timeout_s)
                    error=self.error("timeout_s")
                    inputmode="numeric"
                    hint=format!("For one look-up in all, from 1 to 1800; usual is {}.", self.spec.timeout_s)
                />
            </div>
            <TextArea
                name="ca_pem"
                label=self.label("ca_pem")
                value=signal(&form.ca_pem)
                error=self.error("ca_pem")
                rows=4
                optional=true
                code=true
                placeholder="-----BEGIN CERTIFICATE-----"
                hint="Trusted for this service besides the system's own: paste them as PEM."
            />
        }
        .into_any()
    }
}

/// For a regular expression that stands for this text.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if "\\^$.|?*+()[]{}/".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
