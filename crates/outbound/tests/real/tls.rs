//! TLS to the proxy and to the target, and what goes wrong with certificates.

use std::process::Command;

use gatehouse_domain::{CaPem, Cause, Stage};
use gatehouse_outbound::Tester;
use gatehouse_platform::ports::ConnectionTester as _;

use crate::{
    ask::{Ask, detail, hint, http, through},
    certificates::{Authority, Identity},
    parts::{Part, Squid, WebServer, folder, program},
};

fn proxy_with(identity: &Identity) -> Part {
    Squid { tls: Some(identity), ..Squid::default() }.start()
}

fn https(proxy: &Part, web: &WebServer) -> Ask {
    through("https", proxy.port).ca(web.ca()).target(web.https())
}

#[tokio::test]
async fn a_proxy_over_tls_with_a_private_authority() {
    let (web, authority) = (WebServer::start(), Authority::new("Proxy CA"));
    let identity = authority.issue(&["localhost", "127.0.0.1"]);
    let proxy = Squid { tls: Some(&identity), users: &[("alice", "open-sesame")], ..Squid::default() }.start();
    for host in ["localhost", "127.0.0.1"] {
        let report = https(&proxy, &web).ca(&authority.pem).host(host).login("alice", "open-sesame").passes().await;
        assert_eq!(detail(&report, Stage::ProxyTls), "TLS 1.3, certificate issued by Proxy CA");
        assert_eq!(detail(&report, Stage::TargetTls), "TLS 1.3, certificate issued by Gatehouse Test Target CA");
    }
    https(&proxy, &web).ca(&authority.pem).fails(Stage::ProxyHandshake, Cause::ProxyAuthRequired).await;
    // The target over plain HTTP, the proxy over TLS.
    https(&proxy, &web).ca(&authority.pem).login("alice", "open-sesame").target(web.http()).passes().await;

    // Another authority than the pasted ones, and none at all.
    let report = https(&proxy, &web).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
    assert!(
        report.message.contains("issued by Proxy CA") && hint(&report).contains("not the one that issued this"),
        "{report:#?}"
    );
    let report = through("https", proxy.port).login("alice", "open-sesame").fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
    assert!(hint(&report).contains("paste the CA certificate that issued"), "{report:#?}");
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let (web, authority) = (WebServer::start(), Authority::new("Proxy CA"));
    let proxy = proxy_with(&authority.issue(&["proxy.example", "192.0.2.1"]));
    let report = https(&proxy, &web).ca(&authority.pem).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
    assert!(report.message.contains("another name: proxy.example, 192.0.2.1"), "{report:#?}");
}

#[tokio::test]
async fn a_certificate_whose_time_is_over() {
    let (web, authority) = (WebServer::start(), Authority::new("Proxy CA"));
    let proxy = proxy_with(&authority.issue_until(&["127.0.0.1"], 2020));
    let report = https(&proxy, &web).ca(&authority.pem).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
    assert!(report.message.contains("expired on 1 January 2020"), "{report:#?}");
}

