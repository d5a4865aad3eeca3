//! Samples on their way: archive policies, measures, creation of what Gnocchi does not know, measures again, attributes.
//!
//! Within a call everything goes one after the other, so that no measure of a metric overtakes an older one: Gnocchi drops
//! without a word a measure that is older than the period of the newest one it has worked off.

use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::api::Api;
use super::api::answer::{Denied, Said};
use super::api::path;
use super::definitions::ResourceType;
use super::measures::{Item, Measures, Resource};
use super::resources::{self, Done};
use super::rights::Doubts;
use super::tally::Tally;
use super::{GnocchiPublisher, odd, policies};
use crate::model::{Dict, Sample};
use crate::publish::outcome::{Answer, Parts, PublishError};

const MEASURES: &str = "v1/batch/resources/metrics/measures?create_metrics=True";

impl GnocchiPublisher {
    pub(super) async fn publish_samples(&self, samples: &[Sample]) -> Result<(), PublishError> {
        let mut tally = Tally::new(samples.len());
        let ready = match self.policies.ensure(&self.api, &self.definitions.policies).await {
            Ok(held) => match &self.filter {
                Some(filter) => filter.resolve(self.api.identity()).await.map(|filtered| (held, filtered)),
                None => Ok((held, None)),
            },
            Err(answer) => Err(answer),
        };
        let (held, filtered) = match ready {
            Ok(ready) => ready,
            Err(answer) => {
                tally.answered(0..samples.len(), &answer);
                return tally.outcome();
            }
        };
        let measures = Measures::of(samples, &self.definitions, filtered, &mut tally);
        self.tell(&measures);
        let mut sending = Sending {
            publisher: self,
            states: vec![State::Untold; measures.resources.len()],
            waiting: policies::names(&held).into_iter().map(Box::from).collect(),
            typeless: BTreeMap::new(),
            doubts: Doubts::default(),
            measures,
            tally,
        };
        for held in &held {
            sending.wait_for_policy(held.policy, &held.answer);
        }
        sending.send().await;
        sending.keep_up().await;
        let Sending { mut doubts, mut tally, .. } = sending;
        doubts.settle(&self.api, &self.rights, &mut tally).await;
        tally.outcome()
    }

    /// Says what will not be seen in Gnocchi, each once.
    fn tell(&self, measures: &Measures<'_>) {
        for meter in measures.unknown.iter().filter(|meter| self.told.first(meter)) {
            tracing::warn!(
                event = "publish.gnocchi.meter_unknown",
                meter,
                "no resource in gnocchi_resources.yaml has this meter as a metric; its samples are not sent to Gnocchi; add it \
                 there if it belongs into Gnocchi"
            );
        }
        for attribute in measures.failed.iter().filter(|attribute| self.told.first(attribute)) {
            tracing::warn!(
                event = "publish.gnocchi.attribute_failed",
                %attribute,
                "the definition of an attribute fails on a sample; the attribute is not sent; correct it in gnocchi_resources.yaml"
            );
        }
    }
}

impl GnocchiPublisher {
    /// Said once for a type, and again after minutes: it may be so of every resource, with every batch.
    fn attributes_refused(&self, of: &Resource<'_>, cause: &str) {
        let Some(times) = self.attributes_refused.note(&of.kind.name) else { return };
        tracing::warn!(
            event = "publish.gnocchi.attributes_refused",
            resource = &*of.id,
            resource_type = &*of.kind.name,
            times,
            %cause,
            "Gnocchi accepted the measures and refuses the attributes of their resource; the agent sends the attributes again with \
             the next sample"
        );
    }
}

/// What is known of a resource of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Gnocchi has it, or has not yet said that it has not.
    Untold,
    /// Just created, with all attributes.
    Created,
    /// Created, but not with these attributes.
    Exists,
    /// None of its measures can be taken; what becomes of them is said.
    Stopped,
}

/// A batch while it is sent.
struct Sending<'b> {
    publisher: &'b GnocchiPublisher,
    measures: Measures<'b>,
    states: Vec<State>,
    /// Archive policies without which metrics cannot be created.
    waiting: BTreeSet<Box<str>>,
    /// Resource types that Gnocchi does not have, each with what it said.
    typeless: BTreeMap<&'b str, Answer>,
    /// Resources that were denied.
    doubts: Doubts,
    tally: Tally,
}

