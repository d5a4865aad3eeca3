//! Whatever bytes come: nothing panics, takes longer than [`LONGEST`] or fills the memory.
//!
//! Mutations of real inputs from a seed, for `NEPHOSCOPE_FUZZ_SECONDS` a target (`make fuzz` for longer). The input at
//! work is always in a file, so that also what ends the process can be had again: `NEPHOSCOPE_FUZZ_INPUT=<file> cargo
//! test --test pure fuzz::<target>`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mutation;

use nephoscope::config::{self, yaml};
use nephoscope::convert::field::Field;
use nephoscope::convert::{ConvertOptions, Converter, Sources};
use nephoscope::model::envelope::Unreadable;
use nephoscope::model::{Node, Notification, Place, Priority, Value, envelope, json};
use nephoscope::pipeline::{Kind, Plan};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For each target, unless `NEPHOSCOPE_FUZZ_SECONDS` says otherwise.
const LASTING_SECONDS: u64 = 20;
/// No input of up to a mebibyte may keep a reader busy for longer, twice in a row (once may be the machine).
const LONGEST: Duration = Duration::from_secs(2);
/// The most memory that a target's whole run may have had, in KiB.
const MEMORY_KIB_MAX: u64 = 1 << 20;

const NOTIFICATIONS: &str = include_str!("../../config/notifications.jsonl");
const METERS: &str = include_str!("../../config/meters.d/meters.yaml");
const EVENTS: &str = include_str!("../../config/event_definitions.yaml");

#[test]
fn a_message_body() {
    let converter = converter(METERS, EVENTS).unwrap();
    let context = converter.context_members();
    let shown = |opened: &Result<Notification, Unreadable>| match opened {
        // As text, in which NaN is equal to itself.
        Ok(notification) => Ok((json::to_string(notification.root()), notification.priority())),
        Err(unreadable) => Err(unreadable.clone()),
    };
    let mut corpus: Vec<Vec<u8>> = NOTIFICATIONS.lines().map(|line| line.as_bytes().to_vec()).collect();
    // Without the envelope mutations reach the inside unescaped.
    let bare = corpus.iter().filter_map(|body| {
        let outer = json::read(body).unwrap();
        Some(outer.as_dict()?.get("oslo.message")?.as_str()?.as_bytes().to_vec())
    });
    let bare: Vec<Vec<u8>> = bare.collect();
    corpus.extend(bare);
    fuzz("a_message_body", &corpus, |body| {
        let (opened, plainly) = (envelope::open(body), envelope::open_plainly(body));
        assert_eq!(shown(&opened), shown(&plainly), "both ways to read a message agree");
        let Ok(notification) = opened else { return };
        let converted = converter.convert(&notification);
        let of_context = converter.convert(&envelope::open_for(body, &context).unwrap());
        assert_eq!(format!("{converted:?}"), format!("{of_context:?}"), "what is read over is not looked at");
        let mut out = Vec::new();
        for sample in &converted.samples {
            out.clear();
            sample.write_json(&mut out);
            assert!(json::read(&out).is_ok(), "what is published can be read");
        }
        for event in &converted.events {
            out.clear();
            event.write_json(&mut out);
            assert!(json::read(&out).is_ok(), "what is published can be read");
        }
        if body.len() % 16 == 0 {
            let _ = converter.explain(&notification).to_string();
        }
    });
}

#[test]
fn a_field_path() {
    let cases: Vec<Value> =
        include_str!("../golden/paths.jsonl").lines().map(|line| json::read(line.as_bytes()).unwrap()).collect();
    let of = |case: &Value, key| case.as_dict().and_then(|case| case.get(key)).cloned().unwrap_or_default();
    let corpus: Vec<Vec<u8>> = cases.iter().map(|case| json::to_string(&of(case, "field")).into_bytes()).collect();
    let objects: Vec<Value> = cases.iter().step_by(7).map(|case| of(case, "object")).collect();
    let place = Place { file: "fuzz".into(), line: 1 };
    fuzz("a_field_path", &corpus, |text| {
        // As JSON, so that lists of paths and plugins are met too; else as the text of a path.
        let source = json::read(text).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(text).into_owned()));
        let Ok(field) = Field::compile(&Node::from_value(&source, &place)) else { return };
        let object = &objects[text.len() % objects.len()];
        let _ = (field.first(object).is_ok(), field.all(object).is_ok());
    });
}

