//! Who uses the simulated cluster: Deployments come, are scaled, rolled, paused and go; pods are deleted, namespaces too.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::cluster::Cluster;
use super::crowd::{Crowd, DEPLOYED, deployed_requests};
use super::invariants::CALM;
use crate::priorities::class_of;

/// How many things are done to a cluster, and how long it is left alone in between at most.
const STEPS: usize = 24;
const PAUSE: Duration = Duration::from_secs(20);
/// How long it may take to come to rest, and how often it is looked at meanwhile.
const REST_WITHIN: Duration = Duration::from_secs(1800);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a user waits before trying again.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// How long a pod may be without a node that it could have, once nothing goes wrong any more.
const NEGLECTED_WITHIN: Duration = Duration::from_secs(120);
/// At each of how many looks it is looked for such pods, as long as there is no rest otherwise.
const NEGLECTED_EVERY: u32 = 6;

/// A user.
pub struct Workload {
    client: Client,
    crowd: Crowd,
    generator: SmallRng,
    /// The Deployments that there are, by namespace and name, and whether each is calm.
    deployments: BTreeMap<(String, String), bool>,
    made: usize,
    /// The newest value of the ledger that was acknowledged.
    acknowledged: u64,
    log: Vec<String>,
}

/// Whether something was done, as far as its user can tell.
pub(super) type Done = Result<(), kube::Error>;

impl Workload {
    /// A user whose doings follow from `seed`.
    #[must_use]
    pub fn new(cluster: &Cluster, seed: u64) -> Workload {
        let client = cluster.network.client("user", &["system:masters"]);
        Workload {
            crowd: Crowd::new(client.clone(), seed),
            client,
            generator: SmallRng::seed_from_u64(seed ^ 0x75_73_65_72),
            deployments: BTreeMap::new(),
            made: 0,
            acknowledged: 0,
            log: Vec::new(),
        }
    }

    /// Makes what is there all the time.
    pub async fn prepare(&self) {
        self.crowd.prepare().await;
    }

    /// Does one thing after the other.
    pub async fn run(&mut self, cluster: &Cluster) {
        for _ in 0..STEPS {
            self.step().await;
            let stirred = self.crowd.stir().await;
            self.log.extend(stirred);
            self.write_ledger().await;
            let pause = Duration::from_millis(self.generator.random_range(0..PAUSE.as_millis() as u64));
            sleep(pause).await;
            self.check(cluster);
        }
    }

