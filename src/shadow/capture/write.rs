//! Writes a file of captured notifications, so that whatever ends the program leaves one that can be read.
//!
//! Lines are collected, and written as a gzip member of their own: about each second, or at a bound of bytes. The file is called
//! `<name>.part` until it is finished. Nothing that is there is ever overwritten.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes of lines that one member holds, before they are packed. One longer line is a member of its own.
const MEMBER_BYTES_MAX: usize = 1 << 20;
/// What a member, and the last line of the file, have besides their lines, at most.
const SLACK_BYTES: u64 = 512;
/// Only the owner reads it: there are names and addresses in it.
const MODE: u32 = 0o600;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It is there.
    #[error("cannot write {0}: it exists, and nothing is overwritten; choose another name")]
    Exists(PathBuf),
    /// What a killed capture left is there.
    #[error(
        "cannot write {0}: a capture that was killed left it, or one is running; it can be read as it is; rename or delete it"
    )]
    PartExists(PathBuf),
    /// The system does not let us.
    #[error("cannot write {file}: {cause}; check the folder, its rights and its free space")]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Whether a line still had room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It is taken.
    Taken,
    /// It would have made the file larger than its bound; it is not in the file.
    Full,
}

/// A file that is being written.
pub struct Writer {
    file: File,
    to: PathBuf,
    part: PathBuf,
    bytes_max: u64,
    /// Bytes of whole members in the file.
    written: u64,
    waiting: Vec<u8>,
}

