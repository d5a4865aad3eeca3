//! The files that operators really have, as far as they are about `ceilometer.conf`: situations from public
//! configurations and bug reports (`tests/situations/`), and others of their kinds.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "situations/effect.rs"]
mod effect;
#[path = "situations/passwords.rs"]
mod passwords;

use nephoscope::config::{self, Settings};
use nephoscope::model::Severity;
use rstest::rstest;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What a command said of one configuration.
struct Told {
    exit: i32,
    output: String,
    errors: String,
}

impl Told {
    /// The complaints about this file, without its folder.
    fn about(&self, file: &str) -> Vec<&str> {
        self.errors
            .lines()
            .filter(|line| line.split(": ").nth(1).is_some_and(|place| place.starts_with(file)))
            .collect()
    }

    fn all(&self) -> String {
        format!("{}{}", self.output, self.errors)
    }
}

fn situation(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/situations").join(name)
}

/// Runs a command in a folder, with a home folder in which there is nothing.
fn nephoscope(folder: &Path, arguments: &[&str]) -> Told {
    let home = tempfile::tempdir().unwrap();
    at_home(folder, home.path(), arguments)
}

fn at_home(folder: &Path, home: &Path, arguments: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    command.args(arguments).current_dir(folder).env("HOME", home).env_remove("SNAP").env_remove("SNAP_COMMON");
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Told { exit: output.status.code().unwrap_or(-1), output: text(&output.stdout), errors: text(&output.stderr) }
}

/// Settings and complaints, `!` before errors and `?` before warnings.
fn read(text: &str) -> (Settings, Vec<String>) {
    let (settings, complaints) = config::load_text("c", text);
    let mark = |severity| if severity == Severity::Error { '!' } else { '?' };
    (settings.unwrap(), complaints.iter().map(|c| format!("{} {c}", mark(c.severity))).collect())
}

fn complaints(text: &str) -> Vec<String> {
    read(text).1
}

const NO_GROUP: &str = "[coordination] backend_url has no effect: [notification] workload_partitioning is off; with it \
                        on, expected etcd3+http:// or etcd3+https://: a group of agents meets in an etcd, not in ";

#[rstest]
#[case("redis.conf", 6, "redis://")]
#[case("zookeeper.conf", 6, "zookeeper://")]
fn the_polling_agents_meet_in_another_store_and_this_agent_is_alone(
    #[case] file: &str,
    #[case] line: usize,
    #[case] store: &str,
) {
    let folder = situation("coordination-of-the-polling-agents");
    let told = nephoscope(&folder, &["check", "--config-file", file]);
    assert_eq!(told.about(file), [format!("warning: {file}:{line}: {NO_GROUP}{store}")], "{}", told.errors);
    assert_eq!(told.exit, 0);
    // The same file with the work shared.
    let shared = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(folder.join(file)).unwrap() + "[notification]\nworkload_partitioning = true\n";
    std::fs::write(shared.path().join(file), text).unwrap();
    let told = nephoscope(shared.path(), &["check", "--config-file", file]);
    let expected = format!(
        "error: {file}:{line}: [coordination] backend_url = ***: expected etcd3+http:// or etcd3+https://: a group of \
         agents meets in an etcd, not in {store}; without a group, write [notification] workload_partitioning = false"
    );
    assert_eq!((told.about(file), told.exit), (vec![&*expected], 78));
}

