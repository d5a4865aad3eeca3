//! Who publishers are at OpenStack services: tokens of Keystone v3, the catalogue, and logins without Keystone.
//!
//! One [`Identity`] for each section that has a login, shared by all publishers that log in with it: one token for all of
//! them. Whatever Keystone says, nothing is lost: each failure here is [`Answer::Later`], which holds the records and
//! names the section. Never here: what is sent to the service.

mod catalogue;
mod keystone;
mod token;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, StatusCode, Url};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::keystone::Keystone;
use self::token::Token;
use super::outcome::Answer;
use super::web::{Reply, Secrets, Web, WebOptions, reach};
use crate::cluster::hash;
use crate::config::identity::{Auth, Credentials, Interface, Method, User};
use crate::config::settings::Logins;

/// A catalogue in which something was missing is asked for again after so long.
const CATALOGUE_AGE_MIN: Duration = Duration::from_secs(10);

/// How a publisher logs in, or what is wrong with that: a publisher that needs it is not built.
pub type Login = Result<Arc<Identity>, Vec<String>>;

/// A login at OpenStack services.
pub struct Identity {
    credentials: Credentials,
    /// Where there is one.
    keystone: Option<Keystone>,
    /// What a login without Keystone says.
    headers: HeaderMap,
    held: Mutex<Held>,
    secrets: Secrets,
}

/// A service of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Service {
    /// Its types, any of which will do: `metric`.
    pub types: &'static [&'static str],
    /// Its name, if that counts.
    pub name: Option<&'static str>,
}

/// What Keystone said last.
#[derive(Default)]
struct Held {
    token: Option<Arc<Token>>,
    /// Those who asked before that have this answer.
    failed: Option<(Instant, Answer)>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.credentials.section).finish()
    }
}

/// The logins of the settings; publishers that name the same section share one.
pub fn logins(logins: &Logins) -> (Login, Login) {
    let gnocchi = login(&logins.gnocchi);
    match (&gnocchi, &logins.zaqar.credentials) {
        (Ok(shared), Some(zaqar)) if shared.credentials == *zaqar => (gnocchi.clone(), gnocchi),
        _ => (gnocchi, login(&logins.zaqar)),
    }
}

fn login(login: &crate::config::identity::Login) -> Login {
    match &login.credentials {
        Some(credentials) => Identity::new(credentials).map(Arc::new),
        None => Err(login.told()),
    }
}

/// No login, where nothing is configured.
pub(super) fn nobody() -> Login {
    Err(vec!["there is no login for it; write one into [service_credentials]".to_owned()])
}

impl Identity {
    /// A login of a section; what is wrong with its files and addresses if not. Nothing is asked yet.
    pub fn new(credentials: &Credentials) -> Result<Identity, Vec<String>> {
        let keystone = match &credentials.auth {
            Auth::Keystone { url, .. } => Some(Keystone::new(credentials, url)?),
            _ => None,
        };
        let named = |why: String| vec![format!("[{}] {why}", credentials.section)];
        if let Some(address) = credentials.written_address() {
            catalogue::address(address).map_err(named)?;
        }
        let basic = match &credentials.auth {
            Auth::Basic { user, .. } => Some(basic(user)),
            _ => None,
        };
        let secrets = Secrets::default().and(&basic.iter().map(String::as_str).collect::<Vec<_>>());
        let secrets = secrets.and(&keystone::secrets_of(&credentials.auth));
        let headers = headers(&credentials.auth).map_err(named)?;
        Ok(Identity { credentials: credentials.clone(), keystone, headers, held: Mutex::default(), secrets })
    }

    /// A number for this login: another one for another address, user, password or file name.
    pub(super) fn stamp(&self) -> u64 {
        let said = format!("{:?}\n{}", self.credentials, keystone::login(&self.credentials.auth));
        hash::stable(said.as_bytes())
    }

    /// Whether there is a Keystone, which knows projects and has a catalogue.
    pub(super) fn has_keystone(&self) -> bool {
        self.keystone.is_some()
    }

    /// The section that has the login: `service_credentials`.
    pub(super) fn section(&self) -> &str {
        &self.credentials.section
    }

    /// The address of the service that is written in the section, or that its kind of login has without one.
    pub(super) fn fixed_address(&self) -> Option<&str> {
        self.credentials.written_address()
    }

