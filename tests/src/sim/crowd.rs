//! Pods that compete for nodes, and what becomes of nodes meanwhile: pods that ask for much or little, are more or less
//! important, keep apart, take ports, want to be spread; and nodes that are cordoned, tainted, deleted and come back.
//!
//! There is always room for what Deployments want ([`DEPLOYED`]), since only few pods are more important.

use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::guarded::IMPORTANT;
use super::workload::{Done, RETRY, certainly, create};
use crate::priorities::{class, class_of};

/// How many nodes there are.
pub const NODES: u32 = 3;
/// What each has of processors, in thousandths.
pub const NODE_CPU: i64 = 8 * 1000;
/// How important pods of Deployments are: ordinary ones, and those that nobody may take away.
pub const DEPLOYED: [i32; 2] = [50, 1000];

/// What requests are multiples of.
const GRAIN: i64 = 100;
/// The label of pods of which a budget keeps some.
const KEPT: &str = "sim.gantry.io/kept";
/// How many pods there are at most in a run that are more important than those of Deployments.
const MOST_URGENT: usize = 2;
/// How important those are.
const URGENT: i32 = DEPLOYED[0] + 10;
/// How important the others are.
const PRIORITIES: [i32; 4] = [0, 10, 20, 30];
const TAINT: &str = "sim.gantry.io/tainted";
const NAMESPACE: &str = "default";

/// The pods, and who makes them.
pub struct Crowd {
    client: Client,
    generator: SmallRng,
    /// Whether nodes are deleted, too.
    rough: bool,
    names: Vec<String>,
    made: usize,
    urgent: usize,
}

impl Crowd {
    /// A crowd whose doings follow from `seed`.
    #[must_use]
    pub fn new(client: Client, seed: u64) -> Crowd {
        let generator = SmallRng::seed_from_u64(seed ^ 0x0063_726f_7764);
        let rough = seed.is_multiple_of(3);
        Crowd { client, generator, rough, names: Vec::new(), made: 0, urgent: 0 }
    }

    /// Whether pods may be lost with their nodes.
    #[must_use]
    pub fn is_rough(&self) -> bool {
        self.rough
    }