#[rstest]
#[case("redis://:SESAME@192.0.2.9:6379/", "redis://")]
#[case("rediss://:SESAME@192.0.2.9:6379?ssl=1", "rediss://")]
#[case("zookeeper://192.0.2.11:2181,192.0.2.12:2181", "zookeeper://")]
#[case("kazoo://192.0.2.11:2181", "kazoo://")]
#[case("mysql://aodh:SESAME@192.0.2.9/tooz?charset=utf8", "mysql://")]
#[case("postgresql://aodh:SESAME@192.0.2.9/tooz", "postgresql://")]
#[case("file:///var/lib/ceilometer/coordination", "file://")]
#[case("memcached://192.0.2.9:11211", "memcached://")]
#[case("zake://", "zake://")]
fn stores_that_ceilometer_had_and_a_group_has_not(#[case] url: &str, #[case] store: &str) {
    let alone = complaints(&format!("[coordination]\nbackend_url = {url}\n"));
    assert_eq!(alone, [format!("? c:2: {NO_GROUP}{store}")]);
    let shared =
        complaints(&format!("[coordination]\nbackend_url = {url}\n[notification]\nworkload_partitioning = true\n"));
    assert!(shared.len() == 1 && shared[0].starts_with("! c:2: ") && shared[0].contains(store), "{shared:?}");
    assert!(!format!("{alone:?}{shared:?}").contains("SESAME"));
}

#[test]
fn options_of_the_group_are_judged_only_with_a_group() {
    let text = "[coordination]\ncheck_watchers = often\nheartbeat = 1\nsilence_limit = -1\n[nephoscope]\nweight = 0\n\
                [notification]\npipeline_processing_queues = 5000\n";
    let alone = complaints(text);
    assert!(alone.iter().all(|c| c.starts_with('?') && c.contains("workload_partitioning is off")), "{alone:#?}");
    assert_eq!(alone.len(), 4, "{alone:#?}");
    let shared = complaints(&format!("{text}workload_partitioning = yes\n[coordination]\nbackend_url = etcd3://\n"));
    assert_eq!(shared.iter().filter(|c| c.starts_with('!')).count(), 4, "{shared:#?}");
    assert!(shared.iter().any(|c| c.contains("heartbeat is the lease in etcd")), "{shared:#?}");
    // What is no flag at all is not off: everything at once.
    let neither = complaints(&format!("{text}workload_partitioning = ture\n"));
    assert_eq!(neither.iter().filter(|c| c.starts_with('!')).count(), 5, "{neither:#?}");
}

/// Each makes Ceilometer neither stop nor do anything, or does nothing here.
#[rstest]
#[case("[event]\nstore_raw = unknown", "store_raw = \"unknown\" has no effect: only info and error make events")]
#[case("[event]\nstore_raw = info\nstore_raw = warn,error", "store_raw = \"warn,error\" has no effect")]
#[case("[notification]\nbatch_size = ten", "\"ten\" would be wrong: expected a whole number from 1 to 65535")]
#[case("[notification]\nworkers = 0", "\"0\" would be wrong")]
#[case("[DEFAULT]\nmax_parallel_requests = many", "\"many\" would be wrong")]
#[case("[DEFAULT]\npipeline_polling_interval = soon", "[DEFAULT] refresh_pipeline_cfg and [DEFAULT] refresh_event")]
#[case("[oslo_messaging_rabbit]\nkombu_compression = zip", "\"zip\" would be wrong: expected one of gzip, bz2")]
#[case("[polling]\nidentity_name_discovery = perhaps", "\"perhaps\" would be wrong: expected true or false")]
#[case("[oslo_messaging_rabbit]\nssl_cert_file = /x", "")]
#[case("[DEFAULT]\ntransport_url = kafka://h\n[oslo_messaging_notifications]\ntransport_url = rabbit://h", "")]
#[case("[oslo_messaging_rabbit]\nrabbit_port = x\n[DEFAULT]\ntransport_url = rabbit://h", "rabbit_port has no effect")]
fn an_option_has_no_effect(#[case] text: &str, #[case] warning: &str) {
    let told = complaints(text);
    assert!(told.iter().all(|c| c.starts_with('?')), "{told:?}");
    assert!(told.len() < 2 && told.concat().contains(warning), "{told:?}");
    assert_eq!(told.is_empty(), warning.is_empty(), "{told:?}");
}

#[test]
fn what_store_raw_means_is_kept_beside_what_it_does_not() {
    let (settings, _) = read("[event]\nstore_raw = ERROR\nstore_raw = unknown\n");
    assert_eq!(settings.conversion.store_raw, ["error"]);
}

