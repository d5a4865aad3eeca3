//! The group in etcd: one lease per member, and every key of the member hangs on it.
//!
//! Keys and records are in [`keys`] and `docs/formats.md`. etcd 3.4 loses and repeats watch events, so a watch only
//! wakes; what counts is the linearizable range read. The client's streams never heal: they are opened anew after any
//! error, by the two tasks in [`keeper`].

mod keeper;
pub mod keys;
mod look;
mod membership;
pub mod options;
mod refusal;

pub use look::{EndpointLook, EtcdLook};
pub use options::{EtcdOptions, EtcdTls};

use super::history::Move;
use super::lease::{CALL_TIMEOUT, Terms};
use super::{CoordinationError, Coordinator, MemberRecord, Membership, Operation, View};
use crate::cluster::Spec;
use async_trait::async_trait;
use etcd_client::{Certificate, Client, Compare, CompareOp, ConnectOptions, Error, GetOptions, Identity, KeyValue};
use etcd_client::{PutOptions, TlsOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use keys::Keys;
use membership::Lease;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// An idle connection is asked for a sign of life this often: without it a frozen server hangs streams for good.
const PING_EVERY: Duration = Duration::from_secs(1);
/// How long the sign of life may take.
const PING_TIMEOUT: Duration = Duration::from_millis(1500);
/// Keys read at once; a group with more is read in several pages of one revision.
const PAGE_KEYS: i64 = 1000;
/// A call is tried at most at this many endpoints.
const TRIES_MAX: usize = 3;

/// A group in an etcd cluster.
pub struct EtcdGroup {
    backend: Backend,
}

/// The way to etcd, shared by all who use it.
#[derive(Clone)]
struct Backend {
    name: Arc<str>,
    options: Arc<EtcdOptions>,
    keys: Arc<Keys>,
    terms: Terms,
    client: Arc<OnceCell<Client>>,
    /// Whether etcd has ever answered: then it is there, and speaks what we speak.
    answered: Arc<AtomicBool>,
}

impl EtcdGroup {
    /// The group `group` (without `/`) in this etcd, with leases of `ttl`. Nothing is connected yet.
    pub fn new(options: EtcdOptions, group: &str, ttl: Duration) -> Self {
        let name = options.to_string().into();
        // etcd counts whole seconds; rounding up never shortens a lease behind the member's back.
        let ttl = Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0));
        let backend = Backend {
            name,
            options: Arc::new(options),
            keys: Arc::new(Keys::new(group)),
            terms: Terms::new(ttl),
            client: Arc::default(),
            answered: Arc::default(),
        };
        EtcdGroup { backend }
    }

    /// The same group; its members leave when etcd has been silent for `limit` past their deadline; `None`
    /// (as made) is never: they work on until etcd says that their lease is gone.
    #[must_use]
    pub fn with_silence_limit(mut self, limit: Option<Duration>) -> Self {
        self.backend.terms.silence_limit = limit;
        self
    }
}

impl Backend {
    fn away(&self, cause: impl ToString) -> CoordinationError {
        CoordinationError::Away { backend: self.name.to_string(), cause: cause.to_string() }
    }

    fn refused(&self, cause: impl ToString) -> CoordinationError {
        CoordinationError::Refused { backend: self.name.to_string(), cause: cause.to_string() }
    }

    async fn client(&self) -> Result<Client, CoordinationError> {
        let connect = async {
            let options = self.connect_options()?;
            let connecting = Client::connect(&self.options.endpoints, Some(options));
            match tokio::time::timeout(CALL_TIMEOUT, connecting).await {
                Ok(Ok(connected)) => Ok(connected),
                Ok(Err(error)) => Err(refusal::sort(self, &error).await),
                Err(_) => Err(self.away("no answer")),
            }
        };
        self.client.get_or_try_init(|| connect).await.cloned()
    }

    fn connect_options(&self) -> Result<ConnectOptions, CoordinationError> {
        let mut connect = ConnectOptions::new()
            .with_keep_alive(PING_EVERY, PING_TIMEOUT)
            .with_keep_alive_while_idle(true)
            .with_timeout(self.options.timeout)
            .with_connect_timeout(self.options.timeout)
            .with_auto_token_refresh(true)
            // A member of an etcd minority then ends its watches instead of keeping silent.
            .with_require_leader(true);
        if let Some((user, password)) = &self.options.user {
            connect = connect.with_user(user, password);
        }
        if let Some(tls) = &self.options.tls {
            // Blocking, and short: local files, once per client.
            let read = tls.check().map_err(|complaints| self.refused(complaints.join("; ")))?;
            let mut options = match read.authority {
                Some((_, pem)) => TlsOptions::new().ca_certificate(Certificate::from_pem(pem)),
                None => TlsOptions::new().with_enabled_roots(),
            };
            if let Some(identity) = read.identity {
                options = options.identity(Identity::from_pem(identity.certificate_pem, identity.key_pem));
            }
            connect = connect.with_tls(options);
        }
        Ok(connect)
    }

