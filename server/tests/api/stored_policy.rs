//! The gateway's policy in the database: `/api/v1/gateway/…`.

use serde_json::{Value, json};

use crate::harness::{Server, Start, send};

/// Somebody who may look at everything and change nothing: their token.
fn auditor(server: &Server) -> String {
    let made = server.admin_output(
        &["create", "--email", "audit@example.com", "--password-stdin", "--role", "auditor"],
        "correct horse battery staple\n",
    );
    assert!(made.status.success(), "{made:?}");
    server.admin(&["token", "--email", "audit@example.com"]).trim().to_string()
}

#[test]
fn a_policy_is_stored_with_its_version_and_a_wrong_one_is_told_line_by_line() {
    let server = Start::new().start();
    let none = server.get("/api/v1/gateway/policy");
    assert_eq!(none.header("etag"), "\"0\"");
    assert_eq!(none.expect(200), json!({"text": "", "version": 0, "changed_at": null, "changed_by": null}));

    let wrong = "[[rule]]\nname = 'x'\naction = 'maybe'\ncolour = 'red'\n";
    let refused = server.put("/api/v1/gateway/policy", &json!({"text": wrong}));
    assert_eq!((refused.status, refused.code()), (422, "invalid"), "{}", refused.text);
    let told = refused.body["fields"]["text"].as_str().expect("the problems").to_string();
    assert!(told.starts_with("Line 3, column 10: ") && told.contains("\nLine 4, column 1: "), "{told}");
    for body in [json!({}), json!({"text": 1}), json!({"text": "", "colour": "red"}), json!([])] {
        assert_eq!(server.put("/api/v1/gateway/policy", &body).status, 422, "{body}");
    }
    let long = json!({"text": "#".repeat(1 << 20)});
    assert_eq!(server.put("/api/v1/gateway/policy", &long).status, 413);

    let right = "[[rule]]\nname = 'no ads'\nto = ['*.ads.example']\naction = 'deny'\nreason = 'Advertising'\n";
    let put = server.put("/api/v1/gateway/policy", &json!({"text": right}));
    assert_eq!(put.header("etag"), "\"1\"");
    let put = put.expect(200);
    assert_eq!(
        (put["text"].as_str(), put["version"].as_u64(), put["changed_by"].as_str()),
        (Some(right), Some(1), Some("admin"))
    );
    assert!(put["changed_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{put}");
    assert_eq!(server.get("/api/v1/gateway/policy").expect(200), put);
    // What was answered can be sent back.
    assert_eq!(server.put("/api/v1/gateway/policy", &put).expect(200)["version"], 2);

    let at =
        |tag: &str| server.call_with("PUT", "/api/v1/gateway/policy", &[("if-match", tag)], Some(&json!({"text": "# mine"})));
    for tag in ["\"1\"", "\"0\"", "\"x\"", "\"3\""] {
        let late = at(tag);
        assert_eq!((late.status, late.code(), late.body["version"].as_u64()), (409, "changed", Some(2)), "{tag}: {}", late.text);
    }
    assert_eq!(at("\"2\"").expect(200)["version"], 3);
    assert_eq!(at("*").expect(200)["version"], 4);
}

#[test]
fn a_tag_that_was_never_given_out_is_no_way_to_the_first_policy() {
    let server = Start::new().start();
    let at =
        |tag: &str| server.call_with("PUT", "/api/v1/gateway/policy", &[("if-match", tag)], Some(&json!({"text": ""}))).status;
    assert_eq!([at("\"x\""), at("\"1\""), at("0"), at("\"0\""), at("\"0\"")], [409, 409, 409, 200, 409]);
}

#[test]
fn a_policy_can_be_checked_and_explained_before_it_is_stored() {
    let server = Start::new().start();
    let check = |text: &str| server.post("/api/v1/gateway/policy/check", &json!({"text": text})).expect(200);
    let wrong = check("[[rule]]\nname = 'x'\naction = 'maybe'\n");
    assert_eq!((wrong["ok"].as_bool(), wrong["problems"][0]["line"].as_u64()), (Some(false), Some(3)), "{wrong}");
    let file = check("[[category]]\nname = 'a'\nlevel = 'safe'\nfiles = ['/etc/passwd']\n");
    assert_eq!(file["problems"][0]["line"], 4, "{file}");
    assert!(file["problems"][0]["message"].as_str().is_some_and(|why| why.contains("GATEWAY_FILES")), "{file}");
    let right = check("[[rule]]\nname = 'all'\naction = 'allow'\n");
    assert!(right["ok"] == true && right["summary"].as_str().is_some_and(|text| text.starts_with("1 rule")), "{right}");
    assert_eq!(server.get("/api/v1/gateway/policy").expect(200)["version"], 0, "nothing is stored");

    let question = json!({"url": "https://x.ads.example/", "client": "10.0.0.7"});
    let explain = |body: &serde_json::Value| server.post("/api/v1/gateway/explain", body);
    let nothing = explain(&question).expect(200);
    assert_eq!((nothing["allowed"].as_bool(), nothing["rule"].is_null()), (Some(false), true), "{nothing}");
    let text = "[[rule]]\nname = 'night'\nhours = '00:00-00:01'\ndays = 'mon'\nto = ['z.example']\naction = 'deny'\n\
                [[rule]]\nname = 'no ads'\nto = ['*.ads.example']\naction = 'deny'\nreason = 'Advertising'\n";
    server.put("/api/v1/gateway/policy", &json!({"text": text})).expect(200);
    let told = explain(&question).expect(200);
    assert_eq!((told["rule"].as_str(), told["reason"].as_str()), (Some("no ads"), Some("Advertising")), "{told}");
    assert_eq!(told["passed"][0]["rule"], "night");
    assert!(told["text"].as_str().is_some_and(|text| text.contains("denied  by no ads: Advertising")), "{told}");
    let mut other = question.clone();
    other["text"] = json!("[[rule]]\nname = 'all'\naction = 'allow'\n");
    assert_eq!(explain(&other).expect(200)["allowed"], true);
    for (field, value) in [("url", "ftp://x"), ("client", "somewhere"), ("person", "ann"), ("text", "[[rule]]")] {
        let mut wrong = question.clone();
        wrong[field] = json!(value);
        let refused = explain(&wrong);
        assert!(refused.status == 422 && refused.body["fields"][field].is_string(), "{field}: {}", refused.text);
    }
}

#[test]
fn auditors_read_the_policy_without_hashes_and_change_nothing() {
    let server = Start::new().start();
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$b3JpZ2luYWxseS1yYW5kb20$w0pBHVGIZv1lQlvTUn7bPBcqZhkQUVvSn2hoDT4RGZc";
    let text = format!("[[person]]\nname = 'ann'\npassword = '{hash}'\n");
    server.put("/api/v1/gateway/policy", &json!({"text": text})).expect(200);
    let authorization = format!("Bearer {}", auditor(&server));
    let call = |method: &str, path: &str, body: Option<&str>| {
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        send(method, &format!("{}{path}", server.url), &headers, body)
    };
    let seen = call("GET", "/api/v1/gateway/policy", None);
    assert!(seen.status == 200 && !seen.text.contains("b3JpZ2luYWxseS1yYW5kb20"), "{}", seen.text);
    let body = Some("{\"text\": \"\"}");
    assert_eq!(call("PUT", "/api/v1/gateway/policy", body).status, 403);
    assert_eq!(call("POST", "/api/v1/gateway/policy/check", body).status, 403);
    let question = "{\"url\": \"http://a.example/\", \"client\": \"10.0.0.7\", \"person\": \"ann\"}";
    assert_eq!(call("POST", "/api/v1/gateway/explain", Some(question)).status, 200);
    let question = "{\"url\": \"http://a.example/\", \"client\": \"10.0.0.7\", \"text\": \"\"}";
    assert_eq!(call("POST", "/api/v1/gateway/explain", Some(question)).status, 403);
    for (method, path) in [("GET", "policy"), ("PUT", "policy"), ("POST", "policy/check"), ("POST", "explain")] {
        let nobody = send(method, &format!("{}/api/v1/gateway/{path}", server.url), &[], Some("{}"));
        assert_eq!(nobody.status, 401, "{path}");
    }
}

#[test]
fn one_companys_policy_is_nobody_elses() {
    let server = Start::new().env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key").start_with_key();
    let open = json!({"text": "[network]\nopen = ['10.0.0.0/8']\n"});
    let refused = server.put("/api/v1/gateway/policy", &open);
    assert!(refused.status == 422 && refused.text.contains("public addresses only"), "{}", refused.text);
    server.put("/api/v1/gateway/policy", &json!({"text": "# ours"})).expect(200);
    let made = server.admin_output(
        &["create", "--email", "other@example.com", "--password-stdin", "--company", "Other"],
        "correct horse battery staple\n",
    );
    assert!(made.status.success(), "{made:?}");
    let token = server.admin(&["token", "--email", "other@example.com"]);
    let authorization = format!("Bearer {}", token.trim());
    let theirs = send("GET", &format!("{}/api/v1/gateway/policy", server.url), &[("authorization", &authorization)], None);
    assert_eq!(theirs.expect(200)["version"], 0);
}

fn person(server: &Server, name: &str, groups: &[&str]) -> Value {
    server.post("/api/v1/gateway/people", &json!({"name": name, "password": "open sesame", "groups": groups})).expect(201)
}

#[test]
fn people_of_the_gateway_are_made_changed_and_deleted() {
    let server = Start::new().start();
    let made =
        server.post("/api/v1/gateway/people", &json!({"name": " Ann  Lee", "password": "open sesame", "groups": ["staff"]}));
    assert_eq!((made.status, made.header("etag")), (201, "\"1\""), "{}", made.text);
    assert!(!made.text.contains("sesame") && !made.text.contains("argon2"), "a password is never told: {}", made.text);
    let path = made.header("location").to_string();
    let made = made.expect(201);
    assert_eq!((made["name"].as_str(), made["version"].as_u64()), (Some("Ann Lee"), Some(1)));
    assert_eq!(server.get(&path).expect(200), made);
    let taken = server.post("/api/v1/gateway/people", &json!({"name": "ANN LEE", "password": "open sesame"}));
    assert_eq!((taken.status, taken.code()), (409, "name_taken"), "{}", taken.text);
    for (body, field) in [
        (json!({"name": "a:b", "password": "open sesame"}), "name"),
        (json!({"name": "bob"}), "password"),
        (json!({"name": "bob", "password": "short"}), "password"),
        (json!({"name": "bob", "password": "open sesame", "colour": 1}), "colour"),
    ] {
        let refused = server.post("/api/v1/gateway/people", &body);
        assert!(refused.status == 422 && refused.body["fields"][field].is_string(), "{body}: {}", refused.text);
    }
    // What was answered can be sent back; the password stays.
    let changed = server.call_with("PUT", &path, &[("if-match", "\"1\"")], Some(&made)).expect(200);
    assert_eq!((changed["version"].as_u64(), changed["created_at"].as_str()), (Some(2), made["created_at"].as_str()));
    assert_eq!(server.call_with("PUT", &path, &[("if-match", "\"1\"")], Some(&made)).code(), "changed");
    assert_eq!(server.put(&path, &json!({"name": "Ann", "password": null})).status, 422);
    assert_eq!(server.call_with("DELETE", &path, &[("if-match", "\"1\"")], None).code(), "changed");
    assert_eq!(server.delete(&path).status, 204);
    assert_eq!((server.get(&path).status, server.delete(&path).status, server.put(&path, &made).status), (404, 404, 404));
    assert!(!String::from_utf8_lossy(&server.stored_bytes()).contains("open sesame"), "no password is stored");
}

#[test]
fn people_are_listed_page_by_page_and_found() {
    let server = Start::new().start();
    for number in 0..5 {
        person(&server, &format!("person {number}"), if number == 3 { &["Staff"] } else { &[] });
    }
    let names = |list: &Value| -> Vec<String> {
        list["items"].as_array().expect("items").iter().map(|item| item["name"].as_str().unwrap_or_default().into()).collect()
    };
    for (sort, expected) in [("name", "01234"), ("-name", "43210")] {
        let (mut seen, mut cursor) = (String::new(), String::new());
        loop {
            let page = server.get(&format!("/api/v1/gateway/people?limit=2&sort={sort}&cursor={cursor}")).expect(200);
            seen.extend(names(&page).iter().filter_map(|name| name.chars().last()));
            match page["next"].as_str() {
                Some(next) => cursor = next.to_string(),
                None => break,
            }
        }
        assert_eq!(seen, expected);
    }
    assert_eq!(names(&server.get("/api/v1/gateway/people?q=staff").expect(200)), ["person 3"]);
    for wrong in ["limit=0", "sort=colour", "cursor=%ff", "colour=red"] {
        assert_eq!(server.get(&format!("/api/v1/gateway/people?{wrong}")).status, 422, "{wrong}");
    }
}

#[test]
fn nobody_goes_while_the_policy_names_them() {
    let server = Start::new().start();
    let rule = "[[rule]]\nname = 'a'\naction = 'allow'\npeople = 'ann'\ngroups = 'staff'\n";
    assert_eq!(server.put("/api/v1/gateway/policy", &json!({"text": rule})).status, 422, "nobody is called ann");
    let ann = person(&server, "ann", &["staff"]);
    server.put("/api/v1/gateway/policy", &json!({"text": rule})).expect(200);
    let path = format!("/api/v1/gateway/people/{}", ann["id"].as_str().expect("an id"));
    let refused = server.delete(&path);
    assert!(refused.status == 422 && refused.text.contains("Line 4") && refused.text.contains("'ann'"), "{}", refused.text);
    for body in [json!({"name": "eve", "groups": ["staff"]}), json!({"name": "ann"})] {
        assert_eq!(server.put(&path, &body).status, 422, "{body}");
    }
    server.put(&path, &json!({"name": "ann", "groups": ["staff", "night"]})).expect(200);
    let told =
        server.post("/api/v1/gateway/explain", &json!({"url": "https://a.example", "client": "10.0.0.7", "person": "ann"}));
    assert_eq!(told.expect(200)["allowed"], true);
    let twice = "[[person]]\nname = 'ann'\npassword = '$argon2id$v=19$m=19456,t=2,p=1$b3JpZ2luYWxseS1yYW5kb20$w0pBHVGIZv1lQlvTUn7bPBcqZhkQUVvSn2hoDT4RGZc'\n";
    let refused = server.put("/api/v1/gateway/policy", &json!({"text": twice}));
    assert!(refused.status == 422 && refused.text.contains("another person 'ann'"), "{}", refused.text);
    server.put("/api/v1/gateway/policy", &json!({"text": ""})).expect(200);
    assert_eq!(server.delete(&path).status, 204);
}

#[test]
fn auditors_see_the_people_and_change_none_and_other_companies_see_none() {
    let server = Start::new().env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key").start_with_key();
    let ann = person(&server, "ann", &[]);
    let path = format!("/api/v1/gateway/people/{}", ann["id"].as_str().expect("an id"));
    let made = server.admin_output(
        &["create", "--email", "other@example.com", "--password-stdin", "--company", "Other"],
        "correct horse battery staple\n",
    );
    assert!(made.status.success(), "{made:?}");
    let theirs = format!("Bearer {}", server.admin(&["token", "--email", "other@example.com"]).trim());
    let made = server.admin_output(
        &["create", "--email", "audit@example.com", "--password-stdin", "--role", "auditor", "--company", "My company"],
        "correct horse battery staple\n",
    );
    assert!(made.status.success(), "{made:?}");
    let auditors = format!("Bearer {}", server.admin(&["token", "--email", "audit@example.com"]).trim());
    let call = |who: &str, method: &str, path: &str, body: Option<&str>| {
        let headers = [("authorization", who), ("content-type", "application/json")];
        send(method, &format!("{}{path}", server.url), &headers, body)
    };
    let body = Some("{\"name\": \"ann\", \"password\": \"open sesame\"}");
    assert_eq!(call(&auditors, "GET", &path, None).expect(200)["name"], "ann");
    for (method, path, body) in
        [("POST", "/api/v1/gateway/people", body), ("PUT", path.as_str(), body), ("DELETE", path.as_str(), None)]
    {
        assert_eq!(call(&auditors, method, path, body).status, 403, "{method}");
    }
    for (method, body) in [("GET", None), ("PUT", body), ("DELETE", None)] {
        assert_eq!(call(&theirs, method, &path, body).status, 404, "{method}");
    }
    assert_eq!(call(&theirs, "GET", "/api/v1/gateway/people", None).expect(200)["items"], json!([]));
    assert_eq!(call(&theirs, "POST", "/api/v1/gateway/people", body).status, 201, "the name is taken in the other company only");
    assert_eq!(server.get(&path).expect(200), ann);
}
