//! When a request is sent again, and how long to wait before.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use gatehouse_domain::{Cause, Timestamp};
use gatehouse_platform::Retry;
use rand::Rng as _;

use crate::problem::Problem;

/// Pauses before the second and the third attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(800)];
/// A `Retry-After` beyond this is not waited for.
const LONGEST: Duration = Duration::from_secs(10);

/// How an attempt ended, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ended<'a> {
    /// With an answer: its status and its `Retry-After`.
    Answer(u16, Option<&'a str>),
    /// Without.
    Problem(&'a Problem),
}

/// How long to wait before attempt number `done + 1`, if there is to be one and its pause fits into `left`.
pub(crate) fn pause(retry: Retry, done: usize, ended: Ended<'_>, left: Duration, now: Timestamp) -> Option<Duration> {
    if retry == Retry::Never {
        return None;
    }
    let own = PAUSES.get(done.checked_sub(1)?)?.mul_f64(rand::rng().random_range(0.5..1.5));
    let pause = match ended {
        Ended::Answer(status @ (429 | 502..=504), asked) => {
            let asked = asked.and_then(|value| retry_after(value, now));
            match asked {
                Some(asked) if asked <= LONGEST => asked.max(own),
                // Asked to stay away for long.
                Some(_) => return None,
                // "Too many" and "not now" without a time: asking again soon would make it worse.
                None if matches!(status, 429 | 503) => return None,
                None => own,
            }
        }
        Ended::Problem(problem) if may_pass(problem) => own,
        _ => return None,
    };
    (pause < left).then_some(pause)
}

/// Whether what ended an attempt lies between the proxy and the target and may be over soon.
fn may_pass(problem: &Problem) -> bool {
    // A name without address, and something that speaks no HTTP, stay what they are.
    problem.cause() == Cause::TargetUnreachable && !matches!(problem, Problem::TargetName(_) | Problem::TargetNotHttp)
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date in one of the three forms; one that is over means now.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // So many seconds that they do not fit into a number are too many all the same.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = http_date(value)?;
    Some((date - now).to_std().unwrap_or_default())
}

/// RFC 9110, section 5.6.7.
fn http_date(value: &str) -> Option<Timestamp> {
    if !value.is_ascii() {
        return None;
    }
    if let Ok(date) = DateTime::parse_from_rfc2822(value) {
        return Some(date.to_utc());
    }
    let naive = NaiveDateTime::parse_from_str(value, "%A, %d-%b-%y %H:%M:%S GMT")
        .or_else(|_| NaiveDateTime::parse_from_str(value, "%a %b %e %H:%M:%S %Y"));
    naive.ok().map(|date| date.and_utc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{dial::DialError, names::ResolveError};

    fn now() -> Timestamp {
        DateTime::from_timestamp(784_111_777, 0).unwrap()
    }

    #[test]
    fn the_three_forms_of_a_date_are_read() {
        for value in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(http_date(value), Some(now()), "{value}");
            assert_eq!(retry_after(value, now() - Duration::from_secs(7)), Some(Duration::from_secs(7)));
            assert_eq!(retry_after(value, now() + Duration::from_secs(7)), Some(Duration::ZERO));
        }
        for bad in ["", "-1", "1.5", "soon", "Sun, 06 Nov 1994", "１"] {
            assert_eq!(retry_after(bad, now()), None, "{bad}");
        }
        assert_eq!(retry_after("99999999999999999999999", now()), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let left = Duration::from_secs(60);
        fn pause(ended: Ended<'_>, done: usize) -> Option<Duration> {
            super::pause(Retry::Safe, done, ended, Duration::from_secs(60), now())
        }
        for status in [502, 504] {
            assert!(pause(Ended::Answer(status, None), 1).is_some() && pause(Ended::Answer(status, None), 2).is_some());
            assert_eq!(pause(Ended::Answer(status, None), 3), None, "two more and no others");
            assert_eq!(pause(Ended::Answer(status, Some("11")), 1), None);
        }
        for status in [429, 503] {
            assert_eq!(pause(Ended::Answer(status, None), 1), None);
            assert_eq!(pause(Ended::Answer(status, Some("3")), 1), Some(Duration::from_secs(3)));
            assert_eq!(pause(Ended::Answer(status, Some("11")), 1), None);
            assert_eq!(super::pause(Retry::Safe, 1, Ended::Answer(status, Some("3")), Duration::from_secs(3), now()), None);
            assert_eq!(super::pause(Retry::Never, 1, Ended::Answer(status, Some("3")), left, now()), None);
        }
        for status in [200, 301, 400, 404, 407, 500, 501, 505] {
            assert_eq!(pause(Ended::Answer(status, Some("1")), 1), None, "{status}");
        }
        let again = |problem: &Problem| pause(Ended::Problem(problem), 1).is_some();
        assert!(again(&Problem::TargetClosed) && again(&Problem::Status { status: 503, why: None, plain_http: false }));
        for problem in [
            Problem::Connect(DialError::Refused, Vec::new()),
            Problem::AuthRejected,
            Problem::Resolve(ResolveError::Unknown),
            Problem::Status { status: 403, why: None, plain_http: false },
            Problem::TargetTimeout { tls: true },
            Problem::TargetNotHttp,
        ] {
            assert!(!again(&problem), "{problem:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(value: String, seconds in -4_000_000_000i64..4_000_000_000) {
            let _ = retry_after(&value, DateTime::from_timestamp(seconds, 0).unwrap());
        }

        #[test]
        fn what_is_written_is_read(seconds in 0u64..1_000_000, ahead in 0i64..1_000_000) {
            prop_assert_eq!(retry_after(&seconds.to_string(), now()), Some(Duration::from_secs(seconds)));
            let date = now() + chrono::TimeDelta::seconds(ahead);
            let expected = Some(Duration::from_secs(ahead.unsigned_abs()));
            for form in ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"] {
                prop_assert_eq!(retry_after(&date.format(form).to_string(), now()), expected, "{}", form);
            }
        }

        #[test]
        fn pauses_are_bounded(done in 0usize..5, status in 100u16..1000, after in proptest::option::of("[0-9]{1,3}"), left in 0u64..20_000) {
            let left = Duration::from_millis(left);
            if let Some(pause) = pause(Retry::Safe, done, Ended::Answer(status, after.as_deref()), left, now()) {
                prop_assert!(pause < left && pause <= LONGEST && (1..=2).contains(&done));
            }
        }
    }
}
