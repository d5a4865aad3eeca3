//! Who should own which queue: a consistent ring, with quotas and stickiness on top.
//!
//! 1. Every member has a quota: its share of the queues by weight, rounded down, and one of the remaining seats goes
//!    to those that would otherwise have to give a queue away, then by largest remainder, then by ring order.
//! 2. Every present owner keeps its queues up to its quota (in the order of their hashes).
//! 3. What is above a quota, and what has no owner, walks the ring from its own hash to the first member below quota.
//!
//! A queue that an operator has pinned to a member is that member's before anything else, and counts against its quota; a
//! member that is pinned more than its share has just that, and the others share the rest. A pin to a member that is not
//! on the ring is as none.
//!
//! So equal weights differ by at most one queue, nothing moves that need not, and taking one step of the plan does not
//! change the rest of it: queues walk in the order of their hashes, which is the same before and after a step.

use super::hash;
use hashring::HashRing;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Points of each member on the ring. All members have the same number: weights act through the quotas.
pub const VIRTUAL_NODES: u32 = 256;
/// The heaviest weight; the lightest is 1.
pub const WEIGHT_MAX: u32 = 100;

/// A point of a member on the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    /// Where it is: the stable hash of twelve bytes, which are the stable hash of the member's id and the number of the
    /// virtual node, both little end first.
    at: u64,
    /// The member's place in the order of the ids.
    member: usize,
}

impl Point {
    fn all(member: usize, id: &str) -> impl Iterator<Item = Point> {
        let id_hash = hash::stable(id.as_bytes());
        (0..VIRTUAL_NODES).map(move |number| {
            let mut bytes = [0; 12];
            bytes[..8].copy_from_slice(&id_hash.to_le_bytes());
            bytes[8..].copy_from_slice(&number.to_le_bytes());
            Point { at: hash::stable(&bytes), member }
        })
    }
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.at);
    }
}

/// The hash of a number is that number: what is looked up on the ring is a stable hash already, and the walk goes on from
/// a place, not from a key.
#[derive(Debug, Clone, Copy, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash::stable(bytes);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The ring of the members that can take work. Kept from view to view: it changes only with them.
#[derive(Debug, Clone)]
pub struct Ring {
    /// In order of their ids.
    members: Vec<(String, u32)>,
    points: HashRing<Point, BuildHasherDefault<Identity>>,
}

impl Default for Ring {
    fn default() -> Self {
        Ring { members: Vec::new(), points: HashRing::with_hasher(BuildHasherDefault::new()) }
    }
}

