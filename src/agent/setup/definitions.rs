//! What the definition and pipeline files say, and everything there is to complain about in them. Commands that publish nothing
//! need no more.

use std::sync::Arc;

use crate::agent::parked::SinkPlan;
use crate::agent::sinks::overflow;
use crate::cluster::SlotTable;
use crate::config::{self, Definitions, Settings};
use crate::convert::{ConvertOptions, Converter, Reserved, Sources, Verifier};
use crate::model::shown::value_shown;
use crate::model::{Complaint, Data, Node, Place, Priority, Severity};
use crate::pipeline::{self, Plan};
use crate::publish::{self, AskBroker, Look};
use crate::transport::dispatch::{Dispatcher, Rule};

/// The converter alone, for commands that publish nothing.
pub fn converter(settings: &Settings) -> (Option<Converter>, Vec<Complaint>) {
    let (definitions, mut complaints) = config::definitions::read(settings);
    let converter = convert(settings, definitions.meters, definitions.events, &mut complaints);
    let wrong = complaints.iter().any(|c| c.severity == Severity::Error);
    (converter.filter(|_| !wrong), complaints)
}

/// What becomes of notifications before anything is published.
pub struct DryRun {
    /// Notifications that are wanted at all.
    pub dispatcher: Dispatcher,
    /// Makes samples and events.
    pub converter: Converter,
    /// Where they go.
    pub plans: Vec<Plan>,
}

/// A run without publishers and queues, for commands that show what would be published.
pub fn dry_run(settings: &Settings) -> (Option<DryRun>, Vec<Complaint>) {
    let (Read { converter, plans, dispatcher, .. }, complaints) = read(settings, config::definitions::read(settings));
    let wrong = complaints.iter().any(|c| c.severity == Severity::Error);
    let dry_run = converter.filter(|_| !wrong).map(|converter| DryRun { dispatcher, converter, plans });
    (dry_run, complaints)
}

/// The pipelines as far as their files can be read, for commands that only tell where something would go.
pub fn plans(settings: &Settings) -> Vec<Plan> {
    let (definitions, _) = config::definitions::read(settings);
    let files =
        [(pipeline::Kind::Samples, &definitions.pipeline), (pipeline::Kind::Events, &definitions.event_pipeline)];
    files.iter().filter_map(|(kind, node)| Plan::read(*kind, node.as_ref()?).ok()).collect()
}

/// The sinks with their publishers, as far as their files can be read, for who puts back what a publisher refused.
pub fn sinks(settings: &Settings) -> Vec<SinkPlan> {
    let of_plan = |plan: &Plan| -> Vec<SinkPlan> {
        let sink = |sink: &pipeline::Sink| SinkPlan {
            name: slot_name(plan.kind, &sink.name),
            publishers: overflow::keys(sink.publishers.iter().map(|publisher| &*publisher.url)),
        };
        plan.sinks.iter().map(sink).collect()
    };
    plans(settings).iter().flat_map(of_plan).collect()
}

/// Everything there is to complain about in the files that the settings name, and in those that publishers name, without
/// building anything. `broker` looks at the URL of another broker.
pub fn check(settings: &Settings, broker: AskBroker<'_>) -> Vec<Complaint> {
    let (read, mut complaints) = read(settings, config::definitions::read(settings));
    let (gnocchi, zaqar) = publish::identity::logins(&settings.logins);
    let look = Look { broker, search: &settings.sources.search, gnocchi: Some(&gnocchi), zaqar: Some(&zaqar) };
    for (plan, sink, publisher) in read.plans.iter().flat_map(publishers_of) {
        complaints.extend(publisher_complaints(plan.kind, &sink.name, publisher, look));
    }
    complaints.extend(read.publishers_without_a_plan(look));
    complaints
}

/// What is wrong with a publisher as it is written, or probably not meant.
fn publisher_complaints(
    kind: pipeline::Kind,
    sink: &str,
    publisher: &pipeline::PublisherUrl,
    look: Look<'_>,
) -> Vec<Complaint> {
    let place = &publisher.place;
    match publish::check_with(&publisher.url, publish_kind(kind), look) {
        Ok(warnings) => {
            let url = publish::shown(&publisher.url);
            let warn = |text| Complaint::warning(place, format!("sink {sink}: publisher {url}: {text}"));
            warnings.into_iter().map(warn).collect()
        }
        Err(error) => vec![Complaint::error(place, format!("sink {sink}: {error}"))],
    }
}