    /// Makes the budget.
    pub async fn prepare(&self) {
        let classes: Api<PriorityClass> = Api::all(self.client.clone());
        for priority in [&PRIORITIES[..], &DEPLOYED, &IMPORTANT, &[URGENT]].concat() {
            certainly(async || create(&classes, &class(priority)).await).await;
        }
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), NAMESPACE);
        let selector = json!({"matchLabels": {KEPT: "yes"}});
        let budget = json!({"metadata": {"name": "kept"}, "spec": {"minAvailable": 2, "selector": selector}});
        // The namespace may not be there yet.
        while create(&budgets, &budget).await.is_err() {
            sleep(RETRY).await;
        }
        // Nor may the account be as which its pods run.
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), NAMESPACE);
        while accounts.get("default").await.is_err() {
            sleep(RETRY).await;
        }
    }

    /// Does some things, and says what.
    pub async fn stir(&mut self) -> Vec<String> {
        let mut log = Vec::new();
        for _ in 0..self.generator.random_range(0..3) {
            log.push(self.add().await);
        }
        if self.generator.random_bool(0.2)
            && let Some(name) = self.names.choose(&mut self.generator).cloned()
        {
            self.names.retain(|other| *other != name);
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
            certainly(async || pods.delete(&name, &DeleteParams::default()).await.map(drop)).await;
            log.push(format!("delete pod {name}"));
        }
        let node = format!("hollow-{}", self.generator.random_range(0..NODES));
        match self.generator.random_range(0..20) {
            0 => {
                self.change_node(&node, |node| node["spec"]["unschedulable"] = json!(true)).await;
                log.push(format!("cordon {node}"));
            }
            1 | 2 => {
                self.change_node(&node, uncordon).await;
                log.push(format!("uncordon {node}"));
            }
            3 => {
                self.change_node(&node, taint).await;
                log.push(format!("taint {node}"));
            }
            4 | 5 => {
                self.change_node(&node, untaint).await;
                log.push(format!("untaint {node}"));
            }
            6 | 7 if self.rough => {
                let nodes: Api<Node> = Api::all(self.client.clone());
                certainly(async || nodes.delete(&node, &DeleteParams::default()).await.map(drop)).await;
                log.push(format!("delete node {node}"));
            }
            8..=10 if self.rough => {
                self.return_node(&node).await;
                log.push(format!("return node {node}"));
            }
            _ => {}
        }
        log
    }

    /// Has all nodes take pods again.
    pub async fn calm_down(&self) {
        for number in 0..NODES {
            let name = format!("hollow-{number}");
            self.return_node(&name).await;
            self.change_node(&name, |node| {
                uncordon(node);
                untaint(node);
            })
            .await;
        }
    }

    async fn return_node(&self, name: &str) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        certainly(async || create(&nodes, &json!({"metadata": {"name": name}})).await).await;
    }

    async fn change_node(&self, name: &str, change: impl Fn(&mut Value)) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        certainly(async || -> Done {
            let mut node = json!(nodes.get(name).await?);
            change(&mut node);
            let node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
            nodes.replace(name, &PostParams::default(), &node).await.map(drop)
        })
        .await;
    }

    async fn add(&mut self) -> String {
        self.made += 1;
        let name = format!("crowd-{}", self.made);
        let mut pod = self.pod();
        pod["metadata"]["name"] = json!(name);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        certainly(async || create(&pods, &pod).await).await;
        self.names.push(name);
        format!("create {pod}")
    }

    /// One of the kinds of pods, but for its name.
    fn pod(&mut self) -> Value {
        let generator = &mut self.generator;
        let mut priority = *PRIORITIES.choose(generator).unwrap_or(&0);
        let mut cpu = GRAIN * generator.random_range(8..48);
        let grace = generator.random_range(1..15);
        let mut pod = json!({
            "metadata": {"labels": {}, "annotations": {}},
            "spec": {"terminationGracePeriodSeconds": grace, "containers": [{"name": "c", "image": "crowd:1"}]},
        });
        let (labels, spec) = match generator.random_range(0..8) {
            0 | 1 => (json!({KEPT: "yes"}), json!({})),
            2 => {
                let group = *["a", "b"].choose(generator).unwrap_or(&"a");
                cpu = 5 * GRAIN;
                (json!({"alone": group}), json!({"affinity": {"podAntiAffinity": apart(group)}}))
            }
            3 => {
                cpu = 3 * GRAIN;
                let port = json!([{"containerPort": 80, "hostPort": 8000 + generator.random_range(0..2)}]);
                pod["spec"]["containers"][0]["ports"] = port;
                (json!({}), json!({}))
            }
            4 => {
                cpu = 4 * GRAIN;
                (json!({"even": "yes"}), json!({"topologySpreadConstraints": [even()]}))
            }
            5 => {
                pod["metadata"]["annotations"] =
                    json!({kubelet::hollow::RUN_SECONDS: generator.random_range(5..60).to_string()});
                (json!({}), json!({"restartPolicy": "Never"}))
            }
            6 if self.urgent < MOST_URGENT => {
                self.urgent += 1;
                priority = URGENT;
                (json!({}), json!({"tolerations": [{"key": TAINT, "operator": "Exists"}]}))
            }
            7 => {
                let node = format!("hollow-{}", generator.random_range(0..NODES));
                (json!({}), json!({"nodeSelector": {"kubernetes.io/hostname": node}}))
            }
            _ => (json!({}), json!({})),
        };
        pod["metadata"]["labels"] = labels;
        for (field, value) in spec.as_object().into_iter().flatten() {
            pod["spec"][field] = value.clone();
        }
        pod["spec"]["priorityClassName"] = json!(class_of(priority));
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": format!("{cpu}m")}});
        pod
    }
}

/// What pods of Deployments request.
#[must_use]
pub fn deployed_requests() -> Value {
    json!({"requests": {"cpu": format!("{GRAIN}m")}})
}

fn apart(group: &str) -> Value {
    let selector = json!({"matchLabels": {"alone": group}});
    let term = json!({"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"});
    json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]})
}

fn even() -> Value {
    json!({
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"even": "yes"}},
    })
}

fn uncordon(node: &mut Value) {
    node["spec"]["unschedulable"] = Value::Null;
}

fn taints(node: &Value) -> Vec<Value> {
    let taints = node["spec"]["taints"].as_array().into_iter().flatten();
    taints.filter(|taint| taint["key"] != TAINT).cloned().collect()
}

fn taint(node: &mut Value) {
    let mut taints = taints(node);
    taints.push(json!({"key": TAINT, "effect": "NoSchedule"}));
    node["spec"]["taints"] = taints.into();
}

fn untaint(node: &mut Value) {
    node["spec"]["taints"] = taints(node).into();
}
