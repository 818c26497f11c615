//! HTTPS on the console's port: certificates from files that are read again when they change, or one of our own to begin with.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use axum::serve::Listener;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long a certificate of our own holds. Browsers refuse more than 398 days, even of one that somebody has accepted.
const OWN_DAYS: i64 = 397;
/// It is made anew when it holds for less than this. The log says its fingerprint again.
const OWN_LEFT: i64 = 30;
/// How often it is asked whether time makes a new one necessary, or a word about the one there is.
const TEND: Duration = Duration::from_secs(3600);

/// Whether the console speaks TLS, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not: something in front does, or it is asked by this machine alone.
    Off,
    /// With a certificate of our own, kept in this folder.
    SelfSigned(PathBuf),
    /// With these files: the chain, its own certificate first, and the key, both in PEM.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
}

impl Tls {
    /// Puts the settings together. Two files are enough to mean `files`.
    ///
    /// # Errors
    /// Which setting is wrong.
    pub fn parse(mode: Option<&str>, certificate: Option<PathBuf>, key: Option<PathBuf>, data: &Path) -> Result<Self, String> {
        match (mode, certificate, key) {
            (None | Some("files"), Some(certificate), Some(key)) => Ok(Self::Files { certificate, key }),
            (None | Some("off"), None, None) => Ok(Self::Off),
            (Some("self-signed"), None, None) => Ok(Self::SelfSigned(data.to_path_buf())),
            (None | Some("files"), ..) => {
                Err("TLS: give both files, TLS_CERTIFICATE (the chain in PEM) and TLS_KEY (its key in PEM)".into())
            }
            (Some(mode @ ("off" | "self-signed")), ..) => {
                Err(format!("TLS: '{mode}' goes without files: leave TLS_CERTIFICATE and TLS_KEY out, or set TLS to files"))
            }
            (Some(other), ..) => Err(format!("TLS: '{other}' is none of off, self-signed and files")),
        }
    }

    /// Whether browsers are told to come by HTTPS only from now on (RFC 6797). Not with a certificate that they warn of: they would
    /// let nobody accept it any more.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        matches!(self, Self::Files { .. })
    }
}

/// A chain and its key, ready for use.
struct Identity {
    key: Arc<CertifiedKey>,
    /// Of its first certificate.
    about: About,
}

/// What a certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// SHA-256 of the certificate, in the form that browsers show.
    pub fingerprint: String,
    /// Seconds since 1970 until which it holds.
    pub not_after: i64,
    /// Whom it stands for, as many as fit on a line.
    pub names: Vec<String>,
}

impl About {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let digest = Sha256::digest(der);
        let fingerprint = digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        let names = certificate.subject_alternative_name().ok().flatten().map(|extension| {
            let names = extension.value.general_names.iter().filter_map(|name| match name {
                x509_parser::prelude::GeneralName::DNSName(name) => Some((*name).to_string()),
                x509_parser::prelude::GeneralName::IPAddress([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
                x509_parser::prelude::GeneralName::IPAddress(octets) => {
                    <[u8; 16]>::try_from(*octets).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string())
                }
                _ => None,
            });
            names.collect()
        });
        Some(Self { fingerprint, not_after: certificate.validity().not_after.timestamp(), names: names.unwrap_or_default() })
    }

    /// How many whole days it still holds; negative when it does not.
    #[must_use]
    pub fn days_left(&self) -> i64 {
        (self.not_after - chrono::Utc::now().timestamp()).div_euclid(86_400)
    }
}

/// Reads a chain and its key and makes sure that they belong together.
///
/// # Errors
/// Which file can't be used and why, for the operator.
fn load(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let problem = |name: &str, path: &Path, why: &dyn fmt::Display| format!("{name} {}: {why}", path.display());
    let chain_problem = |why: &dyn fmt::Display| problem("TLS_CERTIFICATE", certificate, why);
    let key_problem = |why: &dyn fmt::Display| problem("TLS_KEY", key, why);
    let pem = std::fs::read(certificate).map_err(|error| chain_problem(&error))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| chain_problem(&"a certificate in it is damaged"))?;
    let Some(first) = chain.first() else {
        return Err(chain_problem(&"there is no certificate in it (PEM, from -----BEGIN CERTIFICATE----- on)"));
    };
    let about = About::read(first).ok_or_else(|| chain_problem(&"its first certificate is damaged"))?;
    let pem = std::fs::read(key).map_err(|error| key_problem(&error))?;
    let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        // The commonest mistake, and one that looks like a damaged file otherwise.
        let locked = String::from_utf8_lossy(&pem).contains("ENCRYPTED");
        key_problem(if locked {
            &"it is locked with a password: unlock it (openssl pkey -in locked.pem -out key.pem) and keep the file for this user alone"
        } else {
            &"there is no private key in it (PEM)"
        })
    })?;
    let provider = ring::default_provider();
    let certified = CertifiedKey::from_der(chain, secret, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("TLS_KEY {} is not the key of the first certificate in {}", key.display(), certificate.display())
        }
        error => key_problem(&error),
    })?;
    if about.days_left() < 0 {
        tracing::warn!(file = %certificate.display(), "the certificate has expired: browsers refuse it");
    } else if about.days_left() < 14 {
        tracing::warn!(file = %certificate.display(), days = about.days_left(), "the certificate expires soon");
    }
    Ok(Identity { key: Arc::new(certified), about })
}

