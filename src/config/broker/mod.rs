//! Which broker, as whom, and how: `transport_url`, what releases before it had, and `[oslo_messaging_rabbit]`.
//!
//! Never here: a connection.

pub mod host;
pub(in crate::config) mod older;
pub mod rabbit;
pub(in crate::config) mod selection;
pub mod transport_url;

pub use host::Host;
pub use rabbit::Rabbit;
pub use transport_url::TransportUrl;
