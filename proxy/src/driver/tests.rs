//! Drivers against a kernel that refuses, breaks off and is meddled with, on a clock that stands still while they work.

mod storm;
mod world;

use http_body_util::BodyExt;
use serde_json::json;
use tokio::time::sleep;

use super::*;
use world::{MOMENT, World, names};

const V4: &str = "node n z";

#[tokio::test(start_paused = true)]
async fn nothing_is_told_before_everything_is_listed() {
    let mut world = World::new();
    // What an earlier proxy left.
    world.put_service("old");
    world.put_node(json!({}));
    let left = world.expected();
    world.fate.lock().tables = left.clone();
    world.cache.forget(&Resource::of::<Service>());
    world.cache.forget(&Resource::of::<Node>());
    world.start();
    let empty = |resource: &Resource| world.cache.put_all(resource, Vec::new(), 1);
    world.put_service("web");
    world.put_slice("web-1", "web", &["1.1.1.1"], None);
    empty(&Resource::of::<Node>());
    world.pass(Duration::from_secs(60)).await;
    assert!(world.told().is_empty());
    world.list_all();
    world.pass(Duration::from_secs(60)).await;
    assert!(world.told().is_empty(), "it is not known what node this is");
    assert_eq!(world.tables(), left);
    world.put_node(json!({}));
    world.pass(MOMENT).await;
    assert_eq!(world.told(), [format!("apply Ip {V4} s/web"), format!("apply Ip6 {V4} s/web")]);
    assert_eq!(world.tables(), world.expected());
}

