//! Every text that a person reads in a report. Plain words: what happened, and what to do about it.
//!
//! Nothing here repeats what a proxy or a target said. Names from certificates are the one exception, and they pass
//! [`Words::foreign`] first.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use chrono::DateTime;
use gatehouse_domain::{HostName, ProxyValues, Scheme, Secret, TestTarget};
use zeroize::Zeroizing;

use crate::{
    challenge::Offer,
    connect::{Login, better_choice},
    dial::DialError,
    names::ResolveError,
    problem::{Instead, Problem, Why},
    socks::SocksProblem,
    steps::Voice,
    tls::{Presented, Secured, TlsProblem, Wrong},
    wire::Looks,
};

/// Why `proxy_tls` is skipped.
pub(crate) const PROXY_WITHOUT_TLS: &str = "the proxy is spoken to without TLS";
/// Why `target_tls` is skipped.
pub(crate) const TARGET_WITHOUT_TLS: &str = "the target is asked without TLS (http)";
/// Why a stage behind the failed one is skipped.
pub(crate) const NOT_REACHED: &str = "not reached";
/// Why the proxy's stages are skipped for a direct route.
pub(crate) const NO_PROXY: &str = "no proxy";
/// What the handshake is for an `http` target through an HTTP proxy.
pub(crate) const WHOLE_REQUEST: &str = "no tunnel for http: the proxy took the whole request";

const PLAIN_HTTP: &str =
    "Plain HTTP cannot prove who answered, the target or a proxy in its place: test with an https target to be sure.";
const CHECK_PORT: &str = "Check the port, and how the proxy is spoken to (under More).";

/// What ended a test, for a person.
pub(crate) struct Explained {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// For the stage.
    pub(crate) detail: String,
}

/// What no foreign text may hold.
#[derive(Default)]
pub(crate) struct Hidden {
    /// In lower case.
    secrets: Vec<Zeroizing<String>>,
}

impl Hidden {
    /// The login, in every form in which it travels.
    pub(crate) fn of_login(login: Option<Login<'_>>) -> Self {
        let mut hidden = Self::default();
        if let Some(login) = login {
            hidden.secrets.push(Zeroizing::new(login.basic().trim_end_matches('=').to_lowercase()));
            hidden.add(login.password);
        }
        hidden
    }

    /// One more secret.
    pub(crate) fn add(&mut self, secret: &Secret) {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let secret = secret.expose();
        // In so few characters there is nothing to hide: they stand in every other text by chance.
        if secret.chars().count() > 3 {
            self.secrets.push(Zeroizing::new(secret.to_lowercase()));
            self.secrets.push(Zeroizing::new(STANDARD.encode(secret).trim_end_matches('=').to_lowercase()));
        }
    }

    /// A name from a certificate, unless it holds one of the secrets: a hostile proxy or target could put them there.
    fn foreign(&self, name: &str) -> String {
        let lower = name.to_lowercase();
        if self.secrets.iter().any(|secret| lower.contains(secret.as_str())) {
            "(a name that is not shown)".into()
        } else {
            name.to_string()
        }
    }

    /// The detail of a passed TLS stage.
    pub(crate) fn secured(&self, secured: &Secured) -> String {
        match &secured.presented {
            Some(presented) => format!("{}, certificate issued by {}", secured.version, self.foreign(&presented.issuer)),
            None => secured.version.to_string(),
        }
    }

