//! Which key sealed the database.

use std::sync::Arc;

use gatehouse_platform::{
    ProxyId, Sealed,
    ports::{KeyStore as _, ProxyStore as _, ProxyWrite, SealedPlace, SecretOwner, StoreError},
    proxies::password_binding,
};

use crate::support::{Bed, at_once, company, now, on_each_database, proxy, write};

on_each_database! {
    the_key_is_noted_once_and_swapped_by_name
    what_another_key_sealed_is_found_and_replaced
    nothing_is_written_under_a_key_that_is_not_the_current_one
    a_rotation_at_the_same_time_leaves_nothing_under_the_old_key_unseen
}

fn sealed(key: &str, value: &str) -> Sealed {
    Sealed(format!("v1.{key}.{value}"))
}

fn proxy_of(place: &SealedPlace) -> ProxyId {
    match place.owner {
        SecretOwner::Proxy(id) => id,
        other => panic!("{other:?}"),
    }
}

fn with_password(name: &str, password: Sealed) -> ProxyWrite {
    ProxyWrite { password: Some(password), ..write(name) }
}

async fn the_key_is_noted_once_and_swapped_by_name(bed: Arc<Bed>) {
    let store = &bed.store;
    assert_eq!(store.key_id().await.expect("an answer"), None);
    store.swap_key_id("one", "two").await.expect("nothing to swap");
    assert_eq!(store.key_id().await.expect("an answer"), None);
    store.init_key_id("one").await.expect("noted");
    store.init_key_id("two").await.expect("no error");
    assert_eq!(bed.other.key_id().await.expect("an answer").as_deref(), Some("one"));
    store.swap_key_id("two", "three").await.expect("not the current one");
    assert_eq!(store.key_id().await.expect("an answer").as_deref(), Some("one"));
    store.swap_key_id("one", "two").await.expect("swapped");
    assert_eq!(store.key_id().await.expect("an answer").as_deref(), Some("two"));
    // Making a company writes the same record, and takes nothing from it.
    company(store).await;
    assert_eq!(store.key_id().await.expect("an answer").as_deref(), Some("two"));
}

async fn what_another_key_sealed_is_found_and_replaced(bed: Arc<Bed>) {
    let store = &bed.store;
    let (one, two) = (company(store).await, company(store).await);
    proxy(store, one, "without").await;
    for (company, name, key) in [(one, "a", "old"), (two, "b", "old"), (two, "c", "new")] {
        store.create_proxy(company, ProxyId::new(), &with_password(name, sealed(key, name)), now()).await.expect("made");
    }
    let mut found = store.sealed_under_other_keys("new").await.expect("a list");
    found.sort_by_key(|place| place.sealed.0.clone());
    assert_eq!(
        found.iter().map(|place| (place.company, &place.sealed)).collect::<Vec<_>>(),
        [(one, &sealed("old", "a")), (two, &sealed("old", "b"))]
    );
    let record = store.proxy(one, proxy_of(&found[0])).await.expect("there");
    assert_eq!(found[0].binding, password_binding(one, record.id, &record.values));
    store.reseal(&found[0], &sealed("new", "a2")).await.expect("replaced");
    store.reseal(&found[0], &sealed("new", "a3")).await.expect("it is another by now: no error");
    let resealed = store.proxy(one, record.id).await.expect("there");
    assert_eq!((resealed.password, resealed.version), (Some(sealed("new", "a2")), record.version));
    assert_eq!(store.sealed_under_other_keys("new").await.expect("a list").len(), 1);
    // A place of another company is not there.
    let mut wrong = found[1].clone();
    wrong.company = one;
    store.reseal(&wrong, &sealed("new", "x")).await.expect("no error");
    assert_eq!(store.sealed_under_other_keys("new").await.expect("a list").len(), 1);
    store.reseal(&found[1], &sealed("new", "b2")).await.expect("replaced");
    assert_eq!(store.sealed_under_other_keys("new").await.expect("a list"), []);
}

async fn nothing_is_written_under_a_key_that_is_not_the_current_one(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    store.init_key_id("current").await.expect("noted");
    let refused = store.create_proxy(company, ProxyId::new(), &with_password("a", sealed("old", "a")), now()).await;
    assert!(matches!(refused, Err(StoreError::KeyChanged)), "{refused:?}");
    let record =
        store.create_proxy(company, ProxyId::new(), &with_password("a", sealed("current", "a")), now()).await.expect("made");
    let refused = store.replace_proxy(company, record.id, 1, &with_password("b", sealed("old", "a")), now()).await;
    assert!(matches!(refused, Err(StoreError::KeyChanged)), "{refused:?}");
    assert_eq!(store.proxy(company, record.id).await.expect("there"), record);
    store.replace_proxy(company, record.id, 1, &write("b"), now()).await.expect("without a password no key matters");
}

async fn a_rotation_at_the_same_time_leaves_nothing_under_the_old_key_unseen(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    bed.store.init_key_id("key0").await.expect("noted");
    for round in 0..5 {
        let (old, new) = (format!("key{round}"), format!("key{}", round + 1));
        let answers = at_once(8, |number| {
            let (store, old, new) = (bed.either(number), old.clone(), new.clone());
            async move {
                if number == 3 {
                    store.swap_key_id(&old, &new).await.expect("swapped");
                    // From here on, nothing sealed under the old key arrives any more.
                    return store.sealed_under_other_keys(&new).await.expect("a list").len();
                }
                let write = with_password(&format!("{round}/{number}"), sealed(&old, "x"));
                match store.create_proxy(company, ProxyId::new(), &write, now()).await {
                    Ok(_) | Err(StoreError::KeyChanged) => 0,
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
        let left = bed.store.sealed_under_other_keys(&new).await.expect("a list");
        assert_eq!(left.len(), answers[3], "seen right after the swap");
        for place in left {
            bed.store.reseal(&place, &sealed(&new, "y")).await.expect("replaced");
        }
    }
}
