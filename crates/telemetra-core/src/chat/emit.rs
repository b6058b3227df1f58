//! Open panes and a batch over them to rows: final ones of the windows that close, provisional ones of the
//! changed open windows.
//!
//! A row's values are sums over the panes of its window, moved along the windows of a stream by adding and
//! removing panes. Nothing here changes panes or windows: what was written, and the baselines afterwards, go
//! into the overlay.

use std::{ops::Range, sync::Arc};

use super::{
    Chat,
    emotes::{EmoteSum, EmoteView},
    fold::Numbers,
    moments::{self, Baseline},
    overlay::{Overlay, Slot, View},
    panes::{Open, Pane, Window},
    rows::{Answer, Ask, ChatRows, WindowRow},
};
use crate::{
    logic::{EmitRequest, Emitted, OpenCheck},
    window::WindowSpec,
};

/// Windows `from..to`, by number, are those that a request closes.
fn closing(spec: WindowSpec, request: &EmitRequest) -> Range<i64> {
    let first = |watermark| spec.first_open(watermark).unwrap_or(i64::MIN);
    first(request.from)..first(request.to).max(first(request.from))
}

/// The places among `windows` of those with a number in `numbers`.
fn places(windows: &[Window], numbers: &Range<i64>) -> Range<usize> {
    let before = |end: i64| match windows.first() {
        Some(first) if first.number < end => windows.partition_point(|window| window.number < end),
        _ => 0,
    };
    before(numbers.start)..before(numbers.end)
}

/// Number of the first window that begins where the job begins, or later: nothing of it was left out.
fn first_whole(spec: WindowSpec, request: &EmitRequest) -> i64 {
    request.start_ms.map_or(i64::MIN, |start_ms| spec.pane_of(start_ms.saturating_sub(1)) + 1)
}

/// What [`emit`] must know: the past of streams that close a window and whose earlier windows are not known, ordered by
/// name, and whose rows stand where the job began.
pub(super) fn ask(spec: WindowSpec, open: &Open, overlay: &Overlay, request: &EmitRequest) -> Ask {
    let closing = closing(spec, request);
    let unknown = overlay.streams(open).filter(|view| view.baseline.is_none()).filter_map(|view| {
        let first = view.windows[places(view.windows, &closing)].first()?;
        Some((view.name.to_string(), spec.start_ms(first.number)))
    });
    let mut asked: Vec<_> = unknown.collect();
    asked.sort_unstable();
    Ask { baselines: asked, beside: beside(spec, open, overlay, request) }
}

/// Windows that `request` would write and that begin before the job did. None soon after its start, and then none for
/// good, so that nothing is looked at.
fn beside(spec: WindowSpec, open: &Open, overlay: &Overlay, request: &EmitRequest) -> Vec<(String, i64)> {
    let first_whole = first_whole(spec, request);
    if first_whole <= closing(spec, request).start {
        return Vec::new();
    }
    let views: Vec<View<'_>> = overlay.streams(open).collect();
    let survey = survey(spec, open, overlay, &views, request);
    let provisional = stalest(survey.changed, &views, request.provisional_rows_max);
    let windows = survey.finals.iter().chain(&provisional).map(|job| {
        let view = &views[job.view as usize];
        (view.name, view.windows[job.window as usize].number)
    });
    let before = windows.filter(|&(_, number)| number < first_whole);
    before.map(|(name, number)| (name.to_string(), spec.start_ms(number))).collect()
}

/// One row to make.
struct Job {
    /// Place among the views.
    view: u32,
    /// Place among the view's windows.
    window: u32,
    is_final: bool,
}

/// Makes the rows that `request` is about and notes in `overlay` what it wrote.
pub(super) fn emit(
    chat: &Chat,
    open: &Open,
    overlay: &mut Overlay,
    answer: Answer,
    request: &EmitRequest,
) -> Emitted<ChatRows> {
    let views: Vec<View<'_>> = overlay.streams(open).collect();
    let survey = survey(chat.window, open, overlay, &views, request);
    let mut jobs = survey.finals;
    let provisional = stalest(survey.changed, &views, request.provisional_rows_max);
    // What is left to its adopted row counts as written, too: the others' turn comes.
    let written: Vec<_> = provisional.iter().map(|job| (views[job.view as usize].slot, job.window)).collect();
    jobs.extend(provisional);
    jobs.sort_unstable_by_key(|job| (job.view, job.window));

    let mut groups: Vec<&[Job]> = jobs.chunk_by(|a, b| a.view == b.view).collect();
    groups.sort_unstable_by_key(|group| views[group[0].view as usize].name);
    let names = EmoteView { open: &open.emotes, fresh: &overlay.fresh };
    let mut adopted = answer.adopted;
    adopted.sort_unstable();
    let mut writer = Writer {
        spec: chat.window,
        first_whole: first_whole(chat.window, request),
        adopted,
        threshold: chat.anomaly_threshold,
        names,
        emotes: EmoteSum::new(names.len()),
        answers: answer.baselines.into_iter(),
        rows: ChatRows { windows: Vec::with_capacity(jobs.len()), moments: Vec::new() },
        final_rows: 0,
        final_count: 0,
        left_out: 0,
        baselines: Vec::new(),
    };
    for group in groups {
        let view = views[group[0].view as usize];
        writer.stream(view, group, closed_early(open, view, &survey.closing));
    }
    for view in survey.closed_early_alone {
        let view = views[view as usize];
        let mut baseline = *view.baseline.expect("only streams with a known baseline are listed");
        for (start_ms, count) in closed_early(open, view, &survey.closing) {
            baseline.push(start_ms, count);
        }
        writer.baselines.push((view.slot, baseline));
    }
    let Writer { rows, final_rows, final_count, left_out, baselines, .. } = writer;
    overlay.note(request.batch_id, &written, baselines);
    Emitted {
        final_rows,
        provisional_rows: rows.windows.len() - final_rows,
        rows,
        final_count,
        left_out: survey.closed_early_misses + left_out,
        open: survey.open,
        open_windows: survey.open_windows,
    }
}

