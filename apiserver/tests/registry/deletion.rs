//! Deleting: what the answer is, what watchers see, and what goes along.

use futures::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Ask, Server, Subject};

/// At once, and with all dependents, as clients delete; some kinds would leave theirs behind otherwise.
const AT_ONCE: &str = "gracePeriodSeconds=0&propagationPolicy=Background";

#[tokio::test]
async fn delete_removes_the_object() {
    for subject in Subject::all() {
        let (title, path) = (subject.title(), subject.path());
        let (server, created) = Server::with(&subject).await;
        let stale = json!({"preconditions": {"uid": "another"}});
        let refused = server.refusal(Ask { body: stale.to_string().into(), ..Ask::delete(&path) }).await;
        assert_eq!(refused.code, 409, "{title}: {}", refused.message);
        if holds_content(&created) {
            end_namespace(&server, &path).await;
        }
        if created["metadata"]["finalizers"].is_array() {
            server.json(Ask::patch(&path, &json!({"metadata": {"finalizers": null}}))).await;
        }
        let before = server.revision();
        let from = format!("resourceVersion={before}");
        let mut frames = server.watch(&subject.collection, &from).await;
        let reply = server.ask(Ask::delete(&path).query(AT_ONCE)).await;
        let reply = reply.unwrap_or_else(|status| panic!("{title}: {}", status.message));
        assert_eq!(reply.code, 200, "{title}");
        let answer = reply.json();
        if subject.resource.kind.returns_deleted_object() {
            assert_eq!(answer["kind"], *subject.names().kind, "{title}");
            assert_eq!(answer["metadata"]["uid"], created["metadata"]["uid"], "{title}");
        } else {
            assert_eq!((&answer["kind"], &answer["status"]), (&json!("Status"), &json!("Success")), "{title}");
            assert_eq!(answer["details"]["name"], subject.name.as_str(), "{title}");
            assert_eq!(answer["details"]["kind"], *subject.names().plural, "{title}");
            assert_eq!(answer["details"]["uid"], created["metadata"]["uid"], "{title}");
        }
        let event: Value = serde_json::from_slice(&frames.next().await.unwrap()).unwrap();
        assert_eq!(event["type"], "DELETED", "{title}");
        let version = event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
        assert!(version > before.0 && version <= server.revision().0, "{title}: deleted at {version}");
        assert_eq!(server.refusal(Ask::get(&path)).await.code, 404, "{title}");
        assert_eq!(server.refusal(Ask::delete(&path).query(AT_ONCE)).await.code, 404, "{title}");
        assert_eq!(server.json(Ask::post(&subject.collection, &subject.example)).await["kind"], created["kind"]);
    }
}

/// Whether its specification has finalizers, as that of a namespace has.
fn holds_content(object: &Value) -> bool {
    object["spec"]["finalizers"].is_array()
}

/// Does what whoever empties a namespace does, but for the last step.
async fn end_namespace(server: &Server, path: &str) {
    let mut object = server.json(Ask::get(path)).await;
    object["spec"]["finalizers"] = json!([]);
    server.json(Ask::put(&format!("{path}/finalize"), &object)).await;
}

#[tokio::test]
async fn finalizers_hold_an_object_back() {
    for subject in Subject::all() {
        let (title, path) = (subject.title(), subject.path());
        let (server, created) = Server::with(&subject).await;
        if holds_content(&created) {
            end_namespace(&server, &path).await;
        }
        let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
        server.json(Ask::patch(&path, &held)).await;
        let pending = server.json(Ask::delete(&path).query(AT_ONCE)).await;
        assert_eq!(pending["kind"], *subject.names().kind, "{title}");
        assert!(pending["metadata"]["deletionTimestamp"].is_string(), "{title}: {pending}");
        assert_eq!(server.json(Ask::get(&path)).await, pending, "{title}");
        server.json(Ask::patch(&path, &json!({"metadata": {"finalizers": null}}))).await;
        assert_eq!(server.refusal(Ask::get(&path)).await.code, 404, "{title}");
    }
}

