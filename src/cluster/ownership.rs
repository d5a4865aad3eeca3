//! The ownership machine of one member, for one membership: what happens goes in, what is to be done comes out.
//!
//! A unit (a pipeline queue or a main queue) walks one way only:
//!
//! ```text
//!            Claim          Open           Close          Release
//! (nobody's) ─────► Claiming ───► Opening ─► Open ─► Closing ─────► Releasing ─► (nobody's)
//!                       ▲                     │ session lost             ▲
//!                       └────── Claim ───── Idle ────── grace over ──────┘
//! ```
//!
//! It is opened only while placement says it is mine *and* the owner key is mine by compare-and-set; it is released
//! only after its channel is closed, so that the successor subscribes last. A lost broker session ends every opening
//! of it: the owner key is claimed once more for a new epoch before the unit is opened again.
//!
//! While moving is paused, nobody gives up a unit it could keep. Units without an owner are still taken, and a member
//! that drains still leaves: a pause must not turn a crash into a standstill.
//!
//! While the group is silent (nobody says whether the lease still stands) what is open stays open, and nothing is begun:
//! no claim, no opening, no hand-over. A member that drains goes on, and leaves what it cannot release to its lease.
//!
//! A unit that a former owner still has at the broker is opened again and again without a new claim: only the broker
//! knows when it is free, and nobody else has to be told. So whoever loses its lease ends in order what it has open.
//!
//! Never here: retries inside an order, time limits of a close or open (the agent's: it answers with a failure).

mod happening;

pub use happening::{Happening, Order, OwnershipOptions};

use super::group::{Epoch, Group};
use super::placement::Ring;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Where a unit is on its way, as far as this member has a hand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A claim is under way; with an epoch where the owner key is already mine.
    Claiming(Option<Epoch>),
    /// Mine, but nothing is open: the broker session was lost.
    Idle(Epoch),
    /// Mine, being opened.
    Opening(Epoch),
    /// Mine, and worked on.
    Open(Epoch),
    /// Mine, finishing what is in flight.
    Closing(Epoch),
    /// Closed; the owner key is being deleted.
    Releasing(Epoch),
}

/// How far this member is with leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Working,
    Draining,
    /// Without a lease: what is open ends in order, and nothing else is done.
    Ending,
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Session {
    Never,
    Up,
    Lost { since: Duration },
}

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

#[derive(Debug, Clone, Copy)]
struct Setback {
    since: Duration,
    pause: Duration,
}

impl Setback {
    fn until(self) -> Duration {
        self.since + self.pause
    }
}

/// The machine. One per membership: after [`Order::Done`] it says nothing more, and a new membership needs a new one.
#[derive(Debug)]
pub struct Ownership {
    me: String,
    options: OwnershipOptions,
    units: Option<BTreeSet<String>>,
    group: Option<Group>,
    ring: Ring,
    placed: BTreeMap<String, String>,
    stages: BTreeMap<String, Stage>,
    claiming: BTreeSet<String>,
    leaving: BTreeSet<String>,
    /// Free (or idle) and mine by placement; claimed as fast as `claims_at_once` allows.
    to_claim: BTreeSet<String>,
    /// Held and not mine any more; closed as fast as `moves_at_once` allows.
    to_give: BTreeSet<String>,
    /// Epochs that were given back: a view read before that still shows them.
    given_up: BTreeMap<String, Epoch>,
    setbacks: BTreeMap<String, Setback>,
    /// Releases that could not be done, and when to try again.
    unreleased: BTreeMap<String, Duration>,
    /// Openings that found another at the broker, and when to try again.
    occupied: BTreeMap<String, Duration>,
    session: Session,
    ready: bool,
    silent: bool,
    life: Life,
}

impl Ownership {
    /// The machine of member `me`, which owns nothing, knows nothing and has no broker session yet.
    pub fn new(me: impl Into<String>, options: OwnershipOptions) -> Self {
        Ownership {
            me: me.into(),
            options,
            units: None,
            group: None,
            ring: Ring::default(),
            placed: BTreeMap::new(),
            stages: BTreeMap::new(),
            claiming: BTreeSet::new(),
            leaving: BTreeSet::new(),
            to_claim: BTreeSet::new(),
            to_give: BTreeSet::new(),
            given_up: BTreeMap::new(),
            setbacks: BTreeMap::new(),
            unreleased: BTreeMap::new(),
            occupied: BTreeMap::new(),
            session: Session::Never,
            ready: false,
            silent: false,
            life: Life::Working,
        }
    }

