//! `nephoscope check`: everything an operator wrote is read, and everything there is to say about it is said.

use super::{ConfigArguments, Failure, refuse_errors};
use crate::agent::assembly;

/// What is to be checked.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
}

/// Prints all complaints; fails if one of them would keep the agent from starting.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, mut complaints) = arguments.config.load();
    if let Some(settings) = &settings {
        complaints.extend(assembly::check(settings));
    }
    complaints.sort_by(|a, b| (&a.place, &a.text).cmp(&(&b.place, &b.text)));
    complaints.dedup();
    let warnings = complaints.len();
    refuse_errors(complaints)?;
    println!(
        "the configuration can be run{}",
        match warnings {
            0 => String::new(),
            1 => ", 1 warning".to_owned(),
            more => format!(", {more} warnings"),
        }
    );
    Ok(())
}