impl<'b> Sending<'b> {
    fn api(&self) -> &'b Api {
        &self.publisher.api
    }

    /// Sends the measures, in as few requests as Gnocchi takes.
    async fn send(&mut self) {
        let mut parts = Parts::of_at_most(self.measures.items.len(), self.publisher.max_batch);
        while let Some(part) = parts.next() {
            match self.send_part(&part).await {
                Sent::Answered(answer) => parts.answered(part, answer),
                Sent::Named(named) => parts.apart(part, named),
                Sent::Denied(denied) => {
                    let answer = self.denied(&part, denied).await;
                    parts.answered(part, answer);
                }
                Sent::Broken(answer) => parts.answered(part, Answer::NotThese { cause: odd::breakdown(&answer) }),
            }
        }
        let said = parts.said();
        for refused in said.refused {
            if let Some(item) = self.measures.items.get(refused.record).filter(|item| self.goes(item)) {
                let id = &self.measures.resources[item.resource].id;
                self.tally.refuse(item.position, &path::told(id, &refused.cause));
            }
        }
        if let Some(left) = said.left {
            let positions = left.records.iter().filter_map(|record| self.measures.items.get(*record));
            self.tally.leave(positions.map(|item| item.position).collect::<Vec<_>>(), &left.cause, left.after);
        }
    }

    fn goes(&self, item: &Item<'_>) -> bool {
        self.states[item.resource] != State::Stopped && !self.waiting.contains(item.policy)
    }

    /// Sends a part, and whatever Gnocchi wants to know first. Each turn creates or stops something, so it comes to an end.
    async fn send_part(&mut self, part: &Range<usize>) -> Sent {
        loop {
            let items = || self.measures.items[part.clone()].iter().filter(|item| self.goes(item));
            if items().next().is_none() {
                return Sent::Answered(Answer::Taken);
            }
            let body = self.measures.body(items());
            let reply = match self.api().ask(Method::POST, MEASURES, Some(body)).await {
                // A request in which one metric is of somebody else is denied as a whole.
                Ok(reply) if reply.status.as_u16() == 403 => {
                    return self
                        .api()
                        .denied(&reply)
                        .map_or_else(|| Sent::Answered(self.api().judged(&reply)), Sent::Denied);
                }
                Ok(reply) if reply.status.as_u16() == 500 => return self.broken(part, self.api().judged(&reply)).await,
                Ok(reply) => reply,
                Err(answer) => return self.broken(part, answer).await,
            };
            let answer = self.api().judged(&reply);
            if answer == Answer::Taken
                && let Some(item) = items().next()
            {
                self.publisher.rights.measured(&self.measures.resources[item.resource].id);
            }
            let Answer::NotThese { cause } = &answer else { return Sent::Answered(answer) };
            let said = Said::of(&reply);
            let unknown = said.unknown_resources();
            if !unknown.is_empty() {
                let unknown: BTreeSet<&str> = unknown.into_iter().collect();
                let is = |item: &&Item<'_>| unknown.contains(&*self.measures.resources[item.resource].id);
                let resources: BTreeSet<usize> = items().filter(is).map(|item| item.resource).collect();
                if !resources.is_empty() {
                    match self.create_all(resources).await {
                        Ok(()) => continue,
                        Err(answer) => return Sent::Answered(answer),
                    }
                }
            }
            if let Some(policy) = said.missing_policy().filter(|policy| items().any(|item| item.policy == *policy)) {
                let place = match self.publisher.policy.as_deref() {
                    Some(written) if written == policy => {
                        format!("as archive_policy in place of {policy}, which the publisher's URL says")
                    }
                    _ => "in gnocchi_resources.yaml".to_owned(),
                };
                let cause = format!("{cause}; create it, or name another {place}");
                self.wait_for_policy(policy, &Answer::Later { cause, after: None });
                continue;
            }
            return match self.measures.named(part, &said.detail) {
                Some(named) => Sent::Named(named),
                None => Sent::Answered(answer),
            };
        }
    }

    /// Gnocchi has broken down: perhaps over an odd item, which is tried by itself then.
    async fn broken(&self, part: &Range<usize>, answer: Answer) -> Sent {
        match self.measures.odd(part) {
            Some(odd) if self.api().is_alive().await => {
                if odd.len() < part.len() {
                    Sent::Named(odd)
                } else {
                    Sent::Broken(answer)
                }
            }
            _ => Sent::Answered(answer),
        }
    }

    /// What becomes of a part that was denied: with several resources in it, they are tried apart. What is of one does not go.
    async fn denied(&mut self, part: &Range<usize>, denied: Denied) -> Answer {
        let items: Vec<&Item<'_>> = self.measures.items[part.clone()].iter().filter(|item| self.goes(item)).collect();
        let Some(resource) = items.first().map(|item| item.resource) else { return Answer::Taken };
        if items.iter().any(|item| item.resource != resource) {
            return Answer::NotThese { cause: denied.held };
        }
        // What stands before this part is taken.
        let rest = self.measures.items[part.start..].iter();
        let rest = rest.filter(|item| item.resource == resource && self.goes(item));
        let positions = rest.map(|item| item.position).collect();
        self.states[resource] = State::Stopped;
        self.doubt(positions, denied).await.unwrap_or(Answer::Taken)
    }

    /// These samples are denied, and perhaps no others; an answer says that all are.
    async fn doubt(&mut self, positions: Vec<usize>, denied: Denied) -> Option<Answer> {
        let asked = (&self.publisher.api, &self.publisher.rights);
        self.doubts.add(positions, denied, asked, &mut self.tally).await
    }

    /// The measures of metrics that need this policy wait; metrics that are there already do not need it, but nobody knows.
    fn wait_for_policy(&mut self, policy: &str, answer: &Answer) {
        self.waiting.insert(policy.into());
        let items = self.measures.items.iter().filter(|item| item.policy == policy);
        self.tally.answered(items.map(|item| item.position).collect::<Vec<_>>(), answer);
    }

    /// Creates resources; `Err` where nothing can be asked now.
    async fn create_all(&mut self, resources: BTreeSet<usize>) -> Result<(), Answer> {
        for resource in resources {
            if self.states[resource] != State::Untold {
                let cause = "Gnocchi does not know the resource that it has just created".to_owned();
                self.stop(resource, &Answer::Later { cause, after: None });
                continue;
            }
            let kind: &'b ResourceType = self.measures.resources[resource].kind;
            if let Some(answer) = self.typeless.get(&*kind.name).cloned() {
                self.stop(resource, &answer);
                continue;
            }
            match self.create(resource).await {
                Done::AsWanted => self.states[resource] = State::Created,
                Done::Exists => self.states[resource] = State::Exists,
                Done::Missing(cause) | Done::Refused(cause) => {
                    let cause = path::told(&self.measures.resources[resource].id, &cause);
                    self.stop(resource, &Answer::Never { cause });
                }
                Done::NoType(answer) => {
                    self.stop(resource, &answer);
                    self.typeless.insert(&kind.name, answer);
                }
                Done::Denied(denied) => {
                    self.states[resource] = State::Stopped;
                    let positions = self.positions(resource);
                    if let Some(answer) = self.doubt(positions, denied).await {
                        return Err(answer);
                    }
                }
                Done::Later(answer) => self.stop(resource, &answer),
                Done::Stop(answer) => return Err(answer),
            }
        }
        Ok(())
    }

    /// Creates a resource, with the attributes that the samples of the batch give it together; where these are refused, with
    /// those of one of them, so that one bad sample does not keep the others out.
    async fn create(&self, resource: usize) -> Done {
        /// So many samples are tried.
        const TRIED_MAX: usize = 8;
        let of = &self.measures.resources[resource];
        let attempt = async |extra: &Dict| {
            let body = self.measures.creation(resource, extra);
            resources::create(self.api(), &self.publisher.rights, &of.kind.name, &body).await
        };
        let all = attempt(&of.extra).await;
        match all {
            Done::AsWanted => self.publisher.cache.told(&of.id, &of.extra),
            Done::Refused(_) => {
                for extra in self.measures.extras(resource).iter().take(TRIED_MAX) {
                    match attempt(extra).await {
                        Done::Refused(_) => {}
                        Done::AsWanted => return Done::Exists,
                        other => return other,
                    }
                }
            }
            _ => {}
        }
        all
    }

    /// None of a resource's measures go any more; those that are not taken have this fate.
    fn stop(&mut self, resource: usize, answer: &Answer) {
        self.states[resource] = State::Stopped;
        self.tally.answered(self.positions(resource), answer);
    }

    fn positions(&self, resource: usize) -> Vec<usize> {
        self.measures.of_resource(resource).iter().map(|item| item.position).collect()
    }

    /// Tells Gnocchi the attributes that have changed, of resources of which it has taken measures.
    async fn keep_up(&mut self) {
        let mut stopped: Option<Answer> = None;
        for resource in 0..self.measures.resources.len() {
            let of = &self.measures.resources[resource];
            let positions = self.positions(resource);
            let is_told = matches!(self.states[resource], State::Created | State::Stopped);
            if is_told || !self.tally.any_taken(&positions) {
                continue;
            }
            if let Some(answer) = &stopped {
                if !self.publisher.cache.has(&of.id, &of.extra) {
                    self.tally.answered(positions, answer);
                }
                continue;
            }
            match resources::keep_up(self.publisher, &of.kind.name, &of.id, &of.extra).await {
                Done::AsWanted | Done::Exists => {}
                Done::Missing(cause) | Done::Refused(cause) => self.publisher.attributes_refused(of, &cause),
                Done::NoType(answer) => self.publisher.attributes_refused(of, answer.cause().unwrap_or_default()),
                // It has taken the measures just now, so they need not wait.
                Done::Denied(denied) => self.publisher.attributes_refused(of, &denied.held),
                Done::Later(answer) => self.tally.answered(positions, &answer),
                Done::Stop(answer) => {
                    self.tally.answered(positions, &answer);
                    stopped = Some(answer);
                }
            }
        }
    }
}

/// What became of a part.
enum Sent {
    Answered(Answer),
    /// It is denied, and by that one of its resources or all.
    Denied(Denied),
    /// It is refused for these items of it, fewer than all.
    Named(Range<usize>),
    /// Gnocchi breaks down over it.
    Broken(Answer),
}