    /// Takes in one happening, at `now` (since any fixed start, never going back); what is to be done about it, in
    /// this order for one unit, in any order for different units.
    pub fn step(&mut self, happening: Happening, now: Duration) -> Vec<Order> {
        let mut orders = Vec::new();
        if self.life == Life::Done {
            return orders;
        }
        if self.life == Life::Ending {
            self.end(happening, &mut orders);
            return orders;
        }
        match happening {
            Happening::Viewed(group) => self.viewed(group, &mut orders),
            Happening::Units(units) => {
                self.units = Some(units);
                self.place(&mut orders);
            }
            Happening::Claimed { unit, epoch } => self.claimed(unit, epoch, &mut orders),
            Happening::ClaimRefused { unit } => self.claim_refused(unit),
            Happening::Opened { unit, epoch } => self.opened(unit, epoch),
            Happening::OpenFailed { unit, epoch } | Happening::Closed { unit, epoch } => {
                self.closed(unit, epoch, now, &mut orders);
            }
            Happening::Released { unit, epoch } => self.released(unit, epoch, &mut orders),
            Happening::ReleaseFailed { unit, epoch } => {
                if self.stages.get(&unit) == Some(&Stage::Releasing(epoch)) {
                    self.unreleased.insert(unit, now + self.options.release_again);
                }
            }
            Happening::Occupied { unit, epoch } => self.occupied(unit, epoch, now, &mut orders),
            Happening::LeaseLost => self.lease_lost(&mut orders),
            Happening::Silent => self.silent = true,
            Happening::Heard => {
                self.silent = false;
                self.place(&mut orders);
            }
            Happening::BrokerLost => self.broker_lost(now, &mut orders),
            Happening::BrokerBack => self.broker_back(&mut orders),
            Happening::Drain => self.drain(&mut orders),
            Happening::Tick => self.tick(now, &mut orders),
        }
        self.proceed(now, &mut orders);
        orders
    }

    /// What still counts of what happens to a member without a lease.
    fn end(&mut self, happening: Happening, orders: &mut Vec<Order>) {
        match happening {
            Happening::LeaseLost => self.lease_lost(orders),
            Happening::Closed { unit, epoch }
            | Happening::OpenFailed { unit, epoch }
            | Happening::Occupied { unit, epoch }
                if self.stages.get(&unit) == Some(&Stage::Closing(epoch)) =>
            {
                self.set(unit, None);
                self.end_if_all_ended(orders);
            }
            _ => {}
        }
    }

    /// When a [`Happening::Tick`] is next of use; a tick at any other time does no harm.
    pub fn wake_at(&self) -> Option<Duration> {
        let grace = match self.session {
            Session::Lost { since } if self.ready => Some(since + self.options.broker_grace),
            _ => None,
        };
        if self.silent {
            return grace;
        }
        let waiting = self.to_claim.iter().filter_map(|unit| self.setbacks.get(unit)).map(|s| s.until());
        let again = self.unreleased.values().chain(self.occupied.values()).copied();
        grace.into_iter().chain(waiting).chain(again).min()
    }

    /// The units this member has a hand in.
    pub fn stages(&self) -> impl Iterator<Item = (&str, Stage)> {
        self.stages.iter().map(|(unit, stage)| (unit.as_str(), *stage))
    }

    /// Which member should have which unit, by the last view; a unit is missing while no member is ready.
    pub fn placed(&self) -> &BTreeMap<String, String> {
        &self.placed
    }

    fn viewed(&mut self, group: Group, orders: &mut Vec<Order>) {
        let mine = |unit: &str| group.owners.get(unit).filter(|o| o.member == self.me).map(|o| o.epoch);
        let lost: Vec<(String, Stage)> = self
            .stages
            .iter()
            .filter(|(unit, stage)| match stage {
                Stage::Idle(e) | Stage::Opening(e) | Stage::Open(e) | Stage::Closing(e) => {
                    group.revision >= *e && mine(unit) != Some(*e)
                }
                Stage::Claiming(_) | Stage::Releasing(_) => false,
            })
            .map(|(unit, stage)| (unit.clone(), *stage))
            .collect();
        self.given_up.retain(|unit, epoch| mine(unit).is_some_and(|e| e <= *epoch));
        for (unit, stage) in lost {
            if !matches!(stage, Stage::Idle(_)) {
                orders.push(Order::Cut { unit: unit.clone() });
            }
            self.set(unit, None);
        }
        self.group = Some(group);
        self.place(orders);
    }

