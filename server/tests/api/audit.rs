//! The audit log: every change of the API is in it, none holds a secret, and what was changed or removed in it is found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::Path,
    process::Output,
    thread,
};

use base64::{Engine as _, engine::general_purpose};
use gatehouse_domain::Operation;
use gatehouse_store::{Store, StoreConfig};
use serde_json::{Value, json};

use crate::{
    access::contains,
    account::code,
    harness::{Answer, EMAIL, PASSWORD, Server, Start, program, run, send},
};

/// Everything that is in a log, the oldest first.
fn all(text: &str) -> Vec<Value> {
    let mut entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    entries.reverse();
    entries
}

/// Who calls, and how.
#[derive(Clone)]
enum By {
    /// With the administrator's API token.
    Token,
    /// With a session of the administrator.
    Session,
    /// With the provider's API token.
    Provider,
    /// Without either.
    Nobody,
}

/// What is called, and what for: the secrets that it sends or answers are to be found nowhere.
struct World {
    server: Server,
    provider: String,
    session: String,
    /// Identifiers and secrets that later calls need.
    known: BTreeMap<&'static str, String>,
    /// What may be in no log.
    secrets: Vec<String>,
    /// What may be, besides, in no file in clear.
    sealed: Vec<String>,
}

impl World {
    fn call(&self, by: &By, method: &str, path: &str, body: &Value) -> Answer {
        let token = |token: &str| ("authorization", format!("Bearer {token}"));
        let who = match by {
            By::Token => Some(token(&self.server.token)),
            By::Provider => Some(token(&self.provider)),
            By::Session => Some(("cookie", self.session.clone())),
            By::Nobody => None,
        };
        let headers: Vec<_> = who.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = (!body.is_null()).then(|| body.to_string());
        send(method, &format!("{}{path}", self.server.url), &headers, body.as_deref())
    }

    /// The newest entry of the company that is meant.
    fn newest(&self, by: &By) -> Value {
        let by = if matches!(by, By::Provider) { By::Provider } else { By::Token };
        self.call(&by, "GET", "/api/v1/audit?limit=1", &Value::Null).expect(200)["items"][0].clone()
    }

    /// The one before it.
    fn newest_but_one(&self) -> Value {
        let page = self.call(&By::Token, "GET", "/api/v1/audit?limit=2", &Value::Null).expect(200);
        assert_eq!(page["items"][0]["operation"], "signIn", "{page}");
        page["items"][1].clone()
    }

    fn id(&self, of: &str) -> &str {
        self.known.get(of).unwrap_or_else(|| panic!("{of} is not known yet"))
    }

    /// A secret to send. The characters are such that base64 and percent-encoding change them.
    fn secret(&mut self, of: &str) -> String {
        let secret = format!("Zq8?{of}>s3cr3t/{}", self.secrets.len());
        self.hide(&secret);
        secret
    }

    fn hide(&mut self, secret: &str) {
        self.secrets.push(secret.to_string());
        self.sealed.push(secret.to_string());
    }

    fn keep(&mut self, name: &'static str, answer: &Value, field: &str) {
        self.known.insert(name, answer[field].as_str().unwrap_or_else(|| panic!("{field}: {answer}")).to_string());
    }
}

/// One call of the table.
struct Call {
    operation: &'static str,
    by: By,
    method: &'static str,
    path: String,
    body: Value,
    /// What is to be remembered of the answer.
    then: fn(&mut World, &Answer),
}

fn call(operation: &'static str, by: By, method: &'static str, path: impl Into<String>, body: Value) -> Call {
    Call { operation, by, method, path: path.into(), body, then: |_, _| {} }
}

impl Call {
    fn then(mut self, then: fn(&mut World, &Answer)) -> Self {
        self.then = then;
        self
    }
}

/// A call is made of what the calls before it have led to.
type Step = fn(&mut World) -> Call;

