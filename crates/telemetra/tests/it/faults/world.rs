//! What every round works on: an input made once, a server of the test's own, and the rows of an undisturbed run.
//!
//! The input has records out of order, late and broken ones. Late means minutes late, disorder stays within the delay:
//! so which rows are right does not depend on where batches end (DESIGN §5, Determinism).

use std::collections::HashMap;

use postgres::Client;
use telemetra_services::postgres::{Database, Postgres, Setup};

use super::instance::{Instance, Left};
use crate::support::Telemetra;

/// Result tables with all columns but those that say when and by which batch a row was written.
const TABLES: [(&str, &str); 4] = [
    (
        "chat_summary_minute",
        "stream_id, window_start, window_end, chat_count, unique_chatters, avg_sentiment, positive_count, \
         negative_count, chat_rate, avg_viewers, top_emotes, emote_counts, z_score, is_anomaly, is_final, incomplete",
    ),
    ("moments", "stream_id, timestamp, moment_type, description, intensity, metadata, detected_at"),
    ("dead_letters", "job, input, topic, partition, \"offset\", file, line, code, raw"),
    ("late_events", "job, input, topic, partition, \"offset\", file, line, stream_id, event_time, raw"),
];

/// Records of a batch, in every run.
const BATCH: &str = "400";

/// Input, server and the rows that every run must end with.
pub(super) struct World {
    pub(super) telemetra: Telemetra,
    pub(super) server: Postgres,
    expected: Rows,
}

/// The rows of each table as text, sorted.
type Rows = Vec<Vec<String>>;

impl World {
    /// Makes the input and runs it once, undisturbed.
    pub(super) fn new(setup: Setup) -> Self {
        let telemetra = Telemetra::new();
        let flags = "generate chat --count 12000 --rate 20 --streams 12 --users 500 --seed 11 --rotate 60 \
                     --start 2025-01-01T00:00:00Z --out-of-order 0.05 --late 0.01 --broken 0.01 --output input";
        telemetra.run(&flags.split_whitespace().collect::<Vec<_>>()).expect_code(0);
        let mut world = Self { telemetra, server: Postgres::start(setup), expected: Rows::new() };
        let database = world.server.create_database();
        let mut run = Instance::spawn(&world.telemetra, &world.once(&database.address()));
        run.expect_left(Left::Done);
        let rows = rows(&database);
        assert!(rows.iter().all(|table| table.len() >= 3), "too little in it: {rows:?}");
        drop(database);
        world.expected = rows;
        world
    }

    /// Arguments of a run to the end of the input.
    pub(super) fn once(&self, store: &str) -> Vec<String> {
        let mut args = self.serving(store, "input");
        args.extend(["--once".to_owned(), "--drain".to_owned()]);
        args
    }

    /// Arguments of a run that stays.
    pub(super) fn serving(&self, store: &str, input: &str) -> Vec<String> {
        let flags = "run chat --arrival rename --retry-delay-seconds 0.1 --max-records-per-trigger";
        let mut args: Vec<String> = flags.split(' ').map(str::to_owned).collect();
        args.extend([BATCH, "--store", store].map(str::to_owned));
        for kind in ["chat", "viewer"] {
            args.extend([format!("--{kind}-dir"), format!("{input}/{kind}")]);
        }
        args
    }

    /// Rows that are in `database` and should not be, or the other way round; no more than a few of them are said.
    pub(super) fn wrong_rows(&self, database: &Database) -> Vec<String> {
        let mut wrong = Vec::new();
        for (((table, _), found), expected) in TABLES.iter().zip(rows(database)).zip(&self.expected) {
            let mut counts: HashMap<&str, i64> = HashMap::new();
            found.iter().for_each(|row| *counts.entry(row).or_default() += 1);
            expected.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
            for (row, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
                wrong.push(format!("{table}, {count:+}: {row}"));
            }
        }
        wrong
    }

    /// Checks that the law of counts holds and that no epoch wrote after a later one had begun to.
    pub(super) fn check_ledger(&self, database: &Database) -> Result<(), String> {
        let audit = self.telemetra.run(&["audit", "--store", &database.address()]);
        if audit.0.status.code() != Some(0) {
            return Err(format!("the audit fails:\n{}{}", audit.stdout(), audit.stderr()));
        }
        let fenced = "SELECT count(*) FROM (SELECT epoch < max(epoch) OVER (ORDER BY batch_id) AS is_stale
                      FROM telemetra.batch) b WHERE is_stale";
        match count(&mut database.client(), fenced) {
            0 => Ok(()),
            stale => Err(format!("{stale} batches were written by an instance that was overtaken")),
        }
    }
}

/// A number that a query answers with.
pub(super) fn count(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).expect("the server is well").get(0)
}

fn rows(database: &Database) -> Rows {
    let mut client = database.client();
    let mut read = |table: &str, columns: &str| {
        let sql = format!("SELECT CAST(ROW({columns}) AS text) FROM {table}");
        let rows = client.query(&sql, &[]).expect("the table is there");
        let mut rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        rows.sort_unstable();
        rows
    };
    TABLES.map(|(table, columns)| read(table, columns)).into()
}
