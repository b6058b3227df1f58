//! What we write to Kafka, read by an independent client: all of it, once, in the partitions that others would choose.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use telemetra_connectors::kafka::{
    Cluster, Codec, Fault, NewTopic, Producer, Security, Topic, commit_group, create_topics,
};
use telemetra_core::{
    commerce::{Commerce, Format, Scratch, Zone},
    record::Record,
};
use telemetra_services::kafka::{Kafka, Listener, Setup};

use super::{addresses, cluster};
use crate::support::Telemetra;

/// The broker removes what is stamped long ago.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A record as kcat shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    partition: u32,
    time_ms: i64,
    key: String,
    value: Vec<u8>,
}

/// All records of a topic, each partition in its order.
fn read(kafka: &Kafka, topic: &str) -> Vec<Shown> {
    let said = kafka.kcat(&["-C", "-e", "-q", "-t", topic, "-f", "%p %T %k %s\n"], b"");
    let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let shown = lines.map(|line| {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let mut part = || parts.next().expect("four parts");
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).expect("text");
        Shown {
            partition: text(part()).parse().expect("a number"),
            time_ms: text(part()).parse().expect("a number"),
            key: text(part()),
            value: part().to_vec(),
        }
    });
    let mut all: Vec<Shown> = shown.collect();
    all.sort_by_key(|shown| shown.partition);
    all
}

/// Where librdkafka puts keys when it is told to do as Kafka's own producer does.
fn partitions_by_kcat(kafka: &Kafka, keys: &BTreeSet<&str>) -> BTreeMap<String, u32> {
    let topic = kafka.unique_topic("keys");
    kafka.create_topic(&topic, 4);
    let lines: String = keys.iter().map(|key| format!("{key} x\n")).collect();
    kafka.kcat(&["-P", "-t", &topic, "-K", " ", "-X", "partitioner=murmur2_random"], lines.as_bytes());
    read(kafka, &topic).into_iter().map(|shown| (shown.key, shown.partition)).collect()
}

