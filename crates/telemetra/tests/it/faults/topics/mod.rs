//! Chat from topics that are written in transactions, every third one given up, struck by faults: rows are those of a
//! folder with the committed events.
//!
//! ```text
//! input ──► folder, undisturbed ────────────────────────────────────────────► expected rows
//!    └────► producer ──► three nodes that fall and lead in turn ──► run that is killed ──► the same rows
//!               └─ every third transaction: events of `never`, given up
//! ```
//! | file | owns |
//! |---|---|
//! | `producer` | the client that writes in transactions, in step with the deeds |
//! | `kills` | `kill -9`, nodes that go and come back, leaders that move |

mod kills;
mod producer;

use std::{fs, path::PathBuf};

use telemetra_services::{
    kafka::Kafka,
    postgres::{Database, Postgres},
};

use super::asking::Asking;
use crate::{
    golden::{Filled, summary},
    support::Telemetra,
};

/// Event time of an input, whatever it holds.
const SECONDS: u64 = 6_000;
/// Nothing is late: transactions of minutes of event time reach partitions one after the other.
const DELAY: [&str; 2] = ["--watermark-delay", "10 minutes"];
/// A stream of which every event is given up.
const NEVER: &str = "never";
const CHAT_PARTITIONS: i32 = 4;
const VIEWER_PARTITIONS: i32 = 2;

/// Two files, made once: what is committed in the end.
struct Input {
    telemetra: Telemetra,
    /// Events of both kinds.
    events: u64,
}

impl Input {
    fn new(chat: u64) -> Self {
        let telemetra = Telemetra::new();
        let flags = format!(
            "generate chat --count {chat} --rate {} --streams 12 --users 500 --seed 3 --rotate {} \
             --start 2025-01-01T00:00:00Z --out-of-order 0.05 --output input",
            chat.div_ceil(SECONDS),
            10 * SECONDS,
        );
        telemetra.run(&flags.split_whitespace().collect::<Vec<_>>()).expect_code(0);
        let mut input = Self { telemetra, events: 0 };
        for kind in ["chat", "viewer"] {
            let text = fs::read(input.file(kind)).expect("the input is there");
            input.events += text.iter().filter(|&&byte| byte == b'\n').count() as u64;
        }
        input
    }

    /// The one file of a kind.
    fn file(&self, kind: &str) -> PathBuf {
        let folder = self.telemetra.path().join("input").join(kind);
        let mut entries = fs::read_dir(&folder).expect("the input is there");
        let file = entries.next().expect("it holds a file").expect("an entry").path();
        assert!(entries.next().is_none(), "more than one file in {}", folder.display());
        file
    }

    /// The rows of all windows, read from the folders into a store of the same kind.
    fn rows(&self, server: Option<&'static Postgres>) -> Vec<Vec<String>> {
        let (telemetra, database) = (Telemetra::new(), server.map(Postgres::create_database));
        let address = database.as_ref().map(Database::address);
        let store: Vec<&str> = address.iter().flat_map(|address| ["--store", address]).collect();
        let folder = |kind: &str| self.telemetra.path().join("input").join(kind).display().to_string();
        let (chat, viewer) = (folder("chat"), folder("viewer"));
        let run = ["run", "chat", "--once", "--drain", "--arrival", "rename", "--chat-dir", &chat];
        telemetra.run(&[&run[..], &["--viewer-dir", &viewer], &DELAY, &store].concat()).expect_code(0);
        summary(&database.map_or(Filled::Sqlite(telemetra), Filled::Postgres))
    }
}

/// A store, and the two topics of a cluster that the job reads.
struct Job<'k> {
    kafka: &'k Kafka,
    chat: String,
    viewer: String,
    telemetra: Telemetra,
    database: Option<Database<'static>>,
    /// Most records of a batch.
    batch: u64,
    asking: Asking,
}

impl<'k> Job<'k> {
    fn new(kafka: &'k Kafka, server: Option<&'static Postgres>, batch: u64) -> Self {
        let topic = |base: &str, partitions| {
            let topic = kafka.unique_topic(base);
            kafka.create_topic_with(&topic, partitions, &[("min.insync.replicas", "2")]);
            topic
        };
        Self {
            kafka,
            chat: topic("chat", CHAT_PARTITIONS),
            viewer: topic("viewer", VIEWER_PARTITIONS),
            telemetra: Telemetra::new(),
            database: server.map(Postgres::create_database),
            batch,
            asking: Asking::default(),
        }
    }

    /// Arguments of a run that stays, and `more`.
    fn run(&self, more: &[&str]) -> Vec<String> {
        let (bootstrap, batch) = (self.kafka.bootstrap(), self.batch.to_string());
        let flags = ["run", "chat", "--retry-delay-seconds", "0.1", "--trigger-interval", "50ms"];
        let topics = ["--kafka", &bootstrap, "--chat-topic", &self.chat, "--viewer-topic", &self.viewer];
        let args = [&flags[..], &topics, &["--max-records-per-trigger", &batch], &DELAY, more].concat();
        args.into_iter().map(str::to_owned).chain(self.store_args()).collect()
    }

    fn store_args(&self) -> Vec<String> {
        self.database.iter().flat_map(|it| ["--store".to_owned(), it.address()]).collect()
    }

    fn number(&self, sql: &str) -> u64 {
        self.asking.number(&self.telemetra, self.database.as_ref(), sql)
    }

    /// One of the ledger's sums.
    fn sum(&self, column: &str) -> u64 {
        self.number(&format!("SELECT CAST(COALESCE(SUM({column}), 0) AS bigint) FROM telemetra.batch_range"))
    }

    /// Every committed sum holds.
    fn audit(&self) {
        self.telemetra.run(&[vec!["audit".to_owned()], self.store_args()].concat()).expect_code(0);
    }

    /// The rows of all windows.
    fn rows(self) -> Vec<Vec<String>> {
        summary(&self.database.map_or(Filled::Sqlite(self.telemetra), Filled::Postgres))
    }
}
