//! What a runtime in memory has, and how it changes. Nothing here waits: time is looked at and never passes.
//!
//! What a container does by itself is not done when its time has come but when somebody looks next, with the time at
//! which it happened. So containers that run need no task each. What never changes of a sandbox or a container is kept as
//! the bytes of CRI's message: a node's worth of them takes little, and thousands of nodes fit into a process.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tonic::Status;

use super::addresses::Pool;
use super::images::Images;
use super::script::{Script, Which};
use super::v1;

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) instant: Instant,
}

/// A message, as its bytes.
#[derive(Debug)]
pub(super) struct Packed<T>(Box<[u8]>, PhantomData<fn() -> T>);

impl<T: prost::Message + Default> Packed<T> {
    pub(super) fn of(message: &T) -> Packed<T> {
        Packed(message.encode_to_vec().into_boxed_slice(), PhantomData)
    }

    pub(super) fn open(&self) -> T {
        T::decode(&*self.0).expect("it was encoded here, by the same type")
    }

    /// How many bytes it takes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// A sandbox.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) fixed: Packed<v1::PodSandboxStatus>,
    /// A hash of what names it: its pod and its attempt.
    pub(super) name: u64,
    pub(super) created: i64,
    pub(super) ready: bool,
    pub(super) addresses: Box<[IpAddr]>,
    pub(super) log_directory: Box<str>,
}

/// A container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) fixed: Packed<v1::ContainerStatus>,
    /// A hash of what names it: its sandbox's pod, its name and its attempt.
    pub(super) name: u64,
    pub(super) sandbox: u64,
    pub(super) attempt: u32,
    pub(super) created: i64,
    pub(super) phase: Phase,
    pub(super) script: Arc<Script>,
    pub(super) resources: Option<Box<v1::LinuxContainerResources>>,
}

/// How far a container has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    Created,
    Running { since: Timestamp, end: Option<Ending> },
    Exited { started: i64, finished: i64, how: Ended },
}

