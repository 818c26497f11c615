//! Any service of one's own that answers a GET with JSON.
//!
//! `path` is put behind the API URL with `{value}` and `{kind}` filled in. The verdict is read in one of two ways:
//!
//! * **A word**: what stands at `verdict_pointer` (a text, a number, a truth value or `null`) is compared, without regard to
//!   case, with the lists `malicious`, `suspicious`, `clean` and `unknown`, in this order. In none of them: a failure.
//! * **A score**, where `score_pointer` is set: from `malicious_from` on malicious, from `suspicious_from` on suspicious, below
//!   clean; `null` is unknown.
//!
//! 404 is unknown. A pointer that leads nowhere is a failure, never a verdict. Files are asked about by their hash.

use async_trait::async_trait;
use gatehouse_domain::{Capabilities, Cause, EngineOption, EngineSpec, Indicator, KeyNeed, Verdict};
use gatehouse_platform::{
    door::OutRequest,
    engine::{Engine, EngineContext, EngineFailure, FileContent, Finding},
};
use serde_json::Value;

use crate::service::{Asked, Document, Reply, asked, encode, look_up, option, shown, web_address, with};

/// What it is and can do.
pub const SPEC: EngineSpec = EngineSpec {
    kind: "custom_http",
    label: "Custom HTTP service",
    summary: "Asks a service of your own about a URL, an IP address or a file's hash, and reads its verdict from the JSON that it answers.",
    api_url: "",
    api_url_example: "https://reputation.example.com/api",
    can: Capabilities { url: true, sender_ip: true, attachment: true },
    starts_with: Capabilities { url: true, sender_ip: true, attachment: true },
    key: KeyNeed::Optional,
    key_label: "API key",
    password_label: None,
    threshold: None,
    uploads: false,
    dns: false,
    notes: &["The key is sent as it is entered. For the header field Authorization that usually means with its scheme: Bearer …"],
    options: &[
        EngineOption {
            name: "path",
            label: "Path",
            help: "Behind the API URL, like /lookup?kind={kind}&value={value}. {value} becomes the URL, the address or the hash, encoded; {kind} becomes url, ip or hash.",
            default: "/lookup?kind={kind}&value={value}",
            check: |value| match value {
                path if !path.starts_with('/') => Err("Begin with a slash.".into()),
                path if !path.contains("{value}") => Err("Write {value} where the URL, the address or the hash belongs.".into()),
                path if path.contains('#') => Err("Leave # out: what follows it is never sent.".into()),
                _ => Ok(()),
            },
        },
        EngineOption {
            name: "check_path",
            label: "Path for Test Connection",
            help: "What Test Connection asks for; any JSON will do. Empty: the path above, with a harmless value.",
            default: "",
            check: |value| match value {
                path if !path.is_empty() && !path.starts_with('/') => Err("Begin with a slash.".into()),
                _ => Ok(()),
            },
        },
        EngineOption {
            name: "key_header",
            label: "Header field for the key",
            help: "Authorization, X-API-Key, API-Key, Key, ApiKey or Auth-Key.",
            default: "Authorization",
            check: |value| match header(value) {
                Some(_) => Ok(()),
                None => Err("Use Authorization, X-API-Key, API-Key, Key, ApiKey or Auth-Key.".into()),
            },
        },
        EngineOption {
            name: "verdict_pointer",
            label: "Where the verdict is",
            help: "A JSON pointer, like /data/verdict.",
            default: "/verdict",
            check: pointer,
        },
        EngineOption {
            name: "malicious",
            label: "Words for malicious",
            help: "With commas between them.",
            default: "malicious,bad,true",
            check: |_| Ok(()),
        },
        EngineOption {
            name: "suspicious",
            label: "Words for suspicious",
            help: "With commas between them.",
            default: "suspicious",
            check: |_| Ok(()),
        },
        EngineOption {
            name: "clean",
            label: "Words for clean",
            help: "With commas between them.",
            default: "clean,benign,harmless,false",
            check: |_| Ok(()),
        },
        EngineOption {
            name: "unknown",
            label: "Words for unknown",
            help: "With commas between them; null stands for no value.",
            default: "unknown,null",
            check: |_| Ok(()),
        },
        EngineOption {
            name: "score_pointer",
            label: "Where the score is",
            help: "A JSON pointer, like /score, for services that give a number instead of a verdict. Empty: the verdict counts.",
            default: "",
            check: |value| if value.is_empty() { Ok(()) } else { pointer(value) },
        },
        EngineOption {
            name: "malicious_from",
            label: "Malicious from",
            help: "The score from which on it is malicious, like 75.",
            default: "",
            check: score,
        },
        EngineOption {
            name: "suspicious_from",
            label: "Suspicious from",
            help: "The score from which on it is suspicious, like 25.",
            default: "",
            check: score,
        },
        EngineOption {
            name: "link_pointer",
            label: "Where a link is",
            help: "A JSON pointer to the address of a page for a person, like /link. Empty: none.",
            default: "",
            check: |value| if value.is_empty() { Ok(()) } else { pointer(value) },
        },
    ],
    timeout_s: 30,
};

