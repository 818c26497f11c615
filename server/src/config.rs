//! Settings: a flag, else `GATEHOUSE_<NAME>`, else `gatehouse.toml` in the working folder, else the default.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};
use gatehouse_domain::{Secret, TestTarget};
use gatehouse_gateway::policy::value::{Bytes, LogFormat};
use gatehouse_platform::{KeyRing, keys::KeyError};
use gatehouse_store::StoreConfig;
use ipnet::IpNet;
use serde::Deserialize;

use crate::{gateway::Judge, tls::Tls};

/// Gatehouse governs how an organisation reaches the internet.
#[derive(Debug, Parser)]
#[command(name = "gatehouse", version, about)]
pub struct Cli {
    /// Settings of all commands.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the console and the API, and the gateway where it is told to listen
    Serve(ServeArgs),
    /// Check what an installation needs, and say what to do where something is missing; works beside a running server
    Doctor {
        /// With the settings that it is to serve with.
        #[command(flatten)]
        serve: ServeArgs,
        /// Without connections to proxies and engines
        #[arg(long)]
        quick: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The proxy server alone, with its policy from a file or from the database
    Gateway {
        /// Something else than serving.
        #[command(subcommand)]
        command: Option<GatewayCommand>,
        /// The policy (TOML); read again when it changes, and on SIGHUP
        #[arg(long, env = "GATEHOUSE_GATEWAY_POLICY", value_parser = path())]
        policy: Option<PathBuf>,
        /// Addresses and ports to listen on [default: those of the policy]
        #[arg(long, env = "GATEHOUSE_GATEWAY_LISTEN", value_delimiter = ',')]
        listen: Vec<String>,
        /// Address and port of /metrics and /healthz, like 9128 (on 127.0.0.1) or 10.0.0.5:9128 [default: none]
        #[arg(long, env = "GATEHOUSE_GATEWAY_METRICS")]
        metrics: Option<String>,
        /// More of it.
        #[command(flatten)]
        gateway: GatewayArgs,
    },
    /// Manage people, tokens and the key; works beside a running server
    Admin {
        /// Which.
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// The companies of an installation, for its provider; works beside a running server
    Company {
        /// Which.
        #[command(subcommand)]
        command: CompanyCommand,
    },
    /// Look through the audit log; works beside a running server
    Audit {
        /// Which.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Write everything that is in the database, but the key, to a file; works beside a running server
    Backup {
        /// The file to make, or - for standard output
        file: PathBuf,
        /// Replace the file where it is there already
        #[arg(long)]
        force: bool,
    },
    /// Make the database from a backup; no server may have it open
    Restore {
        /// What gatehouse backup made
        file: PathBuf,
        /// Where there is a database already, put it aside; it is kept beside the new one under another name
        #[arg(long)]
        replace: bool,
    },
    /// Do what is due now and then (analyses that were cut off, health checks, deleting what is kept no longer) once, to its end:
    /// for a scheduled event where no server runs for long
    Tend,
    /// Print the OpenAPI document
    Openapi,
}

/// Settings of a server.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Address and port of the console and the API [default: 127.0.0.1:3000]
    #[arg(long, env = "GATEHOUSE_LISTEN")]
    listen: Option<String>,
    /// HTTPS on it: off, self-signed (a certificate of our own, to begin with) or files [default: files where both are named, else off]
    #[arg(long, env = "GATEHOUSE_TLS")]
    tls: Option<String>,
    /// The certificate chain in PEM, read again when it changes
    #[arg(long, env = "GATEHOUSE_TLS_CERTIFICATE", value_parser = path())]
    tls_certificate: Option<PathBuf>,
    /// Its private key in PEM
    #[arg(long, env = "GATEHOUSE_TLS_KEY", value_parser = path())]
    tls_key: Option<PathBuf>,
    /// Networks of balancers in front, whose X-Forwarded-For is believed, like 10.0.0.0/24 [default: none]
    #[arg(long, env = "GATEHOUSE_TRUSTED_PROXIES", value_delimiter = ',')]
    trusted_proxies: Vec<String>,
    /// Seconds to serve on when told to end, while /readyz says so and balancers notice [default: 5 with a database server, else 0]
    #[arg(long, env = "GATEHOUSE_SHUTDOWN_DELAY")]
    shutdown_delay: Option<String>,
    /// Addresses and ports of the gateway, like 127.0.0.1:3128 [default: none, it is off]
    #[arg(long, env = "GATEHOUSE_GATEWAY_LISTEN", value_delimiter = ',')]
    gateway_listen: Vec<String>,
    /// The gateway's policy
    #[arg(long, env = "GATEHOUSE_GATEWAY_POLICY", value_parser = path())]
    gateway_policy: Option<PathBuf>,
    /// More of it.
    #[command(flatten)]
    gateway: GatewayArgs,
}

/// A gateway whose policy is in the database.
#[derive(Debug, Clone, Default, Args)]
pub struct GatewayArgs {
    /// Whose policy, where there are several companies
    #[arg(long = "gateway-company", env = "GATEHOUSE_GATEWAY_COMPANY")]
    company: Option<String>,
    /// Folder of the lists and passwords that a policy in the database may name [default: none, it can name no files]
    #[arg(long = "gateway-files", env = "GATEHOUSE_GATEWAY_FILES", value_parser = path())]
    files: Option<PathBuf>,
    /// The folder for answers that the gateway keeps, where its policy is in the database [default: in memory only]
    #[arg(long = "gateway-cache", env = "GATEHOUSE_GATEWAY_CACHE", value_parser = path())]
    cache: Option<PathBuf>,
    /// Memory for answers that a policy in the database may ask for at most [default: 1 GB]
    #[arg(long = "gateway-cache-memory", env = "GATEHOUSE_GATEWAY_CACHE_MEMORY")]
    cache_memory: Option<String>,
    /// Room in the folder for answers that it may ask for at most [default: 50 GB]
    #[arg(long = "gateway-cache-disk", env = "GATEHOUSE_GATEWAY_CACHE_DISK")]
    cache_disk: Option<String>,
    /// File for the gateway's records, or - for standard output, when the policy is in the database [default: none]
    #[arg(long = "gateway-log", env = "GATEHOUSE_GATEWAY_LOG")]
    log: Option<String>,
    /// json or squid [default: json]
    #[arg(long = "gateway-log-format", env = "GATEHOUSE_GATEWAY_LOG_FORMAT")]
    log_format: Option<String>,
    /// How many of the gateway's requests a second are stored in the database's traffic; as many again of those that fail [default: 20]
    #[arg(long = "gateway-traffic", env = "GATEHOUSE_GATEWAY_TRAFFIC")]
    traffic: Option<String>,
}

/// `gatehouse gateway …`
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Say what is wrong with a policy, line by line, or what it consists of
    Check {
        /// The policy
        file: PathBuf,
    },
    /// Say which rule decides about a URL, and which were passed over
    Explain {
        /// The policy
        file: PathBuf,
        /// What is asked for: http://host/path, or https://host for a tunnel
        url: String,
        /// The address that asks
        #[arg(long, default_value = "127.0.0.1")]
        client: std::net::IpAddr,
        /// The person who asks
        #[arg(long)]
        person: Option<String>,
    },
    /// Read a password from standard input (one line) and print the hash that goes into a policy
    Hash,
}

/// `gatehouse admin …`
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Make somebody who can sign in, and the company where there is none of that name
    Create {
        /// E-mail address to sign in with
        #[arg(long)]
        email: String,
        /// Read the password from standard input (one line)
        #[arg(long, required = true)]
        password_stdin: bool,
        /// The company's name; can be left out where there is one company
        #[arg(long)]
        company: Option<String>,
        /// The person's name as it is shown
        #[arg(long)]
        name: Option<String>,
        /// What the person may do
        #[arg(long, value_enum, default_value_t = RoleArg::Administrator)]
        role: RoleArg,
    },
    /// Print a new API token; it is not shown again
    Token {
        /// E-mail address of the person the token acts for
        #[arg(long)]
        email: String,
        /// What the token is for
        #[arg(long, default_value = "command line")]
        name: String,
    },
    /// Make a new key and seal every stored secret under it
    RotateKey,
}

