//! What converting costs on one core, with the shipped definitions: `cargo bench --bench conversion`.
//!
//! From the bytes on the wire to the bytes that a publisher would send, samples and events both. Figures are printed,
//! none is gated on: they depend on the machine.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use nephoscope::config::yaml;
use nephoscope::convert::{ConvertOptions, Converter, Sources};
use nephoscope::model::{Notification, Priority, envelope, json};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The bundled mix, one notification a line as a service puts it on the wire.
static BODIES: LazyLock<Vec<&[u8]>> =
    LazyLock::new(|| include_str!("../config/notifications.jsonl").lines().map(str::as_bytes).collect());

/// As shipped: what no definition takes becomes an event of the default traits.
static SHIPPED: LazyLock<Converter> = LazyLock::new(|| converter(ConvertOptions::default()));

/// As shipped but without that catch-all, so that there is something that nothing matches.
static DROPPING: LazyLock<Converter> =
    LazyLock::new(|| converter(ConvertOptions { drop_unmatched_notifications: true, ..ConvertOptions::default() }));

fn converter(options: ConvertOptions) -> Converter {
    let sources = Sources {
        meters: vec![yaml::read("meters.yaml", include_str!("../config/meters.d/meters.yaml")).unwrap()],
        events: yaml::read("event_definitions.yaml", include_str!("../config/event_definitions.yaml")).unwrap(),
    };
    Converter::build(&sources, options).0.unwrap()
}

fn main() {
    print_rate();
    divan::main();
}

/// The figure that the project is judged by, in its own unit; the best round is what a core does undisturbed.
fn print_rate() {
    const ROUNDS: u32 = 2_000;
    let mut out = Vec::new();
    let mut best = Duration::MAX;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let round = Instant::now();
        for body in BODIES.iter() {
            out.clear();
            publishable(&envelope::open(body).unwrap(), &mut out);
            black_box(&out);
        }
        best = best.min(round.elapsed());
    }
    let (count, bytes) = (BODIES.len() as f64, BODIES.iter().map(|body| body.len()).sum::<usize>() as f64);
    let mean = start.elapsed().as_secs_f64() / f64::from(ROUNDS);
    println!(
        "{:.0} notifications/s on one core ({:.0} in the best round), of {:.0} bytes on average",
        count / mean,
        count / best.as_secs_f64(),
        bytes / count
    );
}

/// Everything a notification gives, as JSON.
fn publishable(notification: &Notification, out: &mut Vec<u8>) {
    let converted = SHIPPED.convert(notification);
    for sample in &converted.samples {
        sample.write_json(out);
    }
    for event in &converted.events {
        event.write_json(out);
    }
}

/// The parts of the whole.
#[divan::bench]
fn open_the_envelope(bencher: Bencher<'_, '_>) {
    let bytes: usize = BODIES.iter().map(|body| body.len()).sum();
    bencher
        .counter(BytesCount::new(bytes))
        .bench(|| BODIES.iter().map(|b| envelope::open(b).unwrap()).collect::<Vec<_>>());
}

#[divan::bench]
fn convert_the_mix(bencher: Bencher<'_, '_>) {
    let opened: Vec<_> = BODIES.iter().map(|body| envelope::open(body).unwrap()).collect();
    bencher
        .counter(ItemsCount::new(opened.len()))
        .bench(|| opened.iter().map(|n| SHIPPED.convert(n).samples.len()).sum::<usize>());
}

#[divan::bench]
fn write_what_the_mix_gives(bencher: Bencher<'_, '_>) {
    let converted: Vec<_> = BODIES.iter().map(|body| SHIPPED.convert(&envelope::open(body).unwrap())).collect();
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(converted.len())).bench_local(|| {
        out.clear();
        for one in &converted {
            one.samples.iter().for_each(|sample| sample.write_json(&mut out));
            one.events.iter().for_each(|event| event.write_json(&mut out));
        }
        out.len()
    });
}

/// What nothing matches: the price of having looked.
#[divan::bench]
fn convert_what_nothing_matches(bencher: Bencher<'_, '_>) {
    let text = br#"{"event_type": "no.definition.takes.this", "payload": {"a": 1}, "metadata": {}, "ctxt": {}}"#;
    let root = json::read(text).unwrap().as_dict().unwrap().clone();
    let notification = Notification::from_root(Priority::Info, root);
    assert_eq!(DROPPING.convert(&notification).events.len(), 0);
    bencher.bench(|| DROPPING.convert(black_box(&notification)));
}
