//! Coming in: set-up, sign-in, sessions, API tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use gatehouse_domain::{
    AppError, AuditActor, AuditVia, CompanyName, Email, FieldErrors, NewPassword, Operation, PersonName, Role, Secret,
    SessionView, Timestamp, TokenName, TokenView,
};
use sha2::{Digest as _, Sha256};

use crate::{
    CompanyId, PersonId, Platform, Sealed, TokenId,
    audit::{Audit, Origin, audited, command_line, facts},
    passwords,
    platform::{internal, key_error, now, store_error},
    ports::{Authenticated, PersonRecord, PersonWrite, StoreError, TokenRecord},
};

/// What an API token starts with, so that scanners for leaked secrets know it.
const TOKEN_PREFIX: &str = "gth_";
/// How long somebody may take to enter a one-time password after the password.
const CONTINUATION_SECONDS: i64 = 300;
/// How long the set-up link is good for.
const SETUP_LINK_HOURS: i64 = 24;
/// Uses of sessions and tokens are noted at most this often: a write for each request would be waste.
const TOUCH_SECONDS: i64 = 60;

/// Who acts, and for which company: the source of the company in every query.
#[derive(Debug, Clone, PartialEq)]
pub struct Actor {
    /// The company.
    pub company: CompanyId,
    /// The person.
    pub person: PersonId,
    /// What the person may do.
    pub role: Role,
    /// What a screen shows of the person.
    pub view: SessionView,
    /// Where they come from, for the audit log.
    pub origin: Origin,
}

impl Actor {
    /// Refuses those whose role does not allow it: the one place where that is decided. Every use case begins with it.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub fn may(&self, operation: Operation) -> Result<(), AppError> {
        if operation.is_for(self.role) { Ok(()) } else { Err(AppError::Forbidden) }
    }
}

/// How somebody shows who they are.
#[derive(Debug, Clone)]
pub enum Caller {
    /// The secret in the session cookie.
    Session(Secret),
    /// An API token.
    Token(Secret),
}

/// A session that was just made.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// For the cookie.
    pub secret: Secret,
    /// Who it is.
    pub view: SessionView,
}

/// What somebody who signs in gives first.
#[derive(Debug, Clone, Copy)]
pub enum FirstFactor<'a> {
    /// The password.
    Password(&'a Secret),
    /// What [`SignIn::CodeNeeded`] gave for it a moment ago.
    Continuation(&'a Secret),
}

/// How far somebody is who signs in.
#[derive(Debug, Clone)]
pub enum SignIn {
    /// All the way.
    Done(NewSession),
    /// The password was right; a one-time password is needed. This stands for the password meanwhile.
    CodeNeeded(Secret),
}

/// A token that was just made: the only time it can be seen.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The token.
    pub secret: Secret,
    /// What lists show of it.
    pub view: TokenView,
}

/// What the set-up page asks for.
#[derive(Debug, Clone, Default)]
pub struct SetUp {
    /// The company's name.
    pub company: String,
    /// The administrator's name.
    pub name: String,
    /// The administrator's e-mail address.
    pub email: String,
    /// The administrator's password.
    pub password: Secret,
}

impl SetUp {
    fn parse(&self) -> Result<(CompanyName, PersonName, Email, NewPassword), FieldErrors> {
        let mut errors = FieldErrors::new();
        let company = errors.check("company", CompanyName::parse(&self.company));
        let name = errors.check("name", PersonName::parse(&self.name));
        let email = errors.check("email", Email::parse(&self.email));
        let password = errors.check("password", NewPassword::parse(&self.password));
        match (company, name, email, password) {
            (Some(company), Some(name), Some(email), Some(password)) => Ok((company, name, email, password)),
            _ => Err(errors),
        }
    }
}