/// What the definition files say, as far as they could be understood: what is missing is an error among the complaints.
pub(super) struct Read {
    pub converter: Option<Converter>,
    pub plans: Vec<Plan>,
    /// The files that are no plans; their publishers can be looked at all the same.
    unplanned: Vec<(pipeline::Kind, Node)>,
    pub dispatcher: Dispatcher,
    pub queues: Option<u16>,
}

impl Read {
    /// What is wrong with the publishers of files that are no plans, for which nobody comes to build them.
    pub(super) fn publishers_without_a_plan(&self, look: Look<'_>) -> Vec<Complaint> {
        let of_file = |(kind, node): &(pipeline::Kind, Node)| {
            let kind = *kind;
            let publishers = Plan::publishers(kind, node).into_iter();
            publishers.flat_map(move |(sink, publisher)| publisher_complaints(kind, &sink, &publisher, look))
        };
        self.unplanned.iter().flat_map(of_file).collect()
    }
}

/// Understands everything that is not publishers.
pub(super) fn read(
    settings: &Settings,
    (definitions, mut complaints): (Definitions, Vec<Complaint>),
) -> (Read, Vec<Complaint>) {
    let (mut plans, mut unplanned) = (Vec::new(), Vec::new());
    for (kind, node) in
        [(pipeline::Kind::Samples, definitions.pipeline), (pipeline::Kind::Events, definitions.event_pipeline)]
    {
        let Some(node) = node else { continue };
        match Plan::read(kind, &node) {
            Ok(plan) => {
                complaints.extend(plan.warnings.iter().cloned());
                plans.push(plan);
            }
            Err(more) => {
                complaints.extend(more);
                unplanned.push((kind, node));
            }
        }
    }
    let unused = Unused::of(settings, &plans);
    let (meters, events) = (definitions.meters, definitions.events);
    let mut converter = convert(settings, meters.clone(), events.clone(), &mut complaints);
    if converter.is_none() && unused.any() {
        // What is right of the definitions that are used has to be enough.
        let meters = if unused.meters { Vec::new() } else { meters };
        let events = if unused.events { Some(no_events()) } else { events };
        let mut more = Vec::new();
        converter = convert(settings, meters, events, &mut more);
        more.retain(|complaint| !complaints.contains(complaint));
        complaints.extend(more);
    }
    unused.forgive(&mut complaints, &definitions.meter_files, &definitions.event_files);
    complaints.extend(notifier_complaints(settings, &plans));
    complaints.extend(overflow::complaints(&plans));
    let dispatcher = dispatcher(settings, &mut complaints);
    let queues = u16::try_from(settings.cluster.pipeline_processing_queues).unwrap_or(u16::MAX);
    let written = settings.place("notification", "pipeline_processing_queues");
    let table = SlotTable::even(queues).map_err(|e| complaints.push(Complaint::error(&written, e.to_string()))).ok();
    let queues = table.map(|table| table.queues());
    (Read { converter, plans, unplanned, dispatcher, queues }, complaints)
}

/// Which definitions nothing is made by, because there are no pipelines for it. Ceilometer does not read them, or runs on
/// without them: what is wrong with them is worth a warning.
struct Unused {
    meters: bool,
    events: bool,
}

impl Unused {
    fn of(settings: &Settings, plans: &[Plan]) -> Unused {
        // A pipeline file that cannot be read is an error already, and may have some.
        let has_none = |kind| plans.iter().any(|plan| plan.kind == kind && plan.pipelines.is_empty());
        let is_used = |kind, wanted: bool| wanted && !has_none(kind);
        Unused {
            meters: !is_used(pipeline::Kind::Samples, settings.pipelines.samples),
            events: !is_used(pipeline::Kind::Events, settings.pipelines.events),
        }
    }

    fn any(&self) -> bool {
        self.meters || self.events
    }

    /// Makes warnings of the errors in their files.
    fn forgive(&self, complaints: &mut [Complaint], meter_files: &[Arc<str>], event_files: &[Arc<str>]) {
        for complaint in complaints.iter_mut().filter(|complaint| complaint.severity == Severity::Error) {
            let is_in = |files: &[Arc<str>]| files.contains(&complaint.place.file);
            let made = match () {
                () if self.meters && is_in(meter_files) => "samples",
                () if self.events && is_in(event_files) => "events",
                () => continue,
            };
            *complaint =
                Complaint::warning(&complaint.place, format!("{}; no pipeline takes {made} now", complaint.text));
        }
    }
}

