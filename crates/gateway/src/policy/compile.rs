//! From the file to the tables.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use gatehouse_domain::Secret;
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use toml::de::DeTable;

use super::{
    EgressSettings, FetchedLists, GroupSet, Limit, Operator, Person, Policy, Pool, Rule, Settings, Skipped, StoredPerson,
    Summary, Upstream, Way, Who,
    decide::Egress,
    file::{EgressEntry, File, RuleEntry, beside},
    lists::{self, Entry},
    read::{At, Notes, Problem, ReadTable as _, Table},
    tables::{Names, NamesBuilder, Networks, Ranges, Reach, Sets},
    value::{Action, EgressKind, Level, ListUrl, Place, Scheme},
};

/// As many as a mask has bits.
const MAX_CATEGORIES: usize = 128;
/// Who uses a proxy setting is shown with it, by a name of so many characters at most.
const LONGEST_USER: usize = 64;

/// So many rules are decided among without memory of its own for the question; more would be a slip.
const MAX_RULES: usize = 100_000;
/// A list larger than this is not read.
const MAX_LIST: u64 = 1 << 30;

/// Where decisions are looked up. A set of rules holds those, in the order of the file, that a look-up lets through; sets of
/// what has one value only (an address, a port, a moment) hold the rules that don't ask for it as well.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) served: Networks<bool>,
    pub(super) identities: Networks<Option<usize>>,
    pub(super) needs_person: bool,
    /// By client address.
    pub(super) clients: Networks<u32>,
    pub(super) clients_sets: Sets,
    /// Without `people` and `groups`; then by name.
    pub(super) who_sets: Sets,
    pub(super) people: HashMap<Arc<str>, u32>,
    pub(super) groups: HashMap<Arc<str>, u32>,
    /// Without `to`; then by name and by address.
    pub(super) to_sets: Sets,
    pub(super) names: Names<u32>,
    pub(super) targets: Networks<u32>,
    /// Which have addresses in `to`.
    pub(super) with_targets: u32,
    pub(super) ports: Ranges<u16, u32>,
    /// Ports, methods, schemes, levels.
    pub(super) plain_sets: Sets,
    pub(super) methods: HashMap<Box<str>, u32>,
    pub(super) other_methods: u32,
    pub(super) schemes: [u32; 3],
    /// By level: unsafe, caution, safe.
    pub(super) levels: [u32; 3],
    /// By the minute of the week, for each time zone.
    pub(super) times: Vec<(jiff::tz::TimeZone, Ranges<u16, u32>)>,
    pub(super) times_sets: Sets,
    /// Without `categories`; then one for each.
    pub(super) category_sets: Sets,
    pub(super) category_rules: Vec<u32>,
    /// Which name categories that have addresses.
    pub(super) with_category_addresses: u32,
    pub(super) category_names: Names<u128>,
    pub(super) category_targets: Networks<u128>,
    pub(super) unsafe_mask: u128,
    pub(super) caution_mask: u128,
    /// Categories that have addresses.
    pub(super) address_mask: u128,
    pub(super) unlisted: Level,
    /// The rules that deny.
    pub(super) deny_sets: Sets,
}

impl Policy {
    /// Reads a policy file and the lists and passwords that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn load(path: &Path) -> Result<Self, Vec<Problem>> {
        let file = path.display().to_string();
        let failed = |message: String| vec![Problem { file: file.clone(), line: 1, column: 1, message }];
        let bytes = std::fs::read(path).map_err(|error| failed(format!("The file can't be read: {error}.")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|b| **b == b'\n').count() + 1;
            vec![Problem { file: file.clone(), line, column: 1, message: "This is not UTF-8 text.".into() }]
        })?;
        Self::compile(&text, path.parent().unwrap_or(Path::new("")), &file, None)
    }

    /// Reads a policy from a text. `base`: the folder that the files it names are relative to.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Vec<Problem>> {
        Self::compile(text, base, "policy.toml", None)
    }

    /// `stored`: of a policy in a database, what the operator says of it, and the people who stand elsewhere.
    pub(super) fn compile(
        text: &str, base: &Path, file: &str, stored: Option<(&Operator<'_>, &[StoredPerson])>,
    ) -> Result<Self, Vec<Problem>> {
        let mut notes = Notes::default();
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let message = error.message().trim_end_matches('.');
            notes.note(error.span().map_or(0, |span| span.start), format!("This is not TOML: {message}."));
        }
        // What was recovered from a broken text would lead to complaints about what isn't there.
        if !notes.is_empty() {
            return Err(notes.problems(text, file));
        }
        let table = Table::new(document.get_ref(), 0, "");
        let Some(mut read) = File::read(&table, &mut notes) else {
            return Err(notes.problems(text, file));
        };
        if let Some((operator, people)) = stored {
            operator.adapt(&table, people, &mut read, &mut notes);
        }
        let operator = stored.map(|(operator, _)| operator);
        let policy = Compiler { file: read, base, operator, notes: &mut notes }.compile();
        match policy {
            Some(policy) if notes.is_empty() => Ok(policy),
            _ => Err(notes.problems(text, file)),
        }
    }
}

