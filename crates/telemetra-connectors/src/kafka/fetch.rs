//! One fetch: a request for the records of one partition from an offset on, and where they lie in the answer.
//!
//! Asking and waiting are two steps: who asks ahead has the records of the fetch before to see to meanwhile.
//! The answer is read here by hand, in place: the records stay where the socket put them, and nothing in it can ask for
//! more memory than it has bytes. Layout of versions 13 to 17 as in Kafka's `FetchResponse.json`.

use std::ops::Range;

use kafka_protocol::{
    error::ResponseError,
    messages::{
        FetchRequest,
        fetch_request::{FetchPartition, FetchTopic},
    },
    protocol::VersionRange,
};
use telemetra_engine::ids::Offset;
use uuid::Uuid;

use super::{
    connection::{Connection, Sent},
    fault::Fault,
};

/// With topic ids (Kafka 3.1) up to the newest that was read for this.
const VERSIONS: VersionRange = VersionRange { min: 13, max: 17 };
/// Longest wait of the broker for a first byte, milliseconds.
const WAIT_MS: i32 = 500;
/// Only what is below the last stable offset, and which transactions were given up.
const READ_COMMITTED: i8 = 1;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) topic: Uuid,
    pub(super) partition: u32,
    pub(super) leader_epoch: i32,
    pub(super) offset: Offset,
    /// Bytes of records; the broker sends one batch even if that is longer.
    pub(super) bytes: i32,
}

/// What came in answer to a fetch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Kafka's code of the partition, or of all.
    pub code: i16,
    /// How long the broker wants rest, milliseconds.
    pub throttle_ms: i32,
    /// First offset that may still be given up.
    pub last_stable: i64,
    /// Producer ids and first offsets of transactions that were given up.
    pub aborted: Vec<(i64, i64)>,
    /// Where the record batches lie in the response.
    pub records: Range<usize>,
}

/// Asks; the broker gathers the records while something else is done.
///
/// # Errors
/// Those of the connection.
pub(super) fn ask(connection: &mut Connection, ask: &Ask) -> Result<Sent, Fault> {
    let partition = FetchPartition::default()
        .with_partition(ask.partition.cast_signed())
        .with_current_leader_epoch(ask.leader_epoch)
        .with_fetch_offset(ask.offset.cast_signed())
        .with_partition_max_bytes(ask.bytes);
    let request = FetchRequest::default()
        .with_max_wait_ms(WAIT_MS)
        .with_min_bytes(1)
        .with_max_bytes(ask.bytes)
        .with_isolation_level(READ_COMMITTED)
        .with_topics(vec![FetchTopic::default().with_topic_id(ask.topic).with_partitions(vec![partition])]);
    let version = connection.version::<FetchRequest>(VERSIONS)?;
    connection.send(&request, version)
}

/// Waits for the response to what was asked of one partition, and leaves it in `frame`.
///
/// # Errors
/// Those of the connection; `Away` for what is no response.
pub(super) fn answer(
    connection: &mut Connection,
    sent: &Sent,
    partition: u32,
    frame: &mut Vec<u8>,
) -> Result<Answer, Fault> {
    connection.receive(sent, frame)?;
    let Some(answer) = Answer::of(frame, partition) else {
        return Err(Fault::away(connection.place(), "a response to a fetch that cannot be read"));
    };
    connection.throttle(answer.throttle_ms);
    Ok(answer)
}

impl Answer {
    /// Why the broker did not send what it was asked for.
    pub(super) fn refusal(&self) -> Option<ResponseError> {
        ResponseError::try_from_code(self.code)
    }

    /// Reads a response for one partition, from its correlation id on; `None` for what is none. Any bytes may come.
    pub fn of(frame: &[u8], partition: u32) -> Option<Self> {
        let mut at = Cursor { bytes: frame, at: 0 };
        at.skip(4)?;
        at.skip_tags()?;
        let mut answer = Self { throttle_ms: at.i32()?, code: at.i16()?, ..Self::default() };
        let _session = at.i32()?;
        for _ in 0..at.count()? {
            at.skip(16)?;
            for _ in 0..at.count()? {
                let number = at.i32()?;
                let is_it = number == partition.cast_signed();
                let part = Self::of_partition(&mut at)?;
                if is_it {
                    let code = if answer.code == 0 { part.code } else { answer.code };
                    answer = Self { code, throttle_ms: answer.throttle_ms, ..part };
                }
            }
            at.skip_tags()?;
        }
        Some(answer)
    }

