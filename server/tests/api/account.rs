//! One's own account: sessions, password, one-time passwords; over the API and over the console's forms.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use totp_rs::{Algorithm, TOTP};

use crate::harness::{Answer, EMAIL, PASSWORD, Server, Start, send};

const NEW_PASSWORD: &str = "another horse, another battery";

/// The one-time password of this many steps from now.
pub fn code(base32: &str, steps: u64) -> String {
    let secret = totp_rs::Secret::Encoded(base32.replace(' ', "")).to_bytes().expect("base32");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    TOTP::new_unchecked(Algorithm::SHA1, 6, 1, 30, secret).generate(now + steps * 30)
}

fn sign_in(server: &Server, password: &str, code: Option<&str>) -> Answer {
    let body = json!({"email": EMAIL, "password": password, "code": code});
    let body = if code.is_some() { body } else { json!({"email": EMAIL, "password": password}) };
    send("POST", &format!("{}/api/v1/sessions", server.url), &[], Some(&body.to_string()))
}

/// The cookie of a new session.
#[track_caller]
fn session(server: &Server) -> String {
    let answer = sign_in(server, PASSWORD, None);
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.cookie()
}

fn with(server: &Server, cookie: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    send(method, &format!("{}{path}", server.url), &[("cookie", cookie)], body.map(Value::to_string).as_deref())
}

/// A form as a browser without JavaScript posts it.
fn post(server: &Server, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let body = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&");
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", server.url.as_str()),
        ("sec-fetch-site", "same-origin"),
        ("cookie", cookie),
    ];
    send("POST", &format!("{}{path}", server.url), &headers, Some(&body))
}

/// Turns one-time passwords on: the secret and the recovery codes.
#[track_caller]
fn turn_on(server: &Server) -> (String, Vec<String>) {
    let begun = server.post("/api/v1/account/second-factor", &json!({"password": PASSWORD})).expect(201);
    let secret = begun["secret"].as_str().expect("a secret").to_string();
    let on = server.put("/api/v1/account/second-factor", &json!({"code": code(&secret, 0)})).expect(200);
    let codes =
        on["recovery_codes"].as_array().expect("codes").iter().map(|code| code.as_str().expect("a text").into()).collect();
    (secret, codes)
}

/// What stands between two marks.
#[track_caller]
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let rest = text.split(begin).nth(1).unwrap_or_else(|| panic!("{begin} is not in {text}"));
    rest.split(end).next().unwrap_or_default()
}

