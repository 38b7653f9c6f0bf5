//! Attachments as the attach-detach controller and attachers write them.

use serde_json::json;

use super::*;

/// A valid attachment with `change` made to its JSON, with its defaults.
fn attachment(change: impl FnOnce(&mut Value)) -> VolumeAttachment {
    let mut value = json!({
        "metadata": {"name": "csi-1"},
        "spec": {"attacher": "disk.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "pv1"}},
    });
    change(&mut value);
    let mut object = serde_json::from_value(value).unwrap();
    VolumeAttachments.default(&mut object);
    object
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn context() -> Context<'static> {
    Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
                         is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

#[test]
fn defaults() {
    let source = json!({"inlineVolumeSpec": {"capacity": {"storage": "0.0001"}, "hostPath": {"path": "/a"}}});
    let once = attachment(|object| object["spec"]["source"] = source);
    let mut twice = once.clone();
    VolumeAttachments.default(&mut twice);
    assert_eq!(once, twice);
    let expected = json!({"capacity": {"storage": "1m"}, "hostPath": {"path": "/a", "type": ""}});
    assert_eq!(serde_json::to_value(once.spec.source.inline_volume_spec).unwrap(), expected);
}

#[test]
fn refusals() {
    let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
        assert_eq!(messages(&VolumeAttachments.validate(&attachment(change))), expected);
    };
    let spec = |field: &'static str, value: Value| move |object: &mut Value| object["spec"][field] = value.clone();
    let inline = json!({"accessModes": ["ReadWriteOnce"], "csi": {"driver": "d", "volumeHandle": "v"}});
    check(&|_| {}, &[]);
    check(&spec("attacher", json!("Disk.example.com")), &[]);
    check(&spec("source", json!({"inlineVolumeSpec": inline})), &[]);
    check(
        &spec("attacher", json!("")),
        &[
            "spec.attacher: Required value",
            "spec.attacher: Required value",
            &format!("spec.attacher: Invalid value: \"\": {SUBDOMAIN}"),
        ],
    );
    check(&spec("attacher", json!("d".repeat(64))), &["spec.attacher: Too long: may not be more than 63 bytes"]);
    check(&spec("attacher", json!("a_b")), &[&format!("spec.attacher: Invalid value: \"a_b\": {SUBDOMAIN}")]);
    check(&spec("nodeName", json!("")), &[&format!("spec.nodeName: Invalid value: \"\": {SUBDOMAIN}")]);
    check(&spec("nodeName", json!("A_b")), &[&format!("spec.nodeName: Invalid value: \"A_b\": {SUBDOMAIN}")]);
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    check(&spec("source", json!({})), &[&format!("spec.source: Required value: {one}")]);
    check(
        &spec("source", json!({"inlineVolumeSpec": inline, "persistentVolumeName": "pv1"})),
        &[&format!("spec.source: Forbidden: {one}")],
    );
    check(
        &spec("source", json!({"persistentVolumeName": ""})),
        &[
            "spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
            &format!("spec.source.persistentVolumeName: Invalid value: \"\": {SUBDOMAIN}"),
        ],
    );
    check(
        &spec("source", json!({"persistentVolumeName": "A_b"})),
        &[&format!("spec.source.persistentVolumeName: Invalid value: \"A_b\": {SUBDOMAIN}")],
    );
    check(
        &spec("source", json!({"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"]}})),
        &[
            "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
            "spec.source.inlineVolumeSpec: Required value: must specify a volume type",
        ],
    );
}

