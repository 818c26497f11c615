//! Sums of five minutes become the bars of a plot and the counts of failures.

use std::collections::{BTreeMap, HashMap};

use gatehouse_domain::{Cause, CauseFilter, Timestamp, TrafficQuery, TrafficSum};

/// How far back the plots go. Each makes at most 48 bars, of so many of the five minutes as it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Span {
    /// 36 bars of five minutes.
    Hours,
    /// 48 bars of half an hour.
    #[default]
    Day,
    /// 42 bars of four hours.
    Week,
}

impl Span {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Hours, Self::Day, Self::Week];

    /// As in the URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hours => "3h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    /// What a person reads.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Hours => "3 hours",
            Self::Day => "24 hours",
            Self::Week => "7 days",
        }
    }

    /// Seconds of one bar, and how many bars.
    fn bars(self) -> (i64, usize) {
        match self {
            Self::Hours => (300, 36),
            Self::Day => (1_800, 48),
            Self::Week => (14_400, 42),
        }
    }

    /// From the start of the first bar to the end of the one that is under way. Bars start at round times, so that they do not
    /// change their shape with every look.
    #[must_use]
    pub fn range(self, now: Timestamp) -> (Timestamp, Timestamp) {
        let (width, bars) = self.bars();
        let end = (now.timestamp().div_euclid(width) + 1) * width;
        let start = end - width * i64::try_from(bars).unwrap_or_default();
        let at = |seconds| Timestamp::from_timestamp(seconds, 0).unwrap_or(now);
        (at(start), at(end))
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|span| span.as_str() == text).ok_or_else(|| "Use 3h, 24h or 7d.".into())
    }
}

/// Which way requests went, as far as a plot tells them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Through this proxy setting.
    Proxy(String),
    /// Through one of those that there are no colours left for.
    Others,
    /// Through none: direct, or it did not come to a route.
    Direct,
}

/// The requests of one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Which.
    pub way: Way,
    /// What it is called.
    pub name: String,
    /// Its colour and pattern: 0 to 6.
    pub look: usize,
    /// Requests, for each bar.
    pub requests: Vec<u64>,
    /// Bytes, for each bar.
    pub bytes: Vec<u64>,
}

/// Requests and bytes over time, by way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bars {
    /// When each bar starts, and when the last one ends.
    pub edges: Vec<Timestamp>,
    /// From the bottom up.
    pub series: Vec<Series>,
}

/// Proxies with a colour of their own.
const PROXIES: usize = 5;
/// The look of the others, and of no proxy at all.
const OTHERS: usize = PROXIES;
const DIRECT: usize = PROXIES + 1;

/// Whether the filters let a sum through. It knows only its way and its cause.
#[must_use]
pub fn takes(query: &TrafficQuery, sum: &TrafficSum) -> bool {
    let by_cause = match query.cause {
        None => true,
        Some(CauseFilter::Any) => sum.cause.is_some(),
        Some(CauseFilter::None) => sum.cause.is_none(),
        Some(CauseFilter::One(cause)) => sum.cause == Some(cause),
    };
    by_cause && by_way(query, sum)
}

fn by_way(query: &TrafficQuery, sum: &TrafficSum) -> bool {
    match query.proxy.as_deref() {
        None => true,
        Some("direct") => sum.proxy.is_none(),
        Some(id) => sum.proxy.as_ref().is_some_and(|proxy| proxy.id == id),
    }
}

