//! Many clients at once: one of them asks the origin for all (RFC 9111, section 4, "collapse"), and nobody gets what is not theirs.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gatehouse_gateway::Gateway;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::sleep};

use crate::stage::{self, Answer, Origin, Reply, Request, Wire, ask};

/// How many ask at once.
const CROWD: usize = 20;
/// How long the origin thinks: long enough for all of the crowd to have arrived.
const THINKS: u64 = 800;

/// A gateway, and an origin that counts, by path.
struct Scene {
    proxy: SocketAddr,
    origin: SocketAddr,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    _gateway: Gateway,
}

impl Scene {
    /// The origin says what this makes of a request and of how many there were before it.
    async fn new(says: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::with("", says).await
    }

    /// The same with more lines in the gateway's table of the cache.
    async fn with(more: &str, says: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Self {
        let gateway = stage::gateway_with(more).await;
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let origin = Origin::start({
            let counts = counts.clone();
            move |request| {
                let before = {
                    let mut counts = counts.lock().unwrap();
                    let count: &mut usize = counts.entry(request.target.clone()).or_default();
                    *count += 1;
                    *count - 1
                };
                says(request, before)
            }
        })
        .await;
        Self { proxy: gateway.addresses()[0], origin: origin.address, counts, _gateway: gateway }
    }

    fn count(&self, path: &str) -> usize {
        self.counts.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    fn request(&self, method: &str, path: &str, fields: &str) -> String {
        format!("{method} http://{}{path} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", self.origin, self.origin)
    }

    async fn get(&self, path: &str, fields: &str) -> Result<Reply, String> {
        ask(self.proxy, &self.request("GET", path, fields)).await
    }

    /// All at once, each with the fields that its number gives.
    async fn crowd(&self, count: usize, path: &str, fields: impl Fn(usize) -> String) -> Vec<Result<Reply, String>> {
        let asking: Vec<_> = (0..count)
            .map(|number| {
                let (proxy, request) = (self.proxy, self.request("GET", path, &fields(number)));
                tokio::spawn(async move { ask(proxy, &request).await })
            })
            .collect();
        let mut replies = Vec::new();
        for task in asking {
            replies.push(task.await.unwrap());
        }
        replies
    }
}

/// The bodies of answers that must all have come, whole.
fn bodies(replies: Vec<Result<Reply, String>>) -> Vec<String> {
    replies
        .into_iter()
        .map(|reply| {
            let reply = reply.unwrap();
            assert_eq!((reply.status, reply.broken), (200, None), "{reply:?}");
            reply.body
        })
        .collect()
}

fn numbered(fields: &str, before: usize) -> Answer {
    Answer::new(200, fields).body(&format!("answer {before}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_on_a_cold_url_asks_the_origin_once() {
    let scene = Scene::new(|_, before| numbered("Cache-Control: max-age=60", before).after(THINKS)).await;
    let bodies = bodies(scene.crowd(CROWD, "/cold", |_| String::new()).await);
    assert_eq!(bodies, vec!["answer 0"; CROWD]);
    assert_eq!(scene.count("/cold"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_on_a_cold_url_in_chunks_asks_the_origin_once() {
    let long = "0123456789".repeat(20_000);
    let expected = long.clone();
    let scene =
        Scene::new(move |_, _| Answer::new(200, "Cache-Control: max-age=60").body(&long).wire(Wire::Chunked).after(THINKS)).await;
    for body in bodies(scene.crowd(CROWD, "/cold", |_| String::new()).await) {
        assert!(body == expected, "{} of {} bytes", body.len(), expected.len());
    }
    assert_eq!(scene.count("/cold"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_answers_of_its_own_when_they_are_not_to_be_stored() {
    let scene = Scene::new(|request, before| {
        let fields = match request.target.as_str() {
            "/no-store" => "Cache-Control: no-store",
            "/private" => "Cache-Control: private, max-age=60",
            "/cookie" => "Cache-Control: max-age=60\nSet-Cookie: session=1",
            "/star" => "Cache-Control: max-age=60\nVary: *",
            _ => "",
        };
        numbered(fields, before).after(300)
    })
    .await;
    for path in ["/no-store", "/private", "/cookie", "/star", "/plain"] {
        let bodies = bodies(scene.crowd(CROWD, path, |_| String::new()).await);
        let different: HashSet<_> = bodies.iter().collect();
        assert_eq!(different.len(), CROWD, "{path}: {bodies:?}");
        assert_eq!(scene.count(path), CROWD, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_a_crowd_takes_half_an_answer_for_a_whole_one() {
    let whole = "0123456789".repeat(1_000);
    let expected = whole.clone();
    let scene = Scene::new(move |request, before| {
        let half = if request.target == "/chunks" { Wire::HalfChunked } else { Wire::HalfLength };
        let wire = if before == 0 { half } else { Wire::Length };
        Answer::new(200, "Cache-Control: max-age=60").body(&whole).wire(wire).after(THINKS)
    })
    .await;
    for path in ["/length", "/chunks"] {
        for reply in scene.crowd(CROWD, path, |_| String::new()).await {
            // An error is no answer, and so is one that can be seen to be cut; but what looks whole is.
            if let Ok(Reply { status: 200, body, broken: None, .. }) = reply {
                assert!(body == expected, "{path}: {} of {} bytes", body.len(), expected.len());
            }
        }
        let after = bodies(vec![scene.get(path, "").await]);
        assert!(after == [expected.clone()], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_outlives_the_one_that_asked_first() {
    let scene = Scene::new(|_, before| numbered("Cache-Control: max-age=60", before).after(THINKS)).await;
    let mut first = TcpStream::connect(scene.proxy).await.unwrap();
    first.write_all(scene.request("GET", "/left", "").as_bytes()).await.unwrap();
    while scene.count("/left") == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    let leave = async {
        sleep(Duration::from_millis(200)).await;
        drop(first);
    };
    let (replies, ()) = tokio::join!(scene.crowd(CROWD, "/left", |_| String::new()), leave);
    bodies(replies);
    assert!(scene.count("/left") <= 3, "{}", scene.count("/left"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_does_not_wait_for_a_client_that_does_not_read() {
    let long = "0123456789".repeat(400_000);
    let length = long.len();
    let scene = Scene::new(move |_, _| Answer::new(200, "Cache-Control: max-age=60").body(&long)).await;
    let mut first = TcpStream::connect(scene.proxy).await.unwrap();
    first.write_all(scene.request("GET", "/long", "").as_bytes()).await.unwrap();
    while scene.count("/long") == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    for body in bodies(scene.crowd(3, "/long", |_| String::new()).await) {
        assert_eq!(body.len(), length);
    }
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_different_variants_gets_each_its_own() {
    let scene = Scene::new(|request, _| {
        let language = request.field("accept-language").unwrap_or_default();
        Answer::new(200, "Cache-Control: max-age=60\nVary: Accept-Language").body(&language).after(300)
    })
    .await;
    let bodies = bodies(scene.crowd(CROWD, "/variants", |number| format!("Accept-Language: x-{}\r\n", number % 5)).await);
    for (number, body) in bodies.iter().enumerate() {
        assert_eq!(body, &format!("x-{}", number % 5));
    }
    assert!((5..=CROWD).contains(&scene.count("/variants")), "{}", scene.count("/variants"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_different_people_gets_each_its_own() {
    let scene = Scene::new(|request, _| {
        let who = request.field("authorization").or(request.field("cookie")).unwrap_or_default();
        let control = match request.target.as_str() {
            "/basic/private" | "/cookie/private" => "Cache-Control: private, max-age=60",
            "/cookie/set" => "Cache-Control: max-age=60\nSet-Cookie: session=1",
            _ => "Cache-Control: max-age=60",
        };
        Answer::new(200, control).body(&who).after(200)
    })
    .await;
    for path in ["/basic/plain", "/basic/private", "/cookie/private", "/cookie/set"] {
        let name = if path.starts_with("/basic") { "Authorization" } else { "Cookie" };
        let bodies = bodies(scene.crowd(CROWD, path, |number| format!("{name}: me={number}\r\n")).await);
        for (number, body) in bodies.iter().enumerate() {
            assert_eq!(body, &format!("me={number}"), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn someone_without_a_name_does_not_wait_for_somebodys_answer() {
    let scene = Scene::new(|request, _| {
        let who = request.field("authorization").unwrap_or("nobody".into());
        Answer::new(200, "Cache-Control: max-age=60").body(&who).after(THINKS)
    })
    .await;
    let replies = scene
        .crowd(CROWD, "/mixed", |number| if number % 2 == 0 { format!("Authorization: me={number}\r\n") } else { String::new() })
        .await;
    for (number, body) in bodies(replies).iter().enumerate() {
        // One with a name may get what is stored for all (3.5 forbids only the other way round).
        let own = if number % 2 == 0 { format!("me={number}") } else { "nobody".into() };
        assert!(*body == own || body == "nobody", "{number}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_post_is_asked() {
    let scene = Scene::new(|_, before| numbered("Cache-Control: max-age=60", before).after(300)).await;
    let asking: Vec<_> = (0..5)
        .map(|_| {
            let (proxy, request) = (scene.proxy, scene.request("POST", "/post", "Content-Length: 1\r\n") + "a");
            tokio::spawn(async move { ask(proxy, &request).await })
        })
        .collect();
    for task in asking {
        assert_eq!(task.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(scene.count("/post"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_on_what_is_stale_validates_it_and_all_get_it() {
    let scene = Scene::new(|_, before| match before {
        0 => Answer::new(200, "Cache-Control: max-age=60\nAge: 100\nETag: \"a\"").body("stored"),
        _ => Answer::new(200, "Cache-Control: max-age=60\nETag: \"a\"").body("stored").knows("\"a\"").after(THINKS),
    })
    .await;
    scene.get("/stale", "").await.unwrap();
    assert_eq!(bodies(scene.crowd(CROWD, "/stale", |_| String::new()).await), vec!["stored"; CROWD]);
    assert_eq!(bodies(vec![scene.get("/stale", "").await]), ["stored"]);
    assert_eq!(scene.count("/stale"), 2, "one validation is enough for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_on_what_may_be_stale_has_it_fetched_once() {
    let scene = Scene::new(|_, before| match before {
        0 => Answer::new(200, "Cache-Control: max-age=60, stale-while-revalidate=600\nAge: 100").body("old"),
        _ => Answer::new(200, "Cache-Control: max-age=60").body("new").after(THINKS),
    })
    .await;
    scene.get("/while", "").await.unwrap();
    assert_eq!(bodies(scene.crowd(CROWD, "/while", |_| String::new()).await), vec!["old"; CROWD]);
    sleep(Duration::from_millis(THINKS + 500)).await;
    assert_eq!(bodies(vec![scene.get("/while", "").await]), ["new"]);
    assert_eq!(scene.count("/while"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_not_left_hanging_by_an_error() {
    let scene = Scene::new(|request, before| match (request.target.as_str(), before) {
        ("/503", 0) => Answer::new(503, "").body("no").after(300),
        ("/nothing", 0 | 1) => Answer::new(200, "").wire(Wire::Nothing).after(300),
        _ => numbered("Cache-Control: max-age=60", before).after(100),
    })
    .await;
    for path in ["/503", "/nothing"] {
        for reply in scene.crowd(CROWD, path, |_| String::new()).await {
            let reply = reply.unwrap();
            assert!(reply.broken.is_none() && (reply.status == 200 || reply.status >= 500), "{path}: {reply:?}");
        }
        assert_eq!(bodies(vec![scene.get(path, "").await]).len(), 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_not_left_hanging_by_silence() {
    let scene = Scene::with("[timeouts]\nresponse_head = 1", |request, before| {
        let control = match request.target.as_str() {
            "/if-error" => "Cache-Control: max-age=60, stale-if-error=600\nAge: 100\nETag: \"a\"",
            "/must-not" => "Cache-Control: max-age=60, stale-if-error=600, must-revalidate\nAge: 100\nETag: \"a\"",
            _ => "Cache-Control: max-age=60\nAge: 100\nETag: \"a\"",
        };
        let answer = numbered(control, before);
        if before == 0 { answer } else { answer.after(30_000) }
    })
    .await;
    for (path, expected) in [("/if-error", (200, Some("answer 0"))), ("/must-not", (504, None)), ("/plain", (504, None))] {
        scene.get(path, "").await.unwrap();
        for reply in scene.crowd(5, path, |_| String::new()).await {
            let reply = reply.unwrap();
            assert_eq!(reply.status, expected.0, "{path}: {reply:?}");
            assert!(expected.1.is_none_or(|body| body == reply.body), "{path}: {reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_may_ask_with_conditions_and_ranges_of_its_own() {
    let scene = Scene::new(|request, _| {
        let answer = Answer::new(200, "Cache-Control: max-age=60\nETag: \"a\"").body("0123456789").after(THINKS);
        // An origin that knows conditions and one range, since either may be asked of it.
        match request.field("range").as_deref() {
            Some("bytes=0-3") => {
                Answer::new(206, "Cache-Control: max-age=60\nETag: \"a\"\nContent-Range: bytes 0-3/10").body("0123").after(THINKS)
            }
            _ => answer.knows("\"a\""),
        }
    })
    .await;
    let replies = scene
        .crowd(CROWD, "/own", |number| match number % 4 {
            0 => "If-None-Match: \"a\"\r\n".into(),
            1 => "Range: bytes=0-3\r\n".into(),
            2 => "If-None-Match: \"b\"\r\n".into(),
            _ => String::new(),
        })
        .await;
    for (number, reply) in replies.into_iter().enumerate() {
        let reply = reply.unwrap();
        let expected = match number % 4 {
            0 => (304, ""),
            1 => (206, "0123"),
            _ => (200, "0123456789"),
        };
        assert_eq!((reply.status, reply.body.as_str(), reply.broken), (expected.0, expected.1, None), "{number}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_reads_along_what_comes_slowly() {
    let whole = "0123456789".repeat(3_000);
    let expected = whole.clone();
    let scene = Scene::new(move |request, _| {
        let wire = if request.target == "/chunks" { Wire::LateChunked } else { Wire::LateLength };
        Answer::new(200, "Cache-Control: max-age=60").body(&whole).wire(wire)
    })
    .await;
    for path in ["/length", "/chunks"] {
        // The others come in the middle of it.
        let (first, others) = tokio::join!(scene.get(path, ""), async {
            sleep(Duration::from_millis(300)).await;
            scene.crowd(CROWD, path, |_| String::new()).await
        });
        for body in bodies(others.into_iter().chain([first]).collect()) {
            assert!(body == expected, "{path}: {} of {} bytes", body.len(), expected.len());
        }
        assert_eq!(scene.count(path), 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_reads_along_sees_when_it_breaks_off() {
    let whole = "0123456789".repeat(3_000);
    let expected = whole.clone();
    let scene = Scene::new(move |_, before| {
        let wire = if before == 0 { Wire::LateHalf } else { Wire::Length };
        Answer::new(200, "Cache-Control: max-age=60").body(&whole).wire(wire)
    })
    .await;
    let (first, others) = tokio::join!(scene.get("/breaks", ""), async {
        sleep(Duration::from_millis(300)).await;
        scene.crowd(CROWD, "/breaks", |_| String::new()).await
    });
    for reply in others.into_iter().chain([first]) {
        if let Ok(Reply { status: 200, body, broken: None, .. }) = reply {
            assert!(body == expected, "{} of {} bytes", body.len(), expected.len());
        }
    }
    assert!(bodies(vec![scene.get("/breaks", "").await]) == [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_the_whole_of_what_is_too_large_to_be_kept() {
    let whole = "0123456789".repeat(60_000);
    let expected = whole.clone();
    let scene = Scene::with("max_object = 100000", move |request, _| {
        let wire = match request.target.as_str() {
            "/length" => Wire::Length,
            "/late-length" => Wire::LateLength,
            "/chunks" => Wire::Chunked,
            "/late-chunks" => Wire::LateChunked,
            _ => Wire::UntilEnd,
        };
        Answer::new(200, "Cache-Control: max-age=60").body(&whole).wire(wire)
    })
    .await;
    for path in ["/length", "/late-length", "/chunks", "/late-chunks", "/until-end"] {
        for _ in 0..2 {
            for body in bodies(scene.crowd(5, path, |_| String::new()).await) {
                assert!(body == expected, "{path}: {} of {} bytes", body.len(), expected.len());
            }
        }
        assert_eq!(scene.count(path), 10, "{path}: each has asked for itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn little_memory_forgets_answers_and_confuses_none() {
    let scene = Scene::with("memory = 1000000\nmax_object = 100000", |request, _| {
        Answer::new(200, "Cache-Control: max-age=60").body(&request.target.repeat(10_000))
    })
    .await;
    for _ in 0..3 {
        for number in 0..40 {
            let path = format!("/{number:03}");
            let body = bodies(vec![scene.get(&path, "").await]).remove(0);
            assert!(body == path.repeat(10_000), "{path}: {} bytes", body.len());
        }
    }
    let asked: usize = scene.counts.lock().unwrap().values().sum();
    assert!(asked > 40, "40 answers of 40 kB are not all kept in 1 MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_variants_are_never_confused() {
    let scene = Scene::new(|request, _| {
        Answer::new(200, "Cache-Control: max-age=60\nVary: Foo").body(&request.field("foo").unwrap_or_default())
    })
    .await;
    for _ in 0..3 {
        for number in 0..50 {
            let body = bodies(vec![scene.get("/many", &format!("Foo: {number}\r\n")).await]).remove(0);
            assert_eq!(body, number.to_string());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hits_and_misses_follow_each_other_on_one_connection() {
    let scene = Scene::new(|request, before| {
        Answer::new(200, "Cache-Control: max-age=60\nETag: \"a\"").body(&format!("{} {before}", request.target))
    })
    .await;
    let mut client = crate::bed::Client::at(scene.proxy).await;
    // All at once: the answers come in this order all the same.
    let asked = [
        ("GET", "/a", "", "", 200, "/a 0"),
        ("GET", "/a", "", "", 200, "/a 0"),
        ("HEAD", "/a", "", "", 200, ""),
        ("GET", "/a", "If-None-Match: \"a\"\r\n", "", 304, ""),
        ("GET", "/b", "", "", 200, "/b 0"),
        ("GET", "/a", "Range: bytes=0-1\r\n", "", 206, "/a"),
        ("GET", "/a", "Range: bytes=99-\r\n", "", 416, ""),
        ("GET", "/c", "Cache-Control: only-if-cached\r\n", "", 504, "*"),
        ("POST", "/a", "Content-Length: 2\r\n", "hi", 200, "/a 1"),
        ("GET", "/a", "", "", 200, "/a 2"),
        ("GET", "/b", "", "", 200, "/b 0"),
        ("GET", "/a", "", "", 200, "/a 2"),
    ];
    let all: String =
        asked.iter().map(|(method, path, fields, content, ..)| scene.request(method, path, fields) + content).collect();
    client.write(all).await;
    for (number, (method, path, _, _, status, body)) in asked.into_iter().enumerate() {
        let answer = client.answer_to(method).await.unwrap_or_else(|| panic!("no answer {number} to {method} {path}"));
        assert_eq!(answer.status, status, "{number} {method} {path}: {}", answer.head);
        assert!(body == "*" || answer.body == body, "{number} {method} {path}: {:?}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_while_it_was_fetched_is_not_kept() {
    // The answer on its way may be from before the change (RFC 9111, 4.4): kept, it would be given for as long as it says.
    let scene = Scene::new(|request, before| match request.method.as_str() {
        "GET" => numbered("Cache-Control: max-age=60", before).after(THINKS),
        _ => numbered("", before),
    })
    .await;
    let change = async {
        while scene.count("/changed") == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        ask(scene.proxy, &(scene.request("POST", "/changed", "Content-Length: 1\r\n") + "a")).await.unwrap()
    };
    let (first, changed) = tokio::join!(scene.get("/changed", ""), change);
    assert_eq!((first.unwrap().body.as_str(), changed.body.as_str()), ("answer 0", "answer 1"));
    assert_eq!(bodies(vec![scene.get("/changed", "").await]), ["answer 2"]);
    assert_eq!(bodies(vec![scene.get("/changed", "").await]), ["answer 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_on_two_ports_are_two_origins() {
    let count = Arc::new(AtomicUsize::new(0));
    let says = |name: &'static str| {
        let count = count.clone();
        move |_: &Request| {
            count.fetch_add(1, Ordering::Relaxed);
            Answer::new(200, "Cache-Control: max-age=60").body(name)
        }
    };
    let gateway = stage::gateway().await;
    let (one, two) = (Origin::start(says("one")).await.address, Origin::start(says("two")).await.address);
    for (origin, name) in [(one, "one"), (two, "two"), (one, "one"), (two, "two")] {
        let reply =
            ask(gateway.addresses()[0], &format!("GET http://{origin}/same HTTP/1.1\r\nHost: {origin}\r\n\r\n")).await.unwrap();
        assert_eq!(reply.body, name);
    }
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_field_does_not_poison_the_answer_of_another_host() {
    // What is asked for is what the request line says (RFC 9112, 3.2.2); with the field in the key or in its place one client could store an
    // answer under another's name.
    let gateway = stage::gateway().await;
    let origin = Origin::start(|request: &Request| {
        Answer::new(200, "Cache-Control: max-age=60").body(&request.field("host").unwrap_or_default())
    })
    .await
    .address;
    for host in ["evil.example", &origin.to_string()] {
        let reply =
            ask(gateway.addresses()[0], &format!("GET http://{origin}/a HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.unwrap();
        assert!(reply.status >= 400 || reply.body == origin.to_string(), "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_stored_where_the_cache_is_off() {
    let gateway = crate::bed::gateway(crate::bed::OPEN).await;
    let count = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start({
        let count = count.clone();
        move |_: &Request| numbered("Cache-Control: max-age=60", count.fetch_add(1, Ordering::Relaxed))
    })
    .await
    .address;
    for number in 0..3 {
        let reply =
            ask(gateway.addresses()[0], &format!("GET http://{origin}/a HTTP/1.1\r\nHost: {origin}\r\n\r\n")).await.unwrap();
        assert_eq!(reply.body, format!("answer {number}"));
        assert_eq!(reply.field("age"), None);
    }
}
