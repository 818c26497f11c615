//! Who may visit what: a file, compiled into an immutable snapshot that answers in microseconds.
//!
//! [`file`] is what may stand in the file. [`Policy::load`] reads it and the lists that it names, says everything that is
//! wrong with it, and builds the tables. [`Policy::decide`] asks them. A policy never changes: whoever swaps one swaps the
//! whole snapshot, and everything that a [`Decision`] says belongs to the snapshot that made it.

mod compile;
mod decide;
mod explain;
pub mod file;
pub mod lists;
mod read;
mod stored;
mod tables;
pub mod value;

use std::{net::IpAddr, ops::Deref, path::PathBuf, sync::Arc, time::Duration};

use gatehouse_domain::{CaPem, ProxyName, Secret};
use ipnet::IpNet;

pub use decide::{Action, Decision, Egress, Question, WayOut, Why};
pub use explain::{Explanation, Passed};
pub use read::{At, Problem};
pub use stored::{Operator, StoredPerson, StoredProxy};
pub use value::{Level, Scheme, Scope};

use crate::guard::Guard;
use compile::Tables;
use file::{Cache, Clients, Compress, Forwarded, Listen, Log, Network, Pac, RuleEntry, Timeouts, Usage};
use value::{Bytes, ListUrl, PerSecond, Strategy, UpstreamUrl};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    settings: Settings,
    people: std::collections::HashMap<Arc<str>, Person>,
    identities: Vec<Who>,
    /// Names, in the order of the file.
    categories: Vec<Box<str>>,
    rules: Vec<Rule>,
    tables: Tables,
    summary: Summary,
}

/// What the gateway is to do apart from deciding.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: Listen,
    /// Whom it serves.
    pub clients: Clients,
    /// Where it logs.
    pub log: Log,
    /// What may be reached at all.
    pub network: Network,
    /// How long it waits.
    pub timeouts: Timeouts,
    /// What it keeps.
    pub cache: Cache,
    /// Whether it compresses.
    pub compress: Compress,
    /// Where it keeps what is counted of volumes.
    pub usage: Usage,
    /// Lists that are fetched.
    pub lists: FetchedLists,
    /// What it says about clients and itself.
    pub forwarded: Forwarded,
    /// What browsers are told.
    pub pac: Pac,
    /// The ways out.
    pub egresses: Vec<EgressSettings>,
    /// Several under one name.
    pub pools: Vec<Pool>,
    /// How much may be used.
    pub limits: Vec<Limit>,
}

/// Names of groups, in alphabetical order. Cheap to clone; belongs to no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupSet(Arc<[Arc<str>]>);

impl Default for GroupSet {
    fn default() -> Self {
        Self::new([])
    }
}

impl GroupSet {
    /// Makes one of names.
    #[must_use]
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<Arc<str>> = names.into_iter().map(Arc::from).collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into())
    }

    /// The groups of either: of somebody who has signed in from an address that has groups of its own.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (_, true) => self.clone(),
            (true, false) => other.clone(),
            (false, false) => Self::new(self.iter().chain(other.iter()).map(AsRef::as_ref)),
        }
    }
}

impl Deref for GroupSet {
    type Target = [Arc<str>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Who asks, as far as the address tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// The name.
    pub person: Option<Arc<str>>,
    /// The groups.
    pub groups: GroupSet,
}

/// Somebody who can sign in.
#[derive(Debug, Clone)]
pub struct Person {
    /// The user name.
    pub name: Arc<str>,
    /// The argon2id hash of the password, in PHC form.
    pub password: String,
    /// The groups.
    pub groups: GroupSet,
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressSettings {
    /// The name in rules and the log.
    pub name: Arc<str>,
    /// Which way.
    pub way: Way,
    /// Its share in a pool; at least 1.
    pub weight: u32,
    /// Requests and tunnels at a time.
    pub max_connections: Option<u32>,
    /// How many may wait.
    pub max_waiting: u32,
    /// How often it is tried as a member of a pool.
    pub check_every: Duration,
}

/// How an egress goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// From this machine.
    Direct {
        /// The address that connections come from.
        source: Option<IpAddr>,
    },
    /// Through another proxy.
    Upstream(Upstream),
}

/// Another proxy that a way leads through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where it is.
    pub url: UpstreamUrl,
    /// User name and password.
    pub credentials: Option<(String, Secret)>,
    /// Certificates that are accepted besides the system's: its own, and those of what is reached through it.
    pub ca_pem: Option<CaPem>,
    /// How long a connection through it may take; `timeouts.connect` holds as well.
    pub timeout: Option<Duration>,
    /// The proxy setting that says all this, where one does.
    pub setting: Option<ProxyName>,
    /// Its own address is vetted as that of a target is, before it is dialled: whoever named it must not reach the network that
    /// the gateway stands in.
    pub is_vetted: bool,
}

/// Several ways out under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The name in rules.
    pub name: Arc<str>,
    /// Positions in [`Settings::egresses`].
    pub members: Vec<usize>,
    /// How one is picked.
    pub strategy: Strategy,
}

impl Settings {
    /// The way out at this position.
    #[must_use]
    pub fn way_out(&self, egress: Option<Egress<usize>>) -> Option<WayOut<'_>> {
        match egress? {
            Egress::One(at) => self.egresses.get(at).map(|one| Egress::One((at, one))),
            Egress::Pool(at) => self.pools.get(at).map(|pool| Egress::Pool((at, pool))),
        }
    }
}

/// Lists that are fetched.
#[derive(Debug, Clone)]
pub struct FetchedLists {
    /// From where, and to which file; each once.
    pub all: Vec<(ListUrl, PathBuf)>,
    /// The folder that these files are in.
    pub folder: Option<PathBuf>,
    /// How often.
    pub every: Duration,
    /// Which way.
    pub egress: Option<Egress<usize>>,
}

