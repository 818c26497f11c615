//! Who may do what: one table of everything that can be asked for, and which permission it needs.
//!
//! An [`Operation`] is a call of the API, a server function, a form, a command: the same word for all of them, which is also what the
//! audit log calls it. The table is exhaustive: an operation without a permission does not compile. Use cases of the platform ask it
//! once, at their beginning; nothing else decides.

use serde::{Deserialize, Serialize};

use crate::Role;

/// What a role consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Nobody has to be signed in.
    Anybody,
    /// One's own session, password, tokens: whoever is signed in.
    OwnAccount,
    /// Look at proxy settings.
    SeeProxySettings,
    /// Make, change, delete and test proxy settings.
    ChangeProxySettings,
    /// Look at integrations.
    SeeIntegrations,
    /// Make, change, delete and test integrations.
    ChangeIntegrations,
    /// Look at analyses.
    SeeAnalyses,
    /// Start analyses.
    StartAnalyses,
    /// Look at the traffic log.
    SeeTraffic,
    /// Look at health checks.
    SeeChecks,
    /// Change health checks.
    ChangeChecks,
    /// Look at the gateway's policy and people.
    SeeGateway,
    /// Change the gateway's policy and people.
    ChangeGateway,
    /// See who belongs to the company.
    SeePeople,
    /// Invite people, change what they may do, remove them. Owners are an owner's matter.
    ChangePeople,
    /// Look at the audit log.
    SeeAudit,
    /// Make, suspend, export and delete companies: the provider's.
    Companies,
}

impl Permission {
    /// Whose it is.
    #[must_use]
    pub const fn roles(self) -> &'static [Role] {
        use Role::{Administrator, Auditor, Owner, Provider};
        match self {
            Self::Anybody | Self::OwnAccount => &[Owner, Administrator, Auditor, Provider],
            Self::SeeAudit | Self::SeePeople => &[Owner, Administrator, Auditor, Provider],
            Self::SeeProxySettings
            | Self::SeeIntegrations
            | Self::SeeAnalyses
            | Self::SeeTraffic
            | Self::SeeChecks
            | Self::SeeGateway => &[Owner, Administrator, Auditor],
            Self::ChangeProxySettings
            | Self::ChangeIntegrations
            | Self::StartAnalyses
            | Self::ChangeChecks
            | Self::ChangeGateway => &[Owner, Administrator],
            Self::ChangePeople => &[Owner, Administrator, Provider],
            Self::Companies => &[Provider],
        }
    }

    /// Whether somebody of this role has it.
    #[must_use]
    pub fn is_of(self, role: Role) -> bool {
        self.roles().contains(&role)
    }

    /// As in the API's document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anybody => "anybody",
            Self::OwnAccount => "own_account",
            Self::SeeProxySettings => "see_proxy_settings",
            Self::ChangeProxySettings => "change_proxy_settings",
            Self::SeeIntegrations => "see_integrations",
            Self::ChangeIntegrations => "change_integrations",
            Self::SeeAnalyses => "see_analyses",
            Self::StartAnalyses => "start_analyses",
            Self::SeeTraffic => "see_traffic",
            Self::SeeChecks => "see_checks",
            Self::ChangeChecks => "change_checks",
            Self::SeeGateway => "see_gateway",
            Self::ChangeGateway => "change_gateway",
            Self::SeePeople => "see_people",
            Self::ChangePeople => "change_people",
            Self::SeeAudit => "see_audit",
            Self::Companies => "companies",
        }
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident $key:literal $permission:ident $effect:ident $label:literal,)*) => {
        /// Everything that can be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $(#[doc = $label] $(#[$doc])* $name,)*
        }

        impl Operation {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name: the API's `operationId`, and the audit log's word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $key),* }
            }

            /// What whoever asks must be allowed.
            #[must_use]
            pub const fn permission(self) -> Permission {
                match self { $(Self::$name => Permission::$permission),* }
            }

            /// Whether it changes something, so that it stands in the audit log.
            #[must_use]
            pub const fn is_change(self) -> bool {
                match self { $(Self::$name => operations!(@ $effect)),* }
            }

            /// What a person reads.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label),* }
            }
        }
    };
    (@ reads) => { false };
    (@ changes) => { true };
}

