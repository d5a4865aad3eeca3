//! The agent's program, and what a process has used so far, as Linux tells it.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::fs;
use std::path::PathBuf;

/// The agent's program: the one that `make bench` names, which is compiled as it is shipped, or what cargo compiled for this bench.
pub(crate) fn agent_program() -> PathBuf {
    std::env::var_os("NEPHOSCOPE_BENCH_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_nephoscope").into(), PathBuf::from)
}

/// CPU seconds of a process so far, user and system.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    // USER_HZ is 100 on every Linux there is.
    ticks / 100.0
}

/// Its peak resident size so far, in MiB.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
