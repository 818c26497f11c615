//! tinyproxy, the small one.

use gatehouse_domain::{Cause, Stage};

use crate::{
    ask::{hint, http},
    parts::{WebServer, free_port, tinyproxy},
};

#[tokio::test]
async fn without_authentication() {
    let (web, proxy) = (WebServer::start(), tinyproxy(""));
    let report = http(proxy.port).ca(web.ca()).target(web.https()).passes().await;
    assert_eq!(report.egress_ip.as_deref(), Some("127.0.0.1"));
    let down = format!("https://127.0.0.1:{}/", free_port());
    http(proxy.port).target(down).fails(Stage::ProxyHandshake, Cause::TargetUnreachable).await;
}

#[tokio::test]
async fn with_basic_authentication() {
    let (web, proxy) = (WebServer::start(), tinyproxy("BasicAuth alice open-sesame"));
    let ask = || http(proxy.port).ca(web.ca()).target(web.https());
    ask().login("alice", "open-sesame").passes().await;
    // It says 401 where 407 is meant: by the contract that is a denial; the words tell what it means.
    let report = ask().login("alice", "wrong-sesame").fails(Stage::ProxyHandshake, Cause::ProxyDenied).await;
    assert!(hint(&report).contains("the password again"), "{report:#?}");
    ask().fails(Stage::ProxyHandshake, Cause::ProxyAuthRequired).await;
}

#[tokio::test]
async fn rules() {
    let (web, proxy) = (WebServer::start(), tinyproxy("ConnectPort 443"));
    http(proxy.port).ca(web.ca()).target(web.https()).fails(Stage::ProxyHandshake, Cause::ProxyDenied).await;
}
