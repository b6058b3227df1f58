//! One generator feeding the folders of both inputs, rotated by the time of writing.

use std::{io, path::Path};

use telemetra_core::generate::{ChatGenerator, ChatPlan, Input};

use super::{
    files::{Files, Shape},
    slots::Slots,
};
use crate::cli::Compress;

/// Names of the folders below the output folder, and what their files' names begin with.
const CHAT: &str = "chat";
const VIEWER: &str = "viewer";

/// Both folders and what goes into them.
#[derive(Debug)]
pub struct Feed {
    generator: ChatGenerator,
    chat: Files,
    viewer: Files,
    slots: Slots,
    line: Vec<u8>,
    chat_events: u64,
}

impl Feed {
    /// Feeds `folder/chat` and `folder/viewer` with what `plan` says, a new file every `rotate_ms`.
    ///
    /// # Errors
    /// When the plan is at fault, or a folder cannot be made.
    pub fn new(folder: &Path, plan: ChatPlan, rotate_ms: i64, compress: Compress) -> anyhow::Result<Self> {
        let generator = ChatGenerator::new(plan).map_err(|faults| anyhow::anyhow!(faults.join("; ")))?;
        Ok(Self {
            generator,
            chat: Files::new(&folder.join(CHAT), Shape::json_lines(CHAT), compress)?,
            viewer: Files::new(&folder.join(VIEWER), Shape::json_lines(VIEWER), compress)?,
            slots: Slots::new(rotate_ms),
            line: Vec::new(),
            chat_events: 0,
        })
    }

    /// Another length for the files that begin from now on.
    ///
    /// # Errors
    /// When the current files cannot be completed.
    pub fn rotate_every(&mut self, rotate_ms: i64) -> io::Result<()> {
        self.complete()?;
        self.slots = Slots::new(rotate_ms);
        Ok(())
    }

    /// Chat events so far.
    pub fn chat_events(&self) -> u64 {
        self.chat_events
    }

    /// When the next event is to be written, milliseconds.
    pub fn next_ms(&self) -> i64 {
        self.generator.next_ms()
    }

    /// Writes events until the next is to be written at or after `until_ms`, or `most` chat events were
    /// written in all; completes every file whose time is over by then.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_until(&mut self, until_ms: i64, most: u64) -> io::Result<()> {
        while self.generator.next_ms() < until_ms && self.chat_events < most {
            self.line.clear();
            let item = self.generator.next(&mut self.line);
            self.complete_before(item.written_ms)?;
            let files = match item.input {
                Input::Chat => &mut self.chat,
                Input::Viewer => &mut self.viewer,
            };
            self.chat_events += u64::from(item.input == Input::Chat);
            files.write(&self.line, item.written_ms)?;
        }
        if until_ms < i64::MAX {
            self.complete_before(until_ms)?;
        }
        Ok(())
    }

    fn complete_before(&mut self, now_ms: i64) -> io::Result<()> {
        if self.slots.is_over(now_ms) { self.complete() } else { Ok(()) }
    }

    /// Completes the current files, viewer first: whoever reads chat then finds the viewers of that time.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn complete(&mut self) -> io::Result<()> {
        self.viewer.rotate()?;
        self.chat.rotate()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn lines(folder: &Path) -> (usize, usize) {
        let entries = fs::read_dir(folder).expect("the folder is there");
        let texts =
            entries.map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("it reads"));
        texts.fold((0, 0), |(files, lines), text| (files + 1, lines + text.lines().count()))
    }

    #[test]
    fn files_follow_the_time_of_writing_and_hold_all_events() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plan = ChatPlan { rate_per_second: 50.0, streams: 3, users: 100, ..ChatPlan::default() };
        let start_ms = plan.start_ms;
        let mut feed = Feed::new(folder.path(), plan, 10_000, Compress::None).expect("a feed");
        feed.write_until(start_ms + 25_000, u64::MAX).expect("written");
        let chat = folder.path().join("chat");
        assert_eq!(lines(&chat).0, 3, "two complete, the third hidden");
        feed.complete().expect("completed");
        let (files, events) = lines(&chat);
        assert_eq!((files, events as u64), (3, feed.chat_events()));
        assert!(lines(&folder.path().join("viewer")).1 > 0);
        assert!(feed.next_ms() >= start_ms + 25_000);
    }

    #[test]
    fn a_count_is_exact() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut feed = Feed::new(folder.path(), ChatPlan::default(), 60_000, Compress::None).expect("a feed");
        feed.write_until(i64::MAX, 1_234).expect("written");
        feed.complete().expect("completed");
        assert_eq!(lines(&folder.path().join("chat")).1, 1_234);
    }
}