#[test]
fn a_configuration_file() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("ceilometer.conf");
    let files = [
        METERS,
        EVENTS,
        include_str!("../../config/pipeline.yaml"),
        include_str!("../../config/event_pipeline.yaml"),
        include_str!("../../config/ceilometer.conf.sample"),
    ];
    let mut corpus: Vec<Vec<u8>> = files.iter().map(|text| text.as_bytes().to_vec()).collect();
    for line in include_str!("../golden/meters.jsonl").lines().step_by(10) {
        let case = json::read(line.as_bytes()).unwrap();
        let texts = case.as_dict().unwrap().get("files").and_then(Value::as_list).unwrap_or_default().to_vec();
        corpus.extend(texts.iter().filter_map(Value::as_str).map(|text| text.as_bytes().to_vec()));
    }
    let notification = Notification::from_root(Priority::Info, nephoscope::model::Dict::new());
    fuzz("a_configuration_file", &corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(node) = yaml::read("fuzz.yaml", &text) {
            for kind in [Kind::Samples, Kind::Events] {
                let _ = Plan::read(kind, &node);
            }
        }
        for built in [converter(&text, "[]"), converter("metric: []", &text)].into_iter().flatten() {
            let _ = built.convert(&notification);
        }
        std::fs::write(&conf, bytes).unwrap();
        let _ = config::load(std::slice::from_ref(&conf), &[]);
    });
}

fn converter(meters: &str, events: &str) -> Option<Converter> {
    let sources = Sources {
        meters: vec![yaml::read("meters.yaml", meters).ok()?],
        events: yaml::read("events.yaml", events).ok()?,
    };
    let store_raw = vec![Priority::Error];
    let options = ConvertOptions { disable_non_metric_meters: false, store_raw, ..ConvertOptions::default() };
    Converter::build(&sources, options).0
}

/// Runs a target on mutations of the corpus until the time is over; or on the one input that is to be had again.
fn fuzz(target: &str, corpus: &[Vec<u8>], work: impl Fn(&[u8])) {
    if let Some(file) = std::env::var_os("NEPHOSCOPE_FUZZ_INPUT") {
        return work(&std::fs::read(file).unwrap());
    }
    let seconds = std::env::var("NEPHOSCOPE_FUZZ_SECONDS").map_or(LASTING_SECONDS, |text| text.parse().unwrap());
    // Longer runs see other inputs than the last one; a short one is the same every time.
    let seed = if seconds > LASTING_SECONDS { rand::rng().random() } else { 1 };
    let mut rng = StdRng::seed_from_u64(seed);
    let kept = Kept::new(target);
    let (start, mut done) = (Instant::now(), 0_u64);
    for input in corpus {
        kept.guard(input, &work);
    }
    while start.elapsed() < Duration::from_secs(seconds) {
        kept.guard(&mutation::mutated(corpus, &mut rng), &work);
        done += 1;
    }
    let memory = memory_kib();
    println!("{target}: {done} inputs from seed {seed} in {seconds} s, {} MiB of memory", memory / 1024);
    assert!(memory < MEMORY_KIB_MAX, "{memory} KiB of memory: some input is held or blown up");
    std::fs::remove_file(&kept.file).unwrap();
}

/// The file that holds the input at work.
struct Kept {
    file: PathBuf,
    target: String,
}

/// Says how to have an input again, when a panic passes by.
struct Replay<'k>(&'k Kept, &'k [u8]);

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            const SHOWN_BYTES: usize = 2_000;
            let shown = String::from_utf8_lossy(&self.1[..self.1.len().min(SHOWN_BYTES)]);
            println!("the input of {} bytes: {shown}", self.1.len());
            let Kept { file, target } = self.0;
            println!("again: NEPHOSCOPE_FUZZ_INPUT={} cargo test --test pure fuzz::{target}", file.display());
        }
    }
}

impl Kept {
    fn new(target: &str) -> Self {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{target}.input"));
        Kept { file, target: target.to_owned() }
    }

    fn guard(&self, input: &[u8], work: &impl Fn(&[u8])) {
        std::fs::write(&self.file, input).unwrap();
        let replay = Replay(self, input);
        let once = || {
            let start = Instant::now();
            work(input);
            start.elapsed()
        };
        if once() > LONGEST {
            let again = once();
            assert!(again <= LONGEST, "{} bytes keep the reader busy for {again:?}", input.len());
        }
        drop(replay);
    }
}

/// The most memory that this process ever had; 0 where the system does not say.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
