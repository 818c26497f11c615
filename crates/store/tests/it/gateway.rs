//! What gateways go by, and who is told when it changes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gatehouse_domain::GatewayUserName;
use gatehouse_platform::{
    CompanyId, GatewayPersonId, ProxyId,
    ports::{GatewayPersonRecord, GatewayPolicyWrite, GatewayRecord, GatewayStore as _, GatewayUse, ProxyStore as _, StoreError},
};
use tokio::{sync::mpsc, time::timeout};

use crate::support::{Bed, at_once, company, now, on_each_database, open, write};

on_each_database! {
    a_setting_that_a_policy_leads_through_is_in_use_and_its_changes_are_told
    a_rename_and_a_policy_at_once_never_leave_a_name_that_is_not_there
    a_policy_is_kept_with_its_version_and_who_changed_it
    of_two_who_change_it_at_once_one_hears_that_it_has_changed
    whoever_watches_hears_of_each_change_within_a_second_and_of_no_other_companys
    a_watch_ends_when_the_store_is_closed
    people_are_kept_beside_the_policy_and_watched_with_it
    of_many_who_make_the_same_person_at_once_one_does
}

fn policy<'a>(text: &'a str, by: &'a str) -> GatewayPolicyWrite<'a> {
    GatewayPolicyWrite { text, by, uses: Vec::new() }
}

/// A policy with a way out through a proxy setting of this name.
fn through(proxy: ProxyId, name: &str) -> GatewayPolicyWrite<'static> {
    let used = GatewayUse { egress: "out".into(), proxy, name_key: name.to_lowercase() };
    GatewayPolicyWrite { text: "# x", by: "Jo", uses: vec![used] }
}

async fn a_setting_that_a_policy_leads_through_is_in_use_and_its_changes_are_told(bed: Arc<Bed>) {
    let (ours, theirs) = (company(&bed.store).await, company(&bed.store).await);
    let made = bed.store.create_proxy(ours, ProxyId::new(), &write("Lab"), now()).await.expect("made");
    for (company, used) in
        [(theirs, through(made.id, "Lab")), (ours, through(ProxyId::new(), "Lab")), (ours, through(made.id, "Other"))]
    {
        let gone = bed.store.put_gateway_policy(company, 0, &used, now()).await.expect_err("no such setting");
        assert!(matches!(gone, StoreError::Gone), "{gone}");
    }
    let put = bed.store.put_gateway_policy(ours, 0, &through(made.id, "Lab"), now()).await.expect("put");
    assert_eq!((put.revision, put.proxies.len()), (1, 1));
    let refused = bed.other.delete_proxy(ours, made.id, None).await.expect_err("in use");
    assert!(matches!(&refused, StoreError::InUse(users) if users[0].kind == "gateway" && users[0].id == "out"), "{refused}");
    let known = bed.store.proxy(ours, made.id).await.expect("there");
    let renamed = bed.store.replace_proxy(ours, made.id, known.version, &write("Other"), now()).await.expect_err("in use");
    assert!(matches!(renamed, StoreError::InUse(_)), "{renamed}");
    bed.store.replace_proxy(ours, made.id, known.version, &write("LAB"), now()).await.expect("the same name");
    assert_eq!(bed.other.gateway_revision(ours).await.expect("an answer"), 2, "whoever watches looks again");
    // Without it in the policy, it is nobody's.
    bed.store.put_gateway_policy(ours, 2, &policy("# y", "Jo"), now()).await.expect("put");
    bed.store.delete_proxy(ours, made.id, None).await.expect("deleted");
    assert_eq!(bed.store.gateway_revision(ours).await.expect("an answer"), 3);
}

