//! The addresses of the proxy settings' screens: what a list shows stands in its URL, so that it can be shared and the back
//! button works.

use gatehouse_domain::{FieldErrors, ProxyQuery, ProxySort, SortField};

/// The list.
pub const LIST: &str = "/company/settings/proxies";
/// The form for a new one.
pub const NEW: &str = "/company/settings/proxies/new";

/// The form of one setting.
#[must_use]
pub fn edit(id: &str) -> String {
    format!("{LIST}/{id}")
}

/// The page that asks before one is deleted.
#[must_use]
pub fn delete(id: &str) -> String {
    format!("{LIST}/{id}/delete")
}

/// The page that asks before one becomes the default, when somebody's traffic moves by that.
#[must_use]
pub fn make_default(id: &str) -> String {
    format!("{LIST}/{id}/default")
}

/// Name and value of each parameter of a query string, decoded once.
///
/// The router's own map decodes twice: a search for `%41` would become one for `A`.
#[must_use]
pub fn pairs(search: &str) -> Vec<(String, String)> {
    let search = search.strip_prefix('?').unwrap_or(search);
    search
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

/// What a list's URL asks for, and what of it could not be understood. A wrong parameter takes none of the others with it.
#[must_use]
pub fn query(search: &str) -> (ProxyQuery, FieldErrors) {
    let pairs = pairs(search);
    // Others put parameters of their own on a link (a flash message, a campaign): those are not ours to judge.
    let known = |key: &str| !matches!(key, "flash" | "name" | "host" | "port") && KNOWN.contains(&key);
    let ours = || pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).filter(|(k, _)| known(k));
    match ProxyQuery::from_pairs(ours()) {
        Ok(query) => (query, FieldErrors::new()),
        Err(errors) => {
            let right = ours().filter(|(k, _)| errors.get(k).is_none());
            (ProxyQuery::from_pairs(right).unwrap_or_default(), errors)
        }
    }
}

/// The parameters that the list's screen knows.
const KNOWN: &[&str] = &["q", "sort", "authentication", "scheme", "is_default", "limit", "cursor"];

/// The parameters that say what `query` asks for; what is the default is left out.
#[must_use]
pub fn params(query: &ProxyQuery) -> Vec<(&'static str, String)> {
    let mut params = Vec::new();
    let mut add = |key, value: Option<String>| params.extend(value.map(|value| (key, value)));
    add("q", Some(query.q.clone()).filter(|q| !q.is_empty()));
    add("authentication", query.authentication.map(|a| a.to_string()));
    add("scheme", query.scheme.map(|s| s.to_string()));
    add("is_default", query.is_default.map(|d| d.to_string()));
    add("sort", Some(query.sort).filter(|s| *s != ProxySort::default()).map(|s| s.to_string()));
    add("limit", Some(query.limit).filter(|l| *l != ProxyQuery::DEFAULT_LIMIT).map(|l| l.to_string()));
    add("cursor", query.cursor.clone());
    params
}

/// The list as `query` asks for it.
#[must_use]
pub fn list(query: &ProxyQuery) -> String {
    with_params(LIST, params(query))
}

/// The list as `query` asks for it, with a message about what was just done.
#[must_use]
pub fn list_with_flash(query: &ProxyQuery, flash: &str) -> String {
    let mut params = params(query);
    params.push(("flash", flash.to_string()));
    with_params(LIST, params)
}

