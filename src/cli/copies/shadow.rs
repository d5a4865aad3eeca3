//! `nephoscope shadow`: what this agent would publish, beside the one that runs, and whether that is the same.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::live::Live;
use super::shown::Answer;
use super::stop::Stop;
use super::{Window, files, open};
use crate::agent::definitions;
use crate::cli::{ConfigArguments, Failure, print_whole, refuse_errors, runtime};
use crate::config::Settings;
use crate::model::{Notification, Verdict, envelope};
use crate::publish::GnocchiArchive;
use crate::shadow::compare::{self, Comparison, Report};
use crate::shadow::copies::{Copies, Lost};
use crate::shadow::dry::{Dry, Published};
use crate::shadow::gnocchi::{self, Chosen};
use crate::shadow::own::Own;
use crate::shadow::tally::Tally;
use crate::shadow::theirs::Record;
use crate::transport::Delivery;

/// Bytes of records that are kept to be compared.
const COMPARED_BYTES_MAX: usize = 512 << 20;
/// Copies that are taken before anything else is looked at.
const AT_ONCE: usize = 64;

/// The arguments of `nephoscope shadow`.
#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    window: Window,
    /// File that Ceilometer publishes to meanwhile; repeat it for several
    ///
    /// Lines of its file publisher, as JSON or as Python writes a dictionary, or bodies of its HTTP publisher, one on each line.
    /// When the window ends, shadow waits until the files do not grow any more, pairs their records with its own, and says what
    /// differs.
    #[arg(long, value_name = "FILE")]
    compare: Vec<PathBuf>,
    /// Compare with the means that Gnocchi has of some resources
    ///
    /// gnocchi: is where the login leads to; another URL is the address of a Gnocchi. Gnocchi keeps means and no samples: those
    /// are compared whose time is wholly in the window. It is asked with the login of [service_credentials], and nothing is
    /// written.
    #[arg(long, value_name = "URL")]
    compare_gnocchi: Option<String>,
    /// Most resources that --compare-gnocchi asks for
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    gnocchi_resources: u16,
    /// Sink whose samples and events are compared; without it, all
    #[arg(long, value_name = "NAME")]
    sink: Vec<String>,
    /// Seconds without growth after which the files of --compare are complete
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    settle: u64,
    /// Seconds at each end of the window in which nothing missing is judged
    ///
    /// The clocks of senders differ, and so does the moment at which each agent saw its first notification.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    margin: u32,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Tables for reading
    Text,
    /// One JSON object when it is over
    Json,
}

/// Counts what would be published, until it is over; then compares.
pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, mut complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    let (run, more) = definitions::dry_run(&settings);
    complaints.extend(more);
    let Some(run) = run else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    for file in &arguments.compare {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            let folder = folder.display();
            return Err(Failure::Other(format!("cannot compare with {}: there is no folder {folder}", file.display())));
        }
    }
    let sinks: BTreeSet<&str> = run.plans.iter().flat_map(|plan| &plan.sinks).map(|sink| &*sink.name).collect();
    if let Some(unknown) = arguments.sink.iter().find(|name| !sinks.contains(name.as_str())) {
        let known = sinks.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Failure::Other(format!("cannot compare the sink {unknown}: the pipelines have {known}")));
    }
    let archive = match arguments.compare_gnocchi.as_deref() {
        None => None,
        Some(url) => {
            let address = Some(url).filter(|url| !url.starts_with("gnocchi:"));
            Some(GnocchiArchive::new(&settings, address).map_err(Failure::Config)?)
        }
    };
    let dry = Dry::new(run, &settings.transformers);
    runtime()?.block_on(Shadow::new(arguments, dry, archive).work(&settings))
}

struct Shadow<'a> {
    arguments: &'a Arguments,
    dry: Dry,
    tally: Tally,
    comparison: Option<Comparison>,
    archive: Option<GnocchiArchive>,
    chosen: Option<Chosen>,
}

