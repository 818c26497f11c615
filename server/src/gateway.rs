//! `gatehouse gateway`, and the gateway inside `gatehouse serve`.

mod judge;
mod kept;
mod stored;
mod traffic;

use std::{
    io::BufRead as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use gatehouse_gateway::{
    Gateway, Sink,
    names::Host,
    policy::{Explanation, Policy, Question, Scheme, value::PasswordText},
};
use tokio::signal::unix::{Signal, SignalKind};

pub use judge::Judge;
use stored::Follower;
pub use stored::{Database, Keys};
use traffic::TrafficSink;

use crate::{
    config::{GatewayCommand, Settings},
    metrics,
    serve::end_signal,
};

/// How often the policy's file is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A gateway and where its policy comes from.
pub struct Running {
    gateway: Arc<Gateway>,
    policy: Source,
    traffic: Option<Arc<TrafficSink>>,
}

enum Source {
    File(PathBuf),
    Database(Box<Follower>),
}

/// `gatehouse gateway`: serves until told to end.
///
/// # Errors
/// In words for the operator.
pub async fn run(settings: Settings) -> Result<(), String> {
    let running = if settings.gateway_policy.is_some() {
        start(&settings, None).await?
    } else if settings.database.starts_with("ws://") || settings.database.starts_with("wss://") {
        let keys = match &settings.secret_key {
            Some(_) => Keys::Open(settings.keys().map_err(|error| error.to_string())?),
            None => Keys::File(settings.secret_key_file.clone()),
        };
        start(&settings, Some(Database::Remote(settings.store(), keys))).await?
    } else {
        return Err(format!(
            "say where the policy is: --policy FILE, or DATABASE=ws://HOST:PORT for the policy of a database server. The database {} has \
             one owner: its gateway is the one inside 'gatehouse serve' (GATEWAY_LISTEN). docs/operator/gateway.md says more",
            settings.database
        ));
    };
    if let Some(address) = settings.gateway_metrics {
        let problem = |error| format!("GATEWAY_METRICS: can't listen on {address}: {error}");
        let listener = tokio::net::TcpListener::bind(address).await.map_err(problem)?;
        println!("Metrics are ready: http://{}/metrics", listener.local_addr().map_err(problem)?);
        tokio::spawn(metrics::serve_gateway(listener, running.meter()));
    }
    running.until(end_signal()).await;
    Ok(())
}

/// Starts a gateway; without addresses in the settings it listens where the policy says. Its policy is a file where the settings name
/// one, else it is in the database.
///
/// # Errors
/// In words for the operator.
pub async fn start(settings: &Settings, database: Option<Database>) -> Result<Running, String> {
    // A gateway alone with its policy in a file has no database.
    let traffic = database.is_some().then(|| Arc::new(TrafficSink::new(settings.gateway_traffic)));
    let (first, policy) = match (&settings.gateway_policy, database, &traffic) {
        (Some(file), database, traffic) => {
            let loaded = load(file)?;
            for line in loaded.summary().to_string().lines() {
                tracing::info!("policy: {line}");
            }
            if let (Some(Database::Open(store, _)), Some(traffic)) = (database, traffic) {
                stored::record_traffic(settings, store, traffic.clone())?;
            }
            (loaded, Source::File(file.clone()))
        }
        (None, Some(database), Some(traffic)) => {
            let mut follower = Follower::new(settings, database, traffic.clone())?;
            (follower.first().await?, Source::Database(Box::new(follower)))
        }
        (None, ..) => return Err("say where the gateway's policy is: GATEWAY_POLICY".into()),
    };
    let listen = Some(settings.gateway_listen.clone()).filter(|listen| !listen.is_empty());
    if let Some(traffic) = &traffic {
        traffic.know(&first);
    }
    let sink = traffic.clone().map(|traffic| traffic as Arc<dyn Sink>);
    let gateway = Gateway::start_with(first, listen, sink).await.map_err(|error| error.to_string())?;
    for address in gateway.addresses() {
        println!("The gateway is ready: {address}");
    }
    Ok(Running { gateway: Arc::new(gateway), policy, traffic })
}

/// Tells what a gateway counts. It does not keep it from ending.
#[derive(Clone)]
pub struct Meter {
    gateway: Weak<Gateway>,
    traffic: Option<Arc<TrafficSink>>,
}

impl Meter {
    /// What browsers ask for to find the gateway; `None` for clients that it does not serve.
    pub fn pac(&self, host: &str, client: std::net::IpAddr) -> Option<String> {
        self.gateway.upgrade()?.pac(host, client)
    }

    /// In Prometheus' text form; empty when the gateway has ended.
    pub fn text(&self) -> String {
        let mut text = self.gateway.upgrade().map(|gateway| gateway.metrics()).unwrap_or_default();
        if let Some(traffic) = &self.traffic {
            text.push_str(&traffic.metrics());
        }
        text
    }
}

impl Running {
    /// What it counts.
    pub fn meter(&self) -> Meter {
        Meter { gateway: Arc::downgrade(&self.gateway), traffic: self.traffic.clone() }
    }

    /// Serves until `end`, following changes of the policy; then lets what is on its way come to its end.
    pub async fn until(self, end: impl Future<Output = ()>) {
        let Self { gateway, policy, traffic } = self;
        let follow = async {
            let Ok(hangup) = tokio::signal::unix::signal(SignalKind::hangup()) else { return std::future::pending().await };
            match policy {
                Source::File(path) => follow(&gateway, traffic.as_deref(), &path, hangup).await,
                Source::Database(mut follower) => follower.follow(&gateway, hangup).await,
            }
        };
        tokio::select! {
            () = end => {}
            () = follow => {}
        }
        tracing::info!("the gateway is ending: no new connections are taken");
        let cut = gateway.stop().await;
        if cut > 0 {
            tracing::warn!("{cut} connections of the gateway took too long and were cut off");
        }
        if let Some(traffic) = traffic {
            traffic.settle().await;
        }
    }
}

/// Puts the policy in force again whenever its file has changed, or SIGHUP asks for it. One that is wrong is said, and the last good
/// one stays.
async fn follow(gateway: &Gateway, traffic: Option<&TrafficSink>, path: &Path, mut hangup: Signal) {
    let changed = |path: &Path| -> Option<(SystemTime, u64)> {
        let about = std::fs::metadata(path).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    let mut seen = changed(path);
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            () = gateway.lists_changed() => true,
            () = tokio::time::sleep(LOOK) => false,
        };
        let now = changed(path);
        if !asked && (now == seen || now.is_none()) {
            continue;
        }
        seen = now;
        let file = path.to_path_buf();
        // Lists of a million names take a second.
        match tokio::task::spawn_blocking(move || load(&file)).await {
            Ok(Ok(policy)) => {
                tracing::info!("the policy is in force: {}", policy.summary().to_string().lines().next().unwrap_or_default());
                if let Some(traffic) = traffic {
                    traffic.know(&policy);
                }
                gateway.swap(policy);
            }
            Ok(Err(why)) => tracing::error!("the policy stays as it was: {why}"),
            Err(error) => tracing::error!(%error, "the policy stays as it was"),
        }
    }
}

