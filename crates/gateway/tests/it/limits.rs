//! How much may be used, seen by a client.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bed::{Client, Origin, ask, gateway};

fn limited(limit: &str) -> String {
    format!(
        "[network]\nopen = ['127.0.0.0/8']\nconnect_ports = ['1-65535']\nhttp_ports = ['1-65535']\n[[limit]]\nname = 'a client'\n{limit}\n\
         [[rule]]\nname = 'all'\naction = 'allow'\nlimit = 'a client'\n"
    )
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_again_and_the_connection_stays() {
    let (gateway, origin) = (gateway(&limited("requests_per_second = 10")).await, Origin::start().await);
    let mut client = Client::to(&gateway).await;
    let (mut served, mut refused) = (0, 0);
    // Ten a second, and many more asked for, however slow this machine is.
    let begun = Instant::now();
    while refused == 0 || begun.elapsed() < Duration::from_millis(500) {
        let answer = client.ask(origin.get("/x")).await;
        match answer.status {
            200 => served += 1,
            429 => {
                assert_eq!(answer.field("retry-after"), Some("1"));
                assert!(answer.body.contains("“a client”"), "{}", answer.body);
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(served >= 2 && refused > 0, "{served} served, {refused} refused");
    assert_eq!(origin.seen().len(), served);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.ask(origin.get("/x")).await.status, 200);
    // A tunnel is a request, too.
    let address = origin.address;
    let mut last = 0;
    for _ in 0..500 {
        if last == 429 {
            break;
        }
        let mut client = Client::to(&gateway).await;
        client.write(format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n")).await;
        last = client.answer_to("CONNECT").await.expect("an answer").status;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn bytes_come_at_their_rate_through_answers_uploads_and_tunnels() {
    let (gateway, origin) = (gateway(&limited("bytes_per_second = '1 MB'")).await, Origin::start().await);
    let (slow, soon) = (Duration::from_millis(3500), Duration::from_secs(12));
    let timed = |what: &str, begun: Instant| {
        let took = begun.elapsed();
        assert!(took > slow && took < soon, "{what}: {took:?}");
    };
    let begun = Instant::now();
    let answer = ask(&gateway, origin.get("/large/5000000")).await;
    assert_eq!(answer.body.len(), 5_000_000);
    timed("an answer", begun);
    // Whoever shares the account has to wait until it is balanced again; one with another address would not.
    let begun = Instant::now();
    let body = vec![b'x'; 4_500_000];
    let head =
        format!("POST {} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", origin.url("/size"), origin.address, body.len());
    let mut client = Client::to(&gateway).await;
    client.write(head).await;
    client.write(&body).await;
    assert_eq!(client.answer().await.expect("an answer").body, "4500000");
    timed("an upload", begun);
    let begun = Instant::now();
    let mut client = Client::to(&gateway).await;
    client.write(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address)).await;
    assert_eq!(client.answer_to("CONNECT").await.expect("an answer").status, 200);
    client.write("GET /large/4500000 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.expect("an answer").body.len(), 4_500_000);
    timed("a tunnel", begun);
    client.stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_volume_that_is_used_up_ends_what_is_on_its_way_and_refuses_the_next() {
    let (gateway, origin) = (gateway(&limited("volume_per_day = '1 MB'")).await, Origin::start().await);
    assert_eq!(ask(&gateway, origin.get("/large/500000")).await.body.len(), 500_000);
    let mut client = Client::to(&gateway).await;
    client.write(origin.get("/large/100000000")).await;
    assert!(client.answer().await.is_none(), "cut off, and not ended");
    let answer = ask(&gateway, origin.get("/x")).await;
    assert_eq!(answer.status, 429);
    assert!(answer.body.contains("for a day is used up") && answer.field("retry-after").is_some(), "{answer:?}");
}

#[tokio::test]
async fn a_volume_that_is_used_is_used_after_a_restart() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let path = folder.path().join("usage");
    // A name that could end the line it stands in.
    let limit = "volume_per_day = '1 MB'".to_string();
    let policy = limited(&limit).replace("'a client'", "\"a \\n%20 client 1 2 3 4\"");
    let policy = format!("[usage]\npath = '{}'\n{policy}", path.display());
    let first = gateway(&policy).await;
    assert_eq!(ask(&first, origin.get("/large/700000")).await.body.len(), 700_000);
    first.stop().await;
    let second = gateway(&policy).await;
    let mut client = Client::to(&second).await;
    client.write(origin.get("/large/900000")).await;
    assert!(client.answer().await.is_none(), "what was used before counts");
    assert_eq!(ask(&second, origin.get("/x")).await.status, 429);
    second.stop().await;
    // Whoever did not come again is remembered, too, and what is not readable is nobody's.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("nonsense\n\n1 2 3\n{text}x y z 1 2 3\n")).unwrap();
    gateway(&policy).await.stop().await;
    let third = gateway(&policy).await;
    assert_eq!(ask(&third, origin.get("/x")).await.status, 429);
}

#[tokio::test]
async fn a_file_for_volumes_that_can_not_be_written_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let text = format!("[listen]\naddresses = ['127.0.0.1:0']\n[usage]\npath = '{}/file/usage'\n", folder.path().display());
    let policy = gatehouse_gateway::policy::Policy::parse(&text, folder.path()).unwrap();
    let said = gatehouse_gateway::Gateway::start(policy, None).await.unwrap_err().to_string();
    assert!(said.starts_with("The file for used volumes, ") && said.contains("can't be used"), "{said}");
}

/// Reads for so long. Answers how many bytes came.
async fn read_for(client: &mut Client, time: Duration) -> usize {
    let (begun, mut count, mut bytes) = (Instant::now(), 0, vec![0; 64 * 1024]);
    while let Some(left) = time.checked_sub(begun.elapsed()) {
        match tokio::time::timeout(left, client.stream.read(&mut bytes)).await {
            Ok(read) => count += read.unwrap(),
            Err(_) => break,
        }
    }
    count
}

#[tokio::test]
async fn what_is_on_its_way_goes_by_the_limit_that_is_in_force() {
    let origin = Origin::start().await;
    let policy = |rate: &str| {
        let text = format!("[listen]\naddresses = ['127.0.0.1:0']\n{}", limited(&format!("bytes_per_second = '{rate}'")));
        gatehouse_gateway::policy::Policy::parse(&text, std::path::Path::new(".")).unwrap()
    };
    let gateway = gateway(&limited("bytes_per_second = '20 kB'")).await;
    let mut plain = Client::to(&gateway).await;
    plain.write(origin.get("/large/2000000000")).await;
    let mut tunnel = Client::to(&gateway).await;
    tunnel.write(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address)).await;
    assert_eq!(tunnel.answer_to("CONNECT").await.expect("an answer").status, 200);
    tunnel.write("GET /large/2000000000 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let both = async |plain: &mut Client, tunnel: &mut Client, time: u64| {
        tokio::join!(read_for(plain, Duration::from_millis(time)), read_for(tunnel, Duration::from_millis(time)))
    };
    let (a, b) = both(&mut plain, &mut tunnel, 2000).await;
    assert!(a + b < 100_000, "{a} and {b} bytes in two seconds, of 20 kB each");
    // The pauses of before are not sat out: at 20 kB a piece that was too large would last for seconds.
    gateway.swap(policy("2 MB"));
    both(&mut plain, &mut tunnel, 1000).await;
    let (a, b) = both(&mut plain, &mut tunnel, 2000).await;
    assert!(a > 500_000 && b > 500_000 && a + b < 5_500_000, "{a} and {b} bytes in two seconds, of 2 MB each");
    gateway.swap(policy("20 kB"));
    // What is in the buffers of the sockets comes first.
    both(&mut plain, &mut tunnel, 1500).await;
    let (a, b) = both(&mut plain, &mut tunnel, 2000).await;
    assert!(a + b < 100_000, "{a} and {b} bytes in two seconds, of 20 kB each");
    // A policy that has no limit of that name takes none from what is on its way.
    let renamed = limited("bytes_per_second = '2 MB'").replace("'a client'", "'another'");
    let text = format!("[listen]\naddresses = ['127.0.0.1:0']\n{renamed}");
    gateway.swap(gatehouse_gateway::policy::Policy::parse(&text, std::path::Path::new(".")).unwrap());
    let (a, b) = both(&mut plain, &mut tunnel, 2000).await;
    assert!(a + b < 100_000, "{a} and {b} bytes in two seconds, of 20 kB each");
}
