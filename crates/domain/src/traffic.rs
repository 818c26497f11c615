//! The platform's own internet traffic: one record for each request that went out.

use serde::{Deserialize, Serialize};

use crate::{
    FieldErrors, Timestamp,
    report::Cause,
    route::{Consumer, Route},
};

/// One request. Never a credential, never a path or a query string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrafficView {
    /// Identifier (UUID), in the order of time.
    pub id: String,
    /// When it ended.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Who asked for it.
    pub consumer: Consumer,
    /// `GET`, `POST`; `DNS` for a question to a name server.
    pub method: String,
    /// Host and port of the target.
    pub host: String,
    /// Which way it went; null when it did not come to that.
    pub route: Option<Route>,
    /// The target's status; null when it did not answer.
    pub status: Option<u16>,
    /// Bytes of the answer's body.
    pub bytes_in: u64,
    /// Bytes of the request's body.
    pub bytes_out: u64,
    /// From the first step to the last byte, in milliseconds.
    pub ms: u64,
    /// Null when there was an answer.
    pub cause: Option<Cause>,
}

/// What the traffic is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficQuery {
    /// Searched for in host, consumer, proxy, method and cause, without regard to case.
    pub q: String,
    /// `direct`, or the identifier of a proxy setting.
    pub proxy: Option<String>,
    /// The identifier of a consumer.
    pub consumer: Option<String>,
    /// Exactly this host, with or without port.
    pub host: Option<String>,
    /// Only these; `any` for all that failed.
    pub cause: Option<CauseFilter>,
    /// Only what ended at or after this moment.
    pub from: Option<Timestamp>,
    /// Only what ended before this moment.
    pub to: Option<Timestamp>,
    /// Items on a page, 1 to 200 (10,000 for an export).
    pub limit: u16,
    /// Where to go on; opaque.
    pub cursor: Option<String>,
}

/// A moment as a parameter of a URL.
pub(crate) fn moment(value: &str) -> Result<Timestamp, &'static str> {
    chrono::DateTime::parse_from_rfc3339(value).map(|at| at.to_utc()).map_err(|_| "Write a moment like 2026-11-22T09:00:00Z.")
}

/// Which failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseFilter {
    /// All that failed.
    Any,
    /// All that did not.
    None,
    /// This.
    One(Cause),
}

impl CauseFilter {
    /// As in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::None => "none",
            Self::One(cause) => cause.as_str(),
        }
    }
}

impl Default for TrafficQuery {
    fn default() -> Self {
        Self {
            q: String::new(),
            proxy: None,
            consumer: None,
            host: None,
            cause: None,
            from: None,
            to: None,
            limit: 50,
            cursor: None,
        }
    }
}

