//! Examines a configuration on this machine: everything that would keep an agent from starting, found without starting one.
//!
//! `run` refuses what `check` reports, with the same lines.
//!
//! Never here: a connection, a new file, a socket that listens.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;

use super::ConfigArguments;
use crate::agent::definitions;
use crate::config::Settings;
use crate::config::broker::rabbit::Tls;
use crate::config::broker::transport_url::TransportUrl;
use crate::config::files::appendable;
use crate::model::{Complaint, Severity};
use crate::observe::logs::{self, LogError};
use crate::pipeline::Plan;
use crate::publish;
use crate::tls;

/// An examined configuration.
pub(super) struct Examined {
    /// The settings; they must not be used if a complaint is an error.
    pub settings: Option<Settings>,
    /// All complaints, in the order of their places.
    pub complaints: Vec<Complaint>,
}

impl Examined {
    /// Reads the configuration and everything that it names.
    pub(super) fn of(config: &ConfigArguments) -> Examined {
        let (settings, mut complaints) = config.load();
        if let Some(settings) = &settings {
            complaints.extend(definitions::check(settings, &|url| another_broker(settings, url)));
            complaints.extend(brokers(settings));
            complaints.extend(etcd(settings));
            complaints.extend(observing(settings));
        }
        sort(&mut complaints);
        Examined { settings, complaints }
    }

    /// The settings, if nothing keeps the agent from starting.
    pub(super) fn accepted(self) -> Result<(Settings, Vec<Complaint>), Vec<Complaint>> {
        let wrong = self.complaints.iter().any(|complaint| complaint.severity == Severity::Error);
        match self.settings {
            Some(settings) if !wrong => Ok((settings, self.complaints)),
            _ => Err(self.complaints),
        }
    }
}

/// The warnings about definitions, pipelines and publishers, which a reload gives too.
pub(super) fn warnings(settings: &Settings) -> Vec<Complaint> {
    let mut complaints = definitions::check(settings, &|url| another_broker(settings, url));
    complaints.retain(|complaint| complaint.severity == Severity::Warning);
    complaints
}

/// In the order of places, each once.
pub(super) fn sort(complaints: &mut Vec<Complaint>) {
    complaints.sort_by(|a, b| (&a.place, &a.text).cmp(&(&b.place, &b.text)));
    complaints.dedup();
}

/// What only a running agent can tell, each as the end of the sentence "not checked: whether …".
pub(super) fn not_looked_at(settings: &Settings) -> Vec<String> {
    let mut left_out: Vec<String> = Vec::new();
    let mut brokers: Vec<&TransportUrl> = settings.intake.urls.iter().collect();
    if !brokers.contains(&&settings.transport) {
        brokers.push(&settings.transport);
    }
    for broker in brokers {
        left_out
            .push(format!("{broker} answers, takes the login and has no other kinds of these exchanges and queues"));
    }
    if let Some(etcd) = settings.cluster.backend.as_ref().filter(|_| settings.cluster.workload_partitioning) {
        let member = &settings.cluster.member_id;
        left_out.push(format!("{etcd} answers and takes the login, and no other member is called {member}"));
    }
    let plans = definitions::plans(settings);
    let publishers = plans.iter().flat_map(|plan| &plan.sinks).flat_map(|sink| &sink.publishers);
    let servers: BTreeSet<String> =
        publishers.filter(|publisher| names_a_server(&publisher.url)).map(|p| publish::shown(&p.url)).collect();
    left_out.extend(servers.into_iter().map(|server| format!("{server} answers")));
    left_out.extend(services(settings, &plans));
    if let Some(address) = settings.observing.listen {
        left_out.push(format!("{address} is free to listen at"));
    }
    let user =
        std::fs::metadata("/proc/self").map_or_else(|_| "this user".to_owned(), |own| format!("uid {}", own.uid()));
    left_out.push(format!("another user or machine has these files and rights: they were looked at here, by {user}"));
    left_out
}

/// The same of the services that publishers find by a login, and of the logins.
fn services(settings: &Settings, plans: &[Plan]) -> Vec<String> {
    let publishers = || plans.iter().flat_map(|plan| &plan.sinks).flat_map(|sink| &sink.publishers);
    let is_used = |scheme: &str| publishers().any(|publisher| scheme_of(&publisher.url).eq_ignore_ascii_case(scheme));
    let logins = &settings.logins;
    let known = [
        (
            "gnocchi",
            "Gnocchi",
            &logins.gnocchi,
            "takes the login, and has the resource types that samples need (`nephoscope gnocchi-setup --dry-run` asks it)",
        ),
        ("zaqar", "Zaqar", &logins.zaqar, "takes the login"),
    ];
    let (mut keystones, mut services) = (BTreeSet::new(), Vec::new());
    for (scheme, name, login, does) in known {
        let Some(credentials) = login.credentials.as_ref().filter(|_| is_used(scheme)) else { continue };
        let section = &credentials.section;
        if let Some(keystone) = credentials.keystone() {
            let keystone = publish::shown(keystone);
            keystones.insert(format!("Keystone at {keystone} answers and takes the login of [{section}]"));
        }
        let place = match credentials.written_address() {
            Some(address) => publish::shown(address),
            None => "the address in Keystone's catalogue".to_owned(),
        };
        services.push(format!("{name} at {place} answers, {does}"));
    }
    keystones.into_iter().chain(services).collect()
}

