//! Integrations, and the proxies they use.

use std::{collections::BTreeMap, sync::Arc};

use gatehouse_domain::{
    CaPem, Capabilities, Cause, DirectReason, Exclusions, Health, IntegrationStatus, IntegrationTest, ProxyQuery, Route,
    TestTarget, Via,
};
use gatehouse_platform::{
    Choice, CompanyId, IntegrationId, ProxyId, Sealed,
    integrations::{IntegrationSecret, secret_binding},
    ports::{
        IntegrationStore as _, IntegrationWrite, KeyStore as _, MAX_INTEGRATIONS, ProxyStore as _, ProxyWrite, SecretOwner,
        StoreError,
    },
};
use gatehouse_store::Store;

use crate::support::{Bed, at_once, company, integration, integration_write, now, on_each_database, proxy, write};

on_each_database! {
    an_integration_is_kept_as_it_was_entered
    replacing_needs_the_version
    names_are_unique_in_a_company_whatever_their_case
    fifty_who_make_the_same_name_leave_one
    another_companys_integrations_are_not_there
    a_proxy_must_be_the_companys
    a_use_keeps_a_setting
    a_use_and_a_deletion_at_once_never_leave_a_use_of_nothing
    there_may_be_so_many
    what_another_key_sealed_is_found_and_replaced
    the_last_test_is_kept
}

fn full(name: &str, choice: Choice) -> IntegrationWrite {
    let mut write = integration_write(name, choice);
    let values = &mut write.values;
    values.kind = "custom_http".into();
    values.description = "For the SOC.\nAsk Jo.".into();
    values.api_url = TestTarget::parse("http://Bücher.example:8080/ä b?q=1").expect("right");
    values.tags = vec!["EU".into(), "mail".into()];
    values.capabilities = Capabilities { url: false, sender_ip: true, attachment: true };
    values.status = IntegrationStatus::Inactive;
    values.hide_url_parameters = true;
    values.exclusions = Exclusions {
        urls: vec!["*.corp.example".into(), "https://intranet.example/hr/".into()],
        ips: vec!["10.0.0.0/8".into()],
        extensions: vec!["pdf".into()],
    };
    values.detection_threshold = Some(7);
    values.cache_hours = 720;
    values.timeout_s = 1800;
    values.ca_pem = Some(CaPem::parse("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----").expect("right"));
    values.options = BTreeMap::from([("method".into(), "POST".into()), ("ünï".into(), "\"{}\"".into())]);
    IntegrationWrite {
        api_key: Some(sealed("0123456789abcdef", "AA")),
        api_password: Some(sealed("0123456789abcdef", "BB")),
        ..write
    }
}

fn sealed(key: &str, value: &str) -> Sealed {
    Sealed(format!("v1.{key}.{value}"))
}

fn not_found<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::NotFound)), "{result:?}");
}

async fn used_by(store: &Store, company: CompanyId, id: ProxyId) -> Vec<(String, Via)> {
    let record = store.proxy(company, id).await.expect("there");
    assert!(record.used_by.iter().all(|used| used.kind == "integration"));
    record.used_by.into_iter().map(|used| (used.name, used.via)).collect()
}

async fn an_integration_is_kept_as_it_was_entered(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let setting = proxy(store, company, "p").await.id;
    let (id, made) = (IntegrationId::new(), now());
    let entered = full("  Zürich  Süd ", Choice::Setting(setting));
    let written = store.create_integration(company, id, &entered, made).await.expect("made");
    assert_eq!(written.values, entered.values);
    assert_eq!(written.values.proxy.to_field(), setting.to_string());
    assert_eq!((&written.api_key, &written.api_password), (&entered.api_key, &entered.api_password));
    assert_eq!((written.id, written.version), (id, 1));
    assert_eq!((written.created_at, written.updated_at), (made, made));
    assert_eq!((&written.last_test, written.health), (&None, None));
    assert_eq!(bed.other.integration(company, id).await.expect("there"), written);
    assert_eq!(store.integrations(company).await.expect("a list"), [written]);

    // Everything that is optional goes away again.
    let changed = now();
    let plain = integration_write("a", Choice::Default);
    let replaced = store.replace_integration(company, id, 1, &plain, changed).await.expect("replaced");
    assert_eq!((&replaced.values, &replaced.api_key, &replaced.api_password), (&plain.values, &None, &None));
    assert_eq!((replaced.version, replaced.created_at, replaced.updated_at), (2, made, changed));
    assert_eq!(bed.other.integration(company, id).await.expect("there"), replaced);
    integration(store, company, "B", Choice::None).await;
    integration(store, company, "Ä", Choice::None).await;
    let names: Vec<_> =
        store.integrations(company).await.expect("a list").into_iter().map(|record| record.values.name.to_string()).collect();
    assert_eq!(names, ["a", "B", "Ä"], "by name");
}

