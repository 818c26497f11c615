//! Where a page ends: the sort key and identifier of its last item.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A place in a sorted list. Opaque outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The order it belongs to: a cursor of another order means nothing.
    #[serde(rename = "s")]
    pub(crate) sort: String,
    /// The sort key of the last item.
    #[serde(rename = "k")]
    pub(crate) key: Value,
    /// The last item.
    #[serde(rename = "i")]
    pub(crate) id: Uuid,
}

impl Cursor {
    /// For the outside.
    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// From the outside: one of ours, for this order, or nothing.
    pub(crate) fn decode(text: &str, sort: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        serde_json::from_slice::<Self>(&bytes).ok().filter(|cursor| cursor.sort == sort)
    }
}

#[cfg(test)]
mod tests {
    use gatehouse_domain::{ProxySort, SortField};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(field in 0usize..6, descending: bool, key in "\\PC{0,100}", id: u128) {
            let sort = ProxySort { field: SortField::ALL[field], descending };
            let cursor = Cursor { sort: sort.to_string(), key: Value::String(key), id: Uuid::from_u128(id) };
            let encoded = cursor.encode();
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "safe in a URL");
            prop_assert_eq!(Cursor::decode(&encoded, &sort.to_string()), Some(cursor));
            let other = ProxySort { descending: !descending, ..sort };
            prop_assert_eq!(Cursor::decode(&encoded, &other.to_string()), None);
        }

        #[test]
        fn anything_else_is_refused(text in "\\PC{0,100}") {
            prop_assert_eq!(Cursor::decode(&text, &ProxySort::default().to_string()), None);
        }
    }
}
