//! Analyses over the API: what runs, what does not, what is left of it when something dies.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::Start,
    parts::{SERVICE, Service, Squid},
};

#[test]
fn nobody_to_ask_is_no_verdict() {
    let server = Start::new().start();
    let done = server.analyse(&json!({"ip": "192.0.2.7"}));
    assert_eq!((&done["status"], &done["verdict"], &done["cause"]), (&json!("done"), &Value::Null, &json!("no_engine")));
    for (body, field) in [
        (json!({}), "url"),
        (json!({"url": "https://a.example/", "ip": "192.0.2.1"}), "url"),
        (json!({"url": "not a url"}), "url"),
        (json!({"ip": "300.1.1.1"}), "ip"),
        (json!({"sha256": "abc"}), "sha256"),
        (json!({"email": ""}), "email"),
        (json!({"colour": "red"}), "colour"),
        (json!({"url": 5}), "url"),
    ] {
        let answer = server.post("/api/v1/analyses", &body);
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{body}");
        assert!(answer.body["fields"][field].is_string(), "{body}: {}", answer.text);
    }
    assert_eq!(server.post("/api/v1/analyses?wait=61", &json!({"ip": "192.0.2.7"})).status, 422);
    assert_eq!(server.get("/api/v1/analyses/0190c0de-0000-7000-8000-000000000000").status, 404);
}

#[test]
fn inactive_never_runs_and_excluded_never_leaves() {
    let server = Start::new().start();
    let squid = Squid::start();
    let service = Service::simple();
    server.squid("Corp", &squid, true);
    server.integration("Off", &service, &json!({"status": "inactive"}));
    assert_eq!(server.analyse(&json!({"url": "https://evil.example/"}))["cause"], json!("no_engine"));
    let exclusions = json!({"exclusions": {"urls": ["*.corp.example", "https://portal.example/hr/"], "ips": ["10.0.0.0/8"], "extensions": ["pdf"]}});
    server.integration("On", &service, &exclusions);
    for body in [
        json!({"url": "https://wiki.corp.example/secret-page"}),
        json!({"url": "https://portal.example/hr/salaries"}),
        json!({"url": "http://10.1.2.3/secret-page"}),
        json!({"ip": "10.9.9.9"}),
        json!({"file": {"name": "Contract.PDF", "base64": "c2VjcmV0"}}),
    ] {
        let done = server.analyse(&body);
        assert_eq!((&done["results"][0]["cause"], &done["results"][0]["route"]), (&json!("excluded"), &Value::Null), "{body}");
        assert_eq!((&done["verdict"], &done["cause"]), (&Value::Null, &json!("no_engine")));
    }
    assert!(
        service.requests().is_empty() && !squid.log().contains(SERVICE) && server.traffic().is_empty(),
        "nothing left the machine"
    );
    // And what is not excluded does.
    assert_eq!(server.analyse(&json!({"url": "https://portal.example/public"}))["verdict"], json!("clean"));
    assert_eq!(service.values(), ["https://portal.example/public"]);
}

#[test]
fn hidden_parameters_stay_here() {
    let server = Start::new().start();
    let squid = Squid::start();
    let service = Service::simple();
    server.squid("Corp", &squid, true);
    server.integration("Discreet", &service, &json!({"hide_url_parameters": true}));
    let done = server.analyse(&json!({"url": "https://a.example/reset?token=t0ps3cret"}));
    assert_eq!(
        (&done["results"][0]["indicator"]["value"], &done["verdict"]),
        (&json!("https://a.example/reset?token=t0ps3cret"), &json!("clean"))
    );
    assert_eq!(service.values(), ["https://a.example/"]);
    assert!(!squid.log().contains("t0ps3cret"));
}

#[test]
fn a_dead_proxy_is_named_and_never_clean_and_the_others_finish() {
    let server = Start::new().start();
    let (mut dying, living) = (Squid::start(), Squid::start());
    let service = Service::simple();
    let dying_id = server.squid("Corp-EU", &dying, true);
    let living_id = server.squid("Lab", &living, false);
    server.integration("Through Corp-EU", &service, &json!({}));
    server.integration("Through Lab", &service, &json!({"proxy": {"choice": "setting", "id": living_id}}));
    assert_eq!(server.analyse(&json!({"url": "https://fine.example/"}))["incomplete"], json!(false));
    dying.kill();
    let done = server.analyse(&json!({"url": "https://fine.example/2"}));
    let dead = done["results"]
        .as_array()
        .expect("results")
        .iter()
        .find(|r| r["integration"]["name"] == "Through Corp-EU")
        .expect("it")
        .clone();
    assert_eq!((&dead["verdict"], &dead["cause"]), (&Value::Null, &json!("connection_refused")), "{dead}");
    assert_eq!(dead["route"], json!({"via": "proxy", "proxy": {"id": dying_id, "name": "Corp-EU"}}));
    assert!(dead["message"].as_str().is_some_and(|message| message.contains("Corp-EU")), "{dead}");
    assert_eq!((&done["verdict"], &done["incomplete"]), (&json!("clean"), &json!(true)));
    // With nobody left there is no verdict at all.
    let path = "/api/v1/integrations?name=Through%20Lab";
    let lab = server.get(path).expect(200)["items"][0]["id"].as_str().expect("an id").to_string();
    assert_eq!(server.delete(&format!("/api/v1/integrations/{lab}")).status, 204);
    let done = server.analyse(&json!({"url": "https://fine.example/3"}));
    assert_eq!((&done["verdict"], &done["cause"]), (&Value::Null, &json!("all_failed")));
    assert!(
        service.values().iter().filter(|value| value.ends_with("/2") || value.ends_with("/3")).count() == 1,
        "never directly"
    );
}

