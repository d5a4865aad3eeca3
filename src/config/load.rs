//! Finds and reads configuration files, as oslo.config does.

use super::environment;
use super::oslo::FileOptions;
use super::settings::meaning;
use super::settings::{Settings, Sources};
use crate::model::{Complaint, Place};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest configuration file read, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The names under which configuration is looked for: oslo.config's project and program.
const NAMES: [&str; 2] = ["ceilometer", "ceilometer-agent-notification"];

/// What the command line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// `--config-file`
    File(PathBuf),
    /// `--config-dir`: its `*.conf`, by name.
    Folder(PathBuf),
}

/// Reads the files, then the folders. See [`load_named`].
pub fn load(files: &[PathBuf], dirs: &[PathBuf]) -> (Option<Settings>, Vec<Complaint>) {
    let files = files.iter().cloned().map(Named::File);
    load_named(&files.chain(dirs.iter().cloned().map(Named::Folder)).collect::<Vec<_>>())
}

/// Reads configuration; whatever comes later wins.
///
/// As oslo.config has it, files and folders are looked for apart: where no file is named, those of the standard places
/// (`~/.ceilometer`, `~`, `/etc/ceilometer`, `/etc`) come first; where no folder is named, `ceilometer.conf.d` and
/// `ceilometer-agent-notification.conf.d` of these places come next; whatever is named comes last, in its own order.
/// Where there is nothing at all, every option has its default.
///
/// All complaints at once, in the order of places. If one of them is an error, settings are there only so that what
/// they lead to can be complained about too: they must not be worked by.
pub fn load_named(named: &[Named]) -> (Option<Settings>, Vec<Complaint>) {
    let variable = |name: &str| std::env::var_os(name);
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let standard = standard_folders(home.as_deref(), variable);
    let mut reading = Reading::default();
    let files: Vec<PathBuf> = named.iter().filter_map(|n| Some(expanded(n.file()?, home.as_deref()))).collect();
    let dirs: Vec<PathBuf> = named.iter().filter_map(|n| Some(expanded(n.folder()?, home.as_deref()))).collect();
    let mut beside = files.clone();
    if files.is_empty() {
        reading.complaints.extend(standard.iter().filter_map(|folder| closed(folder)));
        beside = found(&standard, ".conf");
        beside.iter().for_each(|file| reading.file(file));
    }
    if dirs.is_empty() {
        found(&standard, ".conf.d").iter().for_each(|folder| reading.folder(folder, true));
    }
    let (mut next_file, mut next_dir) = (files.iter(), dirs.iter());
    for name in named {
        match name {
            Named::File(_) => next_file.next().into_iter().for_each(|file| reading.file(file)),
            Named::Folder(_) => next_dir.next().into_iter().for_each(|folder| reading.folder(folder, false)),
        }
    }
    // oslo.config's find_file: folders that are named, then where the files are (the last first), then the standard ones.
    let beside = beside.iter().rev().filter_map(|file| file.parent()).map(Path::to_path_buf);
    let search = dirs.iter().cloned().chain(beside).chain(standard).collect();
    let Reading { mut file_options, files, mut complaints } = reading;
    environment::read(&mut file_options, variable);
    let (settings, more) = meaning::of(
        &file_options,
        Sources { files, search, file_options: Arc::new(file_options.clone()), ..Sources::default() },
    );
    complaints.extend(more);
    complaints.sort_by(|a, b| (&a.place, &a.text).cmp(&(&b.place, &b.text)));
    complaints.dedup();
    (Some(settings), complaints)
}

/// Configuration from a text that is in no file; definition files are looked for in no folder.
pub fn load_text(name: &str, text: &str) -> (Option<Settings>, Vec<Complaint>) {
    let mut file_options = FileOptions::default();
    let mut complaints = file_options.add(name, text);
    let sources = Sources { file_options: Arc::new(file_options.clone()), ..Sources::default() };
    let (settings, more) = meaning::of(&file_options, sources);
    complaints.extend(more);
    (Some(settings), complaints)
}

impl Named {
    fn file(&self) -> Option<&Path> {
        if let Named::File(file) = self { Some(file) } else { None }
    }