operations! {
    ListProxies "listProxies" SeeProxySettings reads "List proxy settings",
    GetProxy "getProxy" SeeProxySettings reads "Look at a proxy setting",
    CreateProxy "createProxy" ChangeProxySettings changes "Create a proxy setting",
    ReplaceProxy "replaceProxy" ChangeProxySettings changes "Change a proxy setting",
    DeleteProxy "deleteProxy" ChangeProxySettings changes "Delete a proxy setting",
    DuplicateProxy "duplicateProxy" ChangeProxySettings changes "Duplicate a proxy setting",
    MakeDefaultProxy "makeDefaultProxy" ChangeProxySettings changes "Make a proxy setting the default",
    TestProxy "testProxy" ChangeProxySettings changes "Test a proxy setting",
    TestProxyDraft "testProxyDraft" ChangeProxySettings changes "Test values of a proxy setting",
    ListEngines "listEngines" SeeIntegrations reads "List engines",
    ListIntegrations "listIntegrations" SeeIntegrations reads "List integrations",
    GetIntegration "getIntegration" SeeIntegrations reads "Look at an integration",
    CreateIntegration "createIntegration" ChangeIntegrations changes "Create an integration",
    ReplaceIntegration "replaceIntegration" ChangeIntegrations changes "Change an integration",
    DeleteIntegration "deleteIntegration" ChangeIntegrations changes "Delete an integration",
    DuplicateIntegration "duplicateIntegration" ChangeIntegrations changes "Duplicate an integration",
    TestIntegration "testIntegration" ChangeIntegrations changes "Test an integration",
    TestIntegrationDraft "testIntegrationDraft" ChangeIntegrations changes "Test values of an integration",
    ListAnalyses "listAnalyses" SeeAnalyses reads "List analyses",
    GetAnalysis "getAnalysis" SeeAnalyses reads "Look at an analysis",
    StartAnalysis "startAnalysis" StartAnalyses changes "Start an analysis",
    ListTraffic "listTraffic" SeeTraffic reads "List traffic",
    ExportTraffic "exportTraffic" SeeTraffic reads "Export traffic",
    GetChecks "getChecks" SeeChecks reads "Look at health checks",
    SetChecks "setChecks" ChangeChecks changes "Change health checks",
    ListHealthChanges "listHealthChanges" SeeChecks reads "List changes of health",
    GetGatewayPolicy "getGatewayPolicy" SeeGateway reads "Look at the gateway's policy",
    ReplaceGatewayPolicy "replaceGatewayPolicy" ChangeGateway changes "Change the gateway's policy",
    CheckGatewayPolicy "checkGatewayPolicy" ChangeGateway reads "Check a policy",
    ExplainGatewayPolicy "explainGatewayPolicy" SeeGateway reads "Explain what a policy says",
    ListGatewayPeople "listGatewayPeople" SeeGateway reads "List the gateway's people",
    GetGatewayPerson "getGatewayPerson" SeeGateway reads "Look at one of the gateway's people",
    CreateGatewayPerson "createGatewayPerson" ChangeGateway changes "Add one of the gateway's people",
    ReplaceGatewayPerson "replaceGatewayPerson" ChangeGateway changes "Change one of the gateway's people",
    DeleteGatewayPerson "deleteGatewayPerson" ChangeGateway changes "Remove one of the gateway's people",
    SignIn "signIn" Anybody changes "Sign in",
    CurrentSession "currentSession" OwnAccount reads "Who is signed in",
    SignOut "signOut" Anybody changes "Sign out",
    GetInstallation "getInstallation" OwnAccount reads "What everybody may know of the installation",
    ListTokens "listTokens" OwnAccount reads "List one's API tokens",
    CreateToken "createToken" OwnAccount changes "Create an API token",
    DeleteToken "deleteToken" OwnAccount changes "Revoke an API token",
    ListSessions "listSessions" OwnAccount reads "List one's sessions",
    EndSession "endSession" OwnAccount changes "End one of one's sessions",
    EndOtherSessions "endOtherSessions" OwnAccount changes "End all of one's other sessions",
    ChangePassword "changePassword" OwnAccount changes "Change one's password",
    GetSecondFactor "getSecondFactor" OwnAccount reads "Whether one-time passwords are asked for",
    BeginSecondFactor "beginSecondFactor" OwnAccount changes "Begin to set up one-time passwords",
    ConfirmSecondFactor "confirmSecondFactor" OwnAccount changes "Turn on one-time passwords",
    RemoveSecondFactor "removeSecondFactor" OwnAccount changes "Turn off one-time passwords",
    ListPeople "listPeople" SeePeople reads "List people",
    GetPerson "getPerson" SeePeople reads "Look at a person",
    ReplacePerson "replacePerson" ChangePeople changes "Change a person",
    DeletePerson "deletePerson" ChangePeople changes "Remove a person",
    ListInvitations "listInvitations" SeePeople reads "List invitations",
    CreateInvitation "createInvitation" ChangePeople changes "Invite a person",
    DeleteInvitation "deleteInvitation" ChangePeople changes "Withdraw an invitation",
    AcceptInvitation "acceptInvitation" Anybody changes "Accept an invitation",
    ListAudit "listAudit" SeeAudit reads "Look at the audit log",
    ExportAudit "exportAudit" SeeAudit reads "Export the audit log",
    ListCompanies "listCompanies" Companies reads "List companies",
    GetCompany "getCompany" Companies reads "Look at a company",
    CreateCompany "createCompany" Companies changes "Create a company",
    SuspendCompany "suspendCompany" Companies changes "Suspend a company",
    ResumeCompany "resumeCompany" Companies changes "Resume a company",
    DeleteCompany "deleteCompany" Companies changes "Delete a company after the waiting time",
    ExportCompany "exportCompany" Companies changes "Export a company",
    InviteFirstAdministrator "inviteFirstAdministrator" Companies changes "Invite a company's first administrator",
    SetUp "setUp" Anybody changes "Set up the first company",
    CreatePerson "createPerson" Companies changes "Create a person",
    RotateKey "rotateKey" Companies changes "Change the key",
    PurgeCompany "purgeCompany" Companies changes "Delete a company for good",
}

