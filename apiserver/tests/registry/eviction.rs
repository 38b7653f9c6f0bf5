//! Evicting pods, as PodDisruptionBudgets allow it.

use serde_json::{Value, json};

use crate::harness::{Ask, Server};

const PODS: &str = "/api/v1/namespaces/default/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
const VIOLATED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// A server with the pod `p`, which runs on a node, in this state.
async fn with_pod(phase: &str, ready: &str) -> Server {
    let server = Server::start().await;
    server.add_account("default").await;
    let containers = json!([{"name": "c", "image": "i"}]);
    let pod = json!({
        "metadata": {"name": "p", "labels": {"app": "a"}},
        "spec": {"nodeName": "n", "containers": containers},
    });
    server.json(Ask::post(PODS, &pod)).await;
    let status = json!({"status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
    server.json(Ask::patch(&format!("{PODS}/p/status"), &status)).await;
    server
}

/// Makes a budget about all pods, and says what its controller would.
async fn add_budget(server: &Server, name: &str, spec: Value, status: Value) {
    let budget = json!({"metadata": {"name": name}, "spec": spec});
    server.json(Ask::post(BUDGETS, &budget)).await;
    server.json(Ask::patch(&format!("{BUDGETS}/{name}/status"), &json!({"status": status}))).await;
}

async fn budget_status(server: &Server, name: &str) -> Value {
    server.json(Ask::get(&format!("{BUDGETS}/{name}"))).await["status"].clone()
}

/// Evicts the pod at once: `Ok` if it has gone, and otherwise the code, the message of the cause and the delay.
async fn evict(server: &Server, query: &str) -> Result<(), (u16, String, i32)> {
    let eviction = json!({"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 0}});
    let path = format!("{PODS}/p/eviction");
    match server.ask(Ask::post(&path, &eviction).query(query)).await {
        Ok(reply) => {
            assert_eq!((reply.code, &reply.json()["status"]), (201, &json!("Success")));
            if query.is_empty() {
                assert_eq!(server.refusal(Ask::get(&format!("{PODS}/p"))).await.code, 404);
            }
            Ok(())
        }
        Err(status) => {
            let pod = server.json(Ask::get(&format!("{PODS}/p"))).await;
            assert_eq!(pod["metadata"].get("deletionTimestamp"), None, "a refused eviction leaves the pod alone");
            let cause = status.cause("DisruptionBudget").map(|cause| cause.message.clone());
            if cause.is_some() {
                assert_eq!((status.message.as_str(), status.reason.as_str()), (VIOLATED, "TooManyRequests"));
            }
            let delay = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            Err((status.code, cause.unwrap_or(status.message), delay))
        }
    }
}

fn refused(code: u16, message: &str, delay: i32) -> Result<(), (u16, String, i32)> {
    Err((code, message.to_owned(), delay))
}

#[tokio::test]
async fn a_budget_allows_so_many_evictions() {
    let server = with_pod("Running", "True").await;
    let status = json!({"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2});
    add_budget(&server, "b", json!({"minAvailable": 2, "selector": {}}), status).await;
    let before = budget_status(&server, "b").await;

    assert_eq!(evict(&server, "dryRun=All").await, Ok(()));
    assert_eq!(budget_status(&server, "b").await, before, "a dry run takes nothing");
    server.json(Ask::get(&format!("{PODS}/p"))).await;

    assert_eq!(evict(&server, "").await, Ok(()));
    let after = budget_status(&server, "b").await;
    assert_eq!(after["disruptionsAllowed"], 0);
    assert_eq!(after["disruptedPods"], json!({"p": "2026-03-01T12:00:00Z"}));
    let condition = &after["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("DisruptionAllowed"), &json!("False")));
    assert_eq!(condition["reason"], "InsufficientPods");
}

#[tokio::test]
async fn of_two_evictions_at_once_a_budget_allows_one() {
    let server = with_pod("Running", "True").await;
    let other =
        json!({"metadata": {"name": "q"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    server.json(Ask::post(PODS, &other)).await;
    let running = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    server.json(Ask::patch(&format!("{PODS}/q/status"), &running)).await;
    let status = json!({"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1});
    add_budget(&server, "b", json!({"minAvailable": 1, "selector": {}}), status).await;
    let evict = async |name: &str| {
        let eviction = json!({"metadata": {"name": name}, "deleteOptions": {"gracePeriodSeconds": 0}});
        server.ask(Ask::post(&format!("{PODS}/{name}/eviction"), &eviction)).await
    };
    let outcomes = futures::join!(evict("p"), evict("q"));
    let codes = [outcomes.0, outcomes.1].map(|outcome| outcome.map_or_else(|status| status.code, |reply| reply.code));
    assert!(codes == [201, 429] || codes == [429, 201], "{codes:?}");
    assert_eq!(budget_status(&server, "b").await["disruptedPods"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn a_budget_refuses_what_it_does_not_allow() {
    let check = async |status: Value, expected: Result<(), (u16, String, i32)>| {
        let server = with_pod("Running", "True").await;
        add_budget(&server, "b", json!({"minAvailable": 2, "selector": {}}), status.clone()).await;
        let before = budget_status(&server, "b").await;
        for query in ["", "dryRun=All"] {
            assert_eq!(evict(&server, query).await, expected, "{status}");
        }
        assert_eq!(budget_status(&server, "b").await, before, "{status}");
    };
    let processed = "The disruption budget b is still being processed by the server.";
    check(json!({"disruptionsAllowed": 1}), refused(429, processed, 10)).await;
    check(
        json!({"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 2}),
        refused(429, "The disruption budget b needs 2 healthy pods and has 1 currently", 0),
    )
    .await;
}

#[tokio::test]
async fn only_budgets_that_are_about_the_pod_count() {
    let none = json!({"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1});
    let server = with_pod("Running", "True").await;
    let other = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "b"}}});
    add_budget(&server, "other", other, none.clone()).await;
    add_budget(&server, "nothing", json!({"minAvailable": 1}), none.clone()).await;
    assert_eq!(evict(&server, "").await, Ok(()));

    let server = with_pod("Running", "True").await;
    for name in ["one", "two"] {
        add_budget(&server, name, json!({"minAvailable": 1, "selector": {}}), none.clone()).await;
    }
    let several = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!(evict(&server, "").await, refused(500, several, 0));
}

#[tokio::test]
async fn pods_that_do_no_work_need_no_leave() {
    let none = json!({"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 2});
    for phase in ["Pending", "Succeeded", "Failed"] {
        let server = with_pod(phase, "False").await;
        add_budget(&server, "b", json!({"minAvailable": 2, "selector": {}}), none.clone()).await;
        let before = budget_status(&server, "b").await;
        assert_eq!(evict(&server, "").await, Ok(()), "{phase}");
        assert_eq!(budget_status(&server, "b").await, before, "{phase}");
    }
    let enough = json!({"observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 2});
    let refusal = refused(429, "The disruption budget b needs 2 healthy pods and has 1 currently", 0);
    for (policy, status, expected) in [
        (json!(null), none.clone(), refusal.clone()),
        (json!("IfHealthyBudget"), none.clone(), refusal),
        (json!("IfHealthyBudget"), enough, Ok(())),
        (json!("AlwaysAllow"), none, Ok(())),
    ] {
        let server = with_pod("Running", "False").await;
        let spec = json!({"minAvailable": 2, "selector": {}, "unhealthyPodEvictionPolicy": policy});
        add_budget(&server, "b", spec, status).await;
        let before = budget_status(&server, "b").await;
        assert_eq!(evict(&server, "").await, expected, "{policy}");
        assert_eq!(budget_status(&server, "b").await, before, "{policy}");
    }
}

#[tokio::test]
async fn an_eviction_can_mean_one_version_only() {
    let server = with_pod("Running", "True").await;
    let path = format!("{PODS}/p");
    let stated = |version: &str, uid: &str| {
        let preconditions = json!({"resourceVersion": version, "uid": uid});
        json!({"metadata": {"name": "p"}, "deleteOptions": {"gracePeriodSeconds": 30, "preconditions": preconditions}})
    };
    let pod = server.json(Ask::get(&path)).await;
    let (version, uid) = (pod["metadata"]["resourceVersion"].as_str(), pod["metadata"]["uid"].as_str());
    let (version, uid) = (version.unwrap(), uid.unwrap());
    let eviction = format!("{path}/eviction");
    for (version, uid) in [("1", uid), (version, "another")] {
        assert_eq!(server.refusal(Ask::post(&eviction, &stated(version, uid))).await.code, 409);
    }
    assert_eq!(server.json(Ask::get(&path)).await, pod, "a refused eviction leaves no mark");
    server.json(Ask::post(&eviction, &stated(version, uid))).await;
    let pod = server.json(Ask::get(&path)).await;
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 30);
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let target = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
    assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("EvictionByEvictionAPI")));
}
