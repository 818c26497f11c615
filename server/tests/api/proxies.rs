//! Proxy settings over the API: the contract, line by line, and bad input, field by field.

use serde_json::{Value, json};

use crate::harness::{Server, Start, send};

#[test]
fn a_setting_is_made_read_replaced_and_deleted() {
    let server = Start::new().start();
    let answer = server.post(
        "/api/v1/proxies",
        &json!({
            "name": "  Corp \t EU ", "host": "Proxy.Example", "port": 3128, "scheme": "https", "authentication": "basic",
            "username": "jo", "password": "hunter2-hunter2", "bypass": ["localhost", "*.corp.example", "10.0.0.0/8"], "timeout_s": 5,
        }),
    );
    let (etag, location) = (answer.header("etag").to_string(), answer.header("location").to_string());
    let made = answer.expect(201);
    for (field, value) in [
        ("name", json!("Corp EU")),
        ("host", json!("Proxy.Example")),
        ("port", json!(3128)),
        ("scheme", json!("https")),
        ("authentication", json!("basic")),
        ("username", json!("jo")),
        ("has_password", json!(true)),
        ("is_default", json!(false)),
        ("bypass", json!(["localhost", "*.corp.example", "10.0.0.0/8"])),
        ("ca_pem", Value::Null),
        ("timeout_s", json!(5)),
        ("last_test", Value::Null),
        ("used_by", json!([])),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert!(made.get("password").is_none() && made["created_at"].as_str().is_some_and(|t| t.ends_with('Z')));
    let read = server.get(&location);
    assert_eq!(read.header("etag"), etag);
    let mut sent_back = read.expect(200);
    assert_eq!(sent_back, made);

    // What was read can be sent back: read-only fields are ignored, the password left out is kept.
    sent_back["name"] = json!("Corp Europe");
    let replaced = server.call_with("PUT", &location, &[("if-match", &etag)], Some(&sent_back)).expect(200);
    assert_eq!((&replaced["name"], &replaced["has_password"]), (&json!("Corp Europe"), &json!(true)));
    let late = server.call_with("PUT", &location, &[("if-match", &etag)], Some(&sent_back));
    assert_eq!((late.status, late.code()), (409, "changed"));
    let late = server.call_with("DELETE", &location, &[("if-match", &etag)], None);
    assert_eq!((late.status, late.code()), (409, "changed"));

    // PUT replaces: what is left out takes its default; transparent erases the password.
    let bare = server.put(&location, &json!({"name": "Corp", "host": "proxy.example", "port": 3128})).expect(200);
    assert_eq!(
        (&bare["authentication"], &bare["username"], &bare["has_password"], &bare["bypass"], &bare["scheme"], &bare["timeout_s"]),
        (&json!("transparent"), &Value::Null, &json!(false), &json!([]), &json!("http"), &json!(10))
    );
    assert_eq!(server.delete(&location).status, 204);
    assert_eq!(server.get(&location).status, 404);
    assert_eq!(server.delete(&location).status, 404);
    assert_eq!(server.get("/api/v1/proxies/not-an-id").status, 404);
}

#[test]
fn a_password_of_null_is_erased_and_a_place_that_changes_asks_for_it_again() {
    let server = Start::new().start();
    let draft = json!({"name": "A", "host": "one.example", "port": 3128, "authentication": "basic", "username": "jo", "password": "pw-one"});
    let made = server.post("/api/v1/proxies", &draft).expect(201);
    let path = format!("/api/v1/proxies/{}", made["id"].as_str().expect("an id"));
    let mut without = draft.clone();
    without.as_object_mut().expect("an object").remove("password");
    for (field, value) in [("host", json!("two.example")), ("port", json!(3129)), ("scheme", json!("socks5"))] {
        let mut moved = without.clone();
        moved[field] = value;
        let answer = server.put(&path, &moved);
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{field}");
        assert!(answer.body["fields"]["password"].is_string(), "{field}: {}", answer.text);
        moved["password"] = json!("pw-two");
        let tested = server.post(
            "/api/v1/proxies/test",
            &json!({"proxy": {"id": made["id"], "host": moved["host"], "port": moved["port"],
            "scheme": moved.get("scheme").unwrap_or(&json!("http")), "authentication": "basic", "username": "jo"}}),
        );
        assert_eq!(tested.status, 422, "{field}: {}", tested.text);
        assert!(tested.body["fields"]["password"].is_string(), "{field}");
    }
    assert_eq!(server.get(&path).expect(200)["host"], "one.example");
    let mut same_place = without.clone();
    same_place["host"] = json!("ONE.example");
    assert_eq!(server.put(&path, &same_place).expect(200)["has_password"], true, "another spelling of the same place");
    let mut erased = without;
    erased["password"] = Value::Null;
    assert_eq!(server.put(&path, &erased).expect(200)["has_password"], false);
}

#[test]
fn names_are_unique_without_regard_to_case_and_kept_as_typed() {
    let server = Start::new().start();
    for name in ["Straße Zürich", "日本 プロキシ", "Corp-EU"] {
        assert_eq!(server.proxy(name)["name"], name);
    }
    for taken in ["STRASSE  zürich", " corp-eu "] {
        let answer = server.post("/api/v1/proxies", &json!({"name": taken, "host": "h", "port": 1}));
        assert_eq!((answer.status, answer.code()), (409, "name_taken"), "{taken}");
        assert!(answer.body["fields"]["name"].is_string());
    }
    let other = server.proxy("Other");
    let path = format!("/api/v1/proxies/{}", other["id"].as_str().expect("an id"));
    assert_eq!(server.put(&path, &json!({"name": "CORP-EU", "host": "h", "port": 1})).code(), "name_taken");
    assert_eq!(server.put(&path, &json!({"name": "OTHER", "host": "h", "port": 1})).status, 200, "its own name in other letters");
}

#[test]
fn bad_input_names_the_field_and_says_what_would_be_right() {
    let server = Start::new().start();
    let right = json!({"name": "A", "host": "proxy.example", "port": 3128});
    let long = "x".repeat(101);
    for (field, value, word) in [
        ("name", json!(""), "Enter"),
        ("name", json!(long), "at most 100"),
        ("name", json!("a\u{0}b"), "control"),
        ("name", json!(7), "text"),
        ("name", Value::Null, "text"),
        ("host", json!(""), "Enter"),
        ("host", json!("http://proxy"), "without http://"),
        ("host", json!("proxy/path"), "without"),
        ("host", json!("proxy:3128"), "field of its own"),
        ("host", json!("a b"), "spaces"),
        ("host", json!("a\u{7}b"), "control"),
        ("host", json!("x".repeat(2000)), "too long"),
        ("host", json!("999.1.1.1"), "IPv4"),
        ("host", json!("[::1"), "bracket"),
        ("port", json!(0), "1 to 65535"),
        ("port", json!(65536), "1 to 65535"),
        ("port", json!(-1), "1 to 65535"),
        ("port", json!("3128"), "number"),
        ("port", json!(3128.5), "1 to 65535"),
        ("port", Value::Null, "number"),
        ("scheme", json!("ftp"), "socks5"),
        ("authentication", json!("ntlm"), "basic"),
        ("bypass", json!("x"), "list"),
        ("bypass", json!(["a b"]), "spaces"),
        ("bypass", json!(["*"]), "past the proxy"),
        ("ca_pem", json!("nonsense"), "PEM"),
        ("ca_pem", json!("-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----"), ""),
        ("timeout_s", json!(0), "1 to 120"),
        ("timeout_s", json!(121), "1 to 120"),
        ("is_default", json!("yes"), "true or false"),
        ("password", json!(5), "text"),
        ("pasword", json!("x"), "no such field"),
    ] {
        let mut body = right.clone();
        body[field] = value.clone();
        let answer = server.post("/api/v1/proxies", &body);
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{field} = {value}: {}", answer.text);
        let message =
            answer.body["fields"][field].as_str().unwrap_or_else(|| panic!("{field} = {value} is not named: {}", answer.text));
        assert!(message.contains(word), "{field} = {value}: {message}");
        assert_eq!(answer.body["fields"].as_object().map(serde_json::Map::len), Some(1), "{}", answer.text);
    }
    let basic =
        server.post("/api/v1/proxies", &json!({"name": "A", "host": "h", "port": 1, "authentication": "basic"})).expect(422);
    assert!(basic["fields"]["username"].is_string() && basic["fields"]["password"].is_string());
    for (body, status, code) in [("{", 400, "malformed"), ("[]", 422, "invalid"), ("\"x\"", 422, "invalid"), ("", 422, "invalid")]
    {
        let answer = send(
            "POST",
            &format!("{}/api/v1/proxies", server.url),
            &[("authorization", &format!("Bearer {}", server.token))],
            Some(body),
        );
        assert_eq!((answer.status, answer.code()), (status, code), "{body}");
    }
    let large = json!({"name": "A", "host": "h", "port": 1, "ca_pem": "x".repeat(1_100_000)});
    let answer = server.post("/api/v1/proxies", &large);
    assert_eq!((answer.status, answer.code()), (413, "too_large"));
    assert_eq!(server.get("/api/v1/proxies").expect(200)["items"], json!([]), "nothing of it was stored");
}

#[test]
fn addresses_are_shown_as_typed() {
    let server = Start::new().start();
    for (n, (typed, shown)) in [
        ("bücher.example", "bücher.example"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("2001:db8::2", "2001:db8::2"),
        ("192.0.2.1", "192.0.2.1"),
    ]
    .iter()
    .enumerate()
    {
        let made = server.post("/api/v1/proxies", &json!({"name": format!("p{n}"), "host": typed, "port": 3128})).expect(201);
        assert_eq!(made["host"], *shown);
    }
}

#[test]
fn lists_are_searched_filtered_sorted_and_paged() {
    let server = Start::new().start();
    for n in 0..7 {
        let basic = json!({"name": format!("Proxy {n}"), "host": format!("h{}.example", 6 - n), "port": 3128 + n, "authentication": "basic", "username": "jo", "password": "x"});
        let plain = json!({"name": format!("Proxy {n}"), "host": format!("h{}.example", 6 - n), "port": 3128 + n});
        server.post("/api/v1/proxies", if n % 2 == 0 { &plain } else { &basic }).expect(201);
    }
    let names = |query: &str| -> Vec<String> {
        let list = server.get(&format!("/api/v1/proxies?{query}")).expect(200);
        list["items"].as_array().expect("items").iter().map(|i| i["name"].as_str().expect("a name").to_string()).collect()
    };
    assert_eq!(names("q=PROXY+3"), ["Proxy 3"]);
    assert_eq!(names("q=H0.EXAMPLE"), ["Proxy 6"]);
    assert_eq!(names("authentication=basic"), ["Proxy 1", "Proxy 3", "Proxy 5"]);
    assert_eq!(names("port=3130"), ["Proxy 2"]);
    assert_eq!(names("sort=host&limit=2"), ["Proxy 6", "Proxy 5"]);
    assert_eq!(names("sort=-created_at&limit=1"), ["Proxy 6"]);
    assert_eq!(names("q=none"), Vec::<String>::new());
    for sort in ["name", "-name", "host", "-port", "authentication", "-is_default", "created_at"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("/api/v1/proxies?sort={sort}&limit=3&cursor={cursor}")).expect(200);
            seen.extend(page["items"].as_array().expect("items").iter().map(|i| i["id"].as_str().expect("an id").to_string()));
            match page["next"].as_str() {
                Some(next) => cursor = next.to_string(),
                None => break,
            }
        }
        let unique: std::collections::HashSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), unique.len()), (7, 7), "{sort}: each once");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("sort=size", "sort"),
        ("cursor=nonsense", "cursor"),
        ("colour=red", "colour"),
        ("is_default=maybe", "is_default"),
    ] {
        let answer = server.get(&format!("/api/v1/proxies?{query}"));
        assert_eq!(answer.status, 422, "{query}");
        assert!(answer.body["fields"][field].is_string(), "{query}: {}", answer.text);
    }
}

