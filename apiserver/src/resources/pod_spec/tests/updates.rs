//! What stays valid in updates because it was stored.

use serde_json::{Value, json};

use super::{meta, rendered, spec};
use crate::resources::pod_spec::{Options, set_pod_defaults, validate_pod};

/// A spec that is refused on creation is let pass in an update of an object that has it already.
#[track_caller]
fn check(patch: &Value) {
    let mut spec = spec(patch);
    set_pod_defaults(&mut spec);
    assert!(!validate_pod(&spec, &meta(), &Options::default()).is_empty(), "{patch}");
    let options = Options::for_update(&spec, &meta());
    assert_eq!(rendered(&validate_pod(&spec, &meta(), &options)), Vec::<String>::new(), "{patch}");
}

#[test]
fn what_was_stored_stays_valid() {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let bad = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["not ok"]}]});
    let spread = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
    let mut bad_spread = spread.clone();
    super::merge(&mut bad_spread, &json!({"labelSelector": bad}));
    let mut bad_keys = spread;
    let merged_twice = json!({"matchLabelKeys": ["a"], "labelSelector": {"matchExpressions": [
        {"key": "a", "operator": "Exists"}, {"key": "a", "operator": "Exists"}]}});
    super::merge(&mut bad_keys, &merged_twice);
    for patch in [
        json!({"affinity": {"podAffinity": {required: [{"topologyKey": "zone", "labelSelector": bad}]}}}),
        json!({"affinity": {"nodeAffinity": {required: {"nodeSelectorTerms": [bad]}}}}),
        json!({"topologySpreadConstraints": [bad_spread]}),
        json!({"containers": [{"name": "a", "image": "a", "resources": {"limits": {"cpu": 1, "hugepages-2Mi": "3Mi"}}}]}),
        json!({"hostIPC": true, "securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}]}}),
        json!({"hostUsers": false, "volumes": [{"name": "c", "persistentVolumeClaim": {"claimName": "c"}}],
            "containers": [{"name": "a", "image": "a", "volumeDevices": [{"name": "c", "devicePath": "/dev/x"}]}]}),
        json!({"volumes": [{"name": "i", "image": {}}]}),
        json!({"serviceAccountName": "s", "volumes": [{"name": "t", "projected": {"sources": [
            {"serviceAccountToken": {"path": "/abs"}}]}}]}),
        json!({"initContainers": [{"name": "i", "image": "a", "resizePolicy": [
            {"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}]}),
    ] {
        check(&patch);
    }
    let options = Options::for_update(&spec(&json!({"topologySpreadConstraints": [bad_keys]})), &meta());
    assert!(options.allow_invalid_spread_label_keys);
    assert_eq!(Options::for_update(&spec(&json!({})), &meta()), Options::default());
}
