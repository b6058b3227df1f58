//! One round: a fresh database, one to four instances on one job, and the wait for its end.
//!
//! Whoever leaves by a fault, fenced, or after waiting in vain is started again until one instance says that all is
//! done; then the others must come to an end too. Every wait has a bound and fails with what all instances have said.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use telemetra_services::{
    PATIENCE,
    postgres::{Database, connect},
    proxy::Proxy,
};

use super::{
    instance::{Instance, Left},
    kinds::Kind,
    ledger::Watch,
    report::{Ran, Report, Suffered},
    world::World,
};

/// COMMIT of a batch takes as long as a row of ours says: the rows are written, the transaction has not ended.
const SLOW: &str = "CREATE SCHEMA faults; CREATE TABLE faults.slow AS SELECT 0::float8 AS seconds;
    CREATE FUNCTION faults.slow() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(seconds) FROM faults.slow WHERE seconds > 0; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON telemetra.batch DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION faults.slow()";
/// Longest pause before an instance that was killed is started again.
const RESTART_PAUSE_MAX_MS: u64 = 300;
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// A round while it lasts.
pub(super) struct Round<'a> {
    pub(super) world: &'a World,
    pub(super) database: Database<'a>,
    pub(super) rng: StdRng,
    pub(super) slots: Vec<Slot>,
    pub(super) watch: Watch,
    is_proxied: bool,
    is_done: bool,
    faults: Vec<Suffered>,
    ran: Vec<Ran>,
    log: String,
}

/// The place of one instance and of those that are started after it.
pub(super) struct Slot {
    pub(super) proxy: Proxy,
    pub(super) instance: Option<Instance>,
    start_at: Instant,
    is_restart: bool,
}

impl<'a> Round<'a> {
    pub(super) fn start(world: &'a World, instances: usize, is_proxied: bool, seed: u64) -> Self {
        let database = world.server.create_database();
        world.telemetra.run(&["migrate", "--store", &database.address()]).expect_code(0);
        database.client().batch_execute(SLOW).expect("a trigger");
        let watch = Watch::start(database.address());
        let mut round = Self {
            world,
            database,
            rng: StdRng::seed_from_u64(seed),
            slots: Vec::new(),
            watch,
            is_proxied,
            is_done: false,
            faults: Vec::new(),
            ran: Vec::new(),
            log: String::new(),
        };
        (0..instances).for_each(|_| round.add_slot());
        round
    }

    /// One more instance, as soon as instances are looked after.
    pub(super) fn add_slot(&mut self) {
        let proxy = Proxy::start(self.world.server.port());
        self.slots.push(Slot { proxy, instance: None, start_at: Instant::now(), is_restart: false });
    }

    /// Waits until `is_met`; `false` if the job was done before.
    pub(super) fn wait(&mut self, what: &str, is_met: impl FnMut(&mut Self) -> bool) -> Result<bool, String> {
        self.wait_at_most(PATIENCE, what, is_met)
    }

