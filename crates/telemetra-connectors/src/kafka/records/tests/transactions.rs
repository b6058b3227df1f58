//! Transactions: what was given up is left out, as a list of steps says it.

use proptest::{collection::vec, prelude::*};

use super::*;

/// What one producer does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Writes so many records in a transaction, which it begins if none is open.
    Write(u64),
    /// Writes one record outside of transactions, even while one is open.
    Plain,
    /// Ends its transaction, if one is open.
    End { is_commit: bool },
}

/// A log as its partition's leader has it.
#[derive(Default)]
struct Log {
    batches: Vec<(Vec<u8>, Range<Offset>)>,
    /// Offset, and the transaction it was written in.
    records: Vec<(Offset, Option<usize>)>,
    transactions: Vec<Transaction>,
    end: Offset,
}

struct Transaction {
    producer: i64,
    first: Offset,
    /// Where the control record lies, and whether it says commit.
    end: Option<(Offset, bool)>,
}

impl Log {
    fn of(steps: &[(i64, Step)], packing: Packing) -> Self {
        let mut log = Log::default();
        for &(producer, step) in steps {
            let open = log.transactions.iter().position(|it| it.producer == producer && it.end.is_none());
            match step {
                Step::Plain => {
                    log.records.push((log.end, None));
                    let outside = Record { transactional: false, ..in_transaction(log.end, producer) };
                    log.push(&[outside], packing);
                }
                Step::Write(count) => {
                    let id = open.unwrap_or(log.transactions.len());
                    if open.is_none() {
                        log.transactions.push(Transaction { producer, first: log.end, end: None });
                    }
                    let offsets = log.end..log.end + count;
                    log.records.extend(offsets.clone().map(|offset| (offset, Some(id))));
                    let batch: Vec<_> = offsets.map(|offset| in_transaction(offset, producer)).collect();
                    log.push(&batch, packing);
                }
                Step::End { is_commit } => {
                    let Some(id) = open else { continue };
                    log.transactions[id].end = Some((log.end, is_commit));
                    log.push(&[mark(log.end, producer, is_commit)], Packing::None);
                }
            }
        }
        log
    }

    fn push(&mut self, records: &[Record], packing: Packing) {
        let from = self.end;
        self.end += records.len() as Offset;
        self.batches.push((encoded(records, packing), from..self.end));
    }

    /// First offset of a transaction that is still open: a reader of committed records is sent nothing from there on.
    fn stable(&self) -> Offset {
        let open = self.transactions.iter().filter(|it| it.end.is_none());
        open.map(|it| it.first).min().unwrap_or(self.end)
    }
}

fn in_transaction(offset: Offset, producer: i64) -> Record {
    let mut it = record(offset, Some(b"x"));
    (it.transactional, it.producer_id, it.producer_epoch) = (true, producer, 0);
    it
}

/// The control record that ends a transaction: version and type as key, version and coordinator's epoch as value.
fn mark(offset: Offset, producer: i64, is_commit: bool) -> Record {
    let mut it = in_transaction(offset, producer);
    it.control = true;
    it.key = Some(Bytes::from(vec![0, 0, 0, u8::from(is_commit)]));
    it.value = Some(Bytes::from_static(&[0, 0, 0, 0, 0, 5]));
    it
}

/// Reads offsets `range` of a log as a broker would send them, a batch or more at a time.
fn committed(log: &Log, range: &Range<Offset>, batches_at_once: usize) -> Vec<Offset> {
    let (mut at, mut found) = (range.start, Vec::new());
    while at < range.end {
        let ahead =
            log.batches.iter().filter(|(_, offsets)| offsets.end > at && offsets.start < log.stable());
        let sent: Vec<_> = ahead.take(batches_at_once).collect();
        let Some((_, last)) = sent.last() else { break };
        // A broker lists what was aborted and reaches into what it sends.
        let aborted = log.transactions.iter().rev().filter_map(|it| {
            let (end, is_commit) = it.end?;
            (!is_commit && end >= at && it.first < last.end).then_some((it.producer, it.first as i64))
        });
        let bytes: Vec<u8> = sent.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let got = read(&bytes, &aborted.collect::<Vec<_>>(), at..range.end);
        assert_eq!(got.fault, None);
        found.extend(got.records.iter().map(|(offset, ..)| *offset));
        at = got.next.filter(|next| *next > at).expect("a whole batch is progress");
    }
    found
}

/// The same, said as simply as can be.
fn oracle(log: &Log, range: &Range<Offset>) -> Vec<Offset> {
    let is_committed = |id: &Option<usize>| {
        id.is_none_or(|id| log.transactions[id].end.is_some_and(|(_, is_commit)| is_commit))
    };
    let seen = log
        .records
        .iter()
        .filter(|(offset, id)| range.contains(offset) && *offset < log.stable() && is_committed(id));
    seen.map(|(offset, _)| *offset).collect()
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let step = prop_oneof![
        4 => (1..4_u64).prop_map(Step::Write),
        1 => Just(Step::Plain),
        2 => any::<bool>().prop_map(|is_commit| Step::End { is_commit }),
    ];
    vec((0..4_i64, step), 0..40)
}

proptest! {
    #[test]
    fn only_committed_records_are_read(
        mut steps in steps(),
        is_hung in any::<bool>(),
        from in 0..40_u64,
        length in 0..80_u64,
        batches_at_once in 1..50_usize,
    ) {
        if !is_hung {
            steps.extend((0..4).map(|producer| (producer, Step::End { is_commit: producer % 2 == 0 })));
        }
        for packing in [Packing::None, Packing::Zstd] {
            let log = Log::of(&steps, packing);
            for range in [0..log.end, from..from + length] {
                prop_assert_eq!(committed(&log, &range, batches_at_once), oracle(&log, &range));
            }
        }
    }
}

#[test]
fn a_timeline() {
    use Step::{End, Plain, Write};
    // Producer 1: [0 1] 2 commit, [5] 7 abort, then 9 outside; producer 2: [3 4 | 6] 8 abort, [10] 11 commit.
    let steps = [
        (1, Write(2)),
        (1, End { is_commit: true }),
        (2, Write(2)),
        (1, Write(1)),
        (2, Write(1)),
        (1, End { is_commit: false }),
        (2, End { is_commit: false }),
        (1, Plain),
        (2, Write(1)),
        (2, End { is_commit: true }),
    ];
    let log = Log::of(&steps, Packing::None);
    assert_eq!(committed(&log, &(0..12), 100), [0, 1, 9, 10]);
    assert_eq!(committed(&log, &(4..10), 1), [9]);
}

#[test]
fn control_records_of_other_types_end_nothing() {
    let batch = |record: Record| encoded(&[record], Packing::None);
    let mut other = mark(1, 4, false);
    other.key = Some(Bytes::from_static(&[0, 0, 0, 2]));
    let bytes = [
        batch(in_transaction(0, 4)),
        batch(other),
        batch(in_transaction(2, 4)),
        batch(mark(3, 4, false)),
        batch(in_transaction(4, 4)),
    ];
    let got = read(&bytes.concat(), &[(4, 0)], ALL);
    assert_eq!((got.texts(), got.next, got.fault.clone()), (vec![(4, "x")], Some(5), None));
}
