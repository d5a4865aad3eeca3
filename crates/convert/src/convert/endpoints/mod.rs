//! The endpoints Ceilometer has in code: polled samples, sensors, HTTP requests, and the classic listeners.
//!
//! A table in Ceilometer's order; the declarative meters come after all of them (Ceilometer reference §7.1.3). Never
//! here: anything an operator defines.

mod classic;
mod http;
mod ipmi;
mod polled;

use super::field::Raised;
use super::options::ConvertOptions;
use super::sampling::Sampling;
use crate::model::{Dict, Place, Value};

/// One built-in endpoint.
pub(crate) struct Endpoint {
    /// As in Ceilometer's entry points.
    name: &'static str,
    /// Event types, as Ceilometer writes them: regular expressions, met at the start. Only `.` and a final `.*` occur.
    event_types: &'static [&'static str],
    /// Only with `disable_non_metric_meters = false`.
    classic: bool,
    /// Makes the samples.
    build: Build,
}

/// How an endpoint makes samples. What it could make before it raised stays.
enum Build {
    Polled,
    Sensor(&'static str),
    Http,
    Instance,
    InstanceScheduled,
    Network(classic::Listener),
}

impl Endpoint {
    /// The endpoints that look at an event type, by their place in [`ALL`].
    pub(crate) fn matching(event_type: &str, with_classic: bool) -> Vec<&'static Endpoint> {
        ALL.iter().filter(|e| (with_classic || !e.classic) && e.takes(event_type)).collect()
    }

    /// For complaints: it stands in no file.
    pub(crate) fn place(&self) -> Place {
        Place { file: format!("built-in endpoint {}", self.name).into(), line: 0 }
    }

    fn takes(&self, event_type: &str) -> bool {
        match &self.build {
            Build::Network(listener) => listener.takes(event_type),
            _ => self.event_types.iter().any(|pattern| starts_with(event_type, pattern)),
        }
    }

    /// Makes the samples of a notification.
    pub(crate) fn build(&self, sampling: &mut Sampling<'_>, options: &ConvertOptions) -> Result<(), Raised> {
        let reserved = &options.reserved_metadata;
        match &self.build {
            Build::Polled => polled::build(sampling, options),
            Build::Sensor(metric) => ipmi::build(metric, sampling),
            Build::Http => http::build(sampling),
            Build::Instance => classic::instance(sampling, reserved),
            Build::InstanceScheduled => classic::instance_scheduled(sampling, reserved),
            Build::Network(listener) => listener.build(sampling),
        }
    }
}

const fn endpoint(name: &'static str, event_types: &'static [&'static str], build: Build) -> Endpoint {
    Endpoint { name, event_types, classic: false, build }
}

const fn classic(name: &'static str, event_types: &'static [&'static str], build: Build) -> Endpoint {
    Endpoint { name, event_types, classic: true, build }
}

const fn network(resource: &'static str, counter: &'static str, unit: &'static str) -> Endpoint {
    classic(resource, &[], Build::Network(classic::Listener { resource, counter, unit }))
}

/// All of them, in the order in which Ceilometer asks them.
static ALL: [Endpoint; 25] = [
    endpoint("_sample", &["telemetry.polling"], Build::Polled),
    endpoint("hardware.ipmi.current", &["hardware.ipmi.*"], Build::Sensor("Current")),
    endpoint("hardware.ipmi.fan", &["hardware.ipmi.*"], Build::Sensor("Fan")),
    endpoint("hardware.ipmi.temperature", &["hardware.ipmi.*"], Build::Sensor("Temperature")),
    endpoint("hardware.ipmi.voltage", &["hardware.ipmi.*"], Build::Sensor("Voltage")),
    endpoint("http.request", &["http.request"], Build::Http),
    endpoint("http.response", &["http.response"], Build::Http),
    classic("instance", &["compute.instance.*"], Build::Instance),
    classic("instance_scheduled", &["scheduler.run_instance.scheduled"], Build::InstanceScheduled),
    network("network", "network", "network"),
    network("subnet", "subnet", "subnet"),
    network("port", "port", "port"),
    network("router", "router", "router"),
    network("floatingip", "ip.floating", "ip"),
    network("pool", "network.services.lb.pool", "pool"),
    network("vip", "network.services.lb.vip", "vip"),
    network("member", "network.services.lb.member", "member"),
    network("health_monitor", "network.services.lb.health_monitor", "health_monitor"),
    network("firewall", "network.services.firewall", "firewall"),
    network("firewall_policy", "network.services.firewall.policy", "firewall_policy"),
    network("firewall_rule", "network.services.firewall.rule", "firewall_rule"),
    network("vpnservice", "network.services.vpn", "vpnservice"),
    network("ipsecpolicy", "network.services.vpn.ipsecpolicy", "ipsecpolicy"),
    network("ikepolicy", "network.services.vpn.ikepolicy", "ikepolicy"),
    network("ipsec_site_connection", "network.services.vpn.connections", "ipsec_site_connection"),
];

/// Python's `re.match` for the few patterns above: a dot is any character but a line's end.
fn starts_with(text: &str, pattern: &str) -> bool {
    let pattern = pattern.strip_suffix(".*").unwrap_or(pattern);
    let mut letters = text.chars();
    pattern.chars().all(|p| letters.next().is_some_and(|c| p == c || (p == '.' && c != '\n')))
}

/// Python's `value[key]` where a dictionary is expected.
fn item<'v>(value: &'v Value, key: &str) -> Result<&'v Value, Raised> {
    dict(value, key)?.get(key).ok_or_else(|| Raised::new("KeyError", format!("no \"{key}\"")))
}

/// The dictionary that `key` is looked for in.
fn dict<'v>(value: &'v Value, key: &str) -> Result<&'v Dict, Raised> {
    value.as_dict().ok_or_else(|| Raised::new("TypeError", format!("no dictionary where \"{key}\" is looked for")))
}

/// The value of a key, or null.
fn optional(dict: &Dict, key: &str) -> Value {
    dict.get(key).cloned().unwrap_or_default()
}
