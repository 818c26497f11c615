//! Integrations: listing, making, changing, testing them.

use std::{collections::HashMap, time::Duration};

use gatehouse_domain::{
    AppError, Cause, Consumer, EngineSpec, FieldErrors, Health, IntegrationForm, IntegrationName, IntegrationQuery,
    IntegrationReport, IntegrationStatus, IntegrationTest, IntegrationValues, IntegrationView, Operation, Page, ProxyChoice,
    Secret, SecretInput, Stage, StageResult, StageStatus, UsedBy, integration::origin,
};

use crate::{
    Actor, Asker, Choice, CompanyId, EngineContext, IntegrationId, Platform, ProxyId, Sealed,
    audit::{audited, facts},
    checks::Changed,
    door::Recorded,
    engine::Seen,
    platform::{internal, key_error, now, store_error},
    ports::{IntegrationRecord, IntegrationWrite, StoreError},
};

/// See [`crate::proxies`].
const ATTEMPTS: usize = 20;
/// A test asks for little: what takes longer than this is not working.
const TEST_SECONDS: u16 = 30;

/// One of an integration's two secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegrationSecret {
    /// The API key.
    ApiKey,
    /// The second secret.
    ApiPassword,
}

impl IntegrationSecret {
    const fn field(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::ApiPassword => "api_password",
        }
    }
}

/// What a sealed secret of an integration is bound to: the company, the integration and the place it was entered for. It
/// can't be opened for another scheme, host or port, even where a check was forgotten.
#[must_use]
pub fn secret_binding(company: CompanyId, id: IntegrationId, which: IntegrationSecret, values: &IntegrationValues) -> String {
    format!("integration/{company}/{id}/{}@{}", which.field(), values.place())
}

/// The secrets of an integration in the clear; empty where there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenSecrets {
    pub(crate) api_key: Secret,
    pub(crate) api_password: Secret,
}

