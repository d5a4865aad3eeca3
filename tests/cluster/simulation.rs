//! Several machines and a model of the group, with seeded faults: killed, cut off, broker gone, answers late and lost.
//!
//! Held at every step: a queue is open at most once. Held after the faults stop: every queue is open exactly where
//! placement wants it, and nothing more is ordered.

use nephoscope::cluster::{Epoch, Group, Happening, MemberState, Order, Owner, Ownership, OwnershipOptions};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// What a killed member's lease still lasts.
const LEASE: Duration = Duration::from_secs(10);
/// What is left of a lease when its holder has passed its own deadline.
const LEASE_REST: Duration = Duration::from_secs(2);
const MEMBERS_MAX: usize = 5;

#[derive(Default)]
struct World {
    now: Duration,
    group: Group,
    /// Leases of the dead: member, and when it expires.
    expiring: Vec<(String, Duration)>,
    processes: Vec<Process>,
    orders: usize,
}

struct Process {
    id: String,
    machine: Ownership,
    broker: bool,
    /// Ordered and not yet carried out; about one queue in order.
    todo: Vec<Order>,
    answers: VecDeque<Happening>,
    /// Read, and not yet given to the machine.
    view: Option<Group>,
    open: BTreeSet<(String, Epoch)>,
    left: bool,
    /// Its lease is gone: nothing in the group is its own any more, whoever has its id.
    lost: bool,
}

impl World {
    fn join(&mut self, queues: &BTreeSet<String>) {
        let free = (0..MEMBERS_MAX).map(|n| format!("m{n}")).find(|id| !self.group.members.contains_key(id));
        let Some(id) = free else { return };
        self.group.revision += 1;
        self.group.members.insert(id.clone(), MemberState { weight: 1, ready: false });
        let options = OwnershipOptions { moves_at_once: 2, claims_at_once: 3, ..OwnershipOptions::default() };
        self.processes.push(Process {
            machine: Ownership::new(id.clone(), options),
            id,
            broker: false,
            todo: Vec::new(),
            answers: VecDeque::from([Happening::Queues(queues.clone()), Happening::BrokerBack]),
            view: None,
            open: BTreeSet::new(),
            left: false,
            lost: false,
        });
        if let Some(process) = self.processes.last_mut() {
            process.broker = true;
        }
    }

    fn expire(&mut self) {
        let now = self.now;
        let due: Vec<String> = self.expiring.iter().filter(|(_, at)| *at <= now).map(|(id, _)| id.clone()).collect();
        self.expiring.retain(|(_, at)| *at > now);
        due.iter().for_each(|id| self.revoke(id));
    }

    fn revoke(&mut self, id: &str) {
        self.group.revision += 1;
        self.group.members.remove(id);
        self.group.owners.retain(|_, owner| owner.member != id);
    }

    fn happens(&mut self, at: usize, happening: Happening) {
        let process = &mut self.processes[at];
        for order in process.machine.step(happening, self.now) {
            self.orders += 1;
            match &order {
                // Carried out at once, and whatever was still to be done about the queue is void.
                Order::Cut { queue } => {
                    process.open.retain(|(u, _)| u != queue);
                    process.todo.retain(|order| queue_of(order) != Some(queue));
                }
                Order::Done => process.left = true,
                _ => process.todo.push(order),
            }
        }
    }

