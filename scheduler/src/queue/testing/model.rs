//! A model of the queue that is as simple as can be, and storms of whatever can happen.
//!
//! The model keeps for each pod what anybody would remember by hand: when its attempt began, who refused it, and whether
//! something has happened since that one of these says may help. The queue must put each pod exactly there.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Something that happens to the queue. Pods are numbers; those of which there are none are ignored.
#[derive(Clone, Debug)]
enum Step {
    Add { pod: usize, priority: i32, gated: bool },
    Relabel { pod: usize, label: u8 },
    Ungate { pod: usize },
    Delete { pod: usize },
    Pop,
    Fail { flight: usize, refused: u8, pending: u8 },
    Bind { flight: usize },
    Activate { pod: usize },
    Event { kind: usize, node: usize },
    Wait { milliseconds: u64 },
}

const PODS: usize = 6;
const KINDS: [ClusterEvent; 4] =
    [NODE_ADD, NODE_LABEL, POD_DELETE, ClusterEvent::new(EventResource::StorageClass, ActionType::ADD)];

fn step() -> impl Strategy<Value = Step> {
    let pod = 0..PODS;
    prop_oneof![
        4 => (pod.clone(), -2..3_i32, prop::bool::weighted(0.2))
            .prop_map(|(pod, priority, gated)| Step::Add { pod, priority, gated }),
        2 => (pod.clone(), 0..3_u8).prop_map(|(pod, label)| Step::Relabel { pod, label }),
        1 => pod.clone().prop_map(|pod| Step::Ungate { pod }),
        1 => pod.clone().prop_map(|pod| Step::Delete { pod }),
        6 => Just(Step::Pop),
        6 => (0..PODS, 0..8_u8, 0..8_u8).prop_map(|(flight, refused, pending)| Step::Fail {
            flight,
            refused,
            pending: if pending < 4 { 0 } else { pending - 3 },
        }),
        1 => (0..PODS).prop_map(|flight| Step::Bind { flight }),
        1 => pod.prop_map(|pod| Step::Activate { pod }),
        6 => (0..KINDS.len(), 0..=PODS).prop_map(|(kind, node)| Step::Event { kind, node }),
        4 => prop_oneof![0..300_u64, 500..4000_u64, Just(100_000)].prop_map(|milliseconds| Step::Wait { milliseconds }),
    ]
}

/// What is remembered of a pod.
#[derive(Clone, Debug)]
struct Known {
    pod: Pod,
    since: Duration,
    order: usize,
    failures: u32,
    errors: u32,
    refused: Vec<&'static str>,
    pending: Vec<&'static str>,
    state: State,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Gated,
    /// It is ready, unless it has to back off.
    Ready {
        backs_off: bool,
    },
    Waiting,
    InFlight {
        seen: Vec<(ClusterEvent, String)>,
        is_forced: bool,
        is_deleted: bool,
    },
}

fn name(pod: usize) -> String {
    ["a", "b", "c", "d", "e", "f", ""][pod].to_owned()
}

fn helps(plugin: &str, kind: ClusterEvent, node: &str, pod: &str) -> bool {
    let registered = registered(plugin).iter().any(|registered| registered.covers(kind));
    let is_node = kind.resource == EventResource::Node;
    registered && (!is_node || node.is_empty() || node.starts_with(pod))
}

impl Known {
    /// The second in which it stops backing off.
    fn until(&self) -> Option<u64> {
        let failures = if self.errors > 0 { self.errors } else { self.failures };
        let backoff = Duration::from_secs([0, 1, 2, 4, 8, 10][failures.min(5) as usize]);
        (failures > 0).then(|| (self.since + backoff).as_secs())
    }

    fn priority(&self) -> i32 {
        self.pod.spec.as_ref().unwrap().priority.unwrap()
    }

    fn is_gated(&self) -> bool {
        !Gates.admits(&self.pod)
    }

    /// Where it must be.
    fn place(&self, now: Duration) -> Place {
        match &self.state {
            State::Gated => Place::Gated,
            State::Waiting => Place::Unschedulable,
            State::InFlight { .. } => Place::InFlight,
            State::Ready { backs_off: true } if self.until().is_some_and(|second| second >= now.as_secs()) => {
                if self.refused.is_empty() && self.pending.is_empty() { Place::ErrorBackoff } else { Place::Backoff }
            }
            State::Ready { .. } => Place::Active,
        }
    }

