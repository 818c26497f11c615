//! What every handler has.

use std::sync::Arc;

use gatehouse_platform::Platform;
use ipnet::IpNet;
use leptos::config::LeptosOptions;

use crate::{ending::Ending, gateway::Meter};

/// Shared by all requests; nothing in it changes but whether the end has begun.
#[derive(Clone)]
pub struct AppState {
    /// The use cases.
    pub platform: Platform,
    /// Where the browser's files are and what they are called.
    pub leptos: LeptosOptions,
    /// The origin people use, like `https://gatehouse.example.com`; `None`: whatever host they ask for.
    pub public_url: Option<String>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Whether this process itself speaks TLS.
    pub tls: bool,
    /// Whether browsers are told never to come by plain HTTP again.
    pub strict: bool,
    /// What the gateway inside of this process counts, where there is one.
    pub gateway: Option<Meter>,
    /// How far the end of this process is.
    pub ending: Ending,
}

impl AppState {
    /// Whether browsers reach us over TLS, so that cookies can insist on it.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.tls || self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }
}
