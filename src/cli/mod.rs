//! The commands: arguments, printing, exit codes. The only room that names `clap`.
//!
//! Never here: what the agent does. A command builds, starts, waits and prints.

mod check;
mod cluster;
mod completions;
mod convert;
mod demo;
mod examine;
mod gnocchi_setup;
#[cfg(test)]
mod grammar_tests;
mod man;
mod notify;
mod parked;
mod partitions;
mod run;
mod watch;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Named, Settings};
use crate::model::shown::without_secrets;
use crate::model::{Complaint, Severity};

/// Everything went as asked.
pub const EXIT_OK: u8 = 0;
/// It was tried and failed; the message says what to do.
pub const EXIT_FAILED: u8 = 1;
/// The configuration is wrong (`EX_CONFIG`): every complaint was printed.
pub const EXIT_CONFIG: u8 = 78;

const ABOUT: &str = "A clustered OpenStack notification agent: notifications in, samples and events out, nothing lost.";

const AFTER_HELP: &str = "\
Start here:
  nephoscope demo                                         three agents in one process, no server needed
  nephoscope check --config-file /etc/ceilometer/ceilometer.conf
  nephoscope run --config-file /etc/ceilometer/ceilometer.conf

It reads Ceilometer's own files: ceilometer.conf, pipeline.yaml, event_pipeline.yaml, event_definitions.yaml, meters.d.

Exit codes: 0 done; 1 failed, the message says why; 2 wrong arguments; 78 wrong configuration, every complaint is printed.";

#[derive(Parser)]
#[command(name = "nephoscope", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent until SIGTERM; SIGHUP reads the configuration again
    Run(run::Arguments),
    /// Show the main job without any server: three agents, one is killed, nothing is lost
    Demo(demo::Arguments),
    /// Read the whole configuration and print every complaint; touches no network
    Check(check::Arguments),
    /// Take notifications from files and print what the sinks would publish
    Convert(convert::Arguments),
    /// Send a notification as an OpenStack service does
    Notify(notify::Arguments),
    /// Create the resource types and archive policies that gnocchi:// needs, as ceilometer-upgrade does; safe to repeat
    GnocchiSetup(gnocchi_setup::Arguments),
    /// Look at the group of agents that share the work, and say where its queues should be
    Cluster(cluster::Arguments),
    /// Change the number of pipeline queues while the group runs
    Partitions(partitions::Arguments),
    /// Look at what could not be used, put it back, export or drop it
    Parked(parked::Arguments),
    /// Print what a shell needs to complete commands and options
    Completions(completions::Arguments),
    /// Print the manual page; read it with `nephoscope man | man -l -`
    Man(man::Arguments),
}

/// Where the configuration is, as it is written.
#[derive(Args)]
struct WrittenArguments {
    /// A configuration file; may be given several times, later ones win. Without any: the usual places
    /// (~/.ceilometer, ~, /etc/ceilometer, /etc), and the defaults where there is none
    #[arg(long = "config-file", value_name = "FILE", global = true)]
    config_files: Vec<PathBuf>,
    /// A folder whose *.conf files are read in the order of their names, after what stands before it; may be given
    /// several times. Without any: ceilometer.conf.d and ceilometer-agent-notification.conf.d in the usual places,
    /// before the files that are named
    #[arg(long = "config-dir", value_name = "DIR", global = true)]
    config_dirs: Vec<PathBuf>,
}

/// Where the configuration is: files and folders in the order of the command line, as oslo.config reads them.
#[derive(Debug, Clone)]
struct ConfigArguments(Vec<Named>);

impl Args for ConfigArguments {
    fn augment_args(command: clap::Command) -> clap::Command {
        WrittenArguments::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        WrittenArguments::augment_args_for_update(command)
    }
}

impl FromArgMatches for ConfigArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let WrittenArguments { config_files, config_dirs } = WrittenArguments::from_arg_matches(matches)?;
        let places = |id| matches.indices_of(id).into_iter().flatten();
        let files = places("config_files").zip(config_files.into_iter().map(Named::File));
        let folders = places("config_dirs").zip(config_dirs.into_iter().map(Named::Folder));
        let mut all: Vec<(usize, Named)> = files.chain(folders).collect();
        all.sort_by_key(|(place, _)| *place);
        Ok(ConfigArguments(all.into_iter().map(|(_, named)| named).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl ConfigArguments {
    /// The settings, and whatever there is to complain about.
    fn load(&self) -> (Option<Settings>, Vec<Complaint>) {
        config::load_named(&self.0)
    }
}

/// The whole program: `main` is this paragraph.
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Notify(arguments) => notify::run(&arguments),
        Command::GnocchiSetup(arguments) => gnocchi_setup::run(&arguments),
        Command::Cluster(arguments) => cluster::run(&arguments),
        Command::Partitions(arguments) => partitions::run(&arguments),
        Command::Parked(arguments) => parked::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::from(EXIT_OK),
        Err(Failure::Config(complaints)) => {
            print_complaints(&complaints);
            ExitCode::from(EXIT_CONFIG)
        }
        Err(Failure::Other(message)) => {
            eprintln!("nephoscope: {}", without_secrets(&message));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Why a command did not do what it was asked.
enum Failure {
    /// The configuration is wrong.
    Config(Vec<Complaint>),
    /// Something else; a whole sentence that says what to do.
    Other(String),
}

/// Every command and option, as completions and the manual page show them: without `help`, which each command has as
/// `--help`.
fn grammar() -> clap::Command {
    Arguments::command().disable_help_subcommand(true)
}

/// Prints all of it; a reader that has seen enough (`| head`) is no failure.
fn print_whole(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Other(format!("cannot write to standard output: {error}; look at where it leads")))
        }
        _ => Ok(()),
    }
}

/// Ends the command if anything keeps the agent from starting; prints the warnings otherwise.
fn refuse_errors(complaints: Vec<Complaint>) -> Result<(), Failure> {
    if complaints.iter().any(|c| c.severity == Severity::Error) {
        return Err(Failure::Config(complaints));
    }
    print_complaints(&complaints);
    Ok(())
}

fn print_complaints(complaints: &[Complaint]) {
    for complaint in complaints {
        let severity = match complaint.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        eprintln!("{severity}: {complaint}");
    }
}

/// A runtime for a command that talks to the outside.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Other(format!("cannot start the runtime: {e}")))
}
