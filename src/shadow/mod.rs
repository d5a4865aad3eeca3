//! Copies of notifications, beside whoever else consumes them: what would be published of them, compared with what another agent
//! published, and kept in a file.
//!
//! `copies` gets them from the brokers, `dry` takes them through the pipelines, `tally` counts what comes out. `theirs` reads what
//! Ceilometer published, and `compare` pairs it with ours. `capture` is the file of notifications, and what is hashed in it.
//!
//! Never here: taking a message away from a queue that others consume; printing.

pub mod capture;
pub mod compare;
pub mod copies;
pub mod dry;
pub mod gnocchi;
pub mod line;
pub mod own;
pub mod tally;
pub mod theirs;
