//! What a company's gateways go by: the policy, and who can sign in. Stored here, checked by the gateway's own code behind [`PolicyJudge`].

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gatehouse_domain::{
    AppError, ExplanationView, GatewayPeopleQuery, GatewayPersonForm, GatewayPersonView, GatewayPolicyView, GatewayUserName,
    Operation, Page, PolicyCheckView, PolicyProblem, PolicyQuestion, ProxyName,
    gateway::{in_lines, without_hashes},
    text::fold,
};
use tokio::sync::Semaphore;

use crate::{
    Actor, GatewayPersonId, Platform,
    audit::{Audit, audited, facts},
    passwords,
    platform::{internal, now, store_error},
    ports::{GatewayPersonRecord, GatewayPolicyWrite, GatewayRecord, GatewayUse, ProxyRecord, StoreError},
};

/// How often a change is tried again when somebody else changed something meanwhile that does not matter to the caller.
const ATTEMPTS: usize = 20;

/// How many people a company's gateways may know. Each change of one of them makes a policy of all.
const MAX_PEOPLE: usize = 10_000;

/// A policy may name lists of a million names: so many are read at a time, whatever is asked.
static PLACES: Semaphore = Semaphore::const_new(2);

/// A policy and the people who stand beside it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyDraft {
    /// In TOML.
    pub text: String,
    /// Who can sign in.
    pub people: Vec<GatewayPersonRecord>,
    /// The proxy settings that it may name. Their passwords are not looked at.
    pub proxies: Vec<ProxyRecord>,
}

/// What was found out about a policy that is right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// What it consists of, in words.
    pub summary: String,
    /// Its ways out that lead through proxy settings: the name of the egress, and that of the setting.
    pub settings: Vec<(String, ProxyName)>,
}

/// Judges policies. The gateway's own code does; this crate does not know it. Both may take seconds and are called where that does
/// no harm.
pub trait PolicyJudge: Send + Sync {
    /// What it consists of.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    fn check(&self, draft: &PolicyDraft) -> Result<Judged, Vec<PolicyProblem>>;

    /// What it says about a request, and why.
    ///
    /// # Errors
    /// [`AppError::Invalid`]: the field of the question that is wrong, or `text`.
    fn explain(&self, draft: &PolicyDraft, question: &PolicyQuestion) -> Result<ExplanationView, AppError>;
}

