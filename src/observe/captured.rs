//! The log of this thread, for tests.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// What this thread logs from [`Captured::begin`] on, as long as it is there.
#[derive(Debug)]
pub(crate) struct Captured {
    log: Log,
    _until_dropped: DefaultGuard,
}

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// From now on.
    pub(crate) fn begin() -> Self {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
        Captured { log, _until_dropped: tracing::subscriber::set_default(subscriber) }
    }

    /// How many lines hold all of these.
    pub(crate) fn count(&self, all: &[&str]) -> usize {
        let log = String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| all.iter().all(|part| line.contains(part))).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}
