//! What is asked of Keystone v3, and what its answers mean.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method as Verb, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Identity;
use super::catalogue::{Catalogue, address};
use super::token::Token;
use crate::config::identity::{Auth, Credentials, Domain, Method, Scope, User};
use crate::publish::outcome::Answer;
use crate::publish::web::{Reply, Secrets, Web, WebOptions};

/// The largest answer that is read, in bytes: a catalogue of hundreds of services is far smaller.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Where Keystone puts a token.
const TOKEN_HEADER: &str = "x-subject-token";

/// Keystone v3.
pub(super) struct Keystone {
    web: Web,
    /// Ends with `/v3`.
    url: Url,
    section: String,
}

#[derive(Deserialize)]
struct Issued {
    token: IssuedToken,
}

#[derive(Deserialize)]
struct IssuedToken {
    #[serde(default)]
    issued_at: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    catalog: Catalogue,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    name: String,
}

impl Keystone {
    pub(super) fn new(credentials: &Credentials, url: &str) -> Result<Keystone, Vec<String>> {
        let named = |why: String| vec![format!("[{}] {why}", credentials.section)];
        let options = WebOptions::of_credentials(credentials);
        let url = address(url).map_err(|why| named(format!("auth_url: {why}")))?;
        if !options.allows(&url) {
            return Err(named("auth_url is a link-local address; write the address of Keystone".to_owned()));
        }
        let secrets = Secrets::default().and(&secrets_of(&credentials.auth));
        let web = Web::new(&options, &url, secrets).map_err(|all| by_our_names(&credentials.section, all))?;
        Ok(Keystone { web, url, section: credentials.section.clone() })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// A new token.
    pub(super) async fn log_in(&self, credentials: &Credentials) -> Result<Token, Answer> {
        let request = self.web.request(Verb::POST, self.at(&["auth", "tokens"]));
        let body = login(&credentials.auth).to_string();
        let reply = self.web.ask(request.header(CONTENT_TYPE, "application/json").body(body), ANSWER_BYTES_MAX).await;
        let reply = reply.map_err(|answer| self.held(answer, "is away"))?;
        if !reply.status.is_success() {
            return Err(self.refused(&reply));
        }
        let text =
            reply.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
        let Some(text) = text else {
            return Err(self.later(format!("{} without a token: is this a Keystone? see auth_url", reply.status)));
        };
        let issued: Issued = serde_json::from_slice(&reply.body).map_err(|_| self.unreadable())?;
        let IssuedToken { issued_at, expires_at, catalog } = issued.token;
        Token::new(text, issued_at.as_deref(), expires_at.as_deref(), catalog)
            .ok_or_else(|| self.later("its token cannot stand in an HTTP header".to_owned()))
    }

    pub(super) async fn project_id(&self, who: &Identity, domain: &str, name: &str) -> Result<Option<String>, Answer> {
        let mut at = self.at(&["domains"]);
        at.query_pairs_mut().append_pair("name", domain);
        let domains = self.list(who, at, "domains").await?;
        let domain_id = match named(domains, domain) {
            Some(found) => found.id,
            // It may be an id.
            None => domain.to_owned(),
        };
        let mut at = self.at(&["projects"]);
        at.query_pairs_mut().append_pair("name", name).append_pair("domain_id", &domain_id);
        let projects = self.list(who, at, "projects").await?;
        Ok(named(projects, name).map(|found| found.id))
    }

    async fn list(&self, who: &Identity, at: Url, key: &str) -> Result<Vec<Named>, Answer> {
        let reply = who.ask(&self.web, self.web.request(Verb::GET, at), ANSWER_BYTES_MAX).await;
        let reply = reply.map_err(|answer| self.held(answer, "is away"))?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            StatusCode::FORBIDDEN => {
                let cause = self.web.cause(&reply);
                return Err(self.later(format!("{cause}; the login may not list {key}: give it a role that may")));
            }
            _ => return Err(self.refused(&reply)),
        }
        let mut answer: Value = serde_json::from_slice(&reply.body).map_err(|_| self.unreadable())?;
        let list = answer.get_mut(key).map(Value::take).ok_or_else(|| self.unreadable())?;
        serde_json::from_value(list).map_err(|_| self.unreadable())
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// What a status means, with what to do. Nobody's record is at fault: all of it holds.
    fn refused(&self, reply: &Reply) -> Answer {
        let cause = self.web.cause(reply);
        let advice = match reply.status.as_u16() {
            300..=399 => "redirects are not followed; write the address that it leads to as auth_url",
            400 => "see the names of the options: user, project and their domains",
            401 => {
                "see user, password (or secret), project and domains: one of them is wrong, or the user is disabled or locked"
            }
            403 => "the user may not log in to this project; give it a role there",
            404 => "see auth_url: there is no Keystone v3",
            _ => "the agent goes on trying",
        };
        self.held(self.web.verdict(reply), &format!("said {cause}; {advice}"))
    }

    fn unreadable(&self) -> Answer {
        self.later(format!(
            "an answer is no JSON of Keystone v3, or larger than {ANSWER_BYTES_MAX} bytes; see auth_url"
        ))
    }

    fn later(&self, why: String) -> Answer {
        Answer::Later { cause: format!("[{}]: Keystone: {why}", self.section), after: None }
    }

    /// An answer as one that holds.
    fn held(&self, answer: Answer, what: &str) -> Answer {
        let about = |what: &str| format!("[{}]: Keystone at {} {what}", self.section, self.url);
        match answer {
            Answer::Later { cause, after } if what == "is away" => {
                // Our own words come from within, when a token was asked for on the way.
                let is_said = cause.starts_with('[');
                Answer::Later { cause: if is_said { cause } else { format!("{}: {cause}", about(what)) }, after }
            }
            Answer::Later { after, .. } => Answer::Later { cause: about(what), after },
            _ => Answer::Later { cause: about(what), after: None },
        }
    }
}

/// The one of this name. Keystone's database may not tell capitals from small letters; then there is only one.
fn named(all: Vec<Named>, name: &str) -> Option<Named> {
    let exact = all.iter().position(|found| found.name == name);
    let nearly = || all.iter().position(|found| found.name.to_lowercase() == name.to_lowercase());
    exact.or_else(nearly).and_then(|at| all.into_iter().nth(at))
}

/// Complaints about files, by the names that their options have in `ceilometer.conf`.
pub(super) fn by_our_names(section: &str, all: Vec<String>) -> Vec<String> {
    let named = |why: String| {
        let why = why.replace("verify_ssl=", "cafile=").replace("clientcert=", "certfile=");
        format!("[{section}] {}", why.replace("clientkey=", "keyfile="))
    };
    all.into_iter().map(named).collect()
}

/// What must never be shown of a login.
pub(super) fn secrets_of(auth: &Auth) -> Vec<&str> {
    let Auth::Keystone { method, .. } = auth else { return Vec::new() };
    let secret = match method {
        Method::Password { password, .. } => password,
        Method::ApplicationCredential { secret, .. } | Method::NamedApplicationCredential { secret, .. } => secret,
        Method::Token(token) => token,
    };
    vec![secret.reveal()]
}

/// The body of a login (Identity API v3, `POST /v3/auth/tokens`), with its secrets.
pub(super) fn login(auth: &Auth) -> Value {
    let Auth::Keystone { method, scope, .. } = auth else { return Value::Null };
    let identity = match method {
        Method::Password { user: who, password } => {
            let mut user = user(who);
            user["password"] = json!(password.reveal());
            json!({"methods": ["password"], "password": {"user": user}})
        }
        Method::ApplicationCredential { id, secret } => json!({
            "methods": ["application_credential"],
            "application_credential": {"id": id, "secret": secret.reveal()},
        }),
        Method::NamedApplicationCredential { name, user: who, secret } => json!({
            "methods": ["application_credential"],
            "application_credential": {"name": name, "user": user(who), "secret": secret.reveal()},
        }),
        Method::Token(token) => json!({"methods": ["token"], "token": {"id": token.reveal()}}),
    };
    let scope = match scope {
        Scope::Unsaid => None,
        Scope::ProjectId(id) => Some(json!({"project": {"id": id}})),
        Scope::Project(name, of) => Some(json!({"project": {"name": name, "domain": domain(of)}})),
        Scope::Domain(of) => Some(json!({"domain": domain(of)})),
        Scope::System => Some(json!({"system": {"all": true}})),
        Scope::Trust(id) => Some(json!({"OS-TRUST:trust": {"id": id}})),
    };
    let mut auth = json!({"identity": identity});
    if let Some(scope) = scope {
        auth["scope"] = scope;
    }
    json!({"auth": auth})
}

fn user(user: &User) -> Value {
    match user {
        User::Id(id) => json!({"id": id}),
        User::Name(name, of) => json!({"name": name, "domain": domain(of)}),
    }
}

fn domain(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({"id": id}),
        Domain::Name(name) => json!({"name": name}),
    }
}
