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

use async_trait::async_trait;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::record::{self, Form};
use super::schemes::{Built, Kind, LookAtBroker};
use super::target::{Row, Target};
use super::{Batch, Context, PublishError, Publisher};
use crate::config::files::appendable;

/// How long another process may keep the file locked before it is taken for frozen.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Between two looks at a lock that another process has.
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
    let mut lines = Vec::with_capacity(batch.len() * 512);
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

/// Lines on their way, and how many bytes of them are in the file.
struct Pending {
    lines: Vec<u8>,
    written: usize,
}

/// How far a write came.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// All is written.
    Done,
    /// Somebody else has the lock.
    Locked,
}

/// Under what a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Its advisory lock.
    Lock,
    /// Nothing: the file system has no locks. Appending in one call must do.
    Nothing,
    /// Nothing: who has the lock is frozen, and may go on at any step of a write of his own.
    Frozen,
}

/// The open file.
struct Log {
    options: Options,
    file: File,
    /// Whether it is a file, not a pipe or a terminal: what is none is neither locked nor rotated.
    regular: bool,
    /// Somebody has had the lock for [`LOCK_WAIT`], and has it still.
    frozen: bool,
}

impl Log {
    fn open(options: Options) -> Result<Log, (PathBuf, io::Error)> {
        let opened = open(&options.path);
        match opened {
            Ok((file, regular)) => Ok(Log { options, file, regular, frozen: false }),
            Err(cause) => Err((options.path, cause)),
        }
    }

    /// Appends what is pending: in one call, or one for each file that it fills. `waited`: the lock was waited for long enough.
    fn write(&mut self, pending: &mut Pending, waited: bool) -> io::Result<Progress> {
        while pending.written < pending.lines.len() {
            let rest = &pending.lines[pending.written..];
            if !self.regular {
                self.file.write_all(rest)?;
                pending.written = pending.lines.len();
                break;
            }
            let guard = match self.file.try_lock() {
                Ok(()) => Guard::Lock,
                Err(TryLockError::WouldBlock) if waited || self.frozen => Guard::Frozen,
                Err(TryLockError::WouldBlock) => return Ok(Progress::Locked),
                Err(TryLockError::Error(_)) => Guard::Nothing,
            };
            self.found_frozen(guard == Guard::Frozen);
            let written = self.write_under(guard, rest);
            if guard == Guard::Lock {
                self.file.unlock()?;
            }
            pending.written += written?;
        }
        Ok(Progress::Done)
    }

    /// Logs once when the owner of the lock is found frozen, and once when it has released the lock.
    fn found_frozen(&mut self, frozen: bool) {
        let path = self.options.path.display();
        match (self.frozen, frozen) {
            (false, true) => tracing::warn!(
                event = "publish.file.locked",
                %path,
                "another process keeps this file locked; appending without the lock, and not rotating until it is free; fuser -v shows \
                 which process has it open"
            ),
            (true, false) => {
                tracing::info!(event = "publish.file.unlocked", %path, "the other process released the lock of the file; rotating again");
            }
            _ => {}
        }
        self.frozen = frozen;
    }

    /// Appends as many whole lines as belong into this file. 0 means: opened anew, take the lock again.
    fn write_under(&mut self, guard: Guard, rest: &[u8]) -> io::Result<usize> {
        let here = self.file.metadata()?;
        let moved = match fs::metadata(&self.options.path) {
            Ok(there) => (there.dev(), there.ino()) != (here.dev(), here.ino()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => true,
            Err(cause) => return Err(cause),
        };
        if moved {
            return self.reopen().map(|()| 0);
        }
        let size = here.len();
        let chunk = match self.options.rotation {
            // Whom we cannot wait for may be in the midst of renaming.
            _ if guard == Guard::Frozen => rest,
            None => rest,
            Some(rotation) => match fitting(rest, size, rotation.max_bytes) {
                [] => {
                    rotate(&self.options.path, rotation.backup_count)?;
                    return self.reopen().map(|()| 0);
                }
                chunk => chunk,
            },
        };
        let mut appended = 0;
        let outcome = if size > 0 && self.is_torn() {
            // Somebody died while writing: what he left must not spoil our first line.
            self.append(&[b"\n", chunk].concat(), &mut appended)
        } else {
            self.append(chunk, &mut appended)
        };
        if let Err(cause) = outcome {
            // Half a batch would be half a line. Never what somebody appended without the lock meanwhile, taking us for frozen.
            // If this fails too, the next write sees the torn line.
            let only_ours = self.file.metadata().is_ok_and(|now| now.len() == size + appended);
            if guard == Guard::Lock && only_ours {
                let _ = self.file.set_len(size);
            }
            return Err(cause);
        }
        Ok(chunk.len())
    }

    /// Counts into `appended` the bytes that the file took, also when it fails.
    fn append(&mut self, bytes: &[u8], appended: &mut u64) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    *appended += taken as u64;
                    rest = &rest[taken..];
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        if self.options.fsync { self.file.sync_data() } else { Ok(()) }
    }