/// Every operation of the API that is not a GET, in an order in which each succeeds.
const STEPS: &[Step] = &[
    |w| {
        let password = w.secret("proxy");
        let body = json!({"name": "Corp-EU", "host": "proxy.invalid", "port": 3128, "authentication": "basic", "username": "jo", "password": password});
        call("createProxy", By::Token, "POST", "/api/v1/proxies", body).then(|w, a| w.keep("proxy", &a.body, "id"))
    },
    |w| {
        let password = w.secret("replaced");
        let body = json!({"name": "Corp-EU", "host": "proxy.invalid", "port": 3129, "authentication": "basic", "username": "jo", "password": password});
        call("replaceProxy", By::Token, "PUT", format!("/api/v1/proxies/{}", w.id("proxy")), body)
    },
    |w| call("testProxy", By::Token, "POST", format!("/api/v1/proxies/{}/test", w.id("proxy")), json!({})),
    |w| {
        let password = w.secret("draft");
        let proxy =
            json!({"host": "other.invalid", "port": 1, "authentication": "basic", "username": "jo", "password": password});
        call("testProxyDraft", By::Session, "POST", "/api/v1/proxies/test", json!({"proxy": proxy}))
    },
    |w| {
        let path = format!("/api/v1/proxies/{}/duplicate", w.id("proxy"));
        call("duplicateProxy", By::Token, "POST", path, json!({})).then(|w, a| w.keep("copy", &a.body, "id"))
    },
    |w| call("makeDefaultProxy", By::Token, "POST", format!("/api/v1/proxies/{}/default", w.id("copy")), json!({})),
    |w| call("deleteProxy", By::Session, "DELETE", format!("/api/v1/proxies/{}", w.id("proxy")), Value::Null),
    |w| {
        let key = w.secret("key");
        let body = json!({"name": "VirusTotal", "type": "virustotal", "api_key": key, "proxy": {"choice": "none"}});
        call("createIntegration", By::Token, "POST", "/api/v1/integrations", body)
            .then(|w, a| w.keep("integration", &a.body, "id"))
    },
    |w| {
        let (key, password) = (w.secret("xforce-key"), w.secret("xforce-password"));
        let body =
            json!({"name": "X-Force", "type": "xforce", "api_key": key, "api_password": password, "proxy": {"choice": "none"}});
        call("createIntegration", By::Token, "POST", "/api/v1/integrations", body)
    },
    |w| {
        let key = w.secret("other-key");
        let body = json!({"name": "VirusTotal EU", "type": "virustotal", "api_key": key, "proxy": {"choice": "default"}});
        call("replaceIntegration", By::Token, "PUT", format!("/api/v1/integrations/{}", w.id("integration")), body)
    },
    |w| call("testIntegration", By::Token, "POST", format!("/api/v1/integrations/{}/test", w.id("integration")), json!({})),
    |w| {
        let key = w.secret("draft-key");
        let body = json!({"name": "Draft", "type": "virustotal", "api_key": key, "proxy": {"choice": "default"}});
        call("testIntegrationDraft", By::Token, "POST", "/api/v1/integrations/test", body)
    },
    |w| {
        let path = format!("/api/v1/integrations/{}/duplicate", w.id("integration"));
        call("duplicateIntegration", By::Token, "POST", path, json!({}))
    },
    |w| call("deleteIntegration", By::Token, "DELETE", format!("/api/v1/integrations/{}", w.id("integration")), Value::Null),
    |_| {
        // What was analysed is told, as it is in the list of analyses.
        let body = json!({"url": "https://portal.example/reported"});
        call("startAnalysis", By::Token, "POST", "/api/v1/analyses", body)
    },
    |w| {
        // Who knows a webhook's path may send to it. It is shown to those who may change it, so it is not sealed.
        let path = "services/Zq8T0000/s3cr3t-of-the-webhook";
        w.secrets.push(path.to_string());
        let body = json!({"every_minutes": 0, "webhook_url": format!("https://hooks.example/{path}"), "webhook_proxy": {"choice": "none"}});
        call("setChecks", By::Token, "PUT", "/api/v1/checks", body)
    },
    |w| {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$b3JpZ2luYWxseS1yYW5kb20$w0pBHVGIZv1lQlvTUn7bPBcqZhkQUVvSn2hoDT4RGZc";
        w.secrets.push(hash.to_string());
        w.secrets.push("w0pBHVGIZv1lQlvTUn7bPBcqZhkQUVvSn2hoDT4RGZc".to_string());
        let text = format!("[[person]]\nname = 'ann'\npassword = '{hash}'\n\n[[rule]]\nname = 'all'\naction = 'allow'\n");
        w.known.insert("policy", text.clone());
        call("replaceGatewayPolicy", By::Token, "PUT", "/api/v1/gateway/policy", json!({"text": text}))
    },
    |w| call("checkGatewayPolicy", By::Token, "POST", "/api/v1/gateway/policy/check", json!({"text": w.id("policy")})),
    |w| {
        let body = json!({"url": "https://x.example/", "client": "10.0.0.7", "text": w.id("policy")});
        call("explainGatewayPolicy", By::Token, "POST", "/api/v1/gateway/explain", body)
    },
    |w| {
        let body = json!({"name": "bob", "password": w.secret("bob"), "groups": ["staff"]});
        call("createGatewayPerson", By::Token, "POST", "/api/v1/gateway/people", body).then(|w, a| w.keep("bob", &a.body, "id"))
    },
    |w| {
        let body = json!({"name": "bob", "password": w.secret("bob-again"), "groups": ["staff", "it"]});
        call("replaceGatewayPerson", By::Token, "PUT", format!("/api/v1/gateway/people/{}", w.id("bob")), body)
    },
    |w| call("deleteGatewayPerson", By::Token, "DELETE", format!("/api/v1/gateway/people/{}", w.id("bob")), Value::Null),
    |_| {
        call("createToken", By::Session, "POST", "/api/v1/tokens", json!({"name": "nightly"})).then(|w, a| {
            w.keep("token", &a.body, "id");
            w.hide(a.body["token"].as_str().expect("a token"));
        })
    },
    |w| call("deleteToken", By::Session, "DELETE", format!("/api/v1/tokens/{}", w.id("token")), Value::Null),
    |_| {
        let body = json!({"email": EMAIL, "password": PASSWORD});
        call("signIn", By::Nobody, "POST", "/api/v1/sessions", body).then(|w, a| {
            w.known.insert("cookie", a.cookie());
            w.hide(a.cookie().split('=').nth(1).expect("a secret"));
        })
    },
    |w| {
        // The session of above, as its owner sees it.
        w.session = w.id("cookie").to_string();
        call("endOtherSessions", By::Session, "DELETE", "/api/v1/account/sessions", Value::Null)
    },
    |w| {
        let body = json!({"email": EMAIL, "password": PASSWORD});
        let other = w.call(&By::Nobody, "POST", "/api/v1/sessions", &body);
        w.hide(other.cookie().split('=').nth(1).expect("a secret"));
        let list = w.call(&By::Session, "GET", "/api/v1/account/sessions", &Value::Null).expect(200);
        let id = list["items"].as_array().expect("a list").iter().find(|item| item["is_current"] == false).cloned();
        let path = format!("/api/v1/account/sessions/{}", id.expect("the other")["id"].as_str().expect("an id"));
        call("endSession", By::Session, "DELETE", path, Value::Null)
    },
    |w| {
        let new = w.secret("own-password");
        w.known.insert("password", new.clone());
        let body = json!({"current_password": PASSWORD, "new_password": new});
        call("changePassword", By::Session, "PUT", "/api/v1/account/password", body)
    },
    |w| {
        let body = json!({"password": w.id("password")});
        call("beginSecondFactor", By::Session, "POST", "/api/v1/account/second-factor", body).then(|w, a| {
            w.keep("totp", &a.body, "secret");
            w.hide(a.body["secret"].as_str().expect("a secret"));
        })
    },
    |w| {
        let code = code(w.id("totp"), 0);
        w.secrets.push(code.clone());
        call("confirmSecondFactor", By::Session, "PUT", "/api/v1/account/second-factor", json!({"code": code})).then(|w, a| {
            for code in a.body["recovery_codes"].as_array().expect("codes").clone() {
                let code = code.as_str().expect("a code");
                w.hide(code);
                w.hide(&code.replace('-', ""));
            }
        })
    },
    |w| {
        let code = code(w.id("totp"), 1);
        w.secrets.push(code.clone());
        let body = json!({"email": EMAIL, "password": w.id("password"), "code": code});
        call("signIn", By::Nobody, "POST", "/api/v1/sessions", body).then(|w, a| {
            w.known.insert("cookie", a.cookie());
            w.hide(a.cookie().split('=').nth(1).expect("a secret"));
        })
    },
    |w| {
        let body = json!({"password": w.id("password")});
        call("removeSecondFactor", By::Session, "DELETE", "/api/v1/account/second-factor", body)
    },
    |w| {
        // Whoever signs out has a session, and stands in the log with it.
        w.session = w.id("cookie").to_string();
        call("signOut", By::Nobody, "DELETE", "/api/v1/sessions", Value::Null)
    },
    |_| {
        let body = json!({"email": "guest@example.com", "role": "auditor"});
        call("createInvitation", By::Token, "POST", "/api/v1/invitations", body).then(|w, a| {
            let secret = a.body["link"].as_str().expect("a link").rsplit('/').next().expect("a secret").to_string();
            w.hide(&secret);
            w.known.insert("link", secret);
        })
    },
    |w| {
        let body = json!({"secret": w.id("link"), "name": "Guest", "password": w.secret("guest")});
        call("acceptInvitation", By::Nobody, "POST", "/api/v1/invitations/accept", body).then(|w, a| {
            w.hide(a.cookie().split('=').nth(1).expect("a secret"));
            let people = w.call(&By::Token, "GET", "/api/v1/people", &Value::Null).expect(200);
            let guest = people["items"].as_array().expect("a list").iter().find(|person| person["name"] == "Guest").cloned();
            w.keep("guest", &guest.expect("the guest"), "id");
        })
    },
    |w| {
        let body = json!({"name": "Guest of honour", "role": "administrator"});
        call("replacePerson", By::Token, "PUT", format!("/api/v1/people/{}", w.id("guest")), body)
    },
    |w| call("deletePerson", By::Token, "DELETE", format!("/api/v1/people/{}", w.id("guest")), Value::Null),
    |w| {
        let body = json!({"email": "late@example.com", "role": "auditor"});
        let made = w.call(&By::Token, "POST", "/api/v1/invitations", &body).expect(201);
        w.hide(made["link"].as_str().expect("a link").rsplit('/').next().expect("a secret"));
        let path = format!("/api/v1/invitations/{}", made["id"].as_str().expect("an id"));
        call("deleteInvitation", By::Token, "DELETE", path, Value::Null)
    },
    |_| {
        let made = call("createCompany", By::Provider, "POST", "/api/v1/companies", json!({"name": "Third"}));
        made.then(|w, a| w.keep("company", &a.body, "id"))
    },
    |w| {
        let path = format!("/api/v1/companies/{}/invitations", w.id("company"));
        call("inviteFirstAdministrator", By::Provider, "POST", path, json!({"email": "first@third.example"})).then(|w, a| {
            let secret = a.body["link"].as_str().expect("a link").rsplit('/').next().expect("a secret").to_string();
            w.hide(&secret);
            w.known.insert("third", secret);
        })
    },
    |w| call("suspendCompany", By::Provider, "POST", format!("/api/v1/companies/{}/suspend", w.id("company")), Value::Null),
    |w| call("resumeCompany", By::Provider, "POST", format!("/api/v1/companies/{}/resume", w.id("company")), Value::Null),
    |w| call("deleteCompany", By::Provider, "DELETE", format!("/api/v1/companies/{}", w.id("company")), Value::Null),
];

