//! How pods find the server, and what ranges Services have.

use apiserver::engine::Location;
use apiserver::resources::service::Config;
use serde_json::{Value, json};

use crate::harness::{Ask, Server};

const RANGE: &str = "/apis/networking.k8s.io/v1/servicecidrs/kubernetes";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SERVICE: &str = "/api/v1/namespaces/default/services/kubernetes";
const ADDRESS: &str = "/apis/networking.k8s.io/v1/ipaddresses/10.96.0.1";
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints/kubernetes";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";

fn location(ip: &str, port: u16) -> Location {
    Location { ip: Some(ip.parse().unwrap()), port }
}

/// The addresses and the ports of the endpoints, as both kinds state them.
async fn endpoints(server: &Server) -> [Value; 2] {
    let endpoints = server.json(Ask::get(ENDPOINTS)).await;
    let slice = server.json(Ask::get(SLICE)).await;
    assert_eq!(endpoints["metadata"]["labels"], json!({"endpointslice.kubernetes.io/skip-mirror": "true"}));
    assert_eq!(slice["metadata"]["labels"], json!({"kubernetes.io/service-name": "kubernetes"}));
    assert_eq!(endpoints["subsets"][0]["ports"], slice["ports"]);
    assert_eq!(slice["endpoints"][0]["conditions"], json!({"ready": true}));
    let [subset] = &endpoints["subsets"].as_array().unwrap()[..] else { panic!("{endpoints}") };
    let addresses = subset["addresses"].as_array().unwrap().iter().map(|address| address["ip"].clone());
    assert_eq!(addresses.collect::<Value>(), slice["endpoints"][0]["addresses"]);
    [slice["endpoints"][0]["addresses"].clone(), slice["ports"].clone()]
}

fn https(port: u16) -> Value {
    json!([{"name": "https", "port": port, "protocol": "TCP"}])
}

#[tokio::test]
async fn pods_find_the_server() {
    let (server, config) = (Server::start().await, Config::default());
    server.locate(&config, location("192.0.2.1", 6443)).await;
    let service = server.json(Ask::get(SERVICE)).await;
    assert_eq!(service["metadata"]["labels"], json!({"component": "apiserver", "provider": "kubernetes"}));
    let ports = json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]);
    let spec = json!({
        "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "ports": ports,
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
    });
    assert_eq!(service["spec"], spec);
    let address = server.json(Ask::get(ADDRESS)).await;
    assert_eq!(address["spec"]["parentRef"]["name"], "kubernetes");
    assert_eq!(endpoints(&server).await, [json!(["192.0.2.1"]), https(6443)]);

    // Starting again writes nothing.
    let revision = server.revision();
    server.locate(&config, location("192.0.2.1", 6443)).await;
    assert_eq!(server.revision(), revision);

    // Starting elsewhere changes the endpoints, whatever has become of them, and nothing else.
    let labels = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}});
    server.json(Ask::patch(SLICE, &labels)).await;
    server.json(Ask::delete(ENDPOINTS)).await;
    server.locate(&config, location("192.0.2.2", 7443)).await;
    assert_eq!(server.json(Ask::get(SERVICE)).await, service);
    assert_eq!(endpoints(&server).await, [json!(["192.0.2.2"]), https(7443)]);
    assert_eq!(server.json(Ask::get(SLICE)).await["metadata"]["annotations"], json!({"c": "d"}));
    server.locate(&config, location("2001:db8::2", 7443)).await;
    assert_eq!(endpoints(&server).await, [json!(["2001:db8::2"]), https(7443)]);
}

#[tokio::test]
async fn what_is_deleted_comes_back() {
    let (server, config) = (Server::start().await, Config::default());
    let (one, other) = (location("192.0.2.1", 6443), location("192.0.2.2", 6443));
    server.locate(&config, one).await;
    let revision = server.revision();
    for (location, alone) in [(one, true), (one, false), (other, false)] {
        server.keep(&config, location, alone).await;
    }
    assert_eq!(server.revision(), revision);

    for path in [RANGE, SERVICE, SLICE] {
        server.json(Ask::delete(path)).await;
    }
    // The endpoints went with the Service.
    assert_eq!(server.refusal(Ask::get(ENDPOINTS)).await.code, 404);
    server.keep(&config, other, false).await;
    assert_eq!(server.json(Ask::get(SERVICE)).await["spec"]["clusterIP"], "10.96.0.1");
    assert_eq!(server.json(Ask::get(RANGE)).await["status"]["conditions"][0]["status"], "True");
    assert_eq!(endpoints(&server).await, [json!(["192.0.2.2"]), https(6443)]);
    server.keep(&config, one, true).await;
    assert_eq!(endpoints(&server).await, [json!(["192.0.2.1"]), https(6443)]);
}

#[tokio::test]
async fn what_cannot_be_had_keeps_no_server_from_starting() {
    let server = Server::start().await;
    let first = json!({"metadata": {"name": "first"}, "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}});
    server.json(Ask::post(SERVICES, &first)).await;
    server.locate(&Config::default(), Location { ip: None, port: 6443 }).await;
    for path in [SERVICE, ENDPOINTS, SLICE] {
        assert_eq!(server.refusal(Ask::get(path)).await.code, 404, "{path}");
    }
    // A loopback address would be refused by whoever lets it get here.
    server.json(Ask::delete(&format!("{SERVICES}/first"))).await;
    server.locate(&Config::default(), location("127.0.0.1", 6443)).await;
    server.json(Ask::get(SERVICE)).await;
    for path in [ENDPOINTS, SLICE] {
        assert_eq!(server.refusal(Ask::get(path)).await.code, 404, "{path}");
    }
}

#[tokio::test]
async fn the_ranges_are_stated() {
    let server = Server::start().await;
    let config = |primary, secondary| Config::new(primary, secondary, 30_000..=32_767).unwrap();
    let location = Location { ip: None, port: 6443 };
    let single = config("10.96.0.0/12", None);
    server.locate(&single, location).await;
    let range = server.json(Ask::get(RANGE)).await;
    assert_eq!(range["spec"], json!({"cidrs": ["10.96.0.0/12"]}));
    let ready = |status: &str, message: &str| {
        json!([{
            "type": "Ready", "status": status, "reason": "", "message": message,
            "lastTransitionTime": "2026-03-01T12:00:00Z",
        }])
    };
    let by_default = ready("True", "Kubernetes default Service CIDR is ready");
    assert_eq!(range["status"]["conditions"], by_default);

    // What others have said stays.
    let others = ready("False", "because");
    let status = format!("{RANGE}/status");
    server.json(Ask::patch(&status, &json!({"status": {"conditions": others}}))).await;
    server.locate(&single, location).await;
    assert_eq!(server.json(Ask::get(RANGE)).await["status"]["conditions"], others);

    // A range of the other family may be added; another change is for people to make.
    let dual = config("10.96.0.0/12", Some("fd00::/112"));
    for (config, expected) in [
        (&config("10.0.0.0/16", None), json!(["10.96.0.0/12"])),
        (&config("10.0.0.0/16", Some("fd00::/112")), json!(["10.96.0.0/12"])),
        (&dual, json!(["10.96.0.0/12", "fd00::/112"])),
        (&single, json!(["10.96.0.0/12", "fd00::/112"])),
    ] {
        server.locate(config, location).await;
        assert_eq!(server.json(Ask::get(RANGE)).await["spec"]["cidrs"], expected);
    }
}
