//! Ends and new beginnings: drain, flush, gaps, changed meaning, damaged tables, a second instance.

use telemetra_engine::{
    committer::CommitMode,
    error::JobError,
    ids::PartitionId,
    sim::{
        faults::{Fault, FaultPlan},
        source::MemSource,
        sums::Sums,
    },
    sink::BatchKind,
};

use super::{
    drive::{Drive, Sim, SimJob},
    input::{Item, Kind, NOW, NOW_S, Part, every_second},
    product::{inputs, sums},
};

const ID: PartitionId = PartitionId { input: 0, partition: 0 };

fn minutes() -> Vec<Item> {
    every_second(Kind::Chat, NOW_S - 300..NOW_S - 100)
}

/// Reads all there is at `now_ms`.
fn read(job: &mut SimJob<Sums>, now_ms: i64) {
    job.step(now_ms).expect("it reads");
    assert!(job.settle().expect("it is written"));
}

#[test]
fn after_a_drain_events_from_the_last_windows_end_on_miss_nothing() {
    let last_s = NOW_S - 101;
    // The last event's pane is 10 s wide, its last window ends 60 s after the pane's start.
    let end_s = last_s / 10 * 10 + 60;
    let more = (end_s..end_s + 100).map(|at_s| Item {
        kind: Kind::Chat,
        time_ms: at_s * 1_000,
        stream: 0,
        arrives_ms: NOW + 10_000,
    });
    let sim = Sim::new(&sums(), &[Part::chat(0, minutes().into_iter().chain(more).collect())]);
    let mut job = sim.job(NOW).expect("it starts");
    read(&mut job, NOW);
    job.drain(NOW + 1_000).expect("it drains");
    sim.store(|store| {
        assert!(store.open_rows.is_empty() && store.open_count == 0);
        assert_eq!(store.watermark.ms(), Some(end_s * 1_000));
        assert_eq!(store.batches.last().map(|batch| batch.kind), Some(BatchKind::Drain));
    });
    drop(job);
    let mut job = sim.job(NOW + 20_000).expect("it starts again");
    read(&mut job, NOW + 20_000);
    job.drain(NOW + 21_000).expect("it drains");
    sim.check();
    sim.store(|store| {
        assert_eq!((store.late_events.len(), store.totals.window_misses), (0, 0));
        assert_eq!((store.totals.in_windows, store.totals.final_count), (300, 6 * 300));
    });
}

#[test]
fn a_flush_writes_every_open_row_and_a_second_one_nothing() {
    let mut sim = Sim::new(&sums(), &[Part::chat(0, minutes())]);
    sim.rules.provisional_rows_max = 2;
    let mut job = sim.job(NOW).expect("it starts");
    read(&mut job, NOW);
    sim.store(|store| assert_eq!(store.open_rows.len(), 2));
    job.flush(NOW).expect("it is written");
    let batches = sim.store(|store| {
        let rows = store.open_rows.iter().map(|key| store.rows[key].count).sum::<i64>();
        assert_eq!(rows, store.open_count);
        store.last_batch
    });
    job.flush(NOW).expect("there is nothing to write");
    assert_eq!(sim.store(|store| store.last_batch), batches);
    sim.check();
}

/// A source like [`minutes`], from which `lost` is gone from `NOW + 10 s` on; more arrives at `NOW + 5 s`.
fn with_gap(lost: std::ops::Range<u64>) -> Sim<Sums> {
    let more = every_second(Kind::Chat, NOW_S - 100..NOW_S - 50);
    let more = more.into_iter().map(|item| Item { arrives_ms: NOW + 5_000, ..item });
    let part = Part::chat(0, minutes().into_iter().chain(more).collect());
    let mut log = part.log(&sums());
    log.lose(NOW + 10_000, lost);
    Sim::over(&sums(), MemSource::new(inputs(), vec![log]))
}

