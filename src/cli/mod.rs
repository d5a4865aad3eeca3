//! The commands: their arguments, what they print, their exit codes.
//!
//! A command builds, starts, waits and prints; this is the only room that names `clap`.
//!
//! Never here: the work of the agent.

mod audit;
mod check;
mod cluster;
mod completions;
mod convert;
mod copies;
mod demo;
mod doctor;
mod examine;
mod gnocchi_setup;
#[cfg(test)]
mod grammar_tests;
mod man;
mod notify;
mod parked;
mod partitions;
mod run;
mod tap;
mod top;
mod watch;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Named, Settings};
use crate::doctor::Severity as Found;
use crate::model::shown::without_secrets;
use crate::model::{Complaint, Severity};

/// The command did what it was asked.
pub const EXIT_OK: u8 = 0;
/// The command failed; its message says why and what to do.
pub const EXIT_FAILED: u8 = 1;
/// `nephoscope doctor` found warnings, and no error.
pub const EXIT_WARNINGS: u8 = 3;
/// `nephoscope doctor` found errors.
pub const EXIT_ERRORS: u8 = 4;
/// The configuration has errors (`EX_CONFIG`); the command printed all of them.
pub const EXIT_CONFIG: u8 = 78;

const ABOUT: &str = "A clustered OpenStack notification agent: notifications in, samples and events out, nothing lost";

const AFTER_HELP: &str = "\
Start here:
  nephoscope demo                                         three agents in one process, no server needed
  nephoscope check --config-file /etc/ceilometer/ceilometer.conf
  nephoscope run --config-file /etc/ceilometer/ceilometer.conf

It reads Ceilometer's own files: ceilometer.conf, pipeline.yaml, event_pipeline.yaml, event_definitions.yaml, meters.d.

Exit codes: 0 done; 1 failed, the message says why; 2 wrong arguments; 3 and 4 what doctor found; 78 errors in the configuration, all of them printed.";

#[derive(Parser)]
#[command(name = "nephoscope", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent
    ///
    /// SIGHUP reloads the configuration. SIGTERM or SIGINT drains the agent and stops it; a second one stops it at once.
    Run(run::Arguments),
    /// Show three agents without a server; one is killed, nothing is lost
    Demo(demo::Arguments),
    /// Check the whole configuration, without using the network
    ///
    /// Prints every error and warning with its file and line, the files that were read, and what only a running agent can check.
    Check(check::Arguments),
    /// Look at RabbitMQ, etcd and destinations as they are now, and change nothing
    ///
    /// Prints what it found, worst first, each with what it means and the command that mends it.
    /// Exit codes: 0 nothing but notes; 3 warnings; 4 errors.
    Doctor(doctor::Arguments),
    /// Print what the sinks would publish of notifications in files
    Convert(convert::Arguments),
    /// Send a notification, as an OpenStack service does
    Notify(notify::Arguments),
    /// Create the resource types and archive policies that gnocchi:// needs
    ///
    /// It does the work of ceilometer-upgrade. It can be repeated: it leaves alone what Gnocchi has already.
    GnocchiSetup(gnocchi_setup::Arguments),
    /// Show the group of agents, and control where its queues run
    Cluster(cluster::Arguments),
    /// Show what this agent would publish, beside the one that runs
    ///
    /// It gets a copy of every notification over queues of its own, takes nothing away from anybody, and publishes nothing.
    /// With --compare, it says whether that is what Ceilometer published. Exit code 1 if it differs or is not known.
    Shadow(copies::shadow::Arguments),
    /// Write a copy of every notification to a file
    ///
    /// It takes nothing away from anybody. Passwords and tokens are always removed; --hash-personal hashes names and addresses too.
    /// Attach such a file to a report of a fault.
    Capture(copies::capture::Arguments),
    /// Send the notifications of a captured file to the broker
    Replay(copies::replay::Arguments),
    /// Change the number of pipeline queues while the group runs
    Partitions(partitions::Arguments),
    /// Show the whole group on the terminal, refreshed each second
    ///
    /// Keys: 1 to 5 choose a table, / filters it, s sorts it, Enter looks at a row, p pauses and resumes rebalancing, m moves a
    /// queue to a member, u unpins it, q ends.
    Top(top::Arguments),
    /// Print notifications, samples or events as they pass, one JSON object a line
    ///
    /// It asks the agent at [nephoscope] listen. Nothing is taken away and nothing waits for it: it leaves out what is too much, and
    /// says how much that was.
    Tap(tap::Arguments),
    /// List, show, put back, export or drop parked messages
    Parked(parked::Arguments),
    /// Show what became of all that was taken, and whether it adds up
    ///
    /// It reads the books that the agents keep on the broker. No agent has to run. Nothing is changed.
    Audit(audit::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
    /// Print the manual page
    ///
    /// Read it with `nephoscope man | man -l -`.
    Man(man::Arguments),
}

