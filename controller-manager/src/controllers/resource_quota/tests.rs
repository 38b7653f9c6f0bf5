//! Cases of what is used by which objects, and of when that is noticed.

use client::resource::{AnyObject, MetadataOnly, Resource};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Node, Secret};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{World, check_converges, nobody_else};

type Shop = World<ResourceQuotas>;

fn shop() -> Shop {
    let mut world = World::new(ResourceQuotas);
    for resource in [
        Resource::of::<ConfigMap>(),
        Resource::of::<Deployment>(),
        Resource::of::<Event>(),
        Resource::of::<Node>(),
        Resource::of::<Secret>(),
    ] {
        world.know_metadata(resource);
    }
    world
}

fn resource_of(kind: &str) -> Resource {
    match kind {
        "ConfigMap" => Resource::of::<ConfigMap>(),
        "Deployment" => Resource::of::<Deployment>(),
        "DeviceClass" => Resource::of::<DeviceClass>(),
        "Event" => Resource::of::<Event>(),
        "Node" => Resource::of::<Node>(),
        "PersistentVolumeClaim" => Resource::of::<PersistentVolumeClaim>(),
        "Pod" => Resource::of::<Pod>(),
        "ResourceClaim" => Resource::of::<ResourceClaim>(),
        "ResourceQuota" => Resource::of::<ResourceQuota>(),
        "Secret" => Resource::of::<Secret>(),
        "Service" => Resource::of::<Service>(),
        other => panic!("{other} is not known"),
    }
}

/// Adds an object to the namespace `shop`, unless it says where it is.
fn add(world: &mut Shop, kind: &str, name: &str, mut object: Value) {
    let resource = resource_of(kind);
    object["metadata"]["name"] = json!(name);
    if resource.namespaced && object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = json!("shop");
    }
    if object["metadata"]["uid"].is_null() {
        object["metadata"]["uid"] = json!(format!("{kind} {name}"));
    }
    world.add_any(&resource, object);
}

fn add_quota(world: &mut Shop, name: &str, names: &[&str], scopes: &Value) {
    let hard: Value = names.iter().map(|name| ((*name).to_owned(), json!("100"))).collect();
    let spec = json!({"hard": hard, "scopes": scopes["scopes"], "scopeSelector": scopes["scopeSelector"]});
    add(world, "ResourceQuota", name, json!({"spec": spec}));
}

fn used(world: &Shop, name: &str) -> Value {
    let quota = world.get::<ResourceQuota>("shop", name).unwrap();
    json!(quota.status.as_ref().and_then(|status| status.used.clone()).unwrap_or_default())
}

/// What is used, by these names, when there are these objects, each a kind with the rest of it.
fn check(objects: &[(&str, Value)], names: &[&str], expected: Value) {
    check_scoped(objects, names, &Value::Null, expected);
}

fn check_scoped(objects: &[(&str, Value)], names: &[&str], scopes: &Value, expected: Value) {
    let setup = || {
        let mut world = shop();
        add_quota(&mut world, "q", names, scopes);
        for (i, (kind, object)) in objects.iter().enumerate() {
            let name = object["metadata"]["name"].as_str().map_or(format!("o{i}"), ToOwned::to_owned);
            add(&mut world, kind, &name, object.clone());
        }
        world
    };
    let world = check_converges(setup, nobody_else);
    assert_eq!(used(&world, "q"), expected, "{names:?} of {objects:?}");
    let quota = world.get::<ResourceQuota>("shop", "q").unwrap();
    assert_eq!(quota.status.as_ref().unwrap().hard, quota.spec.as_ref().unwrap().hard);
}

fn pod(requests: &Value, limits: &Value) -> Value {
    let container = json!({"name": "c", "resources": {"requests": requests, "limits": limits}});
    json!({"spec": {"containers": [container]}, "status": {"phase": "Running"}})
}

fn with(mut object: Value, path: &str, value: Value) -> Value {
    let (parent, field) = path.rsplit_once('/').unwrap();
    if object.pointer(parent).is_none() {
        object = with(object, parent, json!({}));
    }
    object.pointer_mut(parent).unwrap()[field] = value;
    object
}

