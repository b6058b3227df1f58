//! The harness itself: what it starts answers clients that are not ours, survives what it should, is gone when it must be.

#![allow(clippy::print_stdout, reason = "what a child of a test prints is how it speaks to the test")]

use std::{
    cell::Cell,
    env,
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use super::{Kafka, Listener, Setup, USERS, Version};
use crate::eventually;

/// Set for a child of a test: it is to say where its broker is, and to stay.
const STAY: &str = "TELEMETRA_TEST_STAY";

/// One transaction that is committed, one that is not.
const TRANSACTIONS: &str = r#"
import sys
from confluent_kafka import Producer
brokers, topic = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers, "transactional.id": topic})
producer.init_transactions()
for value, end in ("kept", producer.commit_transaction), ("dropped", producer.abort_transaction):
    producer.begin_transaction()
    producer.produce(topic, value)
    producer.flush()
    end()
print("done")
"#;

/// Whether a long record is taken.
const LONG: &str = r#"
import sys
from confluent_kafka import Producer
brokers, topic = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers})
outcomes = []
producer.produce(topic, "x" * 1000, on_delivery=lambda error, _: outcomes.append(error is None))
producer.flush()
print(outcomes == [True])
"#;

fn produce(kafka: &Kafka, topic: &str, lines: &str) {
    kafka.kcat(&["-P", "-t", topic, "-X", "acks=all"], lines.as_bytes());
}

