//! Debian's Ceilometer on the same queue: samples to a file, one worker, its defaults.

use crate::agent::{Process, Setup};
use crate::broker::Broker;
use crate::drain::{until_quiet, until_taken};
use crate::measures::{Drain, Meter};
use crate::mix;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

const PYTHON: &str = "/usr/bin/python3";
/// What `ceilometer-agent-notification` is, which Debian has in a package of its own.
const MAIN: &str = "import sys; sys.argv[0] = 'ceilometer-agent-notification'; \
                    from ceilometer.cmd.agent_notification import main; sys.exit(main())";

/// Its version, where it is installed.
pub(crate) fn version() -> Option<String> {
    let asked = "import importlib.metadata as m; import ceilometer.notification; print(m.version('ceilometer'))";
    let done = Command::new(PYTHON).args(["-c", asked]).stdin(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

/// One drain of `count` notifications.
pub(crate) async fn drain(broker: &Broker, bodies: &[Vec<u8>], count: usize) -> Drain {
    let setup = Setup { events: false, ..Setup::alone("ceilometer") };
    let queues = setup.queues();
    broker.fill(&queues, mix::repeated(bodies, count)).await;
    let written = setup.write(broker, 0);
    // It knows nothing of nephoscope's section.
    let text = fs::read_to_string(&written.file).unwrap();
    let (before, after) = (text.split("[nephoscope]").next().unwrap(), text.split("[notification]").nth(1).unwrap());
    fs::write(&written.file, format!("{before}[notification]{after}")).unwrap();
    let log = fs::File::create(written.file.with_extension("log")).unwrap();
    let mut command = Command::new(PYTHON);
    command.args(["-c", MAIN, "--config-file"]).arg(&written.file).stdout(Stdio::null()).stderr(log);
    let began = Instant::now();
    let process = Process::start(command);
    until_taken(broker, &queues, count, began).await;
    let first_ms = began.elapsed().as_secs_f64() * 1e3;
    let mut meter = Meter::start(family(process.pid()), broker.pid);
    until_quiet(broker, &queues, &written.samples, || true, &mut meter).await;
    meter.drain(count, first_ms, 0.0)
}

/// A process and its children.
fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    for child in fs::read_dir("/proc").unwrap().flatten() {
        let Some(child) = child.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        if status.lines().any(|line| line == format!("PPid:\t{pid}")) {
            family.push(child);
        }
    }
    family
}
