//! The kinds of values that a policy file has.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher as _, SaltString},
};
use gatehouse_domain::HostName;
use ipnet::IpNet;
use toml::{Spanned, de::DeValue};

use super::read::{Notes, Read, float, integer, read_text, wrong};
use crate::names::Host;

read_text!(SocketAddr, "an address and a port, like \"127.0.0.1:3128\" or \"[::1]:3128\"", |text| text.parse().ok());
read_text!(IpAddr, "an IP address, like \"192.0.2.1\"", |text| text.parse().ok());
read_text!(IpNet, "a network, like \"10.0.0.0/8\", or a single address", parse_net);

/// A network; a bare address is a network of one.
fn parse_net(text: &str) -> Option<IpNet> {
    let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    Some(match net {
        // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), v6.prefix_len() - 96).ok()?.trunc(),
            None => net.trunc(),
        },
        _ => net.trunc(),
    })
}

/// Seconds, or a text with a unit.
impl Read for Duration {
    const EXPECTED: &'static str = "a number of seconds, like 10, or a text like \"500 ms\", \"5 min\" or \"1 h\"";

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        let seconds = match value.get_ref() {
            DeValue::String(text) => with_unit(text, &[("ms", 0.001), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("d", 86_400.0)]),
            DeValue::Integer(_) => integer(value.get_ref()).and_then(|seconds| u32::try_from(seconds).ok()).map(f64::from),
            other => float(other),
        };
        // A year is long enough for anything, and short enough to be added to any moment.
        let fits = |seconds: &f64| (0.0..=31_536_000.0).contains(seconds);
        seconds.filter(fits).map(Duration::from_secs_f64).or_else(|| wrong(value, notes))
    }
}

/// A number of bytes: 1 kB is 1,000 of them, 1 KiB 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const BYTE_UNITS: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];

/// As it can be written in a policy; rounded down where it is no round number.
impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const ROUND: [(u64, &str); 6] =
            [(1_000_000_000, "GB"), (1 << 30, "GiB"), (1_000_000, "MB"), (1 << 20, "MiB"), (1000, "kB"), (1 << 10, "KiB")];
        if let Some((unit, name)) = ROUND.iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            return write!(f, "{} {name}", self.0 / unit);
        }
        match ROUND.iter().filter(|(_, name)| !name.contains('i')).find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) => write!(f, "{}.{} {name}", self.0 / unit, self.0 % unit * 10 / unit),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl Read for Bytes {
    const EXPECTED: &'static str = "a number of bytes, or a text like \"256 MB\" or \"64 KiB\"";

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        let bytes = match value.get_ref() {
            DeValue::String(text) => with_unit(text.strip_suffix("/s").unwrap_or(text), BYTE_UNITS).map(|bytes| {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float becomes the nearest number")]
                let whole = bytes as u64;
                whole
            }),
            other => integer(other).and_then(|bytes| u64::try_from(bytes).ok()),
        };
        bytes.map(Bytes).or_else(|| wrong(value, notes))
    }
}

/// How often something happens in a second; may be a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerSecond(pub f64);

impl Read for PerSecond {
    const EXPECTED: &'static str = "a number above 0, like 50 or 0.5";

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        let number =
            integer(value.get_ref()).and_then(|n| u32::try_from(n).ok()).map(f64::from).or_else(|| float(value.get_ref()));
        number.filter(|n| n.is_finite() && *n > 0.0).map(PerSecond).or_else(|| wrong(value, notes))
    }
}

fn with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_' | ','))).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.replace(['_', ','], "").parse().ok()?;
    let factor = units.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| factor)?;
    Some(number * factor)
}

/// Ports from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The lowest.
    pub first: u16,
    /// The highest, included.
    pub last: u16,
}

impl Ports {
    /// One port.
    pub(crate) const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Whether the port is among them.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Read for Ports {
    const EXPECTED: &'static str = "a port from 1 to 65535, or a range like \"8000-8999\"";

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0);
        let ports = match value.get_ref() {
            DeValue::String(text) => match text.split_once('-') {
                Some((first, last)) => port(first).zip(port(last)).map(|(first, last)| Self { first, last }),
                None => port(text).map(Self::one),
            },
            other => integer(other).and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0).map(Self::one),
        };
        ports.filter(|ports| ports.first <= ports.last).or_else(|| wrong(value, notes))
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// How safe the hosts of a category are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Known to do harm.
    Unsafe,
    /// Not known to do harm, and not without risk.
    Caution,
    /// Fine.
    Safe,
}

impl Level {
    /// As in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsafe => "unsafe",
            Self::Caution => "caution",
            Self::Safe => "safe",
        }
    }
}

