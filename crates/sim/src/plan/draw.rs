//! What is drawn of a seed, in the order of this file.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

use super::{Happening, MainQueues, Message, Plan};
use crate::network::Stall;
use nephoscope::agent::BySize;

/// Chains of transformers of which every sample's output is known exactly.
const TRANSFORMERS: [&str; 4] = [
    "{name: rate_of_change, parameters: {target: {name: rate, unit: B/s, type: gauge}}}",
    "{name: delta, parameters: {target: {name: growth}}}",
    "{name: unit_conversion, parameters: {source: {unit: B}, target: {unit: KB, scale: 'volume / 1024.0'}}}, \
     {name: rate_of_change, parameters: {target: {name: rate, unit: KB/s, type: gauge}}}",
    "{name: delta, parameters: {target: {name: growth}, growth_only: true}}, \
     {name: rate_of_change, parameters: {target: {name: acceleration, unit: B/s, type: gauge}}}",
];
/// What a seed's main queues are drawn by.
const MAIN_QUEUES: u64 = 0x6d61_696e;
/// What a seed's partitions of the broker are drawn by.
const OVERLOOKED: u64 = 0x6f76_6572;
/// What a seed's destinations are drawn by.
const DESTINATIONS: u64 = 0x6465_7374;
/// What a seed's prefetch by sizes is drawn by.
const BY_SIZE: u64 = 0x7369_7a65;
/// Numbers of pipeline queues that a change may lead to.
const QUEUES: [u16; 6] = [1, 2, 3, 4, 6, 9];
/// A change of the number of queues waits so many times half a second for what must be there first.
const REPARTITION_TRIES: u32 = 30;

/// Never to be read as a notification.
const POISON: [&str; 5] = [
    "not json",
    "[]",
    r#"{"oslo.version":"9.9","oslo.message":"{}"}"#,
    r#"{"oslo.version":"2.0","oslo.message":"["}"#,
    r#"{"message_id":"x","event_type":"e","priority":"BOGUS","payload":{}}"#,
];

