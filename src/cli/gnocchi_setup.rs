//! `nephoscope gnocchi-setup`: creates what `gnocchi://` needs in Gnocchi, as `ceilometer-upgrade` does.

use std::path::PathBuf;

use super::{ConfigArguments, Failure, print_line, refuse_errors, runtime};
use crate::config::Settings;
use crate::model::shown::without_secrets;
use crate::publish::{GnocchiPlan, GnocchiSetup};

/// The arguments of `nephoscope gnocchi-setup`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print what would be created, and create nothing
    #[arg(long)]
    dry_run: bool,
    /// File of definitions whose archive policies are created
    ///
    /// Without it: gnocchi_resources.yaml in the folders of the configuration, else the shipped file.
    #[arg(long, value_name = "FILE")]
    resources_definition_file: Option<PathBuf>,
    /// Allow link-local addresses (169.254.0.0/16, fe80::/10)
    ///
    /// As link_local=true in the URL of a publisher does.
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
    // Before the first request, so that an operator who waits sees for which server.
    if let Some(keystone) = setup.keystone() {
        say(&format!("asking {keystone} (Keystone)"))?;
    }
    let address = setup.address().await.map_err(|why| cannot(&why))?;
    say(&format!("asking {address} (Gnocchi), as {}", setup.who()))?;
    let plan: GnocchiPlan = setup.plan().await.map_err(|why| cannot(&why))?;
    plan.warnings.iter().for_each(|warning| eprintln!("warning: {}", without_secrets(warning)));
    let (steps, there) = (plan.steps.len(), plan.there);
    if arguments.dry_run {
        plan.steps.iter().try_for_each(|step| say(&format!("would create {step}")))?;
        if steps > 0 {
            say(&format!(
                "{} may read; whether it may create is not known, because Gnocchi tells only when something is created",
                setup.who()
            ))?;
        }
        return say(&format!("{steps} to create, {there} there already"));
    }
    let mut said = Ok(());
    let create = setup.create(&plan.steps, |step| {
        if said.is_ok() {
            said = say(&format!("created {step}"));
        }
    });
    let created = create.await;
    created.failures.iter().for_each(|failure| eprintln!("nephoscope: {}", without_secrets(failure)));
    if created.steps < steps {
        let left = steps - created.steps;
        return Err(cannot(&format!("{left} of {steps} could not be created; correct it and run this again")));
    }
    // Everything is created, and a full disk still hides the end of the output.
    said?;
    say(&format!("{} created, {there} there already", created.steps))
}

/// Prints a line without secrets, or fails.
fn say(line: &str) -> Result<(), Failure> {
    print_line(&without_secrets(line))
}
