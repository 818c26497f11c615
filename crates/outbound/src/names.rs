//! Names become addresses.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};

/// Who is asked for the addresses of names.
#[derive(Clone, Default)]
pub struct Names {
    /// `None`: the machine, as every other program there asks it.
    servers: Option<TokioResolver>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.servers.is_some() { "name servers of its own" } else { "the machine" })
    }
}

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// The name servers say there is none.
    Unknown,
    /// The name servers did not say.
    NoAnswer,
}

impl ResolveError {
    /// Only these say that there is no such name (EAI_NONAME, EAI_NODATA): the standard library has no kinds for them, so the words
    /// are glibc's and musl's. Whatever else goes wrong is no word about the name.
    fn of(words: &str) -> Self {
        let known = ["Name or service not known", "No address associated", "Name does not resolve", "Name has no usable address"];
        if known.iter().any(|known| words.contains(known)) { Self::Unknown } else { Self::NoAnswer }
    }
}

impl Names {
    /// These name servers and nobody else: neither the machine's hosts file nor its search domains. Nothing is kept, so that a changed
    /// name counts at once. None of them: as [`Names::default`].
    ///
    /// # Errors
    /// They can't be asked.
    pub fn of(servers: &[SocketAddr]) -> Result<Self, String> {
        if servers.is_empty() {
            return Ok(Self::default());
        }
        let servers = servers.iter().map(|server| {
            let mut ways = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
            ways.iter_mut().for_each(|way| way.port = server.port());
            NameServerConfig::new(server.ip(), true, ways)
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Ok(Self { servers: Some(builder.build().map_err(|error| error.to_string())?) })
    }

    /// The addresses of a name. With `exact` no search domain of the machine is tried after it.
    pub(crate) async fn look_up(&self, name: &str, exact: bool) -> Result<Vec<IpAddr>, ResolveError> {
        let absolute = format!("{}.", name.trim_end_matches('.'));
        let Some(servers) = &self.servers else {
            let name = if exact { absolute.as_str() } else { name };
            let found = tokio::net::lookup_host((name, 0)).await.map_err(|error| ResolveError::of(&error.to_string()))?;
            return Ok(found.map(|address| address.ip()).collect());
        };
        match servers.lookup_ip(absolute).await {
            Ok(found) => {
                let mut addresses: Vec<IpAddr> = found.iter().collect();
                addresses.sort_by_key(IpAddr::is_ipv6);
                Ok(addresses)
            }
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Err(ResolveError::Unknown),
            Err(error) => {
                tracing::debug!(%error, "a name was not resolved");
                Err(ResolveError::NoAnswer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_that_there_is_no_such_name_is_taken_for_that() {
        let of = |words: &str| ResolveError::of(&format!("failed to lookup address information: {words}"));
        assert_eq!(of("Name or service not known"), ResolveError::Unknown);
        assert_eq!(of("No address associated with hostname"), ResolveError::Unknown);
        for words in ["Temporary failure in name resolution", "Non-recoverable failure in name resolution", "System error"] {
            assert_eq!(of(words), ResolveError::NoAnswer, "{words}");
        }
    }
}
