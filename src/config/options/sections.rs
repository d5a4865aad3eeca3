//! Sections without options of the agent: those of other programs and libraries, and misspelt ones.

use super::{Opt, distance, foreign, known_names, knows_section, rows};
use std::collections::BTreeSet;

/// Sections that the same file has for other programs and libraries; nothing is said of them.
const OTHERS: &[&str] = &[
    "alarm",
    "alarms",
    "api",
    "audit",
    "audit_middleware_notifications",
    "barbican",
    "barbican_service_user",
    "castellan",
    "central",
    "cors",
    "cors.subdomain",
    "database",
    "database_file",
    "evaluator",
    "exchange_control",
    "glance",
    "hardware",
    "healthcheck",
    "infoblox",
    "ipmi",
    "keystone_authtoken",
    "key_manager",
    "magnum",
    "manila",
    "matchmaker_redis",
    "matchmaker_ring",
    "neutron",
    "notifier",
    "nova",
    "octavia",
    "opendaylight",
    "opencontrail",
    "oslo_cache",
    "oslo_concurrency",
    "oslo_db",
    "oslo_limit",
    "oslo_log",
    "oslo_messaging_metrics",
    "oslo_messaging_pulsar",
    "oslo_messaging_qpid",
    "oslo_messaging_zmq",
    "oslo_middleware",
    "oslo_policy",
    "oslo_versionedobjects",
    "osprofiler",
    "paste_deploy",
    "privsep",
    "profiler",
    "prometheus",
    "radosgw",
    "rgw_admin_credentials",
    "rgw_client",
    "service_types",
    "ssl",
    "storage",
    "swift",
    "vault",
    "vmware",
    "wsgi",
    "xenapi",
];

/// The farthest that a misspelt section is from the right one, in edits.
const EDITS_MAX: usize = 3;

/// Whether a section is known to be another program's or library's.
pub fn belongs_to_others(section: &str) -> bool {
    OTHERS.contains(&section.to_ascii_lowercase().as_str())
}

/// The section that is meant by one that nobody knows: near in spelling, or one whose options are the ones written.
/// Without either it is some other program's.
pub fn meant_section(section: &str, options: &[&str]) -> Option<&'static str> {
    if knows_section(section) || belongs_to_others(section) {
        return None;
    }
    let name = section.trim().to_ascii_lowercase();
    let of_rows = rows().flat_map(Opt::names).map(|(section, _)| section);
    let of_rows: BTreeSet<&str> = of_rows.chain(foreign().map(|f| f.section)).collect();
    let near = |known: &str| distance(&known.to_ascii_lowercase(), &name);
    let nearest = of_rows.iter().chain(OTHERS).copied().map(|known| (near(known), known)).min();
    if let Some((distance, known)) = nearest.filter(|(d, _)| *d <= (1 + name.len() / 8).min(EDITS_MAX)) {
        // What is nearer to another program's section is that program's.
        return (distance == 0 || !belongs_to_others(known)).then_some(known);
    }
    let names = |known| known_names(known).filter(|name| options.contains(name)).count();
    // `[oslo_messaging]`: the beginning of one that knows these options.
    let begun = of_rows.iter().copied().filter(|known| known.starts_with(&format!("{name}_")));
    if let Some((1.., known)) = begun.map(|known| (names(known), known)).max() {
        return Some(known);
    }
    let mut best: Option<(usize, &'static str)> = None;
    for known in of_rows {
        let count = names(known);
        if count * 2 > options.len() && best.is_none_or(|(most, _)| count > most) && has_one_of_its_own(known, options)
        {
            best = Some((count, known));
        }
    }
    best.map(|(_, known)| known)
}

/// Whether one of these options is known in this section alone; a name of one word, like `host`, may be anybody's.
fn has_one_of_its_own(section: &str, options: &[&str]) -> bool {
    let elsewhere = |name: &str| {
        let rows = rows().any(|row| row.name == name && !row.section.eq_ignore_ascii_case(section));
        rows || foreign().any(|f| f.names.contains(&name) && !f.section.eq_ignore_ascii_case(section))
    };
    known_names(section).any(|name| options.contains(&name) && name.contains('_') && !elsewhere(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::a_letter_is_missing("coordinaton", &[], Some("coordination"))]
    #[case::two_are_exchanged("evnet", &["store_raw"], Some("event"))]
    #[case::plural("notifications", &["colour"], Some("notification"))]
    #[case::blanks(" notification ", &[], Some("notification"))]
    #[case::defaults("defaults", &["transport_url"], Some("DEFAULT"))]
    #[case::by_its_options("rabbitmq", &["rabbit_quorum_queue", "ssl"], Some("oslo_messaging_rabbit"))]
    #[case::by_most_of_its_options("cluster", &["backend_url", "check_watchers", "x"], Some("coordination"))]
    #[case::the_beginning_of_one("oslo_messaging", &["topics"], Some("oslo_messaging_notifications"))]
    #[case::the_beginning_of_none("oslo_messaging", &["colour"], None)]
    #[case::a_name_that_anybody_has("somebody", &["host", "workers"], None)]
    #[case::a_name_of_several_sections("somebody", &["transport_url"], None)]
    #[case::another_program_s("keystone_authtoken", &["transport_url", "backend_url"], None)]
    #[case::another_program_s_misspelt("keystone_authtokn", &["backend_url"], None)]
    #[case::nobody_s("somebody", &["something"], None)]
    #[case::known("notification", &[], None)]
    fn a_section_is_meant(#[case] section: &str, #[case] options: &[&str], #[case] expected: Option<&str>) {
        assert_eq!(meant_section(section, options), expected);
    }
}
