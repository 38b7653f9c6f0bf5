//! What may change of a Job.

use super::*;

/// The messages of changing a stored Job, without those of the template's content.
fn refused(old: &Job, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let errors = Jobs.validate_update(&changed(old, change), old);
    let shorten = |message: String| match message.strip_prefix("spec.template: Invalid value: {") {
        Some(_) => "spec.template: field is immutable".to_owned(),
        None => message,
    };
    messages(&errors).into_iter().map(shorten).collect()
}

#[test]
fn most_of_a_job_is_immutable() {
    let old = job(|_| {});
    let check = |change: fn(&mut Value), expected: &[&str]| assert_eq!(refused(&old, change), expected);
    check(|_| {}, &[]);
    check(
        |object| {
            (object["spec"]["parallelism"], object["spec"]["suspend"]) = (json!(4), json!(true));
            (object["spec"]["activeDeadlineSeconds"], object["spec"]["backoffLimit"]) = (json!(60), json!(2));
            object["spec"]["ttlSecondsAfterFinished"] = json!(9);
        },
        &[],
    );
    check(
        |object| object["spec"]["completions"] = json!(2),
        &["spec.completions: Invalid value: 2: field is immutable"],
    );
    check(
        |object| object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("busybox:2"),
        &["spec.template: field is immutable"],
    );
    check(
        |object| object["spec"]["managedBy"] = json!("example.com/queue"),
        &["spec.managedBy: Invalid value: \"example.com/queue\": field is immutable"],
    );
    check(
        |object| object["spec"]["completionMode"] = json!("Indexed"),
        &["spec.completionMode: Invalid value: \"Indexed\": field is immutable"],
    );
    check(
        |object| {
            let codes = json!({"operator": "In", "values": [1]});
            let patterns = json!([{"type": "T", "status": "True"}]);
            let rules =
                json!([{"action": "Count", "onExitCodes": codes}, {"action": "Ignore", "onPodConditions": patterns}]);
            object["spec"]["podReplacementPolicy"] = json!("Failed");
            object["spec"]["podFailurePolicy"] = json!({"rules": rules});
        },
        &[
            "spec.podFailurePolicy: Invalid value: {\"Rules\":[{\"Action\":\"Count\",\"OnExitCodes\":{\"ContainerName\":null,\
           \"Operator\":\"In\",\"Values\":[1]},\"OnPodConditions\":null},{\"Action\":\"Ignore\",\"OnExitCodes\":null,\
           \"OnPodConditions\":[{\"Type\":\"T\",\"Status\":\"True\"}]}]}: field is immutable",
        ],
    );
    let selector = "{\"matchLabels\":{\"batch.kubernetes.io/controller-uid\":\"3a1b\",\"job-name\":\"j\"}}";
    assert_eq!(
        refused(&old, |object| object["spec"]["selector"]["matchLabels"]["job-name"] = json!("j")),
        [format!("spec.selector: Invalid value: {selector}: field is immutable")]
    );
    check(
        |object| object["spec"]["selector"] = Value::Null,
        &[
            // The rules of the spec are looked at twice.
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"3a1b\",\
             \"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"3a1b\",\"job-name\":\"j\"}: `selector` does not match \
             template `labels`",
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: {\"batch.kubernetes.io/controller-uid\":\"3a1b\",\
             \"batch.kubernetes.io/job-name\":\"j\",\"controller-uid\":\"3a1b\",\"job-name\":\"j\"}: `selector` does not match \
             template `labels`",
            "spec.selector: Invalid value: null: field is immutable",
        ],
    );
}

#[test]
fn indexed_jobs_scale_in_tandem() {
    let old = job(|object| {
        indexed(object);
        object["spec"]["parallelism"] = json!(10);
        object["spec"]["backoffLimitPerIndex"] = json!(1);
        object["spec"]["successPolicy"] = json!({"rules": [{"succeededCount": 1}]});
    });
    let check = |change: fn(&mut Value), expected: &[&str]| assert_eq!(refused(&old, change), expected);
    check(|object| (object["spec"]["completions"], object["spec"]["parallelism"]) = (json!(5), json!(5)), &[]);
    check(
        |object| object["spec"]["completions"] = json!(5),
        &["spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"],
    );
    check(
        |object| object["spec"]["backoffLimitPerIndex"] = json!(2),
        &["spec.backoffLimitPerIndex: Invalid value: 2: field is immutable"],
    );
    check(
        |object| object["spec"]["successPolicy"] = json!({"rules": [{"succeededIndexes": "1"}]}),
        &[
            "spec.successPolicy: Invalid value: {\"Rules\":[{\"SucceededIndexes\":\"1\",\"SucceededCount\":null}]}: field is \
           immutable",
        ],
    );
}

#[test]
fn a_suspended_job_may_run_elsewhere_and_with_other_resources() {
    type Edit = fn(&mut Value);
    const IMMUTABLE: &str = "spec.template: field is immutable";
    let suspended = |status: Value| {
        let job = job(|object| object["spec"]["suspend"] = json!(true));
        changed(&job, |object| object["status"] = status)
    };
    let stopped = json!([{"type": "Suspended", "status": "True"}]);
    let old = [
        (suspended(json!({})), true),
        (suspended(json!({"startTime": "2026-03-01T10:00:00Z"})), false),
        (suspended(json!({"startTime": "2026-03-01T10:00:00Z", "conditions": stopped})), true),
        (suspended(json!({"active": 1})), false),
        (job(|_| {}), false),
    ];
    let allowed: [Edit; 8] = [
        |template| template["spec"]["nodeSelector"] = json!({"zone": "a"}),
        |template| template["spec"]["tolerations"] = json!([{"operator": "Exists"}]),
        |template| template["spec"]["schedulingGates"] = json!([{"name": "example.com/gate"}]),
        |template| template["metadata"]["annotations"] = json!({"a": "b"}),
        |template| template["metadata"]["labels"]["app"] = json!("a"),
        |template| template["spec"]["affinity"] = json!({"nodeAffinity": {}}),
        |template| template["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "2"}}),
        |template| template["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "1Gi"}}),
    ];
    for (old, mutable) in &old {
        for allow in allowed {
            let expected: &[&str] = if *mutable { &[] } else { &[IMMUTABLE] };
            assert_eq!(refused(old, |object| allow(&mut object["spec"]["template"])), expected, "{:?}", old.status);
        }
        let forbidden: [Edit; 2] = [
            |template| template["spec"]["containers"][0]["image"] = json!("busybox:2"),
            |template| template["spec"]["affinity"] = json!({"podAffinity": {}}),
        ];
        for forbid in forbidden {
            assert_eq!(refused(old, |object| forbid(&mut object["spec"]["template"])), [IMMUTABLE]);
        }
    }
}

#[test]
fn jobs_from_before_the_prefixed_labels_may_be_updated() {
    let old = changed(&job(|_| {}), |object| {
        let labels = json!({"controller-uid": UID, "job-name": "j"});
        object["spec"]["template"]["metadata"]["labels"] = labels;
        object["spec"]["selector"] = json!({"matchLabels": {"controller-uid": UID}});
    });
    assert!(!Jobs.validate(&old).is_empty());
    assert_eq!(refused(&old, |object| object["spec"]["suspend"] = json!(true)), [""; 0]);
}
