//! `nephoscope check`: reads the whole configuration, and prints every error and warning.

use super::examine::{Examined, not_looked_at};
use super::{ConfigArguments, Failure, print_whole, refuse_errors};
use crate::config::{self, Settings};
use crate::model::shown::without_secrets;

/// The arguments of `nephoscope check`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
}

/// The files that the configuration comes from.
fn files_read(settings: &Settings) -> String {
    let definitions = config::definitions::read(settings).0.watched;
    let files = settings.sources.files.iter().chain(&definitions).filter(|path| path.is_file());
    let files: String = files.map(|file| format!("  {}\n", file.display())).collect();
    let defaults =
        if settings.sources.files.is_empty() { "  no ceilometer.conf; every option has its default\n" } else { "" };
    format!("read:\n{defaults}{files}")
}

/// Prints all complaints; fails if one of them is an error.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, warnings) = Examined::of(&arguments.config).accepted().map_err(Failure::Config)?;
    let counted = match warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        more => format!(", {more} warnings"),
    };
    refuse_errors(warnings)?;
    let left_out: Vec<String> = not_looked_at(&settings).iter().map(|what| format!("  whether {what}\n")).collect();
    let text = format!(
        "the configuration can be run{counted}\nnot checked, because only a running agent can tell:\n{}",
        left_out.concat()
    ) + &files_read(&settings);
    print_whole(without_secrets(&text).as_bytes())
}
