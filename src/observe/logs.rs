//! Log lines: one line each, to standard error or a file, as text for people or JSON for machines.
//!
//! Every line carries the stable dotted name of its happening as `event`; lines of libraries carry their module.

use chrono::{SecondsFormat, Utc};
use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::model::shown::without_secrets;

/// The environment variable that overrides the level, e.g. `debug` or `info,nephoscope::transport=trace`.
pub const LEVEL_VARIABLE: &str = "NEPHOSCOPE_LOG";

/// Libraries that say at `info` what interests only those who debug them. What lapin says is said in our words, and only there
/// with its consequences: a queue that was looked for and is not there is no error.
const QUIET: &str = "lapin=off,h2=warn,hyper=warn,tonic=warn,tower=warn,rustls=warn,reqwest=warn";

/// Libraries that print what they send and receive at `trace`, logins in bytes among it: no level that is written lets them.
const PRINT_FRAMES: [&str; 13] = [
    "amq_protocol",
    "amq_protocol_tcp",
    "amq_protocol_types",
    "amq_protocol_uri",
    "async_rs",
    "h2",
    "hyper",
    "hyper_util",
    "lapin",
    "pinky_swear",
    "reqwest",
    "rustls",
    "tonic",
];

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `2026-01-02T03:04:05.678Z INFO  agent.queue.opened queue opened queue=q1 epoch=5`
    #[default]
    Text,
    /// `{"time":…,"level":"INFO","event":"agent.queue.opened","message":"queue opened","queue":"q1","epoch":5}`
    Json,
}

/// How to log.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How lines look.
    pub format: Format,
    /// Appended to, and opened once; `None` is standard error.
    pub file: Option<PathBuf>,
    /// The level, or a list of `module=level`; [`LEVEL_VARIABLE`] overrides it.
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { format: Format::Text, file: None, level: "info".to_owned() }
    }
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error("cannot read the log level {level:?}: {cause}; expected error, warn, info, debug, trace or module=level,…")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The log file cannot be opened.
    #[error("cannot write the log file {}: {cause}; create its folder, or remove log_file and log_dir", file.display())]
    File {
        /// Which one.
        file: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// Somebody was first.
    #[error("cannot start logging twice in one process")]
    Twice,
}

/// Whether a level can be read, this one or that of [`LEVEL_VARIABLE`].
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let level = std::env::var(LEVEL_VARIABLE).unwrap_or_else(|_| level.to_owned());
    EnvFilter::try_new(format!("{QUIET},{level}")).map_err(|cause| LogError::Level { level, cause: cause.to_string() })
}

/// Whether a happening may be logged at all, whatever the level says.
fn shows_no_frames(happening: &Metadata<'_>) -> bool {
    let library = happening.target().split("::").next().unwrap_or_default();
    *happening.level() <= Level::DEBUG || !PRINT_FRAMES.contains(&library)
}

/// Sends the log of this process to its file, or to standard error, from now on.
pub fn init(settings: &LogSettings) -> Result<(), LogError> {
    let filter = filter(&settings.level)?;
    let writer = match &settings.file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(file) => {
            let opened = OpenOptions::new().append(true).create(true).open(file);
            BoxMakeWriter::new(Mutex::new(opened.map_err(|cause| LogError::File { file: file.clone(), cause })?))
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .event_format(OneLine(settings.format))
        .finish()
        .with(filter_fn(shows_no_frames))
        .try_init()
        .map_err(|_| LogError::Twice)
}

/// Writes one happening as one line.
struct OneLine(Format);

impl<S, N> FormatEvent<S, N> for OneLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = Line::new(self.0);
        event.record(&mut line);
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let meta = event.metadata();
        // `event = "…"` or `name: "…"`; a happening that was given neither is called after its place by tracing.
        let named = (!meta.name().starts_with("event ")).then(|| meta.name());
        let name = line.event.as_deref().or(named).unwrap_or(meta.target());
        match self.0 {
            Format::Text => {
                let space = if line.message.is_empty() { "" } else { " " };
                writeln!(writer, "{time} {:<5} {name}{space}{}{}", meta.level(), line.message, line.rest)
            }
            Format::Json => {
                let (name, message) = (json_text(name), json_text(&line.message));
                let level = meta.level();
                writeln!(
                    writer,
                    r#"{{"time":"{time}","level":"{level}","event":{name},"message":{message}{}}}"#,
                    line.rest
                )
            }
        }
    }
}

