//! How many messages each moment brings, and to which stream.
//!
//! Time goes in cycles of four minutes, cut into ticks. A cycle has one quiet phase and a few bursts, and what
//! the bursts add beyond the quiet is the same in every cycle. So the base rate never changes (a stream that
//! nothing happens to stays level and shows no moments), and each cycle brings exactly its share of events.

use super::{crowd::Crowd, random::Random};

/// Length of a tick, milliseconds; within it events are evenly spaced.
const TICK_MS: i64 = 100;
/// Ticks in a cycle.
const CYCLE_TICKS: i64 = 2_400;
/// What the bursts of a cycle add to its base, less what the quiet phase takes.
const ADDED: f64 = 0.3;
/// Bursts in a cycle before the one that fills it up.
const BURSTS: usize = 5;

/// What is special about the message that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Nothing.
    Calm,
    /// Something great just happened.
    Hype,
    /// Something went wrong.
    Fail,
    /// The community of this stream has just arrived.
    Raid(u32),
}

/// A stretch of a cycle in which one stream gets more messages, or fewer.
#[derive(Clone, Copy, Debug)]
struct Phase {
    stream: u32,
    from: i64,
    to: i64,
    /// Messages added, in units of the base rate over all streams; below zero in a quiet phase.
    added: f64,
    mood: Mood,
}

impl Phase {
    fn is_at(&self, tick: i64) -> bool {
        (self.from..self.to).contains(&tick)
    }
    fn weight(&self) -> f64 {
        self.added * (self.to - self.from) as f64 / CYCLE_TICKS as f64
    }
}

/// The moments of messages, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    random: Random,
    per_tick: f64,
    cycle_start_ms: i64,
    base_per_tick: f64,
    /// The quiet phase first, then bursts.
    phases: Vec<Phase>,
    tick: i64,
    /// The bursts that are on now, and the sum of what they add.
    active: Vec<Phase>,
    active_added: f64,
    quiet: Option<Phase>,
    /// Events of this tick, those already given, and the fraction carried to the next.
    count: i64,
    given: i64,
    carry: f64,
}

impl Schedule {
    pub(super) fn new(seed: u64, rate_per_second: f64, start_ms: i64, crowd: &Crowd) -> Self {
        let mut schedule = Self {
            random: Random::new(seed, 1),
            per_tick: rate_per_second * TICK_MS as f64 / 1_000.0,
            cycle_start_ms: start_ms,
            base_per_tick: 0.0,
            phases: Vec::with_capacity(BURSTS + 2),
            tick: 0,
            active: Vec::with_capacity(BURSTS + 2),
            active_added: 0.0,
            quiet: None,
            count: 0,
            given: 0,
            carry: 0.0,
        };
        schedule.begin_cycle(crowd);
        schedule.begin_tick();
        schedule.settle(crowd);
        schedule
    }

    /// When the next message is written, milliseconds; never goes back.
    #[inline]
    pub(super) fn at_ms(&self) -> i64 {
        self.cycle_start_ms + self.tick * TICK_MS + self.given * TICK_MS / self.count.max(1)
    }

    /// Takes the next message: its stream and mood.
    #[inline]
    pub(super) fn take(&mut self, crowd: &Crowd, random: &mut Random) -> (u32, Mood) {
        let chosen = self.choose(crowd, random);
        self.given += 1;
        if self.given == self.count {
            self.settle(crowd);
        }
        chosen
    }

    /// Whether a raid is arriving at `stream` now.
    pub(super) fn is_raided(&self, stream: u32) -> bool {
        self.active.iter().any(|phase| phase.stream == stream && matches!(phase.mood, Mood::Raid(_)))
    }

    #[inline]
    fn choose(&self, crowd: &Crowd, random: &mut Random) -> (u32, Mood) {
        if !self.active.is_empty() {
            let base = 1.0 + self.quiet.map_or(0.0, |quiet| quiet.added);
            let mut at = random.unit() * (base + self.active_added);
            for phase in &self.active {
                if at < phase.added {
                    return (phase.stream, phase.mood);
                }
                at -= phase.added;
            }
        }
        loop {
            let stream = crowd.stream(random);
            match &self.quiet {
                // Of a quiet stream's messages only the share that the phase leaves is kept.
                Some(quiet)
                    if quiet.stream == stream && random.unit() * crowd.share(stream) < -quiet.added => {}
                _ => return (stream, Mood::Calm),
            }
        }
    }

    /// Goes on to the next tick that has messages.
    fn settle(&mut self, crowd: &Crowd) {
        while self.given == self.count {
            self.tick += 1;
            if self.tick == CYCLE_TICKS {
                self.cycle_start_ms += CYCLE_TICKS * TICK_MS;
                self.tick = 0;
                self.begin_cycle(crowd);
            }
            self.begin_tick();
        }
    }