#[test]
fn pods_take_what_they_request() {
    let some = pod(&json!({"cpu": "250m", "memory": "1Gi", "ephemeral-storage": "1G"}), &json!({"cpu": "1"}));
    let more = pod(&json!({"cpu": "1", "memory": "512Mi"}), &json!({"memory": "1Gi", "ephemeral-storage": "2G"}));
    let ended = with(some.clone(), "/status/phase", json!("Succeeded"));
    let elsewhere = with(some.clone(), "/metadata/namespace", json!("other"));
    let pods = [("Pod", some), ("Pod", more), ("Pod", ended), ("Pod", elsewhere)];
    check(&pods, &["pods", "count/pods"], json!({"pods": "2", "count/pods": "3"}));
    check(
        &pods,
        &["cpu", "requests.cpu", "limits.cpu", "memory", "requests.memory", "limits.memory"],
        json!({
            "cpu": "1250m", "requests.cpu": "1250m", "limits.cpu": "1", "memory": "1536Mi", "requests.memory": "1536Mi",
            "limits.memory": "1Gi",
        }),
    );
    check(
        &pods,
        &["ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage"],
        json!({"ephemeral-storage": "1G", "requests.ephemeral-storage": "1G", "limits.ephemeral-storage": "2G"}),
    );
    check(&[], &["pods", "cpu", "limits.memory"], json!({"pods": "0", "cpu": "0", "limits.memory": "0"}));
    let special = json!({"hugepages-2Mi": "4Mi", "example.com/gpu": "2", "kubernetes.io/batteries": "1"});
    let special = pod(&special, &special);
    let sidecar =
        json!([{"name": "s", "restartPolicy": "Always", "resources": {"requests": {"example.com/gpu": "1"}}}]);
    let special = with(special, "/spec/initContainers", sidecar);
    let special = with(special, "/spec/overhead", json!({"cpu": "100m"}));
    check(
        &[("Pod", special)],
        &[
            "hugepages-2Mi",
            "requests.hugepages-2Mi",
            "requests.example.com/gpu",
            "example.com/gpu",
            "cpu",
            "limits.cpu",
        ],
        json!({
            "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi", "requests.example.com/gpu": "3", "cpu": "100m",
            "limits.cpu": "0",
        }),
    );
}

#[test]
fn what_nothing_measures_is_not_said() {
    // The extended resource of a device class that is stated to stand for none.
    let name = "requests.deviceclass.resource.kubernetes.io/gpu";
    let pod = pod(&json!({"deviceclass.resource.kubernetes.io/gpu": "1"}), &json!({}));
    check(&[("Pod", pod)], &["pods", name], json!({"pods": "1"}));
}

#[test]
fn objects_count() {
    let objects = [
        ("ConfigMap", json!({})),
        ("ConfigMap", json!({})),
        ("ConfigMap", json!({"metadata": {"namespace": "other"}})),
        ("Secret", json!({})),
        ("Deployment", json!({})),
        ("Event", json!({})),
        ("Node", json!({})),
    ];
    check(&objects, &["configmaps", "count/configmaps"], json!({"configmaps": "2", "count/configmaps": "2"}));
    check(&objects, &["secrets", "resourcequotas"], json!({"secrets": "1", "resourcequotas": "1"}));
    check(&objects, &["count/deployments.apps"], json!({"count/deployments.apps": "1"}));
    // Events are not counted, nor what is in no namespace, nor what nobody serves.
    check(
        &objects,
        &["count/events", "count/nodes", "count/toys.example.com", "count/secrets"],
        json!({"count/secrets": "1"}),
    );
    let scopes = json!({"scopes": ["Terminating"]});
    check_scoped(&objects, &["configmaps", "services"], &scopes, json!({"configmaps": "0", "services": "0"}));
}

