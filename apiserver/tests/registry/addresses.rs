//! The addresses of Services, which are objects.

use serde_json::{Value, json};

use crate::harness::{Ask, Server, TABLE};

const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, cluster_ip: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"clusterIP": cluster_ip, "ports": [{"port": 80}]}})
}

async fn names(server: &Server) -> Vec<String> {
    let list = server.json(Ask::get(ADDRESSES)).await;
    let items = list["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn addresses_come_and_go_with_services() {
    let server = Server::start().await;
    server.json(Ask::post(SERVICES, &service("web", "")).query("dryRun=All")).await;
    assert_eq!(names(&server).await, [""; 0]);

    let web = server.json(Ask::post(SERVICES, &service("web", ""))).await;
    let ip = web["spec"]["clusterIP"].as_str().unwrap();
    let path = format!("{ADDRESSES}/{ip}");
    let address = server.json(Ask::get(&path)).await;
    let parent = json!({"resource": "services", "namespace": "default", "name": "web"});
    assert_eq!(address["spec"], json!({"parentRef": parent}));
    let labels = json!({
        "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    });
    assert_eq!(address["metadata"]["labels"], labels);
    assert_eq!(address["metadata"]["creationTimestamp"], web["metadata"]["creationTimestamp"]);
    assert_ne!(address["metadata"]["uid"], web["metadata"]["uid"]);
    let table = server.json(Ask::get(&path).accept(TABLE)).await;
    assert_eq!(table["rows"][0]["cells"], json!([ip, "services/default/web"]));

    // What is refused leaves nothing behind.
    let refusal = server.refusal(Ask::post(SERVICES, &service("Web", "10.96.0.7"))).await;
    assert_eq!(refusal.code, 422, "{}", refusal.message);
    assert_eq!(names(&server).await, [ip]);

    server.json(Ask::delete(&format!("{SERVICES}/web"))).await;
    assert_eq!(names(&server).await, [""; 0]);
}

#[tokio::test]
async fn an_address_of_a_client_keeps_services_out() {
    let server = Server::start().await;
    let parent = json!({"group": "example.com", "resource": "gateways", "name": "edge"});
    let address = json!({"metadata": {"name": "10.96.0.9"}, "spec": {"parentRef": parent}});
    server.json(Ask::post(ADDRESSES, &address)).await;
    let taken = "Service \"web\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: failed to allocate IP \
                 10.96.0.9: provided IP is already allocated";
    for query in ["", "dryRun=All"] {
        let refusal = server.refusal(Ask::post(SERVICES, &service("web", "10.96.0.9")).query(query)).await;
        assert_eq!(refusal.message, taken);
    }
    server.json(Ask::delete(&format!("{ADDRESSES}/10.96.0.9"))).await;
    server.json(Ask::post(SERVICES, &service("web", "10.96.0.9"))).await;
    let refusal = server.refusal(Ask::post(ADDRESSES, &address)).await;
    assert_eq!((refusal.code, refusal.reason.as_str()), (409, "AlreadyExists"));
}

#[tokio::test]
async fn an_address_that_a_service_uses_comes_back() {
    let server = Server::start().await;
    server.json(Ask::post(SERVICES, &service("web", "10.96.0.9"))).await;
    let path = format!("{ADDRESSES}/10.96.0.9");
    let mut seen = Vec::new();
    for _ in 0..3 {
        let address = server.json(Ask::get(&path)).await;
        assert_eq!(address["spec"]["parentRef"]["name"], "web");
        assert!(!seen.contains(&address["metadata"]["uid"]), "{seen:?}");
        seen.push(address["metadata"]["uid"].clone());
        server.json(Ask::delete(&path)).await;
    }
    assert_eq!(server.refusal(Ask::post(SERVICES, &service("other", "10.96.0.9"))).await.code, 422);
    server.json(Ask::delete(&format!("{SERVICES}/web"))).await;
    assert_eq!(names(&server).await, [""; 0]);
}

#[tokio::test]
async fn finalizers_keep_an_address() {
    let server = Server::start().await;
    server.json(Ask::post(SERVICES, &service("web", "10.96.0.9"))).await;
    let path = format!("{ADDRESSES}/10.96.0.9");
    server.json(Ask::patch(&path, &json!({"metadata": {"finalizers": ["example.com/held"]}}))).await;
    server.json(Ask::delete(&format!("{SERVICES}/web"))).await;
    assert_eq!(server.json(Ask::get(&path)).await["metadata"]["deletionTimestamp"], "2026-03-01T12:00:00Z");
    assert_eq!(server.refusal(Ask::post(SERVICES, &service("web", "10.96.0.9"))).await.code, 422);
    server.json(Ask::patch(&path, &json!({"metadata": {"finalizers": null}}))).await;
    assert_eq!(names(&server).await, [""; 0]);
    server.json(Ask::post(SERVICES, &service("web", "10.96.0.9"))).await;
}

#[tokio::test]
async fn external_addresses_are_denied_where_that_is_wanted() {
    const SERVICES: &str = "/api/v1/namespaces/default/services";
    let service = |name: &str, addresses: &[&str]| {
        json!({
            "metadata": {"name": name},
            "spec": {"ports": [{"port": 80}], "externalIPs": addresses},
        })
    };
    let server = Server::start().await;
    server.json(Ask::post(SERVICES, &service("before", &["192.0.2.1", "192.0.2.2"]))).await;
    let server = server.enabling(&["DenyServiceExternalIPs"]);
    let denied =
        |name: &str| format!("services \"{name}\" is forbidden: Use of external IPs is denied by admission control.");
    let refused = server.refusal(Ask::post(SERVICES, &service("new", &["192.0.2.1"]))).await;
    assert_eq!((refused.code, refused.message), (403, denied("new")));
    server.json(Ask::post(SERVICES, &service("plain", &[]))).await;
    // Those that there are stay, and may become fewer.
    let before = format!("{SERVICES}/before");
    let change = |addresses: &[&str]| json!({"metadata": {"labels": {"a": "b"}}, "spec": {"externalIPs": addresses}});
    server.json(Ask::patch(&before, &change(&["192.0.2.2"]))).await;
    let refused = server.refusal(Ask::patch(&before, &change(&["192.0.2.2", "192.0.2.3"]))).await;
    assert_eq!((refused.code, refused.message), (403, denied("before")));
    let refused = server.refusal(Ask::patch(&format!("{SERVICES}/plain"), &change(&["192.0.2.1"]))).await;
    assert_eq!((refused.code, refused.message), (403, denied("plain")));
}
