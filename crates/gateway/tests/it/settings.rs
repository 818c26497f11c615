//! Proxy settings of the company as ways out of a policy that stands in the database.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use gatehouse_domain::{CaPem, HostName, Port, ProxyName, Scheme, Secret, Timeout, Username};
use gatehouse_gateway::{
    Gateway,
    policy::{Operator, Policy, StoredProxy},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::bed::{Client, Origin, ask};

/// A proxy for tunnels and requests that lets in who says `ann:open sesame`.
#[derive(Clone, Default)]
struct Upstream(Arc<Mutex<Vec<String>>>);

/// `ann:open sesame`
const LOGIN: &str = "Proxy-Authorization: Basic YW5uOm9wZW4gc2VzYW1l\r\n";

impl Upstream {
    async fn start(&self, tls: Option<TlsAcceptor>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, tls) = (upstream.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => upstream.serve(stream).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                upstream.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        port
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        self.0.lock().unwrap().push(head.clone());
        if !head.contains(LOGIN) {
            let _ = stream.write_all(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n").await;
            return;
        }
        if let Some(target) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) {
            let mut target = TcpStream::connect(target).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
        } else {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nvia").await;
        }
        let _ = stream.shutdown().await;
    }

    fn heads(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn setting(scheme: Scheme, host: &str, port: u16) -> StoredProxy {
    StoredProxy {
        name: ProxyName::parse("Head office").unwrap(),
        scheme,
        host: HostName::parse(host).unwrap(),
        port: Port::parse(&port.to_string()).unwrap(),
        username: Some(Username::parse("ann", scheme).unwrap()),
        password: Some(Secret::new("open sesame")),
        ca_pem: None,
        timeout: Some(Timeout::default()),
    }
}

const POLICY: &str = "[clients]\nnetworks = ['127.0.0.0/8']\n[network]\nopen = ['127.0.0.0/8']\nconnect_ports = ['1-65535']\n\
     http_ports = ['1-65535']\n[[egress]]\nname = 'office'\nkind = 'setting'\nsetting = 'HEAD office'\nmax_connections = 1\n\
     [[rule]]\nname = 'all'\naction = 'allow'\negress = 'office'\n";

fn policy(setting: &StoredProxy) -> Policy {
    let operator = Operator { settings: std::slice::from_ref(setting), ..Operator::default() };
    Policy::parse_stored(POLICY, &[], &operator).unwrap_or_else(|problems| panic!("{problems:?}"))
}

async fn gateway(setting: &StoredProxy) -> Gateway {
    Gateway::start(policy(setting), Some(vec!["127.0.0.1:0".parse().unwrap()])).await.unwrap()
}

/// A tunnel to the origin, and a request through it.
async fn through(gateway: &Gateway, origin: &Origin) -> Result<String, (u16, String)> {
    let mut client = Client::to(gateway).await;
    client.write(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address)).await;
    let answer = client.answer_to("CONNECT").await.expect("an answer");
    if answer.status != 200 {
        return Err((answer.status, answer.error().to_string()));
    }
    Ok(client.ask("GET /y HTTP/1.1\r\nHost: a\r\n\r\n").await.body)
}

#[tokio::test]
async fn a_setting_with_a_name_and_a_password_is_signed_in_to() {
    let (origin, upstream) = (Origin::start().await, Upstream::default());
    let right = setting(Scheme::Http, "127.0.0.1", upstream.start(None).await);
    let gateway = gateway(&right).await;
    assert_eq!(through(&gateway, &origin).await, Ok("hello".into()));
    assert_eq!(ask(&gateway, origin.get("/x")).await.body, "via");
    assert!(upstream.heads().iter().all(|head| head.contains(LOGIN)), "{:?}", upstream.heads());
    assert!(!origin.seen().concat().to_lowercase().contains("proxy-authorization"));
    // Another password counts from the next request on, and is told to nobody.
    let wrong = StoredProxy { password: Some(Secret::new("close sesame")), ..right.clone() };
    gateway.swap(policy(&wrong));
    assert_eq!(through(&gateway, &origin).await, Err((502, "proxy_configuration_error".into())));
    let page = ask(&gateway, origin.get("/x")).await;
    assert!(page.body.contains("“office”") && !format!("{page:?}{}", gateway.metrics()).contains("sesame"), "{page:?}");
    gateway.swap(policy(&right));
    assert_eq!(through(&gateway, &origin).await, Ok("hello".into()));
}

#[tokio::test]
async fn a_setting_that_did_not_change_goes_on_with_what_is_known_of_it() {
    let (origin, upstream) = (Origin::start().await, Upstream::default());
    let one = setting(Scheme::Http, "127.0.0.1", upstream.start(None).await);
    let gateway = gateway(&one).await;
    let mut client = Client::to(&gateway).await;
    client.write(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address)).await;
    assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
    // The one place is taken, also under the next policy.
    gateway.swap(policy(&one.clone()));
    let second = tokio::time::timeout(Duration::from_millis(500), through(&gateway, &origin)).await;
    assert!(second.is_err(), "it has to wait: {second:?}");
    // Another address is another way, with places of its own.
    let other = setting(Scheme::Http, "127.0.0.1", upstream.start(None).await);
    gateway.swap(policy(&other));
    assert_eq!(through(&gateway, &origin).await, Ok("hello".into()));
    assert_eq!(client.ask("GET /y HTTP/1.1\r\nHost: a\r\n\r\n").await.body, "hello", "the first one goes on");
}

fn acceptor(chain: Vec<rustls::pki_types::CertificateDer<'static>>, key: &KeyPair) -> TlsAcceptor {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn a_setting_over_tls_may_have_an_authority_of_its_own() {
    let (origin, upstream) = (Origin::start().await, Upstream::default());
    let (own, other) = (authority("own"), authority("other"));
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap().signed_by(&key, &own).unwrap();
    let port = upstream.start(Some(acceptor(vec![leaf.der().clone()], &key))).await;
    let plain = setting(Scheme::Https, "127.0.0.1", port);
    let with = |pem: String| StoredProxy { ca_pem: Some(CaPem::parse(&pem).unwrap()), ..plain.clone() };
    let refused = Err((502, "tls_protocol_error".to_string()));
    let gateway = gateway(&plain).await;
    assert_eq!(through(&gateway, &origin).await, refused, "nobody vouches for it");
    gateway.swap(policy(&with(other.pem())));
    assert_eq!(through(&gateway, &origin).await, refused, "somebody vouches for others");
    assert!(upstream.heads().is_empty(), "the password was told to nobody");
    gateway.swap(policy(&with(format!("{}{}", other.pem(), own.pem()))));
    assert_eq!(through(&gateway, &origin).await, Ok("hello".into()));
    assert_eq!(ask(&gateway, origin.get("/x")).await.body, "via");
    // What is trusted for this setting is trusted for no other.
    gateway.swap(policy(&plain));
    assert_eq!(through(&gateway, &origin).await, refused);
}

#[tokio::test]
async fn the_one_certificate_of_a_small_proxy_is_taken_where_it_was_pasted() {
    let origin = Origin::start().await;
    let made = |name: &str, is_over: bool| {
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        // As such devices make theirs: for itself, and marked as an authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if is_over {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap(), key)
    };
    let mut outcomes = Vec::new();
    for (name, is_over) in [("127.0.0.1", false), ("127.0.0.2", false), ("127.0.0.1", true)] {
        let (upstream, (certificate, key)) = (Upstream::default(), made(name, is_over));
        let port = upstream.start(Some(acceptor(vec![certificate.der().clone()], &key))).await;
        let pasted = CaPem::parse(&certificate.pem()).unwrap();
        let gateway = gateway(&StoredProxy { ca_pem: Some(pasted), ..setting(Scheme::Https, "127.0.0.1", port) }).await;
        outcomes.push(through(&gateway, &origin).await);
    }
    let refused = Err((502, "tls_protocol_error".to_string()));
    // The second is another one's, and the time of the third is over.
    assert_eq!(outcomes, [Ok("hello".to_string()), refused.clone(), refused]);
}

#[tokio::test]
async fn a_name_that_leads_into_the_network_is_no_way_out_of_a_shared_installation() {
    let (origin, upstream) = (Origin::start().await, Upstream::default());
    let port = upstream.start(None).await;
    // A name of this machine that is not told apart beforehand.
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let own = hosts.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let name =
            line.split_ascii_whitespace().skip(1).find(|name| !name.starts_with("localhost") && !name.starts_with("ip6-"))?;
        line.split_ascii_whitespace().next()?.parse::<std::net::Ipv4Addr>().ok()?;
        Some(name.to_string())
    });
    let Some(own) = own else { return };
    let text = POLICY.replace("open = ['127.0.0.0/8']\n", "");
    let settings = [setting(Scheme::Http, &own, port)];
    let operator = Operator { settings: &settings, public_only: true, ..Operator::default() };
    let policy = Policy::parse_stored(&text, &[], &operator).unwrap_or_else(|problems| panic!("{problems:?}"));
    let gateway = Gateway::start(policy, Some(vec!["127.0.0.1:0".parse().unwrap()])).await.unwrap();
    let answer = ask(&gateway, "GET http://93.184.215.14/ HTTP/1.1\r\nHost: 93.184.215.14\r\n\r\n").await;
    assert_eq!((answer.status, answer.error()), (502, "destination_ip_prohibited"), "{answer:?}");
    assert!(answer.body.contains("“office”") && !answer.body.contains(&own), "{answer:?}");
    assert!(upstream.heads().is_empty() && origin.connections() == 0);
}
