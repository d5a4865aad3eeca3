//! The owners of one queue, one after the other: who may have settled a packet that no note tells of.

use std::collections::BTreeMap;

use super::sums::Owner;

/// The clocks of members differ by this at most, with what a note may be late.
const CLOCKS_MS: i64 = 5_000;
/// An owner that is so many numbers further may still hold a packet: more than it is given at once.
const REACH: u64 = 256;

/// Why packets are not in the notes of a queue's owners.
pub(super) enum Fault {
    /// The owner that may have settled them died, after this note.
    Died(String, i64),
    /// Nobody who keeps books owned the queue then.
    Unowned,
    /// The present owner has noted nothing since: it holds them, or they are lost.
    Silent(String),
}

/// The owners of one queue, and whether somebody consumes it now.
pub(super) struct Owners<'s>(pub(super) &'s BTreeMap<(i64, String), Owner>, pub(super) bool);

impl Owners<'_> {
    /// The owner of the newest epoch, with its member.
    fn present(&self) -> Option<(&str, &Owner)> {
        self.0.iter().next_back().map(|((_, member), owner)| (member.as_str(), owner))
    }

    /// What the present owner may hold, as it noted last: where it works on something, what the broker lets it have of the queue, and of
    /// the rescue queue, waits behind that unseen. An owner that holds nothing has taken all that it was given.
    pub(super) fn held(&self) -> u64 {
        let present = self.present().filter(|(_, owner)| !owner.over && owner.held > 0);
        present.map_or(0, |(_, owner)| owner.held.max(owner.prefetch.saturating_mul(2)))
    }

    /// Whether the present owner has settled packets of a sender before this one, and others so far behind it that this one can
    /// neither wait nor be held.
    pub(super) fn is_behind(&self, sender: &(String, i64), number: u64) -> bool {
        let numbers = self.present().and_then(|(_, owner)| owner.numbers.get(sender));
        numbers.is_some_and(|(first, last)| *first < number && last.saturating_sub(number) > REACH)
    }

    /// Whether an owner ended without a last note. Agents alone own a queue together: only its own next start says that of one.
    pub(super) fn is_dead(&self, (epoch, member): &(i64, String), owner: &Owner) -> bool {
        let Owners(owners, is_consumed) = self;
        let mut later = owners.range((epoch.saturating_add(1), String::new())..);
        !owner.over && (!is_consumed || later.any(|((_, later), _)| !owner.alone || later == member))
    }

    /// Why these numbers of a sender, who sent them at the first of these times or later, were not noted; the last one is that of
    /// the newest note about this sender. Nothing where all that owned the queue meanwhile have noted everything.
    pub(super) fn at_fault(
        &self,
        sender: &(String, i64),
        (sent_ms, last_ms): (i64, i64),
        (from, to): (u64, u64),
    ) -> Option<Fault> {
        let Owners(owners, is_consumed) = self;
        let numbers = |owner: &Owner| owner.numbers.get(sender).copied();
        // One that went past them knew of them. Behind one that died, the first that it had may have come again, and what that one
        // settled out of order, not.
        let mut after_dead = false;
        for (ownership, owner) in *owners {
            let first = if after_dead { REACH } else { 0 };
            if numbers(owner).is_some_and(|(at, last)| at.saturating_add(first) < from && last > to) {
                return None;
            }
            after_dead |= self.is_dead(ownership, owner);
        }
        // One before that died may have settled a packet, and not the one in front of it, which came again.
        let is_before = |(_, last): (u64, u64)| last.saturating_add(REACH) < from;
        let before = owners.iter().filter(|(_, owner)| numbers(owner).is_some_and(is_before));
        let after = owners.iter().filter(|(_, owner)| numbers(owner).is_some_and(|(first, _)| first > to));
        let first = before.map(|((epoch, _), _)| *epoch).max().unwrap_or(i64::MIN);
        let end = after.map(|((epoch, _), _)| *epoch).min().unwrap_or(i64::MAX);
        let meanwhile = owners.range((first, String::new())..).take_while(|((epoch, _), _)| *epoch < end);
        // The next owner begins when the former one consumes no more: what is sent later than that did not come to it.
        let is_earlier = |epoch: i64| {
            let next = owners.range((epoch.saturating_add(1), String::new())..).next();
            next.is_none_or(|(_, next)| sent_ms <= next.first_ms.saturating_add(CLOCKS_MS))
        };
        let mut meanwhile = meanwhile.peekable();
        if meanwhile.peek().is_none() {
            return Some(Fault::Unowned);
        }
        let dead = meanwhile.filter(|(ownership, owner)| self.is_dead(ownership, owner) && is_earlier(ownership.0));
        if let Some(((_, member), owner)) = dead.last() {
            return Some(Fault::Died(member.clone(), owner.last_ms));
        }
        let (member, owner) = self.present().filter(|_| *is_consumed && end == i64::MAX)?;
        (!owner.over && owner.last_ms < last_ms).then(|| Fault::Silent(member.to_owned()))
    }
}
