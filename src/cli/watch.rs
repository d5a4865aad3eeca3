//! Notices that a definition file changed, for `refresh_pipeline_cfg = true`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::config::{self, Settings};
use crate::pipeline::{Kind, Plan};
use crate::publish;

/// Looks at the files from time to time, as Ceilometer did; that works on every file system.
pub(super) struct Watch {
    settings: Settings,
    period: Duration,
    seen: BTreeMap<PathBuf, Option<(SystemTime, u64)>>,
}

impl Watch {
    /// A watch over the definition files and folders that the settings lead to.
    pub(super) fn new(settings: &Settings) -> Self {
        // Who does not ask for it does not pay for reading everything once more at start.
        let seen = if settings.lifecycle.refresh { look(settings) } else { BTreeMap::new() };
        Watch { settings: settings.clone(), period: settings.lifecycle.refresh_interval, seen }
    }

    /// Looks at what other settings lead to from now on: the running configuration is theirs.
    pub(super) fn follow(&mut self, settings: &Settings) {
        // What was seen stays: a change while the configuration was read is noticed at the next look.
        self.settings = settings.clone();
    }

    /// Returns when one of them has another time or size, has come or has gone.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(self.period).await;
            let now = look(&self.settings);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn look(settings: &Settings) -> BTreeMap<PathBuf, Option<(SystemTime, u64)>> {
    let (definitions, _) = config::definitions::read(settings);
    let pipelines = [(Kind::Samples, &definitions.pipeline), (Kind::Events, &definitions.event_pipeline)];
    let publishers = pipelines.into_iter().filter_map(|(kind, node)| Some(Plan::publishers(kind, node.as_ref()?)));
    let urls = publishers.flatten().map(|(_, publisher)| publisher.url);
    let of_publishers: Vec<PathBuf> = urls.flat_map(|url| publish::files(&url, &settings.sources.search)).collect();
    definitions
        .watched
        .into_iter()
        .chain(of_publishers)
        .map(|path| {
            let meta = std::fs::metadata(&path).ok();
            let stamp = meta.and_then(|m| Some((m.modified().ok()?, m.len())));
            (path, stamp)
        })
        .collect()
}
