//! Integrations over the API: the contract, their secrets, their proxies.

use serde_json::{Value, json};

use crate::{
    access::contains,
    harness::Start,
    parts::{Service, Squid},
};

const KEY: &str = "Zq8-a-key-that-stands-nowhere-by-chance";

#[test]
fn an_integration_is_made_read_replaced_and_deleted() {
    let server = Start::new().start();
    let default = server
        .post("/api/v1/proxies", &json!({"name": "Corp-EU", "host": "p.example", "port": 3128, "is_default": true}))
        .expect(201);
    let body = json!({
        "name": " VirusTotal \t EU ", "type": "virustotal", "description": "For reported mails", "api_key": KEY, "tags": ["mail", "eu"],
        "exclusions": {"urls": ["*.corp.example"], "ips": ["10.0.0.0/8"], "extensions": [".PDF"]}, "hide_url_parameters": true,
    });
    let answer = server.post("/api/v1/integrations", &body);
    let (etag, location) = (answer.header("etag").to_string(), answer.header("location").to_string());
    let made = answer.expect(201);
    for (field, value) in [
        ("name", json!("VirusTotal EU")),
        ("type", json!("virustotal")),
        ("api_url", json!("https://www.virustotal.com/api/v3")),
        ("tags", json!(["mail", "eu"])),
        ("proxy", json!({"choice": "default"})),
        ("proxy_name", json!("Corp-EU")),
        ("status", json!("active")),
        ("has_api_key", json!(true)),
        ("hide_url_parameters", json!(true)),
        ("exclusions", json!({"urls": ["*.corp.example"], "ips": ["10.0.0.0/8"], "extensions": ["pdf"]})),
        ("cache_hours", json!(0)),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert!(made.get("api_key").is_none() && made["capabilities"]["url"] == json!(true));
    assert_eq!(server.get(&location).expect(200), made);
    assert_eq!(
        server.post("/api/v1/integrations", &json!({"name": "VIRUSTOTAL eu", "type": "otx", "api_key": "k"})).code(),
        "name_taken"
    );

    // The default proxy is in use by it.
    let used = server.get(&format!("/api/v1/proxies/{}", default["id"].as_str().expect("an id"))).expect(200)["used_by"].clone();
    assert_eq!(used, json!([{"kind": "integration", "id": made["id"], "name": "VirusTotal EU", "via": "default"}]));
    let kept = server.delete(&format!("/api/v1/proxies/{}", default["id"].as_str().expect("an id")));
    assert_eq!((kept.status, kept.code()), (409, "in_use"));

    // What was read can be sent back: the key left out is kept.
    let mut sent_back = made.clone();
    sent_back["proxy"] = json!({"choice": "none"});
    let replaced = server.call_with("PUT", &location, &[("if-match", &etag)], Some(&sent_back)).expect(200);
    assert_eq!((&replaced["has_api_key"], &replaced["proxy_name"]), (&json!(true), &Value::Null));
    let late = server.call_with("PUT", &location, &[("if-match", &etag)], Some(&sent_back));
    assert_eq!((late.status, late.code()), (409, "changed"));
    assert_eq!(server.delete(&format!("/api/v1/proxies/{}", default["id"].as_str().expect("an id"))).status, 204);

    let list = server.get("/api/v1/integrations?tag=MAIL&type=virustotal&proxy=none&q=reported").expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.get("/api/v1/integrations?tag=other").expect(200)["items"], json!([]));
    assert_eq!(server.get("/api/v1/integrations?colour=red&sort=size").status, 422);
    let copy = server.post(&format!("{location}/duplicate"), &json!({})).expect(201);
    assert_eq!(
        (&copy["name"], &copy["status"], &copy["has_api_key"]),
        (&json!("VirusTotal EU (copy)"), &json!("inactive"), &json!(true))
    );
    assert_eq!(server.delete(&location).status, 204);
    assert_eq!(server.get(&location).status, 404);
}

#[test]
fn bad_input_names_its_field() {
    let server = Start::new().start();
    let right = json!({"name": "A", "type": "virustotal", "api_key": "k"});
    for (field, value, named) in [
        ("type", json!("virus_total"), "type"),
        ("name", json!(""), "name"),
        ("api_url", json!("www.virustotal.com"), "api_url"),
        ("api_url", json!("https://user:pw@www.virustotal.com/"), "api_url"),
        ("capabilities", json!({"url": false}), "capabilities"),
        ("capabilities", json!({"sender_ip": "yes"}), "capabilities"),
        ("proxy", json!("none"), "proxy"),
        ("proxy", json!({"choice": "setting", "id": "0190c0de-0000-7000-8000-000000000000"}), "proxy"),
        ("proxy", json!({"choice": "setting", "id": "x"}), "proxy"),
        ("exclusions", json!({"ips": ["300.0.0.1"]}), "exclusions.ips"),
        ("detection_threshold", json!(0), "detection_threshold"),
        ("cache_hours", json!(721), "cache_hours"),
        ("api_key", json!("with\nline"), "api_key"),
        ("options", json!({"colour": "red"}), "options.colour"),
        ("colour", json!("red"), "colour"),
    ] {
        let mut body = right.clone();
        body[field] = value;
        let answer = server.post("/api/v1/integrations", &body);
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{body}");
        assert!(answer.body["fields"][named].is_string(), "{named}: {}", answer.text);
    }
    assert_eq!(
        server.post("/api/v1/integrations", &json!({"name": "A", "type": "virustotal"})).body["fields"]["api_key"],
        json!("Enter the API key.")
    );
    assert_eq!(server.get("/api/v1/integrations").expect(200)["items"], json!([]), "nothing was stored");
}