impl Plan {
    /// The world of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let agents = [1, 2, 2, 2, 3, 3, 3, 3, 4, 5][rng.random_range(0..10)];
        let partitioned = agents > 1 || rng.random_bool(0.5);
        let seconds = |rng: &mut StdRng, range: std::ops::Range<u64>| Duration::from_secs(rng.random_range(range));
        let mut plan = Plan {
            agents,
            partitioned,
            // Not of the seed's own row of numbers: the worlds there were before stay what they were.
            main: match StdRng::seed_from_u64(seed ^ MAIN_QUEUES).random_range(0..10) {
                _ if !partitioned => MainQueues::Classic,
                0..2 => MainQueues::Quorum,
                2..4 => MainQueues::Shared,
                _ => MainQueues::Classic,
            },
            events: rng.random_bool(0.25),
            queues: [1, 2, 2, 3, 3, 4, 4, 5, 8, 16][rng.random_range(0..10)],
            polled: rng.random_bool(0.4),
            destinations: 1,
            overflow_after: Duration::ZERO,
            overflow_bytes_max: 0,
            lease_ttl: seconds(&mut rng, 2..11),
            view_period: seconds(&mut rng, 1..11),
            main_prefetch: rng.random_range(2..40),
            main_by_size: None,
            pipeline_prefetch: rng.random_range(1..12),
            packet_notifications: rng.random_range(1..12),
            taken_at_once: rng.random_range(1..30),
            moves_at_once: rng.random_range(1..4),
            calm: rng.random_bool(0.25),
            transformers: rng.random_bool(0.5).then(|| TRANSFORMERS[rng.random_range(0..TRANSFORMERS.len())]),
            small_logs: rng.random_bool(0.4),
            messages: Vec::new(),
            happenings: Vec::new(),
        };
        plan.plan_prefetch(&mut StdRng::seed_from_u64(seed ^ BY_SIZE));
        plan.plan_destinations(&mut StdRng::seed_from_u64(seed ^ DESTINATIONS));
        if plan.main == MainQueues::Shared {
            // State is exact by order, and nothing is promised of that.
            plan.transformers = None;
        }
        if plan.small_logs {
            // A record is never larger than a part of its log.
            (plan.taken_at_once, plan.packet_notifications) =
                (plan.taken_at_once.min(3), plan.packet_notifications.min(4));
        }
        let lasts = Duration::from_millis(rng.random_range(2_000..20_000));
        plan.plan_messages(&mut rng, lasts);
        plan.plan_happenings(&mut rng, lasts);
        plan.plan_overlooked(&mut StdRng::seed_from_u64(seed ^ OVERLOOKED));
        plan.happenings.sort_by_key(|(at, _)| *at);
        plan
    }

    /// From few notifications to as many as there may be otherwise, by bounds that both small and large ones meet. What waits is
    /// not bounded: where it is, notifications come out again without a fault.
    fn plan_prefetch(&mut self, rng: &mut StdRng) {
        let first = rng.random_range(1..=self.main_prefetch);
        let bytes_max = rng.random_range(1_000..30_000);
        let by_size = BySize {
            first,
            messages_min: 1,
            messages_max: self.main_prefetch,
            bytes_max,
            waiting_bytes_max: usize::MAX,
        };
        self.main_by_size = rng.random_bool(0.6).then_some(by_size);
    }

    fn plan_destinations(&mut self, rng: &mut StdRng) {
        self.destinations = [1, 1, 1, 1, 1, 2, 2, 2, 2, 3][rng.random_range(0..10)];
        self.overflow_after = Duration::from_millis(rng.random_range(200..2_000));
        // A calm world has no full ones: what such a queue does not take within the time of a stop comes out again.
        self.overflow_bytes_max = if rng.random_bool(0.2) && !self.calm { 4_000 } else { 1 << 30 };
    }

    fn plan_messages(&mut self, rng: &mut StdRng, lasts: Duration) {
        let (count, resources) = (rng.random_range(30..400), rng.random_range(1..10));
        // Evenly spread, or all at once now and then.
        let bursts: Vec<f64> = (0..rng.random_range(0..5)).map(|_| rng.random()).collect();
        let has_poison = rng.random_bool(0.3);
        for n in 0..count {
            let at = match bursts.len() {
                0 => rng.random::<f64>(),
                some => bursts[rng.random_range(0..some)] + 0.02 * rng.random::<f64>(),
            };
            let message = if has_poison && rng.random_bool(0.05) {
                let kind = POISON[rng.random_range(0..POISON.len())];
                Message::Poison(format!("{kind}{}", " ".repeat(n)).into_bytes())
            } else if self.polled && rng.random_bool(0.3) {
                let first = rng.random_range(0..resources);
                let few = rng.random_range(1..4);
                Message::Polled { resources: (first..resources).take(few).collect() }
            } else {
                Message::Info { resource: rng.random_range(0..resources) }
            };
            self.messages.push((lasts.mul_f64(at), message));
        }
        self.messages.sort_by_key(|(at, _)| *at);
    }

    fn plan_happenings(&mut self, rng: &mut StdRng, lasts: Duration) {
        for agent in 0..self.agents {
            let at = if agent == 0 || rng.random_bool(0.6) { 0.0 } else { rng.random::<f64>() };
            self.happenings.push((lasts.mul_f64(at), Happening::Start(agent)));
        }
        // Some while after the last message, so that faults also strike what is left of the work.
        for _ in 0..rng.random_range(0..7) {
            // Half of them while something is on its way.
            let busy = self.messages[rng.random_range(0..self.messages.len())].0;
            let at = if rng.random_bool(0.5) {
                busy + Duration::from_millis(rng.random_range(0..60))
            } else {
                lasts.mul_f64(1.2 * rng.random::<f64>())
            };
            let happening = if self.calm { self.something_calm(rng) } else { self.something(rng) };
            let happening = match happening {
                // What an agent alone remembers ends with it.
                Happening::Kill { agent, .. } | Happening::Drain { agent, .. } if self.forgets() => {
                    if self.calm {
                        Happening::Slow { agent, extra: Duration::from_millis(50), lasts: lasts / 4 }
                    } else {
                        Happening::Reset(agent)
                    }
                }
                happening => happening,
            };
            self.happenings.push((at, happening));
        }
        if self.partitioned && rng.random_bool(0.35) {
            for _ in 0..rng.random_range(1..3) {
                let queues = QUEUES[rng.random_range(0..QUEUES.len())];
                let repartition = Happening::Repartition { queues, tries: REPARTITION_TRIES };
                self.happenings.push((lasts.mul_f64(1.1 * rng.random::<f64>()), repartition));
            }
        }
    }

    /// The one case in which two owners of a queue can be at work at once: one has lost its lease without hearing of it, and
    /// the broker takes it for gone while it lives.
    fn plan_overlooked(&mut self, rng: &mut StdRng) {
        if self.calm || self.agents < 2 || rng.random_bool(0.6) {
            return;
        }
        let agent = rng.random_range(0..self.agents);
        let cut = self.lease_ttl + Duration::from_millis(rng.random_range(0..3_000));
        // It owns something by then.
        let at = self.messages[rng.random_range(0..self.messages.len())].0.max(cut + Duration::from_secs(2));
        let lasts = Duration::from_millis(rng.random_range(300..4_000));
        if rng.random_bool(0.6) {
            // Undisturbed by anything else.
            self.happenings = (0..self.agents).map(|agent| (Duration::ZERO, Happening::Start(agent))).collect();
        }
        // So that it has something to do, by which it can do harm.
        for _ in 0..rng.random_range(20..150) {
            let (_, message) = self.messages[rng.random_range(0..self.messages.len())].clone();
            let when = at.saturating_sub(Duration::from_secs(1)) + Duration::from_millis(rng.random_range(0..1_200));
            // Of what nobody can read, each is counted by itself.
            self.messages.extend((!matches!(message, Message::Poison(_))).then_some((when, message)));
        }
        self.messages.sort_by_key(|(at, _)| *at);
        let away = Stall { up: true, down: true };
        self.happenings.push((at.saturating_sub(cut), Happening::CutGroup { agent, lost: away, lasts: cut + lasts }));
        if rng.random_bool(0.7) {
            // And hears late of the next owner.
            let (before, extra) = (Duration::from_millis(600), Duration::from_millis(rng.random_range(100..1_500)));
            self.happenings.push((at.saturating_sub(before), Happening::Slow { agent, extra, lasts: before + lasts }));
        }
        self.happenings.push((at, Happening::Overlook { agent, lasts }));
    }

    fn something(&self, rng: &mut StdRng) -> Happening {
        let agent = rng.random_range(0..self.agents);
        let lasts = Duration::from_millis(rng.random_range(100..15_000));
        match rng.random_range(0..100) {
            0..22 => {
                let polls = if rng.random_bool(0.5) { rng.random_range(0..40) } else { rng.random_range(0..400) };
                Happening::Kill { agent, polls, back: lasts }
            }
            22..34 => {
                let dropped = rng.random_bool(0.6).then(|| lasts.mul_f64(rng.random::<f64>()));
                Happening::Freeze { agent, lasts: lasts * 2, dropped }
            }
            34..42 => Happening::Reset(agent),
            42..54 => Happening::CutBroker { agent, stall: some_stall(rng), lasts },
            54..66 => Happening::CutGroup { agent, lost: some_stall(rng), lasts },
            66..73 => Happening::BrokerRestart { lasts: lasts / 3 },
            73..78 => Happening::GroupAway { lasts },
            78..82 => self.away(true, lasts),
            _ => self.something_calm(rng),
        }
    }

    /// Nothing of this may make anything come out twice.
    fn something_calm(&self, rng: &mut StdRng) -> Happening {
        let agent = rng.random_range(0..self.agents);
        let lasts = Duration::from_millis(rng.random_range(100..12_000));
        match rng.random_range(0..100) {
            0..50 => Happening::Drain { agent, back: lasts },
            50..62 => Happening::Deafen { agent, lasts },
            62..72 => Happening::Slow { agent, extra: Duration::from_millis(rng.random_range(1..200)), lasts },
            72..82 => self.away(false, lasts),
            82..92 => {
                let extra = Duration::from_millis(rng.random_range(10..1_000));
                Happening::PublishersSlow { destination: self.one_of_the_destinations(lasts), extra, lasts }
            }
            _ => Happening::Pause { lasts },
        }
    }

    /// A destination is away. Where there are several, for long enough that it matters.
    fn away(&self, forgetful: bool, lasts: Duration) -> Happening {
        let destination = self.one_of_the_destinations(lasts);
        let lasts = if self.destinations > 1 { lasts } else { lasts / 3 };
        Happening::PublishersAway { destination, forgetful, lasts }
    }

    /// One of them, by a number that was drawn already: a draw of its own would make another world of the seed.
    fn one_of_the_destinations(&self, drawn: Duration) -> usize {
        usize::try_from(drawn.as_millis()).unwrap_or(0) % self.destinations
    }

    /// Whether there is state that does not outlive its process.
    fn forgets(&self) -> bool {
        self.transformers.is_some() && !self.partitioned
    }

    /// How many records may come out again after one fault: what could be on its way in every queue.
    pub(crate) fn repeats_per_fault(&self) -> usize {
        let sinks = 1 + usize::from(self.events);
        let main = usize::from(self.main_prefetch) * (1 + usize::from(self.polled)) * 3;
        let pipeline = usize::from(self.pipeline_prefetch) * self.packet_notifications * 3;
        let changes = self.happenings.iter().filter_map(|(_, happening)| match happening {
            Happening::Repartition { queues, .. } => Some(*queues),
            _ => None,
        });
        let queues = changes.fold(self.queues, u16::max);
        let overflow = pipeline * sinks * if self.destinations > 1 { self.destinations } else { 0 };
        let once = main + overflow + if self.partitioned { pipeline * sinks * usize::from(queues) } else { 0 };
        once * self.destinations
    }
}

/// Which way is cut: the one, the other, both.
fn some_stall(rng: &mut StdRng) -> Stall {
    match rng.random_range(0..3) {
        0 => Stall { up: true, down: false },
        1 => Stall { up: false, down: true },
        _ => Stall { up: true, down: true },
    }
}

/// A poison body of each kind, with or without spaces at its end, stays what it is.
#[cfg(test)]
mod tests {
    use super::*;
    use nephoscope::model::envelope;

    #[test]
    fn poison_cannot_be_read() {
        for poison in POISON {
            assert!(envelope::open(format!("{poison}   ").as_bytes()).is_err(), "{poison}");
        }
    }

    #[test]
    fn a_seed_means_one_world() {
        for seed in 0..50 {
            assert_eq!(format!("{:?}", Plan::of(seed)), format!("{:?}", Plan::of(seed)));
        }
    }
}
