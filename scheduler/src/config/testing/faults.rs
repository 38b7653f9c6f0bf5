//! What is wrong with files, and how it is said.

use proptest::prelude::*;

use super::*;

fn check(file: &str, expected: &str) {
    let error = load(file).expect_err(file);
    assert_eq!(error.to_string(), expected, "{file}");
}

#[test]
fn files_that_are_of_another_kind() {
    check("", "Object 'Kind' is missing");
    check("apiVersion: kubescheduler.config.k8s.io/v1\n", "Object 'Kind' is missing");
    check("kind: KubeSchedulerConfiguration\n", "Object 'apiVersion' is missing");
    check(
        "apiVersion: kubescheduler.config.k8s.io/v1beta3\nkind: KubeSchedulerConfiguration\n",
        "no kind \"KubeSchedulerConfiguration\" is registered for version \"kubescheduler.config.k8s.io/v1beta3\"",
    );
    check("apiVersion: v1\nkind: Pod\n", "no kind \"Pod\" is registered for version \"v1\"");
    let twice = load(&file("parallelism: 1\nparallelism: 2\n")).unwrap_err().to_string();
    assert!(twice.contains("parallelism"), "{twice}");
}

#[test]
fn fields_that_do_not_exist_are_named() {
    check(&file("paralellism: 1\n"), "strict decoding error: unknown field \"paralellism\"");
    check(
        &file("leaderElection:\n  leaderelect: true\nprofiles:\n- plugins:\n    filter:\n      Enabled: []\n"),
        "strict decoding error: unknown field \"leaderElection.leaderelect\", \
         unknown field \"profiles[0].plugins.filter.Enabled\"",
    );
    check(
        &arguments("NodeResourcesFit", "{scoringStrategy: {resources: [{Name: cpu, Weight: 1}]}}"),
        "strict decoding error: decoding .profiles[0].pluginConfig[0]: strict decoding error: decoding args for plugin \
         NodeResourcesFit: strict decoding error: unknown field \"scoringStrategy.resources[0].Name\", \
         unknown field \"scoringStrategy.resources[0].Weight\"",
    );
    check(
        &arguments("NodeAffinity", "{addedAffinity: {required: {}}}"),
        "strict decoding error: decoding .profiles[0].pluginConfig[0]: strict decoding error: decoding args for plugin \
         NodeAffinity: strict decoding error: unknown field \"addedAffinity.required\"",
    );
    check(
        &arguments("DefaultPreemption", "{kind: InterPodAffinityArgs}"),
        "decoding .profiles[0].pluginConfig[0]: args for plugin DefaultPreemption were not of type \
         DefaultPreemptionArgs.kubescheduler.config.k8s.io, got InterPodAffinityArgs.kubescheduler.config.k8s.io",
    );
}

#[test]
fn values_of_the_wrong_type_are_found() {
    check(&file("parallelism: many\n"), "parallelism: invalid type: string \"many\", expected i32");
    check(
        &file("leaderElection:\n  leaseDuration: 15\n"),
        "leaderElection.leaseDuration: invalid type: integer `15`, expected a string",
    );
    check(
        &file("leaderElection:\n  leaseDuration: 15x\n"),
        "leaderElection.leaseDuration: time: unknown unit \"x\" in duration \"15x\"",
    );
    check(
        &profile("plugins:\n  score:\n    enabled:\n    - name: a\n    - name: b\n      weight: c"),
        "profiles[0].plugins.score.enabled[1].weight: invalid type: string \"c\", expected i32",
    );
    check(&file("profiles:\n- 1\n"), "profiles[0]: invalid type: integer `1`, expected struct Profile");
    check(&file("parallelism: []\npodMaxBackoffSeconds: a\n"), "invalid type: sequence, expected i32");
    check(
        &arguments("InterPodAffinity", "{hardPodAffinityWeight: true}"),
        "decoding .profiles[0].pluginConfig[0]: decoding args for plugin InterPodAffinity: hardPodAffinityWeight: \
         invalid type: boolean `true`, expected i32",
    );
}

proptest! {
    /// Whatever a file says, it is read or refused.
    #[test]
    fn nothing_panics(field in "[a-z]{1,3}|profiles|leaderElection|extenders", value in ".{0,40}", args in ".{0,40}") {
        let _ = load(&file(&format!("{field}: {value}\n")));
        let _ = load(&arguments("NodeResourcesFit", &args));
        let _ = load(&value);
    }
}