/// No two looks at a clock that goes show the same time.
#[tokio::test]
async fn on_a_clock_that_goes_it_is_told_too() {
    let mut world = World::new();
    world.put_node(json!({}));
    world.list_all();
    world.start();
    for name in ["web", "more"] {
        world.put_service(name);
        while world.tables() != world.expected() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_at_once_and_many_together() {
    let world = World::at_work().await;
    world.put_service("web");
    world.pass(MOMENT).await;
    assert_eq!(world.told().len(), 2, "after a quiet time it is told at once");
    // A flood: a change each millisecond, for a second.
    let begin = Instant::now();
    for number in 0..1000 {
        world.put_slice("web-1", "web", &[&format!("1.1.{}.{}", number / 250, number % 250)], None);
        sleep(MOMENT).await;
    }
    let batches = world.told().iter().filter(|told| told.starts_with("apply Ip ")).count();
    let gaps = usize::try_from(begin.elapsed().as_millis() / 10).unwrap();
    assert!((gaps / 2..=gaps + 1).contains(&batches), "{batches} batches in {gaps} gaps");
    world.pass(Duration::from_millis(20)).await;
    assert_eq!(world.tables(), world.expected());
}

#[tokio::test(start_paused = true)]
async fn connections_are_forgotten_after_the_rules() {
    let world = World::at_work().await;
    world.put_service("web");
    world.put_slice("web-1", "web", &["1.1.1.1", "1.1.1.2"], None);
    world.pass(Duration::from_secs(1)).await;
    assert!(!world.told().contains(&"forget".to_owned()));
    world.put_slice("web-1", "web", &["1.1.1.2"], None);
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.told(), [format!("apply Ip {V4} s/web"), "forget".to_owned()]);
    world.remove_service("web");
    world.pass(Duration::from_secs(1)).await;
    let expected = [format!("apply Ip {V4}"), "forget".to_owned(), format!("apply Ip6 {V4}")];
    assert_eq!(world.told(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_the_kernel_refuses_is_kept_and_said_once() {
    let world = World::at_work().await;
    world.put_service("web");
    world.put_slice("web-1", "web", &["1.1.1.1"], None);
    world.pass(Duration::from_secs(1)).await;
    world.told();
    world.said();
    world.fate.lock().refuses.insert(Family::Ip, "no room".to_owned());
    world.put_slice("web-1", "web", &["1.1.1.2"], None);
    world.pass(Duration::from_secs(60)).await;
    let refused = world.told();
    assert!(refused.iter().all(|told| told == "refuse Ip"), "no connection is forgotten before: {refused:?}");
    // 0.1 s, 0.2 s and so on make nine or ten in a minute.
    assert!((8..=11).contains(&refused.len()), "{}", refused.len());
    assert_eq!(world.said(), ["FailedToSyncProxyRules The rules of Services are not as they should be: no room"]);
    assert!(!world.health.is_healthy());
    // The other family is not kept from what it is to have.
    world.put_service("more");
    world.pass(MOMENT).await;
    assert_eq!(world.told(), [format!("apply Ip6 {V4} s/more s/web")]);
    world.fate.lock().refuses.insert(Family::Ip, "no right".to_owned());
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.said(), ["FailedToSyncProxyRules The rules of Services are not as they should be: no right"]);
    world.told();
    world.fate.lock().refuses.clear();
    world.pass(Duration::from_secs(31)).await;
    assert_eq!(world.told(), [format!("apply Ip {V4} s/more s/web"), "forget".to_owned()]);
    assert!(world.health.is_healthy());
    assert_eq!(world.tables(), world.expected());
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_not_forgotten_keep_no_rules_waiting() {
    let world = World::at_work().await;
    world.put_service("web");
    world.put_slice("web-1", "web", &["1.1.1.1"], None);
    world.pass(Duration::from_secs(1)).await;
    world.told();
    world.fate.lock().forgets_nothing = Some("no such module".to_owned());
    world.put_slice("web-1", "web", &["1.1.1.2"], None);
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.told().len(), 1);
    let said = world.said();
    assert_eq!(
        said.last().unwrap(),
        "FailedToSyncProxyRules Connections to Services are not forgotten: no such module"
    );
    world.put_slice("web-1", "web", &["1.1.1.2", "1.1.1.3"], None);
    world.pass(MOMENT).await;
    assert_eq!(world.told(), [format!("apply Ip {V4} s/web")]);
    assert!(world.said().is_empty());
    world.fate.lock().forgets_nothing = None;
    world.pass(Duration::from_secs(31)).await;
    assert_eq!(world.told(), ["forget"]);
}

#[tokio::test(start_paused = true)]
async fn what_breaks_off_is_looked_at_anew() {
    let world = World::at_work().await;
    world.fate.lock().breaks = true;
    world.put_service("web");
    world.pass(Duration::from_secs(1)).await;
    let expected = ["look anew".to_owned(), format!("apply Ip {V4} s/web"), format!("apply Ip6 {V4} s/web")];
    assert_eq!(world.told(), expected);
    assert_eq!(world.tables(), world.expected());
}

#[tokio::test(start_paused = true)]
async fn what_others_change_is_repaired() {
    let mut world = World::new();
    world.put_node(json!({}));
    world.put_service("web");
    world.list_all();
    let disturbed = world.start();
    world.pass(Duration::from_secs(1)).await;
    world.told();
    for time in 0..3 {
        world.fate.lock().tables.clear();
        disturbed.tell();
        disturbed.tell();
        world.pass(if time == 0 { MOMENT } else { Duration::from_secs(1) }).await;
        assert_eq!(world.tables(), world.expected(), "time {time}");
    }
    let repairs = world.told().iter().filter(|told| *told == "look anew").count();
    assert!((3..=4).contains(&repairs), "{repairs}");
    // Somebody who changes them all the time has us do it no oftener than once a second.
    for _ in 0..300 {
        disturbed.tell();
        sleep(Duration::from_millis(10)).await;
    }
    let repairs = world.told().iter().filter(|told| *told == "look anew").count();
    assert!((2..=4).contains(&repairs), "{repairs}");
    world.pass(Duration::from_secs(2)).await;
    world.told();
    // Of what nobody has told.
    world.fate.lock().tables.clear();
    world.pass(Timing::default().check).await;
    assert_eq!(world.told().first().unwrap(), "look anew");
    assert_eq!(world.tables(), world.expected());
}

#[tokio::test(start_paused = true)]
async fn another_node_is_another_table() {
    let mut world = World::new();
    world.node_ports = "0.0.0.0/0".parse().unwrap();
    world.fate.lock().addresses = vec!["192.0.2.1".parse().unwrap()];
    world.put_node(json!({}));
    world.put_service("web");
    world.list_all();
    world.start();
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.told(), [format!("apply Ip {V4} s/web"), format!("apply Ip6 {V4} s/web")]);
    world.put_node(json!({"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "y"}}}));
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.told(), ["apply Ip node n y s/web", "apply Ip6 node n y s/web"]);
    world.put_node(json!({"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "y"}}, "spec": {}}));
    world.pass(Duration::from_secs(1)).await;
    assert!(world.told().is_empty(), "it is the same to the rules");
    // The machine gets an address.
    world.fate.lock().addresses.push("198.51.100.1".parse().unwrap());
    world.pass(Duration::from_secs(31)).await;
    assert_eq!(world.told(), ["apply Ip node n y s/web"]);
    assert_eq!(world.tables(), world.expected());
    // Without a Node it is as it was last.
    let meta = serde_json::from_value(json!({"name": "n"})).unwrap();
    world.cache.remove(&Resource::of::<Node>(), &meta);
    world.put_service("more");
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.told(), ["apply Ip node n y s/more s/web", "apply Ip6 node n y s/more s/web"]);
}

#[tokio::test(start_paused = true)]
async fn services_that_are_others_are_left_to_them() {
    let world = World::at_work().await;
    let address = json!({"clusterIP": "10.96.0.5"});
    world.put_service_of("theirs", json!({"service.kubernetes.io/service-proxy-name": "other"}), address.clone());
    world.put_service_of("headless", json!({}), json!({"clusterIP": "None"}));
    world.put_service_of("new", json!({}), json!({}));
    world.put_service_of("name", json!({}), json!({"type": "ExternalName", "externalName": "a.b"}));
    world.put_service("ours");
    world.pass(Duration::from_secs(1)).await;
    let table = world.fate.lock().tables[&Family::Ip].clone();
    assert_eq!(names(&table), [V4, "s/ours"]);
    // One that was ours and is no longer.
    world.put_service_of("ours", json!({"service.kubernetes.io/service-proxy-name": ""}), address);
    world.pass(Duration::from_secs(1)).await;
    let table = world.fate.lock().tables[&Family::Ip].clone();
    assert_eq!(names(&table), [V4]);
}

#[tokio::test(start_paused = true)]
async fn rules_stay_when_the_driver_ends_and_another_begins() {
    let mut world = World::at_work().await;
    world.put_service("web");
    world.pass(Duration::from_secs(1)).await;
    world.told();
    world.stop().await;
    let tables = world.fate.lock().tables.clone();
    world.put_service("more");
    world.pass(Duration::from_secs(60)).await;
    assert!(world.told().is_empty());
    assert_eq!(world.tables(), tables);
    // The next process has to list everything first.
    let objects = world.cache.list_any("services", None);
    world.cache = Cache::new();
    world.start();
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.tables(), tables);
    world.cache.put_all(&Resource::of::<Service>(), objects, 1);
    world.put_node(json!({}));
    world.list_all();
    world.pass(Duration::from_secs(1)).await;
    assert_eq!(world.told(), [format!("apply Ip {V4} s/more s/web"), format!("apply Ip6 {V4} s/more s/web")]);
}

#[tokio::test(start_paused = true)]
async fn it_is_counted_how_long_endpoints_took() {
    let world = World::at_work().await;
    world.put_service("web");
    world.pass(Duration::from_secs(1)).await;
    let now = world.clock.now();
    // What happened before the proxy began says nothing about it.
    world.put_slice("web-0", "web", &["1.1.1.1"], Some(now - Duration::from_secs(60)));
    world.put_slice("web-1", "web", &["1.1.1.2"], Some(now));
    world.pass(Duration::from_secs(1)).await;
    // The same time again is not another change.
    world.put_slice("web-1", "web", &["1.1.1.3"], Some(now));
    world.pass(Duration::from_secs(1)).await;
    world.fate.lock().refuses.insert(Family::Ip, "no room".to_owned());
    world.put_slice("web-1", "web", &["1.1.1.4"], Some(world.clock.now()));
    world.pass(Duration::from_secs(5)).await;
    world.fate.lock().refuses.clear();
    world.pass(Duration::from_secs(5)).await;
    let told = world.metrics.answer("/metrics").into_body().collect().await.unwrap().to_bytes();
    let told = String::from_utf8(told.to_vec()).unwrap();
    for line in [
        "kubeproxy_network_programming_duration_seconds_bucket{le=\"0.25\"} 1",
        "kubeproxy_network_programming_duration_seconds_bucket{le=\"5.0\"} 1",
        "kubeproxy_network_programming_duration_seconds_count 2",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total 4",
        "kubeproxy_sync_proxy_rules_endpoint_changes_pending 0",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
}
