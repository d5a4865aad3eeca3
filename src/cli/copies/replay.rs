//! `nephoscope replay`: sends the notifications of a captured file, in their order, with confirms.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::progress::{Progress, bar, rate};
use super::stop::Stop;
use crate::agent::wiring;
use crate::cli::cluster::table;
use crate::cli::{ConfigArguments, Failure, print_line, print_whole, refuse_errors, runtime};
use crate::config::Settings;
use crate::model::{Priority, shown};
use crate::shadow::capture::{Captured, Lines, Mark, mark};
use crate::transport::topology::{self, OsloQueues};
use crate::transport::{Broker, Confirmation, Outgoing, Session, TransportError};

/// Unconfirmed messages at most.
const UNCONFIRMED_MAX: usize = 500;
/// After a signal, confirms are waited for no longer.
const LAST_CONFIRMS: Duration = Duration::from_secs(10);
/// Exchanges and keys that are told apart.
const TARGETS_MAX: usize = 1_000;
/// Characters of a name that is shown.
const NAME_CHARS_MAX: usize = 120;
/// The content type of what OpenStack services send, and of what has another or none.
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// The arguments of `nephoscope replay`.
#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// File that nephoscope capture wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Most notifications in a second; 0 for as many as the broker takes
    #[arg(long, value_name = "RATE", default_value_t = 100.0, value_parser = per_second)]
    rate: f64,
    /// Leave out this many notifications at the beginning of the file
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    from: u64,
    /// Do it; without this option, print what would be sent
    ///
    /// Every agent on the broker takes what is sent as it takes what services send: samples are published, and billed.
    #[arg(long)]
    yes: bool,
}

fn per_second(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0);
    rate.ok_or_else(|| "expected a number of at least 0".to_owned())
}

/// Where notifications go, and how many.
#[derive(Default)]
struct Plan {
    targets: BTreeMap<(String, String), u64>,
    all: u64,
    to_send: u64,
    hashed: bool,
    cut: Option<String>,
}

/// Sends, or says what would be sent.
pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let plan = Plan::of(&arguments.file, arguments.from)?;
    if let Some(cut) = &plan.cut {
        eprintln!("warning: {}: {cut}", arguments.file.display());
    }
    if plan.hashed {
        eprintln!(
            "warning: the names and addresses in this file are hashes: samples will be of users who do not exist"
        );
    }
    if plan.to_send == 0 {
        let text = format!(
            "nothing to send: the file has {} notifications, and --from leaves out {}",
            plan.all, arguments.from
        );
        return print_line(&text);
    }
    if !arguments.yes {
        print_whole(plan.text(&settings).as_bytes())?;
        return print_line("\nnothing is sent yet; add --yes to do it");
    }
    runtime()?.block_on(Replay::new(arguments, &plan).work(&settings))
}

