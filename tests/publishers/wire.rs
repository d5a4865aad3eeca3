//! What was sent, read by the field's own programs: `promtool check metrics`, a real Pushgateway, a real Prometheus that takes
//! remote writes and scrapes.
//!
//! OTLP is read by the generated server code in [`contract`](crate::contract), and CloudEvents by their own library there and in
//! [`odd`](crate::odd).

mod prometheus;
