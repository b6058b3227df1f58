//! Certificates of a secure cluster, made anew for each, as PEM files in its folder.
//!
//! One authority vouches for the brokers and for the client.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// The authority's certificate.
pub(super) const AUTHORITY: &str = "authority.pem";
/// The brokers' key and certificate in one file, as Kafka wants them.
pub(super) const BROKER: &str = "broker.pem";
/// A client's certificate.
pub(super) const CLIENT: &str = "client.pem";
/// A client's key.
pub(super) const CLIENT_KEY: &str = "client.key";

/// Writes all files; the brokers' certificate is for these names and addresses.
pub(super) fn make(folder: &Path, names: &[&str]) {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("the folder is ours");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Kafka of a test");
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    write(AUTHORITY, authority.pem());

    let sign = |names: Vec<String>, common: &str| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names or addresses");
        params.distinguished_name.push(DnType::CommonName, common);
        (params.signed_by(&key, &authority).expect("a certificate").pem(), key.serialize_pem())
    };
    let (certificate, key) = sign(names.iter().map(ToString::to_string).collect(), "broker");
    write(BROKER, key + &certificate);
    let (certificate, key) = sign(Vec::new(), "client");
    write(CLIENT, certificate);
    write(CLIENT_KEY, key);
}
