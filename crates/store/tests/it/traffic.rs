//! The platform's own traffic.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use chrono::TimeDelta;
use gatehouse_domain::{
    Cause, CauseFilter, Consumer, DirectReason, ProxyRef, Route, Timestamp, TrafficQuery, TrafficSum, TrafficView,
};
use gatehouse_platform::{
    CompanyId,
    ports::{StoreError, TrafficStore as _},
};
use gatehouse_store::Store;
use uuid::Uuid;

use crate::support::{Bed, at_once, company, now, on_each_database};

on_each_database! {
    records_are_paged_and_summed
    a_page_has_neither_gaps_nor_doubles_while_others_write
    records_are_filtered
    many_looked_at_in_vain_are_no_end
    old_records_go
}

/// An identifier as one would have been made at that moment.
fn id_at(at: Timestamp) -> String {
    let unix = uuid::Timestamp::from_unix(
        uuid::NoContext,
        u64::try_from(at.timestamp()).expect("after 1970"),
        at.timestamp_subsec_nanos(),
    );
    Uuid::new_v7(unix).to_string()
}

fn proxy(number: usize) -> ProxyRef {
    ProxyRef { id: format!("p{number}"), name: format!("Proxy {number}") }
}

/// One of many kinds.
fn record(number: usize, at: Timestamp) -> TrafficView {
    TrafficView {
        id: id_at(at),
        at,
        consumer: Consumer { kind: "integration".into(), id: format!("i{}", number % 4), name: format!("Engine {}", number % 4) },
        method: if number.is_multiple_of(5) { "POST" } else { "GET" }.into(),
        host: format!("h{}.example:443", number % 7),
        route: match number % 3 {
            0 => None,
            1 => Some(Route::Direct { reason: DirectReason::NoProxy }),
            _ => Some(Route::Proxy { proxy: proxy(number % 2), instead_of: None }),
        },
        status: (!number.is_multiple_of(6)).then_some(200),
        bytes_in: u64::try_from(number).expect("few"),
        bytes_out: 3,
        ms: 7,
        cause: number.is_multiple_of(6).then_some(Cause::TargetTimeout),
    }
}

/// So many records, some milliseconds apart, the last one now.
pub fn records(company: CompanyId, count: usize, apart: TimeDelta) -> Vec<(CompanyId, TrafficView)> {
    let end = now();
    let back = |number: usize| apart * i32::try_from(count - number).expect("few");
    (0..count).map(|number| (company, record(number, end - back(number)))).collect()
}

async fn all(store: &Store, company: CompanyId, query: &TrafficQuery) -> (Vec<TrafficView>, usize) {
    let (mut items, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = store.traffic(company, &TrafficQuery { cursor, ..query.clone() }).await.expect("a page");
        assert!(page.items.len() <= usize::from(query.limit));
        items.extend(page.items);
        pages += 1;
        cursor = page.next;
        if cursor.is_none() {
            return (items, pages);
        }
    }
}

/// What the sums must be.
fn sums(records: &[(CompanyId, TrafficView)], of: CompanyId) -> Vec<TrafficSum> {
    let mut sums: BTreeMap<_, TrafficSum> = BTreeMap::new();
    for (_, view) in records.iter().filter(|(company, _)| *company == of) {
        let at = Timestamp::from_timestamp(view.at.timestamp() / 300 * 300, 0).expect("a moment");
        let proxy = match &view.route {
            Some(Route::Proxy { proxy, .. }) => Some(proxy.clone()),
            _ => None,
        };
        let key = (at, proxy.as_ref().map(|proxy| proxy.id.clone()), view.cause.map(Cause::as_str));
        let sum = sums.entry(key).or_insert_with(|| TrafficSum { at, proxy, cause: view.cause, requests: 0, bytes: 0 });
        sum.requests += 1;
        sum.bytes += view.bytes_in + view.bytes_out;
    }
    sums.into_values().collect()
}

