//! What slices hold, how few of them are written, and what is said.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::plan::Effect;
use crate::testing::{World, check_converges, nobody_else};

type Slices = World<EndpointSlices>;

pub(super) fn service(spec: Value) -> Service {
    let meta = json!({"name": "web", "namespace": "shop", "labels": {"team": "a", "kubernetes.io/service-name": "x"},
        "uid": "service", "creationTimestamp": "2026-03-01T10:00:00Z"});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

fn web() -> Value {
    json!({"selector": {"app": "web"}, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]})
}

fn pod(name: &str, ip: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c",
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions":
            [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-01T11:00:00Z"}]},
    })
}

fn add_pod(world: &mut Slices, pod: &Value) {
    world.add::<Pod>(serde_json::from_value(pod.clone()).unwrap());
}

fn add_node(world: &mut Slices, name: &str, zone: &str) {
    let json = json!({
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "status": {"allocatable": {"cpu": "4"}, "conditions": [{"type": "Ready", "status": "True"}]},
    });
    world.add::<Node>(serde_json::from_value(json).unwrap());
}

/// A world with nodes in two zones.
fn world() -> Slices {
    let mut world = World::new(EndpointSlices);
    add_node(&mut world, "n1", "a");
    add_node(&mut world, "n2", "b");
    world
}

fn with_service(spec: Value) -> Slices {
    let mut world = world();
    world.add(service(spec));
    world
}

/// All slices, and where each endpoint is: its slice's number, ports, addresses, and what `tell` says.
fn told(world: &Slices, tell: impl Fn(&Endpoint) -> String) -> Vec<String> {
    let line = |(number, slice): (usize, Arc<EndpointSlice>)| {
        let ports =
            slice.ports.iter().flatten().map(|port| format!("{}:{}", port.name.as_ref().unwrap(), port.port.unwrap()));
        let ports = ports.collect::<Vec<_>>().join(",");
        let of = |endpoint: &Endpoint| format!("{} {}", endpoint.addresses.join("+"), tell(endpoint));
        let endpoints = endpoint::endpoints(&slice).iter().map(of).collect::<Vec<_>>().join("; ");
        format!("{number} {} [{ports}] {endpoints}", slice.address_type).trim_end().to_owned()
    };
    world.list::<EndpointSlice>().into_iter().enumerate().map(line).collect()
}

fn conditions(endpoint: &Endpoint) -> String {
    let conditions = endpoint.conditions.clone().unwrap();
    let states =
        [("ready", conditions.ready), ("serving", conditions.serving), ("terminating", conditions.terminating)];
    states.iter().filter(|(_, so)| *so == Some(true)).map(|(name, _)| *name).collect::<Vec<_>>().join(",")
}

fn nothing(_: &Endpoint) -> String {
    String::new()
}

#[test]
fn a_slice_has_what_upstream_writes() {
    let setup = || {
        let mut world = with_service(web());
        let mut pod = pod("a", "10.1.0.1");
        pod["spec"]["hostname"] = json!("first");
        pod["spec"]["subdomain"] = json!("web");
        add_pod(&mut world, &pod);
        world
    };
    let world = check_converges(setup, nobody_else);
    let slices = world.list::<EndpointSlice>();
    let [slice] = slices.as_slice() else { panic!("one slice is enough: {slices:?}") };
    let mut json = serde_json::to_value(&**slice).unwrap();
    for field in ["name", "uid", "resourceVersion", "creationTimestamp", "generation"] {
        json["metadata"].as_object_mut().unwrap().remove(field);
    }
    insta::assert_json_snapshot!(json);
}