/// What there is to do over all streams.
struct Survey {
    /// Numbers of the windows that close.
    closing: Range<i64>,
    finals: Vec<Job>,
    changed: Vec<Job>,
    /// Views without a closing window, of which windows closed early pass below the watermark.
    closed_early_alone: Vec<u32>,
    closed_early_misses: i64,
    open: OpenCheck,
    open_windows: usize,
}

/// One light pass over all streams.
fn survey(
    spec: WindowSpec,
    open: &Open,
    overlay: &Overlay,
    views: &[View<'_>],
    request: &EmitRequest,
) -> Survey {
    let closing = closing(spec, request);
    let mut survey = Survey {
        finals: Vec::new(),
        changed: Vec::new(),
        closed_early_alone: Vec::new(),
        closed_early_misses: 0,
        open_windows: 0,
        open: OpenCheck {
            digest: open.digest.wrapping_add(overlay.digest),
            count: open.count + overlay.count,
            end_ms: None,
        },
        closing: closing.clone(),
    };
    for (view, at) in views.iter().zip(0_u32..) {
        let finals = places(view.windows, &closing);
        let job = |window: usize, is_final| Job {
            view: at,
            window: u32::try_from(window).expect("fewer than 2^32 windows: memory is bounded"),
            is_final,
        };
        survey.open.count -= view.windows[..finals.end].iter().map(|window| window.chat).sum::<i64>();
        survey.open.digest = survey.open.digest.wrapping_sub(view.digest_below(closing.end));
        let still_open = &view.windows[finals.end..];
        survey.open_windows += still_open.len();
        survey.open.end_ms = survey.open.end_ms.max(last_end_ms(spec, still_open, request.largest_ms));
        let changed = still_open.iter().zip(finals.end..).filter(|(window, _)| window.changed);
        survey.changed.extend(changed.map(|(_, window)| job(window, false)));
        if !open.closed_early.is_empty() {
            survey.closed_early_misses += closed_early_misses(spec, open, view, closing.start);
            if finals.is_empty()
                && view.baseline.is_some()
                && closed_early(open, *view, &closing).next().is_some()
            {
                survey.closed_early_alone.push(at);
            }
        }
        survey.finals.extend(finals.map(|window| job(window, true)));
    }
    survey
}

/// End of the last of `windows` that starts at or before `largest_ms`.
pub(super) fn last_end_ms(spec: WindowSpec, windows: &[Window], largest_ms: Option<i64>) -> Option<i64> {
    let largest = spec.pane_of(largest_ms?);
    let last = windows.iter().rfind(|window| window.number <= largest)?;
    Some(spec.end_ms(last.number))
}

/// Windows of a stream closed early that pass below the watermark: start (milliseconds) and count, in order.
fn closed_early<'a>(
    open: &'a Open,
    view: View<'_>,
    closing: &Range<i64>,
) -> impl Iterator<Item = (i64, i64)> + use<'a> {
    let windows = open.closed_early.get(&**view.name).map(|windows| windows.range(closing.clone()));
    let spec = open.spec;
    windows.into_iter().flatten().map(move |(&number, &count)| (spec.start_ms(number), count))
}

/// Messages of the batch, each counted for every window closed early that it falls into, from `first` on.
fn closed_early_misses(spec: WindowSpec, open: &Open, view: &View<'_>, first: i64) -> i64 {
    let Some(windows) = open.closed_early.get(&**view.name) else { return 0 };
    let missed = view.added().map(|(pane, added)| {
        let from = pane.saturating_sub(spec.panes_per_window() - 1).max(first);
        let windows = if from <= pane { windows.range(from..=pane).count() } else { 0 };
        added * i64::try_from(windows).expect("at most the panes of a window")
    });
    missed.sum()
}

/// The `max` changed windows not written for longest, those never written first.
fn stalest(mut changed: Vec<Job>, views: &[View<'_>], max: usize) -> Vec<Job> {
    if max < changed.len() {
        if max > 0 {
            changed.select_nth_unstable_by(max - 1, |a, b| {
                let key = |job: &Job| {
                    let view = &views[job.view as usize];
                    let window = &view.windows[job.window as usize];
                    ((window.written, window.number, view.hash), view.name)
                };
                let (a, b) = (key(a), key(b));
                a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1))
            });
        }
        changed.truncate(max);
    }
    changed
}

