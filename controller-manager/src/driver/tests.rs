//! The driver against a fake server: what is asked, when, and what is not.

use std::sync::atomic::{AtomicBool, Ordering};

use client::events::EventType;
use client::testing::{FakeServer, Fault};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, timeout};

use super::*;
use crate::controller::Moment;
use crate::plan::{Deletion, Effect, Fact, Plan, Propagation, Report, Target, reference};

const MOMENT: Duration = Duration::from_millis(1);
const X: &str = "/api/v1/namespaces/a/configmaps/x";

type Decide = dyn Fn(&ConfigMap, &Moment) -> Plan + Send + Sync;

/// A look at a key: when, at which version of the object, and why the last plan failed.
type Look = (Instant, String, Option<String>);

/// A controller of ConfigMaps that does what a test says, and writes down when it is asked.
struct Probe {
    decide: Box<Decide>,
    looks: Arc<Mutex<Vec<Look>>>,
}

impl Controller for Probe {
    const NAME: &'static str = "probe-controller";
    type Observed = Arc<ConfigMap>;

    fn watches(&self) -> Watches {
        Watches::on::<ConfigMap>()
    }

    fn observe(&self, cache: &Cache, key: &Key) -> Option<Arc<ConfigMap>> {
        cache.get(&key.namespace, &key.name)
    }

    fn reconcile(&self, observed: &Arc<ConfigMap>, moment: &Moment) -> Plan {
        let version = observed.metadata.resource_version.clone().unwrap_or_default();
        let failure = moment.failure.as_ref().map(|failure| failure.reason.clone());
        self.looks.lock().push((Instant::now(), version, failure));
        (self.decide)(observed, moment)
    }
}

struct Setup {
    server: FakeServer,
    looks: Arc<Mutex<Vec<Look>>>,
    running: JoinSet<()>,
}

fn environment(server: &FakeServer) -> Environment {
    Environment {
        client: server.client(),
        cache: Cache::new(),
        clock: Clock::simulated(Timestamp::from_second(1_772_366_400).unwrap()),
        instance: "test".to_owned(),
        authority: None,
    }
}

impl Setup {
    /// Runs a controller, with a ConfigMap `x` in place.
    async fn new(decide: impl Fn(&ConfigMap, &Moment) -> Plan + Send + Sync + 'static) -> Setup {
        let server = FakeServer::new();
        server.put(X, json!({"data": {}}));
        let (environment, looks) = (environment(&server), Arc::<Mutex<Vec<Look>>>::default());
        let mut manager = Manager::new(environment, Selection::default());
        manager.add(Probe { decide: Box::new(decide), looks: Arc::clone(&looks) });
        let mut running = JoinSet::new();
        running.spawn(manager.run());
        let setup = Setup { server, looks, running };
        pass(MOMENT / 2).await;
        setup
    }

    fn looks(&self) -> Vec<Look> {
        std::mem::take(&mut self.looks.lock())
    }

    /// What has been asked but for reads of resources, in order.
    fn changes(&self) -> Vec<(String, Value)> {
        let asked = self.server.take_asked().into_iter();
        asked.filter(|asked| asked.method != http::Method::GET).map(|asked| (asked.to_string(), asked.body)).collect()
    }

    /// Every Event, as type, reason and message.
    fn events(&self) -> Vec<String> {
        let events = self.server.list("/api/v1/events");
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let words = |event| ["type", "reason", "message"].map(|field| text(event, field)).join(" ");
        events.iter().map(words).collect()
    }
}

async fn pass(time: Duration) {
    assert!(timeout(time, std::future::pending::<()>()).await.is_err());
}

/// Writes one more key, up to so many.
fn count_to(most: usize) -> impl Fn(&ConfigMap, &Moment) -> Plan + Send + Sync {
    move |object, _| {
        let (mut plan, mut new) = (Plan::new(), object.clone());
        let data = new.data.get_or_insert_default();
        if data.len() < most {
            data.insert(format!("k{}", data.len()), String::new());
        }
        plan.update(object, &new);
        plan
    }
}

fn waits(looks: &[Look]) -> Vec<u128> {
    looks.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0).as_millis()).collect()
}

