//! Chat through a topic at a steady rate while the job runs: how long an event takes to its row, and what that costs.
//!
//! A mark is an event of a stream of its own. It is written beside the others, one at a time, at no fixed phase of the
//! trigger; a reader looks every few milliseconds whether the newest window of that stream counts it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use telemetra::{cli::BatchCodec, commands::run_loop::now_ms};
use telemetra_connectors::kafka::Producer;
use telemetra_core::generate::ChatPlan;

use super::{
    fill::{Broker, PARTITIONS},
    settings,
};
use crate::{
    Options,
    cost::Outcome,
    in_child,
    live::{self, Feeder},
    rhythm,
    store::Servers,
    watch::{Reader, Watch},
};

/// The stages: pauses between triggers, and stores.
pub(crate) const STAGES: [&str; 4] = [
    "live topic (trigger 1 s) on SQLite",
    "live topic (trigger 1 s) on PostgreSQL",
    "live topic (trigger 100 ms) on SQLite",
    "live topic (trigger 100 ms) on PostgreSQL",
];
const STREAMS: u32 = 200;
const USERS: u32 = 50_000;
/// Chat events a second on average.
const RATE: u32 = 5_000;
/// Pause of the feeder between two requests.
const FED_EVERY: Duration = Duration::from_millis(20);
/// The stream of the marks.
const MARK: &str = "mark";
/// Pause between two looks for a mark.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A mark that is not seen by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);
/// The slide of `run chat`: the newest window that counts an event begins with its pane, milliseconds.
const SLIDE_MS: i64 = 10_000;

/// Runs one stage over the topic at `place`.
pub(crate) fn run(
    stage: &str,
    place: &str,
    store: &str,
    seconds: u64,
    workers: u64,
) -> anyhow::Result<Outcome> {
    let trigger = if stage.contains("100 ms") { "100ms" } else { "1s" };
    let flags = ["--trigger-interval", trigger, "--workers", &workers.to_string()];
    live::run(&settings(place, store, &flags)?, seconds)
}

/// Runs the stages that are wanted, one after the other, and prints what was seen of each.
pub(crate) fn over_time(options: &Options, servers: &Servers, scratch: &Path) -> anyhow::Result<()> {
    let wanted: Vec<&str> = STAGES.into_iter().filter(|stage| options.wants(stage)).collect();
    if options.live_seconds == 0 || options.topic_events == 0 || wanted.is_empty() {
        return Ok(());
    }
    let broker = Broker::start();
    for stage in wanted {
        let topic = broker.kafka.unique_topic("live");
        let store = servers.store(stage, &scratch.join("live-topic"), 0)?;
        let feeder = feeder(&broker, &topic)?;
        let (producer, watch) = (broker.producer(&topic)?, Watch::start(store.address()));
        let marks = Marks::start(producer, store.address());
        let begun_ms = now_ms();
        let outcome = in_child(stage, broker.place(&topic), &store.address());
        let ended_ms = now_ms();
        let marks = marks.stop();
        feeder.stop()?;
        let (outcome, seen, mut marks) = (outcome?, watch.stop()?, marks?);
        println!(
            "\n{stage}: {STREAMS} streams, {RATE} events/s offered, {} s, {} worker(s); the second half:",
            options.live_seconds, options.workers
        );
        rhythm::print(&outcome, &seen, begun_ms, ended_ms)?;
        marks.retain(|mark| mark.sent_ms >= begun_ms.midpoint(ended_ms));
        marks.sort_by_key(|mark| mark.delay_ms);
        let at = |share: f64| marks.get((marks.len() as f64 * share) as usize).map(|mark| mark.delay_ms);
        let (p50_ms, p99_ms) = at(0.5).zip(at(0.99)).context("no mark was seen")?;
        let value = format!("p50 {p50_ms} ms, p99 {p99_ms} ms ({} marks)", marks.len());
        rhythm::row("event to its row, visible to others", &value);
        println!("  (in windows' delays: {} s that the watermark waits)", live::DELAY_MS / 1_000);
    }
    Ok(())
}

fn feeder(broker: &Broker, topic: &str) -> anyhow::Result<Feeder> {
    let plan = ChatPlan {
        streams: STREAMS,
        users: USERS,
        rate_per_second: f64::from(RATE),
        start_ms: now_ms(),
        viewer_interval_ms: 0,
        ..ChatPlan::default()
    };
    let mut topics = broker.topics(topic, BatchCodec::None, PARTITIONS, plan)?;
    Ok(Feeder::start(FED_EVERY, move || {
        topics.write_until(now_ms(), u64::MAX)?;
        topics.flush()
    }))
}

/// A mark that was seen.
struct Mark {
    sent_ms: i64,
    delay_ms: i64,
}

/// Writes marks and looks for them until it is stopped.
struct Marks {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Vec<Mark>>>,
}

impl Marks {
    fn start(mut producer: Producer, store: String) -> Marks {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            thread::sleep(Watch::SET_UP);
            let mut reader = Reader::open(&store)?;
            let (mut marks, mut pane_ms, mut count) = (Vec::new(), 0, 0);
            while !asked.load(Ordering::Relaxed) {
                let sent_ms = now_ms();
                let newest_ms = sent_ms - sent_ms.rem_euclid(SLIDE_MS);
                (pane_ms, count) = (newest_ms, if newest_ms == pane_ms { count + 1 } else { 1 });
                let line = format!(
                    r#"{{"timestamp":{sent_ms},"stream_id":"{MARK}","user_id":"u","message":"mark"}}"#
                );
                producer.push(0, MARK.as_bytes(), line.as_bytes(), sent_ms)?;
                producer.flush()?;
                let until = Instant::now() + PATIENCE;
                while reader.chat_count(MARK, pane_ms)? < count {
                    if asked.load(Ordering::Relaxed) {
                        return Ok(marks);
                    }
                    ensure!(Instant::now() < until, "a mark does not come");
                    thread::sleep(LOOK_EVERY);
                }
                marks.push(Mark { sent_ms, delay_ms: now_ms() - sent_ms });
                // A mark is seen at a trigger's end: the next ones are spread over all phases of the longest trigger.
                thread::sleep(Duration::from_millis(marks.len() as u64 * 373 % 1_000));
            }
            Ok(marks)
        });
        Marks { stop, thread }
    }

    fn stop(self) -> anyhow::Result<Vec<Mark>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the marks' thread panicked"))?
    }
}
