//! A moment, told relative to now.

use gatehouse_domain::Timestamp;
use leptos::prelude::*;

use crate::page::use_hydrated;

/// "3 minutes ago". The server, and the browser until it has taken over, says the moment itself in UTC: a clock would
/// make the two differ.
#[component]
pub fn Age(
    /// The moment.
    at: Timestamp,
) -> impl IntoView {
    let absolute = at.format("%Y-%m-%d %H:%M UTC").to_string();
    let machine = at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let hydrated = use_hydrated();
    let text = absolute.clone();
    view! {
        <time datetime=machine title=absolute>
            {move || if hydrated.get() { relative(now_seconds() - at.timestamp()) } else { text.clone() }}
        </time>
    }
    .into_any()
}

/// Seconds since 1970 by the browser's clock.
fn now_seconds() -> i64 {
    #[cfg(feature = "hydrate")]
    {
        // Whole seconds fit.
        #[allow(clippy::cast_possible_truncation)]
        {
            (js_sys::Date::now() / 1000.0) as i64
        }
    }
    #[cfg(not(feature = "hydrate"))]
    0
}

fn relative(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let (count, unit) = match seconds {
        // Clocks differ a little: a moment in the near future is now.
        ..45 => return "just now".to_string(),
        45..HOUR => ((seconds + 30) / MINUTE, "minute"),
        HOUR..DAY => (seconds / HOUR, "hour"),
        DAY.. => match seconds / DAY {
            days @ ..31 => (days, "day"),
            days @ 31..365 => (days / 30, "month"),
            days => (days / 365, "year"),
        },
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_largest_unit_that_fits() {
        for (seconds, expected) in [
            (-20, "just now"),
            (0, "just now"),
            (44, "just now"),
            (45, "1 minute ago"),
            (180, "3 minutes ago"),
            (3599, "60 minutes ago"),
            (3600, "1 hour ago"),
            (2 * 86400, "2 days ago"),
            (40 * 86400, "1 month ago"),
            (800 * 86400, "2 years ago"),
        ] {
            assert_eq!(relative(seconds), expected, "{seconds}");
        }
    }
}
