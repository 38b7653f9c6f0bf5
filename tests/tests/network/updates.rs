//! A Deployment is updated while clients ask it all the time, and none of them notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use tests::asking::{self, escaped};

use crate::stage::{Stage, at};

/// How many requests show something.
const MANY: u64 = 300;
/// How long a client waits after an answer: clients and servers have the same processors.
const PAUSE: Duration = Duration::from_millis(5);

/// What has come of a client's requests.
#[derive(Debug, Default)]
struct Tally {
    answered: u64,
    problems: Vec<String>,
}

/// Four servers on two nodes are replaced, one after the other, under requests from a pod and from outside.
pub(crate) fn rolling(stage: &Stage<'_>) {
    stage.user.apply(&deployment());
    stage.user.ok("rollout status deployment/web --timeout=120s");
    let ip = stage.service("web", "web", json!({"type": "NodePort"}));
    let port = stage.node_port("web", "http");
    let nodes: Vec<String> = (1..=3).map(|number| at(&stage.node(number), port)).collect();
    for who in stage.inside() {
        asking::wait_until("the Service is there", || who.get(&at(&ip, 80), "/version"), Result::is_ok);
    }
    for node in &nodes {
        asking::wait_until("the port is there", || asking_from(stage, node), Result::is_ok);
    }
    // Every pod asks at the Service's address, and somebody outside at all nodes in turn.
    let url = escaped(&format!("http://{}/version", at(&ip, 80)));
    for probe in stage.probes {
        assert_eq!(probe.told(&format!("/do?hammer={url}")).status, 200);
    }
    let stop = AtomicBool::new(false);
    let tally = std::thread::scope(|scope| {
        let hammer = scope.spawn(|| stage.site.outside().within(|| hammer(&nodes, &stop)));
        // Whatever becomes of the update, the client outside ends, so that what is wrong is told.
        let update = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| update(stage)));
        stop.store(true, Ordering::Relaxed);
        let tally = hammer.join().expect("a client");
        update.expect("the Deployment is updated");
        tally
    });
    assert!(tally.problems.is_empty(), "{} requests from outside failed: {:?}", tally.problems.len(), tally.problems);
    assert!(tally.answered > MANY, "only {} requests from outside", tally.answered);
    for probe in stage.probes {
        assert_eq!(probe.told("/do?hammer=").status, 200);
        let tally: Value = serde_json::from_str(&probe.told("/hammered").body).expect("JSON");
        assert_eq!(tally["failed"], 0, "{tally}");
        assert!(tally["ok"].as_u64().is_some_and(|ok| ok > MANY), "{tally}");
        // It went on from the first server of the old version to the last of the new one.
        assert!(tally["answers"]["1"].is_u64() && tally["answers"]["2"].is_u64(), "{tally}");
    }
}

fn asking_from(stage: &Stage<'_>, node: &str) -> std::io::Result<asking::Answer> {
    stage.site.outside().within(|| asking::get(node, "/version"))
}

/// Replaces the image, and waits until all servers are of it and no other is left.
fn update(stage: &Stage<'_>) {
    stage.user.ok("set image deployment/web c=gantry.local/test:2");
    stage.user.ok("rollout status deployment/web --timeout=120s");
    let images = "get pods -l app=web -o jsonpath='{.items[*].spec.containers[0].image}'";
    let all_new = ["gantry.local/test:2"; 4].join(" ");
    stage.user.until(images, |found| found == all_new);
}

/// Asks at all of these in turn until it is to stop.
fn hammer(at: &[String], stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    // Nobody says anything here: it is the pace of asking.
    let (_quiet, pace) = mpsc::channel::<()>();
    for at in at.iter().cycle() {
        match asking::get(at, "/version") {
            Ok(answer) if answer.status == 200 => tally.answered += 1,
            other => tally.problems.push(format!("{at}: {other:?}")),
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let _ = pace.recv_timeout(PAUSE);
    }
    tally
}

/// As users write it: servers are asked whether they are ready, and go on for a while after they are told to end, until nobody
/// is led to them any more.
fn deployment() -> Value {
    let mut container = crate::stage::container();
    container["lifecycle"] = json!({"preStop": {"sleep": {"seconds": 5}}});
    let on = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1", "node-2"]}]);
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": on}],
    }}});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"affinity": affinity, "terminationGracePeriodSeconds": 20, "containers": [container]},
            },
        },
    })
}
