//! Scheduled checks: each round is had by one taker, and the webhook's proxy is in use.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use gatehouse_domain::{Health, HealthChange, WebhookMessage};
use gatehouse_platform::{
    Choice, ProxyId,
    ports::{ChecksRecord, ChecksStore as _, ProxyStore as _, StoreError, TurnStore as _},
};
use uuid::Uuid;

use crate::support::{Bed, at_once, company, now, on_each_database, proxy};

on_each_database! {
    what_is_set_is_read_and_its_proxy_is_in_use
    a_round_is_had_by_one_taker
    changes_are_told_newest_first
}

async fn what_is_set_is_read_and_its_proxy_is_in_use(bed: Arc<Bed>) {
    let store = &bed.store;
    let (ours, theirs) = (company(store).await, company(store).await);
    assert_eq!(store.checks(ours).await.expect("the default"), ChecksRecord::default());
    let setting = proxy(store, ours, "Corp").await;
    let record = ChecksRecord {
        every_minutes: 15,
        webhook_url: Some("https://hooks.example/x".into()),
        webhook_choice: Choice::Setting(setting.id),
        next_at: Some(now()),
        last_message: None,
    };
    store.put_checks(ours, &record).await.expect("kept");
    assert_eq!(store.checks(ours).await.expect("read"), record);
    assert_eq!(store.checks(theirs).await.expect("nobody else's"), ChecksRecord::default());
    let used = store.proxy(ours, setting.id).await.expect("there").used_by;
    assert_eq!(used.iter().map(|by| by.kind.as_str()).collect::<Vec<_>>(), ["webhook"]);
    assert!(matches!(store.delete_proxy(ours, setting.id, None).await, Err(StoreError::InUse(_))));

    let message = WebhookMessage { at: now(), ok: false, status: Some(500), cause: None, message: "Refused.".into() };
    store.record_webhook_message(ours, &message).await.expect("kept");
    // Told nobody any more, no proxy is used, and what became of the last message stays.
    let silent = ChecksRecord { webhook_url: None, webhook_choice: Choice::Default, ..record.clone() };
    store.put_checks(ours, &silent).await.expect("kept");
    assert_eq!(store.checks(ours).await.expect("read"), ChecksRecord { last_message: Some(message), ..silent });
    store.delete_proxy(ours, setting.id, None).await.expect("no longer in use");

    let foreign = proxy(store, theirs, "Theirs").await;
    for id in [foreign.id, ProxyId::new()] {
        let wrong = ChecksRecord { webhook_choice: Choice::Setting(id), ..record.clone() };
        assert!(matches!(store.put_checks(ours, &wrong).await, Err(StoreError::NotFound)));
    }
}

async fn a_round_is_had_by_one_taker(bed: Arc<Bed>) {
    let store = &bed.store;
    let ours = company(store).await;
    let begin = now();
    let due = ChecksRecord { every_minutes: 5, next_at: Some(begin), ..ChecksRecord::default() };
    store.put_checks(ours, &due).await.expect("kept");
    const LEASE: Duration = Duration::from_secs(60);
    assert!(store.take_due_checks(begin - TimeDelta::seconds(1), 10, LEASE).await.expect("none yet").is_empty());
    let mut moment = begin;
    for number in 1..4 {
        let taken = at_once(8, |turn| {
            let store = bed.either(turn);
            async move { store.take_due_checks(moment, 10, LEASE).await.expect("taken or not") }
        });
        let taken: Vec<_> = taken.await.into_iter().flatten().collect();
        assert_eq!(taken.len(), 1, "one round, one taker");
        let turn = &taken[0];
        assert_eq!((turn.company, turn.number, turn.again), (Some(ours), number, false));
        moment += TimeDelta::minutes(5);
        assert_eq!(store.checks(ours).await.expect("read").next_at, Some(moment));
        // A round that is not over yet keeps the next one waiting, and the next one stays due.
        assert!(store.take_due_checks(moment, 10, LEASE).await.expect("not yet").is_empty());
        assert_eq!(store.checks(ours).await.expect("read").next_at, Some(moment));
        assert!(store.end_turn(turn).await.expect("ended"));
    }
    store.put_checks(ours, &ChecksRecord::default()).await.expect("kept");
    assert!(store.take_due_checks(moment + TimeDelta::days(1), 10, LEASE).await.expect("never").is_empty());
}

async fn changes_are_told_newest_first(bed: Arc<Bed>) {
    let store = &bed.store;
    let (ours, theirs) = (company(store).await, company(store).await);
    for number in 0..5 {
        let change = HealthChange {
            id: Uuid::now_v7().to_string(),
            at: now(),
            kind: "integration".into(),
            of: "i".into(),
            name: format!("Number {number}"),
            from: None,
            to: Health::Down,
            cause: None,
            message: String::new(),
        };
        store.record_health_change(ours, &change).await.expect("kept");
    }
    let told = store.health_changes(ours, 3).await.expect("read");
    assert_eq!(told.iter().map(|change| change.name.as_str()).collect::<Vec<_>>(), ["Number 4", "Number 3", "Number 2"]);
    assert!(store.health_changes(theirs, 3).await.expect("read").is_empty());
}