fn target(name: &str, uid: &str) -> Target {
    let (namespace, name, uid) = ("a".to_owned(), name.to_owned(), uid.to_owned());
    Target { resource: Resource::of::<ConfigMap>(), namespace, name, uid }
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_until_the_cache_shows_what_was_written() {
    let setup = Setup::new(count_to(2)).await;
    let versions = |looks: Vec<Look>| looks.into_iter().map(|look| look.1).collect::<Vec<_>>();
    assert_eq!(versions(setup.looks()), ["1", "2", "3"]);
    setup.server.put(X, json!({"data": {}}));
    setup.server.hold_watches(true);
    pass(MOMENT).await;
    assert_eq!(versions(setup.looks()), ["4"]);
    pass(Duration::from_secs(20)).await;
    assert!(setup.looks().is_empty(), "the cache is behind");
    setup.server.hold_watches(false);
    pass(MOMENT).await;
    assert_eq!(versions(setup.looks()), ["5", "6"]);
}

#[tokio::test(start_paused = true)]
async fn failures_are_handed_on_and_staleness_is_not() {
    let check = async |code: u16, reason: &'static str, expected: Option<&str>| {
        let setup = Setup::new(count_to(1)).await;
        setup.looks();
        setup.server.fail("PATCH", 4, Fault::Refused(code, reason));
        setup.server.put(X, json!({"data": {}}));
        pass(Duration::from_secs(1)).await;
        let looks = setup.looks();
        assert_eq!(waits(&looks), [5, 10, 20, 40, 0]);
        let failures: Vec<Option<&str>> = looks.iter().map(|look| look.2.as_deref()).collect();
        assert_eq!(failures, [None, expected, expected, expected, expected, None]);
    };
    check(500, "InternalError", Some("InternalError")).await;
    check(403, "Forbidden", Some("Forbidden")).await;
    check(409, "Conflict", None).await;
    check(404, "NotFound", None).await;
}

