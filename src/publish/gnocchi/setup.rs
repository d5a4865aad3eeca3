//! What an installation must have before: the resource types and archive policies that samples and events need.
//!
//! Ceilometer's `ceilometer-upgrade` makes the types, step by step through its history; here the result is written down, and what is
//! missing of it is made. What is there is never changed or deleted, so that it may be done again at any time.

use reqwest::Method;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::api::Api;
use super::definitions::Policy;
use super::path;
use crate::config::Settings;
use crate::model::json as text;
use crate::publish::identity;
use crate::publish::outcome::Answer;
use crate::publish::web::{Reply, Secrets};

/// For one request: creating a type changes tables of Gnocchi's index.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What an attribute may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Text of at most 255 characters.
    Text,
    /// The same; a resource must have it.
    Name,
    /// A UUID.
    Uuid,
    /// The same; a resource must have it.
    Whose,
    /// A moment.
    Time,
}

use Holds::{Name, Text, Time, Uuid, Whose};

/// The types of Ceilometer of July 2026, but for `generic`, which Gnocchi has by itself.
const TYPES: &[(&str, &[(&str, Holds)])] = &[
    ("ceph_account", &[]),
    ("dns_zone", &[("email", Text), ("pool_id", Text), ("zone_name", Text), ("zone_type", Text)]),
    ("host", &[("host_name", Name)]),
    ("host_disk", &[("device_name", Text), ("host_name", Name)]),
    ("host_network_interface", &[("device_name", Text), ("host_name", Name)]),
    ("identity", &[]),
    ("image", &[("container_format", Name), ("disk_format", Name), ("name", Name)]),
    (
        "instance",
        &[
            ("availability_zone", Text),
            ("created_at", Time),
            ("deleted_at", Time),
            ("display_name", Name),
            ("flavor_id", Name),
            ("flavor_name", Name),
            ("host", Name),
            ("image_ref", Text),
            ("launched_at", Time),
            ("server_group", Text),
        ],
    ),
    ("instance_disk", &[("instance_id", Whose), ("name", Name)]),
    ("instance_network_interface", &[("instance_id", Whose), ("name", Name)]),
    ("ipmi", &[]),
    ("ipmi_sensor", &[("node", Name)]),
    ("loadbalancer", &[("availability_zone", Text), ("name", Text), ("provider", Text), ("vip_address", Text)]),
    (
        "manila_share",
        &[("availability_zone", Text), ("host", Name), ("name", Text), ("protocol", Text), ("status", Name)],
    ),
    ("network", &[]),
    ("nova_compute", &[("host_name", Name)]),
    ("stack", &[]),
    ("swift_account", &[("storage_policy", Text)]),
    (
        "volume",
        &[
            ("display_name", Text),
            ("image_id", Uuid),
            ("instance_id", Uuid),
            ("volume_type", Text),
            ("volume_type_id", Text),
        ],
    ),
    ("volume_provider", &[]),
    ("volume_provider_pool", &[("provider", Name)]),
    ("volume_service", &[("binary", Text), ("host", Text), ("status", Text), ("zone", Text)]),
];

impl Holds {
    fn kind(self) -> &'static str {
        match self {
            Text | Name => "string",
            Uuid | Whose => "uuid",
            Time => "datetime",
        }
    }

    fn is_required(self) -> bool {
        matches!(self, Name | Whose)
    }

    /// As Gnocchi's API takes it.
    fn schema(self) -> serde_json::Value {
        let mut schema = json!({"type": self.kind(), "required": self.is_required()});
        if self.kind() == "string" {
            (schema["min_length"], schema["max_length"]) = (0.into(), 255.into());
        }
        schema
    }
}

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

/// What a type of Ceilometer has.
fn attributes_of(name: &str) -> &'static [(&'static str, Holds)] {
    TYPES.iter().find(|(known, _)| *known == name).map_or(&[], |(_, attributes)| *attributes)
}

/// Why there is no answer, with what to do.
fn cause(answer: Answer) -> String {
    match answer.cause() {
        // What is about the login says by itself what to do.
        Some(cause) if cause.starts_with('[') => cause.to_owned(),
        cause => format!("{}; start Gnocchi, or correct its address", cause.unwrap_or("no answer")),
    }
}

/// A Gnocchi that is being set up.
pub struct Setup {
    api: Api,
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
    /// With the login of `gnocchi://`, and the policies of a file (`gnocchi_resources.yaml`; the shipped one where there is none).
    /// With warnings about the file; all that is wrong if it cannot be done.
    /// `link_local`: addresses of the link are allowed.
    pub fn new(
        settings: &Settings,
        file: Option<&Path>,
        link_local: bool,
    ) -> Result<(Setup, Vec<String>), Vec<String>> {
        let (identity, _) = identity::logins(&settings.logins);
        let identity = identity?;
        let web = identity.web(TIMEOUT, link_local, Secrets::default())?;
        let name = file.map_or_else(|| super::options::FILE.into(), Path::to_string_lossy);
        let (definitions, warnings) = super::load(&name, None, &settings.sources.search)?;
        let named = definitions.types().map(Box::from).collect();
        let setup = Setup { api: Api::new(identity, web), policies: definitions.policies, named };
        Ok((setup, warnings.iter().map(ToString::to_string).collect()))
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

    /// Does it; that somebody else was faster is as good. `Err` is why not, with what to do.
    pub async fn carry_out(&self, step: &Step) -> Result<(), String> {
        let reply = match step {
            Step::Type(name) => {
                let attributes: serde_json::Map<String, serde_json::Value> = attributes_of(name)
                    .iter()
                    .map(|(attribute, holds)| ((*attribute).to_owned(), holds.schema()))
                    .collect();
                let body = json!({"name": name, "attributes": attributes}).to_string();
                self.api.ask(Method::POST, "v1/resource_type", Some(body.into_bytes())).await
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
                self.api.patch(&path::resource_type(name), body.into_bytes()).await
            }
            Step::Policy(name) => {
                let policy = self.policies.iter().find(|policy| *policy.name == **name);
                let body = policy.map(|policy| text::to_string(&policy.body).into_bytes());
                self.api.ask(Method::POST, "v1/archive_policy/", body).await
            }
        };
        let reply = reply.map_err(cause)?;
        if reply.status.is_success() || reply.status.as_u16() == 409 { Ok(()) } else { Err(self.advised(&reply)) }
    }

    async fn list(&self, path: &str) -> Result<Vec<Known>, String> {
        let reply = self.api.ask(Method::GET, path, None).await.map_err(cause)?;
        if !reply.status.is_success() {
            return Err(self.advised(&reply));
        }
        serde_json::from_slice(&reply.body).map_err(|error| format!("its answer to {path} is not Gnocchi's: {error}"))
    }

    fn advised(&self, reply: &Reply) -> String {
        let cause = self.api.cause(reply);
        match reply.status.as_u16() {
            401 => format!("{cause}; see the user and password of the section that [gnocchi] auth_section names"),
            403 => format!(
                "{cause}; the user must be an administrator of Gnocchi: name one in a configuration file for this command"
            ),
            404 => format!("{cause}; see the address: there is no Gnocchi, or one before 4.2"),
            _ => cause,
        }
    }
}
