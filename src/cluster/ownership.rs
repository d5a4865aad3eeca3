//! The ownership machine of one member, for one membership: what happens goes in, what is to be done comes out.
//!
//! A queue (main, pipeline or overflow) walks one way only:
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
//! of it: the owner key is claimed once more for a new epoch before the queue is opened again.
//!
//! While moving is paused, nobody gives up a queue it could keep. Queues without an owner are still taken, and a member
//! that drains still leaves: a pause must not turn a crash into a standstill.
//!
//! While the group is silent (nobody says whether the lease still stands) what is open stays open, and nothing is begun:
//! no claim, no opening, no hand-over. A member that drains goes on, and leaves what it cannot release to its lease.
//!
//! An opening waits for a former owner that still has the queue at the broker, for as long as that takes: so one that opens
//! can be closed, and a member that loses its lease ends in order what it has open.
//!
//! Never here: retries inside an order, time limits of a close or open (the agent's: it answers with a failure).

mod ending;
mod happening;
mod placing;
mod queue;

pub use happening::{Happening, Order, OwnershipOptions};
pub use queue::Stage;

use super::group::{Epoch, Group};
use super::placement::Ring;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use queue::Queue;

/// How far this membership is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Working,
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

/// The machine. One per membership: after [`Order::Done`] it says nothing more, and a new membership needs a new one.
#[derive(Debug)]
pub struct Ownership {
    me: String,
    options: OwnershipOptions,
    /// All queues of the group, by name; none before the first [`Happening::Queues`].
    names: Option<BTreeSet<String>>,
    group: Option<Group>,
    ring: Ring,
    placed: BTreeMap<String, String>,
    /// Every queue that this member has a hand in, wants, or has to remember.
    queues: BTreeMap<String, Queue>,
    session: Session,
    ready: bool,
    silent: bool,
    draining: bool,
    life: Life,
}

impl Ownership {
    /// The machine of member `me`, which owns nothing, knows nothing and has no broker session yet.
    pub fn new(me: impl Into<String>, options: OwnershipOptions) -> Self {
        Ownership {
            me: me.into(),
            options,
            names: None,
            group: None,
            ring: Ring::default(),
            placed: BTreeMap::new(),
            queues: BTreeMap::new(),
            session: Session::Never,
            ready: false,
            silent: false,
            draining: false,
            life: Life::Working,
        }
    }