impl Operation {
    /// The one with this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|operation| operation.as_str() == name)
    }

    /// Whether somebody of this role may.
    #[must_use]
    pub fn is_for(self, role: Role) -> bool {
        self.permission().is_of(role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for operation in Operation::ALL {
            assert_eq!(Operation::find(operation.as_str()), Some(*operation), "{}", operation.as_str());
        }
    }

    #[test]
    fn an_auditor_sees_everything_of_the_company_and_changes_nothing_but_their_own_account() {
        for operation in Operation::ALL.iter().filter(|operation| operation.is_for(Role::Auditor)) {
            let own = matches!(operation.permission(), Permission::Anybody | Permission::OwnAccount);
            assert!(own || !operation.is_change(), "{}", operation.as_str());
        }
        let hidden = |operation: &&Operation| !operation.is_change() && !operation.is_for(Role::Auditor);
        let hidden: Vec<_> = Operation::ALL.iter().filter(hidden).map(|operation| operation.as_str()).collect();
        // A check tells nothing that is not in the text that was sent; the companies are the provider's.
        assert_eq!(hidden, ["checkGatewayPolicy", "listCompanies", "getCompany"]);
    }

    #[test]
    fn a_provider_sees_nothing_of_what_a_company_has() {
        for operation in Operation::ALL.iter().filter(|operation| operation.is_for(Role::Provider)) {
            let permission = operation.permission();
            assert!(
                matches!(
                    permission,
                    Permission::Anybody
                        | Permission::OwnAccount
                        | Permission::SeePeople
                        | Permission::ChangePeople
                        | Permission::SeeAudit
                        | Permission::Companies
                ),
                "{}",
                operation.as_str()
            );
        }
    }
}