    /// Computes what should be whose, and from that what to claim and what to give.
    fn place(&mut self, orders: &mut Vec<Order>) {
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
        self.to_claim.clear();
        self.to_give.clear();
        let mut strays = Vec::new();
        for unit in self.placed.keys().filter(|unit| !self.stages.contains_key(*unit)) {
            if self.fate(unit) == Fate::Mine && !group.owners.contains_key(unit) {
                self.to_claim.insert(unit.clone());
            }
        }
        // An owner key of mine that I know nothing of: the answer to a claim was lost on the way.
        for (unit, owner) in group.owners.iter().filter(|(_, owner)| owner.member == self.me) {
            let given_up = self.given_up.get(unit).is_some_and(|epoch| owner.epoch <= *epoch);
            if self.stages.contains_key(unit) || given_up {
                continue;
            }
            match self.fate(unit) {
                Fate::Mine | Fate::Unplaced if !self.draining() => drop(self.to_claim.insert(unit.clone())),
                _ => strays.push((unit.clone(), owner.epoch)),
            }
        }
        for (unit, epoch) in strays {
            self.release(unit, epoch, orders);
        }
        let held: Vec<(String, Stage)> = self.stages.iter().map(|(unit, stage)| (unit.clone(), *stage)).collect();
        for (unit, stage) in held {
            self.reconcile(unit, stage, orders);
        }
    }

    /// Puts a unit this member has a hand in on the list it belongs on.
    fn reconcile(&mut self, unit: String, stage: Stage, orders: &mut Vec<Order>) {
        let leave = self.should_leave(&unit);
        match stage {
            Stage::Idle(epoch) if leave => self.release(unit, epoch, orders),
            Stage::Idle(_) => drop(self.to_claim.insert(unit)),
            // Nothing of it is open.
            Stage::Opening(epoch) if leave && self.occupied.contains_key(&unit) => self.release(unit, epoch, orders),
            Stage::Opening(_) | Stage::Open(_) if leave => drop(self.to_give.insert(unit)),
            _ => {}
        }
    }

    fn draining(&self) -> bool {
        self.life == Life::Draining
    }

    fn fate(&self, unit: &str) -> Fate {
        match self.placed.get(unit) {
            Some(member) if *member == self.me => Fate::Mine,
            Some(_) => Fate::Elsewhere,
            None if self.units.as_ref().is_some_and(|units| units.contains(unit)) => Fate::Unplaced,
            None => Fate::Gone,
        }
    }

    fn should_leave(&self, unit: &str) -> bool {
        let paused = self.group.as_ref().is_some_and(|group| group.paused);
        self.draining()
            || match self.fate(unit) {
                Fate::Mine | Fate::Unplaced => false,
                Fate::Elsewhere => !paused,
                Fate::Gone => true,
            }
    }

    fn claimed(&mut self, unit: String, epoch: Epoch, orders: &mut Vec<Order>) {
        match self.stages.get(&unit) {
            Some(Stage::Claiming(_)) => {}
            // Not asked for: given back. Our own of long ago is not.
            Some(Stage::Idle(e) | Stage::Opening(e) | Stage::Open(e) | Stage::Closing(e) | Stage::Releasing(e))
                if *e >= epoch =>
            {
                return;
            }
            _ => return orders.push(Order::Release { unit, epoch }),
        }
        if self.should_leave(&unit) {
            self.release(unit, epoch, orders);
        } else if self.session == Session::Up && !self.silent {
            self.set(unit.clone(), Some(Stage::Opening(epoch)));
            orders.push(Order::Open { unit, epoch });
        } else {
            self.set(unit, Some(Stage::Idle(epoch)));
        }
    }

    fn claim_refused(&mut self, unit: String) {
        if let Some(Stage::Claiming(held)) = self.stages.get(&unit).copied() {
            // Asked again when the next view says so.
            self.set(unit, held.map(Stage::Idle));
        }
    }

    fn opened(&mut self, unit: String, epoch: Epoch) {
        if self.stages.get(&unit) == Some(&Stage::Opening(epoch)) {
            self.setbacks.remove(&unit);
            self.set(unit, Some(Stage::Open(epoch)));
        }
    }

    /// A former owner still has the unit at the broker.
    fn occupied(&mut self, unit: String, epoch: Epoch, now: Duration, orders: &mut Vec<Order>) {
        if self.stages.get(&unit) != Some(&Stage::Opening(epoch)) {
            return;
        }
        if self.should_leave(&unit) {
            self.release(unit, epoch, orders);
        } else {
            self.occupied.insert(unit, now + self.options.occupied_again);
        }
    }

