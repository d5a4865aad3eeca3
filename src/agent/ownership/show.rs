//! What the supervisor writes down for `/status` and `/readyz`. Nothing is decided by it.

use chrono::SecondsFormat;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::supervisor::{Supervisor, Term};
use crate::agent::listeners::queues::Kind;
use crate::agent::sinks::sink::SinkSlot;
use crate::cluster::ownership::Stage;
use crate::observe::status;
use crate::transport::TransportError;

/// Queues that one sentence names, at most; `/status` has them all.
const NAMED_MAX: usize = 5;

/// One sentence for each reason why queues are not consumed, in the order of the queues.
fn unconsumed<'a>(queues: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (queue, why) in queues {
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, queues)) => queues.push(queue),
            None => reasons.push((why, vec![queue])),
        }
    }
    let sentence = |(why, queues): (&str, Vec<&str>)| match &queues[..] {
        [one] => format!("queue {one} to be consumed: {why}"),
        [named @ .., last] if queues.len() <= NAMED_MAX => {
            format!("queues {} and {last} to be consumed: {why}", named.join(", "))
        }
        all => {
            let (named, others) = all.split_at(NAMED_MAX.min(all.len()));
            format!("queues {} and {} others to be consumed: {why}", named.join(", "), others.len())
        }
    };
    reasons.into_iter().map(sentence).collect()
}

impl Supervisor {
    /// Writes down which pipelines there are. What holds one shows with the next failure.
    pub(super) fn show_pipelines(&self) {
        let pipeline = |slot: &Arc<SinkSlot>| {
            let publishers = slot.current().destinations.iter().map(|d| d.url.to_string()).collect();
            (slot.name.to_string(), status::Pipeline { publishers, ..status::Pipeline::default() })
        };
        let pipelines = self.routes.borrow().sinks.iter().map(pipeline).collect();
        self.board.change(|status| status.pipelines = pipelines);
    }

    /// Writes down what an operator may ask for.
    pub(super) fn show(&self, term: &Term) {
        let (machine, mut waiting) = (&term.machine, Vec::new());
        if !machine.session_up() {
            let link = &self.agent.first_broker().link;
            waiting.push(match link.absence() {
                TransportError::Refused(cause) => format!("the broker to be usable: {cause}"),
                TransportError::Away { cause, .. } => format!("the broker at {}: {cause}", link.name()),
                other => format!("the broker at {}: {other}", link.name()),
            });
        }
        if machine.session_up() && !machine.is_ready() && !machine.is_draining() {
            waiting.push(if self.publishers_asked {
                "the group to know that this member is ready".to_owned()
            } else {
                "the publishers, for a few seconds at most".to_owned()
            });
        }
        let queues = self.queues(term);
        // Never asked for inside the board: whoever notes a trouble writes on the board.
        let errors: BTreeMap<String, String> =
            queues.keys().filter_map(|queue| Some((queue.clone(), self.agent.troubles.of_queue(queue)?))).collect();
        if machine.session_up() {
            let closed = queues.iter().filter(|(_, (state, _))| *state != "running" && *state != "closing");
            waiting.extend(unconsumed(
                closed.map(|(queue, (state, _))| (&**queue, errors.get(queue).map_or(*state, |e| e))),
            ));
        }
        self.board.change(|status| {
            status.phase = match (machine.is_draining(), machine.is_silent()) {
                (true, _) => "draining",
                (false, true) => "silent",
                (false, false) => "running",
            };
            status.waiting_for = waiting;
            let now = self.agent.options.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
            let former = std::mem::take(&mut status.queues);
            for queue in former.keys().filter(|queue| !queues.contains_key(*queue)) {
                self.agent.metrics.queue_up(queue, None);
            }
            for (queue, (state, epoch)) in queues {
                let since = former.get(&queue).filter(|queue| queue.state == state).map(|queue| queue.since.clone());
                let error = errors.get(&queue).cloned();
                self.agent.metrics.queue_up(&queue, Some(state == "running"));
                let kind = match self.queues.get(&queue) {
                    Some(Kind::Main { .. }) => "main",
                    Some(Kind::Overflow { .. }) => "overflow",
                    _ => "pipeline",
                };
                let since = since.unwrap_or_else(|| now.clone());
                status.queues.insert(queue, status::Queue { kind, state, since, epoch, error });
            }
        });
    }

    /// The queues that this member should consume or has a hand in, with what it does with them.
    fn queues(&self, term: &Term) -> BTreeMap<String, (&'static str, Option<i64>)> {
        let mut queues = BTreeMap::new();
        if !term.machine.is_draining() {
            let mine = term.machine.placed().iter().filter(|(_, member)| **member == self.record.id);
            queues.extend(mine.map(|(queue, _)| (queue.clone(), ("waiting", None))));
        }
        for (queue, stage) in term.machine.stages() {
            let state = match stage {
                Stage::Claiming(_) | Stage::Idle(_) | Stage::Releasing(_) => continue,
                Stage::Opening(epoch) => ("opening", Some(epoch)),
                Stage::Open(epoch) => ("running", Some(epoch)),
                Stage::Closing(epoch) => ("closing", Some(epoch)),
            };
            queues.insert(queue.to_owned(), state);
        }
        queues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_sentence_however_many_queues_it_keeps_closed() {
        let queues: Vec<String> = (0..9).map(|n| format!("q{n}")).collect();
        let denied = "the user has no right to do that";
        let queues = queues.iter().map(|queue| (&**queue, if queue == "q3" { "opening" } else { denied }));
        assert_eq!(
            unconsumed(queues),
            [
                format!("queues q0, q1, q2, q4, q5 and 3 others to be consumed: {denied}"),
                "queue q3 to be consumed: opening".to_owned(),
            ]
        );
        let two = [("q0", denied), ("q1", denied)];
        assert_eq!(unconsumed(two.into_iter()), [format!("queues q0 and q1 to be consumed: {denied}")]);
    }
}
