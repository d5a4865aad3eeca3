//! How the cost of conversion grows: with the size of a body, with the number of definitions, with that of event types.

use crate::definitions::{self, publishable};
use crate::{mix, rounds};
use nephoscope::convert::{ConvertOptions, Converter};
use nephoscope::model::envelope;
use std::time::{Duration, Instant};

/// How long each is measured.
const LASTS: Duration = Duration::from_secs(2);
/// Bytes of a body.
const SIZES: [usize; 5] = [1_000, 3_000, 10_000, 100_000, 1_000_000];
/// Definitions, in times of the shipped ones.
const TIMES: [usize; 3] = [1, 10, 100];
/// Event types that no notification had before.
const NEW_TYPES: usize = 200;
const EVENT_TYPES: usize = 1_000;

pub(crate) fn print(bodies: &[Vec<u8>]) {
    let shipped = definitions::shipped(ConvertOptions::default());
    println!("{:<34} {:>14}", "bytes of a body", "us, best round");
    for bytes in SIZES {
        println!("{bytes:<34} {:>14.1}", micros(&shipped, &[mix::of_size(bytes, 1)]));
    }
    let count = definitions::shipped_count();
    println!("{:<34} {:>14} {:>22} {:>8}", "definitions", "us, best round", "us, new event type", "load ms");
    for times in TIMES {
        let began = Instant::now();
        let converter = definitions::with_more(count * (times - 1));
        let load = began.elapsed().as_secs_f64() * 1e3;
        let mix = micros(&converter, bodies);
        println!("{:<34} {mix:>14.1} {:>22.1} {load:>8.0}", format!("x {times}"), first_sight(&converter));
    }
    println!("{:<34} {:>14}", "event types, one definition each", "us, best round");
    let converter = definitions::with_more(EVENT_TYPES);
    for types in [1, EVENT_TYPES] {
        let bodies: Vec<Vec<u8>> = (0..EVENT_TYPES).map(|n| of_type(&format!("bench.type{}", n % types))).collect();
        println!("{types:<34} {:>14.1}", micros(&converter, &bodies));
    }
}

/// CPU of one notification in the best round.
fn micros(converter: &Converter, bodies: &[Vec<u8>]) -> f64 {
    rounds(converter, bodies, LASTS).cpu.as_secs_f64() * 1e6 / bodies.len() as f64
}

/// What the first notification of an event type costs more than the second.
fn first_sight(converter: &Converter) -> f64 {
    let (context, mut out) = (converter.context_members(), Vec::new());
    let mut micros = |body: &[u8]| {
        out.clear();
        let began = Instant::now();
        publishable(converter, &envelope::open_for(body, &context).unwrap(), &mut out);
        began.elapsed().as_secs_f64() * 1e6
    };
    let mut more: Vec<f64> = (0..NEW_TYPES)
        .map(|n| of_type(&format!("new.kind{n}.of.thing")))
        .map(|body| micros(&body) - micros(&body))
        .collect();
    more.sort_by(f64::total_cmp);
    more[more.len() / 2]
}

fn of_type(event_type: &str) -> Vec<u8> {
    let message = serde_json::json!({
        "message_id": "5dff42f0-abc6-4c39-86da-0c396da9d0c7",
        "publisher_id": "bench.host",
        "event_type": event_type,
        "priority": "INFO",
        "timestamp": "2026-03-01 10:00:00.000000",
        "payload": {"id": "8af60360-afd9-4dbb-a83a-9a45d492e70b", "size": 10, "owner": "24422850abc31525d567e2fd4bd0adcb"},
    });
    serde_json::json!({"oslo.version": "2.0", "oslo.message": message.to_string()}).to_string().into_bytes()
}
