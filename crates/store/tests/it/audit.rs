//! The audit log as it is stored: with the change or not at all, without a gap, never taken back; and what it tells of people,
//! invitations and companies.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gatehouse_domain::{Email, Operation, Role};
use gatehouse_platform::{
    CompanyId, InvitationId, Origin, PersonId, ProxyId, Sealed,
    audit::{Audit, INSTALLATION, audited, chain_hash, command_line},
    ports::{AccessStore as _, AuditStore as _, InvitationRecord, PersonWrite, ProxyStore as _, SecondFactor, StoreError},
};
use gatehouse_store::Store;

use crate::support::{Bed, at_once, company, now, on_each_database, person, write};

on_each_database! {
    an_entry_is_written_with_its_change_and_not_without_it
    a_statement_without_a_place_for_the_log_is_not_sent
    of_many_changes_at_once_none_is_missing_and_the_chain_is_whole
    what_was_written_can_not_be_changed_or_removed
    a_company_keeps_an_owner_whoever_removes_them_at_once
    the_last_provider_stays_one
    a_one_time_password_is_taken_once_however_many_ask_at_once
    an_invitation_is_accepted_once_however_many_ask_at_once
    a_deleted_company_is_gone_from_every_table_and_no_other_is
}

fn did(company: CompanyId) -> Audit {
    Audit::new(company, command_line(), &Origin::command_line(), Operation::CreateProxy)
}

/// What is read back is the chain that was written, and so long.
async fn assert_whole(store: &Store, company: CompanyId, expected: u64) {
    let head = store.audit_head(company).await.expect("a head");
    let entries = store.audit_entries(company, 1, expected + 10).await.expect("entries");
    let mut before = String::new();
    for (place, entry) in entries.iter().enumerate() {
        assert_eq!(entry.number, place as u64 + 1, "no gap");
        assert_eq!(entry.hash, chain_hash(company, entry.number, &before, &entry.entry), "entry {}", entry.number);
        before.clone_from(&entry.hash);
    }
    assert_eq!((head.number, entries.len() as u64), (expected, expected));
    assert_eq!(before, head.hash);
}

async fn an_entry_is_written_with_its_change_and_not_without_it(bed: Arc<Bed>) {
    let (ours, theirs) = (company(&bed.store).await, company(&bed.store).await);
    audited(did(ours), bed.store.create_proxy(ours, ProxyId::new(), &write("Corp"), now())).await.expect("made");
    let taken = audited(did(ours), bed.other.create_proxy(ours, ProxyId::new(), &write("CORP"), now())).await.expect_err("taken");
    assert!(matches!(taken, StoreError::NameTaken), "{taken}");
    assert_whole(&bed.other, ours, 1).await;
    assert_whole(&bed.store, theirs, 0).await;
    audited(did(ours).also_in(theirs), bed.store.append_audit()).await.expect("noted");
    assert_whole(&bed.store, ours, 2).await;
    assert_whole(&bed.other, theirs, 1).await;
}

/// What does not write the log can't be used for what has to stand in it: it is refused, and nothing has happened.
async fn a_statement_without_a_place_for_the_log_is_not_sent(bed: Arc<Bed>) {
    let (ours, jo, at, minute) = (company(&bed.store).await, person(), now(), Duration::from_secs(60));
    bed.store.create_person(ours, &jo, at).await.expect("made");
    bed.store.create_session("abc", jo.id, at, at + minute, &Origin::command_line()).await.expect("made");
    let attempt = bed.store.begin_sign_in("jo", "192.0.2.1", 1, minute, at).await.expect("an answer").expect("counted");
    for refused in [
        audited(did(ours), bed.store.forget_sign_in(&attempt)).await,
        audited(did(ours), bed.store.touch_session("abc", at, at + minute * 2)).await,
    ] {
        assert!(matches!(&refused, Err(StoreError::Internal(why)) if why.contains("defect")), "{refused:?}");
    }
    let again = bed.other.begin_sign_in("jo", "192.0.2.1", 1, minute, at).await.expect("an answer");
    assert!(again.is_err(), "the attempt still counts");
    let session = bed.other.find_session("abc", at).await.expect("an answer").expect("there");
    assert_eq!(session.expires_at, Some(at + minute), "as it was");
    assert_whole(&bed.other, ours, 0).await;
    // Nor does one that sends nothing pass for a change.
    let nothing = audited(did(ours), bed.store.find_token("abc")).await;
    assert!(matches!(&nothing, Err(StoreError::Internal(why)) if why.contains("defect")), "{nothing:?}");
}

async fn of_many_changes_at_once_none_is_missing_and_the_chain_is_whole(bed: Arc<Bed>) {
    let ours = company(&bed.store).await;
    let made = at_once(20, |turn| {
        let store = bed.either(turn);
        async move {
            let name = format!("Proxy {turn}");
            audited(did(ours), store.create_proxy(ours, ProxyId::new(), &write(&name), now())).await
        }
    })
    .await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_whole(&bed.store, ours, 20).await;
}

