//! What a view of the group means for each queue: whose it should be, and so what is to be claimed and what to be given.

use super::happening::Order;
use super::queue::{Stage, Want};
use super::{Group, Ownership};

/// What placement says of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Mine,
    Elsewhere,
    /// No member is ready: whoever has it keeps it.
    Unplaced,
    /// No such queue any more.
    Gone,
}

impl Ownership {
    pub(super) fn viewed(&mut self, group: Group, orders: &mut Vec<Order>) {
        for (name, queue) in &mut self.queues {
            let mine = group.owners.get(name).filter(|owner| owner.member == self.me).map(|owner| owner.epoch);
            queue.shown(mine);
            if queue.held().is_some_and(|epoch| group.revision >= epoch && mine != Some(epoch)) {
                if !matches!(queue.stage(), Some(Stage::Idle(_))) {
                    orders.push(Order::Cut { queue: name.clone() });
                }
                queue.set(None);
            }
        }
        self.group = Some(group);
        self.place(orders);
    }

    /// Computes what should be whose, and from that what to claim and what to give.
    pub(super) fn place(&mut self, orders: &mut Vec<Order>) {
        let (Some(group), Some(names)) = (&self.group, &self.names) else { return };
        let able = group.members.iter().filter(|(id, member)| member.ready && !group.drained.contains(*id));
        let ready = able.map(|(id, m)| (id.as_str(), m.weight));
        self.ring.set_members(ready);
        let owner = |queue: &str| group.owners.get(queue).map(|o| o.member.as_str());
        let pin = |queue: &str| group.pins.get(queue).map(String::as_str);
        self.placed = self
            .ring
            .place_pinned(names.iter().map(String::as_str), owner, pin)
            .into_iter()
            .map(|(queue, member)| (queue.to_owned(), member.to_owned()))
            .collect();
        self.queues.values_mut().for_each(|queue| queue.want(Want::Keep));
        let mut strays = Vec::new();
        let free = |queue: &&String| self.fate(queue) == Fate::Mine && !group.owners.contains_key(*queue);
        let mut wanted: Vec<String> = self.placed.keys().filter(free).cloned().collect();
        // An owner key of mine that I know nothing of: the answer to a claim was lost on the way.
        for (queue, owner) in group.owners.iter().filter(|(_, owner)| owner.member == self.me) {
            if self.queues.get(queue).is_some_and(|queue| queue.stage().is_some() || queue.gave_up(owner.epoch)) {
                continue;
            }
            match self.fate(queue) {
                Fate::Mine | Fate::Unplaced if !self.draining => wanted.push(queue.clone()),
                _ => strays.push((queue.clone(), owner.epoch)),
            }
        }
        wanted.retain(|queue| self.stage(queue).is_none());
        wanted.into_iter().for_each(|queue| self.queue(queue).want(Want::Claim));
        for (queue, epoch) in strays {
            self.release(queue, epoch, orders);
        }
        for (queue, stage) in self.in_hand() {
            self.reconcile(queue, stage, orders);
        }
    }

    /// Puts a queue this member has a hand in on the list it belongs on.
    pub(super) fn reconcile(&mut self, queue: String, stage: Stage, orders: &mut Vec<Order>) {
        let leave = self.should_leave(&queue);
        match stage {
            Stage::Idle(epoch) if leave => self.release(queue, epoch, orders),
            Stage::Idle(_) => self.queue(queue).want(Want::Claim),
            Stage::Opening(_) | Stage::Open(_) if leave => self.queue(queue).want(Want::Give),
            _ => {}
        }
    }

    fn fate(&self, queue: &str) -> Fate {
        match self.placed.get(queue) {
            Some(member) if *member == self.me => Fate::Mine,
            Some(_) => Fate::Elsewhere,
            None if self.names.as_ref().is_some_and(|queues| queues.contains(queue)) => Fate::Unplaced,
            None => Fate::Gone,
        }
    }

    pub(super) fn should_leave(&self, queue: &str) -> bool {
        let paused = self.group.as_ref().is_some_and(|group| group.paused);
        self.draining
            || match self.fate(queue) {
                Fate::Mine | Fate::Unplaced => false,
                Fate::Elsewhere => !paused,
                Fate::Gone => true,
            }
    }
}