/// Every notification of a file, with its number; the reader of it, at its end.
fn each(
    file: &Path,
    lines: &mut Lines,
    mut take: impl FnMut(Captured) -> Result<bool, Failure>,
    mut header: impl FnMut(bool),
) -> Result<(), Failure> {
    let cannot = |why: String| Failure::Other(format!("cannot read {}: {why}", file.display()));
    let mut number = 0_u64;
    while let Some(line) = lines.next_line().map_err(|cause| cannot(cause.to_string()))? {
        number += 1;
        match mark(line).map_err(cannot)? {
            Some(Mark::Header(found)) => header(found.hashed),
            Some(Mark::End(_)) => {}
            None => {
                let captured = Captured::read(line).map_err(|why| {
                    cannot(format!("line {number}: {why}; it is to be a file that nephoscope capture wrote"))
                })?;
                if !take(captured)? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn open(file: &Path) -> Result<Lines, Failure> {
    Lines::open(file).map_err(|cause| Failure::Other(format!("cannot read {}: {cause}", file.display())))
}

impl Plan {
    fn of(file: &Path, from: u64) -> Result<Plan, Failure> {
        let (mut plan, mut hashed) = (Plan::default(), false);
        let mut lines = open(file)?;
        let take = |captured: Captured| {
            plan.all += 1;
            if plan.all > from {
                plan.to_send += 1;
                let target = (captured.exchange, captured.routing_key);
                if plan.targets.contains_key(&target) || plan.targets.len() < TARGETS_MAX {
                    *plan.targets.entry(target).or_default() += 1;
                } else {
                    return Err(Failure::Other(format!(
                        "cannot send {}: it has more than {TARGETS_MAX} exchanges and routing keys",
                        file.display()
                    )));
                }
            }
            Ok(true)
        };
        each(file, &mut lines, take, |found| hashed = found)?;
        plan.hashed = hashed;
        plan.cut = lines.cut().map(str::to_owned);
        Ok(plan)
    }

    fn text(&self, settings: &Settings) -> String {
        let row = |((exchange, key), count): (&(String, String), &u64)| {
            let name = |text: &str| shown::on_one_line(text, NAME_CHARS_MAX);
            [count.to_string(), name(exchange), name(key)]
        };
        let rows: Vec<[String; 3]> = self.targets.iter().map(row).collect();
        format!(
            "{} of {} notifications would be sent to {}\n\n{}",
            self.to_send,
            self.all,
            settings.intake.urls[0],
            table(["COUNT", "EXCHANGE", "ROUTING KEY"], &rows)
        )
    }
}

struct Replay<'a> {
    arguments: &'a Arguments,
    plan: &'a Plan,
    unconfirmed: FuturesOrdered<futures_util::future::BoxFuture<'static, Result<(), TransportError>>>,
    confirmed: u64,
    sent: u64,
}

/// Why it ended before everything was sent.
enum Ended {
    /// A signal.
    Asked,
    /// The broker.
    Broker(TransportError),
}

impl<'a> Replay<'a> {
    fn new(arguments: &'a Arguments, plan: &'a Plan) -> Replay<'a> {
        Replay { arguments, plan, unconfirmed: FuturesOrdered::new(), confirmed: 0, sent: 0 }
    }

    async fn work(mut self, settings: &Settings) -> Result<(), Failure> {
        let mut stop = Stop::new()?;
        let url = &settings.intake.urls[0];
        let cannot = |error: TransportError| Failure::Other(format!("cannot send: {error}"));
        let session = wiring::broker(url).connect().await.map_err(cannot)?;
        declare(&session, &self.plan.targets, &wiring::oslo_queues(&url.rabbit)).await.map_err(cannot)?;
        let began = Instant::now();
        let ended = self.send(&session, &mut stop, began).await?;
        if matches!(ended, Some(Ended::Asked)) {
            let waiting = async { while self.confirm_one().await.is_some_and(|confirmed| confirmed.is_ok()) {} };
            // What is not confirmed by then is not counted.
            let _in_time = tokio::time::timeout(LAST_CONFIRMS, waiting).await;
        }
        session.close().await;
        let seconds = began.elapsed().as_secs_f64().max(0.001);
        let told = format!(
            "{} of {} notifications are sent and confirmed, {}/s",
            self.confirmed,
            self.plan.to_send,
            rate(self.confirmed as f64 / seconds)
        );
        let from = self.arguments.from + self.confirmed;
        match ended {
            None => print_line(&told),
            Some(_) if self.confirmed == self.plan.to_send => print_line(&told),
            Some(Ended::Asked) => Err(Failure::Other(format!("stopped by a signal: {told}; go on with --from {from}"))),
            Some(Ended::Broker(error)) => {
                Err(Failure::Other(format!("cannot send: {error}; {told}; mend it, and go on with --from {from}")))
            }
        }
    }

    /// Sends what the file has, and waits for all confirms.
    async fn send(
        &mut self,
        session: &Arc<dyn Session>,
        stop: &mut Stop,
        began: Instant,
    ) -> Result<Option<Ended>, Failure> {
        let (mut progress, file) = (Progress::new(), &self.arguments.file);
        let cannot = |why: String| Failure::Other(format!("cannot read {}: {why}", file.display()));
        let (mut lines, mut left_out) = (open(file)?, 0);
        while let Some(line) = lines.next_line().map_err(|cause| cannot(cause.to_string()))? {
            if mark(line).map_err(cannot)?.is_some() {
                continue;
            }
            if left_out < self.arguments.from {
                left_out += 1;
                continue;
            }
            let outgoing = outgoing(Captured::read(line).map_err(cannot)?);
            while self.unconfirmed.len() >= UNCONFIRMED_MAX {
                if let Some(ended) = self.wait(stop, None).await {
                    return Ok(Some(ended));
                }
            }
            if let Some(due) = self.due(began) {
                while Instant::now() < due {
                    if let Some(ended) = self.wait(stop, Some(due)).await {
                        return Ok(Some(ended));
                    }
                    self.say(&mut progress, began);
                }
            }
            // A broker with an alarm takes nothing, for as long as that lasts.
            let published = tokio::select! {
                biased;
                published = session.publish(outgoing) => published,
                () = stop.asked() => return Ok(Some(Ended::Asked)),
            };
            match published {
                Ok(confirmation) => self.unconfirmed.push_back(Box::pin(Confirmation::wait(confirmation))),
                Err(error) => return Ok(Some(Ended::Broker(error))),
            }
            self.sent += 1;
            self.say(&mut progress, began);
        }
        while !self.unconfirmed.is_empty() {
            if let Some(ended) = self.wait(stop, None).await {
                return Ok(Some(ended));
            }
            self.say(&mut progress, began);
        }
        progress.done();
        Ok(None)
    }

    /// When the next may be sent, where there is a rate.
    fn due(&self, began: Instant) -> Option<Instant> {
        let rate = self.arguments.rate;
        (rate > 0.0)
            .then(|| Duration::try_from_secs_f64(self.sent as f64 / rate).ok())
            .flatten()
            .map(|after| began + after)
    }

    /// Waits for one confirm, until then, or for a signal.
    async fn wait(&mut self, stop: &mut Stop, until: Option<Instant>) -> Option<Ended> {
        let time = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        let some = !self.unconfirmed.is_empty();
        tokio::select! {
            biased;
            () = stop.asked() => Some(Ended::Asked),
            () = time => None,
            confirmed = self.confirm_one(), if some => match confirmed {
                Some(Err(error)) => Some(Ended::Broker(error)),
                _ => None,
            },
        }
    }

    /// The next confirm, in the order of the file; dropping the future loses nothing.
    async fn confirm_one(&mut self) -> Option<Result<(), TransportError>> {
        let confirmed = self.unconfirmed.next().await?;
        if confirmed.is_ok() {
            self.confirmed += 1;
        }
        Some(confirmed)
    }

    fn say(&self, progress: &mut Progress, began: Instant) {
        progress.say(|| {
            let all = self.plan.to_send;
            let seconds = began.elapsed().as_secs_f64().max(0.001);
            let per_second = rate(self.confirmed as f64 / seconds);
            format!("{} {} of {all} confirmed, {per_second}/s", bar(self.confirmed, all), self.confirmed)
        });
    }
}

/// Declares what senders declare: the exchanges, and the queues of the keys, so that nothing is lost where no agent has run yet.
async fn declare(
    session: &Arc<dyn Session>,
    targets: &BTreeMap<(String, String), u64>,
    oslo: &OsloQueues,
) -> Result<(), TransportError> {
    let mut done = BTreeSet::new();
    for (exchange, key) in targets.keys().filter(|(exchange, _)| !exchange.is_empty()) {
        let target = key.rsplit_once('.').and_then(|(topic, name)| Some((topic, Priority::from_name(name)?)));
        if let Some((topic, priority)) = target
            && done.insert((exchange, key))
        {
            session.declare(&topology::notify_target(exchange, topic, priority, oslo).topology).await?;
        }
    }
    Ok(())
}

fn outgoing(captured: Captured) -> Outgoing {
    let Captured { exchange, routing_key, content_type, headers, body } = captured;
    let content_type = if content_type.as_deref() == Some(JSON) { JSON } else { BYTES };
    Outgoing { exchange, routing_key, body: body.into(), content_type, headers, alone: false }
}
