//! Columns that files have and nobody reads: counted, and told once for each set of them.
//!
//! Says nothing about records: they are read as if the columns were not there.

use std::collections::BTreeSet;

use super::{
    limits::{DRIFT_COLUMNS_SHOWN, DRIFT_NAME_CHARS_SHOWN, DRIFTS_MAX},
    scan::escaped,
};

/// What was seen of such columns.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    /// Files that have some, since the start.
    pub(crate) count: u64,
    /// For each set of columns the first file with them, in words.
    pub(crate) notices: Vec<String>,
    seen: BTreeSet<String>,
}

impl Drift {
    /// Takes note of the columns of `file`, a path as it may be printed, that nobody reads.
    pub(crate) fn note(&mut self, file: &str, columns: &[String]) {
        if columns.is_empty() {
            return;
        }
        self.count += 1;
        let columns = listed(columns);
        if self.notices.len() < DRIFTS_MAX && !self.seen.contains(&columns) {
            self.notices.push(format!("{file}: columns that nobody reads (schema_drift): {columns}"));
            self.seen.insert(columns);
        }
    }
}

/// The names as they may be printed, the first of them.
fn listed(columns: &[String]) -> String {
    let name = |name: &String| escaped(&name.chars().take(DRIFT_NAME_CHARS_SHOWN).collect::<String>());
    let names: Vec<_> = columns.iter().take(DRIFT_COLUMNS_SHOWN).map(name).collect();
    match columns.len().saturating_sub(DRIFT_COLUMNS_SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_and_each_set_of_columns_is_told_once() {
        let mut drift = Drift::default();
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        drift.note("a", &[]);
        drift.note("b", &columns(&["x", "y\u{1b}"]));
        drift.note("c", &columns(&["x", "y\u{1b}"]));
        drift.note("d", &columns(&["x"]));
        assert_eq!(drift.count, 3);
        let told = "columns that nobody reads (schema_drift)";
        assert_eq!(drift.notices, [format!("b: {told}: x, y\\u{{1b}}"), format!("d: {told}: x")]);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let many: Vec<_> = (0..20).map(|number| format!("{number}{}", "x".repeat(10_000))).collect();
        let mut drift = Drift::default();
        for start in 0..10 * DRIFTS_MAX {
            drift.note("a", &[&[start.to_string()], &many[..]].concat());
        }
        assert_eq!((drift.notices.len(), drift.seen.len()), (DRIFTS_MAX, DRIFTS_MAX));
        assert!(drift.notices[0].len() < 1_000 && drift.notices[0].ends_with(" and 11 more"));
    }
}
