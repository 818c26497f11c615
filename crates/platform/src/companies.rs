//! The companies of an installation, as its provider sees and keeps them: nothing of what is theirs.

use chrono::TimeDelta;
use gatehouse_domain::{AppError, CompanyName, CompanyStatus, CompanyView, Email, Operation, Role, Timestamp};

use crate::{
    Actor, CompanyId, Platform,
    audit::{Audit, INSTALLATION, Origin, audited, command_line, facts, program},
    people::{NewInvitation, new_invitation},
    platform::{now, store_error},
    ports::{CompanyRecord, StoreError},
};

/// How long a deleted company waits for somebody to change their mind, unless the operator says otherwise.
pub const WAITING_DAYS: u16 = 30;

/// Who keeps the companies: a provider who is signed in, or whoever has the command line of the installation.
#[derive(Debug, Clone, Copy)]
pub enum Keeper<'a> {
    /// Asked for their role.
    Provider(&'a Actor),
    /// May do everything: the data folder is theirs.
    CommandLine,
}

impl<'a> From<&'a Actor> for Keeper<'a> {
    fn from(actor: &'a Actor) -> Self {
        Self::Provider(actor)
    }
}

impl Keeper<'_> {
    pub(crate) fn may(self, operation: Operation) -> Result<(), AppError> {
        match self {
            Self::Provider(actor) => actor.may(operation),
            Self::CommandLine => Ok(()),
        }
    }

    pub(crate) fn did(self, operation: Operation) -> Audit {
        match self {
            Self::Provider(actor) => actor.did(operation),
            Self::CommandLine => Audit::new(INSTALLATION, command_line(), &Origin::command_line(), operation),
        }
    }

    /// Their own company, out of which they must not shut themselves.
    fn company(self) -> Option<CompanyId> {
        match self {
            Self::Provider(actor) => Some(actor.company),
            Self::CommandLine => None,
        }
    }

    /// As whoever is invited by them reads it.
    fn name(self) -> String {
        match self {
            Self::Provider(actor) => actor.view.name.clone(),
            Self::CommandLine => "The operator of this installation".into(),
        }
    }
}

