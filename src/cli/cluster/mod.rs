//! `nephoscope cluster`: what the group looks like from outside, and what an operator may ask of it.
//!
//! It joins nothing: it reads and writes the same keys as the members, found by the same configuration as theirs.

mod shown;
mod table;

pub(super) use shown::Answer;
pub(super) use table::table;

use std::io::{self, Write};
use std::sync::Arc;

use super::{ConfigArguments, Failure, refuse_errors, runtime};
use crate::agent::wiring;
use crate::coordination::{CoordinationError, Coordinator, Drained, Operation, View};

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
    /// The members: weight, readiness, how many queues they own
    List(Shown),
    /// The main and pipeline queues: who owns them, and who should
    Units(Shown),
    /// Who had a queue before, newest first; without a unit, of all queues
    History {
        /// A name as in `cluster units`
        unit: Option<String>,
        #[command(flatten)]
        shown: Shown,
    },
    /// Nobody gives up a queue that it could keep, until `resume`; queues without an owner are still taken
    Pause,
    /// Queues move again
    Resume,
    /// Pin a queue to a member: it goes there and stays there while the member is alive and ready
    Move {
        /// A name as in `cluster units`
        unit: String,
        /// A member's id as in `cluster list`; not needed to undo
        #[arg(required_unless_present = "undo")]
        member: Option<String>,
        /// Take the pin away: the queue may be with any member again
        #[arg(long)]
        undo: bool,
    },
    /// Take all queues from a member and give it no others; it stays in the group, also after a restart
    Drain {
        /// A member's id as in `cluster list`
        member: String,
        /// Let it have queues again
        #[arg(long)]
        undo: bool,
        /// Why, for those who look later
        #[arg(long, default_value = "", hide_default_value = true, value_parser = reason)]
        reason: String,
    },
}

/// How an answer is shown.
#[derive(clap::Args, Clone, Copy)]
pub(super) struct Shown {
    /// The form of what is printed
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// For reading
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

/// Asks the group, and prints what came of it.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let desk = desk(&arguments.config)?;
    runtime()?.block_on(desk.serve(&arguments.command))
}

/// The desk of the group that a configuration leads to.
pub(super) fn desk(config: &ConfigArguments) -> Result<Desk, Failure> {
    let (settings, complaints) = config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let Some(group) = wiring::group(&settings) else {
        let text = "cannot see a group: this configuration shares its work with nobody; write [notification] \
                    workload_partitioning = true and [coordination] backend_url, or name the members' configuration \
                    with --config-file";
        return Err(Failure::Other(text.to_owned()));
    };
    Ok(Desk { group, name: settings.cluster.group })
}

/// Where an operator is served.
pub(super) struct Desk {
    pub(super) group: Arc<dyn Coordinator>,
    name: String,
}

impl Desk {
    async fn serve(&self, command: &Command) -> Result<(), Failure> {
        match command {
            Command::List(shown) => {
                let view = self.view("list the members").await?;
                print(*shown, &shown::List::of(&self.name, self.group.name(), &view));
            }
            Command::Units(shown) => print(*shown, &shown::Units::of(&self.view("list the queues").await?)),
            Command::History { unit, shown } => {
                let histories = self.group.history(unit.as_deref()).await;
                let histories = histories.map_err(|error| cannot("read the history", &error))?;
                if let Some(unit) = unit.as_ref().filter(|unit| !histories.contains_key(*unit)) {
                    let text =
                        format!("cannot show the history of {unit}: nobody has had it; see nephoscope cluster units");
                    return Err(Failure::Other(text));
                }
                print(*shown, &shown::Histories::of(histories));
            }
            Command::Pause => {
                self.operate("pause", Operation::Pause).await?;
                println!("moving is paused: nephoscope cluster resume lets queues move again");
            }
            Command::Resume => {
                self.operate("resume", Operation::Resume).await?;
                println!("queues move again");
            }
            Command::Move { unit, member, undo } => self.pin(unit, member.as_deref().filter(|_| !undo)).await?,
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

    async fn pin(&self, unit: &str, member: Option<&str>) -> Result<(), Failure> {
        let doing = format!("move {unit}");
        let view = self.view(&doing).await?;
        let Some(member) = member else {
            let Some(pinned) = view.pins.get(unit) else {
                return Err(Failure::Other(format!("cannot take the pin of {unit} away: it has none")));
            };
            self.operate(&doing, Operation::Unpin { unit: unit.to_owned() }).await?;
            println!("{unit} is not pinned to {pinned} any more");
            return Ok(());
        };
        self.expect_member(&view, &format!("{doing} to {member}"), member)?;
        let history = self.group.history(Some(unit)).await.map_err(|error| cannot(&doing, &error))?;
        if !view.owners.contains_key(unit) && history.is_empty() {
            return Err(Failure::Other(format!(
                "cannot {doing}: nobody has or had such a queue; see nephoscope cluster units"
            )));
        }
        self.operate(&doing, Operation::Pin { unit: unit.to_owned(), member: member.to_owned() }).await?;
        println!("{unit} is pinned to {member}");
        let able = view.members.get(member).is_some_and(|record| record.ready) && !view.drained.contains_key(member);
        if !able {
            eprintln!("warning: {member} takes no queues now: the pin counts when it is ready and not drained");
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
        println!("{member} gives its queues to others; nephoscope cluster list shows how many it still has");
        if !view.members.iter().any(|(id, m)| id != member && m.ready && !view.drained.contains_key(id)) {
            eprintln!(
                "warning: no other member is ready and not drained: {member} keeps its queues until there is one"
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
        println!("{member} gets queues again");
        Ok(())
    }

    fn expect_member(&self, view: &View, doing: &str, member: &str) -> Result<(), Failure> {
        if view.members.contains_key(member) {
            return Ok(());
        }
        let group = &self.name;
        let text = format!("cannot {doing}: {member} is no member of group {group} now; see nephoscope cluster list");
        Err(Failure::Other(text))
    }
}

fn warn_if_paused(view: &View) {
    if view.paused {
        eprintln!("warning: moving is paused: it is done after nephoscope cluster resume");
    }
}

pub(super) fn cannot(doing: &str, error: &CoordinationError) -> Failure {
    let next = match error {
        CoordinationError::Away { .. } => "; see that etcd runs and [coordination] backend_url leads to it",
        _ => "",
    };
    Failure::Other(format!("cannot {doing}: {error}{next}"))
}

pub(super) fn print(shown: Shown, answer: &impl Answer) {
    let mut out = io::stdout().lock();
    // Whoever reads may have had enough.
    let _all_said = match shown.output {
        Output::Text => write!(out, "{}", answer.text()),
        Output::Json => writeln!(out, "{}", answer.json()),
    };
}