/// All records of a topic as kcat shows them, sorted.
fn consumed(kafka: &Kafka, topic: &str, format: &str, args: &[&str]) -> Vec<String> {
    let args = [&["-C", "-t", topic, "-e", "-q", "-o", "beginning", "-f", format], args].concat();
    let printed = String::from_utf8(kafka.kcat(&args, &[])).expect("it is text");
    let mut lines: Vec<_> = printed.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_shared_broker_gives_each_test_a_topic() {
    let kafka = Kafka::shared();
    if env::var_os(STAY).is_some() {
        println!("\nbroker {} {}", kafka.bootstrap(), kafka.folder.display());
        std::io::stdin().read_to_end(&mut Vec::new()).expect("it is piped");
    }
    let topic = kafka.unique_topic("lines");
    kafka.create_topic(&topic, 4);
    kafka.kcat(&["-P", "-t", &topic, "-p", "1"], b"one\ntwo\n");
    kafka.kcat(&["-P", "-t", &topic, "-p", "3"], b"three\n");
    assert_eq!(consumed(kafka, &topic, "%p %o %s\n", &[]), ["1 0 one", "1 1 two", "3 0 three"]);
    assert_eq!(kafka.leader(&topic, 3), Some(1));
    assert_eq!(kafka.leader(&topic, 4), None);

    let producer = "org.apache.kafka.tools.ConsoleProducer";
    let other = kafka.unique_topic("lines");
    kafka.create_topic(&other, 1);
    kafka.java(producer, &["--bootstrap-server", &kafka.bootstrap(), "--topic", &other], b"by Java\n");
    assert_eq!(consumed(kafka, &other, "%s\n", &[]), ["by Java"]);
    assert!(kafka.partition_folder(1, &other, 0).join("00000000000000000000.log").exists());
}

#[test]
fn topics_change() {
    let kafka = Kafka::shared();
    let topic = kafka.unique_topic("changing");
    kafka.create_topic_with(&topic, 1, &[("max.message.bytes", "200")]);
    produce(kafka, &topic, "a\nb\nc\n");
    kafka.delete_records(&topic, 0, 2);
    assert_eq!(consumed(kafka, &topic, "%o %s\n", &[]), ["2 c"]);
    kafka.delete_records(&topic, 0, -1);
    assert_eq!(consumed(kafka, &topic, "%o %s\n", &[]), [""; 0]);

    let is_taken = || kafka.python(LONG, &[&topic]) == b"True\n";
    assert!(!is_taken(), "the topic takes no long records");
    kafka.alter_topic_config(&topic, "max.message.bytes", "2000");
    eventually("the setting is followed", || is_taken().then_some(()));

    kafka.add_partitions(&topic, 3);
    kafka.kcat(&["-P", "-t", &topic, "-p", "2"], b"new\n");
    assert!(consumed(kafka, &topic, "%p %o %s\n", &[]).contains(&"2 0 new".to_owned()));
    kafka.delete_topic(&topic);
    assert_eq!(kafka.leader(&topic, 0), None);
    kafka.create_topic(&topic, 1);
    assert_eq!(consumed(kafka, &topic, "%s\n", &[]), [""; 0]);
}

#[test]
fn the_broker_unpacks_and_packs_anew() {
    let kafka = Kafka::shared();
    let codecs = ["gzip", "snappy", "lz4", "zstd"];
    for (from, to) in codecs.into_iter().zip(codecs.into_iter().cycle().skip(1)) {
        let topic = kafka.unique_topic(to);
        kafka.create_topic_with(&topic, 1, &[("compression.type", to)]);
        kafka.kcat(&["-P", "-t", &topic, "-z", from], "again ".repeat(100).as_bytes());
        assert_eq!(consumed(kafka, &topic, "%S\n", &[]), ["600"], "{from} to {to}");
    }
}

#[test]
#[should_panic(expected = "TopicAlreadyExists")]
fn what_is_refused_for_good_fails_the_test() {
    let topic = Kafka::shared().unique_topic("twice");
    Kafka::shared().create_topic(&topic, 1);
    Kafka::shared().create_topic(&topic, 1);
}

#[test]
#[should_panic(expected = "does-not-exist")]
fn a_node_that_cannot_start_says_why() {
    let properties = [("process.roles", "does-not-exist")];
    drop(Kafka::start(Setup { properties: &properties, ..Setup::default() }));
}

#[test]
fn three_nodes_lead_in_turn() {
    let kafka = Kafka::start(Setup { nodes: 3, ..Setup::default() });
    assert_eq!(kafka.bootstrap().split(',').count(), 3);
    let topic = kafka.unique_topic("led");
    kafka.create_topic(&topic, 2);
    for node in [3, 1, 2] {
        kafka.move_leader(&topic, 1, node);
        assert_eq!(kafka.leader(&topic, 1), Some(node));
    }
    produce(&kafka, &topic, "before\n");
    kafka.kill(2);
    assert!(!kafka.is_alive(2));
    eventually("another node leads", || kafka.leader(&topic, 1).filter(|&node| node != 2));
    produce(&kafka, &topic, "without\n");
    kafka.start_again(2);
    kafka.move_leader(&topic, 1, 2);
    kafka.stop(3);
    produce(&kafka, &topic, "after\n");
    assert_eq!(consumed(&kafka, &topic, "%s\n", &[]), ["after", "before", "without"]);
}

#[test]
fn a_secure_broker_of_the_last_three_asks_who_comes() {
    let seen = Cell::new((0, 0));
    let proxied = |node, port| {
        seen.set((node, port));
        9
    };
    let setup = Setup { version: Version::V3, is_secure: true, proxied: Some(&proxied), ..Setup::default() };
    let kafka = Kafka::start(setup);
    let topic = kafka.unique_topic("kept");
    kafka.create_topic(&topic, 1);
    assert_eq!(kafka.python(TRANSACTIONS, &[&topic]), b"done\n");
    let read = |listener, properties: &[String]| {
        let address = kafka.address(listener);
        let mut args = vec!["-b", address.as_str()];
        args.extend(properties.iter().flat_map(|property| ["-X", property.as_str()]));
        assert_eq!(consumed(&kafka, &topic, "%s\n", &args), ["kept"], "{listener:?}");
    };
    read(Listener::Plain, &[]);
    let authority = format!("ssl.ca.location={}", kafka.authority().display());
    let (certificate, key) = kafka.client_certificate();
    let certificate = format!("ssl.certificate.location={}", certificate.display());
    let key = format!("ssl.key.location={}", key.display());
    read(Listener::MutualTls, &["security.protocol=SSL".into(), authority.clone(), certificate, key]);
    let login = |protocol: &str, user: &super::User, password: &str| {
        let mechanism = format!("sasl.mechanism={}", user.mechanism);
        let name = format!("sasl.username={}", user.name);
        let password = format!("sasl.password={password}");
        [format!("security.protocol={protocol}"), mechanism, name, password, authority.clone()]
    };
    for user in &USERS {
        read(Listener::SaslTls, &login("SASL_SSL", user, user.password));
        read(Listener::Sasl, &login("SASL_PLAINTEXT", user, user.password));
        let wrong = login("SASL_SSL", user, "wrong");
        let mut args = vec!["-L", "-m", "5", "-b"];
        let address = kafka.address(Listener::SaslTls);
        args.push(&address);
        args.extend(wrong.iter().flat_map(|property| ["-X", property.as_str()]));
        let refused = kafka.kcat_command(&args).output().expect("it starts");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("Authentication failed"), "{user:?}: {said}");
    }
    let (node, port) = seen.get();
    let told = kafka.kcat(&["-L", "-b", &format!("127.0.0.1:{port}")], &[]);
    let told = String::from_utf8_lossy(&told);
    assert!(node == 1 && told.contains("broker 1 at 127.0.0.1:9 "), "{told}");
}

#[test]
fn nothing_outlives_a_killed_test_process() {
    let mut child = Command::new(env::current_exe().expect("it is running"));
    child.args(["--exact", "--nocapture", "kafka::tests::the_shared_broker_gives_each_test_a_topic"]);
    child.env(STAY, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let said = lines.find_map(|line| line.strip_prefix("broker ").map(str::to_owned));
    let said = said.expect("the child says where its broker is");
    let (address, folder) = said.split_once(' ').expect("address and folder");
    let is_listening = || TcpStream::connect(address).is_ok();
    assert!(is_listening() && Path::new(folder).exists());
    child.kill().expect("it is running");
    child.wait().expect("it was killed");
    eventually("the folder is removed", || (!Path::new(folder).exists()).then_some(()));
    assert!(!is_listening(), "the broker outlives the test process");
}