    fn bring_back(&mut self, backs_off: bool, now: Duration) {
        let backs_off = backs_off && self.until().is_some_and(|second| second >= now.as_secs());
        self.state = if self.is_gated() { State::Gated } else { State::Ready { backs_off } };
    }

    /// Something happened.
    fn consider(&mut self, kind: ClusterEvent, node: &str, now: Duration) {
        let name = self.pod.metadata.name.clone().unwrap();
        if let State::InFlight { seen, .. } = &mut self.state {
            seen.push((kind, node.to_owned()));
        } else if self.state == State::Waiting {
            if self.pending.iter().any(|plugin| helps(plugin, kind, node, &name)) {
                self.bring_back(false, now);
            } else if self.refused.iter().any(|plugin| helps(plugin, kind, node, &name)) {
                self.bring_back(true, now);
            }
        }
    }
}

/// The queue and what is remembered.
struct Comparison {
    queue: Queue,
    known: BTreeMap<String, Known>,
    now: Duration,
    order: usize,
}

impl Comparison {
    fn flying(&self, number: usize) -> Option<String> {
        let in_flight = |known: &&Known| matches!(known.state, State::InFlight { .. });
        let flying: Vec<&Known> = self.known.values().filter(in_flight).collect();
        let known = flying.get(number.checked_rem(flying.len())?)?;
        known.pod.metadata.uid.clone()
    }

    fn update(&mut self, pod: Pod) {
        let (uid, now) = (pod.metadata.uid.clone().unwrap(), self.now);
        self.queue.update(Arc::new(pod.clone()), now);
        let known = self.known.get_mut(&uid).unwrap();
        let kinds = pod_changes(&known.pod, &pod);
        known.pod = pod;
        if let State::InFlight { is_deleted, .. } = &mut known.state {
            *is_deleted = false;
        }
        if known.state == State::Gated && !known.is_gated() {
            known.bring_back(true, now);
        } else {
            kinds.into_iter().for_each(|kind| known.consider(kind, "", now));
        }
    }

    fn add(&mut self, pod: Pod) {
        let uid = pod.metadata.uid.clone().unwrap();
        if self.known.contains_key(&uid) {
            return;
        }
        self.queue.add(Arc::new(pod.clone()), self.now);
        let mut known = Known {
            pod,
            since: self.now,
            order: self.order,
            failures: 0,
            errors: 0,
            refused: Vec::new(),
            pending: Vec::new(),
            state: State::Waiting,
        };
        known.bring_back(false, self.now);
        self.order += 1;
        self.known.insert(uid, known);
    }

    fn delete(&mut self, uid: &str) {
        self.queue.delete(uid);
        match self.known.get_mut(uid).map(|known| &mut known.state) {
            Some(State::InFlight { is_deleted, .. }) => *is_deleted = true,
            _ => drop(self.known.remove(uid)),
        }
    }

    /// The pod whose turn it is must be the one that comes.
    fn pop(&mut self) -> Option<String> {
        let now = self.now;
        let turn = |known: &&Known| (std::cmp::Reverse(known.priority()), known.since, known.order);
        let active = self.known.values().filter(|known| known.place(now) == Place::Active);
        let backing_off = self.known.values().filter(|known| known.place(now) == Place::Backoff);
        let early = backing_off.min_by_key(|known| (known.until(), turn(known)));
        let expected = active.min_by_key(turn).or(early).and_then(|known| known.pod.metadata.uid.clone());
        let popped = self.queue.pop(now);
        assert_eq!(popped.as_ref().map(QueuedPod::uid), expected.as_deref());
        let known = self.known.get_mut(&expected?).unwrap();
        assert_eq!(*popped.as_ref()?.pod, known.pod, "it is the newest");
        known.state = State::InFlight { seen: Vec::new(), is_forced: false, is_deleted: false };
        (known.refused, known.pending) = (Vec::new(), Vec::new());
        known.pod.metadata.uid.clone()
    }

    fn fail(&mut self, uid: &str, refused: Vec<&'static str>, pending: Vec<&'static str>) {
        let now = self.now;
        self.queue.failed(uid, super::refused(&refused, &pending), now);
        let known = self.known.get_mut(uid).unwrap();
        let State::InFlight { seen, is_forced, is_deleted } = known.state.clone() else { unreachable!() };
        if is_deleted {
            self.known.remove(uid);
            return;
        }
        (known.refused, known.pending, known.since) = (refused, pending, now);
        known.state = State::Waiting;
        if known.refused.is_empty() && known.pending.is_empty() {
            known.errors += 1;
            return known.bring_back(true, now);
        }
        (known.failures, known.errors) = (known.failures + 1, 0);
        let helped = |plugins: &[&'static str]| {
            let helps = |plugin| seen.iter().any(|(kind, node)| helps(plugin, *kind, node, uid));
            plugins.iter().any(|plugin| helps(plugin))
        };
        if helped(&known.pending) {
            known.bring_back(false, now);
        } else if is_forced || helped(&known.refused) {
            known.bring_back(true, now);
        }
    }

