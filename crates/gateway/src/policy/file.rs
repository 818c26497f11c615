//! The policy file: what may stand in it, in TOML. Every field says its unit and its default; a list of one needs no brackets.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    read::{At, Notes, ReadTable, Table, section},
    value::{
        Action, Bytes, Days, EgressKind, ForwardedFields, Hours, Level, ListUrl, LogFormat, MethodName, PasswordText, PerSecond,
        Place, Ports, Scheme, Scope, Strategy, UpstreamUrl, Zone,
    },
};

section! {
    /// `[listen]`: where clients reach the gateway.
    pub struct Listen {
        /// Addresses and ports. Default: `"127.0.0.1:3128"`.
        pub addresses: Vec<SocketAddr> = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 3128))],
    }
}

section! {
    /// `[clients]`: who is served at all. Others get no more than a refusal.
    pub struct Clients {
        /// Networks. Default: loopback, private (RFC 1918, RFC 4193) and link-local ones; never everybody.
        pub networks: Vec<IpNet> = private_networks(),
        /// Connections of one address at a time; what comes above is refused. Default: 1000.
        pub max_connections: u32 = 1000,
    }
}

section! {
    /// `[log]`: one record for each request.
    pub struct Log {
        /// The file; `"-"` is standard output. Default: none is written. Relative to the folder that the gateway runs in.
        pub path: Option<String> = None,
        /// `"json"` or `"squid"` (its native format). Default: `"json"`.
        pub format: LogFormat = LogFormat::Json,
    }
}

section! {
    /// `[network]`: which addresses and ports may be reached at all, whatever the rules allow.
    pub struct Network {
        /// Networks that may be reached though they are not public. A metadata service has to be named by its very address;
        /// multicast, broadcast and 0.0.0.0/8 can't be opened. Default: none.
        pub open: Vec<At<IpNet>> = Vec::new(),
        /// Ports for tunnels (CONNECT). Default: 443. Whoever may open a tunnel to any port can speak any protocol, also the
        /// one of the mail server next door.
        pub connect_ports: Vec<Ports> = vec![Ports::one(443)],
        /// Ports for requests. Default: 80, 443, and 1025 to 65535, which is Squid's `Safe_ports` without FTP, Gopher and their
        /// like: the low ports speak protocols (mail, Telnet) that would take a request for commands of their own.
        pub http_ports: Vec<Ports> = vec![Ports::one(80), Ports::one(443), Ports { first: 1025, last: 65535 }],
        /// The egress or pool of rules that name none. Default: direct, from whichever address the system picks.
        pub egress: Option<At<String>> = None,
    }
}

section! {
    /// `[timeouts]`: how long the gateway waits. Seconds, or texts like `"500 ms"`, `"5 min"`.
    pub struct Timeouts {
        /// For the head of a request, from its first byte on. Default: 15 s.
        pub client_head: Duration = Duration::from_secs(15),
        /// For the next request on a kept connection. Default: 60 s.
        pub client_idle: Duration = Duration::from_secs(60),
        /// For a connection to be made: name, TCP and TLS, the upstream's handshake. Default: 10 s.
        pub connect: Duration = Duration::from_secs(10),
        /// For the head of the answer, once the request was sent. Default: 60 s.
        pub response_head: Duration = Duration::from_secs(60),
        /// Between two pieces of a body. Default: 60 s.
        pub idle: Duration = Duration::from_secs(60),
        /// For a tunnel through which nothing goes either way. Default: 10 min.
        pub tunnel_idle: Duration = Duration::from_secs(600),
        /// For what is on its way when the gateway stops. Default: 30 s.
        pub drain: Duration = Duration::from_secs(30),
    }
}

section! {
    /// `[cache]`: answers kept for others (RFC 9111).
    pub struct Cache {
        /// Default: false.
        pub enabled: bool = false,
        /// Memory for answers, `"256 MB"` or a number of bytes. Default: 256 MB.
        pub memory: Bytes = Bytes(256_000_000),
        /// The largest answer that is kept. Default: 8 MB.
        pub max_object: Bytes = Bytes(8_000_000),
        /// A folder for answers, so that they outlive a restart and there are more than fit into memory; read at the start only.
        /// Default: none. Relative to the folder that the gateway runs in.
        pub folder: Option<String> = None,
        /// Bytes in that folder at most. Default: 10 GB.
        pub disk: Bytes = Bytes(10_000_000_000),
        /// Networks whose clients may make the gateway forget an answer, with the method `PURGE` and its address. From elsewhere
        /// `PURGE` is a method like others, and goes to the target. Default: none.
        pub purge_from: Vec<IpNet> = Vec::new(),
    }
}

