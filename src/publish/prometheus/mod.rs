//! `prometheus://`: pushes samples to a Pushgateway (Ceilometer reference §6.4).
//!
//! The Pushgateway keeps groups of metrics, named by the path; a push replaces what its group has of the same metrics. So
//! where the path has no labels but `job`, each resource is a group of its own.

mod options;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use std::collections::HashMap;
use std::sync::Arc;

use self::options::{Options, of_resource};
use super::exposition::{self, Line};
use super::kind::{Built, Kind, LookAtBroker};
use super::outcome::{Answer, Parts, Refused};
use super::target::{Row, Target};
use super::web::{self, Web};
use super::{Batch, Context, PublishError, Publisher};

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[options::OPTIONS, web::OPTIONS];

/// As Ceilometer says it; the Pushgateway reads everything as text that does not say that it is protobuf.
const TEXT: &str = "plain/text";

/// The longest id that goes into a path, in bytes: three characters each at most, and a URL has 64 KB.
const ID_BYTES_MAX: usize = 16 * 1024;

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    let options = Options::read(target)?;
    options.endpoint.web(target)?;
    Ok(options.near_misses())
}

pub(super) fn build(target: &Target, _: Kind, _: &Context) -> Built {
    let options = Options::read(target)?;
    let web = options.endpoint.web(target)?;
    Ok(Arc::new(PrometheusPublisher { options, web }))
}

struct PrometheusPublisher {
    options: Options,
    web: Web,
}

/// A sample ready to be pushed.
struct Item {
    position: usize,
    line: Line,
}

/// What goes into one group of the Pushgateway.
struct Group {
    url: Url,
    items: Vec<Item>,
}

#[async_trait]
impl Publisher for PrometheusPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        let (groups, refused) = self.groups(batch);
        let mut ranges = Vec::with_capacity(groups.len());
        let mut items = Vec::with_capacity(batch.len());
        let mut urls = Vec::with_capacity(groups.len());
        for group in groups {
            let begin = items.len();
            items.extend(group.items);
            urls.push((items.len(), group.url));
            ranges.push(begin..items.len());
        }
        let mut parts = Parts::of(ranges).without(refused);
        while let Some(part) = parts.next() {
            // Halves of a group stay in it.
            let group = urls.partition_point(|(end, _)| *end <= part.start);
            let answer = match urls.get(group) {
                Some((_, url)) => self.push(url.clone(), &items[part.clone()]).await,
                None => Answer::Taken,
            };
            parts.answered(part, answer);
        }
        parts.outcome(|item| items[item].position)
    }

    async fn reach(&self) -> Result<(), String> {
        web::reach(&self.options.endpoint.url).await
    }
}

impl PrometheusPublisher {
    /// The groups in the order in which their first samples come, and what can be in none.
    fn groups(&self, batch: &Batch) -> (Vec<Group>, Vec<Refused>) {
        let (mut groups, mut refused) = (Vec::<Group>::new(), Vec::new());
        // Events do not come here: the table of schemes says so.
        let Batch::Samples(samples) = batch else { return (groups, refused) };
        let mut places: HashMap<String, usize> = HashMap::new();
        for (position, sample) in samples.iter().enumerate() {
            let id = if self.options.grouped { "".into() } else { exposition::text(&sample.resource_id) };
            let line = match Line::of(sample) {
                _ if id.len() > ID_BYTES_MAX => Err(format!("a resource id of {} bytes fits into no path", id.len())),
                line => line,
            };
            let line = match line {
                Ok(line) => line,
                Err(cause) => {
                    refused.push(Refused { record: position, cause });
                    continue;
                }
            };
            let place = places.get(&*id).copied().unwrap_or(groups.len());
            if place == groups.len() {
                let url = &self.options.endpoint.url;
                let url = if self.options.grouped { url.clone() } else { of_resource(url, &id) };
                groups.push(Group { url, items: Vec::new() });
                places.insert(id.into_owned(), place);
            }
            groups[place].items.push(Item { position, line });
        }
        (groups, refused)
    }

    async fn push(&self, url: Url, items: &[Item]) -> Answer {
        let request = self.options.endpoint.post(&self.web, url).header(CONTENT_TYPE, TEXT).body(body(items));
        self.web.post(request).await
    }
}

/// The lines, metric by metric. Of several samples of one series the last counts: it is all that the Pushgateway would keep,
/// and it takes no series twice.
fn body(items: &[Item]) -> String {
    let mut order: Vec<&str> = Vec::new();
    let mut metrics: HashMap<&str, Vec<&Line>> = HashMap::new();
    let mut series: HashMap<(&str, &str), usize> = HashMap::new();
    for Item { line, .. } in items {
        let lines = metrics.entry(&line.name).or_insert_with(|| {
            order.push(&line.name);
            Vec::new()
        });
        let place = *series.entry((&line.name, &line.labels)).or_insert(lines.len());
        if place == lines.len() { lines.push(line) } else { lines[place] = line }
    }
    let mut out = String::with_capacity(items.len() * 200);
    for name in order {
        exposition::write_metric(&metrics[name], &mut out);
    }
    out
}

#[cfg(test)]
mod tests;
