//! What Kafka's crate writes comes back; nothing that was flipped does; nothing at all makes it panic.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;

/// A batch to be written: packing, and for each record the offsets left out before it, key, value and headers.
type Made = (Packing, Vec<(u8, Option<Vec<u8>>, Option<Vec<u8>>, u8)>);

fn values() -> impl Strategy<Value = Option<Vec<u8>>> {
    let byte = prop_oneof![3 => any::<u8>(), 2 => select(b" \t\n{}".to_vec())];
    option::weighted(0.9, prop_oneof![9 => vec(byte, 0..40), 1 => vec(any::<u8>(), 100..3_000)])
}

fn batches() -> impl Strategy<Value = Vec<Made>> {
    let gap = prop_oneof![4 => Just(0_u8), 1 => 1_u8..9];
    let key = option::of(vec(any::<u8>(), 0..20));
    let records = prop_oneof![
        vec((gap.clone(), key.clone(), values(), 0..3_u8), 1..4),
        vec((gap, key, values(), 0..3_u8), 1..80)
    ];
    vec((select(PACKINGS.to_vec()), records), 0..6)
}

/// The batches' bytes, each with the offset behind it, and all records.
fn write(made: &[Made], first: Offset) -> (Vec<(Vec<u8>, Offset)>, Vec<Record>) {
    let (mut batches, mut all, mut offset) = (Vec::new(), Vec::new(), first);
    for (packing, records) in made {
        let mut batch = Vec::new();
        for (gap, key, value, headers) in records {
            offset += Offset::from(*gap);
            let mut record = record(offset, value.as_deref());
            record.key = key.as_deref().map(Bytes::copy_from_slice);
            for at in 0..*headers {
                let value = (at == 0).then(|| Bytes::from_static(b"any"));
                record.headers.insert(format!("header {at}").into(), value);
            }
            offset += 1;
            batch.push(record);
        }
        batches.push((encoded(&batch, *packing), offset));
        all.extend(batch);
    }
    (batches, all)
}

/// Records that a reader gets, said as simply as can be.
fn expected(records: &[Record], range: &Range<Offset>) -> Vec<(Offset, Vec<u8>, bool)> {
    let filled = records.iter().filter_map(|record| {
        let value = record.value.as_ref()?;
        let is_filled = value.iter().any(|byte| !matches!(byte, b' ' | 9..=13));
        is_filled.then(|| (record.offset as Offset, value.to_vec(), false))
    });
    filled.filter(|(offset, ..)| range.contains(offset)).collect()
}

proptest! {
    #[test]
    fn what_was_written_comes_back(
        made in batches(),
        first in prop_oneof![0..50_u64, (1_u64 << 40)..(1 << 40) + 9],
        from in 0..300_u64,
        length in 0..300_u64,
        cut in any::<prop::sample::Index>(),
    ) {
        let (batches, records) = write(&made, first);
        let range = first + from - 9.min(from)..first + from + length;
        let bytes: Vec<u8> = batches.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let end = cut.index(bytes.len() + 1);
        for (end, range) in [(bytes.len(), ALL), (bytes.len(), range.clone()), (end, ALL), (end, range)] {
            let mut seen = 0;
            let whole: Vec<_> = batches
                .iter()
                .take_while(|(bytes, _)| {
                    seen += bytes.len();
                    seen <= end
                })
                .collect();
            let behind = whole.last().map_or(0, |(_, behind)| *behind);
            let known: Vec<_> =
                records.iter().filter(|record| (record.offset as Offset) < behind).cloned().collect();
            let got = read(&bytes[..end], &[], range.clone());
            prop_assert_eq!(&got.records, &expected(&known, &range));
            prop_assert_eq!(got.next, whole.last().map(|(_, behind)| range.end.min(*behind)));
            prop_assert_eq!(got.needs.is_some(), whole.is_empty() && end > 0);
            prop_assert_eq!(got.fault, None);
        }
    }

    #[test]
    fn a_flipped_bit_is_a_fault_wherever_the_checksum_reaches(
        made in batches().prop_filter("a batch", |made| !made.is_empty()),
        which in any::<prop::sample::Index>(),
    ) {
        let (batches, records) = write(&made[..1], 1 << 20);
        let mut bytes = batches[0].0.clone();
        let bit = which.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let got = read(&bytes, &[], ALL);
        let good = expected(&records, &ALL);
        match bit / 8 {
            // The base offset: outside of the checksum. The records are good, their places are not.
            0..8 => prop_assert!(got.fault.is_some() || got.records.iter().map(|it| &it.1).eq(good.iter().map(|it| &it.1))),
            // The length: another checksum, or a batch that seems cut off.
            8..12 => prop_assert!(got.records.is_empty() && (got.fault.is_some() || got.needs.is_some())),
            // The leader's epoch: not looked at.
            12..16 => prop_assert_eq!((got.records, got.fault), (good, None)),
            16 => prop_assert_eq!(got.fault, Some(RecordsFault::Magic { base_offset: records[0].offset, magic: bytes[16] as i8 })),
            // A negative count or delta is seen before the checksum is.
            _ => prop_assert!(got.records.is_empty() && got.fault.is_some()),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), magic in option::of(Just(2_u8))) {
        let mut bytes = bytes;
        if let (Some(magic), Some(byte)) = (magic, bytes.get_mut(16)) {
            *byte = magic;
        }
        read(&bytes, &[(0, 0)], ALL);
    }

    #[test]
    fn any_payload_under_a_right_checksum_is_read_or_refused(
        attributes in any::<u8>(),
        (base, last_delta, records) in (0..9_i64, -1..9_i32, -1..9_i32),
        payload in vec(any::<u8>(), 0..200),
    ) {
        read(&sealed(base, last_delta, i16::from(attributes), records, &payload), &[(-1, 0)], ALL);
    }

    #[test]
    fn a_packed_batch_that_was_changed_under_a_right_checksum_is_read_or_refused(
        made in batches(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for (mut batch, _) in write(&made, 3).0 {
            for (at, byte) in &changes {
                let at = 61 + at.index(batch.len() - 61);
                batch[at] ^= byte;
            }
            seal(&mut batch);
            read(&batch, &[], ALL);
        }
    }
}