    /// One call with a time limit, tried anew at another endpoint if one does not answer: so it must be repeatable.
    async fn call<T, F>(&self, act: impl Fn(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.client().await.map_err(Failure::Other)?;
        let tries = self.options.endpoints.len().clamp(1, TRIES_MAX);
        let mut failed = None;
        for _ in 0..tries {
            failed = match tokio::time::timeout(self.options.timeout, act(client.clone())).await {
                Ok(Ok(answer)) => {
                    self.answered.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(error)) if is_lease_gone(&error) => return Err(Failure::LeaseGone),
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
        }
        Err(Failure::Other(match failed {
            Some(error) => refusal::sort(self, &error).await,
            None => self.away("no answer"),
        }))
    }

    /// Ends a lease, and what hangs on it. Where that fails it has run out already, or runs out by itself.
    async fn revoke(&self, lease: i64) {
        let _ = self.call(async |mut client: Client| client.lease_revoke(lease).await).await;
    }

    /// Puts a member's record on its lease if there is none of its id: the revision, or the record that is there.
    async fn put_member(&self, record: &MemberRecord, lease: i64) -> Result<Result<i64, KeyValue>, Failure> {
        let (key, value) = (self.keys.member(&record.id), keys::write_member(record));
        let put = || TxnOp::put(key.clone(), value.clone(), Some(PutOptions::new().with_lease(lease)));
        let join = async |mut client: Client| {
            let txn = Txn::new()
                .when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)])
                .and_then([put()])
                .or_else([TxnOp::get(key.clone(), None)]);
            client.txn(txn).await
        };
        let answer = self.call(join).await?;
        let there = answer.op_responses().into_iter().find_map(|op| match op {
            TxnOpResponse::Get(found) => found.kvs().first().cloned(),
            _ => None,
        });
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        // Mine as well if it is there with my lease: the answer to a first try was lost.
        Ok(there.filter(|there| there.lease() != lease).map_or(Ok(revision), Err))
    }

    /// The whole group at one revision, without its histories.
    async fn view(&self) -> Result<View, CoordinationError> {
        let (mut pairs, mut revision) = (Vec::new(), 0);
        for (from, to) in self.keys.ranges() {
            self.read(from, &to, &mut revision, &mut pairs).await?;
        }
        self.keys.view(revision, &pairs)
    }

    /// Reads a range in pages, at `revision`, or at the present one, which is then set.
    async fn read(
        &self,
        mut from: Vec<u8>,
        to: &[u8],
        revision: &mut i64,
        pairs: &mut Vec<KeyValue>,
    ) -> Result<(), CoordinationError> {
        loop {
            let options = GetOptions::new().with_range(to).with_limit(PAGE_KEYS);
            let options = if *revision > 0 { options.with_revision(*revision) } else { options };
            let read = async |mut client: Client| client.get(from.clone(), Some(options.clone())).await;
            let mut page = self.call(read).await.map_err(|failure| failure.of(self, ""))?;
            if *revision == 0 {
                *revision = page.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            pairs.extend(page.take_kvs());
            match pairs.last() {
                Some(_) if pairs.len() > keys::KEYS_MAX => return Err(self.keys.too_many()),
                Some(last) if page.more() => {
                    from = last.key().to_vec();
                    from.push(0);
                }
                _ => return Ok(()),
            }
        }
    }
}

/// Writes a specification by compare-and-set: what to do, for whoever may.
fn put_spec(keys: &Keys, spec: &Spec, expected: Option<i64>) -> Txn {
    let (key, value) = (keys.spec(), spec.write());
    // A key that is not there has modification revision 0.
    Txn::new()
        .when([Compare::mod_revision(key.clone(), CompareOp::Equal, expected.unwrap_or(0))])
        .and_then([TxnOp::put(key.clone(), value, None)])
        .or_else([TxnOp::get(key, None)])
}

/// Whether the group has this specification now. It has as well where it was refused because it is there: the answer
/// to a first try was lost.
fn has_spec(answer: &TxnResponse, spec: &Spec) -> bool {
    let same = |op: &TxnOpResponse| match op {
        TxnOpResponse::Get(found) => found.kvs().iter().any(|kv| kv.value() == spec.write().as_bytes()),
        _ => false,
    };
    answer.succeeded() || answer.op_responses().iter().any(same)
}

