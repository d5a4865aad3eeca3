//! How much memory agents take while a scenario lasts, whoever of them lives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const MINUTE: Duration = Duration::from_secs(60);

/// What was resident of one process within a minute, in KiB; shown in MiB.
#[derive(Clone, Copy)]
pub struct Range {
    pub least: u64,
    pub most: u64,
}

impl Range {
    fn with(self, kib: u64) -> Self {
        Range { least: self.least.min(kib), most: self.most.max(kib) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:.1}-{:.1}", self.least as f64 / 1024.0, self.most as f64 / 1024.0)
    }
}

/// The agent that had most at its least, of those with their configuration in this folder: minute by minute, looked at
/// every second, until told to stop. What an agent needs for a moment shows in the most; what it never gives back, in
/// the least.
pub async fn watch(folder: PathBuf, stop: CancellationToken) -> Vec<Range> {
    let (mut minutes, mut minute, mut began) = (Vec::new(), BTreeMap::<PathBuf, Range>::new(), Instant::now());
    while stop.run_until_cancelled(sleep(Duration::from_secs(1))).await.is_some() {
        for (process, kib) in of_all(&folder) {
            let range = minute.entry(process).or_insert(Range { least: kib, most: kib });
            *range = range.with(kib);
        }
        if began.elapsed() >= MINUTE {
            minutes.extend(std::mem::take(&mut minute).into_values().max_by_key(|range| range.least));
            began += MINUTE;
        }
    }
    minutes
}

/// The same now, of the largest, in KiB.
pub fn largest(folder: &Path) -> Option<u64> {
    of_all(folder).into_iter().map(|(_, kib)| kib).max()
}

fn of_all(folder: &Path) -> Vec<(PathBuf, u64)> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ours = |process: &PathBuf| {
        let told = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        told.contains("nephoscope\0run\0") && told.contains(folder.to_str().unwrap())
    };
    let processes = processes.filter_map(|entry| Some(entry.ok()?.path())).filter(ours);
    processes.filter_map(|process| Some((process.clone(), resident(&process)?))).collect()
}

/// In KiB.
fn resident(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
