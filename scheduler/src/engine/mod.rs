//! The scheduler as a value: it is told what changes in the cluster and what has become of its writes, and says what is to
//! be written next. It reads no clock and writes nothing, so that a whole scheduler can be tested and simulated.
//!
//! It owns the snapshot and the queue. A pod is in the queue, in flight while it is decided and bound, and then on its
//! node. What was decided counts in the snapshot at once; it is taken back if it cannot be carried out.

mod attempt;
mod binding;
mod changes;
mod decisions;
mod effect;
mod nominations;
mod owners;
mod storage;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use decisions::{Decisions, Outcome, Record};
pub use effect::{Effect, Nomination, Reason};

use crate::config::{ConfigError, Configuration};
use crate::cycle::{Memory, Profile};
use crate::queue::{Counts, Queue, Refusal, Settings};
use crate::snapshot::{PlacedPod, Snapshot};
use binding::Binding;
use nominations::Nominations;

/// See the module. Times are counted from when it began.
pub struct Engine {
    profiles: BTreeMap<String, Arc<Profile>>,
    snapshot: Snapshot,
    queue: Queue,
    nominations: Nominations,
    /// The pods that have a node and are not bound yet, by uid.
    bindings: HashMap<String, Binding>,
    /// The pods for which room is being made: why they were refused, and who has to go.
    preempting: HashMap<String, (Refusal, Vec<Arc<PlacedPod>>)>,
    /// Whether something has happened that bindings may wait for.
    look_again: bool,
    effects: Vec<Effect>,
    decisions: Decisions,
    memory: Memory,
    /// Where the next search begins.
    start: usize,
    random: StdRng,
}

impl Engine {
    /// A scheduler that knows of nothing yet. Its random choices follow from the seed.
    ///
    /// # Errors
    /// What of the configuration cannot be, in upstream's words.
    pub fn new(configuration: &Configuration, seed: u64) -> Result<Engine, ConfigError> {
        if !configuration.extenders.is_empty() {
            return Err(ConfigError::Unreadable(
                "extenders: there is no support for extenders; leave it out".to_owned(),
            ));
        }
        let profiles = Profile::all(configuration)?;
        let asked = profiles.iter().map(|profile| (profile.name.clone(), profile.into())).collect();
        let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let settings = Settings {
            initial_backoff: seconds(configuration.pod_initial_backoff_seconds),
            max_backoff: seconds(configuration.pod_max_backoff_seconds),
            ..Settings::default()
        };
        let mut snapshot = Snapshot::default();
        profiles.iter().flat_map(Profile::plugins).for_each(|plugin| plugin.prepare(&mut snapshot));
        Ok(Engine {
            queue: Queue::new(settings, asked),
            profiles: profiles.into_iter().map(|profile| (profile.name.clone(), Arc::new(profile))).collect(),
            snapshot,
            nominations: Nominations::default(),
            bindings: HashMap::new(),
            preempting: HashMap::new(),
            look_again: false,
            effects: Vec::new(),
            decisions: Decisions::default(),
            memory: Memory::default(),
            start: 0,
            random: StdRng::seed_from_u64(seed),
        })
    }

    /// Nodes, and pods on nodes, as far as it was told or decided.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How many pods are where in the queue.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.queue.counts()
    }

    /// Why the newest pods went where they went, or went nowhere.
    #[must_use]
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// How a pod that is ours is scheduled.
    fn profile(&self, pod: &Pod) -> Option<Arc<Profile>> {
        let name = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
        self.profiles.get(name.unwrap_or(DEFAULT_SCHEDULER)).cloned()
    }

    /// When there will be something to do, whatever happens until then.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        if self.queue.has_ready() {
            return Some(Duration::ZERO);
        }
        let waits = self.bindings.values().filter_map(Binding::deadline);
        waits.chain(self.queue.next_wake()).min()
    }
}

/// The scheduler of pods that name none.
const DEFAULT_SCHEDULER: &str = "default-scheduler";

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}
