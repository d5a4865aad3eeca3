//! Agents with one folder of configuration, each with a configuration file and a home, and what is done to each.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::home::Home;
use super::journal::{self, Journal, Millis};
use super::stage::Stage;

/// Past this the agents are stuck.
const PATIENCE: Duration = Duration::from_secs(90);
const METERS: &str = "metric:\n  - name: chaos.volume\n    event_type: chaos.tick\n    type: cumulative\n    unit: B\n    \
    volume: $.payload.volume\n    resource_id: $.payload.id\n    project_id: $.payload.tenant_id\n    \
    user_id: $.payload.user_id\n    metadata: {n: $.payload.n}\n";
const EVENTS: &str = "- event_type: chaos.tick\n  traits:\n    resource_id: {fields: payload.id}\n";

/// One member of the group: a process, or the place where one was.
struct Member {
    id: String,
    home: Home,
    /// Whether a process should be there: started, and neither killed nor stopped since.
    runs: bool,
    /// Processes that ran under this id so far.
    turns: usize,
}

impl Member {
    fn process(&self) -> String {
        format!("{}.{}", self.id, self.turns)
    }
}

/// All of them.
pub struct Fleet {
    /// Configuration and logs.
    pub folder: PathBuf,
    members: Vec<Member>,
    /// Processes that were killed, and when.
    pub ends: Vec<(String, Millis)>,
    /// What the metrics of processes said that are no more.
    counted: u64,
    /// Further lines of each configuration file.
    more: String,
}

impl Fleet {
    /// Writes what all share; starts nobody.
    pub fn new(stage: &Stage, collector: SocketAddr) -> Self {
        let url = format!("http://{collector}");
        let pipelines = format!(
            "sources: [{{name: all, meters: ['*'], sinks: [rates, plain]}}]\nsinks:\n\
             \x20 - name: rates\n    transformers:\n      - name: rate_of_change\n        parameters: {{target: {{name: chaos.rate, unit: B/s, type: gauge}}}}\n    publishers: ['{url}/rates']\n\
             \x20 - name: plain\n    publishers: ['{url}/plain']\n"
        );
        let events = format!(
            "sources: [{{name: all, events: ['*'], sinks: [events]}}]\nsinks: [{{name: events, publishers: ['{url}/events']}}]\n"
        );
        let files = [
            ("meters.d/chaos.yaml", METERS),
            ("event_definitions.yaml", EVENTS),
            ("pipeline.yaml", &pipelines),
            ("event_pipeline.yaml", &events),
        ];
        Fleet::with(stage, &files, String::new())
    }

    /// One with these files, and `more` lines at the end of each configuration file.
    pub fn with(stage: &Stage, files: &[(&str, &str)], more: String) -> Self {
        let folder = stage.folder.clone();
        fs::create_dir_all(folder.join("meters.d")).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        Fleet { folder, members: Vec::new(), ends: Vec::new(), counted: 0, more }
    }

