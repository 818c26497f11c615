//! The traffic log: one record for each attempt, and nothing in it that must not be.

use std::{sync::atomic::Ordering, time::Duration};

use gatehouse_domain::Cause;
use gatehouse_platform::{Asker, Choice, Door as _, OutRequest, door::Recorded};

use crate::{
    ask::{http, was_logged},
    door::{House, get, via, with_key},
    listener::{Listener, answer, read_head},
    parts::Squid,
};

#[tokio::test]
async fn a_record_says_who_where_and_how_much_and_no_secret() {
    let target = Listener::answers(answer(404, "four")).await;
    let squid = Squid { users: &[("alice", "traffic-sesame")], ..Squid::default() }.start();
    let house = House::new();
    let id = house.save("Corp", &http(squid.port).login("alice", "traffic-sesame"), "");
    let host = format!("only-the-proxy-knows.test:{}", target.port);
    let request = OutRequest {
        method: "POST",
        body: b"traffic-body".to_vec(),
        ..with_key(get(format!("http://{host}/traffic-path?q=traffic-query")), "traffic-key")
    };
    assert_eq!(house.send(Choice::Setting(id), request.clone()).await.unwrap().status, 404);
    drop(target);
    let _ = house.send(Choice::Setting(id), request).await.unwrap_err();
    let records = house.records();
    let [ok, failed] = &records[..] else { panic!("{records:#?}") };
    assert_eq!((ok.method.as_str(), ok.host.as_str(), ok.status), ("POST", host.as_str(), Some(404)));
    assert_eq!((ok.bytes_in, ok.bytes_out, ok.cause), (4, 12, None));
    assert_eq!((ok.consumer.id.as_str(), ok.route.as_ref().map(via).as_deref()), ("i1", Some("Corp")));
    assert_eq!((failed.status, failed.cause), (None, Some(Cause::TargetUnreachable)));
    assert!(ok.id < failed.id && ok.at <= failed.at);
    let text = serde_json::to_string(&records).unwrap();
    for secret in ["traffic-sesame", "traffic-path", "traffic-query", "traffic-key", "traffic-body"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
        assert!(!was_logged(secret), "{secret} was logged");
    }
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_a_record() {
    let target = Listener::start(|mut stream| async move {
        read_head(&mut stream).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await;
    let house = House::new();
    let url = format!("http://127.0.0.1:{}/", target.port);
    let sent = tokio::time::timeout(Duration::from_millis(200), house.send(Choice::None, get(url))).await;
    assert!(sent.is_err());
    for _ in 0..50 {
        if !house.records().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let records = house.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].cause, records[0].status), (Some(Cause::EngineTimeout), None));
}

#[tokio::test]
async fn a_store_that_fails_does_not_fail_the_request() {
    let target = Listener::keeps_alive(|_| Some(answer(200, "x"))).await;
    let house = House::new();
    house.store.broken.store(true, Ordering::SeqCst);
    let url = format!("http://127.0.0.1:{}/", target.port);
    assert_eq!(house.send(Choice::None, get(&url)).await.unwrap().status, 200);
    house.store.broken.store(false, Ordering::SeqCst);
    assert_eq!(house.send(Choice::None, get(&url)).await.unwrap().status, 200);
    assert_eq!(house.records().len(), 1);
}

#[tokio::test]
async fn questions_to_name_servers_are_recorded_without_what_could_be_a_key() {
    let house = House::new();
    let asker = house.asker(Choice::Default);
    let asked = house
        .door
        .look_up(
            &asker,
            "2.0.0.127.averysecretkey.zen.does-not-exist.invalid",
            "zen.Does-Not-Exist.invalid",
            Duration::from_secs(10),
        )
        .await;
    // Without a network the name servers do not answer; with one there is no such name.
    match &asked {
        Ok((addresses, route)) => assert_eq!((addresses.len(), via(route).as_str()), (0, "no_proxy")),
        Err(error) => assert!(matches!(error.cause, Cause::TargetUnreachable | Cause::TargetTimeout), "{error:#?}"),
    }
    let records = house.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].method.as_str(), records[0].host.as_str()), ("DNS", "zen.does-not-exist.invalid"));
    assert_eq!(records[0].cause, asked.err().map(|error| error.cause));
}

#[tokio::test]
async fn records_are_written_in_groups_and_before_the_answer_is_given() {
    let target = Listener::keeps_alive(|_| Some(answer(200, "x"))).await;
    let house = House::new();
    house.store.slow.store(100, Ordering::SeqCst);
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (house, url) = (house.clone(), format!("http://127.0.0.1:{}/", target.port));
        requests.spawn(async move { house.send(Choice::None, get(url)).await.unwrap() });
    }
    requests.join_all().await;
    assert_eq!(house.records().len(), 100);
    let commits = house.store.commits.load(Ordering::SeqCst);
    assert!(commits < 50, "{commits} commits");
}

#[tokio::test]
async fn records_that_nobody_waits_for_are_there_when_it_is_settled() {
    let target = Listener::keeps_alive(|_| Some(answer(200, "x"))).await;
    let house = House::new();
    house.store.slow.store(100, Ordering::SeqCst);
    let asker = Asker { recorded: Recorded::Soon, ..house.asker(Choice::None) };
    for _ in 0..20 {
        house.door.send(&asker, get(format!("http://127.0.0.1:{}/", target.port))).await.unwrap();
    }
    house.door.settle().await;
    assert_eq!(house.records().len(), 20);
}
