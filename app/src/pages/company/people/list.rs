//! Who belongs to the company, and who is invited.

use gatehouse_domain::{InvitationView, Operation, PersonView, Role};
use gatehouse_platform::people::roles_to_give;
use leptos::prelude::*;
use leptos_meta::Title;

use super::{
    PEOPLE, crumbs, delete_path, edit_path, is_you,
    parts::{NewLink, RoleBadge, SecondFactor},
    role_options, roles_for, withdraw_path,
};
use crate::{
    components::{
        Age, Banner, Breadcrumbs, Button, ButtonKind, Cell, DataTable, Day, EmptyState, ErrorState, HeaderCell, Icon, IconLink,
        IconName, Kind, PageHeader, Row, SelectInput, TextInput, field_error, initial_value,
    },
    context::signed_in,
    error::ApiError,
    outcome::FormOutcome,
    page::{answer_with_status, may, use_outcome},
};

const ABOUT: &str = "Who can sign in to this console, and what each of them may do.";

/// `/company/settings/people`.
#[component]
pub fn PeoplePage() -> impl IntoView {
    let (outcome, may_invite) = (use_outcome(), may(Operation::CreateInvitation));
    let content = async move {
        match load().await {
            Ok(shown) => view! { <Found shown outcome may_invite/> }.into_any(),
            Err(error) => {
                answer_with_status(&error.0);
                view! { <ErrorState error=error.0/> }.into_any()
            }
        }
    };
    view! {
        <Title text="People"/>
        <Breadcrumbs items=crumbs(None)/>
        <PageHeader title="People" subtitle=ABOUT/>
        {Suspend::new(content)}
    }
    .into_any()
}

/// What the page shows.
struct Shown {
    /// With whether it is whoever looks, and whether they may change them.
    people: Vec<(PersonView, bool, bool)>,
    /// With whether whoever looks may withdraw it.
    invitations: Vec<(InvitationView, bool)>,
    /// What whoever looks may make of somebody.
    roles: Vec<Role>,
}

async fn load() -> Result<Shown, ApiError> {
    let (platform, actor) = signed_in()?;
    let people = platform.people(&actor).await?;
    let roles = roles_to_give(actor.role);
    let mark = |person: PersonView| {
        let (you, may_change) = (is_you(&person, &actor), !roles_for(&person, actor.role).is_empty());
        (person, you, may_change)
    };
    let invitations = platform.invitations(&actor).await?;
    Ok(Shown {
        people: people.into_iter().map(mark).collect(),
        invitations: invitations.into_iter().map(|invitation| (invitation.clone(), roles.contains(&invitation.role))).collect(),
        roles,
    })
}

#[component]
fn Found(shown: Shown, outcome: FormOutcome, may_invite: bool) -> impl IntoView {
    let Shown { people, invitations, roles } = shown;
    let failure = outcome.error.as_ref().filter(|error| error.fields().is_empty());
    let failure = failure.map(|error| view! { <Banner kind=Kind::Error title=error.to_string()/> });
    let new_link = outcome.invitation.clone().map(|invitation| view! { <NewLink invitation/> });
    view! {
        {failure}
        {new_link}
        <PeopleTable people/>
        <section aria-labelledby="invitations-heading">
            <h2 id="invitations-heading" class="mt-6 mb-3">
                "Invitations"
            </h2>
            {may_invite.then(|| view! { <InviteForm outcome roles/> })}
            <Invitations invitations/>
        </section>
    }
    .into_any()
}

#[component]
fn PeopleTable(people: Vec<(PersonView, bool, bool)>) -> impl IntoView {
    let head = || {
        view! {
            <HeaderCell label="Name"/>
            <HeaderCell label="E-mail"/>
            <HeaderCell label="Role"/>
            <HeaderCell label="One-time password"/>
            <HeaderCell label="Since"/>
            <HeaderCell label="Actions" hidden=true/>
        }
        .into_any()
    };
    let rows = people.into_iter().map(|(person, you, may_change)| view! { <PersonRow person you may_change/> }).collect_view();
    view! {
        <DataTable caption="People" head=head.into()>
            {rows}
        </DataTable>
    }
    .into_any()
}

