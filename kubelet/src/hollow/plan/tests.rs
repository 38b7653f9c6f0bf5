//! Whole lives of pods: every write, and when it is made.

use api::patch::strategic;
use api::schema::Schema;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::hollow::options::Between;
use crate::hollow::random::generator;

const DELAYS: Delays = Delays {
    sandbox: Between::millis(500, 500),
    start: Between::millis(1_000, 1_000),
    init: Between::millis(2_000, 2_000),
    stop: Between::millis(3_000, 3_000),
};
const BEGIN: i64 = 1_700_000_000;

/// A pod, and a node that does about it what it plans.
struct World {
    pod: Value,
    delays: Delays,
    now: Timestamp,
    seen: Seen,
    addresses: Vec<IpAddr>,
    refusal: Option<Refusal>,
    log: Vec<String>,
}

fn moment(seconds: f64) -> Timestamp {
    after(Timestamp::from_second(BEGIN).unwrap(), Duration::from_secs_f64(seconds))
}

fn pod(spec: Value, annotations: Value) -> Value {
    json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1, "annotations": annotations},
        "spec": spec,
        "status": {"phase": "Pending", "qosClass": "BestEffort", "conditions": [{
            "type": "PodScheduled", "status": "True", "observedGeneration": 1, "lastTransitionTime": "2023-11-14T22:13:20Z",
        }]},
    })
}

fn container(name: &str, more: Value) -> Value {
    let mut container = json!({"name": name, "image": "i:1"});
    container.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    container
}

fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [container("a", json!({}))]})
}

impl World {
    fn new(pod: Value) -> World {
        let addresses = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let (seen, refusal, log) = (Seen::default(), None, Vec::new());
        World { pod, delays: DELAYS, now: moment(0.0), seen, addresses, refusal, log }
    }

    fn typed(&self) -> Pod {
        serde_json::from_value(self.pod.clone()).unwrap()
    }

    fn plan(&self) -> Plan {
        let place = Place {
            host: "172.16.0.1".parse().unwrap(),
            addresses: &self.addresses,
            refusal: self.refusal.as_ref(),
            delays: &self.delays,
        };
        plan(&self.typed(), &place, self.seen, self.now, &mut generator(4, "node", "u"))
    }

    /// Lets time pass, and the node do what it plans.
    fn until(mut self, seconds: f64) -> World {
        loop {
            let plan = self.plan();
            assert!(self.log.len() < 100, "it writes on and on: {:#?}", self.log);
            self.seen = plan.seen;
            match plan.act {
                Some(Act::Patch(patch)) => self.apply(patch),
                Some(Act::Delete) => {
                    self.note("deleted");
                    return self;
                }
                None => match plan.again.map(|again| after(self.now, again)).filter(|next| *next <= moment(seconds)) {
                    Some(next) => {
                        assert!(next > self.now, "it looks at once where nothing has changed");
                        self.now = next;
                    }
                    None => {
                        self.now = moment(seconds);
                        return self;
                    }
                },
            }
        }
    }

    fn apply(&mut self, patch: Value) {
        assert_eq!(patch["metadata"]["uid"], "u");
        let (Value::Object(pod), Value::Object(patch)) = (&self.pod, patch) else { panic!("no objects") };
        let of = Schema::of("", "v1", "Pod").unwrap();
        self.pod = Value::Object(strategic::apply(pod, patch, of).unwrap());
        self.note(&state_of(&self.pod));
    }

    fn note(&mut self, text: &str) {
        let elapsed = self.now.duration_since(moment(0.0)).as_secs_f64();
        self.log.push(format!("{elapsed:.1}: {text}"));
    }

    /// Has somebody delete the pod.
    fn deleted(mut self, grace: i64) -> World {
        let meta = &mut self.pod["metadata"];
        let until = second(after(self.now, Duration::from_secs(grace.unsigned_abs())));
        meta["deletionTimestamp"] = json!(until.to_string());
        meta["deletionGracePeriodSeconds"] = json!(grace);
        meta["generation"] = json!(2);
        self
    }

    /// Has the process be started anew: nothing is remembered.
    fn restarted(mut self) -> World {
        self.seen = Seen::default();
        self
    }

    fn changed(mut self, change: impl FnOnce(&mut Value)) -> World {
        change(&mut self.pod);
        self
    }