async fn records_are_paged_and_summed(bed: Arc<Bed>) {
    let store = &bed.store;
    let (ours, theirs) = (company(store).await, company(store).await);
    assert_eq!(store.traffic(ours, &TrafficQuery::default()).await.expect("a page").items, []);
    store.record_traffic(&[]).await.expect("nothing to do");
    // An hour and a half; now and then one of another company among them.
    let mut written = records(ours, 5000, TimeDelta::milliseconds(1100));
    for number in (0..5000).step_by(50) {
        written[number].0 = theirs;
    }
    let begin = Instant::now();
    for batch in written.chunks(500) {
        store.record_traffic(batch).await.expect("written");
    }
    println!("10 times 500 records: {:?}", begin.elapsed());
    let expected: Vec<_> = written.iter().rev().filter(|(company, _)| *company == ours).map(|(_, view)| view.clone()).collect();
    for limit in [200, 4900, 10_000] {
        let begin = Instant::now();
        let (items, pages) = all(&bed.other, ours, &TrafficQuery { limit, ..Default::default() }).await;
        println!("{pages} pages of {limit}: {:?}", begin.elapsed());
        assert_eq!(items, expected);
        assert_eq!(pages, 4900usize.div_ceil(usize::from(limit)));
    }
    let begin = Instant::now();
    assert_eq!(store.traffic(ours, &TrafficQuery::default()).await.expect("a page").items, expected[..50]);
    println!("the newest 50: {:?}", begin.elapsed());
    assert_eq!(all(store, theirs, &TrafficQuery::default()).await.0.len(), 100);

    let long_ago = now() - TimeDelta::days(1);
    let later = now() + TimeDelta::days(1);
    let kept = bed.other.traffic_sums(ours, long_ago, later).await.expect("sums");
    assert_eq!(kept, sums(&written, ours));
    assert!(kept.iter().all(|sum| sum.at.timestamp() % 300 == 0) && kept.is_sorted_by_key(|sum| sum.at));
    assert_eq!(kept.iter().map(|sum| sum.requests).sum::<u64>(), 4900);
    assert_eq!(store.traffic_sums(theirs, long_ago, later).await.expect("sums"), sums(&written, theirs));
    // From is in it, to is not.
    let (first, last) = (kept[0].at, kept[kept.len() - 1].at);
    let inner = store.traffic_sums(ours, first, last).await.expect("sums");
    assert!(inner[0].at == first && inner.iter().all(|sum| sum.at < last));
    // The same again grows them; a proxy's new name is what is shown.
    let mut again = written[4999 - 4999 % 3 - 1].clone();
    again.1.id = id_at(again.1.at);
    let Some(Route::Proxy { proxy, .. }) = &mut again.1.route else { panic!("through a proxy: {again:?}") };
    proxy.name = "Renamed".into();
    let renamed = proxy.clone();
    store.record_traffic(std::slice::from_ref(&again)).await.expect("written");
    written.push(again);
    let kept = store.traffic_sums(ours, long_ago, later).await.expect("sums");
    assert_eq!(kept.iter().map(|sum| sum.requests).sum::<u64>(), 4901);
    assert!(kept.iter().any(|sum| sum.proxy.as_ref() == Some(&renamed)));
    assert!(matches!(
        store.traffic(ours, &TrafficQuery { cursor: Some("x".into()), ..Default::default() }).await,
        Err(StoreError::BadCursor)
    ));
}

async fn a_page_has_neither_gaps_nor_doubles_while_others_write(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let before = records(company, 1200, TimeDelta::milliseconds(30));
    bed.store.record_traffic(&before).await.expect("written");
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|number| {
            let (store, stop) = (bed.either(number), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut written = 0;
                while !stop.load(Ordering::Relaxed) {
                    let batch: Vec<_> = (0..5).map(|number| (company, record(number, now()))).collect();
                    store.record_traffic(&batch).await.expect("written");
                    written += batch.len();
                }
                written
            })
        })
        .collect();
    let mut ids = Vec::new();
    for query in
        [TrafficQuery { limit: 37, ..Default::default() }, TrafficQuery { limit: 37, q: "example".into(), ..Default::default() }]
    {
        let (items, _) = all(&bed.store, company, &query).await;
        ids.push(items.into_iter().map(|item| item.id).collect::<Vec<_>>());
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = before.len();
    for writer in writers {
        written += writer.await.expect("no panic");
    }
    for ids in ids {
        let different: HashSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len(), "none twice");
        assert!(before.iter().all(|(_, view)| different.contains(&view.id)), "none left out");
    }
    // What was written at the same time, by several, is all in the records and in the sums.
    assert_eq!(all(&bed.store, company, &TrafficQuery { limit: 1000, ..Default::default() }).await.0.len(), written);
    let sums = bed.store.traffic_sums(company, now() - TimeDelta::days(1), now() + TimeDelta::days(1)).await.expect("sums");
    assert_eq!(sums.iter().map(|sum| sum.requests).sum::<u64>(), u64::try_from(written).expect("few"));
}