impl Platform {
    /// The same for whoever asks from outside.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub fn list_engines(&self, actor: &Actor) -> Result<impl Iterator<Item = &'static EngineSpec> + '_, AppError> {
        actor.may(Operation::ListEngines)?;
        Ok(self.engines.specs())
    }

    /// What each engine is and can do, in the order in which they are offered.
    pub fn engine_specs(&self) -> impl Iterator<Item = &'static EngineSpec> + '_ {
        self.engines.specs()
    }

    /// What the engine of this type is and can do.
    #[must_use]
    pub fn engine_spec(&self, kind: &str) -> Option<&'static EngineSpec> {
        self.engines.get(kind).map(|engine| engine.spec())
    }

    /// One page of the company's integrations. There are few, so they are filtered and sorted here.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for a wrong cursor.
    pub async fn list_integrations(&self, actor: &Actor, query: &IntegrationQuery) -> Result<Page<IntegrationView>, AppError> {
        actor.may(Operation::ListIntegrations)?;
        let records = self.integrations.integrations(actor.company).await.map_err(store_error)?;
        let names = self.proxy_names(actor.company, records.iter().map(|r| &r.values.proxy)).await?;
        let mut views: Vec<_> = records.into_iter().map(|record| self.integration_view(record, &names)).collect();
        views.retain(|view| takes(query, view));
        sort(&mut views, &query.sort);
        let start = match &query.cursor {
            None => 0,
            Some(cursor) => views.iter().position(|view| view.id == *cursor).map(|at| at + 1).ok_or_else(|| {
                AppError::invalid("cursor", "Use the value of 'next' from the page before, with the same filters and sort order.")
            })?,
        };
        let end = views.len().min(start + usize::from(query.limit));
        let next = (end < views.len()).then(|| views[end - 1].id.clone());
        Ok(Page { items: views.drain(start..end).collect(), next })
    }

    /// Whose requests take the company's default proxy, whichever that is: who moves when it is changed.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn uses_of_default(&self, actor: &Actor) -> Result<Vec<UsedBy>, AppError> {
        actor.may(Operation::ListProxies)?;
        self.proxies.uses_of_default(actor.company).await.map_err(store_error)
    }

    /// All tags of the company's integrations, in alphabetical order.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn integration_tags(&self, actor: &Actor) -> Result<Vec<String>, AppError> {
        actor.may(Operation::ListIntegrations)?;
        let records = self.integrations.integrations(actor.company).await.map_err(store_error)?;
        let mut tags: Vec<String> = records.into_iter().flat_map(|record| record.values.tags).collect();
        tags.sort_by_key(|tag| tag.to_lowercase());
        tags.dedup_by_key(|tag| tag.to_lowercase());
        Ok(tags)
    }

    /// One integration.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn integration(&self, actor: &Actor, id: &str) -> Result<IntegrationView, AppError> {
        actor.may(Operation::GetIntegration)?;
        let id = IntegrationId::parse(id).ok_or(AppError::NotFound)?;
        let record = self.integrations.integration(actor.company, id).await.map_err(store_error)?;
        self.one_view(actor, record).await
    }

    /// Makes an integration.
    ///
    /// # Errors
    /// [`AppError::Invalid`], [`AppError::NameTaken`].
    pub async fn create_integration(&self, actor: &Actor, form: &IntegrationForm) -> Result<IntegrationView, AppError> {
        actor.may(Operation::CreateIntegration)?;
        self.make_integration(actor, Operation::CreateIntegration, form).await
    }

    async fn make_integration(
        &self, actor: &Actor, operation: Operation, form: &IntegrationForm,
    ) -> Result<IntegrationView, AppError> {
        let spec = self.spec_of(form)?;
        let values = self.check_integration(form.parse(spec, false, false)?)?;
        let choice = self.choice(&values.proxy)?;
        let id = IntegrationId::new();
        for _ in 0..ATTEMPTS {
            let seal = |which, secret: &SecretInput| match secret {
                SecretInput::Set(secret) => self.seal_secret(secret, actor.company, id, which, &values).map(Some),
                SecretInput::Keep | SecretInput::Clear => Ok(None),
            };
            let write = IntegrationWrite {
                choice,
                api_key: seal(IntegrationSecret::ApiKey, &form.api_key)?,
                api_password: seal(IntegrationSecret::ApiPassword, &form.api_password)?,
                values: values.clone(),
            };
            let audit = actor.did(operation).to("integration", id, &values.name).after(told(
                &values,
                write.api_key.is_some(),
                write.api_password.is_some(),
            ));
            match audited(audit, self.integrations.create_integration(actor.company, id, &write, now())).await {
                Err(StoreError::KeyChanged) => self.follow_key().await?,
                Err(error) => return Err(write_error(error, &values.name)),
                Ok(record) => return self.one_view(actor, record).await,
            }
        }
        Err(AppError::Unavailable)
    }

    /// Replaces an integration. With `version`, only if nobody changed it since.
    ///
    /// # Errors
    /// [`AppError::Invalid`], [`AppError::NameTaken`], [`AppError::Changed`], [`AppError::NotFound`].
    pub async fn replace_integration(
        &self, actor: &Actor, id: &str, version: Option<u64>, form: &IntegrationForm,
    ) -> Result<IntegrationView, AppError> {
        actor.may(Operation::ReplaceIntegration)?;
        let id = IntegrationId::parse(id).ok_or(AppError::NotFound)?;
        for _ in 0..ATTEMPTS {
            let current = self.integrations.integration(actor.company, id).await.map_err(store_error)?;
            if let Some(version) = version
                && version != current.version
            {
                return Err(AppError::Changed(current.version));
            }
            match self.write_integration(actor, &current, form).await {
                Err(AppError::Changed(_)) if version.is_none() => {}
                Err(AppError::Unavailable) if self.follow_key().await.is_ok() => {}
                result => return result,
            }
        }
        Err(AppError::Unavailable)
    }

    async fn write_integration(
        &self, actor: &Actor, current: &IntegrationRecord, form: &IntegrationForm,
    ) -> Result<IntegrationView, AppError> {
        let spec = self.spec_of(form)?;
        let values = form.parse(spec, current.api_key.is_some(), current.api_password.is_some())?;
        let values = self.check_integration(values)?;
        let choice = self.choice(&values.proxy)?;
        let mut errors = FieldErrors::new();
        let mut secret = |which: IntegrationSecret, input: &SecretInput, stored: &Option<Sealed>, has: bool| match (input, has) {
            (_, false) | (SecretInput::Clear, _) => Ok(None),
            (SecretInput::Set(secret), _) => self.seal_secret(secret, actor.company, current.id, which, &values).map(Some),
            (SecretInput::Keep, _) => match stored {
                Some(_) if current.values.place() != values.place() => {
                    errors.add(which.field(), ENTER_AGAIN);
                    Ok(None)
                }
                Some(sealed) if sealed.key_id() != self.keys.key_id() => {
                    // Sealed before the key was rotated: anew, so that it never falls behind.
                    let opened = self.open_secret(actor.company, current, which, sealed)?;
                    self.seal_secret(&opened, actor.company, current.id, which, &values).map(Some)
                }
                stored => Ok(stored.clone()),
            },
        };
        let has_key = spec.key != gatehouse_domain::KeyNeed::None;
        let api_key = secret(IntegrationSecret::ApiKey, &form.api_key, &current.api_key, has_key)?;
        let has_password = spec.password_label.is_some();
        let api_password = secret(IntegrationSecret::ApiPassword, &form.api_password, &current.api_password, has_password)?;
        if !errors.is_empty() {
            return Err(errors.into());
        }
        let name = values.name.clone();
        let write = IntegrationWrite { values, choice, api_key, api_password };
        let before = told(&current.values, current.api_key.is_some(), current.api_password.is_some());
        let mut after = told(&write.values, write.api_key.is_some(), write.api_password.is_some());
        for (field, input, stored) in
            [("api_key", &form.api_key, &write.api_key), ("api_password", &form.api_password, &write.api_password)]
        {
            if matches!(input, SecretInput::Set(_)) && stored.is_some() {
                after.insert(field.into(), "set anew".into());
            }
        }
        let audit = actor.did(Operation::ReplaceIntegration).to("integration", current.id, &name).changed(&before, &after);
        let replace = self.integrations.replace_integration(actor.company, current.id, current.version, &write, now());
        match audited(audit, replace).await {
            Err(StoreError::KeyChanged) => Err(AppError::Unavailable),
            Err(error) => Err(write_error(error, &name)),
            Ok(record) => self.one_view(actor, record).await,
        }
    }

    /// Activates or deactivates; everything else stays.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn set_integration_status(
        &self, actor: &Actor, id: &str, status: IntegrationStatus,
    ) -> Result<IntegrationView, AppError> {
        actor.may(Operation::ReplaceIntegration)?;
        let current = self.integration(actor, id).await?;
        if current.status == status {
            return Ok(current);
        }
        let form = IntegrationForm { status: status.to_string(), ..current.to_form() };
        self.replace_integration(actor, id, Some(current.version), &form).await
    }

    /// A copy under a new name, inactive. It leads to the same place, so its secrets may follow.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn duplicate_integration(&self, actor: &Actor, id: &str) -> Result<IntegrationView, AppError> {
        actor.may(Operation::DuplicateIntegration)?;
        let id = IntegrationId::parse(id).ok_or(AppError::NotFound)?;
        let record = self.integrations.integration(actor.company, id).await.map_err(store_error)?;
        let secrets = self.open_secrets(actor.company, &record)?;
        let set = |secret: Secret| if secret.is_empty() { SecretInput::Keep } else { SecretInput::Set(secret) };
        let original = self.one_view(actor, record).await?;
        let mut form = IntegrationForm {
            status: IntegrationStatus::Inactive.to_string(),
            api_key: set(secrets.api_key),
            api_password: set(secrets.api_password),
            ..original.to_form()
        };
        for number in 1..=100 {
            let suffix = if number == 1 { " (copy)".to_string() } else { format!(" (copy {number})") };
            let room = IntegrationName::MAX - suffix.chars().count();
            form.name = original.name.chars().take(room).collect::<String>() + &suffix;
            match self.make_integration(actor, Operation::DuplicateIntegration, &form).await {
                Err(AppError::NameTaken(_)) => {}
                result => return result,
            }
        }
        Err(AppError::NameTaken(form.name))
    }

    /// Deletes an integration. With `version`, only if nobody changed it since. Its results stay with their analyses.
    ///
    /// # Errors
    /// [`AppError::Changed`], [`AppError::NotFound`].
    pub async fn delete_integration(&self, actor: &Actor, id: &str, version: Option<u64>) -> Result<(), AppError> {
        actor.may(Operation::DeleteIntegration)?;
        let id = IntegrationId::parse(id).ok_or(AppError::NotFound)?;
        for _ in 0..ATTEMPTS {
            let current = self.integrations.integration(actor.company, id).await.map_err(store_error)?;
            let seen = version.unwrap_or(current.version);
            let told = told(&current.values, current.api_key.is_some(), current.api_password.is_some());
            let audit = actor.did(Operation::DeleteIntegration).to("integration", id, &current.values.name).before(told);
            match audited(audit, self.integrations.delete_integration(actor.company, id, Some(seen))).await {
                Err(StoreError::Changed(_)) if version.is_none() => {}
                result => return result.map_err(store_error),
            }
        }
        Err(AppError::Unavailable)
    }

    /// Tests a saved integration and keeps the result.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::TooManyTests`].
    pub async fn test_integration(&self, actor: &Actor, id: &str) -> Result<IntegrationReport, AppError> {
        actor.may(Operation::TestIntegration)?;
        let id = IntegrationId::parse(id).ok_or(AppError::NotFound)?;
        let record = self.integrations.integration(actor.company, id).await.map_err(store_error)?;
        let secrets = self.open_secrets(actor.company, &record)?;
        self.note(actor.did(Operation::TestIntegration).to("integration", id, &record.values.name)).await?;
        let seconds = u64::from(record.values.timeout_s.min(TEST_SECONDS));
        let slot = self.take_slot(actor.company, seconds).await?;
        let report = self.check_engine(actor.company, Some(id), &record.values, secrets).await;
        slot.release().await;
        let report = report?;
        self.keep_integration_test(actor.company, &record, &report).await?;
        Ok(report)
    }

    /// Keeps what a test of a saved integration found out.
    pub(crate) async fn keep_integration_test(
        &self, company: CompanyId, record: &IntegrationRecord, report: &IntegrationReport,
    ) -> Result<(), AppError> {
        let result = IntegrationTest {
            at: now(),
            ok: report.ok,
            cause: report.cause,
            message: report.message.clone(),
            ms: report.stages.iter().filter_map(|stage| stage.ms).sum(),
            route: report.route.clone(),
        };
        let health = health_after(record.last_test.as_ref(), &result);
        match self.integrations.record_integration_test(company, record.id, record.version, &result, health).await {
            Ok(()) => {}
            // Deleted or changed while it was tested: what was found out is no word about what it is now.
            Err(StoreError::NotFound) => return Ok(()),
            Err(error) => return Err(store_error(error)),
        }
        let changed = Changed {
            kind: "integration",
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

    /// Tests values that are not saved. With the identifier of a saved integration its stored secrets are used where none are
    /// given, but only towards the place they were entered for.
    ///
    /// # Errors
    /// [`AppError::Invalid`], [`AppError::NotFound`], [`AppError::TooManyTests`].
    pub async fn test_integration_draft(
        &self, actor: &Actor, id: Option<&str>, form: &IntegrationForm,
    ) -> Result<IntegrationReport, AppError> {
        actor.may(Operation::TestIntegrationDraft)?;
        let record = match id {
            None => None,
            Some(id) => {
                let id = IntegrationId::parse(id).ok_or(AppError::NotFound)?;
                Some(self.integrations.integration(actor.company, id).await.map_err(store_error)?)
            }
        };
        let spec = self.spec_of(form)?;
        let (has_key, has_password) =
            record.as_ref().map_or((false, false), |record| (record.api_key.is_some(), record.api_password.is_some()));
        let values = self.check_integration(form.parse_draft(spec, has_key, has_password)?)?;
        let stored = match &record {
            Some(record) => self.open_secrets(actor.company, record)?,
            None => OpenSecrets::default(),
        };
        let elsewhere = record.as_ref().is_some_and(|record| record.values.place() != values.place());
        let mut errors = FieldErrors::new();
        let mut secret = |field: &str, input: &SecretInput, stored: Secret| match input {
            SecretInput::Set(secret) => secret.clone(),
            SecretInput::Keep if elsewhere && !stored.is_empty() => {
                errors.add(field, ENTER_AGAIN);
                Secret::default()
            }
            SecretInput::Keep => stored,
            SecretInput::Clear => Secret::default(),
        };
        let secrets = OpenSecrets {
            api_key: secret("api_key", &form.api_key, stored.api_key),
            api_password: secret("api_password", &form.api_password, stored.api_password),
        };
        if !errors.is_empty() {
            return Err(errors.into());
        }
        if let Choice::Setting(id) = self.choice(&values.proxy)? {
            match self.proxies.proxy(actor.company, id).await {
                Err(StoreError::NotFound) => return Err(no_such_proxy()),
                other => drop(other.map_err(store_error)?),
            }
        }
        let audit = actor.did(Operation::TestIntegrationDraft).to("integration", id.unwrap_or_default(), &values.name);
        let told = serde_json::json!({ "type": values.kind, "api_url": origin(&values.api_url), "proxy": values.proxy });
        self.note(audit.after(facts(&told, &[]))).await?;
        let slot = self.take_slot(actor.company, u64::from(values.timeout_s.min(TEST_SECONDS))).await?;
        let report = self.check_engine(actor.company, record.map(|record| record.id), &values, secrets).await;
        slot.release().await;
        report
    }

    /// Asks the engine whether the service is there and accepts the key.
    pub(crate) async fn check_engine(
        &self, company: CompanyId, id: Option<IntegrationId>, values: &IntegrationValues, secrets: OpenSecrets,
    ) -> Result<IntegrationReport, AppError> {
        let engine = self.engines.get(&values.kind).ok_or_else(|| internal(format!("no engine of type {}", values.kind)))?;
        let cx = self.engine_context(
            company,
            id,
            values,
            secrets,
            Duration::from_secs(values.timeout_s.min(TEST_SECONDS).into()),
            true,
        )?;
        let outcome = engine.check(&cx).await;
        let Seen { route, mut stages, status } = cx.seen();
        let target = origin(&values.api_url);
        let (ok, cause, message, hint, status) = match outcome {
            Ok(message) => (true, None, message, None, status),
            Err(failure) => (false, Some(failure.cause), failure.message, failure.hint, failure.status.or(status)),
        };
        if stages.is_empty() {
            // Asked over DNS, or it did not come to a request.
            let why = if engine.spec().dns { "asked over DNS" } else { "not reached" };
            stages = Stage::ALL.into_iter().map(|stage| skipped(stage, why)).collect();
        }
        // The way is there and the service says no: the last stage is where it ends.
        if let (false, Some(last)) = (ok, stages.last_mut())
            && last.status == StageStatus::Passed
        {
            last.status = StageStatus::Failed;
            last.detail = Some(message.clone());
        }
        Ok(IntegrationReport { ok, cause, message, hint, target, stages, status_code: status, egress_ip: None, route })
    }

    /// What an engine needs to work for an integration.
    pub(crate) fn engine_context(
        &self, company: CompanyId, id: Option<IntegrationId>, values: &IntegrationValues, secrets: OpenSecrets,
        timeout: Duration, trace: bool,
    ) -> Result<EngineContext, AppError> {
        let asker = Asker {
            company,
            consumer: Consumer {
                kind: "integration".into(),
                id: id.map(|id| id.to_string()).unwrap_or_default(),
                name: values.name.to_string(),
            },
            choice: self.choice(&values.proxy)?,
            ca_pem: values.ca_pem.clone(),
            // An analysis settles all its requests before it writes what they led to.
            recorded: if trace { Recorded::BeforeAnswer } else { Recorded::Soon },
        };
        let mut cx = EngineContext::new(self.door.clone(), asker, values.api_url.clone(), timeout, trace);
        cx.api_key = secrets.api_key;
        cx.api_password = secrets.api_password;
        cx.threshold = values.detection_threshold.unwrap_or_default();
        cx.options.clone_from(&values.options);
        Ok(cx)
    }

    fn spec_of(&self, form: &IntegrationForm) -> Result<&'static EngineSpec, AppError> {
        self.engine_spec(form.kind.trim()).ok_or_else(|| {
            let all: Vec<_> = self.engines.specs().map(|spec| spec.kind).collect();
            AppError::invalid("type", format!("Use one of {}.", all.join(", ")))
        })
    }

    pub(crate) fn choice(&self, choice: &ProxyChoice) -> Result<Choice, AppError> {
        match choice {
            ProxyChoice::Default => Ok(Choice::Default),
            ProxyChoice::None => Ok(Choice::None),
            ProxyChoice::Setting { id } => ProxyId::parse(id).map(Choice::Setting).ok_or_else(no_such_proxy),
        }
    }

    /// What only the server can check.
    fn check_integration(&self, values: IntegrationValues) -> Result<IntegrationValues, AppError> {
        if let Some(pem) = &values.ca_pem {
            self.door.check_ca(pem).map_err(|why| AppError::invalid("ca_pem", why))?;
        }
        self.vetted("api_url", &values.api_url.host)?;
        Ok(values)
    }

    fn seal_secret(
        &self, secret: &Secret, company: CompanyId, id: IntegrationId, which: IntegrationSecret, values: &IntegrationValues,
    ) -> Result<Sealed, AppError> {
        self.keys.seal(secret, &secret_binding(company, id, which, values)).map_err(key_error)
    }

    fn open_secret(
        &self, company: CompanyId, record: &IntegrationRecord, which: IntegrationSecret, sealed: &Sealed,
    ) -> Result<Secret, AppError> {
        self.keys.open(sealed, &secret_binding(company, record.id, which, &record.values)).map_err(key_error)
    }

    pub(crate) fn open_secrets(&self, company: CompanyId, record: &IntegrationRecord) -> Result<OpenSecrets, AppError> {
        let open = |which, sealed: &Option<Sealed>| match sealed {
            Some(sealed) => self.open_secret(company, record, which, sealed),
            None => Ok(Secret::default()),
        };
        Ok(OpenSecrets {
            api_key: open(IntegrationSecret::ApiKey, &record.api_key)?,
            api_password: open(IntegrationSecret::ApiPassword, &record.api_password)?,
        })
    }

    async fn one_view(&self, actor: &Actor, record: IntegrationRecord) -> Result<IntegrationView, AppError> {
        let names = self.proxy_names(actor.company, std::iter::once(&record.values.proxy)).await?;
        Ok(self.integration_view(record, &names))
    }

    /// What each of these choices means now.
    async fn proxy_names<'a>(
        &self, company: CompanyId, choices: impl Iterator<Item = &'a ProxyChoice>,
    ) -> Result<HashMap<String, String>, AppError> {
        let mut names = HashMap::new();
        for choice in choices {
            if names.contains_key(choice.to_field()) {
                continue;
            }
            let name = match choice {
                ProxyChoice::None => None,
                ProxyChoice::Default => self.proxies.default_proxy(company).await.map_err(store_error)?,
                ProxyChoice::Setting { id } => match ProxyId::parse(id) {
                    Some(id) => match self.proxies.proxy(company, id).await {
                        Err(StoreError::NotFound) => None,
                        other => Some(other.map_err(store_error)?),
                    },
                    None => None,
                },
            };
            if let Some(record) = name {
                names.insert(choice.to_field().to_string(), record.values.name.to_string());
            }
        }
        Ok(names)
    }

    fn integration_view(&self, record: IntegrationRecord, names: &HashMap<String, String>) -> IntegrationView {
        let spec = self.engine_spec(&record.values.kind);
        let IntegrationRecord { id, values, api_key, api_password, version, created_at, updated_at, last_test, health } = record;
        let health = if values.status == IntegrationStatus::Inactive { Some(Health::Inactive) } else { health };
        IntegrationView {
            id: id.to_string(),
            name: values.name.to_string(),
            type_name: spec.map_or_else(|| values.kind.clone(), |spec| spec.label.to_string()),
            warnings: warnings(spec, &values),
            kind: values.kind,
            description: values.description,
            api_url: values.api_url.to_string(),
            tags: values.tags,
            proxy_name: names.get(values.proxy.to_field()).cloned(),
            proxy: values.proxy,
            capabilities: values.capabilities,
            status: values.status,
            has_api_key: api_key.is_some(),
            has_api_password: api_password.is_some(),
            hide_url_parameters: values.hide_url_parameters,
            exclusions: values.exclusions,
            detection_threshold: values.detection_threshold,
            cache_hours: values.cache_hours,
            timeout_s: values.timeout_s,
            ca_pem: values.ca_pem.map(|pem| pem.as_str().to_string()),
            options: values.options,
            created_at,
            updated_at,
            version,
            last_test,
            health,
        }
    }
}