#[test]
fn a_second_proxy_stands_in_for_a_dead_one_and_every_record_says_so() {
    let server = Start::new().start();
    let (mut first, second) = (Squid::start(), Squid::start());
    let service = Service::simple();
    let first_id = server.squid("Corp-EU", &first, true);
    let second_id = server.squid("Corp-US", &second, false);
    let path = format!("/api/v1/proxies/{first_id}");
    let put = |fallback: &Value| {
        let mut body = server.get(&path).expect(200);
        body["fallback"] = fallback.clone();
        server.put(&path, &body)
    };
    for wrong in [json!(first_id), json!("0190c0de-0000-7000-8000-000000000000"), json!("x"), json!(7)] {
        let answer = put(&wrong);
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{wrong}");
        assert!(answer.body["fields"]["fallback"].is_string(), "{}", answer.text);
    }
    assert_eq!(put(&json!(second_id)).expect(200)["fallback"], json!(second_id));
    let used = server.get(&format!("/api/v1/proxies/{second_id}")).expect(200)["used_by"].clone();
    assert_eq!(used, json!([{"kind": "proxy", "id": first_id, "name": "Corp-EU", "via": "setting"}]));
    assert_eq!(server.delete(&format!("/api/v1/proxies/{second_id}")).code(), "in_use");
    server.integration("Own", &service, &json!({}));

    let done = server.analyse(&json!({"url": "https://fine.example/1"}));
    assert_eq!(done["results"][0]["route"], json!({"via": "proxy", "proxy": {"id": first_id, "name": "Corp-EU"}}));
    assert!(!second.log().contains(&service.url()), "not while the first is there: {}", second.log());
    first.kill();
    let done = server.analyse(&json!({"url": "https://fine.example/2"}));
    let route = json!({
        "via": "proxy", "proxy": {"id": second_id, "name": "Corp-US"}, "instead_of": {"id": first_id, "name": "Corp-EU"},
    });
    assert_eq!((&done["results"][0]["verdict"], &done["results"][0]["route"]), (&json!("clean"), &route), "{done}");
    assert!(second.log().contains(&service.url()), "{}", second.log());
    let traffic = server.traffic();
    let told: Vec<_> = traffic.iter().map(|r| (r["route"]["proxy"]["name"].clone(), r["cause"].clone())).collect();
    assert!(told.contains(&(json!("Corp-EU"), json!("connection_refused"))), "{told:?}");
    assert!(traffic.iter().any(|record| record["route"] == route && record["cause"] == Value::Null), "{traffic:?}");
}

#[test]
fn each_request_took_the_way_that_is_written_down_while_the_default_changes() {
    const COUNT: usize = 200;
    let server = Arc::new(Start::new().start());
    let (one, two) = (Squid::start(), Squid::start());
    let service = Service::start(|_| {
        thread::sleep(Duration::from_millis(20));
        (200, json!({"verdict": "clean"}))
    });
    let ids = [server.squid("One", &one, true), server.squid("Two", &two, false)];
    server.integration("Own", &service, &json!({}));
    let stop = Arc::new(AtomicBool::new(false));
    let switching = {
        let (server, stop) = (server.clone(), stop.clone());
        thread::spawn(move || {
            let mut turns = 0;
            while !stop.load(Ordering::SeqCst) {
                turns += 1;
                server.post(&format!("/api/v1/proxies/{}/default", ids[turns % 2]), &json!({})).expect(200);
                thread::sleep(Duration::from_millis(30));
            }
            turns
        })
    };
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let server = server.clone();
            thread::spawn(move || {
                let of = (0..COUNT).filter(|n| n % 8 == worker);
                of.map(|n| server.analyse(&json!({"url": format!("https://u{n}.example/")}))).collect::<Vec<_>>()
            })
        })
        .collect();
    let done: Vec<Value> = workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect();
    stop.store(true, Ordering::SeqCst);
    assert!(switching.join().expect("no panic") > 5);
    // What each proxy says itself: the URL of each request stands in its log.
    let log = HashMap::from([("One", one.log()), ("Two", two.log())]);
    let mut ways = HashMap::<String, usize>::new();
    for analysis in &done {
        let result = &analysis["results"][0];
        assert_eq!(result["verdict"], json!("clean"), "{result}");
        assert_eq!(result["route"]["via"], json!("proxy"), "none went direct");
        let way = result["route"]["proxy"]["name"].as_str().expect("a name");
        let host = analysis["subject"]["value"].as_str().expect("a URL").trim_start_matches("https://").trim_end_matches('/');
        for (name, log) in &log {
            assert_eq!(log.contains(&format!("%2F%2F{host}%2F")), *name == way, "{host} is said to have gone through {way}");
        }
        *ways.entry(way.to_string()).or_default() += 1;
    }
    assert!(done.len() == COUNT && ways.len() == 2, "both were used: {ways:?}");
    assert_eq!(service.requests().len(), COUNT);
    assert_eq!(server.traffic().iter().filter(|record| record["route"]["via"] == "proxy").count(), COUNT);
}

