//! Answers to what the cluster does not know, from other servers.
//!
//! One question is under way once, however many ask it; so a circle of servers that forward to one another ends here as
//! well. The number of questions under way is bounded, and one more is refused. Each ends within a bounded time, in which
//! the servers are asked one after another until one has an answer that is of use. A server that turns out to forward to
//! this one is asked no more: it is asked once for a name that nobody else can know, and the question must not come back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Question;
use super::cache::{Cache, CacheBounds, Heard, Key};
use super::exchange;
use super::metrics::Metrics;
use super::upstreams::{Present, Upstreams};

/// How much is forwarded, and how long that may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardLimits {
    /// So many questions are under way at once (upstream's `max_concurrent`).
    pub concurrent: usize,
    /// One server has so long to answer.
    pub one: Duration,
    /// All of them have so long.
    pub all: Duration,
}

impl Default for ForwardLimits {
    fn default() -> ForwardLimits {
        ForwardLimits { concurrent: 1_000, one: Duration::from_secs(2), all: Duration::from_secs(5) }
    }
}

/// How forwarding a question ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// A server said this, which is good for so long, if it is known.
    Heard(Arc<Heard>, Option<Duration>),
    /// Too many questions are under way.
    Busy,
    /// No server answered.
    Failed,
}

type Flight = Shared<BoxFuture<'static, Outcome>>;

/// Asks other servers.
pub(super) struct Forwarder {
    present: Mutex<Present>,
    cache: Mutex<Cache>,
    flights: Mutex<HashMap<Key, Flight>>,
    permits: Arc<Semaphore>,
    /// Names that only this server and the one that was asked for them know.
    probes: Mutex<HashMap<Name, SocketAddr>>,
    limits: ForwardLimits,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Forwarder {
    /// Asks the servers of `upstreams` that are not at `own` addresses, in `tasks` that end with `stop`.
    pub(super) fn new(
        upstreams: Upstreams,
        own: Vec<SocketAddr>,
        (limits, bounds): (ForwardLimits, CacheBounds),
        metrics: Arc<Metrics>,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Forwarder {
        Forwarder {
            present: Mutex::new(Present::new(upstreams, own)),
            cache: Mutex::new(Cache::new(bounds)),
            flights: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.concurrent.min(Semaphore::MAX_PERMITS))),
            probes: Mutex::default(),
            limits,
            metrics,
            tasks,
            stop,
        }
    }

    /// What was answered to this before, if that is still good.
    pub(super) fn known(&self, key: &Key) -> Option<Outcome> {
        let (heard, left, denial) = self.cache.lock().get(key, Instant::now())?;
        self.metrics.cache_hit(denial);
        Some(Outcome::Heard(heard, Some(left)))
    }

    /// The answer to a question that is not known.
    pub(super) async fn find(self: &Arc<Self>, key: Key) -> Outcome {
        let flight = {
            let mut flights = self.flights.lock();
            if let Some(flight) = flights.get(&key) {
                flight.clone()
            } else if let Some(known) = self.known(&key) {
                return known;
            } else {
                let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
                    self.metrics.rejected();
                    return Outcome::Busy;
                };
                self.metrics.cache_miss();
                let (own, asked) = (Arc::clone(self), key.clone());
                let task = self.tasks.spawn(async move {
                    let outcome = tokio::select! {
                        outcome = own.fly(&asked) => outcome,
                        () = own.stop.cancelled() => Outcome::Failed,
                    };
                    own.flights.lock().remove(&asked);
                    drop(permit);
                    outcome
                });
                let flight = task.map(|ended| ended.unwrap_or(Outcome::Failed)).boxed().shared();
                flights.insert(key, flight.clone());
                flight
            }
        };
        flight.await
    }

    async fn fly(self: &Arc<Self>, key: &Key) -> Outcome {
        let Some(heard) = self.ask_all(key).await else {
            self.metrics.forward_failed();
            return Outcome::Failed;
        };
        let (heard, now) = (Arc::new(heard), Instant::now());
        let mut cache = self.cache.lock();
        cache.expire(now);
        let good_for = cache.put(key.clone(), &heard, now);
        self.metrics.cache_holds(cache.len());
        Outcome::Heard(heard, good_for)
    }

    /// Asks one server after another, until one has an answer or the time is over. A failure that a server states is the
    /// answer only if no other has a better one.
    async fn ask_all(self: &Arc<Self>, key: &Key) -> Option<Heard> {
        let deadline = Instant::now() + self.limits.all;
        let servers = self.servers();
        // The only server there is gets a second chance, as a datagram may have been lost.
        let again = servers.first().filter(|_| servers.len() == 1).copied();
        let mut stated = None;
        for server in servers.into_iter().chain(again) {
            // By now it may have turned out that it forwards to this server.
            if !self.present.lock().has(server) {
                continue;
            }
            self.metrics.forwarded();
            let asked = timeout_at(deadline, timeout(self.limits.one, exchange::ask(server, key))).await;
            let failed = match asked {
                Ok(Ok(Ok(heard))) => {
                    self.present.lock().note(server, None);
                    let refused = [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp];
                    if !refused.contains(&heard.reply.code) {
                        return Some(heard);
                    }
                    stated = Some(heard);
                    continue;
                }
                Ok(Ok(Err(error))) => error.to_string(),
                Ok(Err(_)) | Err(_) => "it did not answer in time".to_owned(),
            };
            tracing::debug!(%server, name = %key.question.name, kind = %key.question.kind, failed, "an upstream server failed");
            self.metrics.server_failed();
            self.present.lock().note(server, Some(Instant::now()));
            if Instant::now() >= deadline {
                break;
            }
        }
        stated
    }

    /// The servers in the order in which they are to be asked. New ones are seen to be no way back here.
    fn servers(self: &Arc<Self>) -> Vec<SocketAddr> {
        let (new, order) = {
            let (mut present, now) = (self.present.lock(), Instant::now());
            (present.refresh(now), present.order(now))
        };
        if let Some(new) = new {
            self.probes.lock().clear();
            for server in new {
                self.probe(server);
            }
        }
        order
    }

    /// Asks a server for a name that is nobody's.
    fn probe(self: &Arc<Self>, server: SocketAddr) {
        let label = |number: u64| format!("{number:016x}");
        let labels = [label(rand::random()), label(rand::random())];
        let Ok(name) = Name::from_labels(labels.iter().map(String::as_bytes)) else { return };
        self.probes.lock().insert(name.clone(), server);
        let own = Arc::clone(self);
        self.tasks.spawn(async move {
            let question = Question { name, kind: RecordType::HINFO };
            let key = Key { question, dnssec_ok: false, checking_disabled: false };
            tokio::select! {
                _ = timeout(own.limits.all, exchange::ask(server, &key)) => {}
                () = own.stop.cancelled() => {}
            }
            own.probes.lock().remove(&key.question.name);
        });
    }

    /// Whether a question is one of this server's own that has come back. Who sent it back is asked no more.
    pub(super) fn came_back(&self, question: &Question) -> bool {
        if question.kind != RecordType::HINFO {
            return false;
        }
        let Some(server) = self.probes.lock().remove(&question.name) else { return false };
        tracing::error!(%server, "this upstream name server forwards to the cluster's DNS, which would go on for ever: it is not asked any more");
        self.present.lock().give_up(server);
        true
    }
}
