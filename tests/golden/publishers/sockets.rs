//! tcp and udp: msgpack, decoded by the crate of the field.

use super::case::{list, logged, plain, raised_at, taken, text, whole};
use super::drive::{context, made};
use super::{case, differs, run, web};
use base64::Engine as _;
use nephoscope::model::Value;

use num_bigint::BigInt;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// As long as a frame on loopback never takes.
const ARRIVAL: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn udp_as_recorded() {
    run("udp", |case| async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let fill = |text: &str| text.replace("{port}", &port.to_string());
        let context = context(&case, fill);
        let publisher = match made(&fill(text(&case, "url")), &case, &context) {
            Ok(publisher) => publisher,
            Err(complaints) => return web::refused(&case, &complaints),
        };
        let (mut frames, mut sure, mut rows) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (mut failed, mut said) = (false, Vec::new());
        for batch in case::calls(&case).iter().filter(|batch| !batch.is_empty()) {
            let outcome = publisher.publish(batch).await;
            failed |= outcome.is_err();
            said.extend(outcome.as_ref().err().map(ToString::to_string));
            sure.extend(taken(batch, &outcome)?.into_iter().map(|sample| sample.id.to_string()));
            let mut buffer = vec![0; 70_000];
            while let Ok(length) = tokio::time::timeout(ARRIVAL, socket.recv(&mut buffer)).await {
                frames.push(buffer[..length.unwrap()].to_vec());
            }
        }
        if failed && !logged(&case) {
            return Err("ours fails, Ceilometer did not".to_owned());
        }
        trouble("udp-errors", failed || logged(&case), &said, &mut rows);
        compare(&frames, list(&case, "sent"), &mut rows)?;
        arrived(&frames, &sure)?;
        Ok(rows)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_as_recorded() {
    run("tcp", |case| async move {
        let mut receiver = Receiver::new();
        let fill = |text: &str| text.replace("{port}", &receiver.address.port().to_string());
        let context = context(&case, fill);
        let publisher = match made(&fill(text(&case, "url")), &case, &context) {
            Ok(publisher) => publisher,
            Err(complaints) => return web::refused(&case, &complaints),
        };
        let happens = list(&case, "before_call");
        let first = happens.iter().filter_map(pair).map(|(_, what)| what).next();
        let begins_away = first == Some("the server listens") || text(&case, "name").contains("nothing listens");
        if !begins_away {
            receiver.listen();
        }
        let (mut sure, mut said, mut rows, mut failed) = (Vec::new(), Vec::new(), BTreeSet::new(), false);
        for (n, batch) in case::calls(&case).iter().enumerate() {
            for (_, what) in happens.iter().filter_map(pair).filter(|(call, _)| *call == n) {
                match what {
                    "the server listens" | "the server listens again" => receiver.listen(),
                    "every open connection is reset" => receiver.reset().await,
                    "the server is gone, its connections are reset" => receiver.stop().await,
                    other => return Err(format!("a case says {other:?}: unknown")),
                }
            }
            if batch.is_empty() {
                continue;
            }
            let outcome = publisher.publish(batch).await;
            failed |= outcome.is_err();
            said.extend(outcome.as_ref().err().map(ToString::to_string));
            sure.extend(taken(batch, &outcome)?.into_iter().map(|sample| sample.id.to_string()));
            receiver.has(&sure).await;
        }
        if failed && !logged(&case) && !raised_at(&case, 0) {
            return Err("ours fails, Ceilometer did not".to_owned());
        }
        trouble("tcp-rest", failed || logged(&case), &said, &mut rows);
        // What nobody should have sent would be here by then.
        tokio::time::sleep(ARRIVAL).await;
        let frames = receiver.frames.lock().unwrap().clone();
        let recorded: Vec<Value> =
            list(&case, "sent").iter().filter_map(Value::as_dict).flat_map(|c| list(c, "frames")).cloned().collect();
        compare(&frames, &recorded, &mut rows)?;
        arrived(&frames, &sure)?;
        Ok(rows)
    })
    .await;
}

fn pair(value: &Value) -> Option<(usize, &str)> {
    match value.as_list()? {
        [call, what] => Some((whole(call)?.into(), what.as_str()?)),
        _ => None,
    }
}

/// By which row it differs where something goes wrong.
fn trouble(row: &'static str, is_there: bool, said: &[String], rows: &mut BTreeSet<&'static str>) {
    let is_integer = |cause: &String| cause.contains("more than 64 bits");
    if is_there {
        rows.insert(if !said.is_empty() && said.iter().all(is_integer) { "packed-integers" } else { row });
    }
}

/// What is said to be taken is there.
fn arrived(frames: &[Vec<u8>], sure: &[String]) -> Result<(), String> {
    let there: BTreeSet<String> = frames.iter().filter_map(|frame| id(&decoded(frame))).collect();
    match sure.iter().find(|id| !there.contains(*id)) {
        Some(id) => Err(format!("sample {id} is said to be taken, and is not there")),
        None => Ok(()),
    }
}

fn id(message: &Value) -> Option<String> {
    message.as_dict()?.get("message_id")?.as_str().map(str::to_owned)
}

/// The frames are the recorded ones. Where the case has trouble (a row says so) there may be more of them.
fn compare(frames: &[Vec<u8>], recorded: &[Value], rows: &mut BTreeSet<&'static str>) -> Result<(), String> {
    if rows.is_empty() && frames.len() != recorded.len() {
        return Err(format!("{} frames, recorded {}", frames.len(), recorded.len()));
    }
    let mut rest = frames.iter();
    for theirs in recorded.iter().filter_map(Value::as_dict) {
        let message = theirs.get("message").unwrap();
        let same = |frame: &&Vec<u8>| id(&decoded(frame)) == id(message);
        let ours = rest.find(same).ok_or_else(|| format!("{:?} is missing, or not in its place", id(message)))?;
        differs("a message", &decoded(ours), &plain(message))?;
        let (length, bytes) = (ours.len(), theirs.get("bytes").and_then(whole).map(usize::from));
        if bytes.is_some_and(|bytes| bytes != length) {
            return Err(format!("{:?} has {length} bytes, recorded {bytes:?}", id(message)));
        }
        if let Some(bytes) = theirs.get("base64").and_then(Value::as_str) {
            let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).unwrap();
            if bytes != *ours {
                return Err(format!("{:?} is packed otherwise", id(message)));
            }
        }
    }
    Ok(())
}

fn decoded(mut frame: &[u8]) -> Value {
    value(rmpv::decode::read_value(&mut frame).unwrap())
}

fn value(of: rmpv::Value) -> Value {
    match of {
        rmpv::Value::Nil => Value::Null,
        rmpv::Value::Boolean(truth) => Value::Bool(truth),
        rmpv::Value::Integer(int) => match int.as_i64() {
            Some(int) => Value::Int(int),
            None => Value::integer(BigInt::from(int.as_u64().unwrap())),
        },
        rmpv::Value::F32(float) => Value::Float(float.into()),
        rmpv::Value::F64(float) => Value::Float(float),
        rmpv::Value::String(text) => Value::from(text.as_str().unwrap()),
        rmpv::Value::Array(all) => Value::List(all.into_iter().map(value).collect()),
        rmpv::Value::Map(pairs) => {
            Value::Dict(pairs.into_iter().map(|(key, of)| (key.as_str().unwrap().to_owned(), value(of))).collect())
        }
        other => panic!("not what Ceilometer sends: {other:?}"),
    }
}

/// Takes connections while it listens, and keeps the frames of all of them.
struct Receiver {
    address: SocketAddr,
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    open: Arc<Mutex<Vec<JoinHandle<()>>>>,
    listening: Option<JoinHandle<()>>,
    /// While nobody listens: the port is nobody else's.
    held: Option<TcpSocket>,
}

/// A socket that has the port, and does not listen.
fn holding(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

impl Receiver {
    fn new() -> Receiver {
        let held = holding("127.0.0.1:0".parse().unwrap());
        let address = held.local_addr().unwrap();
        Receiver { address, frames: Arc::default(), open: Arc::default(), listening: None, held: Some(held) }
    }

    fn listen(&mut self) {
        let listener = self.held.take().unwrap_or_else(|| holding(self.address)).listen(16).unwrap();
        let (frames, open) = (Arc::clone(&self.frames), Arc::clone(&self.open));
        self.listening = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reading = tokio::spawn(read(stream, Arc::clone(&frames)));
                open.lock().unwrap().push(reading);
            }
        }));
    }

    /// A stream that is dropped with `linger` zero is a reset: when this returns, all are dropped.
    async fn reset(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap());
        for reading in open {
            reading.abort();
            let _aborted = reading.await;
        }
    }

    async fn stop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _aborted = listening.await;
        }
        self.reset().await;
        self.held = Some(holding(self.address));
    }

    /// Waits until all of these have arrived, or for as long as a frame on loopback never takes.
    async fn has(&self, ids: &[String]) {
        let all_there = || arrived(&self.frames.lock().unwrap(), ids).is_ok();
        let until = tokio::time::Instant::now() + ARRIVAL;
        while !all_there() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.open.lock().unwrap().drain(..).chain(self.listening.take()).for_each(|task| task.abort());
    }
}

/// Each frame has its length in front: eight bytes, little-endian.
async fn read(mut stream: TcpStream, frames: Arc<Mutex<Vec<Vec<u8>>>>) {
    let _ = stream.set_zero_linger();
    while let Ok(length) = stream.read_u64_le().await {
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        if stream.read_exact(&mut frame).await.is_err() {
            return;
        }
        frames.lock().unwrap().push(frame);
    }
}
