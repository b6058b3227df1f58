//! One generator feeding a folder of CSV, rotated by event time, and the sums of all it has written.

use std::{io, path::Path};

use telemetra_core::{
    commerce::Format,
    generate::{CommerceGenerator, CommercePlan, CommerceSums},
};

use super::{
    files::{Files, Shape},
    slots::Slots,
};
use crate::cli::Compress;

/// Files of shop events.
const SHAPE: Shape = Shape { prefix: "events", extension: "csv", head: Some(CommerceGenerator::HEAD) };

/// The folder and what goes into it.
#[derive(Debug)]
pub struct ShopFeed {
    generator: CommerceGenerator,
    files: Files,
    slots: Slots,
    line: Vec<u8>,
}

impl ShopFeed {
    /// Feeds `folder` with what `plan` says, a new file every `rotate_ms`.
    ///
    /// # Errors
    /// When the plan is at fault, or the folder cannot be made.
    pub fn new(
        folder: &Path,
        plan: CommercePlan,
        rotate_ms: i64,
        compress: Compress,
    ) -> anyhow::Result<Self> {
        let generator = CommerceGenerator::new(plan).map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
        let files = Files::new(folder, SHAPE, compress)?;
        Ok(Self { generator, files, slots: Slots::new(rotate_ms), line: Vec::new() })
    }

    /// Another length for the files that begin from now on.
    ///
    /// # Errors
    /// When the current file cannot be completed.
    pub fn rotate_every(&mut self, rotate_ms: i64) -> io::Result<()> {
        self.complete()?;
        self.slots = Slots::new(rotate_ms);
        Ok(())
    }

    /// What a run over all that was written must come to.
    pub fn sums(&self) -> &CommerceSums {
        self.generator.sums()
    }

    /// When the next record is to be written, milliseconds.
    pub fn next_ms(&self) -> i64 {
        self.generator.next_ms()
    }

    /// Writes records until the next is to be written at or after `until_ms`, or `most` were written in all;
    /// completes the file whose time is over by then.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_until(&mut self, until_ms: i64, most: u64) -> io::Result<()> {
        while self.generator.next_ms() < until_ms && self.sums().records < most {
            self.line.clear();
            let item = self.generator.next(Format::Csv, &mut self.line);
            self.complete_before(item.written_ms)?;
            self.files.write(&self.line, item.written_ms)?;
        }
        if until_ms < i64::MAX { self.complete_before(until_ms) } else { Ok(()) }
    }

    fn complete_before(&mut self, now_ms: i64) -> io::Result<()> {
        if self.slots.is_over(now_ms) { self.complete() } else { Ok(()) }
    }

    /// Completes the current file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn complete(&mut self) -> io::Result<()> {
        self.files.rotate()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_file_has_a_head_and_all_records_are_there_at_the_exact_rate() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = CommercePlan { events_per_second: 40.0, duplicate_share: 0.1, ..CommercePlan::default() };
        let start_ms = plan.start_ms;
        let mut feed = ShopFeed::new(folder.path(), plan, 10_000, Compress::None).expect("a feed");
        feed.write_until(start_ms + 25_000, u64::MAX).expect("written");
        assert!(feed.next_ms() >= start_ms + 25_000);
        feed.complete().expect("completed");
        let entries = fs::read_dir(folder.path()).expect("the folder is there");
        let mut texts: Vec<_> = entries
            .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("it reads"))
            .collect();
        texts.sort_by_key(String::len);
        let lines: Vec<_> = texts.iter().map(|text| text.lines().count()).collect();
        assert_eq!(lines, [201, 401, 401]);
        assert!(texts.iter().all(|text| text.starts_with("event_id,user_id,")));
        let sums = feed.sums();
        assert_eq!((sums.records, sums.accepted + sums.duplicates), (1_000, 1_000));
    }
}
