//! One's own account: sessions, password, one-time passwords.

use gatehouse_domain::{AppError, NewPassword, Operation, OwnSessionView, SecondFactorView, Secret};
use totp_rs::{Algorithm, TOTP};

use crate::{
    Actor, CompanyId, PersonId, Platform, Sealed,
    access::{hash, random_secret, session_id},
    audit::{audited, facts},
    passwords,
    platform::{internal, key_error, now, store_error},
    ports::{PersonRecord, SecondFactor, StoreError},
};

/// What a one-time password is made of (RFC 6238): what authenticator apps take without being told.
const DIGITS: usize = 6;
/// How long one is good for, in seconds.
const STEP: u64 = 30;
/// Bytes of the secret (RFC 4226, 4: at least 16, better 20).
const SECRET_BYTES: usize = 20;
/// Recovery codes that are given out at a time.
const RECOVERY_CODES: usize = 10;

/// What is shown once, for the authenticator app.
#[derive(Debug, Clone)]
pub struct NewSecondFactor {
    /// In base32, to be typed.
    pub secret: Secret,
    /// `otpauth://totp/…`, to be scanned.
    pub uri: Secret,
}

/// What the one-time passwords' secret of somebody is sealed with.
#[must_use]
pub fn second_factor_binding(company: CompanyId, person: PersonId) -> String {
    format!("person/{company}/{person}/totp")
}