#[test]
fn one_time_passwords_are_taken_once_each_also_under_a_new_key() {
    let server = Start::new().start();
    let path = "/api/v1/account/second-factor";
    assert_eq!(server.get(path).expect(200), json!({"is_on": false, "recovery_codes_left": 0}));
    let wrong = server.post(path, &json!({"password": "wrong"}));
    assert!(wrong.status == 422 && wrong.body["fields"]["password"].is_string(), "{}", wrong.text);
    let begun = server.post(path, &json!({"password": PASSWORD})).expect(201);
    let secret = begun["secret"].as_str().expect("a secret").to_string();
    let uri = begun["uri"].as_str().expect("a URI");
    assert!(uri.starts_with("otpauth://totp/Gatehouse%3Aadmin%40example.com?secret=") && uri.contains(&secret), "{uri}");
    assert_eq!(sign_in(&server, PASSWORD, None).status, 201, "until it is confirmed nothing is asked for");
    assert_eq!(server.put(path, &json!({"code": "000000"})).status, 422);
    let on = server.put(path, &json!({"code": code(&secret, 0)})).expect(200);
    let recovery = on["recovery_codes"].as_array().expect("codes").clone();
    assert_eq!((recovery.len(), server.get(path).expect(200)), (10, json!({"is_on": true, "recovery_codes_left": 10})));
    assert_eq!(server.post(path, &json!({"password": PASSWORD})).status, 422, "they are on already");

    let none = sign_in(&server, PASSWORD, None);
    assert_eq!((none.status, none.code()), (401, "second_factor_required"));
    let both_wrong = sign_in(&server, "wrong", Some(&code(&secret, 1)));
    assert_eq!((both_wrong.status, both_wrong.code()), (401, "wrong_credentials"), "the password comes first");
    let wrong = sign_in(&server, PASSWORD, Some("000000"));
    assert_eq!((wrong.status, wrong.code()), (401, "second_factor_wrong"));
    let used = sign_in(&server, PASSWORD, Some(&code(&secret, 0)));
    assert_eq!((used.status, used.code()), (401, "second_factor_wrong"), "the one it was turned on with was used");

    server.admin(&["rotate-key"]);
    let next = code(&secret, 1);
    assert_eq!(sign_in(&server, PASSWORD, Some(&format!(" {} {} ", &next[..3], &next[3..]))).status, 201);
    let again = sign_in(&server, PASSWORD, Some(&next));
    assert_eq!((again.status, again.code()), (401, "second_factor_wrong"), "each is taken once");

    let one = recovery[3].as_str().expect("a code");
    assert_eq!(sign_in(&server, PASSWORD, Some(&one.to_uppercase())).status, 201);
    assert_eq!(sign_in(&server, PASSWORD, Some(one)).code(), "second_factor_wrong");
    assert_eq!(server.get(path).expect(200)["recovery_codes_left"], 9);

    assert_eq!(server.call("DELETE", path, Some(&json!({"password": "wrong"}))).status, 422);
    assert_eq!(server.call("DELETE", path, Some(&json!({"password": PASSWORD}))).status, 204);
    assert_eq!(sign_in(&server, PASSWORD, None).status, 201);
    assert_eq!(server.get(path).expect(200), json!({"is_on": false, "recovery_codes_left": 0}));
}

#[test]
fn ten_wrong_one_time_passwords_are_enough() {
    let server = Start::new().start();
    let (secret, recovery) = turn_on(&server);
    for turn in 0..10 {
        // Being asked for one is no failed attempt.
        assert_eq!(sign_in(&server, PASSWORD, None).code(), "second_factor_required");
        assert_eq!(sign_in(&server, PASSWORD, Some("000000")).code(), "second_factor_wrong", "{turn}");
    }
    for right in [code(&secret, 1), recovery[0].clone()] {
        let throttled = sign_in(&server, PASSWORD, Some(&right));
        assert_eq!((throttled.status, throttled.code()), (429, "too_many_sign_ins"));
    }
}

#[test]
fn a_new_password_ends_all_other_sessions() {
    let server = Start::new().start();
    let (this, other) = (session(&server), session(&server));
    let change = |current: &str, new: &str| {
        let body = json!({"current_password": current, "new_password": new});
        with(&server, &this, "PUT", "/api/v1/account/password", Some(&body))
    };
    for (current, new, field) in [("wrong", NEW_PASSWORD, "current_password"), (PASSWORD, "short", "new_password")] {
        let refused = change(current, new);
        assert!(refused.status == 422 && refused.body["fields"][field].is_string(), "{}", refused.text);
    }
    assert_eq!(with(&server, &other, "GET", "/api/v1/sessions", None).status, 200, "nothing was changed yet");
    assert_eq!(change(PASSWORD, NEW_PASSWORD).status, 204);
    assert_eq!(with(&server, &other, "GET", "/api/v1/sessions", None).status, 401);
    assert_eq!(with(&server, &this, "GET", "/api/v1/sessions", None).status, 200);
    assert_eq!(server.get("/api/v1/sessions").status, 200, "tokens go on working");
    assert_eq!(sign_in(&server, PASSWORD, None).status, 401);
    assert_eq!(sign_in(&server, NEW_PASSWORD, None).status, 201);
}

