//! The answer of an agent that is tapped: a head, then whole lines for as long as it goes on.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The agent answers within this.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// An agent that says nothing for so long is gone: it gives a sign of life every ten seconds.
const SILENT_MAX: Duration = Duration::from_secs(40);
/// The largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The longest line, in bytes: an agent leaves longer ones out.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a sentence in which an agent says why not, at most.
const SENTENCE_BYTES_MAX: usize = 4 * 1024;

/// Why nothing is tapped any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum TapError {
    /// Nobody answers.
    #[error(
        "cannot reach the agent at {address}: {cause}; check that it runs, and that [nephoscope] listen names this address"
    )]
    Away {
        /// Where it was asked.
        address: SocketAddr,
        /// What the system said.
        cause: String,
    },
    /// The agent says why not.
    #[error("{0}")]
    Refused(String),
    /// What answers is no agent, or one without a tap.
    #[error("cannot tap {0}: what answers there is no agent of this version; check the address")]
    Foreign(SocketAddr),
}

/// An answer that goes on.
pub(super) struct Answer {
    stream: TcpStream,
    address: SocketAddr,
    /// What came and is not given yet.
    rest: Vec<u8>,
}

impl Answer {
    /// Asks, and reads the head.
    pub(super) async fn ask(address: SocketAddr, request: &str) -> Result<Answer, TapError> {
        let away = |cause: String| TapError::Away { address, cause };
        let asking = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            Ok::<TcpStream, std::io::Error>(stream)
        };
        let asked =
            timeout(ANSWERED_WITHIN, asking).await.map_err(|_| away(format!("no answer in {ANSWERED_WITHIN:?}")))?;
        let stream = asked.map_err(|error| away(error.to_string()))?;
        let mut answer = Answer { stream, address, rest: Vec::new() };
        let head = timeout(ANSWERED_WITHIN, answer.head()).await;
        let head = head.map_err(|_| away(format!("no answer in {ANSWERED_WITHIN:?}")))??;
        let code = head.split_whitespace().nth(1).unwrap_or_default();
        if head.starts_with("HTTP/1.") && code == "200" && head.contains("application/x-ndjson") {
            return Ok(answer);
        }
        let _in_time = timeout(ANSWERED_WITHIN, answer.read_whole()).await;
        let sentence = String::from_utf8_lossy(&answer.rest);
        let sentence = sentence.trim();
        if sentence.starts_with("cannot tap") {
            let one_line: String = sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            return Err(TapError::Refused(one_line));
        }
        Err(TapError::Foreign(address))
    }

    /// The head, without the blank line behind it.
    async fn head(&mut self) -> Result<String, TapError> {
        loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.rest[..end]).into_owned();
                self.rest.drain(..end + 4);
                return Ok(head);
            }
            if self.rest.len() > HEAD_BYTES_MAX || !self.more().await? {
                return Err(TapError::Foreign(self.address));
            }
        }
    }

    async fn read_whole(&mut self) -> Result<(), TapError> {
        while self.rest.len() < SENTENCE_BYTES_MAX && self.more().await? {}
        Ok(())
    }

    /// Further whole lines, without empty ones; nothing when the agent has ended.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, TapError> {
        loop {
            if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
                let lines: Vec<u8> = self.rest.drain(..=end).collect();
                let lines: Vec<u8> = lines
                    .split_inclusive(|byte| *byte == b'\n')
                    .filter(|line| line.len() > 1)
                    .flatten()
                    .copied()
                    .collect();
                if !lines.is_empty() {
                    return Ok(Some(lines));
                }
            }
            if self.rest.len() > LINE_BYTES_MAX {
                return Err(TapError::Foreign(self.address));
            }
            let more = timeout(SILENT_MAX, self.more()).await;
            let silent =
                || TapError::Away { address: self.address, cause: format!("it says nothing for {SILENT_MAX:?}") };
            if !more.map_err(|_| silent())?? {
                return Ok(None);
            }
        }
    }

    async fn more(&mut self) -> Result<bool, TapError> {
        let read = self.stream.read_buf(&mut self.rest).await;
        let read = read.map_err(|error| TapError::Away { address: self.address, cause: error.to_string() })?;
        Ok(read > 0)
    }
}
