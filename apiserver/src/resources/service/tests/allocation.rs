//! What is claimed and given back, in a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::status::Reason;
use store::{MemoryBackend, Store, StoreOptions};

use super::*;
use crate::entry::Objects;
use crate::registry::Registry;
use crate::reservation::ClaimError;

/// Services in a store of their own. What is written here is a list of names; only claims are stored.
struct World {
    ledger: Ledger,
    services: Services,
}

impl World {
    async fn new(config: Config) -> World {
        let backend = Arc::new(MemoryBackend::new());
        let codec = Objects::new(Arc::new(Registry::new()));
        let store = Store::open(backend, codec, StoreOptions::default()).await.unwrap();
        World { ledger: Ledger::new(store, Arc::new(|| Timestamp::UNIX_EPOCH)), services: Services::new(config, 7) }
    }

    async fn single() -> World {
        World::new(Config::default()).await
    }

    async fn dual() -> World {
        World::new(Config::new("10.96.0.0/12", Some("fd00::/112"), 30_000..=32_767).unwrap()).await
    }

    fn context() -> Context<'static> {
        Context { now: Timestamp::UNIX_EPOCH, namespace: "default", identity: None }
    }

    /// Reserves as the engine does, without committing.
    async fn begin(&self, new: &mut Service, old: Option<&Service>, dry_run: bool) -> Result<Reservation, Status> {
        self.services.default(new);
        match old {
            None => self.services.prepare_create(new, World::context()),
            Some(old) => self.services.prepare_update(new, old, World::context()),
        }
        self.services.reserve(&self.ledger, new, old, dry_run).await
    }

    /// Writes `new`; the result is what is stored then.
    async fn write(&self, mut new: Service, old: Option<&Service>) -> Result<Service, String> {
        let reservation = self.begin(&mut new, old, false).await.map_err(|status| status.message)?;
        let errors = old.map_or_else(|| self.services.validate(&new), |old| self.services.validate_update(&new, old));
        if errors.is_empty() {
            reservation.commit().await;
            Ok(new)
        } else {
            reservation.roll_back().await;
            Err(lines(&errors))
        }
    }

    async fn create(&self, name: &str, spec: Value) -> Result<Service, String> {
        self.write(of(name, spec), None).await
    }

    async fn repair(
        &self,
        services: impl Iterator<Item = Service>,
        orphans: Orphans<'_>,
    ) -> Result<Report, ClaimError> {
        repair(&self.ledger, services, orphans, || self.services.dice.roll()).await
    }

    /// Everything that is claimed, and for which Service.
    async fn claims(&self) -> BTreeMap<String, String> {
        let mut claims = BTreeMap::new();
        for pool in [pool::CLUSTER_IPS, pool::NODE_PORTS] {
            for held in self.ledger.claims(book::book(pool)).await.unwrap() {
                claims.insert(held.item, held.holder.split('/').nth(2).unwrap().to_owned());
            }
        }
        claims
    }

    #[track_caller]
    fn assert_claims(claims: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
        let claims: Vec<(&str, &str)> = claims.iter().map(|(item, name)| (item.as_str(), name.as_str())).collect();
        assert_eq!(claims, expected);
    }
}

fn of(name: &str, spec: Value) -> Service {
    let uid = format!("{name}-uid");
    service(json!({"metadata": {"name": name, "namespace": "default", "uid": uid}, "spec": spec}))
}

fn spec(service: &Service) -> Value {
    serde_json::to_value(&service.spec).unwrap()
}