    #[track_caller]
    fn expect(self, expected: &[&str]) -> World {
        assert_eq!(self.log, expected, "{:#}", self.pod["status"]);
        self
    }

    fn condition(&self, name: &str) -> String {
        let conditions = self.pod["status"]["conditions"].as_array().unwrap();
        let found = conditions.iter().find(|condition| condition["type"] == name).unwrap();
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        let since: Timestamp = text("lastTransitionTime").parse().unwrap();
        let since = since.as_second() - BEGIN;
        let words = [text("status"), text("reason"), text("message"), format!("since {since}")];
        words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ")
    }
}

/// The phase, then each container: `*` if it is ready, how often it was restarted, and its state.
fn state_of(pod: &Value) -> String {
    let status = &pod["status"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let statuses = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    let all = statuses.iter().flat_map(|field| status[*field].as_array().into_iter().flatten());
    let containers = all.map(|container| {
        let (name, state) = (text(&container["name"]), &container["state"]);
        let ready = if container["ready"] == true { "*" } else { "" };
        let restarts = match container["restartCount"].as_i64() {
            Some(0) | None => String::new(),
            Some(count) => count.to_string(),
        };
        let state = if state["running"].is_object() {
            "runs".to_owned()
        } else if let Some(code) = state["terminated"]["exitCode"].as_i64() {
            format!("{}({code})", text(&state["terminated"]["reason"]))
        } else {
            text(&state["waiting"]["reason"])
        };
        format!("{name}{ready}{restarts} {state}")
    });
    let phase = [text(&status["phase"]), text(&status["reason"])].join(" ").trim().to_owned();
    [phase].into_iter().chain(containers).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_pod_runs_until_it_is_deleted() {
    let world = World::new(pod(one("Always"), json!({}))).until(3600.0);
    let world = world.expect(&["0.0: Pending, a ContainerCreating", "1.5: Running, a* runs"]);
    assert_eq!(world.condition("PodReadyToStartContainers"), "True since 1");
    assert_eq!(world.condition("Initialized"), "True since 0");
    assert_eq!(world.condition("Ready"), "True since 1");
    assert_eq!(world.condition("PodScheduled"), "True since 0");
    let status = &world.pod["status"];
    assert_eq!(status["podIP"], "10.0.0.2");
    assert_eq!(status["podIPs"], json!([{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]));
    assert_eq!(status["hostIPs"], json!([{"ip": "172.16.0.1"}]));
    assert_eq!(status["qosClass"], "BestEffort");
    assert_eq!(status["containerStatuses"][0]["imageID"].as_str().map(|id| id.starts_with("i@sha256:")), Some(true));
    let world = world.deleted(30).until(7200.0).expect(&[
        "0.0: Pending, a ContainerCreating",
        "1.5: Running, a* runs",
        "3603.0: Succeeded, a Completed(0)",
        "3603.0: deleted",
    ]);
    assert_eq!(world.pod["status"]["observedGeneration"], 2);
    assert_eq!(world.condition("Ready"), "False PodCompleted since 3603");
    assert_eq!(world.condition("PodReadyToStartContainers"), "False since 3603");
}

#[test]
fn conditions_say_what_is_lacking() {
    let world = World::new(pod(one("Always"), json!({}))).until(1.0);
    let lacking = "False ContainersNotReady containers with unready status: [a] since 0";
    assert_eq!(world.condition("Ready"), lacking);
    assert_eq!(world.condition("ContainersReady"), lacking);
    assert_eq!(world.condition("PodReadyToStartContainers"), "False since 0");
    let types: Vec<&Value> =
        world.pod["status"]["conditions"].as_array().unwrap().iter().map(|condition| &condition["type"]).collect();
    assert_eq!(types, ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]);
}

#[test]
fn the_grace_period_is_never_exceeded() {
    let world = World::new(pod(one("Always"), json!({}))).until(10.0).deleted(1).until(20.0);
    assert_eq!(world.log[2..], ["11.0: Succeeded, a Completed(0)", "11.0: deleted"]);
    // A pod with finalizers that is deleted by force stays until they have gone.
    let world = World::new(pod(one("Always"), json!({}))).until(10.0).deleted(0).until(20.0);
    assert_eq!(world.log[2..], ["10.0: Succeeded, a Completed(0)"]);
}

#[test]
fn what_is_deleted_while_it_starts_never_runs() {
    let start = "0.0: Pending, a ContainerCreating";
    let end = "1.0: Failed, a ContainerStatusUnknown(137)";
    let world = World::new(pod(one("Always"), json!({}))).until(1.0).deleted(30).until(60.0);
    world.expect(&[start, end, "1.0: deleted"]);
    let world = World::new(pod(one("Always"), json!({}))).deleted(30).until(60.0);
    world.expect(&["0.0: Failed, a ContainerStatusUnknown(137)", "0.0: deleted"]);
    let spec = json!({"containers": [container("a", json!({}))], "initContainers": [container("i", json!({}))]});
    let world = World::new(pod(spec, json!({}))).until(1.0).deleted(30).until(60.0);
    let states = "i PodInitializing, a PodInitializing";
    let (start, end) = (format!("0.0: Pending, {states}"), format!("1.0: Failed, {states}"));
    world.expect(&[&start, &end, "1.0: deleted"]);
}

#[test]
fn init_containers_run_one_after_the_other() {
    let sidecar = container(
        "s",
        json!({"restartPolicy": "Always", "startupProbe": {"periodSeconds": 2, "initialDelaySeconds": 1}}),
    );
    let spec = json!({
        "restartPolicy": "Never",
        "initContainers": [container("i", json!({})), sidecar],
        "containers": [container("a", json!({})), container("b", json!({}))],
    });
    let world = World::new(pod(spec, json!({RUN_SECONDS: "10"}))).until(3600.0).expect(&[
        "0.0: Pending, i PodInitializing, s PodInitializing, a PodInitializing, b PodInitializing",
        "8.5: Running, i* Completed(0), s* runs, a* runs, b* runs",
        "18.0: Running, i* Completed(0), s* runs, a Completed(0), b* runs",
        "19.0: Succeeded, i* Completed(0), s Completed(0), a Completed(0), b Completed(0)",
    ]);
    let status = &world.pod["status"];
    let at = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap().as_second() - BEGIN;
    let first = &status["initContainerStatuses"][0]["state"]["terminated"];
    assert_eq!((at(&first["startedAt"]), at(&first["finishedAt"])), (1, 3));
    assert_eq!(at(&status["initContainerStatuses"][1]["state"]["terminated"]["startedAt"]), 4);
    assert_eq!(at(&status["containerStatuses"][0]["state"]["terminated"]["startedAt"]), 7);
    assert_eq!(at(&status["containerStatuses"][1]["state"]["terminated"]["startedAt"]), 8);
    assert_eq!(world.condition("Initialized"), "True PodCompleted since 8");
}

#[test]
fn pods_end_as_they_are_told() {
    let check = |policy: &str, code: &str, expected: &[&str]| {
        let pod = pod(one(policy), json!({RUN_SECONDS: "2", EXIT_CODE: code}));
        let world = World::new(pod).until(60.0);
        assert_eq!(world.log[..2], ["0.0: Pending, a ContainerCreating", "1.5: Running, a* runs"]);
        assert_eq!(world.log[2..], *expected, "{policy} {code}");
    };
    check("Never", "0", &["4.0: Succeeded, a Completed(0)"]);
    check("Never", "3", &["4.0: Failed, a Error(3)"]);
    check("OnFailure", "0", &["4.0: Succeeded, a Completed(0)"]);
    let crashes = [
        "4.0: Running, a*1 runs",
        "7.0: Running, a1 CrashLoopBackOff",
        "16.0: Running, a*2 runs",
        "19.0: Running, a2 CrashLoopBackOff",
        "38.0: Running, a*3 runs",
        "41.0: Running, a3 CrashLoopBackOff",
    ];
    check("OnFailure", "1", &crashes);
    check("Always", "0", &crashes);
}

#[test]
fn a_pod_that_waits_to_be_restarted_can_be_deleted() {
    let world = World::new(pod(one("Always"), json!({RUN_SECONDS: "2", EXIT_CODE: "7"}))).until(10.0);
    let waiting = &world.pod["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["message"], "back-off 10s restarting failed container=a pod=p_n(u)");
    let world = world.deleted(30).until(60.0);
    assert_eq!(world.log[4..], ["10.0: Failed, a1 Error(7)", "10.0: deleted"]);
}

#[test]
fn readiness_comes_with_the_probes() {
    let probe = |seconds: u64| json!({"readinessProbe": {"initialDelaySeconds": seconds, "periodSeconds": 5}});
    let spec = json!({"containers": [container("a", probe(5)), container("b", probe(20))]});
    let world = World::new(pod(spec, json!({}))).until(3600.0).expect(&[
        "0.0: Pending, a ContainerCreating, b ContainerCreating",
        "2.5: Running, a runs, b runs",
        "7.0: Running, a* runs, b runs",
        "23.0: Running, a* runs, b* runs",
    ]);
    assert_eq!(world.condition("Ready"), "True since 23");
}

#[test]
fn readiness_gates_are_somebody_elses() {
    let spec =
        json!({"containers": [container("a", json!({}))], "readinessGates": [{"conditionType": "example.com/up"}]});
    let world = World::new(pod(spec, json!({}))).until(60.0);
    let message = "corresponding condition of pod readiness gate \"example.com/up\" does not exist.";
    assert_eq!(world.condition("Ready"), format!("False ReadinessGatesNotReady {message} since 0"));
    assert_eq!(world.condition("ContainersReady"), "True since 1");
    let set = |status: &'static str| {
        move |pod: &mut Value| {
            let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
            conditions.retain(|condition| condition["type"] != "example.com/up");
            conditions.push(json!({"type": "example.com/up", "status": status}));
        }
    };
    let world = world.changed(set("False")).until(70.0);
    let message = "the status of pod readiness gate \"example.com/up\" is not \"True\", but False";
    assert_eq!(world.condition("Ready"), format!("False ReadinessGatesNotReady {message} since 0"));
    let world = world.changed(set("True")).until(80.0);
    assert_eq!(world.condition("Ready"), "True since 70");
    assert_eq!(world.log.len(), 4);
}

#[test]
fn pods_are_failed_at_their_deadline_or_when_there_is_no_room() {
    let spec = json!({"activeDeadlineSeconds": 20, "containers": [container("a", json!({}))]});
    let world = World::new(pod(spec, json!({}))).until(60.0);
    assert_eq!(world.log[2..], ["20.0: Failed DeadlineExceeded, a Completed(0)"]);
    let mut world = World::new(pod(one("Always"), json!({})));
    world.refusal = Some(Refusal { reason: "OutOfcpu".to_owned(), message: "No cpu".to_owned() });
    let world = world.until(60.0).expect(&["0.0: Failed OutOfcpu"]);
    assert_eq!(world.pod["status"]["message"], "Pod was rejected: No cpu");
    world.deleted(30).until(70.0).expect(&["0.0: Failed OutOfcpu", "60.0: deleted"]);
}

#[test]
fn a_pod_waits_for_an_address() {
    let mut world = World::new(pod(one("Always"), json!({})));
    world.addresses.clear();
    let mut world = world.until(15.0).expect(&["0.0: Pending, a ContainerCreating"]);
    world.addresses.push("10.0.0.9".parse().unwrap());
    let world = world.until(60.0);
    assert_eq!(world.log[1..], ["15.0: Running, a* runs"]);
    let spec = json!({"hostNetwork": true, "containers": [container("a", json!({}))]});
    let world = World::new(pod(spec, json!({}))).until(60.0);
    assert_eq!(world.pod["status"]["podIPs"], json!([{"ip": "172.16.0.1"}]));
}

#[test]
fn changes_of_a_running_pod_are_taken_up() {
    let world = World::new(pod(one("Always"), json!({}))).until(10.0);
    let world = world.changed(|pod| {
        pod["metadata"]["generation"] = json!(2);
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}});
        pod["spec"]["ephemeralContainers"] = json!([container("debug", json!({}))]);
    });
    let world = world.until(20.0);
    assert_eq!(world.log[2..], ["10.0: Running, a* runs, debug runs"]);
    let status = &world.pod["status"];
    assert_eq!(status["observedGeneration"], 2);
    assert_eq!(status["containerStatuses"][0]["allocatedResources"], json!({"cpu": "2"}));
    assert_eq!(status["containerStatuses"][0]["resources"], json!({"requests": {"cpu": "2"}}));
    let world = world.changed(|pod| pod["spec"]["containers"][0]["image"] = json!("i:2")).until(30.0);
    assert_eq!(world.log[3..], ["20.0: Running, a*1 runs, debug runs"]);
    assert_eq!(world.pod["status"]["containerStatuses"][0]["image"], "i:2");
    // Somebody fails the pod, as the garbage collector of pods does.
    let world = world.changed(|pod| pod["status"]["phase"] = json!("Failed")).until(40.0);
    assert_eq!(world.log[4..], ["33.0: Failed, a1 Completed(0), debug Completed(0)"]);
}