    /// Opens what now has the name, which closes the old file and releases its lock.
    fn reopen(&mut self) -> io::Result<()> {
        let (file, regular) = open(&self.options.path)?;
        // The caller unlocks `file`: letting the old one go has done that, and a lock not held is no error to unlock.
        (self.file, self.regular) = (file, regular);
        Ok(())
    }

    /// Whether the last line has no end.
    fn is_torn(&mut self) -> bool {
        let mut last = [b'\n'];
        let read = self.file.seek(SeekFrom::End(-1)).and_then(|_| self.file.read_exact(&mut last));
        read.is_ok() && last != *b"\n"
    }
}

/// Opens for appending (and for looking at the last byte, where that is allowed).
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut how = OpenOptions::new();
    how.append(true).create(true);
    let file = how.clone().read(true).open(path).or_else(|_| how.open(path))?;
    let regular = file.metadata()?.is_file();
    Ok((file, regular))
}

/// As many whole lines as keep the file below `max_bytes`; nothing if it must rotate first. A line that is longer than
/// a whole file gets one of its own.
fn fitting(lines: &[u8], size: u64, max_bytes: u64) -> &[u8] {
    let mut end = 0;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let after = end + line.len();
        if size + after as u64 >= max_bytes && (size > 0 || end > 0) {
            break;
        }
        end = after;
    }
    &lines[..end]
}

