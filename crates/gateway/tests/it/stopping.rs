//! The log, metrics, and the end.

use std::time::{Duration, Instant};

use crate::bed::{Client, OPEN, Origin, ask, gateway};

#[tokio::test]
async fn each_transaction_is_one_record_without_its_query() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start().await;
    for format in ["squid", "json"] {
        let path = folder.path().join(format);
        let gateway = gateway(&format!("[log]\npath = '{}'\nformat = '{format}'\n{OPEN}", path.display())).await;
        ask(&gateway, origin.get("/x?token=secret")).await;
        ask(&gateway, "GET http://10.0.0.1/ HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n").await;
        let mut tunnel = Client::to(&gateway).await;
        tunnel
            .write(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", origin.address))
            .await;
        assert_eq!(tunnel.answer_to("CONNECT").await.expect("an answer").status, 200);
        assert_eq!(tunnel.answer().await.expect("an answer").status, 200);
        drop(tunnel);
        ask(&gateway, "nonsense\r\n\r\n").await;
        let metrics = gateway.metrics();
        assert!(metrics.contains("gatehouse_gateway_requests_total{status=\"4xx\"} 2"), "{metrics}");
        gateway.stop().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let log = std::fs::read_to_string(&path).unwrap();
        assert_eq!(log.lines().count(), 4, "{log}");
        assert!(!log.contains("secret") && log.contains(&origin.url("/x")), "{log}");
        let tunnel = log.lines().find(|line| line.contains("CONNECT")).unwrap();
        if format == "json" {
            let record: serde_json::Value = serde_json::from_str(tunnel).unwrap();
            assert_eq!((&record["cache"], &record["status"], &record["rule"]), (&"tunnel".into(), &200.into(), &"all".into()));
            assert!(record["bytes_out"].as_u64().unwrap() > 40 && record["bytes_in"].as_u64().unwrap() > 20, "{record}");
            assert!(log.contains("\"cause\":\"destination_ip_prohibited\"") && log.contains("\"cause\":\"http_request_error\""));
        } else {
            assert!(
                tunnel.contains("TCP_TUNNEL/200")
                    && tunnel.contains(&format!("CONNECT {} - HIER_DIRECT/127.0.0.1", origin.address))
            );
            assert!(log.contains("TCP_DENIED/403") && log.contains("TCP_MISS/400"), "{log}");
        }
    }
}

#[tokio::test]
async fn the_end_waits_for_what_is_on_its_way_and_cuts_what_takes_too_long() {
    let origin = Origin::start().await;
    let gateway = gateway(&format!("[timeouts]\ndrain = '700 ms'\n{OPEN}")).await;
    let address = gateway.addresses()[0];
    // One that asks for nothing, one in the middle of an answer, one tunnel.
    let mut idle = Client::to(&gateway).await;
    assert_eq!(idle.ask(origin.get("/x")).await.status, 200);
    let mut reading = Client::to(&gateway).await;
    reading.write(origin.get("/large/30000000")).await;
    let mut tunnel = Client::to(&gateway).await;
    tunnel.write(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address)).await;
    assert_eq!(tunnel.answer_to("CONNECT").await.expect("an answer").status, 200);
    // And an answer that never ends.
    let mut stalled = Client::to(&gateway).await;
    stalled.write(origin.get("/stalls")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    let (cut, answer) = tokio::join!(gateway.stop(), reading.answer());
    assert_eq!(answer.expect("whole").body.len(), 30_000_000);
    assert_eq!(cut, 2, "the tunnel, and the answer that never ends");
    assert!(stalled.answer().await.is_none(), "cut off, and not ended");
    assert!(begun.elapsed() >= Duration::from_millis(600) && begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(idle.rest().await, b"");
    assert_eq!(tunnel.rest().await, b"");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
