//! Proxy choices, and the routes that became of them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::proxy::wire_enum;

/// What a consumer picks. On the wire `{"choice": "default"}`, `{"choice": "none"}`, `{"choice": "setting", "id": "…"}`; in
/// forms and URLs `default`, `none`, or the identifier alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "choice", rename_all = "snake_case")]
pub enum ProxyChoice {
    /// The company's default, whichever that is when a request is made.
    #[default]
    Default,
    /// Direct, always.
    None,
    /// This setting.
    Setting {
        /// Its identifier.
        id: String,
    },
}

impl ProxyChoice {
    /// Reads the form of the API.
    ///
    /// # Errors
    /// What would be right.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        const RIGHT: &str = r#"Use {"choice": "default"}, {"choice": "none"} or {"choice": "setting", "id": "…"}."#;
        let Value::Object(fields) = value else { return Err(RIGHT.into()) };
        if fields.keys().any(|key| !matches!(key.as_str(), "choice" | "id")) {
            return Err(RIGHT.into());
        }
        let id = match fields.get("id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(RIGHT.into()),
        };
        match (fields.get("choice").and_then(Value::as_str), id) {
            (Some("default"), None) => Ok(Self::Default),
            (Some("none"), None) => Ok(Self::None),
            (Some("setting"), Some(id)) => Ok(Self::Setting { id }),
            _ => Err(RIGHT.into()),
        }
    }

    /// Reads the value of a form field; empty means the default.
    #[must_use]
    pub fn of_field(text: &str) -> Self {
        match text.trim() {
            "" | "default" => Self::Default,
            "none" => Self::None,
            id => Self::Setting { id: id.to_string() },
        }
    }

    /// The value of a form field.
    #[must_use]
    pub fn to_field(&self) -> &str {
        match self {
            Self::Default => "default",
            Self::None => "none",
            Self::Setting { id } => id,
        }
    }
}

/// A proxy setting by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProxyRef {
    /// Its identifier; `egress:NAME` for one of the gateway's policy.
    pub id: String,
    /// Its name when the request was made.
    pub name: String,
}

wire_enum!(
    /// Why a request went direct.
    DirectReason, "Use no_proxy, no_default, bypass, loopback or gateway." {
        /// `No Proxy` was chosen.
        NoProxy = "no_proxy", "No Proxy is chosen";
        /// `Default Proxy` was chosen, and the company has none.
        NoDefault = "no_default", "the company has no default proxy";
        /// The target stands in the proxy's bypass list.
        Bypass = "bypass", "the target is in the proxy's bypass list";
        /// The target is this machine.
        Loopback = "loopback", "the target is this machine";
        /// Of a request through the gateway: its policy names no other proxy for it.
        Gateway = "gateway", "by the gateway's policy";
    }
);

/// How one request went out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "via", rename_all = "snake_case")]
pub enum Route {
    /// Through a proxy.
    Proxy {
        /// Which.
        proxy: ProxyRef,
        /// The one that comes first and could not be reached; left out where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instead_of: Option<ProxyRef>,
    },
    /// Directly.
    Direct {
        /// Why.
        reason: DirectReason,
    },
}

impl Route {
    /// In a few words: `through Corp-EU`, `direct: No Proxy is chosen`.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Proxy { proxy, instead_of: None } => format!("through {}", proxy.name),
            Self::Proxy { proxy, instead_of: Some(first) } => {
                format!("through {}, as {} can't be reached", proxy.name, first.name)
            }
            Self::Direct { reason } => format!("direct: {}", reason.label()),
        }
    }
}

/// Who sends requests: an integration, the test of a proxy setting, somebody who uses the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Consumer {
    /// `integration`, `integration_test`, `proxy_test`, `webhook`, `gateway`.
    pub kind: String,
    /// Its identifier; empty for something that is not saved. Of the gateway's: `person:NAME`, or `client:ADDRESS`.
    pub id: String,
    /// Its name when the request was made.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn choices_and_routes_have_the_contracts_form() {
        let id = "0190".to_string();
        for (choice, wire) in [
            (ProxyChoice::Default, json!({"choice": "default"})),
            (ProxyChoice::None, json!({"choice": "none"})),
            (ProxyChoice::Setting { id: id.clone() }, json!({"choice": "setting", "id": "0190"})),
        ] {
            assert_eq!(serde_json::to_value(&choice).ok(), Some(wire.clone()));
            assert_eq!(ProxyChoice::from_json(&wire), Ok(choice.clone()));
            assert_eq!(ProxyChoice::of_field(choice.to_field()), choice);
        }
        for bad in [
            json!("default"),
            json!({}),
            json!({"choice": "setting"}),
            json!({"choice": "none", "id": "x"}),
            json!({"choice": "default", "x": 1}),
        ] {
            assert!(ProxyChoice::from_json(&bad).is_err(), "{bad}");
        }
        let through = Route::Proxy { proxy: ProxyRef { id, name: "Corp-EU".into() }, instead_of: None };
        assert_eq!(
            serde_json::to_value(&through).ok(),
            Some(json!({"via": "proxy", "proxy": {"id": "0190", "name": "Corp-EU"}}))
        );
        let direct = Route::Direct { reason: DirectReason::NoDefault };
        assert_eq!(serde_json::to_value(&direct).ok(), Some(json!({"via": "direct", "reason": "no_default"})));
    }
}
