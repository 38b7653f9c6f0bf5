//! Scaling: what `autoscaling/v1` says of an object, and what is written through it.

use std::collections::BTreeMap;

use api::selector::label::Selector;
use serde_json::json;

use crate::harness::{Ask, Server, Subject};

#[tokio::test]
async fn a_scale_shows_and_sets_the_replicas() {
    let mut scaled = Vec::new();
    for subject in Subject::all().iter().filter(|subject| subject.resource.kind.has_scale()) {
        let (title, path) = (subject.title(), format!("{}/scale", subject.path()));
        let (server, created) = Server::with(subject).await;
        let scale = server.json(Ask::get(&path)).await;
        assert_eq!((&scale["kind"], &scale["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")), "{title}");
        assert_eq!(scale["spec"]["replicas"], created["spec"]["replicas"], "{title}");
        for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            assert_eq!(scale["metadata"][field], created["metadata"][field], "{title}: {field}");
        }
        let selector = Selector::parse(scale["status"]["selector"].as_str().unwrap()).unwrap();
        let labels = created["spec"]["template"]["metadata"]["labels"].clone();
        let labels: BTreeMap<String, String> = serde_json::from_value(labels).unwrap();
        assert!(selector.matches(&labels) && !selector.matches(&BTreeMap::new()), "{title}: {scale}");

        let mut more = scale.clone();
        more["spec"]["replicas"] = json!(7);
        assert_eq!(server.json(Ask::put(&path, &more)).await["spec"]["replicas"], 7, "{title}");
        let object = server.json(Ask::get(&subject.path())).await;
        assert_eq!((&object["spec"]["replicas"], &object["metadata"]["generation"]), (&json!(7), &json!(2)), "{title}");
        let refusal = server.refusal(Ask::patch(&path, &json!({"spec": {"replicas": -1}}))).await;
        assert_eq!(refusal.code, 422, "{title}: {}", refusal.message);
        scaled.push(title);
    }
    let expected = ["deployments.apps", "replicasets.apps", "replicationcontrollers", "statefulsets.apps"];
    scaled.sort();
    assert_eq!(scaled, expected);
}
