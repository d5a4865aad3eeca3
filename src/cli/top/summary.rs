//! The first lines of a screen: the group in a few numbers, and what is wrong.

use super::lines::{Line, Tone};
use super::text::{age, grouped, rate, time_us};
use crate::desk::Picture;
use crate::desk::picture::Times;

/// Sentences that the first lines have room for; the tables have the rest.
const WRONG_MAX: usize = 3;
/// How a part of the hour's largest minute is drawn.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The group in a few lines.
pub(super) fn lines(picture: &Picture) -> Vec<Line> {
    let now = &picture.now;
    let members = picture.members.iter().filter(|member| member.state != "gone").count();
    let mut first = Line::of("nephoscope", Tone::Title)
        .and(&format!("  group {}", picture.group), Tone::Plain)
        .and(&format!("  {}", of(members, "member")), Tone::Plain)
        .and(&format!("  {}", of(picture.queues.len(), "queue")), Tone::Plain);
    if !picture.shared {
        first = first.and("  without a group in etcd", Tone::Dim);
    }
    if picture.paused {
        first = first.and("  rebalancing is paused", Tone::Warn);
    }
    let first = first.and(&format!("  {}", picture.at), Tone::Dim);
    let oldest = now.oldest_s.map_or(String::new(), |oldest| format!(" (oldest {})", age(oldest)));
    let rates = Line::of(&format!("in {}/s  out {}/s", rate(now.received), rate(now.published)), Tone::Title)
        .and(&format!("  ready {}", now.ready.map_or("-".to_owned(), grouped)), Tone::Plain)
        .and(&format!("  held {}{oldest}", grouped(now.held)), Tone::Plain)
        .and(&format!("  waiting {}", grouped(now.waiting)), if now.waiting > 0 { Tone::Warn } else { Tone::Plain })
        .and(&format!("  parked {}", grouped(now.parked)), if now.parked > 0 { Tone::Warn } else { Tone::Plain })
        .and(&format!("  made: samples {}/s, events {}/s", rate(now.samples), rate(now.events)), Tone::Dim);
    let times = |name: &str, times: Times| format!("{name} {} / {}", time_us(times.p50_us), time_us(times.p99_us));
    let latency = Line::of("latency p50 / p99:  ", Tone::Dim)
        .and(&times("main", now.main), Tone::Plain)
        .and("  ", Tone::Plain)
        .and(&times("pipeline", now.pipeline), Tone::Plain)
        .and("  last hour in ", Tone::Dim)
        .and(&hour(picture), Tone::Plain);
    let mut lines = vec![first, rates, latency];
    lines.extend(wrong(picture));
    lines
}

fn of(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What is wrong, the worst first.
fn wrong(picture: &Picture) -> Vec<Line> {
    let unseen = picture.unseen.iter().map(|why| Line::of(&format!("not seen: {why}"), Tone::Bad));
    let silent = picture.members.iter().filter(|member| member.state == "not heard").map(|member| {
        let since = member.heard_s.map_or("never heard".to_owned(), |s| format!("heard {} ago", age(s)));
        Line::of(&format!("{} says nothing ({since})", member.id), Tone::Bad)
    });
    let waits = picture.members.iter().flat_map(|member| {
        member.waiting_for.iter().map(|why| Line::of(&format!("{} waits for {why}", member.id), Tone::Warn))
    });
    let held = picture.publishers.iter().filter(|publisher| publisher.waiting > 0).map(|publisher| {
        let why = publisher.why.as_deref().unwrap_or("it does not accept a batch");
        Line::of(&format!("{} waits for {}: {why}", publisher.sink, publisher.name), Tone::Warn)
    });
    let all: Vec<Line> = unseen.chain(silent).chain(waits).chain(held).collect();
    let more = all.len().saturating_sub(WRONG_MAX);
    let mut shown: Vec<Line> = all.into_iter().take(WRONG_MAX).collect();
    if more > 0 {
        shown.push(Line::of(&format!("and {more} more: see the tables"), Tone::Dim));
    }
    shown
}

/// Notifications taken in the last hour, two minutes in one place.
fn hour(picture: &Picture) -> String {
    let pairs =
        || picture.minutes.chunks(2).map(|pair| pair.iter().fold(0u64, |sum, one| sum.saturating_add(one.received)));
    let most = pairs().max().unwrap_or(0);
    if most == 0 {
        return "-".to_owned();
    }
    let bar = |count: u64| {
        let step = (u128::from(count) * 14 / u128::from(most)).div_ceil(2);
        usize::try_from(step).ok().and_then(|step| BARS.get(step)).copied().unwrap_or(BARS[7])
    };
    pairs().map(bar).collect()
}
