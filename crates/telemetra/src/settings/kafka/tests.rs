//! When Kafka is read, which topics and brokers, where to begin, and that no secret is told.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

use telemetra_connectors::kafka::StartOffset;

use super::*;
use crate::settings::{Faults, Layers, Settings};

type Pairs<'a> = &'a [(&'static str, &'a str)];

fn load(flags: Pairs, env: Pairs, purpose: Purpose) -> Result<Settings, Faults> {
    let layers = Layers {
        flags: flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect(),
        environment: env.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect(),
        ..Layers::default()
    };
    Settings::load(&layers, purpose)
}

fn kafka(flags: Pairs, env: Pairs) -> KafkaSettings {
    let settings = load(flags, env, Purpose::Chat).unwrap_or_else(|faults| panic!("{faults}"));
    settings.kafka.expect("Kafka is read")
}

fn faults(flags: Pairs, env: Pairs, purpose: Purpose) -> String {
    load(flags, env, purpose).expect_err("faults").to_string()
}

const BROKERS: (&str, &str) = ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092");

#[test]
fn brokers_are_read_and_every_wrong_one_is_named() {
    let read = |text: &str| {
        let found = kafka(&[("kafka", text)], &[]).bootstrap;
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    assert_eq!(read("kafka"), "kafka:9092");
    assert_eq!(read(" a:1, b ,[::1]:5,[fe80::1],a:1"), "a:1,b:9092,[::1]:5,[fe80::1]:9092");
    let said = faults(&[("kafka", "a:0,ok,::1,[::1,[x]:1,:9,SSL://b:1,c:99999")], &[], Purpose::Chat);
    for word in [
        "`a:0` has no port",
        "`::1` is an IPv6 address without brackets",
        "`[::1` lacks the closing bracket",
        "`[x]:1` has no IPv6 address",
        "`:9` names no host",
        "`SSL://b:1` has a protocol",
        "`c:99999` has no port",
        "flag --kafka",
    ] {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    assert!(!said.contains("`ok`"));
    assert!(faults(&[("kafka", " , ")], &[], Purpose::Chat).contains("names no broker"));
}

#[test]
fn chat_reads_kafka_or_folders() {
    let check = |flags: Pairs, env: Pairs, expected: Result<bool, &str>| {
        let found = load(flags, env, Purpose::Chat);
        match expected {
            Ok(is_kafka) => {
                let settings = found.unwrap_or_else(|faults| panic!("{flags:?} {env:?}: {faults}"));
                assert_eq!(settings.kafka.is_some(), is_kafka, "{flags:?} {env:?}");
                let noted =
                    settings.notes.iter().any(|note| note.contains("KAFKA_BOOTSTRAP_SERVERS is not heeded"));
                assert_eq!(noted, !is_kafka && !env.is_empty() && env[0] == BROKERS, "{:?}", settings.notes);
            }
            Err(word) => {
                let said = found.expect_err("a fault").to_string();
                assert!(
                    said.contains(word) && said.contains("one setting is wrong"),
                    "{flags:?} {env:?}: {said}"
                );
            }
        }
    };
    let (flag, folder) = (("kafka", "k"), ("chat_dir", "in"));
    check(&[flag], &[], Ok(true));
    check(&[], &[BROKERS], Ok(true));
    check(&[folder], &[], Ok(false));
    check(&[folder], &[BROKERS], Ok(false));
    check(&[], &[BROKERS, ("TELEMETRA_VIEWER_DIR", "in")], Ok(false));
    check(&[flag, folder], &[], Err("Kafka and folders together cannot be read"));
    check(&[flag], &[("TELEMETRA_CHAT_DIR", "in")], Err("environment variable TELEMETRA_CHAT_DIR"));
    check(&[], &[], Err("--kafka HOST:PORT"));
    check(&[("chat_topic", "t")], &[], Err("no brokers are named"));
    check(&[], &[("TELEMETRA_CHAT_TOPIC", "t")], Err("no brokers are named"));
    check(&[folder, ("chat_topic", "t")], &[], Err("flag --chat-topic"));
    check(&[folder, ("start_at", "latest")], &[], Err("flag --start-at"));
    check(&[folder, ("start_at", "earliest")], &[], Ok(false));
}

#[test]
fn commerce_reads_its_folder_unless_it_is_told_otherwise() {
    let check = |flags: Pairs, env: Pairs, expected: Option<&str>| {
        let settings = load(flags, env, Purpose::Commerce).unwrap_or_else(|faults| panic!("{faults}"));
        let topic = settings.kafka.and_then(|kafka| kafka.commerce_topic);
        assert_eq!(topic.as_ref().map(|topic| topic.name.as_str()), expected, "{flags:?} {env:?}");
        let is_named = topic.as_ref().is_some_and(|topic| topic.is_named);
        assert_eq!(is_named, expected == Some("t"));
        let is_noted = settings.notes.iter().any(|note| note.contains("not heeded"));
        assert_eq!(is_noted, expected.is_none() && env.contains(&BROKERS), "{:?}", settings.notes);
    };
    check(&[], &[], None);
    check(&[], &[BROKERS], None);
    check(&[("kafka", "k")], &[], Some(COMMERCE_TOPIC));
    check(&[("topic", "t")], &[BROKERS], Some("t"));
    check(&[], &[BROKERS, ("TELEMETRA_TOPIC", "t")], Some("t"));
    check(&[("input_dir", "in")], &[BROKERS, ("TELEMETRA_TOPIC", "t")], None);
    let beside = faults(&[("kafka", "k"), ("input_dir", "in")], &[], Purpose::Commerce);
    assert!(beside.contains("flag --kafka") && beside.contains("flag --input-dir"), "{beside}");
    let beside = faults(&[("topic", "t"), ("input_dir", "in")], &[BROKERS], Purpose::Commerce);
    assert!(beside.contains("flag --topic"), "{beside}");
    assert!(faults(&[("topic", "t")], &[], Purpose::Commerce).contains("no brokers are named"));
    assert!(faults(&[("topic", "none"), ("kafka", "k")], &[], Purpose::Commerce).contains("name a topic"));
}

#[test]
fn generators_write_to_kafka_when_the_flag_says_so() {
    for purpose in [Purpose::GenerateChat, Purpose::GenerateCommerce] {
        let is_kafka = |flags: Pairs, env: Pairs| load(flags, env, purpose).expect("valid").kafka.is_some();
        assert!(is_kafka(&[("kafka", "k")], &[]));
        assert!(!is_kafka(&[], &[BROKERS]));
        assert!(!is_kafka(&[], &[("TELEMETRA_CHAT_TOPIC", "t")]));
    }
    assert!(
        faults(&[("topic", "t")], &[BROKERS], Purpose::GenerateCommerce).contains("no brokers are named")
    );
    assert_eq!(load(&[], &[BROKERS], Purpose::Store).expect("valid").kafka, None);
}

#[test]
fn a_default_topic_is_told_from_a_named_one() {
    let check = |env: Pairs, chat: Option<(&str, bool)>, viewer: Option<(&str, bool)>| {
        let found = kafka(&[("kafka", "k")], env);
        let shown = |topic: &Option<TopicName>| topic.clone().map(|topic| (topic.name, topic.is_named));
        let expected =
            |topic: Option<(&str, bool)>| topic.map(|(name, is_named)| (name.to_owned(), is_named));
        assert_eq!(
            (shown(&found.chat_topic), shown(&found.viewer_topic)),
            (expected(chat), expected(viewer))
        );
    };
    let (chat, viewer) = (Some((CHAT_TOPIC, false)), Some((VIEWER_TOPIC, false)));
    check(&[], chat, viewer);
    check(&[("TELEMETRA_CHAT_TOPIC", "t")], Some(("t", true)), viewer);
    check(&[("TELEMETRA_VIEWER_TOPIC", "none")], chat, None);
    check(&[("TELEMETRA_CHAT_TOPIC", CHAT_TOPIC)], Some((CHAT_TOPIC, true)), viewer);
    let wrong = |env: Pairs, word: &str| {
        let said = faults(&[("kafka", "k")], env, Purpose::Chat);
        assert!(said.contains(word), "{said}");
    };
    wrong(&[("TELEMETRA_CHAT_TOPIC", "none"), ("TELEMETRA_VIEWER_TOPIC", "none")], "nothing is left");
    wrong(&[("TELEMETRA_CHAT_TOPIC", VIEWER_TOPIC)], "is the topic of chat events too");
    wrong(&[("TELEMETRA_CHAT_TOPIC", "a b")], "is no name of a topic");
}

#[test]
fn a_job_begins_where_it_is_told() {
    let check = |env: Pairs, expected: StartAt| {
        let all = [&[("TELEMETRA_CHAT_TOPIC", "t"), ("TELEMETRA_VIEWER_TOPIC", "v")], env].concat();
        assert_eq!(kafka(&[("kafka", "k")], &all).start_at, expected, "{env:?}");
    };
    let offsets = |list: &[(&str, u32, StartOffset)]| {
        StartAt::Offsets(
            list.iter()
                .map(|(topic, partition, at)| (((*topic).to_owned(), *partition), *at))
                .collect::<BTreeMap<_, _>>(),
        )
    };
    let (old, new) = ("KAFKA_STARTING_OFFSETS", "TELEMETRA_START_AT");
    check(&[], StartAt::Earliest);
    check(&[(old, "latest")], StartAt::Latest);
    check(&[(old, "latest"), (new, "Earliest")], StartAt::Earliest);
    check(&[(new, "1970-01-01T01:00:00.001+01:00")], StartAt::Instant(1));
    let expected = offsets(&[
        ("t", 0, StartOffset::At(23)),
        ("t", 1, StartOffset::Earliest),
        ("v", 0, StartOffset::Latest),
    ]);
    check(&[(new, "t:0=23, t:1=earliest,v:0=latest")], expected.clone());
    check(&[(old, r#"{"t":{"0":23,"1":-2},"v":{"0":-1}}"#)], expected);
    let wrong = |text: &str, word: &str| {
        let said = faults(&[("kafka", "k"), ("start_at", text)], &[], Purpose::Chat);
        assert!(said.contains(word) && said.contains("flag --start-at"), "{text}: {said}");
    };
    wrong("soon", "is no place to begin at");
    wrong("2025-01-01", "is no place to begin at");
    wrong("1969-01-01T00:00:00Z", "before 1970");
    wrong(
        "t:0=1,t:x=1,t:0=2,0=3",
        "`t:x=1` is not TOPIC:PARTITION=OFFSET; `t:0=2` names a partition again; `0=3`",
    );
    wrong("strange:0=1", "topics that are not read: strange");
    wrong(r#"{"t":{"0":-3}}"#, "t:0 has the offset -3");
    wrong("{}", "names no partition");
}

#[test]
fn protocol_login_and_certificates_are_judged_together() {
    let security = |env: Pairs| kafka(&[("kafka", "k")], env).security;
    assert_eq!(security(&[]), Security::default());
    let login = [("KAFKA_SASL_USERNAME", "ann"), ("KAFKA_SASL_PASSWORD", "canary")];
    let found = security(
        &[&login[..], &[("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"), ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")]]
            .concat(),
    );
    assert_eq!(
        found.login.as_ref().map(|it| (it.mechanism, it.user.as_str())),
        Some((Mechanism::ScramSha512, "ann"))
    );
    assert_eq!(found.tls, Some(Tls { roots: Roots::System, identity: None }));
    assert!(!format!("{found:?}").contains("canary"));
    let both = security(&[
        ("KAFKA_SECURITY_PROTOCOL", "SSL"),
        ("KAFKA_SSL_CA_LOCATION", "ca.pem"),
        ("KAFKA_SSL_CERTIFICATE_LOCATION", "us.pem"),
    ]);
    let identity = Identity { certificate: "us.pem".into(), key: "us.pem".into() };
    assert_eq!(both.tls, Some(Tls { roots: Roots::File("ca.pem".into()), identity: Some(identity) }));
    let wrong = |env: Pairs, words: &[&str]| {
        let said = faults(&[("kafka", "k")], env, Purpose::Chat);
        assert!(
            words.iter().all(|word| said.contains(word)) && !said.contains("canary"),
            "{words:?}: {said}"
        );
    };
    wrong(
        &[("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")],
        &["set KAFKA_SASL_USERNAME", "set KAFKA_SASL_PASSWORD_FILE"],
    );
    wrong(&[("KAFKA_SECURITY_PROTOCOL", "TLS")], &["`TLS` is none of its words", "SASL_SSL"]);
    let kerberos =
        [&login[..], &[("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"), ("KAFKA_SASL_MECHANISM", "GSSAPI")]].concat();
    wrong(&kerberos, &["`GSSAPI` is none of its words", "SCRAM-SHA-256"]);
    wrong(
        &[("KAFKA_SECURITY_PROTOCOL", "SSL"), ("KAFKA_SSL_KEY_LOCATION", "k")],
        &["a key without a certificate"],
    );
    let notes =
        |env: Pairs| load(&[("kafka", "kafka.example")], env, Purpose::Chat).expect("valid").notes.join("\n");
    assert!(
        notes(&login).contains("not heeded: environment variable KAFKA_SASL_USERNAME"),
        "{}",
        notes(&login)
    );
    let bare = notes(&[&login[..], &[("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")]].concat());
    assert!(bare.contains("goes unencrypted to kafka.example:9092") && !bare.contains("canary"), "{bare}");
}

#[test]
fn a_password_comes_from_a_file_that_nobody_else_reads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("password");
    let shown = path.to_str().expect("a plain path");
    fs::write(&path, "canary\n").expect("the folder is ours");
    let env = [
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("KAFKA_SASL_USERNAME", "u"),
        ("KAFKA_SASL_PASSWORD_FILE", shown),
    ];
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert!(faults(&[("kafka", "k")], &env, Purpose::Chat).contains("is open to others"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let login = kafka(&[("kafka", "k")], &env).security.login.expect("a login");
    assert_eq!((login.password.expose(), login.mechanism), ("canary", Mechanism::Plain));
}

#[test]
fn the_wait_is_that_of_the_old_start_script_unless_it_is_named() {
    assert_eq!(kafka(&[("kafka", "k")], &[]).wait, Duration::from_secs(120));
    assert_eq!(kafka(&[("kafka", "k"), ("wait", "0s")], &[]).wait, Duration::ZERO);
}
