//! A run without queues and publishers: what each sink would publish of notifications that come in their order.
//!
//! As one agent with one queue for each sink: state is kept from notification to notification, and the clock is the
//! notifications' own. Never here: reading lines, printing.

use chrono::{DateTime, Utc};
use std::collections::{BTreeSet, VecDeque};

use crate::agent::{self, definitions::DryRun};
use crate::convert::Converted;
use crate::model::shown::without_secrets;
use crate::model::{Complaint, Dict, Event, Notification, Place, Sample, Value, time};
use crate::pipeline::{Chain, ChainOptions, Kind, Pipeline, Plan, Sink, volume};
use crate::state::window;
use crate::transport::dispatch::Route;

/// Sinks at work.
pub struct Dry {
    run: DryRun,
    /// One for each sink of each plan, in the same order.
    chains: Vec<Vec<Working>>,
    now: DateTime<Utc>,
}

/// A sink's transformers at work.
struct Working {
    chain: Chain,
    stateful: bool,
    /// Samples that have taken effect: one that comes again does not, where state is kept.
    taken: Taken,
}

/// Ids that are remembered for a sink; the oldest are forgotten.
const TAKEN_MAX: usize = 1_000_000;

/// The ids of samples that have taken effect.
#[derive(Default)]
struct Taken {
    ids: BTreeSet<u64>,
    in_order: VecDeque<u64>,
}

impl Taken {
    fn extend(&mut self, ids: Vec<u64>) {
        let new: Vec<u64> = ids.into_iter().filter(|id| self.ids.insert(*id)).collect();
        self.in_order.extend(new);
        while self.in_order.len() > TAKEN_MAX
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// Samples and events, each with the sink that publishes it.
#[derive(Debug, Default)]
pub struct Published {
    /// Samples, each behind its sink.
    pub samples: Vec<(String, Sample)>,
    /// Events, the same.
    pub events: Vec<(String, Event)>,
    /// What could not be made, and why.
    pub complaints: Vec<Complaint>,
}

impl Dry {
    /// Sinks that have seen nothing yet.
    pub fn new(run: DryRun, options: &ChainOptions) -> Dry {
        let working = |sink: &Sink| Working {
            chain: Chain::new(sink.transformers.clone(), &sink.name, options.clone()),
            stateful: sink.transformers.is_stateful(),
            taken: Taken::default(),
        };
        let chains = run.plans.iter().map(|plan| plan.sinks.iter().map(working).collect()).collect();
        Dry { run, chains, now: DateTime::UNIX_EPOCH }
    }

    /// What it is made of.
    pub fn run(&self) -> &DryRun {
        &self.run
    }

    /// Converts a notification, and publishes what came of it.
    pub fn take(&mut self, notification: &Notification) -> Published {
        let wanted = self.wants(notification);
        let converted = if wanted { self.run.converter.convert(notification) } else { Converted::default() };
        self.publish(notification, converted)
    }

    /// Whether anything looks at a notification, by its priority and by `accept_notifications`.
    pub fn wants(&self, notification: &Notification) -> bool {
        self.run.dispatcher.route(notification) != Route::Nobody
    }

    /// Takes what was converted through the pipelines.
    pub fn publish(&mut self, notification: &Notification, mut converted: Converted) -> Published {
        // Time does not go back where a notification is older than the one before.
        let sent = notification.timestamp().as_str().and_then(time::parse);
        self.now = self.now.max(sent.map_or(self.now, |sent| sent.to_utc()));
        let mut published = Published { complaints: std::mem::take(&mut converted.complaints), ..Published::default() };
        drop_unpublishable(&mut converted.samples, &mut published.complaints);
        for (plan, chains) in self.run.plans.iter().zip(&mut self.chains) {
            for pipeline in &plan.pipelines {
                let (Some(sink), Some(working)) = (plan.sinks.get(pipeline.sink), chains.get_mut(pipeline.sink)) else {
                    continue;
                };
                let name = || sink.name.clone();
                match plan.kind {
                    Kind::Samples => {
                        let taken =
                            converted.samples.iter().filter(|sample| pipeline.filter.takes(&sample.name)).cloned();
                        let made =
                            working.take(pipeline, notification, taken.collect(), self.now, &mut published.complaints);
                        published.samples.extend(made.into_iter().map(|sample| (name(), sample)));
                    }
                    Kind::Events => {
                        let taken = converted.events.iter().filter(|event| pipeline.filter.takes(&event.event_type));
                        published.events.extend(taken.map(|event| (name(), event.clone())));
                    }
                }
            }
        }
        published
    }

    /// What sinks still hold to give it out at a later notification, as an agent would; one sentence each.
    pub fn held(&self) -> Vec<String> {
        let sinks = self.run.plans.iter().zip(&self.chains).flat_map(|(plan, chains)| plan.sinks.iter().zip(chains));
        let told = sinks.flat_map(|(sink, working)| {
            working.chain.held().into_iter().map(|(transformer, count)| {
                let what = if transformer == "accumulator" { "sample" } else { "aggregate" };
                let (name, s) = (without_secrets(&sink.name), if count == 1 { "" } else { "s" });
                format!(
                    "sink {name}: its {transformer} still holds {count} {what}{s}, as an agent would until more comes"
                )
            })
        });
        told.collect()
    }
}

impl Working {
    fn take(
        &mut self,
        pipeline: &Pipeline,
        notification: &Notification,
        mut samples: Vec<Sample>,
        now: DateTime<Utc>,
        complaints: &mut Vec<Complaint>,
    ) -> Vec<Sample> {
        if self.stateful {
            let ids: Vec<u64> = samples.iter().map(|sample| window::id(&pipeline.name, sample)).collect();
            let mut again = ids.iter().map(|id| self.taken.ids.contains(id));
            samples.retain(|sample| {
                let again = again.next().unwrap_or_default();
                if again {
                    let place = Place { file: format!("sample {}", sample.name).into(), line: 0 };
                    let text = format!("{} came again and has taken effect before", pipeline.name);
                    complaints.push(Complaint::warning(&place, text));
                }
                !again
            });
            self.taken.extend(ids);
        }
        // A pipeline that takes nothing of a notification does not flush.
        if samples.is_empty() {
            return samples;
        }
        self.chain.take(&pipeline.name, notification.message_id(), samples, now, complaints)
    }
}

/// Leaves out samples whose volume no pipeline takes.
pub fn drop_unpublishable(samples: &mut Vec<Sample>, complaints: &mut Vec<Complaint>) {
    samples.retain(|sample| match volume::check(&sample.volume) {
        Ok(()) => true,
        Err(why) => {
            complaints.push(agent::dropped(sample, why));
            false
        }
    });
}

/// The pipelines that take a name, in words.
pub fn takers(plans: &[Plan], kind: Kind, name: &str) -> String {
    let pipelines = plans.iter().filter(|plan| plan.kind == kind).flat_map(|plan| &plan.pipelines);
    let names: Vec<&str> = pipelines.filter(|p| p.filter.takes(name)).map(|p| &*p.name).collect();
    if names.is_empty() { "no pipeline takes it".to_owned() } else { format!("to {}", names.join(", ")) }
}

/// A record as it is printed, with the sink that publishes it.
pub fn with_sink(mut record: Dict, sink: &str) -> Value {
    record.insert("sink", Value::from(&*without_secrets(sink)));
    Value::Dict(record)
}
