//! Who asks, and what the policy says about it.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatehouse_gateway::policy::value::PasswordText;

use crate::bed::{Client, Origin, ask, gateway};

fn signed(request: &str, user: &str, password: &str) -> String {
    let pair = STANDARD.encode(format!("{user}:{password}"));
    request.replacen("\r\n\r\n", &format!("\r\nProxy-Authorization: Basic {pair}\r\n\r\n"), 1)
}

async fn with_people() -> gatehouse_gateway::Gateway {
    let hash = PasswordText::hash("open sesame: 42").unwrap();
    gateway(&format!(
        "
        [network]
        open = ['127.0.0.0/8']
        http_ports = ['1-65535']
        connect_ports = ['1-65535']
        [[person]]
        name = 'ann'
        password = '{}'
        groups = ['staff']
        [[rule]]
        name = 'no uploads'
        methods = ['PUT']
        action = 'deny'
        reason = 'Nobody uploads <anything> from here.'
        [[rule]]
        name = 'staff'
        groups = ['staff']
        action = 'allow'
        ",
        hash.as_str()
    ))
    .await
}

#[tokio::test]
async fn somebody_who_is_not_known_is_asked_and_let_in_with_the_right_password() {
    let (gateway, origin) = (with_people().await, Origin::start().await);
    let address = origin.address.to_string();
    let connect = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    for request in [origin.get("/x"), connect.clone()] {
        let answer = ask(&gateway, &request).await;
        assert_eq!(answer.status, 407, "{answer:?}");
        assert!(answer.field("proxy-authenticate").is_some_and(|offer| offer.starts_with("Basic realm=")), "{answer:?}");
        for (user, password) in [("ann", "wrong"), ("bob", "open sesame: 42"), ("ann", "")] {
            assert_eq!(ask(&gateway, signed(&request, user, password)).await.status, 407);
        }
    }
    assert_eq!(origin.connections(), 0);
    let mut client = Client::to(&gateway).await;
    for _ in 0..3 {
        assert_eq!(client.ask(signed(&origin.get("/x"), "ann", "open sesame: 42")).await.status, 200);
    }
    client.write(signed(&connect, "ann", "open sesame: 42")).await;
    assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
    assert!(!origin.seen().concat().to_lowercase().contains("proxy-authorization"), "{:?}", origin.seen());
}

#[tokio::test]
async fn a_rule_says_why_and_its_words_are_no_markup() {
    let (gateway, origin) = (with_people().await, Origin::start().await);
    let answer = ask(&gateway, signed(&origin.get("/x").replace("GET", "PUT"), "ann", "open sesame: 42")).await;
    assert_eq!((answer.status, answer.error()), (403, "http_request_denied"));
    assert!(answer.field("proxy-status").is_some_and(|status| status.contains("rule: no uploads")), "{answer:?}");
    assert!(answer.body.contains("Nobody uploads &lt;anything&gt; from here."), "{}", answer.body);
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn whoever_guesses_is_not_listened_to_for_a_while_and_costs_no_time_then() {
    let (gateway, origin) = (with_people().await, Origin::start().await);
    let mut wrong = 0;
    for _ in 0..15 {
        match ask(&gateway, signed(&origin.get("/x"), "ann", "guess")).await.status {
            407 => wrong += 1,
            429 => break,
            other => panic!("{other}"),
        }
    }
    assert_eq!(wrong, 10);
    let begun = Instant::now();
    for _ in 0..100 {
        let answer = ask(&gateway, signed(&origin.get("/x"), "ann", "open sesame: 42")).await;
        assert_eq!(answer.status, 429, "also with the right one: otherwise guessing would go on");
        assert!(answer.field("retry-after").is_some());
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_policy_can_be_changed_under_load_without_a_failed_request() {
    use gatehouse_gateway::policy::Policy;
    let origin = Origin::start().await;
    let gateway = std::sync::Arc::new(gateway(crate::bed::OPEN).await);
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (gateway, stop, request) = (gateway.clone(), stop.clone(), origin.get("/x"));
            tokio::spawn(async move {
                let mut client = Client::to(&gateway).await;
                let mut count = 0;
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    assert_eq!(client.ask(&request).await.status, 200);
                    count += 1;
                }
                count
            })
        })
        .collect();
    for number in 0..1000 {
        let text =
            format!("{}\n[[rule]]\nname = 'more {number}'\nto = ['x{number}.example']\naction = 'deny'\n", crate::bed::OPEN);
        gateway.swap(Policy::parse(&text, std::path::Path::new(".")).unwrap());
        tokio::task::yield_now().await;
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let mut all = 0;
    for task in load {
        all += task.await.expect("no failed request");
    }
    // And it is the last one that holds.
    gateway
        .swap(Policy::parse("[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n", std::path::Path::new(".")).unwrap());
    assert!(all > 100, "{all}");
    assert_eq!(ask(&gateway, origin.get("/x")).await.status, 403);
}

#[tokio::test]
async fn many_who_come_at_once_with_the_right_password_are_all_let_in() {
    let (gateway, origin) = (with_people().await, Origin::start().await);
    let address = gateway.addresses()[0];
    let tasks = (0..40).map(|_| {
        let request = signed(&origin.get("/x"), "ann", "open sesame: 42");
        tokio::spawn(async move { Client::at(address).await.ask(request).await.status })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_connection_that_waited_is_judged_by_the_policy_of_now() {
    use gatehouse_gateway::policy::Policy;
    let origin = Origin::start().await;
    let gateway = gateway(crate::bed::OPEN).await;
    let mut client = Client::to(&gateway).await;
    assert_eq!(client.ask(origin.get("/x")).await.status, 200);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let closed = "[network]\nopen = ['127.0.0.0/8']\nhttp_ports = ['1-65535']\n";
    gateway.swap(Policy::parse(closed, std::path::Path::new(".")).unwrap());
    assert_eq!(client.ask(origin.get("/x")).await.status, 403, "the very next one");
    // What may be reached can close, too, under a connection to it that stands idle.
    gateway.swap(Policy::parse(crate::bed::OPEN, std::path::Path::new(".")).unwrap());
    assert_eq!(client.ask(origin.get("/x")).await.status, 200);
    let shut = "[network]\nhttp_ports = ['1-65535']\n[[rule]]\nname = 'all'\naction = 'allow'\n";
    gateway.swap(Policy::parse(shut, std::path::Path::new(".")).unwrap());
    assert_eq!(client.ask(origin.get("/x")).await.error(), "destination_ip_prohibited");
}
