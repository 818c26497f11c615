//! Lists: what is asked for, and one page of it.

use serde::{Deserialize, Serialize};

use crate::{Authentication, FieldErrors, Scheme, host::Port};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// In the order asked for.
    pub items: Vec<T>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

/// What a list of proxy settings is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortField {
    /// Name, without regard to case.
    Name,
    /// Host, A-label form.
    Host,
    /// Port.
    Port,
    /// Transparent before Basic or the other way.
    Authentication,
    /// Whether it is the default.
    IsDefault,
    /// When it was made.
    CreatedAt,
}

impl SortField {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Name, Self::Host, Self::Port, Self::Authentication, Self::IsDefault, Self::CreatedAt];

    /// As in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Host => "host",
            Self::Port => "port",
            Self::Authentication => "authentication",
            Self::IsDefault => "is_default",
            Self::CreatedAt => "created_at",
        }
    }
}

/// A field and a direction; on the wire `name` or `-created_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProxySort {
    /// By what.
    pub field: SortField,
    /// Largest first.
    pub descending: bool,
}

impl Default for ProxySort {
    fn default() -> Self {
        Self { field: SortField::Name, descending: false }
    }
}

impl std::fmt::Display for ProxySort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.descending { "-" } else { "" }, self.field.as_str())
    }
}

impl std::str::FromStr for ProxySort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        SortField::ALL.into_iter().find(|f| f.as_str() == name).map(|field| Self { field, descending }).ok_or_else(|| {
            let all: Vec<_> = SortField::ALL.iter().map(|f| f.as_str()).collect();
            format!("Sort by one of {}; a minus in front turns the order round.", all.join(", "))
        })
    }
}

/// What a list of proxy settings is asked for. The same names stand in the page's URL and in the API.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProxyQuery {
    /// Searched for in name, host and user name, without regard to case.
    pub q: String,
    /// Order.
    pub sort: ProxySort,
    /// Only these.
    pub authentication: Option<Authentication>,
    /// Only these.
    pub scheme: Option<Scheme>,
    /// Only the default, or all others.
    pub is_default: Option<bool>,
    /// Only these.
    pub port: Option<Port>,
    /// Exactly this name, without regard to case.
    pub name: Option<String>,
    /// Exactly this host.
    pub host: Option<String>,
    /// Items on a page, 1 to 200.
    pub limit: u16,
    /// Where to go on; opaque.
    pub cursor: Option<String>,
}

impl Default for ProxyQuery {
    fn default() -> Self {
        Self {
            q: String::new(),
            sort: ProxySort::default(),
            authentication: None,
            scheme: None,
            is_default: None,
            port: None,
            name: None,
            host: None,
            limit: Self::DEFAULT_LIMIT,
            cursor: None,
        }
    }
}

impl ProxyQuery {
    /// Items on a page unless asked otherwise.
    pub const DEFAULT_LIMIT: u16 = 50;
    /// At most.
    pub const MAX_LIMIT: u16 = 200;

    /// Reads the parameters of a URL. Empty ones count as left out.
    ///
    /// # Errors
    /// Each wrong or unknown parameter with what would be right.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FieldErrors> {
        let mut query = Self::default();
        let mut errors = FieldErrors::new();
        for (key, value) in pairs {
            if value.is_empty() {
                continue;
            }
            match key {
                "q" => query.q = value.trim().chars().take(200).collect(),
                "sort" => query.sort = errors.check(key, value.parse()).unwrap_or_default(),
                "authentication" => query.authentication = errors.check(key, value.parse()),
                "scheme" => query.scheme = errors.check(key, value.parse()),
                "is_default" => query.is_default = errors.check(key, value.parse::<bool>().map_err(|_| "Use true or false.")),
                "port" => query.port = errors.check(key, Port::parse(value)),
                "name" => query.name = Some(value.to_string()),
                "host" => query.host = Some(value.to_string()),
                "limit" => match value.parse::<u16>() {
                    Ok(limit) if (1..=Self::MAX_LIMIT).contains(&limit) => query.limit = limit,
                    _ => errors.add(key, format!("Use a number from 1 to {}.", Self::MAX_LIMIT)),
                },
                "cursor" => query.cursor = Some(value.to_string()),
                _ => errors.add(key, "There is no such filter."),
            }
        }
        if errors.is_empty() { Ok(query) } else { Err(errors) }
    }

    /// Whether anything narrows the list: an empty answer then means "no matches", not "nothing yet".
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        let Self { q, authentication, scheme, is_default, port, name, host, .. } = self;
        !q.is_empty()
            || authentication.is_some()
            || scheme.is_some()
            || is_default.is_some()
            || port.is_some()
            || name.is_some()
            || host.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_what_is_wrong_is_named() {
        let query =
            ProxyQuery::from_pairs([("q", " corp "), ("sort", "-created_at"), ("authentication", "basic"), ("scheme", "")])
                .expect("right");
        assert_eq!((query.q.as_str(), query.sort.to_string().as_str()), ("corp", "-created_at"));
        assert!(query.is_filtered());
        let errors = ProxyQuery::from_pairs([("sort", "size"), ("limit", "201"), ("is_default", "1"), ("colour", "red")])
            .expect_err("wrong");
        assert_eq!(errors.0.len(), 4);
    }
}
