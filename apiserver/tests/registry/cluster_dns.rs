//! The Service by which nodes learn where names are asked for.

use apiserver::resources::service::Config;
use serde_json::json;

use crate::harness::{Ask, Server};

const SERVICES: &str = "/api/v1/namespaces/kube-system/services";
const SERVICE: &str = "/api/v1/namespaces/kube-system/services/kube-dns";

fn config(range: &str) -> Config {
    Config::new(range, None, 30_000..=32_767).unwrap()
}

#[tokio::test]
async fn the_dns_has_the_tenth_address() {
    let server = Server::start().await;
    server.name(&Config::default()).await;
    let service = server.json(Ask::get(SERVICE)).await;
    let labels = json!({
        "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
    });
    assert_eq!(service["metadata"]["labels"], labels);
    let spec = json!({
        "type": "ClusterIP", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        ],
    });
    assert_eq!(service["spec"], spec);
    // Starting again writes nothing, and what somebody made of it stays.
    let revision = server.revision();
    server.name(&Config::default()).await;
    assert_eq!(server.revision(), revision);
    server.json(Ask::patch(SERVICE, &json!({"spec": {"selector": {"k8s-app": "kube-dns"}}}))).await;
    server.name(&Config::default()).await;
    assert_eq!(server.json(Ask::get(SERVICE)).await["spec"]["selector"]["k8s-app"], "kube-dns");
    // It comes back with the next start.
    server.json(Ask::delete(SERVICE)).await;
    server.name(&Config::default()).await;
    assert_eq!(server.json(Ask::get(SERVICE)).await["spec"]["selector"], json!(null));
}

#[tokio::test]
async fn what_cannot_be_had_keeps_no_server_from_starting() {
    let server = Server::start().await;
    server.name(&config("10.96.0.0/29")).await;
    assert_eq!(server.refusal(Ask::get(SERVICE)).await.code, 404, "the range has no tenth address");
    let other = json!({"metadata": {"name": "other"}, "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80}]}});
    server.json(Ask::post(SERVICES, &other)).await;
    server.name(&Config::default()).await;
    assert_eq!(server.refusal(Ask::get(SERVICE)).await.code, 404, "another Service has the address");
}