/// As `openssl req -x509` makes it, and as every guide for small proxies says: one self-signed certificate, marked as an
/// authority.
#[tokio::test]
async fn a_self_signed_certificate_counts_when_it_is_pasted() {
    let web = WebServer::start();
    let openssl = program(&["/usr/bin/openssl"], "openssl");
    for (name, right) in [("IP:127.0.0.1", true), ("DNS:elsewhere.test", false)] {
        let folder = folder();
        let made = Command::new(&openssl)
            .current_dir(folder.path())
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "3650"])
            .args(["-subj", "/O=Small Office/CN=proxy", "-addext", &format!("subjectAltName={name}")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
        let identity = Identity { chain: read("cert.pem"), key: read("key.pem") };
        let proxy = proxy_with(&identity);
        let report = https(&proxy, &web).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
        assert!(report.message.contains("proxy (Small Office)"), "{report:#?}");
        if right {
            https(&proxy, &web).ca(&identity.chain).passes().await;
        } else {
            let report = https(&proxy, &web).ca(&identity.chain).fails(Stage::ProxyTls, Cause::ProxyTlsFailed).await;
            assert!(report.message.contains("another name: elsewhere.test"), "{report:#?}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_inspects_tls() {
    let (web, authority) = (WebServer::start(), Authority::new("Example Corp Inspection"));
    let proxy = Squid { inspects_with: Some(&authority), trusts: Some(web.ca()), ..Squid::default() }.start();
    let target = format!("https://localhost:{}/", web.tls_port);
    let report = http(proxy.port).target(&target).fails(Stage::TargetTls, Cause::TargetTlsFailed).await;
    assert!(report.message.contains("issued by Example Corp Inspection"), "{report:#?}");
    assert!(hint(&report).contains("seems to inspect TLS") && hint(&report).contains("paste its CA certificate"), "{report:#?}");

    let report = http(proxy.port).ca(&authority.pem).target(&target).passes().await;
    assert_eq!(detail(&report, Stage::TargetTls), "TLS 1.3, certificate issued by Example Corp Inspection");
    assert_eq!(report.egress_ip.as_deref(), Some("127.0.0.1"));

    let report = http(proxy.port).ca(web.ca()).target(&target).fails(Stage::TargetTls, Cause::TargetTlsFailed).await;
    assert!(hint(&report).contains("another CA certificate than the one pasted"), "{report:#?}");

    // It makes its certificates for names only, so a target by address fails in a way of its own.
    let report = http(proxy.port).ca(&authority.pem).target(web.https()).fails(Stage::TargetTls, Cause::TargetTlsFailed).await;
    assert!(report.message.contains("has its address as a name"), "{report:#?}");
}

#[tokio::test]
async fn targets_with_wrong_certificates() {
    let squid = Squid::default().start();
    let authority = Authority::new("Target CA");
    let expired = authority.issue_until(&["127.0.0.1"], 2021);
    let web = WebServer::with(authority, &expired);
    let report = http(squid.port).ca(web.ca()).target(web.https()).fails(Stage::TargetTls, Cause::TargetTlsFailed).await;
    assert!(report.message.contains("expired on 1 January 2021"), "{report:#?}");

    let authority = Authority::new("Target CA");
    let elsewhere = authority.issue(&["*.elsewhere.test"]);
    let web = WebServer::with(authority, &elsewhere);
    let report = http(squid.port).ca(web.ca()).target(web.https()).fails(Stage::TargetTls, Cause::TargetTlsFailed).await;
    assert!(report.message.contains("another name: *.elsewhere.test"), "{report:#?}");

    // A target that speaks no TLS.
    let target = format!("https://127.0.0.1:{}/", web.port);
    let report = http(squid.port).target(target).fails(Stage::TargetTls, Cause::TargetTlsFailed).await;
    assert!(report.message.contains("does not speak TLS, but answers in plain HTTP"), "{report:#?}");
}

#[test]
fn pasted_certificates_are_checked() {
    let tester = Tester::new();
    let (good, other) = (Authority::new("Good"), Authority::new("Other"));
    let check = |pem: &str| tester.check_ca(&CaPem::parse(pem).unwrap());
    assert_eq!(check(&good.pem), Ok(()));
    assert_eq!(check(&format!("{}# a comment\n{}", good.pem, other.pem)), Ok(()));
    // Right as PEM, a SEQUENCE as DER, and no certificate.
    let not_one = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    let error = check(&format!("{}{not_one}", good.pem)).unwrap_err();
    assert!(error.contains("Certificate 2") && error.contains("not an X.509 certificate"), "{error}");
    // A request is not a certificate, even in a certificate's clothes.
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::new(vec!["a.test".into()]).unwrap().serialize_request(&key).unwrap().pem().unwrap();
    let dressed = request.replace("CERTIFICATE REQUEST", "CERTIFICATE");
    assert!(check(&dressed).is_err());
}
