//! `gatehouse doctor`: what an installation needs, looked at one by one, and what to do where something is missing. Changes nothing but
//! the last test results of proxies and engines.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use gatehouse_gateway::policy::Policy;
use gatehouse_platform::{Inspected, KeyRing, Platform, keys::KeyError};
use gatehouse_store::OpenError;
use serde::Serialize;

use crate::{
    admin::{self, Order},
    config::Settings,
    site, startup,
    tls::{self, About, Tls},
};

/// Less room than this is a problem, and less than ten times as much is worth a word. In bytes.
const LEAST_ROOM: u64 = 200_000_000;
/// Fewer descriptors than this are few for a gateway.
const FEW_DESCRIPTORS: u64 = 8192;
/// A clock that is behind what it wrote itself by this much was set back.
const CLOCK: Duration = Duration::from_secs(120);

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// It works, and may not for long.
    Warning,
    /// It does not.
    Problem,
    /// It was not looked at.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    state: State,
    message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Looks at everything and prints what it finds, each as soon as it is known.
///
/// # Errors
/// How many problems there are.
pub async fn run(settings: Settings, quick: bool, json: bool) -> Result<(), String> {
    let mut report = Report { findings: Vec::new(), json };
    let running = running(&settings).await;
    report.add(clock(&settings.data));
    report.add(room(&settings.data));
    report.add(descriptors());
    report.add(browser_files());
    report.add(port("Port of the console", "LISTEN", settings.listen, running));
    for address in &settings.gateway_listen {
        report.add(port("Port of the gateway", "GATEWAY_LISTEN", *address, running));
    }
    report.add(certificate(&settings.tls));
    if let Some(file) = &settings.gateway_policy {
        report.add(policy(file));
    }
    if settings.cloud {
        report.add(name_servers(&settings));
        report.add(outgoing_addresses(&settings));
    }
    report.add(key(&settings));
    for finding in database(&settings, running, quick).await {
        report.add(finding);
    }
    report.end()
}

struct Report {
    findings: Vec<Finding>,
    json: bool,
}

impl Report {
    fn add(&mut self, finding: Finding) {
        if !self.json {
            let word = match finding.state {
                State::Ok => "ok     ",
                State::Warning => "warning",
                State::Problem => "PROBLEM",
                State::Skipped => "-      ",
            };
            let mut out = std::io::stdout().lock();
            // A pipe that nobody reads any more is no reason to stop.
            let _ = writeln!(out, "{word}  {}: {}", finding.what, finding.message);
            if let Some(hint) = &finding.hint {
                let _ = writeln!(out, "         → {hint}");
            }
        }
        self.findings.push(finding);
    }

    fn end(self) -> Result<(), String> {
        let count = |state: State| self.findings.iter().filter(|finding| finding.state == state).count();
        let (problems, warnings) = (count(State::Problem), count(State::Warning));
        if self.json {
            let document =
                serde_json::json!({"ok": problems == 0, "problems": problems, "warnings": warnings, "findings": self.findings});
            println!("{document:#}");
        } else {
            println!("{} looked at: {problems} problems, {warnings} warnings.", self.findings.len());
        }
        match problems {
            0 => Ok(()),
            1 => Err("there is a problem: see above".into()),
            some => Err(format!("there are {some} problems: see above")),
        }
    }
}

fn ok(what: &str, message: impl Into<String>) -> Finding {
    Finding { what: what.into(), state: State::Ok, message: message.into(), hint: None }
}

fn skipped(what: &str, message: impl Into<String>) -> Finding {
    Finding { state: State::Skipped, ..ok(what, message) }
}

fn warning(what: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { what: what.into(), state: State::Warning, message: message.into(), hint: Some(hint.into()) }
}

fn problem(what: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { state: State::Problem, ..warning(what, message, hint) }
}

/// Whether a server of this data folder answers.
async fn running(settings: &Settings) -> bool {
    match settings.socket() {
        Some(socket) => admin::send(&socket, &Order::Ping).await.is_ok(),
        None => false,
    }
}

/// Whether companies can find out which names a private zone of this network has.
fn name_servers(settings: &Settings) -> Finding {
    const WHAT: &str = "Name servers";
    if !settings.name_servers.is_empty() {
        return ok(WHAT, "those of NAME_SERVERS");
    }
    let hint = "If this machine's name servers know private zones, set NAME_SERVERS to public ones: docs/operator/cloud.md.";
    warning(WHAT, "those of this machine: if they know private names, companies can find out which there are", hint)
}