impl Platform {
    /// Whether there is no company yet: the set-up link is the only way in.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn needs_setup(&self) -> Result<bool, AppError> {
        self.access.is_empty().await.map_err(store_error)
    }

    /// A new set-up link's secret; an earlier one no longer works. Good for a day and one use.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn new_setup_link(&self) -> Result<Secret, AppError> {
        let secret = random_secret("")?;
        let expires_at = now() + TimeDelta::hours(SETUP_LINK_HOURS);
        self.access.put_setup_link(&hash(&secret), expires_at).await.map_err(store_error)?;
        Ok(secret)
    }

    /// Whether a set-up link still works.
    ///
    /// # Errors
    /// [`AppError::LinkExpired`].
    pub async fn check_setup_link(&self, link: &Secret) -> Result<(), AppError> {
        match self.access.is_setup_link(&hash(link), now()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(AppError::LinkExpired),
            Err(error) => Err(store_error(error)),
        }
    }

    /// Makes the company and its first administrator, who is then signed in.
    ///
    /// # Errors
    /// [`AppError::LinkExpired`], [`AppError::Invalid`].
    pub async fn set_up(&self, link: &Secret, input: &SetUp, origin: &Origin) -> Result<NewSession, AppError> {
        self.check_setup_link(link).await?;
        let (company_name, name, email, password) = input.parse()?;
        self.create_first(Some(&hash(link)), company_name, name, email, &password, origin).await?;
        self.session_for(&Email::parse(&input.email).map_err(internal)?, origin).await
    }

    /// Makes the first company and its owner without a link: for the operator's settings. Does nothing when there is a company.
    ///
    /// # Errors
    /// [`AppError::Invalid`].
    pub async fn ensure_first_administrator(&self, input: &SetUp) -> Result<bool, AppError> {
        if !self.needs_setup().await? {
            return Ok(false);
        }
        let (company_name, name, email, password) = input.parse()?;
        match self.create_first(None, company_name, name, email, &password, &Origin::command_line()).await {
            Ok(()) => Ok(true),
            // Another process was quicker.
            Err(AppError::LinkExpired) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn create_first(
        &self, link: Option<&str>, company: CompanyName, name: PersonName, email: Email, password: &NewPassword, origin: &Origin,
    ) -> Result<(), AppError> {
        let password_hash = passwords::hash(password).await.map_err(internal)?;
        let owner = PersonWrite { id: PersonId::new(), email, name, role: Role::Owner, password_hash };
        let id = CompanyId::new();
        let audit = Audit::new(id, command_line_or(&owner, origin), origin, Operation::SetUp)
            .to("company", id, &company)
            .after(facts(&serde_json::json!({ "name": company.as_str(), "owner": owner.email.as_str() }), &[]));
        let made = audited(audit, self.access.create_first_company(link, id, &company, &owner, now())).await;
        made.map_err(|error| match error {
            StoreError::NotFound => AppError::LinkExpired,
            error => store_error(error),
        })
    }

    /// Makes somebody who can sign in, for the command line. The company is made where there is none of that name; without a
    /// name it is the only one there is. A second company only in the cloud edition.
    ///
    /// # Errors
    /// [`AppError::Invalid`] naming the field.
    pub async fn create_person(
        &self, company: Option<&str>, name: Option<&str>, email: &str, password: &Secret, role: Role,
    ) -> Result<SessionView, AppError> {
        let mut errors = FieldErrors::new();
        let company = company.map(CompanyName::parse).transpose();
        let company = errors.check("company", company).flatten();
        let parsed_email = errors.check("email", Email::parse(email));
        let default_name = email.split('@').next().unwrap_or_default();
        let person_name = errors.check("name", PersonName::parse(name.unwrap_or(default_name)));
        let password = errors.check("password", NewPassword::parse(password));
        let (Some(email), Some(person_name), Some(password)) = (parsed_email, person_name, password) else {
            return Err(errors.into());
        };
        if !errors.is_empty() {
            return Err(errors.into());
        }
        let companies = self.access.companies().await.map_err(store_error)?;
        let existing = match &company {
            Some(wanted) => companies.iter().find(|(_, name)| name.key() == wanted.key()),
            None if companies.len() == 1 => companies.first(),
            None if companies.is_empty() => {
                return Err(AppError::invalid("company", "There is no company yet: say its name with --company."));
            }
            None => return Err(AppError::invalid("company", "There are several companies: say which with --company.")),
        };
        let (id, company_name) = match (existing, company) {
            (Some((id, name)), _) => (*id, name.clone()),
            (None, Some(name)) => {
                if companies.is_empty() {
                    // Whoever comes first owns the company, whatever role was asked for: somebody has to.
                    self.create_first(None, name, person_name, email.clone(), &password, &Origin::command_line()).await?;
                    return self.session_view_of(&email).await;
                }
                if !self.config.cloud {
                    let only = &companies[0].1;
                    return Err(AppError::invalid(
                        "company",
                        format!(
                            "This is the on-premise edition, which has one company ('{only}'). Leave --company out, or use the cloud edition."
                        ),
                    ));
                }
                let id = CompanyId::new();
                let audit =
                    Audit::new(id, command_line(), &Origin::command_line(), Operation::CreateCompany).to("company", id, &name);
                audited(audit, self.access.create_company(id, &name, now())).await.map_err(store_error)?;
                (id, name)
            }
            (None, None) => return Err(AppError::NotFound),
        };
        let password_hash = passwords::hash(&password).await.map_err(internal)?;
        let write = PersonWrite { id: PersonId::new(), email: email.clone(), name: person_name.clone(), role, password_hash };
        let audit = Audit::new(id, command_line(), &Origin::command_line(), Operation::CreatePerson)
            .to("person", write.id, &write.name)
            .after(facts(&serde_json::json!({ "email": email.as_str(), "role": role }), &[]));
        audited(audit, self.access.create_person(id, &write, now())).await.map_err(|error| match error {
            StoreError::NameTaken => AppError::invalid("email", "Somebody with this e-mail address exists already."),
            error => store_error(error),
        })?;
        Ok(SessionView {
            name: person_name.to_string(),
            email: email.to_string(),
            company: company_name.to_string(),
            role,
            expires_at: None,
        })
    }

    async fn session_view_of(&self, email: &Email) -> Result<SessionView, AppError> {
        let person = self.access.person_by_email(email).await.map_err(store_error)?.ok_or(AppError::NotFound)?;
        Ok(view(&person, None))
    }

    /// Signs somebody in. `address` is what attempts are counted by; `code` is a one-time password or a recovery code, for those who have
    /// turned that on.
    ///
    /// # Errors
    /// [`AppError::WrongCredentials`], [`AppError::TooManySignIns`], [`AppError::SecondFactorRequired`],
    /// [`AppError::SecondFactorWrong`], [`AppError::Suspended`].
    pub async fn sign_in(
        &self, email: &str, password: &Secret, code: Option<&str>, address: &str, origin: &Origin,
    ) -> Result<NewSession, AppError> {
        match self.begin_sign_in(email, &FirstFactor::Password(password), code, address, origin).await? {
            SignIn::Done(session) => Ok(session),
            SignIn::CodeNeeded(_) => Err(AppError::SecondFactorRequired),
        }
    }

    /// The same in two steps, for a form: who has one-time passwords turned on and gives none gets a [`SignIn::CodeNeeded`], whose secret is
    /// good in the place of the password for five minutes. It opens nothing without a one-time password.
    ///
    /// # Errors
    /// As [`Platform::sign_in`]; [`AppError::WrongCredentials`] too for what is no such secret any more.
    pub async fn begin_sign_in(
        &self, email: &str, first: &FirstFactor<'_>, code: Option<&str>, address: &str, origin: &Origin,
    ) -> Result<SignIn, AppError> {
        let parsed = Email::parse(email).ok();
        // What is counted is what was typed, in the form in which accounts are told apart.
        let account = parsed.as_ref().map_or_else(|| email.chars().take(Email::MAX).collect(), Email::key);
        let (limit, window) = (self.config.sign_in_limit, self.config.sign_in_window);
        let attempt = match self.access.begin_sign_in(&account, address, limit, window, now()).await.map_err(store_error)? {
            Ok(attempt) => attempt,
            Err(wait) => {
                tracing::warn!(address, "sign-in throttled");
                return Err(AppError::TooManySignIns(wait.as_secs().max(1)));
            }
        };
        let person = match &parsed {
            Some(email) => self.access.person_by_email(email).await.map_err(store_error)?,
            None => None,
        };
        let stored = person.as_ref().map(|p| p.password_hash.as_str());
        let is_right = match first {
            FirstFactor::Password(password) => passwords::verify(password, stored).await.map_err(internal)?,
            FirstFactor::Continuation(secret) => person.as_ref().is_some_and(|person| self.is_continuation(person, secret)),
        };
        let Some(person) = person else {
            tracing::info!(address, "sign-in failed");
            return Err(AppError::WrongCredentials);
        };
        let refused = if !is_right {
            Some(AppError::WrongCredentials)
        } else if person.is_suspended {
            // Told to those alone who know the password.
            Some(AppError::Suspended)
        } else {
            self.check_second_factor(&person, code).await.err()
        };
        if let Some(refused) = refused {
            tracing::info!(address, code = refused.code(), "sign-in failed");
            if refused == AppError::SecondFactorRequired {
                // The first half was right, and the second is not typed yet: that is no failed attempt.
                self.access.forget_sign_in(&attempt).await.map_err(store_error)?;
                return self.continuation(&person).map(SignIn::CodeNeeded);
            } else {
                let outcome = facts(&serde_json::json!({ "refused": refused.code() }), &[]);
                let audit = Audit::new(person.company, nobody(), origin, Operation::SignIn);
                self.note(audit.to("person", person.id, &person.name).after(outcome)).await?;
            }
            return Err(refused);
        }
        self.access.forget_sign_in(&attempt).await.map_err(store_error)?;
        tracing::info!(person = %person.id, "signed in");
        self.session_for(&person.email, origin).await.map(SignIn::Done)
    }

    /// Says that this person's password was right a moment ago.
    fn continuation(&self, person: &PersonRecord) -> Result<Secret, AppError> {
        let until = now().timestamp() + CONTINUATION_SECONDS;
        let text = Secret::new(format!("{until} {}", hash(&Secret::new(person.password_hash.as_str()))));
        let sealed = self.keys.seal(&text, &continuation_binding(person)).map_err(key_error)?;
        Ok(Secret::new(sealed.0))
    }

    /// Whether this was given to that person, is not too old, and the password is still the same.
    fn is_continuation(&self, person: &PersonRecord, secret: &Secret) -> bool {
        let sealed = Sealed(secret.expose().to_string());
        // Under a key that is no longer there, or not by us at all.
        let Ok(text) = self.keys.open(&sealed, &continuation_binding(person)) else { return false };
        let Some((until, of)) = text.expose().split_once(' ') else { return false };
        until.parse().is_ok_and(|until: i64| now().timestamp() < until) && of == hash(&Secret::new(person.password_hash.as_str()))
    }

    pub(crate) async fn session_for(&self, email: &Email, origin: &Origin) -> Result<NewSession, AppError> {
        let person = self.access.person_by_email(email).await.map_err(store_error)?.ok_or(AppError::WrongCredentials)?;
        let secret = random_secret("")?;
        let now = now();
        let expires_at = self.session_end(now);
        let hash = hash(&secret);
        let audit = Audit::new(person.company, who(&person), origin, Operation::SignIn).to("session", session_id(&hash), "");
        audited(audit, self.access.create_session(&hash, person.id, now, expires_at, origin)).await.map_err(store_error)?;
        if let Err(error) = self.access.sweep(now).await {
            tracing::warn!(%error, "expired sessions were not deleted");
        }
        Ok(NewSession { secret, view: view(&person, Some(expires_at)) })
    }

    fn session_end(&self, now: Timestamp) -> Timestamp {
        now + TimeDelta::from_std(self.config.session_idle).unwrap_or(TimeDelta::hours(12))
    }

    /// Who this is. `origin` is where they come from; how they came in is said by the caller.
    ///
    /// # Errors
    /// [`AppError::Unauthorized`], [`AppError::Suspended`].
    pub async fn authenticate(&self, caller: &Caller, origin: Origin) -> Result<Actor, AppError> {
        self.recognise(caller, origin, true).await
    }

    /// As [`Platform::authenticate`], for what a page asks by itself: that nobody uses a session any more still ends it.
    ///
    /// # Errors
    /// As [`Platform::authenticate`].
    pub async fn authenticate_unused(&self, caller: &Caller, origin: Origin) -> Result<Actor, AppError> {
        self.recognise(caller, origin, false).await
    }

    async fn recognise(&self, caller: &Caller, origin: Origin, is_used: bool) -> Result<Actor, AppError> {
        let now = now();
        let (found, hash, via) = match caller {
            Caller::Session(secret) => {
                let hash = hash(secret);
                (self.access.find_session(&hash, now).await, hash, AuditVia::Session)
            }
            Caller::Token(secret) => {
                let hash = hash(secret);
                (self.access.find_token(&hash).await, hash, AuditVia::Token)
            }
        };
        let Authenticated { person, mut expires_at, last_used_at } = found.map_err(store_error)?.ok_or(AppError::Unauthorized)?;
        if person.is_suspended {
            return Err(AppError::Suspended);
        }
        if is_used && last_used_at.is_none_or(|at| now - at >= TimeDelta::seconds(TOUCH_SECONDS)) {
            match caller {
                Caller::Session(_) => {
                    let end = self.session_end(now);
                    expires_at = Some(end);
                    self.access.touch_session(&hash, now, end).await
                }
                Caller::Token(_) => self.access.touch_token(&hash, now).await,
            }
            .map_err(store_error)?;
        }
        Ok(Actor {
            company: person.company,
            person: person.id,
            role: person.role,
            view: view(&person, expires_at),
            origin: Origin { via, ..origin },
        })
    }

    /// Ends a session. One that has ended is no error.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn sign_out(&self, session: &Secret, origin: &Origin) -> Result<(), AppError> {
        let hash = hash(session);
        let Some(found) = self.access.find_session(&hash, now()).await.map_err(store_error)? else { return Ok(()) };
        let audit = Audit::new(found.person.company, who(&found.person), origin, Operation::SignOut);
        let audit = audit.to("session", session_id(&hash), "");
        match audited(audit, self.access.delete_session(&hash)).await {
            // Somebody else ended it meanwhile.
            Err(StoreError::NotFound) => Ok(()),
            result => result.map_err(store_error),
        }
    }

    /// Makes an API token for this person.
    ///
    /// # Errors
    /// [`AppError::Invalid`].
    pub async fn create_token(&self, actor: &Actor, name: &str) -> Result<NewToken, AppError> {
        actor.may(Operation::CreateToken)?;
        let name = TokenName::parse(name).map_err(|why| AppError::invalid("name", why))?;
        let audit = |id| actor.did(Operation::CreateToken).to("token", id, &name);
        self.make_token(actor.company, actor.person, &name, audit).await
    }

    /// Makes an API token for somebody, for the command line.
    ///
    /// # Errors
    /// [`AppError::Invalid`] when there is nobody with this e-mail address.
    pub async fn create_token_for(&self, email: &str, name: &str) -> Result<NewToken, AppError> {
        let email = Email::parse(email).map_err(|why| AppError::invalid("email", why))?;
        let person = self.access.person_by_email(&email).await.map_err(store_error)?;
        let person = person.ok_or_else(|| AppError::invalid("email", "There is nobody with this e-mail address."))?;
        let name = TokenName::parse(name).map_err(|why| AppError::invalid("name", why))?;
        let audit = |id| {
            Audit::new(person.company, command_line(), &Origin::command_line(), Operation::CreateToken)
                .to("token", id, &name)
                .after(facts(&serde_json::json!({ "of": person.email.as_str() }), &[]))
        };
        self.make_token(person.company, person.id, &name, audit).await
    }

    async fn make_token(
        &self, company: CompanyId, person: PersonId, name: &TokenName, audit: impl FnOnce(TokenId) -> Audit,
    ) -> Result<NewToken, AppError> {
        let secret = random_secret(TOKEN_PREFIX)?;
        let ends_with = secret.expose()[secret.expose().len() - 4..].to_string();
        let record = TokenRecord { id: TokenId::new(), name: name.clone(), ends_with, created_at: now(), last_used_at: None };
        let audit = audit(record.id);
        audited(audit, self.access.create_token(company, person, &hash(&secret), &record)).await.map_err(store_error)?;
        Ok(NewToken { secret, view: token_view(record) })
    }

    /// This person's API tokens, newest first.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn tokens(&self, actor: &Actor) -> Result<Vec<TokenView>, AppError> {
        actor.may(Operation::ListTokens)?;
        let tokens = self.access.tokens(actor.company, actor.person).await.map_err(store_error)?;
        Ok(tokens.into_iter().map(token_view).collect())
    }

    /// Deletes an API token of this person; it stops working at once.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn delete_token(&self, actor: &Actor, id: &str) -> Result<(), AppError> {
        actor.may(Operation::DeleteToken)?;
        let id = TokenId::parse(id).ok_or(AppError::NotFound)?;
        let tokens = self.access.tokens(actor.company, actor.person).await.map_err(store_error)?;
        let token = tokens.into_iter().find(|token| token.id == id).ok_or(AppError::NotFound)?;
        let audit = actor.did(Operation::DeleteToken).to("token", id, &token.name);
        audited(audit, self.access.delete_token(actor.company, actor.person, id)).await.map_err(store_error)
    }
}

