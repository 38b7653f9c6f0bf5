//! Hollow nodes at work, on paused time.

pub(crate) mod server;

use std::future::Future;

use serde_json::{Value, json};
use tokio::time::{Duration, advance, sleep};

use super::*;
use server::Server;

const SECOND: Duration = Duration::from_secs(1);
const NODE: &str = "/api/v1/nodes/hollow-0";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/hollow-0";

fn options() -> Options {
    Options { seed: 1, ..Options::default() }
}

/// Has nodes live while something happens.
async fn living<T>(server: &Server, options: Options, meanwhile: impl Future<Output = T>) -> T {
    let stop = CancellationToken::new();
    let (nodes, client) = (options.validated().unwrap(), server.clone());
    let connect = move |node: &str| client.client(node);
    let running = tokio::spawn(run(nodes, connect, server.clock(), stop.clone(), || {}));
    let result = meanwhile.await;
    stop.cancel();
    running.await.unwrap();
    result
}

fn one() -> Value {
    json!({"restartPolicy": "Always", "containers": [{"name": "a", "image": "i"}]})
}

fn phase(server: &Server, name: &str) -> Option<String> {
    Some(server.pod(name)?["status"]["phase"].as_str()?.to_owned())
}

fn ready(server: &Server) -> Value {
    server.get(NODE).unwrap()["status"]["conditions"][3].clone()
}

#[tokio::test(start_paused = true)]
async fn a_node_lives() {
    let server = Server::new();
    living(&server, options(), async {
        sleep(SECOND).await;
        let node = server.get(NODE).unwrap();
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "hollow-0");
        assert_eq!(node["status"]["allocatable"]["pods"], "110");
        assert_eq!((&ready(&server)["status"], &ready(&server)["reason"]), (&json!("True"), &json!("KubeletReady")));
        let lease = server.get(LEASE).unwrap();
        assert_eq!(lease["spec"]["holderIdentity"], "hollow-0");
        assert_eq!(lease["spec"]["leaseDurationSeconds"], 40);
        assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], node["metadata"]["uid"]);

        server.bind("p", "hollow-0", one());
        server.bind("elsewhere", "other", one());
        sleep(5 * SECOND).await;
        let pod = server.pod("p").unwrap();
        assert_eq!(pod["status"]["phase"], "Running");
        assert_eq!(pod["status"]["podIP"], "100.64.0.2");
        assert_eq!(pod["status"]["hostIP"], "172.16.0.1");
        assert_eq!(phase(&server, "elsewhere").unwrap(), "Pending");
        assert_eq!(server.count("PATCH /api/v1/namespaces/default/pods/p/status"), 2, "{:#?}", server.log());

        server.end("p", 30);
        sleep(5 * SECOND).await;
        assert!(server.pod("p").is_none());
        assert_eq!(server.count("/pods/"), 4, "{:#?}", server.log());
        sleep(589 * SECOND).await;
    })
    .await;
    let renewals = server.count("PUT /apis/coordination");
    assert!((57..=60).contains(&renewals), "{renewals} in ten minutes");
    let reports = server.count("PATCH /api/v1/nodes/hollow-0/status");
    assert!((1..=2).contains(&reports), "{reports} in ten minutes");
    let heard = &ready(&server)["lastHeartbeatTime"];
    assert_ne!(*heard, ready(&server)["lastTransitionTime"]);
    let log = server.log().len();
    advance(3600 * SECOND).await;
    assert_eq!(server.log().len(), log, "it has stopped");
}