fn defaults(server: &Server) -> Vec<String> {
    let list = server.get("/api/v1/proxies?is_default=true&limit=200").expect(200);
    list["items"].as_array().expect("items").iter().map(|i| i["id"].as_str().expect("an id").to_string()).collect()
}

#[test]
fn fifty_requests_for_the_default_leave_exactly_one() {
    let server = Start::new().start();
    let ids: Vec<String> = (0..50).map(|n| server.proxy(&format!("p{n}"))["id"].as_str().expect("an id").to_string()).collect();
    std::thread::scope(|scope| {
        for (n, id) in ids.iter().enumerate() {
            let server = &server;
            scope.spawn(move || {
                let status = if n % 2 == 0 {
                    server.post(&format!("/api/v1/proxies/{id}/default"), &json!({})).status
                } else {
                    server
                        .put(
                            &format!("/api/v1/proxies/{id}"),
                            &json!({"name": format!("p{n}"), "host": "h", "port": 1, "is_default": true}),
                        )
                        .status
                };
                assert_eq!(status, 200);
            });
        }
    });
    assert_eq!(defaults(&server).len(), 1);
    let chosen = defaults(&server).remove(0);
    let n = ids.iter().position(|id| *id == chosen).expect("one of them");
    server.put(&format!("/api/v1/proxies/{chosen}"), &json!({"name": format!("p{n}"), "host": "h", "port": 1})).expect(200);
    assert_eq!(defaults(&server).len(), 0, "left out, is_default is false");
}

