//! What a reload replaces: definitions, pipelines and publishers, built from what the files say.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::definitions::{publish_kind, publishers_of, read, slot_name};
use crate::agent::sinks::overflow;
use crate::agent::sinks::sink::{Destination, Sink, SinkSlot};
use crate::agent::stages::route::{Pipeline, Routes};
use crate::config::definitions::Found;
use crate::config::{self, Definitions, Settings};
use crate::model::{Complaint, Severity};
use crate::pipeline::{self, Plan};
use crate::publish::{self, Look, Publisher};

/// Definitions, pipelines and publishers: what a reload replaces.
pub struct Blueprint {
    routes: Arc<Routes>,
    /// Sinks to be put into the place of a former one of the same name.
    replacements: Vec<(Arc<SinkSlot>, Sink)>,
    publishers: Publishers,
    /// The files that it was read from.
    found: Found,
}

/// The publishers by what they take and their URL: sinks that name the same URL share one.
type Publishers = BTreeMap<(publish::Kind, String), Built>;

/// A publisher, and of which [files and logins](publish::stamp) it was made.
#[derive(Clone)]
struct Built {
    publisher: Arc<dyn Publisher>,
    stamp: u64,
}

impl Blueprint {
    /// Reads the definition files and builds the publishers. Publishers and sinks of `previous` that are still wanted
    /// are kept as they are. There is a blueprint unless a complaint is an error; all complaints come at once.
    pub fn build(
        settings: &Settings,
        context: &publish::Context,
        previous: Option<&Blueprint>,
    ) -> (Option<Blueprint>, Vec<Complaint>) {
        let nothing = Found::default();
        let before = previous.map_or(&nothing, |previous| &previous.found);
        let (definitions, complaints, found) = config::definitions::read_again(settings, before);
        let (blueprint, complaints) = Self::build_of(settings, (definitions, complaints), context, previous);
        (blueprint.map(|blueprint| Blueprint { found, ..blueprint }), complaints)
    }

    /// The same of definitions that were read already.
    pub fn build_of(
        settings: &Settings,
        definitions: (Definitions, Vec<Complaint>),
        context: &publish::Context,
        previous: Option<&Blueprint>,
    ) -> (Option<Blueprint>, Vec<Complaint>) {
        let (read, mut complaints) = read(settings, definitions);
        let mut publishers = Publishers::new();
        for plan in &read.plans {
            build_publishers(plan, context, previous, &mut publishers, &mut complaints);
        }
        let broker = |url: &str| (context.connect)(url).map(drop).map_err(|cause| vec![cause]);
        let look = Look {
            broker: &broker,
            search: &context.search,
            gnocchi: Some(&context.gnocchi),
            zaqar: Some(&context.zaqar),
        };
        complaints.extend(read.publishers_without_a_plan(look));
        let wrong = complaints.iter().any(|c| c.severity == Severity::Error);
        let (Some(converter), Some(queues_wanted), false) = (read.converter, read.queues, wrong) else {
            return (None, complaints);
        };
        let mut drawing = Drawing { previous, publishers: &publishers, sinks: Vec::new(), replacements: Vec::new() };
        let (mut sample_pipelines, mut event_pipelines) = (Vec::new(), Vec::new());
        for plan in &read.plans {
            let pipelines = drawing.pipelines(plan);
            match plan.kind {
                pipeline::Kind::Samples => sample_pipelines.extend(pipelines),
                pipeline::Kind::Events => event_pipelines.extend(pipelines),
            }
        }
        let Drawing { sinks, replacements, .. } = drawing;
        let dispatcher = read.dispatcher;
        let mut context = converter.context_members();
        dispatcher.context_members().for_each(|member| context.add(member));
        let routes = Routes { dispatcher, converter, context, sample_pipelines, event_pipelines, sinks, queues_wanted };
        let routes = Arc::new(routes);
        (Some(Blueprint { routes, replacements, publishers, found: Found::default() }), complaints)
    }