    /// Takes in one happening, at `now` (since any fixed start, never going back); what is to be done about it, in
    /// this order for one queue, in any order for different queues.
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
            Happening::Queues(queues) => {
                self.names = Some(queues);
                self.place(&mut orders);
            }
            Happening::Claimed { queue, epoch } => self.claimed(queue, epoch, &mut orders),
            Happening::ClaimRefused { queue } => self.claim_refused(queue),
            Happening::Opened { queue, epoch } => self.opened(queue, epoch),
            Happening::OpenFailed { queue, epoch } | Happening::Closed { queue, epoch } => {
                self.closed(queue, epoch, now, &mut orders);
            }
            Happening::Released { queue, epoch } => self.released(queue, epoch, &mut orders),
            Happening::ReleaseFailed { queue, epoch } => {
                if self.stage(&queue) == Some(Stage::Releasing(epoch)) {
                    let again = now + self.options.release_again;
                    self.queue(queue).release_again(again);
                }
            }
            Happening::LeaseLost => self.lease_lost(&mut orders),
            Happening::Silent => self.silent = true,
            Happening::Heard => {
                self.silent = false;
                self.place(&mut orders);
            }
            Happening::BrokerLost => self.broker_lost(now, &mut orders),
            Happening::BrokerBack => self.broker_back(&mut orders),
            Happening::Prepared => self.prepared(&mut orders),
            Happening::Drain => self.drain(&mut orders),
            Happening::Tick => self.tick(now, &mut orders),
        }
        self.proceed(now, &mut orders);
        self.queues.retain(|_, queue| !queue.is_blank());
        orders
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
        grace.into_iter().chain(self.queues.values().filter_map(Queue::wake_at)).min()
    }

    /// The queues this member has a hand in.
    pub fn stages(&self) -> impl Iterator<Item = (&str, Stage)> {
        self.queues.iter().filter_map(|(name, queue)| Some((name.as_str(), queue.stage()?)))
    }

    /// Whether nobody says whether the lease still stands.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Whether this member was told to leave in order.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether the group is told that this member can take work.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether there is a broker session.
    pub fn session_up(&self) -> bool {
        self.session == Session::Up
    }

    /// Which member should have which queue, by the last view; a queue is missing while no member is ready.
    pub fn placed(&self) -> &BTreeMap<String, String> {
        &self.placed
    }

    fn claimed(&mut self, queue: String, epoch: Epoch, orders: &mut Vec<Order>) {
        match self.stage(&queue) {
            Some(Stage::Claiming(_)) => {}
            // Not asked for: given back. Our own of long ago is not.
            Some(Stage::Idle(e) | Stage::Opening(e) | Stage::Open(e) | Stage::Closing(e) | Stage::Releasing(e))
                if e >= epoch =>
            {
                return;
            }
            _ => return orders.push(Order::Release { queue, epoch }),
        }
        if self.should_leave(&queue) {
            self.release(queue, epoch, orders);
        } else if self.session_up() && !self.silent {
            self.queue(queue.clone()).set(Some(Stage::Opening(epoch)));
            orders.push(Order::Open { queue, epoch });
        } else {
            self.queue(queue).set(Some(Stage::Idle(epoch)));
        }
    }

    fn claim_refused(&mut self, queue: String) {
        if let Some(Stage::Claiming(held)) = self.stage(&queue) {
            // Asked again when the next view says so.
            self.queue(queue).set(held.map(Stage::Idle));
        }
    }

    fn opened(&mut self, queue: String, epoch: Epoch) {
        if self.stage(&queue) == Some(Stage::Opening(epoch)) {
            let queue = self.queue(queue);
            queue.forget_setback();
            queue.set(Some(Stage::Open(epoch)));
        }
    }

    /// A queue is closed, because I wanted it or not.
    fn closed(&mut self, queue: String, epoch: Epoch, now: Duration, orders: &mut Vec<Order>) {
        match self.stage(&queue) {
            Some(Stage::Closing(e)) if e == epoch => {}
            Some(Stage::Opening(e) | Stage::Open(e)) if e == epoch => {
                self.queues.entry(queue.clone()).or_default().set_back(now, &self.options);
            }
            _ => return,
        }
        self.release(queue, epoch, orders);
    }

    fn released(&mut self, queue: String, epoch: Epoch, orders: &mut Vec<Order>) {
        if self.stage(&queue) != Some(Stage::Releasing(epoch)) {
            return;
        }
        // A view may have come before this answer, and no other one comes by itself for a while.
        let seen = self.group.as_ref().is_some_and(|group| !group.owners.contains_key(&queue));
        let queue = self.queue(queue);
        queue.set(None);
        queue.give_up(epoch);
        if seen {
            self.place(orders);
        }
    }

    fn broker_lost(&mut self, now: Duration, orders: &mut Vec<Order>) {
        if self.session != Session::Up {
            return;
        }
        self.session = Session::Lost { since: now };
        // Listeners see the end of the session before this machine is told. The link waits longer where sessions are short. If
        // each queue did so as well, one whose openings are cut off again and again would not be tried in a session that lasts.
        let by_loss = self.queues.values_mut().filter(|queue| queue.was_set_back_by_loss(now, &self.options));
        by_loss.for_each(Queue::forget_setback);
        for (queue, stage) in self.in_hand() {
            if let Stage::Opening(epoch) | Stage::Open(epoch) | Stage::Closing(epoch) = stage {
                orders.push(Order::Cut { queue: queue.clone() });
                if matches!(stage, Stage::Closing(_)) {
                    self.release(queue, epoch, orders);
                } else {
                    self.queue(queue.clone()).set(Some(Stage::Idle(epoch)));
                    self.reconcile(queue, Stage::Idle(epoch), orders);
                }
            }
        }
    }

    fn broker_back(&mut self, orders: &mut Vec<Order>) {
        self.session = Session::Up;
        if !self.ready && !self.draining {
            orders.push(Order::Prepare);
        }
    }

    /// What was prepared in a session that is over counts for nothing: its successor is prepared anew.
    fn prepared(&mut self, orders: &mut Vec<Order>) {
        if self.session_up() && !self.ready && !self.draining {
            self.ready = true;
            orders.push(Order::Ready { ready: true });
        }
    }

    fn tick(&mut self, now: Duration, orders: &mut Vec<Order>) {
        if let Session::Lost { since } = self.session
            && self.ready
            && now >= since + self.options.broker_grace
        {
            self.ready = false;
            orders.push(Order::Ready { ready: false });
            for (queue, stage) in self.in_hand() {
                if let Stage::Idle(epoch) = stage {
                    self.release(queue, epoch, orders);
                }
            }
        }
        if self.silent {
            return;
        }
        for (name, queue) in &mut self.queues {
            if let Some(epoch) = queue.is_to_release(now) {
                orders.push(Order::Release { queue: name.clone(), epoch });
            }
        }
    }

    /// Claims and closes as many as may be under way at once.
    fn proceed(&mut self, now: Duration, orders: &mut Vec<Order>) {
        if matches!(self.life, Life::Ending | Life::Done) {
            return;
        }
        if self.session_up() && !self.draining && !self.silent {
            let under_way = self.queues.values().filter(|queue| queue.is_claiming()).count();
            let room = self.options.claims_at_once.saturating_sub(under_way);
            for (name, queue) in self.queues.iter_mut().filter(|(_, queue)| queue.is_to_claim(now)).take(room) {
                let held = queue.held();
                queue.set(Some(Stage::Claiming(held)));
                orders.push(Order::Claim { queue: name.clone() });
            }
        }
        let leaving = self.queues.values().filter(|queue| queue.is_leaving()).count();
        let room = match (self.draining, self.silent) {
            (true, _) => usize::MAX,
            (false, true) => 0,
            (false, false) => self.options.moves_at_once.saturating_sub(leaving),
        };
        let to_close = self.queues.iter_mut().filter_map(|(name, queue)| Some((name, queue.to_close()?, queue)));
        for (name, epoch, queue) in to_close.take(room) {
            queue.set(Some(Stage::Closing(epoch)));
            orders.push(Order::Close { queue: name.clone(), epoch });
        }
        // What cannot be released goes with the lease.
        let silent = self.silent;
        let closed = |stage| matches!(stage, Stage::Releasing(_) | Stage::Idle(_)) && silent;
        if self.draining && self.stages().all(|(_, stage)| closed(stage)) {
            self.life = Life::Done;
            orders.push(Order::Done);
        }
    }

    fn release(&mut self, queue: String, epoch: Epoch, orders: &mut Vec<Order>) {
        self.queue(queue.clone()).set(Some(Stage::Releasing(epoch)));
        orders.push(Order::Release { queue, epoch });
    }

    fn queue(&mut self, queue: String) -> &mut Queue {
        self.queues.entry(queue).or_default()
    }

    fn stage(&self, queue: &str) -> Option<Stage> {
        self.queues.get(queue)?.stage()
    }

    /// What this member has a hand in, as it is now.
    fn in_hand(&self) -> Vec<(String, Stage)> {
        self.stages().map(|(queue, stage)| (queue.to_owned(), stage)).collect()
    }
}