impl Platform {
    /// The company's policy; an empty one of version 0 where there is none yet. Whoever may not change it sees no hashes.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn gateway_policy(&self, actor: &Actor) -> Result<GatewayPolicyView, AppError> {
        actor.may(Operation::GetGatewayPolicy)?;
        let mut view = self.gateway.gateway(actor.company).await.map(view).map_err(store_error)?;
        if actor.may(Operation::ReplaceGatewayPolicy).is_err() {
            view.text = without_hashes(&view.text);
        }
        Ok(view)
    }

    /// Replaces it. The company's gateways have it in force within a second.
    ///
    /// # Errors
    /// [`AppError::Invalid`] with what is wrong in `text`, line by line; [`AppError::Changed`] when it has another version by now.
    pub async fn set_gateway_policy(
        &self, actor: &Actor, version: Option<u64>, text: &str,
    ) -> Result<GatewayPolicyView, AppError> {
        actor.may(Operation::ReplaceGatewayPolicy)?;
        for _ in 0..ATTEMPTS {
            let current = self.gateway.gateway(actor.company).await.map_err(store_error)?;
            if version.is_some_and(|version| version != current.version) {
                return Err(AppError::Changed(current.version));
            }
            let known: Vec<_> = current.proxies.iter().map(|proxy| (proxy.values.name.key(), proxy.id)).collect();
            let told = |text: &str| facts(&serde_json::json!({ "text": without_hashes(text) }), &[]);
            let audit = actor.did(Operation::ReplaceGatewayPolicy).to("gateway_policy", actor.company, "Policy");
            let audit = audit.changed(&told(current.text.as_deref().unwrap_or_default()), &told(text));
            let draft = PolicyDraft { text: text.to_string(), people: current.people, proxies: current.proxies };
            let judged = self.judged(draft).await?.map_err(|problems| AppError::invalid("text", in_lines(&problems)))?;
            let uses = judged.settings.into_iter().filter_map(|(egress, setting)| {
                let (name_key, proxy) = known.iter().find(|(key, _)| *key == setting.key())?;
                Some(GatewayUse { egress, proxy: *proxy, name_key: name_key.clone() })
            });
            let write = GatewayPolicyWrite { text, by: &actor.view.name, uses: uses.collect() };
            match audited(audit, self.gateway.put_gateway_policy(actor.company, current.revision, &write, now())).await {
                // Somebody changed something that it was judged with: it is judged again.
                Err(StoreError::Changed(_) | StoreError::Gone) => {}
                result => return result.map(view).map_err(store_error),
            }
        }
        Err(AppError::Unavailable)
    }

    /// What is wrong with a policy, or what it consists of. Nothing is stored.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub async fn check_gateway_policy(&self, actor: &Actor, text: &str) -> Result<PolicyCheckView, AppError> {
        actor.may(Operation::CheckGatewayPolicy)?;
        let GatewayRecord { people, proxies, .. } = self.gateway.gateway(actor.company).await.map_err(store_error)?;
        let draft = PolicyDraft { text: text.to_string(), people, proxies };
        Ok(match self.judged(draft).await? {
            Ok(judged) => PolicyCheckView { ok: true, summary: Some(judged.summary), problems: Vec::new() },
            Err(problems) => PolicyCheckView { ok: false, summary: None, problems },
        })
    }

    /// What the stored policy, or another one, says about a request, and why.
    ///
    /// # Errors
    /// [`AppError::Invalid`]; [`AppError::Forbidden`] for another one than the stored one.
    pub async fn explain_gateway_policy(&self, actor: &Actor, question: PolicyQuestion) -> Result<ExplanationView, AppError> {
        actor.may(Operation::ExplainGatewayPolicy)?;
        let stored = self.gateway.gateway(actor.company).await.map_err(store_error)?;
        let text = match &question.text {
            Some(text) => {
                actor.may(Operation::CheckGatewayPolicy)?;
                text.clone()
            }
            None => stored.text.unwrap_or_default(),
        };
        let draft = PolicyDraft { text, people: stored.people, proxies: stored.proxies };
        self.beside(move |judge| judge.explain(&draft, &question)).await?
    }

    /// One page of those who can sign in at the company's gateways, by name.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for a wrong cursor.
    pub async fn gateway_people(&self, actor: &Actor, query: &GatewayPeopleQuery) -> Result<Page<GatewayPersonView>, AppError> {
        actor.may(Operation::ListGatewayPeople)?;
        let after = match &query.cursor {
            None => None,
            Some(cursor) => {
                let key = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                Some(key.ok_or_else(|| store_error(StoreError::BadCursor))?)
            }
        };
        let words = fold(&query.q);
        let mut people = self.gateway.gateway(actor.company).await.map_err(store_error)?.people;
        // Compared as text, here and with the cursor: the database's order is not asked for.
        people.sort_by_cached_key(|person| person.name.key());
        if query.descending {
            people.reverse();
        }
        let is_behind = |key: &str| match &after {
            None => true,
            Some(after) if query.descending => key < after.as_str(),
            Some(after) => key > after.as_str(),
        };
        let is_asked_for = |person: &GatewayPersonRecord| {
            let text = fold(&format!("{} {}", person.name, person.groups.join(" ")));
            words.split_whitespace().all(|word| text.contains(word))
        };
        let mut found = people.into_iter().filter(|person| is_behind(&person.name.key()) && is_asked_for(person));
        let items: Vec<_> = found.by_ref().take(query.limit.into()).collect();
        let more = found.next().is_some();
        let next = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(last.name.key()));
        Ok(Page { items: items.into_iter().map(person_view).collect(), next })
    }

    /// Somebody who can sign in at the company's gateways.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn gateway_person(&self, actor: &Actor, id: &str) -> Result<GatewayPersonView, AppError> {
        actor.may(Operation::GetGatewayPerson)?;
        let id = GatewayPersonId::parse(id).ok_or(AppError::NotFound)?;
        let people = self.gateway.gateway(actor.company).await.map_err(store_error)?.people;
        people.into_iter().find(|person| person.id == id).map(person_view).ok_or(AppError::NotFound)
    }

    /// Makes somebody who can sign in.
    ///
    /// # Errors
    /// [`AppError::Invalid`], [`AppError::NameTaken`].
    pub async fn create_gateway_person(&self, actor: &Actor, form: &GatewayPersonForm) -> Result<GatewayPersonView, AppError> {
        actor.may(Operation::CreateGatewayPerson)?;
        let values = form.parse(false)?;
        let password = values.password.as_ref().ok_or(AppError::NotFound)?;
        let now = now();
        let made = GatewayPersonRecord {
            id: GatewayPersonId::new(),
            name: values.name,
            password_hash: passwords::hash(password).await.map_err(internal)?,
            groups: values.groups,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        self.change_people(actor, |people| {
            if people.len() >= MAX_PEOPLE {
                return Err(store_error(StoreError::Full(MAX_PEOPLE)));
            }
            people.push(made.clone());
            Ok(Change::Put(made.clone()))
        })
        .await?;
        Ok(person_view(made))
    }

    /// Replaces somebody: a password that is left out stays.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::Invalid`] (also when the policy can't be used any more then), [`AppError::NameTaken`],
    /// [`AppError::Changed`].
    pub async fn replace_gateway_person(
        &self, actor: &Actor, id: &str, version: Option<u64>, form: &GatewayPersonForm,
    ) -> Result<GatewayPersonView, AppError> {
        actor.may(Operation::ReplaceGatewayPerson)?;
        let id = GatewayPersonId::parse(id).ok_or(AppError::NotFound)?;
        let values = form.parse(true)?;
        let hash = match &values.password {
            Some(password) => Some(passwords::hash(password).await.map_err(internal)?),
            None => None,
        };
        let change = self
            .change_people(actor, |people| {
                let person = one(people, id, version)?;
                person.name = values.name.clone();
                person.groups.clone_from(&values.groups);
                if let Some(hash) = &hash {
                    person.password_hash.clone_from(hash);
                }
                person.version += 1;
                person.updated_at = now();
                Ok(Change::Put(person.clone()))
            })
            .await?;
        match change {
            Change::Put(person) => Ok(person_view(person)),
            Change::Delete(_) => Err(AppError::NotFound),
        }
    }

    /// Deletes somebody: the gateways let them in no more, within a second.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::Changed`]; [`AppError::Invalid`] when the policy names them and can't be used without.
    pub async fn delete_gateway_person(&self, actor: &Actor, id: &str, version: Option<u64>) -> Result<(), AppError> {
        actor.may(Operation::DeleteGatewayPerson)?;
        let id = GatewayPersonId::parse(id).ok_or(AppError::NotFound)?;
        let change = self.change_people(actor, |people| {
            one(people, id, version)?;
            people.retain(|person| person.id != id);
            Ok(Change::Delete(id))
        });
        change.await.map(drop)
    }

    /// Changes the people in a way that leaves the policy as good as it was: one that names somebody who is not there any more would not
    /// come into force, and with it nothing that comes later.
    async fn change_people(
        &self, actor: &Actor, mut change: impl FnMut(&mut Vec<GatewayPersonRecord>) -> Result<Change, AppError> + Send,
    ) -> Result<Change, AppError> {
        for _ in 0..ATTEMPTS {
            let current = self.gateway.gateway(actor.company).await.map_err(store_error)?;
            let mut people = current.people.clone();
            let before = current.people.clone();
            let change = change(&mut people)?;
            let text = current.text.unwrap_or_default();
            let draft = |text: String, people| PolicyDraft { text, people, proxies: current.proxies.clone() };
            if let Err(problems) = self.judged(draft(text.clone(), people)).await?
                && self.judged(draft(text, current.people)).await?.is_ok()
            {
                let message = format!("The policy can't be used then. Change it first.\n{}", in_lines(&problems));
                return Err(AppError::invalid("name", message));
            }
            let audit = change.audit(actor, &before);
            let done = match &change {
                Change::Put(person) => {
                    audited(audit, self.gateway.put_gateway_person(actor.company, current.revision, person)).await
                }
                Change::Delete(id) => {
                    audited(audit, self.gateway.delete_gateway_person(actor.company, current.revision, *id)).await
                }
            };
            match (done, &change) {
                (Err(StoreError::Changed(_)), _) => {}
                (Err(StoreError::NameTaken), Change::Put(person)) => return Err(AppError::NameTaken(person.name.to_string())),
                (result, _) => return result.map(|()| change).map_err(store_error),
            }
        }
        Err(AppError::Unavailable)
    }

    async fn judged(&self, draft: PolicyDraft) -> Result<Result<Judged, Vec<PolicyProblem>>, AppError> {
        self.beside(move |judge| judge.check(&draft)).await
    }

    /// Does something with the judge where it may take its time.
    async fn beside<T: Send + 'static>(&self, work: impl FnOnce(&dyn PolicyJudge) -> T + Send + 'static) -> Result<T, AppError> {
        let place = PLACES.acquire().await.map_err(internal)?;
        let judge = Arc::clone(&self.judge);
        tokio::task::spawn_blocking(move || {
            // Until it is done, also when nobody waits for it any more.
            let _place = place;
            work(judge.as_ref())
        })
        .await
        .map_err(internal)
    }
}