    /// Carries out the oldest order about some queue.
    fn carry_out(&mut self, at: usize, rng: &mut StdRng, faults: bool) {
        let at_work: BTreeSet<String> =
            self.processes.iter().flat_map(|p| &p.open).map(|(queue, _)| queue.clone()).collect();
        let process = &mut self.processes[at];
        if process.todo.is_empty() {
            return;
        }
        let some = rng.random_range(0..process.todo.len());
        let queue = queue_of(&process.todo[some]).cloned();
        let oldest = process.todo.iter().position(|order| queue_of(order) == queue.as_ref()).unwrap();
        let order = process.todo.remove(oldest);
        let luck = if faults { rng.random_range(0..100) } else { 50 };
        let answer = match order {
            Order::Prepare => Happening::Prepared,
            Order::Ready { .. } if process.lost => return,
            Order::Claim { queue } if process.lost => Happening::ClaimRefused { queue },
            Order::Release { queue, epoch } if process.lost => Happening::ReleaseFailed { queue, epoch },
            // Somebody without a lease has not ended yet, or something else takes its time: it waits, and can be closed.
            Order::Open { queue, epoch } if at_work.contains(&queue) || luck < 5 => {
                let close = Order::Close { queue: queue.clone(), epoch };
                let Some(close) = process.todo.iter().position(|order| *order == close) else {
                    process.todo.insert(oldest, Order::Open { queue, epoch });
                    return;
                };
                process.todo.remove(close);
                Happening::Closed { queue, epoch }
            }
            Order::Ready { ready } => {
                self.group.revision += 1;
                if let Some(member) = self.group.members.get_mut(&process.id) {
                    member.ready = ready;
                }
                return;
            }
            Order::Claim { queue } => {
                let free = self.group.owners.get(&queue).is_none_or(|owner| owner.member == process.id);
                if luck < 5 || !free || !self.group.members.contains_key(&process.id) {
                    Happening::ClaimRefused { queue }
                } else {
                    self.group.revision += 1;
                    let epoch = self.group.revision;
                    self.group.owners.insert(queue.clone(), Owner { member: process.id.clone(), epoch });
                    // Now and then the answer is lost.
                    if luck < 15 { Happening::ClaimRefused { queue } } else { Happening::Claimed { queue, epoch } }
                }
            }
            Order::Open { queue, epoch } if luck < 10 || !process.broker => Happening::OpenFailed { queue, epoch },
            Order::Open { queue, epoch } => {
                process.open.insert((queue.clone(), epoch));
                Happening::Opened { queue, epoch }
            }
            Order::Close { queue, epoch } => {
                process.open.remove(&(queue.clone(), epoch));
                Happening::Closed { queue, epoch }
            }
            Order::Release { queue, epoch } => {
                let mine = Owner { member: process.id.clone(), epoch };
                if luck >= 5 && self.group.owners.get(&queue) == Some(&mine) {
                    self.group.owners.remove(&queue);
                    self.group.revision += 1;
                }
                if luck < 10 { Happening::ReleaseFailed { queue, epoch } } else { Happening::Released { queue, epoch } }
            }
            Order::Cut { .. } | Order::Done => return,
        };
        process.answers.push_back(answer);
    }

    fn deliver(&mut self, at: usize) {
        if let Some(happening) = self.processes[at].answers.pop_front() {
            self.happens(at, happening);
        }
    }

    fn read_view(&mut self, at: usize) {
        if let Some(view) = self.processes[at].view.take() {
            self.happens(at, Happening::Viewed(view));
        } else {
            self.processes[at].view = Some(self.group.clone());
        }
    }

    /// The process is gone; its lease lasts a while.
    fn bury(&mut self, at: usize) {
        let process = self.processes.remove(at);
        if !process.lost {
            self.expiring.push((process.id, self.now + LEASE));
        }
    }

    fn set_broker(&mut self, at: usize, up: bool) {
        let process = &mut self.processes[at];
        if process.broker == up {
            return;
        }
        process.broker = up;
        if up {
            self.happens(at, Happening::BrokerBack);
        } else {
            process.open.clear();
            self.happens(at, Happening::BrokerLost);
        }
    }

    fn strike(&mut self, rng: &mut StdRng, queues: &BTreeSet<String>) {
        let at = if self.processes.is_empty() {
            return self.join(queues);
        } else {
            rng.random_range(0..self.processes.len())
        };
        match rng.random_range(0..11) {
            0 | 1 => self.join(queues),
            2 => self.bury(at),
            3 => {
                if !self.processes[at].lost {
                    // Where silence is borne for a bounded time only, the lease may still stand a little.
                    self.processes[at].lost = true;
                    let rest = LEASE_REST * rng.random_range(0..2);
                    self.expiring.push((self.processes[at].id.clone(), self.now + rest));
                }
                // The second time it has taken too long.
                self.happens(at, Happening::LeaseLost);
            }
            4 | 5 => self.set_broker(at, false),
            6 => self.set_broker(at, true),
            7 => self.happens(at, Happening::Drain),
            // Past its deadline and heard again while its lease still stands.
            8 => self.happens(at, Happening::Silent),
            9 => self.happens(at, Happening::Heard),
            _ => {
                self.group.revision += 1;
                self.group.paused = !self.group.paused;
            }
        }
    }

    /// Those whose machine is done leave the group.
    fn see_off(&mut self) {
        while let Some(at) = self.processes.iter().position(|process| process.left) {
            let process = self.processes.remove(at);
            assert!(process.open.is_empty(), "done with open queues");
            if !process.lost {
                self.revoke(&process.id);
            }
        }
    }