/// What a certificate file says about itself, for `gatehouse doctor`.
///
/// # Errors
/// As when it is used.
pub fn look(certificate: &Path, key: &Path) -> Result<About, String> {
    load(certificate, key).map(|identity| identity.about)
}

/// The files of a certificate of our own.
#[must_use]
pub fn own_files(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("tls-self-signed.pem"), folder.join("tls-self-signed.key"))
}

/// Makes a certificate of our own where there is none that still holds for these names.
fn make_own(folder: &Path, names: &[String]) -> Result<(), String> {
    let (certificate, key) = own_files(folder);
    if let Ok(identity) = load(&certificate, &key)
        && identity.about.days_left() >= OWN_LEFT
        && names.iter().all(|name| identity.about.names.contains(name))
    {
        return Ok(());
    }
    let problem = |error: &dyn fmt::Display| format!("a certificate can't be made in {}: {error}", folder.display());
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(|error| problem(&error))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Gatehouse (made by itself)");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let day = |days: i64| {
        use chrono::Datelike as _;
        let date = chrono::Utc::now() + chrono::TimeDelta::days(days);
        // Months and days of the calendar fit.
        rcgen::date_time_ymd(date.year(), u8::try_from(date.month()).unwrap_or(1), u8::try_from(date.day()).unwrap_or(1))
    };
    // Clocks differ.
    (params.not_before, params.not_after) = (day(-1), day(OWN_DAYS - 1));
    let pair = rcgen::KeyPair::generate().map_err(|error| problem(&error))?;
    let made = params.self_signed(&pair).map_err(|error| problem(&error))?;
    std::fs::create_dir_all(folder).map_err(|error| problem(&error))?;
    // The key first: whoever looks meanwhile finds an old certificate, not a key that is open for all.
    write_private(&key, &pair.serialize_pem()).map_err(|error| problem(&error))?;
    write_private(&certificate, &made.pem()).map_err(|error| problem(&error))?;
    Ok(())
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let part = path.with_extension("part");
    let _ = std::fs::remove_file(&part);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(part, path)
}

/// For whom a certificate of our own stands: this machine by its names, and where we listen.
fn own_names(listen: IpAddr, public_url: Option<&str>) -> Vec<String> {
    let mut names = vec!["localhost".to_string(), "127.0.0.1".into(), "::1".into()];
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        names.push(name.trim().to_ascii_lowercase());
    }
    if !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    if let Some(authority) = public_url.and_then(|url| url.split_once("://")).map(|(_, authority)| authority)
        && let Ok(authority) = authority.parse::<http::uri::Authority>()
    {
        names.push(authority.host().trim_matches(['[', ']']).to_string());
    }
    // As certificates write them.
    let canonical = |name: String| name.parse::<IpAddr>().map_or(name, |address| address.to_string());
    let mut names: Vec<_> = names.into_iter().filter(|name| !name.is_empty()).map(canonical).collect();
    names.sort();
    names.dedup();
    names
}

/// The identity of now: it changes while connections are open.
struct Current {
    now: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What tells one state of a file from another: when it was changed, its length, which file it is.
type State = (SystemTime, u64, u64);

fn state(path: &Path) -> Option<State> {
    use std::os::unix::fs::MetadataExt as _;
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len(), about.ino()))
}

