//! Finds and reads configuration files, as oslo.config does.

use super::meaning;
use super::oslo::Written;
use super::settings::{Settings, Sources};
use crate::model::{Complaint, Place};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest configuration file read, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The names under which configuration is looked for when none is named on the command line.
const NAMES: [&str; 2] = ["ceilometer", "ceilometer-agent-notification"];

/// Reads configuration: the files in order, then `*.conf` of each folder by name; later ones win. With neither files
/// nor folders, those of oslo.config's search: `~/.ceilometer`, `~`, `/etc/ceilometer`, `/etc`; and where there are
/// none, every option has its default.
///
/// All complaints at once, in the order of places. If one of them is an error, settings are there only so that what
/// they lead to can be complained about too: they must not be worked by.
pub fn load(files: &[PathBuf], dirs: &[PathBuf]) -> (Option<Settings>, Vec<Complaint>) {
    let standard = standard_folders(std::env::var_os("HOME").map(PathBuf::from).as_deref());
    let (files, dirs) = if files.is_empty() && dirs.is_empty() {
        (found(&standard, ".conf"), found(&standard, ".conf.d"))
    } else {
        (files.to_vec(), dirs.to_vec())
    };
    let mut complaints = Vec::new();
    let mut all = files.clone();
    for dir in &dirs {
        match conf_files(dir) {
            Ok(more) => all.extend(more),
            Err(complaint) => complaints.push(complaint),
        }
    }
    let mut written = Written::default();
    for file in &all {
        match read_text(file) {
            Ok(text) => complaints.extend(written.add(&file.to_string_lossy(), &text)),
            Err(complaint) => complaints.push(complaint),
        }
    }
    // oslo.config's find_file: folders first, then where the files are (the last first), then the standard ones.
    let beside = files.iter().rev().filter_map(|file| file.parent()).map(Path::to_path_buf);
    let search = dirs.iter().cloned().chain(beside).chain(standard).collect();
    let (settings, more) = meaning::of(&written, Sources { files: all, search, written: Arc::new(written.clone()) });
    complaints.extend(more);
    complaints.sort_by(|a, b| (&a.place, &a.text).cmp(&(&b.place, &b.text)));
    complaints.dedup();
    (settings, complaints)
}

/// Configuration from a text that is in no file; definition files are looked for in no folder.
pub fn load_text(name: &str, text: &str) -> (Option<Settings>, Vec<Complaint>) {
    let mut written = Written::default();
    let mut complaints = written.add(name, text);
    let sources = Sources { files: Vec::new(), search: Vec::new(), written: Arc::new(written.clone()) };
    let (settings, more) = meaning::of(&written, sources);
    complaints.extend(more);
    (settings, complaints)
}

/// The folders that oslo.config searches for the project `ceilometer`.
fn standard_folders(home: Option<&Path>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(home) = home {
        folders.extend([home.join(".ceilometer"), home.to_path_buf()]);
    }
    folders.extend([PathBuf::from("/etc/ceilometer"), PathBuf::from("/etc")]);
    folders
}

/// At most one of each name, from the first folder that has it.
fn found(folders: &[PathBuf], extension: &str) -> Vec<PathBuf> {
    let first = |name: &&str| folders.iter().map(|f| f.join(format!("{name}{extension}"))).find(|path| path.exists());
    NAMES.iter().filter_map(first).collect()
}

/// `*.conf` of a folder, by name.
fn conf_files(dir: &Path) -> Result<Vec<PathBuf>, Complaint> {
    let entries = std::fs::read_dir(dir).map_err(|e| cannot_read(dir, &e.to_string()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "conf"));
    files.sort();
    Ok(files)
}

/// The text of a file of bounded size.
pub(super) fn read_text(file: &Path) -> Result<String, Complaint> {
    let size = std::fs::metadata(file).map_err(|e| cannot_read(file, &e.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(cannot_read(file, &format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(file).map_err(|e| cannot_read(file, &e.to_string()))
}

fn cannot_read(path: &Path, why: &str) -> Complaint {
    let place = Place { file: path.to_string_lossy().as_ref().into(), line: 0 };
    Complaint::error(&place, format!("cannot read it: {why}"))
}
