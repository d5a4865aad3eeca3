//! `file:///path`: one line per sample or event (Ceilometer reference §6.6).
//!
//! Options: `json` (JSON lines; else Python's `repr`), `max_bytes` and `backup_count` (rotation to `.1`, `.2` …, if both
//! are given and not 0), `fsync` (sync to disk before a batch is accepted), `nan` (see `docs/publishers.md`).
//!
//! Several publishers and processes may write one file: each write is made under the file's advisory lock, appended
//! in one call, and taken back whole if the disk did not take all of it. A file that was moved away (by another process's
//! rotation, by `logrotate`) is opened anew.
//!
//! A process that is frozen while it has the lock (`docker pause`, a debugger) must not stop everybody else: after
//! [`LOCK_WAIT`] the others append without the lock, which one call does whole on a local disk, and rotate when it is free again.

mod log;

use async_trait::async_trait;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::log::{Log, Pending, Progress};
use super::kind::{Built, Kind, LookAtBroker};
use super::record::{self, Form};
use super::target::{Row, Target};
use super::{Batch, Context, PublishError, Publisher};
use crate::config::files::appendable;

/// How long another process may keep the file locked before it is taken for frozen.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Between two looks at a lock that another process has, or at a line that it may be writing.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// What the URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Options {
    path: PathBuf,
    form: Form,
    rotation: Option<Rotation>,
    fsync: bool,
}

/// When and how far a file rotates: as Python's `RotatingFileHandler`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rotation {
    /// A file stays below this size, unless one line alone is longer.
    max_bytes: u64,
    /// Old files kept: `.1` is the youngest.
    backup_count: u32,
}

impl Options {
    fn read(target: &Target, kind: Kind) -> Result<Options, Vec<String>> {
        let mut options = target.options();
        let max_bytes = options.number("max_bytes", 0);
        let backup_count = options.number("backup_count", 0);
        let non_finite = options.non_finite();
        // Ceilometer asks only whether it is there: `json=false` is JSON too.
        let form = if options.text("json").is_some() { Form::Json(non_finite) } else { Form::Repr };
        let fsync = options.flag("fsync").unwrap_or(false);
        let rotation = match (max_bytes, backup_count) {
            (Some(max_bytes @ 1..), Some(backup_count @ 1..)) => Some(Rotation { max_bytes, backup_count }),
            _ => None,
        };
        if target.path.len() < 2 || target.path.ends_with('/') {
            options.complain(format!(
                "the path of a file is missing; write file:///var/log/ceilometer/{} and, for JSON, ?json behind it; {}",
                kind.name(),
                kind.none_wanted()
            ));
        }
        options.finish(Options { path: PathBuf::from(&target.path), form, rotation, fsync })
    }
}

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[&[
    Row::new(
        "json",
        "",
        "",
        "JSON lines, whatever its value; without it each line is the Python `repr` of the dictionary",
    ),
    Row::new(
        "max_bytes",
        "bytes",
        "",
        "size that a file does not exceed: the file rotates before; needs `backup_count`",
    ),
    Row::new(
        "backup_count",
        "number",
        "",
        "number of rotated files that are kept, of which `.1` is the newest; needs `max_bytes`",
    ),
    Row::new("fsync", "true or false", "false", "sync to disk before a batch is accepted"),
    Row::NAN,
]];

pub(super) fn check(target: &Target, kind: Kind, _: LookAtBroker<'_>) -> Result<Vec<String>, Vec<String>> {
    let path = Options::read(target, kind)?.path;
    appendable(&path).map_err(|cause| vec![refusal(&path, &cause)])?;
    Ok(Vec::new())
}

pub(super) fn build(target: &Target, kind: Kind, _: &Context) -> Built {
    let options = Options::read(target, kind)?;
    let form = options.form;
    let log = Log::open(options).map_err(|(path, cause)| vec![refusal(&path, &cause)])?;
    Ok(Arc::new(FilePublisher { form, log: Arc::new(Mutex::new(log)) }))
}

/// Why a file cannot be opened, and what to do.
fn refusal(path: &Path, cause: &io::Error) -> String {
    let folder = path.parent().unwrap_or(path).display();
    match cause.kind() {
        io::ErrorKind::NotFound => {
            format!("the folder {folder} does not exist: create it and give it to the user that runs nephoscope")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{} may not be written: give it, or {folder}, to the user that runs nephoscope", path.display())
        }
        _ => format!("{} cannot be opened for writing: {cause}", path.display()),
    }
}

struct FilePublisher {
    form: Form,
    log: Arc<Mutex<Log>>,
}

#[async_trait]
impl Publisher for FilePublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        let mut pending = Pending { lines: lines(batch, self.form), written: 0 };
        let give_up = Instant::now() + LOCK_WAIT;
        loop {
            let mut log = self.log.clone().lock_owned().await;
            let waited = Instant::now() >= give_up;
            // Owned by the task: it is carried through even if the caller has gone.
            let attempt = tokio::task::spawn_blocking(move || {
                let outcome = log.write(&mut pending, waited);
                let path = log.options.path.display().to_string();
                (outcome, pending, path)
            });
            let (outcome, rest, path) = attempt.await.map_err(PublishError::retry)?;
            pending = rest;
            match outcome {
                Ok(Progress::Done) => return Ok(()),
                Ok(Progress::Locked) => tokio::time::sleep(LOCK_LOOK).await,
                Err(cause) => return Err(PublishError::retry(format!("cannot write {path}: {cause}"))),
            }
        }
    }
}

/// The batch as lines.
fn lines(batch: &Batch, form: Form) -> Vec<u8> {
    let mut lines = Vec::with_capacity(batch.len() * 1_024);
    match batch {
        Batch::Samples(samples) => {
            for sample in samples {
                record::write_sample(sample, form, &mut lines);
                lines.push(b'\n');
            }
        }
        Batch::Events(events) => {
            for event in events {
                record::write_event(event, form, &mut lines);
                lines.push(b'\n');
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests;
