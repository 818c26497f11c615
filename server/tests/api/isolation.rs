//! Two companies in one installation, and every role: what is another company's is not there, and what a role may not do is refused.
//!
//! The calls come from the running server's OpenAPI document, the server functions from the table that the server checks its registry
//! against, the pages from the router's source: one that is new and not thought of here fails the test.

use std::collections::BTreeMap;

use gatehouse_domain::{Operation, Permission, Role};
use serde_json::{Value, json};

use crate::harness::{Answer, EMAIL, PASSWORD, Server, Start, send};

/// Stands in every name and text of the other company: it must never be seen.
const MARK: &str = "bolide";

const ROLES: [Role; 4] = [Role::Owner, Role::Administrator, Role::Auditor, Role::Provider];

/// What nobody has made.
const NOBODYS: &str = "01890000-0000-7000-8000-000000000000";

struct Bed {
    server: Server,
    /// Tokens of the first company's people (and of a provider), by role.
    tokens: BTreeMap<&'static str, String>,
    /// Identifiers of what the other company has, by the path of its list.
    theirs: BTreeMap<&'static str, String>,
}

fn call(server: &Server, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    send(method, &format!("{}{path}", server.url), &headers, body.map(Value::to_string).as_deref())
}

fn person(server: &Server, email: &str, company: &str, role: Role) -> String {
    let args = ["create", "--email", email, "--password-stdin", "--company", company, "--role", role.as_str()];
    let made = server.admin_output(&args, PASSWORD);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    server.admin(&["token", "--email", email]).trim().to_string()
}

fn bed() -> Bed {
    let server = Start::new().env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key").start_with_key();
    let mut tokens = BTreeMap::from([(Role::Owner.as_str(), server.token.clone())]);
    for role in [Role::Administrator, Role::Auditor] {
        tokens.insert(role.as_str(), person(&server, &format!("{}@example.com", role.as_str()), "My company", role));
    }
    tokens.insert(Role::Provider.as_str(), person(&server, "provider@hosting.example", "Hosting", Role::Provider));
    let them = person(&server, &format!("{MARK}@other.example"), &format!("The {MARK} company"), Role::Owner);
    let made = |method: &str, path: &str, body: Value| call(&server, &them, method, path, Some(&body));
    let id = |answer: Value| answer["id"].as_str().expect("an identifier").to_string();
    let proxy = json!({"name": format!("{MARK} proxy"), "host": format!("{MARK}.example"), "port": 3128, "is_default": true});
    let proxy = id(made("POST", "/api/v1/proxies", proxy).expect(201));
    let integration = json!({"name": format!("{MARK} engine"), "type": "custom_http", "api_url": format!("https://{MARK}.example/v1"),
        "api_key": "0123456789", "capabilities": {"url": true}, "proxy": {"choice": "setting", "id": proxy}});
    let integration = id(made("POST", "/api/v1/integrations", integration).expect(201));
    let analysis = made("POST", "/api/v1/analyses", json!({"url": format!("https://{MARK}.example/")}));
    assert!(matches!(analysis.status, 200 | 202), "{}", analysis.text);
    let policy = format!("# {MARK}\n[[rule]]\nname = '{MARK}'\naction = 'allow'\n");
    made("PUT", "/api/v1/gateway/policy", json!({"text": policy})).expect(200);
    let guest = json!({"name": format!("{MARK} guest"), "password": PASSWORD});
    let guest = id(made("POST", "/api/v1/gateway/people", guest).expect(201));
    let checks = json!({"every_minutes": 60, "webhook_url": format!("https://{MARK}.example/hook")});
    made("PUT", "/api/v1/checks", checks).expect(200);
    let invited = json!({"email": format!("{MARK}-guest@other.example"), "role": "auditor"});
    let invited = id(made("POST", "/api/v1/invitations", invited).expect(201));
    let token = id(made("POST", "/api/v1/tokens", json!({"name": format!("{MARK} token")})).expect(201));
    let people = made("GET", "/api/v1/people", json!({})).expect(200);
    let credentials = json!({"email": format!("{MARK}@other.example"), "password": PASSWORD}).to_string();
    send("POST", &format!("{}/api/v1/sessions", server.url), &[], Some(&credentials)).expect(201);
    let sessions = made("GET", "/api/v1/account/sessions", json!({})).expect(200);
    let companies = call(&server, &tokens["provider"], "GET", "/api/v1/companies", None).expect(200);
    let company = companies["items"]
        .as_array()
        .expect("companies")
        .iter()
        .find(|company| company["name"].as_str().is_some_and(|name| name.contains(MARK)));
    let theirs = BTreeMap::from([
        ("/api/v1/proxies", proxy),
        ("/api/v1/integrations", integration),
        ("/api/v1/analyses", id(analysis.body)),
        ("/api/v1/gateway/people", guest),
        ("/api/v1/invitations", invited),
        ("/api/v1/tokens", token),
        ("/api/v1/people", id(people["items"][0].clone())),
        ("/api/v1/account/sessions", id(sessions["items"][0].clone())),
        ("/api/v1/companies", id(company.expect("there").clone())),
    ]);
    Bed { server, tokens, theirs }
}