fn pointer(value: &str) -> Result<(), String> {
    if value.starts_with('/') { Ok(()) } else { Err("Use a JSON pointer: it begins with a slash, like /data/verdict.".into()) }
}

fn score(value: &str) -> Result<(), String> {
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(()),
        _ if value.is_empty() => Ok(()),
        _ => Err("Use a number, like 75 or 0.8.".into()),
    }
}

/// The field names that a key can go into: a request takes no other than fixed ones.
fn header(name: &str) -> Option<&'static str> {
    ["authorization", "x-api-key", "api-key", "key", "apikey", "auth-key"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(name))
}

/// See the module.
pub struct CustomHttp;

#[async_trait]
impl Engine for CustomHttp {
    fn spec(&self) -> &'static EngineSpec {
        &SPEC
    }

    /// Asks for the path of the test; without one, about something harmless, which must give a verdict.
    async fn check(&self, cx: &EngineContext) -> Result<String, EngineFailure> {
        let own = option(cx, &SPEC, "check_path");
        let path = if own.is_empty() { path(cx, "url", "https://example.com/") } else { own.to_string() };
        let reply = look_up(cx, &SPEC, request(cx, &path)?).await?;
        let key = if cx.api_key.is_empty() { "" } else { " It does not object to the key." };
        match reply {
            Reply::Known(document) if own.is_empty() => {
                let found = finding(cx, &document)?;
                Ok(format!("The service answers: a harmless URL is {}.{key}", found.verdict.as_str()))
            }
            Reply::Known(_) => Ok(format!("The service answers.{key}")),
            Reply::Unknown if own.is_empty() => Ok(format!("The service answers: it does not know a harmless URL (404).{key}")),
            Reply::Unknown => {
                Err(EngineFailure::new(Cause::BadAnswer, "The service does not know the path for Test Connection.")
                    .with_status(404)
                    .with_hint("Check the API URL and the path for Test Connection in the integration's settings."))
            }
        }
    }

    async fn look_up(
        &self, cx: &EngineContext, indicator: &Indicator, _: Option<&FileContent>,
    ) -> Result<Finding, EngineFailure> {
        let path = match asked(&SPEC, indicator)? {
            Asked::Url(url) => path(cx, "url", url),
            Asked::Ip(ip) => path(cx, "ip", &ip.to_string()),
            Asked::Hash(hash) => path(cx, "hash", hash),
        };
        match look_up(cx, &SPEC, request(cx, &path)?).await? {
            Reply::Known(document) => finding(cx, &document),
            Reply::Unknown => Ok(Finding::of(Verdict::Unknown)),
        }
    }
}

