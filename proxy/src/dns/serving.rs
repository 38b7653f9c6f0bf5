//! From the bytes of a question to the bytes of its answer.
//!
//! What the cluster or the cache knows is answered at once, without waiting for anything; only the rest goes to other
//! servers. The names of the cluster are read as they were at one moment, and whoever changes them makes no question wait.

use std::net::SocketAddr;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Record, RecordType};
use parking_lot::{Mutex, RwLock};
use rand::seq::SliceRandom;
use tokio::time::Instant;

use super::answer::{Answer, Question, Reply, answer};
use super::cache::Key;
use super::forward::{Forwarder, Outcome};
use super::message::{self, Incoming, Request, Transport};
use super::metrics::Metrics;
use super::names::{Names, Zone};

/// The names of a cluster, read by many while one changes them.
#[derive(Debug)]
pub struct Published {
    /// As they are. Held while they change.
    own: Mutex<Names>,
    /// As everybody sees them. Held only to be read or replaced as a whole.
    seen: RwLock<Arc<Names>>,
}

impl Published {
    /// The names of a cluster of which nothing is known yet.
    #[must_use]
    pub fn new(zone: Zone) -> Published {
        let names = Names::new(zone);
        Published { seen: RwLock::new(Arc::new(names.clone())), own: Mutex::new(names) }
    }

    /// Changes the names. They are seen as they were until the change is done.
    pub fn change(&self, change: impl FnOnce(&mut Names)) {
        let mut own = self.own.lock();
        change(&mut own);
        let new = Arc::new(own.clone());
        *self.seen.write() = new;
    }

    /// The names as they are now.
    #[must_use]
    pub fn now(&self) -> Arc<Names> {
        Arc::clone(&self.seen.read())
    }
}

/// What becomes of a message at once.
pub(super) enum Now {
    /// These bytes are the answer.
    Reply(Vec<u8>),
    /// It gets none.
    Nothing,
    /// Other servers have to be asked.
    Later(Box<Later>),
}

/// A request that waits for other servers.
pub(super) struct Later {
    request: Box<Request>,
    /// The aliases by which the cluster leads to what is asked of others.
    aliases: Vec<Record>,
    key: Key,
    began: Instant,
}

/// Answers questions.
pub(super) struct Serving {
    pub(super) names: Arc<Published>,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) metrics: Arc<Metrics>,
}

impl Serving {
    /// Answers a message if that can be done at once.
    pub(super) fn at_once(&self, bytes: &[u8], client: SocketAddr, transport: Transport) -> Now {
        let began = Instant::now();
        let request = match message::read(bytes, transport) {
            Incoming::Request(request) => request,
            Incoming::Answered(bytes, code) => {
                self.metrics.responded(code, began.elapsed());
                return Now::Reply(bytes);
            }
            Incoming::Ignored => {
                self.metrics.dropped();
                return Now::Nothing;
            }
        };
        self.metrics.requested(transport, client, request.question.kind);
        let (aliases, target) = match answer(&self.names.now(), &request.question) {
            Answer::Here(mut reply) => {
                shuffle(&mut reply.answers);
                return Now::Reply(self.written(&request, reply, began, (true, false)));
            }
            Answer::Beyond { aliases, target } => (aliases, target),
            Answer::Elsewhere if self.forwarder.came_back(&request.question) => {
                let reply = Reply::only(ResponseCode::Refused);
                return Now::Reply(self.written(&request, reply, began, (false, false)));
            }
            Answer::Elsewhere => (Vec::new(), request.question.name.clone()),
        };
        let key = Key {
            question: Question { name: target, kind: request.question.kind },
            dnssec_ok: request.dnssec_ok,
            checking_disabled: request.checking_disabled,
        };
        let known = self.forwarder.known(&key);
        let later = Later { request, aliases, key, began };
        match known {
            Some(outcome) => Now::Reply(self.ended(later, &outcome)),
            None => Now::Later(Box::new(later)),
        }
    }

    /// Answers what could not be answered at once.
    pub(super) async fn later(&self, later: Later) -> Vec<u8> {
        let outcome = self.forwarder.find(later.key.clone()).await;
        self.ended(later, &outcome)
    }

    /// Says that too much is waiting already.
    pub(super) fn refuse(&self, later: Later) -> Vec<u8> {
        self.metrics.rejected();
        self.ended(later, &Outcome::Busy)
    }

    fn ended(&self, later: Later, outcome: &Outcome) -> Vec<u8> {
        let Later { request, aliases, key, began } = later;
        let authoritative = !aliases.is_empty();
        match outcome {
            Outcome::Heard(heard, left) => {
                let mut reply = heard.said(&key.question, *left);
                reply.answers.splice(0..0, aliases);
                shuffle(&mut reply.answers);
                // The cluster's own records are proven to nobody.
                let authentic = heard.authentic && !authoritative;
                self.written(&request, reply, began, (authoritative, authentic))
            }
            Outcome::Busy => self.written(&request, Reply::only(ResponseCode::Refused), began, (false, false)),
            Outcome::Failed => self.written(&request, Reply::only(ResponseCode::ServFail), began, (false, false)),
        }
    }

    fn written(
        &self,
        request: &Request,
        reply: Reply,
        began: Instant,
        (authoritative, authentic): (bool, bool),
    ) -> Vec<u8> {
        let code = reply.code;
        let bytes = message::write(request, reply, authoritative, authentic);
        self.metrics.responded(code, began.elapsed());
        bytes
    }
}

/// Puts addresses last, in an order by chance, so that clients that take the first spread over all of them.
fn shuffle(records: &mut [Record]) {
    let is_address = |record: &Record| matches!(record.record_type(), RecordType::A | RecordType::AAAA);
    if records.len() < 2 || !records.iter().any(is_address) {
        return;
    }
    records.sort_by_key(is_address);
    let first = records.iter().position(is_address).unwrap_or_default();
    records[first..].shuffle(&mut rand::rng());
}