/// A path with these parameters, encoded.
#[must_use]
pub fn with_params(path: &str, params: Vec<(&'static str, String)>) -> String {
    let mut url = path.to_string();
    for (n, (key, value)) in params.into_iter().enumerate() {
        url.push(if n == 0 { '?' } else { '&' });
        url.push_str(key);
        url.push('=');
        encode_into(&mut url, &value);
    }
    url
}

/// The list sorted by this column; by the same column again, the other way round. A cursor belongs to one order only.
#[must_use]
pub fn sorted(query: &ProxyQuery, field: SortField) -> String {
    let descending = query.sort.field == field && !query.sort.descending;
    list(&ProxyQuery { sort: ProxySort { field, descending }, cursor: None, ..query.clone() })
}

/// The next page.
#[must_use]
pub fn next(query: &ProxyQuery, cursor: &str) -> String {
    list(&ProxyQuery { cursor: Some(cursor.to_string()), ..query.clone() })
}

/// The first page.
#[must_use]
pub fn first(query: &ProxyQuery) -> String {
    list(&ProxyQuery { cursor: None, ..query.clone() })
}

/// Everything, in the same order.
#[must_use]
pub fn unfiltered(query: &ProxyQuery) -> String {
    list(&ProxyQuery { sort: query.sort, limit: query.limit, ..ProxyQuery::default() })
}

/// One encoding in the browser and on the server: the router's own differ between the two.
fn encode_into(url: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(byte)),
            b' ' => url.push('+'),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                url.push('%');
                url.push(char::from(HEX[usize::from(byte >> 4)]));
                url.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

/// The other way; what is not a right encoding stays as it is.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match (byte, digit(at), digit(at + 1)) {
            (b'%', Some(high), Some(low)) => {
                out.push(high * 16 + low);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{Authentication, Scheme};

    use super::*;

    #[test]
    fn a_plain_list_has_a_plain_url() {
        assert_eq!(list(&ProxyQuery::default()), LIST);
    }

    #[test]
    fn what_a_url_says_is_read_back() {
        let query_in = ProxyQuery {
            q: "100% bücher & %41+b".into(),
            sort: ProxySort { field: SortField::CreatedAt, descending: true },
            authentication: Some(Authentication::Basic),
            scheme: Some(Scheme::Socks5h),
            is_default: Some(false),
            limit: 10,
            cursor: Some("a+/=&".into()),
            ..ProxyQuery::default()
        };
        let url = list(&query_in);
        let (_, search) = url.split_once('?').expect("parameters");
        assert_eq!(query(search), (query_in, FieldErrors::new()), "{url}");
    }

    #[test]
    fn a_wrong_parameter_takes_no_other_with_it() {
        let (query, errors) = query("?q=corp&sort=size&flash=saved&utm_source=x&scheme=ftp&authentication=basic");
        assert_eq!(query.q, "corp");
        assert_eq!(query.authentication, Some(Authentication::Basic));
        assert_eq!(query.sort, ProxySort::default());
        assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["scheme", "sort"]);
    }

    #[test]
    fn sorting_turns_round_and_starts_at_the_first_page() {
        let query = ProxyQuery { q: "a".into(), cursor: Some("c".into()), ..ProxyQuery::default() };
        assert_eq!(sorted(&query, SortField::Name), format!("{LIST}?q=a&sort=-name"));
        assert_eq!(sorted(&query, SortField::Port), format!("{LIST}?q=a&sort=port"));
        let back = ProxyQuery { sort: ProxySort { field: SortField::Name, descending: true }, ..query.clone() };
        assert_eq!(sorted(&back, SortField::Name), format!("{LIST}?q=a"));
        assert_eq!(first(&query), format!("{LIST}?q=a"));
        assert_eq!(next(&query, "d"), format!("{LIST}?q=a&cursor=d"));
        assert_eq!(unfiltered(&back), format!("{LIST}?sort=-name"));
        assert_eq!(list_with_flash(&first_page(&query), "saved"), format!("{LIST}?q=a&flash=saved"));
    }

    fn first_page(query: &ProxyQuery) -> ProxyQuery {
        ProxyQuery { cursor: None, ..query.clone() }
    }

    #[test]
    fn a_damaged_encoding_stays() {
        assert_eq!(decode("100%+%4"), "100% %4");
        assert_eq!(decode("%ff"), "\u{fffd}");
        assert_eq!(pairs("?a&b=&=c"), [("a".into(), String::new()), ("b".into(), String::new()), (String::new(), "c".into())]);
    }
}
