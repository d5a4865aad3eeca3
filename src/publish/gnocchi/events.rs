//! Events on their way: each creates, changes or ends a resource, one after the other.
//!
//! Where an event must wait, the younger ones of its resource wait with it, and the others go on.

use chrono::{NaiveDateTime, Utc};
use std::collections::BTreeSet;

use super::GnocchiPublisher;
use super::api::path;
use super::definitions::{Operation, ResourceType};
use super::options::EndedAt;
use super::resources::{self, Done};
use super::rights::Doubts;
use super::tally::Tally;
use crate::model::{Dict, Event, Value, time};
use crate::publish::outcome::PublishError;

impl GnocchiPublisher {
    pub(super) async fn publish_events(&self, events: &[Event]) -> Result<(), PublishError> {
        let mut tally = Tally::new(events.len());
        let mut waiting: BTreeSet<String> = BTreeSet::new();
        let mut doubts = Doubts::default();
        for (position, event) in events.iter().enumerate() {
            let Some((kind, operation)) = self.definitions.operation(&event.event_type) else { continue };
            let mut attributes = kind.event_attributes(event);
            let Some(raw_id) =
                attributes.remove("id").and_then(|id| path::text_of(&id).map(std::borrow::Cow::into_owned))
            else {
                tally.refuse(
                    position,
                    "the event has no trait for the id of its resource, or one that is neither text nor a whole number",
                );
                continue;
            };
            let id = path::id(&raw_id).into_owned();
            if waiting.contains(&id) {
                tally.leave([position], "an older event of the same resource is not taken yet", None);
                continue;
            }
            let done = match operation {
                Operation::Create => self.create(kind, &id, attributes).await,
                Operation::Update => self.update(kind, &id, &attributes).await,
                Operation::Delete => self.end(kind, &id, &raw_id, event).await,
            };
            match done {
                Done::AsWanted | Done::Exists | Done::Missing(_) => {}
                Done::Refused(cause) => tally.refuse(position, &path::told(&id, &cause)),
                Done::Denied(denied) => {
                    let all = doubts.add(vec![position], denied, (&self.api, &self.rights), &mut tally).await;
                    waiting.insert(id);
                    if let Some(answer) = all {
                        tally.answered(position..events.len(), &answer);
                        break;
                    }
                }
                Done::NoType(_) if operation != Operation::Create => {
                    tracing::debug!(
                        event = "publish.gnocchi.type_missing",
                        resource_type = &*kind.name,
                        "Gnocchi has no such resource type; nothing to change or end"
                    );
                }
                Done::Later(answer) | Done::NoType(answer) => {
                    tally.answered([position], &answer);
                    waiting.insert(id);
                }
                Done::Stop(answer) => {
                    tally.answered(position..events.len(), &answer);
                    break;
                }
            }
        }
        doubts.settle(&self.api, &self.rights, &mut tally).await;
        tally.outcome()
    }

    /// A resource that is there already stays as it is.
    async fn create(&self, kind: &ResourceType, id: &str, attributes: Dict) -> Done {
        let mut body = Dict::from_iter([("id", Value::from(id))]);
        attributes.iter().for_each(|(name, value)| body.insert(name, value.clone()));
        resources::create(&self.api, &self.rights, &kind.name, &body).await
    }

    /// What is not there is not changed.
    async fn update(&self, kind: &ResourceType, id: &str, attributes: &Dict) -> Done {
        resources::keep_up(self, &kind.name, id, attributes).await
    }

    /// Ends a resource and those that belong to it: as much as can be done now.
    async fn end(&self, kind: &ResourceType, id: &str, raw_id: &str, event: &Event) -> Done {
        let mut worst = Done::AsWanted;
        let mut found = Vec::new();
        for (resource_type, query) in &kind.associated {
            // Attributes of other resources hold the id as it came, slashes and all.
            match resources::associated(&self.api, resource_type, query, raw_id).await {
                Ok(more) => found.extend(more),
                Err(Done::Missing(_) | Done::NoType(_)) => {
                    tracing::debug!(
                        event = "publish.gnocchi.type_missing",
                        resource_type,
                        "Gnocchi has no such resource type; nothing to end"
                    );
                }
                Err(done) => worst = worse(worst, done),
            }
        }
        worst = worse(worst, self.end_one(&kind.name, id, event).await);
        for resource in &found {
            if matches!(worst, Done::Stop(_)) {
                break;
            }
            worst = worse(worst, self.end_one(&resource.resource_type, &resource.id, event).await);
        }
        worst
    }

    /// A resource that is not there does not end.
    async fn end_one(&self, resource_type: &str, id: &str, event: &Event) -> Done {
        let ended = |at: &NaiveDateTime| Dict::from_iter([("ended_at", Value::from(time::isoformat_naive(at)))]);
        let now = || Utc::now().naive_utc();
        let at = match self.ended_at {
            EndedAt::Event => ended(&event.generated),
            EndedAt::Now => ended(&now()),
        };
        let done = resources::update(&self.api, &self.rights, resource_type, id, &at).await;
        match (&done, self.ended_at) {
            // Gnocchi lets nothing end before it has begun, and for Gnocchi a resource begins when it is created there, which
            // may be after the event where notifications have waited.
            (Done::Refused(_), EndedAt::Event) => {
                resources::update(&self.api, &self.rights, resource_type, id, &ended(&now())).await
            }
            _ => done,
        }
    }
}

/// What is to be said of an event that is carried out in several steps.
fn worse(so_far: Done, step: Done) -> Done {
    let rank = |done: &Done| match done {
        Done::AsWanted | Done::Exists | Done::Missing(_) | Done::NoType(_) => 0,
        Done::Refused(_) => 1,
        Done::Denied(_) => 2,
        Done::Later(_) => 3,
        Done::Stop(_) => 4,
    };
    if rank(&step) > rank(&so_far) { step } else { so_far }
}
