//! Names to addresses: asked once, kept as long as the answer says, and dialled as they were vetted.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolverOpts},
    net::NetError,
};

/// How many answers are kept.
const KEPT: u64 = 4096;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// There is no such name, or it has no address.
    Unknown,
    /// The name servers did not answer, or not in time.
    NoAnswer,
}

/// Asks the name servers that this machine is set up with.
#[derive(Clone)]
pub struct Resolver {
    inner: TokioResolver,
    timeout: Duration,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// With the name servers and hosts of this machine (`/etc/resolv.conf`, `/etc/hosts`).
    ///
    /// # Errors
    /// They can't be read.
    pub fn system(timeout: Duration) -> Result<Self, NetError> {
        let mut builder = TokioResolver::builder_tokio()?;
        options(builder.options_mut());
        Ok(Self { inner: builder.build()?, timeout })
    }

    /// All addresses of a name, those of the old kind first.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Unresolved> {
        let begun = Instant::now();
        // Absolute: what a client asks for is never completed with this machine's own domain.
        let absolute = if name.ends_with('.') { name.to_string() } else { format!("{name}.") };
        let answer = tokio::time::timeout(self.timeout, self.inner.lookup_ip(absolute)).await;
        match answer {
            Ok(Ok(found)) => {
                let mut addresses: Vec<IpAddr> = found.iter().collect();
                addresses.sort_by_key(IpAddr::is_ipv6);
                if addresses.is_empty() { Err(Unresolved::Unknown) } else { Ok(addresses) }
            }
            Ok(Err(error)) if error.is_no_records_found() || error.is_nx_domain() => Err(Unresolved::Unknown),
            Ok(Err(error)) => {
                tracing::debug!(name, %error, ms = begun.elapsed().as_millis(), "a name was not resolved");
                Err(Unresolved::NoAnswer)
            }
            Err(_) => Err(Unresolved::NoAnswer),
        }
    }
}

fn options(options: &mut ResolverOpts) {
    options.cache_size = KEPT;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
}

#[cfg(test)]
impl Resolver {
    /// Asks this server alone, and keeps nothing.
    pub(crate) fn at(server: std::net::SocketAddr) -> Self {
        use hickory_resolver::{
            config::{ConnectionConfig, NameServerConfig, ResolverConfig},
            net::runtime::TokioRuntimeProvider,
        };
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let config =
            ResolverConfig::from_parts(None, Vec::new(), vec![NameServerConfig::new(server.ip(), true, vec![connection])]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        options(builder.options_mut());
        builder.options_mut().cache_size = 0;
        Self { inner: builder.build().expect("a resolver"), timeout: Duration::from_secs(5) }
    }
}