#[tokio::test(start_paused = true)]
async fn batches_double_and_stop_at_the_first_refusal() {
    let setup = Setup::new(|object, moment| {
        let mut plan = Plan::new();
        let goes = object.data.as_ref().is_some_and(|data| data.contains_key("go"));
        if goes && object.metadata.name.as_deref() == Some("x") && moment.failure.is_none() {
            for number in 0..20 {
                plan.act(target(&format!("o{number:02}"), ""), Effect::Delete(Deletion::default()));
            }
            plan.event(&ConfigMap::default(), EventType::Normal, "Late", "never said");
        }
        plan
    });
    let setup = setup.await;
    setup.server.take_asked();
    setup.server.take(MOMENT);
    setup.server.fail("DELETE /api/v1/namespaces/a/configmaps/o05", 1, Fault::Refused(403, "Forbidden"));
    setup.server.put(X, json!({"data": {"go": ""}}));
    pass(20 * MOMENT).await;
    let asked = setup.server.take_asked();
    let deletions: Vec<Instant> =
        asked.iter().filter(|asked| asked.method == http::Method::DELETE).map(|asked| asked.at).collect();
    let batches: Vec<usize> = deletions.chunk_by(|one, other| one == other).map(<[_]>::len).collect();
    // The empty plan after the failure makes the next one begin anew.
    assert!(batches.starts_with(&[1, 2, 4, 1]), "{batches:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_have_their_preconditions() {
    let setup = Setup::new(|object, moment| {
        let (mut plan, is_x) = (Plan::new(), object.metadata.name.as_deref() == Some("x"));
        if object.data.as_ref().is_some_and(|data| data.contains_key("done")) || !is_x || moment.failure.is_some() {
            return plan;
        }
        let deletion = |propagation| Deletion { propagation: Some(propagation), ..Deletion::default() };
        plan.act(target("f", "u1"), Effect::Delete(deletion(Propagation::Foreground)));
        let whole = Deletion { grace_seconds: Some(0), version: "7".to_owned(), ..deletion(Propagation::Orphan) };
        plan.act(target("o", ""), Effect::Delete(whole));
        let body = json!({"metadata": {"generateName": "g-"}});
        plan.act(target("", ""), Effect::Create(body));
        let new = ConfigMap { data: Some([("done".to_owned(), String::new())].into()), ..object.clone() };
        plan.update(object, &new);
        plan
    });
    let setup = setup.await;
    let options = |rest: Value| {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        options.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        options
    };
    let path = |name: &str| format!("/api/v1/namespaces/a/configmaps{name}");
    let manager = "?fieldManager=kube-controller-manager";
    let uid = setup.server.get(X).unwrap()["metadata"]["uid"].clone();
    let foreground = options(json!({"propagationPolicy": "Foreground", "preconditions": {"uid": "u1"}}));
    let preconditions = json!({"resourceVersion": "7"});
    let orphan = json!({"propagationPolicy": "Orphan", "gracePeriodSeconds": 0, "preconditions": preconditions});
    let patch = json!({"data": {"done": ""}, "metadata": {"uid": uid, "resourceVersion": "1"}});
    let changes = setup.changes();
    let mine: Vec<_> = changes.into_iter().take(4).collect();
    assert_eq!(mine[0], (format!("DELETE {}", path("/f")), foreground));
    assert_eq!(mine[1], (format!("DELETE {}", path("/o")), options(orphan)));
    assert_eq!(mine[2], (format!("POST {}{manager}", path("")), json!({"metadata": {"generateName": "g-"}})));
    assert_eq!(mine[3], (format!("PATCH {}{manager}", path("/x")), patch));
}

#[tokio::test(start_paused = true)]
async fn reports_name_what_was_done_and_why_it_was_not() {
    let check = async |fail: bool, expected: &str| {
        let setup = Setup::new(|object, moment| {
            let mut plan = Plan::new();
            if object.metadata.name.as_deref() == Some("x") && moment.failure.is_none() && object.data.is_some() {
                plan.act(target("made", ""), Effect::Create(json!({"metadata": {"name": "made"}}))).reporting(Report {
                    regarding: reference(object),
                    done: Some(("Made", "made {name}".to_owned())),
                    failed: Some(("NotMade", "{name}: {error}".to_owned())),
                });
                plan.update(object, &ConfigMap { data: None, ..object.clone() });
            }
            plan
        });
        let setup = setup.await;
        if fail {
            setup.server.remove("/api/v1/namespaces/a/configmaps/made");
            setup.server.fail("POST /api/v1/namespaces/a/configmaps", 1, Fault::Refused(403, "Forbidden"));
            setup.server.put(X, json!({"data": {"again": ""}}));
            pass(MOMENT).await;
        }
        assert_eq!(setup.events().last().map(String::as_str), Some(expected));
    };
    check(false, "Normal Made made made").await;
    check(true, "Warning NotMade made: refused: Forbidden").await;
}

#[tokio::test(start_paused = true)]
async fn facts_are_asked_of_the_server() {
    let check = async |fact: Fact, name: &'static str, uid: &'static str, expected: bool| {
        let planned = AtomicBool::new(false);
        let setup = Setup::new(move |_, _| {
            let mut plan = Plan::new();
            if planned.swap(true, Ordering::Relaxed) {
                return plan;
            }
            plan.act(target(name, uid), Effect::Confirm(fact));
            plan.act(target("other", ""), Effect::Delete(Deletion::default()));
            plan
        });
        assert_eq!(!setup.await.changes().is_empty(), expected, "{fact:?} {name} {uid}");
    };
    check(Fact::Alive, "x", "uid-1", true).await;
    check(Fact::Alive, "x", "", true).await;
    check(Fact::Alive, "x", "uid-2", false).await;
    check(Fact::Alive, "y", "", false).await;
    check(Fact::Gone, "x", "uid-1", false).await;
    check(Fact::Gone, "x", "uid-2", true).await;
    check(Fact::Gone, "y", "", true).await;
    check(Fact::Empty, "", "", false).await;
}

/// Pods come by pages; the one that matters is on the second.
#[tokio::test(start_paused = true)]
async fn who_uses_a_claim_is_asked_of_the_server() {
    let check = async |pod: Value, expected: bool| {
        let planned = AtomicBool::new(true);
        let setup = Setup::new(move |object, _| {
            let mut plan = Plan::new();
            if object.data.as_ref().is_some_and(|data| data.contains_key("go"))
                && planned.swap(false, Ordering::Relaxed)
            {
                let claim = Target { resource: Resource::of::<PersistentVolumeClaim>(), ..target("data", "uid-1") };
                plan.act(claim, Effect::ConfirmUnused { controller: String::new() });
                plan.act(target("other", ""), Effect::Delete(Deletion::default()));
            }
            plan
        });
        let setup = setup.await;
        for i in 0..500 {
            setup.server.put(&format!("/api/v1/namespaces/a/pods/p{i:03}"), json!({"spec": {"containers": []}}));
        }
        setup.server.put("/api/v1/namespaces/a/pods/q", pod.clone());
        setup.server.put(X, json!({"data": {"go": ""}}));
        pass(MOMENT).await;
        assert_eq!(!setup.changes().is_empty(), expected, "{pod}");
    };
    let pod = |node: Value, volume: Value| json!({"metadata": {"uid": "uid-q"}, "spec": {"containers": [], "nodeName": node, "volumes": [volume]}});
    let named = || json!({"name": "v", "persistentVolumeClaim": {"claimName": "data"}});
    check(pod(json!("n1"), named()), false).await;
    check(pod(Value::Null, named()), true).await;
    check(pod(json!("n1"), json!({"name": "v", "persistentVolumeClaim": {"claimName": "other"}})), true).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_keys_failure() {
    let setup = Setup::new(|object, _| {
        assert!(object.metadata.name.as_deref() != Some("bad"), "as the test wants it");
        Plan::new()
    });
    let setup = setup.await;
    setup.looks();
    setup.server.put("/api/v1/namespaces/a/configmaps/bad", json!({}));
    pass(Duration::from_millis(36)).await;
    assert_eq!(waits(&setup.looks()), [5, 10, 20]);
    setup.server.put(X, json!({}));
    pass(MOMENT).await;
    assert_eq!(setup.looks().len(), 1, "others go on");
}

#[tokio::test(start_paused = true)]
async fn a_plan_may_want_to_be_looked_at_again() {
    let setup = Setup::new(|_, _| {
        let mut plan = Plan::new();
        plan.look_again(Duration::from_secs(7));
        plan
    });
    let setup = setup.await;
    pass(Duration::from_secs(15)).await;
    assert_eq!(waits(&setup.looks()), [7000, 7000]);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_on_when_a_manager_is_dropped() {
    let mut setup = Setup::new(count_to(1)).await;
    setup.server.fail("PATCH", 1, Fault::Silence);
    setup.server.put(X, json!({"data": {}}));
    pass(MOMENT).await;
    assert_eq!(setup.server.under_way(), (1, 1));
    setup.running.shutdown().await;
    pass(MOMENT).await;
    assert_eq!(setup.server.under_way(), (0, 0));
}

/// Watches everything, and has nothing to do.
struct Everything;

impl Controller for Everything {
    const NAME: &'static str = "everything-controller";
    type Observed = ();

    fn watches(&self) -> Watches {
        Watches::on_everything(|_, _| panic!("as the test wants it"))
    }

    fn observe(&self, _: &Cache, _: &Key) -> Option<()> {
        None
    }

    fn reconcile(&self, (): &(), _: &Moment) -> Plan {
        Plan::new()
    }
}

#[tokio::test(start_paused = true)]
async fn resources_come_and_go_as_they_are_served() {
    let order = |version: &str| Resource {
        group: "shop.example".to_owned(),
        version: version.to_owned(),
        plural: "orders".to_owned(),
        kind: "Order".to_owned(),
        namespaced: true,
    };
    let server = FakeServer::new();
    for version in ["v1", "v2"] {
        server.put(&format!("/apis/shop.example/{version}/namespaces/a/orders/x"), json!({"metadata": {"uid": "u"}}));
    }
    let environment = environment(&server);
    let cache = environment.cache.clone();
    let mut manager = Manager::new(environment, Selection::default());
    manager.add(Everything);
    let mut running = JoinSet::new();
    running.spawn(manager.run());
    let found = || cache.with_uid("u").map(|(resource, _)| resource);
    let serve = async |served: Vec<Resource>| {
        server.serve(served.into_iter().map(|resource| (resource, vec!["list", "watch"])).collect());
        pass(Duration::from_secs(31)).await;
        server.under_way().1
    };
    assert_eq!((serve(Vec::new()).await, found()), (0, None));
    assert_eq!((serve(vec![order("v1")]).await, found()), (1, Some(order("v1"))));
    server.lose_sight_of(&["shop.example"]);
    assert_eq!((serve(vec![order("v1")]).await, found()), (1, Some(order("v1"))));
    server.lose_sight_of(&[]);
    assert_eq!((serve(vec![order("v2")]).await, found()), (1, Some(order("v2"))));
    assert_eq!((serve(Vec::new()).await, found()), (0, None));
    assert!(!cache.has_synced(&order("v2")));
}

#[tokio::test(start_paused = true)]
async fn what_is_ended_is_not_ended_again_before_that_is_seen() {
    let check = async |effect: Effect, meta: Value| {
        let setup = Setup::new(move |object, _| {
            let mut plan = Plan::new();
            if object.data.as_ref().is_some_and(|data| data.contains_key("go")) {
                plan.act(target("x", "uid-1"), effect.clone());
            }
            plan
        });
        let setup = setup.await;
        setup.server.put(X, json!({"metadata": meta, "data": {"go": ""}}));
        setup.server.bookmark();
        setup.server.hold_watches(true);
        pass(Duration::from_secs(10)).await;
        assert_eq!(setup.changes().len(), 1);
    };
    let forced = Deletion { grace_seconds: Some(0), ..Deletion::default() };
    check(Effect::Delete(forced), json!({"deletionTimestamp": "2026-03-01T12:00:00Z"})).await;
    check(Effect::Delete(Deletion::default()), json!({"finalizers": ["a/b"]})).await;
    check(Effect::Post { subresource: "eviction", body: json!({}) }, json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn looking_again_does_not_end_backing_off() {
    let setup = Setup::new(|object, moment| {
        let mut plan = count_to(1)(object, moment);
        plan.look_again(MOMENT);
        plan
    });
    let setup = setup.await;
    setup.server.fail("PATCH", 12, Fault::Broken);
    setup.looks();
    setup.server.put(X, json!({"data": {}}));
    pass(Duration::from_secs(8)).await;
    let waits = waits(&setup.looks());
    // The looks that were wanted before the first failure come among the first.
    let backing_off = [40, 80, 160, 320, 640, 1000, 1000, 1000];
    assert!(waits.windows(backing_off.len()).any(|window| window == backing_off), "{:?}", &waits[..12]);
}
