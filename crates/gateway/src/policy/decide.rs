//! What the policy says about one request.

use std::{borrow::Cow, net::IpAddr, time::SystemTime};

use jiff::Timestamp;
use smallvec::SmallVec;

pub use super::value::Action;
use super::{
    EgressSettings, GroupSet, Limit, Policy, Pool,
    compile::{judged, minute_of_week},
    value::{Level, Scheme},
};
use crate::names::Host;

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The address it comes from.
    pub client: IpAddr,
    /// Who it is, if that is known.
    pub person: Option<&'a str>,
    /// The groups of that person and of the address.
    pub groups: &'a GroupSet,
    /// Where it wants to.
    pub host: &'a Host,
    /// The port there.
    pub port: u16,
    /// What it wants.
    pub scheme: Scheme,
    /// The method; `CONNECT` for a tunnel.
    pub method: &'a str,
    /// When.
    pub at: SystemTime,
}

/// A way out as rules name it: one, or a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Egress<T, P = T> {
    /// A single one.
    One(T),
    /// Several.
    Pool(P),
}

/// A way out, with its position in `Settings`.
pub type WayOut<'p> = Egress<(usize, &'p EgressSettings), (usize, &'p Pool)>;

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// A rule; its position, from 0.
    Rule(usize),
    /// No rule applies.
    NoRule,
    /// The client isn't in `clients.networks`.
    Client,
    /// The port isn't in `network.connect_ports` or `network.http_ports`.
    Port,
}

/// What the policy says.
#[derive(Debug, Clone)]
pub struct Decision<'p> {
    /// Whether the request may go on.
    pub action: Action,
    /// What decided.
    pub why: Why,
    /// The name of the rule, if one decided.
    pub rule: Option<&'p str>,
    /// For the person who asks.
    pub reason: Cow<'p, str>,
    /// The way out, when the rule or `network.egress` names one; else direct.
    pub egress: Option<WayOut<'p>>,
    /// Whether the cache may be used.
    pub cache: bool,
    /// The limit that counts it, with its position in `Settings`; [`Limit::within`] leads on.
    pub limit: Option<(usize, &'p Limit)>,
    /// Whether the name is to be resolved and judged here though an upstream proxy would resolve it.
    pub resolve: bool,
    /// The safety level of the host: the worst of its categories, or `levels.unlisted`.
    pub level: Level,
    /// Its categories, a bit each in the order of the file; [`Policy::category_names`] names them.
    pub categories: u128,
    /// Nobody has signed in, and a rule before the deciding one asks who it is and applies but for that: ask (407) before
    /// acting on this, also before resolving. Not set as long as a rule before that one may allow the request by its addresses:
    /// then [`Decision::addresses_matter`] is.
    pub person_matters: bool,
    /// The name has not been resolved, and a rule before the deciding one names addresses and applies but for them: resolve, and
    /// ask [`Policy::decide_resolved`], before acting on this.
    pub addresses_matter: bool,
}

impl Decision<'_> {
    /// Where the way out stands in `Settings`.
    #[must_use]
    pub fn egress_position(&self) -> Option<Egress<usize>> {
        self.egress.as_ref().map(|egress| match egress {
            Egress::One((at, _)) => Egress::One(*at),
            Egress::Pool((at, _)) => Egress::Pool(*at),
        })
    }
}

