//! `nephoscope run`: the agent as a service, from start to drain.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::examine::{self, Examined, sort};
use super::watch::Watch;
use super::{ConfigArguments, Failure, built};
use crate::agent::wiring;
use crate::agent::{Agent, DeskParts, Outcome, Parts};
use crate::config::definitions::gone;
use crate::config::settings::{InForce, LogFormat};
use crate::config::{Secret, Settings};
use crate::model::{Complaint, Place, Severity};
use crate::observe::desk::Feed;
use crate::observe::page::{Desk, TapAccess};
use crate::observe::{self, Board, Format, LogSettings, Metrics, Systemd};
use crate::publish;

/// The arguments of `nephoscope run`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
}

/// The longest drain, if the configuration sets no limit.
const DRAIN_MAX: Duration = Duration::from_hours(24);

/// Runs the agent until a signal stops it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    // All complaints at once, before anything is opened: those of the definition files and pipelines too.
    let (settings, warnings) = Examined::of(&arguments.config).accepted().map_err(Failure::Config)?;
    observe::logs::init(&log_settings(&settings)).map_err(|e| Failure::Other(e.to_string()))?;
    let metrics = Metrics::new();
    warnings.iter().for_each(|warning| metrics.configuration_warned(warning));
    runtime_for(&settings)?.block_on(serve(&arguments.config, settings, metrics))
}

/// An agent alone has half as many threads for tasks as there are cores: its connection has a thread of its own beside them, and
/// so has each write to a file. With more of them they wake each other for every few messages. In a group, where every
/// notification comes twice, more threads gain more than they cost (decision 0055).
fn runtime_for(settings: &Settings) -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    // Where the variable is set, tokio reads it.
    if !settings.cluster.workload_partitioning && env::var_os("TOKIO_WORKER_THREADS").is_none() {
        builder.worker_threads(available_parallelism().map_or(1, usize::from).div_ceil(2));
    }
    built(&mut builder)
}

async fn serve(config: &ConfigArguments, settings: Settings, metrics: Metrics) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(|e| Failure::Other(format!("cannot listen for signals: {e}")))?;
    let (board, stop, feed) = (Board::new(), CancellationToken::new(), Feed::new());
    let configuration = watch::Sender::new(shown(&settings.in_force()));
    let server = match settings.observing.listen {
        Some(address) => {
            let token = settings.observing.tap_token.as_ref().map(Secret::reveal);
            let desk = Desk {
                feed: feed.clone(),
                configuration: configuration.subscribe(),
                taps: Arc::clone(metrics.taps()),
                tap_access: TapAccess::of(address, token),
            };
            let server = observe::http::serve(address, metrics.clone(), board.clone(), desk, stop.clone()).await;
            Some(server.map_err(|e| Failure::Other(e.to_string()))?)
        }
        None => None,
    };
    let context = Arc::new(wiring::publish_context(&settings, &metrics));
    let parts = wiring::parts(&settings, &context, metrics.clone(), board.clone()).map_err(|mut complaints| {
        sort(&mut complaints);
        Failure::Config(complaints)
    })?;
    let systemd = Systemd::follow(board);
    let broker = Arc::new(wiring::broker(&settings.intake.urls[0]));
    let agent = Agent::start(Parts { desk: Some(DeskParts { broker, feed }), ..parts });
    let mut watch = Watch::new(&settings);
    let mut read = settings.sources.files.clone();
    let outcome = loop {
        let happened = tokio::select! {
            outcome = agent.ended() => break outcome,
            signal = signals.next() => signal,
            () = watch.changed(), if settings.lifecycle.refresh => Asked::Reload,
        };
        match happened {
            Asked::Reload => {
                systemd.reloading().await;
                if let Some(taken) = reload(config, &settings, &read, &context, &agent, &metrics).await {
                    watch.follow(&taken);
                    configuration.send_replace(in_force_after(&settings, &taken));
                    read.clone_from(&taken.sources.files);
                }
                systemd.reloaded().await;
            }
            Asked::Stop => {
                systemd.stopping().await;
                break drain(&agent, &mut signals, &settings).await?;
            }
        }
    };
    stop.cancel();
    if let Some(server) = server {
        server.stopped().await;
    }
    match outcome {
        Outcome::Drained => Ok(()),
        Outcome::Failed(why) => Err(Failure::Other(why)),
    }
}

/// The configuration in force, as the page shows it.
fn shown(in_force: &InForce) -> Arc<str> {
    // Strings only: writing them cannot fail.
    serde_json::to_string(in_force).unwrap_or_default().into()
}

/// Options that a reload applies, by section; of a section without names, all. All others are those of [`needs_restart`].
const RELOADED: [(&str, &[&str]); 8] = [
    ("meter", &[]),
    ("event", &[]),
    ("gnocchi", &[]),
    ("zaqar", &[]),
    ("service_credentials", &[]),
    ("notification", &["pipelines", "store_events", "disable_non_metric_meters"]),
    (
        "DEFAULT",
        &[
            "pipeline_cfg_file",
            "event_pipeline_cfg_file",
            "sample_source",
            "reserved_metadata_namespace",
            "reserved_metadata_length",
            "reserved_metadata_keys",
        ],
    ),
    (
        "nephoscope",
        &[
            "state_ttl",
            "state_cells_max",
            "verify_signatures",
            "user_id_fallback",
            "unparsable_literals",
            "lookup_constants",
            "failed_traits",
            "polled_monotonic_time",
            "renamed_gauge_aggregates",
            "arithmetic_timestamps",
        ],
    ),
];

