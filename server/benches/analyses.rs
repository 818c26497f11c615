//! `cargo bench -p gatehouse-server --bench analyses`: how near analyses come to what the engines' own delay allows, and what routing and
//! recording cost each request.
//!
//! 1. 1,000 URLs through 5 integrations whose service answers after 20 ms. With so many look-ups at a time the delay sets a bound: 5,000 ×
//!    20 ms ÷ look-ups at a time. Printed: the share of that bound that is reached (budget: 90 %), and the memory that it took.
//! 2. The same small requests through the door (route, pool, traffic record in the embedded database) and through hyper alone: the
//!    difference in processor time for one request (budget: 100 µs).
//!
//! Ends with a status that is not 0 when a budget is not met. Times are of one run on one machine: compare them with each other only.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement may panic: that is how it fails")]

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use gatehouse_domain::{
    AnalysisStatus, AppError, Consumer, ExplanationView, IntegrationForm, PolicyProblem, PolicyQuestion, ProxyChoice, Secret,
    SecretInput, TestTarget,
};
use gatehouse_outbound::{AddressPolicy, OutDoor, Tester};
use gatehouse_platform::{
    Actor, AnalysisInput, Asker, Caller, Choice, CompanyId, Config, Door, Judged, KeyRing, Network, OutRequest, Platform,
    PolicyDraft, PolicyJudge, Retry, SetUp, door::Recorded,
};
use gatehouse_store::{Store, StoreConfig};

const MAILS: usize = 5;
const URLS: usize = 200;
const ENGINES: usize = 5;
const DELAY: Duration = Duration::from_millis(20);
const REQUESTS: usize = 20_000;
const AT_A_TIME: usize = 32;

fn main() -> ExitCode {
    // `cargo test` would run it too; it measures only when asked to.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let fine = runtime.block_on(async { throughput().await & overhead().await });
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A service that answers every request with the same few bytes after a while. A thread for each connection: the runtime's timers
/// know whole milliseconds only, and would make 20 of them 21.
fn service(delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || serve(stream, delay));
        }
    });
    port
}

fn serve(mut stream: TcpStream, delay: Duration) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 19\r\n\r\n{\"verdict\":\"clean\"}";
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(read) if read > 0 => buffer.extend_from_slice(&piece[..read]),
            _ => return,
        }
        // The requests have no bodies.
        while let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            buffer.drain(..end + 4);
            if !delay.is_zero() {
                std::thread::sleep(delay);
            }
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

struct Installation {
    _folder: tempfile::TempDir,
    store: Store,
    keys: KeyRing,
    platform: Platform,
    actor: Actor,
}

/// Nobody asks for a policy of the gateway here.
struct NoJudge;

impl PolicyJudge for NoJudge {
    fn check(&self, _: &PolicyDraft) -> Result<Judged, Vec<PolicyProblem>> {
        Ok(Judged::default())
    }

    fn explain(&self, _: &PolicyDraft, _: &PolicyQuestion) -> Result<ExplanationView, AppError> {
        Err(AppError::NotFound)
    }
}

async fn installation() -> Installation {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("surrealkv://{}", folder.path().join("bench.db").display());
    let store = Store::open(&StoreConfig::new(&database)).await.unwrap();
    let keys = KeyRing::create(&folder.path().join("key")).unwrap();
    let policy = AddressPolicy::AllowAll;
    let network = Network {
        tester: Arc::new(Tester::with(policy)),
        door: Arc::new(OutDoor::new(Arc::new(store.clone()), keys.clone(), policy)),
    };
    let config = Config::new(TestTarget::parse("https://example.com/").unwrap());
    let platform = Platform::new(store.clone(), network, gatehouse_engines::catalogue(), Arc::new(NoJudge), keys.clone(), config);
    let email = "bench@example.com";
    let password = Secret::new("correct horse battery staple");
    let input = SetUp { company: "Bench".into(), name: "Bench".into(), email: email.into(), password: password.clone() };
    platform.ensure_first_administrator(&input).await.unwrap();
    let session =
        platform.sign_in(email, &password, None, "127.0.0.1", &gatehouse_platform::Origin::command_line()).await.unwrap();
    let actor =
        platform.authenticate(&Caller::Session(session.secret), gatehouse_platform::Origin::command_line()).await.unwrap();
    Installation { _folder: folder, store, keys, platform, actor }
}

