//! ServiceCIDRs: refusals, what may change, rows.

use super::*;

fn service_cidr(ranges: &[&str]) -> ServiceCIDR {
    serde_json::from_value(json!({"metadata": {"name": "r"}, "spec": {"cidrs": ranges}})).unwrap()
}

fn lines(errors: &ErrorList) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

const MALFORMED: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

#[test]
fn refusals() {
    let check = |ranges: &[&str], expected: &[&str]| {
        assert_eq!(lines(&ServiceCIDRs.validate(&service_cidr(ranges))), expected.join("\n"), "{ranges:?}");
    };
    let at = |i: usize, value: &str, detail: &str| format!("spec.cidrs[{i}]: Invalid value: {value:?}: {detail}");
    let same = |ranges: &str| {
        format!(
            "spec.cidrs: Invalid value: {ranges}: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and \
             2001:db8::/64"
        )
    };
    check(&["10.0.0.0/24"], &[]);
    check(&["2001:db8::/64", "10.0.0.0/8"], &[]);
    check(&[], &["spec.cidrs: Required value: at least one CIDR required"]);
    check(
        &["10.0.0.0/24", "2001:db8::/64", "x"],
        &["spec.cidrs: Invalid value: {\"CIDRs\":[\"10.0.0.0/24\",\"2001:db8::/64\",\"x\"]}: may only hold up to 2 \
             values"],
    );
    check(&["10.0.0.0"], &[&at(0, "10.0.0.0", MALFORMED)]);
    check(&["10.0.0.0/33"], &[&at(0, "10.0.0.0/33", MALFORMED)]);
    check(&["10.0.0.1/24"], &[&at(0, "10.0.0.1/24", "must not have bits set beyond the prefix length")]);
    let zeros = "must not have leading 0s in IP or prefix length";
    check(&["10.00.0.0/24"], &[&at(0, "10.00.0.0/24", zeros)]);
    check(&["2001:DB8::/64"], &[&at(0, "2001:DB8::/64", "must be in canonical form (\"2001:db8::/64\")")]);
    check(&["::ffff:10.0.0.0/120"], &[&at(0, "::ffff:10.0.0.0/120", "must not have an IPv4-mapped IPv6 address")]);
    check(&["10.0.0.0/24", "10.1.0.0/24"], &[&same("[\"10.0.0.0/24\",\"10.1.0.0/24\"]")]);
    check(&["a::/64", "b::/64"], &[&same("[\"a::/64\",\"b::/64\"]")]);
    check(&["x", "y"], &[&at(0, "x", MALFORMED), &at(1, "y", MALFORMED)]);
    assert_eq!(
        lines(&ServiceCIDRs.validate(&ServiceCIDR::default())),
        "spec.cidrs: Required value: at least one CIDR required"
    );
}

#[test]
fn a_family_may_be_added_and_nothing_else_changes() {
    let check = |old: &[&str], new: &[&str], expected: &[&str]| {
        let errors = ServiceCIDRs.validate_update(&service_cidr(new), &service_cidr(old));
        assert_eq!(lines(&errors), expected.join("\n"), "{old:?} {new:?}");
    };
    let (four, six, other) = ("10.0.0.0/24", "2001:db8::/64", "10.1.0.0/24");
    check(&[four], &[four], &[]);
    check(&[four, six], &[four, six], &[]);
    check(&[four], &[four, six], &[]);
    check(&[four], &[other], &["spec.cidrs[0]: Invalid value: \"10.1.0.0/24\": field is immutable"]);
    check(
        &[four, six],
        &[six, four],
        &[
            "spec.cidrs[0]: Invalid value: \"2001:db8::/64\": field is immutable",
            "spec.cidrs[1]: Invalid value: \"10.0.0.0/24\": field is immutable",
        ],
    );
    check(
        &[four],
        &[other, "x"],
        &[
            "spec.cidrs[0]: Invalid value: \"10.1.0.0/24\": field is immutable",
            &format!("spec.cidrs[1]: Invalid value: \"x\": {MALFORMED}"),
        ],
    );
    check(&[four, six], &[four], &["spec.cidrs: Invalid value: [\"10.0.0.0/24\"]: field is immutable"]);
    check(&[four], &[], &["spec.cidrs: Invalid value: null: field is immutable"]);
    check(
        &[four],
        &[four, six, other],
        &["spec.cidrs: Invalid value: [\"10.0.0.0/24\",\"2001:db8::/64\",\"10.1.0.0/24\"]: field is immutable"],
    );
}

#[test]
fn the_status_is_apart() {
    let context = Context { now: Timestamp::UNIX_EPOCH, namespace: "", identity: None };
    let mut changed = service_cidr(&["10.1.0.0/24"]);
    changed.metadata.finalizers = Some(vec!["example.com/a".to_owned()]);
    let conditions = json!([{
        "type": "Ready", "status": "True", "reason": "", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z",
    }]);
    changed.status = serde_json::from_value(json!({"conditions": conditions})).unwrap();

    let mut created = changed.clone();
    ServiceCIDRs.prepare_create(&mut created, context);
    assert_eq!(created.status, Some(ServiceCIDRStatus::default()));

    let old = service_cidr(&["10.0.0.0/24"]);
    let mut updated = changed.clone();
    ServiceCIDRs.prepare_update(&mut updated, &old, context);
    assert_eq!((updated.status, updated.spec), (None, changed.spec.clone()));

    let status = &ServiceCIDRs.updates()[0];
    let mut updated = changed.clone();
    (status.prepare)(&mut updated, &old, context);
    assert_eq!((updated.spec, updated.metadata, updated.status), (old.spec.clone(), old.metadata, changed.status));
}

#[test]
fn rows() {
    let now = Timestamp::new(3 * 86_400, 0).unwrap();
    let mut object = service_cidr(&["10.0.0.0/24", "2001:db8::/64"]);
    object.metadata.creation_timestamp = serde_json::from_value(json!("1970-01-01T00:00:00Z")).unwrap();
    assert_eq!(ServiceCIDRs.row(&object, now), ["r", "10.0.0.0/24,2001:db8::/64", "3d"].map(Value::from));
    let names = ServiceCIDRs.columns().iter().map(|column| column.name).collect::<Vec<_>>();
    assert_eq!(names, ["Name", "CIDRs", "Age"]);
}
