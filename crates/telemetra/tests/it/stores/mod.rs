//! What both stores must do alike: each test drives a sink through a story and looks at what is stored, on SQLite and
//! on a real PostgreSQL.
//!
//! | file | holds |
//! |---|---|
//! | `story` | three batches in which everything happens that the law speaks of |
//! | `commit`, `instances`, `audit`, `shown` | the contract, a file for each promise |
//! | `logs` | which log offsets count in, and where a job began |
//! | `beside` | rows of a job that began beside the old one |
//! | `topics` | records of Kafka in all tables |
//! | `server` | what only a server can do to a job |
//! | `same` | both stores hold the same and answer alike |
//! | `commerce` | the same for rows that are unique by an id |
//! | `tls` | whom a connection to PostgreSQL trusts |
//! | `messages` | what a user reads when PostgreSQL is not as it should be |
//!
//! SQL is PostgreSQL's here; SQLite's names of ledger tables are made from it.

mod audit;
mod beside;
mod commerce;
mod commit;
mod instances;
mod logs;
mod messages;
mod same;
mod server;
mod shown;
mod story;
mod tls;
mod topics;

use std::{error::Error, path::PathBuf, sync::OnceLock, time::SystemTime};

use jiff::Timestamp;
use postgres::types::{FromSql, Type};
use rusqlite::{Connection, types::ValueRef};
use telemetra_connectors::{
    Quarantine, StoreReader,
    postgres::{self as pg, Address, PostgresSink},
    sqlite::{self, SqliteSink},
};
use telemetra_core::{chat::Chat, commerce::Commerce, window::WindowSpec};
use telemetra_engine::{
    audit::Report,
    sink::{Recovered, Sink, SinkError},
};
use telemetra_services::postgres::{Database, Postgres};

use self::story::{inputs, story, window};

/// A store of one test's own.
trait Store: Sized {
    /// An empty one.
    fn new() -> Self;

    /// One that holds the whole story; nobody runs the job.
    fn with_story() -> Self;

    fn open(&self, job: &str, window: WindowSpec) -> Result<Box<dyn Sink<Chat>>, SinkError>;

    fn open_commerce(&self, job: &str) -> Result<Box<dyn Sink<Commerce>>, SinkError>;

    fn open_quarantine(&self) -> Result<Quarantine, SinkError>;

    fn open_reader(&self) -> Result<StoreReader, SinkError>;

    /// Runs statements.
    fn sql(&self, sql: &str);

    /// All values of a query: columns joined by a space, rows by a line end; booleans as 0 and 1, NULL as NULL.
    fn text(&self, sql: &str) -> String;

    /// Lets another instance past the one that holds the job, which does not end.
    fn forget_holder(&self);

    /// Makes the holder look like another process' instance.
    fn estrange_holder(&self);

    fn reader(&self) -> StoreReader {
        self.open_reader().expect("the store is there")
    }

    fn sink(&self) -> Box<dyn Sink<Chat>> {
        self.open("chat", window()).expect("the store is there")
    }

    fn take_over(&self) -> (Box<dyn Sink<Chat>>, Recovered) {
        let mut sink = self.sink();
        let recovered = sink.take_over(&inputs(), "meaning").expect("nobody holds the job");
        (sink, recovered)
    }

    fn audit(&self) -> Report {
        self.reader().audit(None).expect("it can be audited").remove(0)
    }

    /// Commits the story; the sink is gone afterwards.
    fn tell(&self) {
        let (mut sink, _) = self.take_over();
        for batch in &story() {
            sink.commit(batch).expect("the story adds up");
        }
    }
}

/// Makes a test on each store of each function given.
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test::<crate::stores::Lite>(); })*
        }
        mod postgres {
            $(#[test] fn $test() { super::$test::<crate::stores::Pg>(); })*
        }
    };
}
use on_both;

/// A file in a folder of its own.
struct Lite {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Lite {
    fn connect(&self) -> Connection {
        Connection::open(&self.path).expect("the file can be opened")
    }
}

impl Store for Lite {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("telemetra.db");
        Self { _folder: folder, path }
    }

    fn with_story() -> Self {
        static FILE: OnceLock<Vec<u8>> = OnceLock::new();
        let file = FILE.get_or_init(|| {
            let store = Self::new();
            // The last connection to close leaves everything in the one file.
            store.tell();
            std::fs::read(&store.path).expect("the file is there")
        });
        let store = Self::new();
        std::fs::write(&store.path, file).expect("the folder is ours");
        store
    }

    fn open(&self, job: &str, window: WindowSpec) -> Result<Box<dyn Sink<Chat>>, SinkError> {
        Ok(Box::new(SqliteSink::open(&self.path, job, window)?))
    }