/// Every operation of the running server's document that is not a GET.
fn operations(server: &Server) -> BTreeSet<String> {
    let document = server.get("/api/v1/openapi.json").expect(200);
    let paths = document["paths"].as_object().expect("paths").values();
    let calls = paths.flat_map(|path| path.as_object().expect("methods").iter());
    calls
        .filter(|(method, _)| ["post", "put", "delete", "patch"].contains(&method.as_str()))
        .map(|(_, call)| call["operationId"].as_str().expect("an operationId").to_string())
        .collect()
}

/// As something may be written down: plainly, escaped in JSON, percent-encoded, in base64 wherever in a text it begins, in hexadecimal.
fn spellings(secret: &str) -> BTreeSet<String> {
    let escaped = json!(secret).to_string();
    let percent = |plain: fn(u8) -> bool| {
        secret.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect::<String>()
    };
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut all = BTreeSet::from([
        secret.to_string(),
        escaped[1..escaped.len() - 1].to_string(),
        percent(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)),
        percent(|byte| byte.is_ascii_alphanumeric() || b"-._~/?".contains(&byte)),
        hex,
    ]);
    for offset in 0..3_usize {
        let text = [vec![b'.'; offset], secret.as_bytes().to_vec()].concat();
        for engine in [&general_purpose::STANDARD_NO_PAD, &general_purpose::URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&text);
            // Without what also holds bits of what stands before and after it.
            let (begin, end) = (if offset == 0 { 0 } else { offset + 1 }, encoded.len() - 1);
            all.insert(encoded[begin..end].to_string());
        }
    }
    all
}

