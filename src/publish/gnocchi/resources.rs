//! Resources in Gnocchi: creation, attributes, the end of their lives, and the search for those that belong to another.

use reqwest::{Method, Url};

use super::GnocchiPublisher;
use super::api::Api;
use super::api::answer::{self, Denied, Said};
use super::api::path::{self, PATH_BYTES_MAX};
use super::api::query::Query;
use super::odd;
use super::rights::Rights;
use crate::model::{Dict, Value, json};
use crate::publish::outcome::Answer;
use crate::publish::web::Reply;

/// So many pages of one search are read.
const PAGES_MAX: usize = 100;
/// So many resources are found by one search.
const FOUND_MAX: usize = 10_000;

/// What became of a request about one resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It is as it was asked for.
    AsWanted,
    /// There is a resource of that id already.
    Exists,
    /// There is no such resource.
    Missing(String),
    /// There is no such resource type.
    NoType(Answer),
    /// Not for us; whether that is about this resource alone is not said.
    Denied(Denied),
    /// Not as it was asked for, ever.
    Refused(String),
    /// Not now, and perhaps only this one.
    Later(Answer),
    /// Nothing can be asked now.
    Stop(Answer),
}

/// A resource that a search found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Gnocchi's own id, a UUID.
    pub id: Box<str>,
    /// Its type, which may be one below that which was searched.
    pub resource_type: Box<str>,
}

/// Creates a resource; its `id` is among the attributes.
pub(super) async fn create(api: &Api, rights: &Rights, resource_type: &str, attributes: &Dict) -> Done {
    let created = done(api, api.ask(Method::POST, &path::resources(resource_type), Some(written(attributes))).await);
    match unless_odd(api, created, odd::is_odd_resource("", attributes)).await {
        Done::Missing(cause) => Done::Refused(cause),
        Done::NoType(answer) => {
            let cause = format!(
                "Gnocchi has no resource type {resource_type}; run `nephoscope gnocchi-setup`, or `gnocchi resource-type create \
                 {resource_type}` if it is of your own definitions ({})",
                answer.cause().unwrap_or("404")
            );
            Done::NoType(Answer::Later { cause, after: None })
        }
        Done::AsWanted => {
            attributes.get("id").and_then(Value::as_str).into_iter().for_each(|id| rights.wrote(id));
            Done::AsWanted
        }
        done => done,
    }
}

fn written(attributes: &Dict) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    json::write_dict(attributes, &mut body);
    body
}

/// Changes attributes of a resource.
pub(super) async fn update(api: &Api, rights: &Rights, resource_type: &str, id: &str, attributes: &Dict) -> Done {
    let path = match path::resource(resource_type, id) {
        Some(path) => path,
        None => match by_uuid(api, resource_type, id).await {
            Ok(path) => path,
            Err(done) => return done,
        },
    };
    if path.len() > PATH_BYTES_MAX {
        return Done::Refused(format!("a path of {} bytes is not sent, at most {PATH_BYTES_MAX}", path.len()));
    }
    let updated = done(api, api.ask(Method::PATCH, &path, Some(written(attributes))).await);
    if updated == Done::AsWanted {
        rights.wrote(id);
    }
    unless_odd(api, updated, odd::is_odd_resource(id, attributes)).await
}

/// Changes attributes of a resource, unless Gnocchi was just told the same.
pub(super) async fn keep_up(of: &GnocchiPublisher, resource_type: &str, id: &str, attributes: &Dict) -> Done {
    let GnocchiPublisher { api, rights, cache, .. } = of;
    if cache.has(id, attributes) {
        return Done::AsWanted;
    }
    let done = update(api, rights, resource_type, id, attributes).await;
    if done == Done::AsWanted {
        cache.told(id, attributes);
    }
    done
}

/// The resources of a type that belong to the resource `id`, by its attribute in them.
pub(super) async fn associated(api: &Api, resource_type: &str, query: &Query, id: &str) -> Result<Vec<Found>, Done> {
    let found = search(api, resource_type, &query.of(id)).await;
    match found {
        Err(Done::Later(_) | Done::Stop(_)) if uuid::Uuid::parse_str(id).is_err() => {
            // Gnocchi 4 breaks down, every time, over an id that is no UUID where the attribute must be one. It cannot be the
            // value of such an attribute, so nothing belongs to it.
            if only_uuids(api, resource_type, query).await { Ok(Vec::new()) } else { found }
        }
        found => found,
    }
}