#[test]
fn a_gap_in_the_replay_range_closes_early_and_keeps_the_sums() {
    for rows_max in [5_000, 3] {
        let mut sim = with_gap(180..190);
        sim.rules.provisional_rows_max = rows_max;
        let mut job = sim.job(NOW).expect("it starts");
        read(&mut job, NOW);
        let (open, count) = sim.store(|store| (store.open_rows.clone(), store.open_count));
        assert!(!open.is_empty() && sim.store(|store| store.positions[&ID].replay < 180));
        drop(job);
        let mut job = sim.job(NOW + 20_000).expect("it goes on without the gap");
        sim.store(|store| {
            assert!(open.iter().all(|key| store.rows[key].is_final && store.rows[key].incomplete));
            let batch = store.batches.last().expect("there are batches");
            assert_eq!((batch.kind, batch.close_early), (BatchKind::ClosedEarly, true));
            assert!(batch.gaps[0].in_replay && batch.gaps[0].offsets == (180..190));
            assert_eq!(batch.final_count + batch.window_misses, count, "what no row holds is missed");
        });
        sim.check();
        read(&mut job, NOW + 20_000);
        job.drain(NOW + 21_000).expect("it drains");
        sim.check();
        sim.store(|store| assert_eq!(store.positions[&ID].next, 250));
    }
}

#[test]
fn a_gap_above_the_next_offset_halts_with_its_offsets_or_is_recorded() {
    let mut sim = with_gap(195..220);
    let mut job = sim.job(NOW).expect("it starts");
    read(&mut job, NOW);
    let error = job.step(NOW + 20_000).expect_err("200..220 are gone");
    assert!(matches!(&error, JobError::Halted(message) if message.contains("200..220")), "{error}");
    drop(job);
    // 195..200 were read and would have to be replayed: that part closes early, the rest is passed.
    sim.rules.skip_gaps = true;
    let mut job = sim.job(NOW + 20_000).expect("it goes on");
    for step in 0..5 {
        job.step(NOW + 21_000 + step * 1_000).expect("it reads");
    }
    job.settle().expect("it is written");
    sim.check();
    sim.store(|store| {
        let gaps: Vec<_> = store.batches.iter().flat_map(|batch| &batch.gaps).collect();
        let listed: Vec<_> = gaps.iter().map(|gap| (gap.offsets.clone(), gap.in_replay)).collect();
        assert_eq!(listed, [(195..200, true), (200..220, false)]);
        assert_eq!(store.positions[&ID].next, 250);
    });
}

#[test]
fn a_gap_passed_while_running_changes_no_open_window() {
    let mut sim = with_gap(205..220);
    sim.rules.skip_gaps = true;
    let mut job = sim.job(NOW).expect("it starts");
    read(&mut job, NOW);
    for step in 0..5 {
        job.step(NOW + 20_000 + step * 1_000).expect("it reads");
    }
    job.settle().expect("it is written");
    drop(job);
    // The gap lies between replay and next now, and was never counted: yet it cannot be told from what was.
    sim.check();
    sim.store(|store| {
        assert!(store.batches.iter().all(|batch| !batch.close_early));
        assert_eq!((store.positions[&ID].next, store.totals.in_windows), (250, 235));
    });
}

#[test]
fn a_changed_meaning_is_refused_with_open_windows_and_accepted_when_told() {
    let more = every_second(Kind::Chat, NOW_S - 100..NOW_S - 50);
    let more = more.into_iter().map(|item| Item { arrives_ms: NOW + 5_000, ..item });
    let mut sim = Sim::new(&sums(), &[Part::chat(0, minutes().into_iter().chain(more).collect())]);
    let mut job = sim.job(NOW).expect("it starts");
    read(&mut job, NOW);
    drop(job);
    let before = sim.text();
    sim.rules.meaning = "another".to_owned();
    let error = sim.job(NOW + 1_000).err().expect("windows are open");
    let JobError::Halted(message) = &error else { panic!("{error}") };
    assert!(message.contains("--drain") && message.contains("--accept-changed-meaning"), "{message}");
    assert_eq!(sim.text(), before, "nothing was touched");
    sim.rules.accept_changed_meaning = true;
    let mut job = sim.job(NOW + 2_000).expect("it closes early and starts");
    sim.store(|store| {
        assert!(store.open_rows.is_empty() && !store.early_rows.is_empty());
        assert_eq!(store.meaning.as_deref(), Some("another"));
    });
    sim.check();
    read(&mut job, NOW + 6_000);
    job.flush(NOW + 7_000).expect("it is written");
    sim.check();
    assert_eq!(sim.unread(NOW + 6_000), 0);
    drop(job);
    // The accepted meaning is the job's now.
    sim.rules.accept_changed_meaning = false;
    sim.job(NOW + 8_000).expect("it starts as it is");
}