#[test]
fn fifty_creations_of_one_name_leave_one_and_49_clear_conflicts() {
    let server = Start::new().start();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50)
            .map(|n| {
                let server = &server;
                let name = if n % 2 == 0 { "Same Name" } else { "same name" };
                scope.spawn(move || server.post("/api/v1/proxies", &json!({"name": name, "host": "h", "port": 1})))
            })
            .collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).collect()
    });
    assert_eq!(answers.iter().filter(|a| a.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|a| a.status == 409 && a.code() == "name_taken").count(), 49);
}

#[test]
fn a_copy_has_a_name_of_its_own_and_is_not_the_default() {
    let server = Start::new().start();
    let made = server
        .post("/api/v1/proxies", &json!({"name": "A", "host": "h", "port": 1, "authentication": "basic", "username": "jo", "password": "pw", "is_default": true}))
        .expect(201);
    let path = format!("/api/v1/proxies/{}/duplicate", made["id"].as_str().expect("an id"));
    for name in ["A (copy)", "A (copy 2)"] {
        let copy = server.post(&path, &json!({})).expect(201);
        assert_eq!((&copy["name"], &copy["is_default"], &copy["has_password"]), (&json!(name), &json!(false), &json!(true)));
    }
}

#[test]
fn a_test_reports_all_six_stages_and_is_remembered_for_a_saved_setting() {
    let server = Start::new().start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let report = server
        .post("/api/v1/proxies/test", &json!({"proxy": {"host": "127.0.0.1", "port": closed}, "target": "https://127.0.0.1:9/"}))
        .expect(200);
    assert_eq!(
        (&report["ok"], &report["cause"], &report["target"]),
        (&json!(false), &json!("connection_refused"), &json!("https://127.0.0.1:9/"))
    );
    let stages: Vec<_> = report["stages"]
        .as_array()
        .expect("stages")
        .iter()
        .map(|s| (s["stage"].as_str().expect("a name"), s["status"].as_str().expect("a status")))
        .collect();
    assert_eq!(
        stages,
        [
            ("resolve", "passed"),
            ("connect", "failed"),
            ("proxy_tls", "skipped"),
            ("proxy_handshake", "skipped"),
            ("target_tls", "skipped"),
            ("target_http", "skipped")
        ]
    );
    assert!(report["message"].is_string() && report["hint"].is_string());

    let made = server.post("/api/v1/proxies", &json!({"name": "A", "host": "127.0.0.1", "port": closed})).expect(201);
    let path = format!("/api/v1/proxies/{}", made["id"].as_str().expect("an id"));
    let report =
        send("POST", &format!("{}{path}/test", server.url), &[("authorization", &format!("Bearer {}", server.token))], None)
            .expect(200);
    assert_eq!(report["cause"], "connection_refused");
    let read = server.get(&path).expect(200);
    assert_eq!(
        (&read["last_test"]["ok"], &read["last_test"]["cause"], &read["version"]),
        (&json!(false), &json!("connection_refused"), &made["version"])
    );

    for (body, field) in [
        (json!({"proxy": {"host": "", "port": 1}}), "host"),
        (json!({"proxy": {"host": "h", "port": 1}, "target": "ftp://x"}), "target"),
        (json!({"target": "https://x"}), "proxy"),
        (json!({"proxy": {"host": "h", "port": 1}, "tarjet": "x"}), "tarjet"),
    ] {
        let answer = server.post("/api/v1/proxies/test", &body);
        assert_eq!(answer.status, 422, "{body}");
        assert!(answer.body["fields"][field].is_string(), "{body}: {}", answer.text);
    }
    assert_eq!(
        server
            .post(
                "/api/v1/proxies/test",
                &json!({"proxy": {"id": "0198c0de-0000-7000-8000-000000000000", "host": "h", "port": 1}})
            )
            .status,
        404
    );
}

