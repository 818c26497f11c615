//! The addresses of these screens: what the list shows stands in its URL, so that it can be shared and the back button works.

use gatehouse_domain::{FieldErrors, IntegrationQuery};

use crate::islands::proxies::urls::{pairs, with_params};

/// The list.
pub const LIST: &str = "/incident-responder/integrations";
/// Where a new one begins: with its type.
pub const NEW: &str = "/incident-responder/integrations/new";

/// The form for a new one of this type.
pub fn new_of(kind: &str) -> String {
    with_params(NEW, vec![("type", kind.to_string())])
}

/// The form of one integration.
pub fn edit(id: &str) -> String {
    format!("{LIST}/{id}")
}

/// The page that asks before one is deleted.
pub fn delete(id: &str) -> String {
    format!("{LIST}/{id}/delete")
}

/// The parameters that the list's screen knows.
const KNOWN: &[&str] = &["q", "sort", "type", "status", "tag", "proxy", "limit", "cursor"];

/// What a list's URL asks for, and what of it could not be understood. A wrong parameter takes none of the others with it;
/// one that is not ours (a flash message) is not ours to judge.
pub fn query(search: &str) -> (IntegrationQuery, FieldErrors) {
    let pairs = pairs(search);
    let ours = || pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).filter(|(k, _)| KNOWN.contains(k));
    match IntegrationQuery::from_pairs(ours()) {
        Ok(query) => (query, FieldErrors::new()),
        Err(errors) => {
            let right = ours().filter(|(k, _)| errors.get(k).is_none());
            (IntegrationQuery::from_pairs(right).unwrap_or_default(), errors)
        }
    }
}

fn params(query: &IntegrationQuery) -> Vec<(&'static str, String)> {
    let usual = IntegrationQuery::default();
    let mut params = Vec::new();
    let mut add = |key, value: Option<String>| params.extend(value.map(|value| (key, value)));
    add("q", Some(query.q.clone()).filter(|q| !q.is_empty()));
    add("type", query.kind.clone());
    add("status", query.status.map(|status| status.to_string()));
    add("tag", query.tag.clone());
    add("proxy", query.proxy.as_ref().map(|proxy| proxy.to_field().to_string()));
    add("sort", Some(query.sort.clone()).filter(|sort| *sort != usual.sort));
    add("limit", Some(query.limit).filter(|limit| *limit != usual.limit).map(|limit| limit.to_string()));
    add("cursor", query.cursor.clone());
    params
}

/// The list as `query` asks for it.
pub fn list(query: &IntegrationQuery) -> String {
    with_params(LIST, params(query))
}

/// The list as `query` asks for it, with a message about what was just done.
pub fn list_with_flash(query: &IntegrationQuery, flash: &str) -> String {
    let mut params = params(query);
    params.push(("flash", flash.to_string()));
    with_params(LIST, params)
}

/// The list sorted by this column; by the same column again, the other way round. A cursor belongs to one order only.
pub fn sorted(query: &IntegrationQuery, field: &str) -> String {
    let sort = if query.sort == field { format!("-{field}") } else { field.to_string() };
    list(&IntegrationQuery { sort, cursor: None, ..query.clone() })
}

/// Those with this tag.
pub fn tagged(query: &IntegrationQuery, tag: &str) -> String {
    list(&IntegrationQuery { tag: Some(tag.to_string()), cursor: None, ..query.clone() })
}

/// The next page.
pub fn next(query: &IntegrationQuery, cursor: &str) -> String {
    list(&IntegrationQuery { cursor: Some(cursor.to_string()), ..query.clone() })
}

/// The first page.
pub fn first(query: &IntegrationQuery) -> String {
    list(&IntegrationQuery { cursor: None, ..query.clone() })
}

/// Everything, in the same order.
pub fn unfiltered(query: &IntegrationQuery) -> String {
    list(&IntegrationQuery { sort: query.sort.clone(), limit: query.limit, ..IntegrationQuery::default() })
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{IntegrationStatus, ProxyChoice};

    use super::*;

    #[test]
    fn what_a_url_says_is_read_back() {
        assert_eq!(list(&IntegrationQuery::default()), LIST);
        let asked = IntegrationQuery {
            q: "100% & %41".into(),
            sort: "-created_at".into(),
            kind: Some("virustotal".into()),
            status: Some(IntegrationStatus::Active),
            tag: Some("e-mail & web".into()),
            proxy: Some(ProxyChoice::None),
            limit: 10,
            cursor: Some("0190".into()),
            ..IntegrationQuery::default()
        };
        let url = list(&asked);
        let search = url.split_once('?').map(|(_, search)| search).unwrap_or_default();
        assert_eq!(query(search), (asked, FieldErrors::new()), "{url}");
    }

    #[test]
    fn a_wrong_parameter_takes_no_other_with_it() {
        let (query, errors) = query("?q=vt&sort=size&flash=saved&status=on");
        assert_eq!((query.q.as_str(), query.sort.as_str()), ("vt", "name"));
        assert_eq!(errors.0.keys().collect::<Vec<_>>(), ["sort", "status"]);
    }

    #[test]
    fn sorting_turns_round() {
        let query = IntegrationQuery { cursor: Some("c".into()), ..IntegrationQuery::default() };
        assert_eq!(sorted(&query, "name"), format!("{LIST}?sort=-name"));
        assert_eq!(sorted(&query, "type"), format!("{LIST}?sort=type"));
        assert_eq!(tagged(&query, "a b"), format!("{LIST}?tag=a+b"));
    }
}
