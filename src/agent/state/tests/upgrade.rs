//! Members of a group are updated one after the other: a log that 0.1.0 wrote is read, and goes on where it stood.

use super::*;

/// A log as 0.1.0 writes it, one record a line, in hexadecimal digits: two resources in three batches, released with a snapshot;
/// taken over, and two batches more, the last of which is not known to be published. This file stays as it is until nobody
/// upgrades from 0.1.0 any more.
const WRITTEN: &str = include_str!("format-1.log");

/// What wrote it.
async fn write(lab: &Lab) -> Vec<String> {
    let mut first = lab.open(QUEUE, 1).await.unwrap();
    for step in 1..=3 {
        take(&mut first, fragment(if step == 2 { "other" } else { "r" }, step, 10 * step), step).await.unwrap();
        first.published().await.unwrap();
    }
    first.release().await.unwrap();
    let mut second = lab.open(QUEUE, 2).await.unwrap();
    for step in 4..=5 {
        take(&mut second, fragment("r", step, 10 * step), step).await.unwrap();
    }
    let records = lab.broker.stream_records(&topology::state_log_name(QUEUE)).into_iter();
    records.map(|record| record.body.iter().map(|byte| format!("{byte:02x}")).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_log_of_the_released_version_goes_on_where_it_stood() {
    if std::env::var_os("NEPHOSCOPE_WRITE_FORMAT").is_some() {
        let written = write(&Lab::new(1 << 20).await).await.join("\n") + "\n";
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/agent/state/tests/format-1.log"), written).unwrap();
        return;
    }
    let lab = Lab::new(1 << 20).await;
    for line in WRITTEN.lines() {
        let digits = line.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
        lab.append(digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()).await;
    }
    let mut keeper = lab.open(QUEUE, 3).await.unwrap();
    assert_eq!(keeper.number(), 5);
    let none: [Value; 0] = [];
    assert_eq!(take(&mut keeper, fragment("r", 5, 50), 5).await.unwrap(), none, "it took effect before");
    assert_eq!(take(&mut keeper, fragment("r", 6, 77), 6).await.unwrap(), [Value::Int(27)], "since step 5");
    assert_eq!(take(&mut keeper, fragment("other", 7, 21), 7).await.unwrap(), [Value::Int(1)], "from the snapshot");
}
