//! What containers have whose pod asks for more than there is room for.

use std::time::Duration;

use serde_json::{Value, json};

use super::stage::Stage;
use crate::cri::fake::End;

fn sized(cpu: &str) -> Value {
    let resources = json!({"requests": {"cpu": cpu}, "limits": {"cpu": cpu}});
    json!({"containers": [{"name": "c", "image": "example.org/c:1", "resources": resources}]})
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["containerStatuses"][0]["ready"] == true
}

/// What the pod was given, what its container has, and how often it was restarted.
fn has(pod: &Value) -> Value {
    let status = &pod["status"]["containerStatuses"][0];
    json!([status["allocatedResources"]["cpu"], status["resources"]["limits"]["cpu"], status["restartCount"]])
}

fn pending(pod: &Value) -> &str {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.find(|it| it["type"] == "PodResizePending").and_then(|it| it["reason"].as_str()).unwrap_or_default()
}

async fn end_of_container(stage: &Stage, restarts: i64) {
    stage.runtime.end("d/p/c", &End { exit_code: 1, out_of_memory: false });
    stage.until("p", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == restarts && is_ready(pod)).await;
}

#[tokio::test(start_paused = true)]
async fn a_container_that_starts_again_has_what_was_granted() {
    let mut stage = Stage::new().await;
    stage.have_image("example.org/c:1");
    stage.bind("p", sized("1"));
    stage.bind("q", sized("2"));
    stage.until("p", is_ready).await;
    stage.until("q", is_ready).await;
    let mut wider = sized("3500m");
    wider["nodeName"] = stage.pod("p")["spec"]["nodeName"].clone();
    stage.overwrite("p", json!({"metadata": {"generation": 2}, "spec": wider}));
    stage.until("p", |pod| pending(pod) == "Deferred").await;
    end_of_container(&stage, 1).await;
    assert_eq!(has(&stage.pod("p")), json!(["1", "1", 1]));
    assert_eq!(pending(&stage.pod("p")), "Deferred", "it waits as before");

    // Nor does another agent forget it.
    stage = stage.restarted().await;
    end_of_container(&stage, 2).await;
    assert_eq!(has(&stage.pod("p")), json!(["1", "1", 2]));
    assert_eq!(pending(&stage.pod("p")), "Deferred");

    stage.delete("q");
    stage.until("p", |pod| pending(pod).is_empty()).await;
    stage.until("p", |pod| has(pod) == json!(["3500m", "3500m", 2])).await;
    stage.pass(Duration::from_secs(5)).await;
    end_of_container(&stage, 3).await;
    assert_eq!(has(&stage.pod("p")), json!(["3500m", "3500m", 3]));
    stage.end().await;
}
