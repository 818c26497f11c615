//! The private network stays closed, however it is spelled, and whatever is asked for by whichever method.

use crate::bed::{Client, Origin, ask, gateway};

/// Allows everything and opens nothing.
const CLOSED: &str = "
    [network]
    connect_ports = ['1-65535']
    http_ports = ['1-65535']
    [[rule]]
    name = 'all'
    action = 'allow'
";

fn spellings() -> Vec<String> {
    let lines = include_str!("../data/forbidden.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(plain).collect()
}

fn plain(line: &str) -> String {
    let mut pieces = line.split("\\x{");
    let mut text = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let (code, rest) = piece.split_once('}').unwrap();
        text.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
        text.push_str(rest);
    }
    text
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_connected_to() {
    let gateway = gateway(CLOSED).await;
    let origin = Origin::start().await;
    let port = origin.address.port();
    let spellings = spellings();
    assert!(spellings.len() >= 200);
    for host in &spellings {
        for request in [
            format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"),
            format!("GET http://{host}:{port}/x HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"),
            format!("GET /x HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"),
        ] {
            let answer = ask(&gateway, &request).await;
            assert!(matches!(answer.status, 400 | 403), "{request:?}: {answer:?}");
            // What it is that is closed is not told.
            for word in ["loopback", "private", "metadata", "link-local"] {
                let said = answer.body.to_lowercase().replace(host.to_lowercase().trim_end_matches('.'), "");
                assert!(!said.contains(word), "{request:?}: {}", answer.body);
            }
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn names_that_lead_here_are_closed_too() {
    let gateway = gateway(CLOSED).await;
    let origin = Origin::start().await;
    let port = origin.address.port();
    for name in ["localhost", "LOCALHOST.", "a.localhost", "ip6-localhost", "metadata.google.internal"] {
        for request in [
            format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n"),
            format!("GET http://{name}:{port}/ HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n"),
        ] {
            let answer = ask(&gateway, &request).await;
            assert_eq!((answer.status, answer.error()), (403, "destination_ip_prohibited"), "{request:?}: {answer:?}");
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn whoever_is_not_served_learns_nothing() {
    let gateway = gateway("[clients]\nnetworks = ['10.99.0.0/16']\n").await;
    let mut client = Client::to(&gateway).await;
    client.write("GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n").await;
    assert_eq!(client.rest().await, b"", "not a byte");
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_no_more() {
    let gateway = gateway(&format!("[clients]\nmax_connections = 3\n{}", crate::bed::OPEN)).await;
    let origin = Origin::start().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::to(&gateway).await;
        assert_eq!(client.ask(origin.get("/x")).await.status, 200);
        clients.push(client);
    }
    assert_eq!(Client::to(&gateway).await.rest().await, b"", "the fourth is closed");
    clients.pop();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(ask(&gateway, origin.get("/x")).await.status, 200, "there is a place again");
}