    fn activate(&mut self, uid: &str) {
        self.queue.activate(uid, self.now);
        let Some(known) = self.known.get_mut(uid) else { return };
        match &mut known.state {
            State::InFlight { is_forced, .. } => *is_forced = true,
            _ => known.bring_back(false, self.now),
        }
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        for known in self.known.values_mut() {
            if known.state == State::Waiting && self.now - known.since >= Duration::from_secs(300) {
                known.bring_back(true, self.now);
            }
        }
        self.queue.advance(self.now);
    }

    fn step(&mut self, step: Step) {
        let chosen = |bits: u8| (0..3).filter(|bit| bits & 1 << bit != 0).map(|bit| PLUGINS[bit]).collect::<Vec<_>>();
        match step {
            Step::Add { pod: number, priority, gated: false } => self.add(pod(&name(number), priority)),
            Step::Add { pod: number, priority, gated: true } => self.add(gated(pod(&name(number), priority))),
            Step::Relabel { pod, label } => {
                if let Some(known) = self.known.get(&name(pod)) {
                    self.update(labeled(known.pod.clone(), &label.to_string()));
                }
            }
            Step::Ungate { pod } => {
                if let Some(mut pod) = self.known.get(&name(pod)).map(|known| known.pod.clone()) {
                    pod.spec.get_or_insert_default().scheduling_gates = None;
                    self.update(pod);
                }
            }
            Step::Delete { pod } => self.delete(&name(pod)),
            Step::Pop => drop(self.pop()),
            Step::Fail { flight, refused, pending } => {
                if let Some(uid) = self.flying(flight) {
                    self.fail(&uid, chosen(refused), chosen(pending));
                }
            }
            Step::Bind { flight } => {
                if let Some(uid) = self.flying(flight) {
                    self.queue.done(&uid);
                    self.known.remove(&uid);
                }
            }
            Step::Activate { pod } => self.activate(&name(pod)),
            Step::Event { kind, node: number } => {
                let is_node = KINDS[kind].resource == EventResource::Node;
                let (name, now) = (if is_node { name(number) } else { String::new() }, self.now);
                self.queue.event(&node(KINDS[kind], &name), now);
                self.known.values_mut().for_each(|known| known.consider(KINDS[kind], &name, now));
            }
            Step::Wait { milliseconds } => self.wait(Duration::from_millis(milliseconds)),
        }
    }

    /// Every pod is where it must be and nowhere else, and nothing else is anywhere.
    fn check(&self) {
        let mut expected = Counts::default();
        for (uid, known) in &self.known {
            let place = known.place(self.now);
            assert_eq!(self.queue.place(uid), Some(place), "{uid}: {known:?}");
            match place {
                Place::Active => expected.active += 1,
                Place::Backoff | Place::ErrorBackoff => expected.backoff += 1,
                Place::Unschedulable => expected.unschedulable += 1,
                Place::Gated => expected.gated += 1,
                Place::InFlight => expected.in_flight += 1,
            }
        }
        let counts = self.queue.counts();
        assert_eq!(Counts { in_flight_events: 0, ..counts }, expected);
        assert!(counts.in_flight > 0 || counts.in_flight_events == 0, "events are kept for nobody");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_pod_is_forgotten(steps in prop::collection::vec(step(), 1..120)) {
        let mut comparison = Comparison { queue: queue(), known: BTreeMap::new(), now: Duration::ZERO, order: 0 };
        for step in steps {
            comparison.step(step);
            comparison.check();
        }
        // Whoever can be tried at all is tried in the end, though nothing happens any more.
        while let Some(uid) = comparison.flying(0) {
            comparison.fail(&uid, vec!["A"], Vec::new());
        }
        comparison.wait(Duration::from_secs(300));
        comparison.check();
        while comparison.pop().is_some() {}
        let left = comparison.known.values().filter(|known| !matches!(known.state, State::InFlight { .. }));
        prop_assert!(left.into_iter().all(|known| known.state == State::Gated));
    }
}
