//! The way through a proxy, up to where the target can be spoken to: what Test Connection and the door share.

use std::net::{IpAddr, SocketAddr};

use gatehouse_domain::{ProxyValues, Scheme, Stage, TestTarget};
use tokio::time::{Instant, timeout_at};

use crate::{
    connect::{Login, tunnel},
    dial,
    guard::Reach,
    problem::Problem,
    socks::{self, Destination},
    steps::{Over, Steps},
    texts::{self, Words},
    tls,
    trust::TrustLoader,
    wire::Wire,
};

/// The way to walk.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) reach: &'a Reach,
    pub(crate) values: &'a ProxyValues,
    pub(crate) target: &'a TestTarget,
    pub(crate) login: Option<Login<'a>>,
    pub(crate) words: &'a Words<'a>,
}

impl Way<'_> {
    /// Whether the proxy takes the whole request instead of opening a way.
    pub(crate) fn is_whole_request(&self) -> bool {
        !self.values.scheme.is_socks() && !self.target.tls
    }

    /// `resolve`, `connect`, `proxy_tls`.
    pub(crate) async fn reach_proxy(&self, steps: &mut Steps<'_>, trust: &mut TrustLoader) -> Result<Wire, Over> {
        let Self { values, words, .. } = *self;
        let addresses = steps
            .run(Stage::Resolve, Problem::ResolveTimeout, async {
                let found = self.reach.addresses(&values.host, values.port, Problem::Resolve).await?;
                let detail = texts::addresses(&values.host, found.all());
                Ok((found, detail))
            })
            .await?;

        let stream = steps
            .run(Stage::Connect, Problem::ConnectTimeout, async {
                let connected = dial::dial(&addresses).await;
                let (stream, address) = connected.map_err(|failed| Problem::Connect(dial::worst(&failed), failed))?;
                Ok((stream, texts::connected(address)))
            })
            .await?;

        if values.scheme != Scheme::Https {
            steps.skip(Stage::ProxyTls, texts::PROXY_WITHOUT_TLS);
            return Ok(Wire::new(stream));
        }
        steps
            .run(Stage::ProxyTls, Problem::ProxyTimeout { tls: true }, async {
                let trust = trust.get().await.map_err(Problem::ProxyTls)?;
                let (stream, secured) = tls::secure(Wire::new(stream), &values.host, &trust).await.map_err(Problem::ProxyTls)?;
                Ok((Wire::new(stream), words.secured(&secured)))
            })
            .await
    }

    /// Within `proxy_handshake`: asks the proxy for a way to the target. Answers the stage's detail.
    pub(crate) async fn open(&self, wire: &mut Wire, deadline: Instant) -> Result<String, Problem> {
        let Self { values, target, words, login, .. } = *self;
        // Before the proxy hears of it.
        self.reach.vet(&target.host)?;
        if !values.scheme.is_socks() {
            let status = tunnel(wire, target, login).await?;
            return Ok(words.tunnelled(status));
        }
        // Signed in before the target's name is looked up: what is wrong with the proxy is told first.
        let asked_login = socks::sign_in(wire, login).await?;
        let address: Option<IpAddr> = match (target.host.address(), values.scheme) {
            (Some(address), _) => Some(address),
            (None, Scheme::Socks5) => {
                let found = timeout_at(deadline, self.reach.addresses(&target.host, target.port, Problem::TargetName)).await;
                found.map_err(|_| Problem::TargetNameTimeout)??.all().first().map(SocketAddr::ip)
            }
            (None, _) => None,
        };
        let destination = address.map_or(Destination::Name(target.host.ascii()), Destination::Address);
        timeout_at(deadline, socks::connect(wire, destination, target.port.get())).await.unwrap_or(Err(Problem::SocksTimeout))?;
        Ok(words.socks_connected(asked_login, address))
    }
}

/// `target_tls`, when there is any.
pub(crate) async fn secure_target(
    steps: &mut Steps<'_>, wire: Wire, target: &TestTarget, trust: &mut TrustLoader, hidden: &texts::Hidden,
) -> Result<Wire, Over> {
    if !target.tls {
        steps.skip(Stage::TargetTls, texts::TARGET_WITHOUT_TLS);
        return Ok(wire);
    }
    steps
        .run(Stage::TargetTls, Problem::TargetTimeout { tls: false }, async {
            let trust = trust.get().await.map_err(Problem::TargetTls)?;
            let (stream, secured) = tls::secure(wire, &target.host, &trust).await.map_err(Problem::TargetTls)?;
            Ok((Wire::new(stream), hidden.secured(&secured)))
        })
        .await
}