    fn folder(&self) -> Option<&Path> {
        if let Named::Folder(folder) = self { Some(folder) } else { None }
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    file_options: FileOptions,
    files: Vec<PathBuf>,
    complaints: Vec<Complaint>,
}

impl Reading {
    fn file(&mut self, file: &Path) {
        self.files.push(file.to_path_buf());
        match read_text(file) {
            Ok(text) => self.complaints.extend(self.file_options.add(&file.to_string_lossy(), &text)),
            Err(complaint) => self.complaints.push(complaint),
        }
    }

    /// `*.conf` of a folder, by name. oslo.config says nothing of a standard folder that it cannot list.
    fn folder(&mut self, folder: &Path, standard: bool) {
        match conf_files(folder) {
            Ok(files) => files.iter().for_each(|file| self.file(file)),
            Err(complaint) if standard => {
                let text = format!("{}: its files are left out, as Ceilometer leaves them out", complaint.text);
                self.complaints.push(Complaint::warning(&complaint.place, text));
            }
            Err(complaint) => self.complaints.push(complaint),
        }
    }
}

/// The folders that oslo.config searches for the project `ceilometer`.
fn standard_folders(home: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(home) = home {
        folders.extend([home.join(".ceilometer"), home.to_path_buf()]);
    }
    folders.extend([PathBuf::from("/etc/ceilometer"), PathBuf::from("/etc")]);
    // Of a snap package.
    let snaps = ["SNAP_COMMON", "SNAP"].into_iter().filter_map(variable).filter(|snap| !snap.is_empty());
    folders.extend(snaps.map(|snap| PathBuf::from(snap).join("etc/ceilometer")));
    folders
}

/// A path whose `~` no shell has replaced: `--config-file=~/x`.
fn expanded(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_path_buf(),
    }
}

/// At most one of each name, from the first folder that has it.
fn found(folders: &[PathBuf], extension: &str) -> Vec<PathBuf> {
    let first = |name: &&str| folders.iter().map(|f| f.join(format!("{name}{extension}"))).find(|path| path.exists());
    NAMES.iter().filter_map(first).collect()
}

/// The warning about a folder into which this user cannot look: what is in it counts as absent, as it does for Ceilometer.
pub(super) fn closed(folder: &Path) -> Option<Complaint> {
    let error = std::fs::metadata(folder.join("ceilometer.conf")).err()?;
    if error.kind() != ErrorKind::PermissionDenied {
        return None;
    }
    let place = Place { file: folder.to_string_lossy().as_ref().into(), line: 0 };
    let text = format!("cannot look into it: {error}; what is in it is left out, as Ceilometer leaves it out");
    Some(Complaint::warning(&place, text))
}

/// `*.conf` of a folder, by name; as in a shell, not those that begin with a dot.
fn conf_files(dir: &Path) -> Result<Vec<PathBuf>, Complaint> {
    let entries = std::fs::read_dir(dir).map_err(|e| cannot_read(dir, &e.to_string()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    files.retain(|path| path.extension().is_some_and(|e| e == "conf") && !hidden(path));
    files.sort();
    Ok(files)
}

/// The text of a file of bounded size.
pub(super) fn read_text(file: &Path) -> Result<String, Complaint> {
    let about = std::fs::metadata(file).map_err(|e| cannot_read(file, &e.to_string()))?;
    // To open a pipe is to wait for whoever writes into it, and a device may have no end.
    if !about.is_file() && !is_nothing(file) {
        let what = if about.is_dir() { "it is a folder" } else { "it is no regular file" };
        return Err(cannot_read(file, &format!("{what}; write the path of a file")));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(cannot_read(file, &format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(file).map_err(|e| cannot_read(file, &e.to_string()))
}

/// Whether this is what stands for an empty file.
fn is_nothing(file: &Path) -> bool {
    std::fs::canonicalize(file).is_ok_and(|file| file == Path::new("/dev/null"))
}

fn cannot_read(path: &Path, why: &str) -> Complaint {
    let place = Place { file: path.to_string_lossy().as_ref().into(), line: 0 };
    Complaint::error(&place, format!("cannot read it: {why}"))
}