fn request(cx: &EngineContext, path: &str) -> Result<OutRequest, EngineFailure> {
    let request = cx.get(path)?;
    Ok(match header(option(cx, &SPEC, "key_header")) {
        Some(name) if !cx.api_key.is_empty() => with(request, name, cx.api_key.clone()),
        _ => request,
    })
}

/// The template with what is asked about. The value comes last: it may hold braces.
fn path(cx: &EngineContext, kind: &str, value: &str) -> String {
    option(cx, &SPEC, "path").replace("{kind}", kind).replace("{value}", &encode(value))
}

fn finding(cx: &EngineContext, document: &Document) -> Result<Finding, EngineFailure> {
    let at_score = option(cx, &SPEC, "score_pointer");
    let found = if at_score.is_empty() { by_word(cx, document)? } else { by_score(cx, document, at_score)? };
    let link = option(cx, &SPEC, "link_pointer");
    let link = if link.is_empty() { None } else { document.get(link).and_then(Value::as_str).and_then(web_address) };
    // A service that shows the key in its links is not to show it here.
    let key = cx.api_key.expose();
    Ok(match link.filter(|link| key.is_empty() || !(link.contains(key) || link.contains(&encode(key)))) {
        Some(link) => found.see(link),
        None => found,
    })
}

fn by_word(cx: &EngineContext, document: &Document) -> Result<Finding, EngineFailure> {
    let pointer = option(cx, &SPEC, "verdict_pointer");
    let word = match document.value().pointer(pointer) {
        Some(Value::String(text)) => text.trim().to_string(),
        Some(Value::Array(_) | Value::Object(_)) | None => return Err(document.lacks(pointer)),
        Some(value) => value.to_string(),
    };
    let word = word.to_lowercase();
    // An empty entry (a comma too many) is no word: it would make a verdict of an empty text.
    let is = |entry: &str| !entry.is_empty() && entry.to_lowercase() == word;
    let of_list = |name: &str| option(cx, &SPEC, name).split(',').any(|entry| is(entry.trim()));
    let lists = [
        ("malicious", Verdict::Malicious),
        ("suspicious", Verdict::Suspicious),
        ("clean", Verdict::Clean),
        ("unknown", Verdict::Unknown),
    ];
    match lists.iter().find(|(name, _)| of_list(name)) {
        // A word of a list is the administrator's own.
        Some((_, verdict)) => Ok(Finding::of(*verdict).because("Verdict", shown(&word).unwrap_or_default())),
        None => Err(EngineFailure::new(
            Cause::BadAnswer,
            format!("The service's verdict at {pointer} is in none of the lists of words."),
        )
        .with_hint("Add the word that the service uses to one of the lists in the integration's settings.")),
    }
}