async fn replacing_needs_the_version(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let id = integration(store, company, "a", Choice::None).await.id;
    let new = integration_write("b", Choice::None);
    assert_eq!(store.replace_integration(company, id, 1, &new, now()).await.expect("replaced").version, 2);
    let late = store.replace_integration(company, id, 1, &new, now()).await;
    assert!(matches!(late, Err(StoreError::Changed(2))), "{late:?}");
    assert!(matches!(store.delete_integration(company, id, Some(1)).await, Err(StoreError::Changed(2))));
    let answers = at_once(20, |number| {
        let store = bed.either(number);
        let write = integration_write(&format!("name {number}"), Choice::None);
        async move { store.replace_integration(company, id, 2, &write, now()).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        assert!(matches!(answer, Err(StoreError::Changed(3))), "{answer:?}");
    }
    store.delete_integration(company, id, Some(3)).await.expect("deleted");
    not_found(store.delete_integration(company, id, None).await);
    not_found(store.integration(company, id).await);
    let gone = store.replace_integration(company, id, 3, &new, now()).await;
    assert!(matches!(gone, Err(StoreError::Gone)), "{gone:?}");
    assert_eq!(store.integrations(company).await.expect("a list"), []);
}

async fn names_are_unique_in_a_company_whatever_their_case(bed: Arc<Bed>) {
    let store = &bed.store;
    let (one, two) = (company(store).await, company(store).await);
    integration(store, one, "Straße", Choice::None).await;
    let same = integration_write("STRASSE", Choice::None);
    let taken = store.create_integration(one, IntegrationId::new(), &same, now()).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    integration(store, two, "STRASSE", Choice::None).await;
    let other = integration(store, one, "Other", Choice::None).await.id;
    assert!(matches!(store.replace_integration(one, other, 1, &same, now()).await, Err(StoreError::NameTaken)));
    // Its own name in another case is free, and a deleted one's.
    store.replace_integration(one, other, 1, &integration_write("OTHER", Choice::None), now()).await.expect("its own");
    store.delete_integration(one, other, None).await.expect("deleted");
    integration(store, one, "other", Choice::None).await;
}

async fn fifty_who_make_the_same_name_leave_one(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let answers = at_once(50, |number| {
        let store = bed.either(number);
        let write = integration_write(if number % 3 == 0 { "Virus Total" } else { "virus total" }, Choice::Default);
        async move { store.create_integration(company, IntegrationId::new(), &write, now()).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        assert!(matches!(answer, Err(StoreError::NameTaken)), "{answer:?}");
    }
    assert_eq!(bed.store.integrations(company).await.expect("a list").len(), 1);
    // Those who were refused left no use behind.
    let setting = proxy(&bed.store, company, "p").await.id;
    bed.store.set_default_proxy(company, Some(setting)).await.expect("set");
    assert_eq!(used_by(&bed.store, company, setting).await.len(), 1);
}

async fn another_companys_integrations_are_not_there(bed: Arc<Bed>) {
    let store = &bed.store;
    let (ours, theirs) = (company(store).await, company(store).await);
    let setting = proxy(store, ours, "p").await.id;
    let record = integration(store, ours, "ours", Choice::Setting(setting)).await;
    let new = integration_write("x", Choice::None);
    not_found(store.integration(theirs, record.id).await);
    let gone = store.replace_integration(theirs, record.id, 1, &new, now()).await;
    assert!(matches!(gone, Err(StoreError::Gone)), "{gone:?}");
    not_found(store.delete_integration(theirs, record.id, None).await);
    not_found(store.delete_integration(theirs, record.id, Some(1)).await);
    assert!(matches!(
        store.record_integration_test(theirs, record.id, record.version, &test(true), Health::Healthy).await,
        Err(StoreError::NotFound)
    ));
    assert_eq!(store.integrations(theirs).await.expect("a list"), []);
    not_found(store.create_integration(CompanyId::new(), IntegrationId::new(), &new, now()).await);
    // Its default is not ours.
    let default = ProxyWrite { is_default: true, ..write("d") };
    let default = store.create_proxy(theirs, ProxyId::new(), &default, now()).await.expect("made").id;
    integration(store, ours, "by default", Choice::Default).await;
    assert_eq!(used_by(store, theirs, default).await, []);
    store.delete_proxy(theirs, default, None).await.expect("nobody uses it");
    assert_eq!(store.integration(ours, record.id).await.expect("there"), record, "untouched");
    assert_eq!(used_by(store, ours, setting).await, [("ours".into(), Via::Setting)]);
}

async fn a_proxy_must_be_the_companys(bed: Arc<Bed>) {
    let store = &bed.store;
    let (ours, theirs) = (company(store).await, company(store).await);
    let foreign = proxy(store, theirs, "theirs").await.id;
    let deleted = proxy(store, ours, "deleted").await.id;
    store.delete_proxy(ours, deleted, None).await.expect("deleted");
    let record = integration(store, ours, "a", Choice::None).await;
    for id in [foreign, deleted, ProxyId::new()] {
        let choice = Choice::Setting(id);
        not_found(store.create_integration(ours, IntegrationId::new(), &integration_write("b", choice), now()).await);
        not_found(store.replace_integration(ours, record.id, 1, &integration_write("b", choice), now()).await);
    }
    assert_eq!(store.integrations(ours).await.expect("a list"), [record]);
    assert_eq!(used_by(store, theirs, foreign).await, []);
    store.delete_proxy(theirs, foreign, None).await.expect("nobody uses it");
}

async fn a_use_keeps_a_setting(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let (a, b) = (proxy(store, company, "a").await.id, proxy(store, company, "b").await.id);
    let one = integration(store, company, "Engine 1", Choice::Setting(a)).await.id;
    let two = integration(store, company, "Engine 2", Choice::Default).await.id;
    integration(store, company, "Engine 3", Choice::None).await;
    assert_eq!(used_by(store, company, a).await, [("Engine 1".into(), Via::Setting)]);
    assert_eq!(used_by(store, company, b).await, []);
    match store.delete_proxy(company, a, None).await {
        Err(StoreError::InUse(uses)) => {
            assert_eq!(uses.len(), 1);
            assert_eq!(uses[0].id, one.to_string());
            assert_eq!((uses[0].kind.as_str(), uses[0].name.as_str(), uses[0].via), ("integration", "Engine 1", Via::Setting));
        }
        other => panic!("{other:?}"),
    }
    // The default's users are those of whatever is the default.
    store.set_default_proxy(company, Some(b)).await.expect("set");
    assert_eq!(used_by(store, company, b).await, [("Engine 2".into(), Via::Default)]);
    assert!(
        matches!(store.delete_proxy(company, b, None).await, Err(StoreError::InUse(uses)) if uses.len() == 1 && uses[0].via == Via::Default)
    );
    let taken_away = store.replace_proxy(company, b, 2, &write("b"), now()).await;
    assert!(matches!(taken_away, Err(StoreError::InUse(_))), "{taken_away:?}");
    store.set_default_proxy(company, Some(a)).await.expect("set");
    assert_eq!(used_by(store, company, a).await, [("Engine 1".into(), Via::Setting), ("Engine 2".into(), Via::Default)]);
    assert_eq!(used_by(store, company, b).await, []);
    let page = store.list_proxies(company, &ProxyQuery::default()).await.expect("a list");
    assert_eq!(page.items.iter().map(|record| record.used_by.len()).collect::<Vec<_>>(), [2, 0]);
    store.delete_proxy(company, b, None).await.expect("not used any more");
    // One integration, one choice; and its new name.
    store.replace_integration(company, one, 1, &integration_write("Engine A", Choice::Default), now()).await.expect("replaced");
    assert_eq!(used_by(store, company, a).await, [("Engine 2".into(), Via::Default), ("Engine A".into(), Via::Default)]);
    store.replace_integration(company, one, 2, &integration_write("Engine A", Choice::None), now()).await.expect("replaced");
    assert_eq!(used_by(store, company, a).await, [("Engine 2".into(), Via::Default)]);
    assert!(matches!(store.delete_proxy(company, a, None).await, Err(StoreError::InUse(_))));
    store.delete_integration(company, two, None).await.expect("deleted");
    assert_eq!(used_by(store, company, a).await, []);
    assert_eq!(store.proxy(company, a).await.expect("there").version, 2, "uses are no change of the setting");
    store.delete_proxy(company, a, None).await.expect("not used");
}

async fn a_use_and_a_deletion_at_once_never_leave_a_use_of_nothing(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let (mut used, mut deleted) = (0, 0);
    for round in 0..20 {
        let id = proxy(&bed.store, company, &format!("p{round}")).await.id;
        let via_default = round % 2 == 0;
        if via_default {
            bed.store.set_default_proxy(company, Some(id)).await.expect("set");
        }
        let choice = if via_default { Choice::Default } else { Choice::Setting(id) };
        // Made in half of the rounds, changed in the others.
        let consumer = match round % 4 < 2 {
            true => None,
            false => Some(integration(&bed.store, company, "Engine", Choice::None).await.id),
        };
        let answers = at_once(2, |number| {
            let store = bed.either(number + round / 2);
            async move {
                let write = integration_write("Engine", choice);
                match (number, consumer) {
                    (0, None) => store.create_integration(company, IntegrationId::new(), &write, now()).await.map(drop),
                    (0, Some(id)) => store.replace_integration(company, id, 1, &write, now()).await.map(drop),
                    _ => store.delete_proxy(company, id, None).await,
                }
            }
        })
        .await;
        match (&answers[0], &answers[1]) {
            // The default may be used while there is none; but then it was deleted first, and nobody uses it.
            (Ok(()), Ok(())) if via_default => deleted += 1,
            (Ok(()), Err(StoreError::InUse(_))) => {
                used += 1;
                assert_eq!(used_by(&bed.store, company, id).await.len(), 1);
            }
            (Err(StoreError::NotFound), Ok(())) => deleted += 1,
            other => panic!("{other:?}"),
        }
        for record in bed.store.integrations(company).await.expect("a list") {
            bed.store.delete_integration(company, record.id, None).await.expect("gone");
        }
        let _ = bed.store.delete_proxy(company, id, None).await;
    }
    println!("{used} times the use came first, {deleted} times the deletion");
}

async fn there_may_be_so_many(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    for number in 0..MAX_INTEGRATIONS - 10 {
        integration(&bed.either(number), company, &number.to_string(), Choice::None).await;
    }
    let answers = at_once(15, |number| {
        let store = bed.either(number);
        let write = integration_write(&format!("last {number}"), Choice::None);
        async move { store.create_integration(company, IntegrationId::new(), &write, now()).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10, "and none more, also at once");
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        assert!(matches!(answer, Err(StoreError::Full(MAX_INTEGRATIONS))), "{answer:?}");
    }
    let all = bed.store.integrations(company).await.expect("a list");
    assert_eq!(all.len(), MAX_INTEGRATIONS);
    bed.store.delete_integration(company, all[0].id, None).await.expect("deleted");
    integration(&bed.store, company, "again", Choice::None).await;
}

async fn what_another_key_sealed_is_found_and_replaced(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let with = |name: &str, key: Option<Sealed>, password: Option<Sealed>| IntegrationWrite {
        api_key: key,
        api_password: password,
        ..integration_write(name, Choice::None)
    };
    let proxied = ProxyWrite { password: Some(sealed("old", "p")), ..write("p") };
    let setting = store.create_proxy(company, ProxyId::new(), &proxied, now()).await.expect("made").id;
    let mut ids = Vec::new();
    for (name, key, password) in [
        ("neither", None, None),
        ("both", Some(sealed("old", "1")), Some(sealed("old", "2"))),
        ("one of each", Some(sealed("new", "3")), Some(sealed("zold", "4"))),
        ("the new one", Some(sealed("new", "5")), Some(sealed("new", "6"))),
    ] {
        let id = IntegrationId::new();
        store.create_integration(company, id, &with(name, key, password), now()).await.expect("made");
        ids.push(id);
    }
    let mut found = store.sealed_under_other_keys("new").await.expect("a list");
    found.sort_by_key(|place| place.sealed.0.clone());
    let owners: Vec<_> = found.iter().map(|place| place.owner).collect();
    assert_eq!(
        owners,
        [
            SecretOwner::ApiKey(ids[1]),
            SecretOwner::ApiPassword(ids[1]),
            SecretOwner::Proxy(setting),
            SecretOwner::ApiPassword(ids[2])
        ]
    );
    let both = store.integration(company, ids[1]).await.expect("there");
    assert_eq!(found[0].binding, secret_binding(company, ids[1], IntegrationSecret::ApiKey, &both.values));
    assert_eq!(found[1].binding, secret_binding(company, ids[1], IntegrationSecret::ApiPassword, &both.values));
    assert!(found.iter().all(|place| place.company == company));
    for place in &found {
        store.reseal(place, &sealed("new", "again")).await.expect("replaced");
        store.reseal(place, &sealed("new", "late")).await.expect("it is another by now: no error");
    }
    assert_eq!(store.sealed_under_other_keys("new").await.expect("a list"), []);
    let again = store.integration(company, ids[1]).await.expect("there");
    assert_eq!((&again.api_key, &again.api_password), (&Some(sealed("new", "again")), &Some(sealed("new", "again"))));
    assert_eq!(again.version, both.version);
    let other = store.integration(company, ids[2]).await.expect("there");
    assert_eq!((other.api_key, other.api_password), (Some(sealed("new", "3")), Some(sealed("new", "again"))));

    // Nothing arrives under a key that is not the current one.
    store.init_key_id("new").await.expect("noted");
    for (key, password) in [(Some(sealed("old", "x")), None), (Some(sealed("new", "x")), Some(sealed("old", "x")))] {
        let write = with("late", key, password);
        let refused = store.create_integration(company, IntegrationId::new(), &write, now()).await;
        assert!(matches!(refused, Err(StoreError::KeyChanged)), "{refused:?}");
        let refused = store.replace_integration(company, ids[0], 1, &write, now()).await;
        assert!(matches!(refused, Err(StoreError::KeyChanged)), "{refused:?}");
    }
    let write = with("late", Some(sealed("new", "x")), Some(sealed("new", "y")));
    store.replace_integration(company, ids[0], 1, &write, now()).await.expect("the current key");
}

fn test(ok: bool) -> IntegrationTest {
    IntegrationTest {
        at: now(),
        ok,
        cause: (!ok).then_some(Cause::KeyRejected),
        message: "VirusTotal refused the key.".into(),
        ms: 123,
        route: Some(Route::Direct { reason: DirectReason::NoProxy }),
    }
}

async fn the_last_test_is_kept(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let record = integration(store, company, "a", Choice::None).await;
    let result = test(false);
    store.record_integration_test(company, record.id, record.version, &result, Health::Degraded).await.expect("kept");
    let tested = store.integration(company, record.id).await.expect("there");
    assert_eq!((tested.last_test.as_ref(), tested.health), (Some(&result), Some(Health::Degraded)));
    assert_eq!((tested.version, tested.updated_at), (1, record.updated_at));
    let replaced =
        store.replace_integration(company, record.id, 1, &integration_write("a", Choice::None), now()).await.expect("replaced");
    assert_eq!(replaced.last_test, Some(result.clone()), "saving keeps it");
    store.delete_integration(company, record.id, None).await.expect("deleted");
    assert!(matches!(
        store.record_integration_test(company, record.id, record.version, &result, Health::Down).await,
        Err(StoreError::NotFound)
    ));
    not_found(store.integration(company, record.id).await);
}
