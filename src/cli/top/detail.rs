//! One queue, publisher or member by itself, with everything that is known of it.

use super::lines::{Line, Tone};
use super::tabs::{Tab, tone};
use super::text::{age, bytes, grouped, rate, seconds_between};
use crate::desk::Picture;

/// The lines of one row of a table; nothing where there is no more to be said of it.
pub(super) fn lines(picture: &Picture, tab: Tab, name: &str) -> Vec<Line> {
    match tab {
        Tab::Queues | Tab::Moves => queue(picture, name.rsplit_once(' ').map_or(name, |(_, queue)| queue)),
        Tab::Publishers => publisher(picture, name),
        Tab::Members => member(picture, name),
        Tab::Parked => parked(name),
    }
}

/// Names and values.
#[derive(Default)]
struct Facts(Vec<Line>);

impl Facts {
    fn fact(self, name: &str, value: &str) -> Facts {
        self.toned(name, value, Tone::Plain)
    }

    fn toned(mut self, name: &str, value: &str, tone: Tone) -> Facts {
        self.0.push(Line::of(&format!("  {name:<14}"), Tone::Dim).and(value, tone));
        self
    }

    fn some(self, name: &str, value: Option<&str>) -> Facts {
        match value {
            Some(value) => self.fact(name, value),
            None => self,
        }
    }

    fn titled(title: &str) -> Facts {
        Facts(vec![Line::of(title, Tone::Title), Line::default()])
    }
}

fn queue(picture: &Picture, name: &str) -> Vec<Line> {
    let Some(queue) = picture.queues.iter().find(|queue| queue.name == name) else {
        return Facts::titled(name).fact("", "no member has this queue now").0;
    };
    let since = queue.since.as_ref().and_then(|since| seconds_between(since, &picture.at)).map(age);
    let ready = queue.ready.map_or("-".to_owned(), grouped);
    let mut facts = Facts::titled(name)
        .fact("kind", &queue.kind)
        .toned("state", &queue.state, tone(&queue.state))
        .some("for", since.as_deref())
        .fact("owner", queue.owner.as_deref().unwrap_or("-"))
        .some("pinned to", queue.pinned_to.as_deref())
        .some("epoch", queue.epoch.map(|epoch| epoch.to_string()).as_deref())
        .some("error", queue.error.as_deref())
        .fact("in", &format!("{}/s", rate(queue.taken)))
        .fact("out", &format!("{}/s", rate(queue.settled)))
        .fact("ready", &ready)
        .fact("held", &grouped(queue.held))
        .fact("oldest", &queue.oldest_s.map_or("-".to_owned(), age))
        .fact("state log", &format!("{} written", bytes(queue.log_bytes)));
    facts.0.push(Line::default());
    facts.0.push(Line::of("moves, newest first", Tone::Title));
    for one in picture.moves.iter().filter(|one| one.queue == name) {
        let text = format!("  {}  {} → {}  {}", one.at, one.from.as_deref().unwrap_or("-"), one.to, one.reason);
        facts.0.push(Line::of(&text, Tone::Plain));
    }
    facts.0
}

fn publisher(picture: &Picture, name: &str) -> Vec<Line> {
    let is = |one: &&crate::desk::picture::Publisher| format!("{} {}", one.sink, one.name) == name;
    let Some(publisher) = picture.publishers.iter().find(is) else {
        return Facts::titled(name).fact("", "no member has this publisher now").0;
    };
    let since = publisher.held_since.as_ref().map(|since| {
        let age = seconds_between(since, &picture.at).map(|seconds| format!(" ({})", age(seconds)));
        format!("{since}{}", age.unwrap_or_default())
    });
    Facts::titled(&publisher.name)
        .fact("sink", &publisher.sink)
        .toned("state", &publisher.state, tone(&publisher.state))
        .fact("out", &format!("{}/s", rate(publisher.accepted)))
        .fact("accepted", &grouped(publisher.accepted_in_all))
        .fact("waiting", &grouped(publisher.waiting))
        .some("since", since.as_deref())
        .some("why", publisher.why.as_deref())
        .some("at", Some(publisher.held_at.join(", ")).filter(|at| !at.is_empty()).as_deref())
        .fact("retries", &grouped(publisher.retries))
        .fact("refused", &grouped(publisher.refused))
        .fact("overflowed", &grouped(publisher.overflowed))
        .0
}

fn member(picture: &Picture, name: &str) -> Vec<Line> {
    let Some(member) = picture.members.iter().find(|member| member.id == name) else {
        return Facts::titled(name).fact("", "it is not in the group any more").0;
    };
    let mut facts = Facts::titled(name)
        .fact("host", &member.host)
        .fact("version", &member.version)
        .toned("state", &member.state, tone(&member.state))
        .fact("started", &member.started)
        .some("heard", member.heard_s.map(|seconds| format!("{} ago", age(seconds))).as_deref())
        .some("weight", member.weight.map(|weight| weight.to_string()).as_deref())
        .fact("in", &format!("{}/s", rate(member.received)))
        .fact("out", &format!("{}/s", rate(member.published)))
        .some("memory", member.rss_bytes.map(bytes).as_deref());
    for why in &member.waiting_for {
        facts = facts.toned("waits for", why, Tone::Warn);
    }
    for queue in picture.queues.iter().filter(|queue| queue.owner.as_deref() == Some(name)) {
        facts = facts.fact("queue", &queue.name);
    }
    facts.0
}

fn parked(name: &str) -> Vec<Line> {
    let next = if name.starts_with("parked ") {
        "nephoscope parked list shows these messages, nephoscope parked requeue puts them back"
    } else {
        "the agents' log has the reason (event convert.definition.complained)"
    };
    Facts::titled(name).fact("", next).0
}
