//! `/pods` and `/runningpods`: lists of pods, as the API writes them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::cri::{Answer, Cri, v1};

/// The labels by which the runtime knows whose sandboxes and containers they are.
const POD_NAME: &str = "io.kubernetes.pod.name";
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD_UID: &str = "io.kubernetes.pod.uid";
const CONTAINER_NAME: &str = "io.kubernetes.container.name";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodList<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Empty {}

/// A pod without its kind, which those in lists do not have.
#[derive(Serialize)]
struct Item<'a> {
    metadata: &'a ObjectMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<&'a PodSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a PodStatus>,
}

/// A list of `pods`.
pub(super) fn list(pods: &[Arc<Pod>]) -> PodList<'_> {
    PodList {
        kind: "PodList",
        api_version: "v1",
        metadata: Empty {},
        items: pods
            .iter()
            .map(|pod| Item { metadata: &pod.metadata, spec: pod.spec.as_ref(), status: pod.status.as_ref() })
            .collect(),
    }
}

/// The pods that run, as the runtime has them: what it does not know of a pod is left out.
pub(super) async fn running(cri: &Cri) -> Answer<Vec<Arc<Pod>>> {
    let ready = v1::PodSandboxStateValue { state: v1::PodSandboxState::SandboxReady.into() };
    let filter = v1::PodSandboxFilter { state: Some(ready), ..v1::PodSandboxFilter::default() };
    let sandboxes = cri.list_pod_sandbox(v1::ListPodSandboxRequest { filter: Some(filter) }).await?;
    let running = v1::ContainerStateValue { state: v1::ContainerState::ContainerRunning.into() };
    let filter = v1::ContainerFilter { state: Some(running), ..v1::ContainerFilter::default() };
    let containers = cri.list_containers(v1::ListContainersRequest { filter: Some(filter) }).await?;
    Ok(pods_of(sandboxes.items, containers.containers))
}

fn pods_of(sandboxes: Vec<v1::PodSandbox>, containers: Vec<v1::Container>) -> Vec<Arc<Pod>> {
    let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
    for sandbox in &sandboxes {
        of_labels(&mut pods, &sandbox.labels);
    }
    for container in containers {
        let spec = of_labels(&mut pods, &container.labels).and_then(|pod| pod.spec.as_mut());
        if let (Some(spec), Some(name)) = (spec, container.labels.get(CONTAINER_NAME)) {
            let image = container.image.map(|image| image.image);
            spec.containers.push(Container { name: name.clone(), image, ..Container::default() });
        }
    }
    pods.into_values().map(Arc::new).collect()
}

/// The pod of which something has these labels, if they are those of one.
fn of_labels<'a>(pods: &'a mut BTreeMap<String, Pod>, labels: &HashMap<String, String>) -> Option<&'a mut Pod> {
    let (uid, name, namespace) = (labels.get(POD_UID)?, labels.get(POD_NAME)?, labels.get(POD_NAMESPACE)?);
    Some(pods.entry(uid.clone()).or_insert_with(|| Pod {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            uid: Some(uid.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec::default()),
        status: Some(PodStatus::default()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_put_together_by_their_labels() {
        let labels = |uid: &str, container: Option<&str>| {
            let pairs = [(POD_UID, uid), (POD_NAME, "web"), (POD_NAMESPACE, "default")];
            let pairs = pairs.into_iter().chain(container.map(|name| (CONTAINER_NAME, name)));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let sandbox = |uid| v1::PodSandbox { labels: labels(uid, None), ..v1::PodSandbox::default() };
        let image = v1::ImageSpec { image: "img".into(), ..v1::ImageSpec::default() };
        let container =
            v1::Container { labels: labels("b", Some("app")), image: Some(image), ..v1::Container::default() };
        // Somebody else's sandbox has no such labels.
        let foreign = v1::PodSandbox::default();
        let pods = pods_of(vec![sandbox("a"), sandbox("b"), foreign], vec![container]);
        let text = serde_json::to_string(&list(&pods)).unwrap();
        let expected = concat!(
            r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#,
            r#"{"metadata":{"name":"web","namespace":"default","uid":"a"},"spec":{"containers":[]},"status":{}},"#,
            r#"{"metadata":{"name":"web","namespace":"default","uid":"b"},"#,
            r#""spec":{"containers":[{"image":"img","name":"app"}]},"status":{}}]}"#
        );
        assert_eq!(text, expected);
    }
}
