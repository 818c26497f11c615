//! Squid, the proxy that most companies have.

use gatehouse_domain::{Cause, Stage, StageStatus};

use crate::{
    ask::{detail, hint, http},
    parts::{Squid, WebServer, free_port},
};

#[tokio::test]
async fn without_authentication() {
    let (web, squid) = (WebServer::start(), Squid::default().start());
    let report = http(squid.port).ca(web.ca()).target(web.https()).passes().await;
    assert_eq!(report.status_code, Some(200));
    assert_eq!(report.egress_ip.as_deref(), Some("127.0.0.1"));
    let statuses: Vec<_> = report.stages.iter().map(|s| s.status).collect();
    use StageStatus::{Passed, Skipped};
    assert_eq!(statuses, [Passed, Passed, Skipped, Passed, Passed, Passed]);
    assert_eq!(detail(&report, Stage::Connect), format!("to 127.0.0.1:{}", squid.port));
    assert_eq!(detail(&report, Stage::ProxyTls), "the proxy is spoken to without TLS");
    assert_eq!(detail(&report, Stage::TargetTls), "TLS 1.3, certificate issued by Gatehouse Test Target CA");
    assert!(report.message.contains("status 200") && report.message.contains("127.0.0.1"), "{}", report.message);

    // A proxy that nobody signs in to does not mind credentials.
    http(squid.port).login("somebody", "unasked-for").ca(web.ca()).target(web.https()).passes().await;
}

#[tokio::test]
async fn any_status_of_the_target_proves_the_way_and_the_address_is_found_in_each_format() {
    let (web, squid) = (WebServer::start(), Squid::default().start());
    for (path, status, told) in
        [("json", 200, true), ("trace", 200, true), ("moved", 302, false), ("missing", 404, false), ("unavailable", 503, false)]
    {
        let report = http(squid.port).ca(web.ca()).target(web.https() + path).passes().await;
        assert_eq!(report.status_code, Some(status));
        assert_eq!(report.egress_ip.is_some(), told, "{path}");
    }
}

#[tokio::test]
async fn with_basic_authentication() {
    let web = WebServer::start();
    let squid = Squid { users: &[("alice", "open-sesame-4711")], ..Squid::default() }.start();
    let ask = || http(squid.port).ca(web.ca()).target(web.https());

    let report = ask().login("alice", "open-sesame-4711").passes().await;
    assert!(detail(&report, Stage::ProxyHandshake).contains("user name and password sent"));

    let report = ask().fails(Stage::ProxyHandshake, Cause::ProxyAuthRequired).await;
    assert!(hint(&report).contains("Choose Basic"), "{report:#?}");
    ask().login("alice", "wrong-password-4712").fails(Stage::ProxyHandshake, Cause::ProxyAuthRejected).await;
    ask().login("mallory", "open-sesame-4711").fails(Stage::ProxyHandshake, Cause::ProxyAuthRejected).await;
}

#[tokio::test]
async fn passwords_of_every_character_arrive_as_they_are() {
    let web = WebServer::start();
    let every_ascii: String = (' '..='~').collect();
    let users = [
        ("every", every_ascii.as_str()),
        ("url", "p@ss:w/rd#?%41&+"),
        ("Jürgen Ω", "пароль-ß-密码-🔑"),
        ("spaces", "  two before, two behind  "),
    ];
    let squid = Squid { users: &users, ..Squid::default() }.start();
    for (user, password) in users {
        http(squid.port).login(user, password).ca(web.ca()).target(web.https()).passes().await;
        let nearly = format!("{password}x");
        http(squid.port)
            .login(user, &nearly)
            .ca(web.ca())
            .target(web.https())
            .fails(Stage::ProxyHandshake, Cause::ProxyAuthRejected)
            .await;
    }
}

#[tokio::test]
async fn a_rule_against_the_target_is_named() {
    let web = WebServer::start();
    let squid = Squid { rules: "http_access deny all", ..Squid::default() }.start();
    let report = http(squid.port).ca(web.ca()).target(web.https()).fails(Stage::ProxyHandshake, Cause::ProxyDenied).await;
    assert!(report.message.contains("403") && hint(&report).contains("rules"), "{report:#?}");
}

#[tokio::test]
async fn a_target_that_is_down_is_told_apart_from_a_broken_proxy() {
    let squid = Squid::default().start();
    let target = format!("https://127.0.0.1:{}/", free_port());
    let report = http(squid.port).target(&target).fails(Stage::ProxyHandshake, Cause::TargetUnreachable).await;
    assert!(report.message.contains("could not connect"), "{report:#?}");
    let report =
        http(squid.port).target("https://nobody-has-this.test/").fails(Stage::ProxyHandshake, Cause::TargetUnreachable).await;
    assert!(
        report.message.contains("no way to nobody-has-this.test") || report.message.contains("can't find an address"),
        "{report:#?}"
    );
}

#[tokio::test]
async fn names_are_resolved_by_the_proxy() {
    let (web, squid) = (WebServer::start(), Squid::default().start());
    let target = format!("https://only-the-proxy-knows.test:{}/", web.tls_port);
    http(squid.port).host("localhost").ca(web.ca()).target(target).passes().await;
}
