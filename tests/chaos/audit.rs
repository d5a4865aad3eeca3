//! The second witness: what `nephoscope audit` says of a run, held against what the ledger says.

use serde::Deserialize;
use std::process::Command;

use super::collector::Book;
use super::ledger::Verdict;
use super::stage::Stage;

/// Outputs by the sinks that publish to them.
const SINKS: [&str; 3] = ["plain", "rates", "event:events"];

/// What this witness needs of `nephoscope audit -o json`.
#[derive(Debug, Deserialize)]
pub struct Audit {
    balanced: bool,
    covered: bool,
    died: u64,
    main_queues: Vec<Main>,
    sinks: Vec<Sink>,
    queues: Vec<Queue>,
    unsplit: Vec<Unsplit>,
    differences: Vec<Difference>,
}

#[derive(Debug, Deserialize)]
struct Main {
    taken: u64,
    parked: u64,
}

#[derive(Debug, Deserialize)]
struct Sink {
    sink: String,
    publishers: Vec<Publisher>,
}

#[derive(Debug, Deserialize)]
struct Publisher {
    direct: Offered,
    from_overflow: Offered,
}

#[derive(Debug, Deserialize)]
struct Offered {
    #[serde(default)]
    published: u64,
}

#[derive(Debug, Deserialize)]
struct Queue {
    queue: String,
    packets_waiting: u64,
}

#[derive(Debug, Deserialize)]
struct Unsplit {
    packets: u64,
}

#[derive(Debug, Deserialize)]
struct Difference {
    queue: String,
    what: String,
}

/// Asks for the books of the stage's group, from its beginning on.
pub async fn ask(stage: &Stage) -> Result<Audit, String> {
    let file = stage.folder.join("audit.conf");
    let url = stage.urls()[0].replacen("amqp://", "rabbit://", 1);
    let text = format!("[DEFAULT]\ntransport_url = {url}\n[nephoscope]\ngroup = {}\n", stage.group);
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nephoscope"));
    command.arg("audit").args(["-o", "json"]).arg("--config-file").arg(file);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let audit: Audit = serde_json::from_slice(&output.stdout).map_err(|error| format!("no audit: {error}; {told}"))?;
    let said = output.status.code();
    if said != Some(i32::from(!audit.balanced)) {
        return Err(format!("audit ended with {said:?}, balanced: {}; {told}", audit.balanced));
    }
    Ok(audit)
}

impl Audit {
    /// Where it and the ledger do not agree. What died unnoted may be missing in the books, and nothing else.
    pub fn disagrees(&self, verdict: &Verdict, book: &Book) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut unless = |agrees: bool, what: String| {
            if !agrees {
                wrong.push(format!("the books say otherwise: {what}"));
            }
        };
        let named: Vec<String> = self.differences.iter().map(|d| format!("{}: {}", d.queue, d.what)).collect();
        unless(self.balanced == (verdict.lost == 0), format!("{} lost, and differences {named:?}", verdict.lost));
        unless(self.covered, "they do not begin where the run began".to_owned());
        let left: Vec<&str> = self.queues.iter().filter(|row| row.packets_waiting > 0).map(|row| &*row.queue).collect();
        unless(left.is_empty(), format!("something waits: {left:?}"));
        let is_whole = self.died == 0 && self.unsplit.iter().map(|unsplit| unsplit.packets).sum::<u64>() == 0;
        let taken: u64 = self.main_queues.iter().map(|row| row.taken).sum();
        let sent = (verdict.owed + verdict.poison) as u64;
        unless(!is_whole || taken >= sent, format!("{taken} notifications were taken, {sent} were sent"));
        let parked: u64 = self.main_queues.iter().map(|row| row.parked).sum();
        unless(!is_whole || parked >= verdict.poison as u64, format!("{parked} are parked of {}", verdict.poison));
        for (sink, arrivals) in SINKS.iter().zip(&book.arrivals) {
            let rows = self.sinks.iter().filter(|row| row.sink == *sink).flat_map(|row| &row.publishers);
            let published: u64 = rows.map(|row| row.direct.published + row.from_overflow.published).sum();
            let (came, repeats) = (arrivals.len() as u64, verdict.repeats.iter().sum::<usize>() as u64);
            unless(published <= came, format!("{sink} published {published} records, and {came} came"));
            let least = came.saturating_sub(repeats);
            unless(
                !is_whole || published >= least,
                format!("{sink} published {published} records, and {least} came once"),
            );
        }
        wrong
    }
}