#[test]
fn fields_of_the_whole() {
    let two = "profiles:\n- schedulerName: a\n- schedulerName: a\n";
    check(&file("parallelism: 0\n"), "parallelism: Invalid value: 0: should be an integer value greater than zero");
    check(
        &file("percentageOfNodesToScore: 101\n"),
        "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
    );
    check(&file("podInitialBackoffSeconds: 0\n"), "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0");
    check(
        &file("podInitialBackoffSeconds: 20\n"),
        "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to PodInitialBackoffSeconds",
    );
    check(&file("clientConnection:\n  burst: -1\n"), "clientConnection.burst: Invalid value: -1: must be non-negative");
    check(
        &file("leaderElection:\n  leaseDuration: 5s\n  resourceLock: configmaps\n"),
        "[leaderElection.leaseDuration: Invalid value: \"10s\": must be greater than `RenewDeadline`, \
         leaderElection.resourceLock: Invalid value: \"configmaps\": resourceLock value must be \"leases\"]",
    );
    check(
        &file("leaderElection:\n  retryPeriod: -1s\n"),
        "leaderElection.retryPeriod: Invalid value: \"-1s\": must be greater than zero",
    );
    check(&file(two), "profiles[1].schedulerName: Duplicate value: \"profiles[0].schedulerName\"");
    check(
        &file("profiles:\n- schedulerName: a\n- percentageOfNodesToScore: -1\n"),
        "[profiles[1].schedulerName: Required value, \
         profiles[1].percentageOfNodesToScore: Invalid value: -1: not in valid range [0-100]]",
    );
}

#[test]
fn plugins_that_cannot_be() {
    let sorters = |first: &str, second: &str| {
        let sorter = |names: &str| format!("{{queueSort: {{enabled: [{names}]}}}}");
        let (first, second) = (sorter(first), sorter(second));
        file(&format!("profiles:\n- schedulerName: a\n  plugins: {first}\n- schedulerName: b\n  plugins: {second}\n"))
    };
    assert!(load(&sorters("{name: x}", "{name: x}")).is_ok());
    check(
        &sorters("{name: x}", "{name: z}"),
        "profiles[1].plugins.queueSort: Invalid value: {\"Enabled\":[{\"Name\":\"z\",\"Weight\":0}],\"Disabled\":null}: \
         must be the same for all profiles",
    );
    check(
        &profile("plugins: {queueSort: {enabled: [{name: x}, {name: z}]}}"),
        "profiles[0].plugins.queueSort.Enabled: Invalid value: 2: only one queue sort plugin can be enabled",
    );
    check(
        &profile("plugins: {filter: {enabled: [{name: EBSLimits}]}}"),
        "profiles[0].plugins.filter.enabled[0]: Invalid value: \"EBSLimits\": was invalid in version \"v1\" \
         (KubeSchedulerConfiguration is version \"kubescheduler.config.k8s.io/v1\")",
    );
    check(
        &profile("pluginConfig: [{name: Foo}, {name: Foo}]"),
        "profiles[0].pluginConfig[1]: Duplicate value: \"Foo\"",
    );
}

#[test]
fn extenders_that_cannot_be() {
    check(
        &file("extenders: [{urlPrefix: a, prioritizeVerb: b}]\n"),
        "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
    );
    check(
        &file("extenders: [{bindVerb: a}, {bindVerb: b}]\n"),
        "extenders: Invalid value: \"found 2 extenders implementing bind\": only one extender can implement bind",
    );
    check(
        &file("extenders: [{managedResources: [{name: a.b/c}, {name: a.b/c}, {name: cpu}]}]\n"),
        "[extenders[0].managedResources[1].name: Invalid value: \"a.b/c\": duplicate extender managed resource name, \
         extenders[0].managedResources[2].name: Invalid value: \"cpu\": is an invalid extended resource name]",
    );
}

/// What is wrong with a plugin's arguments.
fn check_arguments(plugin: &str, args: &str, expected: &[&str]) {
    let path = "profiles[0].pluginConfig[0].args.";
    let expected: Vec<String> = expected.iter().map(|error| format!("{path}{error}")).collect();
    let ConfigError::Invalid(errors) = load(&arguments(plugin, args)).expect_err(args) else { panic!("{args}") };
    assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{plugin} {args}");
}

