//! The program as Lambda starts it: an archive's folder with `bootstrap` and the site, called through a local Runtime API, with a real
//! database server.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    gateway_database::{Surreal, free_port},
    harness::{EMAIL, PASSWORD, run},
    lambda_runtime::{Calls, DOMAIN, Outcome, Part, header, request, scheduled},
    parts::Service,
};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// All bytes there are, more than once.
fn binary() -> Vec<u8> {
    (0..5000_u32).map(|number| (number % 256) as u8).collect()
}

/// A process, and the Lambda around it.
struct Function {
    calls: Calls,
    child: Child,
    printed: Arc<Mutex<String>>,
    env: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Function {
    fn start(database: &str, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let task = folder.path().join("task");
        let pkg = task.join("site/pkg");
        std::fs::create_dir_all(&pkg).expect("made");
        std::fs::write(pkg.join("gatehouse.wasm"), binary()).expect("written");
        std::fs::write(pkg.join("gatehouse.wasm.br"), b"\x00\xff\x1b as brotli").expect("written");
        let bootstrap = task.join("bootstrap");
        let program = env!("CARGO_BIN_EXE_gatehouse");
        if std::fs::hard_link(program, &bootstrap).is_err() {
            std::fs::copy(program, &bootstrap).expect("copied");
        }
        let calls = Calls::start();
        let mut env: Vec<(String, String)> = [
            ("GATEHOUSE_DATABASE", database),
            ("GATEHOUSE_DATABASE_USER", "root"),
            ("GATEHOUSE_DATABASE_PASSWORD", "root"),
            ("GATEHOUSE_SECRET_KEY", KEY),
            ("GATEHOUSE_ADMIN_EMAIL", EMAIL),
            ("GATEHOUSE_ADMIN_PASSWORD", PASSWORD),
        ]
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .to_vec();
        for (key, value) in more {
            env.retain(|(known, _)| known != key);
            env.push(((*key).to_string(), (*value).to_string()));
        }
        let mut child = clean(&bootstrap, &task, &env)
            .env("AWS_LAMBDA_RUNTIME_API", &calls.address)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let printed: Arc<Mutex<String>> = Arc::default();
        let mut stream = child.stderr.take().expect("piped");
        std::thread::spawn({
            let printed = printed.clone();
            move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    printed.lock().expect("not poisoned").push_str(&String::from_utf8_lossy(&bytes[..count]));
                }
            }
        });
        Self { calls, child, printed, env, folder }
    }

    fn admin(&self, args: &[&str]) -> String {
        let mut command = clean(Path::new(env!("CARGO_BIN_EXE_gatehouse")), self.folder.path(), &self.env);
        let output = run(command.stdout(Stdio::piped()).stderr(Stdio::piped()).arg("admin").args(args), "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    /// A call of the API as whoever has this token.
    #[track_caller]
    fn api(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Outcome {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = body.map(|body| body.to_string().into_bytes());
        self.calls.call(&request(method, path, &headers, &[], body.as_deref()))
    }

    /// Signs in with the form, from this address; `None` stands for where requests come from otherwise.
    #[track_caller]
    fn sign_in(&self, email: &str, password: &str, from: Option<&str>, headers: &[(&str, &str)]) -> Outcome {
        let form = format!("email={}&password={}", email.replace('@', "%40"), password.replace(' ', "+"));
        let headers = [headers, &[("content-type", "application/x-www-form-urlencoded")]].concat();
        let mut event = request("POST", "/sign-in", &headers, &[], Some(form.as_bytes()));
        if let Some(from) = from {
            event["requestContext"]["http"]["sourceIp"] = from.into();
        }
        self.calls.call(&event)
    }

    fn printed(&self) -> String {
        self.printed.lock().expect("not poisoned").clone()
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("asked").is_none()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn clean(program: &Path, folder: &Path, env: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var("PATH").unwrap_or_default()).current_dir(folder);
    command.envs(env.iter().map(|(key, value)| (key, value)));
    command
}

fn database() -> Option<(tempfile::TempDir, Surreal)> {
    let folder = tempfile::tempdir().expect("a folder");
    let surreal = Surreal::start(free_port(), &folder.path().join("db"))?;
    Some((folder, surreal))
}

fn at(surreal: &Surreal) -> String {
    format!("ws://127.0.0.1:{}", surreal.port)
}

#[test]
fn pages_files_functions_and_the_api_answer_on_one_process() {
    let Some((_folder, surreal)) = database() else { return };
    let mut function = Function::start(&at(&surreal), &[]);
    let origin = format!("https://{DOMAIN}");

    let page = function.calls.call(&request("GET", "/sign-in", &[("accept", "text/html")], &[], None));
    assert_eq!((page.kind, page.status), ("response", 200), "{}", function.printed());
    assert!(page.text().contains("</html>") && page.header("content-type").starts_with("text/html"), "{}", page.text());
    assert_eq!(page.header("strict-transport-security"), "max-age=31536000");
    assert!(page.header("content-security-policy").contains("nonce-"));

    // A form, in base64, from the place itself and from another.
    let foreign = function.sign_in(EMAIL, PASSWORD, None, &[("origin", "https://evil.example")]);
    assert_eq!(foreign.status, 403, "{}", foreign.text());
    let signed_in = function.sign_in(EMAIL, PASSWORD, None, &[("origin", &origin), ("sec-fetch-site", "same-origin")]);
    assert_eq!(signed_in.status, 303, "{}", signed_in.text());
    let [cookie] = signed_in.cookies.as_slice() else { panic!("one cookie: {:?}", signed_in.cookies) };
    assert!(cookie.starts_with("gatehouse_session=") && cookie.contains("; Secure") && cookie.contains("; HttpOnly"), "{cookie}");
    assert!(header(&signed_in.headers, "set-cookie").is_none());
    let session = cookie.split(';').next().expect("a pair").to_string();

    // A page behind the session, with several cookies; and without.
    let cookies = ["a=b", &session, "theme=dark"];
    let list = function.calls.call(&request("GET", "/company/settings/proxies", &[], &cookies, None));
    assert_eq!(list.status, 200);
    assert!(list.text().contains("data-theme=\"dark\""), "{}", list.text());
    let outside = function.calls.call(&request("GET", "/company/settings/proxies", &[], &[], None));
    assert_eq!((outside.status / 100, outside.header("location")), (3, "/sign-in"));

    // A server function, with text beyond ASCII.
    let form = json!({"form": {"name": "Bürö ☃", "host": "proxy.example", "port": "3128", "scheme": "http", "authentication": "transparent",
        "username": "", "password": "keep", "is_default": false, "bypass": "", "ca_pem": "", "timeout_s": "10", "fallback": ""}});
    let json_type = [("content-type", "application/json"), ("origin", origin.as_str())];
    let made =
        function.calls.call(&request("POST", "/fn/proxies/create", &json_type, &[&session], Some(form.to_string().as_bytes())));
    assert_eq!(made.status, 200, "{}", made.text());

    // The API, with a token; an address that needs its coding, a name twice, an empty value.
    let token = function.admin(&["token", "--email", EMAIL]);
    let made = function.api(
        &token,
        "POST",
        "/api/v1/proxies",
        Some(&json!({"name": "Corp & Co", "host": "proxy.example", "port": 3128})),
    );
    made.expect(201);
    let names = |path: &str| {
        let list = function.api(&token, "GET", path, None).expect(200);
        list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["name"].as_str().unwrap_or_default().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("/api/v1/proxies?sort=name"), ["Bürö ☃", "Corp & Co"]);
    assert_eq!(names("/api/v1/proxies?q=b%C3%BCr%C3%B6"), ["Bürö ☃"]);
    assert_eq!(names("/api/v1/proxies?q=corp+%26"), ["Corp & Co"]);
    assert_eq!(names("/api/v1/proxies?q="), ["Bürö ☃", "Corp & Co"]);

    // Files: bytes, and those that were compressed beforehand.
    let file = function.calls.call(&request("GET", "/pkg/gatehouse.wasm", &[], &[], None));
    assert_eq!((file.status, file.header("content-type")), (200, "application/wasm"));
    assert!(file.body == binary(), "{} bytes", file.body.len());
    let smaller = function.calls.call(&request("GET", "/pkg/gatehouse.wasm", &[("accept-encoding", "br")], &[], None));
    assert_eq!((smaller.header("content-encoding"), smaller.body.as_slice()), ("br", b"\x00\xff\x1b as brotli".as_slice()));

    assert!(function.is_running() && !function.printed().contains(KEY), "{}", function.printed());
    let asked = function.calls.asked();
    assert!(asked > 10, "all of it on one process: {asked}");
}

#[test]
fn api_gateway_gets_its_answers_whole() {
    let Some((_folder, surreal)) = database() else { return };
    let function = Function::start(&at(&surreal), &[]);
    let mut event = request("GET", "/pkg/gatehouse.wasm", &[], &[], None);
    event["requestContext"]["domainName"] = "abc.execute-api.eu-central-1.amazonaws.com".into();
    let answer = function.calls.call(&event);
    assert_eq!(answer.kind, "response");
    let told = answer.json();
    assert_eq!((&told["statusCode"], &told["isBase64Encoded"]), (&json!(200), &json!(true)), "{told}");
    assert_eq!(told["body"], json!(crate::lambda_runtime::base64(&binary())));
    assert_eq!(told["headers"]["content-type"], "application/wasm");
}

#[test]
fn a_running_test_is_told_while_it_runs() {
    let Some((_folder, surreal)) = database() else { return };
    let function = Function::start(&at(&surreal), &[]);
    // A proxy that takes its time.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::sleep(Duration::from_secs(2));
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let signed_in = function.sign_in(EMAIL, PASSWORD, None, &[]);
    let session = signed_in.cookies.first().and_then(|cookie| cookie.split(';').next()).expect("a session").to_string();
    let draft = json!({"id": null, "target": "http://target.example/", "form": {"name": "Slow", "host": "127.0.0.1", "port": port.to_string(),
        "scheme": "http", "authentication": "transparent", "username": "", "password": "keep", "is_default": false, "bypass": "", "ca_pem": "", "timeout_s": "10"}});
    let event = request(
        "POST",
        "/fn/proxies/test-draft",
        &[("content-type", "application/json")],
        &[&session],
        Some(draft.to_string().as_bytes()),
    );
    let parts = function.calls.begin(event.to_string().as_bytes());
    let (mut text, mut first, mut last) = (String::new(), None, None);
    loop {
        match parts.recv_timeout(Duration::from_secs(30)).expect("it goes on") {
            Part::Head(kind, headers) => {
                assert_eq!((kind, header(&headers, "transfer-encoding")), ("response", Some("chunked")));
            }
            Part::Data(at, bytes) => {
                text.push_str(&String::from_utf8_lossy(&bytes));
                if text.contains("started") && first.is_none() {
                    first = Some(at);
                }
                last = Some(at);
            }
            Part::End(trailers) => {
                assert!(trailers.is_empty(), "{trailers:?}");
                break;
            }
            Part::Cut => panic!("cut off"),
        }
    }
    let (first, last) = (first.unwrap_or_else(|| panic!("{text}")), last.expect("a last line"));
    assert!(text.contains("report") && last.duration_since(first) > Duration::from_millis(1500), "{:?}: {text}", last - first);
}

#[test]
fn sign_ins_are_throttled_by_the_address_that_aws_names() {
    let Some((_folder, surreal)) = database() else { return };
    let function = Function::start(&at(&surreal), &[]);
    for number in 0..10 {
        let forged = format!("192.0.2.{number}");
        let email = format!("nobody-{number}@example.com");
        let wrong = function.sign_in(&email, "a wrong password", Some("198.51.100.7"), &[("x-forwarded-for", &forged)]);
        assert_ne!(wrong.status, 429, "{number}: {}", wrong.text());
    }
    let forged = [("x-forwarded-for", "192.0.2.99")];
    assert_eq!(function.sign_in(EMAIL, PASSWORD, Some("198.51.100.7"), &forged).status, 429);
    assert_eq!(function.sign_in(EMAIL, PASSWORD, Some("198.51.100.8"), &forged).status, 303);
}

#[test]
fn what_is_due_is_done_when_the_time_comes_and_not_before() {
    let Some((_folder, surreal)) = database() else { return };
    let function = Function::start(&at(&surreal), &[]);
    function.calls.call(&request("GET", "/healthz", &[], &[], None)).expect(200);
    let token = function.admin(&["token", "--email", EMAIL]);
    let body = json!({"name": "Gone", "host": "127.0.0.1", "port": free_port()});
    let id = function.api(&token, "POST", "/api/v1/proxies", Some(&body)).expect(201)["id"].as_str().expect("an id").to_string();
    function.api(&token, "PUT", "/api/v1/checks", Some(&json!({"every_minutes": 5}))).expect(200);
    std::thread::sleep(Duration::from_secs(6));
    let tested = || function.api(&token, "GET", &format!("/api/v1/proxies/{id}"), None).expect(200)["last_test"].clone();
    assert_eq!(tested(), Value::Null, "nothing is done between calls");

    let done = function.calls.call(&scheduled());
    assert_eq!(done.kind, "response", "{}", done.text());
    assert_eq!((&done.json()["rounds"], &done.json()["failed"]), (&json!(1), &json!([])), "{}", done.text());
    assert_eq!(tested()["ok"], json!(false));
    let again = function.calls.call(&scheduled());
    assert_eq!(again.json()["rounds"], json!(0), "{}", again.text());
}

#[test]
fn what_an_answer_sets_going_is_done_before_the_process_is_stopped() {
    let Some((_folder, surreal)) = database() else { return };
    let function = Function::start(&at(&surreal), &[]);
    function.calls.call(&request("GET", "/healthz", &[], &[], None)).expect(200);
    let token = function.admin(&["token", "--email", EMAIL]);
    let service = Service::start(|_| {
        std::thread::sleep(Duration::from_secs(2));
        (200, json!({"verdict": "clean"}))
    });
    let integration = json!({"name": "Slow", "type": "custom_http", "api_url": format!("http://127.0.0.1:{}/", service.port),
        "api_key": "a-key", "proxy": {"choice": "none"}});
    function.api(&token, "POST", "/api/v1/integrations", Some(&integration)).expect(201);
    let begun = Instant::now();
    let asked = function.calls.asked();
    let analysis = function.api(&token, "POST", "/api/v1/analyses", Some(&json!({"ip": "192.0.2.7"})));
    let id = analysis.json()["id"].as_str().unwrap_or_else(|| panic!("{}", analysis.text())).to_string();
    assert!(begun.elapsed() < Duration::from_millis(1500), "it is answered at once: {:?}", begun.elapsed());
    // Lambda stops a process that asks for the next call.
    while function.calls.asked() == asked {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", function.printed());
        std::thread::sleep(Duration::from_millis(5));
    }
    let analysis = function.api(&token, "GET", &format!("/api/v1/analyses/{id}"), None).expect(200);
    assert_eq!((&analysis["status"], &analysis["verdict"]), (&json!("done"), &json!("clean")), "{analysis}");
}

#[test]
fn a_bad_event_is_an_error_of_its_own() {
    let Some((_folder, surreal)) = database() else { return };
    let mut function = Function::start(&at(&surreal), &[]);
    for event in [&b"not json"[..], b"{}", br#"{"Records": [{"eventSource": "aws:s3"}]}"#] {
        let refused = function.calls.call_raw(event);
        assert_eq!(refused.kind, "error");
        assert_eq!(header(&refused.told, "lambda-runtime-function-error-type"), Some("Gatehouse.BadEvent"));
        assert_eq!(refused.json()["errorType"], "Gatehouse.BadEvent");
        assert!(refused.text().contains("scheduled event"), "{}", refused.text());
    }
    function.calls.call(&request("GET", "/healthz", &[], &[], None)).expect(200);
    assert!(function.is_running());
}

#[test]
fn a_database_that_is_gone_is_503_until_it_is_back() {
    let Some((_folder, mut surreal)) = database() else { return };
    surreal.kill();
    let mut function = Function::start(&at(&surreal), &[]);
    let api = || request("GET", "/api/v1/proxies", &[], &[], None);
    let refused = function.calls.call(&api());
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("unavailable")), "{}", refused.text());
    let page = function.calls.call(&request("GET", "/sign-in", &[("accept", "text/html")], &[], None));
    assert_eq!(page.status, 503);
    assert!(page.header("content-type").starts_with("text/plain"), "words for a person");
    let due = function.calls.call(&scheduled());
    assert_eq!((due.kind, header(&due.told, "lambda-runtime-function-error-type")), ("error", Some("Gatehouse.Unfinished")));

    surreal.back();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(function.calls.call(&api()).status, 401);
    surreal.kill();
    let token = [("authorization", "Bearer gh_whatever")];
    let gone = function.calls.call(&request("GET", "/api/v1/proxies", &token, &[], None));
    assert_eq!(gone.status, 503, "{}", gone.text());
    surreal.back();
    std::thread::sleep(Duration::from_millis(1100));
    let back = function.calls.call(&request("GET", "/api/v1/proxies", &token, &[], None));
    assert_eq!(back.status, 401, "{}", back.text());
    assert!(function.is_running());
}

#[test]
fn what_can_not_be_on_lambda_is_refused_in_words() {
    let nowhere = "ws://127.0.0.1:9";
    for (database, more, words) in [
        ("surrealkv:///tmp/gatehouse.db", &[][..], "Name a SurrealDB server"),
        ("mem://", &[], "Name a SurrealDB server"),
        (nowhere, &[("GATEHOUSE_GATEWAY_LISTEN", "127.0.0.1:3128")], "GATEWAY_LISTEN"),
        (nowhere, &[("GATEHOUSE_TLS", "self-signed")], "TLS: Lambda speaks HTTPS"),
        (nowhere, &[("GATEHOUSE_EDITION", "both")], "EDITION: 'both'"),
        (nowhere, &[("GATEHOUSE_SECRET_KEY_FILE", "/opt/key")], "set one of them"),
        (nowhere, &[("GATEHOUSE_SECRET_KEY", "")], "a key is never made"),
        (nowhere, &[("GATEHOUSE_SECRET_KEY", "c2hvcnQ=")], "SECRET_KEY is not a key"),
    ] {
        let mut function = Function::start(database, more);
        let begun = Instant::now();
        while function.is_running() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{database} {more:?} goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (kind, told) = function.calls.init_error().unwrap_or_else(|| panic!("{}", function.printed()));
        assert_eq!((kind.as_str(), &told["errorType"]), ("Gatehouse.Settings", &json!("Gatehouse.Settings")));
        assert!(told["errorMessage"].as_str().is_some_and(|message| message.contains(words)), "{told}");
        while !function.printed().contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", function.printed());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!function.printed().contains("c2hvcnQ="), "{}", function.printed());
        assert_eq!(function.calls.asked(), 0);
    }
}
