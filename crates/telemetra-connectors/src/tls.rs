//! Whose certificate is good enough, and what a failed handshake means: for every client that speaks TLS.
//!
//! A certificate that stands in the CA file itself is trusted as it is: self-signed ones are no CA's to rustls.
//! That the server holds the certificate's key is proved by every handshake, whatever is demanded.
//! Knows neither protocols nor how settings are called: their [`Words`] come along.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use x509_cert::der::Decode;

/// Longest file of certificates, bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Who may sign the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The operating system's certificate authorities.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// What we show to servers that ask who comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PEM file of the certificate, with those of authorities between if there are any.
    pub certificate: PathBuf,
    /// Its key, PEM or PKCS #8 in DER.
    pub key: PathBuf,
}

/// What is looked at in the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    Nothing,
    Chain,
    ChainAndName,
}

/// How a client's settings are called, so that a sentence can name the one to change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    /// The file of authorities.
    pub(crate) roots: &'static str,
    /// Certificate and key.
    pub(crate) identity: &'static str,
    /// What to choose, beside another name, if the certificate is for others; empty for nothing.
    pub(crate) or_no_name: &'static str,
}

/// How a client connects; the files are read anew, so that renewed ones are taken up.
///
/// # Errors
/// Which file is missing, unreadable or without what it should hold, in words.
pub(crate) fn client_config(
    demand: Demand,
    roots: &Roots,
    identity: Option<&Identity>,
    words: &Words,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let trusted = if demand == Demand::Nothing { Vec::new() } else { trusted(roots, words)? };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(trusted.iter().cloned());
    let pinned = if matches!(roots, Roots::File(_)) { trusted } else { Vec::new() };
    let verifier = Arc::new(Verifier { demand, roots: store, pinned, algorithms });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(Identity { certificate, key }) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let wrong = |error| format!("{} does not go with {}: {error}", key.display(), certificate.display());
    builder.with_client_auth_cert(chain, private_key(key)?).map_err(wrong)
}

fn trusted(roots: &Roots, words: &Words) -> Result<Vec<CertificateDer<'static>>, String> {
    match roots {
        Roots::File(path) => certificates(path),
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let next = words.roots;
                return Err(format!("this machine has no certificate authorities: name a CA file in {next}"));
            }
            Ok(found.certs)
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{} holds no certificate: it must be PEM text", path.display())),
        Err(error) => Err(format!("{} is no PEM text: {error}", path.display())),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    refuse_if_shared(path)?;
    let bytes = read(path)?;
    if let Ok(key) = PrivateKeyDer::from_pem_slice(&bytes) {
        return Ok(key);
    }
    // pgjdbc's `.pk8`.
    PrivateKeyDer::try_from(bytes)
        .map_err(|_| format!("{} holds no private key that is not encrypted, PEM or PKCS #8", path.display()))
}

/// As libpq: nobody else may read the key, but for the group of a key that root owns.
fn refuse_if_shared(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    let shared = if found.uid() == 0 { 0o027 } else { 0o077 };
    if found.mode() & shared == 0 {
        return Ok(());
    }
    Err(format!("{} can be read by others: `chmod 600` it", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let length = fs::metadata(path).map_err(|error| unreadable(path, &error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(format!("{} is longer than 4 MB", path.display()));
    }
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}

/// Judges the server's certificate.
#[derive(Debug)]
struct Verifier {
    demand: Demand,
    roots: RootCertStore,
    /// Trusted as they are.
    pinned: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.demand == Demand::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if self.pinned.iter().any(|pinned| pinned == end_entity) {
            verify_validity(end_entity, now)?;
        } else {
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        }
        if self.demand == Demand::ChainAndName {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn verify_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let parsed = x509_cert::Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = parsed.tbs_certificate.validity;
    let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
    if now.as_secs() > seconds(validity.not_after) {
        return Err(CertificateError::Expired.into());
    }
    if now.as_secs() < seconds(validity.not_before) {
        return Err(CertificateError::NotValidYet.into());
    }
    Ok(())
}

/// A failed handshake as a sentence with the way on; `host` is the name that was asked for.
pub(crate) fn explained(error: &Error, host: &str, roots: &Roots, words: &Words) -> String {
    let Words { roots: in_roots, identity: in_identity, or_no_name } = words;
    let authority: &dyn fmt::Display = match roots {
        Roots::File(path) => &path.display(),
        Roots::System => &"this machine's authorities",
    };
    match error {
        Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::Expired => "its certificate has expired: renew it".into(),
            CertificateError::ExpiredContext { not_after, .. } => {
                format!("its certificate expired {}: renew it", ago(not_after))
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet: look at both clocks".into()
            }
            CertificateError::UnknownIssuer => format!(
                "its certificate is signed by none of {authority}: name its CA's certificate in {in_roots}"
            ),
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => format!(
                "its certificate names no host in subjectAltName, {host} is asked for: make one that \
                 does{or_no_name}"
            ),
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "its certificate is not for {host} but for {}: ask for that name{or_no_name}",
                presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
            ),
            CertificateError::NotValidForName => {
                format!("its certificate is not for {host}: ask for its name{or_no_name}")
            }
            CertificateError::Other(other) => format!(
                "its certificate is not accepted ({other:?}): it must be of X.509 version 3 and no CA's own, or \
                 stand itself in {in_roots}"
            ),
            other => format!("its certificate is not accepted: {other}"),
        },
        Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied),
        ) => {
            format!("the server does not accept our certificate ({alert:?}): name one in {in_identity}")
        }
        Error::AlertReceived(alert) => format!("the server ended the TLS handshake ({alert:?})"),
        other => format!("the TLS handshake failed: {other}"),
    }
}

/// `localhost` of rustls' `DnsName("localhost")`.
fn bare(presented: &str) -> &str {
    let inside = presented.split_once('(').and_then(|(_, inside)| inside.strip_suffix(')'));
    inside.map_or(presented, |name| name.trim_matches('"'))
}

/// How long ago, in days, a certificate ended.
fn ago(end: &UnixTime) -> String {
    let end = UNIX_EPOCH + Duration::from_secs(end.as_secs());
    let days = SystemTime::now().duration_since(end).map_or(0, |since| since.as_secs() / 86_400);
    if days == 0 { "today".into() } else { format!("{days} days ago") }
}
