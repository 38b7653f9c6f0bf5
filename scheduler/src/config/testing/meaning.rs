//! What files mean.

use serde_json::{Value, json};

use super::*;

fn meaning(file: &str) -> Value {
    serde_json::to_value(load(file).unwrap_or_else(|error| panic!("{file}: {error}"))).unwrap()
}

/// What of a file's meaning is where a pointer points.
fn check(file: &str, pointer: &str, expected: Value) {
    assert_eq!(meaning(file).pointer(pointer), Some(&expected), "{file} {pointer}");
}

#[test]
fn a_scheduler_that_is_told_nothing() {
    let said = file("");
    assert_eq!(load(&said), Ok(Configuration::default()));
    check(&said, "/parallelism", json!(16));
    check(&said, "/percentageOfNodesToScore", json!(0));
    check(&said, "/podInitialBackoffSeconds", json!(1));
    check(&said, "/podMaxBackoffSeconds", json!(10));
    check(&said, "/enableContentionProfiling", json!(true));
    check(&said, "/profiles/0/schedulerName", json!("default-scheduler"));
    let election = json!({
        "leaderElect": true, "leaseDuration": "15s", "renewDeadline": "10s", "retryPeriod": "2s",
        "resourceLock": "leases", "resourceName": "kube-scheduler", "resourceNamespace": "kube-system",
    });
    check(&said, "/leaderElection", election);
    let client = json!({
        "kubeconfig": "", "acceptContentTypes": "", "contentType": "application/vnd.kubernetes.protobuf",
        "qps": 50.0, "burst": 100,
    });
    check(&said, "/clientConnection", client);
    let names =
        load(&said).unwrap().profiles[0].plugin_config.iter().map(|config| config.name.clone()).collect::<Vec<_>>();
    let expected = [
        "DefaultPreemption",
        "DynamicResources",
        "InterPodAffinity",
        "NodeAffinity",
        "NodeResourcesBalancedAllocation",
        "NodeResourcesFit",
        "PodTopologySpread",
        "VolumeBinding",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_scheduler_that_is_told_something() {
    let said = file(
        "parallelism: 4\nleaderElection: {leaderElect: false, leaseDuration: 1m}\nclientConnection: {qps: -1}\n\
         enableProfiling: false\npercentageOfNodesToScore: 40\npodMaxBackoffSeconds: 90\ndelayCacheUntilActive: true\n",
    );
    check(&said, "/parallelism", json!(4));
    check(&said, "/leaderElection/leaderElect", json!(false));
    check(&said, "/leaderElection/leaseDuration", json!("1m0s"));
    check(&said, "/clientConnection/qps", json!(-1.0));
    check(&said, "/enableContentionProfiling", Value::Null);
    check(&said, "/percentageOfNodesToScore", json!(40));
    check(&said, "/podMaxBackoffSeconds", json!(90));
    let nothing = file("profiles: null\nleaderElection: null\nparallelism: ~\n");
    assert_eq!(load(&nothing), Ok(Configuration::default()));
    let json =
        r#"{"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "parallelism": 3}"#;
    check(json, "/parallelism", json!(3));
    let two = file("profiles:\n- schedulerName: a\n- schedulerName: b\n  percentageOfNodesToScore: 5\n");
    check(&two, "/profiles/1/percentageOfNodesToScore", json!(5));
}

fn check_arguments(plugin: &str, args: &str, expected: Value) {
    check(&arguments(plugin, args), "/profiles/0/pluginConfig/0/args", expected);
}

#[test]
fn arguments_are_completed() {
    let both = json!([{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]);
    let least = json!({"type": "LeastAllocated", "resources": both, "requestedToCapacityRatio": null});
    let fit = json!({"ignoredResources": [], "ignoredResourceGroups": [], "scoringStrategy": least});
    check_arguments("NodeResourcesFit", "", fit.clone());
    check_arguments(
        "NodeResourcesFit",
        "{apiVersion: kubescheduler.config.k8s.io/v1, kind: NodeResourcesFitArgs}",
        fit,
    );
    let most = "{scoringStrategy: {type: MostAllocated, resources: [{name: a.b/c, weight: 5}, {name: cpu}]}}";
    check_arguments(
        "NodeResourcesFit",
        most,
        json!({"ignoredResources": [], "ignoredResourceGroups": [], "scoringStrategy": {
            "type": "MostAllocated",
            "resources": [{"name": "a.b/c", "weight": 5}, {"name": "cpu", "weight": 1}],
            "requestedToCapacityRatio": null,
        }}),
    );
    check_arguments("NodeResourcesBalancedAllocation", "{}", json!({"resources": both}));
    check_arguments(
        "DefaultPreemption",
        "{minCandidateNodesPercentage: 50}",
        json!({"minCandidateNodesPercentage": 50, "minCandidateNodesAbsolute": 100}),
    );
    check_arguments(
        "InterPodAffinity",
        "{ignorePreferredTermsOfExistingPods: true}",
        json!({"hardPodAffinityWeight": 1, "ignorePreferredTermsOfExistingPods": true}),
    );
    let shape = json!([{"utilization": 0, "score": 10}, {"utilization": 100, "score": 0}]);
    check_arguments("VolumeBinding", "{}", json!({"bindTimeoutSeconds": 600, "shape": shape}));
    check_arguments("PodTopologySpread", "{}", json!({"defaultConstraints": [], "defaultingType": "System"}));
    check_arguments("DynamicResources", "{}", json!({"filterTimeout": "10s", "bindingTimeout": "10m0s"}));
    check_arguments("NodeAffinity", "{}", json!({"addedAffinity": null}));
    check_arguments("OutOfTree", "{foo: {bar: [1]}}", json!({"foo": {"bar": [1]}}));
    check_arguments("OutOfTree", "", Value::Null);
}

#[test]
fn arguments_that_are_kubernetes_objects() {
    let constraint = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"});
    check_arguments(
        "PodTopologySpread",
        "{defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}",
        json!({"defaultConstraints": [constraint], "defaultingType": "List"}),
    );
    let term = "{matchExpressions: [{key: foo, operator: In, values: [bar]}]}";
    check_arguments(
        "NodeAffinity",
        &format!(
            "{{addedAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [{term}]}}}}}}"
        ),
        json!({"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "foo", "operator": "In", "values": ["bar"]}]},
        ]}}}),
    );
}