/// Takes connections and agrees on TLS, each client by itself: a slow one keeps nobody waiting.
pub struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Begins to take connections. Certificates that change on the disk are used for new connections within seconds.
    ///
    /// # Errors
    /// What of the certificate or the key can't be used, for the operator.
    pub fn start(listener: TcpListener, tls: &Tls, public_url: Option<&str>) -> Result<(Self, About), String> {
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let names = own_names(address.ip(), public_url);
        let (certificate, key, own) = match tls {
            Tls::Off => return Err("TLS is off".into()),
            Tls::Files { certificate, key } => (certificate.clone(), key.clone(), None),
            Tls::SelfSigned(folder) => {
                make_own(folder, &names)?;
                let (certificate, key) = own_files(folder);
                (certificate, key, Some((folder.clone(), names)))
            }
        };
        let seen = (state(&certificate), state(&key));
        let Identity { key: certified, about } = load(&certificate, &key)?;
        let current = Arc::new(Current { now: RwLock::new(certified) });
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if let Ok(ticketer) = ring::Ticketer::new() {
            config.ticketer = ticketer;
        }
        let (sender, ready) = mpsc::channel(64);
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), sender.clone()));
        tokio::spawn(async move {
            let (mut seen, mut said, mut tended) = (Some(seen), None, Instant::now());
            // As long as anybody takes connections.
            while tokio::time::timeout(LOOK, sender.closed()).await.is_err() {
                let tends = tended.elapsed() >= TEND;
                if tends {
                    tended = Instant::now();
                    // Said again what is in the log for long: that it expires soon.
                    seen = None;
                }
                let (certificate, key, own) = (certificate.clone(), key.clone(), own.clone().filter(|_| tends));
                let before = seen;
                let looked = tokio::task::spawn_blocking(move || {
                    let made = own.map_or(Ok(()), |(folder, names)| make_own(&folder, &names));
                    let now = (state(&certificate), state(&key));
                    if Some(now) == before {
                        return Ok(None);
                    }
                    made.and_then(|()| load(&certificate, &key)).map(|identity| Some((identity, now)))
                });
                match looked.await.unwrap_or(Ok(None)) {
                    Ok(None) => {}
                    Ok(Some((identity, now))) => {
                        let mut current = current.now.write().unwrap_or_else(PoisonError::into_inner);
                        if current.end_entity_cert().ok() != identity.key.end_entity_cert().ok() {
                            tracing::info!(fingerprint = %identity.about.fingerprint, days = identity.about.days_left(), "the certificate was read again");
                        }
                        *current = identity.key;
                        (seen, said) = (Some(now), None);
                    }
                    // Whatever it was (also who may read a file is changed without a trace in its times), it is tried again.
                    Err(why) if said.as_ref() != Some(&why) => {
                        tracing::error!("the certificate stays as it was: {why}");
                        said = Some(why);
                    }
                    Err(_) => {}
                }
            }
        });
        Ok((Self { address, ready }, about))
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            // The task that takes connections ends with this listener only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

async fn accept(mut listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    loop {
        let (stream, peer) = tokio::select! {
            // axum's own: it waits when there are no descriptors left.
            accepted = Listener::accept(&mut listener) => accepted,
            () = ready.closed() => return,
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            let agreed = tokio::time::timeout(HANDSHAKE, async {
                let _ = stream.set_nodelay(true);
                let mut first = [0; 1];
                // 22: a TLS record of a handshake (RFC 8446, 5.1).
                if stream.peek(&mut first).await? == 1 && first[0] != 22 {
                    lead_to_https(stream).await;
                    return Ok(None);
                }
                acceptor.accept(stream).await.map(Some)
            });
            match agreed.await {
                Ok(Ok(Some(stream))) => {
                    let _ = ready.send((stream, peer)).await;
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
                Err(_) => tracing::debug!(%peer, "no TLS within its time"),
            }
        });
    }
}

/// Whoever speaks plain HTTP to this port is told where to go: a browser follows, a person reads why.
async fn lead_to_https(mut stream: TcpStream) {
    let mut head = Vec::with_capacity(2048);
    let mut part = [0; 2048];
    while head.len() < 8192 && !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&part[..read]),
        }
    }
    let answer = plain_answer(&head);
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    // What it still sends is read: a reset would take the answer away from it.
    while matches!(stream.read(&mut part).await, Ok(read) if read > 0) {}
}