/// One call of the document.
struct Call {
    method: String,
    path: String,
    operation: Operation,
    /// The document's example of its body; an empty object where it has none.
    body: Option<Value>,
}

fn calls(server: &Server) -> Vec<Call> {
    let document = send("GET", &format!("{}/api/v1/openapi.json", server.url), &[], None).expect(200);
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an operationId");
            let body = operation.get("requestBody").map(|body| {
                let example = &body["content"]["application/json"]["example"];
                if example.is_null() { json!({}) } else { example.clone() }
            });
            let operation = Operation::find(id).unwrap_or_else(|| panic!("{id} is not in the table"));
            calls.push(Call { method: method.to_uppercase(), path: path.clone(), operation, body });
        }
    }
    assert!(calls.len() > 55, "{}", calls.len());
    calls
}

/// What can be compared of two answers.
fn told(answer: &Answer) -> (u16, String, String) {
    (answer.status, answer.header("content-type").to_string(), answer.text.clone())
}

#[test]
fn what_is_another_companys_is_not_there_for_any_role() {
    let Bed { server, tokens, theirs } = bed();
    let (mut tried, mut lists) = (0, 0);
    for Call { method, path, operation, body } in calls(&server) {
        for role in ROLES {
            let token = &tokens[role.as_str()];
            let Some((list, _)) = path.split_once("/{id}") else {
                // No identifier to give: what is answered must not hold anything of theirs. The provider's list of companies does.
                if method == "GET" && (role, operation) != (Role::Provider, Operation::ListCompanies) {
                    let answer = call(&server, token, &method, &path, None);
                    assert!(!answer.text.to_lowercase().contains(MARK), "{method} {path} as {}: {}", role.as_str(), answer.text);
                    lists += 1;
                }
                continue;
            };
            if operation.permission() == Permission::Companies && role == Role::Provider {
                continue;
            }
            let id = theirs.get(list).unwrap_or_else(|| panic!("nothing of {list} was made: add it to bed()"));
            let at = |id: &str| call(&server, token, &method, &path.replace("{id}", id), body.as_ref());
            let (other, nobodys) = (at(id), at(NOBODYS));
            let expected = if operation.is_for(role) { 404 } else { 403 };
            assert_eq!(other.status, expected, "{method} {path} as {}: {}", role.as_str(), other.text);
            assert_eq!(told(&other), told(&nobodys), "{method} {path} as {}", role.as_str());
            tried += 1;
        }
    }
    println!("{tried} calls with the other company's identifiers, {lists} lists");
    assert!(tried > 90 && lists > 60, "{tried} {lists}");
    // All of theirs is still there, and as it was.
    let them = server.admin(&["token", "--email", &format!("{MARK}@other.example")]).trim().to_string();
    for (list, id) in theirs.iter().filter(|(list, _)| !list.ends_with("companies")) {
        let all = call(&server, &them, "GET", list, None);
        assert!(all.text.contains(id.as_str()), "{list}: {}", all.text);
    }
}

