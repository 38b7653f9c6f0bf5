//! What is refused of a new Job.

use super::*;

fn check(change: impl FnOnce(&mut Value), expected: &[&str]) {
    let object = job(change);
    assert_eq!(messages(&Jobs.validate(&object)), expected, "{object:?}");
}

fn check_indexed(change: impl FnOnce(&mut Value), expected: &[&str]) {
    check(
        |object| {
            indexed(object);
            change(&mut object["spec"]);
        },
        expected,
    );
}

#[test]
fn numbers() {
    check(|_| {}, &[]);
    for field in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        let expected = format!("spec.{field}: Invalid value: -1: must be greater than or equal to 0");
        check(|object| object["spec"][field] = json!(-1), &[expected.as_str()]);
    }
    check_indexed(
        |spec| spec["backoffLimitPerIndex"] = json!(-1),
        &["spec.backoffLimitPerIndex: Invalid value: -1: must be greater than or equal to 0"],
    );
}

#[test]
fn modes() {
    check(
        |object| object["spec"]["completionMode"] = json!("Sorted"),
        &["spec.completionMode: Unsupported value: \"Sorted\": supported values: \"NonIndexed\", \"Indexed\""],
    );
    check(
        |object| (object["spec"]["completionMode"], object["spec"]["parallelism"]) = (json!("Indexed"), json!(2)),
        &["spec.completions: Required value: when completion mode is Indexed"],
    );
    check(
        |object| (object["spec"]["backoffLimitPerIndex"], object["spec"]["maxFailedIndexes"]) = (json!(1), json!(2)),
        &[
            "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
            "spec.maxFailedIndexes: Invalid value: 2: requires indexed completion mode",
        ],
    );
    check_indexed(
        |spec| spec["maxFailedIndexes"] = json!(11),
        &[
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.maxFailedIndexes: Invalid value: 11: must be less than or equal to completions",
        ],
    );
    check_indexed(
        |spec| spec["parallelism"] = json!(100_001),
        &[
            "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
        ],
    );
    check_indexed(
        |spec| {
            (spec["completions"], spec["parallelism"]) = (json!(200_000), json!(20_000));
            spec["backoffLimitPerIndex"] = json!(1);
        },
        &[
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000 \
             and used with backoff limit per index",
        ],
    );
    check_indexed(
        |spec| {
            spec["completions"] = json!(200_000);
            (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) = (json!(1), json!(100_001));
        },
        &[
            "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000",
            "spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 10000 when completions are above \
             100000 and used with backoff limit per index",
        ],
    );
    let name = "n".repeat(62);
    let expected = format!(
        "metadata.name: Invalid value: \"{name}\": will not able to create pod with invalid DNS label: {name}-9"
    );
    check(
        |object| {
            indexed(object);
            object["metadata"]["name"] = json!(name);
        },
        &[expected.as_str()],
    );
}