/// Makes bars of the sums from `span.range(now)`.
#[must_use]
pub fn bars(span: Span, now: Timestamp, sums: &[TrafficSum]) -> Bars {
    let (start, _) = span.range(now);
    let (width, count) = span.bars();
    let edge = |bar: usize| {
        let seconds = start.timestamp() + width * i64::try_from(bar).unwrap_or_default();
        Timestamp::from_timestamp(seconds, 0).unwrap_or(start)
    };
    let edges = (0..=count).map(edge).collect();
    let bar_of = |sum: &TrafficSum| {
        let bar = (sum.at.timestamp() - start.timestamp()).div_euclid(width);
        usize::try_from(bar).ok().filter(|bar| *bar < count)
    };
    let ways = ways(sums.iter().filter(|sum| bar_of(sum).is_some()));
    let mut by_look: BTreeMap<usize, Series> = BTreeMap::new();
    for sum in sums {
        let Some(bar) = bar_of(sum) else { continue };
        let (way, name, look) = match &sum.proxy {
            None => (Way::Direct, "Direct, or no route".to_string(), DIRECT),
            Some(proxy) => match ways.get(proxy.id.as_str()) {
                Some((name, look)) => (Way::Proxy(proxy.id.clone()), name.clone(), *look),
                None => (Way::Others, "Other proxies".to_string(), OTHERS),
            },
        };
        let none = || vec![0; count];
        let series = by_look.entry(look).or_insert_with(|| Series { way, name, look, requests: none(), bytes: none() });
        series.requests[bar] += sum.requests;
        series.bytes[bar] += sum.bytes;
    }
    Bars { edges, series: by_look.into_values().collect() }
}

/// The proxies with most requests, each with its latest name and its look. By name, so that a colour stays where it is while the
/// numbers grow.
fn ways<'a>(sums: impl Iterator<Item = &'a TrafficSum>) -> HashMap<&'a str, (String, usize)> {
    let mut proxies: HashMap<&str, (u64, Timestamp, &str)> = HashMap::new();
    for sum in sums {
        let Some(proxy) = &sum.proxy else { continue };
        let (requests, at, name) = proxies.entry(&proxy.id).or_insert((0, sum.at, &proxy.name));
        *requests += sum.requests;
        if sum.at >= *at {
            (*at, *name) = (sum.at, &proxy.name);
        }
    }
    let mut proxies: Vec<_> = proxies.into_iter().map(|(id, (requests, _, name))| (requests, name, id)).collect();
    proxies.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    proxies.truncate(PROXIES);
    proxies.sort_by(|a, b| (a.1, a.2).cmp(&(b.1, b.2)));
    proxies.into_iter().enumerate().map(|(look, (_, name, id))| (id, (name.to_string(), look))).collect()
}

/// How often what went wrong, the most frequent first. Of the way that is asked for.
#[must_use]
pub fn failures(query: &TrafficQuery, sums: &[TrafficSum]) -> Vec<(Cause, u64)> {
    let mut counts: HashMap<Cause, u64> = HashMap::new();
    for sum in sums.iter().filter(|sum| by_way(query, sum)) {
        if let Some(cause) = sum.cause {
            *counts.entry(cause).or_default() += sum.requests;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.as_str().cmp(b.0.as_str())));
    counts
}