/// What is done to the people.
enum Change {
    Put(GatewayPersonRecord),
    Delete(GatewayPersonId),
}

impl Change {
    /// What the log says of it.
    fn audit(&self, actor: &Actor, people: &[GatewayPersonRecord]) -> Audit {
        let told =
            |person: &GatewayPersonRecord| facts(&person_view(person.clone()), &["id", "version", "created_at", "updated_at"]);
        let id = match self {
            Self::Put(person) => person.id,
            Self::Delete(id) => *id,
        };
        let before = people.iter().find(|person| person.id == id);
        let to = |operation, name: &GatewayUserName| actor.did(operation).to("gateway_person", id, name);
        match (self, before) {
            (Self::Put(person), None) => to(Operation::CreateGatewayPerson, &person.name).after(told(person)),
            (Self::Put(person), Some(before)) => {
                let mut after = told(person);
                if person.password_hash != before.password_hash {
                    after.insert("password".into(), "set anew".into());
                }
                to(Operation::ReplaceGatewayPerson, &person.name).changed(&told(before), &after)
            }
            (Self::Delete(_), Some(before)) => to(Operation::DeleteGatewayPerson, &before.name).before(told(before)),
            (Self::Delete(_), None) => actor.did(Operation::DeleteGatewayPerson),
        }
    }
}

/// Somebody among them, of this version.
fn one(
    people: &mut [GatewayPersonRecord], id: GatewayPersonId, version: Option<u64>,
) -> Result<&mut GatewayPersonRecord, AppError> {
    let person = people.iter_mut().find(|person| person.id == id).ok_or(AppError::NotFound)?;
    if version.is_some_and(|version| version != person.version) {
        return Err(AppError::Changed(person.version));
    }
    Ok(person)
}

fn person_view(record: GatewayPersonRecord) -> GatewayPersonView {
    GatewayPersonView {
        id: record.id.to_string(),
        name: record.name.to_string(),
        groups: record.groups,
        version: record.version,
        created_at: record.created_at,
        updated_at: record.updated_at,
    }
}

fn view(record: GatewayRecord) -> GatewayPolicyView {
    GatewayPolicyView {
        text: record.text.unwrap_or_default(),
        version: record.version,
        changed_at: record.changed_at,
        changed_by: record.changed_by,
    }
}
