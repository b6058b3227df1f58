//! The index pass: a settled file is read once whole before its records get offsets.
//!
//! It yields what makes a plan exact (record counts), a seek cheap (points) and a file known (fingerprint),
//! and verifies compressed files to their end. A file that changes under the pass is not indexed.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    decompress::{Decoder, fill, is_corrupt},
    fingerprint::{Fingerprint, Fingerprinter},
    format::Format,
    limits::{DECODED_BYTES_MAX, POINT_BYTES, RATIO_FREE_BYTES, RATIO_MAX},
    pass::{Pass, Section},
    stamp::Stamp,
};

/// A file that was read whole.
#[derive(Debug)]
pub(crate) struct Indexed {
    /// The stamp it had before and after.
    pub(crate) stamp: Stamp,
    /// Whether going to a byte means decoding all before it.
    pub(crate) is_compressed: bool,
    /// Its first record, where that names the columns.
    pub(crate) head: Option<Arc<[u8]>>,
    /// Code of a fault of the whole file: each section is then one record.
    pub(crate) fault: Option<Arc<str>>,
    /// One section per boundary that the file reaches, and one for what follows, unless nothing does.
    pub(crate) sections: Vec<Section>,
}

/// Why a file was not indexed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It is no longer there.
    Vanished,
    /// It was touched meanwhile.
    Touched,
    /// It could not be read; perhaps later.
    Unreadable(io::Error),
    /// What it holds is not to be read, until it changes.
    Unfit(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        match error.kind() {
            io::ErrorKind::NotFound => Refusal::Vanished,
            _ => Refusal::Unreadable(error),
        }
    }
}

/// Reads a file whole, beginning a new section at each of `boundaries` (ascending decoded bytes).
///
/// # Errors
/// See [`Refusal`].
pub(crate) fn index(
    path: &Path,
    format: Format,
    boundaries: &[u64],
    done: &AtomicU64,
) -> Result<Indexed, Refusal> {
    let (mut decoder, stamp) = Decoder::open(path)?;
    let is_compressed = decoder.is_compressed();
    let mut pass = Pass::new(format);
    // What was begun is read on: of a known file of lines this block may be a part of the one judged first.
    let is_judged = boundaries.is_empty() && matches!(format, Format::Lines);
    let mut boundaries = boundaries.iter().copied().filter(|&byte| byte > 0).peekable();
    loop {
        let room =
            boundaries.peek().map_or(POINT_BYTES as u64, |end| end - pass.byte).min(POINT_BYTES as u64);
        let held = match fill(&mut decoder, pass.room(room as usize)) {
            Err(error) if is_compressed && is_corrupt(&error) => {
                let byte = pass.byte;
                return Err(Refusal::Unfit(format!(
                    "compressed data corrupt or cut off after byte {byte}: {error}"
                )));
            }
            held => held?,
        };
        if is_judged && pass.byte == 0 && pass.encoding_fault(held).is_some() {
            let hint = "the file seems to be UTF-16: convert it to UTF-8 to have it read";
            return Err(Refusal::Unfit(format!("ENCODING_UTF16: {hint}")));
        }
        pass.take(held);
        done.fetch_add(held as u64, Ordering::Relaxed);
        if is_compressed {
            judge_size(pass.byte, stamp.size)?;
        }
        if boundaries.next_if_eq(&pass.byte).is_some() {
            pass.end_section();
        } else if (held as u64) < room {
            break;
        }
    }
    if pass.byte > pass.begin {
        pass.end_section();
    }
    if decoder.stamp()? != stamp {
        return Err(Refusal::Touched);
    }
    let (head, fault) = pass.whole();
    Ok(Indexed { stamp, is_compressed, head, fault, sections: pass.sections })
}