    /// A unit is closed, because I wanted it or not.
    fn closed(&mut self, unit: String, epoch: Epoch, now: Duration, orders: &mut Vec<Order>) {
        match self.stages.get(&unit) {
            Some(Stage::Closing(e)) if *e == epoch => {}
            Some(Stage::Opening(e) | Stage::Open(e)) if *e == epoch => {
                let pause = self.setbacks.get(&unit).map_or(self.options.setback_min, |s| s.pause * 2);
                let pause = pause.min(self.options.setback_max);
                self.setbacks.insert(unit.clone(), Setback { since: now, pause });
            }
            _ => return,
        }
        self.release(unit, epoch, orders);
    }

    fn released(&mut self, unit: String, epoch: Epoch, orders: &mut Vec<Order>) {
        if self.stages.get(&unit) != Some(&Stage::Releasing(epoch)) {
            return;
        }
        self.set(unit.clone(), None);
        self.unreleased.remove(&unit);
        // A view may have come before this answer, and no other one comes by itself for a while.
        let seen = self.group.as_ref().is_some_and(|group| !group.owners.contains_key(&unit));
        self.given_up.insert(unit, epoch);
        if seen {
            self.place(orders);
        }
    }

    /// Successors wait until the broker shows them that nobody consumes any more. What has not ended when this happens a
    /// second time is cut.
    fn lease_lost(&mut self, orders: &mut Vec<Order>) {
        let again = self.life == Life::Ending;
        self.life = Life::Ending;
        let held: Vec<(String, Stage)> = self.stages.iter().map(|(unit, stage)| (unit.clone(), *stage)).collect();
        for (unit, stage) in held {
            match stage {
                // Nothing of it is open.
                Stage::Opening(_) if self.occupied.contains_key(&unit) => self.set(unit, None),
                Stage::Opening(epoch) | Stage::Open(epoch) if !again => {
                    self.set(unit.clone(), Some(Stage::Closing(epoch)));
                    orders.push(Order::Close { unit, epoch });
                }
                Stage::Closing(_) if !again => {}
                Stage::Opening(_) | Stage::Open(_) | Stage::Closing(_) => {
                    self.set(unit.clone(), None);
                    orders.push(Order::Cut { unit });
                }
                Stage::Claiming(_) | Stage::Idle(_) | Stage::Releasing(_) => self.set(unit, None),
            }
        }
        self.end_if_all_ended(orders);
    }

    fn end_if_all_ended(&mut self, orders: &mut Vec<Order>) {
        if self.stages.is_empty() {
            self.life = Life::Done;
            orders.push(Order::Done);
        }
    }

    fn broker_lost(&mut self, now: Duration, orders: &mut Vec<Order>) {
        if self.session != Session::Up {
            return;
        }
        self.session = Session::Lost { since: now };
        // Units see the end of their session before it is told. Its link waits longer where sessions are short; were each unit
        // to do so as well, one whose openings are cut off again and again would not be tried in a session that lasts.
        self.setbacks.retain(|_, setback| now > setback.since + self.options.loss_shows_within);
        let held: Vec<(String, Stage)> = self.stages.iter().map(|(unit, stage)| (unit.clone(), *stage)).collect();
        for (unit, stage) in held {
            if let Stage::Opening(epoch) | Stage::Open(epoch) | Stage::Closing(epoch) = stage {
                orders.push(Order::Cut { unit: unit.clone() });
                if matches!(stage, Stage::Closing(_)) {
                    self.release(unit, epoch, orders);
                } else {
                    self.set(unit.clone(), Some(Stage::Idle(epoch)));
                    self.reconcile(unit, Stage::Idle(epoch), orders);
                }
            }
        }
    }

    fn broker_back(&mut self, orders: &mut Vec<Order>) {
        self.session = Session::Up;
        if !self.ready && !self.draining() {
            self.ready = true;
            orders.push(Order::Ready { ready: true });
        }
    }

    fn drain(&mut self, orders: &mut Vec<Order>) {
        if self.draining() {
            return;
        }
        self.life = Life::Draining;
        self.ready = false;
        self.to_claim.clear();
        orders.push(Order::Ready { ready: false });
        let held: Vec<(String, Stage)> = self.stages.iter().map(|(unit, stage)| (unit.clone(), *stage)).collect();
        for (unit, stage) in held {
            self.reconcile(unit, stage, orders);
        }
    }

