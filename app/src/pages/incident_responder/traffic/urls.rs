//! The addresses of the traffic screen: what it shows stands in its URL.

use gatehouse_domain::{Cause, CauseFilter, FieldErrors, Timestamp, TrafficQuery};

use super::sums::Span;
use crate::islands::proxies::urls::{pairs, with_params};

/// The page.
pub const PAGE: &str = "/incident-responder/traffic";
/// The same records for a spreadsheet.
const EXPORT: &str = "/api/v1/traffic.csv";

/// What the page shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Which requests.
    pub query: TrafficQuery,
    /// How far back the plots go.
    pub span: Span,
    /// New requests appear by themselves.
    pub live: bool,
}

/// The parameters of the list. Others may put their own on a link (a flash message, a campaign): not ours to judge.
const KNOWN: &[&str] = &["q", "proxy", "consumer", "host", "cause", "from", "to", "limit", "cursor"];

/// What the page's URL asks for, and what of it could not be understood. A wrong parameter takes none of the others with it.
#[must_use]
pub fn read(search: &str) -> (Shown, FieldErrors) {
    let mut pairs = pairs(search);
    for (key, value) in &mut pairs {
        if matches!(key.as_str(), "from" | "to") {
            *value = with_zone(value);
        }
    }
    let ours = || pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(|(key, _)| KNOWN.contains(key));
    let (query, mut errors) = match TrafficQuery::from_pairs(ours()) {
        Ok(query) => (query, FieldErrors::new()),
        Err(errors) => {
            let right = ours().filter(|(key, _)| errors.get(key).is_none());
            (TrafficQuery::from_pairs(right).unwrap_or_default(), errors)
        }
    };
    let find = |name: &str| pairs.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str());
    let span = find("span").and_then(|value| errors.check("span", value.parse())).unwrap_or_default();
    (Shown { query, span, live: find("live") == Some("1") }, errors)
}

/// A browser's field for a moment knows no time zone: what is typed into it is UTC, as everything on the page.
#[must_use]
pub fn with_zone(value: &str) -> String {
    let bare = value.get(10..11) == Some("T") && value.get(11..).is_some_and(|time| !time.contains(['Z', 'z', '+', '-']));
    match (bare, value.len()) {
        (true, 16) => format!("{value}:00Z"),
        (true, _) => format!("{value}Z"),
        (false, _) => value.to_string(),
    }
}

/// A moment as URLs have it.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Everything that narrows the list; what is the default is left out.
fn filters(query: &TrafficQuery) -> Vec<(&'static str, String)> {
    let mut params = Vec::new();
    let mut add = |key, value: Option<String>| params.extend(value.map(|value| (key, value)));
    add("q", Some(query.q.clone()).filter(|q| !q.is_empty()));
    add("proxy", query.proxy.clone());
    add("cause", query.cause.map(|cause| cause.as_str().to_string()));
    add("from", query.from.map(moment));
    add("to", query.to.map(moment));
    add("consumer", query.consumer.clone());
    add("host", query.host.clone());
    params
}

impl Shown {
    /// The page that shows this.
    #[must_use]
    pub fn url(&self) -> String {
        let mut params = filters(&self.query);
        params.extend(self.kept());
        params.extend(self.query.cursor.clone().map(|cursor| ("cursor", cursor)));
        with_params(PAGE, params)
    }

    /// What is no filter and stays when the filters change.
    #[must_use]
    pub fn kept(&self) -> Vec<(&'static str, String)> {
        let limit = Some(self.query.limit).filter(|limit| *limit != TrafficQuery::default().limit);
        let mut params = Vec::new();
        params.extend(limit.map(|limit| ("limit", limit.to_string())));
        params.extend((self.span != Span::default()).then(|| ("span", self.span.as_str().to_string())));
        params.extend(self.live.then(|| ("live", "1".to_string())));
        params
    }

    /// The same of other requests, from the first page on.
    fn with(&self, change: impl FnOnce(&mut TrafficQuery)) -> String {
        let mut shown = self.clone();
        shown.query.cursor = None;
        change(&mut shown.query);
        shown.url()
    }

    /// The first page.
    #[must_use]
    pub fn first(&self) -> String {
        self.with(|_| {})
    }

    /// The next page. It stands still: what is new is on the first one.
    #[must_use]
    pub fn next(&self, cursor: &str) -> String {
        let shown = Self { live: false, ..self.clone() };
        shown.with(|query| query.cursor = Some(cursor.to_string()))
    }

    /// All requests.
    #[must_use]
    pub fn unfiltered(&self) -> String {
        self.with(|query| *query = TrafficQuery { limit: query.limit, ..TrafficQuery::default() })
    }

    /// Those of one consumer, or of all.
    #[must_use]
    pub fn of_consumer(&self, id: Option<&str>) -> String {
        self.with(|query| query.consumer = id.map(ToString::to_string))
    }

    /// Those to all hosts.
    #[must_use]
    pub fn of_all_hosts(&self) -> String {
        self.with(|query| query.host = None)
    }

