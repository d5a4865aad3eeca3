//! What goes wrong in a world, and when it is over.

use std::sync::Arc;
use std::time::Duration;

use super::{Then, World};
use crate::mistakes::Mistake;
use crate::network::{GroupLine, Network};
use crate::plan::{Happening, Over};
use nephoscope::coordination::Coordinator;

/// Before a change of the number of queues is tried again.
const REPARTITION_AGAIN: Duration = Duration::from_millis(500);

impl World {
    pub(super) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start(host) => self.start(host),
            Happening::Kill { agent, polls, back } => self.kill(agent, polls, back),
            Happening::Drain { agent, back } => self.drain(agent, Then::BackAfter(back)),
            Happening::Freeze { agent, lasts, dropped } => self.freeze(agent, lasts, dropped),
            Happening::Reset(agent) => {
                if let Some(network) = self.network(agent) {
                    self.fault(agent, "its connection is reset");
                    network.reset();
                }
            }
            Happening::Overlook { agent, lasts } => {
                if let Some(network) = self.network(agent) {
                    self.fault(agent, &format!("is overlooked by the broker's queues for {lasts:?}"));
                    network.overlooked_by_queues();
                    self.plan_in(lasts, Happening::Over(Over::Overlooked(agent)));
                }
            }
            Happening::CutBroker { agent, stall, lasts } => {
                if let Some(network) = self.network(agent) {
                    self.fault(agent, &format!("is cut from the broker for {lasts:?}: {stall:?}"));
                    network.cut(stall);
                    self.plan_in(lasts, Happening::Over(Over::Broker(agent)));
                }
            }
            Happening::Slow { agent, extra, lasts } => {
                if let Some(network) = self.network(agent) {
                    self.trace
                        .say(&self.hosts[agent].id, format_args!("everything takes {extra:?} longer for {lasts:?}"));
                    network.slow_down(extra);
                    self.plan_in(lasts, Happening::Over(Over::Broker(agent)));
                }
            }
            Happening::CutGroup { agent, lost, lasts } => {
                if let Some(line) = self.line(agent) {
                    // No fault by which anything may come out twice: it works on, and its successors wait.
                    self.trace
                        .say(&self.hosts[agent].id, format_args!("is cut from the group for {lasts:?}: {lost:?}"));
                    line.cut(lost);
                    self.plan_in(lasts, Happening::Over(Over::Group(agent)));
                }
            }
            Happening::Deafen { agent, lasts } => {
                if let Some(line) = self.line(agent) {
                    self.trace.say(&self.hosts[agent].id, format_args!("its watch is deaf for {lasts:?}"));
                    line.deafen();
                    self.plan_in(lasts, Happening::Over(Over::Group(agent)));
                }
            }
            Happening::BrokerRestart { lasts } => {
                self.trace.say("broker", format_args!("stops for {lasts:?}"));
                self.witness.fault();
                self.broker.stop();
                self.plan_in(lasts, Happening::Over(Over::BrokerBack));
            }
            Happening::GroupAway { lasts } => {
                self.trace.say("group", format_args!("is away for {lasts:?}"));
                self.witness.fault();
                self.group.set_away(true);
                self.plan_in(lasts, Happening::Over(Over::GroupBack));
            }
            Happening::PublishersAway { destination, forgetful, lasts } => {
                let how = if forgetful { "answers 503 to what it takes" } else { "answers 503" };
                self.trace.say("outlet", format_args!("{destination} {how} for {lasts:?}"));
                // An agent that stops meanwhile gives back what one of two publishers has taken.
                self.witness.fault();
                self.weather[destination].set_away(true, forgetful);
                self.plan_in(lasts, Happening::Over(Over::Publishers(destination)));
            }
            Happening::PublishersSlow { destination, extra, lasts } => {
                self.trace.say("outlet", format_args!("{destination} takes {extra:?} longer for {lasts:?}"));
                if self.plan.destinations > 1 {
                    // What one of several is asked to take for too long goes to its overflow queue, and it may have taken it.
                    self.witness.fault();
                }
                self.weather[destination].slow_down(extra);
                self.plan_in(lasts, Happening::Over(Over::Publishers(destination)));
            }
            Happening::Pause { lasts } => {
                self.trace.say("operator", format_args!("pauses moving for {lasts:?}"));
                self.group.set_paused(true);
                self.plan_in(lasts, Happening::Over(Over::Pause));
            }
            // The one that asks the group: see `repartition`.
            Happening::Repartition { .. } => {}
            Happening::Over(over) => self.over(over),
        }
    }

    /// An operator changes the number of queues, by the rules of `nephoscope partitions`.
    pub(super) async fn repartition(&mut self, queues: u16, tries: u32) {
        let view = self.group.view().await.ok().filter(|view| view.marks.is_empty());
        let spec = view.and_then(|view| view.spec).filter(|(spec, _)| spec.next.is_none());
        let Some((spec, revision)) = spec else {
            if tries > 0 {
                self.plan_in(REPARTITION_AGAIN, Happening::Repartition { queues, tries: tries - 1 });
            }
            return;
        };
        let Ok(planned) = spec.planned(queues) else { return };
        let planned = if self.mistake == Some(Mistake::NoQuiet) { planned.quieted() } else { planned };
        if queues != spec.present.table.queues()
            && self.group.put_spec(&planned, Some(revision)).await.is_ok_and(|done| done)
        {
            let before = spec.present.table.queues();
            self.trace.say("operator", format_args!("changes the number of queues from {before} to {queues}"));
        }
    }

    fn over(&mut self, over: Over) {
        match over {
            Over::Freeze(agent) => self.thaw(agent),
            Over::Overlooked(agent) => {
                if let Some(network) = self.network(agent) {
                    network.dropped_by_broker();
                }
            }
            Over::Dropped(agent) => {
                if let Some(network) = self.network(agent).filter(|_| self.hosts[agent].frozen) {
                    network.dropped_by_broker();
                }
            }
            Over::Broker(agent) => {
                if let Some(network) = self.network(agent) {
                    self.trace.say(&self.hosts[agent].id, "reaches the broker as before");
                    network.heal();
                }
            }
            Over::Group(agent) => {
                if let Some(line) = self.line(agent) {
                    self.trace.say(&self.hosts[agent].id, "reaches the group as before");
                    line.heal();
                }
            }
            Over::BrokerBack => {
                self.trace.say("broker", "runs");
                self.broker.start();
            }
            Over::GroupBack => {
                self.trace.say("group", "is back");
                self.group.set_away(false);
            }
            Over::Publishers(destination) => {
                self.trace.say("outlet", "is well");
                self.weather[destination].set_away(false, false);
                self.weather[destination].slow_down(Duration::ZERO);
            }
            Over::Pause => {
                self.trace.say("operator", "lets move");
                self.group.set_paused(false);
            }
        }
    }

    fn network(&self, host: usize) -> Option<Arc<Network>> {
        self.hosts[host].process.as_ref().map(|process| Arc::clone(&process.network))
    }

    fn line(&self, host: usize) -> Option<Arc<GroupLine>> {
        self.hosts[host].process.as_ref().map(|process| Arc::clone(&process.line))
    }

    fn fault(&self, host: usize, what: &str) {
        self.witness.fault();
        self.trace.say(&self.hosts[host].id, what);
    }
}
