//! How often a pod's status is written, and how often its worker looks, on the way from bound to ready.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::stage::Stage;

fn plain() -> Value {
    json!({"restartPolicy": "Always", "containers": [{"name": "c", "image": "example.org/c:1"}]})
}

fn is_ready(pod: &Value) -> bool {
    condition(&pod["status"], "Ready") == "True"
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a str {
    let mut all = status["conditions"].as_array().into_iter().flatten();
    all.find(|it| it["type"] == kind).and_then(|it| it["status"].as_str()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_plain_pod_is_written_twice() {
    let stage = Stage::new().await;
    stage.have_image("example.org/c:1");
    stage.bind("p", plain());
    stage.until("p", is_ready).await;
    stage.pass(Duration::from_secs(5)).await;
    let writes = stage.writes("p");
    let said: Vec<_> =
        writes.iter().map(|it| (it["phase"].as_str(), condition(it, "Ready"), it["podIP"].is_string())).collect();
    // The API has it that it is pending.
    assert_eq!(said, [(None, "False", false), (Some("Running"), "True", true)], "{writes:#?}");
    // It is looked at in the beginning, and after each of the two things that take time.
    let calls = [
        ("ContainerStatus", 1),
        ("CreateContainer", 1),
        ("PodSandboxStatus", 2),
        ("RunPodSandbox", 1),
        ("StartContainer", 1),
    ];
    let calls: BTreeMap<_, _> = calls.map(|(call, times)| (call.to_owned(), times)).into();
    assert_eq!(stage.calls("p"), calls);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_takes_long_is_waited_for_with_an_address() {
    let stage = Stage::new().await;
    stage.bind("p", plain());
    stage.until("p", is_ready).await;
    let writes = stage.writes("p");
    let said: Vec<_> = writes.iter().map(|it| (it["phase"].as_str(), it["podIP"].is_string())).collect();
    assert_eq!(said, [(None, false), (None, true), (Some("Running"), false)], "{writes:#?}");
    assert_eq!(condition(&writes[1], "PodReadyToStartContainers"), "True");
    assert_eq!(stage.calls("p")["PodSandboxStatus"], 2, "it is not looked at because of what it wrote itself");
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_others_write_is_looked_at() {
    let stage = Stage::new().await;
    stage.have_image("example.org/c:1");
    stage.bind("p", plain());
    stage.until("p", is_ready).await;
    stage.pass(Duration::from_secs(5)).await;
    let before = (stage.writes("p").len(), stage.calls("p")["ContainerStatus"]);
    stage.overwrite("p", json!({"status": {"phase": "Unknown"}}));
    stage.until("p", |pod| pod["status"]["phase"] == "Running").await;
    stage.overwrite("p", json!({"metadata": {"labels": {"a": "b"}}}));
    stage.pass(Duration::from_secs(5)).await;
    assert_eq!((stage.writes("p").len(), stage.calls("p")["ContainerStatus"]), (before.0 + 1, before.1 + 2));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ends_by_itself_is_seen() {
    let stage = Stage::new().await;
    stage.have_image("example.org/c:1");
    stage.bind("p", plain());
    stage.until("p", is_ready).await;
    stage.pass(Duration::from_secs(5)).await;
    stage.runtime.end("d/p/c", &crate::cri::fake::End { exit_code: 1, out_of_memory: false });
    stage.until("p", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1 && is_ready(pod)).await;
    stage.end().await;
}
