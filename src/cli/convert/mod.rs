//! `nephoscope convert`: prints what the sinks would publish, or what the definitions alone make, without a server.

mod print;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use super::{ConfigArguments, Failure, refuse_errors};
use crate::agent::definitions;
use crate::convert::{Converted, Converter};
use crate::model::shown::without_secrets;
use crate::model::{Complaint, Notification, Value};
use crate::pipeline::{Kind, Plan};
use crate::shadow::capture::{Lines, mark};
use crate::shadow::dry::{self, Dry, Published};
use crate::shadow::line;
use print::Answer;

/// The arguments of `nephoscope convert`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Files with one notification per line; - for standard input
    ///
    /// A notification is bare, in the oslo envelope, or either of these as {"message": …, "priority": …}; or the file is one
    /// that nephoscope capture wrote. Files may be packed with gzip. Lines are converted in their order: transformers keep
    /// their state from line to line, and their clock is the timestamps of the notifications.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Print what the definitions make, without pipelines
    ///
    /// As Ceilometer's converters do: before sources, sinks and transformers. The pipeline files are not read.
    #[arg(long)]
    definitions_only: bool,
    /// Explain each result
    ///
    /// Prints for every notification which definitions matched, which did not and why, what each path found, which pipelines
    /// take the samples and events, and what transformers make of them.
    #[arg(long)]
    explain: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// Text for reading
    Text,
    /// One line per notification: {"n", "samples", "events", "complaints"}; each sample and event says its "sink"
    Json,
    /// The same with NaN and Infinity as Python writes them, not as null
    JsonPython,
}

/// Converts all lines of all files; a line that is no notification gives a complaint, not an end.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut work = Work::of(arguments)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut n = 0;
    for file in &arguments.files {
        let cannot = |e: io::Error| Failure::Other(format!("cannot read {}: {e}", file.display()));
        let mut lines = Lines::open(file).map_err(cannot)?;
        while let Some(line) = lines.next_line().map_err(cannot)? {
            let mark = mark(line).map_err(|why| Failure::Other(format!("cannot read {}: {why}", file.display())))?;
            if mark.is_some() {
                continue;
            }
            if work.print(arguments, n, line, &mut out).or_else(had_enough)?.is_none() {
                return Ok(());
            }
            n += 1;
        }
        if let Some(cut) = lines.cut() {
            eprintln!("warning: {}: {cut}", file.display());
        }
    }
    if out.flush().map(Some).or_else(had_enough)?.is_some()
        && let Work::Pipelines(dry) = &work
    {
        let mut errors = io::stderr().lock();
        // A closed standard error needs no note.
        let _told = dry.held().iter().try_for_each(|held| writeln!(errors, "note: {held}"));
    }
    Ok(())
}

/// `None` if the reader has closed the pipe; else the failure.
fn had_enough(error: io::Error) -> Result<Option<()>, Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(None),
        _ => Err(Failure::Other(format!("cannot write to standard output: {error}; check where it leads"))),
    }
}

/// What notifications go through.
enum Work {
    /// Definitions alone.
    Definitions(Converter),
    /// Definitions, sources, transformers and sinks.
    Pipelines(Dry),
}

impl Work {
    fn of(arguments: &Arguments) -> Result<Work, Failure> {
        let (settings, mut complaints) = arguments.config.load();
        let work = settings.and_then(|mut settings| {
            let (work, more) = if arguments.definitions_only {
                settings.pipelines.samples = false;
                settings.pipelines.events = false;
                let (converter, more) = definitions::converter(&settings);
                (converter.map(Work::Definitions), more)
            } else {
                let (run, more) = definitions::dry_run(&settings);
                (run.map(|run| Work::Pipelines(Dry::new(run, &settings.transformers))), more)
            };
            complaints.extend(more);
            work
        });
        let Some(work) = work else { return Err(Failure::Config(complaints)) };
        refuse_errors(complaints)?;
        Ok(work)
    }

    /// Prints what one line gives.
    fn print(&mut self, arguments: &Arguments, n: usize, line: &[u8], out: &mut impl Write) -> io::Result<Option<()>> {
        let notification = match line::read(line) {
            Ok(notification) => notification,
            Err(why) => {
                let answer = Answer { complaints: vec![why], ..Answer::default() };
                return answer.print(arguments.output, n, None, out).map(Some);
            }
        };
        if arguments.explain {
            return self.explain(&notification, n, out).map(Some);
        }
        let answer = match self {
            Work::Pipelines(dry) => dry.take(&notification).into(),
            Work::Definitions(converter) => {
                let mut converted = converter.convert(&notification);
                dry::drop_unpublishable(&mut converted.samples, &mut converted.complaints);
                Answer {
                    samples: converted.samples.iter().map(|s| Value::Dict(s.as_dict())).collect(),
                    events: converted.events.iter().map(|e| Value::Dict(e.serialize())).collect(),
                    complaints: texts(&converted.complaints),
                }
            }
        };
        answer.print(arguments.output, n, Some(&notification), out).map(Some)
    }

    /// What the definitions did, which pipelines take what came of it, and what their transformers make of that.
    fn explain(&mut self, notification: &Notification, n: usize, out: &mut impl Write) -> io::Result<()> {
        let dry = match self {
            Work::Definitions(converter) => {
                return print::explain(&converter.explain(notification), |_, _| "made".to_owned(), n, out);
            }
            Work::Pipelines(dry) => dry,
        };
        let explanation = dry.run().converter.explain(notification);
        print::explain(&explanation, |kind, name| dry::takers(&dry.run().plans, kind, name), n, out)?;
        if !dry.wants(notification) {
            return writeln!(out, "  nothing is published: neither its priority nor accept_notifications lets it in");
        }
        // Complaints of the definitions, and about volumes, are told already.
        let mut converted = Converted { complaints: Vec::new(), ..explanation.converted };
        dry::drop_unpublishable(&mut converted.samples, &mut Vec::new());
        let samples = converted.samples.clone();
        let mut published = dry.publish(notification, converted);
        let plans = dry.run().plans.iter().filter(|plan| plan.kind == Kind::Samples);
        for sink in plans.clone().flat_map(|plan| &plan.sinks).filter(|sink| !sink.transformers.is_empty()) {
            let takes = |plan: &Plan| {
                let mut into = plan.pipelines.iter().filter(|p| plan.sinks[p.sink].name == sink.name);
                into.any(|p| samples.iter().any(|sample| p.filter.takes(&sample.name)))
            };
            let made: Vec<_> = published.samples.extract_if(.., |(name, _)| *name == sink.name).collect();
            if made.is_empty() && plans.clone().any(takes) {
                writeln!(out, "  the transformers of the sink {} give nothing yet", without_secrets(&sink.name))?;
            }
            Answer::from(Published { samples: made, ..Published::default() }).records(out)?;
        }
        texts(&published.complaints).iter().try_for_each(|complaint| writeln!(out, "  complaint {complaint}"))
    }
}

impl From<Published> for Answer {
    fn from(published: Published) -> Self {
        let (samples, events) = (published.samples.iter(), published.events.iter());
        Answer {
            samples: samples.map(|(sink, sample)| dry::with_sink(sample.as_dict(), sink)).collect(),
            events: events.map(|(sink, event)| dry::with_sink(event.serialize(), sink)).collect(),
            complaints: texts(&published.complaints),
        }
    }
}

fn texts<'c>(complaints: impl IntoIterator<Item = &'c Complaint>) -> Vec<String> {
    complaints.into_iter().map(ToString::to_string).collect()
}