    fn wait_at_most(
        &mut self,
        limit: Duration,
        what: &str,
        mut is_met: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, String> {
        let until = Instant::now() + limit;
        loop {
            self.tend()?;
            if is_met(self) {
                return Ok(true);
            }
            if self.is_done {
                return Ok(false);
            }
            if Instant::now() >= until {
                return Err(self.said(&format!("in vain for {limit:?}: {what}")));
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Lets time pass; `false` if the job was done before.
    pub(super) fn pass(&mut self, time: Duration) -> Result<bool, String> {
        let until = Instant::now() + time;
        self.wait_at_most(time + PATIENCE, "time", |_| Instant::now() >= until)
    }

    /// A random time below `most_ms`.
    pub(super) fn below(&mut self, most_ms: u64) -> Duration {
        Duration::from_micros(self.rng.random_range(0..most_ms * 1_000))
    }

    /// The place of the instance that holds the job.
    pub(super) fn holder(&self) -> Option<usize> {
        let pid = self.watch.last()?.pid;
        self.slots.iter().position(|slot| slot.instance.as_ref().is_some_and(|it| it.pid() == pid))
    }

    /// Writes down that a fault has happened, now.
    pub(super) fn suffered(&mut self, kind: Kind, hits_holder: bool) {
        let (epoch, batch) = self.watch.last().map_or((0, 0), |seen| (seen.epoch, seen.last_batch));
        let others_wait = self.slots.len() > 1;
        self.faults.push(Suffered { kind, at: Instant::now(), epoch, batch, hits_holder, others_wait });
    }

    /// Strikes out the fault that was written down last, at the moment at which it was to happen, unless it did.
    pub(super) fn or_not_suffered(&mut self, has_happened: bool) -> bool {
        if !has_happened {
            self.faults.pop();
        }
        has_happened
    }

    /// Kills an instance; another is started in its place, sooner or later.
    pub(super) fn kill(&mut self, slot: usize) {
        let pause = if self.rng.random_bool(0.5) { 0 } else { RESTART_PAUSE_MAX_MS };
        let pause = self.below(pause.max(1));
        if let Some(mut instance) = self.slots[slot].instance.take() {
            instance.kill();
            let left = instance.left().expect("it was waited for");
            self.retire(slot, &instance, left);
        }
        let is_alone = self.slots.len() == 1;
        (self.slots[slot].start_at, self.slots[slot].is_restart) = (Instant::now() + pause, is_alone);
    }

    /// Starts who is to be started, and looks after those who have left.
    fn tend(&mut self) -> Result<(), String> {
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            if slot.instance.is_none() && !self.is_done && Instant::now() >= slot.start_at {
                self.spawn(at);
                continue;
            }
            let Some(left) = slot.instance.as_mut().and_then(Instance::left) else { continue };
            let instance = slot.instance.take().expect("it was asked");
            self.retire(at, &instance, left);
            match left {
                Left::Done => self.is_done = true,
                // Later protections of a batch would hide that an earlier one failed: nobody is overtaken by itself.
                Left::Fenced if self.still_holds(instance.pid()) => {
                    return Err(self.said("an instance left as fenced, but nobody has taken over from it"));
                }
                Left::Fenced | Left::Busy => {}
                Left::Killed | Left::Wrong(_) => {
                    return Err(self.said(&format!("an instance left in a wrong way, {left:?}")));
                }
            }
        }
        Ok(())
    }

    /// Whether the job's row names this process; nobody can tell while the server is down.
    fn still_holds(&self, pid: u32) -> bool {
        let sql = format!("SELECT count(*) FROM telemetra.job WHERE holder LIKE 'process {pid} on %'");
        let asked = connect(&self.database.address()).and_then(|mut client| client.query_one(&sql, &[]));
        asked.is_ok_and(|row| row.get::<_, i64>(0) > 0)
    }

    fn spawn(&mut self, at: usize) {
        // Some are connected directly where no fault needs a proxy.
        let is_direct = !self.is_proxied && self.rng.random_bool(0.7);
        let slot = &mut self.slots[at];
        // The proxy does not see into TLS.
        let store = match is_direct {
            true => self.database.address(),
            false => format!("{}?sslmode=disable", self.database.address_at(slot.proxy.port())),
        };
        slot.instance = Some(Instance::spawn(&self.world.telemetra, &self.world.once(&store)));
    }

    fn retire(&mut self, at: usize, instance: &Instance, left: Left) {
        let ready_at = instance.said_at("the job is taken over");
        let is_restart = std::mem::take(&mut self.slots[at].is_restart);
        let (pid, spawned_at) = (instance.pid(), instance.spawned_at);
        self.ran.push(Ran { pid, spawned_at, ready_at, is_restart, left });
        self.log += &format!("--- process {pid} in place {at}: {left:?}\n{}", instance.log());
    }

    /// A failure with all that was said.
    fn said(&self, what: &str) -> String {
        let mut text = format!("{what}\n{}", self.log);
        for (at, slot) in self.slots.iter().enumerate() {
            let Some(instance) = &slot.instance else { continue };
            text += &format!("--- process {} in place {at}: still there\n{}", instance.pid(), instance.log());
        }
        let faults = self.faults.iter().map(|fault| format!("{:?} at batch {}, ", fault.kind, fault.batch));
        format!("{text}--- faults: {}", faults.collect::<String>())
    }

    /// Lets the job come to its end and checks what it has left.
    pub(super) fn finish(mut self, report: &mut Report) -> Result<(), String> {
        let ended = self.end();
        self.tell(report);
        ended?;
        let wrong = self.world.wrong_rows(&self.database);
        report.rows_wrong += wrong.len();
        if !wrong.is_empty() {
            let some = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
            return Err(self.said(&format!("{} wrong rows:\n{some}", wrong.len())));
        }
        self.world.check_ledger(&self.database).map_err(|error| self.said(&error))
    }

    fn end(&mut self) -> Result<(), String> {
        self.slots.iter().for_each(|slot| slot.proxy.heal());
        self.wait_at_most(PATIENCE * 2, "the job is done", |_| false)?;
        // All others see that nothing is left to do.
        let until = Instant::now() + PATIENCE;
        while self.slots.iter().any(|slot| slot.instance.is_some()) {
            self.tend()?;
            if Instant::now() >= until {
                return Err(self.said(&format!("in vain for {PATIENCE:?}: all leave once the job is done")));
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        Ok(())
    }

    /// Adds what was seen until now to the report.
    pub(super) fn tell(&self, report: &mut Report) {
        report.rounds += 1;
        report.runs += self.ran.len() + self.slots.iter().filter(|slot| slot.instance.is_some()).count();
        report.measure(&self.watch.all(), &self.faults, &self.ran);
    }
}