impl Policy {
    /// Decides about a request by what it asks for: a name, before it is resolved, or an address.
    ///
    /// When [`Decision::addresses_matter`] is not set, that is final, whatever the name resolves to: a name that is refused
    /// need not be resolved, and so tells no name server anything.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision<'_> {
        self.decide_with(question, None)
    }

    /// Decides again when the name has been resolved. A rule that denies applies when any of the addresses is in its networks
    /// (or in its categories), a rule that allows only when all are: then it doesn't matter which of them is dialled.
    ///
    /// What was decided without the addresses may be otherwise now; this is what holds. Without addresses it is
    /// [`Policy::decide`].
    #[must_use]
    pub fn decide_resolved(&self, question: &Question<'_>, addresses: &[IpAddr]) -> Decision<'_> {
        self.decide_with(question, Some(addresses).filter(|addresses| !addresses.is_empty()))
    }

    /// The names of categories, of [`Decision::categories`].
    pub fn category_names(&self, categories: u128) -> impl Iterator<Item = &str> {
        let names = self.categories.iter().enumerate();
        names.filter(move |(at, _)| categories >> at & 1 == 1).map(|(_, name)| &**name)
    }

    fn decide_with(&self, question: &Question<'_>, addresses: Option<&[IpAddr]>) -> Decision<'_> {
        let found = self.look_up(question, addresses);
        let (level, categories) = (found.level, found.categories);
        let refused = |why: Why, reason: Cow<'static, str>| Decision {
            action: Action::Deny,
            why,
            rule: None,
            reason,
            egress: None,
            cache: false,
            limit: None,
            resolve: false,
            level,
            categories,
            person_matters: false,
            addresses_matter: false,
        };
        if let Some((why, reason)) = self.closed(question) {
            return refused(why, reason);
        }
        let before = |rule: Option<u32>, other: Option<u32>| rule.is_some_and(|rule| other.is_none_or(|other| rule < other));
        let addresses_matter = before(found.but_for_addresses, found.decided);
        // A rule before it could allow the request by its addresses, and spare the question.
        let person_matters =
            before(found.but_for_person, found.decided) && before(found.but_for_person, found.allowed_by_addresses);
        let Some((at, rule)) = found.decided.and_then(|at| self.rules.get(at as usize).map(|rule| (at as usize, rule))) else {
            let reason = if self.rules.is_empty() { "The policy has no rules." } else { "No rule allows it." };
            return Decision { person_matters, addresses_matter, ..refused(Why::NoRule, reason.into()) };
        };
        let egress = rule.egress.and_then(|egress| match egress {
            Egress::One(at) => self.settings.egresses.get(at).map(|one| Egress::One((at, one))),
            Egress::Pool(at) => self.settings.pools.get(at).map(|pool| Egress::Pool((at, pool))),
        });
        Decision {
            action: rule.entry.action,
            why: Why::Rule(at),
            rule: Some(&rule.name),
            reason: Cow::Borrowed(&rule.reason),
            egress: egress.filter(|_| rule.entry.action == Action::Allow),
            cache: rule.entry.cache,
            limit: rule.limit.and_then(|at| self.settings.limits.get(at).map(|limit| (at, limit))),
            resolve: rule.entry.resolve,
            level,
            categories,
            person_matters,
            addresses_matter,
        }
    }

    /// What is refused before any rule is asked.
    pub(super) fn closed(&self, question: &Question<'_>) -> Option<(Why, Cow<'static, str>)> {
        if !self.serves(question.client) {
            return Some((Why::Client, "This gateway doesn't serve the network that the request comes from.".into()));
        }
        let network = &self.settings.network;
        let ports = if question.scheme == Scheme::Connect { &network.connect_ports } else { &network.http_ports };
        if ports.iter().any(|ports| ports.contains(question.port)) {
            return None;
        }
        let what = if question.scheme == Scheme::Connect { "Tunnels" } else { "Requests" };
        Some((Why::Port, format!("{what} to port {} are not allowed by this gateway.", question.port).into()))
    }

    /// The categories of a host. Addresses that a name resolves to add categories and make the level worse, never better: what
    /// somebody's name server answers can't make a name safe.
    pub(super) fn standing(&self, host: &Host, addresses: &[IpAddr]) -> Standing {
        let tables = &self.tables;
        let mut by_name = 0;
        let literal = host.address();
        if literal.is_none() {
            tables.category_names.find(host.as_str(), |mask| by_name |= mask);
        }
        let addresses = literal.as_ref().map_or(addresses, std::slice::from_ref);
        if addresses.is_empty() || tables.category_targets.is_empty() {
            return Standing { denying: by_name, allowing: by_name, level: self.level_of(by_name) };
        }
        let of = |address: &IpAddr| {
            let (outer, inner) = judged(*address);
            tables.category_targets.get(outer) | inner.map_or(0, |inner| tables.category_targets.get(inner))
        };
        let any = addresses.iter().fold(0, |mask, address| mask | of(address));
        let all = addresses.iter().fold(u128::MAX, |mask, address| mask & of(address));
        let level = match (literal, any) {
            (Some(_), _) => self.level_of(any),
            (None, 0) => self.level_of(by_name),
            (None, _) => self.level_of(by_name).min(self.level_of(any)),
        };
        Standing { denying: by_name | any, allowing: by_name | all, level }
    }

    /// The worst level of categories.
    fn level_of(&self, categories: u128) -> Level {
        if categories & self.tables.unsafe_mask != 0 {
            Level::Unsafe
        } else if categories & self.tables.caution_mask != 0 {
            Level::Caution
        } else if categories != 0 {
            Level::Safe
        } else {
            self.tables.unlisted
        }
    }

    /// Goes through the rules 64 at a time until one is found that applies.
    fn look_up(&self, question: &Question<'_>, addresses: Option<&[IpAddr]>) -> Found {
        let tables = &self.tables;
        let literal = question.host.address();
        let addresses = literal.as_ref().map(std::slice::from_ref).or(addresses);

        let Standing { denying, allowing, level } = self.standing(question.host, addresses.unwrap_or_default());
        let mut found = Found {
            decided: None,
            but_for_person: None,
            but_for_addresses: None,
            allowed_by_addresses: None,
            level,
            categories: denying,
        };

        let client = tables.clients.get(question.client);
        let port = tables.ports.get(question.port);
        let method = tables.methods.get(question.method).copied().unwrap_or(tables.other_methods);
        let scheme = tables.schemes[question.scheme as usize];
        let level_set = tables.levels[level as usize];
        // Were it resolved, the level could be worse.
        let worst = match tables.address_mask {
            mask if addresses.is_none() && mask != 0 => level.min(self.level_of(mask)),
            _ => level,
        };
        let worst_set = tables.levels[worst as usize];
        let mut times: SmallVec<[u32; 4]> = SmallVec::new();
        if !tables.times.is_empty() {
            let at = Timestamp::try_from(question.at).unwrap_or(Timestamp::UNIX_EPOCH);
            times.extend(tables.times.iter().map(|(zone, weeks)| weeks.get(minute_of_week(at, zone))));
        }
        let mut who: SmallVec<[u32; 16]> = SmallVec::new();
        if tables.needs_person {
            who.extend(question.person.and_then(|person| tables.people.get(person)).copied());
            who.extend(question.groups.iter().filter_map(|group| tables.groups.get(group).copied()));
        }
        let mut names: SmallVec<[u32; 16]> = SmallVec::new();
        if literal.is_none() {
            tables.names.find(question.host.as_str(), |set| names.push(set));
        }
        let mut targets: SmallVec<[(u32, u32); 16]> = SmallVec::new();
        for address in addresses.unwrap_or_default() {
            let (outer, inner) = judged(*address);
            let outer = tables.targets.get(outer);
            targets.push((outer, inner.map_or(outer, |inner| tables.targets.get(inner))));
        }

        for word in 0..tables.plain_sets.words() {
            let plain = |set: u32| tables.plain_sets.word(set, word);
            let mut rest = plain(port) & plain(method) & plain(scheme) & tables.clients_sets.word(client, word);
            for time in &times {
                rest &= tables.times_sets.word(*time, word);
            }
            if rest == 0 {
                continue;
            }
            let deny = tables.deny_sets.word(0, word);

            let to = |set: u32| tables.to_sets.word(set, word);
            let by_name = names.iter().fold(to(0), |bits, set| bits | to(*set));
            let any = targets.iter().fold(0, |bits, (outer, inner)| bits | to(*outer) | to(*inner));
            let all = targets.iter().fold(u64::MAX, |bits, (outer, inner)| bits & (to(*outer) | to(*inner)));
            let by_address = if targets.is_empty() { 0 } else { (any & deny) | (all & !deny) };
            let to_bits = by_name | by_address;
            let to_maybe = if addresses.is_none() { to_bits | to(tables.with_targets) } else { to_bits };

            let category =
                |mask: u128| bits_of(mask).fold(0, |bits, at| bits | tables.category_sets.word(tables.category_rules[at], word));
            let in_none = tables.category_sets.word(0, word);
            let mut category_bits = in_none | category(denying) & deny;
            category_bits |= if allowing == denying { category(denying) } else { category(allowing) } & !deny;
            let category_maybe = if addresses.is_none() {
                category_bits | tables.category_sets.word(tables.with_category_addresses, word)
            } else {
                category_bits
            };

            let who_bits = who.iter().fold(tables.who_sets.word(0, word), |bits, set| bits | tables.who_sets.word(*set, word));
            let sure = to_bits & category_bits & plain(level_set);
            let maybe = to_maybe & category_maybe & (plain(level_set) | plain(worst_set));
            let first = |bits: u64| (bits != 0).then(|| u32::try_from(word * 64).unwrap_or(u32::MAX) + bits.trailing_zeros());
            // Whoever hasn't signed in may turn out to be anybody.
            let who_maybe = if question.person.is_none() { u64::MAX } else { who_bits };
            found.but_for_person = found.but_for_person.or(first(rest & sure & who_maybe & !who_bits));
            found.but_for_addresses = found.but_for_addresses.or(first(rest & who_maybe & maybe & !sure));
            found.allowed_by_addresses = found.allowed_by_addresses.or(first(rest & who_maybe & maybe & !sure & !deny));
            found.decided = first(rest & who_bits & sure);
            if found.decided.is_some() {
                break;
            }
        }
        found
    }
}

/// What the categories say about a host.
pub(super) struct Standing {
    /// Those that count for a rule that denies.
    pub(super) denying: u128,
    /// Those that count for a rule that allows.
    pub(super) allowing: u128,
    pub(super) level: Level,
}

/// What [`Policy::look_up`] found: positions of rules.
struct Found {
    decided: Option<u32>,
    but_for_person: Option<u32>,
    but_for_addresses: Option<u32>,
    allowed_by_addresses: Option<u32>,
    level: Level,
    categories: u128,
}

/// The positions of the bits that are set.
fn bits_of(mut mask: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if mask == 0 {
            return None;
        }
        let at = mask.trailing_zeros() as usize;
        mask &= mask - 1;
        Some(at)
    })
}
