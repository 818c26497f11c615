//! Proxy settings, the default, uses and test slots.

use std::{collections::HashSet, sync::Arc, time::Duration};

use gatehouse_domain::{Authentication, Cause, Health, LastTest, Page, ProxyQuery, ProxySort, Scheme, SortField, UsedBy, Via};
use gatehouse_platform::{
    CompanyId, ProxyId, Sealed,
    ports::{ProxyRecord, ProxyStore as _, ProxyWrite, StoreError},
};

use crate::support::{Bed, at_once, company, defaults, form, now, on_each_database, proxy, write};

on_each_database! {
    a_setting_is_kept_as_it_was_entered
    replacing_needs_the_version
    names_are_unique_in_a_company_whatever_their_case
    another_companys_settings_are_not_there
    the_default_is_one_and_can_be_taken_away
    fifty_who_make_another_the_default_leave_one
    fifty_who_make_the_same_name_leave_one
    fifty_who_change_the_same_setting_leave_one
    a_default_is_never_deleted_under_its_pointer
    the_default_is_one_read
    a_second_setting_is_used_by_the_first
    a_second_setting_is_never_deleted_under_its_first
    what_is_kept_is_never_old
    the_generation_grows_with_what_is_written
    lists_are_sorted_filtered_and_paged
    a_cursor_must_be_ours
    tests_have_places
    many_who_take_a_place_are_never_more_than_the_places
    the_last_test_is_kept
}

async fn a_setting_is_kept_as_it_was_entered(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let (id, made) = (ProxyId::new(), now());
    let sealed = Sealed("v1.0123456789abcdef.AAAA".into());
    let mut form = form("  Zürich  Süd ");
    form.host = "Bücher.example".into();
    form.scheme = "socks5h".into();
    form.username = "jo:Doe".into();
    form.timeout_s = "42".into();
    form.ca_pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----".into();
    let entered = ProxyWrite { values: form.parse(false).expect("right"), password: Some(sealed), is_default: true };
    let written = store.create_proxy(company, id, &entered, made).await.expect("made");
    assert_eq!(written.values, entered.values);
    assert_eq!(written.values.host.as_str(), "Bücher.example", "as typed");
    assert_eq!(written.password, entered.password);
    assert_eq!((written.id, written.version, written.is_default), (id, 1, true));
    assert_eq!((written.created_at, written.updated_at), (made, made));
    assert_eq!((&written.last_test, &written.used_by), (&None, &Vec::new()));
    assert_eq!(store.proxy(company, id).await.expect("there"), written);

    // Everything that is optional goes away again.
    let changed = now();
    let plain = ProxyWrite { values: crate::support::form("x").parse(false).expect("right"), password: None, is_default: true };
    let mut plain_values = plain.values.clone();
    plain_values.authentication = Authentication::Transparent;
    plain_values.username = None;
    plain_values.bypass = Default::default();
    plain_values.ca_pem = None;
    let plain = ProxyWrite { values: plain_values, ..plain };
    let replaced = store.replace_proxy(company, id, 1, &plain, changed).await.expect("replaced");
    assert_eq!((&replaced.values, &replaced.password), (&plain.values, &None));
    assert_eq!((replaced.version, replaced.is_default), (2, true));
    assert_eq!((replaced.created_at, replaced.updated_at), (made, changed));
    assert_eq!(bed.other.proxy(company, id).await.expect("there"), replaced);
}