    /// A certificate that is not right. `who` begins the sentence.
    pub(crate) fn certificate(
        &self, who: &str, host: &HostName, why: Wrong, presented: Option<&Presented>, hint: Option<String>,
    ) -> Explained {
        let issuer = presented.map_or_else(|| "an unknown authority".into(), |p| self.foreign(&p.issuer));
        let message = match (why, presented) {
            (Wrong::UnknownIssuer, Some(p)) if p.self_signed => {
                format!("{who} presents a certificate that it issued itself, as {issuer}; nothing says that it can be trusted.")
            }
            (Wrong::UnknownIssuer, Some(_)) => {
                format!("{who} presents a certificate issued by {issuer}, which is not trusted here.")
            }
            (Wrong::UnknownIssuer, None) => format!("{who} can't be verified: no certificate authority is trusted here."),
            (Wrong::Expired, Some(p)) => format!("{who} presents a certificate that expired on {}.", day(p.not_after)),
            (Wrong::NotYet, Some(p)) => format!("{who} presents a certificate that is valid only from {}.", day(p.not_before)),
            (Wrong::Expired | Wrong::NotYet, None) => format!("{who} presents a certificate that is not valid now."),
            (Wrong::Name, Some(p)) if p.names.is_empty() => {
                format!("{who} presents a certificate for no name at all: it has no subject alternative names.")
            }
            // As Squid makes them when it inspects TLS to an address.
            (Wrong::Name, Some(p)) if host.address().is_some_and(|address| p.names.contains(&address.to_string())) => {
                format!("{who} presents a certificate that has its address as a name, which does not count as an address.")
            }
            (Wrong::Name, Some(p)) => {
                let names = p.names.iter().map(|name| self.foreign(name)).collect::<Vec<_>>().join(", ");
                format!("{who} presents a certificate for another name: {names}.")
            }
            (Wrong::Name, None) => format!("{who} presents a certificate for another name."),
            (Wrong::Authority, _) => format!("{who} presents the certificate of an authority, {issuer}, as its own."),
            (Wrong::Purpose, _) => format!("{who} presents a certificate that is not made for servers."),
            (Wrong::Other, _) => format!("{who} presents a certificate that can't be verified."),
        };
        Explained { message, hint, detail: format!("certificate issued by {issuer}") }
    }
}

/// What the texts speak about.
pub(crate) struct Words<'a> {
    values: &'a ProxyValues,
    target: &'a TestTarget,
    /// How the proxy is named as the subject of a sentence that needs no place: `The proxy`.
    the_proxy: String,
    /// `proxy.example:3128`, as typed.
    proxy_place: String,
    /// `example.com:443`, as typed.
    target_place: String,
    /// How long was waited: `10 seconds`.
    seconds: String,
    login: bool,
    hidden: Hidden,
}

impl<'a> Words<'a> {
    pub(crate) fn new(values: &'a ProxyValues, target: &'a TestTarget, login: Option<Login<'_>>) -> Self {
        Self {
            values,
            target,
            the_proxy: "The proxy".into(),
            proxy_place: place(&values.host, values.port.get()),
            target_place: place(&target.host, target.port.get()),
            seconds: span(Duration::from_secs(values.timeout.seconds().into())),
            login: login.is_some(),
            hidden: Hidden::of_login(login),
        }
    }

    /// For a request through a saved setting: the proxy is called by the setting's name, and was waited for this long.
    pub(crate) fn of_setting(
        values: &'a ProxyValues, target: &'a TestTarget, login: Option<Login<'_>>, waited: Duration,
    ) -> Self {
        let mut words = Self::new(values, target, login);
        words.proxy_place = format!("{} ({})", values.name, words.proxy_place);
        words.the_proxy = format!("The proxy {}", words.proxy_place);
        words.seconds = span(waited);
        words
    }

    /// How the proxy is called: its place, or its setting's name and its place.
    pub(crate) fn called(&self) -> &str {
        &self.proxy_place
    }

    /// What no foreign text may hold.
    pub(crate) fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// One more secret that no foreign text may hold.
    pub(crate) fn hide(&mut self, secret: &Secret) {
        self.hidden.add(secret);
    }

    /// The detail of a passed TLS stage.
    pub(crate) fn secured(&self, secured: &Secured) -> String {
        self.hidden.secured(secured)
    }

    /// The detail of the passed `proxy_handshake` for CONNECT.
    pub(crate) fn tunnelled(&self, status: u16) -> String {
        let login = if self.login { ", user name and password sent" } else { "" };
        format!("CONNECT {} answered with status {status}{login}", self.target_place)
    }

    /// The detail of the passed `proxy_handshake` for SOCKS.
    pub(crate) fn socks_connected(&self, asked_login: bool, address: Option<IpAddr>) -> String {
        let login = match (self.login, asked_login) {
            (_, true) => "user name and password accepted",
            (true, false) => "the proxy did not ask for the user name and password",
            (false, false) => "no authentication",
        };
        match address {
            Some(address) => format!("{login}; connected to {address}"),
            None => format!("{login}; the proxy resolved the target's name"),
        }
    }