/// Whether a file's first `end` decoded bytes have this fingerprint; one that cannot be read now may have.
pub(crate) fn begins_with(path: &Path, end: u64, fingerprint: Fingerprint) -> bool {
    let begins = || -> io::Result<bool> {
        let (mut decoder, _) = Decoder::open(path)?;
        let mut hash = Fingerprinter::default();
        let mut buffer = vec![0; POINT_BYTES];
        let mut left = end;
        while left > 0 {
            let room = left.min(POINT_BYTES as u64);
            let held = fill(&mut decoder, &mut buffer[..room as usize])?;
            if held == 0 {
                return Ok(false);
            }
            hash.update(&buffer[..held]);
            left -= held as u64;
        }
        Ok(hash.so_far() == fingerprint)
    };
    begins().unwrap_or_else(|error| !is_corrupt(&error) && error.kind() != io::ErrorKind::NotFound)
}

/// Refuses what expands beyond reason.
fn judge_size(decoded: u64, stored: u64) -> Result<(), Refusal> {
    if decoded > DECODED_BYTES_MAX || (decoded > RATIO_FREE_BYTES && decoded / RATIO_MAX > stored) {
        let hint = format!("more than {RATIO_MAX} times its size, or {} GiB", DECODED_BYTES_MAX >> 30);
        return Err(Refusal::Unfit(format!(
            "{stored} bytes expand to {hint}: decompress it to have it read"
        )));
    }
    Ok(())
}

/// A file to index.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Where sections begin beside byte 0.
    pub(crate) boundaries: Vec<u64>,
}

/// How far to index ahead. Shared by the threads of one pass.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Records wanted.
    pub(crate) records: u64,
    /// Decoded bytes that are enough even if they hold fewer records.
    pub(crate) bytes: u64,
}

/// Indexes `jobs` in order on `threads` threads until the budget is used up; returns the outcomes of those
/// begun, which are the first ones, in their order.
pub(crate) fn index_all(
    folder: &Path,
    format: Format,
    jobs: &[Job],
    budget: &Budget,
    threads: usize,
    done: &AtomicU64,
) -> Vec<Result<Indexed, Refusal>> {
    let (next, records, bytes) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let outcomes = Mutex::new(Vec::new());
    let work = || {
        while records.load(Ordering::Relaxed) < budget.records && bytes.load(Ordering::Relaxed) < budget.bytes
        {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return };
            let outcome = index(&folder.join(&*job.name), format, &job.boundaries, done);
            if let Ok(Indexed { sections, .. }) = &outcome {
                records.fetch_add(sections.iter().map(|section| section.records).sum(), Ordering::Relaxed);
                bytes.fetch_add(sections.last().map_or(0, |section| section.bytes.end), Ordering::Relaxed);
            }
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
        }
    };
    if jobs.len() == 1 || threads <= 1 {
        work();
    } else {
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    }
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_unstable_by_key(|outcome| outcome.0);
    outcomes.into_iter().map(|outcome| outcome.1).collect()
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    fn sections(text: &str, boundaries: &[u64]) -> Vec<(Range<u64>, u64, u64)> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a");
        std::fs::write(&path, text).expect("written");
        let indexed = index(&path, Format::Lines, boundaries, &AtomicU64::new(0)).expect("indexed");
        let shown = |section: &Section| (section.bytes.clone(), section.records, section.line);
        indexed.sections.iter().map(shown).collect()
    }

    #[test]
    fn sections_begin_at_boundaries() {
        assert_eq!(sections("", &[]), []);
        assert_eq!(sections("a\n\nb", &[]), [(0..4, 2, 1)]);
        assert_eq!(sections("a\nb\nc\n", &[4]), [(0..4, 2, 1), (4..6, 1, 3)]);
        // The boundary cuts a line: what was added is a record of its own on the same line.
        assert_eq!(sections("a\nbc\n", &[3]), [(0..3, 2, 1), (3..5, 1, 2)]);
        // Nothing was added, or the file is shorter than it was.
        assert_eq!(sections("a\n", &[2]), [(0..2, 1, 1)]);
        assert_eq!(sections("a\n", &[4]), [(0..2, 1, 1)]);
        assert_eq!(sections("\u{feff}\r\na\n", &[]), [(0..7, 1, 1)]);
    }
}
