//! `nephoscope completions`: prints the script by which a shell completes commands and options.
//!
//! Never here: a list of commands or options; clap knows them.

use clap_complete::{Shell, generate};

use super::{Failure, grammar, print_whole};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Shell that reads the completions
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    print_whole(&script(arguments.shell))
}

/// In memory first: clap_complete panics where it cannot write, and a reader may have gone.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut grammar(), "nephoscope", &mut script);
    script
}