impl<'a> Shadow<'a> {
    fn new(arguments: &'a Arguments, dry: Dry, archive: Option<GnocchiArchive>) -> Shadow<'a> {
        let compares = !arguments.compare.is_empty();
        let comparison = compares.then(|| Comparison::new(COMPARED_BYTES_MAX));
        let chosen = archive.is_some().then(|| Chosen::new(usize::from(arguments.gnocchi_resources)));
        Shadow { arguments, dry, tally: Tally::default(), comparison, archive, chosen }
    }

    async fn work(mut self, settings: &Settings) -> Result<(), Failure> {
        let mut stop = Stop::new()?;
        let mut copies = open(settings, &self.arguments.window).await?;
        let (began, before) = (Instant::now(), Own::now());
        let full = self.watch(&mut copies, &mut stop, began).await;
        let (took, own) = (began.elapsed(), Own::now());
        let state = copies.close().await;
        if full {
            eprintln!(
                "the window ends: {} MiB of samples and events are kept to be compared, and that is the limit",
                COMPARED_BYTES_MAX >> 20
            );
        }
        let report = match self.comparison.take() {
            Some(comparison) => Some(self.compare(comparison, state.lost, &mut stop).await?),
            None => None,
        };
        let gnocchi = match (self.archive.take(), self.chosen.take().and_then(Chosen::metrics)) {
            (Some(archive), Some((window, metrics))) => {
                Some(self.ask_gnocchi(&archive, window, metrics, &mut stop).await?)
            }
            (Some(_), None) => Some(gnocchi::Report::ended()),
            (None, _) => None,
        };
        let cpu = own.cpu.saturating_sub(before.cpu);
        let answer = Answer {
            took,
            cpu,
            own,
            tally: &self.tally,
            state: &state,
            report: report.as_ref(),
            gnocchi: gnocchi.as_ref(),
        };
        let text = if self.arguments.output == Output::Json { answer.json() } else { answer.text() };
        print_whole(text.as_bytes())?;
        let verdicts = [report.map(|report| report.verdict), gnocchi.map(|report| report.verdict)];
        let is_same = verdicts.into_iter().flatten().all(|verdict| verdict == compare::Verdict::Same);
        if is_same { Ok(()) } else { Err(Failure::Told) }
    }

    /// Takes copies until it is over; whether that is because no more can be kept.
    async fn watch(&mut self, copies: &mut Copies, stop: &mut Stop, began: Instant) -> bool {
        let mut live = Live::new(self.arguments.output == Output::Text);
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let deadline = self.arguments.window.deadline();
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            let delivery = tokio::select! {
                biased;
                () = stop.asked() => break,
                () = &mut over => break,
                _ = ticks.tick() => {
                    live.show(&self.tally, &copies.state(), began.elapsed());
                    continue;
                }
                delivery = copies.next() => delivery,
            };
            let Some(mut delivery) = delivery else { break };
            for n in 1.. {
                self.take(delivery);
                let full = self.comparison.as_ref().is_some_and(Comparison::is_full);
                if full || self.arguments.window.is_enough(self.tally.notifications) {
                    live.done();
                    return full;
                }
                // Signals and the screen have their turn.
                let next = if n < AT_ONCE { copies.ready() } else { None };
                match next {
                    Some(next) => delivery = next,
                    None => break,
                }
            }
        }
        live.done();
        false
    }

    /// Takes one copy through the pipelines.
    fn take(&mut self, delivery: Delivery) {
        let Delivery { body, packed, receipt, .. } = delivery;
        // The copy is done with: nobody else gets it, and nobody waits for it.
        receipt.settle(Verdict::Kept);
        self.tally.notifications += 1;
        self.tally.bytes += u64::try_from(body.len()).unwrap_or_default();
        let read = match packed {
            Some(why) => Err(why.to_string()),
            None => envelope::open(&body).map_err(|why| why.to_string()),
        };
        match read {
            Err(why) => self.tally.take_unreadable(&why),
            Ok(notification) => self.convert(&notification),
        }
    }

    fn convert(&mut self, notification: &Notification) {
        if !self.dry.wants(notification) {
            self.tally.unwanted += 1;
        }
        let published = self.dry.take(notification);
        self.tally.take(notification, &published);
        let sent = compare::sent(notification.timestamp());
        let compared = |sink: &String| self.arguments.sink.is_empty() || self.arguments.sink.contains(sink);
        if let Some(chosen) = &mut self.chosen {
            sent.into_iter().for_each(|sent| chosen.sent(sent));
            // What several sinks publish is published to one Gnocchi by one of them.
            let first = published.samples.iter().map(|(sink, _)| sink).find(|sink| compared(sink));
            let of_first = published.samples.iter().filter(|(sink, _)| Some(sink) == first);
            let archive = self.archive.as_ref();
            let known = of_first.filter(|(_, sample)| archive.is_some_and(|archive| archive.knows(&sample.name)));
            known.for_each(|(_, sample)| chosen.take(sample));
        }
        if let Some(comparison) = &mut self.comparison {
            let Published { samples, events, .. } = published;
            let samples = samples.into_iter().map(|(sink, sample)| (sink, Record::of_sample(&sample)));
            let events = events.into_iter().map(|(sink, event)| (sink, Record::of_event(&event)));
            comparison.take(sent, samples.chain(events).filter(|(sink, _)| compared(sink)));
        }
    }

    /// Asks Gnocchi for what was chosen, once it has had the time to work it off.
    async fn ask_gnocchi(
        &self,
        archive: &GnocchiArchive,
        window: (i64, i64),
        metrics: Vec<gnocchi::Metric>,
        stop: &mut Stop,
    ) -> Result<gnocchi::Report, Failure> {
        eprintln!("asking Gnocchi for {} metrics in {} s", metrics.len(), self.arguments.settle);
        tokio::select! {
            () = stop.asked() => {}
            () = tokio::time::sleep(Duration::from_secs(self.arguments.settle)) => {}
        }
        let mut report = gnocchi::Report::default();
        for metric in &metrics {
            let asked = tokio::select! {
                biased;
                () = stop.asked() => break,
                asked = archive.measures(&metric.resource, &metric.meter, metric.span()) => asked,
            };
            let theirs = asked.map_err(|why| Failure::Other(format!("cannot compare with Gnocchi: {why}")))?;
            report.take(metric, window, theirs.as_deref());
        }
        report.end();
        Ok(report)
    }

    /// Waits for the files, and compares.
    async fn compare(&self, comparison: Comparison, lost: Lost, stop: &mut Stop) -> Result<Report, Failure> {
        let files = &self.arguments.compare;
        eprintln!("waiting until the files of --compare have not grown for {} s", self.arguments.settle);
        files::settle(files, Duration::from_secs(self.arguments.settle), stop).await;
        let mut pairing = comparison.pair(i64::from(self.arguments.margin) * 1_000_000);
        let notes = files::read(files, |record| pairing.take(record)).map_err(Failure::Other)?;
        notes.iter().for_each(|note| eprintln!("warning: {note}"));
        Ok(pairing.finish(lost))
    }
}
