//! How much may be used: requests and bytes per second, bytes per day and month, each limit within another.
//!
//! Rates are buckets that fill by themselves (token buckets) and hold a quarter of a second's worth, so that over ten seconds nobody gets
//! more than a twentieth too much. Bytes may go below zero: who took them waits until the bucket is full again, and so do the others that share
//! it, each for its turn; none is served before another because it asks more often.
//!
//! Volumes outlive a restart where the policy names a file for them.

use std::{
    collections::HashMap,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    log::civil,
    policy::{Account, Limit, Settings, Who},
};

/// How much a bucket holds, in seconds of its rate.
const BURST: f64 = 0.25;
/// How many bytes are moved at a time under a limit, in seconds of its rate, and at least.
const PIECE: (f64, usize) = (0.02, 1024);
/// How many bytes are moved at a time under a limit of volumes: by no more than this it can be overdrawn.
const VOLUME_PIECE: usize = 128 * 1024;
/// The longest pause between two pieces: a limit that changes meanwhile counts soon.
const LONGEST_PAUSE: Duration = Duration::from_millis(900);
/// How long an account without a volume is remembered after its last use.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Why a request is not taken now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OverLimit {
    /// Too many requests; again after so long.
    Requests(Arc<str>, Duration),
    /// The volume of the day, or of the month, is used up until then.
    Volume(Arc<str>, &'static str, Duration),
}

/// The account of one limit.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: Limit,
    /// Of the policy that it was made for.
    edition: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    requests: f64,
    bytes: f64,
    at: Instant,
    /// Days since 1970, and bytes of that day.
    day: (u64, u64),
    /// Months since the year 0, and bytes of that month.
    month: (u64, u64),
}

/// Day, month, and the seconds to the end of each (UTC).
fn calendar(now: SystemTime) -> (u64, u64, Duration, Duration) {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let day = seconds / 86_400;
    let (year, month, _) = civil(day);
    let mut next = day + 1;
    while civil(next).1 == month {
        next += 1;
    }
    let until = |day: u64| Duration::from_secs((day * 86_400).saturating_sub(seconds));
    (day, year * 12 + u64::from(month), until(day + 1), until(next))
}

impl Meter {
    fn new(limit: Limit, edition: u64) -> Self {
        let rate = |rate: f64| (rate * BURST).max(1.0);
        let state = State {
            requests: limit.requests_per_second.map_or(0.0, |limit| rate(limit.0)),
            bytes: limit.bytes_per_second.map_or(0.0, |limit| limit.0 as f64 * BURST),
            at: Instant::now(),
            day: (0, 0),
            month: (0, 0),
        };
        Self { limit, edition, state: Mutex::new(state) }
    }

    /// Lets the buckets fill, and the volumes of a day that is over go.
    fn with<T>(&self, now: SystemTime, work: impl FnOnce(&mut State, &Limit) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = state.at.elapsed().as_secs_f64();
        state.at = Instant::now();
        if let Some(rate) = self.limit.requests_per_second {
            state.requests = (state.requests + passed * rate.0).min((rate.0 * BURST).max(1.0));
        }
        if let Some(rate) = self.limit.bytes_per_second {
            let rate = rate.0 as f64;
            state.bytes = (state.bytes + passed * rate).min(rate * BURST);
        }
        if self.limit.volume_per_day.is_some() || self.limit.volume_per_month.is_some() {
            let (day, month, ..) = calendar(now);
            // A clock that goes back for a moment takes nothing from what was used.
            if state.day.0 < day {
                state.day = (day, 0);
            }
            if state.month.0 < month {
                state.month = (month, 0);
            }
        }
        work(&mut state, &self.limit)
    }

    /// Whether one more request may come now.
    fn check(&self, now: SystemTime) -> Result<(), OverLimit> {
        self.with(now, |state, limit| {
            let used_up = |used: u64, most: Option<crate::policy::value::Bytes>| most.is_some_and(|most| used >= most.0);
            let (_, _, day_ends, month_ends) = calendar(now);
            if used_up(state.month.1, limit.volume_per_month) {
                return Err(OverLimit::Volume(limit.name.clone(), "month", month_ends));
            }
            if used_up(state.day.1, limit.volume_per_day) {
                return Err(OverLimit::Volume(limit.name.clone(), "day", day_ends));
            }
            match limit.requests_per_second {
                Some(rate) if state.requests < 1.0 => {
                    let wait = Duration::from_secs_f64(((1.0 - state.requests) / rate.0).min(3600.0));
                    Err(OverLimit::Requests(limit.name.clone(), wait))
                }
                _ => Ok(()),
            }
        })
    }

