//! A secret goes to the place it was entered for and nowhere else, and is nowhere to be read.

use serde_json::json;

use crate::{
    access::contains,
    harness::{SpyProxy, Start},
};

/// Long and odd enough not to stand anywhere by chance.
const SECRET: &str = "S3cr3t-Zq8-\"#%:@/?~";
/// `jo:` and the secret as Basic credentials hold them.
const SECRET_BASIC: &str = "am86UzNjcjN0LVpxOC0iIyU6QC8/fg==";

#[test]
fn a_password_reaches_its_proxy_and_is_in_no_answer_log_or_file() {
    let server = Start::new().env("GATEHOUSE_LOG", "trace").start();
    let spy = SpyProxy::start();
    let made = server
        .post("/api/v1/proxies", &json!({"name": "A", "host": "127.0.0.1", "port": spy.port, "authentication": "basic", "username": "jo", "password": SECRET}))
        .expect(201);
    let path = format!("/api/v1/proxies/{}", made["id"].as_str().expect("an id"));
    let report = server.post(&format!("{path}/test"), &json!({"target": "https://target.invalid/"}));
    assert_eq!(report.body["cause"], "target_unreachable");
    assert!(spy.heads().iter().any(|head| head.contains(SECRET_BASIC)), "the proxy got it: {:?}", spy.heads());
    let answers = [report.text, server.get(&path).text, server.get("/api/v1/proxies").text, made.to_string()].concat();
    let log = server.printed();
    for secret in [SECRET, SECRET_BASIC, "UzNjcjN0LVpxOC0iIyU6QC8/fg"] {
        assert!(!answers.contains(secret) && !log.contains(secret));
        assert!(!contains(&server.stored_bytes(), secret.as_bytes()));
    }
}

#[test]
fn a_draft_with_a_stored_password_never_reaches_another_host() {
    let server = Start::new().start();
    let (own, other) = (SpyProxy::start(), SpyProxy::start());
    let made = server
        .post("/api/v1/proxies", &json!({"name": "A", "host": "127.0.0.1", "port": own.port, "authentication": "basic", "username": "jo", "password": SECRET}))
        .expect(201);
    let draft = |host: &str, port: u16, scheme: &str| json!({"proxy": {"id": made["id"], "host": host, "port": port, "scheme": scheme, "authentication": "basic", "username": "jo"}, "target": "https://target.invalid/"});
    for moved in
        [draft("127.0.0.1", other.port, "http"), draft("localhost", own.port, "http"), draft("127.0.0.1", own.port, "socks5h")]
    {
        let answer = server.post("/api/v1/proxies/test", &moved);
        assert_eq!(answer.status, 422, "{moved}");
        assert!(answer.body["fields"]["password"].is_string());
    }
    assert!(other.heads().is_empty() && own.heads().is_empty(), "nothing was sent anywhere");
    let kept = server.post("/api/v1/proxies/test", &draft("127.0.0.1", own.port, "http")).expect(200);
    assert_eq!(kept["cause"], "target_unreachable");
    assert!(own.heads()[0].contains(SECRET_BASIC), "towards its own place the stored one is used");
}

#[test]
fn the_environment_changes_nothing() {
    let (spy, own) = (SpyProxy::start(), SpyProxy::start());
    let url = format!("http://127.0.0.1:{}", spy.port);
    let mut start = Start::new();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        start = start.env(name, &url);
    }
    let server = start.env("NO_PROXY", "*").env("no_proxy", "*").start();
    let report = server
        .post(
            "/api/v1/proxies/test",
            &json!({"proxy": {"host": "127.0.0.1", "port": own.port}, "target": "https://target.invalid/"}),
        )
        .expect(200);
    assert_eq!(report["cause"], "target_unreachable");
    assert_eq!((own.heads().len(), spy.heads().len()), (1, 0));
}
