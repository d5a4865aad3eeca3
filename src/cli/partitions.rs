//! `nephoscope partitions`: changes the number of pipeline queues of a group that runs.

use serde::Serialize;
use std::fmt::Write as _;

use super::cluster::{Answer, Desk, Shown, cannot, desk, print, table};
use super::{ConfigArguments, Failure, print_line, runtime, unwritten};
use crate::cluster::Spec;
use crate::coordination::View;

/// What is asked of which group.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show the number of pipeline queues, and the progress of a change
    Show(Shown),
    /// Print what a change of the number would move; changes nothing
    Plan {
        /// Queues per pipeline, 1 to 1024
        queues: u16,
        #[command(flatten)]
        shown: Shown,
    },
    /// Set the number of queues per pipeline, while the agents run
    ///
    /// Nothing is lost, the order per resource is kept, and the state of transformers moves with its resources.
    Apply {
        /// Queues per pipeline, 1 to 1024
        queues: u16,
    },
}

/// `partitions show`.
#[derive(Serialize)]
struct LayoutStatus {
    generation: u64,
    queues: u16,
    next_generation: Option<u64>,
    next_queues: Option<u16>,
    /// Whether the main queues have been closed, and are routed by the next layout now.
    main_queues_quiet: bool,
    /// Old queues that are empty for good.
    sealed: usize,
    /// New queues that have their part of the state.
    imported: usize,
}

/// `partitions plan`.
#[derive(Serialize)]
struct Plan {
    generation: u64,
    queues: u16,
    next_generation: u64,
    next_queues: u16,
    slots: u16,
    slots_moved: usize,
    /// For every queue that gives slots away: its number, and how many go to which number.
    moves: Vec<Moves>,
}

#[derive(Serialize)]
struct Moves {
    from: u16,
    to: u16,
    slots: usize,
}

/// Asks the group, and prints what came of it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let desk = desk(&arguments.config)?;
    runtime()?.block_on(async {
        match &arguments.command {
            Command::Show(shown) => {
                print(*shown, &LayoutStatus::of(&desk.view("see the queues").await?)?).map_err(unwritten)?;
            }
            Command::Plan { queues, shown } => {
                let (view, doing) = (desk.view("plan").await?, format!("change to {queues} queues"));
                print(*shown, &Plan::of(&spec(&view)?.0, *queues, &doing)?).map_err(unwritten)?;
            }
            Command::Apply { queues } => apply(&desk, *queues).await?,
        }
        Ok(())
    })
}

async fn apply(desk: &Desk, queues: u16) -> Result<(), Failure> {
    let doing = format!("change to {queues} queues");
    let view = desk.view(&doing).await?;
    let (present, revision) = spec(&view)?;
    if let Some(next) = &present.next {
        return Err(Failure::Other(format!(
            "cannot {doing}: a change to {} queues is under way; run nephoscope partitions show to follow it",
            next.table.queues()
        )));
    }
    if !view.marks.is_empty() {
        return Err(Failure::Other(format!(
            "cannot {doing}: the queues before the last change are not all deleted yet; try again in a minute, and see \
             nephoscope partitions show"
        )));
    }
    let planned = planned(&present, queues, &doing)?;
    let written = desk.group.put_spec(&planned, Some(revision)).await.map_err(|error| cannot(&doing, &error))?;
    if !written {
        return Err(Failure::Other(format!("cannot {doing}: somebody else changed it meanwhile; plan it again")));
    }
    print_line(Plan::of(&present, queues, &doing)?.text().trim_end())?;
    print_line("the change has begun; run nephoscope partitions show to follow it")?;
    if view.members.is_empty() {
        eprintln!("warning: no agent runs: the change begins when the first agent starts");
    }
    Ok(())
}

fn spec(view: &View) -> Result<(Spec, i64), Failure> {
    view.spec.clone().ok_or_else(|| {
        let text = "cannot see the queues: no agent of this group has run yet; the first makes as many as its \
                    [notification] pipeline_processing_queues says";
        Failure::Other(text.to_owned())
    })
}

fn planned(present: &Spec, queues: u16, doing: &str) -> Result<Spec, Failure> {
    if queues == present.present.table.queues() {
        return Err(Failure::Other(format!("cannot {doing}: there are {queues} queues per pipeline already")));
    }
    present.planned(queues).map_err(|error| Failure::Other(format!("cannot {doing}: {error}")))
}

impl LayoutStatus {
    fn of(view: &View) -> Result<LayoutStatus, Failure> {
        let (spec, _) = spec(view)?;
        let of = |kind: &str| {
            let is = |mark: &&String| mark.split_once('/').is_some_and(|(_, name)| name.starts_with(kind));
            view.marks.keys().filter(is).count()
        };
        Ok(LayoutStatus {
            generation: spec.present.generation,
            queues: spec.present.table.queues(),
            next_generation: spec.next.as_ref().map(|next| next.generation),
            next_queues: spec.next.as_ref().map(|next| next.table.queues()),
            main_queues_quiet: spec.quiet,
            sealed: of("sealed/"),
            imported: of("imported/"),
        })
    }
}

impl Answer for LayoutStatus {
    fn text(&self) -> String {
        let LayoutStatus { generation, queues, main_queues_quiet, sealed, imported, .. } = self;
        let mut out = format!("{queues} queues per pipeline (generation {generation})\n");
        // Writing to a string cannot fail.
        let _written = match (self.next_generation, self.next_queues) {
            (Some(generation), Some(queues)) if !main_queues_quiet => {
                writeln!(
                    out,
                    "changing to {queues} (generation {generation}): waiting until all main queues are closed"
                )
            }
            (Some(generation), Some(queues)) => writeln!(
                out,
                "changing to {queues} (generation {generation}): the main queues are routed to the new queues, {sealed} old \
                 queues are sealed, {imported} new queues have their state"
            ),
            _ if *sealed > 0 => writeln!(out, "{sealed} queues of the generation before are still to be deleted"),
            _ => Ok(()),
        };
        out
    }
}

impl Plan {
    fn of(spec: &Spec, queues: u16, doing: &str) -> Result<Plan, Failure> {
        let planned = planned(spec, queues, doing)?;
        let next = planned.next.as_ref().unwrap_or(&planned.present);
        let mut moves: Vec<Moves> = Vec::new();
        for (_, from, to) in spec.present.table.moved(&next.table) {
            match moves.iter_mut().find(|known| known.from == from && known.to == to) {
                Some(known) => known.slots += 1,
                None => moves.push(Moves { from, to, slots: 1 }),
            }
        }
        moves.sort_by_key(|moved| (moved.from, moved.to));
        Ok(Plan {
            generation: spec.present.generation,
            queues: spec.present.table.queues(),
            next_generation: next.generation,
            next_queues: queues,
            slots: crate::cluster::hash::SLOTS,
            slots_moved: moves.iter().map(|moved| moved.slots).sum(),
            moves,
        })
    }
}

impl Answer for Plan {
    fn text(&self) -> String {
        let Plan { queues, next_queues, slots, slots_moved, generation, next_generation, .. } = self;
        let share = 100.0 * *slots_moved as f64 / f64::from(*slots);
        let mut out = format!(
            "from {queues} queues per pipeline (generation {generation}) to {next_queues} (generation {next_generation}): \
             {slots_moved} of {slots} slots, about {share:.0} % of the resources, go to a queue of another number\n"
        );
        let rows: Vec<[String; 3]> =
            self.moves.iter().map(|m| [m.from.to_string(), m.to.to_string(), m.slots.to_string()]).collect();
        out.push_str(&table(["FROM", "TO", "SLOTS"], &rows));
        out
    }
}
