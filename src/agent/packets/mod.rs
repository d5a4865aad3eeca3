//! What travels between agents: packets (`packet`), how a fragment is encoded in one (`encoding`), the lanes that send them
//! (`lanes`), what waits in one (`lane`), and the order in which they arrive (`arrivals`).
//!
//! Never here: which queue a record goes to (`stages`).

pub(super) mod arrivals;
pub(super) mod encoding;
pub(super) mod lane;
pub(super) mod lanes;
pub mod packet;