    fn of_partition(at: &mut Cursor<'_>) -> Option<Self> {
        let code = at.i16()?;
        let _high_watermark = at.i64()?;
        let last_stable = at.i64()?;
        let _log_start = at.i64()?;
        let count = at.count()?;
        // Seventeen bytes each: no more than that can be there.
        let mut aborted = Vec::with_capacity(count.min(at.left() / 17));
        for _ in 0..count {
            aborted.push((at.i64()?, at.i64()?));
            at.skip_tags()?;
        }
        let _preferred_replica = at.i32()?;
        let length = at.count()?;
        let from = at.at;
        at.skip(length)?;
        let records = from..at.at;
        at.skip_tags()?;
        Some(Self { code, throttle_ms: 0, last_stable, aborted, records })
    }
}

/// Reads Kafka's primitive types; `None` where the bytes end too early.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|&at| at <= self.bytes.len())?;
        Some(())
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.bytes[self.at..].first_chunk().copied()?;
        self.at += N;
        Some(bytes)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn uvarint(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Length of a compact array or of bytes: one is added to it, and 0 stands for null.
    fn count(&mut self) -> Option<usize> {
        Some(self.uvarint()?.saturating_sub(1) as usize)
    }

    fn skip_tags(&mut self) -> Option<()> {
        for _ in 0..self.uvarint()? {
            self.uvarint()?;
            let bytes = self.uvarint()? as usize;
            self.skip(bytes)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A response for partition 3 of one topic, each tagged field with one unknown tag.
    fn response(records: Option<&[u8]>, aborted: Option<&[(i64, i64)]>, code: i16) -> Vec<u8> {
        const TAGS: &[u8] = &[1, 99, 2, 7, 7];
        let count =
            |count: Option<usize>| vec![count.map_or(0, |count| u8::try_from(count + 1).expect("few"))];
        let mut transactions = count(aborted.map(<[_]>::len));
        for (producer, first) in aborted.unwrap_or_default() {
            transactions.extend([producer.to_be_bytes(), first.to_be_bytes()].concat());
            transactions.extend(TAGS);
        }
        [
            &7_i32.to_be_bytes()[..],
            TAGS,
            &12_i32.to_be_bytes(),
            &0_i16.to_be_bytes(),
            &0_i32.to_be_bytes(),
            &count(Some(1)),
            Uuid::from_u128(1).as_bytes(),
            &count(Some(1)),
            &3_i32.to_be_bytes(),
            &code.to_be_bytes(),
            &99_i64.to_be_bytes(),
            &90_i64.to_be_bytes(),
            &0_i64.to_be_bytes(),
            &transactions,
            &(-1_i32).to_be_bytes(),
            &count(records.map(<[_]>::len)),
            records.unwrap_or_default(),
            TAGS,
            TAGS,
            TAGS,
        ]
        .concat()
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let frame = response(Some(b"records"), Some(&[(1, 2), (3, 4)]), 0);
        let answer = Answer::of(&frame, 3).expect("a response");
        assert_eq!(&frame[answer.records.clone()], b"records");
        assert_eq!((answer.throttle_ms, answer.last_stable, answer.code), (12, 90, 0));
        assert_eq!(answer.aborted, [(1, 2), (3, 4)]);
        // What stops before its end is no response; the tags of the whole are not looked at.
        for end in 0..frame.len() - 5 {
            assert_eq!(Answer::of(&frame[..end], 3), None, "{end}");
        }
        let answer = Answer::of(&response(None, None, 6), 3).expect("a response");
        assert_eq!((answer.records.len(), answer.aborted.len(), answer.code), (0, 0, 6));
    }

    /// Whatever came, what is told of it lies within it and takes no more memory than it does.
    fn check_bounds(frame: &[u8], partition: u32) {
        if let Some(answer) = Answer::of(frame, partition) {
            assert!(answer.records.start <= answer.records.end && answer.records.end <= frame.len());
            assert!(answer.aborted.capacity() * 17 <= frame.len().max(4 * 17));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            check_bounds(&bytes, 0);
        }

        #[test]
        fn a_response_that_was_changed_is_read_or_not(
            records in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
            aborted in prop::option::of(prop::collection::vec(any::<(i64, i64)>(), 0..5)),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
            length in any::<prop::sample::Index>(),
        ) {
            let mut frame = response(records.as_deref(), aborted.as_deref(), 0);
            for (at, byte) in changes {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            check_bounds(&frame, 3);
            frame.truncate(length.index(frame.len()));
            check_bounds(&frame, 3);
        }
    }
}
