//! Spamhaus's lists: what both ways of asking have in common.

use std::net::IpAddr;

use gatehouse_domain::Verdict;
use gatehouse_platform::engine::Finding;

/// What being on a list says about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// Somebody sends spam, malware or attacks from there.
    Bad(&'static str),
    /// Mail should not come from there directly (dial-up ranges and the like): nothing bad has been seen.
    Policy(&'static str),
    /// A list that we don't know.
    Other,
}

/// The last number of `127.0.0.x`.
fn listing(code: u64) -> Listing {
    match code {
        2 => Listing::Bad("SBL (spam sources)"),
        3 => Listing::Bad("CSS (spam sources, automatic)"),
        4..=7 => Listing::Bad("XBL (hijacked machines)"),
        9 => Listing::Bad("DROP (hijacked networks)"),
        10 | 11 => Listing::Policy("PBL (policy list: no mail servers there)"),
        30 => Listing::Bad("BCL (botnet controllers)"),
        _ => Listing::Other,
    }
}

/// What the codes of one address make together: the worst counts.
pub(crate) fn finding(ip: IpAddr, codes: impl IntoIterator<Item = u64>) -> Finding {
    let mut verdict = Verdict::Clean;
    let mut evidence = Vec::new();
    for code in codes {
        let (worse, label, value) = match listing(code) {
            Listing::Bad(list) => (Verdict::Malicious, "Listed", list.to_string()),
            Listing::Policy(list) => (Verdict::Clean, "In the policy list", list.to_string()),
            Listing::Other => (Verdict::Suspicious, "Listed", format!("another list (code {code})")),
        };
        verdict = verdict.max(worse);
        if !evidence.contains(&(label, value.clone())) {
            evidence.push((label, value));
        }
    }
    if evidence.is_empty() {
        evidence.push(("Listed", "no".into()));
    }
    evidence
        .into_iter()
        .fold(Finding::of(verdict), |finding, (label, value)| finding.because(label, value))
        .see(format!("https://check.spamhaus.org/results/?query={ip}"))
}

/// The address that is always listed.
pub(crate) const ALWAYS_LISTED: &str = "127.0.0.2";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::evidence;

    #[test]
    fn the_worst_list_counts_and_the_policy_list_is_none() {
        let ip = "192.0.2.1".parse().unwrap();
        for (codes, expected) in [
            (vec![], Verdict::Clean),
            (vec![10], Verdict::Clean),
            (vec![11], Verdict::Clean),
            (vec![11, 4], Verdict::Malicious),
            (vec![2], Verdict::Malicious),
            (vec![3], Verdict::Malicious),
            (vec![9, 2], Verdict::Malicious),
            (vec![30], Verdict::Malicious),
            (vec![99], Verdict::Suspicious),
            (vec![99, 2], Verdict::Malicious),
        ] {
            assert_eq!(finding(ip, codes.clone()).verdict, expected, "{codes:?}");
        }
        assert_eq!(evidence(&finding(ip, [10])), ["In the policy list: PBL (policy list: no mail servers there)"]);
        assert_eq!(evidence(&finding(ip, [])), ["Listed: no"]);
    }
}
