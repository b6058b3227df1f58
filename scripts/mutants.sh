#!/usr/bin/env bash
# Proves that the tests see faults: one build that holds them all (crates/telemetra-core/src/mutant.rs), each fault
# chosen in turn by TELEMETRA_MUTANT, and for each a test that must fail.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# fault                    a test that sees it
mutants="
panes-before-commit        sim::fuzz::clean_worlds_lose_nothing
replay-judges              sim::stamps::a_future_record_stays_refused_though_the_clock_has_passed_it
unseen-holds-nobody        sim::backlog::a_partition_not_yet_seen_holds_the_watermark
pane-dropped-at-its-end    golden::chat_dirty_matches_in_any_batches
audit-residual             folders::a_tampered_chat_count_fails_the_audit
plain-select               commits::a_slow_commit_without_a_reply_is_waited_for
no-compare-and-set         commits::a_position_that_somebody_moved_stops_the_batch
no-epoch                   commits::whoever_was_overtaken_writes_nothing
additive-upsert            golden::chat_small_matches_in_any_batches
acknowledged-before-commit commits::a_commit_that_never_arrives_is_written_again
rollback-ignored           commits::a_commit_that_the_server_rolls_back_without_an_error_is_written_again
dead-letters-outside       commits::a_commit_that_the_server_rolls_back_without_an_error_is_written_again
"
run() { # test, extra environment
    env "$2" RUST_BACKTRACE=0 "${CARGO:-cargo}" test --quiet --locked -p telemetra --features mutants --test it -- --exact "$1"
}

in_source=$(grep -c '^    ("' crates/telemetra-core/src/mutant.rs)
listed=$(grep -c . <<<"$mutants")
if [ "$in_source" -ne "$listed" ]; then
    printf 'mutants: %s faults in mutant.rs, %s listed here\n' "$in_source" "$listed" >&2
    exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
while read -r name test; do
    [ -n "$name" ] || continue
    if ! run "$test" TELEMETRA_NO_MUTANT=1 >"$log" 2>&1 || ! grep -q '1 passed' "$log"; then
        cat "$log" >&2
        printf 'mutants: %s must pass without a fault\n' "$test" >&2
        exit 1
    fi
    if run "$test" TELEMETRA_MUTANT="$name" >"$log" 2>&1; then
        printf 'mutants: %s is NOT seen by %s\n' "$name" "$test" >&2
        exit 1
    fi
    if ! grep -q '1 failed' "$log"; then
        cat "$log" >&2
        printf 'mutants: %s: the test did not run\n' "$name" >&2
        exit 1
    fi
    printf 'mutants: %-24s seen by %s\n' "$name" "$test"
done <<<"$mutants"