    /// Waits until everything is as it has to be in the end.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn settle(&mut self, cluster: &Cluster) {
        self.crowd.calm_down().await;
        for (namespace, name) in self.deployments.clone().into_keys() {
            self.patch(&namespace, &name, &json!({"spec": {"paused": null}})).await;
        }
        let until = Instant::now() + REST_WITHIN;
        let (mut neglected, mut looks) = (BTreeMap::new(), 0);
        loop {
            sleep(LOOK_EVERY).await;
            self.check(cluster);
            let mut wrong = cluster.disk.invariants(|invariants| invariants.unrest());
            wrong.extend(self.missing(cluster));
            // It takes a scheduler's look at everything.
            looks += 1;
            if wrong.is_empty() || looks % NEGLECTED_EVERY == 0 {
                self.look_for_neglected(cluster, &mut neglected);
            }
            wrong.extend(neglected.keys().map(|key| format!("{key} has no node and could have one")));
            if wrong.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "no rest: {wrong:#?}\nafter {:#?}", self.log);
        }
    }

    /// Notes since when pods have had no node that they could have.
    fn look_for_neglected(&self, cluster: &Cluster, since: &mut BTreeMap<String, Instant>) {
        let now = Instant::now();
        let found = cluster.disk.invariants(|invariants| invariants.neglected());
        since.retain(|key, _| found.iter().any(|(other, _)| other == key));
        for (key, place) in found {
            let waits = now - *since.entry(key.clone()).or_insert(now);
            assert!(waits < NEGLECTED_WITHIN, "{key} is neglected: {place}\nafter {:#?}", self.log);
        }
    }

    /// What the user made, and is not there.
    fn missing(&self, cluster: &Cluster) -> Vec<String> {
        let there = cluster.disk.invariants(|invariants| invariants.names("Deployment"));
        self.deployments
            .keys()
            .filter(|wanted| !there.contains(wanted))
            .map(|wanted| format!("{wanted:?} is lost"))
            .collect()
    }

    fn check(&self, cluster: &Cluster) {
        cluster.disk.invariants(|invariants| {
            let violations = invariants.violations();
            assert!(violations.is_empty(), "{violations:#?}\nafter {:#?}", self.log);
            let kept = invariants.ledger("ledger").unwrap_or(0);
            assert!(kept >= self.acknowledged, "{} was acknowledged, and {kept} is there", self.acknowledged);
        });
    }

    async fn step(&mut self) {
        let any = self.any_deployment();
        match (self.generator.random_range(0..12), any) {
            (0..=2, _) | (_, None) => self.create().await,
            (3 | 4, Some((namespace, name))) if !self.is_calm(&namespace, &name) => {
                let replicas = self.generator.random_range(0..8);
                self.note(format!("scale {namespace}/{name} to {replicas}"));
                self.patch(&namespace, &name, &json!({"spec": {"replicas": replicas}})).await;
            }
            (3..=7, Some((namespace, name))) => {
                self.made += 1;
                let version = format!("{}", self.made);
                self.note(format!("roll {namespace}/{name} to {version}"));
                let template = json!({"metadata": {"annotations": {"version": version}}});
                self.patch(&namespace, &name, &json!({"spec": {"template": template}})).await;
            }
            (8, Some((namespace, name))) => {
                let paused = self.generator.random_bool(0.5);
                self.note(format!("pause {namespace}/{name}: {paused}"));
                self.patch(&namespace, &name, &json!({"spec": {"paused": paused}})).await;
            }
            (9, Some((namespace, name))) => self.delete(&namespace, &name).await,
            (10, Some((namespace, name))) if !self.is_calm(&namespace, &name) => {
                self.delete_pod(&namespace, &name).await
            }
            (11, Some((namespace, _))) if namespace != "default" => self.delete_namespace(&namespace).await,
            _ => {}
        }
    }

    fn note(&mut self, what: String) {
        self.log.push(what);
    }

    fn any_deployment(&mut self) -> Option<(String, String)> {
        let keys: Vec<_> = self.deployments.keys().cloned().collect();
        keys.choose(&mut self.generator).cloned()
    }

    fn is_calm(&self, namespace: &str, name: &str) -> bool {
        self.deployments.get(&(namespace.to_owned(), name.to_owned())).copied().unwrap_or(false)
    }

    async fn create(&mut self) {
        self.made += 1;
        let name = format!("web-{}", self.made);
        let namespace =
            if self.generator.random_bool(0.4) { format!("shop-{}", self.made) } else { "default".to_owned() };
        let calm = self.generator.random_bool(0.5) && !self.crowd.is_rough();
        let deployment = self.deployment(&name, calm);
        self.note(format!("create {namespace}/{name}, calm: {calm}: {}", deployment["spec"]["strategy"]));
        if namespace != "default" {
            let object = json!({"metadata": {"name": namespace}});
            let api: Api<Namespace> = Api::all(self.client.clone());
            certainly(async || create(&api, &object).await).await;
        }
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &namespace);
        certainly(async || create(&api, &deployment).await).await;
        self.deployments.insert((namespace, name), calm);
    }

    fn deployment(&mut self, name: &str, calm: bool) -> Value {
        let replicas = self.generator.random_range(1..6);
        let surge = self.generator.random_range(0..3);
        let unavailable = if surge == 0 { 1 } else { self.generator.random_range(0..2) };
        let strategy = if !calm && self.generator.random_bool(0.2) {
            json!({"type": "Recreate"})
        } else {
            let rolling = json!({"maxSurge": surge, "maxUnavailable": unavailable});
            json!({"type": "RollingUpdate", "rollingUpdate": rolling})
        };
        let labels = if calm { json!({CALM: "true"}) } else { json!({}) };
        json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": replicas,
                "strategy": strategy,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "terminationGracePeriodSeconds": self.generator.random_range(1..20),
                        "priorityClassName": class_of(DEPLOYED[usize::from(calm)]),
                        "containers": [{"name": "web", "image": "web:1", "resources": deployed_requests()}],
                    },
                },
            },
        })
    }

    async fn patch(&self, namespace: &str, name: &str, patch: &Value) {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        certainly(async || api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)).await;
    }

    async fn delete(&mut self, namespace: &str, name: &str) {
        let foreground = self.generator.random_bool(0.5);
        self.note(format!("delete {namespace}/{name}, foreground: {foreground}"));
        let params = if foreground { DeleteParams::foreground() } else { DeleteParams::background() };
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        certainly(async || api.delete(name, &params).await.map(drop)).await;
        self.deployments.remove(&(namespace.to_owned(), name.to_owned()));
    }

    async fn delete_pod(&mut self, namespace: &str, name: &str) {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let Ok(pods) = api.list(&ListParams::default().labels(&format!("app={name}"))).await else { return };
        let Some(pod) = pods.items.choose(&mut self.generator).and_then(|pod| pod.metadata.name.clone()) else {
            return;
        };
        self.note(format!("delete pod {namespace}/{pod}"));
        certainly(async || api.delete(&pod, &DeleteParams::default()).await.map(drop)).await;
    }

    async fn delete_namespace(&mut self, namespace: &str) {
        self.note(format!("delete namespace {namespace}"));
        let api: Api<Namespace> = Api::all(self.client.clone());
        certainly(async || api.delete(namespace, &DeleteParams::default()).await.map(drop)).await;
        self.deployments.retain(|(within, _), _| within != namespace);
    }

    /// Writes the next value down, by which it is seen whether anything that was acknowledged is lost.
    async fn write_ledger(&mut self) {
        let value = self.acknowledged + 1;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), "default");
        let data = json!({"metadata": {"name": "ledger"}, "data": {"value": value.to_string()}});
        let patch = Patch::Merge(&data);
        certainly(async || match api.patch("ledger", &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.code == 404 => create(&api, &data).await,
            outcome => outcome.map(drop),
        })
        .await;
        self.acknowledged = value;
    }
}

pub(super) async fn create<K>(api: &Api<K>, object: &Value) -> Done
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    let object: K = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &object).await {
        // Made before, and the answer lost.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        outcome => outcome.map(drop),
    }
}

/// Does something until the server says that it is done, or that there is nothing to do it to.
pub(super) async fn certainly(act: impl AsyncFn() -> Done) {
    loop {
        match act().await {
            Ok(()) => return,
            Err(kube::Error::Api(status)) if status.code == 404 => return,
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && !matches!(status.code, 409 | 429) => {
                panic!("refused: {status:?}");
            }
            Err(_) => sleep(RETRY).await,
        }
    }
}
