//! Charging: what waits in a namespace is charged together, by one write of each quota.
//!
//! Of each namespace at most one batch is being charged at a time; what comes meanwhile waits for the next. So writes of a
//! namespace share flushes of the store instead of queueing for one each.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use api::pod_resources::{List, add};
use api::status::Status;
use futures::future::join_all;
use parking_lot::Mutex;
use store::{At, Durability, Key, Revision, Store, WriteError};
use tokio::sync::oneshot;

use super::judge::{Demand, Running, judge};
use super::{QUOTAS, prefix, read};
use crate::engine::{Engine, read_failed, write_failed};
use crate::entry::Objects;
use crate::object::Object;

/// The most that waits in one namespace; more is told to come again.
const MAX_WAITING: usize = 2048;
/// The most that is charged by one write.
const MAX_BATCH: usize = 512;
/// How often a quota that others change meanwhile is tried.
const MAX_ATTEMPTS: usize = 16;

/// Why a write was not charged for.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// It does not fit.
    Forbidden(String),
    /// This quota changed again and again.
    Changed(String),
    /// The store did not do it.
    Failed(Status),
}

/// What is being charged in this process, and how that went.
#[derive(Default)]
pub(crate) struct Quotas(Mutex<State>);

#[derive(Default)]
struct State {
    /// What waits in each namespace that has somebody who charges.
    waiting: HashMap<String, VecDeque<Item>>,
    /// Since when nobody but this process has changed a quota.
    chains: BTreeMap<Key, Chain>,
    /// What is charged to each quota for writes that have not ended.
    in_flight: BTreeMap<Key, List>,
}

/// Changes of a quota, one on the other, all made here.
#[derive(Clone, Copy)]
struct Chain {
    first: Revision,
    last: Revision,
}

enum Item {
    Charge(Box<Demand>, oneshot::Sender<Result<Vec<Charge>, Refusal>>),
    GiveBack(Vec<Charge>, oneshot::Sender<()>),
}

/// What one write takes of one quota. It counts as in flight until this is dropped.
pub(super) struct Charge {
    quotas: Arc<Quotas>,
    quota: Key,
    /// When it was written; not before.
    revision: Option<Revision>,
    amounts: List,
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut state = self.quotas.0.lock();
        let Some(sum) = state.in_flight.get_mut(&self.quota) else { return };
        for (name, amount) in &self.amounts {
            if let Some(left) = sum.get_mut(name) {
                left.sub(amount);
            }
        }
        sum.retain(|_, left| left.signum() > 0);
        if sum.is_empty() {
            state.in_flight.remove(&self.quota);
        }
    }
}

impl Quotas {
    /// What is charged to a quota for writes that have not ended.
    pub(super) fn in_flight(&self, quota: &Key) -> List {
        self.0.lock().in_flight.get(quota).cloned().unwrap_or_default()
    }

    fn begin(self: &Arc<Self>, quota: &Key, amounts: List) -> Charge {
        add(self.0.lock().in_flight.entry(quota.clone()).or_default(), &amounts);
        Charge { quotas: Arc::clone(self), quota: quota.clone(), revision: None, amounts }
    }

    /// Notes that a quota was changed here.
    fn changed(&self, quota: &Key, from: Revision, to: Revision) {
        let mut state = self.0.lock();
        let chain = state.chains.entry(quota.clone()).or_insert(Chain { first: to, last: to });
        if chain.last != from {
            chain.first = to;
        }
        chain.last = to;
    }

    /// Whether a charge is in a quota, as it is at `revision`, for certain: whoever counted again has counted without it.
    fn holds(&self, quota: &Key, revision: Revision, charge: &Charge) -> bool {
        let state = self.0.lock();
        let chain = state.chains.get(quota);
        chain.is_some_and(|chain| chain.last == revision && charge.revision.is_some_and(|made| chain.first <= made))
    }

    /// Forgets quotas of a namespace that are gone.
    fn forget(&self, namespace: &store::Prefix, quotas: &[Running]) {
        let exists = |key: &Key| quotas.iter().any(|quota| quota.key == *key);
        self.0.lock().chains.retain(|key, _| !key.as_str().starts_with(namespace.as_str()) || exists(key));
    }
}

/// Charges for a write, and says what was charged.
pub(super) async fn submit(engine: &Engine, namespace: &str, demand: Demand) -> Result<Vec<Charge>, Refusal> {
    let (sender, receiver) = oneshot::channel();
    if !enqueue(engine, namespace, Item::Charge(Box::new(demand), sender)) {
        let why = "too many writes wait for the quotas of this namespace";
        return Err(Refusal::Failed(Status::too_many_requests(why, 1)));
    }
    let ended = |_| Err(Refusal::Failed(Status::internal_error("the quotas of the namespace could not be evaluated")));
    receiver.await.unwrap_or_else(ended)
}