    fn take_request(&self, now: SystemTime) {
        self.with(now, |state, _| state.requests -= 1.0);
    }

    /// Counts bytes. Answers how long to wait for the next, and whether a volume is used up.
    fn charge(&self, bytes: u64, now: SystemTime) -> (Duration, bool) {
        self.with(now, |state, limit| {
            state.bytes -= bytes as f64;
            state.day.1 += bytes;
            state.month.1 += bytes;
            let over = limit.volume_per_day.is_some_and(|most| state.day.1 > most.0)
                || limit.volume_per_month.is_some_and(|most| state.month.1 > most.0);
            let wait = match limit.bytes_per_second {
                Some(rate) if state.bytes < 0.0 => Duration::from_secs_f64((-state.bytes / rate.0 as f64).min(3600.0)),
                _ => Duration::ZERO,
            };
            (wait, over)
        })
    }
}

/// The name of a limit, and whose account.
type Key = (Arc<str>, Account);

/// A day and a month, each with the bytes that were used of it.
type Used = ((u64, u64), (u64, u64));

/// All accounts.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    meters: Mutex<HashMap<Key, Arc<Meter>>>,
    /// Of an earlier run, for those who did not ask yet.
    before: Mutex<HashMap<String, Used>>,
    /// The limits in force, and their number: a higher one for others.
    in_force: Mutex<Arc<[Limit]>>,
    edition: AtomicU64,
}

/// A limit and an account on one line: what would end it is written as in URLs.
fn line_of((limit, account): &Key) -> String {
    let plain = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_control() || matches!(c, '%' | ' ') { format!("%{:02x}", u32::from(c)) } else { c.to_string() })
            .collect()
    };
    let whose = match account {
        Account::Named(name) => format!("name:{}", plain(name)),
        Account::Address(address) => format!("address:{address}"),
        Account::Network(network) => format!("network:{network}"),
        Account::All => "all".into(),
    };
    format!("{} {whose}", plain(limit))
}

impl Limits {
    /// Counts a request to its limit and to those around it, or to none of them.
    pub(crate) fn admit(
        &self, settings: &Settings, edition: u64, first: usize, client: IpAddr, who: &Who, now: SystemTime,
    ) -> Result<Throttle, OverLimit> {
        let meters = self.meters_of(&settings.limits, edition, first, client, who);
        meters.iter().try_for_each(|meter| meter.check(now))?;
        meters.iter().for_each(|meter| meter.take_request(now));
        let piece = piece_of(&meters);
        let mut throttle = Throttle { meters, piece, until: None, sleep: None, over: false, follows: None };
        // What those before took too much is waited for first.
        throttle.count(0, now);
        Ok(throttle)
    }

    /// Those of a limit and of the ones around it.
    fn meters_of(&self, limits: &[Limit], edition: u64, first: usize, client: IpAddr, who: &Who) -> Vec<Arc<Meter>> {
        let mut meters = Vec::new();
        let mut next = Some(first);
        // The policy was checked for circles.
        while let Some(limit) = next.and_then(|at| limits.get(at)) {
            for account in limit.accounts(client, who) {
                meters.push(self.meter(limit, edition, account));
            }
            next = limit.within;
        }
        meters
    }

    /// These are in force from now on; what is on its way goes by them soon.
    pub(crate) fn put_in_force(&self, edition: u64, limits: &[Limit]) {
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two policies that come at once the older one must not stay.
        if edition > self.edition.load(Ordering::Relaxed) {
            *in_force = limits.into();
            self.edition.store(edition, Ordering::Relaxed);
        }
    }

