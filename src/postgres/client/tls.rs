//! TLS to PostgreSQL by rustls, with libpq's `sslmode`s (PostgreSQL
//! documentation, "SSL Support").
//!
//! The certificates are read once, before any shard starts. The provider is
//! named here: nothing is installed for the whole process.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{PostgresUrl, TlsMode};
use crate::postgres::ConnectError;

/// What TLS of this address takes; `None` where it is never used.
///
/// # Errors
/// [`ConnectError::Tls`] when certificates cannot be read.
pub(super) fn connector(url: &PostgresUrl) -> Result<Option<MakeRustlsConnect>, ConnectError> {
    let checks = match url.effective_tls() {
        TlsMode::Disable => return Ok(None),
        TlsMode::Prefer | TlsMode::Require => Checks::Nothing,
        TlsMode::VerifyCa => Checks::Authority,
        TlsMode::VerifyFull => Checks::AuthorityAndName,
    };
    let authorities = match checks {
        Checks::Nothing => Vec::new(),
        _ => certificates(url.root_certificate.as_deref())?,
    };
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(
        checks,
        authorities,
        provider.signature_verification_algorithms,
    );
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(config)))
}

/// The authorities of a file, or the system's (`None`, or libpq's word for
/// them).
fn certificates(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let found = match file.filter(|path| *path != Path::new("system")) {
        Some(path) => {
            let refuse =
                |error| ConnectError::Tls(format!("sslrootcert {}: {error}", path.display()));
            let read = CertificateDer::pem_file_iter(path);
            let all: Result<Vec<_>, _> = read.map_err(refuse)?.collect();
            all.map_err(refuse)?
        }
        // Some of its files may be unreadable; what is there counts.
        None => rustls_native_certs::load_native_certs().certs,
    };
    if found.is_empty() {
        let place = file.map_or("the system".to_owned(), |path| path.display().to_string());
        return Err(ConnectError::Tls(format!("{place} has no certificate")));
    }
    Ok(found)
}

/// What is checked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checks {
    /// That whoever answers holds the key of the certificate they show.
    Nothing,
    /// And that an authority signed it.
    Authority,
    /// And that it is for the host of the address.
    AuthorityAndName,
}

struct Verifier {
    checks: Checks,
    authorities: RootCertStore,
    /// A file may hold the server's own, self-signed certificate, as libpq
    /// allows; it need not be one of an authority then. Its dates are not
    /// looked at: whoever named the file trusts it.
    pinned: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(
        checks: Checks,
        certificates: Vec<CertificateDer<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(certificates.iter().cloned());
        Self {
            checks,
            authorities,
            pinned: certificates,
            algorithms,
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("checks", &self.checks)
            .finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.checks == Checks::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if !self.pinned.iter().any(|pinned| pinned == end_entity) {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.authorities,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if self.checks == Checks::AuthorityAndName {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