#[tokio::test]
async fn the_endpoints_of_a_service_go_with_it() {
    const SERVICES: &str = "/api/v1/namespaces/default/services";
    const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints";
    let server = Server::start().await;
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    let endpoints = |name: &str| json!({"metadata": {"name": name}, "subsets": []});
    server.json(Ask::post(SERVICES, &service)).await;
    for name in ["web", "other"] {
        server.json(Ask::post(ENDPOINTS, &endpoints(name))).await;
    }
    let elsewhere = "/api/v1/namespaces/kube-system/endpoints";
    server.json(Ask::post(elsewhere, &endpoints("web"))).await;

    let (web, web_endpoints) = (format!("{SERVICES}/web"), format!("{ENDPOINTS}/web"));
    server.json(Ask::delete(&web).query("dryRun=All")).await;
    server.json(Ask::get(&web_endpoints)).await;
    let deleted = server.json(Ask::delete(&web)).await;
    assert_eq!((&deleted["kind"], &deleted["metadata"]["name"]), (&json!("Service"), &json!("web")));
    assert_eq!(server.refusal(Ask::get(&web_endpoints)).await.code, 404);
    server.json(Ask::get(&format!("{ENDPOINTS}/other"))).await;
    server.json(Ask::get(&format!("{elsewhere}/web"))).await;

    // A Service without any is no error, nor is one whose last finalizer goes.
    server.json(Ask::post(SERVICES, &service)).await;
    server.json(Ask::delete(&web)).await;
    server.json(Ask::post(SERVICES, &service)).await;
    server.json(Ask::post(ENDPOINTS, &endpoints("web"))).await;
    server.json(Ask::patch(&web, &json!({"metadata": {"finalizers": ["example.com/held"]}}))).await;
    server.json(Ask::delete(&web)).await;
    server.json(Ask::get(&web_endpoints)).await;
    server.json(Ask::patch(&web, &json!({"metadata": {"finalizers": null}}))).await;
    assert_eq!(server.refusal(Ask::get(&web_endpoints)).await.code, 404);
}

#[tokio::test]
async fn the_pods_of_a_job_stay_unless_the_client_says_otherwise() {
    const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": template}});
    let path = format!("{JOBS}/j");
    for (query, orphans) in [
        ("", true),
        ("propagationPolicy=Orphan", true),
        ("orphanDependents=true", true),
        ("propagationPolicy=Background", false),
        ("orphanDependents=false", false),
    ] {
        let server = Server::start().await;
        server.json(Ask::post(JOBS, &job)).await;
        let (answer, warnings) = server.with_warnings(Ask::delete(&path).query(query)).await;
        let warned = warnings.iter().any(|warning| warning.starts_with("child pods are preserved by default"));
        assert_eq!(warned, query.is_empty(), "{query}: {warnings:?}");
        if orphans {
            assert_eq!(answer["metadata"]["finalizers"], json!(["orphan"]), "{query}");
            assert_eq!(server.json(Ask::get(&path)).await, answer, "{query}");
            server.json(Ask::patch(&path, &json!({"metadata": {"finalizers": null}}))).await;
        }
        assert_eq!(server.refusal(Ask::get(&path)).await.code, 404, "{query}");
    }
}

#[tokio::test]
async fn a_collection_of_jobs_is_deleted_as_a_job_is() {
    const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
    let server = Server::start().await;
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    server.json(Ask::post(JOBS, &json!({"metadata": {"name": "j"}, "spec": {"template": template}}))).await;
    let (_, warnings) = server.with_warnings(Ask::delete(JOBS)).await;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let job = server.json(Ask::get(&format!("{JOBS}/j"))).await;
    assert_eq!(job["metadata"]["finalizers"], json!(["orphan"]));
    server.json(Ask::delete(JOBS).query("propagationPolicy=Background")).await;
    assert_eq!(server.refusal(Ask::get(&format!("{JOBS}/j"))).await.code, 404);
}