struct Compiler<'c> {
    file: File,
    base: &'c Path,
    /// Of a policy in a database.
    operator: Option<&'c Operator<'c>>,
    notes: &'c mut Notes,
}

impl Compiler<'_> {
    fn compile(mut self) -> Option<Policy> {
        self.check_settings();
        let names = self.file.categories.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        let categories = self.names("category", &names);
        let names = self.file.people.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        let people_names = self.names("person", &names);
        let clients = self.file.identities.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        self.names("client", &clients);
        // An address must not pass for somebody who has to sign in.
        for client in clients.iter().filter(|client| people_names.contains_key(&client.value)) {
            self.notes.note(client.at, format!("There is a person '{}' too: give one of them another name.", client.value));
        }
        for name in names.iter().filter(|name| name.contains(':')) {
            self.notes.note(name.at, "A user name has no colon: Basic authentication ends the name with it.");
        }
        let (egresses, pools, ways) = self.egresses();
        let (limits, limit_names) = self.limits();
        let names = self.file.rules.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        self.names("rule", &names);
        if self.file.rules.len() > MAX_RULES {
            self.notes.note(self.file.rules[MAX_RULES].at, format!("There are more than {MAX_RULES} rules."));
            return None;
        }
        let default_egress = self.file.network.egress.clone().and_then(|name| self.find("egress or pool", &name, &ways));

        let mut known_people: HashSet<String> = people_names.into_keys().collect();
        known_people.extend(self.file.identities.iter().map(|client| client.name.value.clone()));
        let known_groups: HashSet<String> = {
            let of_people = self.file.people.iter().flat_map(|person| &person.groups);
            of_people.chain(self.file.identities.iter().flat_map(|client| &client.groups)).cloned().collect()
        };
        let mut rules = Vec::with_capacity(self.file.rules.len());
        let mut rule_categories = Vec::with_capacity(self.file.rules.len());
        for entry in std::mem::take(&mut self.file.rules) {
            for person in &entry.people {
                self.known("person or client", person, &known_people);
            }
            for group in &entry.groups {
                self.known_group(group, &known_groups);
            }
            let of_rule: Vec<usize> =
                entry.categories.iter().filter_map(|name| self.find("category", name, &categories)).collect();
            let egress = match &entry.egress {
                Some(name) => self.find("egress or pool", name, &ways),
                None => default_egress,
            };
            let limit = entry.limit.as_ref().and_then(|name| self.find("limit", name, &limit_names));
            self.check_rule(&entry);
            rule_categories.push(of_rule);
            let name: Box<str> = entry.name.value.as_str().into();
            let reason = match (&entry.reason, entry.action) {
                (Some(reason), _) => reason.as_str().into(),
                (None, Action::Deny) => format!("The rule '{name}' doesn't allow it.").into(),
                (None, Action::Allow) => format!("The rule '{name}' allows it.").into(),
            };
            rules.push(Rule { name, reason, entry, egress, limit });
        }
        let lists_egress = match self.file.lists.egress.clone() {
            Some(name) => self.find("egress or pool", &name, &ways),
            None => default_egress,
        };
        let mut fetched = FetchedLists {
            all: Vec::new(),
            folder: self.file.lists.folder.as_ref().map(|folder| beside(self.base, folder)),
            every: self.file.lists.every,
            egress: lists_egress,
        };
        let (category_names, category_nets, skipped, awaited) = self.categories(&mut fetched);
        let identities = self.identities();
        if !self.notes.is_empty() {
            return None;
        }
        let lists = (skipped, awaited, fetched);
        Some(self.build(rules, &rule_categories, category_names, &category_nets, identities, lists, (egresses, pools, limits)))
    }

    /// Notes names that occur twice, and where they may be found.
    fn names(&mut self, kind: &str, names: &[At<String>]) -> HashMap<String, usize> {
        let mut known = HashMap::new();
        for (position, name) in names.iter().enumerate() {
            if name.value.trim().is_empty() {
                self.notes.note(name.at, "A name can't be empty.");
            } else if known.insert(name.value.clone(), position).is_some() {
                self.notes.note(name.at, format!("There is another {kind} '{}': give one of them another name.", name.value));
            }
        }
        known
    }

    fn find<T: Copy>(&mut self, kind: &str, name: &At<String>, known: &HashMap<String, T>) -> Option<T> {
        let found = known.get(&name.value).copied();
        if found.is_none() && !self.notes.incomplete {
            let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
            names.sort_unstable();
            let there = if names.is_empty() { "there is none".to_string() } else { format!("there is {}", names.join(", ")) };
            self.notes.note(name.at, format!("There is no {kind} '{}': {there}.", name.value));
        }
        found
    }

    fn known(&mut self, kind: &str, name: &At<String>, known: &HashSet<String>) {
        if !known.contains(&name.value) && !self.notes.incomplete {
            self.notes.note(name.at, format!("There is no {kind} '{}': add it as [[person]] or [[client]].", name.value));
        }
    }

    fn known_group(&mut self, name: &At<String>, known: &HashSet<String>) {
        if !known.contains(&name.value) && !self.notes.incomplete {
            let message =
                format!("Nobody is in the group '{}': add it to the groups of a [[person]] or a [[client]].", name.value);
            self.notes.note(name.at, message);
        }
    }

    fn check_settings(&mut self) {
        // Entries that could not be read have been told of.
        if self.file.listen.addresses.is_empty() && self.notes.is_empty() {
            self.notes
                .note(self.file.listen.at, "The gateway has to listen somewhere: leave 'addresses' out for 127.0.0.1:3128.");
        }
        for net in &self.file.clients.networks {
            if net.prefix_len() == 0 {
                let message =
                    format!("{net} is everybody: a gateway open to everybody is misused within hours. Name your networks.");
                self.notes.note(self.file.clients.at, message);
            }
        }
        let via = &self.file.forwarded.via;
        if via.is_empty() || !via.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
            self.notes.note(via.at, "The pseudonym has letters, digits, '.', '-' and '_' only, and at least one.");
        }
        if self.file.cache.max_object > self.file.cache.memory {
            self.notes.note(self.file.cache.at, "'max_object' can't be larger than 'memory'.");
        }
    }

    fn check_rule(&mut self, entry: &RuleEntry) {
        if entry.time_zone.is_some() && entry.days.is_empty() && entry.hours.is_empty() {
            let at = entry.time_zone.as_ref().map_or(entry.at, |zone| zone.at);
            self.notes.note(at, "A time zone without days or hours says nothing: add them or leave it out.");
        }
        if let Some(below) = &entry.below
            && below.value == Level::Unsafe
        {
            self.notes
                .note(below.at, "Nothing is below unsafe: \"caution\" means what is unsafe, \"safe\" means that and caution.");
        }
        if entry.action == Action::Deny {
            for (given, name) in [(entry.egress.as_ref(), "egress"), (entry.limit.as_ref(), "limit")] {
                if let Some(given) = given {
                    self.notes.note(given.at, format!("A rule that denies has no '{name}': nothing goes out."));
                }
            }
        }
        for scheme in &entry.schemes {
            let fits = |method: &str| (*scheme == Scheme::Connect) == (method == "CONNECT");
            if !entry.methods.is_empty() && !entry.methods.iter().any(|method| fits(&method.0)) {
                let message = format!(
                    "This rule applies to no '{}' request: CONNECT is the method of tunnels, and of nothing else.",
                    scheme.as_str()
                );
                self.notes.note(entry.at, message);
            }
        }
    }

    fn egresses(&mut self) -> (Vec<EgressSettings>, Vec<Pool>, HashMap<String, Egress<usize>>) {
        let entries = std::mem::take(&mut self.file.egresses);
        let pool_entries = std::mem::take(&mut self.file.pools);
        let names: Vec<At<String>> =
            entries.iter().map(|e| e.name.clone()).chain(pool_entries.iter().map(|p| p.name.clone())).collect();
        self.names("egress or pool", &names);
        let mut ways = HashMap::new();
        let mut egresses = Vec::new();
        for entry in entries {
            if let Some(setting) = entry.setting.as_ref().filter(|_| entry.kind != EgressKind::Setting) {
                self.notes.note(setting.at, "Only an egress of kind = \"setting\" has a 'setting': write that, or leave it out.");
            }
            let way = match entry.kind {
                EgressKind::Direct => {
                    let upstream = [
                        (entry.url.as_ref().map(|v| v.at), "url"),
                        (entry.username.as_ref().map(|v| v.at), "username"),
                        (entry.password_file.as_ref().map(|v| v.at), "password_file"),
                    ];
                    for (at, key) in upstream {
                        if let Some(at) = at {
                            self.notes
                                .note(at, format!("A direct egress has no '{key}': write kind = \"upstream\", or leave it out."));
                        }
                    }
                    Way::Direct { source: entry.source.map(|source| source.value) }
                }
                EgressKind::Upstream => {
                    if let Some(source) = &entry.source {
                        self.notes.note(source.at, "An upstream egress has no 'source': that is for kind = \"direct\".");
                    }
                    let Some(url) = &entry.url else {
                        if !self.notes.incomplete {
                            self.notes.note(
                                entry.at,
                                "An upstream egress needs 'url': the address of the proxy, like \"http://proxy.example:3128\".",
                            );
                        }
                        continue;
                    };
                    let credentials = match (&entry.username, &entry.password_file) {
                        (None, None) => None,
                        (Some(username), Some(file)) => self.password(file).map(|password| (username.value.clone(), password)),
                        (Some(given), None) => {
                            self.notes.note(given.at, "A user name needs 'password_file': a file with the password.");
                            None
                        }
                        (None, Some(given)) => {
                            self.notes.note(given.at, "A password needs 'username'.");
                            None
                        }
                    };
                    let is_vetted = self.operator.is_some_and(|operator| operator.public_only);
                    Way::Upstream(Upstream {
                        url: url.value.clone(),
                        credentials,
                        ca_pem: None,
                        timeout: None,
                        setting: None,
                        is_vetted,
                    })
                }
                EgressKind::Setting => {
                    let Some(upstream) = self.setting(&entry) else {
                        // Whoever names it is right to.
                        self.notes.incomplete = true;
                        continue;
                    };
                    Way::Upstream(upstream)
                }
            };
            if entry.weight.value == 0 {
                self.notes.note(entry.weight.at, "A weight is 1 or more; leave an egress out of the pool to give it nothing.");
            }
            ways.insert(entry.name.value.clone(), Egress::One(egresses.len()));
            egresses.push(EgressSettings {
                name: entry.name.value.into(),
                way,
                weight: entry.weight.value,
                max_connections: (entry.max_connections > 0).then_some(entry.max_connections),
                max_waiting: entry.max_waiting,
                check_every: entry.check_every,
            });
        }
        let single: HashMap<String, usize> =
            egresses.iter().enumerate().map(|(at, egress): (usize, &EgressSettings)| (egress.name.to_string(), at)).collect();
        let mut pools = Vec::new();
        for entry in pool_entries {
            if entry.members.is_empty() {
                self.notes.note(entry.at, "A pool needs members: the names of egresses.");
            }
            let members = entry.members.iter().filter_map(|member| self.find("egress", member, &single)).collect();
            ways.insert(entry.name.value.clone(), Egress::Pool(pools.len()));
            pools.push(Pool { name: entry.name.value.into(), members, strategy: entry.strategy });
        }
        (egresses, pools, ways)
    }

    /// What a proxy setting says. `None`: that was complained about.
    fn setting(&mut self, entry: &EgressEntry) -> Option<Upstream> {
        let own = [
            (entry.url.as_ref().map(|v| v.at), "url"),
            (entry.username.as_ref().map(|v| v.at), "username"),
            (entry.password_file.as_ref().map(|v| v.at), "password_file"),
            (entry.source.as_ref().map(|v| v.at), "source"),
        ];
        for (at, key) in own {
            if let Some(at) = at {
                self.notes
                    .note(at, format!("The proxy setting says all of it: leave '{key}' out, or write kind = \"upstream\"."));
            }
        }
        if entry.name.value.chars().count() > LONGEST_USER {
            self.notes.note(
                entry.name.at,
                format!(
                    "A way out through a proxy setting has a name of at most {LONGEST_USER} characters: its setting shows it."
                ),
            );
        }
        let Some(name) = &entry.setting else {
            self.notes.note(
                entry.at,
                "An egress of kind = \"setting\" needs 'setting': the name of one of the company's proxy settings.",
            );
            return None;
        };
        let Some(operator) = self.operator else {
            let message =
                "Only a policy in the database knows the company's proxy settings: write kind = \"upstream\" and its 'url'.";
            self.notes.note(name.at, message);
            return None;
        };
        match operator.setting(name) {
            Ok(upstream) => Some(upstream),
            Err(message) => {
                self.notes.note(name.at, message);
                None
            }
        }
    }

    fn password(&mut self, file: &At<String>) -> Option<Secret> {
        let path = beside(self.base, file);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let password = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
                if password.is_empty() {
                    self.notes.note(file.at, format!("{} is empty: it has to hold the password.", path.display()));
                }
                Some(Secret::new(password))
            }
            Err(error) => {
                self.notes.note(file.at, format!("{} can't be read: {error}.", path.display()));
                None
            }
        }
    }

    fn limits(&mut self) -> (Vec<Limit>, HashMap<String, usize>) {
        let entries = std::mem::take(&mut self.file.limits);
        let names: Vec<At<String>> = entries.iter().map(|entry| entry.name.clone()).collect();
        let known = self.names("limit", &names);
        let mut limits = Vec::new();
        for entry in &entries {
            let within = entry.within.as_ref().and_then(|name| self.find("limit", name, &known));
            for (bits, most) in [(&entry.prefix_v4, 32), (&entry.prefix_v6, 128)] {
                if bits.value > most {
                    self.notes.note(bits.at, format!("A network has at most {most} bits."));
                }
            }
            let any = entry.requests_per_second.is_some()
                || entry.bytes_per_second.is_some()
                || entry.volume_per_day.is_some()
                || entry.volume_per_month.is_some()
                || within.is_some();
            if !any && !self.notes.incomplete {
                let message = "A limit needs 'requests_per_second', 'bytes_per_second', 'volume_per_day' or 'volume_per_month'.";
                self.notes.note(entry.at, message);
            }
            limits.push(Limit {
                name: entry.name.value.as_str().into(),
                requests_per_second: entry.requests_per_second,
                bytes_per_second: entry.bytes_per_second,
                volume_per_day: entry.volume_per_day,
                volume_per_month: entry.volume_per_month,
                scope: entry.scope,
                prefix_v4: u8::try_from(entry.prefix_v4.value).unwrap_or(32),
                prefix_v6: u8::try_from(entry.prefix_v6.value).unwrap_or(128),
                within,
            });
        }
        for (at, entry) in entries.iter().enumerate() {
            let mut here = limits[at].within;
            for _ in 0..limits.len() {
                here = here.and_then(|limit| limits[limit].within);
            }
            if let (Some(_), Some(within)) = (here, &entry.within) {
                self.notes.note(within.at, format!("The limit '{}' is within itself.", entry.name.value));
            }
        }
        (limits, known)
    }

    fn identities(&mut self) -> Vec<(IpNet, usize)> {
        let mut seen: BTreeMap<IpNet, usize> = BTreeMap::new();
        for (position, client) in self.file.identities.iter().enumerate() {
            for net in &client.networks {
                if let Some(other) = seen.insert(net.value, position).filter(|other| *other != position) {
                    let other = &self.file.identities[other].name.value;
                    self.notes
                        .note(net.at, format!("{} is the network of '{other}' as well: it can be only one client's.", net.value));
                }
            }
        }
        seen.into_iter().collect()
    }

    /// Where the list of this address is kept.
    fn kept_list(&mut self, url: &At<ListUrl>) -> Option<PathBuf> {
        let Some(folder) = &self.file.lists.folder else {
            self.notes.note(url.at, "Lists that are fetched need a folder to be kept in: [lists] folder.");
            return None;
        };
        let hash: [u8; 32] = Sha256::digest(url.text.as_bytes()).into();
        let name: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Some(beside(self.base, folder).join(format!("{name}.list")))
    }

    #[allow(clippy::type_complexity, reason = "what comes of it, each for another step")]
    fn categories(&mut self, fetched: &mut FetchedLists) -> (NamesBuilder, Vec<(IpNet, usize)>, Vec<Skipped>, Vec<String>) {
        let categories = std::mem::take(&mut self.file.categories);
        let (mut names, mut nets, mut skipped, mut awaited) = (NamesBuilder::new(), Vec::new(), Vec::new(), Vec::new());
        if let Some(over) = categories.get(MAX_CATEGORIES) {
            self.notes.note(over.at, format!("There are more than {MAX_CATEGORIES} categories: put some of them together."));
        } else {
            for (position, category) in categories.iter().enumerate() {
                for place in &category.hosts {
                    add_place(place, position, &mut names, &mut nets);
                }
                for file in &category.files {
                    let path = beside(self.base, file);
                    if let Some(counted) = self.list(&path, file.at, position, &mut names, &mut nets) {
                        skipped.push(counted);
                    }
                }
                for url in &category.urls {
                    let Some(path) = self.kept_list(url) else { continue };
                    if path.exists() {
                        skipped.extend(self.list(&path, url.at, position, &mut names, &mut nets));
                    }
                    if !fetched.all.iter().any(|(known, _)| known.text == url.text) {
                        if !path.exists() {
                            awaited.push(url.shown().to_string());
                        }
                        fetched.all.push((url.value.clone(), path));
                    }
                }
            }
        }
        self.file.categories = categories;
        (names, nets, skipped, awaited)
    }

    /// Reads a list; says what was skipped of it.
    fn list(
        &mut self, path: &Path, at: usize, category: usize, names: &mut NamesBuilder, nets: &mut Vec<(IpNet, usize)>,
    ) -> Option<Skipped> {
        let too_large = std::fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_LIST);
        let read =
            if too_large { Err("it is larger than 1 GiB".to_string()) } else { std::fs::read(path).map_err(|e| e.to_string()) };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                self.notes.note(at, format!("{} can't be read: {error}.", path.display()));
                return None;
            }
        };
        let owner = u32::try_from(category).unwrap_or(u32::MAX);
        let counts = lists::parse(&String::from_utf8_lossy(&bytes), |entry| match entry {
            Entry::Name(name) => names.add(name, owner, Reach::Exact),
            Entry::Domain(name) => {
                names.add(name, owner, Reach::Exact);
                names.add(name, owner, Reach::Below);
            }
            Entry::Place(place) => add_place(&place, category, names, nets),
        });
        // A page that says "not found", or a list of another kind, would leave a category empty without a word.
        if counts.entries == 0 && counts.skipped > 0 {
            self.notes.note(at, format!("{} names no host: it has to be a list, one host a line.", path.display()));
        }
        (counts.skipped > 0).then_some(Skipped { file: path.to_path_buf(), counts })
    }

    #[allow(clippy::too_many_arguments, reason = "what the steps before have made")]
    fn build(
        self, rules: Vec<Rule>, rule_categories: &[Vec<usize>], category_names: NamesBuilder, category_nets: &[(IpNet, usize)],
        identity_nets: Vec<(IpNet, usize)>, (skipped, awaited, lists): (Vec<Skipped>, Vec<String>, FetchedLists),
        (egresses, pools, limits): (Vec<EgressSettings>, Vec<Pool>, Vec<Limit>),
    ) -> Policy {
        let File {
            listen,
            clients,
            log,
            network,
            timeouts,
            cache,
            compress,
            usage,
            forwarded,
            pac,
            levels,
            people,
            identities,
            categories,
            ..
        } = self.file;
        let count = rules.len();
        let which = |keep: &dyn Fn(&RuleEntry) -> bool| -> Vec<usize> {
            rules.iter().enumerate().filter(|(_, rule)| keep(&rule.entry)).map(|(at, _)| at).collect()
        };

        let mut clients_sets = Sets::new(count, which(&|e| e.networks.is_empty()));
        let nets: Vec<(IpNet, usize)> =
            rules.iter().enumerate().flat_map(|(at, rule)| rule.entry.networks.iter().map(move |net| (*net, at))).collect();
        let mut networks = nets.len();
        let clients_table = Networks::build(&nets, |rules| clients_sets.add(rules.iter().copied()));

        let mut who_sets = Sets::new(count, which(&|e| e.people.is_empty() && e.groups.is_empty()));
        let who = |names: &dyn Fn(&RuleEntry) -> Vec<String>, sets: &mut Sets| -> HashMap<Arc<str>, u32> {
            let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (at, rule) in rules.iter().enumerate() {
                for name in names(&rule.entry) {
                    by_name.entry(name).or_default().push(at);
                }
            }
            by_name.into_iter().map(|(name, rules)| (Arc::from(name), sets.add(rules))).collect()
        };
        let people_table = who(&|e| e.people.iter().map(|name| name.value.clone()).collect(), &mut who_sets);
        let groups_table = who(&|e| e.groups.iter().map(|name| name.value.clone()).collect(), &mut who_sets);

        let mut to_sets = Sets::new(count, which(&|e| e.to.is_empty()));
        let (mut names, mut nets) = (NamesBuilder::new(), Vec::new());
        for (at, rule) in rules.iter().enumerate() {
            for place in &rule.entry.to {
                add_place(place, at, &mut names, &mut nets);
            }
        }
        networks += nets.len();
        let names = names.build(|rules| to_sets.add(rules.iter().map(|rule| *rule as usize)));
        let targets = Networks::build(&nets, |rules| to_sets.add(rules.iter().copied()));
        let with_targets = to_sets.add(nets.iter().map(|net| net.1));

        let mut plain_sets = Sets::new(count, []);
        let port_ranges: Vec<(u16, u16, usize)> = rules
            .iter()
            .enumerate()
            .flat_map(|(at, rule)| rule.entry.ports.iter().map(move |ports| (ports.first, ports.last, at)))
            .collect();
        let any_port = which(&|e| e.ports.is_empty());
        let ports = Ranges::build(
            &port_ranges,
            |last| last.checked_add(1),
            |rules| plain_sets.add(rules.iter().chain(&any_port).copied()),
        );
        let method_names: HashSet<&str> = rules.iter().flat_map(|rule| &rule.entry.methods).map(|m| m.0.as_str()).collect();
        let methods: HashMap<Box<str>, u32> = method_names
            .into_iter()
            .map(|name| {
                let rules = which(&|e| e.methods.is_empty() || e.methods.iter().any(|method| method.0 == name));
                (name.into(), plain_sets.add(rules))
            })
            .collect();
        let other_methods = plain_sets.add(which(&|e| e.methods.is_empty()));
        let schemes = [Scheme::Http, Scheme::Https, Scheme::Connect]
            .map(|scheme| plain_sets.add(which(&|e| e.schemes.is_empty() || e.schemes.contains(&scheme))));
        let level_sets = [Level::Unsafe, Level::Caution, Level::Safe]
            .map(|level| plain_sets.add(which(&|e| e.below.as_ref().is_none_or(|below| level < below.value))));

        let mut times_sets = Sets::new(count, []);
        let times = times(&rules, &mut times_sets);

        let mut category_sets = Sets::new(count, which(&|e| e.categories.is_empty()));
        let category_rules: Vec<u32> = (0..categories.len())
            .map(|category| {
                let of_category = rule_categories.iter().enumerate().filter(|(_, names)| names.contains(&category));
                category_sets.add(of_category.map(|(at, _)| at))
            })
            .collect();
        let mask = |of: &[usize]| of.iter().fold(0_u128, |mask, category| mask | 1 << category);
        let address_mask = category_nets.iter().fold(0_u128, |mask, net| mask | 1 << net.1);
        let with_category_addresses = category_sets.add(
            rule_categories
                .iter()
                .enumerate()
                .filter(|(_, names)| names.iter().any(|category| address_mask >> category & 1 == 1))
                .map(|(at, _)| at),
        );
        let level_mask = |level: Level| {
            categories.iter().enumerate().filter(|(_, c)| c.level == level).fold(0_u128, |mask, (at, _)| mask | 1 << at)
        };
        let (unsafe_mask, caution_mask) = (level_mask(Level::Unsafe), level_mask(Level::Caution));
        let category_names = category_names.build(|of| of.iter().fold(0_u128, |mask, category| mask | 1 << category));
        let category_targets = Networks::build(category_nets, mask);
        networks += category_nets.len();

        let mut deny_sets = Sets::new(count, which(&|e| e.action == Action::Deny));
        let served: Vec<(IpNet, usize)> = clients.networks.iter().map(|net| (*net, 0)).collect();
        // The narrowest decides: by length of the prefix, and only then by position.
        let mut identity_order: Vec<(IpNet, usize)> = identity_nets;
        identity_order.sort_by_key(|(net, _)| net.prefix_len());
        let ordered: Vec<(IpNet, usize)> = identity_order.iter().enumerate().map(|(at, (net, _))| (*net, at)).collect();
        let identities_table = Networks::build(&ordered, |of| of.iter().max().map(|at| identity_order[*at].1));

        for sets in
            [&mut clients_sets, &mut who_sets, &mut to_sets, &mut plain_sets, &mut times_sets, &mut category_sets, &mut deny_sets]
        {
            sets.finish();
        }
        let summary = Summary {
            rules: count,
            categories: categories.len(),
            domains: category_names.len(),
            networks,
            people: people.len(),
            clients: identities.len(),
            egresses: egresses.len(),
            limits: limits.len(),
            skipped,
            awaited,
            memory: category_names.memory() + names.memory(),
        };
        let needs_person = rules.iter().any(|rule| !rule.entry.people.is_empty() || !rule.entry.groups.is_empty());
        let group_set = |names: &[String]| GroupSet::new(names.iter().map(String::as_str));
        Policy {
            settings: Settings {
                listen,
                clients,
                log,
                network,
                timeouts,
                cache,
                compress,
                usage,
                lists,
                forwarded,
                pac,
                egresses,
                pools,
                limits,
            },
            people: people
                .into_iter()
                .map(|entry| {
                    let name: Arc<str> = entry.name.value.into();
                    let groups = group_set(&entry.groups);
                    (name.clone(), Person { name, password: entry.password.as_str().into(), groups })
                })
                .collect(),
            identities: identities
                .into_iter()
                .map(|entry| Who { person: Some(entry.name.value.into()), groups: group_set(&entry.groups) })
                .collect(),
            categories: categories.into_iter().map(|entry| entry.name.value.into()).collect(),
            rules,
            tables: Tables {
                served: Networks::build(&served, |of| !of.is_empty()),
                identities: identities_table,
                needs_person,
                clients: clients_table,
                clients_sets,
                who_sets,
                people: people_table,
                groups: groups_table,
                to_sets,
                names,
                targets,
                with_targets,
                ports,
                plain_sets,
                methods,
                other_methods,
                schemes,
                levels: level_sets,
                times,
                times_sets,
                category_sets,
                category_rules,
                with_category_addresses,
                category_names,
                category_targets,
                unsafe_mask,
                caution_mask,
                address_mask,
                unlisted: levels.unlisted,
                deny_sets,
            },
            summary,
        }
    }
}

