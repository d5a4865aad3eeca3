//! `gnocchi://`: samples as measures of Gnocchi's metrics, events as what happens to its resources (Ceilometer reference §6.1).
//!
//! Where Gnocchi is and who we are there stands in `[service_credentials]`; which meter is a metric of what, in
//! `gnocchi_resources.yaml`. Where Ceilometer drops what Gnocchi does not take at once, this publisher says of every record
//! whether it is taken, waits, or can never be taken.
//!
//! Never here: which resources and policies an installation must have before.

mod api;
mod cache;
mod definitions;
mod events;
mod filter;
mod look;
mod measures;
mod odd;
mod options;
mod policies;
mod resources;
mod rights;
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
pub use self::look::{Archive, Measure};
use self::options::{EndedAt, Options};
use self::policies::Policies;
use self::rights::Rights;
pub use self::setup::{Created, Plan, Setup, Step};
use super::kind::{Built, Kind, Look};
use super::target::{Row, Target};
use super::web::{Secrets, Web};
use super::{Batch, Context, Identity, Login, PublishError, Publisher};
use crate::config;
use crate::model::Complaint;
use crate::observe::Repeats;

/// The rows of its options.
pub(super) const OPTIONS: &[&[Row]] = &[options::OPTIONS];

/// So many different sentences about samples are told, each once.
const TOLD_MAX: usize = 1_000;

pub(super) fn check(target: &Target, kind: Kind, look: Look<'_>) -> Result<Vec<String>, Vec<String>> {
    let options = Options::read(target)?;
    let mut wrong = Vec::new();
    let loaded = options.load(look.search).map_err(|complaint| wrong.push(complaint.to_string()));
    if let Some(Err(all)) = look.gnocchi.map(|login| logged_in(&options, kind, login)) {
        wrong.extend(all);
    }
    match loaded {
        Ok((_, warnings)) if wrong.is_empty() => {
            let of_url = options.warnings.iter().map(ToString::to_string);
            Ok(of_url.chain(warnings.iter().map(Complaint::to_string)).collect())
        }
        _ => Err(wrong),
    }
}

pub(super) fn build(target: &Target, kind: Kind, context: &Context) -> Built {
    let options = Options::read(target)?;
    let mut wrong = Vec::new();
    let loaded = options.load(&context.search).map_err(|complaint| wrong.push(complaint.to_string()));
    let login = logged_in(&options, kind, &context.gnocchi).map_err(|all| wrong.extend(all));
    let (Ok((definitions, _)), Ok((identity, web))) = (loaded, login) else { return Err(wrong) };
    if let Some(address) = identity.fixed_address() {
        tracing::info!(
            event = "publish.gnocchi.address_known",
            address,
            login = identity.kind(),
            "the agent asks Gnocchi at this address, whatever the publisher's URL says; if Gnocchi is elsewhere, correct endpoint in \
             the section of the login"
        );
    }
    Ok(Arc::new(GnocchiPublisher {
        api: Api::new(identity, web),
        policies: Policies::new(definitions.policies.len()),
        definitions,
        filter: options.filter.map(|(project, domain)| ProjectFilter::new(project, domain)),
        cache: Cache::default(),
        rights: Rights::default(),
        policy: options.archive_policy,
        told: Told::default(),
        attributes_refused: Repeats::default(),
        ended_at: options.ended_at,
        max_batch: options.max_batch,
    }))
}

/// Who we are, and a client for Gnocchi; all that is wrong with the login if not.
fn logged_in(options: &Options, kind: Kind, login: &Login) -> Result<(Arc<Identity>, Web), Vec<String>> {
    let identity = login.clone()?;
    let web = identity.web(options.timeout, options.link_local, Secrets::default());
    let mut wrong: Vec<String> = web.as_ref().err().cloned().unwrap_or_default();
    if let (Some((project, _)), Kind::Samples, false) = (&options.filter, kind, identity.has_keystone()) {
        wrong.push(format!(
            "{} has no Keystone, which alone knows the id of project {project}, whose samples are filtered; write \
             enable_filter_project=false into the URL, or a login at Keystone",
            identity.kind()
        ));
    }
    match web {
        Ok(web) if wrong.is_empty() => Ok((identity, web)),
        _ => Err(wrong),
    }
}

/// The file of the definitions that a URL names; nothing where the shipped ones hold.
pub(super) fn file(target: &Target, search: &[PathBuf]) -> Option<PathBuf> {
    config::definitions::gnocchi_file(search, &Options::read(target).ok()?.file)
}

impl Options {
    /// Reads the definitions that a URL names, with what is not meant in them.
    fn load(&self, search: &[PathBuf]) -> Result<(Definitions, Vec<Complaint>), Complaint> {
        load(&self.file, self.archive_policy.as_deref(), search)
    }
}

/// Reads the definitions of this name, with what is not meant in them; `policy` is that of all metrics, whatever they say.
fn load(name: &str, policy: Option<&str>, search: &[PathBuf]) -> Result<(Definitions, Vec<Complaint>), Complaint> {
    let (file, mut warnings) = config::definitions::gnocchi_resources(search, name)?;
    let (definitions, more) = Definitions::read(&file, policy)?;
    warnings.extend(more);
    Ok((definitions, warnings))
}

struct GnocchiPublisher {
    api: Api,
    definitions: Definitions,
    policies: Policies,
    filter: Option<ProjectFilter>,
    cache: Cache,
    rights: Rights,
    /// The archive policy of the URL.
    policy: Option<String>,
    told: Told,
    /// Resource types of whose resources attributes were refused.
    attributes_refused: Repeats,
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
