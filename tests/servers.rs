//! Agents and commands as processes, and the contracts of transport and coordination, on real servers.
//!
//! One binary, because each links all that the agent links. `cargo nextest run --test servers held::` runs one module.

mod field;
mod rig;

mod audit;
mod cluster_commands;
mod compose;
mod copies;
mod coordination_contract;
mod doctor;
mod desk;
mod held;
mod package;
mod parked;
mod processes;
mod python_notifier;
mod rig_works;
mod security;
mod service;
mod systemd;
mod transport_contract;