#[test]
fn managers_and_restart_policies() {
    check(|object| object["spec"]["managedBy"] = json!("example.com/queue"), &[]);
    check(
        |object| object["spec"]["managedBy"] = json!("queue"),
        &["spec.managedBy: Invalid value: \"queue\": must be a domain-prefixed path (such as \"acme.io/foo\")"],
    );
    check(
        |object| object["spec"]["managedBy"] = json!(format!("example.com/{}", "q".repeat(60))),
        &["spec.managedBy: Too long: may not be more than 63 bytes"],
    );
    check(
        |object| object["spec"]["template"]["spec"]["restartPolicy"] = Value::Null,
        &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
    );
    check(
        |object| {
            let rules = json!([{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]);
            object["spec"]["podFailurePolicy"] = json!({"rules": rules});
            object["spec"]["template"]["spec"]["restartPolicy"] = json!("OnFailure");
        },
        &[
            "spec.template.spec.restartPolicy: Invalid value: \"OnFailure\": only \"Never\" is supported when podFailurePolicy \
           is specified",
        ],
    );
    check(
        |object| object["spec"]["podReplacementPolicy"] = json!("Always"),
        &[
            "spec.podReplacementPolicy: Unsupported value: \"Always\": supported values: \"Failed\", \"TerminatingOrFailed\"",
        ],
    );
}

#[test]
fn failure_policies() {
    let check = |rule: Value, expected: &[&str]| {
        let policy = json!({"rules": [rule]});
        check(|object| object["spec"]["podFailurePolicy"] = policy, expected);
    };
    let codes = |codes: Value| json!({"action": "Count", "onExitCodes": codes});
    let rule = "spec.podFailurePolicy.rules[0]";
    let of = |field: &str, detail: &str| format!("{rule}{field}: {detail}");
    check(codes(json!({"operator": "NotIn", "values": [0, 3], "containerName": "c"})), &[]);
    check(
        json!({"action": "", "onPodConditions": [{"type": "a b", "status": "Maybe"}]}),
        &[
            of(".action", "Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]").as_str(),
            of(
                ".onPodConditions[0].type",
                "Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start \
                 and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                 validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            )
            .as_str(),
            of(
                ".onPodConditions[0].status",
                "Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\"",
            )
            .as_str(),
        ],
    );
    check(
        json!({"action": "FailIndex"}),
        &[
            of(".action", "Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set").as_str(),
            of("", "Invalid value: specifying one of OnExitCodes and OnPodConditions is required").as_str(),
        ],
    );
    check(
        json!({
            "action": "Retry", "onPodConditions": [{"type": "A"}],
            "onExitCodes": {"operator": "Is", "values": [], "containerName": "d"},
        }),
        &[
            of(
                ".action",
                "Unsupported value: \"Retry\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
            )
            .as_str(),
            of(".onExitCodes.operator", "Unsupported value: \"Is\": supported values: \"In\", \"NotIn\"").as_str(),
            of(
                ".onExitCodes.containerName",
                "Invalid value: \"d\": must be one of the container or initContainer names in the pod template",
            )
            .as_str(),
            of(".onExitCodes.values", "Invalid value: []: at least one value is required").as_str(),
            of("", "Invalid value: specifying both OnExitCodes and OnPodConditions is not supported").as_str(),
        ],
    );
    check(
        codes(json!({"operator": "In", "values": [2, 0, 2]})),
        &[
            of(".onExitCodes.values[1]", "Invalid value: 0: must not be 0 for the In operator").as_str(),
            of(".onExitCodes.values[2]", "Duplicate value: 2").as_str(),
            of(".onExitCodes.values", "Invalid value: [2,0,2]: must be ordered").as_str(),
        ],
    );
    let many: Vec<i32> = (1..=256).collect();
    check(
        codes(json!({"operator": "In", "values": many})),
        &[of(".onExitCodes.values", "Too many: 256: must have at most 255 items").as_str()],
    );
}

#[test]
fn success_policies() {
    let check = |rules: Value, expected: &[&str]| {
        check_indexed(|spec| spec["successPolicy"] = json!({"rules": rules}), expected);
    };
    check(json!([{"succeededIndexes": "0-2,9", "succeededCount": 3}]), &[]);
    check(
        json!([]),
        &["spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is \
           specified"],
    );
    check(
        json!([{}]),
        &["spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be \
           specified"],
    );
    check(
        json!([{"succeededIndexes": "3-1", "succeededCount": 11}]),
        &[
            "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"3-1\": error parsing succeededIndexes: \
             non-increasing order, previous: 3, current: 1",
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 11: must be less than or equal to 10 (the number of \
             specified completions)",
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 11: must be less than or equal to 0 (the number of \
             indexes in the specified succeededIndexes field)",
        ],
    );
    check(
        json!([{"succeededCount": -1}]),
        &["spec.successPolicy.rules[0].succeededCount: Invalid value: -1: must be greater than or equal to 0"],
    );
    super::refusals::check(
        |object| object["spec"]["successPolicy"] = json!({"rules": [{"succeededCount": 1}]}),
        &[
            "spec.successPolicy: Invalid value: {\"Rules\":[{\"SucceededIndexes\":null,\"SucceededCount\":1}]}: requires indexed \
           completion mode",
        ],
    );
}

#[test]
fn selectors() {
    check(
        |object| object["spec"]["selector"] = json!({"matchLabels": {"app": "a"}}),
        &[
            "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\",\"batch.kubernetes.io/controller-uid\":\"3a1b\"}}: \
             `selector` not auto-generated",
            "spec.template.metadata.labels: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"3a1b\",\
             \"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"3a1b\",\"job-name\":\"j\"}: `selector` does not match \
             template `labels`",
        ],
    );
    check(
        |object| object["spec"]["template"]["metadata"] = json!({"labels": {"job-name": "other"}}),
        &["spec.template.metadata.labels[job-name]: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"3a1b\",\
           \"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"3a1b\",\"job-name\":\"other\"}: must be 'j'"],
    );
    check(
        |object| object["spec"]["manualSelector"] = json!(true),
        &[
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
        ],
    );
    // A Job whose labels were not generated, as an update can bring it.
    let bare = defaulted(|object| object["spec"]["selector"] = json!({"matchLabels": {"job-name": "j"}}));
    assert_eq!(
        messages(&Jobs.validate(&bare)),
        [
            "spec.template.metadata.labels[controller-uid]: Required value: must be '3a1b'",
            "spec.template.metadata.labels[job-name]: Required value: must be 'j'",
            "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]: Required value: must be '3a1b'",
            "spec.template.metadata.labels[batch.kubernetes.io/job-name]: Required value: must be 'j'",
            "spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`",
        ]
    );
}
