//! `nephoscope cluster`: shows the group of agents, and lets an operator control where its queues run.
//!
//! It reads and writes the keys of the members in etcd, and finds them by the configuration of the members.
//!
//! Never here: joining the group.

mod shown;
mod table;

pub(super) use shown::Answer;
pub(super) use table::table;

use std::io;
use std::sync::Arc;

use super::{ConfigArguments, Failure, print_line, refuse_errors, runtime, unwritten, write_whole};
use crate::agent::wiring;
use crate::coordination::{CoordinationError, Coordinator, Drained, Operation, View};

/// The arguments of `nephoscope cluster`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the members: weight, state, number of queues
    List(Shown),
    /// List the queues: owner, epoch, where the group places them
    ///
    /// A queue that no member owns at this moment is listed only if it is pinned.
    Queues(Shown),
    /// Show the former owners of a queue, newest first
    History {
        /// Name of a queue, as in `cluster queues`; without it, all queues
        queue: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Stop rebalancing until `cluster resume`
    ///
    /// Members keep their queues. They still take over queues that have no owner.
    Pause,
    /// Start rebalancing again
    Resume,
    /// Pin a queue to a member
    ///
    /// The queue moves to the member, and stays there while the member is alive, ready and not drained.
    Move {
        /// Name of a queue, as in `cluster queues`
        queue: String,
        /// ID of a member, as in `cluster list`; not needed with --undo
        #[arg(required_unless_present = "undo")]
        member: Option<String>,
        /// Remove the pin: any member may own the queue again
        #[arg(long)]
        undo: bool,
    },
    /// Move all queues away from a member, and give it no others
    ///
    /// The member stays in the group. It stays drained after a restart, until --undo.
    Drain {
        /// ID of a member, as in `cluster list`
        member: String,
        /// Give the member queues again
        #[arg(long)]
        undo: bool,
        /// Reason, shown by `cluster list -o json`
        #[arg(long, default_value = "", hide_default_value = true, value_parser = reason)]
        reason: String,
    },
}

/// How an answer is shown.
#[derive(clap::Args, Clone, Copy)]
pub(super) struct Shown {
    /// Output format
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// Tables for reading
    Text,
    /// One JSON document
    Json,
}

/// The longest reason of a drain, in bytes.
const REASON_BYTES_MAX: usize = 512;

fn reason(text: &str) -> Result<String, String> {
    if text.len() > REASON_BYTES_MAX {
        return Err(format!("{} bytes, expected at most {REASON_BYTES_MAX}", text.len()));
    }
    Ok(text.to_owned())
}

/// Asks the group, and prints its answer.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let desk = desk(&arguments.config)?;
    runtime()?.block_on(desk.serve(&arguments.command))
}

/// A desk for the group that a configuration names.
pub(super) fn desk(config: &ConfigArguments) -> Result<Desk, Failure> {
    let (settings, complaints) = config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let Some(group) = wiring::group(&settings) else {
        let text = "cannot see a group: this configuration is that of an agent without a group; set [notification] \
                    workload_partitioning = true and [coordination] backend_url, or name the members' configuration \
                    with --config-file";
        return Err(Failure::Other(text.to_owned()));
    };
    Ok(Desk { group, name: settings.cluster.group })
}

/// Serves an operator of a group.
pub(super) struct Desk {
    pub(super) group: Arc<dyn Coordinator>,
    name: String,
}

impl Desk {
    async fn serve(&self, command: &Command) -> Result<(), Failure> {
        match command {
            Command::List(shown) => {
                let view = self.view("list the members").await?;
                print(*shown, &shown::List::of(&self.name, self.group.name(), &view)).map_err(unwritten)?;
            }
            Command::Queues(shown) => {
                let view = self.view("list the queues").await?;
                print(*shown, &shown::Queues::of(&view)).map_err(unwritten)?;
            }
            Command::History { queue, shown } => {
                let histories = self.group.history(queue.as_deref()).await;
                let histories = histories.map_err(|error| cannot("read the history", &error))?;
                if let Some(queue) = queue.as_ref().filter(|queue| !histories.contains_key(*queue)) {
                    return Err(Failure::Other(format!(
                        "cannot show the history of {queue}: no member has owned such a queue; see nephoscope cluster queues"
                    )));
                }
                print(*shown, &shown::Histories::of(histories)).map_err(unwritten)?;
            }
            Command::Pause => {
                self.operate("pause", Operation::Pause).await?;
                print_line("rebalancing is paused; nephoscope cluster resume starts it again")?;
            }
            Command::Resume => {
                self.operate("resume", Operation::Resume).await?;
                print_line("rebalancing again")?;
            }
            Command::Move { queue, member, undo } => self.pin(queue, member.as_deref().filter(|_| !undo)).await?,
            Command::Drain { member, undo: false, reason } => self.drain(member, reason).await?,
            Command::Drain { member, undo: true, .. } => self.undrain(member).await?,
        }
        Ok(())
    }

