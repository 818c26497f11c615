//! `kill -9` in the middle of writes: what was acknowledged is there afterwards.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::harness::Start;

#[test]
fn every_acknowledged_write_survives_ten_kills() {
    let mut server = Start::new().start();
    let acknowledged: Mutex<HashMap<String, String>> = Mutex::default();
    for round in 0..10 {
        let url = server.url.clone();
        let token = server.token.clone();
        let before = acknowledged.lock().expect("not poisoned").len();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (url, token, acknowledged) = (url.clone(), token.clone(), &acknowledged);
                scope.spawn(move || {
                    for n in 0.. {
                        let name = format!("r{round} w{writer} n{n}");
                        let body = json!({"name": name, "host": "h", "port": 1 + n}).to_string();
                        // The server vanishes under this request sooner or later: that is the end of this writer.
                        let answer = std::panic::catch_unwind(|| {
                            crate::harness::send(
                                "POST",
                                &format!("{url}/api/v1/proxies"),
                                &[("authorization", &format!("Bearer {token}"))],
                                Some(&body),
                            )
                        });
                        let Ok(answer) = answer else { return };
                        if answer.status != 201 {
                            return;
                        }
                        let id = answer.body["id"].as_str().expect("an id").to_string();
                        acknowledged.lock().expect("not poisoned").insert(id, name);
                    }
                });
            }
            // Some writes are through, some are under way; a different moment each round.
            let began = Instant::now();
            while acknowledged.lock().expect("not poisoned").len() < before + 5 + round
                && began.elapsed() < Duration::from_secs(20)
            {
                std::thread::sleep(Duration::from_millis(1));
            }
            server.kill();
        });
        server.kill_and_restart();
        let expected = acknowledged.lock().expect("not poisoned").clone();
        assert!(expected.len() > before, "round {round} wrote nothing");
        let mut there = HashMap::new();
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("/api/v1/proxies?limit=200&cursor={cursor}")).expect(200);
            for item in page["items"].as_array().expect("items") {
                there.insert(item["id"].as_str().expect("an id").to_string(), item["name"].as_str().expect("a name").to_string());
            }
            match page["next"].as_str() {
                Some(next) => cursor = next.to_string(),
                None => break,
            }
        }
        for (id, name) in &expected {
            assert_eq!(there.get(id), Some(name), "round {round}: {name} was acknowledged and is gone");
        }
    }
}
