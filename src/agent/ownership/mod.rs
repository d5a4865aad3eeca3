//! Which queues this member owns: it joins the group (`join`), its `supervisor` tells the ownership machine of `cluster` what happens
//! and has `orders` carried out.
//!
//! `look` brings what the group says, `silence` what to do while etcd does not confirm the lease, `work` runs what was ordered, `show`
//! writes down what an operator may ask for, `readiness` is what comes before a member counts.
//!
//! Never here: who should own what. That is `cluster`.

mod fatal;
mod join;
mod look;
mod orders;
mod readiness;
mod show;
mod silence;
mod supervisor;
mod work;

pub(super) use supervisor::{Control, Supervisor};