impl TrafficQuery {
    /// Reads the parameters of a URL. Empty ones count as left out.
    ///
    /// # Errors
    /// Each wrong or unknown parameter with what would be right.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FieldErrors> {
        let mut query = Self::default();
        let mut errors = FieldErrors::new();
        for (key, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            match key {
                "q" => query.q = value.trim().chars().take(200).collect(),
                "proxy" => query.proxy = Some(value.to_string()),
                "consumer" => query.consumer = Some(value.to_string()),
                "host" => query.host = Some(value.trim().to_lowercase()),
                "cause" => {
                    query.cause = match value {
                        "any" => Some(CauseFilter::Any),
                        "none" => Some(CauseFilter::None),
                        one => errors.check(key, one.parse().map(CauseFilter::One)),
                    }
                }
                "from" => query.from = errors.check(key, moment(value)),
                "to" => query.to = errors.check(key, moment(value)),
                "limit" => match value.parse::<u16>() {
                    Ok(limit) if (1..=200).contains(&limit) => query.limit = limit,
                    _ => errors.add(key, "Use a number from 1 to 200."),
                },
                "cursor" => query.cursor = Some(value.to_string()),
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
        let Self { q, proxy, consumer, host, cause, from, to, .. } = self;
        !q.is_empty()
            || proxy.is_some()
            || consumer.is_some()
            || host.is_some()
            || cause.is_some()
            || from.is_some()
            || to.is_some()
    }

    /// Whether a record is asked for.
    #[must_use]
    pub fn takes(&self, record: &TrafficView) -> bool {
        let proxy = match &record.route {
            Some(Route::Proxy { proxy, .. }) => Some((proxy.id.as_str(), proxy.name.as_str())),
            _ => None,
        };
        let by_proxy = match self.proxy.as_deref() {
            None => true,
            Some("direct") => matches!(record.route, Some(Route::Direct { .. })),
            Some(id) => proxy.is_some_and(|(this, _)| this == id),
        };
        let by_cause = match self.cause {
            None => true,
            Some(CauseFilter::Any) => record.cause.is_some(),
            Some(CauseFilter::None) => record.cause.is_none(),
            Some(CauseFilter::One(cause)) => record.cause == Some(cause),
        };
        let by_host = self
            .host
            .as_deref()
            .is_none_or(|host| record.host == host || record.host.rsplit_once(':').is_some_and(|(name, _)| name == host));
        let words = self.q.to_lowercase();
        let by_words = words.is_empty() || {
            let route = record.route.as_ref().map(Route::label).unwrap_or_default();
            let cause = record.cause.map(Cause::as_str).unwrap_or_default();
            let text = [&record.host, &record.consumer.name, &record.consumer.kind, &record.method, &route, cause]
                .join("\n")
                .to_lowercase();
            words.split_whitespace().all(|word| text.contains(word))
        };
        by_proxy
            && by_cause
            && by_host
            && by_words
            && self.consumer.as_deref().is_none_or(|id| record.consumer.id == id)
            && self.from.is_none_or(|from| record.at >= from)
            && self.to.is_none_or(|to| record.at < to)
    }
}

/// Traffic of one span of time by one way and one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficSum {
    /// When the span begins; a multiple of five minutes.
    pub at: Timestamp,
    /// The proxy; none: direct, or no route.
    pub proxy: Option<crate::route::ProxyRef>,
    /// How it ended.
    pub cause: Option<Cause>,
    /// Requests.
    pub requests: u64,
    /// Bytes of bodies, both ways.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{DirectReason, ProxyRef};

    fn record() -> TrafficView {
        TrafficView {
            id: "1".into(),
            at: Timestamp::from_timestamp(1_700_000_000, 0).expect("a moment"),
            consumer: Consumer { kind: "integration".into(), id: "i1".into(), name: "VirusTotal EU".into() },
            method: "GET".into(),
            host: "www.virustotal.com:443".into(),
            route: Some(Route::Proxy { proxy: ProxyRef { id: "p1".into(), name: "Corp-EU".into() }, instead_of: None }),
            status: Some(200),
            bytes_in: 10,
            bytes_out: 0,
            ms: 5,
            cause: None,
        }
    }

    #[test]
    fn one_search_tells_whether_it_went_through_the_proxy() {
        let takes = |pairs: &[(&str, &str)]| TrafficQuery::from_pairs(pairs.iter().copied()).expect("right").takes(&record());
        assert!(takes(&[("q", "virustotal corp-eu")]));
        assert!(takes(&[("host", "www.virustotal.com"), ("proxy", "p1"), ("cause", "none")]));
        assert!(takes(&[("consumer", "i1"), ("from", "2023-11-14T00:00:00Z")]));
        assert!(!takes(&[("proxy", "direct")]) && !takes(&[("cause", "any")]) && !takes(&[("to", "2023-11-14T00:00:00Z")]));
        let direct = TrafficView {
            route: Some(Route::Direct { reason: DirectReason::NoProxy }),
            cause: Some(Cause::TargetTimeout),
            ..record()
        };
        let query = TrafficQuery::from_pairs([("proxy", "direct"), ("cause", "target_timeout")]).expect("right");
        assert!(query.takes(&direct));
        assert_eq!(
            TrafficQuery::from_pairs([("cause", "x"), ("limit", "0"), ("from", "today"), ("a", "b")]).expect_err("wrong").0.len(),
            4
        );
    }
}