    fn begin_tick(&mut self) {
        let tick = self.tick;
        self.quiet = self.phases.first().filter(|phase| phase.is_at(tick)).copied();
        self.active.clear();
        self.active.extend(self.phases.iter().skip(1).filter(|phase| phase.is_at(tick)));
        self.active_added = self.active.iter().map(|phase| phase.added).sum();
        let intensity = 1.0 + self.active_added + self.quiet.map_or(0.0, |quiet| quiet.added);
        let due = self.carry + self.base_per_tick * intensity;
        self.count = due as i64;
        self.carry = due - due.floor();
        self.given = 0;
    }

    fn begin_cycle(&mut self, crowd: &Crowd) {
        self.phases.clear();
        let quiet_stream = self.random.below(crowd.streams().min(20));
        let quiet = self.phase(quiet_stream, 200, 600, -0.8 * crowd.share(quiet_stream), Mood::Calm);
        self.phases.push(quiet);
        let mut left = ADDED - quiet.weight();
        for _ in 0..BURSTS {
            let stream = if self.random.below(2) == 0 {
                crowd.stream(&mut self.random)
            } else {
                self.random.below(crowd.streams())
            };
            let added = crowd.share(stream) * (4.0 + 15.0 * self.random.unit());
            let mood = self.mood(crowd, stream);
            let burst = self.phase(stream, 100, 300, added, mood);
            if burst.weight() < left && self.phases.iter().all(|phase| phase.stream != stream) {
                left -= burst.weight();
                self.phases.push(burst);
            }
        }
        self.fill(crowd, left);
        let added: f64 = self.phases.iter().map(Phase::weight).sum();
        self.base_per_tick = self.per_tick / (1.0 + added);
    }

    /// Adds the burst that makes every cycle add the same, on one of the popular streams.
    fn fill(&mut self, crowd: &Crowd, left: f64) {
        let popular = crowd.streams().min(10);
        let first = self.random.below(popular);
        let times = |stream: u32, ticks: i64| left * CYCLE_TICKS as f64 / ticks as f64 / crowd.share(stream);
        let fits = (0..popular)
            .map(|step| (first + step) % popular)
            .filter(|&stream| self.phases.iter().all(|phase| phase.stream != stream))
            .flat_map(|stream| [100, 200, 300].map(|ticks| (stream, ticks)))
            .find(|&(stream, ticks)| (4.0..=19.0).contains(&times(stream, ticks)));
        let (stream, ticks) = fits.unwrap_or((0, if times(0, 100) > 19.0 { 300 } else { 100 }));
        let added = times(stream, ticks) * crowd.share(stream);
        let mood = self.mood(crowd, stream);
        let burst = self.phase(stream, ticks, ticks, added, mood);
        self.phases.push(burst);
    }

    fn mood(&mut self, crowd: &Crowd, stream: u32) -> Mood {
        match self.random.below(10) {
            0..5 => Mood::Hype,
            5..7 => Mood::Fail,
            _ => Mood::Raid((stream + 1 + self.random.below(crowd.streams())) % crowd.streams()),
        }
    }

    /// A phase of `shortest..=longest` ticks somewhere in the cycle.
    fn phase(&mut self, stream: u32, shortest: i64, longest: i64, added: f64, mood: Mood) -> Phase {
        let ticks = self.random.between(shortest, longest);
        let from = self.random.between(0, CYCLE_TICKS - ticks);
        Phase { stream, from, to: from + ticks, added, mood }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_rate_is_the_same_in_every_cycle() {
        for streams in [1, 2, 20, 5_000] {
            let crowd = Crowd::new(streams, 1_000);
            let mut schedule = Schedule::new(3, 1_000.0, 0, &crowd);
            for _ in 0..200 {
                schedule.begin_cycle(&crowd);
                let share = schedule.base_per_tick / schedule.per_tick;
                assert!((share - 1.0 / (1.0 + ADDED)).abs() < 1e-9, "{streams} streams: {share}");
                assert!(schedule.phases.iter().skip(1).all(|phase| phase.added >= 0.0));
            }
        }
    }

    #[test]
    fn a_cycle_brings_exactly_its_events() {
        for rate in [0.5, 30.0, 12_345.0] {
            let crowd = Crowd::new(20, 1_000);
            let mut schedule = Schedule::new(3, rate, 0, &crowd);
            let mut random = Random::new(1, 0);
            let mut count = 0_u32;
            while schedule.at_ms() < 2 * CYCLE_TICKS * TICK_MS {
                schedule.take(&crowd, &mut random);
                count += 1;
            }
            let expected = rate * 480.0;
            assert!((f64::from(count) - expected).abs() <= 2.0, "{count} instead of {expected}");
        }
    }
}
