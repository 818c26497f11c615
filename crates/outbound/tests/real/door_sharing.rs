//! Connections: who shares one, and what happens when one has stood too long.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use gatehouse_platform::{Choice, OutRequest, Retry};

use crate::{
    ask::http,
    door::{House, get},
    listener::{Listener, answer},
};

#[tokio::test]
async fn one_company_uses_a_connection_again_and_two_never_share_one() {
    let (target, proxy) =
        (Listener::keeps_alive(|_| Some(answer(200, "x"))).await, Listener::keeps_alive(|_| Some(answer(200, "y"))).await);
    let house = House::new();
    let neighbour = house.neighbour();
    let (url, far) = (format!("http://127.0.0.1:{}/", target.port), "http://example.test/");
    let choices = [&house, &neighbour].map(|house| Choice::Setting(house.save("Corp", &http(proxy.port), "")));
    for _ in 0..5 {
        for (house, choice) in [&house, &neighbour].into_iter().zip(choices) {
            assert_eq!(house.send(Choice::None, get(&url)).await.unwrap().body, b"x");
            assert_eq!(house.send(choice, get(far)).await.unwrap().body, b"y");
        }
    }
    assert_eq!((target.accepted(), proxy.accepted()), (2, 2));
    // A traced request has a connection of its own; another target, another one.
    house.send(Choice::None, OutRequest { trace: true, ..get(&url) }).await.unwrap();
    assert_eq!(target.accepted(), 3);
    house.send(choices[0], get("http://other.test/")).await.unwrap();
    assert_eq!(proxy.accepted(), 3);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_request() {
    // Answers each connection's first request, and closes at the second without an answer.
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let target = Listener::start(move |mut stream| {
        let count = count.clone();
        async move {
            use tokio::io::AsyncWriteExt as _;
            crate::listener::read_head(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(answer(200, "x").as_bytes()).await;
            crate::listener::read_head(&mut stream).await;
        }
    })
    .await;
    let house = House::new();
    let url = format!("http://127.0.0.1:{}/", target.port);
    for _ in 0..3 {
        let request = OutRequest { retry: Retry::Safe, ..get(&url) };
        assert_eq!(house.send(Choice::None, request).await.unwrap().status, 200);
    }
    assert_eq!((target.accepted(), seen.load(Ordering::SeqCst), house.records().len()), (3, 3, 3));
    // What may not be done twice is not: it may have been done.
    let error = house.send(Choice::None, get(&url)).await.unwrap_err();
    assert!(error.message.contains("closed the connection"), "{error:#?}");
}

#[tokio::test]
async fn a_connection_that_the_target_closes_is_not_used_again() {
    let target = Listener::answers(answer(200, "x")).await;
    let house = House::new();
    for _ in 0..3 {
        assert_eq!(house.send(Choice::None, get(format!("http://127.0.0.1:{}/", target.port))).await.unwrap().status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(target.accepted(), 3);
}

#[tokio::test]
async fn at_most_eight_stand_idle() {
    let target = Listener::start(|mut stream| async move {
        use tokio::io::AsyncWriteExt as _;
        loop {
            if crate::listener::read_head(&mut stream).await.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let _ = stream.write_all(answer(200, "x").as_bytes()).await;
        }
    })
    .await;
    let house = House::new();
    for round in 1..=2 {
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (house, url) = (house.clone(), format!("http://127.0.0.1:{}/", target.port));
            requests.spawn(async move { house.send(Choice::None, get(url)).await.unwrap() });
        }
        requests.join_all().await;
        assert_eq!(target.accepted(), if round == 1 { 20 } else { 32 });
    }
}
