//! Handshakes with a server of our own: what each mode takes and refuses, and in which words.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

use crate::postgres::{
    Address,
    failure::Failure,
    fake::{Fake, Script},
    session::Session,
};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// Two authorities, and files of theirs.
struct Keys {
    folder: TempDir,
    ours: Issuer,
    other: Issuer,
}

impl Keys {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let issuer = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).expect("no names");
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let key = KeyPair::generate().expect("a key");
            CertifiedIssuer::self_signed(params, key).expect("a certificate")
        };
        let (ours, other) = (issuer("ours"), issuer("other"));
        let keys = Self { folder, ours, other };
        // A file of several: the second is the one.
        keys.write("both.pem", &format!("{}{}", keys.other.pem(), keys.ours.pem()));
        keys.write("ours.pem", &keys.ours.pem());
        keys.write("other.pem", &keys.other.pem());
        keys
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("the folder can be written");
        path
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// A certificate of our authority for `name`, valid until the end of `year`.
    fn signed(&self, name: &str, year: i32) -> (CertificateDer<'static>, String, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.ours).expect("a certificate");
        (certificate.der().clone(), certificate.pem(), key)
    }

    /// A server that shows a certificate, and with `asks` wants one of ours from the client.
    fn server(&self, certificate: CertificateDer<'static>, key: &KeyPair, asks: bool) -> Fake {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let mut roots = RootCertStore::empty();
        roots.add(self.ours.der().clone()).expect("a root");
        let builder = if asks {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = builder.with_single_cert(vec![certificate], key.into()).expect("they go together");
        Fake::start(Script { tls: Some(Arc::new(config)), ..Script::default() })
    }
}

/// Connects and compares: empty `words` mean that it works.
fn check(server: &Fake, host: &str, parameters: &str, words: &str) {
    let url = format!("postgres://u:canary@{host}:{}/d?{parameters}", server.port);
    let opened = Session::open(&Address::parse(&url).expect("an address"), "test");
    match opened {
        Ok(_) => assert_eq!(words, "", "{parameters} lets it in"),
        Err(Failure::Refused(text)) => {
            assert!(!words.is_empty() && text.contains(words), "{parameters}: {text}");
            assert!(!text.contains("canary"), "{text}");
        }
        Err(other) => panic!("{parameters}: {other:?}"),
    }
}

#[test]
fn each_mode_verifies_what_it_says() {
    let keys = Keys::make();
    let (certificate, _, key) = keys.signed("localhost", 2999);
    let server = keys.server(certificate, &key, false);
    let (ours, other, both) = (keys.path("ours.pem"), keys.path("other.pem"), keys.path("both.pem"));
    for mode in ["prefer", "allow", "require"] {
        check(&server, "localhost", &format!("sslmode={mode}"), "");
    }
    check(&server, "127.0.0.1", "sslmode=require", "");
    let strange = "its certificate is signed by none of";
    for mode in ["require", "verify-ca", "verify-full"] {
        check(&server, "localhost", &format!("sslmode={mode}&sslrootcert={ours}"), "");
        check(&server, "localhost", &format!("sslmode={mode}&sslrootcert={both}"), "");
        check(&server, "localhost", &format!("sslmode={mode}&sslrootcert={other}"), strange);
    }
    // The number is not in the certificate.
    check(&server, "127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ours}"), "");
    let name = "is not for 127.0.0.1 but for localhost";
    check(&server, "127.0.0.1", &format!("sslmode=verify-full&sslrootcert={ours}"), name);
}

#[test]
fn an_expired_certificate_is_refused_where_it_is_looked_at() {
    let keys = Keys::make();
    let (certificate, pem, key) = keys.signed("localhost", 2001);
    let server = keys.server(certificate, &key, false);
    let ours = keys.path("ours.pem");
    check(&server, "localhost", "sslmode=require", "");
    check(&server, "localhost", &format!("sslmode=verify-ca&sslrootcert={ours}"), "certificate expired");
    check(&server, "localhost", &format!("sslmode=verify-full&sslrootcert={ours}"), "certificate expired");
    let itself = keys.write("itself.pem", &pem);
    let pinned = format!("sslmode=verify-ca&sslrootcert={}", itself.display());
    check(&server, "localhost", &pinned, "certificate has expired");
}

#[test]
fn a_self_signed_certificate_is_trusted_where_it_is_named() {
    let keys = Keys::make();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    // As `openssl req -x509` makes it.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let server = keys.server(certificate.der().clone(), &key, false);
    let itself = keys.write("itself.pem", &certificate.pem());
    let ours = keys.path("ours.pem");
    let full = |path: &str| format!("sslmode=verify-full&sslrootcert={path}");
    check(&server, "localhost", &full(&itself.to_string_lossy()), "");
    check(&server, "127.0.0.1", &full(&itself.to_string_lossy()), "is not for 127.0.0.1");
    check(&server, "localhost", &full(&ours), "its certificate is");
}

#[test]
fn a_server_without_tls_is_taken_only_where_it_may_be() {
    let server = Fake::start(Script::default());
    check(&server, "localhost", "sslmode=prefer", "");
    check(&server, "localhost", "sslmode=disable", "");
    check(&server, "localhost", "sslmode=require", "does not speak TLS, which sslmode=require demands");
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_asks() {
    use std::os::unix::fs::PermissionsExt;
    let keys = Keys::make();
    let (certificate, _, key) = keys.signed("localhost", 2999);
    let server = keys.server(certificate, &key, true);
    let (_, pem, key) = keys.signed("u", 2999);
    let certificate = keys.write("client.pem", &pem);
    let pem_key = keys.write("client.key", &key.serialize_pem());
    let der_key = keys.folder.path().join("client.pk8");
    fs::write(&der_key, key.serialize_der()).expect("the folder can be written");
    let with =
        |key: &Path| format!("sslmode=require&sslcert={}&sslkey={}", certificate.display(), key.display());
    let set = |key: &Path, mode| {
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).expect("the key is ours");
    };
    set(&pem_key, 0o644);
    check(&server, "localhost", &with(&pem_key), "can be read by others");
    for key in [&pem_key, &der_key] {
        set(key, 0o600);
        check(&server, "localhost", &with(key), "");
    }
    check(&server, "localhost", "sslmode=require", "does not accept our certificate");
}

#[test]
fn files_that_do_not_hold_what_they_should_are_named() {
    let keys = Keys::make();
    let server = Fake::start(Script::default());
    let (empty, torn) =
        (keys.write("empty.pem", ""), keys.write("torn.pem", "-----BEGIN CERTIFICATE-----\nx"));
    let root = |path: &str| format!("sslmode=verify-full&sslrootcert={path}");
    check(&server, "localhost", &root(&keys.path("missing.pem")), "missing.pem cannot be read");
    check(&server, "localhost", &root(&empty.to_string_lossy()), "empty.pem holds no certificate");
    check(&server, "localhost", &root(&torn.to_string_lossy()), "torn.pem is no PEM text");
}
