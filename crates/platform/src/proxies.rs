//! Proxy settings: listing, making, changing, testing them; and re-sealing their passwords under a new key.

use std::time::Duration;

use gatehouse_domain::{
    AppError, Authentication, LastTest, Operation, Page, ProxyForm, ProxyQuery, ProxyValues, ProxyView, Secret, SecretInput,
    TestEvent, TestReport, TestTarget,
};
use tokio::sync::mpsc;

use crate::{
    Actor, CompanyId, Platform, ProxyId, Sealed,
    audit::{Audit, INSTALLATION, Origin, audited, command_line, facts},
    background,
    checks::{Changed, proxy_health_after},
    keys::KeyError,
    platform::{internal, key_error, now, store_error},
    ports::{ProxyRecord, ProxyWrite, StoreError, TestSlot, TestSubject},
};

/// How often a change is tried again when somebody else changed the same setting and the caller did not say which version
/// they meant, or when the key was rotated in between.
const ATTEMPTS: usize = 20;

/// What a sealed password is bound to: the company, the setting and the place it was entered for. A password can't be
/// opened for another host, port or scheme, even where a check was forgotten.
#[must_use]
pub fn password_binding(company: CompanyId, id: ProxyId, values: &ProxyValues) -> String {
    format!("proxy_setting/{company}/{id}/password@{}", values.place())
}

impl Platform {
    /// One page of the company's proxy settings.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for a wrong cursor.
    pub async fn list_proxies(&self, actor: &Actor, query: &ProxyQuery) -> Result<Page<ProxyView>, AppError> {
        actor.may(Operation::ListProxies)?;
        let page = self.proxies.list_proxies(actor.company, query).await.map_err(store_error)?;
        Ok(Page { items: page.items.into_iter().map(view).collect(), next: page.next })
    }

    /// A number that has changed whenever a proxy setting, the default, or who uses them may have; `None` where other processes write,
    /// too, and nobody knows.
    #[must_use]
    pub fn proxies_generation(&self) -> Option<u64> {
        self.proxies.proxies_generation()
    }

