//! Who owns which queue: the stable hash that sends a resource to a queue, the placement of queues on members, and
//! the machine that takes and gives up ownership step by step.
//!
//! Never here: clocks, sockets, async, logging. Time and membership come in as arguments, orders go out as values;
//! every member computes the same from the same revision of the group.

pub mod group;
pub mod hash;
pub mod ownership;
pub mod placement;
pub mod spec;

pub use group::{Epoch, Group, MemberState, Owner};
pub use hash::SlotTable;
pub use ownership::{Happening, Order, Ownership, OwnershipOptions};
pub use placement::Ring;
pub use spec::{Layout, Spec};