/// Makes rows stream by stream.
struct Writer<'a> {
    spec: WindowSpec,
    threshold: f64,
    /// See [`first_whole`].
    first_whole: i64,
    /// Windows whose rows are another program's, ordered.
    adopted: Vec<(String, i64)>,
    names: EmoteView<'a>,
    emotes: EmoteSum,
    /// The store's answers, in the order in which they are needed.
    answers: std::vec::IntoIter<Vec<(i64, i64)>>,
    rows: ChatRows,
    final_rows: usize,
    final_count: i64,
    /// Counts of windows that close and are left to their adopted rows.
    left_out: i64,
    baselines: Vec<(Slot, Baseline)>,
}

impl Writer<'_> {
    /// Makes the rows of one stream; `jobs` are ordered by window, so the final ones come first.
    fn stream(&mut self, view: View<'_>, jobs: &[Job], closed_early: impl Iterator<Item = (i64, i64)>) {
        let panes: Vec<&Pane> = view.panes().collect();
        let mut sum = WindowSum { panes: &panes, held: 0..0, numbers: Numbers::default() };
        let first_ms = self.spec.start_ms(view.windows[jobs[0].window as usize].number);
        let mut baseline = Baseline::default();
        let mut early = closed_early.peekable();
        if jobs[0].is_final {
            baseline = view.baseline.copied().unwrap_or_else(|| {
                // The store knows the windows closed early before the first one asked about.
                while early.next_if(|&(start_ms, _)| start_ms < first_ms).is_some() {}
                Baseline::new(&self.answers.next().unwrap_or_default())
            });
        }
        for job in jobs {
            let window = &view.windows[job.window as usize];
            if self.is_adopted(view.name, window.number) {
                self.left_out += if job.is_final { window.chat } else { 0 };
                continue;
            }
            sum.move_to(window.number..window.number + self.spec.panes_per_window(), &mut self.emotes);
            let mut row = self.row(view.name, window, &sum.numbers);
            if job.is_final {
                while let Some((start_ms, count)) = early.next_if(|&(start_ms, _)| start_ms < row.start_ms) {
                    baseline.push(start_ms, count);
                }
                row.is_final = true;
                self.rows.moments.extend(moments::judge(&mut row, &baseline, self.threshold));
                self.final_rows += 1;
                self.final_count += row.chat_count;
                baseline.push(row.start_ms, row.chat_count);
            }
            self.rows.windows.push(row);
        }
        self.emotes.clear();
        if jobs[0].is_final {
            early.for_each(|(start_ms, count)| baseline.push(start_ms, count));
            self.baselines.push((view.slot, baseline));
        }
    }

    /// Whether the row of this window is another program's and stays it: ours would lack what came before the job.
    fn is_adopted(&self, stream: &str, number: i64) -> bool {
        let key = (stream, self.spec.start_ms(number));
        let find = |known: &(String, i64)| (known.0.as_str(), known.1).cmp(&key);
        number < self.first_whole && self.adopted.binary_search_by(find).is_ok()
    }

    fn row(&mut self, stream: &Arc<str>, window: &Window, sum: &Numbers) -> WindowRow {
        debug_assert_eq!(sum.chat, window.chat, "a window counts what its panes hold");
        let seconds = self.spec.length_ms() as f64 / 1e3;
        let mean = |sum: f64, count: f64| (count > 0.0).then(|| sum / count);
        WindowRow {
            stream: stream.to_string(),
            start_ms: self.spec.start_ms(window.number),
            end_ms: self.spec.end_ms(window.number),
            chat_count: sum.chat,
            unique_chatters: window.chatters,
            avg_sentiment: mean(sum.sentiment as f64 / 1e12, sum.chat as f64),
            positive_count: sum.positive,
            negative_count: sum.negative,
            chat_rate: sum.chat as f64 / seconds,
            avg_viewers: mean(sum.viewer_sum as f64, sum.viewer_samples as f64),
            top_emotes: self.emotes.top(self.names),
            z_score: None,
            is_anomaly: false,
            is_final: false,
            incomplete: window.number < self.first_whole,
        }
    }
}

/// The sums over a window's panes, moved from window to window of one stream.
struct WindowSum<'a> {
    panes: &'a [&'a Pane],
    /// Places among `panes` of those that are in the sums.
    held: Range<usize>,
    numbers: Numbers,
}

impl WindowSum<'_> {
    /// Moves on to the panes with these numbers, which begin later than the last.
    fn move_to(&mut self, panes: Range<i64>, emotes: &mut EmoteSum) {
        while let Some(pane) = self.panes.get(self.held.end).filter(|pane| pane.number < panes.end) {
            self.numbers.add(&pane.numbers);
            emotes.add(&pane.emotes);
            self.held.end += 1;
        }
        while self.held.start < self.held.end && self.panes[self.held.start].number < panes.start {
            let pane = self.panes[self.held.start];
            self.numbers.remove(&pane.numbers);
            emotes.remove(&pane.emotes);
            self.held.start += 1;
        }
    }
}
