//! How many watch each stream: counts that drift, jump in a raid and settle again.

use super::{crowd::Crowd, random::Random};

/// Samples of all streams in turn, evenly spread over the interval.
#[derive(Clone, Debug)]
pub(super) struct Viewers {
    random: Random,
    start_ms: i64,
    interval_ms: i64,
    samples: u64,
    streams: Vec<Audience>,
}

#[derive(Clone, Copy, Debug)]
struct Audience {
    usual: f64,
    now: f64,
    peak: u64,
}

/// One sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) number: u64,
    pub(super) stream: u32,
    pub(super) at_ms: i64,
    pub(super) viewers: u64,
    pub(super) peak: u64,
}

impl Viewers {
    pub(super) fn new(seed: u64, start_ms: i64, interval_ms: i64, users: u32, crowd: &Crowd) -> Self {
        let audience = |stream| {
            let usual = 3.0 + 2.0 * f64::from(users) * crowd.share(stream);
            Audience { usual, now: usual, peak: 0 }
        };
        let streams =
            if interval_ms == 0 { Vec::new() } else { (0..crowd.streams()).map(audience).collect() };
        Self { random: Random::new(seed, 2), start_ms, interval_ms, samples: 0, streams }
    }

    /// When the next sample is taken; `None` if none ever is.
    #[inline]
    pub(super) fn at_ms(&self) -> Option<i64> {
        let streams = self.streams.len() as u64;
        let round = self.samples.checked_div(streams)?;
        let stream = self.samples % streams;
        let into_round = i128::from(self.interval_ms) * i128::from(stream) / i128::from(streams);
        Some(self.start_ms + round as i64 * self.interval_ms + into_round as i64)
    }

    /// The stream of the next sample.
    pub(super) fn stream(&self) -> u32 {
        (self.samples % self.streams.len() as u64) as u32
    }

    /// Takes the sample due at `at_ms`.
    pub(super) fn take(&mut self, at_ms: i64, is_raided: bool) -> Sample {
        let (number, stream) = (self.samples, self.stream());
        self.samples += 1;
        let seconds = self.interval_ms as f64 / 1_000.0;
        let noise = 2.0 * self.random.unit() - 1.0;
        let audience = &mut self.streams[stream as usize];
        audience.now +=
            (audience.usual - audience.now) * (0.01 * seconds).min(0.5) + audience.now * 0.02 * noise;
        if is_raided {
            audience.now += audience.usual * (0.08 * seconds).min(1.0);
        }
        let viewers = audience.now.max(0.0).round() as u64;
        audience.peak = audience.peak.max(viewers);
        Sample { number, stream, at_ms, viewers, peak: audience.peak }
    }
}
