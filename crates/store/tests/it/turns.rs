//! Scheduled work: each turn is done once, whoever is killed.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use gatehouse_platform::ports::{ChecksRecord, ChecksStore as _, TurnStore as _, Work};
use gatehouse_store::StoreConfig;

use crate::support::{Bed, Server, at_once, company, now, on_each_database, open};

const WORK: Work = Work::named("test");
const LONG: Duration = Duration::from_secs(60);

on_each_database! {
    a_turn_is_had_by_one_and_done_is_done
    what_was_begun_and_left_is_taken_over_once
    a_round_that_was_cut_off_goes_on
}

async fn a_turn_is_had_by_one_and_done_is_done(bed: Arc<Bed>) {
    // So long that it does not end during the test, but seldom.
    let every = Duration::from_secs(3600 * 24 * 365);
    let take = |turn: usize| {
        let store = bed.either(turn);
        async move { store.take_turn(WORK, every, LONG).await.expect("an answer") }
    };
    let taken: Vec<_> = at_once(12, take).await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1, "one of twelve");
    let turn = &taken[0];
    assert_eq!((turn.number, turn.again, turn.company), (1, false, None));
    assert!(bed.other.renew_turn(turn, LONG).await.expect("still ours"));
    assert!(bed.store.end_turn(turn).await.expect("ended"));
    assert!(!bed.store.end_turn(turn).await.expect("an answer"), "it was ended before");
    assert!(!bed.store.renew_turn(turn, LONG).await.expect("an answer"));
    assert!(at_once(12, take).await.into_iter().flatten().next().is_none(), "what is done is done");
    // Other work has turns of its own; a later span is another turn.
    let short = Duration::from_millis(50);
    let other = Work::named("other");
    let first = bed.store.take_turn(other, short, LONG).await.expect("an answer").expect("nobody has it");
    assert!(bed.store.end_turn(&first).await.expect("ended"));
    tokio::time::sleep(short).await;
    let second = bed.other.take_turn(other, short, LONG).await.expect("an answer").expect("a later one");
    assert_eq!(second.number, 2);
    // One that goes on for longer than its span has nobody beside it.
    tokio::time::sleep(short).await;
    assert_eq!(bed.store.take_turn(other, short, LONG).await.expect("an answer"), None);
}

async fn what_was_begun_and_left_is_taken_over_once(bed: Arc<Bed>) {
    let (every, lease) = (Duration::from_millis(20), Duration::from_millis(400));
    let left = bed.store.take_turn(WORK, every, lease).await.expect("an answer").expect("nobody has it");
    assert!(bed.other.take_over(WORK, 10, LONG).await.expect("an answer").is_empty(), "its lease is not over");
    assert_eq!(bed.other.take_turn(WORK, every, lease).await.expect("an answer"), None);
    // Renewed, it is held from then on.
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(bed.store.renew_turn(&left, lease).await.expect("still ours"));
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(bed.other.take_over(WORK, 10, LONG).await.expect("an answer").is_empty());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let taken = at_once(12, |turn| {
        let store = bed.either(turn);
        async move {
            let by_name = turn % 3 == 0;
            if by_name {
                store.take_turn(WORK, every, LONG).await.expect("an answer")
            } else {
                store.take_over(WORK, 10, LONG).await.expect("an answer").pop()
            }
        }
    });
    let taken: Vec<_> = taken.await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1, "one of twelve");
    assert_eq!((taken[0].number, taken[0].begun_at, taken[0].again), (left.number, left.begun_at, true), "the same turn");
    assert!(!bed.store.renew_turn(&left, lease).await.expect("an answer"), "it is somebody else's");
    assert!(!bed.store.end_turn(&left).await.expect("an answer"));
    assert!(bed.store.end_turn(&taken[0]).await.expect("ended"));
    assert!(bed.store.take_over(Work::named("other"), 10, LONG).await.expect("an answer").is_empty());
}

async fn a_round_that_was_cut_off_goes_on(bed: Arc<Bed>) {
    let lease = Duration::from_millis(200);
    let ours = company(&bed.store).await;
    let due = ChecksRecord { every_minutes: 5, next_at: Some(now()), ..ChecksRecord::default() };
    bed.store.put_checks(ours, &due).await.expect("kept");
    let taken = bed.store.take_due_checks(now(), 10, lease).await.expect("taken");
    assert_eq!(taken.len(), 1);
    let next_at = bed.store.checks(ours).await.expect("read").next_at;
    tokio::time::sleep(lease + Duration::from_millis(50)).await;
    assert!(bed.other.take_due_checks(now(), 10, LONG).await.expect("none is due").is_empty());
    let again = bed.other.take_over(Work::CHECKS, 10, LONG).await.expect("taken over");
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].company, again[0].number, again[0].again), (Some(ours), taken[0].number, true));
    assert_eq!(bed.store.checks(ours).await.expect("read").next_at, next_at, "the next one is when it was");
}

const ADDRESS: &str = "GATEHOUSE_TEST_TURNS_SERVER";
const SPAN: Duration = Duration::from_millis(20);
// Long enough that a busy machine is not taken for a dead process.
const LEASE: Duration = Duration::from_secs(2);
const TURNS: u64 = 1000;

