//! z-scores over earlier windows, and the peaks they show (DESIGN §5, "Moments").
//!
//! A baseline is the last final rows of a stream, ascending by window start. It knows counts, no panes.

use super::rows::{MomentRow, WindowRow};
use crate::limits::{BASELINE_WINDOWS, BASELINE_WINDOWS_MIN};

/// The latest final windows of a stream: start (milliseconds) and count, ascending by start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Baseline {
    windows: [(i64, i64); BASELINE_WINDOWS],
    len: usize,
}

impl Baseline {
    /// Takes the store's answer, ascending by start.
    pub(super) fn new(windows: &[(i64, i64)]) -> Self {
        let mut baseline = Self::default();
        windows.iter().for_each(|&(start_ms, count)| baseline.push(start_ms, count));
        baseline
    }

    /// Adds a window that starts after all others; the oldest goes if there are enough.
    pub(super) fn push(&mut self, start_ms: i64, count: i64) {
        debug_assert!(self.last_ms().is_none_or(|last_ms| last_ms < start_ms), "windows close in order");
        if self.len == BASELINE_WINDOWS {
            self.windows.rotate_left(1);
            self.len -= 1;
        }
        self.windows[self.len] = (start_ms, count);
        self.len += 1;
    }

    fn last_ms(&self) -> Option<i64> {
        self.windows[..self.len].last().map(|&(start_ms, _)| start_ms)
    }

    /// How far `count` lies above the windows, in units of their noise: the larger of the population standard
    /// deviation and the Poisson noise of their mean. `None` with fewer than [`BASELINE_WINDOWS_MIN`].
    pub(super) fn z_score(&self, count: i64) -> Option<f64> {
        let counts = &self.windows[..self.len];
        if counts.len() < BASELINE_WINDOWS_MIN {
            return None;
        }
        let n = counts.len() as f64;
        let mean = self.mean();
        let variance = counts.iter().map(|&(_, count)| (count as f64 - mean).powi(2)).sum::<f64>() / n;
        Some((count as f64 - mean) / variance.sqrt().max(mean.max(1.0).sqrt()))
    }

    /// Mean count, 0 without windows.
    pub(super) fn mean(&self) -> f64 {
        let counts = &self.windows[..self.len];
        counts.iter().map(|&(_, count)| count as f64).sum::<f64>() / counts.len().max(1) as f64
    }
}

/// Judges a final row by the windows before it: fills in its z-score and returns the moment it is, if it is.
pub(super) fn judge(row: &mut WindowRow, baseline: &Baseline, threshold: f64) -> Option<MomentRow> {
    row.z_score = baseline.z_score(row.chat_count);
    let z_score = row.z_score.filter(|&z_score| z_score > threshold)?;
    row.is_anomaly = true;
    let (count, mean, seconds) = (row.chat_count, baseline.mean(), (row.end_ms - row.start_ms) as f64 / 1e3);
    Some(MomentRow {
        stream: row.stream.clone(),
        start_ms: row.start_ms,
        end_ms: row.end_ms,
        description: format!(
            "Chat rose to {count} messages in {seconds} s, {z_score:.1} deviations above the usual {mean:.1}."
        ),
        intensity: row.chat_rate,
        chat_count: count,
        unique_chatters: row.unique_chatters,
        avg_viewers: row.avg_viewers,
        z_score,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(earlier: &[i64], count: i64, expected: Option<f64>) {
        let windows: Vec<_> = earlier.iter().enumerate().map(|(at, &count)| (at as i64, count)).collect();
        assert_eq!(Baseline::new(&windows).z_score(count), expected, "{earlier:?} {count}");
    }

    #[test]
    fn fewer_than_five_windows_give_no_score() {
        check(&[], 5, None);
        check(&[4, 4, 4, 4], 100, None);
        check(&[4, 4, 4, 4, 4], 10, Some(3.0));
    }

    #[test]
    fn noise_is_at_least_that_of_a_count() {
        check(&[0, 0, 0, 0, 0], 3, Some(3.0));
        check(&[100, 100, 100, 100, 100], 130, Some(3.0));
        // Deviation 10, Poisson noise √10.
        check(&[0, 20, 0, 20, 0, 20], 40, Some(3.0));
    }

    #[test]
    fn only_the_last_ten_windows_count() {
        check(&[9_999, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4], 10, Some(3.0));
    }
}