/// Gives back what was charged for a write that was not done.
pub(super) async fn give_back(engine: &Engine, namespace: &str, charges: Vec<Charge>) {
    let (sender, receiver) = oneshot::channel();
    if enqueue(engine, namespace, Item::GiveBack(charges, sender)) {
        // If it was not given back, the controller's next count finds out.
        let _ = receiver.await;
    }
}

/// Lets an item wait, and somebody work. Says whether there was room.
fn enqueue(engine: &Engine, namespace: &str, item: Item) -> bool {
    let quotas = engine.quotas();
    let mut state = quotas.0.lock();
    if let Some(waiting) = state.waiting.get_mut(namespace) {
        // What is given back makes room, and has been let in before.
        if waiting.len() >= MAX_WAITING && matches!(item, Item::Charge(..)) {
            return false;
        }
        waiting.push_back(item);
        return true;
    }
    state.waiting.insert(namespace.to_owned(), VecDeque::from([item]));
    let worker = Worker {
        quotas: Arc::clone(quotas),
        store: engine.store().clone(),
        namespace: namespace.to_owned(),
        is_done: false,
    };
    // A task of its own, because a request may be given up while others wait for what it began.
    tokio::spawn(worker.work());
    true
}

/// Charges what waits in a namespace, until nothing does.
struct Worker {
    quotas: Arc<Quotas>,
    store: Store<Objects>,
    namespace: String,
    /// Whether nothing waited any more. Whoever comes then begins anew.
    is_done: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        // It panicked: those who wait are told by their places being gone.
        let left = self.quotas.0.lock().waiting.remove(&self.namespace);
        drop(left);
    }
}

/// A write that waits for its charge.
struct Waiting {
    demand: Box<Demand>,
    sender: oneshot::Sender<Result<Vec<Charge>, Refusal>>,
    /// What was written.
    charged: Vec<Charge>,
    /// What is about to be written, by the quota's place.
    begun: Vec<(usize, Charge)>,
    verdict: Option<Result<(), Refusal>>,
}

impl Worker {
    async fn work(mut self) {
        while let Some(items) = self.next() {
            self.process(items).await;
        }
    }

    fn next(&mut self) -> Option<Vec<Item>> {
        let mut state = self.quotas.0.lock();
        let waiting = state.waiting.get_mut(&self.namespace)?;
        if waiting.is_empty() {
            state.waiting.remove(&self.namespace);
            self.is_done = true;
            return None;
        }
        let count = waiting.len().min(MAX_BATCH);
        Some(waiting.drain(..count).collect())
    }

    async fn load(&self, at: At) -> Result<Vec<Running>, Status> {
        let prefix = prefix(QUOTAS, &self.namespace)?;
        let snapshot = self.store.snapshot(&prefix, at).await.map_err(read_failed)?;
        let stored = snapshot.range(&prefix, None);
        let quotas: Result<Vec<Running>, Status> = stored
            .map(|(key, stored)| Ok(Running::new(key.clone(), stored.revision, read(stored.entry.bytes())?)))
            .collect();
        let quotas = quotas?;
        self.quotas.forget(&prefix, &quotas);
        Ok(quotas)
    }

    async fn process(&self, items: Vec<Item>) {
        let mut waiting = Vec::with_capacity(items.len());
        let mut given_back = Vec::new();
        for item in items {
            match item {
                Item::Charge(demand, sender) => {
                    waiting.push(Waiting { demand, sender, charged: Vec::new(), begun: Vec::new(), verdict: None });
                }
                Item::GiveBack(charges, sender) => given_back.push((charges, sender)),
            }
        }
        let returned: Vec<&Charge> = given_back.iter().flat_map(|(charges, _)| charges).collect();
        if let Err(status) = self.charge(&mut waiting, &returned).await {
            waiting.iter_mut().for_each(|one| {
                one.verdict.get_or_insert(Err(Refusal::Failed(status.clone())));
            });
        }
        for (charges, sender) in given_back {
            drop(charges);
            // Whoever wanted to know may be gone.
            let _ = sender.send(());
        }
        self.answer(waiting);
    }

