//! How much memory agents take while a scenario lasts, whoever of them lives.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const MINUTE: Duration = Duration::from_secs(60);

/// What the largest agent with its configuration in this folder has resident, minute by minute until told to stop, in MiB.
pub async fn watch(folder: PathBuf, stop: CancellationToken) -> Vec<String> {
    let mut minutes = Vec::new();
    while stop.run_until_cancelled(tokio::time::sleep(MINUTE)).await.is_some() {
        minutes.extend(largest(&folder).map(|kib| format!("{:.1}", kib as f64 / 1024.0)));
    }
    minutes
}

/// The same now, in KiB.
pub fn largest(folder: &Path) -> Option<u64> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let ours = |process: &PathBuf| {
        let told = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        told.contains("nephoscope\0run\0") && told.contains(folder.to_str().unwrap())
    };
    processes.filter(ours).filter_map(|process| resident(&process)).max()
}

/// In KiB.
fn resident(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