fn load(path: &Path) -> Result<Policy, String> {
    Policy::load(path).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("the policy can't be used:\n{}", lines.join("\n"))
    })
}

/// What needs no gateway that runs.
pub fn offline(command: &GatewayCommand) -> ExitCode {
    let result = match command {
        GatewayCommand::Check { file } => load(file).map(|policy| policy.summary().to_string()),
        GatewayCommand::Explain { file, url, client, person } => explain(file, url, *client, person.as_deref()),
        GatewayCommand::Hash => hash(),
    };
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("gatehouse: {why}");
            ExitCode::FAILURE
        }
    }
}

fn explain(file: &Path, url: &str, client: std::net::IpAddr, person: Option<&str>) -> Result<String, String> {
    explained(&load(file)?, url, client, person, |explanation| explanation.to_string()).map_err(|(_, why)| why)
}

/// Asks a policy about a URL.
///
/// # Errors
/// What of the question is wrong (`url` or `person`), and why.
fn explained<T>(
    policy: &Policy, url: &str, client: std::net::IpAddr, person: Option<&str>, tell: impl FnOnce(&Explanation<'_>) -> T,
) -> Result<T, (&'static str, String)> {
    let (scheme, rest, port, method) = match url.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest, 80, "GET"),
        Some(("https", rest)) => (Scheme::Connect, rest, 443, "CONNECT"),
        _ => return Err(("url", format!("'{url}' is not a URL: use http://host/path, or https://host for a tunnel"))),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = Host::parse_authority(authority, Some(port)).map_err(|why| ("url", format!("'{authority}': {why}")))?;
    let mut who = policy.identify(client);
    if let Some(name) = person {
        let person = policy.person(name).ok_or_else(|| ("person", format!("the policy has no person '{name}'")))?;
        who.groups = person.groups.union(&who.groups);
        who.person = Some(person.name.clone());
    }
    let question = Question {
        client,
        person: who.person.as_deref(),
        groups: &who.groups,
        host: &host,
        port,
        scheme,
        method,
        at: SystemTime::now(),
    };
    Ok(tell(&policy.explain(&question)))
}

fn hash() -> Result<String, String> {
    let mut password = String::new();
    std::io::stdin().lock().read_line(&mut password).map_err(|error| error.to_string())?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("give the password on standard input: one line".into());
    }
    PasswordText::hash(password).map(|hash| hash.as_str().to_string()).map_err(|error| error.to_string())
}
