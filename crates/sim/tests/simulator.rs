//! Whole agents from seeds, with faults: every promise is kept in every run, a seed means one run, and an agent that
//! makes a mistake on purpose is found out.
//!
//! `NEPHOSCOPE_SIMULATOR_SEEDS` sets how many seeds are played (2,000 unless set), `NEPHOSCOPE_SIMULATOR_FROM` the first.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use nephoscope_sim::{Invariant, Mistake, run};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Seeds played unless told otherwise.
const SEEDS: u64 = 2_000;
/// The test prints its progress each time it has begun so many more seeds.
const PROGRESS_EVERY: u64 = 1_000;
/// Failing seeds that are shown.
const SHOWN_MAX: usize = 5;
/// A mistake must be found within so many seeds.
const SEEDS_TO_FIND: u64 = 2_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap_or_else(|e| panic!("{variable}: {e}")))
}

#[test]
fn every_promise_is_kept_in_every_run() {
    let from = number("NEPHOSCOPE_SIMULATOR_FROM", 0);
    let until = from + number("NEPHOSCOPE_SIMULATOR_SEEDS", SEEDS);
    let (next, failed, began) = (AtomicU64::new(from), Mutex::new(Vec::new()), Instant::now());
    let (records, repeats, faults) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until {
                        return;
                    }
                    let run = run(seed, None).unwrap();
                    records.fetch_add(run.tally.records as u64, Ordering::Relaxed);
                    repeats.fetch_add(run.tally.repeats as u64, Ordering::Relaxed);
                    faults.fetch_add(run.tally.faults as u64, Ordering::Relaxed);
                    // A long run shows its progress, and a seed that fails at once.
                    if (seed - from + 1).is_multiple_of(PROGRESS_EVERY) {
                        println!("{} seeds, {:?}", seed - from + 1, began.elapsed());
                    }
                    if !run.violations.is_empty() {
                        println!("seed {seed} breaks a promise");
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push((seed, run.violations));
                    }
                }
            });
        }
    });
    let (records, repeats, faults) = (records.into_inner(), repeats.into_inner(), faults.into_inner());
    let seeds = until - from;
    println!(
        "{seeds} seeds in {:?}: {records} records, {repeats} came out again after {faults} faults",
        began.elapsed()
    );
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    for (seed, violations) in failed.iter().take(SHOWN_MAX) {
        println!("seed {seed}; play it again: cargo run -p nephoscope-sim -- --seed {seed}");
        violations.iter().for_each(|violation| println!("  {violation}"));
    }
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    assert!(seeds.is_empty(), "{} seeds broke a promise: {seeds:?}", seeds.len());
    assert!(repeats > 0 && faults > seeds.len() as u64, "nothing went wrong in any run: this proves nothing");
}

/// Each broke a promise once; the sentence says what was wrong.
#[rstest::rstest]
#[case::an_agent_alone_took_later_messages_than_its_dead_connection_held(&[700_203, 705_122, 705_548])]
#[case::an_old_queue_worked_on_what_came_behind_its_last_fence(&[713_964])]
#[case::a_sink_went_on_behind_what_it_gave_back(&[702_832])]
#[case::a_consumer_ended_before_its_state_was_released(&[14_747])]
#[case::a_rescue_queue_was_taken_for_a_queue_with_an_owner_and_what_was_moved_there_for_uncommitted(&[10_638])]
#[case::one_frozen_while_its_id_was_taken_gave_up_when_it_woke(&[1_015_154])]
#[case::a_former_owner_that_works_on_was_taken_for_one_that_nothing_was_sent_to(&[201_186, 202_079])]
fn what_was_wrong_once_is_right(#[case] seeds: &[u64]) {
    for seed in seeds {
        assert_eq!(run(*seed, None).unwrap().violations, [], "seed {seed}");
    }
}

#[test]
fn a_seed_played_twice_gives_the_same_run_byte_for_byte() {
    for seed in 0..20 {
        let (first, second) = (run(seed, None).unwrap(), run(seed, None).unwrap());
        for (n, (one, other)) in first.timeline.iter().zip(&second.timeline).enumerate() {
            assert_eq!(one, other, "seed {seed}, line {n}");
        }
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Plays seeds with a mistake until it is found out by this invariant.
fn found(mistake: Mistake, by: Invariant) {
    let mut others = BTreeSet::new();
    for seed in 0..SEEDS_TO_FIND {
        let violations = run(seed, Some(mistake)).unwrap().violations;
        if let Some(violation) = violations.iter().find(|violation| violation.invariant == by) {
            return println!("found by seed {seed}: {violation}");
        }
        others.extend(violations.into_iter().map(|violation| violation.invariant));
    }
    panic!("{mistake:?} is not found by {by:?} in {SEEDS_TO_FIND} seeds, only by {others:?}");
}

#[test]
fn an_acknowledgement_before_the_publisher_has_it_loses_something() {
    found(Mistake::AckBeforePublish, Invariant::NothingLost);
}

#[test]
fn an_acknowledgement_before_the_publisher_has_it_is_missing_in_the_books() {
    found(Mistake::AckBeforePublish, Invariant::Books);
}

#[test]
fn a_queue_handed_over_by_basic_cancel_comes_out_of_order() {
    found(Mistake::CancelHandover, Invariant::Order);
}

#[test]
fn a_hash_of_each_members_own_spreads_a_resource_over_queues() {
    found(Mistake::RandomHash, Invariant::OneQueue);
}

#[test]
fn an_owner_without_a_barrier_does_not_know_what_a_former_one_still_does() {
    found(Mistake::NoBarrier, Invariant::State);
}

#[test]
fn a_record_that_is_not_read_back_may_be_void() {
    found(Mistake::NoReadBack, Invariant::Committed);
}

#[test]
fn an_acknowledgement_before_the_commit_loses_an_effect() {
    found(Mistake::AckBeforeCommit, Invariant::Committed);
}

#[test]
fn an_end_marker_that_is_put_while_main_queues_are_consumed_is_overtaken() {
    found(Mistake::NoQuiet, Invariant::Order);
}

#[test]
fn a_destination_that_is_offered_the_youngest_before_it_has_caught_up_gets_things_out_of_order() {
    found(Mistake::NoQuestion, Invariant::Order);
}