async fn replacing_needs_the_version(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let id = proxy(store, company, "a").await.id;
    let replaced = store.replace_proxy(company, id, 1, &write("b"), now()).await.expect("replaced");
    assert_eq!((replaced.version, replaced.values.name.as_str()), (2, "b"));
    let late = store.replace_proxy(company, id, 1, &write("c"), now()).await;
    assert!(matches!(late, Err(StoreError::Changed(2))), "{late:?}");
    assert!(matches!(store.delete_proxy(company, id, Some(1)).await, Err(StoreError::Changed(2))));
    // Being made the default is a change of both.
    let other = proxy(store, company, "other").await.id;
    store.set_default_proxy(company, Some(id)).await.expect("set");
    assert_eq!(store.proxy(company, id).await.expect("there").version, 3);
    store.set_default_proxy(company, Some(id)).await.expect("set");
    assert_eq!(store.proxy(company, id).await.expect("there").version, 3, "nothing changed");
    store.set_default_proxy(company, Some(other)).await.expect("set");
    assert_eq!(
        (store.proxy(company, id).await.expect("there").version, store.proxy(company, other).await.expect("there").version),
        (4, 2)
    );
    store.set_default_proxy(company, None).await.expect("set");
    assert_eq!(store.proxy(company, other).await.expect("there").version, 3);
    // By saving, too.
    store.replace_proxy(company, other, 3, &ProxyWrite { is_default: true, ..write("other") }, now()).await.expect("replaced");
    store.replace_proxy(company, id, 4, &ProxyWrite { is_default: true, ..write("b") }, now()).await.expect("replaced");
    assert_eq!(
        (store.proxy(company, id).await.expect("there").version, store.proxy(company, other).await.expect("there").version),
        (5, 5)
    );
    store.delete_proxy(company, id, Some(5)).await.expect("deleted");
    assert!(matches!(store.delete_proxy(company, id, None).await, Err(StoreError::NotFound)));
    assert!(matches!(store.proxy(company, id).await, Err(StoreError::NotFound)));
    assert_eq!(defaults(store, company).await, []);
}

async fn names_are_unique_in_a_company_whatever_their_case(bed: Arc<Bed>) {
    let store = &bed.store;
    let (one, two) = (company(store).await, company(store).await);
    proxy(store, one, "Straße").await;
    let same = store.create_proxy(one, ProxyId::new(), &write("STRASSE"), now()).await;
    assert!(matches!(same, Err(StoreError::NameTaken)), "{same:?}");
    proxy(store, two, "STRASSE").await;
    let other = proxy(store, one, "Other").await;
    assert!(matches!(store.replace_proxy(one, other.id, 1, &write("straße"), now()).await, Err(StoreError::NameTaken)));
    // Its own name in another case is free, and a deleted one's.
    store.replace_proxy(one, other.id, 1, &write("OTHER"), now()).await.expect("its own");
    store.delete_proxy(one, other.id, None).await.expect("deleted");
    proxy(store, one, "other").await;
}

async fn another_companys_settings_are_not_there(bed: Arc<Bed>) {
    let store = &bed.store;
    let (ours, theirs) = (company(store).await, company(store).await);
    let record = proxy(store, ours, "ours").await;
    store.set_default_proxy(ours, Some(record.id)).await.expect("set");
    let record = store.proxy(ours, record.id).await.expect("there");
    let id = record.id;
    fn not_found<T: std::fmt::Debug>(result: Result<T, StoreError>) {
        assert!(matches!(result, Err(StoreError::NotFound)), "{result:?}");
    }
    not_found(store.proxy(theirs, id).await);
    not_found(store.replace_proxy(theirs, id, 2, &write("x"), now()).await);
    not_found(store.delete_proxy(theirs, id, None).await);
    not_found(store.delete_proxy(theirs, id, Some(2)).await);
    not_found(store.set_default_proxy(theirs, Some(id)).await);
    store.set_default_proxy(theirs, None).await.expect("nothing to take away");
    store.record_proxy_test(theirs, id, &last_test(), Health::Healthy).await.expect("nothing there");
    assert_eq!(store.default_proxy(theirs).await.expect("an answer"), None);
    not_found(store.create_proxy(CompanyId::new(), ProxyId::new(), &write("x"), now()).await);
    assert_eq!(store.list_proxies(theirs, &ProxyQuery::default()).await.expect("a list").items, []);
    let by_id = ProxyQuery { is_default: Some(true), ..Default::default() };
    assert_eq!(store.list_proxies(theirs, &by_id).await.expect("a list").items, []);
    assert_eq!(store.proxy(ours, id).await.expect("there"), record, "untouched");
}

