//! What several of these pages show.

use gatehouse_domain::Role;
use leptos::prelude::*;

use crate::{
    components::{Badge, Banner, CopyRow, IconName, Kind},
    outcome::ShownInvitation,
};

/// The link of a new invitation, which is shown this once.
#[component]
pub(crate) fn NewLink(
    /// Whom it is for, and the link.
    invitation: ShownInvitation,
) -> impl IntoView {
    let ShownInvitation { email, link, guessed } = invitation;
    let link = link.expose().to_string();
    view! {
        <Banner kind=Kind::Success title=format!("Send this link to {email}")>
            <p>
                "Whoever opens it chooses a name and a password, and is in. It works once, for a week, and is shown this once: if it gets lost, invite them again."
            </p>
            <CopyRow of="new-link" label="Invitation link" done="The link is in the clipboard.">
                <input class="input code" id="new-link" type="text" readonly autocomplete="off" value=link/>
            </CopyRow>
            {guessed
                .map(|address| {
                    view! {
                        <p class="mt-2">
                            "It leads to " <span class="code wrap-anywhere">{address}</span>
                            ", because that is where your browser is: this installation has not been told its public address (PUBLIC_URL). \
                            If others come by another address, put that in its place before you send the link."
                        </p>
                    }
                })}
        </Banner>
    }
    .into_any()
}

/// A role, in a word.
#[component]
pub(super) fn RoleBadge(
    /// Which.
    role: Role,
) -> impl IntoView {
    let (kind, icon) = match role {
        Role::Owner => (Kind::Info, IconName::Key),
        Role::Administrator => (Kind::Neutral, IconName::User),
        Role::Auditor => (Kind::Neutral, IconName::Eye),
        Role::Provider => (Kind::Info, IconName::Building),
    };
    view! {
        <Badge kind icon>
            {role.label()}
        </Badge>
    }
    .into_any()
}

/// Whether a one-time password is asked for when they sign in.
#[component]
pub(super) fn SecondFactor(
    /// Whether it is.
    on: bool,
) -> impl IntoView {
    let (kind, icon, word) =
        if on { (Kind::Success, IconName::CheckCircle, "On") } else { (Kind::Neutral, IconName::Minus, "Off") };
    view! {
        <Badge kind icon>
            {word}
        </Badge>
    }
    .into_any()
}
