//! Allocations of each loop for each notification: `cargo bench --bench allocations`.
//!
//! The allocator of this program counts, which costs time: so nothing is timed here, and this is no part of
//! `benches/throughput.rs`. The program is also the agent, and the loops that it is compared with: it runs itself again with
//! their arguments, and each writes down at its end what it counted. Of two drains the difference is taken, so that the start does
//! not count. A reallocation counts as an allocation.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench fails by panicking")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures for people")]

#[path = "throughput/agent.rs"]
mod agent;
#[path = "throughput/broker.rs"]
mod broker;
#[path = "conversion/definitions.rs"]
#[expect(dead_code, reason = "the timed conversion needs more of it")]
mod definitions;
#[path = "throughput/drain.rs"]
#[expect(dead_code, reason = "nothing is timed here")]
mod drain;
#[path = "throughput/measures.rs"]
#[expect(dead_code, reason = "nothing is timed here")]
mod measures;
#[path = "throughput/mix.rs"]
#[expect(dead_code, reason = "the growth of cost needs more of it")]
mod mix;
mod process;
#[path = "../tests/rig/mod.rs"]
mod rig;
#[path = "throughput/watchers.rs"]
mod watchers;
#[path = "throughput/yardsticks.rs"]
mod yardsticks;

use agent::Setup;
use broker::Broker;
use nephoscope::convert::ConvertOptions;
use nephoscope::model::envelope;
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};
use std::alloc::System;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Notifications of the two drains.
const FEW: usize = 2_000;
const MANY: usize = 6_000;
/// Where a process writes what it counted.
const COUNTS: &str = "NEPHOSCOPE_BENCH_COUNTS";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("run") => {
            let code = nephoscope::cli::main();
            write_counts();
            code
        }
        Some(yardsticks::MODE) => {
            yardsticks::run(&arguments[1..]);
            write_counts();
            ExitCode::SUCCESS
        }
        _ => {
            print();
            ExitCode::SUCCESS
        }
    }
}

fn print() {
    let bodies = mix::bundled();
    println!("{:<12} {:>26} {:>12}", "loop", "allocations a notification", "bytes");
    conversion(&bodies);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = Broker::connect().await;
        for name in ["bare", "relay50", "alone", "group", "rated"] {
            let few = counted(name, &broker, &bodies, FEW).await;
            let many = counted(name, &broker, &bodies, MANY).await;
            print_line(name, [many[0] - few[0], many[1] - few[1]], MANY - FEW);
        }
    });
}

/// Opening, converting and writing, as the timed bench does it.
fn conversion(bodies: &[Vec<u8>]) {
    let converter = definitions::shipped(ConvertOptions::default());
    let (context, mut out) = (converter.context_members(), Vec::new());
    let mut round = || {
        for body in bodies {
            out.clear();
            definitions::publishable(&converter, &envelope::open_for(body, &context).unwrap(), &mut out);
        }
    };
    // Event types are known and buffers are large enough.
    round();
    let before = counts(ALLOCATOR.stats());
    round();
    let after = counts(ALLOCATOR.stats());
    print_line("conversion", [after[0] - before[0], after[1] - before[1]], bodies.len());
}

/// What the process of a loop counted over one drain.
async fn counted(name: &str, broker: &Broker, bodies: &[Vec<u8>], count: usize) -> [f64; 2] {
    let file = agent::folder().join("counts");
    let _absent = fs::remove_file(&file);
    if let "bare" | "relay50" = name {
        let queues = Setup::alone(name).queues();
        broker.fill(&queues, mix::repeated(bodies, count)).await;
        yardsticks::measure(counting(&file), name, broker, &queues[0], count);
    } else {
        let setup = match name {
            "alone" => Setup::alone(name),
            _ => Setup { rates: name == "rated", ..Setup::in_new_group(name) },
        };
        let program = |config: &Path| {
            let mut command = counting(&file);
            command.args(["run", "--config-file"]).arg(config);
            command
        };
        drain::drain_with(broker, &setup, bodies, count, program).await;
    }
    let text = fs::read_to_string(&file).unwrap();
    let numbers: Vec<f64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
    [numbers[0], numbers[1]]
}

/// This program, which writes what it counted to a file.
fn counting(file: &Path) -> Command {
    let mut command = agent::this_program();
    command.env(COUNTS, file);
    command
}

fn write_counts() {
    let [allocations, bytes] = counts(ALLOCATOR.stats());
    if let Some(file) = std::env::var_os(COUNTS) {
        fs::write(file, format!("{allocations} {bytes}")).unwrap();
    }
}

/// Allocations and their bytes.
fn counts(stats: Stats) -> [f64; 2] {
    [(stats.allocations + stats.reallocations) as f64, stats.bytes_allocated as f64 + stats.bytes_reallocated as f64]
}

fn print_line(name: &str, [allocations, bytes]: [f64; 2], count: usize) {
    println!("{name:<12} {:>26.1} {:>12.0}", allocations / count as f64, bytes / count as f64);
}
