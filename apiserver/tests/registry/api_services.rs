//! APIServices of what is built in: made once, kept right, and left alone when they are somebody else's.

use serde_json::{Value, json};

use crate::harness::{Ask, Server};

const PATH: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

async fn names(server: &Server) -> Vec<String> {
    let list = server.json(Ask::get(PATH)).await;
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_built_in_version_has_one() {
    let server = Server::start().await;
    server.register_api_services().await;
    let found = names(&server).await;
    for name in ["v1.", "v1.apps", "v1.apiextensions.k8s.io", "v1.events.k8s.io"] {
        assert!(found.iter().any(|found| found == name), "{name}: {found:?}");
    }
    assert!(!found.iter().any(|name| name == "v1.apiregistration.k8s.io"), "{found:?}");

    let core = server.json(Ask::get(&format!("{PATH}/v1."))).await;
    assert_eq!(core["metadata"]["labels"], json!({MANAGED: "onstart"}));
    assert_eq!(core["spec"], json!({"version": "v1", "groupPriorityMinimum": 18000, "versionPriority": 1}));
    let [condition] = &core["status"]["conditions"].as_array().unwrap()[..] else { panic!("one condition: {core}") };
    let shown = [&condition["type"], &condition["status"], &condition["reason"]];
    assert_eq!(shown, ["Available", "True", "Local"]);

    let revision = server.revision();
    server.register_api_services().await;
    assert_eq!(server.revision(), revision);
}

#[tokio::test]
async fn what_was_changed_is_corrected_unless_it_is_somebody_elses() {
    let server = Server::start().await;
    server.register_api_services().await;
    let priority = json!({"spec": {"versionPriority": 3}});
    let (apps, core) = (format!("{PATH}/v1.apps"), format!("{PATH}/v1."));
    server.json(Ask::patch(&apps, &priority)).await;
    server.json(Ask::patch(&core, &priority)).await;
    server.json(Ask::patch(&core, &json!({"metadata": {"labels": {MANAGED: null}}}))).await;
    let stale = |version: &str, labels: Value| {
        let spec = json!({"group": "apps", "version": version, "groupPriorityMinimum": 10, "versionPriority": 10});
        json!({"metadata": {"name": format!("{version}.apps"), "labels": labels}, "spec": spec})
    };
    server.json(Ask::post(PATH, &stale("v8", json!({})))).await;
    server.json(Ask::post(PATH, &stale("v9", json!({MANAGED: "onstart"})))).await;

    server.register_api_services().await;
    assert_eq!(server.json(Ask::get(&apps)).await["spec"]["versionPriority"], 15);
    assert_eq!(server.json(Ask::get(&core)).await["spec"]["versionPriority"], 3);
    let found = names(&server).await;
    assert!(found.contains(&"v8.apps".to_owned()) && !found.contains(&"v9.apps".to_owned()), "{found:?}");
}
