//! What one line gave, as it is printed.

use std::io::{self, Write};

use super::Output;
use crate::convert::Explanation;
use crate::model::json::{self, NonFinite};
use crate::model::{Dict, Notification, Value};
use crate::pipeline::volume;

/// What one line gave.
#[derive(Default)]
pub(super) struct Answer {
    /// Samples as dictionaries; with their `sink` if they are published.
    pub samples: Vec<Value>,
    /// Events, the same.
    pub events: Vec<Value>,
    pub complaints: Vec<String>,
}

impl Answer {
    pub(super) fn print(
        self,
        output: Output,
        n: usize,
        notification: Option<&Notification>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        match output {
            Output::Json | Output::JsonPython => {
                let complaints = self.complaints.into_iter().map(Value::from).collect::<Vec<_>>();
                let line = Dict::from_iter([
                    ("n", Value::Int(i64::try_from(n).unwrap_or(i64::MAX))),
                    ("samples", Value::List(self.samples)),
                    ("events", Value::List(self.events)),
                    ("complaints", Value::List(complaints)),
                ]);
                let non_finite = match output {
                    Output::JsonPython => NonFinite::Python,
                    // For every reader of JSON.
                    _ => NonFinite::Null,
                };
                let mut text = Vec::new();
                json::write_dict_as(&line, non_finite, &mut text);
                text.push(b'\n');
                out.write_all(&text)
            }
            Output::Text => {
                let what = notification.and_then(Notification::event_type).unwrap_or("(no notification)");
                let (samples, events) = (self.samples.len(), self.events.len());
                writeln!(out, "{n} {what}: {samples} samples, {events} events")?;
                self.records(out)?;
                self.complaints.iter().try_for_each(|complaint| writeln!(out, "  complaint {complaint}"))
            }
        }
    }

    /// Samples and events for reading.
    pub(super) fn records(&self, out: &mut impl Write) -> io::Result<()> {
        for sample in &self.samples {
            let field = |name| json::to_string(&member(sample, name));
            writeln!(
                out,
                "  sample {} = {} {} ({}) of {} at {}{}",
                field("name"),
                field("volume"),
                field("unit"),
                field("type"),
                field("resource_id"),
                field("timestamp"),
                to_sink(sample)
            )?;
        }
        for event in &self.events {
            writeln!(out, "  event at {}{}", json::to_string(&member(event, "generated")), to_sink(event))?;
            for one in member(event, "traits").as_list().unwrap_or_default() {
                let [name, _, value] = one.as_list().unwrap_or_default() else { continue };
                writeln!(out, "    {} = {}", json::to_string(name), json::to_string(value))?;
            }
        }
        Ok(())
    }
}

fn member(record: &Value, name: &str) -> Value {
    record.as_dict().and_then(|record| record.get(name)).cloned().unwrap_or_default()
}

fn to_sink(record: &Value) -> String {
    match member(record, "sink") {
        Value::Null => String::new(),
        sink => format!(" to the sink {}", json::to_string(&sink)),
    }
}

/// What the definitions did, and of each sample and event, by its name, what `fate` says becomes of it.
pub(super) fn explain(
    explanation: &Explanation,
    fate: impl Fn(crate::pipeline::Kind, &str) -> String,
    n: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    use crate::pipeline::Kind;
    writeln!(out, "{n} {explanation}")?;
    for sample in &explanation.converted.samples {
        let fate = match volume::check(&sample.volume) {
            Ok(()) => fate(Kind::Samples, &sample.name),
            Err(why) => format!("left out: {why}"),
        };
        let (volume, of) = (json::to_string(&sample.volume), json::to_string(&sample.resource_id));
        writeln!(out, "  sample {} = {volume} of {of}: {fate}", sample.name)?;
    }
    for event in &explanation.converted.events {
        let fate = fate(Kind::Events, &event.event_type);
        writeln!(out, "  event {} with {} traits: {fate}", event.event_type, event.traits.len())?;
    }
    if explanation.converted.samples.is_empty() && explanation.converted.events.is_empty() {
        writeln!(out, "  neither a sample nor an event")?;
    }
    Ok(())
}