    fn tick(&mut self, now: Duration, orders: &mut Vec<Order>) {
        if let Session::Lost { since } = self.session
            && self.ready
            && now >= since + self.options.broker_grace
        {
            self.ready = false;
            orders.push(Order::Ready { ready: false });
            let idle: Vec<(String, Epoch)> = self
                .stages
                .iter()
                .filter_map(|(unit, stage)| match stage {
                    Stage::Idle(epoch) => Some((unit.clone(), *epoch)),
                    _ => None,
                })
                .collect();
            for (unit, epoch) in idle {
                self.release(unit, epoch, orders);
            }
        }
        if self.silent {
            return;
        }
        let due: Vec<String> = self.occupied.iter().filter(|(_, at)| **at <= now).map(|(u, _)| u.clone()).collect();
        for unit in due {
            self.occupied.remove(&unit);
            if let Some(Stage::Opening(epoch)) = self.stages.get(&unit).copied() {
                orders.push(Order::Open { unit, epoch });
            }
        }
        let due: Vec<String> = self.unreleased.iter().filter(|(_, at)| **at <= now).map(|(u, _)| u.clone()).collect();
        for unit in due {
            self.unreleased.remove(&unit);
            if let Some(Stage::Releasing(epoch)) = self.stages.get(&unit).copied() {
                orders.push(Order::Release { unit, epoch });
            }
        }
    }

    /// Claims and closes as many as may be under way at once.
    fn proceed(&mut self, now: Duration, orders: &mut Vec<Order>) {
        if matches!(self.life, Life::Ending | Life::Done) {
            return;
        }
        if self.session == Session::Up && !self.draining() && !self.silent {
            let room = self.options.claims_at_once.saturating_sub(self.claiming.len());
            let held_back = |unit: &String| self.setbacks.get(unit).is_some_and(|s| s.until() > now);
            let next: Vec<String> = self.to_claim.iter().filter(|u| !held_back(u)).take(room).cloned().collect();
            for unit in next {
                let held = match self.stages.get(&unit) {
                    Some(Stage::Idle(epoch)) => Some(*epoch),
                    _ => None,
                };
                self.set(unit.clone(), Some(Stage::Claiming(held)));
                orders.push(Order::Claim { unit });
            }
        }
        let room = match (self.draining(), self.silent) {
            (true, _) => usize::MAX,
            (false, true) => 0,
            (false, false) => self.options.moves_at_once.saturating_sub(self.leaving.len()),
        };
        // One that is still opening is closed when it has opened.
        let open = |unit: &&String| matches!(self.stages.get(*unit), Some(Stage::Open(_)));
        let next: Vec<String> = self.to_give.iter().filter(open).take(room).cloned().collect();
        for unit in next {
            if let Some(Stage::Open(epoch)) = self.stages.get(&unit).copied() {
                self.set(unit.clone(), Some(Stage::Closing(epoch)));
                orders.push(Order::Close { unit, epoch });
            }
        }
        // What cannot be released goes with the lease.
        let closed = |stage: &Stage| matches!(stage, Stage::Releasing(_) | Stage::Idle(_)) && self.silent;
        if self.draining() && self.stages.values().all(closed) {
            self.life = Life::Done;
            orders.push(Order::Done);
        }
    }

    fn release(&mut self, unit: String, epoch: Epoch, orders: &mut Vec<Order>) {
        self.set(unit.clone(), Some(Stage::Releasing(epoch)));
        orders.push(Order::Release { unit, epoch });
    }

    /// The one place where a stage changes, so that the lists agree with it.
    fn set(&mut self, unit: String, stage: Option<Stage>) {
        self.claiming.remove(&unit);
        self.leaving.remove(&unit);
        match stage {
            Some(Stage::Claiming(_)) => drop(self.claiming.insert(unit.clone())),
            Some(Stage::Closing(_) | Stage::Releasing(_)) => drop(self.leaving.insert(unit.clone())),
            _ => {}
        }
        self.occupied.remove(&unit);
        if !matches!(stage, Some(Stage::Idle(_))) {
            self.to_claim.remove(&unit);
        }
        if !matches!(stage, Some(Stage::Opening(_) | Stage::Open(_))) {
            self.to_give.remove(&unit);
        }
        match stage {
            Some(stage) => drop(self.stages.insert(unit, stage)),
            None => drop(self.stages.remove(&unit)),
        }
    }
}
