//! The people of a company, and how they come into it: by one-time links.

use chrono::TimeDelta;
use gatehouse_domain::{
    AppError, Email, FieldErrors, InvitationForm, InvitationView, NewPassword, Operation, PersonForm, PersonName, PersonView,
    Role, Secret,
};

use crate::{
    Actor, Audit, InvitationId, NewSession, Origin, PersonId, Platform,
    access::{hash, random_secret},
    audit::{audited, facts},
    passwords,
    platform::{internal, now, store_error},
    ports::{InvitationRecord, PersonRecord, PersonWrite, StoreError},
};

/// How long an invitation's link works.
const INVITATION_DAYS: i64 = 7;
/// How many invitations a company may have open.
const MAX_INVITATIONS: usize = 200;
/// See [`crate::proxies`].
const ATTEMPTS: usize = 20;

/// An invitation that was just made: the only time its link's secret can be seen.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    /// The last part of the link.
    pub secret: Secret,
    /// What lists show of it.
    pub view: InvitationView,
}

/// What somebody is shown who follows an invitation's link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationFor {
    /// The company's name.
    pub company: String,
    /// The e-mail address they will sign in with.
    pub email: String,
    /// Who invited them.
    pub invited_by: String,
    /// What they will be allowed to do.
    pub role: Role,
}

/// Which roles somebody may give and take: owners all of the company's, administrators all but owners, a provider providers.
fn may_give(giver: Role, role: Role) -> bool {
    match giver {
        Role::Owner => role != Role::Provider,
        Role::Administrator => matches!(role, Role::Administrator | Role::Auditor),
        Role::Provider => role == Role::Provider,
        Role::Auditor => false,
    }
}

/// The roles that somebody may give, for forms.
#[must_use]
pub fn roles_to_give(giver: Role) -> Vec<Role> {
    [Role::Owner, Role::Administrator, Role::Auditor, Role::Provider].into_iter().filter(|role| may_give(giver, *role)).collect()
}

fn not_to_give(role: Role) -> AppError {
    let message = match role {
        Role::Owner => "Only an owner can make somebody an owner.",
        _ => "You can't give this role. Choose another one.",
    };
    AppError::invalid("role", message)
}

impl Platform {
    /// The company's people, by name.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub async fn people(&self, actor: &Actor) -> Result<Vec<PersonView>, AppError> {
        actor.may(Operation::ListPeople)?;
        Ok(self.access.people(actor.company).await.map_err(store_error)?.into_iter().map(view).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn person(&self, actor: &Actor, id: &str) -> Result<PersonView, AppError> {
        actor.may(Operation::GetPerson)?;
        self.one_person(actor, id).await.map(view)
    }

    async fn one_person(&self, actor: &Actor, id: &str) -> Result<PersonRecord, AppError> {
        let id = PersonId::parse(id).ok_or(AppError::NotFound)?;
        let people = self.access.people(actor.company).await.map_err(store_error)?;
        people.into_iter().find(|person| person.id == id).ok_or(AppError::NotFound)
    }

    /// Changes what somebody is called and may do; it holds from their next request on. With `version`, only if nobody changed it since.
    ///
    /// # Errors
    /// [`AppError::Invalid`], [`AppError::Changed`], [`AppError::NotFound`], [`AppError::Forbidden`].
    pub async fn replace_person(
        &self, actor: &Actor, id: &str, version: Option<u64>, form: &PersonForm,
    ) -> Result<PersonView, AppError> {
        actor.may(Operation::ReplacePerson)?;
        let name = PersonName::parse(&form.name).map_err(|why| AppError::invalid("name", why))?;
        for _ in 0..ATTEMPTS {
            let current = self.one_person(actor, id).await?;
            if version.is_some_and(|version| version != current.version) {
                return Err(AppError::Changed(current.version));
            }
            if form.role != current.role && !may_give(actor.role, form.role) {
                return Err(not_to_give(form.role));
            }
            if !may_give(actor.role, current.role) {
                return Err(AppError::Forbidden);
            }
            let after = PersonRecord { name: name.clone(), role: form.role, version: current.version + 1, ..current.clone() };
            let audit =
                actor.did(Operation::ReplacePerson).to("person", current.id, &name).changed(&told(&current), &told(&after));
            let replace = self.access.replace_person(actor.company, current.id, current.version, &name, form.role);
            match audited(audit, replace).await {
                Err(StoreError::Changed(_)) if version.is_none() => {}
                result => return result.map(|()| view(after)).map_err(store_error),
            }
        }
        Err(AppError::Unavailable)
    }

    /// Removes somebody: their sessions end and their API tokens stop working at once.
    ///
    /// # Errors
    /// [`AppError::Invalid`] for the last owner or provider, [`AppError::Changed`], [`AppError::NotFound`], [`AppError::Forbidden`].
    pub async fn delete_person(&self, actor: &Actor, id: &str, version: Option<u64>) -> Result<(), AppError> {
        actor.may(Operation::DeletePerson)?;
        for _ in 0..ATTEMPTS {
            let current = self.one_person(actor, id).await?;
            if version.is_some_and(|version| version != current.version) {
                return Err(AppError::Changed(current.version));
            }
            if !may_give(actor.role, current.role) {
                return Err(AppError::Forbidden);
            }
            let audit = actor.did(Operation::DeletePerson).to("person", current.id, &current.name).before(told(&current));
            match audited(audit, self.access.delete_person(actor.company, current.id, current.version)).await {
                Err(StoreError::Changed(_)) if version.is_none() => {}
                result => return result.map_err(store_error),
            }
        }
        Err(AppError::Unavailable)
    }

    /// The company's open invitations, newest first.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub async fn invitations(&self, actor: &Actor) -> Result<Vec<InvitationView>, AppError> {
        actor.may(Operation::ListInvitations)?;
        let found = self.access.invitations(actor.company, now()).await.map_err(store_error)?;
        Ok(found.into_iter().map(invitation_view).collect())
    }

