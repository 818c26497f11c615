//! Which way a request takes, and that it takes no other.

use std::{
    env,
    process::Command,
    sync::{Arc, atomic::Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatehouse_domain::{Cause, Route, Stage, StageStatus, TestTarget};
use gatehouse_outbound::AddressPolicy;
use gatehouse_platform::{Choice, Door as _, OutRequest};
use tokio::io::AsyncWriteExt as _;

use crate::{
    ask::{Ask, http, through},
    certificates::Authority,
    door::{House, get, via},
    listener::{Listener, answer, authorization, linger, read_head},
    parts::{Part, Squid, WebServer, dante, free_port, microsocks, outside},
};

const NAME: &str = "only-the-proxy-knows.test";

/// Waits until the program has written this.
async fn logged(part: &Part, text: &str) {
    for _ in 0..100 {
        if part.log().contains(text) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{text} is not in:\n{}", part.log());
}

/// Sends an https and an http request, each with and without trace, and holds the answers to what is true of all.
async fn reaches(proxy: Ask, host: &str, web: &WebServer) {
    let house = House::new();
    let id = house.save("Corp-EU", &proxy, "");
    for url in [format!("https://{host}:{}/", web.tls_port), format!("http://{host}:{}/", web.port)] {
        for trace in [false, true, false] {
            let answer = house.send(Choice::Setting(id), OutRequest { trace, ..get(&url) }).await.unwrap();
            assert_eq!((answer.status, via(&answer.route).as_str()), (200, "Corp-EU"), "{url}");
            assert!(!answer.body.is_empty());
            assert_eq!(answer.stages.len(), if trace { 6 } else { 0 });
            assert!(answer.stages.iter().all(|s| s.status != StageStatus::Failed), "{answer:#?}");
        }
    }
    let records = house.records();
    assert_eq!(records.len(), 6);
    assert!(
        records
            .iter()
            .all(|r| r.status == Some(200) && r.cause.is_none() && r.route.as_ref().map(via).as_deref() == Some("Corp-EU"))
    );
}

#[tokio::test]
async fn through_an_http_proxy() {
    let web = WebServer::start();
    let squid = Squid { users: &[("alice", "open sesame")], ..Squid::default() }.start();
    reaches(http(squid.port).login("alice", "open sesame").ca(web.ca()), NAME, &web).await;
    logged(&squid, &format!("CONNECT {NAME}:{} alice", web.tls_port)).await;
    logged(&squid, &format!("GET http://{NAME}:{}/ alice", web.port)).await;
}

#[tokio::test]
async fn through_a_proxy_over_tls_with_a_private_authority() {
    let (web, authority) = (WebServer::start(), Authority::new("Proxy CA"));
    let identity = authority.issue(&["localhost", "127.0.0.1"]);
    let squid = Squid { tls: Some(&identity), users: &[("alice", "open sesame")], ..Squid::default() }.start();
    let proxy = through("https", squid.port).login("alice", "open sesame").ca(&authority.pem).ca(web.ca());
    reaches(proxy.clone(), NAME, &web).await;
    logged(&squid, &format!("CONNECT {NAME}:{} alice", web.tls_port)).await;

    // The asker's own certificates count for the target, and not for the proxy.
    let house = House::new();
    let url = format!("https://{NAME}:{}/", web.tls_port);
    let without = through("https", squid.port).login("alice", "open sesame");
    let id = house.save("Half", &without.clone().ca(&authority.pem), "");
    assert_eq!(house.send_trusting(Choice::Setting(id), web.ca(), get(&url)).await.unwrap().status, 200);
    let error = house.send(Choice::Setting(id), get(&url)).await.unwrap_err();
    assert_eq!(error.cause, Cause::TargetTlsFailed, "{error:#?}");
    let id = house.save("None", &without, "");
    let both = format!("{}{}", authority.pem, web.ca());
    let error = house.send_trusting(Choice::Setting(id), &both, get(&url)).await.unwrap_err();
    assert_eq!(error.cause, Cause::ProxyTlsFailed, "{error:#?}");
    assert!(error.message.contains(&format!("None (127.0.0.1:{})", squid.port)), "{error:#?}");
}

#[tokio::test]
async fn through_socks() {
    let web = WebServer::start();
    let log = "socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 log: connect }";
    let dante = dante("username", Some(("gatehouse-test", "open sesame: 42")), log);
    let login = |scheme| through(scheme, dante.port).login("gatehouse-test", "open sesame: 42").ca(web.ca());
    reaches(login("socks5h"), NAME, &web).await;
    logged(&dante, "username%gatehouse-test").await;
    // Resolved here: a name that only the proxy knows is not found, an address is.
    reaches(login("socks5"), &outside().to_string(), &web).await;
    logged(&dante, &format!("{}.{}", outside(), web.tls_port)).await;
    let house = House::new();
    let id = house.save("Local names", &login("socks5"), "");
    let error = house.send(Choice::Setting(id), get(format!("https://{NAME}:{}/", web.tls_port))).await.unwrap_err();
    assert_eq!(error.cause, Cause::TargetUnreachable);
    assert!(error.message.contains("Local names"), "{error:#?}");
}

#[tokio::test]
async fn direct_and_why() {
    let web = WebServer::start();
    let url = format!("http://{}:{}/", outside(), web.port);
    let house = House::new();
    let dead = house.save("Dead", &http(free_port()), "intranet.test");
    let around = house.save("Around", &http(free_port()), &format!("{}/32", outside()));
    for (choice, expected) in [(Choice::None, "no_proxy"), (Choice::Default, "no_default"), (Choice::Setting(around), "bypass")] {
        let answer = house.send(choice, OutRequest { trace: true, ..get(&url) }).await.unwrap();
        assert_eq!((answer.status, via(&answer.route).as_str()), (200, expected));
        assert_eq!(answer.stages.iter().map(|s| s.stage).collect::<Vec<_>>(), Stage::ALL);
        for stage in &answer.stages[2..4] {
            assert_eq!((stage.status, stage.detail.as_deref()), (StageStatus::Skipped, Some("no proxy")));
        }
        assert_eq!(answer.stages[5].status, StageStatus::Passed);
    }
    for choice in [Choice::Setting(dead), Choice::None, Choice::Default] {
        for host in ["127.0.0.1", "localhost"] {
            let answer = house.send(choice, get(format!("http://{host}:{}/", web.port))).await.unwrap();
            assert_eq!(via(&answer.route), "loopback");
        }
    }
    let target = TestTarget::parse(&url).unwrap();
    let dead_route = house.door.route(&house.asker(Choice::Setting(dead)), &target).await.unwrap();
    assert_eq!(via(&dead_route), "Dead");
    assert_eq!(via(&house.door.route(&house.asker(Choice::Default), &target).await.unwrap()), "no_default");
    let error = house.send(Choice::Setting(dead), get(&url)).await.unwrap_err();
    assert_eq!((error.cause, error.route), (Cause::ConnectionRefused, Some(dead_route)));
}

#[tokio::test]
async fn a_setting_that_is_gone() {
    let house = House::new();
    let id = house.save("Gone", &http(9), "");
    let neighbour = house.neighbour();
    for (house, choice) in [(&neighbour, Choice::Setting(id)), (&house, Choice::Setting(gatehouse_platform::ProxyId::new()))] {
        let error = house.send(choice, get("https://example.test/")).await.unwrap_err();
        assert_eq!(error.cause, Cause::TargetUnreachable);
        assert_eq!(error.message, "The proxy setting that was chosen is not there any more.");
        assert_eq!((error.route, house.records().len()), (None, 1));
    }
}

#[tokio::test]
async fn every_password_arrives_as_it_is() {
    let every_ascii: String = (' '..='~').collect();
    for password in [every_ascii.as_str(), "@#?%:/\\ üñ密", "%40"] {
        let (sender, mut heads) = tokio::sync::mpsc::channel(4);
        let proxy = Listener::start(move |mut stream| {
            let sender = sender.clone();
            async move {
                let _ = sender.send(read_head(&mut stream).await).await;
                let _ = stream.write_all(answer(200, "x").as_bytes()).await;
                linger(stream).await;
            }
        })
        .await;
        let house = House::new();
        let id = house.save("P", &http(proxy.port).login("alice", password), "");
        assert_eq!(house.send(Choice::Setting(id), get("http://example.test/a?b=c")).await.unwrap().status, 200);
        let head = heads.recv().await.unwrap().replace("proxy-authorization", "Proxy-Authorization");
        assert!(head.starts_with("GET http://example.test/a?b=c HTTP/1.1\r\n"), "{head}");
        assert_eq!(authorization(&head), format!("Basic {}", STANDARD.encode(format!("alice:{password}"))));
        // A tunnel that leads nowhere: the password is in the CONNECT.
        let _ = house.send(Choice::Setting(id), get("https://example.test/")).await;
        let head = heads.recv().await.unwrap();
        assert_eq!(authorization(&head), format!("Basic {}", STANDARD.encode(format!("alice:{password}"))));
    }
    let web = WebServer::start();
    let socks = microsocks(Some(("alice", &every_ascii)));
    reaches(through("socks5h", socks.port).login("alice", &every_ascii).ca(web.ca()), &outside().to_string(), &web).await;
}

#[tokio::test]
async fn a_changed_setting_counts_from_the_next_request_on() {
    for shared in [false, true] {
        let [first, second] =
            [Listener::keeps_alive(|_| Some(answer(200, "1"))).await, Listener::keeps_alive(|_| Some(answer(200, "2"))).await];
        let house = House::new();
        house.store.shared.store(shared, Ordering::SeqCst);
        let id = house.save("Corp", &http(first.port), "");
        let other = house.save("Other", &http(second.port), "");
        let body = async |choice| house.send(choice, get("http://example.test/")).await.unwrap().body;
        for _ in 0..3 {
            assert_eq!(body(Choice::Setting(id)).await, b"1");
        }
        assert_eq!(house.store.reads.load(Ordering::SeqCst), if shared { 3 } else { 1 });
        house.change(id, "Corp", &http(second.port));
        assert_eq!(body(Choice::Setting(id)).await, b"2");
        // The same place, but somebody else's credentials: not the same connection.
        assert_eq!(second.accepted(), 1);
        house.change(id, "Corp", &http(second.port).login("a", "b"));
        assert_eq!(body(Choice::Setting(id)).await, b"2");
        assert_eq!(second.accepted(), 2);

        house.change(id, "Corp", &http(first.port));
        for (default, expected) in [(id, b"1"), (other, b"2"), (id, b"1")] {
            house.make_default(Some(default)).await;
            assert_eq!(body(Choice::Default).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_are_recorded_as_they_were_while_the_default_is_switched() {
    let web = WebServer::start();
    let squids = [Squid::default().start(), Squid::default().start()];
    let house = House::new();
    let ids = [house.save("A", &http(squids[0].port), ""), house.save("B", &http(squids[1].port), "")];
    house.make_default(Some(ids[0])).await;
    let switcher = tokio::spawn({
        let house = house.clone();
        async move {
            for turn in 0.. {
                house.make_default(Some(ids[turn % 2])).await;
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            }
        }
    });
    let mut requests = tokio::task::JoinSet::new();
    for n in 0..200 {
        let (house, url) = (house.clone(), format!("http://{NAME}:{}/r{n}", web.port));
        requests.spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(n * 2)).await;
            (n, house.send(Choice::Default, get(url)).await.unwrap())
        });
    }
    let answers = requests.join_all().await;
    switcher.abort();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let logs = squids.each_ref().map(Part::log);
    let through = |name: &str| answers.iter().filter(|(_, answer)| via(&answer.route) == name).count();
    assert!(through("A") > 0 && through("B") > 0, "{} {}", through("A"), through("B"));
    for (n, answer) in &answers {
        let seen = logs.each_ref().map(|log| log.contains(&format!("/r{n} ")));
        assert_eq!(seen, [via(&answer.route) == "A", via(&answer.route) == "B"], "{n}");
    }
    let records = house.records();
    assert_eq!(records.len(), 200);
    for name in ["A", "B"] {
        let recorded = records.iter().filter(|r| r.route.as_ref().is_some_and(|route| via(route) == name)).count();
        assert_eq!(recorded, through(name));
    }
}

#[tokio::test]
async fn in_the_cloud_private_addresses_are_refused_after_resolving() {
    let listener = Listener::answers(answer(200, "x")).await;
    let house = House::with(AddressPolicy::PublicOnly);
    let id = house.save("Inner", &http(listener.port), "");
    for host in ["127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254"] {
        let url = format!("http://{host}:{}/", listener.port);
        for choice in [Choice::None, Choice::Default, Choice::Setting(id)] {
            let error = house.send(choice, get(&url)).await.unwrap_err();
            assert_eq!(error.cause, Cause::AddressNotAllowed, "{error:#?}");
            assert!(!matches!(error.route, Some(Route::Direct { reason: gatehouse_domain::DirectReason::Loopback })));
        }
    }
    assert_eq!(listener.accepted(), 0);
}

const ASKED: &str = "GATEHOUSE_TEST_DOOR";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_changes_nothing() {
    let trap = Listener::answers(answer(200, "trap")).await;
    let (squid, web) = (Squid::default().start(), WebServer::start());
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "door_routes::in_a_child", "--ignored", "--nocapture", "--test-threads=1"]);
    child.env(ASKED, format!("{} {}", squid.port, web.port));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, format!("http://127.0.0.1:{}", trap.port));
    }
    child.env("NO_PROXY", NAME).env("no_proxy", NAME);
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(trap.accepted(), 0, "the environment's proxy was asked");
}

/// What the test above starts with another environment; by itself it has no ports to ask.
#[tokio::test]
#[ignore = "started by the_environment_changes_nothing"]
async fn in_a_child() {
    let asked = env::var(ASKED).unwrap();
    let (squid, web) = asked.split_once(' ').unwrap();
    let house = Arc::new(House::new());
    let id = house.save("Corp", &http(squid.parse().unwrap()), "");
    let answer = house.send(Choice::Setting(id), get(format!("http://{NAME}:{web}/"))).await.unwrap();
    assert_eq!(via(&answer.route), "Corp");
    let answer = house.send(Choice::None, get(format!("http://{}:{web}/", outside()))).await.unwrap();
    assert_eq!((via(&answer.route).as_str(), answer.body.trim_ascii()), ("no_proxy", outside().to_string().as_bytes()));
}
