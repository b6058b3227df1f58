//! A broker that wants to know who comes: who is let in, and what is said to who is not.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use telemetra_connectors::{
    Identity, Roots, Secret,
    kafka::{Cluster, Fault, Login, Mechanism, Security, Tls, Which},
};
use telemetra_services::kafka::{Kafka, Listener, Setup, USERS};

use super::{addresses, equality::read_all};

fn mechanism(name: &str) -> Mechanism {
    let found = Mechanism::WORDS.iter().find(|(word, _)| *word == name);
    found.unwrap_or_else(|| panic!("{name}")).1
}

fn login(mechanism_name: &str, user: &str, password: &str) -> Option<Login> {
    Some(Login { mechanism: mechanism(mechanism_name), user: user.into(), password: Secret::new(password) })
}

fn tls(authority: PathBuf) -> Option<Tls> {
    Some(Tls { roots: Roots::File(authority), identity: None })
}

/// A secure broker with one topic of three lines.
fn kept() -> (Kafka, String) {
    let kafka = Kafka::start(Setup { is_secure: true, ..Setup::default() });
    let topic = kafka.unique_topic("kept");
    kafka.create_topic(&topic, 2);
    kafka.kcat(&["-P", "-t", &topic, "-p", "0"], b"one\ntwo\nthree\n");
    (kafka, topic)
}

/// What is said when a topic is asked for.
fn refused(kafka: &Kafka, listener: Listener, security: Security) -> Fault {
    let shown = format!("{security:?}");
    let cluster = Cluster::new(addresses(kafka, listener), security);
    let fault = cluster.topics(&["any".into()]).expect_err("nobody is let in");
    assert!(!format!("{shown}{cluster:?}{fault}").contains("only-for-tests"), "{fault}");
    fault
}