async fn records_are_filtered(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    // Four days.
    let written = records(company, 1000, TimeDelta::seconds(345));
    store.record_traffic(&written).await.expect("written");
    let any = TrafficQuery { limit: 20, ..Default::default() };
    let moment = |number: usize| Some(written[number].1.at);
    for query in [
        any.clone(),
        TrafficQuery { q: "engine 3 proxy".into(), ..any.clone() },
        TrafficQuery { q: "nothing like this".into(), ..any.clone() },
        TrafficQuery { proxy: Some("p1".into()), ..any.clone() },
        TrafficQuery { proxy: Some("direct".into()), ..any.clone() },
        TrafficQuery { consumer: Some("i2".into()), host: Some("h3.example".into()), ..any.clone() },
        TrafficQuery { cause: Some(CauseFilter::Any), ..any.clone() },
        TrafficQuery { cause: Some(CauseFilter::One(Cause::TargetTimeout)), from: moment(900), ..any.clone() },
        TrafficQuery { from: moment(100), to: moment(300), ..any.clone() },
        TrafficQuery { from: moment(999), ..any.clone() },
        TrafficQuery { to: moment(1), ..any.clone() },
        TrafficQuery { to: moment(0), ..any.clone() },
        TrafficQuery { from: moment(500), to: moment(500), ..any.clone() },
        TrafficQuery { from: moment(700), to: moment(600), ..any.clone() },
        TrafficQuery { from: Some(Timestamp::MIN_UTC), to: Some(Timestamp::MAX_UTC), ..any.clone() },
    ] {
        let expected: Vec<_> = written.iter().rev().map(|(_, view)| view).filter(|view| query.takes(view)).cloned().collect();
        let (items, pages) = all(store, company, &query).await;
        assert_eq!(items, expected, "{query:?}");
        assert_eq!(pages, expected.len().div_ceil(20).max(1), "{query:?}");
    }
    // The moment in a record and the one in its identifier may differ a little.
    let mut late = record(1, now() - TimeDelta::seconds(10));
    late.id = id_at(now());
    store.record_traffic(&[(company, late.clone())]).await.expect("written");
    let query = TrafficQuery { from: Some(late.at), to: Some(late.at + TimeDelta::milliseconds(1)), ..any };
    assert_eq!(all(store, company, &query).await.0, [late]);
}

async fn many_looked_at_in_vain_are_no_end(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let mut written = records(company, 24_000, TimeDelta::milliseconds(50));
    written[10].1.host = "needle.example:443".into();
    for batch in written.chunks(1000) {
        bed.store.record_traffic(batch).await.expect("written");
    }
    let query = TrafficQuery { q: "needle".into(), ..Default::default() };
    let begin = Instant::now();
    let first = bed.store.traffic(company, &query).await.expect("a page");
    println!("20,000 looked at in vain: {:?}", begin.elapsed());
    assert_eq!(first.items, []);
    assert!(first.next.is_some(), "there is more to look at");
    let (items, pages) = all(&bed.store, company, &query).await;
    assert_eq!((items, pages), (vec![written[10].1.clone()], 2));
}

async fn old_records_go(bed: Arc<Bed>) {
    let store = &bed.store;
    let (one, two) = (company(store).await, company(store).await);
    // 1,500 seconds.
    let (of_one, of_two) = (records(one, 1500, TimeDelta::seconds(1)), records(two, 300, TimeDelta::seconds(1)));
    for written in [&of_one, &of_two] {
        store.record_traffic(written).await.expect("written");
    }
    let ids = async |company| -> Vec<String> {
        let query = TrafficQuery { limit: 1000, ..Default::default() };
        all(store, company, &query).await.0.into_iter().rev().map(|view| view.id).collect()
    };
    let of = |written: &[(CompanyId, TrafficView)]| written.iter().map(|(_, view)| view.id.clone()).collect::<Vec<_>>();
    let (long_ago, later) = (now() - TimeDelta::days(1), now() + TimeDelta::days(1));
    store.trim_traffic(long_ago, 1500, long_ago).await.expect("nothing to do");
    assert_eq!((ids(one).await, ids(two).await), (of(&of_one), of(&of_two)));
    // By age.
    store.trim_traffic(of_one[1200].1.at, 1500, long_ago).await.expect("trimmed");
    assert_eq!((ids(one).await, ids(two).await.len()), (of(&of_one[1200..]), 300));
    let sums = store.traffic_sums(one, long_ago, later).await.expect("sums");
    assert_eq!(sums.iter().map(|sum| sum.requests).sum::<u64>(), 1500, "the sums stay");
    // By count, several at once.
    for trimmed in at_once(3, |number| {
        let store = bed.either(number);
        async move { store.trim_traffic(long_ago, 100, long_ago).await }
    })
    .await
    {
        trimmed.expect("no error");
    }
    assert_eq!((ids(one).await, ids(two).await), (of(&of_one[1400..]), of(&of_two[200..])));
    // Sums.
    let middle = sums[sums.len() / 2].at;
    store.trim_traffic(long_ago, 100, middle).await.expect("trimmed");
    let left = store.traffic_sums(one, long_ago, later).await.expect("sums");
    assert_eq!(left, sums.into_iter().filter(|sum| sum.at >= middle).collect::<Vec<_>>());
    store.trim_traffic(later, 0, later).await.expect("trimmed");
    assert_eq!((ids(one).await.len(), ids(two).await.len()), (0, 0));
    assert_eq!(store.traffic_sums(one, long_ago, later).await.expect("sums"), []);
}