    /// Invites somebody. The link works once, for a week; an earlier one for the same address no longer works.
    ///
    /// # Errors
    /// [`AppError::Invalid`] naming the field.
    pub async fn invite(&self, actor: &Actor, form: &InvitationForm) -> Result<NewInvitation, AppError> {
        actor.may(Operation::CreateInvitation)?;
        let mut errors = FieldErrors::new();
        let email = errors.check("email", Email::parse(&form.email));
        if !may_give(actor.role, form.role) {
            errors.merge(not_to_give(form.role).fields());
        }
        let (Some(email), true) = (email, errors.is_empty()) else { return Err(errors.into()) };
        let company = gatehouse_domain::CompanyName::parse(&actor.view.company).map_err(internal)?;
        let invitation = new_invitation(&actor.view.name, actor.company, company, email, form.role);
        self.send_invitation(actor.did(Operation::CreateInvitation), invitation).await
    }

    /// Writes an invitation, which stands in the log.
    pub(crate) async fn send_invitation(&self, audit: Audit, invitation: InvitationRecord) -> Result<NewInvitation, AppError> {
        let secret = random_secret("")?;
        let told = facts(&serde_json::json!({ "email": invitation.email.as_str(), "role": invitation.role }), &[]);
        let audit = audit.to("invitation", invitation.id, &invitation.email).after(told);
        match audited(audit, self.access.create_invitation(&hash(&secret), &invitation, MAX_INVITATIONS)).await {
            Err(StoreError::NameTaken) => {
                Err(AppError::invalid("email", "Somebody with this e-mail address can sign in already. Use another address."))
            }
            Err(StoreError::Full(limit)) => Err(AppError::invalid(
                "email",
                format!("There are {limit} open invitations already, which is as many as there may be. Withdraw some."),
            )),
            result => result.map(|()| NewInvitation { secret, view: invitation_view(invitation) }).map_err(store_error),
        }
    }