    /// Those that took one way: `direct` or the identifier of a proxy setting.
    #[must_use]
    pub fn of_way(&self, way: &str) -> String {
        self.with(|query| query.proxy = Some(way.to_string()))
    }

    /// Those that failed like this in the time that the plots show.
    #[must_use]
    pub fn of_cause(&self, cause: Cause, from: Timestamp) -> String {
        self.with(|query| {
            query.cause = Some(CauseFilter::One(cause));
            query.from = Some(from);
            query.to = None;
        })
    }

    /// Another time for the plots.
    #[must_use]
    pub fn over(&self, span: Span) -> String {
        Self { span, ..self.clone() }.url()
    }

    /// With new requests appearing by themselves, or without.
    #[must_use]
    pub fn with_live(&self, live: bool) -> String {
        Self { live, ..self.clone() }.with(|_| {})
    }

    /// The same requests for a spreadsheet.
    #[must_use]
    pub fn export(&self) -> String {
        with_params(EXPORT, filters(&self.query))
    }
}

/// The requests that one consumer made in a time. `to` is let in with the requests that ended with what was asked for.
#[must_use]
pub fn of_consumer(id: &str, from: Timestamp, to: Option<Timestamp>) -> String {
    const LATE: std::time::Duration = std::time::Duration::from_secs(2);
    let query =
        TrafficQuery { consumer: Some(id.to_string()), from: Some(from), to: to.map(|to| to + LATE), ..TrafficQuery::default() };
    Shown { query, ..Shown::default() }.url()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).expect("a moment")
    }

    #[test]
    fn what_a_url_says_is_read_back() {
        assert_eq!(Shown::default().url(), PAGE);
        let shown = Shown {
            query: TrafficQuery {
                q: "virustotal corp-eu & 100%".into(),
                proxy: Some("direct".into()),
                consumer: Some("i1".into()),
                host: Some("a.example:443".into()),
                cause: Some(CauseFilter::Any),
                from: Some(at(1_700_000_000)),
                to: Some(at(1_700_003_600)),
                limit: 20,
                cursor: Some("a+/=".into()),
            },
            span: Span::Week,
            live: true,
        };
        let url = shown.url();
        let (_, search) = url.split_once('?').expect("parameters");
        assert_eq!(read(search), (shown.clone(), FieldErrors::new()), "{url}");
        let export = shown.export();
        assert!(
            export.starts_with("/api/v1/traffic.csv?q=") && export.ends_with("&consumer=i1&host=a.example%3A443"),
            "{export}"
        );
        assert!(!export.contains("live") && !export.contains("span") && !export.contains("cursor"), "{export}");
    }

    #[test]
    fn what_a_browser_sends_without_a_zone_is_utc() {
        for (typed, expected) in [
            ("2023-11-14T22:13", "2023-11-14T22:13:00Z"),
            ("2023-11-14T22:13:20", "2023-11-14T22:13:20Z"),
            ("2023-11-14T22:13:20.5", "2023-11-14T22:13:20.5Z"),
            ("2023-11-14T22:13:20+01:00", "2023-11-14T22:13:20+01:00"),
            ("2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z"),
            ("yesterday", "yesterday"),
            ("2023-11-1ü", "2023-11-1ü"),
        ] {
            assert_eq!(with_zone(typed), expected);
        }
        let (shown, errors) = read("from=2023-11-14T22%3A13%3A20&to=soon&live=1&span=1y&utm=x");
        assert_eq!((shown.query.from, shown.live, shown.span), (Some(at(1_700_000_000)), true, Span::Day));
        assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["span", "to"]);
    }

    #[test]
    fn links_change_one_thing_and_start_at_the_first_page() {
        let (shown, _) = read("q=a&proxy=p1&cursor=c&live=1&span=7d");
        assert_eq!(shown.first(), format!("{PAGE}?q=a&proxy=p1&span=7d&live=1"));
        assert_eq!(shown.next("d"), format!("{PAGE}?q=a&proxy=p1&span=7d&cursor=d"));
        assert_eq!(shown.unfiltered(), format!("{PAGE}?span=7d&live=1"));
        assert_eq!(shown.with_live(false), format!("{PAGE}?q=a&proxy=p1&span=7d"));
        assert_eq!(shown.over(Span::Day), format!("{PAGE}?q=a&proxy=p1&live=1&cursor=c"));
        assert_eq!(shown.of_way("direct"), format!("{PAGE}?q=a&proxy=direct&span=7d&live=1"));
        assert_eq!(shown.of_consumer(Some("i")), format!("{PAGE}?q=a&proxy=p1&consumer=i&span=7d&live=1"));
        let of_cause = shown.of_cause(Cause::KeyRejected, at(0));
        assert_eq!(of_cause, format!("{PAGE}?q=a&proxy=p1&cause=key_rejected&from=1970-01-01T00%3A00%3A00Z&span=7d&live=1"));
        let of_one = of_consumer("i", at(0), Some(at(1)));
        assert_eq!(of_one, format!("{PAGE}?from=1970-01-01T00%3A00%3A00Z&to=1970-01-01T00%3A00%3A03Z&consumer=i"));
    }
}