async fn a_rename_and_a_policy_at_once_never_leave_a_name_that_is_not_there(bed: Arc<Bed>) {
    for _ in 0..10 {
        let ours = company(&bed.store).await;
        let made = bed.store.create_proxy(ours, ProxyId::new(), &write("Lab"), now()).await.expect("made");
        let done = at_once(2, |turn| {
            let store = bed.either(turn);
            async move {
                if turn == 0 {
                    store.put_gateway_policy(ours, 0, &through(made.id, "Lab"), now()).await.is_ok()
                } else {
                    store.replace_proxy(ours, made.id, made.version, &write("Other"), now()).await.is_ok()
                }
            }
        })
        .await;
        assert!(done.iter().filter(|done| **done).count() == 1, "one of them hears of the other: {done:?}");
    }
}

async fn a_policy_is_kept_with_its_version_and_who_changed_it(bed: Arc<Bed>) {
    let (ours, theirs) = (company(&bed.store).await, company(&bed.store).await);
    assert_eq!(bed.store.gateway(ours).await.expect("an answer"), GatewayRecord::default());
    let first = bed.store.put_gateway_policy(ours, 0, &policy("# one", "Jo"), now()).await.expect("put");
    assert_eq!((first.text.as_deref(), first.version, first.revision), (Some("# one"), 1, 1));
    let second = bed.other.put_gateway_policy(ours, first.revision, &policy("", "Ann"), now()).await.expect("put");
    assert_eq!((second.text.as_deref(), second.version, second.changed_by.as_deref()), (Some(""), 2, Some("Ann")));
    assert_eq!(bed.store.gateway(ours).await.expect("an answer"), second);
    let late = bed.store.put_gateway_policy(ours, first.revision, &policy("# late", "Jo"), now()).await.expect_err("late");
    assert!(matches!(late, StoreError::Changed(2)), "{late}");
    assert_eq!(bed.store.gateway(theirs).await.expect("an answer"), GatewayRecord::default());
    let nobody = bed.store.put_gateway_policy(CompanyId::new(), 0, &policy("", "Jo"), now()).await.expect_err("no such company");
    assert!(matches!(nobody, StoreError::NotFound), "{nobody}");
    let long = "x".repeat(1 << 20);
    assert_eq!(bed.store.put_gateway_policy(ours, 2, &policy(&long, "Jo"), now()).await.expect("put").text, Some(long));
}

async fn of_two_who_change_it_at_once_one_hears_that_it_has_changed(bed: Arc<Bed>) {
    let ours = company(&bed.store).await;
    for round in 0..5 {
        let results = at_once(8, |turn| {
            let store = bed.either(turn);
            async move { store.put_gateway_policy(ours, round, &policy("# x", "Jo"), now()).await }
        })
        .await;
        let put = results.iter().filter(|result| result.is_ok()).count();
        let late = results.iter().filter(|result| matches!(result, Err(StoreError::Changed(_)))).count();
        assert_eq!((put, late), (1, 7), "{results:?}");
    }
}

async fn told(watch: &mut mpsc::Receiver<()>) -> bool {
    timeout(Duration::from_secs(1), watch.recv()).await == Ok(Some(()))
}

async fn whoever_watches_hears_of_each_change_within_a_second_and_of_no_other_companys(bed: Arc<Bed>) {
    let (ours, theirs) = (company(&bed.store).await, company(&bed.store).await);
    let mut watch = bed.other.watch_gateway(ours).await.expect("a watch");
    for revision in 0..5 {
        bed.store.put_gateway_policy(ours, revision, &policy("# x", "Jo"), now()).await.expect("put");
        assert!(told(&mut watch).await, "the change to revision {}", revision + 1);
        bed.store.put_gateway_policy(theirs, revision, &policy("# x", "Jo"), now()).await.expect("put");
    }
    assert!(timeout(Duration::from_millis(300), watch.recv()).await.is_err(), "what others do is not told");
}

async fn a_watch_ends_when_the_store_is_closed(bed: Arc<Bed>) {
    let ours = company(&bed.store).await;
    let mut watch = bed.store.watch_gateway(ours).await.expect("a watch");
    let begun = Instant::now();
    bed.store.close().await;
    assert_eq!(timeout(Duration::from_secs(2), watch.recv()).await, Ok(None));
    assert!(begun.elapsed() < Duration::from_secs(5), "nothing holds the database open: {:?}", begun.elapsed());
    if bed.config.folder().is_some() {
        drop(open(&bed.config).await);
    }
}