#[tokio::test]
async fn addresses_and_ports_are_assigned() {
    let world = World::single().await;
    let ports =
        json!([{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"}, {"name": "c", "port": 80}]);
    let stored = world
        .create("web", json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": ports}))
        .await
        .unwrap();
    let stored_spec = spec(&stored);
    assert_eq!(stored_spec["clusterIPs"], json!([stored_spec["clusterIP"]]));
    assert_eq!((&stored_spec["ipFamilies"], &stored_spec["ipFamilyPolicy"]), (&json!(["IPv4"]), &json!("SingleStack")));
    let node_port = |i: usize| stored_spec["ports"][i]["nodePort"].as_u64().unwrap();
    assert_eq!(node_port(0), node_port(1), "one number for both protocols");
    let health_check = stored_spec["healthCheckNodePort"].as_u64().unwrap();
    let ports = [node_port(0), node_port(2), health_check];
    assert!(ports.iter().all(|port| (30_086..=32_767).contains(port)), "from the upper band: {ports:?}");
    assert_eq!(world.claims().await.len(), 4);

    world.services.release(&world.ledger, &stored).await;
    World::assert_claims(&world.claims().await, &[]);
}

#[tokio::test]
async fn what_has_neither_address_nor_port_claims_nothing() {
    let world = World::single().await;
    world.create("alias", json!({"type": "ExternalName", "externalName": "a.b"})).await.unwrap();
    let headless = world.create("headless", json!({"clusterIP": "None", "selector": {"a": "b"}})).await.unwrap();
    assert_eq!(spec(&headless)["ipFamilies"], json!(["IPv4"]));
    let manual = world.create("manual", json!({"clusterIP": "None"})).await.unwrap();
    assert_eq!(spec(&manual)["ipFamilies"], json!(["IPv4", "IPv6"]));
    assert_eq!(spec(&manual)["ipFamilyPolicy"], json!("RequireDualStack"));
    World::assert_claims(&world.claims().await, &[]);
}

/// What `taken` has already, what is asked for, and what is answered.
const REFUSED: &[(&str, &str)] = &[
    (
        r#"{"clusterIP": "10.96.0.10"}"#,
        "Service \"web\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: failed to allocate IP 10.96.0.10: \
         provided IP is already allocated",
    ),
    (
        r#"{"clusterIP": "10.0.0.1"}"#,
        "Service \"web\" is invalid: spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: failed to allocate IP 10.0.0.1: the \
         provided network does not match the current range",
    ),
    (
        r#"{"clusterIP": "fd00::1"}"#,
        "Service \"web\" is invalid: spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster",
    ),
    (
        r#"{"ipFamilies": ["IPv6"]}"#,
        "Service \"web\" is invalid: spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
    ),
    (
        r#"{"ipFamilyPolicy": "RequireDualStack"}"#,
        "Service \"web\" is invalid: spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not \
         configured for dual-stack services",
    ),
    (
        r#"{"ipFamilies": ["IPv4", "IPv6"]}"#,
        "Service \"web\" is invalid: spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or \
         'PreferDualStack' when multiple IP families are specified",
    ),
    (
        r#"{"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}"#,
        "Service \"web\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated",
    ),
    (
        r#"{"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81, "nodePort": 80}]}"#,
        "Service \"web\" is invalid: spec.ports[1].nodePort: Invalid value: 80: provided port is not in the valid range. The \
         range of valid ports is 30000-32767",
    ),
    (
        r#"{"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30080, "ports": [{"port": 80}]}"#,
        "Internal error occurred: failed to allocate requested HealthCheck NodePort 30080: provided port is already allocated",
    ),
    // Refused by validation, after everything was claimed.
    (r#"{"type": "NodePort"}"#, "spec.ports: Required value"),
];

#[tokio::test]
async fn what_cannot_be_had_is_refused_and_nothing_kept() {
    let world = World::single().await;
    let taken = json!({"type": "NodePort", "clusterIP": "10.96.0.10", "ports": [{"port": 80, "nodePort": 30080}]});
    world.create("taken", taken).await.unwrap();
    let before = world.claims().await;
    World::assert_claims(&before, &[("10.96.0.10", "taken"), ("30080", "taken")]);
    for (manifest, expected) in REFUSED {
        let spec: Value = serde_json::from_str(manifest).unwrap();
        assert_eq!(world.create("web", spec.clone()).await.unwrap_err(), *expected, "{manifest}");
        assert_eq!(world.claims().await, before, "{manifest}");
        let refused = world.begin(&mut of("web", spec), None, true).await;
        if let Err(status) = refused {
            assert_eq!(status.message, *expected, "a dry run of {manifest}");
        }
        assert_eq!(world.claims().await, before, "a dry run of {manifest}");
    }
}

#[tokio::test]
async fn dry_runs_show_what_would_be_and_claim_nothing() {
    let world = World::dual().await;
    let manifest = json!({"type": "NodePort", "ipFamilyPolicy": "PreferDualStack",
        "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]});
    let mut dry = of("web", manifest);
    world.begin(&mut dry, None, true).await.unwrap().commit().await;
    assert!(world.services.validate(&dry).is_empty(), "{}", lines(&world.services.validate(&dry)));
    assert_eq!(spec(&dry)["clusterIPs"].as_array().unwrap().len(), 2);
    World::assert_claims(&world.claims().await, &[]);
}

#[tokio::test]
async fn types_change_and_claims_with_them() {
    let world = World::single().await;
    let ports = |node_port: Value| json!([{"name": "a", "port": 80, "nodePort": node_port}, {"name": "b", "port": 81, "nodePort": 30081}]);
    let node_port = world
        .create("web", json!({"type": "NodePort", "clusterIP": "10.96.0.10", "ports": ports(json!(30080))}))
        .await
        .unwrap();
    let all = [("10.96.0.10", "web"), ("30080", "web"), ("30081", "web")];
    World::assert_claims(&world.claims().await, &all);

    // The same manifest again, without what was allocated.
    let same = of("web", json!({"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}));
    let same = world.write(same, Some(&node_port)).await.unwrap();
    assert_eq!(same.spec, node_port.spec);
    World::assert_claims(&world.claims().await, &all);

    let moved = of("web", json!({"type": "NodePort", "ports": ports(json!(30082))}));
    let moved = world.write(moved, Some(&same)).await.unwrap();
    World::assert_claims(&world.claims().await, &[("10.96.0.10", "web"), ("30081", "web"), ("30082", "web")]);

    let cluster_ip = of("web", json!({"type": "ClusterIP", "ports": ports(json!(30082))}));
    let cluster_ip = world.write(cluster_ip, Some(&moved)).await.unwrap();
    World::assert_claims(&world.claims().await, &[("10.96.0.10", "web")]);

    let alias = of("web", json!({"type": "ExternalName", "externalName": "a.b"}));
    let alias = world.write(alias, Some(&cluster_ip)).await.unwrap();
    World::assert_claims(&world.claims().await, &[]);

    let again = of("web", json!({"clusterIP": "10.96.0.11", "ports": [{"port": 80}]}));
    world.write(again, Some(&alias)).await.unwrap();
    World::assert_claims(&world.claims().await, &[("10.96.0.11", "web")]);
}

#[tokio::test]
async fn health_check_ports_come_and_go() {
    let world = World::single().await;
    let balanced = |policy: &str| {
        of(
            "web",
            json!({"type": "LoadBalancer", "externalTrafficPolicy": policy, "ports": [{"port": 80}],
            "clusterIP": "10.96.0.10", "allocateLoadBalancerNodePorts": false}),
        )
    };
    let cluster = world.write(balanced("Cluster"), None).await.unwrap();
    World::assert_claims(&world.claims().await, &[("10.96.0.10", "web")]);
    let local = world.write(balanced("Local"), Some(&cluster)).await.unwrap();
    let port = spec(&local)["healthCheckNodePort"].to_string();
    World::assert_claims(&world.claims().await, &[("10.96.0.10", "web"), (&port, "web")]);
    let kept = world.write(balanced("Local"), Some(&local)).await.unwrap();
    assert_eq!(spec(&kept)["healthCheckNodePort"].to_string(), port);
    world.write(balanced("Cluster"), Some(&kept)).await.unwrap();
    World::assert_claims(&world.claims().await, &[("10.96.0.10", "web")]);
}

#[tokio::test]
async fn families_are_added_and_removed() {
    let world = World::dual().await;
    let single = world.create("web", json!({"clusterIP": "10.96.0.10", "ports": [{"port": 80}]})).await.unwrap();
    assert_eq!(spec(&single)["ipFamilies"], json!(["IPv4"]));

    let mut dual = single.clone();
    dual.spec.as_mut().unwrap().ip_family_policy = Some("RequireDualStack".to_owned());
    let dual = world.write(dual, Some(&single)).await.unwrap();
    assert_eq!(spec(&dual)["ipFamilies"], json!(["IPv4", "IPv6"]));
    let second = spec(&dual)["clusterIPs"][1].as_str().unwrap().to_owned();
    World::assert_claims(&world.claims().await, &[("10.96.0.10", "web"), (&second, "web")]);

    let mut reduced = dual.clone();
    reduced.spec.as_mut().unwrap().cluster_ips = Some(vec!["10.96.0.10".to_owned()]);
    let refused = "Service \"web\" is invalid: spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be \
                   'SingleStack' to release the secondary cluster IP";
    assert_eq!(world.write(reduced, Some(&dual)).await.unwrap_err(), refused);

    let mut single = dual.clone();
    single.spec.as_mut().unwrap().ip_family_policy = Some("SingleStack".to_owned());
    let single = world.write(single, Some(&dual)).await.unwrap();
    assert_eq!(spec(&single)["clusterIPs"], json!(["10.96.0.10"]));
    World::assert_claims(&world.claims().await, &[("10.96.0.10", "web")]);

    let explicit = json!({"clusterIP": "fd00::5", "clusterIPs": ["fd00::5", "10.96.0.9"],
        "ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 80}]});
    let explicit = world.create("both", explicit).await.unwrap();
    assert_eq!(spec(&explicit)["ipFamilies"], json!(["IPv6", "IPv4"]));
}

#[tokio::test]
async fn ranges_are_used_up_and_then_full() {
    let world = World::new(Config::new("10.0.0.0/27", None, 30_000..=30_019).unwrap()).await;
    let mut created = Vec::new();
    for i in 0..30 {
        created.push(world.create(&format!("s{i}"), json!({"ports": [{"port": 80}]})).await.unwrap());
    }
    let upper: Vec<String> =
        created[..14].iter().map(|service| service.spec.as_ref().unwrap().cluster_ip.clone().unwrap()).collect();
    assert!(upper.iter().all(|ip| ip.rsplit('.').next().unwrap().parse::<u8>().unwrap() > 16), "{upper:?}");
    assert_eq!(world.claims().await.len(), 30);
    let full = "Internal error occurred: failed to allocate a serviceIP: range is full";
    assert_eq!(world.create("more", json!({"ports": [{"port": 80}]})).await.unwrap_err(), full);
    let mut more = of("more", json!({"ports": [{"port": 80}]}));
    assert_eq!(world.begin(&mut more, None, true).await.map(|_| ()).unwrap_err().message, full);

    // What is given back can be had again, and a refused port leaves the address free.
    world.services.release(&world.ledger, &created[0]).await;
    let ports: Vec<Value> = (0..21).map(|i| json!({"name": format!("p{i}"), "port": i + 1})).collect();
    let full = "Internal error occurred: failed to allocate a nodePort: range is full";
    assert_eq!(world.create("ports", json!({"type": "NodePort", "ports": ports})).await.unwrap_err(), full);
    assert_eq!(world.claims().await.len(), 29);
    let last = world.create("last", json!({"ports": [{"port": 80}]})).await.unwrap();
    assert_eq!(spec(&last)["clusterIP"], spec(&created[0])["clusterIP"]);
}

#[tokio::test]
async fn writes_under_way_at_the_same_time_do_not_share_claims() {
    let world = World::single().await;
    let stored = world.create("web", json!({"clusterIP": "10.96.0.10", "ports": [{"port": 80}]})).await.unwrap();
    let wanted = || of("web", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}));
    let (mut first, mut second) = (wanted(), wanted());
    let winner = world.begin(&mut first, Some(&stored), false).await.unwrap();
    let refused = world.begin(&mut second, Some(&stored), false).await.map(|_| ()).unwrap_err();
    assert_eq!(refused.reason, Reason::Invalid);
    winner.commit().await;
    World::assert_claims(&world.claims().await, &[("10.96.0.10", "web"), ("30080", "web")]);

    // A successor of the same name does not lose what it has when its predecessor's claims are given back late.
    let mut successor = of("web", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30081}]}));
    successor.metadata.uid = Some("another".to_owned());
    let successor = world.write(successor, None).await.unwrap();
    first.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].node_port = Some(30_081);
    world.services.release(&world.ledger, &first).await;
    let ip = successor.spec.as_ref().unwrap().cluster_ip.clone().unwrap();
    let claims = world.claims().await;
    assert!(claims.contains_key(&ip) && claims.contains_key("30081"), "{claims:?}");
}

#[tokio::test]
async fn repairs_make_claims_agree_with_services() {
    let world = World::single().await;
    let kept = world.create("kept", json!({"clusterIP": "10.96.0.10", "ports": [{"port": 80}]})).await.unwrap();
    world.create("gone", json!({"clusterIP": "10.96.0.11", "ports": [{"port": 80}]})).await.unwrap();
    let mut restored = of(
        "restored",
        json!({"clusterIP": "10.96.0.12", "clusterIPs": ["10.96.0.12"], "type": "NodePort",
        "ports": [{"port": 80, "nodePort": 30080}]}),
    );
    restored.metadata.uid = Some("from-a-backup".to_owned());
    let services = || [kept.clone(), restored.clone()].into_iter();

    let first = world.repair(services(), Orphans::SeenBefore(&[])).await.unwrap();
    assert_eq!((first.dropped.len(), first.orphans.len(), first.restored.len()), (0, 1, 2));
    assert_eq!(first.orphans[0].item, "10.96.0.11");
    let second = world.repair(services(), Orphans::SeenBefore(&first.orphans)).await.unwrap();
    assert_eq!(second, Report { dropped: first.orphans, ..Report::default() });
    assert_eq!(world.repair(services(), Orphans::All).await.unwrap(), Report::default());
    let all = [("10.96.0.10", "kept"), ("10.96.0.12", "restored"), ("30080", "restored")];
    World::assert_claims(&world.claims().await, &all);

    // What the repair has claimed is the Service's like everything else.
    world.services.release(&world.ledger, &restored).await;
    World::assert_claims(&world.claims().await, &[("10.96.0.10", "kept")]);
}

/// Any of the manifests that a client might come up with, in ranges so small that they collide.
fn arbitrary_spec(random: &mut StdRng) -> Value {
    let mut any = |below: u32| random.next_u32() % below;
    let kind = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"][any(4) as usize];
    let mut spec = json!({"type": kind});
    if kind == "ExternalName" {
        spec["externalName"] = json!("a.b");
        return spec;
    }
    let ports: Vec<Value> = (0..any(3)).map(|i| json!({"name": format!("p{i}"), "port": 80 + any(2)})).collect();
    spec["ports"] = json!(ports);
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        if any(2) == 0 {
            port["nodePort"] = json!(30_000 + any(24));
        }
    }
    match any(6) {
        0 => spec["clusterIP"] = json!("None"),
        1 => spec["clusterIP"] = json!(format!("10.0.0.{}", any(32))),
        2 => spec["ipFamilyPolicy"] = json!("PreferDualStack"),
        3 => spec["ipFamilyPolicy"] = json!("SingleStack"),
        _ => {}
    }
    if kind == "LoadBalancer" && any(2) == 0 {
        spec["externalTrafficPolicy"] = json!("Local");
    }
    spec
}

#[tokio::test]
async fn claims_are_exactly_what_services_use() {
    let config = || Config::new("10.0.0.0/28", Some("fd00::/124"), 30_000..=30_019).unwrap();
    for seed in 0..20 {
        let (world, mut random) = (World::new(config()).await, StdRng::seed_from_u64(seed));
        let mut stored: BTreeMap<String, Service> = BTreeMap::new();
        let (mut written, mut refused) = (0, 0);
        for _ in 0..150 {
            let name = format!("s{}", random.next_u32() % 12);
            let old = stored.get(&name).cloned();
            if let Some(old) = old.as_ref().filter(|_| random.next_u32() % 4 == 0) {
                world.services.release(&world.ledger, old).await;
                stored.remove(&name);
            } else {
                let new = of(&name, arbitrary_spec(&mut random));
                match world.write(new, old.as_ref()).await {
                    Ok(service) => {
                        stored.insert(name, service);
                        written += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
            let used = stored.iter().flat_map(|(name, service)| {
                super::super::allocation::used(service.spec.as_ref().unwrap()).map(|(_, item)| (item, name.clone()))
            });
            assert_eq!(world.claims().await, used.collect(), "seed {seed}");
        }
        assert!(written > 20 && refused > 20, "seed {seed}: {written} written, {refused} refused");
        let repaired = world.repair(stored.into_values(), Orphans::All).await.unwrap();
        assert_eq!(repaired, Report::default(), "seed {seed}");
    }
}