/// Why a call came to nothing.
enum Failure {
    /// etcd knows no such lease.
    LeaseGone,
    Other(CoordinationError),
}

impl Failure {
    /// The failure as the group's error, for this member.
    fn of(self, backend: &Backend, member: &str) -> CoordinationError {
        match self {
            Failure::LeaseGone if member.is_empty() => backend.away("lease not found"),
            Failure::LeaseGone => CoordinationError::Lost(member.to_owned()),
            Failure::Other(error) => error,
        }
    }
}

/// etcd says so by the text and the code of the status; the client, when a keepalive stream opens, by text alone.
fn is_lease_gone(error: &Error) -> bool {
    match error {
        Error::GRpcStatus(status) => status.message().contains("requested lease not found"),
        Error::LeaseKeepAliveError(text) => text == "lease not found",
        _ => false,
    }
}

#[async_trait]
impl Coordinator for EtcdGroup {
    async fn join(&self, record: MemberRecord) -> Result<Arc<dyn Membership>, CoordinationError> {
        let backend = self.backend.clone();
        let sent = Instant::now();
        let ttl = i64::try_from(backend.terms.ttl.as_secs()).unwrap_or(i64::MAX);
        let granted = backend.call(async |mut client: Client| client.lease_grant(ttl, None).await).await;
        let granted = granted.map_err(|failure| failure.of(&backend, &record.id))?;
        let lease = granted.id();
        let mut joined = backend.put_member(&record, lease).await;
        if let Ok(Err(there)) = &joined
            && backend.keys.read_member(there).is_ok_and(|record| record.is_of_the_dead())
        {
            backend.revoke(there.lease()).await;
            joined = backend.put_member(&record, lease).await;
        }
        match joined {
            Ok(Ok(joined)) => {
                Ok(membership::EtcdMembership::keep(backend, record.id, Lease { id: lease, sent, joined }))
            }
            refused => {
                backend.revoke(lease).await;
                Err(match refused {
                    Err(failure) => failure.of(&backend, &record.id),
                    Ok(_) => CoordinationError::IdTaken(record.id),
                })
            }
        }
    }

    async fn view(&self) -> Result<View, CoordinationError> {
        self.backend.view().await
    }

    async fn history(&self, queue: Option<&str>) -> Result<BTreeMap<String, Vec<Move>>, CoordinationError> {
        let keys = &self.backend.keys;
        let all = keys.history("");
        let (from, to) = match queue {
            // The key alone: up to the next possible one.
            Some(queue) => (keys.history(queue), [keys.history(queue).as_bytes(), &[0]].concat()),
            None => (all.clone(), keys::prefix_end(all.as_bytes())),
        };
        let mut pairs = Vec::new();
        self.backend.read(from.into_bytes(), &to, &mut 0, &mut pairs).await?;
        let queue_of = |pair: &KeyValue| Some(std::str::from_utf8(pair.key()).ok()?.strip_prefix(&all)?.to_owned());
        let named = pairs.iter().filter_map(|pair| Some((queue_of(pair)?, pair)));
        named.map(|(queue, pair)| Ok((queue, keys.read_history(pair)?))).collect()
    }

    async fn put_spec(&self, spec: &Spec, expected: Option<i64>) -> Result<bool, CoordinationError> {
        let put = async |mut client: Client| client.txn(put_spec(&self.backend.keys, spec, expected)).await;
        let answer = self.backend.call(put).await.map_err(|failure| failure.of(&self.backend, ""))?;
        Ok(has_spec(&answer, spec))
    }

    async fn operate(&self, operation: &Operation) -> Result<(), CoordinationError> {
        let keys = &self.backend.keys;
        let (key, value) = match operation {
            Operation::Pause => (keys.pause(), Some(keys::write_pause())),
            Operation::Resume => (keys.pause(), None),
            Operation::Pin { queue, member } => (keys.pin(queue), Some(keys::write_owner(member))),
            Operation::Unpin { queue } => (keys.pin(queue), None),
            Operation::Drain { member, note } => (keys.drained(member), Some(keys::write_drained(note))),
            Operation::Undrain { member } => (keys.drained(member), None),
        };
        let write = async |mut client: Client| match &value {
            Some(value) => client.put(key.clone(), value.clone(), None).await.map(drop),
            None => client.delete(key.clone(), None).await.map(drop),
        };
        self.backend.call(write).await.map_err(|failure| failure.of(&self.backend, ""))
    }

    fn ttl(&self) -> Duration {
        self.backend.terms.ttl
    }

    fn name(&self) -> &str {
        &self.backend.name
    }
}
