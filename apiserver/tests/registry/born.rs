//! What every cluster is born with: it is made, kept, and left to those who changed it.

use serde_json::{Value, json};

use crate::harness::{Ask, Server};

const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

async fn names(server: &Server, collection: &str) -> Vec<String> {
    let list = server.json(Ask::get(collection)).await;
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn annotated(value: &str) -> Value {
    json!({AUTO_UPDATE: value})
}

#[tokio::test]
async fn a_new_cluster_has_them_all() {
    let server = Server::start().await;
    server.bear().await;
    assert_eq!(names(&server, CLASSES).await, ["system-cluster-critical", "system-node-critical"]);
    let levels = [
        "catch-all",
        "exempt",
        "global-default",
        "leader-election",
        "node-high",
        "system",
        "workload-high",
        "workload-low",
    ];
    assert_eq!(names(&server, LEVELS).await, levels);
    assert_eq!(names(&server, SCHEMAS).await.len(), 13);
    let exempt = server.json(Ask::get(&format!("{LEVELS}/exempt"))).await;
    assert_eq!((&exempt["metadata"]["generation"], &exempt["spec"]["type"]), (&json!(1), &json!("Exempt")));
    assert_eq!(exempt["metadata"]["annotations"], annotated("true"));

    // As they are, they are what a server wants: nothing is written at the next start.
    let revision = server.revision();
    server.bear().await;
    assert_eq!(server.revision(), revision);
}

#[tokio::test]
async fn what_users_change_stays() {
    let server = Server::start().await;
    server.bear().await;
    let low = format!("{LEVELS}/workload-low");
    let change = |follow: &str| json!({"metadata": {"annotations": annotated(follow)}, "spec": {"limited": {"nominalConcurrencyShares": 7}}});
    server.json(Ask::patch(&low, &change("false"))).await;
    server.bear().await;
    let kept = server.json(Ask::get(&low)).await;
    assert_eq!(kept["spec"]["limited"]["nominalConcurrencyShares"], 7);
    server.json(Ask::patch(&low, &change("true"))).await;
    server.bear().await;
    let restored = server.json(Ask::get(&low)).await;
    assert_eq!(restored["spec"]["limited"]["nominalConcurrencyShares"], 100);

    let exempt = format!("{LEVELS}/exempt");
    server.json(Ask::patch(&exempt, &json!({"spec": {"exempt": {"lendablePercent": 9}}}))).await;
    let refused = server.refusal(Ask::patch(&exempt, &json!({"spec": {"type": "Limited"}}))).await;
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    server.bear().await;
    assert_eq!(server.json(Ask::get(&exempt)).await["spec"]["exempt"]["lendablePercent"], 9);
}

#[tokio::test]
async fn what_is_gone_is_made_again_and_what_is_no_more_goes() {
    let server = Server::start().await;
    server.bear().await;
    // By their collection the system's classes go, too.
    for (delete, gone) in [
        (CLASSES.to_owned(), format!("{CLASSES}/system-node-critical")),
        (format!("{SCHEMAS}/exempt"), format!("{SCHEMAS}/exempt")),
        (format!("{LEVELS}/system"), format!("{LEVELS}/system")),
    ] {
        server.json(Ask::delete(&delete)).await;
        server.refusal(Ask::get(&gone)).await;
        server.bear().await;
        server.json(Ask::get(&gone)).await;
    }
    let spec = json!({"matchingPrecedence": 50, "priorityLevelConfiguration": {"name": "system"}});
    for (name, follow) in [("ours", "false"), ("theirs", "true")] {
        let metadata = json!({"name": name, "annotations": annotated(follow)});
        server.json(Ask::post(SCHEMAS, &json!({"metadata": metadata, "spec": spec}))).await;
    }
    server.json(Ask::post(SCHEMAS, &json!({"metadata": {"name": "plain"}, "spec": spec}))).await;
    server.bear().await;
    let left = names(&server, SCHEMAS).await;
    assert!(left.contains(&"ours".to_owned()) && left.contains(&"plain".to_owned()), "{left:?}");
    assert!(!left.contains(&"theirs".to_owned()), "{left:?}");
}

#[tokio::test]
async fn bindings_that_gave_too_much_are_taken_away() {
    const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let server = Server::start().await;
    let left_after_start = async |follow: &str| {
        let binding = json!({
            "metadata": {
                "name": "gantry:nodes",
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": follow},
            },
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
        });
        server.json(Ask::post(BINDINGS, &binding)).await;
        server.bear().await;
        names(&server, BINDINGS).await.contains(&"gantry:nodes".to_owned())
    };
    assert!(!left_after_start("true").await);
    assert!(left_after_start("false").await);
}

#[tokio::test]
async fn the_systems_classes_are_not_deleted_by_name() {
    let server = Server::start().await;
    server.bear().await;
    let refusal = server.refusal(Ask::delete(&format!("{CLASSES}/system-node-critical"))).await;
    let message = "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class \
                   and cannot be deleted";
    assert_eq!((refusal.code, refusal.message.as_str()), (403, message));
    assert_eq!(names(&server, CLASSES).await.len(), 2);
}
