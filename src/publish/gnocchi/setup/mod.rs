//! What an installation must have before: the resource types and archive policies that samples and events need.
//!
//! Ceilometer's `ceilometer-upgrade` makes the types, step by step through its history; here the result is written down, and what is
//! missing of it is made. What is there is never changed or deleted, so that it may be done again at any time.

mod types;

use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::types::{Holds, TYPES, attributes_of};
use super::api::Api;
use super::api::path;
use super::definitions::{Definitions, Policy};
use super::options;
use crate::config::{Settings, definitions};
use crate::model::{Complaint, Place, json as text};
use crate::publish::outcome::Answer;
use crate::publish::web::{Reply, Secrets};
use crate::publish::{Identity, identity};

/// For one request that only reads, where the section has no `timeout`: somebody waits for it.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for one that creates: a type changes tables of Gnocchi's index.
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);

/// One thing that is missing in Gnocchi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A resource type.
    Type(&'static str),
    /// Attributes of a resource type that is there.
    Attributes(&'static str, Vec<&'static str>),
    /// An archive policy.
    Policy(String),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Type(name) => write!(f, "resource type {name}"),
            Step::Attributes(name, attributes) => {
                let noun = if attributes.len() == 1 { "attribute" } else { "attributes" };
                write!(f, "{noun} {} of resource type {name}", attributes.join(", "))
            }
            Step::Policy(name) => write!(f, "archive policy {name}"),
        }
    }
}

impl Step {
    /// The right that it needs, as Gnocchi's policy names it.
    fn right(&self) -> &'static str {
        match self {
            Step::Type(_) => "create resource type",
            Step::Attributes(..) => "update resource type",
            Step::Policy(_) => "create archive policy",
        }
    }
}

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Created {
    /// How many steps were done.
    pub steps: usize,
    /// Why the others were not, each cause once, with what to do.
    pub failures: Vec<String>,
}

/// Why one step is not done.
enum Failed {
    /// The user may not; what Gnocchi said.
    Denied(String),
    /// Gnocchi does not want this one, with what to do.
    Refused(String),
    /// Nothing can be asked, with what to do.
    Away(String),
}

/// What there is to do, and what somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// In the order in which it is done.
    pub steps: Vec<Step>,
    /// How many types and policies are there already, as they should be.
    pub there: usize,
    /// What is there and otherwise than Ceilometer has it, or is not known here. It is left as it is.
    pub warnings: Vec<String>,
}

/// A Gnocchi that is being set up.
pub struct Setup {
    identity: Arc<Identity>,
    reads: Api,
    creates: Api,
    policies: Vec<Policy>,
    named: Vec<Box<str>>,
}

/// A resource type as Gnocchi tells it.
#[derive(serde::Deserialize)]
struct Known {
    name: String,
    #[serde(default)]
    attributes: BTreeMap<String, serde_json::Value>,
}

impl Setup {
    /// With the login of `gnocchi://`, and the policies of a file that somebody has named (else of `gnocchi_resources.yaml`, else the
    /// shipped ones). With warnings about the file; all that is wrong with the configuration if it cannot be done.
    /// `link_local`: addresses of the link are allowed.
    pub fn new(
        settings: &Settings,
        file: Option<&Path>,
        link_local: bool,
    ) -> Result<(Setup, Vec<Complaint>), Vec<Complaint>> {
        let mut wrong = Vec::new();
        let read = read(settings, file).map_err(|complaint| wrong.push(complaint));
        let apis = apis(settings, link_local).map_err(|all| {
            let place = settings.place("service_credentials", "auth_type");
            wrong.extend(all.into_iter().map(|text| Complaint::error(&place, text)));
        });
        let (Ok((definitions, warnings)), Ok((identity, [reads, creates]))) = (read, apis) else { return Err(wrong) };
        let named = definitions.types().map(Box::from).collect();
        Ok((Setup { identity, reads, creates, policies: definitions.policies, named }, warnings))
    }

    /// Where the login is asked for, if that is a Keystone.
    pub fn keystone(&self) -> Option<&str> {
        self.identity.keystone()
    }

    /// Who is logged in: `user ceilometer of [service_credentials]`.
    pub fn who(&self) -> String {
        self.identity.who()
    }