    /// Members that there ever were.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Members that run.
    pub fn running(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].runs).collect()
    }

    /// One more member.
    pub async fn join(&mut self, stage: &Stage) {
        let id = format!("a{}", self.members.len());
        let home = Home::new(stage, self.members.len()).await;
        let (brokers, etcd, listen) = home.addresses(stage);
        let folder = self.folder.display();
        let text = format!(
            "[DEFAULT]\ntransport_url = {}\npipeline_cfg_file = {folder}/pipeline.yaml\n\
             event_pipeline_cfg_file = {folder}/event_pipeline.yaml\n\
             [notification]\nworkload_partitioning = {}\npipeline_processing_queues = {}\n\
             [meter]\nmeter_definitions_dirs = {folder}/meters.d\n\
             [event]\ndefinitions_cfg_file = {folder}/event_definitions.yaml\n\
             [coordination]\nbackend_url = etcd3://{etcd}\nheartbeat = {}\n\
             [oslo_messaging_rabbit]\namqp_durable_queues = true\nrabbit_quorum_queue = {}\n\
             heartbeat_timeout_threshold = {}\nrabbit_interval_max = 2\n\
             {}\
             [nephoscope]\ngroup = {}\nmember_id = {id}\nlisten = {listen}\nlog_format = json\nqueue_type = {}\n{}",
            stage.transport(&brokers),
            !stage.alone,
            stage.queues,
            stage.ttl.as_secs(),
            stage.kind.main_is_quorum(),
            stage.heartbeat.as_secs(),
            stage.prefetch.map_or_else(String::new, |count| format!("rabbit_qos_prefetch_count = {count}\n")),
            stage.group,
            stage.kind.queue_type(),
            self.more,
        );
        fs::write(self.config(&id), text).unwrap();
        self.members.push(Member { id, home, runs: false, turns: 0 });
        self.start(self.members.len() - 1);
    }

    /// The configuration file of a member.
    fn config(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.conf"))
    }

    /// Starts the process of a member that has none.
    pub fn start(&mut self, at: usize) {
        let config = self.config(&self.members[at].id);
        let member = &mut self.members[at];
        member.turns += 1;
        member.runs = true;
        let log = self.folder.join(format!("{}.log", member.process()));
        member.home.start(&config, &log, member.turns);
    }

    /// SIGKILL.
    pub fn kill(&mut self, at: usize) {
        if self.members[at].runs {
            self.note_end(at);
            self.members[at].home.kill();
            self.members[at].runs = false;
        }
    }

    /// SIGTERM, and wait; panics when it does not end well.
    pub async fn stop(&mut self, at: usize) {
        self.counted += self.metric(at, "nephoscope_redelivered_total").await;
        let member = &mut self.members[at];
        if !std::mem::take(&mut member.runs) {
            return;
        }
        member.home.terminate();
        let began = Instant::now();
        let well = loop {
            if let Some(well) = member.home.ended() {
                break well;
            }
            assert!(began.elapsed() < PATIENCE, "{} does not stop", member.process());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert!(well, "{} did not end well", member.process());
    }

    /// Where a member that runs is, to freeze it and to cut its links.
    pub fn home(&self, at: usize) -> &Home {
        &self.members[at].home
    }

    /// Notes that a process ends now, or will be taken for dead though it lives.
    pub fn note_end(&mut self, at: usize) {
        self.ends.push((self.members[at].process(), journal::now()));
    }

    /// The member that has a queue of this prefix now, among those that run.
    pub fn owner(&self, prefix: &str) -> Option<usize> {
        let journal = |at: &usize| {
            let log = self.folder.join(format!("{}.log", self.members[*at].process()));
            let text = fs::read_to_string(log).unwrap_or_default();
            let last = text.lines().rfind(|line| line.contains("agent.queue.") && line.contains(prefix));
            last.is_some_and(|line| line.contains("agent.queue.opened"))
        };
        self.running().into_iter().find(journal)
    }

    /// Starts again whoever has ended by himself; who that was, how each ended and what was the last he said.
    pub fn revive(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        for at in self.running() {
            let Some(how) = self.members[at].home.how_it_ended() else { continue };
            let process = self.members[at].process();
            let log = fs::read_to_string(self.folder.join(format!("{process}.log"))).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(3).collect();
            told.push(format!("{process} ended by itself, {how}; the last it said, last first: {}", last.join(" / ")));
            self.start(at);
        }
        told
    }

    /// Waits until some process that runs listens to the main queue that is sent to, since its start.
    pub async fn until_listening(&self) {
        let began = Instant::now();
        while self.owner("main:notifications.info").is_none() {
            assert!(began.elapsed() < PATIENCE, "nobody listens to the main queue");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until somebody has every queue.
    pub async fn until_open(&self, queues: usize) {
        let began = Instant::now();
        loop {
            let open = Journal::read(&self.folder).open();
            if open.len() >= queues {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{} of {queues} queues were opened: {open:?}", open.len());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// A counter of one process, all its series added.
    async fn metric(&self, at: usize, name: &str) -> u64 {
        let member = &self.members[at];
        let log = self.folder.join(format!("{}.log", member.process()));
        let Some(address) = member.home.metrics(&log) else { return 0 };
        let asking = ask(address);
        let Ok(Ok(text)) = tokio::time::timeout(Duration::from_secs(2), asking).await else { return 0 };
        let series = text.lines().filter(|line| line.starts_with(name));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// A counter of all processes that run, and of those that were stopped in order.
    pub async fn counter(&self, name: &str) -> u64 {
        let mut sum = if name == "nephoscope_redelivered_total" { self.counted } else { 0 };
        for at in self.running() {
            sum += self.metric(at, name).await;
        }
        sum
    }
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