#[test]
fn arguments_about_nodes() {
    let check = |args: &str, expected: &[&str]| check_arguments("NodeResourcesFit", args, expected);
    check(
        "{ignoredResources: ['a b'], ignoredResourceGroups: [a/b]}",
        &[
            "ignoredResources[0]: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "ignoredResourceGroups[0]: Invalid value: \"a/b\": resource group name can't contain '/'",
        ],
    );
    check(
        "{scoringStrategy: {type: Other, resources: [{name: cpu, weight: 101}]}}",
        &[
            "scoringStrategy.type: Unsupported value: \"Other\": supported values: \"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\"",
            "scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not in valid range (0, 100]",
        ],
    );
    check(
        "{scoringStrategy: {type: RequestedToCapacityRatio}}",
        &[
            "scoringStrategy.requestedToCapacityRatio: Required value: must be specified when type is RequestedToCapacityRatio",
        ],
    );
    check(
        "{scoringStrategy: {type: MostAllocated, requestedToCapacityRatio: {shape: []}}}",
        &["scoringStrategy.requestedToCapacityRatio: Forbidden: must be nil when type is not RequestedToCapacityRatio"],
    );
    let shape = |points: &str, expected: &[&str]| {
        let ratio = format!("requestedToCapacityRatio: {{shape: [{points}]}}");
        let prefixed: Vec<String> =
            expected.iter().map(|error| format!("scoringStrategy.requestedToCapacityRatio.shape{error}")).collect();
        let expected: Vec<&str> = prefixed.iter().map(String::as_str).collect();
        check(&format!("{{scoringStrategy: {{type: RequestedToCapacityRatio, {ratio}}}}}"), &expected);
    };
    shape("", &[": Required value: at least one point must be specified"]);
    shape(
        "{utilization: 5, score: 1}, {utilization: 5, score: 11}",
        &[
            "[1].utilization: Invalid value: 5: values must be sorted in increasing order",
            "[1].score: Invalid value: 11: not in valid range [0, 10]",
        ],
    );
    check_arguments(
        "NodeResourcesBalancedAllocation",
        "{resources: [{name: cpu}, {name: cpu, weight: 2}]}",
        &["resources[1].name: Duplicate value: \"cpu\"", "resources[1].weight: Invalid value: 2: must be 1"],
    );
    let term = "{key: a, operator: In}, {key: b, operator: Foo}";
    let required = format!("{{nodeSelectorTerms: [{{matchExpressions: [{term}], matchFields: [{term}]}}]}}");
    let place = "addedAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]";
    let errors = [
        "matchExpressions[0].values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        "matchExpressions[1].operator: Unsupported value: \"Foo\": supported values: \"In\", \"NotIn\", \"Exists\", \"DoesNotExist\", \"Gt\", \"Lt\"",
        "matchFields[0].values: Invalid value: null: must have one element",
        "matchFields[1].operator: Unsupported value: \"Foo\": supported values: \"In\", \"NotIn\"",
    ]
    .map(|error| format!("{place}.{error}"));
    let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
    let affinity = format!("{{addedAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {required}}}}}");
    check_arguments("NodeAffinity", &affinity, &errors);
}

#[test]
fn other_arguments() {
    check_arguments(
        "DefaultPreemption",
        "{minCandidateNodesPercentage: 101, minCandidateNodesAbsolute: -1}",
        &[
            "minCandidateNodesPercentage: Invalid value: 101: not in valid range [0, 100]",
            "minCandidateNodesAbsolute: Invalid value: -1: not in valid range [0, inf)",
        ],
    );
    check_arguments(
        "DefaultPreemption",
        "{minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0}",
        &[
            "minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as minCandidateNodesAbsolute",
            "minCandidateNodesAbsolute: Invalid value: 0: cannot be zero at the same time as minCandidateNodesPercentage",
        ],
    );
    check_arguments(
        "InterPodAffinity",
        "{hardPodAffinityWeight: 101}",
        &["hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]"],
    );
    check_arguments(
        "VolumeBinding",
        "{bindTimeoutSeconds: -1, shape: [{utilization: 101, score: 1}]}",
        &[
            "bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value",
            "shape[0].utilization: Invalid value: 101: not in valid range [0, 100]",
        ],
    );
    check_arguments(
        "DynamicResources",
        "{filterTimeout: -1s, bindingTimeout: 10ms}",
        &[
            "filterTimeout: Invalid value: \"-1s\": must be zero or positive",
            "bindingTimeout: Invalid value: \"10ms\": must be at least 1 second",
        ],
    );
}

#[test]
fn arguments_about_spreading() {
    let check = |args: &str, expected: &[&str]| check_arguments("PodTopologySpread", args, expected);
    let zone = "{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}";
    check(
        &format!("{{defaultConstraints: [{zone}]}}"),
        &["defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty"],
    );
    check(
        "{defaultingType: Foo}",
        &["defaultingType: Unsupported value: \"Foo\": supported values: \"System\", \"List\""],
    );
    check(
        &format!("{{defaultingType: List, defaultConstraints: [{zone}, {zone}]}}"),
        &["defaultConstraints[1]: Duplicate value: \"{zone, ScheduleAnyway}\""],
    );
    check(
        "{defaultingType: List, defaultConstraints: [{maxSkew: 0, topologyKey: '', whenUnsatisfiable: '', labelSelector: {}}]}",
        &[
            "defaultConstraints[0].maxSkew: Invalid value: 0: not in valid range (0, inf)",
            "defaultConstraints[0].topologyKey: Required value: can not be empty",
            "defaultConstraints[0].whenUnsatisfiable: Required value: can not be empty",
            "defaultConstraints[0].labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod",
        ],
    );
    check(
        "{defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: Never}]}",
        &[
            "defaultConstraints[0].whenUnsatisfiable: Unsupported value: \"Never\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
        ],
    );
}
