//! What this process takes of its machine, as the kernel says.

use serde::{Deserialize, Serialize};

/// Ticks of the kernel's clock in a second, for `/proc`: the same on every Linux that a program sees.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time and memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessUse {
    /// CPU time since start, in milliseconds.
    pub cpu_ms: u64,
    /// Memory in use (RSS), in bytes.
    pub rss_bytes: u64,
}

impl ProcessUse {
    /// Of this process; zeros where the kernel does not say.
    pub fn now() -> ProcessUse {
        let read = |file| std::fs::read_to_string(file).unwrap_or_default();
        ProcessUse {
            cpu_ms: cpu_ms(&read("/proc/self/stat")).unwrap_or_default(),
            rss_bytes: rss_bytes(&read("/proc/self/status")).unwrap_or_default(),
        }
    }
}

/// User and system time: the 14th and 15th field, counted behind the name, which may have blanks and brackets.
fn cpu_ms(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some((user + system) * (1_000 / TICKS_PER_SECOND))
}

fn rss_bytes(status: &str) -> Option<u64> {
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_what_is_used() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 5 1 2";
        assert_eq!(cpu_ms(stat), Some(3_000));
        assert_eq!(rss_bytes("VmHWM:\t 9 kB\nVmRSS:\t  2048 kB\n"), Some(2 * 1024 * 1024));
        assert!(ProcessUse::now().rss_bytes > 1024 * 1024);
    }
}