/// The options that name the configuration, as clap reads them.
#[derive(Args)]
struct WrittenArguments {
    /// Configuration file; repeat it for several files, later ones win
    ///
    /// Without it, nephoscope looks into ~/.ceilometer, ~, /etc/ceilometer and /etc, and uses the defaults if it finds no file.
    #[arg(long = "config-file", value_name = "FILE", global = true)]
    config_files: Vec<PathBuf>,
    /// Folder of *.conf files, read in the order of their names
    ///
    /// It can be repeated; files and folders are read in the order of the command line. Without it, nephoscope reads
    /// ceilometer.conf.d and ceilometer-agent-notification.conf.d in the usual places before the files of --config-file.
    #[arg(long = "config-dir", value_name = "DIR", global = true)]
    config_dirs: Vec<PathBuf>,
}

/// The files and folders of the configuration, in the order of the command line, as oslo.config reads them.
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
    /// The settings, and all complaints about the configuration.
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
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Notify(arguments) => notify::run(&arguments),
        Command::GnocchiSetup(arguments) => gnocchi_setup::run(&arguments),
        Command::Cluster(arguments) => cluster::run(&arguments),
        Command::Partitions(arguments) => partitions::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Tap(arguments) => tap::run(&arguments),
        Command::Parked(arguments) => parked::run(&arguments),
        Command::Shadow(arguments) => copies::shadow::run(&arguments),
        Command::Capture(arguments) => copies::capture::run(&arguments),
        Command::Replay(arguments) => copies::replay::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::from(EXIT_OK),
        Err(Failure::Config(complaints)) => {
            print_complaints(&complaints);
            ExitCode::from(EXIT_CONFIG)
        }
        Err(Failure::Told) => ExitCode::from(EXIT_FAILED),
        Err(Failure::Found(Found::Error)) => ExitCode::from(EXIT_ERRORS),
        Err(Failure::Found(_)) => ExitCode::from(EXIT_WARNINGS),
        Err(Failure::Other(message)) => {
            eprintln!("nephoscope: {}", without_secrets(&message));
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Why a command failed.
enum Failure {
    /// The configuration has errors.
    Config(Vec<Complaint>),
    /// What the command found is no success, and it has said so.
    Told,
    /// The command did what it was asked, and found this: it has printed it.
    Found(Found),
    /// Another cause: a whole sentence that says what to do.
    Other(String),
}

/// Every command and option, as completions and the manual page show them: without `help`, which each command has as
/// `--help`.
fn grammar() -> clap::Command {
    Arguments::command().disable_help_subcommand(true)
}

/// Writes all of it to standard output; whether anybody still reads.
fn pass_on(text: &[u8]) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true),
    }
}

/// Writes all of it to standard output; a reader that has seen enough (`| head`) is no failure.
fn write_whole(text: &[u8]) -> io::Result<()> {
    pass_on(text).map(drop)
}

/// What a command says if it cannot write its output.
fn unwritten(error: io::Error) -> Failure {
    Failure::Other(format!("cannot write to standard output: {error}; check where it leads"))
}

/// Prints all of it, or fails.
fn print_whole(text: &[u8]) -> Result<(), Failure> {
    write_whole(text).map_err(unwritten)
}

/// Prints a line, or fails.
fn print_line(line: &str) -> Result<(), Failure> {
    print_whole(format!("{line}\n").as_bytes())
}

/// Ends the command if the configuration has errors; prints the warnings otherwise.
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

/// A runtime for a command that uses the network.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    built(&mut tokio::runtime::Builder::new_multi_thread())
}

fn built(builder: &mut tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Failure> {
    builder.enable_all().build().map_err(|e| Failure::Other(format!("cannot start the runtime: {e}")))
}
