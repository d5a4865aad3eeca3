//! The beats that were heard: the last few of each member, and the rates that two of them give.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

use crate::observe::desk::Beat;

/// Members that are kept, at most: more are no group, but somebody who wishes no good. Those that the group names have a place in
/// any case.
pub const MEMBERS_MAX: usize = 256;
/// Beats of a member: rates are over so many seconds less one.
const BEATS_MAX: usize = 4;
/// A member that was not heard for longer than this says nothing now.
pub const SILENT_AFTER: Duration = Duration::from_millis(3_500);
/// A member that was not heard for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(2);

/// What was heard.
#[derive(Debug, Default)]
pub struct Seen {
    members: BTreeMap<String, Heard>,
    /// Messages that were no beat of a format that is read.
    pub unread: u64,
}

/// What was heard of one member.
#[derive(Debug)]
pub struct Heard {
    last: Instant,
    /// Whole beats of one process, oldest first.
    beats: VecDeque<Beat>,
}

impl Seen {
    /// Takes a message. `is_named` says whether the group names a member.
    pub fn hear(&mut self, message: &[u8], now: Instant, is_named: impl Fn(&str) -> bool) {
        match Beat::decode(message) {
            Ok(beat) => self.take(beat, now, is_named),
            Err(_) => self.unread = self.unread.saturating_add(1),
        }
    }

    fn take(&mut self, beat: Beat, now: Instant, is_named: impl Fn(&str) -> bool) {
        self.members.retain(|_, heard| now - heard.last < FORGOTTEN_AFTER);
        if !self.members.contains_key(&beat.member) && self.members.len() >= MEMBERS_MAX {
            // Only one that the group names takes the place of another, which it does not.
            let mut others = self.members.keys().filter(|id| is_named(&beat.member) && !is_named(id.as_str()));
            let Some(other) = others.next().cloned() else {
                self.unread = self.unread.saturating_add(1);
                return;
            };
            self.members.remove(&other);
        }
        let new = || Heard { last: now, beats: VecDeque::new() };
        let heard = self.members.entry(beat.member.clone()).or_insert_with(new);
        heard.last = now;
        if beat.is_knock() {
            return;
        }
        if let Some(former) = heard.beats.back_mut() {
            if former.started != beat.started || former.uptime_ms >= beat.uptime_ms {
                heard.beats.clear();
            } else {
                // Only its numbers are compared from now on.
                former.minutes = Vec::new();
                former.complaints = BTreeMap::new();
            }
        }
        heard.beats.push_back(beat);
        if heard.beats.len() > BEATS_MAX {
            heard.beats.pop_front();
        }
    }

    /// The members, by id.
    pub fn members(&self) -> impl Iterator<Item = (&String, &Heard)> {
        self.members.iter()
    }

    /// One member.
    pub fn member(&self, id: &str) -> Option<&Heard> {
        self.members.get(id)
    }
}

impl Heard {
    /// The newest whole beat.
    pub fn newest(&self) -> Option<&Beat> {
        self.beats.back()
    }

    /// The newest whole beat of a member that still says something.
    pub fn now(&self, now: Instant) -> Option<&Beat> {
        self.beats.back().filter(|_| self.is_there(now))
    }

    /// Whether it was heard a moment ago.
    pub fn is_there(&self, now: Instant) -> bool {
        now - self.last < SILENT_AFTER
    }

    /// How long ago it was heard, in seconds.
    pub fn silent_s(&self, now: Instant) -> u64 {
        (now - self.last).as_secs()
    }

    /// The beat that the newest one is compared with.
    pub fn before(&self) -> Option<&Beat> {
        self.beats.front().filter(|_| self.beats.len() > 1)
    }

    /// What a counter of the beats gained in a second; nothing before there are two beats to compare.
    pub fn rate(&self, count: impl Fn(&Beat) -> u64) -> Option<f64> {
        self.rate_of(count(self.newest()?), count(self.before()?))
    }

    /// What a counter gained in a second, of which the newest beat and the one before say these.
    pub fn rate_of(&self, now: u64, before: u64) -> Option<f64> {
        let gained = now.saturating_sub(before);
        let (before, newest) = (self.before()?, self.newest()?);
        let seconds = Duration::from_millis(newest.uptime_ms - before.uptime_ms).as_secs_f64();
        // One figure behind the point is all that anybody reads.
        Some((gained as f64 / seconds * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(started: &str, uptime_ms: u64, received: u64) -> Vec<u8> {
        let mut beat = Beat { member: "a".to_owned(), started: started.to_owned(), uptime_ms, ..Beat::default() };
        "running".clone_into(&mut beat.phase);
        beat.totals.received = received;
        beat.encode()
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_made_of_two_beats_of_one_process() {
        let mut seen = Seen::default();
        // Started, uptime, received in all, and the rate that this gives.
        for (started, uptime, received, rate) in [
            ("1", 1_000, 100, None),
            ("1", 2_000, 150, Some(50.0)),
            ("1", 3_000, 150, Some(25.0)),
            // One was lost: nothing is.
            ("1", 5_000, 500, Some(100.0)),
            ("1", 6_000, 500, Some(87.5)),
            // It started anew, and counts from zero.
            ("2", 1_000, 3, None),
            ("2", 2_000, 4, Some(1.0)),
            // A wrong one takes nothing with it.
            ("2", 2_000, 9, None),
        ] {
            seen.hear(&beat(started, uptime, received), Instant::now(), |_| false);
            let heard = seen.member("a").unwrap();
            assert_eq!(heard.rate(|beat| beat.totals.received), rate, "{started} {uptime}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_is_not_heard_says_nothing_and_is_forgotten() {
        let mut seen = Seen::default();
        seen.hear(&beat("1", 1_000, 1), Instant::now(), |_| false);
        let is_there = |seen: &Seen| seen.member("a").map(|heard| heard.now(Instant::now()).is_some());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(is_there(&seen), Some(true));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(is_there(&seen), Some(false));
        assert_eq!(seen.member("a").unwrap().silent_s(Instant::now()), 4);
        tokio::time::advance(FORGOTTEN_AFTER).await;
        let other = Beat { member: "b".to_owned(), ..Beat::default() };
        seen.hear(&other.encode(), Instant::now(), |_| false);
        assert_eq!(is_there(&seen), None);
    }

    #[test]
    fn somebody_invents_members() {
        let mut seen = Seen::default();
        for n in 0..MEMBERS_MAX + 9 {
            seen.hear(&Beat { member: n.to_string(), ..Beat::default() }.encode(), Instant::now(), |_| false);
        }
        seen.hear(b"what?", Instant::now(), |_| false);
        assert_eq!((seen.members().count(), seen.unread), (MEMBERS_MAX, 10));
        // A real one has its place all the same, and keeps it.
        let is_named = |id: &str| id == "real";
        for id in ["real", "invented"] {
            seen.hear(&Beat { member: id.to_owned(), ..Beat::default() }.encode(), Instant::now(), is_named);
        }
        assert_eq!((seen.members().count(), seen.unread), (MEMBERS_MAX, 11));
        assert!(seen.member("real").is_some());
    }
}