/// The fields of one happening: its name, its words, and the rest already written out.
struct Line {
    format: Format,
    event: Option<String>,
    message: String,
    rest: String,
}

impl Line {
    fn new(format: Format) -> Self {
        Line { format, event: None, message: String::new(), rest: String::new() }
    }

    /// A field whose value is a number or a truth value.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        // Writing to a String cannot fail; the same holds below.
        let _ = match self.format {
            Format::Text => write!(self.rest, " {}={value}", field.name()),
            Format::Json => write!(self.rest, ",{}:{value}", json_text(field.name())),
        };
    }

    /// A text: of ours or of a library, and perhaps with a URL in it that somebody else wrote.
    fn text(&mut self, field: &Field, value: &str) {
        let value = &*without_secrets(value);
        match (field.name(), self.format) {
            ("event", _) => self.event = Some(value.to_owned()),
            ("message", Format::Text) => self.message = one_line(value),
            ("message", Format::Json) => value.clone_into(&mut self.message),
            (name, Format::Text) => {
                let plain =
                    !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
                let _ =
                    if plain { write!(self.rest, " {name}={value}") } else { write!(self.rest, " {name}={value:?}") };
            }
            (name, Format::Json) => {
                let _ = write!(self.rest, ",{}:{}", json_text(name), json_text(value));
            }
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() { self.bare(field, value) } else { self.text(field, &value.to_string()) }
    }
}

/// A sender's text must not begin a line of its own.
fn one_line(text: &str) -> String {
    if text.contains(char::is_control) { text.escape_debug().to_string() } else { text.to_owned() }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `what`, without the 25 characters of its time.
    fn logged(format: Format, what: impl FnOnce()) -> String {
        let sink = Sink::default();
        let into = sink.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || into.clone()).event_format(OneLine(format)).finish();
        tracing::subscriber::with_default(subscriber, what);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    fn a_happening() {
        tracing::info!(event = "agent.queue.opened", queue = "q 1", owner = "u1", epoch = 5, "queue\nopened");
    }

    #[test]
    fn a_text_line_is_one_line_with_its_name_first() {
        let line = logged(Format::Text, a_happening);
        assert_eq!(&line[25..], "INFO  agent.queue.opened queue\\nopened queue=\"q 1\" owner=u1 epoch=5\n");
    }

    #[test]
    fn a_json_line_is_flat() {
        let line = logged(Format::Json, a_happening);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["event"], "agent.queue.opened");
        assert_eq!(value["message"], "queue\nopened");
        assert_eq!((&value["queue"], &value["epoch"]), (&"q 1".into(), &5.into()));
        assert_eq!(line.lines().count(), 1);
    }

    /// What a level lets through, `target` and the level of the happening in front.
    fn lets(level: &str, happen: impl FnOnce()) -> bool {
        let sink = Sink::default();
        let into = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(level).unwrap())
            .with_writer(move || into.clone())
            .finish()
            .with(filter_fn(shows_no_frames));
        tracing::subscriber::with_default(subscriber, happen);
        !sink.0.lock().unwrap().is_empty()
    }

    #[test]
    fn a_library_prints_the_frames_of_a_login_at_trace() {
        let everything = "trace,lapin=trace,amq_protocol=trace,h2=trace";
        assert!(!lets(everything, || tracing::trace!(target: "lapin::channel", "frame")));
        assert!(!lets(everything, || tracing::trace!(target: "h2", "frame")));
        assert!(lets(everything, || tracing::debug!(target: "lapin::channel", "opened")));
        assert!(lets(everything, || tracing::trace!("ours")));
    }

    #[test]
    fn a_line_quotes_a_url() {
        let line = logged(Format::Text, || tracing::info!(event = "e", sink = "http://u:PASS@h/x", "http://h/?k=PASS"));
        assert_eq!(&line[25..], "INFO  e http://h/ sink=http://u:***@h/x\n");
    }

    #[test]
    fn a_name_may_be_that_of_the_happening_itself() {
        let line = logged(Format::Text, || tracing::info!(name: "transport.link.up", broker = "b", "connecting => up"));
        assert_eq!(&line[25..], "INFO  transport.link.up connecting => up broker=b\n");
    }

    #[test]
    fn a_line_without_a_name_carries_its_module() {
        let line = logged(Format::Text, || tracing::warn!(attempt = 2));
        assert_eq!(&line[25..], "WARN  nephoscope::observe::logs::tests attempt=2\n");
    }
}
