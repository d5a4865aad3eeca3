//! What this process costs: its CPU time and its memory.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// CPU time and memory of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Own {
    /// CPU time since the process began.
    pub cpu: Duration,
    /// Bytes in memory; 0 where the system does not say.
    pub memory_bytes: u64,
}

impl Own {
    /// Now.
    pub fn now() -> Own {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Own { cpu: Duration::new(seconds, nanos), memory_bytes: resident(&status).unwrap_or_default() }
    }
}

/// The resident bytes of a `/proc/…/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_cpu_time() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    1024 kB\n"), Some(1 << 20));
        assert_eq!(resident("VmRSS: much"), None);
        let own = Own::now();
        assert!(own.memory_bytes > 0 && own.cpu > Duration::ZERO);
    }
}
