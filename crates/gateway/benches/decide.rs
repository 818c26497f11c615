//! `cargo bench -p gatehouse-gateway --bench decide`: how long a decision takes, and what a policy weighs.
//!
//! 1,000 rules with 10,000 networks and as many names, 50 categories with 1,000,000 domains; questions for names that are listed, for
//! names that are not, for deep names, and for addresses; every tenth by somebody with groups. Each decision is timed by itself, with
//! the clock's own time in it. The policy's tables are larger than the processor's caches, and each question goes elsewhere in them.
//!
//! Ends with a status that is not 0 when the 99th percentile is above 20 µs or a domain takes more than 40 bytes. Times are of one run on
//! one machine: compare them with each other only.

#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement may panic: that is how it fails")]

use std::{
    fmt::Write as _,
    net::IpAddr,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use gatehouse_gateway::{
    names::Host,
    policy::{Action, GroupSet, Policy, Question, Scheme},
};

const RULES: usize = 1_000;
const NETWORKS: usize = 10_000;
const DOMAINS: usize = 1_000_000;
const CATEGORIES: usize = 50;
const QUESTIONS: usize = 1_000_000;
const BUDGET: Duration = Duration::from_micros(20);
const BYTES: f64 = 40.0;

fn main() -> ExitCode {
    // `cargo test` would run it too; it measures only when asked to.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let text = policy(folder.path(), &mut random);
    let before = resident();
    let started = Instant::now();
    let policy = Policy::parse(&text, folder.path()).unwrap_or_else(|problems| panic!("{}", problems[0]));
    println!("{}", policy.summary());
    println!("loaded in {:.2} s; the process grew by {} MiB", started.elapsed().as_secs_f64(), (resident() - before) >> 20);
    #[allow(clippy::cast_precision_loss, reason = "for showing")]
    let bytes = policy.summary().memory as f64 / policy.summary().domains as f64;
    println!("names: {bytes:.1} bytes a domain (budget {BYTES})");

    let mut fine = bytes <= BYTES;
    for (what, kind) in
        [("listed names", 0), ("other names", 1), ("deep names", 2), ("addresses", 3), ("resolved names", 4), ("all", 5)]
    {
        fine &= measure(&policy, what, kind, &mut random);
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn policy(folder: &std::path::Path, random: &mut Random) -> String {
    let mut text = String::from("[network]\nhttp_ports = \"1-65535\"\nconnect_ports = [443, 8443]\n");
    for group in 0..50 {
        writeln!(text, "[[client]]\nname = \"client{group}\"\nnetworks = \"10.{group}.0.0/16\"\ngroups = \"group{group}\"")
            .unwrap();
    }
    for category in 0..CATEGORIES {
        let mut list = String::new();
        for domain in (category..DOMAINS).step_by(CATEGORIES) {
            writeln!(list, "{}", domain_name(domain)).unwrap();
        }
        std::fs::write(folder.join(format!("list{category}")), list).unwrap();
        let level = ["unsafe", "caution", "safe"][category % 3];
        writeln!(text, "[[category]]\nname = \"category{category}\"\nlevel = \"{level}\"\nfiles = \"list{category}\"").unwrap();
    }
    for rule in 0..RULES {
        let action = if rule % 3 == 0 { "allow" } else { "deny" };
        write!(text, "[[rule]]\nname = \"rule{rule}\"\naction = \"{action}\"\n").unwrap();
        // The rules before the last are for few questions each, so most questions go through all of them.
        match rule % 10 {
            0 => writeln!(text, "groups = \"group{}\"\nto = \"*.r{rule}.example\"", rule % 50).unwrap(),
            1 => writeln!(text, "categories = \"category{}\"\nnetworks = \"10.{}.0.0/16\"", rule % 50, rule % 256).unwrap(),
            2 => writeln!(text, "below = \"caution\"\nnetworks = \"10.{}.0.0/24\"\ndays = \"mon-fri\"", rule % 256).unwrap(),
            3 => writeln!(text, "hours = \"08:00-18:0{}\"\ntime_zone = \"Europe/Berlin\"\nports = {}", rule % 10, 9000 + rule)
                .unwrap(),
            _ => {
                let mut places: Vec<String> = (0..15).map(|n| format!("\".n{n}.r{rule}.example\"")).collect();
                let networks = NETWORKS / (RULES * 6 / 10);
                places.extend((0..=networks).map(|_| format!("\"{}\"", network(random))));
                writeln!(text, "to = [{}]", places.join(", ")).unwrap();
            }
        }
    }
    text.push_str("[[rule]]\nname = \"all\"\naction = \"allow\"\n");
    text
}

fn domain_name(number: usize) -> String {
    format!("site{}x.host{}.example{}.com", number.wrapping_mul(2_654_435_761) % 1_000_000_007, number % 97, number % 13)
}

fn network(random: &mut Random) -> String {
    let bits = random.below(1 << 24);
    let [_, a, b, c] = u32::try_from(bits).unwrap().to_be_bytes();
    match bits % 4 {
        0 => format!("{}.{a}.{b}.0/24", 20 + c % 100),
        1 => format!("{}.{a}.0.0/16", 20 + c % 100),
        2 => format!("{}.{a}.{b}.{c}/32", 20 + c % 100),
        _ => format!("2a{a:02x}:{b:x}{c:x}::/32"),
    }
}

fn measure(policy: &Policy, what: &str, kind: u64, random: &mut Random) -> bool {
    let groups: Vec<GroupSet> = (0..50).map(|n| GroupSet::new([format!("group{n}").as_str(), "group49", "staff"])).collect();
    let nobody = GroupSet::default();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut times = Vec::with_capacity(QUESTIONS);
    let mut allowed = 0_usize;
    for number in 0..QUESTIONS {
        let kind = if kind == 5 { random.below(5) } else { kind };
        let host = match kind {
            0 => format!("www.{}", domain_name(usize::try_from(random.below(DOMAINS as u64)).unwrap())),
            1 => format!("www.{}.cdn.unlisted.org", random.below(1 << 40)),
            2 => format!("{}{}.org", "a.".repeat(100), random.below(1 << 40)),
            3 => std::net::Ipv4Addr::from_bits(u32::try_from(random.below(1 << 32)).unwrap()).to_string(),
            _ => format!("n{}.r{}.example", random.below(20), random.below(1000)),
        };
        let host = Host::parse(&host).unwrap();
        let addresses: Vec<IpAddr> =
            (0..4).map(|_| IpAddr::V4(std::net::Ipv4Addr::from_bits(u32::try_from(random.below(1 << 32)).unwrap()))).collect();
        let client = IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 | u32::try_from(random.below(1 << 24)).unwrap()));
        let question = Question {
            client,
            person: (number % 10 == 0).then_some("somebody"),
            groups: if number % 10 == 0 { &groups[number % 50] } else { &nobody },
            host: &host,
            port: 443,
            scheme: Scheme::Connect,
            method: "CONNECT",
            at,
        };
        let started = Instant::now();
        let decision = if kind == 4 { policy.decide_resolved(&question, &addresses) } else { policy.decide(&question) };
        times.push(started.elapsed());
        allowed += usize::from(decision.action == Action::Allow);
    }
    times.sort_unstable();
    let at = |share: usize| times[QUESTIONS * share / 10_000];
    let (p50, p99, worst) = (at(5_000), at(9_900), at(9_990));
    println!("{what:>15}: p50 {p50:>8.2?}  p99 {p99:>8.2?} (budget {BUDGET:?})  p99.9 {worst:>8.2?}  allowed {allowed}");
    p99 <= BUDGET
}

/// Resident memory, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or_default() * 4096
}

/// Marsaglia's xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