/// `path.1` becomes `path.2` and so on, `path` becomes `path.1`; what would be past `backup_count` goes.
fn rotate(path: &Path, backup_count: u32) -> io::Result<()> {
    let numbered = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    };
    for n in (1..backup_count).rev() {
        match fs::rename(numbered(n), numbered(n + 1)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
    }
    fs::rename(path, numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json;
    use crate::model::json::NonFinite;
    use crate::publish::record::tests::{event, sample};
    use crate::publish::{build, check};
    use rstest::rstest;

    fn url(folder: &tempfile::TempDir, options: &str) -> String {
        format!("file://{}/out?{options}", folder.path().display())
    }

    fn batch(ids: impl IntoIterator<Item = usize>) -> Batch {
        Batch::Samples(ids.into_iter().map(|id| sample("cpu", &id.to_string())).collect())
    }

    fn ids(text: &str) -> Vec<usize> {
        text.lines()
            .map(|line| {
                let value = json::read(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}"));
                value.as_dict().unwrap().get("id").unwrap().as_str().unwrap().parse().unwrap()
            })
            .collect()
    }

    fn read(folder: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).unwrap()
    }

    #[tokio::test]
    async fn lines_are_appended_to_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        for id in [1, 2] {
            let publisher = build(&url(&folder, "json"), Kind::Samples, &Context::default()).unwrap();
            publisher.publish(&batch([id * 10, id * 10 + 1])).await.unwrap();
        }
        assert_eq!(ids(&read(&folder, "out")), [10, 11, 20, 21]);
    }

    #[tokio::test]
    async fn without_json_lines_are_python_dictionaries() {
        let folder = tempfile::tempdir().unwrap();
        let publisher = build(&url(&folder, "fsync"), Kind::Events, &Context::default()).unwrap();
        publisher.publish(&Batch::Events(vec![event("m")])).await.unwrap();
        assert!(read(&folder, "out").starts_with("{'message_id': 'm', 'event_type': 'compute.instance.update', "));
    }

    #[tokio::test]
    async fn a_full_file_rotates_between_lines_of_a_batch() {
        let folder = tempfile::tempdir().unwrap();
        let line = lines(&batch([100]), Form::Json(NonFinite::Null)).len();
        let options = format!("json&max_bytes={}&backup_count=2", 3 * line + 1);
        let publisher = build(&url(&folder, &options), Kind::Samples, &Context::default()).unwrap();
        publisher.publish(&batch(100..102)).await.unwrap();
        publisher.publish(&batch(102..111)).await.unwrap();
        let found = ["out.2", "out.1", "out"].map(|name| ids(&read(&folder, name)));
        assert_eq!(found, [vec![102 + 1, 104, 105], vec![106, 107, 108], vec![109, 110]]);
        assert!(!folder.path().join("out.3").exists());
    }

    #[tokio::test]
    async fn a_line_longer_than_a_file_has_one_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let publisher =
            build(&url(&folder, "json&max_bytes=10&backup_count=9"), Kind::Samples, &Context::default()).unwrap();
        publisher.publish(&batch(0..3)).await.unwrap();
        assert_eq!(["out.2", "out.1", "out"].map(|name| ids(&read(&folder, name))), [[0], [1], [2]]);
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let publisher = build(&url(&folder, "json"), Kind::Samples, &Context::default()).unwrap();
        publisher.publish(&batch([1])).await.unwrap();
        fs::rename(folder.path().join("out"), folder.path().join("old")).unwrap();
        publisher.publish(&batch([2])).await.unwrap();
        assert_eq!((ids(&read(&folder, "old")), ids(&read(&folder, "out"))), (vec![1], vec![2]));
    }

    #[tokio::test]
    async fn a_line_torn_by_a_crash_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("out"), "{\"id\":\"half").unwrap();
        let publisher = build(&url(&folder, "json"), Kind::Samples, &Context::default()).unwrap();
        publisher.publish(&batch([1])).await.unwrap();
        let text = read(&folder, "out");
        assert_eq!(ids(text.split_once('\n').unwrap().1), [1]);
    }

    #[tokio::test]
    async fn many_writers_of_one_rotating_file_lose_and_tear_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let url = url(&folder, "json&max_bytes=9000&backup_count=1000");
        let writers = (0..4).map(|writer| {
            let publisher = build(&url, Kind::Samples, &Context::default()).unwrap();
            tokio::spawn(async move {
                for n in 0..25 {
                    let first = writer * 1000 + n * 10;
                    publisher.publish(&batch(first..first + 10)).await.unwrap();
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        let mut all = Vec::new();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(text.len() < 9000);
            all.extend(ids(&text));
        }
        all.sort_unstable();
        let expected: Vec<usize> = (0..4).flat_map(|writer| writer * 1000..writer * 1000 + 250).collect();
        assert_eq!(all, expected);
    }

    #[tokio::test]
    async fn a_process_frozen_with_the_lock_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let line = lines(&batch([1]), Form::Json(NonFinite::Null)).len();
        let options = format!("json&max_bytes={}&backup_count=9", 2 * line + 1);
        let publisher = build(&url(&folder, &options), Kind::Samples, &Context::default()).unwrap();
        let frozen = File::open(folder.path().join("out")).unwrap();
        frozen.lock().unwrap();
        tokio::time::pause();
        let began = Instant::now();
        let waited = async |id: usize| {
            publisher.publish(&batch([id])).await.unwrap();
            began.elapsed()
        };
        let first = waited(1).await;
        assert!(first >= LOCK_WAIT && first < LOCK_WAIT * 2, "{first:?}: the lock is waited for, but not for ever");
        assert_eq!(
            (waited(2).await, waited(3).await),
            (first, first),
            "who is known to be frozen is not waited for again"
        );
        assert_eq!(ids(&read(&folder, "out")), [1, 2, 3], "and nothing is renamed while he may be renaming");
        frozen.unlock().unwrap();
        waited(4).await;
        assert_eq!(["out.1", "out"].map(|name| ids(&read(&folder, name))), [vec![1, 2, 3], vec![4]]);
        frozen.lock().unwrap();
        assert_eq!(waited(5).await, first, "his lock went with the file that was rotated away");
    }

    #[tokio::test]
    async fn a_full_disk_is_tried_again_later() {
        let publisher = build("file:///dev/full?json", Kind::Samples, &Context::default()).unwrap();
        assert!(matches!(publisher.publish(&batch([1])).await, Err(PublishError::Retry { .. })));
    }

    #[rstest]
    #[case("file://?json", "the path of a file is missing")]
    #[case("file:///var/log/", "the path of a file is missing")]
    #[case("file:///x?max_bytes=1k&backup_count=-1", "max_bytes=1k: expected a number of at least 0; backup_count=-1")]
    #[case("file:///x?max_byte=5", "unknown option max_byte; did you mean max_bytes?")]
    fn wrong_options_are_named(#[case] url: &str, #[case] what: &str) {
        let error = check(url, Kind::Samples, &|_| Ok(())).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}/no/out", folder.path().display());
        let error = build(&url, Kind::Samples, &Context::default()).err().unwrap();
        assert!(error.to_string().contains("/no does not exist: create it"), "{error}");
        assert_eq!(check(&url, Kind::Samples, &|_| Ok(())), Err(error));
    }

    #[test]
    fn a_check_makes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let url = url(&folder, "json");
        assert_eq!(check(&url, Kind::Samples, &|_| Ok(())), Ok(Vec::new()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