/// Reads an enum by its words.
macro_rules! words {
    ($type:ty, $expected:expr, $($word:literal => $value:expr),+ $(,)?) => {
        read_text!($type, $expected, |text| match text {
            $($word => Some($value),)+
            _ => None,
        });
    };
}

words!(Level, "\"safe\", \"caution\" or \"unsafe\"", "safe" => Level::Safe, "caution" => Level::Caution, "unsafe" => Level::Unsafe);

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The request may go on.
    Allow,
    /// It is refused.
    Deny,
}

words!(Action, "\"allow\" or \"deny\"", "allow" => Action::Allow, "deny" => Action::Deny);

/// What a client wants of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A request for an `http` URL.
    Http,
    /// A request for an `https` URL, made by the gateway itself.
    Https,
    /// A tunnel.
    Connect,
}

words!(Scheme, "\"http\", \"https\" or \"connect\"", "http" => Scheme::Http, "https" => Scheme::Https, "connect" => Scheme::Connect);

impl Scheme {
    /// As in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Connect => "connect",
        }
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON document a line.
    Json,
    /// Squid's native `access.log`.
    Squid,
}

words!(LogFormat, "\"json\" or \"squid\"", "json" => LogFormat::Json, "squid" => LogFormat::Squid);

/// What happens to the header fields that say who is behind a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedFields {
    /// `Forwarded`, `X-Forwarded-For`, `X-Real-IP` and their like never leave.
    Remove,
    /// The client's address is added to `Forwarded` (RFC 7239) and `X-Forwarded-For`.
    Add,
}

words!(ForwardedFields, "\"remove\" or \"add\"", "remove" => ForwardedFields::Remove, "add" => ForwardedFields::Add);

/// What kind of way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EgressKind {
    /// From this machine.
    Direct,
    /// Through another proxy.
    Upstream,
    /// Through one that is a proxy setting of the company.
    Setting,
}

words!(EgressKind, "\"direct\", \"upstream\" or \"setting\"",
    "direct" => EgressKind::Direct, "upstream" => EgressKind::Upstream, "setting" => EgressKind::Setting);

/// How a pool picks among its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The one with the fewest requests on their way, in relation to its weight.
    LeastOutstanding,
    /// In turn, in proportion to the weights.
    Weighted,
    /// The same one for the same client, as long as it is healthy.
    Sticky,
}

words!(Strategy, "\"least_outstanding\", \"weighted\" or \"sticky\"",
    "least_outstanding" => Strategy::LeastOutstanding, "weighted" => Strategy::Weighted, "sticky" => Strategy::Sticky);

/// Who shares one account of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Each person has one; without a name, each address.
    Person,
    /// Each client address has one.
    Client,
    /// The members of a group share one.
    Group,
    /// The clients of a network share one.
    Network,
    /// Everybody shares one.
    All,
}

words!(Scope, "\"person\", \"client\", \"group\", \"network\" or \"all\"",
    "person" => Scope::Person, "client" => Scope::Client, "group" => Scope::Group, "network" => Scope::Network, "all" => Scope::All);

/// Which days, Monday first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(pub [bool; 7]);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

read_text!(Days, "a day (\"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\") or a range like \"mon-fri\"", |text| {
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name.trim()));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = day(first).zip(day(last))?;
    let mut days = [false; 7];
    // sat-mon goes over the end of the week.
    let length = (last + 7 - first) % 7;
    for step in 0..=length {
        days[(first + step) % 7] = true;
    }
    Some(Days(days))
});

/// From one minute of the day to before another. From 22:00 to 06:00 goes over midnight and belongs to the day it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Minutes since midnight, 0 to 1439.
    pub from: u16,
    /// Minutes since midnight, 1 to 1440.
    pub to: u16,
}

read_text!(Hours, "hours like \"08:00-18:00\"", |text| {
    let minutes = |time: &str| {
        let (hour, minute) = time.trim().split_once(':')?;
        if hour.len() > 2 || minute.len() != 2 || !hour.bytes().chain(minute.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let minutes = hour.parse::<u16>().ok()? * 60 + minute.parse::<u16>().ok().filter(|m| *m < 60)?;
        (minutes <= 1440).then_some(minutes)
    };
    let (from, to) = text.split_once('-')?;
    let (from, to) = minutes(from).zip(minutes(to))?;
    (from != to && from < 1440 && to > 0).then_some(Hours { from, to })
});

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub jiff::tz::TimeZone);

read_text!(Zone, "a time zone of the IANA database, like \"Europe/Berlin\" or \"UTC\"", |text| {
    jiff::tz::TimeZone::get(text).ok().map(Zone)
});

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordText(String);

