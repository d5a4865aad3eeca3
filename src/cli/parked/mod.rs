//! `nephoscope parked`: lists, shows, puts back, drops and exports parked messages.
//!
//! It connects to the broker of the agents' configuration. It changes something only with `--yes`.
//!
//! Never here: joining the group.

mod shown;
mod which;

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cluster::{Shown, print};
use super::{ConfigArguments, Failure, refuse_errors, runtime, write_whole};
use crate::agent::parked::{Filter, Look, Outcome, Parked, ParkedError, Requeue, Seen};
use crate::agent::wiring;
use crate::config::Settings;
use crate::transport::{Broker, Session, topology};
use shown::{Done, List, Record, Records};
use which::Which;
pub(super) use which::age;

/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(2);

/// The arguments of `nephoscope parked`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Count parked messages by reason, and list them
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        shown: Shown,
    },
    /// Show parked messages with headers and bodies
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        shown: Shown,
    },
    /// Put parked messages back
    ///
    /// A message goes to the queue that it came from. A sample or event goes to the publisher that refused it, and to no other.
    Requeue {
        #[command(flatten)]
        which: Which,
        /// Do it; without this option, print what would be done
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Delete parked messages
    Drop {
        #[command(flatten)]
        which: Which,
        /// Do it; without this option, print what would be done
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        shown: Shown,
    },
    /// Write parked messages as JSON lines; they stay parked
    Export {
        #[command(flatten)]
        which: Which,
        /// New file to write to; without this option, standard output
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

impl Command {
    fn which(&self) -> &Which {
        match self {
            Command::List { which, .. }
            | Command::Show { which, .. }
            | Command::Requeue { which, .. }
            | Command::Drop { which, .. }
            | Command::Export { which, .. } => which,
        }
    }

    /// What it does, behind "cannot".
    fn doing(&self) -> &'static str {
        match self {
            Command::List { .. } => "list parked messages",
            Command::Show { .. } => "show parked messages",
            Command::Requeue { .. } => "put back parked messages",
            Command::Drop { .. } => "drop parked messages",
            Command::Export { .. } => "export parked messages",
        }
    }
}

/// Does what the operator asks, and prints the outcome.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let command = &arguments.command;
    let cannot = |error: ParkedError| Failure::Other(format!("cannot {}: {error}", command.doing()));
    runtime()?.block_on(async {
        let broker = wiring::broker(&settings.intake.urls[0]);
        let session = broker.connect().await.map_err(|error| cannot(error.into()))?;
        let progress = Progress::new(&session);
        let desk = Desk { settings: &settings, session: &session, filter: command.which().filter(), progress };
        desk.serve(command).await.map_err(cannot)?;
        desk.warn_of_too_many().await;
        session.close().await;
        Ok(())
    })
}

struct Desk<'d> {
    settings: &'d Settings,
    session: &'d Arc<dyn Session>,
    filter: Filter,
    progress: Progress,
}