#[test]
fn identifiers_of_another_company_in_a_body_name_nothing() {
    let Bed { server, tokens, theirs } = bed();
    let proxy = &theirs["/api/v1/proxies"];
    let integration = &theirs["/api/v1/integrations"];
    let bodies = |proxy: &str, integration: &str| {
        let setting = json!({"choice": "setting", "id": proxy});
        let engine = json!({"name": "X", "type": "custom_http", "api_url": "https://x.example/v1", "capabilities": {"url": true}, "proxy": setting});
        let mut own = engine.clone();
        own["id"] = json!(integration);
        own["proxy"] = json!({"choice": "none"});
        vec![
            ("POST", "/api/v1/proxies", json!({"name": "X", "host": "x.example", "port": 1, "fallback": proxy})),
            ("POST", "/api/v1/proxies/test", json!({"proxy": {"id": proxy, "host": "x.example", "port": 1}})),
            ("POST", "/api/v1/integrations", engine.clone()),
            ("POST", "/api/v1/integrations/test", engine),
            ("POST", "/api/v1/integrations/test", own),
            ("PUT", "/api/v1/checks", json!({"every_minutes": 0, "webhook_url": "https://x.example/", "webhook_proxy": setting})),
        ]
    };
    for role in [Role::Owner, Role::Administrator] {
        let token = &tokens[role.as_str()];
        for ((method, path, theirs), (_, _, nobodys)) in bodies(proxy, integration).into_iter().zip(bodies(NOBODYS, NOBODYS)) {
            let (other, nobodys) =
                (call(&server, token, method, path, Some(&theirs)), call(&server, token, method, path, Some(&nobodys)));
            assert!(matches!(other.status, 404 | 422), "{method} {path}: {}", other.text);
            assert_eq!(told(&other), told(&nobodys), "{method} {path}");
        }
        // A policy names a proxy setting by its name.
        let policy = |name: &str| json!({"text": format!("[[egress]]\nname = 'out'\nkind = 'setting'\nsetting = '{name}'\n")});
        let (theirs, nobodys) = (format!("{MARK} proxy"), "nobodys proxy".to_string());
        let answers = [&theirs, &nobodys].map(|name| {
            let answer = call(&server, token, "PUT", "/api/v1/gateway/policy", Some(&policy(name)));
            assert_eq!(answer.status, 422, "{}", answer.text);
            answer.text.replace(name.as_str(), "…")
        });
        assert_eq!(answers[0], answers[1]);
    }
}

#[test]
fn what_a_role_may_not_do_is_refused_before_anything_else_is_looked_at() {
    let Bed { server, tokens, .. } = bed();
    let entries =
        || call(&server, &tokens["owner"], "GET", "/api/v1/audit?limit=1", None).expect(200)["items"][0]["number"].clone();
    let before = entries();
    let (mut refused, mut allowed) = (0, 0);
    let calls = calls(&server);
    for Call { method, path, operation, body } in &calls {
        for role in ROLES.into_iter().filter(|role| !operation.is_for(*role)) {
            for body in [body.clone(), body.as_ref().map(|_| json!({"nonsense": 1}))] {
                let answer = call(&server, &tokens[role.as_str()], method, &path.replace("{id}", NOBODYS), body.as_ref());
                assert_eq!(
                    (answer.status, answer.code()),
                    (403, "forbidden"),
                    "{method} {path} as {}: {}",
                    role.as_str(),
                    answer.text
                );
                refused += 1;
            }
        }
        // Nobody at all.
        let answer = send(method, &format!("{}{}", server.url, path.replace("{id}", NOBODYS)), &[], Some("{}"));
        let anybody = operation.permission() == Permission::Anybody;
        assert_eq!(answer.status == 401, !anybody, "{method} {path} without a sign-in: {}", answer.text);
    }
    assert_eq!(entries(), before, "nothing that was refused stands in the log, and nothing was done");
    // What a role may do is not refused: to what is not there, or with a body that is wrong, so that nothing is done by it.
    for Call { method, path, operation, body } in &calls {
        if matches!(operation, Operation::SignOut | Operation::EndOtherSessions) {
            continue;
        }
        for role in ROLES.into_iter().filter(|role| operation.is_for(*role)) {
            let body = body.as_ref().map(|_| json!({"nonsense": 1}));
            let answer = call(&server, &tokens[role.as_str()], method, &path.replace("{id}", NOBODYS), body.as_ref());
            assert!(
                !matches!(answer.status, 401 | 403) && answer.status < 500,
                "{method} {path} as {}: {}",
                role.as_str(),
                answer.text
            );
            allowed += 1;
        }
    }
    println!("{refused} refused, {allowed} allowed");
    assert!(refused > 150 && allowed > 100, "{refused} {allowed}");
}

