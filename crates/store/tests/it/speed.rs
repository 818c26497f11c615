//! What the queries cost that every page makes. The numbers are printed; the bound is generous, for busy machines.

use std::time::{Duration, Instant};

use gatehouse_domain::{ProxyQuery, ProxySort, SortField};
use gatehouse_platform::{
    Choice, Origin, ProxyId,
    ports::{AccessStore as _, ProxyStore as _},
};

use crate::support::{Backend, Bed, company, integration, now, person, proxy, write};

/// What all threads of this process have used: unlike the clock it does not count who else is busy.
fn processor_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let used = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    Duration::from_nanos(used.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok()).sum())
}

async fn median<T>(what: &str, mut run: impl AsyncFnMut(usize) -> T) -> Duration {
    let mut times = Vec::new();
    let before = processor_time();
    for number in 0..21 {
        let begin = Instant::now();
        run(number).await;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let processor = (processor_time() - before) / 21;
    println!("  {what}: median {:.1?}, slowest {:.1?}; processor {processor:.1?}", times[10], times[20]);
    times[10]
}

async fn measure(backend: Backend) {
    let Some(bed) = Bed::new(backend).await else {
        return;
    };
    println!("{backend:?}");
    let store = &bed.store;
    let (ours, theirs) = (company(store).await, company(store).await);
    for number in 0..100 {
        let record = proxy(store, ours, &format!("proxy {number}")).await;
        if number % 10 == 0 {
            integration(store, ours, &format!("Engine {number}"), Choice::Setting(record.id)).await;
        }
        if number == 50 {
            store.set_default_proxy(ours, Some(record.id)).await.expect("set");
        }
    }
    // Another company's many must cost ours nothing.
    for number in 0..200 {
        proxy(store, theirs, &format!("proxy {number}")).await;
    }
    let jo = person();
    store.create_person(ours, &jo, now()).await.expect("made");
    store.create_session("hash", jo.id, now(), now() + Duration::from_secs(3600), &Origin::command_line()).await.expect("made");
    let page = |limit, sort, q: &str| ProxyQuery { limit, sort, q: q.into(), ..Default::default() };
    let by_name = ProxySort::default();
    let by_default = ProxySort { field: SortField::IsDefault, descending: true };
    let list = median("list 100", async |_| {
        let items = store.list_proxies(ours, &page(100, by_name, "")).await.expect("a list").items;
        assert_eq!(items.len(), 100);
    })
    .await;
    median("list 50 of 100", async |_| store.list_proxies(ours, &page(50, by_name, "")).await.expect("a list")).await;
    median("list 100, the default first", async |_| store.list_proxies(ours, &page(100, by_default, "")).await.expect("a list"))
        .await;
    median("search among 100", async |_| store.list_proxies(ours, &page(50, by_name, "proxy 7")).await.expect("a list")).await;
    let id = store.list_proxies(ours, &page(1, by_name, "")).await.expect("a list").items[0].id;
    median("one setting", async |_| store.proxy(ours, id).await.expect("there")).await;
    median("whose session", async |_| store.find_session("hash", now()).await.expect("there")).await;
    median("make a setting", async |number| {
        store.create_proxy(ours, ProxyId::new(), &write(&format!("new {number}")), now()).await.expect("made")
    })
    .await;
    median("sign in", async |number| {
        store.begin_sign_in(&number.to_string(), "192.0.2.1", 100, Duration::from_secs(60), now()).await.expect("an answer")
    })
    .await;
    assert!(list < Duration::from_millis(500), "listing 100 settings took {list:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folder() {
    measure(Backend::Folder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server() {
    measure(Backend::Server).await;
}
