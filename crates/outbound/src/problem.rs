//! Everything that can end a test or a request, and the cause that the contract gives it.

use gatehouse_domain::Cause;

use crate::{challenge::Offer, dial::DialError, names::ResolveError, socks::SocksProblem, tls::TlsProblem, wire::Looks};

/// What ended a test or a request. Holds no foreign text but names from certificates (in [`TlsProblem`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The proxy's name has no address.
    Resolve(ResolveError),
    /// The name servers did not answer in time.
    ResolveTimeout,
    /// The address guard closed the way.
    AddressNotAllowed,
    /// No address of the proxy could be connected to; what the most telling of them met, and each.
    Connect(DialError, Vec<(std::net::IpAddr, DialError)>),
    /// No answer to the connection attempts.
    ConnectTimeout,
    /// TLS to the proxy.
    ProxyTls(TlsProblem),
    /// The proxy accepted the connection, and then did not answer; whether TLS to it was being agreed on.
    ProxyTimeout { tls: bool },
    /// A SOCKS proxy let us in, and then did not say in time whether it reaches the target.
    SocksTimeout,
    /// The proxy closed the connection; whether in the middle of an answer.
    ProxyClosed { begun: bool },
    /// What answers is not a proxy of this kind.
    NotAProxy(Instead),
    /// The proxy answered a CONNECT or a whole request with this status of its own.
    Status { status: u16, why: Option<Why>, plain_http: bool },
    /// 407 without credentials, where Basic is offered or nothing is.
    AuthRequired,
    /// 407 with credentials.
    AuthRejected,
    /// 407 without Basic among the offers.
    AuthUnsupported(Vec<Offer>),
    /// SOCKS.
    Socks(SocksProblem),
    /// SOCKS5 with names resolved here: the target's name has no address.
    TargetName(ResolveError),
    /// The same, and the name servers did not answer in time.
    TargetNameTimeout,
    /// TLS to the target.
    TargetTls(TlsProblem),
    /// The target did not answer in time; whether TLS to it stood.
    TargetTimeout { tls: bool },
    /// The way was there, and closed without an answer.
    TargetClosed,
    /// What came from the target is not HTTP.
    TargetNotHttp,
    /// The target's answer has more bytes than are taken.
    TooLarge(usize),
}

/// What answers where a proxy should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instead {
    /// Something that answers CONNECT with this HTTP status.
    WebServer(u16),
    /// Something whose first bytes look like this.
    Speaks(Looks),
    /// HTTP with a head beyond all bounds.
    HugeHead,
}

/// What a proxy says about why it could not or would not: tokens from fixed lists (RFC 9209; Squid's `X-Squid-Error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It can't resolve the target's name.
    NameUnknown,
    /// The target refused it.
    Refused,
    /// The target did not answer it.
    TimedOut,
    /// It has no way to the target.
    NoRoute,
    /// Its rules.
    Rule,
}

impl Problem {
    /// Whether the proxy was not even reached: its name has no address, or nothing accepted the connection. Whatever else goes wrong,
    /// something answered, and going another way would hide it.
    pub(crate) fn is_unreached(&self) -> bool {
        matches!(self, Self::Resolve(_) | Self::ResolveTimeout | Self::Connect(..) | Self::ConnectTimeout)
    }

    /// The contract's table.
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Resolve(_) | Self::ResolveTimeout => Cause::NameNotFound,
            Self::AddressNotAllowed => Cause::AddressNotAllowed,
            Self::Connect(DialError::TimedOut, _) | Self::ConnectTimeout => Cause::ConnectTimeout,
            Self::Connect(..) => Cause::ConnectionRefused,
            Self::ProxyTls(_) => Cause::ProxyTlsFailed,
            Self::ProxyTimeout { .. } | Self::SocksTimeout => Cause::ProxyTimeout,
            Self::ProxyClosed { .. } => Cause::ProxyClosed,
            Self::NotAProxy(_) => Cause::NotAProxy,
            Self::Status { status, .. } => match status {
                // 511 is a portal that wants a sign-in first (RFC 6585): a refusal, not a failure to reach.
                400..=499 | 511 => Cause::ProxyDenied,
                _ => Cause::TargetUnreachable,
            },
            Self::AuthRequired => Cause::ProxyAuthRequired,
            Self::AuthRejected => Cause::ProxyAuthRejected,
            Self::AuthUnsupported(_) => Cause::ProxyAuthUnsupported,
            Self::Socks(problem) => problem.cause(),
            // No SOCKS reply was asked for: this machine could not name the target to the proxy.
            Self::TargetName(_) | Self::TargetNameTimeout => Cause::TargetUnreachable,
            Self::TargetTls(_) => Cause::TargetTlsFailed,
            Self::TargetTimeout { .. } => Cause::TargetTimeout,
            // The contract has no cause for a target that talks nonsense. The way was not proved, and neither time nor
            // TLS was why; "unreachable" is the nearest that is true: no HTTP answer could be reached.
            Self::TargetClosed | Self::TargetNotHttp => Cause::TargetUnreachable,
            Self::TooLarge(_) => Cause::TooLarge,
        }
    }
}