#[test]
fn what_is_being_listed_keeps_its_number() {
    let text = str::to_owned;
    let (group, version, plural, kind) = (text("example.com"), text("v1"), text("widgets"), text("Widget"));
    let widgets = Resource { group, version, plural, kind, namespaced: true };
    let widget = |name: &str| -> AnyObject {
        let meta = ObjectMeta { name: Some(text(name)), namespace: Some(text("shop")), ..ObjectMeta::default() };
        Arc::new(MetadataOnly { metadata: meta })
    };
    let mut world = shop();
    add_quota(&mut world, "q", &["count/widgets.example.com"], &json!({}));
    let used = |world: &Shop| world.get::<ResourceQuota>("shop", "q").unwrap().status.clone().unwrap().used.unwrap();
    let quantity = |number: &str| BTreeMap::from([(text("count/widgets.example.com"), ApiQuantity(text(number)))]);
    world.change::<ResourceQuota>("shop", "q", |quota| quota.status.get_or_insert_default().used = Some(quantity("5")));
    world.cache.put_any(&widgets, widget("a"));
    world.settle();
    assert_eq!(used(&world), quantity("5"));
    world.cache.put_all(&widgets, ["a", "b", "c"].map(widget).into(), 1000);
    world.pass(NOT_LISTED);
    world.settle();
    assert_eq!(used(&world), quantity("3"));
}

#[test]
fn services_take_ports() {
    let service = |service_type: &str, ports: Value, allocate: Value| {
        let spec = json!({"type": service_type, "ports": ports, "allocateLoadBalancerNodePorts": allocate});
        ("Service", json!({"spec": spec}))
    };
    let names = ["services", "count/services", "services.loadbalancers", "services.nodeports"];
    let check = |service, load_balancers: &str, node_ports: &str| {
        let expected = json!({
            "services": "1", "count/services": "1", "services.loadbalancers": load_balancers,
            "services.nodeports": node_ports,
        });
        check(&[service], &names, expected);
    };
    let ports = json!([{"port": 80, "nodePort": 30080}, {"port": 443}]);
    check(service("ClusterIP", ports.clone(), json!(null)), "0", "0");
    check(service("ExternalName", json!([]), json!(null)), "0", "0");
    check(service("NodePort", ports.clone(), json!(null)), "0", "2");
    check(service("LoadBalancer", ports.clone(), json!(null)), "1", "2");
    check(service("LoadBalancer", ports.clone(), json!(true)), "1", "2");
    check(service("LoadBalancer", ports, json!(false)), "1", "1");
}

#[test]
fn volume_claims_take_storage() {
    let claim = |storage: &str, class: Value| {
        let resources = json!({"requests": {"storage": storage}});
        json!({"spec": {"resources": resources, "storageClassName": class}})
    };
    let annotation = json!({"volume.beta.kubernetes.io/storage-class": "gold"});
    let growing = with(claim("1Gi", json!("gold")), "/status/allocatedResources", json!({"storage": "3Gi"}));
    let claims = [
        ("PersistentVolumeClaim", claim("1Gi", json!(null))),
        ("PersistentVolumeClaim", with(claim("2Gi", json!("iron")), "/metadata/annotations", annotation)),
        ("PersistentVolumeClaim", growing),
        ("PersistentVolumeClaim", claim("1500m", json!("dust"))),
    ];
    check(
        &claims,
        &["persistentvolumeclaims", "count/persistentvolumeclaims", "requests.storage"],
        json!({"persistentvolumeclaims": "4", "count/persistentvolumeclaims": "4", "requests.storage": "6442450946"}),
    );
    let of = |class: &str, what: &str| format!("{class}.storageclass.storage.k8s.io/{what}");
    let (gold, dust) = (of("gold", "requests.storage"), of("dust", "requests.storage"));
    let (number, iron) = (of("gold", "persistentvolumeclaims"), of("iron", "persistentvolumeclaims"));
    check(&claims, &[&gold, &dust, &number, &iron], json!({&gold: "5Gi", &dust: "2", &number: "2", &iron: "0"}));
}

