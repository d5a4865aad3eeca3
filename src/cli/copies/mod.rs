//! The commands that work on copies of notifications: `shadow`, `capture`, and `replay`, which sends what was captured.
//!
//! Never here: taking a message away from a queue that others consume. `replay` alone sends, and only with `--yes`.

pub(super) mod capture;
mod files;
mod live;
mod progress;
pub(super) mod replay;
pub(super) mod shadow;
mod shown;
mod stop;

use std::sync::Arc;

use crate::agent::wiring;
use crate::cli::Failure;
use crate::config::Settings;
use crate::model::shown::without_secrets;
use crate::shadow::copies::{Copies, CopyOptions, CopyState, NO_EXCHANGE};
use crate::transport::Broker;
use crate::transport::copies::CopyBounds;

/// Bytes that a copy queue holds at most.
const COPY_BYTES_MAX: u64 = 128 << 20;

/// What every command that copies can be told.
#[derive(clap::Args)]
struct Window {
    /// Stop after this many seconds; without it, at Ctrl-C
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Stop after this many notifications
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Most messages in the copy queue; a full one forgets its oldest
    ///
    /// What it forgets is counted and told. It never refuses a message: senders notice nothing.
    #[arg(long, value_name = "MESSAGES", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_queue: u32,
}

impl Window {
    /// When it ends by itself.
    fn deadline(&self) -> Option<tokio::time::Instant> {
        self.seconds.map(|seconds| tokio::time::Instant::now() + std::time::Duration::from_secs(seconds))
    }

    /// Whether so many notifications are enough.
    fn is_enough(&self, notifications: u64) -> bool {
        self.messages.is_some_and(|most| notifications >= most)
    }
}

/// Copies from every broker that the configuration names.
async fn open(settings: &Settings, window: &Window) -> Result<Copies, Failure> {
    let brokers = settings.intake.urls.iter().map(|url| Arc::new(wiring::broker(url)) as Arc<dyn Broker>).collect();
    let process = uuid::Uuid::new_v4().simple().to_string();
    let options = CopyOptions {
        group: settings.cluster.group.clone(),
        process: process[..12].to_owned(),
        exchanges: settings.intake.exchanges.clone(),
        topics: settings.intake.topics.clone(),
        bounds: CopyBounds { messages: window.max_queue, bytes: COPY_BYTES_MAX },
    };
    if options.exchanges.is_empty() {
        let text =
            "cannot copy notifications: no exchange is configured; set [notification] notification_control_exchanges";
        return Err(Failure::Other(text.to_owned()));
    }
    let exchanges = options.exchanges.len() * settings.intake.urls.len();
    let copies = Copies::open(brokers, options).await;
    let copies = copies.map_err(|error| Failure::Other(format!("cannot copy notifications: {error}")))?;
    let state = copies.state();
    warn(&state, exchanges)?;
    let (bound, topics) = (exchanges - state.unbound.len(), settings.intake.topics.join(", "));
    eprintln!("copying {topics} from {bound} exchanges; Ctrl-C ends it");
    Ok(copies)
}

/// Says what the copies do not have; fails where a right is missing for all of it.
fn warn(state: &CopyState, exchanges: usize) -> Result<(), Failure> {
    if let Some(why) = &state.uncounted {
        eprintln!("warning: what the copy misses cannot be counted: {}", without_secrets(why));
    }
    let refused: Vec<&String> = state.unbound.values().filter(|why| !why.contains(NO_EXCHANGE)).collect();
    if let Some(why) = refused.first() {
        if refused.len() == exchanges {
            return Err(Failure::Other(format!(
                "cannot copy notifications: {why}; docs/rabbitmq.md lists the rights that a copy needs"
            )));
        }
        eprintln!("warning: {} exchanges are not copied; the first because {}", refused.len(), without_secrets(why));
    }
    if state.unbound.len() == exchanges {
        eprintln!("warning: none of the exchanges is there yet, so nothing comes; they are looked for every 5 s");
    }
    Ok(())
}