/// Whether one of the attributes that are compared can only be a UUID.
async fn only_uuids(api: &Api, resource_type: &str, query: &Query) -> bool {
    let Ok(reply) = api.ask(Method::GET, &path::resource_type(resource_type), None).await else { return false };
    let Ok(definition) = json::read(&reply.body) else { return false };
    let kind = |name: &str| {
        let attributes = definition.as_dict()?.get("attributes")?.as_dict()?;
        attributes.get(name)?.as_dict()?.get("type")?.as_str()
    };
    reply.status.is_success() && query.attributes().iter().any(|name| kind(name) == Some("uuid"))
}

/// The path of a resource whose id cannot stand in one: by the UUID that Gnocchi gave it.
async fn by_uuid(api: &Api, resource_type: &str, id: &str) -> Result<String, Done> {
    let equal = Dict::from_iter([("original_resource_id", Value::from(id))]);
    let found = search(api, resource_type, &Value::Dict(Dict::from_iter([("=", Value::Dict(equal))]))).await?;
    let path = found.first().and_then(|found| path::resource(resource_type, &found.id));
    path.ok_or_else(|| Done::Missing(format!("there is no resource {id}")))
}

async fn search(api: &Api, resource_type: &str, query: &Value) -> Result<Vec<Found>, Done> {
    let (first, body) = (path::search(resource_type), json::to_string(query).into_bytes());
    let mut next = Some(first.clone());
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let Some(page) = next.take().filter(|_| found.len() < FOUND_MAX) else { return Ok(found) };
        let reply = api.ask(Method::POST, &page, Some(body.clone())).await.map_err(Done::Stop)?;
        if !reply.status.is_success() {
            return Err(done(api, Ok(reply)));
        }
        let Some(resources) = json::read(&reply.body).ok().and_then(|body| body.as_list().map(<[Value]>::to_vec))
        else {
            let cause = "the answer to a search is no list of resources".to_owned();
            return Err(Done::Later(Answer::Later { cause, after: None }));
        };
        let of = |resource: &Value| {
            let text = |name: &str| resource.as_dict()?.get(name)?.as_str().map(Box::from);
            Some(Found { id: text("id")?, resource_type: text("type")? })
        };
        found.extend(resources.iter().filter_map(of));
        next = next_page(&reply, &first);
    }
    Ok(found)
}

/// The path of the next page: of the link only the query counts, so that it leads to no other server.
fn next_page(reply: &Reply, first: &str) -> Option<String> {
    let links = reply.headers.get_all("link").iter().filter_map(|link| link.to_str().ok());
    let link = links.flat_map(|links| links.split(", ")).find(|link| link.contains(r#"rel="next""#))?;
    let address = link.trim().strip_prefix('<')?.split_once('>')?.0;
    let query = Url::parse(address).ok()?.query()?.to_owned();
    Some(format!("{first}?{query}"))
}

/// What became of a request about a resource: where that is odd, and Gnocchi breaks down over it and nothing else, it is
/// refused.
async fn unless_odd(api: &Api, done: Done, odd: bool) -> Done {
    match done {
        Done::Later(answer) | Done::Stop(answer) if odd && api.is_alive().await => {
            Done::Refused(odd::breakdown(&answer))
        }
        done => done,
    }
}

fn done(api: &Api, reply: Result<Reply, Answer>) -> Done {
    let reply = match reply {
        Ok(reply) => reply,
        Err(answer) => return Done::Stop(answer),
    };
    match (reply.status.as_u16(), api.judged(&reply)) {
        (409, _) => Done::Exists,
        (404, _) if Said::of(&reply).is_missing_type() => {
            Done::NoType(Answer::Later { cause: api.cause(&reply), after: None })
        }
        (403 | 404, _) => api.denied(&reply).map_or_else(|| Done::Missing(api.cause(&reply)), Done::Denied),
        (_, Answer::Taken) => Done::AsWanted,
        (_, answer @ Answer::Later { .. }) if answer::stops_all(&reply) => Done::Stop(answer),
        (_, answer @ Answer::Later { .. }) => Done::Later(answer),
        (_, Answer::NotThese { cause } | Answer::Never { cause } | Answer::Some { cause, .. }) => Done::Refused(cause),
    }
}