/// What a continuation is sealed for: this person's, and nothing else that is sealed.
fn continuation_binding(person: &PersonRecord) -> String {
    format!("sign-in/{}/{}", person.company, person.id)
}

/// Somebody, as the audit log names them.
pub(crate) fn who(person: &PersonRecord) -> AuditActor {
    AuditActor {
        id: Some(person.id.to_string()),
        name: person.name.to_string(),
        email: person.email.to_string(),
        role: Some(person.role),
    }
}

/// Nobody knows who: an attempt to sign in that failed.
fn nobody() -> AuditActor {
    AuditActor { id: None, name: "Somebody".into(), email: String::new(), role: None }
}

fn command_line_or(owner: &PersonWrite, origin: &Origin) -> AuditActor {
    match origin.via {
        AuditVia::CommandLine => command_line(),
        _ => AuditActor {
            id: Some(owner.id.to_string()),
            name: owner.name.to_string(),
            email: owner.email.to_string(),
            role: Some(owner.role),
        },
    }
}

/// What a session is called outside: made from what it is found by, and not the other way.
pub(crate) fn session_id(hash: &str) -> String {
    Sha256::digest(format!("session {hash}")).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn view(person: &PersonRecord, expires_at: Option<Timestamp>) -> SessionView {
    SessionView {
        name: person.name.to_string(),
        email: person.email.to_string(),
        company: person.company_name.to_string(),
        role: person.role,
        expires_at,
    }
}

fn token_view(record: TokenRecord) -> TokenView {
    TokenView {
        id: record.id.to_string(),
        name: record.name.to_string(),
        ends_with: record.ends_with,
        created_at: record.created_at,
        last_used_at: record.last_used_at,
    }
}

/// 256 random bits.
pub(crate) fn random_secret(prefix: &str) -> Result<Secret, AppError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(internal)?;
    Ok(Secret::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
}

/// What is stored of a random secret. It can't be guessed, so a quick hash does.
pub(crate) fn hash(secret: &Secret) -> String {
    Sha256::digest(secret.expose().as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}
