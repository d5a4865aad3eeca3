//! The logins of publishers at OpenStack services: the section that `[gnocchi] auth_section` names, as keystoneauth reads it
//! (Ceilometer reference §2.3).
//!
//! Never here: a request.

mod read;

pub(super) use read::read;

use super::Secret;
use crate::model::Complaint;
use std::path::PathBuf;
use std::time::Duration;

/// The login of one publisher, and what is wrong with it: errors where a sink has that publisher.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// Nothing where something is wrong.
    pub credentials: Option<Credentials>,
    /// What is wrong, and what to write.
    pub complaints: Vec<Complaint>,
}

/// For one request to Keystone, where the section has no `timeout`.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// The file of what is written nowhere.
const NOWHERE: &str = "configuration";

impl Login {
    /// What is wrong, in words: with file and line where there are any.
    pub fn told(&self) -> Vec<String> {
        let told = |complaint: &Complaint| match &*complaint.place.file {
            NOWHERE => complaint.text.clone(),
            _ => complaint.to_string(),
        };
        self.complaints.iter().map(told).collect()
    }
}

/// What one section says.
#[derive(Debug, Clone, PartialEq)]
pub struct Credentials {
    /// The name of the section, for complaints: `service_credentials`.
    pub section: String,
    /// Who logs in, and where.
    pub auth: Auth,
    /// Which of a service's addresses is used.
    pub interface: Interface,
    /// Region of the service; `None`: the first that the catalogue names.
    pub region: Option<String>,
    /// Address of the service, whatever the catalogue says.
    pub endpoint_override: Option<String>,
    /// Authorities, in PEM; `None`: those of the system.
    pub cafile: Option<PathBuf>,
    /// Our certificate, in PEM.
    pub certfile: Option<PathBuf>,
    /// Its key, where it is in another file.
    pub keyfile: Option<PathBuf>,
    /// Whether certificates of servers are not checked.
    pub insecure: bool,
    /// For one request to Keystone, with its answer; `None`: it is not written, and [`TIMEOUT`] holds.
    pub timeout: Option<Duration>,
}

impl Credentials {
    /// The address of the service that is written in the section, whatever a catalogue says.
    pub fn written_address(&self) -> Option<&str> {
        let fixed = match &self.auth {
            Auth::Basic { endpoint, .. } | Auth::NoAuth { endpoint, .. } | Auth::None { endpoint } => Some(endpoint),
            Auth::Keystone { .. } => None,
        };
        self.endpoint_override.as_ref().or(fixed).map(String::as_str)
    }

    /// The address of Keystone, if there is one.
    pub fn keystone(&self) -> Option<&str> {
        match &self.auth {
            Auth::Keystone { url, .. } => Some(url),
            _ => None,
        }
    }
}

/// Kinds of login, named by `auth_type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// A token of Keystone v3: `password`, `v3password`, `v3applicationcredential`, `token`, `v3token`.
    Keystone {
        /// Its address; ends with `/v3`.
        url: String,
        /// Who logs in.
        method: Method,
        /// What the login is for.
        scope: Scope,
    },
    /// `gnocchi-basic`: a name without a password.
    Basic {
        /// The name.
        user: String,
        /// Address of the service.
        endpoint: String,
    },
    /// `gnocchi-noauth`: headers that the service believes.
    NoAuth {
        /// `X-User-Id`.
        user_id: String,
        /// `X-Project-Id`.
        project_id: String,
        /// `X-Roles`.
        roles: String,
        /// Address of the service.
        endpoint: String,
    },
    /// `none`, `noauth`: nothing is said.
    None {
        /// Address of the service.
        endpoint: String,
    },
}

/// Who logs in at Keystone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// A user with a password.
    Password {
        /// The user.
        user: User,
        /// The password.
        password: Secret,
    },
    /// An application credential, named by its id.
    ApplicationCredential {
        /// Its id.
        id: String,
        /// Its secret.
        secret: Secret,
    },
    /// An application credential, named by its name and its user.
    NamedApplicationCredential {
        /// Its name.
        name: String,
        /// Whose it is.
        user: User,
        /// Its secret.
        secret: Secret,
    },
    /// A token, for which Keystone gives another.
    Token(Secret),
}

/// A user of Keystone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// By id.
    Id(String),
    /// By name, which is unique in its domain.
    Name(String, Domain),
}

/// A domain of Keystone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// What a login is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Whatever Keystone gives: the user's default project, or the project of an application credential.
    Unsaid,
    /// A project by id.
    ProjectId(String),
    /// A project by name, which is unique in its domain.
    Project(String, Domain),
    /// A domain.
    Domain(Domain),
    /// The whole system.
    System,
    /// What a trust allows.
    Trust(String),
}

/// Which of a service's addresses is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// For everybody.
    #[default]
    Public,
    /// For services.
    Internal,
    /// For operators.
    Admin,
}

impl Interface {
    /// As catalogues have it.
    pub fn name(self) -> &'static str {
        match self {
            Interface::Public => "public",
            Interface::Internal => "internal",
            Interface::Admin => "admin",
        }
    }
}