pub fn somebody(name: &str) -> GatewayPersonRecord {
    let now = now();
    GatewayPersonRecord {
        id: GatewayPersonId::new(),
        name: GatewayUserName::parse(name).expect("right"),
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
        groups: vec!["staff".into()],
        version: 1,
        created_at: now,
        updated_at: now,
    }
}

async fn people_are_kept_beside_the_policy_and_watched_with_it(bed: Arc<Bed>) {
    let (ours, theirs) = (company(&bed.store).await, company(&bed.store).await);
    let mut watch = bed.other.watch_gateway(ours).await.expect("a watch");
    let mut ann = somebody("Ann");
    bed.store.put_gateway_person(ours, 0, &ann).await.expect("made");
    assert!(told(&mut watch).await, "somebody is new");
    let late = bed.store.put_gateway_person(ours, 0, &somebody("bob")).await.expect_err("late");
    assert!(matches!(late, StoreError::Changed(1)), "{late}");
    let taken = bed.store.put_gateway_person(ours, 1, &somebody("ANN")).await.expect_err("taken");
    assert!(matches!(taken, StoreError::NameTaken), "{taken}");
    bed.store.put_gateway_person(theirs, 0, &somebody("ann")).await.expect("another company's");
    let renamed = GatewayPersonRecord { name: GatewayUserName::parse("Zoe").expect("right"), ..ann.clone() };
    let foreign = bed.store.put_gateway_person(theirs, 1, &renamed).await.expect_err("not theirs");
    assert!(matches!(foreign, StoreError::NotFound), "{foreign}");
    assert_eq!(bed.store.gateway_revision(theirs).await.expect("an answer"), 1, "what did not happen changes nothing");
    ann.groups = vec!["a".into(), "b".into()];
    ann.version = 2;
    bed.other.put_gateway_person(ours, 1, &ann).await.expect("changed");
    assert!(told(&mut watch).await, "somebody has changed");
    let record = bed.store.gateway(ours).await.expect("an answer");
    assert_eq!((record.people, record.text, record.version, record.revision), (vec![ann.clone()], None, 0, 2));
    assert_eq!(bed.store.gateway_revision(ours).await.expect("an answer"), 2);
    assert_eq!(bed.store.gateway_revision(CompanyId::new()).await.expect("an answer"), 0);
    let put = bed.store.put_gateway_policy(ours, 2, &policy("# x", "Jo"), now()).await.expect("put");
    assert_eq!((put.version, put.revision, put.people.len()), (1, 3, 1));
    assert!(told(&mut watch).await);
    let foreign = bed.store.delete_gateway_person(theirs, 1, ann.id).await.expect_err("not theirs");
    assert!(matches!(foreign, StoreError::NotFound), "{foreign}");
    bed.store.delete_gateway_person(ours, 3, ann.id).await.expect("deleted");
    assert!(told(&mut watch).await, "somebody is gone");
    let record = bed.store.gateway(ours).await.expect("an answer");
    assert_eq!((record.people, record.text.as_deref(), record.revision), (Vec::new(), Some("# x"), 4));
    let gone = bed.store.delete_gateway_person(ours, 4, ann.id).await.expect_err("gone");
    assert!(matches!(gone, StoreError::NotFound), "{gone}");
    assert_eq!(bed.store.gateway_revision(ours).await.expect("an answer"), 4, "what did not happen changes nothing");
}

async fn of_many_who_make_the_same_person_at_once_one_does(bed: Arc<Bed>) {
    let ours = company(&bed.store).await;
    let results = at_once(8, |turn| {
        let store = bed.either(turn);
        async move { store.put_gateway_person(ours, 0, &somebody("Ann")).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert_eq!(bed.store.gateway(ours).await.expect("an answer").people.len(), 1);
}
