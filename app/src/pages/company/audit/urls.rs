//! The addresses of the audit log: what it shows stands in its URL.

use gatehouse_domain::{AuditQuery, FieldErrors};

use crate::{
    islands::proxies::urls::{pairs, with_params},
    pages::incident_responder::traffic::urls::{moment, with_zone},
};

/// The page.
pub const PAGE: &str = "/company/settings/audit";
/// The same entries, all of them, for a program.
const EXPORT: &str = "/api/v1/audit.jsonl";

/// The parameters of the list. Others may put their own on a link: not ours to judge.
const KNOWN: &[&str] = &["q", "who", "operation", "target", "from", "to", "limit", "cursor"];

/// What the page's URL asks for, and what of it could not be understood. A wrong parameter takes none of the others with it.
pub fn read(search: &str) -> (AuditQuery, FieldErrors) {
    let mut pairs = pairs(search);
    for (key, value) in &mut pairs {
        if matches!(key.as_str(), "from" | "to") {
            *value = with_zone(value);
        }
    }
    let ours = || pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(|(key, _)| KNOWN.contains(key));
    match AuditQuery::from_pairs(ours()) {
        Ok(query) => (query, FieldErrors::new()),
        Err(errors) => {
            let right = ours().filter(|(key, _)| errors.get(key).is_none());
            (AuditQuery::from_pairs(right).unwrap_or_else(|_| everything()), errors)
        }
    }
}

/// Without any filter.
pub fn everything() -> AuditQuery {
    AuditQuery { limit: AuditQuery::DEFAULT_LIMIT, ..AuditQuery::default() }
}

/// Everything that narrows the list.
fn filters(query: &AuditQuery) -> Vec<(&'static str, String)> {
    let mut params = Vec::new();
    let mut add = |key, value: Option<String>| params.extend(value.map(|value| (key, value)));
    add("q", Some(query.q.clone()).filter(|q| !q.is_empty()));
    add("who", query.who.clone());
    add("operation", query.operation.clone());
    add("target", query.target.clone());
    add("from", query.from.map(moment));
    add("to", query.to.map(moment));
    params
}

/// What is no filter and stays when the filters change.
pub fn kept(query: &AuditQuery) -> Vec<(&'static str, String)> {
    let limit = Some(query.limit).filter(|limit| *limit != AuditQuery::DEFAULT_LIMIT);
    limit.map(|limit| ("limit", limit.to_string())).into_iter().collect()
}

/// The page that begins before this entry, or the first one.
pub fn page(query: &AuditQuery, cursor: Option<String>) -> String {
    let mut params = filters(query);
    params.extend(kept(query));
    params.extend(cursor.map(|cursor| ("cursor", cursor)));
    with_params(PAGE, params)
}

/// The first page of everything.
pub fn unfiltered(query: &AuditQuery) -> String {
    page(&AuditQuery { limit: query.limit, ..everything() }, None)
}

/// The first page of what was done to one thing, or to all.
pub fn of_target(query: &AuditQuery, id: Option<&str>) -> String {
    page(&AuditQuery { target: id.map(ToString::to_string), ..query.clone() }, None)
}

/// The same entries in a file.
pub fn export(query: &AuditQuery) -> String {
    with_params(EXPORT, filters(query))
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::Timestamp;

    use super::*;

    #[test]
    fn what_a_url_says_is_read_back() {
        assert_eq!(page(&everything(), None), PAGE);
        let at = |seconds| Timestamp::from_timestamp(seconds, 0);
        let query = AuditQuery {
            q: "corp-eu & 100%".into(),
            who: Some("Jo@example.com".into()),
            operation: Some("createProxy".into()),
            target: Some("p1".into()),
            from: at(1_700_000_000),
            to: at(1_700_003_600),
            limit: 20,
            cursor: None,
        };
        let url = page(&query, Some("7".into()));
        let (_, search) = url.split_once('?').expect("parameters");
        assert_eq!(read(search), (AuditQuery { cursor: Some(7), ..query.clone() }, FieldErrors::new()), "{url}");
        assert_eq!(unfiltered(&query), format!("{PAGE}?limit=20"));
        assert!(export(&query).starts_with("/api/v1/audit.jsonl?q=") && !export(&query).contains("limit"));
        assert!(!of_target(&query, None).contains("target"));
    }

    #[test]
    fn a_wrong_part_takes_no_other_with_it() {
        let (query, errors) = read("q=a&operation=nothing&from=2023-11-14T22%3A13&flash=saved");
        assert_eq!((query.q.as_str(), query.operation, query.limit), ("a", None, 50));
        assert_eq!(query.from.map(moment).as_deref(), Some("2023-11-14T22:13:00Z"));
        assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["operation"]);
    }
}
