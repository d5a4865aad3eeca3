//! Agents on a real RabbitMQ and etcd, under load and under faults, held against a ledger of what is owed.
//!
//! `scenarios` is the table of what happens, `faults` and `queues` how, `run` one row of it: `stage` gives servers and a group of its own, `fleet` is its
//! agents, `home` where each runs: a process (through a `proxy` where links are cut) or a container of the compose `project`
//! (on a network each link). `sender` sends, `collector` takes what agents publish, `ledger`
//! judges it, `memory` watches what agents take, `journal` reads from the agents' logs who took what over and when, `report` is the table at the end.
//!
//! `make chaos` runs all of it; `make test` a short form. Rates, seconds and a choice of scenarios are variables of the
//! environment, see `run::Wishes`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(unreachable_pub, reason = "a test file is a crate of its own")]

mod audit;
mod collector;
mod faults;
mod fleet;
mod gnocchi;
mod home;
mod journal;
mod ledger;
mod memory;
mod proxy;
mod queues;
mod report;
mod run;
mod scenarios;
mod sender;
mod stage;

#[path = "../rig/mod.rs"]
mod rig;

#[path = "../compose/project.rs"]
mod project;

use rig::Generation;
use rstest::rstest;
use stage::Kind;
use std::time::Duration;

#[rstest]
#[case::three_classic(Generation::Three, Kind::Classic)]
#[case::three_quorum(Generation::Three, Kind::Quorum)]
#[case::four_classic(Generation::Four, Kind::Classic)]
#[case::four_quorum(Generation::Four, Kind::Quorum)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_faults_and_everything_owed_comes_out_right(#[case] generation: Generation, #[case] kind: Kind) {
    run::all(run::Form::Short(generation, kind)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gnocchi_is_away_and_agents_are_killed_and_it_has_what_is_owed() {
    gnocchi::holds(Generation::Four, Kind::Quorum, 200, Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two hours of faults: make chaos"]
async fn every_fault_and_everything_owed_comes_out_right() {
    run::all(run::Form::Full).await;
    for (generation, kind) in run::wished("gnocchi") {
        gnocchi::holds(generation, kind, 300, Duration::from_secs(90)).await;
    }
}
