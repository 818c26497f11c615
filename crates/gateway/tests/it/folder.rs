//! Answers that are kept in a folder: after a restart, after a kill, and when somebody has changed the files.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gatehouse_gateway::{Gateway, policy::Policy};
use tokio::time::sleep;

use crate::bed::{Answer, Client, OPEN, Origin, ask, gateway, made};

fn policy(folder: &Path, more: &str) -> String {
    format!("[cache]\nenabled = true\nfolder = '{}'\n{more}{OPEN}", folder.display())
}

fn get(origin: &Origin, path: &str) -> String {
    format!("GET {} HTTP/1.1\r\nHost: {}\r\nX-Say: Cache-Control: max-age=600\r\n\r\n", origin.url(path), origin.address)
}

fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("gatehouse_gateway_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Waits until so many answers are in the folder.
async fn written(gateway: &Gateway, answers: u64) {
    for _ in 0..500 {
        if metric(gateway, "cache_folder_answers") == answers {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{} of {answers} answers were written", metric(gateway, "cache_folder_answers"));
}

fn came_from_cache(answer: &Answer) -> bool {
    answer.field("age").is_some()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all
}

/// The files of answers.
fn answers(folder: &Path) -> Vec<PathBuf> {
    files(&folder.join("current"))
}

#[tokio::test]
async fn a_restart_finds_what_was_kept() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let policy = policy(folder.path(), "");
    let first = gateway(&policy).await;
    for number in 0..20 {
        ask(&first, get(&origin, &format!("/made/{number}"))).await;
    }
    ask(&first, get(&origin, "/text").replace("X-Say:", "Accept-Language: de\r\nX-Say: Vary: Accept-Language\r\nX-Say:")).await;
    written(&first, 21).await;
    first.stop().await;
    let second = gateway(&policy).await;
    written(&second, 21).await;
    for number in 0..20 {
        let answer = ask(&second, get(&origin, &format!("/made/{number}"))).await;
        assert!(came_from_cache(&answer), "{number}: {}", answer.head);
        assert_eq!(answer.body, made(&format!("/made/{number}")));
    }
    // The variant of before, and no other.
    let german = get(&origin, "/text").replace("X-Say:", "Accept-Language: de\r\nX-Say: Vary: Accept-Language\r\nX-Say:");
    assert!(came_from_cache(&ask(&second, &german).await));
    assert!(!came_from_cache(&ask(&second, german.replace("de", "fr")).await));
    assert_eq!((metric(&second, "cache_folder_loaded_total"), origin.seen().len()), (21, 22));
}

#[tokio::test]
async fn a_folder_is_one_gateways_at_a_time() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let text = policy(folder.path(), "");
    let first = gateway(&text).await;
    ask(&first, get(&origin, "/made/1")).await;
    written(&first, 1).await;
    let parsed = |text: &str| Policy::parse(&format!("[listen]\naddresses = ['127.0.0.1:0']\n{text}"), Path::new(".")).unwrap();
    let refused = Gateway::start(parsed(&text), None).await.expect_err("it is in use").to_string();
    let said = format!("another gateway uses it (process {}), and each needs a folder of its own", std::process::id());
    assert!(refused.contains(&said) && refused.contains(&folder.path().display().to_string()), "{refused}");
    // One that runs already goes on without it, and harms nothing in it.
    let second = gateway(OPEN).await;
    second.swap(parsed(&text));
    ask(&second, get(&origin, "/made/1")).await;
    assert!(came_from_cache(&ask(&second, get(&origin, "/made/1")).await), "in memory");
    assert!(!second.metrics().contains("cache_folder_answers"));
    second.swap(parsed(OPEN));
    assert_eq!(answers(folder.path()).len(), 1);
    // When the first one is done, it is the next one's, as it is; and what the first would still do to it is not done.
    first.stop().await;
    let third = gateway(&text).await;
    written(&third, 1).await;
    first.forget_answers();
    assert!(came_from_cache(&ask(&third, get(&origin, "/made/1")).await));
    assert_eq!(answers(folder.path()).len(), 1);
}

#[tokio::test]
async fn more_is_kept_than_memory_holds_and_no_more_than_the_folder_may() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let policy = policy(folder.path(), "memory = '300 kB'\nmax_object = '100 kB'\ndisk = '1 MB'\n");
    let gateway = gateway(&policy).await;
    for number in 0..18 {
        ask(&gateway, get(&origin, &format!("/large/{}", 50_000 + number))).await;
        written(&gateway, number + 1).await;
    }
    assert!(metric(&gateway, "cache_bytes") <= 300_000);
    for number in 0..18 {
        assert!(came_from_cache(&ask(&gateway, get(&origin, &format!("/large/{}", 50_000 + number))).await), "{number}");
    }
    for number in 18..60 {
        ask(&gateway, get(&origin, &format!("/large/{}", 50_000 + number))).await;
    }
    for _ in 0..200 {
        sleep(Duration::from_millis(10)).await;
        if !came_from_cache(&ask(&gateway, get(&origin, "/large/50001")).await) {
            break;
        }
    }
    assert!(metric(&gateway, "cache_folder_bytes") <= 1_000_000);
    let bytes: u64 = answers(folder.path()).iter().map(|file| fs::metadata(file).map_or(0, |about| about.len())).sum();
    assert!(bytes <= 1_000_000, "{bytes}");
}

