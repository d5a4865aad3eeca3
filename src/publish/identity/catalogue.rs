//! The catalogue of services that comes with a token.

use reqwest::Url;
use serde::Deserialize;

use super::{Interface, Service};
use crate::config::shown;

/// How many services an error names.
const NAMED_MAX: usize = 20;
/// How long a text from outside may be in an error, in characters.
const TEXT_CHARACTERS_MAX: usize = 60;

/// Services with their addresses. What is missing in an entry makes it fit nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Catalogue(Vec<Entry>);

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Deserialize)]
struct Endpoint {
    #[serde(default)]
    interface: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    region_id: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

impl Catalogue {
    /// The address of a service; else what is missing, and what to do.
    pub(super) fn find(&self, service: &Service, interface: Interface, region: Option<&str>) -> Result<Url, String> {
        // A service without a name is nobody else's.
        let is_name = |entry: &Entry| match (&entry.name, service.name) {
            (Some(name), Some(wanted)) => name == wanted,
            _ => true,
        };
        let is_type = |entry: &&Entry| entry.kind.as_deref().is_some_and(|kind| service.types.contains(&kind));
        let endpoints = self.0.iter().filter(is_type).filter(|entry| is_name(entry)).flat_map(|entry| &entry.endpoints);
        let fits = |endpoint: &&Endpoint| {
            let known = endpoint.interface.as_deref().unwrap_or_default();
            let is_region = |wanted: &str| {
                [&endpoint.region, &endpoint.region_id].into_iter().flatten().any(|region| region == wanted)
            };
            known.trim_end_matches("URL") == interface.name() && region.is_none_or(is_region) && endpoint.url.is_some()
        };
        let mut fitting = endpoints.filter(fits).filter_map(|endpoint| endpoint.url.as_deref());
        match fitting.next() {
            Some(url) => address(url),
            None => Err(self.without(service, interface, region)),
        }
    }

    fn without(&self, service: &Service, interface: Interface, region: Option<&str>) -> String {
        let named = service.name.map(|name| format!(" named {name}")).unwrap_or_default();
        let place = region.map(|region| format!(" in region {region}")).unwrap_or_default();
        let kinds = service.types.join(" or ");
        let missing =
            format!("Keystone's catalogue has no {} address of a {kinds} service{named}{place}", interface.name());
        let has = if self.0.is_empty() {
            "it is empty: write the project that the login is for (project_name)".to_owned()
        } else {
            let mut all: Vec<String> = self.0.iter().flat_map(Entry::described).take(NAMED_MAX + 1).collect();
            if all.len() > NAMED_MAX {
                all.truncate(NAMED_MAX);
                all.push("others".to_owned());
            }
            format!("it has {}", all.join(", "))
        };
        format!("{missing}; {has}; correct interface or region_name, register the service, or write endpoint_override")
    }
}

impl Entry {
    /// `metric gnocchi (public in RegionOne)`.
    fn described(&self) -> impl Iterator<Item = String> {
        let text = |text: &Option<String>| cut(text.as_deref().unwrap_or("?"));
        let (kind, name) = (text(&self.kind), text(&self.name));
        self.endpoints
            .iter()
            .map(move |endpoint| format!("{kind} {name} ({} in {})", text(&endpoint.interface), text(&endpoint.region)))
    }
}

fn cut(text: &str) -> String {
    shown(text).chars().filter(|c| !c.is_control()).take(TEXT_CHARACTERS_MAX).collect()
}

/// An address of a service, without a slash at its end.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let wrong = |why: &str| format!("the service's address {:?} is none: {why}; write http://host[:port]", cut(text));
    let mut url = Url::parse(text.trim()).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("expected http or https and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it has a user in it"));
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}
