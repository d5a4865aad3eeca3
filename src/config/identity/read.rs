//! Reads a section into [`Credentials`], and reports all errors at once.

use super::{Auth, Credentials, Domain, Interface, Login, Method, NOWHERE, Scope, User};
use crate::config::options::{self, CREDENTIALS, Opt};
use crate::config::oslo::Entry;
use crate::config::secret::{Secret, shown};
use crate::config::values::{Values, expectation, parse_flag};
use crate::model::{Complaint, Place};
use std::path::PathBuf;
use std::time::Duration;

/// Kinds of login, as `auth_type` names them.
const KINDS: &str =
    "password, v3password, v3applicationcredential, token, v3token, gnocchi-basic, gnocchi-noauth or none";
/// The longest `timeout`, in seconds.
const TIMEOUT_S_MAX: f64 = 3600.0;
/// The shortest, in seconds.
const TIMEOUT_S_MIN: f64 = 0.001;

/// The login of the publisher `whose`, in the section that its `auth_section` names.
pub(in crate::config) fn read(v: &mut Values<'_>, whose: &'static str) -> Login {
    let section = v.text(whose, "auth_section").unwrap_or_else(|| CREDENTIALS.to_owned()).trim().to_owned();
    let mut reading = Reading { section: section.clone(), login: section, complaints: Vec::new(), v };
    if let Some(login) = reading.text("auth_section") {
        reading.login = login;
    }
    if reading.is_empty() {
        reading.nothing(whose);
        return Login { credentials: None, complaints: reading.complaints };
    }
    let credentials = reading.credentials();
    // Once, though publishers may share a section.
    if whose == "gnocchi" && matches!(credentials, Some(Credentials { auth: Auth::Basic { .. }, .. })) {
        reading
            .warn_of_unused(&["username", "password"], "gnocchi-basic knows a user without a password; write user = …");
    }
    let complaints = reading.complaints;
    Login { credentials: credentials.filter(|_| complaints.is_empty()), complaints }
}

/// Two sections while they are read: mostly one and the same.
struct Reading<'r, 'w> {
    /// Has certificates, region and interface.
    section: String,
    /// Has the login.
    login: String,
    complaints: Vec<Complaint>,
    v: &'r mut Values<'w>,
}

impl Reading<'_, '_> {
    fn credentials(&mut self) -> Option<Credentials> {
        let (cafile, certfile, keyfile) = (self.session("cafile"), self.session("certfile"), self.session("keyfile"));
        if keyfile.is_some() && certfile.is_none() {
            self.wrong(&self.section.clone(), "keyfile", "certfile beside it, or certfile alone with the key in it");
        }
        let interface = match self.session("interface").as_deref() {
            Some("internal" | "internalURL") => Interface::Internal,
            Some("admin" | "adminURL") => Interface::Admin,
            Some("public" | "publicURL") | None => Interface::Public,
            Some(_) => {
                let expected = options::credential("interface").map(|row| expectation(row.kind));
                self.wrong(&self.section.clone(), "interface", &expected.unwrap_or_default());
                Interface::Public
            }
        };
        let insecure = self.session("insecure").is_some_and(|text| {
            parse_flag(&text).unwrap_or_else(|| {
                self.wrong(&self.section.clone(), "insecure", "true or false");
                false
            })
        });
        let seconds = self.session("timeout").and_then(|text| {
            let seconds = text.trim().parse().ok().filter(|s| (TIMEOUT_S_MIN..=TIMEOUT_S_MAX).contains(s));
            if seconds.is_none() {
                let expected = format!("seconds from {TIMEOUT_S_MIN} to {TIMEOUT_S_MAX}");
                self.wrong(&self.section.clone(), "timeout", &expected);
            }
            seconds
        });
        let (region, endpoint_override) = (self.session("region_name"), self.session("endpoint_override"));
        if let Some(url) = &endpoint_override {
            self.url(&self.section.clone(), "endpoint_override", url);
        }
        let auth = self.auth();
        Some(Credentials {
            section: self.login.clone(),
            auth: auth?,
            interface,
            region,
            endpoint_override,
            cafile: cafile.map(PathBuf::from),
            certfile: certfile.map(PathBuf::from),
            keyfile: keyfile.map(PathBuf::from),
            insecure,
            timeout: seconds.map(Duration::from_secs_f64),
        })
    }

