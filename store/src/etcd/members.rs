//! The members of the cluster, and which of them is asked.
//!
//! All requests and the watch go to one member, the preferred one, until it fails; then the next one in the user's order
//! is preferred. Following one member keeps reads and watch equally fresh, and whoever finds it dead first (a request
//! runs into its timeout sooner than a watch notices silence) spares all others finding it out.

use std::future::Future;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error, KvClient, WatchClient};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::failure::{Failure, FailureKind};
use super::options::EtcdOptions;

/// The largest message that is taken from etcd, in bytes. An answer of several keys that is larger is asked for in
/// smaller parts.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// The members, by their place in the options.
pub(super) struct Members {
    endpoints: Vec<String>,
    connect: ConnectOptions,
    connections: Vec<Mutex<Option<Connection>>>,
    preferred: watch::Sender<usize>,
    request_timeout: Duration,
}

/// The clients of one member, which share its connection.
#[derive(Clone)]
pub(super) struct Connection {
    kv: KvClient,
    watch: WatchClient,
}

/// One member, connected.
pub(super) struct Member {
    pub(super) index: usize,
    pub(super) kv: KvClient,
    pub(super) watch: WatchClient,
}

impl Members {
    pub(super) fn new(options: &EtcdOptions) -> Self {
        Members {
            endpoints: options.endpoints.clone(),
            connect: options.connect_options(),
            connections: options.endpoints.iter().map(|_| Mutex::new(None)).collect(),
            preferred: watch::Sender::new(0),
            request_timeout: options.request_timeout,
        }
    }

    /// Tells of every change of the preferred member.
    pub(super) fn preferred(&self) -> watch::Receiver<usize> {
        self.preferred.subscribe()
    }

    pub(super) fn endpoint(&self, index: usize) -> &str {
        &self.endpoints[index]
    }

    /// The preferred member. Logs in where credentials are given; otherwise no connection is made until a request is.
    pub(super) async fn member(&self) -> Result<Member, Failure> {
        let index = *self.preferred.borrow();
        let known = self.connections[index].lock().clone();
        let Connection { kv, watch } = match known {
            Some(connection) => connection,
            None => self.connect(index).await.inspect_err(|failure| self.note(index, failure))?,
        };
        Ok(Member { index, kv, watch })
    }

    /// Asks the preferred member once.
    pub(super) async fn once<T, F>(&self, request: impl FnOnce(KvClient) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let Member { index, kv, .. } = self.member().await?;
        self.limit(index, request(kv)).await
    }

    /// Asks until there is an answer that another member or a later moment would not change, or `deadline` has passed.
    /// Only for what may be executed twice.
    pub(super) async fn persist<T, F>(&self, deadline: Instant, request: impl Fn(KvClient) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut backoff = Backoff::new();
        loop {
            match self.once(&request).await {
                Err(failure) if failure.is_passing() && Instant::now() < deadline => backoff.wait().await,
                outcome => return outcome,
            }
        }
    }

    /// Runs a request to the member at `index` under the timeout, and judges its failure.
    pub(super) async fn limit<T>(
        &self,
        index: usize,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        let endpoint = self.endpoint(index);
        let outcome = match timeout(self.request_timeout, request).await {
            Ok(outcome) => outcome.map_err(|error| Failure::of(endpoint, &error)),
            Err(_) => {
                let detail = format!("{endpoint}: no answer within {:?}", self.request_timeout);
                Err(Failure::new(FailureKind::Unknown, detail))
            }
        };
        outcome.inspect_err(|failure| self.note(index, failure))
    }

    /// Takes note of a failure of the member at `index`: if it is still the preferred one, the next one is from now on.
    pub(super) fn note(&self, index: usize, failure: &Failure) {
        if !failure.blames_member() || self.endpoints.len() == 1 {
            return;
        }
        let next = (index + 1) % self.endpoints.len();
        let moved = self.preferred.send_if_modified(|preferred| {
            let moves = *preferred == index;
            if moves {
                *preferred = next;
            }
            moves
        });
        if moved {
            tracing::info!(%failure, next = self.endpoint(next), "turning to another etcd member");
        }
    }

    /// Lets go of every connection as soon as its last request ends.
    pub(super) fn disconnect(&self) {
        for connection in &self.connections {
            connection.lock().take();
        }
    }

    async fn connect(&self, index: usize) -> Result<Connection, Failure> {
        let endpoint = self.endpoint(index);
        let connecting = Client::connect([endpoint], Some(self.connect.clone()));
        let client = match timeout(self.request_timeout, connecting).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(Failure::of(endpoint, &error).before_request()),
            Err(_) => {
                let detail = format!("{endpoint}: no connection within {:?}", self.request_timeout);
                return Err(Failure::new(FailureKind::NotExecuted, detail));
            }
        };
        let connection = Connection {
            kv: client.kv_client().max_decoding_message_size(MAX_MESSAGE_BYTES),
            watch: client.watch_client().max_decoding_message_size(MAX_MESSAGE_BYTES),
        };
        self.connections[index].lock().replace(connection.clone());
        Ok(connection)
    }
}

/// Growing pauses between attempts.
pub(super) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(super) fn new() -> Self {
        Backoff(Self::FIRST)
    }

    pub(super) async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(Self::LONGEST);
    }

    pub(super) fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(endpoints: &[&str]) -> Members {
        Members::new(&EtcdOptions::new(endpoints.iter().copied()))
    }

    #[test]
    fn the_preferred_member_moves_once_a_failure() {
        let dead = Failure::new(FailureKind::Unknown, "dead");
        let busy = Failure::new(FailureKind::Busy, "busy");
        type Case<'a> = (usize, &'a [(usize, &'a Failure)], usize);
        let cases: &[Case<'_>] = &[
            (3, &[], 0),
            (3, &[(0, &dead)], 1),
            // Others who found the same member dead do not skip the next one.
            (3, &[(0, &dead), (0, &dead)], 1),
            (3, &[(0, &dead), (1, &dead), (2, &dead)], 0),
            (3, &[(0, &busy)], 0),
            (1, &[(0, &dead)], 0),
        ];
        for (count, notes, expected) in cases {
            let members = members(&["http://a", "http://b", "http://c"][..*count]);
            for (index, failure) in *notes {
                members.note(*index, failure);
            }
            assert_eq!(*members.preferred().borrow(), *expected, "{notes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_a_bound() {
        let mut backoff = Backoff::new();
        let started = Instant::now();
        for _ in 0..10 {
            backoff.wait().await;
        }
        // 20 + 40 + … + 640 ms, then four of the longest.
        let expected = Duration::from_millis(1260) + 4 * Backoff::LONGEST;
        assert!(started.elapsed().abs_diff(expected) < Duration::from_millis(50), "{:?}", started.elapsed());
    }
}