    /// Whoever still goes by an older policy (they signed in, or looked a name up, while another one came into force) counts with the
    /// others: were their limit put in its place again, what runs would count where nobody looks any more.
    fn meter(&self, limit: &Limit, edition: u64, account: Account) -> Arc<Meter> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (limit.name.clone(), account);
        match meters.get(&key) {
            Some(meter) if meter.limit == *limit || meter.edition > edition => meter.clone(),
            known => {
                let meter = Meter::new(limit.clone(), edition);
                if known.is_none() && (limit.volume_per_day.is_some() || limit.volume_per_month.is_some()) {
                    let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).remove(&line_of(&key));
                    if let Some((day, month)) = before {
                        let mut state = meter.state.lock().unwrap_or_else(PoisonError::into_inner);
                        (state.day, state.month) = (day, month);
                    }
                }
                // Another rate begins anew; what was used of a volume is used.
                if let Some(known) = known {
                    let old = known.state.lock().unwrap_or_else(PoisonError::into_inner);
                    let mut state = meter.state.lock().unwrap_or_else(PoisonError::into_inner);
                    (state.day, state.month) = (old.day, old.month);
                }
                let meter = Arc::new(meter);
                meters.insert(key, meter.clone());
                meter
            }
        }
    }

    /// The volumes that are used, a line each: limit, account, day, bytes, month, bytes.
    pub(crate) fn used(&self) -> String {
        use std::fmt::Write as _;
        let (mut text, (today, this_month, ..)) = (String::new(), calendar(SystemTime::now()));
        let mut add = |line: &str, (day, month): Used| {
            if (day.0 == today && day.1 > 0) || (month.0 == this_month && month.1 > 0) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "{line} {} {} {} {}", day.0, day.1, month.0, month.1);
            }
        };
        // Held over both: an account goes from the one to the other.
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, meter) in &*meters {
            if meter.limit.volume_per_day.is_some() || meter.limit.volume_per_month.is_some() {
                let state = meter.state.lock().unwrap_or_else(PoisonError::into_inner);
                add(&line_of(key), (state.day, state.month));
            }
        }
        self.before.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|(line, used)| add(line, *used));
        text
    }

    /// Goes on with what an earlier run has counted. What can't be read is left out.
    pub(crate) fn go_on(&self, text: &str) {
        let line = |line: &str| {
            let mut words = line.rsplitn(5, ' ');
            let mut number = || words.next()?.parse::<u64>().ok();
            let (month_bytes, month, day_bytes, day) = (number()?, number()?, number()?, number()?);
            Some((words.next()?.to_string(), ((day, day_bytes), (month, month_bytes))))
        };
        self.before.lock().unwrap_or_else(PoisonError::into_inner).extend(text.lines().filter_map(line));
    }

    /// Forgets those that nobody uses. Called every now and then.
    pub(crate) fn sweep(&self) {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.retain(|_, meter| {
            let state = meter.state.lock().unwrap_or_else(PoisonError::into_inner);
            // A volume that was used is remembered for as long as it counts.
            let (day, month, ..) = calendar(SystemTime::now());
            let counts = (meter.limit.volume_per_day.is_some() && state.day.0 == day && state.day.1 > 0)
                || (meter.limit.volume_per_month.is_some() && state.month.0 == month && state.month.1 > 0);
            counts || Arc::strong_count(meter) > 1 || state.at.elapsed() < REMEMBERED
        });
    }
}

/// How many bytes are moved at a time.
fn piece_of(meters: &[Arc<Meter>]) -> usize {
    let slowest = meters.iter().filter_map(|meter| meter.limit.bytes_per_second).map(|rate| rate.0).min();
    let counts_volume = meters.iter().any(|meter| meter.limit.volume_per_day.is_some() || meter.limit.volume_per_month.is_some());
    let most = if counts_volume { VOLUME_PIECE } else { usize::MAX };
    slowest.map_or(most, |rate| ((rate as f64 * PIECE.0) as usize).max(PIECE.1).min(most))
}

/// What it takes to find the accounts of a request again when the limits have changed.
#[derive(Debug)]
struct Follows {
    limits: Arc<Limits>,
    edition: u64,
    /// The name of the limit that its rule has.
    limit: Arc<str>,
    client: IpAddr,
    who: Who,
}

/// What holds up one request or tunnel.
#[derive(Debug)]
pub(crate) struct Throttle {
    meters: Vec<Arc<Meter>>,
    /// How many bytes may be moved between two looks at the meters.
    pub(crate) piece: usize,
    /// When the accounts are balanced again, as far as was known when this one took from them.
    until: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    over: bool,
    follows: Option<Box<Follows>>,
}

