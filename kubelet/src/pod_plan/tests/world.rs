//! A pod, its node and its worker as a value: carries out what is planned, and sees to it that nothing is planned that
//! must never be done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use serde_json::{Value, json};

use crate::observed::{AppliedResources, ContainerState, Probed, RuntimeContainer, RuntimePod, Sandbox};
use crate::pod_plan::spec::{is_sidecar, is_terminal, slots};
use crate::pod_plan::time::{after, second};
use crate::pod_plan::{
    Action, Host, Inputs, Memory, Mounts, Plan, Resize, Role, Setback, Stop, Verdict, hash_of, plan,
};

/// When everything begins, in seconds.
pub(super) const BEGIN: i64 = 1_700_000_000;

/// How something goes wrong that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not done at all.
    Refused,
    /// It is begun: a container is made and not started.
    Halfway,
    /// A container is started, and ends at once.
    Stillborn,
}

/// A pod and its node.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) pod: Pod,
    pub(super) runtime: RuntimePod,
    pub(super) probed: BTreeMap<String, Probed>,
    pub(super) memory: Memory,
    pub(super) host: Host,
    pub(super) now: Timestamp,
    /// What is to go wrong with the actions that come, one after the other.
    pub(super) faults: Vec<Option<Fault>>,
    /// How long it takes containers to end that are told to.
    pub(super) slowness: Duration,
    /// What was done.
    pub(super) log: Vec<String>,
    /// What was said.
    pub(super) says: Vec<String>,
    /// Whether the API has the pod no longer.
    pub(super) deleted: bool,
    /// Which init containers have done their work in which sandbox.
    initialized: BTreeSet<(String, String)>,
    /// The newest attempt at each container that was started and has been said.
    attempts: BTreeMap<String, u32>,
    made: u32,
}

pub(super) fn moment(seconds: u64) -> Timestamp {
    after(Timestamp::from_second(BEGIN).unwrap(), Duration::from_secs(seconds))
}

pub(super) fn container(name: &str, more: Value) -> Value {
    let mut container = json!({"name": name, "image": "i:1"});
    container.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    container
}

pub(super) fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [container("a", json!({}))]})
}