section! {
    /// `[compress]`: text is compressed for clients that accept it.
    pub struct Compress {
        /// Default: false.
        pub enabled: bool = false,
    }
}

section! {
    /// `[usage]`: what is counted of volumes (`volume_per_day`, `volume_per_month`).
    pub struct Usage {
        /// A file in which it is kept, so that a restart does not forget it; written every five seconds and at the end, read at the
        /// start only. Default: none. Relative to the folder that the gateway runs in.
        pub path: Option<String> = None,
    }
}

section! {
    /// `[lists]`: how lists of categories are fetched (`urls`).
    pub struct Lists {
        /// The folder in which they are kept, so that a start does not wait for them. Needed where there are any. Relative to the
        /// policy file.
        pub folder: Option<At<String>> = None,
        /// How often each is asked for. Default: 24 h.
        pub every: Duration = Duration::from_secs(86_400),
        /// The egress or pool that they come through. Default: `network.egress`.
        pub egress: Option<At<String>> = None,
    }
}

section! {
    /// `[forwarded]`: what targets learn about the client and the gateway.
    pub struct Forwarded {
        /// `"remove"`, `"add"`. Default: `"remove"`: nobody learns who asks.
        pub headers: ForwardedFields = ForwardedFields::Remove,
        /// The name of the gateway in `Via` (RFC 9110, 7.6.3) and `Proxy-Status`: a pseudonym, letters, digits, `.`, `-`, `_`.
        /// Gateways behind each other need different ones. Default: `"gatehouse"`.
        pub via: At<String> = At { value: "gatehouse".into(), at: 0 },
    }
}

section! {
    /// `[pac]`: what browsers are told that ask the gateway for `/proxy.pac` or `/wpad.dat`.
    pub struct Pac {
        /// What clients visit without the gateway: hosts, addresses and networks as in a rule. This machine's own names and
        /// addresses, and names without a dot, always are. Default: none.
        pub bypass: Vec<Place> = Vec::new(),
    }
}

section! {
    /// `[levels]`: safety levels.
    pub struct Levels {
        /// The level of hosts that are in no category. Default: `"safe"`.
        pub unlisted: Level = Level::Safe,
    }
}

section! {
    /// `[[person]]`: somebody who signs in with a name and a password (Basic authentication).
    pub struct PersonEntry {
        /// The user name. No colon: Basic authentication ends the name with it.
        pub name: At<String>,
        /// The argon2id hash of the password, in PHC form.
        pub password: PasswordText,
        /// Groups. Default: none.
        pub groups: Vec<String> = Vec::new(),
    }
}

section! {
    /// `[[client]]`: who asks is told by the address. The narrowest network decides.
    pub struct ClientEntry {
        /// The name in rules and in the log, like that of a person.
        pub name: At<String>,
        /// Its networks or addresses.
        pub networks: Vec<At<IpNet>>,
        /// Groups. Default: none.
        pub groups: Vec<String> = Vec::new(),
    }
}

section! {
    /// `[[category]]`: a named set of hosts.
    pub struct CategoryEntry {
        /// The name in rules.
        pub name: At<String>,
        /// `"safe"`, `"caution"` or `"unsafe"`. A host in several categories has the worst level among them.
        pub level: Level,
        /// Hosts: `"example.com"` alone, `"*.example.com"` below it, `".example.com"` both; addresses and networks. Default:
        /// none.
        pub hosts: Vec<Place> = Vec::new(),
        /// Lists, one entry a line: hosts files (the name alone), domains (with what is below), AdBlock-style `||domain^`
        /// (with what is below). Relative to the policy file. Default: none.
        pub files: Vec<At<String>> = Vec::new(),
        /// The same lists, fetched from `http` or `https` addresses as `[lists]` says. Default: none.
        pub urls: Vec<At<ListUrl>> = Vec::new(),
    }
}

section! {
    /// `[[egress]]`: a way out.
    pub struct EgressEntry {
        /// The name in rules, pools and the log.
        pub name: At<String>,
        /// `"direct"`, `"upstream"`, or `"setting"` (in a policy of the database only).
        pub kind: EgressKind,
        /// Direct: the address of this machine that connections come from. Default: the system picks.
        pub source: Option<At<IpAddr>> = None,
        /// Upstream: `http`, `https`, `socks5` or `socks5h` (the proxy resolves names), host and port.
        pub url: Option<At<UpstreamUrl>> = None,
        /// Upstream: the user name. Default: none.
        pub username: Option<At<String>> = None,
        /// Upstream: a file with the password, relative to the policy file. The end of its line is not part of it.
        pub password_file: Option<At<String>> = None,
        /// Setting: the name of one of the company's proxy settings, which says where the proxy is, how to sign in to it and which
        /// certificates it may have. Upper and lower case make no difference.
        pub setting: Option<At<String>> = None,
        /// Its share in a pool, in relation to the others. Default: 1.
        pub weight: At<u32> = At { value: 1, at: 0 },
        /// Requests and tunnels at a time; more wait. Default: 0, no limit.
        pub max_connections: u32 = 0,
        /// How many may wait; what comes above is refused with 503. Default: 100.
        pub max_waiting: u32 = 100,
        /// Upstream or setting, in a pool: how often it is tried whether it takes connections. Every second while it does not. Default: 5 s.
        pub check_every: Duration = Duration::from_secs(5),
    }
}