async fn what_was_written_can_not_be_changed_or_removed(bed: Arc<Bed>) {
    let ours = company(&bed.store).await;
    audited(did(ours), bed.store.append_audit()).await.expect("noted");
    for query in ["UPDATE audit SET entry = '{}'", "DELETE audit", "UPDATE audit SET hash = string::repeat('0', 64)"] {
        let refused = bed.store.raw(query).await.expect_err("refused");
        assert!(refused.to_string().contains("append-only") || refused.to_string().contains("readonly"), "{query}: {refused}");
    }
    assert_whole(&bed.other, ours, 1).await;
}

async fn owners(store: &Store, company: CompanyId) -> Vec<PersonId> {
    let people = store.people(company).await.expect("people");
    people.into_iter().filter(|person| person.role == Role::Owner).map(|person| person.id).collect()
}

async fn a_company_keeps_an_owner_whoever_removes_them_at_once(bed: Arc<Bed>) {
    let ours = company(&bed.store).await;
    for _ in 0..4 {
        bed.store.create_person(ours, &person(), now()).await.expect("made");
    }
    let all = owners(&bed.store, ours).await;
    assert_eq!(all.len(), 4);
    let removed = at_once(4, |turn| {
        let (store, id) = (bed.either(turn), all[turn]);
        async move {
            let known = store.people(ours).await.expect("people").into_iter().find(|person| person.id == id);
            let version = known.map_or(1, |person| person.version);
            if turn % 2 == 0 {
                store.delete_person(ours, id, version).await
            } else {
                store.replace_person(ours, id, version, &person().name, Role::Auditor).await
            }
        }
    })
    .await;
    assert_eq!(removed.iter().filter(|done| matches!(done, Err(StoreError::LastOfRole(Role::Owner)))).count(), 1, "{removed:?}");
    assert_eq!(owners(&bed.other, ours).await.len(), 1);
}

async fn the_last_provider_stays_one(bed: Arc<Bed>) {
    let (ours, theirs) = (company(&bed.store).await, company(&bed.store).await);
    let provider = || PersonWrite { role: Role::Provider, ..person() };
    let all = [provider(), provider()];
    for jo in &all {
        bed.store.create_person(ours, jo, now()).await.expect("made");
    }
    // Neither an owner beside them nor a provider of another company takes their place.
    bed.store.create_person(ours, &person(), now()).await.expect("made");
    bed.store.create_person(theirs, &provider(), now()).await.expect("made");
    let removed = at_once(2, |turn| {
        let (store, id) = (bed.either(turn), all[turn].id);
        async move { store.delete_person(ours, id, 1).await }
    })
    .await;
    let is_refused = |done: &Result<(), StoreError>| matches!(done, Err(StoreError::LastOfRole(Role::Provider)));
    assert_eq!(removed.iter().filter(|done| is_refused(done)).count(), 1, "{removed:?}");
    let left = all.iter().zip(&removed).find(|(_, done)| done.is_err()).map(|(jo, _)| jo).expect("one stays");
    for role in [Role::Owner, Role::Auditor] {
        let demoted = bed.store.replace_person(ours, left.id, 1, &left.name, role).await;
        assert!(is_refused(&demoted), "{demoted:?}");
    }
    bed.store.replace_person(ours, left.id, 1, &left.name, Role::Provider).await.expect("another name is another matter");
    let stored = bed.other.person_by_email(&left.email).await.expect("an answer").expect("there");
    assert_eq!((stored.role, stored.version), (Role::Provider, 2));
}

async fn a_one_time_password_is_taken_once_however_many_ask_at_once(bed: Arc<Bed>) {
    let ours = company(&bed.store).await;
    let jo = person();
    bed.store.create_person(ours, &jo, now()).await.expect("made");
    let none = SecondFactor::default();
    let on = SecondFactor { secret: Some(Sealed("v1.k.x".into())), recovery: vec!["a".into(), "b".into()], ..none.clone() };
    bed.store.set_second_factor(jo.id, &none, &on).await.expect("on");
    let used = SecondFactor { step: 7, ..on.clone() };
    let taken = at_once(8, |turn| {
        let (store, on, used, id) = (bed.either(turn), on.clone(), used.clone(), jo.id);
        async move { store.set_second_factor(id, &on, &used).await }
    })
    .await;
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 1, "{taken:?}");
    let stored = bed.other.person_by_email(&jo.email).await.expect("an answer").expect("there");
    assert_eq!(stored.second_factor, used);
}

pub fn invitation(company: CompanyId, email: &Email) -> InvitationRecord {
    InvitationRecord {
        id: InvitationId::new(),
        company,
        company_name: gatehouse_domain::CompanyName::parse("x").expect("a name"),
        email: email.clone(),
        role: Role::Auditor,
        invited_by: "Jo".into(),
        created_at: now(),
        expires_at: now() + Duration::from_secs(60),
    }
}