#[test]
fn sessions_are_listed_and_end_at_once() {
    let server = Start::new().start();
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
    let body = json!({"email": EMAIL, "password": PASSWORD}).to_string();
    let agent = [("user-agent", firefox)];
    let (this, other, third) = (session(&server), session(&server), session(&server));
    let browser = send("POST", &format!("{}/api/v1/sessions", server.url), &agent, Some(&body)).cookie();
    let list = with(&server, &this, "GET", "/api/v1/account/sessions", None).expect(200);
    let items = list["items"].as_array().expect("a list");
    assert_eq!((items.len(), items.iter().filter(|item| item["is_current"] == true).count()), (4, 1));
    assert!(items.iter().all(|item| item["address"] == "127.0.0.1"), "{list}");
    let id = |cookie: &str| {
        let list = with(&server, cookie, "GET", "/api/v1/account/sessions", None).expect(200);
        let item = list["items"].as_array().expect("a list").iter().find(|item| item["is_current"] == true).cloned();
        item.expect("its own")["id"].as_str().expect("an id").to_string()
    };
    let alive = |cookie: &str| with(&server, cookie, "GET", "/api/v1/sessions", None).status;
    assert!(!this.contains(&id(&this)), "what it is called opens nothing");
    let ended = with(&server, &this, "DELETE", &format!("/api/v1/account/sessions/{}", id(&other)), None);
    assert_eq!((ended.status, alive(&other), alive(&this)), (204, 401, 200));

    // Over the console.
    let page = with(&server, &this, "GET", "/profile/security", None).text;
    assert!(page.contains("Firefox on Linux") && page.contains("This session") && page.contains("127.0.0.1"), "{page}");
    let end = [("intent", "end-session"), ("id", &id(&browser))];
    let ended = post(&server, &this, "/profile/security", &end);
    assert_eq!((ended.status, ended.header("location")), (303, "/profile/security?flash=session-ended"), "{}", ended.text);
    assert_eq!((alive(&browser), alive(&third)), (401, 200));
    let ended = post(&server, &this, "/profile/security", &[("intent", "end-other-sessions")]);
    assert_eq!((ended.status, alive(&third), alive(&this)), (303, 401, 200));
    let own = post(&server, &this, "/profile/security", &[("intent", "end-session"), ("id", &id(&this))]);
    assert_eq!((own.header("location"), alive(&this)), ("/sign-in?flash=signed-out", 401));
    assert_eq!(with(&server, &this, "DELETE", "/api/v1/account/sessions", None).status, 401);
}