#[test]
fn a_test_proves_the_way_and_the_key_and_the_key_goes_nowhere_else() {
    let server = Start::new().env("GATEHOUSE_LOG", "trace").start();
    let squid = Squid::start();
    let service = Service::start(|request| {
        if request.headers.get("authorization").is_some_and(|key| key == KEY) {
            (200, json!({"verdict": "clean"}))
        } else {
            (401, json!({}))
        }
    });
    let proxy = server.squid("Corp-EU", &squid, true);
    let id = server.integration("Own", &service, &json!({"api_key": KEY}));
    let path = format!("/api/v1/integrations/{id}");
    let report = server.post(&format!("{path}/test"), &json!({})).expect(200);
    assert_eq!((&report["ok"], &report["cause"]), (&json!(true), &Value::Null), "{report}");
    assert_eq!(report["route"], json!({"via": "proxy", "proxy": {"id": proxy, "name": "Corp-EU"}}));
    let stages: Vec<_> = report["stages"]
        .as_array()
        .expect("stages")
        .iter()
        .map(|stage| stage["stage"].as_str().expect("a name").to_string())
        .collect();
    assert_eq!(stages, ["resolve", "connect", "proxy_tls", "proxy_handshake", "target_tls", "target_http"]);
    assert!(squid.log().contains(&service.url()), "{}", squid.log());
    let read = server.get(&path).expect(200);
    assert_eq!((&read["last_test"]["ok"], &read["health"]), (&json!(true), &json!("healthy")));

    // A draft with the stored key, towards its own place and towards another.
    let mut draft = read.clone();
    assert_eq!(server.post("/api/v1/integrations/test", &draft).expect(200)["ok"], json!(true));
    let other = Service::simple();
    draft["api_url"] = json!(other.url());
    let refused = server.post("/api/v1/integrations/test", &draft);
    assert_eq!(refused.status, 422);
    assert!(refused.body["fields"]["api_key"].is_string() && other.requests().is_empty(), "{}", refused.text);
    assert_eq!(server.put(&path, &draft).status, 422);

    // A wrong key is told as that, and not as a proxy that does not work.
    let wrong = server.integration("Wrong key", &service, &json!({"api_key": "another"}));
    let report = server.post(&format!("/api/v1/integrations/{wrong}/test"), &json!({})).expect(200);
    assert_eq!((&report["ok"], &report["cause"], &report["status_code"]), (&json!(false), &json!("key_rejected"), &json!(401)));

    // Nowhere to be read.
    let answers = [read.to_string(), server.get("/api/v1/traffic").text, server.get("/api/v1/integrations").text].concat();
    assert!(!answers.contains(KEY) && !server.printed().contains(KEY) && !contains(&server.stored_bytes(), KEY.as_bytes()));
}

#[test]
fn each_proxy_choice_leads_its_way() {
    let server = Start::new().start();
    let (corp, lab) = (Squid::start(), Squid::start());
    let service = Service::simple();
    let corp_id = server.squid("Corp", &corp, true);
    let lab_id = server.squid("Lab", &lab, false);
    server.integration("By default", &service, &json!({}));
    server.integration("By setting", &service, &json!({"proxy": {"choice": "setting", "id": lab_id}}));
    server.integration("Direct", &service, &json!({"proxy": {"choice": "none"}}));
    let done = server.analyse(&json!({"url": "https://evil.example/x?y=1"}));
    let by_name = |name: &str| {
        done["results"].as_array().expect("results").iter().find(|r| r["integration"]["name"] == name).expect(name).clone()
    };
    assert_eq!(by_name("By default")["route"], json!({"via": "proxy", "proxy": {"id": corp_id, "name": "Corp"}}));
    assert_eq!(by_name("By setting")["route"], json!({"via": "proxy", "proxy": {"id": lab_id, "name": "Lab"}}));
    assert_eq!(
        (by_name("By default")["verdict"].clone(), by_name("By setting")["verdict"].clone()),
        (json!("malicious"), json!("malicious"))
    );
    // Only the proxies know the service's name: going there directly fails, and says that it was direct.
    let direct = by_name("Direct");
    assert_eq!(direct["route"], json!({"via": "direct", "reason": "no_proxy"}));
    assert_eq!((&direct["verdict"], &direct["cause"]), (&Value::Null, &json!("name_not_found")), "{direct}");
    assert_eq!((&done["verdict"], &done["incomplete"]), (&json!("malicious"), &json!(true)));
    assert_eq!((corp.log().matches("GET http").count(), lab.log().matches("GET http").count()), (1, 1));
    let traffic = server.traffic();
    assert_eq!(traffic.len(), 3, "{traffic:?}");
    assert!(traffic.iter().all(|record| !record.to_string().contains("evil")), "no path, no query");
    let found = server.get("/api/v1/traffic?q=engine.example.test%20corp").expect(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "did this go through the proxy?");
    let csv = server.get("/api/v1/traffic.csv");
    assert!(csv.header("content-type").starts_with("text/csv") && csv.text.lines().count() == 4, "{}", csv.text);
}