/// Whether companies can be told what to let in.
fn outgoing_addresses(settings: &Settings) -> Finding {
    const WHAT: &str = "Outgoing addresses";
    if !settings.outgoing_addresses.is_empty() {
        return ok(WHAT, "shown to those who open a firewall for them");
    }
    let hint = "Set OUTGOING_ADDRESSES to the addresses that this installation's connections come from: docs/operator/cloud.md.";
    warning(WHAT, "not known: companies can't be told what their firewalls have to let in", hint)
}

/// Certificates, one-time codes and the order of records all hang on the clock. What it is by others can't be asked on a closed network.
fn clock(data: &Path) -> Finding {
    const WHAT: &str = "Clock";
    let now = SystemTime::now();
    let shown = chrono::Utc::now().format("%Y-%m-%d %H:%M:%S UTC");
    let hint = "Set it, and keep it right with chrony or systemd-timesyncd.";
    let newest = |folder: &Path| {
        let times = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.metadata().ok()?.modified().ok());
        times.max()
    };
    let built = std::env::current_exe().ok().and_then(|exe| fs::metadata(exe).ok()?.modified().ok());
    if built.is_some_and(|built| built > now + CLOCK) {
        return problem(WHAT, format!("{shown}: that is before this program was installed"), hint);
    }
    if newest(data).is_some_and(|newest| newest > now + CLOCK) {
        return problem(WHAT, format!("{shown}: files in {} were written later than that", data.display()), hint);
    }
    if Path::new("/run/systemd/timesync").exists() && !Path::new("/run/systemd/timesync/synchronized").exists() {
        return warning(WHAT, format!("{shown}; systemd-timesyncd has not found a time server yet"), hint);
    }
    ok(WHAT, shown.to_string())
}

/// Whether there is room for the data, and whether it may be written.
fn room(data: &Path) -> Finding {
    const WHAT: &str = "Data folder";
    let shown = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
    let shown = shown.display();
    // Where it is not there yet, the folder that it is made in counts.
    let there =
        data.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path }).find(|path| path.exists());
    let Some(there) = there else { return problem(WHAT, format!("{shown} can't be made"), "Choose another DATABASE.") };
    let free = match fs2::available_space(there) {
        Ok(free) => free,
        Err(error) => return problem(WHAT, format!("{shown}: {error}"), "Make it readable for the user that Gatehouse runs as."),
    };
    if let Err(error) = tempfile_in(there) {
        return problem(
            WHAT,
            format!("{shown} can't be written: {error}"),
            "Give it to the user that Gatehouse runs as (chown), and run the doctor as that user.",
        );
    }
    let message = format!("{shown}, {} free", size(free));
    match free {
        free if free < LEAST_ROOM => problem(WHAT, message, "Make room: a database that can't write refuses every change."),
        free if free < LEAST_ROOM * 10 => warning(WHAT, message, "Make room before it runs full."),
        _ => ok(WHAT, message),
    }
}

fn tempfile_in(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".gatehouse-doctor-{}", std::process::id()));
    fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    fs::remove_file(path)
}

fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 10_000_000_000 => format!("{} GB", bytes / 1_000_000_000),
        bytes => format!("{} MB", bytes / 1_000_000),
    }
}

fn descriptors() -> Finding {
    const WHAT: &str = "Open files";
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    match soft.map(str::parse::<u64>) {
        Some(Ok(soft)) if soft < FEW_DESCRIPTORS => warning(
            WHAT,
            format!("{soft} at a time; a connection through the gateway takes two"),
            "Raise the limit where the program is started: LimitNOFILE= in its unit, or ulimit -n.",
        ),
        Some(Ok(soft)) => ok(WHAT, format!("{soft} at a time")),
        _ => ok(WHAT, "no limit is known"),
    }
}

fn browser_files() -> Finding {
    const WHAT: &str = "The browser's files";
    let root = site::leptos_options().site_root;
    if Path::new(root.as_ref()).join("pkg").exists() {
        ok(WHAT, root.to_string())
    } else {
        problem(
            WHAT,
            format!("there are none in {root}: pages come without style"),
            "Unpack the whole archive: 'site' and 'hash.txt' stand beside the program.",
        )
    }
}

