//! The addresses of these screens: what the list shows stands in its URL.

use gatehouse_domain::{AnalysisQuery, FieldErrors};

use crate::islands::proxies::urls::{pairs, with_params};

/// The list, and where its form is posted.
pub const LIST: &str = "/incident-responder/analyses";

/// The page of one analysis.
#[must_use]
pub fn page(id: &str) -> String {
    format!("{LIST}/{id}")
}

/// The parameters that the list knows. Others may put their own on a link (a flash message, a campaign): not ours to judge.
const KNOWN: &[&str] = &["q", "verdict", "status", "kind", "sort", "limit", "cursor"];

/// What a list's URL asks for, and what of it could not be understood. A wrong parameter takes none of the others with it.
#[must_use]
pub fn query(search: &str) -> (AnalysisQuery, FieldErrors) {
    let pairs = pairs(search);
    let ours = || pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(|(key, _)| KNOWN.contains(key));
    match AnalysisQuery::from_pairs(ours()) {
        Ok(query) => (query, FieldErrors::new()),
        Err(errors) => {
            let right = ours().filter(|(key, _)| errors.get(key).is_none());
            (AnalysisQuery::from_pairs(right).unwrap_or_default(), errors)
        }
    }
}

/// The list as `query` asks for it; what is the default is left out.
#[must_use]
pub fn list(query: &AnalysisQuery) -> String {
    let mut params = Vec::new();
    let mut add = |key, value: Option<String>| params.extend(value.map(|value| (key, value)));
    add("q", Some(query.q.clone()).filter(|q| !q.is_empty()));
    add("verdict", query.verdict.map(|verdict| verdict.to_string()));
    add("kind", query.kind.map(|kind| kind.to_string()));
    add("status", query.status.map(|status| status.to_string()));
    add("sort", query.ascending.then(|| "created_at".to_string()));
    add("limit", Some(query.limit).filter(|limit| *limit != AnalysisQuery::default().limit).map(|limit| limit.to_string()));
    add("cursor", query.cursor.clone());
    with_params(LIST, params)
}

/// The list the other way round. A cursor belongs to one order only.
#[must_use]
pub fn turned_round(query: &AnalysisQuery) -> String {
    list(&AnalysisQuery { ascending: !query.ascending, cursor: None, ..query.clone() })
}

/// The next page.
#[must_use]
pub fn next(query: &AnalysisQuery, cursor: &str) -> String {
    list(&AnalysisQuery { cursor: Some(cursor.to_string()), ..query.clone() })
}

/// The first page.
#[must_use]
pub fn first(query: &AnalysisQuery) -> String {
    list(&AnalysisQuery { cursor: None, ..query.clone() })
}

/// Everything, in the same order.
#[must_use]
pub fn unfiltered(query: &AnalysisQuery) -> String {
    list(&AnalysisQuery { ascending: query.ascending, limit: query.limit, ..AnalysisQuery::default() })
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{AnalysisStatus, SubjectKind, Verdict};

    use super::*;

    #[test]
    fn what_a_url_says_is_read_back() {
        assert_eq!(list(&AnalysisQuery::default()), LIST);
        let asked = AnalysisQuery {
            q: "https://example.com/?a=b&c=%41 +ü".into(),
            verdict: Some(Verdict::Malicious),
            status: Some(AnalysisStatus::Done),
            kind: Some(SubjectKind::Email),
            ascending: true,
            limit: 20,
            cursor: Some("a+/=&".into()),
        };
        let url = list(&asked);
        let (_, search) = url.split_once('?').expect("parameters");
        assert_eq!(query(search), (asked, FieldErrors::new()), "{url}");
    }

    #[test]
    fn a_wrong_parameter_takes_no_other_with_it() {
        let (query, errors) = query("?q=a&verdict=evil&sort=size&flash=saved&kind=url");
        assert_eq!((query.q.as_str(), query.kind, query.verdict), ("a", Some(SubjectKind::Url), None));
        assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["sort", "verdict"]);
    }

    #[test]
    fn other_orders_and_filters_start_at_the_first_page() {
        let query = AnalysisQuery { q: "a".into(), cursor: Some("c".into()), ..AnalysisQuery::default() };
        assert_eq!(turned_round(&query), format!("{LIST}?q=a&sort=created_at"));
        assert_eq!(first(&query), format!("{LIST}?q=a"));
        assert_eq!(next(&query, "d"), format!("{LIST}?q=a&cursor=d"));
        assert_eq!(unfiltered(&query), LIST);
        assert_eq!(page("1"), format!("{LIST}/1"));
    }
}
