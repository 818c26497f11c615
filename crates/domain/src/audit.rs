//! The audit log: who did what, from where, and what it was before and after. Never a secret.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{FieldErrors, Role, Timestamp, permission::Operation};

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditActor {
    /// The person's identifier; null for the command line and what the program does by itself.
    pub id: Option<String>,
    /// Their name then.
    pub name: String,
    /// Their e-mail address then; empty where there is none.
    pub email: String,
    /// What they might do then.
    pub role: Option<Role>,
}

/// What it was done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditTarget {
    /// `proxy`, `integration`, `person`, …
    pub kind: String,
    /// Identifier.
    pub id: String,
    /// Its name then.
    pub name: String,
}

/// How somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuditVia {
    /// With a session: the console, mostly.
    Session,
    /// With an API token.
    Token,
    /// Without either: signing in, accepting an invitation.
    Nobody,
    /// On the machine itself.
    CommandLine,
    /// What the program does by itself.
    Program,
}

impl AuditVia {
    /// What a person reads.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Session => "Console",
            Self::Token => "API token",
            Self::Nobody => "Not signed in",
            Self::CommandLine => "Command line",
            Self::Program => "By itself",
        }
    }
}

/// One thing that was done: what is hashed, and nothing else is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Who.
    pub who: AuditActor,
    /// How they came in.
    pub via: AuditVia,
    /// The address they came from; empty for the command line.
    pub address: String,
    /// What: an `operationId` of the API, or a word of the same kind.
    pub operation: String,
    /// To what; null where it is the company itself.
    pub target: Option<AuditTarget>,
    /// What was changed, as it was before; null where there was nothing.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub before: Option<Map<String, Value>>,
    /// As it is now; null where there is nothing any more.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub after: Option<Map<String, Value>>,
}

/// An entry as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditView {
    /// From 1, without a gap.
    pub number: u64,
    /// What was done.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// SHA-256 over the chain's name, the number, the hash before and the entry, in hexadecimal.
    pub hash: String,
}

impl AuditEntry {
    /// What a person reads of the operation.
    #[must_use]
    pub fn label(&self) -> &str {
        match Operation::find(&self.operation) {
            Some(operation) => operation.label(),
            None => &self.operation,
        }
    }
}

/// What the log is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Searched for in names, e-mail addresses, addresses and operations, without regard to case.
    pub q: String,
    /// Only this person's: identifier or e-mail address.
    pub who: Option<String>,
    /// Only this operation.
    pub operation: Option<String>,
    /// Only what was done to this: its identifier.
    pub target: Option<String>,
    /// Only at or after this moment.
    pub from: Option<Timestamp>,
    /// Only before this moment.
    pub to: Option<Timestamp>,
    /// Items on a page, 1 to 200.
    pub limit: u16,
    /// Only entries before this number.
    pub cursor: Option<u64>,
}

impl AuditQuery {
    /// Items on a page unless asked otherwise.
    pub const DEFAULT_LIMIT: u16 = 50;

