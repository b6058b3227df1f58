//! The page over a real loopback socket, with data made up here.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use super::*;
use crate::{
    http::data::{MomentShown, RatePoint, StreamNow},
    snapshot::{Latest, Snapshot, State},
};

struct Made;

impl PageData for Made {
    fn newest_ms(&mut self) -> anyhow::Result<Option<i64>> {
        Ok(Some(3_600_000))
    }
    fn rates(&mut self, from_ms: i64, stream: Option<&str>) -> anyhow::Result<Vec<RatePoint>> {
        let rate = if stream.is_some() { 1.0 } else { 2.0 };
        Ok(vec![RatePoint { start_ms: from_ms, rate, is_final: true }])
    }
    fn streams(&mut self, _from_ms: i64, at_ms: i64, _most: usize) -> anyhow::Result<Vec<StreamNow>> {
        anyhow::ensure!(at_ms == 3_540_000, "the newest window that can be full");
        Ok(Vec::new())
    }
    fn moments(&mut self, _most: usize) -> anyhow::Result<Vec<MomentShown>> {
        let moment = |stream: &str| MomentShown {
            stream: stream.into(),
            start_ms: 0,
            description: "<b>".into(),
            rate: 1.0,
            z_score: 4.0,
        };
        Ok(vec![moment("a"), moment("b")])
    }
}

fn page() -> (Page, Latest) {
    let latest = Latest::default();
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    (start(listener, latest.clone().into(), Box::new(Made), 60_000).expect("a thread"), latest)
}

/// The whole answer to one request.
fn ask(page: &Page, request: &str) -> String {
    let mut socket = TcpStream::connect(page.address()).expect("the page listens");
    socket.write_all(format!("{request}\r\nConnection: close\r\n\r\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("answered");
    answer
}

fn get(page: &Page, path: &str) -> String {
    ask(page, &format!("GET {path} HTTP/1.1\r\nHost: localhost"))
}

#[test]
fn every_answer_forbids_foreign_script() {
    let (page, _latest) = page();
    for path in ["/", "/page.js", "/chart.js", "/page.css", "/icon.svg", "/livez", "/api/status", "/nowhere"]
    {
        let answer = get(&page, path);
        assert!(answer.contains("content-security-policy: default-src 'self'"), "{path}: {answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{path}");
        assert_eq!(answer.starts_with("HTTP/1.1 200"), path != "/nowhere", "{path}");
    }
    let html = get(&page, "/");
    assert!(!html.contains("<script>") && !html.contains("style=") && !html.contains("onclick"));
}

#[test]
fn other_hosts_and_methods_are_refused() {
    let (page, _latest) = page();
    assert!(ask(&page, "GET / HTTP/1.1\r\nHost: evil.example").starts_with("HTTP/1.1 403"));
    assert!(
        ask(&page, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0").starts_with("HTTP/1.1 405")
    );
    assert!(get(&page, &format!("/{}", "x".repeat(20_000))).starts_with("HTTP/1.1 4"), "headers are bounded");
}

#[test]
fn readiness_follows_the_state() {
    let (page, latest) = page();
    let check = |state: State, expected: &str| {
        latest.publish(Snapshot { state, ..Snapshot::default() });
        let answer = get(&page, "/readyz");
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{answer}");
    };
    check(State::Starting, "503");
    check(State::Running, "200");
    check(State::Waiting, "200");
    check(State::Standby("held".into()), "200");
    check(State::Halted("why".into()), "503");
    // Away before the job was taken over.
    check(State::Retrying("gone".into()), "503");
    let now_ms = jiff::Timestamp::now().as_millisecond();
    for (away_ms, expected) in [(0, "200"), (3_600_000, "503")] {
        latest.publish(Snapshot {
            state: State::Retrying("gone".into()),
            retrying_since_ms: Some(now_ms - away_ms),
            taken_over_at_ms: Some(0),
            ..Snapshot::default()
        });
        let answer = get(&page, "/readyz");
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "away for {away_ms} ms: {answer}");
    }
    assert!(get(&page, "/livez").starts_with("HTTP/1.1 200"));
}

#[test]
fn the_chart_is_bounded_and_follows_one_stream() {
    let (page, _latest) = page();
    let answer = get(&page, "/api/chart?minutes=15&stream=");
    assert!(answer.contains(r#""from_ms":2700000,"newest_ms":3600000"#), "{answer}");
    assert!(answer.contains(r#"{"start_ms":2700000,"rate":2.0,"is_final":true}"#), "{answer}");
    assert!(answer.contains(r#""stream":"a""#) && answer.contains(r#""stream":"b""#));
    let answer = get(&page, "/api/chart?stream=b");
    assert!(answer.contains(r#""rate":1.0,"is_final""#) && !answer.contains(r#""stream":"a""#), "{answer}");
    for bad in
        ["minutes=0", "minutes=1441", "minutes=x", "kitchen=1", &format!("stream={}", "x".repeat(2_000))]
    {
        assert!(get(&page, &format!("/api/chart?{bad}")).starts_with("HTTP/1.1 400"), "{bad}");
    }
}

#[test]
fn live_numbers_come_as_events() {
    let (page, latest) = page();
    latest.publish(Snapshot { records: 7, state: State::Running, ..Snapshot::default() });
    let mut socket = TcpStream::connect(page.address()).expect("the page listens");
    socket.write_all(b"GET /api/live HTTP/1.1\r\nHost: [::1]:1\r\n\r\n").expect("sent");
    let mut lines = BufReader::new(socket).lines().map(|line| line.expect("a line"));
    let event = lines.find(|line| line.starts_with("data: ")).expect("an event");
    assert!(event.contains(r#""records":7"#) && event.contains(r#""state":"running""#), "{event}");
}

#[test]
fn a_taken_port_gives_way_to_the_next() {
    let taken = bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = taken.local_addr().expect("it has an address");
    assert!(bind(address).is_err());
    if let Ok(next) = bind_from(address) {
        assert!(next.local_addr().expect("it has an address").port() > address.port());
    }
    assert!(bind(SocketAddr::from(([0, 0, 0, 0], 0))).is_err(), "other machines cannot reach it");
}
