//! Coming in: set-up link, sign-in, throttling, origins, tokens.

use serde_json::json;

use crate::harness::{EMAIL, PASSWORD, Server, Start, send};

#[test]
fn probes_answer_without_an_account() {
    let server = Start::new().empty().start();
    assert_eq!(send("GET", &format!("{}/healthz", server.url), &[], None).status, 200);
    assert_eq!(send("GET", &format!("{}/readyz", server.url), &[], None).status, 200);
    let document = send("GET", &format!("{}/api/v1/openapi.json", server.url), &[], None);
    assert!(document.body["paths"]["/api/v1/proxies"]["get"].is_object());
    let unknown = send("GET", &format!("{}/api/v1/nothing", server.url), &[], None);
    assert_eq!((unknown.status, unknown.code(), unknown.header("content-type")), (404, "not_found", "application/problem+json"));
    let method = send("PATCH", &format!("{}/api/v1/proxies", server.url), &[], None);
    assert_eq!((method.status, method.code()), (405, "method_not_allowed"));
}

/// Found by schemathesis (make test-api).
#[test]
fn answers_keep_to_the_document_also_where_requests_do_not() {
    let server = Start::new().start();
    for (method, path) in [("GET", "proxies"), ("PUT", "integrations"), ("DELETE", "tokens"), ("GET", "analyses")] {
        let answer = server.call(method, &format!("/api/v1/{path}/%FF"), Some(&json!({})));
        assert_eq!((answer.status, answer.header("content-type")), (404, "application/problem+json"), "{method} {path}");
    }
    let hourly = json!({"every_minutes": 60});
    server.put("/api/v1/checks", &hourly).expect(200);
    let nothing = server.call("PUT", "/api/v1/checks", None);
    assert_eq!((nothing.status, nothing.code()), (400, "malformed"));
    assert_eq!(server.get("/api/v1/checks").expect(200)["every_minutes"], hourly["every_minutes"]);
    let saved = server.proxy("Corp-EU");
    let test = format!("/api/v1/proxies/{}/test", saved["id"].as_str().expect("an identifier"));
    server.post(&test, &json!(null)).expect(200);
    assert_eq!(server.get("/api/v1/integrations?sort=--name").code(), "invalid");
}

#[test]
fn metrics_count_requests_and_name_nobody() {
    let server = Start::new().empty().start();
    for _ in 0..2 {
        send("GET", &format!("{}/healthz", server.url), &[], None);
    }
    send("GET", &format!("{}/api/v1/proxies/somebodys-identifier", server.url), &[], None);
    send("GET", &format!("{}/setup/a-secret", server.url), &[], None);
    let metrics = send("GET", &format!("{}/metrics", server.url), &[], None);
    assert_eq!((metrics.status, metrics.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        r#"gatehouse_http_requests_total{method="GET",route="/healthz",status="200"} 2"#,
        r#"gatehouse_http_requests_total{method="GET",route="/api/v1/proxies/{id}",status="401"} 1"#,
        r#"gatehouse_http_requests_total{method="GET",route="page",status="410"} 1"#,
        r#"gatehouse_http_request_duration_seconds_count{method="GET",route="/healthz"} 2"#,
        "gatehouse_http_requests_in_flight 1",
    ] {
        assert!(metrics.text.contains(line), "{line} is not in\n{}", metrics.text);
    }
    assert!(!metrics.text.contains("somebody") && !metrics.text.contains("a-secret"));
}

#[test]
fn the_set_up_link_makes_one_administrator_once() {
    let server = Start::new().empty().start();
    let began = std::time::Instant::now();
    while !server.printed().contains("/setup/") && began.elapsed() < std::time::Duration::from_secs(10) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let printed = server.printed();
    let link =
        printed.split("/setup/").nth(1).expect("the link is printed").split_whitespace().next().expect("a secret").to_string();
    let form = format!("company=Acme&name=Jo&email=jo%40acme.example&password={}", "x".repeat(12));
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", server.url.as_str())];
    let wrong = send("POST", &format!("{}/setup/wrong", server.url), &headers, Some(&form));
    assert_ne!(wrong.status, 303);
    let short = send(
        "POST",
        &format!("{}/setup/{link}", server.url),
        &headers,
        Some("company=Acme&name=Jo&email=jo%40acme.example&password=short"),
    );
    assert_eq!(short.status, 422);
    assert!(short.text.contains("at least 8 characters") && short.text.contains("jo@acme.example"), "what was typed stays");
    let right = send("POST", &format!("{}/setup/{link}", server.url), &headers, Some(&form));
    assert_eq!(right.status, 303, "{}", right.text);
    let session = send("GET", &format!("{}/api/v1/sessions", server.url), &[("cookie", &right.cookie())], None);
    assert_eq!(session.expect(200)["company"], "Acme");
    let again = send("POST", &format!("{}/setup/{link}", server.url), &headers, Some(&form));
    assert_ne!(again.status, 303, "a link works once");
    let log = server.printed().replace(&format!("/setup/{link}"), "");
    assert_eq!(log.matches(&link).count(), 0, "the link stands in the log only where it is offered");
}

#[test]
fn a_session_comes_in_a_careful_cookie_and_ends() {
    let server = Start::new().start();
    let url = format!("{}/api/v1/sessions", server.url);
    let body = json!({"email": EMAIL.to_uppercase(), "password": PASSWORD}).to_string();
    let signed_in = send("POST", &url, &[], Some(&body));
    assert_eq!(signed_in.status, 201);
    let cookie = signed_in.header("set-cookie").to_string();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = signed_in.cookie();
    assert_eq!(send("GET", &url, &[("cookie", &cookie)], None).expect(200)["email"], EMAIL);
    assert_eq!(send("DELETE", &url, &[("cookie", &cookie)], None).status, 204);
    let ended = send("GET", &url, &[("cookie", &cookie)], None);
    assert_eq!((ended.status, ended.code(), ended.header("www-authenticate")), (401, "unauthorized", "Bearer"));
}

#[test]
fn wrong_credentials_tell_nothing_and_are_throttled() {
    let server = Start::new().start();
    let url = format!("{}/api/v1/sessions", server.url);
    let attempt =
        |email: &str, password: &str| send("POST", &url, &[], Some(&json!({"email": email, "password": password}).to_string()));
    assert_eq!(attempt("", "").expect(422)["fields"].as_object().map(|f| f.len()), Some(2));
    let (known, unknown) = (attempt(EMAIL, "wrong"), attempt("nobody@example.com", "wrong"));
    assert_eq!((known.status, known.text), (401, unknown.text));
    for _ in 0..8 {
        assert_eq!(attempt(EMAIL, "wrong").status, 401);
    }
    // Ten from this address by now: the right password is not even looked at.
    let throttled = attempt(EMAIL, PASSWORD);
    assert_eq!((throttled.status, throttled.code()), (429, "too_many_sign_ins"));
    let wait: u64 = throttled.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
}

#[test]
fn fifty_attempts_at_once_do_not_slip_past_the_throttle() {
    let server = Start::new().start();
    let url = format!("{}/api/v1/sessions", server.url);
    let body = json!({"email": EMAIL, "password": "wrong"}).to_string();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50).map(|_| scope.spawn(|| send("POST", &url, &[], Some(&body)).status)).collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).collect()
    });
    assert_eq!(statuses.iter().filter(|s| **s == 401).count(), 10, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|s| **s == 429).count(), 40, "{statuses:?}");
}

