//! The lines of a file, packed or not: gzip is known by its first bytes.

use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// A longer line is left out: no broker takes such a message.
pub const READ_LINE_BYTES_MAX: usize = 512 << 20;

/// What every gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file that can be read line by line.
pub type Opened = Box<dyn BufRead + Send>;

/// Lines without their ends.
pub struct Lines {
    from: Opened,
    packed: bool,
    line: Vec<u8>,
    /// Why the file was not read to its end, if it was cut off.
    cut: Option<String>,
}

impl Lines {
    /// Of a file; `-` is standard input.
    pub fn open(path: &Path) -> io::Result<Lines> {
        if path == Path::new("-") {
            return Lines::of(Box::new(BufReader::new(io::stdin())));
        }
        Lines::of(Box::new(BufReader::with_capacity(1 << 16, File::open(path)?)))
    }

    /// Of whatever gives bytes.
    pub fn of(mut from: Opened) -> io::Result<Lines> {
        let packed = from.fill_buf()?.starts_with(&GZIP);
        let from: Opened =
            if packed { Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(from))) } else { from };
        Ok(Lines { from, packed, line: Vec::new(), cut: None })
    }

    /// The next line that is not blank. A packed file that was cut off in the middle, as by a kill, ends where it can be read to.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            self.line.clear();
            let most = u64::try_from(READ_LINE_BYTES_MAX).unwrap_or(u64::MAX);
            match (&mut self.from).take(most).read_until(b'\n', &mut self.line) {
                Ok(0) => return Ok(None),
                Ok(read) if read >= READ_LINE_BYTES_MAX => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 512 MiB"));
                }
                Ok(_) => {}
                Err(error) if self.packed && error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.cut = Some("the file ends in the middle of a member: whoever wrote it was killed".to_owned());
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            if self.line.last() == Some(&b'\n') {
                self.line.pop();
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(&self.line));
            }
        }
    }

    /// Why the file ended early, if it did.
    pub fn cut(&self) -> Option<&str> {
        self.cut.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::{Cursor, Write};

    fn member(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn all(bytes: Vec<u8>) -> (Vec<String>, bool) {
        let mut lines = Lines::of(Box::new(Cursor::new(bytes))).unwrap();
        let mut read = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            read.push(String::from_utf8(line.to_vec()).unwrap());
        }
        let cut = lines.cut().is_some();
        (read, cut)
    }

    #[test]
    fn packed_and_plain_files_give_the_same_lines() {
        let expected = (vec!["a".to_owned(), "b".to_owned(), "c".to_owned()], false);
        assert_eq!(all(b"a\n\nb\nc".to_vec()), expected);
        assert_eq!(all([member("a\n"), member("\nb\n"), member("c")].concat()), expected);
        assert_eq!(all(Vec::new()), (Vec::new(), false));
    }

    #[test]
    fn a_file_that_is_cut_off_gives_what_is_whole() {
        let (first, second) = (member("a\nb\n"), member("c\nd\n"));
        for kept in 1..second.len() {
            let (lines, cut) = all([&first[..], &second[..kept]].concat());
            assert!(lines.starts_with(&["a".to_owned(), "b".to_owned()]), "{kept}: {lines:?}");
            assert!(cut, "{kept}");
        }
    }

    #[test]
    fn bytes_that_are_damaged_are_an_error() {
        let mut bytes = member("a\nb\n");
        let at = bytes.len() - 6;
        bytes[at] ^= 0xff;
        let mut lines = Lines::of(Box::new(Cursor::new(bytes))).unwrap();
        let damaged = loop {
            match lines.next_line() {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        assert!(damaged.is_some());
    }
}
