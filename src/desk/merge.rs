//! From what was heard of the members and seen of the group to one picture.

use chrono::{DateTime, SecondsFormat, Utc};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

use super::group::GroupSeen;
use super::picture::{Count, Member, Now, PUBLISHERS_MAX, Picture, Publisher, QUEUES_MAX, Queue, QueueMove, Times};
use super::seen::{Heard, Seen};
use crate::coordination::View;
use crate::observe::desk::Beat;
use crate::observe::desk::beat::{OTHER, PublisherBeat, QueueBeat};
use crate::observe::desk::latency::{Buckets, quantile_us, since};
use crate::observe::desk::minutes::{MINUTES_AHEAD_MAX, MINUTES_MAX, Minute};

/// The picture of a group, now: `at` by the watcher's own clock.
pub fn picture(name: &str, at: DateTime<Utc>, seen: &Seen, group: &GroupSeen, shared: bool, now: Instant) -> Picture {
    let view = group.view.as_ref();
    let mut there: Vec<(&String, &Heard)> = seen.members().filter(|(_, heard)| heard.now(now).is_some()).collect();
    // Those that etcd names come first: where there is not room for all, it is theirs.
    there.sort_by_key(|(id, _)| view.is_none_or(|view| !view.members.contains_key(*id)));
    let beats: Vec<&Beat> = there.iter().filter_map(|(_, heard)| heard.now(now)).collect();
    let queues = queues(&there, seen, view, now);
    let publishers = publishers(&there);
    Picture {
        group: name.to_owned(),
        at: at.to_rfc3339_opts(SecondsFormat::Secs, true),
        unseen: group.away.clone().into_iter().collect(),
        shared,
        paused: view.is_some_and(|view| view.paused),
        queues_per_sink: view.and_then(|view| Some(view.spec.as_ref()?.0.present.table.queues())),
        now: sums(&there, &beats, &queues, &publishers),
        members: members(seen, view, &queues, now),
        queues,
        publishers,
        parked: counts(beats.iter().map(|beat| &beat.parked)),
        complaints: counts(beats.iter().map(|beat| &beat.complaints)),
        moves: group.moves.iter().map(moved).collect(),
        minutes: minutes(&beats, at),
    }
}

fn moved((queue, one): &(String, crate::coordination::Move)) -> QueueMove {
    QueueMove {
        at: one.at.clone(),
        queue: queue.clone(),
        from: one.from.clone(),
        to: one.member.clone(),
        reason: one.reason.name().to_owned(),
    }
}

/// The sum of what is known; nothing where nothing is.
fn sum(rates: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let sum = rates.flatten().fold(None, |sum: Option<f64>, rate| Some(sum.unwrap_or(0.0) + rate));
    sum.map(|sum| (sum * 10.0).round() / 10.0)
}

fn sums(there: &[(&String, &Heard)], beats: &[&Beat], queues: &[Queue], publishers: &[Publisher]) -> Now {
    let rate = |count: fn(&Beat) -> u64| sum(there.iter().map(|(_, heard)| heard.rate(count)));
    let ready: Vec<u64> = queues.iter().filter_map(|queue| queue.ready).collect();
    Now {
        received: rate(|beat| beat.totals.received),
        samples: rate(|beat| beat.totals.samples),
        events: rate(|beat| beat.totals.events),
        published: rate(|beat| beat.totals.published),
        ready: (!ready.is_empty()).then(|| ready.iter().fold(0, |sum, n| n.saturating_add(sum))),
        held: queues.iter().fold(0, |sum, queue| queue.held.saturating_add(sum)),
        oldest_s: queues.iter().filter_map(|queue| queue.oldest_s).max(),
        waiting: publishers.iter().fold(0, |sum, publisher| publisher.waiting.saturating_add(sum)),
        parked: beats.iter().fold(0, |sum, beat| beat.totals.parked.saturating_add(sum)),
        main: times(there, |beat| &beat.latency.main),
        pipeline: times(there, |beat| &beat.latency.pipeline),
    }
}

/// Buckets add up, where quantiles do not.
fn times(there: &[(&String, &Heard)], of: fn(&Beat) -> &Vec<u64>) -> Times {
    let mut all = Buckets::default();
    for (_, heard) in there {
        let (Some(before), Some(newest)) = (heard.before(), heard.newest()) else { continue };
        let gained = since(of(newest), of(before));
        all.iter_mut().zip(gained).for_each(|(sum, n)| *sum = sum.saturating_add(n));
    }
    Times { p50_us: quantile_us(&all, 50), p99_us: quantile_us(&all, 99) }
}

fn members(seen: &Seen, view: Option<&View>, queues: &[Queue], now: Instant) -> Vec<Member> {
    let heard = seen.members().map(|(id, _)| id);
    let ids: BTreeSet<&String> = view.iter().flat_map(|view| view.members.keys()).chain(heard).collect();
    ids.into_iter().map(|id| member(id, seen.member(id), view, queues, now)).collect()
}