    /// The routes.
    pub(in crate::agent) fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// Puts changed sinks into the places of their predecessors; how many.
    pub(in crate::agent) fn take_over(&mut self) -> usize {
        let replacements = std::mem::take(&mut self.replacements);
        let changed = replacements.len();
        for (slot, sink) in replacements {
            slot.replace(sink);
        }
        changed
    }

    /// Closes the publishers that `next` does not use any more; all of them if there is no next.
    pub(in crate::agent) async fn close(&self, next: Option<&Blueprint>) {
        for (key, built) in &self.publishers {
            let is_used = |next: &Blueprint| next.publishers.get(key).is_some_and(|next| next.stamp == built.stamp);
            if !next.is_some_and(is_used) {
                built.publisher.close().await;
            }
        }
    }
}

fn build_publishers(
    plan: &Plan,
    context: &publish::Context,
    previous: Option<&Blueprint>,
    publishers: &mut Publishers,
    complaints: &mut Vec<Complaint>,
) {
    let kind = publish_kind(plan.kind);
    for (_, sink, publisher) in publishers_of(plan) {
        let key = (kind, publisher.url.clone());
        if publishers.contains_key(&key) {
            continue;
        }
        // Once: the file may change meanwhile, and then the next reload takes it.
        let stamp = publish::stamp(&publisher.url, context);
        let kept = previous.and_then(|previous| previous.publishers.get(&key)).filter(|kept| kept.stamp == stamp);
        let kept = kept.map(|kept| Arc::clone(&kept.publisher));
        match kept.map_or_else(|| publish::build(&publisher.url, kind, context), Ok) {
            Ok(publisher) => drop(publishers.insert(key, Built { publisher, stamp })),
            Err(error) => complaints.push(Complaint::error(&publisher.place, format!("sink {}: {error}", sink.name))),
        }
    }
}

/// Sinks as they come together.
struct Drawing<'a> {
    previous: Option<&'a Blueprint>,
    publishers: &'a Publishers,
    sinks: Vec<Arc<SinkSlot>>,
    replacements: Vec<(Arc<SinkSlot>, Sink)>,
}

impl Drawing<'_> {
    /// The pipelines of a plan; its sinks are added to those of all plans.
    fn pipelines(&mut self, plan: &Plan) -> Vec<Pipeline> {
        let first = self.sinks.len();
        for sink in &plan.sinks {
            let slot = self.slot(plan.kind, sink);
            self.sinks.push(slot);
        }
        let pipeline = |p: &pipeline::Pipeline| Pipeline {
            name: Arc::clone(&p.name),
            filter: Arc::clone(&p.filter),
            sink: first + p.sink,
        };
        plan.pipelines.iter().map(pipeline).collect()
    }

    /// The place of a sink: the one it had, if it had one.
    fn slot(&mut self, kind: pipeline::Kind, sink: &pipeline::Sink) -> Arc<SinkSlot> {
        let name = slot_name(kind, &sink.name);
        let built = |url: &str| self.publishers.get(&(publish_kind(kind), url.to_owned()));
        let urls: Vec<&str> = sink.publishers.iter().map(|p| p.url.as_str()).collect();
        let made: Vec<_> = urls.iter().map(|url| (url, built(url).map(|built| built.stamp))).collect();
        let definition = format!("{}\n{made:?}", sink.transformers.digest());
        let former = self.previous.and_then(|p| p.routes.sinks.iter().find(|slot| *slot.name == *name));
        if let Some(former) = former
            && former.current().definition == definition
        {
            return Arc::clone(former);
        }
        let destination = |(url, (shown, key)): (&&str, (String, String))| {
            let publisher = Arc::clone(&built(url)?.publisher);
            Some(Destination { url: shown.into(), key: key.into(), publisher })
        };
        let keys = overflow::keys(urls.iter().copied());
        let destinations = urls.iter().zip(keys).filter_map(destination).collect();
        let built = Sink { destinations, transformers: Arc::clone(&sink.transformers), definition };
        match former {
            Some(former) => {
                self.replacements.push((Arc::clone(former), built));
                Arc::clone(former)
            }
            None => Arc::new(SinkSlot::new(&name, built)),
        }
    }
}
