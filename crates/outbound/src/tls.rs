//! TLS to the proxy and to the target: whom we trust, and what a failure means.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use gatehouse_domain::{CaPem, HostName};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};

use crate::wire::{Looks, Wire};

/// The longest name from a certificate that is shown, in characters.
const MAX_NAME: usize = 100;
/// How many names from a certificate are shown.
const MAX_NAMES: usize = 5;

/// Whose certificates are accepted: the system's authorities, and those pasted into the setting (or for the target).
#[derive(Debug)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    pasted: Vec<CertificateDer<'static>>,
    system: usize,
}

impl Trust {
    /// Reads the system's authorities as they are now, so that one that was added needs no restart. Reads files: not for
    /// the threads that serve connections.
    ///
    /// # Errors
    /// Which pasted certificate can't be used.
    pub(crate) fn load<'a>(pems: impl IntoIterator<Item = &'a CaPem>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let mut pasted = Vec::new();
        for pem in pems {
            pasted.extend(add_pasted(&mut roots, pem)?);
        }
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a system certificate could not be read");
        }
        // A system's store may hold relics that can't be used; the others still count.
        let (system, _) = roots.add_parsable_certificates(found.certs);
        Ok(Self { roots: Arc::new(roots), pasted, system })
    }
}

/// Adds each pasted certificate, and answers them.
fn add_pasted(roots: &mut RootCertStore, pem: &CaPem) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pasted = Vec::new();
    for (at, block) in CertificateDer::pem_slice_iter(pem.as_str().as_bytes()).enumerate() {
        let number = at + 1;
        let der =
            block.map_err(|_| format!("Certificate {number} is damaged: paste it again, from its first line to its last."))?;
        let Ok((rest, certificate)) = X509Certificate::from_der(&der) else {
            return Err(format!("Certificate {number} is damaged: it is not an X.509 certificate, or a part of it is missing."));
        };
        if !rest.is_empty() {
            return Err(format!("Certificate {number} is damaged: something follows its end."));
        }
        let name = display_name(certificate.subject());
        roots.add(der.clone()).map_err(|_| {
            format!("Certificate {number} ({name}) can't be used to verify others: it holds something that is not supported.")
        })?;
        pasted.push(der);
    }
    if pasted.is_empty() {
        return Err("There is no certificate in this text.".into());
    }
    Ok(pasted)
}

/// Whether each of these certificates can be used for verification.
///
/// # Errors
/// Which one can't and why, for the person who pasted it.
pub(crate) fn check_ca(pem: &CaPem) -> Result<(), String> {
    add_pasted(&mut RootCertStore::empty(), pem).map(|_| ())
}

/// What a certificate says about itself, bounded and cleaned. Foreign words: `texts` decides whether they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) issuer: String,
    pub(crate) names: Vec<String>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    /// Issued by itself.
    pub(crate) self_signed: bool,
    /// Made to issue others, not to stand for a server.
    pub(crate) is_authority: bool,
}

impl Presented {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten().map(|extension| {
            let names = extension.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(clean(name)),
                GeneralName::IPAddress([a, b, c, d]) => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
                GeneralName::IPAddress(octets) => {
                    <[u8; 16]>::try_from(*octets).ok().map(|o| std::net::Ipv6Addr::from(o).to_string())
                }
                _ => None,
            });
            names.take(MAX_NAMES).collect()
        });
        Some(Self {
            issuer: display_name(certificate.issuer()),
            names: names.unwrap_or_default(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            self_signed: certificate.issuer().as_raw() == certificate.subject().as_raw(),
            is_authority: certificate.basic_constraints().ok().flatten().is_some_and(|c| c.value.ca),
        })
    }
}

/// The common name and the organisation, as people know an authority.
fn display_name(name: &X509Name<'_>) -> String {
    let first = |attribute: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
        attribute.and_then(|a| a.as_str().ok()).map(clean).filter(|text| !text.is_empty())
    };
    let common = first(name.iter_common_name().next());
    let organisation = first(name.iter_organization().next());
    match (common, organisation) {
        (Some(common), Some(organisation)) if common != organisation => format!("{common} ({organisation})"),
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => first(name.iter_organizational_unit().next()).unwrap_or_else(|| "an authority without a name".into()),
    }
}

/// Foreign text as it may be shown: without what nobody sees or what makes text read as another, and bounded.
fn clean(text: &str) -> String {
    let mut shown: String =
        text.chars().filter(|c| !gatehouse_domain::text::is_forbidden(*c) && !is_invisible(*c)).take(MAX_NAME + 1).collect();
    if shown.chars().count() > MAX_NAME {
        shown = shown.chars().take(MAX_NAME).chain(['…']).collect();
    }
    shown.trim().to_string()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{E0000}'..='\u{E007F}' | '\u{061C}' | '\u{00AD}')
}

/// Why TLS failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsProblem {
    /// A pasted certificate can't be used; the words are ours.
    UnusableCa(String),
    /// The certificate is not right. Whether there are pasted authorities, and how many of the system's.
    Certificate { why: Wrong, presented: Option<Presented>, pasted: bool, system: usize },
    /// What answers does not speak TLS, but something like this.
    NotTls(Looks),
    /// It speaks only versions of TLS that are no longer safe.
    TooOld,
    /// There is no cipher or key exchange that both know.
    NothingInCommon,
    /// It wants a certificate from us.
    ClientCertificate,
    /// It does not know the name that we asked for.
    UnknownName,
    /// It broke off with an alert that says nothing about us.
    Alert,
    /// It closed the connection.
    Closed,
    /// It speaks TLS against the rules.
    AgainstTheRules,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// No trusted authority issued it.
    UnknownIssuer,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYet,
    /// It stands for other names.
    Name,
    /// It is an authority's own.
    Authority,
    /// It is not made for servers.
    Purpose,
    /// Anything else.
    Other,
}