    /// Charges all that waits, again where quotas change meanwhile; those that were charged are not looked at again.
    async fn charge(&self, waiting: &mut [Waiting], returned: &[&Charge]) -> Result<(), Status> {
        let mut quotas = self.load(At::Known).await?;
        for charge in returned {
            let quota = quotas.iter_mut().find(|quota| quota.key == charge.quota);
            if let Some(quota) = quota.filter(|quota| self.quotas.holds(&quota.key, quota.revision, charge)) {
                quota.give_back(&charge.amounts);
            }
        }
        for _ in 0..MAX_ATTEMPTS {
            for one in waiting.iter_mut().filter(|one| one.verdict.is_none()) {
                self.begin(&mut quotas, one);
            }
            let failed = self.write(&quotas, waiting).await;
            if failed.is_empty() {
                return Ok(());
            }
            quotas = self.load(At::Latest).await?;
            quotas.retain(|quota| failed.contains(&quota.key));
            if waiting.iter().all(|one| one.verdict.is_some()) {
                return Ok(());
            }
        }
        let name = quotas.first().map(|quota| quota.name().to_owned()).unwrap_or_default();
        for one in waiting.iter_mut() {
            one.verdict.get_or_insert_with(|| Err(Refusal::Changed(name.clone())));
        }
        Ok(())
    }

    /// Judges one, and takes what it needs.
    fn begin(&self, quotas: &mut [Running], one: &mut Waiting) {
        match judge(quotas, &one.demand) {
            Err(why) => one.verdict = Some(Err(Refusal::Forbidden(why))),
            Ok(_) if one.demand.dry_run => one.verdict = Some(Ok(())),
            Ok(takes) if takes.is_empty() => one.verdict = Some(Ok(())),
            Ok(takes) => {
                for (at, amounts) in takes {
                    quotas[at].take(&amounts);
                    one.begun.push((at, self.quotas.begin(&quotas[at].key, amounts)));
                }
            }
        }
    }

    /// Writes the quotas that changed. Says which of them others have changed meanwhile.
    async fn write(&self, quotas: &[Running], waiting: &mut [Waiting]) -> Vec<Key> {
        let writes = quotas.iter().enumerate().filter(|(_, quota)| quota.is_changed).map(|(at, quota)| async move {
            let json = match quota.changed().to_json() {
                Ok(json) => json,
                Err(error) => return (at, Err(Refusal::Failed(Status::internal_error(error)))),
            };
            let written = self.store.update(quota.key.clone(), quota.revision, json.into(), Durability::Flushed).await;
            match written {
                Ok(stored) => (at, Ok(Some(stored.revision))),
                Err(WriteError::Conflict { .. }) => (at, Ok(None)),
                Err(error) => (at, Err(Refusal::Failed(write_failed(&error)))),
            }
        });
        let mut outcomes: BTreeMap<usize, Result<Option<Revision>, Refusal>> =
            join_all(writes).await.into_iter().collect();
        for (at, outcome) in &outcomes {
            if let Ok(Some(revision)) = outcome {
                self.quotas.changed(&quotas[*at].key, quotas[*at].revision, *revision);
            }
        }
        for one in waiting.iter_mut().filter(|one| one.verdict.is_none()) {
            let mut verdict = Some(Ok(()));
            for (at, mut charge) in one.begun.drain(..) {
                match outcomes.get(&at) {
                    Some(Ok(Some(revision))) => {
                        charge.revision = Some(*revision);
                        one.charged.push(charge);
                    }
                    Some(Err(refusal)) => verdict = Some(Err(refusal.clone())),
                    // It is looked at again.
                    _ => verdict = verdict.filter(Result::is_err),
                }
            }
            one.verdict = verdict;
        }
        outcomes.retain(|_, outcome| matches!(outcome, Ok(None)));
        outcomes.into_keys().map(|at| quotas[at].key.clone()).collect()
    }

    /// Tells those who waited, and gives back what was charged for nothing.
    fn answer(&self, waiting: Vec<Waiting>) {
        let mut for_nothing = Vec::new();
        for Waiting { sender, charged, verdict, .. } in waiting {
            let unsent = match verdict.unwrap_or(Ok(())) {
                Ok(()) => sender.send(Ok(charged)).err().and_then(Result::ok),
                Err(refusal) => {
                    // Whoever wanted to know may be gone.
                    let _ = sender.send(Err(refusal));
                    Some(charged)
                }
            };
            for_nothing.extend(unsent.into_iter().flatten());
        }
        if !for_nothing.is_empty() {
            let (sender, _) = oneshot::channel();
            let mut state = self.quotas.0.lock();
            let waiting = state.waiting.entry(self.namespace.clone()).or_default();
            waiting.push_back(Item::GiveBack(for_nothing, sender));
        }
    }
}
