//! tcp and udp: msgpack, decoded by the crate of the field.

use super::case::{list, logged, raised_at, text, whole};
use super::drive::{context, made};
use super::{Judged, case, differs, run};
use base64::Engine as _;
use nephoscope::model::{Dict, Value};
use nephoscope::publish::Batch;
use num_bigint::BigInt;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
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
            Err(complaints) => return refused(&case, &complaints),
        };
        let (mut frames, mut sure, mut rows) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (mut failed, mut said) = (false, Vec::new());
        for batch in case::calls(&case).iter().filter(|batch| !batch.is_empty()) {
            let outcome = publisher.publish(batch).await;
            failed |= outcome.is_err();
            said.extend(outcome.as_ref().err().map(ToString::to_string));
            sure.extend(taken(batch, &outcome));
            let mut buffer = vec![0; 70_000];
            while let Ok(length) = tokio::time::timeout(ARRIVAL, socket.recv(&mut buffer)).await {
                frames.push(buffer[..length.unwrap()].to_vec());
            }
        }
        if failed && !logged(&case) {
            return Err("ours fails, the original did not".to_owned());
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
            Err(complaints) => return refused(&case, &complaints),
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
                    "every open connection is reset" => receiver.reset(),
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
            tokio::time::sleep(ARRIVAL).await;
            sure.extend(taken(batch, &outcome));
        }
        if failed && !logged(&case) && !raised_at(&case, 0) {
            return Err("ours fails, the original did not".to_owned());
        }
        trouble("tcp-rest", failed || logged(&case), &said, &mut rows);
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

fn refused(case: &Dict, complaints: &str) -> Judged {
    match text(case, "kind") {
        "events" if raised_at(case, 0) => Ok(BTreeSet::from(["events-refused"])),
        _ if text(case, "url").contains('?') || text(case, "url").ends_with("/p") => {
            Ok(BTreeSet::from(["publisher-options"]))
        }
        _ => Err(format!("ours does not start: {complaints}")),
    }
}

/// By which row it differs where something goes wrong.
fn trouble(row: &'static str, is_there: bool, said: &[String], rows: &mut BTreeSet<&'static str>) {
    let is_integer = |cause: &String| cause.contains("more than 64 bits");
    if is_there {
        rows.insert(if !said.is_empty() && said.iter().all(is_integer) { "packed-integers" } else { row });
    }
}

/// The ids of what ours says is taken.
fn taken(batch: &Batch, outcome: &Result<(), nephoscope::publish::PublishError>) -> Vec<String> {
    use nephoscope::publish::PublishError::{Partly, Retry, Stop};
    let Batch::Samples(samples) = batch else { return Vec::new() };
    let not = match outcome {
        Ok(()) => Vec::new(),
        Err(Retry { .. } | Stop { .. }) => return Vec::new(),
        Err(Partly(partly)) => {
            let left = partly.left.iter().flat_map(|left| left.records.iter().copied());
            partly.refused.iter().map(|refused| refused.record).chain(left).collect()
        }
    };
    samples.iter().enumerate().filter(|(n, _)| !not.contains(n)).map(|(_, sample)| sample.id.clone()).collect()
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
        differs("a message", &decoded(ours), &nan(message))?;
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

/// `{"$float": …}` as the number.
fn nan(value: &Value) -> Value {
    match value {
        Value::Dict(dict) => match dict.get("$float").and_then(Value::as_str) {
            Some(name) => Value::Float(name.parse().unwrap()),
            None => Value::Dict(dict.iter().map(|(key, value)| (key, nan(value))).collect()),
        },
        Value::List(all) => Value::List(all.iter().map(nan).collect()),
        other => other.clone(),
    }
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
        other => panic!("not what the original sends: {other:?}"),
    }
}

/// Takes connections while it listens, and keeps the frames of all of them.
struct Receiver {
    address: SocketAddr,
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    open: Arc<Mutex<Vec<JoinHandle<()>>>>,
    listening: Option<JoinHandle<()>>,
}

impl Receiver {
    fn new() -> Receiver {
        let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = reserved.local_addr().unwrap();
        drop(reserved);
        Receiver { address, frames: Arc::default(), open: Arc::default(), listening: None }
    }

    fn listen(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener: TcpListener = socket.listen(16).unwrap();
        let (frames, open) = (Arc::clone(&self.frames), Arc::clone(&self.open));
        self.listening = Some(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reading = tokio::spawn(read(stream, Arc::clone(&frames)));
                open.lock().unwrap().push(reading);
            }
        }));
    }

    fn reset(&mut self) {
        // A dropped stream with `linger` zero is a reset.
        self.open.lock().unwrap().drain(..).for_each(|reading| reading.abort());
    }

    async fn stop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await;
        }
        self.reset();
        tokio::time::sleep(ARRIVAL).await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.reset();
        if let Some(listening) = &self.listening {
            listening.abort();
        }
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
