//! `gnocchi://`: samples as measures of Gnocchi's metrics, events as what happens to its resources (Ceilometer reference §6.1).
//!
//! Where Gnocchi is and who we are there stands in `[service_credentials]`; which meter is a metric of what, in
//! `gnocchi_resources.yaml`. Where Ceilometer drops what Gnocchi does not take at once, this publisher says of every record
//! whether it is taken, waits, or can never be taken.
//!
//! Never here: which resources and policies an installation must have before.

mod answer;
mod api;
mod cache;
mod definitions;
mod events;
mod filter;
mod measures;
mod odd;
mod options;
mod path;
mod policies;
mod query;
mod resources;
mod samples;
mod setup;
mod tally;

use async_trait::async_trait;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use self::api::Api;
use self::cache::Cache;
use self::definitions::Definitions;
use self::filter::ProjectFilter;
use self::options::{EndedAt, Options};
use self::policies::Policies;
pub use self::setup::{Plan, Setup, Step};
use super::schemes::{Built, Kind, Look};
use super::target::{Row, Target};
use super::web::Secrets;
use super::{Batch, Context, PublishError, Publisher};
use crate::config;
use crate::model::Complaint;

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[options::OPTIONS];

/// So many different sentences about samples are told, each once.
const TOLD_MAX: usize = 1_000;

pub(super) fn check(target: &Target, _: Kind, look: Look<'_>) -> Result<Vec<String>, Vec<String>> {
    let options = Options::read(target)?;
    let wrong = look.gnocchi.and_then(|login| login.as_ref().err()).cloned().unwrap_or_default();
    match load(&options, look.search) {
        Ok((_, warnings)) if wrong.is_empty() => Ok(warnings.iter().map(Complaint::to_string).collect()),
        loaded => Err(loaded.err().into_iter().flatten().chain(wrong).collect()),
    }
}

pub(super) fn build(target: &Target, _: Kind, context: &Context) -> Built {
    let options = Options::read(target)?;
    let mut complaints = Vec::new();
    let mut noted = |wrong: Vec<String>| complaints.extend(wrong);
    let definitions = load(&options, &context.search).map_err(&mut noted).ok();
    let identity = context.gnocchi.clone().map_err(&mut noted).ok();
    let web = identity.as_ref().and_then(|identity| {
        identity.web(options.timeout, options.link_local, Secrets::default()).map_err(&mut noted).ok()
    });
    let (Some((definitions, warnings)), Some(identity), Some(web)) = (definitions, identity, web) else {
        return Err(complaints);
    };
    for Complaint { place, text, .. } in &warnings {
        tracing::warn!(event = "publish.gnocchi.definition", %place, "{text}");
    }
    Ok(Arc::new(GnocchiPublisher {
        api: Api::new(identity, web),
        policies: Policies::new(definitions.policies.len()),
        definitions,
        filter: options.filter.map(|(project, domain)| ProjectFilter::new(project, domain)),
        cache: Cache::default(),
        told: Told::default(),
        ended_at: options.ended_at,
        max_batch: options.max_batch,
    }))
}

/// The file of the definitions that a URL names; nothing where the shipped ones hold.
pub(super) fn file(target: &Target, search: &[PathBuf]) -> Option<PathBuf> {
    config::definitions::gnocchi_file(search, &Options::read(target).ok()?.file)
}

/// Reads the definitions that a URL names, with what is not meant in them.
fn load(options: &Options, search: &[PathBuf]) -> Result<(Definitions, Vec<Complaint>), Vec<String>> {
    let said = |complaint: Complaint| vec![complaint.to_string()];
    let (file, mut warnings) = config::definitions::gnocchi_resources(search, &options.file).map_err(said)?;
    let (definitions, more) = Definitions::read(&file, options.archive_policy.as_deref()).map_err(said)?;
    warnings.extend(more);
    Ok((definitions, warnings))
}

struct GnocchiPublisher {
    api: Api,
    definitions: Definitions,
    policies: Policies,
    filter: Option<ProjectFilter>,
    cache: Cache,
    told: Told,
    ended_at: EndedAt,
    max_batch: usize,
}

#[async_trait]
impl Publisher for GnocchiPublisher {
    async fn publish(&self, batch: &Batch) -> Result<(), PublishError> {
        match batch {
            Batch::Samples(samples) => self.publish_samples(samples).await,
            Batch::Events(events) => self.publish_events(events).await,
        }
    }

    async fn reach(&self) -> Result<(), String> {
        self.api.reach().await
    }
}

/// What was said before: a meter that is not known comes with every batch.
#[derive(Debug, Default)]
struct Told(Mutex<HashSet<Box<str>>>);

impl Told {
    /// Whether this is said for the first time.
    fn first(&self, what: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !told.contains(what) && told.len() < TOLD_MAX && told.insert(what.into())
    }
}

#[cfg(test)]
mod tests;
