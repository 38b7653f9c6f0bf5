//! What plugins are made of that are told how to behave.
//!
//! The arguments were checked when the configuration was read, so that every one of them can be followed.

use std::time::Duration;

use api::selector::node::Selector;

use super::default_preemption::DefaultPreemption;
use super::inter_pod_affinity::InterPodAffinity;
use super::node_affinity::NodeAffinity;
use super::node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
use super::node_resources_fit::{NodeResourcesFit, Strategy};
use super::resource_scoring::WeightedResource;
use super::volume_binding::VolumeBinding;
use crate::config::{
    DefaultPreemptionArgs, InterPodAffinityArgs, NodeAffinityArgs, NodeResourcesBalancedAllocationArgs,
    NodeResourcesFitArgs, ResourceSpec, ScoringStrategy, UtilizationShapePoint, VolumeBindingArgs,
};
use crate::cycle::MAX_SCORE;
use crate::snapshot::PreferredNodes;

/// The best score that a shape gives.
const MAX_SHAPE_SCORE: i64 = 10;

impl From<&DefaultPreemptionArgs> for DefaultPreemption {
    fn from(args: &DefaultPreemptionArgs) -> Self {
        let number = |number: i32| usize::try_from(number).unwrap_or_default();
        Self {
            min_candidate_nodes_percentage: number(args.min_candidate_nodes_percentage),
            min_candidate_nodes_absolute: number(args.min_candidate_nodes_absolute),
        }
    }
}

impl From<&InterPodAffinityArgs> for InterPodAffinity {
    fn from(args: &InterPodAffinityArgs) -> Self {
        Self {
            hard_pod_affinity_weight: args.hard_pod_affinity_weight.into(),
            ignore_preferred_terms_of_existing_pods: args.ignore_preferred_terms_of_existing_pods,
        }
    }
}

impl From<&NodeAffinityArgs> for NodeAffinity {
    fn from(args: &NodeAffinityArgs) -> Self {
        let added = args.added_affinity.as_ref();
        let required = added.and_then(|added| added.required_during_scheduling_ignored_during_execution.as_ref());
        Self { required: required.map(Selector::from_api), preferred: PreferredNodes::all(added) }
    }
}

impl From<&NodeResourcesBalancedAllocationArgs> for NodeResourcesBalancedAllocation {
    fn from(args: &NodeResourcesBalancedAllocationArgs) -> Self {
        Self { resources: weighted(&args.resources) }
    }
}

impl From<&NodeResourcesFitArgs> for NodeResourcesFit {
    fn from(args: &NodeResourcesFitArgs) -> Self {
        Self {
            strategy: Strategy::from(&args.scoring_strategy),
            resources: weighted(&args.scoring_strategy.resources),
            ignored_resources: args.ignored_resources.clone(),
            ignored_resource_groups: args.ignored_resource_groups.clone(),
        }
    }
}

impl From<&ScoringStrategy> for Strategy {
    fn from(strategy: &ScoringStrategy) -> Self {
        match strategy.kind.as_str() {
            "MostAllocated" => Self::MostAllocated,
            "RequestedToCapacityRatio" => {
                let ratio = strategy.requested_to_capacity_ratio.as_ref();
                Self::RequestedToCapacityRatio(ratio.map_or_else(Vec::new, |ratio| shape(&ratio.shape)))
            }
            _ => Self::LeastAllocated,
        }
    }
}

impl From<&VolumeBindingArgs> for VolumeBinding {
    fn from(args: &VolumeBindingArgs) -> Self {
        let seconds = args.bind_timeout_seconds.try_into().unwrap_or_default();
        Self { timeout: Duration::from_secs(seconds), shape: shape(&args.shape) }
    }
}

fn shape(points: &[UtilizationShapePoint]) -> Vec<(i64, i64)> {
    let point = |UtilizationShapePoint { utilization, score }: &UtilizationShapePoint| {
        (i64::from(*utilization), i64::from(*score) * (MAX_SCORE / MAX_SHAPE_SCORE))
    };
    points.iter().map(point).collect()
}

