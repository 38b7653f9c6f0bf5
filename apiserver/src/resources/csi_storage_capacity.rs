//! CSIStorageCapacities: how much storage of a class there is for some nodes.

use std::collections::BTreeMap;

use api::field::{BadValue, Error, ErrorList, Path};
use api::quantity::Quantity;
use api::selector::label::validate_api;
use api::validate::meta::FIELD_IMMUTABLE;
use k8s_openapi::api::storage::v1::CSIStorageCapacity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::pod_spec::absent::list;
use super::pod_spec::rules::{NEGATIVE, dns_subdomain};
use super::pod_spec::warnings::node_label_message;
use super::semantic;
use crate::strategy::{AGE_COLUMN, Column, NAME_COLUMN, Names, Strategy};

/// What a table shows of kinds for which upstream has no columns.
const CREATED_COLUMN: Column = Column { name: "Created At", kind: "date", ..AGE_COLUMN };

pub(crate) struct CsiStorageCapacities;

impl Strategy for CsiStorageCapacities {
    type Object = CSIStorageCapacity;

    fn names(&self) -> Names {
        Names::of::<CSIStorageCapacity>("csistoragecapacity", true)
    }

    fn validate(&self, object: &CSIStorageCapacity) -> ErrorList {
        validate(object, false)
    }

    fn validate_update(&self, new: &CSIStorageCapacity, old: &CSIStorageCapacity) -> ErrorList {
        let topology_path = Path::new("nodeTopology");
        // What was stored under older rules stays valid.
        let allow_invalid_values = !validate_api(old.node_topology.as_ref(), false, &topology_path).is_empty();
        let mut errors = validate(new, allow_invalid_values);
        if !semantic::equal(&new.node_topology, &old.node_topology) {
            errors.push(Error::invalid(&topology_path, shown(new.node_topology.as_ref()), FIELD_IMMUTABLE));
        }
        if new.storage_class_name != old.storage_class_name {
            let path = Path::new("storageClassName");
            errors.push(Error::invalid(&path, &new.storage_class_name, FIELD_IMMUTABLE));
        }
        errors
    }

    fn warnings(&self, new: &CSIStorageCapacity, _: Option<&CSIStorageCapacity>) -> Vec<String> {
        let mut warnings = Vec::new();
        let Some(topology) = &new.node_topology else { return warnings };
        let path = Path::new("nodeTopology");
        for (i, expression) in list(&topology.match_expressions).iter().enumerate() {
            let (path, key) = (path.child("matchExpressions").index(i).child("key"), &expression.key);
            warnings.extend(node_label_message(key).map(|message| format!("{path}: {key} is {message}")));
        }
        for (label, _) in topology.match_labels.iter().flatten() {
            let path = path.child("matchLabels").child(label);
            warnings.extend(node_label_message(label).map(|message| format!("{path}: {message}")));
        }
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        const { &[NAME_COLUMN, CREATED_COLUMN] }
    }

    fn row(&self, object: &CSIStorageCapacity, _: Timestamp) -> Vec<Value> {
        let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let created = created.and_then(|time| Timestamp::from_second(time.as_second()).ok());
        vec![object.metadata.name.clone().into(), created.map_or_else(String::new, |time| time.to_string()).into()]
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }
}

fn validate(object: &CSIStorageCapacity, allow_invalid_values: bool) -> ErrorList {
    let mut errors = validate_api(object.node_topology.as_ref(), allow_invalid_values, &Path::new("nodeTopology"));
    errors.extend(dns_subdomain(&object.storage_class_name, &Path::new("storageClassName")));
    if let Some(capacity) = &object.capacity {
        let path = Path::new("capacity");
        match Quantity::try_from(capacity) {
            Err(error) => errors.push(Error::invalid(&path, &*capacity.0, error.to_string())),
            Ok(capacity) if capacity.signum() < 0 => {
                errors.push(Error::invalid(&path, capacity.to_string(), NEGATIVE));
            }
            Ok(_) => {}
        }
    }
    errors
}