impl Platform {
    /// All companies, by name.
    ///
    /// # Errors
    /// [`AppError::Forbidden`].
    pub async fn list_companies<'a>(&self, keeper: impl Into<Keeper<'a>>) -> Result<Vec<CompanyView>, AppError> {
        let keeper = keeper.into();
        keeper.may(Operation::ListCompanies)?;
        Ok(self.access.company_records().await.map_err(store_error)?.into_iter().map(view).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn company<'a>(&self, keeper: impl Into<Keeper<'a>>, id: &str) -> Result<CompanyView, AppError> {
        let keeper = keeper.into();
        keeper.may(Operation::GetCompany)?;
        self.one_company(id).await.map(view)
    }

    /// The one of this name, without regard to case.
    ///
    /// # Errors
    /// [`AppError::Invalid`] when there is none.
    pub async fn company_named<'a>(&self, keeper: impl Into<Keeper<'a>>, name: &str) -> Result<CompanyView, AppError> {
        let keeper = keeper.into();
        keeper.may(Operation::GetCompany)?;
        let name = CompanyName::parse(name).map_err(|why| AppError::invalid("company", why))?;
        let all = self.access.company_records().await.map_err(store_error)?;
        let found = all.into_iter().find(|company| company.name.key() == name.key());
        found.map(view).ok_or_else(|| AppError::invalid("company", "There is no company of this name."))
    }

    async fn one_company(&self, id: &str) -> Result<CompanyRecord, AppError> {
        let id = CompanyId::parse(id).ok_or(AppError::NotFound)?;
        let all = self.access.company_records().await.map_err(store_error)?;
        all.into_iter().find(|company| company.id == id).ok_or(AppError::NotFound)
    }

    /// Makes a company, which has nobody yet.
    ///
    /// # Errors
    /// [`AppError::Invalid`], [`AppError::NameTaken`].
    pub async fn create_company<'a>(&self, keeper: impl Into<Keeper<'a>>, name: &str) -> Result<CompanyView, AppError> {
        let keeper = keeper.into();
        keeper.may(Operation::CreateCompany)?;
        let name = CompanyName::parse(name).map_err(|why| AppError::invalid("name", why))?;
        if !self.config.cloud {
            return Err(AppError::invalid(
                "name",
                "This is the on-premise edition, which has one company. Use the cloud edition.",
            ));
        }
        let id = CompanyId::new();
        let audit = keeper.did(Operation::CreateCompany).to("company", id, &name).also_in(id);
        match audited(audit, self.access.create_company(id, &name, now())).await {
            Err(StoreError::NameTaken) => {
                return Err(AppError::invalid("name", "There is a company of this name. Choose another one."));
            }
            result => result.map_err(store_error)?,
        }
        self.one_company(&id.to_string()).await.map(view)
    }

    /// Shuts a company out: nobody of it can sign in, its sessions and tokens stop working at once, and nothing of it runs by itself.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::Invalid`] for one's own.
    pub async fn suspend_company<'a>(&self, keeper: impl Into<Keeper<'a>>, id: &str) -> Result<CompanyView, AppError> {
        let keeper = keeper.into();
        keeper.may(Operation::SuspendCompany)?;
        let company = self.another_company(keeper, id).await?;
        let suspended_at = company.suspended_at.or(Some(now()));
        self.set_state(keeper, Operation::SuspendCompany, company.clone(), suspended_at, company.delete_after).await
    }

    /// Lets a company in again. One that was to be deleted is not deleted any more.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn resume_company<'a>(&self, keeper: impl Into<Keeper<'a>>, id: &str) -> Result<CompanyView, AppError> {
        let keeper = keeper.into();
        keeper.may(Operation::ResumeCompany)?;
        let company = self.one_company(id).await?;
        self.set_state(keeper, Operation::ResumeCompany, company, None, None).await
    }

    /// Suspends a company, and has all of it deleted when the waiting time is over.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::Invalid`] for one's own.
    pub async fn delete_company<'a>(&self, keeper: impl Into<Keeper<'a>>, id: &str) -> Result<CompanyView, AppError> {
        let keeper = keeper.into();
        keeper.may(Operation::DeleteCompany)?;
        let company = self.another_company(keeper, id).await?;
        let (now, days) = (now(), i64::from(self.config.delete_company_days));
        let delete_after = company.delete_after.or(Some(now + TimeDelta::days(days)));
        self.set_state(keeper, Operation::DeleteCompany, company.clone(), company.suspended_at.or(Some(now)), delete_after).await
    }

    async fn another_company(&self, keeper: Keeper<'_>, id: &str) -> Result<CompanyRecord, AppError> {
        let company = self.one_company(id).await?;
        if keeper.company() == Some(company.id) {
            return Err(AppError::invalid("id", "This is your own company: you would shut yourself out."));
        }
        Ok(company)
    }

    async fn set_state(
        &self, keeper: Keeper<'_>, operation: Operation, before: CompanyRecord, suspended_at: Option<Timestamp>,
        delete_after: Option<Timestamp>,
    ) -> Result<CompanyView, AppError> {
        let after = CompanyRecord { suspended_at, delete_after, ..before.clone() };
        let told = |record: &CompanyRecord| {
            facts(&serde_json::json!({ "status": status(record), "delete_after": record.delete_after }), &[])
        };
        let audit = keeper.did(operation).to("company", before.id, &before.name).changed(&told(&before), &told(&after));
        let set = self.access.set_company_state(before.id, suspended_at, delete_after);
        audited(audit.also_in(before.id), set).await.map_err(store_error)?;
        Ok(view(after))
    }

    /// Invites the first owner of a company that has nobody yet.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::Invalid`]: also when the company has people, who invite others themselves.
    pub async fn invite_first_administrator<'a>(
        &self, keeper: impl Into<Keeper<'a>>, id: &str, email: &str,
    ) -> Result<NewInvitation, AppError> {
        let keeper = keeper.into();
        keeper.may(Operation::InviteFirstAdministrator)?;
        let company = self.one_company(id).await?;
        let email = Email::parse(email).map_err(|why| AppError::invalid("email", why))?;
        if company.suspended_at.is_some() {
            return Err(AppError::invalid("email", "This company is suspended, and its links do not work. Resume it first."));
        }
        if company.people > 0 {
            let message = "This company has people already, who can invite others. A provider invites the first one only.";
            return Err(AppError::invalid("email", message));
        }
        let invitation = new_invitation(&keeper.name(), company.id, company.name, email, Role::Owner);
        let audit = keeper.did(Operation::InviteFirstAdministrator).also_in(company.id);
        self.send_invitation(audit, invitation).await
    }

    /// Deletes the companies whose waiting time is over. Answers how many.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn purge_companies(&self) -> Result<usize, AppError> {
        let mut purged = 0;
        for (id, name) in self.access.companies_to_delete(now()).await.map_err(store_error)? {
            let audit = Audit::new(INSTALLATION, program(), &Origin::program(), Operation::PurgeCompany);
            match audited(audit.to("company", id, &name), self.access.purge_company(id, now())).await {
                Ok(()) => {
                    tracing::info!(company = %id, "a company was deleted for good");
                    purged += 1;
                }
                // Another process was quicker, or somebody changed their mind.
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(store_error(error)),
            }
        }
        Ok(purged)
    }
}

impl Platform {
    /// The same as one of the things that [`Platform::tend`] looks after.
    pub(crate) async fn tend_companies(&self) {
        if let Err(error) = self.purge_companies().await {
            tracing::warn!(%error, "could not delete the companies whose time is over");
        }
    }
}

fn status(record: &CompanyRecord) -> CompanyStatus {
    match (record.suspended_at, record.delete_after) {
        (_, Some(_)) => CompanyStatus::Deleting,
        (Some(_), None) => CompanyStatus::Suspended,
        (None, None) => CompanyStatus::Active,
    }
}

fn view(record: CompanyRecord) -> CompanyView {
    CompanyView {
        id: record.id.to_string(),
        name: record.name.to_string(),
        status: status(&record),
        people: record.people,
        created_at: record.created_at,
        delete_after: record.delete_after,
    }
}