fn port(what: &str, setting: &str, address: SocketAddr, running: bool) -> Finding {
    if running {
        let reachable = if address.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address };
        return match std::net::TcpStream::connect_timeout(&reachable, Duration::from_secs(2)) {
            Ok(_) => ok(what, format!("{address}; a server runs")),
            Err(error) => warning(
                what,
                format!("a server runs with this data folder, but nothing answers on {address}: {error}"),
                format!("Is it started with another {setting} than this command? Give the doctor the same settings."),
            ),
        };
    }
    match TcpListener::bind(address) {
        Ok(_) => ok(what, format!("{address} is free")),
        Err(error) => {
            if error.kind() == std::io::ErrorKind::AddrInUse && is_ours(address) {
                return ok(what, format!("{address}; a server runs"));
            }
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    format!("Another program has it ('ss -ltnp' says which). End that one or choose another {setting}.")
                }
                std::io::ErrorKind::PermissionDenied => {
                    "Ports below 1024 need CAP_NET_BIND_SERVICE: see the drop-in in docs/operator/install.md.".into()
                }
                std::io::ErrorKind::AddrNotAvailable => {
                    format!("This machine has no such address ('ip addr' shows them). Change {setting}.")
                }
                _ => format!("Change {setting}."),
            };
            problem(what, format!("can't listen on {address}: {error}"), hint)
        }
    }
}

/// Whether something of ours answers there: with a database server, nothing else says that it runs.
fn is_ours(address: SocketAddr) -> bool {
    let reachable = if address.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address };
    let answer = || {
        let mut stream = std::net::TcpStream::connect_timeout(&reachable, Duration::from_secs(2)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {reachable}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
        let mut text = String::new();
        let _ = stream.take(4096).read_to_string(&mut text);
        Some(text)
    };
    let text = answer().unwrap_or_default().to_ascii_lowercase();
    // The console; the console where it speaks HTTPS only; the gateway.
    text.ends_with("ok\n") || text.contains("this port speaks https") || text.contains("gatehouse")
}

fn certificate(tls: &Tls) -> Finding {
    const WHAT: &str = "Certificate";
    let (certificate, key) = match tls {
        Tls::Off => return skipped(WHAT, "TLS is off: something in front of Gatehouse speaks HTTPS, or nobody does"),
        Tls::SelfSigned(folder) => tls::own_files(folder),
        Tls::Files { certificate, key } => (certificate.clone(), key.clone()),
    };
    if matches!(tls, Tls::SelfSigned(_)) && !certificate.exists() {
        return ok(WHAT, "one of our own is made at the first start; browsers warn of it once");
    }
    match tls::look(&certificate, &key) {
        Err(why) => problem(WHAT, why, "Put the right files there. A running server reads them again by itself."),
        Ok(about) => match about.days_left() {
            left if left < 0 => problem(
                WHAT,
                format!("{} has expired", certificate.display()),
                "Put a new one in its place: it is read again by itself.",
            ),
            left if left < 14 => warning(
                WHAT,
                format!("{} expires in {left} days", certificate.display()),
                "Put a new one in its place: it is read again by itself.",
            ),
            left => {
                let About { names, .. } = about;
                ok(WHAT, format!("for {}, {left} days left", if names.is_empty() { "nobody".into() } else { names.join(", ") }))
            }
        },
    }
}

fn policy(file: &Path) -> Finding {
    const WHAT: &str = "The gateway's policy";
    match Policy::load(file) {
        Ok(policy) => ok(WHAT, policy.summary().to_string().lines().next().unwrap_or_default()),
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            problem(
                WHAT,
                format!("{} problems, the first: {first}", problems.len()),
                format!("gatehouse gateway check {}", file.display()),
            )
        }
    }
}

fn key(settings: &Settings) -> Finding {
    const WHAT: &str = "Key file";
    let path = &settings.secret_key_file;
    if let Some(given) = &settings.secret_key {
        return match KeyRing::given(given) {
            Ok(_) => ok(WHAT, "given by SECRET_KEY. A backup does not hold it: keep a copy elsewhere"),
            Err(error) => problem(WHAT, error.to_string(), "Give it the key as it stands in the key file."),
        };
    }
    match KeyRing::read(path) {
        Ok(_) => {
            let open = fs::metadata(path).map(|about| about.permissions().mode() & 0o077).unwrap_or(0);
            let message = format!("{}. A backup does not hold it: keep a copy elsewhere", path.display());
            if open == 0 {
                ok(WHAT, message)
            } else {
                warning(
                    WHAT,
                    format!("others than its owner may read {}", path.display()),
                    format!("chmod 600 {}", path.display()),
                )
            }
        }
        Err(KeyError::Missing(_)) if !settings.cloud && !has_database(settings) => {
            ok(WHAT, format!("{} is made at the first start", path.display()))
        }
        Err(error) => problem(WHAT, error.to_string(), "Put the file back from where you keep its copy."),
    }
}

