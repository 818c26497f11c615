//! Moments told relative to now: "3 minutes ago".
//!
//! The server writes the moment itself, in UTC (it does not know the browser's clock), in `<time data-age datetime=…>`.

use std::time::Duration;

use leptos::{prelude::*, wasm_bindgen::JsCast as _};

/// Tells all ages of the page, now and as they grow.
pub(super) fn start() {
    update();
    set_interval(update, Duration::from_secs(20));
}

/// Tells all ages of the page.
pub(super) fn update() {
    let Ok(times) = document().query_selector_all("time[data-age]") else { return };
    let now = js_sys::Date::now();
    for at in 0..times.length() {
        let Some(time) = times.get(at).and_then(|node| node.dyn_into::<web_sys::Element>().ok()) else { continue };
        let moment = js_sys::Date::parse(&time.get_attribute("datetime").unwrap_or_default());
        if moment.is_finite() {
            // Whole seconds fit.
            #[allow(clippy::cast_possible_truncation)]
            time.set_text_content(Some(&relative(((now - moment) / 1000.0) as i64)));
        }
    }
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
