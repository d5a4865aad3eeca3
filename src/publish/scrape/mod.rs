//! `prometheus-scrape://`: a page with the last value of each series, for a Prometheus that comes to fetch it.
//!
//! A sample is taken when its value is on the page. The page is memory: it is empty after a start, and fills with the
//! samples that come.

mod listeners;
mod series;

use async_trait::async_trait;
use chrono::{TimeDelta, Utc};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use self::listeners::Listener;
pub use self::listeners::Listeners;
use self::series::Store;
use super::exposition::Line;
use super::kind::{Built, Kind, LookAtBroker};
use super::outcome::{Partly, Refused};
use super::target::{Row, Target};
use super::{Batch, Context, PublishError, Publisher};
use crate::model::time;
use crate::observe::Metrics;

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[&[
    Row::new("ttl", "seconds, 1 to 604800", "1800", "age of the last sample at which its series leaves the page"),
    Row::new(
        "max_series",
        "number, 1 to 1000000",
        "10000",
        "maximum number of series on the page; samples of further series are lost and counted",
    ),
]];

/// The port that OpenTelemetry's exporter of this kind has.
const PORT: u16 = 9464;
/// Where the page is unless the URL says it.
const PATH: &str = "/metrics";
const TTL_S: i64 = 1800;
const TTL_S_MAX: i64 = 7 * 24 * 3600;
const SERIES_MAX: usize = 10_000;
const SERIES_MAX_MAX: usize = 1_000_000;
/// The longest name with its labels, in bytes: with the number of series it bounds the page.
const SERIES_BYTES_MAX: usize = 4 * 1024;

pub(super) fn check(target: &Target, _: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    read(target).map(|_| Vec::new())
}

pub(super) fn build(target: &Target, _: Kind, context: &Context) -> Built {
    let (address, store) = read(target)?;
    Ok(Arc::new(ScrapePublisher {
        shown: target.shown(),
        address,
        path: if target.path.is_empty() { PATH.to_owned() } else { target.path.clone() },
        store: Arc::new(Mutex::new(store)),
        listeners: context.listeners.clone(),
        listener: tokio::sync::Mutex::default(),
        metrics: context.metrics.clone(),
    }))
}

/// Where to listen, and an empty store.
fn read(target: &Target) -> Result<(SocketAddr, Store), Vec<String>> {
    let mut options = target.options();
    let ttl = options.number("ttl", 1).unwrap_or(TTL_S);
    if ttl > TTL_S_MAX {
        options.complain(format!("ttl={ttl}: expected at most {TTL_S_MAX} seconds"));
    }
    let most = options.number("max_series", 1).unwrap_or(SERIES_MAX);
    if most > SERIES_MAX_MAX {
        options.complain(format!("max_series={most}: expected at most {SERIES_MAX_MAX}"));
    }
    if target.netloc.contains('@') {
        options.complain("a user in the URL: the page is open to everybody who reaches it; leave the user out");
    }
    let address = address(target.netloc.rsplit('@').next().unwrap_or_default());
    if address.is_none() {
        options.complain(
            "no address to listen at; write prometheus-scrape://ADDRESS[:PORT][/PATH] with an IP address of this machine, \
             or 0.0.0.0 or [::] for all",
        );
    }
    let ttl = TimeDelta::seconds(ttl.min(TTL_S_MAX));
    let read = address.map(|address| (address, Store::new(ttl, most.min(SERIES_MAX_MAX))));
    options.finish(read)?.ok_or_else(Vec::new)
}

/// `address`, `address:port`, `[v6]`, `[v6]:port`; nothing else, and not port 0, which nobody could name to Prometheus.
fn address(place: &str) -> Option<SocketAddr> {
    let bare = || place.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let address = place.parse().ok().or_else(|| Some(SocketAddr::new(bare()?, PORT)))?;
    Some(address).filter(|address| address.port() > 0)
}

struct ScrapePublisher {
    /// The URL without its options, as counters name it.
    shown: String,
    address: SocketAddr,
    path: String,
    store: Arc<Mutex<Store>>,
    listeners: Listeners,
    /// From the first batch, or the first question whether it can be reached, until the end.
    listener: tokio::sync::Mutex<Option<Arc<Listener>>>,
    metrics: Metrics,
}

#[async_trait]
impl Publisher for ScrapePublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        self.listen().await.map_err(PublishError::retry)?;
        // Events do not come here: the table of schemes says so.
        let Batch::Samples(samples) = batch else { return Ok(()) };
        let now = Utc::now();
        let mut said = Partly::default();
        let mut without_room = 0;
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        for (record, sample) in samples.iter().enumerate() {
            match short_line(Line::of(sample)) {
                Ok(line) => {
                    let at = time::parse(&sample.timestamp).map_or(now, |at| at.to_utc());
                    without_room += usize::from(!store.take(line, at, now));
                }
                Err(cause) => said.refused.push(Refused { record, cause }),
            }
        }
        drop(store);
        if without_room > 0 {
            let cause = "the page has as many series as max_series allows; raise it, or take meters out of the sink";
            self.metrics.records_shed(&self.shown, without_room, cause);
        }
        said.outcome()
    }

    async fn reach(&self) -> Result<(), String> {
        self.listen().await
    }

    async fn close(&self) {
        self.listener.lock().await.take();
    }
}

impl ScrapePublisher {
    async fn listen(&self) -> Result<(), String> {
        let mut listener = self.listener.lock().await;
        if listener.is_none() {
            let opened = self.listeners.show(self.address, &self.path, &self.store).await;
            let opened = opened.map_err(|cause| {
                format!("cannot listen on {}: {cause}; choose another address, or stop what has it", self.address)
            })?;
            *listener = Some(opened);
        }
        Ok(())
    }
}

fn short_line(line: Result<Line, String>) -> Result<Line, String> {
    let line = line?;
    let bytes = line.name.len() + line.labels.len();
    if bytes > SERIES_BYTES_MAX {
        return Err(format!("name and labels have {bytes} bytes, of which the page takes {SERIES_BYTES_MAX}"));
    }
    Ok(line)
}

#[cfg(test)]
mod tests;
