//! `nephoscope convert`: what the pipelines would publish, without any server.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{ConfigArguments, Failure, refuse_errors};
use crate::agent::{self, assembly};
use crate::convert::{Converter, Explanation};
use crate::model::{Complaint, Dict, Notification, Priority, Value, envelope, json};
use crate::pipeline::{Kind, Plan, volume};

/// What is to be converted, and how it is printed.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Files with one notification per line, `-` for standard input: bare, in the oslo envelope, or either of these as
    /// {"message": …, "priority": …}
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Print for every notification which definitions matched, which did not and why, what each path found, and
    /// which pipelines take what came of it
    #[arg(long)]
    explain: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    /// For reading
    Text,
    /// One line per notification: {"n", "samples", "events", "complaints"}
    Json,
}

/// Converts all lines of all files; a line that is no notification gives a complaint, not an end.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, mut complaints) = arguments.config.load();
    let plans = settings.as_ref().filter(|_| arguments.explain).map(assembly::plans).unwrap_or_default();
    let converter = settings.and_then(|settings| {
        let (converter, more) = assembly::converter(&settings);
        complaints.extend(more);
        converter
    });
    let Some(converter) = converter else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut n = 0;
    for file in &arguments.files {
        let cannot = |e: io::Error| Failure::Other(format!("cannot read {}: {e}", file.display()));
        for line in open(file).map_err(cannot)?.split(b'\n') {
            let line = line.map_err(cannot)?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let printed = print(&Conversion { converter: &converter, plans: &plans }, arguments, n, &line, &mut out);
            match printed {
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(e) => return Err(Failure::Other(format!("cannot write: {e}"))),
                Ok(()) => n += 1,
            }
        }
    }
    out.flush().map_err(|e| Failure::Other(format!("cannot write: {e}")))
}

fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    Ok(Box::new(BufReader::new(File::open(file)?)))
}

/// What the configuration makes of notifications.
struct Conversion<'a> {
    converter: &'a Converter,
    /// Only for explanations.
    plans: &'a [Plan],
}

fn print(with: &Conversion<'_>, arguments: &Arguments, n: usize, line: &[u8], out: &mut impl Write) -> io::Result<()> {
    let notification = match read(line) {
        Ok(notification) => notification,
        Err(why) => {
            let answer = Answer { samples: Vec::new(), events: Vec::new(), complaints: vec![why] };
            return answer.print(arguments.output, n, None, out);
        }
    };
    if arguments.explain {
        return explain(&with.converter.explain(&notification), with.plans, n, out);
    }
    let mut converted = with.converter.convert(&notification);
    let mut complaints: Vec<Complaint> = converted.complaints;
    converted.samples.retain(|sample| match volume::check(&sample.volume) {
        Ok(()) => true,
        Err(why) => {
            complaints.push(agent::dropped(sample, why));
            false
        }
    });
    let answer = Answer {
        samples: converted.samples.iter().map(|s| Value::Dict(s.as_dict())).collect(),
        events: converted.events.iter().map(|e| Value::Dict(e.serialize())).collect(),
        complaints: complaints.iter().map(ToString::to_string).collect(),
    };
    answer.print(arguments.output, n, Some(&notification), out)
}

/// What the definitions did, then which pipelines take what came of it.
fn explain(explanation: &Explanation, plans: &[Plan], n: usize, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{n} {explanation}")?;
    let taking = |kind: Kind, name: &str| {
        let pipelines = plans.iter().filter(|plan| plan.kind == kind).flat_map(|plan| &plan.pipelines);
        let names: Vec<&str> = pipelines.filter(|p| p.filter.takes(name)).map(|p| &*p.name).collect();
        if names.is_empty() { "no pipeline takes it".to_owned() } else { format!("to {}", names.join(", ")) }
    };
    for sample in &explanation.converted.samples {
        let fate = match volume::check(&sample.volume) {
            Ok(()) => taking(Kind::Samples, &sample.name),
            Err(why) => format!("left out: {why}"),
        };
        let (volume, of) = (json::to_string(&sample.volume), json::to_string(&sample.resource_id));
        writeln!(out, "  sample {} = {volume} of {of}: {fate}", sample.name)?;
    }
    for event in &explanation.converted.events {
        let fate = taking(Kind::Events, &event.event_type);
        writeln!(out, "  event {} with {} traits: {fate}", event.event_type, event.traits.len())?;
    }
    if explanation.converted.samples.is_empty() && explanation.converted.events.is_empty() {
        writeln!(out, "  neither a sample nor an event")?;
    }
    Ok(())
}

