//! What converting costs on one core, with the shipped definitions: `cargo bench --bench conversion`; with `growth` after `--`,
//! how that cost grows.
//!
//! From the bytes on the wire to the bytes that a publisher would send, samples and events both. Figures are printed,
//! none is gated on: they depend on the machine.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "conversion/definitions.rs"]
mod definitions;
#[path = "conversion/growth.rs"]
mod growth;
#[path = "throughput/mix.rs"]
#[expect(dead_code, reason = "the loops need more of it")]
mod mix;

use definitions::publishable;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use nephoscope::convert::{ConvertOptions, Converter};
use nephoscope::model::{Notification, Priority, envelope, json};
use rustix::time::{ClockId, clock_gettime};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How long the mix is converted.
const LASTS: Duration = Duration::from_secs(8);

/// The bundled mix, one notification each as a service puts it on the wire.
static BODIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(mix::bundled);

/// As shipped: what no definition takes becomes an event of the default traits.
static SHIPPED: LazyLock<Converter> = LazyLock::new(|| definitions::shipped(ConvertOptions::default()));

/// As shipped but without that catch-all, so that there is something that nothing matches.
static DROPPING: LazyLock<Converter> = LazyLock::new(|| {
    definitions::shipped(ConvertOptions { drop_unmatched_notifications: true, ..ConvertOptions::default() })
});

fn main() {
    if std::env::args().any(|argument| argument == "growth") {
        return growth::print(&BODIES);
    }
    print_rate();
    divan::main();
}

/// What a round through some notifications took.
struct Rounds {
    /// The best, by the clock on the wall.
    best: Duration,
    /// The best, by the CPU time of this thread.
    cpu: Duration,
    mean: Duration,
}

/// Converts these again and again; once before, so that their event types are known, and then for so long.
fn rounds(converter: &Converter, bodies: &[Vec<u8>], lasts: Duration) -> Rounds {
    let (context, mut out) = (converter.context_members(), Vec::new());
    let mut round = || {
        for body in bodies {
            out.clear();
            publishable(converter, &envelope::open_for(body, &context).unwrap(), &mut out);
            black_box(&out);
        }
    };
    round();
    let (mut best, mut cpu, mut count) = (Duration::MAX, Duration::MAX, 0);
    let start = Instant::now();
    while start.elapsed() < lasts {
        let (wall, used) = (Instant::now(), thread_cpu());
        round();
        cpu = cpu.min(thread_cpu().checked_sub(used).unwrap());
        best = best.min(wall.elapsed());
        count += 1;
    }
    Rounds { best, cpu, mean: start.elapsed() / count }
}

/// The CPU time of this thread so far.
fn thread_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// The figure that the project is judged by, in its own unit; the best round is what a core does undisturbed.
fn print_rate() {
    let measured = rounds(&SHIPPED, &BODIES, LASTS);
    let (count, bytes) = (BODIES.len() as f64, BODIES.iter().map(Vec::len).sum::<usize>() as f64);
    let rate = |round: Duration| count / round.as_secs_f64();
    println!(
        "{:.0} notifications/s on one core in the best round ({:.0} by CPU time, {:.0} on average), of {:.0} bytes",
        rate(measured.best),
        rate(measured.cpu),
        rate(measured.mean),
        bytes / count
    );
}

/// The parts of the whole.
#[divan::bench]
fn open_the_envelope(bencher: Bencher<'_, '_>) {
    let bytes: usize = BODIES.iter().map(Vec::len).sum();
    let context = SHIPPED.context_members();
    bencher
        .counter(BytesCount::new(bytes))
        .bench(|| BODIES.iter().map(|b| envelope::open_for(b, &context).unwrap()).collect::<Vec<_>>());
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
