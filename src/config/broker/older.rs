//! The broker, as releases before `transport_url` name it: `rabbit_hosts` and its family (oslo.messaging up to 8).

use super::host::{Host, PORT, host_name};
use crate::config::secret::Secret;
use crate::config::values::Values;
use crate::model::Complaint;
use crate::model::shown::name_shown;

const SECTION: &str = "oslo_messaging_rabbit";

/// The options that together name the broker.
pub(in crate::config) const NAMES: [&str; 6] =
    ["rabbit_hosts", "rabbit_host", "rabbit_port", "rabbit_userid", "rabbit_password", "rabbit_virtual_host"];

/// Hosts and virtual host, if any of the options has a value. Those that have none mean what they meant then:
/// `guest:guest@localhost:5672`. No hosts where any of it is wrong.
pub(in crate::config) fn broker(v: &mut Values<'_>) -> Option<(Vec<Host>, String)> {
    if names_in_use(v).is_empty() {
        return None;
    }
    let port = match v.text(SECTION, "rabbit_port") {
        Some(_) => u16::try_from(v.whole(SECTION, "rabbit_port")).unwrap_or(PORT),
        None => PORT,
    };
    let text = |v: &mut Values<'_>, name, default: &str| v.text(SECTION, name).unwrap_or_else(|| default.to_owned());
    let user = (text(v, "rabbit_userid", "guest"), Secret::new(text(v, "rabbit_password", "guest")));
    let hosts: Vec<String> = v.list(SECTION, "rabbit_hosts").into_iter().filter(|host| !host.is_empty()).collect();
    let (name, hosts) = if hosts.is_empty() {
        ("rabbit_host", vec![text(v, "rabbit_host", "localhost")])
    } else {
        ("rabbit_hosts", hosts)
    };
    let mut read = Vec::new();
    for host in &hosts {
        match place(host, port) {
            Ok((name, port)) => read.push(Host { name, port, user: Some(user.clone()) }),
            Err(why) => v.expected(SECTION, name, &why),
        }
    }
    let vhost = text(v, "rabbit_virtual_host", "/");
    // A name that looks like a URL would be shown, password and all.
    let is_url = |text: &str| text.contains("://") || text.contains('@') && text.contains(':');
    let (no_user, no_vhost) = (is_url(&user.0), is_url(&vhost));
    if no_user {
        v.expected(SECTION, "rabbit_userid", "the name of a user");
    }
    if no_vhost {
        v.expected(SECTION, "rabbit_virtual_host", "the name of a virtual host");
    }
    if read.len() < hosts.len() || no_user || no_vhost {
        read.clear();
    }
    Some((read, vhost))
}

/// Which of the options have a value.
fn names_in_use(v: &mut Values<'_>) -> Vec<&'static str> {
    NAMES.into_iter().filter(|name| v.is_written(SECTION, name) && v.text(SECTION, name).is_some()).collect()
}

/// Says of each that it does nothing beside a URL that names a broker.
pub(in crate::config) fn complain_of_all(v: &mut Values<'_>) {
    for name in names_in_use(v) {
        let text = format!("[{SECTION}] {name} has no effect: transport_url names the broker; remove {name}");
        v.complain(Complaint::warning(&v.place(SECTION, name), text));
    }
}

/// `host`, `host:port`, `[address]:port` or a bare IPv6 address.
fn place(text: &str, port: u16) -> Result<(String, u16), String> {
    let (name, port_text) = match text.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':').unwrap_or(rest)),
        None if text.matches(':').count() == 1 => text.split_once(':').unwrap_or((text, "")),
        None => (text, ""),
    };
    let wrong = |_| "a port from 1 to 65535 after the host".to_owned();
    let port = if port_text.is_empty() { port } else { port_text.parse().map_err(wrong)? };
    Ok((host_name(name)?, port))
}

/// Says what URL they are taken for, without its password.
pub(in crate::config) fn complain_as_url(v: &mut Values<'_>, hosts: &[Host], vhost: &str) {
    if hosts.is_empty() {
        return;
    }
    let of = |host: &Host| match &host.user {
        Some((user, _)) => format!("{}:***@{host}", user.split(':').next().unwrap_or_default()),
        None => host.to_string(),
    };
    let hosts: Vec<String> = hosts.iter().map(of).collect();
    let vhost = if vhost == "/" { "".into() } else { name_shown(vhost) };
    let first = names_in_use(v).first().copied().unwrap_or(NAMES[0]);
    let text = format!(
        "[{SECTION}] {first} and its like name the broker, as before transport_url; they are taken as [DEFAULT] \
         transport_url = rabbit://{}/{vhost}",
        hosts.join(",")
    );
    v.complain(Complaint::warning(&v.place(SECTION, first), text));
}