#[test]
fn a_mail_is_taken_apart_and_an_analysis_outlives_a_power_cut() {
    let mut server = Start::new().start();
    let squid = Squid::start();
    let hold = Arc::new(AtomicBool::new(true));
    let service = Service::start({
        let hold = hold.clone();
        move |request| {
            let begun = Instant::now();
            while request.path.contains("slow") && hold.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(60) {
                thread::sleep(Duration::from_millis(20));
            }
            (200, json!({"verdict": if request.path.contains("evil") { "malicious" } else { "clean" }}))
        }
    });
    server.squid("Corp", &squid, true);
    server.integration("Own", &service, &json!({}));
    let mail = "Received: from mx.sender.example ([198.51.100.9]) by mx.corp.example; Sun, 22 Nov 2026 09:00:00 +0000\r\n\
        From: \"Bank\" <bank@evil.example>\r\nTo: jo@corp.example\r\nSubject: =?utf-8?q?Your_account_=E2=9A=A0?=\r\n\
        MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
        Sign in at https://evil.example/login or read https://slow.example/news\r\n";
    let begun = server.post("/api/v1/analyses?wait=0", &json!({"email": mail}));
    assert_eq!(begun.status, 202, "{}", begun.text);
    let path = begun.header("location").to_string();
    // Until all but the slow one have answered.
    server.wait_for(&path, |view| view["done"] == json!(2) && view["total"] == json!(3));
    let before = server.get(&path).expect(200);
    assert_eq!((&before["status"], &before["subject"]["value"]), (&json!("running"), &json!("Your account \u{26a0}")));
    assert_eq!(before["email"]["sender_ip"], json!("198.51.100.9"));
    server.kill_and_restart();
    hold.store(false, Ordering::SeqCst);
    server.wait_for(&path, |view| view["status"] == json!("done"));
    let done = server.get(&path).expect(200);
    assert_eq!((&done["verdict"], &done["incomplete"]), (&json!("malicious"), &json!(false)), "{done}");
    let mut asked: Vec<_> = done["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|r| r["indicator"]["value"].as_str().expect("a value").to_string())
        .collect();
    asked.sort();
    assert_eq!(asked, ["198.51.100.9", "https://evil.example/login", "https://slow.example/news"]);
    // What had answered was not asked again.
    assert_eq!(service.values().iter().filter(|value| value.contains("evil.example/login")).count(), 1);
    let found = server.get("/api/v1/analyses?q=slow.example&verdict=malicious&kind=email").expect(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.get("/api/v1/analyses?q=nothing-like-it").expect(200)["items"], json!([]));
}

#[test]
fn answers_are_used_again_for_as_long_as_it_says() {
    let server = Start::new().start();
    let squid = Squid::start();
    let service = Service::simple();
    server.squid("Corp", &squid, true);
    let id = server.integration("Own", &service, &json!({"cache_hours": 1}));
    for cached in [false, true] {
        let done = server.analyse(&json!({"url": "https://evil.example/"}));
        assert_eq!((&done["results"][0]["cached"], &done["verdict"]), (&json!(cached), &json!("malicious")));
    }
    assert_eq!(service.requests().len(), 1);
    // Another setting may mean another answer.
    let mut changed = server.get(&format!("/api/v1/integrations/{id}")).expect(200);
    changed["options"]["malicious"] = json!("bad");
    changed["options"]["suspicious"] = json!("malicious");
    server.put(&format!("/api/v1/integrations/{id}"), &changed).expect(200);
    assert_eq!(server.analyse(&json!({"url": "https://evil.example/"}))["verdict"], json!("suspicious"));
}