const ENTER_AGAIN: &str =
    "Enter it again: the stored one was entered for another scheme, host or port and is not sent elsewhere.";

fn no_such_proxy() -> AppError {
    AppError::invalid("proxy", "There is no such proxy setting. It may have been deleted.")
}

/// What the log says of an integration.
fn told(values: &IntegrationValues, has_api_key: bool, has_api_password: bool) -> serde_json::Map<String, serde_json::Value> {
    let shown = serde_json::json!({
        "name": values.name.as_str(),
        "type": values.kind,
        "description": values.description,
        // A service of one's own may have its key there.
        "api_url": origin(&values.api_url),
        "tags": values.tags,
        "proxy": values.proxy,
        "capabilities": values.capabilities,
        "status": values.status,
        "has_api_key": has_api_key,
        "has_api_password": has_api_password,
        "hide_url_parameters": values.hide_url_parameters,
        "exclusions": values.exclusions,
        "detection_threshold": values.detection_threshold,
        "cache_hours": values.cache_hours,
        "timeout_s": values.timeout_s,
        "ca_pem": values.ca_pem.as_ref().map(|pem| pem.as_str()),
        "options": values.options,
    });
    facts(&shown, &[])
}

fn write_error(error: StoreError, name: &IntegrationName) -> AppError {
    match error {
        StoreError::NameTaken => AppError::NameTaken(name.to_string()),
        StoreError::NotFound => no_such_proxy(),
        error => store_error(error),
    }
}

