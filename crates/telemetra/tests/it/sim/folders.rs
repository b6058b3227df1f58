//! Folders whose files come late as a whole: rotated every minute or every hour, one input before the other.

use telemetra_engine::{error::JobError, sim::dice::Dice, step::Stepped};

use super::{
    drive::{Drive, Sim},
    input::{FileOf, Item, Kind, NOW, NOW_S, Part, arriving, every_second, live},
    product::sums,
};

/// The first instant from the beginning on at which files are rotated.
fn begins_s(span_s: i64) -> i64 {
    (NOW_S + span_s - 1) / span_s * span_s
}

/// A folder of files that each cover `span_s`, settling `late_s` after their end.
fn rotated(input: u8, files: i64, span_s: i64, late_s: i64, every_s: f64) -> Part {
    let kind = if input == 0 { Kind::Chat } else { Kind::Viewer };
    let from_s = begins_s(span_s);
    let seed = u64::from(input) + 1;
    let items = live(&mut Dice::new(seed), kind, from_s..from_s + files * span_s, every_s, 0);
    // Never more than one file beyond its own span: the last event may fall into the next.
    let end_ms = (from_s + files * span_s) * 1_000;
    Part::folder(input, items.into_iter().filter(|item| item.arrives_ms < end_ms).collect(), span_s, late_s)
}

#[test]
fn rotated_files_are_not_late_whoever_settles_first() {
    for (span_s, files, every_s) in [(60, 15, 1.0), (3_600, 5, 30.0)] {
        for (chat_late_s, viewer_late_s) in [(2, 20), (20, 2), (2, 2), (3, 29)] {
            let parts = [
                rotated(0, files, span_s, chat_late_s, every_s),
                rotated(1, files, span_s, viewer_late_s, every_s),
            ];
            let sim = Sim::new(&sums(), &parts);
            let begins = begins_s(span_s) - NOW_S;
            // Until both folders have been silent for their time-out.
            let outcome = sim.run_until(begins + (files + 4) * span_s);
            sim.check();
            let case = format!("every {span_s} s, {chat_late_s} and {viewer_late_s} late: {outcome:?}");
            assert_eq!((outcome.late, outcome.window_misses, outcome.unread), (0, 0, 0), "{case}");
            assert_eq!(outcome.open_rows, 0, "{case}");
        }
    }
}

#[test]
fn hourly_once_with_a_retired_folder_makes_windows_final() {
    let hours = 12;
    let parts = [rotated(0, hours, 3_600, 2, 20.0), rotated(1, 3, 3_600, 2, 20.0)];
    let sim = Sim::new(&sums(), &parts);
    let begins_ms = begins_s(3_600) * 1_000;
    let mut finals = Vec::new();
    for hour in 1..=hours {
        let mut now_ms = begins_ms + hour * 3_600_000 + 60_000;
        let mut job = sim.job(now_ms).expect("it starts");
        while job.step(now_ms).expect("it reads") != Stepped::Nothing {
            now_ms += 100;
        }
        job.flush(now_ms).expect("it is written");
        drop(job);
        sim.check();
        finals.push(
            sim.store(|store| store.rows.values().filter(|row| row.is_final).map(|row| row.end_ms).max()),
        );
        assert_eq!(sim.unread(now_ms), 0);
    }
    println!("last final window after each hour: {finals:?}");
    sim.store(|store| {
        assert_eq!(store.late_events.len(), 0);
        let last_ms = finals.last().copied().flatten().expect("windows became final");
        let behind_s = (begins_ms + hours * 3_600_000 - last_ms) / 1_000;
        assert!(behind_s < 300, "the newest final window is {behind_s} s behind the last file's end");
    });
}

/// Three files, one after the other in name, that cover the same ten minutes.
fn overlapping() -> Part {
    let items: Vec<Item> = (0..3).flat_map(|_| every_second(Kind::Chat, NOW_S - 900..NOW_S - 300)).collect();
    let mut part = Part::folder(0, items, 60, 0);
    part.files = Some(vec![FileOf { settles_ms: 0, items: 600 }; 3]);
    part
}

#[test]
fn files_that_cover_the_same_time_halt_or_go_on_as_told() {
    let counts = |cap: Option<u64>, keep: bool| {
        let mut sim = Sim::new(&sums(), &[overlapping()]);
        sim.rules.keep_late_files = keep;
        let result = Drive { caps: vec![cap], ..Drive::default() }.run(&sim);
        sim.check();
        result.map(|outcome| (outcome.late, outcome.unread))
    };
    assert_eq!(counts(None, false).expect("in one batch nothing is late"), (0, 0));
    for cap in [Some(7), Some(1), Some(600)] {
        let Err(JobError::Halted(message)) = counts(cap, false) else { panic!("cap {cap:?}: it must halt") };
        assert!(
            message.contains("--folder-order=event-time") && message.contains("--late-files=keep"),
            "{message}"
        );
        assert!(message.contains("part-00001.jsonl"), "{message}");
        let (late, unread) = counts(cap, true).expect("it goes on");
        assert!(late > 900 && unread == 0, "cap {cap:?}: {late} late");
    }
}

#[test]
fn a_folder_without_a_file_holds_the_watermark_until_it_is_idle() {
    let chat = Part::folder(0, arriving(every_second(Kind::Chat, NOW_S..NOW_S + 120)), 1, 0);
    let mut empty = Part::viewer(0, Vec::new());
    empty.files = Some(Vec::new());
    let sim = Sim::new(&sums(), &[chat, empty]);
    let mut job = sim.job(NOW).expect("it starts");
    for now_s in 0..120 {
        job.step(NOW + now_s * 1_000).expect("it reads");
        let watermark = sim.store(|store| store.watermark.ms());
        assert_eq!(watermark.is_some(), now_s >= 30, "at {now_s} s");
    }
    assert!(job.report().holder.as_ref().is_some_and(|holder| holder.id.input == 0));
}