    /// Withdraws an invitation: its link stops working at once.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn withdraw_invitation(&self, actor: &Actor, id: &str) -> Result<(), AppError> {
        actor.may(Operation::DeleteInvitation)?;
        let id = InvitationId::parse(id).ok_or(AppError::NotFound)?;
        let found = self.access.invitations(actor.company, now()).await.map_err(store_error)?;
        let invitation = found.into_iter().find(|invitation| invitation.id == id).ok_or(AppError::NotFound)?;
        if !may_give(actor.role, invitation.role) {
            return Err(AppError::Forbidden);
        }
        let audit = actor.did(Operation::DeleteInvitation).to("invitation", id, &invitation.email);
        audited(audit, self.access.delete_invitation(actor.company, id)).await.map_err(store_error)
    }

    /// Whom an invitation's link is for.
    ///
    /// # Errors
    /// [`AppError::LinkExpired`].
    pub async fn invitation(&self, link: &Secret) -> Result<InvitationFor, AppError> {
        let found = self.access.find_invitation(&hash(link), now()).await.map_err(store_error)?.ok_or(AppError::LinkExpired)?;
        Ok(InvitationFor {
            company: found.company_name.to_string(),
            email: found.email.to_string(),
            invited_by: found.invited_by,
            role: found.role,
        })
    }

    /// Makes somebody of whoever follows an invitation's link, and signs them in.
    ///
    /// # Errors
    /// [`AppError::LinkExpired`], [`AppError::Invalid`].
    pub async fn accept_invitation(
        &self, link: &Secret, name: &str, password: &Secret, origin: &Origin,
    ) -> Result<NewSession, AppError> {
        let link = hash(link);
        let found = self.access.find_invitation(&link, now()).await.map_err(store_error)?.ok_or(AppError::LinkExpired)?;
        let mut errors = FieldErrors::new();
        let name = errors.check("name", PersonName::parse(name));
        let password = errors.check("password", NewPassword::parse(password));
        let (Some(name), Some(password)) = (name, password) else { return Err(errors.into()) };
        let password_hash = passwords::hash(&password).await.map_err(internal)?;
        let write = PersonWrite { id: PersonId::new(), email: found.email.clone(), name, role: found.role, password_hash };
        let who = gatehouse_domain::AuditActor {
            id: Some(write.id.to_string()),
            name: write.name.to_string(),
            email: write.email.to_string(),
            role: Some(write.role),
        };
        let told =
            facts(&serde_json::json!({ "email": write.email.as_str(), "role": write.role, "invited_by": found.invited_by }), &[]);
        let audit = Audit::new(found.company, who, origin, Operation::AcceptInvitation).to("person", write.id, &write.name);
        match audited(audit.after(told), self.access.accept_invitation(found.company, &link, &write, now())).await {
            Err(StoreError::NotFound) => return Err(AppError::LinkExpired),
            Err(StoreError::NameTaken) => {
                return Err(AppError::invalid("email", "Somebody with this e-mail address can sign in already."));
            }
            result => result.map_err(store_error)?,
        }
        self.session_for(&found.email, origin).await
    }
}

/// An invitation as it is written.
pub(crate) fn new_invitation(
    invited_by: &str, company: crate::CompanyId, company_name: gatehouse_domain::CompanyName, email: Email, role: Role,
) -> InvitationRecord {
    let created_at = now();
    InvitationRecord {
        id: InvitationId::new(),
        company,
        company_name,
        email,
        role,
        invited_by: invited_by.to_string(),
        created_at,
        expires_at: created_at + TimeDelta::days(INVITATION_DAYS),
    }
}

fn told(person: &PersonRecord) -> serde_json::Map<String, serde_json::Value> {
    facts(&serde_json::json!({ "name": person.name.as_str(), "email": person.email.as_str(), "role": person.role }), &[])
}

fn view(person: PersonRecord) -> PersonView {
    PersonView {
        id: person.id.to_string(),
        name: person.name.to_string(),
        email: person.email.to_string(),
        role: person.role,
        has_second_factor: person.second_factor.secret.is_some(),
        version: person.version,
        created_at: person.created_at,
    }
}

fn invitation_view(record: InvitationRecord) -> InvitationView {
    InvitationView {
        id: record.id.to_string(),
        email: record.email.to_string(),
        role: record.role,
        invited_by: record.invited_by,
        created_at: record.created_at,
        expires_at: record.expires_at,
    }
}