#[test]
fn a_broker_is_named_the_old_way() {
    let folder = situation("broker-named-the-old-way");
    let told = nephoscope(&folder, &["check", "--config-file", "mitaka.conf"]);
    let named: Vec<&str> = told.about("mitaka.conf").into_iter().filter(|line| line.contains("rabbit_hosts")).collect();
    assert_eq!(
        named,
        ["warning: mitaka.conf:4: [oslo_messaging_rabbit] rabbit_hosts and its like name the broker, as before \
          transport_url; they are taken as [DEFAULT] transport_url = \
          rabbit://ceilometer:***@controller-1:5672,ceilometer:***@controller-2:5672//openstack"]
    );
    assert!(!told.all().contains("secret"), "{}", told.all());
    assert_eq!(told.exit, 0);
    let (settings, _) = config::load(&[folder.join("mitaka.conf")], &[]);
    let settings = settings.unwrap();
    let same = "rabbit://ceilometer:secret@controller-1:5672,ceilometer:secret@controller-2:5672//openstack";
    assert_eq!(settings.transport, settings.transport_url(same).unwrap());
    assert_eq!(settings.intake.urls, std::slice::from_ref(&settings.transport));
}

/// The broker, and the first user with its password, as the options of old name them.
#[rstest]
#[case::of_juno("[DEFAULT]\nrabbit_host = h\nrabbit_userid = u\nrabbit_password = p", "rabbit://h:5672/", "u:p")]
#[case::a_port("[oslo_messaging_rabbit]\nrabbit_host = h\nrabbit_port = 5671", "rabbit://h:5671/", "guest:guest")]
#[case::hosts_without_port(
    "[oslo_messaging_rabbit]\nrabbit_hosts = a, b:1 ,[::1]:2,fe80::1\nrabbit_port = 7",
    "rabbit://a:7,b:1,[::1]:2,[fe80::1]:7/",
    "guest:guest"
)]
#[case::an_address("[oslo_messaging_rabbit]\nrabbit_host = ::1", "rabbit://[::1]:5672/", "guest:guest")]
#[case::only_a_password("[oslo_messaging_rabbit]\nrabbit_password = p@/:x", "rabbit://localhost:5672/", "guest:p@/:x")]
#[case::hosts_win("[DEFAULT]\nrabbit_hosts = a\nrabbit_host = b", "rabbit://a:5672/", "guest:guest")]
#[case::a_url_without_host("[DEFAULT]\ntransport_url = rabbit://\nrabbit_host = h", "rabbit://h:5672/", "guest:guest")]
#[case::an_empty_url("[DEFAULT]\ntransport_url =\nrabbit_host = h", "rabbit://h:5672/", "guest:guest")]
#[case::a_virtual_host("[DEFAULT]\nrabbit_host = h\nrabbit_virtual_host = v", "rabbit://h:5672/v", "guest:guest")]
#[case::notifications_elsewhere("[DEFAULT]\nnotification_transport_url = rabbit://u:p@h", "rabbit://h:5672/", "u:p")]
fn brokers_of_older_releases(#[case] text: &str, #[case] url: &str, #[case] user: &str) {
    let (settings, complaints) = read(text);
    assert!(complaints.len() < 2 && complaints.iter().all(|c| c.starts_with('?')), "{complaints:?}");
    let transport = &settings.transport;
    let login = transport.hosts[0].user.as_ref().map(|(user, password)| format!("{user}:{}", password.reveal()));
    assert_eq!((transport.to_string().as_str(), login.as_deref()), (url, Some(user)));
    assert_eq!(settings.intake.urls, std::slice::from_ref(transport));
}

#[test]
fn tls_of_older_releases_is_not_lost_with_its_section() {
    let text =
        "[DEFAULT]\nrabbit_host = h\nrabbit_use_ssl = true\nkombu_ssl_ca_certs = /ca.pem\nrabbit_retry_interval = 7\n";
    let (settings, complaints) = read(text);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    let rabbit = &settings.transport.rabbit;
    assert_eq!(rabbit.tls.as_ref().unwrap().ca_file, Some("/ca.pem".into()));
    assert_eq!(rabbit.retry_interval.as_secs(), 7);
}