#[test]
fn a_spec_does_not_change() {
    let check = |new: VolumeAttachment, old: &VolumeAttachment, expected: &[&str]| {
        assert_eq!(messages(&VolumeAttachments.validate_update(&new, old)), expected);
        assert_eq!(messages(&(VolumeAttachments.updates()[0].validate)(&new, old)), expected);
    };
    let of = |field: &'static str, value: &'static str| attachment(move |object| object["spec"][field] = json!(value));
    check(attachment(|object| object["metadata"]["labels"] = json!({"a": "b"})), &attachment(|_| {}), &[]);
    check(
        of("nodeName", "n2"),
        &attachment(|_| {}),
        &["spec: Invalid value: {\"Attacher\":\"disk.example.com\",\"Source\":{\"PersistentVolumeName\":\"pv1\",\
         \"InlineVolumeSpec\":null},\"NodeName\":\"n2\"}: field is immutable"],
    );
    // Names that older versions took stay; what is wrong is said twice.
    check(of("attacher", "a_b"), &of("attacher", "a_b"), &[]);
    let missing = "spec.attacher: Required value";
    check(of("attacher", ""), &of("attacher", ""), &[missing, missing]);
}

#[test]
fn statuses() {
    let check = |status: Value, expected: &[&str]| {
        let new = attachment(|object| object["status"] = status);
        let mut found = messages(&(VolumeAttachments.updates()[0].validate)(&new, &attachment(|_| {})));
        assert_eq!(found.len(), 2 * expected.len(), "{found:?}");
        found.truncate(expected.len());
        assert_eq!(found, expected);
    };
    let error = |error: Value| json!({"attached": false, "attachError": error});
    check(json!({"attached": true, "attachmentMetadata": {"device": "/dev/sdb"}}), &[]);
    check(error(json!({"message": "m".repeat(1024), "errorCode": 0, "time": "2026-01-01T00:00:00Z"})), &[]);
    let long = "may not be more than 262144 bytes";
    check(error(json!({"message": "m".repeat(1025)})), &[&format!("status.attachError.message: Too long: {long}")]);
    check(
        error(json!({"errorCode": -1})),
        &["status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
    );
    check(
        json!({"attached": true, "detachError": {"errorCode": -2}}),
        &["status.detachError.errorCode: Invalid value: -2: must be between 0 and 2147483647, inclusive"],
    );
    check(
        json!({"attached": true, "attachmentMetadata": {"k": "v".repeat(256 * 1024)}}),
        &[&format!("status.attachmentMetadata: Too long: {long}")],
    );
}

#[test]
fn status_and_the_rest_are_apart() {
    let stated = || attachment(|object| object["status"] = json!({"attached": true}));
    let mut created = stated();
    VolumeAttachments.prepare_create(&mut created, context());
    assert_eq!(serde_json::to_value(&created.status).unwrap(), json!({"attached": false}));
    let mut changed = stated();
    VolumeAttachments.prepare_update(&mut changed, &created, context());
    assert_eq!(changed, created);
    let mut attached = attachment(|object| {
        object["metadata"]["annotations"] = json!({"a": "b"});
        object["spec"]["nodeName"] = json!("n2");
        object["status"] = json!({"attached": true});
    });
    (VolumeAttachments.updates()[0].prepare)(&mut attached, &created, context());
    assert_eq!((&attached.spec, &attached.metadata), (&created.spec, &created.metadata));
    assert!(attached.status.unwrap().attached);
}

#[test]
fn rows() {
    let check = |change: fn(&mut Value), expected: Value| {
        let object = attachment(|object| {
            object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            change(object);
        });
        let now = "2026-01-01T00:05:00Z".parse().unwrap();
        assert_eq!(Value::from(VolumeAttachments.row(&object, now)), expected);
    };
    check(|_| {}, json!(["csi-1", "disk.example.com", "pv1", "n1", false, "5m"]));
    check(
        |object| {
            object["spec"]["source"] = json!({"inlineVolumeSpec": {}});
            object["status"] = json!({"attached": true});
        },
        json!(["csi-1", "disk.example.com", "", "n1", true, "5m"]),
    );
    let formats: Vec<_> = VolumeAttachments.columns().iter().map(|column| column.format).collect();
    assert_eq!(formats, ["name", "name", "", "", "", ""]);
}