section! {
    /// `[[egress_pool]]`: several ways out under one name.
    pub struct PoolEntry {
        /// The name in rules; no egress has the same.
        pub name: At<String>,
        /// The names of egresses.
        pub members: Vec<At<String>>,
        /// `"least_outstanding"`, `"weighted"` or `"sticky"` (by client). Default: `"least_outstanding"`.
        pub strategy: Strategy = Strategy::LeastOutstanding,
    }
}

section! {
    /// `[[limit]]`: how much may be used.
    pub struct LimitEntry {
        /// The name in rules.
        pub name: At<String>,
        /// Requests and tunnels per second. Default: no limit.
        pub requests_per_second: Option<PerSecond> = None,
        /// Bytes per second, both ways together: `"2 MB"`. Default: no limit.
        pub bytes_per_second: Option<Bytes> = None,
        /// Bytes of a day (UTC). Default: no limit.
        pub volume_per_day: Option<Bytes> = None,
        /// Bytes of a calendar month (UTC). Default: no limit.
        pub volume_per_month: Option<Bytes> = None,
        /// Who shares one account: `"person"` (each; without a name each address), `"client"` (each address), `"group"` (each
        /// group of a person), `"network"` (each), `"all"`. Default: `"person"`.
        pub scope: Scope = Scope::Person,
        /// With scope `"network"`: how many bits say which network, IPv4. Default: 24.
        pub prefix_v4: At<u32> = At { value: 24, at: 0 },
        /// The same for IPv6. Default: 64.
        pub prefix_v6: At<u32> = At { value: 64, at: 0 },
        /// Another limit that holds as well: a person's within the group's within the network's. Default: none.
        pub within: Option<At<String>> = None,
    }
}

section! {
    /// `[[rule]]`: the first rule that applies decides; when none does, the request is refused. A rule applies when everything
    /// that it names does; of a list, one entry is enough. `people` and `groups` are one list.
    pub struct RuleEntry {
        /// The name in the log, in refusals and in explanations.
        pub name: At<String>,
        /// `"allow"` or `"deny"`.
        pub action: Action,
        /// Who: names of people or clients. Default: anybody.
        pub people: Vec<At<String>> = Vec::new(),
        /// Who: groups. Default: anybody.
        pub groups: Vec<At<String>> = Vec::new(),
        /// From where: networks or addresses of clients. Default: anywhere.
        pub networks: Vec<IpNet> = Vec::new(),
        /// Where to: hosts as in a category, addresses and networks. A name is judged by the addresses that it resolves to as
        /// well: a rule that denies applies when one of them is named, a rule that allows when all are. Default: anywhere.
        pub to: Vec<Place> = Vec::new(),
        /// Ports of targets: 443, `"8000-8999"`. `network.connect_ports` and `network.http_ports` hold as well. Default: any.
        pub ports: Vec<Ports> = Vec::new(),
        /// Categories. Default: any, and none.
        pub categories: Vec<At<String>> = Vec::new(),
        /// Hosts whose level is below this one: with `action = "deny"`, `"caution"` means "nothing below caution". Default: any
        /// level.
        pub below: Option<At<Level>> = None,
        /// Methods. A tunnel's is `"CONNECT"`. Default: any.
        pub methods: Vec<MethodName> = Vec::new(),
        /// `"http"`, `"https"`, `"connect"` (a tunnel). Default: any.
        pub schemes: Vec<Scheme> = Vec::new(),
        /// `"mon"` to `"sun"`, `"mon-fri"`. Default: any day.
        pub days: Vec<Days> = Vec::new(),
        /// `"08:00-18:00"`; `"22:00-06:00"` goes over midnight and belongs to the day it begins. Default: at any time.
        pub hours: Vec<Hours> = Vec::new(),
        /// The time zone of days and hours, of the IANA database. Default: `"UTC"`.
        pub time_zone: Option<At<Zone>> = None,
        /// What a person is told when it denies. Default: the name of the rule.
        pub reason: Option<String> = None,
        /// The egress or pool for what it allows. Default: `network.egress`.
        pub egress: Option<At<String>> = None,
        /// Whether answers may come from the cache and go into it. Default: true.
        pub cache: bool = true,
        /// The limit for what it allows. Default: none.
        pub limit: Option<At<String>> = None,
        /// Whether names are resolved and vetted here also when an upstream proxy would resolve them. Default: false.
        pub resolve: bool = false,
    }
}

