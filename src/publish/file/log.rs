//! The open file: whole lines appended under its lock, rotation, and what to do where another has moved, locked or torn it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Options;

/// Lines on their way, and how many bytes of them are in the file.
pub(super) struct Pending {
    pub(super) lines: Vec<u8>,
    pub(super) written: usize,
}

/// How far a write came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All is written.
    Done,
    /// Somebody else has the lock, or is writing without it. To be tried again in a moment.
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
pub(super) struct Log {
    pub(super) options: Options,
    file: File,
    /// Whether it is a file, not a pipe or a terminal: what is none is neither locked nor rotated.
    regular: bool,
    /// Somebody has had the lock for [`LOCK_WAIT`](super::LOCK_WAIT), and has it still.
    frozen: bool,
    /// The place of the last byte, where the last line had no end at the last look.
    unended: Option<u64>,
}

impl Log {
    pub(super) fn open(options: Options) -> Result<Log, (PathBuf, io::Error)> {
        let opened = open(&options.path);
        match opened {
            Ok((file, regular)) => Ok(Log { options, file, regular, frozen: false, unended: None }),
            Err(cause) => Err((options.path, cause)),
        }
    }

    /// Appends what is pending: in one call, or one for each file that it fills. `waited`: the lock was waited for long enough.
    pub(super) fn write(&mut self, pending: &mut Pending, waited: bool) -> io::Result<Progress> {
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
            match written? {
                Some(written) => pending.written += written,
                None => return Ok(Progress::Locked),
            }
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

    /// Appends as many whole lines as belong into this file. 0 means: opened anew, take the lock again. Nothing: somebody may be
    /// writing.
    fn write_under(&mut self, guard: Guard, rest: &[u8]) -> io::Result<Option<usize>> {
        let here = self.file.metadata()?;
        let moved = match fs::metadata(&self.options.path) {
            Ok(there) => (there.dev(), there.ino()) != (here.dev(), here.ino()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => true,
            Err(cause) => return Err(cause),
        };
        if moved {
            return self.reopen().map(|()| Some(0));
        }
        let size = here.len();
        let chunk = match self.options.rotation {
            // Whom we cannot wait for may be in the midst of renaming.
            _ if guard == Guard::Frozen => rest,
            None => rest,
            Some(rotation) => match fitting(rest, size, rotation.max_bytes) {
                [] => {
                    rotate(&self.options.path, rotation.backup_count)?;
                    return self.reopen().map(|()| Some(0));
                }
                chunk => chunk,
            },
        };
        let unended = if size > 0 { self.unended_at() } else { None };
        if unended.is_some() && std::mem::replace(&mut self.unended, unended) != unended {
            // Of who appends without the lock, one look may find half of what he writes. The next look tells.
            return Ok(None);
        }
        self.unended = None;
        let mut appended = 0;
        let outcome = if unended.is_some() {
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
        Ok(Some(chunk.len()))
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
        (self.file, self.regular, self.unended) = (file, regular, None);
        Ok(())
    }

    /// The place of the last byte, if the last line has no end.
    fn unended_at(&mut self) -> Option<u64> {
        let mut last = [b'\n'];
        let place = self.file.seek(SeekFrom::End(-1)).ok()?;
        self.file.read_exact(&mut last).ok()?;
        (last != *b"\n").then_some(place)
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
