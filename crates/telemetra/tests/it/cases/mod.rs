//! Files and their contents through the real binary, a test named after each case.
//!
//! | file | holds |
//! |---|---|
//! | `arrival` | where files come from, what becomes of them, and what is no file to read |
//! | `contents` | what stands in them |
//!
//! What needs a clock or a file system of its own (settling, changes in the midst of a read, access that is denied) is
//! in `folder/tests/` of the connectors, likewise by case.

mod arrival;
mod contents;

use std::fs;

use rusqlite::types::Value as Cell;

use crate::support::Telemetra;

const HEAD: &str = "event_id,user_id,product_id,product_name,category,price,event_type,timestamp";

/// A good record.
fn good(id: &str) -> String {
    format!("{id},u,p,n,c,1.00,view,2025-03-01 10:00:00")
}

/// A file of good records.
fn file(ids: &[&str]) -> String {
    let records: String = ids.iter().map(|id| good(id) + "\n").collect();
    format!("{HEAD}\n{records}")
}

/// The folders of shop events, and a store.
struct Folder {
    telemetra: Telemetra,
}

impl Folder {
    fn new() -> Self {
        let telemetra = Telemetra::new();
        fs::create_dir_all(telemetra.path().join("data/raw")).expect("a folder");
        Self { telemetra }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.telemetra.path().join("data/raw").join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("written");
    }

    /// Reads all there is; what was read adds up, whatever else happened.
    #[track_caller]
    fn run(&self, env: &[(&str, &str)], code: i32) -> String {
        let args = ["run", "commerce", "--once", "--arrival", "rename"];
        let said = self.telemetra.run_env(&args, env).expect_code(code);
        self.telemetra.run(&["audit"]).expect_code(0);
        said
    }

    /// Columns of each row, joined by a space.
    fn rows(&self, sql: &str) -> Vec<String> {
        let db = self.telemetra.open_store();
        let mut statement = db.prepare(sql).expect("a query");
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let text = |at| row.get::<_, Cell>(at).map(shown);
            Ok((0..columns).map(text).collect::<Result<Vec<_>, _>>()?.join(" "))
        });
        rows.expect("rows").collect::<Result<_, _>>().expect("text")
    }

    /// Each row as `id file:line`, in the order in which they came.
    fn events(&self) -> Vec<String> {
        self.rows("SELECT event_id, origin || ':' || origin_position FROM user_events ORDER BY id")
    }

    /// Names in the folder for files that are done.
    fn processed(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.telemetra.path().join("data/processed")) else {
            return Vec::new();
        };
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn shown(value: Cell) -> String {
    match value {
        Cell::Null => "-".into(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => number.to_string(),
        Cell::Text(text) => text,
        Cell::Blob(bytes) => bytes.escape_ascii().to_string(),
    }
}