/// The uncompressed part of a backup.
fn unpacked(backup: &Path) -> Vec<u8> {
    let bytes = fs::read(backup).expect("readable");
    let begin = bytes.windows(4).position(|window| window == [0x28, 0xb5, 0x2f, 0xfd]).expect("where the compressed part begins");
    let mut plain = Vec::new();
    let mut decoder = zstd::Decoder::new(&bytes[begin..]).expect("a decoder").single_frame();
    decoder.read_to_end(&mut plain).expect("whole");
    plain
}

#[test]
fn every_change_of_the_api_is_in_the_log_and_no_secret_is() {
    let server = Start::new()
        .env("GATEHOUSE_EDITION", "cloud")
        .env("GATEHOUSE_SECRET_KEY_FILE", "key")
        .env("GATEHOUSE_LOG", "debug")
        .start_with_key();
    let create =
        ["create", "--email", "provider@example.com", "--password-stdin", "--company", "The provider", "--role", "provider"];
    assert!(server.admin_output(&create, "a long password of theirs\n").status.success());
    let provider = server.admin(&["token", "--email", "provider@example.com"]).trim().to_string();
    let token = server.token.clone();
    let body = json!({"email": EMAIL, "password": PASSWORD}).to_string();
    let session = send("POST", &format!("{}/api/v1/sessions", server.url), &[], Some(&body)).cookie();
    let mut w =
        World { server, session, known: BTreeMap::new(), secrets: Vec::new(), sealed: Vec::new(), provider: provider.clone() };
    for secret in [PASSWORD, "a long password of theirs", &token, &provider] {
        w.hide(secret);
    }

    let mut called = BTreeSet::new();
    for step in STEPS {
        let call = step(&mut w);
        let operation = Operation::find(call.operation).unwrap_or_else(|| panic!("{} is no operation", call.operation));
        let before = w.newest(&call.by);
        let answer = if call.operation == "signOut" {
            w.call(&By::Session, call.method, &call.path, &call.body)
        } else {
            w.call(&call.by, call.method, &call.path, &call.body)
        };
        assert!((200..300).contains(&answer.status), "{}: {} {}", call.operation, answer.status, answer.text);
        (call.then)(&mut w, &answer);
        // Whoever accepts an invitation is signed in by it, which is an entry of its own after the first.
        let accepts = call.operation == "acceptInvitation";
        let entry = if accepts { w.newest_but_one() } else { w.newest(&call.by) };
        called.insert(call.operation.to_string());
        if !operation.is_change() {
            assert_eq!(entry, before, "{} changes nothing", call.operation);
            continue;
        }
        assert_eq!(entry["number"].as_u64(), before["number"].as_u64().map(|number| number + 1), "{}: {entry}", call.operation);
        let (email, via) = match call.by {
            By::Token => (EMAIL, "token"),
            By::Session => (EMAIL, "session"),
            By::Provider => ("provider@example.com", "token"),
            By::Nobody if accepts => ("guest@example.com", "nobody"),
            By::Nobody => (EMAIL, "nobody"),
        };
        assert_eq!(
            [&entry["operation"], &entry["who"]["email"], &entry["via"], &entry["address"]],
            [&json!(call.operation), &json!(email), &json!(via), &json!("127.0.0.1")],
            "{entry}"
        );
    }
    assert_eq!(operations(&w.server), called, "each operation of the document stands in the table above, and no other");

    // The provider's acts stand in its own log and in the company's, which its people read.
    let mine = all(&w.call(&By::Provider, "GET", "/api/v1/audit.jsonl", &Value::Null).text);
    w.call(&By::Provider, "POST", &format!("/api/v1/companies/{}/resume", w.id("company")), &Value::Null).expect(200);
    let accept = json!({"secret": w.id("third"), "name": "First", "password": w.secret("first")});
    let accepted = w.call(&By::Nobody, "POST", "/api/v1/invitations/accept", &accept);
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    let own = send("GET", &format!("{}/api/v1/audit.jsonl", w.server.url), &[("cookie", &accepted.cookie())], None).text;
    let theirs = all(&own);
    for operation in ["createCompany", "inviteFirstAdministrator", "suspendCompany", "resumeCompany", "deleteCompany"] {
        let of = |log: &[Value]| {
            // Its own company was made too, by the command line.
            let is_it = |entry: &&Value| entry["operation"] == operation && entry["target"]["name"] != "The provider";
            let entry = log.iter().find(is_it).unwrap_or_else(|| panic!("{operation} is missing"));
            [entry["who"].clone(), entry["target"].clone(), entry["before"].clone(), entry["after"].clone()]
        };
        assert_eq!(of(&mine), of(&theirs), "{operation}");
    }

    // All of it, wherever it is written down.
    let exported = w.call(&By::Token, "GET", "/api/v1/audit.jsonl", &Value::Null);
    assert_eq!(exported.header("content-type"), "application/jsonl");
    let entries = all(&exported.text);
    let numbers: Vec<_> = entries.iter().filter_map(|entry| entry["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>());
    let provided = w.call(&By::Provider, "GET", "/api/v1/audit.jsonl", &Value::Null).text;
    let console = send(
        "GET",
        &format!("{}/company/settings/audit?limit=200", w.server.url),
        &[("authorization", &format!("Bearer {token}"))],
        None,
    );
    assert_eq!(console.status, 200);
    let told: String = [entries, all(&provided), theirs].concat().into_iter().map(without_numbers).collect();
    assert!(
        told.contains("Corp-EU") && told.contains("hooks.example") && console.text.contains("Corp-EU"),
        "what is no secret is told"
    );
    let printed = w.server.printed();
    for secret in &w.secrets {
        for spelling in spellings(secret) {
            assert!(!told.contains(&spelling), "{secret} is in the audit log as {spelling}");
            if secret.len() > 6 {
                assert!(!printed.contains(&spelling), "{secret} was printed as {spelling}");
                assert!(!console.text.contains(&spelling), "{secret} is on the page as {spelling}");
            }
        }
    }
    let file = w.server.folder.path().join("all.backup");
    let made = run(program(w.server.folder.path(), &CLOUD.map(|(k, v)| (k.into(), v.into()))).arg("backup").arg(&file), "");
    assert!(made.status.success(), "{}", said(&made));
    let backup = unpacked(&file);
    assert!(contains(&backup, b"Corp-EU") && contains(&backup, b"changePassword"), "it was unpacked");
    let stored = w.server.stored_bytes();
    for secret in &w.sealed {
        for spelling in spellings(secret) {
            assert!(!contains(&backup, spelling.as_bytes()), "{secret} is in the backup as {spelling}");
            assert!(!contains(&stored, spelling.as_bytes()), "{secret} is in a file as {spelling}");
        }
    }
    let verified = verify_with(w.server.folder.path(), &CLOUD);
    assert!(verified.status.success() && said(&verified).matches(": whole, ").count() >= 3, "{}", said(&verified));
}

const CLOUD: [(&str, &str); 2] = [("GATEHOUSE_EDITION", "cloud"), ("GATEHOUSE_SECRET_KEY_FILE", "key")];

/// Six digits stand in a hash or a moment by chance.
fn without_numbers(mut entry: Value) -> String {
    if let Value::Object(fields) = &mut entry {
        fields.remove("hash");
        fields.remove("at");
    }
    entry.to_string()
}

#[test]
fn what_was_changed_is_told_field_by_field() {
    let server = Start::new().start();
    let made = server
        .post("/api/v1/proxies", &json!({"name": "Corp", "host": "a.example", "port": 3128, "bypass": ["x.example"]}))
        .expect(201);
    let path = format!("/api/v1/proxies/{}", made["id"].as_str().expect("an id"));
    let newest = || server.get("/api/v1/audit?limit=1").expect(200)["items"][0].clone();
    assert_eq!((&newest()["before"], &newest()["after"]["host"]), (&Value::Null, &json!("a.example")));
    let changed = json!({"name": "Corp-EU", "host": "a.example", "port": 3129, "bypass": ["x.example"]});
    server.put(&path, &changed).expect(200);
    let entry = newest();
    assert_eq!(entry["before"], json!({"name": "Corp", "port": 3128}));
    assert_eq!(entry["after"], json!({"name": "Corp-EU", "port": 3129}));
    assert_eq!(entry["target"], json!({"kind": "proxy", "id": made["id"], "name": "Corp-EU"}));
    assert_eq!(server.delete(&path).status, 204);
    let entry = newest();
    assert_eq!((&entry["before"]["port"], &entry["after"]), (&json!(3129), &Value::Null));

    // The page tells the same, and finds it.
    let page = |search: &str| {
        let authorization = format!("Bearer {}", server.token);
        send("GET", &format!("{}/company/settings/audit{search}", server.url), &[("authorization", &authorization)], None).text
    };
    let text = page("?operation=replaceProxy");
    for part in ["Change a proxy setting", "Corp-EU", "admin@example.com", "API token", "127.0.0.1", "3128", "3129", "Port"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!text.contains("Entry <!>1<") && text.contains("/api/v1/audit.jsonl?operation=replaceProxy"));
    assert!(page("?q=nothing-like-that").contains("No matches"));
    assert!(page("?from=2001-01-01T00:00&to=2001-01-02T00:00").contains("No matches"));
    assert!(page("?operation=nothing&limit=2").contains("was not understood") && page("?limit=2").contains("Next"));
    assert!(page("?q=command+line").contains("Command line"), "what the command line did");
    let other = server.as_another("eye@example.com", &["--role", "auditor"]);
    assert_eq!(
        other("GET", "/api/v1/audit?who=ADMIN@example.com&operation=deleteProxy", "").expect(200)["items"][0]["number"],
        entry["number"]
    );
}

#[test]
fn fifty_changes_at_once_are_fifty_entries_of_one_chain() {
    let mut server = Start::new().start();
    let tokens: Vec<String> = (0..5)
        .map(|number| server.admin(&["token", "--email", EMAIL, "--name", &format!("t{number}")]).trim().to_string())
        .collect();
    let before = server.get("/api/v1/audit?limit=1").expect(200)["items"][0]["number"].as_u64().expect("a number");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..50)
            .map(|turn| {
                let (url, authorization) = (format!("{}/api/v1/proxies", server.url), format!("Bearer {}", tokens[turn % 5]));
                let body = json!({"name": format!("Proxy {turn}"), "host": "p.example", "port": 3128}).to_string();
                scope.spawn(move || send("POST", &url, &[("authorization", &authorization)], Some(&body)).status)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    let entries = all(&server.get("/api/v1/audit.jsonl?operation=createProxy").text);
    let numbers: Vec<_> = entries.iter().filter_map(|entry| entry["number"].as_u64()).collect();
    assert_eq!(numbers, (before + 1..=before + 50).collect::<Vec<_>>());
    let names: BTreeSet<_> = entries.iter().map(|entry| entry["target"]["name"].to_string()).collect();
    assert_eq!(names.len(), 50);
    let beside = verify(server.folder.path());
    assert!(beside.status.success() && said(&beside).contains(&format!("whole, {} entries", before + 50)), "{}", said(&beside));
    server.stop();
    let alone = verify(server.folder.path());
    assert_eq!((alone.status.success(), said(&alone)), (true, said(&beside)));
}

#[test]
fn a_log_is_exported_on_the_command_line_the_installations_own_too() {
    let mut server = Start::new().env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key").start_with_key();
    let ok = |server: &Server, args: &[&str]| {
        let output = server.command(args, &[]);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    ok(&server, &["company", "create", "Acme"]);
    ok(&server, &["company", "suspend", "Acme"]);
    // More than fits into one piece.
    for number in 0..205 {
        server.proxy(&format!("Proxy {number}"));
    }
    let own = ok(&server, &["audit", "export"]);
    let entries = all(&own);
    let told: Vec<_> = entries.iter().map(|entry| (entry["number"].as_u64(), entry["operation"].as_str())).collect();
    assert_eq!(told, [(Some(1), Some("createCompany")), (Some(2), Some("suspendCompany"))]);
    assert!(entries.iter().all(|entry| entry["via"] == "command_line" && entry["target"]["name"] == "Acme"), "{own}");
    let last =
        format!("The installation: whole, 2 entries, the last one's hash is {}", entries[1]["hash"].as_str().expect("a hash"));
    assert!(ok(&server, &["audit", "verify"]).contains(&last), "{last}");
    // A company's is what its people get.
    let theirs = ok(&server, &["audit", "export", "--company", "my COMPANY"]);
    assert!(theirs.lines().count() > 205 && theirs == server.get("/api/v1/audit.jsonl").text, "{theirs}");
    let nobodys = server.command(&["audit", "export", "--company", "Nobody"], &[]);
    assert!(!nobodys.status.success() && said(&nobodys).contains("There is no company of this name."), "{}", said(&nobodys));
    server.stop();
    assert_eq!(ok(&server, &["audit", "export"]), own, "without a server");
    assert_eq!(ok(&server, &["audit", "export", "--company", "My company"]), theirs);
}

fn verify(folder: &Path) -> Output {
    verify_with(folder, &[])
}

fn verify_with(folder: &Path, env: &[(&str, &str)]) -> Output {
    let env: Vec<_> = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    run(program(folder, &env).args(["audit", "verify"]), "")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            copy(&from, &to);
        } else if kind.is_file() {
            fs::copy(from, to).expect("copied");
        }
    }
}

/// Does this to the database of a folder, as somebody who has the files.
fn tamper(folder: &Path, statements: &[String]) {
    let database = StoreConfig::new(format!("surrealkv://{}", folder.join("data/gatehouse.db").display()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(&database).await.expect("open");
        for statement in statements {
            store.raw(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        store.close().await;
    });
}

#[test]
fn what_was_changed_or_removed_in_the_log_is_found() {
    let mut server = Start::new().start();
    for name in ["One", "Two", "Three", "Four", "Five"] {
        server.proxy(name);
    }
    let entries = all(&server.get("/api/v1/audit.jsonl").text);
    let last = entries.len();
    assert!(last >= 7, "{entries:?}");
    let company = server.get("/api/v1/sessions").expect(200)["company"].as_str().expect("a name").to_string();
    server.stop();
    let untouched = verify(server.folder.path());
    assert!(
        untouched.status.success() && said(&untouched).contains(&format!("{company}: whole, {last} entries")),
        "{}",
        said(&untouched)
    );
    let hash = |number: usize| entries[number - 1]["hash"].as_str().expect("a hash").to_string();

    let open = ["REMOVE EVENT audit_is_append_only ON audit", "DEFINE FIELD OVERWRITE entry ON audit TYPE string"];
    // Of the one company there is: the installation's own log is empty.
    let one = |number: usize| format!("record::id(id)[1] = {number}");
    let head =
        |number: usize| format!("UPDATE audit_head SET number = {number}, hash = '{}' WHERE number = {last}", hash(number));
    let changed = |number: usize| {
        format!("UPDATE audit SET entry = string::replace(entry, 'admin@example.com', 'other@example.com') WHERE {}", one(number))
    };
    let removed = |number: usize| format!("DELETE audit WHERE {}", one(number));
    let swapped = format!(
        "{{ LET $a = (SELECT VALUE entry FROM ONLY audit WHERE {a} LIMIT 1); LET $b = (SELECT VALUE entry FROM ONLY audit WHERE {b} LIMIT 1); \
         UPDATE audit SET entry = $b WHERE {a}; UPDATE audit SET entry = $a WHERE {b}; }}",
        a = one(4),
        b = one(5)
    );
    let cases = [
        ("changed", vec![changed(4)], Some("entry 4 is not what was written")),
        ("the first changed", vec![changed(1)], Some("entry 1 is not what was written")),
        ("the last changed", vec![changed(last)], Some("is not what was written")),
        ("removed", vec![removed(3)], Some("entry 3 is missing")),
        ("swapped", vec![swapped], Some("entry 4 is not what was written")),
        ("the last removed", vec![removed(last)], Some("the log ends at entry")),
        ("all removed", vec!["DELETE audit".to_string(), "DELETE audit_head".to_string()], None),
        ("the last removed, and the head", vec![removed(last), head(last - 1)], None),
    ];
    for (name, statements, problem) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        copy(server.folder.path(), folder.path());
        let mut all: Vec<String> = open.iter().map(ToString::to_string).collect();
        all.extend(statements);
        tamper(folder.path(), &all);
        let output = verify(folder.path());
        match problem {
            Some(problem) => {
                let words = said(&output).contains(&format!("{company}: NOT WHOLE: ")) && said(&output).contains(problem);
                assert!(!output.status.success() && words, "{name}: {}", said(&output));
            }
            // Nothing that follows speaks of it: who noted what was printed before sees it all the same.
            None => {
                assert!(output.status.success() && said(&output) != said(&untouched), "{name}: {}", said(&output));
                assert!(
                    said(&untouched).contains(&hash(last)) && !said(&output).contains(&hash(last)),
                    "{name}: {}",
                    said(&output)
                );
            }
        }
    }

    // A server that runs beside it finds the same.
    let folder = std::sync::Arc::new(tempfile::tempdir().expect("a folder"));
    copy(server.folder.path(), folder.path());
    tamper(folder.path(), &[open[0].to_string(), open[1].to_string(), changed(4)]);
    let running = Start::in_folder(folder).start();
    let beside = verify(running.folder.path());
    assert!(!beside.status.success() && said(&beside).contains("entry 4 is not what was written"), "{}", said(&beside));
}
