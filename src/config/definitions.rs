//! Finds and reads the definition files: pipelines, event definitions, meters (Ceilometer reference §2.2, §2.3,
//! §4.1.1).
//!
//! Never here: the meaning of a definition. The files go as nodes to `convert` and `pipeline`.

use super::load::{closed, read_text};
use super::settings::Settings;
use super::yaml;
use crate::model::{Complaint, Node, Place};
use crate::pipeline::Kind;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SHIPPED_METERS: &str = include_str!("../../config/meters.d/meters.yaml");
const SHIPPED_EVENTS: &str = include_str!("../../config/event_definitions.yaml");
const SHIPPED_PIPELINE: &str = include_str!("../../config/pipeline.yaml");
const SHIPPED_EVENT_PIPELINE: &str = include_str!("../../config/event_pipeline.yaml");
const SHIPPED_GNOCCHI: &str = include_str!("../../config/gnocchi_resources.yaml");
/// The name under which Gnocchi's resources are looked for where a URL names no file.
const GNOCCHI: &str = "gnocchi_resources.yaml";
/// How the place of a shipped file begins.
const SHIPPED: &str = "shipped ";
/// The folder of meter definitions that is looked at before the shipped ones.
const METERS_DIR: &str = "/etc/ceilometer/meters.d";
/// How the folder of definitions inside Ceilometer's own package ends: the shipped ones stand for it.
const PACKAGED_METERS: &str = "ceilometer/data/meters.d";

/// The definition files, as far as they could be read: what could not is an error among the complaints.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions {
    /// Files of meter definitions, in the order in which they count (the first definition of a name wins).
    pub meters: Vec<Node>,
    /// Event definitions.
    pub events: Option<Node>,
    /// `pipeline.yaml`; `None` also where there are to be no samples.
    pub pipeline: Option<Node>,
    /// `event_pipeline.yaml`; `None` also where there are to be no events.
    pub event_pipeline: Option<Node>,
    /// The names of the files that `meters` is or should be from.
    pub meter_files: Vec<Arc<str>>,
    /// The names of the file that `events` is or should be from.
    pub event_files: Vec<Arc<str>>,
    /// The files that were read, and the folders that were listed: a change of one is a change of configuration.
    pub watched: Vec<PathBuf>,
}

/// Which files and folders were found under the names that the settings have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    files: BTreeMap<String, PathBuf>,
    /// Each with the files in it.
    folders: BTreeMap<PathBuf, Vec<PathBuf>>,
}

/// Finds and reads what the settings name. All complaints at once.
pub fn read(settings: &Settings) -> (Definitions, Vec<Complaint>) {
    let (definitions, complaints, _) = read_again(settings, &Found::default());
    (definitions, complaints)
}

/// The same for an agent that runs: a file or folder that was found `before`, and is now gone under the same name, is an
/// error. At start its absence means that the shipped definitions are wanted; while it is replaced it means nothing.
pub fn read_again(settings: &Settings, before: &Found) -> (Definitions, Vec<Complaint>, Found) {
    let search = &settings.sources.search;
    let mut reading = Reading {
        search,
        before,
        found: Found::default(),
        watched: Vec::new(),
        names: Vec::new(),
        complaints: Vec::new(),
    };
    reading.complaints.extend(search.iter().filter_map(|folder| closed(folder)));
    let meters = reading.meters(settings);
    let meter_files = std::mem::take(&mut reading.names);
    let events = reading.one(&settings.conversion.event_definitions_file, "event_definitions.yaml", SHIPPED_EVENTS);
    let event_files = std::mem::take(&mut reading.names);
    let wanted = &settings.pipelines;
    let pipeline = wanted.samples.then(|| reading.one(&wanted.samples_file, "pipeline.yaml", SHIPPED_PIPELINE));
    let event_pipeline =
        wanted.events.then(|| reading.one(&wanted.events_file, "event_pipeline.yaml", SHIPPED_EVENT_PIPELINE));
    let (pipeline, event_pipeline) = (pipeline.flatten(), event_pipeline.flatten());
    for (kind, node) in [(Kind::Samples, &pipeline), (Kind::Events, &event_pipeline)] {
        if let Some(name) = node.as_ref().and_then(|node| node.place.file.strip_prefix(SHIPPED)) {
            let place = Place { file: name.into(), line: 0 };
            reading.complaints.push(Complaint::warning(&place, shipped(kind, search, settings)));
        }
    }
    let Reading { watched, complaints, found, .. } = reading;
    (Definitions { meters, events, pipeline, event_pipeline, meter_files, event_files, watched }, complaints, found)
}

