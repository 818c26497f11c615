//! TLS that the gateway itself speaks: to upstream proxies, and to publishers of lists. Tunnels are their ends' own.

use std::sync::{Arc, OnceLock};

use gatehouse_domain::CaPem;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
            verify_server_name,
        },
        crypto::{CryptoProvider, ring},
        server::ParsedCertificate,
    },
};

use crate::names::Host;

/// The certificates of a proxy setting, each good for verifying others.
///
/// # Errors
/// Which one is not, in words that fit behind the name of the setting.
pub(crate) fn certificates(pem: &CaPem) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut roots = RootCertStore::empty();
    let mut all = Vec::new();
    for (at, block) in CertificateDer::pem_slice_iter(pem.as_str().as_bytes()).enumerate() {
        let usable = block.ok().filter(|der| roots.add(der.clone()).is_ok());
        all.push(usable.ok_or_else(|| format!("its certificate {} can't be used to verify others", at + 1))?);
    }
    Ok(all)
}

/// Whom the gateway trusts: the system's authorities as they were when TLS was first needed.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    system: OnceLock<RootCertStore>,
    plain: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Trust {
    fn system(&self) -> &RootCertStore {
        self.system.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        })
    }

    /// With the system's authorities alone. `None`: there is no TLS here.
    pub(crate) fn plain(&self) -> Option<TlsConnector> {
        let make = || {
            let config = begin(Arc::new(ring::default_provider()))?;
            Some(Arc::new(config.with_root_certificates(self.system().clone()).with_no_client_auth()))
        };
        self.plain.get_or_init(make).clone().map(TlsConnector::from)
    }

    /// With these besides. `None`: they can't be used, which was found out when the policy was read.
    pub(crate) fn with(&self, pem: &CaPem) -> Option<Arc<ClientConfig>> {
        let pasted = certificates(pem).ok()?;
        let mut roots = self.system().clone();
        roots.add_parsable_certificates(pasted.iter().cloned());
        let provider = Arc::new(ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok()?;
        let config = begin(provider)?
            // Not less strict than the standard verifier, which does the verifying: see `Pasted`.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pasted { inner, pasted }))
            .with_no_client_auth();
        Some(Arc::new(config))
    }
}

type Beginning = tokio_rustls::rustls::ConfigBuilder<ClientConfig, tokio_rustls::rustls::WantsVerifier>;

/// Given a provider explicitly: several are linked into the program, so there is no process-wide default.
fn begin(provider: Arc<CryptoProvider>) -> Option<Beginning> {
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()
}

/// Who a host has to be over TLS.
pub(crate) fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host.address() {
        Some(address) => Some(ServerName::from(address)),
        None => ServerName::try_from(host.as_str().to_string()).ok(),
    }
}

/// Verifies as rustls does, and accepts one thing more: the very certificate that was pasted into the setting. Small proxies come with one
/// self-signed certificate that is marked as an authority, which the standard verifier refuses as a server's. The connection test of the
/// console takes it; what passes there has to work here. Its name and its time are checked all the same.
#[derive(Debug)]
struct Pasted {
    inner: Arc<WebPkiServerVerifier>,
    pasted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Pasted {
    fn verify_server_cert(
        &self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>], server_name: &ServerName<'_>,
        ocsp_response: &[u8], now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError as E;
        let verdict = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match &verdict {
            Ok(_) => return verdict,
            // The verifier looks at the time before it looks at what a certificate is for.
            Err(Error::InvalidCertificate(
                E::Expired
                | E::ExpiredContext { .. }
                | E::NotValidYet
                | E::NotValidYetContext { .. }
                | E::Revoked
                | E::BadSignature,
            )) => return verdict,
            Err(_) if !self.pasted.iter().any(|pasted| pasted == end_entity) => return verdict,
            Err(_) => {}
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self, message: &[u8], certificate: &CertificateDer<'_>, signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self, message: &[u8], certificate: &CertificateDer<'_>, signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
