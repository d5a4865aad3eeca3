//! `nephoscope-sim`: plays whole agents from a seed, with faults, and prints what happened.

use clap::Parser;
use nephoscope_sim::{Mistake, Run};
use std::io::{self, Write};
use std::process::ExitCode;

/// Play agents and faults from a seed, and print what happened and whether every promise was kept.
#[derive(Parser)]
#[command(name = "nephoscope-sim", version, max_term_width = 120)]
struct Arguments {
    /// The seed; the same seed gives the same run, byte for byte
    #[arg(long)]
    seed: u64,
    /// Print only how it ended
    #[arg(long)]
    quiet: bool,
    /// Let every agent make a mistake on purpose, to see that it is noticed
    #[arg(long, value_name = "MISTAKE", value_parser = mistake)]
    sabotage: Option<Mistake>,
}

/// Plays the seed; fails where a promise was broken.
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let run = match nephoscope_sim::run(arguments.seed, arguments.sabotage) {
        Ok(run) => run,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    // A reader that has had enough closes the pipe; how the run ended is in the exit code as well.
    let _all_said = print(&arguments, &run);
    if run.violations.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: seed {} broke {} promises", arguments.seed, run.violations.len());
    ExitCode::FAILURE
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

fn mistake(name: &str) -> Result<Mistake, String> {
    let known = Mistake::ALL.into_iter().find(|(known, _)| *known == name);
    known.map(|(_, mistake)| mistake).ok_or_else(|| {
        let names: Vec<&str> = Mistake::ALL.iter().map(|(name, _)| *name).collect();
        format!("expected {}", names.join(", "))
    })
}