fn is_reloaded(section: &str, name: &str) -> bool {
    RELOADED.iter().any(|(of, names)| *of == section && (names.is_empty() || names.contains(&name)))
}

/// The configuration in force after a reload: an option that a reload does not apply has the value with which the agent runs.
fn in_force_after(running: &Settings, taken: &Settings) -> Arc<str> {
    let mut in_force = taken.in_force();
    // The options of the program, in the same order each time.
    for (option, before) in in_force.options.iter_mut().zip(running.in_force().options) {
        if option.value != before.value && !is_reloaded(option.section, option.name) {
            *option = before;
        }
    }
    shown(&in_force)
}

fn log_settings(settings: &Settings) -> LogSettings {
    LogSettings {
        format: match settings.observing.log_format {
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        },
        file: settings.observing.log_file.clone(),
        level: settings.observing.log_level.clone(),
    }
}

/// Changes that a reload cannot apply.
fn needs_restart(running: &Settings, next: &Settings) -> Vec<Complaint> {
    let place = Place { file: "reload".into(), line: 0 };
    let parts = [
        ("the transport", running.transport != next.transport),
        ("the source of notifications", running.intake != next.intake),
        ("the sharing of work", running.cluster != next.cluster),
        ("the common options of publishers", running.publishing != next.publishing),
        ("logging, metrics and health", running.observing != next.observing),
        ("starting and stopping", running.lifecycle != next.lifecycle),
    ];
    let changed = parts.into_iter().filter(|(_, changed)| *changed);
    changed
        .map(|(what, _)| {
            Complaint::warning(&place, format!("{what} changed; a reload does not apply it, restart the agent"))
        })
        .collect()
}

/// Drains; a second signal stops at once.
async fn drain(agent: &Agent, signals: &mut Signals, settings: &Settings) -> Result<Outcome, Failure> {
    tokio::select! {
        drained = agent.drain(settings.lifecycle.drain_timeout.unwrap_or(DRAIN_MAX)) => match drained {
            Ok(()) => Ok(Outcome::Drained),
            Err(late) => Ok(Outcome::Failed(late.to_string())),
        },
        () = signals.stop() => {
            agent.kill();
            Err(Failure::Other("stopped at once by a second signal; messages that were not settled go back to the broker".to_owned()))
        }
    }
}

/// What is wrong where a file that was read is not read again: that is no wish for the defaults of its options.
fn vanished(read: &[PathBuf], next: &Settings) -> Vec<Complaint> {
    read.iter().filter(|file| !next.sources.files.contains(file)).map(|file| gone(file)).collect()
}

/// Reads everything again; keeps what runs if anything is wrong, also if one of the configuration files that were `read`
/// for it is gone. The settings that were taken over, if they were.
async fn reload(
    config: &ConfigArguments,
    running: &Settings,
    read: &[PathBuf],
    context: &publish::Context,
    agent: &Agent,
    metrics: &Metrics,
) -> Option<Settings> {
    let (settings, mut complaints) = config.load();
    let next = match &settings {
        Some(settings) => {
            complaints.extend(needs_restart(running, settings));
            complaints.extend(vanished(read, settings));
            complaints.extend(examine::warnings(settings));
            // A login may be another: the publishers that use it are made anew.
            let (gnocchi, zaqar) = publish::identity::logins(&settings.logins);
            let context = publish::Context { gnocchi, zaqar, ..context.clone() };
            let (next, more) = agent.prepare(settings, &context).await;
            complaints.extend(more);
            next
        }
        None => None,
    };
    sort(&mut complaints);
    let wrong = complaints.iter().any(|c: &Complaint| c.severity == Severity::Error);
    let Some(next) = next.filter(|_| !wrong) else {
        metrics.reload_refused(&complaints);
        return None;
    };
    complaints.iter().for_each(|c| metrics.configuration_warned(c));
    metrics.reload_taken(agent.reload(next).await);
    settings
}

/// The signals of a service.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// The next one that asks to stop; what asks for a reload meanwhile comes too late.
    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}

/// What somebody asks of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Named, options};

    fn settings(text: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ceilometer.conf");
        std::fs::write(&file, text).unwrap();
        ConfigArguments(vec![Named::File(file)]).load().0.unwrap()
    }

    #[test]
    fn a_reload_shows_what_it_applies_and_nothing_else() {
        let running = settings("[nephoscope]\ngroup = blue\nstate_ttl = 60\n");
        let taken = settings("[nephoscope]\ngroup = red\nstate_ttl = 70\n[DEFAULT]\ndebug = true\n");
        assert!(!needs_restart(&running, &taken).is_empty());
        let shown: serde_json::Value = serde_json::from_str(&in_force_after(&running, &taken)).unwrap();
        let of = |name: &str| {
            let options = shown["options"].as_array().unwrap();
            options.iter().find(|option| option["name"] == name).unwrap()["value"].as_str().unwrap().to_owned()
        };
        assert_eq!(["group", "state_ttl", "debug"].map(of), ["blue", "70", "false"]);
    }

    #[test]
    fn what_a_reload_applies_are_options() {
        for (section, names) in RELOADED {
            assert!(options::knows_section(section), "{section}");
            for name in names {
                assert!(options::find(section, name).is_some(), "[{section}] {name}");
            }
        }
    }
}