/// `gatehouse company …`
#[derive(Debug, Subcommand)]
pub enum CompanyCommand {
    /// List them: name, status, how many people
    List,
    /// Make one, which has nobody yet (cloud edition)
    Create {
        /// Its name
        name: String,
    },
    /// Shut one out: its sessions and tokens stop working at once, and nothing of it runs by itself
    Suspend {
        /// Its name
        name: String,
    },
    /// Let one in again; one that was to be deleted stays
    Resume {
        /// Its name
        name: String,
    },
    /// Suspend one, and delete all of it when the waiting time is over (COMPANY_DELETE_DAYS)
    Delete {
        /// Its name
        name: String,
    },
    /// Print a one-time link for the first administrator of a company that has nobody yet
    Invite {
        /// The company's name
        name: String,
        /// The e-mail address they will sign in with
        #[arg(long)]
        email: String,
    },
    /// Write everything of one, but its secrets and the files of its analyses, to a file as JSON
    Export {
        /// The company's name
        name: String,
        /// The file to make, or - for standard output
        file: PathBuf,
    },
}

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Say whether nothing of it was changed or removed, and where each log ends
    Verify {
        /// Only this company's
        #[arg(long)]
        company: Option<String>,
    },
    /// Print the installation's own log as JSON lines, the newest entry first: what the command line and the program itself did to companies
    Export {
        /// This company's instead
        #[arg(long)]
        company: Option<String>,
    },
}

