//! The terminal: one live status line, for `--once` a progress bar, without a terminal a log line now and then.
//!
//! A thread of its own looks at the latest snapshot; the job never waits for a terminal.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use crate::{
    out::{grouped, plain},
    snapshot::{ChatNumbers, CommerceNumbers, Latest, Numbers, Snapshot, State},
};

const REDRAW: Duration = Duration::from_millis(250);
const LOG_EVERY: Duration = Duration::from_secs(10);
const PROGRESS_STEPS: u64 = 10_000;

/// Where log lines go: stderr, above the live line if there is one. A clone shares the same.
#[derive(Clone, Debug, Default)]
pub struct Screen(Arc<Mutex<Option<ProgressBar>>>);

impl Screen {
    fn set(&self, bar: Option<ProgressBar>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    /// Writes whole lines to stderr without tearing the live line.
    pub fn write_lines(&self, lines: &[u8]) -> io::Result<()> {
        let bar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || io::stderr().lock().write_all(lines);
        bar.as_ref().map_or_else(write, |bar| bar.suspend(write))
    }
}

/// A status line that follows a job until it is dropped.
#[derive(Debug)]
pub struct StatusLine {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StatusLine {
    /// Follows `latest`, and below it `beside`: live on a terminal (a progress bar if `once`), else as log lines.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn follow(latest: Latest, beside: Option<Latest>, screen: Screen, once: bool) -> io::Result<Self> {
        let (end, ended) = channel();
        let is_live = io::stderr().is_terminal();
        let thread = thread::Builder::new().name("terminal".into()).spawn(move || match is_live {
            true => live(&latest, beside.as_ref(), &screen, once, &ended),
            false => logged(&[Some(latest), beside], &ended),
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has said so itself.
            let _ = thread.join();
        }
    }
}

fn live(latest: &Latest, beside: Option<&Latest>, screen: &Screen, once: bool, ended: &Receiver<()>) {
    let bar = ProgressBar::with_draw_target(Some(PROGRESS_STEPS), ProgressDrawTarget::stderr());
    let template = if once { "{bar:24} {percent:>3} %  {msg}" } else { "{msg}" };
    bar.set_style(ProgressStyle::with_template(template).expect("the template is constant and valid"));
    screen.set(Some(bar.clone()));
    let begun = Instant::now();
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(REDRAW) {
        let snapshot = latest.get();
        let progress = snapshot.progress.unwrap_or(0.0).clamp(0.0, 1.0);
        if once {
            bar.set_position((progress * PROGRESS_STEPS as f64) as u64);
            bar.set_message(progress_line(&snapshot, begun.elapsed(), Timestamp::now().as_millisecond()));
        } else {
            let shown = [Some(latest), beside].into_iter().flatten();
            let lines = shown.map(|it| status_line(&it.get(), Timestamp::now().as_millisecond()));
            bar.set_message(lines.collect::<Vec<_>>().join("\n"));
        }
    }
    screen.set(None);
    bar.finish_and_clear();
}

fn logged(shown: &[Option<Latest>], ended: &Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(LOG_EVERY) {
        shown.iter().flatten().for_each(|latest| log_one(&latest.get()));
    }
}

fn log_one(snapshot: &Snapshot) {
    // The run itself says what is away, and less often.
    if matches!(snapshot.state, State::Retrying(_)) {
        return;
    }
    match &snapshot.numbers {
        Numbers::Chat(chat) => log_chat(snapshot, chat),
        Numbers::Commerce(shop) => log_commerce(snapshot, shop),
    }
}

fn log_chat(snapshot: &Snapshot, chat: &ChatNumbers) {
    let holder = chat.holder.as_ref();
    tracing::info!(
        job = snapshot.job,
        state = state_word(&snapshot.state),
        batches = snapshot.batches,
        events_per_second = snapshot.events_per_second.round(),
        lag_records = snapshot.lag_records,
        watermark = chat.watermark_ms.map(instant),
        held_by = holder.map(|holder| holder.name.as_str()),
        reason = holder.map(|holder| holder.reason.as_str()),
        open_windows = chat.open_windows,
        final_windows = chat.final_windows,
        late = chat.late,
        dead_letters = chat.dead_letters,
        "progress"
    );
}

fn log_commerce(snapshot: &Snapshot, shop: &CommerceNumbers) {
    tracing::info!(
        job = snapshot.job,
        state = state_word(&snapshot.state),
        batches = snapshot.batches,
        events_per_second = snapshot.events_per_second.round(),
        lag_records = snapshot.lag_records,
        accepted = shop.accepted,
        duplicates = shop.duplicates,
        conflicts = shop.conflicts,
        quarantined = shop.quarantined,
        files = shop.files.read,
        "progress"
    );
}

/// The status line of a running job; `now_ms` is the wall clock.
pub fn status_line(snapshot: &Snapshot, now_ms: i64) -> String {
    let mut parts =
        vec![degraded(snapshot, now_ms).unwrap_or_else(|| state_word(&snapshot.state).to_owned())];
    parts.push(format!("{} events/s", grouped(snapshot.events_per_second.round().max(0.0) as u64)));
    parts.push(format!("lag {}", grouped(snapshot.lag_records)));
    match &snapshot.numbers {
        Numbers::Chat(chat) => parts.extend(chat_parts(chat, now_ms)),
        Numbers::Commerce(shop) => parts.push(commerce_part(shop)),
    }
    if let State::Standby(cause) | State::Halted(cause) = &snapshot.state {
        parts.push(plain(cause).into_owned());
    }
    parts.join(" · ")
}

fn chat_parts(chat: &ChatNumbers, now_ms: i64) -> Vec<String> {
    let mut parts = vec![match chat.watermark_ms {
        Some(ms) => format!("watermark {} ({} ago)", clock(ms), age(now_ms.saturating_sub(ms))),
        None => "no watermark yet".to_owned(),
    }];
    if let Some(holder) = &chat.holder {
        parts.push(format!("held by {} ({})", plain(&holder.name), plain(&holder.reason)));
    }
    let windows = (grouped(chat.open_windows), grouped(chat.final_windows));
    parts.push(format!("windows {} open, {} final", windows.0, windows.1));
    parts.push(refused_part(chat));
    parts
}

fn refused_part(chat: &ChatNumbers) -> String {
    format!("late {} · dead letters {}", grouped(chat.late), grouped(chat.dead_letters))
}

fn commerce_part(shop: &CommerceNumbers) -> String {
    format!(
        "accepted {} · duplicates {} · conflicts {} · quarantined {} · files {}",
        grouped(shop.accepted),
        grouped(shop.duplicates),
        grouped(shop.conflicts),
        grouped(shop.quarantined),
        grouped(shop.files.read)
    )
}

/// What stands first while something is away: since when, how long, why.
fn degraded(snapshot: &Snapshot, now_ms: i64) -> Option<String> {
    let State::Retrying(cause) = &snapshot.state else { return None };
    let since_ms = snapshot.retrying_since_ms.unwrap_or(now_ms);
    let gone = Duration::from_millis(u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0));
    Some(format!(
        "DEGRADED since {} ({}): {}; nothing is lost, trying again",
        clock(since_ms),
        span(gone),
        plain(cause)
    ))
}

/// What stands beside the bar of `--once`, `elapsed` after its start; `now_ms` is the wall clock.
pub fn progress_line(snapshot: &Snapshot, elapsed: Duration, now_ms: i64) -> String {
    if let Some(degraded) = degraded(snapshot, now_ms) {
        return degraded;
    }
    if let State::Standby(cause) = &snapshot.state {
        return format!("standing by: {}", plain(cause));
    }
    let rate = grouped(snapshot.events_per_second.round().max(0.0) as u64);
    let mut line = format!("{} records · {rate} events/s", grouped(snapshot.records));
    if let Some(share) = snapshot.progress.filter(|share| (0.001..1.0).contains(share)) {
        let left_s = elapsed.as_secs_f64() * (1.0 - share) / share;
        line.push_str(&format!(" · {} left", age((left_s * 1_000.0) as i64)));
    }
    line.push_str(" · ");
    line.push_str(&match &snapshot.numbers {
        Numbers::Chat(chat) => refused_part(chat),
        Numbers::Commerce(shop) => commerce_part(shop),
    });
    line
}

fn state_word(state: &State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Running => "running",
        State::Waiting => "waiting",
        State::Retrying(_) => "retrying",
        State::Standby(_) => "standby",
        State::Halted(_) => "halted",
        State::Ended => "ended",
    }
}