    pub(super) async fn view(&self, doing: &str) -> Result<View, Failure> {
        self.group.view().await.map_err(|error| cannot(doing, &error))
    }

    async fn operate(&self, doing: &str, operation: Operation) -> Result<(), Failure> {
        self.group.operate(&operation).await.map_err(|error| cannot(doing, &error))
    }

    async fn pin(&self, queue: &str, member: Option<&str>) -> Result<(), Failure> {
        let doing = format!("move {queue}");
        let view = self.view(&doing).await?;
        let Some(member) = member else {
            let Some(pinned) = view.pins.get(queue) else {
                return Err(Failure::Other(format!(
                    "cannot unpin {queue}: it is not pinned; see nephoscope cluster queues"
                )));
            };
            self.operate(&doing, Operation::Unpin { queue: queue.to_owned() }).await?;
            return print_line(&format!("{queue} is not pinned to {pinned} any more"));
        };
        self.expect_member(&view, &format!("{doing} to {member}"), member)?;
        let history = self.group.history(Some(queue)).await.map_err(|error| cannot(&doing, &error))?;
        if !view.owners.contains_key(queue) && history.is_empty() {
            return Err(Failure::Other(format!(
                "cannot {doing}: no member owns or has owned such a queue; see nephoscope cluster queues"
            )));
        }
        self.operate(&doing, Operation::Pin { queue: queue.to_owned(), member: member.to_owned() }).await?;
        print_line(&format!("{queue} is pinned to {member}"))?;
        let able = view.members.get(member).is_some_and(|record| record.ready) && !view.drained.contains_key(member);
        if !able {
            eprintln!("warning: {member} is not ready or is drained: the queue moves when the member can take it");
        }
        warn_if_paused(&view);
        Ok(())
    }

    async fn drain(&self, member: &str, reason: &str) -> Result<(), Failure> {
        let doing = format!("drain {member}");
        let view = self.view(&doing).await?;
        self.expect_member(&view, &doing, member)?;
        let since = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let note = Drained { since, reason: reason.to_owned() };
        self.operate(&doing, Operation::Drain { member: member.to_owned(), note }).await?;
        print_line(&format!("draining {member}; run nephoscope cluster list to see how many queues it still has"))?;
        if !view.members.iter().any(|(id, m)| id != member && m.ready && !view.drained.contains_key(id)) {
            eprintln!(
                "warning: no other member can take queues: {member} keeps its queues until one is ready and not drained"
            );
        }
        warn_if_paused(&view);
        Ok(())
    }

    async fn undrain(&self, member: &str) -> Result<(), Failure> {
        let doing = format!("undo the drain of {member}");
        if !self.view(&doing).await?.drained.contains_key(member) {
            return Err(Failure::Other(format!("cannot {doing}: it is not drained; see nephoscope cluster list")));
        }
        self.operate(&doing, Operation::Undrain { member: member.to_owned() }).await?;
        print_line(&format!("{member} gets queues again"))
    }

    fn expect_member(&self, view: &View, doing: &str, member: &str) -> Result<(), Failure> {
        if view.members.contains_key(member) {
            return Ok(());
        }
        let group = &self.name;
        let text = format!("cannot {doing}: {member} is not a member of group {group}; see nephoscope cluster list");
        Err(Failure::Other(text))
    }
}

fn warn_if_paused(view: &View) {
    if view.paused {
        eprintln!("warning: rebalancing is paused: nothing moves before nephoscope cluster resume");
    }
}

pub(super) fn cannot(doing: &str, error: &CoordinationError) -> Failure {
    let next = match error {
        CoordinationError::Away { .. } => "; check that etcd runs and that [coordination] backend_url names it",
        _ => "",
    };
    Failure::Other(format!("cannot {doing}: {error}{next}"))
}

pub(super) fn print(shown: Shown, answer: &impl Answer) -> io::Result<()> {
    let text = match shown.output {
        Output::Text => answer.text(),
        Output::Json => answer.json() + "\n",
    };
    write_whole(text.as_bytes())
}
