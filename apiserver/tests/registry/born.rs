//! What every cluster is born with: it is made, and kept.

use crate::harness::{Ask, Server};

const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";

async fn names(server: &Server, collection: &str) -> Vec<String> {
    let list = server.json(Ask::get(collection)).await;
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_classes_of_the_system_are_made_and_made_again() {
    let server = Server::start().await;
    server.bear().await;
    assert_eq!(names(&server, CLASSES).await, ["system-cluster-critical", "system-node-critical"]);

    // As they are, they are what a server wants: nothing is written at the next start.
    let revision = server.revision();
    server.bear().await;
    assert_eq!(server.revision(), revision);

    let node = format!("{CLASSES}/system-node-critical");
    server.json(Ask::delete(&node)).await;
    server.bear().await;
    assert_eq!(server.json(Ask::get(&node)).await["value"], 2_000_001_000);
}
