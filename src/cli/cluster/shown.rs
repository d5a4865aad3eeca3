//! What `nephoscope cluster` prints, as text and as JSON.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

use super::table::table;
use crate::cluster::Ring;
use crate::coordination::{Move, View};

/// An answer, as text and as JSON.
pub(in crate::cli) trait Answer: Serialize {
    /// For reading, with its last line end.
    fn text(&self) -> String;

    /// One JSON document.
    fn json(&self) -> String {
        // Strings, numbers and booleans only: writing them cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// `cluster list`.
#[derive(Serialize)]
pub(super) struct List {
    group: String,
    backend: String,
    revision: i64,
    paused: bool,
    /// `null` until the first member has joined.
    layout: Option<Layout>,
    members: Vec<Member>,
    /// Drained members that are not in the group now.
    drained_and_away: Vec<String>,
}

/// The layout of the pipeline queues.
#[derive(Serialize)]
struct Layout {
    generation: u64,
    /// For each pipeline.
    queues: u16,
    /// While their number changes: the new number.
    next_queues: Option<u16>,
}

#[derive(Serialize)]
struct Member {
    id: String,
    host: String,
    version: String,
    weight: u32,
    ready: bool,
    drained_since: Option<String>,
    drained_reason: Option<String>,
    queues: usize,
    config_digest: String,
}

impl List {
    pub(super) fn of(group: &str, backend: &str, view: &View) -> List {
        let member = |(id, record): (&String, &crate::coordination::MemberRecord)| Member {
            id: id.clone(),
            host: record.host.clone(),
            version: record.version.clone(),
            weight: record.weight,
            ready: record.ready,
            drained_since: view.drained.get(id).map(|drained| drained.since.clone()),
            drained_reason: view.drained.get(id).map(|drained| drained.reason.clone()),
            queues: view.owners.values().filter(|(owner, _)| owner == id).count(),
            config_digest: record.config_digest.clone(),
        };
        List {
            group: group.to_owned(),
            backend: backend.to_owned(),
            revision: view.revision,
            paused: view.paused,
            layout: view.spec.as_ref().map(|(spec, _)| Layout {
                generation: spec.present.generation,
                queues: spec.present.table.queues(),
                next_queues: spec.next.as_ref().map(|next| next.table.queues()),
            }),
            members: view.members.iter().map(member).collect(),
            drained_and_away: view.drained.keys().filter(|id| !view.members.contains_key(*id)).cloned().collect(),
        }
    }
}

impl Answer for List {
    fn text(&self) -> String {
        let mut words = vec![format!("group {} at {}", self.group, self.backend)];
        if let Some(Layout { generation, queues, next_queues }) = &self.layout {
            words.push(format!("{queues} queues per pipeline (generation {generation})"));
            words.extend(next_queues.map(|next| format!("changing to {next}")));
        }
        if self.paused {
            words.push("rebalancing is paused".to_owned());
        }
        if !self.drained_and_away.is_empty() {
            words.push(format!("drained and not in the group: {}", self.drained_and_away.join(" ")));
        }
        let digests: BTreeSet<&str> = self.members.iter().map(|member| member.config_digest.as_str()).collect();
        if digests.len() > 1 {
            words.push("the configurations of the members differ (CONFIG)".to_owned());
        }
        let state = |member: &Member| match (member.ready, &member.drained_since) {
            (_, Some(since)) => format!("drained since {since}"),
            (true, None) => "ready".to_owned(),
            (false, None) => "not ready".to_owned(),
        };
        let rows: Vec<[String; 7]> = self
            .members
            .iter()
            .map(|member| {
                let Member { id, host, version, weight, queues, config_digest, .. } = member;
                let [weight, queues] = [weight.to_string(), queues.to_string()];
                [id.clone(), host.clone(), version.clone(), weight, queues, config_digest.clone(), state(member)]
            })
            .collect();
        let table = table(["MEMBER", "HOST", "VERSION", "WEIGHT", "QUEUES", "CONFIG", "STATE"], &rows);
        format!("{}\n{table}", words.join(", "))
    }
}

/// `cluster queues`.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Queues(Vec<Row>);

#[derive(Serialize)]
struct Row {
    queue: String,
    owner: Option<String>,
    epoch: Option<i64>,
    placed_on: Option<String>,
    pinned_to: Option<String>,
    /// `owned`, `moving` (another member should own it), `free` (no member owns it).
    stage: &'static str,
}

impl Queues {
    /// The queues that a member owns or that are pinned, and where the members' own rule places them. Only the members know
    /// of other queues.
    pub(super) fn of(view: &View) -> Queues {
        let names: BTreeSet<&str> = view.owners.keys().chain(view.pins.keys()).map(String::as_str).collect();
        let able = view.members.iter().filter(|(id, member)| member.ready && !view.drained.contains_key(*id));
        let ring = Ring::new(able.map(|(id, member)| (id.as_str(), member.weight)));
        let placed = ring.place_pinned(
            names.iter().copied(),
            |queue| view.owners.get(queue).map(|(member, _)| member.as_str()),
            |queue| view.pins.get(queue).map(String::as_str),
        );
        let row = |name: &&str| {
            let owner = view.owners.get(*name);
            let placed_on = placed.get(name).map(|member| (*member).to_owned());
            let stage = match (owner, &placed_on) {
                (None, _) => "free",
                (Some((owner, _)), Some(placed)) if owner != placed => "moving",
                (Some(_), _) => "owned",
            };
            Row {
                queue: (*name).to_owned(),
                owner: owner.map(|(member, _)| member.clone()),
                epoch: owner.map(|(_, epoch)| *epoch),
                placed_on,
                pinned_to: view.pins.get(*name).cloned(),
                stage,
            }
        };
        Queues(names.iter().map(row).collect())
    }
}

impl Answer for Queues {
    fn text(&self) -> String {
        let rows: Vec<[String; 6]> = self
            .0
            .iter()
            .map(|row| {
                let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
                let epoch = row.epoch.map(|epoch| epoch.to_string());
                [
                    row.queue.clone(),
                    or_none(&row.owner),
                    or_none(&epoch),
                    or_none(&row.placed_on),
                    or_none(&row.pinned_to),
                    row.stage.to_owned(),
                ]
            })
            .collect();
        table(["QUEUE", "OWNER", "EPOCH", "PLACED ON", "PINNED TO", "STAGE"], &rows)
    }
}

/// `cluster history`.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Histories(BTreeMap<String, Vec<Move>>);

impl Histories {
    pub(super) fn of(histories: BTreeMap<String, Vec<Move>>) -> Histories {
        Histories(histories)
    }
}

impl Answer for Histories {
    fn text(&self) -> String {
        let all = self.0.iter().flat_map(|(queue, moves)| moves.iter().map(move |one| (queue, one)));
        let mut all: Vec<(&String, &Move)> = all.collect();
        all.sort_by(|(_, a), (_, b)| (&b.at, b.epoch).cmp(&(&a.at, a.epoch)));
        let rows: Vec<[String; 6]> = all
            .into_iter()
            .map(|(queue, one)| {
                let from = one.from.clone().unwrap_or_default();
                let (member, reason) = (one.member.clone(), one.reason.name().to_owned());
                [one.at.clone(), queue.clone(), from, member, reason, one.epoch.to_string()]
            })
            .collect();
        table(["TIME", "QUEUE", "FROM", "TO", "REASON", "EPOCH"], &rows)
    }
}
