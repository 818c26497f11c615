//! A second proxy setting: tried when the first can't be reached, told of as what it is, and never when the first has answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gatehouse_domain::{Cause, Route};
use gatehouse_platform::{Choice, OutRequest};

use crate::{
    ask::http,
    door::{House, get, via},
    listener::{Listener, answer},
    parts::{Squid, WebServer, free_port, outside},
};

/// Who was to be taken, where another one was.
fn instead_of(route: Option<&Route>) -> Option<String> {
    match route {
        Some(Route::Proxy { instead_of, .. }) => instead_of.as_ref().map(|first| first.name.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn the_second_is_taken_when_the_first_cannot_be_reached_and_the_route_says_so() {
    let web = WebServer::start();
    let squid = Squid::default().start();
    let house = House::new();
    let second = house.save("Second", &http(squid.port).ca(web.ca()), "");
    for (what, first, cause) in [
        ("refused", http(free_port()), Cause::ConnectionRefused),
        ("no name", http(3128).host("no-such-proxy.invalid"), Cause::NameNotFound),
        // Documentation addresses lead nowhere: silence, or a network that says so at once.
        ("silence", http(3128).host("192.0.2.1").timeout(2), Cause::ConnectTimeout),
    ] {
        let first = house.save(what, &first.fallback(second), "");
        house.make_default(Some(first)).await;
        let before = house.records().len();
        for choice in [Choice::Setting(first), Choice::Default] {
            // A POST, too: nothing of it had left.
            let request = OutRequest {
                method: "POST",
                body: b"{}".to_vec(),
                ..get(format!("https://only-the-proxy-knows.test:{}/", web.tls_port))
            };
            let answer = house.send(choice, request).await.unwrap_or_else(|error| panic!("{what}: {error:#?}"));
            assert_eq!((via(&answer.route).as_str(), instead_of(Some(&answer.route)).as_deref()), ("Second", Some(what)));
        }
        let records = house.records()[before..].to_vec();
        let told: Vec<_> = records.iter().map(|r| (r.route.as_ref().map(via).unwrap_or_default(), r.cause)).collect();
        assert_eq!(told[0].0, what, "{told:?}");
        assert!(told[0].1 == Some(cause) || what == "silence" && told[0].1.is_some(), "{told:?}");
        assert_eq!(told[1], ("Second".to_string(), None), "{told:?}");
        assert_eq!(instead_of(records[1].route.as_ref()).as_deref(), Some(what));
    }
}

#[tokio::test]
async fn a_first_that_answers_is_never_gone_around() {
    let web = WebServer::start();
    let squid = Squid::default().start();
    let house = House::new();
    let second = house.save("Second", &http(squid.port).ca(web.ca()), "");
    let refusing = Listener::answers("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let asking = Listener::answers(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let closing = Listener::answers("").await;
    for (name, listener, cause) in [
        ("Refusing", &refusing, Cause::ProxyDenied),
        ("Asking", &asking, Cause::ProxyAuthRequired),
        ("Closing", &closing, Cause::ProxyClosed),
    ] {
        let first = house.save(name, &http(listener.port).fallback(second), "");
        let error = house
            .send(Choice::Setting(first), get(format!("https://only-the-proxy-knows.test:{}/", web.tls_port)))
            .await
            .unwrap_err();
        assert_eq!((error.cause, error.route.as_ref().map(via).as_deref()), (cause, Some(name)), "{error:#?}");
    }
    assert_eq!(squid.log().matches("CONNECT").count(), 0, "{}", squid.log());
}

#[tokio::test]
async fn when_both_are_gone_both_are_named_and_nothing_goes_direct() {
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = asked.clone();
    let target = Listener::keeps_alive(move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
        Some(answer(200, "x"))
    })
    .await;
    let house = House::new();
    let second = house.save("Second", &http(free_port()), "");
    // The second one's own second is not followed, and neither is its bypass list.
    let third = house.save("Third", &http(target.port), "");
    let second_with = house.save("Second with one", &http(free_port()).fallback(third), &format!("{}/32", outside()));
    for (second, name) in [(second, "Second"), (second_with, "Second with one")] {
        let first = house.save("First", &http(free_port()).fallback(second), "");
        for _ in 0..8 {
            // More often than the breaker watches on.
            let error =
                house.send(Choice::Setting(first), get(format!("http://{}:{}/", outside(), target.port))).await.unwrap_err();
            assert_eq!(error.cause, Cause::ConnectionRefused, "{error:#?}");
            assert!(error.message.contains(name) && error.message.contains("First"), "{error:#?}");
            assert_eq!(error.route.as_ref().map(via).as_deref(), Some(name));
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_first_is_taken_again_when_it_is_back_and_leaves_time_for_the_second() {
    let web = WebServer::start();
    let squid = Squid::default().start();
    let house = House::new();
    let second = house.save("Second", &http(squid.port).ca(web.ca()), "");
    let url = format!("https://only-the-proxy-knows.test:{}/", web.tls_port);
    // A full queue of connections: the kernel answers nobody.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let _filled: Vec<_> = (0..300)
        .map_while(|_| std::net::TcpStream::connect_timeout(&silent.local_addr().unwrap(), Duration::from_millis(200)).ok())
        .collect();
    let first = house.save("First", &http(port).ca(web.ca()).fallback(second), "");
    let begun = Instant::now();
    let request = OutRequest { timeout: Duration::from_secs(4), ..get(&url) };
    let answer = house.send(Choice::Setting(first), request).await.unwrap();
    assert_eq!(via(&answer.route), "Second");
    assert!(begun.elapsed() < Duration::from_secs(4));

    let back = Squid::default().start();
    house.change(first, "First", &http(back.port).ca(web.ca()).fallback(second));
    let answer = house.send(Choice::Setting(first), get(&url)).await.unwrap();
    assert_eq!((via(&answer.route).as_str(), instead_of(Some(&answer.route))), ("First", None));
}