#[test]
fn a_written_url_wins_over_the_options_of_old() {
    let (settings, complaints) = read(
        "[DEFAULT]\ntransport_url = rabbit://u:p@new/\n[oslo_messaging_rabbit]\nrabbit_hosts = old\nrabbit_password = SESAME\n",
    );
    assert_eq!(settings.transport.to_string(), "rabbit://new:5672/");
    assert_eq!(
        complaints,
        [
            "? c:4: [oslo_messaging_rabbit] rabbit_hosts has no effect: transport_url names the broker; remove rabbit_hosts",
            "? c:5: [oslo_messaging_rabbit] rabbit_password has no effect: transport_url names the broker; remove \
             rabbit_password",
        ]
    );
}

#[rstest]
#[case("[DEFAULT]\nrpc_backend = qpid\nqpid_hostname = h", "! c:2: [DEFAULT] rpc_backend = \"qpid\" names a broker")]
#[case("[DEFAULT]\nrabbit_hosts = h:x", "! c:2: [oslo_messaging_rabbit] rabbit_hosts = \"h:x\": expected a port")]
#[case("[DEFAULT]\nrabbit_host = h\nrabbit_port = x", "! c:3: [oslo_messaging_rabbit] rabbit_port = \"x\": expected a")]
#[case("[DEFAULT]\nrabbit_hosts = u:SESAME@h", "! c:2: [oslo_messaging_rabbit] rabbit_hosts = \"***@h\": expected a")]
fn a_broker_of_older_releases_cannot_be_used(#[case] text: &str, #[case] error: &str) {
    let told = complaints(text);
    assert!(told.iter().any(|c| c.starts_with(error)), "{told:?}");
    assert!(!told.concat().contains("SESAME"), "{told:?}");
}

#[test]
fn sections_are_misspelt() {
    let told = nephoscope(&situation("misspelt-sections"), &["check", "--config-file", "ceilometer.conf"]);
    assert_eq!(
        told.about("ceilometer.conf"),
        [
            "warning: ceilometer.conf:3: [oslo_messaging_notification] is not known, and has no effect; did you mean \
             [oslo_messaging_notifications]?",
            "warning: ceilometer.conf:5: [oslo_messaging_rabit] is not known, and has no effect; did you mean \
             [oslo_messaging_rabbit]?",
            "warning: ceilometer.conf:7: [notifications] is not known, and has no effect; did you mean [notification]?",
            "warning: ceilometer.conf:9: [coordinaton] is not known, and has no effect; did you mean [coordination]?",
            "warning: ceilometer.conf:11: [nephoscop] is not known, and has no effect; did you mean [nephoscope]?",
        ]
    );
    assert_eq!(told.exit, 0);
}

#[rstest]
#[case(
    "[rabbitmq]\nrabbit_quorum_queue = true",
    "? c:1: [rabbitmq] is not known, and has no effect; did you mean [oslo_messaging_rabbit]?"
)]
#[case("[ event ]\nstore_raw = info", "? c:1: [ event ] is not known, and has no effect; did you mean [event]?")]
#[case(
    "[DEFAULT]\nworkload_partitioning = true",
    "? c:2: [DEFAULT] workload_partitioning is not known in this section; did you mean [notification] workload_partitioning?"
)]
#[case(
    "[notification]\nbackend_url = etcd3://",
    "? c:2: [notification] backend_url is not known in this section; did you mean [coordination] backend_url?"
)]
#[case(
    "[DEFAULT]\nworkload_partitionign = true",
    "? c:2: [DEFAULT] workload_partitionign is not known; did you mean [notification] workload_partitioning?"
)]
#[case(
    "[notification]\ntopic = a",
    "? c:2: [notification] topic is not known; did you mean [oslo_messaging_notifications] topics?"
)]
#[case(
    "[oslo_messaging_rabbit]\nrabit_quorum_queue = 1",
    "? c:2: [oslo_messaging_rabbit] rabit_quorum_queue is not known; did you mean rabbit_quorum_queue?"
)]
#[case(
    "[oslo_messaging_rabbit]\ntopics = a",
    "? c:2: [oslo_messaging_rabbit] topics is not known in this section; did you mean [oslo_messaging_notifications] topics?"
)]
#[case(
    "[keystone_authtoken]\ntransport_url = x\n[matchmaker_redis]\nhost = h\n[database]\nconnection = x\n[oslo_concurrency]\nlock_path = /x\n[oslo_policy]\n[nova]\n[somebody]\nworkers = 1\n",
    ""
)]
fn something_stands_in_the_wrong_section(#[case] text: &str, #[case] warning: &str) {
    assert_eq!(complaints(text).concat(), warning);
}