/// What one line gave.
struct Answer {
    samples: Vec<Value>,
    events: Vec<Value>,
    complaints: Vec<String>,
}

impl Answer {
    fn print(
        self,
        output: Output,
        n: usize,
        notification: Option<&Notification>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match output {
            Output::Json => {
                let complaints = self.complaints.into_iter().map(Value::from).collect::<Vec<_>>();
                let line = Dict::from_iter([
                    ("n", Value::Int(i64::try_from(n).unwrap_or(i64::MAX))),
                    ("samples", Value::List(self.samples)),
                    ("events", Value::List(self.events)),
                    ("complaints", Value::List(complaints)),
                ]);
                writeln!(out, "{}", json::to_string(&Value::Dict(line)))
            }
            Output::Text => {
                let what = notification.and_then(Notification::event_type).unwrap_or("(no notification)");
                let (samples, events) = (self.samples.len(), self.events.len());
                writeln!(out, "{n} {what}: {samples} samples, {events} events")?;
                for sample in &self.samples {
                    let field =
                        |name| sample.as_dict().and_then(|d| d.get(name)).map(json::to_string).unwrap_or_default();
                    writeln!(
                        out,
                        "  sample {} = {} {} ({}) of {} at {}",
                        field("name"),
                        field("volume"),
                        field("unit"),
                        field("type"),
                        field("resource_id"),
                        field("timestamp")
                    )?;
                }
                for event in &self.events {
                    let field = |name| event.as_dict().and_then(|d| d.get(name)).cloned().unwrap_or_default();
                    writeln!(out, "  event at {}", json::to_string(&field("generated")))?;
                    for one in field("traits").as_list().unwrap_or_default() {
                        let [name, _, value] = one.as_list().unwrap_or_default() else { continue };
                        writeln!(out, "    {} = {}", json::to_string(name), json::to_string(value))?;
                    }
                }
                for complaint in &self.complaints {
                    writeln!(out, "  complaint {complaint}")?;
                }
                Ok(())
            }
        }
    }
}

/// A notification in any of the accepted forms, or why the line holds none.
fn read(line: &[u8]) -> Result<Notification, String> {
    let value = json::read(line).map_err(|e| format!("the line is {e}"))?;
    let Value::Dict(mut dict) = value else { return Err("the line is not a JSON object".to_owned()) };
    let mut given = None;
    if let Some(message) = dict.get("message").filter(|m| matches!(m, Value::Dict(_) | Value::Str(_))).cloned() {
        given = dict.remove("priority");
        dict = match message {
            Value::Dict(inner) => inner,
            other => match json::read(other.as_str().unwrap_or_default().as_bytes()) {
                Ok(Value::Dict(inner)) => inner,
                _ => return Err("the line's message is not a JSON object".to_owned()),
            },
        };
    }
    let mut dict = envelope::unwrap(dict).map_err(|e| e.to_string())?;
    // Already in the shape that definitions see: the context and the metadata are objects of their own.
    if dict.get("metadata").is_some_and(|m| m.as_dict().is_some()) && !dict.contains_key("message_id") {
        let name = given.or_else(|| dict.remove("priority")).unwrap_or_else(|| Value::from("info"));
        let priority = name.as_str().and_then(Priority::from_name);
        let priority = priority.ok_or_else(|| format!("unknown priority {}", json::to_string(&name)))?;
        return Ok(Notification::from_root(priority, dict));
    }
    if let Some(priority) = given {
        dict.insert("priority", priority);
    }
    envelope::from_message(dict).map_err(|e| e.to_string())
}