/// How much may be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// The name in rules.
    pub name: Arc<str>,
    /// Requests and tunnels per second.
    pub requests_per_second: Option<PerSecond>,
    /// Bytes per second, both ways together.
    pub bytes_per_second: Option<Bytes>,
    /// Bytes of a day (UTC).
    pub volume_per_day: Option<Bytes>,
    /// Bytes of a calendar month (UTC).
    pub volume_per_month: Option<Bytes>,
    /// Who shares one account.
    pub scope: Scope,
    /// Bits of an IPv4 network, for [`Scope::Network`].
    pub prefix_v4: u8,
    /// Bits of an IPv6 network.
    pub prefix_v6: u8,
    /// The position in [`Settings::limits`] of one that holds as well. Never leads back here.
    pub within: Option<usize>,
}

/// Whose account of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Account {
    /// A person's, or that of a group.
    Named(Arc<str>),
    /// An address's.
    Address(IpAddr),
    /// A network's.
    Network(IpNet),
    /// Everybody's.
    All,
}

impl Limit {
    /// The accounts that a request counts to: one, or with [`Scope::Group`] one for each group. Who is in no group shares an
    /// account with the others who aren't.
    pub fn accounts(&self, client: IpAddr, who: &Who) -> impl Iterator<Item = Account> {
        let address = client.to_canonical();
        let one = match self.scope {
            Scope::Person => who.person.clone().map_or(Account::Address(address), Account::Named),
            Scope::Client => Account::Address(address),
            Scope::Group | Scope::All => Account::All,
            Scope::Network => {
                let prefix = if address.is_ipv4() { self.prefix_v4 } else { self.prefix_v6 };
                IpNet::new(address, prefix).map_or(Account::Address(address), |net| Account::Network(net.trunc()))
            }
        };
        let groups = if self.scope == Scope::Group { who.groups.clone() } else { GroupSet::default() };
        let one = groups.is_empty().then_some(one);
        (0..groups.len()).map(move |n| Account::Named(groups[n].clone())).chain(one)
    }
}

#[derive(Debug)]
struct Rule {
    name: Box<str>,
    /// What a person is told.
    reason: Box<str>,
    /// As in the file, for explaining.
    entry: RuleEntry,
    egress: Option<Egress<usize>>,
    limit: Option<usize>,
}

/// A list of which not all could be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The list.
    pub file: PathBuf,
    /// What was found.
    pub counts: lists::Counts,
}

/// What a policy consists of, for `gatehouse gateway check`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// `[[rule]]`
    pub rules: usize,
    /// `[[category]]`
    pub categories: usize,
    /// Different names in all categories.
    pub domains: usize,
    /// Addresses and networks in categories and rules.
    pub networks: usize,
    /// `[[person]]`
    pub people: usize,
    /// `[[client]]`
    pub clients: usize,
    /// `[[egress]]`
    pub egresses: usize,
    /// `[[limit]]`
    pub limits: usize,
    /// Lists of which not all could be used.
    pub skipped: Vec<Skipped>,
    /// Lists that were not fetched yet, without their queries: what they would name is in no category.
    pub awaited: Vec<String>,
    /// Bytes of memory of the names.
    pub memory: usize,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counted =
            |count: usize, one: &str, many: &str| format!("{} {}", thousands(count), if count == 1 { one } else { many });
        write!(
            f,
            "{}, {} with {}, {}, {}, {}, {}, {}.",
            counted(self.rules, "rule", "rules"),
            counted(self.categories, "category", "categories"),
            counted(self.domains, "domain", "domains"),
            counted(self.networks, "network", "networks"),
            counted(self.people, "person", "people"),
            counted(self.clients, "client", "clients"),
            counted(self.egresses, "egress", "egresses"),
            counted(self.limits, "limit", "limits"),
        )?;
        if self.rules == 0 {
            write!(f, "\nThere is no rule: every request is refused.")?;
        }
        for url in &self.awaited {
            write!(f, "\n{url} was not fetched yet: what it names is in no category until then.")?;
        }
        for Skipped { file, counts } in &self.skipped {
            let (skipped, all) = (thousands(counts.skipped), thousands(counts.skipped + counts.entries));
            write!(f, "\n{}: {skipped} of {all} lines were passed over; they name no host as a whole.", file.display())?;
        }
        Ok(())
    }
}

/// 1002113 is 1,002,113.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Policy {
    /// What the gateway is to do apart from deciding.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it consists of; its `Display` is what `gatehouse gateway check` prints.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Whether a client of this address is served at all.
    #[must_use]
    pub fn serves(&self, client: IpAddr) -> bool {
        self.tables.served.get(client)
    }

    /// Who asks, by the address: the narrowest network of a `[[client]]` that holds it.
    #[must_use]
    pub fn identify(&self, client: IpAddr) -> Who {
        let at = self.tables.identities.get(client);
        at.and_then(|at| self.identities.get(at)).cloned().unwrap_or_default()
    }

    /// Whether anybody can sign in.
    #[must_use]
    pub fn has_people(&self) -> bool {
        !self.people.is_empty()
    }

    /// Who signs in with this name.
    #[must_use]
    pub fn person(&self, name: &str) -> Option<&Person> {
        self.people.get(name)
    }

    /// Whether any rule asks who it is. Whether it matters for a request: [`Decision::person_matters`].
    #[must_use]
    pub fn needs_person(&self) -> bool {
        self.tables.needs_person
    }

    /// The guard that goes with `[network] open`. `own`: where this process listens.
    #[must_use]
    pub fn guard(&self, own: Vec<std::net::SocketAddr>) -> Guard {
        Guard::new(self.settings.network.open.iter().map(|net| net.value).collect(), own)
    }
}
