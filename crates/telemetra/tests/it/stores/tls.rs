//! Whom a connection to a real PostgreSQL trusts: its server with keys of an authority of the test's own.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use telemetra_services::postgres::{Postgres, Setup};

use crate::support::Telemetra;

/// An authority.
fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

const SETTINGS: [(&str, &str); 1] = [("ssl", "on")];
/// Nobody is let in without TLS.
const HBA: &str = "hostssl all all 127.0.0.1/32 scram-sha-256\n";

/// A server whose certificate is for `name`, and files of two authorities, the first its own.
struct Secured {
    server: Postgres,
    telemetra: Telemetra,
}

impl Secured {
    fn start(name: &str, hba: Option<&str>) -> Self {
        let (ours, other) = (authority("ours"), authority("other"));
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &ours).expect("a certificate").pem();
        let key = key.serialize_pem();
        let mut files = vec![("server.crt", certificate.as_str()), ("server.key", key.as_str())];
        files.extend(hba.map(|text| ("pg_hba.conf", text)));
        let telemetra = Telemetra::new();
        for (file, authority) in [("ours.pem", &ours), ("other.pem", &other)] {
            std::fs::write(telemetra.path().join(file), authority.pem()).expect("the folder is ours");
        }
        let server = Postgres::start(Setup { settings: &SETTINGS, files: &files, ..Setup::default() });
        Self { server, telemetra }
    }

    /// `migrate` with parameters of the address; returns what it printed.
    #[track_caller]
    fn migrate(&self, parameters: &str, code: i32) -> String {
        let store = format!("{}?{parameters}", self.server.address());
        self.telemetra.run(&["migrate", "--store", &store]).expect_code(code)
    }

    #[track_caller]
    fn refused(&self, parameters: &str, words: &str) {
        let said = self.migrate(parameters, 1);
        assert!(said.contains(words), "{parameters}: no {words:?} in {said}");
        assert!(!said.contains("only-for-tests"), "{said}");
        // One sentence, but for the note about a password on the command line.
        assert_eq!(said.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{said}");
    }
}

#[test]
fn each_sslmode_takes_what_it_promises_to() {
    let secured = Secured::start("127.0.0.1", None);
    for parameters in [
        "sslmode=disable",
        "sslmode=prefer",
        "sslmode=require",
        "sslmode=require&sslrootcert=ours.pem",
        "sslmode=verify-ca&sslrootcert=ours.pem",
        "sslmode=verify-full&sslrootcert=ours.pem",
    ] {
        secured.migrate(parameters, 0);
    }
    let unknown = "its certificate is signed by none of other.pem: name its CA's certificate in sslrootcert";
    for mode in ["require", "verify-ca", "verify-full"] {
        secured.refused(&format!("sslmode={mode}&sslrootcert=other.pem"), unknown);
    }
    secured.refused("sslmode=verify-full&sslrootcert=absent.pem", "absent.pem cannot be read");
}

#[test]
fn a_certificate_for_another_name_is_refused_by_verify_full_alone() {
    let secured = Secured::start("db.example", None);
    secured.migrate("sslmode=verify-ca&sslrootcert=ours.pem", 0);
    let words = "its certificate is not for 127.0.0.1 but for db.example: ask for that name, or choose \
                 sslmode=verify-ca";
    secured.refused("sslmode=verify-full&sslrootcert=ours.pem", words);
}

#[test]
fn the_session_is_encrypted() {
    let secured = Secured::start("127.0.0.1", Some(HBA));
    // Who gets in here was encrypted: the server takes nobody else.
    secured.migrate("sslmode=verify-full&sslrootcert=ours.pem", 0);
    secured.migrate("sslmode=prefer", 0);
    secured.refused(
        "sslmode=disable",
        "the connection is not encrypted, which the server may demand: choose sslmode=verify-full",
    );
}

#[test]
fn a_server_without_tls_is_refused_where_it_is_demanded() {
    let server = Postgres::shared();
    let telemetra = Telemetra::new();
    for mode in ["require", "verify-full"] {
        let store = format!("{}?sslmode={mode}", server.address());
        let said = telemetra.run(&["status", "--store", &store]).expect_code(1);
        assert!(
            said.contains(&format!("does not speak TLS, which sslmode={mode} demands: turn ssl on there")),
            "{said}"
        );
    }
}
