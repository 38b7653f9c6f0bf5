//! What kubelets may not report.

use super::*;

fn check(spec: Value, old: Value, new: Value, expected: &[&str]) {
    let old = stored(json!({"spec": spec, "status": old}));
    let mut new = changed(&old, json!({"status": new}));
    let update = Pods.updates().into_iter().find(|update| update.name == "status").unwrap();
    (update.prepare)(&mut new, &old, context());
    assert_eq!(messages(&(update.validate)(&new, &old)), expected, "{new:?}");
}

fn status(change: Value) -> Value {
    let mut status = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0});
    merge(&mut status, change);
    json!([status])
}

#[test]
fn fields_of_the_status() {
    let check = |new: Value, expected: &[&str]| check(json!({}), json!({"phase": "Running"}), new, expected);
    check(json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.1"}), &[]);
    check(
        json!({"conditions": [{"type": "a/b/c", "status": "True"}]}),
        &["metadata.conditions[0].Type: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric \
           characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or \
           'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an \
           optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"],
    );
    check(json!({"qosClass": "Guaranteed"}), &["status.qosClass: Invalid value: \"Guaranteed\": field is immutable"]);
    check(
        json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
        &[
            "status.podIPs: Invalid value: [{\"IP\":\"10.0.0.1\"},{\"IP\":\"10.0.0.2\"}]: may specify no more than one IP \
           for each IP family",
        ],
    );
    check(
        json!({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]}),
        &["status.hostIPs[0].ip: Invalid value: \"10.0.0.2\": must be equal to `hostIP`"],
    );
    check(json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}), &[]);
    check(
        json!({"resourceClaimStatuses": [{"name": "gpu"}, {"name": "gpu"}]}),
        &[
            "status.resourceClaimStatuses[0].name: Invalid value: \"gpu\": must match the name of an entry in \
             `spec.resourceClaims`",
            "status.resourceClaimStatuses[1].name: Invalid value: \"gpu\": must match the name of an entry in \
             `spec.resourceClaims`",
            "status.resourceClaimStatuses[1].name: Duplicate value: \"gpu\"",
        ],
    );
    check(
        json!({"containerStatuses": status(json!({"user": {"linux": {"uid": -1, "gid": 0}}}))}),
        &["status.containerStatuses[0].linux.uid: Invalid value: -1: must be between 0 and 4294967295, inclusive"],
    );
    let allocated = json!({"allocatedResourcesStatus": [
        {"name": "example.com/gpu", "resources": [{"resourceID": "1", "health": "Fine"}]},
    ]});
    check(
        json!({"containerStatuses": status(allocated.clone())}),
        &[
            "status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: \"example.com/gpu\": must match \
             one of the container's resource requests",
            "status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health: Unsupported value: \"Fine\": \
             supported values: \"Healthy\", \"Unhealthy\", \"Unknown\"",
        ],
    );
    check(
        json!({"ephemeralContainerStatuses": status(allocated)}),
        &[
            "status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden: must not be specified in container \
           status",
        ],
    );
}

#[test]
fn what_has_ended_stays_ended() {
    let ended = |code: i32| status(json!({"state": {"terminated": {"exitCode": code}}}));
    let running = || status(json!({"state": {"running": {}}}));
    let refused = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state";
    let check = |policy: &str, container: Value, code: i32, allowed: bool| {
        let mut own = json!({"name": "c", "image": "i"});
        merge(&mut own, container);
        let spec = json!({"restartPolicy": policy, "containers": [own]});
        let expected: &[&str] = if allowed { &[] } else { &[refused] };
        let statuses = |statuses: Value| json!({"containerStatuses": statuses});
        super::status::check(spec, statuses(ended(code)), statuses(running()), expected);
    };
    check("Always", json!({}), 0, true);
    check("Never", json!({}), 1, false);
    check("OnFailure", json!({}), 1, true);
    check("OnFailure", json!({}), 0, false);
    check("Never", json!({"restartPolicy": "Always"}), 0, true);
    let rule = |action: &str| json!([{"action": action, "exitCodes": {"operator": "In", "values": [42]}}]);
    let ruled = |action: &str| json!({"restartPolicy": "Never", "restartPolicyRules": rule(action)});
    check("Never", ruled("Restart"), 42, true);
    check("Never", ruled("Restart"), 1, false);
    check("Never", ruled("RestartAllContainers"), 1, true);
}