    /// The detail of the passed `target_http`.
    pub(crate) fn answered(&self, status: u16, egress: Option<IpAddr>) -> String {
        match egress {
            Some(address) => format!("status {status}; the target saw the address {address}"),
            None => format!("status {status}"),
        }
    }

    /// The message of a test that proved the way.
    pub(crate) fn success(&self, status: u16, ms: u64, egress: Option<IpAddr>) -> String {
        let host = shown(&self.target.host);
        let mut message = format!("The proxy works: {host} answered through it with status {status}, in {ms} ms.");
        if let Some(address) = egress {
            message.push_str(&format!(" It saw the address {address}."));
        }
        if !self.target.tls {
            message.push(' ');
            message.push_str(PLAIN_HTTP);
        }
        message
    }
}

impl Voice for Words<'_> {
    /// What a problem means.
    fn explain(&self, problem: &Problem) -> Explained {
        let (proxy, target) = (&self.proxy_place, &self.target_place);
        let proxy_name = shown(&self.values.host);
        let target_name = shown(&self.target.host);
        let (the_proxy, seconds) = (&self.the_proxy, &self.seconds);
        match problem {
            Problem::Resolve(ResolveError::Unknown) => said(
                format!("The proxy's name {proxy_name} is not known: there is no address for it."),
                "Check the spelling. If only your own network knows the name, this server must use your network's name servers, or enter the proxy's IP address.",
                "the name has no address",
            ),
            Problem::Resolve(ResolveError::NoAnswer) => said(
                format!("The proxy's name {proxy_name} could not be looked up: this server's name servers do not answer."),
                "Check the name servers of the machine that Gatehouse runs on, or enter the proxy's IP address.",
                "the name servers do not answer",
            ),
            Problem::ResolveTimeout => said(
                format!("The proxy's name {proxy_name} could not be looked up within {seconds}."),
                "Check the name servers of the machine that Gatehouse runs on, or enter the proxy's IP address.",
                format!("the name servers did not answer within {seconds}"),
            ),
            Problem::AddressNotAllowed => said(
                "Gatehouse does not connect to this address.",
                "Use a proxy and a target that are reached over the public internet.",
                "the address is not allowed",
            ),
            Problem::Connect(error, each) => self.not_connected(*error, each),
            Problem::ConnectTimeout => said(
                format!("{proxy} does not answer: no connection within {seconds}."),
                "Check the address and the port, and whether a firewall between this server and the proxy drops the connection.",
                format!("no answer within {seconds}"),
            ),
            Problem::ProxyTls(problem) => self.proxy_tls(problem),
            Problem::ProxyTimeout { tls: true } => said(
                format!("The proxy {proxy} accepted the connection, but did not answer within {seconds} when TLS began."),
                "Check that this port speaks TLS: if it does not, choose HTTP under More. If it does, the proxy is overloaded: try a longer timeout.",
                format!("no answer within {seconds}"),
            ),
            Problem::ProxyTimeout { tls: false } => said(
                format!("The proxy {proxy} accepted the connection, but did not answer within {seconds}."),
                if self.values.scheme.is_socks() {
                    "Check that this is a SOCKS5 proxy: an HTTP proxy waits in silence when it is spoken to like this; if it is one, choose HTTP under More. If SOCKS5 is right, the proxy is overloaded: try a longer timeout."
                        .to_string()
                } else {
                    format!(
                        "Check that this is the proxy's port. If it is, the proxy is overloaded or can't reach {target}: try another target or a longer timeout."
                    )
                },
                format!("no answer within {seconds}"),
            ),
            Problem::SocksTimeout => said(
                format!("The proxy {proxy} let this server in, but did not say within {seconds} whether it reaches {target}."),
                "Check the target, and the firewall behind the proxy; or try another target.",
                format!("no reply to the request within {seconds}"),
            ),
            Problem::ProxyClosed { begun } => said(
                if *begun {
                    format!("The proxy {proxy} closed the connection in the middle of its answer.")
                } else {
                    format!("The proxy {proxy} closed the connection without an answer.")
                },
                match self.values.scheme {
                    Scheme::Https => {
                        "Check that the proxy lets this server in: some close the connection on addresses they do not know, or want a client certificate, which Gatehouse does not have."
                    }
                    _ => {
                        "Check that the proxy lets this server in, and that the port speaks HTTP: ports for HTTPS or SOCKS close the connection like this. How the proxy is spoken to is chosen under More."
                    }
                },
                "the connection was closed",
            ),
            Problem::NotAProxy(instead) => self.not_a_proxy(*instead),
            Problem::Status { status, why, plain_http } => self.status(*status, *why, *plain_http),
            Problem::AuthRequired => said(
                format!("The proxy {proxy} asks for a user name and a password."),
                "Choose Basic as the authentication method, and enter them.",
                "status 407, no credentials given",
            ),
            Problem::AuthRejected => said(
                format!("The proxy {proxy} does not accept this user name and password."),
                "Enter them again. Letters beyond ASCII are sent as UTF-8; some proxies know only ASCII.",
                "status 407, credentials given",
            ),
            Problem::AuthUnsupported(offers) => {
                let offers = offered(offers);
                said(
                    format!("The proxy {proxy} offers only {offers}, which Gatehouse does not speak."),
                    "Turn on Basic authentication on the proxy, or let this server through by its address.",
                    format!("status 407, offered: {offers}"),
                )
            }
            Problem::Socks(problem) => self.socks(*problem),
            Problem::TargetName(ResolveError::Unknown) => said(
                format!("This server could not find an address for the target's name {target_name}."),
                "Check the target. If only the proxy knows the name, choose SOCKS5, names resolved by the proxy, under More.",
                "the target's name has no address here",
            ),
            Problem::TargetName(ResolveError::NoAnswer) | Problem::TargetNameTimeout => said(
                format!("This server could not look up the target's name {target_name}: its name servers do not answer."),
                "Choose SOCKS5, names resolved by the proxy, under More, or check the name servers of the machine that Gatehouse runs on.",
                "this server's name servers do not answer",
            ),
            Problem::TargetTls(problem) => self.target_tls(problem),
            Problem::TargetTimeout { tls } => said(
                format!("{the_proxy} opened the way, but {target} did not answer within {seconds}."),
                if *tls {
                    "Try another target, or a longer timeout."
                } else {
                    "Try another target, or a longer timeout. Some proxies say yes before they have reached the target."
                },
                format!("no answer within {seconds}"),
            ),
            Problem::TargetClosed => said(
                format!("{the_proxy} opened the way, but the connection to {target} was closed without an answer."),
                "Try another target. If it is the same with each, the proxy may filter what passes through it.",
                "the connection was closed",
            ),
            Problem::TargetNotHttp => said(
                format!("{the_proxy} opened the way, but what came from {target} is not HTTP."),
                "Check the target: it must be a web server.",
                "the answer is not HTTP",
            ),
            Problem::TooLarge(limit) => said(
                format!("The answer of {target} has more than the {limit} bytes that are taken."),
                "Ask for less.",
                "the answer is too large",
            ),
        }
    }
}