#[test]
fn device_claims_take_devices() {
    let gpu = |extended: Value| {
        ("DeviceClass", json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": extended}}))
    };
    let claim = |requests: Value| ("ResourceClaim", json!({"spec": {"devices": {"requests": requests}}}));
    let exactly = |mode: Value, count: Value| json!({"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": mode, "count": count}});
    let choices = json!({"name": "s", "firstAvailable": [
        {"name": "a", "deviceClassName": "gpu", "count": 2}, {"name": "b", "deviceClassName": "gpu", "count": 5},
        {"name": "c", "deviceClassName": "cpu", "allocationMode": "All"},
    ]});
    let claims = [
        claim(json!([exactly(json!("ExactCount"), json!(3)), exactly(json!(null), json!(null)), choices])),
        claim(json!([exactly(json!("Guess"), json!(7))])),
    ];
    let (number, gpus, cpus) = (
        "count/resourceclaims.resource.k8s.io",
        "gpu.deviceclass.resource.k8s.io/devices",
        "cpu.deviceclass.resource.k8s.io/devices",
    );
    check(&claims, &[number, gpus, cpus], json!({number: "2", gpus: "9", cpus: "32"}));
    // As an extended resource, as far as a class stands for one.
    let (implicit, stated) = ("requests.deviceclass.resource.kubernetes.io/gpu", "requests.example.com/gpu");
    let [first, second] = claims;
    let with_class = |extended: Value| [first.clone(), second.clone(), gpu(extended)];
    check(&with_class(json!("example.com/gpu")), &[implicit, stated], json!({implicit: "9", stated: "9"}));
    check(&with_class(json!(null)), &[implicit, stated], json!({stated: "0"}));
    // A class may come last.
    let mut world = shop();
    add_quota(&mut world, "q", &[stated], &Value::Null);
    add(&mut world, "ResourceClaim", "c", first.1);
    world.settle();
    assert_eq!(used(&world, "q"), json!({stated: "0"}));
    add(&mut world, "DeviceClass", "gpu", gpu(json!("example.com/gpu")).1);
    world.settle();
    assert_eq!(used(&world, "q"), json!({stated: "9"}));
}

#[test]
fn a_pods_extended_resources_are_charged_once() {
    let check = |claim: &str, owner: &str, expected: &str| {
        let pod = with(pod(&json!({"example.com/gpu": "2"}), &json!({})), "/metadata/name", json!("p"));
        let mapping = json!({"requestMappings": [], "resourceClaimName": claim});
        let pod = if claim.is_empty() { pod } else { with(pod, "/status/extendedResourceClaimStatus", mapping) };
        let owners = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": owner, "controller": true}]);
        let made = |name: &str, created: &str, count: i32| {
            let request = json!({"name": "r", "exactly": {"deviceClassName": "gpu", "count": count}});
            let annotations = json!({"resource.kubernetes.io/extended-resource-claim": "true"});
            let metadata = json!({
                "name": name, "annotations": annotations, "ownerReferences": owners, "creationTimestamp": created,
            });
            ("ResourceClaim", json!({"metadata": metadata, "spec": {"devices": {"requests": [request]}}}))
        };
        let class = json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}});
        let objects = [
            ("Pod", pod),
            ("DeviceClass", class),
            made("a", "2026-03-01T11:00:00Z", 1),
            made("b", "2026-03-01T10:00:00Z", 3),
        ];
        super::tests::check(&objects, &["requests.example.com/gpu"], json!({"requests.example.com/gpu": expected}));
    };
    // The pod has two, and so many less are charged for the claim that it names, or else for the older.
    check("a", "Pod p", "5");
    check("b", "Pod p", "4");
    check("", "Pod p", "4");
    check("", "another", "6");
}

#[test]
fn scopes_choose_pods() {
    let small = pod(&json!({"cpu": "1"}), &json!({}));
    let none = with(pod(&json!({}), &json!({})), "/spec/activeDeadlineSeconds", json!(60));
    let stated = with(pod(&json!({}), &json!({})), "/status/qosClass", json!("Burstable"));
    let far = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "namespaceSelector": {}}},
    ]}});
    let high = with(with(small.clone(), "/spec/priorityClassName", json!("high")), "/spec/affinity", far);
    let low = with(small.clone(), "/spec/priorityClassName", json!("low"));
    let pods = [("Pod", small), ("Pod", none), ("Pod", stated), ("Pod", high), ("Pod", low)];
    let check = |scopes: Value, expected: &str| check_scoped(&pods, &["pods"], &scopes, json!({"pods": expected}));
    let selector = |scope: &str, operator: &str, values: Value| json!({"scopeSelector": {"matchExpressions": [{"scopeName": scope, "operator": operator, "values": values}]}});
    check(json!(null), "5");
    check(json!({"scopes": ["BestEffort"]}), "1");
    check(json!({"scopes": ["NotBestEffort"]}), "4");
    check(json!({"scopes": ["Terminating"]}), "1");
    check(json!({"scopes": ["NotTerminating", "NotBestEffort"]}), "4");
    check(json!({"scopes": ["PriorityClass"]}), "2");
    check(json!({"scopes": ["CrossNamespacePodAffinity"]}), "1");
    check(json!({"scopes": ["VolumeAttributesClass"]}), "0");
    check(selector("PriorityClass", "Exists", json!(null)), "2");
    check(selector("PriorityClass", "DoesNotExist", json!(null)), "3");
    check(selector("PriorityClass", "In", json!(["high", "highest"])), "1");
    check(selector("PriorityClass", "NotIn", json!(["high"])), "4");
    check(selector("PriorityClass", "Like", json!(["high"])), "0");
    check(selector("Terminating", "Exists", json!(null)), "1");
}

