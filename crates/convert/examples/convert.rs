//! Notifications on standard input, one a line, become samples and events on standard output, one a line:
//!
//! `cargo run -p nephoscope-convert --example convert -- config/meters.d/meters.yaml config/event_definitions.yaml < config/notifications.jsonl`

use nephoscope_convert::{ConvertOptions, Converter, Sources, model::envelope, yaml};
use std::error::Error;
use std::io::{BufRead, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let [meters, events] = [1, 2].map(|nth| std::env::args().nth(nth));
    let read = |file: Option<String>| -> Result<_, Box<dyn Error>> {
        let file = file.ok_or("two files are wanted: meter definitions and event definitions")?;
        Ok(yaml::read(&file, &std::fs::read_to_string(&file)?)?)
    };
    let sources = Sources { meters: vec![read(meters)?], events: read(events)? };
    let (converter, complaints) = Converter::build(&sources, ConvertOptions::default());
    complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
    let converter = converter.ok_or("the definitions cannot be used")?;
    for line in std::io::stdin().lock().lines() {
        let converted = converter.convert(&envelope::open(line?.as_bytes())?);
        let mut out = Vec::new();
        converted.samples.iter().for_each(|sample| {
            sample.write_json(&mut out);
            out.push(b'\n');
        });
        converted.events.iter().for_each(|event| {
            event.write_json(&mut out);
            out.push(b'\n');
        });
        std::io::stdout().write_all(&out)?;
    }
    Ok(())
}