#[tokio::test]
async fn a_file_that_was_changed_is_not_an_answer() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let policy = policy(folder.path(), "");
    let changes: [fn(&mut Vec<u8>); 6] = [
        |bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        },
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes[60] ^= 1,
        |bytes| bytes.clear(),
        |bytes| bytes.push(b'x'),
        |bytes| bytes[20] ^= 1,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let path = format!("/made/{}", 100 + number);
        let first = gateway(&policy).await;
        ask(&first, get(&origin, &path)).await;
        written(&first, 1).await;
        first.stop().await;
        let file = answers(folder.path()).pop().unwrap();
        let mut bytes = fs::read(&file).unwrap();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let second = gateway(&policy).await;
        let answer = ask(&second, get(&origin, &path)).await;
        assert_eq!(answer.body, made(&path), "change {number}");
        assert!(!came_from_cache(&answer), "change {number}");
        second.stop().await;
        fs::remove_dir_all(folder.path().join("current")).unwrap();
    }
    // And one that stands where another one belongs.
    let first = gateway(&policy).await;
    ask(&first, get(&origin, "/made/1")).await;
    ask(&first, get(&origin, "/made/2")).await;
    written(&first, 2).await;
    first.stop().await;
    let both = answers(folder.path());
    fs::copy(&both[0], &both[1]).unwrap();
    let second = gateway(&policy).await;
    for path in ["/made/1", "/made/2"] {
        assert_eq!(ask(&second, get(&origin, path)).await.body, made(path));
    }
}

#[tokio::test]
async fn a_folder_of_a_policy_that_opened_more_is_not_used() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let open = policy(folder.path(), "");
    let first = gateway(&open).await;
    ask(&first, get(&origin, "/made/1")).await;
    written(&first, 1).await;
    first.stop().await;
    let second = gateway(&open.replace("'127.0.0.0/8', '::1'", "'127.0.0.0/8'")).await;
    assert!(!came_from_cache(&ask(&second, get(&origin, "/made/1")).await));
    // While it runs it is the same.
    written(&second, 1).await;
    let text = format!("[listen]\naddresses = ['127.0.0.1:0']\n{open}");
    second.swap(Policy::parse(&text, Path::new(".")).unwrap());
    assert_eq!(metric(&second, "cache_folder_answers"), 0);
    assert!(!came_from_cache(&ask(&second, get(&origin, "/made/1")).await));
}

#[tokio::test]
async fn a_folder_that_can_not_be_used_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let text = format!("[listen]\naddresses = ['127.0.0.1:0']\n{}", policy(&file.join("cache"), ""));
    let started = Gateway::start(Policy::parse(&text, Path::new(".")).unwrap(), None).await;
    let said = started.unwrap_err().to_string();
    assert!(said.starts_with("The cache's folder ") && said.contains("can't be used"), "{said}");
}

#[tokio::test]
async fn a_folder_of_other_things_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["current/app", "old-2024", "new-1"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    let text = format!("[listen]\naddresses = ['127.0.0.1:0']\n{}", policy(folder.path(), ""));
    let started = Gateway::start(Policy::parse(&text, Path::new(".")).unwrap(), None).await;
    assert!(started.unwrap_err().to_string().contains("not the cache's"));
    assert!(folder.path().join("current/app").is_dir() && folder.path().join("old-2024").is_dir());
}

#[tokio::test]
async fn what_was_replaced_and_then_purged_is_not_there_after_a_restart() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let policy = policy(folder.path(), "").replace("[cache]\n", "[cache]\npurge_from = '127.0.0.1/32'\n");
    let first = gateway(&policy).await;
    ask(&first, get(&origin, "/made/1")).await;
    written(&first, 1).await;
    for _ in 0..20 {
        // A newer one, of which the writer may not have heard yet.
        ask(&first, get(&origin, "/made/1").replace("X-Say", "Cache-Control: no-cache\r\nX-Say")).await;
        assert_eq!(ask(&first, get(&origin, "/made/1").replace("GET ", "PURGE ")).await.status, 200);
        sleep(Duration::from_millis(20)).await;
        assert!(answers(folder.path()).is_empty(), "{:?}", answers(folder.path()));
    }
}