#[test]
fn a_company_runs_ten_tests_at_a_time() {
    let server = Start::new().start();
    // It takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let body = json!({"proxy": {"host": "127.0.0.1", "port": port, "timeout_s": 3}, "target": "https://127.0.0.1:9/"});
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..15).map(|_| scope.spawn(|| server.post("/api/v1/proxies/test", &body))).collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).collect()
    });
    assert_eq!(answers.iter().filter(|a| a.status == 200 && a.body["cause"] == "proxy_timeout").count(), 10);
    let refused: Vec<_> = answers.iter().filter(|a| a.status == 429).collect();
    assert_eq!(refused.len(), 5);
    assert!(refused.iter().all(|a| a.code() == "too_many_tests" && !a.header("retry-after").is_empty()));
    assert_eq!(server.post("/api/v1/proxies/test", &body).status, 200, "the places are free again");
}

#[test]
fn another_company_sees_and_changes_nothing() {
    let server = Start::new().env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key").start_with_key();
    let made = server.proxy("Mine");
    let path = format!("/api/v1/proxies/{}", made["id"].as_str().expect("an id"));
    let created = server.admin_output(
        &["create", "--email", "eve@other.example", "--password-stdin", "--company", "Other"],
        "another long password\n",
    );
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let token = server.admin(&["token", "--email", "eve@other.example"]);
    let authorization = format!("Bearer {}", token.trim());
    let call = |method: &str, path: &str, body: &str| {
        send(method, &format!("{}{path}", server.url), &[("authorization", &authorization)], Some(body))
    };
    assert_eq!(call("GET", "/api/v1/proxies", "").expect(200)["items"], json!([]));
    let body = json!({"name": "Theirs", "host": "h", "port": 1}).to_string();
    let own = json!({"proxy": {"id": made["id"], "host": "proxy.example", "port": 3128}}).to_string();
    for (method, path, body) in [
        ("GET", path.clone(), ""),
        ("PUT", path.clone(), body.as_str()),
        ("DELETE", path.clone(), ""),
        ("POST", format!("{path}/test"), "{}"),
        ("POST", format!("{path}/default"), "{}"),
        ("POST", format!("{path}/duplicate"), "{}"),
        ("POST", "/api/v1/proxies/test".into(), own.as_str()),
    ] {
        let answer = call(method, &path, body);
        assert_eq!((answer.status, answer.code()), (404, "not_found"), "{method} {path}: {}", answer.text);
    }
    assert_eq!(
        call("POST", "/api/v1/proxies", &json!({"name": "Mine", "host": "h", "port": 1}).to_string()).status,
        201,
        "names are a company's own"
    );
    assert_eq!(server.get(&path).expect(200)["name"], "Mine");
}

