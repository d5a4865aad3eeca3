//! What a broker tells about itself and about a user's rights to somebody who changes nothing there.
//!
//! Never here: a declaration, a binding that comes into being, a message that is taken.

mod rights;
pub(super) mod version;

pub(super) use rights::denied;
pub use rights::{Ask, Denied};
