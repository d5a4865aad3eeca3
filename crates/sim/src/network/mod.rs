//! The network between one agent and the broker: late, in order, and cut where it hurts.
//!
//! A session is two lanes. What the agent sends travels up and happens at the broker when it arrives; deliveries and
//! answers travel down. Either lane can stall (a cut network loses nothing of a TCP stream before someone gives up) until
//! each side, at its own time, takes the other for dead. What was on its way then has or has not happened, and nobody
//! knows: requests lost, or answers lost.
//!
//! The lanes belong to the world, not to the agent: what a killed agent had written may still arrive, and what the broker
//! delivers to a frozen one waits in its socket.

mod conditions;
mod consumer;
mod follower;
mod group;
mod inbox;
mod lane;
mod reach;
mod session;
mod wire;

pub(crate) use conditions::Stall;
pub(crate) use group::{GroupLine, ReachedGroup};
pub(crate) use reach::{Network, Reached};
