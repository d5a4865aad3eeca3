//! `nephoscope doctor`: looks at the live systems of a configuration, changes nothing, and prints what it found, worst first.
//!
//! Never here: the look itself.

mod shown;

use super::cluster::{Shown, print};
use super::{ConfigArguments, Failure, refuse_errors, runtime, unwritten};
use crate::doctor::{self, Address, Options};
use shown::Found;

/// The arguments of `nephoscope doctor`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// RabbitMQ's management API; repeat it for further brokers, in their order
    ///
    /// Form: http[s]://[user:password@]host[:port]. Without a login in it, that of transport_url is used. Without this option, port
    /// 15672 of the broker's host is tried, or 15671 with TLS where the broker is reached with TLS.
    #[arg(long, value_name = "URL", value_parser = address)]
    management: Vec<Address>,
    #[command(flatten)]
    shown: Shown,
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|form| format!("expected {form}"))
}

/// Looks, prints, and fails by the worst that was found.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let options = Options { management: arguments.management.clone() };
    let report = runtime()?.block_on(doctor::look(&settings, &options));
    let worst = report.worst();
    print(arguments.shown, &Found(report)).map_err(unwritten)?;
    match worst {
        None | Some(doctor::Severity::Note) => Ok(()),
        Some(worst) => Err(Failure::Found(worst)),
    }
}
