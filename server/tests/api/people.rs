//! Who may do what: people, invitations, companies and their provider; by the API, the pages' forms and the command line.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    gateway_database::free_port,
    harness::{Answer, EMAIL, PASSWORD, Server, Start, send},
};

const OTHER_PASSWORD: &str = "another good password";

/// Somebody, by their session.
struct Visitor<'a> {
    server: &'a Server,
    cookie: String,
}

impl Visitor<'_> {
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let headers = [("cookie", self.cookie.as_str()), ("content-type", "application/json")];
        send(method, &format!("{}{path}", self.server.url), &headers, body.map(Value::to_string).as_deref())
    }

    fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None)
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(body))
    }

    /// As a browser without a script posts it.
    fn form(&self, path: &str, fields: &str) -> Answer {
        form(self.server, &self.cookie, path, fields)
    }
}

fn form(server: &Server, cookie: &str, path: &str, fields: &str) -> Answer {
    let headers = [("cookie", cookie), ("content-type", "application/x-www-form-urlencoded"), ("origin", server.url.as_str())];
    send("POST", &format!("{}{path}", server.url), &headers, Some(fields))
}

fn sign_in(server: &Server, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password}).to_string();
    send("POST", &format!("{}/api/v1/sessions", server.url), &[], Some(&body))
}

#[track_caller]
fn signed_in<'a>(server: &'a Server, email: &str, password: &str) -> Visitor<'a> {
    let answer = sign_in(server, email, password);
    assert_eq!(answer.status, 201, "{}", answer.text);
    Visitor { server, cookie: answer.cookie() }
}

/// Follows an invitation's link.
#[track_caller]
fn accept<'a>(server: &'a Server, link: &str, name: &str) -> Visitor<'a> {
    let fields = format!("name={name}&password={OTHER_PASSWORD}");
    let answer = form(server, "", link, &fields);
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert!(answer.header("location").ends_with("?flash=joined"), "{}", answer.header("location"));
    Visitor { server, cookie: answer.cookie() }
}

#[track_caller]
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} in {value}"))
}

/// The identifier of somebody, as their company lists them.
#[track_caller]
fn id_of(list: &Value, email: &str) -> String {
    let found = list["items"].as_array().expect("items").iter().find(|person| person["email"] == email);
    text(found.unwrap_or_else(|| panic!("{email} in {list}")), "id").to_string()
}

/// The path of the link that a page shows.
#[track_caller]
fn link_on(server: &Server, page: &Answer) -> String {
    let start = format!("{}/invitation/", server.url);
    let at = page.text.find(&start).unwrap_or_else(|| panic!("no link in {}", page.text));
    let rest = &page.text[at + server.url.len()..];
    rest[..rest.find('"').expect("the end")].to_string()
}

