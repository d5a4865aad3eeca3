//! Which brokers an agent talks to: the one of `transport_url`, and those that notifications come from.

use super::rabbit::Rabbit;
use super::{TransportUrl, older};
use crate::config::oslo::Entry;
use crate::config::secret::shown;
use crate::config::values::Values;
use crate::config::{options, url};
use crate::model::Complaint;

const NOTIFICATION: &str = "notification";
const DEFAULT: &str = "DEFAULT";
/// A URL that names no host.
const NO_HOST: &str = "rabbit://";

/// The one broker of `transport_url`: that of notifications, if it is another one (Ceilometer reference §2.5); where
/// no URL names a host, the one that the options of before do.
pub(in crate::config) fn transport(v: &mut Values<'_>, plain: &Rabbit) -> TransportUrl {
    let is_filled = |v: &mut Values<'_>, section| {
        v.is_written(section, "transport_url") && v.text(section, "transport_url").is_some()
    };
    let own = is_filled(v, "oslo_messaging_notifications");
    let section = if own { "oslo_messaging_notifications" } else { DEFAULT };
    let is_written = own || is_filled(v, DEFAULT);
    let text = v.text(section, "transport_url").unwrap_or_else(|| NO_HOST.to_owned());
    if is_written && !url::names_no_host(&text) {
        older::complain_of_all(v);
    } else if let Some((hosts, vhost)) = older::broker(v) {
        older::complain_as_url(v, &hosts, &vhost);
    } else if let Some(kind) = v.text(DEFAULT, "rpc_backend").filter(|_| !is_written)
        && !["rabbit", "kombu"].iter().any(|known| kind.contains(known))
    {
        let text = format!(
            "[DEFAULT] rpc_backend = {:?} names a broker that is not spoken to; give the agent a RabbitMQ: [DEFAULT] \
             transport_url = rabbit://user:password@host:5672/",
            shown(&kind)
        );
        v.complain(Complaint::error(&v.place(DEFAULT, "rpc_backend"), text));
    }
    match TransportUrl::parse(&text, v.file_options(), plain) {
        Ok(url) => {
            if url.has_hosts_without_user() {
                let text =
                    "some hosts of transport_url have no user and log in as guest; write user:password@ before each";
                v.complain(Complaint::warning(&v.place(section, "transport_url"), text));
            }
            url
        }
        Err(why) => {
            v.expected(section, "transport_url", &why);
            TransportUrl::local(plain)
        }
    }
}

/// The brokers of `messaging_urls`, each once: of two consumers of one agent, one would overtake the other.
pub(in crate::config) fn brokers(v: &mut Values<'_>, plain: &Rabbit) -> Vec<TransportUrl> {
    let Some(row) = options::find(NOTIFICATION, "messaging_urls") else { return Vec::new() };
    let mut brokers: Vec<(TransportUrl, Entry)> = Vec::new();
    for entry in v.many(NOTIFICATION, "messaging_urls").unwrap_or_default() {
        let url = match TransportUrl::parse(&entry.text, v.file_options(), plain) {
            Ok(url) => url,
            Err(why) => {
                v.wrong(row, &entry, &why);
                continue;
            }
        };
        if let Some((known, first)) = brokers.iter().find(|(known, _)| known.is_same_broker(&url)) {
            let text = format!(
                "[notification] messaging_urls names a broker again: {url} is {known} of {}; its queues are consumed \
                 once, as that line says; remove one of the two",
                first.place
            );
            v.complain(Complaint::warning(&entry.place, text));
            continue;
        }
        brokers.push((url, entry));
    }
    brokers.into_iter().map(|(url, _)| url).collect()
}
