//! The demo as somebody would start it: both pipelines on one page, and an end in order.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;
use telemetra_services::{PATIENCE, eventually};

use crate::support::{Instance, Telemetra};

/// The body of a page that is there.
fn get(address: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("the page listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    body.to_owned()
}

#[test]
fn both_pipelines_are_on_one_page_and_the_sums_hold_when_it_was_stopped() {
    let telemetra = Telemetra::new();
    let start = || {
        let args = "demo --dir demo --rate 10 --streams 2 --http 127.0.0.1:0";
        Instance::of(telemetra.command(&args.split(' ').collect::<Vec<_>>()))
    };
    // The first start reads the history of ten minutes, the second goes on behind it.
    let sums: [&[&str]; 2] = [&["accepted", "duplicates", "quarantined"], &["accepted"]];
    for shop_sums in sums {
        let demo = start();
        let line = demo.expect("open  http://");
        let address =
            line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        assert!(get(address, "/").contains("page.js"));
        let status = eventually("both pipelines count what the generators write", || {
            let status: Value = serde_json::from_str(&get(address, "/api/status")).expect("JSON");
            let counts = |job: &Value, history: u64, sums: &[&str]| {
                let is_read = job["partitions"][0]["next"].as_u64().is_some_and(|next| next >= history);
                is_read && sums.iter().all(|sum| job[sum].as_u64().is_some_and(|sum| sum > 0))
            };
            let counts = counts(&status, 1_000, &["counted", "open_windows"])
                && counts(&status["beside"], 12_000, shop_sums);
            counts.then_some(status)
        });
        assert_eq!(
            (&status["pipeline"], &status["beside"]["pipeline"]),
            (&"chat".into(), &"commerce".into())
        );
        demo.signal(libc::SIGINT);
        assert_eq!(demo.wait().code(), Some(0));
        telemetra.run(&["audit", "--store", "sqlite:demo/demo.db"]).expect_code(0);
    }
    let db = rusqlite::Connection::open(telemetra.path().join("demo/demo.db")).expect("the store is there");
    let rows = |table: &str| {
        db.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get::<_, i64>(0))
            .expect("a count")
    };
    // Twenty shop events a second for ten minutes, nearly all of them good.
    assert!(rows("user_events") > 11_000 && rows("chat_summary_minute") > 100);
}