/// The file of that name: by the literal path, else in the folders of the search.
pub fn gnocchi_file(search: &[PathBuf], name: &str) -> Option<PathBuf> {
    let literal = std::iter::once(PathBuf::from(name));
    literal.chain(search.iter().map(|folder| folder.join(name))).find(|path| path.exists())
}

/// Reads the definitions of Gnocchi's resources that a URL names: by the literal path, else in the folders of the search, else
/// the shipped ones, as Ceilometer does (reference §6.1). With warnings; an error if the file that is there cannot be read.
pub fn gnocchi_resources(search: &[PathBuf], name: &str) -> Result<(Node, Vec<Complaint>), Complaint> {
    let found = gnocchi_file(search, name);
    let mut warnings = Vec::new();
    let (file, text) = if let Some(path) = &found {
        (path.to_string_lossy().into_owned(), Cow::Owned(read_text(path)?))
    } else {
        if name != GNOCCHI {
            let place = Place { file: name.into(), line: 0 };
            let searched = shown(search);
            let text =
                format!("cannot find it, neither as written nor in {searched}: the shipped definitions are used");
            warnings.push(Complaint::warning(&place, text));
        }
        (format!("{SHIPPED}{GNOCCHI}"), Cow::Borrowed(SHIPPED_GNOCCHI))
    };
    let (node, more) = yaml::read_with_warnings(&file, &text)?;
    warnings.extend(more);
    Ok((node, warnings))
}

/// The warning about a shipped pipeline, which says where its records go: who did not write the file may not know. Events go to a
/// queue that has no reader in a stock cloud.
fn shipped(kind: Kind, search: &[PathBuf], settings: &Settings) -> String {
    let (searched, none_wanted) = (shown(search), kind.none_wanted());
    match kind {
        Kind::Samples => format!(
            "it is not in {searched}, so samples go to Gnocchi (gnocchi://), with the login of [service_credentials]; write this \
             file to send them elsewhere; {none_wanted}"
        ),
        Kind::Events => format!(
            "it is not in {searched}, so events go to the queue {}.sample of the exchange {}, which needs a reader: without one it \
             grows until RabbitMQ blocks every sender; write this file, or read the queue; {none_wanted}",
            settings.publishing.event_topic, settings.publishing.control_exchange
        ),
    }
}

struct Reading<'s> {
    search: &'s [PathBuf],
    /// What was found before.
    before: &'s Found,
    found: Found,
    watched: Vec<PathBuf>,
    /// Of the files that were read, or looked for and not found.
    names: Vec<Arc<str>>,
    complaints: Vec<Complaint>,
}