#[test]
fn scopes_choose_volume_claims() {
    let claim = |wanted: Value, has: Value, target: Value| {
        let status = json!({
            "currentVolumeAttributesClassName": has,
            "modifyVolumeStatus": {"status": "InProgress", "targetVolumeAttributesClassName": target},
        });
        ("PersistentVolumeClaim", json!({"spec": {"volumeAttributesClassName": wanted}, "status": status}))
    };
    let claims = [
        claim(json!(null), json!(null), json!(null)),
        claim(json!("fast"), json!("slow"), json!("fast")),
        claim(json!("slow"), json!("slow"), json!(null)),
        claim(json!(""), json!(null), json!("other")),
    ];
    let check = |operator: &str, values: Value, expected: &str| {
        let expression = json!({"scopeName": "VolumeAttributesClass", "operator": operator, "values": values});
        let scopes = json!({"scopeSelector": {"matchExpressions": [expression]}});
        let names = ["persistentvolumeclaims"];
        check_scoped(&claims, &names, &scopes, json!({"persistentvolumeclaims": expected}));
    };
    check("Exists", json!(null), "3");
    check("DoesNotExist", json!(null), "1");
    check("In", json!(["fast"]), "1");
    check("In", json!(["slow"]), "2");
    // One of several names is another one.
    check("NotIn", json!(["slow"]), "3");
}

#[test]
fn changes_are_noticed() {
    let mut world = shop();
    add_quota(&mut world, "q", &["pods", "cpu", "count/configmaps", "services.nodeports"], &Value::Null);
    let mut check = |change: &dyn Fn(&mut Shop), expected: [&str; 4]| {
        change(&mut world);
        world.settle();
        let [pods, cpu, config_maps, ports] = expected;
        let expected = json!({"pods": pods, "cpu": cpu, "count/configmaps": config_maps, "services.nodeports": ports});
        assert_eq!(used(&world, "q"), expected);
    };
    check(&|_| {}, ["0", "0", "0", "0"]);
    check(&|world| add(world, "Pod", "a", pod(&json!({"cpu": "1"}), &json!({}))), ["1", "1", "0", "0"]);
    check(&|world| add(world, "Pod", "b", pod(&json!({"cpu": "500m"}), &json!({}))), ["2", "1500m", "0", "0"]);
    check(&|world| add(world, "ConfigMap", "c", json!({})), ["2", "1500m", "1", "0"]);
    let service = || json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}});
    check(&|world| add(world, "Service", "s", service()), ["2", "1500m", "1", "0"]);
    let open = |service: &mut Service| service.spec.as_mut().unwrap().type_ = Some("NodePort".to_owned());
    check(&|world| world.change::<Service>("shop", "s", open), ["2", "1500m", "1", "1"]);
    let give = |pod: &mut Pod| {
        let status = json!([{"name": "c", "allocatedResources": {"cpu": "2"}, "image": "", "imageID": "", "ready": true,
            "restartCount": 0}]);
        pod.status.as_mut().unwrap().container_statuses = serde_json::from_value(status).unwrap();
    };
    check(&|world| world.change::<Pod>("shop", "a", give), ["2", "2500m", "1", "1"]);
    let end = |pod: &mut Pod| pod.status.as_mut().unwrap().phase = Some("Failed".to_owned());
    check(&|world| world.change::<Pod>("shop", "a", end), ["1", "500m", "1", "1"]);
    check(&|world| world.remove::<Pod>("shop", "b"), ["0", "0", "1", "1"]);
    check(&|world| world.remove::<ConfigMap>("shop", "c"), ["0", "0", "0", "1"]);
}

