//! Finds and reads the definition files: pipelines, event definitions, meters (Ceilometer reference §2.2, §2.3,
//! §4.1.1).
//!
//! Never here: what is in them. They go as nodes to `convert` and `pipeline`.

use super::load::read_text;
use super::settings::Settings;
use super::yaml;
use crate::model::{Complaint, Node, Place};
use std::path::{Path, PathBuf};

const SHIPPED_METERS: &str = include_str!("../../config/meters.d/meters.yaml");
const SHIPPED_EVENTS: &str = include_str!("../../config/event_definitions.yaml");
const SHIPPED_PIPELINE: &str = include_str!("../../config/pipeline.yaml");
const SHIPPED_EVENT_PIPELINE: &str = include_str!("../../config/event_pipeline.yaml");
/// The folder of meter definitions that is looked at before the shipped ones.
const METERS_DIR: &str = "/etc/ceilometer/meters.d";
/// How the folder of definitions inside Ceilometer's own package ends: the shipped ones stand for it.
const PACKAGED_METERS: &str = "ceilometer/data/meters.d";

/// The definition files, as far as they could be read: what could not is an error among the complaints.
#[derive(Debug, Clone, PartialEq)]
pub struct Definitions {
    /// Files of meter definitions, in the order in which they count (the first definition of a name wins).
    pub meters: Vec<Node>,
    /// Event definitions.
    pub events: Option<Node>,
    /// `pipeline.yaml`; `None` also where there are to be no samples.
    pub pipeline: Option<Node>,
    /// `event_pipeline.yaml`; `None` also where there are to be no events.
    pub event_pipeline: Option<Node>,
    /// The files that were read, and the folders that were listed: a change of one is a change of configuration.
    pub watched: Vec<PathBuf>,
}

/// Finds and reads what the settings name. All complaints at once.
pub fn read(settings: &Settings) -> (Definitions, Vec<Complaint>) {
    let mut reading = Reading { search: &settings.sources.search, watched: Vec::new(), complaints: Vec::new() };
    let meters = reading.meters(settings);
    let events = reading.one(&settings.conversion.event_definitions_file, "event_definitions.yaml", SHIPPED_EVENTS);
    let wanted = &settings.pipelines;
    let pipeline = wanted.samples.then(|| reading.one(&wanted.samples_file, "pipeline.yaml", SHIPPED_PIPELINE));
    let event_pipeline =
        wanted.events.then(|| reading.one(&wanted.events_file, "event_pipeline.yaml", SHIPPED_EVENT_PIPELINE));
    let Reading { watched, complaints, .. } = reading;
    let definitions =
        Definitions { meters, events, pipeline: pipeline.flatten(), event_pipeline: event_pipeline.flatten(), watched };
    (definitions, complaints)
}

struct Reading<'s> {
    search: &'s [PathBuf],
    watched: Vec<PathBuf>,
    complaints: Vec<Complaint>,
}

impl Reading<'_> {
    /// A file by its literal path, else in the folders of the search, else (under its default name) the shipped one.
    fn one(&mut self, name: &str, default_name: &str, shipped: &str) -> Option<Node> {
        if let Some(path) = self.find(name) {
            return self.file(&path);
        }
        if name != default_name {
            self.complaints.push(Complaint::error(
                &Place { file: name.into(), line: 0 },
                format!("cannot find it, neither as written nor in {}", shown(self.search)),
            ));
            return None;
        }
        self.text(&format!("shipped {default_name}"), shipped)
    }

    fn find(&self, name: &str) -> Option<PathBuf> {
        let literal = PathBuf::from(name);
        let searched = self.search.iter().map(|folder| folder.join(name));
        std::iter::once(literal).chain(searched).find(|path| path.exists())
    }

    fn file(&mut self, path: &Path) -> Option<Node> {
        self.watched.push(path.to_path_buf());
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
                    if !dir.exists() && dir.ends_with(PACKAGED_METERS) {
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
        files.iter().map(|file| self.file(file)).collect()
    }
}

fn shown(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.to_string_lossy()).collect::<Vec<_>>().join(", ")
}