impl Reading<'_> {
    /// A file by its literal path, else in the folders of the search, else (under its default name) the shipped one.
    fn one(&mut self, name: &str, default_name: &str, shipped: &str) -> Option<Node> {
        let path = self.find(name);
        if let Some(gone) = self.gone(name, path.as_deref()) {
            self.complaints.push(gone);
            return None;
        }
        if let Some(path) = path {
            self.found.files.insert(name.to_owned(), path.clone());
            return self.file(&path);
        }
        if name != default_name {
            self.names.push(name.into());
            self.complaints.push(Complaint::error(
                &Place { file: name.into(), line: 0 },
                format!("cannot find it, neither as written nor in {}", shown(self.search)),
            ));
            return None;
        }
        self.text(&format!("{SHIPPED}{default_name}"), shipped)
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        self.candidates(name).find(|path| path.exists())
    }

    fn candidates(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        let literal = PathBuf::from(name);
        std::iter::once(literal).chain(self.search.iter().map(move |folder| folder.join(name)))
    }

    /// The complaint about a file that was found under this name before, if what is found now stands behind it in the
    /// search, or nothing is found. A file that has come to stand before it takes its place as at start.
    fn gone(&self, name: &str, now: Option<&Path>) -> Option<Complaint> {
        let before = self.before.files.get(name)?;
        let place_of = |path: &Path| self.candidates(name).position(|candidate| candidate == path);
        let behind = match (place_of(before)?, now.map(place_of)) {
            (before, Some(Some(now))) => now > before,
            _ => true,
        };
        behind.then(|| gone(before))
    }

    fn file(&mut self, path: &Path) -> Option<Node> {
        self.watched.push(path.to_path_buf());
        self.names.push(path.to_string_lossy().into());
        match read_text(path) {
            Ok(text) => self.text(&path.to_string_lossy(), &text),
            Err(complaint) => {
                self.complaints.push(complaint);
                None
            }
        }
    }

    fn text(&mut self, name: &str, text: &str) -> Option<Node> {
        match yaml::read_with_warnings(name, text) {
            Ok((node, warnings)) => {
                self.complaints.extend(warnings);
                Some(node)
            }
            Err(complaint) => {
                self.complaints.push(complaint);
                None
            }
        }
    }

    /// All meter definitions; `None` if one of the files cannot be had, or there is none.
    fn meters(&mut self, settings: &Settings) -> Vec<Node> {
        let conversion = &settings.conversion;
        let mut files = Vec::new();
        if let Some(name) = &conversion.meter_definitions_file {
            files.push(self.one(name, "meters.yaml", SHIPPED_METERS));
        }
        match &conversion.meter_definitions_dirs {
            None => {
                files.extend(self.folder(Path::new(METERS_DIR), true));
                files.push(self.text("shipped meters.yaml", SHIPPED_METERS));
            }
            Some(dirs) => {
                for dir in dirs {
                    let stands_for_it = dir.ends_with(PACKAGED_METERS) && !self.before.folders.contains_key(dir);
                    if stands_for_it && !dir.exists() {
                        files.push(self.text("shipped meters.yaml", SHIPPED_METERS));
                    } else {
                        files.extend(self.folder(dir, false));
                    }
                }
            }
        }
        if files.is_empty() {
            let dirs = conversion.meter_definitions_dirs.as_deref().unwrap_or_default();
            let place = Place { file: shown(dirs).into(), line: 0 };
            self.names.push(Arc::clone(&place.file));
            let text =
                "holds no *.yaml: there are no meters; remove [meter] meter_definitions_dirs to use the shipped ones";
            // A folder that is there and empty is a way to want none; one that is not there is a mistake.
            let wanted = dirs.iter().any(|dir| dir.is_dir());
            let complaint = if wanted { Complaint::warning } else { Complaint::error };
            self.complaints.push(complaint(&place, text));
        }
        files.into_iter().flatten().collect()
    }

    /// `*.yaml` of a folder, by name; as in a shell, not those that begin with a dot.
    fn folder(&mut self, dir: &Path, optional: bool) -> Vec<Option<Node>> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(_) if self.before.folders.contains_key(dir) => {
                self.complaints.push(gone(dir));
                return Vec::new();
            }
            Err(_) if optional => return Vec::new(),
            Err(e) => {
                let place = Place { file: dir.to_string_lossy().as_ref().into(), line: 0 };
                self.complaints.push(Complaint::warning(&place, format!("cannot list this folder: {e}")));
                return Vec::new();
            }
        };
        self.watched.push(dir.to_path_buf());
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        files.retain(|path| path.extension().is_some_and(|e| e == "yaml") && !hidden(path));
        files.sort();
        let before = self.before.folders.get(dir).into_iter().flatten();
        self.complaints.extend(before.filter(|file| !files.contains(file)).map(|file| gone(file)));
        let read = files.iter().map(|file| self.file(file)).collect();
        self.found.folders.insert(dir.to_path_buf(), files);
        read
    }
}

/// The complaint about what is gone while the agent runs: it may be away for a moment only, while somebody replaces it.
pub(crate) fn gone(path: &Path) -> Complaint {
    let text = "it was there when the running configuration was read, and is gone: put it back; if it is gone for good, \
                restart the agent";
    Complaint::error(&Place { file: path.to_string_lossy().as_ref().into(), line: 0 }, text)
}

fn shown(folders: &[PathBuf]) -> String {
    if folders.is_empty() {
        return "the folder where the agent was started".to_owned();
    }
    let into = |folder: &&PathBuf| closed(folder).is_none();
    let shown = |folder: &PathBuf| match folder.to_string_lossy() {
        here if here.is_empty() => ".".to_owned(),
        there => there.into_owned(),
    };
    folders.iter().filter(into).map(shown).collect::<Vec<_>>().join(", ")
}