#[test]
fn generated_chat_comes_keyed_stamped_and_whole() {
    let kafka = Kafka::shared();
    let (chat, viewer) = (kafka.unique_topic("chat"), kafka.unique_topic("viewer"));
    let telemetra = Telemetra::new();
    let start = jiff::Timestamp::now().to_string();
    let base =
        ["generate", "chat", "--count", "3000", "--broken", "0.05", "--late", "0.1", "--start", &*start];
    let bootstrap = kafka.bootstrap();
    let to = ["--kafka", &*bootstrap, "--chat-topic", &*chat, "--viewer-topic", &*viewer];
    let said = telemetra.run(&[&base[..], &to[..]].concat());
    said.expect_code(0);
    assert!(said.stderr().contains("3,000 chat events to Kafka"), "{}", said.stderr());

    let found = read(kafka, &chat);
    let mut values: Vec<&[u8]> = found.iter().map(|shown| shown.value.as_slice()).collect();
    let on_stdout = telemetra.command(&base).output().expect("it starts").stdout;
    let mut expected: Vec<&[u8]> =
        on_stdout.split(|byte| *byte == b'\n').filter(|it| !it.is_empty()).collect();
    values.sort_unstable();
    expected.sort_unstable();
    assert_eq!(values.len(), 3_000);
    assert!(values == expected, "other events than on stdout");

    let keys: BTreeSet<&str> = found.iter().map(|shown| shown.key.as_str()).collect();
    assert_eq!(keys.len(), 20, "{keys:?}");
    let chosen = partitions_by_kcat(kafka, &keys);
    assert_eq!(chosen.values().collect::<BTreeSet<_>>().len(), 4);
    let (mut good, mut late) = (0, 0);
    for shown in found.iter().chain(&read(kafka, &viewer)) {
        assert_eq!(shown.partition, chosen[&shown.key], "{}", shown.key);
        let Ok(event) = serde_json::from_slice::<serde_json::Value>(&shown.value) else { continue };
        let stamp = event["timestamp"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        if event["stream_id"] == shown.key.as_str()
            && let Some(stamp) = stamp
        {
            good += 1;
            late += usize::from(stamp.as_millisecond() != shown.time_ms);
        }
    }
    // Broken records that show another stamp than their time of writing are few.
    assert!(good > 2_800 && late < 150, "{good} {late}");

    // Again, into topics that are there; without a start it ends now.
    let begun_ms = now_ms();
    let said = telemetra.run(&[&base[..6], &to[..], &["--partitions", "7"]].concat());
    said.expect_code(0);
    assert!(said.stderr().contains("was there already, with 4 partitions"), "{}", said.stderr());
    let only = ["--kafka", &*bootstrap, "--chat-topic", "none", "--viewer-topic", &*viewer];
    telemetra.run(&[&base[..], &only[..]].concat()).expect_code(0);
    let found = read(kafka, &chat);
    assert_eq!(found.len(), 6_000);
    let before = found.iter().filter(|shown| shown.time_ms < begun_ms).count();
    assert!(before >= 3_000, "{before}");
}

#[test]
fn generated_shop_events_come_to_the_told_sums_whatever_partition_is_read_first() {
    let kafka = Kafka::shared();
    let topic = kafka.unique_topic("commerce");
    let telemetra = Telemetra::new();
    let shares = ["--count", "4000", "--invalid", "0.15", "--duplicate", "0.15", "--conflict", "0.15"];
    let bootstrap = kafka.bootstrap();
    let to = ["--kafka", &*bootstrap, "--topic", &*topic, "--sums", "sums.json", "--codec", "zstd"];
    telemetra.run(&[&["generate", "commerce"], &shares[..], &to[..]].concat()).expect_code(0);
    let sums = std::fs::read(telemetra.path().join("sums.json")).expect("it is there");
    let sums: serde_json::Value = serde_json::from_slice(&sums).expect("JSON");
    let expected =
        ["records", "accepted", "duplicates", "conflicts", "invalid"].map(|name| sums[name].as_u64());

    let found = read(kafka, &topic);
    let backwards =
        (0..4).rev().flat_map(|partition| found.iter().filter(move |it| it.partition == partition));
    let commerce = Commerce { format: Format::Json, timezone: Zone::default() };
    for order in [found.iter().collect::<Vec<_>>(), backwards.collect()] {
        let (mut scratch, mut rows) = (Scratch::default(), BTreeMap::new());
        let [mut duplicates, mut conflicts, mut invalid] = [0_u64; 3];
        for shown in &order {
            assert!(shown.key.starts_with("user_"));
            match commerce.decode(Record::of_bytes(&shown.value), &mut scratch) {
                Err(_) => invalid += 1,
                Ok(event) => {
                    let payload = format!("{:?}", event.payload);
                    match rows.get(event.event_id) {
                        None => _ = rows.insert(event.event_id.to_owned(), payload),
                        Some(known) if *known == payload => duplicates += 1,
                        Some(_) => conflicts += 1,
                    }
                }
            }
        }
        let counted = [order.len() as u64, rows.len() as u64, duplicates, conflicts, invalid].map(Some);
        assert_eq!(counted, expected);
    }
}

/// One topic of one partition.
fn topic(cluster: &Cluster, name: &str, partitions: i32) -> Topic {
    let wanted = NewTopic { name: name.to_owned(), partitions, replication: -1 };
    create_topics(cluster, &[wanted]).expect("it can be made").remove(0)
}

#[test]
fn every_codec_is_read_by_others() {
    let kafka = Kafka::shared();
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let name = kafka.unique_topic("codec");
        let cluster = cluster(kafka);
        let topic = topic(&cluster, &name, 3);
        let mut producer = Producer::new(cluster, vec![topic], codec).expect("a number");
        let value = |number: u64| format!("{number} {}", "again ".repeat(60));
        // Several batches a partition, and one record that is longer than a batch is made.
        for number in 0..12_000 {
            let sent = producer.push(0, number.to_string().as_bytes(), value(number).as_bytes(), now_ms());
            sent.expect("it is sent");
        }
        producer.push(0, b"long", &vec![b'x'; 700_000], now_ms()).expect("it is sent");
        producer.flush().expect("it is acknowledged");
        let found = read(kafka, &name);
        assert_eq!(found.len(), 12_001, "{codec:?}");
        for shown in found.iter().filter(|shown| shown.key != "long") {
            assert_eq!(shown.value, value(shown.key.parse().expect("a number")).into_bytes(), "{codec:?}");
        }
    }
}