impl Throttle {
    /// Goes by what a later policy says of the limit of this name, too: what takes hours must not keep what it began with. `edition`: of
    /// the limits that it was made of.
    pub(crate) fn following(mut self, limits: &Arc<Limits>, edition: u64, limit: &Arc<str>, client: IpAddr, who: Who) -> Self {
        self.follows = Some(Box::new(Follows { limits: limits.clone(), edition, limit: limit.clone(), client, who }));
        self
    }

    /// One look at a number, most times.
    fn catch_up(&mut self) {
        let Some(follows) = &mut self.follows else { return };
        if follows.limits.edition.load(Ordering::Relaxed) <= follows.edition {
            return;
        }
        let in_force = {
            let in_force = follows.limits.in_force.lock().unwrap_or_else(PoisonError::into_inner);
            follows.edition = follows.limits.edition.load(Ordering::Relaxed);
            in_force.clone()
        };
        // Without one of this name it keeps what it has: which rule would apply now is not asked again.
        let Some(first) = in_force.iter().position(|limit| limit.name == follows.limit) else { return };
        self.meters = follows.limits.meters_of(&in_force, follows.edition, first, follows.client, &follows.who);
        self.piece = piece_of(&self.meters);
        (self.until, self.sleep, self.over) = (None, None, false);
        self.count(0, SystemTime::now());
    }