/// A role on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleArg {
    /// Everything
    Owner,
    /// Everything but the company itself
    Administrator,
    /// Sees all but secrets, changes nothing
    Auditor,
    /// Makes, suspends and deletes companies; sees nothing of what is theirs
    Provider,
}

/// A path, or an empty one, which means "not set": unit and compose files have such variables.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Settings as flags and environment variables.
#[derive(Debug, Default, Args)]
pub struct SettingsArgs {
    /// surrealkv://PATH, mem://, ws://HOST:PORT or wss://HOST:PORT [default: surrealkv://data/gatehouse.db]
    #[arg(long, global = true, env = "GATEHOUSE_DATABASE")]
    database: Option<String>,
    /// User of a database server
    #[arg(long, global = true, env = "GATEHOUSE_DATABASE_USER")]
    database_user: Option<String>,
    /// Password of a database server (better given in the environment)
    #[arg(long, global = true, env = "GATEHOUSE_DATABASE_PASSWORD", hide_env_values = true)]
    database_password: Option<String>,
    /// on-premise or cloud [default: on-premise]
    #[arg(long, global = true, env = "GATEHOUSE_EDITION")]
    edition: Option<String>,
    /// File with the key that seals stored secrets [default: gatehouse.key beside the database]
    #[arg(long, global = true, env = "GATEHOUSE_SECRET_KEY_FILE", value_parser = path())]
    secret_key_file: Option<PathBuf>,
    /// The key itself, where no file can be and a secret store fills the environment (serverless)
    #[arg(long, global = true, env = "GATEHOUSE_SECRET_KEY", hide_env_values = true, hide = true)]
    secret_key: Option<String>,
    /// E-mail address of the first administrator, when the database is empty
    #[arg(long, global = true, env = "GATEHOUSE_ADMIN_EMAIL")]
    admin_email: Option<String>,
    /// Password of the first administrator (better given in the environment)
    #[arg(long, global = true, env = "GATEHOUSE_ADMIN_PASSWORD", hide_env_values = true)]
    admin_password: Option<String>,
    /// Name of the first administrator's company [default: My company]
    #[arg(long, global = true, env = "GATEHOUSE_ADMIN_COMPANY")]
    admin_company: Option<String>,
    /// URL that Test Connection asks for by default
    #[arg(long, global = true, env = "GATEHOUSE_TEST_TARGET")]
    test_target: Option<String>,
    /// Name servers that are asked where proxies, services and webhooks are, instead of this machine's: addresses, comma-separated
    #[arg(long, global = true, env = "GATEHOUSE_NAME_SERVERS", value_delimiter = ',')]
    name_servers: Vec<String>,
    /// Addresses or networks that the platform's own connections come from, shown to those who must let them in
    #[arg(long, global = true, env = "GATEHOUSE_OUTGOING_ADDRESSES", value_delimiter = ',')]
    outgoing_addresses: Vec<String>,
    /// The address people use, where a balancer or TLS stands in front, like https://gatehouse.example.com
    #[arg(long, global = true, env = "GATEHOUSE_PUBLIC_URL")]
    public_url: Option<String>,
    /// How many days a deleted company waits before all of it is gone; 0: it does not wait [default: 30]
    #[arg(long, global = true, env = "GATEHOUSE_COMPANY_DELETE_DAYS")]
    company_delete_days: Option<String>,
    /// What to log, like info or gatehouse=debug [default: info]
    #[arg(long, global = true, env = "GATEHOUSE_LOG")]
    log: Option<String>,
    /// text or json [default: text]
    #[arg(long, global = true, env = "GATEHOUSE_LOG_FORMAT")]
    log_format: Option<String>,
}

