//! A pipeline file: sources, sinks, and the pipelines that every pair of them makes (Ceilometer reference §5.1).

use super::filter::NameFilter;
use super::keys;
use super::kind::Kind;
use super::transform::Transformers;
use crate::model::{Complaint, Data, Keys, Node, Place, Value, did_you_mean};
use std::sync::Arc;

/// What one pipeline file means.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Of samples or events.
    pub kind: Kind,
    /// The sinks that some source uses, in the order of the file. Sources share them, with their publishers.
    pub sinks: Vec<Sink>,
    /// One pipeline for each pair of a source and a sink, sources first. Names are unique.
    pub pipelines: Vec<Pipeline>,
    /// What is probably not meant, though Ceilometer takes it.
    pub warnings: Vec<Complaint>,
}

/// Where data go.
#[derive(Debug, Clone, PartialEq)]
pub struct Sink {
    /// Its name in the file.
    pub name: String,
    /// Its publishers, in order; never empty.
    pub publishers: Vec<PublisherUrl>,
    /// What samples go through before; empty for events.
    pub transformers: Arc<Transformers>,
}

/// A publisher as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherUrl {
    /// Its URL; what was written without `://` has it now.
    pub url: String,
    /// Where it is written.
    pub place: Place,
}

/// One source that feeds one sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The source's name if the sink has the same, else `source:sink`; those of events begin with `event:`.
    pub name: Arc<str>,
    /// Its sink, as a position in [`Plan::sinks`].
    pub sink: usize,
    /// Which names it takes.
    pub filter: Arc<NameFilter>,
    /// The attributes whose values choose the pipeline queue, and so stay in order: `resource_id` of samples,
    /// `event_type` of events.
    pub grouping_keys: Vec<&'static str>,
}

impl Plan {
    /// Reads a pipeline file. All complaints at once, warnings too; there is no plan if one of them is an error.
    pub fn read(kind: Kind, node: &Node) -> Result<Plan, Vec<Complaint>> {
        let mut reading = Reading { kind, errors: Vec::new(), warnings: Vec::new() };
        if !matches!(node.data, Data::Map(_)) {
            return Err(vec![no_mapping(node)]);
        }
        keys::FILE.warn_of_others(node, &mut reading.warnings);
        let sinks = reading.sinks(node);
        let sources = reading.sources(node);
        let mut plan = reading.paired(&sources, sinks);
        reading.warnings.sort_by(|a, b| a.place.cmp(&b.place));
        if reading.errors.is_empty() {
            plan.warnings = reading.warnings;
            return Ok(plan);
        }
        reading.errors.append(&mut reading.warnings);
        reading.errors.sort_by(|a, b| a.place.cmp(&b.place));
        Err(reading.errors)
    }

    /// The publishers that a file names, each with the name of its sink, however wrong the rest of it is: so that what is
    /// wrong with them can be said together with the rest.
    pub fn publishers(kind: Kind, node: &Node) -> Vec<(String, PublisherUrl)> {
        let sinks = Reading { kind, errors: Vec::new(), warnings: Vec::new() }.sinks(node);
        let named = sinks.into_iter().flat_map(|WrittenSink { name, publishers, .. }| {
            publishers.into_iter().map(move |publisher| (name.to_owned(), publisher))
        });
        named.collect()
    }
}

/// A source as it is written.
struct Source<'n> {
    name: &'n str,
    filter: Option<Arc<NameFilter>>,
    sinks: Vec<(&'n str, &'n Place)>,
}

/// A sink as it is written; `publishers` is empty where they are wrong.
struct WrittenSink<'n> {
    name: &'n str,
    place: &'n Place,
    publishers: Vec<PublisherUrl>,
    transformers: Arc<Transformers>,
}

struct Reading {
    kind: Kind,
    errors: Vec<Complaint>,
    warnings: Vec<Complaint>,
}

impl Reading {
    fn wrong(&mut self, place: &Place, text: impl Into<String>) {
        self.errors.push(Complaint::error(place, text));
    }

