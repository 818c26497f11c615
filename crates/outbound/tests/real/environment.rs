//! The environment's proxies change nothing.

use std::{env, process::Command};

use gatehouse_domain::Cause;

use crate::{
    ask::{http, through},
    listener::Listener,
    parts::{Squid, WebServer, free_port, microsocks},
};

const ASKED: &str = "GATEHOUSE_TEST_PORTS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_changes_nothing() {
    let trap = Listener::answers("HTTP/1.1 200 OK\r\n\r\n").await;
    let (squid, socks, web) = (Squid::default().start(), microsocks(None), WebServer::start());
    let ca = web.ca().to_string();
    for bypass in ["", "*", "127.0.0.1,localhost"] {
        let trap = format!("http://127.0.0.1:{}", trap.port);
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "environment::in_a_child", "--ignored", "--nocapture", "--test-threads=1"]);
        child.env(ASKED, format!("{} {} {} {}", squid.port, socks.port, web.tls_port, web.port)).env("GATEHOUSE_TEST_CA", &ca);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            child.env(name, &trap);
        }
        child.env("NO_PROXY", bypass).env("no_proxy", bypass);
        let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(trap.accepted(), 0, "the environment's proxy was asked");
}

/// What the test above starts with other environments; by itself it has no ports to ask.
#[tokio::test]
#[ignore = "started by the_environment_changes_nothing"]
async fn in_a_child() {
    let ports: Vec<u16> = env::var(ASKED).unwrap().split(' ').map(|port| port.parse().unwrap()).collect();
    let ca = env::var("GATEHOUSE_TEST_CA").unwrap();
    let [squid, socks, https, plain] = ports[..] else { panic!("{ports:?}") };
    assert!(env::var("HTTPS_PROXY").is_ok());
    for target in [format!("https://localhost:{https}/"), format!("http://localhost:{plain}/")] {
        http(squid).ca(&ca).target(&target).passes().await;
        through("socks5h", socks).ca(&ca).target(&target).passes().await;
        // Neither the environment's proxy nor the direct way stands in for one that is down.
        let report = http(free_port()).ca(&ca).target(&target).run().await;
        assert_eq!(report.cause, Some(Cause::ConnectionRefused));
    }
}
