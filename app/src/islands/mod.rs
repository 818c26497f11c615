//! What the browser brings to life in the pages: forms that check while somebody types, the rows' buttons, running tests.
//!
//! An island's props travel in the page as JSON: no passwords in them, and no more than it needs.

pub mod proxies;
pub mod sign_in;
pub mod tokens;

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

/// A prop that travels as a text of JSON: it is read with the code that reads the server functions' answers too. As plain props
/// are read it would be there a second time: `serde_json` is generic over what it reads from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed<T>(pub T);

impl<T: Serialize> Serialize for Packed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The macro has the browser write the props too, for nothing.
        #[cfg(target_family = "wasm")]
        return serializer.serialize_str("");
        #[cfg(not(target_family = "wasm"))]
        serializer.serialize_str(&serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Packed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_slice(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A field is checked a moment after it was left: an error that appears at once moves the button that is being clicked.
pub(crate) const AFTER_BLUR: Duration = Duration::from_millis(200);