#[test]
fn pods_are_endpoints_as_their_state_says() {
    let setup = |publish: bool| {
        let mut spec = web();
        spec["publishNotReadyAddresses"] = json!(publish);
        let mut world = with_service(spec);
        let with = |name: &str, ip: &str, change: &dyn Fn(&mut Value)| {
            let mut pod = pod(name, ip);
            change(&mut pod);
            pod
        };
        let not_ready = |pod: &mut Value| pod["status"]["conditions"][0]["status"] = json!("False");
        let going = |pod: &mut Value| {
            pod["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z");
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        };
        add_pod(&mut world, &pod("a", "10.1.0.1"));
        add_pod(&mut world, &with("b", "10.1.0.2", &not_ready));
        add_pod(&mut world, &with("c", "10.1.0.3", &going));
        add_pod(&mut world, &with("d", "10.1.0.4", &|pod| (not_ready(pod), going(pod)).0));
        add_pod(&mut world, &with("e", "10.1.0.5", &|pod| pod["status"]["phase"] = json!("Failed")));
        add_pod(&mut world, &with("f", "10.1.0.6", &|pod| pod["status"]["phase"] = json!("Succeeded")));
        add_pod(&mut world, &with("g", "", &|pod| pod["status"] = json!({"phase": "Pending"})));
        add_pod(&mut world, &with("h", "10.1.0.7", &|pod| pod["metadata"]["labels"] = json!({"app": "other"})));
        for (name, ip) in [("i", "10.1.0.8"), ("j", "10.1.0.9")] {
            add_pod(&mut world, &with(name, ip, &|pod| pod["spec"]["nodeName"] = json!("n9")));
        }
        world
    };
    let world = check_converges(|| setup(false), nobody_else);
    let ready = "10.1.0.1 ready,serving; 10.1.0.2; 10.1.0.3 serving,terminating; 10.1.0.4 terminating";
    assert_eq!(told(&world, conditions), [format!("0 IPv4 [http:8080] {}", ready.replace("0.2;", "0.2 ;"))]);
    let said = "Warning FailedToUpdateEndpointSlices Service web: Error updating Endpoint Slices for Service shop/web: \
                [skipping Pod i for Service shop/web: Node n9 Not Found, skipping Pod j for Service shop/web: Node n9 Not \
                Found]";
    assert_eq!(world.events, [said]);
    let world = check_converges(|| setup(true), nobody_else);
    let ready = "10.1.0.1 ready,serving; 10.1.0.2 ready; 10.1.0.3 ready,serving,terminating; 10.1.0.4 \
                 ready,terminating; 10.1.0.8 ready,serving; 10.1.0.9 ready,serving";
    assert_eq!(told(&world, conditions), [format!("0 IPv4 [http:8080] {ready}")]);
}