fn owner(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).ok().map(|about| about.uid())
}

fn effective_user() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").map_or(0, |about| about.uid())
}

fn has_database(settings: &Settings) -> bool {
    match settings.database.strip_prefix("surrealkv://") {
        Some(folder) => fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()),
        // Of a server it is asked.
        None => true,
    }
}

/// The database, and everything in it that leads outwards.
async fn database(settings: &Settings, running: bool, quick: bool) -> Vec<Finding> {
    const WHAT: &str = "Database";
    if running {
        let mut findings = vec![ok(WHAT, format!("{}; a server runs and answers", settings.database))];
        if quick {
            return findings;
        }
        findings.extend(match settings.socket() {
            Some(socket) => tested(admin::send(&socket, &Order::Inspect)).await,
            None => Vec::new(),
        });
        return findings;
    }
    if let Some(folder) = settings.database.strip_prefix("surrealkv://")
        && let Some(owner) = owner(Path::new(folder))
        && owner != effective_user()
    {
        // Opened by another user, the database would get files that its own user can't write.
        let message = format!("{} belongs to another user (number {owner}) and was not opened", settings.database);
        return vec![skipped(WHAT, message)];
    }
    if !has_database(settings) {
        return vec![ok(WHAT, format!("{} is made at the first start", settings.database))];
    }
    let platform = match startup::look(settings).await {
        Ok(platform) => platform,
        Err(error) => {
            let hint = match &error {
                startup::StartError::Open(OpenError::Locked(_)) => {
                    "Another process has it and does not answer as a server does. 'fuser -v' on the folder says which."
                }
                startup::StartError::Open(OpenError::Unreachable { .. }) => "Start the database server, or correct DATABASE.",
                startup::StartError::Open(OpenError::WrongCredentials { .. }) => "Correct DATABASE_USER and DATABASE_PASSWORD.",
                startup::StartError::Open(OpenError::Older { .. }) => {
                    "Nothing is wrong: the next start upgrades it, after a copy is kept. Proxies and engines were not tested."
                }
                startup::StartError::Open(_) => "Keep a copy of the folder, and restore the last backup: gatehouse restore FILE.",
                _ => "Put the right key file back.",
            };
            let finding = problem(WHAT, error.to_string(), hint);
            let harmless = matches!(error, startup::StartError::Open(OpenError::Older { .. }));
            return vec![if harmless { Finding { state: State::Warning, ..finding } } else { finding }];
        }
    };
    let mut findings = vec![ok(WHAT, settings.database.clone())];
    if !quick {
        findings.extend(tested(inspect(&platform)).await);
    }
    findings
}

/// Waits for what tests say, with a word to whoever waits, too.
async fn tested(tests: impl Future<Output = Result<String, String>>) -> Vec<Finding> {
    eprintln!("Testing proxies and engines. Each may take ten seconds.");
    let what = "Proxies and engines";
    match tests.await.map(|text| serde_json::from_str(&text)) {
        Ok(Ok(all)) => inspected(all),
        Ok(Err(error)) => vec![problem(what, error.to_string(), "Is the server of the same version as this command?")],
        Err(why) => vec![problem(what, why, "Look into the server's log.")],
    }
}

fn inspected(all: Vec<Inspected>) -> Vec<Finding> {
    let companies = all.iter().map(|one| &one.company).collect::<std::collections::HashSet<_>>().len();
    let findings: Vec<_> = all
        .into_iter()
        .map(|one| {
            let kind = if one.kind == "proxy" { "Proxy" } else { "Integration" };
            let whose = if companies > 1 { format!(" of {}", one.company) } else { String::new() };
            Finding {
                what: format!("{kind} {}{whose}", one.name),
                state: if one.ok { State::Ok } else { State::Problem },
                message: one.message,
                hint: one.hint.filter(|_| !one.ok),
            }
        })
        .collect();
    if findings.is_empty() { vec![skipped("Proxies and engines", "there are none yet")] } else { findings }
}

/// What a server answers to the doctor.
///
/// # Errors
/// Those of the database, in words.
pub async fn inspect(platform: &Platform) -> Result<String, String> {
    let all = platform.inspect().await.map_err(|error| error.to_string())?;
    serde_json::to_string(&all).map_err(|error| error.to_string())
}