impl World {
    pub(super) fn new(spec: Value) -> World {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1},
            "spec": spec,
            "status": {"phase": "Pending", "conditions": [{
                "type": "PodScheduled", "status": "True", "observedGeneration": 1, "lastTransitionTime": "2023-11-14T22:13:20Z",
            }]},
        });
        let host = Host {
            runtime: "containerd".to_owned(),
            addresses: vec!["172.16.0.1".parse().unwrap()],
            longest_back_off: None,
        };
        World {
            pod: serde_json::from_value(pod).unwrap(),
            runtime: RuntimePod::default(),
            probed: BTreeMap::new(),
            memory: Memory::default(),
            host,
            now: moment(0),
            faults: Vec::new(),
            slowness: Duration::ZERO,
            log: Vec::new(),
            says: Vec::new(),
            deleted: false,
            initialized: BTreeSet::new(),
            attempts: BTreeMap::new(),
            made: 0,
        }
    }

    pub(super) fn plan(&self) -> Plan {
        let inputs = Inputs {
            pod: &self.pod,
            runtime: &self.runtime,
            probed: &self.probed,
            memory: &self.memory,
            host: &self.host,
            now: self.now,
        };
        let decided = plan(&inputs);
        assert_eq!(decided, plan(&inputs), "the same is decided for the same inputs");
        decided
    }

    /// Plans once, writes the status and does what is planned until something fails. Says whether anything was done.
    pub(super) fn step(&mut self) -> Plan {
        let plan = self.plan();
        self.write(&plan.status);
        self.memory = plan.memory.clone();
        self.says.extend(plan.says.iter().map(|says| format!("{} {}", says.reason, says.message)));
        for action in &plan.actions {
            let fault = self.faults.pop().flatten();
            let began = self.now.duration_since(moment(0)).as_secs();
            self.log.push(format!("{began}: {}{}", describe(action), fault.map_or("", |_| " failed")));
            match fault {
                None => self.carry_out(action),
                Some(fault) => {
                    self.fail(action, fault);
                    break;
                }
            }
        }
        plan
    }

    /// Lets the worker work until there is nothing to do, and time pass in between, until then.
    pub(super) fn until(&mut self, seconds: u64) -> &mut World {
        for _ in 0..1000 {
            let plan = self.step();
            if !plan.actions.is_empty() {
                continue;
            }
            let again = self.plan();
            assert_eq!((&again.status, &again.memory), (&plan.status, &plan.memory), "nothing changes at rest");
            match plan.again.map(|again| after(self.now, again)).filter(|then| *then <= moment(seconds)) {
                Some(then) => {
                    assert!(then > self.now, "it looks at once where nothing has changed");
                    self.now = then;
                }
                None => {
                    self.now = self.now.max(moment(seconds));
                    return self;
                }
            }
        }
        panic!("it never comes to rest: {:#?}", self.log);
    }

    pub(super) fn status(&self) -> PodStatus {
        self.pod.status.clone().unwrap_or_default()
    }

    fn write(&mut self, new: &PodStatus) {
        let old = self.status();
        if is_terminal(old.phase.as_deref()) {
            assert_eq!(old.phase, new.phase, "a terminal phase is final");
        }
        if is_terminal(new.phase.as_deref()) {
            assert!(!self.runtime.is_running(), "something of a pod runs that has ended: {:#?}", self.log);
        }
        for said in statuses(&old) {
            let says = statuses(new).find(|says| says.name == said.name);
            let count = says.map(|says| says.restart_count);
            assert!(count >= Some(said.restart_count), "{} was restarted less often than before", said.name);
        }
        for record in self.runtime.containers.iter().filter(|it| it.started.is_some()) {
            let seen = self.attempts.entry(record.name.clone()).or_default();
            *seen = record.attempt.max(*seen);
        }
        self.pod.status = Some(new.clone());
    }

    fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Prepare => self.memory.prepared = true,
            Action::Mount => self.memory.volumes = Mounts::Done,
            Action::RunSandbox { attempt } => self.run_sandbox(*attempt),
            Action::StopSandbox { id } => self.stop_sandbox(id),
            Action::Start { container, role, attempt } => {
                self.start(container, *role, *attempt);
                self.memory.containers.remove(container);
            }
            Action::Stop(stops) => self.stop(stops),
            Action::Remove { id } => {
                let gone = self.runtime.containers.iter().position(|it| it.id == *id).expect("it is there");
                assert_ne!(self.runtime.containers[gone].state, ContainerState::Running);
                self.runtime.containers.remove(gone);
            }
            Action::RemoveSandbox { id } => {
                assert!(self.runtime.sandboxes.iter().all(|it| it.id != *id || !it.ready));
                self.runtime.sandboxes.retain(|it| it.id != *id);
            }
            Action::Resize => {
                for container in &mut self.runtime.containers {
                    let resources = resources_of(&self.pod, &container.name);
                    container.resources = resources.or(container.resources);
                }
                self.memory.resize = None;
            }
            Action::TearDown => {
                assert!(!self.runtime.is_running(), "it is torn down while it runs");
                self.runtime.sandboxes.clear();
                self.memory.torn_down = true;
            }
            Action::Delete => {
                assert!(self.memory.torn_down, "it is deleted before it is gone from the node");
                assert!(is_terminal(self.status().phase.as_deref()), "it is deleted before it has ended");
                self.memory.deleted = true;
                self.deleted = true;
            }
        }
    }

    fn fail(&mut self, action: &Action, fault: Fault) {
        let why = |reason: &str| Verdict { reason: reason.to_owned(), message: "it failed".to_owned() };
        let setback = |reason: &str| Setback { why: why(reason), until: after(self.now, Duration::from_secs(5)) };
        match action {
            Action::Mount => self.memory.volumes = Mounts::Failed(setback("FailedMount")),
            Action::RunSandbox { .. } => self.memory.sandbox = Some(setback("FailedCreatePodSandBox")),
            Action::Start { container, role, attempt } => {
                let reason = if fault == Fault::Refused { "ErrImagePull" } else { "RunContainerError" };
                let setback = setback(reason);
                if fault != Fault::Refused {
                    self.start(container, *role, *attempt);
                    let record = self.runtime.containers.first_mut().expect("it was made just now");
                    (record.state, record.started) = (ContainerState::Created, None);
                    if fault == Fault::Stillborn {
                        (record.state, record.started) = (ContainerState::Exited, Some(self.now));
                        record.exit_code = 128;
                        record.finished = Some(self.now);
                    }
                }
                self.memory.containers.insert(container.clone(), setback);
            }
            Action::Resize => self.memory.resize = Some(Resize::InProgress(Some("it failed".to_owned()))),
            // The worker waits before it tries again what has no setback.
            _ => self.now = after(self.now, Duration::from_secs(1)),
        }
    }

    fn id(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what}{}", self.made)
    }

    fn run_sandbox(&mut self, attempt: u32) {
        assert!(!self.runtime.is_running(), "a second sandbox");
        assert!(self.runtime.sandboxes.iter().all(|it| it.attempt < attempt), "the attempt was made before");
        let host_network = self.pod.spec.as_ref().unwrap().host_network == Some(true);
        let address = format!("10.0.0.{}", attempt + 2).parse().unwrap();
        let addresses = if host_network { Vec::new() } else { vec![address] };
        let (id, created) = (self.id("s"), self.now);
        let sandbox = Sandbox { id, attempt, created, ready: true, addresses, host_network };
        self.runtime.sandboxes.insert(0, sandbox);
    }

    fn stop_sandbox(&mut self, id: &str) {
        let sandbox = self.runtime.sandboxes.iter_mut().find(|it| it.id == id).expect("it is there");
        (sandbox.ready, sandbox.addresses) = (false, Vec::new());
        for container in &mut self.runtime.containers {
            assert!(container.sandbox != id || container.state != ContainerState::Running, "it is stopped by force");
            if container.sandbox == id && container.state == ContainerState::Unknown {
                end(container, 137, self.now);
            }
        }
    }

    fn start(&mut self, name: &str, role: Role, attempt: u32) {
        let sandbox = self.runtime.sandbox().filter(|it| it.ready).expect("it is started in a sandbox").id.clone();
        for other in self.runtime.attempts(name) {
            // One of which the runtime is not sure may run.
            let runs = matches!(other.state, ContainerState::Running | ContainerState::Unknown);
            assert!(!runs, "{name} runs already: {:#?}", self.log);
            assert!(other.attempt < attempt, "{name} was started as often before");
        }
        let seen = self.attempts.get(name);
        assert!(seen.is_none_or(|seen| *seen < attempt), "{name} was said to be started as often: {:#?}", self.log);
        let slots = slots(&self.pod);
        let slot = slots.iter().find(|slot| slot.name() == name).expect("it is in the spec");
        assert_eq!(slot.role, role);
        if role == Role::Regular {
            let inits = slots.iter().filter(|it| it.role == Role::Init && !is_sidecar(&it.container));
            for init in inits {
                let done = self.initialized.contains(&(sandbox.clone(), init.name().to_owned()));
                assert!(done, "{name} before {}: {:#?}", init.name(), self.log);
            }
        }
        let (hash, image) = (hash_of(&slot.container), slot.container.image.clone().unwrap_or_default());
        let record = RuntimeContainer {
            name: name.to_owned(),
            sandbox,
            attempt,
            state: ContainerState::Running,
            created: self.now,
            started: Some(self.now),
            image_id: format!("sha256:{image}"),
            image,
            hash,
            resources: resources_of(&self.pod, name),
            id: self.id("c"),
            ..RuntimeContainer::default()
        };
        self.runtime.containers.insert(0, record);
    }

    fn stop(&mut self, stops: &[Stop]) {
        let slowness = stops.iter().map(|stop| self.slowness.min(stop.grace)).max().unwrap_or_default();
        self.now = after(self.now, slowness);
        for stop in stops {
            assert!(stop.grace >= Duration::from_secs(2));
            let record = self.runtime.containers.iter_mut().find(|it| it.id == stop.id).expect("it is there");
            if matches!(record.state, ContainerState::Running | ContainerState::Unknown) {
                let code = if self.slowness > stop.grace { 137 } else { 143 };
                end(record, code, self.now);
            }
        }
    }

    /// Has the container that runs under this name exit.
    pub(super) fn exits(&mut self, name: &str, code: i32) -> &mut World {
        let now = self.now;
        let running = |it: &&mut RuntimeContainer| it.name == name && it.state == ContainerState::Running;
        if let Some(record) = self.runtime.containers.iter_mut().find(running) {
            end(record, code, now);
            if code == 0 {
                self.initialized.insert((record.sandbox.clone(), name.to_owned()));
            }
        }
        self
    }

    /// Has the sandbox die, and whatever runs in it.
    pub(super) fn sandbox_dies(&mut self) -> &mut World {
        let now = self.now;
        if let Some(sandbox) = self.runtime.sandboxes.first_mut() {
            (sandbox.ready, sandbox.addresses) = (false, Vec::new());
        }
        for record in self.runtime.containers.iter_mut().filter(|it| it.state == ContainerState::Running) {
            end(record, 137, now);
        }
        self
    }

    /// Has another sandbox be there that nobody knows to have made.
    pub(super) fn sandbox_gets_a_twin(&mut self) -> &mut World {
        if let Some(sandbox) = self.runtime.sandboxes.first().filter(|it| it.ready).cloned() {
            let twin = Sandbox { id: self.id("s"), attempt: sandbox.attempt + 1, ..sandbox };
            self.runtime.sandboxes.insert(0, twin);
        }
        self
    }

    /// Has a container run twice: a start that was taken to have failed had not.
    pub(super) fn container_gets_a_twin(&mut self, name: &str) -> &mut World {
        let running = |it: &&RuntimeContainer| it.name == name && it.state == ContainerState::Running;
        if let Some(record) = self.runtime.containers.iter().find(running).cloned() {
            let twin = RuntimeContainer { id: self.id("c"), attempt: record.attempt + 1, ..record };
            self.runtime.containers.insert(0, twin);
        }
        self
    }

    pub(super) fn is_running(&self, name: &str) -> bool {
        self.runtime.container(name).is_some_and(|it| it.state == ContainerState::Running)
    }

    /// Sets what probes say of the container that is there under this name.
    pub(super) fn probes(&mut self, name: &str, change: impl FnOnce(&mut Probed)) -> &mut World {
        if let Some(record) = self.runtime.container(name) {
            change(self.probed.entry(record.id.clone()).or_default());
        }
        self
    }

    /// Has somebody delete the pod.
    pub(super) fn is_deleted(&mut self, grace: i64) -> &mut World {
        let until = second(after(self.now, Duration::from_secs(grace.unsigned_abs())));
        self.pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(until));
        self.pod.metadata.deletion_grace_period_seconds = Some(grace);
        self.pod.metadata.generation = Some(2);
        self
    }

    /// Has the agent be started anew.
    pub(super) fn restarts(&mut self) -> &mut World {
        self.memory = Memory::default();
        self.probed.clear();
        self
    }

    /// Compares what was done since the last time.
    #[track_caller]
    pub(super) fn did(&mut self, expected: &[&str]) -> &mut World {
        let log = std::mem::take(&mut self.log);
        assert_eq!(log, expected);
        self
    }

    /// Compares what the status says.
    #[track_caller]
    pub(super) fn says(&mut self, expected: &str) -> &mut World {
        assert_eq!(state_of(&self.status()), expected);
        self
    }

    /// What a condition says.
    pub(super) fn condition(&self, name: &str) -> String {
        let conditions = self.status().conditions.unwrap_or_default();
        let Some(found) = conditions.into_iter().find(|condition| condition.type_ == name) else {
            return "none".to_owned();
        };
        assert_eq!(found.observed_generation, self.pod.metadata.generation);
        let since = found.last_transition_time.unwrap().0.as_second() - BEGIN;
        let words = [found.status, found.reason.unwrap_or_default(), found.message.unwrap_or_default()];
        let words = words.into_iter().filter(|word| !word.is_empty());
        words.chain([format!("since {since}")]).collect::<Vec<_>>().join(" ")
    }
}

