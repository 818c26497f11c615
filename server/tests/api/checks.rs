//! Health: what is tested by itself, what a change does.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::Start,
    parts::{Service, Squid},
};

#[test]
fn a_change_of_health_is_written_down_and_told_through_its_proxy() {
    // What proxy settings are tested with by themselves can't be reached from here: they are degraded, then down.
    let server = Start::new().env("GATEHOUSE_TEST_TARGET", "http://127.0.0.1:1/").start();
    let (mut dying, told_through) = (Squid::start(), Squid::start());
    let service = Service::simple();
    let hooks = Service::start(|_| (204, json!({})));
    server.squid("Corp-EU", &dying, true);
    let lab = server.squid("Lab", &told_through, false);
    let id = server.integration("Own", &service, &json!({}));
    server.integration("Off", &service, &json!({"status": "inactive"}));
    let every = |minutes: u16| {
        let body = json!({"every_minutes": minutes, "webhook_url": format!("{}hook", hooks.url()), "webhook_proxy": {"choice": "setting", "id": lab}});
        server.call("PUT", "/api/v1/checks", Some(&body)).expect(200)
    };
    assert_eq!(every(5)["every_minutes"], json!(5));
    let path = format!("/api/v1/integrations/{id}");
    server.wait_for(&path, |view| view["health"] == json!("healthy"));
    assert_eq!(service.requests().len(), 1, "the inactive one is not tested");

    dying.kill();
    every(10);
    server.wait_for(&path, |view| view["health"] == json!("degraded"));
    every(15);
    server.wait_for(&path, |view| view["health"] == json!("down"));
    let changes = server.get("/api/v1/checks/changes").expect(200);
    let of_own: Vec<_> = changes.as_array().expect("a list").iter().filter(|change| change["name"] == "Own").collect();
    let steps: Vec<_> = of_own.iter().map(|change| (change["from"].clone(), change["to"].clone())).collect();
    assert_eq!(steps, [(json!("degraded"), json!("down")), (json!("healthy"), json!("degraded"))]);
    assert!(of_own[0]["message"].as_str().is_some_and(|message| message.contains("Corp-EU")), "{changes}");

    // Each change was told, through the proxy that was chosen for it.
    let begun = Instant::now();
    while told_through.log().matches("/hook").count() < changes.as_array().map_or(0, Vec::len) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}\n{changes}", told_through.log());
        thread::sleep(Duration::from_millis(50));
    }
    server.wait_for("/api/v1/checks", |view| view["last_message"]["ok"] == json!(true));
    let used = server.get(&format!("/api/v1/proxies/{lab}")).expect(200);
    assert_eq!(used["used_by"][0]["kind"], json!("webhook"));
    assert!(
        server
            .traffic()
            .iter()
            .any(|record| record["consumer"]["kind"] == "webhook" && record["route"]["proxy"]["name"] == "Lab")
    );
    // Off again: nothing is due.
    assert_eq!(server.call("PUT", "/api/v1/checks", Some(&json!({}))).expect(200)["next_at"], Value::Null);
}

#[test]
fn bad_input_names_its_field() {
    let server = Start::new().start();
    for (body, field) in [
        (json!({"every_minutes": 7}), "every_minutes"),
        (json!({"every_minutes": "5"}), "every_minutes"),
        (json!({"webhook_url": "hooks.example"}), "webhook_url"),
        (json!({"webhook_url": "https://u:p@hooks.example/"}), "webhook_url"),
        (json!({"webhook_proxy": {"choice": "setting", "id": "x"}}), "webhook_proxy"),
        (
            json!({"webhook_url": "https://h.example/", "webhook_proxy": {"choice": "setting", "id": "0190c0de-0000-7000-8000-000000000000"}}),
            "webhook_proxy",
        ),
        (json!({"colour": 1}), "colour"),
    ] {
        let answer = server.call("PUT", "/api/v1/checks", Some(&body));
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{body}");
        assert!(answer.body["fields"][field].is_string(), "{body}: {}", answer.text);
    }
}
