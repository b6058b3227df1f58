//! How each kind of fault is brought about: at a random moment, or at the moment that it is about.

use std::time::Duration;

use rand::RngExt;
use telemetra_services::proxy::Fault;

use super::{kinds::Kind, round::Round, world::count};

/// How long COMMIT takes when it is slow.
const SLOW_SECONDS: f64 = 0.6;
/// Batches that may pass between two faults.
const BATCHES_BETWEEN_MAX: i64 = 4;

impl Round<'_> {
    /// Lets a fault happen; `false` if the job was done before.
    pub(super) fn strike(&mut self, kind: Kind, may_take_long: bool) -> Result<bool, String> {
        let goal = self.watch.batches() + self.rng.random_range(0..BATCHES_BETWEEN_MAX);
        let pause = self.below(60);
        let goes_on = self.wait("the next batch", |round| round.watch.batches() >= goal)?
            && self.pass(pause)?
            && self.wait("somebody holds the job", |round| round.holder().is_some())?;
        let Some(holder) = self.holder().filter(|_| goes_on) else { return Ok(false) };
        match kind {
            Kind::Kill => self.kill_anybody(holder),
            Kind::KillInSlowCommit => self.kill_in_slow_commit(),
            Kind::CommitThenKill => self.kill_after(holder, kind, Fault::CutAfterCommit),
            Kind::SlowCommitThenKill => {
                self.slow_commits(|round| round.kill_after(holder, kind, Fault::CutAfterCommit))
            }
            Kind::ReplyThenKill => self.kill_after(holder, kind, Fault::CutReply),
            Kind::Freeze => self.freeze(holder),
            Kind::ServerCrash => self.crash_server(),
            Kind::KilledBackends => {
                self.suffered(kind, true);
                let has_happened = self.world.server.kill_backends(Some("telemetra chat")) > 0;
                Ok(self.or_not_suffered(has_happened))
            }
            Kind::Reset => {
                self.suffered(kind, true);
                self.slots[holder].proxy.reset();
                Ok(true)
            }
            Kind::Stall => self.stall(holder, may_take_long),
            Kind::Latency => self.slow_network(holder, kind, Fault::Latency(Duration::from_millis(20))),
            Kind::Trickle => self.slow_network(holder, kind, Fault::Trickle(Duration::from_micros(20))),
            Kind::CutBeforeCommit => self.at_commit(holder, kind, Fault::CutBeforeCommit),
            Kind::CutAfterCommit => self.at_commit(holder, kind, Fault::CutAfterCommit),
            Kind::CutAfterSlowCommit => {
                self.slow_commits(|round| round.at_commit(holder, kind, Fault::CutAfterCommit))
            }
            Kind::CutReply => self.at_commit(holder, kind, Fault::CutReply),
            Kind::AbortCommit => self.at_commit(holder, kind, Fault::AbortCommit),
        }
    }

    fn kill_anybody(&mut self, holder: usize) -> Result<bool, String> {
        let among = self.slots.len();
        // The holder for the most part: killing others is no art.
        let victim = if self.rng.random_bool(0.7) { holder } else { self.rng.random_range(0..among) };
        if self.slots[victim].instance.is_none() {
            return Ok(false);
        }
        self.suffered(Kind::Kill, victim == holder);
        self.kill(victim);
        Ok(true)
    }

    fn kill_in_slow_commit(&mut self) -> Result<bool, String> {
        let mut client = self.database.client();
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COMMIT%'
                   AND wait_event = 'PgSleep'";
        self.slow_commits(|round| {
            let is_slow = round.wait("a slow COMMIT", |_| count(&mut client, sql) > 0)?;
            let Some(holder) = round.holder().filter(|_| is_slow) else { return Ok(false) };
            round.suffered(Kind::KillInSlowCommit, true);
            round.kill(holder);
            Ok(true)
        })
    }

    /// Lets each COMMIT that is sent during `work` take its time.
    fn slow_commits(&mut self, work: impl FnOnce(&mut Self) -> Result<bool, String>) -> Result<bool, String> {
        let set = |round: &Self, seconds: f64| {
            let sql = "UPDATE faults.slow SET seconds = $1";
            round.database.client().execute(sql, &[&seconds]).expect("the table is ours");
        };
        set(self, SLOW_SECONDS);
        let worked = work(self);
        set(self, 0.0);
        worked
    }

    /// Lets the next COMMIT suffer `fault`.
    fn at_commit(&mut self, slot: usize, kind: Kind, fault: Fault) -> Result<bool, String> {
        let happened = |round: &Self| round.slots[slot].proxy.happened(fault);
        let before = happened(self);
        self.slots[slot].proxy.next(&[fault]);
        let goes_on = self.wait("a COMMIT by this proxy", |round| happened(round) > before)?;
        if happened(self) == before {
            self.slots[slot].proxy.heal();
            return Ok(false);
        }
        self.suffered(kind, self.holder() == Some(slot));
        Ok(goes_on)
    }

    fn kill_after(&mut self, slot: usize, kind: Kind, fault: Fault) -> Result<bool, String> {
        let batches = self.watch.batches();
        let happened = |round: &Self| round.slots[slot].proxy.happened(fault);
        let before = happened(self);
        self.slots[slot].proxy.next(&[fault]);
        let is_sent = self.wait("a COMMIT by this proxy", |round| happened(round) > before)?;
        let is_due = is_sent
            && (fault != Fault::CutReply
                || self.wait("the COMMIT is done", |round| round.watch.batches() > batches)?);
        if !is_due || self.slots[slot].instance.is_none() {
            self.slots[slot].proxy.heal();
            return Ok(false);
        }
        self.suffered(kind, self.holder() == Some(slot));
        self.kill(slot);
        Ok(true)
    }

    /// The holder sleeps until another has taken over, then wakes up in a world that went on without it.
    fn freeze(&mut self, holder: usize) -> Result<bool, String> {
        if self.slots.len() == 1 {
            self.add_slot();
        }
        let Some(instance) = &mut self.slots[holder].instance else { return Ok(false) };
        instance.freeze();
        let pid = instance.pid();
        self.suffered(Kind::Freeze, true);
        let epoch = self.watch.last().map_or(0, |seen| seen.epoch);
        let is_taken_over = |round: &mut Self| round.watch.last().is_some_and(|seen| seen.epoch > epoch);
        self.wait("the frozen holder is taken over", is_taken_over)?;
        let pause = self.below(400);
        self.pass(pause)?;
        if let Some(instance) = &mut self.slots[holder].instance {
            instance.thaw();
        }
        self.wait("the one that was frozen leaves", |round| {
            round.slots[holder].instance.as_ref().is_none_or(|instance| instance.pid() != pid)
        })?;
        Ok(true)
    }

    fn crash_server(&mut self) -> Result<bool, String> {
        let pause = self.below(300);
        self.suffered(Kind::ServerCrash, true);
        self.world.server.stop_immediate();
        let passed = self.pass(pause);
        self.world.server.start_again();
        passed.map(|_| true)
    }

    fn stall(&mut self, holder: usize, may_take_long: bool) -> Result<bool, String> {
        // Longer than the lease now and then: whoever waits takes over, and the stalled one meets a new epoch.
        let is_long = may_take_long && self.rng.random_bool(0.3);
        let pause =
            Duration::from_millis(self.rng.random_range(if is_long { 16_000..24_000 } else { 200..1_500 }));
        self.suffered(Kind::Stall, true);
        self.slots[holder].proxy.stall();
        let passed = self.pass(pause);
        self.slots[holder].proxy.heal();
        passed.map(|_| true)
    }

    fn slow_network(&mut self, holder: usize, kind: Kind, fault: Fault) -> Result<bool, String> {
        let seed = self.rng.random();
        let pause = Duration::from_millis(self.rng.random_range(300..800));
        let before = self.slots[holder].proxy.happened(fault);
        self.suffered(kind, true);
        self.slots[holder].proxy.by_dice(seed, &[(fault, 0.3)]);
        let passed = self.pass(pause);
        self.slots[holder].proxy.heal();
        let has_happened = self.slots[holder].proxy.happened(fault) > before;
        passed.map(|_| self.or_not_suffered(has_happened))
    }
}
