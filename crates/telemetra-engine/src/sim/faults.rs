//! What happens to a commit, drawn from a seed or told in advance.

use std::collections::VecDeque;

use super::dice::Dice;
use crate::sink::SinkError;

/// Text of the error after which the instance is dead: the harness drops it and makes another.
pub const CRASH: &str = "simulated crash";

/// Whether an error, however wrapped, says that the instance died.
pub fn is_crash(error: &dyn std::error::Error) -> bool {
    error.to_string().contains(CRASH) || error.source().is_some_and(is_crash)
}

/// What happens to one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, and the store says so.
    Refused,
    /// Nothing is written because it took too long, and the store says so.
    TooLarge,
    /// It is written, the reply is lost.
    LostReply,
    /// It is not written, the reply is lost.
    Lost,
    /// The reply is lost; it is written only when someone next takes the job's lock.
    Late,
    /// The instance dies before anything is written.
    CrashBefore,
    /// The instance dies once it is written, before it knows.
    CrashAfter,
    /// The instance dies; it is written when the next one takes the job's lock.
    CrashLate,
}

/// How often each happens, of a thousand commits.
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultRates {
    /// See [`Fault::Refused`].
    pub refused: u64,
    /// See [`Fault::TooLarge`].
    pub too_large: u64,
    /// See [`Fault::LostReply`].
    pub lost_reply: u64,
    /// See [`Fault::Lost`].
    pub lost: u64,
    /// See [`Fault::Late`].
    pub late: u64,
    /// See [`Fault::CrashBefore`].
    pub crash_before: u64,
    /// See [`Fault::CrashAfter`].
    pub crash_after: u64,
    /// See [`Fault::CrashLate`].
    pub crash_late: u64,
    /// The question whether a commit in doubt was applied is itself not answered.
    pub unanswered: u64,
}

/// Draws what happens to each commit.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    dice: Dice,
    rates: FaultRates,
    script: VecDeque<Option<Fault>>,
    drawn: Vec<Fault>,
}

impl FaultPlan {
    /// Nothing ever happens.
    pub fn none() -> Self {
        Self::random(0, FaultRates::default())
    }

    /// Faults at these rates.
    pub fn random(seed: u64, rates: FaultRates) -> Self {
        Self { dice: Dice::new(seed), rates, script: VecDeque::new(), drawn: Vec::new() }
    }

    /// All kinds of faults; each seed switches some off and sets the rates of the others, so that rare pairs
    /// meet.
    pub fn swarm(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut rate = || dice.pick(&[0, 0, 5, 20, 80]);
        let rates = FaultRates {
            refused: rate(),
            lost_reply: rate(),
            lost: rate(),
            late: rate(),
            crash_before: rate(),
            crash_after: rate(),
            crash_late: rate(),
            unanswered: 4 * rate(),
            too_large: rate(),
        };
        Self { dice, ..Self::random(0, rates) }
    }

    /// The n-th commit from now on meets the n-th of `script`, those after it nothing.
    pub fn script(script: &[Option<Fault>]) -> Self {
        Self { script: script.iter().copied().collect(), ..Self::none() }
    }

    /// What happens to the next commit.
    pub(super) fn draw(&mut self) -> Option<Fault> {
        let fault = match self.script.pop_front() {
            Some(told) => told,
            None => self.roll(),
        };
        self.drawn.extend(fault);
        fault
    }

    fn roll(&mut self) -> Option<Fault> {
        let rates = &self.rates;
        let table = [
            (rates.refused, Fault::Refused),
            (rates.lost_reply, Fault::LostReply),
            (rates.lost, Fault::Lost),
            (rates.late, Fault::Late),
            (rates.crash_before, Fault::CrashBefore),
            (rates.crash_after, Fault::CrashAfter),
            (rates.crash_late, Fault::CrashLate),
            (rates.too_large, Fault::TooLarge),
        ];
        let mut roll = self.dice.below(1_000);
        for (rate, fault) in table {
            if roll < rate {
                return Some(fault);
            }
            roll -= rate;
        }
        None
    }

    /// Whether the next question for a commit in doubt goes without an answer.
    pub(super) fn is_unanswered(&mut self) -> bool {
        self.rates.unanswered > 0 && self.dice.below(1_000) < self.rates.unanswered
    }

    /// What has happened so far.
    pub fn drawn(&self) -> &[Fault] {
        &self.drawn
    }
}

/// The error of a dead instance.
pub(super) fn crash() -> SinkError {
    SinkError::Halt(CRASH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_comes_before_chance() {
        let mut plan = FaultPlan::script(&[None, Some(Fault::Late)]);
        assert_eq!([plan.draw(), plan.draw(), plan.draw()], [None, Some(Fault::Late), None]);
        assert_eq!(plan.drawn(), [Fault::Late]);
    }

    #[test]
    fn rates_are_kept_and_a_seed_repeats() {
        let rates = FaultRates { refused: 100, crash_late: 50, ..FaultRates::default() };
        let mut plan = FaultPlan::random(3, rates);
        for _ in 0..10_000 {
            plan.draw();
        }
        let count = |fault| plan.drawn().iter().filter(|&&drawn| drawn == fault).count();
        let (refused, late) = (count(Fault::Refused), count(Fault::CrashLate));
        assert!((800..1_200).contains(&refused) && (400..600).contains(&late), "{refused} {late}");
        assert_eq!(plan.drawn().len(), refused + late);

        let draw = |seed| {
            let mut plan = FaultPlan::swarm(seed);
            for _ in 0..500 {
                plan.draw();
            }
            plan.drawn().to_vec()
        };
        assert_eq!(draw(9), draw(9));
    }

    #[test]
    fn a_crash_is_known_through_what_wraps_it() {
        #[derive(Debug, thiserror::Error)]
        #[error("the commit failed")]
        struct Wrapped(#[source] SinkError);
        assert!(is_crash(&Wrapped(crash())));
        assert!(!is_crash(&Wrapped(SinkError::Halt("disk full".into()))));
    }
}
