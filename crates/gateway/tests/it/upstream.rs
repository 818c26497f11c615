//! Ways out through other proxies: a real Squid, with a name and a password.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::bed::{Client, Origin, ask, gateway};

/// A Squid of its own.
struct Squid {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Squid {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // htpasswd -nb ann 'open sesame'
        let made =
            Command::new("htpasswd").args(["-nb", "ann", "open sesame"]).output().expect("htpasswd (Debian: apache2-utils)");
        fs::write(at("users"), made.stdout).unwrap();
        let config = format!(
            "http_port 127.0.0.1:{port}\npid_filename {}\ncache_log {}\naccess_log stdio:{}\ncache deny all\n\
             auth_param basic program /usr/lib/squid/basic_ncsa_auth {}\nacl known proxy_auth REQUIRED\nhttp_access allow known\n\
             http_access deny all\nshutdown_lifetime 0 seconds\nlogfile_rotate 0\n",
            at("pid"),
            at("cache.log"),
            at("access.log"),
            at("users")
        );
        fs::write(at("squid.conf"), config).unwrap();
        // As root it runs as `proxy`, who has to get in.
        let _ = Command::new("chmod").args(["-R", "a+rwX", &folder.path().display().to_string()]).status();
        let child = Command::new("squid")
            .args(["-N", "-f", &at("squid.conf")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("squid (Debian: squid-openssl)");
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        fs::write(at("password"), "open sesame\n").unwrap();
        Self { child, folder, port }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default()
    }

    fn egress(&self, name: &str) -> String {
        format!(
            "[[egress]]\nname = '{name}'\nkind = 'upstream'\nurl = 'http://127.0.0.1:{}'\nusername = 'ann'\npassword_file = '{}'\n",
            self.port,
            self.folder.path().join("password").display()
        )
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NETWORK: &str = "[network]\nopen = ['127.0.0.0/8']\nconnect_ports = ['1-65535']\nhttp_ports = ['1-65535']\n";

#[tokio::test]
async fn requests_and_tunnels_take_the_way_that_a_rule_names() {
    let (origin, squid) = (Origin::start().await, Squid::start().await);
    let gateway =
        gateway(&format!("{NETWORK}{}[[rule]]\nname = 'all'\naction = 'allow'\negress = 'line'\n", squid.egress("line"))).await;
    let mut client = Client::to(&gateway).await;
    for _ in 0..3 {
        assert_eq!(client.ask(origin.get("/x?a=b")).await.body, "hello");
    }
    client.write(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n", origin.address)).await;
    assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
    assert_eq!(client.answer().await.expect("the target's").body, "hello");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let log = squid.log();
    assert_eq!(log.matches("TCP_MISS/200").count(), 3, "{log}");
    drop(client);
    let seen = origin.seen().concat();
    assert!(!seen.to_lowercase().contains("proxy-authorization"), "{seen}");
    assert!(seen.contains("GET /x?a=b HTTP/1.1"), "{seen}");
}

#[tokio::test]
async fn a_password_that_another_proxy_does_not_take_is_not_asked_of_the_client() {
    let (origin, squid) = (Origin::start().await, Squid::start().await);
    fs::write(squid.folder.path().join("password"), "wrong\n").unwrap();
    let gateway =
        gateway(&format!("{NETWORK}{}[[rule]]\nname = 'all'\naction = 'allow'\negress = 'line'\n", squid.egress("line"))).await;
    for request in [origin.get("/x"), format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address)] {
        let answer = ask(&gateway, request).await;
        assert_eq!((answer.status, answer.error()), (502, "proxy_configuration_error"), "{answer:?}");
        assert!(answer.field("proxy-authenticate").is_none() && answer.body.contains("“line”"), "{answer:?}");
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn an_egress_that_dies_loses_its_traffic_for_a_moment_only() {
    let origin = Origin::start().await;
    let (one, mut two) = (Squid::start().await, Squid::start().await);
    let gateway = gateway(&format!(
        "{NETWORK}{}{}[[egress_pool]]\nname = 'both'\nmembers = ['one', 'two']\n[[rule]]\nname = 'all'\naction = 'allow'\negress = 'both'\n",
        one.egress("one"),
        two.egress("two")
    ))
    .await;
    for _ in 0..20 {
        assert_eq!(ask(&gateway, origin.get("/x")).await.status, 200);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(one.log().contains("TCP_MISS/200") && two.log().contains("TCP_MISS/200"), "both carry some");
    two.child.kill().unwrap();
    // A request that it took while it died may have been acted on, and is not sent twice.
    two.child.wait().unwrap();
    let mut failed = 0;
    for _ in 0..50 {
        failed += u32::from(ask(&gateway, origin.get("/x")).await.status != 200);
    }
    assert_eq!(failed, 0, "nothing of a request had left: it may take the other way");
    // Alone it is said which one it is.
    drop(one);
    let answer = ask(&gateway, origin.get("/x")).await;
    assert_eq!((answer.status, answer.error()), (502, "destination_unavailable"), "{answer:?}");
    assert!(answer.body.contains("“one”") || answer.body.contains("“two”"), "{}", answer.body);
}

/// A place that neither takes nor refuses a connection: its queue is full.
struct Hole {
    _listener: socket2::Socket,
    _full: Vec<std::net::TcpStream>,
    port: u16,
}

impl Hole {
    fn new() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let full =
            (0..4).map_while(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok()).collect();
        Self { _listener: listener, _full: full, port: address.port() }
    }

    fn egress(&self, name: &str) -> String {
        format!("[[egress]]\nname = '{name}'\nkind = 'upstream'\nurl = 'http://127.0.0.1:{}'\n", self.port)
    }
}

fn pool(hole: &Hole, squid: &Squid, check_every: &str) -> String {
    format!(
        "{NETWORK}{}check_every = '{check_every}'\n{}[[egress_pool]]\nname = 'both'\nmembers = ['hole', 'line']\nstrategy = 'weighted'\n\
         [[rule]]\nname = 'all'\naction = 'allow'\negress = 'both'\n",
        hole.egress("hole"),
        squid.egress("line")
    )
}

#[tokio::test]
async fn a_member_that_swallows_connections_costs_less_than_two_seconds() {
    let (origin, hole, squid) = (Origin::start().await, Hole::new(), Squid::start().await);
    // Not tried beforehand: it is the traffic that finds out.
    let gateway = gateway(&pool(&hole, &squid, "1 h")).await;
    let begun = std::time::Instant::now();
    let asked = (0..20).map(|_| ask(&gateway, origin.get("/x")));
    let mut statuses = Vec::new();
    for answer in asked {
        statuses.push(answer.await.status);
    }
    assert_eq!(statuses, [200; 20]);
    // All of them together.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_member_that_does_not_work_is_known_before_anybody_needs_it() {
    let (origin, hole, squid) = (Origin::start().await, Hole::new(), Squid::start().await);
    let gateway = gateway(&pool(&hole, &squid, "2 s")).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    for _ in 0..20 {
        let begun = std::time::Instant::now();
        assert_eq!(ask(&gateway, origin.get("/x")).await.status, 200);
        assert!(begun.elapsed() < Duration::from_millis(1000), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn over_the_limit_of_a_way_the_answer_is_quick_and_says_when_to_come_again() {
    let origin = Origin::start().await;
    let gateway = gateway(&format!(
        "{NETWORK}[timeouts]\nconnect = '3 s'\n[[egress]]\nname = 'narrow'\nkind = 'direct'\nmax_connections = 2\nmax_waiting = 1\n\
         [[rule]]\nname = 'all'\naction = 'allow'\negress = 'narrow'\n"
    ))
    .await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut client = Client::to(&gateway).await;
        client.write(origin.get("/silent")).await;
        slow.push(client);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut waiting = Client::to(&gateway).await;
    waiting.write(origin.get("/x")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = std::time::Instant::now();
    let answer = ask(&gateway, origin.get("/x")).await;
    assert_eq!((answer.status, answer.error(), answer.field("retry-after")), (503, "connection_limit_reached", Some("1")));
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    // The one that waited gets no place in time either.
    assert_eq!(waiting.answer().await.expect("an answer").status, 503);
}