fn end(record: &mut RuntimeContainer, code: i32, now: Timestamp) {
    record.state = ContainerState::Exited;
    record.exit_code = code;
    record.finished = Some(now);
    record.reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
}

/// What a container of the spec is given, as a kernel has it: only what tests ask for.
pub(super) fn resources_of(pod: &Pod, name: &str) -> Option<AppliedResources> {
    let slots = slots(pod);
    let resources = slots.iter().find(|slot| slot.name() == name)?.container.resources.clone()?;
    let milli: i64 = resources.requests?.get("cpu")?.0.strip_suffix('m')?.parse().ok()?;
    Some(AppliedResources { cpu_shares: Some(milli * 1024 / 1000), ..AppliedResources::default() })
}

fn describe(action: &Action) -> String {
    match action {
        Action::RunSandbox { attempt } => format!("RunSandbox {attempt}"),
        Action::StopSandbox { id } => format!("StopSandbox {id}"),
        Action::Start { container, attempt, .. } => format!("Start {container} {attempt}"),
        Action::Stop(stops) => {
            let stops = stops.iter().map(|stop| format!("{} {}", stop.container, stop.grace.as_secs()));
            format!("Stop {}", stops.collect::<Vec<_>>().join(", "))
        }
        Action::Remove { id } => format!("Remove {id}"),
        Action::RemoveSandbox { id } => format!("RemoveSandbox {id}"),
        other => format!("{other:?}"),
    }
}

pub(super) fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let all = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flat_map(|statuses| statuses.iter().flatten())
}

/// The phase, then each container: `*` if it is ready, how often it was restarted, and its state.
fn state_of(status: &PodStatus) -> String {
    let containers = statuses(status).map(|container| {
        let state = container.state.clone().unwrap_or_default();
        let ready = if container.ready { "*" } else { "" };
        let restarts = Some(container.restart_count).filter(|count| *count != 0);
        let restarts = restarts.map_or(String::new(), |count| count.to_string());
        let state = if state.running.is_some() {
            "runs".to_owned()
        } else if let Some(end) = state.terminated {
            format!("{}({})", end.reason.unwrap_or_default(), end.exit_code)
        } else {
            state.waiting.unwrap_or_default().reason.unwrap_or_default()
        };
        format!("{}{ready}{restarts} {state}", container.name)
    });
    let phase = [status.phase.clone().unwrap_or_default(), status.reason.clone().unwrap_or_default()];
    let phase = phase.join(" ").trim().to_owned();
    [phase].into_iter().chain(containers).collect::<Vec<_>>().join(", ")
}