fn member(id: &str, heard: Option<&Heard>, view: Option<&View>, queues: &[Queue], now: Instant) -> Member {
    let record = view.and_then(|view| view.members.get(id));
    let is_drained = view.is_some_and(|view| view.drained.contains_key(id));
    let is_gone = view.is_some() && record.is_none();
    let beat = heard.and_then(|heard| heard.now(now));
    let state = match (beat, heard) {
        (Some(_), _) if is_drained => "drained",
        (Some(beat), _) => &beat.phase,
        // It only knocked so far.
        (None, Some(heard)) if heard.is_there(now) => "starting",
        (None, _) if is_gone => "gone",
        (None, _) => "not heard",
    };
    let known = heard.and_then(Heard::newest);
    let rate = |count: fn(&Beat) -> u64| heard.filter(|_| beat.is_some()).and_then(|heard| heard.rate(count));
    Member {
        id: id.to_owned(),
        host: record.map(|record| record.host.clone()).or(known.map(|beat| beat.host.clone())).unwrap_or_default(),
        version: known.map(|beat| &beat.version).or(record.map(|record| &record.version)).cloned().unwrap_or_default(),
        state: state.to_owned(),
        waiting_for: beat.map(waits).unwrap_or_default(),
        started: known.map(|beat| beat.started.clone()).unwrap_or_default(),
        heard_s: heard.map(|heard| heard.silent_s(now)),
        weight: record.map(|record| record.weight),
        queues: queues.iter().filter(|queue| queue.owner.as_deref() == Some(id)).count(),
        received: rate(|beat| beat.totals.received),
        published: rate(|beat| beat.totals.published),
        // Milliseconds of CPU in a second are thousandths of a core.
        cpu: rate(|beat| beat.process.cpu_ms).map(|ms| ms / 10.0),
        rss_bytes: beat.map(|beat| beat.process.rss_bytes),
        lease_margin_ms: beat.and_then(|beat| beat.lease_margin_ms),
    }
}

/// What a member waits for, its broken connections among that.
fn waits(beat: &Beat) -> Vec<String> {
    let links = beat.links.iter().map(|(name, state)| format!("the connection {name}: {state}"));
    beat.waiting_for.iter().cloned().chain(links).collect()
}

fn queues(there: &[(&String, &Heard)], seen: &Seen, view: Option<&View>, now: Instant) -> Vec<Queue> {
    let mut all: BTreeMap<String, Queue> = BTreeMap::new();
    for (name, (owner, epoch)) in view.iter().flat_map(|view| &view.owners) {
        let is_heard = seen.member(owner).is_some_and(|heard| heard.is_there(now));
        let state = if is_heard { "waiting" } else { "not heard" };
        let (owner, epoch) = (Some(owner.clone()), Some(*epoch));
        let queue = Queue { owner, epoch, state: state.to_owned(), ..named(name) };
        all.insert(name.clone(), queue);
    }
    for (id, heard) in there {
        let Some(beat) = heard.newest() else { continue };
        let before: BTreeMap<&str, &QueueBeat> =
            heard.before().iter().flat_map(|beat| &beat.queues).map(|queue| (queue.queue.as_str(), queue)).collect();
        for one in &beat.queues {
            let queue = all.entry(one.queue.clone()).or_insert_with(|| named(&one.queue));
            // While a queue moves two members name it. etcd's owner counts; who works on without etcd's leave is shown where nobody
            // else is.
            let is_owner = queue.owner.as_ref() == Some(id);
            let is_taken =
                queue.owner.as_ref().is_some_and(|owner| seen.member(owner).is_some_and(|h| h.is_there(now)));
            if is_owner || (!is_taken && one.state != "waiting") || queue.owner.is_none() {
                tell(queue, id, one, before.get(one.queue.as_str()).copied(), heard);
            }
        }
    }
    for (name, member) in view.iter().flat_map(|view| &view.pins) {
        all.entry(name.clone()).or_insert_with(|| named(name)).pinned_to = Some(member.clone());
    }
    let mut queues: Vec<Queue> = all.into_values().collect();
    if queues.len() > QUEUES_MAX {
        let rest = queues.split_off(QUEUES_MAX);
        let other = rest.into_iter().fold(named(OTHER), |sum, queue| Queue {
            held: sum.held.saturating_add(queue.held),
            log_bytes: sum.log_bytes.saturating_add(queue.log_bytes),
            oldest_s: sum.oldest_s.max(queue.oldest_s),
            ..sum
        });
        queues.push(other);
    }
    queues
}

/// A queue of which only the name is known.
fn named(name: &str) -> Queue {
    let kind = match name {
        OTHER => OTHER,
        _ if name.starts_with("main:") => "main",
        _ if name.contains(".overflow.") => "overflow",
        _ => "pipeline",
    };
    Queue { name: name.to_owned(), kind: kind.to_owned(), state: "free".to_owned(), ..Queue::default() }
}