async fn the_default_is_one_and_can_be_taken_away(bed: Arc<Bed>) {
    let store = &bed.store;
    let (company, elsewhere) = (company(store).await, company(store).await);
    let (a, b) = (proxy(store, company, "a").await.id, proxy(store, company, "b").await.id);
    let theirs = store
        .create_proxy(elsewhere, ProxyId::new(), &ProxyWrite { is_default: true, ..write("c") }, now())
        .await
        .expect("made")
        .id;
    assert_eq!(defaults(store, company).await, []);
    store.set_default_proxy(company, Some(a)).await.expect("set");
    store.set_default_proxy(company, Some(b)).await.expect("set");
    assert_eq!(defaults(store, company).await, [b]);
    let c =
        store.create_proxy(company, ProxyId::new(), &ProxyWrite { is_default: true, ..write("c") }, now()).await.expect("made");
    assert!(c.is_default);
    assert_eq!(defaults(store, company).await, [c.id]);
    let c = store.replace_proxy(company, c.id, 1, &write("c"), now()).await.expect("replaced");
    assert!(!c.is_default);
    assert_eq!(defaults(store, company).await, []);
    store.set_default_proxy(company, Some(a)).await.expect("set");
    store.delete_proxy(company, a, None).await.expect("deleted");
    assert_eq!(defaults(store, company).await, []);
    assert!(matches!(store.set_default_proxy(company, Some(a)).await, Err(StoreError::NotFound)));
    assert_eq!(defaults(store, elsewhere).await, [theirs]);
}

async fn fifty_who_make_another_the_default_leave_one(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let mut ids = Vec::new();
    for number in 0..50 {
        ids.push(proxy(&bed.store, company, &format!("p{number}")).await.id);
    }
    let answers = at_once(50, |number| {
        let (store, id) = (bed.either(number), ids[number]);
        async move { store.set_default_proxy(company, Some(id)).await }
    })
    .await;
    for answer in answers {
        answer.expect("no error reaches the caller");
    }
    assert_eq!(defaults(&bed.store, company).await.len(), 1);
    // Each change of the default was counted on the setting that became it and the one that no longer was.
    let mut changes = 0;
    for id in ids {
        changes += bed.store.proxy(company, id).await.expect("there").version - 1;
    }
    assert_eq!(changes, 50 + 49);
}