/// `gatehouse company …` beside the running server.
fn company(server: &Server, env: &[(&str, &str)], args: &[&str]) -> (bool, String) {
    let output = server.command(&[&["company"], args].concat(), env);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

/// A cloud installation, with the company of the first administrator, and a provider in one of its own.
fn cloud(days: &str) -> Server {
    let start = Start::new().env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key");
    let server = start.env("GATEHOUSE_COMPANY_DELETE_DAYS", days).start_with_key();
    let args = ["create", "--email", "pat@provider.example", "--password-stdin", "--company", "Provider", "--role", "provider"];
    let made = server.admin_output(&args, OTHER_PASSWORD);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    server
}

#[test]
fn an_invitation_makes_somebody_whose_role_holds_at_once() {
    let server = Start::new().start();
    let owner = signed_in(&server, EMAIL, PASSWORD);
    let page = owner.get("/company/settings/people");
    assert!(page.status == 200 && page.text.contains("Nobody is invited") && page.text.contains(">you<"), "{}", page.text);
    let wrong = owner.form("/company/settings/people", "email=nonsense&role=auditor");
    assert_eq!(wrong.status, 422);
    assert!(wrong.text.contains("Enter an e-mail address") && wrong.text.contains("value=\"nonsense\""), "what was typed stays");
    let none = owner.form("/company/settings/people", "email=jo%40example.com&role=emperor");
    assert!(none.status == 422 && none.text.contains("Choose a role."));
    let invited = owner.form("/company/settings/people", "email=jo%40example.com&role=auditor");
    assert_eq!(invited.status, 201, "{}", invited.text);
    let link = link_on(&server, &invited);
    let again = owner.get("/company/settings/people");
    assert!(!again.text.contains(&link) && again.text.contains("jo@example.com"), "the link is shown once");

    // Whoever follows the link sees what it is about, chooses a name and a password, and is in.
    let page = send("GET", &format!("{}{link}", server.url), &[], None);
    assert!(page.status == 200 && page.text.contains("Join My company") && page.text.contains("value=\"jo@example.com\""));
    let short = form(&server, "", &link, "name=Jo&password=short");
    assert!(short.status == 422 && short.text.contains("at least 8 characters") && short.text.contains("value=\"Jo\""));
    assert!(!short.text.contains("value=\"short\""), "a password is not sent back");
    let jo = accept(&server, &link, "Jo");
    assert_eq!(jo.get("/api/v1/sessions").expect(200)["role"], "auditor");

    // It works once.
    for _ in 0..2 {
        assert_eq!(form(&server, "", &link, &format!("name=Eve&password={OTHER_PASSWORD}")).status, 410);
        let used = send("GET", &format!("{}{link}", server.url), &[], None);
        assert!(used.status == 410 && used.text.contains("does not work any more"), "{}", used.text);
    }

    // An auditor sees who is there, and changes nothing.
    let page = jo.get("/company/settings/people");
    assert!(page.status == 200 && page.text.contains(EMAIL) && !page.text.contains("Invite somebody"), "{}", page.text);
    let proxy = json!({"name": "A", "host": "proxy.example", "port": 3128});
    assert_eq!(jo.post("/api/v1/proxies", &proxy).status, 403);
    assert_eq!(jo.form("/company/settings/people", "email=eve%40example.com&role=auditor").status, 403);
    let people = owner.get("/api/v1/people").expect(200);
    let id = id_of(&people, "jo@example.com");
    assert_eq!(jo.form(&format!("/company/settings/people/{id}"), "name=Jo&role=owner&version=1").status, 403);
    assert_eq!(jo.get(&format!("/company/settings/people/{id}/delete")).status, 403);

    // Another role holds from the next request on.
    let saved = owner.form(&format!("/company/settings/people/{id}"), "name=Jo+Doe&role=administrator&version=1");
    assert_eq!((saved.status, saved.header("location")), (303, "/company/settings/people?flash=saved"), "{}", saved.text);
    assert_eq!(jo.post("/api/v1/proxies", &proxy).status, 201);
    let late = owner.form(&format!("/company/settings/people/{id}"), "name=Joe&role=auditor&version=1");
    assert!(late.status == 409 && late.text.contains("Jo Doe"), "somebody else was quicker: {}", late.text);

    // An administrator invites administrators, and leaves owners alone.
    let mine = id_of(&people, EMAIL);
    assert_eq!(jo.form("/company/settings/people", "email=kim%40example.com&role=owner").status, 422);
    assert!(jo.get(&format!("/company/settings/people/{mine}")).text.contains("Only an owner can change an owner."));
    assert_eq!(jo.form(&format!("/company/settings/people/{mine}"), "name=Gone&role=auditor&version=1").status, 403);
    assert_eq!(jo.form(&format!("/company/settings/people/{mine}/delete"), "version=1").status, 403);

    // The last owner stays one: told at the role.
    let last = owner.form(&format!("/company/settings/people/{mine}"), "name=Ada&role=auditor&version=1");
    let error = last.text.split("id=\"role-error\"").nth(1).unwrap_or_else(|| panic!("{}", last.text));
    assert!(last.status == 422 && error[..300].contains("last owner"), "{error}");
    let gone = owner.form(&format!("/company/settings/people/{mine}/delete"), "version=1");
    assert!(gone.status == 422 && gone.text.contains("last owner"), "{}", gone.text);
    assert_eq!(owner.get("/api/v1/sessions").expect(200)["role"], "owner");

    // Withdrawn, a link works no more.
    let invited = owner.form("/company/settings/people", "email=kim%40example.com&role=owner");
    let link = link_on(&server, &invited);
    let open = owner.get("/api/v1/invitations").expect(200);
    let withdraw = format!("/company/settings/people/invitations/{}/withdraw", id_of(&open, "kim@example.com"));
    assert!(owner.get(&withdraw).text.contains("kim@example.com"));
    assert_eq!(jo.form(&withdraw, "").status, 403, "an owner's invitation is an owner's");
    assert_eq!(owner.form(&withdraw, "").status, 303);
    assert_eq!(send("GET", &format!("{}{link}", server.url), &[], None).status, 410);

    // None of the links stands in the log, which has the requests.
    let log = server.printed();
    assert!(log.contains("/invitation/…"), "{log}");
    let secret = link.rsplit('/').next().expect("a secret");
    assert!(!log.contains(secret) && !log.contains("/invitation/A"), "a link's secret is in the log");
    for found in log.split("/invitation/").skip(1) {
        assert!(found.starts_with('…'), "/invitation/{}", &found[..20.min(found.len())]);
    }
}

#[test]
fn an_invitations_link_is_for_the_address_that_people_use() {
    let port = free_port();
    let start = Start::new().env("GATEHOUSE_LISTEN", &format!("127.0.0.1:{port}"));
    let server = start.env("GATEHOUSE_PUBLIC_URL", &format!("http://localhost:{port}")).start();
    let owner = signed_in(&server, EMAIL, PASSWORD);
    // Behind a proxy server, say: it came to another address.
    let here = format!("http://127.0.0.1:{port}");
    let headers =
        [("cookie", owner.cookie.as_str()), ("content-type", "application/x-www-form-urlencoded"), ("origin", here.as_str())];
    let page = format!("{here}/company/settings/people");
    let made = send("POST", &page, &headers, Some("email=jo%40example.com&role=auditor"));
    assert_eq!(made.status, 201, "{}", made.text);
    assert!(made.text.contains(&format!("http://localhost:{port}/invitation/")), "{}", made.text);
    assert!(!made.text.contains(&format!("{here}/invitation/")));
}

#[test]
fn whoever_is_removed_is_out_at_once() {
    let server = Start::new().start();
    let owner = signed_in(&server, EMAIL, PASSWORD);
    let invite = |email: &str, role: &str| {
        let made = owner.post("/api/v1/invitations", &json!({"email": email, "role": role})).expect(201);
        text(&made, "link").to_string()
    };
    let jo = accept(&server, &invite("jo@example.com", "administrator"), "Jo");
    let token = text(&jo.post("/api/v1/tokens", &json!({"name": "script"})).expect(201), "token").to_string();
    let by_token =
        || send("GET", &format!("{}/api/v1/proxies", server.url), &[("authorization", &format!("Bearer {token}"))], None).status;
    assert_eq!((by_token(), jo.get("/api/v1/proxies").status), (200, 200));
    let id = id_of(&owner.get("/api/v1/people").expect(200), "jo@example.com");
    let question = owner.get(&format!("/company/settings/people/{id}/delete"));
    assert!(question.status == 200 && question.text.contains("API tokens stop working"), "{}", question.text);
    let removed = owner.form(&format!("/company/settings/people/{id}/delete"), "version=1");
    assert_eq!((removed.status, removed.header("location")), (303, "/company/settings/people?flash=person-removed"));
    assert_eq!((by_token(), jo.get("/api/v1/proxies").status), (401, 401));
    assert_eq!(sign_in(&server, "jo@example.com", OTHER_PASSWORD).status, 401);
    assert_eq!(owner.get(&format!("/company/settings/people/{id}")).status, 404);
    // They can come back, and go by themselves.
    let jo = accept(&server, &invite("jo@example.com", "auditor"), "Jo");
    let admin = accept(&server, &invite("kim@example.com", "administrator"), "Kim");
    let kim = id_of(&owner.get("/api/v1/people").expect(200), "kim@example.com");
    let gone = admin.form(&format!("/company/settings/people/{kim}/delete"), "version=1");
    assert_eq!((gone.status, gone.header("location")), (303, "/sign-in?flash=signed-out"));
    assert!(gone.header("set-cookie").contains("Max-Age=0"), "{}", gone.header("set-cookie"));
    assert_eq!(jo.get("/api/v1/sessions").status, 200, "nobody else");
}

#[test]
fn an_invitation_expires() {
    let mut server = Start::new().start();
    let owner = signed_in(&server, EMAIL, PASSWORD);
    let made = owner.post("/api/v1/invitations", &json!({"email": "jo@example.com", "role": "auditor"})).expect(201);
    let link = text(&made, "link").to_string();
    // One that does not exist is told from none at all.
    let by_api = |body: &str| {
        send("POST", &format!("{}/api/v1/invitations/accept", server.url), &[("content-type", "application/json")], Some(body))
    };
    let without = by_api(r#"{"name": "Jo", "password": "a long password of Jo"}"#);
    assert!(without.status == 422 && without.body["fields"]["secret"].is_string(), "{}", without.text);
    assert_eq!(by_api(r#"{"secret": "x", "name": "Jo", "password": "a long password of Jo"}"#).status, 410);
    server.stop();
    let open = |ahead: &str| {
        let mut later = later(Start::in_folder(server.folder.clone()), ahead).start();
        let page = send("GET", &format!("{}{link}", later.url), &[], None);
        later.stop();
        (page.status, page.text)
    };
    let (status, page) = open("+6d");
    assert!(status == 200 && page.contains("jo@example.com"), "{page}");
    let (status, page) = open("+8d");
    assert!(status == 410 && page.contains("does not work any more"), "{page}");
}

/// As browsers ask for them.
#[test]
fn exports_are_whole_when_they_are_compressed() {
    let server = cloud("30");
    let owner = signed_in(&server, EMAIL, PASSWORD);
    let provider = signed_in(&server, "pat@provider.example", OTHER_PASSWORD);
    for number in 0..60 {
        owner.post("/api/v1/tokens", &json!({"name": format!("token {number}")})).expect(201);
    }
    let companies = provider.get("/api/v1/companies").expect(200);
    let ours = companies["items"].as_array().expect("items").iter().find(|c| c["name"] == "My company").expect("there");
    let export = format!("/api/v1/companies/{}/export", text(ours, "id"));
    let cases = [
        (&owner, "/api/v1/audit.jsonl", "\"createToken\""),
        (&owner, "/api/v1/audit.jsonl?operation=deleteCompany", ""),
        (&owner, "/api/v1/traffic.csv", "consumer_kind"),
        (&provider, export.as_str(), "\"createToken\""),
    ];
    for (who, path, holds) in cases {
        let headers = [("cookie", who.cookie.as_str()), ("accept-encoding", "gzip")];
        let answer = send("GET", &format!("{}{path}", server.url), &headers, None);
        assert_eq!(answer.status, 200, "{path}");
        let whole = match answer.header("content-encoding") {
            "gzip" => gunzip(&answer.bytes),
            _ => answer.text,
        };
        assert!(whole.contains(holds), "{path}: {whole}");
    }
}

fn gunzip(bytes: &[u8]) -> String {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes), &mut text).expect("whole");
    text
}

/// Every call about people and companies, by everybody.
#[test]
fn roles_are_held_to_by_the_api_and_by_the_pages() {
    let server = cloud("30");
    let owner = signed_in(&server, EMAIL, PASSWORD);
    let provider = signed_in(&server, "pat@provider.example", OTHER_PASSWORD);
    let come = |email: &str, role: &str, name: &str| {
        let made = owner.post("/api/v1/invitations", &json!({"email": email, "role": role})).expect(201);
        accept(&server, text(&made, "link"), name)
    };
    let administrator = come("adi@example.com", "administrator", "Adi");
    let auditor = come("audrey@example.com", "auditor", "Audrey");
    let companies = provider.get("/api/v1/companies").expect(200);
    let ours = companies["items"].as_array().expect("items").iter().find(|c| c["name"] == "My company").expect("there");
    assert_eq!((text(ours, "status"), ours["people"].as_u64()), ("active", Some(3)));
    let ours = text(ours, "id").to_string();
    let everybody = [&owner, &administrator, &auditor, &provider];
    let person = id_of(&owner.get("/api/v1/people").expect(200), "audrey@example.com");
    // Owner, administrator, auditor, provider. A provider looks for somebody of another company, who is not there.
    let of_a_company = [403, 403, 403, 200];
    let calls = [
        ("GET", "/api/v1/people".to_string(), json!(null), [200, 200, 200, 200]),
        ("GET", format!("/api/v1/people/{person}"), json!(null), [200, 200, 200, 404]),
        ("PUT", format!("/api/v1/people/{person}"), json!({"name": "Audrey", "role": "auditor"}), [200, 200, 403, 404]),
        ("GET", "/api/v1/invitations".to_string(), json!(null), [200, 200, 200, 200]),
        ("POST", "/api/v1/invitations".to_string(), json!({"email": "x@example.com", "role": "owner"}), [201, 422, 403, 422]),
        ("POST", "/api/v1/invitations".to_string(), json!({"email": "x@example.com", "role": "provider"}), [422, 422, 403, 201]),
        ("GET", "/api/v1/companies".to_string(), json!(null), of_a_company),
        ("GET", format!("/api/v1/companies/{ours}"), json!(null), of_a_company),
        ("GET", format!("/api/v1/companies/{ours}/export"), json!(null), of_a_company),
        ("POST", "/api/v1/companies".to_string(), json!({"name": "My company"}), [403, 403, 403, 422]),
        ("POST", format!("/api/v1/companies/{ours}/invitations"), json!({"email": "x@example.com"}), [403, 403, 403, 422]),
        ("POST", format!("/api/v1/companies/{ours}/resume"), json!(null), of_a_company),
        ("GET", "/api/v1/proxies".to_string(), json!(null), [200, 200, 200, 403]),
        ("GET", "/api/v1/analyses".to_string(), json!(null), [200, 200, 200, 403]),
        ("GET", "/api/v1/traffic".to_string(), json!(null), [200, 200, 200, 403]),
        ("GET", "/company/settings/proxies".to_string(), json!(null), [200, 200, 200, 403]),
        ("GET", "/incident-responder/integrations".to_string(), json!(null), [200, 200, 200, 403]),
        ("GET", "/incident-responder/analyses".to_string(), json!(null), [200, 200, 200, 403]),
        ("GET", "/company/settings/checks".to_string(), json!(null), [200, 200, 200, 403]),
        ("GET", "/company/settings/people".to_string(), json!(null), [200, 200, 200, 200]),
        ("GET", format!("/company/settings/people/{person}"), json!(null), [200, 200, 200, 404]),
        ("GET", "/provider/companies".to_string(), json!(null), of_a_company),
        ("GET", format!("/provider/companies/{ours}"), json!(null), of_a_company),
        ("GET", format!("/provider/companies/{ours}/delete"), json!(null), of_a_company),
    ];
    for (method, path, body, expected) in calls {
        for (number, (who, expected)) in everybody.iter().zip(expected).enumerate() {
            let answer = who.call(method, &path, Some(&body).filter(|body| !body.is_null()));
            assert_eq!(answer.status, expected, "{method} {path} {body} by number {number}: {}", answer.text);
        }
    }
    // Forms do no more than the API.
    for (path, fields) in [
        (format!("/provider/companies/{ours}"), "intent=suspend"),
        (format!("/provider/companies/{ours}/delete"), "confirm=My+company"),
        ("/provider/companies".to_string(), "name=Mine"),
    ] {
        assert_eq!(owner.form(&path, fields).status, 403, "{path}");
    }
    // In words, and with a way in that each may use.
    let refused = owner.get("/provider/companies");
    assert!(refused.text.contains("Not allowed") && !refused.text.contains("href=\"/provider"), "{}", refused.text);
    let home = |who: &Visitor<'_>| who.get("/").header("location").to_string();
    assert_eq!((home(&owner).as_str(), home(&provider).as_str()), ("/company/settings/proxies", "/provider/companies"));
    let page = provider.get("/provider/companies").text;
    assert!(page.contains("My company") && page.contains("href=\"/company/settings/people\""));
    assert!(!page.contains("href=\"/company/settings/proxies\"") && !page.contains("Incident Responder"), "{page}");
    assert_eq!(provider.form(&format!("/provider/companies/{ours}/delete"), "confirm=Another").status, 422);
    assert_eq!(owner.get("/api/v1/sessions").status, 200);
}

#[test]
fn the_last_provider_can_not_be_removed() {
    let server = cloud("30");
    let pat = signed_in(&server, "pat@provider.example", OTHER_PASSWORD);
    let id = id_of(&pat.get("/api/v1/people").expect(200), "pat@provider.example");
    let page = format!("/company/settings/people/{id}");
    let refused = pat.form(&format!("{page}/delete"), "version=1");
    assert!(refused.status == 422 && refused.text.contains("last provider"), "{}", refused.text);
    let refused = pat.call("DELETE", &format!("/api/v1/people/{id}"), None);
    assert!(refused.status == 422 && refused.text.contains("last provider"), "{}", refused.text);
    assert_eq!(pat.form(&page, "name=Pat&role=auditor&version=1").status, 422);
    pat.get("/api/v1/companies").expect(200);
    // With another one, one may go.
    let made = pat.post("/api/v1/invitations", &json!({"email": "kim@provider.example", "role": "provider"})).expect(201);
    let kim = accept(&server, text(&made, "link"), "Kim");
    assert_eq!(pat.call("DELETE", &format!("/api/v1/people/{id}"), None).status, 204);
    assert_eq!(pat.get("/api/v1/companies").status, 401);
    kim.get("/api/v1/companies").expect(200);
}

#[test]
fn a_company_is_made_suspended_resumed_and_deleted() {
    let server = cloud("0");
    let bystander = signed_in(&server, EMAIL, PASSWORD);
    let provider = signed_in(&server, "pat@provider.example", OTHER_PASSWORD);
    let made = provider.form("/provider/companies", "name=Acme");
    assert_eq!(made.status, 303, "{}", made.text);
    let page = made.header("location").split('?').next().expect("a path").to_string();
    let again = provider.form("/provider/companies", "name=ACME");
    assert!(again.status == 422 && again.text.contains("There is a company of this name."), "{}", again.text);
    let invited = provider.form(&page, "intent=invite&email=ann%40acme.example");
    assert_eq!(invited.status, 201, "{}", invited.text);
    let ann = accept(&server, &link_on(&server, &invited), "Ann");
    assert_eq!(ann.get("/api/v1/sessions").expect(200)["role"], "owner");
    let second = provider.form(&page, "intent=invite&email=bob%40acme.example");
    assert!(second.status == 422 && second.text.contains("has people already"), "they invite themselves now: {}", second.text);
    let token = text(&ann.post("/api/v1/tokens", &json!({"name": "script"})).expect(201), "token").to_string();
    let by_token =
        || send("GET", &format!("{}/api/v1/proxies", server.url), &[("authorization", &format!("Bearer {token}"))], None).status;
    let proxy = json!({"name": "Head office", "host": "proxy.acme.example", "port": 3128, "authentication": "basic", "username": "u", "password": "open sesame"});
    ann.post("/api/v1/proxies", &proxy).expect(201);
    let link = ann.post("/api/v1/invitations", &json!({"email": "cy@acme.example", "role": "auditor"})).expect(201);

    assert_eq!(provider.form(&page, "intent=suspend").status, 303);
    let refused = ann.get("/api/v1/proxies");
    assert_eq!((refused.status, refused.code(), by_token()), (403, "suspended", 403));
    let sign_in_refused = sign_in(&server, "ann@acme.example", OTHER_PASSWORD);
    assert_eq!((sign_in_refused.status, sign_in_refused.code()), (403, "suspended"));
    assert_eq!(
        sign_in(&server, "ann@acme.example", "wrong wrong wrong").status,
        401,
        "told to those alone who know the password"
    );
    assert_eq!(send("GET", &format!("{}{}", server.url, text(&link, "link")), &[], None).status, 410);
    assert!(provider.get("/provider/companies?q=ACM").text.contains("Suspended"));
    assert_eq!(provider.form(&page, "intent=resume").status, 303);
    assert_eq!((ann.get("/api/v1/proxies").status, by_token()), (200, 200), "the same session goes on");

    // The export: everything but secrets, and that it was taken.
    let id = page.rsplit('/').next().expect("an id").to_string();
    let export = provider.get(&format!("/api/v1/companies/{id}/export")).expect(200);
    assert_eq!(export["company"]["name"], "Acme");
    assert_eq!(
        (text(&export["people"][0], "email"), text(&export["proxies"][0], "host")),
        ("ann@acme.example", "proxy.acme.example")
    );
    assert_eq!(text(&export["audit"][0], "operation"), "exportCompany");
    for key in
        ["invitations", "integrations", "checks", "health_changes", "gateway_policy", "gateway_people", "analyses", "traffic"]
    {
        assert!(!export[key].is_null(), "{key}");
    }
    let whole = export.to_string();
    assert!(!whole.contains("open sesame") && !whole.contains("password_hash") && !whole.contains(text(&link, "link")));

    let question = provider.get(&format!("{page}/delete"));
    assert!(question.text.contains("deleted for good in a moment"), "{}", question.text);
    assert_eq!(provider.form(&format!("{page}/delete"), "confirm=").status, 422);
    assert_eq!(by_token(), 200, "not without its name");
    assert_eq!(provider.form(&format!("{page}/delete"), "confirm=acme").status, 303);
    assert_ne!(by_token(), 200);
    soon("all of it is gone", || provider.get(&format!("/api/v1/companies/{id}")).status == 404);
    assert_eq!((by_token(), ann.get("/api/v1/proxies").status), (401, 401));
    assert_eq!(sign_in(&server, "ann@acme.example", OTHER_PASSWORD).status, 401);
    assert_eq!(provider.get(&page).status, 404);
    // The others are as they were; the address is free again.
    assert_eq!(bystander.get("/api/v1/people").expect(200)["items"].as_array().map(Vec::len), Some(1));
    bystander.post("/api/v1/invitations", &json!({"email": "ann@acme.example", "role": "auditor"})).expect(201);
    let verified = server.command(&["audit", "verify"], &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn the_command_line_keeps_companies_beside_a_running_server() {
    let server = cloud("30");
    let ok = |args: &[&str]| {
        let (done, said) = company(&server, &[], args);
        assert!(done, "{args:?}: {said}");
        said
    };
    assert!(ok(&["create", "Acme"]).contains("Acme is there"));
    let (done, said) = company(&server, &[], &["create", "acme"]);
    assert!(!done && said.contains("There is a company of this name."), "{said}");
    assert!(ok(&["list"]).lines().any(|line| line == "Acme\tactive\t0"));
    let (done, said) = company(&server, &[], &["suspend", "Nobody"]);
    assert!(!done && said.contains("There is no company of this name."), "{said}");
    let link = ok(&["invite", "Acme", "--email", "ann@acme.example"]);
    let link = link.lines().find(|line| line.starts_with("/invitation/")).expect("a link").to_string();
    let (_, whole) = company(
        &server,
        &[("GATEHOUSE_PUBLIC_URL", "https://gatehouse.example.com")],
        &["invite", "Acme", "--email", "ann@acme.example"],
    );
    assert!(whole.starts_with("https://gatehouse.example.com/invitation/"), "{whole}");
    assert_eq!(send("GET", &format!("{}{link}", server.url), &[], None).status, 410, "the newer one counts");
    let path = whole.trim().strip_prefix("https://gatehouse.example.com").expect("a path").to_string();
    let ann = accept(&server, &path, "Ann");
    assert!(ok(&["suspend", "ACME"]).contains("suspended"));
    assert_eq!(ann.get("/api/v1/proxies").status, 403);
    assert!(ok(&["list"]).lines().any(|line| line == "Acme\tsuspended\t1"));
    assert!(ok(&["delete", "Acme"]).contains("unless it is resumed"));
    assert!(ok(&["list"]).contains("Acme\tdeleting (after "));
    assert!(ok(&["resume", "Acme"]).contains("can be used again"));
    assert_eq!(ann.get("/api/v1/proxies").status, 200);
    let file = server.folder.path().join("acme.json");
    let name = file.display().to_string();
    assert!(ok(&["export", "Acme", &name]).contains("bytes"));
    let export: Value = serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("JSON");
    assert_eq!(export["people"][0]["email"], "ann@acme.example");
    let (done, said) = company(&server, &[], &["export", "Acme", &name]);
    assert!(!done && said.contains("is there already"), "{said}");
    let (done, said) = company(&server, &[], &["export", "Nobody", &format!("{name}.2")]);
    assert!(!done && said.contains("no company of this name") && !server.folder.path().join("acme.json.2").exists(), "{said}");
    // Who did it stands in the company's own log.
    let log = ann.get("/api/v1/audit").expect(200).to_string();
    for operation in ["suspendCompany", "deleteCompany", "resumeCompany", "exportCompany", "inviteFirstAdministrator"] {
        assert!(log.contains(operation), "{operation}: {log}");
    }
    assert!(log.contains("command_line") && !log.contains(path.rsplit('/').next().expect("a secret")));
}

#[test]
fn checks_of_a_suspended_company_do_not_run() {
    let mut server = cloud("30");
    let owner = signed_in(&server, EMAIL, PASSWORD).cookie;
    let provider = signed_in(&server, "pat@provider.example", OTHER_PASSWORD).cookie;
    let (id, first) = {
        let owner = Visitor { server: &server, cookie: owner.clone() };
        owner.post("/api/v1/proxies", &json!({"name": "P", "host": "nowhere.invalid", "port": 9})).expect(201);
        owner.call("PUT", "/api/v1/checks", Some(&json!({"every_minutes": 15}))).expect(200);
        let last_test = || owner.get("/api/v1/proxies").expect(200)["items"][0]["last_test"]["at"].clone();
        soon("the first round", || !last_test().is_null());
        let provider = Visitor { server: &server, cookie: provider.clone() };
        let companies = provider.get("/api/v1/companies").expect(200);
        let ours = companies["items"].as_array().expect("items").iter().find(|c| c["name"] == "My company").expect("there");
        let id = text(ours, "id").to_string();
        let first = last_test().to_string();
        provider.post(&format!("/api/v1/companies/{id}/suspend"), &json!({})).expect(200);
        (id, first)
    };
    server.stop();
    // An hour later a round has long been due.
    let later = later(Start::in_folder(server.folder.clone()), "+1h");
    let later = later.env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key").start();
    let provider = Visitor { server: &later, cookie: provider };
    let last_test =
        || provider.get(&format!("/api/v1/companies/{id}/export")).expect(200)["proxies"][0]["last_test"]["at"].to_string();
    assert!(first.len() > 10, "{first}");
    // Two turns of whoever looks after it.
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(last_test(), first, "nothing of it runs by itself");
    provider.post(&format!("/api/v1/companies/{id}/resume"), &json!({})).expect(200);
    soon("a round after it was resumed", || last_test() != first);
}

/// Waits for it.
#[track_caller]
fn soon(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// With a clock that is ahead: Debian's libfaketime. What is waited for does not come sooner.
fn later(start: Start, ahead: &str) -> Start {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    assert!(std::path::Path::new(library).exists(), "{library} is missing: scripts/test-deps.sh installs it");
    start.env("LD_PRELOAD", library).env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME", ahead)
}