/// Every number once, in order.
fn check_once(kafka: &Kafka, name: &str, count: usize) {
    let found: Vec<_> = read(kafka, name).into_iter().map(|shown| shown.value).collect();
    let expected: Vec<_> = (0..count).map(|number| number.to_string().into_bytes()).collect();
    let first = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    assert_eq!((found.len(), first), (count, None));
}

#[test]
fn a_broker_that_dies_gets_each_record_once() {
    let kafka = Kafka::start(Setup::default());
    let name = kafka.unique_topic("restarted");
    let cluster = cluster(&kafka);
    let topic = topic(&cluster, &name, 1);
    let mut producer = Producer::new(cluster, vec![topic], Codec::None).expect("a number");
    let sent = AtomicUsize::new(0);
    let kills = AtomicUsize::new(0);
    let total = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0_usize;
            while kills.load(Ordering::SeqCst) < 2 || number < sent.load(Ordering::SeqCst) + 500 {
                producer.push(0, b"k", number.to_string().as_bytes(), now_ms()).expect("it is sent");
                number += 1;
                if number.is_multiple_of(50) {
                    producer.flush().expect("it is acknowledged");
                    if kills.load(Ordering::SeqCst) < 2 {
                        sent.store(number, Ordering::SeqCst);
                    }
                }
            }
            producer.flush().expect("it is acknowledged");
            number
        });
        for _ in 0..2 {
            let from = sent.load(Ordering::SeqCst);
            telemetra_services::eventually("more is written", || {
                (sent.load(Ordering::SeqCst) > from + 500).then_some(())
            });
            kafka.kill(1);
            kafka.start_again(1);
            kills.fetch_add(1, Ordering::SeqCst);
        }
        writer.join().expect("the writer ends")
    });
    assert!(total > 1_500, "{total}");
    check_once(&kafka, &name, total);
}