fn by_score(cx: &EngineContext, document: &Document, pointer: &str) -> Result<Finding, EngineFailure> {
    let limit = |name: &str| option(cx, &SPEC, name).parse::<f64>().ok();
    let (malicious, suspicious) = (limit("malicious_from"), limit("suspicious_from"));
    if malicious.is_none() && suspicious.is_none() {
        return Err(EngineFailure::new(
            Cause::BadAnswer,
            "There is a place for the score, but no limits: no verdict can come of it.",
        )
        .with_hint("Enter the scores from which on something is malicious or suspicious in the integration's settings."));
    }
    let score = match document.value().pointer(pointer) {
        Some(Value::Null) => return Ok(Finding::of(Verdict::Unknown).because("Score", "none")),
        Some(Value::String(text)) => text.trim().parse().ok().filter(|score: &f64| score.is_finite()),
        Some(value) => value.as_f64(),
        None => None,
    };
    let score = score.ok_or_else(|| document.lacks(pointer))?;
    let reaches = |limit: Option<f64>| limit.is_some_and(|limit| score >= limit);
    let verdict = match () {
        () if reaches(malicious) => Verdict::Malicious,
        () if reaches(suspicious) => Verdict::Suspicious,
        () => Verdict::Clean,
    };
    Ok(Finding::of(verdict).because("Score", score))
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{IndicatorKind, Secret};

    use super::*;
    use crate::script::{KEY, Step, context, evidence, indicator};

    const ASKED: &str = "GET /api/lookup?kind=ip&value=192.0.2.7";

    async fn outcome(options: &[(&str, &str)], step: Step<'_>) -> Result<Finding, EngineFailure> {
        let (mut cx, script) = context(&SPEC, &[step]);
        cx.options.extend(options.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let outcome = CustomHttp.look_up(&cx, &indicator(IndicatorKind::Ip, "192.0.2.7"), None).await;
        assert_eq!(script.header(0, "authorization").as_deref(), Some(KEY));
        outcome
    }

    #[tokio::test]
    async fn words() {
        for (body, expected) in [
            (r#"{"verdict": "Malicious"}"#, Ok(Verdict::Malicious)),
            (r#"{"verdict": true}"#, Ok(Verdict::Malicious)),
            (r#"{"verdict": "suspicious"}"#, Ok(Verdict::Suspicious)),
            (r#"{"verdict": " BENIGN "}"#, Ok(Verdict::Clean)),
            (r#"{"verdict": false}"#, Ok(Verdict::Clean)),
            (r#"{"verdict": null}"#, Ok(Verdict::Unknown)),
            (r#"{"verdict": "unknown"}"#, Ok(Verdict::Unknown)),
            (r#"{"verdict": ""}"#, Err(Cause::BadAnswer)),
            (r#"{"verdict": "other"}"#, Err(Cause::BadAnswer)),
            (r#"{"verdict": {}}"#, Err(Cause::BadAnswer)),
            (r#"{"verdict": ["clean"]}"#, Err(Cause::BadAnswer)),
            ("{}", Err(Cause::BadAnswer)),
            ("", Err(Cause::BadAnswer)),
        ] {
            let found = outcome(&[], (ASKED, 200, body)).await;
            assert_eq!(found.map(|f| f.verdict).map_err(|f| f.cause), expected, "{body}");
        }
        for (status, expected) in [
            (404, Ok(Verdict::Unknown)),
            (401, Err(Cause::KeyRejected)),
            (429, Err(Cause::QuotaExceeded)),
            (500, Err(Cause::EngineError)),
        ] {
            let found = outcome(&[], (ASKED, status, "{}")).await;
            assert_eq!(found.map(|f| f.verdict).map_err(|f| f.cause), expected, "{status}");
        }
        let found = outcome(&[("clean", "clean,")], (ASKED, 200, r#"{"verdict": ""}"#)).await;
        assert_eq!(found.unwrap_err().cause, Cause::BadAnswer);
        let options = [("verdict_pointer", "/data/0/level"), ("malicious", "3, 4"), ("clean", "0")];
        let found = outcome(&options, (ASKED, 200, r#"{"data": [{"level": 4}]}"#)).await.unwrap();
        assert_eq!((found.verdict, evidence(&found)), (Verdict::Malicious, vec!["Verdict: 4".to_string()]));
    }

    #[tokio::test]
    async fn scores() {
        let options = [("score_pointer", "/score"), ("malicious_from", "0.8"), ("suspicious_from", "0.5")];
        for (body, expected) in [
            (r#"{"score": 0.8}"#, Ok(Verdict::Malicious)),
            (r#"{"score": "0.6"}"#, Ok(Verdict::Suspicious)),
            (r#"{"score": 0, "verdict": "malicious"}"#, Ok(Verdict::Clean)),
            (r#"{"score": null}"#, Ok(Verdict::Unknown)),
            (r#"{"score": "NaN"}"#, Err(Cause::BadAnswer)),
            (r#"{"score": "high"}"#, Err(Cause::BadAnswer)),
            (r#"{"verdict": "clean"}"#, Err(Cause::BadAnswer)),
        ] {
            let found = outcome(&options, (ASKED, 200, body)).await;
            assert_eq!(found.map(|f| f.verdict).map_err(|f| f.cause), expected, "{body}");
        }
        let found = outcome(&options[..1], (ASKED, 200, r#"{"score": 1}"#)).await;
        assert_eq!(found.unwrap_err().cause, Cause::BadAnswer);
    }

    #[tokio::test]
    async fn links_are_web_addresses_without_the_key() {
        for (link, expected) in [
            ("https://a.test/report/1", Some("https://a.test/report/1")),
            ("javascript:alert(1)", None),
            ("https://a.test/?key=key+4711/0815", None),
            ("https://a.test/?key=key%2B4711%2F0815", None),
        ] {
            let body = serde_json::json!({"verdict": "bad", "link": link}).to_string();
            let found = outcome(&[("link_pointer", "/link")], (ASKED, 200, &body)).await.unwrap();
            assert_eq!(found.link.as_deref(), expected, "{link}");
        }
    }

    #[tokio::test]
    async fn the_template_is_filled_in() {
        let asked = "GET /api/v/url/http%3A%2F%2Fa.test%2F%7Bkind%7D";
        let (mut cx, script) = context(&SPEC, &[(asked, 200, r#"{"verdict": "clean"}"#)]);
        cx.options.insert("path".into(), "/v/{kind}/{value}".into());
        cx.options.insert("key_header".into(), "X-API-Key".into());
        let found = CustomHttp.look_up(&cx, &indicator(IndicatorKind::Url, "http://a.test/{kind}"), None).await.unwrap();
        assert_eq!(found.verdict, Verdict::Clean);
        assert_eq!(script.header(0, "x-api-key").as_deref(), Some(KEY));

        let (mut cx, script) = context(&SPEC, &[("GET /api/lookup?kind=hash&value=44d88612fea8a8f36de82e1278abb02f", 404, "")]);
        cx.api_key = Secret::default();
        let hash = indicator(IndicatorKind::File, "44d88612fea8a8f36de82e1278abb02f");
        assert_eq!(CustomHttp.look_up(&cx, &hash, None).await.unwrap().verdict, Verdict::Unknown);
        assert_eq!(script.header(0, "authorization"), None);
    }

    #[tokio::test]
    async fn the_check_wants_an_answer_that_can_be_read() {
        let asked = "GET /api/lookup?kind=url&value=https%3A%2F%2Fexample.com%2F";
        for (own, asked, status, body, expected) in [
            ("", asked, 200, r#"{"verdict": "clean"}"#, None),
            ("", asked, 404, "{}", None),
            ("", asked, 200, r#"{"hello": 1}"#, Some(Cause::BadAnswer)),
            ("", asked, 401, "", Some(Cause::KeyRejected)),
            ("/health", "GET /api/health", 200, r#"{"up": true}"#, None),
            ("/health", "GET /api/health", 200, "<html>", Some(Cause::BadAnswer)),
            ("/health", "GET /api/health", 404, "{}", Some(Cause::BadAnswer)),
        ] {
            let (mut cx, _) = context(&SPEC, &[(asked, status, body)]);
            cx.options.insert("check_path".into(), own.into());
            assert_eq!(CustomHttp.check(&cx).await.err().map(|f| f.cause), expected, "{asked} {status} {body}");
        }
    }

    #[test]
    fn options_are_checked() {
        let check = |name: &str, value: &str| (SPEC.options.iter().find(|o| o.name == name).unwrap().check)(value).is_ok();
        for (name, value, right) in [
            ("path", "/x/{value}", true),
            ("path", "x/{value}", false),
            ("path", "/x", false),
            ("key_header", "x-api-KEY", true),
            ("key_header", "Cookie", false),
            ("key_header", "", false),
            ("verdict_pointer", "verdict", false),
            ("malicious_from", "0.5", true),
            ("malicious_from", "inf", false),
            ("malicious_from", "many", false),
            ("check_path", "health", false),
        ] {
            assert_eq!(check(name, value), right, "{name} {value}");
        }
    }
}
