//! What a browser says it is, in words.

/// Browser and system, as a person calls them: "Firefox on Windows". What they say cannot be relied on; it helps to tell sessions apart.
pub fn in_words(agent: &str) -> String {
    let has = |mark: &str| agent.contains(mark);
    // Most say that they are others too: those who are most particular come first.
    let browser = match () {
        () if agent.trim().is_empty() => return "A program that does not say what it is".into(),
        () if has("Edg/") || has("EdgA/") || has("EdgiOS/") => "Edge",
        () if has("OPR/") || has("Opera") => "Opera",
        () if has("Vivaldi/") => "Vivaldi",
        () if has("SamsungBrowser/") => "Samsung Internet",
        () if has("Firefox/") || has("FxiOS/") => "Firefox",
        () if has("HeadlessChrome/") => "Chrome without a window",
        () if has("Chrome/") || has("CriOS/") || has("Chromium/") => "Chrome",
        () if has("Safari/") => "Safari",
        () if has("Mozilla/") => "A browser",
        // Programs: `curl/8.5.0`.
        () => return agent.split(['/', ' ', '(']).next().unwrap_or_default().chars().take(40).collect(),
    };
    let system = match () {
        () if has("iPhone") => "iPhone",
        () if has("iPad") => "iPad",
        () if has("Android") => "Android",
        () if has("Windows") => "Windows",
        () if has("CrOS") => "ChromeOS",
        () if has("Macintosh") || has("Mac OS X") => "macOS",
        () if has("Linux") || has("X11") => "Linux",
        () => return browser.into(),
    };
    format!("{browser} on {system}")
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn browsers_are_told_as_people_call_them() {
        for (agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                "Chrome on Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0 Mobile/15E148 Safari/604.1",
                "Chrome on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
                "Samsung Internet on Android",
            ),
            ("Mozilla/5.0 (compatible)", "A browser"),
            ("curl/8.5.0", "curl"),
            ("", "A program that does not say what it is"),
        ] {
            assert_eq!(in_words(agent), expected, "{agent}");
        }
    }
}
