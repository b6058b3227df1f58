//! Texts about Kafka to values: brokers, topics, where to begin.
//!
//! Each function returns the value, or (what is wrong, what to do).

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
};

use jiff::Timestamp;
use telemetra_connectors::kafka::{Address, StartAt, StartOffset};

use crate::settings::parse::Wrong;

/// Port of a broker that names none.
const PORT: u16 = 9092;
/// Brokers that may be named.
const BROKERS_MAX: usize = 64;
/// Longest name of a topic, as Kafka has it.
const TOPIC_CHARS_MAX: usize = 249;
/// Spark's numbers for the ends of a partition.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Reads `HOST:PORT,…`; the port is Kafka's if none is named, IPv6 stands in brackets.
///
/// # Errors
/// Names every part that is wrong.
pub(super) fn bootstrap(text: &str) -> Result<Vec<Address>, Wrong> {
    let next = || "write HOST:PORT, more with commas between; IPv6 in brackets: [::1]:9092".to_owned();
    let (mut brokers, mut wrong) = (Vec::new(), Vec::new());
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match address(part) {
            Ok(address) if brokers.contains(&address) => {}
            Ok(address) => brokers.push(address),
            Err(why) => wrong.push(format!("`{}` {why}", part.escape_debug())),
        }
    }
    if !wrong.is_empty() {
        return Err((wrong.join("; "), next()));
    }
    match brokers.len() {
        0 => Err(("names no broker".into(), next())),
        1..=BROKERS_MAX => Ok(brokers),
        count => Err((
            format!("names {count} brokers"),
            format!("name {BROKERS_MAX} at most: the others are found by them"),
        )),
    }
}

fn address(part: &str) -> Result<Address, &'static str> {
    if part.contains("://") {
        return Err("has a protocol, which KAFKA_SECURITY_PROTOCOL names instead");
    }
    if part.contains(['@', '/', '?', ' ']) {
        return Err("is no host");
    }
    if let Some(rest) = part.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("lacks the closing bracket")?;
        host.parse::<Ipv6Addr>().map_err(|_| "has no IPv6 address in its brackets")?;
        return Ok(Address { host: host.to_owned(), port: port_of(port)? });
    }
    if part.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        return Err("is an IPv6 address without brackets");
    }
    let (host, port) = part.find(':').map_or((part, ""), |at| part.split_at(at));
    if host.is_empty() {
        return Err("names no host");
    }
    Ok(Address { host: host.to_owned(), port: port_of(port)? })
}

/// The port behind a host: nothing, or a colon and a number.
fn port_of(text: &str) -> Result<u16, &'static str> {
    if text.is_empty() {
        return Ok(PORT);
    }
    let port = text.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port > 0);
    port.ok_or("has no port from 1 to 65535")
}

/// Reads a topic's name; `none` is `None`.
///
/// # Errors
/// When Kafka could have no such topic.
pub(super) fn topic(text: &str) -> Result<Option<String>, Wrong> {
    let text = text.trim();
    if text == "none" {
        return Ok(None);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=TOPIC_CHARS_MAX).contains(&text.len())
        && text.chars().all(is_plain)
        && !matches!(text, "." | "..")
    {
        return Ok(Some(text.to_owned()));
    }
    let next = format!("use 1 to {TOPIC_CHARS_MAX} letters (a-z), digits, `.`, `_` or `-`, or none");
    Err((format!("`{}` is no name of a topic", text.escape_debug()), next))
}

/// Reads where a new job begins.
///
/// # Errors
/// When it is neither a word, nor an instant, nor offsets.
pub(super) fn start_at(text: &str) -> Result<StartAt, Wrong> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "earliest" => return Ok(StartAt::Earliest),
        "latest" => return Ok(StartAt::Latest),
        _ => {}
    }
    if text.starts_with('{') {
        return from_json(text);
    }
    if text.contains('=') {
        return offsets(text);
    }
    match text.parse::<Timestamp>().map(Timestamp::as_millisecond) {
        Ok(ms @ 0..) => Ok(StartAt::Instant(ms)),
        Ok(_) => Err((format!("`{text}` lies before 1970"), "write earliest".into())),
        Err(_) => Err((
            format!("`{}` is no place to begin at", text.escape_debug()),
            "write earliest, latest, an instant such as 2025-01-01T00:00:00Z, or offsets: TOPIC:PARTITION=OFFSET,…".into(),
        )),
    }
}

/// Reads `TOPIC:PARTITION=OFFSET,…`, where an offset may be `earliest` or `latest`.
fn offsets(text: &str) -> Result<StartAt, Wrong> {
    let (mut found, mut wrong) = (BTreeMap::new(), Vec::new());
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match one_offset(part) {
            Some((place, _)) if found.contains_key(&place) => {
                wrong.push(format!("`{part}` names a partition again"));
            }
            Some((place, offset)) => _ = found.insert(place, offset),
            None => wrong.push(format!("`{}` is not TOPIC:PARTITION=OFFSET", part.escape_debug())),
        }
    }
    if wrong.is_empty() {
        return Ok(StartAt::Offsets(found));
    }
    Err((
        wrong.join("; "),
        "write such as telemetra.events.chat:0=23,telemetra.events.chat:1=earliest".into(),
    ))
}

fn one_offset(part: &str) -> Option<((String, u32), StartOffset)> {
    let (place, offset) = part.split_once('=')?;
    let (name, partition) = place.rsplit_once(':')?;
    let offset = match offset.trim() {
        "earliest" => StartOffset::Earliest,
        "latest" => StartOffset::Latest,
        number => StartOffset::At(number.parse::<u64>().ok().filter(|it| i64::try_from(*it).is_ok())?),
    };
    Some(((topic(name).ok()??, partition.trim().parse().ok()?), offset))
}

/// Reads Spark's `{"topic":{"0":23,"1":-2}}`.
fn from_json(text: &str) -> Result<StartAt, Wrong> {
    let wrong = |what: String| {
        (what, r#"write such as {"telemetra.events.chat":{"0":23,"1":-2}}, -2 earliest, -1 latest"#.into())
    };
    let topics: BTreeMap<String, BTreeMap<u32, i64>> = serde_json::from_str(text)
        .map_err(|error| wrong(format!("is no map of topics to offsets: {error}")))?;
    let mut found = BTreeMap::new();
    for (name, partitions) in topics {
        for (partition, offset) in partitions {
            let offset = match offset {
                LATEST => StartOffset::Latest,
                EARLIEST => StartOffset::Earliest,
                offset => match u64::try_from(offset) {
                    Ok(offset) => StartOffset::At(offset),
                    Err(_) => return Err(wrong(format!("{name}:{partition} has the offset {offset}"))),
                },
            };
            found.insert((name.clone(), partition), offset);
        }
    }
    if found.is_empty() { Err(wrong("names no partition".into())) } else { Ok(StartAt::Offsets(found)) }
}

/// Reads a text without NUL.
///
/// # Errors
/// When it holds one.
pub(super) fn plain(text: &str) -> Result<String, Wrong> {
    if text.contains('\0') {
        Err(("holds a NUL character".into(), "leave it out".into()))
    } else {
        Ok(text.to_owned())
    }
}

/// Reads the path of a file; whether it is there is seen when it is read.
///
/// # Errors
/// When it is empty.
pub(super) fn file(text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() { Err(("is empty".into(), "name a file, PEM".into())) } else { Ok(text.into()) }
}
