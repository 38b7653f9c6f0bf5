//! Where metrics come from that nobody has to think of: calls to the runtime pass here, and probes tell each look.

use std::sync::Arc;

use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

use super::{Metrics, Probe};
use crate::cri::{Cri, Transport};
use crate::lifecycle::OnLook;

/// What upstream calls the runtime's calls (`operation_type`).
const OPERATIONS: [(&str, &str); 29] = [
    ("Attach", "attach"),
    ("ContainerStats", "container_stats"),
    ("ContainerStatus", "container_status"),
    ("CreateContainer", "create_container"),
    ("Exec", "exec"),
    ("ExecSync", "exec_sync"),
    ("ImageFsInfo", "image_fs_info"),
    ("ImageStatus", "image_status"),
    ("ListContainerStats", "list_container_stats"),
    ("ListContainers", "list_containers"),
    ("ListImages", "list_images"),
    ("ListPodSandbox", "list_podsandbox"),
    ("ListPodSandboxStats", "list_podsandbox_stats"),
    ("PodSandboxStats", "podsandbox_stats"),
    ("PodSandboxStatus", "podsandbox_status"),
    ("PortForward", "port_forward"),
    ("PullImage", "pull_image"),
    ("RemoveContainer", "remove_container"),
    ("RemoveImage", "remove_image"),
    ("RemovePodSandbox", "remove_podsandbox"),
    ("ReopenContainerLog", "reopen_container_log"),
    ("RunPodSandbox", "run_podsandbox"),
    ("StartContainer", "start_container"),
    ("Status", "status"),
    ("StopContainer", "stop_container"),
    ("StopPodSandbox", "stop_podsandbox"),
    ("UpdateContainerResources", "update_container"),
    ("UpdateRuntimeConfig", "update_runtime_config"),
    ("Version", "version"),
];

impl Metrics {
    /// The same runtime, whose calls are counted from now on.
    #[must_use]
    pub fn counting(self: &Arc<Self>, cri: &Cri) -> Cri {
        cri.through(|transport| self.counted(transport))
    }

    /// Counts what probes come to, to be given to [`Probes::tell_looks`](crate::lifecycle::Probes::tell_looks).
    #[must_use]
    pub fn looks(self: &Arc<Self>) -> OnLook {
        let metrics = Arc::clone(self);
        Box::new(move |look| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let metadata = &look.pod.metadata;
            let (pod, namespace) = (text(&metadata.name), text(&metadata.namespace));
            let probe = Probe {
                kind: look.kind.as_str(),
                container: look.container,
                pod: &pod,
                namespace: &namespace,
                pod_uid: &text(&metadata.uid),
            };
            metrics.probed(&probe, if look.good { "successful" } else { "failed" }, look.took);
        })
    }

    fn counted(self: &Arc<Self>, transport: Transport) -> Transport {
        let metrics = Arc::clone(self);
        BoxCloneSyncService::new(service_fn(move |request: http::Request<tonic::body::Body>| {
            let (metrics, transport) = (Arc::clone(&metrics), transport.clone());
            async move {
                let operation = operation(request.uri().path());
                metrics.runtime_operations.add(&[operation], 1.0);
                let began = Instant::now();
                let answer = transport.oneshot(request).await;
                metrics.runtime_operations_durations.observe(&[operation], began.elapsed());
                // Where there is nothing but an error, its code is among the headers.
                let status = answer.as_ref().ok().map(|answer| answer.headers().get("grpc-status"));
                if !matches!(status, Some(None)) && status.flatten().is_none_or(|code| code != "0") {
                    metrics.runtime_operations_errors.add(&[operation], 1.0);
                }
                answer
            }
        }))
    }
}

/// A call's name by its path, `/runtime.v1.RuntimeService/Version`.
fn operation(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or_default();
    let known = OPERATIONS.binary_search_by_key(&name, |(call, _)| call);
    known.map_or("other", |at| OPERATIONS[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri::fake::{Call, Fake, Fault, Options};
    use crate::cri::v1;
    use crate::lifecycle::Look;
    use crate::lifecycle::probe::Kind;
    use crate::server::metrics::Running;
    use crate::stats::Figures;

    #[test]
    fn calls_are_known_by_their_names() {
        assert!(OPERATIONS.is_sorted());
        for (call, operation) in OPERATIONS {
            assert_eq!(super::operation(&format!("/runtime.v1.RuntimeService/{call}")), operation);
        }
        assert_eq!(operation("/runtime.v1.RuntimeService/Unheard"), "other");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_on_their_way() {
        let fake = Fake::new(Options::default());
        let metrics = Arc::new(Metrics::new("one"));
        let cri = metrics.counting(&fake.cri());
        fake.fail(Call::ListContainers, 1, Fault::Fails(tonic::Status::unavailable("away")));
        assert!(cri.list_containers(v1::ListContainersRequest::default()).await.is_err());
        assert!(cri.list_containers(v1::ListContainersRequest::default()).await.is_ok());
        assert!(cri.list_images(v1::ListImagesRequest::default()).await.is_ok());
        let text = metrics.text(&Running::default(), &Figures::default());
        for line in [
            "kubelet_runtime_operations_total{operation_type=\"list_containers\"} 2",
            "kubelet_runtime_operations_total{operation_type=\"list_images\"} 1",
            "kubelet_runtime_operations_errors_total{operation_type=\"list_containers\"} 1",
            "kubelet_runtime_operations_duration_seconds_count{operation_type=\"list_containers\"} 2",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
        assert!(!text.contains("errors_total{operation_type=\"list_images\"}"), "{text}");
    }

    #[test]
    fn looks_of_probes_are_counted() {
        let metrics = Arc::new(Metrics::new("one"));
        let pod = serde_json::json!({"metadata": {"name": "web", "namespace": "ns", "uid": "u"}});
        let pod = serde_json::from_value(pod).unwrap();
        let took = std::time::Duration::from_millis(3);
        metrics.looks()(&Look { kind: Kind::Readiness, container: "app", pod: &pod, good: false, took });
        let line = "prober_probe_total{probe_type=\"Readiness\",result=\"failed\",container=\"app\",pod=\"web\",\
                    namespace=\"ns\",pod_uid=\"u\"} 1";
        assert!(metrics.probes_text().contains(line), "{}", metrics.probes_text());
    }
}