    /// Reads the parameters of a URL. Empty ones count as left out.
    ///
    /// # Errors
    /// Each wrong or unknown parameter with what would be right.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FieldErrors> {
        let mut query = Self { limit: Self::DEFAULT_LIMIT, ..Self::default() };
        let mut errors = FieldErrors::new();
        for (key, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            match key {
                "q" => query.q = value.trim().chars().take(200).collect(),
                "who" => query.who = Some(value.trim().to_string()),
                "operation" => match Operation::find(value) {
                    Some(_) => query.operation = Some(value.to_string()),
                    None => errors.add(key, "There is no such operation. They are named like the API's: createProxy."),
                },
                "target" => query.target = Some(value.trim().to_string()),
                "from" => query.from = errors.check(key, crate::traffic::moment(value)),
                "to" => query.to = errors.check(key, crate::traffic::moment(value)),
                "limit" => match value.parse::<u16>() {
                    Ok(limit) if (1..=200).contains(&limit) => query.limit = limit,
                    _ => errors.add(key, "Use a number from 1 to 200."),
                },
                "cursor" => match value.parse::<u64>() {
                    Ok(cursor) => query.cursor = Some(cursor),
                    Err(_) => errors.add(key, "Use the value of 'next' from the page before."),
                },
                "sort" if value == "-at" || value == "-created_at" => {}
                "sort" => errors.add(key, "The newest are always first."),
                _ => errors.add(key, "There is no such filter."),
            }
        }
        if errors.is_empty() { Ok(query) } else { Err(errors) }
    }

    /// Whether anything narrows the list.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        let Self { q, who, operation, target, from, to, limit: _, cursor: _ } = self;
        !q.is_empty() || who.is_some() || operation.is_some() || target.is_some() || from.is_some() || to.is_some()
    }

    /// Whether an entry is asked for.
    #[must_use]
    pub fn takes(&self, entry: &AuditEntry) -> bool {
        let by_who = self
            .who
            .as_deref()
            .is_none_or(|who| entry.who.id.as_deref() == Some(who) || entry.who.email.to_lowercase() == who.to_lowercase());
        let by_target = self.target.as_deref().is_none_or(|id| entry.target.as_ref().is_some_and(|target| target.id == id));
        let by_words = self.q.is_empty() || {
            let target = entry.target.as_ref().map(|target| format!("{}\n{}", target.name, target.kind)).unwrap_or_default();
            let text = [&entry.who.name, &entry.who.email, &entry.address, &entry.operation, entry.label(), &target]
                .map(str::to_string)
                .join("\n")
                .to_lowercase();
            self.q.to_lowercase().split_whitespace().all(|word| text.contains(word))
        };
        by_who
            && by_target
            && by_words
            && self.operation.as_deref().is_none_or(|operation| entry.operation == operation)
            && self.from.is_none_or(|from| entry.at >= from)
            && self.to.is_none_or(|to| entry.at < to)
    }
}

/// What is different between two states of one thing: of each, the fields that the other has not or has otherwise.
#[must_use]
pub fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let only = |these: &Map<String, Value>, those: &Map<String, Value>| {
        these.iter().filter(|(key, value)| those.get(*key) != Some(value)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    (only(before, after), only(after, before))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_timestamp(1_700_000_000, 0).expect("a moment"),
            who: AuditActor {
                id: Some("p1".into()),
                name: "Ada Lovelace".into(),
                email: "Ada@example.com".into(),
                role: Some(Role::Owner),
            },
            via: AuditVia::Session,
            address: "192.0.2.7".into(),
            operation: Operation::DeleteProxy.as_str().into(),
            target: Some(AuditTarget { kind: "proxy".into(), id: "x1".into(), name: "Corp-EU".into() }),
            before: None,
            after: None,
        }
    }

    #[test]
    fn filters_narrow() {
        let takes = |pairs: &[(&str, &str)]| AuditQuery::from_pairs(pairs.iter().copied()).expect("right").takes(&entry());
        assert!(takes(&[("who", "ada@EXAMPLE.com"), ("operation", "deleteProxy"), ("target", "x1")]));
        assert!(takes(&[("q", "delete corp-eu lovelace"), ("from", "2023-11-14T00:00:00Z")]));
        for wrong in
            [("who", "p2"), ("operation", "createProxy"), ("target", "x2"), ("q", "corp-us"), ("to", "2023-11-14T00:00:00Z")]
        {
            assert!(!takes(&[wrong]), "{wrong:?}");
        }
        let wrong = [("operation", "x"), ("limit", "0"), ("from", "today"), ("a", "b"), ("cursor", "-1"), ("sort", "at")];
        assert_eq!(AuditQuery::from_pairs(wrong).expect_err("wrong").0.len(), 6);
    }

    proptest! {
        #[test]
        fn a_difference_names_what_differs_and_nothing_else(a: std::collections::BTreeMap<String, u8>, b: std::collections::BTreeMap<String, u8>) {
            let map = |m: &std::collections::BTreeMap<String, u8>| m.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Map<_, _>>();
            let (before, after) = difference(&map(&a), &map(&b));
            for key in a.keys().chain(b.keys()) {
                let differs = a.get(key) != b.get(key);
                prop_assert_eq!(before.contains_key(key) || after.contains_key(key), differs);
            }
        }
    }
}
