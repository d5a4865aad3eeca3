//! `nephoscope gnocchi-setup`: makes what `gnocchi://` needs in Gnocchi, as `ceilometer-upgrade` does.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{ConfigArguments, Failure, refuse_errors, runtime};
use crate::config::Settings;
use crate::model::shown::without_secrets;
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
            .map_err(Failure::Config)?;
    refuse_errors(warnings)?;
    // Before the first request: whoever waits for it sees for whom.
    if let Some(keystone) = setup.keystone() {
        say(&format!("asking {keystone} (Keystone)"));
    }
    let address = setup.address().await.map_err(|why| cannot(&why))?;
    say(&format!("asking {address} (Gnocchi), as {}", setup.who()));
    let plan: GnocchiPlan = setup.plan().await.map_err(|why| cannot(&why))?;
    plan.warnings.iter().for_each(|warning| eprintln!("warning: {}", without_secrets(warning)));
    let (steps, there) = (plan.steps.len(), plan.there);
    if arguments.dry_run {
        plan.steps.iter().for_each(|step| say(&format!("would create {step}")));
        if steps > 0 {
            say(&format!(
                "{} may read; whether it may create too is not known, as Gnocchi says that only when something is created",
                setup.who()
            ));
        }
        say(&format!("{steps} to create, {there} there already"));
        return Ok(());
    }
    let created = setup.create(&plan.steps, |step| say(&format!("created {step}"))).await;
    created.failures.iter().for_each(|failure| eprintln!("nephoscope: {}", without_secrets(failure)));
    if created.steps < steps {
        let left = steps - created.steps;
        return Err(cannot(&format!("{left} of {steps} could not be created; correct it and run this again")));
    }
    say(&format!("{} created, {there} there already", created.steps));
    Ok(())
}

/// Prints a line; that nobody reads it any more stops nothing.
fn say(line: &str) {
    let _nobody = writeln!(io::stdout().lock(), "{}", without_secrets(line));
}
