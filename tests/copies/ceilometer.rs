//! A shadow beside Debian's Ceilometer on the same RabbitMQ: no difference; and with one definition changed, exactly that one.

use super::*;
use std::io::Write as _;
use std::sync::Mutex;

const PYTHON: &str = "/usr/bin/python3";
/// What `ceilometer-agent-notification` is, which Debian has in a package of its own.
const MAIN: &str = "import sys; sys.argv[0] = 'ceilometer-agent-notification'; \
                    from ceilometer.cmd.agent_notification import main; sys.exit(main())";
/// Notifications, of the bundled mix.
const COUNT: usize = 5_000;
/// The meter whose unit is another one in the changed definition.
const METER: &str = "image.size";

/// Where the package is; or the reason why there is nothing to compare with.
fn installed() -> Option<PathBuf> {
    let ask = "import ceilometer.notification, os; print(os.path.dirname(ceilometer.__file__))";
    let answer = Command::new(PYTHON).args(["-c", ask]).output().ok().filter(|answer| answer.status.success());
    if answer.is_none() {
        println!("skipped: no Ceilometer for {PYTHON} (apt-get install python3-ceilometer)");
    }
    answer.map(|answer| PathBuf::from(String::from_utf8(answer.stdout).unwrap().trim()))
}

/// The files of one agent, with the installed definitions; `meters` is the folder of meter definitions.
fn configure(folder: &Folder, url: &str, name: &str, installed: &Path, meters: &Path) {
    let text = format!(
        "[DEFAULT]\ntransport_url = {}\npipeline_cfg_file = {{folder}}/pipeline.yaml\n\
         event_pipeline_cfg_file = {{folder}}/event_pipeline.yaml\n[oslo_messaging_rabbit]\namqp_durable_queues = true\n\
         [notification]\nworkers = 1\n[meter]\nmeter_definitions_dirs = {}\n[event]\ndefinitions_cfg_file = {}\n",
        url.replacen("amqp://", "rabbit://", 1),
        meters.display(),
        installed.join("pipeline/data/event_definitions.yaml").display(),
    );
    folder.write(name, &text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_ceilometer_there_is_no_difference_until_a_definition_is_changed() {
    let Some(installed) = installed() else { return };
    let stage = Stage::new("ceilometer", Three).await;
    stage.main_queues(&["sample", "error"]).await;
    let folder = &stage.folder;
    // Release 19 cannot write events to a file.
    let taken = fs::OpenOptions::new().create(true).append(true).open(folder.file("their-events")).unwrap();
    let collector = wiremock::MockServer::start().await;
    let lines = Lines(Mutex::new(taken));
    wiremock::Mock::given(wiremock::matchers::method("POST")).respond_with(lines).mount(&collector).await;
    folder.pipelines(&["file://{folder}/their-samples?json"], &[&collector.uri()]);
    let shipped = installed.join("data/meters.d");
    configure(folder, &stage.url, "ceilometer.conf", &installed, &shipped);
    configure(folder, &stage.url, "changed.conf", &installed, &folder.file("changed.d"));
    let meters = fs::read_to_string(shipped.join("meters.yaml")).unwrap();
    let (before, rest) = meters.split_once(&format!("name: \"{METER}\"")).unwrap();
    let changed = format!("{before}name: \"{METER}\"{}", rest.replacen("unit: B\n", "unit: KB\n", 1));
    assert_ne!(changed, meters);
    fs::create_dir(folder.file("changed.d")).unwrap();
    folder.write("changed.d/meters.yaml", &changed);

    let mut ceilometer = Command::new(PYTHON);
    ceilometer.args(["-c", MAIN, "--config-file"]).arg(folder.file("ceilometer.conf")).stdin(Stdio::null());
    let log = folder.file("ceilometer.log");
    ceilometer.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
    let _ceilometer = Running(ceilometer.spawn().unwrap());
    let began = Instant::now();
    while consumers(&stage.wire, "notifications.info").await == 0 {
        assert!(began.elapsed() < PATIENCE, "Ceilometer does not consume: {}", fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let (count, samples, events) = (COUNT.to_string(), stage.path("their-samples"), stage.path("their-events"));
    let arguments = [
        "shadow",
        "--messages",
        &count,
        "--compare",
        &samples,
        "--compare",
        &events,
        "--settle",
        "8",
        "--margin",
        "0",
        "-o",
        "json",
    ];
    let mut same = stage.copying("same", &arguments).await;
    // The last of several files wins.
    let changed = stage.path("changed.conf");
    let mut differs = stage.copying("differs", &[&arguments[..], &["--config-file", changed.as_str()]].concat()).await;
    stage.send(bundled(COUNT)).await;

    let (status, answer) = same.json().await;
    let report = &answer["comparison"];
    assert!(status.success() && report["verdict"] == "same", "{report:#}");
    let (of_samples, of_events) = (&report["records"]["sample"], &report["records"]["event"]);
    for of in [of_samples, of_events] {
        assert!(
            of["ours"] == of["theirs"] && of["same"] == of["ours"] && of["ours"].as_u64().unwrap() > 2_000,
            "{report:#}"
        );
    }
    assert_eq!(answer["missed"], 0);
    // Ceilometer has taken everything, and nobody else has.
    for queue in ["info", "sample", "error"] {
        assert_eq!(stage.wire.depth(&format!("notifications.{queue}")).await, 0, "{queue}");
    }

    let (status, answer) = differs.json().await;
    let report = &answer["comparison"];
    assert_eq!((status.code(), &report["verdict"]), (Some(1), &"differs".into()), "{report:#}");
    let [difference] = &report["differences"].as_array().unwrap()[..] else { panic!("{report:#}") };
    let of_meter = answer["by_meter"]["rows"][METER].as_u64().unwrap();
    assert_eq!(
        (&difference["record"], &difference["name"], &difference["what"], difference["count"].as_u64().unwrap()),
        (&"sample".into(), &METER.into(), &serde_json::json!({"field": "unit"}), of_meter),
        "{report:#}"
    );
    let example = difference["examples"][0].as_str().unwrap();
    assert!(example.ends_with(r#"here "KB", there "B""#), "{example}");
    let sentence = report["sentence"].as_str().unwrap();
    assert!(sentence.contains("unit of the sample image.size"), "{sentence}");
}

/// Writes each body on a line.
struct Lines(Mutex<File>);

impl wiremock::Respond for Lines {
    fn respond(&self, request: &wiremock::Request) -> wiremock::ResponseTemplate {
        let mut file = self.0.lock().unwrap();
        file.write_all(&[&request.body[..], b"\n"].concat()).unwrap();
        wiremock::ResponseTemplate::new(200)
    }
}

/// A process with children, ended with them.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _told = Command::new("kill").arg(self.0.id().to_string()).status();
        let _status = self.0.wait();
    }
}

async fn consumers(wire: &Wire, queue: &str) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    wire.channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().consumer_count()
}