#[test]
fn an_auditor_looks_and_changes_nothing() {
    let server = Start::new().start();
    let made = server.proxy("A");
    let path = format!("/api/v1/proxies/{}", made["id"].as_str().expect("an id"));
    let created = server.admin_output(
        &["create", "--email", "audit@example.com", "--password-stdin", "--role", "auditor"],
        "another long password\n",
    );
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let authorization = format!("Bearer {}", server.admin(&["token", "--email", "audit@example.com"]).trim());
    let call = |method: &str, path: &str, body: &str| {
        send(method, &format!("{}{path}", server.url), &[("authorization", &authorization)], Some(body))
    };
    assert_eq!(call("GET", &path, "").status, 200);
    let body = json!({"name": "B", "host": "h", "port": 1}).to_string();
    for (method, path) in [
        ("POST", "/api/v1/proxies".to_string()),
        ("PUT", path.clone()),
        ("DELETE", path.clone()),
        ("POST", format!("{path}/default")),
        ("POST", format!("{path}/test")),
    ] {
        let answer = call(method, &path, &body);
        assert_eq!((answer.status, answer.code()), (403, "forbidden"), "{method} {path}");
    }
}

#[test]
fn a_list_page_that_is_given_again_is_never_old_and_never_somebody_elses() {
    let server = Start::new().start();
    server.admin_output(
        &["create", "--email", "audit@example.com", "--password-stdin", "--role", "auditor"],
        "another long password\n",
    );
    let cookie = |email: &str, password: &str| {
        let body = json!({"email": email, "password": password}).to_string();
        send("POST", &format!("{}/api/v1/sessions", server.url), &[], Some(&body)).cookie()
    };
    let (admin, auditor) =
        (cookie(crate::harness::EMAIL, crate::harness::PASSWORD), cookie("audit@example.com", "another long password"));
    let page = |cookie: &str| send("GET", &format!("{}/company/settings/proxies", server.url), &[("cookie", cookie)], None);
    let nonce = |answer: &crate::harness::Answer| {
        let policy = answer.header("content-security-policy").to_string();
        policy.split("'nonce-").nth(1).expect("a nonce").split('\'').next().expect("its end").to_string()
    };
    server.proxy("First");
    let pages: Vec<_> = (0..3).map(|_| page(&admin)).collect();
    let nonces: Vec<_> = pages.iter().map(nonce).collect();
    assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2], "a nonce is for one answer: {nonces:?}");
    for (page, nonce) in pages.iter().zip(&nonces) {
        assert!(page.text.contains(&format!("nonce=\"{nonce}\"")) && page.text.contains("First"));
        assert_eq!(page.text.replace(nonce, ""), pages[0].text.replace(&nonces[0], ""), "the same page");
        for name in ["x-content-type-options", "cache-control"] {
            assert_eq!(page.header(name), pages[0].header(name), "{name}");
        }
    }
    // Whatever is written is seen by whoever asks next.
    for round in 0..20 {
        let name = format!("Round {round}");
        let id = server.proxy(&name)["id"].as_str().expect("an id").to_string();
        assert!(page(&admin).text.contains(&name), "made");
        assert_eq!(server.delete(&format!("/api/v1/proxies/{id}")).status, 204);
        assert!(!page(&admin).text.contains(&name), "deleted");
    }
    // Who may not change anything is not offered it, whoever asked before.
    assert!(page(&admin).text.contains("+ NEW") && !page(&auditor).text.contains("+ NEW"));
    assert!(page(&admin).text.contains("admin@example.com") && page(&auditor).text.contains("audit@example.com"));
    let dark =
        send("GET", &format!("{}/company/settings/proxies", server.url), &[("cookie", &format!("{admin}; theme=dark"))], None);
    assert!(dark.text.contains("data-theme=\"dark\"") && !page(&admin).text.contains("data-theme=\"dark\""));
    assert_eq!(send("DELETE", &format!("{}/api/v1/sessions", server.url), &[("cookie", &admin)], None).status, 204);
    assert!(!page(&admin).text.contains("First"), "signed out");
}