/// Not a test: the gateway that the next one starts in a process of its own, and kills.
#[test]
#[ignore = "runs in a process of its own, started by another test"]
fn the_gateway_that_is_killed() {
    let Ok(text) = std::env::var("GATEWAY_TO_KILL") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let gateway = Gateway::start(Policy::parse(&text, Path::new(".")).unwrap(), None).await.unwrap();
        println!("\nlistens {}", gateway.addresses()[0]);
        std::future::pending::<()>().await;
    });
}

struct Killed(Child, SocketAddr);

impl Killed {
    fn start(policy: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "folder::the_gateway_that_is_killed", "--ignored", "--nocapture"])
            .env("GATEWAY_TO_KILL", format!("[listen]\naddresses = ['127.0.0.1:0']\n{policy}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("listens ")?.parse().ok()).unwrap();
        Self(child, address)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_it_is_killed_what_it_said_is_true_afterwards() {
    const ROUNDS: usize = 20;
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    let log = folder.path().join("access.log");
    let policy = policy(&folder.path().join("cache"), "disk = '3 MB'\n");
    let policy = format!(
        "[log]\npath = '{}'\nformat = 'json'\n{}",
        log.display(),
        policy.replace("[cache]\n", "[cache]\npurge_from = '127.0.0.1/32'\n")
    );
    // What was answered a moment before the kill, and what was purged when.
    let (mut answered, mut purged, mut from_cache, mut next): (Vec<String>, Option<String>, u32, usize) =
        (Vec::new(), None, 0, 0);
    for round in 0..ROUNDS {
        let child = Killed::start(&policy);
        if let Some(path) = purged.take() {
            let answer = Client::at(child.1).await.ask(get(&origin, &path)).await;
            assert!(!came_from_cache(&answer), "round {round}: {path} was purged, and is there: {}", answer.head);
            assert_eq!(answer.body, made(&path));
        }
        // Half are new ones, half were asked for before; some clients at once, until it is killed somewhere in between.
        let until = Instant::now() + Duration::from_millis(250 + 23 * (round as u64 % 7));
        let tasks: Vec<_> = (0..4)
            .map(|client| {
                let (address, from) = (child.1, next + client * 1000);
                let requests: Vec<_> = (0..400)
                    .map(|at| if at % 2 == 0 { from + at } else { (from + at).wrapping_mul(31) % from.max(1) % 500 })
                    .collect();
                let requests: Vec<_> =
                    requests.into_iter().map(|number| (number, get(&origin, &format!("/made/{number}")))).collect();
                tokio::spawn(async move {
                    let mut client = Client::at(address).await;
                    let mut done = Vec::new();
                    for (number, request) in requests {
                        client.write(&request).await;
                        let Some(answer) = client.answer().await else { break };
                        assert_eq!(answer.body, made(&format!("/made/{number}")), "{}", answer.head);
                        done.push((Instant::now(), format!("/made/{number}?{round}"), came_from_cache(&answer)));
                        if Instant::now() > until {
                            break;
                        }
                    }
                    done
                })
            })
            .collect();
        tokio::time::sleep_until(until.into()).await;
        // In the middle of it all.
        let path = format!("/made/{}", next / 2);
        let mut purger = Client::at(child.1).await;
        purger.ask(get(&origin, &path)).await;
        sleep(Duration::from_millis(20)).await;
        let status = purger.ask(get(&origin, &path).replace("GET ", "PURGE ")).await.status;
        child.kill();
        let killed = Instant::now();
        assert_eq!(status, 200, "round {round}");
        purged = Some(path);
        for task in tasks {
            for (at, path, was_kept) in task.await.unwrap() {
                from_cache += u32::from(was_kept);
                if killed - at > Duration::from_millis(200) {
                    answered.push(path.split('?').next().unwrap().to_string());
                }
            }
        }
        next += 400;
    }
    // The last one mends what the one before has left.
    Killed::start(&policy).kill();
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.ends_with('\n'));
    let mut recorded: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let target = record["target"].as_str().unwrap().to_string();
        *recorded.entry(target[target.find("/made").unwrap()..].to_string()).or_default() += 1;
    }
    let mut missing = Vec::new();
    for path in &answered {
        match recorded.get_mut(path) {
            Some(count) if *count > 0 => *count -= 1,
            _ => missing.push(path),
        }
    }
    assert!(missing.is_empty(), "{} of {} answers are not in the log: {missing:?}", missing.len(), answered.len());
    assert!(answered.len() > 500, "{} answers came: too few to say anything", answered.len());
    assert!(from_cache > 50, "{from_cache} came from what was kept: too few to say anything");
}
