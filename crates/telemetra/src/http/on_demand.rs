//! A reader of the store that is opened when the page first asks: the page is there before the store is, and
//! stays when a job halts at its start.

use super::data::{MomentShown, PageData, RatePoint, StreamNow};

/// Opens a reader with `open` when it is first needed, again after a failure.
pub struct OnDemand<F> {
    open: F,
    reader: Option<Box<dyn PageData>>,
}

impl<F: Fn() -> anyhow::Result<Box<dyn PageData>> + Send> OnDemand<F> {
    /// A reader that is not open yet.
    pub fn new(open: F) -> Self {
        Self { open, reader: None }
    }

    fn ask<T>(&mut self, question: impl FnOnce(&mut dyn PageData) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => (self.open)()?,
        };
        let answer = question(&mut *reader)?;
        self.reader = Some(reader);
        Ok(answer)
    }
}

impl<F: Fn() -> anyhow::Result<Box<dyn PageData>> + Send> PageData for OnDemand<F> {
    fn newest_ms(&mut self) -> anyhow::Result<Option<i64>> {
        self.ask(|reader| reader.newest_ms())
    }
    fn rates(&mut self, from_ms: i64, stream: Option<&str>) -> anyhow::Result<Vec<RatePoint>> {
        self.ask(|reader| reader.rates(from_ms, stream))
    }
    fn streams(&mut self, from_ms: i64, at_ms: i64, most: usize) -> anyhow::Result<Vec<StreamNow>> {
        self.ask(|reader| reader.streams(from_ms, at_ms, most))
    }
    fn moments(&mut self, most: usize) -> anyhow::Result<Vec<MomentShown>> {
        self.ask(|reader| reader.moments(most))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    struct Failing;

    impl PageData for Failing {
        fn newest_ms(&mut self) -> anyhow::Result<Option<i64>> {
            Ok(None)
        }
        fn rates(&mut self, _from_ms: i64, _stream: Option<&str>) -> anyhow::Result<Vec<RatePoint>> {
            anyhow::bail!("gone")
        }
        fn streams(&mut self, _from_ms: i64, _at_ms: i64, _most: usize) -> anyhow::Result<Vec<StreamNow>> {
            Ok(Vec::new())
        }
        fn moments(&mut self, _most: usize) -> anyhow::Result<Vec<MomentShown>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn it_is_opened_once_and_again_after_a_failure() {
        let opened = AtomicU32::new(0);
        let mut data = OnDemand::new(|| {
            opened.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Failing) as Box<dyn PageData>)
        });
        assert_eq!(opened.load(Ordering::Relaxed), 0);
        data.newest_ms().expect("answered");
        data.moments(1).expect("answered");
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        data.rates(0, None).expect_err("it fails");
        data.moments(1).expect("answered");
        assert_eq!(opened.load(Ordering::Relaxed), 2);
    }
}
