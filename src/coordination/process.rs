//! The process of a member, so that a restarted agent can tell that its predecessor is dead.
//!
//! A lease lasts for ten seconds after SIGKILL, because other members cannot see that the process is dead. A process on the
//! same machine can: the kernel has no such process any more.

use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;

/// A process, told apart from every other one that this machine had or will have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The kernel's id of this boot of the machine.
    pub boot: String,
    /// The process id namespace, a container's for example.
    pub namespace: String,
    /// The user id. Of others the kernel may hide what runs.
    pub user: u32,
    /// The process id in that namespace.
    pub pid: u32,
    /// When it was started, in clock ticks since the boot.
    pub started: u64,
}

impl Process {
    /// This process; `None` where the system does not say (no `/proc`, or that of another namespace).
    pub fn this() -> Option<Self> {
        let stat = Stat::read("self")?;
        Some(Process {
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned(),
            namespace: std::fs::read_link("/proc/self/ns/pid").ok()?.to_str()?.to_owned(),
            user: std::fs::metadata("/proc/self").ok()?.uid(),
            pid: Some(stat.pid).filter(|pid| *pid == std::process::id())?,
            started: stat.started,
        })
    }

    /// Whether it is surely dead: `false` where it lives, and where that cannot be known from here.
    pub fn is_dead(&self) -> bool {
        let Some(this) = Process::this() else { return false };
        let is_visible = self.boot == this.boot && self.namespace == this.namespace && self.user == this.user;
        is_visible && Stat::read(&self.pid.to_string()).is_none_or(|stat| stat.is_over || stat.started != self.started)
    }
}

/// What `/proc/<pid>/stat` says of a process.
struct Stat {
    pid: u32,
    /// Ended, and not yet waited for.
    is_over: bool,
    started: u64,
}

impl Stat {
    fn read(pid: &str) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let (pid, rest) = (text.split(' ').next()?, text.rsplit_once(") ")?.1);
        let mut fields = rest.split(' ');
        let is_over = matches!(fields.next()?, "Z" | "X");
        // proc_pid_stat(5): the state is field 3, the time of the start field 22.
        Some(Stat { pid: pid.parse().ok()?, is_over, started: fields.nth(18)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_dead_when_it_has_ended_even_before_it_is_waited_for() {
        let this = Process::this().unwrap();
        assert!(!this.is_dead());
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let started = Stat::read(&child.id().to_string()).unwrap().started;
        let other = Process { pid: child.id(), started, ..this };
        assert!(!other.is_dead());
        child.kill().unwrap();
        while Stat::read(&child.id().to_string()).is_some_and(|stat| !stat.is_over) {
            std::thread::yield_now();
        }
        assert!(other.is_dead());
        child.wait().unwrap();
        assert!(other.is_dead());
    }

    #[test]
    fn another_process_with_the_same_number_does_not_keep_the_dead_alive() {
        let this = Process::this().unwrap();
        assert!(Process { started: this.started.wrapping_sub(1), ..this }.is_dead());
    }

    #[test]
    fn what_cannot_be_seen_from_here_is_not_dead() {
        let this = Process { started: 0, ..Process::this().unwrap() };
        assert!(!Process { boot: "another".to_owned(), ..this.clone() }.is_dead());
        assert!(!Process { namespace: "pid:[1]".to_owned(), ..this.clone() }.is_dead());
        assert!(!Process { user: this.user + 1, ..this }.is_dead());
    }
}
