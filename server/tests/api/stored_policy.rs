//! The gateway's policy in the database: `/api/v1/gateway/…`.

use serde_json::json;

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
