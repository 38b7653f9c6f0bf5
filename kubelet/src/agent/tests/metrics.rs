//! What is counted and measured of pods on their way.

use std::time::Duration;

use serde_json::{Value, json};

use super::stage::Stage;

#[tokio::test(start_paused = true)]
async fn starts_are_measured() {
    let stage = Stage::new().await;
    let containers = json!([{"name": "c", "image": "example.org/c:1"}]);
    let inits = json!([{"name": "i", "image": "example.org/i:1", "restartPolicy": "Always"}]);
    stage.bind("p", json!({"containers": containers, "initContainers": inits}));
    let runs = |pod: &Value| pod["status"]["phase"] == "Running";
    stage.until("p", runs).await;
    stage.pass(Duration::from_secs(5)).await;
    stage.delete("p");
    let text = async || stage.agent.metrics_text();
    let mut found = text().await;
    for _ in 0..100 {
        if found.contains("operation_type=\"terminated\"") {
            break;
        }
        stage.pass(Duration::from_millis(100)).await;
        found = text().await;
    }
    let sample = |name: &str| {
        let line = found.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let counts = [
        ("kubelet_started_pods_total", 1.0),
        ("kubelet_started_containers_total{container_type=\"container\"}", 1.0),
        ("kubelet_started_containers_total{container_type=\"init_container\"}", 1.0),
        ("kubelet_started_containers_total{container_type=\"pod_sandbox\"}", 1.0),
        ("kubelet_pod_start_duration_seconds_count", 1.0),
        ("kubelet_pod_start_total_duration_seconds_count", 1.0),
        ("kubelet_pod_start_sli_duration_seconds_count", 1.0),
        ("kubelet_pod_worker_start_duration_seconds_count", 1.0),
        ("kubelet_pod_worker_duration_seconds_count{operation_type=\"create\"}", 1.0),
        ("kubelet_pod_worker_duration_seconds_count{operation_type=\"terminated\"}", 1.0),
    ];
    for (name, expected) in counts {
        assert_eq!(sample(name), expected, "{name}\n{found}");
    }
    // Both images were pulled, which takes two seconds each.
    let pulling =
        sample("kubelet_pod_start_total_duration_seconds_sum") - sample("kubelet_pod_start_sli_duration_seconds_sum");
    assert!((pulling - 4.0).abs() < 1e-6, "{pulling}");
    assert!(sample("kubelet_pleg_relist_interval_seconds_count") > 5.0);
    stage.end().await;
}