impl Words<'_> {
    fn not_connected(&self, error: DialError, each: &[(IpAddr, DialError)]) -> Explained {
        let proxy = &self.proxy_place;
        let port = self.values.port;
        let (message, hint) = match error {
            DialError::Refused => (
                format!("{proxy} refused the connection: nothing listens on port {port} there, or a firewall refuses for it."),
                "Check the port, and that the proxy is running.",
            ),
            DialError::TimedOut => (
                format!("{proxy} does not answer."),
                "Check the address and the port, and whether a firewall between this server and the proxy drops the connection.",
            ),
            DialError::Unreachable => (
                format!("There is no way from this server to {proxy}: the network or a firewall says that it can't be reached."),
                "Check the address, and that this server's network has a route to it.",
            ),
            DialError::NotPermitted => (
                format!("The machine that Gatehouse runs on does not permit a connection to {proxy}."),
                "Check its own firewall.",
            ),
            DialError::Local => (
                format!("The machine that Gatehouse runs on could not open a connection to {proxy}."),
                "Check whether the address can be right, and whether the machine is out of sockets or ports.",
            ),
        };
        let detail =
            each.iter().map(|(address, error)| format!("{address}: {}", dial_word(*error))).collect::<Vec<_>>().join("; ");
        said(message, hint, detail)
    }

    fn proxy_tls(&self, problem: &TlsProblem) -> Explained {
        let proxy = &self.proxy_place;
        match problem {
            TlsProblem::NotTls(looks) => said(
                format!("Port {} of {} does not speak TLS{}.", self.values.port, shown(&self.values.host), but(*looks)),
                match better_choice(*looks) {
                    Some(choice) => format!("Choose {choice} under More, or enter the proxy's port for HTTPS."),
                    None => CHECK_PORT.into(),
                },
                "the port does not speak TLS",
            ),
            TlsProblem::Closed => said(
                format!("The proxy {proxy} closed the connection when TLS began."),
                "Check that this port speaks TLS: if it does not, choose HTTP under More.",
                "closed when TLS began",
            ),
            TlsProblem::ClientCertificate => said(
                format!("{proxy} wants a client certificate, which Gatehouse does not have."),
                "Let this server through without a client certificate.",
                "a client certificate is wanted",
            ),
            TlsProblem::Certificate { why, presented, pasted, system } => {
                let advice = match why {
                    Wrong::UnknownIssuer => Some(if *pasted {
                        "The certificate pasted under More is not the one that issued this: paste the right CA certificate.".to_string()
                    } else if *system == 0 {
                        "This server has no system certificates: install them (ca-certificates), or paste the proxy's CA certificate under More."
                            .into()
                    } else {
                        "If the proxy is your own, paste the CA certificate that issued its certificate under More.".into()
                    }),
                    Wrong::Expired | Wrong::NotYet => Some("Renew the proxy's certificate, and check this server's clock.".into()),
                    Wrong::Name => Some("Enter the proxy's name as its certificate has it, or give the proxy a certificate for this name.".into()),
                    Wrong::Authority => Some(
                        "Give the proxy a certificate of its own, issued by that authority, or paste exactly this certificate under More."
                            .into(),
                    ),
                    Wrong::Purpose | Wrong::Other => Some("Give the proxy a right server certificate.".into()),
                };
                self.hidden.certificate(&format!("The proxy {proxy}"), &self.values.host, *why, presented.as_ref(), advice)
            }
            other => tls_otherwise(&format!("The proxy {proxy}"), other),
        }
    }

    fn target_tls(&self, problem: &TlsProblem) -> Explained {
        let (the_proxy, target) = (&self.the_proxy, &self.target_place);
        match problem {
            TlsProblem::NotTls(looks) => said(
                format!("{the_proxy} opened the way, but what answers for {target} does not speak TLS{}.", but(*looks)),
                "Check the target's port. If it is right, something on the way answers in the target's place.",
                "the answer is not TLS",
            ),
            TlsProblem::Closed => said(
                format!("{the_proxy} opened the way, but the connection to {target} was closed when TLS began."),
                "Try another target. Some proxies block a target by closing like this.",
                "closed when TLS began",
            ),
            TlsProblem::ClientCertificate => said(
                format!("The target {target} wants a client certificate, which Gatehouse does not have."),
                "Try another target.",
                "a client certificate is wanted",
            ),
            TlsProblem::Certificate { why, presented, pasted, system } => {
                let advice = match why {
                    Wrong::UnknownIssuer | Wrong::Authority => Some(if *pasted {
                        "If this proxy inspects TLS, it does so with another CA certificate than the one pasted under More: paste the right one."
                            .to_string()
                    } else if *system == 0 {
                        "This server has no system certificates: install them (ca-certificates), or paste a CA certificate under More.".into()
                    } else {
                        "The proxy seems to inspect TLS: paste its CA certificate under More. If it does not, the target's certificate comes from a private authority: paste that one's."
                            .into()
                    }),
                    Wrong::Expired | Wrong::NotYet => Some("Try another target, and check this server's clock.".into()),
                    Wrong::Name => Some(
                        "Try another target. If it is the same with each, something on the way answers in the target's place."
                            .into(),
                    ),
                    Wrong::Purpose | Wrong::Other => Some("Try another target.".into()),
                };
                self.hidden.certificate(&format!("The target {target}"), &self.target.host, *why, presented.as_ref(), advice)
            }
            other => tls_otherwise(&format!("The target {target}"), other),
        }
    }

    fn not_a_proxy(&self, instead: Instead) -> Explained {
        let proxy = &self.proxy_place;
        let socks = self.values.scheme.is_socks();
        match instead {
            Instead::WebServer(status @ 300..=399) => said(
                format!(
                    "{proxy} is not a proxy that can be used: it answers with a redirection (status {status}), as web servers and sign-in pages do."
                ),
                "Enter the address and port of the proxy itself. If your proxy signs people in on a web page, let this server through by its address.",
                format!("CONNECT answered with status {status}"),
            ),
            Instead::WebServer(status) => said(
                format!("This is a web server, not a proxy: {proxy} does not understand CONNECT (status {status})."),
                "Enter the address and port of the proxy. If this is the proxy, allow CONNECT to the target's port there.",
                format!("CONNECT answered with status {status}"),
            ),
            Instead::HugeHead => said(
                format!("{proxy} is not a proxy that can be used: its answer begins with more header than any proxy sends."),
                CHECK_PORT,
                "the head of the answer is too large",
            ),
            Instead::Speaks(Looks::Http) if !socks => said(
                format!("{proxy} is not a proxy that can be used: what it answers is not right HTTP."),
                CHECK_PORT,
                "the answer is not right HTTP",
            ),
            Instead::Speaks(Looks::Socks5) if socks => said(
                format!("{proxy} is not a proxy that can be used: it broke off its first answer."),
                CHECK_PORT,
                "the answer is incomplete",
            ),
            Instead::Speaks(looks) => said(
                format!("{proxy} is not {}{}.", if socks { "a SOCKS5 proxy" } else { "an HTTP proxy" }, but(looks)),
                match better_choice(looks) {
                    Some(choice) => format!("If this is the proxy's port, choose {choice} under More."),
                    None => CHECK_PORT.into(),
                },
                if socks { "the answer is not SOCKS5" } else { "the answer is not HTTP" },
            ),
        }
    }

    fn status(&self, status: u16, why: Option<Why>, plain_http: bool) -> Explained {
        let (the_proxy, proxy, target) = (&self.the_proxy, &self.proxy_place, &self.target_place);
        let detail =
            if plain_http { format!("answered with status {status}") } else { format!("CONNECT answered with status {status}") };
        let mut explained = match (status, why) {
            (511, _) => said(
                format!("The proxy {proxy} wants a sign-in on a web page first (status 511)."),
                "Let this server through the proxy by its address.",
                detail,
            ),
            // tinyproxy says 401 where 407 is meant, when the password is wrong.
            (401, _) => said(
                format!("The proxy {proxy} does not let this user through (status 401)."),
                if self.login {
                    "Enter the user name and the password again: some proxies answer like this when they are wrong."
                } else {
                    "If the proxy asks for a user name and a password, choose Basic as the authentication method."
                },
                detail,
            ),
            (400..=499, _) => said(
                format!("The proxy {proxy} does not allow {target} (status {status})."),
                if status == 429 {
                    "The proxy says that there were too many requests: wait, or raise its limit."
                } else {
                    "Allow this target, and this server, in the proxy's rules."
                },
                detail,
            ),
            (_, Some(Why::Rule)) => said(
                format!("The proxy {proxy} does not connect to {target}: its rules forbid it (status {status})."),
                "Allow this target in the proxy's rules.",
                detail,
            ),
            (_, Some(Why::NameUnknown)) => said(
                format!("The proxy {proxy} can't find an address for {} (status {status}).", shown(&self.target.host)),
                "Check the target's name, and the name servers that the proxy uses.",
                detail,
            ),
            (_, Some(Why::Refused)) => said(
                format!("The proxy {proxy} could not connect to {target} (status {status})."),
                "Check that the target is running, and the firewall behind the proxy.",
                detail,
            ),
            (_, Some(Why::TimedOut)) => said(
                format!("The proxy {proxy} got no answer from {target} (status {status})."),
                "Check the target, and the firewall behind the proxy.",
                detail,
            ),
            (_, Some(Why::NoRoute)) => said(
                format!("The proxy {proxy} finds no way to {target} (status {status})."),
                "Check the target's name, and the proxy's own name servers, network and parent proxies.",
                detail,
            ),
            (_, None) => said(
                format!("{the_proxy} works up to here, but it can't reach {target} (status {status})."),
                "Try another target. If it is the same with each, check the proxy's own way to the internet.",
                detail,
            ),
        };
        if plain_http {
            explained.message.push(' ');
            explained.message.push_str(PLAIN_HTTP);
        }
        explained
    }

    fn socks(&self, problem: SocksProblem) -> Explained {
        let (proxy, target) = (&self.proxy_place, &self.target_place);
        match problem {
            SocksProblem::AuthRequired => said(
                format!("The proxy {proxy} does not let anybody through without authentication."),
                "Choose Basic as the authentication method, and enter the user name and the password.",
                "no authentication offered, and not accepted",
            ),
            SocksProblem::AuthUnsupported => said(
                format!("The proxy {proxy} takes neither a user name and password nor connections without authentication."),
                "Turn on authentication with user name and password (RFC 1929) on the proxy.",
                "no method in common",
            ),
            SocksProblem::Gssapi => said(
                format!("The proxy {proxy} wants GSSAPI (Kerberos), which Gatehouse does not speak."),
                "Turn on authentication with user name and password (RFC 1929) on the proxy.",
                "GSSAPI wanted",
            ),
            SocksProblem::AuthRejected => said(
                format!("The proxy {proxy} does not accept this user name and password."),
                "Enter them again.",
                "user name and password refused",
            ),
            SocksProblem::LoginTooLong => said(
                "The user name or the password is longer than the 255 bytes that SOCKS5 can carry.",
                "Use shorter ones.",
                "user name or password too long",
            ),
            SocksProblem::ClosedAtLogin => said(
                format!("The proxy {proxy} closed the connection when it was given the user name and the password."),
                "Enter them again: some proxies refuse like this.",
                "closed at the login",
            ),
            SocksProblem::Closed => said(
                format!("The proxy {proxy} closed the connection without an answer."),
                "Check that the port speaks SOCKS5 and that the proxy lets this server in. How the proxy is spoken to is chosen under More.",
                "the connection was closed",
            ),
            SocksProblem::AgainstTheRules => said(
                format!("{proxy} is not a SOCKS5 proxy that can be used: its answers break the rules of the protocol."),
                CHECK_PORT,
                "the answer breaks the rules of SOCKS5",
            ),
            SocksProblem::Reply { code, v6 } => {
                let by_address = self.values.scheme == Scheme::Socks5 && self.target.host.address().is_none();
                let (message, hint) = match code {
                    2 => (
                        format!("The rules of the proxy {proxy} do not allow {target}."),
                        "Allow this target, and this user, in the proxy's rules.",
                    ),
                    3 => (
                        format!("The proxy {proxy} can't reach the network of {target}."),
                        "Check the proxy's own way to the internet.",
                    ),
                    4 => (
                        format!(
                            "The proxy {proxy} can't reach {target}: the host does not answer, or the proxy does not know its name."
                        ),
                        "Check the target, and the name servers that the proxy uses.",
                    ),
                    5 => (
                        format!("The proxy {proxy} reached the target's host, but {target} refused the connection."),
                        "Check the target's port, and that it is running.",
                    ),
                    6 => (
                        format!("The proxy {proxy} can't reach {target}: the way is too long or goes in circles."),
                        "Check the network behind the proxy.",
                    ),
                    7 => (
                        format!("{proxy} is a SOCKS5 server that does not open connections (CONNECT)."),
                        "Turn CONNECT on there, or enter another proxy.",
                    ),
                    8 => (
                        format!(
                            "The proxy {proxy} does not take this kind of address ({}).",
                            if v6 {
                                "IPv6"
                            } else if by_address || self.target.host.address().is_some() {
                                "IPv4"
                            } else {
                                "a name"
                            }
                        ),
                        if by_address {
                            "Choose SOCKS5, names resolved by the proxy, under More."
                        } else {
                            "Choose SOCKS5 under More: then this server resolves names."
                        },
                    ),
                    _ => (
                        format!("The proxy {proxy} could not connect to {target}; it does not say why."),
                        "Check the target, and the proxy's own way to the internet.",
                    ),
                };
                let hint = if v6 && by_address && matches!(code, 1 | 3 | 4) {
                    "This server found an IPv6 address for the target; the proxy may have no IPv6: choose SOCKS5, names resolved by the proxy, under More."
                } else {
                    hint
                };
                said(message, hint, format!("replied with code {code}"))
            }
        }
    }
}

