//! What `cluster` shows, in both forms.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

use super::table::table;
use crate::cluster::Ring;
use crate::coordination::{Move, View};

/// An answer in both forms.
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
    /// Nothing until the first member has come.
    queues: Option<Queues>,
    members: Vec<Member>,
    /// Drained and not there.
    drained_and_away: Vec<String>,
}

/// The specification in short.
#[derive(Serialize)]
struct Queues {
    generation: u64,
    per_pipeline: u16,
    /// Where a change is under way: how many it leads to.
    next_per_pipeline: Option<u16>,
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
    units: usize,
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
            units: view.owners.values().filter(|(owner, _)| owner == id).count(),
            config_digest: record.config_digest.clone(),
        };
        List {
            group: group.to_owned(),
            backend: backend.to_owned(),
            revision: view.revision,
            paused: view.paused,
            queues: view.spec.as_ref().map(|(spec, _)| Queues {
                generation: spec.present.generation,
                per_pipeline: spec.present.table.queues(),
                next_per_pipeline: spec.next.as_ref().map(|next| next.table.queues()),
            }),
            members: view.members.iter().map(member).collect(),
            drained_and_away: view.drained.keys().filter(|id| !view.members.contains_key(*id)).cloned().collect(),
        }
    }
}

impl Answer for List {
    fn text(&self) -> String {
        let mut words = vec![format!("group {} at {}", self.group, self.backend)];
        if let Some(queues) = &self.queues {
            words.push(format!("{} queues per pipeline (generation {})", queues.per_pipeline, queues.generation));
            words.extend(queues.next_per_pipeline.map(|next| format!("on the way to {next}")));
        }
        if self.paused {
            words.push("moving is paused".to_owned());
        }
        if !self.drained_and_away.is_empty() {
            words.push(format!("drained and not here: {}", self.drained_and_away.join(" ")));
        }
        let digests: BTreeSet<&str> = self.members.iter().map(|member| member.config_digest.as_str()).collect();
        if digests.len() > 1 {
            words.push("members work by different configurations (CONFIG)".to_owned());
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
                let Member { id, host, version, weight, units, config_digest, .. } = member;
                let numbers = [weight.to_string(), units.to_string()];
                let [weight, units] = numbers;
                [id.clone(), host.clone(), version.clone(), weight, units, config_digest.clone(), state(member)]
            })
            .collect();
        let table = table(["MEMBER", "HOST", "VERSION", "WEIGHT", "UNITS", "CONFIG", "STATE"], &rows);
        format!("{}\n{table}", words.join(", "))
    }
}

/// `cluster units`.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Units(Vec<Row>);

#[derive(Serialize)]
struct Row {
    unit: String,
    owner: Option<String>,
    epoch: Option<i64>,
    placed_on: Option<String>,
    pinned_to: Option<String>,
    /// `owned`, `moving` (another should have it), `free` (somebody should take it).
    stage: &'static str,
}

impl Units {
    /// The units that somebody has or that are pinned, and where the members' own rule places them. What nobody has at
    /// this moment and nobody pinned is known to the members alone.
    pub(super) fn of(view: &View) -> Units {
        let names: BTreeSet<&str> = view.owners.keys().chain(view.pins.keys()).map(String::as_str).collect();
        let able = view.members.iter().filter(|(id, member)| member.ready && !view.drained.contains_key(*id));
        let ring = Ring::new(able.map(|(id, member)| (id.as_str(), member.weight)));
        let placed = ring.place_pinned(
            names.iter().copied(),
            |unit| view.owners.get(unit).map(|(member, _)| member.as_str()),
            |unit| view.pins.get(unit).map(String::as_str),
        );
        let unit = |name: &&str| {
            let owner = view.owners.get(*name);
            let placed_on = placed.get(name).map(|member| (*member).to_owned());
            let stage = match (owner, &placed_on) {
                (None, _) => "free",
                (Some((owner, _)), Some(placed)) if owner != placed => "moving",
                (Some(_), _) => "owned",
            };
            Row {
                unit: (*name).to_owned(),
                owner: owner.map(|(member, _)| member.clone()),
                epoch: owner.map(|(_, epoch)| *epoch),
                placed_on,
                pinned_to: view.pins.get(*name).cloned(),
                stage,
            }
        };
        Units(names.iter().map(unit).collect())
    }
}

impl Answer for Units {
    fn text(&self) -> String {
        let rows: Vec<[String; 6]> = self
            .0
            .iter()
            .map(|unit| {
                let or_none = |text: &Option<String>| text.clone().unwrap_or_default();
                let epoch = unit.epoch.map(|epoch| epoch.to_string());
                [
                    unit.unit.clone(),
                    or_none(&unit.owner),
                    or_none(&epoch),
                    or_none(&unit.placed_on),
                    or_none(&unit.pinned_to),
                    unit.stage.to_owned(),
                ]
            })
            .collect();
        table(["UNIT", "OWNER", "EPOCH", "PLACED ON", "PINNED TO", "STAGE"], &rows)
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
        let all = self.0.iter().flat_map(|(unit, moves)| moves.iter().map(move |one| (unit, one)));
        let mut all: Vec<(&String, &Move)> = all.collect();
        all.sort_by(|(_, a), (_, b)| (&b.at, b.epoch).cmp(&(&a.at, a.epoch)));
        let rows: Vec<[String; 6]> = all
            .into_iter()
            .map(|(unit, one)| {
                let from = one.from.clone().unwrap_or_default();
                let (member, reason) = (one.member.clone(), one.reason.name().to_owned());
                [one.at.clone(), unit.clone(), from, member, reason, one.epoch.to_string()]
            })
            .collect();
        table(["TIME", "UNIT", "FROM", "TO", "REASON", "EPOCH"], &rows)
    }
}