fn weighted(resources: &[ResourceSpec]) -> Vec<WeightedResource> {
    let read = |resource: &ResourceSpec| WeightedResource { name: resource.name.clone(), weight: resource.weight };
    resources.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Node, Pod};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use serde_json::{Value, json};

    use super::*;
    use crate::config;
    use crate::cycle::{Attempt, Candidate, Decision, PostFilter, Profile, schedule};
    use crate::snapshot::{PodInfo, Snapshot};
    use crate::testing::{self, requesting};

    /// A profile in which only this plugin, which is told this, scores, if it does.
    fn profile(plugin: &str, args: &str) -> Profile {
        let scores = Profile::default().scores().any(|(other, _)| other.name() == plugin);
        let enabled = if scores { format!("{{name: {plugin}}}") } else { String::new() };
        let text = format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- plugins: {{score: \
             {{disabled: [{{name: '*'}}], enabled: [{enabled}]}}}}\n  pluginConfig:\n  - name: {plugin}\n    args: {args}\n"
        );
        let configuration = config::load(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        Profile::all(&configuration).unwrap().pop().unwrap()
    }

    fn decide(snapshot: &Snapshot, profile: &Profile, pod: &Pod) -> Decision {
        let info = PodInfo::new(pod);
        let candidate = Candidate { uid: "p", info: &info, nominated_node: None };
        schedule(snapshot, profile, &candidate, 0, &mut StdRng::seed_from_u64(0))
    }

    /// Where the pod goes, or why it goes nowhere, if the plugin is told this.
    fn check(plugin: &str, args: &str, (nodes, pods): (&[Node], &[(&str, Pod)]), pod: &Pod, expected: &str) {
        let snapshot = testing::snapshot(nodes, pods);
        let decision = decide(&snapshot, &profile(plugin, args), pod);
        let told = decision.node.map_or_else(|| decision.verdicts.message(""), |n| snapshot.node(n).name.clone());
        assert_eq!(told, expected, "{plugin} {args}");
    }

    fn node(name: &str, resources: Value) -> Node {
        testing::node(name, json!({"metadata": {"labels": {"zone": name}}, "status": {"allocatable": resources}}))
    }

    fn pod(name: &str, requests: Value) -> Pod {
        testing::pod(name, requesting(requests))
    }

    #[test]
    fn nodes_are_chosen_by_how_full_they_are() {
        let resources = || json!({"cpu": "10", "memory": "10Gi", "x.io/gpu": "4"});
        let nodes = ["empty", "half", "full"].map(|name| node(name, resources()));
        let taken = |cpu: &str, memory: &str, gpu: &str| json!({"cpu": cpu, "memory": memory, "x.io/gpu": gpu});
        let pods = [("half", pod("a", taken("5", "2Gi", "3"))), ("full", pod("b", taken("8", "8Gi", "2")))];
        let check = |args: &str, wanted, expected| {
            check("NodeResourcesFit", args, (&nodes, &pods), &pod("p", wanted), expected);
        };
        let one = || json!({"cpu": "1", "memory": "1Gi"});
        check("{}", one(), "empty");
        check("{scoringStrategy: {type: LeastAllocated}}", one(), "empty");
        check("{scoringStrategy: {type: MostAllocated}}", one(), "full");
        let gpu = "resources: [{name: x.io/gpu, weight: 3}, {name: cpu, weight: 1}]";
        let with_gpu = || json!({"cpu": "1", "x.io/gpu": "1"});
        check(&format!("{{scoringStrategy: {{type: MostAllocated, {gpu}}}}}"), with_gpu(), "half");
        let ratio = |shape: &str| {
            format!(
                "{{scoringStrategy: {{type: RequestedToCapacityRatio, resources: [{{name: cpu}}], \
                 requestedToCapacityRatio: {{shape: [{shape}]}}}}}}"
            )
        };
        check(&ratio("{utilization: 0, score: 0}, {utilization: 100, score: 10}"), one(), "full");
        check(&ratio("{utilization: 0, score: 10}, {utilization: 100, score: 0}"), one(), "empty");
        let hill = "{utilization: 20, score: 0}, {utilization: 60, score: 10}, {utilization: 80, score: 0}";
        check(&ratio(hill), one(), "half");
    }

    #[test]
    fn shapes_are_scaled() {
        let args = "{scoringStrategy: {type: RequestedToCapacityRatio, resources: [{name: cpu}], \
                    requestedToCapacityRatio: {shape: [{utilization: 0, score: 3}, {utilization: 100, score: 10}]}}}";
        let profile = profile("NodeResourcesFit", args);
        let snapshot = testing::snapshot(&[node("n", json!({"cpu": "10"}))], &[]);
        let check = |cpu: &str, expected: i64| {
            let info = PodInfo::new(&pod("p", json!({ "cpu": cpu })));
            let (plugin, _) = profile.scores().next().unwrap();
            let judge = plugin.pre_score(&snapshot, &info, snapshot.order()).unwrap();
            assert_eq!(judge.score(snapshot.order()[0]), expected);
        };
        check("0", 30);
        check("5", 65);
        check("10", 100);
    }

    #[test]
    fn volumes_are_waited_for_and_scored_as_told() {
        let check = |args: Value, seconds: u64, shape: &[(i64, i64)]| {
            let told = VolumeBinding::from(&testing::object::<VolumeBindingArgs>(args));
            assert_eq!((told.timeout, told.shape.as_slice()), (Duration::from_secs(seconds), shape));
        };
        let point = |utilization: i32, score: i32| json!({"utilization": utilization, "score": score});
        check(json!({"shape": [point(0, 10), point(100, 0)]}), 600, &VolumeBinding::default().shape);
        check(json!({"bindTimeoutSeconds": 5, "shape": [point(20, 3)]}), 5, &[(20, 30)]);
    }

    #[test]
    fn resources_may_be_ignored() {
        let nodes = [node("n", json!({"cpu": "1"}))];
        let check = |args: &str, expected| {
            let wanting = pod("p", json!({"x.io/gpu": "1"}));
            check("NodeResourcesFit", args, (&nodes, &[]), &wanting, expected);
        };
        check("{}", "0/1 nodes are available: 1 Insufficient x.io/gpu.");
        check("{ignoredResources: [x.io/gpu]}", "n");
        check("{ignoredResources: [x.io/other]}", "0/1 nodes are available: 1 Insufficient x.io/gpu.");
        check("{ignoredResourceGroups: [x.io]}", "n");
    }

    #[test]
    fn balance_is_of_the_resources_that_are_named() {
        let nodes = ["a", "b"].map(|name| node(name, json!({"cpu": "10", "memory": "10Gi", "x.io/gpu": "10"})));
        let taken = |cpu: &str, memory: &str, gpu: &str| json!({"cpu": cpu, "memory": memory, "x.io/gpu": gpu});
        let pods = [("a", pod("c", taken("1", "5Gi", "9"))), ("b", pod("d", taken("1", "1Gi", "1")))];
        let check = |args: &str, wanted, expected| {
            check("NodeResourcesBalancedAllocation", args, (&nodes, &pods), &pod("p", wanted), expected);
        };
        check("{}", json!({"cpu": "4", "x.io/gpu": "1"}), "a");
        check("{resources: [{name: cpu, weight: 1}, {name: memory, weight: 1}]}", json!({"cpu": "4"}), "a");
        let memory_and_gpu = "{resources: [{name: memory, weight: 1}, {name: x.io/gpu, weight: 1}]}";
        check(memory_and_gpu, json!({"memory": "4Gi", "x.io/gpu": "1"}), "a");
        check(memory_and_gpu, json!({"memory": "1Gi", "x.io/gpu": "8"}), "b");
    }

    #[test]
    fn affinity_is_added() {
        let nodes = ["a", "b", "c"].map(|name| node(name, json!({"cpu": "1"})));
        let terms = |zones: &str| format!("[{{matchExpressions: [{{key: zone, operator: In, values: [{zones}]}}]}}]");
        let required = |zones: &str| {
            let terms = terms(zones);
            format!(
                "{{addedAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: {terms}}}}}}}"
            )
        };
        let check = |args: &str, spec: Value, expected| {
            check("NodeAffinity", args, (&nodes, &[]), &testing::pod("p", spec), expected);
        };
        check(&required("b"), json!({}), "b");
        let both = json!({"nodeSelector": {"zone": "a"}});
        let nowhere = "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't match \
                       scheduler-enforced node affinity.";
        check(&required("b"), both, nowhere);
        let preference = "{matchExpressions: [{key: zone, operator: In, values: [c]}]}";
        let preferred = format!("[{{weight: 5, preference: {preference}}}]");
        let preferred = format!("{{addedAffinity: {{preferredDuringSchedulingIgnoredDuringExecution: {preferred}}}}}");
        check(&preferred, json!({}), "c");
        check(&preferred, json!({"nodeSelector": {"zone": "a"}}), "a");
    }

    #[test]
    fn what_others_want_counts_as_is_said() {
        let nodes = ["a", "b"].map(|name| node(name, json!({"cpu": "1"})));
        let wanting = |name: &str, affinity: Value| testing::pod(name, json!({"affinity": {"podAffinity": affinity}}));
        let term = json!({"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "p"}}});
        let preferred =
            json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 2, "podAffinityTerm": term}]});
        let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
        let pods = [("a", wanting("a", preferred)), ("b", wanting("b", required))];
        let mut pod = testing::pod("p", json!({}));
        pod.metadata.labels = Some([("app".to_owned(), "p".to_owned())].into());
        let check = |args: &str, expected| check("InterPodAffinity", args, (&nodes, &pods), &pod, expected);
        check("{}", "a");
        check("{hardPodAffinityWeight: 3}", "b");
        let scores = |args: &str| {
            let (profile, snapshot) = (profile("InterPodAffinity", args), testing::snapshot(&nodes, &pods));
            let (plugin, _) = profile.scores().next().unwrap();
            plugin.pre_score(&snapshot, &PodInfo::new(&pod), snapshot.order()).is_some()
        };
        assert!(scores("{}"));
        assert!(!scores("{ignorePreferredTermsOfExistingPods: true}"));
    }

    #[test]
    fn so_many_nodes_are_looked_into_to_make_room() {
        let names: Vec<String> = (0..50).map(|i| format!("n{i}")).collect();
        let nodes: Vec<Node> = names.iter().map(|name| node(name, json!({"cpu": "1"}))).collect();
        let victim = |(i, name): (usize, &String)| {
            let mut victim = pod(name, json!({"cpu": "1"}));
            victim.spec.as_mut().unwrap().priority = Some(i32::try_from(i).unwrap());
            (name.clone(), victim)
        };
        let pods: Vec<(String, Pod)> = names.iter().enumerate().map(victim).collect();
        let pods: Vec<(&str, Pod)> = pods.iter().map(|(node, pod)| (node.as_str(), pod.clone())).collect();
        let snapshot = testing::snapshot(&nodes, &pods);
        let mut important = pod("p", json!({"cpu": "1"}));
        important.spec.as_mut().unwrap().priority = Some(100);
        let chosen = |args: &str, seed: u64| {
            let profile = profile("DefaultPreemption", args);
            let decision = decide(&snapshot, &profile, &important);
            let info = PodInfo::new(&important);
            let pod = Candidate { uid: "p", info: &info, nominated_node: None };
            let attempt = Attempt { snapshot: &snapshot, profile: &profile, pod: &pod, verdicts: &decision.verdicts };
            let plugin = profile.plugins().iter().find(|plugin| plugin.name() == "DefaultPreemption").unwrap();
            match plugin.post_filter(&attempt, &mut StdRng::seed_from_u64(seed)) {
                Some(PostFilter::Room { node, .. }) => snapshot.node(node).name.clone(),
                other => panic!("{other:?}"),
            }
        };
        // The first is the best. It is found if all are looked into.
        let best = |args: &str| (0..20).filter(|seed| chosen(args, *seed) == "n0").count();
        assert_eq!(best("{}"), 20);
        assert_eq!(best("{minCandidateNodesPercentage: 100, minCandidateNodesAbsolute: 0}"), 20);
        assert!(best("{minCandidateNodesPercentage: 10, minCandidateNodesAbsolute: 0}") < 10);
        assert!(best("{minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 1}") < 10);
        assert_eq!(best("{minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 50}"), 20);
    }
}