    fn auth(&mut self) -> Option<Auth> {
        let kind = self.text("auth_type");
        match kind.as_deref() {
            Some("password" | "v3password") => {
                let (user, password) = (self.user(), self.needed("password"));
                let password = password.map(Secret::new);
                self.keystone(user.zip(password).map(|(user, password)| Method::Password { user, password }))
            }
            Some("v3applicationcredential") => {
                let method = self.application_credential();
                self.keystone(method)
            }
            Some("token" | "v3token") => {
                let token = self.needed("token").map(Secret::new);
                self.keystone(token.map(Method::Token))
            }
            Some("gnocchi-basic") => {
                let user = self.text("user").unwrap_or_else(|| "admin".to_owned());
                let endpoint = self.text("endpoint").unwrap_or_else(|| "http://localhost:8041".to_owned());
                self.url(&self.login.clone(), "endpoint", &endpoint);
                Some(Auth::Basic { user, endpoint })
            }
            Some("gnocchi-noauth") => {
                let (user_id, project_id) = (self.needed("user_id"), self.needed("project_id"));
                let roles = self.text("roles").unwrap_or_else(|| "admin".to_owned());
                let endpoint = self.endpoint();
                Some(Auth::NoAuth { user_id: user_id?, project_id: project_id?, roles, endpoint: endpoint? })
            }
            Some("none" | "noauth") => {
                let or = self.session("endpoint_override");
                Some(Auth::None { endpoint: or.or_else(|| self.endpoint())? })
            }
            Some(_) => {
                self.wrong(&self.login.clone(), "auth_type", KINDS);
                None
            }
            None => {
                let likely = if self.text("application_credential_secret").is_some() {
                    "v3applicationcredential"
                } else {
                    "password"
                };
                self.missing("auth_type", &format!("auth_type = {likely}, or another of {KINDS}"));
                None
            }
        }
    }

    fn keystone(&mut self, method: Option<Method>) -> Option<Auth> {
        let (url, scope) = (self.auth_url(), self.scope());
        let (url, scope, method) = (url?, scope?, method?);
        let is_bound =
            matches!(method, Method::ApplicationCredential { .. } | Method::NamedApplicationCredential { .. });
        // An application credential has its own project; Keystone refuses another word about it.
        Some(Auth::Keystone { url, method, scope: if is_bound { Scope::Unsaid } else { scope } })
    }

    fn auth_url(&mut self) -> Option<String> {
        let auth_url = self.needed("auth_url")?;
        self.url(&self.login.clone(), "auth_url", &auth_url);
        let url = auth_url.trim_end_matches('/');
        if url.ends_with("/v2.0") {
            let instead = format!("{}/v3, as Keystone speaks v3 only", shown(url.trim_end_matches("/v2.0")));
            self.wrong(&self.login.clone(), "auth_url", &instead);
        }
        Some(if url.ends_with("/v3") { url.to_owned() } else { format!("{url}/v3") })
    }

    fn application_credential(&mut self) -> Option<Method> {
        let secret = self.needed("application_credential_secret").map(Secret::new);
        if let Some(id) = self.text("application_credential_id") {
            return Some(Method::ApplicationCredential { id, secret: secret? });
        }
        let Some(name) = self.text("application_credential_name") else {
            self.missing(
                "application_credential_id",
                "application_credential_id, or application_credential_name with the user",
            );
            return None;
        };
        Some(Method::NamedApplicationCredential { name, user: self.user()?, secret: secret? })
    }

    fn user(&mut self) -> Option<User> {
        if let Some(id) = self.text("user_id") {
            return Some(User::Id(id));
        }
        let name = self.needed("username");
        let Some(domain) = self.domain("user_domain", true) else {
            self.missing("user_domain_name", "user_domain_name = Default, or the domain of the user");
            return None;
        };
        Some(User::Name(name?, domain))
    }

    fn domain(&mut self, of: &str, or_default: bool) -> Option<Domain> {
        let id = self.text(&format!("{of}_id")).map(Domain::Id);
        let own = id.or_else(|| self.text(&format!("{of}_name")).map(Domain::Name));
        own.or_else(|| if or_default { self.domain("default_domain", false) } else { None })
    }

    fn scope(&mut self) -> Option<Scope> {
        let project = match (self.text("project_id"), self.text("project_name")) {
            (Some(id), _) => Some(Scope::ProjectId(id)),
            (None, Some(name)) => {
                let Some(domain) = self.domain("project_domain", true) else {
                    self.missing("project_domain_name", "project_domain_name = Default, or the domain of the project");
                    return None;
                };
                Some(Scope::Project(name, domain))
            }
            (None, None) => None,
        };
        let system = self.text("system_scope");
        if system.as_deref().is_some_and(|scope| scope != "all") {
            self.wrong(&self.login.clone(), "system_scope", "all");
        }
        let scopes = [
            project,
            self.domain("domain", false).map(Scope::Domain),
            system.map(|_| Scope::System),
            self.text("trust_id").map(Scope::Trust),
        ];
        let mut scopes = scopes.into_iter().flatten();
        let scope = scopes.next().unwrap_or(Scope::Unsaid);
        if scopes.next().is_some() {
            let text = format!(
                "[{}] says for several things at once what the login is for; write only one of project_name, \
                 domain_name, system_scope and trust_id",
                shown(&self.login)
            );
            self.complaints.push(Complaint::error(&self.place(&self.login, "auth_type"), text));
        }
        Some(scope)
    }

