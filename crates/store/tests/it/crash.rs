//! `kill -9` in the middle of writes: what was acknowledged is there afterwards.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gatehouse_platform::{
    AnalysisId, CompanyId, ProxyId,
    ports::{AccessStore as _, AnalysisStore as _, ProxyStore as _, ProxyWrite},
};
use gatehouse_store::{Store, StoreConfig};

use crate::{
    analyses,
    support::{company, form, now},
};

const FOLDER: &str = "GATEHOUSE_TEST_CRASH_FOLDER";
const COMPANY: &str = "GATEHOUSE_TEST_CRASH_COMPANY";

/// From some hundred bytes to more than a block of the log: what a kill can tear.
fn large(number: usize) -> ProxyWrite {
    let mut form = form(&format!("{} {number}", std::process::id()));
    let length = [0usize, 0, 3000, 0, 0, 30_000, 0, 60_000][number % 8];
    if length > 0 {
        let mut der =
            vec![0x30, 0x83, 0, u8::try_from(length >> 8).expect("short"), u8::try_from(length & 0xff).expect("a byte")];
        der.resize(der.len() + length, u8::try_from(number % 251).expect("a byte"));
        form.ca_pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", STANDARD.encode(der));
    }
    ProxyWrite { values: form.parse(false).expect("right"), password: None, is_default: number.is_multiple_of(5) }
}

/// Not a test: the process that is killed. It writes in several tasks and prints what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(folder), Ok(company)) = (std::env::var(FOLDER), std::env::var(COMPANY)) else {
        return;
    };
    let company = CompanyId::parse(&company).expect("a company");
    let store = Store::open(&StoreConfig::new(folder)).await.expect("opened");
    let writers = (0..3usize).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let id = ProxyId::new();
                store.create_proxy(company, id, &large(number * 3 + writer), now()).await.expect("made");
                let mut out = std::io::stdout().lock();
                writeln!(out, "ACK {id}").and_then(|()| out.flush()).expect("heard");
            }
        })
    });
    let mut writers: Vec<_> = writers.collect();
    writers.push(tokio::spawn(async move {
        loop {
            let id = analyses::begin(&store, company, "https://a.example/", &analyses::lease("a", 600)).await;
            let mut out = std::io::stdout().lock();
            writeln!(out, "ANALYSIS {id}").and_then(|()| out.flush()).expect("heard");
        }
    }));
    for writer in writers {
        writer.await.expect("killed before");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = StoreConfig::new(format!("surrealkv://{}", folder.path().join("db").display()));
    let store = Store::open(&config).await.expect("opened");
    let company = company(&store).await;
    store.close().await;

    let (mut acknowledged, mut analyses) = (Vec::new(), Vec::new());
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["crash::child", "--exact", "--nocapture"])
            .env(FOLDER, &config.database)
            .env(COMPANY, company.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("started");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, receiver) = mpsc::channel();
        let (analysis_sender, analysis_receiver) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(id) = line.split("ACK ").nth(1).and_then(ProxyId::parse) {
                    let _ = sender.send(id);
                }
                if let Some(id) = line.split("ANALYSIS ").nth(1).and_then(AnalysisId::parse) {
                    let _ = analysis_sender.send(id);
                }
            }
        });
        let first = receiver.recv_timeout(Duration::from_secs(60)).expect("the first write");
        std::thread::sleep(Duration::from_millis(rand::random_range(100..1200)));
        child.kill().expect("killed");
        child.wait().expect("gone");
        reader.join().expect("all was read");
        let before = acknowledged.len();
        acknowledged.push(first);
        acknowledged.extend(receiver.try_iter());
        analyses.extend(analysis_receiver.try_iter());

        // Every second time the next child finds the folder as this one left it, without a clean close in between.
        if round % 2 == 1 {
            let store = Store::open(&config).await.expect("opened after a kill");
            for id in &acknowledged {
                store.proxy(company, *id).await.unwrap_or_else(|error| panic!("round {round}: {id} was acknowledged: {error}"));
            }
            for id in &analyses {
                let (_, results) =
                    store.analysis(company, *id).await.unwrap_or_else(|error| panic!("round {round}: {id}: {error}"));
                assert_eq!(results.len(), 3, "with all its results");
            }
            assert!(crate::support::defaults(&store, company).await.len() <= 1);
            assert!(!store.is_empty().await.expect("an answer"));
            store.close().await;
        }
        println!("round {round}: {} acknowledged, then killed", acknowledged.len() - before);
    }
    assert!(!analyses.is_empty());
    println!("{} settings and {} analyses acknowledged in all, all there", acknowledged.len(), analyses.len());
}