    /// The section and kind of the login, for complaints about what it cannot do: `[service_credentials] auth_type = none`.
    pub(super) fn kind(&self) -> String {
        let kind = match &self.credentials.auth {
            Auth::Keystone { method: Method::Password { .. }, .. } => "password",
            Auth::Keystone { method: Method::Token(_), .. } => "token",
            Auth::Keystone { .. } => "v3applicationcredential",
            Auth::Basic { .. } => "gnocchi-basic",
            Auth::NoAuth { .. } => "gnocchi-noauth",
            Auth::None { .. } => "none",
        };
        format!("[{}] auth_type = {kind}", self.credentials.section)
    }

    /// Who logs in, for complaints about rights: `user ceilometer of [service_credentials]`.
    pub(super) fn who(&self) -> String {
        let name = |user: &User| match user {
            User::Name(name, _) => format!("user {name}"),
            User::Id(id) => format!("user {id} (an id)"),
        };
        let who = match &self.credentials.auth {
            Auth::Keystone { method: Method::Password { user, .. }, .. }
            | Auth::Keystone { method: Method::NamedApplicationCredential { user, .. }, .. } => name(user),
            Auth::Keystone { method: Method::ApplicationCredential { id, .. }, .. } => {
                format!("the user of application credential {id}")
            }
            Auth::Keystone { method: Method::Token(_), .. } => "the user of the token".to_owned(),
            Auth::Basic { user, .. } => format!("user {user}"),
            Auth::NoAuth { user_id, .. } => format!("user {user_id}"),
            Auth::None { .. } => "a user without a name".to_owned(),
        };
        format!("{who} of [{}]", self.section())
    }

    /// The address of Keystone, if there is one.
    pub(super) fn keystone(&self) -> Option<&str> {
        self.keystone.as_ref().map(|keystone| keystone.url().as_str())
    }

    /// A client for the service, by the files of the section (authorities, certificate, `insecure`), for http and https
    /// alike. What servers say is shown without `secrets` and those of the section.
    pub(super) fn web(&self, timeout: Duration, link_local: bool, secrets: Secrets) -> Result<Web, Vec<String>> {
        let mut options = WebOptions::of_credentials(&self.credentials);
        options.timeout = timeout;
        options.link_local = link_local;
        let address = self.credentials.written_address().and_then(|address| catalogue::address(address).ok());
        if address.is_some_and(|address| !options.allows(&address)) {
            let section = &self.credentials.section;
            return Err(vec![format!(
                "[{section}] the service's address is a link-local one; write link_local=true into the URL if that is meant"
            )]);
        }
        let secrets = secrets.and(&self.secrets.values());
        Web::to_anywhere(&options, secrets).map_err(|all| keystone::by_our_names(&self.credentials.section, all))
    }

    /// Address of a service: what is written in the section, else the catalogue's. Its path has no slash at the end
    /// (but for an empty path).
    pub(super) async fn endpoint(&self, service: &Service) -> Result<Url, Answer> {
        if let Some(address) = self.credentials.written_address() {
            return catalogue::address(address).map_err(|why| self.later(why));
        }
        let token = self.token().await?;
        let (interface, region) = (self.credentials.interface, self.credentials.region.as_deref());
        match token.catalogue.find(service, interface, region) {
            Ok(url) => Ok(url),
            Err(why) => {
                // Somebody may add it.
                self.forget(&token, CATALOGUE_AGE_MIN).await;
                Err(self.later(why))
            }
        }
    }