#[test]
fn pods_that_do_not_go_are_no_longer_charged() {
    let mut world = shop();
    add_quota(&mut world, "q", &["pods", "count/pods"], &Value::Null);
    add(&mut world, "Pod", "a", with(pod(&json!({}), &json!({})), "/spec/nodeName", json!("lost")));
    world.delete::<Pod>("shop", "a");
    world.settle();
    assert_eq!(used(&world, "q"), json!({"pods": "1", "count/pods": "1"}));
    world.pass(Duration::from_secs(30));
    let key = Key::of::<ResourceQuota>("shop", "q");
    assert!(world.plan(&key).unwrap().is_empty());
    world.pass(Duration::from_secs(1));
    world.settle();
    assert_eq!(used(&world, "q"), json!({"pods": "0", "count/pods": "1"}));
    let plan = world.plan(&key).unwrap();
    assert_eq!((plan.is_empty(), plan.again), (true, Some(RECOUNT)));
}

#[test]
fn the_status_follows_the_limits() {
    let mut world = shop();
    let status = json!({
        "hard": {"pods": "1"},
        "used": {"pods": "7", "count/toys.example.com": "3", "gone": "1"},
    });
    let hard = json!({"pods": "10", "cpu": "1000m", "count/toys.example.com": "5"});
    add(&mut world, "ResourceQuota", "q", json!({"spec": {"hard": hard}, "status": status}));
    add(&mut world, "ResourceQuota", "none", json!({}));
    world.settle();
    assert_eq!(used(&world, "q"), json!({"pods": "0", "cpu": "0", "count/toys.example.com": "3"}));
    let plan = world.plan(&Key::of::<ResourceQuota>("shop", "q")).unwrap();
    assert_eq!((plan.is_empty(), plan.again), (true, Some(NOT_SERVED)));
    let hard = |world: &Shop, name: &str| world.get::<ResourceQuota>("shop", name).unwrap().status.clone()?.hard;
    assert_eq!(json!(hard(&world, "q")), json!({"pods": "10", "cpu": "1000m", "count/toys.example.com": "5"}));
    assert_eq!(hard(&world, "none"), None);
    // What is only written in another way is the same.
    let rewrite = |quota: &mut ResourceQuota| {
        let hard = quota.spec.as_mut().unwrap().hard.as_mut().unwrap();
        hard.insert("cpu".to_owned(), ApiQuantity("1".to_owned()));
    };
    world.change::<ResourceQuota>("shop", "q", rewrite);
    assert!(world.settle().is_empty());
}

proptest! {
    #[test]
    fn opposite_scopes_share_what_is_used(pods in proptest::collection::vec((0_i64..3, any::<bool>(), 0_u8..3), 0..8)) {
        let mut world = shop();
        let quotas = [
            ("all", json!(null)),
            ("without", json!({"scopes": ["BestEffort"]})),
            ("with", json!({"scopes": ["NotBestEffort"]})),
            ("short", json!({"scopes": ["Terminating"]})),
            ("long", json!({"scopes": ["NotTerminating"]})),
        ];
        for (name, scopes) in &quotas {
            add_quota(&mut world, name, &["pods", "cpu"], scopes);
        }
        for (i, (cpu, is_short, phase)) in pods.iter().enumerate() {
            let pod = pod(&json!({"cpu": cpu.to_string()}), &json!({}));
            let pod = with(pod, "/spec/activeDeadlineSeconds", json!(is_short.then_some(5)));
            let phase = ["Pending", "Running", "Failed"][usize::from(*phase)];
            add(&mut world, "Pod", &format!("p{i}"), with(pod, "/status/phase", json!(phase)));
        }
        world.settle();
        let of = |name: &str| ["pods", "cpu"].map(|what| used(&world, name)[what].as_str().unwrap().parse::<i64>().unwrap());
        let sum = |a: &str, b: &str| std::array::from_fn::<i64, 2, _>(|i| of(a)[i] + of(b)[i]);
        let charged = pods.iter().filter(|(_, _, phase)| *phase < 2);
        let count = i64::try_from(charged.clone().count()).unwrap();
        prop_assert_eq!(of("all"), [count, charged.map(|(cpu, _, _)| cpu).sum::<i64>()]);
        prop_assert_eq!(sum("without", "with"), of("all"));
        prop_assert_eq!(sum("short", "long"), of("all"));
    }
}
