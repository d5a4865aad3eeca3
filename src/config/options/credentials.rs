//! `[service_credentials]`: how publishers log in to OpenStack services, by the names of keystoneauth (Ceilometer reference
//! §2.3). The same options hold in every section that an `auth_section` names.

use super::{Kind, Opt, flag, number, one_of, secret, text};

/// The section that is read unless `auth_section` names another.
pub const CREDENTIALS: &str = "service_credentials";

const DEFAULT: &str = "DEFAULT";

pub(super) const ROWS: &[Opt] = &[
    text(
        "gnocchi",
        "auth_section",
        CREDENTIALS,
        "Section with the login of the gnocchi publisher; [gnocchi] itself may have all options of [service_credentials]",
    ),
    text(
        "zaqar",
        "auth_section",
        CREDENTIALS,
        "Section with the login of the zaqar publisher; [zaqar] itself may have all options of [service_credentials]",
    ),
    text(
        CREDENTIALS,
        "auth_type",
        "",
        "Kind of login: password, v3applicationcredential or v3token at Keystone; gnocchi-basic, gnocchi-noauth, none",
    )
    .old(&[(CREDENTIALS, "auth_plugin")]),
    text(
        CREDENTIALS,
        "auth_section",
        "",
        "Section that has the login instead of this one; certificates and region stay here",
    ),
    text(CREDENTIALS, "auth_url", "", "Address of Keystone, with or without /v3"),
    text(CREDENTIALS, "username", "", "Name of the user").old(&[(CREDENTIALS, "user_name")]),
    text(CREDENTIALS, "user_id", "", "ID of the user, instead of name and domain"),
    text(CREDENTIALS, "user_domain_name", "", "Name of the user's domain"),
    text(CREDENTIALS, "user_domain_id", "", "ID of the user's domain"),
    secret(CREDENTIALS, "password", "", "Password of the user"),
    text(CREDENTIALS, "project_name", "", "Name of the project that the login is for")
        .old(&[(CREDENTIALS, "tenant_name")]),
    text(CREDENTIALS, "project_id", "", "ID of the project that the login is for").old(&[(CREDENTIALS, "tenant_id")]),
    text(CREDENTIALS, "project_domain_name", "", "Name of the project's domain"),
    text(CREDENTIALS, "project_domain_id", "", "ID of the project's domain"),
    text(CREDENTIALS, "default_domain_name", "", "Name of the domain of user and project, if theirs is not written"),
    text(CREDENTIALS, "default_domain_id", "", "ID of the domain of user and project, if theirs is not written"),
    text(CREDENTIALS, "domain_name", "", "Name of the domain that the login is for, instead of a project"),
    text(CREDENTIALS, "domain_id", "", "ID of the domain that the login is for, instead of a project"),
    text(CREDENTIALS, "system_scope", "", "The word all, if the login is for the whole system instead of a project"),
    text(CREDENTIALS, "trust_id", "", "ID of the trust that the login is for, instead of a project"),
    text(CREDENTIALS, "application_credential_id", "", "ID of the application credential"),
    text(CREDENTIALS, "application_credential_name", "", "Name of the application credential; requires the user too"),
    secret(CREDENTIALS, "application_credential_secret", "", "Secret of the application credential"),
    secret(CREDENTIALS, "token", "", "Token of auth_type v3token, which Keystone exchanges for another"),
    text(CREDENTIALS, "user", "admin", "User of auth_type gnocchi-basic"),
    text(CREDENTIALS, "roles", "admin", "Roles of auth_type gnocchi-noauth"),
    text(CREDENTIALS, "endpoint", "", "Address of the service, for a login without Keystone")
        .old(&[(CREDENTIALS, "gnocchi_endpoint")]),
    text(CREDENTIALS, "endpoint_override", "", "Address of the service, instead of the one in Keystone's catalogue"),
    one_of(CREDENTIALS, "interface", INTERFACES, "public", "Address of a service in the catalogue that the agent uses")
        .old(&[(CREDENTIALS, "os_endpoint_type")]),
    text(CREDENTIALS, "region_name", "", "Region of the service in the catalogue; without it, the first")
        .old(&[(DEFAULT, "os_region_name")]),
    text(
        CREDENTIALS,
        "cafile",
        "",
        "Authorities by which the agent verifies certificates, in PEM; without it, those of the system",
    )
    .old(&[(CREDENTIALS, "os_cacert"), (DEFAULT, "os_cacert")]),
    text(CREDENTIALS, "certfile", "", "Certificate of the agent, in PEM"),
    text(CREDENTIALS, "keyfile", "", "Key of that certificate, if it is not in the same file"),
    flag(CREDENTIALS, "insecure", "false", "Certificates of servers are not verified"),
    number(CREDENTIALS, "timeout", "60", "Maximum time of one request to Keystone").seconds(),
    flag(CREDENTIALS, "collect_timing", "false", "Measurement of requests by keystoneauth")
        .without_effect("see the metrics of publishers"),
    flag(CREDENTIALS, "split_loggers", "false", "Separate loggers of keystoneauth")
        .without_effect("the agent does not log requests"),
];

const INTERFACES: &[&str] = &["public", "internal", "admin", "publicURL", "internalURL", "adminURL"];

/// The row of an option of `[service_credentials]`, which holds in every section that takes its place.
pub fn credential(name: &str) -> Option<&'static Opt> {
    let is =
        |row: &&Opt| row.section == CREDENTIALS && row.names().any(|(section, n)| section == CREDENTIALS && n == name);
    ROWS.iter().find(is)
}

impl Opt {
    /// The names of an option of `[service_credentials]` in a section that takes its place.
    pub fn names_in<'s>(
        &self,
        section: &'s str,
    ) -> impl DoubleEndedIterator<Item = (&'s str, &'s str)> + Clone + use<'_, 's> {
        let in_section = move |(own, name): (&'static str, &'static str)| {
            if own == CREDENTIALS { (section, name) } else { (own, name) }
        };
        self.names().map(in_section)
    }

    /// Whether it is never printed.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::MultiSecret)
    }
}