/// That a container is going to end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ending {
    pub(super) when: Instant,
    pub(super) at: Timestamp,
    pub(super) exit_code: i32,
    pub(super) out_of_memory: bool,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ended {
    pub(super) exit_code: i32,
    pub(super) reason: &'static str,
    pub(super) message: Box<str>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct State {
    /// What the IDs of this runtime end with.
    salt: String,
    /// How many IDs were given.
    given: u64,
    /// How many nanoseconds this runtime's clock is ahead: one more for each thing that is made, so that no two things
    /// are made at once even where time stands still.
    ahead: Arc<AtomicI64>,
    pub(super) sandboxes: BTreeMap<u64, Sandbox>,
    pub(super) containers: BTreeMap<u64, Container>,
    pub(super) images: Images,
    pub(super) pools: Vec<Pool>,
    /// The newest last, which is asked first.
    pub(super) scripts: Vec<(Which, Arc<Script>)>,
    /// What containers do that no script is about.
    pub(super) otherwise: Arc<Script>,
}

/// Spreads the numbers of IDs, so that they differ in their first digits. It is odd, so it has an inverse.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// The inverse of [`SPREAD`] modulo 2^64.
const GATHER: u64 = 0xf1de_83e1_9937_733d;

impl State {
    /// With nothing in it. Runtimes of different names give different IDs.
    pub(super) fn new(name: &str, images: Images, pools: Vec<Pool>) -> State {
        let salt: String = Sha256::digest(name).iter().take(24).map(|byte| format!("{byte:02x}")).collect();
        State {
            salt,
            given: 0,
            ahead: Arc::default(),
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            images,
            pools,
            scripts: Vec::new(),
            otherwise: Arc::default(),
        }
    }

    /// A new number, under which something is kept.
    pub(super) fn number(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    /// The ID for a number: 64 digits, as containerd's.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{:016x}{}", number.wrapping_mul(SPREAD), self.salt)
    }

    /// The number for an ID.
    pub(super) fn number_of(&self, id: &str) -> Option<u64> {
        let (spread, salt) = id.split_at_checked(16)?;
        (salt == self.salt).then(|| u64::from_str_radix(spread, 16).ok().map(|spread| spread.wrapping_mul(GATHER)))?
    }

    /// How far this runtime's clock is ahead of others.
    pub(super) fn ahead(&self) -> Arc<AtomicI64> {
        self.ahead.clone()
    }

    /// When something is made that is made now.
    pub(super) fn made(&self, moment: Moment) -> i64 {
        self.ahead.fetch_add(1, Ordering::Relaxed);
        nanoseconds(moment.at).saturating_add(1)
    }

    /// A sandbox, by its ID.
    pub(super) fn sandbox(&self, id: &str) -> Result<(u64, &Sandbox), Status> {
        let found = self.number_of(id).and_then(|number| Some((number, self.sandboxes.get(&number)?)));
        found.ok_or_else(|| {
            Status::not_found(format!("an error occurred when try to find sandbox: sandbox {id:?}: not found"))
        })
    }

    /// A container as it is now, by its ID.
    pub(super) fn container(&mut self, id: &str, moment: Moment) -> Result<(u64, &mut Container), Status> {
        let found = self.number_of(id).and_then(|number| Some((number, self.containers.get_mut(&number)?)));
        let (number, container) = found.ok_or_else(|| {
            Status::not_found(format!("an error occurred when try to find container {id:?}: not found"))
        })?;
        container.settle(moment);
        Ok((number, container))
    }

    /// Lets happen to containers what has happened by now.
    pub(super) fn settle(&mut self, moment: Moment) {
        for container in self.containers.values_mut() {
            container.settle(moment);
        }
    }

    /// What a call is about, by names that a test knows.
    pub(super) fn subject(&self, id: &str) -> String {
        let Some(number) = self.number_of(id) else { return id.to_owned() };
        if let Some(sandbox) = self.sandboxes.get(&number) {
            let metadata = sandbox.fixed.open().metadata.unwrap_or_default();
            return format!("{}/{}", metadata.namespace, metadata.name);
        }
        let Some(container) = self.containers.get(&number) else { return id.to_owned() };
        let name = container.fixed.open().metadata.unwrap_or_default().name;
        format!("{}/{name}", self.subject(&self.id(container.sandbox)))
    }
}

impl Container {
    /// Lets happen what has happened by now.
    pub(super) fn settle(&mut self, moment: Moment) {
        if let Phase::Running { since, end: Some(end) } = &self.phase
            && end.when <= moment.instant
        {
            let how = Ended::with(end.exit_code, end.out_of_memory);
            self.phase = Phase::Exited { started: nanoseconds(*since), finished: nanoseconds(end.at), how };
        }
    }

    /// Ends now, if it runs.
    pub(super) fn end(&mut self, moment: Moment, exit_code: i32, out_of_memory: bool) {
        self.settle(moment);
        if let Phase::Running { since, .. } = self.phase {
            self.phase = Phase::Exited {
                started: nanoseconds(since),
                finished: nanoseconds(moment.at),
                how: Ended::with(exit_code, out_of_memory),
            };
        }
    }

    /// Whether it runs.
    pub(super) fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    /// Its state, as CRI has it.
    pub(super) fn state(&self) -> v1::ContainerState {
        match self.phase {
            Phase::Created => v1::ContainerState::ContainerCreated,
            Phase::Running { .. } => v1::ContainerState::ContainerRunning,
            Phase::Exited { .. } => v1::ContainerState::ContainerExited,
        }
    }
}

impl Ended {
    /// In the words that containerd has for it.
    fn with(exit_code: i32, out_of_memory: bool) -> Ended {
        let reason = match (out_of_memory, exit_code) {
            (true, _) => "OOMKilled",
            (false, 0) => "Completed",
            (false, _) => "Error",
        };
        Ended { exit_code, reason, message: Box::default() }
    }
}

/// A time as CRI has it.
pub(super) fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}

/// A number that stands for a name.
pub(super) fn hash(parts: &[&str]) -> u64 {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update(part);
        // No name has it in it.
        sum.update([0]);
    }
    let sum = sum.finalize();
    sum.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_what_they_were_given_for() {
        let one = State::new("one", Images::default(), Vec::new());
        let other = State::new("other", Images::default(), Vec::new());
        for number in [0, 1, 2, 1 << 40, u64::MAX] {
            let id = one.id(number);
            assert_eq!(id.len(), 64);
            assert_eq!(one.number_of(&id), Some(number));
            assert_eq!(other.number_of(&id), None);
        }
        assert_eq!(one.number_of("é"), None);
        assert_eq!(one.number_of(""), None);
    }
}
