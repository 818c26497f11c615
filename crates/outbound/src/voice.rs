//! How the door says why there is no answer: which way was taken, through which proxy setting by name, and what to do.
//!
//! What went wrong at the proxy is told in the words of Test Connection. What went wrong at the target is told in words of
//! its own: a test can try another target, a request can't.

use std::time::Duration;

use gatehouse_domain::{Cause, DirectReason, Secret, TestTarget};

use crate::{
    dial::DialError,
    names::ResolveError,
    problem::Problem,
    route::{NoRoute, Setting},
    steps::Voice,
    texts::{Explained, Hidden, Words, but, dial_word, place, said, shown, span, tls_otherwise},
    tls::{TlsProblem, Wrong},
};

/// Speaks about a request through a proxy.
pub(crate) struct Through<'a> {
    pub(crate) words: Words<'a>,
    target: String,
    /// The whole request's time.
    time: Duration,
}

impl<'a> Through<'a> {
    /// `reach`: how long is waited for the proxy; `time`: for the whole.
    pub(crate) fn new(setting: &'a Setting, target: &'a TestTarget, reach: Duration, time: Duration) -> Self {
        let words = Words::of_setting(&setting.values, target, setting.login(), reach);
        Self { words, target: place(&target.host, target.port.get()), time }
    }

    /// One more secret that no foreign text may hold.
    pub(crate) fn hide(&mut self, secret: &Secret) {
        self.words.hide(secret);
    }
}

impl Voice for Through<'_> {
    fn explain(&self, problem: &Problem) -> Explained {
        let (target, time) = (&self.target, span(self.time));
        let proxy = self.words.called();
        let mut explained = match problem {
            Problem::TargetTimeout { .. } => said(
                format!("Through the proxy {proxy}, {target} did not answer within {time}."),
                "Try again later, or allow it more time. If it stays like this, check the proxy's own way to the internet.",
                format!("no answer within {time}"),
            ),
            Problem::TargetClosed => said(
                format!("Through the proxy {proxy}, the connection to {target} was closed without an answer."),
                "Try again later. If it stays like this, the proxy may filter what passes through it.",
                "the connection was closed",
            ),
            Problem::TargetNotHttp => said(
                format!("Through the proxy {proxy}, what came from {target} is not HTTP."),
                "Check the address of the service. If it is right, something on the way answers in its place.",
                "the answer is not HTTP",
            ),
            Problem::TooLarge(limit) => too_large(&format!("Through the proxy {proxy}, {target}"), *limit),
            other => {
                let mut explained = self.words.explain(other);
                if let Some(hint) = hint_for_service(other) {
                    explained.hint = Some(hint.into());
                }
                explained
            }
        };
        if explained.message.starts_with(proxy) {
            explained.message.insert_str(0, "The proxy ");
        } else if !explained.message.contains(proxy) {
            explained.message = format!("The proxy {proxy} can't be used for this. {}", explained.message);
        }
        explained
    }
}

/// Where a test would try another target.
fn hint_for_service(problem: &Problem) -> Option<&'static str> {
    Some(match problem {
        Problem::TargetTls(TlsProblem::Certificate { why: Wrong::Expired | Wrong::NotYet, .. }) => {
            "Tell whoever runs the service, and check this server's clock."
        }
        Problem::TargetTls(TlsProblem::Certificate { why: Wrong::Name | Wrong::Purpose | Wrong::Other, .. }) => {
            "Check the address of the service. If it is right, something on the way answers in its place."
        }
        Problem::TargetTls(TlsProblem::Closed) => "Check the proxy's rules: some block a target by closing like this.",
        Problem::TargetTls(TlsProblem::ClientCertificate) => "Check the address of the service.",
        Problem::Status { status: 500..=510 | 512.., why: None, .. } | Problem::SocksTimeout => {
            "Check the address of the service, and the proxy's own way to the internet."
        }
        _ => return None,
    })
}

/// Speaks about a request that goes direct.
pub(crate) struct Direct<'a> {
    target: &'a TestTarget,
    reason: DirectReason,
    reach: Duration,
    time: Duration,
    pub(crate) hidden: Hidden,
}

impl<'a> Direct<'a> {
    /// `reach`: how long is waited for the connection; `time`: for the whole.
    pub(crate) fn new(target: &'a TestTarget, reason: DirectReason, reach: Duration, time: Duration) -> Self {
        Self { target, reason, reach, time, hidden: Hidden::default() }
    }