impl Ring {
    /// The ring of these members (id, weight); of a repeated id the last weight counts.
    pub fn new<'a>(members: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut ring = Ring::default();
        ring.set_members(members);
        ring
    }

    /// Makes it the ring of these members. Nothing is done to the points if the ids are the same as before.
    pub fn set_members<'a>(&mut self, members: impl IntoIterator<Item = (&'a str, u32)>) {
        let members: BTreeMap<&str, u32> = members.into_iter().map(|(id, w)| (id, w.clamp(1, WEIGHT_MAX))).collect();
        let members: Vec<(String, u32)> = members.into_iter().map(|(id, weight)| (id.to_owned(), weight)).collect();
        let before = std::mem::replace(&mut self.members, members);
        if before.iter().map(|(id, _)| id).eq(self.members.iter().map(|(id, _)| id)) {
            return;
        }
        let each = self.members.iter().enumerate();
        let mut points = HashRing::with_hasher(BuildHasherDefault::new());
        points.batch_add(each.flat_map(|(member, (id, _))| Point::all(member, id)).collect());
        self.points = points;
    }

    /// The first member with room, on the way around the ring from a place.
    fn first_with_room(&self, mut place: u64, room: &[usize]) -> Option<usize> {
        for _ in 0..self.points.len() {
            let point = self.points.get(&place)?;
            if room[point.member] > 0 {
                return Some(point.member);
            }
            place = point.at.wrapping_add(1);
        }
        None
    }

    /// Which member should have which queue, given who has what now. Total: with at least one member every queue is
    /// placed, once; without members none is. The order of `queues` does not matter; a repeated queue counts once.
    pub fn place<'a, 'q, 'o>(
        &'a self,
        queues: impl IntoIterator<Item = &'q str>,
        owner: impl Fn(&str) -> Option<&'o str>,
    ) -> BTreeMap<&'q str, &'a str> {
        self.place_pinned(queues, owner, |_| None)
    }

    /// The same with pins: the member that has to have a queue, where there is one.
    pub fn place_pinned<'a, 'q, 'o>(
        &'a self,
        queues: impl IntoIterator<Item = &'q str>,
        owner: impl Fn(&str) -> Option<&'o str>,
        pin: impl Fn(&str) -> Option<&'o str>,
    ) -> BTreeMap<&'q str, &'a str> {
        if self.members.is_empty() {
            return BTreeMap::new();
        }
        let mut names: Vec<&str> = queues.into_iter().collect();
        names.sort_unstable(); // free where they come in order
        names.dedup();
        let mut by_hash: Vec<(u64, usize)> =
            names.iter().enumerate().map(|(n, queue)| (hash::stable(queue.as_bytes()), n)).collect();
        by_hash.sort_unstable();
        let index: HashMap<&str, usize> =
            self.members.iter().enumerate().map(|(n, (id, _))| (id.as_str(), n)).collect();
        let of = |id: Option<&str>| id.and_then(|id| index.get(id).copied());
        let mut placed: Vec<Option<usize>> = names.iter().map(|queue| of(pin(queue))).collect();
        let owners: Vec<Option<usize>> =
            names.iter().zip(&placed).map(|(queue, pinned)| pinned.or_else(|| of(owner(queue)))).collect();
        let mut room = self.quotas(&owners, &placed);
        for member in placed.iter().flatten() {
            room[*member] -= 1;
        }
        for (_, queue) in &by_hash {
            if placed[*queue].is_some() {
                continue;
            }
            placed[*queue] = owners[*queue].filter(|member| room[*member] > 0);
            if let Some(member) = placed[*queue] {
                room[member] -= 1;
            }
        }
        for (point, queue) in by_hash {
            if placed[queue].is_some() {
                continue;
            }
            placed[queue] = self.first_with_room(point, &room);
            if let Some(member) = placed[queue] {
                room[member] -= 1;
            }
        }
        let member = |n: usize| self.members[n].0.as_str();
        names.into_iter().zip(placed).filter_map(|(queue, placed)| Some((queue, member(placed?)))).collect()
    }

    /// How many queues each member should have; the sum is exactly the number of queues.
    fn quotas(&self, owners: &[Option<usize>], pinned: &[Option<usize>]) -> Vec<usize> {
        let count = |of: &[Option<usize>]| {
            let mut has = vec![0usize; self.members.len()];
            of.iter().flatten().for_each(|member| has[*member] += 1);
            has
        };
        let (has, pinned) = (count(owners), count(pinned));
        let weight = |n: usize| self.members[n].1 as usize;
        let (mut queues, mut quotas) = (owners.len(), pinned.clone());
        // Whoever is pinned more than its share has what it is pinned; what that takes from the others may make
        // another one such.
        let mut sharing: Vec<usize> = (0..self.members.len()).collect();
        let whole = loop {
            let whole: usize = sharing.iter().map(|n| weight(*n)).sum();
            let within = |n: &usize| pinned[*n] <= queues * weight(*n) / whole;
            let (rest, beyond): (Vec<usize>, Vec<usize>) = sharing.iter().partition(|n| within(n));
            sharing = rest;
            if beyond.is_empty() || sharing.is_empty() {
                break whole;
            }
            queues -= beyond.iter().map(|n| pinned[*n]).sum::<usize>();
        };
        for n in &sharing {
            quotas[*n] = queues * weight(*n) / whole;
        }
        let seats = queues.saturating_sub(sharing.iter().map(|n| quotas[*n]).sum());
        let mut waiting: Vec<_> = sharing
            .into_iter()
            .map(|n| {
                let remainder = queues * weight(n) % whole;
                let gives = has[n] > quotas[n];
                // Whoever has no remainder has its exact share, and is last.
                ((remainder == 0, !gives, std::cmp::Reverse(remainder), hash::stable(self.members[n].0.as_bytes())), n)
            })
            .collect();
        waiting.sort_unstable();
        for (_, n) in waiting.into_iter().take(seats) {
            quotas[n] += 1;
        }
        quotas
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Placed = BTreeMap<String, String>;

    /// A plan stays the same while it is carried out step by step: queues are given up, and claimed or not.
    fn stays_planned(
        queues: &[String],
        plan: &Placed,
        mut owners: Placed,
        steps: Vec<(prop::sample::Index, bool)>,
        again: impl Fn(&Placed) -> Placed,
    ) -> Result<(), TestCaseError> {
        for (which, claimed) in steps {
            let queue = &queues[which.index(queues.len())];
            if owners.get(queue) != plan.get(queue) {
                owners.remove(queue);
                if claimed {
                    owners.insert(queue.clone(), plan[queue].clone());
                }
            }
            prop_assert_eq!(&again(&owners), plan);
        }
        Ok(())
    }

    fn place(members: &[(String, u32)], queues: &[String], owners: &Placed) -> Placed {
        let ring = Ring::new(members.iter().map(|(id, weight)| (id.as_str(), *weight)));
        let placed = ring.place(queues.iter().map(String::as_str), |queue| owners.get(queue).map(String::as_str));
        placed.into_iter().map(|(queue, member)| (queue.to_owned(), member.to_owned())).collect()
    }

    fn pinned(members: &[(String, u32)], queues: &[String], owners: &Placed, pins: &Placed) -> Placed {
        let ring = Ring::new(members.iter().map(|(id, weight)| (id.as_str(), *weight)));
        let placed = ring.place_pinned(
            queues.iter().map(String::as_str),
            |queue| owners.get(queue).map(String::as_str),
            |queue| pins.get(queue).map(String::as_str),
        );
        placed.into_iter().map(|(queue, member)| (queue.to_owned(), member.to_owned())).collect()
    }

    fn loads(placed: &Placed, members: &[(String, u32)]) -> Vec<usize> {
        members.iter().map(|(id, _)| placed.values().filter(|member| *member == id).count()).collect()
    }

    fn moved(before: &Placed, after: &Placed) -> usize {
        after.iter().filter(|(queue, member)| before.get(*queue).is_some_and(|b| b != *member)).count()
    }

    fn named(stem: &str, n: usize) -> Vec<String> {
        (0..n).map(|n| format!("{stem}{n}")).collect()
    }

    fn weighted(ids: Vec<String>, weights: &[u32]) -> Vec<(String, u32)> {
        ids.into_iter().zip(weights.iter().copied()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn every_queue_has_one_member_within_its_share(
            weights in prop::collection::vec(1u32..=100, 1..12),
            queues in 0usize..150,
            owners in prop::collection::vec(0usize..15, 150),
        ) {
            let members = weighted(named("m", weights.len()), &weights);
            let queues = named("nephoscope.g.cpu.", queues);
            // Some owners are not members, and some queues have none.
            let owners: Placed = queues.iter().zip(&owners).filter(|(_, o)| **o < 13).map(|(u, o)| (u.clone(), format!("m{o}"))).collect();
            let placed = place(&members, &queues, &owners);
            prop_assert_eq!(placed.len(), queues.len());
            let whole: u32 = weights.iter().sum();
            for (load, weight) in loads(&placed, &members).into_iter().zip(&weights) {
                let share = queues.len() as f64 * f64::from(*weight) / f64::from(whole);
                prop_assert!((load as f64 - share).abs() < 1.0, "{} for a share of {}", load, share);
            }
            // In any order, the same; and whoever has what it should have stays as it is.
            let backwards: Vec<_> = members.iter().rev().cloned().collect();
            let mut shuffled = queues.clone();
            shuffled.reverse();
            prop_assert_eq!(&place(&backwards, &shuffled, &owners), &placed);
            prop_assert_eq!(&place(&members, &queues, &placed), &placed);
        }

        /// A plan is carried out one queue after the other, and computed anew each time: it must not change on the way.
        #[test]
        fn a_plan_half_carried_out_is_still_the_plan(
            weights in prop::collection::vec(1u32..=100, 1..8),
            owners in prop::collection::vec(0usize..10, 60),
            steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..60),
        ) {
            let members = weighted(named("m", weights.len()), &weights);
            let queues = named("u", owners.len());
            let owners: Placed = queues.iter().zip(&owners).map(|(u, o)| (u.clone(), format!("m{o}"))).collect();
            let plan = place(&members, &queues, &owners);
            stays_planned(&queues, &plan, owners, steps, |owners| place(&members, &queues, owners))?;
        }

        /// A ring that has followed joins and leaves is the ring made new: processes of any age agree.
        #[test]
        fn an_old_ring_is_as_a_new_one(groups in prop::collection::vec(prop::collection::btree_map("[a-f]{1,2}", 1u32..=100, 0..8), 1..6)) {
            let mut old = Ring::default();
            for group in groups {
                old.set_members(group.iter().map(|(id, weight)| (id.as_str(), *weight)));
                let new = Ring::new(group.iter().map(|(id, weight)| (id.as_str(), *weight)));
                prop_assert_eq!(&old.members, &new.members);
                prop_assert_eq!(&old.points, &new.points);
                let queues = named("u", 20);
                let placed = |ring: &Ring| -> Placed {
                    let placed = ring.place(queues.iter().map(String::as_str), |_| None);
                    placed.into_iter().map(|(queue, member)| (queue.to_owned(), member.to_owned())).collect()
                };
                prop_assert_eq!(placed(&old), placed(&new));
            }
        }

        /// Pins win; whoever is pinned no more than its share has its share, and the others differ by their weights alone.
        #[test]
        fn pinned_queues_are_where_they_are_pinned_and_the_rest_is_even(
            count in 1usize..8,
            owners in prop::collection::vec(0usize..10, 40),
            pins in prop::collection::vec(0usize..24, 40),
            steps in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..40),
        ) {
            let members = weighted(named("m", count), &vec![1; count]);
            let queues = named("u", owners.len());
            let owners: Placed = queues.iter().zip(&owners).map(|(u, o)| (u.clone(), format!("m{o}"))).collect();
            let pins: Placed = queues.iter().zip(&pins).map(|(u, p)| (u.clone(), format!("m{p}"))).collect();
            let valid = |queue: &String| members.iter().any(|(id, _)| *id == pins[queue]);
            let plan = pinned(&members, &queues, &owners, &pins);
            prop_assert_eq!(plan.len(), queues.len());
            for queue in queues.iter().filter(|queue| valid(queue)) {
                prop_assert_eq!(&plan[queue], &pins[queue]);
            }
            // Even among those that are not pinned more than what the least has.
            let loads = loads(&plan, &members);
            let least = loads.iter().min().unwrap();
            for ((id, _), load) in members.iter().zip(&loads) {
                let pinned = queues.iter().filter(|queue| pins[*queue] == *id).count();
                prop_assert!(*load <= (least + 1).max(pinned), "{} has {} of which {} are pinned, {:?}", id, load, pinned, loads);
            }
            stays_planned(&queues, &plan, owners, steps, |owners| pinned(&members, &queues, owners, &pins))?;
        }

        #[test]
        fn a_join_or_leave_at_equal_weights_moves_the_least(count in 1usize..30, queues in 1usize..200, leaver in any::<prop::sample::Index>()) {
            let queues = named("u", queues);
            let few = weighted(named("m", count), &vec![1; count]);
            let many = weighted(named("m", count + 1), &vec![1; count + 1]);
            let before = place(&few, &queues, &Placed::new());
            let after = place(&many, &queues, &before);
            let loads_after = loads(&after, &many);
            prop_assert!(loads_after.iter().max().unwrap() - loads_after.iter().min().unwrap() <= 1);
            // A join moves exactly what the newcomer gets.
            prop_assert_eq!(moved(&before, &after), loads_after[count]);
            // A leave moves exactly what the leaver had.
            let gone = leaver.index(count + 1);
            let mut rest = many.clone();
            let (gone, _) = rest.remove(gone);
            let orphans = after.values().filter(|member| **member == gone).count();
            prop_assert_eq!(moved(&after, &place(&rest, &queues, &after)), orphans);
        }
    }
}