impl Desk<'_> {
    fn look<'l>(&'l self, which: &Which, note: &'l mut (dyn FnMut(Seen) + Send)) -> Look<'l> {
        Look {
            session: self.session,
            group: &self.settings.cluster.group,
            filter: &self.filter,
            now: chrono::Utc::now(),
            limit: which.limit,
            progress: note,
        }
    }

    async fn serve(&self, command: &Command) -> Result<(), ParkedError> {
        let which = command.which();
        let queue = topology::parking_queue_name(&self.settings.cluster.group);
        match command {
            Command::List { shown, .. } => {
                let mut list = List::new(&queue);
                let mut add = |parked: &Parked| {
                    list.add(parked);
                    Ok(())
                };
                let seen = self.tell(which, &mut add).await?;
                print(*shown, &list.of(seen))?;
            }
            Command::Show { shown, .. } => {
                let mut records = Records::default();
                let mut add = |parked: &Parked| {
                    records.0.push(Record::of(parked));
                    Ok(())
                };
                self.tell(which, &mut add).await?;
                if records.0.is_empty() {
                    eprintln!("no parked message matches; nephoscope parked list shows all");
                }
                print(*shown, &records)?;
            }
            Command::Requeue { yes, shown, .. } => {
                let mut requeue = wiring::requeue(self.settings, self.session);
                let outcome = if *yes {
                    self.put_back(which, requeue).await?
                } else {
                    let mut plan = |parked: &Parked| {
                        requeue.plan(parked);
                        Ok(())
                    };
                    self.tell(which, &mut plan).await?;
                    requeue.planned().clone()
                };
                print(*shown, &Done::requeued(*yes, outcome))?;
            }
            Command::Drop { yes, shown, .. } => {
                let mut done = Done::dropped(*yes);
                self.drop_for_good(which, *yes, &mut done).await?;
                print(*shown, &done)?;
            }
            Command::Export { to: Some(file), .. } => {
                let mut out = BufWriter::new(create(file)?);
                let count = self.export(which, &mut out).await?;
                out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                write_whole(format!("wrote {count} messages to {}; they stay parked\n", file.display()).as_bytes())?;
            }
            Command::Export { to: None, .. } => {
                let mut out = BufWriter::new(io::stdout());
                self.export(which, &mut out).await?;
                out.flush()?;
            }
        }
        Ok(())
    }

    /// Tells every message that is meant, and leaves it.
    async fn tell(
        &self,
        which: &Which,
        tell: &mut (dyn FnMut(&Parked) -> io::Result<()> + Send),
    ) -> Result<Seen, ParkedError> {
        let mut progress = self.progress.clone();
        self.look(which, &mut |seen| progress.note(seen)).tell(tell).await
    }

    async fn put_back(&self, which: &Which, requeue: Requeue) -> Result<Outcome, ParkedError> {
        let mut progress = self.progress.clone();
        let (_, outcome) = self.look(which, &mut |seen| progress.note(seen)).requeue(requeue).await?;
        Ok(outcome)
    }

    async fn drop_for_good(&self, which: &Which, yes: bool, done: &mut Done) -> Result<(), ParkedError> {
        let mut note = |parked: &Parked| {
            done.drop(parked);
            Ok(())
        };
        if !yes {
            self.tell(which, &mut note).await?;
            return Ok(());
        }
        let mut progress = self.progress.clone();
        self.look(which, &mut |seen| progress.note(seen)).drop_for_good(&mut note).await?;
        Ok(())
    }

    async fn export(&self, which: &Which, out: &mut (impl Write + Send)) -> Result<u64, ParkedError> {
        let mut count = 0;
        self.tell(which, &mut |parked| {
            count += 1;
            serde_json::to_writer(&mut *out, &Record::of(parked)).map_err(io::Error::from)?;
            out.write_all(b"\n")
        })
        .await?;
        Ok(count)
    }

    /// While messages are looked at, agents may park more than the queue is meant to hold.
    async fn warn_of_too_many(&self) {
        let queue = topology::parking_queue_name(&self.settings.cluster.group);
        let most = self.settings.cluster.parked_messages_max;
        // It was there a moment ago; a broker that is away now is no news of this command.
        let Ok(state) = self.session.inspect(&queue).await else { return };
        if usize::try_from(state.messages).is_ok_and(|messages| messages > most) {
            eprintln!(
                "warning: {queue} holds {} messages, more than its limit of {most}: a classic queue loses the rest when RabbitMQ \
                 restarts; put back or drop some",
                state.messages
            );
        }
    }
}

fn create(file: &Path) -> io::Result<File> {
    let created = OpenOptions::new().write(true).create_new(true).open(file);
    created.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// Says on standard error how far a long look is.
#[derive(Clone)]
struct Progress {
    session: Arc<dyn Session>,
    said: Instant,
}

impl Progress {
    fn new(session: &Arc<dyn Session>) -> Progress {
        Progress { session: Arc::clone(session), said: Instant::now() }
    }

    fn note(&mut self, seen: Seen) {
        if self.said.elapsed() < PROGRESS {
            return;
        }
        self.said = Instant::now();
        eprintln!("read {} of {} messages", seen.looked_at, seen.all);
        if let Some(why) = &*self.session.blocked().borrow() {
            eprintln!("an alarm of the broker blocks the connection ({why}); waiting");
        }
    }
}