/// Not a test: a process that does whatever is its turn, and is killed. Each line is written at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    let config =
        StoreConfig { database: address, user: Some("root".into()), password: Some(gatehouse_domain::Secret::new("root")) };
    let store = open(&config).await;
    let say = |what: &str, number: u64| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nTURN {what} {number}").and_then(|()| out.flush()).expect("heard");
    };
    loop {
        let Some(turn) = store.take_turn(WORK, SPAN, LEASE).await.expect("an answer") else {
            tokio::time::sleep(Duration::from_millis(rand::random_range(2..8))).await;
            continue;
        };
        // Two at a time would both be seen here.
        say("begun", turn.number);
        tokio::time::sleep(Duration::from_millis(rand::random_range(1..15))).await;
        if turn.number.is_multiple_of(200) {
            // Longer than a lease: it is renewed.
            for _ in 0..4 {
                tokio::time::sleep(LEASE / 3).await;
                assert!(store.renew_turn(&turn, LEASE).await.expect("an answer"), "nobody else took it");
            }
        }
        if store.end_turn(&turn).await.expect("an answer") {
            say("done", turn.number);
        }
    }
}

/// What a process said, and when it was heard.
struct Said {
    by: u32,
    at: Instant,
    what: String,
    number: u64,
}

fn start(config: &StoreConfig, said: &mpsc::Sender<Said>) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["turns::child", "--exact", "--nocapture"])
        .env(ADDRESS, &config.database)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("started");
    let (by, out, said) = (child.id(), BufReader::new(child.stdout.take().expect("its output")), said.clone());
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let mut words = line.split(' ');
            if let (Some("TURN"), Some(what), Some(Ok(number))) = (words.next(), words.next(), words.next().map(str::parse)) {
                let _ = said.send(Said { by, at: Instant::now(), what: what.into(), number });
            }
        }
    });
    child
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_turns_are_done_once_while_processes_are_killed() {
    let Some(server) = Server::start() else { return };
    let config = server.config();
    // Makes the tables.
    open(&config).await.close().await;
    let (sender, receiver) = mpsc::channel();
    let mut children: Vec<_> = (0..4).map(|_| start(&config, &sender)).collect();
    let mut killed: HashMap<u32, Instant> = HashMap::new();
    let (mut heard, mut last) = (Vec::new(), 0);
    let begun = Instant::now();
    while last < TURNS {
        assert!(begun.elapsed() < Duration::from_secs(600), "only {last} turns in ten minutes");
        // At random: in the middle of a turn as between two.
        std::thread::sleep(Duration::from_millis(rand::random_range(100..700)));
        let place = rand::random_range(0..children.len());
        let fresh = start(&config, &sender);
        let mut old = std::mem::replace(&mut children[place], fresh);
        killed.insert(old.id(), Instant::now());
        old.kill().expect("killed");
        old.wait().expect("gone");
        heard.extend(receiver.try_iter());
        last = heard.iter().map(|said: &Said| said.number).max().unwrap_or_default();
    }
    let took = begun.elapsed();
    for child in &mut children {
        killed.insert(child.id(), Instant::now());
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
    std::thread::sleep(Duration::from_millis(200));
    heard.extend(receiver.try_iter());

    let mut turns: BTreeMap<u64, Vec<&Said>> = BTreeMap::new();
    for said in &heard {
        turns.entry(said.number).or_default().push(said);
    }
    let (mut again, mut unheard, mut longest) = (0, 0, Duration::ZERO);
    for number in 1..=TURNS {
        let said = turns.get(&number).unwrap_or_else(|| panic!("turn {number} was never begun"));
        let begun: Vec<_> = said.iter().filter(|said| said.what == "begun").collect();
        let done = said.iter().filter(|said| said.what == "done").count();
        assert!(done <= 1, "turn {number} was done {done} times");
        // Killed between the moment when it was done and the moment when it said so: the next turn has begun all the same.
        if done == 0 {
            let by = begun.last().expect("begun").by;
            assert!(killed.contains_key(&by), "turn {number} was lost by a process that lives");
            unheard += 1;
        }
        for pair in begun.windows(2) {
            let death = killed.get(&pair[0].by).unwrap_or_else(|| panic!("turn {number} was begun twice by processes that live"));
            assert!(pair[1].at > *death, "turn {number} was begun a second time before the first to have it was killed");
            longest = longest.max(pair[1].at - pair[0].at);
            again += 1;
        }
    }
    let kills = killed.len() - children.len();
    println!(
        "{TURNS} turns in {took:?} by 4 processes, {kills} killed: each done once; {again} were begun again, each after whoever had it was \
         killed, {longest:?} later at most; {unheard} were done by a process that was killed before it could say so"
    );
    assert!(kills > 20 && again > 0, "nobody was killed in the middle of a turn: the test says nothing");
    assert!(longest < LEASE + LEASE * 4 / 3 + Duration::from_secs(5), "a turn was left for longer than a lease: {longest:?}");
}
