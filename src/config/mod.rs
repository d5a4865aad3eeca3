//! Files: what an operator wrote, and what it means.
//!
//! Raw, then real. [`yaml`] and the INI reader give what was written, with file and line; the settings are what it
//! means, which cannot be wrong. Whatever is wrong is complained about all at once.
//!
//! Never here: sockets, the environment of a running agent, or what a definition *does* (that is `convert` and
//! `pipeline`, which get nodes).

pub mod yaml;
