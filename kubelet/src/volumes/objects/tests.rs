//! Objects seen through a server that changes, and goes away.

use client::testing::{FakeServer, Fault};
use serde_json::{Value, json};

use super::*;

/// A server, what is kept of it, and which pods were told of.
struct Setup {
    server: FakeServer,
    objects: Arc<Objects>,
    told: Arc<Mutex<Vec<String>>>,
}

const MAP: &str = "/api/v1/namespaces/a/configmaps/m";
const SECRET: &str = "/api/v1/namespaces/a/secrets/s";

impl Setup {
    fn new() -> Setup {
        let server = FakeServer::new();
        let objects = Objects::new(server.client());
        let told = Arc::<Mutex<Vec<String>>>::default();
        let to = Arc::clone(&told);
        objects.subscribe(Arc::new(move |uid| to.lock().push(uid.to_owned())));
        Setup { server, objects, told }
    }

    async fn data(&self) -> String {
        match self.objects.config_map("a", "m").await {
            Ok(map) => map.data.as_ref().map_or_else(|| "empty".to_owned(), |data| data["k"].clone()),
            Err(error) => error.to_string(),
        }
    }

    fn told(&self) -> Vec<String> {
        let mut told = std::mem::take(&mut *self.told.lock());
        told.sort();
        told
    }
}

fn pod(uid: &str, maps: &[&str], secrets: &[&str]) -> Pod {
    let maps = maps.iter().map(|name| json!({"configMapRef": {"name": name}}));
    let secrets = secrets.iter().map(|name| json!({"secretRef": {"name": name}}));
    let sources: Vec<Value> = maps.chain(secrets).collect();
    let spec = json!({"containers": [{"name": "c", "envFrom": sources}]});
    serde_json::from_value(json!({"metadata": {"name": uid, "namespace": "a", "uid": uid}, "spec": spec})).unwrap()
}

/// Lets everybody go on until they wait for something, on a clock that stands still.
async fn settle() {
    pass(Duration::from_millis(1)).await;
}

async fn pass(time: Duration) {
    assert!(timeout(time, std::future::pending::<()>()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_object_is_watched_once_while_a_pod_needs_it() {
    let setup = Setup::new();
    setup.server.put(MAP, json!({"data": {"k": "1"}}));
    setup.server.put("/api/v1/namespaces/a/configmaps/other", json!({"data": {"k": "no"}}));
    setup.objects.register(&pod("p1", &["m"], &[]));
    setup.objects.register(&pod("p2", &["m"], &[]));
    setup.objects.register(&pod("p2", &["m"], &[]));
    assert_eq!(setup.data().await, "1");
    settle().await;
    let asked = setup.server.take_asked();
    assert_eq!(asked.len(), 2, "a list and a watch: {asked:?}");
    assert!(asked.iter().all(|asked| asked.path == "/api/v1/namespaces/a/configmaps"));
    assert!(asked.iter().all(|asked| asked.parameter("fieldSelector") == "metadata.name=m"));
    assert_eq!(setup.told(), ["p1", "p2"]);
    setup.server.put(MAP, json!({"data": {"k": "2"}}));
    setup.server.put("/api/v1/namespaces/a/configmaps/other", json!({"data": {"k": "no more"}}));
    settle().await;
    assert_eq!((setup.data().await, setup.told()), ("2".to_owned(), vec!["p1".to_owned(), "p2".to_owned()]));
    setup.objects.unregister("p1");
    settle().await;
    assert_eq!(setup.server.under_way().1, 1);
    setup.objects.register(&pod("p2", &[], &[]));
    settle().await;
    assert_eq!(setup.server.under_way().1, 0, "nobody needs it any longer");
    assert_eq!(setup.server.take_asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_said_so_until_it_is() {
    let setup = Setup::new();
    setup.objects.register(&pod("p", &["m"], &["s"]));
    assert_eq!(setup.data().await, "configmap \"m\" not found");
    let secret = setup.objects.secret("a", "s").await.unwrap_err();
    assert_eq!((secret.to_string().as_str(), secret.is_absent()), ("secret \"s\" not found", true));
    settle().await;
    setup.told();
    setup.server.put(MAP, json!({"data": {"k": "1"}}));
    settle().await;
    assert_eq!((setup.data().await, setup.told()), ("1".to_owned(), vec!["p".to_owned()]));
    setup.server.remove(MAP);
    settle().await;
    assert_eq!(setup.data().await, "configmap \"m\" not found");
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_stays_while_the_server_is_away() {
    let setup = Setup::new();
    setup.server.put(MAP, json!({"data": {"k": "1"}}));
    setup.objects.register(&pod("p", &["m"], &["s"]));
    assert_eq!(setup.data().await, "1");
    setup.server.fail("/", usize::MAX, Fault::Broken);
    setup.server.break_watches(false);
    pass(Duration::from_secs(3600)).await;
    assert_eq!(setup.data().await, "1");
    let never_seen = setup.objects.config_map("a", "unknown").await.unwrap_err();
    assert!(!never_seen.is_absent() && never_seen.to_string().starts_with("failed to sync configmap cache: "));
    setup.server.recover();
    setup.server.put(MAP, json!({"data": {"k": "2"}}));
    pass(Duration::from_secs(60)).await;
    assert_eq!(setup.data().await, "2");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_change_is_not_watched() {
    let setup = Setup::new();
    setup.server.put(SECRET, json!({"immutable": true, "data": {"k": "MQ=="}}));
    setup.objects.register(&pod("p", &[], &["s"]));
    assert!(setup.objects.secret("a", "s").await.is_ok());
    settle().await;
    assert_eq!(setup.server.under_way(), (0, 0));
    setup.server.take_asked();
    assert!(setup.objects.secret("a", "s").await.is_ok());
    assert_eq!(setup.server.take_asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_sees_nothing_is_not_waited_for() {
    let setup = Setup::new();
    setup.server.put(MAP, json!({"data": {"k": "1"}}));
    setup.server.fail("?fieldSelector", usize::MAX, Fault::Silence);
    setup.objects.register(&pod("p", &["m"], &[]));
    assert_eq!(setup.data().await, "1");
    setup.server.take_asked();
    assert_eq!(setup.data().await, "1", "and it is remembered");
    assert_eq!(setup.server.take_asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn environments_get_what_there_is() {
    let setup = Setup::new();
    setup.server.put(MAP, json!({"data": {"k": "1"}}));
    setup.server.put(SECRET, json!({"data": {"k": "MQ=="}}));
    let pod = pod("p", &["m", "none"], &["s", "none"]);
    setup.objects.register(&pod);
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let fetched = setup.objects.fetch(&pod, container).await.unwrap();
    assert!(fetched.config_maps.keys().eq(["m"]) && fetched.secrets.keys().eq(["s"]));
    setup.objects.unregister("p");
    setup.server.fail("/", usize::MAX, Fault::Broken);
    assert!(setup.objects.fetch(&pod, container).await.is_err(), "not known is not absent");
}