#[test]
fn an_auditor_looks_and_changes_nothing() {
    let server = Start::new().start();
    let made = server.post("/api/v1/integrations", &json!({"name": "A", "type": "virustotal", "api_key": KEY})).expect(201);
    let path = format!("/api/v1/integrations/{}", made["id"].as_str().expect("an id"));
    let hook = json!({"webhook_url": "https://hooks.example/services/a-secret-path", "webhook_proxy": {"choice": "none"}});
    server.call("PUT", "/api/v1/checks", Some(&hook)).expect(200);
    let call = server.as_another("audit@example.com", &["--role", "auditor"]);
    for looked_at in
        [&path, "/api/v1/integrations", "/api/v1/analyses", "/api/v1/traffic", "/api/v1/engines", "/api/v1/checks/changes"]
    {
        assert_eq!(call("GET", looked_at, "").status, 200, "{looked_at}");
    }
    // Such addresses are secrets to those who may not change them.
    assert_eq!(call("GET", "/api/v1/checks", "").expect(200)["webhook_url"], json!("https://hooks.example:443/…"));
    for (method, path) in [
        ("POST", "/api/v1/integrations".to_string()),
        ("POST", "/api/v1/integrations/test".to_string()),
        ("PUT", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/test")),
        ("POST", format!("{path}/duplicate")),
        ("POST", "/api/v1/analyses".to_string()),
        ("PUT", "/api/v1/checks".to_string()),
    ] {
        let answer = call(method, &path, "{}");
        assert_eq!((answer.status, answer.code()), (403, "forbidden"), "{method} {path}");
    }
}

#[test]
fn another_company_sees_and_changes_nothing_and_private_addresses_are_closed() {
    let server = Start::new().env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key").start_with_key();
    let proxy = server.proxy("Mine");
    let choice = json!({"choice": "setting", "id": proxy["id"]});
    let body = json!({"name": "Mine", "type": "virustotal", "api_key": KEY, "proxy": choice});
    let made = server.post("/api/v1/integrations", &body).expect(201);
    let path = format!("/api/v1/integrations/{}", made["id"].as_str().expect("an id"));
    let analysis = server.analyse(&json!({"url": "https://mine.example/"}));
    let analysis = format!("/api/v1/analyses/{}", analysis["id"].as_str().expect("an id"));
    assert!(!server.traffic().is_empty());

    let call = server.as_another("eve@other.example", &["--company", "Other"]);
    for list in ["/api/v1/integrations", "/api/v1/analyses", "/api/v1/traffic"] {
        assert_eq!(call("GET", list, "").expect(200)["items"], json!([]), "{list}");
    }
    assert_eq!(call("GET", "/api/v1/traffic.csv", "").text.lines().count(), 1);
    let theirs = json!({"name": "Theirs", "type": "virustotal", "api_key": "k"});
    let draft = {
        let mut draft = theirs.clone();
        draft["id"] = made["id"].clone();
        draft.to_string()
    };
    for (method, path, body) in [
        ("GET", path.clone(), String::new()),
        ("PUT", path.clone(), theirs.to_string()),
        ("DELETE", path.clone(), String::new()),
        ("POST", format!("{path}/test"), "{}".into()),
        ("POST", format!("{path}/duplicate"), "{}".into()),
        ("POST", "/api/v1/integrations/test".into(), draft),
        ("GET", analysis, String::new()),
    ] {
        let answer = call(method, &path, &body);
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{method} {path}: {}", answer.text);
    }
    // A foreign proxy setting is none.
    let mut stolen = theirs.clone();
    stolen["proxy"] = json!({"choice": "setting", "id": proxy["id"]});
    let answer = call("POST", "/api/v1/integrations", &stolen.to_string());
    assert!(answer.status == 422 && answer.body["fields"]["proxy"].is_string(), "{}", answer.text);
    for address in ["http://127.0.0.1:8000/", "https://10.0.0.1/", "http://169.254.169.254/latest/", "http://[::1]/"] {
        let private = json!({"name": "P", "type": "custom_http", "api_url": address});
        let answer = server.post("/api/v1/integrations", &private);
        assert!(answer.status == 422 && answer.body["fields"]["api_url"].is_string(), "{address}: {}", answer.text);
        let hook = server.call("PUT", "/api/v1/checks", Some(&json!({"webhook_url": address})));
        assert!(hook.status == 422 && hook.body["fields"]["webhook_url"].is_string(), "{address}: {}", hook.text);
    }
}
