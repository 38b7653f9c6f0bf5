//! `kube`, the client of Rust programs.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Error, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tests::server::{Backing, Server};

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a valid object")
}

fn config_map(name: &str) -> ConfigMap {
    object(json!({"metadata": {"name": name, "labels": {"a": "b"}}, "data": {"k": name}}))
}

/// The code and the reason of a refusal.
fn refusal<T>(answer: Result<T, Error>) -> (u16, String) {
    match answer {
        Err(Error::Api(status)) => (status.code, status.reason.clone()),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it succeeded"),
    }
}

async fn client(server: &Server) -> Client {
    let kubeconfig = Kubeconfig::read_from(&server.kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a complete kubeconfig")).expect("a client")
}

async fn creates_patches_and_deletes(client: &Client) {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let web: Deployment = object(json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
            },
        },
    }));
    let created = deployments.create(&PostParams::default(), &web).await.expect("created");
    assert_eq!(deployments.get("web").await.expect("it is there"), created);
    assert_eq!(refusal(deployments.create(&PostParams::default(), &web).await), (409, "AlreadyExists".to_owned()));

    let strategic = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "nginx:2"}]}}}});
    let patched = deployments.patch("web", &PatchParams::default(), &Patch::Strategic(strategic)).await;
    let pod = patched.expect("patched").spec.template.spec.expect("a pod");
    assert_eq!(pod.containers[0].image.as_deref(), Some("nginx:2"));
    let merge = json!({"metadata": {"labels": {"x": "y"}}});
    let merged = deployments.patch("web", &PatchParams::default(), &Patch::Merge(merge)).await.expect("patched");
    assert_eq!(merged.labels()["x"], "y");
    let scale = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let scaled = deployments.patch_scale("web", &PatchParams::default(), &scale).await.expect("scaled");
    assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(5));
    assert_eq!(refusal(deployments.replace("web", &PostParams::default(), &created).await).0, 409);
    let metadata = deployments.get_metadata("web").await.expect("it is there");
    assert_eq!(metadata.types.expect("a type").kind, "PartialObjectMetadata");

    let deleted = deployments.delete("web", &DeleteParams::background()).await.expect("deleted");
    assert!(deleted.is_right(), "a status");
    assert_eq!(refusal(deployments.get("web").await), (404, "NotFound".to_owned()));
    let invalid: Pod = object(json!({"metadata": {"name": "p"}, "spec": {"containers": []}}));
    let accounts: Api<ServiceAccount> = Api::default_namespaced(client.clone());
    let account = object(json!({"metadata": {"name": "default"}}));
    accounts.create(&PostParams::default(), &account).await.expect("created");
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    assert_eq!(refusal(pods.create(&PostParams::default(), &invalid).await), (422, "Invalid".to_owned()));
}

async fn pages(maps: &Api<ConfigMap>) {
    let names: Vec<String> = (0..7).map(|number| format!("page-{number}")).collect();
    for name in &names {
        maps.create(&PostParams::default(), &config_map(name)).await.expect("created");
    }
    let mut params = ListParams::default().labels("a=b").limit(3);
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = maps.list(&params).await.expect("a page");
        found.extend(page.items.iter().map(ResourceExt::name_any));
        pages += 1;
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!((found, pages), (names, 3));
}

async fn watches(maps: &Api<ConfigMap>) {
    let begin = maps.list(&ListParams::default()).await.expect("a list").metadata.resource_version.expect("a version");
    let events = maps.watch(&WatchParams::default().timeout(60), &begin).await.expect("a watch");
    let change = async {
        let patch = Patch::Merge(json!({"data": {"k": "changed"}}));
        maps.patch("page-0", &PatchParams::default(), &patch).await.expect("patched");
        maps.delete("page-1", &DeleteParams::default()).await.expect("deleted");
        maps.create(&PostParams::default(), &config_map("last")).await.expect("created");
    };
    let seen = events
        .try_filter_map(|event| async move {
            Ok(match event {
                WatchEvent::Added(map) => Some(format!("added {}", map.name_any())),
                WatchEvent::Modified(map) => Some(format!("modified {}", map.name_any())),
                WatchEvent::Deleted(map) => Some(format!("deleted {}", map.name_any())),
                WatchEvent::Bookmark(_) => None,
                WatchEvent::Error(error) => panic!("{error:?}"),
            })
        })
        .take(3)
        .try_collect::<Vec<_>>();
    let ((), seen) = tokio::join!(change, tokio::time::timeout(Duration::from_secs(60), seen));
    let seen = seen.expect("within a minute").expect("events");
    assert_eq!(seen, ["modified page-0", "deleted page-1", "added last"]);
    let selected = ListParams::default().labels("a=b");
    maps.delete_collection(&DeleteParams::default(), &selected).await.expect("deleted");
    assert!(maps.list(&selected).await.expect("a list").items.is_empty());
}

fn run(backing: Backing) {
    let server = Server::start(backing);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = client(&server).await;
        creates_patches_and_deletes(&client).await;
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        pages(&maps).await;
        watches(&maps).await;
    });
}

#[test]
fn works_over_embedded() {
    run(Backing::Embedded);
}

#[test]
fn works_over_etcd() {
    run(Backing::Etcd);
}