/// `512 B`, `1.2 kB`, `3.4 MB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        None => format!("{bytes} B"),
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit / (unit / 10)),
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::ProxyRef;

    use super::*;

    /// A Tuesday, 22:13:20.
    const NOW: i64 = 1_700_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).expect("a moment")
    }

    fn sum(ago: i64, proxy: Option<&str>, cause: Option<Cause>, requests: u64) -> TrafficSum {
        let proxy = proxy.map(|name| ProxyRef { id: name.to_lowercase(), name: name.into() });
        TrafficSum { at: at((NOW - ago).div_euclid(300) * 300), proxy, cause, requests, bytes: requests * 10 }
    }

    #[test]
    fn every_span_has_at_most_48_bars_that_start_at_round_times() {
        for span in Span::ALL {
            let bars = bars(span, at(NOW), &[]);
            let (from, to) = span.range(at(NOW));
            assert!(bars.edges.len() <= 49);
            assert_eq!((bars.edges.first(), bars.edges.last()), (Some(&from), Some(&to)));
            assert!(from.timestamp() % 300 == 0 && from < at(NOW) && at(NOW) < to);
            assert_eq!(span.as_str().parse(), Ok(span));
        }
        let (from, to) = Span::Day.range(at(NOW));
        assert_eq!(
            (from.to_rfc3339(), to.to_rfc3339()),
            ("2023-11-13T22:30:00+00:00".into(), "2023-11-14T22:30:00+00:00".into())
        );
    }

    #[test]
    fn sums_are_added_up_in_their_bar_and_what_is_outside_is_left_out() {
        let sums = [
            sum(0, Some("Corp"), None, 1),
            sum(600, Some("Corp"), Some(Cause::ProxyDenied), 2),
            sum(0, None, None, 4),
            sum(23 * 3_600, Some("Corp"), None, 8),
            sum(25 * 3_600, Some("Corp"), None, 16),
            sum(-3_600, Some("Corp"), None, 32),
        ];
        let bars = bars(Span::Day, at(NOW), &sums);
        let [corp, direct] = bars.series.as_slice() else { panic!("two series: {:?}", bars.series) };
        assert_eq!((&corp.way, corp.name.as_str(), corp.look), (&Way::Proxy("corp".into()), "Corp", 0));
        assert_eq!((corp.requests[47], corp.bytes[47], corp.requests[1]), (3, 30, 8));
        assert_eq!(corp.requests.iter().sum::<u64>(), 11);
        assert_eq!((&direct.way, direct.look, direct.requests[47]), (&Way::Direct, 6, 4));
    }

    #[test]
    fn the_busiest_proxies_have_colours_and_keep_them() {
        let names = ["F", "E", "D", "C", "B", "A", "G"];
        let sums: Vec<_> = names.iter().zip(1..).map(|(name, n)| sum(0, Some(name), None, n)).collect();
        let bars = bars(Span::Hours, at(NOW), &sums);
        let looks: Vec<_> = bars.series.iter().map(|series| (series.look, series.name.as_str())).collect();
        assert_eq!(looks, [(0, "A"), (1, "B"), (2, "C"), (3, "D"), (4, "G"), (5, "Other proxies")]);
        assert_eq!(bars.series[5].requests[35], 3);
    }

    #[test]
    fn a_proxy_that_was_renamed_is_one_with_its_latest_name() {
        let renamed = |ago, name: &str| TrafficSum {
            proxy: Some(ProxyRef { id: "p".into(), name: name.into() }),
            ..sum(ago, None, None, 1)
        };
        let bars = bars(Span::Day, at(NOW), &[renamed(0, "New"), renamed(7_200, "Old")]);
        assert_eq!(bars.series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>(), ["New"]);
    }

    #[test]
    fn filters_by_way_and_cause_hold_for_sums_too() {
        let sums = [
            sum(0, Some("Corp"), Some(Cause::ProxyDenied), 2),
            sum(0, Some("Corp"), None, 3),
            sum(0, None, Some(Cause::TargetTimeout), 5),
            sum(300, None, Some(Cause::ProxyDenied), 7),
        ];
        let count = |search: &str| {
            let query = super::super::urls::read(search).0.query;
            sums.iter().filter(|sum| takes(&query, sum)).map(|sum| sum.requests).sum::<u64>()
        };
        assert_eq!(
            ["", "proxy=direct", "proxy=corp", "cause=any", "cause=none", "cause=target_timeout"].map(count),
            [17, 12, 5, 14, 3, 5]
        );
        let all = failures(&TrafficQuery::default(), &sums);
        assert_eq!(all, [(Cause::ProxyDenied, 9), (Cause::TargetTimeout, 5)]);
        let corp = TrafficQuery { proxy: Some("corp".into()), ..TrafficQuery::default() };
        assert_eq!(failures(&corp, &sums), [(Cause::ProxyDenied, 2)]);
    }

    #[test]
    fn bytes_are_short() {
        for (count, expected) in [(0, "0 B"), (999, "999 B"), (1_250, "1.2 kB"), (3_456_789, "3.4 MB"), (2_000_000_000, "2.0 GB")]
        {
            assert_eq!(bytes(count), expected);
        }
    }
}