    fn check(&self) {
        let mut seen = BTreeSet::new();
        for (queue, epoch) in self.processes.iter().flat_map(|process| &process.open) {
            assert!(seen.insert(queue), "{queue} is open twice, once with epoch {epoch}");
        }
    }

    fn one_step(&mut self, rng: &mut StdRng, queues: &BTreeSet<String>) {
        self.now += Duration::from_millis(rng.random_range(0..400));
        self.expire();
        if rng.random_range(0..100) < 6 {
            self.strike(rng, queues);
        }
        for _ in 0..4 {
            if self.processes.is_empty() {
                continue;
            }
            let at = rng.random_range(0..self.processes.len());
            match rng.random_range(0..10) {
                0 | 1 => self.read_view(at),
                2 => self.happens(at, Happening::Tick),
                3..=6 => self.carry_out(at, rng, true),
                _ => self.deliver(at),
            }
        }
        self.see_off();
        self.check();
    }

    /// Whether there is nothing to do for a process but to wait for what others have open.
    fn waits(&self, at: usize) -> bool {
        let is_open = |queue: &String| self.processes.iter().flat_map(|p| &p.open).any(|(open, _)| open == queue);
        let waits = |order: &Order| matches!(order, Order::Open { queue, .. } if is_open(queue));
        self.processes[at].answers.is_empty() && self.processes[at].todo.iter().all(waits)
    }

    /// Half a second without faults; whether anything was still under way.
    fn calm_round(&mut self, rng: &mut StdRng) -> bool {
        self.now += Duration::from_millis(500);
        self.expire();
        let before = self.orders;
        for at in 0..self.processes.len() {
            while !self.waits(at) {
                self.carry_out(at, rng, false);
                self.deliver(at);
                self.check();
            }
            self.processes[at].view = Some(self.group.clone());
            self.read_view(at);
            self.happens(at, Happening::Tick);
        }
        self.see_off();
        self.orders > before
    }
}

fn queue_of(order: &Order) -> Option<&String> {
    match order {
        Order::Claim { queue } | Order::Cut { queue } => Some(queue),
        Order::Open { queue, .. } | Order::Close { queue, .. } | Order::Release { queue, .. } => Some(queue),
        Order::Prepare | Order::Ready { .. } | Order::Done => None,
    }
}

fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let queues: BTreeSet<String> = (0..rng.random_range(1..20)).map(|n| format!("u{n}")).collect();
    let mut world = World::default();
    for _ in 0..rng.random_range(2..=3) {
        world.join(&queues);
    }
    for _ in 0..600 {
        world.one_step(&mut rng, &queues);
    }
    world.group.paused = false;
    world.group.revision += 1;
    if world.processes.len() < 2 {
        world.now += LEASE;
        world.expire();
        world.join(&queues);
        world.join(&queues);
    }
    for at in 0..world.processes.len() {
        world.set_broker(at, true);
        world.happens(at, Happening::Heard);
    }
    let before = world.orders;
    // The longest wait is a setback of 30 s.
    let rounds = (0..200).filter(|_| world.calm_round(&mut rng)).count();
    assert!((0..10).all(|_| !world.calm_round(&mut rng)), "orders without end: {rounds} rounds");
    let ordered = world.orders - before;
    assert!(ordered <= 20 * queues.len() * MEMBERS_MAX, "{ordered} orders for {} queues", queues.len());
    for process in &world.processes {
        let open: Vec<(&String, &Epoch)> = process.open.iter().map(|(queue, epoch)| (queue, epoch)).collect();
        let owned = world.group.owners.iter().filter(|(_, owner)| owner.member == process.id);
        assert_eq!(open, owned.map(|(queue, owner)| (queue, &owner.epoch)).collect::<Vec<_>>(), "{}", process.id);
        let placed = process.machine.placed().iter().filter(|(_, member)| **member == process.id);
        assert!(open.iter().map(|(queue, _)| *queue).eq(placed.map(|(queue, _)| queue)), "{}", process.id);
    }
    // Whoever drained is gone, whoever stayed has its share.
    let total: usize = world.processes.iter().map(|process| process.open.len()).sum();
    assert_eq!(total, if world.processes.is_empty() { 0 } else { queues.len() });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn every_queue_is_open_once_and_in_the_end_where_it_belongs(seed in any::<u64>()) {
        run(seed);
    }
}
