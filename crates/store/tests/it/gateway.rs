//! What gateways go by, and who is told when it changes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gatehouse_platform::{
    CompanyId,
    ports::{GatewayRecord, GatewayStore as _, StoreError},
};
use tokio::{sync::mpsc, time::timeout};

use crate::support::{Bed, at_once, company, now, on_each_database, open};

on_each_database! {
    a_policy_is_kept_with_its_version_and_who_changed_it
    of_two_who_change_it_at_once_one_hears_that_it_has_changed
    whoever_watches_hears_of_each_change_within_a_second_and_of_no_other_companys
    a_watch_ends_when_the_store_is_closed
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
