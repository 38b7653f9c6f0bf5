//! Resources by the names that people use.

use serde_json::json;

use super::*;

fn catalog() -> Catalog {
    let resource =
        |group: &str, version: &str, plural: &str, kind: &str, short: &[&str], categories: &[&str]| Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            namespaced: true,
            short_names: short.iter().map(|short| (*short).to_owned()).collect(),
            categories: categories.iter().map(|category| (*category).to_owned()).collect(),
            ..Resource::default()
        };
    let resources = vec![
        resource("", "v1", "pods", "Pod", &["po"], &["all"]),
        resource("", "v1", "events", "Event", &["ev"], &[]),
        resource("apps", "v1", "deployments", "Deployment", &["deploy"], &["all"]),
        resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", &["hpa"], &["all"]),
        resource("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", &["hpa"], &["all"]),
        resource("events.k8s.io", "v1", "events", "Event", &["ev"], &[]),
    ];
    Catalog { resources }
}

#[test]
fn resources_are_found_by_whatever_people_call_them() {
    let catalog = catalog();
    let check = |name: &str, expected: &[&str]| {
        let found = catalog.find(name).unwrap();
        let found: Vec<String> =
            found.iter().map(|resource| format!("{} {}", resource.api_version(), resource.plural)).collect();
        assert_eq!(found, expected, "{name}");
    };
    for name in ["pods", "pod", "po", "Pod", "pods.v1."] {
        check(name, &["v1 pods"]);
    }
    for name in ["deploy", "deployments.apps", "deployment.v1.apps"] {
        check(name, &["apps/v1 deployments"]);
    }
    check("ev", &["v1 events"]);
    check("events.events.k8s.io", &["events.k8s.io/v1 events"]);
    check("hpa", &["autoscaling/v2 horizontalpodautoscalers"]);
    check("hpa.v1.autoscaling", &["autoscaling/v1 horizontalpodautoscalers"]);
    check("all", &["v1 pods", "apps/v1 deployments", "autoscaling/v2 horizontalpodautoscalers"]);
    let error = |name: &str| catalog.find(name).unwrap_err().to_string();
    assert_eq!(error("pdos"), "error: the server doesn't have a resource type \"pdos\"; did you mean \"pods\"?");
    assert_eq!(error("widgets"), "error: the server doesn't have a resource type \"widgets\"");
    assert_eq!(catalog.of_kind("apps/v1", "Deployment").unwrap().plural, "deployments");
    let error = |version, kind| catalog.of_kind(version, kind).unwrap_err().to_string();
    assert!(error("extensions/v1beta1", "Deployment").ends_with(": the server has it in apps/v1"));
    assert!(error("apps/v1", "Deploymnet").ends_with(": did you mean Deployment?"));
    assert!(error("example.com/v1", "Widget").ends_with(": are its CRDs installed?"));
}

#[test]
fn paths_and_names_are_kubectls() {
    let catalog = catalog();
    let (pods, deployments) = (catalog.find("po").unwrap()[0], catalog.find("deploy").unwrap()[0]);
    assert_eq!(pods.object_path("a", "b"), "/api/v1/namespaces/a/pods/b");
    assert_eq!(deployments.path(None), "/apis/apps/v1/deployments");
    assert_eq!(pods.object_path("a", "../x?y"), "/api/v1/namespaces/a/pods/..%2Fx%3Fy");
    assert_eq!((pods.object("a"), deployments.object("a")), ("pod/a".to_owned(), "deployment.apps/a".to_owned()));
    assert_eq!((pods.qualified(), deployments.qualified()), ("pods".to_owned(), "deployments.apps".to_owned()));
}

#[test]
fn older_servers_tell_it_in_pieces() {
    let groups = json!({"groups": [{"name": "autoscaling", "preferredVersion": {"groupVersion": "autoscaling/v2"},
        "versions": [{"groupVersion": "autoscaling/v1"}, {"groupVersion": "autoscaling/v2"}]}]});
    let paths: Vec<String> = versions("/apis", &groups).into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["/apis/autoscaling/v2", "/apis/autoscaling/v1"]);
    assert_eq!(versions("/api", &json!({"versions": ["v1"]})), [(String::new(), "/api/v1".to_owned())]);
    let answer = json!({"groupVersion": "apps/v1", "resources": [
        {"name": "deployments", "singularName": "deployment", "kind": "Deployment", "namespaced": true, "verbs": ["get"]},
        {"name": "deployments/scale", "kind": "Scale"},
    ]});
    let resources = legacy("apps", &answer);
    assert_eq!(resources.len(), 1);
    assert_eq!(resources[0].subresources, ["scale"]);
    assert!(resources[0].can("get") && !resources[0].can("list"));
}