    /// One proxy setting.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn proxy(&self, actor: &Actor, id: &str) -> Result<ProxyView, AppError> {
        actor.may(Operation::GetProxy)?;
        let id = ProxyId::parse(id).ok_or(AppError::NotFound)?;
        self.proxies.proxy(actor.company, id).await.map(view).map_err(store_error)
    }

    /// Makes a proxy setting.
    ///
    /// # Errors
    /// [`AppError::Invalid`], [`AppError::NameTaken`].
    pub async fn create_proxy(&self, actor: &Actor, form: &ProxyForm) -> Result<ProxyView, AppError> {
        actor.may(Operation::CreateProxy)?;
        self.make_proxy(actor, Operation::CreateProxy, form).await
    }

    async fn make_proxy(&self, actor: &Actor, operation: Operation, form: &ProxyForm) -> Result<ProxyView, AppError> {
        let values = self.check(form.parse(false)?)?;
        let id = ProxyId::new();
        for _ in 0..ATTEMPTS {
            let password = match (values.authentication, &form.password) {
                (Authentication::Basic, SecretInput::Set(password)) => Some(self.seal(password, actor.company, id, &values)?),
                _ => None,
            };
            let write = ProxyWrite { values: values.clone(), password, is_default: form.is_default };
            let audit = actor.did(operation).to("proxy", id, &values.name).after(told(&write));
            match audited(audit, self.proxies.create_proxy(actor.company, id, &write, now())).await {
                Err(StoreError::Gone) => return Err(no_fallback()),
                Err(StoreError::KeyChanged) => self.follow_key().await?,
                Err(StoreError::NameTaken) => return Err(AppError::NameTaken(values.name.to_string())),
                result => return result.map(view).map_err(store_error),
            }
        }
        Err(AppError::Unavailable)
    }

    /// Replaces a proxy setting. With `version`, only if nobody changed it since.
    ///
    /// # Errors
    /// [`AppError::Invalid`], [`AppError::NameTaken`], [`AppError::Changed`], [`AppError::NotFound`], [`AppError::InUse`].
    pub async fn replace_proxy(
        &self, actor: &Actor, id: &str, version: Option<u64>, form: &ProxyForm,
    ) -> Result<ProxyView, AppError> {
        actor.may(Operation::ReplaceProxy)?;
        let id = ProxyId::parse(id).ok_or(AppError::NotFound)?;
        for _ in 0..ATTEMPTS {
            let current = self.proxies.proxy(actor.company, id).await.map_err(store_error)?;
            if let Some(version) = version
                && version != current.version
            {
                return Err(AppError::Changed(current.version));
            }
            let values = self.check(form.parse(current.password.is_some())?)?;
            if values.name.key() != current.values.name.key() && current.used_by.iter().any(|user| user.kind == "gateway") {
                let message = "The gateway's policy knows this proxy by its name. Change the policy first, or keep the name.";
                return Err(AppError::invalid("name", message));
            }
            if values.fallback.as_deref().and_then(ProxyId::parse) == Some(id) {
                return Err(AppError::invalid("fallback", "Choose another one: a proxy can't stand in for itself."));
            }
            let password = match (values.authentication, &form.password) {
                (Authentication::Transparent, _) | (_, SecretInput::Clear) => None,
                (_, SecretInput::Set(password)) => Some(self.seal(password, actor.company, id, &values)?),
                (_, SecretInput::Keep) => self
                    .kept(&current, &values)?
                    .map(|sealed| self.rebind(actor.company, &current, &values, sealed))
                    .transpose()?,
            };
            let write = ProxyWrite { values, password, is_default: form.is_default };
            let before =
                ProxyWrite { values: current.values.clone(), password: current.password.clone(), is_default: current.is_default };
            let mut after = told(&write);
            if matches!(form.password, SecretInput::Set(_)) && write.password.is_some() {
                after.insert("password".into(), "set anew".into());
            }
            let audit = actor.did(Operation::ReplaceProxy).to("proxy", id, &write.values.name).changed(&told(&before), &after);
            match audited(audit, self.proxies.replace_proxy(actor.company, id, current.version, &write, now())).await {
                Err(StoreError::Gone) => return Err(no_fallback()),
                Err(StoreError::Changed(_)) if version.is_none() => {}
                Err(StoreError::KeyChanged) => self.follow_key().await?,
                Err(StoreError::NameTaken) => return Err(AppError::NameTaken(write.values.name.to_string())),
                result => return result.map(view).map_err(store_error),
            }
        }
        Err(AppError::Unavailable)
    }

    /// A copy under a new name, never the default. It leads to the same place, so the password may follow.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn duplicate_proxy(&self, actor: &Actor, id: &str) -> Result<ProxyView, AppError> {
        actor.may(Operation::DuplicateProxy)?;
        let original = self.proxy(actor, id).await?;
        let mut form = ProxyForm { is_default: false, ..original.to_form() };
        if original.has_password {
            let record =
                self.proxies.proxy(actor.company, ProxyId::parse(id).ok_or(AppError::NotFound)?).await.map_err(store_error)?;
            form.password = self.open_password(actor.company, &record)?.map_or(SecretInput::Clear, SecretInput::Set);
        } else {
            form.password = SecretInput::Clear;
        }
        for number in 1..=100 {
            let suffix = if number == 1 { " (copy)".to_string() } else { format!(" (copy {number})") };
            let room = gatehouse_domain::ProxyName::MAX - suffix.chars().count();
            form.name = original.name.chars().take(room).collect::<String>() + &suffix;
            match self.make_proxy(actor, Operation::DuplicateProxy, &form).await {
                Err(AppError::NameTaken(_)) => {}
                result => return result,
            }
        }
        Err(AppError::NameTaken(form.name))
    }

    /// Deletes a proxy setting. With `version`, only if nobody changed it since.
    ///
    /// # Errors
    /// [`AppError::InUse`], [`AppError::Changed`], [`AppError::NotFound`].
    pub async fn delete_proxy(&self, actor: &Actor, id: &str, version: Option<u64>) -> Result<(), AppError> {
        actor.may(Operation::DeleteProxy)?;
        let id = ProxyId::parse(id).ok_or(AppError::NotFound)?;
        for _ in 0..ATTEMPTS {
            let current = self.proxies.proxy(actor.company, id).await.map_err(store_error)?;
            let audit = actor.did(Operation::DeleteProxy).to("proxy", id, &current.values.name).before(told(&ProxyWrite {
                values: current.values,
                password: current.password,
                is_default: current.is_default,
            }));
            // Of the version that the log tells of.
            let seen = version.unwrap_or(current.version);
            match audited(audit, self.proxies.delete_proxy(actor.company, id, Some(seen))).await {
                Err(StoreError::Changed(_)) if version.is_none() => {}
                result => return result.map_err(store_error),
            }
        }
        Err(AppError::Unavailable)
    }

    /// Makes this one the company's default.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn make_default_proxy(&self, actor: &Actor, id: &str) -> Result<ProxyView, AppError> {
        actor.may(Operation::MakeDefaultProxy)?;
        let parsed = ProxyId::parse(id).ok_or(AppError::NotFound)?;
        let before = self.proxies.default_proxy(actor.company).await.map_err(store_error)?;
        let name = self.proxies.proxy(actor.company, parsed).await.map_err(store_error)?.values.name;
        let default = |name: Option<&str>| facts(&serde_json::json!({ "default": name }), &[]);
        let before = default(before.as_ref().map(|before| before.values.name.as_str()));
        let audit =
            actor.did(Operation::MakeDefaultProxy).to("proxy", parsed, &name).before(before).after(default(Some(name.as_str())));
        audited(audit, self.proxies.set_default_proxy(actor.company, Some(parsed))).await.map_err(store_error)?;
        self.proxies.proxy(actor.company, parsed).await.map(view).map_err(store_error)
    }

    /// Tests a saved setting and keeps the result. Events arrive while it happens.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::Invalid`] for the target, [`AppError::TooManyTests`].
    pub async fn test_proxy(
        &self, actor: &Actor, id: &str, target: Option<&str>, events: mpsc::Sender<TestEvent>,
    ) -> Result<TestReport, AppError> {
        actor.may(Operation::TestProxy)?;
        let id = ProxyId::parse(id).ok_or(AppError::NotFound)?;
        let record = self.proxies.proxy(actor.company, id).await.map_err(store_error)?;
        let target = self.target(target)?;
        let password = self.open_password(actor.company, &record)?;
        // Before: also a test that is broken off has connected somewhere.
        let audit = actor.did(Operation::TestProxy).to("proxy", id, &record.values.name);
        self.note(audit.after(facts(&serde_json::json!({ "target": target.to_string() }), &[]))).await?;
        let report = self.run_test(actor, TestSubject { values: record.values.clone(), password }, &target, events).await?;
        self.keep_proxy_test(actor.company, &record, &report).await?;
        Ok(report)
    }

    /// Keeps what a test of a saved setting found out.
    pub(crate) async fn keep_proxy_test(
        &self, company: CompanyId, record: &ProxyRecord, report: &TestReport,
    ) -> Result<(), AppError> {
        let last = LastTest {
            at: now(),
            ok: report.ok,
            cause: report.cause,
            message: report.message.clone(),
            ms: report.total_ms(),
            target: report.target.clone(),
            egress_ip: report.egress_ip.clone(),
        };
        let health = proxy_health_after(record.last_test.as_ref(), report.ok);
        self.proxies.record_proxy_test(company, record.id, &last, health).await.map_err(store_error)?;
        let changed = Changed {
            kind: "proxy",
            of: record.id.to_string(),
            name: record.values.name.to_string(),
            from: record.health,
            to: health,
            cause: report.cause,
            message: report.message.clone(),
        };
        self.note_health(company, changed).await;
        Ok(())
    }

    /// Tests values that are not saved. With the identifier of a saved setting the stored password is used when none is
    /// given, but only towards the place it was entered for.
    ///
    /// # Errors
    /// [`AppError::Invalid`], [`AppError::NotFound`], [`AppError::TooManyTests`].
    pub async fn test_draft(
        &self, actor: &Actor, id: Option<&str>, form: &ProxyForm, target: Option<&str>, events: mpsc::Sender<TestEvent>,
    ) -> Result<TestReport, AppError> {
        actor.may(Operation::TestProxyDraft)?;
        let record = match id {
            None => None,
            Some(id) => {
                let id = ProxyId::parse(id).ok_or(AppError::NotFound)?;
                Some(self.proxies.proxy(actor.company, id).await.map_err(store_error)?)
            }
        };
        let has_stored = record.as_ref().is_some_and(|r| r.password.is_some());
        let values = self.check(form.parse_draft(has_stored)?)?;
        let target = self.target(target)?;
        let password = match (values.authentication, &form.password) {
            (Authentication::Transparent, _) | (_, SecretInput::Clear) => None,
            (_, SecretInput::Set(password)) => Some(password.clone()),
            (_, SecretInput::Keep) => match &record {
                Some(record) => {
                    self.kept(record, &values)?;
                    self.open_password(actor.company, record)?
                }
                None => None,
            },
        };
        let name = if form.name.trim().is_empty() { "(not saved)" } else { form.name.trim() };
        let audit = actor.did(Operation::TestProxyDraft).to("proxy", id.unwrap_or_default(), name);
        let facts = facts(
            &serde_json::json!({
                "host": values.host.as_str(), "port": values.port.get(), "scheme": values.scheme, "target": target.to_string(),
            }),
            &[],
        );
        self.note(audit.after(facts)).await?;
        self.run_test(actor, TestSubject { values, password }, &target, events).await
    }

    async fn run_test(
        &self, actor: &Actor, subject: TestSubject, target: &TestTarget, events: mpsc::Sender<TestEvent>,
    ) -> Result<TestReport, AppError> {
        let guard = self.take_slot(actor.company, subject.values.timeout.seconds().into()).await?;
        let report = self.tester.test(&subject, target, events).await;
        guard.release().await;
        Ok(report)
    }

    /// A place among the running tests of a company, for a test that takes this many seconds at most.
    pub(crate) async fn take_slot(&self, company: CompanyId, seconds: u64) -> Result<SlotGuard, AppError> {
        // Longer than the test can take: what a process that died leaves behind is free again soon.
        let lease = Duration::from_secs(seconds + 30);
        match self.proxies.take_test_slot(company, self.config.test_limit, lease, now()).await.map_err(store_error)? {
            Ok(slot) => Ok(SlotGuard { platform: self.clone(), slot: Some(slot) }),
            Err(wait) => Err(AppError::TooManyTests(wait.as_secs().clamp(1, 10))),
        }
    }

    fn target(&self, target: Option<&str>) -> Result<TestTarget, AppError> {
        match target.map(str::trim).filter(|t| !t.is_empty()) {
            None => Ok(self.config.test_target.clone()),
            Some(target) => {
                let target = TestTarget::parse(target).map_err(|why| AppError::invalid("target", why))?;
                self.vetted("target", &target.host)?;
                Ok(target)
            }
        }
    }

    /// What only the server can check of a setting.
    fn check(&self, values: ProxyValues) -> Result<ProxyValues, AppError> {
        self.vetted("host", &values.host)?;
        if let Some(pem) = &values.ca_pem {
            self.tester.check_ca(pem).map_err(|why| AppError::invalid("ca_pem", why))?;
        }
        if values.fallback.as_deref().is_some_and(|id| ProxyId::parse(id).is_none()) {
            return Err(no_fallback());
        }
        Ok(values)
    }

    /// The stored password, if it may go where `values` lead.
    fn kept(&self, current: &ProxyRecord, values: &ProxyValues) -> Result<Option<Sealed>, AppError> {
        match &current.password {
            Some(_) if current.values.place() != values.place() => Err(AppError::invalid(
                "password",
                "Enter the password again: the stored one was entered for another host, port or scheme and is not sent elsewhere.",
            )),
            sealed => Ok(sealed.clone()),
        }
    }

    /// A kept password is sealed anew when the key was rotated since it was written, so that it never falls behind.
    fn rebind(
        &self, company: CompanyId, current: &ProxyRecord, values: &ProxyValues, sealed: Sealed,
    ) -> Result<Sealed, AppError> {
        if sealed.key_id() == self.keys.key_id() {
            return Ok(sealed);
        }
        let password = self.keys.open(&sealed, &password_binding(company, current.id, &current.values)).map_err(key_error)?;
        self.seal(&password, company, current.id, values)
    }

    fn seal(&self, password: &Secret, company: CompanyId, id: ProxyId, values: &ProxyValues) -> Result<Sealed, AppError> {
        self.keys.seal(password, &password_binding(company, id, values)).map_err(key_error)
    }

    pub(crate) fn open_password(&self, company: CompanyId, record: &ProxyRecord) -> Result<Option<Secret>, AppError> {
        let binding = password_binding(company, record.id, &record.values);
        record.password.as_ref().map(|sealed| self.keys.open(sealed, &binding)).transpose().map_err(key_error)
    }

    /// Somebody rotated the key: take up the new one.
    pub(crate) async fn follow_key(&self) -> Result<(), AppError> {
        let id = self.key_store.key_id().await.map_err(store_error)?.unwrap_or_default();
        if self.keys.select(&id) {
            Ok(())
        } else {
            Err(internal(format!("the key {id} that seals this database is another: {}", self.keys.wrong())))
        }
    }

    /// Makes a new key and seals everything under it. Whatever cuts it off, running it again finishes it. Returns how many
    /// secrets were re-sealed.
    ///
    /// # Errors
    /// [`AppError::Internal`] when a secret does not open or a file can't be written; then the old key still works.
    pub async fn rotate_key(&self) -> Result<u64, AppError> {
        let next = self.keys.begin_rotation().map_err(|error| match error {
            KeyError::Given => AppError::Malformed(error.to_string()),
            error => key_error(error),
        })?;
        let current = self.key_store.key_id().await.map_err(store_error)?.unwrap_or_default();
        // From here on new secrets are sealed under the new key; what was sealed before still opens with the old one.
        if current != next {
            self.key_store.swap_key_id(&current, &next).await.map_err(store_error)?;
        }
        if !self.keys.select(&next) {
            return Err(internal("the new key is gone"));
        }
        let mut count = 0;
        loop {
            let places = self.key_store.sealed_under_other_keys(&next).await.map_err(store_error)?;
            if places.is_empty() {
                break;
            }
            for place in places {
                let secret = self.keys.open(&place.sealed, &place.binding).map_err(key_error)?;
                let sealed = self.keys.seal(&secret, &place.binding).map_err(key_error)?;
                self.key_store.reseal(&place, &sealed).await.map_err(store_error)?;
                count += 1;
            }
        }
        self.keys.finish_rotation().map_err(key_error)?;
        let audit = Audit::new(INSTALLATION, command_line(), &Origin::command_line(), Operation::RotateKey);
        self.note(audit.after(facts(&serde_json::json!({ "sealed_anew": count }), &[]))).await?;
        Ok(count)
    }
}