#[test]
fn the_steps_work_without_javascript_and_show_each_secret_once() {
    let server = Start::new().env("GATEHOUSE_LOG", "trace").start();
    let this = session(&server);
    let page = "/profile/security";
    let wrong = post(&server, &this, page, &[("intent", "begin-second-factor"), ("password", "wrong")]);
    assert!(wrong.status == 422 && wrong.text.contains("This is not your password."), "{}", wrong.text);
    let begun = post(&server, &this, page, &[("intent", "begin-second-factor"), ("password", PASSWORD)]);
    assert_eq!((begun.status, begun.header("cache-control")), (200, "no-store"));
    assert!(begun.text.contains("aria-label=\"QR code for the authenticator app\""), "{}", begun.text);
    let field = between(&begun.text, "id=\"totp-secret\"", ">");
    let secret = between(field, "value=\"", "\"").to_string();
    assert_eq!(secret.replace(' ', "").len(), 32, "{secret}");
    let late = post(&server, &this, page, &[("intent", "confirm-second-factor"), ("code", "000000")]);
    assert!(late.status == 422 && late.text.contains("This is not what the app shows now"), "{}", late.text);
    assert!(!late.text.contains(&secret) && late.text.contains("Begin anew"));
    let on = post(&server, &this, page, &[("intent", "confirm-second-factor"), ("code", &code(&secret, 0))]);
    assert_eq!(on.status, 200, "{}", on.text);
    let codes = between(between(&on.text, "id=\"recovery-codes\"", "</textarea>"), ">", "<").to_string();
    let codes: Vec<&str> = codes.split_whitespace().collect();
    assert_eq!(codes.len(), 10, "{codes:?}");
    let after = with(&server, &this, "GET", page, None).text;
    assert!(after.contains("10 recovery codes are left.") && !after.contains(codes[0]) && !after.contains(&secret));

    // Signing in: first the password…
    let sign_in = |fields: &[(&str, &str)]| post(&server, "", "/sign-in", fields);
    let first = sign_in(&[("email", EMAIL), ("password", PASSWORD), ("next", "/profile/tokens")]);
    assert_eq!((first.status, first.header("set-cookie")), (200, ""));
    assert!(first.text.contains("autocomplete=\"one-time-code\"") && !first.text.contains(PASSWORD), "{}", first.text);
    let continuation = between(between(&first.text, "name=\"continuation\"", ">"), "value=\"", "\"").to_string();
    let second = |email: &str, continuation: &str, field: &str, code: &str| {
        sign_in(&[("email", email), ("continuation", continuation), ("next", "/profile/tokens"), (field, code)])
    };
    // …then the one-time password, as often as it takes, and nothing else.
    let empty = second(EMAIL, &continuation, "code", " ");
    assert!(empty.status == 422 && empty.text.contains("Enter the one-time password."), "{}", empty.text);
    let wrong = second(EMAIL, &continuation, "code", "000000");
    assert!(wrong.text.contains("is not right, or was used before") && wrong.header("set-cookie").is_empty(), "{}", wrong.text);
    let wrong = second(EMAIL, &continuation, "recovery_code", "aaaa-bbbb-cccc");
    assert!(wrong.text.contains("none of your recovery codes"), "{}", wrong.text);
    server.admin_output(&["create", "--email", "eve@example.com", "--password-stdin"], "another long password\n");
    for (email, forged) in [("eve@example.com", continuation.as_str()), (EMAIL, "v1.x.y"), (EMAIL, &continuation[1..])] {
        let refused = second(email, forged, "code", &code(&secret, 1));
        assert!(refused.header("set-cookie").is_empty() && refused.text.contains("That took too long"), "{}", refused.text);
    }
    let right = second(EMAIL, &continuation, "code", &code(&secret, 1));
    assert_eq!((right.status, right.header("location")), (303, "/profile/tokens"), "{}", right.text);
    assert_eq!(with(&server, &right.cookie(), "GET", "/api/v1/sessions", None).status, 200);
    let recovered = second(EMAIL, &continuation, "recovery_code", codes[1]);
    assert_eq!(recovered.status, 303, "{}", recovered.text);

    // What stood for the old password does not stand for the new one.
    let change = [("intent", "change-password"), ("current_password", PASSWORD), ("new_password", NEW_PASSWORD)];
    let changed = post(&server, &this, page, &change);
    assert_eq!(changed.header("location"), "/profile/security?flash=password-changed", "{}", changed.text);
    assert!(second(EMAIL, &continuation, "recovery_code", codes[2]).text.contains("That took too long"));

    let off = post(&server, &this, page, &[("intent", "remove-second-factor"), ("password", NEW_PASSWORD)]);
    assert_eq!(off.header("location"), "/profile/security?flash=second-factor-removed", "{}", off.text);
    let log = server.printed();
    for shown in [secret.as_str(), &secret.replace(' ', ""), &continuation, PASSWORD, NEW_PASSWORD, codes[0], codes[1]] {
        assert!(!log.contains(shown), "{shown} is in the log");
    }
}

#[test]
fn who_is_suspended_is_told_so() {
    let server = Start::new().env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key").start_with_key();
    let provider = server.as_another("provider@example.com", &["--company", "The provider", "--role", "provider"]);
    let this = session(&server);
    let list = provider("GET", "/api/v1/companies", "").expect(200);
    let own = list["items"].as_array().expect("a list").iter().find(|company| company["name"] != "The provider").cloned();
    let id = own.expect("the first company")["id"].as_str().expect("an id").to_string();
    provider("POST", &format!("/api/v1/companies/{id}/suspend"), "").expect(200);
    let told = post(&server, "", "/sign-in", &[("email", EMAIL), ("password", PASSWORD)]);
    assert!(told.status == 403 && told.text.contains("Your company is suspended."), "{}", told.text);
    let wrong = post(&server, "", "/sign-in", &[("email", EMAIL), ("password", "wrong")]);
    assert!(!wrong.text.contains("suspended"), "only those who know the password are told");
    assert_ne!(with(&server, &this, "GET", "/profile/security", None).status, 200);
}