async fn throughput() -> bool {
    let port = service(DELAY);
    let Installation { platform, actor, _folder, .. } = installation().await;
    for number in 0..ENGINES {
        let form = IntegrationForm {
            name: format!("Engine {number}"),
            kind: "custom_http".into(),
            api_url: format!("http://127.0.0.1:{port}/"),
            api_key: SecretInput::Set(Secret::new("key")),
            proxy: ProxyChoice::None,
            ..IntegrationForm::default()
        };
        platform.create_integration(&actor, &form).await.unwrap();
    }
    let mail = |number: usize| {
        let urls: String = (0..URLS).map(|at| format!("https://u{at}.m{number}.example/\r\n")).collect();
        format!("From: a@example.com\r\nSubject: Mail {number}\r\nContent-Type: text/plain\r\n\r\n{urls}").into_bytes()
    };
    let before = resident();
    let begun = Instant::now();
    let all = (0..MAILS).map(|number| {
        let (platform, actor, mail) = (platform.clone(), actor.clone(), mail(number));
        tokio::spawn(async move {
            platform.start_analysis(&actor, AnalysisInput::Email(mail), Duration::from_secs(120)).await.unwrap()
        })
    });
    let mut done = 0;
    for one in all.collect::<Vec<_>>() {
        let view = one.await.unwrap();
        assert_eq!((view.status, view.incomplete), (AnalysisStatus::Done, false));
        done += view.results.len();
    }
    let took = begun.elapsed();
    assert_eq!(done, MAILS * URLS * ENGINES);
    let at_a_time = platform.config().look_up_limit;
    let bound = DELAY.mul_f64(done as f64 / at_a_time as f64);
    let share = bound.as_secs_f64() / took.as_secs_f64();
    println!(
        "{} indicators through {ENGINES} engines, {} ms each, {at_a_time} at a time: {:.2} s; the delay alone: {:.2} s; reached: {:.0} % (budget: 90 %); memory: {} MiB before, {} MiB at most",
        MAILS * URLS,
        DELAY.as_millis(),
        took.as_secs_f64(),
        bound.as_secs_f64(),
        share * 100.0,
        before / 1024,
        peak() / 1024,
    );
    share >= 0.9
}

async fn overhead() -> bool {
    let port = service(Duration::ZERO);
    let Installation { store, keys, _folder, actor, .. } = installation().await;
    let door = Arc::new(OutDoor::new(Arc::new(store), keys, AddressPolicy::AllowAll));
    let url = TestTarget::parse(&format!("http://127.0.0.1:{port}/lookup")).unwrap();
    let through_door = {
        let (door, url, company) = (door.clone(), url.clone(), actor.company);
        move || {
            let (door, url) = (door.clone(), url.clone());
            async move {
                let answer = door.send(&asker(company), request(url)).await.unwrap();
                assert_eq!(answer.status, 200);
            }
        }
    };
    // Once to fill pools and caches.
    measure(&through_door, REQUESTS / 10).await;
    let with_door = measure(&through_door, REQUESTS).await;
    let before = processor_seconds();
    door.settle().await;
    let with_door = with_door + processor_seconds() - before;
    let alone = hyper_alone(port, REQUESTS).await;
    let overhead = (with_door - alone) / f64::from(u32::try_from(REQUESTS).unwrap()) * 1e6;
    println!("a request through the door: {:.0} µs of processor time more than through hyper alone (budget: 100 µs)", overhead);
    overhead <= 100.0
}

fn asker(company: CompanyId) -> Asker {
    let consumer = Consumer { kind: "integration".into(), id: "bench".into(), name: "Bench".into() };
    Asker { company, consumer, choice: Choice::None, ca_pem: None, recorded: Recorded::Soon }
}

fn request(url: TestTarget) -> OutRequest {
    OutRequest {
        method: "GET",
        url,
        headers: vec![("authorization", Secret::new("key"))],
        body: Vec::new(),
        timeout: Duration::from_secs(10),
        max_answer: 1024,
        retry: Retry::Never,
        trace: false,
    }
}

/// Processor seconds of this process for so many calls, so many at a time.
async fn measure<F: Future<Output = ()> + Send + 'static>(call: &(impl Fn() -> F + Clone + Send + 'static), count: usize) -> f64 {
    let before = processor_seconds();
    let workers = (0..AT_A_TIME).map(|_| {
        let call = call.clone();
        tokio::spawn(async move {
            for _ in 0..count / AT_A_TIME {
                call().await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    processor_seconds() - before
}

/// The same requests over connections that are kept: the least that an HTTP client can do.
async fn hyper_alone(port: u16, count: usize) -> f64 {
    use http_body_util::{BodyExt as _, Empty};
    let before = processor_seconds();
    let workers = (0..AT_A_TIME).map(|_| {
        tokio::spawn(async move {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = stream.set_nodelay(true);
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            for _ in 0..count / AT_A_TIME {
                let request = http::Request::get("/lookup").header("host", "127.0.0.1").header("authorization", "key");
                let answer = sender.send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap()).await.unwrap();
                assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 19);
                sender.ready().await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    processor_seconds() - before
}

/// User and system time of this process (proc(5), `stat`; in hundredths of a second).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn resident() -> u64 {
    status("VmRSS:")
}

fn peak() -> u64 {
    status("VmHWM:")
}