#[test]
fn slices_are_per_family_and_per_ports() {
    let setup = || {
        let mut spec = web();
        spec["ipFamilies"] = json!(["IPv6", "IPv4"]);
        let mut world = with_service(spec);
        let mut both = pod("a", "10.1.0.1");
        both["status"]["podIPs"] = json!([{"ip": "10.1.0.1"}, {"ip": "fd00:0::1"}]);
        add_pod(&mut world, &both);
        let mut elsewhere = pod("b", "10.1.0.2");
        elsewhere["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9090);
        add_pod(&mut world, &elsewhere);
        let mut nowhere = pod("c", "10.1.0.3");
        nowhere["spec"]["containers"][0]["ports"] = json!([]);
        add_pod(&mut world, &nowhere);
        world
    };
    let mut world = check_converges(setup, nobody_else);
    let mut slices = told(&world, nothing);
    slices.iter_mut().for_each(|slice| *slice = slice[2..].to_owned());
    slices.sort();
    let expected =
        ["IPv4 [] 10.1.0.3", "IPv4 [http:8080] 10.1.0.1", "IPv4 [http:9090] 10.1.0.2", "IPv6 [http:8080] fd00::1"];
    assert_eq!(slices, expected);
    world.change::<Service>("shop", "web", |service| {
        service.spec.as_mut().unwrap().ip_families = Some(vec!["IPv4".to_owned()]);
    });
    world.settle();
    assert!(world.list::<EndpointSlice>().iter().all(|slice| slice.address_type == "IPv4"));
}

#[test]
fn a_service_without_endpoints_has_an_empty_slice() {
    let setup = || with_service(json!({"selector": {"app": "web"}, "clusterIP": "None"}));
    let mut world = check_converges(setup, nobody_else);
    assert_eq!(told(&world, nothing), ["0 IPv4 []", "1 IPv6 []"]);
    let labels = world.list::<EndpointSlice>()[0].metadata.labels.clone().unwrap();
    let expected = json!({"service.kubernetes.io/headless": "", "kubernetes.io/service-name": "web", "team": "a",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"});
    assert_eq!(json!(labels), expected);
    // A headless Service may have endpoints without ports; the empty slice takes them.
    add_pod(&mut world, &pod("a", "10.1.0.1"));
    assert_eq!(world.settle().len(), 1);
    assert_eq!(told(&world, nothing), ["0 IPv4 [] 10.1.0.1", "1 IPv6 []"]);
    world.remove::<Pod>("shop", "a");
    world.settle();
    assert_eq!(told(&world, nothing), ["0 IPv4 []", "1 IPv6 []"]);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let check = |spec: Value| {
        let mut world = with_service(spec);
        add_pod(&mut world, &pod("a", "10.1.0.1"));
        assert!(world.settle().is_empty());
    };
    check(json!({"clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"]}));
    check(json!({"clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"], "selector": {}}));
    check(json!({"type": "ExternalName", "externalName": "example.com", "selector": {"app": "web"}}));
    let setup = || {
        let mut world = with_service(web());
        let slice = |name: &str, manager: &str, owner: &str| {
            json!({"metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": manager}, "ownerReferences":
                [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": owner}]}, "addressType": "IPv4"})
        };
        for (name, manager, owner) in [("by-hand", "me", "service"), ("old", packing::MANAGER, "earlier")] {
            world.add::<EndpointSlice>(serde_json::from_value(slice(name, manager, owner)).unwrap());
        }
        add_pod(&mut world, &pod("a", "10.1.0.1"));
        world
    };
    let world = check_converges(setup, nobody_else);
    assert!(world.get::<EndpointSlice>("shop", "by-hand").is_some());
    assert!(world.get::<EndpointSlice>("shop", "old").is_none());
    assert_eq!(world.list::<EndpointSlice>().len(), 2);
}

#[test]
fn nothing_is_made_for_what_is_going() {
    let mut going = service(web());
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    going.metadata.finalizers = Some(vec!["example.com/wait".to_owned()]);
    let mut first = world();
    first.add(going);
    assert!(first.settle().is_empty());
    let mut second = with_service(web());
    let json = json!({"metadata": {"name": "shop", "deletionTimestamp": "2026-03-01T12:00:00Z"}});
    second.add::<Namespace>(serde_json::from_value(json).unwrap());
    assert!(second.settle().is_empty());
}

#[test]
fn changes_are_followed() {
    let mut world = with_service(web());
    add_pod(&mut world, &pod("a", "10.1.0.1"));
    world.settle();
    let zone = |endpoint: &Endpoint| endpoint.zone.clone().unwrap_or_default();
    assert_eq!(told(&world, zone), ["0 IPv4 [http:8080] 10.1.0.1 a"]);
    world.change::<Node>("", "n1", |node| node.metadata.labels = None);
    world.settle();
    assert_eq!(told(&world, zone), ["0 IPv4 [http:8080] 10.1.0.1"]);
    world.change::<Service>("shop", "web", |service| service.metadata.labels = None);
    world.settle();
    assert!(!world.list::<EndpointSlice>()[0].metadata.labels.as_ref().unwrap().contains_key("team"));
    world.change::<Service>("shop", "web", |service| {
        service.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].target_port = Some(IntOrString::Int(1));
    });
    // The ports of the one slice change; it is not replaced.
    let plans = world.settle();
    assert_eq!(plans.iter().map(|(_, plan)| plan.actions.len()).collect::<Vec<_>>(), [1]);
    assert_eq!(told(&world, zone), ["0 IPv4 [http:1] 10.1.0.1"]);
    world.remove::<EndpointSlice>("shop", &world.list::<EndpointSlice>()[0].metadata.name.clone().unwrap());
    world.settle();
    assert_eq!(told(&world, zone), ["0 IPv4 [http:1] 10.1.0.1"]);
    world.remove::<Node>("", "n1");
    world.settle();
    assert_eq!(told(&world, zone), ["0 IPv4 []"]);
    let said = "Warning FailedToUpdateEndpointSlices Service web: Error updating Endpoint Slices for Service shop/web: \
                skipping Pod a for Service shop/web: Node n1 Not Found";
    assert_eq!(world.events, [said]);
}

#[test]
fn the_trigger_is_when_a_pod_turned_or_the_service_was_made() {
    let trigger = |world: &Slices| {
        let slice = &world.list::<EndpointSlice>()[0];
        slice.metadata.annotations.as_ref().and_then(|annotations| annotations.get(pods::TRIGGER_TIME).cloned())
    };
    let mut world = with_service(web());
    world.settle();
    assert_eq!(trigger(&world).as_deref(), Some("2026-03-01T10:00:00Z"));
    add_pod(&mut world, &pod("a", "10.1.0.1"));
    world.settle();
    assert_eq!(trigger(&world).as_deref(), Some("2026-03-01T11:00:00Z"));
    world.delete::<Pod>("shop", "a");
    world.settle();
    assert_eq!(trigger(&world), None);
    let at = Timestamp::from_second(1_772_366_401).unwrap();
    world.change::<Pod>("shop", "a", |pod| {
        let condition = &mut pod.status.as_mut().unwrap().conditions.as_mut().unwrap()[0];
        condition.status = "False".to_owned();
        condition.last_transition_time = Some(Time(at));
    });
    world.settle();
    assert_eq!(trigger(&world), Some(at.to_string()));
}

#[test]
fn failures_are_told() {
    let mut world = with_service(web());
    world.refuse_creation::<EndpointSlice>(Some(("Forbidden", "no")));
    world.settle();
    let said = "Warning FailedToUpdateEndpointSlices Service web: Error updating Endpoint Slices for Service shop/web: \
                failed to create EndpointSlice for Service shop/web: no";
    assert_eq!(world.events[0], said);
    world.refuse_creation::<EndpointSlice>(None);
}

/// Pods of which `in_a` are in the first zone and `in_b` in the second.
fn spread(annotations: Value, field: Value, in_a: usize, in_b: usize) -> Slices {
    let mut world = world();
    let mut spec = web();
    spec["trafficDistribution"] = field;
    let mut service = service(spec);
    service.metadata.annotations = serde_json::from_value(annotations).unwrap();
    world.add(service);
    for index in 0..in_a + in_b {
        let mut pod = pod(&format!("p{index}"), &format!("10.1.0.{index}"));
        pod["spec"]["nodeName"] = json!(if index < in_a { "n1" } else { "n2" });
        add_pod(&mut world, &pod);
    }
    world
}

fn hints(endpoint: &Endpoint) -> String {
    let Some(hints) = &endpoint.hints else { return "-".to_owned() };
    let zones = hints.for_zones.iter().flatten().map(|zone| zone.name.clone());
    zones.chain(hints.for_nodes.iter().flatten().map(|node| node.name.clone())).collect::<Vec<_>>().join("+")
}

#[test]
fn hints_are_as_the_service_asks() {
    let check = |annotations: Value, field: Value, in_a: usize, in_b: usize, expected: &str| {
        let world = check_converges(|| spread(annotations.clone(), field.clone(), in_a, in_b), nobody_else);
        let slices = world.list::<EndpointSlice>();
        let told: Vec<String> = endpoint::endpoints(&slices[0]).iter().map(hints).collect();
        assert_eq!(told.join(" "), expected);
        world.events.clone()
    };
    check(json!({}), json!(null), 1, 1, "- -");
    check(json!({}), json!("PreferClose"), 1, 1, "a b");
    check(json!({}), json!("PreferSameNode"), 1, 1, "a+n1 b+n2");
    let auto = json!({"service.kubernetes.io/topology-mode": "Auto"});
    let enabled =
        "Normal TopologyAwareHintsEnabled Service web: Topology Aware Hints has been enabled, addressType: IPv4";
    assert_eq!(check(auto.clone(), json!(null), 2, 2, "a a b b"), [enabled]);
    // Both zones have as many processors, so that one endpoint is given away.
    assert_eq!(check(auto.clone(), json!(null), 3, 1, "b a a b"), [enabled]);
    let few = "Warning TopologyAwareHintsDisabled Service web: Insufficient number of endpoints (1 endpoints, 2 zones), \
               addressType: IPv4";
    assert_eq!(check(auto, json!("PreferClose"), 1, 0, "-"), [few]);
}

#[test]
fn hints_follow_the_service_and_the_nodes() {
    let auto = json!({"service.kubernetes.io/topology-mode": "Auto"});
    let mut world = spread(auto, json!(null), 2, 2);
    world.settle();
    let told_hints = |world: &Slices| -> Vec<String> {
        endpoint::endpoints(&world.list::<EndpointSlice>()[0]).iter().map(hints).collect()
    };
    assert_eq!(told_hints(&world), ["a", "a", "b", "b"]);
    world.change::<Node>("", "n2", |node| node.status.as_mut().unwrap().conditions = None);
    world.settle();
    assert_eq!(told_hints(&world), ["-", "-", "-", "-"]);
    let said = "Warning TopologyAwareHintsDisabled Service web: Insufficient Node information: allocatable CPU or zone not \
                specified on one or more nodes, addressType: IPv4";
    assert_eq!(world.events.last().unwrap(), said);
    world.change::<Service>("shop", "web", |service| {
        service.metadata.annotations = None;
        service.spec.as_mut().unwrap().traffic_distribution = Some("PreferSameZone".to_owned());
    });
    world.settle();
    assert_eq!(told_hints(&world), ["a", "a", "b", "b"]);
    world.change::<Service>("shop", "web", |service| service.spec.as_mut().unwrap().traffic_distribution = None);
    world.settle();
    assert_eq!(told_hints(&world), ["-", "-", "-", "-"]);
}

#[test]
fn many_pods_fill_few_slices() {
    let setup = || {
        let mut world = with_service(web());
        for index in 0..250 {
            add_pod(&mut world, &pod(&format!("p{index:03}"), &format!("10.1.{}.{}", index / 200, index % 200 + 1)));
        }
        world
    };
    let mut world = check_converges(setup, nobody_else);
    let sizes = |world: &Slices| -> Vec<usize> {
        let mut sizes: Vec<usize> =
            world.list::<EndpointSlice>().iter().map(|slice| endpoint::endpoints(slice).len()).collect();
        sizes.sort_unstable();
        sizes
    };
    assert_eq!(sizes(&world), [50, 100, 100]);
    // What is new goes where something is written in any case, even if another slice has room.
    let full = world.list::<EndpointSlice>().into_iter().find(|slice| endpoint::endpoints(slice).len() == 100).unwrap();
    let gone = endpoint::endpoints(&full)[7].target_ref.as_ref().unwrap().name.clone().unwrap();
    world.remove::<Pod>("shop", &gone);
    add_pod(&mut world, &pod("new", "10.1.9.1"));
    assert_eq!(written(&world.settle()).len(), 1);
    assert_eq!(sizes(&world), [50, 100, 100]);
    // All that is new goes into one slice, the one that it fills best.
    add_pod(&mut world, &pod("newer", "10.1.9.2"));
    world.settle();
    assert_eq!(sizes(&world), [51, 100, 100]);
}

/// The slices that plans write, by name; those that are made have none.
fn written(plans: &[(Key, Plan)]) -> Vec<String> {
    let actions = plans.iter().flat_map(|(_, plan)| &plan.actions);
    actions
        .filter(|action| !matches!(action.effect, Effect::Event(_)))
        .map(|action| action.target.name.clone())
        .collect()
}

/// What happens to a pod.
#[derive(Clone, Copy, Debug)]
enum Step {
    Come,
    Go,
    Turn,
    Move,
    End,
    Leave,
}

fn take(world: &mut Slices, step: Step, number: usize) {
    let name = format!("p{number:03}");
    let ip = format!("10.{}.0.{}", number / 200, number % 200 + 1);
    if world.get::<Pod>("shop", &name).is_none() {
        let mut pod = pod(&name, &ip);
        pod["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(if number.is_multiple_of(5) { 1 } else { 2 });
        return add_pod(world, &pod);
    }
    match step {
        Step::Come => {}
        Step::Go => world.remove::<Pod>("shop", &name),
        Step::Leave => world.change::<Pod>("shop", &name, |pod| pod.metadata.labels = None),
        Step::End => {
            world.change::<Pod>("shop", &name, |pod| pod.status.as_mut().unwrap().phase = Some("Failed".into()))
        }
        Step::Turn => world.change::<Pod>("shop", &name, |pod| {
            let condition = &mut pod.status.as_mut().unwrap().conditions.as_mut().unwrap()[0];
            condition.status = if condition.status == "True" { "False" } else { "True" }.to_owned();
        }),
        Step::Move => world.change::<Pod>("shop", &name, |pod| {
            let ips = pod.status.as_mut().unwrap().pod_ips.as_mut().unwrap();
            ips[0].ip = format!("10.{}.1.{}", number / 200, number % 200 + 1);
        }),
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Come),
        2 => Just(Step::Go),
        1 => Just(Step::Turn),
        1 => Just(Step::Move),
        1 => Just(Step::End),
        1 => Just(Step::Leave),
    ]
}

/// Every endpoint that there is to be, with its port and readiness.
fn wanted(world: &Slices) -> BTreeMap<String, (String, i32, bool)> {
    let mut wanted = BTreeMap::new();
    for pod in world.list::<Pod>() {
        let status = pod.status.as_ref().unwrap();
        if pod.metadata.labels.is_none() || status.phase.as_deref() == Some("Failed") {
            continue;
        }
        let port = pod.spec.as_ref().unwrap().containers[0].ports.as_ref().unwrap()[0].container_port;
        let ready = status.conditions.as_ref().unwrap()[0].status == "True";
        let ip = status.pod_ips.as_ref().unwrap()[0].ip.clone();
        wanted.insert(pod.metadata.name.clone().unwrap(), (ip, port, ready));
    }
    wanted
}

/// Checks that the slices have what they are to have, each once.
fn check_slices(world: &Slices) -> Result<(), TestCaseError> {
    let mut found = BTreeMap::new();
    for slice in world.list::<EndpointSlice>() {
        let endpoints = endpoint::endpoints(&slice);
        prop_assert!(endpoints.len() <= packing::MOST_ENDPOINTS);
        for endpoint in endpoints {
            let port = slice.ports.as_ref().unwrap()[0].port.unwrap();
            let ready = endpoint.conditions.as_ref().unwrap().ready.unwrap();
            let name = endpoint.target_ref.as_ref().unwrap().name.clone().unwrap();
            let before = found.insert(name, (endpoint.addresses[0].clone(), port, ready));
            prop_assert!(before.is_none());
        }
    }
    prop_assert_eq!(found, wanted(world));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn slices_have_what_is_wanted_and_few_are_written(
        first in prop::collection::btree_set(0..400_usize, 0..330),
        steps in prop::collection::vec((step(), 0..400_usize), 1..20),
        together in prop::collection::vec((step(), 0..400_usize), 1..60),
    ) {
        let mut world = with_service(web());
        first.iter().for_each(|number| take(&mut world, Step::Come, *number));
        world.settle();
        check_slices(&world)?;
        for (step, number) in steps {
            take(&mut world, step, number);
            let written = written(&world.settle());
            prop_assert!(written.len() <= 2, "{:?} {} wrote {:?}", step, number, written);
            check_slices(&world)?;
        }
        together.into_iter().for_each(|(step, number)| take(&mut world, step, number));
        let written = written(&world.settle());
        let once: BTreeSet<&String> = written.iter().filter(|name| !name.is_empty()).collect();
        prop_assert_eq!(once.len(), written.iter().filter(|name| !name.is_empty()).count());
        check_slices(&world)?;
    }

    #[test]
    fn hints_by_processors_come_to_rest(
        zones in prop::collection::vec((0..40_usize, 1..20_i64), 1..5),
        more in prop::collection::vec((0..40_usize, 0..5_usize), 0..4),
    ) {
        let mut world = World::new(EndpointSlices);
        let mut service = service(web());
        let annotation = ("service.kubernetes.io/topology-mode".to_owned(), "Auto".to_owned());
        service.metadata.annotations = Some([annotation].into());
        world.add(service);
        let mut number = 0;
        let add = |world: &mut Slices, zone: usize, count: usize, number: &mut usize| {
            for _ in 0..count {
                *number += 1;
                let mut pod = pod(&format!("p{number:03}"), &format!("10.1.{}.{}", *number / 200, *number % 200));
                pod["spec"]["nodeName"] = json!(format!("n{zone}"));
                add_pod(world, &pod);
            }
        };
        for (zone, (count, cpu)) in zones.iter().enumerate() {
            add_node(&mut world, &format!("n{zone}"), &format!("z{zone}"));
            world.change::<Node>("", &format!("n{zone}"), |node| {
                let cpu = k8s_openapi::apimachinery::pkg::api::resource::Quantity(cpu.to_string());
                node.status.as_mut().unwrap().allocatable = Some([("cpu".to_owned(), cpu)].into());
            });
            add(&mut world, zone, *count, &mut number);
        }
        world.settle();
        for (count, zone) in more {
            add(&mut world, zone % zones.len(), count, &mut number);
            world.settle();
        }
        // All ready endpoints have hints, or none has.
        let slices = world.list::<EndpointSlice>();
        let hinted: BTreeSet<bool> =
            slices.iter().flat_map(|slice| endpoint::endpoints(slice)).map(|it| it.hints.is_some()).collect();
        prop_assert!(hinted.len() <= 1);
    }
}