fn add_place(place: &Place, owner: usize, names: &mut NamesBuilder, nets: &mut Vec<(IpNet, usize)>) {
    let number = u32::try_from(owner).unwrap_or(u32::MAX);
    match place {
        Place::Name(name) => names.add(name, number, Reach::Exact),
        Place::Below(name) => names.add(name, number, Reach::Below),
        Place::Domain(name) => {
            names.add(name, number, Reach::Exact);
            names.add(name, number, Reach::Below);
        }
        Place::Net(net) => nets.push((*net, owner)),
    }
}

/// Minutes of a week.
pub(super) const WEEK: u16 = 7 * 1440;

/// When each rule applies, by the minute of the week. A zone's sets hold the rules of other zones and of none as well.
fn times(rules: &[Rule], sets: &mut Sets) -> Vec<(jiff::tz::TimeZone, Ranges<u16, u32>)> {
    let timed = |entry: &RuleEntry| !entry.days.is_empty() || !entry.hours.is_empty();
    let zone_of = |entry: &RuleEntry| entry.time_zone.as_ref().map_or(jiff::tz::TimeZone::UTC, |zone| zone.value.0.clone());
    let mut zones: Vec<jiff::tz::TimeZone> = Vec::new();
    for rule in rules.iter().filter(|rule| timed(&rule.entry)) {
        let zone = zone_of(&rule.entry);
        if !zones.contains(&zone) {
            zones.push(zone);
        }
    }
    let mut tables = Vec::new();
    for zone in zones {
        let here = |entry: &RuleEntry| timed(entry) && zone_of(entry) == zone;
        let others: Vec<usize> = (0..rules.len()).filter(|at| !here(&rules[*at].entry)).collect();
        let mut ranges = Vec::new();
        for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| here(&rule.entry)) {
            for (first, last) in minutes(&rule.entry) {
                ranges.push((first, last, at));
            }
        }
        let table = Ranges::build(&ranges, |last| last.checked_add(1), |of| sets.add(of.iter().chain(&others).copied()));
        tables.push((zone, table));
    }
    tables
}