    /// Where Gnocchi is: as it is written, or as Keystone says. `Err` is why that cannot be found out, with what to do.
    pub async fn address(&self) -> Result<String, String> {
        self.reads.endpoint().await.map(|address| address.to_string()).map_err(|answer| self.away(&answer))
    }

    /// What is missing. `Err` is why that cannot be found out, with what to do.
    pub async fn plan(&self) -> Result<Plan, String> {
        let types: Vec<Known> = self.list("v1/resource_type").await?;
        let policies: Vec<Known> = self.list("v1/archive_policy").await?;
        let mut plan = Plan::default();
        for (name, wanted) in TYPES {
            let Some(known) = types.iter().find(|known| known.name == *name) else {
                plan.steps.push(Step::Type(name));
                continue;
            };
            let missing = wanted.iter().filter(|(attribute, _)| !known.attributes.contains_key(*attribute));
            let missing: Vec<&str> = missing.map(|(attribute, _)| *attribute).collect();
            for (attribute, holds) in *wanted {
                let kind = known.attributes.get(*attribute).and_then(|schema| schema["type"].as_str());
                if kind.is_some_and(|kind| kind != holds.kind()) {
                    plan.warnings.push(format!(
                        "attribute {attribute} of resource type {name} is {}, expected {}; it is left as it is",
                        kind.unwrap_or_default(),
                        holds.kind()
                    ));
                }
            }
            if missing.is_empty() { plan.there += 1 } else { plan.steps.push(Step::Attributes(name, missing)) }
        }
        for policy in &self.policies {
            let is_there = policies.iter().any(|known| *known.name == *policy.name);
            if is_there { plan.there += 1 } else { plan.steps.push(Step::Policy(policy.name.to_string())) }
        }
        for name in &self.named {
            if !TYPES.iter().any(|(known, _)| **known == **name) && !types.iter().any(|known| *known.name == **name) {
                plan.warnings.push(format!(
                    "resource type {name} of the definitions is not in Gnocchi, and its attributes are not known here; create it \
                     with `gnocchi resource-type create`"
                ));
            }
        }
        Ok(plan)
    }

    /// Does it, and says what is `done`. A right that is missing once is not tried again, and nothing else where Gnocchi is away.
    pub async fn create(&self, steps: &[Step], mut done: impl FnMut(&Step)) -> Created {
        let mut created = Created::default();
        // What is missing, and how many steps need it.
        let mut denied: Vec<(&str, usize)> = Vec::new();
        let mut said = None;
        for (n, step) in steps.iter().enumerate() {
            if let Some((_, steps)) = denied.iter_mut().find(|(right, _)| *right == step.right()) {
                *steps += 1;
                continue;
            }
            match self.carry_out(step).await {
                Ok(()) => {
                    created.steps += 1;
                    done(step);
                }
                Err(Failed::Denied(cause)) => {
                    denied.push((step.right(), 1));
                    said.get_or_insert(cause);
                }
                Err(Failed::Refused(why)) => created.failures.push(format!("cannot create {step}: {why}")),
                Err(Failed::Away(why)) => {
                    let left = match steps.len() - n - 1 {
                        0 => String::new(),
                        left => format!("; {left} after it were not tried"),
                    };
                    created.failures.push(format!("cannot create {step}: {why}{left}"));
                    break;
                }
            }
        }
        if let Some(cause) = said {
            let rights = denied.iter().map(|(right, steps)| format!("`{right}` ({steps} not created)"));
            created.failures.push(format!(
                "{} has no right to {} at {}: {cause}; {ADMINISTRATOR}",
                self.who(),
                rights.collect::<Vec<_>>().join(" and "),
                self.address().await.unwrap_or_default()
            ));
        }
        created
    }