/// `gatehouse.toml`: the same names in lower case.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    listen: Option<String>,
    tls: Option<String>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    trusted_proxies: Option<Vec<String>>,
    shutdown_delay: Option<u32>,
    gateway_listen: Option<Vec<String>>,
    gateway_policy: Option<PathBuf>,
    gateway_company: Option<String>,
    gateway_files: Option<PathBuf>,
    gateway_cache: Option<PathBuf>,
    gateway_cache_memory: Option<String>,
    gateway_cache_disk: Option<String>,
    gateway_log: Option<String>,
    gateway_log_format: Option<String>,
    gateway_traffic: Option<u32>,
    gateway_metrics: Option<String>,
    database: Option<String>,
    database_user: Option<String>,
    database_password: Option<String>,
    edition: Option<String>,
    secret_key_file: Option<PathBuf>,
    admin_email: Option<String>,
    admin_password: Option<String>,
    admin_company: Option<String>,
    test_target: Option<String>,
    name_servers: Option<Vec<String>>,
    outgoing_addresses: Option<Vec<String>>,
    public_url: Option<String>,
    company_delete_days: Option<u16>,
    log: Option<String>,
    log_format: Option<String>,
}

/// What was set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether HTTPS is spoken there.
    pub tls: Tls,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long it is served on when told to end.
    pub shutdown_delay: Duration,
    /// Where the gateway listens; it is off when this is empty.
    pub gateway_listen: Vec<SocketAddr>,
    /// The gateway's policy, where it is a file.
    pub gateway_policy: Option<PathBuf>,
    /// Whose policy, where it is in the database.
    pub gateway_company: Option<String>,
    /// The folder of files that a stored policy may name.
    pub gateway_files: Option<PathBuf>,
    /// The folder for answers that are kept, likewise.
    pub gateway_cache: Option<PathBuf>,
    /// Bytes of memory and of that folder that a stored policy may ask for at most.
    pub gateway_cache_most: (u64, u64),
    /// Where the gateway writes its records, where its policy is in the database.
    pub gateway_log: Option<(String, LogFormat)>,
    /// How many of the gateway's records a second go into the database.
    pub gateway_traffic: u32,
    /// Where a gateway that runs alone tells what it counts.
    pub gateway_metrics: Option<SocketAddr>,
    /// The folder of the database, or where it would be: for what a process keeps beside it.
    pub data: PathBuf,
    /// The database's URL.
    pub database: String,
    /// User of a database server.
    pub database_user: Option<String>,
    /// Password of a database server.
    pub database_password: Option<Secret>,
    /// Whether this installation has many companies.
    pub cloud: bool,
    /// The key file.
    pub secret_key_file: PathBuf,
    /// The key itself, instead of the file.
    pub secret_key: Option<Secret>,
    /// The first administrator.
    pub admin_email: Option<String>,
    /// The first administrator's password.
    pub admin_password: Option<Secret>,
    /// The first administrator's company.
    pub admin_company: String,
    /// What Test Connection asks for.
    pub test_target: TestTarget,
    /// Who is asked for the addresses of names; empty: the machine.
    pub name_servers: Vec<SocketAddr>,
    /// Where the platform's own connections come from.
    pub outgoing_addresses: Vec<IpNet>,
    /// The address people use, without a path; `None`: the one we listen on.
    pub public_url: Option<String>,
    /// How long a deleted company waits, in days.
    pub company_delete_days: u16,
    /// Log filter.
    pub log: String,
    /// Log as JSON.
    pub log_json: bool,
}