impl Writer {
    /// A new file that takes so many bytes at most.
    pub fn create(to: &Path, bytes_max: u64) -> Result<Writer, CaptureError> {
        if to.symlink_metadata().is_ok() {
            return Err(CaptureError::Exists(to.to_owned()));
        }
        let mut part = to.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&part);
        let file = opened.map_err(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists => CaptureError::PartExists(part.clone()),
            _ => CaptureError::Io { file: part.clone(), cause },
        })?;
        Ok(Writer { file, to: to.to_owned(), part, bytes_max, written: 0, waiting: Vec::new() })
    }

    /// Bytes that are in the file.
    pub fn bytes(&self) -> u64 {
        self.written
    }

    /// Takes a line, unless the file could become larger than its bound.
    pub fn take(&mut self, line: &[u8]) -> Result<Room, CaptureError> {
        if !self.fits(line) {
            self.flush()?;
            if !self.fits(line) {
                return Ok(Room::Full);
            }
        }
        self.waiting.extend_from_slice(line);
        self.waiting.push(b'\n');
        if self.waiting.len() >= MEMBER_BYTES_MAX {
            self.flush()?;
        }
        Ok(Room::Taken)
    }

    /// Whether the file stays below its bound with one more line, even if nothing can be packed.
    fn fits(&self, line: &[u8]) -> bool {
        let waiting = u64::try_from(self.waiting.len() + line.len() + 1).unwrap_or(u64::MAX);
        // What cannot be packed grows by five bytes for each 16 KiB.
        let packed = waiting.saturating_add(waiting / 1024).saturating_add(2 * SLACK_BYTES);
        self.written.saturating_add(packed) <= self.bytes_max
    }

    /// Writes what waits as a member of its own.
    pub fn flush(&mut self) -> Result<(), CaptureError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(self.waiting.len() / 4), Compression::default());
        let packed = encoder.write_all(&self.waiting).and_then(|()| encoder.finish());
        let packed = packed.map_err(|cause| self.failed(cause))?;
        if let Err(cause) = self.file.write_all(&packed) {
            // What is whole stays: the rest of a member that did not fit goes.
            let _cut = self.file.set_len(self.written);
            self.waiting.clear();
            return Err(self.failed(cause));
        }
        self.written += u64::try_from(packed.len()).unwrap_or(u64::MAX);
        self.waiting.clear();
        Ok(())
    }

    /// Writes the last line, and gives the file its name.
    pub fn finish(mut self, end: &[u8]) -> Result<u64, CaptureError> {
        self.waiting.extend_from_slice(end);
        self.waiting.push(b'\n');
        // A full disk still leaves a file that can be read.
        let flushed = self.flush();
        let synced = self.file.sync_all().map_err(|cause| self.failed(cause));
        self.name()?;
        flushed.and(synced)?;
        Ok(self.written)
    }

    /// Nothing came: takes the file away again.
    pub fn discard(self) {
        // What cannot be taken away holds a header, and says so.
        let _gone = fs::remove_file(&self.part);
    }

    /// Gives the file its name, unless another has it by now.
    fn name(&self) -> Result<(), CaptureError> {
        match fs::hard_link(&self.part, &self.to) {
            Ok(()) => fs::remove_file(&self.part).map_err(|cause| self.failed(cause)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(CaptureError::Exists(self.to.clone())),
            // A file system without links.
            Err(_) if self.to.symlink_metadata().is_ok() => Err(CaptureError::Exists(self.to.clone())),
            Err(_) => fs::rename(&self.part, &self.to).map_err(|cause| self.failed(cause)),
        }
    }

    fn failed(&self, cause: io::Error) -> CaptureError {
        CaptureError::Io { file: self.part.clone(), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shadow::capture::Lines;

    fn lines(file: &Path) -> Vec<String> {
        let mut lines = Lines::open(file).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(lines.cut(), None);
        all
    }

    #[test]
    fn the_file_has_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (to, part) = (folder.path().join("a.gz"), folder.path().join("a.gz.part"));
        let mut writer = Writer::create(&to, 1 << 20).unwrap();
        writer.take(b"one").unwrap();
        writer.flush().unwrap();
        writer.take(b"two").unwrap();
        assert!(!to.exists());
        // As if the program were killed now.
        assert_eq!(lines(&part), ["one"]);
        let bytes = writer.finish(b"end").unwrap();
        assert_eq!(lines(&to), ["one", "two", "end"]);
        assert_eq!(fs::metadata(&to).unwrap().len(), bytes);
        assert!(!part.exists());
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (to, part) = (folder.path().join("a.gz"), folder.path().join("a.gz.part"));
        fs::write(&to, "mine").unwrap();
        assert!(matches!(Writer::create(&to, 1), Err(CaptureError::Exists(_))));
        fs::rename(&to, &part).unwrap();
        assert!(matches!(Writer::create(&to, 1), Err(CaptureError::PartExists(_))));
        fs::remove_file(&part).unwrap();
        let writer = Writer::create(&to, 1 << 20).unwrap();
        fs::write(&to, "mine").unwrap();
        assert!(matches!(writer.finish(b"end"), Err(CaptureError::Exists(_))));
        assert_eq!((fs::read_to_string(&to).unwrap(), lines(&part)), ("mine".to_owned(), vec!["end".to_owned()]));
    }

    #[test]
    fn the_file_never_grows_beyond_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        for (bytes_max, line_bytes) in [(3_000_u64, 100_usize), (20_000, 3_000), (2_000, 5_000), (1_100_000, 70_000)] {
            let to = folder.path().join(format!("{bytes_max}-{line_bytes}.gz"));
            let mut writer = Writer::create(&to, bytes_max).unwrap();
            // Hexadecimal digits of a generator: they pack to a half at best.
            let mut state = 1_u64;
            let mut taken = 0;
            loop {
                let mut line = Vec::new();
                while line.len() < line_bytes {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    line.extend_from_slice(format!("{state:016x}").as_bytes());
                }
                if writer.take(&line).unwrap() == Room::Full {
                    break;
                }
                taken += 1;
            }
            let bytes = writer.finish(b"end").unwrap();
            assert!(bytes <= bytes_max, "{bytes} of {bytes_max}");
            assert_eq!(lines(&to).len(), taken + 1);
            assert!(taken > 0 || bytes_max < 5_000, "{bytes_max}");
        }
    }
}