#[tokio::test(start_paused = true)]
async fn a_new_process_repeats_nothing() {
    let server = Server::new();
    server.bind("slow", "hollow-0", one());
    for number in 0..20 {
        server.bind(&format!("p{number}"), "hollow-0", one());
    }
    living(&server, options(), async {
        sleep(60 * SECOND).await;
        server.end("slow", 3600);
    })
    .await;
    let before = server.log().len();
    living(&server, options(), sleep(60 * SECOND)).await;
    let log: Vec<String> = server.log()[before..].iter().filter(|line| !line.contains("/leases/")).cloned().collect();
    let words: Vec<&str> = log.iter().filter_map(|line| line.split_once("hollow-0 ")).map(|(_, what)| what).collect();
    let slow = "/api/v1/namespaces/default/pods/slow";
    let expected = [
        "POST /api/v1/nodes".to_owned(),
        format!("PATCH {NODE}/status"),
        format!("PATCH {slow}/status"),
        format!("DELETE {slow}"),
    ];
    assert_eq!(words, expected);
    // Pods that come now get other addresses than those that are there.
    server.bind("new", "hollow-0", one());
    living(&server, options(), sleep(60 * SECOND)).await;
    let pods: Vec<Value> = (0..20)
        .map(|number| format!("p{number}"))
        .chain(["new".to_owned()])
        .filter_map(|name| server.pod(&name))
        .collect();
    let addresses: std::collections::BTreeSet<&str> =
        pods.iter().filter_map(|pod| pod["status"]["podIP"].as_str()).collect();
    assert_eq!(addresses.len(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_there_is_made_to_say_what_it_should() {
    let server = Server::new();
    let labels = json!({"mine": "yes", "kubernetes.io/os": "plan9"});
    let node = json!({
        "metadata": {"name": "hollow-0", "uid": "old", "labels": labels},
        "spec": {"podCIDR": "10.244.7.0/24", "podCIDRs": ["10.244.7.0/24", "fd00:7::/64"]},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": "2020-01-01T00:00:00Z"}]},
    });
    server.put(NODE, node);
    server.bind("p", "hollow-0", one());
    living(&server, options(), sleep(10 * SECOND)).await;
    let node = server.get(NODE).unwrap();
    assert_eq!(
        node["metadata"]["labels"],
        json!({"mine": "yes", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": "hollow-0", "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64"})
    );
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
    assert_eq!((&ready["status"], &ready["lastTransitionTime"]), (&json!("True"), &json!("2023-11-14T22:13:20Z")));
    assert_eq!(node["spec"]["podCIDR"], "10.244.7.0/24");
    let addresses = &server.pod("p").unwrap()["status"]["podIPs"];
    assert_eq!(*addresses, json!([{"ip": "10.244.7.2"}, {"ip": "fd00:7::2"}]));
    assert_eq!(server.get(LEASE).unwrap()["metadata"]["ownerReferences"][0]["uid"], "old");
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again() {
    let server = Server::new();
    server.set_away(true);
    living(&server, options(), async {
        sleep(60 * SECOND).await;
        assert!(server.get(NODE).is_none());
        server.set_away(false);
        sleep(20 * SECOND).await;
        assert!(server.get(NODE).is_some() && server.get(LEASE).is_some());
        server.bind("p", "hollow-0", one());
        sleep(5 * SECOND).await;
        server.end("p", 600);
        server.bind("q", "hollow-0", one());
        server.set_away(true);
        sleep(60 * SECOND).await;
        assert_eq!(phase(&server, "p").as_deref(), Some("Running"));
        // Those who watch over nodes find that this one is gone.
        let mut node = server.get(NODE).unwrap();
        node["status"]["conditions"][3]["status"] = json!("Unknown");
        server.put(NODE, node);
        server.set_away(false);
        sleep(90 * SECOND).await;
        assert_eq!(phase(&server, "p"), None);
        assert_eq!(phase(&server, "q").as_deref(), Some("Running"));
        assert_eq!(ready(&server)["status"], "True", "it says at once that it is back");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_deleted_does_not_come_back_by_itself() {
    let server = Server::new();
    living(&server, options(), async {
        sleep(15 * SECOND).await;
        server.remove(NODE);
        server.remove(LEASE);
        sleep(600 * SECOND).await;
        assert!(server.get(NODE).is_none() && server.get(LEASE).is_none());
        server.put(NODE, json!({"metadata": {"name": "hollow-0", "uid": "second"}}));
        sleep(15 * SECOND).await;
        assert_eq!(server.get(LEASE).unwrap()["metadata"]["ownerReferences"][0]["uid"], "second");
        assert_eq!(ready(&server)["status"], "True");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pods_of_the_same_name_are_different() {
    let server = Server::new();
    living(&server, options(), async {
        server.bind("p", "hollow-0", one());
        sleep(5 * SECOND).await;
        server.end("p", 0);
        server.bind("p", "hollow-0", one());
        sleep(5 * SECOND).await;
        let pod = server.pod("p").unwrap();
        assert_eq!(pod["status"]["phase"], "Running");
        assert_eq!(pod["status"]["podIP"], "100.64.0.3");
        // What is deleted by force while it starts is nobody's concern any longer.
        server.bind("q", "hollow-0", one());
        sleep(Duration::from_millis(10)).await;
        server.end("q", 0);
        let before = server.count("/pods/q");
        sleep(60 * SECOND).await;
        assert_eq!(server.count("/pods/q"), before);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pods_for_which_there_is_no_room_fail() {
    let server = Server::new();
    let capacity = Capacity { pods: 2, ..Capacity::default() };
    living(&server, Options { capacity, ..options() }, async {
        for name in ["a", "b", "c"] {
            server.bind(name, "hollow-0", one());
            sleep(5 * SECOND).await;
        }
        let status = server.pod("c").unwrap()["status"].clone();
        assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("OutOfpods")));
        server.end("a", 30);
        sleep(5 * SECOND).await;
        server.bind("d", "hollow-0", one());
        sleep(5 * SECOND).await;
        assert_eq!(phase(&server, "d").as_deref(), Some("Running"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn events_are_recorded_if_that_is_wanted() {
    let check = async |events, expected| {
        let server = Server::new();
        server.bind("p", "hollow-0", one());
        living(&server, Options { events, ..options() }, async {
            sleep(10 * SECOND).await;
            server.end("p", 30);
            sleep(10 * SECOND).await;
        })
        .await;
        assert_eq!(server.count("POST /api/v1/namespaces/default/events"), expected);
    };
    check(true, 4).await;
    check(false, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_can_be_repeated() {
    // Everything that many nodes ask for, and when.
    let many = async |seed| {
        let server = Server::new();
        let zones = vec!["a".to_owned(), "b".to_owned()];
        living(&server, Options { nodes: 50, seed, zones, ..options() }, async {
            sleep(20 * SECOND).await;
            for number in 0..200 {
                server.bind(&format!("p{number}"), &format!("hollow-{}", number % 50), one());
            }
            sleep(20 * SECOND).await;
            (0..200).step_by(3).for_each(|number| server.end(&format!("p{number}"), 30));
            sleep(20 * SECOND).await;
        })
        .await;
        assert_eq!(server.count("POST /api/v1/nodes"), 50);
        assert_eq!(server.count("/status"), 200 * 2 + 67 + server.count("PATCH /api/v1/nodes"));
        server.log()
    };
    let log = many(1).await;
    // The paused clock has gone on, but the server's begins anew.
    assert_eq!(log, many(1).await);
    assert_ne!(log, many(2).await);
    // Their Leases are not renewed at the same time.
    let renewals: std::collections::BTreeSet<&str> = log
        .iter()
        .filter(|line| line.contains("PUT"))
        .filter_map(|line| line.split_once(' '))
        .map(|(time, _)| time)
        .collect();
    assert!(renewals.len() > 100, "{}", renewals.len());
}