impl Platform {
    /// One's own sessions, the last used first. `current` is the one that asks, if it is one.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn own_sessions(&self, actor: &Actor, current: Option<&Secret>) -> Result<Vec<OwnSessionView>, AppError> {
        actor.may(Operation::ListSessions)?;
        let current = current.map(hash);
        let sessions = self.access.sessions(actor.person, now()).await.map_err(store_error)?;
        let view = |session: crate::ports::SessionRecord| OwnSessionView {
            id: session_id(&session.hash),
            is_current: current.as_ref() == Some(&session.hash),
            address: session.address,
            agent: session.agent,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
        };
        Ok(sessions.into_iter().map(view).collect())
    }

    /// Ends one of one's own sessions, at once.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn end_session(&self, actor: &Actor, id: &str) -> Result<(), AppError> {
        actor.may(Operation::EndSession)?;
        let sessions = self.access.sessions(actor.person, now()).await.map_err(store_error)?;
        let session = sessions.into_iter().find(|session| session_id(&session.hash) == id).ok_or(AppError::NotFound)?;
        let audit = actor.did(Operation::EndSession).to("session", id, &session.address);
        audited(audit, self.access.delete_session(&session.hash)).await.map_err(store_error)
    }

    /// Ends all of one's own sessions but the one that asks.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn end_other_sessions(&self, actor: &Actor, current: Option<&Secret>) -> Result<(), AppError> {
        actor.may(Operation::EndOtherSessions)?;
        let keep = current.map(hash).unwrap_or_default();
        let audit = actor.did(Operation::EndOtherSessions).to("person", actor.person, &actor.view.name);
        audited(audit, self.access.delete_other_sessions(actor.person, &keep)).await.map_err(store_error)
    }

    /// Changes one's own password and ends one's other sessions.
    ///
    /// # Errors
    /// [`AppError::Invalid`] naming the field, [`AppError::TooManySignIns`].
    pub async fn change_password(
        &self, actor: &Actor, current: &Secret, new: &Secret, session: Option<&Secret>, address: &str,
    ) -> Result<(), AppError> {
        actor.may(Operation::ChangePassword)?;
        let new = NewPassword::parse(new).map_err(|why| AppError::invalid("new_password", why))?;
        let person = self.require_password(actor, "current_password", current, address).await?;
        let new = passwords::hash(&new).await.map_err(internal)?;
        let audit = actor.did(Operation::ChangePassword).to("person", actor.person, &actor.view.name);
        let keep = session.map(hash);
        let change = self.access.set_password(actor.person, &person.password_hash, &new, keep.as_deref());
        match audited(audit, change).await {
            Err(StoreError::NotFound) => Err(AppError::invalid("current_password", NOT_RIGHT)),
            result => result.map_err(store_error),
        }
    }

    /// Whether one-time passwords are asked for.
    ///
    /// # Errors
    /// [`AppError::Unavailable`].
    pub async fn second_factor(&self, actor: &Actor) -> Result<SecondFactorView, AppError> {
        actor.may(Operation::GetSecondFactor)?;
        let SecondFactor { secret, recovery, .. } = self.oneself(actor).await?.second_factor;
        Ok(SecondFactorView { is_on: secret.is_some(), recovery_codes_left: u32::try_from(recovery.len()).unwrap_or(u32::MAX) })
    }

    /// Makes a secret for an authenticator app. Nothing is asked for until it is confirmed; who begins again gets another one.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for the password; [`AppError::Invalid`] naming `code` when they are on already.
    pub async fn begin_second_factor(
        &self, actor: &Actor, password: &Secret, address: &str,
    ) -> Result<NewSecondFactor, AppError> {
        actor.may(Operation::BeginSecondFactor)?;
        let person = self.require_password(actor, "password", password, address).await?;
        if person.second_factor.secret.is_some() {
            return Err(AppError::invalid("code", "One-time passwords are on already. Turn them off first."));
        }
        let mut bytes = [0u8; SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(internal)?;
        let base32 = Secret::new(totp(&bytes).get_secret_base32());
        let binding = second_factor_binding(actor.company, actor.person);
        let pending = Some(self.keys.seal(&base32, &binding).map_err(key_error)?);
        let new = SecondFactor { pending, ..person.second_factor.clone() };
        let audit = actor.did(Operation::BeginSecondFactor).to("person", actor.person, &actor.view.name);
        let set = self.access.set_second_factor(actor.person, &person.second_factor, &new);
        audited(audit, set).await.map_err(store_error)?;
        let label = encode(&format!("Gatehouse:{}", actor.view.email));
        let uri = format!(
            "otpauth://totp/{label}?secret={}&issuer=Gatehouse&algorithm=SHA1&digits={DIGITS}&period={STEP}",
            base32.expose()
        );
        Ok(NewSecondFactor { secret: base32, uri: Secret::new(uri) })
    }

    /// Turns one-time passwords on, with the first of them. Answers the recovery codes, which are not shown again.
    ///
    /// # Errors
    /// [`AppError::Invalid`] naming `code`.
    pub async fn confirm_second_factor(&self, actor: &Actor, code: &str) -> Result<Vec<Secret>, AppError> {
        actor.may(Operation::ConfirmSecondFactor)?;
        let before = self.oneself(actor).await?.second_factor;
        let Some(pending) = &before.pending else {
            return Err(AppError::invalid("code", "Begin anew: there is no secret that waits for its first one-time password."));
        };
        let step = self.step_of(actor.company, actor.person, pending, code)?;
        let Some(step) = step else {
            return Err(AppError::invalid(
                "code",
                "This is not what the app shows now. Look whether the clock of your telephone is right, and enter the next one.",
            ));
        };
        let mut codes = Vec::with_capacity(RECOVERY_CODES);
        for _ in 0..RECOVERY_CODES {
            // 60 bits: not to be guessed at ten attempts a minute, and short enough to be written down.
            let code = random_secret("")?.expose().to_lowercase();
            let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
            codes.push(Secret::new(format!("{}-{}-{}", &code[..4], &code[4..8], &code[8..])));
        }
        let new = SecondFactor {
            secret: before.pending.clone(),
            pending: None,
            step,
            recovery: codes.iter().map(recovery_hash).collect(),
        };
        let audit = actor.did(Operation::ConfirmSecondFactor).to("person", actor.person, &actor.view.name);
        let audit = audit.before(on(false)).after(on(true));
        match audited(audit, self.access.set_second_factor(actor.person, &before, &new)).await {
            Err(StoreError::Changed(_)) => {
                Err(AppError::invalid("code", "Somebody else does this at the same time. Begin anew."))
            }
            result => result.map(|()| codes).map_err(store_error),
        }
    }

    /// Turns one-time passwords off.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for the password.
    pub async fn remove_second_factor(&self, actor: &Actor, password: &Secret, address: &str) -> Result<(), AppError> {
        actor.may(Operation::RemoveSecondFactor)?;
        let before = self.require_password(actor, "password", password, address).await?.second_factor;
        let audit = actor.did(Operation::RemoveSecondFactor).to("person", actor.person, &actor.view.name);
        let audit = audit.before(on(before.secret.is_some())).after(on(false));
        let new = SecondFactor { step: before.step, ..SecondFactor::default() };
        audited(audit, self.access.set_second_factor(actor.person, &before, &new)).await.map_err(store_error)
    }

    /// Whether `code` is right for somebody whose password was. A one-time password is taken once, and a recovery code too.
    pub(crate) async fn check_second_factor(&self, person: &PersonRecord, code: Option<&str>) -> Result<(), AppError> {
        let before = &person.second_factor;
        let Some(sealed) = &before.secret else { return Ok(()) };
        let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else {
            return Err(AppError::SecondFactorRequired);
        };
        let mut new = before.clone();
        if let Some(step) = self.step_of(person.company, person.id, sealed, code)? {
            if step <= before.step {
                return Err(AppError::SecondFactorWrong);
            }
            new.step = step;
        } else {
            let hashed = recovery_hash(&Secret::new(code.to_lowercase()));
            new.recovery.retain(|left| *left != hashed);
            if new.recovery.len() == before.recovery.len() {
                return Err(AppError::SecondFactorWrong);
            }
        }
        match self.access.set_second_factor(person.id, before, &new).await {
            // Somebody used it a moment ago, or it was turned off and on again.
            Err(StoreError::Changed(_)) => Err(AppError::SecondFactorWrong),
            result => result.map_err(store_error),
        }
    }

    /// Which step's one-time password this is: the one of now, or, for clocks that are not quite right, the one before or after.
    fn step_of(&self, company: CompanyId, person: PersonId, sealed: &Sealed, code: &str) -> Result<Option<u64>, AppError> {
        let base32 = self.keys.open(sealed, &second_factor_binding(company, person)).map_err(key_error)?;
        let bytes =
            totp_rs::Secret::Encoded(base32.expose().to_string()).to_bytes().map_err(|error| internal(format!("{error:?}")))?;
        let totp = totp(&bytes);
        let typed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let step = u64::try_from(now().timestamp()).unwrap_or_default() / STEP;
        let is = |step: &u64| {
            use subtle::ConstantTimeEq as _;
            bool::from(totp.generate(step * STEP).as_bytes().ct_eq(typed.as_bytes()))
        };
        Ok([step, step.saturating_sub(1), step + 1].into_iter().find(is))
    }

    async fn oneself(&self, actor: &Actor) -> Result<PersonRecord, AppError> {
        let people = self.access.people(actor.company).await.map_err(store_error)?;
        people.into_iter().find(|person| person.id == actor.person).ok_or(AppError::Unauthorized)
    }

    /// Asks for one's password again, before something that a borrowed session must not do. Counted as attempts to sign in are.
    async fn require_password(
        &self, actor: &Actor, field: &str, password: &Secret, address: &str,
    ) -> Result<PersonRecord, AppError> {
        let person = self.oneself(actor).await?;
        let (limit, window) = (self.config.sign_in_limit, self.config.sign_in_window);
        let counted = self.access.begin_sign_in(&person.email.key(), address, limit, window, now()).await.map_err(store_error)?;
        let attempt = counted.map_err(|wait| AppError::TooManySignIns(wait.as_secs().max(1)))?;
        if !passwords::verify(password, Some(&person.password_hash)).await.map_err(internal)? {
            return Err(AppError::invalid(field, NOT_RIGHT));
        }
        self.access.forget_sign_in(&attempt).await.map_err(store_error)?;
        Ok(person)
    }
}