    /// Waits until the next bytes may be moved. `true`: a volume is used up, and nothing more may.
    pub(crate) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            self.catch_up();
            if self.over {
                return Poll::Ready(true);
            }
            let Some(until) = self.until else { return Poll::Ready(false) };
            let now = Instant::now();
            if now >= until {
                (self.until, self.sleep) = (None, None);
                return Poll::Ready(false);
            }
            // In steps, so that nobody sleeps through a day that begins anew.
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until.min(now + LONGEST_PAUSE))));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        }
    }

    /// Whether it waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.until.is_some() || self.over
    }

    /// Counts what was moved.
    pub(crate) fn charge(&mut self, bytes: u64) {
        if bytes > 0 {
            self.count(bytes, SystemTime::now());
        }
    }

    fn count(&mut self, bytes: u64, now: SystemTime) {
        let mut wait = Duration::ZERO;
        for meter in &self.meters {
            let (pause, over) = meter.charge(bytes, now);
            wait = wait.max(pause);
            self.over |= over;
        }
        if !wait.is_zero() {
            (self.until, self.sleep) = (Some(Instant::now() + wait), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    fn settings(text: &str) -> Policy {
        let rule = "[[rule]]\nname = 'all'\naction = 'allow'\nlimit = 'a'\n";
        Policy::parse(&format!("{text}{rule}"), std::path::Path::new(".")).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    #[test]
    fn who_goes_by_an_older_policy_counts_with_the_others() {
        let limits = Limits::default();
        let old = settings("[[limit]]\nname = 'a'\nrequests_per_second = 5\nscope = 'all'\n");
        let new = settings("[[limit]]\nname = 'a'\nrequests_per_second = 50\nscope = 'all'\n");
        let meter = |policy: &Policy, edition| limits.meter(&policy.settings().limits[0], edition, Account::All);
        let first = meter(&old, 1);
        let second = meter(&new, 2);
        assert!(!Arc::ptr_eq(&first, &second), "another rate begins anew");
        // It took its snapshot before the swap and is through with signing in after it.
        assert!(Arc::ptr_eq(&meter(&old, 1), &second) && Arc::ptr_eq(&meter(&new, 2), &second));
        assert!(
            !Arc::ptr_eq(&meter(&old, 3), &second),
            "a policy that comes later holds, also when it says what the first one said"
        );
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[tokio::test]
    async fn requests_come_at_their_rate_and_the_answer_says_when_again() {
        let policy = settings("[[limit]]\nname = 'a'\nrequests_per_second = 40\n");
        let limits = Limits::default();
        let admit = |client| limits.admit(policy.settings(), 0, 0, client, &Who::default(), at(0));
        let begun = Instant::now();
        let mut taken = 0u32;
        while begun.elapsed() < Duration::from_secs(1) {
            match admit(CLIENT) {
                Ok(_) => taken += 1,
                Err(OverLimit::Requests(name, wait)) => {
                    assert_eq!(&*name, "a");
                    assert!(wait <= Duration::from_millis(25), "{wait:?}");
                }
                other => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // A quarter of a second's worth was there, and so many have come since.
        let most = 10.0 + begun.elapsed().as_secs_f64() * 40.0 + 1.0;
        assert!(taken > 20 && f64::from(taken) <= most, "{taken} of at most {most}");
        assert!(admit(OTHER).is_ok(), "another address has an account of its own");
    }

    #[tokio::test]
    async fn a_limit_holds_within_another_and_takes_from_all_or_none() {
        let policy = settings(
            "[[limit]]\nname = 'a'\nrequests_per_second = 1000\nscope = 'client'\nwithin = 'b'\n\
             [[limit]]\nname = 'b'\nrequests_per_second = 0.1\nscope = 'all'\n",
        );
        let limits = Limits::default();
        let admit = |client| limits.admit(policy.settings(), 0, 0, client, &Who::default(), at(0)).map(drop);
        assert!(admit(CLIENT).is_ok(), "there is always one");
        for client in [CLIENT, OTHER, CLIENT, OTHER] {
            assert!(matches!(admit(client), Err(OverLimit::Requests(name, _)) if &*name == "b"));
        }
        let left = |name: &str| {
            let meters = limits.meters.lock().expect("whole");
            let meter = meters.iter().find(|((limit, _), _)| &**limit == name).map(|(_, meter)| meter.clone()).expect("there");
            meter.with(at(0), |state, _| state.requests)
        };
        assert!(left("a") > 248.0, "what the wider one refused was not counted by the narrow one: {}", left("a"));
    }

    #[tokio::test]
    async fn bytes_go_at_their_rate_and_are_shared() {
        let policy = settings("[[limit]]\nname = 'a'\nbytes_per_second = '1 MB'\nscope = 'all'\n");
        let limits = std::sync::Arc::new(Limits::default());
        let begun = Instant::now();
        let movers = (0..200u8).map(|n| {
            let mut throttle =
                limits.admit(policy.settings(), 0, 0, IpAddr::from([10, 0, 0, n]), &Who::default(), at(0)).expect("admitted");
            tokio::spawn(async move {
                let mut moved = 0;
                while begun.elapsed() < Duration::from_secs(3) {
                    assert!(!std::future::poll_fn(|cx| throttle.poll_turn(cx)).await);
                    if begun.elapsed() < Duration::from_secs(3) {
                        throttle.charge(5000);
                        moved += 5000;
                    }
                }
                moved
            })
        });
        let mut all = 0;
        for mover in movers.collect::<Vec<_>>() {
            all += mover.await.expect("moved");
        }
        // A quarter of a second's worth, three seconds' worth, and one piece of each.
        assert!((2_000_000..=4_350_000).contains(&all), "{all}");
        let mut one = limits.admit(policy.settings(), 0, 0, OTHER, &Who::default(), at(0)).expect("admitted");
        one.charge(2_000_000);
        let early = limits.admit(policy.settings(), 0, 0, CLIENT, &Who::default(), at(0)).expect("admitted");
        assert!(early.is_waiting(), "who comes now waits for what the others took");
    }

    #[tokio::test]
    async fn a_volume_is_used_up_until_its_day_is_over() {
        let policy = settings("[[limit]]\nname = 'a'\nvolume_per_day = '1 kB'\nvolume_per_month = '1500 B'\n");
        let limits = Limits::default();
        // 2026-01-30, an hour before its end.
        let evening = 1_769_814_000;
        let admit = |seconds| limits.admit(policy.settings(), 0, 0, CLIENT, &Who::default(), at(seconds));
        let mut throttle = admit(evening).expect("admitted");
        for meter in &throttle.meters {
            meter.charge(1001, at(evening));
        }
        throttle.over = true;
        assert!(std::future::poll_fn(|cx| throttle.poll_turn(cx)).await, "what is on its way ends, too");
        assert_eq!(admit(evening).expect_err("used up"), OverLimit::Volume("a".into(), "day", Duration::from_secs(3600)));
        let next = admit(evening + 3600).expect("the next day");
        next.meters[0].charge(600, at(evening + 3600));
        let left = Duration::from_secs(86_400);
        assert_eq!(admit(evening + 3600).expect_err("the month"), OverLimit::Volume("a".into(), "month", left));
        assert!(admit(evening + 3600 + 86_400).is_ok(), "February");
    }
}
