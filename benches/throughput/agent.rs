//! Agents as processes: their files, their start and end, their page of metrics.

use crate::broker::Broker;
use crate::process::agent_program;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A rate of every meter of every resource.
const RATES: &str = "transformers: [{name: rate_of_change, parameters: {source: {map_from: {name: '(.*)'}}, \
                     target: {map_to: {name: '\\1.rate', type: gauge}}}}], ";

/// Which agents to run: one alone with one main queue, and one pipeline for samples and one for events, unless it is changed.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The topic, or what the topics begin with.
    pub(crate) topic: String,
    /// The name of the group, if they work in one.
    pub(crate) group: Option<String>,
    pub(crate) agents: usize,
    /// A rate of every meter of every resource.
    pub(crate) rates: bool,
    /// Whether there are events.
    pub(crate) events: bool,
    /// Pipelines for samples, and as many for events.
    pub(crate) pipelines: usize,
    pub(crate) main_queues: usize,
    /// Who look at the page and at what passes, of each agent.
    pub(crate) watchers: usize,
    /// Lines of `[notification]`.
    pub(crate) lines: String,
}

/// An agent that can be started.
pub(crate) struct Written {
    pub(crate) file: PathBuf,
    pub(crate) samples: Vec<PathBuf>,
    pub(crate) events: Vec<PathBuf>,
    /// Where its page of metrics is.
    pub(crate) port: u16,
}

impl Setup {
    pub(crate) fn alone(topic: &str) -> Self {
        Setup {
            topic: topic.to_owned(),
            group: None,
            agents: 1,
            rates: false,
            events: true,
            pipelines: 1,
            main_queues: 1,
            watchers: 0,
            lines: String::new(),
        }
    }

    /// The same group for each run of this process.
    pub(crate) fn grouped(topic: &str) -> Self {
        Setup { group: Some(format!("{topic}-{}", std::process::id())), ..Setup::alone(topic) }
    }

    /// A group that has no queues and no state yet.
    pub(crate) fn in_new_group(topic: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let group = format!("{topic}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Setup { group: Some(group), ..Setup::alone(topic) }
    }

    fn topics(&self) -> Vec<String> {
        match self.main_queues {
            1 => vec![self.topic.clone()],
            many => (0..many).map(|n| format!("{}-{n}", self.topic)).collect(),
        }
    }

    /// The main queues.
    pub(crate) fn queues(&self) -> Vec<String> {
        self.topics().iter().map(|topic| format!("{topic}.info")).collect()
    }

    /// Writes the files of one agent.
    pub(crate) fn write(&self, broker: &Broker, agent: usize) -> Written {
        let folder = folder();
        let name = format!("{}-{agent}", self.topic);
        let outputs = |kind: &str| -> Vec<PathBuf> {
            (0..self.pipelines).map(|n| folder.join(format!("{name}-{kind}-{n}.json"))).collect()
        };
        let (samples, events) = (outputs("samples"), outputs("events"));
        samples.iter().chain(&events).for_each(|output| drop(fs::remove_file(output)));
        let rates = if self.rates { RATES } else { "" };
        let pipelines = [("pipeline", "meters", rates, &samples), ("event_pipeline", "events", "", &events)];
        for (file, key, transformers, outputs) in pipelines {
            let (mut sources, mut sinks) = ("sources:\n".to_owned(), "sinks:\n".to_owned());
            for (n, output) in outputs.iter().enumerate() {
                let _written = writeln!(sources, "- {{name: {key}{n}_source, {key}: ['*'], sinks: [{key}{n}_sink]}}");
                let publisher = format!("publishers: ['file://{}?json']", output.display());
                let _written = writeln!(sinks, "- {{name: {key}{n}_sink, {transformers}{publisher}}}");
            }
            fs::write(folder.join(format!("{name}-{file}.yaml")), sources + &sinks).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let group = self.group.as_ref().map_or(String::new(), |_| {
            format!("workload_partitioning = true\n[coordination]\nbackend_url = etcd3://{}\n", broker.etcd.endpoint)
        });
        let kinds = if self.events { "" } else { "pipelines = meter\n" };
        let text = format!(
            "[DEFAULT]\ntransport_url = rabbit://guest:guest@127.0.0.1:{}/\npipeline_cfg_file = {folder}/{name}-pipeline.yaml\n\
             event_pipeline_cfg_file = {folder}/{name}-event_pipeline.yaml\n[oslo_messaging_notifications]\ntopics = {}\n\
             [nephoscope]\ngroup = {}\nmember_id = agent-{agent}\nlisten = 127.0.0.1:{port}\nlog_level = error\n\
             [notification]\n{kinds}{}{group}",
            broker.rabbit.port,
            self.topics().join(","),
            self.group.as_deref().unwrap_or(&self.topic),
            self.lines,
            folder = folder.display(),
        );
        let file = folder.join(format!("{name}.conf"));
        fs::write(&file, text).unwrap();
        Written { file, samples, events, port }
    }
}

/// Where files and outputs of the bench are.
pub(crate) fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("throughput");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// This program, which can be other things than the bench.
pub(crate) fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// The agent's program, with the configuration that it shall run.
pub(crate) fn program(config: &Path) -> Command {
    let mut command = Command::new(agent_program());
    command.args(["run", "--config-file"]).arg(config);
    command
}

/// A process; ended when dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        Process(command.stdin(Stdio::null()).spawn().expect("the process starts"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = Command::new("kill").arg(self.0.id().to_string()).status();
        let _status = self.0.wait();
    }
}

/// What an agent says of itself; empty while it does not.
pub(crate) fn metrics(port: u16) -> String {
    let mut page = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let _sent = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let _read = stream.read_to_string(&mut page);
    }
    page
}

/// The sum of all series of a metric.
pub(crate) fn total(page: &str, metric: &str) -> f64 {
    let series = page.lines().filter_map(|line| line.strip_prefix(metric));
    let series = series.filter(|rest| rest.starts_with([' ', '{']));
    series.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The queues that the metrics name and that the agents declared.
pub(crate) fn declared(page: &str) -> Vec<String> {
    let series = page.lines().filter_map(|line| line.strip_prefix("nephoscope_queue_up{queue=\"nephoscope."));
    series.filter_map(|rest| Some(format!("nephoscope.{}", rest.split('"').next()?))).collect()
}