/// What is known of an encrypted connection.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) version: &'static str,
    pub(crate) presented: Option<Presented>,
}

/// Encrypts the connection and verifies that the other end is `host`: by SNI and name, or by address.
pub(crate) async fn secure(mut wire: Wire, host: &HostName, trust: &Trust) -> Result<(TlsStream<Wire>, Secured), TlsProblem> {
    let name = match host.address() {
        Some(address) => ServerName::from(address),
        // A name that TLS can't carry is on no certificate.
        None => ServerName::try_from(host.ascii().to_string()).map_err(|_| TlsProblem::UnknownName)?,
    };
    // Given explicitly: several providers are linked into the program, so there is no process-wide default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let witness = Arc::new(Witness::new(trust, provider.clone())?);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| TlsProblem::NothingInCommon)?
        // Not less strict than the standard verifier, which does the verifying: see `Witness`.
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    // The tunnel speaks HTTP/1.1 and nothing else; without ALPN some servers would choose HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Each test stands for itself.
    config.resumption = rustls::client::Resumption::disabled();
    wire.begin_anew();
    match TlsConnector::from(Arc::new(config)).connect(name, wire).into_fallible().await {
        Ok(stream) => {
            let version = match stream.get_ref().1.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS 1.3",
            };
            Ok((stream, Secured { version, presented: witness.presented() }))
        }
        Err((error, wire)) => Err(classify(&error, wire.first_bytes(), &witness, trust)),
    }
}

/// Verifies as rustls does, and remembers which certificate was presented, so that a failure can name its issuer.
///
/// In one case more is accepted: the very certificate that was presented is among the pasted ones. Small proxies come with
/// one self-signed certificate that is marked as an authority, which the standard verifier refuses as a server's; who
/// pastes it has said that this is the one. Its name and its time are checked all the same.
#[derive(Debug)]
struct Witness {
    inner: Arc<WebPkiServerVerifier>,
    pasted: Vec<CertificateDer<'static>>,
    presented: Mutex<Option<Presented>>,
}

impl Witness {
    fn new(trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Self, TlsProblem> {
        // Fails only without any authority: a machine without system certificates, and nothing pasted.
        let inner = WebPkiServerVerifier::builder_with_provider(trust.roots.clone(), provider)
            .build()
            .map_err(|_| TlsProblem::Certificate { why: Wrong::UnknownIssuer, presented: None, pasted: false, system: 0 })?;
        Ok(Self { inner, pasted: trust.pasted.clone(), presented: Mutex::new(None) })
    }

    fn presented(&self) -> Option<Presented> {
        self.presented.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>], server_name: &ServerName<'_>,
        ocsp_response: &[u8], now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = Presented::read(end_entity);
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = presented.clone();
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if verdict.is_ok() || !self.pasted.iter().any(|pasted| pasted == end_entity) {
            return verdict;
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        match presented {
            Some(p) if now > p.not_after => Err(CertificateError::Expired.into()),
            Some(p) if now < p.not_before => Err(CertificateError::NotValidYet.into()),
            Some(_) => Ok(ServerCertVerified::assertion()),
            None => verdict,
        }
    }

    fn verify_tls12_signature(
        &self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// What a failed handshake means.
fn classify(error: &io::Error, first: &[u8], witness: &Witness, trust: &Trust) -> TlsProblem {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return TlsProblem::Closed;
    };
    match error {
        // The port speaks something else: recognised by how its answer begins, not by where parsing stumbled.
        _ if !first.is_empty() && Looks::of(first) != Looks::Tls => TlsProblem::NotTls(Looks::of(first)),
        Error::InvalidCertificate(why) => {
            let presented = witness.presented();
            let why = match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Wrong::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Wrong::NotYet,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Wrong::Name,
                CertificateError::UnknownIssuer => Wrong::UnknownIssuer,
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Wrong::Purpose,
                // A new authority with an old one's name: signed by a key that is not the trusted one's.
                CertificateError::BadSignature => Wrong::UnknownIssuer,
                _ if presented.as_ref().is_some_and(|p| p.is_authority) => Wrong::Authority,
                _ => Wrong::Other,
            };
            TlsProblem::Certificate { why, presented, pasted: !trust.pasted.is_empty(), system: trust.system }
        }
        Error::NoCertificatesPresented => {
            TlsProblem::Certificate { why: Wrong::Other, presented: None, pasted: !trust.pasted.is_empty(), system: trust.system }
        }
        Error::AlertReceived(alert) => match alert {
            AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => TlsProblem::TooOld,
            AlertDescription::HandshakeFailure => TlsProblem::NothingInCommon,
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => TlsProblem::ClientCertificate,
            AlertDescription::UnrecognisedName => TlsProblem::UnknownName,
            _ => TlsProblem::Alert,
        },
        Error::PeerIncompatible(why) => match why {
            rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13
            | rustls::PeerIncompatible::ExtendedMasterSecretExtensionRequired => TlsProblem::TooOld,
            _ => TlsProblem::NothingInCommon,
        },
        _ => TlsProblem::AgainstTheRules,
    }
}