    fn said(&self, problem: &Problem) -> Explained {
        let target = place(&self.target.host, self.target.port.get());
        let name = shown(&self.target.host);
        let (reach, time) = (span(self.reach), span(self.time));
        match problem {
            Problem::Resolve(ResolveError::Unknown) => said(
                format!("The name {name} is not known: there is no address for it."),
                "Check the spelling. If this server reaches the internet only through a proxy, choose that proxy.",
                "the name has no address",
            ),
            Problem::Resolve(ResolveError::NoAnswer) | Problem::ResolveTimeout => said(
                format!("The name {name} could not be looked up: this server's name servers do not answer."),
                "Check the name servers of the machine that Gatehouse runs on. If it reaches the internet only through a proxy, choose that proxy.",
                "the name servers do not answer",
            ),
            Problem::AddressNotAllowed => said(
                "Gatehouse does not connect to this address.",
                "Use a service that is reached over the public internet.",
                "the address is not allowed",
            ),
            Problem::Connect(error, each) => {
                let port = self.target.port;
                let (message, hint) = match error {
                    DialError::Refused => (
                        format!(
                            "{target} refused the connection: nothing listens on port {port} there, or a firewall refuses for it."
                        ),
                        "Check the address of the service. If this server reaches the internet only through a proxy, choose that proxy.",
                    ),
                    DialError::TimedOut => (format!("{target} does not answer."), NO_ANSWER),
                    DialError::Unreachable => (
                        format!(
                            "There is no way from this server to {target}: the network or a firewall says that it can't be reached."
                        ),
                        NO_ANSWER,
                    ),
                    DialError::NotPermitted => (
                        format!("The machine that Gatehouse runs on does not permit a connection to {target}."),
                        "Check its own firewall.",
                    ),
                    DialError::Local => (
                        format!("The machine that Gatehouse runs on could not open a connection to {target}."),
                        "Check whether the address can be right, and whether the machine is out of sockets or ports.",
                    ),
                };
                let detail = each
                    .iter()
                    .map(|(address, error)| format!("{address}: {}", dial_word(*error)))
                    .collect::<Vec<_>>()
                    .join("; ");
                said(message, hint, detail)
            }
            Problem::ConnectTimeout => said(
                format!("{target} does not answer: no connection within {reach}."),
                NO_ANSWER,
                format!("no answer within {reach}"),
            ),
            Problem::TargetTls(problem) => self.tls(&target, problem),
            Problem::TargetTimeout { .. } => said(
                format!("{target} did not answer within {time}."),
                "Try again later, or allow it more time.",
                format!("no answer within {time}"),
            ),
            Problem::TargetNotHttp => said(
                format!("What came from {target} is not HTTP."),
                "Check the address of the service.",
                "the answer is not HTTP",
            ),
            Problem::TooLarge(limit) => too_large(&target, *limit),
            // The rest is about proxies and can't happen here.
            _ => said(
                format!("{target} closed the connection without an answer."),
                "Try again later.",
                "the connection was closed",
            ),
        }
    }

    fn tls(&self, target: &str, problem: &TlsProblem) -> Explained {
        match problem {
            TlsProblem::NotTls(looks) => said(
                format!("{target} does not speak TLS{}.", but(*looks)),
                "Check the address of the service, and whether it begins with http or https.",
                "the answer is not TLS",
            ),
            TlsProblem::Closed => said(
                format!("{target} closed the connection when TLS began."),
                "Check the address of the service. A firewall on the way may close connections like this.",
                "closed when TLS began",
            ),
            TlsProblem::ClientCertificate => said(
                format!("{target} wants a client certificate, which Gatehouse does not have."),
                "Check the address of the service.",
                "a client certificate is wanted",
            ),
            TlsProblem::Certificate { why, presented, pasted, system } => {
                let hint = match why {
                    Wrong::UnknownIssuer | Wrong::Authority if *pasted => {
                        "The pasted certificate is not the one that issued this: paste the right CA certificate."
                    }
                    Wrong::UnknownIssuer | Wrong::Authority if *system == 0 => {
                        "This server has no system certificates: install them (ca-certificates), or paste the service's CA certificate."
                    }
                    Wrong::UnknownIssuer | Wrong::Authority => {
                        "If the service is your own, paste the CA certificate that issued its certificate. If it is not, something on the way inspects TLS."
                    }
                    Wrong::Expired | Wrong::NotYet => "Renew the service's certificate, and check this server's clock.",
                    Wrong::Name | Wrong::Purpose | Wrong::Other => {
                        "Check the address of the service. If it is right, something on the way answers in its place."
                    }
                };
                self.hidden.certificate(target, &self.target.host, *why, presented.as_ref(), Some(hint.into()))
            }
            other => tls_otherwise(target, other),
        }
    }
}

const NO_ANSWER: &str = "Check the address, and whether a firewall drops the connection. If this server reaches the internet only through a proxy, choose that proxy.";

impl Voice for Direct<'_> {
    fn explain(&self, problem: &Problem) -> Explained {
        let mut explained = self.said(problem);
        // In the cloud one generic answer, which tells nothing about the address.
        if !matches!(problem, Problem::AddressNotAllowed) {
            explained.message.push_str(&format!(" It was asked directly: {}.", self.reason.label()));
        }
        explained
    }

    fn cause(&self, problem: &Problem) -> Cause {
        match problem {
            Problem::Connect(DialError::Unreachable | DialError::NotPermitted | DialError::Local, _) => Cause::TargetUnreachable,
            other => other.cause(),
        }
    }
}

fn too_large(who: &str, limit: usize) -> Explained {
    said(
        format!("{who} answered with more than the {limit} bytes that are taken."),
        "Check the address of the service: such an answer is not what it documents.",
        "the answer is too large",
    )
}

/// Why a choice leads nowhere: message and hint.
pub(crate) fn no_route(why: &NoRoute) -> (String, &'static str) {
    match why {
        NoRoute::Gone => {
            ("The proxy setting that was chosen is not there any more.".into(), "Choose another proxy setting, or No Proxy.")
        }
        NoRoute::PasswordLost(name) => (
            format!("The stored password of the proxy {name} can't be read: it was sealed under another key."),
            "Enter the password of this proxy setting again, or put the right key file back.",
        ),
        NoRoute::NoAnswer => (
            "Which proxy to use could not be found out: the database does not answer. Nothing was sent.".into(),
            "Try again in a moment; if it stays like this, see the server's log.",
        ),
    }
}
