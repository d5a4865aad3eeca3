//! `nephoscope gnocchi-setup`: makes what `gnocchi://` needs in Gnocchi, as `ceilometer-upgrade` does.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{ConfigArguments, Failure, refuse_errors, runtime};
use crate::config::Settings;
use crate::publish::{GnocchiPlan, GnocchiSetup};

/// What is to be made, and by which login.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print what would be made, and make nothing
    #[arg(long)]
    dry_run: bool,
    /// The definitions whose archive policies are made [default: gnocchi_resources.yaml in the folders of the configuration, else
    /// the shipped one]
    #[arg(long, value_name = "FILE")]
    resources_definition_file: Option<PathBuf>,
    /// Allow addresses of the link (169.254.0.0/16, fe80::/10), as link_local=true in the URL of a publisher does
    #[arg(long)]
    link_local: bool,
}

/// Asks what is there, and makes what is missing.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    if settings.logins.gnocchi.credentials.is_none() {
        return Err(Failure::Config(settings.logins.gnocchi.complaints.clone()));
    }
    runtime()?.block_on(set_up(arguments, &settings))
}

async fn set_up(arguments: &Arguments, settings: &Settings) -> Result<(), Failure> {
    let cannot = |why: &str| Failure::Other(format!("cannot set up Gnocchi: {why}"));
    let (setup, warnings) =
        GnocchiSetup::new(settings, arguments.resources_definition_file.as_deref(), arguments.link_local)
            .map_err(|all| cannot(&all.join("; ")))?;
    warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let plan: GnocchiPlan = setup.plan().await.map_err(|why| cannot(&why))?;
    plan.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    let mut failed = 0;
    for step in &plan.steps {
        if arguments.dry_run {
            say(&format!("would create {step}"));
            continue;
        }
        match setup.carry_out(step).await {
            Ok(()) => say(&format!("created {step}")),
            Err(why) => {
                failed += 1;
                eprintln!("nephoscope: cannot create {step}: {why}");
            }
        }
    }
    if failed > 0 {
        return Err(cannot(&format!(
            "{failed} of {} could not be created; correct it and run this again",
            plan.steps.len()
        )));
    }
    let made = if arguments.dry_run { "to create" } else { "created" };
    say(&format!("{} {made}, {} there already", plan.steps.len(), plan.there));
    Ok(())
}

/// Prints a line; that nobody reads it any more stops nothing.
fn say(line: &str) {
    let _nobody = writeln!(io::stdout().lock(), "{line}");
}
