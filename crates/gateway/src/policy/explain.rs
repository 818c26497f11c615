//! Why the policy says what it says. Goes through the rules one by one, as the file has them, without the tables: tests hold both
//! to the same answers.

use std::{fmt, net::IpAddr};

use jiff::Timestamp;

use super::{
    Policy,
    compile::{applies_at, judged, minute_of_week},
    decide::{Action, Decision, Question},
    file::RuleEntry,
    value::Place,
};

/// The rule that decides, and those that were passed over.
#[derive(Debug, Clone)]
pub struct Explanation<'p> {
    /// What holds.
    pub decision: Decision<'p>,
    /// The categories of the host.
    pub categories: Vec<&'p str>,
    /// The rules before the deciding one, in order.
    pub passed: Vec<Passed<'p>>,
}

/// A rule that doesn't apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed<'p> {
    /// Its name.
    pub rule: &'p str,
    /// The line that is the first reason, in words.
    pub why: String,
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for passed in &self.passed {
            writeln!(f, "passed over  {}: {}", passed.rule, passed.why)?;
        }
        let word = match self.decision.action {
            Action::Allow => "allowed",
            Action::Deny => "denied",
        };
        match self.decision.rule {
            Some(rule) => writeln!(f, "{word}  by {rule}: {}", self.decision.reason)?,
            None => writeln!(f, "{word}: {}", self.decision.reason)?,
        }
        let categories = if self.categories.is_empty() { "none".to_string() } else { self.categories.join(", ") };
        write!(f, "level {}, categories: {categories}", self.decision.level.as_str())
    }
}

impl Policy {
    /// Why [`Policy::decide`] says what it says.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>) -> Explanation<'_> {
        self.explain_resolved(question, &[])
    }

    /// Why [`Policy::decide_resolved`] says what it says.
    #[must_use]
    pub fn explain_resolved(&self, question: &Question<'_>, addresses: &[IpAddr]) -> Explanation<'_> {
        let decision = self.decide_resolved(question, addresses);
        let categories = self.category_names(decision.categories).collect();
        let mut passed = Vec::new();
        if self.closed(question).is_none() {
            for rule in &self.rules {
                match self.passes_over(&rule.entry, question, addresses) {
                    Some(why) => passed.push(Passed { rule: &rule.name, why }),
                    None => break,
                }
            }
        }
        Explanation { decision, categories, passed }
    }

    /// Why a rule doesn't apply; nothing when it does.
    fn passes_over(&self, entry: &RuleEntry, question: &Question<'_>, addresses: &[IpAddr]) -> Option<String> {
        let literal = question.host.address();
        let addresses = literal.as_ref().map_or(addresses, std::slice::from_ref);
        let list = |items: Vec<String>| items.join(", ");
        if !(entry.people.is_empty() && entry.groups.is_empty()) {
            let person = question.person.is_some_and(|person| entry.people.iter().any(|name| name.value == person));
            let group = question.groups.iter().any(|group| entry.groups.iter().any(|name| name.value == **group));
            if !person && !group {
                let asked = entry.people.iter().chain(&entry.groups).map(|name| name.value.clone()).collect();
                let who = question.person.map_or("nobody has signed in".into(), |person| format!("it is {person}"));
                return Some(format!("it is for {}; {who}.", list(asked)));
            }
        }
        let client = question.client.to_canonical();
        if !entry.networks.is_empty() && !entry.networks.iter().any(|net| net.contains(&client)) {
            return Some(format!("{client} is not in {}.", list(entry.networks.iter().map(ToString::to_string).collect())));
        }
        if !entry.schemes.is_empty() && !entry.schemes.contains(&question.scheme) {
            let schemes = entry.schemes.iter().map(|scheme| scheme.as_str().to_string()).collect();
            return Some(format!("it is for {}; this is {}.", list(schemes), question.scheme.as_str()));
        }
        if !entry.methods.is_empty() && !entry.methods.iter().any(|method| method.0 == question.method) {
            return Some(format!("it is for the methods {}.", list(entry.methods.iter().map(|m| m.0.clone()).collect())));
        }
        if !entry.ports.is_empty() && !entry.ports.iter().any(|ports| ports.contains(question.port)) {
            let ports = entry.ports.iter().map(ToString::to_string).collect();
            return Some(format!("it is for the ports {}; this is {}.", list(ports), question.port));
        }
        let zone = entry.time_zone.as_ref().map_or(jiff::tz::TimeZone::UTC, |zone| zone.value.0.clone());
        let at = Timestamp::try_from(question.at).unwrap_or(Timestamp::UNIX_EPOCH);
        if !applies_at(entry, minute_of_week(at, &zone)) {
            let now = zone.to_datetime(at).strftime("%A %H:%M").to_string();
            return Some(format!("it is not its time: {now} in {}.", zone.iana_name().unwrap_or("UTC")));
        }
        if !entry.to.is_empty() && !self.goes_to(entry, question, addresses) {
            let unresolved = entry.to.iter().any(|place| matches!(place, Place::Net(_))) && addresses.is_empty();
            let but = if unresolved { " by its name; its addresses are not known" } else { "" };
            return Some(format!("{} is not among its targets{but}.", question.host));
        }
        let standing = self.standing(question.host, addresses);
        if !entry.categories.is_empty() {
            let mask = if entry.action == Action::Deny { standing.denying } else { standing.allowing };
            if !self.category_names(mask).any(|name| entry.categories.iter().any(|category| category.value == name)) {
                let names = entry.categories.iter().map(|name| name.value.clone()).collect();
                return Some(format!("{} is not in {}.", question.host, list(names)));
            }
        }
        let level = standing.level;
        if let Some(below) = entry.below.as_ref().filter(|below| level >= below.value) {
            return Some(format!("the level of {} is {}, not below {}.", question.host, level.as_str(), below.as_str()));
        }
        None
    }

    fn goes_to(&self, entry: &RuleEntry, question: &Question<'_>, addresses: &[IpAddr]) -> bool {
        if question.host.address().is_none() && entry.to.iter().any(|place| place.matches_name(question.host.as_str())) {
            return true;
        }
        let named = |address: &IpAddr| {
            let (outer, inner) = judged(*address);
            entry.to.iter().any(|place| match place {
                Place::Net(net) => net.contains(&outer) || inner.is_some_and(|inner| net.contains(&inner)),
                _ => false,
            })
        };
        match entry.action {
            Action::Deny => addresses.iter().any(named),
            Action::Allow => !addresses.is_empty() && addresses.iter().all(named),
        }
    }
}