#[test]
fn a_misspelt_section_is_named_once_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[notifications]\nworkers = 1\n[DEFAULT]\n[notifications]\nbatch_size = 1\n";
    let files = ["a.conf", "b.conf"].map(|name| folder.path().join(name));
    files.iter().for_each(|file| std::fs::write(file, text).unwrap());
    let (_, complaints) = config::load(&files, &[]);
    let lines: Vec<usize> = complaints.iter().map(|c| c.place.line).collect();
    assert_eq!(lines, [1, 1], "{complaints:?}");
}

#[test]
fn one_broker_is_named_twice() {
    let folder = situation("one-broker-named-twice");
    let told = nephoscope(&folder, &["check", "--config-file", "ceilometer.conf"]);
    assert_eq!(
        told.about("ceilometer.conf"),
        [
            "warning: ceilometer.conf:5: [notification] messaging_urls names a broker again: rabbit://127.0.0.1:5672/ is \
          rabbit://127.0.0.1:5672/ of ceilometer.conf:4; its queues are consumed once, as that line says; remove one of \
          the two"
        ]
    );
    assert_eq!(told.exit, 0);
    let (settings, _) = config::load(&[folder.join("ceilometer.conf")], &[]);
    assert_eq!(settings.unwrap().intake.urls.len(), 1);
}

#[rstest]
#[case::two_slashes("rabbit://u:p@h1,u:p@h2/", "rabbit://u:p@h1,u:p@h2//", 1)]
#[case::an_escaped_slash("rabbit://u:p@h1/", "rabbit://u:p@h1/%2F", 1)]
#[case::other_order("rabbit://u:p@h1,u:p@h2/", "rabbit://u:p@h2,u:p@h1/", 1)]
#[case::another_user("rabbit://u:p@h1/", "rabbit://w:q@h1/", 1)]
#[case::another_case("rabbit://u:p@Controller/", "rabbit://u:p@controller/", 1)]
#[case::a_part_of_it("rabbit://u:p@h1,u:p@h2,u:p@h3/", "rabbit://u:p@h3/", 1)]
#[case::another_scheme("rabbit://h1", "kombu://h1:5672", 1)]
#[case::another_vhost("rabbit://h1/nova", "rabbit://h1/cinder", 2)]
#[case::another_port("rabbit://h1:5672/", "rabbit://h1:5673/", 2)]
fn two_urls_are_one_broker_or_two(#[case] one: &str, #[case] other: &str, #[case] brokers: usize) {
    let text = format!("[notification]\nmessaging_urls = {one}\nmessaging_urls = {other}\n");
    let (settings, complaints) = read(&text);
    assert_eq!(settings.intake.urls.len(), brokers);
    assert_eq!(complaints.len(), 2 - brokers, "{complaints:?}");
    assert!(complaints.iter().all(|c| c.starts_with("? c:3: ") && c.contains("c:2")), "{complaints:?}");
}