    /// Sends a request to a service and reads the answer, at most `bytes_max` of its body. Where the service does not know
    /// the token any more (401), there is a new one, once.
    pub(super) async fn ask(&self, web: &Web, request: RequestBuilder, bytes_max: usize) -> Result<Reply, Answer> {
        let Some(first) = request.try_clone() else {
            return Err(Answer::Never { cause: "the request cannot be repeated".to_owned() });
        };
        if !self.has_keystone() {
            let request = request.headers(self.headers.clone());
            return web.ask(request, bytes_max).await.map_err(|answer| self.hide(answer));
        }
        let token = self.token().await?;
        let reply = web.ask(first.headers(token.headers()), bytes_max).await.map_err(|answer| self.hide(answer))?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(token.hide(reply, &self.secrets));
        }
        self.forget(&token, Duration::ZERO).await;
        let token = self.token().await?;
        let reply = web.ask(request.headers(token.headers()), bytes_max).await.map_err(|answer| self.hide(answer))?;
        Ok(token.hide(reply, &self.secrets))
    }

    /// The id of a project, which is named in a domain (by name, or by id); nothing if there is none.
    pub(super) async fn project_id(&self, domain: &str, name: &str) -> Result<Option<String>, Answer> {
        let Some(keystone) = &self.keystone else {
            return Err(self.later("its auth_type has no Keystone that could tell the id of a project"));
        };
        keystone.project_id(self, domain, name).await
    }

    /// Whether Keystone, or the one fixed address, can be reached.
    pub(super) async fn reach(&self) -> Result<(), String> {
        match &self.keystone {
            Some(keystone) => reach(keystone.url()).await.map_err(|why| format!("Keystone: {why}")),
            None => Ok(()),
        }
    }

    /// The token of now; one for all who ask at the same time.
    async fn token(&self) -> Result<Arc<Token>, Answer> {
        let Some(keystone) = &self.keystone else {
            return Err(self.later("its auth_type knows no tokens"));
        };
        let asked = Instant::now();
        let mut held = self.held.lock().await;
        if let Some(token) = held.token.as_ref().filter(|token| token.lasts()) {
            return Ok(Arc::clone(token));
        }
        if let Some((when, answer)) = &held.failed
            && *when >= asked
        {
            return Err(answer.clone());
        }
        match keystone.log_in(&self.credentials).await {
            Ok(token) => {
                let token = Arc::new(token);
                *held = Held { token: Some(Arc::clone(&token)), failed: None };
                Ok(token)
            }
            Err(answer) => {
                // Keystone's words come without secrets already; ours must stay whole, whatever the password is.
                *held = Held { token: None, failed: Some((Instant::now(), answer.clone())) };
                Err(answer)
            }
        }
    }

    /// Takes this token for nothing from now on, if it is at least so old; whoever has another by now keeps that.
    async fn forget(&self, used: &Arc<Token>, age_min: Duration) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().is_some_and(|token| Arc::ptr_eq(token, used)) && used.age() >= age_min {
            held.token = None;
        }
    }

    /// Nothing is taken now; the section is at fault, or what it leads to.
    fn later(&self, why: impl fmt::Display) -> Answer {
        Answer::Later { cause: format!("[{}]: {why}", self.credentials.section), after: None }
    }

    /// Whatever was said, without the secrets of the section.
    fn hide(&self, answer: Answer) -> Answer {
        let hidden = |cause: String| self.secrets.hidden_in(&cause);
        match answer {
            Answer::Taken => Answer::Taken,
            Answer::Later { cause, after } => Answer::Later { cause: hidden(cause), after },
            Answer::Some { refused, cause } => Answer::Some { refused, cause: hidden(cause) },
            Answer::NotThese { cause } => Answer::NotThese { cause: hidden(cause) },
            Answer::Never { cause } => Answer::Never { cause: hidden(cause) },
        }
    }
}

/// What a login without Keystone says with each request.
fn headers(auth: &Auth) -> Result<HeaderMap, String> {
    let said: Vec<(HeaderName, &str, String)> = match auth {
        Auth::Basic { user, .. } => vec![(AUTHORIZATION, "user", format!("Basic {}", basic(user)))],
        Auth::NoAuth { user_id, project_id, roles, .. } => vec![
            (HeaderName::from_static("x-user-id"), "user_id", user_id.clone()),
            (HeaderName::from_static("x-project-id"), "project_id", project_id.clone()),
            (HeaderName::from_static("x-roles"), "roles", roles.clone()),
        ],
        Auth::Keystone { .. } | Auth::None { .. } => Vec::new(),
    };
    let header = |(name, option, value): (HeaderName, &str, String)| {
        let mut value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| format!("{option} has a character that cannot stand in an HTTP header; write another"))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    said.into_iter().map(header).collect()
}

fn basic(user: &str) -> String {
    BASE64_STANDARD.encode(format!("{user}:"))
}

#[cfg(test)]
mod tests;
