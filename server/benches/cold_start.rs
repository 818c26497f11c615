//! `cargo bench -p gatehouse-server --bench cold_start`: how long it takes on Lambda from the start of the process to the whole first page,
//! with a database server.
//!
//! Both are on this machine; the Runtime API is the local one of the tests. Each start is of a new process, with the event waiting. Measured
//! are the page of signing in, and the list of proxy settings for somebody who is signed in; once with the database beside it, and once
//! behind a relay that holds back every piece for a millisecond each way, as a network between two data centres of a region does.
//! Lambda's own part (fetching the archive, starting the machine) comes before and is not ours.
//!
//! `GATEHOUSE_BIN` measures another program, `LEPTOS_SITE_ROOT` names its files. Ends with a status that is not 0 when one start in twenty takes
//! longer than the budget.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement may panic: that is how it fails")]

#[path = "../tests/api/lambda_runtime.rs"]
mod lambda_runtime;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use lambda_runtime::{Calls, request};
use serde_json::Value;

const BUDGET: Duration = Duration::from_millis(300);
const STARTS: usize = 20;
const EMAIL: &str = "bench@example.com";
const PASSWORD: &str = "correct horse battery staple";

fn main() -> ExitCode {
    // `cargo test` would run it too; it measures only when asked to.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let program = std::env::var_os("GATEHOUSE_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gatehouse")), PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _database = Process(
        Command::new(
            std::env::var_os("GATEHOUSE_SURREAL").expect("GATEHOUSE_SURREAL names a database server: make test-server makes one"),
        )
        .args(["start", "--no-banner", "--log", "error", "--user", "root", "--pass", "root", "--bind"])
        .arg(format!("127.0.0.1:{port}"))
        .arg(format!("surrealkv://{}", folder.path().join("db").display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap(),
    );
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let far = relay(port, Duration::from_millis(1));

    // The tables and somebody to sign in, once.
    let calls = Calls::start();
    let first = start(&program, &calls, port, true);
    let form = format!("email={}&password={}", EMAIL.replace('@', "%40"), PASSWORD.replace(' ', "+"));
    let fields = [("content-type", "application/x-www-form-urlencoded")];
    let signed_in = calls.call(&request("POST", "/sign-in", &fields, &[], Some(form.as_bytes())));
    assert_eq!(signed_in.status, 303, "{}", signed_in.text());
    let session = signed_in.cookies[0].split(';').next().unwrap().to_string();
    drop(first);

    println!(
        "{} starts each, milliseconds from the start of the process to the whole first page (budget: {})",
        STARTS,
        BUDGET.as_millis()
    );
    println!("{:<44}{:>8}{:>8}{:>8}{:>8}", "", "fastest", "p50", "p95", "max");
    let mut fine = true;
    for (place, port) in [("beside it", port), ("1 ms away each way", far)] {
        let page = request("GET", "/sign-in", &[("accept", "text/html")], &[], None);
        fine &= measure(&program, &format!("sign-in, database {place}"), port, &page);
        let list = request("GET", "/company/settings/proxies", &[("accept", "text/html")], &[&session], None);
        fine &= measure(&program, &format!("list, signed in, database {place}"), port, &list);
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(program: &PathBuf, what: &str, port: u16, event: &Value) -> bool {
    let mut times: Vec<Duration> = (0..STARTS)
        .map(|_| {
            let calls = Calls::start();
            let begun = Instant::now();
            let _process = start(program, &calls, port, false);
            let answer = calls.call(event);
            let took = begun.elapsed();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(answer.text().contains("</html>"));
            took
        })
        .collect();
    times.sort();
    let p95 = times[STARTS - 2];
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!("{what:<44}{:>8.0}{:>8.0}{:>8.0}{:>8.0}", ms(times[0]), ms(times[STARTS / 2]), ms(p95), ms(times[STARTS - 1]));
    p95 <= BUDGET
}

/// Ended with the value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &PathBuf, calls: &Calls, port: u16, first: bool) -> Process {
    let mut command = Command::new(program);
    command
        .arg("serve")
        .env_clear()
        .current_dir("/")
        .env("AWS_LAMBDA_RUNTIME_API", &calls.address)
        .env("GATEHOUSE_DATABASE", format!("ws://127.0.0.1:{port}"))
        .env("GATEHOUSE_DATABASE_USER", "root")
        .env("GATEHOUSE_DATABASE_PASSWORD", "root")
        .env("GATEHOUSE_SECRET_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        .stdout(Stdio::null())
        .stderr(if std::env::var_os("BENCH_LOG").is_some() { Stdio::inherit() } else { Stdio::null() });
    for name in ["LEPTOS_SITE_ROOT", "LEPTOS_HASH_FILES", "GATEHOUSE_LOG"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if first {
        command.env("GATEHOUSE_ADMIN_EMAIL", EMAIL).env("GATEHOUSE_ADMIN_PASSWORD", PASSWORD);
    }
    Process(command.spawn().unwrap())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Hands on what comes, each piece after a while.
fn relay(to: u16, delay: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            for stream in [&near, &far] {
                stream.set_nodelay(true).unwrap();
            }
            let pairs = [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)];
            for (mut from, mut to) in pairs {
                std::thread::spawn(move || {
                    let mut bytes = [0; 65_536];
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        std::thread::sleep(delay);
                        if to.write_all(&bytes[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    port
}