#[test]
fn a_changed_meaning_needs_no_consent_once_all_windows_are_closed() {
    let mut sim = Sim::new(&sums(), &[Part::chat(0, minutes())]);
    let mut job = sim.job(NOW).expect("it starts");
    read(&mut job, NOW);
    job.drain(NOW).expect("it drains");
    drop(job);
    sim.rules.meaning = "another".to_owned();
    sim.job(NOW + 1_000).expect("nothing is open");
    sim.store(|store| {
        assert_eq!(store.meaning.as_deref(), Some("another"));
        assert!(store.early_rows.is_empty());
    });
    sim.check();
}

#[test]
fn tables_changed_behind_the_jobs_back_halt_the_next_start() {
    let check = |names: &str, tamper: fn(&Sim<Sums>)| {
        let sim = Sim::new(&sums(), &[Part::chat(0, minutes())]);
        let mut job = sim.job(NOW).expect("it starts");
        read(&mut job, NOW);
        drop(job);
        tamper(&sim);
        let error = sim.job(NOW + 1_000).err().expect("it must not go on");
        assert!(matches!(&error, JobError::Halted(message) if message.contains(names)), "{error}");
    };
    check("s0 at", |sim| {
        sim.sink.tamper(|store| {
            store.open_count += 1;
            let open = store.open_rows.first().cloned().expect("rows are open");
            store.rows.get_mut(&open).expect("it is a row").count += 1;
        });
    });
    check("digest", |sim| sim.sink.tamper(|store| store.open_digest ^= 1));
    check("windows", |sim| {
        sim.sink.tamper(|store| store.positions.get_mut(&ID).expect("it was read").replay += 1);
    });
}

#[test]
fn a_second_instance_is_told_to_wait_and_a_fenced_one_writes_nothing() {
    let sim = Sim::new(&sums(), &[Part::chat(0, minutes())]);
    sim.sink.set_exclusive();
    let job = sim.job(NOW).expect("it starts");
    assert!(matches!(sim.job(NOW), Err(JobError::Busy(_))));
    drop(job);
    sim.job(NOW).expect("the first is gone");

    // Without a lease: the one that was there first is fenced at its next commit.
    let sim = Sim::new(&sums(), &[Part::chat(0, minutes())]);
    let mut first = sim.job(NOW).expect("it starts");
    let mut second = sim.job(NOW).expect("it takes over");
    let fenced = first.step(NOW).and_then(|_| first.settle());
    assert!(matches!(fenced, Err(JobError::Fenced(_))));
    sim.store(|store| assert_eq!(store.last_batch, 0));
    read(&mut second, NOW);
    sim.check();
}

#[test]
fn each_fault_of_a_commit_alone_leaves_the_same_rows() {
    let run = |script: &[Option<Fault>], mode| {
        let mut sim = Sim::new(&sums(), &[Part::chat(0, minutes())]);
        sim.mode = mode;
        sim.rules.idle_timeout_ms = i64::MAX / 4;
        sim.sink.set_faults(FaultPlan::script(script));
        let drive = Drive { caps: vec![Some(30)], ..Drive::default() };
        let outcome = drive.run(&sim).expect("nothing stops it");
        sim.check();
        assert_eq!((outcome.unread, outcome.late), (0, 0));
        (sim.text(), sim.sink.faults_drawn().len())
    };
    let (undisturbed, _) = run(&[], CommitMode::Inline);
    let all = [
        Fault::Refused,
        Fault::TooLarge,
        Fault::LostReply,
        Fault::Lost,
        Fault::Late,
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::CrashLate,
    ];
    for fault in all {
        for before in 0..7 {
            let script: Vec<_> = (0..before).map(|_| None).chain([Some(fault)]).collect();
            for mode in [CommitMode::Inline, CommitMode::Threaded] {
                let (text, drawn) = run(&script, mode);
                assert_eq!(
                    (text == undisturbed, drawn),
                    (true, 1),
                    "{fault:?} after {before} commits, {mode:?}"
                );
            }
        }
    }
}