/// Forwards to a broker and cuts the connection instead of every third answer to records.
fn lossy(listener: TcpListener, broker: Arc<Mutex<u16>>, lost: Arc<AtomicUsize>) {
    const PRODUCE: [u8; 2] = [0, 0];
    fn frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; 4];
        from.read_exact(&mut frame)?;
        let length = u32::from_be_bytes(frame[..].try_into().expect("four bytes")) as usize;
        frame.resize(4 + length, 0);
        from.read_exact(&mut frame[4..])?;
        Ok(frame)
    }
    let answers = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for client in listener.incoming() {
            let port = *broker.lock().unwrap_or_else(PoisonError::into_inner);
            let (Ok(mut client), Ok(mut server)) = (client, TcpStream::connect(("127.0.0.1", port))) else {
                continue;
            };
            let (lost, answers) = (Arc::clone(&lost), Arc::clone(&answers));
            thread::spawn(move || {
                // One request at a time is under way on a connection of ours.
                let mut pass = || -> io::Result<()> {
                    loop {
                        let request = frame(&mut client)?;
                        server.write_all(&request)?;
                        let answer = frame(&mut server)?;
                        if request[4..6] == PRODUCE && answers.fetch_add(1, Ordering::SeqCst) % 3 == 1 {
                            lost.fetch_add(1, Ordering::SeqCst);
                            return Ok(());
                        }
                        client.write_all(&answer)?;
                    }
                };
                let _ = pass();
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
}

#[test]
fn an_answer_that_is_lost_writes_nothing_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let told = listener.local_addr().expect("it is bound").port();
    let (broker, lost) = (Arc::new(Mutex::new(0)), Arc::new(AtomicUsize::new(0)));
    lossy(listener, Arc::clone(&broker), Arc::clone(&lost));
    let proxied = |_, port| {
        *broker.lock().expect("nobody panicked") = port;
        told
    };
    let kafka = Kafka::start(Setup { proxied: Some(&proxied), ..Setup::default() });
    let name = kafka.unique_topic("lossy");
    let cluster = Cluster::new(addresses(&kafka, Listener::Proxied), Security::default());
    let topic = topic(&cluster, &name, 1);
    let mut producer = Producer::new(cluster, vec![topic], Codec::None).expect("a number");
    for number in 0..300 {
        producer.push(0, b"k", number.to_string().as_bytes(), now_ms()).expect("it gathers");
        if number % 10 == 9 {
            producer.flush().expect("it is acknowledged");
        }
    }
    assert!(lost.load(Ordering::SeqCst) >= 10, "{lost:?}");
    check_once(&kafka, &name, 300);
}

#[test]
fn a_leader_that_moves_is_followed() {
    let kafka = Kafka::start(Setup { nodes: 3, ..Setup::default() });
    let name = kafka.unique_topic("moved");
    let cluster = cluster(&kafka);
    let topic = topic(&cluster, &name, 1);
    let mut producer = Producer::new(cluster, vec![topic], Codec::Lz4).expect("a number");
    let mut write = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            producer.push(0, b"k", number.to_string().as_bytes(), now_ms()).expect("it gathers");
        }
        producer.flush().expect("it is acknowledged");
    };
    write(0..100);
    for (turn, node) in (1..).zip([3, 1, 2]) {
        kafka.move_leader(&name, 0, node);
        write(turn * 100..(turn + 1) * 100);
    }
    kafka.kill(2);
    write(400..500);
    check_once(&kafka, &name, 500);
}

#[test]
fn a_topic_that_cannot_be_made_is_told_and_one_that_is_there_is_taken() {
    let kafka = Kafka::shared();
    let cluster = cluster(kafka);
    let name = kafka.unique_topic("made");
    assert_eq!(topic(&cluster, &name, 3).partitions.len(), 3);
    assert_eq!(topic(&cluster, &name, 5).partitions.len(), 3);
    let wanted = NewTopic { name: kafka.unique_topic("never"), partitions: 1, replication: 3 };
    let fault = create_topics(&cluster, &[wanted]).expect_err("there is one broker");
    assert!(matches!(fault, Fault::Refused { .. }) && fault.to_string().contains("never"), "{fault}");
}

#[test]
fn lag_tools_see_how_far_a_group_is() {
    let kafka = Kafka::shared();
    let name = kafka.unique_topic("lag");
    kafka.create_topic(&name, 2);
    kafka.kcat(&["-P", "-t", &name, "-p", "1"], b"a\nb\nc\nd\ne\n");
    let cluster = cluster(kafka);
    cluster.topics(std::slice::from_ref(&name)).expect("a broker");
    let group = kafka.unique_topic("telemetra-group");
    let commit = |next| {
        telemetra_services::eventually("the coordinator is there", || {
            commit_group(&cluster, &group, &[(name.clone(), 1, next)]).ok()
        });
    };
    commit(1);
    commit(3);
    let bootstrap = kafka.bootstrap();
    let args = ["--bootstrap-server", &*bootstrap, "--describe", "--group", &*group];
    let said = kafka.java("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &args, b"");
    let said = String::from_utf8_lossy(&said).into_owned();
    let row: Vec<&str> =
        said.lines().find(|line| line.contains(&name)).expect(&said).split_whitespace().collect();
    assert_eq!(row[1..6], [&*name, "1", "3", "5", "2"], "{said}");
}