    fn endpoint(&mut self) -> Option<String> {
        let endpoint = self.needed("endpoint")?;
        self.url(&self.login.clone(), "endpoint", &endpoint);
        Some(endpoint)
    }

    /// Complains about what is no address. What is wrong with it in detail shows when it is used.
    fn url(&mut self, section: &str, name: &str, url: &str) {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        match host {
            Some(host) if host.contains('@') => {
                self.wrong(section, name, "an address without a user; write the login into options of its own");
            }
            Some(host) if !host.is_empty() && !url.contains(char::is_whitespace) => {}
            _ => self.wrong(section, name, "an address, http://host[:port] or https://host[:port]"),
        }
    }

    /// An option of the login.
    fn text(&mut self, name: &str) -> Option<String> {
        // The section that names another has that name to itself.
        let section = if name == "auth_section" { self.section.clone() } else { self.login.clone() };
        self.value(&section, name)
    }

    /// An option of the section that is not the login's.
    fn session(&mut self, name: &str) -> Option<String> {
        self.value(&self.section.clone(), name)
    }

    fn value(&mut self, section: &str, name: &str) -> Option<String> {
        let entry = self.entry(section, name)?;
        Some(self.v.resolved_in(section, &entry)).filter(|text| !text.trim().is_empty())
    }

    fn needed(&mut self, name: &str) -> Option<String> {
        let text = self.text(name);
        if text.is_none() {
            self.missing(name, &format!("{name} = …"));
        }
        text
    }

    fn entry(&self, section: &str, name: &str) -> Option<Entry> {
        self.v.file_options().last(row(name)?.names_in(section)).cloned()
    }

    /// Warns of options of other kinds of login.
    fn warn_of_unused(&mut self, names: &[&str], why: &str) {
        for name in names {
            if let Some(entry) = self.entry(&self.login, name) {
                let text = format!("[{}] {name} has no effect: auth_type = {why}", shown(&self.login));
                self.v.complain(Complaint::warning(&entry.place, text));
            }
        }
    }

    fn place(&self, section: &str, name: &str) -> Place {
        let nowhere = || Place { file: NOWHERE.into(), line: 0 };
        self.entry(section, name).map(|entry| entry.place).or_else(|| self.start(section)).unwrap_or_else(nowhere)
    }

    /// Where a section begins.
    fn start(&self, section: &str) -> Option<Place> {
        let mut places = self.v.file_options().sections();
        places.find(|(name, ..)| name.eq_ignore_ascii_case(section)).map(|(_, place, _)| place.clone())
    }

    /// Whether nobody has written anything there.
    fn is_empty(&self) -> bool {
        let login = self.login.to_ascii_lowercase();
        !self.v.file_options().iter().any(|(section, name, _)| section == login && row(name).is_some())
    }

    fn nothing(&mut self, whose: &str) {
        let login = shown(&self.login);
        let text = format!(
            "[{login}] has no login, and {whose}:// needs one; write into it auth_type = password, auth_url = \
             https://keystone:5000/v3, username = ceilometer, password = …, user_domain_name = Default, project_name = \
             service and project_domain_name = Default, or name another section with [{whose}] auth_section"
        );
        self.complaints.push(Complaint::error(&self.place(&self.login, "auth_type"), text));
    }

    fn missing(&mut self, name: &str, write: &str) {
        let text = format!("[{}] {name} is missing; write {write}", shown(&self.login));
        self.complaints.push(Complaint::error(&self.place(&self.login, name), text));
    }

    fn wrong(&mut self, section: &str, name: &str, expected: &str) {
        let value = match (self.value(section, name), row(name)) {
            (Some(_), Some(row)) if row.is_secret() => "***".to_owned(),
            (value, _) => format!("{:?}", shown(&value.unwrap_or_default())),
        };
        let text = format!("[{}] {name} = {value}: expected {expected}", shown(section));
        self.complaints.push(Complaint::error(&self.place(section, name), text));
    }
}

fn row(name: &str) -> Option<&'static Opt> {
    options::credential(name)
}