#[test]
fn server_functions_tell_nothing_of_another_company_and_obey_roles() {
    let Bed { server, tokens, theirs } = bed();
    let form = json!({"name": "X", "host": "x.example", "port": "3128", "scheme": "http", "authentication": "transparent", "username": "",
        "password": "keep", "is_default": false, "bypass": "", "ca_pem": "", "timeout_s": "10", "fallback": ""});
    let mut tried = 0;
    for (path, operation) in gatehouse_app::api::OPERATIONS {
        let arguments = |id: &str| match operation {
            Operation::GetProxy | Operation::MakeDefaultProxy | Operation::DuplicateProxy => json!({"id": id}),
            Operation::CreateProxy => json!({"form": form}),
            Operation::ReplaceProxy => json!({"id": id, "version": 1, "form": form}),
            Operation::DeleteProxy => json!({"id": id, "version": 1}),
            Operation::TestProxy => json!({"id": id, "target": ""}),
            Operation::TestProxyDraft => json!({"id": id, "form": form, "target": ""}),
            other => panic!("the server function {path} ({}) is new: say here what it takes", other.as_str()),
        };
        for role in ROLES {
            let token = &tokens[role.as_str()];
            let ask = |id: &str| call(&server, token, "POST", path, Some(&arguments(id)));
            if !operation.is_for(role) {
                let answer = ask(NOBODYS);
                let refused = answer.text.contains("forbidden") || answer.text.contains("does not allow");
                assert!(refused, "{path} as {}: {} {}", role.as_str(), answer.status, answer.text);
            } else if *operation != Operation::CreateProxy {
                let (other, nobodys) = (ask(&theirs["/api/v1/proxies"]), ask(NOBODYS));
                assert!(!other.text.to_lowercase().contains(MARK), "{path}: {}", other.text);
                assert_eq!(told(&other), told(&nobodys), "{path} as {}", role.as_str());
                assert!(other.text.contains("not_found"), "{path} as {}: {}", role.as_str(), other.text);
            }
            tried += 1;
        }
        let nobody = send(
            "POST",
            &format!("{}{path}", server.url),
            &[("content-type", "application/json")],
            Some(&arguments(NOBODYS).to_string()),
        );
        assert!(nobody.text.contains("unauthorized") || nobody.status == 401, "{path}: {} {}", nobody.status, nobody.text);
    }
    assert!(tried >= 32, "{tried}");
}

/// Every page of the router that has an identifier in its path, and every form that is posted to one.
#[test]
fn pages_and_forms_tell_nothing_of_another_company() {
    let Bed { server, theirs, .. } = bed();
    let credentials = json!({"email": EMAIL, "password": PASSWORD}).to_string();
    let cookie = send("POST", &format!("{}/api/v1/sessions", server.url), &[], Some(&credentials)).cookie();
    let source = include_str!("../../../app/src/app.rs");
    let pages: Vec<_> = source.split("path!(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(pages.len() > 15, "{pages:?}");
    let mut tried = 0;
    for page in pages {
        if !page.contains("/:") || page.contains(":link") || page.contains(":secret") {
            // What a page without an identifier shows is the company's own.
            let answer = send("GET", &format!("{}{page}", server.url), &[("cookie", &cookie)], None);
            assert!(!answer.text.to_lowercase().contains(MARK), "{page}");
            continue;
        }
        let list = match page {
            page if page.starts_with("/company/settings/proxies/") => "/api/v1/proxies",
            page if page.starts_with("/incident-responder/integrations/") => "/api/v1/integrations",
            page if page.starts_with("/incident-responder/analyses/") => "/api/v1/analyses",
            page if page.starts_with("/company/settings/people/") => "/api/v1/people",
            page if page.starts_with("/provider/companies/") => "/api/v1/companies",
            page => panic!("{page} is new: whose identifier does it take?"),
        };
        for fields in
            [None, Some("intent=save"), Some("intent=test"), Some("intent=delete&confirm=yes"), Some("role=auditor&name=x")]
        {
            let ask = |id: &str| {
                let url = format!("{}{}", server.url, page.replace(":id", id));
                let headers = [("cookie", cookie.as_str()), ("content-type", "application/x-www-form-urlencoded")];
                let method = if fields.is_some() { "POST" } else { "GET" };
                send(method, &url, &headers, fields)
            };
            let (other, nobodys) = (ask(&theirs[list]), ask(NOBODYS));
            assert!(!other.text.to_lowercase().contains(MARK), "{page} {fields:?}");
            assert_eq!(other.status, nobodys.status, "{page} {fields:?}");
            assert!(other.status >= 400 || other.status == 303, "{page} {fields:?}: {}", other.status);
            tried += 1;
        }
    }
    assert!(tried >= 20, "{tried}");
}