#[test]
fn events_are_those_of_a_kubelet() {
    let mut world = World::new(pod(one("Always"), json!({}))).until(1.0);
    world.now = moment(2.0);
    let said = |plan: &Plan| -> Vec<String> {
        plan.says.iter().map(|says| format!("{} {}: {}", says.container, says.reason, says.message)).collect()
    };
    let expected = [
        "a Pulled: Container image \"i:1\" already present on machine and can be accessed by the pod",
        "a Created: Container created",
        "a Started: Container started",
    ];
    assert_eq!(said(&world.plan()), expected);
    let mut world = world.until(10.0).deleted(30);
    assert_eq!(said(&world.plan()), ["a Killing: Stopping container a"]);
    world.seen = world.plan().seen;
    assert_eq!(said(&world.plan()), Vec::<String>::new(), "it is said once");
}

/// Pods of all sorts.
fn any_pod() -> impl Strategy<Value = Value> {
    let policy = prop::sample::select(vec!["Always", "OnFailure", "Never"]);
    let probe = (0_u64..20, 1_u64..10)
        .prop_map(|(delay, period)| json!({"initialDelaySeconds": delay, "periodSeconds": period}));
    let containers = prop::collection::vec(prop::option::of(probe), 1..4);
    let inits = prop::collection::vec(any::<bool>(), 0..3);
    let run = prop::option::of((0_u64..30, 0_u64..2));
    (policy, containers, inits, run).prop_map(|(policy, containers, inits, run)| {
        let containers: Vec<Value> = (0..)
            .zip(containers)
            .map(|(place, probe)| container(&format!("c{place}"), json!({"readinessProbe": probe})))
            .collect();
        let inits: Vec<Value> = (0..)
            .zip(inits)
            .map(|(place, sidecar)| {
                container(&format!("i{place}"), json!({"restartPolicy": Some("Always").filter(|_| sidecar)}))
            })
            .collect();
        let annotations = match run {
            Some((seconds, code)) => json!({RUN_SECONDS: seconds.to_string(), EXIT_CODE: code.to_string()}),
            None => json!({}),
        };
        pod(json!({"restartPolicy": policy, "containers": containers, "initContainers": inits}), annotations)
    })
}

