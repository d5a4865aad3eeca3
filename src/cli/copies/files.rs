//! Files of what Ceilometer published: waiting until they are written, and reading them.

use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

use super::stop::Stop;
use crate::model::shown;
use crate::shadow::capture::Lines;
use crate::shadow::theirs::{self, Record};

/// Ceilometer is waited for no longer, although its files still grow.
const SETTLE_MAX: Duration = Duration::from_secs(300);
/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Lines that are told of because they hold no record.
const ODD_LINES_MAX: u64 = 3;
/// Characters of what is wrong with such a line.
const SHOWN_CHARS_MAX: usize = 200;

/// Waits until none of the files has grown for so long; a signal ends the wait.
pub(super) async fn settle(files: &[PathBuf], quiet: Duration, stop: &mut Stop) {
    let began = Instant::now();
    let (mut sizes, mut since) = (sizes_of(files), Instant::now());
    while since.elapsed() < quiet && began.elapsed() < SETTLE_MAX {
        tokio::select! {
            biased;
            () = stop.asked() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = sizes_of(files);
        if now != sizes {
            (sizes, since) = (now, Instant::now());
        }
    }
}

fn sizes_of(files: &[PathBuf]) -> Vec<Option<u64>> {
    files.iter().map(|file| std::fs::metadata(file).ok().map(|meta| meta.len())).collect()
}

/// Gives every record of the files to `take`; what was wrong with lines, each a sentence.
pub(super) fn read(files: &[PathBuf], mut take: impl FnMut(Record)) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    for file in files {
        read_one(file, &mut take, &mut notes).map_err(|cause| format!("cannot read {}: {cause}", file.display()))?;
    }
    Ok(notes)
}

fn read_one(file: &Path, take: &mut impl FnMut(Record), notes: &mut Vec<String>) -> std::io::Result<()> {
    let (mut lines, mut number, mut odd) = (Lines::open(file)?, 0_u64, 0_u64);
    let mut last_odd = false;
    let mut waiting: Option<String> = None;
    while let Some(line) = lines.next_line()? {
        number += 1;
        // Only the last line may be half written.
        if let Some(note) = waiting.take() {
            notes.push(note);
        }
        last_odd = false;
        match theirs::read(line) {
            Ok(records) => records.into_iter().for_each(&mut *take),
            Err(why) => {
                odd += 1;
                last_odd = true;
                if odd <= ODD_LINES_MAX {
                    let why = shown::on_one_line(&why, SHOWN_CHARS_MAX);
                    waiting = Some(format!("{}, record {number}: {why}", file.display()));
                }
            }
        }
    }
    let odd = odd - u64::from(last_odd);
    if odd > ODD_LINES_MAX {
        notes.push(format!("{}: {} more lines hold no record", file.display(), odd - ODD_LINES_MAX));
    }
    if let Some(cut) = lines.cut() {
        notes.push(format!("{}: {cut}", file.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"{"name":"a","volume":1,"resource_id":"r","timestamp":"t"}"#;

    #[test]
    fn odd_lines_are_told_of_and_a_half_written_last_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("samples");
        let text = format!("{SAMPLE}\nodd\n{SAMPLE}\n{}", "odd\n".repeat(5));
        std::fs::write(&file, format!("{text}{SAMPLE}\n{}", &SAMPLE[..20])).unwrap();
        let mut count = 0;
        let notes = read(&[file], |_| count += 1).unwrap();
        assert_eq!((count, notes.len()), (3, 4), "{notes:?}");
        assert!(notes[0].contains("record 2") && notes[3].contains("3 more lines"), "{notes:?}");
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let error = read(&[PathBuf::from("/nowhere/at/all")], |_| {}).unwrap_err();
        assert!(error.starts_with("cannot read /nowhere/at/all: "), "{error}");
    }
}
