//! Tests of `sums`: it is held to what any logic must fulfil.

use proptest::prelude::*;

use super::*;

fn logic() -> Sums {
    Sums::new(WindowSpec::new(60_000, 10_000).expect("six panes to a window"))
}

fn partial(logic: &Sums, records: &[(i64, u8)]) -> SumPartial {
    let mut partial = logic.begin();
    for &(time_s, key) in records {
        let bytes = Sums::record(time_s % 3 > 0, time_s * 1_000, &format!("k{key}"), time_s);
        let record = Record::of_bytes(&bytes);
        let mut scratch = ();
        let event = logic.decode(0, record, &mut scratch).expect("a good record");
        let pane = logic.window.pane_of(event.time_ms().expect("each has one"));
        logic.fold(&mut partial, pane, &event, &Origin::default());
    }
    partial
}

fn request(from: Watermark, to_s: i64, rows: usize) -> EmitRequest {
    let to = Watermark::at(to_s * 1_000);
    EmitRequest {
        batch_id: 1,
        from,
        to,
        largest_ms: Some(i64::MAX),
        start_ms: None,
        provisional_rows_max: rows,
    }
}

#[test]
fn a_record_is_read_or_refused() {
    let check = |record: &[u8], event: Option<(bool, i64, &str, i64)>| {
        let parsed = parse(record).map(|event| (event.counts, event.time_ms, event.key, event.value));
        assert_eq!(parsed, event, "{}", String::from_utf8_lossy(record));
    };
    check(b"c 1000 a 5", Some((true, 1_000, "a", 5)));
    check(b"v -1 b -5", Some((false, -1, "b", -5)));
    check(b"x 1000 a 5", None);
    check(b"c 1000 a", None);
    check(b"c 1000 a 5 6", None);
    check(b"c 1000  5", None);
    check(b"", None);
    check(b"\xff", None);
}

#[test]
fn windows_close_once_and_look_back() {
    let logic = logic();
    let mut open = logic.open(Vec::new());
    let mut overlay =
        logic.merge(&open, vec![partial(&logic, &[(1, 0), (2, 0), (14, 0), (29, 0)])]).expect("small");
    let emitted = logic.emit(&open, &mut overlay, SumAnswer::default(), &request(Watermark::NONE, 20, 2));
    let seen: Vec<_> = emitted
        .rows
        .iter()
        .map(|row| (row.start_ms / 1_000, row.is_final, row.cell.count, row.before))
        .collect();
    let closed = [(-50, true, 2, None), (-40, true, 3, Some(2))];
    assert_eq!(seen, [closed[0], closed[1], (-30, false, 4, None), (-20, false, 4, None)]);
    assert_eq!(emitted.final_count, 5);
    // Six windows each of four events, less the five counts that are final.
    assert_eq!(emitted.open.count, 6 * 4 - 5);
    logic.absorb(&mut open, overlay, Watermark::at(20_000));
    assert_eq!(logic.check(&open, Watermark::at(20_000), Some(i64::MAX)), emitted.open);
    assert_eq!(open.dirty.len(), 4, "-10, 0, 10 and 20 s were not written");
}

#[test]
fn what_falls_into_a_window_closed_early_is_missed() {
    let logic = logic();
    let closed = WindowCount { key: "k0".into(), start_ms: 10_000, count: 9 };
    let open = logic.open(vec![closed]);
    let mut overlay = logic.merge(&open, vec![partial(&logic, &[(14, 0), (14, 1)])]).expect("small");
    let emitted = logic.emit(&open, &mut overlay, SumAnswer::default(), &request(Watermark::at(0), 1, 99));
    assert_eq!(emitted.left_out, 1);
    assert_eq!((emitted.rows.len(), emitted.open.count), (11, 11));
}

#[test]
fn the_end_of_the_last_open_window_is_bounded_by_the_largest_time() {
    let logic = logic();
    let open = logic.open(Vec::new());
    let overlay = logic.merge(&open, vec![partial(&logic, &[(5, 0), (500, 0)])]).expect("small");
    let check = |largest_s: Option<i64>, end_s: Option<i64>| {
        let largest_ms = largest_s.map(|s| s * 1_000);
        let check = logic.check_cells(&overlay.merged, &BTreeSet::new(), Watermark::NONE, largest_ms);
        assert_eq!(check.end_ms, end_s.map(|s| s * 1_000), "{largest_s:?}");
    };
    check(None, None);
    check(Some(5), Some(60));
    check(Some(470), Some(530));
    check(Some(500), Some(560));
}

#[test]
fn more_cells_than_allowed_change_nothing() {
    let logic = Sums { cells_max: 1, ..logic() };
    let open = logic.open(Vec::new());
    assert!(logic.merge(&open, vec![partial(&logic, &[(1, 0), (2, 0)])]).is_ok());
    let error = logic.merge(&open, vec![partial(&logic, &[(1, 0)]), partial(&logic, &[(1, 1)])]);
    assert!(matches!(error, Err(MergeError::OverBudget { need_bytes: 2, limit_bytes: 1, .. })));
}

proptest! {
    #[test]
    fn fold_ignores_order_and_splits(
        records in prop::collection::vec((0..300i64, 0..3u8), 1..60),
        cut in 0..60usize,
    ) {
        let logic = logic();
        let open = logic.open(Vec::new());
        let cut = cut.min(records.len());
        let whole = logic.merge(&open, vec![partial(&logic, &records)]).expect("no budget");
        let (head, tail) = records.split_at(cut);
        let split = logic.merge(&open, vec![partial(&logic, tail), partial(&logic, head)]).expect("no budget");
        let mut turned = records.clone();
        turned.reverse();
        prop_assert_eq!(&whole.merged, &split.merged);
        prop_assert_eq!(partial(&logic, &records), partial(&logic, &turned));
    }

    #[test]
    fn every_count_is_in_a_final_row_or_an_open_window(
        batches in prop::collection::vec((prop::collection::vec((0..200i64, 0..2u8), 0..10), 0..40i64), 1..8),
        rows in 0..9usize,
    ) {
        let logic = logic();
        let mut open = logic.open(Vec::new());
        let (mut from, mut to_s, mut counted, mut finals) = (Watermark::NONE, 0, 0, 0);
        for (records, step_s) in batches {
            // Nothing late: all events lie at or after the watermark.
            let records: Vec<_> = records.into_iter().filter(|(time_s, _)| *time_s >= to_s).collect();
            counted += records.iter().filter(|(time_s, _)| time_s % 3 > 0).count();
            to_s += step_s;
            let request = request(from, to_s, rows);
            let mut overlay = logic.merge(&open, vec![partial(&logic, &records)]).expect("no budget");
            let emitted = logic.emit(&open, &mut overlay, SumAnswer::default(), &request);
            logic.absorb(&mut open, overlay, request.to);
            prop_assert_eq!(logic.check(&open, request.to, request.largest_ms), emitted.open);
            let windows: i64 = logic.open_windows(&open, request.to).iter().map(|window| window.count).sum();
            prop_assert_eq!(windows, emitted.open.count);
            finals += emitted.final_count;
            prop_assert_eq!(Ok(finals + emitted.open.count), i64::try_from(6 * counted));
            from = request.to;
        }
    }
}