/// Answers over HTTPS with the caller's address in its text, without asking who calls.
const DEFAULT_TEST_TARGET: &str = "https://www.cloudflare.com/cdn-cgi/trace";

/// Longer than the balancer of `deploy/compose/` takes to notice.
const SHUTDOWN_DELAY: Duration = Duration::from_secs(5);

/// Whether several processes can have this database.
fn is_shared(database: &str) -> bool {
    database.starts_with("ws://") || database.starts_with("wss://")
}

/// How many of the gateway's records a second go into the database. A company keeps 200,000 of all its traffic.
const TRAFFIC: u32 = 20;

/// What a stored policy may ask for at most unless the operator says otherwise: whoever writes it need not run the machine.
const CACHE_MEMORY: u64 = 1_000_000_000;
/// The same of the folder.
const CACHE_DISK: u64 = 50_000_000_000;

/// Reads addresses with ports.
///
/// # Errors
/// Which one is none.
pub fn addresses(name: &str, texts: &[String]) -> Result<Vec<SocketAddr>, String> {
    let parse = |text: &String| {
        text.trim()
            .parse()
            .map_err(|_| format!("{name}: '{text}' is not an address with a port, like 127.0.0.1:3128 or [::]:3128"))
    };
    texts.iter().filter(|text| !text.is_empty()).map(parse).collect()
}

fn networks(name: &str, texts: &[String]) -> Result<Vec<IpNet>, String> {
    let parse = |text: &String| {
        let text = text.trim();
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| format!("{name}: '{text}' is neither a network like 10.0.0.0/24 nor an address"))
    };
    texts.iter().map(parse).collect()
}