/// What is said alike of every end of TLS. `who` begins the sentence.
pub(crate) fn tls_otherwise(who: &str, problem: &TlsProblem) -> Explained {
    match problem {
        TlsProblem::UnusableCa(words) => said(
            format!("The CA certificate of this setting can't be used. {words}"),
            "Paste it again under More.",
            "the pasted certificate can't be used",
        ),
        TlsProblem::TooOld => said(
            format!("{who} speaks only versions of TLS that are no longer safe; Gatehouse needs 1.2 or 1.3."),
            "Turn on TLS 1.2 or 1.3 there.",
            "no safe version of TLS",
        ),
        TlsProblem::NothingInCommon => said(
            format!("{who} and Gatehouse have no safe cipher or key exchange in common."),
            "Turn on the usual ciphers of TLS 1.2 or 1.3 there.",
            "no cipher or key exchange in common",
        ),
        TlsProblem::UnknownName => said(
            format!("{who} does not answer to this name over TLS."),
            "Check the name: it must be the one in the certificate.",
            "the name is not known there",
        ),
        _ => said(format!("{who} broke off when TLS was agreed on."), CHECK_PORT, "TLS was broken off"),
    }
}

pub(crate) fn said(message: impl Into<String>, hint: impl Into<String>, detail: impl Into<String>) -> Explained {
    Explained { message: message.into(), hint: Some(hint.into()), detail: detail.into() }
}