#[test]
fn other_sites_change_nothing() {
    let server = Start::new().start();
    let url = format!("{}/api/v1/proxies", server.url);
    let cookie = send(
        "POST",
        &format!("{}/api/v1/sessions", server.url),
        &[],
        Some(&json!({"email": EMAIL, "password": PASSWORD}).to_string()),
    )
    .cookie();
    let body = json!({"name": "A", "host": "h", "port": 1}).to_string();
    for headers in [
        vec![("origin", "http://evil.example")],
        vec![("origin", "null")],
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site"), ("origin", server.url.as_str())],
    ] {
        let mut all = vec![("cookie", cookie.as_str())];
        all.extend(headers.clone());
        let answer = send("POST", &url, &all, Some(&body));
        assert_eq!((answer.status, answer.code()), (403, "foreign_origin"), "{headers:?}");
    }
    assert_eq!(server.get("/api/v1/proxies").expect(200)["items"], json!([]));
    let own = send("POST", &url, &[("cookie", &cookie), ("origin", &server.url), ("sec-fetch-site", "same-origin")], Some(&body));
    assert_eq!(own.status, 201);
}

#[test]
fn a_token_is_shown_once_and_stops_when_deleted() {
    let server = Start::new().start();
    let made = server.post("/api/v1/tokens", &json!({"name": "backup script"})).expect(201);
    let token = made["token"].as_str().expect("a token").to_string();
    let use_it =
        || send("GET", &format!("{}/api/v1/proxies", server.url), &[("authorization", &format!("Bearer {token}"))], None);
    assert_eq!(use_it().status, 200);
    let list = server.get("/api/v1/tokens");
    assert!(!list.text.contains(&token) && list.text.contains("backup script"));
    assert!(!contains(&server.stored_bytes(), token.as_bytes()), "only a hash is stored");
    assert_eq!(
        server.post("/api/v1/tokens", &json!({"name": " "})).expect(422)["fields"]["name"].as_str().map(|m| !m.is_empty()),
        Some(true)
    );
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id"));
    assert_eq!(server.delete(&path).status, 204);
    assert_eq!(use_it().status, 401);
    assert_eq!(server.delete(&path).status, 404);
    let both = send("GET", &format!("{}/api/v1/proxies", server.url), &[("authorization", "Bearer wrong")], None);
    assert_eq!(both.status, 401);
}

pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn behind_a_balancer_sign_ins_are_throttled_by_whoever_asks() {
    let attempt = |server: &Server, from: &str, account: usize| {
        let body = json!({"email": format!("nobody{account}@example.com"), "password": "wrong wrong wrong"}).to_string();
        let fields = [("content-type", "application/json"), ("x-forwarded-for", from)];
        send("POST", &format!("{}/api/v1/sessions", server.url), &fields, Some(&body)).status
    };
    let behind = Start::new().env("GATEHOUSE_TRUSTED_PROXIES", "127.0.0.0/8, ::1").start();
    for account in 0..10 {
        assert_eq!(attempt(&behind, "203.0.113.7", account), 401);
    }
    assert_eq!(attempt(&behind, "203.0.113.7", 10), 429, "that address has had its ten");
    assert_eq!(attempt(&behind, "9.9.9.9, 203.0.113.7", 11), 429, "what it writes in front of itself changes nothing");
    assert_eq!(attempt(&behind, "203.0.113.8", 12), 401, "another one has not");
    // Where no balancer was named, nobody is believed.
    let alone = Start::new().start();
    for account in 0..10 {
        assert_eq!(attempt(&alone, &format!("203.0.113.{account}"), account), 401);
    }
    assert_eq!(attempt(&alone, "203.0.113.99", 10), 429);
}
