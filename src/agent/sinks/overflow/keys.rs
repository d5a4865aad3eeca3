//! What tells the destinations of a sink apart: the ends of the names of their overflow queues.

use std::collections::BTreeMap;

use crate::cluster::hash;
use crate::model::Complaint;
use crate::pipeline::{Plan, PublisherUrl, Sink};
use crate::publish;

/// How each publisher of a sink is shown, and its key; where several are alike, a number tells them apart.
pub(in crate::agent) fn keys<'u>(urls: impl Iterator<Item = &'u str>) -> Vec<(String, String)> {
    let mut alike: BTreeMap<String, u32> = BTreeMap::new();
    let key = |url| {
        let key = key(url);
        let nth = alike.entry(key.clone()).and_modify(|nth| *nth += 1).or_insert(1);
        (publish::shown(url), if *nth > 1 { format!("{key}-{nth}") } else { key })
    };
    urls.map(key).collect()
}

/// What the URL says (`overflow_queue`); else made of the URL without passwords and options, so that another password or option leads
/// to the same overflow queue.
fn key(url: &str) -> String {
    publish::overflow_queue(url).unwrap_or_else(|| {
        let shown = publish::shown(url);
        let scheme = shown.split_once(':').map_or("", |(scheme, _)| scheme);
        let which = hash::stable(shown.as_bytes()) >> 32;
        format!("{scheme}-{which:08x}")
    })
}

/// Publishers whose URL names the overflow queue of another one of their sink: whoever is written first would get what waits for the
/// other.
pub(in crate::agent) fn complaints(plans: &[Plan]) -> Vec<Complaint> {
    plans.iter().flat_map(|plan| &plan.sinks).flat_map(of_sink).collect()
}

fn of_sink(sink: &Sink) -> Vec<Complaint> {
    let urls = || sink.publishers.iter().map(|publisher| &*publisher.url);
    // With a number or without: both may be meant.
    let taken: Vec<[String; 2]> = urls().zip(keys(urls())).map(|(url, (_, numbered))| [key(url), numbered]).collect();
    let complaint = |(n, publisher): (usize, &PublisherUrl)| {
        let written = publish::overflow_queue(&publisher.url)?;
        let (other, _) = urls().zip(&taken).enumerate().find(|(m, (_, keys))| *m != n && keys.contains(&written))?.1;
        let text = format!(
            "sink {}: publisher {}: overflow_queue={written} is the overflow queue of {} in the same sink; take that one out, or write \
             another name",
            sink.name,
            publish::shown(&publisher.url),
            publish::shown(other)
        );
        Some(Complaint::error(&publisher.place, text))
    };
    sink.publishers.iter().enumerate().filter_map(complaint).collect()
}
