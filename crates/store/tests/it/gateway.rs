//! What gateways go by, and who is told when it changes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gatehouse_domain::GatewayUserName;
use gatehouse_platform::{
    CompanyId, GatewayPersonId,
    ports::{GatewayPersonRecord, GatewayRecord, GatewayStore as _, StoreError},
};
use tokio::{sync::mpsc, time::timeout};

use crate::support::{Bed, at_once, company, now, on_each_database, open};

on_each_database! {
    a_policy_is_kept_with_its_version_and_who_changed_it
    of_two_who_change_it_at_once_one_hears_that_it_has_changed
    whoever_watches_hears_of_each_change_within_a_second_and_of_no_other_companys
    a_watch_ends_when_the_store_is_closed
    people_are_kept_beside_the_policy_and_watched_with_it
    of_many_who_make_the_same_person_at_once_one_does
}

async fn a_policy_is_kept_with_its_version_and_who_changed_it(bed: Arc<Bed>) {
    let (ours, theirs) = (company(&bed.store).await, company(&bed.store).await);
    assert_eq!(bed.store.gateway(ours).await.expect("an answer"), GatewayRecord::default());
    let first = bed.store.put_gateway_policy(ours, 0, "# one", "Jo", now()).await.expect("put");
    assert_eq!((first.text.as_deref(), first.version, first.revision), (Some("# one"), 1, 1));
    let second = bed.other.put_gateway_policy(ours, first.revision, "", "Ann", now()).await.expect("put");
    assert_eq!((second.text.as_deref(), second.version, second.changed_by.as_deref()), (Some(""), 2, Some("Ann")));
    assert_eq!(bed.store.gateway(ours).await.expect("an answer"), second);
    let late = bed.store.put_gateway_policy(ours, first.revision, "# late", "Jo", now()).await.expect_err("late");
    assert!(matches!(late, StoreError::Changed(2)), "{late}");
    assert_eq!(bed.store.gateway(theirs).await.expect("an answer"), GatewayRecord::default());
    let nobody = bed.store.put_gateway_policy(CompanyId::new(), 0, "", "Jo", now()).await.expect_err("no such company");
    assert!(matches!(nobody, StoreError::NotFound), "{nobody}");
    let long = "x".repeat(1 << 20);
    assert_eq!(bed.store.put_gateway_policy(ours, 2, &long, "Jo", now()).await.expect("put").text, Some(long));
}

async fn of_two_who_change_it_at_once_one_hears_that_it_has_changed(bed: Arc<Bed>) {
    let ours = company(&bed.store).await;
    for round in 0..5 {
        let results = at_once(8, |turn| {
            let store = bed.either(turn);
            async move { store.put_gateway_policy(ours, round, "# x", "Jo", now()).await }
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
        bed.store.put_gateway_policy(ours, revision, "# x", "Jo", now()).await.expect("put");
        assert!(told(&mut watch).await, "the change to revision {}", revision + 1);
        bed.store.put_gateway_policy(theirs, revision, "# x", "Jo", now()).await.expect("put");
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

fn somebody(name: &str) -> GatewayPersonRecord {
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
    let foreign = bed.store.put_gateway_person(theirs, 1, &ann).await.expect_err("not theirs");
    assert!(matches!(foreign, StoreError::NotFound), "{foreign}");
    ann.groups = vec!["a".into(), "b".into()];
    ann.version = 2;
    bed.other.put_gateway_person(ours, 1, &ann).await.expect("changed");
    assert!(told(&mut watch).await, "somebody has changed");
    let record = bed.store.gateway(ours).await.expect("an answer");
    assert_eq!((record.people, record.text, record.version, record.revision), (vec![ann.clone()], None, 0, 2));
    assert_eq!(bed.store.gateway_revision(ours).await.expect("an answer"), 2);
    assert_eq!(bed.store.gateway_revision(CompanyId::new()).await.expect("an answer"), 0);
    let put = bed.store.put_gateway_policy(ours, 2, "# x", "Jo", now()).await.expect("put");
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
