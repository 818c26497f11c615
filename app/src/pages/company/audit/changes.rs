//! Before and after, field by field, as a person reads it.

use gatehouse_domain::AuditEntry;
use serde_json::{Map, Value};

/// One field of what was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is called.
    pub field: String,
    /// As it was; `None`: it was not there.
    pub before: Option<String>,
    /// As it is; `None`: it is not there any more.
    pub after: Option<String>,
}

/// The fields of an entry, by name.
pub fn of(entry: &AuditEntry) -> Vec<Change> {
    let none = Map::new();
    let (before, after) = (entry.before.as_ref().unwrap_or(&none), entry.after.as_ref().unwrap_or(&none));
    let fields: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change =
        |field: &String| Change { field: name(field), before: before.get(field).map(text), after: after.get(field).map(text) };
    fields.into_iter().map(change).collect()
}

/// `is_default` is "Is default".
fn name(field: &str) -> String {
    let words = field.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) if text.is_empty() => "empty".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "nothing".into(),
        Value::Object(fields) => fields
            .iter()
            .map(|(field, value)| format!("{}: {}", field.replace('_', " "), text(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Number(number) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_told_in_words() {
        for (value, expected) in [
            (json!(null), "nothing"),
            (json!(true), "yes"),
            (json!(""), "empty"),
            (json!(["a", 2]), "a, 2"),
            (json!([]), "none"),
            (json!({"choice": "setting", "id": "p1"}), "choice: setting, id: p1"),
            (json!(3128), "3128"),
        ] {
            assert_eq!(text(&value), expected);
        }
        assert_eq!((name("is_default").as_str(), name("")), ("Is default", String::new()));
    }
}