impl PasswordText {
    /// Makes the hash of a password, with a salt of its own and the parameters that OWASP names for argon2id (19 MiB, 2 passes).
    ///
    /// # Errors
    /// When the system has no random numbers, or the password is longer than 4 GiB.
    pub fn hash(password: &str) -> Result<Self, argon2::password_hash::Error> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| argon2::password_hash::Error::Crypto)?;
        let salt = SaltString::encode_b64(&salt)?;
        Argon2::default().hash_password(password.as_bytes(), &salt).map(|hash| Self(hash.to_string()))
    }

    /// Takes one in PHC form; `None` when it is none of argon2id.
    #[must_use]
    pub fn of_hash(text: &str) -> Option<Self> {
        let right = PasswordHash::new(text)
            .is_ok_and(|hash| hash.algorithm.as_str() == "argon2id" && hash.hash.is_some() && hash.salt.is_some());
        right.then(|| Self(text.to_string()))
    }

    /// In PHC form, `$argon2id$v=19$m=…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Never repeats what stands there: it could be a password.
impl Read for PasswordText {
    const EXPECTED: &'static str = "the argon2id hash of the password (it begins with $argon2id$), never the password itself; \
        `gatehouse gateway hash` makes one";

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        let text = value.get_ref().as_str().unwrap_or_default();
        if let Some(hash) = Self::of_hash(text) {
            return Some(hash);
        }
        notes.note(value.span().start, format!("This must be {}.", Self::EXPECTED));
        None
    }
}

/// How an upstream proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamScheme {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// SOCKS5; names are resolved here and vetted.
    Socks5,
    /// SOCKS5; the proxy resolves names.
    Socks5h,
}

/// Where an upstream proxy is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    /// How it is spoken to.
    pub scheme: UpstreamScheme,
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

read_text!(
    UpstreamUrl,
    "the address of a proxy, like \"http://proxy.example:3128\" (http, https, socks5 or socks5h; user name and password have \
     keys of their own)",
    |text| {
        let (scheme, rest) = text.split_once("://")?;
        let (scheme, port) = match scheme {
            "http" => (UpstreamScheme::Http, 80),
            "https" => (UpstreamScheme::Https, 443),
            "socks5" => (UpstreamScheme::Socks5, 1080),
            "socks5h" => (UpstreamScheme::Socks5h, 1080),
            _ => return None,
        };
        let (host, port) = Host::parse_authority(rest.strip_suffix('/').unwrap_or(rest), Some(port)).ok()?;
        Some(UpstreamUrl { scheme, host, port })
    }
);

/// Where a list is fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListUrl {
    /// As it was written.
    pub text: String,
    /// Over TLS.
    pub is_secure: bool,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// What is asked for there.
    pub path: String,
}

impl ListUrl {
    /// As it may be told to whoever looks: without the query, which may hold a key.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.text.split(['?', '#']).next().unwrap_or_default()
    }

    /// Reads `http://…` or `https://…`, without a user name and without a fragment.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (is_secure, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return None,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = Host::parse_authority(authority, Some(port)).ok()?;
        let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
        // It becomes a line of a request.
        path.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Self { text: text.to_string(), is_secure, host, port, path })
    }
}

read_text!(ListUrl, "the address of a list, like \"https://lists.example/ads.txt\"", ListUrl::parse);

/// Where a request goes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// This name alone.
    Name(String),
    /// `*.example.com`: what is below.
    Below(String),
    /// `.example.com`: the name and what is below.
    Domain(String),
    /// Addresses.
    Net(IpNet),
}

impl Place {
    /// Parses an entry of a rule or a category.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = |text: &str| HostName::parse(text).ok().filter(|name| name.address().is_none()).map(|n| n.ascii().to_string());
        if let Some(net) = parse_net(text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text)) {
            return Some(Self::Net(net));
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            return name(suffix).map(Self::Below);
        }
        match text.strip_prefix('.') {
            Some(domain) => name(domain).map(Self::Domain),
            None => name(text).map(Self::Name),
        }
    }

    /// Whether a name is meant.
    pub(crate) fn matches_name(&self, asked: &str) -> bool {
        let below = |suffix: &str| asked.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
        match self {
            Self::Name(name) => name == asked,
            Self::Below(suffix) => below(suffix),
            Self::Domain(domain) => domain == asked || below(domain),
            Self::Net(_) => false,
        }
    }
}

read_text!(
    Place,
    "a host (\"example.com\"), what is below it (\"*.example.com\"), both (\".example.com\"), an address or a network \
     (\"192.0.2.0/24\"), without scheme, port and path",
    Place::parse
);

/// A method (RFC 9110, 9): upper and lower case differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MethodName(pub String);

read_text!(MethodName, "a method like \"GET\" (in capitals: methods tell case apart)", |text| {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b.is_ascii_digit()))
        .then(|| MethodName(text.to_string()))
});
