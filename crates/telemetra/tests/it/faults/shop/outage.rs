//! PostgreSQL goes away in mid-load and comes back: the load goes on by itself.
//!
//! However long it is away, the way is the same: the step fails, is tried again after pauses that double up to 30
//! seconds, for ever. TELEMETRA_FAULTS_OUTAGE_SECONDS makes it as long as you like.

use std::{
    thread,
    time::{Duration, Instant},
};

use telemetra_services::{
    eventually,
    postgres::{Postgres, Setup},
};

use super::{Input, Shop, variable};
use crate::faults::instance::{Instance, Left};

const RECORDS: u64 = 20_000;
const BATCH: u64 = 250;

/// Lets `stop` happen to the server in mid-load.
#[expect(clippy::print_stdout, reason = "the report is for whoever runs it with --nocapture")]
fn check(stop: impl Fn(&Postgres)) {
    let input = Input::new(RECORDS);
    let undisturbed = Shop::new(&input, None);
    undisturbed.run_undisturbed();
    let server = Postgres::start(Setup::default());
    let shop = Shop::new(&input, Some(server.create_database()));
    let mut instance = Instance::spawn(&shop.telemetra, &shop.once(BATCH));
    eventually("a third is loaded", || (shop.next_offset() >= RECORDS / 3).then_some(()));
    stop(&server);
    instance.expect("a step failed: ");
    let back_at =
        Instant::now() + Duration::from_secs(variable("TELEMETRA_FAULTS_OUTAGE_SECONDS").unwrap_or(0));
    while Instant::now() < back_at {
        thread::park_timeout(back_at - Instant::now());
    }
    server.start_again();
    instance.expect("back after ");
    instance.expect_left(Left::Done);
    println!("{}", instance.log());
    assert_eq!(shop.check(), undisturbed.check());
}

#[test]
fn a_load_goes_on_by_itself_after_its_server_was_stopped_and_started() {
    check(Postgres::stop_fast);
}

#[test]
fn a_load_goes_on_by_itself_after_its_server_crashed_and_recovered() {
    check(Postgres::stop_immediate);
}