proptest! {
    #[test]
    fn a_new_process_goes_on_where_the_last_ended(pod in any_pod(), stop in 0.0..40.0_f64, delete in prop::option::of(0_i64..40)) {
        // With nothing random within a second, what is not remembered makes no difference.
        let seconds = |seconds: u64| Between::millis(seconds * 1000, seconds * 1000);
        let delays = Delays { sandbox: seconds(1), start: seconds(1), init: seconds(2), stop: seconds(3) };
        let world = || World { delays, ..World::new(pod.clone()) };
        let mut whole = world().until(stop.floor());
        let mut parts = world().until(stop.floor()).restarted();
        if let Some(grace) = delete {
            (whole, parts) = (whole.deleted(grace), parts.deleted(grace));
        }
        let (whole, parts) = (whole.until(90.0), parts.until(90.0));
        prop_assert_eq!(whole.log, parts.log);
        prop_assert_eq!(whole.pod, parts.pod);
    }

    #[test]
    fn pods_that_are_deleted_go_in_time(pod in any_pod(), delete in 0.0..60.0_f64, grace in 1_i64..40) {
        let world = World { delays: Delays::default(), ..World::new(pod) }.until(delete).deleted(grace);
        let begin = world.now;
        let world = world.until(delete + 41.0);
        prop_assert!(world.log.last().is_some_and(|last| last.ends_with("deleted")), "{:?}", world.log);
        prop_assert!(world.now.duration_since(begin).as_secs() <= grace);
    }
}