/// Must be told once and for all, with the broker's address and these words.
fn check_halt(kafka: &Kafka, listener: Listener, security: Security, words: &[&str]) {
    let fault = refused(kafka, listener, security);
    let said = fault.to_string();
    assert!(matches!(fault, Fault::Halt(_)), "{fault:?}");
    for word in words.iter().chain([&&*kafka.address(listener)]) {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
}

/// May be tried again, with the broker's address and these words.
fn check_away(kafka: &Kafka, listener: Listener, security: Security, words: &str) {
    let fault = refused(kafka, listener, security);
    assert!(matches!(fault, Fault::Away { .. }), "{fault:?}");
    let said = fault.to_string();
    assert!(said.contains(words) && said.contains(&kafka.address(listener)), "{said}");
}

#[test]
fn who_proves_who_they_are_reads_a_topic() {
    let (kafka, topic) = kept();
    let check = |listener, security: Security| {
        let cluster = Cluster::new(addresses(&kafka, listener), security);
        let found = read_all(&cluster, &topic, 2);
        let found: Vec<_> = found.iter().map(|it| str::from_utf8(&it.value).expect("text")).collect();
        assert_eq!(found, ["one", "two", "three"], "{cluster:?}");
    };
    for user in &USERS {
        let login = || login(user.mechanism, user.name, user.password);
        check(Listener::SaslTls, Security { tls: tls(kafka.authority()), login: login() });
        check(Listener::Sasl, Security { tls: None, login: login() });
    }
    let (certificate, key) = kafka.client_certificate();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("it is ours");
    let identity = Some(Identity { certificate, key });
    check(
        Listener::MutualTls,
        Security { tls: Some(Tls { roots: Roots::File(kafka.authority()), identity }), login: None },
    );
}

#[test]
fn who_does_not_is_told_why() {
    let (kafka, _) = kept();
    let trusted = || tls(kafka.authority());
    for user in &USERS {
        let wrong = || login(user.mechanism, user.name, "wrong-only-for-tests");
        let words = ["refused the login as", user.name, "KAFKA_SASL_PASSWORD"];
        check_halt(&kafka, Listener::SaslTls, Security { tls: trusted(), login: wrong() }, &words);
        check_halt(&kafka, Listener::Sasl, Security { tls: None, login: wrong() }, &words);
    }
    let nobody = login("SCRAM-SHA-256", "nobody", "any-only-for-tests");
    check_halt(
        &kafka,
        Listener::Sasl,
        Security { tls: None, login: nobody },
        &["refused the login as nobody"],
    );

    // An authority that did not sign the broker's certificate.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stranger = folder.path().join("stranger.pem");
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec!["stranger".into()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    fs::write(&stranger, params.self_signed(&key).expect("a certificate").pem()).expect("the folder is ours");
    let user = &USERS[1];
    let right = || login(user.mechanism, user.name, user.password);
    let strange = Security { tls: tls(stranger.clone()), login: right() };
    check_halt(
        &kafka,
        Listener::SaslTls,
        strange,
        &["signed by none of", "stranger.pem", "KAFKA_SSL_CA_LOCATION"],
    );
    let missing = Security { tls: tls(folder.path().join("missing.pem")), login: right() };
    check_halt(&kafka, Listener::SaslTls, missing, &["missing.pem cannot be read"]);
    let bare = Security { tls: trusted(), login: None };
    check_halt(
        &kafka,
        Listener::MutualTls,
        bare,
        &["does not accept our certificate", "KAFKA_SSL_KEY_LOCATION"],
    );
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let setup = Setup { is_secure: true, certificate_names: &["kafka.example"], ..Setup::default() };
    let kafka = Kafka::start(setup);
    let user = &USERS[2];
    let security =
        Security { tls: tls(kafka.authority()), login: login(user.mechanism, user.name, user.password) };
    check_halt(&kafka, Listener::SaslTls, security, &["is not for 127.0.0.1 but for kafka.example"]);
}

#[test]
fn who_speaks_to_the_wrong_port_is_told_what_is_spoken_there() {
    let (kafka, _) = kept();
    let user = &USERS[0];
    let right = || login(user.mechanism, user.name, user.password);
    let trusted = || tls(kafka.authority());
    let bare = Security::default;
    let no_login = ["asks for no login at this port", "PLAINTEXT or SSL"];
    check_halt(&kafka, Listener::Plain, Security { tls: None, login: right() }, &no_login);
    check_away(&kafka, Listener::Sasl, bare(), "if it wants a login at this port");
    check_away(&kafka, Listener::SaslTls, Security { tls: trusted(), login: None }, "if it wants a login");
    let tls_to_plain = Security { tls: trusted(), login: right() };
    check_away(&kafka, Listener::Plain, tls_to_plain, "a port that does not speak TLS does so");
    let said = refused(&kafka, Listener::SaslTls, Security { tls: None, login: right() }).to_string();
    assert!(said.contains("TLS at this port") && said.contains("SASL_SSL"), "{said}");
    let said = refused(&kafka, Listener::MutualTls, bare()).to_string();
    assert!(said.contains("TLS at this port") && said.contains("SASL_SSL"), "{said}");
}

#[test]
fn a_login_that_ends_soon_is_renewed_by_another_connection() {
    // The broker closes connections that are used after their session's end.
    let properties = [("connections.max.reauth.ms", "1500")];
    let kafka = Kafka::start(Setup { is_secure: true, properties: &properties, ..Setup::default() });
    let topic = kafka.unique_topic("long");
    kafka.create_topic(&topic, 1);
    let user = &USERS[1];
    let security = Security { tls: None, login: login(user.mechanism, user.name, user.password) };
    let cluster = Cluster::new(addresses(&kafka, Listener::Sasl), security);
    let known = cluster.topics(&[topic]).expect("let in").pop().flatten().expect("the topic");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(3_500) {
        cluster.offsets(&known, Which::LastStable).expect("each question is answered");
    }
}

#[test]
fn a_password_that_changes_under_a_run_is_waited_for() {
    let (kafka, topic) = kept();
    let user = &USERS[1];
    let login = login(user.mechanism, user.name, user.password);
    let security = Security { tls: tls(kafka.authority()), login };
    let cluster = Cluster::new(addresses(&kafka, Listener::SaslTls), security);
    assert!(cluster.topics(std::slice::from_ref(&topic)).expect("let in")[0].is_some());
    let change = ["--alter", "--add-config", "SCRAM-SHA-256=[password=another-only-for-tests]"];
    let whom = ["--entity-type", "users", "--entity-name", user.name, "--bootstrap-server"];
    let bootstrap = kafka.bootstrap();
    kafka.java("kafka.admin.ConfigCommand", &[&change[..], &whom[..], &[&*bootstrap]].concat(), b"");
    kafka.stop(1);
    kafka.start_again(1);
    let fault = cluster.topics(&[topic]).expect_err("the password is an old one");
    let is_waited_for =
        matches!(fault, Fault::Away { .. }) && fault.to_string().contains("refused the login");
    assert!(is_waited_for, "{fault:?}");
}