fn plain_answer(head: &[u8]) -> String {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let known = matches!(request.parse(head), Ok(httparse::Status::Complete(_)));
    let place = known
        .then(|| {
            let is_read = matches!(request.method, Some("GET" | "HEAD"));
            let path = request.path.filter(|path| path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()))?;
            let host = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("host"))?;
            let host: http::uri::Authority = std::str::from_utf8(host.value).ok()?.trim().parse().ok()?;
            (is_read && !host.as_str().contains('@')).then(|| format!("https://{host}{path}"))
        })
        .flatten();
    let text = "This port speaks HTTPS. Use an address that begins with https://\n";
    let (status, more) = match place {
        // For good it is not: TLS may be turned off again.
        Some(place) => ("307 Temporary Redirect", format!("Location: {place}\r\n")),
        None => ("400 Bad Request", String::new()),
    };
    format!(
        "HTTP/1.1 {status}\r\n{more}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_one_thing() {
        let data = Path::new("data");
        let parse = |mode, certificate: Option<&str>, key: Option<&str>| {
            Tls::parse(mode, certificate.map(PathBuf::from), key.map(PathBuf::from), data)
        };
        assert_eq!(parse(None, None, None), Ok(Tls::Off));
        assert_eq!(parse(Some("off"), None, None), Ok(Tls::Off));
        assert_eq!(parse(Some("self-signed"), None, None), Ok(Tls::SelfSigned("data".into())));
        let files = Ok(Tls::Files { certificate: "c".into(), key: "k".into() });
        assert_eq!(parse(None, Some("c"), Some("k")), files);
        assert_eq!(parse(Some("files"), Some("c"), Some("k")), files);
        for (mode, certificate, key) in [
            (None, Some("c"), None),
            (Some("files"), None, None),
            (Some("off"), Some("c"), Some("k")),
            (Some("self-signed"), None, Some("k")),
            (Some("on"), None, None),
        ] {
            assert!(parse(mode, certificate, key).is_err_and(|why| why.starts_with("TLS: ")), "{mode:?}");
        }
    }

    #[test]
    fn a_certificate_of_our_own_is_kept_and_made_anew_for_other_names() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let names = own_names("10.1.2.3".parse().expect("an address"), Some("https://gate.example:8443"));
        assert!(
            ["localhost", "127.0.0.1", "::1", "10.1.2.3", "gate.example"].iter().all(|name| names.contains(&(*name).to_string()))
        );
        make_own(folder.path(), &names).expect("made");
        let (certificate, key) = own_files(folder.path());
        let first = look(&certificate, &key).expect("right");
        assert!((394..=397).contains(&first.days_left()), "{first:?}");
        assert_eq!(std::fs::metadata(&key).expect("there").permissions().mode() & 0o777, 0o600);
        make_own(folder.path(), &names).expect("kept");
        assert_eq!(look(&certificate, &key).expect("right"), first);
        make_own(folder.path(), &["other.example".into()]).expect("made");
        assert_ne!(look(&certificate, &key).expect("right").fingerprint, first.fingerprint);
    }

    #[test]
    fn files_that_can_not_be_used_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let made = |name: &str| {
            let pair = rcgen::KeyPair::generate().expect("a key");
            let certificate =
                rcgen::CertificateParams::new(vec![name.to_string()]).expect("a name").self_signed(&pair).expect("made");
            (certificate.pem(), pair.serialize_pem())
        };
        let ((a, a_key), (_, b_key)) = (made("a.test"), made("b.test"));
        let (a, a_key, b_key) = (write("a.pem", &a), write("a.key", &a_key), write("b.key", &b_key));
        assert_eq!(look(&a, &a_key).expect("right").names, ["a.test"]);
        let why = |certificate: &Path, key: &Path| look(certificate, key).expect_err("wrong");
        assert!(why(&folder.path().join("none"), &a_key).starts_with("TLS_CERTIFICATE "));
        assert!(why(&a_key, &a_key).contains("no certificate"));
        assert!(why(&a, &a).contains("no private key"));
        assert!(why(&a, &b_key).contains("not the key of the first certificate"));
        let locked = write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
        assert!(why(&a, &locked).contains("locked with a password"));
    }

    #[test]
    fn plain_http_is_led_to_https_and_nowhere_else() {
        let answer = |head: &str| plain_answer(head.as_bytes());
        let led = answer("GET /a?b=c HTTP/1.1\r\nHost: gate.example:3000\r\n\r\n");
        assert!(led.starts_with("HTTP/1.1 307 ") && led.contains("\r\nLocation: https://gate.example:3000/a?b=c\r\n"), "{led}");
        for head in [
            "POST /a HTTP/1.1\r\nHost: gate.example\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: gate.example\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@evil.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GARBAGE",
        ] {
            let told = answer(head);
            assert!(
                told.starts_with("HTTP/1.1 400 ") && !told.contains("Location") && told.contains("speaks HTTPS"),
                "{head}: {told}"
            );
        }
    }
}