async fn an_invitation_is_accepted_once_however_many_ask_at_once(bed: Arc<Bed>) {
    let (ours, theirs) = (company(&bed.store).await, company(&bed.store).await);
    let guest = PersonWrite { role: Role::Auditor, ..person() };
    bed.store.create_invitation("secret", &invitation(ours, &guest.email), 5).await.expect("invited");
    let wrong = PersonWrite { role: Role::Owner, ..guest.clone() };
    for (company, write) in [(theirs, &guest), (ours, &wrong)] {
        let refused = bed.store.accept_invitation(company, "secret", write, now()).await.expect_err("not what was offered");
        assert!(matches!(refused, StoreError::NotFound), "{refused}");
    }
    let late = bed.store.accept_invitation(ours, "secret", &guest, now() + Duration::from_secs(61)).await.expect_err("expired");
    assert!(matches!(late, StoreError::NotFound), "{late}");
    let accepted = at_once(8, |turn| {
        let (store, write) = (bed.either(turn), PersonWrite { id: PersonId::new(), ..guest.clone() });
        async move { store.accept_invitation(ours, "secret", &write, now()).await }
    })
    .await;
    assert_eq!(accepted.iter().filter(|done| done.is_ok()).count(), 1, "{accepted:?}");
    assert!(bed.other.invitations(ours, now()).await.expect("a list").is_empty());
    let known = bed.store.create_invitation("again", &invitation(theirs, &guest.email), 5).await.expect_err("is here already");
    assert!(matches!(known, StoreError::NameTaken), "{known}");
    // A later one takes the place of an earlier one; so many and no more.
    let other = person().email;
    bed.store.create_invitation("one", &invitation(ours, &other), 2).await.expect("invited");
    bed.store.create_invitation("two", &invitation(ours, &other), 2).await.expect("invited again");
    assert!(bed.store.find_invitation("one", now()).await.expect("an answer").is_none());
    assert!(bed.store.find_invitation("two", now() + Duration::from_secs(61)).await.expect("an answer").is_none(), "expired");
    bed.store.create_invitation("three", &invitation(ours, &person().email), 2).await.expect("invited");
    let full = bed.store.create_invitation("four", &invitation(ours, &person().email), 2).await.expect_err("full");
    assert!(matches!(full, StoreError::Full(2)), "{full}");
}

async fn a_deleted_company_is_gone_from_every_table_and_no_other_is(bed: Arc<Bed>) {
    let (ours, theirs) = (company(&bed.store).await, company(&bed.store).await);
    for company in [ours, theirs] {
        let jo = person();
        bed.store.create_person(company, &jo, now()).await.expect("made");
        bed.store
            .create_session(&jo.id.to_string(), jo.id, now(), now() + Duration::from_secs(60), &Origin::command_line())
            .await
            .expect("made");
        bed.store.create_invitation(&jo.id.to_string(), &invitation(company, &person().email), 5).await.expect("invited");
        audited(did(company), bed.store.create_proxy(company, ProxyId::new(), &write("Corp"), now())).await.expect("made");
    }
    let early = bed.store.purge_company(ours, now()).await.expect_err("not due");
    assert!(matches!(early, StoreError::NotFound), "{early}");
    let past = now() - Duration::from_secs(1);
    bed.store.set_company_state(ours, Some(past), Some(past)).await.expect("set");
    let before = bed.store.audit_head(INSTALLATION).await.expect("a head").number;
    audited(did(INSTALLATION), bed.other.purge_company(ours, now())).await.expect("purged");
    assert_whole(&bed.store, INSTALLATION, before + 1).await;
    assert!(matches!(bed.store.purge_company(ours, now()).await, Err(StoreError::NotFound)), "once");
    let left = bed.store.company_records().await.expect("companies");
    assert!(left.iter().all(|company| company.id != ours) && left.iter().any(|company| company.id == theirs));
    let of = |company: CompanyId| company.to_string();
    let found = |table: String, needle: String| {
        let store = bed.store.clone();
        async move { store.raw(&format!("SELECT * FROM {table}")).await.expect("rows").contains(&needle) }
    };
    let known: BTreeSet<_> = gatehouse_store::tables_of_a_company().into_iter().collect();
    // What belongs to no company, or passes by itself.
    let others = ["installation", "migration", "setup_link", "sign_in", "ticket"];
    for table in bed.store.tables().await.expect("tables") {
        assert!(known.contains(table.as_str()) || others.contains(&table.as_str()), "is {table} emptied with its company?");
        assert!(!found(table.clone(), of(ours)).await, "{table} still has something of it");
    }
    for table in ["proxy_setting", "person", "invitation", "audit", "audit_head"] {
        assert!(found(table.into(), of(theirs)).await, "{table}: the other company's is gone");
    }
    assert_eq!(bed.store.people(theirs).await.expect("people").len(), 1);
}