    /// The entries of a required list under a key of the file, with a complaint about each that is no mapping.
    fn entries<'n>(&mut self, node: &'n Node, keys: &Keys<'_>, key: &str) -> Vec<&'n Node> {
        let written = node.get(key);
        let Some(list) = written.and_then(Node::items) else {
            let (place, what) = match written {
                None => (&node.place, format!("the section `{key}:` is missing")),
                Some(other) if other.scalar().is_some_and(Value::is_null) => {
                    (&other.place, format!("nothing is written under `{key}:`"))
                }
                Some(other) => (&other.place, format!("expected a list under `{key}:`, this is {}", other.described())),
            };
            self.wrong(place, format!("{what}; write a list of {key}, or `{key}: []` for none"));
            return Vec::new();
        };
        let (entries, others): (Vec<_>, Vec<_>) = list.iter().partition(|entry| matches!(entry.data, Data::Map(_)));
        for other in others {
            let (what, known) = (key.trim_end_matches('s'), keys.known.join(", "));
            let text = format!("expected a {what}, which is a mapping of {known}; this is {}", other.described());
            self.wrong(&other.place, text);
        }
        entries.iter().for_each(|entry| keys.warn_of_others(entry, &mut self.warnings));
        entries
    }

    /// The items of a list that has to be there and may not be empty. `missing` says what to write where there is none.
    fn list<'n>(&mut self, entry: &'n Node, key: &str, of: &str, missing: &str) -> &'n [Node] {
        match entry.get(key) {
            Some(list) if list.items().is_some_and(|items| !items.is_empty()) => {
                return list.items().unwrap_or_default();
            }
            Some(other) if other.is_truthy() => {
                self.wrong(
                    &other.place,
                    format!("expected a list of {of} under `{key}:`, this is {}", other.described()),
                );
            }
            _ => self.wrong(&entry.place, missing),
        }
        &[]
    }

    /// The name of an entry, unique among its kind.
    fn name<'n>(&mut self, entry: &'n Node, what: &str, seen: &mut Vec<(&'n str, &'n Place)>) -> Option<&'n str> {
        let name = entry.get("name").filter(|name| name.is_truthy());
        let Some(name) = name else {
            self.wrong(&entry.place, format!("a {what} needs a name: `name: …`"));
            return None;
        };
        let Some(text) = name.as_str() else {
            let text = format!("the name of a {what} is text, this is {}; put it in quotes", name.described());
            self.wrong(&name.place, text);
            return None;
        };
        match seen.iter().find(|(known, _)| *known == text) {
            Some((_, place)) => {
                let line = place.line;
                self.wrong(&name.place, format!("the {what} {text:?} is already in line {line}; choose another name"));
            }
            None => seen.push((text, &name.place)),
        }
        Some(text)
    }

    fn sinks<'n>(&mut self, node: &'n Node) -> Vec<WrittenSink<'n>> {
        let mut seen = Vec::new();
        let mut sinks = Vec::new();
        for entry in self.entries(node, &keys::SINK, "sinks") {
            let name = self.name(entry, "sink", &mut seen);
            let publishers = self.publishers(entry);
            let transformers = self.transformers(entry);
            if let Some(name) = name {
                sinks.push(WrittenSink { name, place: &entry.place, publishers, transformers });
            }
        }
        sinks
    }

    fn publishers(&mut self, sink: &Node) -> Vec<PublisherUrl> {
        let missing = format!(
            "a sink needs at least one publisher: `publishers: [\"notifier://\"]`; {}",
            self.kind.none_wanted()
        );
        let mut publishers = Vec::new();
        for item in self.list(sink, "publishers", "URLs", &missing) {
            if let Some(url) = item.as_str().filter(|url| !url.is_empty()) {
                let url = if url.contains("://") { url.to_owned() } else { format!("{url}://") };
                if publishers.iter().any(|known: &PublisherUrl| known.url == url) {
                    let text = format!("the publisher {url:?} is named twice; its data come twice");
                    self.warnings.push(Complaint::warning(&item.place, text));
                }
                publishers.push(PublisherUrl { url, place: item.place.clone() });
            } else {
                let found = item.described();
                let text = format!("expected the URL of a publisher, \"notifier://\" for example; this is {found}");
                self.wrong(&item.place, text);
            }
        }
        publishers
    }

    fn transformers(&mut self, sink: &Node) -> Arc<Transformers> {
        let Some(node) = sink.get("transformers").filter(|node| node.is_truthy()) else { return Arc::default() };
        match self.kind {
            Kind::Samples => Arc::new(Transformers::read(node, &mut self.errors, &mut self.warnings)),
            Kind::Events => {
                self.wrong(&node.place, "sinks of events have no transformers; remove them");
                Arc::default()
            }
        }
    }

    fn sources<'n>(&mut self, node: &'n Node) -> Vec<Source<'n>> {
        let mut seen = Vec::new();
        let mut sources = Vec::new();
        for entry in self.entries(node, &keys::of_source(self.kind), "sources") {
            let name = self.name(entry, "source", &mut seen);
            let filter = self.filter(entry);
            let sinks = self.sink_names(entry);
            if let Some(name) = name {
                sources.push(Source { name, filter, sinks });
            }
        }
        sources
    }

    fn filter(&mut self, source: &Node) -> Option<Arc<NameFilter>> {
        // `counters` is what meters were called before Newton.
        let keys: &[&str] = match self.kind {
            Kind::Samples => &["meters", "counters"],
            Kind::Events => &["events"],
        };
        let key = self.kind.filter_key();
        let Some(node) = keys.iter().find_map(|key| source.get(key)) else {
            self.wrong(&source.place, format!("a source needs `{key}: [\"*\"]`, or the names of the {key} it takes"));
            return None;
        };
        match NameFilter::read(node, &mut self.warnings) {
            Ok(filter) => {
                if filter.takes_nothing() {
                    let text =
                        format!("this source takes nothing: \"!*\" excludes every name; {}", self.kind.none_wanted());
                    self.warnings.push(Complaint::warning(&node.place, text));
                }
                Some(Arc::new(filter))
            }
            Err(complaints) => {
                self.errors.extend(complaints);
                None
            }
        }
    }

    fn sink_names<'n>(&mut self, source: &'n Node) -> Vec<(&'n str, &'n Place)> {
        let missing = "a source needs at least one sink: `sinks: [name]`";
        let mut names = Vec::new();
        for item in self.list(source, "sinks", "names of sinks", missing) {
            match item.as_str() {
                Some(name) if names.iter().any(|(known, _)| *known == name) => {
                    self.wrong(&item.place, format!("the sink {name:?} is named twice; its data would come twice"));
                }
                Some(name) => names.push((name, &item.place)),
                None => {
                    self.wrong(&item.place, format!("expected the name of a sink, this is {}", item.described()));
                }
            }
        }
        names
    }

    /// Pairs sources with sinks.
    fn paired(&mut self, sources: &[Source<'_>], sinks: Vec<WrittenSink<'_>>) -> Plan {
        let mut used = vec![false; sinks.len()];
        let mut pairs = Vec::new();
        for source in sources {
            for (name, place) in &source.sinks {
                if let Some(at) = sinks.iter().position(|sink| sink.name == *name) {
                    used[at] = true;
                    pairs.push((source, at, *place));
                } else {
                    let meant = did_you_mean(name, sinks.iter().map(|sink| sink.name));
                    self.wrong(place, format!("there is no sink {name:?}{meant}"));
                }
            }
        }
        // Where the sources cannot be read, that no sink is named says nothing.
        let unreadable = sources.is_empty() && !self.errors.is_empty();
        let is_named = |name: &str| sinks.iter().zip(&used).any(|(sink, used)| *used && sink.name == name);
        for sink in sinks.iter().filter(|sink| !unreadable && !is_named(sink.name)) {
            let text = format!("no source names the sink {:?}: nothing comes to it", sink.name);
            self.warnings.push(Complaint::warning(sink.place, text));
        }
        // Positions of the sinks that stay.
        let place_of: Vec<usize> = (0..sinks.len()).map(|n| used[..n].iter().filter(|used| **used).count()).collect();
        let mut pipelines: Vec<Pipeline> = Vec::new();
        for (source, at, place) in pairs {
            let name = pipeline_name(self.kind, source.name, sinks[at].name);
            if pipelines.iter().any(|pipeline| *pipeline.name == *name) {
                self.wrong(place, format!("two pipelines would have the name {name:?}; rename a source or sink"));
            }
            let Some(filter) = source.filter.clone() else { continue };
            let grouping_keys = match self.kind {
                Kind::Samples => vec!["resource_id"],
                Kind::Events => vec!["event_type"],
            };
            pipelines.push(Pipeline { name: name.into(), sink: place_of[at], filter, grouping_keys });
        }
        let sinks = sinks.into_iter().zip(used).filter(|(_, used)| *used);
        Plan {
            kind: self.kind,
            sinks: sinks
                .map(|(sink, _)| Sink {
                    name: sink.name.to_owned(),
                    publishers: sink.publishers,
                    transformers: sink.transformers,
                })
                .collect(),
            pipelines,
            warnings: Vec::new(),
        }
    }
}