impl Settings {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    /// Which setting is wrong and what would be right.
    pub fn load(args: &SettingsArgs, command: &Command) -> Result<Self, String> {
        let file = match std::fs::read_to_string("gatehouse.toml") {
            Ok(text) => toml::from_str::<SettingsFile>(&text).map_err(|error| format!("gatehouse.toml: {error}"))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => SettingsFile::default(),
            Err(error) => return Err(format!("gatehouse.toml: {error}")),
        };
        // An empty variable in a unit or compose file means "not set".
        let pick = |flag: &Option<String>, file: &Option<String>| flag.clone().filter(|v| !v.is_empty()).or_else(|| file.clone());

        let serve = match command {
            Command::Serve(serve) | Command::Doctor { serve, .. } => serve.clone(),
            Command::Gateway { policy, listen, gateway, .. } => ServeArgs {
                gateway_listen: listen.clone(),
                gateway_policy: policy.clone(),
                gateway: gateway.clone(),
                ..ServeArgs::default()
            },
            _ => ServeArgs::default(),
        };
        let ServeArgs {
            listen,
            tls,
            tls_certificate,
            tls_key,
            trusted_proxies,
            shutdown_delay,
            gateway_listen,
            gateway_policy,
            gateway,
        } = serve;
        let metrics = if let Command::Gateway { metrics, .. } = command { metrics } else { &None };
        let gateway_metrics = match pick(metrics, &file.gateway_metrics).filter(|text| !text.is_empty()) {
            None => None,
            // What it tells is for this machine, unless somebody says otherwise.
            Some(text) => match text.parse::<u16>() {
                Ok(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
                Err(_) => addresses("GATEWAY_METRICS", &[text])?.first().copied(),
            },
        };
        let gateway_listen: Vec<String> = gateway_listen.into_iter().filter(|text| !text.is_empty()).collect();
        let gateway_listen = if gateway_listen.is_empty() { file.gateway_listen.unwrap_or_default() } else { gateway_listen };
        let gateway_listen = addresses("GATEWAY_LISTEN", &gateway_listen)?;
        let path = |flag: Option<PathBuf>, file: Option<PathBuf>| flag.filter(|path| !path.as_os_str().is_empty()).or(file);
        let gateway_policy = path(gateway_policy, file.gateway_policy);
        let log_format = match pick(&gateway.log_format, &file.gateway_log_format).as_deref() {
            None | Some("json") => LogFormat::Json,
            Some("squid") => LogFormat::Squid,
            Some(other) => return Err(format!("GATEWAY_LOG_FORMAT: '{other}' is neither json nor squid")),
        };
        let bytes = |name: &str, text: Option<String>, default: u64| match text {
            None => Ok(default),
            Some(text) => match text.parse::<Bytes>() {
                Ok(Bytes(bytes)) => Ok(bytes),
                Err(()) => Err(format!("{name}: '{text}' is not a number of bytes, like 512 MB")),
            },
        };
        let gateway_cache_most = (
            bytes("GATEWAY_CACHE_MEMORY", pick(&gateway.cache_memory, &file.gateway_cache_memory), CACHE_MEMORY)?,
            bytes("GATEWAY_CACHE_DISK", pick(&gateway.cache_disk, &file.gateway_cache_disk), CACHE_DISK)?,
        );
        let gateway_traffic = match gateway.traffic.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => text.parse().map_err(|_| format!("GATEWAY_TRAFFIC: '{text}' is not a number of records a second"))?,
            None => file.gateway_traffic.unwrap_or(TRAFFIC),
        };
        let listen = pick(&listen, &file.listen).unwrap_or_else(|| "127.0.0.1:3000".into());
        let listen = listen
            .parse()
            .map_err(|_| format!("LISTEN: '{listen}' is not an address with a port, like 127.0.0.1:3000 or [::]:3000"))?;
        let database = pick(&args.database, &file.database).unwrap_or_else(|| "surrealkv://data/gatehouse.db".into());
        let shutdown_delay = match shutdown_delay.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => Some(
                text.parse::<u32>()
                    .map_err(|_| format!("SHUTDOWN_DELAY: '{text}' is not a number of seconds. 5 is one, 0 ends at once"))?,
            ),
            None => file.shutdown_delay,
        };
        let shutdown_delay = match shutdown_delay {
            Some(seconds @ 0..=600) => Duration::from_secs(seconds.into()),
            Some(seconds) => {
                return Err(format!("SHUTDOWN_DELAY: {seconds} seconds are more than 600, which is as long as it may be"));
            }
            // Whoever has a database of its own has no other one beside it that balancers could turn to.
            None if is_shared(&database) => SHUTDOWN_DELAY,
            None => Duration::ZERO,
        };
        let cloud = match pick(&args.edition, &file.edition).as_deref() {
            None | Some("on-premise") => false,
            Some("cloud") => true,
            Some(other) => return Err(format!("EDITION: '{other}' is neither on-premise nor cloud")),
        };
        let beside_database = database
            .strip_prefix("surrealkv://")
            .map(|path| PathBuf::from(path).parent().map(PathBuf::from).unwrap_or_default())
            .unwrap_or_else(|| "data".into());
        let tls = match command {
            Command::Serve(_) | Command::Doctor { .. } => Tls::parse(
                pick(&tls, &file.tls).as_deref().filter(|mode| !mode.is_empty()),
                path(tls_certificate, file.tls_certificate),
                path(tls_key, file.tls_key),
                &beside_database,
            )?,
            // What is set for the server is nothing to them, whether it is right or not.
            _ => Tls::Off,
        };
        let list = |set: Vec<String>, file: Option<Vec<String>>| {
            let set: Vec<_> = set.into_iter().filter(|text| !text.trim().is_empty()).collect();
            if set.is_empty() { file.unwrap_or_default() } else { set }
        };
        let trusted_proxies = networks("TRUSTED_PROXIES", &list(trusted_proxies, file.trusted_proxies))?;
        let outgoing_addresses = networks("OUTGOING_ADDRESSES", &list(args.outgoing_addresses.clone(), file.outgoing_addresses))?;
        let name_servers = list(args.name_servers.clone(), file.name_servers)
            .iter()
            .map(|text| {
                let text = text.trim();
                let server = text.parse().or_else(|_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53)));
                server.map_err(|_| format!("NAME_SERVERS: '{text}' is not an address, like 10.0.0.53 or [fd00::53]:5353"))
            })
            .collect::<Result<_, _>>()?;
        let target = pick(&args.test_target, &file.test_target).unwrap_or_else(|| DEFAULT_TEST_TARGET.into());
        let public_url = match pick(&args.public_url, &file.public_url) {
            None => None,
            Some(url) => {
                let trimmed = url.trim_end_matches('/').to_ascii_lowercase();
                let host = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
                if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@'])) {
                    return Err(format!("PUBLIC_URL: '{url}' must be scheme and host alone, like https://gatehouse.example.com"));
                }
                Some(trimmed)
            }
        };
        let company_delete_days = match args.company_delete_days.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => text
                .parse()
                .map_err(|_| format!("COMPANY_DELETE_DAYS: '{text}' is not a number of days, from 0 to {}", u16::MAX))?,
            None => file.company_delete_days.unwrap_or(gatehouse_platform::companies::WAITING_DAYS),
        };
        let log_json = match pick(&args.log_format, &file.log_format).as_deref() {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => return Err(format!("LOG_FORMAT: '{other}' is neither text nor json")),
        };
        let secret_key = args.secret_key.clone().filter(|key| !key.is_empty()).map(Secret::new);
        let secret_key_file = path(args.secret_key_file.clone(), file.secret_key_file.clone());
        if secret_key.is_some() && secret_key_file.is_some() {
            return Err("SECRET_KEY and SECRET_KEY_FILE: set one of them, so that nobody has to guess which key counts".into());
        }
        Ok(Self {
            listen,
            tls,
            trusted_proxies,
            shutdown_delay,
            gateway_listen,
            gateway_policy,
            gateway_company: pick(&gateway.company, &file.gateway_company),
            gateway_files: path(gateway.files, file.gateway_files),
            gateway_cache: path(gateway.cache, file.gateway_cache),
            gateway_cache_most,
            gateway_log: pick(&gateway.log, &file.gateway_log).map(|path| (path, log_format)),
            gateway_traffic,
            gateway_metrics,
            data: beside_database.clone(),
            database,
            database_user: pick(&args.database_user, &file.database_user),
            database_password: pick(&args.database_password, &file.database_password).map(Secret::new),
            cloud,
            secret_key_file: secret_key_file.unwrap_or_else(|| beside_database.join("gatehouse.key")),
            secret_key,
            admin_email: pick(&args.admin_email, &file.admin_email),
            admin_password: pick(&args.admin_password, &file.admin_password).map(Secret::new),
            admin_company: pick(&args.admin_company, &file.admin_company).unwrap_or_else(|| "My company".into()),
            test_target: TestTarget::parse(&target).map_err(|why| format!("TEST_TARGET: {why}"))?,
            name_servers,
            outgoing_addresses,
            public_url,
            company_delete_days,
            log: pick(&args.log, &file.log).unwrap_or_else(|| "info".into()),
            log_json,
        })
    }

    /// Whether other processes may have the same database.
    #[must_use]
    pub fn is_database_shared(&self) -> bool {
        is_shared(&self.database)
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> StoreConfig {
        StoreConfig {
            database: self.database.clone(),
            user: self.database_user.clone(),
            password: self.database_password.clone(),
        }
    }

    /// The key that seals stored secrets.
    ///
    /// # Errors
    /// [`KeyError::Missing`] where there is no file and none was given, and what is wrong with it.
    pub fn keys(&self) -> Result<KeyRing, KeyError> {
        match &self.secret_key {
            Some(key) => KeyRing::given(key),
            None => KeyRing::read(&self.secret_key_file),
        }
    }

    /// How policies that are in the database are judged here.
    #[must_use]
    pub fn judge(&self) -> Judge {
        // Gateways of several companies may share a folder.
        let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
        let company =
            self.gateway_company.as_ref().map(|name| format!("-{}", name.chars().map(plain).take(60).collect::<String>()));
        let company = company.unwrap_or_default();
        Judge {
            files: self.gateway_files.clone(),
            log: self.gateway_log.clone(),
            state: Some(self.data.join(format!("gateway{company}"))),
            // What people of one company fetched is not for those of another.
            cache: self.gateway_cache.as_ref().map(|folder| folder.join(format!("answers{company}"))),
            public_only: self.cloud,
            cache_memory: self.gateway_cache_most.0,
            cache_disk: self.gateway_cache_most.1,
        }
    }

    /// Where the commands reach a running server that owns the embedded database; `None` where several processes can open it.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        self.database.strip_prefix("surrealkv://").map(|path| PathBuf::from(format!("{}.sock", path.trim_end_matches('/'))))
    }
}