/// An instant in RFC 3339, UTC.
pub fn instant(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

fn clock(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.strftime("%H:%M:%S").to_string())
}

/// A span as people say it: `12 s`, `3 min`, `5 h`, `2 d`.
pub fn age(ms: i64) -> String {
    match ms.max(0) / 1_000 {
        s @ ..120 => format!("{s} s"),
        s @ ..7_200 => format!("{} min", s / 60),
        s @ ..172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

/// A span in its two largest units: `45 s`, `1 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub fn span(span: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = span.as_secs();
    let largest = UNITS.iter().position(|(length, _)| seconds >= *length).unwrap_or(UNITS.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::with_capacity(2);
    for (length, unit) in UNITS.iter().skip(largest).take(2) {
        if rest >= *length || parts.is_empty() {
            parts.push(format!("{} {unit}", rest / length));
        }
        rest %= length;
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Holder;

    #[test]
    fn the_status_line_says_who_holds_the_watermark_and_why() {
        let snapshot = Snapshot {
            state: State::Running,
            events_per_second: 12_345.6,
            lag_records: 1_000,
            numbers: Numbers::Chat(ChatNumbers {
                watermark_ms: Some(1_700_000_000_000),
                holder: Some(Holder { name: "viewer/0".into(), reason: "no event\nyet".into() }),
                open_windows: 6,
                open_panes_max: 11,
                replay_records_max: 40,
                final_windows: 1_234,
                late: 1,
                dead_letters: 2,
                ..ChatNumbers::default()
            }),
            ..Snapshot::default()
        };
        assert_eq!(
            status_line(&snapshot, 1_700_000_012_000),
            "running · 12,346 events/s · lag 1,000 · watermark 22:13:20 (12 s ago) · \
             held by viewer/0 (no event\\nyet) · windows 6 open, 1,234 final · late 1 · dead letters 2"
        );
    }

    #[test]
    fn progress_tells_the_time_left() {
        let snapshot = Snapshot { records: 250, progress: Some(0.25), ..Snapshot::default() };
        let line = progress_line(&snapshot, Duration::from_secs(10), 0);
        assert_eq!(line, "250 records · 0 events/s · 30 s left · late 0 · dead letters 0");
    }

    #[test]
    fn commerce_has_no_windows() {
        let numbers =
            CommerceNumbers { accepted: 5, duplicates: 1, conflicts: 2, ..CommerceNumbers::default() };
        let snapshot = Snapshot { numbers: Numbers::Commerce(numbers), ..Snapshot::default() };
        let counts = "accepted 5 · duplicates 1 · conflicts 2 · quarantined 0 · files 0";
        assert_eq!(status_line(&snapshot, 0), format!("starting · 0 events/s · lag 0 · {counts}"));
        let line = progress_line(&snapshot, Duration::ZERO, 0);
        assert_eq!(line, format!("0 records · 0 events/s · {counts}"));
    }

    #[test]
    fn what_is_away_stands_first_with_its_cause() {
        let snapshot = Snapshot {
            state: State::Retrying("no route\nto it".into()),
            retrying_since_ms: Some(1_700_000_000_000),
            ..Snapshot::default()
        };
        let expected =
            "DEGRADED since 22:13:20 (1 min 12 s): no route\\nto it; nothing is lost, trying again";
        let now_ms = 1_700_000_072_900;
        assert!(status_line(&snapshot, now_ms).starts_with(&format!("{expected} · 0 events/s")));
        assert_eq!(progress_line(&snapshot, Duration::ZERO, now_ms), expected);
        // A wall clock that was set back.
        assert!(status_line(&snapshot, 0).contains("(0 s)"));
        let standby = Snapshot { state: State::Standby("held".into()), ..Snapshot::default() };
        assert!(status_line(&standby, 0).starts_with("standby · "));
        assert_eq!(progress_line(&standby, Duration::ZERO, 0), "standing by: held");
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let check = |seconds, expected| assert_eq!(span(Duration::from_secs(seconds)), expected);
        check(0, "0 s");
        check(59, "59 s");
        check(60, "1 min");
        check(90, "1 min 30 s");
        check(3_600, "1 h");
        check(3_659, "1 h");
        check(7_500, "2 h 5 min");
        check(273_600, "3 d 4 h");
    }
}