const NOT_RIGHT: &str = "This is not your password.";

fn on(is_on: bool) -> serde_json::Map<String, serde_json::Value> {
    facts(&serde_json::json!({ "has_second_factor": is_on }), &[])
}

fn totp(secret: &[u8]) -> TOTP {
    TOTP::new_unchecked(Algorithm::SHA1, DIGITS, 1, STEP, secret.to_vec())
}

/// What is stored of a recovery code; dashes and case mean nothing.
fn recovery_hash(code: &Secret) -> String {
    let plain: String = code.expose().to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    hash(&Secret::new(plain))
}

/// Percent-encodes a part of a path (RFC 3986, 2.1).
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the last six digits of the values for SHA-1.
    #[test]
    fn one_time_passwords_are_those_of_the_rfc() {
        let totp = totp(b"12345678901234567890");
        for (at, expected) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")] {
            assert_eq!(totp.generate(at), expected);
        }
    }

    #[test]
    fn recovery_codes_are_taken_however_they_are_written() {
        let code = Secret::new("ab12-cd34-ef56");
        for typed in ["AB12CD34EF56", " ab12 cd34 ef56 ", "ab12-CD34-ef56"] {
            assert_eq!(recovery_hash(&Secret::new(typed)), recovery_hash(&code), "{typed}");
        }
        assert_ne!(recovery_hash(&Secret::new("ab12-cd34-ef57")), recovery_hash(&code));
    }
}
