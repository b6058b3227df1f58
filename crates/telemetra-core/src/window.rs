//! Windows and panes over event time.
//!
//! Windows are half-open, `length` wide, start at every multiple of `slide` since the Unix epoch. A pane is a
//! `slide`-wide slice of event time shared by the windows that overlap it (Li et al., "No pane, no gain",
//! SIGMOD Record 34(1), 2005), so that an event touches exactly one pane.
//!
//! ```text
//! slide 10 s, length 60 s          |p0|p1|p2|p3|p4|p5|p6|
//! windows that hold an event       [------ w0 ------)
//! in p5: w0..=w5                      [------ w1 ------) …
//! ```

use crate::{limits::PANES_PER_WINDOW_MAX, watermark::Watermark};

/// Length and slide of a job's windows, milliseconds; the length is a multiple of the slide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    length_ms: i64,
    slide_ms: i64,
}

impl WindowSpec {
    /// Checks that `length_ms` is a positive multiple of `slide_ms`, of at most
    /// [`PANES_PER_WINDOW_MAX`] panes.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn new(length_ms: i64, slide_ms: i64) -> Result<Self, String> {
        if slide_ms <= 0 || length_ms <= 0 {
            return Err("window length and slide must be longer than zero".into());
        }
        if length_ms % slide_ms != 0 {
            return Err(format!(
                "the window length ({length_ms} ms) must be a multiple of the slide ({slide_ms} ms)"
            ));
        }
        if length_ms / slide_ms > PANES_PER_WINDOW_MAX {
            return Err(format!(
                "a window may span at most {PANES_PER_WINDOW_MAX} slides, {length_ms} ms ÷ {slide_ms} ms is more"
            ));
        }
        Ok(Self { length_ms, slide_ms })
    }

    /// Window length, milliseconds.
    pub fn length_ms(&self) -> i64 {
        self.length_ms
    }

    /// Slide, which is also the width of a pane, milliseconds.
    pub fn slide_ms(&self) -> i64 {
        self.slide_ms
    }

    /// Panes in a window, which is also the number of windows that hold an event.
    pub fn panes_per_window(&self) -> i64 {
        self.length_ms / self.slide_ms
    }

    /// Number of the pane that holds `time_ms`; pane `n` starts at `n * slide`.
    #[inline]
    pub fn pane_of(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(self.slide_ms)
    }

    /// Start of pane or window number `index`, milliseconds.
    #[inline]
    pub fn start_ms(&self, index: i64) -> i64 {
        index * self.slide_ms
    }

    /// End of the window that starts with pane `index`, milliseconds.
    #[inline]
    pub fn end_ms(&self, index: i64) -> i64 {
        index * self.slide_ms + self.length_ms
    }

    /// Whether the last window that holds pane `pane` is closed: an event in it is late.
    #[inline]
    pub fn is_pane_closed(&self, pane: i64, watermark: Watermark) -> bool {
        watermark.has_passed(self.end_ms(pane))
    }

    /// How many of the windows that hold pane `pane` are closed, 0..=panes_per_window.
    #[inline]
    pub fn closed_windows(&self, pane: i64, watermark: Watermark) -> i64 {
        let Some(watermark_ms) = watermark.ms() else { return 0 };
        let panes = self.panes_per_window();
        // Window w (pane - panes < w <= pane) is closed when w * slide + length <= watermark.
        let last_closed = (watermark_ms - self.length_ms).div_euclid(self.slide_ms);
        (last_closed - (pane - panes)).clamp(0, panes)
    }

    /// The first window, by number, that is still open at `watermark`; `None` when all are.
    #[inline]
    pub fn first_open(&self, watermark: Watermark) -> Option<i64> {
        watermark.ms().map(|ms| (ms - self.length_ms).div_euclid(self.slide_ms) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> WindowSpec {
        WindowSpec::new(60_000, 10_000).expect("a valid spec")
    }

    #[test]
    fn a_window_closes_when_the_watermark_reaches_its_end() {
        // Pane 5 is 50..60 s; its windows start at 0, 10, .., 50 s and end at 60, 70, .., 110 s.
        let check = |watermark_s: i64, closed: i64| {
            let watermark = Watermark::at(watermark_s * 1_000);
            assert_eq!(spec().closed_windows(5, watermark), closed, "watermark {watermark_s} s");
            assert_eq!(spec().is_pane_closed(5, watermark), closed == 6, "watermark {watermark_s} s");
        };
        check(59, 0);
        check(60, 1);
        check(69, 1);
        check(90, 4);
        check(109, 5);
        check(110, 6);
        check(500, 6);
        assert_eq!(spec().closed_windows(5, Watermark::NONE), 0);
    }

    #[test]
    fn first_open_agrees_with_closed_windows() {
        for watermark_s in -100..300 {
            let watermark = Watermark::at(watermark_s * 1_000);
            let first = spec().first_open(watermark).expect("a watermark is set");
            assert!(!watermark.has_passed(spec().end_ms(first)));
            assert!(watermark.has_passed(spec().end_ms(first - 1)));
        }
    }

    #[test]
    fn times_before_the_epoch_have_panes_too() {
        assert_eq!(spec().pane_of(-1), -1);
        assert_eq!(spec().start_ms(-1), -10_000);
    }

    #[test]
    fn a_length_that_is_no_multiple_of_the_slide_is_refused() {
        assert!(WindowSpec::new(60_000, 7_000).is_err());
        assert!(WindowSpec::new(60_000, 0).is_err());
        assert!(WindowSpec::new(86_400_000, 1_000).is_err());
    }
}