    /// That somebody else was faster is as good.
    async fn carry_out(&self, step: &Step) -> Result<(), Failed> {
        let reply = match step {
            Step::Type(name) => {
                let attributes: serde_json::Map<String, serde_json::Value> = attributes_of(name)
                    .iter()
                    .map(|(attribute, holds)| ((*attribute).to_owned(), holds.schema()))
                    .collect();
                let body = json!({"name": name, "attributes": attributes}).to_string();
                self.creates.ask(Method::POST, "v1/resource_type", Some(body.into_bytes())).await
            }
            Step::Attributes(name, attributes) => {
                let add = |(attribute, holds): &(&str, Holds)| {
                    let mut value = holds.schema();
                    if holds.is_required() {
                        // What the resources that are there get.
                        value["options"] = json!({"fill": ""});
                    }
                    json!({"op": "add", "path": format!("/attributes/{attribute}"), "value": value})
                };
                let missing = attributes_of(name).iter().filter(|(attribute, _)| attributes.contains(attribute));
                let body = missing.map(add).collect::<serde_json::Value>().to_string();
                self.creates.patch(&path::resource_type(name), body.into_bytes()).await
            }
            Step::Policy(name) => {
                let policy = self.policies.iter().find(|policy| *policy.name == **name);
                let body = policy.map(|policy| text::to_string(&policy.body).into_bytes());
                self.creates.ask(Method::POST, "v1/archive_policy/", body).await
            }
        };
        let reply = reply.map_err(|answer| Failed::Away(self.away(&answer)))?;
        match reply.status.as_u16() {
            200..300 | 409 => Ok(()),
            403 => Err(Failed::Denied(self.creates.cause(&reply))),
            401 | 407 | 429 | 503 => Err(Failed::Away(self.advised(&reply))),
            _ => Err(Failed::Refused(self.advised(&reply))),
        }
    }

    async fn list(&self, path: &str) -> Result<Vec<Known>, String> {
        let reply = self.reads.ask(Method::GET, path, None).await.map_err(|answer| self.away(&answer))?;
        if !reply.status.is_success() {
            return Err(self.advised(&reply));
        }
        serde_json::from_slice(&reply.body)
            .map_err(|error| format!("its answer to {path} is not Gnocchi's: {error}; correct the address"))
    }

    /// Why there is no answer, with what to do.
    fn away(&self, answer: &Answer) -> String {
        match answer.cause() {
            // What is about the login says by itself what to do.
            Some(cause) if cause.starts_with('[') => cause.to_owned(),
            cause => format!(
                "{}; start Gnocchi, correct its address, or write a longer timeout into [{}]",
                cause.unwrap_or("no answer"),
                self.identity.section()
            ),
        }
    }

    fn advised(&self, reply: &Reply) -> String {
        let cause = self.reads.cause(reply);
        match reply.status.as_u16() {
            403 => format!("{cause}, to {}; {ADMINISTRATOR}", self.who()),
            404 => format!("{cause}; see the address: there is no Gnocchi, or one before 4.2"),
            500.. => format!("{cause}: Gnocchi is there and fails; see its log, and run this again"),
            _ => self.reads.advised(cause, reply),
        }
    }
}

/// What to do where a right is missing.
const ADMINISTRATOR: &str = "give it the right in Gnocchi's policy, or name an administrator of Gnocchi in a configuration file for this command";

/// The definitions, with what is not meant in them.
fn read(settings: &Settings, file: Option<&Path>) -> Result<(Definitions, Vec<Complaint>), Complaint> {
    let search = &settings.sources.search;
    let name = file.map_or_else(|| options::FILE.into(), Path::to_string_lossy);
    if file.is_some() && definitions::gnocchi_file(search, &name).is_none() {
        let folders = search.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
        let searched = if folders.is_empty() { String::new() } else { format!(" nor in {}", folders.join(", ")) };
        let text = format!(
            "cannot find this file of --resources-definition-file, neither as written{searched}; correct it, or leave it out to use \
             the shipped definitions"
        );
        return Err(Complaint::error(&Place { file: (*name).into(), line: 0 }, text));
    }
    super::load(&name, None, search)
}

/// Who we are, a client that only reads, and one that creates: by the `timeout` of the section, if there is one.
fn apis(settings: &Settings, link_local: bool) -> Result<(Arc<Identity>, [Api; 2]), Vec<String>> {
    let mut logins = settings.logins.clone();
    let written = logins.gnocchi.credentials.as_ref().and_then(|credentials| credentials.timeout);
    if let Some(credentials) = &mut logins.gnocchi.credentials {
        credentials.timeout.get_or_insert(READ_TIMEOUT);
    }
    let identity = identity::logins(&logins).0?;
    let api = |timeout: Duration| {
        let web = identity.web(written.unwrap_or(timeout), link_local, Secrets::default())?;
        Ok::<Api, Vec<String>>(Api::new(Arc::clone(&identity), web))
    };
    let apis = [api(READ_TIMEOUT)?, api(CREATE_TIMEOUT)?];
    Ok((identity, apis))
}

#[cfg(test)]
mod tests;
