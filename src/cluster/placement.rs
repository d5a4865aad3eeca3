//! Who should own which unit: a consistent ring, with quotas and stickiness on top.
//!
//! 1. Every member has a quota: its share of the units by weight, rounded down, and one of the remaining seats goes
//!    to those that would otherwise have to give a unit away, then by largest remainder, then by ring order.
//! 2. Every present owner keeps its units up to its quota (in the order of their hashes).
//! 3. What is above a quota, and what has no owner, walks the ring from its own hash to the first member below quota.
//!
//! So equal weights differ by at most one unit, nothing moves that need not, and taking one step of the plan does not
//! change the rest of it: units walk in the order of their hashes, which is the same before and after a step.

use super::hash;
use hashring::HashRing;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// Points of each member on the ring. All members have the same number: weights act through the quotas.
pub const VIRTUAL_NODES: u32 = 256;
/// The heaviest weight; the lightest is 1.
pub const WEIGHT_MAX: u32 = 100;

/// A point of a member on the ring. It stands at the hash of twelve bytes: the stable hash of the member's id, then
/// the number of the virtual node, both little end first. (`hashring` hashes with SipHash-2-4 and zero keys, which is
/// [`hash::stable`]; it is given bytes because it would hash integers by their layout in memory.)
#[derive(Debug, Clone, Copy)]
struct VirtualNode {
    id_hash: u64,
    number: u32,
    member: u32,
}

impl VirtualNode {
    fn bytes(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.id_hash.to_le_bytes());
        bytes[8..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }
}

impl Hash for VirtualNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.bytes());
    }
}

/// The ring of the members that can take work. Kept from view to view: it changes only with them.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    /// In order of their ids.
    members: Vec<(String, u32)>,
    /// Point and member, around the ring.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// The ring of these members (id, weight); of a repeated id the last weight counts.
    pub fn new<'a>(members: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut ring = Ring::default();
        ring.set_members(members);
        ring
    }

    /// Makes it the ring of these members; free if their ids are the same as before.
    pub fn set_members<'a>(&mut self, members: impl IntoIterator<Item = (&'a str, u32)>) {
        let members: BTreeMap<&str, u32> = members.into_iter().map(|(id, w)| (id, w.clamp(1, WEIGHT_MAX))).collect();
        let same = self.members.iter().map(|(id, _)| id.as_str()).eq(members.keys().copied());
        self.members = members.into_iter().map(|(id, weight)| (id.to_owned(), weight)).collect();
        if same {
            return;
        }
        let mut nodes = Vec::with_capacity(self.members.len() * VIRTUAL_NODES as usize);
        for (member, (id, _)) in (0u32..).zip(&self.members) {
            let id_hash = hash::stable(id.as_bytes());
            nodes.extend((0..VIRTUAL_NODES).map(|number| VirtualNode { id_hash, number, member }));
        }
        let mut ring = HashRing::new();
        ring.batch_add(nodes);
        self.points = ring.into_iter().map(|node| (hash::stable(&node.bytes()), node.member)).collect();
    }

    /// Which member should have which unit, given who has what now. Total: with at least one member every unit is
    /// placed, once; without members none is. The order of `units` does not matter; a repeated unit counts once.
    pub fn place<'a, 'u, 'o>(
        &'a self,
        units: impl IntoIterator<Item = &'u str>,
        owner: impl Fn(&str) -> Option<&'o str>,
    ) -> BTreeMap<&'u str, &'a str> {
        if self.members.is_empty() {
            return BTreeMap::new();
        }
        let mut units: Vec<(u64, &str)> = units.into_iter().map(|u| (hash::stable(u.as_bytes()), u)).collect();
        units.sort_unstable();
        units.dedup();
        let index: BTreeMap<&str, usize> =
            self.members.iter().enumerate().map(|(n, (id, _))| (id.as_str(), n)).collect();
        let owners: Vec<Option<usize>> =
            units.iter().map(|(_, unit)| owner(unit).and_then(|id| index.get(id).copied())).collect();
        let mut room = self.quotas(units.len(), &owners);
        let mut placed = BTreeMap::new();
        let mut walking = Vec::new();
        for ((point, unit), owner) in units.into_iter().zip(owners) {
            match owner {
                Some(member) if room[member] > 0 => {
                    room[member] -= 1;
                    placed.insert(unit, self.members[member].0.as_str());
                }
                _ => walking.push((point, unit)),
            }
        }
        for (point, unit) in walking {
            let start = self.points.partition_point(|(at, _)| *at < point);
            let way = self.points[start..].iter().chain(&self.points[..start]);
            if let Some(member) = way.map(|(_, member)| *member as usize).find(|member| room[*member] > 0) {
                room[member] -= 1;
                placed.insert(unit, self.members[member].0.as_str());
            }
        }
        placed
    }

    /// How many units each member should have; the sum is exactly `units`.
    fn quotas(&self, units: usize, owners: &[Option<usize>]) -> Vec<usize> {
        let whole: usize = self.members.iter().map(|(_, weight)| *weight as usize).sum();
        let mut has = vec![0usize; self.members.len()];
        for owner in owners.iter().flatten() {
            has[*owner] += 1;
        }
        let mut quotas: Vec<usize> = self.members.iter().map(|(_, weight)| units * *weight as usize / whole).collect();
        let seats = units - quotas.iter().sum::<usize>();
        let mut waiting: Vec<_> = self
            .members
            .iter()
            .enumerate()
            .map(|(n, (id, weight))| {
                let remainder = units * *weight as usize % whole;
                let gives = has[n] > quotas[n];
                // Whoever has no remainder has its exact share, and is last.
                ((remainder == 0, !gives, std::cmp::Reverse(remainder), hash::stable(id.as_bytes())), n)
            })
            .collect();
        waiting.sort_unstable();
        for (_, n) in waiting.into_iter().take(seats) {
            quotas[n] += 1;
        }
        quotas
    }
}
