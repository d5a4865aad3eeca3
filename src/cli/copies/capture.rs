//! `nephoscope capture`: copies of notifications into a compressed file.

use chrono::Utc;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::stop::Stop;
use super::{Window, open};
use crate::cli::{ConfigArguments, Failure, print_line, refuse_errors, runtime};
use crate::config::Settings;
use crate::model::Verdict;
use crate::shadow::capture::{CaptureError, Captured, End, Header, Personal, Room, Writer};
use crate::shadow::copies::Copies;
use crate::transport::{COMPRESSION_HEADER, Delivery};

/// What a kill can take away at most, in time.
const FLUSH: Duration = Duration::from_secs(1);

/// The arguments of `nephoscope capture`.
#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// New file to write to, gzip of JSON lines
    ///
    /// It is called FILE.part until it is finished. A file that exists is never overwritten.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    window: Window,
    /// Most bytes of the file
    #[arg(long, value_name = "BYTES", default_value_t = 100_000_000, value_parser = clap::value_parser!(u64).range(10_000..))]
    max_bytes: u64,
    /// Hash names, e-mail and network addresses
    ///
    /// The key of the hash is random and not kept: equal values stay equal within the file. docs/shadow.md lists the fields.
    #[arg(long)]
    hash_personal: bool,
}

/// Writes copies until it is over.
pub(in crate::cli) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (settings, complaints) = arguments.config.load();
    let Some(settings) = settings else { return Err(Failure::Config(complaints)) };
    refuse_errors(complaints)?;
    let personal = Personal::new(arguments.hash_personal);
    let personal = personal.map_err(|why| Failure::Other(format!("cannot look for addresses: {why}")))?;
    // Before anything is declared: a file that is there is the most frequent mistake.
    let mut writer = Writer::create(&arguments.file, arguments.max_bytes).map_err(failed)?;
    let header = Header::new(arguments.hash_personal).line(Utc::now());
    writer.take(&header).and_then(|_| writer.flush()).map_err(failed)?;
    let capture = Capture { arguments, writer, personal, taken: 0, left_out: 0, full: false };
    runtime()?.block_on(capture.work(&settings))
}

fn failed(error: CaptureError) -> Failure {
    Failure::Other(error.to_string())
}

struct Capture<'a> {
    arguments: &'a Arguments,
    writer: Writer,
    personal: Personal,
    taken: u64,
    /// Bodies that nobody can read: what is in them is not known.
    left_out: u64,
    full: bool,
}

impl Capture<'_> {
    async fn work(mut self, settings: &Settings) -> Result<(), Failure> {
        let mut stop = Stop::new()?;
        let mut copies = match open(settings, &self.arguments.window).await {
            Ok(copies) => copies,
            Err(failure) => {
                self.writer.discard();
                return Err(failure);
            }
        };
        let watched = self.watch(&mut copies, &mut stop).await;
        let lost = copies.close().await.lost;
        let end = End { notifications: self.taken, missed: lost.missed.messages }.line(Utc::now());
        let file = self.arguments.file.display();
        let bytes = self.writer.finish(&end).map_err(failed)?;
        watched.map_err(failed)?;
        if self.left_out > 0 {
            eprintln!(
                "warning: {} notifications are left out: nobody can read them, so nobody knows what is in them",
                self.left_out
            );
        }
        if lost.is_any() {
            eprintln!("warning: the copy is not complete: {lost}; a larger --max-queue helps against peaks");
        }
        let why = if self.full { ": the file has reached --max-bytes" } else { "" };
        print_line(&format!("wrote {} notifications, {bytes} bytes, to {file}{why}", self.taken))
    }

    async fn watch(&mut self, copies: &mut Copies, stop: &mut Stop) -> Result<(), CaptureError> {
        let (mut progress, began) = (Progress::new(), Instant::now());
        let mut ticks = tokio::time::interval(FLUSH);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let deadline = self.arguments.window.deadline();
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        while !self.full && !self.arguments.window.is_enough(self.taken) {
            tokio::select! {
                biased;
                () = stop.asked() => break,
                () = &mut over => break,
                _ = ticks.tick() => {
                    self.writer.flush()?;
                    let (bytes, most) = (self.writer.bytes(), self.arguments.max_bytes);
                    let lost = copies.state().lost;
                    progress.say(|| format!(
                        "{} notifications, {bytes} of {most} bytes, {} s; {lost}", self.taken, began.elapsed().as_secs()
                    ));
                }
                delivery = copies.next() => match delivery {
                    Some(delivery) => self.take(delivery)?,
                    None => break,
                },
            }
        }
        progress.done();
        Ok(())
    }

    fn take(&mut self, delivery: Delivery) -> Result<(), CaptureError> {
        let Delivery { exchange, routing_key, body, content_type, mut headers, packed, receipt, .. } = delivery;
        receipt.settle(Verdict::Kept);
        // The body is unpacked; one that could not be is not looked into.
        headers.remove(COMPRESSION_HEADER);
        let Some(body) = packed.is_none().then(|| self.personal.clean(&body)).flatten() else {
            self.left_out += 1;
            return Ok(());
        };
        let headers = headers.into_iter().map(|(name, value)| {
            let value = self.personal.clean_header(&value);
            (name, value)
        });
        let captured =
            Captured { exchange, routing_key, content_type, headers: headers.collect(), body: body.into_owned() };
        match self.writer.take(&captured.line(Utc::now()))? {
            Room::Taken => self.taken += 1,
            Room::Full => self.full = true,
        }
        Ok(())
    }
}
