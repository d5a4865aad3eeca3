//! Asks a broker for its version. lapin does not show the first frame, in which the broker says it; so this opens a connection
//! of its own, reads that frame and closes it. The broker logs a line about it.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::protocol::{AMQPClass, connection};
use lapin::types::AMQPValue;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::dial::{CONNECT_TIMEOUT, addresses, socket};
use super::super::options::{AmqpHost, AmqpOptions};
use super::super::tls;

/// The first words of AMQP 0-9-1.
const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The longest first frame that is read; RabbitMQ's is 500 bytes.
const FRAME_BYTES_MAX: usize = 16 * 1024;
/// Before a frame's payload: type, channel, size. Behind it: one byte.
const FRAME_HEAD: usize = 7;

/// The version that a host says it has, such as `4.0.5`; nothing if it does not say so in time.
pub(in crate::transport::amqp) async fn ask(options: &AmqpOptions, host: &AmqpHost) -> Option<String> {
    tokio::time::timeout(CONNECT_TIMEOUT, ask_now(options, host)).await.ok()?
}

async fn ask_now(options: &AmqpOptions, host: &AmqpHost) -> Option<String> {
    let addresses = addresses(host).await.ok()?;
    let connection = socket::connect(&addresses).await.ok()?;
    let config = options.tls.as_ref().map(|tls| tls::client_config(tls).map(Arc::new));
    let mut stream = socket::open(connection, &host.host, config.transpose().ok()?).await.ok()?;
    stream.write_all(HEADER).await.ok()?;
    stream.flush().await.ok()?;
    let mut frame = vec![0; FRAME_HEAD];
    stream.read_exact(&mut frame).await.ok()?;
    let payload = usize::try_from(u32::from_be_bytes(frame[3..].try_into().ok()?)).ok()?;
    if payload > FRAME_BYTES_MAX {
        return None;
    }
    frame.resize(FRAME_HEAD + payload + 1, 0);
    stream.read_exact(&mut frame[FRAME_HEAD..]).await.ok()?;
    read(&frame)
}

fn read(frame: &[u8]) -> Option<String> {
    let (_, AMQPFrame::Method(_, AMQPClass::Connection(connection::AMQPMethod::Start(start)))) =
        parse_frame(frame).ok()?
    else {
        return None;
    };
    match start.server_properties.inner().get("version")? {
        AMQPValue::LongString(version) => Some(version.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_first_frame_tells_no_version() {
        assert_eq!(read(b"AMQP\x00\x00\x09\x01"), None);
        assert_eq!(read(b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x0a\xce"), None, "it is cut off");
    }
}
