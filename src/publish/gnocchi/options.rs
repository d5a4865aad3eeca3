//! The options of a `gnocchi://` URL (Ceilometer reference §6.1).

use std::time::Duration;

use crate::publish::target::{Row, Target};

/// The rows of the options.
pub(super) const OPTIONS: &[Row] = &[
    Row::new("archive_policy", "name", "", "the archive policy of all metrics, whatever the definitions say"),
    Row::new(
        "resources_definition_file",
        "path",
        "gnocchi_resources.yaml",
        "the definitions; a relative path is looked for in the folders of the configuration, and without such a file the \
         shipped definitions hold",
    ),
    Row::new("enable_filter_project", "true or false", "true", "dropping of the samples of one project"),
    Row::new("filter_project", "name", "service", "the project whose samples are dropped"),
    Row::new("filter_domain", "name", "Default", "the domain of that project"),
    Row::new(
        "ended_at",
        "event or now",
        "event",
        "end of a resource: the time of the event, or the time when the agent gets it, as in Ceilometer",
    ),
    Row::new("max_batch", "number", "10000", "maximum number of samples in one measures request"),
    Row::new("timeout", "seconds, 0.001 to 3600", "6.05", "maximum time of one request to Gnocchi, with its answer"),
    Row::LINK_LOCAL,
];

/// `gnocchi_resources.yaml`.
pub(super) const FILE: &str = "gnocchi_resources.yaml";
const PROJECT: &str = "service";
const DOMAIN: &str = "Default";
/// Seconds for one request, unless `timeout` says otherwise.
const TIMEOUT_S: f64 = 6.05;
/// Samples in one request, unless `max_batch` says otherwise: some megabytes.
const BATCH: usize = 10_000;

/// What the URL says; its host and path say nothing, as in Ceilometer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Options {
    pub archive_policy: Option<String>,
    pub file: String,
    /// Project and domain; nothing where none is filtered.
    pub filter: Option<(String, String)>,
    pub ended_at: EndedAt,
    pub max_batch: usize,
    pub timeout: Duration,
    pub link_local: bool,
    /// What is written and says nothing.
    pub warnings: Vec<&'static str>,
}

/// When a resource has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndedAt {
    /// At the time of the event.
    Event,
    /// When the event arrives here.
    Now,
}

impl Options {
    pub(super) fn read(target: &Target) -> Result<Options, Vec<String>> {
        let mut options = target.options();
        // An option without a value is none, as Python's `parse_qs` has it.
        let archive_policy = options.text("archive_policy");
        let mut warnings = Vec::new();
        if archive_policy.as_deref() == Some("") {
            warnings.push(
                "archive_policy= is empty and counts as not written: the policies of the definitions hold; name a policy, or leave \
                 the option out",
            );
        }
        let archive_policy = archive_policy.filter(|name| !name.is_empty());
        let mut or =
            |name, default: &str| options.text(name).filter(|text| !text.is_empty()).unwrap_or(default.to_owned());
        let file = or("resources_definition_file", FILE);
        let (project, domain) = (or("filter_project", PROJECT), or("filter_domain", DOMAIN));
        let filter = options.flag("enable_filter_project").unwrap_or(true).then_some((project, domain));
        let ended_at = match options.text("ended_at").as_deref() {
            None | Some("event") => EndedAt::Event,
            Some("now") => EndedAt::Now,
            Some(other) => {
                options.complain(format!("ended_at={}: expected event or now", crate::config::shown(other)));
                EndedAt::Event
            }
        };
        let max_batch = options.number("max_batch", 1).unwrap_or(BATCH);
        let timeout = options.timeout(TIMEOUT_S);
        let link_local = options.flag("link_local").unwrap_or(false);
        options.finish(Options { archive_policy, file, filter, ended_at, max_batch, timeout, link_local, warnings })
    }
}