/// What a member says of a queue that it has.
fn tell(queue: &mut Queue, member: &str, now: &QueueBeat, before: Option<&QueueBeat>, heard: &Heard) {
    let rate = |count: fn(&QueueBeat) -> u64| {
        let before = before?;
        heard.rate_of(count(now), count(before))
    };
    if now.state != "waiting" || queue.owner.is_some() {
        queue.owner.get_or_insert_with(|| member.to_owned());
        queue.state.clone_from(&now.state);
        queue.since = Some(now.since.clone());
    }
    queue.kind.clone_from(&now.kind);
    queue.epoch = queue.epoch.or(now.epoch);
    queue.error.clone_from(&now.error);
    queue.taken = rate(|queue| queue.taken);
    queue.settled = rate(|queue| queue.settled);
    queue.ready = now.ready.map(u64::from);
    queue.held = now.held;
    queue.oldest_s = now.oldest_s;
    queue.log_bytes = now.log_bytes;
}

fn publishers(there: &[(&String, &Heard)]) -> Vec<Publisher> {
    let mut all: BTreeMap<(&str, &str), Publisher> = BTreeMap::new();
    for (id, heard) in there {
        let (Some(beat), before) = (heard.newest(), heard.before()) else { continue };
        for one in &beat.publishers {
            if all.len() >= PUBLISHERS_MAX && !all.contains_key(&(&*one.sink, &*one.publisher)) {
                continue;
            }
            let is = |other: &&PublisherBeat| other.sink == one.sink && other.publisher == one.publisher;
            let former = before.and_then(|beat| beat.publishers.iter().find(is));
            let rate = former.and_then(|former| heard.rate_of(one.accepted, former.accepted));
            let new = || Publisher { sink: one.sink.clone(), name: one.publisher.clone(), ..Publisher::default() };
            let sum = all.entry((&one.sink, &one.publisher)).or_insert_with(new);
            add(sum, id, one, rate);
        }
    }
    all.into_values().collect()
}

/// States of a publisher, from the best to the worst.
const STATES: [&str; 4] = ["works", "held", "tried", "left alone"];

fn add(all: &mut Publisher, member: &str, one: &PublisherBeat, rate: Option<f64>) {
    let state = match (&*one.breaker, one.waiting) {
        ("open", _) => 3,
        ("half-open", _) => 2,
        (_, 0) => 0,
        _ => 1,
    };
    let worst = STATES.iter().position(|known| *known == all.state).unwrap_or(0).max(state);
    STATES[worst].clone_into(&mut all.state);
    all.accepted = sum([all.accepted, rate].into_iter());
    for (sum, n) in [
        (&mut all.accepted_in_all, one.accepted),
        (&mut all.waiting, one.waiting),
        (&mut all.retries, one.retries),
        (&mut all.refused, one.refused),
        (&mut all.overflowed, one.overflowed),
    ] {
        *sum = sum.saturating_add(n);
    }
    if let Some(since) = &one.held_since {
        all.held_at.push(member.to_owned());
        if all.held_since.as_ref().is_none_or(|earliest| since < earliest) {
            all.held_since = Some(since.clone());
            all.why.clone_from(&one.why);
        }
    }
}

fn counts<'b>(all: impl Iterator<Item = &'b BTreeMap<String, u64>>) -> Vec<Count> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (what, count) in all.flatten() {
        let sum = sums.entry(what).or_default();
        *sum = sum.saturating_add(*count);
    }
    let mut counts: Vec<Count> = sums.into_iter().map(|(what, count)| Count { what: what.to_owned(), count }).collect();
    counts.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.what.cmp(&other.what)));
    counts
}

/// The last hour of all members: only minutes of the hour before the newest one. A minute that has not come yet is of a member
/// whose clock is wrong, and would put all others out of this hour.
fn minutes(beats: &[&Beat], at: DateTime<Utc>) -> Vec<Minute> {
    let latest = u64::try_from(at.timestamp()).unwrap_or(0) / 60 + MINUTES_AHEAD_MAX;
    let mut all: BTreeMap<u64, Minute> = BTreeMap::new();
    for one in beats.iter().flat_map(|beat| &beat.minutes).filter(|one| one.minute <= latest) {
        let sum = all.entry(one.minute).or_insert(Minute { minute: one.minute, ..Minute::default() });
        sum.received = sum.received.saturating_add(one.received);
        sum.published = sum.published.saturating_add(one.published);
        sum.p50_us = sum.p50_us.max(one.p50_us);
        sum.p99_us = sum.p99_us.max(one.p99_us);
    }
    let newest = all.keys().next_back().copied().unwrap_or(0);
    all.into_values().filter(|one| one.minute.saturating_add(MINUTES_MAX as u64) > newest).collect()
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