async fn fifty_who_make_the_same_name_leave_one(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let answers = at_once(50, |number| {
        let store = bed.either(number);
        let name = if number % 3 == 0 { "Corp EU" } else { "corp eu" };
        async move { store.create_proxy(company, ProxyId::new(), &ProxyWrite { is_default: true, ..write(name) }, now()).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        assert!(matches!(answer, Err(StoreError::NameTaken)), "{answer:?}");
    }
    assert_eq!(bed.store.list_proxies(company, &ProxyQuery::default()).await.expect("a list").items.len(), 1);
}

async fn fifty_who_change_the_same_setting_leave_one(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let id = proxy(&bed.store, company, "a").await.id;
    let answers = at_once(50, |number| {
        let store = bed.either(number);
        async move { store.replace_proxy(company, id, 1, &write(&format!("name {number}")), now()).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in answers.iter().filter(|answer| answer.is_err()) {
        assert!(matches!(answer, Err(StoreError::Changed(2))), "{answer:?}");
    }
}

async fn a_default_is_never_deleted_under_its_pointer(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    for round in 0..15 {
        let id = proxy(&bed.store, company, &format!("p{round}")).await.id;
        let answers = at_once(4, |number| {
            let store = bed.either(number + round);
            async move {
                match number {
                    0 | 1 => store.set_default_proxy(company, Some(id)).await,
                    2 => store.delete_proxy(company, id, None).await,
                    _ => store
                        .replace_proxy(company, id, 1, &ProxyWrite { is_default: true, ..write("again") }, now())
                        .await
                        .map(drop),
                }
            }
        })
        .await;
        assert!(answers[2].is_ok(), "{:?}", answers[2]);
        for answer in answers {
            assert!(matches!(answer, Ok(()) | Err(StoreError::NotFound | StoreError::Changed(_))), "{answer:?}");
        }
        assert_eq!(defaults(&bed.store, company).await, []);
        // A pointer to nothing would make this setting's use fail, or its successor the default.
        let next = proxy(&bed.store, company, "next").await;
        bed.store.set_default_proxy(company, Some(next.id)).await.expect("set");
        assert_eq!(defaults(&bed.store, company).await, [next.id]);
        bed.store.delete_proxy(company, next.id, Some(2)).await.expect("deleted");
    }
}

async fn the_default_is_one_read(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    assert_eq!(store.default_proxy(company).await.expect("an answer"), None);
    let (a, b) = (proxy(store, company, "a").await.id, proxy(store, company, "b").await.id);
    assert_eq!(store.default_proxy(company).await.expect("an answer"), None);
    for id in [a, b] {
        store.set_default_proxy(company, Some(id)).await.expect("set");
        let record = bed.other.default_proxy(company).await.expect("an answer").expect("one");
        assert_eq!(record, store.proxy(company, id).await.expect("there"));
        assert!(record.is_default);
    }
    store.set_default_proxy(company, None).await.expect("taken away");
    assert_eq!(store.default_proxy(company).await.expect("an answer"), None);
    store.set_default_proxy(company, Some(a)).await.expect("set");
    store.delete_proxy(company, a, None).await.expect("deleted");
    assert_eq!(store.default_proxy(company).await.expect("an answer"), None);
}

/// A setting that falls back to another one.
fn write_with(name: &str, fallback: Option<ProxyId>) -> ProxyWrite {
    let mut write = write(name);
    write.values.fallback = fallback.map(|id| id.to_string());
    write
}

async fn a_second_setting_is_used_by_the_first(bed: Arc<Bed>) {
    let store = &bed.store;
    let (company, elsewhere) = (company(store).await, company(store).await);
    let second = proxy(store, company, "second").await.id;
    let first = ProxyId::new();
    let made = store.create_proxy(company, first, &write_with("first", Some(second)), now()).await.expect("made");
    assert_eq!(made.values.fallback, Some(second.to_string()));
    let uses = |name: &str| vec![UsedBy { kind: "proxy".into(), id: first.to_string(), name: name.into(), via: Via::Setting }];
    assert_eq!(store.proxy(company, second).await.expect("there").used_by, uses("first"));
    let refused = async |name: &str| match store.delete_proxy(company, second, None).await {
        Err(StoreError::InUse(users)) => assert_eq!(users, uses(name)),
        other => panic!("{other:?}"),
    };
    refused("first").await;
    store.replace_proxy(company, first, 1, &write_with("renamed", Some(second)), now()).await.expect("replaced");
    refused("renamed").await;
    store.replace_proxy(company, first, 2, &write_with("renamed", None), now()).await.expect("replaced");
    assert_eq!(store.proxy(company, second).await.expect("there").used_by, []);
    store.replace_proxy(company, first, 3, &write_with("renamed", Some(second)), now()).await.expect("replaced");
    store.delete_proxy(company, first, None).await.expect("deleted, and with it its use");
    store.delete_proxy(company, second, None).await.expect("deleted");

    let theirs = proxy(store, elsewhere, "theirs").await.id;
    for other in [second, theirs] {
        let made = store.create_proxy(company, ProxyId::new(), &write_with("again", Some(other)), now()).await;
        assert!(matches!(made, Err(StoreError::Gone)), "{made:?}");
    }
    assert_eq!(store.list_proxies(company, &ProxyQuery::default()).await.expect("a list").items, [], "nothing half made");
    let id = proxy(store, company, "own").await.id;
    assert!(store.replace_proxy(company, id, 1, &write_with("own", Some(id)), now()).await.is_err(), "not its own second");
}

async fn a_second_setting_is_never_deleted_under_its_first(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    for round in 0..15 {
        let second = proxy(&bed.store, company, &format!("second {round}")).await.id;
        let first = proxy(&bed.store, company, &format!("first {round}")).await.id;
        let answers = at_once(2, |number| {
            let store = bed.either(number + round);
            async move {
                match number {
                    0 => store.delete_proxy(company, second, None).await,
                    _ => store.replace_proxy(company, first, 1, &write_with("x", Some(second)), now()).await.map(drop),
                }
            }
        })
        .await;
        let there = bed.store.proxy(company, second).await.is_ok();
        let named = bed.store.proxy(company, first).await.expect("there").values.fallback.is_some();
        assert_eq!(there, named, "{answers:?}");
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        bed.store.delete_proxy(company, first, None).await.expect("deleted");
    }
}

/// Whatever was acknowledged is what the next one reads, however many read and write meanwhile.
async fn what_is_kept_is_never_old(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let query = ProxyQuery { limit: 200, ..ProxyQuery::default() };
    let names = |page: Page<ProxyRecord>| page.items.into_iter().map(|item| item.id).collect::<HashSet<_>>();
    at_once(20, |number| {
        let (store, other, query) = (bed.either(number), bed.either(number + 1), query.clone());
        async move {
            for _ in 0..5 {
                let id = ProxyId::new();
                store.create_proxy(company, id, &write(&format!("p{number}")), now()).await.expect("made");
                assert!(names(other.list_proxies(company, &query).await.expect("a list")).contains(&id), "made");
                store.delete_proxy(company, id, None).await.expect("deleted");
                assert!(!names(other.list_proxies(company, &query).await.expect("a list")).contains(&id), "deleted");
            }
        }
    })
    .await;
    assert_eq!(bed.store.list_proxies(company, &query).await.expect("a list").items, []);
}

async fn the_generation_grows_with_what_is_written(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    if bed.server.is_some() {
        assert_eq!(store.proxies_generation(), None, "others write there, too");
        proxy(store, company, "a").await;
        assert_eq!(store.proxies_generation(), None);
        return;
    }
    let mut last = store.proxies_generation().expect("a number");
    let mut grown = |what: &str| {
        let number = bed.other.proxies_generation().expect("a number");
        assert!(number >= last + 2, "{what}: before it began and after it ended");
        last = number;
    };
    let id = proxy(store, company, "a").await.id;
    grown("made");
    store.set_default_proxy(company, Some(id)).await.expect("set");
    grown("the default");
    store.replace_proxy(company, id, 2, &write("b"), now()).await.expect("replaced");
    grown("replaced");
    assert!(matches!(store.replace_proxy(company, id, 1, &write("b"), now()).await, Err(StoreError::Changed(3))));
    grown("refused");
    store.record_proxy_test(company, id, &last_test(), Health::Healthy).await.expect("kept");
    grown("tested");
    store.set_default_proxy(company, None).await.expect("set");
    grown("no default");
    store.delete_proxy(company, id, None).await.expect("deleted");
    grown("deleted");
    // A caller who goes away at once: the write goes on, and is counted when it has ended.
    let task = store.clone();
    let task = tokio::spawn(async move { task.create_proxy(company, ProxyId::new(), &write("c"), now()).await });
    while store.proxies_generation() == Some(last) {
        tokio::task::yield_now().await;
    }
    task.abort();
    let begin = std::time::Instant::now();
    while store.proxies_generation() < Some(last + 2) {
        assert!(begin.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.list_proxies(company, &ProxyQuery::default()).await.expect("a list");
    assert_eq!(store.proxies_generation(), Some(last + 2), "reading counts nothing");
}

async fn lists_are_sorted_filtered_and_paged(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    for number in 0..23u16 {
        let mut form = form(&format!("Näme {:02}", (number * 7) % 23));
        form.host = format!("h{:02}.Example", (number * 5) % 23 / 2);
        form.port = (3000 + number % 4).to_string();
        form.scheme = ["http", "https", "socks5", "socks5h"][usize::from(number % 4)].into();
        form.username = format!("User{number}");
        if number % 3 == 0 {
            form.authentication = "transparent".into();
        }
        let write = ProxyWrite { values: form.parse(false).expect("right"), password: None, is_default: number == 11 };
        store.create_proxy(company, ProxyId::new(), &write, now()).await.expect("made");
    }
    let all = async |query: ProxyQuery| {
        let (mut items, mut pages, mut cursor) = (Vec::new(), 0, None);
        loop {
            let page = store.list_proxies(company, &ProxyQuery { cursor, ..query.clone() }).await.expect("a page");
            assert!(page.items.len() <= usize::from(query.limit));
            items.extend(page.items);
            pages += 1;
            cursor = page.next;
            if cursor.is_none() {
                return (items, pages);
            }
        }
    };
    for field in SortField::ALL {
        for descending in [false, true] {
            for limit in [1, 4, 23, 200] {
                let (items, pages) = all(ProxyQuery { sort: ProxySort { field, descending }, limit, ..Default::default() }).await;
                assert_eq!(items.len(), 23, "{field:?} {limit}");
                assert_eq!(items.iter().map(|item| item.id).collect::<HashSet<_>>().len(), 23, "each once");
                assert_eq!(pages, 23usize.div_ceil(usize::from(limit)));
                let mut expected: Vec<_> = items.iter().collect();
                expected.sort_by(|a, b| {
                    let order = match field {
                        SortField::Name => a.values.name.key().cmp(&b.values.name.key()),
                        SortField::Host => a.values.host.ascii().cmp(b.values.host.ascii()),
                        SortField::Port => a.values.port.get().cmp(&b.values.port.get()),
                        SortField::Authentication => (a.values.authentication == Authentication::Basic)
                            .cmp(&(b.values.authentication == Authentication::Basic)),
                        SortField::IsDefault => a.is_default.cmp(&b.is_default),
                        SortField::CreatedAt => a.created_at.cmp(&b.created_at),
                    };
                    let order = order.then(a.id.cmp(&b.id));
                    if descending { order.reverse() } else { order }
                });
                assert!(items.iter().eq(expected), "{field:?} descending: {descending} limit: {limit}");
            }
        }
    }
    let count = async |query: ProxyQuery| all(query).await.0.len();
    let any = ProxyQuery::default();
    assert_eq!(count(ProxyQuery { q: "NÄME 0".into(), ..any.clone() }).await, 10, "in the name, without regard to case");
    assert_eq!(count(ProxyQuery { q: "H03.EXAMPLE".into(), ..any.clone() }).await, 2, "in the host");
    assert_eq!(count(ProxyQuery { q: "uSER22".into(), ..any.clone() }).await, 1, "in the user name");
    assert_eq!(count(ProxyQuery { q: "user21".into(), ..any.clone() }).await, 0, "a setting without authentication has none");
    assert_eq!(count(ProxyQuery { q: "' OR true".into(), ..any.clone() }).await, 0);
    assert_eq!(count(ProxyQuery { authentication: Some(Authentication::Transparent), ..any.clone() }).await, 8);
    assert_eq!(count(ProxyQuery { scheme: Some(Scheme::Https), ..any.clone() }).await, 6);
    assert_eq!(count(ProxyQuery { is_default: Some(true), ..any.clone() }).await, 1);
    assert_eq!(count(ProxyQuery { is_default: Some(false), limit: 5, ..any.clone() }).await, 22);
    assert_eq!(count(ProxyQuery { port: 3003.try_into().ok(), limit: 2, ..any.clone() }).await, 5);
    assert_eq!(count(ProxyQuery { name: Some("näme  05".into()), ..any.clone() }).await, 1);
    assert_eq!(count(ProxyQuery { name: Some("näme".into()), ..any.clone() }).await, 0);
    assert_eq!(count(ProxyQuery { host: Some("H03.example".into()), ..any.clone() }).await, 2);
    assert_eq!(count(ProxyQuery { host: Some("h03".into()), ..any.clone() }).await, 0);
    let narrow =
        ProxyQuery { q: "example".into(), scheme: Some(Scheme::Https), authentication: Some(Authentication::Basic), ..any };
    assert_eq!(count(narrow).await, 4);
}

async fn a_cursor_must_be_ours(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    for name in ["a", "b", "c"] {
        proxy(store, company, name).await;
    }
    let first = store.list_proxies(company, &ProxyQuery { limit: 1, ..Default::default() }).await.expect("a page");
    let cursor = first.next.expect("more");
    let by_port = ProxySort { field: SortField::Port, descending: false };
    for query in [
        ProxyQuery { cursor: Some("x".into()), ..Default::default() },
        ProxyQuery { cursor: Some(String::new()), ..Default::default() },
        ProxyQuery { cursor: Some(format!("{cursor}A")), ..Default::default() },
        ProxyQuery { cursor: Some(cursor), sort: by_port, ..Default::default() },
    ] {
        assert!(matches!(store.list_proxies(company, &query).await, Err(StoreError::BadCursor)));
    }
}

async fn tests_have_places(bed: Arc<Bed>) {
    let store = &bed.store;
    let (company, elsewhere) = (company(store).await, company(store).await);
    let (begin, lease) = (now(), Duration::from_secs(30));
    let take = async |limit, at| store.take_test_slot(company, limit, lease, at).await.expect("an answer");
    let mut slots = Vec::new();
    for _ in 0..3 {
        slots.push(take(3, begin).await.expect("free"));
    }
    assert_eq!(slots.iter().map(|slot| slot.number).collect::<HashSet<_>>(), HashSet::from([0, 1, 2]));
    assert_eq!(take(3, begin + Duration::from_secs(10)).await, Err(Duration::from_secs(20)), "until a lease ends");
    assert!(store.take_test_slot(elsewhere, 3, lease, begin).await.expect("an answer").is_ok());
    store.release_test_slot(&slots[1]).await.expect("released");
    store.release_test_slot(&slots[1]).await.expect("twice is no error");
    let again = take(3, begin).await.expect("free");
    assert_eq!(again.number, slots[1].number);
    store.release_test_slot(&slots[1]).await.expect("the earlier holder");
    assert!(take(3, begin).await.is_err(), "the later holder keeps its place");
    let later = begin + lease;
    let after_lease: Vec<_> = [take(3, later).await, take(3, later).await, take(3, later).await].into_iter().flatten().collect();
    assert_eq!(after_lease.len(), 3, "what was not given back is free after the lease");
    assert_eq!(take(0, later).await, Err(lease), "no places at all");
}

async fn many_who_take_a_place_are_never_more_than_the_places(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let (at, lease) = (now(), Duration::from_secs(30));
    let answers = at_once(30, |number| {
        let store = bed.either(number);
        async move { store.take_test_slot(company, 10, lease, at).await.expect("an answer") }
    })
    .await;
    let slots: Vec<_> = answers.into_iter().flatten().collect();
    assert_eq!(slots.len(), 10);
    assert_eq!(slots.iter().map(|slot| slot.number).collect::<HashSet<_>>().len(), 10);
}

fn last_test() -> LastTest {
    LastTest {
        at: now(),
        ok: false,
        cause: Some(Cause::ProxyAuthRequired),
        message: "The proxy asks for a user name and password.".into(),
        ms: 123,
        target: "https://example.com/".into(),
        egress_ip: Some("192.0.2.1".into()),
    }
}

async fn the_last_test_is_kept(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let record = proxy(store, company, "a").await;
    let result = last_test();
    store.record_proxy_test(company, record.id, &result, Health::Down).await.expect("kept");
    let tested = store.proxy(company, record.id).await.expect("there");
    assert_eq!((tested.last_test.as_ref(), tested.version, tested.updated_at), (Some(&result), 1, record.updated_at));
    let replaced = store.replace_proxy(company, record.id, 1, &write("a"), now()).await.expect("replaced");
    assert_eq!(replaced.last_test, Some(result.clone()), "saving keeps it");
    store.delete_proxy(company, record.id, None).await.expect("deleted");
    store.record_proxy_test(company, record.id, &result, Health::Down).await.expect("no error");
    assert!(matches!(store.proxy(company, record.id).await, Err(StoreError::NotFound)), "a test brings nothing back");
}