/// A selector with its fields in Go's order.
fn shown(selector: Option<&LabelSelector>) -> BadValue {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        match_labels: Option<&'a BTreeMap<String, String>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        match_expressions: Option<&'a Vec<LabelSelectorRequirement>>,
    }
    let of = |selector: &LabelSelector| {
        BadValue::json(&Shown {
            match_labels: selector.match_labels.as_ref(),
            match_expressions: selector.match_expressions.as_ref(),
        })
    };
    selector.map_or_else(BadValue::null, of)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn capacity(change: impl FnOnce(&mut Value)) -> CSIStorageCapacity {
        let mut value = json!({
            "metadata": {"name": "c1", "namespace": "storage", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "storageClassName": "fast",
            "nodeTopology": {"matchLabels": {"zone": "a"}},
            "capacity": "10Gi",
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn shown(errors: &ErrorList) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                             and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                             validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
                         regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

    #[test]
    fn refusals() {
        let check = |field: &str, value: Value, expected: &[&str]| {
            let object = capacity(|object| object[field] = value);
            assert_eq!(shown(&CsiStorageCapacities.validate(&object)), expected);
        };
        let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]});
        check("capacity", Value::Null, &[]);
        check("capacity", json!("0"), &[]);
        check("nodeTopology", Value::Null, &[]);
        check("nodeTopology", json!({}), &[]);
        check("nodeTopology", expression("In", json!(["a"])), &[]);
        // Upstream does not look at it.
        check("maximumVolumeSize", json!("-1"), &[]);
        let negative = "must be greater than or equal to 0";
        check("capacity", json!("-1"), &[&format!("capacity: Invalid value: \"-1\": {negative}")]);
        check("capacity", json!("-5Gi"), &[&format!("capacity: Invalid value: \"-5Gi\": {negative}")]);
        check("storageClassName", json!(""), &[&format!("storageClassName: Invalid value: \"\": {SUBDOMAIN}")]);
        check("storageClassName", json!("A_b"), &[&format!("storageClassName: Invalid value: \"A_b\": {SUBDOMAIN}")]);
        check(
            "storageClassName",
            json!("a".repeat(254)),
            &[&format!("storageClassName: Invalid value: \"{}\": must be no more than 253 bytes", "a".repeat(254))],
        );
        let path = "nodeTopology.matchExpressions[0]";
        check(
            "nodeTopology",
            expression("In", json!([])),
            &[&format!("{path}.values: Required value: must be specified when `operator` is 'In' or 'NotIn'")],
        );
        check(
            "nodeTopology",
            expression("Exists", json!(["a"])),
            &[&format!("{path}.values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'")],
        );
        check(
            "nodeTopology",
            expression("Near", json!([])),
            &[&format!("{path}.operator: Invalid value: \"Near\": not a valid selector operator")],
        );
        check(
            "nodeTopology",
            expression("In", json!(["a b"])),
            &[&format!("{path}.values[0]: Invalid value: \"a b\": {VALUE}")],
        );
        check(
            "nodeTopology",
            json!({"matchLabels": {"zone": "-"}}),
            &[&format!("nodeTopology.matchLabels: Invalid value: \"-\": {VALUE}")],
        );
    }

    #[test]
    fn what_was_asked_for_does_not_change() {
        let check = |change: fn(&mut Value), expected: &[&str]| {
            assert_eq!(shown(&CsiStorageCapacities.validate_update(&capacity(change), &capacity(|_| {}))), expected);
        };
        check(|object| object["capacity"] = json!("1Gi"), &[]);
        check(
            |object| object["storageClassName"] = json!("slow"),
            &["storageClassName: Invalid value: \"slow\": field is immutable"],
        );
        check(
            |object| object["nodeTopology"] = Value::Null,
            &["nodeTopology: Invalid value: null: field is immutable"],
        );
        check(
            |object| {
                let expressions = json!([{"key": "zone", "operator": "Exists"}]);
                object["nodeTopology"] = json!({"matchExpressions": expressions, "matchLabels": {"zone": "b"}});
            },
            &[
                "nodeTopology: Invalid value: {\"matchLabels\":{\"zone\":\"b\"},\"matchExpressions\":[{\"key\":\"zone\",\
               \"operator\":\"Exists\"}]}: field is immutable",
            ],
        );
        let old = capacity(|object| {
            object["nodeTopology"] = json!({"matchLabels": {"zone": "a"}, "matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a b"]},
            ]})
        });
        assert_eq!(shown(&CsiStorageCapacities.validate_update(&old, &old)), [] as [&str; 0]);
    }

    #[test]
    fn old_labels_of_nodes_are_warned_of() {
        let object = capacity(|object| {
            object["nodeTopology"] = json!({
                "matchLabels": {"beta.kubernetes.io/os": "linux"},
                "matchExpressions": [{"key": "beta.kubernetes.io/arch", "operator": "Exists"}],
            });
        });
        assert_eq!(
            CsiStorageCapacities.warnings(&object, None),
            [
                "nodeTopology.matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since v1.14; use \
             \"kubernetes.io/arch\" instead",
                "nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use \"kubernetes.io/os\" instead",
            ]
        );
    }

    #[test]
    fn rows() {
        let row = CsiStorageCapacities.row(&capacity(|_| {}), Timestamp::UNIX_EPOCH);
        assert_eq!(row, ["c1", "2026-01-01T00:00:00Z"].map(Value::from));
        assert_eq!(CsiStorageCapacities.columns()[1].name, "Created At");
    }
}
