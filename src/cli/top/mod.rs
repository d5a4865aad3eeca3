//! `nephoscope top`: the whole group on a terminal, refreshed each second.
//!
//! It hears what the agents tell on their broker, looks at their group, and asks the group to pause and to move, as `nephoscope
//! cluster` does. It needs the agents' configuration, and no running agent on this machine.
//!
//! Never here: joining the group, or taking a message.

mod detail;
mod lines;
mod screen;
mod summary;
mod tabs;
mod terminal;
mod text;
mod ui;

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{ConfigArguments, Failure, print_line, print_whole, refuse_errors, runtime, unwritten};
use crate::agent::wiring;
use crate::coordination::{Coordinator, Operation};
use crate::desk::{Picture, Watcher};
use crate::model::shown::json_on_terminal;
use terminal::{Input, Terminal};
use ui::{Action, Ui};

/// How long `--once` waits for every member to say enough for rates.
const ONCE_WITHIN: Duration = Duration::from_secs(8);
/// How long it waits in any case.
const ONCE_AT_LEAST: Duration = Duration::from_millis(2_500);
/// The group answers an operation within this, or not at all.
const OPERATED_WITHIN: Duration = Duration::from_secs(10);

/// The arguments of `nephoscope top`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print one screen as text, and end
    #[arg(long)]
    once: bool,
    /// Output format; json prints one picture, and ends
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A screen for reading
    Text,
    /// One JSON document
    Json,
}

/// Shows the group until the operator has seen enough.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let is_once = arguments.once || arguments.output == Output::Json;
    if !is_once && !io::stdout().is_terminal() {
        let text = "cannot show a screen: standard output is no terminal; use --once or -o json";
        return Err(Failure::Other(text.to_owned()));
    }
    runtime()?.block_on(async {
        let watcher = wiring::watcher(&settings);
        let shown = if is_once {
            once(&watcher, arguments.output).await
        } else {
            watch_on(&watcher, wiring::group(&settings)).await
        };
        watcher.close().await;
        shown
    })
}

/// One picture: once every member has said enough, or the time is over.
async fn once(watcher: &Watcher, output: Output) -> Result<(), Failure> {
    let (whole, mut seen) = watch::channel(false);
    let watching = watcher.watch(|picture| {
        whole.send_replace(picture.is_whole());
    });
    // Agents without a group are known by what they say, and that each has said something within that.
    let enough = timeout(ONCE_WITHIN, async {
        sleep(ONCE_AT_LEAST).await;
        let _gone = seen.wait_for(|whole| *whole).await;
    });
    tokio::select! {
        biased;
        () = watching => {}
        _enough = enough => {}
    }
    let picture = watcher.picture();
    if picture.members.is_empty() {
        let why = picture.unseen.first().cloned();
        let why = why.unwrap_or_else(|| format!("no agent of group {} says anything on this broker", picture.group));
        return Err(Failure::Other(format!(
            "cannot see an agent: {why}; check that agents run, and that this is their configuration (--config-file)"
        )));
    }
    match output {
        Output::Text => print_whole(screen::whole(&picture).as_bytes()),
        // Strings and numbers: writing them cannot fail.
        Output::Json => print_line(&json_on_terminal(&serde_json::to_string_pretty(&picture).unwrap_or_default())),
    }
}

/// Screens until a key ends them.
async fn watch_on(watcher: &Watcher, group: Option<Arc<dyn Coordinator>>) -> Result<(), Failure> {
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|e| Failure::Other(format!("cannot listen for signals: {e}")))?;
    let terminal = Terminal::open().map_err(unwritten)?;
    let mut inputs = Terminal::inputs();
    let mut ui = Ui::new();
    let newest = Mutex::new(watcher.picture());
    let (told, mut news) = watch::channel(());
    let watching = watcher.watch(|picture| {
        *newest.lock().unwrap_or_else(PoisonError::into_inner) = picture;
        told.send_replace(());
    });
    tokio::pin!(watching);
    loop {
        let picture = newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (width, height) = Terminal::size();
        terminal.show(&screen::lines(&picture, &ui, width, height)).map_err(unwritten)?;
        let input = tokio::select! {
            biased;
            input = inputs.recv() => input,
            _ = terminate.recv() => None,
            () = &mut watching => None,
            _ = news.changed() => continue,
        };
        let action = match input {
            Some(Input::Key(key)) => ui.press(key, &picture, height.saturating_sub(10)),
            Some(Input::Resized) => Action::Show,
            Some(Input::Interrupt) | None => Action::Quit,
        };
        match action {
            Action::Show => {}
            Action::Quit => return Ok(()),
            Action::Operate(operation) => ui.said = operate(group.as_deref(), &operation, &picture).await,
        }
    }
}

/// Asks the group; what came of it, in words.
async fn operate(group: Option<&dyn Coordinator>, operation: &Operation, picture: &Picture) -> String {
    let Some(group) = group else { return "these agents have no group".to_owned() };
    let done = match operation {
        Operation::Pause => "rebalancing is paused; p resumes it".to_owned(),
        Operation::Resume => "rebalancing again".to_owned(),
        Operation::Pin { queue, member } if picture.paused => {
            format!("{queue} is pinned to {member}; it moves when rebalancing is resumed")
        }
        Operation::Pin { queue, member } => format!("{queue} is pinned to {member}; u unpins it"),
        Operation::Unpin { queue } => format!("{queue} is not pinned any more"),
        Operation::Drain { member, .. } | Operation::Undrain { member } => member.clone(),
    };
    match timeout(OPERATED_WITHIN, asked(group, operation)).await {
        Ok(Ok(())) => done,
        Ok(Err(why)) => format!("not done: {why}"),
        Err(_) => "not done: etcd does not answer".to_owned(),
    }
}

/// Asks the group, if it knows what is asked about: a name on the screen may be anybody's invention.
async fn asked(group: &dyn Coordinator, operation: &Operation) -> Result<(), String> {
    let words = |error: crate::coordination::CoordinationError| error.to_string();
    if let Operation::Pin { queue, member } = operation {
        let view = group.view().await.map_err(words)?;
        if !view.members.contains_key(member) {
            return Err(format!("{member} is not a member of the group"));
        }
        if !view.owners.contains_key(queue) && group.history(Some(queue)).await.map_err(words)?.is_empty() {
            return Err(format!("no member owns or has owned {queue}"));
        }
    }
    group.operate(operation).await.map_err(words)
}