/// Gives a place among the running tests back, also when the one who waited for the test has gone.
pub(crate) struct SlotGuard {
    platform: Platform,
    slot: Option<TestSlot>,
}

impl SlotGuard {
    pub(crate) async fn release(mut self) {
        if let Some(slot) = self.slot.take() {
            give_back(&self.platform, &slot).await;
        }
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let (Some(slot), Ok(runtime)) = (self.slot.take(), tokio::runtime::Handle::try_current()) else { return };
        let platform = self.platform.clone();
        background::spawn_on(&runtime, async move { give_back(&platform, &slot).await });
    }
}

async fn give_back(platform: &Platform, slot: &TestSlot) {
    if let Err(error) = platform.proxies.release_test_slot(slot).await {
        // It runs out by itself.
        tracing::warn!(%error, "a place among the running tests was not given back");
    }
}

fn no_fallback() -> AppError {
    AppError::invalid("fallback", "There is no such proxy setting any more: choose another one, or none.")
}

/// What the log says of a setting.
fn told(write: &ProxyWrite) -> serde_json::Map<String, serde_json::Value> {
    let ProxyWrite { values, password, is_default } = write;
    let shown = serde_json::json!({
        "name": values.name.as_str(),
        "host": values.host.as_str(),
        "port": values.port.get(),
        "scheme": values.scheme,
        "authentication": values.authentication,
        "username": values.username.as_ref().map(|username| username.as_str()),
        "has_password": password.is_some(),
        "is_default": is_default,
        "bypass": values.bypass.to_strings(),
        "ca_pem": values.ca_pem.as_ref().map(|pem| pem.as_str()),
        "timeout_s": values.timeout.seconds(),
        "fallback": values.fallback,
    });
    facts(&shown, &[])
}

fn view(record: ProxyRecord) -> ProxyView {
    let ProxyRecord { id, values, password, is_default, version, created_at, updated_at, last_test, health, used_by } = record;
    ProxyView {
        id: id.to_string(),
        name: values.name.to_string(),
        host: values.host.to_string(),
        port: values.port.get(),
        scheme: values.scheme,
        authentication: values.authentication,
        username: values.username.map(|u| u.as_str().to_string()),
        has_password: password.is_some(),
        is_default,
        bypass: values.bypass.to_strings(),
        ca_pem: values.ca_pem.map(|p| p.as_str().to_string()),
        timeout_s: values.timeout.seconds(),
        fallback: values.fallback,
        created_at,
        updated_at,
        version,
        last_test,
        health,
        used_by,
    }
}