/// What an administrator should know about these settings.
fn warnings(spec: Option<&EngineSpec>, values: &IntegrationValues) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(spec) = spec else { return vec![format!("This program has no engine of the type {}.", values.kind)] };
    if !values.api_url.tls && !spec.dns {
        warnings.push("The address begins with http://: the key and everything that is asked travel unencrypted.".into());
    }
    if !spec.api_url.is_empty()
        && gatehouse_domain::TestTarget::parse(spec.api_url).is_ok_and(|own| origin(&own) != values.place())
    {
        warnings.push(format!(
            "The address is not {}'s own ({}): the key is sent to {}.",
            spec.label,
            spec.api_url,
            values.place()
        ));
    }
    if spec.dns && values.proxy != ProxyChoice::None {
        warnings.push(
            "The proxy is not used: questions to name servers can't go through one. Where traffic must take a proxy, use the type that asks over HTTP."
                .into(),
        );
    }
    warnings
}

/// How an integration is after a test, given the one before. A key or a quota that is the matter is no reason to call a
/// service down that answers.
pub(crate) fn health_after(before: Option<&IntegrationTest>, now: &IntegrationTest) -> Health {
    let answers = matches!(now.cause, Some(Cause::KeyRejected | Cause::QuotaExceeded));
    match (now.ok, before) {
        (true, _) => Health::Healthy,
        (false, Some(before)) if !before.ok && !answers => Health::Down,
        (false, _) => Health::Degraded,
    }
}