/// Event definitions that define nothing.
fn no_events() -> Node {
    Node { place: Place { file: "no events".into(), line: 0 }, data: Data::List(Vec::new()) }
}

/// What is wrong with what the `notifier` publisher alone uses: errors where a sink has one.
fn notifier_complaints(settings: &Settings, plans: &[Plan]) -> Vec<Complaint> {
    let publishers = plans.iter().flat_map(publishers_of);
    let notifiers: Vec<&str> = publishers.filter_map(|(_, _, p)| p.url.strip_prefix("notifier://")).collect();
    let of_its_own = |rest: &&str| !rest.is_empty() && !rest.starts_with(['/', '?']);
    let only = &settings.sources.only_notifier;
    let judged = |complaints: &[Complaint], used: bool, why: &str| -> Vec<Complaint> {
        let unused = |c: &Complaint| Complaint::warning(&c.place, format!("{}; it has no effect now: {why}", c.text));
        if used { complaints.to_vec() } else { complaints.iter().map(unused).collect() }
    };
    let mut all = judged(&only.format, !notifiers.is_empty(), "no sink publishes to notifier://");
    let shared = notifiers.iter().any(|rest| !of_its_own(rest));
    all.extend(judged(
        &only.transport,
        shared,
        "messaging_urls names the brokers, and no sink publishes to notifier://",
    ));
    all
}

fn convert(
    settings: &Settings,
    meters: Vec<Node>,
    events: Option<Node>,
    complaints: &mut Vec<Complaint>,
) -> Option<Converter> {
    let (converter, more) = Converter::build(&Sources { meters, events: events? }, convert_options(settings));
    complaints.extend(more);
    converter
}

fn dispatcher(settings: &Settings, complaints: &mut Vec<Complaint>) -> Dispatcher {
    let written = settings.place("nephoscope", "accept_notifications");
    let mut rules = Vec::new();
    for text in &settings.intake.accept_notifications {
        match Rule::parse(text) {
            Ok(rule) => rules.push(rule),
            Err(error) => {
                // The reason quotes pieces, of which nobody can tell whether they are of a password.
                let is_shown = value_shown(text) == *text;
                let why = if is_shown { error.to_string() } else { "expected <field>=<regular expression>".to_owned() };
                let text = format!("[nephoscope] accept_notifications = {text:?}: {why}");
                complaints.push(Complaint::error(&written, text));
            }
        }
    }
    Dispatcher::new(rules)
}

fn convert_options(settings: &Settings) -> ConvertOptions {
    let conversion = &settings.conversion;
    ConvertOptions {
        sample_source: conversion.sample_source.clone().into(),
        reserved_metadata: Reserved {
            prefixes: conversion.reserved_metadata_namespace.clone(),
            keys: conversion.reserved_metadata_keys.clone(),
            length_chars: i64::try_from(conversion.reserved_metadata_length).unwrap_or(i64::MAX),
        },
        drop_unmatched_notifications: conversion.drop_unmatched_notifications,
        store_raw: conversion.store_raw.iter().filter_map(|name| Priority::from_name(name)).collect(),
        disable_non_metric_meters: conversion.disable_non_metric_meters,
        polled_signatures: conversion.verify_signatures.then(|| verifier(settings)),
        repairs: conversion.repairs,
    }
}

/// Vouches for what is signed with the secret; for everything if that is empty.
fn verifier(settings: &Settings) -> Verifier {
    let secret = settings.publishing.telemetry_secret.clone().unwrap_or_default();
    Verifier::new(move |message| publish::signature::verify(message, secret.reveal()))
}

/// The plans' publishers, each with its sink.
pub(super) fn publishers_of(plan: &Plan) -> impl Iterator<Item = (&Plan, &pipeline::Sink, &pipeline::PublisherUrl)> {
    plan.sinks.iter().flat_map(move |sink| sink.publishers.iter().map(move |publisher| (plan, sink, publisher)))
}

/// What a sink is called everywhere: both files may have one of a name.
pub fn slot_name(kind: pipeline::Kind, sink: &str) -> String {
    match kind {
        pipeline::Kind::Samples => sink.to_owned(),
        pipeline::Kind::Events => format!("event:{sink}"),
    }
}

pub(super) fn publish_kind(kind: pipeline::Kind) -> publish::Kind {
    match kind {
        pipeline::Kind::Samples => publish::Kind::Samples,
        pipeline::Kind::Events => publish::Kind::Events,
    }
}
