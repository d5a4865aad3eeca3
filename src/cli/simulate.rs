//! `nephoscope simulate`: plays whole agents from a seed, with faults, and prints what happened.

use std::io::{self, Write};

use super::Failure;
use crate::agent::Sabotage;
use crate::simulate::{self, Run};

/// What is played.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The seed; the same one gives the same run, byte for byte
    #[arg(long)]
    seed: u64,
    /// Print only how it ended
    #[arg(long)]
    quiet: bool,
    /// Let every agent make a mistake on purpose, to see that it is noticed
    #[arg(long, value_name = "MISTAKE", value_parser = sabotage)]
    sabotage: Option<Sabotage>,
}

/// Plays it; fails where a promise was broken.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let run = simulate::run(arguments.seed, arguments.sabotage)
        .map_err(|e| Failure::Other(format!("cannot start the runtime: {e}")))?;
    // Whoever reads may have had enough; how it ended is in the exit code as well.
    let _all_said = print(arguments, &run);
    if run.violations.is_empty() {
        return Ok(());
    }
    Err(Failure::Other(format!("seed {} broke {} promises", arguments.seed, run.violations.len())))
}

fn print(arguments: &Arguments, run: &Run) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !arguments.quiet {
        run.timeline.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    let tally = &run.tally;
    writeln!(
        out,
        "seed {}: {} records, {} came out again, {} parked, {} faults",
        arguments.seed, tally.records, tally.repeats, tally.parked, tally.faults
    )?;
    if run.violations.is_empty() {
        writeln!(out, "every promise was kept")?;
    }
    run.violations.iter().try_for_each(|violation| writeln!(out, "broken: {violation}"))
}

fn sabotage(name: &str) -> Result<Sabotage, String> {
    let known = Sabotage::ALL.into_iter().find(|(known, _)| *known == name);
    known.map(|(_, sabotage)| sabotage).ok_or_else(|| {
        let names: Vec<&str> = Sabotage::ALL.iter().map(|(name, _)| *name).collect();
        format!("expected {}", names.join(", "))
    })
}