/// The complaint about a file that holds something else than sections.
fn no_mapping(node: &Node) -> Complaint {
    let text = match &node.data {
        Data::Scalar(Value::Null) => {
            "the file is empty; write `sources:` and `sinks:`, each with a list or []".to_owned()
        }
        Data::List(_) => {
            "expected a mapping with the sections `sources:` and `sinks:`, this is a list, as pipelines were \
                          before Icehouse (2014): write its meters and sinks as a source, its publishers as a sink"
                .to_owned()
        }
        _ => format!("expected a mapping with the sections `sources:` and `sinks:`, this is {}", node.described()),
    };
    Complaint::error(&node.place, text)
}

fn pipeline_name(kind: Kind, source: &str, sink: &str) -> String {
    let name = if source == sink { source.to_owned() } else { format!("{source}:{sink}") };
    match kind {
        Kind::Samples => name,
        Kind::Events => format!("event:{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sources and sinks as JSON text.
    fn plan(kind: Kind, text: &str) -> Plan {
        let value = crate::model::json::read(text.as_bytes()).unwrap();
        let place = Place { file: "p".into(), line: 1 };
        Plan::read(kind, &Node::from_value(&value, &place)).unwrap()
    }

    const TWO: &str = r#"{
        "sources": [
            {"name": "s", "meters": ["*"], "events": ["compute.*"], "sinks": ["k", "s"], "interval": 600},
            {"name": "t", "counters": ["cpu"], "events": ["!x"], "sinks": ["k"]}
        ],
        "sinks": [
            {"name": "unused", "publishers": ["test"]},
            {"name": "s", "publishers": ["file:///a"], "transformers": null},
            {"name": "k", "publishers": ["notifier", "test://"]}
        ]}"#;

    #[test]
    fn sources_share_a_sink() {
        let plan = plan(Kind::Samples, TWO);
        let names: Vec<(&str, usize)> = plan.pipelines.iter().map(|p| (&*p.name, p.sink)).collect();
        assert_eq!(names, [("s:k", 1), ("s", 0), ("t:k", 1)]);
        let urls: Vec<&str> = plan.sinks[1].publishers.iter().map(|p| p.url.as_str()).collect();
        assert_eq!(urls, ["notifier://", "test://"]);
    }

    #[test]
    fn pipelines_of_events_say_so_in_their_names() {
        let plan = plan(Kind::Events, TWO);
        assert_eq!(&*plan.pipelines[2].name, "event:t:k");
        assert_eq!(plan.pipelines[2].grouping_keys, ["event_type"]);
    }
}
