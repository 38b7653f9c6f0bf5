//! The last act: an important pod needs a port that pods of every node have. Budgets protect all of them but one, so that
//! one has to go.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::crowd::NODES;
use super::workload::{RETRY, certainly, create};
use crate::priorities::class_of;

const NAMESPACE: &str = "default";
const GUARDED: &str = "sim.gantry.io/guarded";
const PORT: i32 = 7777;
/// How important the pods are: those that there are first, and those that come then, one after the other.
pub(super) const IMPORTANT: [i32; 3] = [5, 900, 950];
/// How long each step may take.
const WITHIN: Duration = Duration::from_secs(600);

/// Plays it in a cluster that is at rest, where nothing goes wrong any more.
///
/// # Panics
/// If a pod goes that a budget protects, or the important ones find no node.
pub async fn play(client: &Client) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), NAMESPACE);
    let guarded = NODES - 1;
    let selector = json!({"matchLabels": {GUARDED: "yes"}});
    let budget = json!({"metadata": {"name": "guarded"}, "spec": {"minAvailable": guarded, "selector": selector}});
    certainly(async || create(&budgets, &budget).await).await;
    // Of pods that are alike, the one that has run for longest would be the last to go.
    place(&pods, "open", IMPORTANT[0], false).await;
    for number in 0..guarded {
        place(&pods, &format!("guarded-{number}"), IMPORTANT[0], true).await;
    }
    wait("the budget counts its pods", async || {
        let status = budgets.get("guarded").await.ok().and_then(|budget| budget.status);
        status.and_then(|status| status.current_healthy).is_some_and(|healthy| u32::try_from(healthy) == Ok(guarded))
    })
    .await;
    for (name, priority, victim) in [("important", IMPORTANT[1], "open"), ("more-important", IMPORTANT[2], "important")]
    {
        place(&pods, name, priority, false).await;
        assert!(!exists(&pods, victim).await, "{name} has the port of {victim}");
        for number in 0..guarded {
            let other = format!("guarded-{number}");
            assert!(exists(&pods, &other).await, "{other} had to go for {name}, and a budget protects it");
        }
    }
}

/// Makes a pod with the port, and waits until it is ready.
async fn place(pods: &Api<Pod>, name: &str, priority: i32, guarded: bool) {
    let labels = if guarded { json!({ GUARDED: "yes" }) } else { json!({}) };
    let port = json!({"containerPort": PORT, "hostPort": PORT});
    let pod: Value = json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "priorityClassName": class_of(priority),
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "c", "ports": [port]}],
        },
    });
    certainly(async || create(pods, &pod).await).await;
    wait(&format!("{name} is ready"), async || {
        let status = pods.get(name).await.ok().and_then(|pod| pod.status);
        let conditions = status.and_then(|status| status.conditions).unwrap_or_default();
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
    .await;
}

async fn exists(pods: &Api<Pod>, name: &str) -> bool {
    pods.get_opt(name)
        .await
        .expect("nothing goes wrong any more")
        .is_some_and(|pod| pod.metadata.deletion_timestamp.is_none())
}

async fn wait(what: &str, is_so: impl AsyncFn() -> bool) {
    let until = Instant::now() + WITHIN;
    while !is_so().await {
        assert!(Instant::now() < until, "{what}: not within {WITHIN:?}");
        sleep(RETRY).await;
    }
}