fn scheme_of(url: &str) -> &str {
    url.split_once("://").map_or(url, |(scheme, _)| scheme)
}

/// Whether a publisher's URL has a host that is connected to.
fn names_a_server(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    // The host of gnocchi:// and zaqar:// says nothing: a login leads to them.
    !matches!(scheme, "file" | "test" | "gnocchi" | "zaqar") && !rest.is_empty() && !rest.starts_with('?')
}

/// What is wrong with a broker that a publisher names.
fn another_broker(settings: &Settings, url: &str) -> Result<(), Vec<String>> {
    let url = settings.transport_url(url).map_err(|expected| vec![format!("expected {expected}")])?;
    let wrong: Vec<String> =
        url.rabbit.tls.iter().flat_map(|of| tls_files(of, &tls::RABBITMQ)).map(|(_, text)| text).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// What is wrong with the files of a TLS client, each with the option that names it.
fn tls_files<'w>(of: &Tls, words: &'w tls::Words) -> Vec<(&'w str, String)> {
    let files = tls::Files {
        authority: of.ca_file.as_deref(),
        certificate: of.cert_file.as_deref(),
        key: of.key_file.as_deref(),
    };
    let options = [words.authority, words.certificate, words.key];
    // "cannot read ssl_ca_file …": every complaint names its option there.
    let option = |text: &str| {
        let named = text.split(' ').nth(2);
        options.into_iter().find(|option| named == Some(option)).unwrap_or(words.authority)
    };
    let complaints = files.check(words).err().unwrap_or_default();
    complaints.into_iter().map(|text| (option(&text), text)).collect()
}

/// The files of TLS to the brokers: those of the section once, those of a URL's query where the URL is written.
fn brokers(settings: &Settings) -> Vec<Complaint> {
    const SECTION: &str = "oslo_messaging_rabbit";
    let urls = settings.intake.urls.iter().chain([&settings.transport]);
    let mut complaints = Vec::new();
    for (url, of) in urls.filter_map(|url| Some((url, url.rabbit.tls.as_ref()?))) {
        for (option, text) in tls_files(of, &tls::RABBITMQ) {
            let written = settings.place(SECTION, option);
            if written.line > 0 {
                complaints.push(Complaint::error(&written, format!("[{SECTION}] {text}")));
            } else {
                complaints.push(Complaint::error(&settings.place_of(url), format!("{url}: {text}")));
            }
        }
    }
    complaints
}

/// The same of etcd.
fn etcd(settings: &Settings) -> Vec<Complaint> {
    let cluster = &settings.cluster;
    let client = cluster.backend.as_ref().filter(|_| cluster.workload_partitioning).and_then(|url| url.tls.as_ref());
    let place = settings.place("coordination", "backend_url");
    let complain = |(_, text)| Complaint::error(&place, format!("[coordination] backend_url: {text}"));
    client.into_iter().flat_map(|of| tls_files(of, &tls::ETCD)).map(complain).collect()
}

/// Logs and the address of the metrics page.
fn observing(settings: &Settings) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let observing = &settings.observing;
    if let Err(error) = logs::check_level(&observing.log_level) {
        complaints.push(Complaint::error(&settings.place("nephoscope", "log_level"), error.to_string()));
    }
    if let Some(file) = &observing.log_file
        && let Err(cause) = appendable(file)
    {
        let named = settings.place("DEFAULT", "log_file");
        let place = if named.line > 0 { named } else { settings.place("DEFAULT", "log_dir") };
        complaints.push(Complaint::error(&place, LogError::File { file: file.clone(), cause }.to_string()));
    }
    if let Some(address) = observing.listen
        && let Err(cause) = is_local(address)
    {
        let text = format!(
            "[nephoscope] listen = {address}: cannot listen there: {cause}; write an address of this machine, or 0.0.0.0 for all"
        );
        complaints.push(Complaint::error(&settings.place("nephoscope", "listen"), text));
    }
    complaints
}

/// Whether an address is one of this machine: a socket that takes nothing can be bound to it, at any port.
fn is_local(address: SocketAddr) -> io::Result<()> {
    UdpSocket::bind((address.ip(), 0)).map(drop)
}