/// The minutes of the week at which a rule applies, first and last.
fn minutes(entry: &RuleEntry) -> Vec<(u16, u16)> {
    let on = |day: usize| entry.days.is_empty() || entry.days.iter().any(|days| days.0[day]);
    let mut spans = Vec::new();
    for day in (0..7_u16).filter(|day| on(usize::from(*day))) {
        let start = day * 1440;
        if entry.hours.is_empty() {
            spans.push((start, start + 1439));
        }
        for hours in &entry.hours {
            if hours.from < hours.to {
                spans.push((start + hours.from, start + hours.to - 1));
            } else {
                spans.push((start + hours.from, start + 1439));
                let next = (start + 1440) % WEEK;
                spans.push((next, next + hours.to - 1));
            }
        }
    }
    spans
}

/// Whether a rule applies at a minute of the week, without tables.
pub(super) fn applies_at(entry: &RuleEntry, minute: u16) -> bool {
    (entry.days.is_empty() && entry.hours.is_empty())
        || minutes(entry).iter().any(|(first, last)| (*first..=*last).contains(&minute))
}

/// The minute of the week, Monday 00:00 first, by the wall clocks of a time zone.
pub(super) fn minute_of_week(at: jiff::Timestamp, zone: &jiff::tz::TimeZone) -> u16 {
    let time = zone.to_datetime(at);
    let day = u16::try_from(time.weekday().to_monday_zero_offset()).unwrap_or_default();
    let minute = u16::try_from(time.hour()).unwrap_or_default() * 60 + u16::try_from(time.minute()).unwrap_or_default();
    day * 1440 + minute
}

/// Every address of a set that is judged: an IPv6 address and the IPv4 one that it leads to.
pub(super) fn judged(address: IpAddr) -> (IpAddr, Option<IpAddr>) {
    let address = address.to_canonical();
    let inner = match address {
        IpAddr::V6(outer) => gatehouse_domain::address::embedded_v4(outer).map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    (address, inner)
}