#[test]
fn a_wrong_url_hides_no_other_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[DEFAULT]\ntransport_url = kafka://h\n[notification]\nmessaging_urls = rabbit://h:x/\n\
                messaging_urls = rabbit://h\nmessaging_urls = rabbit://h\nmessaging_urls = amqp://h\n";
    std::fs::write(folder.path().join("ceilometer.conf"), text).unwrap();
    std::fs::write(
        folder.path().join("pipeline.yaml"),
        "sources: [{name: s, meters: ['*'], sinks: [s]}]\nsinks: [{name: s, publishers: ['gnochi://']}]\n",
    )
    .unwrap();
    let told = nephoscope(folder.path(), &["check", "--config-file", "ceilometer.conf"]);
    let places: Vec<String> = told
        .about("ceilometer.conf")
        .iter()
        .map(|line| line.split(':').take(3).collect::<Vec<_>>().join(":"))
        .collect();
    let expected = [("error", 2), ("error", 4), ("warning", 6), ("error", 7)];
    assert_eq!(places, expected.map(|(mark, line)| format!("{mark}: ceilometer.conf:{line}")), "{}", told.errors);
    assert!(told.errors.contains("gnochi"), "the pipelines are looked at all the same: {}", told.errors);
    assert_eq!(told.exit, 78);
}

#[test]
fn partitioning_with_an_empty_backend() {
    let folder = situation("partitioning-with-an-empty-backend");
    let told = nephoscope(&folder, &["check", "--config-file", "ceilometer.conf"]);
    let expected = "error: ceilometer.conf:4: [notification] workload_partitioning needs a place where members meet; write \
                    [coordination] backend_url = etcd3+http://host:2379, or workload_partitioning = false for a single agent";
    assert_eq!((told.about("ceilometer.conf"), told.exit), (vec![expected], 78));
    let same = complaints("[notification]\nworkload_partitioning = true\n");
    for empty in ["backend_url =", "backend_url = ''", "backend_url = $nothing\n[coordination]\nnothing ="] {
        let told = complaints(&format!("[notification]\nworkload_partitioning = true\n[coordination]\n{empty}\n"));
        assert!(told.contains(&same[0]), "{told:?}");
        let alone: Vec<String> = complaints(&format!("[coordination]\n{empty}\n"));
        assert!(!alone.iter().any(|c| c.contains("backend_url")), "{alone:?}");
    }
}

#[test]
fn two_urls_are_in_one_value() {
    let folder = situation("two-urls-in-one-value");
    for command in ["check", "run"] {
        let told = nephoscope(&folder, &[command, "--config-file", "ceilometer.conf"]);
        let about = told.about("ceilometer.conf");
        assert_eq!((about.len(), told.exit), (1, 78), "{}", told.all());
        assert!(
            about[0].starts_with("error: ceilometer.conf:4: [notification] messaging_urls = ***: expected one URL")
        );
        assert!(about[0].contains("may be repeated"), "{}", about[0]);
        assert!(!["TWO", "THREE", ":one"].iter().any(|password| told.all().contains(password)), "{}", told.all());
    }
}

#[rstest]
#[case("[DEFAULT]\ntransport_url = rabbit://a:TWO@h/,rabbit://b:TWO@i/")]
#[case("[DEFAULT]\ntransport_url = rabbit://a:TWO@h/ rabbit://b:TWO@i/")]
#[case("[DEFAULT]\ntransport_url = rabbit://a:TWO@h/\n  rabbit://b:TWO@i/")]
#[case("[oslo_messaging_notifications]\ntransport_url = rabbit://a:TWO@h;rabbit://b:TWO@i")]
#[case("[notification]\nmessaging_urls = rabbit://h/?ssl=true, rabbit://b:TWO@i/")]
#[case(
    "[notification]\nworkload_partitioning = 1\n[coordination]\nbackend_url = etcd3://a:TWO@h:2379,etcd3://b:TWO@i:2379"
)]
fn several_urls_are_in_one_value(#[case] text: &str) {
    let told = complaints(text);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("! ") && told[0].contains("expected one URL") && !told[0].contains("TWO"), "{told:?}");
}

#[test]
fn snippets_lie_beside_a_named_file() {
    let folder = situation("snippets-beside-a-named-file");
    let arguments = ["convert", "--config-file", "main.conf", "-o", "json", "notification.jsonl"];
    let told = at_home(&folder, &folder.join("home"), &arguments);
    assert!(told.output.contains("\"source\":\"from-the-folder\""), "{}", told.all());
    let told = nephoscope(&folder, &arguments);
    assert!(told.output.contains("\"source\":\"openstack\""), "{}", told.all());
}