    fn open_commerce(&self, job: &str) -> Result<Box<dyn Sink<Commerce>>, SinkError> {
        Ok(Box::new(SqliteSink::open_commerce(&self.path, job)?))
    }

    fn open_quarantine(&self) -> Result<Quarantine, SinkError> {
        sqlite::open_quarantine(&self.path)
    }

    fn open_reader(&self) -> Result<StoreReader, SinkError> {
        sqlite::open_reader(&self.path)
    }

    fn sql(&self, sql: &str) {
        let sql = sql.replace("telemetra.", "telemetra_");
        self.connect().execute_batch(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn text(&self, sql: &str) -> String {
        let db = self.connect();
        let mut statement = db.prepare(&sql.replace("telemetra.", "telemetra_")).expect("a query");
        let columns = statement.column_count();
        let line = |row: &rusqlite::Row<'_>| {
            let value = |column| match row.get_ref(column).expect("a column") {
                ValueRef::Null => "NULL".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(text) | ValueRef::Blob(text) => json(&String::from_utf8_lossy(text)),
            };
            Ok((0..columns).map(value).collect::<Vec<_>>().join(" "))
        };
        let rows = statement.query_map([], line).expect("a query");
        rows.collect::<Result<Vec<_>, _>>().expect("rows").join("\n")
    }

    fn forget_holder(&self) {
        // As on a file system that has no locks.
        std::fs::remove_file(self.path.with_extension("db.chat.lock")).expect("somebody holds the job");
    }

    fn estrange_holder(&self) {}
}

/// A database on the server that the tests share.
struct Pg(Database<'static>);

impl Pg {
    fn address(&self) -> Address {
        Address::parse(&self.0.address()).expect("the address is ours")
    }
}

impl Store for Pg {
    fn new() -> Self {
        Self(Postgres::shared().create_database())
    }

    fn with_story() -> Self {
        static TOLD: OnceLock<Pg> = OnceLock::new();
        let told = TOLD.get_or_init(|| {
            let store = Self::new();
            store.tell();
            store
        });
        Self(told.0.copy())
    }

    fn open(&self, job: &str, window: WindowSpec) -> Result<Box<dyn Sink<Chat>>, SinkError> {
        Ok(Box::new(PostgresSink::open(&self.address(), job, window)?))
    }

    fn open_commerce(&self, job: &str) -> Result<Box<dyn Sink<Commerce>>, SinkError> {
        Ok(Box::new(PostgresSink::open_commerce(&self.address(), job)?))
    }

    fn open_quarantine(&self) -> Result<Quarantine, SinkError> {
        pg::open_quarantine(&self.address())
    }

    fn open_reader(&self) -> Result<StoreReader, SinkError> {
        pg::open_reader(&self.address())
    }

    fn sql(&self, sql: &str) {
        self.0.client().batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    fn text(&self, sql: &str) -> String {
        let rows = self.0.client().query(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let value = |row: &postgres::Row, at| {
            row.get::<_, Option<Shown>>(at).map_or_else(|| "NULL".into(), |Shown(text)| text)
        };
        let line =
            |row: &postgres::Row| (0..row.len()).map(|at| value(row, at)).collect::<Vec<_>>().join(" ");
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn forget_holder(&self) {
        // The same process may take over from itself.
    }

    fn estrange_holder(&self) {
        self.sql("UPDATE telemetra.job SET holder = 'process 7;'");
    }
}

/// A value as SQLite holds it.
struct Shown(String);

impl<'a> FromSql<'a> for Shown {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *of {
            Type::BOOL => u8::from(bool::from_sql(of, raw)?).to_string(),
            Type::INT4 => i32::from_sql(of, raw)?.to_string(),
            Type::INT8 => i64::from_sql(of, raw)?.to_string(),
            Type::FLOAT8 => f64::from_sql(of, raw)?.to_string(),
            Type::BYTEA => String::from_utf8_lossy(raw).into_owned(),
            // One byte of version before the text.
            Type::JSONB => json(str::from_utf8(&raw[1..])?),
            Type::TEXT_ARRAY => serde_json::to_string(&Vec::<String>::from_sql(of, raw)?)?,
            Type::TIMESTAMPTZ => {
                let at = Timestamp::try_from(SystemTime::from_sql(of, raw)?)?;
                at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
            }
            _ => String::from_sql(of, raw)?,
        }))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// JSON objects without what has no meaning in them.
fn json(text: &str) -> String {
    let object = serde_json::from_str::<serde_json::Value>(text).ok().filter(serde_json::Value::is_object);
    object.map_or_else(|| text.to_owned(), |object| object.to_string())
}
