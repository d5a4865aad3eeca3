//! What a view of the group means for each unit: whose it should be, and so what is to be claimed and what to be given.

use super::happening::Order;
use super::queue::{Stage, Want};
use super::{Group, Ownership};

/// What placement says of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Mine,
    Elsewhere,
    /// No member is ready: whoever has it keeps it.
    Unplaced,
    /// No such unit any more.
    Gone,
}

impl Ownership {
    pub(super) fn viewed(&mut self, group: Group, orders: &mut Vec<Order>) {
        for (unit, queue) in &mut self.queues {
            let mine = group.owners.get(unit).filter(|owner| owner.member == self.me).map(|owner| owner.epoch);
            queue.shown(mine);
            if queue.held().is_some_and(|epoch| group.revision >= epoch && mine != Some(epoch)) {
                if !matches!(queue.stage(), Some(Stage::Idle(_))) {
                    orders.push(Order::Cut { unit: unit.clone() });
                }
                queue.set(None);
            }
        }
        self.group = Some(group);
        self.place(orders);
    }

    /// Computes what should be whose, and from that what to claim and what to give.
    pub(super) fn place(&mut self, orders: &mut Vec<Order>) {
        let (Some(group), Some(units)) = (&self.group, &self.units) else { return };
        let able = group.members.iter().filter(|(id, member)| member.ready && !group.drained.contains(*id));
        let ready = able.map(|(id, m)| (id.as_str(), m.weight));
        self.ring.set_members(ready);
        let owner = |unit: &str| group.owners.get(unit).map(|o| o.member.as_str());
        let pin = |unit: &str| group.pins.get(unit).map(String::as_str);
        self.placed = self
            .ring
            .place_pinned(units.iter().map(String::as_str), owner, pin)
            .into_iter()
            .map(|(unit, member)| (unit.to_owned(), member.to_owned()))
            .collect();
        self.queues.values_mut().for_each(|queue| queue.want(Want::Keep));
        let mut strays = Vec::new();
        let free = |unit: &&String| self.fate(unit) == Fate::Mine && !group.owners.contains_key(*unit);
        let mut wanted: Vec<String> = self.placed.keys().filter(free).cloned().collect();
        // An owner key of mine that I know nothing of: the answer to a claim was lost on the way.
        for (unit, owner) in group.owners.iter().filter(|(_, owner)| owner.member == self.me) {
            if self.queues.get(unit).is_some_and(|queue| queue.stage().is_some() || queue.gave_up(owner.epoch)) {
                continue;
            }
            match self.fate(unit) {
                Fate::Mine | Fate::Unplaced if !self.draining => wanted.push(unit.clone()),
                _ => strays.push((unit.clone(), owner.epoch)),
            }
        }
        wanted.retain(|unit| self.stage(unit).is_none());
        wanted.into_iter().for_each(|unit| self.queue(unit).want(Want::Claim));
        for (unit, epoch) in strays {
            self.release(unit, epoch, orders);
        }
        for (unit, stage) in self.in_hand() {
            self.reconcile(unit, stage, orders);
        }
    }

    /// Puts a unit this member has a hand in on the list it belongs on.
    pub(super) fn reconcile(&mut self, unit: String, stage: Stage, orders: &mut Vec<Order>) {
        let leave = self.should_leave(&unit);
        match stage {
            Stage::Idle(epoch) if leave => self.release(unit, epoch, orders),
            Stage::Idle(_) => self.queue(unit).want(Want::Claim),
            Stage::Opening(_) | Stage::Open(_) if leave => self.queue(unit).want(Want::Give),
            _ => {}
        }
    }

    fn fate(&self, unit: &str) -> Fate {
        match self.placed.get(unit) {
            Some(member) if *member == self.me => Fate::Mine,
            Some(_) => Fate::Elsewhere,
            None if self.units.as_ref().is_some_and(|units| units.contains(unit)) => Fate::Unplaced,
            None => Fate::Gone,
        }
    }

    pub(super) fn should_leave(&self, unit: &str) -> bool {
        let paused = self.group.as_ref().is_some_and(|group| group.paused);
        self.draining
            || match self.fate(unit) {
                Fate::Mine | Fate::Unplaced => false,
                Fate::Elsewhere => !paused,
                Fate::Gone => true,
            }
    }
}