/// A host as typed; IPv6 in brackets.
pub(crate) fn shown(host: &HostName) -> String {
    match host.address() {
        Some(IpAddr::V6(_)) => host.for_authority(),
        _ => host.as_str().to_string(),
    }
}

pub(crate) fn place(host: &HostName, port: u16) -> String {
    format!("{}:{port}", shown(host))
}

/// What a port speaks instead, as the end of a sentence.
pub(crate) fn but(looks: Looks) -> &'static str {
    match looks {
        Looks::Tls => ", but speaks TLS",
        Looks::Http => ", but answers in plain HTTP",
        Looks::Socks5 => ", but speaks SOCKS5",
        Looks::Socks4 => ", but speaks SOCKS4, which knows neither names nor passwords",
        Looks::Ssh => ": it is an SSH server",
        Looks::MailOrFtp => ": it is a mail or file server",
        Looks::Unknown => ": what it answers is something else",
    }
}

pub(crate) fn dial_word(error: DialError) -> &'static str {
    match error {
        DialError::Refused => "refused",
        DialError::Unreachable => "no way there",
        DialError::TimedOut => "no answer",
        DialError::NotPermitted => "not permitted",
        DialError::Local => "could not be tried",
    }
}

/// `NTLM, Negotiate and a scheme that is not known`.
fn offered(offers: &[Offer]) -> String {
    let names: Vec<&str> = offers.iter().map(|offer| offer.unwrap_or("a scheme that is not known")).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_string(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "nothing".into(),
    }
}

fn day(timestamp: i64) -> String {
    DateTime::from_timestamp(timestamp, 0)
        .map_or_else(|| "a day that no calendar has".into(), |at| at.format("%-d %B %Y").to_string())
}

/// The detail of the passed `resolve`.
pub(crate) fn addresses(host: &HostName, found: &[SocketAddr]) -> String {
    if host.address().is_some() {
        return "an address needs no look-up".into();
    }
    found.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>().join(", ")
}

/// The detail of the passed `connect`.
pub(crate) fn connected(address: SocketAddr) -> String {
    format!("to {address}")
}

/// Said after what went wrong with a second proxy setting.
pub(crate) fn second_after(first: &str) -> String {
    format!(" It was tried because “{first}”, which comes first, can't be reached.")
}

/// A time that was waited.
pub(crate) fn span(time: Duration) -> String {
    match (time.as_secs(), time.as_millis()) {
        (0, ms) => format!("{ms} milliseconds"),
        (1, _) => "1 second".into(),
        (seconds, _) => format!("{seconds} seconds"),
    }
}
