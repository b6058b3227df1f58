//! When a file that is fed by time ends.

/// Equal stretches of time, each a file.
#[derive(Debug)]
pub(super) struct Slots {
    rotate_ms: i64,
    /// When the current one ends; `None` before its first event.
    end_ms: Option<i64>,
}

impl Slots {
    /// Stretches of `rotate_ms`, positive.
    pub(super) fn new(rotate_ms: i64) -> Self {
        Self { rotate_ms, end_ms: None }
    }

    /// Comes to `now_ms`; whether the stretch before is over, and with it a file.
    pub(super) fn is_over(&mut self, now_ms: i64) -> bool {
        let end_ms = (now_ms.div_euclid(self.rotate_ms) + 1) * self.rotate_ms;
        self.end_ms.replace(end_ms).is_some_and(|before_ms| before_ms < end_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_over_with_the_first_event_behind_it() {
        let mut slots = Slots::new(10);
        let over = [-3, 0, 9, 10, 11, 45, 44].map(|now_ms| slots.is_over(now_ms));
        assert_eq!(over, [false, true, false, true, false, true, false]);
    }
}