fn skipped(stage: Stage, why: &str) -> StageResult {
    StageResult { stage, status: StageStatus::Skipped, ms: None, detail: Some(why.into()) }
}

fn takes(query: &IntegrationQuery, view: &IntegrationView) -> bool {
    let words = query.q.to_lowercase();
    let by_words = words.is_empty() || {
        let tags = view.tags.join("\n");
        let text =
            [&view.name, &view.description, &view.type_name, &view.kind, &view.api_url, &tags].map(|s| s.as_str()).join("\n");
        let text = text.to_lowercase();
        words.split_whitespace().all(|word| text.contains(word))
    };
    by_words
        && query.kind.as_ref().is_none_or(|kind| view.kind == *kind)
        && query.status.is_none_or(|status| view.status == status)
        && query.tag.as_ref().is_none_or(|tag| view.tags.iter().any(|this| this.to_lowercase() == tag.to_lowercase()))
        && query.proxy.as_ref().is_none_or(|proxy| view.proxy == *proxy)
        && query
            .name
            .as_ref()
            .is_none_or(|name| gatehouse_domain::text::fold(name.trim()) == gatehouse_domain::text::fold(&view.name))
}

fn sort(views: &mut [IntegrationView], by: &str) {
    let (field, descending) = by.strip_prefix('-').map_or((by, false), |field| (field, true));
    views.sort_by(|a, b| {
        let by_name = || (gatehouse_domain::text::fold(&a.name), &a.id).cmp(&(gatehouse_domain::text::fold(&b.name), &b.id));
        let order = match field {
            "type" => a.type_name.cmp(&b.type_name).then_with(by_name),
            "status" => a.status.cmp(&b.status).then_with(by_name),
            "created_at" => (a.created_at, &a.id).cmp(&(b.created_at, &b.id)),
            _ => by_name(),
        };
        if descending { order.reverse() } else { order }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(ok: bool, cause: Option<Cause>) -> IntegrationTest {
        IntegrationTest { at: now(), ok, cause, message: String::new(), ms: 0, route: None }
    }

    #[test]
    fn one_failure_degrades_and_two_are_down() {
        let (good, refused) = (test(true, None), test(false, Some(Cause::ConnectionRefused)));
        let key = test(false, Some(Cause::KeyRejected));
        assert_eq!(health_after(None, &good), Health::Healthy);
        assert_eq!(health_after(Some(&good), &refused), Health::Degraded);
        assert_eq!(health_after(Some(&refused), &refused), Health::Down);
        assert_eq!(health_after(Some(&refused), &good), Health::Healthy);
        assert_eq!(health_after(Some(&key), &key), Health::Degraded, "it answers");
    }
}
