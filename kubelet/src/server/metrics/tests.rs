//! What the agent's metrics look like, and that there is a bound on them.

use super::*;

#[test]
fn series_have_a_bound() {
    let series = Series::new(&["a"], 2);
    for label in ["x", "y", "z", "x", "w"] {
        series.add(&[label], 1.0);
    }
    series.add(&["too", "many"], 1.0);
    let mut text = Text::default();
    series.write(&mut text, "n_total", Kind::Counter, "h");
    let lines =
        "# HELP n_total h\n# TYPE n_total counter\nn_total{a=\"other\"} 2\nn_total{a=\"x\"} 2\nn_total{a=\"y\"} 1\n";
    assert_eq!(text.finish(), lines);
}

#[test]
fn histograms_count_what_is_below_each_bound() {
    let histogram = Histogram::new(&["a"], &[0.5, 1.0], 2);
    for millis in [100, 500, 700, 5_000] {
        histogram.observe(&["x"], Duration::from_millis(millis));
    }
    let mut text = Text::default();
    histogram.write(&mut text, "d", "h");
    let expected = "# HELP d h\n# TYPE d histogram\nd_bucket{a=\"x\",le=\"0.5\"} 2\nd_bucket{a=\"x\",le=\"1\"} 3\n\
                    d_bucket{a=\"x\",le=\"+Inf\"} 4\nd_sum{a=\"x\"} 6.3\nd_count{a=\"x\"} 4\n";
    assert_eq!(text.finish(), expected);
}

#[test]
fn probes_of_a_pod_can_be_forgotten() {
    let metrics = Metrics::new("n");
    let probe = |pod| Probe { kind: "Liveness", container: "c", pod, namespace: "ns", pod_uid: "u" };
    metrics.probed(&probe("a"), "successful", Duration::from_millis(2));
    metrics.probed(&probe("b"), "failed", Duration::from_millis(2));
    metrics.forget_probes("ns", "a");
    let text = metrics.probes_text();
    let line = "prober_probe_total{probe_type=\"Liveness\",result=\"failed\",container=\"c\",pod=\"b\",namespace=\"ns\",\
                pod_uid=\"u\"} 1\n";
    assert!(text.contains(line), "{text}");
    assert!(!text.contains("pod=\"a\""), "{text}");
}

#[test]
fn the_agents_own_metrics_have_upstreams_names() {
    let metrics = Metrics::new("one");
    metrics.started_pods.add(&[], 3.0);
    metrics.runtime_operations.add(&["run_podsandbox"], 1.0);
    metrics.shutdown_start.set(5.0);
    metrics.shutdown_start.set(1_700_000_000.0);
    metrics.runtime_operations.set(9.0);
    metrics.collect_from(|text| text.push_str("mine 1\n"));
    let running = Running { pods: 2, containers: [("exited", 1), ("running", 4)].into() };
    let filesystem = stats::Filesystem { used: 7, capacity: 9, ..stats::Filesystem::default() };
    let volume = stats::VolumeFigures { name: "v".into(), claim: Some("data".into()), filesystem, ephemeral: false };
    let pod = stats::PodFigures { namespace: "ns".into(), volumes: vec![volume], ..stats::PodFigures::default() };
    let figures = stats::Figures { pods: vec![pod.clone(), pod], ..stats::Figures::default() };
    let text = metrics.text(&running, &figures);
    for line in [
        "kubelet_node_name{node=\"one\"} 1",
        "kubelet_running_pods 2",
        "kubelet_running_containers{container_state=\"exited\"} 1",
        "kubelet_running_containers{container_state=\"running\"} 4",
        "kubelet_started_pods_total 3",
        "kubelet_runtime_operations_total{operation_type=\"run_podsandbox\"} 1",
        "kubelet_volume_stats_used_bytes{namespace=\"ns\",persistentvolumeclaim=\"data\"} 7",
        "kubelet_graceful_shutdown_start_time_seconds 1700000000",
        "kubelet_graceful_shutdown_end_time_seconds 0",
        "mine 1",
    ] {
        assert_eq!(text.lines().filter(|there| *there == line).count(), 1, "{line}\n{text}");
    }
    assert!(text.contains("process_resident_memory_bytes "), "{text}");
}