#[component]
fn PersonRow(person: PersonView, you: bool, may_change: bool) -> impl IntoView {
    let actions = may_change.then(|| {
        view! {
            <IconLink href=edit_path(&person.id) label=format!("Edit {}", person.name) icon=IconName::Pencil/>
            <IconLink href=delete_path(&person.id) label=format!("Remove {}", person.name) icon=IconName::Trash danger=true/>
        }
    });
    let href = edit_path(&person.id);
    let PersonView { name, email, role, has_second_factor: on, created_at: at, .. } = person;
    view! {
        <Row>
            <Cell label="Name" title=true>
                <span>
                    <a class="link break-words" href=href>
                        {name}
                    </a>
                    {you.then(|| view! { " " <span class="tag">"you"</span> })}
                </span>
            </Cell>
            <Cell label="E-mail">
                <span class="wrap-anywhere">{email}</span>
            </Cell>
            <Cell label="Role">
                <span>
                    <RoleBadge role/>
                </span>
            </Cell>
            <Cell label="One-time password">
                <span>
                    <SecondFactor on/>
                </span>
            </Cell>
            <Cell label="Since">
                <Day at/>
            </Cell>
            <Cell actions=true>{actions}</Cell>
        </Row>
    }
    .into_any()
}

#[component]
fn InviteForm(outcome: FormOutcome, roles: Vec<Role>) -> impl IntoView {
    let problem = |name: &str| field_error(outcome.error.as_ref(), name);
    // The least that can be given, unless something else was chosen.
    let least = roles.iter().copied().find(|role| *role == Role::Auditor).or(roles.first().copied());
    let chosen = initial_value(&outcome, "role", least.map_or("", Role::as_str));
    let (email_error, role_error) = (problem("email"), problem("role"));
    view! {
        <form class="panel grid max-w-3xl gap-4 mb-4" method="post" action=PEOPLE novalidate aria-labelledby="invite-heading">
            <h3 id="invite-heading" class="font-semibold">
                "Invite somebody"
            </h3>
            <TextInput
                name="email"
                label="E-mail address"
                hint="They sign in with it. You get a link to send to them; Gatehouse sends no mail itself."
                value=RwSignal::new(initial_value(&outcome, "email", ""))
                input_type="email"
                autofocus=email_error.is_some()
                error=Signal::stored(email_error)
                verbatim=true
                required=true
            />
            <SelectInput
                name="role"
                label="Role"
                value=RwSignal::new(chosen)
                options=role_options(&roles)
                error=Signal::stored(role_error)
            />
            <div>
                <Button kind=ButtonKind::Primary>
                    <Icon name=IconName::Plus/>
                    "Make an invitation link"
                </Button>
            </div>
        </form>
    }
    .into_any()
}

#[component]
fn Invitations(invitations: Vec<(InvitationView, bool)>) -> impl IntoView {
    if invitations.is_empty() {
        return view! {
            <EmptyState
                icon=IconName::User
                title="Nobody is invited"
                text="An invitation stands here until its link is used, it is withdrawn, or a week is over."
            />
        }
        .into_any();
    }
    let head = || {
        view! {
            <HeaderCell label="E-mail"/>
            <HeaderCell label="Role"/>
            <HeaderCell label="Invited by"/>
            <HeaderCell label="Invited"/>
            <HeaderCell label="Expires"/>
            <HeaderCell label="Actions" hidden=true/>
        }
        .into_any()
    };
    let rows = invitations
        .into_iter()
        .map(|(invitation, may_withdraw)| view! { <InvitationRow invitation may_withdraw/> })
        .collect_view();
    view! {
        <DataTable caption="Open invitations" head=head.into()>
            {rows}
        </DataTable>
    }
    .into_any()
}

#[component]
fn InvitationRow(invitation: InvitationView, may_withdraw: bool) -> impl IntoView {
    let withdraw = may_withdraw.then(|| {
        let label = format!("Withdraw the invitation for {}", invitation.email);
        view! { <IconLink href=withdraw_path(&invitation.id) label icon=IconName::Trash danger=true/> }
    });
    let InvitationView { email, role, invited_by, created_at, expires_at, .. } = invitation;
    view! {
        <Row>
            <Cell label="E-mail" title=true>
                <span class="wrap-anywhere">{email}</span>
            </Cell>
            <Cell label="Role">
                <span>
                    <RoleBadge role/>
                </span>
            </Cell>
            <Cell label="Invited by">
                <span class="wrap-anywhere">{invited_by}</span>
            </Cell>
            <Cell label="Invited">
                <Age at=created_at/>
            </Cell>
            <Cell label="Expires">
                <Day at=expires_at/>
            </Cell>
            <Cell actions=true>{withdraw}</Cell>
        </Row>
    }
    .into_any()
}