/// Files of which each says where it is: the last one read is the sample's source.
fn folders() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("home/.ceilometer/ceilometer.conf", "standard-file"),
        ("home/.ceilometer/ceilometer.conf.d/10.conf", "standard-10"),
        ("home/.ceilometer/ceilometer.conf.d/20.conf", "standard-20"),
        ("home/.ceilometer/ceilometer.conf.d/.30.conf", "hidden"),
        ("home/.ceilometer/ceilometer.conf.d/30.txt", "no-conf"),
        ("home/ceilometer-agent-notification.conf.d/05.conf", "of-the-program"),
        ("home/ceilometer.conf.d/99.conf", "a-second-folder-of-one-name"),
        ("one.conf", "one"),
        ("two.conf", "two"),
        ("folder/a.conf", "folder"),
    ];
    for (name, source) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("[DEFAULT]\nsample_source = {source}\n")).unwrap();
    }
    let notification = situation("snippets-beside-a-named-file").join("notification.jsonl");
    std::fs::copy(notification, folder.path().join("notification.jsonl")).unwrap();
    folder
}

/// Compared with oslo.config 9: which file wins.
#[rstest]
#[case::nothing_is_named(&[], "of-the-program")]
#[case::a_file_is_named(&["--config-file", "one.conf"], "one")]
#[case::the_last_file_wins(&["--config-file", "two.conf", "--config-file=one.conf"], "one")]
#[case::a_folder_is_named(&["--config-dir", "folder"], "folder")]
#[case::a_file_and_a_folder(&["--config-file", "one.conf", "--config-dir", "folder"], "folder")]
#[case::a_folder_and_a_file(&["--config-dir", "folder", "--config-file", "one.conf"], "one")]
#[case::a_home_that_no_shell_replaced(&["--config-dir=~/.ceilometer/ceilometer.conf.d"], "standard-20")]
fn files_are_found_as_oslo_config_finds_them(#[case] named: &[&str], #[case] source: &str) {
    let folder = folders();
    let mut arguments = vec!["convert", "-o", "json", "notification.jsonl"];
    arguments.extend(named);
    let told = at_home(folder.path(), &folder.path().join("home"), &arguments);
    assert!(told.output.contains(&format!("\"source\":\"{source}\"")), "{}", told.all());
    // A file that is not named, or a folder, counts below whatever is named.
    let arguments = ["check", "--config-dir", "folder"];
    std::fs::write(folder.path().join("home/.ceilometer/ceilometer.conf"), "[DEFAULT]\nsample_sorce = x\n").unwrap();
    let told = at_home(folder.path(), &folder.path().join("home"), &arguments);
    assert!(told.errors.contains("did you mean sample_source?"), "{}", told.all());
}

#[test]
fn a_named_folder_is_not_there() {
    let told = nephoscope(&std::env::temp_dir(), &["check", "--config-dir", "/nowhere/at/all"]);
    assert_eq!((told.exit, told.about("/nowhere/at/all").len()), (78, 1), "{}", told.all());
}

#[rstest]
#[case("[notification]\nworkload_partitioning = [true]", "workload_partitioning = \"[true]\": expected true or false")]
#[case(
    "[nephoscope]\nlease_ttl = soon\n[notification]\nworkload_partitioning = on\n[coordination]\nbackend_url = etcd3://",
    "lease_ttl = \"soon\": expected a number"
)]
#[case("[oslo_messaging_rabbit]\nssl = maybe", "ssl = \"maybe\": expected true or false")]
#[case("[DEFAULT]\nreserved_metadata_length = 12.5", "\"12.5\": expected a whole number")]
#[case("[DEFAULT]\ngraceful_shutdown_timeout = u:SESAME@h", "graceful_shutdown_timeout = \"***@h\": expected a whole")]
fn a_value_is_of_another_type(#[case] text: &str, #[case] error: &str) {
    let told = complaints(text);
    assert!(told.len() == 1 && told[0].starts_with('!') && told[0].contains(error), "{told:?}");
}
