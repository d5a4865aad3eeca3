//! Everything that can happen and is worth a number: one function for each happening, which counts it and logs it.
//!
//! `families` registers the metrics; every other file has the happenings of one noun. A log line says what happened, why,
//! what the agent does next and what the operator can do; values are fields, under a dotted name `area.thing.happened`.
//! `docs/interface.md` lists those names, `docs/metrics.md` the metrics; tests compare.
//!
//! Never here: a decision. Nothing reads a counter to choose what to do.

mod agent;
mod families;
mod group;
mod links;
mod main_queues;
mod packets;
mod parked;
mod publishers;
mod queues;
mod state;
mod totals;

pub use families::Metrics;
pub use parked::ParkReason;
pub use publishers::Breaker;
pub use queues::Closed;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Complaint, Place};
    use std::time::Duration;

    #[test]
    fn the_reference_page_lists_exactly_what_is_registered() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let page = std::fs::read_to_string(path).unwrap();
        let listed: String = page.lines().filter(|l| l.starts_with("| `nephoscope_")).flat_map(|l| [l, "\n"]).collect();
        assert_eq!(listed, Metrics::new().reference(), "docs/metrics.md: replace its rows by the right side");
    }

    #[test]
    fn happenings_show_on_the_page() {
        let metrics = Metrics::new();
        metrics.notifications_received("notifications.info", 3, 1);
        metrics.message_parked("notifications.info", ParkReason::UnknownPriority, None, "BOGUS");
        metrics.published("cpu_sink", "file:///x", 7, Duration::from_millis(3));
        metrics.link_changed("rabbit://h/", "up", "down", "cut");
        metrics.lease_margin(Duration::from_millis(2500));
        metrics.complained(&Complaint::error(&Place { file: "meters.yaml".into(), line: 3 }, "no volume"));
        let page = metrics.page();
        for line in [
            r#"nephoscope_notifications_received_total{queue="notifications.info"} 3"#,
            r#"nephoscope_redelivered_total{queue="notifications.info"} 1"#,
            r#"nephoscope_parked_total{origin="notifications.info",reason="unknown_priority"} 1"#,
            r#"nephoscope_published_total{sink="cpu_sink",publisher="file:///x"} 7"#,
            r#"nephoscope_link_up{link="rabbit://h/"} 0"#,
            r#"nephoscope_link_losses_total{link="rabbit://h/"} 1"#,
            r#"nephoscope_complaints_total{place="meters.yaml:3"} 1"#,
            "nephoscope_lease_margin_seconds 2.5",
            "# EOF",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
    }
}