/// The whole file.
#[derive(Debug, Clone)]
pub struct File {
    /// `[listen]`
    pub listen: Listen,
    /// `[clients]`
    pub clients: Clients,
    /// `[log]`
    pub log: Log,
    /// `[network]`
    pub network: Network,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[cache]`
    pub cache: Cache,
    /// `[compress]`
    pub compress: Compress,
    /// `[usage]`
    pub usage: Usage,
    /// `[lists]`
    pub lists: Lists,
    /// `[forwarded]`
    pub forwarded: Forwarded,
    /// `[pac]`
    pub pac: Pac,
    /// `[levels]`
    pub levels: Levels,
    /// `[[person]]`
    pub people: Vec<PersonEntry>,
    /// `[[client]]`
    pub identities: Vec<ClientEntry>,
    /// `[[category]]`
    pub categories: Vec<CategoryEntry>,
    /// `[[egress]]`
    pub egresses: Vec<EgressEntry>,
    /// `[[egress_pool]]`
    pub pools: Vec<PoolEntry>,
    /// `[[limit]]`
    pub limits: Vec<LimitEntry>,
    /// `[[rule]]`, in order. Without any, everything is refused.
    pub rules: Vec<RuleEntry>,
}

/// What may stand at the top.
const SECTIONS: &[&str] = &[
    "listen",
    "clients",
    "log",
    "network",
    "timeouts",
    "cache",
    "compress",
    "usage",
    "lists",
    "forwarded",
    "pac",
    "levels",
    "person",
    "client",
    "category",
    "egress",
    "egress_pool",
    "limit",
    "rule",
];

impl ReadTable for File {
    fn read(table: &Table<'_>, notes: &mut Notes) -> Option<Self> {
        table.refuse_others(SECTIONS, notes);
        let listen = table.section("listen", "[listen]", notes);
        let clients = table.section("clients", "[clients]", notes);
        let log = table.section("log", "[log]", notes);
        let network = table.section("network", "[network]", notes);
        let timeouts = table.section("timeouts", "[timeouts]", notes);
        let cache = table.section("cache", "[cache]", notes);
        let compress = table.section("compress", "[compress]", notes);
        let usage = table.section("usage", "[usage]", notes);
        let lists = table.section("lists", "[lists]", notes);
        let forwarded = table.section("forwarded", "[forwarded]", notes);
        let pac = table.section("pac", "[pac]", notes);
        let levels = table.section("levels", "[levels]", notes);
        let people = table.sections("person", "[[person]]", notes);
        let identities = table.sections("client", "[[client]]", notes);
        let categories = table.sections("category", "[[category]]", notes);
        let egresses = table.sections("egress", "[[egress]]", notes);
        let pools = table.sections("egress_pool", "[[egress_pool]]", notes);
        let limits = table.sections("limit", "[[limit]]", notes);
        let rules = table.sections("rule", "[[rule]]", notes);
        Some(Self {
            listen: listen?,
            clients: clients?,
            log: log?,
            network: network?,
            timeouts: timeouts?,
            cache: cache?,
            compress: compress?,
            usage: usage?,
            lists: lists?,
            forwarded: forwarded?,
            pac: pac?,
            levels: levels?,
            people,
            identities,
            categories,
            egresses,
            pools,
            limits,
            rules,
        })
    }
}

/// Loopback, private and link-local networks.
fn private_networks() -> Vec<IpNet> {
    let v4 = |a, b, prefix| Ipv4Net::new(Ipv4Addr::new(a, b, 0, 0), prefix).map(IpNet::from);
    let v6 = |text: &str| text.parse::<Ipv6Net>().map(IpNet::from);
    let v4s = [v4(127, 0, 8), v4(10, 0, 8), v4(172, 16, 12), v4(192, 168, 16), v4(169, 254, 16)];
    let v6s = [v6("::1/128"), v6("fc00::/7"), v6("fe80::/10")];
    v4s.into_iter().flatten().chain(v6s.into_iter().flatten()).collect()
}

/// The folder that relative paths start from.
pub(crate) fn beside(base: &std::path::Path, path: &str) -> PathBuf {
    base.join(path)
}
